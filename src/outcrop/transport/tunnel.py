"""A proxy is asked for a connection (CONNECT), and its answer read. No sockets, no clocks.

What a proxy says instead of connecting is often a page for people: its beginning is quoted.
"""

from __future__ import annotations

import re
from typing import Final

from outcrop.transport import KIB, HttpError, Limits, ProxyError
from outcrop.transport.http1 import ResponseReader
from outcrop.transport.route import Proxy, Route

# Of what a proxy says, only the beginning is of use, and for the rest of it nobody waits long.
SAID_SECONDS: Final = 1.0
_SAID_BYTES: Final = 64 * KIB


class Tunnel:
    """One request for a connection: send `request`, feed what arrives until `answered`.

    When it is not `open` then, feed on until `complete`, if that comes within SAID_SECONDS. Then `check`.
    """

    def __init__(self, route: Route, proxy: Proxy) -> None:
        host = f"[{route.host}]" if ":" in route.host else route.host
        self._authority = f"{host}:{route.port}"
        self._proxy = proxy
        login = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
        self.request = f"CONNECT {self._authority} HTTP/1.1\r\nhost: {self._authority}\r\n{login}\r\n".encode(
            "ascii"
        )
        self._reader = ResponseReader(Limits(), "CONNECT")
        self._said = bytearray()

    @property
    def answered(self) -> bool:
        """Whether it is known what the proxy does."""
        return self._reader.status > 0

    @property
    def open(self) -> bool:
        """Whether it has connected."""
        return 200 <= self._reader.status <= 299

    @property
    def complete(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.open or self._reader.done or len(self._said) >= _SAID_BYTES

    def feed(self, data: bytes) -> None:
        """Reads on; b"" is the end of what the proxy says. Raises ProxyError."""
        try:
            if data:
                for part in self._reader.feed(data):
                    self._said += part
            else:
                self._reader.eof()
        except HttpError as error:
            raise self.failed(error) from error

    def check(self) -> None:
        """Raises ProxyError unless the connection is the server's from here on."""
        status = self._reader.status
        if not self.open:
            said = _in_short(bytes(self._said))
            raise ProxyError(
                f"{self._proxy} would not connect to {self._authority}: {status}{said and f', {said}'}",
                status,
                fix=self._fix(status),
            )
        if self._said:
            raise ProxyError(
                f"{self._proxy} says more than that it has connected to {self._authority}",
                status,
                fix=self._fix(0),
            )

    def failed(self, error: Exception) -> ProxyError:
        """What it is when the exchange with the proxy fails."""
        return ProxyError(
            f"{self._proxy} was asked for {self._authority}, but: {error}", fix=self._fix(self._reader.status)
        )

    def _fix(self, status: int) -> str:
        if status == 407:
            written = f"{self._proxy.origin}=" if self._proxy.origin else "it as "
            return f"It wants another login: write {written}http://user:password@host:port."
        return around(self._proxy, self._authority.rpartition(":")[0])


def around(proxy: Proxy, host: str = "the server") -> str:
    """What to do where a proxy that a variable names does not serve to reach a host."""
    if not proxy.origin:
        return ""
    return f"Correct {proxy.origin}, or name {host} in NO_PROXY to go there without a proxy."


def _in_short(body: bytes) -> str:
    """The beginning of what a page says, without its markup."""
    text = body.decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style)\b.*?</\1\s*>|<[^>]*>", " ", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
