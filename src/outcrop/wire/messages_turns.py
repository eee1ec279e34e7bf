"""The messages of a request: roles, their order, tool calls and their results, marks for the prompt cache.

Knows how messages stand to each other; what a single block must hold is `messages_blocks`'s.

Wording as the Claude API has it. A = recorded or documented, C = quoted by users or measured on the live API
(2026-08), D = wording after its siblings.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from outcrop.errors import ValidationException
from outcrop.wire.messages_blocks import (
    MisfitError,
    ModelFacts,
    check_block,
    check_cache_mark,
    is_plain_text,
    must_be,
    need,
    refuse_blanks_only,
    refuse_empty_text,
)

_ROLES: Final = frozenset({"user", "assistant"})
_MOST_CACHE_MARKS: Final = 4  # A
_SYSTEM_BLOCKS: Final = frozenset({"text", "tool_addition", "tool_removal"})
_SYSTEM_SUFFIX: Final = (
    "; the directive-only form (content: [] with output_config) is accepted at any position"
)


# --- each message by itself --------------------------------------------------------------------------------


def check_messages(messages: Any, model: ModelFacts) -> None:
    """Every message has a role that exists and content that can be read.

    Raises MisfitError or ValidationException.
    """
    must_be(messages, list)
    if not messages:
        raise MisfitError("", "at least one message is required")  # C many
    for index, message in enumerate(messages):
        if _is_plain(message):
            continue
        try:
            must_be(message, dict)
            role = need(message, "role", str)
            if role not in _ROLES:
                _check_other_role(role, model)
            _check_content(message, role, model)
        except MisfitError as misfit:
            raise misfit.within(str(index)) from None


def _is_plain(message: Any) -> bool:
    """Whether there is only text and nothing to object to: most messages are so, this is the short way."""
    if type(message) is not dict:
        return False
    role, content = message.get("role"), message.get("content")
    if type(role) is not str or role not in _ROLES:
        return False
    if type(content) is str:
        return not content.isspace()
    return type(content) is list and bool(content) and all(map(is_plain_text, content))


def _check_other_role(role: str, model: ModelFacts) -> None:
    if role != "system":
        raise ValidationException(
            f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant"'  # C, measured
        )
    if "system_messages" not in model.features:
        raise ValidationException(  # C, from Bedrock
            'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
            'not "system" as an input message role.'
        )


def _check_content(message: dict[str, Any], role: str, model: ModelFacts) -> None:
    content = message.get("content")
    if type(content) is str:
        refuse_blanks_only([{"type": "text", "text": content}])
        return
    blocks = need(message, "content", list)
    if role == "system":
        return  # instructions and changes of tools: the newest models' own affair
    for index, block in enumerate(blocks):
        try:
            check_block(block, model)
        except MisfitError as misfit:
            raise misfit.within(f"content.{index}") from None
    refuse_blanks_only(blocks)


# --- how they stand to each other --------------------------------------------------------------------------


def check_order(messages: list[dict[str, Any]], model: ModelFacts) -> None:
    """Who speaks first, who may be silent, where `system` may stand, and whether the end can be continued.

    Messages of one role in a row are one turn and never an error (Claude 3 and later merge them).
    Raises ValidationException.
    """
    for index, message in enumerate(messages):
        if message["role"] == "system":
            _check_system_message(index, message["content"], messages)
    if messages[0]["role"] != "user":
        raise ValidationException('messages: first message must use the "user" role')  # C many
    _check_silence(messages)
    _check_end(messages[-1], model)


def _check_system_message(index: int, content: Any, messages: list[dict[str, Any]]) -> None:
    """The position rules of `system` messages, in the order in which the API reports them (C, measured)."""
    where = f"messages.{index}"
    if not content:
        raise ValidationException(f"{where}: system content must contain at least one block")
    if type(content) is list and not _SYSTEM_BLOCKS.issuperset(map(_type, content)):
        raise ValidationException(
            f"{where}: role 'system' supports text, tool_addition, and tool_removal blocks only"
        )
    if index == 0:
        raise ValidationException(
            f"{where}: use the top-level 'system' parameter for the initial system prompt{_SYSTEM_SUFFIX}"
        )
    if index + 1 < len(messages) and messages[index + 1]["role"] == "user":
        raise ValidationException(
            f"{where}: role 'system' must precede an 'assistant' message or end the array{_SYSTEM_SUFFIX}"
        )


def _check_silence(messages: list[dict[str, Any]]) -> None:
    """A turn may hold an empty message, but only the last one, the assistant's, may be empty altogether."""
    first = 0
    for role, turn in groupby(messages, itemgetter("role")):
        contents = [message["content"] for message in turn]
        to_be_continued = role == "assistant" and first == len(messages) - 1
        if not any(contents) and not to_be_continued:
            raise ValidationException(  # C many
                f"messages.{first}: all messages must have non-empty content "
                "except for the optional final assistant message"
            )
        first += len(contents)


