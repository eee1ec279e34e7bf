"""Messages and Converse the other way: what goes out as Converse comes back as the Messages it was."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.catalog import Model
from outcrop.errors import ValidationException
from outcrop.wire import converse_citations as citations
from outcrop.wire.converse import ConverseRequest, from_message, to_messages
from outcrop.wire.converse_upstream import message_from_converse, to_converse
from wire.converse_refusals import FEATURES
from wire.test_converse_stream import contents, inputs

MODEL = Model(
    "anthropic.claude-sonnet-4-5", "Sonnet", "Anthropic", "claude-sonnet-4-5", 200_000, 64_000, FEATURES
)

words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)
titles = st.text("abcXYZ019-()[]", min_size=1, max_size=12)
blobs = st.binary(min_size=1, max_size=12).map(lambda data: base64.b64encode(data).decode())
marks = st.sampled_from(
    [{}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]
)


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


texts = st.builds(lambda said, mark: text(said) | mark, words, marks)
images = st.builds(
    lambda form, data, mark: {
        "type": "image",
        "source": {"type": "base64", "media_type": f"image/{form}", "data": data},
        **mark,
    },
    st.sampled_from(["png", "jpeg", "gif", "webp"]),
    blobs,
    marks,
)
sources = (
    blobs.map(lambda data: {"type": "base64", "media_type": "application/pdf", "data": data})
    | words.map(lambda said: {"type": "text", "media_type": "text/plain", "data": said})
    | st.lists(words, min_size=1, max_size=3).map(
        lambda said: {"type": "content", "content": [text(one) for one in said]}
    )
)
documents = st.builds(
    lambda title, source, context, mark: {
        "type": "document",
        "title": title,
        "source": source,
        "citations": {"enabled": True},
        **context,
        **mark,
    },
    titles,
    sources,
    st.just({}) | words.map(lambda said: {"context": said}),
    marks,
)
found = st.builds(
    lambda said, mark: {
        "type": "search_result",
        "source": "https://a.example",
        "title": "t",
        "content": [text(said)],
        "citations": {"enabled": True},
        **mark,
    },
    words,
    marks,
)
results = st.builds(
    lambda said, failed: {"type": "tool_result", "tool_use_id": "t", "content": said, **failed},
    st.lists(texts.map(lambda one: text(one["text"])), min_size=1, max_size=2),
    st.sampled_from([{}, {"is_error": True}]),
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A Messages request that Converse can carry whole."""
    question = [
        draw(texts),
        *draw(st.lists(texts | images | found, max_size=3)),
        *draw(st.lists(documents, max_size=1)),
    ]
    said = [
        {"type": "thinking", "thinking": draw(words), "signature": draw(words)},
        {"type": "redacted_thinking", "data": draw(blobs)},
        draw(texts),
    ]
    call = {"type": "tool_use", "id": "t", "name": "look_up", "input": draw(inputs)}
    tool = {
        "name": "look_up",
        "description": draw(words),
        "input_schema": {"type": "object"},
        "strict": draw(st.booleans()),
    }
    body: dict[str, Any] = {
        "max_tokens": draw(st.integers(1, 64_000)),
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": [*said, call]},
            {"role": "user", "content": [draw(results)]},
        ],
        "tools": [tool | draw(marks)],
    }
    optional = {
        "system": st.lists(texts, min_size=1, max_size=2),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(1, 500),
        "stop_sequences": st.lists(words, min_size=1, max_size=2),
        "tool_choice": st.sampled_from(
            [
                {"type": "auto"},
                {"type": "any", "disable_parallel_tool_use": True},
                {"type": "tool", "name": "look_up"},
            ]
        ),
        "thinking": st.just({"type": "enabled", "budget_tokens": 1024}),
        "output_config": st.just(
            {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}
        ),
        "metadata": st.just({"user_id": "u"}),
    }
    return body | {name: draw(values) for name, values in optional.items() if draw(st.booleans())}


