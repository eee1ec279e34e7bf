"""The traffic of every measurement: a request of 1 KB, a reply of 1.1 KB, a stream of 200 deltas.

Values only: no sockets, no processes. The upstream serves them, the load generator checks what comes back.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from outcrop.wire.sse import Event

MODEL: Final = "anthropic.claude-sonnet-4-5-20250929-v1:0"
UPSTREAM_MODEL: Final = "claude-sonnet-4-5-20250929"
REGION: Final = "us-west-2"

DELTAS: Final = 200
# message_start, content_block_start, content_block_stop, message_delta, message_stop
OTHER_EVENTS: Final = 5
PACE: Final = 0.02  # seconds between the deltas of a paced stream

_REQUEST_BYTES: Final = 1024
_REPLY_BYTES: Final = 1100


class Pattern(Enum):
    """How the upstream answers. The prompt carries the word, so it passes through every gateway unchanged."""

    WHOLE = "whole"
    BURST = "burst"  # all deltas in one write
    PACED = "paced"  # a delta every 20 ms
    OPEN = "open"  # the first events, then silence until the client leaves

    @property
    def marker(self) -> bytes:
        """What the upstream looks for in a request."""
        return b"pattern=" + self.value.encode()


def bedrock_body(pattern: Pattern) -> bytes:
    """The body of InvokeModel, 1,024 bytes."""
    return _body({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1024}, pattern)


def messages_body(pattern: Pattern) -> bytes:
    """The body of a Messages request, 1,024 bytes too."""
    stream = {} if pattern is Pattern.WHOLE else {"stream": True}
    return _body({"model": UPSTREAM_MODEL, "max_tokens": 1024, **stream}, pattern)


def _body(fields: dict[str, object], pattern: Pattern) -> bytes:
    prompt = f"pattern={pattern.value} Explain to a newcomer how a river shapes the land it runs through."
    body = msgspec.json.encode({**fields, "messages": [{"role": "user", "content": prompt}]})
    return _filled(body, prompt.encode(), _REQUEST_BYTES)


def reply() -> bytes:
    """A whole Messages reply, 1,100 bytes."""
    text = "A river carries what it loosens."
    message = {
        "model": UPSTREAM_MODEL,
        "id": "msg_01Outcrop0000000000000000",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _usage(output=180),
    }
    return _filled(msgspec.json.encode(message), text.encode(), _REPLY_BYTES)


def _filled(body: bytes, text: bytes, size: int) -> bytes:
    """The same JSON, with words added behind `text` until it has `size` bytes."""
    words = b" It cuts where it is fast and lays down where it is slow." * 40
    filled = body.replace(text, text + words[: size - len(body)], 1)
    if len(filled) != size:
        raise ValueError(f"a sample of {len(filled)} bytes should have {size}")
    return filled


def _usage(output: int) -> dict[str, int]:
    return {
        "input_tokens": 210,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
    }


def opening() -> list[Event]:
    """The events before the first delta."""
    message = msgspec.json.decode(reply())
    message |= {"content": [], "stop_reason": None, "usage": _usage(output=1)}
    block = {"type": "text", "text": ""}
    return [
        _event("message_start", message=message),
        _event("content_block_start", index=0, content_block=block),
    ]


def deltas(count: int = DELTAS) -> list[Event]:
    """The deltas, 87 bytes of JSON or so each."""
    return [
        _event("content_block_delta", index=0, delta={"type": "text_delta", "text": f" and so on {n:3}"})
        for n in range(count)
    ]


def closing() -> list[Event]:
    """The events behind the last delta."""
    return [
        _event("content_block_stop", index=0),
        _event(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={"output_tokens": DELTAS},
        ),
        _event("message_stop"),
    ]


def _event(kind: str, **fields: object) -> Event:
    return Event(kind, msgspec.json.encode({"type": kind, **fields}))


def as_sse(events: list[Event]) -> bytes:
    """Events as the Messages API streams them."""
    return b"".join(b"event: %b\ndata: %b\n\n" % (kind.encode(), data) for kind, data in events)
