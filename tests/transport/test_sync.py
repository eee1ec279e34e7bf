"""The blocking client against servers that misbehave."""

from __future__ import annotations

import gc
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from outcrop.transport import (
    AddressRefusedError,
    BrokenError,
    ClosedError,
    DialError,
    GarbledError,
    Limits,
    TimedOutError,
    Timeouts,
    TooLargeError,
)
from outcrop.transport.route import Proxies
from outcrop.transport.sockets import Connection
from outcrop.transport.sync import Client
from transport.threaded import CHUNKED, PATIENCE, Asked, Exchange, Script, Server, hello, in_turn

DIRECT = Proxies()


@contextmanager
def running(script: Script, **changes: Any) -> Iterator[tuple[Server, Client]]:
    """A server and a client for it."""
    with Server(script, raw=changes.pop("raw", None)) as server:
        limits = Limits(**{name: changes.pop(name) for name in ("connections",) if name in changes})
        with closing(Client(timeouts=Timeouts(**changes), limits=limits, proxies=DIRECT)) as client:
            yield server, client
        assert client.open_connections() == 0


def get(client: Client, url: str, limit: int = 1 << 20) -> bytes:
    with client.send("GET", url) as response:
        return response.read(limit)


def post(client: Client, url: str, body: bytes = b"{}") -> bytes:
    with client.send("POST", url, (), body) as response:
        return response.read(1 << 20)


# -- the ordinary


def test_a_request_arrives_as_it_was_meant() -> None:
    with running(hello) as (server, client):
        with client.send("POST", f"{server.url}/a%3Ab?c=d", [("x-key", "1")], b"body") as response:
            assert response.read(100) == b"hello"
        assert response.status == 200
        (request,) = server.requests
        assert (request.method, request.path, request.body) == ("POST", "/a%3Ab?c=d", b"body")
        assert request.headers == {
            "host": f"127.0.0.1:{server.port}",
            "accept-encoding": "identity",
            "content-length": "4",
            "x-key": "1",
        }


def test_a_thousand_requests_share_one_connection() -> None:
    with running(hello) as (server, client):
        for _ in range(1000):
            assert post(client, server.url) == b"hello"
        assert server.connections == 1
        assert client.open_connections() == 1


def test_fifty_threads_share_a_client() -> None:
    def echo(exchange: Exchange) -> None:
        exchange.reply(body=exchange.body)

    with running(echo) as (server, client):

        def ask(name: int) -> None:
            for number in range(20):
                body = f"{name} {number} ".encode() * (1 + 997 * number % 400)
                assert post(client, server.url, body) == body

        for asked in [Asked(ask, name) for name in range(50)]:
            asked.result()
        assert len(server.requests) == 1000
        assert server.connections <= 50
        assert client.open_connections() <= 50


def test_a_large_request_body_arrives_whole() -> None:
    def measure(exchange: Exchange) -> None:
        exchange.reply(body=exchange.body[-5:] + str(len(exchange.body)).encode())

    with running(measure) as (server, client):
        for _ in range(2):
            assert post(client, server.url, b"x" * 20_000_000 + b"end.!") == b"end.!20000005"
        assert server.connections == 1


def test_headers_keep_their_order_and_are_found_by_name() -> None:
    def script(exchange: Exchange) -> None:
        exchange.reply(headers=[("Request-ID", "r1"), ("Via", "a"), ("via", "b")])

    with running(script) as (server, client), client.send("GET", server.url) as response:
        assert response.headers == [("content-length", "0"), ("request-id", "r1"), ("via", "a"), ("via", "b")]
        assert response.header("via") == "a, b"
        assert response.header("absent") == ""


@pytest.mark.parametrize("closes", [False, True], ids=["chunks", "ends by closing"])
def test_every_byte_alone_gives_the_same_body(closes: bool) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\n\r\nhello"
        if closes
        else CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\nx-sum: 1\r\n\r\n"
    )

    def script(exchange: Exchange) -> None:
        exchange.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in answer:
            exchange.send(bytes([byte]))
        if closes:
            exchange.close()

    with running(script) as (server, client):
        assert [get(client, server.url), get(client, server.url)] == [b"hello", b"hello"]
        assert server.connections == (2 if closes else 1)


