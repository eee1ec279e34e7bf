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


def json_reply(value: object, status: int = 200) -> Reply:
    """A reply whose body is `value` as JSON."""
    return Reply(status, {"content-type": JSON}, msgspec.json.encode(value))


def query_members(head: Head) -> dict[str, str]:
    """The query's members; of one given twice, the first."""
    from urllib.parse import parse_qs  # a client imports this module too, and would pay for that at its start

    return {name: values[0] for name, values in parse_qs(head.query, keep_blank_values=True).items()}
