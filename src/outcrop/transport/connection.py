"""One HTTP/1.1 connection and the response that arrives on it. Knows flow and timeouts; not pools or URLs.

A `Response` owns what it has received: as soon as its last byte is in, the connection is free again, whether
or not somebody has read the response. Nothing is decoded: we ask for `identity`.
"""

from __future__ import annotations

import asyncio
import math
import os
import select
from types import TracebackType
from typing import Final, Protocol, cast

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
from outcrop.transport.http1 import ResponseReader

# What may still come after a response whose rest nobody wants, before closing is cheaper than waiting.
_DRAIN_BYTES: Final = 64 * KIB
_DRAIN_SECONDS: Final = 1.0
# Above this, head and body are written apart rather than copied together.
_JOIN_BYTES: Final = 64 * KIB
# Longer bodies are handed over in pieces, so that it shows when the server stops taking them.
_PIECE_BYTES: Final = 1024 * KIB
_NOTHING: Final = memoryview(b"")
_TIMEOUTS: Final = Timeouts()


class Owner(Protocol):
    """Who is told when a connection is free again or gone: its pool."""

    def release(self, connection: Connection) -> None:
        """The exchange is over and the connection may carry another."""

    def lost(self, connection: Connection) -> None:
        """The connection is closed. Called once."""


