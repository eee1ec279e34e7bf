"""What came as JSON behaves like an object, a dict to look into, and nothing that can be changed."""

import copy
import datetime as dt
import io
import json
import math
import pickle
import re
import subprocess
import sys
import uuid
from collections import deque
from decimal import Decimal
from enum import IntEnum, StrEnum

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.client.errors import UsageError
from outcrop.client.requests import NOT_GIVEN, omit
from outcrop.client.value import Items, Value, each, encode, loose, one, one_of


class Point(Value):
    x: int
    y: int = 0
    label: str | None = None


class Shape(Value):
    kind: str
    points: Items[Point]
    centre: Point | None = None
    _members = {"points": each(one(Point)), "centre": one(Point)}  # noqa: RUF012


class Known:
    request_id = "req-1"

    def cost(self, usage):
        return usage


def shape():
    return Shape.of({"kind": "line", "points": [{"x": 1, "y": 2}, {"x": 3, "new": {"deep": [1]}}]})


# --- reading ---


def test_members_are_attributes_known_or_not_and_absent_ones_have_their_default():
    value = shape()
    assert value.points[0].y == 2
    assert value.points[1].y == 0
    assert value.points[1].new == {"deep": [1]}
    assert value.centre is None
    with pytest.raises(AttributeError, match="'Shape' object has no attribute 'radius'"):
        _ = value.radius
    with pytest.raises(AttributeError):
        _ = Point.of({}).x


def test_members_are_items_by_their_names_in_the_json():
    value = Point.of({"x": 1, "a-b": 2})
    assert value["a-b"] == 2
    assert "a-b" in value
    assert "label" not in value
    assert value.get("label", "none") == "none"
    assert value.get("x") == 1
    with pytest.raises(KeyError):
        _ = value["label"]


def test_a_value_gives_its_members_in_pairs_absent_ones_too():
    value = Point.of({"x": 1, "new": 2})
    assert dict(value) == {"x": 1, "y": 0, "label": None, "new": 2}
    assert dict(shape())["points"] is not None
    assert type(dict(shape())["points"][0]) is Point
    with pytest.raises(TypeError):
        hash(shape())


def test_which_members_came_and_which_are_not_described():
    value = Point.of({"x": 1, "new": 2})
    assert value.model_fields_set == {"x", "new"}
    assert value.model_extra == {"new": 2}


@pytest.mark.parametrize("odd", [5, "text", [1], [[{"x": 1}]], [None, 1], {"x": None}, True])
def test_members_of_another_shape_than_expected_are_kept(odd):
    value = Shape.of({"kind": odd, "points": copy.deepcopy(odd), "centre": copy.deepcopy(odd)})
    assert value.to_dict() == {"kind": odd, "points": odd, "centre": odd}


def test_the_type_member_tells_the_kind():
    wrap = one_of({"point": Point}, Shape)
    assert type(wrap({"type": "point"})) is Point
    assert type(wrap({"type": "else"})) is Shape
    assert type(wrap({"type": ["unhashable"]})) is Shape
    assert type(wrap({})) is Shape
    assert wrap("text") == "text"


def test_objects_of_no_known_kind_are_read_either_way_all_the_way_down():
    value = loose({"a": {"b": [{"c": 1}]}, "input": {"stays": {"a": "dict"}}})
    assert value.a.b[0].c == 1
    assert value["a"]["b"][0]["c"] == 1
    assert value.input == {"stays": {"a": "dict"}}


METHODS = ["to_dict", "to_json", "model_dump", "model_dump_json", "model_copy", "replace", "get", "set_about"]
PYTHONS = [
    "__deepcopy__",
    "__reduce_ex__",
    "__class__",
    "__dict__",
    "_about",
    "_known",
    "_members",
    "_late",
    "of",
    "model_validate",
    "model_fields_set",
    "model_extra",
    "__iter__",
    "self",
    "cls",
]


def test_members_named_like_methods_break_nothing():
    members = {name: name for name in METHODS + PYTHONS}
    value = Point.of({"x": 1, **members})
    assert value.to_dict() == {"x": 1, **members}
    assert value["to_dict"] == "to_dict"
    assert json.loads(value.to_json()) == {"x": 1, **members}
    assert copy.deepcopy(value) == value == pickle.loads(pickle.dumps(value))
    assert value.replace(x=2).model_dump()["replace"] == "replace"
    assert value._about is None
    assert type(value) is Point


