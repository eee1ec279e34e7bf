"""What a type checker knows of the public names: never run, only read by `mypy --strict`.

Each function is a program somebody might write. `assert_type` says what must be known at a place, and an
`ignore[...]` what must be refused there: strict mypy complains when either is no longer so.
"""
# ruff: noqa: B018 - an expression alone is enough to be refused

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any, Literal, assert_never, assert_type

import outcrop
from outcrop import (
    AnthropicBedrock,
    APIConnectionError,
    APIResponse,
    APIResponseValidationError,
    APIStatusError,
    AsyncAnthropicBedrock,
    AsyncAPIResponse,
    AsyncMessageStream,
    AsyncStream,
    EndpointError,
    MessageStream,
    NotGiven,
    Omit,
    RateLimitError,
    Stream,
    StreamBrokenError,
    Timeout,
    UsageError,
)
from outcrop.types import (
    Base64ImageSourceParam,
    CacheControlEphemeralParam,
    CacheCreation,
    CitationPageLocation,
    ClientOptions,
    ContentBlock,
    ContentBlockParam,
    ContentBlockStopEvent,
    ConverseDeltaEvent,
    ConverseMessageStop,
    ConverseParams,
    ConverseResponse,
    ConverseStreamEvent,
    ConverseToolUse,
    Cost,
    Endpoint,
    Event,
    Headers,
    Identity,
    ImageBlockParam,
    InputJSONDelta,
    Items,
    Loose,
    Message,
    MessageCreateParamsStreaming,
    MessageDeltaUsage,
    MessageParam,
    MessageParams,
    MessageStopEvent,
    MessageStreamEvent,
    MessageTokensCount,
    Model,
    ModelName,
    ModelSummary,
    ProfileSummary,
    RawContentBlockDelta,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawContentBlockStopEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStopEvent,
    RawMessageStreamEvent,
    RedactedThinkingBlock,
    Response,
    ServerToolUseBlock,
    StopReason,
    TextBlock,
    TextBlockParam,
    TextDelta,
    TextEvent,
    ThinkingBlock,
    ThinkingConfigParam,
    ThinkingDelta,
    TokenUsage,
    ToolChoiceParam,
    ToolParam,
    ToolResultBlockParam,
    ToolUnionParam,
    ToolUseBlock,
    UnknownBlock,
    UnknownEvent,
    Usage,
    Value,
)
from outcrop.types.beta import BetaMessage, BetaMessageParam, BetaTextBlock, BetaToolParam

HELLO: list[MessageParam] = [{"role": "user", "content": "Hello"}]


# --- clients ---


def clients() -> None:
    assert_type(AnthropicBedrock(), AnthropicBedrock)
    AnthropicBedrock("secret", "access", "us-west-2")  # the order of `anthropic`
    AnthropicBedrock(aws_access_key="a", aws_secret_key="s", aws_session_token=None, aws_profile=None)
    AnthropicBedrock(endpoint="regional", residency=["eu", "eu-west-2"], fallback=["global", "us-east-1"])
    AnthropicBedrock(residency="eu", edition="2026-11", max_retries=0, default_headers={"x-team": "blue"})
    AnthropicBedrock(timeout=30)
    AnthropicBedrock(timeout=None)
    AnthropicBedrock(timeout=Timeout(60, connect=2.5, stall=None))
    AnthropicBedrock(timeout=outcrop.NOT_GIVEN)

    AnthropicBedrock(endpoint="gloabl")  # type: ignore[arg-type]
    AnthropicBedrock(region="us-west-2")  # type: ignore[call-arg]
    AnthropicBedrock(residency=5)  # type: ignore[arg-type]
    AnthropicBedrock(timeout="5")  # type: ignore[arg-type]


def settings(client: AnthropicBedrock) -> None:
    assert_type(client.aws_region, str)
    assert_type(client.base_url, str)
    assert_type(client.max_retries, int)
    assert_type(client.api_key, str | None)
    assert_type(client.default_headers, dict[str, str])
    assert_type(client.is_closed(), bool)
    client.aws_region = "eu-west-1"  # type: ignore[misc]


class Ours(AnthropicBedrock):
    """Copies of a client of one's own class are of that class."""


