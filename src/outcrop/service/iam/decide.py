"""A request against the policies of every layer: allowed or not, by which statement of which policy.

Knows compiled policies and contexts; not where they come from, nor how a refusal is worded. AWS's order
(IAM User Guide, "Policy evaluation logic"): a Deny in any layer decides; then each layer that there is must
have an Allow. A layer is None where nothing is attached (no boundary, no session policy), which narrows
nothing, and () where something could be and is not, which allows nothing.

A role's trust policy is the one policy of a resource here. It has to allow; whether the caller's own policies
have to as well depends on whom it names (`Decision.grant`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from outcrop.service.iam import patterns
from outcrop.service.iam.patterns import Context, Value
from outcrop.service.iam.policy import Policy, Principals, Statement, parse

if TYPE_CHECKING:
    from outcrop.service.call import Principal
    from outcrop.service.principals import Role

Layer: TypeAlias = Literal["identity", "boundary", "account", "session", "trust"]
Reason: TypeAlias = Literal["allowed", "explicit deny", "implicit deny"]
Grant: TypeAlias = Literal["", "principal", "role", "account"]

# AWS asks the account's policies first, a session's last.
ORDER: Final[tuple[Layer, ...]] = ("account", "identity", "boundary", "session")
_ASSUME: Final = "sts:assumerole"
# Which of the caller's layers must allow, by whom the trust policy names. What it gives to a user, or to a
# session, needs nothing more; to a role, no more than boundary and session policy leave it; an account hands
# it to its identity policies. The account's own policies narrow in every case.
_REQUIRED: Final[Mapping[Grant, tuple[Layer, ...]]] = {
    "principal": ("account",),
    "role": ("account", "boundary", "session"),
    "account": ORDER,
    "": ORDER,
}
_STRONGEST: Final[tuple[Grant, ...]] = ("principal", "role", "account")


class Request(msgspec.Struct, frozen=True):
    """An action on a resource. `context` has its keys in the spelling of `patterns.canonical`: see `of`."""

    action: str
    resource: str
    context: Context = {}

    @classmethod
    def of(cls, action: str, resource: str, context: Mapping[str, Value]) -> Request:
        """With keys in any spelling."""
        return cls(action, resource, {patterns.canonical(key): value for key, value in context.items()})


class NamedPolicy(msgspec.Struct, frozen=True):
    """A policy and the name under which it is attached."""

    name: str
    policy: Policy


class Decision(msgspec.Struct, frozen=True):
    """What was decided, and by what.

    `layer` is the layer that decided; `policy`, `sid` and `statement` (its index) the statement, "" and None
    where none did: an implicit deny is a layer without an Allow. `grant` is of trust policies: whom it names.
    """

    allowed: bool
    reason: Reason
    layer: Layer
    policy: str = ""
    sid: str = ""
    statement: int | None = None
    grant: Grant = ""


class Layers:
    """The policies around a principal, ready to be asked. `reads` are the context keys that any looks at."""

    __slots__ = ("_allows", "_denies", "account", "boundary", "identity", "reads", "session")

    def __init__(
        self,
        identity: tuple[NamedPolicy, ...] | None,
        boundary: tuple[NamedPolicy, ...] | None = None,
        account: tuple[NamedPolicy, ...] | None = None,
        session: tuple[NamedPolicy, ...] | None = None,
    ) -> None:
        self.identity = identity
        self.boundary = boundary
        self.account = account
        self.session = session
        attached = {"account": account, "identity": identity, "boundary": boundary, "session": session}
        present = [(layer, attached[layer]) for layer in ORDER]
        self._denies = [
            (layer, *row) for layer, policies in present for row in _rows(policies or ()) if not row[1].allow
        ]
        self._allows = [
            (layer, [row for row in _rows(policies) if row[1].allow])
            for layer, policies in present
            if policies is not None
        ]
        every = [named.policy.reads for _, policies in present for named in policies or ()]
        self.reads: frozenset[str] = frozenset().union(*every)

    def denied(self, action: str, request: Request) -> Decision | None:
        """The first Deny that applies. `action` is the request's in lower case."""
        for layer, name, statement in self._denies:
            if statement.applies(action, request.resource, request.context):
                return Decision(False, "explicit deny", layer, name, statement.sid, statement.index)
        return None

    def allowed(self, action: str, request: Request, required: tuple[Layer, ...]) -> Decision:
        """What follows where nothing denies: each of the required layers must allow."""
        decision = Decision(True, "allowed", "identity")
        for layer, rows in self._allows:
            if layer not in required:
                continue
            for name, statement in rows:
                if statement.applies(action, request.resource, request.context):
                    if layer == "identity":
                        decision = Decision(True, "allowed", layer, name, statement.sid, statement.index)
                    break
            else:
                return Decision(False, "implicit deny", layer)
        return decision


def _rows(policies: Iterable[NamedPolicy]) -> list[tuple[str, Statement]]:
    return [(named.name, statement) for named in policies for statement in named.policy.statements]


def decide(layers: Layers, request: Request, required: tuple[Layer, ...] = ORDER) -> Decision:
    """Whether the request is allowed. Of the layers that there are, those in `required` must allow."""
    action = request.action.lower()
    return layers.denied(action, request) or layers.allowed(action, request, required)


def may_assume(trust: str, caller: Principal, role: Role, context: Mapping[str, Value]) -> Decision:
    """Whether a role's trust policy lets a caller in; `grant` tells whom it named.

    This is the role's side: whether the caller's own policies must allow too, `decide_assume` knows. Raises
    MalformedPolicy.
    """
    policy = parse(trust, trust=True)
    told = {patterns.canonical(key): value for key, value in context.items()}
    granted: dict[Grant, Statement] = {}
    for statement in policy.statements:
        grant = _named(statement.principals, caller, role)
        if grant and statement.applies(_ASSUME, role.arn, told):
            if not statement.allow:
                return Decision(False, "explicit deny", "trust", "", statement.sid, statement.index)
            granted.setdefault(grant, statement)
    for grant in _STRONGEST:
        if grant in granted:
            found = granted[grant]
            return Decision(True, "allowed", "trust", "", found.sid, found.index, grant)
    return Decision(False, "implicit deny", "trust")


def decide_assume(layers: Layers, trust: Decision, request: Request) -> Decision:
    """Whether a caller with these layers may assume a role whose trust policy said `trust`."""
    if not trust.allowed:
        return trust
    decision = decide(layers, request, _REQUIRED[trust.grant])
    return trust if decision.allowed and trust.grant in ("principal", "role") else decision


def _named(principals: Principals | None, caller: Principal, role: Role) -> Grant:
    """As what a statement's principals mean the caller, "" where they don't."""
    if principals is None:
        return ""
    grants = {_meant(text, caller) for text in principals.aws}
    if principals.inverted:
        return "" if grants & set(_STRONGEST) else "account"
    found: Grant = next((grant for grant in _STRONGEST if grant in grants), "")
    # across accounts the caller's own account has to agree, whomever the role names
    return "account" if found and caller.account != role.account else found


def _meant(text: str, caller: Principal) -> Grant:
    if text in ("*", caller.arn):
        return "principal"
    if text in (caller.account, f"{':'.join(caller.arn.split(':')[:2])}:iam::{caller.account}:root"):
        return "account"
    if text == caller.owner:
        return "role"
    # AWS writes a deleted principal's unique id into the policy; a role session's is `<role id>:<session>`
    own, colon, _ = caller.user_id.partition(":")
    if text == own:
        return "role" if colon else "principal"
    return ""
