"""An upstream that misbehaves on cue: a raw HTTP/1.1 server whose bytes, pauses and resets a test decides."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any

from outcrop.wire.sse import Event, encode

CHUNKED_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Exchange:
    """One request, and the means to answer it well or badly."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.method = ""
        self.path = ""
        self.headers: dict[str, str] = {}
        self.body = b""

    async def receive(self) -> bool:
        """Reads a request; False when the client has closed."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            self.method, self.path, _ = lines[0].split(" ")
            self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
            self.body = await self._reader.readexactly(int(self.headers.get("content-length", "0")))
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        return True

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def reply(
        self,
        status: int = 200,
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        *,
        reason: str = "OK",
    ) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"HTTP/1.1 {status} {reason}\r\ncontent-length: {len(body)}\r\n{lines}\r\n"
        await self.send(head.encode("latin-1") + body)

    async def reply_json(self, status: int, value: object, headers: Iterable[tuple[str, str]] = ()) -> None:
        await self.reply(status, json.dumps(value).encode(), [("content-type", "application/json"), *headers])

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, event: Event) -> None:
        await self.chunk(encode(event))

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        """The connection breaks off with a TCP reset."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """The connection ends in order, wherever the response stands."""
        self._writer.close()

    async def closed_by_client(self) -> None:
        """Waits until the client has gone."""
        try:
            while await self._reader.read(4096):
                pass
        except ConnectionError:
            pass

    @property
    def unsent(self) -> int:
        """Bytes that the client's side does not take."""
        return self._writer.transport.get_write_buffer_size()

    @property
    def closing(self) -> bool:
        return self._writer.is_closing()


Script = Callable[[Exchange], Awaitable[None]]


class Upstream:
    """Runs a script for every request. `requests` are those it got, `connections` counts what it accepted."""

    def __init__(self, script: Script, **listen: Any) -> None:
        self.script = script
        self._listen = listen
        self.requests: list[Exchange] = []
        self.connections = 0
        self.open = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Upstream:
        if "path" in self._listen:
            self._server = await asyncio.start_unix_server(self._serve, **self._listen)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, **self._listen)
            self.port = self._server.sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            while not writer.is_closing():
                exchange = Exchange(reader, writer)
                if not await exchange.receive():
                    break
                self.requests.append(exchange)
                await self.script(exchange)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.transport.abort()


def in_turn(*scripts: Script) -> Script:
    """Each request gets the next script, the last one again and again."""
    left = list(scripts)

    async def script(exchange: Exchange) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(exchange)

    return script


async def until(condition: Callable[[], object]) -> None:
    """Lets the loop turn until something is so. For states that no event announces."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)