def copies(client: AnthropicBedrock, ours: Ours, async_client: AsyncAnthropicBedrock) -> None:
    assert_type(client.with_options(timeout=5, max_retries=0), AnthropicBedrock)
    assert_type(ours.with_options(endpoint="eu", residency="eu", fallback=("regional",)), Ours)
    assert_type(ours.copy(default_headers={"a": "b"}, set_default_query={"c": 1}), Ours)
    assert_type(async_client.with_options(aws_region="eu-central-1"), AsyncAnthropicBedrock)
    with ours as entered:
        assert_type(entered, Ours)
    client.with_options(max_retrys=1)  # type: ignore[call-arg]
    client.with_options(endpoint="europe")  # type: ignore[arg-type]


# --- messages.create: a message or a stream ---


def created(client: AnthropicBedrock, stream: bool) -> None:
    assert_type(client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=HELLO), Message)
    assert_type(
        client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=HELLO, stream=False), Message
    )
    assert_type(
        client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=HELLO, stream=True),
        Stream[RawMessageStreamEvent],
    )
    assert_type(
        client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=HELLO, stream=stream),
        Message | Stream[RawMessageStreamEvent],
    )
    assert_type(
        client.beta.messages.create(model="m", max_tokens=9, messages=HELLO, betas=["b-2026-01-01"]), Message
    )
    assert_type(
        client.beta.messages.create(model="m", max_tokens=9, messages=HELLO, betas=[], stream=True),
        Stream[Event],
    )
    assert_type(client.messages.count_tokens(model="m", messages=HELLO), MessageTokensCount)


def all_keywords(client: AnthropicBedrock) -> Message:
    return client.messages.create(
        model="anthropic.claude-sonnet-4-5-20250929-v1:0",
        max_tokens=2048,
        messages=(
            {
                "role": "user",
                "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}],
            },
            {"role": "assistant", "content": "Hello."},
        ),
        system=[{"type": "text", "text": "Be brief."}],
        tools=[{"name": "look", "input_schema": {"type": "object"}}],
        tool_choice={"type": "tool", "name": "look"},
        thinking={"type": "enabled", "budget_tokens": 1024},
        temperature=1,
        top_p=0.5,
        top_k=40,
        stop_sequences=["\n"],
        metadata={"user_id": "u"},
        endpoint="jp",
        timeout=Timeout(read=30),
        extra_headers={"x-a": "b"},
        extra_query={"c": "d"},
        extra_body={"e": [1]},
    )


def refused(client: AnthropicBedrock) -> None:
    create = client.messages.create
    create(model="m", messages=HELLO)  # type: ignore[call-overload]
    create(max_tokens=9, messages=HELLO)  # type: ignore[call-overload]
    create(model="m", max_tokens=9)  # type: ignore[call-overload]
    create(model="m", max_tokens="9", messages=HELLO)  # type: ignore[call-overload]
    create(model="m", max_tokens=9, max_token=9, messages=HELLO)  # type: ignore[call-overload]
    create(model="m", max_tokens=9, messages=HELLO, endpoint="gloabl")  # type: ignore[call-overload]
    create(model="m", max_tokens=9, messages="Hello")  # type: ignore[arg-type]
    create(model="m", max_tokens=9, messages=[{"role": "human", "content": ""}])  # type: ignore[typeddict-item]
    create(model="m", max_tokens=9, messages=[{"role": "user"}])  # type: ignore[typeddict-item]
    client.messages.stream(model="m", messages=HELLO)  # type: ignore[call-arg]
    client.messages.count_tokens(model="m", messages=HELLO, max_tokens=9)  # type: ignore[call-arg]


def not_given(client: AnthropicBedrock, system: str | None, thinking: bool, stream: bool) -> None:
    client.messages.create(
        model="m",
        max_tokens=9,
        messages=HELLO,
        system=system if system is not None else outcrop.omit,
        thinking={"type": "enabled", "budget_tokens": 1024} if thinking else outcrop.NOT_GIVEN,
        temperature=outcrop.omit,
        endpoint=outcrop.omit,
        timeout=outcrop.NOT_GIVEN,
        extra_headers={"x-a": outcrop.omit, "x-b": None},
    )
    assert_type(client.messages.create(model="m", max_tokens=9, messages=HELLO, stream=outcrop.omit), Message)
    assert_type(outcrop.omit, Omit)
    temperature: float | NotGiven = outcrop.NOT_GIVEN
    client.messages.create(model="m", max_tokens=9, messages=HELLO, temperature=temperature)
    client.with_options(timeout=outcrop.NOT_GIVEN, max_retries=outcrop.omit, endpoint=None)


