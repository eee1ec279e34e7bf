"""Citations: Messages' locations and Converse's, one table, both ways. Knows no block that carries them.

Pages count from 1 in both, and ends are exclusive in both (recorded: page 1 is start 1, end 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit


class _Location(NamedTuple):
    """Converse's member, and its fields with their names in Messages."""

    member: str
    fields: Mapping[str, str]


_BLOCKS: Final = {"end": "end_block_index", "start": "start_block_index"}
_LOCATIONS: Final = {
    "char_location": _Location(
        "documentChar",
        {"documentIndex": "document_index", "end": "end_char_index", "start": "start_char_index"},
    ),
    "page_location": _Location(
        "documentPage",
        {"documentIndex": "document_index", "end": "end_page_number", "start": "start_page_number"},
    ),
    "content_block_location": _Location("documentChunk", {"documentIndex": "document_index", **_BLOCKS}),
    "search_result_location": _Location(
        "searchResultLocation", {**_BLOCKS, "searchResultIndex": "search_result_index"}
    ),
    "web_search_result_location": _Location("web", {"url": "url"}),
}
_TYPES: Final = {location.member: kind for kind, location in _LOCATIONS.items()}


def to_converse(citation: Mapping[str, Any]) -> dict[str, Any]:
    """A Messages citation as Converse has it; keys sorted. A location of an unknown type is left out."""
    found: dict[str, Any] = {}
    location = _LOCATIONS.get(citation.get("type", ""))
    if location is not None:
        where = {
            name: citation[field]
            for name, field in location.fields.items()
            if citation.get(field) is not None
        }
        if location.member == "web":
            where = {"domain": _domain(where.get("url", "")), **where}
        found["location"] = {location.member: where}
    if citation.get("source") is not None:
        found["source"] = citation["source"]
    if citation.get("cited_text") is not None:
        found["sourceContent"] = [{"text": citation["cited_text"]}]
    title = citation.get("document_title", citation.get("title"))
    if title is not None:
        found["title"] = title
    return found


def _domain(url: str) -> str:
    """The host in a URL; "" where there is none to be found."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def to_messages(citation: Mapping[str, Any]) -> dict[str, Any]:
    """A Converse citation as Messages has it. Without a location it is a character range from 0 to 0."""
    location = citation.get("location") or {}
    member = next((name for name in _TYPES if location.get(name) is not None), "documentChar")
    where = location.get(member) or {}
    kind = _TYPES[member]
    found: dict[str, Any] = {
        "type": kind,
        "cited_text": "".join(part["text"] for part in citation.get("sourceContent") or ()),
    }
    for name, field in _LOCATIONS[kind].fields.items():
        found[field] = where.get(name, "" if name == "url" else 0)
    of_document = member.startswith("document")
    found["document_title" if of_document else "title"] = citation.get("title")
    if member == "searchResultLocation":
        found["source"] = citation.get("source") or ""
    return found
