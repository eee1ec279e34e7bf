"""Server-sent events: bytes in, `Event`s out, and back. Knows lines and fields; not Messages, not time.

Rules: the WHATWG HTML standard, section "Server-sent events". `id`, `retry`, comments and unknown fields are
read and left out, as nothing here resumes a stream. Two things go beyond it: an event without an `event` line
takes its type from its JSON, and no event may grow past a limit.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

MIB: Final = 1024 * 1024


class Event(NamedTuple):
    """One event of a Messages stream: its type (`content_block_delta`) and its JSON, undecoded."""

    type: str
    data: bytes


class EventTooLongError(ValueError):
    """An event passed the limit. `events` are those that were complete before it."""

    def __init__(self, limit: int, events: list[Event]) -> None:
        super().__init__(f"an event is longer than {limit} bytes")
        self.events = events


class _Typed(msgspec.Struct):
    type: str = ""


_typed: Final = msgspec.json.Decoder(_Typed)

# A dictionary turns the bytes of a type into a string that exists already.
_KNOWN: Final = {
    name.encode(): name
    for name in (
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
        "error",
    )
}
_NEWLINE: Final = 10
_USUAL: Final = re.compile(rb"event: ([^\n]*)\ndata: ([^\n]*)\n\n")
_USUAL_FRAME: Final = len(b"event: \ndata: \n\n")
_make: Final = tuple.__new__  # half the price of calling a NamedTuple


class EventBuffer:
    """Feed bytes as they arrive, cut anywhere; get back the events they complete.

    `limit` bounds one event's data and any one line, in bytes. What is left when the stream ends is not an
    event: the standard drops it. After EventTooLongError the buffer is of no more use.
    """

    __slots__ = ("_data", "_first", "_held", "_limit", "_rest", "_skip_newline", "_type")

    def __init__(self, limit: int = 24 * MIB) -> None:
        self._limit = limit
        self._rest: list[bytes] = []  # pieces of a line whose end has not come
        self._held = 0  # bytes in _rest and _data
        self._data: list[bytes] = []
        self._type = ""
        self._first = True
        self._skip_newline = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes, in order. Raises EventTooLongError."""
        if self._skip_newline or b"\r" in data:
            data = self._with_newlines(data)
        last = data.rfind(b"\n") + 1
        events: list[Event] = []
        if last:
            lines = data[:last] if last < len(data) else data
            if self._rest:
                lines = b"".join(self._rest) + lines
                self._held -= sum(map(len, self._rest))
                self._rest.clear()
            self._read(lines, events)
        if last < len(data):
            self._hold(len(data) - last, events)
            self._rest.append(data[last:])
        return events

    def _with_newlines(self, data: bytes) -> bytes:
        """The same with LF for every CRLF and CR. A CR ends its line at once, an LF after it is swallowed."""
        if self._skip_newline and data:
            self._skip_newline = False
            if data[0] == _NEWLINE:
                data = data[1:]
        if data.endswith(b"\r"):
            self._skip_newline = True
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _read(self, lines: bytes, events: list[Event]) -> None:
        """Reads whole lines. Where an event begins the usual shape is tried, elsewhere line after line."""
        if self._first:
            self._first = False
            lines = lines.removeprefix(b"\xef\xbb\xbf")
        at, end = 0, len(lines)
        while at < end:
            if not self._data and not self._type:
                at = self._read_usual(lines, at, events)
                if at == end:
                    return
            stop = lines.index(b"\n", at)
            self._read_line(lines[at:stop], events)
            at = stop + 1

    def _read_run(self, lines: bytes, at: int, events: list[Event]) -> int:
        """Reads all of a burst at once if every event in it has the usual shape; returns where it ended."""
        end = lines.rfind(b"\n\n", at) + 2
        if not 2 <= end <= at + self._limit:
            return at
        found = _USUAL.findall(lines, at, end)
        if at + sum([len(name) + len(data) for name, data in found]) + _USUAL_FRAME * len(found) != end:
            return at  # something else stands between them
        for name, data in found:
            kind = _KNOWN.get(name) or name.decode("utf-8", "replace")
            events.append(_make(Event, (kind or _type_of(data), data)))
        return end

    def _read_usual(self, lines: bytes, at: int, events: list[Event]) -> int:
        """Reads events written `event: x`, `data: y`, empty line; returns where that shape ends."""
        at = self._read_run(lines, at, events)
        find, known, limit = lines.find, _KNOWN, self._limit
        end = len(lines)
        while at < end:
            first = find(b"\n", at)
            second = find(b"\n", first + 1)
            if (
                second < 0
                or second + 1 == end
                or lines[second + 1] != _NEWLINE
                or lines[at : at + 7] != b"event: "
                or lines[first + 1 : first + 7] != b"data: "
                or second - first > limit
            ):
                break
            name = lines[at + 7 : first]
            kind = known.get(name) or name.decode("utf-8", "replace")
            data = lines[first + 7 : second]
            events.append(_make(Event, (kind or _type_of(data), data)))
            at = second + 2
        return at

    def _read_line(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self._dispatch(events)
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._hold(len(value), events)
            self._data.append(value)
        elif len(line) > self._limit:
            raise EventTooLongError(self._limit, events)
        elif field == b"event":
            self._type = value.decode("utf-8", "replace")

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            data = b"\n".join(self._data)
            events.append(Event(self._type or _type_of(data), data))
            self._data.clear()
            self._held = 0
        self._type = ""

    def _hold(self, size: int, events: list[Event]) -> None:
        """Counts bytes before they are kept."""
        if self._held + size > self._limit:
            raise EventTooLongError(self._limit, events)
        self._held += size


def _type_of(data: bytes) -> str:
    """The `type` in an event's JSON; "message", the standard's default, when there is none."""
    try:
        return _typed.decode(data).type or "message"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "message"


def encode(event: Event) -> bytes:
    """An event as it stands on the wire. Its data may have several lines (LF only)."""
    return b"event: %b\ndata: %b\n\n" % (event.type.encode(), event.data.replace(b"\n", b"\ndata: "))
