"""Opens connections with asyncio: names resolved and checked, proxies, TLS. Knows no HTTP but CONNECT."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

from outcrop.transport import DialError
from outcrop.transport.route import Proxy, Route, literal, refuse

_P = TypeVar("_P", bound=asyncio.Protocol)

_CONNECT_HEAD_LIMIT: Final = 64 * 1024


async def dial(route: Route, make: Callable[[], _P], context: Callable[[], ssl.SSLContext]) -> _P:
    """Opens a connection and hands back its protocol. `context` is asked for when TLS is spoken.

    Raises DialError. Cancelling it leaves nothing open. How long it may take is the caller's to say.
    """
    try:
        if route.unix:
            _, protocol = await asyncio.get_running_loop().create_unix_connection(make, route.unix)
            return protocol
        if route.proxy is not None and route.tls:
            return await _through_tunnel(route, route.proxy, make, context())
        tls = context() if route.tls else None
        _, protocol = await _connect(route.host, route.port, make, tls)
        return protocol
    except TimeoutError as error:
        raise DialError(f"{route.host}:{route.port}: no answer to the connection attempt") from error
    except (OSError, UnicodeError) as error:  # socket.gaierror and ssl.SSLError are OSErrors
        raise DialError(f"{route.unix or f'{route.host}:{route.port}'}: {error}") from error


async def _connect(
    host: str, port: int, make: Callable[[], _P], tls: ssl.SSLContext | None
) -> tuple[asyncio.Transport, _P]:
    """Tries a host's addresses one after the other and takes the first that answers."""
    loop = asyncio.get_running_loop()
    addresses = await _resolve(host, port)
    last: OSError = OSError("no address")
    for number, address in enumerate(addresses):
        try:
            # a dead address must not use up the time of those after it
            async with asyncio.timeout(None if number == len(addresses) - 1 else 1.0):
                return await loop.create_connection(
                    make, address, port, ssl=tls, server_hostname=host if tls else None
                )
        except OSError as error:
            last = error
    raise last


async def _resolve(host: str, port: int) -> list[str]:
    """A host's addresses, each checked. One bad address among good ones refuses the host."""
    if literal(host) is not None:
        refuse(host)
        return [host]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
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


async def _through_tunnel(route: Route, proxy: Proxy, make: Callable[[], _P], tls: ssl.SSLContext) -> _P:
    transport, tunnel = await _connect(proxy.host, proxy.port, _Tunnel, None)
    try:
        authority = f"[{route.host}]:{route.port}" if ":" in route.host else f"{route.host}:{route.port}"
        login = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
        transport.write(f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{login}\r\n".encode("ascii"))
        answer = await tunnel.answer
        status = answer[:12].split(b" ")[-1]
        if (
            not answer.startswith(b"HTTP/1.")
            or not status.startswith(b"2")
            or not answer.endswith(b"\r\n\r\n")
        ):
            raise DialError(
                f"the proxy {proxy.host}:{proxy.port} refused {authority}: {status.decode('latin-1')}"
            )
        protocol = make()
        secured = await asyncio.get_running_loop().start_tls(
            transport, protocol, tls, server_hostname=route.host
        )
        if secured is None:  # the connection went away before the handshake began
            raise DialError(f"the proxy {proxy.host}:{proxy.port} closed the connection")
        protocol.connection_made(secured)
    except BaseException:  # a cancelled or failed handshake must not leave the socket open
        transport.abort()
        raise
    return protocol
