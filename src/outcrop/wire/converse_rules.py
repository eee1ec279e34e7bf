"""What Converse refuses in a request that fits the service model: turns, media, cache points, tools.

Knows Converse's rules and texts; not the framework's constraints (`converse_shapes`) and not what the model's
own API refuses (that is the second check, on the translated request). Paths count from 0, as Converse writes
them.

Texts: refusals of the real service, recorded or quoted word for word in public issue trackers; where none was
found a comment says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from outcrop.errors import AccessDeniedException, ValidationException
from outcrop.wire import json_pointer
from outcrop.wire.converse_shapes import must_set_one
from outcrop.wire.messages_blocks import MOST_IMAGE_BASE64, ModelFacts

MODEL_ERRORS: Final = "The model returned the following errors: "

_IMAGES: Final = 20
_DOCUMENTS: Final = 5
_DOCUMENT_TEXT: Final = 4_718_592 * 4 // 3  # 4.5 MiB, in base64
# the refusal does not name the underscore, yet it passes; of white space only the single ASCII space does
# (measured by several people)
NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-()[] ")
# Bedrock itself takes the text out of office formats; Outcrop does not, and uses the service's refusal
_PDF_HEAD: Final = "JVBERi0"  # base64 of the five characters every PDF begins with
_OFFICE: Final = frozenset({"doc", "docx", "xls", "xlsx"})


class Block(NamedTuple):
    """A content block: where it stands, who says it, which union member is set, and that member.

    `inner` is its place in the tool result that stands there, -1 for a block of the message itself.
    """

    message: int
    place: int
    role: str
    kind: str
    value: Any
    inner: int = -1

    @property
    def path(self) -> str:
        """Where it stands, as refusals write it."""
        path = f"messages.{self.message}.content.{self.place}"
        return path if self.inner < 0 else f"{path}.toolResult.content.{self.inner}"


def only(union: Mapping[str, Any], known: tuple[str, ...] = ()) -> tuple[str, Any]:
    """The member that is set in a union: its name and value. `known` leaves out foreign members.

    Raises LookupError when none is, which `converse_shapes.check` lets no request pass with.
    """
    if len(union) == 1:
        return next(iter(union.items()))
    for name, value in union.items():
        if value is not None and (not known or name in known):
            return name, value
    raise LookupError("no member of a union is set")


CONTENT: Final = (
    "text",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "guardContent",
    "cachePoint",
    "reasoningContent",
    "citationsContent",
    "searchResult",
    "toolAddition",
    "toolRemoval",
)
RESULT_CONTENT: Final = ("json", "text", "image", "document", "video", "searchResult")
SOURCE: Final = ("bytes", "s3Location", "text", "content")


def check(request: Mapping[str, Any], model: ModelFacts) -> None:
    """Raises ValidationException (AccessDeniedException for a cache point on a model that has no cache)."""
    messages = request.get("messages") or []
    _check_turns(messages)
    blocks = list(_blocks(messages))
    for block in blocks:
        check_kind = _CHECKS.get(block.kind)
        if check_kind is not None:
            check_kind(block, model)
    kinds = {block.kind for block in blocks}
    if "image" in kinds:
        _check_images(blocks)
    if "document" in kinds:
        _check_documents(messages, blocks)
    _check_cache_points(request, model)
    config = request.get("toolConfig") or {}
    _check_tools(config)
    if not kinds.isdisjoint(("toolUse", "toolResult")):
        if not config:
            raise ValidationException(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks."
            )
        _check_calls(messages)
    _check_fields(request, model)


def _check_turns(messages: list[dict[str, Any]]) -> None:
    if not messages or messages[0]["role"] != "user":
        raise ValidationException(
            "A conversation must start with a user message. "
            "Try again with a conversation that starts with a user message."
        )
    for number, message in enumerate(messages):
        if not message["content"]:
            raise ValidationException(
                f"The content field in the Message object at messages.{number} is empty. "
                "Add a ContentBlock object to the content field and try again."
            )


def _blocks(messages: list[dict[str, Any]]) -> Iterator[Block]:
    """Every content block of the messages; those inside tool results follow their tool result."""
    for number, message in enumerate(messages):
        for index, union in enumerate(message["content"]):
            kind, value = only(union, CONTENT)
            yield Block(number, index, message["role"], kind, value)
            if kind == "toolResult":
                for inner, nested in enumerate(value["content"]):
                    kind_inside, inside = only(nested, RESULT_CONTENT)
                    yield Block(number, index, message["role"], kind_inside, inside, inner)


def _check_text(block: Block, _model: ModelFacts) -> None:
    # inside a tool result the model's own API decides
    if not block.value and block.inner < 0:
        raise ValidationException(
            f"The text field in the ContentBlock object at {block.path} is blank. "
            "Add text to the text field, and try again."
        )


def _check_guard_content(block: Block, model: ModelFacts) -> None:
    kind, value = only(block.value, ("text", "image"))
    if kind == "image":
        _check_image(block._replace(value=value), model)
    elif not value["text"].strip():
        # the quotation of this refusal ends here; its second sentence was not found
        raise ValidationException(
            f"The guard content field in the ContentBlock object at {block.path} is blank"
        )


def _check_image(block: Block, model: ModelFacts) -> None:
    _check_media(block, model, "vision")
    text = block.value["source"].get("bytes") or ""
    if len(text) > MOST_IMAGE_BASE64:
        raise ValidationException(
            f"{MODEL_ERRORS}{block.path}.image.source.bytes: "
            f"image exceeds 5 MB maximum: {len(text)} bytes > {MOST_IMAGE_BASE64} bytes"
        )


def _check_document(block: Block, model: ModelFacts) -> None:
    _check_media(block, model, "pdf" if is_pdf(block.value) else "")
    name = block.value["name"]
    if "  " in name or not NAME_CHARACTERS.issuperset(name):
        raise ValidationException(
            "The document file name can only contain alphanumeric characters, whitespace characters, "
            "hyphens, parentheses, and square brackets. The name can't contain more than one consecutive "
            "whitespace character. "
            "Check that the file name conforms to these restrictions and retry your request."
        )
    source, value = only(block.value["source"], SOURCE)
    if source in ("text", "content") and not is_cited(block.value):
        # the service model allows these sources always; the service, only where citations are on (measured)
        path = f"{block.path}.document.source"
        raise ValidationException(must_set_one("DocumentSource", path, ("bytes", "s3Location")))
    if source == "bytes":
        if block.value.get("format") in _OFFICE and not is_pdf(block.value):
            raise unsupported_block("document")
        if len(value) > _DOCUMENT_TEXT:
            raise ValidationException(
                "The maximum document size is 4.5 MB. "
                "Reduce the size of your document and retry your request."
            )


def _check_media(block: Block, model: ModelFacts, feature: str) -> None:
    """An image or a document: does the model take it, from this role, from this kind of source?"""
    if feature and feature not in model.features:
        raise unsupported_block(block.kind)
    if block.role != "user":
        # documented rule; its text is modelled on the refusals of other fields, none was found for this one
        raise ValidationException(
            f"This model doesn't support the {block.kind} field for {block.role} messages. "
            f"Remove {block.kind} and try again."
        )
    if block.value["source"].get("s3Location") is not None:
        raise _unsupported_field("s3Uri")


def _check_unsupported(block: Block, _model: ModelFacts) -> None:
    raise unsupported_block(block.kind)


def _check_tool_use(block: Block, _model: ModelFacts) -> None:
    _check_object(block.value["input"], f"{block.path}.toolUse.input")


def _check_json(block: Block, _model: ModelFacts) -> None:
    _check_object(block.value, f"{block.path}.json")


def _check_tool_result(block: Block, _model: ModelFacts) -> None:
    if not block.value["content"] and block.value.get("status") == "error":
        raise ValidationException(
            f"The content field at {block.path}.toolResult cannot be empty when status value is error."
        )


class _BlockCheck(Protocol):
    def __call__(self, block: Block, model: ModelFacts, /) -> None: ...


_CHECKS: Final[Mapping[str, _BlockCheck]] = {
    "text": _check_text,
    "guardContent": _check_guard_content,
    "image": _check_image,
    "document": _check_document,
    # recorded for video on Claude
    "video": _check_unsupported,
    "audio": _check_unsupported,
    # in the service model since late 2026, for models whose Messages form of them is not known to us
    "toolAddition": _check_unsupported,
    "toolRemoval": _check_unsupported,
    "toolUse": _check_tool_use,
    "toolResult": _check_tool_result,
    "json": _check_json,
}


def _check_images(blocks: list[Block]) -> None:
    """At most 20 per message's content, as documented; those inside its tool results count."""
    kinds = Counter((block.message, block.kind) for block in blocks)
    for message in dict.fromkeys(block.message for block in blocks if block.kind == "image"):
        images, documents = kinds[message, "image"], kinds[message, "document"]
        if images > _IMAGES:
            raise ValidationException(
                f"{MODEL_ERRORS}messages: too many images and documents: {images} + {documents} > {_IMAGES}"
            )


