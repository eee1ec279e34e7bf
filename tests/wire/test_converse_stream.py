"""A Messages stream becomes a Converse stream: the same story as the whole reply, in Converse's order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import EventStreamJSONParser
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.engine import Event
from outcrop.errors import ModelStreamErrorException
from outcrop.wire import converse
from outcrop.wire.converse import ConverseRequest
from outcrop.wire.converse_stream import StreamTranslator
from outcrop.wire.converse_upstream import MessagesTranslator, message_from_converse
from outcrop.wire.messages_reply import assemble

LATENCY = 777


@cache
def event_shape() -> Any:
    model = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
    return model.shape_for("ConverseStreamOutput")


def event(kind: str, **fields: Any) -> Event:
    return Event(kind, json.dumps({"type": kind, **fields}).encode())


def delta(index: int, kind: str, **fields: Any) -> Event:
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


def opening(usage: dict[str, Any] | None = None) -> Event:
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "stop_reason": None}
    return event(
        "message_start", message=message | {"usage": usage or {"input_tokens": 3, "output_tokens": 1}}
    )


def ending(reason: str = "end_turn", sequence: str | None = None, **usage: Any) -> list[Event]:
    told = {"stop_reason": reason, "stop_sequence": sequence}
    return [event("message_delta", delta=told, usage={"output_tokens": 9} | usage), event("message_stop")]


def block(index: int, start: dict[str, Any], *deltas: Event) -> list[Event]:
    return [
        event("content_block_start", index=index, content_block=start),
        *deltas,
        event("content_block_stop", index=index),
    ]


def translate(events: Iterable[Event], request: ConverseRequest | None = None) -> list[tuple[str, bytes]]:
    translator = StreamTranslator(request or ConverseRequest({}))
    return [told for one in events for told in translator.feed(one, LATENCY)]


def told(events: Iterable[Event], request: ConverseRequest | None = None) -> list[tuple[str, Any]]:
    """The Converse events, decoded; botocore reads each of them as well."""
    decoded = []
    for name, payload in translate(events, request):
        response = {
            "status_code": 200,
            "headers": {":event-type": name, ":content-type": "application/json", ":message-type": "event"},
            "body": payload,
        }
        assert name in EventStreamJSONParser().parse(response, event_shape())
        fields = json.loads(payload)
        assert list(fields) == sorted(fields)
        decoded.append((name, fields))
    return decoded


def test_text_has_no_start_and_every_piece_goes_on_as_it_came() -> None:
    text = block(
        0, {"type": "text", "text": ""}, *[delta(0, "text_delta", text=one) for one in ("Hel", "lo ☀\n")]
    )
    assert told([opening(), event("ping"), *text, *ending()]) == [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo ☀\n"}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        (
            "metadata",
            {
                "metrics": {"latencyMs": LATENCY},
                "usage": {"inputTokens": 3, "outputTokens": 9, "serverToolUsage": {}, "totalTokens": 12},
            },
        ),
    ]


def test_each_event_is_answered_before_the_next_one_comes() -> None:
    translator = StreamTranslator(ConverseRequest({}))
    translator.feed(opening(), 1)
    translator.feed(event("content_block_start", index=0, content_block={"type": "text", "text": ""}), 2)
    assert translator.feed(delta(0, "text_delta", text="now"), 3) == [
        ("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"now"}}')
    ]


@pytest.mark.parametrize("first", [[], [""]])
def test_a_tools_input_begins_empty_once_whatever_the_engine_sends(first: list[str]) -> None:
    pieces = [delta(1, "input_json_delta", partial_json=piece) for piece in [*first, '{"ci', 'ty":"Bern"}']]
    use = block(1, {"type": "tool_use", "id": "t", "name": "weather", "input": {}}, *pieces)
    assert told(use) == [
        (
            "contentBlockStart",
            {
                "contentBlockIndex": 1,
                "start": {"toolUse": {"name": "weather", "toolUseId": "t", "type": "tool_use"}},
            },
        ),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": ""}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"ci'}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": 'ty":"Bern"}'}}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
    ]


def test_an_input_given_whole_with_the_start_becomes_one_piece() -> None:
    use = block(0, {"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}})
    assert (
        "contentBlockDelta",
        {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '{"a":1}'}}},
    ) in told(use)


def test_older_models_start_a_tool_without_a_type() -> None:
    use = block(0, {"type": "tool_use", "id": "t", "name": "n", "input": {}})
    start = told(use, ConverseRequest({}, typed=False))[0][1]["start"]
    assert start == {"toolUse": {"name": "n", "toolUseId": "t"}}


def test_thinking_and_its_signature() -> None:
    thought = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        delta(0, "thinking_delta", thinking="Hm"),
        delta(0, "signature_delta", signature="c2ln"),
    )
    assert [fields["delta"] for name, fields in told(thought) if name == "contentBlockDelta"] == [
        {"reasoningContent": {"text": "Hm"}},
        {"reasoningContent": {"signature": "c2ln"}},
    ]


def test_redacted_thinking_comes_whole() -> None:
    assert told(block(2, {"type": "redacted_thinking", "data": "RW5j"})) == [
        (
            "contentBlockDelta",
            {"contentBlockIndex": 2, "delta": {"reasoningContent": {"redactedContent": "Ulc1ag=="}}},
        ),
        ("contentBlockStop", {"contentBlockIndex": 2}),
    ]


def test_a_citation_keeps_its_place() -> None:
    citation = {
        "type": "page_location",
        "cited_text": "c",
        "document_index": 0,
        "document_title": "t",
        "start_page_number": 1,
        "end_page_number": 2,
    }
    cited = block(
        0,
        {"type": "text", "text": "", "citations": []},
        delta(0, "citations_delta", citation=citation),
        delta(0, "text_delta", text="so"),
    )
    assert [fields["delta"] for name, fields in told(cited) if name == "contentBlockDelta"] == [
        {
            "citation": {
                "location": {"documentPage": {"documentIndex": 0, "end": 2, "start": 1}},
                "sourceContent": [{"text": "c"}],
                "title": "t",
            }
        },
        {"text": "so"},
    ]


def test_counts_of_the_last_event_stand_over_those_of_the_first() -> None:
    start = opening({"input_tokens": 3, "cache_read_input_tokens": 50, "output_tokens": 1})
    metadata = told([start, *ending(input_tokens=4, cache_read_input_tokens=None)])[-1][1]
    assert metadata["usage"]["inputTokens"] == 4
    assert metadata["usage"]["cacheReadInputTokens"] == 50
    assert metadata["usage"]["totalTokens"] == 4 + 50 + 9


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [
        ("/stop_sequence", {"stop_sequence": "END"}),
        ("/delta/stop_sequence", {"delta": {"stop_sequence": "END"}}),
    ],
)
def test_the_stop_sequence_is_told_under_the_pointer_it_was_asked_by(pointer: str, expected: Any) -> None:
    request = ConverseRequest({}, response_paths=(tuple(pointer[1:].split("/")),))
    stop = told([opening(), *ending("stop_sequence", "END")], request)[-2]
    assert stop == (
        "messageStop",
        {"additionalModelResponseFields": expected, "stopReason": "stop_sequence"},
    )


def test_what_the_request_asked_to_be_echoed_is_in_the_metadata() -> None:
    request = ConverseRequest({}, performance={"latency": "optimized"}, service_tier={"type": "flex"})
    metadata = told([opening(), *ending()], request)[-1][1]
    assert (metadata["performanceConfig"], metadata["serviceTier"]) == (
        {"latency": "optimized"},
        {"type": "flex"},
    )


def test_blocks_and_deltas_of_unknown_types_are_not_lost() -> None:
    strange = block(0, {"type": "hologram", "beam": 1}, delta(0, "beam_delta", beam=2))
    assert [json.loads(payload) for _, payload in translate(strange)] == [
        {"contentBlockIndex": 0, "start": {"hologram": {}}},
        {"contentBlockIndex": 0, "delta": {"hologram": {"beam": 1}}},
        {"contentBlockIndex": 0, "delta": {"beamDelta": {"beam": 2}}},
        {"contentBlockIndex": 0},
    ]


def test_a_server_tools_result_comes_as_a_tool_result() -> None:
    result = {
        "type": "web_search_tool_result",
        "tool_use_id": "s",
        "content": [{"type": "web_search_result"}],
    }
    assert told(block(1, result))[:2] == [
        (
            "contentBlockStart",
            {
                "contentBlockIndex": 1,
                "start": {"toolResult": {"toolUseId": "s", "type": "web_search_tool_result"}},
            },
        ),
        (
            "contentBlockDelta",
            {"contentBlockIndex": 1, "delta": {"toolResult": [{"json": {"type": "web_search_result"}}]}},
        ),
    ]


def test_events_of_unknown_types_are_passed_over() -> None:
    assert translate([event("ping"), event("weather_report", rain=True)]) == []


# --- the stream tells what the whole reply tells ------------------------------------------------------------

words = st.text(min_size=1, max_size=40)
texts = st.builds(lambda text: {"type": "text", "text": text}, st.text(max_size=40))
thoughts = st.builds(
    lambda text, sign: {"type": "thinking", "thinking": text, "signature": sign}, words, words
)
redactions = st.builds(
    lambda data: {"type": "redacted_thinking", "data": data}, st.text("ABCDabcd0123=", max_size=20)
)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10)
inputs = st.dictionaries(st.text(max_size=8), scalars | st.lists(scalars, max_size=3), max_size=4)
calls = st.builds(
    lambda number, given: {"type": "tool_use", "id": f"t{number}", "name": "n", "input": given},
    st.integers(0, 99),
    inputs,
)
quotes = st.builds(
    lambda text, start: {
        "type": "text",
        "text": text,
        "citations": [
            {
                "type": "char_location",
                "cited_text": text,
                "document_index": 0,
                "document_title": "d",
                "start_char_index": start,
                "end_char_index": start + 1,
            }
        ],
    },
    words,
    st.integers(0, 9),
)
contents = st.lists(texts | thoughts | redactions | calls | quotes, max_size=5)


def as_events(content: list[dict[str, Any]], piece: int) -> list[Event]:
    """A Messages stream for a content, its strings cut into pieces of `piece` characters."""
    events: list[Event] = []
    for index, one in enumerate(content):
        pieces: list[Event] = []
        start = dict(one)
        if one["type"] == "text":
            start |= {"text": "", "citations": []} if "citations" in one else {"text": ""}
            pieces += [
                delta(index, "citations_delta", citation=citation) for citation in one.get("citations", ())
            ]
            pieces += [delta(index, "text_delta", text=part) for part in cut(one["text"], piece)]
        elif one["type"] == "thinking":
            start |= {"thinking": "", "signature": ""}
            pieces += [delta(index, "thinking_delta", thinking=part) for part in cut(one["thinking"], piece)]
            pieces.append(delta(index, "signature_delta", signature=one["signature"]))
        elif one["type"] == "tool_use":
            start |= {"input": {}}
            given_input = json.dumps(one["input"])
            pieces += [
                delta(index, "input_json_delta", partial_json=part) for part in cut(given_input, piece)
            ]
        events += block(index, start, *pieces)
    return events


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def back(events: Iterable[tuple[str, bytes]]) -> list[Event]:
    """A Converse stream as the Messages stream that an engine hands on."""
    translator = MessagesTranslator(message_id="m", model="c")
    return [told for kind, data in events for told in translator.feed(kind, data)]


@settings(max_examples=60, deadline=None)
@given(contents, st.integers(1, 50))
def test_a_stream_there_and_back_tells_what_the_whole_reply_tells(
    content: list[dict[str, Any]], piece: int
) -> None:
    usage = {"input_tokens": 3, "output_tokens": 9, "cache_read_input_tokens": 2}
    whole = {"role": "assistant", "content": content, "stop_reason": "end_turn", "usage": usage}
    request = ConverseRequest({})
    stream = [opening(usage), *as_events(content, piece), *ending(**usage)]
    reply = json.loads(converse.from_message(json.dumps(whole).encode(), request, LATENCY))
    expected = message_from_converse(reply, message_id="m", model="c")
    assert expected["content"] == content
    assert assemble(back(translate(stream, request))) == expected


def test_on_the_way_back_too_each_event_is_answered_before_the_next_one_comes() -> None:
    translator = MessagesTranslator(message_id="m", model="c")
    translator.feed("messageStart", b'{"role":"assistant","p":"abc"}')
    first = translator.feed("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"Hel"}}')
    assert [one.type for one in first] == ["content_block_start", "content_block_delta"]
    second = translator.feed("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"lo"}}')
    assert [json.loads(one.data)["delta"] for one in second] == [{"type": "text_delta", "text": "lo"}]


def test_the_way_back_knows_whether_the_stream_has_come_to_its_end() -> None:
    translator = MessagesTranslator(message_id="m", model="c")
    events = translate([opening(), *ending("stop_sequence")])
    for kind, data in events[:-1]:
        translator.feed(kind, data)
        assert not translator.complete
    translator.feed(*events[-1])
    assert translator.complete


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("contentBlockDelta", b"[]"),
        ("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{}}'),
        ("contentBlockStart", b'{"contentBlockIndex":0,"start":{"toolUse":{}}}'),
        ("metadata", b"{}"),
        ("messageStart", b"\xff"),
    ],
)
def test_a_converse_event_that_is_none_of_its_type_breaks_the_stream(kind: str, data: bytes) -> None:
    with pytest.raises(ModelStreamErrorException):
        MessagesTranslator(message_id="m", model="c").feed(kind, data)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("content_block_delta", b'{"index":0}'),
        ("content_block_delta", b'{"index":0,"delta":{"type":"citations_delta","citation":{"type":[]}}}'),
        ("content_block_start", b'{"index":0,"content_block":{"text":"a type is missing"}}'),
        ("content_block_start", b'{"index":0,"content_block":{"type":"tool_use"}}'),
        ("message_start", b"[]"),
        ("message_delta", b'{"delta":5}'),
    ],
)
def test_a_messages_event_that_is_none_of_its_type_breaks_the_stream(kind: str, data: bytes) -> None:
    with pytest.raises(ModelStreamErrorException) as caught:
        StreamTranslator(ConverseRequest({})).feed(Event(kind, data), 1)
    assert kind in caught.value.reason
