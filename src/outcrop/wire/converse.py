"""Converse and Messages, whole: a Converse request as a Messages request, a Messages reply as Converse's.

Knows both languages; no engine, no HTTP, no clock. Streams are in `converse_stream`, the other direction (for
engines that speak Converse themselves) in `converse_upstream`.

Decisions, where the two languages do not meet:

- Members that the service model does not have are ignored, as the service ignores them.
- Plain text documents (csv, html, md, txt) become Messages text documents; doc, docx, xls and xlsx, out of
  which Bedrock itself takes the text, are refused as a content block the model doesn't support.
- A guardrail's scope (`guardContent`, `qualifiers`) has no place in Messages: its text goes on as text.
- Tool ids are kept as they are, both ways, whoever made them.
- Content blocks of a reply that Converse has no member for are not lost: server tools travel as `toolUse` and
  `toolResult` with the Messages type in `type`; any other block as a member named after its type in lower
  camel case, which clients report as an unknown member.
- `pause_turn` becomes `end_turn`; a stop reason we have never heard of goes on unchanged.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from outcrop.errors import ModelErrorException, SerializationException, ValidationException
from outcrop.wire import converse_citations as citations
from outcrop.wire import converse_rules, converse_shapes, json_body, json_pointer
from outcrop.wire.converse_rules import CONTENT, MODEL_ERRORS, RESULT_CONTENT, SOURCE, is_pdf, only
from outcrop.wire.json_body import NotJsonError
from outcrop.wire.messages_blocks import ModelFacts
from outcrop.wire.messages_reply import NOT_AS_PROMISED, UNREADABLE


def read_count_input(body: bytes) -> tuple[str, Any]:
    """What a CountTokens request counts: "invokeModel" and its body's bytes, or "converse" and a request.

    Raises SerializationException or ValidationException where the body does not fit the service model.
    """
    request = _read(body)
    converse_shapes.check(request, converse_shapes.COUNT_TOKENS)
    kind, value = only(request["input"], ("invokeModel", "converse"))
    return kind, base64.b64decode(value["body"]) if kind == "invokeModel" else value


class ConverseRequest(msgspec.Struct, frozen=True):
    """A Converse request, translated.

    `body` is a Messages request without `model`, `stream`, `anthropic_version` and `anthropic_beta`; it is
    the caller's from now on. `betas` come from `additionalModelRequestFields.anthropic_beta`. The rest is
    what the reply and the service need: parsed JSON pointers, the caller's metadata, what to echo, and the
    guardrail that was asked for. `typed` says whether replies of this model carry the newer members
    `toolUse.type` and `usage.serverToolUsage`.
    """

    body: dict[str, Any]
    betas: tuple[str, ...] = ()
    response_paths: tuple[tuple[str, ...], ...] = ()
    request_metadata: Mapping[str, str] = {}
    performance: Mapping[str, Any] | None = None
    service_tier: Mapping[str, Any] | None = None
    guardrail: Mapping[str, Any] | None = None
    typed: bool = True


STOP_REASONS: Final = {"refusal": "content_filtered", "pause_turn": "end_turn"}


def to_messages(body: bytes | dict[str, Any], model: ModelFacts) -> ConverseRequest:
    """Check and translate a Converse request.

    Raises SerializationException (not JSON, a wrong JSON type, broken base64), ValidationException, or
    AccessDeniedException (a cache point on a model without a cache). What the model's own API would refuse is
    not looked at here.
    """
    request = _read(body) if isinstance(body, bytes) else body
    converse_shapes.check(request)
    converse_rules.check(request, model)
    told: dict[str, Any] = {}
    taken = _put_inference(request.get("inferenceConfig") or {}, told)
    system = _content(request.get("system") or [])
    if system:
        told["system"] = system
    told["messages"] = [
        {"role": message["role"], "content": _content(message["content"])} for message in request["messages"]
    ]
    taken |= _put_tools(request.get("toolConfig") or {}, told)
    taken |= _put_output(request.get("outputConfig") or {}, told)
    extra = dict(request.get("additionalModelRequestFields") or {})
    betas = _betas(extra.pop("anthropic_beta", None))
    _merge(told, extra, "", taken)
    told.setdefault("max_tokens", model.max_output_tokens)
    return ConverseRequest(
        told,
        betas,
        tuple(json_pointer.parse(one) for one in request.get("additionalModelResponseFieldPaths") or ()),
        request.get("requestMetadata") or {},
        request.get("performanceConfig"),
        request.get("serviceTier"),
        request.get("guardrailConfig"),
        "typed_tool_use" in model.features,
    )


def _read(body: bytes) -> Any:
    """InvokeModel hands broken JSON to the model's validator; here the framework's parser meets it."""
    try:
        return json_body.read(body)
    except NotJsonError as error:
        raise SerializationException("The request body is not valid JSON.", reason=str(error)) from None


# --- the request's fields -----------------------------------------------------------------------------------

INFERENCE: Final = {
    "maxTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "stopSequences": "stop_sequences",
}
# Converse makes these itself, whether the caller's request has them or not
_OWN: Final = frozenset({"anthropic_version", "messages", "model", "stream", "system"})


def _put_inference(config: Mapping[str, Any], told: dict[str, Any]) -> dict[str, str]:
    """Put the inference parameters into `told`; returns the fields taken, and by which of Converse's."""
    taken = {}
    for name, field in INFERENCE.items():
        if config.get(name) is not None:
            # JSON's 5.0 is a whole number to Converse, but not to Messages
            told[field] = int(config[name]) if name == "maxTokens" else config[name]
            taken[field] = name
    return taken


