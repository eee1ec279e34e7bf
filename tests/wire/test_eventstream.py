"""The frame codec against botocore's decoder, byte by byte, and against forged and flipped bytes."""

import base64
import json
import tracemalloc
from collections import Counter
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer, ParserError
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.wire import eventstream, frames
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


MADE = st.lists(
    st.tuples(
        st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=50), max_size=5),
        st.binary(max_size=300),
    ),
    max_size=6,
)


def pieces(wire, sizes):
    """`wire`, cut into pieces of these sizes, the last of which is repeated."""
    at, sizes = 0, [*sizes]
    while at < len(wire):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        yield wire[at : at + size]
        at += size


def read(parts):
    """The frames, as the parts come in."""
    buffer = FrameBuffer()
    for part in parts:
        buffer.feed(part)
        yield from buffer


@given(made=MADE, sizes=st.lists(st.integers(1, 400), min_size=1, max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_chunking_gives_the_same_frames_and_they_are_botocores(made, sizes):
    wire = b"".join(encode(encode_headers(headers), payload) for headers, payload in made)
    buffer, seen, theirs, expected = FrameBuffer(), [], EventStreamBuffer(), []
    for piece in pieces(wire, sizes):
        buffer.feed(piece)
        seen += buffer
        theirs.add_data(piece)
        expected += [Frame(message.headers, message.payload) for message in theirs]
    assert seen == expected == [Frame(headers, payload) for headers, payload in made]
    assert buffer.pending == 0


@given(made=MADE, sizes=st.lists(st.integers(1, 400), min_size=1, max_size=20), data=st.data())
@settings(max_examples=100, deadline=None)
def test_it_does_not_matter_how_many_frames_are_read_before_more_is_fed(made, sizes, data):
    wire = b"".join(encode(encode_headers(headers), payload) for headers, payload in made)
    buffer, seen = FrameBuffer(), []
    for piece in pieces(wire, sizes):
        buffer.feed(bytearray(piece))
        for _ in range(data.draw(st.integers(0, 2))):
            seen += [frame for frame in [next(iter(buffer), None)] if frame]
    first, second = iter(buffer), iter(buffer)  # two readers share what is left
    for reader in (first, second, first):
        seen += [frame for frame in [next(reader, None)] if frame]
    seen += buffer
    assert seen == [Frame(headers, payload) for headers, payload in made]


def test_a_buffer_may_be_fed_while_it_is_read():
    one, two = encode(b"", b"one"), encode(b"", b"two")
    buffer, seen = FrameBuffer(), []
    buffer.feed(one + two[:5])
    for frame in buffer:
        seen.append(frame.payload)
        if seen == [b"one"]:
            buffer.feed(two[5:])
    assert seen == [b"one", b"two"]


CHUNK = frames.chunks([b'{"type":"ping"}'], iter([b"abcdefgh"]))
SHORTEST = encode(b"", b"")
LONG_HEADER = encode(encode_headers({"a" * 255: "v" * 300}), bytes(40))


@pytest.mark.parametrize("wire", [CHUNK, SHORTEST, LONG_HEADER], ids=["chunk", "shortest", "long header"])
@pytest.mark.parametrize("cut", [False, True], ids=["in one piece", "in two"])
def test_every_single_flipped_bit_is_noticed(wire, cut):
    [frame, _] = read([wire * 2])
    for bit in range(len(wire) * 8):
        flipped = bytearray(wire)
        flipped[bit // 8] ^= 1 << bit % 8
        seen = []
        with pytest.raises(CorruptStreamError):
            seen.extend(read(pieces(wire + flipped + bytes(64), [len(wire) + 7] if cut else [1 << 20])))
        assert seen == [frame]  # what came before it


@given(made=MADE.filter(bool), place=st.integers(0), bits=st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_what_botocore_refuses_is_refused(made, place, bits):
    wire = bytearray(b"".join(encode(encode_headers(headers), payload) for headers, payload in made))
    wire[place % len(wire)] ^= bits
    theirs = EventStreamBuffer()
    theirs.add_data(bytes(wire))
    seen, expected = [], []
    with pytest.raises(CorruptStreamError):
        seen.extend(read([bytes(wire)]))
    with pytest.raises(ParserError):
        expected.extend(Frame(message.headers, message.payload) for message in theirs)
    assert seen == expected


def test_frames_share_headers_that_nobody_can_change():
    [one, two] = read([CHUNK * 2])
    assert one.headers is two.headers
    with pytest.raises(TypeError):
        one.headers[":event-type"] = "x"


def test_headers_are_remembered_within_bounds():
    tracemalloc.start()
    for number in range(2_000):
        buffer = FrameBuffer()
        buffer.feed(encode(encode_headers({"name": f"{number:400}"}), b""))
        buffer.feed(encode(encode_headers({"name": f"{number:4000}"}), b""))
        assert [len(frame.headers["name"]) for frame in buffer] == [400, 4000]
    assert tracemalloc.get_traced_memory()[0] < 500_000
    tracemalloc.stop()


@pytest.fixture
def work(monkeypatch):
    """How often checksums are taken, and how often what is held is copied together."""
    counts = Counter()

    def counted(name, function):
        def call(*arguments):
            counts[name] += 1
            return function(*arguments)

        monkeypatch.setattr(eventstream, name, call, raising=False)

    counted("crc32", crc32)
    counted("bytearray", bytearray)  # a new one each time the old one has been joined to the rest
    return counts


def test_a_long_frame_that_trickles_in_costs_no_more_than_one_in_a_piece(work):
    frame = encode(b"", bytes(100_000))
    work.clear()
    [whole] = read([frame])
    assert work == {"crc32": 2, "bytearray": 1}
    assert list(read(pieces(frame, [1]))) == [whole]
    # once more: the bytes of the prelude, then those of the rest; and the prelude is looked at twice
    assert work == {"crc32": 2 + 3, "bytearray": 1 + 3}


def test_a_heap_of_frames_is_copied_together_once_however_slowly_they_are_taken(work):
    buffer, frame = FrameBuffer(), encode(b"", bytes(1000))
    for _ in range(3_000):
        buffer.feed(frame)
    work.clear()
    taken = 0
    while next(iter(buffer), None) is not None:
        taken += 1
        buffer.feed(frame[: taken % 2])  # nothing, or the first byte of what never comes
        if taken == 3_000:
            break
    assert work["crc32"] == 2 * 3_000
    assert work["bytearray"] == 1


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
