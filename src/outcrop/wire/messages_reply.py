"""A model's answer in the Messages language: usage and stop reason, whole replies and events, and their ids.

Reads what an engine gave, folds events into a reply and unfolds a reply into events. Knows no request, no
frames, no clock; random bytes come in as arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from outcrop.errors import ModelErrorException, ModelStreamErrorException
from outcrop.wire.sse import Event

METRICS: Final = "amazon-bedrock-invocationMetrics"

# AWS's description of the exception (botocore); what exactly could not be read stays in our own log.
UNREADABLE: Final = "The request failed due to an error while processing the model."


# What reading an engine's answer raises when it is no JSON, or lacks what its type promises.
NOT_AS_PROMISED: Final = (
    msgspec.MsgspecError,
    RecursionError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)


# --- what an answer cost and why it ended ------------------------------------------------------------------


class CacheCreation(msgspec.Struct, frozen=True):
    """Input tokens written to the prompt cache, by how long they live there."""

    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer. `input_tokens` excludes what the cache read and wrote (A, recorded)."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_creation: CacheCreation = CacheCreation()


class Summary(msgspec.Struct, frozen=True):
    """What the log and the bill want to know of a whole reply."""

    id: str
    model: str
    stop_reason: str
    stop_sequence: str | None
    usage: Usage


class _Creation(msgspec.Struct):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class _Usage(msgspec.Struct):
    """As it comes: any field may be missing or null, and there may be more of them."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _Creation | None = None

    def settled(self) -> Usage:
        made = self.cache_creation or _Creation()
        return Usage(
            self.input_tokens or 0,
            self.output_tokens or 0,
            self.cache_read_input_tokens or 0,
            self.cache_creation_input_tokens or 0,
            CacheCreation(made.ephemeral_5m_input_tokens or 0, made.ephemeral_1h_input_tokens or 0),
        )


class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: _Usage | None = None


class _Start(msgspec.Struct):
    message: _Message


class _Stop(msgspec.Struct):
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Delta(msgspec.Struct):
    delta: _Stop | None = None
    usage: _Usage | None = None


_read_message = msgspec.json.Decoder(_Message).decode
_read_start = msgspec.json.Decoder(_Start).decode
_read_delta = msgspec.json.Decoder(_Delta).decode
_read_any = msgspec.json.Decoder(Any).decode
_read_object = msgspec.json.Decoder(dict[str, Any]).decode
_write = msgspec.json.Encoder().encode