def test_a_part_is_handed_out_while_the_server_waits() -> None:
    go_on = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        exchange.chunk(b"first")
        go_on.wait(PATIENCE)
        exchange.chunk(b"second")
        exchange.end()

    with running(script) as (server, client), client.send("GET", server.url) as response:
        assert next(response) == b"first"
        go_on.set()
        assert b"".join(response) == b"second"
        assert list(response) == []


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b", "\u20ac"])
def test_a_header_that_would_break_the_message_is_not_sent(value: str) -> None:
    with running(hello) as (server, client):
        with pytest.raises(ValueError, match=r"line break|codec"):
            client.send("GET", server.url, [("x", value)])
        assert server.connections == 0


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "x", "http+unix://%2Ftmp%2Fs/", "http://a b/"])
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with closing(Client(proxies=DIRECT)) as client, pytest.raises(ValueError, match=r"not a URL|unix"):
        client.send("GET", url)


# -- the pool


def test_the_pool_opens_no_more_connections_than_allowed() -> None:
    busy = peak = 0
    lock = threading.Lock()

    def script(exchange: Exchange) -> None:
        nonlocal busy, peak
        with lock:
            busy += 1
            peak = max(peak, busy)
        exchange.reply(body=b"x")
        with lock:
            busy -= 1

    with running(script, connections=3) as (server, client):

        def ask() -> None:
            for _ in range(20):
                assert get(client, server.url) == b"x"

        for asked in [Asked(ask) for _ in range(30)]:
            asked.result()
        assert peak <= 3
        assert server.connections <= 3
        assert client.open_connections() <= 3


def test_waiting_for_a_free_connection_has_an_end() -> None:
    with running(lambda exchange: exchange.send(CHUNKED), connections=1, slot=0.05) as (server, client):
        with client.send("GET", server.url):
            with pytest.raises(TimedOutError) as caught:
                get(client, server.url)
            assert caught.value.phase == "slot"
        server.script = hello
        assert get(client, server.url) == b"hello"


def test_who_waits_gets_what_is_given_back_even_from_a_busy_thread() -> None:
    with running(hello, connections=1) as (server, client):
        enough = threading.Event()

        def hog() -> None:
            while not enough.is_set():
                get(client, server.url)

        hogs = [Asked(hog) for _ in range(2)]
        for _ in range(50):
            assert get(client, server.url) == b"hello"
        enough.set()
        for asked in hogs:
            asked.result()
        assert server.connections == 1


def test_who_waits_gets_the_place_of_a_connection_that_is_lost() -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        exchange.client_gone()

    with running(in_turn(script, hello), connections=1) as (server, client):
        response = client.send("GET", server.url)
        asked = Asked(get, client, server.url)
        server.wait(lambda: server.requests)
        response.close()
        assert asked.result() == b"hello"


def test_a_rested_connection_is_not_used_for_ever() -> None:
    with running(hello, keep=0.02) as (server, client):
        get(client, server.url)
        time.sleep(0.03)
        get(client, server.url)
        assert server.connections == 2
        server.wait(lambda: server.open == 1)


def test_connections_that_nobody_needs_any_more_are_closed() -> None:
    with running(hello, keep=0.3) as (server, client):
        barrier = threading.Barrier(10)

        def all_at_once(exchange: Exchange) -> None:
            barrier.wait(PATIENCE)
            hello(exchange)

        server.script = all_at_once
        for asked in [Asked(get, client, server.url) for _ in range(10)]:
            asked.result()
        server.script = hello
        until = time.monotonic() + PATIENCE
        while server.open > 1:  # one is in use again and again, the others grow old
            assert get(client, server.url) == b"hello"
            assert time.monotonic() < until
        assert client.open_connections() == 1


def test_closing_the_client_wakes_those_that_wait_for_an_answer() -> None:
    with running(lambda exchange: exchange.client_gone(), connections=1) as (server, client):
        waiting = [Asked(get, client, server.url) for _ in range(3)]
        server.wait(lambda: server.requests)
        begin = time.monotonic()
        client.close()
        client.close()
        for asked in waiting:
            with pytest.raises(ClosedError):
                asked.result()
        assert time.monotonic() - begin < 2
        for url in (server.url, f"{server.url}/new"):
            with pytest.raises(ClosedError):
                get(client, url)
        server.wait(lambda: server.open == 0)


