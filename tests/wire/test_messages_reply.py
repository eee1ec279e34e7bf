"""Replies and streams of the Messages language: read, counted, folded, unfolded, named."""

import json
import re
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.engine import Event
from outcrop.errors import ModelErrorException, ModelStreamErrorException
from outcrop.wire.messages_reply import (
    METRICS,
    CacheCreation,
    Tally,
    Usage,
    as_events,
    assemble,
    message_id,
    read_whole,
    tool_use_id,
    with_metrics,
)


def event(type_: str, **parts: Any) -> Event:
    return Event(type_, json.dumps({"type": type_, **parts}).encode())


def start(**message: Any) -> Event:
    return event(
        "message_start", message={"id": "msg_bdrk_01", "role": "assistant", "content": [], **message}
    )


def delta(index: int, **parts: Any) -> Event:
    return event("content_block_delta", index=index, delta=parts)


def block(index: int, *pieces: dict[str, Any], **begun: Any) -> list[Event]:
    return [
        event("content_block_start", index=index, content_block=begun),
        *(delta(index, **piece) for piece in pieces),
        event("content_block_stop", index=index),
    ]


STOP = event("message_stop")

# --- whole replies ------------------------------------------------------------------------------------------


def test_a_whole_reply_tells_its_usage_and_why_it_ended() -> None:
    summary = read_whole(
        b'{"id":"msg_bdrk_01","model":"claude-haiku-4-5-20251001","stop_reason":"stop_sequence","stop_sequence":"END",'
        b'"content":[{"type":"text","text":"x"}],"usage":{"input_tokens":3,"output_tokens":1944,'
        b'"cache_read_input_tokens":9511,"cache_creation_input_tokens":7,"service_tier":"standard",'
        b'"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":5}}}'
    )
    assert (summary.id, summary.model) == ("msg_bdrk_01", "claude-haiku-4-5-20251001")
    assert (summary.stop_reason, summary.stop_sequence) == ("stop_sequence", "END")
    assert summary.usage == Usage(3, 1944, 9511, 7, CacheCreation(2, 5))


def test_nulls_and_gaps_in_a_reply_count_as_nothing() -> None:
    assert read_whole(b"{}").usage == Usage()
    assert read_whole(b'{"usage":null,"stop_reason":null}').usage == Usage()
    nulls = read_whole(b'{"usage":{"input_tokens":null,"output_tokens":4,"cache_creation":null}}')
    assert nulls.usage == Usage(output_tokens=4)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"usage":[]}', b'{"usage":{"input_tokens":"9"}}', b"\xff"]
)
def test_a_reply_that_is_none_is_the_models_failure(body: bytes) -> None:
    with pytest.raises(ModelErrorException) as caught:
        read_whole(body)
    assert caught.value.reason


# --- counting a stream --------------------------------------------------------------------------------------


def test_a_tally_knows_at_any_time_what_has_been_used() -> None:
    tally = Tally()
    assert tally.usage == Usage()
    tally.feed(
        *start(model="m", usage={"input_tokens": 12, "output_tokens": 1, "cache_read_input_tokens": 7})
    )
    assert tally.usage == Usage(12, 1, 7)
    tally.feed("content_block_delta", b"this is not even JSON and nobody looks")
    tally.feed(*event("message_delta", delta={"stop_reason": "max_tokens"}, usage={"output_tokens": 99}))
    assert tally.usage == Usage(12, 99, 7)
    assert (tally.id, tally.model, tally.stop_reason, tally.stop_sequence) == (
        "msg_bdrk_01",
        "m",
        "max_tokens",
        None,
    )


def test_input_told_again_at_the_end_counts_where_it_is_more() -> None:
    for told, counted in ((0, 12), (None, 12), (40, 40)):
        tally = Tally()
        tally.feed(*start(usage={"input_tokens": 12}))
        tally.feed(*event("message_delta", usage={"input_tokens": told, "output_tokens": 5}))
        assert tally.usage == Usage(counted, 5)


def test_output_that_is_not_told_at_the_end_stays_what_it_was() -> None:
    tally = Tally()
    tally.feed(*start(usage={"input_tokens": 12, "output_tokens": 3}))
    tally.feed(*event("message_delta", usage={"input_tokens": 13}))
    assert tally.usage == Usage(13, 3)