def as_written_for_anthropic(client: AnthropicBedrock, model: Model) -> Message:
    """What such code is made of: parts with their types, put together."""
    cached: CacheControlEphemeralParam = {"type": "ephemeral", "ttl": "1h"}
    system: list[TextBlockParam] = [{"type": "text", "text": "Be brief.", "cache_control": cached}]
    source: Base64ImageSourceParam = {"type": "base64", "media_type": "image/png", "data": b"\x89PNG"}
    image: ImageBlockParam = {"type": "image", "source": source}
    result = ToolResultBlockParam(type="tool_result", tool_use_id="t", content=[image])
    blocks: list[ContentBlockParam] = [{"type": "text", "text": "Look:"}, image, result]
    messages: list[MessageParam] = [MessageParam(role="user", content=blocks)]
    look: ToolParam = {"name": "look", "input_schema": {"type": "object"}, "cache_control": cached}
    tools: list[ToolUnionParam] = [look, {"type": "bash_20250124", "name": "bash"}]
    choice: ToolChoiceParam = {"type": "tool", "name": "look"}
    thinking: ThinkingConfigParam = {"type": "enabled", "budget_tokens": 1024}

    TextBlockParam(type="text", txt="")  # type: ignore[typeddict-unknown-key, typeddict-item]
    wrong: ThinkingConfigParam = {"type": "enabled"}  # type: ignore[misc, assignment]
    assert wrong
    return client.messages.create(
        model=model,
        max_tokens=2048,
        messages=messages,
        system=system,
        tools=tools,
        tool_choice=choice,
        thinking=thinking,
    )


def with_beta_names(client: AnthropicBedrock, tool: BetaToolParam) -> str:
    messages: list[BetaMessageParam] = [{"role": "user", "content": "Hello"}]
    reply: BetaMessage = client.beta.messages.create(
        model="m", max_tokens=9, messages=messages, tools=[tool], betas=["b"]
    )
    assert_type(reply.context_management, Loose | None)
    assert_type(reply.usage.iterations, Items[Loose] | None)
    return "".join(block.text for block in reply.content if isinstance(block, BetaTextBlock))


def from_any_dict(client: AnthropicBedrock, block: dict[str, str], known: dict[str, Any]) -> None:
    client.messages.create(
        model="m", max_tokens=9, messages=[{"role": "user", "content": [block, known]}], tools=[known]
    )
    client.messages.create(**known)
    # mypy makes Any of overloads that were chosen by Any; this is as good as it gets
    stream: Stream[Event] = client.messages.create(**known, stream=True)
    assert stream


def from_a_typed_dict(client: AnthropicBedrock, endpoint: Endpoint, name: ModelName) -> None:
    params: MessageParams = {"model": name, "max_tokens": 9, "messages": HELLO, "endpoint": endpoint}
    params["temperature"] = 0.5
    assert_type(client.messages.create(**params), Message)
    assert_type(client.messages.create(**params, stream=False), Message)
    assert_type(client.messages.create(**params, stream=True), Stream[Event])
    streaming: MessageCreateParamsStreaming = {**params, "stream": True}
    assert_type(client.messages.create(**streaming), Stream[Event])
    options: ClientOptions = {"max_retries": 5}
    assert_type(client.with_options(**options), AnthropicBedrock)
    with client.messages.stream(**params) as stream:
        assert_type(stream, MessageStream)

    converse: ConverseParams = {"model": "claude-haiku-4-5", "messages": []}
    assert_type(client.converse(**converse), ConverseResponse)

    wrong: MessageParams = {"model": "m", "max_tokens": 9}  # type: ignore[typeddict-item]
    typo: MessageParams = {"model": "m", "max_tokens": 9, "messages": [], "temprature": 1}  # type: ignore[typeddict-unknown-key]
    client.messages.create(**wrong, **typo)  # type: ignore[call-overload]


# --- messages ---


