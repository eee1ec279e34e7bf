"""What a call cost, in US dollars, by the price table of `claude.toml`: exact, with the arithmetic to read.

Knows prices and counts of tokens; no client, no service, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from outcrop.catalog import facts

if TYPE_CHECKING:
    from decimal import Context, Decimal

# The kinds of tokens, as the price table names them, and what a reader is told they are.
_KINDS: Final = (
    ("input", "input"),
    ("output", "output"),
    ("cache_write_5m", "cache write (5 minutes)"),
    ("cache_write_1h", "cache write (1 hour)"),
    ("cache_read", "cache read"),
)


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
    def of_messages(cls, usage: Mapping[str, Any]) -> Tokens:
        """From the `usage` of a Messages reply. Cache writes that it does not split are of 5 minutes."""
        split = usage.get("cache_creation") or {}
        hour = split.get("ephemeral_1h_input_tokens") or 0
        written = usage.get("cache_creation_input_tokens")
        if written is None:
            written = hour + (split.get("ephemeral_5m_input_tokens") or 0)
        return cls(
            usage.get("input_tokens") or 0,
            usage.get("output_tokens") or 0,
            max(written - hour, 0),
            hour,
            usage.get("cache_read_input_tokens") or 0,
        )

    @classmethod
    def of_converse(cls, usage: Mapping[str, Any]) -> Tokens:
        """From the `usage` of a Converse reply. Cache writes that it does not split are of 5 minutes."""
        details = usage.get("cacheDetails") or ()
        hour = sum(detail.get("inputTokens") or 0 for detail in details if detail.get("ttl") == "1h")
        return cls(
            usage.get("inputTokens") or 0,
            usage.get("outputTokens") or 0,
            max((usage.get("cacheWriteInputTokens") or 0) - hour, 0),
            hour,
            usage.get("cacheReadInputTokens") or 0,
        )

    @classmethod
    def of(cls, usage: Any) -> Tokens:
        """From either, told apart by their members: a mapping, or a value with `to_dict()`."""
        to_dict = getattr(usage, "to_dict", None)
        counts: Mapping[str, Any] = usage if to_dict is None else to_dict()
        return cls.of_converse(counts) if "inputTokens" in counts else cls.of_messages(counts)


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

    Costs can be added; `float(cost)` is the nearest float. Immutable.
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

    def __float__(self) -> float:
        return float(self.usd)

    def __add__(self, other: object) -> Cost:
        if not isinstance(other, Cost):
            # sum() begins with 0
            return self if other == 0 and isinstance(other, int) else NotImplemented
        return Cost(tuple(_merged(self.lines + other.lines)), max(self.as_of, other.as_of))

    __radd__ = __add__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cost):
            return NotImplemented
        return (sorted(self.lines), self.as_of) == (sorted(other.lines), other.as_of)

    def __hash__(self) -> int:
        return hash((frozenset(self.lines), self.as_of))

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
    """As `cost`, from the `usage` of a Messages or Converse reply: a mapping, or a value with `to_dict()`."""
    return cost(base, scope, Tokens.of(usage), region=region)


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