def test_methods_are_found_on_the_class_too_with_their_docstrings():
    assert Point.to_dict(Point(x=1)) == {"x": 1}
    assert "caller's to change" in Point.to_dict.__doc__


def test_values_print_as_they_could_be_written():
    value = Shape.of({"kind": "dot", "points": [{"x": 1}], "a-b": None})
    assert repr(value) == "Shape(kind='dot', points=[Point(x=1)], **{'a-b': None})"
    assert eval(repr(value)) == value


def test_class_patterns_match():
    match Point(x=1, y=7):
        case Point(x=1, y=y, label=None):
            assert y == 7
        case _:
            pytest.fail("no match")


def test_equal_means_the_same_class_and_members():
    assert shape() == shape()
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != loose({"x": 1})
    assert Point(x=1) != {"x": 1}


def test_completion_knows_members_nobody_has_heard_of():
    assert {"surprise", "to_dict"} <= set(dir(Point(surprise=1)))


def test_members_named_like_pydantics_older_methods_can_be_read():
    """Converse has a member `json`."""
    value = loose({"json": {"a": 1}, "dict": 2, "copy": 3})
    assert (value.json.a, value.dict, value.copy) == (1, 2, 3)
    assert value.model_dump() == {"json": {"a": 1}, "dict": 2, "copy": 3}
    assert copy.copy(value) == value == value.model_copy()


# --- made by hand, and of what was kept ---


class Dot(Value):
    type: str = "dot"
    x: int
    centre: Point | None = None
    hidden: int | None = None
    _members = {"centre": one(Point)}  # noqa: RUF012
    _beta = frozenset(("hidden",))


def test_what_an_object_always_says_of_itself_is_added_by_hand_but_not_to_what_came():
    assert Dot(x=1).to_dict() == {"type": "dot", "x": 1}
    assert Dot(x=1, type="other").type == "other"
    assert json.loads(encode([Dot(x=1)])) == [{"type": "dot", "x": 1}]
    came = Dot.of({"x": 1})
    assert came.type == "dot"
    assert came.to_dict() == {"x": 1}
    assert Dot(x=1).to_dict(exclude_defaults=True) == {"type": "dot", "x": 1}


def test_members_of_beta_features_read_as_none_and_are_in_no_dict_unless_they_came():
    assert Dot(x=1).hidden is None
    assert "hidden" not in Dot(x=1).model_dump()
    assert "hidden" not in dict(Dot(x=1))
    assert Dot(x=1, hidden=2).model_dump()["hidden"] == 2


def test_what_is_given_stays_the_givers():
    raw = {"kind": "line", "points": [{"x": 1, "deep": [1]}], "centre": {"x": 2}}
    before = copy.deepcopy(raw)
    made = [
        Shape(**raw),
        Shape.model_validate(raw),
        Shape.model_construct(**raw),
        Shape.construct(None, **raw),
        Shape(kind="line", points=[]).replace(**raw),
        Shape(kind="line", points=[]).model_copy(update=raw),
        Shape(kind="line", points=[]).copy(update=raw, deep=True),
    ]
    assert raw == before
    for value in made:
        assert value == made[0]
        assert type(value.points[0]) is Point
    for value in made:
        value.points[0].deep.append(2)
    assert raw == before
    assert all(value.points[0].deep == [1, 2] for value in made)


def test_what_was_kept_is_read_back():
    value = shape()
    assert Shape.model_validate(value.model_dump(exclude_unset=True)) == value
    assert Shape.model_validate(value.to_dict(mode="json")) == value
    for text in (value.to_json(), value.to_json().encode(), bytearray(value.to_json().encode())):
        assert Shape.model_validate_json(text) == value
    assert Shape.model_validate(value) is value
    assert Shape.model_validate(loose(value.to_dict())).kind == "line"
    assert Shape.model_validate({"kind": "k", "points": [], "new": 1}, strict=True).new == 1


