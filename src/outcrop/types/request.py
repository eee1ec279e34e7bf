"""What goes into a request: messages, blocks, tools, choices, as typed dicts by the names `anthropic` has.

No call needs this: `outcrop.types` imports it when one of the names is first asked for. What is newer than
these is written as a plain dict, wherever one of them is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import IO, Literal, Required, TypeAlias, TypedDict

from outcrop.client.model_names import ModelName
from outcrop.types import ContentBlock

__all__ = [
    "AnthropicBetaParam",
    "AssistantMessageParam",
    "Base64ImageSourceParam",
    "Base64PDFSourceParam",
    "Binary",
    "Block",
    "CacheControlEphemeralParam",
    "CitationCharLocationParam",
    "CitationContentBlockLocationParam",
    "CitationPageLocationParam",
    "CitationSearchResultLocationParam",
    "CitationWebSearchResultLocationParam",
    "CitationsConfigParam",
    "ContentBlockParam",
    "ContentBlockSourceContentParam",
    "ContentBlockSourceParam",
    "DiagnosticsParam",
    "DocumentBlockParam",
    "ImageBlockParam",
    "JSONOutputFormatParam",
    "MemoryTool20250818Param",
    "MessageContentParam",
    "MessageCountTokensToolParam",
    "MessageParam",
    "MetadataParam",
    "Model",
    "ModelParam",
    "OutputConfigParam",
    "PlainTextSourceParam",
    "RedactedThinkingBlockParam",
    "SearchResultBlockParam",
    "ServerToolUseBlockParam",
    "SystemMessageParam",
    "TextBlockParam",
    "TextCitationParam",
    "ThinkingBlockParam",
    "ThinkingConfigAdaptiveParam",
    "ThinkingConfigBetweenToolsParam",
    "ThinkingConfigDisabledParam",
    "ThinkingConfigEnabledParam",
    "ThinkingConfigParam",
    "ToolBash20250124Param",
    "ToolChoiceAnyParam",
    "ToolChoiceAutoParam",
    "ToolChoiceNoneParam",
    "ToolChoiceParam",
    "ToolChoiceToolParam",
    "ToolParam",
    "ToolReferenceBlockParam",
    "ToolResultBlockParam",
    "ToolSearchToolRegex20251119Param",
    "ToolTextEditor20250124Param",
    "ToolTextEditor20250429Param",
    "ToolTextEditor20250728Param",
    "ToolUnionParam",
    "ToolUseBlockParam",
    "URLImageSourceParam",
    "URLPDFSourceParam",
    "UserMessageParam",
]

Model: TypeAlias = ModelName
ModelParam: TypeAlias = ModelName
AnthropicBetaParam: TypeAlias = str
Binary: TypeAlias = str | bytes | IO[bytes] | PathLike[str]
"""Binary data: base64 text, or bytes, an open file or a path, which are sent as base64."""


class CacheControlEphemeralParam(TypedDict, total=False):
    """Everything up to here is to be kept, for five minutes unless `ttl` says otherwise."""

    type: Required[Literal["ephemeral"]]
    ttl: Literal["5m", "1h"]


class CitationsConfigParam(TypedDict, total=False):
    """Whether the model is to cite."""

    enabled: bool


# --- citations that go back with the text they were made for ---


class CitationCharLocationParam(TypedDict):
    """Characters of a plain-text document; the end is exclusive."""

    type: Literal["char_location"]
    cited_text: str
    document_index: int
    document_title: str | None
    start_char_index: int
    end_char_index: int


class CitationPageLocationParam(TypedDict):
    """Pages of a PDF, from 1; the end is exclusive."""

    type: Literal["page_location"]
    cited_text: str
    document_index: int
    document_title: str | None
    start_page_number: int
    end_page_number: int


class CitationContentBlockLocationParam(TypedDict):
    """Blocks of a document made of blocks; the end is exclusive."""

    type: Literal["content_block_location"]
    cited_text: str
    document_index: int
    document_title: str | None
    start_block_index: int
    end_block_index: int


class CitationSearchResultLocationParam(TypedDict):
    """Blocks of a `search_result`; the end is exclusive."""

    type: Literal["search_result_location"]
    cited_text: str
    search_result_index: int
    source: str
    title: str | None
    start_block_index: int
    end_block_index: int


class CitationWebSearchResultLocationParam(TypedDict):
    """A page that a web search found."""

    type: Literal["web_search_result_location"]
    cited_text: str
    encrypted_index: str
    title: str | None
    url: str


TextCitationParam: TypeAlias = (
    CitationCharLocationParam
    | CitationPageLocationParam
    | CitationContentBlockLocationParam
    | CitationSearchResultLocationParam
    | CitationWebSearchResultLocationParam
)


# --- blocks ---


class TextBlockParam(TypedDict, total=False):
    """Text."""

    type: Required[Literal["text"]]
    text: Required[str]
    cache_control: CacheControlEphemeralParam | None
    citations: Iterable[TextCitationParam] | None


class Base64ImageSourceParam(TypedDict):
    """An image in the request itself."""

    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: Binary


class URLImageSourceParam(TypedDict):
    """An image that the server fetches. Bedrock takes none; servers that speak the Messages API may."""

    type: Literal["url"]
    url: str


class ImageBlockParam(TypedDict, total=False):
    """An image."""

    type: Required[Literal["image"]]
    source: Required[Base64ImageSourceParam | URLImageSourceParam]
    cache_control: CacheControlEphemeralParam | None


class Base64PDFSourceParam(TypedDict):
    """A PDF in the request itself."""

    type: Literal["base64"]
    media_type: Literal["application/pdf"]
    data: Binary


class PlainTextSourceParam(TypedDict):
    """A document that is plain text."""

    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class URLPDFSourceParam(TypedDict):
    """A PDF that the server fetches. Bedrock takes none; servers that speak the Messages API may."""

    type: Literal["url"]
    url: str


ContentBlockSourceContentParam: TypeAlias = TextBlockParam | ImageBlockParam


class ContentBlockSourceParam(TypedDict):
    """A document made of blocks."""

    type: Literal["content"]
    content: str | Iterable[ContentBlockSourceContentParam]


class DocumentBlockParam(TypedDict, total=False):
    """A document. `context` tells the model about it and can't be cited."""

    type: Required[Literal["document"]]
    source: Required[
        Base64PDFSourceParam | PlainTextSourceParam | ContentBlockSourceParam | URLPDFSourceParam
    ]
    title: str | None
    context: str | None
    citations: CitationsConfigParam | None
    cache_control: CacheControlEphemeralParam | None


