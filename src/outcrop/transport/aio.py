"""A lean HTTP/1.1 client with pooled connections: what engines that ask another server stand on.

It sends a whole request and hands back the response as it arrives. It knows no redirects, cookies or content
codings, and no retries but one: a kept connection may be closed by the server in the moment it is used.

When is a request sent again? RFC 9110 (9.2.2) lets a client repeat a request by itself if its method is
idempotent, or if the client can tell that the request was never applied. So, on a connection that had been
used before, of whose response nothing has arrived, once, and on a fresh connection:

- idempotent methods are sent again;
- POST is sent again only if the server can't have had all of it, because writing it failed.

A POST that was written and not answered may have been worked on, and a generation costs money, so it fails
and the caller decides. What keeps that from happening: connections are dropped before servers close them
(`Timeouts.keep`), and the kernel is asked for a pending close before a connection is used.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Final

from outcrop.transport import KIB, BrokenError, ClosedError, Limits, TimedOutError, Timeouts
from outcrop.transport.connection import Connection, Response
from outcrop.transport.dial import dial
from outcrop.transport.http1 import IDEMPOTENT, request_head
from outcrop.transport.route import Proxies, Route, Target, locate
from outcrop.transport.trust import Trust

_TIMEOUTS: Final = Timeouts()
_LIMITS: Final = Limits()
# What is read at once, at most.
_ROOM_BYTES: Final = 64 * KIB

# What a forked process inherits stays alive in it: to collect it would touch the parent's loop.
_INHERITED: Final[list[_Pool]] = []


class Client:
    """Sends requests. Bound to the event loop of its first request: close it there, or leave it to the loop's
    end, when that is in order, as `asyncio.run`'s is.

    `trust` says which authorities are believed; `ca_file` is short for `Trust(ca_file)`. `proxies` are the
    environment's unless given. `guarded`: link-local and metadata addresses are refused.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts = _TIMEOUTS,
        limits: Limits = _LIMITS,
        trust: Trust | None = None,
        ca_file: str = "",
        proxies: Proxies | None = None,
        guarded: bool = True,
    ) -> None:
        self.timeouts = timeouts
        self.limits = limits
        self._trust = trust or Trust(ca_file)
        self._proxies = Proxies.from_environment(os.environ) if proxies is None else proxies
        self._guarded = guarded
        self._found: dict[str, tuple[Target, _Pool]] = {}
        self._pools: dict[Route, _Pool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._ending: AsyncGenerator[None, None] | None = None
        self._closed = False

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        timeouts: Timeouts | None = None,
    ) -> Response:
        """Sends a request and waits for the head of its response, which the caller must close.

        `host`, `content-length`, `accept-encoding` and a proxy's login are added. `timeouts` are the client's
        unless given (`keep` is always the client's). Cancelling closes the connection. Raises DialError when
        there is no connection, HttpError when the exchange fails, ValueError for a URL, method or header that
        can't be sent.
        """
        if self._loop is not asyncio.get_running_loop() or self._closed:
            self._bind()
        target, pool = self._found.get(url) or self._find(url)
        timeouts = timeouts or self.timeouts
        head = request_head(method, target, headers, len(body))
        connection = pool.rested() or await pool.take(timeouts)
        first_use = not connection.used
        response = connection.start(method, head, body, timeouts)
        try:
            await response.head()
        except BrokenError as error:
            if first_use or connection.answered or not (error.unsent or method in IDEMPOTENT):
                raise
        else:
            return response
        response = (await pool.take(timeouts)).start(method, head, body, timeouts)
        await response.head()
        return response

    def locate(self, url: str) -> Target:
        """Where a URL leads by this client's proxies. Raises ValueError, ProxyError, AddressRefusedError."""
        return locate(url, self._proxies, guarded=self._guarded)

    def tls(self) -> None:
        """Reads the authorities now, not when TLS is first spoken. Raises CertificateError."""
        self._trust.context()

    async def close(self) -> None:
        """Closes every connection and waits until they are gone. Idempotent.

        In another loop than the client's, or another process, nothing is waited for: see `abandon`.
        """
        if self._loop is not asyncio.get_running_loop() or self._process != os.getpid():
            self.abandon()
        self._closed = True
        for pool in tuple(self._pools.values()):
            await pool.close()
        self._part()

    def abandon(self) -> None:
        """Closes every connection from outside of the client's loop, which may be closed. Idempotent.

        Whoever waits for something gets ClosedError, unless their loop is closed. In a process that was
        forked from the client's, its parent's connections are let go of and stay open there. From a thread
        other than that in which the loop runs, the closing is left to that thread. A uvloop that is stopped
        closes what it opened when it goes on or is closed, not before.
        """
        self._drop(every=True)

    def __del__(self) -> None:
        # Only what is unused goes: a response may still be read when nobody has its client any more.
        if getattr(self, "_pools", None):
            self._drop(every=self._loop is None or self._loop.is_closed())

    def open_connections(self) -> int:
        """How many connections are open or being opened."""
        return sum(pool.open for pool in self._pools.values())

    def _bind(self) -> None:
        """Takes the running loop for its own, if it has none."""
        if self._closed:
            raise ClosedError("the client is closed")
        if self._loop is not None:
            raise RuntimeError("this client belongs to another event loop")
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._ending = _until_the_end(self._pools)
        with suppress(StopIteration):  # its first step is done at once, and makes it known to the loop
            self._ending.__anext__().send(None)

    def _part(self) -> None:
        """The loop's end does not concern this client any more."""
        ending, self._ending = self._ending, None
        self._pools.clear()
        self._found.clear()
        if ending is not None:
            with suppress(StopIteration, RuntimeError):  # RuntimeError: it is at work in this moment
                ending.aclose().send(None)

    def _find(self, url: str) -> tuple[Target, _Pool]:
        target = self.locate(url)
        pool = self._pools.get(target.route)
        if pool is None:
            pool = _Pool(target.route, self.timeouts.keep, self.limits, self._trust, self._guarded)
            self._pools[target.route] = pool
        if len(self._found) < 1024:
            self._found[url] = target, pool
        return target, pool

    def _drop(self, *, every: bool) -> None:
        self._closed = True
        loop, pools = self._loop, list(self._pools.values())
        self._part()
        if loop is None or not pools:
            return
        if os.getpid() != self._process:
            _INHERITED.extend(pools)
            for pool in pools:
                pool.sever()
        elif loop.is_running() and _running() is not loop:
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(_dismiss, loop, pools, every)
        else:
            _dismiss(loop, pools, every)


