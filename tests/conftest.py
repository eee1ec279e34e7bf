"""Fixtures every test may use. The endpoint is one a worker; its scripts are reset for each test."""

import os
from pathlib import Path

import pytest

from endpoint import start
from programs import missing


@pytest.fixture(scope="session")
def running_endpoint(tmp_path_factory):
    endpoint = start(tmp_path_factory.mktemp("endpoint"))
    yield endpoint
    endpoint.stop()


@pytest.fixture
def endpoint(running_endpoint):
    """A running endpoint with a fresh scripted engine."""
    running_endpoint.answers.script("Hello from the script.")
    return running_endpoint


@pytest.fixture(scope="session")
def model():
    """The local engine's model file: OUTCROP_TEST_MODEL, or the default one, fetched if need be."""
    from outcrop import config
    from outcrop.engine.local import models
    from outcrop.errors import OutcropError

    if given := os.environ.get("OUTCROP_TEST_MODEL"):
        return Path(given)
    try:
        return models.pull(config.load().settings.data.folder, lambda done, total: None)
    except OutcropError as error:
        return missing(f"the model can't be fetched: {error}")
