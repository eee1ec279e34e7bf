"""Content blocks of a Messages conversation, each by itself: what it holds and whether its data is sound.

Knows blocks, base64 and the first bytes of a file; not the order of messages and not a request's parameters.

Paths and wording are the Claude API's own, which Bedrock hands on: `messages.0.content.1.tool_use.input:
Input should be an object`. A = recorded or documented, C = quoted by users or measured on the live API
(2026-08), D = wording after its siblings.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from outcrop.errors import ValidationException

# 3.75 MB of image are 5 MiB of base64: AWS states the one, the refusal the other (A, C).
MOST_IMAGE_BASE64: Final = 5 * 1024 * 1024
TOOL_NAME: Final = "^[a-zA-Z0-9_-]{1,128}$"
TOOL_ID: Final = "^[a-zA-Z0-9_-]+$"

_TOOL_NAME_IS: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}").fullmatch
_TOOL_ID_IS: Final = re.compile(r"[a-zA-Z0-9_-]+").fullmatch
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_MISSING: Final = object()


class ModelFacts(Protocol):
    """What validation asks of a model; the catalogue's `Model` has it all.

    `features` are names as in the catalogue's tables (`vision`, `pdf`, `thinking`, `sampling_params`, …).
    """

    @property
    def anthropic_name(self) -> str:
        """Anthropic's name, as replies and refusals give it."""

    @property
    def context_window(self) -> int:
        """Tokens of prompt and answer together, without any beta."""

    @property
    def max_output_tokens(self) -> int:
        """The most a request may ask for, without any beta."""

    @property
    def features(self) -> frozenset[str]:
        """Names of what the model can do."""

    @property
    def betas(self) -> frozenset[str]:
        """The beta flags that the model takes."""


class MisfitError(Exception):
    """One thing wrong. `path` says where and grows on the way out, from the block to the request."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(path, text)
        self.path = path
        self.text = text

    def within(self, outer: str) -> MisfitError:
        """The same, seen from one level further out."""
        return MisfitError(f"{outer}.{self.path}" if self.path else outer, self.text)

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


_SHOULD_BE: Final = {  # C, measured
    str: "Input should be a valid string",
    int: "Input should be a valid integer",
    list: "Input should be a valid array",
    dict: "Input should be an object",
}


def need(holder: Mapping[str, Any], name: str, kind: type) -> Any:
    """`holder[name]`, which must be there and of that type. Raises MisfitError."""
    value = holder.get(name, _MISSING)
    if type(value) is kind:
        return value
    raise MisfitError(name, "Field required" if value is _MISSING else _SHOULD_BE[kind])


def must_be(value: Any, kind: type) -> None:
    """Raises MisfitError when `value` is not of that type."""
    if type(value) is not kind:
        raise MisfitError("", _SHOULD_BE[kind])


def wrong_tag(tag: Any, expected: Iterable[str]) -> MisfitError:
    """No `type`, or one that is not among those expected here. A, recorded for tools."""
    if tag is _MISSING:
        return MisfitError("type", "Field required")
    if type(tag) is not str:
        return MisfitError("type", _SHOULD_BE[str])
    tags = ", ".join(f"'{known}'" for known in expected)
    return MisfitError(
        "", f"Input tag '{tag}' found using 'type' does not match any of the expected tags: {tags}"
    )


def tag_of(holder: Mapping[str, Any], expected: Iterable[str]) -> str:
    """`holder["type"]`, which must be one of those expected. Raises MisfitError."""
    tag = holder.get("type", _MISSING)
    if type(tag) is str and tag in expected:
        return tag
    raise wrong_tag(tag, expected)


def check_tool_name(name: str) -> None:
    """Raises MisfitError when no tool may be called so. C many."""
    if _TOOL_NAME_IS(name) is None:
        raise MisfitError("name", f"String should match pattern '{TOOL_NAME}'")


# --- marks for the prompt cache ----------------------------------------------------------------------------

_TTLS: Final = ("5m", "1h")


def check_cache_mark(holder: Mapping[str, Any], model: ModelFacts) -> None:
    """The form of `holder["cache_control"]`; null is as good as absent (C, measured). Raises MisfitError."""
    mark = holder["cache_control"]
    if mark is None:
        return
    if "prompt_caching" not in model.features:
        raise MisfitError("cache_control", "Extra inputs are not permitted")  # C, Bedrock before it cached
    try:
        must_be(mark, dict)
        tag_of(mark, ("ephemeral",))
        if mark.get("ttl", "5m") not in _TTLS:
            raise MisfitError("ephemeral.ttl", "Input should be '5m' or '1h'")  # C
    except MisfitError as misfit:
        raise misfit.within("cache_control") from None


# --- blocks ------------------------------------------------------------------------------------------------


class _Kind(NamedTuple):
    """A kind of block: the fields it needs, and what else must hold."""

    needs: tuple[tuple[str, type], ...] = ()
    also: Callable[[dict[str, Any], ModelFacts], None] | None = None


def check_block(block: Any, model: ModelFacts, kinds: Mapping[str, _Kind] | None = None) -> None:
    """One content block, of one of `kinds` (default: what a message may hold).

    Raises MisfitError, its path beginning at the block, or ValidationException where the API names no path.
    """
    kinds = BLOCKS if kinds is None else kinds
    kind = block.get("type") if type(block) is dict else None
    known = kinds.get(kind) if type(kind) is str else None
    if known is None:
        must_be(block, dict)
        raise wrong_tag(block.get("type", _MISSING), kinds)
    try:
        for name, type_ in known.needs:
            if type(block.get(name)) is not type_:
                need(block, name, type_)
        if "cache_control" in block:
            check_cache_mark(block, model)
        if known.also is not None:
            known.also(block, model)
    except MisfitError as misfit:
        raise misfit.within(str(kind)) from None


def is_plain_text(block: Any) -> bool:
    """Whether a block is a text block with nothing to object to: most are, and this is the short way."""
    if type(block) is not dict or block.get("type") != "text":
        return False
    if "cache_control" in block or "citations" in block:
        return False
    text = block.get("text")
    return type(text) is str and bool(text) and not text.isspace()


def refuse_empty_text(text: str, owner: str = "messages") -> None:
    """A text block's text is not empty. Raises ValidationException. C many."""
    if not text:
        raise ValidationException(f"{owner}: text content blocks must be non-empty")