@pytest.mark.parametrize(
    ("kind", "given", "what"),
    [
        (Shape, {"kind": "line"}, "This is no Shape: it has no points."),
        (Shape, {}, "This is no Shape: it has no kind, points."),
        (Shape, [], "A Shape is made of a dict, not of list."),
        (Shape, None, "A Shape is made of a dict, not of NoneType."),
        (Dot, {"type": "line", "x": 1}, "This is no Dot: its type is 'line', not 'dot'."),
    ],
)
def test_what_is_of_another_kind_is_refused(kind, given, what):
    for make in (kind.model_validate, lambda given: kind.model_validate_json(json.dumps(given))):
        with pytest.raises(ValueError, match=re.escape(what)) as caught:
            make(given)
        assert isinstance(caught.value, UsageError)
        assert caught.value.fix


@pytest.mark.parametrize("text", ["", "{", "nul", b"\xff", "[1,]"])
def test_text_that_is_no_json_is_refused(text):
    with pytest.raises(UsageError, match="This is not JSON"):
        Shape.model_validate_json(text)


def test_copies_by_pydantics_names():
    value = shape()
    value.set_about(Known())
    assert value.model_copy() == value.copy() == value
    assert value.model_copy().points is value.points
    assert value.model_copy(deep=True).points is not value.points
    assert value.model_copy(deep=True).points == value.points
    changed = value.model_copy(update={"centre": {"x": 7}}, deep=True)
    assert changed.centre == Point(x=7)
    assert changed._request_id == "req-1"
    assert value.dict() == value.model_dump()
    assert value.json(exclude_unset=True) == value.model_dump_json(exclude_unset=True)


# --- never changing ---


def test_nothing_can_be_set_or_deleted_and_the_error_tells_what_to_do():
    value = shape()
    with pytest.raises(AttributeError, match=r"Shape.kind can't be set.*replace\(kind=…\).*to_dict"):
        value.kind = "other"
    with pytest.raises(AttributeError, match="can't be deleted"):
        del value.kind
    with pytest.raises(AttributeError):
        value.new = 1
    with pytest.raises(AttributeError):
        value.to_dict = None
    assert value == shape()


def test_a_changed_copy_wraps_what_it_is_given_and_leaves_the_original():
    value = shape()
    value.set_about(Known())
    other = value.replace(centre={"x": 9}, kind="dot")
    assert type(other.centre) is Point
    assert other.points == value.points
    assert value.centre is None
    assert other._request_id == "req-1"
    assert Shape.__replace__(value, kind="dot").kind == "dot"


def test_copies_and_pickles_are_equal_and_keep_what_is_known():
    value = shape()
    value.set_about(Known())
    for other in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert other == value
        assert type(other.points) is Items
        assert other._request_id == "req-1"
    deep = copy.deepcopy(value)
    deep.points[1].new["deep"].append(2)
    assert value.points[1].new == {"deep": [1]}


def test_what_is_known_beside_the_json_does_not_show():
    value = shape()
    value.set_about(Known())
    assert value == shape()
    assert repr(value) == repr(shape())
    assert value.to_dict() == shape().to_dict()
    assert value.points[0]._request_id is None


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items.append(1),
        lambda items: items.extend([1]),
        lambda items: items.insert(0, 1),
        lambda items: items.pop(),
        lambda items: items.remove(1),
        lambda items: items.clear(),
        lambda items: items.sort(),
        lambda items: items.sort(key=str),
        lambda items: items.reverse(),
        lambda items: items.__setitem__(0, 1),
        lambda items: items.__delitem__(0),
        lambda items: items.__iadd__([1]),
        lambda items: items.__imul__(2),
    ],
)
def test_lists_refuse_every_change(change):
    items = Items([1, 2])
    with pytest.raises(TypeError, match=r"can't be changed.*list\(items\)"):
        change(items)
    assert items == [1, 2]


def test_lists_read_like_lists_and_what_is_made_of_them_is_ones_own():
    items = Items([1, 2, 3])
    assert isinstance(items, list)
    assert items[-1] == 3
    for other in (items + [4], items[:2], list(items), items.copy(), items * 2, [0] + items):  # noqa: RUF005
        assert type(other) is list
        other.append(5)
    assert items == [1, 2, 3]
    assert msgspec.json.encode(items) == b"[1,2,3]"
    assert type(pickle.loads(pickle.dumps(items))) is Items
    assert type(copy.deepcopy(items)) is Items


