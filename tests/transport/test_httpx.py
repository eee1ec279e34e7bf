"""A user's own httpx2 or httpx client behaves as ours does, to those who use it."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

from outcrop import tls
from outcrop.transport import (
    BrokenError,
    CertificateError,
    ClosedError,
    DialError,
    GarbledError,
    ProxyError,
    TimedOutError,
    Timeouts,
    TooLargeError,
)
from outcrop.transport.httpx import Adapted, AsyncAdapted
from transport.threaded import CHUNKED, Exchange, Server, hello, in_turn

Send = Callable[..., "Reply"]


class Reply:
    """What came, whichever way."""

    def __init__(self, response: Any, parts: list[bytes]) -> None:
        self.status, self.headers, self.header, self.parts = (
            response.status,
            response.headers,
            response.header,
            parts,
        )
        self.body = b"".join(parts)


class Way:
    """One of the four kinds of client, driven to the end of a response."""

    def __init__(self, package: Any, asynchronous: bool) -> None:
        self._package = package
        self._asynchronous = asynchronous

    def send(
        self, *arguments: Any, limit: int = 0, client: dict[str, Any] | None = None, **options: Any
    ) -> Reply:
        setup = {"trust_env": False, **(client or {})}
        if self._asynchronous:
            return asyncio.run(asyncio.wait_for(self._await(setup, limit, arguments, options), 20))
        with self._package.Client(**setup) as theirs:
            with Adapted(theirs).send(*arguments, **options) as response:
                parts = [response.read(limit)] if limit else list(response)
            assert not theirs.is_closed
            return Reply(response, parts)

    async def _await(self, setup: Any, limit: int, arguments: Any, options: Any) -> Reply:
        async with self._package.AsyncClient(**setup) as theirs:
            adapted = AsyncAdapted(theirs)
            with await adapted.send(*arguments, **options) as response:
                parts = [await response.read(limit)] if limit else [part async for part in response]
            await adapted.close()
            assert not theirs.is_closed
            return Reply(response, parts)


WAYS = [
    pytest.param(package, asynchronous, id=f"{package.__name__} {'async' if asynchronous else 'sync'}")
    for package in (httpx2, httpx)
    for asynchronous in (False, True)
]


@pytest.fixture(params=[Way(*each.values) for each in WAYS], ids=[str(each.id) for each in WAYS])
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


def test_a_request_arrives_as_it_was_meant(way: Way) -> None:
    path = "/model/arn%3Aaws%2Fx:0/invoke?a=b%20c"
    with Server(lambda exchange: exchange.reply(201, b"hello", [("X-A", "1"), ("x-a", "2")])) as server:
        reply = way.send("POST", server.url + path, [("authorization", "signed"), ("x-key", "1")], b"body")
        (request,) = server.requests
    assert (request.method, request.path, request.body) == ("POST", path, b"body")
    assert (
        request.headers.items()
        >= {
            "host": f"127.0.0.1:{server.port}",
            "accept-encoding": "identity",
            "content-length": "4",
            "authorization": "signed",
            "x-key": "1",
        }.items()
    )
    assert (reply.status, reply.body) == (201, b"hello")
    assert reply.headers == [("content-length", "5"), ("x-a", "1"), ("x-a", "2")]
    assert reply.header("x-a") == "1, 2"


def test_parts_come_as_they_are_sent(way: Way) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        for part in (b"one", b"two"):
            exchange.chunk(part)
            time.sleep(0.05)
        exchange.end()

    with Server(script) as server:
        assert way.send("GET", server.url).parts == [b"one", b"two"]


def test_a_coded_body_is_decoded_once(way: Way) -> None:
    packed = gzip.compress(b"hello" * 100)
    with Server(lambda exchange: exchange.reply(200, packed, [("content-encoding", "gzip")])) as server:
        reply = way.send("GET", server.url)
        assert reply.body == b"hello" * 100
        assert reply.headers == []
    with (
        Server(lambda exchange: exchange.reply(200, b"hello", [("content-encoding", "gzip")])) as server,
        pytest.raises(GarbledError),
    ):
        way.send("GET", server.url)


def test_redirects_are_not_followed_whatever_the_client_does(way: Way) -> None:
    with Server(lambda exchange: exchange.reply(307, b"", [("location", "/elsewhere")])) as server:
        assert way.send("POST", server.url, client={"follow_redirects": True}).status == 307
        assert len(server.requests) == 1


PHASES = [
    pytest.param(b"", "head", id="silence"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n", "idle", id="half a body"),
]


@pytest.mark.parametrize(("answer", "phase"), PHASES)
def test_each_phase_has_its_own_timeout(way: Way, answer: bytes, phase: str) -> None:
    def stall(exchange: Exchange) -> None:
        exchange.send(answer)
        exchange.client_gone()

    with Server(stall) as server:
        with pytest.raises(TimedOutError, match=r"within 0\.05 s") as caught:
            way.send("GET", server.url, timeouts=Timeouts(**{phase: 0.05}))
        assert caught.value.phase == phase
        server.wait(lambda: server.open == 0)
        with pytest.raises(TimedOutError, match=r"within 0\.07 s"):  # the client's own
            way.send("GET", server.url, client={"timeout": 0.07})


def test_a_server_that_takes_nothing_is_a_write_timeout(way: Way) -> None:
    with Server(hello, raw=lambda exchange: time.sleep(0.3)) as server:
        with pytest.raises(TimedOutError) as caught:
            way.send("POST", server.url, (), b"x" * 50_000_000, timeouts=Timeouts(write=0.05))
        assert caught.value.phase == "write"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
        b"x\r\n\r\n",
    ],
)
def test_what_is_cut_off_or_garbage_is_broken(way: Way, answer: bytes) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(answer)
        exchange.close()

    with Server(script) as server:
        with pytest.raises(BrokenError):
            way.send("POST", server.url)
        assert len(server.requests) == 1


def test_a_body_past_the_limit_is_refused(way: Way) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            exchange.send(b"x" * 10_000)

    with Server(endless) as server:
        with pytest.raises(TooLargeError):
            way.send("GET", server.url, limit=50_000)
        server.wait(lambda: server.open == 0)


def test_a_server_that_is_not_there(way: Way) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DialError, match=f"^127.0.0.1:{port}: "):
        way.send("GET", f"http://127.0.0.1:{port}/")


def test_a_certificate_that_is_not_believed(way: Way, tmp_path: Path) -> None:
    files = tls.ensure(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with (
        Server(hello, tls=context) as server,
        pytest.raises(CertificateError, match=f"^the certificate of 127.0.0.1:{server.port} .*certificate"),
    ):
        way.send("GET", server.url)


def test_a_proxy_that_refuses(way: Way) -> None:
    with Server(lambda exchange: exchange.reply(407)) as proxy:
        with pytest.raises(ProxyError) as caught:
            way.send("GET", "https://bedrock.test/", client={"proxy": f"http://127.0.0.1:{proxy.port}"})
        assert caught.value.status == 407


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "http://a:b/"])
def test_what_is_no_address_is_a_value_error(way: Way, url: str) -> None:
    with pytest.raises(ValueError, match=r"not a URL|can't be sent"):
        way.send("GET", url)


def test_a_header_that_would_break_the_message_is_not_sent(way: Way) -> None:
    with Server(hello) as server:
        with pytest.raises(ValueError, match="can't be sent"):
            way.send("GET", server.url, [("x", "a\r\nevil: 1")])
        assert server.requests == []


def test_a_bug_in_a_hook_stays_itself(way: Way) -> None:
    class OursError(Exception):
        pass

    def hook(_: Any) -> Any:
        raise OursError

    with Server(hello) as server, pytest.raises(OursError):
        way.send("GET", server.url, client={"event_hooks": {"request": [hook]}})


@pytest.mark.parametrize("package", [httpx2, httpx])
def test_the_other_kind_of_client_is_refused_with_what_to_give(package: Any) -> None:
    class Mine(package.Client):  # type: ignore[misc]
        pass

    Adapted(Mine())
    with pytest.raises(TypeError, match=rf"AsyncClient of {package.__name__}.*give a Client"):
        Adapted(package.AsyncClient())
    with pytest.raises(TypeError, match=rf"Client of {package.__name__}, which blocks: give an AsyncClient"):
        AsyncAdapted(Mine())
    for wrong in (None, object(), package, package.Client, asyncio.Queue()):
        with pytest.raises(TypeError, match=r"must be a Client of httpx2 or httpx"):
            Adapted(wrong)


def test_a_closed_client_sends_nothing_and_ours_does_not_close_theirs() -> None:
    with Server(hello) as server, httpx2.Client(trust_env=False) as theirs:
        adapted = Adapted(theirs)
        adapted.close()
        with pytest.raises(ClosedError):
            adapted.send("GET", server.url)
        assert theirs.get(server.url).content == b"hello"
        theirs.close()
        with pytest.raises(ClosedError):
            Adapted(theirs).send("GET", server.url)


def test_a_response_given_up_tells_the_server_and_says_so() -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        exchange.chunk(b"x")
        exchange.client_gone()

    with Server(in_turn(script, script)) as server:
        with httpx2.Client(trust_env=False) as theirs:
            with Adapted(theirs).send("GET", server.url) as response:
                assert next(response) == b"x"
            server.wait(lambda: server.open == 0)
            with pytest.raises(BrokenError, match="closed here"):
                next(response)

        async def test() -> None:
            async with httpx2.AsyncClient(trust_env=False) as theirs:
                adapted = AsyncAdapted(theirs)
                with await adapted.send("GET", server.url) as response:
                    assert await anext(response) == b"x"
                with pytest.raises(BrokenError, match="closed here"):
                    await anext(response)
                await adapted.close()
                await asyncio.to_thread(server.wait, lambda: server.open == 0)

        run(test())


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))
