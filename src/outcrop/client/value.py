# ruff: noqa: ARG002, ARG003 - arguments that only exist because those of `anthropic` and pydantic do
"""What came as JSON, as immutable objects, and requests as JSON. Knows no message, block or event.

An object's `__dict__` is the decoded JSON object itself. So members nobody here has heard of are attributes
too, reading one costs what reading any attribute does, and going back to JSON is handing that dict out.
"""

from __future__ import annotations

from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Literal,
    NoReturn,
    TypeAlias,
    TypeVar,
    cast,
    dataclass_transform,
)

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Never, Protocol, Self

    from outcrop.catalog.prices import Cost

    Selection: TypeAlias = Mapping[str, Any] | Mapping[int, Any] | set[str] | set[int] | None

    class About(Protocol):
        """What is known of an answer beside its JSON."""

        @property
        def request_id(self) -> str | None:
            """The id of the request it is the answer to."""

        def cost(self, usage: Any) -> Cost | None:
            """The price of a usage; None when it is not known."""


Members: TypeAlias = dict[str, Any]  # inside Value, `dict` is a method
F = TypeVar("F", bound="Callable[..., Any]")
T = TypeVar("T")

_new: Final = object.__new__
_set: Final = object.__setattr__


class _Always:
    """A method that no member of the JSON hides: a descriptor with `__set__` comes before the own dict."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.__wrapped__ = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self.__wrapped__ if instance is None else MethodType(self.__wrapped__, instance)

    def __set__(self, instance: object, value: object) -> NoReturn:
        raise AttributeError(f"{type(instance).__name__}.{self.__wrapped__.__name__} is a method")


def _always(function: F) -> F:
    return cast(F, _Always(function))


class Items(list[T]):
    """A list out of a reply: equal to a list, read like one, and not to be changed.

    `items + [...]`, slices and `list(items)` are lists of their own.
    """

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "A list out of a reply can't be changed. Make a list of it, list(items), or a longer one, "
            "items + [...]."
        )

    if TYPE_CHECKING:
        # Arguments that nothing can be given for: type checkers refuse the call itself. They do not look at
        # what comes after one that is said to never return.
        def append(self, item: Never, /) -> None: ...  # type: ignore[override]  # noqa: D102
        def extend(self, items: Never, /) -> None: ...  # type: ignore[override]  # noqa: D102
        def insert(self, index: Never, item: Never, /) -> None: ...  # type: ignore[override]  # noqa: D102
        def pop(self, index: Never, /) -> None: ...  # type: ignore[override]  # noqa: D102
        def remove(self, item: Never, /) -> None: ...  # type: ignore[override]  # noqa: D102
        def clear(self, _: Never, /) -> None: ...  # type: ignore[override]  # noqa: D102
        def reverse(self, _: Never, /) -> None: ...  # type: ignore[override]  # noqa: D102
        def sort(self, _: Never, /) -> None: ...  # type: ignore[override]  # noqa: D102
        def __setitem__(self, index: Never, item: Never, /) -> None: ...  # type: ignore[override]
        def __delitem__(self, index: Never, /) -> None: ...  # type: ignore[override]
        def __iadd__(self, items: Never, /) -> None: ...  # type: ignore[override, misc]
        def __imul__(self, times: Never, /) -> None: ...  # type: ignore[override, misc]
    else:
        append = extend = insert = pop = remove = clear = reverse = sort = _refuse
        __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        # a list's own way would append the items to an empty one
        return type(self), (list(self),)


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Value:
    """A JSON object out of a reply. Immutable.

    Members are attributes and, by their names in the JSON, items: `value.text`, `value["text"]`,
    `"text" in value`, `value.get("text")`. Optional members that are absent read as their default. Members of
    a kind not described here are kept, as decoded. One named like a method is an item only.

    Equal to a value of the same class with the same members; printed, copied, pickled and matched as one
    expects. `Cls.of(raw)` makes one of decoded JSON and takes the dict over; `Cls(**members)` makes one by
    hand, of copies, and adds what such an object always says of itself, as `type`. `Cls.model_validate(dict)`
    and `Cls.model_validate_json(text)` read back what was kept.

    What pydantic's models do under their names, `model_dump` and the like, is here for code that was written
    for `anthropic`.
    """

    __slots__ = ("__dict__", "_known")

    _members: ClassVar[Members] = {}
    """Functions: what becomes of a member that is neither absent nor null."""
    _late: ClassVar[tuple[str, ...]] = ()
    """Members that are computed when first read."""
    _beta: ClassVar[frozenset[str]] = frozenset()
    """Members that only beta features send: where absent they read as None, but no dict shows them."""

    def __new__(cls, /, **members: Any) -> Self:  # noqa: D102 - the class's docstring says it
        return cls.of({**_constants(cls), **_copied(members)})

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The value of decoded JSON. `raw` is its own from now on."""
        for name, wrap in cls._members.items():
            member = raw.get(name)
            if member is not None:
                raw[name] = wrap(member)
        made = _new(cls)
        _set(made, "__dict__", raw)
        return made

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """A value of a dict, which stays the caller's. A value of this class is given back as it is.

        What is checked: that it is an object, that it is of this kind (its `type`), and that it has the
        members such an object always has. What is inside them is taken as it is, as in a reply. Raises
        UsageError, which is a ValueError. `options` are pydantic's and change nothing.
        """
        if isinstance(obj, cls):
            return obj
        return cls.of(_checked(cls, _copied(whole(obj) if isinstance(obj, Value) else obj)))

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """A value of JSON text: `model_validate` of what it says."""
        return cls.of(_checked(cls, _decoded(json_data)))

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **members: Any) -> Self:
        """The same as `Cls(**members)`: nothing is checked."""
        return cls(**members)

    construct = model_construct

    # --- what is known beside the JSON ---

    @property
    def _about(self) -> About | None:
        return getattr(self, "_known", None)

    @property
    def _request_id(self) -> str | None:
        """The id of the request this is the answer to; None where it is a part of an answer."""
        about = self._about
        return None if about is None else about.request_id

    @_always
    def set_about(self, about: About | None) -> None:
        """For the client: what it knows of this answer beside its JSON."""
        _set(self, "_known", about)

    # --- reading ---

    @_always
    def get(self, member: str, default: Any = None) -> Any:
        """The member by its name in the JSON, or `default`."""
        return whole(self).get(member, default)

    def __getitem__(self, member: str) -> Any:
        return whole(self)[member]

    def __contains__(self, member: object) -> bool:
        return member in whole(self)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Names and members, absent ones with their defaults, as pydantic has it: `dict(value)`."""
        return iter({**_defaults(type(self)), **whole(self)}.items())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return whole(self) == whole(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = []
        odd = {}
        for name, member in whole(self).items():
            if name.isidentifier():
                shown.append(f"{name}={member!r}")
            else:
                odd[name] = member
        if odd:
            shown.append(f"**{odd!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *whole(self)})

    @property
    def model_fields_set(self) -> set[str]:
        """The names of the members that came, or were given."""
        return set(whole(self))

    @property
    def model_extra(self) -> Members:
        """The members that are not described."""
        described = _described(type(self))
        return {name: member for name, member in whole(self).items() if name not in described}

    # --- never changing ---

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} can't be set: {_INSTEAD.format(name=name)}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} can't be deleted: {_INSTEAD.format(name=name)}")

    @_always
    def replace(self, /, **changes: Any) -> Self:
        """A copy in which some members are others. What is known beside the JSON is kept."""
        return _like(self, type(self).of({**whole(self), **_copied(changes)}))

    __replace__ = replace  # copy.replace, Python 3.13

    def __copy__(self) -> Self:
        return _like(self, _rebuild(type(self), dict(whole(self)), None))

    @_always
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        from copy import deepcopy

        return _like(self, _rebuild(type(self), deepcopy(whole(self), memo), None))

    @_always
    def __reduce_ex__(self, protocol: int) -> tuple[Any, ...]:  # type: ignore[override]
        return _rebuild, (type(self), whole(self), self._about)

    @_always
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, `deep` or not, in which the members in `update` are others."""
        copied = self.__deepcopy__({}) if deep else self.__copy__()
        return copied.replace(**update) if update else copied

    # --- leaving: dicts and JSON ---

    @_always
    def to_dict(
        self,
        *,
        mode: Literal["json", "python"] = "python",
        use_api_names: bool = True,
        exclude_unset: bool = True,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        warnings: bool = True,
    ) -> Members:
        """A dict of dicts, lists and plain values that is the caller's to change.

        `mode="json"` leaves only what JSON has (bytes become base64). Absent members are added with their
        defaults by `exclude_unset=False`; members that are equal to their default, or null, are left out by
        `exclude_defaults` and `exclude_none`. `use_api_names` and `warnings` are taken for the sake of code
        written for `anthropic`: the names are always the API's, and there is nothing to warn of.
        """
        return _dump(self, _Wanted(exclude_unset, exclude_defaults, exclude_none), mode)

    @_always
    def to_json(
        self,
        *,
        indent: int | None = 2,
        use_api_names: bool = True,
        exclude_unset: bool = True,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        warnings: bool = True,
    ) -> str:
        """The same as JSON; `indent=None` gives one line."""
        return _json(_dump(self, _Wanted(exclude_unset, exclude_defaults, exclude_none), "python"), indent)

    @_always
    def model_dump(  # noqa: PLR0913 - the arguments of pydantic
        self,
        *,
        mode: Literal["json", "python"] | str = "python",
        include: Selection = None,
        exclude: Selection = None,
        context: Any = None,
        by_alias: bool | None = None,
        exclude_unset: bool = False,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        exclude_computed_fields: bool = False,
        round_trip: bool = False,
        warnings: bool | Literal["none", "warn", "error"] = True,
        fallback: Callable[[Any], Any] | None = None,
        serialize_as_any: bool = False,
        polymorphic_serialization: bool | None = None,
    ) -> Members:
        """`to_dict` by the name and with the defaults of pydantic: absent members are added.

        `include` and `exclude` select members: a set of names, or a dict that selects inside them, where
        numbers and `"__all__"` stand for a list's items. The other arguments change nothing here.
        """
        plain = _dump(self, _Wanted(exclude_unset, exclude_defaults, exclude_none), mode)
        return cast("dict[str, Any]", _selected(plain, include, exclude))

    @_always
    def model_dump_json(  # noqa: PLR0913 - the arguments of pydantic
        self,
        *,
        indent: int | None = None,
        ensure_ascii: bool = False,
        include: Selection = None,
        exclude: Selection = None,
        context: Any = None,
        by_alias: bool | None = None,
        exclude_unset: bool = False,
        exclude_defaults: bool = False,
        exclude_none: bool = False,
        exclude_computed_fields: bool = False,
        round_trip: bool = False,
        warnings: bool | Literal["none", "warn", "error"] = True,
        fallback: Callable[[Any], Any] | None = None,
        serialize_as_any: bool = False,
        polymorphic_serialization: bool | None = None,
    ) -> str:
        """`to_json` by the name and with the defaults of pydantic. Arguments as of `model_dump`."""
        plain = _dump(self, _Wanted(exclude_unset, exclude_defaults, exclude_none), "python")
        text = _json(_selected(plain, include, exclude), indent)
        if not ensure_ascii or text.isascii():
            return text
        import json

        return json.dumps(json.loads(text), indent=indent, separators=None if indent else (",", ":"))

    # pydantic's older names. Members of the JSON by these names hide them, so that they can be read.

    def copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """`model_copy` by its older name."""
        return self.model_copy(update=update, deep=deep)

    def json(self, **choices: Any) -> str:
        """`model_dump_json` by its older name."""
        return self.model_dump_json(**choices)

    def dict(self, **choices: Any) -> Members:
        """`model_dump` by its older name."""
        return self.model_dump(**choices)


