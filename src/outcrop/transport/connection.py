"""One HTTP/1.1 connection and the response that arrives on it. Knows framing and timeouts; not pools or URLs.

A `Response` owns what it has received: as soon as its last byte is in, the connection is free again, whether
or not somebody has read the response. Nothing is decoded: we ask for `identity`.
"""

from __future__ import annotations

import asyncio
import math
import select
from types import TracebackType
from typing import Final, Protocol, cast

import httptools

from outcrop.transport import (
    KIB,
    BrokenError,
    GarbledError,
    HttpError,
    Limits,
    Phase,
    TimedOutError,
    Timeouts,
    TooLargeError,
)

# What may still come after a response whose rest nobody wants, before closing is cheaper than waiting.
_DRAIN_BYTES: Final = 64 * KIB
_DRAIN_SECONDS: Final = 1.0
# Above this, head and body are written apart rather than copied together.
_JOIN_BYTES: Final = 64 * KIB


class Owner(Protocol):
    """Who is told when a connection is free again or gone: its pool."""

    def release(self, connection: Connection) -> None:
        """The exchange is over and the connection may carry another."""

    def lost(self, connection: Connection) -> None:
        """The connection is closed. Called once."""


class Response:
    """A response as it arrives. Use it as a context manager: leaving closes it, and with it the connection if
    the response had not ended, which tells the server to stop.

    `async for` hands out the parts of the body as they come. One task reads.
    """

    __slots__ = ("_chunks", "_connection", "_done", "_error", "_headers", "_size", "_waiter", "status")

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._done = False
        self._error: HttpError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._connection: Connection | None = connection

    def header(self, name: str) -> str:
        """The value of a header, by its lower-case name; several joined with ", "; "" when there is none."""
        wanted = name.encode("latin-1")
        return ", ".join(v.decode("latin-1") for k, v in self._headers if k.lower() == wanted)

    async def head(self) -> None:
        """Waits for status and headers. Raises HttpError."""
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def read(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes. Raises HttpError; TooLargeError closes the response."""
        parts: list[bytes] = []
        size = 0
        async for part in self:
            size += len(part)
            if size > limit:
                self.close()
                raise TooLargeError(f"the response is longer than {limit} bytes")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __aiter__(self) -> Response:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._done:
                raise StopAsyncIteration
            await self._wait()
        chunks = self._chunks
        self._chunks = []
        self._size = 0
        if self._connection is not None:
            self._connection.go_on()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def close(self) -> None:
        """Gives the response up. If it had not ended, its connection is closed. Idempotent."""
        connection = self._connection
        if connection is not None:
            self.fail(BrokenError("the response was closed here"))
            connection.abort()

    def finish_unread(self) -> None:
        """The rest is not wanted but should be short: the connection is kept if the end comes soon."""
        self._chunks.clear()
        self._size = 0
        if self._connection is not None:
            self._connection.drain()

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None

    # What follows is called by the connection only.

    def wake(self) -> None:
        """Something arrived."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The head is complete."""
        self.status = status
        self._headers = headers

    def add(self, part: bytes) -> int:
        """A part of the body. Returns how many bytes wait to be read."""
        self._chunks.append(part)
        self._size += len(part)
        return self._size

    def end(self) -> None:
        """The body is complete."""
        self._done = True
        self._connection = None
        self.wake()

    def fail(self, error: HttpError) -> None:
        """Nothing more will come."""
        self._error = error
        self._connection = None
        self.wake()


class Connection(asyncio.Protocol):
    """Carries one exchange at a time. Its owner hears when it is free or gone."""

    def __init__(self, owner: Owner, timeouts: Timeouts, limits: Limits) -> None:
        self.used = False
        self._owner = owner
        self._timeouts = timeouts
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._response: Response | None = None
        self._phase: Phase | None = None  # None: nothing is being exchanged
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._paused = False
        self._drained = -1  # bytes thrown away, once that began
        self._unsent = False
        self._reset()

    def _reset(self) -> None:
        """Ready for the next response."""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_size = 0
        self._head_done = False
        self._complete = False
        self._extra = False
        self._keep = False

    # What the owner and the response call.

    def start(self, head: bytes, body: bytes) -> Response:
        """Sends a request and hands back its response, of which nothing has arrived yet."""
        response = self._response = Response(self)
        self._phase = "head"
        self._watch(self._timeouts.head)
        transport = self._transport
        if len(body) <= _JOIN_BYTES:
            transport.write(head + body if body else head)
        else:
            transport.write(head)
            transport.write(body)
        # asyncio's own loop writes at once and shows a failure here; uvloop shows it in connection_lost
        self._unsent = transport.is_closing()
        return response

    @property
    def answered(self) -> bool:
        """Whether any byte of the current response has arrived."""
        return self._head_size > 0 or self._head_done

    def usable(self) -> bool:
        """Whether an unused connection can carry a request.

        The kernel is asked too: a busy loop may not have seen yet that the server has closed.
        """
        return not self._closed and not self._transport.is_closing() and not self._poll(0)

    def rest(self) -> None:
        """Nothing is asked of the connection for now: it closes by itself when that lasts."""
        self._watch(self._timeouts.keep)

    def go_on(self) -> None:
        """The reader has taken everything that had arrived."""
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
                self._watch(self._timeouts.idle)

    def drain(self) -> None:
        """Throws away the rest of the response; closes when that is long in coming."""
        self._drained = 0
        self.go_on()
        self._watch(_DRAIN_SECONDS)

    def give_up(self, error: HttpError) -> None:
        """Closes at once and tells the reader why."""
        response = self._response
        self.abort()
        if response is not None:
            response.fail(error)

    def abort(self) -> None:
        """Closes at once, without a word to the reader. Idempotent."""
        self._response = None
        self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._poll = poll.poll

    def data_received(self, data: bytes) -> None:
        """Feeds the parser, then tells the reader once."""
        response = self._response
        if response is None:
            self.abort()  # nobody asked: the server is out of step
            return
        before = self._head_size
        if not self._head_done:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self.give_up(GarbledError("the response could not be read"))
            raise  # ours, not the server's
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:  # else the response is whole, and what follows it tells nothing about it
                self.give_up(GarbledError(f"not an HTTP response: {error}"))
                return
            self._extra = True
        if before <= self._limits.head < self._head_size and self._head_too_long():
            self.give_up(GarbledError(f"the response's head is longer than {self._limits.head} bytes"))
        elif self._complete:
            self._finish(response)
        elif self._head_done:
            self._after_part(response)

    def connection_lost(self, error: Exception | None) -> None:
        """Ends the response: well, if its end was to be shown by closing; else as broken."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        response, self._response = self._response, None
        if response is not None:
            if error is None and self._ends_by_closing():
                response.end()
            else:
                # EPIPE comes from writing only: part of the request never left this machine
                unsent = self._unsent or isinstance(error, BrokenPipeError)
                response.fail(
                    BrokenError(f"the connection was closed: {error or 'end of file'}", unsent=unsent)
                )
        self._owner.lost(self)

    # What the parser calls. No exception may leave these: it would look like a fault of the server's.

    def on_message_begin(self) -> None:
        """A second response in one read was not asked for."""
        self._extra = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps a header; trailers are left out."""
        if not self._head_done:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hands the head to the response, unless it is an interim one (RFC 9110, 15.2)."""
        status = self._parser.get_status_code()
        if status >= 200 and self._response is not None and not self._extra:
            self._head_done = True
            self._phase = "idle"
            self._response.begin(status, self._headers)

    def on_body(self, part: bytes) -> None:
        """Keeps a part of the body, and stops reading when too much waits."""
        response = self._response
        if response is None or self._extra:
            return
        if self._drained >= 0:
            self._drained += len(part)
        elif response.add(part) > self._limits.unread and not self._paused:
            self._paused = True
            self._deadline = math.inf  # not the server's fault that nothing comes
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Notes the end; what it means is decided when the whole read has been fed."""
        if self._head_done:
            self._complete = True
            self._keep = self._parser.should_keep_alive()
        else:
            self._headers = []

    # Inner decisions.

    def _head_too_long(self) -> bool:
        """The read that crossed the limit may have held the body's beginning too."""
        if not self._head_done:
            return True
        return sum(len(name) + len(value) + 4 for name, value in self._headers) > self._limits.head

    def _after_part(self, response: Response) -> None:
        if self._drained > _DRAIN_BYTES:
            self.give_up(BrokenError("the rest of the response was too long to wait for"))
            return
        if self._drained < 0 and not self._paused:
            self._watch(self._timeouts.idle)
        response.wake()

    def _finish(self, response: Response) -> None:
        """The response is complete: the connection is free, if both sides are at the same point."""
        self._response = None
        self._phase = None
        transport = self._transport
        if self._paused:
            self._paused = False
            transport.resume_reading()
        # an answer to a request that is still being sent leaves the two sides out of step
        keep = self._keep and not self._extra and not transport.get_write_buffer_size()
        self._drained = -1
        self._reset()
        self.used = True
        response.end()
        if keep and not transport.is_closing():
            self._owner.release(self)
        else:
            transport.abort()

    def _ends_by_closing(self) -> bool:
        """Whether the current body has neither length nor chunks, so that closing ends it (RFC 9112, 6.3)."""
        if not self._head_done:
            return False
        names = {name.lower() for name, _ in self._headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    def _watch(self, seconds: float) -> None:
        """Sets the deadline. A timer that fires earlier is left alone: it sets itself anew.

        So an exchange on a kept connection sets no timer at all.
        """
        self._deadline = deadline = self._loop.time() + seconds
        if self._timer_at > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._arm(deadline)

    def _arm(self, deadline: float) -> None:
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        if self._deadline > self._loop.time():
            if self._deadline < math.inf:
                self._arm(self._deadline)
        elif self._phase is None:
            self.abort()
        else:
            seconds = self._timeouts.head if self._phase == "head" else self._timeouts.idle
            self.give_up(TimedOutError(self._phase, seconds))