def test_a_response_whose_client_was_closed_says_so() -> None:
    with running(lambda exchange: exchange.send(CHUNKED)) as (server, client):
        response = client.send("GET", server.url)
        client.close()
        with pytest.raises(ClosedError):
            next(response)
        whole = Client(proxies=DIRECT)
        server.script = hello
        kept = whole.send("GET", server.url)
        whole.close()
        assert kept.read(100) == b"hello"  # it had arrived


@contextmanager
def deaf() -> Iterator[int]:
    """A port whose connections are never accepted, nor refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address[1]
        for filler in fillers:
            filler.close()


def test_connecting_has_an_end() -> None:
    with deaf() as port, closing(Client(proxies=DIRECT, timeouts=Timeouts(connect=0.05))) as client:
        with pytest.raises(TimedOutError) as caught:
            get(client, f"http://127.0.0.1:{port}/")
        assert caught.value.phase == "connect"
        assert client.open_connections() == 0


def test_closing_the_client_ends_an_attempt_to_connect() -> None:
    with deaf() as port, closing(Client(proxies=DIRECT, timeouts=Timeouts(connect=30))) as client:
        asked = Asked(get, client, f"http://127.0.0.1:{port}/")
        while client.open_connections() == 0:
            time.sleep(0.001)
        time.sleep(0.02)
        client.close()
        with pytest.raises(ClosedError):
            asked.result()


# -- kept connections that die


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_connection_that_the_server_closed_is_not_used_again(how: str) -> None:
    def script(exchange: Exchange) -> None:
        hello(exchange)
        getattr(exchange, how)()

    with running(script) as (server, client):
        for _ in range(3):
            assert post(client, server.url) == b"hello"
            server.wait(lambda: server.open == 0)
        assert server.connections == 3


def dies(exchange: Exchange) -> None:
    exchange.close()


def test_a_post_that_was_written_and_not_answered_is_not_sent_again() -> None:
    with running(in_turn(hello, dies, hello)) as (server, client):
        post(client, server.url)
        with pytest.raises(BrokenError) as caught:
            post(client, server.url)
        assert not caught.value.unsent
        assert len(server.requests) == 2


def test_a_get_on_a_kept_connection_is_sent_again_once() -> None:
    with running(in_turn(hello, dies, hello, dies)) as (server, client):
        get(client, server.url)
        assert get(client, server.url) == b"hello"
        assert (len(server.requests), server.connections) == (3, 2)
        with pytest.raises(BrokenError):
            get(client, server.url)  # kept, dies; fresh, dies too
        assert (len(server.requests), server.connections) == (5, 3)


def test_nothing_is_sent_again_on_a_connection_that_was_new() -> None:
    with running(dies) as (server, client):
        with pytest.raises(BrokenError):
            get(client, server.url)
        assert len(server.requests) == 1


def test_nothing_is_sent_again_once_an_answer_began() -> None:
    def half(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 2")
        exchange.close()

    with running(in_turn(hello, half)) as (server, client):
        get(client, server.url)
        with pytest.raises(BrokenError):
            get(client, server.url)
        assert len(server.requests) == 2


def test_a_post_whose_writing_failed_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def once(exchange: Exchange) -> None:
        hello(exchange)
        exchange.reset()

    with running(in_turn(once, hello)) as (server, client):
        assert post(client, server.url) == b"hello"
        server.wait(lambda: server.open == 0)
        # as if the reset had come right after the kernel was asked
        monkeypatch.setattr(Connection, "usable", lambda _: True)
        assert post(client, server.url) == b"hello"
        assert len(server.requests) == 2


def test_an_answer_that_comes_before_the_request_is_whole_is_an_answer() -> None:
    done = threading.Event()

    def refuse(exchange: Exchange) -> None:
        exchange.sock.recv(1000)
        exchange.reply(413, b"too large")
        done.wait(PATIENCE)

    with (
        running(hello, raw=refuse) as (server, client),
        client.send("POST", server.url, (), b"x" * 50_000_000) as r,
    ):
        assert (r.status, r.read(100)) == (413, b"too large")
        assert client.open_connections() == 0  # the two sides are out of step
        done.set()


def test_a_server_that_takes_nothing_is_not_waited_for_for_ever() -> None:
    stop = threading.Event()
    with running(hello, raw=lambda _: stop.wait(PATIENCE) and None, write=0.05) as (server, client):
        with pytest.raises(TimedOutError) as caught:
            post(client, server.url, b"x" * 50_000_000)
        assert caught.value.phase == "write"
        stop.set()


# -- servers that misbehave

GARBAGE = [
    pytest.param(b"\x16\x03\x01garbage", id="not HTTP"),
    pytest.param(b"HTTP/1.1 abc\r\n\r\n", id="no status"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", id="two lengths"),
    pytest.param(CHUNKED + b"zz\r\n", id="a chunk size that is none"),
    pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, id="a head without end"),
]


@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_refused_and_the_connection_closed(answer: bytes) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(answer)
        exchange.client_gone()

    with running(script) as (server, client):
        with pytest.raises(GarbledError):
            get(client, server.url)
        server.wait(lambda: server.open == 0)


def test_what_came_before_a_fault_is_handed_out_first() -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(CHUNKED + b"5\r\nhello\r\nzz\r\n")

    with running(script) as (server, client):
        response = client.send("GET", server.url)
        assert next(response) == b"hello"
        for _ in range(2):
            with pytest.raises(GarbledError):
                next(response)


def test_a_second_response_that_nobody_asked_for_is_never_used() -> None:
    evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"

    def script(exchange: Exchange) -> None:
        exchange.send(evil.replace(b"evil", b"good") + evil)

    with running(script) as (server, client):
        for _ in range(3):
            assert get(client, server.url) == b"good"
        assert server.connections == 3


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhel",
    ],
)
def test_a_response_that_is_cut_off_is_never_taken_for_whole(answer: bytes, how: str) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(answer)
        getattr(exchange, how)()

    with running(script) as (server, client):
        with pytest.raises(BrokenError):
            get(client, server.url)
        assert client.open_connections() == 0


def test_a_reset_at_once_is_broken() -> None:
    with (
        running(hello, raw=lambda exchange: exchange.reset()) as (server, client),
        pytest.raises(BrokenError),
    ):
        post(client, server.url)


PHASES = [
    pytest.param(b"", "head", id="silence"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-", "head", id="half a head"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", "head", id="an interim response"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", "idle", id="half a body"),
]


@pytest.mark.parametrize(("answer", "phase"), PHASES)
@pytest.mark.parametrize("warm", [False, True], ids=["new", "kept"])
def test_each_phase_has_its_own_timeout(answer: bytes, phase: str, warm: bool) -> None:
    def stall(exchange: Exchange) -> None:
        exchange.send(answer)
        exchange.client_gone()

    with running(in_turn(hello, stall) if warm else stall, keep=10.0) as (server, client):
        if warm:
            get(client, server.url)
        with (
            pytest.raises(TimedOutError) as caught,
            client.send("GET", server.url, timeouts=Timeouts(**{phase: 0.05})) as response,
        ):
            response.read(100)
        assert caught.value.phase == phase
        server.wait(lambda: server.open == 0)


def test_a_head_that_comes_byte_by_byte_has_one_deadline_for_all_of_it() -> None:
    enough = threading.Event()

    def slow(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nx: ")
        while not enough.wait(0.01):
            exchange.send(b"y")

    with running(slow, head=0.1) as (server, client):
        begin = time.monotonic()
        with pytest.raises(TimedOutError) as caught:
            get(client, server.url)
        assert caught.value.phase == "head"
        assert time.monotonic() - begin < 2
        enough.set()


def test_a_slow_but_steady_body_does_not_time_out() -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        for _ in range(12):
            time.sleep(0.02)
            exchange.chunk(b"x")
        exchange.end()

    with running(script, idle=0.15) as (server, client):
        assert get(client, server.url) == b"x" * 12


def test_a_time_without_end_is_a_time() -> None:
    for_ever = 10.0 * 365 * 86_400
    times = dict.fromkeys(("slot", "connect", "write", "head", "idle", "keep"), for_ever)
    with running(hello, **times) as (server, client):
        assert post(client, server.url, b"x" * 5_000_000) == b"hello"


def test_a_body_past_the_limit_is_refused_and_the_server_told() -> None:
    def endless(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            exchange.send(b"x" * 10_000)

    with running(endless) as (server, client):
        with pytest.raises(TooLargeError):
            get(client, server.url, limit=50_000)
        server.wait(lambda: server.open == 0)


def test_a_response_left_early_closes_its_connection() -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        exchange.chunk(b"x")
        exchange.client_gone()

    with running(script) as (server, client):
        with client.send("GET", server.url) as response:
            assert next(response) == b"x"
        server.wait(lambda: server.open == 0)
        response.close()
        with pytest.raises(BrokenError, match="closed here"):
            next(response)


@pytest.mark.parametrize(("rest", "connections"), [(100, 1), (1_000_000, 2)])
def test_a_short_rest_is_read_and_a_long_one_given_up(rest: int, connections: int) -> None:
    def script(exchange: Exchange) -> None:
        exchange.reply(body=b"x" * rest)

    with running(script) as (server, client):
        for _ in range(2):
            response = client.send("GET", server.url)
            response.finish_unread()
        assert server.connections == connections


# -- interrupts, forks, and what is dropped


class Interrupt(BaseException):
    """As a KeyboardInterrupt, but no other test's."""


