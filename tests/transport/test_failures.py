"""What people read when there is no connection, or none that is any good: the same from both clients."""

from __future__ import annotations

import asyncio
import datetime
import errno
import os
import pickle
import socket
import ssl
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop import tls
from outcrop.transport import (
    BrokenError,
    CertificateError,
    DialError,
    GarbledError,
    ProxyError,
    ProxySettingError,
    TimedOutError,
    Timeouts,
    TransportError,
    aio,
    sync,
)
from outcrop.transport.route import Proxies, Proxy, Route
from outcrop.transport.trust import Trust
from outcrop.transport.tunnel import Tunnel
from transport.threaded import Exchange, Server, hello

Ask = Callable[..., TransportError]


def _blocking(url: str, **options: Any) -> TransportError:
    with closing(sync.Client(**options)) as client, pytest.raises(TransportError) as caught:
        client.send("GET", url).read(1000)
    return caught.value


def _async(url: str, **options: Any) -> TransportError:
    async def go() -> None:
        client = aio.Client(guarded=False, **options)
        try:
            async with await client.send("GET", url) as response:
                await response.read(1000)
        finally:
            await client.close()

    with pytest.raises(TransportError) as caught:
        asyncio.run(go())
    return caught.value


@pytest.fixture(params=[_blocking, _async], ids=["blocking", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    made: Ask = request.param
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tls.Material:
    return tls.ensure(tmp_path_factory.mktemp("tls"), ["bedrock.test"])


def context(files: tls.Material) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(files.certificate, files.key)
    return made


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


DIRECT = Proxies()


# -- servers


def test_a_refused_connection_is_said_in_the_systems_words_and_the_host_once(ask: Ask) -> None:
    port = free_port()
    error = ask(f"http://127.0.0.1:{port}", proxies=DIRECT)
    assert type(error) is DialError
    assert str(error) == f"127.0.0.1:{port}: {os.strerror(errno.ECONNREFUSED)}"


def test_a_name_that_nobody_knows_is_said_in_the_resolvers_words(ask: Ask) -> None:
    error = ask("http://nobody.invalid/", proxies=DIRECT)
    assert type(error) is DialError
    assert str(error).startswith("nobody.invalid:80: ")
    assert "Errno" not in str(error)
    assert str(error).count("nobody") == 1


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 99]
)
def test_who_speaks_tls_to_a_server_without_it_is_told_to_write_http(ask: Ask, answer: bytes) -> None:
    def say(exchange: Exchange) -> None:
        exchange.send(answer)
        exchange.client_gone()

    with Server(hello, raw=say) as server:
        error = ask(f"https://127.0.0.1:{server.port}", proxies=DIRECT)
    assert type(error) is DialError
    assert str(error) == f"127.0.0.1:{server.port}: TLS failed: what answers there does not speak it"
    assert "write http:// in place of https://" in error.fix


def test_a_server_that_closes_in_the_handshake_is_said_to(ask: Ask) -> None:
    def leave(exchange: Exchange) -> None:
        exchange.receive_some()
        exchange.close()

    with Server(hello, raw=leave) as server:
        error = ask(f"https://127.0.0.1:{server.port}", proxies=DIRECT)
    assert type(error) is DialError
    assert "TLS failed: the connection was closed" in str(error)


def test_who_speaks_plainly_to_a_tls_server_is_told_to_write_https(ask: Ask) -> None:
    def alert(exchange: Exchange) -> None:
        exchange.receive()
        exchange.send(b"\x15\x03\x01\x00\x02\x02\x46")
        exchange.client_gone()

    with Server(hello, raw=alert) as server:
        error = ask(f"http://127.0.0.1:{server.port}", proxies=DIRECT)
    assert type(error) is GarbledError
    assert str(error) == "not an HTTP response: the server speaks TLS"
    assert "https://" in error.fix


# -- certificates


@pytest.mark.parametrize("named", ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "a profile"])
def test_a_certificate_of_another_authority_names_the_list_that_was_used(
    ask: Ask, files: tls.Material, tmp_path: Path, named: str
) -> None:
    other = str(tls.ensure(tmp_path).ca)
    trust = Trust(other, named=named, environ={}) if named == "a profile" else Trust(environ={named: other})
    with Server(hello, tls=context(files)) as server:
        error = ask(server.url, proxies=DIRECT, trust=trust)
    assert type(error) is CertificateError
    assert str(error).startswith(f"the certificate of 127.0.0.1:{server.port} is not believed: ")
    assert str(error).endswith(f"(authorities: {named} = {other})")
    assert error.fix.startswith(f"Add the server's authority to {other}, or correct ")
    assert named in error.fix


