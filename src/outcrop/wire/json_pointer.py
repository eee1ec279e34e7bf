"""JSON pointers (RFC 6901), as Converse uses them to pick fields of a model's reply. Knows no Converse."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

_POINTER: Final = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
_MISSING: Final = object()


def parse(pointer: str) -> tuple[str, ...]:
    """The reference tokens of a pointer. Raises ValueError for the empty pointer and for a malformed one."""
    if _POINTER.fullmatch(pointer) is None:
        raise ValueError(f"not a JSON pointer: {pointer!r}")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/"))


def pick(document: Any, pointers: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """What `pointers` point at, each at the same place as in `document`; a list's index becomes a name.

    A pointer to nothing is left out.
    """
    picked: dict[str, Any] = {}
    for tokens in pointers:
        value = _follow(document, tokens)
        if value is not _MISSING:
            _put(picked, tokens, value)
    return picked


def _put(place: Any, tokens: tuple[str, ...], value: Any) -> None:
    for token in tokens[:-1]:
        place = place.setdefault(token, {})
        if not isinstance(place, dict):
            return  # an earlier pointer has brought the whole list that this one points into
    place[tokens[-1]] = value


def _follow(value: Any, tokens: tuple[str, ...]) -> Any:
    for token in tokens:
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9]\d{0,8}", token) and int(token) < len(value):
            value = value[int(token)]
        else:
            return _MISSING
    return value
