"""What Bedrock puts into event-stream frames, read: Messages events, Converse events, what ends a stream.

The other direction is `frames`; it stands apart so that clients need not load what servers write with.
Knows frames and their JSON; not what an event means, nor who asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from outcrop.wire.eventstream import CorruptStreamError, Frame


class StreamFault(msgspec.Struct, frozen=True):
    """A failure that came as a frame: the stream ends with it.

    `name` is AWS's, as in a reply (`ThrottlingException`); `message` is "" where none was given;
    `original_status` is the status the model's server gave, 0 where Bedrock does not tell it.
    """

    name: str
    message: str = ""
    original_status: int = 0


class _Chunk(msgspec.Struct):
    data: bytes = msgspec.field(name="bytes")  # the decoder reads base64 straight into bytes


_chunk: Final = msgspec.json.Decoder(_Chunk).decode
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode

# JSON that is none, that has another shape, that is no text, that is nested without end
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def messages_events(frames: Iterable[Frame]) -> Iterator[dict[str, Any] | StreamFault]:
    """The Messages events in the frames of InvokeModelWithResponseStream, and the fault that ends them.

    Event types other than `chunk` are passed over: the service model has none, and may get some. Raises
    CorruptStreamError for frames that don't hold what they say, after the events before them.
    """
    for frame in frames:
        headers = frame.headers
        if headers.get(":message-type") != "event":
            yield _fault(frame)
        elif headers.get(":event-type") == "chunk":
            try:
                event = _object(_chunk(frame.payload).data)
            except _MALFORMED as error:
                raise CorruptStreamError(f"a chunk is malformed: {error}") from error
            yield event


def converse_events(frames: Iterable[Frame]) -> Iterator[tuple[str, dict[str, Any]] | StreamFault]:
    """ConverseStream's events in its frames, by name and without padding, and the fault that ends them.

    Raises CorruptStreamError for frames that don't hold what they say, after the events before them.
    """
    for frame in frames:
        headers = frame.headers
        if headers.get(":message-type") != "event":
            yield _fault(frame)
            continue
        try:
            event = _object(frame.payload)
        except _MALFORMED as error:
            raise CorruptStreamError(f"an event is malformed: {error}") from error
        event.pop("p", None)
        yield _text(frame, ":event-type"), event


def _fault(frame: Frame) -> StreamFault:
    """The two kinds of failure: those the service model names, and those of the layers before it."""
    kind = frame.headers.get(":message-type")
    if kind == "exception":
        name = _text(frame, ":exception-type")
        return _explained(_capital(name), frame.payload)
    if kind == "error":
        message = frame.headers.get(":error-message")
        name = _text(frame, ":error-code")
        return StreamFault(_capital(name), message if isinstance(message, str) else "")
    raise CorruptStreamError(f"a frame is of the unknown type {kind!r}")


def _explained(name: str, payload: bytes) -> StreamFault:
    """An exception's payload says more: a message, whose key some of AWS's layers begin with a capital."""
    try:
        told = _object(payload or b"{}")
    except _MALFORMED as error:
        raise CorruptStreamError(f"the exception {name} is malformed: {error}") from error
    message = told.get("message") or told.get("Message") or ""
    status = told.get("originalStatusCode") or 0
    if not isinstance(message, str) or not isinstance(status, int):
        raise CorruptStreamError(
            f"the exception {name} is malformed: its message or status is of another type"
        )
    return StreamFault(name, message, status)


def _text(frame: Frame, header: str) -> str:
    value = frame.headers.get(header)
    if not isinstance(value, str) or not value:
        raise CorruptStreamError(f"a frame has no text in its header {header}")
    return value


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]  # str.capitalize would make the rest small
