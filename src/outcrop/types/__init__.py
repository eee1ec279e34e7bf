# ruff: noqa: N815 - members by the names AWS gave them
"""What the client's calls give: messages, blocks, stream events, Converse, models, identities.

What goes into them, `MessageParam`, `ToolParam` and the like, can be imported from here too, and is made
(`request`, `client.params`) when somebody does. `beta` has `anthropic`'s names for the same.

Names and members are those of `anthropic` 2.12's `types` where they exist there, else those of AWS's service
models `bedrock-runtime` and `bedrock`. How they behave is said in `client.value`. A block, delta, citation
or event of a kind not described here comes as `UnknownBlock`, `UnknownDelta`, … with all it has.

Nothing here checks what a server sent: a member of another shape than described is kept as it came.
"""

from __future__ import annotations

from binascii import a2b_base64
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

from outcrop.client.value import Items as Items
from outcrop.client.value import Loose as Loose
from outcrop.client.value import Value as Value
from outcrop.client.value import each, loose, one, one_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from outcrop.catalog.prices import Cost as Cost
    from outcrop.client.model_names import ModelName as ModelName
    from outcrop.client.params import *  # noqa: F403
    from outcrop.client.replies import Headers as Headers
    from outcrop.client.replies import Request as Request
    from outcrop.client.replies import Response as Response
    from outcrop.types.request import *  # noqa: F403

# Where more names of this module live. They are fetched when somebody asks for one; a call does not.
_LATER: Final = {
    "outcrop.types.request": "",  # all that is public there
    "outcrop.client.params": "",
    "outcrop.client.model_names": "ModelName",
    "outcrop.client.replies": "Headers Request Response",
    "outcrop.catalog.prices": "Cost",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "beta":
        return import_module("outcrop.types.beta")
    for module, names in _LATER.items():
        if not name.startswith("_") and name in (names.split() or import_module(module).__all__):
            found = globals()[name] = getattr(import_module(module), name)
            return found
    raise AttributeError(f"module 'outcrop.types' has no attribute {name!r}")


def __dir__() -> list[str]:
    from importlib import import_module

    later = [names.split() or import_module(module).__all__ for module, names in _LATER.items()]
    return sorted({"beta", *globals(), *(name for names in later for name in names)})


StopReason: TypeAlias = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
]

# Any other text than the kinds described. It is a literal so that type checkers, which narrow a union only
# where every member's `type` is one, know what `if block.type == "text"` leaves.
_Other: TypeAlias = Literal["(other)"]

_new: Final = object.__new__
_set: Final = object.__setattr__


# --- citations ---


class CitationCharLocation(Value):
    """Characters of a plain-text document; the end is exclusive."""

    type: Literal["char_location"] = "char_location"
    cited_text: str
    document_index: int
    document_title: str | None = None
    start_char_index: int
    end_char_index: int
    file_id: str | None = None


class CitationPageLocation(Value):
    """Pages of a PDF, from 1; the end is exclusive."""

    type: Literal["page_location"] = "page_location"
    cited_text: str
    document_index: int
    document_title: str | None = None
    start_page_number: int
    end_page_number: int
    file_id: str | None = None


class CitationContentBlockLocation(Value):
    """Blocks of a document made of blocks; the end is exclusive."""

    type: Literal["content_block_location"] = "content_block_location"
    cited_text: str
    document_index: int
    document_title: str | None = None
    start_block_index: int
    end_block_index: int
    file_id: str | None = None


class CitationsSearchResultLocation(Value):
    """Blocks of a `search_result` of the request; the end is exclusive."""

    type: Literal["search_result_location"] = "search_result_location"
    cited_text: str
    search_result_index: int
    source: str
    title: str | None = None
    start_block_index: int
    end_block_index: int


class CitationsWebSearchResultLocation(Value):
    """A page that a web search found."""

    type: Literal["web_search_result_location"] = "web_search_result_location"
    cited_text: str
    encrypted_index: str
    title: str | None = None
    url: str