# --- dicts and JSON ---


def test_dicts_are_ones_own():
    value = shape()
    plain = value.to_dict()
    plain["points"][1]["new"]["deep"].append(2)
    assert value.points[1].new == {"deep": [1]}
    assert type(plain["points"]) is list
    assert type(plain["points"][0]) is dict


def test_dicts_with_defaults_without_them_and_without_nulls():
    value = Shape(kind="dot", points=[{"x": 1, "y": 0, "label": None}], extra=None)
    assert value.to_dict(exclude_unset=False) == {
        "kind": "dot",
        "points": [{"x": 1, "y": 0, "label": None}],
        "centre": None,
        "extra": None,
    }
    assert value.to_dict(exclude_defaults=True) == {"kind": "dot", "points": [{"x": 1}], "extra": None}
    assert value.to_dict(exclude_none=True) == {"kind": "dot", "points": [{"x": 1, "y": 0}]}
    assert value.model_dump() == value.to_dict(exclude_unset=False)
    assert value.model_dump(exclude_unset=True) == value.to_dict()


def test_json_mode_leaves_only_what_json_has():
    value = Point(x=b"\xff", y=dt.date(2026, 1, 2))
    assert value.to_dict()["x"] == b"\xff"
    assert value.to_dict(mode="json") == {"x": "/w==", "y": "2026-01-02"}
    assert json.loads(value.to_json()) == {"x": "/w==", "y": "2026-01-02"}


def test_json_is_indented_by_two_or_on_one_line():
    value = Point(x=1, label="é")
    assert value.to_json() == '{\n  "x": 1,\n  "label": "é"\n}'
    assert value.to_json(indent=None) == '{"x":1,"label":"é"}'
    assert value.model_dump_json(ensure_ascii=True) == '{"y":0,"label":"\\u00e9","x":1}'
    assert (
        value.model_dump_json(ensure_ascii=True, indent=1) == '{\n "y": 0,\n "label": "\\u00e9",\n "x": 1\n}'
    )


def test_members_are_selected_as_pydantic_does():
    value = shape()
    assert value.model_dump(include={"kind"}) == {"kind": "line"}
    assert value.model_dump(include=set()) == {}
    assert value.model_dump(include={"points": {0: {"x"}}}) == {"points": [{"x": 1}]}
    assert value.model_dump(include={"points": {"__all__": {"x": True}}}) == {"points": [{"x": 1}, {"x": 3}]}
    assert value.model_dump(exclude={"points", "centre"}) == {"kind": "line"}
    assert value.model_dump(exclude={"points": {0: ..., 1: {"new", "label"}}, "centre": True}) == {
        "kind": "line",
        "points": [{"y": 0, "x": 3}],
    }
    assert value.model_dump(include={"kind", "points"}, exclude={"points"}) == {"kind": "line"}
    assert json.loads(value.model_dump_json(include={"kind"})) == {"kind": "line"}


def test_an_argument_nobody_knows_is_an_error():
    with pytest.raises(TypeError, match="exclude_nul"):
        shape().model_dump(exclude_nul=True)


# --- requests ---


def test_requests_hold_values_lists_out_of_replies_and_iterables():
    body = {
        "messages": (message for message in [{"role": "assistant", "content": shape().points}]),
        "tools": deque([{"name": "a"}]),
        "stop_sequences": ("a", "b"),
        "system": map(str, [1]),
    }
    assert json.loads(encode(body)) == {
        "messages": [{"role": "assistant", "content": shape().to_dict()["points"]}],
        "tools": [{"name": "a"}],
        "stop_sequences": ["a", "b"],
        "system": ["1"],
    }


class Foreign:
    """As pydantic's models are, to those who only look for `model_dump`."""

    def __init__(self, **members):
        self.members = members

    def __iter__(self):
        return iter(self.members.items())

    def model_dump(self, *, mode, by_alias, exclude_unset):
        assert (mode, by_alias, exclude_unset) == ("json", True, True)
        return self.members


