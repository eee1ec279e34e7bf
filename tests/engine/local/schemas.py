"""Schemas as tools have them, with whether our grammar says all there is to them."""

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
    },
    "required": ["value", "children"],
}

EXACT = {
    "anything": True,
    "no arguments": {"type": "object", "properties": {}},
    "strict and empty": {"type": "object", "properties": {}, "additionalProperties": False},
    "one string": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
    "only optional": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}}},
    "required but not described": {"type": "object", "required": ["x"]},
    "described after required": {
        "type": "object",
        "properties": {"opt": {"type": "null"}, "must": {"type": "boolean"}},
        "required": ["must"],
        "additionalProperties": False,
    },
    "quotes in a name": {
        "type": "object",
        "properties": {'a "b"\\c\né': {"type": "null"}},
        "required": ['a "b"\\c\né'],
    },
    "enum": {"enum": ["red", 'gr"een', "bl\\ue", 3, None, {"a": [1, 2]}]},
    "enum with a type": {"type": "string", "enum": ["a", 1, "b"]},
    "const": {"const": {"kind": "x", "n": 1.5}},
    "two types": {"type": ["string", "null"]},
    "anyOf": {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "string", "maxLength": 3}]},
    "anyOf beside properties": {
        "type": "object",
        "properties": {"a": {"type": "string", "maxLength": 3}},
        "anyOf": [
            {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
            {"properties": {"c": {"type": "boolean"}}, "required": ["c"]},
        ],
    },
    "allOf": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]},
            {"properties": {"a": {"maximum": 3}, "b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    "definitions": {
        "$defs": {"name": {"type": "string", "minLength": 1, "maxLength": 5}},
        "type": "object",
        "properties": {"first": {"$ref": "#/$defs/name"}, "last": {"$ref": "#/$defs/name"}},
        "required": ["first", "last"],
    },
    "a tree": {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
    "a list that may end": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    },
    "a recursion that is optional": {"type": "object", "properties": {"inner": {"$ref": "#"}}},
    "recursion in additional properties": {"type": "object", "additionalProperties": {"$ref": "#"}},
    "an array": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
    "an array of anything": {"type": "array"},
    "an empty array": {"type": "array", "maxItems": 0},
    "one item at most": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True},
    "a tuple": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    "long strings": {"type": "string", "minLength": 100},
    "short strings": {"type": "string", "minLength": 2, "maxLength": 4},
    "integer between": {"type": "integer", "minimum": 17, "maximum": 10342},
    "integer across zero": {"type": "integer", "minimum": -105, "maximum": 12},
    "integer above": {"type": "integer", "exclusiveMinimum": 99},
    "integer below": {"type": "integer", "maximum": -3},
    "integer strictly between": {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    "number": {"type": "number"},
    "latitude": {"type": "number", "minimum": -90, "maximum": 90},
    "positive": {"type": "number", "exclusiveMinimum": 0},
    "probability": {"type": "number", "minimum": 0, "maximum": 1},
    "narrow": {"type": "number", "exclusiveMinimum": 0.2, "exclusiveMaximum": 0.3},
    "below zero": {"type": "number", "minimum": -2.5, "exclusiveMaximum": 0},
    "huge": {"type": "integer", "minimum": 0, "maximum": 10**300},
    "multiple of five": {"type": "integer", "multipleOf": 5, "minimum": 3, "maximum": 31},
    "date and time": {
        "type": "object",
        "properties": {
            k: {"type": "string", "format": k} for k in ("date", "time", "date-time", "email", "uri")
        },
        "required": ["date", "time", "date-time", "email", "uri"],
    },
    "a map": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1},
    "no more than one": {
        "type": "object",
        "properties": {"a": {"type": "null"}, "b": {"type": "null"}, "c": {"type": "null"}},
        "maxProperties": 1,
    },
    "at least two": {
        "type": "object",
        "properties": {"a": {"type": "null"}, "b": {"type": "null"}, "c": {"type": "null"}},
        "minProperties": 2,
    },
    "thirty optional": {"type": "object", "properties": {f"p{n}": {"type": "null"} for n in range(30)}},
    "draft 4": {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "array",
        "items": [{"type": "string"}, {"type": "integer", "minimum": 3, "exclusiveMinimum": True}],
    },
    "a pointer with escapes": {
        "$defs": {"a/b": {"c~d": {"type": "boolean"}}},
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/a~1b/c~0d"}},
        "required": ["x"],
    },
}

# The grammar leaves some of the schema to the check.
CHECKED = {
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-\\d{3,}$"},
    "pattern with quotes": {"type": "string", "pattern": '^["\\\\a-c]{3}$'},
    "pattern and length": {"type": "string", "pattern": "^a+$", "maxLength": 6},
    "oneOf": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "not": {"type": "string", "not": {"const": "x"}},
    "if": {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "if": {"required": ["a"]},
        "then": True,
    },
    "unique": {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 2},
    "contains": {"type": "array", "items": {"enum": [1, 2]}, "contains": {"const": 1}, "minItems": 3},
    "named properties": {"type": "object", "propertyNames": {"pattern": "^x_[a-z]+$"}, "minProperties": 1},
    "pattern properties": {
        "type": "object",
        "patternProperties": {"^k[0-9]$": {"type": "integer"}, "^s": {"type": "string"}},
        "additionalProperties": False,
    },
    "a fraction's multiples": {"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 2},
}
