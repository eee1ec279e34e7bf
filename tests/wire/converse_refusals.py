"""What Converse refuses: a table for tests and docs. Each row has a title, a body, the fault's name and text.

A row whose body is bytes can only come from a raw client: the SDKs would not send it. `features` are the
model's; the model's limit is 8,192 output tokens.
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

FEATURES = frozenset({"tools", "vision", "pdf", "thinking", "prompt_caching", "structured_output"})
MAX_OUTPUT_TOKENS = 8192


class Refusal(NamedTuple):
    """One row."""

    title: str
    body: dict[str, Any] | bytes
    text: str
    name: str = "ValidationException"
    features: frozenset[str] = FEATURES


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """A user's message."""
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    """The model's message."""
    return {"role": "assistant", "content": list(blocks)}


def text(said: str = "Hello") -> dict[str, Any]:
    """A text block."""
    return {"text": said}


def image(data: bytes = b"\x89PNG", form: str = "png") -> dict[str, Any]:
    """An image block."""
    return {"image": {"format": form, "source": {"bytes": base64.b64encode(data).decode()}}}


def document(
    name: str = "report", data: bytes = b"Some text.", form: str = "txt", **more: Any
) -> dict[str, Any]:
    """A document block with bytes."""
    source = {"bytes": base64.b64encode(data).decode()}
    return {"document": {"format": form, "name": name, "source": source, **more}}


def tool_use(tool_id: str = "tooluse_1", given: Any = None) -> dict[str, Any]:
    """A call of the tool `look_up`."""
    return {"toolUse": {"toolUseId": tool_id, "name": "look_up", "input": {} if given is None else given}}


