"""Converse requests become Messages requests, Messages replies Converse replies; what is wrong is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser

from outcrop import errors
from outcrop.catalog import Model
from outcrop.wire import converse_shapes
from outcrop.wire.converse import ConverseRequest, from_message, read_count_input, to_messages
from wire.converse_refusals import (
    CACHE_POINT,
    FEATURES,
    MAX_OUTPUT_TOKENS,
    REFUSALS,
    TOOLS,
    Refusal,
    asking,
    assistant,
    document,
    image,
    text,
    tool,
    tool_result,
    tool_use,
    user,
)


def model(features: frozenset[str] = FEATURES, name: str = "claude-sonnet-4-5-20250929") -> Model:
    return Model(f"anthropic.{name}-v1:0", name, "Anthropic", name, 200_000, MAX_OUTPUT_TOKENS, features)


def translated(request: dict[str, Any]) -> ConverseRequest:
    return to_messages(json.dumps(request).encode(), model())


def first_content(request: dict[str, Any]) -> list[dict[str, Any]]:
    return list(translated(request).body["messages"][0]["content"])


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", REFUSALS, ids=[row.title for row in REFUSALS])
def test_a_bad_request_is_refused_in_the_services_words(row: Refusal) -> None:
    body = row.body if isinstance(row.body, bytes) else json.dumps(row.body).encode()
    with pytest.raises(errors.Fault) as caught:
        to_messages(body, model(row.features))
    assert (caught.value.name, caught.value.text) == (row.name, row.text)


def test_the_table_of_refusals_has_no_title_twice() -> None:
    assert len({row.title for row in REFUSALS}) == len(REFUSALS) >= 60


def test_a_secret_value_is_not_repeated_in_its_refusal() -> None:
    with pytest.raises(errors.ValidationException) as caught:
        translated(asking(requestMetadata={"team": "päss"}))
    assert "päss" not in caught.value.text
    assert "Map value must satisfy constraint" in caught.value.text


@pytest.mark.parametrize("value", [True, 1.5, "5", [5], {"a": 5}])
def test_a_whole_number_is_nothing_else(value: Any) -> None:
    with pytest.raises(errors.SerializationException):
        translated(asking(inferenceConfig={"maxTokens": value}))


JUNK = [None, 0, -1, 1.5, True, "", "x", [], {}, [None], [[]], {"text": None}, 10**18]
EVERYTHING = asking(
    user(
        text(),
        image(),
        document(),
        document("b", b"%PDF-1.7", "pdf", citations={"enabled": True}),
        CACHE_POINT,
    ),
    assistant(
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "YWJj"}},
        {
            "citationsContent": {
                "content": [text()],
                "citations": [{"title": "t", "location": {"web": {"url": "https://a.example"}}}],
            }
        },
        tool_use(),
    ),
    user(tool_result("tooluse_1", text(), {"json": {"a": 1}}), {"guardContent": {"text": {"text": "x"}}}),
    system=[text(), CACHE_POINT],
    inferenceConfig={"maxTokens": 5, "temperature": 0.5, "topP": 0.5, "stopSequences": ["a"]},
    toolConfig=TOOLS | {"toolChoice": {"tool": {"name": "look_up"}}},
    outputConfig={
        "effort": "low",
        "textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{}"}}},
    },
    additionalModelRequestFields={"anthropic_beta": ["b"], "top_k": 1, "tool_choice": {"x": 1}},
    additionalModelResponseFieldPaths=["/a"],
    requestMetadata={"a": "b"},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def test_whatever_stands_in_any_place_only_faults_come_out() -> None:
    to_messages(EVERYTHING, model())
    for *path, last in places(EVERYTHING):
        for junk in JUNK:
            spoilt = json.loads(json.dumps(EVERYTHING))
            place = spoilt
            for key in path:
                place = place[key]
            place[last] = junk
            with suppress(errors.Fault):
                to_messages(spoilt, model())


# --- the table of shapes against the real one ---------------------------------------------------------------


@cache
def service_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))


TYPES = {
    converse_shapes.Structure: ("structure",),
    converse_shapes.Union: ("structure",),
    converse_shapes.Sequence: ("list",),
    converse_shapes.Texts: ("map",),
    converse_shapes.Text: ("string",),
    converse_shapes.Number: ("integer", "float"),
    converse_shapes.Flag: ("boolean",),
    converse_shapes.Blob: ("blob",),
    converse_shapes.Document: ("structure",),
}


def limits_of(real: Any) -> tuple[Any, ...]:
    told = real.metadata
    return told.get("min") or 0, told.get("max"), told.get("pattern", ""), tuple(told.get("enum", ()))


def differences(ours: Any, real: Any, path: str) -> list[str]:
    """Where a shape of our table differs from botocore's."""
    if real.type_name not in TYPES[type(ours)]:
        return [f"{path}: {real.type_name}"]
    found: list[str] = []
    if isinstance(ours, converse_shapes.Structure | converse_shapes.Union):
        required = set(real.required_members) - {"modelId"}
        if set(getattr(ours, "required", ())) != required:
            found.append(f"{path}: required {required}")
        for name, member in real.members.items():
            known = ours.members.get(name)
            found += (
                [f"{path}.{name}: missing"] if known is None else differences(known, member, f"{path}.{name}")
            )
    elif not isinstance(ours, converse_shapes.Document | converse_shapes.Flag):
        mine = [getattr(ours, name, default) for name, default in LIMITS]
        found += [] if (mine[0] or 0, *mine[1:]) == limits_of(real) else [f"{path}: {limits_of(real)}"]
    if isinstance(ours, converse_shapes.Sequence):
        found += differences(ours.member, real.member, f"{path}[]")
    if isinstance(ours, converse_shapes.Texts):
        found += differences(ours.key, real.key, f"{path}{{}}") + differences(
            ours.member, real.value, f"{path}{{}}"
        )
    return found


