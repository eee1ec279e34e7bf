"""Calls as the steps before would hand them on."""

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