class UnknownCitation(Loose):
    """A citation of another kind."""

    type: _Other


TextCitation: TypeAlias = (
    CitationCharLocation
    | CitationPageLocation
    | CitationContentBlockLocation
    | CitationsSearchResultLocation
    | CitationsWebSearchResultLocation
    | UnknownCitation
)

_citation: Final = one_of(
    {
        "char_location": CitationCharLocation,
        "page_location": CitationPageLocation,
        "content_block_location": CitationContentBlockLocation,
        "search_result_location": CitationsSearchResultLocation,
        "web_search_result_location": CitationsWebSearchResultLocation,
    },
    UnknownCitation,
)


# --- blocks ---


class TextBlock(Value):
    """Text."""

    type: Literal["text"] = "text"
    text: str
    citations: Items[TextCitation] | None = None
    _members: ClassVar = {"citations": each(_citation)}


class ThinkingBlock(Value):
    """What the model thought. It goes back unchanged, with its `signature`, when a conversation goes on."""

    type: Literal["thinking"] = "thinking"
    thinking: str
    signature: str


class RedactedThinkingBlock(Value):
    """Thinking that only the server can read. It goes back unchanged."""

    type: Literal["redacted_thinking"] = "redacted_thinking"
    data: str


class ToolUseBlock(Value):
    """A tool that the application is to run. `input` is a plain dict."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]
    caller: Loose | None = None
    toolset_name: str | None = None
    _members: ClassVar = {"caller": loose}


class ServerToolUseBlock(Value):
    """A tool that the server runs. `input` is a plain dict."""

    type: Literal["server_tool_use"] = "server_tool_use"
    id: str
    name: str
    input: dict[str, Any]
    caller: Loose | None = None
    _members: ClassVar = {"caller": loose}


class UnknownBlock(Loose):
    """A block of another kind: a server tool's result, say."""

    type: Literal[
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_search_tool_result",
        "container_upload",
        "mcp_tool_use",
        "mcp_tool_result",
        "compaction",
        "(other)",
    ]


ContentBlock: TypeAlias = (
    TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ServerToolUseBlock | UnknownBlock
)

block_of: Final = one_of(
    {
        "text": TextBlock,
        "thinking": ThinkingBlock,
        "redacted_thinking": RedactedThinkingBlock,
        "tool_use": ToolUseBlock,
        "server_tool_use": ServerToolUseBlock,
    },
    UnknownBlock,
)


# --- messages ---

# where beta features edit a request, what they did is told beside the message, or beside its last delta
_TOLD_BESIDE: Final = frozenset(("context_management", "input_transformations"))


class CacheCreation(Value):
    """Tokens written to the cache, by how long they are kept."""

    ephemeral_5m_input_tokens: int
    ephemeral_1h_input_tokens: int


class ServerToolUsage(Value):
    """How often the server's tools were asked."""

    web_search_requests: int
    web_fetch_requests: int


class OutputTokensDetails(Value):
    """What the output tokens were spent on."""

    thinking_tokens: int


class Usage(Value):
    """Tokens of a message. `input_tokens` are those neither read from the cache nor written to it."""

    input_tokens: int
    output_tokens: int
    cache_creation: CacheCreation | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    inference_geo: str | None = None
    output_tokens_details: OutputTokensDetails | None = None
    server_tool_use: ServerToolUsage | None = None
    service_tier: Literal["standard", "priority", "batch"] | None = None
    speed: Literal["standard", "fast"] | None = None
    iterations: Items[Loose] | None = None
    fallback_credit: Loose | None = None
    _beta: ClassVar = frozenset(("iterations", "fallback_credit"))
    _members: ClassVar = {
        "iterations": loose,
        "fallback_credit": loose,
        "cache_creation": one(CacheCreation),
        "output_tokens_details": one(OutputTokensDetails),
        "server_tool_use": one(ServerToolUsage),
    }


