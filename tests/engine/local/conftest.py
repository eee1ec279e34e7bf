"""The model for the local engine's tests: OUTCROP_TEST_MODEL, or the default one, fetched if need be."""

import os
from pathlib import Path

import pytest

from outcrop.engine.local import models
from outcrop.errors import OutcropError


@pytest.fixture(scope="session")
def model() -> Path:
    given = os.environ.get("OUTCROP_TEST_MODEL")
    if given:
        return Path(given)
    try:
        return models.pull(models.data_folder(), lambda done, total: None)
    except OutcropError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the model can't be fetched: {error}")
