"""What the calls give: known members typed, unknown ones kept, anthropic's names and AWS's."""

import copy
import json
import pickle
import re
import subprocess
import sys
import typing

import botocore.session
import pytest
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st

import outcrop
import outcrop.types as ours
import outcrop.types.request
from outcrop.client import params
from outcrop.client.errors import UsageError
from outcrop.client.value import Items, Value, encode
from outcrop.types import (
    CitationPageLocation,
    ConverseResponse,
    ConverseStreamEvent,
    Identity,
    Message,
    MessageTokensCount,
    ModelSummary,
    ProfileSummary,
    RawContentBlockDeltaEvent,
    ServerToolUseBlock,
    TextBlock,
    TextDelta,
    ThinkingBlock,
    ToolUseBlock,
    UnknownBlock,
    UnknownCitation,
    UnknownDelta,
    UnknownEvent,
    Usage,
    event_of,
    message_of,
)

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
MESSAGE = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {
            "type": "text",
            "text": "See page 2.",
            "citations": [
                {
                    "type": "page_location",
                    "cited_text": "It is so.",
                    "document_index": 0,
                    "document_title": "Book",
                    "start_page_number": 2,
                    "end_page_number": 3,
                },
                {"type": "scroll_location", "line": 7},
            ],
        },
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"where": {"city": "Oslo"}}},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [{"url": "a", "title": "A"}],
        },
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 10,
        "output_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
        "cache_read_input_tokens": 0,
        "shiny": {"new": 1},
    },
}


def fresh(raw):
    return copy.deepcopy(raw)


def test_a_message_is_typed_all_the_way_down_and_keeps_all_it_came_with():
    message = message_of(fresh(MESSAGE))
    thinking, text, tool, server, result = message.content
    assert type(thinking) is ThinkingBlock
    assert thinking.signature == "c2ln"
    assert type(text.citations[0]) is CitationPageLocation
    assert text.citations[0].file_id is None
    assert type(text.citations[1]) is UnknownCitation
    assert text.citations[1].line == 7
    assert type(tool) is ToolUseBlock
    assert type(tool.input) is dict
    assert type(tool.input["where"]) is dict
    assert type(server) is ServerToolUseBlock
    assert type(result) is UnknownBlock
    assert result.content[0].title == result["content"][0]["title"] == "A"
    assert message.usage.cache_creation.ephemeral_1h_input_tokens == 4
    assert message.usage.shiny == {"new": 1}
    assert message.usage.service_tier is None
    assert message.container is None
    assert message.to_dict() == MESSAGE
    assert json.loads(message.to_json()) == MESSAGE


def test_a_message_prints_like_this():
    message = message_of({"id": "msg_1", "content": [{"type": "text", "text": "Hi"}]})
    assert repr(message) == "Message(id='msg_1', content=[TextBlock(type='text', text='Hi')])"


def test_blocks_are_matched_by_class():
    assert all(isinstance(block, ours.ContentBlock) for block in message_of(fresh(MESSAGE)).content)
    found = []
    for block in message_of(fresh(MESSAGE)).content:
        match block:
            case TextBlock(text=text, citations=[CitationPageLocation(start_page_number=page), *_]):
                found.append((text, page))
            case ToolUseBlock(name=name, input={"where": {"city": city}}):
                found.append((name, city))
            case UnknownBlock(type=kind):
                found.append(kind)
    assert found == [("See page 2.", 2), ("look", "Oslo"), "web_search_tool_result"]


def test_what_came_in_a_reply_goes_back_as_it_came():
    message = message_of(fresh(MESSAGE))
    turn = {"role": "assistant", "content": message.content}
    assert json.loads(encode({"messages": [turn]})) == {
        "messages": [{"role": "assistant", "content": MESSAGE["content"]}]
    }


def test_cost_and_request_id_come_from_what_the_client_knows():
    message = message_of(fresh(MESSAGE))
    assert message.cost is None
    assert message._request_id is None

    class Known:
        request_id = "req-1"

        def cost(self, usage):
            return usage.output_tokens * 2

    message.set_about(Known())
    assert message.cost == 40
    assert message._request_id == "req-1"