_INSTEAD: Final = (
    "what came in a reply stays as it came. value.replace({name}=…) makes a changed copy, "
    "value.to_dict() a dict."
)


def whole(value: Value) -> dict[str, Any]:
    """All members of a value, those computed late included: its own dict, not a copy."""
    kind = type(value)
    if kind._late:
        for name in kind._late:
            getattr(value, name)
    return value.__dict__


def _copied(item: Any) -> Any:
    """A copy of dicts and lists all the way down; everything else stays what it is."""
    if type(item) is dict:
        return {name: _copied(inner) for name, inner in item.items()}
    return [_copied(inner) for inner in item] if type(item) is list else item


def _decoded(text: str | bytes | bytearray) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _unfit(f"This is not JSON: {error}.") from None


def _checked(kind: type[Value], members: Any) -> dict[str, Any]:
    """Members that can be those of an object of that kind. Raises UsageError."""
    if not isinstance(members, dict):
        raise _unfit(f"A {kind.__name__} is made of a dict, not of {type(members).__name__}.")
    for name, text in _constants(kind).items():
        if members.get(name, text) != text:
            raise _unfit(f"This is no {kind.__name__}: its {name} is {members[name]!r}, not {text!r}.")
    needed = {*_described(kind)} - {*_defaults(kind)} - kind._beta - {*kind._late}
    if missing := sorted(needed - members.keys()):
        raise _unfit(f"This is no {kind.__name__}: it has no {', '.join(missing)}.")
    return members


