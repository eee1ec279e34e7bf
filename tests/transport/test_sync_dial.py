"""How the blocking client reaches servers: TLS, certificates, proxies."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from outcrop import tls
from outcrop.transport import (
    BrokenError,
    CertificateError,
    ClosedError,
    DialError,
    ProxyError,
    TimedOutError,
    Timeouts,
)
from outcrop.transport.route import Proxies
from outcrop.transport.sync import Client
from outcrop.transport.trust import Trust
from transport.threaded import CHUNKED, PATIENCE, Asked, Exchange, Script, Server, hello, in_turn

DIRECT = Proxies()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tls.Material:
    return tls.ensure(tmp_path_factory.mktemp("tls"), ["bedrock.test"])


def context(files: tls.Material) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(files.certificate, files.key)
    made.set_alpn_protocols(["h2", "http/1.1"])
    return made


@contextmanager
def secure(files: tls.Material, script: Script, **changes: Any) -> Iterator[tuple[Server, Client]]:
    """A server that speaks TLS and a client that believes it."""
    with (
        Server(script, tls=context(files)) as server,
        closing(
            Client(timeouts=Timeouts(**changes), trust=Trust(str(files.ca), environ={}), proxies=DIRECT)
        ) as client,
    ):
        yield server, client


def get(client: Client, url: str) -> bytes:
    with client.send("GET", url) as response:
        return response.read(1 << 27)


# -- TLS


def test_requests_over_tls_share_a_connection(files: tls.Material) -> None:
    seen = []

    def script(exchange: Exchange) -> None:
        assert isinstance(exchange.sock, ssl.SSLSocket)
        seen.append((exchange.sock.version(), exchange.sock.selected_alpn_protocol()))
        exchange.reply(body=exchange.body)

    with secure(files, script) as (server, client):
        for number in range(100):
            with client.send("POST", server.url, (), b"%d" % number) as response:
                assert response.read(10) == b"%d" % number
        assert server.connections == 1
        assert set(seen) == {("TLSv1.3", "http/1.1")}


def test_large_bodies_pass_both_ways_over_tls(files: tls.Material) -> None:
    with secure(files, lambda exchange: exchange.reply(body=exchange.body[::-1])) as (server, client):
        body = bytes(range(256)) * 40_000
        with client.send("POST", server.url, (), body) as response:
            assert response.read(1 << 27) == body[::-1]


def test_a_stream_over_tls_comes_as_it_is_sent(files: tls.Material) -> None:
    go_on = threading.Semaphore(0)

    def script(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        for number in range(20):
            exchange.chunk(b"%d" % number)
            go_on.acquire(timeout=PATIENCE)
        exchange.end()

    with secure(files, script) as (server, client), client.send("GET", server.url) as response:
        for number in range(20):
            assert next(response) == b"%d" % number
            go_on.release()
        assert list(response) == []
        assert client.open_connections() == 1


def test_an_end_that_tls_has_not_announced_is_no_end(files: tls.Material) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        exchange.close()  # TCP's end, not TLS's

    with secure(files, script) as (server, client), pytest.raises(BrokenError):
        get(client, server.url)


def test_a_body_may_end_with_tls(files: tls.Material) -> None:
    def script(exchange: Exchange) -> None:
        assert isinstance(exchange.sock, ssl.SSLSocket)
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        with contextlib.suppress(OSError):
            exchange.sock.unwrap()
        exchange.close()

    with secure(files, script) as (server, client):
        assert get(client, server.url) == b"hello"


def test_closing_wakes_who_waits_over_tls(files: tls.Material) -> None:
    with secure(files, lambda exchange: exchange.client_gone()) as (server, client):
        asked = Asked(get, client, server.url)
        server.wait(lambda: server.requests)
        client.close()
        with pytest.raises(ClosedError):
            asked.result()


@pytest.mark.parametrize("phase", ["head", "idle"])
def test_phases_have_their_timeouts_over_tls(files: tls.Material, phase: str) -> None:
    def stall(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 2" if phase == "head" else CHUNKED + b"5\r\nhel")
        exchange.client_gone()

    with secure(files, stall, **{phase: 0.05}) as (server, client):
        with pytest.raises(TimedOutError) as caught:
            get(client, server.url)
        assert caught.value.phase == phase


def test_a_kept_connection_that_dies_over_tls_is_replaced(files: tls.Material) -> None:
    def once(exchange: Exchange) -> None:
        hello(exchange)
        exchange.close()

    with secure(files, in_turn(once, hello)) as (server, client):
        assert get(client, server.url) == b"hello"
        server.wait(lambda: server.open == 0)
        assert get(client, server.url) == b"hello"
        assert server.connections == 2


def test_after_a_fork_the_parents_tls_goes_on(files: tls.Material) -> None:
    """The child must say nothing on the parent's connection: one record would end it."""
    text = """
import os, sys
from outcrop.transport.route import Proxies
from outcrop.transport.sync import Client
from outcrop.transport.trust import Trust
client = Client(trust=Trust(sys.argv[2], environ={}), proxies=Proxies())
ask = lambda: client.send("GET", sys.argv[1]).read(100)
ask()
child = os.fork()
if child == 0:
    ask()
    client.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(ask(), client.open_connections())
"""
    with Server(hello, tls=context(files)) as server:
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", text, server.url, str(files.ca)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.stderr) == ("b'hello' 1\n", "")
        assert server.connections == 2