class MessageDeltaUsage(Value):
    """Tokens so far, at the end of a stream: totals, not differences. What is absent has not changed."""

    output_tokens: int
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: OutputTokensDetails | None = None
    server_tool_use: ServerToolUsage | None = None
    iterations: Items[Loose] | None = None
    fallback_credit: Loose | None = None
    _beta: ClassVar = frozenset(("iterations", "fallback_credit"))
    _members: ClassVar = {
        "iterations": loose,
        "fallback_credit": loose,
        "output_tokens_details": one(OutputTokensDetails),
        "server_tool_use": one(ServerToolUsage),
    }


class Container(Loose):
    """Where the server's code execution ran. `expires_at` is ISO 8601 text."""

    id: str
    expires_at: str
    skills: Items[Any] | None = None


class RefusalStopDetails(Value):
    """Why the model was stopped with `stop_reason="refusal"`."""

    type: Literal["refusal"] = "refusal"
    category: str | None = None
    explanation: str | None = None
    recommended_model: str | None = None
    fallback_has_prefill_claim: bool | None = None
    fallback_credit_token: str | None = None
    _beta: ClassVar = frozenset(("recommended_model", "fallback_has_prefill_claim", "fallback_credit_token"))


class Message(Value):
    """An answer of the model.

    `content` is a list of blocks: `block.type` tells what each is. `stop_reason` is null only inside a stream
    that has not ended. `cost` is what it cost, with the arithmetic, and `_request_id` what AWS's support asks
    for; both are None where a message did not come from a call.
    """

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: Items[ContentBlock]
    usage: Usage
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    stop_details: RefusalStopDetails | None = None
    container: Container | None = None
    diagnostics: Loose | None = None
    context_management: Loose | None = None
    input_transformations: Items[Loose] | None = None
    _beta: ClassVar = _TOLD_BESIDE
    _members: ClassVar = {
        "content": each(block_of),
        "usage": one(Usage),
        "stop_details": one(RefusalStopDetails),
        "container": one(Container),
        "diagnostics": loose,
        **dict.fromkeys(_TOLD_BESIDE, loose),
    }

    @property
    def cost(self) -> Cost | None:
        """What this message cost, in USD; None when the model's price is not known."""
        about = self._about
        return None if about is None else about.cost(self.usage)


class MessageTokensCount(Value):
    """How many input tokens a message would have."""

    input_tokens: int
    context_management: Loose | None = None
    _beta: ClassVar = frozenset(("context_management",))


# --- events of a stream, as they come ---


class TextDelta(Value):
    """More of a text block's text."""

    type: Literal["text_delta"] = "text_delta"
    text: str


class InputJSONDelta(Value):
    """More of the JSON of a tool's input."""

    type: Literal["input_json_delta"] = "input_json_delta"
    partial_json: str


class ThinkingDelta(Value):
    """More of a thinking block's thinking."""

    type: Literal["thinking_delta"] = "thinking_delta"
    thinking: str
    estimated_tokens: int | None = None
    _beta: ClassVar = frozenset(("estimated_tokens",))


class SignatureDelta(Value):
    """A thinking block's signature, whole."""

    type: Literal["signature_delta"] = "signature_delta"
    signature: str


class CitationsDelta(Value):
    """One more citation of a text block."""

    type: Literal["citations_delta"] = "citations_delta"
    citation: TextCitation
    _members: ClassVar = {"citation": _citation}


class UnknownDelta(Loose):
    """A delta of another kind."""

    type: Literal["compaction_delta", "(other)"]


RawContentBlockDelta: TypeAlias = (
    TextDelta | InputJSONDelta | ThinkingDelta | SignatureDelta | CitationsDelta | UnknownDelta
)

_DELTAS: Final[dict[Any, type[Value]]] = {
    "text_delta": TextDelta,
    "input_json_delta": InputJSONDelta,
    "thinking_delta": ThinkingDelta,
    "signature_delta": SignatureDelta,
    "citations_delta": CitationsDelta,
}


