"""The service model of a Converse request as a table, and the check of a request against it in AWS's words.

Knows types, required members, enums, ranges, lengths and patterns; not what a conversation may look like (see
`converse_rules`). Members the model does not have are ignored, as the service ignores them.

Three layers of the service speak here, in this order:

- the parser: a value of the wrong JSON type is a SerializationException;
- the framework: every other violation is collected and told at once, with paths that count from 1
  (`messages.1.member.role`; wording and paths: texts of real refusals);
- Converse itself: a union in which no member is set, with paths that count from 0.

Source of the table: botocore's service model `bedrock-runtime`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from outcrop.errors import SerializationException, ValidationException
from outcrop.wire.constraints import (
    Constraints,
    enum_set,
    least_length,
    least_value,
    matching,
    most_length,
    most_value,
)


class Findings(Constraints):
    """What one check has found so far: broken constraints, and unions with no member set or several."""

    def __init__(self) -> None:
        super().__init__()
        self.unset: list[str] = []

    def check(self) -> None:
        """Raises ValidationException when anything was found."""
        super().check()
        if self.unset:
            raise ValidationException(self.unset[0])


class Shape(Protocol):
    """One row of the service model."""

    def check(self, value: Any, path: str, found: Findings) -> None:
        """Note in `found` what `value`, never None, breaks. Raises SerializationException on a wrong type."""


class Text(msgspec.Struct, frozen=True):
    """A string. `secret` values are not repeated in the refusal."""

    least: int = 0
    most: int | None = None
    pattern: str = ""
    enum: tuple[str, ...] = ()
    secret: bool = False

    def check(self, value: Any, path: str, found: Findings) -> None:
        """See `Shape`."""
        if not isinstance(value, str):
            raise _wrong_type(value, "a String")
        for constraint in self.broken_by(value):
            found.violate(path, constraint, None if self.secret else f"'{value}'")

    def constraints(self) -> list[str]:
        """Every constraint, in the order the service lists them."""
        told = []
        if self.most is not None:
            told.append(most_length(self.most))
        if self.least:
            told.append(least_length(self.least))
        if self.pattern:
            told.append(matching(self.pattern))
        if self.enum:
            told.append(enum_set(self.enum))
        return told

    def broken_by(self, value: str) -> list[str]:
        """The constraints that `value` breaks."""
        kept = []
        if self.most is not None:
            kept.append(len(value) <= self.most)
        if self.least:
            kept.append(len(value) >= self.least)
        if self.pattern:
            kept.append(re.fullmatch(self.pattern, value) is not None)
        if self.enum:
            kept.append(value in self.enum)
        if all(kept):
            return []
        return [told for told, holds in zip(self.constraints(), kept, strict=True) if not holds]


class Number(msgspec.Struct, frozen=True):
    """An Integer or a Float."""

    java: str
    least: int | None = None
    most: int | None = None

    def check(self, value: Any, path: str, found: Findings) -> None:
        """See `Shape`."""
        whole = self.java == "Integer"
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or (whole and not float(value).is_integer())
        ):
            raise _wrong_type(value, f"an {self.java}" if whole else f"a {self.java}")
        # a float is shown with its fraction even when it was written without (real refusals: '99.0')
        shown = f"'{int(value) if whole else float(value)}'"
        if self.most is not None and value > self.most:
            found.violate(path, most_value(self.most), shown)
        if self.least is not None and value < self.least:
            found.violate(path, least_value(self.least), shown)


class Flag(msgspec.Struct, frozen=True):
    """A boolean."""

    def check(self, value: Any, path: str, found: Findings) -> None:  # noqa: ARG002 - the protocol's signature
        """See `Shape`."""
        if not isinstance(value, bool):
            raise _wrong_type(value, "a Boolean")


class Blob(msgspec.Struct, frozen=True):
    """Bytes, base64 on the wire. `least` counts the decoded bytes."""

    least: int = 0

    def check(self, value: Any, path: str, found: Findings) -> None:
        """See `Shape`."""
        if not isinstance(value, str):
            raise _wrong_type(value, "a Blob")
        try:
            size = len(binascii.a2b_base64(value.encode(), strict_mode=True))
        except ValueError as error:  # binascii.Error, and text outside UTF-8
            raise SerializationException("Invalid base64 in a blob.", reason=f"{path}: {error}") from error
        if size < self.least:
            found.violate(path, least_length(self.least), None)


class Document(msgspec.Struct, frozen=True):
    """Any JSON."""

    def check(self, value: Any, path: str, found: Findings) -> None:
        """See `Shape`."""


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    member: Shape
    least: int = 0
    most: int | None = None

    def check(self, value: Any, path: str, found: Findings) -> None:
        """See `Shape`."""
        if not isinstance(value, list):
            raise _wrong_type(value, "a List")
        if self.most is not None and len(value) > self.most:
            found.violate(path, most_length(self.most), _list(value))
        if len(value) < self.least:
            found.violate(path, least_length(self.least), _list(value))
        if isinstance(self.member, Text):
            self._check_texts(self.member, value, path, found)
            return
        for number, member in enumerate(value, 1):
            if member is None:
                found.violate(f"{path}.{number}.member", "Member must not be null", "null")
            else:
                self.member.check(member, f"{path}.{number}.member", found)

    def _check_texts(self, member: Text, value: list[Any], path: str, found: Findings) -> None:
        """A list of strings is refused as a whole, with everything its members must satisfy."""
        for text in value:
            if not isinstance(text, str):
                raise _wrong_type(text, "a String")
        if any(map(member.broken_by, value)):
            wanted = ", ".join(member.constraints())
            found.violate(path, f"Member must satisfy constraint: [{wanted}]", _list(value))


class Texts(msgspec.Struct, frozen=True):
    """A map from string to string."""

    key: Text
    member: Text
    least: int = 0
    most: int | None = None

    def check(self, value: Any, path: str, found: Findings) -> None:
        """See `Shape`."""
        if not isinstance(value, dict):
            raise _wrong_type(value, "a Map")
        for text in value.values():
            if not isinstance(text, str):
                raise _wrong_type(text, "a String")
        if self.most is not None and len(value) > self.most:
            found.violate(path, most_length(self.most), None)
        if len(value) < self.least:
            found.violate(path, least_length(self.least), None)
        for kind, shape, texts in (("keys", self.key, value), ("value", self.member, value.values())):
            if any(shape.broken_by(text) for text in texts):
                wanted = ", ".join(shape.constraints())
                found.violate(path, f"Map {kind} must satisfy constraint: [{wanted}]", None)


class Structure(msgspec.Struct, frozen=True):
    """An object with named members."""

    members: Mapping[str, Shape]
    required: tuple[str, ...] = ()

    def check(self, value: Any, path: str, found: Findings) -> None:
        """See `Shape`."""
        if not isinstance(value, dict):
            raise _wrong_type(value, "a Structure")
        for name in self.required:
            if value.get(name) is None:
                found.violate(f"{path}.{name}" if path else name, "Member must not be null", "null")
        for name, member in value.items():
            shape = self.members.get(name)
            if shape is not None and member is not None:
                shape.check(member, f"{path}.{name}" if path else name, found)


class Union(msgspec.Struct, frozen=True):
    """An object of which exactly one member is set.

    `told` are the members that the service's refusal names, where these are not all of them.
    """

    name: str
    members: Mapping[str, Shape]
    told: tuple[str, ...] = ()

    def check(self, value: Any, path: str, found: Findings) -> None:
        """See `Shape`."""
        if not isinstance(value, dict):
            raise _wrong_type(value, "a Structure")
        given = [name for name, member in value.items() if member is not None and name in self.members]
        if len(given) != 1:
            found.unset.append(must_set_one(self.name, path, self.told or tuple(self.members)))
        for name in given:
            self.members[name].check(value[name], f"{path}.{name}", found)


def must_set_one(name: str, path: str, keys: tuple[str, ...]) -> str:
    """The refusal of a union at `path` in which none of `keys` is set, or more than one."""
    return f"{name} object at {from_zero(path)} must set one of the following keys: {', '.join(keys)}."


def from_zero(path: str) -> str:
    """A path of the framework (`messages.1.member.role`) as Converse itself writes it (`messages.0.role`)."""
    return re.sub(r"\.(\d+)\.member", lambda found: f".{int(found[1]) - 1}", path)


def _list(value: list[Any]) -> str:
    return f"'[{', '.join(str(member) for member in value)}]'"


_TOKENS: Final = {str: "STRING_VALUE", int: "NUMBER_VALUE", float: "NUMBER_VALUE", type(None): "NULL_VALUE"}


def _wrong_type(value: Any, wanted: str) -> SerializationException:
    """In the words of AWS's JSON services; for Converse itself no such refusal was found recorded."""
    if isinstance(value, list):
        return SerializationException("Start of list found where not expected")
    if isinstance(value, dict):
        return SerializationException("Start of structure or map found where not expected.")
    token = f"{value}_VALUE".upper() if isinstance(value, bool) else _TOKENS[type(value)]
    return SerializationException(f"{token} can not be converted to {wanted}")


