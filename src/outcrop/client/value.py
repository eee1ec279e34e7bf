# ruff: noqa: ARG002 - arguments that only exist because those of `anthropic` and pydantic do
"""What came as JSON, as immutable objects, and requests as JSON. Knows no message, block or event.

An object's `__dict__` is the decoded JSON object itself. So members nobody here has heard of are attributes
too, reading one costs what reading any attribute does, and going back to JSON is handing that dict out.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NoReturn, TypeVar, cast, dataclass_transform

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Protocol, Self, TypeAlias

    from outcrop.catalog.prices import Cost

    Selection: TypeAlias = Mapping[str, Any] | Mapping[int, Any] | set[str] | set[int] | None

    class About(Protocol):
        """What is known of an answer beside its JSON."""

        @property
        def request_id(self) -> str | None:
            """The id of the request it is the answer to."""

        def cost(self, usage: Any) -> Cost | None:
            """The price of a usage; None when it is not known."""


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

        def append(self, item: Any, /) -> NoReturn: ...  # noqa: D102
        def extend(self, items: Any, /) -> NoReturn: ...  # noqa: D102
        def insert(self, index: Any, item: Any, /) -> NoReturn: ...  # noqa: D102
        def pop(self, index: Any = -1, /) -> NoReturn: ...  # noqa: D102
        def remove(self, item: Any, /) -> NoReturn: ...  # noqa: D102
        def clear(self) -> NoReturn: ...  # noqa: D102
        def reverse(self) -> NoReturn: ...  # noqa: D102
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
    expects. `Cls.of(raw)` makes one of decoded JSON and takes the dict over; `Cls(**members)` does the same.
    """

    __slots__ = ("__dict__", "_known")

    _members: ClassVar[dict[str, Any]] = {}
    """Functions: what becomes of a member that is neither absent nor null."""
    _late: ClassVar[tuple[str, ...]] = ()
    """Members that are computed when first read."""

    def __new__(cls, /, **members: Any) -> Self:  # noqa: D102 - the class's docstring says it
        return cls.of(members)

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

    # without this, Python would try value[0], value[1], …
    __iter__: ClassVar[None] = None

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

    # --- never changing ---

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} can't be set: {_INSTEAD.format(name=name)}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} can't be deleted: {_INSTEAD.format(name=name)}")

    @_always
    def replace(self, **changes: Any) -> Self:
        """A copy in which some members are others. What is known beside the JSON is kept."""
        return _like(self, type(self).of({**whole(self), **changes}))

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
    ) -> dict[str, Any]:
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
    ) -> dict[str, Any]:
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
            if self.exclude_defaults and name in defaults and defaults[name] == member:
                continue
            yield name, member


_defaults_of: Final[dict[type, dict[str, Any]]] = {}


def _defaults(kind: type) -> dict[str, Any]:
    """The declared defaults: what a class has that is neither private nor does anything."""
    found = _defaults_of.get(kind)
    if found is None:
        found = {
            name: member
            for base in reversed(kind.__mro__)
            for name, member in vars(base).items()
            if not name.startswith("_") and not hasattr(type(member), "__get__")
        }
        _defaults_of[kind] = found
    return found


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
    tuples and other iterables, bytes (sent as base64), dates, times, UUIDs, and whatever else msgspec has a
    natural form for. A member `data` may be a path or an open file, whose bytes are sent as base64.
    Raises TypeError for anything else, ValueError for text that is not Unicode; both tell where it is:
    `messages[0].content[1].source`.
    """
    try:
        return _ENCODER.encode(parameters)
    except (TypeError, UnicodeEncodeError):
        return _ENCODER.encode(_encodable(parameters, ""))


def _hook(item: Any) -> Any:
    if isinstance(item, Value):
        return whole(item)
    if hasattr(type(item), "model_dump"):
        return item.model_dump(mode="json", by_alias=True, exclude_unset=True)
    # nothing has been consumed yet: `encode` now looks closely
    raise TypeError(type(item).__name__)


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_hook, decimal_format="number")
_PLAIN: Final = frozenset((int, float, bool, type(None)))


def _encodable(item: Any, path: str) -> Any:
    """`item` with everything in it in a form that `_ENCODER` takes. Slow: for requests that need it."""
    if type(item) in _PLAIN:
        return item
    if isinstance(item, Value) or hasattr(type(item), "model_dump"):
        item = _hook(item)
    if isinstance(item, str | bytes | bytearray | memoryview):
        return _leaf(item, path)
    if hasattr(item, "items") and hasattr(item, "keys"):
        return {_name(name, path): _encodable(inner, _below(path, name)) for name, inner in item.items()}
    file = hasattr(item, "read") or hasattr(item, "__fspath__")
    if file and path.endswith(".data"):
        return _contents(item)
    if hasattr(type(item), "__iter__") and not file:
        return [_encodable(inner, f"{path}[{index}]") for index, inner in enumerate(item)]
    return _leaf(item, path)


def _below(path: str, name: Any) -> str:
    if isinstance(name, str) and name.isidentifier():
        return f"{path}.{name}" if path else name
    return f"{path}[{name!r}]"


def _name(name: Any, path: str) -> Any:
    if isinstance(name, str | int):
        return name
    raise TypeError(f"{path or 'the parameters'}: {name!r} can't be a name in JSON. Names are text.")


def _leaf(item: Any, path: str) -> Any:
    try:
        return msgspec.Raw(_ENCODER.encode(item))
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{path}: {item[error.start]!r} at {error.start} is half a character, which UTF-8 can't hold. "
            "Where the text was decoded, it was not decoded well."
        ) from None
    except TypeError:
        raise TypeError(
            f"{path or 'the parameters'}: {type(item).__module__}.{type(item).__qualname__} has no form in "
            "JSON. Give dicts, lists, text, numbers, bytes or what came in a reply."
        ) from None


def _contents(item: Any) -> bytes:
    """The bytes of an open file, or of the file at a path."""
    if hasattr(item, "read"):
        return cast(bytes, item.read())
    with open(item, "rb") as file:
        return file.read()