def refuse_blanks_only(blocks: list[dict[str, Any]], owner: str = "messages") -> None:
    """Not all of the blocks are texts of blanks only. Raises ValidationException. C many.

    Beside something else a block of blanks is fine (A, recorded).
    """
    for block in blocks:
        if block["type"] != "text" or not block["text"].isspace():
            return
    if blocks:
        raise ValidationException(f"{owner}: text content blocks must contain non-whitespace text")


def _text(block: dict[str, Any], _: ModelFacts) -> None:
    text = block["text"]
    if not text and block.get("cache_control"):
        raise MisfitError("", "cache_control cannot be set for empty text blocks")  # C many
    refuse_empty_text(text)
    if block.get("citations") is not None:
        for index, citation in enumerate(need(block, "citations", list)):
            if type(citation) is not dict:
                raise MisfitError(f"citations.{index}", _SHOULD_BE[dict])  # D


def _tool_use(block: dict[str, Any], _: ModelFacts) -> None:
    if _TOOL_ID_IS(block["id"]) is None:
        raise MisfitError("id", f"String should match pattern '{TOOL_ID}'")  # C many
    check_tool_name(block["name"])


def _tool_result(block: dict[str, Any], model: ModelFacts) -> None:
    content = block.get("content")
    if content is None or type(content) is str:  # a tool may have nothing to say
        return
    _check_parts(block, model, _RESULT_BLOCKS)


def _check_parts(holder: dict[str, Any], model: ModelFacts, kinds: Mapping[str, _Kind]) -> None:
    """The blocks inside another one, `holder["content"]`."""
    for index, part in enumerate(need(holder, "content", list)):
        try:
            check_block(part, model, kinds)
        except MisfitError as misfit:
            raise misfit.within(f"content.{index}") from None


def _search_result(block: dict[str, Any], model: ModelFacts) -> None:
    _check_parts(block, model, {"text": _TEXT})


# --- images and documents ----------------------------------------------------------------------------------

_MEDIA_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")


def _image(block: dict[str, Any], model: ModelFacts) -> None:
    if "vision" not in model.features:
        raise ValidationException(f"'{model.anthropic_name}' does not support image input.")  # C
    try:
        _image_source(block["source"])
    except MisfitError as misfit:
        raise misfit.within("source") from None


def _image_source(source: dict[str, Any]) -> None:
    # The API has `url` too, Bedrock knows it and says no (C); of `file` it has never heard.
    if tag_of(source, ("base64", "url")) == "url":
        raise _no_urls()
    try:
        if need(source, "media_type", str) not in _MEDIA_TYPES:
            raise MisfitError(
                "media_type", "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
            )  # C
        data = need(source, "data", str)
        _check_image_data(data, source["media_type"])
    except MisfitError as misfit:
        raise misfit.within("base64") from None


