"""The constraints of AWS's service models on single members, and the text in which AWS refuses them.

Knows the wording of AWS's request validation; not which member of which operation has which constraint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from re import Pattern

from outcrop.errors import ValidationException

_INTEGER = re.compile(r"-?[0-9]{1,10}")


class Constraints:
    """Collects what is wrong with a request's members; `check` refuses them all at once, as AWS does.

    Every method takes the member's name and its text, and lets None (a member not given) pass.
    """

    def __init__(self) -> None:
        self._broken: list[str] = []

    def one_of(self, member: str, value: str | None, allowed: Sequence[str]) -> None:
        """The text is one of an enumeration's values."""
        if value is not None and value not in allowed:
            self._break(member, value, f"Member must satisfy enum value set: [{', '.join(allowed)}]")

    def length(self, member: str, value: str | None, low: int, high: int) -> None:
        """The text has `low` to `high` characters."""
        if value is not None and len(value) < low:
            self._break(member, value, f"Member must have length greater than or equal to {low}")
        if value is not None and len(value) > high:
            self._break(member, value, f"Member must have length less than or equal to {high}")

    def pattern(self, member: str, value: str | None, pattern: Pattern[str]) -> None:
        """The whole text matches. The refusal quotes the pattern, so it is spelt as in AWS's own model."""
        if value is not None and pattern.fullmatch(value) is None:
            self._break(member, value, f"Member must satisfy regular expression pattern: {pattern.pattern}")

    def integer(self, member: str, value: str | None, low: int, high: int) -> int | None:
        """The text is an integer from `low` to `high`; gives it, or None where it is absent or refused."""
        if value is None:
            return None
        if _INTEGER.fullmatch(value) is None:
            # how AWS words this one is not known
            self._break(member, value, "Member must be an integer")
            return None
        number = int(value)
        if number < low:
            self._break(member, value, f"Member must have value greater than or equal to {low}")
        if number > high:
            self._break(member, value, f"Member must have value less than or equal to {high}")
        return number

    def check(self) -> None:
        """Raises ValidationException when anything was wrong."""
        if self._broken:
            count = len(self._broken)
            noun = "error" if count == 1 else "errors"
            raise ValidationException(f"{count} validation {noun} detected: {'; '.join(self._broken)}")

    def _break(self, member: str, value: str, constraint: str) -> None:
        self._broken.append(f"Value '{value}' at '{member}' failed to satisfy constraint: {constraint}")
