"""The line of a TOML text on which a key is set. Knows TOML's layout, not what the keys mean."""

from __future__ import annotations

import re
from typing import TypeAlias

Where: TypeAlias = tuple[str, ...]

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def line_of(text: str, where: Where) -> int:
    """The line of a TOML text on which a key, or the nearest thing around it, is set; 1 when nothing is.

    A scanner, not a parser: tomllib has read the text already and only does not tell lines.
    """
    best, best_length, inside = 1, 0, ""
    section: Where = ()
    for number, line in enumerate(text.splitlines(), 1):
        if inside:
            inside = "" if inside in line else inside
            continue
        if header := _HEADER.fullmatch(line):
            section = found = _parts(header[1])
        elif key := _KEY.match(line):
            found = (*section, *_parts(key[1]))
            inside = next((mark for mark in ('"""', "'''") if line.count(mark) % 2), "")
        else:
            continue
        length = min(len(found), len(where))
        if length > best_length and found[:length] == where[:length]:
            best, best_length = number, length
    return best


def _parts(dotted: str) -> Where:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