def message(reply: Message) -> None:
    assert_type(reply.id, str)
    assert_type(reply.role, Literal["assistant"])
    assert_type(reply.stop_reason, StopReason | None)
    assert_type(reply.stop_sequence, str | None)
    assert_type(reply._request_id, str | None)
    assert_type(reply.usage, Usage)
    assert_type(reply.usage.output_tokens, int)
    assert_type(reply.usage.cache_read_input_tokens, int | None)
    assert_type(reply.usage.cache_creation, CacheCreation | None)
    assert_type(reply.to_dict(), dict[str, Any])
    assert_type(reply.model_dump(exclude_none=True), dict[str, Any])
    assert_type(reply.to_json(indent=None), str)
    assert_type(reply.replace(model="m"), Message)
    assert_type(len(reply.content), int)

    reply.contents  # type: ignore[attr-defined]
    reply.usage.input_tokens = 3  # type: ignore[misc]
    reply.usage.inputTokens  # type: ignore[attr-defined]


def lists_do_not_change(reply: Message, block: TextBlock) -> None:
    reply.content.append(block)  # type: ignore[arg-type]
    reply.content.extend([block])  # type: ignore[arg-type]
    reply.content.insert(0, block)  # type: ignore[arg-type]
    reply.content.pop()  # type: ignore[call-arg]
    reply.content.remove(block)  # type: ignore[arg-type]
    reply.content.clear()  # type: ignore[call-arg]
    reply.content.reverse()  # type: ignore[call-arg]
    reply.content.sort()  # type: ignore[call-arg]
    reply.content[0] = block  # type: ignore[index, assignment]
    del reply.content[0]  # type: ignore[arg-type]
    reply.content += [block]  # type: ignore[misc, arg-type]
    assert_type(reply.content[0], ContentBlock)
    assert_type(reply.content[1:], list[ContentBlock])
    assert_type([*reply.content, block], list[ContentBlock])


def by_hand() -> None:
    """For tests of an application, and for conversations that were kept."""
    text = TextBlock(text="Hi")
    assert_type(text.type, Literal["text"])
    message = Message(
        id="msg_1", model="m", content=Items([text]), usage=Usage(input_tokens=1, output_tokens=1)
    )
    assert_type(message.role, Literal["assistant"])
    assert_type(Message.model_validate({"id": "msg_1"}), Message)
    assert_type(Message.model_validate_json(b"{}"), Message)
    assert_type(Message.model_construct(id="msg_1"), Message)
    assert_type(message.model_copy(update={"model": "n"}, deep=True), Message)
    assert_type(message.copy(), Message)
    assert_type(message.dict(), dict[str, Any])
    assert_type(message.json(), str)
    assert_type(dict(message), dict[str, Any])
    assert_type(message.model_fields_set, set[str])

    TextBlock(txt="")  # type: ignore[call-arg]
    TextBlock(text="", type="thinking")  # type: ignore[arg-type]


def cost(reply: Message, converse: ConverseResponse) -> Decimal:
    if reply.cost is None or converse.cost is None:
        return Decimal(0)
    both = reply.cost + converse.cost
    assert_type(both, Cost)
    assert_type(both.usd, Decimal)
    assert_type(float(both), float)
    assert_type(both.lines[0].amount, Decimal)
    assert_type(both.lines[0].tokens, int)
    return both.usd


def by_type(block: ContentBlock) -> str:
    if block.type == "text":
        assert_type(block, TextBlock)
        for citation in block.citations or ():
            if citation.type == "page_location":
                assert_type(citation, CitationPageLocation)
                assert_type(citation.end_page_number, int)
        return block.text
    if block.type == "thinking":
        assert_type(block, ThinkingBlock)
        return block.thinking
    if block.type == "redacted_thinking":
        assert_type(block, RedactedThinkingBlock)
        return block.data
    if block.type == "tool_use":
        assert_type(block, ToolUseBlock)
        assert_type(block.input, dict[str, Any])
        return block.name
    if block.type == "server_tool_use":
        assert_type(block, ServerToolUseBlock)
        return block.id
    assert_type(block, UnknownBlock)
    if block.type == "web_search_tool_result":
        return str(block.content)  # what is not described is Any
    return block.type