def _put_tools(config: Mapping[str, Any], told: dict[str, Any]) -> dict[str, str]:
    tools: list[dict[str, Any]] = []
    for union in config.get("tools") or ():
        kind, value = only(union, ("toolSpec", "cachePoint"))
        if kind == "cachePoint":
            tools[-1]["cache_control"] = _cache_control(value)
        else:
            tools.append(_tool(value))
    if tools:
        told["tools"] = tools
    if config.get("toolChoice") is None:
        return {}
    kind, value = only(config["toolChoice"], ("auto", "any", "tool"))
    told["tool_choice"] = {"type": kind} | ({"name": value["name"]} if kind == "tool" else {})
    return {f"tool_choice/{field}": f"toolConfig.toolChoice.{kind}" for field in told["tool_choice"]}


def _tool(spec: Mapping[str, Any]) -> dict[str, Any]:
    tool = {"name": spec["name"]}
    if spec.get("description") is not None:
        tool["description"] = spec["description"]
    tool["input_schema"] = spec["inputSchema"]["json"]
    if spec.get("strict") is not None:
        tool["strict"] = spec["strict"]
    return tool


def _put_output(config: Mapping[str, Any], told: dict[str, Any]) -> dict[str, str]:
    output: dict[str, Any] = {}
    taken = {}
    if config.get("effort") is not None:
        output["effort"] = config["effort"]
        taken["output_config/effort"] = "outputConfig.effort"
    if config.get("textFormat") is not None:
        # the schema's name and description have no place in Messages
        schema = _schema(config["textFormat"]["structure"]["jsonSchema"]["schema"])
        output["format"] = {"type": "json_schema", "schema": schema}
        taken["output_config/format"] = "outputConfig.textFormat"
    if output:
        told["output_config"] = output
    return taken


def _schema(text: str) -> dict[str, Any]:
    """The schema inside Converse's JSON string."""
    try:
        schema: object = json_body.read(text.encode())
    except NotJsonError:
        schema = None
    if not isinstance(schema, dict):
        raise converse_rules.not_an_object("outputConfig.textFormat.structure.jsonSchema.schema")
    return schema


def _betas(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(beta, str) for beta in value):
        raise ValidationException(f"{MODEL_ERRORS}anthropic_beta: Input should be a valid list")
    return tuple(value)


