"""Opens connections with asyncio: names resolved and checked, proxies, TLS. Knows no HTTP but CONNECT."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

from outcrop.transport import DialError, ProxyError
from outcrop.transport.route import Proxy, Route, literal, refuse
from outcrop.transport.trust import refused

_P = TypeVar("_P", bound=asyncio.Protocol)

_CONNECT_HEAD_LIMIT: Final = 64 * 1024


async def dial(
    route: Route, make: Callable[[], _P], context: Callable[[], ssl.SSLContext], guarded: bool
) -> _P:
    """Opens a connection and hands back its protocol. `context` is asked for when TLS is spoken.

    `guarded`: link-local and metadata addresses are refused. Raises DialError: CertificateError for the
    server's certificate, ProxyError for what is the proxy's, AddressRefusedError. Cancelling it leaves
    nothing open. How long it may take is the caller's to say.
    """
    place = route.unix or f"{route.host}:{route.port}"
    try:
        if route.unix:
            _, protocol = await asyncio.get_running_loop().create_unix_connection(make, route.unix)
            return protocol
        if route.proxy is not None:
            return await _by_proxy(route, route.proxy, make, context, guarded)
        tls = context() if route.tls else None
        _, protocol = await _connect(route.host, route.port, make, tls, guarded)
        return protocol
    except ssl.SSLCertVerificationError as error:
        raise refused(route.host, route.port, error) from error
    except TimeoutError as error:
        raise DialError(f"{place}: no answer to the connection attempt") from error
    except (OSError, UnicodeError) as error:  # socket.gaierror and ssl.SSLError are OSErrors
        raise DialError(f"{place}: {error}") from error


async def _connect(
    host: str, port: int, make: Callable[[], _P], tls: ssl.SSLContext | None, guarded: bool
) -> tuple[asyncio.Transport, _P]:
    """Tries a host's addresses one after the other and takes the first that answers."""
    loop = asyncio.get_running_loop()
    addresses = await _resolve(host, port, guarded)
    last: OSError = OSError("no address")
    for number, address in enumerate(addresses):
        try:
            # a dead address must not use up the time of those after it
            async with asyncio.timeout(None if number == len(addresses) - 1 else 1.0):
                return await loop.create_connection(
                    make, address, port, ssl=tls, server_hostname=host if tls else None
                )
        except ssl.SSLCertVerificationError:
            raise  # another address of the host would only hide it
        except OSError as error:
            last = error
    raise last


async def _resolve(host: str, port: int, guarded: bool) -> list[str]:
    """A host's addresses, each checked if `guarded`. One bad address among good ones refuses the host."""
    if literal(host) is not None:
        addresses = [host]
    else:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if guarded:
        for address in addresses:
            refuse(address)
    return addresses


class _Tunnel(asyncio.Protocol):
    """Reads a proxy's reply to CONNECT, and not a byte more is expected before we speak TLS."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self.answer.done():
            return
        if (
            self._got.endswith(b"\r\n\r\n")
            or b"\r\n\r\n" in self._got
            or len(self._got) > _CONNECT_HEAD_LIMIT
        ):
            self.answer.set_result(self._got)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_result(self._got)


async def _by_proxy(
    route: Route, proxy: Proxy, make: Callable[[], _P], context: Callable[[], ssl.SSLContext], guarded: bool
) -> _P:
    """To a proxy that is told whole URLs, or for TLS through its tunnel."""
    tls = context() if route.tls else None
    try:
        if tls is None:
            _, protocol = await _connect(proxy.host, proxy.port, make, None, guarded)
            return protocol
        transport, tunnel = await _connect(proxy.host, proxy.port, _Tunnel, None, guarded)
    except (OSError, UnicodeError) as error:
        why = "no answer to the connection attempt" if isinstance(error, TimeoutError) else error
        raise ProxyError(f"the proxy {proxy.host}:{proxy.port} can't be reached: {why}") from error
    try:
        await _ask(route, proxy, transport, tunnel)
        protocol = make()
        secured = await asyncio.get_running_loop().start_tls(
            transport, protocol, tls, server_hostname=route.host
        )
        if secured is None:  # the connection went away before the handshake began
            raise ProxyError(f"the proxy {proxy.host}:{proxy.port} closed the connection")
        protocol.connection_made(secured)
    except BaseException:  # a cancelled or failed handshake must not leave the socket open
        transport.abort()
        raise
    return protocol


async def _ask(route: Route, proxy: Proxy, transport: asyncio.Transport, tunnel: _Tunnel) -> None:
    """Asks for a tunnel. Raises ProxyError when there is none."""
    authority = f"[{route.host}]:{route.port}" if ":" in route.host else f"{route.host}:{route.port}"
    login = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
    transport.write(f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{login}\r\n".encode("ascii"))
    answer = await tunnel.answer
    where = f"the proxy {proxy.host}:{proxy.port}"
    code = answer[9:12]
    if not answer.startswith(b"HTTP/1.") or not code.isdigit() or len(code) < 3:
        what = "closed the connection" if not answer else "does not answer as one"
        raise ProxyError(f"{where} {what} when it is asked for {authority}")
    if not code.startswith(b"2"):
        hint = ": it wants a login (http://user:password@host:port)" if code == b"407" else ""
        raise ProxyError(f"{where} refused {authority} with status {int(code)}{hint}", int(code))
    if not answer.endswith(b"\r\n\r\n"):
        raise ProxyError(f"{where} sent more than its answer when it was asked for {authority}", int(code))
