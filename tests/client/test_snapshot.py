"""A stream's message and its events, held against what `anthropic` makes of the same events."""

import copy
import json
import math
import pickle
import random
import time
from contextlib import suppress

import msgspec
import pytest
from anthropic._models import construct_type
from anthropic.lib.streaming import _beta_messages, _messages
from anthropic.types import RawMessageStreamEvent
from anthropic.types.beta import BetaRawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from jiter import from_json

from outcrop.client.errors import StreamCorruptedError
from outcrop.client.snapshot import Snapshot
from outcrop.client.value import Items
from outcrop.types import (
    ContentBlockStopEvent,
    InputJsonEvent,
    MessageStopEvent,
    TextEvent,
    UnknownEvent,
    event_of,
)

START = {
    "type": "message_start",
    "message": {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 12,
            "output_tokens": 1,
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 0},
        },
    },
}
STOP = {"type": "message_stop"}


def begin(index, **block):
    return {"type": "content_block_start", "index": index, "content_block": block}


def begin_tool(index, **more):
    return begin(index, type="tool_use", id=f"toolu_{index}", name="look", input={}, **more)


def delta(index, kind, **members):
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **members}}


def text(index, piece):
    return delta(index, "text_delta", text=piece)


def piece(index, partial):
    return delta(index, "input_json_delta", partial_json=partial)


def close(index):
    return {"type": "content_block_stop", "index": index}


def end(reason="end_turn", sequence=None, **usage):
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": sequence},
        "usage": {"output_tokens": 42, **usage},
    }


def place(number):
    return {
        "type": "char_location",
        "cited_text": f"quote {number}",
        "document_index": 0,
        "document_title": None,
        "start_char_index": number,
        "end_char_index": number + 7,
    }