_STRING: Final = Text()
_NON_EMPTY: Final = Text(least=1, secret=True)
_TOOL_NAME: Final = Text(least=1, most=64, pattern="[a-zA-Z0-9_-]+")
_TOOL_USE_ID: Final = Text(least=1, most=64, pattern="[a-zA-Z0-9_.:-]+")
_BYTES: Final = Blob(least=1)
_INDEX: Final = Number("Integer", least=0)
_TEXT_ONLY: Final = {"text": _STRING}

_CACHE_POINT: Final = Structure({"type": Text(enum=("default",)), "ttl": Text(enum=("5m", "1h"))}, ("type",))
_CITATIONS_CONFIG: Final = Structure({"enabled": Flag()}, ("enabled",))
_S3: Final = Structure(
    {
        "uri": Text(least=1, most=1024, pattern=r"s3://[a-z0-9][\.\-a-z0-9]{1,61}[a-z0-9](/.*)?"),
        "bucketOwner": Text(pattern="[0-9]{12}"),
    },
    ("uri",),
)


def _media(name: str, formats: tuple[str, ...]) -> Structure:
    source = Union(f"{name}Source", {"bytes": _BYTES, "s3Location": _S3})
    return Structure({"format": Text(enum=formats), "source": source}, ("format", "source"))