@pytest.mark.parametrize("answer", [b"", CHUNKED], ids=["before the head", "in the body"])
def test_an_interrupt_leaves_the_pool_as_it_was(answer: bytes) -> None:
    main = threading.get_ident()

    def script(exchange: Exchange) -> None:
        exchange.send(answer)
        time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGUSR1)
        exchange.client_gone()

    def interrupt(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with running(in_turn(hello, script, hello), connections=1) as (server, client):
            get(client, server.url)
            begun = []

            def ask() -> None:
                begun.append(client.send("GET", server.url))
                next(begun[0])

            with pytest.raises(Interrupt):
                ask()
            assert len(begun) == (1 if answer else 0)
            for response in begun:
                with pytest.raises(BrokenError):  # nobody knows what the interrupted read had taken
                    next(response)
            assert get(client, server.url) == b"hello"
            assert (len(server.requests), server.connections) == (3, 2)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_interrupt_while_waiting_for_a_place_leaves_no_ghost_in_line() -> None:
    main = threading.get_ident()
    go_on = threading.Event()

    def interrupt(*_: object) -> None:
        raise Interrupt

    def script(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        go_on.wait(PATIENCE)
        exchange.end()

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with running(in_turn(script, hello), connections=1) as (server, client):
            response = client.send("GET", server.url)
            threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGUSR1)).start()
            with pytest.raises(Interrupt):
                get(client, server.url)
            go_on.set()
            assert list(response) == []
            assert get(client, server.url) == b"hello"
            assert server.connections == 1  # a ghost would have been given the first
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def no_warnings() -> Iterator[None]:
    """Fails when something is not closed before it is collected."""
    gc.collect()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(warning.message) for warning in said if "127.0.0.1" in str(warning.message)] == []


