"""JSON pointers pick what they point at, and nothing where they point at nothing."""

from __future__ import annotations

from typing import Any

import pytest

from outcrop.wire.json_pointer import parse, pick

DOCUMENT: dict[str, Any] = {"a": {"b": [10, {"c": 20}]}, "m~n": 1, "x/y": 2, "": 3, "none": None}


@pytest.mark.parametrize(
    ("pointer", "tokens"),
    [
        ("/a", ("a",)),
        ("/a/b/0", ("a", "b", "0")),
        ("/m~0n", ("m~n",)),
        ("/x~1y", ("x/y",)),
        ("/", ("",)),
        ("/~01", ("~1",)),
    ],
)
def test_a_pointer_is_its_tokens(pointer: str, tokens: tuple[str, ...]) -> None:
    assert parse(pointer) == tokens


@pytest.mark.parametrize("pointer", ["", "a", "a/b", "/~", "/~2", "#/a"])
def test_a_malformed_pointer_is_refused(pointer: str) -> None:
    with pytest.raises(ValueError, match="not a JSON pointer"):
        parse(pointer)


@pytest.mark.parametrize(
    ("pointers", "picked"),
    [
        (["/m~0n", "/x~1y", "/"], {"m~n": 1, "x/y": 2, "": 3}),
        (["/a/b/1/c"], {"a": {"b": {"1": {"c": 20}}}}),
        (["/none"], {"none": None}),
        (["/a/b/2", "/a/b/01", "/a/b/-", "/a/x", "/none/x", "/a/b/0/c"], {}),
        (["/a/b", "/a/b/0"], {"a": {"b": [10, {"c": 20}]}}),
        (["/a/b/0", "/a/b"], {"a": {"b": [10, {"c": 20}]}}),
    ],
)
def test_what_is_there_is_picked(pointers: list[str], picked: dict[str, Any]) -> None:
    assert pick(DOCUMENT, [parse(pointer) for pointer in pointers]) == picked
