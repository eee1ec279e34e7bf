"""Which proxy a URL is reached by, and what is said of an address that is no proxy's."""

from __future__ import annotations

import asyncio
import string
from contextlib import closing, suppress
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.transport import ProxyError, ProxySettingError, aio, sync
from outcrop.transport.route import Proxies, Proxy, locate


def proxy_for(text: str) -> Proxy:
    found = locate("https://bedrock.test/", Proxies(https=text)).route.proxy
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "host", "port", "login"),
    [
        ("http://proxy.test:3128", "proxy.test", 3128, ""),
        ("proxy.test:3128", "proxy.test", 3128, ""),
        ("http://proxy.test", "proxy.test", 80, ""),
        (" HTTP://Proxy.Test:3128/ ", "proxy.test", 3128, ""),
        ("proxy.test:3128/", "proxy.test", 3128, ""),
        ("http://[2001:db8::1]:3128", "2001:db8::1", 3128, ""),
        ("http://10.0.0.1:8080/any?thing", "10.0.0.1", 8080, ""),
        ("ann:s%3Acret@proxy.test:1", "proxy.test", 1, "Basic YW5uOnM6Y3JldA=="),  # ann:s:cret
        ("http://ann@proxy.test:1", "proxy.test", 1, "Basic YW5uOg=="),
        ("http://:token@proxy.test:1", "proxy.test", 1, "Basic OnRva2Vu"),
        ("http://a@b:c@proxy.test:1", "proxy.test", 1, "Basic YUBiOmM="),  # the last @ ends the login
    ],
)
def test_proxies_are_written_in_these_ways(text: str, host: str, port: int, login: str) -> None:
    assert proxy_for(text) == Proxy(host, port, login)


PLACES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=9).map(lambda word: f"p{word}")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=9), st.text(max_size=9), PLACES, st.integers(1, 65535))
def test_any_login_in_percent_form_is_taken(user: str, password: str, host: str, port: int) -> None:
    from base64 import b64encode

    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    found = proxy_for(f"http://{login}@{host}:{port}")
    pair = f"{user}:{password}".encode()
    assert found == Proxy(host, port, f"Basic {b64encode(pair).decode()}")


REFUSED = [
    ("http://ann:secret@proxy.test:notaport", "the port of proxy.test is no number from 1 to 65535"),
    ("http://ann:secret@proxy.test:0", "the port of proxy.test is no number"),
    ("http://ann:secret@proxy.test:65536", "the port of proxy.test is no number"),
    ("http://ann:secret", "the port of ann is no number"),  # the host was forgotten
    ("http//ann:secret@proxy.test:1", "holds a character"),
    ("http//proxy.test:3128", "does not begin with http://"),
    ("http:/proxy.test:3128", "does not begin with http://"),
    ("ftp://ann:secret@proxy.test", "does not begin with http://"),
    ("'http://ann:secret@proxy.test'", "does not begin with http://"),
    ("://proxy.test", "does not begin with http://"),
    ("socks5://ann:secret@proxy.test:1080", "socks5://proxy.test:1080 is a SOCKS proxy"),
    ("SOCKS5H://ann:secret@proxy.test", "socks5h://proxy.test is a SOCKS proxy"),
    ("socks4://ann:secret", "socks4://… is a SOCKS proxy"),
    ("https://ann:secret@proxy.test:3128", "https://proxy.test:3128 is to be spoken to with TLS"),
    ("http://", "no host in it"),
    ("http://ann:secret@", "no host in it"),
    ("http://ann:secret@:3128", "no host in it"),
    ("http://ann:secret@[::1", "no host in it"),
    ("http://ann:secret@pro xy:1", "no host in it"),
    ("http://ann:se/cret@proxy.test:3128", "user name or password holds a character"),
    ("http://ann:12?secret@proxy.test:3128", "user name or password holds a character"),
    ("http://ann:12#secret@proxy.test:3128", "user name or password holds a character"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_what_is_no_proxys_address_names_its_variable_and_never_the_password(
    text: str, why: str, variable: str
) -> None:
    proxies = Proxies.from_environment({variable: text})
    with pytest.raises(ProxySettingError) as caught:
        locate("https://bedrock.test/", proxies)
    assert str(caught.value).startswith(f"{variable} can't be used: ")
    assert why in str(caught.value)
    assert f"Write {variable}=http://host:port" in caught.value.fix
    assert "or unset it" in caught.value.fix
    for leak in ("secret", "cret"):
        assert leak not in f"{caught.value!r} {caught.value} {caught.value.fix} {proxies!r}"


def test_a_proxy_that_no_variable_names_is_called_the_proxy() -> None:
    with pytest.raises(ProxySettingError, match=r"^the proxy can't be used: ") as caught:
        locate("http://bedrock.test/", Proxies("socks5://p:1"))
    assert caught.value.fix.startswith("Write it as http://host:port")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.text("htp:/@[]s.1?#% ", max_size=20))
def test_any_text_is_a_proxy_or_is_refused_as_one(text: str) -> None:
    with suppress(ProxySettingError):
        assert proxy_for(f"{text}p").host  # not empty: that is no proxy


def test_the_variable_of_the_scheme_is_named() -> None:
    proxies = Proxies.from_environment({"HTTP_PROXY": "http://a:x", "ALL_PROXY": "http://b:x"})
    with pytest.raises(ProxySettingError, match=r"^HTTP_PROXY .* port of a "):
        locate("http://bedrock.test/", proxies)
    with pytest.raises(ProxySettingError, match=r"^ALL_PROXY .* port of b "):
        locate("https://bedrock.test/", proxies)


def test_a_bad_proxy_harms_nobody_who_does_not_use_it() -> None:
    environ = {"HTTPS_PROXY": "socks5://p:1", "NO_PROXY": "bedrock.test"}
    proxies = Proxies.from_environment(environ)
    assert locate("https://bedrock.test/", proxies).route.proxy is None
    assert locate("http://other.test/", proxies).route.proxy is None


@pytest.mark.parametrize(("text", "_why"), REFUSED)
def test_both_clients_call_it_an_error_of_the_proxy(text: str, _why: str) -> None:
    proxies = Proxies(https=text)
    with closing(sync.Client(proxies=proxies)) as client, pytest.raises(ProxyError) as first:
        client.send("GET", "https://bedrock.test/")

    async def ask() -> None:
        client = aio.Client(proxies=proxies)
        try:
            await client.send("GET", "https://bedrock.test/")
        finally:
            await client.close()

    with pytest.raises(ProxyError) as second:
        asyncio.run(ask())
    assert str(first.value) == str(second.value)
    assert first.value.fix == second.value.fix


def test_a_url_that_is_none_is_not_the_proxys_fault() -> None:
    with pytest.raises(ValueError, match="not a URL") as caught:
        locate("https://", Proxies(https="socks5://p:1"))
    assert not isinstance(caught.value, ProxyError)


def test_what_a_program_prints_of_a_proxy_holds_no_login() -> None:
    proxies = Proxies.from_environment({"HTTPS_PROXY": "http://ann:secret@proxy.test:3128"})
    route = locate("https://bedrock.test/", proxies).route
    assert str(route.proxy) == "the proxy proxy.test:3128"
    assert "secret" not in f"{proxies!r} {route!r}"
    assert "YW5u" not in repr(route)