async def _until_the_end(pools: dict[Route, _Pool]) -> AsyncGenerator[None, None]:
    """Closes what its client has left open when the loop comes to its end.

    `asyncio.run` and its like finish asynchronous generators before they close the loop: the one moment in
    which a client that nobody closes can still do it in order.
    """
    try:
        yield
    finally:
        while pools:
            await pools.popitem()[1].close()


def _running() -> asyncio.AbstractEventLoop | None:
    """This thread's loop, if it is running."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _dismiss(loop: asyncio.AbstractEventLoop, pools: list[_Pool], every: bool) -> None:
    doomed = [one for pool in pools for one in pool.dismiss(every=every, tell=not loop.is_closed())]
    with nullcontext() if loop.is_running() else _at_once(loop):
        for connection in doomed:
            connection.abort()


@contextmanager
def _at_once(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """For a loop that does not run: what closing a transport puts off until later is done now.

    That is the transport's own end; asyncio has no other way to it that does not need the loop.
    """

    def call(callback: Callable[..., object], *args: object, context: object = None) -> None:  # noqa: ARG001
        callback(*args)

    try:
        loop.call_soon = call  # type: ignore[assignment,method-assign]
    except AttributeError:  # uvloop, which closes its sockets with itself
        yield
        return
    try:
        yield
    finally:
        del loop.call_soon


class _Pool:
    """The connections of one route. A slot is taken before one is opened and freed when it is lost."""

    def __init__(self, route: Route, keep: float, limits: Limits, trust: Trust, guarded: bool) -> None:
        # does not know its client: so that one that is dropped is gone at once, not when garbage is collected
        self.open = 0
        self._route = route
        self._keep = keep
        self._limits = limits
        self._trust = trust
        self._guarded = guarded
        self._room = memoryview(bytearray(_ROOM_BYTES))
        self._idle: list[Connection] = []  # the last used is used next, so that the others can grow old
        self._all: set[Connection] = set()
        # each is given a free connection, or None: a slot
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._empty: asyncio.Future[None] | None = None
        self._closed = False

    def rested(self) -> Connection | None:
        """An unused connection, if there is one."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
            connection.abort()
        return None

    async def take(self, timeouts: Timeouts) -> Connection:
        """A new connection, or what comes free while this waits for its turn. Raises HttpError, DialError."""
        if self.open < self._limits.connections and not self._waiting:
            self.open += 1
            return await self._dial(timeouts.connect)
        if self._idle:
            self._idle.pop(0).abort()  # its slot comes to us
        given = await self._wait(timeouts.slot)
        if given is None:
            return await self._dial(timeouts.connect)
        if given.usable():
            return given
        given.abort()
        return self.rested() or await self.take(timeouts)

    def release(self, connection: Connection) -> None:
        """A connection is free: the next in line gets it, or it rests."""
        if self._closed:
            connection.abort()
        elif not (self._waiting and self._give(connection)):
            connection.rest()
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is gone, its slot is free (one that never got here is `_dial`'s to account for)."""
        if connection in self._all:
            self._all.remove(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_slot()

    async def close(self) -> None:
        """Ends everything and waits for the end."""
        self._closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(ClosedError("the client is closed"))
        self._waiting.clear()
        for connection in tuple(self._all):
            connection.give_up(ClosedError("the client is closed"))
        if self._all:
            self._empty = asyncio.get_running_loop().create_future()
            await self._empty

    def dismiss(self, *, every: bool, tell: bool) -> list[Connection]:
        """Takes leave of the connections that are unused, or all: the caller closes them.

        `tell`: whoever waits gets ClosedError.
        """
        self._closed = True
        if not every:
            return list(self._idle)
        error = ClosedError("the client is closed")
        for waiter in self._waiting:
            if tell and not waiter.done():
                waiter.set_exception(error)
        self._waiting.clear()
        doomed = list(self._all)
        for connection in doomed:
            connection.disown(error, tell=tell)
        return doomed

    def sever(self) -> None:
        """In a forked process: lets go of all connections."""
        self._closed = True
        for connection in self._all:
            connection.sever()

    async def _dial(self, seconds: float) -> Connection:
        """Opens a connection in a slot that is the caller's already."""
        try:
            async with asyncio.timeout(seconds):
                connection = await dial(self._route, self._make, self._trust, self._guarded)
        except TimeoutError as error:
            self._free_slot()
            proxy = self._route.proxy
            raise TimedOutError("connect", seconds, by=str(proxy) if proxy else "") from error
        except BaseException:  # cancelled or failed: the slot goes to the next
            self._free_slot()
            raise
        self._all.add(connection)
        if self._closed:
            connection.abort()
            raise ClosedError("the client is closed")
        return connection

    def _make(self) -> Connection:
        return Connection(self, self._keep, self._limits, self._room)

    async def _wait(self, seconds: float) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                return await waiter
        except TimeoutError as error:
            self._pass_on(waiter)
            raise TimedOutError("slot", seconds) from error
        except asyncio.CancelledError:
            self._pass_on(waiter)
            raise

    def _pass_on(self, waiter: asyncio.Future[Connection | None]) -> None:
        """A waiter went away in the moment it was served: what it was given must not be lost."""
        if waiter.cancelled() or not waiter.done():
            return
        given = waiter.result()
        if given is None:
            self._free_slot()
        else:
            self.release(given)

    def _give(self, what: Connection | None) -> bool:
        """Gives a connection or a slot to the next in line; False when nobody waits."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(what)
                return True
        return False

    def _free_slot(self) -> None:
        if not self._give(None):
            self.open -= 1
        if self._empty is not None and not self._all and not self._empty.done():
            self._empty.set_result(None)
