"""Calls as the steps before would hand them on, the ids of the guide's models, and its table."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from outcrop.errors import Fault
from outcrop.service.call import Call, Principal
from outcrop.wire.http import Head
from outcrop.wire.operations import BY_NAME
from service.memory import MemorySnapshot

ACCOUNT = "123456789012"
OTHER_ACCOUNT = "210987654321"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TODAY = NOON.date()
INVALID = "The provided model identifier is invalid."
END_OF_LIFE = (
    "This model version has reached the end of its life. "
    "Please refer to the AWS documentation for more details."
)
NOT_ON_DEMAND = (
    "Invocation of model ID {} with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t supported. "
    "Retry your request with the ID or ARN of an inference profile that contains this model."
)
SONNET_45 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
SONNET_37 = "anthropic.claude-3-7-sonnet-20250219-v1:0"
OPUS_45 = "anthropic.claude-opus-4-5-20251101-v1:0"
OPUS_41 = "anthropic.claude-opus-4-1-20250805-v1:0"
OPUS_4 = "anthropic.claude-opus-4-20250514-v1:0"
OPUS_3 = "anthropic.claude-3-opus-20240229-v1:0"
HAIKU_45 = "anthropic.claude-haiku-4-5-20251001-v1:0"
HAIKU_35 = "anthropic.claude-3-5-haiku-20241022-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"

# a region of each geography, and the guide's table; `au` by its text
PLACES = {
    "global": "us-east-1",
    "us": "us-west-2",
    "eu": "eu-central-1",
    "jp": "ap-northeast-1",
    "apac": "ap-northeast-1",
    "au": "ap-southeast-2",
}
GUIDE = {
    SONNET_45: "global us eu jp au",
    SONNET_4: "global us eu apac",
    SONNET_37: "us eu apac",
    OPUS_45: "global us eu",
    OPUS_41: "us",
    OPUS_4: "us",
    OPUS_3: "us",
    HAIKU_45: "global us eu au",
    HAIKU_35: "us",
    HAIKU_3: "us eu apac",
}


def call(
    operation, query="", region="us-west-2", *, account=ACCOUNT, state=None, body=None, when=NOON, **labels
):
    """An authenticated call; `body` is JSON, or bytes as they are."""
    row = BY_NAME[operation]
    principal = Principal(f"arn:aws:iam::{account}:user/dev", "AIDAEXAMPLE", account, "AKIAEXAMPLE")
    raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    head = Head(row.method, row.path, query, {})
    state = state or MemorySnapshot()
    return Call(head, row, labels, raw, principal, region, "request-1", when.timestamp(), 0.0, state)


def answer(handlers, asked, status=200):
    """The reply's JSON."""
    reply = asyncio.run(handlers[asked.operation.name](asked))
    assert reply.status == status
    assert reply.headers == {"content-type": "application/json"}
    return msgspec.json.decode(reply.body)


def refusal(handlers, asked):
    with pytest.raises(Fault) as fault:
        answer(handlers, asked)
    return fault.value
