"""ASGI in, service, ASGI out: the only place that touches the network inwards.

`Application` is a plain ASGI app and knows no server; `serve` runs it on granian, embedded in the current
event loop, which speaks HTTP/1.1 and cleartext HTTP/2 on one port. Measured on granian 2.8.7: a send after
the client has gone does not raise, and `receive` after the body tells of the disconnect at once, also for
an HTTP/2 RST_STREAM. So every call is raced against `receive`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, cast

import msgspec

from outcrop import silence
from outcrop.errors import (
    Fault,
    OutcropError,
    RequestTimeoutException,
    SerializationException,
    ServiceUnavailableException,
    ValidationException,
)
from outcrop.wire.constraints import Constraints, most_length
from outcrop.wire.http import Head, Reply

log = logging.getLogger("outcrop.server")

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ReadBody: TypeAlias = Callable[[int], Awaitable[bytes]]

# A refusal sent while the client is still writing can be lost to a connection reset; so up to this much of a
# body that is not wanted is read and thrown away first.
_DISCARD_LIMIT: Final = 32 * 1024 * 1024

# To take a piece of a body costs some 50 µs whatever its size (measured): 2 MB in chunks of 2 bytes took two
# minutes. So after the first pieces their mean may not be below this many bytes.
_FREE_PIECES: Final = 1000
_LEAST_PIECE: Final = 256

# What is handed to the server at once: of a reader that stops, it keeps a few of these.
_SLICE: Final = 64 * 1024

# Seconds after the body during which nobody looks whether the client has left: refusals and quick answers are
# sent before it, and so never wait for a `receive`, which costs a tenth of a small request.
_UNWATCHED: Final = 0.02

# What a signature covers or what frames a message may not be ambiguous: given twice, it is refused.
_ONCE: Final = (
    "host",
    "content-length",
    "transfer-encoding",
    "authorization",
    "x-amz-date",
    "x-amz-security-token",
)


class Limits(msgspec.Struct, frozen=True):
    """How patient the server is, in seconds. `body` and `write` count from the last progress made."""

    header: float = 10
    body: float = 30
    write: float = 60
    drain: float = 30


class Service(Protocol):
    """What the server needs of the service."""

    async def handle(self, head: Head, read_body: ReadBody) -> Reply:
        """Answer one request; never raises but for cancellation."""

    def refuse(self, fault: Fault) -> Reply:
        """The reply for what never became a call."""

    def stop(self) -> None:
        """From now on, a cancelled call ends its stream with an exception frame."""


class Application:
    """The ASGI app. Give it to any ASGI server; `drain` ends what is running."""

    def __init__(self, service: Service, limits: Limits | None = None) -> None:
        self._service = service
        self._limits = limits or Limits()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._hurried = asyncio.Event()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One ASGI connection: a request, or the server's lifespan."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            raise ValueError(f"Outcrop speaks HTTP, not {scope['type']}")

    async def _request(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())  # an ASGI app runs in a task
        self._tasks.add(task)
        exchange = _Exchange(task, receive, send, self._limits)
        try:
            await exchange.reply(await self._answer(scope, exchange))
        except asyncio.CancelledError:
            # granian logs whatever its app raises; a client that went away is not an error
            if not exchange.gone and not self._stopping:
                raise
            if not exchange.gone and not exchange.started:
                await exchange.reply(self._service.refuse(ServiceUnavailableException()))
        finally:
            exchange.close()
            self._tasks.discard(task)

    async def _answer(self, scope: Mapping[str, Any], exchange: _Exchange) -> Reply:
        try:
            head = read_head(scope)
        except Fault as fault:
            return self._service.refuse(fault)
        exchange.expect(head)
        reply = await self._service.handle(head, exchange.read_body)
        await exchange.discard_body()
        return reply

    @property
    def active(self) -> int:
        """How many requests are being answered."""
        return len(self._tasks)

    def hurry(self) -> None:
        """Have `drain`, now or later, wait no longer for running answers."""
        self._hurried.set()

    async def drain(self) -> None:
        """Let running answers end, up to the drain limit; then end each with an exception frame or a 503."""
        if self._tasks:
            log.warning(
                "%d answer(s) may still end, for %g s at most; a second signal ends them now",
                len(self._tasks),
                self._limits.drain,
            )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.drain
        hurried = asyncio.ensure_future(self._hurried.wait())
        while self._tasks and not hurried.done() and (left := deadline - loop.time()) > 0:
            await asyncio.wait((*self._tasks, hurried), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        self._stopping = True
        self._service.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)


class _Exchange:
    """One request's two directions: body in, reply out, and the client's going away."""

    def __init__(self, task: asyncio.Task[Any], receive: Receive, send: Send, limits: Limits) -> None:
        self._task = task
        self._loop = task.get_loop()
        self._receive = receive
        self._send = send
        self._limits = limits
        self._length: int | None = None
        self._body_ended = False
        self._watch: asyncio.Future[Message] | None = None
        self._watch_timer: asyncio.TimerHandle | None = None
        self._stalled = False
        self._stall: asyncio.TimerHandle | None = None
        self._sent_at = 0.0
        self.gone = False
        self.started = False

    def expect(self, head: Head) -> None:
        """Learn from the head how long the body will be."""
        length = head.headers.get("content-length")
        self._length = int(length) if length is not None else None
        self._body_ended = self._length == 0 or (self._length is None and head.method in ("GET", "DELETE"))

    async def read_body(self, limit: int) -> bytes:
        """The whole body. Raises ValidationException above `limit`, RequestTimeoutException on a stall."""
        _refuse_size(self._length or 0, limit)
        pieces: list[bytes] = []
        size = 0
        while not self._body_ended:
            piece = await self._read_piece()
            pieces.append(piece)
            size += len(piece)
            _refuse_size(size, limit)
            if (len(pieces) - _FREE_PIECES) * _LEAST_PIECE > size:
                raise ValidationException("The request body arrives in too many pieces.")
            if size == self._length:
                self._body_ended = True
        self._watch_timer = self._loop.call_later(_UNWATCHED, self._watch_client)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _read_piece(self) -> bytes:
        # `asyncio.timeout` by hand: this is once a request, and costs a third
        timer = self._loop.call_later(self._limits.body, self._body_stalled)
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if not self._stalled:
                raise
            self._task.uncancel()
            self._body_ended = True  # nobody waits for the rest of it
            raise RequestTimeoutException("The request body did not arrive in time.") from None
        finally:
            timer.cancel()
        if message["type"] != "http.request":
            # Gone, or still there with a body that can't be read on (a broken chunk): granian does not tell
            # which. A reply does no harm to who has gone.
            self._body_ended = True
            raise SerializationException("The request body ended before it was complete.")
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            self._body_ended = True
        return body

    def _body_stalled(self) -> None:
        self._stalled = True
        self._task.cancel()

    async def discard_body(self) -> None:
        """Read and drop what the client still sends, so that it is ready to read the reply; within bounds."""
        if self._body_ended:
            return
        left = _DISCARD_LIMIT
        deadline = asyncio.get_running_loop().time() + self._limits.body
        with contextlib.suppress(RequestTimeoutException, SerializationException):
            while not self._body_ended and left > 0 and asyncio.get_running_loop().time() < deadline:
                left -= max(len(await self._read_piece()), _DISCARD_LIMIT // _FREE_PIECES)

    def _watch_client(self) -> None:
        self._watch = asyncio.ensure_future(self._receive())
        self._watch.add_done_callback(self._on_message)

    def _on_message(self, message: asyncio.Future[Message]) -> None:
        if message.cancelled() or self._watch is None:
            return
        if message.result()["type"] == "http.disconnect":
            self._client_left()
        else:  # granian ends a body of known length with one more, empty message
            self._watch_client()

    def _client_left(self) -> None:
        self.gone = True
        self._task.cancel()

    async def reply(self, reply: Reply) -> None:
        """Send a whole or a streaming reply; the latter piece by piece, as it is made."""
        headers = [(name.encode(), value.encode("latin-1")) for name, value in reply.headers.items()]
        body = reply.body
        if isinstance(body, bytes):
            headers.append((b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.start", "status": reply.status, "headers": headers})
        self.started = True
        if not isinstance(body, bytes):
            await self._send_pieces(body)
        elif len(body) > _SLICE:  # a reader that stops must not make us keep it for ever
            await self._send_pieces(_once(body))
        else:
            await self._send({"type": "http.response.body", "body": body})

    async def _send_pieces(self, pieces: AsyncGenerator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                if self._stall is None:
                    self._stall = loop.call_later(self._limits.write, self._check_stall)
                for at in range(0, len(piece), _SLICE):
                    self._sent_at = loop.time()
                    part = piece if len(piece) <= _SLICE else piece[at : at + _SLICE]
                    await self._send({"type": "http.response.body", "body": part, "more_body": True})
                self._sent_at = 0.0
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _check_stall(self) -> None:
        """End the call of a reader that takes nothing: one timer a stream, not one a piece."""
        loop = asyncio.get_running_loop()
        waited = loop.time() - self._sent_at if self._sent_at else 0.0
        if waited >= self._limits.write:
            log.info("a client read nothing for %.0f s; its stream is ended", waited)
            self._client_left()
        else:
            self._stall = loop.call_later(self._limits.write - waited, self._check_stall)

    def close(self) -> None:
        """Stop watching."""
        if self._watch_timer is not None:
            self._watch_timer.cancel()
        watch, self._watch = self._watch, None
        if watch is not None and not watch.done():
            watch.cancel()
        if self._stall is not None:
            self._stall.cancel()


async def _once(body: bytes) -> AsyncGenerator[bytes]:
    yield body


def _refuse_size(size: int, limit: int) -> None:
    """Raises ValidationException where a body of `size` bytes, or that much of it, is over the limit."""
    if size > limit:
        constraints = Constraints()
        constraints.violate("body", most_length(limit), None)
        constraints.check()


def read_head(scope: Mapping[str, Any]) -> Head:
    """The request's head as a value. Raises ValidationException where it is ambiguous or names no host."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1")
        value = raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    if len(headers) != len(scope["headers"]):
        _refuse_doubled(Counter(name.decode("latin-1") for name, _ in scope["headers"]))
    if not headers.get("host"):  # granian puts in an empty one where the client sent none
        raise ValidationException("The request must name a host.")
    if "transfer-encoding" in headers and "content-length" in headers:
        raise ValidationException("The request has both Content-Length and Transfer-Encoding.")
    raw_path: bytes = scope["raw_path"]
    client = scope.get("client")
    return Head(
        scope["method"],
        raw_path.decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        headers,
        scope["http_version"] == "2",
        client[0] if client else "",
        scope.get("scheme") == "https",
    )


