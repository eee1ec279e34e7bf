"""The blocking client: the same requests, rules and errors as `aio`, for threads. Knows no event loop.

A connection belongs to one thread from `take` to `rest`. The pool does not hold what is in use, it only
remembers it weakly: a response that is dropped, or an interrupt wherever it comes, lets go of the connection,
which then closes itself and frees its place. After a fork the child begins with pools of its own.

When is a request sent again? As in `aio`: once, on a fresh connection, if nothing of the answer came on a
connection that had been used before, and the method is idempotent or the server can't have had all of it.
"""

from __future__ import annotations

import os
from _queue import Empty, SimpleQueue  # the C half of `queue`, which imports more than is needed here
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final
from weakref import ref

from outcrop.transport import (
    KIB,
    BrokenError,
    ClosedError,
    HttpError,
    Limits,
    Phase,
    TimedOutError,
    Timeouts,
    TooLargeError,
    TransportError,
)
from outcrop.transport.http1 import IDEMPOTENT, ResponseReader, request_head
from outcrop.transport.route import Proxies, Route, Target, locate
from outcrop.transport.sockets import LONGEST_WAIT, Connection, Dialing, Process
from outcrop.transport.trust import Trust

if TYPE_CHECKING:
    from types import TracebackType

_TIMEOUTS: Final = Timeouts()
_LIMITS: Final = Limits()
# What is left of a response nobody wants: reading this much of it is cheaper than a new connection.
_DRAIN_BYTES: Final = 64 * KIB
_DRAIN_SECONDS: Final = 1.0
# Above this, head and body are written apart rather than copied together.
_JOIN_BYTES: Final = 64 * KIB
_CLOSED: Final = "the client is closed"


class Client:
    """Sends requests, from any number of threads.

    `proxies` are the environment's unless given. `guarded`: link-local and metadata addresses are refused,
    also when a name resolves to one.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts = _TIMEOUTS,
        limits: Limits = _LIMITS,
        trust: Trust | None = None,
        proxies: Proxies | None = None,
        guarded: bool = False,
    ) -> None:
        self.timeouts = timeouts
        self.limits = limits
        self.guarded = guarded
        self._trust = trust or Trust()
        self._proxies = Proxies.from_environment(os.environ) if proxies is None else proxies
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._found: dict[str, tuple[Target, _Pool]] = {}
        self._pools: dict[Route, _Pool] = {}
        self._forks = Process.forks

    def send(
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
        unless given; `keep` is always the client's. Raises DialError when there is no connection, HttpError
        when the exchange fails, ValueError for a URL, method or header that can't be sent.
        """
        if self._forks != Process.forks:
            self._begin()
        if timeouts is None:
            timeouts = self.timeouts
        target, pool = self._found.get(url) or self._find(url)
        head = request_head(method, target, headers, len(body))
        connection = pool.take(timeouts)
        first_use = not connection.used
        response = Response(ResponseReader(self.limits, method), timeouts.idle)
        try:
            response.begin(connection, head, body, timeouts)
        except BrokenError as error:
            if first_use or response.answered or not (error.unsent or method in IDEMPOTENT):
                raise
        else:
            return response
        connection = pool.take(timeouts, fresh=True)
        response = Response(ResponseReader(self.limits, method), timeouts.idle)
        response.begin(connection, head, body, timeouts)
        return response

    def locate(self, url: str) -> Target:
        """Where a URL leads by this client's proxies. Raises ValueError, ProxyError, AddressRefusedError."""
        return locate(url, self._proxies, guarded=self.guarded)

    def close(self) -> None:
        """Closes every connection. Threads that wait for one, or on one, get ClosedError. Idempotent."""
        self._closed = True
        if self._forks != Process.forks:
            self._begin()
        for pool in tuple(self._pools.values()):
            pool.close()

    def open_connections(self) -> int:
        """How many connections are open or being opened, in this process."""
        if self._forks != Process.forks:
            self._begin()
        return sum(pool.size() for pool in tuple(self._pools.values()))

    def _find(self, url: str) -> tuple[Target, _Pool]:
        target = self.locate(url)
        route = target.route
        if route.unix:
            raise ValueError("the blocking client does not speak to unix sockets")
        pool = self._pools.get(route)
        if pool is None:
            made = _Pool(route, self._trust, self.limits.connections, self.timeouts.keep, self.guarded)
            pool = self._pools.setdefault(route, made)
        if self._closed:
            pool.close()
            raise ClosedError(_CLOSED)
        if len(self._found) < 1024:
            self._found[url] = target, pool
        return target, pool


