"""A Messages request → what the model reads. Knows chat formats and Messages blocks; not the child, not
tokens.

A prompt is a list of pieces. The pieces we or a chat template write are `control`: text such as
`<|im_start|>` in them is a control token. The pieces that come from the request are content: the same
letters in them stay letters, because they are tokenised without special tokens. So nothing a user writes
can close his turn.

Text, tool calls and tool results reach the model, plain-text documents as text. Reasoning blocks of earlier
answers are left out, as Claude does. Images, other documents and unknown blocks are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from outcrop.engine.local.tools import Tool
from outcrop.errors import ModelErrorException
from outcrop.wire.converse_rules import unsupported_block


class Piece(NamedTuple):
    """A run of text; `control` when the control tokens in it count."""

    text: str
    control: bool = False


class Turn(NamedTuple):
    """All that one role says at a time: consecutive messages of a role are one turn."""

    role: str
    pieces: tuple[Piece, ...]


class Conversation(NamedTuple):
    """The turns up to the one to be answered, and the beginning of the answer if the request gives one."""

    turns: tuple[Turn, ...]
    prefill: tuple[Piece, ...]


def conversation(body: Mapping[str, Any], tools: Sequence[Tool]) -> Conversation:
    """The turns of a request, `tools` described in the first. Raises ValidationException for a block that the
    model can't read."""
    turns: list[Turn] = []
    opening = "\n\n".join(text for text in (_system(body.get("system")), _described(tools)) if text)
    if opening:
        turns.append(Turn("system", (Piece(opening),)))
    for message in body["messages"]:
        pieces = tuple(_pieces(message["content"]))
        if turns and turns[-1].role == message["role"]:
            turns[-1] = Turn(message["role"], (*turns[-1].pieces, Piece("\n"), *pieces))
        else:
            turns.append(Turn(message["role"], pieces))
    prefill = turns.pop().pieces if turns[-1].role == "assistant" else ()
    return Conversation(tuple(turns), prefill)


def _system(system: Any) -> str:
    if not system:
        return ""
    return system if isinstance(system, str) else "\n".join(block["text"] for block in system)


def _described(tools: Sequence[Tool]) -> str:
    if not tools:
        return ""
    lines = [f"- {tool.name}: {tool.description}\n  input: {_json(tool.schema)}" for tool in tools]
    return "You can call these tools:\n" + "\n".join(lines)


def _pieces(content: Any) -> Iterator[Piece]:
    if isinstance(content, str):
        yield Piece(content)
        return
    first = True
    for block in content:
        pieces = _block(block)
        if pieces and not first:
            yield Piece("\n")
        first = first and not pieces
        yield from pieces


CALL: Final = (Piece("<tool_call>\n", True), Piece("\n</tool_call>", True))
# Tried beside `<tool_response>` tags, which SmolLM2 then copies into its answer.
RESULT: Final = Piece("Result: ")


def _block(block: Mapping[str, Any]) -> tuple[Piece, ...]:
    kind = block["type"]
    if kind == "text":
        return (Piece(block["text"]),)
    if kind == "tool_use":
        call = {"name": block["name"], "arguments": block["input"]}
        return (CALL[0], Piece(_json(call)), CALL[1])
    if kind == "tool_result":
        failed = (Piece("Error: "),) if block.get("is_error") else ()
        return (RESULT, *failed, *_pieces(block.get("content") or ""))
    if kind in ("thinking", "redacted_thinking"):
        return ()
    source = block.get("source") or {}
    if kind == "document" and source.get("type") == "text":
        heading = "\n".join(block[key] for key in ("title", "context") if block.get(key))
        return (Piece(f"{heading}\n{source['data']}" if heading else source["data"]),)
    raise unsupported_block(str(kind))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def call_opening(name: str) -> tuple[Piece, ...]:
    """The beginning of an answer that calls the tool `name`, up to where its input starts."""
    return (CALL[0], Piece('{"name":' + _json(name) + ',"arguments":'))


def naming_opening() -> tuple[Piece, ...]:
    """The beginning of an answer that calls a tool, up to where its name (a JSON string) starts."""
    return (CALL[0], Piece('{"name":'))


def chatml(talk: Conversation) -> tuple[Piece, ...]:
    """The format SmolLM2 was trained on. Its own template would add a system prompt that nobody asked for."""
    pieces: list[Piece] = []
    for role, content in talk.turns:
        pieces += (Piece(f"<|im_start|>{role}\n", True), *content, Piece("<|im_end|>\n", True))
    return joined((*pieces, Piece("<|im_start|>assistant\n", True), *talk.prefill))


# A model's own template is given marks in place of the contents, and the marks are replaced afterwards: so
# the template writes the control tokens, and content never passes through it. Private-use characters,
# because templates trim and compare ordinary ones.
_MARK: Final = "\ue000{}\ue001"


def template_messages(talk: Conversation, *, system_role: bool) -> list[dict[str, str]]:
    """The messages to give to the template, each with a mark for its content.

    Without `system_role` the system turn is said by the user, as its first words.
    """
    messages: list[dict[str, str]] = []
    for number, turn in enumerate(talk.turns):
        leading = turn.role != "system" or (system_role and number == 0)
        role = turn.role if leading else "user"
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += "\n\n" + _MARK.format(number)
        else:
            messages.append({"role": role, "content": _MARK.format(number)})
    return messages


def filled_template(written: str, talk: Conversation) -> tuple[Piece, ...]:
    """What the template wrote around the marks, with the contents in their places, then the prefill.

    Raises ModelErrorException when the template left a turn out.
    """
    pieces: list[Piece] = []
    for number, turn in enumerate(talk.turns):
        before, mark, written = written.partition(_MARK.format(number))
        if not mark:
            raise ModelErrorException("The model's chat template leaves out a part of the conversation.")
        pieces += (Piece(before, True), *turn.pieces)
    return joined((*pieces, Piece(written, True), *talk.prefill))


def joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The same text in as few pieces as it has runs of one kind."""
    runs: list[list[Any]] = []
    for text, control in pieces:
        if runs and runs[-1][1] == control:
            runs[-1][0].append(text)
        elif text:
            runs.append([[text], control])
    return tuple(Piece("".join(texts), control) for texts, control in runs if texts)