@settings(max_examples=60, deadline=None)
@given(requests(), st.lists(st.text(min_size=1, max_size=9), max_size=2))
def test_a_request_comes_back_as_it_went(body: dict[str, Any], betas: list[str]) -> None:
    sent = json.dumps(to_converse(body, betas)).encode()
    back = to_messages(sent, MODEL)
    assert back.body == body
    assert back.betas == tuple(betas)


@settings(max_examples=60, deadline=None)
@given(contents, st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal"]), st.booleans())
def test_a_reply_comes_back_as_it_went(content: list[dict[str, Any]], reason: str, cached: bool) -> None:
    usage: dict[str, Any] = {"input_tokens": 3, "output_tokens": 4}
    if cached:
        usage |= {"cache_read_input_tokens": 5, "cache_creation_input_tokens": 6}
        usage["cache_creation"] = {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 0}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage,
    }
    reply = json.loads(from_message(json.dumps(message).encode(), ConverseRequest({}), 1))
    assert message_from_converse(reply, message_id="msg_1", model="m") == message


def test_the_stop_sequence_is_asked_for_and_comes_back() -> None:
    asked = to_converse(
        {"max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}], "stop_sequences": ["END"]}
    )
    request = to_messages(json.dumps(asked).encode(), MODEL)
    message = {"content": [], "stop_reason": "stop_sequence", "stop_sequence": "END", "usage": {}}
    reply = json.loads(from_message(json.dumps(message).encode(), request, 1))
    assert message_from_converse(reply, message_id="m", model="m")["stop_sequence"] == "END"


def test_plain_strings_are_a_block_of_text() -> None:
    asked = to_converse({"system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]})
    assert asked == {
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
    }


def test_text_that_is_not_cited_travels_as_bytes() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "Grüße"}
    body = {
        "max_tokens": 5,
        "messages": [{"role": "user", "content": [{"type": "document", "source": source}, text("?")]}],
    }
    asked = to_converse(body)
    assert asked["messages"][0]["content"][0]["document"]["source"] == {"bytes": "R3LDvMOfZQ=="}
    back = to_messages(json.dumps(asked).encode(), MODEL)
    assert back.body["messages"][0]["content"][0]["source"] == source


def test_documents_get_names_that_converse_takes() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "x"}
    titles_given = ["a.b  c", "a b c", None, None]
    content = [{"type": "document", "source": source, "title": title} for title in titles_given]
    asked = to_converse({"messages": [{"role": "user", "content": [*content, text("?")]}]})
    names = [union["document"]["name"] for union in asked["messages"][0]["content"][:-1]]
    assert names == ["a b c", "a b c-2", "document", "document-2"]
    to_messages(json.dumps(asked).encode(), MODEL)


def test_built_in_tools_go_with_the_additional_fields() -> None:
    computer = {"type": "computer_20250124", "name": "computer"}
    asked = to_converse({"messages": [{"role": "user", "content": "x"}], "tools": [computer]})
    assert "toolConfig" not in asked
    assert asked["additionalModelRequestFields"] == {"tools": [computer]}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
        {"type": "container_upload", "file_id": "f"},
    ],
)
def test_a_block_that_converse_has_no_member_for_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(ValidationException, match=f"support the {block['type']} content block"):
        to_converse({"messages": [{"role": "user", "content": [block]}]})


def test_a_cited_page_whose_address_is_none_has_no_domain() -> None:
    told = citations.to_converse({"type": "web_search_result_location", "url": "http://[x", "title": "t"})
    assert told["location"] == {"web": {"domain": "", "url": "http://[x"}}


def test_a_citation_without_a_place_still_has_its_words() -> None:
    back = citations.to_messages({"title": "t", "sourceContent": [{"text": "a"}, {"text": "b"}]})
    assert (back["type"], back["cited_text"], back["document_title"]) == ("char_location", "ab", "t")
    assert citations.to_converse({"type": "star_chart", "cited_text": "a"}) == {
        "sourceContent": [{"text": "a"}]
    }