def _check_documents(messages: list[dict[str, Any]], blocks: list[Block]) -> None:
    names = [block.value["name"] for block in blocks if block.kind == "document"]
    if len(names) > _DOCUMENTS:
        raise ValidationException(
            f"You can't include more than {_DOCUMENTS} documents in a request. "
            "Reduce the number of documents and retry your request."
        )
    if len(set(names)) < len(names):
        raise ValidationException(
            "Messages can't contain duplicate document names. Rename the document and retry your request."
        )
    for message in messages:
        kinds = [only(union, CONTENT)[0] for union in message["content"]]
        if "document" in kinds and "text" not in kinds:
            raise ValidationException(
                "A text block must be included when using documents. Add a text block and retry your request."
            )


def _check_cache_points(request: Mapping[str, Any], model: ModelFacts) -> None:
    """A cache point marks the block before it, so there must be one that can carry the mark."""
    _check_marks(request.get("system") or (), "system", model)
    _check_marks((request.get("toolConfig") or {}).get("tools") or (), "tools", model)
    for number, message in enumerate(request["messages"]):
        _check_marks(message["content"], f"messages.{number}.content", model)


def _check_marks(unions: Sequence[Mapping[str, Any]], path: str, model: ModelFacts) -> None:
    for index, union in enumerate(unions):
        if union.get("cachePoint") is None:
            continue
        if "prompt_caching" not in model.features:
            raise AccessDeniedException(
                "You invoked an unsupported model or your request did not allow prompt caching. "
                "See the documentation for more information."
            )
        if index == 0 or _takes_no_cache_point(unions[index - 1]):
            # Converse hands the stray mark to the model, whose API refuses it
            raise ValidationException(f"{MODEL_ERRORS}{path}.{index}.type: Field required")