LIMITS = (("least", 0), ("most", None), ("pattern", ""), ("enum", ()))


def test_the_table_of_shapes_is_botocores() -> None:
    real = service_model().shape_for("ConverseRequest")
    found = set(differences(converse_shapes.REQUEST, real, ""))
    assert found == KNOWN_DIFFERENCES


# on purpose: the path's label; a member that only replies have; an enum whose value in replies is another
KNOWN_DIFFERENCES = {
    ".modelId: missing",
    ".messages[].content[].image.error: missing",
    ".messages[].content[].audio.error: missing",
    ".messages[].content[].toolResult.content[].image.error: missing",
    ".messages[].content[].toolUse.type: (0, None, '', ('server_tool_use',))",
    ".promptVariables: map",
}


# --- requests -----------------------------------------------------------------------------------------------


def test_the_least_request_gets_the_models_maximum_of_tokens() -> None:
    request = translated(asking())
    assert request.body == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "max_tokens": MAX_OUTPUT_TOKENS,
    }
    assert request.betas == ()


def test_empty_fields_that_clients_send_are_as_good_as_none() -> None:
    empty = asking(system=[], inferenceConfig={}, additionalModelRequestFields={}, outputConfig={})
    assert translated(empty) == translated(asking())


def test_null_members_and_members_nobody_knows_are_ignored() -> None:
    odd = asking(user(text() | {"image": None, "aura": 1}), toolConfig=None, favouriteColour="blue")
    assert translated(odd) == translated(asking())


def test_a_request_may_come_decoded() -> None:
    assert to_messages(asking(), model()) == translated(asking())


def test_inference_parameters_get_their_names_in_messages() -> None:
    config = {"maxTokens": 5, "temperature": 0.5, "topP": 1, "stopSequences": ["END"]}
    body = translated(asking(inferenceConfig=config)).body
    assert {name: body[name] for name in body if name != "messages"} == {
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 1,
        "stop_sequences": ["END"],
    }


def test_a_cache_point_marks_the_block_before_it() -> None:
    request = asking(
        user(text("long"), {"cachePoint": {"type": "default", "ttl": "1h"}}, text("short")),
        system=[text("rules"), CACHE_POINT],
        toolConfig={"tools": [tool("a"), tool("b"), CACHE_POINT]},
    )
    body = translated(request).body
    assert [block.get("cache_control") for block in body["messages"][0]["content"]] == [
        {"type": "ephemeral", "ttl": "1h"},
        None,
    ]
    assert body["system"] == [{"type": "text", "text": "rules", "cache_control": {"type": "ephemeral"}}]
    assert [one.get("cache_control") for one in body["tools"]] == [None, {"type": "ephemeral"}]


