"""A Messages request as Bedrock's InvokeModel takes it: bytes in, a checked request out.

Holds the first of Bedrock's two validators, which knows keys and types only. What a request means to a model
is the second stage's (`messages_rules`, shared with Converse). Knows no HTTP and no engine.

The first stage speaks as AWS's validator does, the everit JSON-schema library: `#/temperature: 5 is not less
or equal to 1`, several violations joined without a space, missing keys first, then keys too many, then
values. Sources: A = AWS documents or recorded traffic, C = errors users have quoted from Bedrock, D = the
library's own wording where nobody quoted Bedrock.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from outcrop.errors import ValidationException
from outcrop.wire import json_body
from outcrop.wire.json_body import NotJsonError, malformed
from outcrop.wire.messages_blocks import ModelFacts
from outcrop.wire.messages_rules import check_meaning

# bedrock-2023-05-31 is the guide's; 2026-10-21 is what today's Anthropic SDKs send (measured).
VERSIONS: Final = frozenset({"bedrock-2023-05-31", "2026-10-21"})
# Beyond so many violations the text would only be long; then AWS's older form counts them (A many).
_MOST_NAMED: Final = 20
_MOST_COUNTED: Final = 10_000

_NOT_JSON: Final = "Malformed input request, please reformat your input and try again."  # A, recorded


class InvokeRequest(msgspec.Struct, frozen=True):
    """A request that passed both stages.

    `body` is the Messages request without `anthropic_version` and `anthropic_beta`; fields we have never
    heard of are still in it, untouched.
    """

    body: dict[str, Any]
    betas: tuple[str, ...]
    version: str


def parse_request(body: bytes, model: ModelFacts) -> InvokeRequest:
    """Read and check the body of an InvokeModel request for `model`. Raises ValidationException."""
    request = decode(body)
    check_schema(request)
    version: str = request.pop("anthropic_version")
    if version not in VERSIONS:
        raise ValidationException(f"Invalid API version: {version}")  # C: boto3's tracker, 2024
    betas = tuple(request.pop("anthropic_beta", ()))
    check_meaning(request, model, betas)
    return InvokeRequest(request, betas, version)


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises ValidationException when it is no JSON, no object or too deep."""
    try:
        value = json_body.read(body)
    except NotJsonError as error:
        raise ValidationException(_NOT_JSON, reason=str(error)) from None
    if not isinstance(value, dict):
        raise malformed(f"#: expected type: JSONObject, found: {_FOUND[type(value)]}")  # D
    return value


# --- the first stage: keys and types -----------------------------------------------------------------------

# JSON types as the validator names them. Which version AWS runs is not known; newer ones say BigDecimal.
_NAMES: Final = {str: "String", int: "Integer", list: "JSONArray", dict: "JSONObject"}
_FOUND: Final = _NAMES | {float: "BigDecimal", bool: "Boolean", type(None): "Null"}


class _Rule(NamedTuple):
    """What a value must be. `expected` is what the validator calls it when it is something else."""

    types: frozenset[type]
    expected: tuple[str, ...]
    low: int | None = None
    high: int | None = None
    items: type | None = None
    most: int | None = None


def _one(kind: type, **more: Any) -> _Rule:
    return _Rule(frozenset({kind}), (_NAMES[kind],), **more)


def _number(low: int, high: int) -> _Rule:
    return _Rule(frozenset({int, float}), ("Number",), low, high)


_TEXT_OR_LIST: Final = _Rule(frozenset({str, list}), ("String", "JSONArray"))
_OBJECT: Final = _one(dict)

# in the order in which the validator has been seen to name them (C)
_REQUIRED: Final = ("max_tokens", "anthropic_version", "messages")

