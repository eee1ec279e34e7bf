"""Faults as replies: AWS's status, `x-amzn-errortype` and `{"message": …}`; XML where STS is spoken.

In-stream faults are frames: see `frames.exception`.
"""

from __future__ import annotations

from math import ceil
from typing import Final

import msgspec

from outcrop.errors import (
    Fault,
    InvalidApiKey,
    ServiceUnavailableException,
    ThrottlingException,
    TooManyTagsException,
    UnknownOperationException,
)
from outcrop.wire.http import JSON, Reply

# Ours: why a quota refused, in words.
QUOTA_HEADER: Final = "x-outcrop-quota"

# The front door's own shape for a method and path that no operation has.
_UNKNOWN_OPERATION = (
    b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}'
)


def reply(fault: Fault, request_id: str) -> Reply:
    """The reply AWS's JSON services give for a fault (recorded: header suffix, body, request id)."""
    headers = {
        "content-type": JSON,
        "x-amzn-requestid": request_id,
        "x-amzn-errortype": f"{fault.name}:http://internal.amazon.com/coral/{fault.origin}/",
    }
    if isinstance(fault, ThrottlingException | ServiceUnavailableException) and fault.retry_after is not None:
        # not AWS's: it is what an upstream asked for, and clients wait that long
        headers["retry-after"] = str(ceil(fault.retry_after))
    if isinstance(fault, ThrottlingException) and fault.explanation:
        headers[QUOTA_HEADER] = _header_text(fault.explanation)
    return Reply(fault.status, headers, _body(fault))


def _header_text(text: str) -> str:
    """One line of printable ASCII, whatever is in `text`."""
    plain = text.encode("ascii", "replace").decode()
    return plain if plain.isprintable() else "".join(c if c.isprintable() else "?" for c in plain)


def _body(fault: Fault) -> bytes:
    if isinstance(fault, UnknownOperationException):
        return _UNKNOWN_OPERATION
    if isinstance(fault, TooManyTagsException):
        return msgspec.json.encode({"message": fault.text, "resourceName": fault.resource})
    # API keys are refused by a layer that spells the member differently
    return msgspec.json.encode({"Message" if isinstance(fault, InvalidApiKey) else "message": fault.text})