def _takes_no_cache_point(union: Mapping[str, Any]) -> bool:
    """A plain text document: Converse gives it to the model as text, with no block to mark."""
    document = union.get("document")
    return document is not None and not is_pdf(document) and not is_cited(document)


def _check_tools(config: Mapping[str, Any]) -> None:
    for index, union in enumerate(config.get("tools") or ()):
        kind, tool = only(union, ("toolSpec", "systemTool", "cachePoint"))
        if kind == "systemTool":
            raise _unsupported_field("systemTool")
        if kind == "toolSpec":
            _check_schema(
                only(tool["inputSchema"], ("json",))[1], f"toolConfig.tools.{index}.toolSpec.inputSchema.json"
            )


def _check_calls(messages: list[dict[str, Any]]) -> None:
    """Every call is answered in the very next message, and nothing else is."""
    before: list[str] = []
    for number, message in enumerate(messages):
        results = _ids(message, "toolResult", number)
        _check_pairing(before, results, number)
        before = _ids(message, "toolUse", number)
    _check_pairing(before, [], len(messages))


def _check_schema(schema: Any, path: str) -> None:
    _check_object(schema, path)
    if schema.get("type") != "object":
        raise ValidationException(f"The value at {path}.type must be one of the following: object.")


def _ids(message: Mapping[str, Any], kind: str, number: int) -> list[str]:
    """The tool use ids in a message, without those of server tools, whose results stand in the same turn."""
    values = [union[kind] for union in message["content"] if union.get(kind) is not None]
    ids = [value["toolUseId"] for value in values if value.get("type") in (None, "tool_use")]
    twice = [one for one, times in Counter(ids).items() if times > 1]
    if twice:
        raise ValidationException(
            f"The {kind} blocks at messages.{number}.content contain duplicate Ids: {', '.join(twice)}"
        )
    return ids


def _check_pairing(uses: list[str], results: list[str], number: int) -> None:
    if len(results) > len(uses):
        raise ValidationException(
            f"The number of toolResult blocks at messages.{number}.content "
            "exceeds the number of toolUse blocks of previous turn."
        )
    answered = set(results)
    missing = [one for one in uses if one not in answered]
    if missing:
        raise ValidationException(
            f"Expected toolResult blocks at messages.{number}.content "
            f"for the following Ids: {', '.join(missing)}"
        )


def _check_fields(request: Mapping[str, Any], model: ModelFacts) -> None:
    limit = model.max_output_tokens
    if ((request.get("inferenceConfig") or {}).get("maxTokens") or 0) > limit:
        raise ValidationException(
            f"The maximum tokens you requested exceeds the model limit of {limit}. "
            f"Try again with a maximum tokens value that is lower than {limit}."
        )
    if request.get("additionalModelRequestFields") is not None:
        _check_object(request["additionalModelRequestFields"], "additionalModelRequestFields")
    if request.get("promptVariables"):
        # they fill a prompt that an ARN names; there is none. Text after the pattern of its siblings
        raise _unsupported_field("promptVariables")
    for index, pointer in enumerate(request.get("additionalModelResponseFieldPaths") or ()):
        try:
            json_pointer.parse(pointer)
        except ValueError as error:
            # documented as a 400; its text was not found
            raise ValidationException(
                f"The value at additionalModelResponseFieldPaths.{index} is not a valid JSON pointer. "
                "Provide a valid JSON pointer and try again."
            ) from error


def _check_object(value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise not_an_object(path)


def not_an_object(path: str) -> ValidationException:
    """The refusal of a free JSON value at `path` that must be an object."""
    return ValidationException(
        f"The format of the value at {path} is invalid. Provide a json object for the field and try again."
    )


def is_cited(document: Mapping[str, Any]) -> bool:
    """Whether a document block asks for citations."""
    return bool((document.get("citations") or {}).get("enabled"))


def is_pdf(document: Mapping[str, Any]) -> bool:
    """Whether a document block is a PDF: by its format, or by its first bytes, which Converse trusts more."""
    data = document["source"].get("bytes")
    return data is not None and (document.get("format") == "pdf" or data.startswith(_PDF_HEAD))


def unsupported_block(kind: str) -> ValidationException:
    """The refusal of a kind of content block."""
    return ValidationException(
        f"This model doesn't support the {kind} content block that you provided. "
        "Update the content block and try again."
    )


def _unsupported_field(name: str) -> ValidationException:
    return ValidationException(f"This model doesn't support the {name} field. Remove {name} and try again.")
