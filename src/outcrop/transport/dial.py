"""Opens connections with asyncio: names resolved and checked, proxies, TLS. Knows no HTTP but CONNECT."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from outcrop.transport import DialError, ProxyError
from outcrop.transport.route import Proxy, Route, literal, refuse
from outcrop.transport.trust import Trust, no_tls
from outcrop.transport.tunnel import SAID_SECONDS, Tunnel, around

_P = TypeVar("_P", bound=asyncio.Protocol)

# An address that does not answer must not use up the time of those after it.
_NEXT_ADDRESS_SECONDS: Final = 1.0


async def dial(route: Route, make: Callable[[], _P], trust: Trust, guarded: bool) -> _P:
    """Opens a connection and hands back its protocol. `trust` is asked for certificates when TLS is spoken.

    `guarded`: link-local and metadata addresses are refused. Raises DialError: CertificateError for the
    server's certificate, ProxyError for what is the proxy's, AddressRefusedError. Cancelling it leaves
    nothing open. How long it may take is the caller's to say.
    """
    place = route.unix or f"{route.host}:{route.port}"
    try:
        if route.unix:
            _, protocol = await asyncio.get_running_loop().create_unix_connection(make, route.unix)
            return protocol
        # asked first: if the certificates can't be read, nobody need be bothered
        tls = trust.context() if route.tls else None
        if route.proxy is not None:
            return await _by_proxy(route, route.proxy, make, tls, guarded)
        _, protocol = await _connect(route.host, route.port, make, tls, guarded)
        return protocol
    except ssl.SSLCertVerificationError as error:
        raise trust.refused(route, error) from error
    except ssl.SSLError as error:
        raise no_tls(route, error) from error
    except (OSError, UnicodeError) as error:  # socket.gaierror is an OSError
        if route.tls and isinstance(error, ConnectionError) and not error.errno:
            raise no_tls(route, error) from error  # not the system's but asyncio's, in the handshake
        raise DialError(f"{place}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Why a connection was not to be had, without the numbers and addresses that asyncio puts around it."""
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    if isinstance(error, TimeoutError):
        return "no answer to the connection attempt"
    return getattr(error, "strerror", None) or str(error)


async def _connect(
    host: str, port: int, make: Callable[[], _P], tls: ssl.SSLContext | None, guarded: bool
) -> tuple[asyncio.Transport, _P]:
    """Tries a host's addresses one after the other and takes the first that answers."""
    loop = asyncio.get_running_loop()
    addresses = await _resolve(host, port, guarded)
    last: OSError = OSError("no address")
    for number, address in enumerate(addresses):
        try:
            last_one = number == len(addresses) - 1
            async with asyncio.timeout(None if last_one else _NEXT_ADDRESS_SECONDS):
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


class _Asking(asyncio.Protocol):
    """Hands to a tunnel what a proxy says, until somebody else takes the connection over."""

    def __init__(self, tunnel: Tunnel) -> None:
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.complete: asyncio.Future[None] = loop.create_future()
        self.error: ProxyError | None = None  # what came in place of an answer
        self._tunnel = tunnel

    def data_received(self, data: bytes) -> None:
        tunnel = self._tunnel
        if self.complete.done():
            return
        try:
            tunnel.feed(data)
        except ProxyError as error:
            self.error = None if tunnel.answered else error
            self._tell(self.answered, self.complete)
        if tunnel.answered:
            self._tell(self.answered)
        if tunnel.complete:
            self._tell(self.complete)

    def connection_lost(self, _error: Exception | None) -> None:
        self.data_received(b"")

    @staticmethod
    def _tell(*futures: asyncio.Future[None]) -> None:
        for future in futures:
            if not future.done():
                future.set_result(None)


async def _by_proxy(
    route: Route, proxy: Proxy, make: Callable[[], _P], tls: ssl.SSLContext | None, guarded: bool
) -> _P:
    """To a proxy that is told whole URLs, or for TLS through its tunnel."""
    tunnel = Tunnel(route, proxy)
    try:
        if tls is None:
            _, protocol = await _connect(proxy.host, proxy.port, make, None, guarded)
            return protocol
        transport, asking = await _connect(proxy.host, proxy.port, lambda: _Asking(tunnel), None, guarded)
    except (OSError, UnicodeError) as error:
        fix = around(proxy, route.host) if tls else around(proxy)
        raise ProxyError(f"{proxy} can't be reached: {_reason(error)}", fix=fix) from error
    try:
        await _ask(tunnel, transport, asking)
        protocol = make()
        secured = await asyncio.get_running_loop().start_tls(
            transport, protocol, tls, server_hostname=route.host
        )
        if secured is None:  # the connection went away before the handshake began
            raise ConnectionAbortedError("the connection was closed before the handshake")
        protocol.connection_made(secured)
    except BaseException as error:  # a cancelled or failed handshake must not leave the socket open
        transport.abort()
        if isinstance(error, ConnectionError):  # the proxy's, or the server's: who knows
            raise no_tls(route, error) from error
        raise
    return protocol


async def _ask(tunnel: Tunnel, transport: asyncio.Transport, asking: _Asking) -> None:
    """Asks for a tunnel. Raises ProxyError when there is none."""
    transport.write(tunnel.request)
    await asking.answered
    if asking.error is not None:
        raise asking.error
    if not tunnel.open:
        with suppress(TimeoutError):  # it is only for the error's text
            async with asyncio.timeout(SAID_SECONDS):
                await asking.complete
    tunnel.check()