def _unfit(what: str) -> ValueError:
    from outcrop.client.errors import UsageError

    return UsageError(what, "Give what model_dump() or to_json() of such a value gave.")


def _rebuild(kind: type[V], members: dict[str, Any], about: Any) -> V:
    made = _new(kind)
    _set(made, "__dict__", members)
    if about is not None:
        _set(made, "_known", about)
    return made


def _like(value: V, copy: V) -> V:
    """`copy`, with what is known of `value` beside its JSON."""
    about = value._about
    if about is not None:
        _set(copy, "_known", about)
    return copy


V = TypeVar("V", bound=Value)


# --- tables of members: what becomes of them ---


def one(kind: type[V]) -> Callable[[Any], Any]:
    """For a member that is an object of that kind. What is no object is left as it is."""
    of = kind.of

    def wrap(member: Any) -> Any:
        return of(member) if type(member) is dict else member

    return wrap


def one_of(kinds: Mapping[Any, type[Value]], other: type[Value]) -> Callable[[Any], Any]:
    """For a member that is an object of the kind its `type` says, or of the kind for all others."""

    def wrap(member: Any) -> Any:
        if type(member) is not dict:
            return member
        try:
            kind = kinds[member["type"]]
        except (KeyError, TypeError):  # TypeError: a `type` that is a list
            kind = other
        return kind.of(member)

    return wrap


