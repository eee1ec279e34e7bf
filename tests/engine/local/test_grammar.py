"""JSON Schema → GBNF: what a model led by the grammar can write satisfies the schema, and always ends."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.local.gbnf import Rules
from engine.local.schemas import CHECKED, EXACT
from outcrop.engine.local.check import shape
from outcrop.engine.local.grammar import compile_schema, one_of
from outcrop.errors import ValidationException


def sentences(grammar: str, count: int = 40):
    rules = Rules(grammar)
    rng = random.Random(7)  # the same sentences in each run
    return [rules.sentence(rng) for _ in range(count)]


@pytest.mark.parametrize("name", EXACT)
def test_every_sentence_of_an_exact_grammar_satisfies_its_schema(name):
    ready = shape(EXACT[name], "here")
    assert ready.grammar.exact
    for sentence in sentences(ready.grammar.gbnf):
        assert ready.fits(sentence), sentence


@pytest.mark.parametrize("name", CHECKED)
def test_an_inexact_grammar_says_so_and_often_hits(name):
    ready = shape(CHECKED[name], "here")
    assert not ready.grammar.exact
    fitting = sum(ready.fits(sentence) for sentence in sentences(ready.grammar.gbnf))
    assert fitting >= 10


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "object", "properties": {"a": {"$ref": "http://example.com/a"}}}, "$ref"),
        ({"$ref": "#/$defs/missing"}, "$ref"),
        ({"$ref": "#"}, "$ref"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "$ref"),
        ({"type": "object", "properties": {"me": {"$ref": "#"}}, "required": ["me"]}, "$ref"),
        ({"$dynamicRef": "#x"}, "$dynamicRef"),
        ({"type": "string", "pattern": "(?=a)b"}, "pattern"),
        ({"type": "string", "pattern": "(a)\\1"}, "pattern"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "minLength"),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "minimum"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "minItems"),
        ({"allOf": [{"type": "string"}, {"type": "object"}]}, "type"),
        ({"enum": [1, 2], "type": "string"}, "enum"),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "false"),
    ],
)
def test_what_has_no_grammar_is_refused_with_its_keyword(schema, keyword):
    with pytest.raises(ValidationException, match=r"tools\.3\.input_schema") as caught:
        compile_schema(schema, "tools.3.input_schema")
    assert f"'{keyword}'" in caught.value.text


def test_the_refusal_names_the_place_in_the_schema():
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"pattern": "(?!x)"}}}}
    with pytest.raises(ValidationException, match=r"input_schema\.properties\.a\.items: "):
        compile_schema(schema, "tools.0.input_schema")


def test_what_is_no_schema_is_refused():
    with pytest.raises(ValidationException, match="must match JSON Schema draft 2020-12"):
        shape({"type": "strnig"}, "tools.0.input_schema")


def test_a_very_deep_schema_is_refused_without_a_stack_overflow():
    schema: dict = {}
    for _ in range(5000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(ValidationException, match="too deep or too large"):
        compile_schema(schema, "here")


def test_a_schema_that_doubles_at_each_level_is_refused_and_not_unrolled():
    defs = {"d0": {"type": "null"}}
    for level in range(1, 30):
        ref = {"$ref": f"#/$defs/d{level - 1}"}
        defs[f"d{level}"] = {"type": "object", "properties": {"a": ref, "b": ref}, "required": ["a", "b"]}
    with pytest.raises(ValidationException, match="too deep or too large"):
        compile_schema({"$defs": defs, "$ref": "#/$defs/d29"}, "here")


@given(low=st.integers(-(10**12), 10**12), span=st.integers(0, 10**12), seed=st.randoms())
@settings(max_examples=150, deadline=None)
def test_integers_stay_in_their_interval(low, span, seed):
    grammar = compile_schema({"type": "integer", "minimum": low, "maximum": low + span}, "here").gbnf
    for _ in range(5):
        assert low <= int(Rules(grammar).sentence(seed)) <= low + span


@given(low=st.integers(0, 3000), high=st.integers(0, 3000))
@settings(max_examples=30, deadline=None)
def test_integers_reach_both_ends(low, high):
    low, high = min(low, high), max(low, high)
    rules = Rules(compile_schema({"type": "integer", "minimum": low, "maximum": high}, "here").gbnf)
    assert {low, high} <= set(language(rules, rules.rules["root"]))


def language(rules, node):
    """Every number a grammar of plain digits can write."""
    return [int(text) for text in words(rules, node)]


def words(rules, node):
    kind, *parts = node
    if kind == "literal":
        return [parts[0]]
    if kind == "set":
        return parts[0]
    if kind == "any":
        return [word for branch in parts[0] for word in words(rules, branch)]
    if kind == "all":
        found = [""]
        for part in parts[0]:
            found = [before + after for before in found for after in words(rules, part)]
        return found
    inner, low, high = parts
    return words(rules, ("all", [inner] * low)) if low == high else [""]


@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e6), st.randoms())
@settings(max_examples=150, deadline=None)
def test_numbers_stay_strictly_inside_exclusive_bounds(low, span, seed):
    high = low + span
    schema = {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": high}
    rules = Rules(compile_schema(schema, "here").gbnf)
    for _ in range(5):
        assert low < msgspec.json.decode(rules.sentence(seed), type=float) < high


def test_one_of_writes_exactly_the_given_texts():
    texts = ['"get_weather"', '"a\\"b"']
    assert set(sentences(one_of(texts))) == set(texts)
