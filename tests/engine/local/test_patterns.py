"""Regular expressions → GBNF: what comes out, read as the inside of a JSON string, matches the expression."""

import random
import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.local.gbnf import Rules
from outcrop.engine.local.patterns import UnsupportedError, from_pattern

PATTERNS = [
    "",
    "^abc$",
    "a|bc|",
    "^(cat|dog)s?$",
    "^[0-9]{3}-[0-9]{4}$",
    r"^\d+(\.\d{1,2})?$",
    r"^\w+@\w+\.com$",
    r"^\S{2,}\s\D\W$",
    "^[^a-y]+$",
    r'^["\\/]{4}$',
    r"^\x41\u0042\t$",
    "^(?:a(b(c)))*$",
    "^(?<year>[12]\\d{3})$",
    "^a{2,}b{3}c{0,1}d{,2}$",
    "^.+?$",
    r"^[\]\-]?$",
    "^é{1,2}漢😀?$",
    "^#[0-9a-fA-F]{6}$",
    "^[a-]$",
    "^{x}$",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_written_matches(pattern):
    rules = Rules(f"root ::= {from_pattern(pattern)}\n")
    rng = random.Random(3)
    for _ in range(50):
        text = msgspec.json.decode(f'"{rules.sentence(rng)}"')
        assert re.search(pattern.replace("(?<year>", "(?P<year>"), text), text


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("(?=a)", "lookahead"),
        ("(?!a)", "lookahead"),
        ("(?<=a)b", "lookbehind"),
        ("(?<!a)b", "lookbehind"),
        (r"(a)\1", "back reference"),
        (r"\k<x>", "back reference"),
        (r"\p{L}", "named class"),
        ("[^\x20-\x7e]", "empty class"),
        ("(", "unclosed group"),
        (")", "unmatched"),
        ("a{5,2}", "repetition"),
        ("a{9999}", "repetition"),
        ("*", "repetition of nothing"),
        ("[b-a]", "range"),
        ("[a", "unfinished"),
        ("a\\", "unfinished"),
        (r"\u00", "malformed"),
        (r"\ud800", "surrogate"),
        ("(" * 30 + ")" * 30, "nested"),
    ],
)
def test_what_has_no_grammar_is_named(pattern, what):
    with pytest.raises(UnsupportedError, match=what):
        from_pattern(pattern)


@given(st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(pattern):
    try:
        expression = from_pattern(pattern)
    except UnsupportedError:
        return
    Rules(f"root ::= {expression}\n").sentence(random.Random(1))
