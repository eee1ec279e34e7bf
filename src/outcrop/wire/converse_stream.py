"""A Messages stream as a Converse stream, event by event. Knows both orders of events; no frames, no clock.

Converse has fewer events: no start for text and reasoning, one for a tool's use, whose first input is the
empty string; usage and latency come last, in `metadata`. Nothing is held back: each Messages event is
answered at once, and a citation keeps its place before or after the text of its block (recorded: before).

What has no event in Converse is not lost: a block or delta of an unknown type travels as a union member named
after it (see `converse.unknown_member`), and content that an engine puts whole into the start of a block
becomes a delta. Events of an unknown type are passed over, like `ping`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from outcrop.errors import ModelStreamErrorException
from outcrop.wire import converse, json_pointer
from outcrop.wire import converse_citations as citations
from outcrop.wire.converse import ConverseRequest
from outcrop.wire.messages_reply import NOT_AS_PROMISED, UNREADABLE
from outcrop.wire.sse import Event

ConverseEvent: TypeAlias = tuple[str, bytes]

_NONE: Final = msgspec.Raw(b"")


class _Delta(msgspec.Struct):
    """The strings stay the JSON they are: nothing here looks inside, and decoding them would cost most."""

    type: str
    text: msgspec.Raw = _NONE
    partial_json: msgspec.Raw = _NONE
    thinking: msgspec.Raw = _NONE
    signature: msgspec.Raw = _NONE
    citation: dict[str, Any] | None = None


class _BlockDelta(msgspec.Struct):
    index: int
    delta: _Delta


class _Start(msgspec.Struct):
    index: int
    content_block: dict[str, Any]


class _MessageStart(msgspec.Struct):
    message: dict[str, Any]


class _MessageDelta(msgspec.Struct):
    delta: dict[str, Any]
    usage: dict[str, Any] = {}


_decode_delta: Final = msgspec.json.Decoder(_BlockDelta).decode
_decode_start: Final = msgspec.json.Decoder(_Start).decode
_decode_message_start: Final = msgspec.json.Decoder(_MessageStart).decode
_decode_message_delta: Final = msgspec.json.Decoder(_MessageDelta).decode
_encode: Final = msgspec.json.encode


class StreamTranslator:
    """One stream: feed it the engine's events in order."""

    def __init__(self, request: ConverseRequest) -> None:
        self._request = request
        self._latency_ms = 0
        self._message: dict[str, Any] = {}
        self._ending: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._handlers: dict[str, Callable[[bytes], list[ConverseEvent]]] = {
            "content_block_delta": self._on_delta,
            "content_block_start": self._on_start,
            "content_block_stop": self._on_stop,
            "message_start": self._on_message_start,
            "message_delta": self._on_message_delta,
            "message_stop": self._on_message_stop,
        }
        # the open block: its number, the beginning of its deltas, what its start held that no delta told
        self._index = -1
        self._head = b""
        self._text_head = b""
        self._pending: list[dict[str, Any]] = []
        self._input: Any = None

    def feed(self, event: Event, latency_ms: int) -> list[ConverseEvent]:
        """The Converse events that a Messages event makes: each its type and its JSON, without padding.

        `latency_ms`, the time since the request came, goes into the last of them. Raises
        ModelStreamErrorException for data that is no event of its type.
        """
        self._latency_ms = latency_ms
        handler = self._handlers.get(event.type)
        try:
            return [] if handler is None else handler(event.data)
        except NOT_AS_PROMISED as error:
            raise ModelStreamErrorException(UNREADABLE, reason=f"{event.type}: {error!r}") from error

    # --- content --------------------------------------------------------------------------------------------

    def _on_start(self, data: bytes) -> list[ConverseEvent]:
        start = _decode_start(data)
        self._open(start.index)
        block = start.content_block
        match block["type"]:
            case "text" | "thinking":
                self._pending = _deltas_of(block)
                return []
            case "redacted_thinking":
                return [
                    self._delta({"reasoningContent": {"redactedContent": converse.redacted(block["data"])}})
                ]
            case "tool_use" | "server_tool_use":
                return self._start_tool(block)
        # whole, as these blocks come: a server tool's result, or a type we have never heard of
        kind, told = next(iter(converse.union(msgspec.Raw(_encode(block)), typed=True).items()))
        if kind != "toolResult":
            return [self._started({kind: {}}), self._delta({kind: told})]
        content = told.pop("content")
        return [self._started({kind: told}), self._delta({kind: content})]

    def _start_tool(self, block: dict[str, Any]) -> list[ConverseEvent]:
        self._input = block.get("input")
        use = {"name": block["name"], "toolUseId": block["id"]}
        use |= converse.tool_type(block["type"], typed=self._request.typed)
        return [self._started({"toolUse": use}), self._delta({"toolUse": {"input": ""}})]

    def _on_delta(self, data: bytes) -> list[ConverseEvent]:
        event = _decode_delta(data)
        delta = event.delta
        if event.index != self._index:
            self._open(event.index)
        if delta.type == "text_delta" and not self._pending:
            return [("contentBlockDelta", b"".join((self._text_head, delta.text, b"}}")))]
        return self._told_pending() + self._other_delta(delta, data)

    def _other_delta(self, delta: _Delta, data: bytes) -> list[ConverseEvent]:
        match delta.type:
            case "text_delta":
                return [self._raw(b'{"text":%b}' % bytes(delta.text))]
            case "input_json_delta":
                piece = bytes(delta.partial_json)
                # the empty first piece has been told with the start
                if piece == b'""':
                    return []
                self._input = None
                return [self._raw(b'{"toolUse":{"input":%b}}' % piece)]
            case "thinking_delta":
                return [self._raw(b'{"reasoningContent":{"text":%b}}' % bytes(delta.thinking))]
            case "signature_delta":
                return [self._raw(b'{"reasoningContent":{"signature":%b}}' % bytes(delta.signature))]
            case "citations_delta" if delta.citation is not None:
                return [self._delta({"citation": citations.to_converse(delta.citation)})]
        return [self._delta(converse.unknown_member(msgspec.json.decode(data)["delta"]))]

    def _on_stop(self, _data: bytes) -> list[ConverseEvent]:
        events = self._told_pending()
        if self._input:
            # an engine that gave the tool's input with the start, and no pieces of it
            events.append(self._delta({"toolUse": {"input": _encode(self._input).decode()}}))
            self._input = None
        events.append(("contentBlockStop", b'{"contentBlockIndex":%d}' % self._index))
        return events

    def _told_pending(self) -> list[ConverseEvent]:
        pending, self._pending = self._pending, []
        return [self._delta(delta) for delta in pending]

    def _open(self, index: int) -> None:
        self._index = index
        self._head = b'{"contentBlockIndex":%d,"delta":' % index
        self._text_head = self._head + b'{"text":'
        self._pending = []
        self._input = None

    def _started(self, start: dict[str, Any]) -> ConverseEvent:
        return "contentBlockStart", _encode({"contentBlockIndex": self._index, "start": start})

    def _delta(self, delta: dict[str, Any]) -> ConverseEvent:
        return self._raw(_encode(delta))

    def _raw(self, delta: bytes) -> ConverseEvent:
        return "contentBlockDelta", b"".join((self._head, delta, b"}"))

    # --- the message ----------------------------------------------------------------------------------------

    def _on_message_start(self, data: bytes) -> list[ConverseEvent]:
        self._message = _decode_message_start(data).message
        self._usage = dict(self._message.get("usage") or {})
        return [("messageStart", _encode({"role": self._message.get("role", "assistant")}))]

    def _on_message_delta(self, data: bytes) -> list[ConverseEvent]:
        event = _decode_message_delta(data)
        self._ending |= event.delta
        self._usage |= {name: count for name, count in event.usage.items() if count is not None}
        return []

    def _on_message_stop(self, _data: bytes) -> list[ConverseEvent]:
        request = self._request
        stop: dict[str, Any] = {}
        # a pointer finds the last event (`/delta/stop_sequence`) as well as the message (`/stop_sequence`)
        ended = self._message | self._ending | {"delta": self._ending, "usage": self._usage}
        fields = json_pointer.pick(ended, request.response_paths)
        if fields:
            stop["additionalModelResponseFields"] = fields
        stop["stopReason"] = converse.stop_reason(self._ending.get("stop_reason"))
        told = {"metrics": {"latencyMs": self._latency_ms}} | converse.echo(request)
        told["usage"] = converse.usage(self._usage, typed=request.typed)
        return [("messageStop", _encode(stop)), ("metadata", _encode(told))]


def _deltas_of(block: dict[str, Any]) -> list[dict[str, Any]]:
    """What a text or thinking block already holds when it starts, as deltas: usually nothing."""
    deltas: list[dict[str, Any]] = []
    deltas += [{"citation": citations.to_converse(one)} for one in block.get("citations") or ()]
    if block.get("text"):
        deltas.append({"text": block["text"]})
    if block.get("thinking"):
        deltas.append({"reasoningContent": {"text": block["thinking"]}})
    if block.get("signature"):
        deltas.append({"reasoningContent": {"signature": block["signature"]}})
    return deltas
