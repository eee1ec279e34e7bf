"""HTTP to the child: whole replies, events in any chunking, refusals, and a child that goes away."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest

from outcrop.engine.local.link import Link, LinkLostError, RefusedError

EVENTS = b'data: {"a":1}\n\n: ping\n\ndata: {"b":"\xc3\xa9"}\n\n'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


@contextlib.asynccontextmanager
async def child(*writes: bytes):
    """A server on a unix socket that reads a request and writes a reply in pieces; yields a link and
    requests."""
    requests = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0
        )
        requests.append(head + await reader.readexactly(length))
        for piece in writes:
            writer.write(piece)
            await writer.drain()
        writer.close()

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "s.sock")
        async with await asyncio.start_unix_server(serve, path):
            yield Link(path, "secret"), requests


def chunked(body: bytes, size: int) -> list[bytes]:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]


def events_of(*writes: bytes) -> list[bytes]:
    async def scene():
        async with child(*writes) as (link, _):
            exchange = await link.open("/x", {})
            try:
                return [event async for event in exchange.events()]
            finally:
                exchange.close()

    return asyncio.run(scene())


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_arrive_in_any_chunking(size):
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    assert events_of(head, *chunked(EVENTS, size)) == [b'{"a":1}', b'{"b":"\xc3\xa9"}']


def test_every_byte_may_come_alone():
    reply = OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunked(EVENTS, 5))
    assert len(events_of(*(bytes([byte]) for byte in reply))) == 2


def test_a_request_carries_the_key_and_its_body():
    async def scene():
        async with child(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (link, requests):
            assert await link.call("/tokenize", {"content": "é"}) == b"{}"
            assert await link.call("/props") == b"{}"
        assert requests[0].startswith(b"POST /tokenize HTTP/1.1\r\n")
        assert b"Authorization: Bearer secret\r\n" in requests[0]
        assert requests[0].endswith('\r\n\r\n{"content":"é"}'.encode())
        assert requests[1].startswith(b"GET /props HTTP/1.1\r\n")

    asyncio.run(scene())


def test_another_status_is_a_refusal_with_its_text():
    body = b'{"error":{"code":400,"message":"failed to parse grammar","type":"x"}}'
    reply = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with pytest.raises(RefusedError, match="400: failed to parse grammar"):
        events_of(reply)


def test_a_refusal_that_is_no_json_is_quoted():
    with pytest.raises(RefusedError, match="503: Loading"):
        events_of(b"HTTP/1.1 503 Busy\r\nContent-Length: 7\r\n\r\nLoading")


def test_an_error_in_mid_stream_is_a_refusal():
    body = b'data: {"a":1}\n\nerror: {"code":500,"message":"Context size has been exceeded."}\n\n'
    with pytest.raises(RefusedError, match="500: Context size"):
        events_of(OK + b"Transfer-Encoding: chunked\r\n\r\n", *chunked(body, 9))


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 O",
        OK,
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nda",
        OK + b"Content-Length: 10\r\n\r\nhalf",
    ],
)
def test_a_reply_that_breaks_off_is_a_lost_link(reply):
    with pytest.raises(LinkLostError):
        events_of(reply)


def test_nobody_there_is_a_lost_link(tmp_path):
    with pytest.raises(LinkLostError):
        asyncio.run(Link(str(tmp_path / "none"), "k").call("/health"))
