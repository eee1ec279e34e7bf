"""Requests as real clients send them pass untouched; what Bedrock refuses is refused in its words."""

import base64
import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.refusals import (
    FABLE_5_1,
    HELLO,
    OPUS_4,
    OPUS_4_8,
    REFUSALS,
    SONNET_3_7,
    SONNET_4_5,
    SONNET_4_6,
    WEATHER,
    Refusal,
    call,
    hello,
    image,
    marked,
    result,
    said,
    shown,
)

from outcrop import errors
from outcrop.catalog import Catalog, Model
from outcrop.wire.messages import InvokeRequest, check_meaning, check_schema, decode, parse_request

CATALOG = Catalog.load()


def model(base: str = SONNET_4_5) -> Model:
    found = CATALOG.model(base)
    assert found is not None, base
    return found


def parse(body: dict[str, Any], base: str = SONNET_4_5) -> InvokeRequest:
    return parse_request(json.dumps(body).encode(), model(base))


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.title)
def test_what_bedrock_refuses_is_refused_in_its_words(row: Refusal) -> None:
    body = row.body if isinstance(row.body, bytes) else json.dumps(row.body).encode()
    with pytest.raises(getattr(errors, row.fault)) as caught:
        parse_request(body, model(row.model))
    assert caught.value.text == row.text


def test_the_table_of_refusals_is_long_and_its_titles_are_unique() -> None:
    titles = [row.title for row in REFUSALS]
    assert len(titles) >= 50
    assert len(titles) == len(set(titles))


# --- what passes --------------------------------------------------------------------------------------------

PDF = base64.b64encode(b"%PDF-1.7\n%%EOF").decode()

GOOD: dict[str, tuple[dict[str, Any], str]] = {
    "the guide's hello": (HELLO, SONNET_4_5),
    "what the Anthropic SDK sends": (
        hello(anthropic_version="2026-10-21", anthropic_beta=["interleaved-thinking-2025-05-14"]),
        SONNET_4_5,
    ),
    "empty lists, as frameworks send them": (hello(system=[], tools=[], stop_sequences=[]), SONNET_4_5),
    "an empty system text": (hello(system=""), SONNET_4_5),
    "sampling": (hello(temperature=1, top_k=0, stop_sequences=["END"]), SONNET_4_5),
    "temperature and top_p for a model that takes both": (hello(temperature=0.2, top_p=0.9), OPUS_4),
    "the most tokens": (hello(max_tokens=64_000), SONNET_4_5),
    "more tokens by flag": (
        hello(max_tokens=128_000, anthropic_beta=["output-128k-2025-02-19"]),
        SONNET_3_7,
    ),
    "the 1M window by flag": (hello(anthropic_beta=["context-1m-2025-08-07"]), SONNET_4_5),
    "the 1M flag where it is idle": (hello(anthropic_beta=["context-1m-2025-08-07"]), SONNET_4_6),
    "two messages of the user in a row": (said(("user", "Hi"), ("user", "there")), SONNET_4_5),
    "an empty message beside one that speaks": (said(("user", ""), ("user", "Hi")), SONNET_4_5),
    "an empty message behind one that speaks": (said(("user", "Hi"), ("user", "")), SONNET_4_5),
    "a turn to be resumed by a model without prefill": (
        said(
            ("user", "Hi"),
            ("assistant", [{"type": "server_tool_use", "id": "srvtoolu_1", "name": "x", "input": {}}]),
        ),
        SONNET_4_6,
    ),
    "blanks beside something else": (
        said(("user", [image(), {"type": "text", "text": "\n"}, marked("Well?")])),
        SONNET_4_5,
    ),
    "a prefill": (said(("user", "Hi"), ("assistant", "{")), SONNET_4_5),
    "an empty prefill": (said(("user", "Hi"), ("assistant", "")), SONNET_4_5),
    "a system message in the middle": (
        said(("user", "Hi"), ("system", "Be brief."), ("assistant", "Yes?"), ("user", "Go")),
        OPUS_4_8,
    ),
    "a tool loop": (
        said(
            ("user", "Weather?"),
            ("assistant", [{"type": "text", "text": "Let me see."}, call("toolu_1"), call("toolu_2")]),
            ("user", [result("toolu_2"), result("toolu_1", [image()]), {"type": "text", "text": "So?"}]),
            tools=[WEATHER],
            tool_choice={"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True},
        ),
        SONNET_4_5,
    ),
    "results in two messages of one turn": (
        said(
            ("user", "Weather?"),
            ("assistant", [call("toolu_1"), call("toolu_2")]),
            ("user", [result("toolu_1", None)]),
            ("user", [result("toolu_2", [])]),
        ),
        SONNET_4_5,
    ),
    "tools that Bedrock brings": (
        hello(
            anthropic_beta=["computer-use-2025-01-24"],
            tools=[
                {"type": "bash_20250124", "name": "bash"},
                {
                    "type": "computer_20250124",
                    "name": "computer",
                    "display_width_px": 1,
                    "display_height_px": 1,
                },
                {**WEATHER, "type": "custom"},
            ],
        ),
        SONNET_4_5,
    ),
    "thinking": (hello(max_tokens=2048, thinking={"type": "enabled", "budget_tokens": 1024}), SONNET_4_5),
    "interleaved thinking beyond max_tokens": (
        hello(
            max_tokens=2048,
            tools=[WEATHER],
            anthropic_beta=["interleaved-thinking-2025-05-14"],
            thinking={"type": "enabled", "budget_tokens": 8000},
        ),
        SONNET_4_5,
    ),
    "adaptive thinking": (
        hello(thinking={"type": "adaptive", "display": "summarized"}, output_config={"effort": "high"}),
        OPUS_4_8,
    ),
    "always thinking": (hello(tools=[WEATHER], tool_choice={"type": "auto"}), FABLE_5_1),
    "thinking sent back": (
        said(
            ("user", "Hi"),
            (
                "assistant",
                [{"type": "thinking", "thinking": "", "signature": "c2ln"}, {"type": "text", "text": "Hi"}],
            ),
            ("user", "Go on"),
        ),
        SONNET_4_5,
    ),
    "documents": (
        said(
            (
                "user",
                [
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                        "citations": {"enabled": True},
                    },
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
                    {"type": "document", "source": {"type": "content", "content": "x"}, "title": "t"},
                    {"type": "text", "text": "Compare."},
                ],
            )
        ),
        SONNET_4_5,
    ),
    "a cached prompt": (
        said(
            ("user", [marked(ttl="5m"), marked()]),
            system=[marked(ttl="1h")],
            tools=[{**WEATHER, "cache_control": None}],
        ),
        SONNET_4_5,
    ),
    "structured output": (
        hello(output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}}),
        SONNET_4_5,
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_real_clients_send_passes_untouched(name: str) -> None:
    body, base = GOOD[name]
    request = parse(body, base)
    assert request.version == body["anthropic_version"]
    assert request.betas == tuple(body.get("anthropic_beta", ()))
    assert request.body == {
        key: value for key, value in body.items() if key not in ("anthropic_version", "anthropic_beta")
    }