def _check_end(last: dict[str, Any], model: ModelFacts) -> None:
    """What is to be continued: an assistant's last words, by a model that can, and no blanks behind them."""
    if last["role"] != "assistant":
        return
    content = last["content"]
    final: Any = content if type(content) is str else content[-1] if content else ""
    # A turn that stops at the service's own tool is resumed, not prefilled.
    if "assistant_prefill" not in model.features and _type(final) != "server_tool_use":
        raise ValidationException(  # C many
            "This model does not support assistant message prefill. "
            "The conversation must end with a user message."
        )
    text = final["text"] if _type(final) == "text" else final if type(final) is str else ""
    if text[-1:].isspace():
        raise ValidationException(  # C many
            "messages: final assistant content cannot end with trailing whitespace"
        )


def _type(block: Any) -> str:
    """The block's type; "" when it has none."""
    kind = block.get("type") if type(block) is dict else None
    return kind if type(kind) is str else ""


# --- tool calls and their results --------------------------------------------------------------------------


def check_tool_results(messages: list[dict[str, Any]]) -> None:
    """Every tool_use is answered at the head of the next turn, once, and nothing else is.

    Results come first in their message (A): what stands behind another block answers nothing.
    Raises ValidationException.
    """
    if not _has_other_than_text(messages):
        return
    seen: set[str] = set()
    turn = _Turn(seen)
    speaker = ""
    for index, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role == "system":
            continue
        if role != speaker:
            speaker = role
            if role == "assistant":
                turn.close()
                turn = _Turn(seen)
        if role == "assistant":
            turn.ask(index, content)
        else:
            turn.answer(index, content)
    turn.close()


def _has_other_than_text(messages: list[dict[str, Any]]) -> bool:
    for message in messages:
        if type(message["content"]) is list:
            for block in message["content"]:
                if block.get("type") != "text":
                    return True
    return False


