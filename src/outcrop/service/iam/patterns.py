"""Texts of a policy that match other texts: wildcards and `${variables}`. Knows no operator and no policy.

    "home/${aws:username}/*"  ─ parse ─▶  pieces  ─ resolve (context) ─▶  plain pieces  ─ glob ─▶  a matcher

A piece is a text to be read for wildcards, a `Literal` that is not, or a `Variable`. Where no variable is in
it, a text becomes a matcher once. Matchers take time linear in the text, whatever the wildcards (a `*` never
goes back on what it has settled), since callers may choose both: the text, and a session's policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from operator import eq
from typing import Final, TypeAlias

import msgspec

Value: TypeAlias = "str | tuple[str, ...]"
Context: TypeAlias = Mapping[str, Value]
Matcher: TypeAlias = Callable[[str], bool]

# Names of keys have no case; these are written as AWS documents them. Of the first, the rest is a tag's key.
_WITH_TAG: Final = ("aws:RequestTag/", "aws:ResourceTag/", "aws:PrincipalTag/")
_KEYS: Final = (
    "aws:RequestedRegion",
    "aws:PrincipalArn",
    "aws:PrincipalAccount",
    "aws:PrincipalType",
    "aws:PrincipalIsAWSService",
    "aws:userid",
    "aws:username",
    "aws:SourceIp",
    "aws:SecureTransport",
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:UserAgent",
    "aws:TagKeys",
    "aws:ResourceAccount",
    "aws:MultiFactorAuthPresent",
    "aws:ViaAWSService",
    "bedrock:InferenceProfileArn",
    "bedrock:BearerTokenType",
    "sts:ExternalId",
    "sts:RoleSessionName",
)
_BY_LOWER: Final = {key.lower(): key for key in _KEYS}
_TAGS_BY_LOWER: Final = {prefix.lower(): prefix for prefix in _WITH_TAG}

_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
_DEFAULTED: Final = re.compile(r"([^,']+), ?'([^']*)'")
_KEY: Final = re.compile(r"[A-Za-z0-9.-]+:[^\s${}*?,']+(?: [^\s${}*?,']+)*")  # tags' keys may have spaces
_SPECIAL: Final = ("*", "?", "$")


@lru_cache(maxsize=1024)
def canonical(key: str) -> str:
    """A context key in the one spelling that is used here: keys that differ by case only are the same."""
    lower = key.lower()
    head, slash, tag = lower.partition("/")
    prefix = _TAGS_BY_LOWER.get(head + slash)
    return prefix + tag if prefix else _BY_LOWER.get(lower, lower)


def is_key(text: str) -> bool:
    """Whether `text` can be a context key: a service's prefix, a colon, a name."""
    return _KEY.fullmatch(text) is not None


class Literal(msgspec.Struct, frozen=True):
    """Text in which a wildcard stands for itself."""

    text: str


class Variable(msgspec.Struct, frozen=True):
    """`${key}`, or `${key, 'default'}` where `default` is not None."""

    key: str
    default: str | None = None


Piece: TypeAlias = "str | Literal | Variable"
Pieces: TypeAlias = tuple[Piece, ...]


def parse(text: str, *, variables: bool) -> Pieces:
    """Takes `text` apart; without `variables` (policies before 2012) `${…}` is text like any other.

    Raises ValueError for a variable that is none.
    """
    if not variables or "${" not in text:
        return (text,)
    pieces: list[Piece] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        pieces += [text[end : found.start()], _variable(found[1])]
        end = found.end()
    pieces.append(text[end:])
    if any("${" in piece for piece in pieces if isinstance(piece, str)):
        raise ValueError("a variable that begins with ${ has no end")
    return tuple(piece for piece in pieces if piece != "")


def _variable(inside: str) -> Literal | Variable:
    if inside in _SPECIAL:
        return Literal(inside)
    defaulted = _DEFAULTED.fullmatch(inside)
    key = defaulted[1] if defaulted else inside
    if not is_key(key):
        raise ValueError(f"${{{inside}}} is not a variable")
    return Variable(canonical(key), defaulted[2] if defaulted else None)


def keys_of(pieces: Pieces) -> frozenset[str]:
    """The context keys that variables among the pieces look at."""
    return frozenset(piece.key for piece in pieces if isinstance(piece, Variable))


def resolve(pieces: Pieces, context: Context) -> Pieces | None:
    """The pieces with their variables filled in, None where one has no single value.

    What a variable stands for is never read for wildcards.
    """
    resolved: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Variable):
            value = context.get(piece.key, piece.default)
            if not isinstance(value, str):
                return None
            resolved.append(Literal(value))
        else:
            resolved.append(piece)
    return tuple(resolved)


def plain(pieces: Pieces) -> str:
    """The text of resolved pieces, in which wildcards are only characters."""
    return "".join(_text(piece) for piece in pieces)


def _text(piece: Piece) -> str:
    if isinstance(piece, Variable):
        raise TypeError(f"{piece} is not resolved")
    return piece.text if isinstance(piece, Literal) else piece


