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
    """What the sendings of one line have in common.

    `region` is the source, `contacted` where they were sent. `engine` is who answered, "" where this sending
    brought no answer; only of one that did is it recorded whether the region was `simulated`.
    """

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
        sent = _sent(record)
        calls += 1
        unsent += not sent
        for route in sent:
            routes[route] = routes.get(route, 0) + 1
            why = _why_outside(catalog, record, route.contacted, bound)
            if why:
                violated += 1
                if len(violations) < _MOST:
                    violations.append(Violation(record, route.contacted, why))
    return Report(routes, tuple(violations), violated, calls, unsent)


def _sent(record: CallRecord) -> list[Route]:
    """Every sending of a call; the last one brought the answer, if there was one."""
    regions = list(record.contacted)
    if record.destination and regions[-1:] != [record.destination]:
        regions.append(record.destination)  # no dispatcher writes that, and it must not go unseen
    answered = len(regions) - 1 if record.destination else -1
    who = record.owner or record.principal
    asked = (record.account, who, record.profile or record.model_id, record.region)
    return [
        Route(*asked, region, record.engine, record.simulated)
        if number == answered
        else Route(*asked, region, "", simulated=False)
        for number, region in enumerate(regions)
    ]


def _why_outside(catalog: Catalog, record: CallRecord, region: str, bound: frozenset[str] | None) -> str:
    """What a sending broke; "" where it was allowed."""
    if region not in record.allowed:
        return f"the call was allowed {', '.join(record.allowed) or 'no region'}"
    profile = catalog.profile(record.profile) if record.profile else None
    if record.profile and profile is None:
        return (
            f"the catalogue's edition {catalog.edition} has no profile {record.profile}: where it may run is "
            "not known; set bedrock.edition to that of the call"
        )
    runs = (record.region,) if profile is None else profile.destinations(record.region)
    if region not in runs:
        where = ", ".join(runs) or "no region"
        return f"{record.profile or record.model_id} called from {record.region} runs in {where}"
    if bound is not None and region not in bound:
        return "the regions asked about do not contain it"
    return ""