def test_a_whole_number_with_a_fraction_of_nothing_is_whole() -> None:
    assert isinstance(translated(asking(inferenceConfig={"maxTokens": 5.0})).body["max_tokens"], int)


def test_additional_fields_stand_at_the_top_and_beta_flags_apart() -> None:
    fields = {
        "top_k": 5,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "anthropic_beta": ["a", "b"],
    }
    request = translated(asking(additionalModelRequestFields=fields))
    assert request.body["top_k"] == 5
    assert request.body["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    assert "anthropic_beta" not in request.body
    assert request.betas == ("a", "b")


def test_additional_max_tokens_stand_where_the_request_names_none() -> None:
    assert translated(asking(additionalModelRequestFields={"max_tokens": 7})).body["max_tokens"] == 7


def test_additional_fields_meet_mapped_ones_leaf_by_leaf() -> None:
    computer = {"type": "computer_20250124", "name": "computer"}
    request = asking(
        toolConfig=TOOLS | {"toolChoice": {"auto": {}}},
        outputConfig={"effort": "low"},
        additionalModelRequestFields={
            "tools": [computer],
            "tool_choice": {"disable_parallel_tool_use": True},
            "output_config": {"task_budget": 5},
        },
    )
    body = translated(request).body
    assert [one["name"] for one in body["tools"]] == ["look_up", "computer"]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert body["output_config"] == {"effort": "low", "task_budget": 5}


def test_what_the_caller_gave_is_not_changed_by_the_merge() -> None:
    request = asking(
        toolConfig=TOOLS, additionalModelRequestFields={"anthropic_beta": ["a"], "tools": [{"x": 1}]}
    )
    before = json.dumps(request)
    to_messages(request, model())
    assert json.dumps(request) == before


def test_an_image_is_base64_of_its_media_type() -> None:
    assert first_content(asking(user(image(b"\xff\xd8\xff", "jpeg")))) == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}}
    ]


def test_a_pdf_stays_bytes_and_keeps_title_context_and_citations() -> None:
    given = document("Plan B", b"%PDF-1.7", "pdf", context="internal", citations={"enabled": True})
    assert first_content(asking(user(given, text())))[0] == {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjc="},
        "title": "Plan B",
        "context": "internal",
        "citations": {"enabled": True},
    }


def test_a_pdf_is_known_by_its_first_bytes() -> None:
    block = first_content(asking(user(document(data=b"%PDF-1.7", form="txt"), text())))[0]
    assert block["source"]["media_type"] == "application/pdf"


@pytest.mark.parametrize("form", ["txt", "md", "csv", "html"])
def test_a_text_document_becomes_text(form: str) -> None:
    block = first_content(asking(user(document(data="Grüße".encode(), form=form), text())))[0]
    assert block["source"] == {"type": "text", "media_type": "text/plain", "data": "Grüße"}


def test_a_cited_document_may_be_text_or_pieces_of_text() -> None:
    cited = {"citations": {"enabled": True}}
    whole = {"document": {"name": "a", "source": {"text": "words"}, **cited}}
    pieces = {"document": {"name": "b", "source": {"content": [text("one"), text("two")]}, **cited}}
    blocks = first_content(asking(user(whole, pieces, text())))
    assert blocks[0]["source"] == {"type": "text", "media_type": "text/plain", "data": "words"}
    assert blocks[1]["source"]["content"] == [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two"},
    ]


def test_a_tools_turn_reaches_the_model() -> None:
    result = tool_result("t", text("ok"), {"json": {"rain": True}}, image(), status="error")
    request = asking(user(text()), assistant(tool_use("t", {"city": "Bern"})), user(result), toolConfig=TOOLS)
    body = translated(request).body
    assert body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "t", "name": "look_up", "input": {"city": "Bern"}}
    ]
    block = body["messages"][2]["content"][0]
    assert (block["type"], block["tool_use_id"], block["is_error"]) == ("tool_result", "t", True)
    assert block["content"][:2] == [{"type": "text", "text": "ok"}, {"type": "text", "text": '{"rain":true}'}]
    assert block["content"][2]["type"] == "image"