@pytest.mark.parametrize("slowly", [False, True])
def test_requests_hold_what_has_a_natural_form(slowly):
    body = {
        "bytes": b"\xff\xfe",
        "when": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        "day": dt.date(2026, 1, 2),
        "id": uuid.UUID(int=1),
        "number": Decimal("0.5"),
        "large": 10**30,
        "foreign": [Foreign(type="text", text="Hi")],
        "none": None,
        "nested": [[{"deep": (1, 2.5, True)}]],
        "point": Point(x=1),
    }
    if slowly:
        body["more"] = iter([1])
    found = json.loads(encode(body))
    found.pop("more", None)
    assert found == {
        "bytes": "//4=",
        "when": "2026-01-02T03:04:05Z",
        "day": "2026-01-02",
        "id": "00000000-0000-0000-0000-000000000001",
        "number": 0.5,
        "large": 10**30,
        "foreign": [{"type": "text", "text": "Hi"}],
        "none": None,
        "nested": [[{"deep": [1, 2.5, True]}]],
        "point": {"x": 1},
    }


def test_the_data_of_a_source_may_be_a_file(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(b"\x89PNG")
    source = {"type": "base64", "media_type": "image/png"}
    for data in (file, io.BytesIO(b"\x89PNG"), b"\x89PNG", bytearray(b"\x89PNG"), memoryview(b"\x89PNG")):
        body = {"messages": [{"content": [{"type": "image", "source": {**source, "data": data}}]}]}
        assert json.loads(encode(body))["messages"][0]["content"][0]["source"]["data"] == "iVBORw=="


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"messages": [{"content": [{}, {"source": object()}]}]}, r"messages\[0\].content\[1\].source: "),
        (
            {"messages": iter([{"content": iter([{}, {"source": object()}])}])},
            r"messages\[0\].content\[1\].s",
        ),
        (
            {"tools": [{"input_schema": {"a-b": print}}]},
            r"tools\[0\].input_schema\['a-b'\]: the function print",
        ),
        ({"output_format": Shape}, r"output_format: the class .*\.Shape has no form in JSON"),
        ({"tools": [dict]}, r"tools\[0\]: the class builtins.dict"),
        ({"messages": [{"content": shape}]}, r"messages\[0\].content: the function shape"),
        ({"messages": [omit]}, r"messages\[0\]: outcrop.client.requests.Omit"),
        ({"messages": [{"content": b"Hello"}]}, r"messages\[0\].content is bytes: decode it"),
        ({"messages": [{"content": memoryview(b"Hello")}]}, r"messages\[0\].content is memoryview"),
        ({"system": bytearray(b"Hello")}, "system is bytearray"),
        ({"messages": [{"content": [{"type": "text", "text": b""}]}]}, r"content\[0\].text is bytes"),
        ({"stop_sequences": ["a", b"b"]}, r"stop_sequences\[1\] is bytes"),
        ({"a": {"type": "text", "media_type": "text/plain", "data": b""}}, "a.data is bytes"),
        ({"a": {"type": "base64", "bytes": b""}}, "a.bytes is bytes"),
        ({"temperature": 0.5, "input": {"x": [217, 1, b"a"]}}, r"input.x\[2\] is bytes"),
        ({"a": "\u0178" * 80, "tools": Items([Point(x=b"a")])}, r"tools\[0\].x is bytes"),
        ({"messages": [Point(x=object())]}, r"messages\[0\].x: "),
        ({"metadata": {("a", "b"): 1}}, "metadata: .*can't be a name"),
        ({"image": io.BytesIO(b"")}, "image: _io.BytesIO"),
        (object(), "the parameters: "),
    ],
)
def test_what_has_no_form_in_json_is_named_by_its_place(body, where):
    with pytest.raises(TypeError, match=where):
        encode(body)


@pytest.mark.parametrize("size", [0, 1, 200, 300, 70_000])
@pytest.mark.parametrize("before", ["", "a", "é", "ł" * 70, "ځ", "a" * 196, "a" * 0x1C4, "a" * 0xC400])
def test_bytes_are_found_wherever_they_are(size, before):
    for body in (
        {"text": b"a" * size},
        {before: b"a" * size},
        {"content": [before, b"a" * size]},
        [before, {"content": [{"x": before, "y": b"a" * size}]}],
    ):
        with pytest.raises(TypeError, match="is bytes: decode it"):
            encode(body)