def test_a_client_that_is_dropped_closes_its_connections() -> None:
    with Server(hello) as server, no_warnings():
        client: Client | None = Client(proxies=DIRECT)
        assert client is not None
        get(client, server.url)
        client = None
        server.wait(lambda: server.open == 0)  # at once: nothing of it is in a cycle


def test_a_client_that_is_dropped_in_a_cycle_closes_its_connections() -> None:
    with Server(hello) as server, no_warnings():
        cycle: list[Any] = [Client(proxies=DIRECT)]
        cycle.append(cycle)
        get(cycle[0], server.url)
        del cycle
        gc.collect()
        server.wait(lambda: server.open == 0)


def test_a_response_that_is_dropped_gives_its_place_back() -> None:
    with no_warnings(), running(lambda exchange: exchange.send(CHUNKED), connections=1) as (server, client):
        for number in range(3):
            response: Any = client.send("GET", server.url)
            response = None
            server.wait(lambda: server.open == 0)
            assert server.connections == number + 1
        assert response is None


def test_a_response_outlives_its_client() -> None:
    go_on = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        go_on.wait(PATIENCE)
        exchange.chunk(b"late")
        exchange.end()
        exchange.client_gone()

    with Server(script) as server:
        response = Client(proxies=DIRECT).send("GET", server.url)
        go_on.set()
        assert response.read(10) == b"late"
        server.wait(lambda: server.open == 0)