class SearchResultBlockParam(TypedDict, total=False):
    """Something the application found, for the model to cite."""

    type: Required[Literal["search_result"]]
    source: Required[str]
    title: Required[str]
    content: Required[Iterable[TextBlockParam]]
    citations: CitationsConfigParam
    cache_control: CacheControlEphemeralParam | None


class ThinkingBlockParam(TypedDict):
    """Thinking of an earlier answer, unchanged."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedThinkingBlockParam(TypedDict):
    """Thinking of an earlier answer that only the server can read, unchanged."""

    type: Literal["redacted_thinking"]
    data: str


class ToolUseBlockParam(TypedDict, total=False):
    """A tool that the model asked for in an earlier answer."""

    type: Required[Literal["tool_use"]]
    id: Required[str]
    name: Required[str]
    input: Required[Mapping[str, object]]
    caller: Mapping[str, object]
    toolset_name: str | None
    cache_control: CacheControlEphemeralParam | None


class ToolReferenceBlockParam(TypedDict, total=False):
    """A tool that a search for tools found."""

    type: Required[Literal["tool_reference"]]
    tool_name: Required[str]
    cache_control: CacheControlEphemeralParam | None


class ToolResultBlockParam(TypedDict, total=False):
    """What running a tool gave, by the id of the `tool_use` block."""

    type: Required[Literal["tool_result"]]
    tool_use_id: Required[str]
    content: (
        str
        | Iterable[
            TextBlockParam
            | ImageBlockParam
            | SearchResultBlockParam
            | DocumentBlockParam
            | ToolReferenceBlockParam
        ]
    )
    is_error: bool
    toolset_name: str | None
    cache_control: CacheControlEphemeralParam | None


class ServerToolUseBlockParam(TypedDict, total=False):
    """A tool that the server ran in an earlier answer."""

    type: Required[Literal["server_tool_use"]]
    id: Required[str]
    name: Required[str]
    input: Required[Mapping[str, object]]
    caller: Mapping[str, object]
    cache_control: CacheControlEphemeralParam | None


ContentBlockParam: TypeAlias = (
    TextBlockParam
    | ImageBlockParam
    | DocumentBlockParam
    | SearchResultBlockParam
    | ThinkingBlockParam
    | RedactedThinkingBlockParam
    | ToolUseBlockParam
    | ToolResultBlockParam
    | ServerToolUseBlockParam
)
Block: TypeAlias = Mapping[str, object] | ContentBlock
"""A block of a message: a dict, all of the above among them, or one that came in a reply."""
MessageContentParam: TypeAlias = str | Iterable[Block]


# --- messages ---


class MessageParam(TypedDict):
    """One message. `content` is text, or blocks: dicts, or those that came in a reply."""

    role: Literal["user", "assistant", "system"]
    content: str | Iterable[Block]


UserMessageParam: TypeAlias = MessageParam
AssistantMessageParam: TypeAlias = MessageParam
SystemMessageParam: TypeAlias = MessageParam


class MetadataParam(TypedDict, total=False):
    """About the request. `user_id` is opaque: no name, no address."""

    user_id: str | None


# --- tools ---


class _Tool(TypedDict, total=False):
    cache_control: CacheControlEphemeralParam | None
    allowed_callers: Sequence[str]
    defer_loading: bool
    strict: bool


class ToolParam(_Tool, total=False):
    """A tool of the application's. `input_schema` is JSON Schema of an object."""

    name: Required[str]
    input_schema: Required[Mapping[str, object]]
    description: str
    type: Literal["custom"] | None
    eager_input_streaming: bool | None
    input_examples: Iterable[Mapping[str, object]]


