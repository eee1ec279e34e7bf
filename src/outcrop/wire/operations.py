"""The operations of Bedrock and STS that Outcrop answers: one table of method, path and body limit.

`find` works on the raw path: AWS clients put `%3A` and `%2F` inside a label, so the path is split first and
each label is decoded afterwards. Sources: botocore's service models `bedrock`, `bedrock-runtime`, `sts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote

import msgspec

from outcrop.ids import is_region

MIB = 1024 * 1024


class Operation(msgspec.Struct, frozen=True):
    """One row: AWS's name, HTTP method, path template, and the largest body in bytes.

    `service` is the endpoint that AWS serves it from.
    """

    name: str
    service: Literal["bedrock", "bedrock-runtime", "sts"]
    method: str
    path: str
    body_limit: int = 64 * 1024

    @property
    def signing_name(self) -> str:
        """The service in the signature's scope: both Bedrock endpoints sign as `bedrock`."""
        return "sts" if self.service == "sts" else "bedrock"

    @property
    def runs_a_model(self) -> bool:
        """Whether it makes a model answer, whole or as a stream."""
        return self.service == "bedrock-runtime" and self.name != "CountTokens"


# InvokeModel: 25,000,000 bytes (botocore, `Body` max). Converse has no limit of its own in the model: 20
# images of 3.75 MB or 5 documents of 4.5 MB per message, in base64, are what it may carry.
_INVOKE = 25_000_000
_CONVERSE = 128 * MIB
# 200 tags of 128 and 256 characters each (botocore), as JSON
_TAGS = 128 * 1024

OPERATIONS = (
    Operation("InvokeModel", "bedrock-runtime", "POST", "/model/{modelId}/invoke", _INVOKE),
    Operation(
        "InvokeModelWithResponseStream",
        "bedrock-runtime",
        "POST",
        "/model/{modelId}/invoke-with-response-stream",
        _INVOKE,
    ),
    Operation("Converse", "bedrock-runtime", "POST", "/model/{modelId}/converse", _CONVERSE),
    Operation(
        "ConverseStream",
        "bedrock-runtime",
        "POST",
        "/model/{modelId}/converse-stream",
        _CONVERSE,
    ),
    Operation("CountTokens", "bedrock-runtime", "POST", "/model/{modelId}/count-tokens", _CONVERSE),
    Operation("ListFoundationModels", "bedrock", "GET", "/foundation-models"),
    Operation("GetFoundationModel", "bedrock", "GET", "/foundation-models/{modelIdentifier}"),
    Operation("ListInferenceProfiles", "bedrock", "GET", "/inference-profiles"),
    Operation("GetInferenceProfile", "bedrock", "GET", "/inference-profiles/{inferenceProfileIdentifier}"),
    Operation("CreateInferenceProfile", "bedrock", "POST", "/inference-profiles", _TAGS),
    Operation(
        "DeleteInferenceProfile", "bedrock", "DELETE", "/inference-profiles/{inferenceProfileIdentifier}"
    ),
    Operation("TagResource", "bedrock", "POST", "/tagResource", _TAGS),
    Operation("UntagResource", "bedrock", "POST", "/untagResource"),
    Operation("ListTagsForResource", "bedrock", "POST", "/listTagsForResource"),
    Operation(
        "ListFoundationModelAgreementOffers",
        "bedrock",
        "GET",
        "/list-foundation-model-agreement-offers/{modelId}",
    ),
    Operation("CreateFoundationModelAgreement", "bedrock", "POST", "/create-foundation-model-agreement"),
    Operation("DeleteFoundationModelAgreement", "bedrock", "POST", "/delete-foundation-model-agreement"),
    Operation("GetFoundationModelAvailability", "bedrock", "GET", "/foundation-model-availability/{modelId}"),
    Operation("PutUseCaseForModelAccess", "bedrock", "POST", "/use-case-for-model-access"),
    Operation("GetUseCaseForModelAccess", "bedrock", "GET", "/use-case-for-model-access"),
    # STS tells its operations apart by the form's Action, not by the path
    Operation("GetCallerIdentity", "sts", "POST", "/"),
    Operation("GetSessionToken", "sts", "POST", "/"),
    Operation("AssumeRole", "sts", "POST", "/"),
)

BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}


class Found(msgspec.Struct, frozen=True):
    """An operation and the labels of its path, decoded. `sts` is still undecided among its actions.

    `region` is the one that the address names, "" where it names none.
    """

    operation: Operation
    labels: Mapping[str, str]
    region: str = ""


def _routes() -> dict[tuple[str, int, str, str], Operation]:
    """Rows by method, number of segments, first segment and last segment (a label counts as "")."""
    routes = {}
    for operation in OPERATIONS:
        if operation.service != "sts":
            parts = operation.path.split("/")[1:]
            last = "" if parts[-1].startswith("{") else parts[-1]
            routes[operation.method, len(parts), parts[0], last] = operation
    return routes


_ROUTES = _routes()


def find(method: str, raw_path: str) -> Found | None:
    """The operation behind a method and a raw path, or None where the service has none.

    AWS has an endpoint a region, and this is one for all of them: `/region/eu-west-1` before a path says
    which is meant, for credentials that name none (a long-term API key).

    An STS call is any `POST /`: it comes back as GetCallerIdentity, to be told apart by its form.
    """
    # strangers choose these paths, so only those of an ordinary size are remembered
    return _known(method, raw_path) if len(raw_path) <= 512 else _find(method, raw_path)


def _find(method: str, raw_path: str) -> Found | None:
    region, path = _region_of(raw_path)
    if path in ("/", ""):
        return Found(BY_NAME["GetCallerIdentity"], {}, region) if method == "POST" else None
    if not path.startswith("/"):
        return None  # `OPTIONS *` names the server itself
    parts = path.split("/")[1:]
    operation = _ROUTES.get((method, len(parts), parts[0], parts[-1])) or _ROUTES.get(
        (method, len(parts), parts[0], "")
    )
    if operation is None:
        return None
    labels = {
        template[1:-1]: unquote(part)
        for template, part in zip(operation.path.split("/")[1:], parts, strict=True)
        if template.startswith("{")
    }
    return None if "" in labels.values() else Found(operation, labels, region)


def _region_of(raw_path: str) -> tuple[str, str]:
    if not raw_path.startswith("/region/"):
        return "", raw_path
    region, slash, rest = raw_path.removeprefix("/region/").partition("/")
    return (region, slash + rest) if is_region(region) else ("", raw_path)


_known = lru_cache(maxsize=4096)(_find)
