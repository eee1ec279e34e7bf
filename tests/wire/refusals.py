"""Bodies of InvokeModel that Bedrock refuses, each with the exact refusal. Tests and a docs page read it.

A row's `body` is what is sent; a dict stands for its JSON. `model` is the bare id of a catalogued model.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

SONNET_4_5 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_3_7 = "anthropic.claude-3-7-sonnet-20250219-v1:0"
HAIKU_3_5 = "anthropic.claude-3-5-haiku-20241022-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
OPUS_4 = "anthropic.claude-opus-4-20250514-v1:0"
SONNET_4_6 = "anthropic.claude-sonnet-4-6"
OPUS_4_8 = "anthropic.claude-opus-4-8"
FABLE_5_1 = "anthropic.claude-fable-5-1"


class Refusal(NamedTuple):
    """One body, and what is answered."""

    title: str
    body: Mapping[str, Any] | bytes
    text: str
    model: str = SONNET_4_5
    fault: str = "ValidationException"


HELLO: dict[str, Any] = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 256,
    "messages": [{"role": "user", "content": "Hello, world"}],
}
WEATHER = {"name": "get_weather", "description": "Weather by city", "input_schema": {"type": "object"}}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(22)).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(26)).decode()


def hello(**changes: Any) -> dict[str, Any]:
    """The guide's request with other values; `...` takes a key away."""
    return {key: value for key, value in {**HELLO, **changes}.items() if value is not ...}


def said(*messages: tuple[str, Any], **changes: Any) -> dict[str, Any]:
    """The guide's request with another conversation: pairs of role and content."""
    return hello(messages=[{"role": role, "content": content} for role, content in messages], **changes)


def shown(block: Mapping[str, Any]) -> dict[str, Any]:
    """The guide's request with one block as the user's message."""
    return said(("user", [block]))


