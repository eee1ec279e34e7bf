"""A request's body as JSON: read once, bounded in depth and in the size of its integers.

Knows JSON and our limits; not which operation the body is for, whose own refusal of broken JSON it has to be.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from outcrop.errors import ValidationException

DEEPEST: Final = 200
# The largest prompt, a million tokens, has fewer commas and brackets, even inside its texts. A body that has
# more is made to cost time and memory: 25 MB of `{},` took 12 s and 2.4 GB (measured).
_MOST_MARKS: Final = 1_000_000
# The most messages that the Claude API takes, 100,000, are 300,000 values; checking one takes up to 3 µs.
MOST_VALUES: Final = 400_000

_decode = msgspec.json.Decoder(Any).decode
# All digits alike and all opening brackets alike, so that one look finds either.
_OUTLINE: Final = bytes.maketrans(b"123456789[", b"000000000{")
_LONG_NUMBER: Final = b"0" * 19  # the shortest decimal that may not fit into 64 bits
_LARGE: Final = 64 * 1024
# both are our own limits, so our own words
_TOO_DEEP: Final = f"nesting is deeper than {DEEPEST} levels"
_TOO_MANY: Final = f"there are more than {MOST_VALUES} values"
_TOO_BIG: Final = "an integer does not fit into 64 bits"  # JSON writers here can't carry it on


class NotJsonError(ValueError):
    """The bytes are not JSON in UTF-8."""


def read(body: bytes) -> Any:
    """The JSON value in `body`.

    Of a key that comes twice the last value counts, and only that one goes on to an engine. Raises
    NotJsonError, or ValidationException where the value is over our limits.
    """
    if len(body) > _MOST_MARKS and sum(map(body.count, (b",", b"[", b"{"))) > _MOST_MARKS:
        raise malformed(_TOO_MANY)
    try:
        value: object = _decode(body)
    except RecursionError:
        raise malformed(_TOO_DEEP) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotJsonError(str(error)) from None
    # Of a small body, looking at the outline costs less than walking; a large one has few nodes a byte.
    outline = body.translate(_OUTLINE) if len(body) <= _LARGE else _LONG_NUMBER
    if _LONG_NUMBER in outline or outline.count(b"{") > DEEPEST:
        _walk(value)
    return value


def malformed(what: str) -> ValidationException:
    """The refusal of a body, as InvokeModel's first validator frames it."""
    return ValidationException(f"Malformed input request: {what}, please reformat your input and try again.")


def _walk(value: Any) -> None:
    """Refuse what is too deep, too big or too much, level by level, so that depth costs no stack."""
    left = MOST_VALUES
    level: list[Any] = [[value]]
    for _ in range(DEEPEST + 1):
        children = [child for node in level for child in (node.values() if type(node) is dict else node)]
        if any(type(child) is int and not -(2**63) <= child < 2**64 for child in children):
            raise malformed(_TOO_BIG)
        left -= len(children)
        if left < 0:
            raise malformed(_TOO_MANY)
        level = [child for child in children if type(child) is dict or type(child) is list]
        if not level:
            return
    raise malformed(_TOO_DEEP)