class ToolBash20250124Param(_Tool, total=False):
    """Anthropic's bash, which the application runs."""

    type: Required[Literal["bash_20250124"]]
    name: Required[Literal["bash"]]
    input_examples: Iterable[Mapping[str, object]]


class ToolTextEditor20250124Param(_Tool, total=False):
    """Anthropic's text editor for Claude 3.7, which the application runs."""

    type: Required[Literal["text_editor_20250124"]]
    name: Required[Literal["str_replace_editor"]]
    input_examples: Iterable[Mapping[str, object]]


class ToolTextEditor20250429Param(_Tool, total=False):
    """Anthropic's text editor for the first Claude 4, which the application runs."""

    type: Required[Literal["text_editor_20250429"]]
    name: Required[Literal["str_replace_based_edit_tool"]]
    input_examples: Iterable[Mapping[str, object]]


class ToolTextEditor20250728Param(_Tool, total=False):
    """Anthropic's text editor, which the application runs."""

    type: Required[Literal["text_editor_20250728"]]
    name: Required[Literal["str_replace_based_edit_tool"]]
    input_examples: Iterable[Mapping[str, object]]
    max_characters: int | None


class MemoryTool20250818Param(_Tool, total=False):
    """Anthropic's memory, which the application keeps."""

    type: Required[Literal["memory_20250818"]]
    name: Required[Literal["memory"]]
    input_examples: Iterable[Mapping[str, object]]


class ToolSearchToolRegex20251119Param(_Tool, total=False):
    """The server's search among tools whose loading is deferred."""

    type: Required[Literal["tool_search_tool_regex_20251119", "tool_search_tool_regex"]]
    name: Required[Literal["tool_search_tool_regex"]]


ToolUnionParam: TypeAlias = (
    ToolParam
    | ToolBash20250124Param
    | ToolTextEditor20250124Param
    | ToolTextEditor20250429Param
    | ToolTextEditor20250728Param
    | MemoryTool20250818Param
    | ToolSearchToolRegex20251119Param
)
MessageCountTokensToolParam: TypeAlias = ToolUnionParam


class ToolChoiceAutoParam(TypedDict, total=False):
    """The model decides whether to use tools."""

    type: Required[Literal["auto"]]
    disable_parallel_tool_use: bool


class ToolChoiceAnyParam(TypedDict, total=False):
    """The model uses a tool, whichever it likes."""

    type: Required[Literal["any"]]
    disable_parallel_tool_use: bool


class ToolChoiceToolParam(TypedDict, total=False):
    """The model uses this tool."""

    type: Required[Literal["tool"]]
    name: Required[str]
    disable_parallel_tool_use: bool


class ToolChoiceNoneParam(TypedDict):
    """The model uses no tool."""

    type: Literal["none"]


ToolChoiceParam: TypeAlias = (
    ToolChoiceAutoParam | ToolChoiceAnyParam | ToolChoiceToolParam | ToolChoiceNoneParam
)


# --- thinking and output ---


class ThinkingConfigEnabledParam(TypedDict, total=False):
    """Thinking with so many tokens at most: 1024 or more, and less than `max_tokens`."""

    type: Required[Literal["enabled"]]
    budget_tokens: Required[int]
    display: Literal["summarized", "omitted"] | None


class ThinkingConfigDisabledParam(TypedDict):
    """No thinking."""

    type: Literal["disabled"]


class ThinkingConfigAdaptiveParam(TypedDict, total=False):
    """The model decides how much to think."""

    type: Required[Literal["adaptive"]]
    display: Literal["summarized", "omitted"] | None


class ThinkingConfigBetweenToolsParam(TypedDict):
    """No thinking but for short notes between calls of tools."""

    type: Literal["between_tools"]


ThinkingConfigParam: TypeAlias = (
    ThinkingConfigEnabledParam
    | ThinkingConfigDisabledParam
    | ThinkingConfigBetweenToolsParam
    | ThinkingConfigAdaptiveParam
)


class JSONOutputFormatParam(TypedDict):
    """The answer is to be JSON of that schema."""

    type: Literal["json_schema"]
    schema: Mapping[str, object]


class OutputConfigParam(TypedDict, total=False):
    """How the answer is to be."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None
    format: JSONOutputFormatParam | None


class DiagnosticsParam(TypedDict, total=False):
    """Asks why the cache was missed since an earlier answer."""

    previous_message_id: str | None