# Every key InvokeModel knows for Claude (A, AWS guide), with `output_format`, which the beta flag
# structured-outputs-2025-11-13 brought (C). `model` and `stream` are the Claude API's and refused (A).
_SCHEMA: Final[dict[str, _Rule]] = {
    "anthropic_version": _one(str),
    "anthropic_beta": _one(list, items=str),
    "max_tokens": _one(int),
    "messages": _one(list, items=dict),
    "system": _TEXT_OR_LIST,
    "stop_sequences": _one(list, items=str, most=8191),
    "temperature": _number(0, 1),
    "top_p": _number(0, 1),
    "top_k": _one(int, low=0, high=500),
    "tools": _one(list, items=dict),
    "tool_choice": _OBJECT,
    "thinking": _OBJECT,
    "output_config": _OBJECT,
    "output_format": _OBJECT,
    "context_management": _OBJECT,
    "metadata": _OBJECT,
}
_MESSAGE: Final = {"role": _one(str), "content": _TEXT_OR_LIST}


def check_schema(request: dict[str, Any]) -> None:
    """The first stage: are the keys known and present, the values of the right type and within bounds?

    Raises ValidationException that names every violation.
    """
    for key, value in request.items():
        rule = _SCHEMA.get(key)
        if rule is None or type(value) not in rule.types or (rule is not _OBJECT and not _fits(value, rule)):
            break
    else:
        if (
            "max_tokens" in request
            and "anthropic_version" in request
            and _are_messages(request.get("messages"))
        ):
            return
    found = list(islice(_violations(request), _MOST_COUNTED))
    named = "".join(found) if len(found) <= _MOST_NAMED else f"{len(found)} schema violations found"
    raise malformed(named)


def _fits(value: Any, rule: _Rule) -> bool:
    if rule.items is not None:
        return (rule.most is None or len(value) <= rule.most) and {rule.items}.issuperset(map(type, value))
    return rule.low is None or rule.high is None or rule.low <= value <= rule.high


def _are_messages(messages: Any) -> bool:
    if type(messages) is not list:
        return False
    for message in messages:
        content = message.get("content")
        if type(message.get("role")) is not str or not (
            type(content) is str or (type(content) is list and content)
        ):
            return False
    return True


def _violations(request: dict[str, Any]) -> Iterator[str]:
    yield from (f"#: required key [{key}] not found" for key in _REQUIRED if key not in request)
    yield from (f"#: extraneous key [{key}] is not permitted" for key in request if key not in _SCHEMA)
    for key, rule in _SCHEMA.items():
        if key in request:
            yield from _value_violations(f"#/{key}", request[key], rule)
    messages = request.get("messages")
    if type(messages) is list:
        for index, message in enumerate(messages):
            if type(message) is dict:
                yield from _message_violations(f"#/messages/{index}", message)


def _value_violations(path: str, value: Any, rule: _Rule) -> Iterator[str]:
    if type(value) not in rule.types:
        found = _FOUND[type(value)]
        yield from (
            f"{path}: expected type: {expected}, found: {found}" for expected in rule.expected
        )  # A, C
        return
    if rule.low is not None and value < rule.low:
        yield f"{path}: {value} is not greater or equal to {rule.low}"
    if rule.high is not None and value > rule.high:
        yield f"{path}: {value} is not less or equal to {rule.high}"  # C, quoted for another model's bound
    if rule.most is not None and len(value) > rule.most:
        yield f"{path}: expected maximum item count: {rule.most}, found: {len(value)}"  # D
    if rule.items is not None:
        for index, item in enumerate(value):
            if type(item) is not rule.items:
                yield f"{path}/{index}: expected type: {_NAMES[rule.items]}, found: {_FOUND[type(item)]}"


def _message_violations(path: str, message: dict[str, Any]) -> Iterator[str]:
    yield from (f"{path}: required key [{key}] not found" for key in _MESSAGE if key not in message)
    for key, rule in _MESSAGE.items():
        if key in message:
            yield from _value_violations(f"{path}/{key}", message[key], rule)
    if message.get("content") == []:
        # both branches of "text or list" fail and both are named (C, Bedrock 2025)
        yield f"{path}/content: expected type: String, found: JSONArray"
        yield f"{path}/content: expected minimum item count: 1, found: 0"