STREAMS = {
    "text": [START, begin(0, type="text", text=""), text(0, "Hel"), text(0, "lo ✓"), close(0), end(), STOP],
    "text that has begun": [START, begin(0, type="text", text="Al"), text(0, "so"), close(0), end(), STOP],
    "two blocks": [
        START,
        begin(0, type="text", text="", citations=None),
        text(0, "One."),
        close(0),
        begin(1, type="text", text=""),
        text(1, ""),
        text(1, "Two."),
        close(1),
        end("stop_sequence", "###"),
        STOP,
    ],
    "two blocks at once": [
        START,
        begin(0, type="text", text=""),
        begin_tool(1),
        text(0, "One"),
        piece(1, '{"a"'),
        text(0, "."),
        piece(1, ":1}"),
        close(1),
        close(0),
        end(),
        STOP,
    ],
    "tools": [
        START,
        begin(0, type="text", text=""),
        text(0, "Let me look."),
        close(0),
        begin_tool(1),
        piece(1, ""),
        piece(1, '{"city": "Os'),
        piece(1, 'lo", "days"'),
        piece(1, ": 1"),
        piece(1, '2, "units": {"t": "C", "w": nul'),
        piece(1, "l}, "),
        piece(1, '"tags": ["a", "b\\u00'),
        piece(1, 'e9"]}'),
        close(1),
        begin(2, type="server_tool_use", id="srvtoolu_1", name="web_search", input={}),
        piece(2, '{"query": "x"}'),
        close(2),
        end("tool_use"),
        STOP,
    ],
    "a tool without input": [START, begin_tool(0), piece(0, ""), close(0), end("tool_use"), STOP],
    "a tool without pieces": [START, begin_tool(0), close(0), end("tool_use"), STOP],
    "a tool cut off by max_tokens": [
        START,
        begin_tool(0),
        piece(0, '{"a": [1, 2, {"b": "cu'),
        close(0),
        end("max_tokens"),
        STOP,
    ],
    "thinking": [
        START,
        begin(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Hm"),
        delta(0, "thinking_delta", thinking=", so."),
        delta(0, "signature_delta", signature="c2lnbmF0dXJl"),
        close(0),
        begin(1, type="redacted_thinking", data="ZGF0YQ=="),
        close(1),
        begin(2, type="text", text=""),
        text(2, "Yes."),
        close(2),
        end(),
        STOP,
    ],
    "citations": [
        START,
        begin(0, type="text", text="", citations=[]),
        text(0, "It is so."),
        delta(0, "citations_delta", citation=place(1)),
        delta(0, "citations_delta", citation=place(2)),
        close(0),
        begin(1, type="text", text=""),
        delta(1, "citations_delta", citation=place(3)),
        text(1, "And so."),
        close(1),
        end(),
        STOP,
    ],
    "usage that grows": [
        START,
        begin(0, type="text", text=""),
        close(0),
        end(
            input_tokens=99,
            cache_creation_input_tokens=None,
            cache_read_input_tokens=0,
            server_tool_use={"web_search_requests": 1, "web_fetch_requests": 0},
        ),
        end("refusal", output_tokens_details={"thinking_tokens": 3}),
        STOP,
    ],
    "a refusal, in a container": [
        START,
        {
            "type": "message_delta",
            "delta": {
                "stop_reason": "refusal",
                "stop_details": {"type": "refusal", "category": "cyber", "explanation": None},
            },
            "usage": {"output_tokens": 0},
        },
        STOP,
    ],
    "deltas that do not fit their block": [
        START,
        begin(0, type="text", text=""),
        piece(0, "{"),
        delta(0, "thinking_delta", thinking="x"),
        delta(0, "signature_delta", signature="x"),
        begin_tool(1),
        text(1, "x"),
        delta(1, "citations_delta", citation=place(1)),
        begin(2, type="thinking", thinking="", signature=""),
        text(2, "x"),
        begin(3, type="redacted_thinking", data="x"),
        text(3, "x"),
        close(0),
        end(),
        STOP,
    ],
    "unknown events and deltas": [
        START,
        {"type": "hum", "tune": {"key": "a"}},
        begin(0, type="text", text=""),
        delta(0, "hum_delta", tune={"key": "a"}),
        text(0, "Hi"),
        {"type": "content_block_hum", "index": 7},
        close(0),
        end(),
        STOP,
    ],
    "an unknown block": [
        START,
        begin(0, type="song", notes=[{"c": 1}]),
        delta(0, "note_delta", note="d"),
        text(0, "la"),
        close(0),
        end(),
        STOP,
    ],
    "events before and after the message": [
        {"type": "hum"},
        close(0),
        text(0, "early"),
        START,
        START,
        STOP,
        {"type": "hum"},
    ],
}


def of_theirs(raws, *, beta="", module=_messages, union=RawMessageStreamEvent):
    """The events that `anthropic` hands out, as dicts made at once, and its message."""
    message, buffers, told = None, {}, []
    extra = {"request_headers": {"anthropic-beta": beta}} if module is _beta_messages else {}
    for raw in raws:
        event = construct_type(type_=union, value=copy.deepcopy(raw))
        if message is None and event.type != "message_start":
            told.append([event.to_dict(warnings=False)])
            continue
        message = module.accumulate_event(event=event, current_snapshot=message, json_bufs=buffers, **extra)
        told.append(
            [
                copy.deepcopy(made.to_dict(warnings=False))
                for made in module.build_events(event=event, message_snapshot=message)
            ]
        )
    return told, message


def of_ours(raws, *, late=False, **choice):
    """Ours; `late`: looked at only when the stream is over."""
    snapshot = Snapshot(**choice)
    told = []
    for raw in raws:
        made = snapshot.add(event_of(copy.deepcopy(raw)))
        told.append(made if late else [event.to_dict() for event in made])
    if late:
        told = [[event.to_dict() for event in made] for made in told]
    return told, snapshot.message()


@pytest.mark.parametrize("late", [False, True], ids=["read at once", "read at the end"])
@pytest.mark.parametrize("name", STREAMS)
def test_the_same_events_and_message_as_anthropics(name, late):
    told, message = of_ours(STREAMS[name], late=late)
    their_told, their_message = of_theirs(STREAMS[name])
    assert told == their_told
    assert message.to_dict() == their_message.to_dict(warnings=False)


# theirs makes a text block of one it does not know, and so has a `text` of None for it
@pytest.mark.parametrize("name", sorted(STREAMS.keys() - {"an unknown block"}))
def test_the_final_messages_dump_is_anthropics(name):
    _, message = of_ours(STREAMS[name])
    _, theirs = of_theirs(STREAMS[name])
    assert message.model_dump() == theirs.model_dump(warnings=False)


BETA = [
    START,
    begin(0, type="mcp_tool_use", id="mcptoolu_1", name="look", server_name="s", input={}),
    piece(0, '{"a": "b'),
    piece(0, 'c"}'),
    close(0),
    begin(1, type="compaction", content=None, encrypted_content=None),
    delta(1, "compaction_delta", content="Shorter.", encrypted_content="eA=="),
    close(1),
    {
        **end(iterations=[{"type": "message", "input_tokens": 1, "output_tokens": 2}]),
        "context_management": {"applied_edits": []},
    },
    STOP,
]


@pytest.mark.parametrize(
    ("beta", "choice"), [("", {}), ("fine-grained-tool-streaming-2025-05-14", {"cut_strings": True})]
)
def test_what_beta_features_add(beta, choice):
    for stream in (BETA, STREAMS["tools"], STREAMS["a tool cut off by max_tokens"]):
        told, message = of_ours(stream, **choice)
        their_told, their_message = of_theirs(
            stream, beta=beta, module=_beta_messages, union=BetaRawMessageStreamEvent
        )
        assert told == their_told
        assert message.to_dict() == their_message.to_dict(warnings=False)


def feed(*raws, **choice):
    snapshot = Snapshot(**choice)
    return snapshot, [event for raw in raws for event in snapshot.add(event_of(copy.deepcopy(raw)))]


# --- any stream ---

PIECES = st.text(st.characters(codec="utf-8"), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False) | PIECES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PIECES, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def cut(draw, whole):
    """Text in pieces."""
    places = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    return [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]


@st.composite
def block(draw, index):
    kind = draw(st.sampled_from(["text", "thinking", "tool_use", "server_tool_use", "redacted_thinking"]))
    if kind == "text":
        start = begin(index, type="text", text=draw(st.sampled_from(["", "x"])))
        parts = [text(index, part) for part in draw(st.lists(PIECES, max_size=4))]
        parts += [delta(index, "citations_delta", citation=place(n)) for n in range(draw(st.integers(0, 2)))]
        parts = draw(st.permutations(parts))
    elif kind == "thinking":
        start = begin(index, type="thinking", thinking="", signature="")
        parts = [delta(index, "thinking_delta", thinking=part) for part in draw(st.lists(PIECES, max_size=3))]
        parts.append(delta(index, "signature_delta", signature=draw(PIECES)))
    elif kind == "redacted_thinking":
        start, parts = begin(index, type=kind, data=draw(PIECES)), []
    else:
        start = begin(index, type=kind, id="t", name="web_search", input={})
        whole = json.dumps(
            draw(st.dictionaries(PIECES, JSON, max_size=3)),
            ensure_ascii=draw(st.booleans()),
            indent=draw(st.sampled_from([None, 1])),
        )
        parts = [piece(index, part) for part in draw(cut(whole))]
    parts.insert(draw(st.integers(0, len(parts))), delta(index, "hum_delta", tune=draw(JSON)))
    return [start, *parts, close(index)]


@st.composite
def stream(draw):
    blocks = [draw(block(index)) for index in range(draw(st.integers(0, 3)))]
    events = [event for one in blocks for event in one]
    events.insert(draw(st.integers(0, len(events))), {"type": "hum", "tune": draw(JSON)})
    usage = draw(
        st.dictionaries(
            st.sampled_from(["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]),
            st.none() | st.integers(0, 9),
        )
    )
    return [START, *events, end(draw(st.sampled_from(["end_turn", "tool_use", None])), **usage), STOP]


@settings(max_examples=120, deadline=None)
@given(stream(), st.booleans())
def test_any_stream_gives_anthropics_events_and_message(raws, late):
    told, message = of_ours(raws, late=late)
    their_told, their_message = of_theirs(raws)
    assert repr(told) == repr(their_told) or told == their_told
    assert message.to_dict() == their_message.to_dict(warnings=False)


@settings(max_examples=200, deadline=None)
@given(JSON, st.sampled_from([None, 2]), st.booleans(), st.booleans())
def test_every_beginning_of_a_tools_json_reads_as_jiter_reads_it(value, indent, ascii_only, cut_strings):
    whole = json.dumps({"it": value}, indent=indent, ensure_ascii=ascii_only)
    raws = [START, begin_tool(0), *(piece(0, letter) for letter in whole)]
    _, told = feed(*raws, cut_strings=cut_strings)
    events = [event for event in told if type(event) is InputJsonEvent]
    mode = "trailing-strings" if cut_strings else True
    expected = [from_json(whole[: end + 1].encode(), partial_mode=mode) for end in range(len(whole))]
    assert [event.snapshot for event in events] == expected
    _, told = feed(*raws, cut_strings=cut_strings)
    events = [event for event in told if type(event) is InputJsonEvent]
    random.Random(1).shuffle(shuffled := list(zip(events, expected, strict=True)))
    assert all(event.snapshot == value for event, value in shuffled)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["type", "index", "delta", "content_block", "message", "usage"]), JSON
        )
    )
)
def test_nonsense_is_handed_out_or_refused_but_breaks_nothing(raws):
    kinds = [raw["type"] for raw in (*STREAMS["tools"], *STREAMS["citations"])]
    snapshot = Snapshot()
    snapshot.add(event_of(copy.deepcopy(START)))
    for number, raw in enumerate(raws):
        with suppress(StreamCorruptedError):
            assert snapshot.add(event_of({**raw, "type": kinds[number % len(kinds)]}))
    assert snapshot.message().id == "msg_01"


