"""AWS's wording for members that break their constraints."""

from __future__ import annotations

import re

import pytest

from outcrop.errors import ValidationException
from outcrop.wire.constraints import Constraints


def refusal(constraints: Constraints) -> str:
    with pytest.raises(ValidationException) as fault:
        constraints.check()
    return fault.value.text


def test_nothing_given_and_nothing_wrong_passes() -> None:
    constraints = Constraints()
    constraints.one_of("type", None, ("A",))
    constraints.one_of("type", "A", ("A",))
    constraints.length("name", None, 1, 3)
    constraints.length("name", "abc", 1, 3)
    constraints.pattern("name", None, re.compile("a+"))
    assert constraints.integer("count", None, 1, 9) is None
    assert constraints.integer("count", "9", 1, 9) == 9
    constraints.check()


def test_a_value_outside_an_enumeration_is_told_what_would_do() -> None:
    constraints = Constraints()
    constraints.one_of("byInferenceType", "X", ("ON_DEMAND", "PROVISIONED"))
    assert refusal(constraints) == (
        "1 validation error detected: Value 'X' at 'byInferenceType' failed to satisfy constraint: "
        "Member must satisfy enum value set: [ON_DEMAND, PROVISIONED]"
    )


def test_all_that_is_wrong_is_told_at_once() -> None:
    constraints = Constraints()
    constraints.length("name", "", 1, 3)
    constraints.length("title", "long", 1, 3)
    constraints.pattern("name", "b", re.compile("a+"))
    assert constraints.integer("count", "0", 1, 9) == 0
    constraints.integer("count", "10", 1, 9)
    assert constraints.integer("count", "ten", 1, 9) is None
    text = refusal(constraints)
    assert text.startswith("6 validation errors detected: Value '' at 'name' failed to satisfy constraint: ")
    assert text.split("; ")[1:] == [
        "Value 'long' at 'title' failed to satisfy constraint: "
        "Member must have length less than or equal to 3",
        "Value 'b' at 'name' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: a+",
        "Value '0' at 'count' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1",
        "Value '10' at 'count' failed to satisfy constraint: Member must have value less than or equal to 9",
        "Value 'ten' at 'count' failed to satisfy constraint: Member must be an integer",
    ]


def test_a_pattern_covers_the_whole_text() -> None:
    constraints = Constraints()
    constraints.pattern("name", "aab", re.compile("a+"))
    assert refusal(constraints).endswith("regular expression pattern: a+")
