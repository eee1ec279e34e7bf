"""Where a call may run: its target's destinations, narrowed by what the endpoint, the account and the caller
are bound to.

A binding is a list of regions and geographies (`eu`). It holds the source region too, since there a call's
data and its records stay. Knows the catalogue and the records; no engine, and no policy (that is `iam`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from outcrop.catalog import Catalog, Model, Profile
from outcrop.catalog.naming import bound_regions
from outcrop.errors import AccessDeniedException, ConfigError
from outcrop.service.call import Call, Handler, Principal, Target
from outcrop.service.principals import Account, Role, User
from outcrop.store import Snapshot
from outcrop.wire.http import Reply

# What is kept of one state: a few callers with a few targets each. The bound is for the unforeseen.
_REMEMBERED: Final = 8192

Names: TypeAlias = tuple[str, ...]


class Binding(msgspec.Struct, frozen=True):
    """One binding: whose it is, as it was given, and the regions it leaves."""

    whose: str
    names: Names
    regions: frozenset[str]

    def __str__(self) -> str:
        return f"{self.whose} is bound to {', '.join(self.names)}"


class _Known:
    """What has been worked out from one state."""

    def __init__(self) -> None:
        self.bindings: dict[tuple[str, ...], tuple[Binding, ...]] = {}
        self.regions: dict[tuple[str, ...], tuple[str, ...]] = {}


class Residency:
    """Decides by the catalogue and `endpoint_binding`, the names in the setting `bedrock.residency`.

    Raises ConfigError when one of them is unknown.
    """

    def __init__(self, catalog: Catalog, endpoint_binding: Iterable[str] = ()) -> None:
        self._catalog = catalog
        names = tuple(endpoint_binding)
        regions = bound_regions(catalog, names, "bedrock.residency")
        self._endpoint = (Binding("the endpoint", names, regions),) if names else ()

        def known(_: Snapshot) -> _Known:
            return _Known()

        self._known = known  # this object's own: another's endpoint may be bound to something else

    def bindings(self, state: Snapshot, principal: Principal) -> tuple[Binding, ...]:
        """Every binding of a caller, the endpoint's first; none when it may use any region.

        Who took on a role keeps their own, and their account's: a role is no way out.
        """
        known = state.derived(self._known).bindings
        key = (principal.account, principal.owner, *principal.via)
        found = known.get(key)
        if found is None:
            _keep_few(known)
            found = known[key] = (*self._endpoint, *self._recorded(state, key))
        return found

    def allowed(self, state: Snapshot, principal: Principal) -> frozenset[str] | None:
        """The regions that a caller may use; None is any."""
        bindings = self.bindings(state, principal)
        if not bindings:
            return None
        return frozenset.intersection(*(binding.regions for binding in bindings))

    def regions(self, call: Call, target: Target) -> tuple[str, ...]:
        """Where a call of `target` may run; nowhere when the bindings leave nothing, or not its source."""
        profile, who = target.profile, call.principal
        called = target.model.id if profile is None else profile.id
        key = (who.account, who.owner, called, call.region, *who.via)
        known = call.state.derived(self._known).regions
        found = known.get(key)
        if found is None:
            _keep_few(known)
            found = known[key] = self._narrowed(call, target.destinations(call.region))
        return found

    def place(self, call: Call, inner: Handler) -> Awaitable[Reply]:
        """A step: fills in `regions` of a call that has a target. Raises AccessDeniedException."""
        if call.target is None:
            return inner(call)
        regions = self.regions(call, call.target)
        if not regions:
            raise AccessDeniedException(self.refusal(call, call.target))
        return inner(msgspec.structs.replace(call, regions=regions))

    def refusal(self, call: Call, target: Target) -> str:
        """Why a call may run nowhere: whose binding is in the way, and which ids fit it from where."""
        bindings = self.bindings(call.state, call.principal)
        allowed = self.allowed(call.state, call.principal) or frozenset()
        who = f"{call.principal.arn} is not authorized to perform: bedrock:{call.operation.name}"
        bound = " and ".join(map(str, bindings))
        if not allowed:
            return f"{who} in any region: {bound}. That leaves no region."
        if call.region not in allowed:
            why = f"in {call.region}, where the call's data and records would stay: {bound}"
        else:
            called = target.model.id if target.profile is None else target.profile.id
            where = ", ".join(target.destinations(call.region))
            why = f"on {called} in {call.region}: that runs in {where}, but {bound}"
        return f"{who} {why}. {self._instead(target.model, allowed)}"

    def _recorded(self, state: Snapshot, key: tuple[str, ...]) -> Iterable[Binding]:
        """The bindings of an account, and of owners by their ARNs with their accounts."""
        account, *owners = key
        accounts = dict.fromkeys((account, *(owner.split(":", 5)[4] for owner in owners if owner)))
        for name in accounts:
            record = state.get(Account, name)
            if record is not None and record.residency:
                yield self._binding(f"the account {name}", record.residency)
        for owner in dict.fromkeys(owners):
            bound = state.get(User, owner) or state.get(Role, owner)
            if bound is not None and bound.residency:
                yield self._binding(owner, bound.residency)

    def _binding(self, whose: str, names: Names) -> Binding:
        try:
            return Binding(whose, names, bound_regions(self._catalog, names, whose))
        except ConfigError:
            # a name of another edition, or written by hand: what it may have meant is not allowed
            return Binding(whose, names, _those_known(self._catalog, names))

    def _narrowed(self, call: Call, destinations: tuple[str, ...]) -> tuple[str, ...]:
        allowed = self.allowed(call.state, call.principal)
        if allowed is None:
            return destinations
        if call.region not in allowed:
            return ()
        return tuple(region for region in destinations if region in allowed)

    def _instead(self, model: Model, allowed: frozenset[str]) -> str:
        """The ids that fit, each with the regions from which it does."""
        fits = {
            profile.id: sources
            for profile in self._catalog.profiles
            if profile.model is model and (sources := _sources_within(profile, allowed))
        }
        if on_demand := sorted(model.on_demand & allowed):
            fits[model.id] = on_demand
        if not fits:
            return f"No region within that offers {model.id}."
        return "Within that: " + "; ".join(f"{name} from {', '.join(fits[name])}" for name in fits) + "."


def _keep_few(known: dict[tuple[str, ...], Any]) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()


def _sources_within(profile: Profile, allowed: frozenset[str]) -> list[str]:
    return sorted(
        source
        for source in profile.sources
        if source in allowed and allowed.intersection(profile.routes[source])
    )


def _those_known(catalog: Catalog, names: Names) -> frozenset[str]:
    known: Mapping[str, Iterable[str]] = {
        **{region: (region,) for region in catalog.regions},
        **catalog.geographies,
    }
    return frozenset(region for name in names for region in known.get(name, ()))
