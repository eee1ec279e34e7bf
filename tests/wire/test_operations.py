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


@pytest.mark.parametrize(
    ("path", "region"),
    [
        ("/region/eu-west-1/foundation-models", "eu-west-1"),
        ("/region/ap-northeast-1/model/x%3A0/invoke", "ap-northeast-1"),
        ("/region/us-east-1/", "us-east-1"),
        ("/region/us-east-1", "us-east-1"),
        ("/foundation-models", ""),
    ],
)
def test_an_address_may_name_a_region(path, region):
    found = find("GET" if path.endswith("models") else "POST", path)
    assert found.region == region


@pytest.mark.parametrize(
    "path", ["/region/nowhere/foundation-models", "/region//foundation-models", "/region/"]
)
def test_what_is_no_region_is_no_path_of_ours(path):
    assert find("GET", path) is None
