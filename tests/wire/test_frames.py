"""Padding as the service does it, and exception frames as clients know them."""

import json
import random
from collections import Counter
from itertools import islice

import pytest

from outcrop import errors
from outcrop.wire import frames
from outcrop.wire.eventstream import FrameBuffer


def _only(wire):
    buffer = FrameBuffer()
    buffer.feed(wire)
    [frame] = list(buffer)
    return frame


def test_padding_is_a_prefix_of_the_alphabet_and_every_length_is_equally_likely():
    values = list(islice(frames.paddings(random.Random(7).randbytes), 12_000))
    lengths = Counter(map(len, values))
    assert set(lengths) == set(range(2, 62))
    assert all(
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".startswith(v) for v in values
    )
    expected = len(values) / 60
    chi_square = sum((seen - expected) ** 2 / expected for seen in lengths.values())
    assert chi_square < 89.4  # 59 degrees of freedom, p = 0.0065; the seed is fixed


def test_padding_can_be_switched_off_and_the_field_stays():
    frame = _only(
        frames.converse_event("messageStop", b'{"stopReason":"end_turn"}', next(frames.no_paddings()))
    )
    assert json.loads(frame.payload) == {"stopReason": "end_turn", "p": ""}


def test_an_empty_payload_gets_its_padding_too():
    assert json.loads(_only(frames.converse_event("x", b"{}", b"ab")).payload) == {"p": "ab"}


@pytest.mark.parametrize(
    ("fault", "converse", "name"),
    [
        (errors.ThrottlingException("slow"), False, "throttlingException"),
        (errors.ModelTimeoutException("late"), False, "modelTimeoutException"),
        # ConverseStream has no such member: clients would show an error without a name
        (errors.ModelTimeoutException("late"), True, "serviceUnavailableException"),
        (errors.ModelErrorException("broke"), True, "modelStreamErrorException"),
        (errors.ModelNotReadyException("wait"), False, "throttlingException"),
        (errors.AccessDeniedException("no"), False, "validationException"),
        (errors.InternalServerException("bug"), True, "internalServerException"),
    ],
)
def test_an_exception_frame_names_a_member_of_the_streams_union(fault, converse, name):
    frame = _only(frames.exception(fault, converse=converse))
    assert frame.headers[":message-type"] == "exception"
    assert frame.headers[":exception-type"] == name
    assert json.loads(frame.payload)["message"] == fault.text


def test_a_broken_model_stream_tells_the_original_status():
    fault = errors.ModelStreamErrorException("cut", original_status=529)
    payload = json.loads(_only(frames.exception(fault, converse=False)).payload)
    assert payload == {"message": "cut", "originalMessage": "cut", "originalStatusCode": 529}
