"""The HTTP client against servers that misbehave."""

from __future__ import annotations

import asyncio
import datetime
import gc
import socket
import ssl
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import uvloop

from engine.upstream import Exchange, Upstream, in_turn, until
from outcrop.transport import (
    AddressRefusedError,
    BrokenError,
    CertificateError,
    ClosedError,
    DialError,
    GarbledError,
    Limits,
    ProxyError,
    TimedOutError,
    Timeouts,
    TooLargeError,
)
from outcrop.transport.aio import Client
from outcrop.transport.connection import Connection
from outcrop.transport.route import Proxies, _never, locate, refuse
from outcrop.transport.trust import Trust

Run = Callable[[Coroutine[Any, Any, None]], None]
DIRECT = Proxies()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine under each of the two loops; a test that hangs fails."""

    def go(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(test, 20))

    return go


def new_client(**changes: Any) -> Client:
    limits = Limits(**{name: changes.pop(name) for name in ("connections", "unread") if name in changes})
    return Client(timeouts=Timeouts(**changes), limits=limits, proxies=DIRECT)


async def get(client: Client, url: str, limit: int = 1 << 20) -> bytes:
    with await client.send("GET", url) as response:
        return await response.read(limit)


async def post(client: Client, url: str, body: bytes = b"{}") -> bytes:
    with await client.send("POST", url, (), body) as response:
        return await response.read(1 << 20)


async def hello(exchange: Exchange) -> None:
    await exchange.reply(body=b"hello")


# -- the ordinary


def test_a_request_arrives_as_it_was_meant(run: Run) -> None:
    async def test() -> None:
        async with Upstream(hello) as upstream:
            client = new_client()
            with await client.send(
                "POST", f"{upstream.url}/a%3Ab?c=d", [("x-key", "1")], b"body"
            ) as response:
                assert await response.read(100) == b"hello"
            assert response.status == 200
            (request,) = upstream.requests
            assert (request.method, request.path, request.body) == ("POST", "/a%3Ab?c=d", b"body")
            assert request.headers == {
                "host": f"127.0.0.1:{upstream.port}",
                "accept-encoding": "identity",
                "content-length": "4",
                "x-key": "1",
            }
            await client.close()

    run(test())


def test_a_thousand_requests_share_one_connection(run: Run) -> None:
    async def test() -> None:
        async with Upstream(hello) as upstream:
            client = new_client()
            for _ in range(1000):
                assert await post(client, upstream.url) == b"hello"
            assert upstream.connections == 1
            assert len(upstream.requests) == 1000
            await client.close()
            assert client.open_connections() == 0

    run(test())


def test_what_waits_to_be_read_outlasts_what_arrives_on_other_connections(run: Run) -> None:
    async def by_path(exchange: Exchange) -> None:
        await exchange.reply(body=exchange.path[1:].encode() * 5000)

    async def test() -> None:
        async with Upstream(by_path) as upstream:
            client = new_client()
            asked = [client.send("GET", f"{upstream.url}/{name}") for name in "abc"]
            waiting = await asyncio.gather(*asked)
            assert await get(client, f"{upstream.url}/d") == b"d" * 5000
            for response, name in zip(waiting, "abc", strict=True):
                assert await response.read(5000) == name.encode() * 5000
            assert upstream.connections == 3
            await client.close()

    run(test())


@pytest.mark.parametrize(
    ("loop", "ours"),
    [(asyncio.new_event_loop, True), (uvloop.new_event_loop, False)],
    ids=["asyncio", "uvloop"],
)
def test_asyncio_reads_into_our_memory_and_uvloop_into_its_own(
    loop: Any, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = []
    take = Connection.buffer_updated

    def noting(connection: Connection, nbytes: int) -> None:
        filled.append(nbytes)
        take(connection, nbytes)

    monkeypatch.setattr(Connection, "buffer_updated", noting)

    async def test() -> None:
        async with Upstream(hello) as upstream:
            client = new_client()
            assert await get(client, upstream.url) == b"hello"
            await client.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(test())
    assert bool(filled) == ours


def test_a_large_request_body_arrives_whole(run: Run) -> None:
    async def echo(exchange: Exchange) -> None:
        await exchange.reply(body=exchange.body[-5:] + str(len(exchange.body)).encode())

    async def test() -> None:
        async with Upstream(echo) as upstream:
            client = new_client()
            assert await post(client, upstream.url, b"x" * 20_000_000 + b"end.!") == b"end.!20000005"
            await client.close()

    run(test())


BODIES = [
    pytest.param([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"], False, id="length"),
    pytest.param([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", b"\r\nhe", b"llo"], False, id="length, cut"),
    pytest.param(
        [
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n",
            b"3\r\nll",
            b"o\r\n0\r\n\r",
            b"\n",
        ],
        False,
        id="chunks",
    ),
    pytest.param(
        [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"],
        False,
        id="trailers",
    ),
    pytest.param([b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"], True, id="ends by closing"),
    pytest.param([b"HTTP/1.0 200 OK\r\n\r\nhello"], True, id="HTTP/1.0"),
    pytest.param(
        [
            b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        ],
        False,
        id="interim response",
    ),
]


@pytest.mark.parametrize(("pieces", "close"), BODIES)
def test_every_framing_gives_the_same_body(run: Run, pieces: list[bytes], close: bool) -> None:
    async def script(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.send(piece)
            await asyncio.sleep(0.001)  # so that the pieces are pieces
        if close:
            exchange.close()

    async def test() -> None:
        async with Upstream(script) as upstream:
            client = new_client()
            assert await get(client, upstream.url) == b"hello"
            assert await get(client, upstream.url) == b"hello"
            assert upstream.connections == (2 if close else 1)
            await client.close()

    run(test())


def test_headers_are_found_by_name_in_any_case(run: Run) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.reply(headers=[("Request-ID", "r1"), ("Via", "a"), ("via", "b")])

    async def test() -> None:
        async with Upstream(script) as upstream:
            client = new_client()
            with await client.send("GET", upstream.url) as response:
                assert response.header("request-id") == "r1"
                assert response.header("via") == "a, b"
                assert response.header("absent") == ""
                assert response.headers == [
                    ("content-length", "0"),
                    ("request-id", "r1"),
                    ("via", "a"),
                    ("via", "b"),
                ]
            await client.close()

    run(test())


def test_a_part_is_handed_out_while_the_server_waits(run: Run) -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def script(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            await exchange.chunk(b"first")
            await go_on.wait()
            await exchange.chunk(b"second")
            await exchange.end()

        async with Upstream(script) as upstream:
            client = new_client()
            with await client.send("GET", upstream.url) as response:
                assert await anext(response) == b"first"
                go_on.set()
                assert [part async for part in response] == [b"second"]
            await client.close()

    run(test())


def test_a_unix_socket_is_a_server_too(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "s")

    async def test() -> None:
        async with Upstream(hello, path=path) as upstream:
            client = new_client()
            assert await get(client, f"http+unix://{quote(path, safe='')}/v1/x") == b"hello"
            assert upstream.requests[0].path == "/v1/x"
            await client.close()

    run(test())


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b", "\u20ac"])
def test_a_header_that_would_break_the_message_is_not_sent(value: str) -> None:
    async def test() -> None:
        async with Upstream(hello) as upstream:
            client = new_client()
            with pytest.raises(ValueError, match=r"line break|codec"):
                await client.send("GET", upstream.url, [("x", value)])
            assert upstream.connections == 0
            await client.close()

    asyncio.run(test())


def test_a_client_serves_one_event_loop() -> None:
    client = new_client()

    async def ask() -> None:
        async with Upstream(hello) as upstream:
            await get(client, upstream.url)

    async def first() -> None:
        await ask()
        await client._pools.popitem()[1].close()

    asyncio.run(first())
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(ask())


# -- the pool


def test_the_pool_opens_no_more_connections_than_allowed(run: Run) -> None:
    async def test() -> None:
        busy = peak = 0

        async def script(exchange: Exchange) -> None:
            nonlocal busy, peak
            busy += 1
            peak = max(peak, busy)
            await asyncio.sleep(0.002)
            busy -= 1
            await exchange.reply(body=b"x")

        async with Upstream(script) as upstream:
            client = new_client(connections=3)
            assert await asyncio.gather(*(get(client, upstream.url) for _ in range(30))) == [b"x"] * 30
            assert peak == upstream.connections == 3
            assert client.open_connections() == 3
            await client.close()

    run(test())


def test_waiting_for_a_free_connection_has_an_end(run: Run) -> None:
    async def test() -> None:
        async with Upstream(lambda exchange: exchange.closed_by_client()) as upstream:
            client = new_client(connections=1, slot=0.05)
            holder = asyncio.create_task(get(client, upstream.url))
            await until(lambda: upstream.requests)
            with pytest.raises(TimedOutError) as caught:
                await get(client, upstream.url)
            assert caught.value.phase == "slot"
            holder.cancel()
            await asyncio.wait([holder])
            await client.close()

    run(test())


def test_cancelled_waiters_leave_their_turn_to_the_next(run: Run) -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def script(exchange: Exchange) -> None:
            await go_on.wait()
            await exchange.reply(body=b"x")

        async with Upstream(script) as upstream:
            client = new_client(connections=1)
            tasks = [asyncio.create_task(get(client, upstream.url)) for _ in range(10)]
            await until(lambda: upstream.requests)
            for task in tasks[1:9]:
                task.cancel()
            go_on.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [r for r in results if not isinstance(r, BaseException)] == [b"x", b"x"]
            assert upstream.connections == 1
            await client.close()

    run(test())


def test_a_thousand_random_cancellations_leak_nothing(run: Run) -> None:
    async def test() -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(3):
                await exchange.chunk(b"x" * 10)
                await asyncio.sleep(0)
            await exchange.end()

        async with Upstream(script) as upstream:
            client = new_client(connections=5)

            async def one(turns: int) -> None:
                task = asyncio.create_task(get(client, upstream.url))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    assert task.result() == b"x" * 30

            await asyncio.gather(*(one(number % 37) for number in range(1000)))
            # every slot is free again, and every kept connection is at the start of a response
            results = await asyncio.gather(*(get(client, upstream.url) for _ in range(20)))
            assert results == [b"x" * 30] * 20
            assert client.open_connections() <= 5
            await client.close()
            assert client.open_connections() == 0

    run(test())


def test_an_unused_connection_is_closed_in_time(run: Run) -> None:
    async def test() -> None:
        async with Upstream(hello) as upstream:
            client = new_client(keep=0.03)
            await get(client, upstream.url)
            assert client.open_connections() == 1
            await until(lambda: not upstream.open)
            assert client.open_connections() == 0
            await client.close()

    run(test())


def test_closing_the_client_breaks_off_what_runs(run: Run) -> None:
    async def test() -> None:
        async with Upstream(lambda exchange: exchange.closed_by_client()) as upstream:
            client = new_client(connections=1)
            running = [asyncio.create_task(get(client, upstream.url)) for _ in range(2)]
            await until(lambda: upstream.requests)
            await client.close()
            await client.close()
            for result in await asyncio.gather(*running, return_exceptions=True):
                assert isinstance(result, ClosedError)
            with pytest.raises(ClosedError):
                await get(client, upstream.url)
            assert client.open_connections() == 0

    run(test())


# -- kept connections that die


def _closes_after_one(exchange: Exchange) -> Any:
    async def script() -> None:
        await hello(exchange)
        exchange.close()

    return script()


def test_a_connection_that_the_server_closed_is_not_used_again(run: Run) -> None:
    async def test() -> None:
        async with Upstream(_closes_after_one) as upstream:
            client = new_client()
            for _ in range(3):
                assert await post(client, upstream.url) == b"hello"
                await until(lambda: not upstream.open)
            assert upstream.connections == 3
            await client.close()

    run(test())


class BlockingServer:
    """Answers one request per connection from a thread, then resets or closes when told: no loop sees it."""

    def __init__(self, *, reset: bool) -> None:
        self._reset = reset
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests = 0
        self.let_go = threading.Event()
        self.gone = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for _ in range(2):
            connection, _ = self._listener.accept()
            connection.recv(65536)
            self.requests += 1
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
            self.let_go.wait(5)
            if self._reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            self.gone.set()

    def close(self) -> None:
        self.let_go.set()
        self._thread.join(5)
        self._listener.close()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_close_that_the_loop_has_not_seen_yet_is_noticed_before_a_post_is_written(
    run: Run, reset: bool
) -> None:
    server = BlockingServer(reset=reset)

    async def test() -> None:
        client = new_client()
        assert await post(client, server.url) == b"hello"
        server.let_go.set()
        server.gone.wait(5)  # the loop stands still meanwhile: it can't have read the end of the connection
        assert await post(client, server.url) == b"hello"
        assert server.requests == 2
        await client.close()

    try:
        run(test())
    finally:
        server.close()


async def _dies(exchange: Exchange) -> None:
    exchange.close()


def test_a_post_that_was_written_and_not_answered_is_not_sent_again(run: Run) -> None:
    async def test() -> None:
        async with Upstream(in_turn(hello, _dies, hello)) as upstream:
            client = new_client()
            await post(client, upstream.url)
            with pytest.raises(BrokenError) as caught:
                await post(client, upstream.url)
            assert not caught.value.unsent
            assert len(upstream.requests) == 2
            await client.close()

    run(test())


def test_a_get_on_a_kept_connection_is_sent_again_once(run: Run) -> None:
    async def test() -> None:
        async with Upstream(in_turn(hello, _dies, hello, _dies)) as upstream:
            client = new_client()
            await get(client, upstream.url)
            assert await get(client, upstream.url) == b"hello"
            assert (len(upstream.requests), upstream.connections) == (3, 2)
            with pytest.raises(BrokenError):
                await get(client, upstream.url)  # kept, dies; fresh, dies too
            assert (len(upstream.requests), upstream.connections) == (5, 3)
            await client.close()

    run(test())


def test_nothing_is_sent_again_on_a_connection_that_was_new(run: Run) -> None:
    async def test() -> None:
        async with Upstream(_dies) as upstream:
            client = new_client()
            with pytest.raises(BrokenError):
                await get(client, upstream.url)
            assert len(upstream.requests) == 1
            await client.close()

    run(test())


def test_nothing_is_sent_again_once_an_answer_began(run: Run) -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 2")
        exchange.close()

    async def test() -> None:
        async with Upstream(in_turn(hello, half)) as upstream:
            client = new_client()
            await get(client, upstream.url)
            with pytest.raises(BrokenError):
                await get(client, upstream.url)
            assert len(upstream.requests) == 2
            await client.close()

    run(test())


def test_a_post_whose_writing_failed_is_sent_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    server = BlockingServer(reset=True)

    async def test() -> None:
        client = new_client()
        assert await post(client, server.url) == b"hello"
        server.let_go.set()
        server.gone.wait(5)
        # as if the reset had come right after the kernel was asked
        monkeypatch.setattr("outcrop.transport.connection.Connection.usable", lambda _: True)
        assert await post(client, server.url) == b"hello"
        assert server.requests == 2
        await client.close()

    try:
        run(test())
    finally:
        server.close()


# -- servers that misbehave

GARBAGE = [
    pytest.param(b"\x16\x03\x01garbage", id="not HTTP"),
    pytest.param(b"HTTP/1.1 abc\r\n\r\n", id="no status"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", id="two lengths"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", id="a length that is no number"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", id="a chunk size that is none"
    ),
    pytest.param(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", id="an upgrade"),
    pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, id="a head without end"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n", id="a long head"
    ),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, id="interim responses without end"),
]


@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_refused_and_the_connection_closed(run: Run, answer: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(answer)
        await exchange.closed_by_client()

    async def test() -> None:
        async with Upstream(script) as upstream:
            client = new_client(head=5.0)
            with pytest.raises(GarbledError):
                await get(client, upstream.url)
            await until(lambda: not upstream.open)
            await client.close()

    run(test())


def test_a_second_response_that_nobody_asked_for_is_never_used(run: Run) -> None:
    async def twice(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood"
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
        )

    async def late(exchange: Exchange) -> None:
        await exchange.reply(body=b"good")
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")

    async def test() -> None:
        for script in (twice, late):
            async with Upstream(script) as upstream:
                client = new_client()
                for _ in range(3):
                    assert await get(client, upstream.url) == b"good"
                assert upstream.connections == 3
                await client.close()

    run(test())


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
def test_a_response_that_is_cut_off_is_never_taken_for_whole(run: Run, answer: bytes, how: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(answer)
        getattr(exchange, how)()

    async def test() -> None:
        async with Upstream(script) as upstream:
            client = new_client()
            with pytest.raises(BrokenError):
                await get(client, upstream.url)
            await client.close()
            assert client.open_connections() == 0

    run(test())


def test_what_arrived_before_the_cut_is_handed_out_first(run: Run) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
        exchange.close()

    async def test() -> None:
        async with Upstream(script) as upstream:
            client = new_client()
            response = await client.send("GET", upstream.url)
            await until(lambda: not upstream.open)
            assert await anext(response) == b"hello"
            for _ in range(2):
                with pytest.raises(BrokenError):
                    await anext(response)
            await client.close()

    run(test())


PHASES = [
    pytest.param(b"", "head", id="silence"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-", "head", id="half a head"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", "head", id="an interim response"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", "idle", id="half a body"),
]


@pytest.mark.parametrize(("answer", "phase"), PHASES)
@pytest.mark.parametrize("warm", [False, True], ids=["new", "kept"])
def test_each_phase_has_its_own_timeout(run: Run, answer: bytes, phase: str, warm: bool) -> None:
    async def stall(exchange: Exchange) -> None:
        await exchange.send(answer)
        await exchange.closed_by_client()

    async def test() -> None:
        async with Upstream(in_turn(hello, stall) if warm else stall) as upstream:
            client = new_client(**{"head": 10.0, "idle": 10.0, "keep": 10.0, phase: 0.05})
            if warm:
                await get(client, upstream.url)
            with pytest.raises(TimedOutError) as caught:
                await get(client, upstream.url)
            assert caught.value.phase == phase
            await until(lambda: not upstream.open)
            await client.close()

    run(test())


def test_a_request_may_have_timeouts_of_its_own(run: Run) -> None:
    async def test() -> None:
        async with Upstream(in_turn(hello, lambda exchange: exchange.closed_by_client())) as upstream:
            client = new_client(connections=1, head=10.0)
            await get(client, upstream.url)
            holder = asyncio.create_task(get(client, upstream.url))
            await until(lambda: len(upstream.requests) == 2)
            with pytest.raises(TimedOutError, match="a free connection"):
                await client.send("GET", upstream.url, timeouts=Timeouts(slot=0.02))
            holder.cancel()
            await asyncio.wait([holder])
            with pytest.raises(TimedOutError, match=r"within 0\.03 s") as caught:
                await client.send("GET", upstream.url, timeouts=Timeouts(head=0.03))
            assert caught.value.phase == "head"
            await client.close()

    run(test())


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def listening(handler: Handler, certificate: tuple[str, str] | None) -> AsyncIterator[str]:
    """A server that does nothing by itself; its address."""
    tasks = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            await handler(reader, writer)
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    context = None if certificate is None else _server_context(certificate)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024, ssl=context)
    try:
        yield f"http{'s' if context else ''}://localhost:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_server_that_does_not_take_a_large_body_is_given_up(
    run: Run, tls: bool, certificate: tuple[str, str]
) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()  # the stream's limit stops its reading

    async def test() -> None:
        async with listening(deaf, certificate if tls else None) as url:
            client = Client(timeouts=Timeouts(write=0.1, head=10.0), ca_file=certificate[0], proxies=DIRECT)
            with pytest.raises(TimedOutError, match="taking the request") as caught:
                await post(client, url, b"x" * 60_000_000)
            assert caught.value.phase == "write"
            await client.close()

    run(test())


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_server_that_takes_a_large_body_slowly_is_waited_for(
    run: Run, tls: bool, certificate: tuple[str, str]
) -> None:
    total = 40_000_000

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        got = naps = 0
        while got < total:
            got += len(await reader.read(1 << 20))
            if got > naps * 200_000:
                naps += 1
                await asyncio.sleep(0.002)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%d" % (len(str(got)), got))
        await asyncio.Event().wait()

    async def test() -> None:
        async with listening(slow, certificate if tls else None) as url:
            client = Client(timeouts=Timeouts(write=0.2, head=10.0), ca_file=certificate[0], proxies=DIRECT)
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await post(client, url, b"x" * total) == str(total).encode()
            assert loop.time() - began > 0.2
            (pool,) = client._pools.values()
            assert len(pool._idle) == 1  # and the connection is kept
            await client.close()

    run(test())


def test_a_slow_but_steady_body_does_not_time_out(run: Run) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(12):
            await asyncio.sleep(0.02)
            await exchange.chunk(b"x")
        await exchange.end()

    async def test() -> None:
        async with Upstream(script) as upstream:
            client = new_client(idle=0.15)
            assert await get(client, upstream.url) == b"x" * 12
            await client.close()

    run(test())


def test_a_body_past_the_limit_is_refused_and_the_server_told(run: Run) -> None:
    async def test() -> None:
        closed = asyncio.Event()

        async def endless(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    await exchange.send(b"x" * 10_000)
            finally:
                closed.set()

        async with Upstream(endless) as upstream:
            client = new_client()
            with pytest.raises(TooLargeError):
                await get(client, upstream.url, limit=50_000)
            await closed.wait()
            await client.close()

    run(test())


def test_a_reader_that_stops_stops_the_server_and_goes_on_where_it_was(run: Run) -> None:
    async def test() -> None:
        total = 40_000_000
        sent = 0

        async def flood(exchange: Exchange) -> None:
            nonlocal sent
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
            while sent < total:
                await exchange.send(b"x" * 100_000)
                sent += 100_000

        async with Upstream(in_turn(flood, hello)) as upstream:
            client = new_client(unread=100_000, idle=0.25)
            with await client.send("GET", upstream.url) as response:
                before = -1
                while before != sent:  # until nothing moves any more
                    before = sent
                    await asyncio.sleep(0.2)
                assert sent < total / 2  # the rest is what the kernel's buffers hold
                assert response._size <= 100_000 + 262_144  # one read more than allowed
                # longer than the idle timeout: waiting for us is no fault of the server's
                await asyncio.sleep(0.3)
                assert len(await response.read(total)) == total
            assert await get(client, upstream.url) == b"hello"
            assert upstream.connections == 1
            await client.close()

    run(test())


def test_a_response_left_early_closes_its_connection(run: Run) -> None:
    async def test() -> None:
        left = asyncio.Event()

        async def script(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            await exchange.chunk(b"x")
            await exchange.closed_by_client()
            left.set()

        async with Upstream(script) as upstream:
            client = new_client()
            with await client.send("GET", upstream.url) as response:
                assert await anext(response) == b"x"
            await left.wait()
            response.close()
            assert client.open_connections() == 0
            await client.close()

    run(test())


def test_an_unread_rest_that_ends_soon_keeps_the_connection(run: Run) -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def script(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            await exchange.chunk(b"all there is to say")
            await go_on.wait()
            await exchange.chunk(b"a footnote")
            await exchange.end()

        async with Upstream(in_turn(script, hello)) as upstream:
            client = new_client()
            response = await client.send("GET", upstream.url)
            assert await anext(response) == b"all there is to say"
            response.finish_unread()
            go_on.set()
            await until(lambda: client._pools[locate(upstream.url, DIRECT).route]._idle)
            assert await get(client, upstream.url) == b"hello"
            assert upstream.connections == 1
            await client.close()

    run(test())


def test_an_unread_rest_that_is_long_closes_the_connection(run: Run) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await exchange.chunk(b"x" * 1000)

    async def test() -> None:
        async with Upstream(endless) as upstream:
            client = new_client()
            response = await client.send("GET", upstream.url)
            response.finish_unread()
            await until(lambda: not upstream.open)
            assert client.open_connections() == 0
            await client.close()

    run(test())


def test_an_answer_to_half_a_request_ends_the_connection(run: Run) -> None:
    async def test() -> None:
        answered = asyncio.Event()

        async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            await writer.drain()
            await answered.wait()
            writer.transport.abort()

        server = await asyncio.start_server(hasty, "127.0.0.1", 0, limit=1024)
        client = new_client()
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with await client.send("POST", url, (), b"x" * 30_000_000) as response:
            assert response.status == 413
            assert await response.read(10) == b"no"
        (pool,) = client._pools.values()
        assert not pool._idle
        answered.set()
        await asyncio.sleep(0)
        await client.close()
        assert client.open_connections() == 0
        server.close()

    run(test())


# -- getting there


def test_a_refused_connection_is_told_as_such(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def test() -> None:
        client = new_client()
        with pytest.raises(DialError, match=r"refused|Connect call failed"):
            await get(client, f"http://127.0.0.1:{port}")
        assert client.open_connections() == 0
        await client.close()

    run(test())


def test_a_name_that_nobody_knows_is_told_as_such(run: Run) -> None:
    async def test() -> None:
        client = new_client()
        with pytest.raises(DialError):
            await get(client, "http://no-such-host.invalid/")
        await client.close()

    run(test())


def test_a_connection_that_takes_too_long_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("outcrop.transport.aio.dial", never)

    async def test() -> None:
        client = new_client(connect=0.02)
        with pytest.raises(TimedOutError) as caught:
            await get(client, "http://127.0.0.1:1/")
        assert caught.value.phase == "connect"
        assert client.open_connections() == 0
        await client.close()

    run(test())


FORBIDDEN = [
    "169.254.169.254",
    "169.254.0.1",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "100.100.100.200",
    "192.0.0.192",
]


@pytest.mark.parametrize("host", FORBIDDEN)
def test_link_local_and_metadata_addresses_are_refused(host: str) -> None:
    with pytest.raises(AddressRefusedError):
        locate(f"http://{host}/latest/meta-data/", DIRECT)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1", "::1", "fd00::1", "8.8.8.8", "localhost", "a.example"]
)
def test_other_addresses_are_not(host: str) -> None:
    refuse(host)


@pytest.mark.parametrize("host", FORBIDDEN)
def test_they_are_located_for_those_who_may(host: str) -> None:
    route = locate(f"http://{host}:1/latest/", DIRECT, guarded=False).route
    assert f"http://{host}:1/".startswith(f"http://{route.host}:1") or f"[{route.host}]" == host


def test_an_unguarded_client_connects_wherever_it_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # the machine may have no link-local address to listen on: loopback stands in for one
    monkeypatch.setattr("outcrop.transport.route._NEVER", ("127.0.0.0/8",))
    _never.cache_clear()

    async def test() -> None:
        async with Upstream(hello) as upstream:
            guarded, free = new_client(), Client(proxies=DIRECT, guarded=False)
            for host in ("127.0.0.1", "localhost"):
                url = f"http://{host}:{upstream.port}/"
                with pytest.raises(AddressRefusedError):
                    await get(guarded, url)
                assert await get(free, url) == b"hello"
            await free.close()

    try:
        run(test())
    finally:
        _never.cache_clear()


@pytest.mark.parametrize("name", ["2852039166", "0xa9.0xfe.0xa9.0xfe", "0251.0376.0251.0376"])
def test_other_spellings_of_a_forbidden_address_are_refused_too(run: Run, name: str) -> None:
    async def test() -> None:
        client = new_client()
        with pytest.raises(AddressRefusedError):
            await get(client, f"http://{name}/")
        await client.close()

    run(test())


def test_a_name_that_resolves_to_a_forbidden_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with Upstream(hello) as upstream:
            loop = asyncio.get_running_loop()

            async def lookup(host: str, port: int, **_: Any) -> list[Any]:
                good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
                bad = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1%eth0", port, 0, 2))
                return [good, bad] if host == "rebound.example" else [good]

            monkeypatch.setattr(loop, "getaddrinfo", lookup)
            client = new_client()
            assert await get(client, f"http://fine.example:{upstream.port}/") == b"hello"
            with pytest.raises(AddressRefusedError):
                await get(client, f"http://rebound.example:{upstream.port}/")
            assert upstream.connections == 1
            await client.close()

    asyncio.run(test())


def test_the_next_address_is_tried_when_one_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with Upstream(hello) as upstream:

            async def lookup(_host: str, port: int, **_: Any) -> list[Any]:
                return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
            client = new_client()
            assert await get(client, f"http://two.example:{upstream.port}/") == b"hello"
            await client.close()

    asyncio.run(test())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1",
        "ftp://a/",
        "http://",
        "http:///x",
        "http://user:pw@a/",
        "http://a/b c\r\nx: y",
        "http://a/b c",
        "http://a b/",
        "http://a/caf\xe9",
        "http://a:x/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:1:2/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[1.2.3.4]/",
        "http://[host]/",
        "http://a\\b/",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not a URL"):
        locate(url, DIRECT)


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "path"),
    [
        ("http://A.example", "a.example", 80, "A.example", "/"),
        ("HTTPS://a.example?x=/y", "a.example", 443, "a.example", "/?x=/y"),
        ("http://a.example:8080/b/c?d#e", "a.example", 8080, "a.example:8080", "/b/c?d"),
        ("http://a.example:/", "a.example", 80, "a.example:", "/"),
        ("http://[::1]:8000/x", "::1", 8000, "[::1]:8000", "/x"),
        ("https://[FD00::1]/", "fd00::1", 443, "[FD00::1]", "/"),
        ("http://b\xfccher.example/", "xn--bcher-kva.example", 80, "xn--bcher-kva.example", "/"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, authority: str, path: str) -> None:
    target = locate(url, DIRECT)
    assert (target.route.host, target.route.port) == (host, port)
    assert (target.authority, target.path) == (authority, path)


# -- TLS and proxies


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-made certificate for localhost, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


def _server_context(certificate: tuple[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def test_tls_with_a_private_authority_works_and_connections_are_kept(
    run: Run, certificate: tuple[str, str]
) -> None:
    async def test() -> None:
        async with Upstream(hello, ssl=_server_context(certificate)) as upstream:
            client = Client(ca_file=certificate[0], proxies=DIRECT)
            for _ in range(5):
                assert await post(client, f"https://localhost:{upstream.port}/") == b"hello"
            assert upstream.connections == 1
            await client.close()

    run(test())


def test_authorities_may_be_given_as_a_trust(run: Run, certificate: tuple[str, str]) -> None:
    async def test() -> None:
        async with Upstream(hello, ssl=_server_context(certificate)) as upstream:
            client = Client(trust=Trust(certificate[0]), proxies=DIRECT)
            assert await get(client, f"https://localhost:{upstream.port}/") == b"hello"
            await client.close()

    run(test())


def test_authorities_that_cannot_be_read_are_told_early_and_late(run: Run, tmp_path: Path) -> None:
    async def test() -> None:
        client = Client(ca_file=str(tmp_path / "none.pem"), proxies=DIRECT)
        with pytest.raises(CertificateError, match="does not exist"):
            client.tls()
        with pytest.raises(CertificateError, match="does not exist"):
            await get(client, "https://127.0.0.1:1/")
        await client.close()

    run(test())


def test_an_unknown_authority_and_a_wrong_name_are_refused(run: Run, certificate: tuple[str, str]) -> None:
    async def test() -> None:
        async with Upstream(hello, ssl=_server_context(certificate)) as upstream:
            for client, host in (
                (Client(proxies=DIRECT), "localhost"),
                (Client(ca_file=certificate[0], proxies=DIRECT), "127.0.0.1"),
            ):
                with pytest.raises(CertificateError, match=f"the certificate of {host}:{upstream.port}"):
                    await post(client, f"https://{host}:{upstream.port}/")
                assert client.open_connections() == 0
                await client.close()
            assert upstream.requests == []

    run(test())


def test_a_reader_that_stops_stops_a_tls_server_too(run: Run, certificate: tuple[str, str]) -> None:
    async def test() -> None:
        total, sent = 40_000_000, 0

        async def flood(exchange: Exchange) -> None:
            nonlocal sent
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
            while sent < total:
                await exchange.send(b"x" * 100_000)
                sent += 100_000

        async with Upstream(flood, ssl=_server_context(certificate)) as upstream:
            client = Client(ca_file=certificate[0], proxies=DIRECT, limits=Limits(unread=100_000))
            with await client.send("GET", f"https://localhost:{upstream.port}/") as response:
                before = -1
                while before != sent:
                    before = sent
                    await asyncio.sleep(0.2)
                assert sent < total / 2
                assert len(await response.read(total)) == total
            await client.close()

    run(test())


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


class TunnelProxy:
    """A proxy that knows CONNECT only and sends every tunnel to one port."""

    def __init__(
        self, port: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\nvia: p\r\n\r\n"
    ) -> None:
        self._port = port
        self._answer = answer
        self.heads: list[bytes] = []

    async def __aenter__(self) -> TunnelProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._answer)
        if b" 200 " not in self._answer:
            writer.close()
            return
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await asyncio.gather(_relay(reader, other_writer), _relay(other_reader, writer))
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
            other_writer.transport.abort()


def test_https_goes_through_a_proxy_by_a_tunnel(
    run: Run, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outcrop.transport.route._is_loopback", lambda _: False)

    async def test() -> None:
        async with (
            Upstream(hello, ssl=_server_context(certificate)) as upstream,
            TunnelProxy(upstream.port) as proxy,
        ):
            client = Client(
                ca_file=certificate[0], proxies=Proxies(https=f"http://me:p%40ss@{proxy.address}")
            )
            for _ in range(3):
                assert await post(client, f"https://localhost:{upstream.port}/x") == b"hello"
            (head,) = proxy.heads
            assert head.startswith(f"CONNECT localhost:{upstream.port} HTTP/1.1\r\n".encode())
            assert b"proxy-authorization: Basic bWU6cEBzcw==\r\n" in head
            assert "proxy-authorization" not in upstream.requests[0].headers
            assert upstream.requests[0].path == "/x"
            await client.close()

    run(test())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        b"garbage",
        b"",
        b"HTTP/1.1 299 " + b"x" * 70_000,
    ],
)
def test_a_proxy_that_says_no_is_told_as_such(
    run: Run, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outcrop.transport.route._is_loopback", lambda _: False)

    async def test() -> None:
        async with TunnelProxy(1, answer) as proxy:
            client = Client(proxies=Proxies(https=proxy.address))
            with pytest.raises(ProxyError, match=f"the proxy {proxy.address} ") as caught:
                await post(client, "https://far.example/")
            assert caught.value.status == (int(answer[9:12]) if answer.endswith(b"\r\n\r\n") else 0)
            assert client.open_connections() == 0
            await client.close()

    run(test())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_cannot_be_reached_is_told_as_such(run: Run, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

    async def test() -> None:
        client = Client(proxies=Proxies(address, address))
        with pytest.raises(ProxyError, match=f"the proxy {address} can't be reached") as caught:
            await get(client, f"{scheme}://far.example/")
        assert caught.value.status == 0
        await client.close()

    run(test())


def test_the_servers_certificate_is_checked_behind_a_proxy_too(
    run: Run, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outcrop.transport.route._is_loopback", lambda _: False)

    async def test() -> None:
        async with (
            Upstream(hello, ssl=_server_context(certificate)) as upstream,
            TunnelProxy(upstream.port) as proxy,
        ):
            client = Client(ca_file=certificate[0], proxies=Proxies(https=proxy.address))
            with pytest.raises(CertificateError, match="the certificate of other"):
                await get(client, "https://other.example/")
            assert client.open_connections() == 0
            await client.close()

    run(test())


def test_plain_http_goes_to_a_proxy_with_the_whole_url(run: Run) -> None:
    async def test() -> None:
        async with Upstream(hello) as proxy:
            client = Client(proxies=Proxies(http=f"http://me:pw@127.0.0.1:{proxy.port}"))
            assert await get(client, "http://far.example:8080/x?y") == b"hello"
            assert await get(client, "http://other.example/") == b"hello"
            first, second = proxy.requests
            assert (first.path, first.headers["host"]) == ("http://far.example:8080/x?y", "far.example:8080")
            assert first.headers["proxy-authorization"] == "Basic bWU6cHc="
            assert second.path == "http://other.example/"
            assert proxy.connections == 1
            await client.close()

    run(test())


PROXIED = Proxies(http="http://p:3128", https="http://p:3128")


@pytest.mark.parametrize(
    ("url", "no", "proxied"),
    [
        ("https://a.example/", (), True),
        ("http://localhost:11434/", (), False),
        ("http://127.0.0.1/", (), False),
        ("http://[::1]:8000/", (), False),
        ("https://a.example/", ("*",), False),
        ("https://a.example/", ("a.example",), False),
        ("https://b.a.example/", ("a.example",), False),
        ("https://b.a.example/", (".a.example",), False),
        ("https://b.a.example/", ("*.a.example",), False),
        ("https://ba.example/", ("a.example",), True),
        ("https://a.example/", ("a.example:443",), False),
        ("https://a.example/", ("a.example:8443",), True),
        ("http://10.1.2.3/", ("10.0.0.0/8",), False),
        ("http://11.1.2.3/", ("10.0.0.0/8", "nonsense/99"), True),
        ("http://[fd00::2]/", ("fd00::2",), False),
        ("http://10.1.2.3/", ("2.3", "a:b:c", "x:99999999"), True),
    ],
)
def test_no_proxy_is_understood(url: str, no: tuple[str, ...], proxied: bool) -> None:
    proxies = Proxies(PROXIED.http, PROXIED.https, no)
    assert (locate(url, proxies).route.proxy is not None) is proxied


def test_proxies_are_read_from_the_environment() -> None:
    environ = {
        "HTTPS_PROXY": "http://a:1",
        "https_proxy": "http://b:2",
        "no_proxy": "x, y z",
        "ALL_PROXY": "http://c:3",
    }
    assert Proxies.from_environment(environ) == Proxies(
        "http://c:3", "http://b:2", ("x", "y", "z"), ("ALL_PROXY", "https_proxy")
    )
    assert Proxies.from_environment({}) == DIRECT


# -- loops that end, clients that are dropped, processes that fork


class Elsewhere:
    """An upstream whose loop runs in a thread of its own."""

    def __init__(self, **listen: Any) -> None:
        self._listen = listen

    def __enter__(self) -> Elsewhere:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._upstream = self._do(self._start())
        scheme = "https" if "ssl" in self._listen else "http"
        self.url = f"{scheme}://localhost:{self._upstream.port}/"
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._upstream.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def closed(self) -> bool:
        """Waits until no connection is open any more."""
        self._do(asyncio.wait_for(until(lambda: not self._upstream.open), 5))
        return True

    @property
    def open(self) -> int:
        return self._upstream.open

    async def _start(self) -> Upstream:
        return await Upstream(hello, **self._listen).__aenter__()

    def _do(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)


@pytest.fixture(params=["http", "https"])
def elsewhere(request: pytest.FixtureRequest, certificate: tuple[str, str]) -> Iterator[Elsewhere]:
    listen = {"ssl": _server_context(certificate)} if request.param == "https" else {}
    with Elsewhere(**listen) as server:
        yield server


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails when anything is said from a destructor; warnings are errors."""
    said: list[Any] = []
    gc.collect()  # what others left is not ours
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()
    assert not said