def _refuse_doubled(counts: Counter[str]) -> None:
    for name in _ONCE:
        if counts[name] > 1:
            raise ValidationException(f"The request has more than one {name} header.")


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


class Listener(msgspec.Struct, frozen=True):
    """Where to listen. With `certificate` and `key` (PEM files, the key in PKCS#8) it is TLS 1.2 and 1.3."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None


async def serve(
    application: Application,
    listeners: list[Listener],
    stop: asyncio.Event,
    *,
    limits: Limits | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve until `stop` is set, then take no new connections and drain.

    Raises OutcropError when a port is taken, a certificate can't be used, or a listener ends by itself.
    """
    limits = limits or Limits()
    servers = [_granian(application, listener, limits) for listener in listeners]
    running = [asyncio.ensure_future(server.serve()) for server in servers]
    watching = asyncio.ensure_future(silence.watch({listener.port for listener in listeners}, limits.header))
    try:
        for listener in listeners:
            await _listening(listener, running)
        if on_ready is not None:
            on_ready()
        ended = asyncio.ensure_future(stop.wait())
        await asyncio.wait([ended, *running], return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not stop.is_set():
            for listener, task in zip(listeners, running, strict=True):
                await _ended_early(listener, task)
    finally:
        watching.cancel()
        for server in servers:
            server.stop()
        await application.drain()
        await asyncio.wait(running, timeout=5)


def _granian(application: Application, listener: Listener, limits: Limits) -> Any:
    from granian.constants import Interfaces, SSLProtocols
    from granian.http import HTTP1Settings, HTTP2Settings
    from granian.server.embed import Server

    check_listener(listener)
    return Server(
        application,
        address=listener.host,
        port=listener.port,
        interface=Interfaces.ASGI,
        websockets=False,
        backlog=1024,
        backpressure=20_000,  # its default of 128 would hold back open streams
        http1_settings=HTTP1Settings(header_read_timeout=int(limits.header * 1000)),
        http2_settings=HTTP2Settings(
            keep_alive_interval=int(limits.body * 1000),  # finds clients that went without a word
            max_concurrent_streams=1000,
            max_headers_size=128 * 1024,
        ),
        log_enabled=False,
        ssl_cert=listener.certificate,
        ssl_key=listener.key,
        ssl_protocol_min=SSLProtocols.tls12,  # its default of 1.3 shuts out older clients
    )


# What to do about an address that can't be listened on, by the system's error.
_MEND_ADDRESS: Final = {
    errno.EADDRINUSE: "Stop what runs there, or choose another with --port (and --tls-port).",
    errno.EACCES: "Choose a port above 1023 with --port (and --tls-port).",
}


def check_listener(listener: Listener) -> None:
    """Raises OutcropError when the port can't be had or the certificate not used.

    Granian only logs a port that is taken, and goes on without one; so it is tried first.
    """
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listener.host, listener.port))
        except OSError as error:
            raise OutcropError(
                f"Can't listen on {listener.host}:{listener.port}: {error.strerror}.",
                _MEND_ADDRESS.get(error.errno or 0, "Choose an address of this machine with --host."),
            ) from error
    if listener.certificate is not None and listener.key is not None:
        _check_certificate(listener.certificate, listener.key)


def _check_certificate(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # not there, not PEM, not a pair: ssl.SSLError is one too
        raise OutcropError(
            f"{certificate} and {key} can't be used for TLS: {error.strerror or error}.",
            "Name a certificate and its own key, both PEM, under [server]; or neither, for the local ones.",
        ) from error


async def _listening(listener: Listener, running: list[asyncio.Future[None]]) -> None:
    """Wait until the port accepts a connection."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener.host, listener.host)  # noqa: S104 - compared, not bound
    for _ in range(500):
        for task in running:
            await _ended_early(listener, task)
        try:
            _, writer = await asyncio.open_connection(host, listener.port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
    raise OutcropError(f"Nothing answers on {listener.host}:{listener.port} after 5 s.")


async def _ended_early(listener: Listener, task: asyncio.Future[None]) -> None:
    """Raises what ended a server that nobody told to stop."""
    if task.done():
        await task
        raise OutcropError(f"The server on {listener.host}:{listener.port} ended by itself.")
