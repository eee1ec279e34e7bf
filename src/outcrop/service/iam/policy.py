"""AWS's policies: their JSON becomes a frozen, compiled `Policy`, or is refused with the place that is wrong.

Knows the grammar of both versions (2008-10-17, 2012-10-17) and of identity and trust policies; not whose a
policy is, nor what others say beside it. Source: the IAM User Guide's grammar, elements and quotas. Where
`MalformedPolicyDocument` has known words of AWS they are used (as moto, too, records them).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from outcrop.ids import is_account
from outcrop.service.iam import patterns
from outcrop.service.iam.conditions import Condition, condition, find
from outcrop.service.iam.patterns import Context, Matcher, Pieces

# Quotas, white space not counted: a managed policy's size, and the longest that a role's trust policy may be
# raised to. Nothing longer than the last is even read (botocore's model of IAM: the longest document).
LONGEST: Final = 6144
LONGEST_TRUST: Final = 4096
_LONGEST_DOCUMENT: Final = 131_072

_2008: Final = "2008-10-17"
_2012: Final = "2012-10-17"
_TOP: Final = ("Version", "Id", "Statement")
_STATEMENT: Final = ("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition")
_TRUST_STATEMENT: Final = ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "Condition")
_PRINCIPALS: Final = ("AWS", "Service", "Federated")
# Those that AWS takes in a trust policy, by its own refusal of others and the actions of STS on a role.
_TRUST_ACTIONS: Final = (
    "sts:AssumeRole",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:SetSourceIdentity",
    "sts:TagSession",
)

# IAM quotas: a policy has these characters only
_STRANGE: Final = re.compile(r"[^\t\n\r\x20-\xff]")
_SID: Final = re.compile(r"[A-Za-z0-9]*")
_SERVICE: Final = re.compile(r"[A-Za-z0-9.-]+")
_ACTION_NAME: Final = re.compile(r"[A-Za-z0-9*?]+")
_PARTITION: Final = re.compile(r"aws(?:-[a-z]+)*|\*")
_PRINCIPAL_ARN: Final = re.compile(r"arn:aws(?:-[a-z]+)*:(?:iam|sts)::[0-9]{12}:[^\s*?]+")
_UNIQUE_ID: Final = re.compile(r"A[A-Z0-9]{15,127}")


class MalformedPolicy(ValueError):  # noqa: N818 - AWS's name of it has no Error either
    """A policy that is none. `place` is where (`Statement[1].Condition.StringEqualz`, "" for the whole), and
    `problem` what is wrong there, without a full stop.
    """

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"MalformedPolicyDocument: {place + ': ' if place else ''}{problem}")
        self.place = place
        self.problem = problem.removesuffix(".")


class Names(msgspec.Struct, frozen=True):
    """Action or NotAction (`inverted`). `exact` are names in lower case; actions have no case."""

    everything: bool
    exact: frozenset[str]
    matchers: tuple[Matcher, ...]
    inverted: bool

    def cover(self, action: str) -> bool:
        """Whether the statement is about an action, given in lower case."""
        if self.everything:
            return not self.inverted
        return (action in self.exact or _any(self.matchers, action)) != self.inverted


class Resources(msgspec.Struct, frozen=True):
    """Resource or NotResource (`inverted`). `open` are those whose variables the context fills in."""

    everything: bool
    exact: frozenset[str]
    matchers: tuple[Matcher, ...]
    open: tuple[Pieces, ...]
    inverted: bool

    def cover(self, resource: str, context: Context) -> bool:
        """Whether the statement is about a resource. With a variable that has no value, it is about none."""
        if self.everything:
            return not self.inverted
        found = resource in self.exact or _any(self.matchers, resource)
        for pieces in self.open:
            told = patterns.resolve(pieces, context)
            if told is None:
                return False
            found = found or patterns.resource(told)(resource)
        return found != self.inverted


def _any(matchers: tuple[Matcher, ...], text: str) -> bool:
    for match in matchers:  # noqa: SIM110 - a generator would cost as much as the matching
        if match(text):
            return True
    return False


class Principals(msgspec.Struct, frozen=True):
    """Principal or NotPrincipal (`inverted`): the AWS ones; services and federations call nobody here."""

    aws: tuple[str, ...]
    inverted: bool


class Statement(msgspec.Struct, frozen=True):
    """One statement. `index` is its place in the policy, from 0; `principals` are of trust policies only."""

    index: int
    sid: str
    allow: bool
    actions: Names
    resources: Resources
    conditions: tuple[Condition, ...]
    principals: Principals | None

    def applies(self, action: str, resource: str, context: Context) -> bool:
        """Whether its effect is for this request; `action` in lower case. Does not look at principals."""
        if not (self.actions.cover(action) and self.resources.cover(resource, context)):
            return False
        for one in self.conditions:  # noqa: SIM110 - most statements have none, and a generator would cost more
            if not one.holds(context):
                return False
        return True


class Policy(msgspec.Struct, frozen=True):
    """A policy, compiled. `reads` are the context keys that its conditions and variables look at: for two
    contexts that agree on these, it says the same.
    """

    version: str
    id: str
    statements: tuple[Statement, ...]
    reads: frozenset[str]


@lru_cache(maxsize=512)  # some 100 KB each at the longest, and callers choose session policies
def parse(text: str, *, trust: bool = False) -> Policy:
    """The policy that `text` is; with `trust` a role's trust policy. Raises MalformedPolicy."""
    _check_size(text, LONGEST_TRUST if trust else LONGEST)
    told = _read(text)
    _check_members("", told, _TOP)
    version = _string("Version", told.get("Version", _2008))
    if version not in (_2008, _2012):
        raise MalformedPolicy("Version", f"it is {version!r}; there are {_2012} and {_2008}")
    reader = _Reader(variables=version == _2012, trust=trust)
    statements = tuple(reader.statements(told))
    return Policy(version, _string("Id", told.get("Id", "")), statements, _reads(statements))