def _merge(told: dict[str, Any], extra: Mapping[str, Any], path: str, taken: Mapping[str, str]) -> None:
    """Put the additional fields into `told`, leaf by leaf; a leaf the request has set already is a conflict.

    Tools are the exception: those the caller adds (computer use, other built-in tools) stand after the rest.
    """
    for key, value in extra.items():
        at = f"{path}{key}"
        if at in taken:
            raise _conflict(at, f"the existing field {taken[at]}")
        if at in _OWN:
            raise _conflict(at, "an existing field")
        present = told.get(key)
        if isinstance(present, dict) and isinstance(value, dict):
            _merge(present, value, f"{at}/", taken)
        elif at == "tools" and isinstance(present, list) and isinstance(value, list):
            told[key] = [*present, *value]
        else:
            told[key] = value


def _conflict(at: str, existing: str) -> ValidationException:
    return ValidationException(
        f"The additional field {at} conflicts with {existing}. Remove {at} and try again."
    )


# --- the request's content ----------------------------------------------------------------------------------


def _content(unions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Content blocks of a message or of the system prompt; a cache point marks the block before it."""
    blocks: list[dict[str, Any]] = []
    for union in unions:
        kind, value = only(union, CONTENT)
        if kind == "cachePoint":
            blocks[-1]["cache_control"] = _cache_control(value)
        else:
            blocks.append(_BLOCKS[kind](value))
    return blocks


def _cache_control(point: Mapping[str, Any]) -> dict[str, str]:
    control = {"type": "ephemeral"}
    if point.get("ttl") is not None:
        control["ttl"] = point["ttl"]
    return control


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(image: Mapping[str, Any]) -> dict[str, Any]:
    source = {"type": "base64", "media_type": f"image/{image['format']}", "data": image["source"]["bytes"]}
    return {"type": "image", "source": source}


def _document(document: Mapping[str, Any]) -> dict[str, Any]:
    block = {"type": "document", "source": _document_source(document), "title": document["name"]}
    if document.get("context") is not None:
        block["context"] = document["context"]
    if document.get("citations") is not None:
        block["citations"] = {"enabled": document["citations"]["enabled"]}
    return block


def _document_source(document: Mapping[str, Any]) -> dict[str, Any]:
    kind, value = only(document["source"], SOURCE)
    if kind == "content":
        return {"type": "content", "content": [_text(part["text"]) for part in value]}
    if kind == "bytes" and is_pdf(document):
        return {"type": "base64", "media_type": "application/pdf", "data": value}
    return {"type": "text", "media_type": "text/plain", "data": value if kind == "text" else _plain(value)}


def _plain(data: str) -> str:
    """The text of a text document. Raises ValidationException as Converse does for bytes that are no text."""
    try:
        return base64.b64decode(data).decode()
    except UnicodeDecodeError as error:
        raise ValidationException(
            "Unsupported MIME type: application/octet-stream. Retry your request with a supported file type: "
            "xlsx, txt, pdf, csv, md, doc, html, xls, docx"
        ) from error


def _guard_content(union: Mapping[str, Any]) -> dict[str, Any]:
    kind, value = only(union, ("text", "image"))
    return _text(value["text"]) if kind == "text" else _image(value)


def _tool_use(use: Mapping[str, Any]) -> dict[str, Any]:
    # a server tool's use comes back with the type it was given in the reply
    kind = use.get("type") or "tool_use"
    return {"type": kind, "id": use["toolUseId"], "name": use["name"], "input": use["input"]}


def _tool_result(result: Mapping[str, Any]) -> dict[str, Any]:
    kind = result.get("type") or "tool_result"
    if kind != "tool_result":
        return _server_tool_result(kind, result)
    block: dict[str, Any] = {"type": kind, "tool_use_id": result["toolUseId"]}
    block["content"] = [_result_content(union) for union in result["content"]]
    if result.get("status") == "error":
        block["is_error"] = True
    return block


def _result_content(union: Mapping[str, Any]) -> dict[str, Any]:
    kind, value = only(union, RESULT_CONTENT)
    return _text(msgspec.json.encode(value).decode()) if kind == "json" else _BLOCKS[kind](value)


# the server tool whose result is a list; of the others it is one object
_LISTED_RESULTS: Final = frozenset({"web_search_tool_result"})


def _server_tool_result(kind: str, result: Mapping[str, Any]) -> dict[str, Any]:
    parts = [value["json"] if "json" in value else _result_content(value) for value in result["content"]]
    listed = kind in _LISTED_RESULTS and result.get("status") != "error"
    content = parts if listed or len(parts) != 1 else parts[0]
    return {"type": kind, "tool_use_id": result["toolUseId"], "content": content}


def _reasoning(union: Mapping[str, Any]) -> dict[str, Any]:
    kind, value = only(union, ("reasoningText", "redactedContent"))
    if kind == "redactedContent":
        return {"type": "redacted_thinking", "data": _redacted(value)}
    block = {"type": "thinking", "thinking": value["text"]}
    if value.get("signature") is not None:
        block["signature"] = value["signature"]
    return block


def _redacted(blob: str) -> str:
    """The `data` string inside the blob, which is itself base64 (recorded: doubly encoded on the wire)."""
    try:
        return base64.b64decode(blob).decode("ascii")
    except UnicodeDecodeError as error:
        raise ValidationException(f"{MODEL_ERRORS}Invalid `data` in `redacted_thinking` block") from error


def _citations_content(value: Mapping[str, Any]) -> dict[str, Any]:
    block = _text("".join(part["text"] for part in value.get("content") or ()))
    if value.get("citations"):
        block["citations"] = [citations.to_messages(one) for one in value["citations"]]
    return block


def _search_result(result: Mapping[str, Any]) -> dict[str, Any]:
    block = {
        "type": "search_result",
        "source": result["source"],
        "title": result["title"],
        "content": [_text(part["text"]) for part in result["content"]],
    }
    if result.get("citations") is not None:
        block["citations"] = {"enabled": result["citations"]["enabled"]}
    return block


_BLOCKS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "toolUse": _tool_use,
    "toolResult": _tool_result,
    "guardContent": _guard_content,
    "reasoningContent": _reasoning,
    "citationsContent": _citations_content,
    "searchResult": _search_result,
}


# --- the reply ----------------------------------------------------------------------------------------------


class _Block(msgspec.Struct):
    """A content block of a Messages reply; `input` and `content` stay the bytes they are."""

    type: str
    text: str = ""
    citations: list[dict[str, Any]] | None = None
    thinking: str = ""
    signature: str | None = None
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str = ""
    content: msgspec.Raw = msgspec.Raw(b"[]")


class _Message(msgspec.Struct):
    content: list[msgspec.Raw]
    usage: dict[str, Any] = {}
    role: str = "assistant"
    stop_reason: str | None = None


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_BLOCK: Final = msgspec.json.Decoder(_Block)


def from_message(message: bytes, request: ConverseRequest, latency_ms: int) -> bytes:
    """The Converse reply for a whole Messages reply; keys sorted, as the service sorts them.

    Raises ModelErrorException when `message` is no Messages reply.
    """
    try:
        return msgspec.json.encode(_reply(message, request, latency_ms))
    except NOT_AS_PROMISED as error:
        raise ModelErrorException(UNREADABLE, reason=f"reply: {error!r}") from error


def _reply(message: bytes, request: ConverseRequest, latency_ms: int) -> dict[str, Any]:
    told = _MESSAGE.decode(message)
    reply: dict[str, Any] = {}
    if request.response_paths:
        fields = json_pointer.pick(msgspec.json.decode(message), request.response_paths)
        if fields:
            reply["additionalModelResponseFields"] = fields
    reply["metrics"] = {"latencyMs": latency_ms}
    content = [union(raw, typed=request.typed) for raw in told.content]
    reply["output"] = {"message": {"content": content, "role": told.role}}
    reply |= echo(request)
    reply["stopReason"] = stop_reason(told.stop_reason)
    reply["usage"] = usage(told.usage, typed=request.typed)
    return reply


def echo(request: ConverseRequest) -> dict[str, Any]:
    """What of the request a reply repeats: performance and tier, only where they were asked for."""
    echoed = {}
    if request.performance is not None:
        echoed["performanceConfig"] = request.performance
    if request.service_tier is not None:
        echoed["serviceTier"] = request.service_tier
    return echoed


def stop_reason(reason: str | None) -> str:
    """Converse's stop reason for one of Messages."""
    return STOP_REASONS.get(reason, reason) if reason else "end_turn"


def usage(told: Mapping[str, Any], *, typed: bool) -> dict[str, Any]:
    """Converse's usage for that of Messages. What the cache read or wrote counts in the total only."""
    found: dict[str, Any] = {}
    read, written = told.get("cache_read_input_tokens"), told.get("cache_creation_input_tokens")
    details = _cache_details(told.get("cache_creation") or {})
    if written and details:
        found["cacheDetails"] = details
    # each count under two names (recorded)
    if read is not None:
        found["cacheReadInputTokenCount"] = found["cacheReadInputTokens"] = read
    if written is not None:
        found["cacheWriteInputTokenCount"] = found["cacheWriteInputTokens"] = written
    found["inputTokens"] = told.get("input_tokens") or 0
    found["outputTokens"] = told.get("output_tokens") or 0
    if typed:
        found["serverToolUsage"] = {}
    found["totalTokens"] = found["inputTokens"] + found["outputTokens"] + (read or 0) + (written or 0)
    return found


def _cache_details(creation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was written to the cache, by time to live; the longer one first."""
    counts = (
        ("1h", creation.get("ephemeral_1h_input_tokens")),
        ("5m", creation.get("ephemeral_5m_input_tokens")),
    )
    return [{"inputTokens": count, "ttl": ttl} for ttl, count in counts if count]


def union(raw: msgspec.Raw, *, typed: bool) -> dict[str, Any]:
    """A content block of the reply as a member of Converse's union."""
    block = _BLOCK.decode(raw)
    match block.type:
        case "text" if block.citations:
            cited = [citations.to_converse(one) for one in block.citations]
            return {"citationsContent": {"citations": cited, "content": [{"text": block.text}]}}
        case "text":
            return {"text": block.text}
        case "thinking":
            signed = {} if block.signature is None else {"signature": block.signature}
            return {"reasoningContent": {"reasoningText": signed | {"text": block.thinking}}}
        case "redacted_thinking":
            return {"reasoningContent": {"redactedContent": redacted(block.data)}}
        case "tool_use" | "server_tool_use":
            use = {"input": block.input, "name": block.name, "toolUseId": block.id}
            return {"toolUse": use | tool_type(block.type, typed=typed)}
    return _other_union(block, raw)


def _other_union(block: _Block, raw: msgspec.Raw) -> dict[str, Any]:
    """A server tool's result, or a block that Converse has no member for."""
    if block.type.endswith("_tool_result") and block.tool_use_id:
        content = msgspec.json.decode(block.content)
        failed = isinstance(content, dict) and str(content.get("type")).endswith("_error")
        result: dict[str, Any] = {"content": [{"json": part} for part in _listed(content)]}
        if failed:
            result["status"] = "error"
        return {"toolResult": result | {"toolUseId": block.tool_use_id, "type": block.type}}
    return unknown_member(msgspec.json.decode(raw))


def _listed(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def tool_type(kind: str, *, typed: bool) -> dict[str, str]:
    """The member `type` of a tool use: replies of older models have it only for server tools."""
    return {"type": kind} if typed or kind != "tool_use" else {}


def redacted(data: str) -> str:
    """The `data` of redacted thinking as a blob on the wire."""
    return base64.b64encode(data.encode()).decode()


def unknown_member(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block or delta of an unknown type as a member named after it: `mcp_tool_use` becomes `mcpToolUse`."""
    first, *rest = block["type"].split("_")
    name = first + "".join(part.capitalize() for part in rest)
    return {name: {key: value for key, value in block.items() if key != "type"}}