class RawMessageStartEvent(Value):
    """The first event: the message, still without content."""

    type: Literal["message_start"] = "message_start"
    message: Message
    _members: ClassVar = {"message": one(Message)}


class MessageDelta(Value):
    """What is known of a message at its end."""

    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    stop_details: RefusalStopDetails | None = None
    container: Container | None = None
    _members: ClassVar = {"stop_details": one(RefusalStopDetails), "container": one(Container)}


class RawMessageDeltaEvent(Value):
    """The last event but one: why the message ended, and its usage."""

    type: Literal["message_delta"] = "message_delta"
    delta: MessageDelta
    usage: MessageDeltaUsage
    context_management: Loose | None = None
    input_transformations: Items[Loose] | None = None
    _beta: ClassVar = _TOLD_BESIDE
    _members: ClassVar = {
        "delta": one(MessageDelta),
        "usage": one(MessageDeltaUsage),
        **dict.fromkeys(_TOLD_BESIDE, loose),
    }


class RawMessageStopEvent(Value):
    """The last event. Bedrock adds its own counts as `event["amazon-bedrock-invocationMetrics"]`."""

    type: Literal["message_stop"] = "message_stop"


class RawContentBlockStartEvent(Value):
    """A block begins."""

    type: Literal["content_block_start"] = "content_block_start"
    index: int
    content_block: ContentBlock
    _members: ClassVar = {"content_block": block_of}


class RawContentBlockDeltaEvent(Value):
    """More of a block."""

    type: Literal["content_block_delta"] = "content_block_delta"
    index: int
    delta: RawContentBlockDelta

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The event of decoded JSON. Written out, because most events of a stream are this one."""
        delta = raw.get("delta")
        if type(delta) is dict:
            try:
                kind = _DELTAS[delta["type"]]
            except (KeyError, TypeError):
                kind = UnknownDelta
            if kind._members or kind is UnknownDelta:
                raw["delta"] = kind.of(delta)
            else:
                raw["delta"] = inner = _new(kind)
                _set(inner, "__dict__", delta)
        made = _new(cls)
        _set(made, "__dict__", raw)
        return made


class RawContentBlockStopEvent(Value):
    """A block is complete."""

    type: Literal["content_block_stop"] = "content_block_stop"
    index: int


class UnknownEvent(Loose):
    """An event of another kind."""

    type: _Other


RawMessageStreamEvent: TypeAlias = (
    RawMessageStartEvent
    | RawMessageDeltaEvent
    | RawMessageStopEvent
    | RawContentBlockStartEvent
    | RawContentBlockDeltaEvent
    | RawContentBlockStopEvent
    | UnknownEvent
)
Event: TypeAlias = RawMessageStreamEvent

_EVENTS: Final[dict[Any, Callable[[dict[str, Any]], Any]]] = {
    "message_start": RawMessageStartEvent.of,
    "message_delta": RawMessageDeltaEvent.of,
    "message_stop": RawMessageStopEvent.of,
    "content_block_start": RawContentBlockStartEvent.of,
    "content_block_delta": RawContentBlockDeltaEvent.of,
    "content_block_stop": RawContentBlockStopEvent.of,
}


def event_of(raw: dict[str, Any]) -> Event:
    """The event of decoded JSON. `raw` is its own from now on."""
    try:
        of = _EVENTS[raw["type"]]
    except (KeyError, TypeError):  # TypeError: a `type` that is a list
        of = UnknownEvent.of
    event: Event = of(raw)
    return event


def message_of(raw: dict[str, Any]) -> Message:
    """The message of decoded JSON. `raw` is its own from now on."""
    return Message.of(raw)


# --- events that `messages.stream` adds ---


class _Told(Value):
    """An event whose `snapshot`, what there was at that moment, is put together when it is first read."""

    __slots__ = ("_source",)
    _late: ClassVar = ("snapshot",)


def _then(event: _Told) -> Any:
    grown, end = object.__getattribute__(event, "_source")
    return grown.upto(end)


class TextEvent(_Told):
    """More text. `snapshot` is all the block's text up to this event."""

    type: Literal["text"] = "text"
    text: str

    @cached_property
    def snapshot(self) -> str:
        """All the block's text up to this event."""
        text: str = _then(self)
        return text


