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
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final

from outcrop.transport import BrokenError, ClosedError, Limits, TimedOutError, Timeouts
from outcrop.transport.connection import Connection, Response
from outcrop.transport.dial import dial
from outcrop.transport.route import Proxies, Route, Target, locate

_IDEMPOTENT: Final = frozenset({"GET", "OPTIONS", "PUT", "DELETE"})
_METHODS: Final = _IDEMPOTENT | {"POST", "PATCH"}
_TIMEOUTS: Final = Timeouts()
_LIMITS: Final = Limits()


class Client:
    """Sends requests. Bound to the event loop of its first request; close it there.

    `ca_file` replaces the system's list of authorities. `proxies` are the environment's unless given.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts = _TIMEOUTS,
        limits: Limits = _LIMITS,
        ca_file: str = "",
        proxies: Proxies | None = None,
    ) -> None:
        self.timeouts = timeouts
        self.limits = limits
        self._ca_file = ca_file
        self._proxies = Proxies.from_environment(os.environ) if proxies is None else proxies
        self._context: ssl.SSLContext | None = None
        self._found: dict[str, tuple[Target, _Pool]] = {}
        self._pools: dict[Route, _Pool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def send(
        self, method: str, url: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> Response:
        """Sends a request and waits for the head of its response, which the caller must close.

        `host`, `content-length`, `accept-encoding` and a proxy's login are added. Cancelling closes the
        connection. Raises DialError when there is no connection, HttpError when the exchange fails,
        ValueError for a URL, method or header that can't be sent.
        """
        self._check_loop()
        target, pool = self._found.get(url) or self._find(url)
        head = _head(method, target, headers, len(body))
        connection = await pool.take()
        first_use = not connection.used
        response = connection.start(head, body)
        try:
            await response.head()
        except BrokenError as error:
            if first_use or connection.answered or not (error.unsent or method in _IDEMPOTENT):
                raise
        else:
            return response
        response = (await pool.take(fresh=True)).start(head, body)
        await response.head()
        return response

    def locate(self, url: str) -> Target:
        """Where a URL leads with this client's proxies. Raises ValueError, AddressRefusedError."""
        return locate(url, self._proxies)

    async def close(self) -> None:
        """Closes every connection and waits until they are gone. Idempotent."""
        self._closed = True
        for pool in self._pools.values():
            await pool.close()

    def open_connections(self) -> int:
        """How many connections are open or being opened."""
        return sum(pool.open for pool in self._pools.values())

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise ClosedError("the client is closed")
        if self._loop is not loop:
            if self._loop is not None:
                raise RuntimeError("this client belongs to another event loop")
            self._loop = loop

    def _find(self, url: str) -> tuple[Target, _Pool]:
        target = self.locate(url)
        pool = self._pools.get(target.route)
        if pool is None:
            pool = self._pools[target.route] = _Pool(self, target.route)
        if len(self._found) < 1024:
            self._found[url] = target, pool
        return target, pool

    def tls(self) -> ssl.SSLContext:
        """The TLS settings, made when first needed: that takes 20 ms."""
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._ca_file or None)
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context


class _Pool:
    """The connections of one route. A slot is taken before one is opened and freed when it is lost."""

    def __init__(self, client: Client, route: Route) -> None:
        self.open = 0
        self._client = client
        self._route = route
        self._idle: list[Connection] = []  # the last used is used next, so that the others can grow old
        self._all: set[Connection] = set()
        # each is given a free connection, or None: a slot
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._empty: asyncio.Future[None] | None = None
        self._closed = False

    async def take(self, *, fresh: bool = False) -> Connection:
        """A connection that is nobody else's; `fresh`: none that has rested. Raises HttpError, DialError."""
        idle, limit = self._idle, self._client.limits.connections
        while idle and not fresh:
            connection = idle.pop()
            if connection.usable():
                return connection
            connection.abort()
        if self.open < limit and not self._waiting:
            self.open += 1
            return await self._dial()
        if idle:
            idle.pop(0).abort()  # its slot comes to us
        given = await self._wait()
        if given is None:
            return await self._dial()
        if given.usable():
            return given
        given.abort()
        return await self.take(fresh=fresh)

    def release(self, connection: Connection) -> None:
        """A connection is free: the next in line gets it, or it rests."""
        if self._closed:
            connection.abort()
        elif not self._give(connection):
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

    async def _dial(self) -> Connection:
        """Opens a connection in a slot that is the caller's already."""
        client = self._client
        seconds = client.timeouts.connect
        try:
            async with asyncio.timeout(seconds):
                connection = await dial(self._route, self._make, client.tls)
        except TimeoutError as error:
            self._free_slot()
            raise TimedOutError("connect", seconds) from error
        except BaseException:  # cancelled or failed: the slot goes to the next
            self._free_slot()
            raise
        self._all.add(connection)
        if self._closed:
            connection.abort()
            raise ClosedError("the client is closed")
        return connection

    def _make(self) -> Connection:
        return Connection(self, self._client.timeouts, self._client.limits)

    async def _wait(self) -> Connection | None:
        seconds = self._client.timeouts.slot
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


def _head(method: str, target: Target, headers: Sequence[tuple[str, str]], length: int) -> bytes:
    if method not in _METHODS:
        raise ValueError(f"this client does not send {method}")
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if lines.count("\r") != len(headers) or lines.count("\n") != len(headers) or "\0" in lines:
        raise ValueError("a header's value has a line break in it")
    proxy = target.route.proxy
    if proxy is not None and proxy.authorization and not target.route.tls:
        lines += f"proxy-authorization: {proxy.authorization}\r\n"
    return (
        f"{method} {target.path} HTTP/1.1\r\nhost: {target.authority}\r\naccept-encoding: identity\r\n"
        f"content-length: {length}\r\n{lines}\r\n"
    ).encode("latin-1")