def _reads(statements: tuple[Statement, ...]) -> frozenset[str]:
    keys: set[str] = set()
    for statement in statements:
        keys = keys.union(*(one.reads for one in statement.conditions))
        keys = keys.union(*map(patterns.keys_of, statement.resources.open))
    return frozenset(keys)


# --- the JSON ---


class _Scalar(str):
    """A number or a boolean of the JSON, as text: conditions take them without quotation marks."""

    __slots__ = ()


def _check_size(text: str, longest: int) -> None:
    if len(text) <= _LONGEST_DOCUMENT:
        length = len("".join(text.split()))
        if length <= longest:
            return
        raise MalformedPolicy(
            "", f"the policy has {length} characters, white space not counted; {longest} is the most"
        )
    raise MalformedPolicy("", f"the policy is longer than {_LONGEST_DOCUMENT} characters")


def _read(text: str) -> dict[str, Any]:
    strange = _STRANGE.search(text)
    if strange is not None:
        raise MalformedPolicy(
            "", f"the character {strange[0]!r} can't be in a policy, only those up to U+00FF"
        )
    try:
        told = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_Scalar,
            parse_float=_Scalar,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise MalformedPolicy("", "the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedPolicy("", f"Syntax errors in policy: {error.msg} at {where}") from None
    if not isinstance(told, dict):
        raise MalformedPolicy("", "Syntax errors in policy: it is not a JSON object")
    return told


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedPolicy("", f"Syntax errors in policy: {_short(twice)} is in one object twice")
    return told


def _no_constant(name: str) -> Any:
    raise MalformedPolicy("", f"Syntax errors in policy: {name} is not JSON")


def _check_members(place: str, told: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in told:
        if name not in known:
            raise MalformedPolicy(
                _under(place, name), f"there is no such element; there are {', '.join(known)}"
            )


def _under(place: str, name: str) -> str:
    name = name if len(name) <= 60 else name[:57] + "..."
    if not name.isprintable():  # whoever wrote it, it goes to terminals and into XML
        name = ascii(name)[1:-1]
    return f"{place}.{name}" if place else name


def _string(place: str, told: Any) -> str:
    if not isinstance(told, str) or isinstance(told, _Scalar):
        raise MalformedPolicy(place, f"it must be a string, not {_kind(told)}")
    strange = _STRANGE.search(told)
    if strange is not None:
        raise MalformedPolicy(place, f"it has the character {strange[0]!r}; those up to U+00FF are allowed")
    return told


def _list(place: str, told: Any) -> Iterator[tuple[str, Any]]:
    """The items of a list with their places; what is no list is the only item."""
    if not isinstance(told, list):
        yield place, told
        return
    if not told:
        raise MalformedPolicy(place, "the list is empty")
    for index, item in enumerate(told):
        yield f"{place}[{index}]", item


def _strings(place: str, told: Any) -> list[tuple[str, str]]:
    return [(where, _string(where, item)) for where, item in _list(place, told)]


def _kind(told: Any) -> str:
    if isinstance(told, _Scalar):
        return f"the number {_short(told)}"
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names[type(told)]


def _short(text: str) -> str:
    return repr(str(text) if len(text) <= 60 else text[:57] + "...")


# --- the elements ---


class _Reader:
    """Reads statements of one policy. `variables` is whether its version has them."""

    def __init__(self, *, variables: bool, trust: bool) -> None:
        self._variables = variables
        self._trust = trust

    def statements(self, told: Mapping[str, Any]) -> Iterator[Statement]:
        """All statements; raises MalformedPolicy where there is none, or a Sid comes twice."""
        if "Statement" not in told:
            raise MalformedPolicy("Statement", "it is missing")
        seen: set[str] = set()
        for index, (place, item) in enumerate(_list("Statement", told["Statement"])):
            statement = self._statement(place, index, item)
            if statement.sid in seen:
                raise MalformedPolicy(
                    f"{place}.Sid", "Statement IDs (SID) in a single policy must be unique."
                )
            if statement.sid:
                seen.add(statement.sid)
            yield statement

    def _statement(self, place: str, index: int, told: Any) -> Statement:
        if not isinstance(told, dict):
            raise MalformedPolicy(place, f"a statement must be an object, not {_kind(told)}")
        self._check_elements(place, told)
        sid = _string(f"{place}.Sid", told.get("Sid", ""))
        if _SID.fullmatch(sid) is None:
            raise MalformedPolicy(f"{place}.Sid", f"{_short(sid)} has other characters than A-Z, a-z and 0-9")
        effect = _string(f"{place}.Effect", _required(place, told, "Effect"))
        if effect not in ("Allow", "Deny"):
            raise MalformedPolicy(f"{place}.Effect", f"it is {_short(effect)}; it must be Allow or Deny")
        return Statement(
            index=index,
            sid=sid,
            allow=effect == "Allow",
            actions=self._actions(place, told),
            resources=_EVERYTHING if self._trust else self._resources(place, told),
            conditions=tuple(self._conditions(f"{place}.Condition", told.get("Condition", {}))),
            principals=_principals(place, told, effect) if self._trust else None,
        )

    def _check_elements(self, place: str, told: Mapping[str, Any]) -> None:
        if self._trust and ("Resource" in told or "NotResource" in told):
            raise MalformedPolicy(place, "Has prohibited field Resource.")
        if not self._trust and ("Principal" in told or "NotPrincipal" in told):
            raise MalformedPolicy(
                place, "Policy document should not specify a principal: it is for whom it is attached to."
            )
        _check_members(place, told, _TRUST_STATEMENT if self._trust else _STATEMENT)

    def _actions(self, place: str, told: Mapping[str, Any]) -> Names:
        name = _one_of(place, told, "Action", "NotAction", "Policy statement must contain actions.")
        check = _check_trust_action if self._trust else _check_action
        everything, exact, matchers = False, set(), []
        for where, text in _strings(f"{place}.{name}", told[name]):
            check(where, text)
            if text in ("*", "*:*"):
                everything = True
            elif "*" in text or "?" in text:
                matchers.append(patterns.glob((text.lower(),)))
            else:
                exact.add(text.lower())
        return Names(everything, frozenset(exact), tuple(matchers), name == "NotAction")

    def _resources(self, place: str, told: Mapping[str, Any]) -> Resources:
        name = _one_of(place, told, "Resource", "NotResource", "Policy statement must contain resources.")
        everything, exact = False, set()
        matchers: list[Matcher] = []
        opened: list[Pieces] = []
        for where, text in _strings(f"{place}.{name}", told[name]):
            pieces = self._pieces(where, text)
            _check_resource(where, text, pieces)
            if text == "*":
                everything = True
            elif patterns.keys_of(pieces):
                opened.append(pieces)
            elif pieces == (text,) and "*" not in text and "?" not in text:
                exact.add(text)
            else:
                matchers.append(patterns.resource(pieces))
        return Resources(everything, frozenset(exact), tuple(matchers), tuple(opened), name == "NotResource")

    def _pieces(self, place: str, text: str) -> Pieces:
        try:
            return patterns.parse(text, variables=self._variables)
        except ValueError as error:
            raise MalformedPolicy(place, str(error)) from None

    def _conditions(self, place: str, told: Any) -> Iterator[Condition]:
        for name, keys in _members(place, told):
            under = _under(place, name)
            if find(name) is None:
                raise MalformedPolicy(under, "there is no such condition operator")
            if keys == {}:
                raise MalformedPolicy(under, "the operator has no keys")
            for key, values in _members(under, keys):
                yield self._condition(_under(under, key), name, key, values)

    def _condition(self, place: str, name: str, key: str, told: Any) -> Condition:
        if not patterns.is_key(_string(place, key)):
            raise MalformedPolicy(
                place, "Actions/Conditions must be prefaced by a vendor: a condition key is like aws:username"
            )
        values = tuple(_value(where, item) for where, item in _list(place, told))
        try:
            return condition(name, key, values, variables=self._variables)
        except ValueError as error:
            raise MalformedPolicy(place, str(error)) from None


_EVERYTHING: Final = Resources(True, frozenset(), (), (), False)


def _required(place: str, told: Mapping[str, Any], name: str) -> Any:
    if name not in told:
        raise MalformedPolicy(f"{place}.{name}", "it is missing")
    return told[name]


def _one_of(place: str, told: Mapping[str, Any], name: str, negated: str, missing: str) -> str:
    if name in told and negated in told:
        raise MalformedPolicy(place, f"it has both {name} and {negated}")
    if name not in told and negated not in told:
        raise MalformedPolicy(place, missing)
    return name if name in told else negated


def _members(place: str, told: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(told, dict):
        raise MalformedPolicy(place, f"it must be an object, not {_kind(told)}")
    yield from told.items()


def _value(place: str, told: Any) -> str:
    """A condition's value: a string, a number or a boolean."""
    if isinstance(told, bool):
        return "true" if told else "false"
    return str(told) if isinstance(told, _Scalar) else _string(place, told)


def _check_action(place: str, text: str) -> None:
    if text == "*":
        return
    service, colon, name = text.partition(":")
    if not colon:
        raise MalformedPolicy(
            place, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
        )
    if ":" in name:
        raise MalformedPolicy(place, "Actions/Condition can contain only one colon.")
    if service != "*" and _SERVICE.fullmatch(service) is None:
        raise MalformedPolicy(place, f"Vendor {_short(service)} is not valid")
    if _ACTION_NAME.fullmatch(name) is None:
        raise MalformedPolicy(place, f"{_short(name)} is not the name of an action, with or without * and ?")


def _check_trust_action(place: str, text: str) -> None:
    if text not in _TRUST_ACTIONS:
        raise MalformedPolicy(
            place,
            f"Trust Policy statement actions can only be {', '.join(_TRUST_ACTIONS)}; not {_short(text)}",
        )


def _check_resource(place: str, text: str, pieces: Pieces) -> None:
    if text == "*":
        return
    head = pieces[0] if pieces and isinstance(pieces[0], str) else ""
    parts = head.split(":", 5)
    if parts[0] != "arn" or len(parts) < 3:
        raise MalformedPolicy(place, f'Resource {_short(text)} must be in ARN format or "*".')
    if _PARTITION.fullmatch(parts[1]) is None:
        raise MalformedPolicy(
            place, f"Partition {_short(parts[1])} is not valid for resource {_short(text)}."
        )
    if _SERVICE.fullmatch(parts[2]) is None:
        raise MalformedPolicy(place, "Resource vendor must be fully qualified and cannot contain regexes.")
    if len(parts) < 6 and len(pieces) > 1:
        raise MalformedPolicy(place, "a variable can't stand before the fifth colon of an ARN")
    # a star at a segment's end may stand for the segments that are not there
    if len(parts) < 6 and not any(part.endswith("*") for part in parts[3:]):
        raise MalformedPolicy(place, f"{_short(text)} has fewer than six parts, so it can't be any ARN")


def _principals(place: str, told: Mapping[str, Any], effect: str) -> Principals:
    name = _one_of(place, told, "Principal", "NotPrincipal", "a trust policy must name a principal")
    where = f"{place}.{name}"
    if name == "NotPrincipal" and effect == "Allow":
        raise MalformedPolicy(where, "NotPrincipal with Allow is not supported: everybody else is too many")
    if told[name] == "*":
        return Principals(("*",), name == "NotPrincipal")
    aws: list[str] = []
    for kind, item in _members(where, told[name]):
        if kind not in _PRINCIPALS:
            raise MalformedPolicy(
                _under(where, kind), f"there is no such principal; there are {', '.join(_PRINCIPALS)}"
            )
        check = _check_aws_principal if kind == "AWS" else _check_other_principal
        texts = _strings(f"{where}.{kind}", item)
        for at, text in texts:
            check(at, text)
        aws += [text for _, text in texts] if kind == "AWS" else []
    if told[name] == {}:
        raise MalformedPolicy(where, "it names nobody")
    return Principals(tuple(aws), name == "NotPrincipal")


def _check_aws_principal(place: str, text: str) -> None:
    known = (
        text == "*"
        or is_account(text)
        or _PRINCIPAL_ARN.fullmatch(text) is not None
        or _UNIQUE_ID.fullmatch(text) is not None
    )
    if not known:
        raise MalformedPolicy(
            place,
            f"Invalid principal in policy: {_short(text)} is no account, no ARN of IAM or STS, and not *",
        )


def _check_other_principal(place: str, text: str) -> None:
    if not text or "*" in text:
        raise MalformedPolicy(place, f"Invalid principal in policy: {_short(text)}")
