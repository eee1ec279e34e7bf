"""Server-sent events: any chunking, every line end, and limits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.wire.sse import Event, EventBuffer, EventTooLongError, encode

START = b'{"type":"message_start","message":{"usage":{"input_tokens":3}}}'
DELTA = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"caf\xc3\xa9: a b"}}'
STOP = b'{"type":"message_stop"}'

# What stands on the wire, and the events it means.
CASES = [
    pytest.param(
        b"event: content_block_delta\ndata: " + DELTA + b"\n\n",
        [Event("content_block_delta", DELTA)],
        id="usual",
    ),
    pytest.param(b"data: " + DELTA + b"\n\n", [Event("content_block_delta", DELTA)], id="type from the JSON"),
    pytest.param(b"event:\ndata: " + STOP + b"\n\n", [Event("message_stop", STOP)], id="empty type"),
    pytest.param(
        b"event:message_stop\ndata:" + STOP + b"\n\n", [Event("message_stop", STOP)], id="no spaces"
    ),
    pytest.param(
        b"data: " + STOP + b"\nevent: message_stop\n\n", [Event("message_stop", STOP)], id="type last"
    ),
    pytest.param(b'event: x\ndata: {"a":\ndata: 1}\n\n', [Event("x", b'{"a":\n1}')], id="several lines"),
    pytest.param(b"event: x\ndata:  two spaces\n\n", [Event("x", b" two spaces")], id="one space is removed"),
    pytest.param(b"event: a\nevent: b\ndata: 1\n\n", [Event("b", b"1")], id="the last type counts"),
    pytest.param(b": hello\n\nevent: x\n: between\ndata: 1\n\n: bye\n\n", [Event("x", b"1")], id="comments"),
    pytest.param(
        b"id: 7\nretry: 10\nfoo: bar\nfoo\nevent: x\ndata: 1\n\n", [Event("x", b"1")], id="other fields"
    ),
    pytest.param(b"event: ping\n\nevent: x\ndata: 1\n\n", [Event("x", b"1")], id="no data, no event"),
    pytest.param(b"event: x\n\ndata: 1\n\n", [Event("message", b"1")], id="a type without data is forgotten"),
    pytest.param(b"event: x\ndata\n\n", [Event("x", b"")], id="a field name alone"),
    pytest.param(b"data: [DONE]\n\n", [Event("message", b"[DONE]")], id="not JSON: the standard's type"),
    pytest.param(b'data: {"type":1}\n\n', [Event("message", b'{"type":1}')], id="type of a wrong type"),
    pytest.param(b"\n\n\nevent: x\ndata: 1\n\n\n\n", [Event("x", b"1")], id="more empty lines"),
    pytest.param(b"\xef\xbb\xbfevent: x\ndata: 1\n\n", [Event("x", b"1")], id="byte order mark"),
    pytest.param(b"event: caf\xc3\xa9\ndata: 1\n\n", [Event("café", b"1")], id="unknown type"),
    pytest.param(
        b"event: message_start\ndata: " + START + b"\n\nevent: message_stop\ndata: " + STOP + b"\n\n",
        [Event("message_start", START), Event("message_stop", STOP)],
        id="two at once",
    ),
    pytest.param(
        b"event: x\ndata: 1\n\nevent: y\ndata: 2\n", [Event("x", b"1")], id="the unfinished is dropped"
    ),
]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize(("wire", "events"), CASES)
def test_whole_and_byte_by_byte_mean_the_same(wire: bytes, events: list[Event], newline: bytes) -> None:
    wire = wire.replace(b"\n", newline)
    assert EventBuffer().feed(wire) == events
    buffer = EventBuffer()
    assert [event for byte in wire for event in buffer.feed(bytes([byte]))] == events


_types = st.sampled_from(["message_start", "content_block_delta", "ping", "something_new", "é"])
_data = st.binary(max_size=40).map(lambda raw: raw.replace(b"\r", b"-")) | st.just(DELTA)
_events = st.lists(st.builds(Event, _types, _data), max_size=8)


@settings(max_examples=200, deadline=None)
@given(events=_events, newline=st.sampled_from([b"\n", b"\r\n", b"\r"]), data=st.data())
def test_what_is_encoded_comes_back_however_it_is_cut(
    events: list[Event], newline: bytes, data: st.DataObject
) -> None:
    wire = b"".join(map(encode, events)).replace(b"\n", newline)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    buffer = EventBuffer()
    seen = []
    for begin, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        seen += buffer.feed(wire[begin:end])
    assert seen == events
    assert all(type(event) is Event for event in seen)


@settings(max_examples=200, deadline=None)
@given(wire=st.binary(max_size=200) | st.text(alphabet='data: event\n\r{}"', max_size=200).map(str.encode))
def test_garbage_never_raises_and_means_the_same_byte_by_byte(wire: bytes) -> None:
    whole = EventBuffer().feed(wire)
    buffer = EventBuffer()
    assert [event for byte in wire for event in buffer.feed(bytes([byte]))] == whole


def test_an_event_is_handed_out_with_its_last_byte() -> None:
    buffer = EventBuffer()
    wire = encode(Event("ping", b"{}"))
    assert [len(buffer.feed(bytes([byte]))) for byte in wire] == [0] * (len(wire) - 1) + [1]


def test_a_carriage_return_ends_the_event_without_waiting_for_a_newline() -> None:
    buffer = EventBuffer()
    assert buffer.feed(b"event: x\r\ndata: 1\r\n\r") == [Event("x", b"1")]
    assert buffer.feed(b"\nevent: y\r\ndata: 2\r\n\r\n") == [Event("y", b"2")]


def test_a_long_event_in_many_reads_costs_linear_time() -> None:
    # quadratic joining would touch 20 GB here
    buffer = EventBuffer()
    piece = b"x" * 4096
    buffer.feed(b"event: x\ndata: ")
    for _ in range(4000):
        assert buffer.feed(piece) == []
    (event,) = buffer.feed(b"\n\n")
    assert len(event.data) == 4000 * 4096


ENDLESS = [
    pytest.param(b"data: " + b"x" * 4000, id="one line without end"),
    pytest.param(b"event: " + b"x" * 4000 + b"\n", id="a long type"),
    pytest.param(b": " + b"x" * 4000 + b"\n", id="a long comment"),
    pytest.param(b"data: 0123456789\n" * 400, id="many lines"),
    pytest.param(b"event: x\ndata: " + b"x" * 4000 + b"\n\n", id="whole, but too long"),
]


@pytest.mark.parametrize("wire", ENDLESS)
@pytest.mark.parametrize("step", [1, 100, 10_000])
def test_an_event_past_the_limit_is_refused_and_those_before_it_are_kept(wire: bytes, step: int) -> None:
    buffer = EventBuffer(limit=1000)
    wire = encode(Event("ping", b"{}")) + wire
    pieces = (wire[begin : begin + step] for begin in range(0, len(wire), step))
    seen: list[Event] = []
    with pytest.raises(EventTooLongError) as caught:
        seen.extend(event for piece in pieces for event in buffer.feed(piece))
    assert seen + caught.value.events == [Event("ping", b"{}")]


def test_many_events_together_may_be_longer_than_the_limit() -> None:
    buffer = EventBuffer(limit=100)
    assert len(buffer.feed(encode(Event("ping", b"{}")) * 1000)) == 1000
