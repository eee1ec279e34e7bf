"""Bedrock's events inside event-stream frames: chunks, Converse events, exceptions, and the padding `p`.

Knows which headers and payload shapes Bedrock puts into a frame; not who makes the events.

Every event carries `p`, a prefix of a-zA-Z0-9 of random length 2 to 61, which hides the length of the text
from an onlooker of the encrypted connection (alphabet and range: 1,784 recorded events).
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from string import ascii_letters, digits
from typing import Final

import msgspec

from outcrop.errors import Fault, ModelErrorException, ModelTimeoutException
from outcrop.wire.eventstream import FrameKind, encode, encode_headers
from outcrop.wire.http import JSON

_ALPHABET: Final = (ascii_letters + digits).encode()
_PADDINGS: Final = tuple(_ALPHABET[:length] for length in range(2, 62))
_USABLE: Final = 256 - 256 % len(_PADDINGS)

Padding = Iterator[bytes]

# the members of each stream's union that are exceptions (botocore)
_INVOKE_MEMBERS: Final = frozenset(
    {
        "InternalServerException",
        "ModelStreamErrorException",
        "ValidationException",
        "ThrottlingException",
        "ModelTimeoutException",
        "ServiceUnavailableException",
    }
)
# ConverseStream's union lacks the timeout: botocore would show it with an empty code (measured)
_CONVERSE_MEMBERS: Final = _INVOKE_MEMBERS - {"ModelTimeoutException"}


def paddings(random_bytes: Callable[[int], bytes]) -> Padding:
    """Endless values for `p`, each length equally likely: bytes that would favour some are left out."""
    while True:
        for byte in random_bytes(4096):
            if byte < _USABLE:
                yield _PADDINGS[byte % len(_PADDINGS)]


def no_paddings() -> Padding:
    """For the setting that switches padding off: the field is there, and empty."""
    while True:
        yield b""


@lru_cache(maxsize=64)
def _event_headers(event_type: str) -> bytes:
    return encode_headers({":event-type": event_type, ":content-type": JSON, ":message-type": "event"})


_CHUNK: Final = FrameKind(_event_headers("chunk"), b'{"bytes":"')


def chunks(events: Iterable[bytes], padding: Padding) -> bytes:
    """The frames of an invoke stream around some Messages events' JSON, each with its own padding."""
    return _CHUNK.encode(
        [b'%b","p":"%b"}' % (b2a_base64(data, newline=False), next(padding)) for data in events]
    )


def converse_event(event_type: str, payload: bytes, padding: bytes) -> bytes:
    """A frame of a Converse stream. `payload` is a JSON object, to which `p` is added.

    The service puts `p` among its sorted keys; clients read by key, so here it goes to the end, unsorted.
    """
    joint = b"" if payload == b"{}" else b","
    return encode(_event_headers(event_type), b'%b%b"p":"%b"}' % (payload[:-1], joint, padding))


def exception(fault: Fault, *, converse: bool) -> bytes:
    """The frame that ends a broken stream: AWS's member name in lower camel case, and the message."""
    members = _CONVERSE_MEMBERS if converse else _INVOKE_MEMBERS
    name = fault.name
    if name not in members:
        name = "ServiceUnavailableException" if isinstance(fault, ModelTimeoutException) else _stand_in(fault)
    payload: dict[str, str | int] = {"message": fault.text}
    if name == "ModelStreamErrorException":
        original = fault.original_status if isinstance(fault, ModelErrorException) else fault.status
        payload = {"message": fault.text, "originalMessage": fault.text, "originalStatusCode": original}
    headers = {
        ":exception-type": name[0].lower() + name[1:],
        ":content-type": JSON,
        ":message-type": "exception",
    }
    return encode(encode_headers(headers), msgspec.json.encode(payload))


def _stand_in(fault: Fault) -> str:
    if fault.status == 429:
        return "ThrottlingException"
    if isinstance(fault, ModelErrorException):
        return "ModelStreamErrorException"
    return "ValidationException" if fault.status < 500 else "InternalServerException"