def image(data: str = PNG, media_type: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def pdf(data: str, media_type: str = "application/pdf") -> dict[str, Any]:
    return {"type": "document", "source": {"type": "base64", "media_type": media_type, "data": data}}


def call(use: str, name: str = "get_weather", **changes: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": use, "name": name, "input": {}, **changes}


def result(use: str, content: Any = "18 degrees") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": use, "content": content}


def marked(text: str = "x", **mark: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral", **mark}}


def malformed(what: str) -> str:
    return f"Malformed input request: {what}, please reformat your input and try again."


NOT_JSON = "Malformed input request, please reformat your input and try again."
DOCS = (
    "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
)
SAMPLING_DOCS = f"{DOCS}#important-considerations-when-using-extended-thinking"
NO_RESULT = "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
NO_USE = "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
SILENT = "all messages must have non-empty content except for the optional final assistant message"
BLOCK_TAGS = (
    "'compaction', 'document', 'image', 'redacted_thinking', 'search_result', 'server_tool_use', 'text', "
    "'thinking', 'tool_result', 'tool_search_tool_result', 'tool_use'"
)
TOOL_TAGS = (
    "'bash_20250124', 'custom', 'text_editor_20250124', 'text_editor_20250429', 'text_editor_20250728'"
)

JSON_ITSELF = [
    Refusal("an empty body", b"", NOT_JSON),
    Refusal("JSON that breaks off", b'{"max_tokens": 256, "messages": [', NOT_JSON),
    Refusal("something behind the JSON", b'{"max_tokens": 256} {}', NOT_JSON),
    Refusal("text that is not UTF-8", b'{"system": "\xff"}', NOT_JSON),
    Refusal("NaN, which JSON does not have", b'{"temperature": NaN}', NOT_JSON),
    Refusal("a number beyond all bounds", b'{"temperature": 1e999}', NOT_JSON),
    Refusal("half of a surrogate pair", b'{"system": "\\ud800 alone"}', NOT_JSON),
    Refusal(
        "a list instead of an object", b"[]", malformed("#: expected type: JSONObject, found: JSONArray")
    ),
    Refusal("null instead of an object", b"null", malformed("#: expected type: JSONObject, found: Null")),
    Refusal(
        "lists in lists without end",
        b'{"messages":' + b"[" * 100_000,
        malformed("nesting is deeper than 200 levels"),
    ),
    Refusal(
        "an object 201 levels deep",
        b'{"metadata":' + b'{"a":' * 200 + b"1" + b"}" * 201,
        malformed("nesting is deeper than 200 levels"),
    ),
    Refusal(
        "an integer of 400 digits",
        b'{"max_tokens":' + b"9" * 400 + b"}",
        malformed("an integer does not fit into 64 bits"),
    ),
]

KEYS_AND_TYPES = [
    Refusal("no max_tokens", hello(max_tokens=...), malformed("#: required key [max_tokens] not found")),
    Refusal(
        "no anthropic_version",
        hello(anthropic_version=...),
        malformed("#: required key [anthropic_version] not found"),
    ),
    Refusal("no messages", hello(messages=...), malformed("#: required key [messages] not found")),
    Refusal(
        "an empty object",
        {},
        malformed(
            "#: required key [max_tokens] not found#: required key [anthropic_version] not found"
            "#: required key [messages] not found"
        ),
    ),
    Refusal(
        "the model in the body",
        hello(model="claude-sonnet-4-5"),
        malformed("#: extraneous key [model] is not permitted"),
    ),
    Refusal(
        "stream in the body", hello(stream=True), malformed("#: extraneous key [stream] is not permitted")
    ),
    Refusal(
        "a body made for the Claude API",
        hello(model="claude-sonnet-4-5", stream=False, anthropic_version=...),
        malformed(
            "#: required key [anthropic_version] not found#: extraneous key [model] is not permitted"
            "#: extraneous key [stream] is not permitted"
        ),
    ),
    Refusal(
        "a body made for Converse",
        {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {"maxTokens": 9}},
        malformed(
            "#: required key [max_tokens] not found#: required key [anthropic_version] not found"
            "#: extraneous key [inferenceConfig] is not permitted"
        ),
    ),
    Refusal("an unknown key", hello(top_n=1), malformed("#: extraneous key [top_n] is not permitted")),
    Refusal(
        "too many mistakes to name",
        hello(**{f"key{number}": 1 for number in range(25)}),
        malformed("25 schema violations found"),
    ),
    Refusal(
        "max_tokens as text",
        hello(max_tokens="256"),
        malformed("#/max_tokens: expected type: Integer, found: String"),
    ),
    Refusal(
        "max_tokens with a fraction",
        hello(max_tokens=1.5),
        malformed("#/max_tokens: expected type: Integer, found: BigDecimal"),
    ),
    Refusal(
        "max_tokens as a truth value",
        hello(max_tokens=True),
        malformed("#/max_tokens: expected type: Integer, found: Boolean"),
    ),
    Refusal(
        "temperature null",
        hello(temperature=None),
        malformed("#/temperature: expected type: Number, found: Null"),
    ),
    Refusal(
        "temperature too high", hello(temperature=5), malformed("#/temperature: 5 is not less or equal to 1")
    ),
    Refusal("top_p below nothing", hello(top_p=-1), malformed("#/top_p: -1 is not greater or equal to 0")),
    Refusal("top_k too high", hello(top_k=501), malformed("#/top_k: 501 is not less or equal to 500")),
    Refusal(
        "stop_sequences as a text",
        hello(stop_sequences="END"),
        malformed("#/stop_sequences: expected type: JSONArray, found: String"),
    ),
    Refusal(
        "a stop sequence that is a number",
        hello(stop_sequences=["END", 7]),
        malformed("#/stop_sequences/1: expected type: String, found: Integer"),
    ),
    Refusal(
        "too many stop sequences",
        hello(stop_sequences=["x"] * 8192),
        malformed("#/stop_sequences: expected maximum item count: 8191, found: 8192"),
    ),
    Refusal(
        "anthropic_beta null",
        hello(anthropic_beta=None),
        malformed("#/anthropic_beta: expected type: JSONArray, found: Null"),
    ),
    Refusal(
        "system as a number",
        hello(system=7),
        malformed(
            "#/system: expected type: String, found: Integer"
            "#/system: expected type: JSONArray, found: Integer"
        ),
    ),
    Refusal(
        "a tool that is a text",
        hello(tools=["get_weather"]),
        malformed("#/tools/0: expected type: JSONObject, found: String"),
    ),
    Refusal(
        "tool_choice as a text",
        hello(tools=[WEATHER], tool_choice="auto"),
        malformed("#/tool_choice: expected type: JSONObject, found: String"),
    ),
    Refusal(
        "messages as a text",
        hello(messages="Hello"),
        malformed("#/messages: expected type: JSONArray, found: String"),
    ),
    Refusal(
        "a message that is a text",
        hello(messages=["Hello"]),
        malformed("#/messages/0: expected type: JSONObject, found: String"),
    ),
    Refusal(
        "a message without role and content",
        hello(messages=[{}]),
        malformed(
            "#/messages/0: required key [role] not found#/messages/0: required key [content] not found"
        ),
    ),
    Refusal(
        "content that is a number",
        said(("user", "Hi"), ("assistant", 7)),
        malformed(
            "#/messages/1/content: expected type: String, found: Integer"
            "#/messages/1/content: expected type: JSONArray, found: Integer"
        ),
    ),
    Refusal(
        "an empty list of content",
        said(("user", "Hi"), ("assistant", [])),
        malformed(
            "#/messages/1/content: expected type: String, found: JSONArray"
            "#/messages/1/content: expected minimum item count: 1, found: 0"
        ),
    ),
    Refusal(
        "an unknown version",
        hello(anthropic_version="claude-3-sonnet-20240229-v1:0"),
        "Invalid API version: claude-3-sonnet-20240229-v1:0",
    ),
]

PARAMETERS = [
    Refusal("an unknown beta flag", hello(anthropic_beta=["files-api-2025-04-14"]), "invalid beta flag"),
    Refusal(
        "the 1M flag for a model without it",
        hello(anthropic_beta=["context-1m-2025-08-07"]),
        "invalid beta flag",
        OPUS_4,
    ),
    Refusal("no token to answer with", hello(max_tokens=0), "max_tokens: must be greater than or equal to 1"),
    Refusal(
        "more output than the model gives",
        hello(max_tokens=99_999),
        "max_tokens: 99999 > 64000, which is the maximum allowed number of output tokens "
        "for claude-sonnet-4-5-20250929",
    ),
    Refusal(
        "more output than the flag gives",
        hello(max_tokens=200_000, anthropic_beta=["output-128k-2025-02-19"]),
        "max_tokens: 200000 > 131072, which is the maximum allowed number of output tokens "
        "for claude-3-7-sonnet-20250219",
        SONNET_3_7,
    ),
    Refusal(
        "temperature and top_p together",
        hello(temperature=0.5, top_p=0.9),
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
    ),
    Refusal(
        "temperature for a model without it",
        hello(temperature=0.5),
        "`temperature` is deprecated for this model.",
        OPUS_4_8,
    ),
    Refusal(
        "top_k for a model without it", hello(top_k=5), "`top_k` is deprecated for this model.", OPUS_4_8
    ),
    Refusal(
        "a stop sequence of blanks",
        hello(stop_sequences=["END", " \n"]),
        "stop_sequences: each stop sequence must contain non-whitespace",
    ),
    Refusal(
        "user_id as a number",
        hello(metadata={"user_id": 7}),
        "metadata.user_id: Input should be a valid string",
    ),
    Refusal(
        "structured output from a model without it",
        hello(output_config={"format": {"type": "json_schema", "schema": {}}}),
        "output_config.format: Extra inputs are not permitted",
        HAIKU_3,
    ),
    Refusal(
        "a format without a schema",
        hello(output_config={"format": {"type": "json_schema"}}),
        "output_config.format.schema: Field required",
    ),
    Refusal(
        "an effort of no known size",
        hello(output_config={"effort": "huge"}),
        "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'",
    ),
]

THINKING = [
    Refusal("thinking without a type", hello(thinking={}), "thinking.type: Field required"),
    Refusal(
        "an unknown kind of thinking",
        hello(thinking={"type": "deep"}),
        "thinking: Input tag 'deep' found using 'type' does not match any of the expected tags: "
        "'adaptive', 'disabled', 'enabled'",
    ),
    Refusal(
        "thinking without a budget",
        hello(thinking={"type": "enabled"}),
        "thinking.enabled.budget_tokens: Field required",
    ),
    Refusal(
        "a budget too small",
        hello(max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 1023}),
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    Refusal(
        "a budget that leaves nothing for the answer",
        hello(max_tokens=2048, thinking={"type": "enabled", "budget_tokens": 2048}),
        "`max_tokens` must be greater than `thinking.budget_tokens`. "
        f"{DOCS}#max-tokens-and-context-window-size",
    ),
    Refusal(
        "thinking with a temperature",
        hello(max_tokens=4096, temperature=0.5, thinking={"type": "enabled", "budget_tokens": 1024}),
        f"`temperature` may only be set to 1 when thinking is enabled. {SAMPLING_DOCS}",
    ),
    Refusal(
        "thinking with top_k",
        hello(max_tokens=4096, top_k=5, thinking={"type": "enabled", "budget_tokens": 1024}),
        f"`top_k` must be unset when thinking is enabled. {SAMPLING_DOCS}",
    ),
    Refusal(
        "adaptive thinking with a low top_p",
        hello(top_p=0.5, thinking={"type": "adaptive"}),
        "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled or in adaptive "
        f"mode. {SAMPLING_DOCS}",
        SONNET_4_6,
    ),
    Refusal(
        "thinking with a forced tool",
        hello(
            max_tokens=4096,
            tools=[WEATHER],
            tool_choice={"type": "any"},
            thinking={"type": "enabled", "budget_tokens": 1024},
        ),
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    Refusal(
        "thinking from a model that does not",
        hello(max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 1024}),
        "'claude-3-haiku-20240307' does not support thinking.",
        HAIKU_3,
    ),
    Refusal(
        "adaptive thinking before its time",
        hello(thinking={"type": "adaptive"}),
        "adaptive thinking is not supported on this model",
    ),
    Refusal(
        "a budget after its time",
        hello(max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 1024}),
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
        '"output_config.effort" to control thinking behavior.',
        OPUS_4_8,
    ),
    Refusal(
        "a temperature for a model that has only thinking",
        hello(temperature=0.5, thinking={"type": "adaptive"}),
        "`temperature` is deprecated for this model.",
        OPUS_4_8,
    ),
    Refusal(
        "no thinking from a model that always does",
        hello(thinking={"type": "disabled"}),
        '"thinking.type.disabled" is not supported for this model.',
        FABLE_5_1,
    ),
]

TOOLS = [
    Refusal(
        "a tool without a name",
        hello(tools=[{"input_schema": {"type": "object"}}]),
        "tools.0.custom.name: Field required",
    ),
    Refusal(
        "a tool's name with a dot",
        hello(tools=[{**WEATHER, "name": "weather.get"}]),
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    Refusal(
        "a tool in OpenAI's form",
        hello(tools=[{"type": "function", "function": {"name": "get_weather"}}]),
        "tools.0: Input tag 'function' found using 'type' does not match any of the expected tags: "
        + TOOL_TAGS,
    ),
    Refusal(
        "a tool of the Claude API's own servers",
        hello(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        "tools.0: Input tag 'web_search_20250305' found using 'type' does not match any of the expected "
        f"tags: {TOOL_TAGS}",
    ),
    Refusal(
        "a tool without a schema",
        hello(tools=[{"name": "get_weather"}]),
        "tools.0.custom.input_schema: Field required",
    ),
    Refusal(
        "a schema without a type",
        hello(tools=[{"name": "get_weather", "input_schema": {}}]),
        "tools.0.custom.input_schema.type: Field required",
    ),
    Refusal(
        "a schema that is no object's",
        hello(tools=[{"name": "get_weather", "input_schema": {"type": "string"}}]),
        "tools.0.custom.input_schema.type: Input should be 'object'",
    ),
    Refusal("two tools of one name", hello(tools=[WEATHER, WEATHER]), "tools: Tool names must be unique."),
    Refusal(
        "a choice without tools",
        hello(tool_choice={"type": "auto"}),
        "tool_choice may only be specified while providing tools.",
    ),
    Refusal(
        "a choice without a type", hello(tools=[WEATHER], tool_choice={}), "tool_choice.type: Field required"
    ),
    Refusal(
        "an unknown choice",
        hello(tools=[WEATHER], tool_choice={"type": "required"}),
        "tool_choice: Input tag 'required' found using 'type' does not match any of the expected tags: "
        "'auto', 'any', 'tool', 'none'",
    ),
    Refusal(
        "a choice of a tool without its name",
        hello(tools=[WEATHER], tool_choice={"type": "tool"}),
        "tool_choice.tool.name: Field required",
    ),
    Refusal(
        "a choice of a tool that is not there",
        hello(tools=[WEATHER], tool_choice={"type": "tool", "name": "get_time"}),
        "Tool 'get_time' not found in provided tools",
    ),
    Refusal(
        "a forced tool for a model that always thinks",
        hello(tools=[WEATHER], tool_choice={"type": "any"}),
        'tool_choice: type "tool" and "any" are not supported for this model.',
        FABLE_5_1,
    ),
]

CONVERSATION = [
    Refusal("no message at all", hello(messages=[]), "messages: at least one message is required"),
    Refusal(
        "an unknown role",
        said(("robot", "Hi")),
        'messages: Unexpected role "robot". Allowed roles are "user" or "assistant"',
    ),
    Refusal(
        "a system message",
        said(("system", "Be brief."), ("user", "Hi")),
        'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
        '"system" as an input message role.',
    ),
    Refusal(
        "a system message at the beginning",
        said(("system", "Be brief."), ("user", "Hi")),
        "messages.0: use the top-level 'system' parameter for the initial system prompt; the directive-only "
        "form (content: [] with output_config) is accepted at any position",
        OPUS_4_8,
    ),
    Refusal(
        "a system message between two of the user",
        said(("user", "Hi"), ("system", "Be brief."), ("user", "Well?")),
        "messages.1: role 'system' must precede an 'assistant' message or end the array; the directive-only "
        "form (content: [] with output_config) is accepted at any position",
        OPUS_4_8,
    ),
    Refusal(
        "the assistant speaks first",
        said(("assistant", "Hi"), ("user", "Hi")),
        'messages: first message must use the "user" role',
    ),
    Refusal("the user says nothing", said(("user", "")), f"messages.0: {SILENT}"),
    Refusal(
        "the assistant said nothing in the middle",
        said(("user", "Hi"), ("assistant", ""), ("user", "Well?")),
        f"messages.1: {SILENT}",
    ),
    Refusal(
        "an empty text block",
        shown({"type": "text", "text": ""}),
        "messages: text content blocks must be non-empty",
    ),
    Refusal(
        "nothing but blanks",
        shown({"type": "text", "text": " \n\t"}),
        "messages: text content blocks must contain non-whitespace text",
    ),
    Refusal(
        "an empty block in the system prompt",
        hello(system=[{"type": "text", "text": ""}]),
        "system: text content blocks must be non-empty",
    ),
    Refusal(
        "an image in the system prompt", hello(system=[image()]), "system.0.type: Input should be 'text'"
    ),
    Refusal(
        "a prefill that ends with a blank",
        said(("user", "Hi"), ("assistant", "Well ")),
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    Refusal(
        "a prefill for a model that takes none",
        said(("user", "Hi"), ("assistant", "{")),
        "This model does not support assistant message prefill. "
        "The conversation must end with a user message.",
        SONNET_4_6,
    ),
    Refusal(
        "a call without a result",
        said(
            ("user", "Hi"), ("assistant", [call("toolu_1"), call("toolu_2")]), ("user", [result("toolu_1")])
        ),
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_2. "
        + NO_RESULT,
    ),
    Refusal(
        "a call at the end",
        said(("user", "Hi"), ("assistant", [call("toolu_1")])),
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. "
        + NO_RESULT,
    ),
    Refusal(
        "a result behind a text",
        said(
            ("user", "Hi"),
            ("assistant", [call("toolu_1")]),
            ("user", [{"type": "text", "text": "Here:"}, result("toolu_1")]),
        ),
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. "
        + NO_RESULT,
    ),
    Refusal(
        "a result without a call",
        shown(result("toolu_9")),
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_9. " + NO_USE,
    ),
    Refusal(
        "two results for one call",
        said(
            ("user", "Hi"), ("assistant", [call("toolu_1")]), ("user", [result("toolu_1"), result("toolu_1")])
        ),
        "messages.2.content.1: each tool_use must have a single result. "
        "Found multiple `tool_result` blocks with id: toolu_1",
    ),
    Refusal(
        "two calls of one id",
        said(
            ("user", "Hi"), ("assistant", [call("toolu_1"), call("toolu_1")]), ("user", [result("toolu_1")])
        ),
        "messages.1.content.1: `tool_use` ids must be unique",
    ),
    Refusal(
        "a call with the id of an earlier one",
        said(
            ("user", "Hi"),
            ("assistant", [call("toolu_1")]),
            ("user", [result("toolu_1")]),
            ("assistant", [call("toolu_1")]),
            ("user", [result("toolu_1")]),
        ),
        "messages.3.content.0: `tool_use` ids must be unique",
    ),
    Refusal(
        "a call forgotten in the middle",
        said(
            ("user", "Hi"),
            ("assistant", [call("toolu_1")]),
            ("user", "Never mind."),
            ("assistant", "Fine."),
            ("user", "Go on."),
        ),
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. "
        + NO_RESULT,
    ),
    Refusal(
        "a call by the user",
        shown(call("toolu_1")),
        "messages.0: `tool_use` blocks can only be in `assistant` messages",
    ),
    Refusal(
        "a result by the assistant",
        said(("user", "Hi"), ("assistant", [result("toolu_1")])),
        "messages.1: `tool_result` blocks can only be in `user` messages",
    ),
]

BLOCKS = [
    Refusal("a block without a type", shown({"text": "Hi"}), "messages.0.content.0.type: Field required"),
    Refusal(
        "an unknown block",
        shown({"type": "video"}),
        "messages.0.content.0: Input tag 'video' found using 'type' does not match any of the expected tags: "
        + BLOCK_TAGS,
    ),
    Refusal(
        "a block that is a text",
        said(("user", ["Hi"])),
        "messages.0.content.0: Input should be an object",
    ),
    Refusal(
        "a text block without text", shown({"type": "text"}), "messages.0.content.0.text.text: Field required"
    ),
    Refusal(
        "a call whose id has a colon",
        said(("user", "Hi"), ("assistant", [call("call:1")])),
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    ),
    Refusal(
        "a call whose input is a text",
        said(("user", "Hi"), ("assistant", [call("toolu_1", input="{}")])),
        "messages.1.content.0.tool_use.input: Input should be an object",
    ),
    Refusal(
        "a result that names no call",
        shown({"type": "tool_result", "content": "18"}),
        "messages.0.content.0.tool_result.tool_use_id: Field required",
    ),
    Refusal(
        "thinking without its signature",
        said(("user", "Hi"), ("assistant", [{"type": "thinking", "thinking": "Hm"}]), ("user", "Well?")),
        "messages.1.content.0.thinking.signature: Field required",
    ),
    Refusal(
        "an image without a source",
        shown({"type": "image"}),
        "messages.0.content.0.image.source: Field required",
    ),
    Refusal(
        "an image from the web",
        shown({"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}}),
        "messages.0.content.0.image.source.base64.data: URL sources are not supported",
    ),
    Refusal(
        "an image from the Files API",
        shown({"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
        "messages.0.content.0.image.source: Input tag 'file' found using 'type' does not match any of the "
        "expected tags: 'base64', 'url'",
    ),
    Refusal(
        "an image of another format",
        shown(image(media_type="image/bmp")),
        "messages.0.content.0.image.source.base64.media_type: "
        "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
    ),
    Refusal(
        "broken base64",
        shown(image("iVBORw0KGgo*")),
        "messages.0.content.0.image.source.base64: invalid base64 data",
    ),
    Refusal(
        "base64 with its padding in the middle",
        shown(image("iVBO=w0KGgoA")),
        "messages.0.content.0.image.source.base64: invalid base64 data",
    ),
    Refusal(
        "base64 without its padding",
        shown(image(PNG + "A")),
        "messages.0.content.0.image.source.base64: invalid base64 data",
    ),
    Refusal(
        "an empty image", shown(image("")), "messages.0.content.0.image.source.base64: image cannot be empty"
    ),
    Refusal(
        "an image above 3.75 MB",
        shown(image(PNG + "A" * 5_242_880)),
        "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 5242920 bytes > 5242880 bytes",
    ),
    Refusal(
        "an image that is none",
        shown(image("aGVsbG8gd29ybGQh")),
        "messages.0.content.0.image.source.base64.data: Could not process image",
    ),
    Refusal(
        "a JPEG that calls itself PNG",
        shown(image(JPEG)),
        "messages.0.content.0.image.source.base64.data: "
        "Image does not match the provided media type image/png",
    ),
    Refusal(
        "a broken image in a tool's result",
        said(
            ("user", "Hi"), ("assistant", [call("toolu_1")]), ("user", [result("toolu_1", [image("aGk*")])])
        ),
        "messages.2.content.0.tool_result.content.0.image.source.base64: invalid base64 data",
    ),
    Refusal(
        "an image for a model that can't see",
        shown(image()),
        "'claude-3-5-haiku-20241022' does not support image input.",
        HAIKU_3_5,
    ),
    Refusal(
        "a document from the Files API",
        shown({"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
        "messages.0.content.0.document.source: Input tag 'file' found using 'type' does not match any of the "
        "expected tags: 'base64', 'content', 'text', 'url'",
    ),
    Refusal(
        "a document without a kind of source",
        shown({"type": "document", "source": {"bytes": "JVBERi0="}}),
        "messages.0.content.0.document.source.type: Field required",
    ),
    Refusal(
        "a PDF that is none",
        shown(pdf("aGVsbG8gd29ybGQh")),
        "messages.0.content.0.document.source.base64.data: The PDF specified was not valid.",
    ),
    Refusal(
        "a Word file as base64",
        shown(pdf("aGVsbG8gd29ybGQh", "application/msword")),
        "messages.0.content.0.document.source.base64.media_type: Input should be 'application/pdf'",
    ),
    Refusal(
        "a PDF for a model that reads none",
        shown(pdf(base64.b64encode(b"%PDF-1.7 and so on").decode())),
        "'claude-3-haiku-20240307' does not support PDF input.",
        HAIKU_3,
    ),
]

CACHE_MARKS = [
    Refusal(
        "a mark of an unknown kind",
        shown({"type": "text", "text": "x", "cache_control": {"type": "forever"}}),
        "messages.0.content.0.text.cache_control: Input tag 'forever' found using 'type' does not match any "
        "of the expected tags: 'ephemeral'",
    ),
    Refusal(
        "a mark of an unknown lifetime",
        shown(marked(ttl="2h")),
        "messages.0.content.0.text.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
    ),
    Refusal(
        "a mark on an empty text",
        hello(system=[marked("")]),
        "system.0: cache_control cannot be set for empty text blocks",
    ),
    Refusal(
        "five marks",
        said(("user", [marked()] * 5)),
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    Refusal(
        "an hour after five minutes",
        said(("user", [marked()]), system=[marked(ttl="5m"), marked(ttl="1h")]),
        "system.1.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
        "cache_control block. Note that blocks are processed in the following order: "
        "`tools`, `system`, `messages`.",
    ),
    Refusal(
        "a mark for a model without a cache",
        shown(marked()),
        "messages.0.content.0.text.cache_control: Extra inputs are not permitted",
        HAIKU_3,
    ),
]

REFUSALS = [
    *JSON_ITSELF,
    *KEYS_AND_TYPES,
    *PARAMETERS,
    *THINKING,
    *TOOLS,
    *CONVERSATION,
    *BLOCKS,
    *CACHE_MARKS,
]
