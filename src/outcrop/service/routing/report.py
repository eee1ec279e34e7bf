"""Where calls were sent, from the records of them, and whether one left the regions it was allowed.

Knows records of calls and the catalogue; not the dispatcher, so that its mistakes would show: where a profile
may run is computed here anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from outcrop.catalog import Catalog
from outcrop.store.calls import CallRecord

_MOST: Final = 100  # violations that are listed one by one


class Route(NamedTuple):
    """What the calls of one line have in common. `region` is the source, `contacted` where they were sent."""

    account: str
    owner: str
    called: str
    region: str
    contacted: str
    engine: str
    simulated: bool


class Violation(msgspec.Struct, frozen=True):
    """A call that was sent where it was not allowed, and why that was so."""

    record: CallRecord
    region: str
    why: str


class Report(msgspec.Struct, frozen=True):
    """`routes` are numbers of sendings; `violations` the first hundred of `violated`.

    `calls` counts the records looked at, `unsent` those that reached no region.
    """

    routes: dict[Route, int]
    violations: tuple[Violation, ...]
    violated: int
    calls: int
    unsent: int


def report(catalog: Catalog, records: Iterable[CallRecord], bound: frozenset[str] | None = None) -> Report:
    """Look at every record. With `bound`, every call must have stayed within these regions, too."""
    routes: dict[Route, int] = {}
    violations: list[Violation] = []
    calls = unsent = violated = 0
    for record in records:
        calls += 1
        unsent += not record.contacted
        for region in record.contacted:
            route = _route(record, region)
            routes[route] = routes.get(route, 0) + 1
            why = _why_outside(catalog, record, region, bound)
            if why:
                violated += 1
                if len(violations) < _MOST:
                    violations.append(Violation(record, region, why))
    return Report(routes, tuple(violations), violated, calls, unsent)


def _route(record: CallRecord, region: str) -> Route:
    called = record.profile or record.model_id
    answered = region == record.destination
    return Route(
        record.account,
        record.owner or record.principal,
        called,
        record.region,
        region,
        record.engine if answered else "",
        record.simulated,
    )


def _why_outside(catalog: Catalog, record: CallRecord, region: str, bound: frozenset[str] | None) -> str:
    """What a sending broke; "" where it was allowed."""
    if region not in record.allowed:
        return f"the call was allowed {', '.join(record.allowed) or 'no region'}"
    profile = catalog.profile(record.profile) if record.profile else None
    if record.profile and profile is None:
        return f"the catalogue has no profile {record.profile}: where it may run is not known"
    runs = (record.region,) if profile is None else profile.destinations(record.region)
    if region not in runs:
        return f"{record.profile or record.model_id} called from {record.region} runs in {', '.join(runs)}"
    if bound is not None and region not in bound:
        return "the regions asked about do not contain it"
    return ""
