"""What a call cost, in US dollars, by the price table of `claude.toml`: exact, with the arithmetic to read.

Knows prices and counts of tokens; no client, no service, no clock.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from outcrop.catalog import facts

if TYPE_CHECKING:
    from decimal import Context, Decimal
    from typing import overload

# The kinds of tokens, as the price table names them, and what a reader is told they are.
_KINDS: Final = (
    ("input", "input"),
    ("output", "output"),
    ("cache_write_5m", "cache write (5 minutes)"),
    ("cache_write_1h", "cache write (1 hour)"),
    ("cache_read", "cache read"),
)
_TOO_MANY: Final = 10**18


class Tokens(NamedTuple):
    """How many tokens a call took: `input` beside the cache, what the cache was given, and read from it."""

    input: int = 0
    output: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0

    @property
    def prompt(self) -> int:
        """All of the input, cached or not: what decides whether a prompt is a long one."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read

    @classmethod
    def of_messages(cls, usage: Mapping[str, Any]) -> Tokens | None:
        """From the `usage` of a Messages reply. Cache writes that it does not split are of 5 minutes."""
        split = usage.get("cache_creation")
        parts = split if isinstance(split, Mapping) else {}
        hour = parts.get("ephemeral_1h_input_tokens") or 0
        written = usage.get("cache_creation_input_tokens")
        if written is None and _is_count(hour):
            minutes = parts.get("ephemeral_5m_input_tokens") or 0
            written = hour + minutes if _is_count(minutes) else minutes
        read = usage.get("cache_read_input_tokens") or 0
        return cls._counted(usage.get("input_tokens"), usage.get("output_tokens"), written, hour, read)

    @classmethod
    def of_converse(cls, usage: Mapping[str, Any]) -> Tokens | None:
        """From the `usage` of a Converse reply. Cache writes that it does not split are of 5 minutes."""
        details = usage.get("cacheDetails")
        hour = 0
        for detail in details if isinstance(details, (list, tuple)) else ():
            if isinstance(detail, Mapping) and detail.get("ttl") == "1h":
                tokens = detail.get("inputTokens") or 0
                if not _is_count(tokens):
                    return None
                hour += tokens
        written = usage.get("cacheWriteInputTokens") or 0
        read = usage.get("cacheReadInputTokens") or 0
        return cls._counted(usage.get("inputTokens"), usage.get("outputTokens"), written, hour, read)

    @classmethod
    def of(cls, usage: Any) -> Tokens | None:
        """From either, told apart by their members: a mapping, or a value with `to_dict()`.

        None where input or output is missing, or any of the counts is no number of tokens: half a usage
        would make a bill that looks whole.
        """
        to_dict = getattr(usage, "to_dict", None)
        counts = usage if to_dict is None else to_dict()
        if not isinstance(counts, Mapping):
            return None
        return cls.of_converse(counts) if "inputTokens" in counts else cls.of_messages(counts)

    @classmethod
    def _counted(cls, given: Any, made: Any, written: Any, hour: Any, read: Any) -> Tokens | None:
        if not all(map(_is_count, (given, made, written, hour, read))):
            return None
        return cls(given, made, max(written - hour, 0), hour, read)