class ThinkingEvent(_Told):
    """More thinking. `snapshot` is all the block's thinking up to this event."""

    type: Literal["thinking"] = "thinking"
    thinking: str

    @cached_property
    def snapshot(self) -> str:
        """All the block's thinking up to this event."""
        text: str = _then(self)
        return text


class InputJsonEvent(_Told):
    """More of a tool's input. `snapshot` is the input as far as it is complete up to this event."""

    type: Literal["input_json"] = "input_json"
    partial_json: str

    @cached_property
    def snapshot(self) -> Any:
        """The input up to this event; text and names that are not complete are left out."""
        return _then(self)


class CitationEvent(_Told):
    """One more citation. `snapshot` are all of the block up to this event."""

    type: Literal["citation"] = "citation"
    citation: TextCitation

    @cached_property
    def snapshot(self) -> Items[TextCitation]:
        """All citations of the block up to this event."""
        citations: Items[TextCitation] = _then(self)
        return citations


class SignatureEvent(Value):
    """The signature of a thinking block."""

    type: Literal["signature"] = "signature"
    signature: str


class CompactionEvent(Value):
    """A summary of the conversation so far has come (beta)."""

    type: Literal["compaction"] = "compaction"
    content: str | None
    encrypted_content: str | None


class MessageStopEvent(RawMessageStopEvent):
    """The last event, with the whole message."""

    message: Message


class ContentBlockStopEvent(RawContentBlockStopEvent):
    """A block is complete: here it is."""

    content_block: ContentBlock


MessageStreamEvent: TypeAlias = (
    TextEvent
    | ThinkingEvent
    | InputJsonEvent
    | CitationEvent
    | SignatureEvent
    | CompactionEvent
    | RawMessageStartEvent
    | RawMessageDeltaEvent
    | MessageStopEvent
    | RawContentBlockStartEvent
    | RawContentBlockDeltaEvent
    | ContentBlockStopEvent
    | UnknownEvent
)

# other names that `anthropic` has for the same
Citation: TypeAlias = TextCitation
InputJsonDelta = InputJSONDelta
MessageStartEvent = RawMessageStartEvent
MessageDeltaEvent = RawMessageDeltaEvent
ContentBlockStartEvent = RawContentBlockStartEvent
ContentBlockDeltaEvent = RawContentBlockDeltaEvent


# --- Converse: AWS's names, and boto3's shape by subscript ---


def _bytes(member: Any) -> Any:
    """JSON has binary members as base64; boto3 gives bytes, and so do we."""
    try:
        return a2b_base64(member, strict_mode=True)
    except (TypeError, ValueError):
        return member


class TokenUsage(Value):
    """Tokens of a Converse answer."""

    inputTokens: int
    outputTokens: int
    totalTokens: int
    cacheReadInputTokens: int | None = None
    cacheWriteInputTokens: int | None = None
    cacheDetails: Items[Loose] | None = None
    _members: ClassVar = {"cacheDetails": loose}


class _Blob(Loose):
    """An object whose `bytes`, or those in its `source`, are bytes."""

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The value of decoded JSON."""
        source = raw.get("source")
        if isinstance(source, dict) and "bytes" in source:
            raw["source"] = {**source, "bytes": _bytes(source["bytes"])}
        return super().of(raw)


class ReasoningContent(Loose):
    """Thinking: `reasoningText` with `text` and `signature`, or `redactedContent`, which is bytes."""

    reasoningText: Loose | None = None
    redactedContent: bytes | None = None

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The value of decoded JSON."""
        if "redactedContent" in raw:
            raw["redactedContent"] = _bytes(raw["redactedContent"])
        return super().of(raw)