def test_events_by_their_type():
    event = event_of(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}
    )
    assert repr(event) == (
        "RawContentBlockDeltaEvent(type='content_block_delta', index=0, "
        "delta=TextDelta(type='text_delta', text='a'))"
    )
    assert event == RawContentBlockDeltaEvent(
        type="content_block_delta", index=0, delta=TextDelta(type="text_delta", text="a")
    )
    start = event_of({"type": "message_start", "message": fresh(MESSAGE)})
    assert start.message == message_of(fresh(MESSAGE))
    citation = {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "a"}}
    event = event_of({"type": "content_block_delta", "index": 0, "delta": citation})
    assert event.delta.citation.cited_text == "a"
    stop = event_of({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}})
    assert stop["amazon-bedrock-invocationMetrics"]["inputTokenCount"] == 3
    assert "**{'amazon-bedrock-invocationMetrics': " in repr(stop)


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "content_block_hum", "tune": {"key": "a"}},
        {"type": ["unhashable"]},
        {"type": None},
        {},
        {"type": "content_block_delta", "delta": {"type": "hum_delta", "tune": {"key": "a"}}},
        {"type": "content_block_delta", "delta": {"type": {}}},
        {"type": "content_block_delta", "delta": {}},
        {"type": "content_block_delta", "delta": "text"},
        {"type": "content_block_delta", "delta": None},
        {"type": "content_block_delta"},
        {"type": "content_block_start", "content_block": {"type": "song", "notes": [{"c": 1}]}},
        {"type": "content_block_start", "content_block": 5},
        {"type": "message_start", "message": "text"},
        {"type": "message_delta", "delta": [], "usage": 5},
    ],
)
def test_events_of_unknown_or_odd_kinds_are_kept(raw):
    event = event_of(fresh(raw))
    assert event.to_dict() == raw
    assert event_of(fresh(raw)) == event


def test_unknown_kinds_have_their_own_classes_with_readable_members():
    event = event_of({"type": "content_block_hum", "tune": {"key": "a"}})
    assert type(event) is UnknownEvent
    assert event.tune.key == "a"
    event = event_of({"type": "content_block_delta", "delta": {"type": "hum_delta", "tune": {"key": "a"}}})
    assert type(event.delta) is UnknownDelta
    assert event.delta.tune.key == "a"


