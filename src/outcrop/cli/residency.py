"""`outcrop residency`: where calls were sent, as this endpoint recorded. Knows no rule: the report does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from outcrop.catalog import Catalog, naming
from outcrop.cli.group import EXIT_FAILURE
from outcrop.cli.keys import Duration, account_id, account_option, moment, principals_of, state_path
from outcrop.cli.options import output_option, print_record, print_rows, settings_options
from outcrop.config import Loaded

if TYPE_CHECKING:
    from outcrop.service.routing.report import Report, Route, Sent, Violation

_COLUMNS = ("account", "caller", "called", "from", "sent_to", "engine", "sent", "failed")


@click.group(help="Show where calls were sent, and whether one left the regions it was allowed.")
def residency() -> None:
    """The commands below."""


@residency.command(
    help="List where every call was sent: by caller, id, source and destination. Ends with 1 when one was "
    "sent outside of what its profile and the bindings of its time allowed; with --within, outside of that."
)
@click.option(
    "--since", type=Duration(), default="30d", show_default=True, help="How far back: 90m, 12h, 30d."
)
@account_option("Only this account's calls.")
@click.option(
    "--within",
    multiple=True,
    metavar="REGION|GEOGRAPHY",
    help="Every call must have stayed within. Repeatable.",
)
@output_option
@settings_options()
@click.pass_context
def report(
    ctx: click.Context, loaded: Loaded, since: int, account: str, within: tuple[str, ...], output: str
) -> None:
    """Computed from the records of calls; failed attempts are in it, since they were sent too."""
    from outcrop.service.routing import report as reports
    from outcrop.store.calls import CallLog

    settings = loaded.settings
    catalog = Catalog.load(settings.bedrock.edition)
    bound = naming.bound_regions(catalog, within, "--within") if within else None
    principals = principals_of(settings)
    began = max(0.0, time.time() - since)
    calls = CallLog(state_path(settings.data.folder))
    ctx.call_on_close(calls.close)
    records = calls.read(since=began, account=account_id(principals, account) or None)
    told = reports.report(catalog, records, bound)
    rows = [_row(route, sent) for route, sent in sorted(told.routes.items())]
    violations = [_violation(each) for each in told.violations]
    if output == "json":
        print_record(
            {
                "since": moment(began),
                "calls": told.calls,
                "unsent": told.unsent,
                "sent": told.sent.sent,
                "failed": told.sent.failed,
                "violated": told.violated,
                "routes": rows,
                "violations": violations,
            },
            output,
        )
    else:
        _print(told, rows, violations, began)
    if told.violated:
        ctx.exit(EXIT_FAILURE)


def _print(told: Report, rows: list[dict[str, Any]], violations: list[dict[str, Any]], began: float) -> None:
    if rows:
        print_rows([_for_people(row) for row in rows], "table", _COLUMNS)
        click.echo()
    if any(row["simulated"] for row in rows):
        click.echo("(simulated): one engine stands for every region, and the region is a label only.")
    click.echo(f"{_footer(told)} since {moment(began)}.")
    if not told.violated:
        click.echo("None left the regions it was allowed.")
        return
    first = f"; the first {len(violations)}" if told.violated > len(violations) else ""
    were = "sending was" if told.violated == 1 else "sendings were"
    click.echo(f"{told.violated} {were} outside of what was allowed{first}:\n")
    print_rows(violations, "table", ["when", "request_id", "caller", "called", "from", "sent_to", "why"])
    click.echo("\nTo keep later calls within: `outcrop users bind`, or bedrock.residency for all of them.")


def _footer(told: Report) -> str:
    """The calls, and the sendings that the rows add up to: a call that failed over has several."""
    sent, failed = told.sent
    text = f"{told.calls} call{'s' if told.calls != 1 else ''}"
    if told.unsent:
        text += f" ({told.unsent} of them sent nowhere)"
    if sent:
        text += f", {sent} sending{'s' if sent != 1 else ''}"
    return f"{text} ({failed} of them failed)" if failed else text


def _row(route: Route, sent: Sent) -> dict[str, Any]:
    return {
        "account": route.account,
        "caller": route.owner,
        "called": route.called,
        "profile": route.profile,
        "from": route.region,
        "sent_to": route.contacted,
        "engine": route.engine,
        "sent": sent.sent,
        "failed": sent.failed,
        "simulated": route.simulated,
    }


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "sent_to": f"{row['sent_to']} (simulated)" if row["simulated"] else row["sent_to"]}


def _violation(each: Violation) -> dict[str, Any]:
    from outcrop.service.routing.report import called

    record = each.record
    return {
        "when": moment(record.received),
        "request_id": record.request_id,
        "caller": record.owner or record.principal,
        "called": called(record),
        "from": record.region,
        "sent_to": each.region,
        "why": each.why,
    }
