"""HTTP/1.1 to the child over its unix socket, one connection a request. Knows HTTP; not llama.cpp, not
Messages.

Closing the connection is how a generation is stopped, so nothing is pooled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import msgspec


class LinkLostError(Exception):
    """The child went away, or never was there."""


class RefusedError(Exception):
    """The child answered with another status than 200, or reported an error in mid-stream."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class _Error(msgspec.Struct):
    message: str = ""
    code: int = 500


class _Failure(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


class Link(NamedTuple):
    """Where the child listens and the key it wants."""

    socket: str
    key: str

    async def call(self, path: str, body: Any = None) -> bytes:
        """The reply's body; GET without a body, else POST. Raises LinkLostError, RefusedError."""
        exchange = await self.open(path, body)
        try:
            return await exchange.rest()
        finally:
            exchange.close()

    async def open(self, path: str, body: Any = None) -> Exchange:
        """A request whose reply has begun with status 200. Raises LinkLostError, RefusedError."""
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError as error:
            raise LinkLostError(str(error)) from error
        exchange = Exchange(reader, writer)
        try:
            await exchange.send(self._head(path, body))
        except BaseException:
            exchange.close()
            raise
        return exchange

    def _head(self, path: str, body: Any) -> bytes:
        head = f"Host: localhost\r\nAuthorization: Bearer {self.key}\r\nConnection: close\r\n"
        if body is None:
            return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
        content = msgspec.json.encode(body)
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        return f"POST {path} HTTP/1.1\r\n{head}".encode() + content


class Exchange:
    """One request and its reply."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._chunked = False
        self._length = 0

    async def send(self, request: bytes) -> None:
        """Sends the request and reads the reply's head. Raises LinkLostError, RefusedError."""
        try:
            self._writer.write(request)
            await self._writer.drain()
            status = int((await self._reader.readuntil(b"\r\n")).split()[1])
            while (line := await self._reader.readuntil(b"\r\n")) != b"\r\n":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    self._length = int(value)
                elif name.lower() == b"transfer-encoding":
                    self._chunked = b"chunked" in value.lower()
        except (OSError, EOFError) as error:
            raise LinkLostError(str(error)) from error
        if status != 200:
            failure = _failure(await self.rest())
            raise RefusedError(status, failure.message)

    async def rest(self) -> bytes:
        """The whole body. Raises LinkLostError."""
        return b"".join([piece async for piece in self._pieces()])

    async def events(self) -> AsyncGenerator[bytes, None]:
        """The data of each server-sent event. Raises LinkLostError, also where the stream breaks off, and
        RefusedError."""
        buffer = b""
        async for piece in self._pieces():
            buffer += piece
            while (end := buffer.find(b"\n\n")) >= 0:
                event, buffer = buffer[:end], buffer[end + 2 :]
                if event.startswith(b"data: "):
                    yield event[6:]
                elif event.startswith(b"error: "):
                    failure = _failure(b'{"error":' + event[7:] + b"}")
                    raise RefusedError(failure.code, failure.message)

    def close(self) -> None:
        """Drops the connection at once: the child stops what it was doing for it."""
        self._writer.transport.abort()

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            if not self._chunked:
                yield await self._reader.readexactly(self._length)
                return
            while size := int(await self._reader.readuntil(b"\r\n"), 16):
                yield (await self._reader.readexactly(size + 2))[:-2]
        except (OSError, EOFError) as error:
            raise LinkLostError(str(error)) from error


def _failure(body: bytes) -> _Error:
    try:
        return msgspec.json.decode(body, type=_Failure).error
    except msgspec.MsgspecError:
        return _Error(body[:200].decode(errors="replace"))
