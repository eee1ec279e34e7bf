"""An HTTP request and its reply as values. Knows no server, no socket and no framework."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import msgspec

JSON = "application/json"
EVENT_STREAM = "application/vnd.amazon.eventstream"


class Head(msgspec.Struct, frozen=True):
    """A request before its body.

    `raw_path` is the path as it stood on the wire, still percent-encoded and without the query; `query` is
    the raw query string. `headers` has lower-case names; a header given twice is joined with "," (as AWS
    signs it). `host` is in it for HTTP/2 too, where the wire says `:authority`; `http2` tells the two apart.
    `client` is the address that the connection comes from, "" where that is not known, and `secure` whether
    it is under TLS here.
    """

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    http2: bool = False
    client: str = ""
    secure: bool = False


class Reply(msgspec.Struct):
    """What goes back: a status, headers, and a body that is whole or made as it is sent.

    A streaming body never raises: what breaks off inside it has already been turned into an exception frame.
    """

    status: int
    headers: dict[str, str]
    body: bytes | AsyncGenerator[bytes]
