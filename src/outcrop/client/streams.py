"""The bytes of an event stream become typed events, and its end is judged. Reads from nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outcrop.client.errors import (
    SEND_AGAIN,
    AnthropicError,
    APIStatusError,
    StreamBrokenError,
    StreamCorruptedError,
    StreamStalledError,
)
from outcrop.client.replies import may_pass, not_an_answer, stream_failure, transport_failure
from outcrop.transport import TransportError
from outcrop.types import ConverseStreamEvent, event_of
from outcrop.wire.chunks import StreamFault, converse_events, messages_events
from outcrop.wire.eventstream import CorruptStreamError, FrameBuffer

if TYPE_CHECKING:
    from outcrop.client.replies import Response


class StreamReader:
    """Feed the bytes of a reply as they arrive; take the events they complete.

    `error` is set once something is wrong: the events before it were good. `done`: the last event has come,
    and whatever follows does not matter.
    """

    __slots__ = ("_buffer", "_converse", "_response", "done", "error")

    def __init__(self, response: Response, *, converse: bool) -> None:
        self.done = False
        self.error: AnthropicError | None = None
        self._converse = converse
        self._response = response
        self._buffer = FrameBuffer()

    def feed(self, data: bytes | TransportError) -> list[Any]:
        """The events that these bytes complete. After `done` or `error` there are no more.

        b"" is the end of the reply, a TransportError the way it broke off.
        """
        events: list[Any] = []
        if isinstance(data, TransportError):
            self.error = transport_failure(data, self._response.request, in_stream=True)
            self.error.__cause__ = data
            return events
        if not data:
            self.error = self._ended()
            return events
        self._buffer.feed(data)
        try:
            if self._converse:
                self._take_converse(events)
            else:
                self._take_messages(events)
        except CorruptStreamError as error:
            self.error = self._corrupted(error, data)
        return events

    def _take_messages(self, events: list[Any]) -> None:
        for item in messages_events(self._buffer):
            if type(item) is StreamFault:
                self.error = self._failure(item)
                return
            kind = item.get("type")  # type: ignore[union-attr]
            if kind == "error":
                self.error = self._told_as_event(item)  # type: ignore[arg-type]
                return
            if kind is not None and kind != "ping":
                events.append(event_of(item))  # type: ignore[arg-type]
                if kind == "message_stop":
                    self.done = True
                    return

    def _take_converse(self, events: list[Any]) -> None:
        for item in converse_events(self._buffer):
            if isinstance(item, StreamFault):
                self.error = self._failure(item)
                return
            name, members = item
            events.append(ConverseStreamEvent.of({name: members}))
            if name == "metadata":
                self.done = True
                return

    def _failure(self, fault: StreamFault) -> APIStatusError:
        return stream_failure(self._response, fault.name, fault.message, fault.original_status)

    def _told_as_event(self, event: dict[str, Any]) -> APIStatusError:
        """The Messages API's own way to end a stream, which servers other than AWS's may use."""
        error = event.get("error")
        told = error if isinstance(error, dict) else {}
        return stream_failure(self._response, str(told.get("type", "error")), str(told.get("message", "")))

    def _ended(self) -> AnthropicError:
        kind = self._response.headers.get("content-type", "")
        if "html" in kind or kind.startswith("text/plain"):
            return not_an_answer(self._response)
        return self._ended_early()

    def _ended_early(self) -> StreamBrokenError:
        """The error of a stream without its last event."""
        return StreamBrokenError(
            message=f"{self._response.request.url}: the stream ended before its last event",
            request=self._response.request,
            fix=SEND_AGAIN,
        )

    def _corrupted(self, error: CorruptStreamError, data: bytes) -> AnthropicError:
        kind = self._response.headers.get("content-type", "")
        if "eventstream" not in kind:
            return not_an_answer(self._response, data)
        return StreamCorruptedError(
            message=f"{self._response.request.url}: the stream is corrupted: {error}",
            request=self._response.request,
            fix=SEND_AGAIN,
        )


def may_be_repeated(error: AnthropicError) -> bool:
    """Whether another attempt makes sense, if not one event has been handed out."""
    if isinstance(error, APIStatusError):
        return may_pass(error.status_code)
    return isinstance(error, (StreamBrokenError, StreamCorruptedError, StreamStalledError))
