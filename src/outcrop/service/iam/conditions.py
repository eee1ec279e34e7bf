"""The condition operators of a policy, as a table, and a `Condition` compiled from one entry of it.

Knows operators, quantifiers and values; not policies, nor where a context comes from. Rules (IAM User Guide,
"Condition operators" and "Single-valued vs. multivalued context keys"):

- Of several values in the policy one has to match; of a negated operator none may.
- A key that is missing matches nothing, so that a negated operator holds.
- `…IfExists` holds where the key is missing. `ForAllValues:` holds where the key is missing or empty,
  `ForAnyValue:` does not; both look at each of the key's values.
- A variable without a value makes the statement not apply, whichever its operator.

(One table of that guide, on ForAllValues:StringNotLike, contradicts its own text; the text is followed.)
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from operator import eq, ge, gt, le, lt
from typing import Any, Final, TypeAlias

import msgspec

from outcrop.service.iam import patterns
from outcrop.service.iam.patterns import Context, Matcher, Pieces

Compile: TypeAlias = Callable[[Pieces], Matcher]
Compare: TypeAlias = Callable[[Any, Any], bool]

# Longer numbers are nobody's; arithmetic on them would cost.
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_EPOCH: Final = re.compile(r"[0-9]{1,15}")
# The forms of ISO 8601 that the W3C's note has: a year, a month, a day, or a time with its zone.
_DATE: Final = re.compile(
    r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})"
    r"(?:[Tt](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?)?)?"
)
_BOOLEANS: Final = ("true", "false")


def _equals(pieces: Pieces) -> Matcher:
    return patterns.exactly(patterns.plain(pieces))


def _equals_ignoring_case(pieces: Pieces) -> Matcher:
    lower = patterns.plain(pieces).lower()
    return lambda text: text.lower() == lower


def _numeric(compare: Compare) -> Compile:
    def compile_number(pieces: Pieces) -> Matcher:
        wanted = _number(patterns.plain(pieces))

        def matches(text: str) -> bool:
            try:
                return compare(_number(text), wanted)
            except ValueError:
                return False

        return matches

    return compile_number


def _number(text: str) -> Any:
    from decimal import Decimal

    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{_short(text)} is not a number")
    return Decimal(text)


def _date(compare: Compare) -> Compile:
    def compile_date(pieces: Pieces) -> Matcher:
        wanted = _moment(patterns.plain(pieces))

        def matches(text: str) -> bool:
            try:
                return compare(_moment(text), wanted)
            except ValueError:
                return False

        return matches

    return compile_date


@lru_cache(maxsize=256)  # the time of a call is asked for again and again
def _moment(text: str) -> datetime:
    """A date, a time (UTC where it names no zone), or seconds since 1970."""
    try:
        # four digits are a year
        if len(text) != 4 and _EPOCH.fullmatch(text):
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(text))
        found = _DATE.fullmatch(text)
        if found is not None:
            told = found.groupdict()
            day = datetime(int(told["year"]), int(told["month"] or 1), int(told["day"] or 1))
            micros = int((told["fraction"] or "0").ljust(6, "0")[:6])
            hour, minute, second = (int(told[part] or 0) for part in ("hour", "minute", "second"))
            time = day.replace(hour=hour, minute=minute, second=second, microsecond=micros)
            return time.replace(tzinfo=_zone(told["zone"] or "Z"))
    except (ValueError, OverflowError):
        pass  # the 31st of February, the year 9,999,999: said below
    raise ValueError(f"{_short(text)} is not a date: write 2026-01-31T23:59:59Z, or seconds since 1970")


def _zone(text: str) -> timezone:
    if text in "Zz":
        return UTC
    away = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-away if text[0] == "-" else away)


def _bool(pieces: Pieces) -> Matcher:
    wanted = patterns.plain(pieces).lower()
    if wanted not in _BOOLEANS:
        raise ValueError(f"{_short(wanted)} is neither true nor false")
    return lambda text: text.lower() == wanted


def _binary(pieces: Pieces) -> Matcher:
    wanted = _bytes(patterns.plain(pieces))

    def matches(text: str) -> bool:
        try:
            return _bytes(text) == wanted
        except ValueError:
            return False

    return matches


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f"{_short(text)} is not base64") from None


def _address(pieces: Pieces) -> Matcher:
    from ipaddress import ip_network

    text = patterns.plain(pieces)
    try:
        # AWS takes an address without a prefix for one address
        wanted = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{_short(text)} is not an address or a range such as 203.0.113.0/24") from None

    def matches(told: str) -> bool:
        address = _source(told)
        return address is not None and address in wanted

    return matches


@lru_cache(maxsize=256)
def _source(text: str) -> Any:
    from ipaddress import ip_address

    try:
        address = ip_address(text)
    except ValueError:
        return None
    # a socket that takes both kinds tells an IPv4 caller as ::ffff:203.0.113.1
    return getattr(address, "ipv4_mapped", None) or address


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


class Operator(msgspec.Struct, frozen=True):
    """How values are compared. `compile` raises ValueError for a value that can't be one of the kind.

    `negated` is whether it holds where nothing matches; `variables` whether its values may have some.
    """

    compile: Compile
    negated: bool = False
    variables: bool = False


OPERATORS: Final[Mapping[str, Operator]] = {
    "StringEquals": Operator(_equals, variables=True),
    "StringNotEquals": Operator(_equals, negated=True, variables=True),
    "StringEqualsIgnoreCase": Operator(_equals_ignoring_case, variables=True),
    "StringNotEqualsIgnoreCase": Operator(_equals_ignoring_case, negated=True, variables=True),
    "StringLike": Operator(patterns.glob, variables=True),
    "StringNotLike": Operator(patterns.glob, negated=True, variables=True),
    "NumericEquals": Operator(_numeric(eq)),
    "NumericNotEquals": Operator(_numeric(eq), negated=True),
    "NumericLessThan": Operator(_numeric(lt)),
    "NumericLessThanEquals": Operator(_numeric(le)),
    "NumericGreaterThan": Operator(_numeric(gt)),
    "NumericGreaterThanEquals": Operator(_numeric(ge)),
    "DateEquals": Operator(_date(eq)),
    "DateNotEquals": Operator(_date(eq), negated=True),
    "DateLessThan": Operator(_date(lt)),
    "DateLessThanEquals": Operator(_date(le)),
    "DateGreaterThan": Operator(_date(gt)),
    "DateGreaterThanEquals": Operator(_date(ge)),
    "Bool": Operator(_bool, variables=True),
    "BinaryEquals": Operator(_binary),
    "IpAddress": Operator(_address),
    "NotIpAddress": Operator(_address, negated=True),
    # the two of a pair behave identically
    "ArnEquals": Operator(patterns.arn, variables=True),
    "ArnLike": Operator(patterns.arn, variables=True),
    "ArnNotEquals": Operator(patterns.arn, negated=True, variables=True),
    "ArnNotLike": Operator(patterns.arn, negated=True, variables=True),
    # looks at whether there is a value, so it has no quantifier and no IfExists
    "Null": Operator(_bool),
}
_NULL: Final = "Null"
_IF_EXISTS: Final = "IfExists"
_ALL: Final = "ForAllValues"
_ANY: Final = "ForAnyValue"


class Condition(msgspec.Struct, frozen=True):
    """One operator on one key. `reads` are the context keys it looks at, its variables' too.

    `operator` is as it was written, `quantifier` is ForAllValues, ForAnyValue or "". `matchers` are those of
    the values; `open` are the pieces of the values that have variables, compiled by `compile` when asked.
    """

    operator: str
    key: str
    values: tuple[str, ...]
    quantifier: str
    if_exists: bool
    negated: bool
    null: bool
    matchers: tuple[Matcher, ...]
    open: tuple[Pieces, ...]
    compile: Compile
    reads: frozenset[str]

    def holds(self, context: Context) -> bool:
        """Whether it is fulfilled."""
        value = context.get(self.key)
        if self.null:
            missing = "false" if value else "true"
            return any(match(missing) for match in self.matchers)
        if value is None:
            return self._missing()
        matchers = self._resolved(context) if self.open else self.matchers
        if matchers is None:
            return False
        values = (value,) if isinstance(value, str) else value
        if not self.quantifier:
            return _matches(matchers, values) != self.negated
        # an empty text is no value to a quantifier
        told = [_matches(matchers, (one,)) != self.negated for one in values if one]
        return all(told) if self.quantifier == _ALL else any(told)

    def _missing(self) -> bool:
        return self.if_exists or self.quantifier == _ALL or (self.negated and not self.quantifier)

    def _resolved(self, context: Context) -> tuple[Matcher, ...] | None:
        """All matchers; None where a variable has no value. What is no value of its kind matches nothing."""
        matchers = list(self.matchers)
        for pieces in self.open:
            told = patterns.resolve(pieces, context)
            if told is None:
                return None
            try:
                matchers.append(self.compile(told))
            except ValueError:
                continue
        return tuple(matchers)


def _matches(matchers: tuple[Matcher, ...], values: tuple[str, ...]) -> bool:
    for match in matchers:  # a generator would cost as much as the matching
        for value in values:
            if match(value):
                return True
    return False


def _compiled(operator: Operator, closed: list[Pieces]) -> tuple[Matcher, ...]:
    """The matchers of the values without variables. Of equal texts one look tells."""
    if operator.compile is _equals and closed:
        return (frozenset(map(patterns.plain, closed)).__contains__,)
    return tuple(map(operator.compile, closed))


def find(name: str) -> tuple[Operator, str, bool] | None:
    """The operator behind a written name, its quantifier, and whether it says IfExists; None for none."""
    quantifier, colon, rest = name.rpartition(":")
    if colon and quantifier not in (_ALL, _ANY):
        return None
    base = rest.removesuffix(_IF_EXISTS)
    operator = OPERATORS.get(base)
    if operator is None or (base == _NULL and name != _NULL):
        return None
    return operator, quantifier, base != rest


def condition(name: str, key: str, values: tuple[str, ...], *, variables: bool) -> Condition:
    """Compiles one entry. `variables` is whether the policy's version knows them.

    Raises KeyError when there is no such operator, ValueError for a value that does not fit it.
    """
    found = find(name)
    if found is None:
        raise KeyError(name)
    operator, quantifier, if_exists = found
    pieces = [patterns.parse(value, variables=variables and operator.variables) for value in values]
    reads = frozenset({patterns.canonical(key)}).union(*map(patterns.keys_of, pieces))
    return Condition(
        operator=name,
        key=patterns.canonical(key),
        values=values,
        quantifier=quantifier,
        if_exists=if_exists,
        negated=operator.negated,
        null=name == _NULL,
        matchers=_compiled(operator, [one for one in pieces if not patterns.keys_of(one)]),
        open=tuple(one for one in pieces if patterns.keys_of(one)),
        compile=operator.compile,
        reads=reads,
    )
