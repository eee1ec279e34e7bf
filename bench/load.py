"""The load generator: sends bytes made in advance over kept connections, and checks every answer.

Knows HTTP/1.1 and how to count events; not whom it asks. A run ends when the last request it sent is
answered, so no work is done that is not counted.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast

import httptools
import uvloop

from bench.samples import DELTAS, OTHER_EVENTS, PACE

HOST: Final = "127.0.0.1"
_GRACE: Final = 30  # seconds that the last answers of a run may take
_Result = TypeVar("_Result")


class LoadError(Exception):
    """An answer was not what it should have been, so there is nothing to measure."""


class Tally(NamedTuple):
    """What a run did: answered requests (or whole streams), and seconds to the first byte of each body."""

    answered: int
    first_bytes: list[float]


class Answer(NamedTuple):
    """One answer, for a look at its contents."""

    status: int
    body: bytes


class Counter(Protocol):
    """Counts the deltas of one stream."""

    @property
    def deltas(self) -> int:
        """How many have come."""

    @property
    def complete(self) -> bool:
        """Whether the stream has come to its proper end."""

    def feed(self, part: bytes) -> None:
        """The next bytes of the body."""


class SseCounter:
    """Counts server-sent events, by their first lines."""

    def __init__(self) -> None:
        self.deltas = 0
        self.complete = False
        self._line = b""

    def feed(self, part: bytes) -> None:
        data = self._line + part
        end = data.rfind(b"\n") + 1
        self._line = data[end:]
        self.deltas += data.count(b"event: content_block_delta\n", 0, end)
        self.complete = self.complete or data.find(b"event: message_stop\n", 0, end) >= 0


class FrameCounter:
    """Counts event-stream frames by their lengths; what is in them was looked at before the run."""

    _length: Final = struct.Struct(">I").unpack_from

    def __init__(self) -> None:
        self._frames = 0
        self._held = b""
        self._broken = False

    @property
    def deltas(self) -> int:
        return self._frames - OTHER_EVENTS

    @property
    def complete(self) -> bool:
        return self._frames == DELTAS + OTHER_EVENTS and not self._held and not self._broken

    def feed(self, part: bytes) -> None:
        self._broken = self._broken or b":exception-type" in part
        data = self._held + part
        at, end, length = 0, len(data), self._length
        while end - at >= 4 and at + (size := length(data, at)[0]) <= end:
            at += size
            self._frames += 1
        self._held = data[at:]


class _Run:
    """What the connections of one run share."""

    def __init__(self, request: bytes, connections: int, deadline: float) -> None:
        self.request = request
        self.deadline = deadline
        self.answered = 0
        self.first_bytes: list[float] = []
        self.open = connections
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()

    def fail(self, what: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(LoadError(what))

    def close(self, transport: asyncio.Transport) -> None:
        transport.close()
        self.open -= 1
        if not self.open and not self.ended.done():
            self.ended.set_result(None)

    async def tally(self, seconds: float) -> Tally:
        try:
            async with asyncio.timeout(seconds + _GRACE):
                await self.ended
        except TimeoutError:
            raise LoadError(f"{self.open} connections had no answer {_GRACE} s after the end") from None
        return Tally(self.answered, self.first_bytes)


class _Asker(asyncio.Protocol):
    """One connection that asks for whole replies, one after another. `size` is that of the right body."""

    def __init__(self, run: _Run, size: int) -> None:
        self._run = run
        self._size = size
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        run = self._run
        if self._held:
            data = self._held + data
        head = data.find(b"\r\n\r\n") + 4
        missing = head + self._size - len(data)
        if not data.startswith(b"HTTP/1.1 200 ") or missing < 0:
            run.fail(f"an answer begins {data[:300]!r}")
        elif head < 4 or missing:
            self._held = data
        else:
            self._held = b""
            run.answered += 1
            if run.loop.time() < run.deadline:
                self._transport.write(run.request)
            else:
                run.close(self._transport)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self._transport.is_closing():
            self._run.fail("a connection was closed")


class _Listener(asyncio.Protocol):
    """One connection that listens to whole streams, one after another."""

    def __init__(self, run: _Run, counter: Callable[[], Counter]) -> None:
        self._run = run
        self._make_counter = counter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self) -> None:
        """Send the request for a stream."""
        self._parser = httptools.HttpResponseParser(self)
        self._counter = self._make_counter()
        self._heard = False
        self._asked = time.perf_counter()
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self._transport.is_closing():
            self._run.fail("a connection was closed")

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() != 200:
            self._run.fail(f"a stream was refused with status {self._parser.get_status_code()}")

    def on_body(self, part: bytes) -> None:
        if not self._heard:
            self._heard = True
            self._run.first_bytes.append(
                time.perf_counter() - self._asked
            )  # the loop's own clock counts milliseconds
        self._counter.feed(part)

    def on_message_complete(self) -> None:
        run, counter = self._run, self._counter
        if not counter.complete or counter.deltas != DELTAS:
            run.fail(f"a stream ended after {counter.deltas} deltas of {DELTAS}")
            return
        run.answered += 1
        if run.loop.time() < run.deadline:
            run.loop.call_soon(self.ask)  # not from inside the parser's callback: ask() replaces the parser
        else:
            run.close(self._transport)


class _Waiter(asyncio.Protocol):
    """One connection whose stream stays open: tells when its first bytes have come."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        if self.heard.done():
            return
        self._head += data
        if not self._head.startswith(b"HTTP/1.1 200 "):
            self.heard.set_exception(LoadError(f"an answer begins {self._head[:300]!r}"))
        elif b"message_start" in self._head or b":event-type" in self._head:
            self.heard.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.heard.done():
            self.heard.set_exception(LoadError(f"a stream broke before its first event: {error}"))