# --- what anthropic does not do ---


def test_a_message_can_be_had_at_any_time_and_is_the_same_until_more_comes():
    snapshot, _ = feed(START, begin(0, type="text", text=""), text(0, "Hel"))
    early = snapshot.message()
    assert snapshot.message() is early
    snapshot.add(event_of(text(0, "lo")))
    assert early.content[0].text == "Hel"
    assert snapshot.message().content[0].text == "Hello"
    assert type(snapshot.message().content) is Items
    assert snapshot.message().stop_reason is None


def test_a_complete_block_is_made_once():
    snapshot, told = feed(START, begin(0, type="text", text=""), text(0, "Hello"), close(0))
    stopped = told[-1]
    assert type(stopped) is ContentBlockStopEvent
    assert snapshot.message().content[0] is stopped.content_block
    snapshot.add(event_of(end()))
    assert snapshot.message().content[0] is stopped.content_block


def test_there_is_no_message_before_the_first_event():
    snapshot = Snapshot()
    assert not snapshot.started
    with pytest.raises(RuntimeError, match=r"Nothing of the message has come.*closed or failed") as caught:
        snapshot.message()
    assert not isinstance(caught.value, StreamCorruptedError)
    snapshot.add(event_of(copy.deepcopy(START)))
    assert snapshot.started