def exactly(text: str) -> Matcher:
    """Matches that text."""
    return partial(eq, text)


def anything(text: str) -> bool:  # noqa: ARG001 - a matcher like any other
    """Matches every text."""
    return True


# `*` any characters, `?` one character
_STAR: Final = "*"
_ONE: Final = "?"


class _Unit(msgspec.Struct, frozen=True):
    """One character of a pattern, or a wildcard (`wild` is `*` or `?`, and then there is no `char`)."""

    wild: str = ""
    char: str = ""


def _units(pieces: Pieces) -> Iterator[_Unit]:
    for piece in pieces:
        for char in _text(piece):
            wild = isinstance(piece, str) and char in (_STAR, _ONE)
            yield _Unit(wild=char) if wild else _Unit(char=char)


@lru_cache(maxsize=4096)
def glob(pieces: Pieces) -> Matcher:
    """Matches what resolved pieces describe, wildcards standing for any characters."""
    return _glob(tuple(_units(pieces)))


def _glob(units: tuple[_Unit, ...]) -> Matcher:
    chunks: list[str] = [""]
    wild = False
    for unit in units:
        if unit.wild == _STAR:
            chunks.append("")
        elif unit.wild:
            chunks[-1] += "."
            wild = True
        else:
            chunks[-1] += re.escape(unit.char)
    text = "".join(unit.char for unit in units)
    if len(chunks) == 1:
        return exactly(text) if not wild else _regex(chunks[0])
    if not wild and not text:
        return anything
    if not wild and len(chunks) == 2 and not chunks[1]:
        return partial(_starts, text)
    # The first place where a chunk fits is as good as any later one, so nothing is tried twice: `(?>…)`.
    middle = "".join(f"(?>.*?{chunk})" for chunk in chunks[1:-1] if chunk)
    return _regex(f"{chunks[0]}{middle}.*{chunks[-1]}")


def _starts(prefix: str, text: str) -> bool:
    return text.startswith(prefix)


def _regex(source: str) -> Matcher:
    fullmatch = re.compile(source, re.DOTALL).fullmatch
    return lambda text: fullmatch(text) is not None


@lru_cache(maxsize=4096)
def arn(pieces: Pieces) -> Matcher:
    """As the ARN operators compare: each of the six parts by itself, so that no wildcard crosses a colon.

    Raises ValueError when the pieces are not six parts, and not `*` alone.
    """
    units = tuple(_units(pieces))
    if all(unit.wild == _STAR for unit in units) and units:
        return anything
    parts: list[list[_Unit]] = [[]]
    for unit in units:
        if unit.char == ":" and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(unit)
    if len(parts) != 6 or _chars(parts[0]) != "arn":
        raise ValueError("it is not an ARN of six parts (arn:partition:service:region:account:resource)")
    matchers = [_glob(tuple(part)) for part in parts]

    def matches(text: str) -> bool:
        told = text.split(":", 5)
        return len(told) == 6 and all(match(part) for match, part in zip(matchers, told, strict=True))

    return matches


def _chars(units: list[_Unit]) -> str:
    return "".join(unit.char for unit in units)


@lru_cache(maxsize=4096)
def resource(pieces: Pieces) -> Matcher:
    """As Resource and NotResource compare. A wildcard keeps to its segment, between two colons, but for a `*`
    that ends one: that may go on beyond the colon (IAM User Guide, "Using wildcards in resource ARNs"). The
    sixth segment is all the rest: a model's id has colons itself.
    """
    units = tuple(_units(pieces))
    bound = _bound(units)
    return _glob(units) if not bound else _walker(units, bound)


def _bound(units: tuple[_Unit, ...]) -> frozenset[int]:
    """The wildcards that may not cross a colon."""
    bound, colons = set(), 0
    for index, unit in enumerate(units):
        if unit.char == ":":
            colons += 1
        last = index + 1 == len(units) or units[index + 1].char == ":"
        if unit.wild and colons < 5 and not (unit.wild == _STAR and last):
            bound.add(index)
    return frozenset(bound)


def _walker(units: tuple[_Unit, ...], bound: frozenset[int]) -> Matcher:
    """All ways through the pattern at once, a bit for each place in it: nothing is tried twice."""
    stars = sum(1 << index for index, unit in enumerate(units) if unit.wild == _STAR)
    free = sum(1 << index for index, unit in enumerate(units) if unit.wild and index not in bound)
    wild = sum(1 << index for index, unit in enumerate(units) if unit.wild)
    chars: dict[str, int] = {}
    for index, unit in enumerate(units):
        if unit.char:
            chars[unit.char] = chars.get(unit.char, 0) | 1 << index
    end = 1 << len(units)

    def skip(places: int) -> int:
        """A star may stand for nothing; stars may follow each other."""
        while (more := places | (places & stars) << 1) != places:
            places = more
        return places

    def matches(text: str) -> bool:
        places = skip(1)
        for char in text:
            taken = places & (chars.get(char, 0) | (free if char == ":" else wild))
            places = skip((taken & ~stars) << 1 | taken & stars)
            if not places:
                return False
        return places & end != 0

    return matches