class Response:
    """A response as it arrives. Use it as a context manager: leaving closes it, and with it the connection if
    the response had not ended, which tells the server to stop.

    Iteration hands out the parts of the body as they come. One thread reads. `headers` have lower-case names
    and keep their order.
    """

    __slots__ = ("_connection", "_error", "_idle", "_parts", "_reader", "headers", "status")

    def __init__(self, reader: ResponseReader, idle: float) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self._connection: Connection | None = None
        self._reader = reader
        self._idle = idle
        self._parts: list[bytes] = []
        self._error: HttpError | None = None

    @property
    def answered(self) -> bool:
        """Whether any byte has arrived."""
        return self._reader.began

    def header(self, name: str) -> str:
        """The value of a header, by its lower-case name; several joined with ", "; "" when there is none."""
        return ", ".join([value for found, value in self.headers if found == name])

    def read(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes. Raises HttpError; TooLargeError closes the response."""
        parts: list[bytes] = []
        size = 0
        for part in self:
            size += len(part)
            if size > limit:
                self.close()
                raise TooLargeError(f"the response is longer than {limit} bytes")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __iter__(self) -> Response:
        return self

    def __next__(self) -> bytes:
        parts = self._parts
        while not parts:
            connection = self._connection
            if connection is None:
                if self._error is not None:
                    raise self._error
                raise StopIteration
            parts = self._receive(connection, monotonic() + self._idle, "idle", self._idle)
        self._parts = []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Gives the response up. If it had not ended, its connection is closed. Idempotent."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            self._parts = []
            self._error = BrokenError("the response was closed here")
            connection.abort()

    def finish_unread(self) -> None:
        """The rest is not wanted but should be short: the connection is kept if the end comes soon."""
        size = 0
        deadline = monotonic() + _DRAIN_SECONDS
        self._parts = []
        while (connection := self._connection) is not None:
            try:
                size += sum(map(len, self._receive(connection, deadline, "idle", _DRAIN_SECONDS)))
            except HttpError:
                return
            if size > _DRAIN_BYTES:
                self.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, connection: Connection, head: bytes, body: bytes, timeouts: Timeouts) -> None:
        """Sends the request and waits for the head. For the client only. Raises HttpError."""
        self._connection = connection
        try:
            if len(body) <= _JOIN_BYTES:
                connection.write(head + body if body else head, timeouts.write)
            else:
                connection.write(head, timeouts.write)
                connection.write(body, timeouts.write)
        except TimedOutError as error:
            raise self._fail(connection, error) from None
        except BaseException:
            self.close()
            raise
        reader = self._reader
        deadline = monotonic() + timeouts.head
        while not reader.status:
            self._parts = self._receive(connection, deadline, "head", timeouts.head)
        self.status = reader.status
        self.headers = reader.headers

    def _receive(self, connection: Connection, deadline: float, phase: Phase, seconds: float) -> list[bytes]:
        """The parts of the body that the next bytes bring. With the last of them the connection is free."""
        reader = self._reader
        try:
            data = connection.receive(deadline, phase, seconds)
            if data:
                parts = reader.feed(data)
            else:
                reader.eof()
                parts = []
        except (HttpError, OSError) as error:
            told = self._fail(connection, error)
            if reader.salvage or (reader.status and phase == "head"):
                return reader.salvage  # what came before the fault is handed out first
            if told is error:
                raise
            raise told from error
        except BaseException:  # an interrupt: who knows what has been read
            self.close()
            raise
        if reader.done:
            self._connection = None
            if reader.keep:
                connection.rest()
            else:
                connection.abort()
        return parts

    def _fail(self, connection: Connection, error: HttpError | OSError) -> HttpError:
        """Closes the connection. Returns what its error is to the caller."""
        self._connection = None
        connection.abort()
        if connection.given_up:
            told: HttpError = ClosedError(_CLOSED)
        elif isinstance(error, BrokenError):
            told = error
            told.unsent = not connection.whole
        elif isinstance(error, HttpError):
            told = error
        else:
            told = BrokenError(f"the connection was closed: {error}", unsent=not connection.whole)
        self._error = told
        return told


class _Pool:
    """The connections of one route. A place is taken before one is opened and freed when it is lost."""

    def __init__(self, route: Route, trust: Trust, limit: int, keep: float, guarded: bool) -> None:
        self._route = route
        self._trust = trust
        self._limit = limit
        self._keep = keep
        self._guarded = guarded
        self._idle: list[Connection] = []  # the last used is used next, so that the others can grow old
        self._places: set[ref[Connection]] = set()
        # each is given a free connection, or a place for one, or None: closed
        self._waiting: deque[SimpleQueue[Connection | None]] = deque()
        self._oldest = 0.0  # no rested connection has rested since before this, though it may be later
        self._closed = False
        self._self = ref(self)

    def size(self) -> int:
        """How many places are taken."""
        return len(self._places)

    def take(self, timeouts: Timeouts, *, fresh: bool = False) -> Connection:
        """A connection that is nobody else's; `fresh`: none that has rested. Raises HttpError, DialError."""
        while not fresh and (connection := self._rested()) is not None:
            if monotonic() - connection.rested < self._keep and connection.usable():
                return connection
            connection.abort()
        connection = self._take_place(timeouts.slot, fresh)
        if connection.sock is None:
            self._dial(connection, timeouts.connect)
        elif not connection.usable():
            connection.abort()
            return self.take(timeouts, fresh=fresh)
        return connection

    def rest(self, connection: Connection) -> None:
        """A connection is free: the next in line gets it, or it rests."""
        connection.used = True
        connection.rested = now = monotonic()
        self._idle.append(connection)
        if self._waiting or self._closed:
            self._serve()
        if self._oldest < now - self._keep:
            self._expire(now)

    def lost(self, connection: Connection) -> None:
        """A connection is gone, its place is free. Told more than once."""
        with Process.lock:
            self._places.discard(connection.place)
            if self._waiting:
                self._serve()

    def close(self) -> None:
        """Ends everything."""
        with Process.lock:
            self._closed = True
            self._serve()
            for place in tuple(self._places):
                connection = place()
                if connection is not None:
                    connection.give_up()

    def _take_place(self, slot: float, fresh: bool) -> Connection:
        """A place in which nothing is open yet, or, after waiting, a free connection."""
        with Process.lock:
            if self._closed:
                raise ClosedError(_CLOSED)
            if fresh and len(self._places) >= self._limit and (oldest := self._rested(0)) is not None:
                oldest.abort()
            if len(self._places) < self._limit and not self._waiting:
                return self._new_place()
            waiter: SimpleQueue[Connection | None] = SimpleQueue()
            self._waiting.append(waiter)
            self._serve()  # `rest` takes no lock: it may have come between
        try:
            given = waiter.get(timeout=min(slot, LONGEST_WAIT))
        except Empty:
            if self._stop_waiting(waiter):
                raise TimedOutError("slot", slot) from None
            given = waiter.get()  # served in this moment
        except BaseException:  # what it may have been given frees itself
            self._stop_waiting(waiter)
            raise
        if given is None:
            raise ClosedError(_CLOSED)
        return given

    def _stop_waiting(self, waiter: SimpleQueue[Connection | None]) -> bool:
        with Process.lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                return True
        return False

    def _new_place(self) -> Connection:
        connection = Connection(self._self)
        self._places.add(connection.place)
        return connection

    def _rested(self, which: int = -1) -> Connection | None:
        """Takes a rested connection, the last used unless told otherwise. Needs no lock."""
        try:
            return self._idle.pop(which)
        except IndexError:
            return None

    def _serve(self) -> None:
        """Gives what is free to those in line.

        Others take rested connections meanwhile, and what is collected meanwhile calls this once more.
        """
        with Process.lock:
            while self._closed and self._waiting:
                self._waiting.popleft().put(None)
            while self._closed and (connection := self._rested()) is not None:
                connection.abort()
            while self._waiting and (self._idle or len(self._places) < self._limit):
                waiter = self._waiting.popleft()
                connection = self._rested()
                if connection is None and len(self._places) < self._limit:
                    connection = self._new_place()
                if connection is None:
                    self._waiting.appendleft(waiter)
                else:
                    waiter.put(connection)

    def _expire(self, now: float) -> None:
        """Closes those that have rested too long, and notes since when the next one has."""
        with Process.lock:
            self._oldest = now
            while (connection := self._rested(0)) is not None:
                if connection.rested > now - self._keep:
                    self._oldest = connection.rested
                    self._idle.insert(0, connection)
                    break
                connection.abort()

    def _dial(self, connection: Connection, seconds: float) -> None:
        """Opens a connection in its place."""
        try:
            Dialing(connection, self._route, seconds).run(self._trust, self._guarded)
        except TransportError as error:
            connection.abort()
            if connection.given_up:
                raise ClosedError(_CLOSED) from error
            raise
        except BaseException:
            connection.abort()
            raise
        if connection.given_up:
            connection.abort()
            raise ClosedError(_CLOSED)