@pytest.mark.parametrize(
    "number", [math.nan, -math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("-Infinity")]
)
def test_numbers_that_json_has_no_form_for_are_named_by_their_place(number):
    with pytest.raises(ValueError, match=r"^temperature is -?(nan|inf|NaN|Infinity), a number that JSON"):
        encode({"max_tokens": 1, "temperature": number})
    with pytest.raises(ValueError, match=r"^messages\[0\].input.x\[1\] is"):
        encode({"messages": [{"input": {"x": (1.0, number)}}], "a": 10**30})


def test_numbers_and_texts_of_classes_of_their_own_are_numbers_and_texts():
    class Text(str):
        __slots__ = ()

        def __str__(self):
            return "another"

    class Share(float):
        pass

    class Size(IntEnum):
        LARGE = 3

    class Role(StrEnum):
        USER = "user"

    body = {"a": Text("text"), "b": Share(0.5), "c": Size.LARGE, "d": Role.USER, "e": "NaN"}
    assert json.loads(encode(body)) == {"a": "text", "b": 0.5, "c": 3, "d": "user", "e": "NaN"}


def test_what_is_omitted_is_left_out_at_any_depth():
    body = {"metadata": {"user_id": omit}, "tools": [{"name": "a", "strict": NOT_GIVEN, "x": {"y": omit}}]}
    assert json.loads(encode(body)) == {"metadata": {}, "tools": [{"name": "a", "x": {}}]}


def test_what_contains_itself_is_named_by_its_place():
    content: list = [{"type": "text", "text": "a"}]
    content.append({"type": "tool_result", "content": content})
    with pytest.raises(
        TypeError, match=r"messages\[0\].content\[1\].content is one of the objects that it is in"
    ):
        encode({"messages": [{"role": "user", "content": content}]})
    twice = [1]
    assert encode({"a": [twice, twice]}) == b'{"a":[[1],[1]]}'


def test_what_is_nested_too_deeply_says_so():
    deep: list = []
    for _ in range(20_000):
        deep = [deep]
    with pytest.raises(TypeError, match="nested too deeply"):
        encode({"messages": deep})


def test_bytes_are_sent_as_base64_where_binary_data_belongs():
    body = {
        "messages": [
            {"content": [{"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}}]},
            {"content": [{"reasoningContent": {"redactedContent": b"\xff"}}]},
            {"content": [{"source": {"type": "base64", "media_type": "a/b", "data": b"\xff\xfe"}}]},
            {"content": "ł" * 300},
        ]
    }
    sent = json.loads(encode(body))["messages"]
    assert sent[0]["content"][0]["image"]["source"]["bytes"] == "iVBORw=="
    assert sent[1]["content"][0]["reasoningContent"]["redactedContent"] == "/w=="
    assert sent[2]["content"][0]["source"]["data"] == "//4="


def test_half_a_character_is_named_by_its_place():
    with pytest.raises(ValueError, match=r"messages\[0\].content: '\\ud83d' at 3 is half a character"):
        encode({"messages": [{"role": "user", "content": "abc\ud83d"}]})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["kind", "points", "centre", "type", *METHODS, *PYTHONS]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=5))
def test_whatever_json_comes_nothing_is_lost(raw):
    text = json.dumps(raw)
    for kind in (Shape, type(loose({}))):
        value = kind.of(json.loads(text))
        assert value.to_dict() == raw
        assert json.loads(value.to_json()) == raw
        assert json.loads(encode([value])) == [raw]
        assert copy.deepcopy(value) == value == pickle.loads(pickle.dumps(value))
        assert value.replace() == value
        assert repr(value)
        for name in raw:
            assert name in value


def test_what_the_module_imports_is_light():
    heavy = {
        "asyncio",
        "ssl",
        "http.client",
        "logging",
        "email",
        "json",
        "dataclasses",
        "tempfile",
        "subprocess",
    }
    program = "import sys, msgspec; before = set(sys.modules); import outcrop.client.snapshot as _; "
    program += "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert heavy.isdisjoint(done.stdout.split())
