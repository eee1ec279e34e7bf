"""What came as JSON behaves like an object, a dict to look into, and nothing that can be changed."""

import copy
import datetime as dt
import io
import json
import pickle
import subprocess
import sys
import uuid
from collections import deque
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_a_value_is_no_collection():
    with pytest.raises(TypeError, match="not iterable"):
        iter(shape())
    with pytest.raises(TypeError):
        dict(shape())
    with pytest.raises(TypeError):
        hash(shape())


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


METHODS = ["to_dict", "to_json", "model_dump", "model_dump_json", "replace", "get", "set_about"]
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
    for data in (file, io.BytesIO(b"\x89PNG"), b"\x89PNG"):
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
        ({"tools": [{"input_schema": {"a-b": print}}]}, r"tools\[0\].input_schema\['a-b'\]: "),
        ({"messages": [Point(x=object())]}, r"messages\[0\].x: "),
        ({"metadata": {("a", "b"): 1}}, "metadata: .*can't be a name"),
        ({"image": io.BytesIO(b"")}, "image: _io.BytesIO"),
        (object(), "the parameters: "),
    ],
)
def test_what_has_no_form_in_json_is_named_by_its_place(body, where):
    with pytest.raises(TypeError, match=where):
        encode(body)


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
