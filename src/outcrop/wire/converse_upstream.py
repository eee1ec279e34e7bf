"""Messages and Converse the other way, for an engine that speaks Converse: a Messages request as a Converse
request, a Converse reply as a Messages reply, a Converse stream as a Messages stream.

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

from outcrop.errors import ModelStreamErrorException
from outcrop.wire import converse_citations as citations
from outcrop.wire.converse import INFERENCE
from outcrop.wire.converse_rules import NAME_CHARACTERS, is_cited, only, unsupported_block
from outcrop.wire.messages_reply import NOT_AS_PROMISED, UNREADABLE, event
from outcrop.wire.sse import Event

_INFERENCE: Final = {field: name for name, field in INFERENCE.items()}
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

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, title: str | None) -> str:
        """The title where it may stand, else the nearest name that may and is still free."""
        plain = "".join(letter if letter in NAME_CHARACTERS else " " for letter in title or "")
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
    elif source["type"] == "content":
        document["source"] = {"content": _texts(source["content"])}
    else:
        raise unsupported_block("document")
    document |= {name: block[name] for name in ("context", "citations") if block.get(name) is not None}
    return {"document": document}


def _texts(content: str | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The parts of a document; Converse has no images among them."""
    if isinstance(content, str):
        return [{"text": content}]
    if any(part["type"] != "text" for part in content):
        raise unsupported_block("document")
    return [{"text": part["text"]} for part in content]


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
    message = reply["output"]["message"]
    return {
        "id": message_id,
        "type": "message",
        "role": message["role"],
        "model": model,
        "content": [_block(union) for union in message["content"]],
        **_stopped(reply),
        "usage": _usage(reply["usage"]),
    }


def _stopped(told: Mapping[str, Any]) -> dict[str, Any]:
    """Why it stopped: from a whole reply, or from `messageStop`."""
    fields = told.get("additionalModelResponseFields") or {}
    sequence = fields.get("stop_sequence") or (fields.get("delta") or {}).get("stop_sequence")
    reason = told["stopReason"]
    return {"stop_reason": _STOP_REASONS.get(reason, reason), "stop_sequence": sequence}


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
    kind, value = only(union)
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


class MessagesTranslator:
    """One Converse stream as a Messages stream: feed it the events in order, each is answered at once.

    Converse opens a block of text or thinking with its first delta, and tells the usage last. So the counts
    of `message_start` are 0, and those of `message_delta` are the ones that count.
    """

    def __init__(self, *, message_id: str, model: str) -> None:
        self._id = message_id
        self._model = model
        self._open = -1  # the block that has been opened and not closed
        self._started: dict[str, Any] = {}  # what contentBlockStart told of a block that comes whole
        self._stop: dict[str, Any] = {}
        self.complete = False  # whether the end has come

    def feed(self, kind: str, data: bytes) -> list[Event]:
        """The Messages events that a Converse event makes; none for an event of an unknown type.

        Raises ModelStreamErrorException for data that is no event of its type.
        """
        try:
            return self._events(kind, msgspec.json.decode(data))
        except NOT_AS_PROMISED as error:
            raise ModelStreamErrorException(UNREADABLE, reason=f"{kind}: {error!r}") from error

    def _events(self, kind: str, told: dict[str, Any]) -> list[Event]:
        match kind:
            case "messageStart":
                return [event("message_start", message=self._message(told["role"]))]
            case "contentBlockStart":
                return self._start(told["contentBlockIndex"], told["start"])
            case "contentBlockDelta":
                return self._delta(told["contentBlockIndex"], *only(told["delta"]))
            case "contentBlockStop":
                return self._close(told["contentBlockIndex"])
            case "messageStop":
                self._stop = told
            case "metadata":
                return self._end(told["usage"])
        return []

    def _message(self, role: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": role,
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }

    def _start(self, index: int, start: dict[str, Any]) -> list[Event]:
        if "toolUse" in start:
            return [self._opened(index, _block(start))]
        self._started = start
        return []

    def _delta(self, index: int, kind: str, value: Any) -> list[Event]:
        match kind:
            case "text":
                return self._piece(index, {"type": "text", "text": ""}, type="text_delta", text=value)
            case "citation":
                opening = {"type": "text", "text": "", "citations": []}
                citation = citations.to_messages(value)
                return self._piece(index, opening, type="citations_delta", citation=citation)
            case "toolUse":
                piece = {"type": "input_json_delta", "partial_json": value["input"]}
                return [event("content_block_delta", index=index, delta=piece)]
            case "reasoningContent" if "redactedContent" not in value:
                name, text = only(value)
                field = "thinking" if name == "text" else name
                opening = {"type": "thinking", "thinking": "", "signature": ""}
                return self._piece(index, opening, **{"type": f"{field}_delta", field: text})
        if kind == "toolResult":
            value = self._started.get(kind, {}) | {"content": value}
        block = _block({kind: value})
        if self._open == index:  # a further delta, of a kind we have never heard of
            return [event("content_block_delta", index=index, delta=block)]
        return [self._opened(index, block)]

    def _piece(self, index: int, opening: dict[str, Any], **delta: Any) -> list[Event]:
        """A delta, and before the first of a block its opening."""
        opened = [] if self._open == index else [self._opened(index, opening)]
        return [*opened, event("content_block_delta", index=index, delta=delta)]

    def _opened(self, index: int, block: dict[str, Any]) -> Event:
        self._open = index
        return event("content_block_start", index=index, content_block=block)

    def _close(self, index: int) -> list[Event]:
        # of an empty text Converse tells nothing but the end
        opened = [] if self._open == index else [self._opened(index, {"type": "text", "text": ""})]
        self._open, self._started = -1, {}
        return [*opened, event("content_block_stop", index=index)]

    def _end(self, usage: dict[str, Any]) -> list[Event]:
        self.complete = True
        delta = _stopped(self._stop)
        return [event("message_delta", delta=delta, usage=_usage(usage)), event("message_stop")]
