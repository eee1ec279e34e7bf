"""HTTP/1.1 to other servers: requests sent, responses handed back as they arrive, connections kept.

Knows how a connection is opened, timed and lost; not Bedrock, no redirects, cookies or content codings.

route               where a URL leads: host, port, proxy; addresses that are never connected to
trust               which certificate authorities are believed
http1               a response's bytes become status, headers and body: no sockets
tunnel              asking a proxy for a connection: no sockets
dial, connection,   the same with asyncio: opening, one exchange, the pool
aio
sockets, sync       the same for threads: one connection and its opening, the pool
httpx               a user's own client in the shape of these two
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

KIB: Final = 1024
Phase = Literal["slot", "connect", "write", "head", "idle"]

_WAITED_FOR: Final[dict[Phase, str]] = {
    "slot": "a free connection",
    "connect": "the connection",
    "write": "the server taking the request",
    "head": "the response",
    "idle": "the next part of the response",
}


class TransportError(Exception):
    """A request got no complete response; what had arrived before has been handed out.

    `fix` is what to do next, as sentences; "" where the transport knows nothing better than who called it.
    """

    def __init__(self, text: str, *, fix: str = "") -> None:
        super().__init__(text)
        self.fix = fix


class DialError(TransportError):
    """There is no connection: name not found, refused, TLS failed, or the proxy said no. Nothing was sent."""


class AddressRefusedError(DialError):
    """The address is one that Outcrop never connects to."""


class CertificateError(DialError):
    """The server's certificate is not believed: its authority, its name or its date."""


class ProxyError(DialError):
    """The proxy was not reached, or would not connect us. `status` is its answer's, 0 without one."""

    def __init__(self, text: str, status: int = 0, *, fix: str = "") -> None:
        super().__init__(text, fix=fix)
        self.status = status


class ProxySettingError(ProxyError, ValueError):
    """What was given as a proxy's address is none that can be used. Trying again is of no use."""


class HttpError(TransportError):
    """An exchange failed after there was a connection."""


class BrokenError(HttpError):
    """The connection ended before the response did. `unsent`: the server can't have had the whole request."""

    def __init__(self, text: str, *, unsent: bool = False) -> None:
        super().__init__(text)
        self.unsent = unsent


class GarbledError(HttpError):
    """What arrived is not an HTTP/1.1 response, or its head is too long."""


class TooLargeError(HttpError):
    """A body that was to be read whole is larger than allowed."""


class TimedOutError(HttpError):
    """Nothing happened for too long. `phase` is what was waited for, `by` through whom (`the proxy p:80`)."""

    def __init__(self, phase: Phase, seconds: float, *, by: str = "") -> None:
        through = f" through {by}" if by else ""
        super().__init__(f"{_WAITED_FOR[phase]}{through} did not come within {seconds:g} s")
        self.phase = phase


class ClosedError(HttpError):
    """The client was closed."""


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds for each phase: a slot in the pool, the connection, each MiB of a large request to be taken,
    the response's head, each part of its body.

    `keep` is how long an unused connection is kept: below 5 s, because that is when uvicorn, and so vLLM,
    closes its side, and a request sent into that moment is lost.
    """

    slot: float = 30.0
    connect: float = 5.0
    write: float = 60.0
    head: float = 600.0
    idle: float = 60.0
    keep: float = 4.0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`connections` per origin; `head` bytes of a response; `unread` bytes of a body stop the reading
    until they are taken."""

    connections: int = 1000
    head: int = 64 * KIB
    unread: int = 64 * KIB
