"""What can be given to a call, as typed dicts: for editors, type checkers and who imports them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

from outcrop.client.model_names import ModelName
from outcrop.client.requests import Omit
from outcrop.client.timeouts import Timeout
from outcrop.types.request import MessageParam, MetadataParam, TextBlockParam

__all__ = [
    "CallOptions",
    "ClientOptions",
    "ConverseParams",
    "CountParams",
    "Endpoint",
    "MessageCountTokensParams",
    "MessageCreateParams",
    "MessageCreateParamsBase",
    "MessageCreateParamsNonStreaming",
    "MessageCreateParamsStreaming",
    "MessageParams",
]

Endpoint: TypeAlias = Literal["global", "regional", "us", "eu", "jp", "apac", "au", "in", "us-gov"]
Object: TypeAlias = Mapping[str, object]
"""Any object of the API's: the typed dicts of `outcrop.types` among them."""


class CallOptions(TypedDict, total=False):
    """How a call is made, whatever it asks."""

    extra_headers: Mapping[str, object] | None
    """Headers to add; these win over all others. One that is None, or `omit`, is left out."""
    extra_query: Mapping[str, object] | None
    """Query parameters to add."""
    extra_body: Mapping[str, object] | None
    """Members to add to the body: what the API has and this client has no keyword for."""
    timeout: float | Timeout | Omit | None
    """Seconds, or a Timeout with seconds for each phase; None waits for ever."""


class ModelChoice(CallOptions, total=False):
    """Which model, and where it may run."""

    model: Required[ModelName]
    """A short name (`claude-sonnet-4-5`), an id, an inference profile's id, or an ARN."""
    endpoint: Endpoint | Omit | None
    """Which endpoint of the model, for a short name or a bare id."""


class CountParams(ModelChoice, total=False):
    """What `messages.count_tokens` takes."""

    messages: Required[Iterable[MessageParam]]
    """The conversation, the newest turn last."""
    system: str | Iterable[TextBlockParam | Object] | Omit
    """What the model is told before the conversation."""
    tools: Iterable[Object] | Omit
    """What the model may ask the application to run: name, description and JSON Schema of each."""
    tool_choice: Object | Omit
    """Whether tools must be used, may be, or which."""
    thinking: Object | Omit
    """Whether the model thinks before it answers, and with how many tokens."""
    betas: Sequence[str] | Omit
    """Beta features, as in the anthropic-beta header; Bedrock gets them in the body."""
    cache_control: Object | Omit | None
    """Keeps everything up to the last block that can be kept."""
    context_management: Object | Omit | None
    mcp_servers: Iterable[Object] | Omit
    output_config: Object | Omit
    output_format: Object | Omit | None
    speed: Literal["standard", "fast"] | Omit | None
    user_profile_id: str | Omit
    workspace_id: str | Omit


class MessageParams(CountParams, total=False):
    """What `messages.create` and `messages.stream` take."""

    max_tokens: Required[int]
    """How many tokens the answer may have. All of them are reserved from the account's quota."""
    temperature: float | Omit
    """From 0, which is sober, to 1."""
    top_p: float | Omit
    """Only the likeliest tokens that together have this probability."""
    top_k: int | Omit
    """Only so many of the likeliest tokens."""
    stop_sequences: Sequence[str] | Omit
    """Texts that end the answer."""
    metadata: MetadataParam | Object | Omit
    """`user_id`: an opaque id of whom the request is for."""
    container: str | Object | Omit | None
    diagnostics: Object | Omit | None
    inference_geo: str | Omit | None
    service_tier: Literal["auto", "standard_only"] | Omit


class MessageCreateParamsNonStreaming(MessageParams, total=False):
    """What `messages.create` takes for a whole message."""

    stream: Literal[False] | Omit


class MessageCreateParamsStreaming(MessageParams):
    """What `messages.create` takes for a message as a stream."""

    stream: Literal[True]


MessageCreateParamsBase: TypeAlias = MessageParams
MessageCreateParams: TypeAlias = MessageCreateParamsNonStreaming | MessageCreateParamsStreaming
MessageCountTokensParams: TypeAlias = CountParams


class ConverseParams(ModelChoice, total=False):
    """What `converse` and `converse_stream` take: the members of AWS's Converse by their names.

    Bytes (images, documents) are given as bytes and sent as base64.
    """

    messages: Required[Iterable[Object]]
    """The conversation: `{"role": …, "content": [{"text": …}]}`, or messages that came in a reply."""
    system: Iterable[Object] | Omit
    """What the model is told before the conversation: `[{"text": …}]`."""
    inferenceConfig: Object | Omit
    """`maxTokens`, `temperature`, `topP`, `stopSequences`."""
    toolConfig: Object | Omit
    """`tools` and `toolChoice`."""
    guardrailConfig: Object | Omit
    additionalModelRequestFields: Object | Omit
    """What the model has beside Converse: `thinking`, `top_k`, `anthropic_beta`."""
    additionalModelResponseFieldPaths: Sequence[str] | Omit
    promptVariables: Object | Omit
    requestMetadata: Mapping[str, str] | Omit
    performanceConfig: Object | Omit
    serviceTier: Object | Omit
    outputConfig: Object | Omit


class ClientOptions(TypedDict, total=False):
    """What `with_options` takes: everything the constructor does, and headers and query to replace all."""

    aws_access_key: str | Omit | None
    aws_secret_key: str | Omit | None
    aws_session_token: str | Omit | None
    aws_region: str | Omit | None
    aws_profile: str | Omit | None
    api_key: str | Omit | None
    base_url: str | Omit | None
    timeout: float | Timeout | Omit | None
    max_retries: int | Omit | None
    default_headers: Mapping[str, str | Omit | None] | Omit | None
    set_default_headers: Mapping[str, str | Omit | None] | Omit | None
    default_query: Mapping[str, object] | Omit | None
    set_default_query: Mapping[str, object] | Omit | None
    http_client: Any
    endpoint: Endpoint | Omit | None
    residency: str | Sequence[str] | Omit | None
    fallback: Sequence[str] | Omit | None
    edition: str | Omit