def each(wrap: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For a member that is a list."""

    def wrap_all(member: Any) -> Any:
        return Items(map(wrap, member)) if type(member) is list else member

    return wrap_all


def loose(member: Any) -> Any:
    """Objects of no known kind, all the way down: attributes and items both read them."""
    if type(member) is dict:
        return Loose.of(member)
    if type(member) is list:
        return Items(map(loose, member))
    return member


class Loose(Value):
    """An object of a kind not described here, and so are the objects in it."""

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The value of decoded JSON. A tool's `input` stays a dict, as everywhere."""
        for name, member in raw.items():
            if name != "input" and (type(member) is dict or type(member) is list):
                raw[name] = loose(member)
        return _rebuild(cls, raw, None)

    if TYPE_CHECKING:
        json: Any  # a member of Converse's tool results

        def __getattr__(self, name: str) -> Any: ...


# --- dicts ---


class _Wanted:
    """Which members a dict is to have."""

    def __init__(self, exclude_unset: bool, exclude_defaults: bool, exclude_none: bool) -> None:
        self.exclude_unset = exclude_unset
        self.exclude_defaults = exclude_defaults
        self.exclude_none = exclude_none

    def members(self, value: Value) -> Iterator[tuple[str, Any]]:
        """The members of one value."""
        members = whole(value)
        defaults = _defaults(type(value))
        if not self.exclude_unset:
            members = {**defaults, **members}
        for name, member in members.items():
            if self.exclude_none and member is None:
                continue
            # what is always said, as `type`, is no default that goes without saying
            if self.exclude_defaults and not isinstance(member, str) and defaults.get(name, _new) == member:
                continue
            yield name, member


_defaults_of: Final[dict[type, dict[str, Any]]] = {}


def _defaults(kind: type[Value]) -> dict[str, Any]:
    """The declared defaults: what a class has that is neither private nor does anything."""
    found = _defaults_of.get(kind)
    if found is None:
        found = {
            name: member
            for base in reversed(kind.__mro__)
            for name, member in vars(base).items()
            if not name.startswith("_") and not hasattr(type(member), "__get__") and name not in kind._beta
        }
        _defaults_of[kind] = found
    return found


def _constants(kind: type[Value]) -> dict[str, str]:
    """What an object of that kind always says of itself: defaults that are text."""
    return {name: member for name, member in _defaults(kind).items() if isinstance(member, str)}


def _described(kind: type[Value]) -> set[str]:
    """The names of the members that a class describes."""
    return {
        name
        for base in kind.__mro__
        for name in getattr(base, "__annotations__", ())
        if not name.startswith("_")
    }


def _dump(value: Value, wanted: _Wanted, mode: str) -> dict[str, Any]:
    plain = _plain(value, wanted)
    return cast("dict[str, Any]", msgspec.to_builtins(plain, str_keys=True) if mode == "json" else plain)


def _plain(member: Any, wanted: _Wanted) -> Any:
    if isinstance(member, Value):
        return {name: _plain(inner, wanted) for name, inner in wanted.members(member)}
    if isinstance(member, (list, tuple)):
        return [_plain(inner, wanted) for inner in member]
    if isinstance(member, dict):
        return {name: _plain(inner, wanted) for name, inner in member.items()}
    return member


def _json(plain: Any, indent: int | None) -> str:
    text = _ENCODER.encode(plain)
    return (text if indent is None else msgspec.json.format(text, indent=indent)).decode()


def _selected(plain: Any, include: Any, exclude: Any) -> Any:
    """The part of a dict or list that pydantic's `include` and `exclude` leave."""
    if not include and not exclude:
        return plain if include is None else type(plain)()
    if isinstance(plain, dict):
        return dict(_picked(plain.items(), include, exclude))
    if isinstance(plain, list):
        return [inner for _, inner in _picked(enumerate(plain), include, exclude)]
    return plain


def _picked(pairs: Iterable[tuple[Any, Any]], include: Any, exclude: Any) -> Iterator[tuple[Any, Any]]:
    for key, member in pairs:
        inside = True if include is None else _rule(include, key)
        outside = False if exclude is None else _rule(exclude, key)
        if inside is False or outside is True:
            continue
        yield key, _selected(member, None if inside is True else inside, outside or None)


def _rule(rules: Any, key: Any) -> Any:
    """What is said of a key: True, False, or rules for what is in it."""
    if not hasattr(rules, "items"):
        return key in rules or "__all__" in rules
    found = rules.get(key, rules.get("__all__", False))
    return True if found is ... else found


# --- requests as JSON ---


def encode(parameters: Any) -> bytes:
    """Request parameters as JSON.

    Beside what JSON has, parameters may hold values out of replies, anything with pydantic's `model_dump`,
    tuples and other iterables, dates, times, UUIDs, and whatever else msgspec has a natural form for. Bytes
    are sent as base64 where binary data belongs: `data` of an object of type base64 (there a path or an open
    file will do too), `bytes`, `redactedContent`. Members that are `omit` are left out.

    Raises TypeError for anything else, ValueError for text that is not Unicode and numbers that JSON has no
    form for; both tell where it is: `messages[0].content[1].source`.
    """
    try:
        if _is_sound(parameters):
            return _ENCODER.encode(parameters)
    except (TypeError, UnicodeEncodeError, RecursionError):
        pass
    try:
        return _ENCODER.encode(_encodable(parameters, ""))
    except RecursionError:
        raise TypeError("the parameters are nested too deeply for JSON") from None


def _hook(item: Any) -> Any:
    if isinstance(item, Value):
        return whole(item)
    if hasattr(type(item), "model_dump"):
        return item.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # nothing has been consumed yet: `encode` now looks closely
    raise TypeError(type(item).__name__)


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_hook, decimal_format="number")