def test_a_stream_that_counts_in_words_is_the_models_failure() -> None:
    with pytest.raises(ModelStreamErrorException):
        Tally().feed("message_start", b'{"type":"message_start"}')
    with pytest.raises(ModelStreamErrorException):
        Tally().feed("message_delta", b'{"usage":{"output_tokens":"many"}}')


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b'{"type":"message_stop"}', {"type": "message_stop"}),
        (b'{"type": "message_stop", "x": [1]} \n', {"type": "message_stop", "x": [1]}),
        (b"{}", {}),
        (
            b'{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":1}}',
            {"type": "message_stop"},
        ),
    ],
)
def test_bedrocks_metrics_go_into_the_last_event(data: bytes, kept: dict[str, Any]) -> None:
    spliced = with_metrics(data, Usage(9, 8, 7, 6), 2500, 300)
    assert json.loads(spliced) == {
        **kept,
        METRICS: {
            "inputTokenCount": 9,
            "outputTokenCount": 8,
            "invocationLatency": 2500,
            "firstByteLatency": 300,
        },
    }
    assert spliced.count(METRICS.encode()) == 1
    assert json.loads(with_metrics(data, Usage(9, 8, 7, 6), 1, 1, caches=True))[METRICS] == {
        "inputTokenCount": 9,
        "outputTokenCount": 8,
        "invocationLatency": 1,
        "firstByteLatency": 1,
        "cacheReadInputTokenCount": 7,
        "cacheWriteInputTokenCount": 6,
    }


# --- folding ------------------------------------------------------------------------------------------------


def test_a_stream_folds_into_the_reply_it_stands_for() -> None:
    message = assemble(
        [
            start(stop_reason=None, usage={"input_tokens": 5, "output_tokens": 1}),
            event("ping"),
            *block(
                0,
                {"type": "thinking_delta", "thinking": "Hm, "},
                {"type": "thinking_delta", "thinking": "well."},
                {"type": "signature_delta", "signature": "c2ln"},
                type="thinking",
                thinking="",
                signature="",
            ),
            *block(1, type="redacted_thinking", data="ZGF0YQ=="),
            *block(
                2,
                {"type": "citations_delta", "citation": {"cited_text": "a"}},
                {"type": "text_delta", "text": "It is "},
                {"type": "citations_delta", "citation": {"cited_text": "b"}},
                {"type": "text_delta", "text": "18°."},
                type="text",
                text="",
            ),
            *block(
                3,
                {"type": "input_json_delta", "partial_json": ""},
                {"type": "input_json_delta", "partial_json": '{"city": "En'},
                {"type": "input_json_delta", "partial_json": 'de"}'},
                type="tool_use",
                id="toolu_1",
                name="w",
                input={},
            ),
            *block(
                4,
                {"type": "input_json_delta", "partial_json": ""},
                type="tool_use",
                id="2",
                name="n",
                input={},
            ),
            event(
                "message_delta",
                delta={"stop_reason": "tool_use", "stop_sequence": None},
                usage={"output_tokens": 44},
            ),
            STOP,
        ]
    )
    assert message == {
        "id": "msg_bdrk_01",
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm, well.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            {"type": "text", "text": "It is 18°.", "citations": [{"cited_text": "a"}, {"cited_text": "b"}]},
            {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {"city": "Ende"}},
            {"type": "tool_use", "id": "2", "name": "n", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 44},
    }


def test_blocks_and_deltas_of_the_future_are_kept_as_well_as_can_be() -> None:
    message = assemble(
        [
            start(),
            *block(
                0,
                {"type": "compaction_delta", "content": "So "},
                {"type": "compaction_delta", "content": "far."},
                {"type": "hologram_delta", "rays": [2], "colour": {"hue": 3}, "note": None},
                type="hologram",
                content=None,
                rays=[1],
            ),
            event("message_of_the_day", text="hello"),
            event(
                "message_delta", delta={"stop_reason": "end_turn"}, context_management={"applied_edits": []}
            ),
        ]
    )
    assert message["content"] == [
        {"type": "hologram", "content": "So far.", "rays": [1, 2], "colour": {"hue": 3}}
    ]
    assert message["context_management"] == {"applied_edits": []}


def test_a_stream_that_broke_off_gives_what_had_come() -> None:
    events = [
        start(usage={"input_tokens": 5}),
        *block(0, {"type": "text_delta", "text": "So fa"}, type="text", text=""),
    ]
    events += block(
        1, {"type": "input_json_delta", "partial_json": '{"ci'}, type="tool_use", id="1", name="n", input={}
    )
    message = assemble(events[:-1])
    assert message["content"][0]["text"] == "So fa"
    assert message["content"][1]["input"] == {"INVALID_JSON": '{"ci'}


@pytest.mark.parametrize(
    "events",
    [
        [],
        [STOP],
        [start(), event("error", error={"type": "overloaded_error", "message": "Overloaded"})],
        [start(), delta(0, type="text_delta", text="a delta without a block")],
        [start(), *block(0, {"type": "text_delta"}, type="text", text="")],
        [start(), Event("content_block_start", b"{")],
        [start(), Event("content_block_start", b"[]")],
        [start(), event("content_block_start", index=0, content_block=7)],
        [event("message_start", message=None)],
        [start(), event("message_delta", delta=3)],
        [start(), event("error", error=None)],
    ],
)
def test_a_stream_that_makes_no_sense_is_the_models_failure(events: list[Event]) -> None:
    with pytest.raises(ModelStreamErrorException):
        assemble(events)