_IMAGE: Final = _media("Image", ("png", "jpeg", "gif", "webp"))
_VIDEO: Final = _media("Video", ("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp"))
_AUDIO: Final = _media(
    "Audio",
    (
        "mp3",
        "opus",
        "wav",
        "aac",
        "flac",
        "mp4",
        "ogg",
        "mkv",
        "mka",
        "x-aac",
        "m4a",
        "mpeg",
        "mpga",
        "pcm",
        "webm",
    ),
)
_DOCUMENT: Final = Structure(
    {
        "format": Text(enum=("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")),
        "name": Text(least=1, most=200),
        "source": Union(
            "DocumentSource",
            {
                "bytes": _BYTES,
                "s3Location": _S3,
                "text": _STRING,
                "content": Sequence(Union("DocumentContentBlock", _TEXT_ONLY)),
            },
        ),
        "context": _STRING,
        "citations": _CITATIONS_CONFIG,
    },
    ("name", "source"),
)
_SEARCH_RESULT: Final = Structure(
    {
        "source": _STRING,
        "title": _STRING,
        "content": Sequence(Structure(_TEXT_ONLY, ("text",))),
        "citations": _CITATIONS_CONFIG,
    },
    ("source", "title", "content"),
)
_GUARD_CONTENT: Final = Union(
    "GuardrailConverseContentBlock",
    {
        "text": Structure(
            {
                "text": _STRING,
                "qualifiers": Sequence(Text(enum=("grounding_source", "query", "guard_content"))),
            },
            ("text",),
        ),
        "image": Structure(
            {
                "format": Text(enum=("png", "jpeg")),
                "source": Union("GuardrailConverseImageSource", {"bytes": _BYTES}),
            },
            ("format", "source"),
        ),
    },
)
_TOOL_USE: Final = Structure(
    # `type` is an enum in the model, but replies carry values beyond it, which clients send back
    {"toolUseId": _TOOL_USE_ID, "name": _TOOL_NAME, "input": Document(), "type": _STRING},
    ("toolUseId", "name", "input"),
)
_TOOL_RESULT: Final = Structure(
    {
        "toolUseId": _TOOL_USE_ID,
        "content": Sequence(
            Union(
                "ToolResultContentBlock",
                {
                    "json": Document(),
                    "text": _STRING,
                    "image": _IMAGE,
                    "document": _DOCUMENT,
                    "video": _VIDEO,
                    "searchResult": _SEARCH_RESULT,
                },
            )
        ),
        "status": Text(enum=("success", "error")),
        "type": _STRING,
    },
    ("toolUseId", "content"),
)
_REASONING: Final = Union(
    "ReasoningContentBlock",
    {
        "reasoningText": Structure({"text": _STRING, "signature": _STRING}, ("text",)),
        "redactedContent": Blob(),
    },
)


