"""The constraints of AWS's service models on single members, and the text in which AWS refuses them.

Knows the wording of AWS's request validation; not which member of which operation has which constraint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from re import Pattern

from outcrop.errors import ValidationException

# All are counted, but the answer to a broken request should not be far longer than the request.
_MOST_TOLD = 1000
_INTEGER = re.compile(r"-?[0-9]{1,10}")


def enum_set(allowed: Sequence[str]) -> str:
    """The constraint that a text is one of an enumeration's values."""
    return f"Member must satisfy enum value set: [{', '.join(allowed)}]"


def least_length(low: int) -> str:
    """The constraint on how short a text, a list or a map may be."""
    return f"Member must have length greater than or equal to {low}"


def most_length(high: int) -> str:
    """The constraint on how long a text, a list or a map may be."""
    return f"Member must have length less than or equal to {high}"


def least_value(low: int) -> str:
    """The constraint on how small a number may be."""
    return f"Member must have value greater than or equal to {low}"


def most_value(high: int) -> str:
    """The constraint on how large a number may be."""
    return f"Member must have value less than or equal to {high}"


def matching(pattern: str) -> str:
    """The constraint that a whole text matches. It is quoted, so it is spelt as in AWS's own model."""
    return f"Member must satisfy regular expression pattern: {pattern}"


class Constraints:
    """Collects what is wrong with a request's members; `check` refuses them all at once, as AWS does.

    The methods that judge take the member's name and its text, and let None (a member not given) pass.
    """

    def __init__(self) -> None:
        self._broken: list[str] = []
        self._count = 0

    def one_of(self, member: str, value: str | None, allowed: Sequence[str]) -> None:
        """The text is one of an enumeration's values."""
        if value is not None and value not in allowed:
            self.violate(member, enum_set(allowed), f"'{value}'")

    def length(self, member: str, value: str | None, low: int, high: int) -> None:
        """The text has `low` to `high` characters."""
        if value is not None and len(value) < low:
            self.violate(member, least_length(low), f"'{value}'")
        if value is not None and len(value) > high:
            self.violate(member, most_length(high), f"'{value}'")

    def pattern(self, member: str, value: str | None, pattern: Pattern[str]) -> None:
        """The whole text matches."""
        if value is not None and pattern.fullmatch(value) is None:
            self.violate(member, matching(pattern.pattern), f"'{value}'")

    def integer(self, member: str, value: str | None, low: int, high: int) -> int | None:
        """The text is an integer from `low` to `high`; gives it, or None where it is absent or refused."""
        if value is None:
            return None
        if _INTEGER.fullmatch(value) is None:
            # how AWS words this one is not known
            self.violate(member, "Member must be an integer", f"'{value}'")
            return None
        number = int(value)
        if number < low:
            self.violate(member, least_value(low), f"'{value}'")
        if number > high:
            self.violate(member, most_value(high), f"'{value}'")
        return number

    def violate(self, member: str, constraint: str, shown: str | None) -> None:
        """Note a broken constraint. `shown` is the value as it is quoted; None keeps a secret one out."""
        self._count += 1
        if self._count <= _MOST_TOLD:
            value = "Value" if shown is None else f"Value {shown}"
            self._broken.append(f"{value} at '{member}' failed to satisfy constraint: {constraint}")

    def check(self) -> None:
        """Raises ValidationException when anything was wrong."""
        if self._broken:
            noun = "error" if self._count == 1 else "errors"
            raise ValidationException(f"{self._count} validation {noun} detected: {'; '.join(self._broken)}")
