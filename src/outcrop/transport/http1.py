"""HTTP/1.1 as bytes: a request's head is written, a response is read. No sockets, no clocks, no event loop.

Strict where leniency lets two readers disagree about where a response ends (RFC 9112, 6 and 11.2): a line
ends in CRLF and nothing else, a header is `token:` at the start of a line, a length is digits, a coding is
`chunked`. Two things that the RFC allows are taken: a length said twice the same, and a length beside
`chunked`, which wins and after which the connection is not kept. What it can't read is GarbledError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from outcrop.transport import KIB, BrokenError, GarbledError, Limits

if TYPE_CHECKING:
    from outcrop.transport.route import Target

# Methods that may be sent again when nobody knows whether they arrived (RFC 9110, 9.2.2), and all we send.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
METHODS: Final = IDEMPOTENT | {"POST", "PATCH"}

# A size line is a few digits; extensions may follow, but nobody sends long ones.
_LINE_LIMIT: Final = 4 * KIB
# `103 Early Hints` and the like: a server sends one or two.
_INTERIM_LIMIT: Final = 32

_CRLF: Final = b"\r\n"
_END: Final = b"\r\n\r\n"
_START: Final = b"HTTP/1."
_ALERT: Final = (
    b"\x15\x03"  # how a TLS server says what it thinks of a request that is not TLS (RFC 8446, 5.1)
)
_TCHAR: Final = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEX: Final = b"0123456789abcdefABCDEF"
_PLAIN: Final = bytes((9, *range(32, 127), *range(128, 256)))  # what may stand in a line
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "connection"})
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "accept-encoding"})

# What recurs is looked at once. All of these are bounded: a server chooses what is in them.
_STARTS: Final[dict[str, int]] = {}
_NAMES: Final[dict[str, str]] = {}
_SENT: Final[set[str]] = set()
_SIZES: Final[dict[bytes, int]] = {}
_BETWEEN: Final[dict[bytes, int]] = {}  # the same, for two or three digits and with the CRLF on both sides
_CACHED: Final = 4096

# What a reader is in the middle of.
_HEAD, _LENGTH, _CHUNKS, _TRAILERS, _CLOSING, _DONE = range(6)


def request_head(method: str, target: Target, headers: Sequence[tuple[str, str]], length: int) -> bytes:
    """A request up to its body of `length` bytes.

    `host`, `content-length`, `accept-encoding` and the login of a proxy that is spoken to as a server are
    added. Raises ValueError for a method or a header that can't be sent, or is not the caller's to send.
    """
    if method not in METHODS:
        raise ValueError(f"this client does not send {method}")
    lines: list[str] = []
    for name, value in headers:
        if name not in _SENT:
            _check_name(name)
        if "\n" in value or "\r" in value or "\0" in value:
            raise ValueError("a header's value has a line break in it")
        lines.append(f"{name}: {value}\r\n")
    proxy = target.route.proxy
    if proxy is not None and proxy.authorization and not target.route.tls:
        lines.append(f"proxy-authorization: {proxy.authorization}\r\n")
    return (
        f"{method} {target.path} HTTP/1.1\r\nhost: {target.authority}\r\naccept-encoding: identity\r\n"
        f"content-length: {length}\r\n{''.join(lines)}\r\n"
    ).encode("latin-1")


def _check_name(name: str) -> None:
    """Raises ValueError for a header that is none, or is ours."""
    lower = _lower(name)
    if not lower:
        raise ValueError(f"{name!r} is not a header's name")
    if lower in _OURS:
        raise ValueError(f"the header {lower} is written by the transport: leave it out")
    if len(_SENT) < _CACHED:
        _SENT.add(name)


class ResponseReader:
    """Reads one response to a request of the given method: feed it what arrives, get back parts of the body.

    `status` is 0 until the head is in; `headers` have lower-case names and keep their order. When `done`, the
    body is whole, and `keep` says whether the connection may carry another exchange. `began`: whether any
    byte has arrived. Interim responses (1xx), chunk extensions and trailers are read and left out. Of
    `limits`, `head` counts: bytes of all heads and trailers together.

    An error is final. What the read that failed had completed before the fault is in `salvage`.
    """

    status = 0
    done = False
    keep = False
    began = False
    _mode = _HEAD
    _interim = 0
    _closes = False  # the server will close after this response, or should
    _left = 0  # of the body; of a chunk with its CRLF
    _line = b""  # a size line whose end has not come
    _pending: bytearray | None = None  # a head or trailers whose end has not come

    def __init__(self, limits: Limits, method: str) -> None:
        self.headers: list[tuple[str, str]] = []
        self.salvage: list[bytes] = []
        self._method = method
        self._room = limits.head

    def feed(self, data: bytes) -> list[bytes]:
        """The parts of the body that `data` brings; one that fills all of `data` is `data` itself.

        Raises GarbledError. Bytes after the end are dropped, and the connection is not kept.
        """
        mode = self._mode
        if not data:
            return []
        if mode == _CHUNKS:
            return self._chunks(data)
        if mode == _HEAD:
            self.began = True
            data = self._read_head(data)
            return self.feed(data) if data else []
        if mode == _LENGTH:
            left = self._left = self._left - len(data)
            if left > 0:
                return [data]
            self._finish(left)
            return [data[:left] if left else data]
        if mode == _CLOSING:
            return [data]
        if mode == _TRAILERS:
            self._read_trailers(data)
        else:
            self.keep = False
        return []

    def eof(self) -> None:
        """The connection ended. Raises BrokenError, unless that is how this body ends (RFC 9112, 6.3)."""
        if self._mode == _CLOSING:
            self._finish(0)
        elif not self.done:
            raise BrokenError("the connection was closed: end of file")
        self.keep = False

    def _finish(self, extra: int) -> None:
        """The body is whole; `extra` is 0 if nothing came after it."""
        self._mode = _DONE
        self.done = True
        self.keep = not self._closes and not extra

    # Head and trailers.

    def _read_head(self, data: bytes) -> bytes:
        """Takes the head out of what arrived; the rest is given back."""
        while data:
            found = self._block(data)
            if found is None:
                break
            block, data = found
            if self._begin(block):
                return data
            self._interim += 1
            if self._interim > _INTERIM_LIMIT:
                raise GarbledError("the response does not get past interim ones")
        return b""

    def _block(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Lines up to an empty one, and what follows them; None while that has not come."""
        pending = self._pending
        if pending is None:
            stop = data.find(_END)
            if 0 <= stop <= self._room - 4:
                self._room -= stop + 4
                return data[:stop], data[stop + 4 :]
            pending = self._pending = bytearray()
        seen = max(len(pending) - 3, 0)
        pending += data
        stop = pending.find(_END, seen)
        if stop < 0:
            if len(pending) > self._room:
                self._spend(len(pending))
            self._suspect(pending, seen)
            return None
        self._pending = None
        self._spend(stop + 4)
        return bytes(pending[:stop]), bytes(pending[stop + 4 :])

    def _spend(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise GarbledError("the response's head is longer than allowed")

    def _suspect(self, pending: bytearray, seen: int) -> None:
        """Refuses at once what can't become a head: its end might never come."""
        if self._mode == _HEAD and not pending.startswith(_START[: len(pending)]):
            if pending.startswith(_ALERT[: len(pending)]):
                raise GarbledError(
                    "not an HTTP response: the server speaks TLS",
                    fix="Write https:// in place of http:// in the address.",
                )
            raise GarbledError("not an HTTP response")
        new = bytes(pending[seen:])
        if seen and pending[seen - 1] == 13:  # CR: its LF is the first of the new ones
            new = new.removeprefix(b"\n")
        if new.removesuffix(b"\r").replace(_CRLF, b"").translate(None, _PLAIN):
            raise GarbledError("not an HTTP response: a control character in its head")

    def _begin(self, block: bytes) -> bool:
        """Reads a head; False when it is an interim one's."""
        lines = _lines(block)
        first = lines[0]
        status = _STARTS.get(first) or _status(first)
        headers = _fields(lines)
        if status < 200:
            if status <= 101 and status != 100:
                raise GarbledError(f"the server answered {status}, which nobody asked for")
            return False
        self._frame(status, first[7] == "0", _single(headers))
        self.status = status
        self.headers = headers
        return True

    def _frame(self, status: int, old: bool, fields: dict[str, str]) -> None:
        """Decides how the body ends (RFC 9112, 6.3) and whether the connection is kept (9.3)."""
        value = fields.get("content-length")
        length = -1 if value is None else _length(value)
        coding = fields.get("transfer-encoding")
        chunked = coding is not None
        if coding is not None and coding != "chunked" and coding.lower() != "chunked":
            raise GarbledError(f"the transfer-encoding {coding!r} was not asked for")
        self._closes = _closes(fields.get("connection"), old) or (old and chunked)
        if self._method == "HEAD" or status in (204, 304):
            self._finish(0)
        elif chunked:
            self._mode = _CHUNKS
            self._closes |= length >= 0
        elif length > 0:
            self._mode = _LENGTH
            self._left = length
        elif length == 0:
            self._finish(0)
        else:
            self._mode = _CLOSING

    def _read_trailers(self, data: bytes) -> None:
        """Trailers begin with the CRLF of the last chunk's size line."""
        found = self._block(data)
        if found is not None:
            block, rest = found
            _fields(_lines(block))
            self._finish(len(rest))

    # Chunks.

    def _chunks(self, data: bytes) -> list[bytes]:
        if not self._left and not self._line:  # most often a read is one chunk
            begin = data.find(_CRLF) + 2
            size = _SIZES.get(data[: begin - 2])
            if size is not None and begin + size + 2 == len(data) and data.endswith(_CRLF):
                return [data[begin:-2]]
        return self._all_chunks(data)

    def _all_chunks(self, data: bytes) -> list[bytes]:
        parts: list[bytes] = []
        pos = 0
        if self._left:
            pos = self._go_on(data, parts)
            if pos < 0:
                return parts
        elif self._line:
            data = self._line + data
            self._line = b""
        end = len(data)
        while pos < end:
            mark = data.find(_CRLF, pos)
            if mark < 0:
                self._keep_line(data[pos:], parts)
                break
            size = _SIZES.get(data[pos:mark]) or self._size(data[pos:mark], parts)
            if not size:
                self._mode = _TRAILERS
                self._salvaging(parts, data[mark:])
                break
            begin = mark + 2
            stop = begin + size
            pos = stop + 2
            if pos > end:
                self._left = size + 2
                self._go_on(data[begin:], parts)
                break
            parts.append(data[begin:stop])
            if pos < end:
                stop = _several(data, stop, parts)
                pos = stop + 2
            if data[stop:pos] != _CRLF:
                raise self._garbled("a chunk is longer than it said", parts)
        return parts

    def _go_on(self, data: bytes, parts: list[bytes]) -> int:
        """In the middle of a chunk: where it ends in `data`, -1 if it does not."""
        left = self._left
        content = left - 2  # -1: all that is missing is the LF
        if content > 0 and data:
            parts.append(data[:content] if content < len(data) else data)
        if not (_CRLF if content >= 0 else b"\n").startswith(data[max(content, 0) : left]):
            raise self._garbled("a chunk is longer than it said", parts)
        if left > len(data):
            self._left = left - len(data)
            return -1
        self._left = 0
        return left

    def _keep_line(self, line: bytes, parts: list[bytes]) -> None:
        """A size line whose end has not come, unless it can't become one."""
        if line:
            self._size(line.removesuffix(b"\r"), parts)
        self._line = line

    def _size(self, line: bytes, parts: list[bytes]) -> int:
        digits, mark, extension = line.partition(b";")
        if not 0 < len(digits) <= 16 or digits.strip(_HEX) or len(line) > _LINE_LIMIT:
            raise self._garbled(f"{line[:20]!r} is not a chunk's size", parts)
        if extension.translate(None, _PLAIN):
            raise self._garbled("a chunk's extension has a control character in it", parts)
        size = int(digits, 16)
        if size and not mark and len(_SIZES) < _CACHED:
            _SIZES[line] = size
            if len(line) in (2, 3):
                _BETWEEN[_CRLF + line + _CRLF] = size
        return size

    def _salvaging(self, parts: list[bytes], trailers: bytes) -> None:
        try:
            self._read_trailers(trailers)
        except GarbledError:
            self.salvage = parts
            raise

    def _garbled(self, what: str, parts: list[bytes]) -> GarbledError:
        self.salvage = parts
        return GarbledError(f"not an HTTP response: {what}")


def _several(data: bytes, stop: int, parts: list[bytes]) -> int:
    """Takes small chunks, of which one read may bring hundreds, from where a chunk's content ends.

    Returns where the last one's content ends, behind which its CRLF has yet to be looked for.
    """
    last = len(data) - 2
    known = _BETWEEN.get
    append = parts.append
    width = 6  # a size of two digits between line ends; 7 for three
    while True:
        size = known(data[stop : stop + width])
        if size is None:
            width = 13 - width
            size = known(data[stop : stop + width])
            if size is None:
                return stop
        begin = stop + width
        if begin + size > last:
            return stop
        stop = begin + size
        append(data[begin:stop])


def _lines(block: bytes) -> list[str]:
    lines = block.decode("latin-1").split("\r\n")
    # what is left when all plain characters are taken out must be the line ends, each whole
    if block.translate(None, _PLAIN) != _CRLF * (len(lines) - 1):
        raise GarbledError("not an HTTP response: a control character in its head")
    return lines


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    """The headers of all lines but the first."""
    fields: list[tuple[str, str]] = []
    known = _NAMES
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        lower = known.get(name) or _lower(name)
        if not colon or not lower:
            raise GarbledError(f"not an HTTP response: {line[:40]!r} is not a header")
        fields.append((lower, value.strip(" \t")))
    return fields


def _lower(name: str) -> str:
    """A header's name in lower case; "" when it can't be one."""
    if not name or name.strip(_TCHAR):
        return ""
    lower = name.lower()
    if len(_NAMES) < _CACHED and len(name) < 64:
        _NAMES[name] = lower
    return lower


def _single(headers: list[tuple[str, str]]) -> dict[str, str]:
    """The headers by name. Those that frame a body must not come twice, except with one meaning."""
    fields = dict(headers)
    if len(fields) == len(headers):
        return fields
    for name in _FRAMING & fields.keys():
        values = [value for known, value in headers if known == name]
        if name == "connection":
            fields[name] = ",".join(values)
        elif len(values) > 1 and (name == "transfer-encoding" or len(set(values)) > 1):
            raise GarbledError(f"not an HTTP response: more than one {name}")
    return fields


def _status(line: str) -> int:
    """The status in a response's first line."""
    code = line[9:12]
    if (
        line[:9] not in ("HTTP/1.1 ", "HTTP/1.0 ")
        or len(code) != 3
        or not code.isdecimal()
        or line[12:13] not in ("", " ")
    ):
        raise GarbledError(f"not an HTTP response: {line[:40]!r}")
    if len(_STARTS) < _CACHED and len(line) < 64:
        _STARTS[line] = int(code)
    return int(code)


def _closes(options: str | None, old: bool) -> bool:
    """Whether the server closes after this response, by its `connection` header; `old`: HTTP/1.0."""
    if options is None:
        return old
    if options == "keep-alive":
        return False
    words = f",{options.lower()},".replace(" ", "").replace("\t", "")
    return ",close," in words or (old and ",keep-alive," not in words)


def _length(value: str) -> int:
    # 19 digits are more than any disk holds
    if not value.isdecimal() or len(value) > 19:
        raise GarbledError(f"not an HTTP response: the content-length {value!r}")
    return int(value)
