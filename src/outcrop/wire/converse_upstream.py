"""Messages and Converse the other way, for an engine that speaks Converse: a Messages request as a Converse
request, a Converse reply or its stream as a Messages reply.

Knows both languages; no engine and no HTTP. What `converse` makes of a request, this module makes undone, on
everything the two languages share. A Messages block with no member in Converse (an image by URL or file id, a
container) is refused as a content block the model doesn't support.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from outcrop.wire import citations
from outcrop.wire.converse_rules import is_cited, unsupported_block

_INFERENCE: Final = {
    "max_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "stop_sequences": "stopSequences",
}
_MAPPED: Final = frozenset({*_INFERENCE, "messages", "system", "tools", "tool_choice", "output_config"})


# --- the request --------------------------------------------------------------------------------------------


def to_converse(request: Mapping[str, Any], betas: Sequence[str] = ()) -> dict[str, Any]:
    """A Converse request for a Messages request without `model` and `stream`.

    Fields that Converse has no member for go into `additionalModelRequestFields`, and so do `betas`.
    Raises ValidationException for a content block that Converse has no member for.
    """
    told: dict[str, Any] = {"messages": _messages(request["messages"])}
    extra = {name: value for name, value in request.items() if name not in _MAPPED}
    if betas:
        extra["anthropic_beta"] = list(betas)
    if request.get("system"):
        told["system"] = _unions(request["system"])
    inference = {name: request[field] for field, name in _INFERENCE.items() if request.get(field) is not None}
    if inference:
        told["inferenceConfig"] = inference
    if request.get("stop_sequences"):
        # the reply tells which one it was only when asked to
        told["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    _put_tools(request, told, extra)
    _put_output(request.get("output_config") or {}, told, extra)
    if extra:
        told["additionalModelRequestFields"] = extra
    return told


def _messages(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    names = _Names()
    return [{"role": one["role"], "content": _unions(one["content"], names)} for one in messages]


class _Names:
    """Names for documents: Converse wants one for each, no two alike, of few characters."""

    _ALLOWED: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-()[] ")

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, title: str | None) -> str:
        """The title where it may stand, else the nearest name that may and is still free."""
        plain = "".join(letter if letter in self._ALLOWED else " " for letter in title or "")
        base = re.sub(" {2,}", " ", plain)[:190] or "document"
        name, number = base, 1
        while name in self._given:
            number += 1
            name = f"{base}-{number}"
        self._given.add(name)
        return name


def _put_tools(request: Mapping[str, Any], told: dict[str, Any], extra: dict[str, Any]) -> None:
    """Custom tools and the choice among them; built-in tools go with the additional fields."""
    unions: list[dict[str, Any]] = []
    for tool in request.get("tools") or ():
        if tool.get("type", "custom") != "custom":
            extra.setdefault("tools", []).append(tool)
            continue
        spec = {name: tool[name] for name in ("name", "description", "strict") if tool.get(name) is not None}
        unions.append({"toolSpec": spec | {"inputSchema": {"json": tool["input_schema"]}}})
        unions += _cache_point(tool)
    if unions:
        told["toolConfig"] = {"tools": unions}
    choice = dict(request.get("tool_choice") or {})
    kind = choice.get("type")
    if unions and kind in ("auto", "any", "tool"):
        named = {"name": choice.pop("name")} if kind == "tool" else {}
        told["toolConfig"]["toolChoice"] = {kind: named}
        del choice["type"]
    if choice:
        extra["tool_choice"] = choice


def _put_output(config: Mapping[str, Any], told: dict[str, Any], extra: dict[str, Any]) -> None:
    rest = dict(config)
    output: dict[str, Any] = {}
    if rest.get("effort") is not None:
        output["effort"] = rest.pop("effort")
    if (rest.get("format") or {}).get("type") == "json_schema":
        schema = msgspec.json.encode(rest.pop("format")["schema"]).decode()
        output["textFormat"] = {"structure": {"jsonSchema": {"schema": schema}}, "type": "json_schema"}
    if output:
        told["outputConfig"] = output
    if rest:
        extra["output_config"] = rest


def _unions(content: str | Sequence[Mapping[str, Any]], names: _Names | None = None) -> list[dict[str, Any]]:
    """Content as Converse's unions; the mark of the prompt cache becomes a cache point after its block."""
    if isinstance(content, str):
        return [{"text": content}]
    names = names or _Names()
    unions: list[dict[str, Any]] = []
    for block in content:
        translate = _BLOCKS.get(block["type"])
        if translate is None:
            raise unsupported_block(block["type"])
        unions.append(translate(block, names))
        unions += _cache_point(block)
    return unions