def by_class(block: ContentBlock) -> str:
    if isinstance(block, TextBlock | ThinkingBlock):
        assert_type(block, TextBlock | ThinkingBlock)
        return block.type
    assert_type(block, RedactedThinkingBlock | ToolUseBlock | ServerToolUseBlock | UnknownBlock)
    block.text  # type: ignore[union-attr]
    return block.type


def by_match(block: ContentBlock) -> str:
    match block:
        case TextBlock(text=text, citations=[CitationPageLocation(start_page_number=page), *_]):
            assert_type(page, int)
            return text
        case TextBlock(text=text):
            return text
        case ThinkingBlock() | RedactedThinkingBlock():
            return ""
        case ToolUseBlock(name=name, input={"city": city}):
            return f"{name}({city})"
        case ToolUseBlock(name=name) | ServerToolUseBlock(name=name):
            assert_type(name, str)
            return name
        case UnknownBlock(type=kind):
            return kind
        case _:
            assert_never(block)


def conversation(client: AnthropicBedrock) -> str:
    messages: list[MessageParam] = [{"role": "user", "content": "What is the weather in Ende?"}]
    while True:
        reply = client.messages.create(model="claude-sonnet-4-5", max_tokens=64, messages=messages)
        messages.append({"role": reply.role, "content": reply.content})
        uses = [block for block in reply.content if block.type == "tool_use"]
        assert_type(uses, list[ToolUseBlock])
        if not uses:
            return "".join(block.text for block in reply.content if isinstance(block, TextBlock))
        results = [{"type": "tool_result", "tool_use_id": use.id, "content": "31 °C"} for use in uses]
        messages.append({"role": "user", "content": results})


# --- streams ---


def events(client: AnthropicBedrock) -> None:
    stream = client.messages.create(model="claude-opus-4-5", max_tokens=9, messages=HELLO, stream=True)
    assert_type(stream.request_id, str | None)
    assert_type(stream.response.status_code, int)
    assert_type(stream.response.headers["content-type"], str)
    assert_type(next(stream), RawMessageStreamEvent)
    with stream as entered:
        assert_type(entered, Stream[Event])
        for event in entered:
            event_by_type(event)


def event_by_type(event: Event) -> None:
    if event.type == "message_start":
        assert_type(event, RawMessageStartEvent)
        assert_type(event.message, Message)
    elif event.type == "content_block_start":
        assert_type(event, RawContentBlockStartEvent)
        assert_type(event.content_block, ContentBlock)
    elif event.type == "content_block_delta":
        assert_type(event, RawContentBlockDeltaEvent)
        assert_type(event.delta, RawContentBlockDelta)
        if event.delta.type == "text_delta":
            assert_type(event.delta, TextDelta)
            assert_type(event.delta.text, str)
        elif event.delta.type == "input_json_delta":
            assert_type(event.delta, InputJSONDelta)
    elif event.type == "content_block_stop":
        assert_type(event, RawContentBlockStopEvent)
    elif event.type == "message_delta":
        assert_type(event, RawMessageDeltaEvent)
        assert_type(event.delta.stop_reason, StopReason | None)
        assert_type(event.usage, MessageDeltaUsage)
        assert_type(event.usage.output_tokens, int)
    elif event.type == "message_stop":
        assert_type(event, RawMessageStopEvent)
    else:
        assert_type(event, UnknownEvent)


def event_by_match(event: Event) -> str | int | None:
    match event:
        case RawContentBlockDeltaEvent(index=index, delta=TextDelta(text=text)):
            assert_type(index, int)
            return text
        case RawContentBlockDeltaEvent(delta=ThinkingDelta(thinking=thinking)):
            return thinking
        case RawContentBlockDeltaEvent() | RawContentBlockStopEvent() | RawMessageStopEvent():
            return None
        case RawContentBlockStartEvent(content_block=ToolUseBlock(name=name)):
            return name
        case RawContentBlockStartEvent() | RawMessageStartEvent() | UnknownEvent():
            return None
        case RawMessageDeltaEvent(usage=usage):
            return usage.output_tokens
        case _:
            assert_never(event)


def accumulated(client: AnthropicBedrock) -> Message:
    with client.messages.stream(model="claude-opus-4-5", max_tokens=9, messages=HELLO) as stream:
        assert_type(stream, MessageStream)
        assert_type(stream.text_stream, Iterator[str])
        assert_type(stream.current_message_snapshot, Message)
        for event in stream:
            helper_event(event)
        assert_type(stream.get_final_text(), str)
        return stream.get_final_message()