MEMBERS = (
    *(
        "type",
        "message",
        "delta",
        "usage",
        "content",
        "content_block",
        "citations",
        "citation",
        "text",
        "input",
    ),
    *(
        "source",
        "bytes",
        "p",
        "output",
        "metadata",
        "contentBlockDelta",
        "reasoningContent",
        "models",
        "image",
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(MEMBERS) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)
KINDS = sorted(
    {kind for kind in vars(ours).values() if isinstance(kind, type) and issubclass(kind, Value)},
    key=lambda kind: kind.__name__,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_json_object_breaks_any_class(data):
    kind = data.draw(st.sampled_from(KINDS))
    raw = data.draw(
        st.dictionaries(st.sampled_from(sorted({*kind._members, "type", "to_dict"})), JSON, max_size=5)
    )
    value = kind.of(fresh(raw))
    if kind is not ConverseStreamEvent and kind._late == ():  # that one drops padding; those have no source
        assert set(value.to_dict()) == set(raw)
        assert pickle.loads(pickle.dumps(value)) == value
        assert repr(value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_annotations_can_be_read_and_every_default_is_of_a_described_member(kind):
    described = typing.get_type_hints(kind)
    declared = {name for base in kind.__mro__ for name in vars(base) if vars(base)[name] is None}
    assert declared - {"__hash__", "__iter__", "__doc__"} <= set(described)


def test_every_name_that_anthropic_has_too_describes_the_same_members():
    import anthropic.lib.streaming._beta_types as beta
    import anthropic.lib.streaming._types as helpers
    import anthropic.types as theirs

    compared = 0
    for kind in KINDS:
        other = getattr(helpers, kind.__name__, None) or getattr(theirs, kind.__name__, None)
        if kind.__name__ == "CompactionEvent":
            other = beta.BetaCompactionEvent
        if other is None:
            continue
        compared += 1
        here = {name for base in kind.__mro__ for name in vars(base).get("__annotations__", ())}
        here |= {name for base in kind.__mro__ for name in kind._late}
        here = {name for name in here if not name.startswith("_")}
        assert here - kind._beta == set(other.model_fields), kind.__name__
        for name, field in other.model_fields.items():
            # what a kind always says of itself need not be said by hand
            given = name not in vars(kind) or name in kind._late or isinstance(vars(kind)[name], str)
            assert field.is_required() == given, (kind.__name__, name)
    assert compared >= 35


def test_members_that_only_beta_features_send_are_none_without_them():
    import anthropic.types.beta as theirs

    compared = 0
    for kind in KINDS:
        other = getattr(theirs, f"Beta{kind.__name__}", None)
        if other is None or kind.__name__.startswith("Citation"):
            continue
        compared += 1
        theirs_only = {name for name, field in other.model_fields.items() if not field.is_required()}
        for name in theirs_only:
            assert getattr(kind.of({}), name) is None, (kind.__name__, name)
        assert kind._beta <= theirs_only, kind.__name__
    assert compared >= 24


def test_what_beta_features_send_is_read_and_kept():
    message = message_of(
        {
            **fresh(MESSAGE),
            "context_management": {"applied_edits": [{"type": "clear", "cleared": 3}]},
            "usage": {"input_tokens": 1, "iterations": [{"type": "message", "output_tokens": 4}]},
        }
    )
    assert message.context_management.applied_edits[0].cleared == 3
    assert message.usage.iterations[0].output_tokens == 4
    assert message.input_transformations is None
    assert message.model_dump()["context_management"]["applied_edits"] == [{"type": "clear", "cleared": 3}]
    assert "input_transformations" not in message.model_dump()


def test_a_conversation_that_was_kept_goes_on():
    message = message_of(fresh(MESSAGE))
    for kept in (message.to_json(), message.model_dump_json(), message.model_dump_json(exclude_none=True)):
        again = Message.model_validate_json(kept)
        assert [type(block) for block in again.content] == [type(block) for block in message.content]
        assert again.content[0] == message.content[0]
        assert again.model_dump() == message.model_dump()
    with pytest.raises(UsageError, match="its type is 'tool_use', not 'text'"):
        TextBlock.model_validate(MESSAGE["content"][2])


def test_an_answer_made_by_hand_is_as_one_that_came():
    message = Message(
        id="msg_1",
        model="m",
        content=[TextBlock(text="Hi"), {"type": "tool_use", "id": "t", "name": "n", "input": {}}],
        usage=Usage(input_tokens=1, output_tokens=2),
        stop_reason="end_turn",
    )
    assert (message.type, message.role) == ("message", "assistant")
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert json.loads(encode(message.content))[0] == {"type": "text", "text": "Hi"}
    assert message_of(message.to_dict()) == message


def test_model_dump_of_a_message_is_anthropics():
    import anthropic.types as theirs

    raw = {**fresh(MESSAGE), "content": fresh(MESSAGE["content"])[:4]}
    raw["content"][1]["citations"].pop()
    message, other = message_of(fresh(raw)), theirs.Message.model_validate(raw)
    for choice in (
        {},
        {"exclude_unset": True},
        {"exclude_none": True},
        {"exclude_defaults": True},
        {"include": {"content": {1: {"citations": {0: {"cited_text"}}}}, "id": True}},
        {"exclude": {"content": {"__all__": {"type"}}, "usage": {"cache_creation"}, "id": ...}},
        {"include": {"content", "usage"}, "exclude": {"usage": {"shiny"}}},
    ):
        assert message.model_dump(**choice) == other.model_dump(**choice)
        assert json.loads(message.model_dump_json(**choice)) == json.loads(other.model_dump_json(**choice))
    assert message.to_dict() == other.to_dict()
    assert json.loads(message.to_json()) == json.loads(other.to_json())


def test_a_count_of_tokens():
    assert MessageTokensCount.of({"input_tokens": 7}).input_tokens == 7


# --- what goes in ---


def test_anthropics_names_for_what_goes_in_are_here_with_the_same_members():
    import anthropic.types as theirs

    compared = 0
    for name in ours.request.__all__:
        other = getattr(theirs, name, None)
        if name in OURS_ALONE or not hasattr(other, "__required_keys__"):
            continue
        compared += 1
        kind = getattr(ours, name)
        assert typing.is_typeddict(kind), name
        here, there = set(typing.get_type_hints(kind)), set(typing.get_type_hints(other))
        assert here == there - NOT_BEDROCKS.get(name, set()), name
        needed = {member for member, told in kind.__annotations__.items() if _is_needed(kind, told)}
        assert needed == _needed(other), name
    assert compared >= 35


OURS_ALONE = {"Binary", "Block"}
NOT_BEDROCKS = {"ImageBlockParam": {"transformations"}}


def _is_needed(kind, told):
    return kind.__total__ or told.__forward_arg__.startswith("Required[")


def _needed(kind):
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name for name, told in hints.items() if typing.get_origin(told) is typing.Required} or (
        set(hints) if kind.__total__ else set()
    )


def test_messages_are_one_type_whoever_speaks():
    assert ours.UserMessageParam is ours.AssistantMessageParam is ours.MessageParam
    assert ours.MessageParam(role="user", content="Hi") == {"role": "user", "content": "Hi"}


@pytest.mark.parametrize("name", [*ours.request.__all__, *params.__all__, "Cost", "Headers", "ModelName"])
def test_every_name_can_be_imported_and_its_annotations_read(name):
    scope = {}
    exec(f"from outcrop.types import {name}", scope)
    assert name in dir(ours)
    if typing.is_typeddict(scope[name]):
        assert typing.get_type_hints(scope[name])


def test_the_names_of_beta_are_the_same_types():
    import anthropic.types.beta as theirs

    from outcrop.types import beta

    names = [name for name in vars(beta) if name.startswith("Beta")]
    assert {"BetaMessage", "BetaMessageParam", "BetaToolParam", "BetaRawMessageStreamEvent"} <= set(names)
    assert all(hasattr(theirs, name) for name in names)
    assert beta.BetaMessage is Message
    assert ours.beta is beta


def test_a_name_that_is_not_here_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'outcrop\.types' has no attribute"):
        _ = ours.MessagesParam


def test_what_goes_in_is_not_imported_for_a_call():
    program = "import sys, outcrop.client.sync, outcrop.client.aio; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "outcrop.types" in done.stdout.split()
    for module in ("types.request", "types.beta", "client.params", "catalog.prices"):
        assert f"outcrop.{module}" not in done.stdout.split()


CALLS = {
    "create": (params.MessageParams, {"stream"}),
    "stream": (params.MessageParams, set()),
    "count_tokens": (params.CountParams, set()),
    "converse": (params.ConverseParams, set()),
    "converse_stream": (params.ConverseParams, set()),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", [outcrop.AnthropicBedrock, outcrop.AsyncAnthropicBedrock])
def test_help_tells_every_parameter_of_a_call(kind, call):
    client = kind(aws_access_key="a", aws_secret_key="b", aws_region="us-west-2")
    method = getattr(client if call.startswith("converse") else client.messages, call)
    taken, more = CALLS[call]
    for name in set(taken.__annotations__) | more:
        assert re.search(rf"^ +([\w]+, )*{name}\b", method.__doc__, re.MULTILINE), name


# --- Converse ---

CONVERSE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
                {"reasoningContent": {"redactedContent": "//4="}},
                {"text": "Hi"},
                {"toolUse": {"toolUseId": "t1", "name": "look", "input": {"city": {"name": "Oslo"}}}},
                {"image": {"format": "png", "source": {"bytes": "iVBORw=="}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheReadInputTokens": 0},
    "metrics": {"latencyMs": 5},
}


def boto3_reads(operation, body):
    """What botocore's own parser makes of the same JSON."""
    service = botocore.session.get_session().get_service_model("bedrock-runtime")
    parser = create_parser(service.metadata["protocol"])
    reply = {"body": json.dumps(body).encode(), "headers": {}, "status_code": 200, "context": {}}
    found = parser.parse(reply, service.operation_model(operation).output_shape)
    found.pop("ResponseMetadata")
    return found


def test_converse_reads_by_attribute_and_like_boto3s_dict():
    reply = ConverseResponse.of(fresh(CONVERSE))
    blocks = reply.output.message.content
    assert [block.text for block in blocks] == [None, None, "Hi", None, None]
    assert reply["output"]["message"]["content"][2]["text"] == "Hi"
    assert "toolUse" in blocks[3]
    assert "toolUse" not in blocks[2]
    assert blocks[3].toolUse.input == {"city": {"name": "Oslo"}}
    assert blocks[0].reasoningContent.reasoningText.signature == "c2ln"
    assert blocks[1].reasoningContent.redactedContent == b"\xff\xfe"
    assert reply.usage.cacheWriteInputTokens is None
    assert reply.metrics.latencyMs == 5
    assert reply.trace is None
    assert reply.to_dict() == boto3_reads("Converse", CONVERSE)


def test_a_converse_message_goes_back_with_its_bytes_as_base64():
    reply = ConverseResponse.of(fresh(CONVERSE))
    assert json.loads(encode([reply.output.message])) == [CONVERSE["output"]["message"]]
    assert reply.to_dict(mode="json") == CONVERSE


def test_converse_events_have_boto3s_shape_and_no_padding():
    event = ConverseStreamEvent.of(
        {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0, "p": "abcd"}}
    )
    assert event.type == "contentBlockDelta"
    assert event.contentBlockDelta.delta.text == "Hi"
    start = {"toolUse": {"toolUseId": "t", "name": "look"}}
    started = ConverseStreamEvent.of(
        {"contentBlockStart": {"start": fresh(start), "contentBlockIndex": 1, "p": "a"}}
    )
    assert started.contentBlockStart.start.toolUse.name == "look"
    assert started.to_dict() == {"contentBlockStart": {"start": start, "contentBlockIndex": 1}}
    stopped = ConverseStreamEvent.of({"messageStop": {"stopReason": "tool_use", "p": "a"}})
    assert (stopped.messageStop.stopReason, stopped.messageStop.additionalModelResponseFields) == (
        "tool_use",
        None,
    )
    assert event["contentBlockDelta"]["delta"]["text"] == "Hi"
    assert event.metadata is None
    assert event.to_dict() == {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}}
    delta = {"reasoningContent": {"redactedContent": "//4="}}
    event = ConverseStreamEvent.of({"contentBlockDelta": {"delta": delta, "contentBlockIndex": 0}})
    assert event.contentBlockDelta.delta.reasoningContent.redactedContent == b"\xff\xfe"
    event = ConverseStreamEvent.of({"metadata": {"usage": {"inputTokens": 1}, "metrics": {"latencyMs": 2}}})
    assert (event.metadata.usage.inputTokens, event.metadata.metrics.latencyMs) == (1, 2)
    assert ConverseStreamEvent.of({"newEvent": {"a": {"b": 1}}}).type == "newEvent"


def test_bytes_that_are_no_base64_are_kept_as_they_came():
    reply = ConverseResponse.of(
        {"output": {"message": {"content": [{"reasoningContent": {"redactedContent": "?"}}]}}}
    )
    assert reply.output.message.content[0].reasoningContent.redactedContent == "?"


# --- models and identities ---


def test_a_foundation_model():
    model = ModelSummary.of(
        {
            "modelArn": f"arn:aws:bedrock:us-west-2::foundation-model/{SONNET}",
            "modelId": SONNET,
            "modelName": "Claude Sonnet 4.5",
            "inputModalities": ["TEXT", "IMAGE"],
            "modelLifecycle": {"status": "ACTIVE", "startOfLifeTime": "2025-09-29T00:00:00Z"},
        }
    )
    assert model.id == SONNET
    assert (model.name, model.kind, model.status) == ("Claude Sonnet 4.5", "foundation-model", "ACTIVE")
    assert model.arn == model["modelArn"]
    assert model.regions == ("us-west-2",)
    assert type(model.inputModalities) is Items
    assert model.modelLifecycle.startOfLifeTime == "2025-09-29T00:00:00Z"
    assert ModelSummary.of({"modelArn": "", "modelId": "a"}).name == "a"
    assert ModelSummary.of({"modelArn": "", "modelId": "a"}).status == ""


@pytest.mark.parametrize(
    ("kind", "places", "regions"),
    [
        ("SYSTEM_DEFINED", ["eu-west-1", "eu-north-1", "eu-west-1"], ("eu-west-1", "eu-north-1")),
        ("SYSTEM_DEFINED", ["", "us-west-2"], ("*", "us-west-2")),
        ("APPLICATION", ["us-east-1"], ("us-east-1",)),
    ],
)
def test_an_inference_profile_tells_where_it_runs(kind, places, regions):
    profile = ProfileSummary.of(
        {
            "inferenceProfileArn": "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.a.b",
            "inferenceProfileId": "eu.a.b",
            "inferenceProfileName": "EU A B",
            "status": "ACTIVE",
            "type": kind,
            "models": [{"modelArn": f"arn:aws:bedrock:{place}::foundation-model/a.b"} for place in places],
        }
    )
    assert profile.regions == regions
    assert profile.id == "eu.a.b"
    assert profile.arn == "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.a.b"
    assert (profile.name, profile.status) == ("EU A B", "ACTIVE")
    assert profile.kind == (
        "inference-profile" if kind == "SYSTEM_DEFINED" else "application-inference-profile"
    )


def test_an_identity():
    identity = Identity(account="123456789012", arn="arn:aws:iam::123456789012:user/a", user_id="AIDA")
    assert (identity.account, identity.user_id) == ("123456789012", "AIDA")
    assert repr(identity).startswith("Identity(account='123456789012', arn=")


def test_a_message_can_be_made_by_hand():
    message = Message(id="m", content=[{"type": "text", "text": "Hi"}], usage={"input_tokens": 1})
    assert message.content[0].text == "Hi"
    assert message.usage.output_tokens_details is None
