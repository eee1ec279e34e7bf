"""The frame codec against botocore's decoder, byte by byte, and against forged and flipped bytes."""

import base64
import json
import random
import tracemalloc

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.wire import frames
from outcrop.wire.eventstream import (
    MAX_MESSAGE,
    CorruptStreamError,
    Frame,
    FrameBuffer,
    FrameKind,
    encode,
    encode_headers,
)

CASES = [
    ({}, b""),
    (
        {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"},
        b'{"bytes":"e30="}',
    ),
    ({":message-type": "error", ":error-code": "X", ":error-message": "näh ☃"}, b""),
    ({"a" * 255: "v" * 60_000}, bytes(range(256)) * 40),
]


@pytest.mark.parametrize(("headers", "payload"), CASES)
def test_what_is_encoded_is_decoded_even_one_byte_at_a_time_with_a_tail(headers, payload):
    wire = encode(encode_headers(headers), payload)
    whole = FrameBuffer()
    whole.feed(wire + b"tail")
    assert list(whole) == [Frame(headers, payload)]
    assert whole.pending == 4
    trickle, seen = FrameBuffer(), []
    for byte in wire:
        trickle.feed(bytes([byte]))
        seen += trickle
    assert seen == [Frame(headers, payload)]


@pytest.mark.parametrize(("headers", "payload"), CASES)
def test_botocore_reads_our_frames(headers, payload):
    buffer = EventStreamBuffer()
    buffer.add_data(encode(encode_headers(headers), payload))
    [message] = list(buffer)
    assert message.headers == headers
    assert message.payload == payload


@given(
    made=st.lists(
        st.tuples(
            st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=50), max_size=5),
            st.binary(max_size=300),
        ),
        max_size=6,
    ),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_any_chunking_gives_the_same_frames(made, seed):
    wire = b"".join(encode(encode_headers(headers), payload) for headers, payload in made)
    cut, buffer, seen, at = random.Random(seed), FrameBuffer(), [], 0
    while at < len(wire):
        size = cut.randint(1, 60)
        buffer.feed(wire[at : at + size])
        seen += buffer
        at += size
    assert seen == [Frame(headers, payload) for headers, payload in made]
    assert buffer.pending == 0


def test_every_flipped_bit_is_noticed():
    wire = encode(encode_headers({":event-type": "chunk"}), b'{"bytes":"aGVsbG8="}')
    for bit in range(len(wire) * 8):
        flipped = bytearray(wire)
        flipped[bit // 8] ^= 1 << bit % 8
        buffer = FrameBuffer()
        buffer.feed(bytes(flipped) + bytes(64))
        with pytest.raises(CorruptStreamError):
            list(buffer)


def test_all_header_types_of_the_format_are_read():
    raw = (
        b"\x01t\x00\x01f\x01\x01b\x02\xff\x01s\x03\x00\x07\x01i\x04\x00\x00\x00\x08"
        b"\x01l\x05" + (9).to_bytes(8, "big") + b"\x01y\x06\x00\x02ab\x01d\x08" + (11).to_bytes(8, "big")
        + b"\x01u\x09" + bytes(range(16))
    )  # fmt: skip
    buffer = FrameBuffer()
    buffer.feed(encode(raw, b""))
    [frame] = list(buffer)
    assert [frame.headers[name] for name in "tfbsilyd"] == [True, False, -1, 7, 8, 9, b"ab", 11]
    assert frame.headers["u"].hex == bytes(range(16)).hex()


def test_a_forged_length_is_refused_before_anything_is_buffered():
    import struct
    from zlib import crc32

    prelude = struct.pack(">II", 0xFFFFFFF0, 16)
    tracemalloc.start()
    buffer = FrameBuffer()
    buffer.feed(prelude + struct.pack(">I", crc32(prelude)))
    with pytest.raises(CorruptStreamError, match="claims 4294967280 bytes"):
        list(buffer)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_the_encoder_never_makes_what_decoders_refuse():
    with pytest.raises(ValueError, match="over the limit"):
        encode(b"", bytes(MAX_MESSAGE))


def test_malformed_headers_are_corruption_not_a_crash():
    for raw in (
        b"\x05ab",
        b"\x00\x07\x00\x00",
        b"\x01a\x0a",
        b"\x01a\x07\xff\xff",
        b"\x01a\x00\x01a\x00",
        b"\x01\xff\x00",
    ):
        buffer = FrameBuffer()
        buffer.feed(encode(raw, b""))
        with pytest.raises(CorruptStreamError):
            list(buffer)


@given(
    opening=st.binary(max_size=40),
    rests=st.lists(st.binary(max_size=200), max_size=8),
    headers=st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=9), max_size=2),
)
@settings(max_examples=100, deadline=None)
def test_frames_that_begin_alike_are_the_same_as_frames_made_one_by_one(opening, rests, headers):
    raw = encode_headers(headers)
    kind = FrameKind(raw, opening)
    for _ in range(2):  # the second time from what was kept
        assert kind.encode(rests) == b"".join(encode(raw, opening + rest) for rest in rests)


def test_a_frame_that_decoders_refuse_is_not_made_either():
    with pytest.raises(ValueError, match="over the limit"):
        FrameKind(b"", b"x").encode([bytes(MAX_MESSAGE)])


def test_a_chunk_carries_the_event_in_base64():
    buffer = FrameBuffer()
    buffer.feed(frames.chunks([b'{"type":"ping"}', b"{}"], iter([b"abc", b""])))
    [frame, second] = list(buffer)
    assert list(frame.headers) == [":event-type", ":content-type", ":message-type"]
    payload = json.loads(frame.payload)
    assert base64.b64decode(payload["bytes"]) == b'{"type":"ping"}'
    assert payload["p"] == "abc"
    assert json.loads(second.payload) == {"bytes": "e30=", "p": ""}