def helper_event(event: MessageStreamEvent) -> None:
    if event.type == "text":
        assert_type(event, TextEvent)
        assert_type(event.snapshot, str)
    elif event.type == "message_stop":
        assert_type(event, MessageStopEvent)
        assert_type(event.message, Message)
    elif event.type == "content_block_stop":
        assert_type(event, ContentBlockStopEvent)
        assert_type(event.content_block, ContentBlock)
    elif event.type == "thinking":
        assert_type(event.thinking, str)
    elif event.type == "input_json":
        assert_type(event.partial_json, str)
    elif event.type == "message_start":
        assert_type(event.message, Message)


# --- raw responses ---


def raw(client: AnthropicBedrock, stream: bool) -> None:
    create = client.with_raw_response.messages.create
    reply = client.messages.with_raw_response.create(model="m", max_tokens=9, messages=HELLO)
    assert_type(reply, APIResponse[Message])
    assert_type(reply.parse(), Message)
    assert_type(reply.http_response, Response)
    assert_type(reply.headers, Headers)
    assert_type(reply.headers["date"], str)
    assert_type(reply.headers.get("date"), str | None)
    assert_type(reply.headers.get("date", ""), str)
    assert_type(reply.headers.get("date", 0), str | int)
    assert_type(
        create(model="m", max_tokens=9, messages=HELLO, stream=True),
        APIResponse[Stream[RawMessageStreamEvent]],
    )
    assert_type(
        create(model="m", max_tokens=9, messages=HELLO, stream=stream),
        APIResponse[Message] | APIResponse[Stream[RawMessageStreamEvent]],
    )
    assert_type(
        client.with_raw_response.messages.count_tokens(model="m", messages=HELLO),
        APIResponse[MessageTokensCount],
    )
    create(model="m", messages=HELLO)  # type: ignore[call-overload]


async def raw_awaited(client: AsyncAnthropicBedrock) -> None:
    create = client.messages.with_raw_response.create
    assert_type(await create(model="m", max_tokens=9, messages=HELLO), AsyncAPIResponse[Message])
    streamed = await create(model="m", max_tokens=9, messages=HELLO, stream=True)
    assert_type(streamed, AsyncAPIResponse[AsyncStream[RawMessageStreamEvent]])
    assert_type(await streamed.parse(), AsyncStream[RawMessageStreamEvent])


def timeouts(timeout: Timeout) -> None:
    assert_type(timeout.connect, float | None)
    assert_type(timeout.stall, float | None)
    timeout.write
    timeout.idle  # type: ignore[attr-defined]


# --- asyncio ---


async def awaited(client: AsyncAnthropicBedrock, stream: bool) -> None:
    create = client.messages.create
    assert_type(await create(model="m", max_tokens=9, messages=HELLO), Message)
    assert_type(await create(model="m", max_tokens=9, messages=HELLO, stream=True), AsyncStream[Event])
    assert_type(
        await create(model="m", max_tokens=9, messages=HELLO, stream=stream), Message | AsyncStream[Event]
    )
    assert_type(await client.messages.count_tokens(model="m", messages=HELLO), MessageTokensCount)
    assert_type(await client.converse(model="m", messages=[]), ConverseResponse)
    assert_type(await client.converse_stream(model="m", messages=[]), AsyncStream[ConverseStreamEvent])
    assert_type(await client.identity(), Identity)
    assert_type(await client.models.get("claude-sonnet-4-5"), ModelSummary | ProfileSummary)
    assert_type(await client.models.list(kind="foundation-model"), list[ModelSummary])
    params: MessageParams = {"model": "m", "max_tokens": 9, "messages": HELLO}
    assert_type(await create(**params, stream=True), AsyncStream[Event])

    create(model="m", max_tokens=9, messages=HELLO).content  # type: ignore[attr-defined]
    with client:  # type: ignore[attr-defined]
        pass


async def many(client: AsyncAnthropicBedrock) -> list[str]:
    async def one(number: int) -> str:
        content = f"number {number}"
        reply = await client.messages.create(
            model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": content}]
        )
        return "".join(block.text for block in reply.content if block.type == "text")

    return await asyncio.gather(*(one(number) for number in range(8)))