class Known:
    request_id = "req-1"

    def cost(self, usage):
        return usage.output_tokens


def test_every_message_has_what_the_client_knows():
    snapshot, told = feed(START, end(), STOP, about=Known())
    assert snapshot.message().cost == 42
    assert type(told[-1]) is MessageStopEvent
    assert told[-1].message is snapshot.message()
    assert told[-1].message._request_id == "req-1"


def test_bedrocks_own_counts_stay_on_the_last_event():
    _, told = feed(START, {**STOP, "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}})
    assert told[-1]["amazon-bedrock-invocationMetrics"] == {"inputTokenCount": 3}


def test_totals_of_kinds_nobody_has_heard_of_are_kept_too():
    snapshot, _ = feed(START, {**end(), "usage": {"shiny_tokens": 3}, "delta": {"shiny": True}})
    assert snapshot.message().usage.shiny_tokens == 3
    assert snapshot.message().usage.output_tokens == 1
    assert snapshot.message().shiny is True


@pytest.mark.parametrize(
    ("raws", "what"),
    [
        ([text(0, "x")], "content_block_delta for a block that has not begun, index 0"),
        ([begin(0, type="text", text=""), text(1, "x")], "index 1"),
        ([begin(0, type="text", text=""), text(-1, "x")], "index -1"),
        ([begin(0, type="text", text=""), delta([], "text_delta", text="x")], r"index \[\]"),
        ([close(0)], "content_block_stop for a block that has not begun, index 0"),
        ([begin(0, type="text", text=""), begin(0, type="text", text="")], "begins at index 0"),
        ([begin(None, type="text", text="")], "begins at index None"),
        ([begin(0, type="text", text=""), delta(0, "text_delta")], "text_delta without text in 'text'"),
        ([begin_tool(0), piece(0, 5)], "input_json_delta without text in 'partial_json'"),
    ],
)
def test_a_stream_that_can_not_be_is_refused(raws, what):
    with pytest.raises(StreamCorruptedError, match=what) as caught:
        feed(START, *raws)
    assert "Send the request again" in caught.value.fix


@pytest.mark.parametrize(
    "broken",
    [
        '{"a": 1} x',
        '{"a" 1}',
        '{"a": 01}',
        '{"a": "\\x"}',
        '{"a": "\n"}',
        "[1,]",
        '{"a": 1]',
        "{x}",
        '{"a": tru}',
        "}",
        '{"a":"\\ud83d"}',
    ],
)
def test_a_tools_input_that_is_not_json_is_refused_when_the_block_ends(broken):
    _, told = feed(START, begin_tool(0), piece(0, broken))
    if "ud83d" not in broken:  # what was good of it can be looked at, and printed
        assert told[-1].snapshot in ({}, {"a": 1}, [1], {"a": "x"})
        assert repr(told[-1])
    with pytest.raises(StreamCorruptedError, match=r"input for .*tool.* is not JSON"):
        feed(START, begin_tool(0), piece(0, broken), close(0))


def test_numbers_that_only_models_write_are_read_as_jiter_reads_them():
    written = '{"a": NaN, "b": -Infinity, "c": 1e400, "d": [Infin'
    snapshot, told = feed(START, begin_tool(0), piece(0, written))
    assert repr(told[-1].snapshot) == repr(from_json(written.encode(), partial_mode=True))
    snapshot.add(event_of(piece(0, "ity]}")))
    [stopped] = snapshot.add(event_of(close(0)))
    assert math.isnan(stopped.content_block.input["a"])
    assert stopped.content_block.input["d"] == [math.inf]


def test_an_event_is_copied_pickled_and_compared_with_its_snapshot():
    _, told = feed(START, begin(0, type="text", text=""), text(0, "a"), text(0, "b"))
    event = told[-1]
    assert type(event) is TextEvent
    assert event == pickle.loads(pickle.dumps(event)) == copy.deepcopy(event)
    assert event["snapshot"] == event.get("snapshot") == "ab"
    assert "snapshot" in event
    assert repr(event) == "TextEvent(type='text', text='b', snapshot='ab')"
    assert event.replace(text="c").snapshot == "ab"
    assert msgspec.json.decode(event.to_json())["snapshot"] == "ab"
    with pytest.raises(AttributeError, match="can't be set"):
        event.snapshot = "x"


def test_unknown_events_go_through_as_they_are():
    snapshot, _ = feed(START)
    event = event_of({"type": "hum"})
    assert snapshot.add(event) == (event,)
    assert type(event) is UnknownEvent


def seconds(count):
    """The least time for a stream of so many text and JSON events, and its message."""
    raws = [START, begin(0, type="text", text=""), begin_tool(1)]
    raws += [
        event
        for n in range(count)
        for event in (text(0, "word " * 5), piece(1, '["a"' if n == 0 else ',"b"'))
    ]
    best = math.inf
    for _ in range(3):
        events = [event_of(copy.deepcopy(raw)) for raw in raws]
        snapshot = Snapshot()
        began = time.perf_counter()
        for event in events:
            snapshot.add(event)
        assert len(snapshot.message().content[1].input) == count
        best = min(best, time.perf_counter() - began)
    return best


def test_a_long_stream_costs_its_length_and_not_its_square():
    # 8 times the events: 8 times the time, give or take the machine's other work; squared it would be 64
    assert seconds(8000) < 30 * seconds(1000)
