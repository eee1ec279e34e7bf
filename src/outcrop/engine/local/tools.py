"""Whether an answer is text or a tool's input, and which tool's. Knows the Messages request; not the model.

`tool_choice` `tool` names the tool. With `any` the tool is the only one, or the one the last user text
clearly speaks of, or else the model picks a name. With `auto` the answer is text unless the last user text
clearly speaks of one tool: a model of this size, asked to choose, calls a tool nearly always, so words
decide and the result is predictable. A turn that carries tool results is answered in text.

"Clearly": the share of the tool's name found among the words of the text (verbs such as `get` do not
count), plus 0.15 for each of up to four words shared with its description, reaches 0.8 and is 0.2 above
every other tool's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from outcrop.errors import ValidationException

_CLEAR: Final = 0.8
_AHEAD: Final = 0.2
_DESCRIBED: Final = 0.15

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")
# Words that say nothing about what a tool is for.
# fmt: off
_COMMON: Final = {
    "a", "an", "and", "are", "as", "at", "be", "by", "call", "can", "do", "does", "execute", "fetch",
    "for", "from", "function", "get", "give", "given", "has", "have", "how", "i", "if", "in", "is",
    "it", "its", "let", "list", "make", "me", "my", "new", "of", "on", "or", "our", "please", "query",
    "return", "returns", "run", "set", "show", "tell", "that", "the", "their", "them", "this", "to",
    "tool", "use", "used", "user", "using", "want", "was", "we", "what", "when", "where", "which",
    "who", "will", "with", "would", "you", "your",
}
# fmt: on


class Tool(NamedTuple):
    """A tool the request offers. `place` is where it stands in the request, for refusals."""

    name: str
    description: str
    schema: Any
    place: str


class Choice(NamedTuple):
    """Which tools the answer may use: none (text), one, or several from which the model picks."""

    tools: tuple[Tool, ...] = ()


def offered(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    """The tools of a request. Raises ValidationException for one without a schema (Anthropic's own tools)."""
    tools = []
    for number, tool in enumerate(body.get("tools") or ()):
        if "input_schema" not in tool:
            kind = tool.get("type", "custom")
            raise ValidationException(f"tools.{number}: This model doesn't support the tool type '{kind}'.")
        place = f"tools.{number}.input_schema"
        tools.append(Tool(tool["name"], tool.get("description") or "", tool["input_schema"], place))
    return tuple(tools)


def choose(body: Mapping[str, Any], tools: Sequence[Tool]) -> Choice:
    """What the answer is. Raises ValidationException when `tool_choice` names a tool that is not offered."""
    wanted = body.get("tool_choice") or {"type": "auto"}
    kind = wanted.get("type")
    if kind == "tool":
        named = [tool for tool in tools if tool.name == wanted.get("name")]
        if not named:
            raise ValidationException(f"Tool '{wanted.get('name')}' not found in provided tools")
        return Choice((named[0],))
    if not tools or kind == "none":
        return Choice()
    clear = _clearly_meant(_last_user_text(body), tools)
    if kind == "any":
        return Choice((clear,) if clear else tuple(tools))
    return Choice((clear,) if clear else ())


def _last_user_text(body: Mapping[str, Any]) -> str:
    """The text of the last turn, empty when it is not the user's or it carries tool results."""
    last = body["messages"][-1]
    content = last["content"]
    if last["role"] != "user":
        return ""
    if isinstance(content, str):
        return content
    if any(block.get("type") == "tool_result" for block in content):
        return ""
    return "\n".join(block["text"] for block in content if block.get("type") == "text")


def _clearly_meant(text: str, tools: Sequence[Tool]) -> Tool | None:
    said = _words(text)
    scores = sorted(((_score(said, tool), tool) for tool in tools), key=lambda scored: -scored[0])
    if not scores or scores[0][0] < _CLEAR:
        return None
    if len(scores) > 1 and scores[0][0] - scores[1][0] < _AHEAD:
        return None
    return scores[0][1]


def _score(said: frozenset[str], tool: Tool) -> float:
    name = _words(tool.name)
    if not name:
        return 0
    described = len(said & (_words(tool.description) - name))
    return len(said & name) / len(name) + _DESCRIBED * min(described, 4)


def _words(text: str) -> frozenset[str]:
    """The words that carry meaning, without plural and -ing endings."""
    words = (word.lower() for word in _WORDS.findall(text.replace("_", " ")))
    return frozenset(_stem(word) for word in words if len(word) > 1 and word not in _COMMON)


def _stem(word: str) -> str:
    for ending in ("ing", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
