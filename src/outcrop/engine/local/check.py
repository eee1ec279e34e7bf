"""Whether a finished value satisfies its schema. jsonschema is imported here and only when a schema is
met."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from outcrop.engine.local.grammar import Grammar, compile_schema
from outcrop.errors import ValidationException


class _Validator(Protocol):
    def is_valid(self, instance: Any) -> bool: ...


class Shape:
    """A JSON Schema made ready: the grammar that leads the model, and the check of what it wrote."""

    def __init__(self, grammar: Grammar, validator: _Validator) -> None:
        self.grammar = grammar
        self._validator = validator

    def fits(self, text: str) -> bool:
        """Whether `text` is the JSON of a value that satisfies the schema."""
        from referencing.exceptions import Unresolvable

        try:
            return self._validator.is_valid(msgspec.json.decode(text))
        except msgspec.DecodeError:
            return False
        except Unresolvable as error:
            raise ValidationException(
                f"The keyword '$ref' names {error.ref}, which is not in the schema."
            ) from error


def shape(schema: Any, where: str) -> Shape:
    """Raises ValidationException, with the place `where`, for what is no JSON Schema or has no grammar."""
    import referencing
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        keyword = error.path[-1] if error.path else "type"
        raise ValidationException(
            f"{where}: JSON schema is invalid at '{keyword}'. It must match JSON Schema draft 2020-12 "
            "(https://json-schema.org/draft/2020-12).",
            reason=error.message,
        ) from None
    # An empty registry: a reference to elsewhere is never fetched.
    return Shape(compile_schema(schema, where), kind(schema, registry=referencing.Registry()))