async def relayed(prompt: str) -> AsyncIterator[str]:
    async with AsyncAnthropicBedrock() as client:
        assert_type(client, AsyncAnthropicBedrock)
        async with client.messages.stream(
            model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": prompt}]
        ) as stream:
            assert_type(stream, AsyncMessageStream)
            assert_type(stream.text_stream, AsyncIterator[str])
            async for text in stream.text_stream:
                yield text
            assert_type(await stream.get_final_message(), Message)
            assert_type(await anext(stream), MessageStreamEvent)


# --- Converse, models, identity ---


def conversed(client: AnthropicBedrock) -> None:
    reply = client.converse(
        model="claude-sonnet-4-5",
        messages=[{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b""}}}]}],
        system=[{"text": "Be brief."}],
        inferenceConfig={"maxTokens": 9},
        endpoint="regional",
    )
    assert_type(reply.output.message.role, Literal["assistant", "user"])
    assert_type(reply.output.message.content[0].text, str | None)
    assert_type(reply.output.message.content[0].toolUse, ConverseToolUse | None)
    assert_type(reply.stopReason, str)
    assert_type(reply.usage, TokenUsage)
    assert_type(reply.usage.outputTokens, int)
    with client.converse_stream(model="claude-sonnet-4-5", messages=[]) as stream:
        assert_type(stream, Stream[ConverseStreamEvent])
        for event in stream:
            if event.contentBlockDelta is not None:
                assert_type(event.contentBlockDelta, ConverseDeltaEvent)
                assert_type(event.contentBlockDelta.delta.text, str | None)
                if event.contentBlockDelta.delta.toolUse is not None:
                    assert_type(event.contentBlockDelta.delta.toolUse.input, str)
            if event.contentBlockStart is not None and event.contentBlockStart.start.toolUse is not None:
                assert_type(event.contentBlockStart.start.toolUse.name, str)
            if event.messageStop is not None:
                assert_type(event.messageStop, ConverseMessageStop)
                assert_type(event.messageStop.stopReason, str)
            if event.metadata is not None:
                assert_type(event.metadata.usage.totalTokens, int)
    client.converse(modelId="m", messages=[])  # type: ignore[call-arg]


def listed(client: AnthropicBedrock) -> None:
    assert_type(client.identity().arn, str)
    assert_type(client.models.list(kind="foundation-model")[0], ModelSummary)
    assert_type(client.models.list(kind="inference-profile")[0], ProfileSummary)
    for model in client.models.list(provider=None):
        assert_type(model.id, str)
        assert_type(model.status, str)
        assert_type(model.regions, tuple[str, ...])
        if model.kind == "foundation-model":
            assert_type(model, ModelSummary)
        else:
            assert_type(model, ProfileSummary)
    client.models.list(kind="model")  # type: ignore[call-overload]


def anything(value: Value, loose: Loose) -> None:
    assert_type(value.to_dict(), dict[str, Any])
    assert_type(value["text"], Any)
    loose.whatever.it.is_called
    value.whatever  # type: ignore[attr-defined]


# --- errors ---


def caught(client: AnthropicBedrock) -> None:
    try:
        client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=HELLO)
    except RateLimitError as error:
        assert_type(error.status_code, int)
        assert_type(error.aws_error, str | None)
        assert_type(error.api_message, str | None)
        assert_type(error.type, str | None)
        assert_type(error.request_id, str | None)
        assert_type(error.in_stream, bool)
        assert_type(error.body, object)
        assert_type(error.response.headers["retry-after"], str)
        error.retry_after  # type: ignore[attr-defined]
    except (APIStatusError, APIResponseValidationError) as error:
        assert_type(error, APIStatusError | APIResponseValidationError)
        assert_type(error.status_code, int)
        assert_type(error.response.text, str)
    except StreamBrokenError as error:
        assert_type(error.message, str)
    except APIConnectionError as error:
        assert_type(error.request.url if error.request is not None else "", str)
    except (EndpointError, UsageError) as error:
        assert_type(error.what, str)
        assert_type(error.fix, str)
    except ValueError:  # UsageError is one
        raise