def tool_result(tool_id: str = "tooluse_1", *content: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The result of a call."""
    return {"toolResult": {"toolUseId": tool_id, "content": list(content or (text("42"),)), **more}}


def tool(name: str = "look_up", schema: Any = None) -> dict[str, Any]:
    """A tool's specification."""
    schema = {"type": "object", "properties": {}} if schema is None else schema
    return {"toolSpec": {"name": name, "inputSchema": {"json": schema}}}


TOOLS = {"tools": [tool()]}
VIDEO = {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/a.mp4"}}}}
CACHE_POINT = {"cachePoint": {"type": "default"}}


def asking(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A request; without messages, the user says hello."""
    return {"messages": list(messages or (user(text()),)), **fields}


def _detected(value: str, path: str, constraint: str) -> str:
    return f"1 validation error detected: {value} at '{path}' failed to satisfy constraint: {constraint}"


_START = (
    "A conversation must start with a user message. "
    "Try again with a conversation that starts with a user message."
)
_NAME = (
    "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, "
    "parentheses, and square brackets. The name can't contain more than one consecutive whitespace "
    "character. "
    "Check that the file name conforms to these restrictions and retry your request."
)
_S3 = "This model doesn't support the s3Uri field. Remove s3Uri and try again."
_MODEL = "The model returned the following errors: "
_JSON_OBJECT = "is invalid. Provide a json object for the field and try again."
_BLOCKS = (
    "text, image, toolUse, toolResult, document, video, cachePoint, reasoningContent, citationsContent, "
    "searchResult."
)
_POINTER = (
    "The value at additionalModelResponseFieldPaths.{} is not a valid JSON pointer. "
    "Provide a valid JSON pointer and try again."
)
_BIG_IMAGE = image(b"\x89PNG" + bytes(4_000_000))


def _unsupported(kind: str) -> str:
    return (
        f"This model doesn't support the {kind} content block that you provided. "
        "Update the content block and try again."
    )


_BODY = [
    Refusal(
        "broken JSON", b'{"messages": [', "The request body is not valid JSON.", "SerializationException"
    ),
    Refusal("an empty body", b"", "The request body is not valid JSON.", "SerializationException"),
    Refusal(
        "a list for a body",
        b"[]",
        "Start of list found where not expected",
        "SerializationException",
    ),
    Refusal(
        "nesting without end",
        b'{"additionalModelRequestFields":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        "Malformed input request: nesting is deeper than 200 levels, "
        "please reformat your input and try again.",
    ),
    Refusal(
        "a string where a number belongs",
        b'{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":"ten"}}',
        "STRING_VALUE can not be converted to an Integer",
        "SerializationException",
    ),
    Refusal(
        "an object where a list belongs",
        b'{"messages":{"role":"user"}}',
        "Start of structure or map found where not expected.",
        "SerializationException",
    ),
    Refusal(
        "a list where a string belongs",
        b'{"messages":[{"role":["user"],"content":[]}]}',
        "Start of list found where not expected",
        "SerializationException",
    ),
    Refusal(
        "bytes that are not base64",
        b'{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"bytes":"a*b="}}}]}]}',
        "Invalid base64 in a blob.",
        "SerializationException",
    ),
]
_CONSTRAINTS = [
    Refusal(
        "no role",
        asking({"content": [text()]}),
        _detected("Value null", "messages.1.member.role", "Member must not be null"),
    ),
    Refusal(
        "an unknown role",
        asking({"role": "tool", "content": [text()]}),
        _detected(
            "Value 'tool'",
            "messages.1.member.role",
            "Member must satisfy enum value set: [user, assistant, system]",
        ),
    ),
    Refusal(
        "a temperature above 1",
        asking(inferenceConfig={"temperature": 99}),
        _detected(
            "Value '99.0'", "inferenceConfig.temperature", "Member must have value less than or equal to 1"
        ),
    ),
    Refusal(
        "a negative topP",
        asking(inferenceConfig={"topP": -0.5}),
        _detected(
            "Value '-0.5'", "inferenceConfig.topP", "Member must have value greater than or equal to 0"
        ),
    ),
    Refusal(
        "no tokens at all",
        asking(inferenceConfig={"maxTokens": 0}),
        _detected(
            "Value '0'", "inferenceConfig.maxTokens", "Member must have value greater than or equal to 1"
        ),
    ),
    Refusal(
        "an empty stop sequence",
        asking(inferenceConfig={"stopSequences": ["", "b"]}),
        _detected(
            "Value '[, b]'",
            "inferenceConfig.stopSequences",
            "Member must satisfy constraint: [Member must have length greater than or equal to 1]",
        ),
    ),
    Refusal(
        "a blank in a tool's name, and an empty system prompt: both are told",
        asking(toolConfig={"tools": [tool("Count Tool")]}, system=[text("")]),
        "2 validation errors detected: "
        "Value 'Count Tool' at 'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+; "
        "Value at 'system.1.member.text' failed to satisfy constraint: "
        "Member must have length greater than or equal to 1",
    ),
    Refusal(
        "an empty list of tools",
        asking(toolConfig={"tools": []}),
        _detected("Value '[]'", "toolConfig.tools", "Member must have length greater than or equal to 1"),
    ),
    Refusal(
        "an image format that does not exist",
        asking(user(text(), image(form="bmp"))),
        _detected(
            "Value 'bmp'",
            "messages.1.member.content.2.member.image.format",
            "Member must satisfy enum value set: [png, jpeg, gif, webp]",
        ),
    ),
    Refusal(
        "an image without bytes",
        asking(user(image(b""))),
        _detected(
            "Value",
            "messages.1.member.content.1.member.image.source.bytes",
            "Member must have length greater than or equal to 1",
        ),
    ),
    Refusal(
        "a document without a name",
        asking(user(text(), document(""))),
        _detected(
            "Value ''",
            "messages.1.member.content.2.member.document.name",
            "Member must have length greater than or equal to 1",
        ),
    ),
    Refusal(
        "a service tier that does not exist",
        asking(serviceTier={"type": "gold"}),
        _detected(
            "Value 'gold'",
            "serviceTier.type",
            "Member must satisfy enum value set: [priority, default, flex, reserved]",
        ),
    ),
    Refusal(
        "an empty pointer",
        asking(additionalModelResponseFieldPaths=[""]),
        _detected(
            "Value '[]'",
            "additionalModelResponseFieldPaths",
            "Member must satisfy constraint: [Member must have length less than or equal to 256, "
            "Member must have length greater than or equal to 1]",
        ),
    ),
    Refusal(
        "a block of an unknown kind",
        asking(user({"hologram": {}})),
        f"ContentBlock object at messages.0.content.0 must set one of the following keys: {_BLOCKS}",
    ),
    Refusal(
        "a block of two kinds",
        asking(user(text() | CACHE_POINT)),
        f"ContentBlock object at messages.0.content.0 must set one of the following keys: {_BLOCKS}",
    ),
]
_TURNS = [
    Refusal("no messages", asking(messages=None) | {"messages": None}, _START),
    Refusal("an empty conversation", {"messages": []}, _START),
    Refusal("the model speaks first", asking(assistant(text()), user(text())), _START),
    Refusal(
        "an empty message",
        asking(user(text()), assistant(), user(text())),
        "The content field in the Message object at messages.1 is empty. "
        "Add a ContentBlock object to the content field and try again.",
    ),
    Refusal(
        "a blank text",
        asking(user(text(""))),
        "The text field in the ContentBlock object at messages.0.content.0 is blank. "
        "Add text to the text field, and try again.",
    ),
    Refusal(
        "more tokens than the model can write",
        asking(inferenceConfig={"maxTokens": 100_000}),
        "The maximum tokens you requested exceeds the model limit of 8192. "
        "Try again with a maximum tokens value that is lower than 8192.",
    ),
]
_MEDIA = [
    Refusal(
        "a video",
        asking(user(text(), {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}})),
        _unsupported("video"),
    ),
    Refusal(
        "a video in a tool's result",
        asking(
            user(text()),
            assistant(tool_use()),
            user(
                tool_result(
                    "tooluse_1", {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://abc/d"}}}}
                )
            ),
            toolConfig=TOOLS,
        ),
        _unsupported("video"),
    ),
    Refusal(
        "a sound",
        asking(user({"audio": {"format": "wav", "source": {"bytes": "AAAA"}}})),
        _unsupported("audio"),
    ),
    Refusal(
        "an image in S3",
        asking(user({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/a.png"}}}})),
        _S3,
    ),
    Refusal(
        "a document in S3",
        asking(
            user(
                text(),
                {
                    "document": {
                        "format": "pdf",
                        "name": "a",
                        "source": {"s3Location": {"uri": "s3://bucket/a"}},
                    }
                },
            )
        ),
        _S3,
    ),
    Refusal(
        "an image for a model without eyes",
        asking(user(image())),
        _unsupported("image"),
        features=FEATURES - {"vision"},
    ),
    Refusal(
        "a PDF for a model that reads none",
        asking(user(text(), document(data=b"%PDF-1.7", form="pdf"))),
        _unsupported("document"),
        features=FEATURES - {"pdf"},
    ),
    Refusal("an office document", asking(user(text(), document(form="docx"))), _unsupported("document")),
    Refusal(
        "an image from the model",
        asking(user(text()), assistant(image())),
        "This model doesn't support the image field for assistant messages. Remove image and try again.",
    ),
    Refusal(
        "an image of more than 3.75 MiB",
        asking(user(_BIG_IMAGE)),
        f"{_MODEL}messages.0.content.0.image.source.bytes: image exceeds 5 MB maximum: "
        "5333340 bytes > 5242880 bytes",
    ),
    Refusal(
        "21 images",
        asking(user(*[image()] * 21)),
        f"{_MODEL}messages: too many images and documents: 21 + 0 > 20",
    ),
    Refusal(
        "six documents",
        asking(user(text(), *[document(f"n{number}") for number in range(6)])),
        "You can't include more than 5 documents in a request. "
        "Reduce the number of documents and retry your request.",
    ),
    Refusal(
        "a document of more than 4.5 MiB",
        asking(user(text(), document(data=b"a" * 4_718_595))),
        "The maximum document size is 4.5 MB. Reduce the size of your document and retry your request.",
    ),
    Refusal(
        "two documents of one name, turns apart",
        asking(user(text(), document()), assistant(text()), user(text(), document())),
        "Messages can't contain duplicate document names. Rename the document and retry your request.",
    ),
    Refusal("a dot in a document's name", asking(user(text(), document("report.txt"))), _NAME),
    Refusal("two blanks in a document's name", asking(user(text(), document("a  b"))), _NAME),
    Refusal("a wide blank in a document's name", asking(user(text(), document("a　b"))), _NAME),
    Refusal(
        "a document and not a word",
        asking(user(document())),
        "A text block must be included when using documents. Add a text block and retry your request.",
    ),
    Refusal(
        "bare text for a document that is not cited",
        asking(user(text(), {"document": {"name": "a", "source": {"text": "words"}}})),
        "DocumentSource object at messages.0.content.1.document.source must set one of the following keys: "
        "bytes, s3Location.",
    ),
    Refusal(
        "a text document that is no text",
        asking(user(text(), document(data=b"\xff\xfe\x00"))),
        "Unsupported MIME type: application/octet-stream. Retry your request with a supported file type: "
        "xlsx, txt, pdf, csv, md, doc, html, xls, docx",
    ),
    Refusal(
        "a cache point with nothing before it",
        asking(user(CACHE_POINT, text())),
        f"{_MODEL}messages.0.content.0.type: Field required",
    ),
    Refusal(
        "a cache point right after a text document",
        asking(user(text(), document(), CACHE_POINT)),
        f"{_MODEL}messages.0.content.2.type: Field required",
    ),
    Refusal(
        "a cache point for a model that caches nothing",
        asking(user(text(), CACHE_POINT)),
        "You invoked an unsupported model or your request did not allow prompt caching. "
        "See the documentation for more information.",
        "AccessDeniedException",
        FEATURES - {"prompt_caching"},
    ),
]
_TOOLS = [
    Refusal(
        "tool blocks without a toolConfig",
        asking(user(text()), assistant(tool_use()), user(tool_result())),
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    ),
    Refusal(
        "a call without its result",
        asking(
            user(text()), assistant(tool_use("a"), tool_use("b")), user(tool_result("a")), toolConfig=TOOLS
        ),
        "Expected toolResult blocks at messages.2.content for the following Ids: b",
    ),
    Refusal(
        "a call at the end",
        asking(user(text()), assistant(tool_use("a")), toolConfig=TOOLS),
        "Expected toolResult blocks at messages.2.content for the following Ids: a",
    ),
    Refusal(
        "a result without a call",
        asking(user(text()), assistant(text()), user(tool_result("a")), toolConfig=TOOLS),
        "The number of toolResult blocks at messages.2.content "
        "exceeds the number of toolUse blocks of previous turn.",
    ),
    Refusal(
        "two calls of one id",
        asking(
            user(text()), assistant(tool_use("a"), tool_use("a")), user(tool_result("a")), toolConfig=TOOLS
        ),
        "The toolUse blocks at messages.1.content contain duplicate Ids: a",
    ),
    Refusal(
        "a failed call without a word why",
        asking(
            user(text()),
            assistant(tool_use()),
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "tooluse_1", "content": [], "status": "error"}}],
            },
            toolConfig=TOOLS,
        ),
        "The content field at messages.2.content.0.toolResult cannot be empty when status value is error.",
    ),
    Refusal(
        "a tool's input that is no object",
        asking(user(text()), assistant(tool_use(given=["a"])), user(tool_result()), toolConfig=TOOLS),
        f"The format of the value at messages.1.content.0.toolUse.input {_JSON_OBJECT}",
    ),
    Refusal(
        "a JSON result that is no object",
        asking(
            user(text()),
            assistant(tool_use()),
            user(tool_result("tooluse_1", {"json": [1, 2]})),
            toolConfig=TOOLS,
        ),
        f"The format of the value at messages.2.content.0.toolResult.content.0.json {_JSON_OBJECT}",
    ),
    Refusal(
        "a tool's schema that describes no object",
        asking(toolConfig={"tools": [tool(schema={"type": "string"})]}),
        "The value at toolConfig.tools.0.toolSpec.inputSchema.json.type "
        "must be one of the following: object.",
    ),
    Refusal(
        "a choice of tool that says nothing",
        asking(toolConfig=TOOLS | {"toolChoice": {"none": {}}}),
        "ToolChoice object at toolConfig.toolChoice must set one of the following keys: auto, any, tool.",
    ),
    Refusal(
        "a system tool",
        asking(toolConfig={"tools": [{"systemTool": {"name": "nova_grounding"}}]}),
        "This model doesn't support the systemTool field. Remove systemTool and try again.",
    ),
]
_FIELDS = [
    Refusal(
        "max_tokens twice",
        asking(inferenceConfig={"maxTokens": 10}, additionalModelRequestFields={"max_tokens": 20}),
        "The additional field max_tokens conflicts with the existing field maxTokens. "
        "Remove max_tokens and try again.",
    ),
    Refusal(
        "the choice of tool twice",
        asking(
            toolConfig=TOOLS | {"toolChoice": {"any": {}}},
            additionalModelRequestFields={"tool_choice": {"type": "auto"}},
        ),
        "The additional field tool_choice/type conflicts with the existing field toolConfig.toolChoice.any. "
        "Remove tool_choice/type and try again.",
    ),
    Refusal(
        "a system prompt among the additional fields",
        asking(additionalModelRequestFields={"system": "Be brief."}),
        "The additional field system conflicts with an existing field. Remove system and try again.",
    ),
    Refusal(
        "additional fields that are a list",
        asking(additionalModelRequestFields=["top_k"]),
        f"The format of the value at additionalModelRequestFields {_JSON_OBJECT}",
    ),
    Refusal(
        "beta flags in one string",
        asking(additionalModelRequestFields={"anthropic_beta": "context-1m-2025-08-07"}),
        f"{_MODEL}anthropic_beta: Input should be a valid list",
    ),
    Refusal(
        "a pointer without a slash", asking(additionalModelResponseFieldPaths=["id"]), _POINTER.format(0)
    ),
    Refusal(
        "a pointer with a loose tilde",
        asking(additionalModelResponseFieldPaths=["/id", "/a~2"]),
        _POINTER.format(1),
    ),
    Refusal(
        "an output schema that is no JSON",
        asking(
            outputConfig={"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{"}}}}
        ),
        f"The format of the value at outputConfig.textFormat.structure.jsonSchema.schema {_JSON_OBJECT}",
    ),
    Refusal(
        "variables for a prompt that is not there",
        asking(promptVariables={"city": {"text": "Jakarta"}}),
        "This model doesn't support the promptVariables field. Remove promptVariables and try again.",
    ),
]

REFUSALS = [*_BODY, *_CONSTRAINTS, *_TURNS, *_MEDIA, *_TOOLS, *_FIELDS]