def run_program(text: str, *arguments: str) -> str:
    """Runs a program with warnings as errors; it must say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(text), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_a_program_may_end_with_everything_open() -> None:
    with Server(in_turn(hello, lambda exchange: exchange.send(CHUNKED))) as server:
        assert (
            run_program(
                """
            import sys
            from outcrop.transport.sync import Client
            from outcrop.transport.route import Proxies
            client = Client(proxies=Proxies())
            print(client.send("GET", sys.argv[1]).read(100))
            response = client.send("GET", sys.argv[1])
            """,
                server.url,
            )
            == "b'hello'\n"
        )


def test_after_a_fork_parent_and_child_go_on_by_themselves() -> None:
    """The parent has a rested connection and a stream that it is in the middle of."""

    def script(exchange: Exchange) -> None:
        if exchange.path == "/stream":
            exchange.send(CHUNKED)
            exchange.chunk(b"first")
        elif exchange.path == "/go-on":
            exchange.reply()
            stream = next(r for r in server.requests if r.path == "/stream")
            stream.chunk(b"second")
            stream.end()
        else:
            exchange.reply(body=exchange.path.encode())

    with Server(script) as server:
        said = run_program(
            """
            import os, sys
            from outcrop.transport import BrokenError
            from outcrop.transport.sync import Client
            from outcrop.transport.route import Proxies
            url = sys.argv[1]
            client = Client(proxies=Proxies())
            ask = lambda path: client.send("GET", url + path).read(100).decode()
            stream = client.send("GET", url + "/stream")
            first = next(stream)
            ask("/parent-before")
            assert client.open_connections() == 2
            child = os.fork()
            if child == 0:
                try:
                    next(stream)
                    os._exit(1)
                except BrokenError:
                    pass
                stream.close()
                assert client.open_connections() == 0
                print("child", ask("/child"), client.open_connections(), flush=True)
                client.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            print("parent", ask("/go-on"), first, stream.read(100), ask("/parent"), client.open_connections())
            """,
            server.url,
        )
        assert said == "child /child 1\nparent  b'first' b'second' /parent 2\n"
        assert server.connections == 3


def test_a_fork_while_threads_are_busy_leaves_the_child_no_locks() -> None:
    with Server(hello) as server:
        said = run_program(
            """
            import os, sys, threading, warnings
            from outcrop.transport.route import Proxies
            from outcrop.transport.sockets import Process
            from outcrop.transport.sync import Client
            client = Client(proxies=Proxies())
            held, done = threading.Event(), threading.Event()
            def hold():
                with Process.lock:
                    held.set()
                    done.wait()
            thread = threading.Thread(target=hold)
            thread.start()
            held.wait()
            warnings.simplefilter("ignore")  # 3.12 warns of forks among threads
            child = os.fork()
            if child == 0:
                print(client.send("GET", sys.argv[1]).read(100), flush=True)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            done.set()
            thread.join()
            """,
            server.url,
        )
        assert said == "b'hello'\n"


# -- where a name leads


def test_addresses_are_tried_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(hello) as server:
        entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        found = [(*entry, (host, server.port)) for host in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with closing(Client(proxies=DIRECT)) as client:  # 127.0.0.2 refuses
            assert get(client, f"http://two.test:{server.port}/") == b"hello"
            assert server.requests[0].headers["host"] == f"two.test:{server.port}"


def test_a_server_that_refuses_is_named_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with closing(Client(proxies=DIRECT)) as client:
        with pytest.raises(DialError, match=rf"^127\.0\.0\.1:{port}: Connection refused$"):
            get(client, f"http://127.0.0.1:{port}/")
        with pytest.raises(DialError, match=r"^nobody\.invalid:80: "):
            get(client, "http://nobody.invalid/")
        assert client.open_connections() == 0


def test_a_guarded_client_goes_to_no_metadata_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Client(proxies=DIRECT, guarded=True)) as client:
        with pytest.raises(AddressRefusedError):
            get(client, "http://169.254.169.254/latest")
        entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [entry])
        with pytest.raises(AddressRefusedError):
            get(client, "http://innocent.test/")
        assert client.open_connections() == 0
    with closing(Client(proxies=DIRECT)) as client:
        assert client.locate("http://169.254.169.254/").route.host == "169.254.169.254"
