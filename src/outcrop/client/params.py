"""What can be given to a call, for editors and type checkers. Never imported when a program runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NotRequired, Required, TypeAlias, TypedDict

from outcrop.client.model_names import ModelName
from outcrop.client.timeouts import Timeout
from outcrop.types import ContentBlock

Endpoint: TypeAlias = Literal["global", "regional", "us", "eu", "jp", "apac", "au", "in", "us-gov"]
Block: TypeAlias = Mapping[str, Any] | ContentBlock


class MessageParam(TypedDict):
    """One message. `content` is text, or blocks: dicts, or those that came in a reply."""

    role: Literal["user", "assistant", "system"]
    content: str | Iterable[Block]


class CallOptions(TypedDict, total=False):
    """How a call is made, whatever it asks."""

    extra_headers: Mapping[str, Any] | None
    """Headers to add; these win over all others."""
    extra_query: Mapping[str, Any] | None
    """Query parameters to add."""
    extra_body: Mapping[str, Any] | None
    """Members to add to the body: what the API has and this client has no keyword for."""
    timeout: float | Timeout | None
    """Seconds, or a Timeout with seconds for each phase; None waits for ever."""


class ModelChoice(CallOptions, total=False):
    """Which model, and where it may run."""

    model: Required[ModelName]
    """A short name (`claude-sonnet-4-5`), an id, an inference profile's id, or an ARN."""
    endpoint: Endpoint | None
    """Which endpoint of the model, for a short name or a bare id."""


class CountParams(ModelChoice, total=False):
    """What `messages.count_tokens` takes."""

    messages: Required[Iterable[MessageParam]]
    system: str | Iterable[Block]
    tools: Iterable[Mapping[str, Any]]
    tool_choice: Mapping[str, Any]
    thinking: Mapping[str, Any]
    betas: Sequence[str]
    """Beta features, as in the anthropic-beta header; Bedrock gets them in the body."""
    cache_control: Mapping[str, Any] | None
    output_config: Mapping[str, Any]


class MessageParams(CountParams, total=False):
    """What `messages.create` and `messages.stream` take."""

    max_tokens: Required[int]
    """How many tokens the answer may have. All of them are reserved from the account's quota."""
    temperature: float
    top_p: float
    top_k: int
    stop_sequences: Sequence[str]
    metadata: Mapping[str, Any]
    container: Any
    context_management: Mapping[str, Any] | None
    diagnostics: Mapping[str, Any] | None
    inference_geo: str | None
    mcp_servers: Iterable[Mapping[str, Any]]
    output_format: Mapping[str, Any] | None
    service_tier: Literal["auto", "standard_only"]
    speed: Literal["standard", "fast"] | None
    user_profile_id: str
    workspace_id: str


class ConverseParams(ModelChoice, total=False):
    """What `converse` and `converse_stream` take: the members of AWS's Converse by their names.

    Bytes (images, documents) are given as bytes and sent as base64.
    """

    messages: Required[Iterable[Mapping[str, Any]]]
    system: Iterable[Mapping[str, Any]]
    inferenceConfig: Mapping[str, Any]
    toolConfig: Mapping[str, Any]
    guardrailConfig: Mapping[str, Any]
    additionalModelRequestFields: Mapping[str, Any]
    additionalModelResponseFieldPaths: Sequence[str]
    promptVariables: Mapping[str, Any]
    requestMetadata: Mapping[str, str]
    performanceConfig: Mapping[str, Any]
    serviceTier: Mapping[str, Any]
    outputConfig: Mapping[str, Any]


class ClientOptions(TypedDict, total=False):
    """What `with_options` takes: everything the constructor does, and headers to add."""

    aws_access_key: str | None
    aws_secret_key: str | None
    aws_session_token: str | None
    aws_region: str | None
    aws_profile: str | None
    api_key: str | None
    base_url: str | None
    timeout: float | Timeout | None
    max_retries: int
    default_headers: Mapping[str, str] | None
    set_default_headers: NotRequired[Mapping[str, str]]
    default_query: Mapping[str, object] | None
    set_default_query: NotRequired[Mapping[str, object]]
    http_client: Any
    endpoint: Endpoint | None
    residency: str | Sequence[str] | None
    fallback: Sequence[str]
    edition: str