def test_a_call_sent_back_with_its_type_is_an_ordinary_call() -> None:
    call = {"toolUse": tool_use("t")["toolUse"] | {"type": "tool_use"}}
    request = asking(user(text()), assistant(call), user(tool_result("t")), toolConfig=TOOLS)
    assert translated(request).body["messages"][1]["content"][0]["type"] == "tool_use"


def test_tools_and_the_choice_among_them() -> None:
    spec = {
        "toolSpec": {
            "name": "a",
            "description": "Does a.",
            "inputSchema": {"json": {"type": "object"}},
            "strict": True,
        }
    }
    body = translated(asking(toolConfig={"tools": [spec], "toolChoice": {"tool": {"name": "a"}}})).body
    assert body["tools"] == [
        {"name": "a", "description": "Does a.", "input_schema": {"type": "object"}, "strict": True}
    ]
    assert body["tool_choice"] == {"type": "tool", "name": "a"}


def test_reasoning_comes_back_as_it_was_given() -> None:
    hidden = base64.b64encode(b"ZW5jcnlwdGVk").decode()
    request = asking(
        user(text()),
        assistant(
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": hidden}},
            text("Yes."),
        ),
        user(text("Why?")),
    )
    assert translated(request).body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"},
        {"type": "text", "text": "Yes."},
    ]


def test_search_results_and_guarded_text_are_content_too() -> None:
    found = {
        "source": "https://a.example",
        "title": "A",
        "content": [text("fact")],
        "citations": {"enabled": True},
    }
    guarded = {"guardContent": {"text": {"text": "query", "qualifiers": ["query"]}}}
    assert first_content(asking(user({"searchResult": found}, guarded))) == [
        {
            "type": "search_result",
            "source": "https://a.example",
            "title": "A",
            "content": [{"type": "text", "text": "fact"}],
            "citations": {"enabled": True},
        },
        {"type": "text", "text": "query"},
    ]


def test_an_output_schema_is_read_out_of_its_string() -> None:
    structure = {"jsonSchema": {"schema": '{"type":"object"}', "name": "n"}}
    body = translated(
        asking(outputConfig={"textFormat": {"type": "json_schema", "structure": structure}})
    ).body
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": {"type": "object"}}}


def test_what_the_reply_and_the_service_need_is_kept() -> None:
    request = translated(
        asking(
            requestMetadata={"team": "red"},
            performanceConfig={"latency": "standard"},
            serviceTier={"type": "flex"},
            guardrailConfig={"guardrailIdentifier": "abc", "guardrailVersion": "1"},
            additionalModelResponseFieldPaths=["/a~1b/0"],
        )
    )
    assert request.request_metadata == {"team": "red"}
    assert request.performance == {"latency": "standard"}
    assert request.service_tier == {"type": "flex"}
    assert request.guardrail == {"guardrailIdentifier": "abc", "guardrailVersion": "1"}
    assert request.response_paths == (("a/b", "0"),)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"input": {"converse": asking()}}, ("converse", asking())),
        ({"input": {"invokeModel": {"body": base64.b64encode(b"{}").decode()}}}, ("invokeModel", b"{}")),
    ],
)
def test_a_count_is_of_a_converse_request_or_of_an_invoke_body(body: Any, expected: tuple[str, Any]) -> None:
    assert read_count_input(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    ("body", "text_of_refusal"),
    [
        (
            {},
            "1 validation error detected: Value null at 'input' failed to satisfy constraint: "
            "Member must not be null",
        ),
        (
            {"input": {}},
            "CountTokensInput object at input must set one of the following keys: invokeModel, converse.",
        ),
    ],
)
def test_a_count_of_nothing_is_refused(body: Any, text_of_refusal: str) -> None:
    with pytest.raises(errors.ValidationException) as caught:
        read_count_input(json.dumps(body).encode())
    assert caught.value.text == text_of_refusal