def test_nested_fields_we_have_never_heard_of_survive() -> None:
    strange = {"deep": [{"er": None}], "π": 3.14, "big": 2**62}
    body = said(
        ("user", [{"type": "text", "text": "Hi", "strange": strange}]),
        ("assistant", [{**call("toolu_1"), "strange": strange}]),
        ("user", [{**result("toolu_1"), "strange": strange}]),
        tools=[{**WEATHER, "strange": strange, "input_schema": {"type": "object", "strange": strange}}],
        tool_choice={"type": "auto", "strange": strange},
        thinking={"type": "disabled", "strange": strange},
        metadata={"strange": strange},
        context_management={"strange": strange},
        system=[{"type": "text", "text": "x", "strange": strange}],
    )
    body["messages"][0]["strange"] = strange
    assert parse(body).body == {key: value for key, value in body.items() if key != "anthropic_version"}


def test_a_large_image_is_kept_as_the_very_text_that_was_decoded() -> None:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3_900_000)).decode()
    body = decode(json.dumps(shown(image(data))).encode())
    kept = body["messages"][0]["content"][0]["source"]["data"]
    check_schema(body)
    del body["anthropic_version"]
    check_meaning(body, model())
    assert body["messages"][0]["content"][0]["source"]["data"] is kept


def test_the_last_of_a_key_that_comes_twice_counts() -> None:
    many = b",".join(b'"max_tokens":1' for _ in range(10_000))
    assert decode(b"{" + many + b',"max_tokens":7}') == {"max_tokens": 7}


def test_two_hundred_levels_are_deep_enough() -> None:
    deepest = b'{"a":' * 199 + b"{}" + b"}" * 199
    assert decode(deepest)
    with pytest.raises(errors.ValidationException, match="deeper than 200 levels"):
        decode(b'{"a":' + deepest + b"}")


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert decode(b'{"a":[' + b"[],{}," * 5000 + b"[]]}")


def test_sixty_four_bits_hold_what_they_hold() -> None:
    assert decode(b'{"a":[18446744073709551615,-9223372036854775808,12345678901234567890.5]}')
    assert decode(b'{"a":"9999999999999999999999999"}')
    for number in (b"18446744073709551616", b"-9223372036854775809"):
        with pytest.raises(errors.ValidationException, match="64 bits"):
            decode(b'{"a":' + number + b"}")
        with pytest.raises(errors.ValidationException, match="64 bits"):
            decode(b'{"a":"' + b"x" * 70_000 + b'","b":[' + number + b"]}")


# --- the second stage by itself, as Converse uses it --------------------------------------------------------


