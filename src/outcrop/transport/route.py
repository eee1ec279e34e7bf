"""Where a URL leads: host, port, proxy, and what stands in the request line. Opens nothing.

Engine URLs come from the operator's configuration only. Even so, link-local and metadata addresses are
never connected to, whether they are written in the URL or are what a name resolves to: whoever resolves a
name checks the addresses with `refuse` and connects to one it has checked, so that a second lookup can't
answer otherwise. Behind a proxy the proxy resolves the name, so there only a literal address and the proxy's
own are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from outcrop.transport import AddressRefusedError, ProxySettingError

if TYPE_CHECKING:  # imported where an address has to be understood: most hosts are names
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    _Address: TypeAlias = IPv4Address | IPv6Address

# Link-local, and the metadata services that live elsewhere: AWS over IPv6, Alibaba Cloud, Oracle Cloud.
_NEVER: Final = (
    "169.254.0.0/16",
    "fe80::/10",
    "fd00:ec2::254/128",
    "100.100.100.200/32",
    "192.0.0.192/32",
)
_NAT64: Final = 0x64FF9B << 96  # 64:ff9b::/96 (RFC 6052)
# Proxies that there are and we do not speak to.
_SOCKS: Final = "a SOCKS proxy, and only HTTP proxies are spoken to"
_NOT_SPOKEN: Final = {
    "https": (
        "to be spoken to with TLS, and proxies are spoken to without "
        "(what goes through one to an https:// address is encrypted all the same)"
    ),
    **dict.fromkeys(("socks", "socks4", "socks4a", "socks5", "socks5h"), _SOCKS),
}
_HOST: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy. `authorization` is the value of `proxy-authorization`, "" for none; `origin` the
    variable that names the proxy, "" where it was given otherwise."""

    host: str
    port: int
    authorization: str = ""
    origin: str = ""

    def __str__(self) -> str:
        return f"the proxy {self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Proxy({self.host!r}, {self.port})"  # the login is nobody's to read


class Proxies(msgspec.Struct, frozen=True):
    """Which proxy to use for which scheme, as URLs ("" for none), and the hosts that are reached without one.

    `origins` are the variables in which the two were found, for error texts.

    An entry of `no` is `*`, a host, a domain (its hosts are meant too), an address or a network, each with
    `:port` if it is meant for that port only (networks without). Loopback is always reached without a proxy.
    """

    http: str = ""
    https: str = ""
    no: tuple[str, ...] = ()
    origins: tuple[str, str] = ("", "")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Proxies:
        """HTTP_PROXY, HTTPS_PROXY, NO_PROXY; ALL_PROXY stands in. Lower case wins, as in curl."""

        def read(*names: str) -> tuple[str, str]:
            spellings = [spelling for name in names for spelling in (name.lower(), name)]
            return next(((environ[name], name) for name in spellings if environ.get(name)), ("", ""))

        http, https = read("HTTP_PROXY", "ALL_PROXY"), read("HTTPS_PROXY", "ALL_PROXY")
        no = tuple(entry for entry in read("NO_PROXY")[0].replace(",", " ").split() if entry)
        return cls(http[0], https[0], no, (http[1], https[1]))

    def __repr__(self) -> str:
        return f"Proxies(origins={self.origins!r}, no={self.no!r})"  # the URLs may hold logins


class Route(msgspec.Struct, frozen=True):
    """How to reach an origin. Connections with equal routes are interchangeable, so this is a pool's key."""

    host: str
    port: int
    tls: bool = False
    proxy: Proxy | None = None
    unix: str = ""


class Target(msgspec.Struct, frozen=True):
    """A URL taken apart: the route, the `host` header, and what stands in the request line."""

    route: Route
    authority: str
    path: str


def locate(url: str, proxies: Proxies, *, guarded: bool = True) -> Target:
    """Takes an `http`, `https` or `http+unix` URL apart (whose host is a socket's path, percent-encoded).

    Raises ValueError for any other text, ProxySettingError for a proxy that can't be used, and, if `guarded`,
    AddressRefusedError for an address that is never connected to.
    """
    scheme, netloc, path = _split(url)
    if scheme == "http+unix" and netloc:
        from urllib.parse import unquote

        return Target(Route("", 0, unix=unquote(netloc)), "localhost", path)
    host, port = _host_and_port(netloc)
    if scheme not in ("http", "https") or not host:
        raise ValueError(f"not a URL of a server: {url!r}")
    tls = scheme == "https"
    port = port or (443 if tls else 80)
    if guarded:
        refuse(host)
    proxy = _proxy_for(host, port, tls, proxies)
    if proxy is not None and not tls:
        # plain HTTP: the proxy is spoken to as a server and told the whole URL (RFC 9112, 3.2.2)
        return Target(Route(proxy.host, proxy.port, proxy=proxy), netloc, f"http://{netloc}{path}")
    return Target(Route(host, port, tls, proxy), netloc, path)