# --- replies ------------------------------------------------------------------------------------------------

USAGE = {"input_tokens": 11, "output_tokens": 5}


def message(*content: dict[str, Any], usage: dict[str, Any] = USAGE, **more: Any) -> dict[str, Any]:
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": list(content)}
    return told | {"stop_reason": "end_turn", "stop_sequence": None, "usage": usage} | more


def replied(told: dict[str, Any], request: ConverseRequest | None = None) -> dict[str, Any]:
    raw = from_message(json.dumps(told).encode(), request or ConverseRequest({}), 321)
    parsed = create_parser("rest-json").parse(
        {"status_code": 200, "headers": {}, "body": raw}, service_model().shape_for("ConverseResponse")
    )
    assert parsed["metrics"] == {"latencyMs": 321}
    reply = json.loads(raw)
    assert list(reply) == sorted(reply)
    assert isinstance(reply, dict)
    return reply


def content_of(reply: dict[str, Any]) -> list[dict[str, Any]]:
    return list(reply["output"]["message"]["content"])


def test_a_plain_reply() -> None:
    assert replied(message({"type": "text", "text": "Hi."})) == {
        "metrics": {"latencyMs": 321},
        "output": {"message": {"content": [{"text": "Hi."}], "role": "assistant"}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 11, "outputTokens": 5, "serverToolUsage": {}, "totalTokens": 16},
    }


def test_replies_of_older_models_lack_the_newer_members() -> None:
    old = to_messages(asking(), model(name="claude-3-7-sonnet-20250219"))
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {}}
    reply = replied(message(call), old)
    assert content_of(reply) == [{"toolUse": {"input": {}, "name": "n", "toolUseId": "t"}}]
    assert "serverToolUsage" not in reply["usage"]
    assert content_of(replied(message(call)))[0]["toolUse"]["type"] == "tool_use"


def test_a_tools_input_is_passed_on_to_the_last_digit() -> None:
    raw = json.dumps(message({"type": "tool_use", "id": "t", "name": "n", "input": "HERE"}))
    number = b'{"big":123456789012345678901234567890,"exact":1.10}'
    reply = from_message(raw.encode().replace(b'"HERE"', number), ConverseRequest({}), 1)
    assert number in reply


def test_the_cache_shows_under_both_names_and_counts_in_the_total() -> None:
    usage = USAGE | {
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    assert replied(message(usage=usage))["usage"] == {
        "cacheDetails": [{"inputTokens": 20, "ttl": "1h"}, {"inputTokens": 10, "ttl": "5m"}],
        "cacheReadInputTokenCount": 100,
        "cacheReadInputTokens": 100,
        "cacheWriteInputTokenCount": 30,
        "cacheWriteInputTokens": 30,
        "inputTokens": 11,
        "outputTokens": 5,
        "serverToolUsage": {},
        "totalTokens": 146,
    }


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "end_turn"),
        ("tool_use", "tool_use"),
        ("max_tokens", "max_tokens"),
        ("stop_sequence", "stop_sequence"),
        ("refusal", "content_filtered"),
        ("pause_turn", "end_turn"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
        ("something_new", "something_new"),
        (None, "end_turn"),
    ],
)
def test_stop_reasons(reason: str | None, expected: str) -> None:
    assert replied(message(stop_reason=reason))["stopReason"] == expected


def test_thinking_and_redacted_thinking() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    hidden = {"type": "redacted_thinking", "data": "RW5j"}
    assert content_of(replied(message(thought, hidden))) == [
        {"reasoningContent": {"reasoningText": {"signature": "c2ln", "text": "Hm."}}},
        {"reasoningContent": {"redactedContent": "Ulc1ag=="}},
    ]


CITED = {
    "type": "char_location",
    "cited_text": "The sky is blue.",
    "document_index": 0,
    "document_title": "sky",
}
LOCATIONS = [
    (
        CITED | {"start_char_index": 3, "end_char_index": 9},
        {"documentChar": {"documentIndex": 0, "end": 9, "start": 3}},
    ),
    (
        CITED | {"type": "page_location", "start_page_number": 1, "end_page_number": 2},
        {"documentPage": {"documentIndex": 0, "end": 2, "start": 1}},
    ),
    (
        CITED | {"type": "content_block_location", "start_block_index": 0, "end_block_index": 1},
        {"documentChunk": {"documentIndex": 0, "end": 1, "start": 0}},
    ),
]