class _Turn:
    """A turn of the assistant and the user's next: which calls were made and which of them are answered."""

    __slots__ = ("answered", "asked", "leading", "seen")

    def __init__(self, seen: set[str]) -> None:
        self.asked: dict[str, int] = {}  # id of the call, and in which message it is
        self.answered: set[str] = set()
        self.seen = seen  # calls of all turns
        self.leading = True  # so far the user has sent nothing but results

    def ask(self, index: int, content: Any) -> None:
        if type(content) is str:
            return
        for at, block in enumerate(content):
            kind = block["type"]
            if kind == "tool_use":
                use = block["id"]
                if use in self.seen:
                    raise ValidationException(  # C many
                        f"messages.{index}.content.{at}: `tool_use` ids must be unique"
                    )
                self.seen.add(use)
                self.asked[use] = index
            elif kind == "tool_result":
                raise ValidationException(  # C, measured
                    f"messages.{index}: `tool_result` blocks can only be in `user` messages"
                )

    def answer(self, index: int, content: Any) -> None:
        if type(content) is str:
            self.leading = False
            return
        for at, block in enumerate(content):
            kind = block["type"]
            if kind == "tool_result":
                self._answer(f"messages.{index}.content.{at}", block["tool_use_id"])
            elif kind == "tool_use":
                raise ValidationException(  # C
                    f"messages.{index}: `tool_use` blocks can only be in `assistant` messages"
                )
            else:
                self.leading = False

    def _answer(self, where: str, use: str) -> None:
        if use not in self.asked:
            raise ValidationException(  # C many
                f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {use}. "
                "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if use in self.answered:
            raise ValidationException(  # C many
                f"{where}: each tool_use must have a single result. "
                f"Found multiple `tool_result` blocks with id: {use}"
            )
        if self.leading:
            self.answered.add(use)

    def close(self) -> None:
        missing = [use for use in self.asked if use not in self.answered]
        if missing:
            raise ValidationException(  # C many, Bedrock's own among them
                f"messages.{self.asked[missing[0]]}: `tool_use` ids were found without `tool_result` blocks "
                f"immediately after: {', '.join(missing)}. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message."
            )


# --- the system prompt -------------------------------------------------------------------------------------


def check_system(system: Any, model: ModelFacts) -> None:
    """A text, or a list of text blocks; both may be empty, as real clients send them. Raises MisfitError."""
    if type(system) is str:
        return
    must_be(system, list)
    for index, block in enumerate(system):
        try:
            must_be(block, dict)
            if block.get("type") != "text":
                raise MisfitError("type", "Input should be 'text'")  # D
            text = need(block, "text", str)
            if "cache_control" in block:
                check_cache_mark(block, model)
                if not text and block["cache_control"]:
                    raise MisfitError("", "cache_control cannot be set for empty text blocks")  # C many
            refuse_empty_text(text, "system")
        except MisfitError as misfit:
            raise misfit.within(str(index)) from None
    refuse_blanks_only(system, "system")


# --- marks for the prompt cache ----------------------------------------------------------------------------


def check_cache_marks(body: dict[str, Any]) -> None:
    """At most four, and none of an hour after one of five minutes. Raises ValidationException."""
    if not _has_marks(body):
        return
    marks = list(_cache_marks(body))
    if len(marks) > _MOST_CACHE_MARKS:
        raise ValidationException(  # C many
            f"A maximum of {_MOST_CACHE_MARKS} blocks with cache_control may be provided. Found {len(marks)}."
        )
    short = False
    for path, ttl in marks:
        if ttl == "1h" and short:
            raise ValidationException(  # C many; the second sentence D
                f"{path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' "
                "cache_control block. Note that blocks are processed in the following order: "
                "`tools`, `system`, `messages`."
            )
        short = ttl != "1h"


def _has_marks(body: dict[str, Any]) -> bool:
    """Whether to look closer: most requests have no mark at all."""
    for tool in body.get("tools", ()):
        if "cache_control" in tool:
            return True
    if type(body.get("system")) is list and any("cache_control" in block for block in body["system"]):
        return True
    for message in body["messages"]:
        if type(message["content"]) is list:
            for block in message["content"]:
                if "cache_control" in block or type(block.get("content")) is list:
                    return True
    return False


def _cache_marks(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Path and lifetime of every mark, in the order in which the API reads them."""
    yield from _marks_in("tools", body.get("tools", ()))
    system = body.get("system")
    if type(system) is list:
        yield from _marks_in("system", system)
    for index, message in enumerate(body["messages"]):
        if type(message["content"]) is list:
            yield from _marks_in(f"messages.{index}.content", message["content"])


def _marks_in(path: str, blocks: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for index, block in enumerate(blocks):
        if block.get("type") == "tool_result" and type(block.get("content")) is list:
            yield from _marks_in(f"{path}.{index}.content", block["content"])
        mark = block.get("cache_control")
        if type(mark) is dict:
            yield f"{path}.{index}", mark.get("ttl", "5m")