def _is_count(value: Any) -> bool:
    """Whether a value is a number of tokens. With 19 digits it is none: the arithmetic has its limits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_MANY


class Line(NamedTuple):
    """One line of a bill: `tokens` of one kind at `price` dollars a million make `amount` dollars.

    `basis` says by which price list: the model, the endpoint and what is special about it.
    """

    what: str
    tokens: int
    price: Decimal
    amount: Decimal
    basis: str


class Cost:
    """What one call cost, or several together: `usd`, the `lines` it is the sum of, and in words by `str()`.

    It is used as the number of dollars it is. Costs add up to a Cost (`sum(…)`), and so does a whole number
    of calls at one (`cost * 1000`): the arithmetic stays with it. Beside other numbers it counts as `usd`,
    and what comes out is a plain number: a Decimal, beside a float a float. `f"{cost:.4f}"` is written by
    the rules for numbers, `f"{cost}"` is `str(cost)`. Compared as Decimals are, so exactly: `cost > 0.01` is
    well, `cost == 0.01` is rarely so with a float. Immutable.
    """

    __slots__ = ("as_of", "lines", "usd")

    lines: tuple[Line, ...]
    usd: Decimal
    as_of: str

    def __init__(self, lines: tuple[Line, ...], as_of: str) -> None:
        total = _exact().create_decimal(0)
        for line in lines:
            total = _exact().add(total, line.amount)
        put = object.__setattr__
        put(self, "lines", lines)
        put(self, "usd", total)
        put(self, "as_of", as_of)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a cost can't be changed: {name}")

    def __reduce__(self) -> tuple[type[Cost], tuple[tuple[Line, ...], str]]:
        return Cost, (self.lines, self.as_of)

    # As a number. No `__int__`: whole dollars of a call are 0.

    def __float__(self) -> float:
        return float(self.usd)

    def __bool__(self) -> bool:
        return bool(self.usd)

    def __round__(self, digits: int | None = None) -> Decimal | int:
        """A number of dollars, by the rules of Decimal: half a unit goes to the even one."""
        return round(self.usd) if digits is None else round(self.usd, digits)

    def __format__(self, spec: str) -> str:
        return format(self.usd, spec) if spec else str(self)

    if TYPE_CHECKING:

        @overload
        def __add__(self, other: Cost) -> Cost: ...
        @overload
        def __add__(self, other: object) -> Any: ...

    def __add__(self, other: object) -> Any:
        if isinstance(other, Cost):
            return Cost(tuple(_merged(self.lines + other.lines)), max(self.as_of, other.as_of))
        # sum() begins with 0, and so does who adds up by hand, with 0.0
        return self if other == 0 and _is_number(other) else self._beside(other, operator.add)

    __radd__ = __add__

    def __sub__(self, other: object) -> Any:
        return self._beside(other, operator.sub)

    def __rsub__(self, other: object) -> Any:
        return self._beside(other, lambda mine, theirs: theirs - mine)

    def __mul__(self, other: object) -> Any:
        if isinstance(other, int) and 0 <= other < _TOO_MANY:
            lines = (
                line._replace(tokens=line.tokens * other, amount=_exact().multiply(line.amount, other))
                for line in self.lines
            )
            return Cost(tuple(lines), self.as_of)
        return NotImplemented if isinstance(other, Cost) else self._beside(other, operator.mul)

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Any:
        return self._beside(other, operator.truediv)

    def _beside(self, other: object, compute: Callable[[Any, Any], Any]) -> Any:
        """What two amounts of dollars, or one and a number, come to."""
        if isinstance(other, float):
            return compute(float(self.usd), other)
        if isinstance(other, Cost):
            return compute(self.usd, other.usd)
        return compute(self.usd, other) if _is_number(other) else NotImplemented

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Cost):
            return self.usd == other.usd
        return self.usd == other if _is_number(other) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.usd)

    def __lt__(self, other: object) -> bool:
        return self._compare(other, operator.lt)

    def __le__(self, other: object) -> bool:
        return self._compare(other, operator.le)

    def __gt__(self, other: object) -> bool:
        return self._compare(other, operator.gt)

    def __ge__(self, other: object) -> bool:
        return self._compare(other, operator.ge)

    def _compare(self, other: object, compare: Callable[[Any, Any], bool]) -> bool:
        if isinstance(other, Cost):
            return compare(self.usd, other.usd)
        return compare(self.usd, other) if _is_number(other) else NotImplemented

    def __repr__(self) -> str:
        return f"Cost({_dollars(self.usd)})"

    def __str__(self) -> str:
        if not self.lines:
            return _dollars(self.usd)
        bases = list(dict.fromkeys(line.basis for line in self.lines))
        notes = [*bases[:-1], f"{bases[-1]}; prices of {self.as_of}"]
        parts = [
            f"{' + '.join(map(_term, self._by(basis)))} ({note})"
            for basis, note in zip(bases, notes, strict=True)
        ]
        return f"{_dollars(self.usd)} = {' + '.join(parts)}"

    def _by(self, basis: str) -> list[Line]:
        return [line for line in self.lines if line.basis == basis]


def cost(base: str, scope: str, tokens: Tokens, *, region: str = "") -> Cost | None:
    """The price of a call, in US dollars; None where the model, or a price that is needed, is not known.

    `base` is the bare id. `scope` is that of the profile it was called through: "global", a geography,
    which has the regional price, or "" for a bare id, which has it too; `region`, the one called from, tells
    whether that is GovCloud's. A prompt over the limit has the long prompt's prices for all of its call. No
    discount for batches or provisioned throughput. The source of each price stands in `claude.toml`.
    """
    column = _column(scope, region)
    sheet = _sheet(base, column) if column else None
    if sheet is None:
        return None
    tier = sheet.tier(tokens.prompt)
    lines = []
    for (kind, what), count in zip(_KINDS, tokens, strict=True):
        if not count and kind not in ("input", "output"):
            continue
        price = tier.prices.get(kind)
        if price is None:
            return None
        amount = _exact().multiply(price, count).scaleb(-6, _exact())
        lines.append(Line(what, count, price, amount, f"{sheet.name}, {scope or 'regional'}{tier.note}"))
    return Cost(tuple(lines), _as_of())


def cost_of(base: str, scope: str, usage: Any, *, region: str = "") -> Cost | None:
    """As `cost`, from the `usage` of a Messages or Converse reply: a mapping, or a value with `to_dict()`.

    None, too, for a usage that `Tokens.of` can't read.
    """
    tokens = Tokens.of(usage)
    return None if tokens is None else cost(base, scope, tokens, region=region)


# --- the price table ---


class _Tier(NamedTuple):
    """The prices for prompts of more than `over` tokens, and what is to be said of them."""

    over: int
    prices: Mapping[str, Decimal]
    note: str


class _Sheet(NamedTuple):
    """The prices of one model and kind of endpoint; the tier of the longest prompts first."""

    name: str
    tiers: tuple[_Tier, ...]

    def tier(self, prompt: int) -> _Tier:
        return next(tier for tier in self.tiers if prompt > tier.over)


def _column(scope: str, region: str) -> str:
    """Which column of prices a call is under; "" for a scope that the catalogue does not have."""
    if scope == "us-gov" or (not scope and region.startswith("us-gov-")):
        return "us_gov"
    if scope == "global":
        return "global"
    return "regional" if not scope or scope in facts()["scopes"] else ""


@lru_cache(maxsize=256)
def _sheet(base: str, column: str) -> _Sheet | None:
    row = next((row for row in facts()["models"] if row["id"] == base), None)
    if row is None or column not in row["price"]:
        return None
    told = row["price"]
    here, everywhere = _by_tier(told[column]), _by_tier(told.get("global", {}))
    tiers = []
    for over in sorted(here, reverse=True):
        prices = here[over]
        note = _premium(prices["input"], everywhere.get(over, prices)["input"])
        if over >= 0:
            note += f", long prompt of over {over:,} tokens"
        tiers.append(_Tier(over, prices, note))
    return _Sheet(row["name"], tuple(tiers))


def _by_tier(told: Mapping[str, float]) -> dict[int, dict[str, Decimal]]:
    """The prices by the length over which they hold: -1, which every prompt is over, for the plain ones."""
    tiers: dict[int, dict[str, Decimal]] = {}
    for name, price in told.items():
        over, kind = -1, name
        if name.startswith("over_"):
            _, thousands, kind = name.split("_", 2)
            over = int(thousands.removesuffix("k")) * 1000
        # the shortest text of the float is what the file says
        tiers.setdefault(over, {})[kind] = _exact().create_decimal(repr(price))
    return tiers


def _premium(price: Decimal, everywhere: Decimal) -> str:
    above = _exact().subtract(price, everywhere)
    # exact for the table's prices: one that is no whole percentage would raise
    percent = _exact().divide(_exact().multiply(above, 100), everywhere)
    return f", {_plain(percent)} % above global" if percent else ""


@lru_cache(maxsize=1)
def _as_of() -> str:
    """The day the prices were collected: that of the newest edition. There is one table for all."""
    return str(max(edition["as_of"] for edition in facts()["editions"].values()))


# --- numbers ---


def _is_number(value: object) -> bool:
    """Whether a value is a number that a Decimal can be compared with."""
    from decimal import Decimal

    return isinstance(value, (int, float, Decimal))


@lru_cache(maxsize=1)
def _exact() -> Context:
    """Arithmetic of our own, whatever the program has set up, that raises rather than rounds."""
    from decimal import Context, DivisionByZero, Inexact, InvalidOperation

    return Context(prec=60, traps=[Inexact, InvalidOperation, DivisionByZero])


def _merged(lines: tuple[Line, ...]) -> Iterator[Line]:
    """The lines with those of the same kind, price and basis added up, in the order of their first."""
    groups: dict[tuple[str, Decimal, str], Line] = {}
    for line in lines:
        key = (line.what, line.price, line.basis)
        first = groups.get(key)
        groups[key] = (
            line
            if first is None
            else line._replace(
                tokens=first.tokens + line.tokens, amount=_exact().add(first.amount, line.amount)
            )
        )
    yield from groups.values()


def _term(line: Line) -> str:
    return f"{line.tokens:,} {line.what} × {_dollars(line.price)}/M"  # noqa: RUF001 - a multiplication sign


def _plain(number: Decimal) -> str:
    return f"{number.normalize(_exact()):f}"


def _dollars(amount: Decimal) -> str:
    """`$3`, `$3.30`, `$0.000111`: all digits, and never a single one after the point."""
    whole, _, cents = _plain(amount).partition(".")
    return f"${whole}.{cents:0<2}" if cents else f"${whole}"