def _check_image_data(data: str, media_type: str) -> None:
    if not data:
        raise MisfitError("", "image cannot be empty")  # C
    if len(data) > MOST_IMAGE_BASE64:
        raise MisfitError(
            "", f"image exceeds 5 MB maximum: {len(data)} bytes > {MOST_IMAGE_BASE64} bytes"
        )  # C many
    check_base64(data)
    seen = _image_type(a2b_base64(data[:16]))
    if not seen:
        raise MisfitError("data", "Could not process image")  # C
    if seen != media_type:
        raise MisfitError("data", f"Image does not match the provided media type {media_type}")  # C


def _image_type(head: bytes) -> str:
    """The media type that twelve first bytes betray; "" when none."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else ""


def check_base64(data: str) -> None:
    """Raises MisfitError unless `data` is padded standard base64. C.

    Deleting the alphabet and looking at what is left takes a quarter of the time that decoding takes.
    """
    rest = data.encode().translate(None, _BASE64)
    if len(data) % 4 or rest not in (b"", b"=", b"==") or (rest and not data.endswith(rest.decode())):
        raise MisfitError("", "invalid base64 data")


def _no_urls() -> MisfitError:
    return MisfitError("base64.data", "URL sources are not supported")


def _document(block: dict[str, Any], model: ModelFacts) -> None:
    source = block["source"]
    for name in ("title", "context"):
        if block.get(name) is not None:
            need(block, name, str)
    try:
        kind = tag_of(source, ("base64", "content", "text", "url"))  # C: `file` needs a beta Bedrock has not
        if kind == "url":
            raise _no_urls()
        try:
            _SOURCES[kind](source, model)
        except MisfitError as misfit:
            raise misfit.within(kind) from None
    except MisfitError as misfit:
        raise misfit.within("source") from None
    if kind == "base64" and "pdf" not in model.features:
        raise ValidationException(f"'{model.anthropic_name}' does not support PDF input.")  # D


def _pdf_source(source: dict[str, Any], _: ModelFacts) -> None:
    if need(source, "media_type", str) != "application/pdf":
        raise MisfitError("media_type", "Input should be 'application/pdf'")  # D
    data = need(source, "data", str)
    if not data:
        raise MisfitError("", "PDF cannot be empty")  # C
    check_base64(data)
    if not a2b_base64(data[:8]).startswith(b"%PDF-"):
        raise MisfitError("data", "The PDF specified was not valid.")  # C many


def _text_source(source: dict[str, Any], _: ModelFacts) -> None:
    if need(source, "media_type", str) != "text/plain":
        raise MisfitError("media_type", "Input should be 'text/plain'")  # D
    need(source, "data", str)


def _content_source(source: dict[str, Any], model: ModelFacts) -> None:
    if type(source.get("content")) is not str:
        _check_parts(source, model, {"text": _TEXT, "image": _IMAGE})


_SOURCES: Final = {"base64": _pdf_source, "text": _text_source, "content": _content_source}

_DOCUMENT: Final = _Kind((("source", dict),), _document)
_IMAGE: Final = _Kind((("source", dict),), _image)
_SEARCH_RESULT: Final = _Kind((("source", str), ("title", str), ("content", list)), _search_result)
_TEXT: Final = _Kind((("text", str),), _text)

# What a tool's result may hold; a tool_reference is what a tool search has found.
_RESULT_BLOCKS: Final[dict[str, _Kind]] = {
    "document": _DOCUMENT,
    "image": _IMAGE,
    "search_result": _SEARCH_RESULT,
    "text": _TEXT,
    "tool_reference": _Kind(),
}

# What a message may hold. Compaction, server_tool_use and tool_search_tool_result come from Bedrock's betas
# and are sent back as they were received.
BLOCKS: Final[dict[str, _Kind]] = {
    "compaction": _Kind(),
    "document": _DOCUMENT,
    "image": _IMAGE,
    "redacted_thinking": _Kind((("data", str),)),
    "search_result": _SEARCH_RESULT,
    "server_tool_use": _Kind((("id", str), ("name", str), ("input", dict))),
    "text": _TEXT,
    "thinking": _Kind((("thinking", str), ("signature", str))),
    "tool_result": _Kind((("tool_use_id", str),), _tool_result),
    "tool_search_tool_result": _Kind(),
    "tool_use": _Kind((("id", str), ("name", str), ("input", dict)), _tool_use),
}
