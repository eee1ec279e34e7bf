"""AWS event-stream frames. Knows bytes and checksums; not Bedrock, not sockets, not time.

    frame    = total length u32, headers length u32, CRC32 of those 8 bytes,
               headers, payload, CRC32 of everything before
    header   = name length u8, name, type u8, value

Source: the frames of recorded Bedrock streams, and the limits of AWS's own decoders (headers 128 KiB,
message 24 MiB).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias
from zlib import crc32

import msgspec

if TYPE_CHECKING:
    from uuid import UUID

MAX_HEADERS: Final = 128 * 1024
MAX_MESSAGE: Final = 24 * 1024 * 1024

HeaderValue: TypeAlias = "str | bytes | bool | int | UUID"

_LENGTHS = struct.Struct(">II")
_PRELUDE = struct.Struct(">III")  # the lengths and their checksum
_PRELUDE_BYTES: Final = 12
_U32 = struct.Struct(">I")
_U16 = struct.Struct(">H")
_OVERHEAD = 16  # prelude, its checksum, and the message's checksum


class CorruptStreamError(ValueError):
    """The bytes are not event-stream frames: a checksum, a length or a header is wrong."""


class Frame(msgspec.Struct, frozen=True):
    """One frame: its headers in wire order, to be read only, and its payload."""

    headers: Mapping[str, HeaderValue]
    payload: bytes


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """String headers as they stand inside a frame; worth keeping when many frames share them."""
    parts = []
    for name, value in headers.items():
        raw_name, raw_value = name.encode(), value.encode()
        parts.append(b"%c%b\x07%b%b" % (len(raw_name), raw_name, _U16.pack(len(raw_value)), raw_value))
    return b"".join(parts)


def encode(headers: bytes, payload: bytes) -> bytes:
    """A frame of already encoded headers and a payload. Raises ValueError above the decoders' limits."""
    total = _OVERHEAD + len(headers) + len(payload)
    if total > MAX_MESSAGE or len(headers) > MAX_HEADERS:
        raise ValueError(f"an event-stream message of {total} bytes is over the limit of {MAX_MESSAGE}")
    prelude = _LENGTHS.pack(total, len(headers))
    frame = b"%b%b%b%b" % (prelude, _U32.pack(crc32(prelude)), headers, payload)
    return frame + _U32.pack(crc32(frame))


class FrameKind:
    """Frames that all begin alike: the same headers, and the same first bytes of the payload.

    What stands before the rest of the payload, and its checksum, depend on the length alone; so they are made
    once a length. Encoding a short frame then costs little more than the checksum of its rest.
    """

    def __init__(self, headers: bytes, opening: bytes) -> None:
        self._headers = headers
        self._opening = opening
        self._beginnings: dict[int, tuple[bytes, int]] = {}

    def encode(self, rests: Iterable[bytes]) -> bytes:
        """The frames of these payloads, one after the other; each rest follows the opening."""
        parts: list[bytes] = []
        for rest in rests:
            beginning, checksum = self._beginnings.get(len(rest)) or self._begin(len(rest))
            parts += (beginning, rest, _U32.pack(crc32(rest, checksum)))
        return b"".join(parts)

    def _begin(self, length: int) -> tuple[bytes, int]:
        beginning = encode(self._headers, self._opening + bytes(length))[: -4 - length]
        made = beginning, crc32(beginning)
        if len(self._beginnings) < 4096:  # one of each length that strangers can think of must not be kept
            self._beginnings[length] = made
        return made


