"""The upstream behind every gateway: answers at once, with bytes made before. Speaks Messages and Bedrock.

Run as `python -m bench.upstream PORT`. It is no model and checks nothing: it is to cost next to nothing.
The Bedrock side is for gateways that can only pass Bedrock on (LiteLLM's `/bedrock` route).
"""

from __future__ import annotations

import asyncio
import re
import sys
from itertools import repeat
from typing import Final, cast

import uvloop

from bench import samples
from bench.samples import PACE, Pattern
from outcrop.wire import frames
from outcrop.wire.http import EVENT_STREAM, JSON
from outcrop.wire.sse import Event

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END_CHUNK: Final = b"0\r\n\r\n"
_PADDING: Final = b"abcdefghijklmnopqrstuvwxyzABCD"  # of average length; this side is not what is measured


def _whole(body: bytes) -> bytes:
    tokens = "x-amzn-bedrock-input-token-count: 210\r\nx-amzn-bedrock-output-token-count: 180\r\n"
    return (
        f"HTTP/1.1 200 OK\r\ncontent-type: {JSON}\r\n{tokens}content-length: {len(body)}\r\n\r\n".encode()
        + body
    )


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Dialect:
    """One way to write a stream: its head, and its events as HTTP chunks."""

    def __init__(self, content_type: str) -> None:
        self.head = (
            f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )
        self._frames = content_type == EVENT_STREAM
        opening, deltas, closing = samples.opening(), samples.deltas(), samples.closing()
        self.opening = self.head + self._write(opening)
        self.deltas = [self._write([delta]) for delta in deltas]
        self.closing = self._write(closing) + _END_CHUNK
        self.burst = self.head + self._write([*opening, *deltas, *closing]) + _END_CHUNK

    def _write(self, events: list[Event]) -> bytes:
        """Each event is an HTTP chunk of its own: a server that streams makes it so."""
        if self._frames:
            return b"".join(_chunk(frames.chunks([data], repeat(_PADDING))) for _, data in events)
        return b"".join(_chunk(samples.as_sse([event])) for event in events)


class Replies:
    """Everything there is to say, ready to be written."""

    def __init__(self) -> None:
        self.message = _whole(samples.reply())
        self.count = _whole(b'{"input_tokens":210}')
        self.lost = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
        self.sse = Dialect("text/event-stream; charset=utf-8")
        self.frames = Dialect(EVENT_STREAM)


class Exchange(asyncio.Protocol):
    """One connection. A request is recognised by the end of its path and the word in its prompt."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._held = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        data = self._held + data
        while data:
            end = data.find(b"\r\n\r\n") + 4
            length = _LENGTH.search(data, 0, end) if end > 3 else None
            size = end + int(length[1]) if length else end
            if end < 4 or len(data) < size:
                break
            self._answer(data[:size])
            data = data[size:]
        self._held = data

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._timer is not None:
            self._timer.cancel()

    def _answer(self, request: bytes) -> None:
        path = request[: request.index(b" HTTP/1.1")]
        replies = self._replies
        if path.endswith(b"/v1/messages"):
            streams = b'"stream":true' in request
            self._transport.write(replies.message) if not streams else self._stream(request, replies.sse)
        elif path.endswith(b"/invoke"):
            self._transport.write(replies.message)
        elif path.endswith(b"/invoke-with-response-stream"):
            self._stream(request, replies.frames)
        elif path.endswith(b"/v1/messages/count_tokens"):
            self._transport.write(replies.count)
        else:
            self._transport.write(replies.lost)

    def _stream(self, request: bytes, dialect: Dialect) -> None:
        if Pattern.BURST.marker in request:
            self._transport.write(dialect.burst)
            return
        self._transport.write(dialect.opening)
        if Pattern.PACED.marker in request:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(loop.time() + PACE, self._pace, dialect, 0, loop.time() + PACE)

    def _pace(self, dialect: Dialect, number: int, due: float) -> None:
        """One delta, and the next one a pace after this one was due: late timers don't add up."""
        if number == len(dialect.deltas):
            self._transport.write(dialect.closing)
            return
        self._transport.write(dialect.deltas[number])
        due += PACE
        self._timer = asyncio.get_running_loop().call_at(due, self._pace, dialect, number + 1, due)


async def _serve(port: int) -> None:
    replies = Replies()
    server = await asyncio.get_running_loop().create_server(
        lambda: Exchange(replies), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
