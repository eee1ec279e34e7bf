"""Where a URL leads: host, port, proxy, and what stands in the request line. Opens nothing.

Engine URLs come from the operator's configuration only. Even so, link-local and metadata addresses are
never connected to, whether they are written in the URL or are what a name resolves to: whoever resolves a
name checks the addresses with `refuse` and connects to one it has checked, so that a second lookup can't
answer otherwise. Behind a proxy the proxy resolves the name, so there only a literal address and the proxy's
own are checked.
"""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from typing import Final, TypeAlias
from urllib.parse import unquote, urlsplit

import msgspec

from outcrop.transport import AddressRefusedError

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# Link-local, and the metadata services that live elsewhere: AWS over IPv6, Alibaba Cloud, Oracle Cloud.
_NEVER: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32", "192.0.0.192/32")
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy. `authorization` is the value of `proxy-authorization`, "" for none."""

    host: str
    port: int
    authorization: str = ""


class Proxies(msgspec.Struct, frozen=True):
    """Which proxy to use for which scheme, as URLs ("" for none), and the hosts that are reached without one.

    An entry of `no` is `*`, a host, a domain (its hosts are meant too), an address or a network, each with
    `:port` if it is meant for that port only (networks without). Loopback is always reached without a proxy.
    """

    http: str = ""
    https: str = ""
    no: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Proxies:
        """HTTP_PROXY, HTTPS_PROXY, NO_PROXY; ALL_PROXY stands in. Lower case wins, as in curl."""

        def read(name: str) -> str:
            return environ.get(name.lower()) or environ.get(name) or ""

        every = read("ALL_PROXY")
        no = tuple(entry for entry in read("NO_PROXY").replace(",", " ").split() if entry)
        return cls(read("HTTP_PROXY") or every, read("HTTPS_PROXY") or every, no)


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


def locate(url: str, proxies: Proxies) -> Target:
    """Takes an `http`, `https` or `http+unix` URL apart (whose host is a socket's path, percent-encoded).

    Raises ValueError for any other text, AddressRefusedError for an address that is never connected to.
    """
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http+unix" and parts.netloc:
        return Target(Route("", 0, unix=unquote(parts.netloc)), "localhost", path)
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or not url.isprintable():
        raise ValueError(f"not a URL of a server: {url!r}")
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    refuse(host)
    proxy = _proxy_for(host, port, proxies.https if tls else proxies.http, proxies.no)
    if proxy is not None and not tls:
        # plain HTTP: the proxy is spoken to as a server and told the whole URL (RFC 9112, 3.2.2)
        return Target(
            Route(proxy.host, proxy.port, proxy=proxy), parts.netloc, f"http://{parts.netloc}{path}"
        )
    return Target(Route(host, port, tls, proxy), parts.netloc, path)


def refuse(host: str) -> None:
    """Raises AddressRefusedError when `host` is a literal address that is never connected to."""
    address = literal(host)
    if address is None:
        return
    embedded = _embedded(address)
    if any(candidate in network for candidate in (address, embedded) if candidate for network in _NEVER):
        raise AddressRefusedError(f"{host} is a link-local or metadata address: Outcrop never connects there")


def literal(host: str) -> _Address | None:
    """The address that `host` is; None when it is a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _embedded(address: _Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, if any."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _proxy_for(host: str, port: int, url: str, no: tuple[str, ...]) -> Proxy | None:
    if not url or _is_loopback(host) or any(_exempts(entry, host, port) for entry in no):
        return None
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("a proxy must be given as http://host:port")
    authorization = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    return Proxy(parts.hostname, parts.port or 80, authorization)


def _is_loopback(host: str) -> bool:
    address = literal(host)
    return host == "localhost" if address is None else address.is_loopback


def _exempts(entry: str, host: str, port: int) -> bool:
    """Whether one entry of NO_PROXY covers a host."""
    if entry == "*":
        return True
    address = literal(host)
    try:
        if address is not None and "/" in entry:
            return address in ipaddress.ip_network(entry, strict=False)
        if literal(entry) is not None:
            return address == literal(entry)
        parts = urlsplit(f"//{entry}")
        if parts.port not in (None, port):
            return False
    except ValueError:  # an entry nobody can read covers nothing
        return False
    name = (parts.hostname or "").removeprefix("*").lstrip(".")
    return host == name or (address is None and name != "" and host.endswith(f".{name}"))
