"""Refusing what an engine declares it can't do, with AWS's error and before anything is generated."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from outcrop.engine import Lack
from outcrop.errors import ValidationException
from outcrop.wire.converse_rules import unsupported_block


def refuse_lacks(body: dict[str, Any], lacks: AbstractSet[Lack]) -> None:
    """Raises ValidationException when a Messages request asks for something in `lacks`."""
    if not lacks:
        return
    for lack, found in _asked(body):
        if lack in lacks:
            raise ValidationException(found)


def asks_for(body: dict[str, Any]) -> frozenset[Lack]:
    """What a Messages request asks for that an engine might lack."""
    return frozenset(lack for lack, _ in _asked(body))


def _asked(body: dict[str, Any]) -> Iterator[tuple[Lack, str]]:
    """What a request asks for, each with the text that refuses it."""
    for block in _blocks(body):
        kind = block.get("type")
        if kind == "image":
            yield "images", unsupported_block("image").text
        elif kind == "document":
            yield "documents", unsupported_block("document").text
    if body.get("tools"):
        yield "tools", "This model doesn't support tool use."
    if body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        yield "thinking", "This model doesn't support thinking."
    if (body.get("output_config") or {}).get("format"):
        yield "structured_output", "This model doesn't support structured output."


def _blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every content block of the messages, those inside tool results too."""
    for message in body.get("messages", ()):
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            yield block
            nested = block.get("content")
            if block.get("type") == "tool_result" and isinstance(nested, list):
                yield from nested
