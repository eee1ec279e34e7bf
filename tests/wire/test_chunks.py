"""What a client reads out of frames: events as they were, faults by AWS's names; else CorruptStreamError."""

import json
from base64 import b64encode
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop import errors
from outcrop.wire import frames
from outcrop.wire.chunks import StreamFault, converse_events, messages_events
from outcrop.wire.eventstream import CorruptStreamError, FrameBuffer, encode, encode_headers

TEXTS = st.text(max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=6)


def read(wire):
    buffer = FrameBuffer()
    buffer.feed(wire)
    return buffer


def frame(payload, **headers):
    named = {f":{name.replace('_', '-')}": value for name, value in headers.items()}
    return encode(encode_headers(named), payload)


def chunk(payload):
    return frame(payload, message_type="event", event_type="chunk")


@given(events=EVENTS, padding=st.text("abcXYZ019", max_size=9))
@settings(max_examples=150, deadline=None)
def test_messages_events_come_out_as_they_went_in(events, padding):
    wire = frames.chunks([msgspec.json.encode(event) for event in events], iter([padding.encode()] * 6))
    assert list(messages_events(read(wire))) == events


@given(events=EVENTS)
@settings(max_examples=150, deadline=None)
def test_converse_events_come_out_with_their_names_and_without_padding(events):
    events = [{key: value for key, value in event.items() if key != "p"} for event in events]
    wire = b"".join(frames.converse_event("metadata", msgspec.json.encode(event), b"ab") for event in events)
    assert list(converse_events(read(wire))) == [("metadata", event) for event in events]


def test_a_chunks_payload_is_read_whatever_else_is_in_it():
    payload = json.dumps({"p": "abc", "later": [1, {"bytes": "x"}], "bytes": b64encode(b'{"a": 1}').decode()})
    assert list(messages_events(read(chunk(payload.encode())))) == [{"a": 1}]


def test_event_types_that_are_not_known_yet_are_passed_over():
    wire = frame(b"{}", message_type="event", event_type="initial-response") + chunk(b'{"bytes":"e30="}')
    assert list(messages_events(read(wire))) == [{}]


@pytest.mark.parametrize("events", [messages_events, converse_events])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (errors.ThrottlingException("slow"), StreamFault("ThrottlingException", "slow")),
        (errors.ServiceUnavailableException("full"), StreamFault("ServiceUnavailableException", "full")),
        (
            errors.ModelStreamErrorException("cut", original_status=529),
            StreamFault("ModelStreamErrorException", "cut", 529),
        ),
    ],
)
def test_an_exception_frame_is_a_fault_by_awss_name(events, fault, expected):
    assert list(events(read(frames.exception(fault, converse=False)))) == [expected]


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (
            frame(b"", message_type="error", error_code="InternalError", error_message="Oh."),
            StreamFault("InternalError", "Oh."),
        ),
        (frame(b"", message_type="error", error_code="throttled"), StreamFault("Throttled")),
        (
            frame(b'{"Message":"big M"}', message_type="exception", exception_type="validationException"),
            StreamFault("ValidationException", "big M"),
        ),
        (
            frame(b'{"message":null}', message_type="exception", exception_type="validationException"),
            StreamFault("ValidationException"),
        ),
        (
            frame(b"", message_type="exception", exception_type="modelTimeoutException"),
            StreamFault("ModelTimeoutException"),
        ),
    ],
)
def test_a_fault_says_what_it_was_told(wire, expected):
    assert list(messages_events(read(wire))) == [expected]


DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

MALFORMED = {
    "no JSON": chunk(b"bytes"),
    "cut JSON": chunk(b'{"bytes":"e30="'),
    "no object": chunk(b'["e30="]'),
    "no bytes": chunk(b'{"p":"ab"}'),
    "bytes are null": chunk(b'{"bytes":null}'),
    "bytes are a number": chunk(b'{"bytes":30}'),
    "no base64": chunk(b'{"bytes":"e30"}'),
    "base64 with blanks": chunk(b'{"bytes":"e3 0="}'),
    "the event is no JSON": chunk(b'{"bytes":"e30"}'.replace(b"e30", b64encode(b"{"))),
    "the event is empty": chunk(b'{"bytes":""}'),
    "the event is no object": chunk(b'{"bytes":"W10="}'),
    "the event is no text": chunk(b'{"bytes":"%b"}' % b64encode(b'{"a":"\xff"}')),
    "the event is nested without end": chunk(b'{"bytes":"%b"}' % b64encode(DEEP)),
    "no message type": frame(b"{}", event_type="chunk"),
    "an unknown message type": frame(b"{}", message_type="surprise"),
    "an exception without a name": frame(b"{}", message_type="exception"),
    "an exception with an empty name": frame(b"{}", message_type="exception", exception_type=""),
    "an exception that is no JSON": frame(b"<html>", message_type="exception", exception_type="x"),
    "an exception whose message is none": frame(
        b'{"message":1}', message_type="exception", exception_type="x"
    ),
    "an error without a code": frame(b"{}", message_type="error", error_message="x"),
}


@pytest.mark.parametrize("wire", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_corruption_after_the_events_before_it(wire):
    seen = []
    with pytest.raises(CorruptStreamError):
        seen.extend(messages_events(read(chunk(b'{"bytes":"e30="}') + wire)))
    assert seen == [{}]


@pytest.mark.parametrize(
    "wire",
    [
        frame(b"[]", message_type="event", event_type="messageStop"),
        frame(b"", message_type="event", event_type="messageStop"),
        frame(DEEP, message_type="event", event_type="messageStop"),
        frame(b"{}", message_type="event"),
        frame(b"{}", event_type="messageStop"),
    ],
)
def test_a_malformed_converse_event_is_corruption(wire):
    with pytest.raises(CorruptStreamError):
        list(converse_events(read(wire)))


@given(payload=st.binary(max_size=60) | st.text('{}[]":,bytesp0=', max_size=30).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_no_payload_raises_anything_else(payload):
    for events in (messages_events, converse_events):
        for made in (chunk(payload), frame(payload, message_type="exception", exception_type="x")):
            with suppress(CorruptStreamError):
                list(events(read(made)))