# --- there and back -----------------------------------------------------------------------------------------

TEXT = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
CREATION = st.fixed_dictionaries({"ephemeral_5m_input_tokens": st.none() | st.integers(0, 9)})
BLOCKS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}),
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": TEXT, "citations": st.none() | st.lists(OBJECT, max_size=2)}
    ),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXT, "signature": TEXT}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": TEXT}),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["tool_use", "server_tool_use"]), "id": TEXT, "name": TEXT, "input": OBJECT}
    ),
    st.fixed_dictionaries({"type": st.just("hologram"), "text": TEXT, "input": JSON, "citations": JSON}),
)
MESSAGES = st.fixed_dictionaries(
    {
        "id": TEXT,
        "type": st.just("message"),
        "role": st.just("assistant"),
        "model": TEXT,
        "content": st.lists(BLOCKS, max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "refusal", None]),
        "stop_sequence": st.none() | TEXT,
        "usage": st.fixed_dictionaries(
            {"input_tokens": st.integers(0, 10**6), "output_tokens": st.integers(0, 10**6)},
            optional={"cache_read_input_tokens": st.integers(0, 9), "cache_creation": CREATION, "new": JSON},
        ),
    },
    optional={"stop_details": JSON, "container": JSON},
)


@settings(max_examples=200, deadline=None)
@given(MESSAGES)
def test_a_reply_survives_being_streamed(message: dict[str, Any]) -> None:
    events = as_events(message)
    assert assemble(events) == message
    tally = Tally()
    for one in events:
        assert one.type == json.loads(one.data)["type"]
        tally.feed(*one)
    whole = read_whole(msgspec.json.encode(message))
    assert tally.usage == whole.usage
    assert tally.stop_reason == whole.stop_reason


TYPES = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "message_delta", "error", "ping"]
)
PARTS = st.dictionaries(
    st.sampled_from(["message", "content_block", "index", "delta", "usage", "error"]),
    JSON | OBJECT,
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TYPES, PARTS), max_size=4))
def test_no_stream_whatever_raises_anything_but_the_models_failure(parts: list[tuple[str, Any]]) -> None:
    events = [start(), *(Event(type_, json.dumps(part).encode()) for type_, part in parts)]
    with suppress(ModelStreamErrorException):
        assemble(events)


def test_a_streamed_reply_has_the_events_in_the_services_order() -> None:
    message = {
        "id": "msg_bdrk_01",
        "content": [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {"city": "Ende"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 20},
    }
    events = [(one.type, json.loads(one.data)) for one in as_events(message)]
    assert [type_ for type_, _ in events] == [
        "message_start",
        *["content_block_start", "content_block_delta", "content_block_stop"] * 2,
        "message_delta",
        "message_stop",
    ]
    begun = events[0][1]["message"]
    assert begun["content"] == []
    assert begun["stop_reason"] is None
    assert begun["usage"] == {"input_tokens": 9, "output_tokens": 1}
    assert events[1][1]["content_block"] == {"type": "text", "text": ""}
    assert events[4][1]["content_block"]["input"] == {}
    assert json.loads(events[5][1]["delta"]["partial_json"]) == {"city": "Ende"}
    assert events[7][1] == {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 20},
    }


def test_a_block_without_text_has_no_delta() -> None:
    for empty in ({"type": "text", "text": ""}, {"type": "redacted_thinking", "data": "ZGF0YQ=="}):
        types = [one.type for one in as_events({"content": [empty]})]
        assert types[1:3] == ["content_block_start", "content_block_stop"]


# --- ids ----------------------------------------------------------------------------------------------------


@given(st.binary(min_size=16, max_size=16))
def test_ids_have_the_services_form(random: bytes) -> None:
    base58 = "[1-9A-HJ-NP-Za-km-z]"
    assert re.fullmatch(f"msg_bdrk_01{base58}{{22}}", message_id(random))
    assert re.fullmatch(f"toolu_bdrk_01{base58}{{22}}", tool_use_id(random))


def test_ids_tell_all_random_bytes_apart() -> None:
    most, least = b"\xff" * 16, b"\x00" * 16
    near = b"\x00" * 15 + b"\x01"
    assert len({message_id(random) for random in (most, least, near)}) == 3
    for make in (message_id, tool_use_id):
        with pytest.raises(ValueError, match="16 random bytes"):
            make(b"short")