def _cache_point(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    mark = block.get("cache_control")
    if not mark:
        return []
    point = {"type": "default"} | ({"ttl": mark["ttl"]} if mark.get("ttl") else {})
    return [{"cachePoint": point}]


def _text(block: Mapping[str, Any], _names: _Names) -> dict[str, Any]:
    if not block.get("citations"):
        return {"text": block["text"]}
    cited = [citations.to_converse(one) for one in block["citations"]]
    return {"citationsContent": {"citations": cited, "content": [{"text": block["text"]}]}}


def _image(block: Mapping[str, Any], _names: _Names) -> dict[str, Any]:
    source = block["source"]
    if source["type"] != "base64":
        raise unsupported_block("image")
    return {
        "image": {"format": source["media_type"].removeprefix("image/"), "source": {"bytes": source["data"]}}
    }


def _document(block: Mapping[str, Any], names: _Names) -> dict[str, Any]:
    source = block["source"]
    document: dict[str, Any] = {"name": names.give(block.get("title"))}
    if source["type"] == "base64":
        document |= {"format": "pdf", "source": {"bytes": source["data"]}}
    elif source["type"] == "text" and is_cited(block):
        document |= {"format": "txt", "source": {"text": source["data"]}}
    elif source["type"] == "text":
        # Converse takes bare text only where citations are on
        data = base64.b64encode(source["data"].encode()).decode()
        document |= {"format": "txt", "source": {"bytes": data}}
    elif source["type"] == "content" and isinstance(source["content"], list):
        document["source"] = {"content": [{"text": part["text"]} for part in source["content"]]}
    else:
        raise unsupported_block("document")
    document |= {name: block[name] for name in ("context", "citations") if block.get(name) is not None}
    return {"document": document}


def _tool_use(block: Mapping[str, Any], _names: _Names) -> dict[str, Any]:
    use = {"input": block["input"], "name": block["name"], "toolUseId": block["id"]}
    return {"toolUse": use | ({} if block["type"] == "tool_use" else {"type": block["type"]})}


def _tool_result(block: Mapping[str, Any], names: _Names) -> dict[str, Any]:
    result: dict[str, Any] = {"toolUseId": block["tool_use_id"]}
    result["content"] = _unions(block.get("content") or [], names)
    if block.get("is_error"):
        result["status"] = "error"
    return {"toolResult": result}


def _thinking(block: Mapping[str, Any], _names: _Names) -> dict[str, Any]:
    signed = {"signature": block["signature"]} if block.get("signature") is not None else {}
    return {"reasoningContent": {"reasoningText": {"text": block["thinking"]} | signed}}


def _redacted_thinking(block: Mapping[str, Any], _names: _Names) -> dict[str, Any]:
    return {"reasoningContent": {"redactedContent": base64.b64encode(block["data"].encode()).decode()}}


def _search_result(block: Mapping[str, Any], _names: _Names) -> dict[str, Any]:
    result = {name: block[name] for name in ("source", "title", "citations") if block.get(name) is not None}
    return {"searchResult": result | {"content": [{"text": part["text"]} for part in block["content"]]}}


_BLOCKS: Final[Mapping[str, Callable[[Mapping[str, Any], _Names], dict[str, Any]]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "server_tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted_thinking,
    "search_result": _search_result,
}


# --- the reply ----------------------------------------------------------------------------------------------

_STOP_REASONS: Final = {"content_filtered": "refusal"}


def message_from_converse(reply: Mapping[str, Any], *, message_id: str, model: str) -> dict[str, Any]:
    """The Messages reply for a Converse reply; Converse knows neither its id nor the model's name."""
    fields = reply.get("additionalModelResponseFields") or {}
    sequence = fields.get("stop_sequence") or (fields.get("delta") or {}).get("stop_sequence")
    message = reply["output"]["message"]
    return {
        "id": message_id,
        "type": "message",
        "role": message["role"],
        "model": model,
        "content": [_block(union) for union in message["content"]],
        "stop_reason": _STOP_REASONS.get(reply["stopReason"], reply["stopReason"]),
        "stop_sequence": sequence,
        "usage": _usage(reply["usage"]),
    }


def _usage(told: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"input_tokens": told["inputTokens"], "output_tokens": told["outputTokens"]}
    if told.get("cacheReadInputTokens") is not None:
        found["cache_read_input_tokens"] = told["cacheReadInputTokens"]
    if told.get("cacheWriteInputTokens") is not None:
        found["cache_creation_input_tokens"] = told["cacheWriteInputTokens"]
    if told.get("cacheDetails"):
        counts = {detail["ttl"]: detail["inputTokens"] for detail in told["cacheDetails"]}
        found["cache_creation"] = {
            f"ephemeral_{ttl}_input_tokens": counts.get(ttl, 0) for ttl in ("5m", "1h")
        }
    return found


def _block(union: Mapping[str, Any]) -> dict[str, Any]:
    kind, value = next((name, value) for name, value in union.items() if value is not None)
    match kind:
        case "text":
            return {"type": "text", "text": value}
        case "citationsContent":
            text = "".join(part["text"] for part in value.get("content") or ())
            cited = [citations.to_messages(one) for one in value.get("citations") or ()]
            return {"type": "text", "text": text, "citations": cited}
        case "toolUse":
            use = {"id": value["toolUseId"], "name": value["name"], "input": value.get("input", {})}
            return {"type": value.get("type") or "tool_use"} | use
        case "reasoningContent" if value.get("redactedContent") is not None:
            return {"type": "redacted_thinking", "data": base64.b64decode(value["redactedContent"]).decode()}
        case "reasoningContent":
            reasoning = value["reasoningText"]
            signature = reasoning.get("signature") or ""
            return {"type": "thinking", "thinking": reasoning["text"], "signature": signature}
    # a member of ours or of a newer Converse: kept, under its own name
    return {"type": kind} | (dict(value) if isinstance(value, dict) else {"content": value})


# --- the stream ---------------------------------------------------------------------------------------------


def fold(events: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """The Converse reply that a whole Converse stream tells. Raises ValueError when the stream has no end."""
    blocks: dict[int, dict[str, Any]] = {}
    reply: dict[str, Any] = {}
    role = "assistant"
    for kind, data in events:
        told = msgspec.json.decode(data)
        if kind == "messageStart":
            role = told["role"]
        elif kind == "contentBlockStart":
            blocks[told["contentBlockIndex"]] = dict(told["start"])
        elif kind == "contentBlockDelta":
            _grow(blocks.setdefault(told["contentBlockIndex"], {}), told["delta"])
        elif kind in ("messageStop", "metadata"):
            reply |= {name: value for name, value in told.items() if name != "p"}
    if "stopReason" not in reply or "usage" not in reply:
        raise ValueError("the Converse stream ended early")
    content = [_settled(blocks[index]) for index in sorted(blocks)]
    return reply | {"output": {"message": {"content": content, "role": role}}}


def _grow(block: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add a delta to what is known of its block. Text and citations gather side by side."""
    kind, value = next(iter(delta.items()))
    match kind:
        case "text":
            block["text"] = block.get("text", "") + value
        case "citation":
            block.setdefault("citations", []).append(value)
        case "toolUse":
            block["toolUse"]["input"] = block["toolUse"].get("input", "") + value["input"]
        case "reasoningContent":
            _grow_reasoning(block.setdefault("reasoningContent", {}), value)
        case "toolResult":
            block["toolResult"]["content"] = [*block["toolResult"].get("content", ()), *value]
        case _:
            block[kind] = value


def _grow_reasoning(reasoning: dict[str, Any], value: Mapping[str, Any]) -> None:
    if "redactedContent" in value:
        reasoning["redactedContent"] = value["redactedContent"]
        return
    text = reasoning.setdefault("reasoningText", {"text": ""})
    for name, piece in value.items():
        text[name] = text.get(name, "") + piece


def _settled(block: dict[str, Any]) -> dict[str, Any]:
    if "citations" in block:
        return {
            "citationsContent": {
                "citations": block["citations"],
                "content": [{"text": block.get("text", "")}],
            }
        }
    if "toolUse" in block:
        use = block["toolUse"]
        return {"toolUse": use | {"input": msgspec.json.decode(use.get("input") or "{}")}}
    return block
