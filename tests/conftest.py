"""Fixtures every test may use. The endpoint is one a worker; its scripts are reset for each test."""

import pytest

from endpoint import start


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