class _Single(asyncio.Protocol):
    """One connection for one answer, kept whole."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        self.answer.set_result(Answer(self._parser.get_status_code(), b"".join(self._parts)))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(LoadError(f"the connection was closed: {error}"))


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run one of the loads below."""
    return uvloop.run(work)


async def once(port: int, request: bytes) -> Answer:
    """One request and its whole answer. Raises LoadError."""
    transport, single = await _connect(port, _Single)
    try:
        async with asyncio.timeout(_GRACE):
            transport.write(request)
            return await single.answer
    except TimeoutError:
        raise LoadError("no answer came") from None
    finally:
        transport.abort()


async def whole(port: int, request: bytes, size: int, connections: int, seconds: float) -> Tally:
    """Ask for whole replies, whose bodies have `size` bytes, for a time. Raises LoadError."""
    shared = _Run(request, connections, asyncio.get_running_loop().time() + seconds)
    transports = [(await _connect(port, lambda: _Asker(shared, size)))[0] for _ in range(connections)]
    try:
        return await shared.tally(seconds)
    finally:
        for transport in transports:
            transport.abort()


async def streams(
    port: int, request: bytes, counter: Callable[[], Counter], connections: int, seconds: float
) -> Tally:
    """Listen to streams for a time; with 0 seconds, to one on each connection. Raises LoadError.

    The connections begin one after another within one pace, so that paced streams do not move in step.
    """
    loop = asyncio.get_running_loop()
    shared = _Run(request, connections, 0.0)
    opened = [await _connect(port, lambda: _Listener(shared, counter)) for _ in range(connections)]
    shared.deadline = loop.time() + seconds
    try:
        for number, (_, listener) in enumerate(opened):
            loop.call_later(PACE * number / connections, listener.ask)
        return await shared.tally(max(seconds, DELTAS * PACE))
    finally:
        for transport, _ in opened:
            transport.abort()


async def held_open(port: int, request: bytes, count: int, look: Callable[[], _Result]) -> _Result:
    """What `look` says while `count` streams are open, each past its first event. Raises LoadError."""
    opened = [await _connect(port, _Waiter) for _ in range(count)]
    try:
        async with asyncio.timeout(_GRACE):
            for transport, _ in opened:
                transport.write(request)
            await asyncio.gather(*(waiter.heard for _, waiter in opened))
        return look()
    except TimeoutError:
        raise LoadError(f"not all of {count} streams began") from None
    finally:
        for transport, _ in opened:
            transport.abort()


_AnyProtocol = TypeVar("_AnyProtocol", bound=asyncio.Protocol)


async def _connect(port: int, make: Callable[[], _AnyProtocol]) -> tuple[asyncio.Transport, _AnyProtocol]:
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(sock, (HOST, port))
        transport, protocol = await loop.create_connection(make, sock=sock)
    except OSError as error:
        sock.close()
        raise LoadError(f"port {port} takes no connection: {error.strerror}") from error
    return transport, protocol