def _split(url: str) -> tuple[str, str, str]:
    """Scheme, authority, and path with query; empty ones where it is no URL. A fragment is left out."""
    scheme, _, rest = url.partition("://")
    rest = rest.partition("#")[0]
    end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    netloc, path = rest[:end], rest[end:]
    if not path.startswith("/"):
        path = f"/{path}"
    # what stands in a request line or a header as it is must not be able to end it
    if not path.isascii() or not url.isprintable() or " " in url:
        return "", "", ""
    if not netloc.isascii():
        netloc = netloc.encode("idna").decode("ascii")
    return scheme.lower(), netloc, path


def _host_and_port(netloc: str) -> tuple[str, int]:
    """The host in lower case, without brackets, and the port, 0 where none is given; "" for no host."""
    if netloc.startswith("["):
        host, closed, tail = netloc[1:].partition("]")
        if not closed or ":" not in host or literal(host) is None:
            return "", 0
    else:
        host, colon, port = netloc.partition(":")
        tail = colon + port
        if host.strip(_HOST):
            return "", 0
    port = tail[1:]
    if tail and (tail[0] != ":" or (port and not (port.isdecimal() and 0 < int(port[:6]) < 65536))):
        return "", 0
    return host.lower(), int(port or 0)


def refuse(host: str) -> None:
    """Raises AddressRefusedError when `host` is a literal address that is never connected to."""
    address = literal(host)
    if address is None:
        return
    embedded = _embedded(address)
    if any(candidate in network for candidate in (address, embedded) if candidate for network in _never()):
        raise AddressRefusedError(f"{host} is a link-local or metadata address: Outcrop never connects there")


@cache
def _never() -> tuple[IPv4Network | IPv6Network, ...]:
    from ipaddress import ip_network

    return tuple(ip_network(text) for text in _NEVER)


def literal(host: str) -> _Address | None:
    """The address that `host` is; None when it is a name."""
    if ":" not in host and not host[-1:].isdigit():
        return None
    from ipaddress import ip_address

    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _embedded(address: _Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, if any."""
    from ipaddress import IPv4Address

    if isinstance(address, IPv4Address):
        return None
    if int(address) >> 32 == _NAT64 >> 32:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _proxy_for(host: str, port: int, tls: bool, proxies: Proxies) -> Proxy | None:
    url = proxies.https if tls else proxies.http
    if not url or _is_loopback(host) or any(_exempts(entry, host, port) for entry in proxies.no):
        return None
    return _proxy(url, proxies.origins[tls])


def _proxy(url: str, origin: str) -> Proxy:
    """The proxy that a text names. Raises ProxySettingError, which quotes nothing that may be of a login."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator:  # host:port, as many write it
        scheme, rest = "http", scheme
    end = min((at for mark in "/?#" if (at := rest.find(mark)) >= 0), default=len(rest))
    path = rest[end:]
    login, _, place = rest[:end].rpartition("@")
    host, port = _host_and_port(place)
    kind = scheme.lower()
    if "@" in path:
        why = "its user name or password holds a character that has to be written with % (/ as %2F)"
    elif kind in _NOT_SPOKEN:
        why = f"{kind}://{place if host else '…'} is {_NOT_SPOKEN[kind]}"
    elif kind != "http" or (not separator and path.strip("/")):
        why = "it does not begin with http://"
    elif host:
        return Proxy(host, port or 80, _basic(login) if login else "", origin)
    else:
        why = _no_place(place)
    write = "http://host:port (with a login: http://user:password@host:port)"
    raise ProxySettingError(
        f"{origin or 'the proxy'} can't be used: {why}",
        fix=f"Write {origin}={write}, or unset it." if origin else f"Write it as {write}.",
    )


def _no_place(place: str) -> str:
    """What is wrong with the host and port of a proxy."""
    host, colon, _ = place.partition(":")
    if colon and _host_and_port(host)[0]:
        return f"the port of {host} is no number from 1 to 65535"
    return "there is no host in it, or one that can't be"


def _basic(login: str) -> str:
    """The value of `proxy-authorization` for the part of a URL before its `@`."""
    from base64 import b64encode
    from urllib.parse import unquote

    name, _, password = login.partition(":")
    return f"Basic {b64encode(f'{unquote(name)}:{unquote(password)}'.encode()).decode()}"


def _is_loopback(host: str) -> bool:
    address = literal(host)
    return host == "localhost" if address is None else address.is_loopback


def _exempts(entry: str, host: str, port: int) -> bool:
    """Whether one entry of NO_PROXY covers a host."""
    if entry == "*":
        return True
    from ipaddress import ip_network
    from urllib.parse import urlsplit

    address = literal(host)
    try:
        if address is not None and "/" in entry:
            return address in ip_network(entry, strict=False)
        if literal(entry) is not None:
            return address == literal(entry)
        parts = urlsplit(f"//{entry}")
        if parts.port not in (None, port):
            return False
    except ValueError:  # an entry nobody can read covers nothing
        return False
    name = (parts.hostname or "").removeprefix("*").lstrip(".")
    return host == name or (address is None and name != "" and host.endswith(f".{name}"))