def test_a_certificate_that_the_system_does_not_know_says_so(ask: Ask, files: tls.Material) -> None:
    with Server(hello, tls=context(files)) as server:
        error = ask(server.url, proxies=DIRECT, trust=Trust(environ={}))
    assert str(error).endswith("(authorities: this system's)")
    assert error.fix == ""  # whose client this is knows best where to add one


def test_for_a_wrong_name_or_date_no_authority_helps(ask: Ask, files: tls.Material, tmp_path: Path) -> None:
    with Server(hello, tls=context(files), host="127.0.0.2") as server:
        error = ask(server.url, proxies=DIRECT, trust=Trust(str(files.ca), environ={}))
    assert error.fix == "Call the server by a name that its certificate holds."
    assert "authorities" not in str(error)
    old = tls.ensure(tmp_path, now=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    with Server(hello, tls=context(old)) as server:
        error = ask(server.url, proxies=DIRECT, trust=Trust(str(old.ca), environ={}))
    assert "clock" in error.fix


@pytest.mark.parametrize(
    ("trust", "text", "fix"),
    [
        (
            Trust(environ={"AWS_CA_BUNDLE": "/none.pem"}),
            "AWS_CA_BUNDLE names /none.pem, which does not exist",
            "Correct or unset AWS_CA_BUNDLE.",
        ),
        (
            Trust("/none.pem", named="ca_bundle of profile 'x'", environ={}),
            "ca_bundle of profile 'x' names /none.pem, which does not exist",
            "Correct ca_bundle of profile 'x'.",
        ),
        (Trust("/none.pem", environ={}), "ca_file names /none.pem, which does not exist", "Correct ca_file."),
    ],
)
def test_a_list_that_is_not_there_is_to_be_corrected_where_it_is_named(
    ask: Ask, trust: Trust, text: str, fix: str
) -> None:
    error = ask("https://127.0.0.1:1/", proxies=DIRECT, trust=trust)
    assert type(error) is CertificateError
    assert (str(error), error.fix) == (text, fix)


# -- proxies


def by(proxy: Server | int) -> Proxies:
    port = proxy if isinstance(proxy, int) else proxy.port
    url = f"http://ann:secret@127.0.0.1:{port}"
    return Proxies.from_environment({"http_proxy": url, "HTTPS_PROXY": url})


@pytest.mark.parametrize(
    ("scheme", "variable", "server"),
    [("http", "http_proxy", "the server"), ("https", "HTTPS_PROXY", "bedrock.test")],
)
def test_a_proxy_that_is_not_there_names_its_variable(
    ask: Ask, scheme: str, variable: str, server: str
) -> None:
    port = free_port()
    error = ask(f"{scheme}://bedrock.test/", proxies=by(port))
    assert type(error) is ProxyError
    assert str(error) == f"the proxy 127.0.0.1:{port} can't be reached: Connection refused"
    assert error.fix == f"Correct {variable}, or name {server} in NO_PROXY to go there without a proxy."


ANSWERS = [
    (b"HTTP/1.1 407 X\r\n\r\n", "would not connect to bedrock.test:443: 407", "user:password@"),
    (
        b"HTTP/1.1 403 X\r\n\r\n<html><style>x</style>Not\nfor you",
        "would not connect to bedrock.test:443: 403, Not for you",
        "NO_PROXY",
    ),
    (b"HTTP/1.1 200 X\r\n\r\n<html>", "says more than that it has connected to bedrock.test:443", "NO_PROXY"),
    (b"SSH-2.0-x\r\n", "was asked for bedrock.test:443, but: not an HTTP response", "HTTPS_PROXY"),
    (
        b"\x15\x03\x01\x00\x02\x02\x46",
        "was asked for bedrock.test:443, but: not an HTTP response: the server speaks TLS",
        "HTTPS_PROXY",
    ),
    (b"", "was asked for bedrock.test:443, but: the connection was closed: end of file", "HTTPS_PROXY"),
    (
        b"HTTP/1.1 2",
        "was asked for bedrock.test:443, but: the connection was closed: end of file",
        "NO_PROXY",
    ),
]


@pytest.mark.parametrize(("answer", "text", "fix"), ANSWERS)
def test_what_a_proxy_says_instead_of_connecting(ask: Ask, answer: bytes, text: str, fix: str) -> None:
    def say(exchange: Exchange) -> None:
        exchange.send(answer)
        exchange.close()

    with Server(say) as proxy:
        error = ask("https://bedrock.test/", proxies=by(proxy))
        assert type(error) is ProxyError
        assert str(error) == f"the proxy 127.0.0.1:{proxy.port} {text}"
        assert fix in error.fix
        assert "secret" not in f"{error!r}{error.fix}"
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic YW5uOnNlY3JldA=="


def test_a_page_that_a_proxy_does_not_end_is_not_waited_for_long(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tunnel", "dial"):
        monkeypatch.setattr(f"outcrop.transport.{module}.SAID_SECONDS", 0.05)

    def say(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 403 X\r\ncontent-length: 100\r\n\r\nNot for you")
        exchange.client_gone()

    with Server(say) as proxy:
        error = ask("https://bedrock.test/", proxies=by(proxy))
    assert str(error).endswith(": 403, Not for you")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 Connected\r\n\r\n"], ids=["silent", "then silent"])
def test_a_connection_that_takes_too_long_behind_a_proxy_names_it(ask: Ask, answer: bytes) -> None:
    def stall(exchange: Exchange) -> None:
        exchange.send(answer)
        exchange.client_gone()

    with Server(stall) as proxy:
        error = ask("https://bedrock.test/", proxies=by(proxy), timeouts=Timeouts(connect=0.1))
    assert isinstance(error, TimedOutError)
    assert error.phase == "connect"
    assert str(error) == f"the connection through the proxy 127.0.0.1:{proxy.port} did not come within 0.1 s"


def test_what_fails_behind_a_proxy_names_both(ask: Ask, files: tls.Material, tmp_path: Path) -> None:
    def connect(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        exchange.receive_some()
        exchange.send(b"<html>Please sign in</html>")
        exchange.client_gone()

    with Server(connect) as proxy:
        error = ask("https://bedrock.test/", proxies=by(proxy))
    assert type(error) is DialError
    assert str(error) == (
        f"bedrock.test:443 (by the proxy 127.0.0.1:{proxy.port}): "
        "TLS failed: what answers there does not speak it"
    )


# -- the conversation with a proxy


TUNNEL = Route("bedrock.test", 443, tls=True)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([answer for answer, *_ in ANSWERS] + [b"HTTP/1.1 200 X\r\n\r\n"]), st.data())
def test_a_proxys_answer_means_the_same_in_any_pieces(answer: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(answer)), max_size=5)) | {0, len(answer)})

    def outcome(pieces: list[bytes]) -> str:
        tunnel = Tunnel(TUNNEL, Proxy("p", 1))
        try:
            for piece in pieces:
                if not tunnel.answered or not tunnel.complete:
                    tunnel.feed(piece)
            if not tunnel.answered or not tunnel.complete:
                tunnel.feed(b"")
            tunnel.check()
        except ProxyError as error:
            return str(error)
        return "open"

    pieces = [answer[start:end] for start, end in pairwise(cuts) if start < end]
    if b"<html>" in answer and b" 200 " in answer:
        return  # what comes with the answer is refused; what comes later is for TLS to judge
    assert outcome(pieces) == outcome([answer] if answer else [])


def test_no_more_of_a_page_is_kept_than_is_of_use() -> None:
    tunnel = Tunnel(TUNNEL, Proxy("p", 1))
    tunnel.feed(b"HTTP/1.1 403 X\r\n\r\n")
    fed = 0
    while not tunnel.complete:
        tunnel.feed(b"x" * 10_000)
        fed += 10_000
    assert fed < 100_000
    with pytest.raises(ProxyError) as caught:
        tunnel.check()
    assert len(str(caught.value)) < 300


# -- the errors themselves


@pytest.mark.parametrize(
    "error",
    [
        DialError("x", fix="Do y."),
        CertificateError("x", fix="Do y."),
        ProxyError("x", 407, fix="Do y."),
        ProxySettingError("x", fix="Do y."),
        BrokenError("x", unsent=True),
    ],
)
def test_an_error_is_the_same_after_a_pickle(error: TransportError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