def _is_sound(parameters: Any) -> bool:
    """Whether msgspec may write all of it: of bytes it would make base64, of NaN null, and ask nobody."""
    parts: list[Any] = [(parameters,)]
    for part in parts:  # grows as it is walked
        for item in part.values() if type(part) is dict else part:
            kind = type(item)
            if kind in _PLAIN:
                continue
            if kind in _HOLDERS:
                parts.append(item)
            elif isinstance(item, Value):
                parts.append(whole(item))
            elif kind is not float or item - item != 0:
                return False
        if len(parts) > _MOST_PARTS:
            return False  # it may hold itself
    return True


_MOST_PARTS: Final = 200_000
_HOLDERS: Final = frozenset((dict, list, tuple, Items))
_PLAIN: Final = frozenset((str, int, bool, type(None)))
_BINARY: Final = frozenset(("bytes", "redactedContent"))


def _encodable(item: Any, path: str, inside: tuple[int, ...] = (), binary: bool = False) -> Any:
    """`item` with everything in it in a form that `_ENCODER` takes. Slow: for requests that need it.

    `inside` are the ids of what `item` is in, `binary` tells that bytes may stand here.
    """
    if type(item) in _PLAIN and type(item) is not str:
        return item
    if isinstance(item, Value) or hasattr(type(item), "model_dump"):
        item = _hook(item)
    if isinstance(item, str | int | float | type) or callable(item):
        return _leaf(item, path)
    if isinstance(item, bytes | bytearray | memoryview):
        if binary:
            return _leaf(item, path)
        raise TypeError(
            f"{path or 'the parameters'} is {type(item).__name__}: decode it to text, or, where it is a "
            'file, put it as `data` into a source: {"type": "base64", "media_type": …, "data": …}'
        )
    if id(item) in inside:
        raise TypeError(f"{path} is one of the objects that it is in. JSON has no form for that.")
    inside += (id(item),)
    if hasattr(type(item), "items") and hasattr(type(item), "keys"):
        return _encodable_members(item, path, inside)
    file = hasattr(item, "read") or hasattr(item, "__fspath__")
    if file and binary:
        return _contents(item)
    if hasattr(type(item), "__iter__") and not file:
        return [_encodable(inner, f"{path}[{index}]", inside) for index, inner in enumerate(item)]
    return _leaf(item, path)