def meaning(base: str = SONNET_4_5, **changes: Any) -> str:
    body = hello(**changes)
    body.pop("anthropic_version", None)
    with pytest.raises(errors.ValidationException) as caught:
        check_meaning(body, model(base))
    return caught.value.text


def test_converse_gets_the_second_stages_words_for_what_the_first_would_have_caught() -> None:
    assert meaning(max_tokens=...) == "max_tokens: Field required"
    assert meaning(messages=...) == "messages: Field required"
    assert meaning(max_tokens="9") == "max_tokens: Input should be a valid integer"
    assert meaning(messages=[{"role": "user"}]) == "messages.0.content: Field required"
    assert meaning(messages=[{"content": "x"}]) == "messages.0.role: Field required"
    assert meaning(messages=[7]) == "messages.0: Input should be an object"
    assert meaning(messages={}) == "messages: Input should be a valid array"
    assert meaning(system=7) == "system: Input should be a valid array"
    assert meaning(temperature="hot") == "temperature: Input should be a valid number"
    assert meaning(temperature=True) == "temperature: Input should be a valid number"
    assert meaning(temperature=2) == "temperature: range: 0..1"
    assert meaning(top_k=-1) == "top_k: range: 0..500"
    assert meaning(stop_sequences="x") == "stop_sequences: Input should be a valid array"
    assert meaning(stop_sequences=[7]) == "stop_sequences.0: Input should be a valid string"
    assert meaning(tool_choice="auto") == "tool_choice: Input should be an object"
    assert meaning(tools={}) == "tools: Input should be a valid array"
    assert meaning(guardrails={}) == "guardrails: Extra inputs are not permitted"


def test_of_two_mistakes_the_earlier_field_in_the_apis_order_is_reported() -> None:
    assert meaning(temperature=2, tools=7) == "tools: Input should be a valid array"
    assert meaning(bogus=1, temperature=2) == "temperature: range: 0..1"
    assert meaning(bogus=1, messages=[{"role": "assistant", "content": "x"}]) == (
        "bogus: Extra inputs are not permitted"
    )


def test_the_second_stage_changes_nothing() -> None:
    body = GOOD["a tool loop"][0]
    before = json.dumps(body)
    check_meaning({key: value for key, value in body.items() if key != "anthropic_version"}, model())
    assert json.dumps(body) == before


# --- whatever comes -----------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    return text.split()


KEYS = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "source",
        "data",
        "media_type",
        "tool_use_id",
        "id",
        "name",
        "input",
        "input_schema",
        "cache_control",
        "ttl",
        "budget_tokens",
        "thinking",
        "signature",
        "format",
        "schema",
        "effort",
        "user_id",
    ]
)
WORDS = st.sampled_from(
    [
        "user",
        "assistant",
        "system",
        "text",
        "image",
        "document",
        "thinking",
        "tool_use",
        "tool_result",
        "base64",
        "url",
        "enabled",
        "adaptive",
        "ephemeral",
        "auto",
        "any",
        "tool",
        "none",
        "image/png",
        "json_schema",
        "x",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=15,
)
FIELDS = st.sampled_from(
    [
        "anthropic_version",
        "anthropic_beta",
        "max_tokens",
        "messages",
        "system",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "context_management",
        "metadata",
        "model",
    ]
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": WORDS, "content": st.lists(st.dictionaries(KEYS, JSON, max_size=5), max_size=3)}
    ),
    max_size=4,
)
MODELS = st.sampled_from([SONNET_4_5, SONNET_4_6, OPUS_4_8, FABLE_5_1])


def settle(body: bytes, base: str) -> None:
    with suppress(errors.ValidationException):
        parse_request(body, model(base))


@settings(max_examples=150, deadline=None)
@given(JSON, MODELS)
def test_no_json_whatever_raises_anything_but_a_fault(value: Any, base: str) -> None:
    settle(json.dumps(value).encode(), base)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(FIELDS, JSON, max_size=4), st.none() | MESSAGES, MODELS)
def test_no_request_whatever_raises_anything_but_a_fault(
    changes: dict[str, Any], messages: list[Any] | None, base: str
) -> None:
    body = {**HELLO, **changes}
    if messages is not None:
        body["messages"] = messages
    settle(json.dumps(body).encode(), base)
    body.pop("anthropic_version")
    with suppress(errors.ValidationException):
        check_meaning(body, model(base))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_whatever_raise_anything_but_a_fault(body: bytes) -> None:
    settle(body, SONNET_4_5)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_request_is_refused_or_understood_and_can_be_written_again(data: st.DataObject) -> None:
    body = bytearray(json.dumps(GOOD["a tool loop"][0]).encode())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        request = parse_request(bytes(body), model())
    except errors.ValidationException:
        return
    assert msgspec.json.decode(msgspec.json.encode(request.body)) == request.body
