"""JSON Schema → GBNF: a finite grammar whose every sentence is short, so that a small model always finishes.

Knows JSON Schema and llama.cpp's grammar notation; not tools, not models. What the grammar can't express
but a finished value can be checked for (`not`, `if`, `uniqueItems`, …) leaves `exact` false: the caller
checks then. What can be neither expressed nor ended (`$dynamicRef`, a recursion without an exit,
lookaheads) is refused with the keyword's name.

The grammar is a subset of the schema: properties in the schema's order, required ones first, no additional
ones beside declared ones, no white space, strings of at most 80 characters unless the schema wants longer
ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from outcrop.engine.local.patterns import UnsupportedError, from_pattern, literal
from outcrop.errors import ValidationException

Schema: TypeAlias = Any

_STRING: Final = 80  # characters in a string whose schema says nothing
_ITEMS: Final = 4  # items or free properties where the schema says nothing
_DEPTH: Final = 32  # levels of a schema
_NODES: Final = 4000  # subschemas met while compiling, references followed
_REPEAT: Final = 2000  # llama.cpp's bound on a repetition
_LARGEST: Final = 10**15  # numbers further out than this are not written unless the schema has no others
_UNROLL: Final = 2  # times a reference may be entered inside itself

_CHAR: Final = r'[^"\\\x00-\x1F\x7F]'
_SCALAR: Final = {
    "string": f'"\\"" {_CHAR}{{0,20}} "\\""',
    "integer": '("0" | "-"? [1-9] [0-9]{0,4})',
    "boolean": '("true" | "false")',
    "null": '"null"',
}
_ANY: Final = f"({' | '.join(_SCALAR.values())})"
_DATE: Final = '("19" | "20") [0-9] [0-9] "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])'
_TIME: Final = '("0" [0-9] | "1" [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] "Z"'
_OCTET: Final = '("0" | [1-9] [0-9]? | "1" [0-9] [0-9])'
_HOST: Final = '[a-z] [a-z0-9]{1,12} "." [a-z]{2,4}'
_FORMATS: Final = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f'{_DATE} "T" {_TIME}',
    "email": f'[a-z] [a-z0-9]{{1,12}} "@" {_HOST}',
    "hostname": _HOST,
    "uri": f'"https://" {_HOST} ("/" [a-z0-9-]{{1,12}}){{0,3}}',
    "uuid": '[0-9a-f]{8} "-" [0-9a-f]{4} "-4" [0-9a-f]{3} "-" [89ab] [0-9a-f]{3} "-" [0-9a-f]{12}',
    "ipv4": f'{_OCTET} "." {_OCTET} "." {_OCTET} "." {_OCTET}',
}
# Keywords that only a finished value can be checked for.
_CHECKED: Final = {
    *("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "oneOf"),
    *("contains", "minContains", "maxContains", "propertyNames", "unevaluatedProperties", "unevaluatedItems"),
}
_UNSUPPORTED: Final = ("$dynamicRef", "$recursiveRef")
_KINDS: Final = (
    ("object", ("properties", "additionalProperties", "patternProperties", "required", "minProperties")),
    ("array", ("items", "prefixItems", "minItems", "maxItems", "uniqueItems")),
    ("string", ("pattern", "format", "minLength", "maxLength")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)


class Grammar(NamedTuple):
    """GBNF whose start is `root`. `exact` says that every sentence satisfies the schema, unchecked."""

    gbnf: str
    exact: bool


def compile_schema(schema: Schema, where: str) -> Grammar:
    """The grammar of the values that satisfy `schema`.

    `where` is the schema's place in the request (`tools.0.input_schema`), for the refusal's text. Raises
    ValidationException naming the place and the keyword.
    """
    compiler = _Compiler(schema, where)
    try:
        root = compiler.value(schema, "", 0)
    except _NoEndError as error:
        raise ValidationException(
            f"{where}{error.path}: The keyword '$ref' describes a value without an end."
        ) from None
    return Grammar("\n".join((f"root ::= {root}", *compiler.rules)) + "\n", compiler.exact)


def one_of(texts: Sequence[str]) -> str:
    """The grammar whose sentences are `texts`."""
    return f"root ::= {' | '.join(literal(text) for text in texts)}\n"


class _NoEndError(Exception):
    """A reference was entered inside itself too often: whoever can leave this part out does so."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class _Compiler:
    def __init__(self, root: Schema, where: str) -> None:
        self.rules: list[str] = []
        self.exact = True
        self._root = root
        self._where = where
        self._nodes = 0
        self._open: dict[str, int] = {}

    def value(self, schema: Schema, path: str, depth: int) -> str:
        """The expression for one (sub)schema. Raises _NoEndError, ValidationException."""
        self._nodes += 1
        if depth > _DEPTH or self._nodes > _NODES:
            raise ValidationException(f"{self._where}: The schema is too deep or too large for this model.")
        if schema is True or schema == {}:
            return _ANY
        if not isinstance(schema, Mapping):
            raise self._refusal(path, "false", "describes no value")
        entered: list[str] = []
        try:
            return self._flat(self._flatten(schema, path, entered), path, depth)
        finally:
            for ref in entered:
                self._open[ref] -= 1

    def _refusal(self, path: str, keyword: str, why: str) -> ValidationException:
        return ValidationException(f"{self._where}{path}: The keyword '{keyword}' {why}.")

    def _rule(self, expression: str) -> str:
        name = f"r{len(self.rules)}"
        self.rules.append(f"{name} ::= {expression}")
        return name

    # references and allOf: gone before anything else looks at the schema

    def _flatten(self, schema: Mapping[str, Any], path: str, entered: list[str]) -> dict[str, Any]:
        for keyword in _UNSUPPORTED:
            if keyword in schema:
                raise self._refusal(path, keyword, "is not supported by this model")
        parts: list[Schema] = []
        flat = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        if "$ref" in schema:
            parts.append(self._enter(schema["$ref"], path, entered))
        parts += schema.get("allOf", ())
        for part in parts:
            if part is False:
                raise self._refusal(path, "allOf", "describes no value")
            if isinstance(part, Mapping):
                flat = self._merged(flat, self._flatten(part, path, entered), path)
        return flat

    def _enter(self, ref: object, path: str, entered: list[str]) -> Schema:
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise self._refusal(path, "$ref", "is supported only with a reference inside the schema (#/…)")
        if self._open.get(ref, 0) >= _UNROLL:
            raise _NoEndError(path)
        self._open[ref] = self._open.get(ref, 0) + 1
        entered.append(ref)
        node = self._root
        for step in ref[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, Mapping) and key in node:
                node = node[key]
            elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            else:
                raise self._refusal(path, "$ref", f"names {ref}, which is not in the schema")
        return node

    def _merged(self, one: dict[str, Any], two: dict[str, Any], path: str) -> dict[str, Any]:
        merged = dict(one)
        for key, value in two.items():
            if key not in merged or merged[key] == value:
                merged[key] = value
            else:
                merged[key] = self._both(key, merged[key], value, path)
        return merged

    def _both(self, key: str, one: Any, two: Any, path: str) -> Any:
        if key == "properties":
            shared = {name: {"allOf": [one[name], two[name]]} for name in one if name in two}
            return {**one, **two, **shared}
        if key == "required":
            return list(dict.fromkeys([*one, *two]))
        if key in ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"):
            return max(one, two)
        if key in ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"):
            return min(one, two)
        if key in ("type", "enum"):
            return self._common(key, one, two, path)
        if key in ("items", "additionalProperties"):
            return {"allOf": [one, two]} if one is not False and two is not False else False
        self.exact = self.exact and not _constrains(key)
        return one

    def _common(self, key: str, one: Any, two: Any, path: str) -> Any:
        first = one if isinstance(one, list) else [one]
        second = two if isinstance(two, list) else [two]
        common = [value for value in first if value in second]
        if key == "type" and not common and {*first, *second} >= {"integer", "number"}:
            common = ["integer"]
        if not common:
            raise self._refusal(path, key, "describes no value")
        return common if key == "enum" or len(common) > 1 else common[0]

    # one schema without references

    def _flat(self, schema: dict[str, Any], path: str, depth: int) -> str:
        if not _CHECKED.isdisjoint(schema):
            self.exact = False
        if "const" in schema:
            return self._values([schema["const"]], schema, path)
        if "enum" in schema:
            return self._values(schema["enum"], schema, path)
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                return self._branches(schema, key, path, depth)
        kind = schema.get("type") or _implied_kind(schema)
        if isinstance(kind, list):
            return self._choice([{**schema, "type": each} for each in kind], path, depth)
        return _ANY if kind is None else self._of_kind(kind, schema, path, depth)

    def _of_kind(self, kind: str, schema: dict[str, Any], path: str, depth: int) -> str:
        if kind == "object":
            return self._object(schema, path, depth)
        if kind == "array":
            return self._array(schema, path, depth)
        if kind == "string":
            return self._string(schema, path)
        if kind in ("integer", "number"):
            return self._number(schema, path, whole=kind == "integer")
        if kind in _SCALAR:
            return _SCALAR[kind]
        raise self._refusal(path, "type", f"names {kind!r}, which is no type of JSON")

    def _values(self, values: Sequence[Any], schema: Mapping[str, Any], path: str) -> str:
        kinds = schema.get("type")
        if isinstance(kinds, str):
            kinds = [kinds]
        fitting = [value for value in values if kinds is None or any(_is(kind, value) for kind in kinds)]
        if not fitting:
            raise self._refusal(path, "enum", "describes no value")
        if any(_constrains(key) and key not in ("type", "enum", "const") for key in schema):
            self.exact = False
        return f"({' | '.join(_json(value) for value in fitting)})"

    def _branches(self, schema: dict[str, Any], key: str, path: str, depth: int) -> str:
        base = {name: value for name, value in schema.items() if name != key}
        branches = [branch for branch in schema[key] if branch is not False]
        return self._choice(
            [{**base, "allOf": [branch]} if base else branch for branch in branches], path, depth
        )

    def _choice(self, schemas: Sequence[Schema], path: str, depth: int) -> str:
        parts = []
        stuck: _NoEndError | ValidationException | None = None
        for schema in schemas:
            try:
                parts.append(self.value(schema, path, depth + 1))
            except _NoEndError as error:
                stuck = error
        if not parts:
            raise stuck or self._refusal(path, "anyOf", "describes no value")
        return parts[0] if len(parts) == 1 else f"({' | '.join(parts)})"

    # objects

    def _object(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        properties = schema.get("properties")
        required = list(schema.get("required", ()))
        least, most = schema.get("minProperties", 0), schema.get("maxProperties", math.inf)
        if not properties and not required:
            return self._free_object(schema, path, depth)
        properties = {
            **(properties or {}),
            **{name: True for name in required if name not in (properties or {})},
        }
        names = [name for name in properties if name in required]
        must = [self._pair(name, properties[name], path, depth) for name in names]
        may = self._optional(properties, required, path, depth)
        while len(must) < least and may:
            must.append(may.pop(0))
        if len(must) < least or len(must) > most:
            self.exact = False
        may = may[: max(0, int(min(most, len(must) + len(may))) - len(must))]
        return f'"{{" {_listed(must, [self._rule(pair) for pair in may])} "}}"'

    def _pair(self, name: str, schema: Schema, path: str, depth: int) -> str:
        key = _json(name)[:-1] + ':"'
        return f"{key} {self.value(schema, f'{path}.properties.{name}', depth + 1)}"

    def _optional(
        self, properties: Mapping[str, Schema], required: Sequence[str], path: str, depth: int
    ) -> list[str]:
        pairs = []
        for name, schema in properties.items():
            if name in required or schema is False:
                continue
            try:
                pairs.append(self._pair(name, schema, path, depth))
            except _NoEndError:  # left out here: that is the end of the recursion
                continue
        return pairs

    def _free_object(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        """An object without declared properties: `additionalProperties` or `patternProperties` shape it."""
        least, most = schema.get("minProperties", 0), min(schema.get("maxProperties", _ITEMS), 50)
        patterns = schema.get("patternProperties") or {}
        rest: Schema = schema.get("additionalProperties", "properties" not in schema)
        if most == 0 or (rest is False and not patterns):
            if least:
                raise self._refusal(path, "minProperties", "describes no value")
            return '"{}"'
        key = '"\\"" [a-z] [a-z_]{1,14} "\\""'
        if patterns:
            pattern, rest = next(iter(patterns.items()))
            key = f'"\\"" {self._pattern(pattern, path, "patternProperties")} "\\""'
            self.exact = self.exact and len(patterns) == 1
        if "propertyNames" in schema:
            key = self.value(
                {"type": "string", **schema["propertyNames"]}, f"{path}.propertyNames", depth + 1
            )
        try:
            pair = self._rule(f'{key} ":" {self.value(rest, f"{path}.additionalProperties", depth + 1)}')
        except _NoEndError:
            if least:
                raise
            return '"{}"'
        if least > 1:  # two of the names may be the same
            self.exact = False
        return f'"{{" {_repeated(pair, least, max(least, most))} "}}"'

    # arrays

    def _array(self, schema: Mapping[str, Any], path: str, depth: int) -> str:
        items: Schema = schema.get("items", True)
        first = schema.get("prefixItems") or (items if isinstance(items, list) else [])
        if isinstance(items, list):
            items = schema.get("additionalItems", True)
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", max(least, _ITEMS)), max(least, 20))
        if schema.get("uniqueItems"):
            most = max(least, 1) if not first else most
            self.exact = self.exact and not (least > 1 or first)
        if least > most:
            raise self._refusal(path, "minItems", "describes no value")
        if most == 0:
            return '"[]"'
        if first:
            return self._tuple(first, items, least, path, depth)
        try:
            item = self._rule(self.value(items, f"{path}.items", depth + 1)) if items is not False else ""
        except _NoEndError:
            item = ""
            if least:
                raise
        if not item:
            return '"[]"'
        return f'"[" {_repeated(item, least, most)} "]"'

    def _tuple(self, first: Sequence[Schema], items: Schema, least: int, path: str, depth: int) -> str:
        schemas = [*first, *([items] * (least - len(first)))]
        parts = [self.value(each, f"{path}.prefixItems", depth + 1) for each in schemas]
        return '"[" ' + ' "," '.join(parts) + ' "]"'

    # strings and numbers

    def _string(self, schema: Mapping[str, Any], path: str) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        if least > most or least > _REPEAT:
            raise self._refusal(path, "minLength", "asks for a string that can't be made")
        shape = None
        if "pattern" in schema:
            shape = self._pattern(schema["pattern"], path, "pattern")
        elif schema.get("format") in _FORMATS:
            shape = _FORMATS[schema["format"]]
        if shape is None:
            return f'"\\"" {_CHAR}{{{least},{int(min(most, max(least, _STRING)))}}} "\\""'
        # what the pattern matches is checked: the grammar leaves its anchors and boundaries out
        self.exact = self.exact and "pattern" not in schema and least == 0 and most == math.inf
        return f'"\\"" ({shape}) "\\""'

    def _pattern(self, pattern: object, path: str, keyword: str) -> str:
        try:
            return from_pattern(str(pattern))
        except UnsupportedError as error:
            raise self._refusal(path, keyword, f"holds {error}, which this model does not support") from None

    def _number(self, schema: Mapping[str, Any], path: str, *, whole: bool) -> str:
        low, high = (
            _bound(schema, "minimum", "exclusiveMinimum"),
            _bound(schema, "maximum", "exclusiveMaximum"),
        )
        step = schema.get("multipleOf")
        if step is None and low is None and high is None:
            return _SCALAR["integer"] if whole else _SCALAR["integer"] + ' ("." [0-9]{1,3})?'
        if step is not None:
            self.exact = self.exact and isinstance(step, int)
            choices = [_json(value) for value in _multiples(low, high, step, whole=whole)]
        else:
            choices = _interval(low, high, whole=whole)
        if not choices:
            raise self._refusal(path, "minimum" if step is None else "multipleOf", "describes no number")
        return f"({' | '.join(choices)})"


class Bound(NamedTuple):
    """The end of an interval of numbers."""

    value: float
    excluded: bool


def _bound(schema: Mapping[str, Any], keyword: str, excluding: str) -> Bound | None:
    """The tighter of an including and an excluding bound. Draft 4's `exclusiveMinimum: true` is understood
    too."""
    plain, strict = schema.get(keyword), schema.get(excluding)
    if isinstance(strict, bool):
        return None if plain is None else Bound(plain, strict)
    if plain is None or strict is None:
        return (
            Bound(plain, False) if plain is not None else Bound(strict, True) if strict is not None else None
        )
    tighter = strict >= plain if keyword == "minimum" else strict <= plain
    return Bound(strict, True) if tighter else Bound(plain, False)


def _ends(low: Bound | None, high: Bound | None) -> tuple[Bound, Bound]:
    """Both ends; a missing one is put 9,999 away, or at zero where that lies inside."""
    if low is None:
        low = Bound(high.value - 9999 if high and high.value <= 0 else 0, False)
    high = high or Bound(max(low.value + 9999, 0), False)
    if low.value < -_LARGEST < high.value:
        low = Bound(-_LARGEST, False)
    return low, Bound(_LARGEST, False) if low.value < _LARGEST < high.value else high


def _whole_ends(low: Bound, high: Bound) -> tuple[int, int]:
    first, last = math.ceil(low.value), math.floor(high.value)
    first += first == low.value and low.excluded
    last -= last == high.value and high.excluded
    return first, last


def _interval(low: Bound | None, high: Bound | None, *, whole: bool) -> list[str]:
    low, high = _ends(low, high)
    first, last = _whole_ends(low, high)
    choices = [*_integers(first, last)]
    if whole:
        return choices
    # a fraction that is not zero, after every whole part for which it stays inside
    fraction = '"." [0-9]? [1-9]'
    choices += [
        f"({part}) {fraction}" for part in _digits(max(0, math.ceil(low.value)), math.floor(high.value) - 1)
    ]
    least = max(0, math.ceil(-high.value))
    choices += [f'"-" ({part}) {fraction}' for part in _digits(least, math.floor(-low.value) - 1)]
    if not choices:
        span = high.value - low.value
        between = (round(low.value + span * part / 20, 9) for part in range(1, 20))
        choices = [_json(value) for value in dict.fromkeys(between) if low.value < value < high.value]
    return choices


def _integers(first: int, last: int) -> Iterator[str]:
    if first < 0:
        for part in _digits(max(1, -last), -first):
            yield f'"-" ({part})'
    yield from _digits(max(0, first), last)


def _digits(first: int, last: int) -> Iterator[str]:
    """Expressions for the decimal numbers from `first` to `last`, neither negative."""
    length = len(str(first))
    while first <= last:
        end = min(last, 10**length - 1)
        yield _same_length(str(first), str(end))
        first, length = end + 1, length + 1


def _same_length(first: str, last: str) -> str:
    if first == last:
        return literal(first)
    head, tail = first[0], len(first) - 1
    if head == last[0]:
        return f"{literal(head)} ({_same_length(first[1:], last[1:])})"
    free = f" [0-9]{{{tail}}}" if tail else ""
    parts = []
    low, high = int(head), int(last[0])
    if int(first[1:] or 0):
        parts.append(f"{literal(head)} ({_same_length(first[1:], '9' * tail)})")
        low += 1
    if last[1:] != "9" * tail:
        parts.append(f"{literal(last[0])} ({_same_length('0' * tail, last[1:])})")
        high -= 1
    if low <= high:
        parts.append(f"[{low}-{high}]{free}")
    return " | ".join(parts)


def _multiples(low: Bound | None, high: Bound | None, step: float, *, whole: bool) -> list[float]:
    low, high = _ends(low, high) if low or high else (Bound(0, False), Bound(step * 100, False))
    start, end = math.ceil(low.value / step), math.floor(high.value / step)
    factors = range(start, end + 1, max(1, (end - start) // 200))
    values = [factor * step if isinstance(step, int) else round(factor * step, 9) for factor in factors]
    inside = [
        value
        for value in values
        if not (low.excluded and value == low.value) and not (high.excluded and value == high.value)
    ]
    return [
        int(value) if float(value).is_integer() else value for value in inside if not whole or value % 1 == 0
    ]


# notation


def _json(value: Any) -> str:
    return literal(msgspec.json.encode(value).decode())


def _listed(must: Sequence[str], may: Sequence[str]) -> str:
    """The members `must`, then any of `may` in their order, with commas between."""
    if must:
        return ' "," '.join(must) + "".join(f' ("," {pair})?' for pair in may)
    starts = [
        f"{pair}" + "".join(f' ("," {later})?' for later in may[at + 1 :]) for at, pair in enumerate(may)
    ]
    # each optional member may come first; beyond twelve the rules would grow with the square
    return f"({' | '.join(starts[:12])})?" if starts else '""'


def _repeated(item: str, least: int, most: int) -> str:
    if least > _REPEAT:
        raise ValidationException("The schema asks for more items than this model can write.")
    body = f'{item} ("," {item}){{{max(least - 1, 0)},{most - 1}}}'
    return body if least else f"({body})?"


def _implied_kind(schema: Mapping[str, Any]) -> str | None:
    """The type that a schema without `type` speaks of, by its keywords."""
    return next((kind for kind, keys in _KINDS if any(key in schema for key in keys)), None)


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    types: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "object": dict,
        "array": list,
        "null": type(None),
    }
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, types.get(kind, ()))


def _constrains(keyword: str) -> bool:
    return keyword in _CHECKED or any(keyword in keys for _, keys in _KINDS) or keyword in ("anyOf", "allOf")
