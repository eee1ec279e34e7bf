"""What the operations on application profiles and their tags take: tables, and the check against them.

Source of the tables: botocore's service model `bedrock`. AWS's refusals quote these patterns, so they are
spelt as there. Knows types, lengths and patterns; not which profiles exist, nor what an ARN stands for.
"""

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import Any, Final

import msgspec

from outcrop.errors import SerializationException, ValidationException
from outcrop.wire import json_body
from outcrop.wire.converse_shapes import Sequence, Shape, Structure, Text, check

_TAG_TEXT: Final = r"[a-zA-Z0-9\s._:/=+@-]*"
_TAG_KEY: Final = Text(least=1, most=128, pattern=_TAG_TEXT)
# How many there may be is not said here: the service has an error of its own for too many.
_TAGS: Final = Sequence(
    Structure({"key": _TAG_KEY, "value": Text(most=256, pattern=_TAG_TEXT)}, ("key", "value"))
)
_TAGGABLE: Final = Text(
    least=20,
    most=1011,
    pattern=(
        r".*(^[a-zA-Z0-9][a-zA-Z0-9\-]*$)"
        r"|(^arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:custom-model/(imported)/[a-z0-9]{12}$)"
        r"|(^arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:([0-9]{12}|)"
        r"((:(fine-tuning-job|model-customization-job|custom-model)/[a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}"
        r"([a-z0-9-]{1,63}[.]){0,2}[a-z0-9-]{1,63}([:][a-z0-9-]{1,63}){0,2}(/[a-z0-9]{12})$)"
        r"|(:guardrail/[a-z0-9]+$)"
        r"|(:automated-reasoning-policy/[a-zA-Z0-9]+(:[a-zA-Z0-9]+)?$)"
        r"|(:(inference-profile|application-inference-profile)/[a-zA-Z0-9-:.]+$)"
        r"|(:(provisioned-model|model-invocation-job|model-evaluation-job|evaluation-job|model-import-job"
        r"|imported-model|async-invoke|provisioned-model-v2|provisioned-model-reservation|prompt-router"
        r"|custom-model-deployment)/[a-z0-9]{12}$))).*"
    ),
)
_CREATE: Final = Structure(
    {
        "inferenceProfileName": Text(least=1, most=64, pattern="([0-9a-zA-Z][ _-]?)+"),
        "description": Text(least=1, most=200, pattern="([0-9a-zA-Z:.][ _-]?)+", secret=True),
        "clientRequestToken": Text(least=1, most=256, pattern="[a-zA-Z0-9]([-a-zA-Z0-9]{0,254}[a-zA-Z0-9])?"),
        "modelSource": Structure(
            {
                "copyFrom": Text(
                    least=1,
                    most=2048,
                    pattern=(
                        "arn:aws(|-us-gov|-cn|-iso|-iso-b):bedrock:(|[0-9a-z-]{0,20}):(|[0-9]{12}):"
                        "(inference-profile|foundation-model)/[a-zA-Z0-9-:.]+"
                    ),
                )
            },
            ("copyFrom",),
        ),
        "tags": _TAGS,
    },
    ("inferenceProfileName", "modelSource"),
)
_TAG: Final = Structure({"resourceARN": _TAGGABLE, "tags": _TAGS}, ("resourceARN", "tags"))
_UNTAG: Final = Structure(
    {"resourceARN": _TAGGABLE, "tagKeys": Sequence(_TAG_KEY, most=200)}, ("resourceARN", "tagKeys")
)
_LIST: Final = Structure({"resourceARN": _TAGGABLE}, ("resourceARN",))


class Creation(msgspec.Struct, frozen=True):
    """What CreateInferenceProfile asks for; "" for what was not given."""

    name: str
    source: str
    description: str
    token: str
    tags: dict[str, str]


def creation(body: bytes) -> Creation:
    """Raises SerializationException or ValidationException where the body does not fit the service model."""
    told = _read(body, _CREATE)
    return Creation(
        told["inferenceProfileName"],
        told["modelSource"]["copyFrom"],
        told.get("description") or "",
        told.get("clientRequestToken") or "",
        _tags(told.get("tags") or ()),
    )


def tagging(body: bytes) -> tuple[str, dict[str, str]]:
    """The ARN and the tags of a TagResource request. Raises as `creation` does."""
    told = _read(body, _TAG)
    return told["resourceARN"], _tags(told["tags"])


def untagging(body: bytes) -> tuple[str, list[str]]:
    """The ARN and the tag keys of an UntagResource request. Raises as `creation` does."""
    told = _read(body, _UNTAG)
    return told["resourceARN"], told["tagKeys"]


def listing(body: bytes) -> str:
    """The ARN of a ListTagsForResource request. Raises as `creation` does."""
    arn: str = _read(body, _LIST)["resourceARN"]
    return arn


def _read(body: bytes, shape: Shape) -> Any:
    try:
        told = json_body.read(body) if body else {}
    except json_body.NotJsonError as error:
        raise SerializationException("The request body is not valid JSON.", reason=str(error)) from None
    check(told, shape)
    return told


def _tags(rows: Items[dict[str, str]]) -> dict[str, str]:
    """Tags by key. Raises ValidationException for a key given twice, or one that belongs to AWS."""
    tags = {row["key"]: row["value"] for row in rows}
    if len(tags) < len(rows):
        # how AWS words this one is not known
        raise ValidationException("Duplicate tag keys are not allowed: a key may be given once.")
    if any(key.lower().startswith("aws:") for key in tags):
        # the words in which AWS's services refuse it
        raise ValidationException("aws: prefixed tag key names are not allowed for external use.")
    return tags
