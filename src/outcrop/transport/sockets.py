"""Sockets that never block, used by threads that wait: one connection, and how it is opened.

A thread waits in `poll`, which takes any deadline without a further call into the kernel, and also tells
whether a rested connection is still good. So a request on one costs four calls: is it alive, send, wait,
receive. Knows TLS and CONNECT; not requests and responses, and of pools only that there is one to tell.

After a fork the parent's connections are not the child's: the child closes its copies and says nothing on
them, so that both go on. Who closes in its own process shuts down too, else a child's copy would keep the
connection open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
from collections.abc import Callable
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Final
from weakref import ref

from outcrop.transport import (
    KIB,
    BrokenError,
    DialError,
    Phase,
    ProxyError,
    TimedOutError,
)
from outcrop.transport.route import Proxy, Route, refuse
from outcrop.transport.trust import Trust, no_tls

if TYPE_CHECKING:
    import ssl
    from typing import Protocol

    # a host's address and port; of IPv6, two numbers more
    _Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

    class Owner(Protocol):
        """Who is told when a connection is free again or gone: its pool."""

        def rest(self, connection: Connection) -> None:
            """The exchange is over and the connection may carry another."""

        def lost(self, connection: Connection) -> None:
            """The connection is closed. May be told more than once."""


# seconds: poll takes no more than 2^31 ms
LONGEST_WAIT: Final = 1_000_000.0

_RECEIVE: Final = 64 * KIB
# An address that does not answer must not use up the time of those after it.
_NEXT_ADDRESS_SECONDS: Final = 1.0

# A model may think for minutes, and what stands between forgets silent connections (AWS's NAT after 350 s).
_KEEPALIVE: Final = tuple(
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", 60),
        ("TCP_KEEPALIVE", 60),
        ("TCP_KEEPINTVL", 60),
        ("TCP_KEEPCNT", 5),
    )
    if hasattr(socket, name)
)


class Process:
    """What is one a process. `lock` guards the rare paths of all pools: a connection that is collected leaves
    its pool in whatever thread that happens, so one lock, which lets its holder in again, serves them all.
    """

    lock = threading.RLock()
    forks = 0

    @classmethod
    def begin_child(cls) -> None:
        """Called after a fork, in the child."""
        cls.forks += 1
        cls.lock = threading.RLock()  # a thread of the parent's may have held it


os.register_at_fork(after_in_child=Process.begin_child)


class _Socket(socket.socket):
    """Closes silently when it is collected: its owner was dropped, which is allowed."""

    def __del__(self) -> None:
        # socket's own close counts users, which one that was interrupted while it was made does not have yet
        super(socket.socket, self).close()


class Connection:
    """A socket, or the place for one. Whoever holds it uses it alone; dropped, it closes itself."""

    __slots__ = (
        "__weakref__",
        "_fileno",
        "_forks",
        "_poll",
        "_pool",
        "_recv",
        "_send",
        "given_up",
        "place",
        "rested",
        "sock",
        "tls",
        "used",
        "whole",
    )

    def __init__(self, pool: Callable[[], Owner | None]) -> None:
        self.sock: socket.socket | None = None
        self.tls = False
        self.used = False
        self.whole = True  # all that was to be written was
        self.given_up = False  # the client was closed by somebody else
        self.rested = 0.0  # since when nobody uses it
        self.place = ref(self)  # by which the pool knows it
        self._pool = pool
        self._forks = Process.forks
        self._fileno = -1
        self._poll: Callable[[float], list[tuple[int, int]]]
        self._recv: Callable[[int], bytes]
        self._send: Callable[[bytes | memoryview], int]

    def attach(self, sock: socket.socket, *, tls: bool = False) -> None:
        """Takes a socket, which must not block."""
        self.sock = sock
        self.tls = tls
        self._fileno = sock.fileno()
        self._recv = sock.recv
        self._send = sock.send
        poll = select.poll()
        poll.register(self._fileno, select.POLLIN)
        self._poll = poll.poll

    def receive(self, deadline: float, phase: Phase, seconds: float) -> bytes:
        """What has arrived, as soon as something has; b"" at the end. Raises TimedOutError, OSError."""
        if self._forks != Process.forks:
            raise BrokenError("this response belongs to the process that asked for it")
        while (left := deadline - monotonic()) > 0:
            if self._poll(left * 1000 if left < LONGEST_WAIT else LONGEST_WAIT * 1000):
                try:
                    return self._recv(_RECEIVE)
                except OSError as error:
                    if not _too_early(error):
                        raise
        raise TimedOutError(phase, seconds)

    def write(self, data: bytes, seconds: float) -> None:
        """Writes all of it, unless the server answers or closes before: then `whole` is False, and what is
        there to be read tells why. Raises TimedOutError when nothing is taken for `seconds`.
        """
        if not self.whole:
            return
        try:
            sent = self._send(data)
        except OSError as error:
            self.whole = _too_early(error)
            sent = 0
        if sent != len(data):
            self._write_rest(memoryview(data)[sent:], seconds)

    def _write_rest(self, rest: memoryview, seconds: float) -> None:
        # with TLS there may be something to read that is no answer
        wanted = select.POLLOUT if self.tls else select.POLLOUT | select.POLLIN
        while rest and self.whole:
            ready = self.wait(wanted, monotonic() + seconds)
            if not ready:
                self.whole = False
                raise TimedOutError("write", seconds)
            if ready == select.POLLIN:
                self.whole = False
                return
            try:
                rest = rest[self._send(rest) :]
            except OSError as error:
                self.whole = _too_early(error)

    def wait(self, wanted: int, deadline: float) -> int:
        """Which of the wanted events there are; 0 when the deadline passes."""
        poll = select.poll()
        poll.register(self._fileno, wanted)
        while (left := deadline - monotonic()) > 0:
            if ready := poll.poll(min(left, LONGEST_WAIT) * 1000):
                return ready[0][1]
        return 0

    def usable(self) -> bool:
        """Whether a rested connection can carry a request: nothing has come, no end and no byte."""
        return not self._poll(0) and not self.given_up

    def rest(self) -> None:
        """The exchange is over, both sides are at the same point: the connection is free."""
        pool = self._pool()
        if pool is None or not self.whole or self.given_up:
            self.abort()
        else:
            pool.rest(self)

    def give_up(self) -> None:
        """Ends it from another thread: its own wakes up and closes."""
        self.given_up = True
        if self.sock is not None:
            _shut_down(self.sock)

    def abort(self) -> None:
        """Closes at once; its place is free. Idempotent."""
        self.drop_socket()
        pool = self._pool()
        if pool is not None:
            pool.lost(self)

    def drop_socket(self) -> None:
        """Closes the socket and keeps the place."""
        sock, self.sock = self.sock, None
        if sock is not None:
            if self._forks == Process.forks:
                _shut_down(sock)
            sock.close()

    def __del__(self) -> None:
        self.abort()


class Dialing:
    """One attempt at a connection: all of it together has `seconds`. A name's lookup can't be cut short."""

    def __init__(self, connection: Connection, route: Route, seconds: float) -> None:
        self._connection = connection
        self._route = route
        self._seconds = seconds
        self._deadline = monotonic() + seconds

    def run(self, trust: Trust, guarded: bool) -> None:
        """Connects, through a proxy if there is one, and speaks TLS if that is asked.

        Raises DialError, TimedOutError.
        """
        route, proxy = self._route, self._route.proxy
        # loaded first: if the certificates can't be read, nobody need be bothered
        context = trust.context() if route.tls else None
        host, port = (route.host, route.port) if proxy is None else (proxy.host, proxy.port)
        try:
            sock = self._connect(_addresses(host, port, guarded))
        except (OSError, UnicodeError) as error:  # socket.gaierror is an OSError
            reason = getattr(error, "strerror", None) or error
            if proxy is not None:
                from outcrop.transport.tunnel import around

                fix = around(proxy, route.host) if route.tls else around(proxy)
                raise ProxyError(f"{proxy} can't be reached: {reason}", fix=fix) from error
            raise DialError(f"{host}:{port}: {reason}") from error
        if context is not None:
            if proxy is not None:
                self._open_tunnel(proxy)
            self._secure(sock, context, trust)

    def _connect(self, addresses: list[tuple[int, _Address]]) -> socket.socket:
        """Tries a host's addresses one after the other and takes the first that answers."""
        last: OSError = OSError("the name has no address")
        for number, (family, address) in enumerate(addresses, 1):
            until = self._deadline
            if number < len(addresses):
                until = min(until, monotonic() + _NEXT_ADDRESS_SECONDS)
            try:
                return self._connect_to(family, address, until)
            except OSError as error:
                last = error
                self._connection.drop_socket()
        if monotonic() >= self._deadline:
            raise self._late()
        raise last

    def _connect_to(self, family: int, address: _Address, until: float) -> socket.socket:
        sock = _Socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        self._connection.attach(sock)
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            ready = self._connection.wait(select.POLLOUT, until)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if ready else errno.ETIMEDOUT
        if code:
            raise OSError(code, os.strerror(code))
        return sock

    def _open_tunnel(self, proxy: Proxy) -> None:
        """Asks a proxy for a connection to the server. Raises ProxyError with what it answers."""
        from outcrop.transport.tunnel import SAID_SECONDS, Tunnel

        receive = self._connection.receive
        tunnel = Tunnel(self._route, proxy)
        try:
            self._connection.write(tunnel.request, self._deadline - monotonic())
            while not tunnel.answered:
                tunnel.feed(receive(self._deadline, "connect", 0.0))
        except TimedOutError:
            raise self._late() from None
        except OSError as error:
            raise tunnel.failed(error) from error
        deadline = min(self._deadline, monotonic() + SAID_SECONDS)
        with contextlib.suppress(TimedOutError, ProxyError, OSError):  # it is only for the error's text
            while not tunnel.complete:
                tunnel.feed(receive(deadline, "connect", 0.0))
        tunnel.check()

    def _secure(self, plain: socket.socket, context: ssl.SSLContext, trust: Trust) -> None:
        """Shakes hands. Raises CertificateError, DialError."""
        import ssl

        connection, host = self._connection, self._route.host
        context.sslsocket_class = _secure_socket()
        # older Pythons have OpenSSL 3 take an end that TLS has not announced for one that it has
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        try:
            sock = context.wrap_socket(
                plain,
                # bytes: for a str the IDNA codec is imported
                server_hostname=host.encode("ascii" if host.isascii() else "idna"),
                do_handshake_on_connect=False,
                # an end that TLS has not announced may be somebody else's doing
                suppress_ragged_eofs=False,
            )
            connection.attach(sock, tls=True)
            self._shake_hands(sock)
        except ssl.SSLCertVerificationError as error:
            raise trust.refused(self._route, error) from error
        except (OSError, ValueError) as error:  # ValueError: a host that is no name for TLS
            raise no_tls(self._route, error) from error

    def _shake_hands(self, sock: ssl.SSLSocket) -> None:
        import ssl

        while True:
            try:
                sock.do_handshake()
                return
            except ssl.SSLWantReadError:
                ready = self._connection.wait(select.POLLIN, self._deadline)
            except ssl.SSLWantWriteError:
                ready = self._connection.wait(select.POLLOUT, self._deadline)
            if not ready:
                raise self._late()

    def _late(self) -> TimedOutError:
        proxy = self._route.proxy
        return TimedOutError("connect", self._seconds, by=str(proxy) if proxy else "")


def _addresses(host: str, port: int, guarded: bool) -> list[tuple[int, _Address]]:
    """A host's addresses. With `guarded`, one bad address among good ones refuses the host."""
    # bytes: for a str the IDNA codec is imported, which takes 3 ms
    name = host.encode("ascii") if host.isascii() else host
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        if guarded:
            refuse(str(address[0]))
    return [(int(family), address) for family, _, _, _, address in found]


@lru_cache(maxsize=1)
def _secure_socket() -> type[ssl.SSLSocket]:
    """An SSLSocket that closes silently when it is collected."""
    import ssl

    class SecureSocket(ssl.SSLSocket):
        def __del__(self) -> None:
            super(socket.socket, self).close()

    return SecureSocket


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it was not connected, or is not any more
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # SSLSocket's own takes the TLS layer away


def _too_early(error: OSError) -> bool:
    """Whether a call on a socket that does not block has only to be made again. Known without `ssl`."""
    return type(error).__name__ in ("BlockingIOError", "SSLWantReadError", "SSLWantWriteError")
