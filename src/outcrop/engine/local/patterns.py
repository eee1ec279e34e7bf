"""Regular expressions of JSON Schema (`pattern`) → GBNF. Knows both grammars; not schemas, not models.

What comes out matches a short, printable subset of what the expression matches, written as the inside of a
JSON string: open repetitions are bounded, negated classes and `.` are kept to printable ASCII. Lookarounds,
back references and named classes have no such grammar and raise `UnsupportedError`.
"""

from __future__ import annotations

from string import hexdigits
from typing import Final, TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]

# How often an open repetition (`*`, `+`, `{2,}`) may go beyond its least, and the most a bounded one is
# given.
_OPEN: Final = 12
_MOST: Final = 200

_DIGIT: Final[Ranges] = ((0x30, 0x39),)
_WORD: Final[Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE: Final[Ranges] = ((0x20, 0x20),)
_PRINTABLE: Final[Ranges] = ((0x20, 0x7E),)
_CLASSES: Final = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_ESCAPES: Final = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}


class UnsupportedError(ValueError):
    """A construct that has no finite grammar here; the text names it."""


def literal(text: str) -> str:
    """`text` as a GBNF literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def from_pattern(pattern: str) -> str:
    """The GBNF of the inside of a JSON string that matches `pattern`. Raises UnsupportedError."""
    reader = _Reader(pattern)
    result = reader.alternatives()
    if reader.more():
        raise UnsupportedError("an unmatched )")
    return result


def from_ranges(ranges: Ranges) -> str:
    """One character out of `ranges` (code points, both ends included), as it stands inside a JSON string."""
    plain: list[str] = []
    escaped: list[str] = []
    for low, high in ranges:
        for start, end in _without_quote_and_backslash(low, high):
            plain.append(_hex(start) if start == end else f"{_hex(start)}-{_hex(end)}")
        escaped += [literal("\\" + chr(code)) for code in (0x22, 0x5C) if low <= code <= high]
        escaped += [literal(f"\\u{code:04x}") for code in range(low, min(high, 0x1F) + 1)]
    parts = ([f"[{''.join(plain)}]"] if plain else []) + escaped
    if not parts:
        raise UnsupportedError("an empty class")
    return parts[0] if len(parts) == 1 else f"({' | '.join(parts)})"


def _without_quote_and_backslash(low: int, high: int) -> list[tuple[int, int]]:
    cuts = [0x22, 0x5C]
    spans = []
    start = max(low, 0x20)
    for cut in cuts:
        if start <= cut <= high:
            spans.append((start, cut - 1))
            start = cut + 1
    spans.append((start, high))
    return [(first, last) for first, last in spans if first <= last]


def _hex(code: int) -> str:
    return f"\\U{code:08X}" if code > 0xFFFF else f"\\u{code:04X}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 8


def _negated(ranges: Ranges) -> Ranges:
    """The printable ASCII that is not in `ranges`."""
    left = [code for code in range(0x20, 0x7F) if not any(low <= code <= high for low, high in ranges)]
    return tuple((code, code) for code in left)


class _Reader:
    """Recursive descent over one expression."""

    def __init__(self, text: str, depth: int = 0) -> None:
        self._text = text
        self._at = 0
        self._depth = depth

    def more(self) -> bool:
        return self._at < len(self._text)

    def alternatives(self) -> str:
        self._depth += 1
        if self._depth > 20:
            raise UnsupportedError("groups nested more than 20 deep")
        branches = [self._sequence()]
        while self._took("|"):
            branches.append(self._sequence())
        self._depth -= 1
        return branches[0] if len(branches) == 1 else f"({' | '.join(branches)})"

    def _took(self, expected: str) -> bool:
        if self._text.startswith(expected, self._at):
            self._at += len(expected)
            return True
        return False

    def _next(self) -> str:
        if not self.more():
            raise UnsupportedError("an unfinished expression")
        self._at += 1
        return self._text[self._at - 1]

    def _sequence(self) -> str:
        parts = []
        while self.more() and self._text[self._at] not in "|)":
            # What we write is the whole string, so the anchors hold by themselves.
            if self._took("^") or self._took("$"):
                continue
            parts.append(self._repeated(self._atom()))
        return " ".join(parts) if parts else '""'

    def _repeated(self, atom: str) -> str:
        bounds = self._bounds()
        if bounds is None:
            return atom
        low, high = bounds
        if not self._took("?"):  # lazy or greedy: the same strings
            self._took("+")
        if low > _MOST:
            raise UnsupportedError(f"a repetition of more than {_MOST}")
        return f"({atom}){{{low},{high}}}"

    def _bounds(self) -> tuple[int, int] | None:
        if self._took("*"):
            return 0, _OPEN
        if self._took("+"):
            return 1, 1 + _OPEN
        if self._took("?"):
            return 0, 1
        end = self._text.find("}", self._at)
        inside = self._text[self._at + 1 : end]
        first, comma, last = inside.partition(",")
        if not self._text.startswith("{", self._at) or end < 0 or not (first or comma):
            return None
        if not _is_number(first or "0") or not _is_number(last or "0"):
            return None
        self._at = end + 1
        low = int(first or 0)  # `{,2}` is as Python reads it, for Python checks the result
        high = int(last) if last else (low + _OPEN if comma else low)
        if high < low:
            raise UnsupportedError("a repetition whose end is before its start")
        return low, max(low, min(high, _MOST))

    def _atom(self) -> str:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return from_ranges(self._class())
        if char == ".":
            return from_ranges(_PRINTABLE)
        if char == "\\":
            return self._escape()
        if char in "*+?":
            raise UnsupportedError("a repetition of nothing")
        return from_ranges(((ord(char), ord(char)),))

    def _group(self) -> str:
        if self._took("?"):
            if self._took("<") and self._text[self._at : self._at + 1] not in ("=", "!"):
                self._at = self._text.find(">", self._at) + 1 or len(self._text)
            elif not self._took(":"):
                raise UnsupportedError("a lookahead or lookbehind")
        inside = self.alternatives()
        if not self._took(")"):
            raise UnsupportedError("an unclosed group")
        return f"({inside})"

    def _escape(self) -> str:
        char = self._next()
        if char in "bBAZ":
            return '""'
        if char in "123456789k":
            raise UnsupportedError("a back reference")
        return from_ranges(self._escaped(char))

    def _escaped(self, char: str) -> Ranges:
        if char.lower() in _CLASSES:
            ranges = _CLASSES[char.lower()]
            return ranges if char.islower() else _negated(ranges)
        if char in "pP":
            raise UnsupportedError("a named class (\\p)")
        if char in "xu":
            code = self._code(2 if char == "x" else 4)
        elif char == "c":
            raise UnsupportedError("a control escape (\\c)")
        else:
            code = _ESCAPES.get(char, ord(char))
        return ((code, code),)

    def _code(self, digits: int) -> int:
        text = self._text[self._at : self._at + digits]
        self._at += digits
        if len(text) != digits or not all(char in hexdigits for char in text):
            raise UnsupportedError("a malformed \\x or \\u")
        code = int(text, 16)
        if 0xD800 <= code <= 0xDFFF:
            raise UnsupportedError("half a surrogate pair")
        return code

    def _class(self) -> Ranges:
        negate = self._took("^")
        ranges: list[tuple[int, int]] = []
        while not self._took("]"):
            ranges += self._span()
        return _negated(tuple(ranges)) if negate else tuple(ranges)

    def _span(self) -> Ranges:
        first = self._member()
        closes = self._text[self._at + 1 : self._at + 2] == "]"
        if len(first) > 1 or first[0][0] != first[0][1] or closes or not self._took("-"):
            return first
        last = self._member()
        if last[0][1] < first[0][0]:
            raise UnsupportedError("a range whose end is before its start")
        return ((first[0][0], last[0][1]),)

    def _member(self) -> Ranges:
        char = self._next()
        if char == "\\":
            escaped = self._next()
            return ((8, 8),) if escaped == "b" else self._escaped(escaped)
        return ((ord(char), ord(char)),)