# -- certificates that are not believed


def test_an_unknown_authority_is_not_believed(files: tls.Material, tmp_path: Path) -> None:
    other = tls.ensure(tmp_path)
    trust = Trust(str(other.ca), environ={})
    with Server(hello, tls=context(files)) as server, closing(Client(trust=trust, proxies=DIRECT)) as client:
        text = rf"^the certificate of 127\.0\.0\.1:{server.port} is not believed: .*certificate"
        with pytest.raises(CertificateError, match=text):
            get(client, server.url)
        assert client.open_connections() == 0


def test_a_certificate_for_another_host_is_not_believed(files: tls.Material) -> None:
    with (
        Server(hello, tls=context(files), host="127.0.0.2") as server,
        closing(Client(trust=Trust(str(files.ca), environ={}), proxies=DIRECT)) as client,
        pytest.raises(CertificateError, match=r"(?i)mismatch.*127\.0\.0\.2"),
    ):
        get(client, server.url)


def test_an_expired_certificate_is_not_believed(tmp_path: Path) -> None:
    old = tls.ensure(tmp_path, now=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    with (
        Server(hello, tls=context(old)) as server,
        closing(Client(trust=Trust(str(old.ca), environ={}), proxies=DIRECT)) as client,
        pytest.raises(CertificateError, match="expired"),
    ):
        get(client, server.url)


def test_a_server_that_speaks_no_tls_is_told_from_one_that_is_not_there() -> None:
    with Server(hello, raw=lambda exchange: exchange.send(b"HTTP/1.1 400 Bad\r\n\r\n")) as server:
        with (
            closing(Client(proxies=DIRECT)) as client,
            pytest.raises(DialError, match="TLS failed: ") as caught,
        ):
            get(client, server.url.replace("http:", "https:"))
        assert not isinstance(caught.value, CertificateError)


def test_a_server_that_says_nothing_has_the_time_to_connect() -> None:
    with (
        Server(hello, raw=lambda exchange: exchange.client_gone()) as server,
        closing(Client(proxies=DIRECT, timeouts=Timeouts(connect=0.1))) as client,
    ):
        with pytest.raises(TimedOutError) as caught:
            get(client, server.url.replace("http:", "https:"))
        assert caught.value.phase == "connect"
        server.wait(lambda: server.open == 0)


def test_a_bad_bundle_is_found_before_anybody_is_called(tmp_path: Path) -> None:
    trust = Trust(environ={"AWS_CA_BUNDLE": str(tmp_path / "none.pem")})
    with Server(hello) as server, closing(Client(trust=trust, proxies=DIRECT)) as client:
        with pytest.raises(CertificateError, match="AWS_CA_BUNDLE"):
            get(client, server.url.replace("http:", "https:"))
        assert get(client, server.url) == b"hello"  # without TLS nobody asks for it
        assert server.connections == 1


# -- proxies


def tunnel_to(port: int) -> Script:
    """Answers CONNECT and passes on what follows."""

    def script(exchange: Exchange) -> None:
        there = socket.create_connection(("127.0.0.1", port))
        exchange.send(b"HTTP/1.1 200 Connection established\r\nvia: 1.1 x\r\n\r\n")

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := there.recv(65536):
                    exchange.send(data)
            exchange.close()

        thread = threading.Thread(target=back)
        thread.start()
        with contextlib.suppress(OSError):
            while data := exchange.sock.recv(65536):
                there.sendall(data)
            there.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)
        there.close()

    return script


def through(proxy: Server, files: tls.Material | None = None, login: str = "", **changes: Any) -> Client:
    url = f"http://{login}127.0.0.1:{proxy.port}"
    trust = Trust(str(files.ca), environ={}) if files else None
    return Client(proxies=Proxies(url, url), trust=trust, timeouts=Timeouts(**changes))


def test_plain_requests_tell_the_proxy_the_whole_address_and_the_login() -> None:
    with Server(hello) as proxy, closing(through(proxy, login="ann:s%3Acret@")) as client:
        for path in ("/a?b=c", "/d"):
            assert get(client, f"http://bedrock.test:8080{path}") == b"hello"
        request = proxy.requests[0]
        assert request.path == "http://bedrock.test:8080/a?b=c"
        assert request.headers["host"] == "bedrock.test:8080"
        assert request.headers["proxy-authorization"] == "Basic " + b64encode(b"ann:s:cret").decode()
        assert proxy.connections == 1