def _encodable_members(item: Any, path: str, inside: tuple[int, ...]) -> dict[Any, Any]:
    from outcrop.client.requests import Omit

    members = {name: inner for name, inner in item.items() if not isinstance(inner, Omit)}
    base64 = members.get("type") == "base64"
    return {
        _name(name, path): _encodable(
            inner, _below(path, name), inside, name == "data" if base64 else name in _BINARY
        )
        for name, inner in members.items()
    }


def _below(path: str, name: Any) -> str:
    if isinstance(name, str) and name.isidentifier():
        return f"{path}.{name}" if path else name
    return f"{path}[{name!r}]"


def _name(name: Any, path: str) -> Any:
    if isinstance(name, str | int):
        return name
    raise TypeError(f"{path or 'the parameters'}: {name!r} can't be a name in JSON. Names are text.")


def _leaf(item: Any, path: str) -> Any:
    where = path or "the parameters"
    item = _exact(item)
    if isinstance(item, float):
        finite = item - item == 0
    else:
        finite = not hasattr(type(item), "is_finite") or item.is_finite()  # decimals
    if not finite:
        raise ValueError(f"{where} is {item}, a number that JSON has no form for.")
    try:
        return msgspec.Raw(_ENCODER.encode(item))
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{path}: {item[error.start]!r} at {error.start} is half a character, which UTF-8 can't hold. "
            "Where the text was decoded, it was not decoded well."
        ) from None
    except TypeError:
        raise TypeError(
            f"{where}: {_named(item)} has no form in JSON. Give dicts, lists, text, numbers or what came in "
            "a reply."
        ) from None


def _exact(item: Any) -> Any:
    """Text and numbers as such: msgspec takes no subclasses of them, and numpy's float is one."""
    if isinstance(item, str):
        return str.__str__(item)
    if isinstance(item, float):
        return float(item)
    return int(item) if isinstance(item, int) else item


def _named(item: Any) -> str:
    if isinstance(item, type):
        return f"the class {item.__module__}.{item.__qualname__}"
    if callable(item) and hasattr(item, "__qualname__"):
        return f"the function {item.__qualname__}"
    return f"{type(item).__module__}.{type(item).__qualname__}"


def _contents(item: Any) -> bytes:
    """The bytes of an open file, or of the file at a path."""
    if hasattr(item, "read"):
        return cast(bytes, item.read())
    with open(item, "rb") as file:
        return file.read()
