"""The step of the chain that asks the policies. Knows the records of principals; not how policies decide.

A principal's policies become `Layers` once a snapshot, from texts that are compiled once a process. What
they decide on a call of a model is remembered in the snapshot too, when it can't change there: the requests
of such a call follow from the snapshot, the principal, the kind of credentials, the operation, the target and
the region, and all of these are in the memo's key; the rest of a context is `context.passing`, and nothing is
remembered of layers that look at any key of that. So what is remembered is what would be decided again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from outcrop.catalog import Catalog
from outcrop.errors import AccessDeniedException, InternalServerException
from outcrop.service.call import Call, Handler, Principal
from outcrop.service.iam import context, requirements, texts
from outcrop.service.iam.context import PASSING, Connection
from outcrop.service.iam.decide import (
    Decision,
    Layers,
    NamedPolicy,
    Request,
    decide,
    decide_assume,
    may_assume,
)
from outcrop.service.iam.policy import MalformedPolicy, parse
from outcrop.service.iam.presets import PRESETS
from outcrop.service.principals import Account, Role, User
from outcrop.store import Snapshot
from outcrop.wire.http import Head, Reply

T = TypeVar("T")
Decided: TypeAlias = list[tuple[Request, Decision]]
_Key: TypeAlias = tuple[str, ...]

# A snapshot lives until the next change. Sessions have names that callers choose, so there is an end.
_MOST: Final = 4096
_MOST_LAYERS: Final = 256  # they hold compiled policies


def _unknown(head: Head) -> Connection:  # noqa: ARG001 - it says nothing about any head
    return Connection()


class _Memo:
    """What has been worked out from one snapshot."""

    __slots__ = ("layers", "refusals")

    def __init__(self) -> None:
        self.layers: dict[_Key, Layers] = {}
        self.refusals: dict[_Key, str] = {}


class Authoriser:
    """Asks for every call whether the caller's policies allow it.

    `connection` tells what is known of where a call came in; without it, addresses are missing from contexts,
    and nothing counts as under TLS.
    """

    def __init__(self, catalog: Catalog, connection: Callable[[Head], Connection] = _unknown) -> None:
        self._catalog = catalog
        self._connection = connection
        # one function for the life of this object: a snapshot keeps what it makes by the function
        self._memo: Callable[[Snapshot], _Memo] = lambda state: _Memo()  # noqa: ARG005 - it fills itself

    def authorise(self, call: Call, inner: Handler) -> Awaitable[Reply]:
        """A step. Raises AccessDeniedException with AWS's text where a policy is against it."""
        refusal = self._refusal(call)
        if refusal:
            raise AccessDeniedException(refusal)
        return inner(call)

    def explain(self, call: Call) -> Decided:
        """Everything that the call asks for and what is decided on each, whatever the first ones say."""
        layers = self._layers(call, call.state.derived(self._memo))
        return [(request, self._decide(call, layers, request)) for request in self._requests(call)]

    def _refusal(self, call: Call) -> str:
        memo = call.state.derived(self._memo)
        if call.target is None:
            return self._asked(call, self._layers(call, memo))
        key = _key(call)
        known = memo.refusals.get(key)
        if known is not None:
            return known
        layers = self._layers(call, memo)
        refusal = self._asked(call, layers)
        if layers.reads.isdisjoint(PASSING):
            _keep(memo.refusals, key, refusal, _MOST)
        return refusal

    def _asked(self, call: Call, layers: Layers) -> str:
        """The text of the first refusal, "" where there is none."""
        for request in self._requests(call):
            decision = self._decide(call, layers, request)
            if not decision.allowed:
                return texts.refusal(call.principal.arn, request, decision)
        return ""

    def _requests(self, call: Call) -> tuple[Request, ...]:
        told = {**context.steady(call.principal), **context.passing(call, self._connection(call.head))}
        return requirements.of(call, self._catalog, told, context.token_type(call))

    def _decide(self, call: Call, layers: Layers, request: Request) -> Decision:
        if call.operation.name != "AssumeRole":
            return decide(layers, request)
        role = call.state.get(Role, request.resource)
        if role is None:  # AWS does not tell a stranger which roles there are
            return Decision(False, "implicit deny", "trust")
        try:
            trusted = may_assume(role.trust, call.principal, role, request.context)
        except MalformedPolicy as error:
            raise _unreadable(role.arn, error) from error
        return decide_assume(layers, trusted, request)

    def _layers(self, call: Call, memo: _Memo) -> Layers:
        principal = call.principal
        key = (principal.owner or principal.arn, principal.account, principal.session_policy)
        layers = memo.layers.get(key)
        if layers is None:
            try:
                layers = layers_of(call.state, principal)
            except MalformedPolicy as error:
                raise _unreadable(key[0], error) from error
            _keep(memo.layers, key, layers, _MOST_LAYERS)
        return layers


def layers_of(state: Snapshot, principal: Principal) -> Layers:
    """The policies around a principal in a state. Raises MalformedPolicy for one that can't be read.

    Whoever is not there any more has no policies, and so may do nothing.
    """
    arn = principal.owner or principal.arn
    owner = state.get(User, arn) or state.get(Role, arn)
    account = state.get(Account, principal.account)
    boundary = owner.boundary if owner is not None else ""
    return Layers(
        identity=_named(owner.policies if owner is not None else {}),
        boundary=_named({"boundary": boundary}) if boundary else None,
        account=_control(account.policies) if account is not None and account.policies else None,
        session=_named({"session": principal.session_policy}) if principal.session_policy else None,
    )


def _control(policies: Mapping[str, str]) -> tuple[NamedPolicy, ...]:
    """An account's service control policies. To an organisation's account FullAWSAccess is attached at first,
    and who only adds Denies leaves it there (Organizations User Guide, "deny list"); an Allow replaces it.
    """
    named = _named(policies)
    if any(statement.allow for one in named for statement in one.policy.statements):
        return named
    return (*named, NamedPolicy("FullAWSAccess", parse(PRESETS["everything"])))


def _named(policies: Mapping[str, str]) -> tuple[NamedPolicy, ...]:
    return tuple(NamedPolicy(name, parse(text)) for name, text in policies.items())


def _key(call: Call) -> _Key:
    """All that the requests of a call of a model follow from, but for what is passing."""
    who, target = call.principal, call.target
    assert target is not None  # noqa: S101 - the caller has looked
    return (
        who.arn,
        who.user_id,
        who.account,
        who.key,
        who.owner,
        who.session_policy,
        context.token_type(call),
        call.operation.name,
        target.model.id,
        target.profile.id if target.profile is not None else "",
        target.arn,
        call.region,
    )


def _unreadable(owner: str, error: MalformedPolicy) -> InternalServerException:
    """Policies are checked before they are stored; one that came in another way must not open a door."""
    return InternalServerException(reason=f"a policy of {owner} can't be read: {error}")


def _keep(kept: dict[_Key, T], key: _Key, value: T, most: int) -> None:
    if len(kept) >= most:
        kept.clear()
    kept[key] = value
