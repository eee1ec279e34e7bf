"""Where calls were sent, from the records of them, and whether one left the regions it was allowed.

Knows records of calls and the catalogue; not the dispatcher, so that its mistakes would show: where a profile
may run is computed here anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from outcrop.catalog import Catalog
from outcrop.store.calls import CallRecord, Contact

_MOST: Final = 100  # violations that are listed one by one
_APPLICATION: Final = ":application-inference-profile/"


class Route(NamedTuple):
    """What the sendings of one line have in common.

    `called` is the id of the system profile or the model; of an application profile it is the ARN, so that
    its users can be told apart, and the system profile that it stands for is `profile`. `region` is the
    source, `contacted` where they were sent, `engine` to whom, by its configured name.
    """

    account: str
    owner: str
    called: str
    profile: str
    region: str
    contacted: str
    engine: str
    simulated: bool


class Sent(NamedTuple):
    """How many sendings, and how many of them failed: another engine was asked, or the call failed."""

    sent: int = 0
    failed: int = 0


class Violation(msgspec.Struct, frozen=True):
    """A call that was sent where it was not allowed, and why that was so."""

    record: CallRecord
    region: str
    why: str


class Report(msgspec.Struct, frozen=True):
    """`routes` are numbers of sendings; `violations` the first hundred of `violated`, which are sendings too.

    `calls` counts the records looked at, `unsent` those that reached no region.
    """

    routes: dict[Route, Sent]
    violations: tuple[Violation, ...]
    violated: int
    calls: int
    unsent: int

    @property
    def sent(self) -> Sent:
        """All sendings together."""
        rows = self.routes.values()
        return Sent(sum(row.sent for row in rows), sum(row.failed for row in rows))


def report(catalog: Catalog, records: Iterable[CallRecord], bound: frozenset[str] | None = None) -> Report:
    """Look at every record. With `bound`, every call must have stayed within these regions, too."""
    routes: dict[Route, Sent] = {}
    violations: list[Violation] = []
    calls = unsent = violated = 0
    for record in records:
        sent = _sent(record)
        calls += 1
        unsent += not sent
        for route, failed in sent:
            before = routes.get(route, Sent())
            routes[route] = Sent(before.sent + 1, before.failed + failed)
            why = _why_outside(catalog, record, route.contacted, bound)
            if why:
                violated += 1
                if len(violations) < _MOST:
                    violations.append(Violation(record, route.contacted, why))
    return Report(routes, tuple(violations), violated, calls, unsent)


def called(record: CallRecord) -> str:
    """By what a call named its model, in one form: as `Route` has it."""
    return record.model_id if _APPLICATION in record.model_id else record.profile or record.model_id


def _sent(record: CallRecord) -> list[tuple[Route, bool]]:
    """Every sending of a call, and whether it failed. None but the last can have brought the answer."""
    contacts = list(record.contacted)
    if record.destination and [each.region for each in contacts[-1:]] != [record.destination]:
        # no dispatcher writes that, and it must not go unseen
        contacts.append(Contact(record.engine, record.destination, record.simulated))
    who, asked = record.owner or record.principal, called(record)
    named = (record.account, who, asked, record.profile, record.region)
    last = len(contacts) - 1
    return [
        (Route(*named, each.region, each.place, each.simulated), number < last or record.status == "failed")
        for number, each in enumerate(contacts)
    ]


def _why_outside(catalog: Catalog, record: CallRecord, region: str, bound: frozenset[str] | None) -> str:
    """What a sending broke; "" where it was allowed."""
    if record.allowed is not None and region not in record.allowed:
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