def _location(index: str) -> Structure:
    return Structure({index: _INDEX, "start": _INDEX, "end": _INDEX})


_CITATION: Final = Structure(
    {
        "title": _STRING,
        "source": _STRING,
        "sourceContent": Sequence(Union("CitationSourceContent", _TEXT_ONLY)),
        "location": Union(
            "CitationLocation",
            {
                "web": Structure({"url": _STRING, "domain": _STRING}),
                "documentChar": _location("documentIndex"),
                "documentPage": _location("documentIndex"),
                "documentChunk": _location("documentIndex"),
                "searchResultLocation": _location("searchResultIndex"),
            },
        ),
    }
)
_CITATIONS_CONTENT: Final = Structure(
    {"content": Sequence(Union("CitationGeneratedContent", _TEXT_ONLY)), "citations": Sequence(_CITATION)}
)
_TOOL_REFERENCE: Final = Structure(
    {
        "tool": Structure(
            {
                "type": Text(least=1, most=64),
                "name": Text(least=1, most=128),
                "serverName": Text(least=1, most=128),
            }
        )
    },
    ("tool",),
)
_CONTENT_BLOCK: Final = Union(
    "ContentBlock",
    {
        "text": _STRING,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "video": _VIDEO,
        "audio": _AUDIO,
        "toolUse": _TOOL_USE,
        "toolResult": _TOOL_RESULT,
        "guardContent": _GUARD_CONTENT,
        "cachePoint": _CACHE_POINT,
        "reasoningContent": _REASONING,
        "citationsContent": _CITATIONS_CONTENT,
        "searchResult": _SEARCH_RESULT,
        "toolAddition": _TOOL_REFERENCE,
        "toolRemoval": _TOOL_REFERENCE,
    },
    # in the order and number in which real refusals name them
    told=(
        "text",
        "image",
        "toolUse",
        "toolResult",
        "document",
        "video",
        "cachePoint",
        "reasoningContent",
        "citationsContent",
        "searchResult",
    ),
)
_MESSAGE: Final = Structure(
    {"role": Text(enum=("user", "assistant", "system")), "content": Sequence(_CONTENT_BLOCK)},
    ("role", "content"),
)
_SYSTEM: Final = Sequence(
    Union(
        "SystemContentBlock", {"text": _NON_EMPTY, "guardContent": _GUARD_CONTENT, "cachePoint": _CACHE_POINT}
    )
)
_INFERENCE: Final = Structure(
    {
        "maxTokens": Number("Integer", least=1),
        "temperature": Number("Float", least=0, most=1),
        "topP": Number("Float", least=0, most=1),
        "stopSequences": Sequence(Text(least=1), most=2500),
    }
)
_TOOL_CONFIG: Final = Structure(
    {
        "tools": Sequence(
            Union(
                "Tool",
                {
                    "toolSpec": Structure(
                        {
                            "name": _TOOL_NAME,
                            "description": Text(least=1),
                            "inputSchema": Union("ToolInputSchema", {"json": Document()}),
                            "strict": Flag(),
                        },
                        ("name", "inputSchema"),
                    ),
                    "systemTool": Structure({"name": _TOOL_NAME}, ("name",)),
                    "cachePoint": _CACHE_POINT,
                },
            ),
            least=1,
        ),
        "toolChoice": Union(
            "ToolChoice",
            {"auto": Structure({}), "any": Structure({}), "tool": Structure({"name": _TOOL_NAME}, ("name",))},
        ),
    },
    ("tools",),
)
_GUARDRAIL_ID: Final = (
    r"(|([a-z0-9]+)|(arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+))"
)
_GUARDRAIL: Final = Structure(
    {
        "guardrailIdentifier": Text(most=2048, pattern=_GUARDRAIL_ID),
        "guardrailVersion": Text(pattern="(|([1-9][0-9]{0,7})|(DRAFT))"),
        "trace": Text(enum=("enabled", "disabled", "enabled_full")),
        "streamProcessingMode": Text(enum=("sync", "async")),
    }
)
_METADATA_TEXT: Final = r"[a-zA-Z0-9\s:_@$#=/+,-.]"
_OUTPUT: Final = Structure(
    {
        "textFormat": Structure(
            {
                "type": Text(enum=("json_schema",)),
                "structure": Union(
                    "OutputFormatStructure",
                    {
                        "jsonSchema": Structure(
                            {"schema": _STRING, "name": _STRING, "description": _STRING}, ("schema",)
                        )
                    },
                ),
            },
            ("type", "structure"),
        ),
        "effort": Text(most=16),
    }
)
REQUEST: Final = Structure(
    {
        "messages": Sequence(_MESSAGE),
        "system": _SYSTEM,
        "inferenceConfig": _INFERENCE,
        "toolConfig": _TOOL_CONFIG,
        "guardrailConfig": _GUARDRAIL,
        "additionalModelRequestFields": Document(),
        "promptVariables": Document(),
        "additionalModelResponseFieldPaths": Sequence(Text(least=1, most=256), most=10),
        "requestMetadata": Texts(
            Text(least=1, most=256, pattern=f"{_METADATA_TEXT}{{1,256}}"),
            Text(most=256, pattern=f"{_METADATA_TEXT}{{0,256}}"),
            least=1,
            most=16,
        ),
        "performanceConfig": Structure({"latency": Text(enum=("standard", "optimized"))}),
        "serviceTier": Structure({"type": Text(enum=("priority", "default", "flex", "reserved"))}, ("type",)),
        "outputConfig": _OUTPUT,
    }
)


COUNT_TOKENS: Final = Structure(
    {
        "input": Union(
            "CountTokensInput",
            {
                "invokeModel": Structure({"body": Blob()}, ("body",)),
                # checked as a request of its own, once it is translated
                "converse": Structure({}),
            },
        )
    },
    ("input",),
)


def check(request: Any, shape: Shape = REQUEST) -> None:
    """Raises SerializationException or ValidationException where `request` does not fit the service model."""
    found = Findings()
    shape.check(request, "", found)
    found.check()
