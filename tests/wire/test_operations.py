"""Which operation a path means, and how long a path is remembered."""

import pytest

from outcrop.wire import operations
from outcrop.wire.operations import find


@pytest.mark.parametrize(
    ("method", "path", "name", "labels"),
    [
        ("POST", "/model/a.b-v1%3A0/invoke", "InvokeModel", {"modelId": "a.b-v1:0"}),
        ("POST", "/model/arn%3Aaws%3A%2Fx/converse", "Converse", {"modelId": "arn:aws:/x"}),
        ("GET", "/foundation-models/invoke", "GetFoundationModel", {"modelIdentifier": "invoke"}),
        ("POST", "/", "GetCallerIdentity", {}),
    ],
)
def test_a_path_is_split_before_it_is_decoded(method, path, name, labels):
    found = find(method, path)
    assert (found.operation.name, found.labels) == (name, labels)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/model//invoke"), ("GET", "/model/x/invoke"), ("POST", "/model/a/b/invoke")],
)
def test_what_no_operation_has_is_not_found(method, path):
    assert find(method, path) is None


def test_a_strangers_long_paths_are_not_kept():
    before = operations._known.cache_info().currsize
    assert find("POST", f"/model/{'x' * 600}/invoke").operation.name == "InvokeModel"
    assert operations._known.cache_info().currsize == before