Loop = Callable[[], asyncio.AbstractEventLoop]
LOOPS = pytest.mark.parametrize(
    "loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


def ended(loop: Loop, client: Client, url: str) -> None:
    """Uses a client in a loop, which then ends as asyncio.run ends it."""
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(get(client, url)) == b"hello"


@LOOPS
def test_what_nobody_closed_is_closed_when_the_loop_ends(
    loop: Loop, elsewhere: Elsewhere, certificate: tuple[str, str], silence: None
) -> None:
    client = Client(ca_file=certificate[0], proxies=DIRECT)
    ended(loop, client, elsewhere.url)
    assert elsewhere.closed()
    assert client.open_connections() == 0


@LOOPS
def test_a_client_of_a_closed_loop_is_abandoned_and_closed_in_silence(
    loop: Loop, elsewhere: Elsewhere, certificate: tuple[str, str], silence: None
) -> None:
    client = Client(ca_file=certificate[0], proxies=DIRECT)
    ended(loop, client, elsewhere.url)
    client.abandon()
    client.abandon()
    asyncio.run(client.close())
    assert client.open_connections() == 0
    with pytest.raises(ClosedError):
        asyncio.run(get(client, elsewhere.url))


def _unruly(client: Client, url: str) -> asyncio.AbstractEventLoop:
    """A loop that was used and is about to be closed without ceremony. asyncio's: uvloop itself complains."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(get(client, url))
    return loop


def test_a_loop_that_was_closed_without_ceremony_leaves_connections_to_abandon(
    elsewhere: Elsewhere, certificate: tuple[str, str], silence: None
) -> None:
    client = Client(ca_file=certificate[0], proxies=DIRECT)
    _unruly(client, elsewhere.url).close()
    assert elsewhere.open == client.open_connections() == 1
    client.abandon()
    assert elsewhere.closed()


def test_closing_it_from_another_loop_is_the_same(
    elsewhere: Elsewhere, certificate: tuple[str, str], silence: None
) -> None:
    client = Client(ca_file=certificate[0], proxies=DIRECT)
    _unruly(client, elsewhere.url).close()
    asyncio.run(client.close())
    assert elsewhere.closed()


def test_so_is_dropping_it(elsewhere: Elsewhere, certificate: tuple[str, str], silence: None) -> None:
    client = Client(ca_file=certificate[0], proxies=DIRECT)
    _unruly(client, elsewhere.url).close()
    del client  # at once: no garbage has to be collected
    assert elsewhere.closed()


def test_abandoning_it_needs_no_turn_of_a_loop_that_stands_still(
    elsewhere: Elsewhere, certificate: tuple[str, str], silence: None
) -> None:
    client = Client(ca_file=certificate[0], proxies=DIRECT)
    loop = _unruly(client, elsewhere.url)
    client.abandon()
    assert elsewhere.closed()
    loop.run_until_complete(asyncio.sleep(0))  # the loop is as it was
    loop.close()


def test_whoever_waits_hears_that_the_client_was_abandoned(run: Run) -> None:
    async def test() -> None:
        async with Upstream(lambda exchange: exchange.closed_by_client()) as upstream:
            for elsewhere in (False, True):
                client = new_client(connections=1)
                running = [asyncio.create_task(get(client, upstream.url)) for _ in range(2)]
                await until(lambda: upstream.open)
                if elsewhere:
                    await asyncio.to_thread(client.abandon)
                else:
                    client.abandon()
                for result in await asyncio.gather(*running, return_exceptions=True):
                    assert isinstance(result, ClosedError)
                await until(lambda: not upstream.open)

    run(test())


def test_a_response_outlives_its_client(run: Run, silence: None) -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def script(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe")
            await go_on.wait()
            await exchange.send(b"llo")

        async with Upstream(in_turn(hello, script)) as upstream:
            client = new_client(keep=10.0)
            await asyncio.gather(get(client, upstream.url))
            response = await client.send("GET", upstream.url)
            del client
            go_on.set()
            assert await response.read(10) == b"hello"
            await until(lambda: not upstream.open)  # nobody could use the connection again

    run(test())


FORKING = """
import asyncio, gc, os, sys, warnings
from outcrop.transport.aio import Client
from outcrop.transport.route import Proxies

async def get(client):
    with await client.send("GET", sys.argv[1]) as response:
        assert await response.read(10) == b"hello"

async def main(client):
    await get(client)
    child = os.fork()
    if child == 0:
        {child}
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    await get(client)  # on the connection that the child had, too

warnings.simplefilter("error")
sys.unraisablehook = lambda _: os._exit(3)
client = Client(proxies=Proxies())
asyncio.run(main(client))
"""


@pytest.mark.parametrize("child", ["client.abandon()", "del client"])
def test_a_forked_process_lets_go_of_its_parents_connections(child: str) -> None:
    with Elsewhere() as server:
        done = subprocess.run(
            [sys.executable, "-c", FORKING.format(child=child), server.url], check=False, timeout=20
        )
        assert done.returncode == 0
        assert server.closed()
        assert server._upstream.connections == 1