@pytest.mark.parametrize(("citation", "location"), LOCATIONS)
def test_a_cited_span_is_grouped_with_its_citations(
    citation: dict[str, Any], location: dict[str, Any]
) -> None:
    plain = {"type": "text", "text": "So: "}
    span = {"type": "text", "text": "it is blue", "citations": [citation]}
    assert content_of(replied(message(plain, span))) == [
        {"text": "So: "},
        {
            "citationsContent": {
                "citations": [
                    {"location": location, "sourceContent": [{"text": "The sky is blue."}], "title": "sky"}
                ],
                "content": [{"text": "it is blue"}],
            }
        },
    ]


def test_search_results_and_the_web_are_cited_too() -> None:
    search = {
        "type": "search_result_location",
        "cited_text": "fact",
        "source": "https://a.example",
        "title": "A",
        "search_result_index": 2,
        "start_block_index": 0,
        "end_block_index": 1,
    }
    web = {
        "type": "web_search_result_location",
        "cited_text": "w",
        "url": "https://b.example/c",
        "title": "B",
    }
    span = {"type": "text", "text": "x", "citations": [search, web]}
    assert content_of(replied(message(span)))[0]["citationsContent"]["citations"] == [
        {
            "location": {"searchResultLocation": {"end": 1, "searchResultIndex": 2, "start": 0}},
            "source": "https://a.example",
            "sourceContent": [{"text": "fact"}],
            "title": "A",
        },
        {
            "location": {"web": {"domain": "b.example", "url": "https://b.example/c"}},
            "sourceContent": [{"text": "w"}],
            "title": "B",
        },
    ]


def test_a_server_tool_survives_the_way_out_and_back() -> None:
    call = {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "q"}}
    found = {"type": "web_search_result", "url": "https://a.example", "title": "A", "encrypted_content": "e"}
    result = {"type": "web_search_tool_result", "tool_use_id": "srv", "content": [found]}
    failed = {"type": "web_search_tool_result_error", "error_code": "too_many_requests"}
    failure = {"type": "web_search_tool_result", "tool_use_id": "srv", "content": failed}
    turn = message(call, result, failure, {"type": "text", "text": "Done."})
    unions = content_of(replied(turn))
    assert unions[0]["toolUse"]["type"] == "server_tool_use"
    assert unions[2]["toolResult"]["status"] == "error"
    back = translated(asking(user(text()), assistant(*unions), user(text()), toolConfig=TOOLS))
    assert back.body["messages"][1]["content"] == turn["content"]


def test_a_block_that_converse_has_no_member_for_is_not_lost() -> None:
    parsed_by_clients = content_of(replied(message({"type": "container_upload", "file_id": "f"})))
    assert parsed_by_clients == [{"containerUpload": {"file_id": "f"}}]


def test_fields_of_the_models_reply_are_picked_by_pointers() -> None:
    pointers = [
        "/stop_sequence",
        "/usage/output_tokens",
        "/content/0/type",
        "/nothing",
        "/content",
        "/content/0",
    ]
    request = translated(asking(additionalModelResponseFieldPaths=pointers))
    told = message({"type": "text", "text": "x"}, stop_reason="stop_sequence", stop_sequence="END")
    assert replied(told, request)["additionalModelResponseFields"] == {
        "stop_sequence": "END",
        "usage": {"output_tokens": 5},
        "content": [{"type": "text", "text": "x"}],
    }
    nowhere = translated(asking(additionalModelResponseFieldPaths=["/delta/stop_sequence"]))
    assert "additionalModelResponseFields" not in replied(told, nowhere)


def test_performance_and_tier_are_echoed_where_they_were_asked_for() -> None:
    request = translated(asking(performanceConfig={"latency": "optimized"}, serviceTier={"type": "priority"}))
    reply = replied(message(), request)
    assert reply["performanceConfig"] == {"latency": "optimized"}
    assert reply["serviceTier"] == {"type": "priority"}
