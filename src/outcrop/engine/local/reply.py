"""The answer in the Messages language: stream events as they come, and the whole message at the end.

Knows the shapes; not the model. Shapes and the usage fields: InvokeModel's recorded replies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from outcrop.engine import Event

_encode = msgspec.json.Encoder().encode


class Ending(NamedTuple):
    """Why an answer ended. `sequence` is the stop sequence that was met; `output_tokens` what was
    generated."""

    reason: str
    sequence: str | None
    output_tokens: int


class Reply:
    """One message in the making, with a single content block. Each method hands back the events it makes."""

    def __init__(self, message_id: str, model: str, input_tokens: int) -> None:
        self._message: dict[str, Any] = {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        self._input_tokens = input_tokens
        self._pieces: list[str] = []
        self._ending = Ending("end_turn", None, 0)
        self._block: dict[str, Any] = {"type": "text", "text": ""}
        self._opened = False

    def start(self) -> Event:
        """The first event. Its output count is one, as in recorded streams: the count proper comes last."""
        return _event("message_start", {"message": {**self._message, "usage": self._usage(1)}})

    def call(self, tool_id: str, name: str) -> list[Event]:
        """The answer is a tool's input."""
        self._block = {"type": "tool_use", "id": tool_id, "name": name, "input": {}}
        return [self._open()]

    def piece(self, text: str) -> list[Event]:
        """Some more text, or some more of the tool's input as JSON text. Nothing for no text."""
        if not text:
            return []
        events = [] if self._opened else [self._open()]
        self._pieces.append(text)
        if self._block["type"] == "text":
            delta = {"type": "text_delta", "text": text}
        else:
            delta = {"type": "input_json_delta", "partial_json": text}
        events.append(_event("content_block_delta", {"index": 0, "delta": delta}))
        return events

    def end(self, ending: Ending) -> list[Event]:
        """The last events."""
        self._ending = ending
        events = [_event("content_block_stop", {"index": 0})] if self._opened else []
        delta = {"stop_reason": ending.reason, "stop_sequence": ending.sequence}
        usage = {"output_tokens": ending.output_tokens}
        return [
            *events,
            _event("message_delta", {"delta": delta, "usage": usage}),
            _event("message_stop", {}),
        ]

    def whole(self) -> bytes:
        """The message as one JSON text, after `end`. A tool's input that was cut short is an empty object."""
        text = "".join(self._pieces)
        if self._block["type"] == "text":
            content = [{"type": "text", "text": text}] if text else []
        else:
            content = [{**self._block, "input": _parsed(text)}]
        ending = {"stop_reason": self._ending.reason, "stop_sequence": self._ending.sequence}
        usage = self._usage(self._ending.output_tokens)
        return _encode({**self._message, "content": content, **ending, "usage": usage})

    def _open(self) -> Event:
        self._opened = True
        return _event("content_block_start", {"index": 0, "content_block": self._block})

    def _usage(self, output_tokens: int) -> dict[str, int]:
        return {
            "input_tokens": self._input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        }


def _event(kind: str, fields: dict[str, Any]) -> Event:
    return Event(kind, _encode({"type": kind, **fields}))


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