class ConverseToolUse(Loose):
    """A tool that the application is to run. `input` is plain JSON, a dict as a rule."""

    toolUseId: str
    name: str
    input: Any


class ConverseBlock(Loose):
    """A block of a Converse message: the one member that is there tells its kind."""

    text: str | None = None
    toolUse: ConverseToolUse | None = None
    toolResult: Loose | None = None
    reasoningContent: ReasoningContent | None = None
    citationsContent: Loose | None = None
    image: Loose | None = None
    document: Loose | None = None
    _kinds: ClassVar[dict[str, Any]] = {
        "toolUse": one(ConverseToolUse),
        "reasoningContent": one(ReasoningContent),
        **dict.fromkeys(("image", "document", "video", "audio"), one(_Blob)),
    }

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The value of decoded JSON."""
        for name, wrap in cls._kinds.items():
            if name in raw:
                raw[name] = wrap(raw[name])
        return super().of(raw)


class ConverseMessage(Value):
    """A message in Converse's form. It can be sent back as it is."""

    role: Literal["assistant", "user"]
    content: Items[ConverseBlock]
    _members: ClassVar = {"content": each(one(ConverseBlock))}


class ConverseOutput(Value):
    """Where Converse puts its message."""

    message: ConverseMessage
    _members: ClassVar = {"message": one(ConverseMessage)}


class ConverseResponse(Value):
    """Converse's answer: `response.output.message.content[0].text`, or `response["output"]["message"]…`."""

    output: ConverseOutput
    stopReason: str
    usage: TokenUsage
    metrics: Loose
    additionalModelResponseFields: Any = None
    trace: Loose | None = None
    performanceConfig: Loose | None = None
    serviceTier: Loose | None = None
    _members: ClassVar = {
        "output": one(ConverseOutput),
        "usage": one(TokenUsage),
        **dict.fromkeys(("metrics", "trace", "performanceConfig", "serviceTier"), loose),
    }

    @property
    def cost(self) -> Cost | None:
        """What this answer cost, in USD; None when the model's price is not known."""
        about = self._about
        return None if about is None else about.cost(self.usage)


class ConverseToolUseDelta(Loose):
    """More of a tool's input: a piece of JSON."""

    input: str


class ConverseDelta(ConverseBlock):
    """More of a block."""

    toolUse: ConverseToolUseDelta | None = None  # type: ignore[assignment] # AWS too uses the name for both
    citation: Loose | None = None
    _kinds: ClassVar = {**ConverseBlock._kinds, "toolUse": one(ConverseToolUseDelta)}


class ConverseDeltaEvent(Value):
    """More of the block at `contentBlockIndex`."""

    delta: ConverseDelta
    contentBlockIndex: int
    _members: ClassVar = {"delta": one(ConverseDelta)}


class ConverseMessageStart(Value):
    """A message begins."""

    role: Literal["assistant", "user"]


class ConverseBlockStart(Value):
    """A block begins: `start.toolUse` tells which tool. A block of text has no such event."""

    start: ConverseBlock
    contentBlockIndex: int
    _members: ClassVar = {"start": one(ConverseBlock)}


class ConverseBlockStop(Value):
    """A block is complete."""

    contentBlockIndex: int


class ConverseMessageStop(Value):
    """The message is complete, and why."""

    stopReason: str
    additionalModelResponseFields: Any = None
    _members: ClassVar = {"additionalModelResponseFields": loose}


class ConverseMetadata(Value):
    """The last event of a Converse stream."""

    usage: TokenUsage
    metrics: Loose
    trace: Loose | None = None
    performanceConfig: Loose | None = None
    serviceTier: Loose | None = None
    _members: ClassVar = {
        "usage": one(TokenUsage),
        **dict.fromkeys(("metrics", "trace", "performanceConfig", "serviceTier"), loose),
    }


