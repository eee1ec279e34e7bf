"""A server that misbehaves on cue, in threads: raw bytes, pauses and resets are a test's to decide."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from types import TracebackType

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PATIENCE = 10.0  # seconds until a test that hangs fails


class Exchange:
    """One request, and the means to answer it well or badly."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.method = ""
        self.path = ""
        self.headers: dict[str, str] = {}
        self.body = b""

    def receive(self) -> bool:
        """Reads a request; False when the client has closed."""
        got = b""
        while b"\r\n\r\n" not in got:
            part = self.sock.recv(65536)
            if not part:
                return False
            got += part
        head, _, rest = got.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = lines[0].split(" ")
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
        parts, size = [rest], len(rest)
        while size < int(self.headers.get("content-length", "0")):
            part = self.sock.recv(1 << 20)
            if not part:
                return False
            parts.append(part)
            size += len(part)
        self.body = b"".join(parts)
        return True

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self, status: int = 200, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self.send(
            f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode("latin-1") + body
        )

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.send(b"0\r\n\r\n")

    def receive_some(self) -> None:
        """Takes what the client says first, whatever it is, and leaves it at that."""
        self.sock.recv(65536)

    def reset(self) -> None:
        """The connection breaks off with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """The connection ends in order, wherever the response stands."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        self.sock.close()

    def client_gone(self) -> None:
        """Waits until the client has closed."""
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass


Script = Callable[[Exchange], None]


class Server:
    """Runs a script for every request. `requests` are those it got; `connections` and `open` count.

    `raw` gets each connection before anything is read from it.
    """

    def __init__(
        self,
        script: Script,
        *,
        tls: ssl.SSLContext | None = None,
        raw: Script | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.script = script
        self.requests: list[Exchange] = []
        self.connections = 0
        self.open = 0
        self._raw = raw
        self._tls = tls
        self._changed = threading.Condition()
        self._socks: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._listener = socket.create_server((host, 0), backlog=100)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"

    def __enter__(self) -> Server:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for sock in tuple(self._socks):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        self._listener.close()

    def wait(self, condition: Callable[[], object]) -> None:
        """Waits until something is so."""
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._closing:
                sock.close()
                return
            self._socks.add(sock)
            with self._changed:
                self.connections += 1
                self.open += 1
                self._changed.notify_all()
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        plain = sock
        try:
            with contextlib.suppress(OSError):  # the client has gone, or the test is over
                if self._raw is not None:
                    self._raw(Exchange(sock))
                if self._tls is not None and sock.fileno() >= 0:
                    sock = self._tls.wrap_socket(sock, server_side=True)
                    self._socks.add(sock)
                while sock.fileno() >= 0:
                    exchange = Exchange(sock)
                    if not exchange.receive():
                        break
                    with self._changed:
                        self.requests.append(exchange)
                        self._changed.notify_all()
                    self.script(exchange)
        finally:
            sock.close()
            plain.close()
            self._socks -= {sock, plain}
            with self._changed:
                self.open -= 1
                self._changed.notify_all()


def in_turn(*scripts: Script) -> Script:
    """Each request gets the next script, the last one again and again."""
    left = list(scripts)

    def script(exchange: Exchange) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(exchange)

    return script


def hello(exchange: Exchange) -> None:
    exchange.reply(body=b"hello")


class Asked(threading.Thread):
    """A call made in a thread of its own; `result()` gives what it returned or raises what it raised."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._arguments = arguments
        self._result: object = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._call(*self._arguments)
        except BaseException as error:  # noqa: BLE001 - it is raised in the test's thread
            self._error = error

    def result(self) -> object:
        self.join(PATIENCE)
        assert not self.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result
