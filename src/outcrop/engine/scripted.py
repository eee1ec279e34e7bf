"""An engine that answers from a list: text, tools, thinking, errors, delays, breaks in mid-stream. For tests.

Nothing is generated: each question takes the next `Script`. Token counts are the script's, or one per four
characters, which is said here because nobody should take them for a model's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from outcrop import errors
from outcrop.engine import Answer, Event, Lack, Question, Stream, Whole
from outcrop.engine.lacks import refuse_lacks
from outcrop.errors import ConfigError, Fault, InternalServerException
from outcrop.wire.messages_reply import as_events


class ToolUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool the script calls."""

    name: str
    input: dict[str, Any] = {}
    id: str = ""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of the list, or one failure.

    `text`, `thinking` and `tools` make the content, in the order thinking, text, tools; `content` gives whole
    Messages blocks instead. `error` names a fault (`ThrottlingException`) that is raised instead of an answer
    or, with `break_after`, once that many events of the stream were sent. `delay` seconds pass before the
    first event and `pace` seconds between deltas; `piece` is how many characters a text delta has.
    """

    text: str = ""
    thinking: str = ""
    tools: tuple[ToolUse, ...] = ()
    content: tuple[dict[str, Any], ...] = ()
    stop_reason: str = ""
    stop_sequence: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: str = ""
    message: str = ""
    break_after: Annotated[int, Meta(ge=0)] | None = None
    delay: Annotated[float, Meta(ge=0)] = 0
    pace: Annotated[float, Meta(ge=0)] = 0
    piece: Annotated[int, Meta(ge=1)] = 8


DEFAULT = Script(text="This answer comes from a script, not from a model.")


class ScriptedEngine:
    """Answers with each script in turn; with `repeat` it starts over at the end, else it then fails."""

    name = "scripted"

    def __init__(
        self, scripts: Iterable[Script] = (DEFAULT,), *, repeat: bool = True, cannot: Iterable[Lack] = ()
    ) -> None:
        self._scripts = tuple(scripts)
        self._repeat = repeat
        self._next = 0
        self.cannot = frozenset(cannot)
        self.questions: list[Question] = []

    @classmethod
    def from_file(cls, path: Path, *, repeat: bool = True) -> ScriptedEngine:
        """Scripts from a JSON or TOML file: a list, or a table with the list under `answers`.

        Raises ConfigError naming the file and what is wrong in it.
        """
        return cls(read_scripts(path), repeat=repeat)

    async def start(self) -> None:
        """Nothing to make ready."""

    async def answer(self, question: Question) -> Answer:
        """The next script. Raises the fault it names."""
        refuse_lacks(question.body, self.cannot)
        script = self._take(question)
        if script.delay:
            await asyncio.sleep(script.delay)
        if script.error and script.break_after is None:
            raise _fault(script)
        message = _message(script, question)
        if question.stream:
            return Stream(_play(script, _in_pieces(as_events(message), script.piece)))
        if script.error:
            raise _fault(script)
        return Whole(msgspec.json.encode(message))

    async def count(self, question: Question) -> int:
        """The next script's `input_tokens`, else the estimate; no script is used up."""
        script = self._scripts[self._next % len(self._scripts)] if self._scripts else DEFAULT
        return script.input_tokens if script.input_tokens is not None else _estimate(question.body)

    async def close(self) -> None:
        """Nothing is held."""

    def _take(self, question: Question) -> Script:
        self.questions.append(question)
        if self._next >= len(self._scripts):
            if not self._repeat or not self._scripts:
                raise InternalServerException("The scripted engine has no answer left.")
            self._next = 0
        script = self._scripts[self._next]
        self._next += 1
        return script


class _TextDelta(msgspec.Struct):
    index: int
    delta: dict[str, str]


def _in_pieces(events: Iterable[Event], size: int) -> list[Event]:
    """The same events, with the text in deltas of `size` characters."""
    cut: list[Event] = []
    for event in events:
        if event.type == "content_block_delta" and b'"text_delta"' in event.data:
            whole = msgspec.json.decode(event.data, type=_TextDelta)
            text = whole.delta["text"]
            cut += (_text_delta(whole.index, text[at : at + size]) for at in range(0, len(text), size))
        else:
            cut.append(event)
    return cut


def _text_delta(index: int, text: str) -> Event:
    delta = {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}
    return Event("content_block_delta", msgspec.json.encode(delta))


async def _play(script: Script, events: Sequence[Event]) -> AsyncGenerator[Sequence[Event]]:
    for sent, event in enumerate(events):
        if sent == script.break_after:
            raise _fault(script)
        if script.pace and event.type == "content_block_delta":
            await asyncio.sleep(script.pace)
        yield (event,)


def _fault(script: Script) -> Fault:
    kind: type[Fault] = getattr(errors, script.error or "ModelStreamErrorException")
    return kind(script.message or "The scripted engine was told to fail here.")


def _message(script: Script, question: Question) -> dict[str, Any]:
    content = list(script.content) or _blocks(script)
    default_stop = "tool_use" if any(block["type"] == "tool_use" for block in content) else "end_turn"
    output = script.output_tokens if script.output_tokens is not None else _estimate(content)
    return {
        "id": f"msg_bdrk_{question.request_id.replace('-', '')[:24]:0<24}",
        "type": "message",
        "role": "assistant",
        "model": question.model.anthropic_name,
        "content": content,
        "stop_reason": script.stop_reason or default_stop,
        "stop_sequence": script.stop_sequence,
        "usage": {
            "input_tokens": script.input_tokens
            if script.input_tokens is not None
            else _estimate(question.body),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output,
        },
    }


def _blocks(script: Script) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if script.thinking:
        blocks.append({"type": "thinking", "thinking": script.thinking, "signature": "c2NyaXB0ZWQ="})
    if script.text:
        blocks.append({"type": "text", "text": script.text})
    for number, tool in enumerate(script.tools):
        tool_id = tool.id or f"toolu_bdrk_scripted{number:016d}"
        blocks.append({"type": "tool_use", "id": tool_id, "name": tool.name, "input": tool.input})
    return blocks


def _estimate(value: object) -> int:
    return max(1, math.ceil(len(msgspec.json.encode(value)) / 4))


def read_scripts(path: Path) -> tuple[Script, ...]:
    """The scripts in a JSON or TOML file. Raises ConfigError naming the file and what is wrong in it."""
    fix = 'Give a list of answers, each like {"text": "Hello"}; in TOML as [[answers]] tables.'
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"The answers in {path} can't be read: {error.strerror}.", fix) from error
    try:
        value = msgspec.toml.decode(raw) if path.suffix == ".toml" else msgspec.json.decode(raw)
        listed = value.get("answers") if isinstance(value, dict) else value
        scripts = msgspec.convert(listed, tuple[Script, ...])
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise ConfigError(f"{path}: {error}", fix) from error
    if not scripts:
        raise ConfigError(f"{path}: there is no answer in it.", fix)
    for script in scripts:
        kind = getattr(errors, script.error, None) if script.error else Fault
        if not (isinstance(kind, type) and issubclass(kind, Fault)):
            raise ConfigError(
                f"{path}: there is no fault named {script.error}",
                "Use AWS's name, such as ThrottlingException.",
            )
    return scripts