class ConverseStreamEvent(Value):
    """An event of a Converse stream: the one member that is there tells its kind, and so does `type`."""

    messageStart: ConverseMessageStart | None = None
    contentBlockStart: ConverseBlockStart | None = None
    contentBlockDelta: ConverseDeltaEvent | None = None
    contentBlockStop: ConverseBlockStop | None = None
    messageStop: ConverseMessageStop | None = None
    metadata: ConverseMetadata | None = None
    _members: ClassVar = {
        "messageStart": one(ConverseMessageStart),
        "contentBlockStart": one(ConverseBlockStart),
        "contentBlockDelta": one(ConverseDeltaEvent),
        "contentBlockStop": one(ConverseBlockStop),
        "messageStop": one(ConverseMessageStop),
        "metadata": one(ConverseMetadata),
    }

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The event of `{name: members}`. Bedrock's padding, `p`, says nothing and is left out."""
        for members in raw.values():
            if type(members) is dict:
                members.pop("p", None)
        return super().of(raw)

    @property
    def type(self) -> str:
        """The name of the member that is there."""
        return next(iter(self.__dict__), "")


# --- what Bedrock has ---


class ModelSummary(Value):
    """A foundation model, as ListFoundationModels and GetFoundationModel show it. Times are ISO 8601 text."""

    modelArn: str
    modelId: str
    modelName: str | None = None
    providerName: str | None = None
    inputModalities: Items[str] | None = None
    outputModalities: Items[str] | None = None
    responseStreamingSupported: bool | None = None
    customizationsSupported: Items[str] | None = None
    inferenceTypesSupported: Items[str] | None = None
    modelLifecycle: Loose | None = None
    _members: ClassVar = {
        **dict.fromkeys(
            (
                "modelLifecycle",
                "inputModalities",
                "outputModalities",
                "customizationsSupported",
                "inferenceTypesSupported",
            ),
            loose,
        ),
    }

    @property
    def kind(self) -> Literal["foundation-model"]:
        """What it is, as in its ARN."""
        return "foundation-model"

    @property
    def id(self) -> str:
        """What a call names it by."""
        return self.modelId

    @property
    def name(self) -> str:
        """What people call it; its id where AWS tells no name."""
        return self.modelName or self.modelId

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.modelArn

    @property
    def status(self) -> str:
        """`ACTIVE` or `LEGACY`; "" where AWS does not tell."""
        return self.modelLifecycle.get("status", "") if self.modelLifecycle is not None else ""

    @property
    def regions(self) -> tuple[str, ...]:
        """Where it runs: the region that was asked."""
        return _regions([self.modelArn])


class ProfileSummary(Value):
    """An inference profile, as ListInferenceProfiles and GetInferenceProfile show it."""

    inferenceProfileArn: str
    inferenceProfileId: str
    inferenceProfileName: str
    models: Items[Loose]
    status: str
    type: Literal["SYSTEM_DEFINED", "APPLICATION"]
    description: str | None = None
    createdAt: str | None = None
    updatedAt: str | None = None
    _members: ClassVar = {"models": loose}

    @property
    def kind(self) -> Literal["inference-profile", "application-inference-profile"]:
        """What it is, as in its ARN: AWS's own profile, or one that the account has made."""
        return "application-inference-profile" if self.type == "APPLICATION" else "inference-profile"

    @property
    def id(self) -> str:
        """What a call names it by."""
        return self.inferenceProfileId

    @property
    def name(self) -> str:
        """What people call it."""
        return self.inferenceProfileName

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.inferenceProfileArn

    @property
    def regions(self) -> tuple[str, ...]:
        """Where a call may run. `"*"`: any region; AWS lists a global profile's model without a region."""
        return _regions([model.get("modelArn", "") for model in self.models])


def _regions(arns: list[str]) -> tuple[str, ...]:
    """The regions of ARNs (arn:partition:bedrock:region:…), each once, in their order."""
    parts = [arn.split(":", 4) for arn in arns]
    return tuple(dict.fromkeys(part[3] or "*" for part in parts if len(part) > 4))


class Identity(Value):
    """Who the credentials belong to."""

    account: str
    arn: str
    user_id: str