def read_whole(body: bytes) -> Summary:
    """What a whole Messages reply says of itself. Raises ModelErrorException when it is none."""
    try:
        message = _read_message(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelErrorException(UNREADABLE, reason=f"reply: {error}") from None
    return Summary(
        message.id or "",
        message.model or "",
        message.stop_reason or "",
        message.stop_sequence,
        (message.usage or _Usage()).settled(),
    )


class Tally:
    """Counts a stream as it passes: feed it every event, ask it at any time.

    Only `message_start` and `message_delta` are decoded. Counts in `message_delta` are totals so far; for
    input the larger one counts, since some servers send zeros there.
    """

    __slots__ = ("_usage", "id", "model", "stop_reason", "stop_sequence")

    def __init__(self) -> None:
        self._usage = Usage()
        self.id = ""
        self.model = ""
        self.stop_reason = ""
        self.stop_sequence: str | None = None

    @property
    def usage(self) -> Usage:
        """Tokens counted so far."""
        return self._usage

    def feed(self, type_: str, data: bytes) -> None:
        """Take one event. Raises ModelStreamErrorException when it can't be read."""
        try:
            if type_ == "message_start":
                self._start(_read_start(data).message)
            elif type_ == "message_delta":
                self._delta(_read_delta(data))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ModelStreamErrorException(UNREADABLE, reason=f"{type_}: {error}") from None

    def _start(self, message: _Message) -> None:
        self.id, self.model = message.id or "", message.model or ""
        if message.usage is not None:
            self._usage = message.usage.settled()

    def _delta(self, event: _Delta) -> None:
        if event.delta is not None:
            self.stop_reason = event.delta.stop_reason or self.stop_reason
            self.stop_sequence = event.delta.stop_sequence or self.stop_sequence
        if event.usage is not None:
            was, now = self._usage, event.usage.settled()
            told = event.usage.output_tokens is not None
            self._usage = Usage(
                max(was.input_tokens, now.input_tokens),
                now.output_tokens if told else was.output_tokens,
                max(was.cache_read_input_tokens, now.cache_read_input_tokens),
                max(was.cache_creation_input_tokens, now.cache_creation_input_tokens),
                now.cache_creation if now.cache_creation != CacheCreation() else was.cache_creation,
            )


def with_metrics(
    data: bytes, usage: Usage, latency_ms: int, first_byte_ms: int, *, caches: bool = False
) -> bytes:
    """The JSON of a `message_stop` with Bedrock's metrics in it, as InvokeModelWithResponseStream sends it.

    `caches` adds the cache counts, which only models that cache have. Metrics that are there already (from a
    Bedrock upstream) are replaced.
    """
    metrics: dict[str, int] = {
        "inputTokenCount": usage.input_tokens,
        "outputTokenCount": usage.output_tokens,
        "invocationLatency": latency_ms,
        "firstByteLatency": first_byte_ms,
    }
    if caches:
        metrics["cacheReadInputTokenCount"] = usage.cache_read_input_tokens
        metrics["cacheWriteInputTokenCount"] = usage.cache_creation_input_tokens
    if METRICS.encode() in data:
        return _write({**_read_object(data), METRICS: metrics})
    head = data.rstrip()[:-1].rstrip()
    comma = b"" if head.endswith(b"{") else b","
    return b'%b%b"%b":%b}' % (head, comma, METRICS.encode(), _write(metrics))


# --- events to a reply -------------------------------------------------------------------------------------


def assemble(events: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """The reply that a stream of events adds up to. A stream that broke off gives what had come until then.

    Blocks and deltas of kinds we have never heard of are kept: their texts are joined, lists extended, other
    values set. Raises ModelStreamErrorException for an `error` event, an event that can't be read, or a
    stream without `message_start`.
    """
    fold = _Fold()
    try:
        for type_, data in events:
            fold.feed(type_, _read_object(data))
        return fold.finish()
    except NOT_AS_PROMISED as error:
        raise ModelStreamErrorException(UNREADABLE, reason=f"stream: {error!r}") from None


class _Fold:
    """A reply that is coming together."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self.blocks: dict[int, _Block] = {}

    def feed(self, type_: str, event: dict[str, Any]) -> None:
        if type_ == "content_block_delta":
            self.blocks[event["index"]].add(event["delta"])
        elif type_ == "content_block_start":
            self.blocks[event["index"]] = _Block(event["content_block"])
        elif type_ == "message_start":
            self.message = dict(event["message"])
        elif type_ == "message_delta":
            self._close(event)
        elif type_ == "error":
            error = event["error"]
            raise ModelStreamErrorException(str(error["message"]), reason=str(error))

    def _close(self, event: dict[str, Any]) -> None:
        usage = {name: count for name, count in (event.get("usage") or {}).items() if count is not None}
        if usage:
            self.message["usage"] = {**(self.message.get("usage") or {}), **usage}
        self.message.update(event.get("delta") or {})
        self.message.update(
            {name: value for name, value in event.items() if name not in ("type", "delta", "usage")}
        )

    def finish(self) -> dict[str, Any]:
        if not self.message:
            raise ValueError("no message_start")
        self.message["content"] = [self.blocks[index].finish() for index in sorted(self.blocks)]
        return self.message


# the deltas whose text goes into a field of another name than the one it comes in
_APPEND: Final = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class _Block:
    """A block that is coming together. Pieces of text are joined once, at the end."""

    __slots__ = ("block", "pieces")

    def __init__(self, block: Mapping[str, Any]) -> None:
        self.block = dict(block)
        self.pieces: dict[str, list[str]] = {}

    def add(self, delta: Mapping[str, Any]) -> None:
        kind = delta["type"]
        if kind in _APPEND:
            self._append(_APPEND[kind], delta[_APPEND[kind]])
        elif kind == "input_json_delta":
            self.pieces.setdefault("partial_json", []).append(delta["partial_json"])
        elif kind == "citations_delta":
            self.block["citations"] = [*(self.block.get("citations") or []), delta["citation"]]
        else:
            self._merge(delta)

    def _append(self, name: str, text: str) -> None:
        self.pieces.setdefault(name, [self.block.get(name) or ""]).append(text)

    def _merge(self, delta: Mapping[str, Any]) -> None:
        for name, value in delta.items():
            if name == "type":
                continue
            if type(value) is str:
                self._append(name, value)
            elif type(value) is list and type(self.block.get(name)) is list:
                self.block[name] = self.block[name] + value
            elif value is not None:
                self.block[name] = value

    def finish(self) -> dict[str, Any]:
        json = "".join(self.pieces.pop("partial_json", ()))
        if json:
            self.block["input"] = _tool_input(json)
        self.block.update({name: "".join(texts) for name, texts in self.pieces.items()})
        return self.block


def _tool_input(json: str) -> Any:
    """A tool's input. One that broke off is wrapped as Anthropic documents for invalid JSON."""
    try:
        return _read_any(json)
    except (msgspec.MsgspecError, RecursionError):
        return {"INVALID_JSON": json}


# --- a reply to events -------------------------------------------------------------------------------------


def as_events(message: Mapping[str, Any]) -> list[Event]:
    """A whole reply as the events of a stream, each block's text in one piece."""
    events = [_start_of(message)]
    for index, block in enumerate(message.get("content", ())):
        events += _events_of(index, block)
    usage = message.get("usage")
    ending: dict[str, Any] = {
        "delta": {"stop_reason": message.get("stop_reason"), "stop_sequence": message.get("stop_sequence")}
    }
    if usage is not None and "output_tokens" in usage:
        ending["usage"] = {"output_tokens": usage["output_tokens"]}
    return [*events, event("message_delta", **ending), event("message_stop")]


def event(type_: str, **parts: Any) -> Event:
    """An event of a Messages stream, of that type and with these members."""
    return Event(type_, _write({"type": type_, **parts}))


def _start_of(message: Mapping[str, Any]) -> Event:
    """Everything that is known before the first word; the output counted so far is one token at most."""
    start = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    usage = message.get("usage")
    if usage is not None and "output_tokens" in usage:
        start["usage"] = {**usage, "output_tokens": min(usage["output_tokens"] or 0, 1)}
    return event("message_start", message=start)


def _events_of(index: int, block: Mapping[str, Any]) -> list[Event]:
    begun, deltas = dict(block), list[dict[str, Any]]()
    citations = block.get("citations")
    if citations and block.get("type") == "text":  # they come before the text they belong to (A, recorded)
        begun["citations"] = []
        deltas += [{"type": "citations_delta", "citation": citation} for citation in citations]
    for kind, name in _APPEND.items():
        if block.get("type") in ("text", "thinking") and type(block.get(name)) is str:
            begun[name] = ""
            deltas += [{"type": kind, name: block[name]}] if block[name] else []
    if str(block.get("type")).endswith("tool_use") and type(block.get("input")) is dict:
        begun["input"] = {}
        json = _write(block["input"]).decode() if block["input"] else ""
        deltas.append({"type": "input_json_delta", "partial_json": json})
    return [
        event("content_block_start", index=index, content_block=begun),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    ]


# --- ids ---------------------------------------------------------------------------------------------------

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RANDOM_BYTES: Final = 16


def message_id(random: bytes) -> str:
    """`msg_bdrk_` and 24 characters, from 16 random bytes. A, recorded."""
    return f"msg_bdrk_{_claude_id(random)}"


def tool_use_id(random: bytes) -> str:
    """`toolu_bdrk_` and 24 characters, from 16 random bytes: the ids of tool calls. A, recorded."""
    return f"toolu_bdrk_{_claude_id(random)}"


def _claude_id(random: bytes) -> str:
    """`01` (the form's version, as recorded) and 22 characters of base 58, which just hold 128 bits."""
    if len(random) != _RANDOM_BYTES:
        raise ValueError(f"an id takes {_RANDOM_BYTES} random bytes, not {len(random)}")
    number = int.from_bytes(random, "big")
    digits = []
    for _ in range(22):
        number, digit = divmod(number, 58)
        digits.append(_BASE58[digit])
    return "01" + "".join(reversed(digits))