def test_tls_goes_through_a_tunnel_and_the_login_stays_with_the_proxy(files: tls.Material) -> None:
    with (
        Server(hello, tls=context(files)) as server,
        Server(tunnel_to(server.port)) as proxy,
        closing(through(proxy, files, login="ann:secret@")) as client,
    ):
        for _ in range(3):
            assert get(client, "https://bedrock.test/x") == b"hello"
        (asked,) = proxy.requests
        assert (asked.method, asked.path) == ("CONNECT", "bedrock.test:443")
        assert asked.headers == {
            "host": "bedrock.test:443",
            "proxy-authorization": "Basic " + b64encode(b"ann:secret").decode(),
        }
        assert len(server.requests) == 3
        assert "proxy-authorization" not in server.requests[0].headers


def test_the_certificate_is_the_servers_not_the_proxys(files: tls.Material) -> None:
    with (
        Server(hello, tls=context(files)) as server,
        Server(tunnel_to(server.port)) as proxy,
        closing(through(proxy, files)) as client,
        pytest.raises(CertificateError, match=r"of other\.test:443 .*mismatch"),
    ):
        get(client, "https://other.test/")


PAGE = (
    b"<html><head><title>Sign in</title><style>p { color: red }</style></head>"
    b"<body><p>Please\n sign in.</body>"
)
REFUSALS = [
    pytest.param(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n", 407, r": 407$", id="login"),
    pytest.param(
        b"HTTP/1.1 502 No\r\ncontent-length: %d\r\n\r\n%b" % (len(PAGE), PAGE),
        502,
        r": 502, Sign in Please sign in\.$",
        id="a page",
    ),
    pytest.param(
        b"HTTP/1.0 403 No\r\n\r\ndenied by policy", 403, ": 403, denied by policy$", id="ends by closing"
    ),
    pytest.param(b"HTTP/1.1 302 Found\r\nlocation: x\r\n\r\n", 302, ": 302$", id="sends elsewhere"),
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + PAGE, 200, "says more", id="a page with status 200"),
    pytest.param(b"<html>", 0, "not an HTTP response", id="not HTTP"),
    pytest.param(b"", 0, "closed", id="closes"),
    pytest.param(b"HTTP/1.1 2", 0, "closed", id="closes in the head"),
]


@pytest.mark.parametrize(("answer", "status", "text"), REFUSALS)
def test_a_proxy_that_would_not_connect_is_quoted(answer: bytes, status: int, text: str) -> None:
    def script(exchange: Exchange) -> None:
        exchange.send(answer)
        exchange.close()

    with Server(script) as proxy, closing(through(proxy, login="ann:secret@")) as client:
        with pytest.raises(ProxyError, match=text) as caught:
            get(client, "https://bedrock.test/")
        assert caught.value.status == status
        assert f"127.0.0.1:{proxy.port}" in str(caught.value)
        assert "bedrock.test:443" in str(caught.value)
        assert "secret" not in str(caught.value)
        assert client.open_connections() == 0


def test_a_silent_proxy_has_the_time_to_connect() -> None:
    with (
        Server(lambda exchange: exchange.client_gone()) as proxy,
        closing(through(proxy, connect=0.1)) as client,
    ):
        with pytest.raises(TimedOutError) as caught:
            get(client, "https://bedrock.test/")
        assert caught.value.phase == "connect"
        proxy.wait(lambda: proxy.open == 0)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_named(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://ann:secret@127.0.0.1:{port}"
    text = rf"^the proxy 127\.0\.0\.1:{port} can't be reached: Connection refused$"
    with closing(Client(proxies=Proxies(url, url))) as client, pytest.raises(ProxyError, match=text):
        get(client, f"{scheme}://bedrock.test/")


@pytest.mark.parametrize("kind", ["socks5", "https"])
def test_proxies_of_other_kinds_are_refused_by_name(kind: str) -> None:
    url = f"{kind}://ann:secret@proxy.test:1080"
    with closing(Client(proxies=Proxies(url, url))) as client:
        with pytest.raises(ProxyError, match=f"{kind}://proxy.test:1080") as caught:
            get(client, "https://bedrock.test/")
        assert "secret" not in str(caught.value)
        with pytest.raises(ValueError, match="not a URL"):
            get(client, "https://")


def test_loopback_is_reached_without_a_proxy() -> None:
    with Server(hello) as server, closing(Client(proxies=Proxies("socks5://x", "socks5://x"))) as client:
        assert get(client, server.url) == b"hello"