class FrameBuffer:
    """Feed bytes as they arrive; iterate over the frames they complete.

    Lengths are checked from the prelude alone, so a forged one makes nothing be buffered. Raises
    CorruptStreamError while iterating; after that the buffer is of no more use.

    What is read next begins at `_at` in `_data`: bytes, because slices of them are cheap. What came later
    waits in `_tail` until a frame needs it; so each byte is copied a few times at most, however it was cut.
    """

    __slots__ = ("_at", "_data", "_tail", "_wanted")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0
        self._tail = bytearray()
        self._wanted = _PRELUDE_BYTES  # how many bytes the next frame needs, as far as is known

    def feed(self, data: bytes) -> None:
        """Take in the next bytes of the stream, however they were cut."""
        if self._at == len(self._data) and not self._tail:
            self._data, self._at = bytes(data), 0
        else:
            self._tail += data

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame. More than 0 at the end of a stream means it was cut."""
        return len(self._data) - self._at + len(self._tail)

    def __iter__(self) -> Iterator[Frame]:
        while True:
            data, at = self._data, self._at
            if len(data) - at < self._wanted:
                if self.pending < self._wanted:
                    return
                self._data, self._at, self._tail = data[at:] + self._tail, 0, bytearray()
                continue
            total, headers_length, checksum = _PRELUDE.unpack_from(data, at)
            start = at + _PRELUDE_BYTES
            if crc32(data[at : start - 4]) != checksum:
                raise CorruptStreamError("the checksum of a frame's prelude is wrong")
            if total > MAX_MESSAGE or headers_length > MAX_HEADERS or headers_length + _OVERHEAD > total:
                raise CorruptStreamError(f"a frame claims {total} bytes with {headers_length} of headers")
            end = at + total
            if end > len(data):
                self._wanted = total
                continue
            if crc32(data[at : end - 4]) != _U32.unpack_from(data, end - 4)[0]:
                raise CorruptStreamError("the checksum of a frame is wrong")
            split = start + headers_length
            raw = data[start:split]
            frame = Frame(_KNOWN_HEADERS.get(raw) or _headers(raw), data[split : end - 4])
            # before it is handed out, because who reads may not come back
            self._at, self._wanted = end, _PRELUDE_BYTES
            yield frame


# Most frames of a stream have one of two or three header blocks. Strangers may think of more, so the number
# and the size of those that are kept are bounded. Nobody can write to what many frames share.
_KNOWN_HEADERS: Final[dict[bytes, Mapping[str, HeaderValue]]] = {}
_MOST_KNOWN: Final = 128
_LONGEST_KNOWN: Final = 512


def _headers(raw: bytes) -> Mapping[str, HeaderValue]:
    headers = MappingProxyType(_decode_headers(raw))
    if len(raw) <= _LONGEST_KNOWN:
        if len(_KNOWN_HEADERS) >= _MOST_KNOWN:
            _KNOWN_HEADERS.clear()
        _KNOWN_HEADERS[raw] = headers
    return headers


_FIXED: Final[dict[int, struct.Struct]] = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    4: struct.Struct(">i"),
    5: struct.Struct(">q"),
    8: struct.Struct(">q"),  # a timestamp, in milliseconds
}


def _decode_headers(data: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(data):
            end = at + 1 + data[at]
            name = data[at + 1 : end].decode()
            if end >= len(data) or not name or name in headers:
                raise CorruptStreamError(f"a header named {name!r} is empty, doubled or cut")
            headers[name], at = _decode_value(data, end)
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptStreamError("a header is malformed") from error
    return headers


def _decode_value(data: bytes, at: int) -> tuple[HeaderValue, int]:
    kind, at = data[at], at + 1
    if kind in (0, 1):
        return kind == 0, at
    if kind in _FIXED:
        fixed = _FIXED[kind]
        return fixed.unpack_from(data, at)[0], at + fixed.size
    if kind in (6, 7):
        start = at + 2
        end = start + _U16.unpack_from(data, at)[0]
        _within(data, end)
        return (data[start:end].decode() if kind == 7 else data[start:end]), end
    if kind == 9:
        from uuid import UUID  # Bedrock sends none

        _within(data, at + 16)
        return UUID(bytes=data[at : at + 16]), at + 16
    raise CorruptStreamError(f"a header has the unknown type {kind}")


def _within(data: bytes, end: int) -> None:
    if end > len(data):
        raise CorruptStreamError("a header is longer than the headers")