class Response:
    """A response as it arrives. Use it as a context manager: leaving closes it, and with it the connection if
    the response had not ended, which tells the server to stop.

    `status` and `headers` (lower-case names, in their order) are there from the start. `async for` hands out
    the parts of the body as they come. One task reads.
    """

    __slots__ = ("_chunks", "_connection", "_done", "_error", "_size", "_waiter", "headers", "status")

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._done = False
        self._error: HttpError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._connection: Connection | None = connection

    def header(self, name: str) -> str:
        """The value of a header, by its lower-case name; several joined with ", "; "" when there is none."""
        return ", ".join([value for known, value in self.headers if known == name])

    async def head(self) -> None:
        """Waits for status and headers. Raises HttpError."""
        while not self.status:
            if self._error is not None:
                raise self._error
            try:
                await self._arrival()
            except asyncio.CancelledError:
                self.close()
                raise

    async def read(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes. Raises HttpError; TooLargeError closes the response."""
        if self._done and 0 < self._size <= limit:
            return self._take()
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
            try:
                await self._arrival()
            except asyncio.CancelledError:
                self.close()
                raise
        return self._take()

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

    def _take(self) -> bytes:
        """All that waits to be read."""
        chunks = self._chunks
        self._chunks = []
        self._size = 0
        if self._connection is not None:
            self._connection.go_on()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _arrival(self) -> asyncio.Future[None]:
        # to ask which loop is running is a system call in Python 3.11
        loop = self._connection.loop if self._connection is not None else asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        return waiter

    # What follows is called by the connection only.

    def wake(self) -> None:
        """Something arrived."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def add(self, parts: list[bytes]) -> int:
        """Parts of the body. Returns how many bytes wait to be read."""
        chunks = self._chunks
        if len(parts) == 1:
            part = parts[0]
            chunks.append(part)
            self._size += len(part)
        else:
            chunks += parts
            self._size += sum(map(len, parts))
        return self._size

    def end(self) -> None:
        """The body is complete."""
        self._done = True
        self._connection = None
        self.wake()

    def fail(self, error: HttpError, *, tell: bool = True) -> None:
        """Nothing more will come. `tell`: whoever waits is woken, for which their loop must not be closed."""
        self._error = error
        self._connection = None
        if tell:
            self.wake()


class Connection(asyncio.BufferedProtocol, asyncio.Protocol):
    """Carries one exchange at a time. Its owner hears when it is free or gone.

    Bytes are read into `room`, which all connections of a loop may share: they are copied out of it before
    the next read. For a plain protocol asyncio maps 256 KiB from the system for each read and gives most of
    it back, three system calls and page faults, together 18 µs. uvloop has memory of its own, and takes
    what is both kinds of protocol for the plain one.
    """

    def __init__(self, owner: Owner, keep: float, limits: Limits, room: memoryview) -> None:
        self.used = False
        self._room = room
        self._owner = owner
        self._keep = keep  # seconds
        self._limits = limits
        self.loop = asyncio.get_running_loop()
        self._closed = False
        self._response: Response | None = None
        self._reader: ResponseReader | None = None
        self._timeouts = _TIMEOUTS
        self._phase: Phase | None = None  # None: nothing is being exchanged
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._paused = False  # reading
        self._drained = -1  # bytes thrown away, once that began
        self._unwritten = _NOTHING
        self._full = False  # the transport takes no more for now
        self._unsent = False

    # What the owner and the response call.

    def start(self, method: str, head: bytes, body: bytes, timeouts: Timeouts) -> Response:
        """Sends a request and hands back its response, of which nothing has arrived yet."""
        response = self._response = Response(self)
        self._reader = ResponseReader(self._limits, method)
        self._timeouts = timeouts
        transport = self._transport
        if len(body) <= _JOIN_BYTES:
            self._phase = "head"
            self._watch(timeouts.head)
            transport.write(head + body if body else head)
        else:
            self._phase = "write"
            transport.write(head)
            self._unwritten = memoryview(body)
            self._write_on()
        # asyncio's own loop writes at once and shows a failure here; uvloop shows it in connection_lost
        self._unsent = transport.is_closing()
        return response

    @property
    def answered(self) -> bool:
        """Whether any byte of the current response has arrived."""
        return self._reader is not None and self._reader.began

    def usable(self) -> bool:
        """Whether an unused connection can carry a request.

        The kernel is asked too: a busy loop may not have seen yet that the server has closed.
        """
        return not self._closed and not self._transport.is_closing() and not self._poll(0)

    def rest(self) -> None:
        """Nothing is asked of the connection for now: it closes by itself when that lasts."""
        self._watch(self._keep)

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

    def disown(self, error: HttpError, *, tell: bool) -> None:
        """The response has failed; closing is somebody else's to do. `tell`: as in `Response.fail`."""
        response, self._response = self._response, None
        if response is not None:
            response.fail(error, tell=tell)

    def sever(self) -> None:
        """Closes a connection that belongs to the process from which this one was forked: here, not there.

        Nothing of the loop may be touched, because its selector is the parent's too. The socket's number
        comes to mean the null device, which leaves transport and socket with something that they can close.
        """
        number = self._transport.get_extra_info("socket").fileno()
        if number >= 0:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(null, number, inheritable=False)
            os.close(null)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._poll = poll.poll

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where to read to."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Takes what was read."""
        self.data_received(self._room[:nbytes].tobytes())

    def data_received(self, data: bytes) -> None:
        """Feeds the reader, then tells whoever waits for the response once."""
        response, reader = self._response, self._reader
        if response is None or reader is None:
            self.abort()  # nobody asked: the server is out of step
            return
        try:
            parts = reader.feed(data)
        except GarbledError as error:
            if reader.status:
                self._pass_on(response, reader, reader.salvage)
            self.give_up(error)
            return
        if reader.status:
            self._pass_on(response, reader, parts)
            if reader.done:
                self._finish(response, reader.keep)
            elif self._drained > _DRAIN_BYTES:
                self.give_up(BrokenError("the rest of the response was too long to wait for"))
            else:
                if self._drained < 0 and not self._paused:
                    self._watch(self._timeouts.idle)
                response.wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Ends the response: well, if its end was to be shown by closing; else as broken."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        response, self._response = self._response, None
        if response is not None:
            failure = self._ending(error)
            if failure is None:
                response.end()
            else:
                response.fail(failure)
        self._unwritten = _NOTHING
        self._owner.lost(self)

    def pause_writing(self) -> None:
        """The server does not take what is sent, for now."""
        self._full = True

    def resume_writing(self) -> None:
        """The server has taken something."""
        self._full = False
        self._write_on()

    # Inner decisions.

    def _write_on(self) -> None:
        """Hands over as much of the body as is taken; when that is all, the response is waited for."""
        transport = self._transport
        left = self._unwritten
        while left and not self._full and not transport.is_closing():
            transport.write(left[:_PIECE_BYTES])
            left = left[_PIECE_BYTES:]
        self._unwritten = left or _NOTHING  # an empty view would hold the whole body
        if self._phase == "write":
            if left or self._full:
                self._watch(self._timeouts.write)
            else:
                self._phase = "head"
                self._watch(self._timeouts.head)

    def _pass_on(self, response: Response, reader: ResponseReader, parts: list[bytes]) -> None:
        """Hands head and body over, and stops reading when too much waits."""
        if not response.status:
            self._phase = "idle"
            response.status = reader.status
            response.headers = reader.headers
        if self._drained >= 0:
            self._drained += sum(map(len, parts))
        elif parts and response.add(parts) > self._limits.unread and not self._paused and not reader.done:
            self._paused = True
            self._deadline = math.inf  # not the server's fault that nothing comes
            self._transport.pause_reading()

    def _finish(self, response: Response, keep: bool) -> None:
        """The response is complete: the connection is free, if both sides are at the same point."""
        self._response = None
        self._phase = None
        transport = self._transport
        if self._paused:
            self._paused = False
            transport.resume_reading()
        # an answer to a request that is still being sent leaves the two sides out of step
        sent = not self._unwritten and not transport.get_write_buffer_size()
        self._drained = -1
        self.used = True
        response.end()
        if keep and sent and not transport.is_closing():
            self._owner.release(self)
        else:
            transport.abort()

    def _ending(self, error: Exception | None) -> HttpError | None:
        """What the end of the connection means for the response; None: that it is whole."""
        try:
            if error is None and self._reader is not None:
                self._reader.eof()
                return None
        except BrokenError:
            pass  # told below, with what is known here
        # EPIPE comes from writing only: part of the request never left this machine
        unsent = self._unsent or bool(self._unwritten) or isinstance(error, BrokenPipeError)
        return BrokenError(f"the connection was closed: {error or 'end of file'}", unsent=unsent)

    def _watch(self, seconds: float) -> None:
        """Sets the deadline. A timer that fires earlier is left alone: it sets itself anew.

        So an exchange on a kept connection sets no timer at all.
        """
        self._deadline = deadline = self.loop.time() + seconds
        if self._timer_at > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._arm(deadline)

    def _arm(self, deadline: float) -> None:
        self._timer_at = deadline
        self._timer = self.loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        if self._deadline > self.loop.time():
            if self._deadline < math.inf:
                self._arm(self._deadline)
        elif self._phase is None:
            self.abort()
        else:
            self.give_up(TimedOutError(self._phase, getattr(self._timeouts, self._phase)))
