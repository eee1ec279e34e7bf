"""`outcrop explain`: what would happen to a call, step by step. Knows no rule: the service's steps do."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING, Final

import click

from outcrop.catalog import Catalog, naming
from outcrop.cli.group import EXIT_FAILURE
from outcrop.cli.keys import account_id, account_option, own_key, principals_of
from outcrop.cli.options import output_option, print_record, settings_options
from outcrop.config import Loaded, Settings

if TYPE_CHECKING:
    from outcrop.service.call import Call
    from outcrop.service.explain import Explainer, Explanation
    from outcrop.service.principals import Principals
    from outcrop.service.routing.places import Fleet

_MARKS: Final = {"yes": "✓", "no": "✗", "note": "·"}
_WIDTH: Final = 100
_OPERATIONS: Final = ("InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream")


@click.command(
    help="Say step by step what would happen to a call of MODEL: what the id means, which policy decides, "
    "whether there is access, where it may be sent, what quota is left, what it would cost, and what to "
    "change when it would be refused. MODEL is an id or ARN as in a call, or a short name. Nothing is sent. "
    "Ends with 1 when the call would be refused."
)
@click.argument("model")
@click.option(
    "--as",
    "who",
    metavar="KEY|USER|ARN",
    help="Who calls: an access key id, an API key's name, a user, or the ARN of a user or role. "
    "Default: the key that `outcrop env` prints.",
)
@account_option("The account of a user that is given by name. Default: the first one.")
@click.option("--region", help="The region called from. Default: bedrock.region.")
@click.option("--operation", type=click.Choice(_OPERATIONS), default="Converse", show_default=True)
@output_option
@settings_options(engine=True)
@click.pass_context
def explain(
    ctx: click.Context,
    loaded: Loaded,
    model: str,
    who: str | None,
    account: str,
    region: str | None,
    operation: str,
    output: str,
) -> None:
    """Decided by the steps that decide it in the endpoint, from the same state and settings."""
    from outcrop.service.explain import asking, caller_named

    settings = loaded.settings
    catalog = Catalog.load(settings.bedrock.edition)
    principals = principals_of(settings)
    named = who or own_key(principals).id  # a fresh install's is made now
    state, now = principals.store.snapshot(), time.time()
    source = region or settings.bedrock.region
    naming.regions(catalog, [source], "--region" if region else "bedrock.region")
    call = asking(
        state,
        caller=caller_named(state, named, account_id(principals, account) or principals.account, now),
        region=source,
        model_id=_full(catalog, model),
        operation=operation,
        now=now,
    )
    told = _explainer(ctx, settings, catalog, principals).explain(call)
    if output == "json":
        print_record({**_asked(call), **_as_json(told)}, output)
    else:
        click.echo(f"{call.principal.arn} calls {operation} of {call.labels['modelId']} from {source}.\n")
        _print(told)
    if not told.answered:
        ctx.exit(EXIT_FAILURE)


def _full(catalog: Catalog, named: str) -> str:
    """The id that a short name stands for, behind the same prefix; anything else as it is."""
    scope, dot, name = named.rpartition(".")
    full = {short: model.id for model in catalog.models for short in model.short_names}.get(name)
    return named if full is None or scope.endswith("anthropic") else f"{scope}{dot}{full}"


def _explainer(ctx: click.Context, settings: Settings, catalog: Catalog, principals: Principals) -> Explainer:
    from outcrop.service.access import Access
    from outcrop.service.explain import Explainer
    from outcrop.service.quota.step import Quotas
    from outcrop.service.routing.residency import Residency
    from outcrop.store.counters import NAME, Counters

    bedrock = settings.bedrock
    quotas = None
    if bedrock.quotas:
        counters = Counters(settings.data.folder / NAME)
        ctx.call_on_close(counters.close)
        quotas = Quotas(counters, enabled=True, clock=time.time)
    return Explainer(
        catalog,
        bare_model_id=bedrock.bare_model_id,
        access=Access(catalog, principals.store, bedrock.access),
        residency=Residency(catalog, bedrock.residency),
        quotas=quotas,
        fleet=_fleet(settings, catalog),
    )


def _fleet(settings: Settings, catalog: Catalog) -> Fleet:
    """Every engine in its place. An engine that needs no model and no key stands in: none is asked."""
    from outcrop.engine.scripted import ScriptedEngine
    from outcrop.service.routing.places import Fleet, Place

    places = []
    for name, placed in settings.placed.items():
        at = f"engines.{name}"
        regions = naming.regions(catalog, placed.regions, f"{at}.regions") if placed.regions else None
        models = naming.models(catalog, placed.models, f"{at}.models") if placed.models else None
        places.append(Place(name, ScriptedEngine(()), regions, models))
    return Fleet(places)


def _print(told: Explanation) -> None:
    width = max(len(finding.step) for finding in told.findings)
    indent = " " * (width + 4)
    for finding in told.findings:
        lead = f"{_MARKS[finding.verdict]} {finding.step:<{width}}  "
        _wrapped(finding.text, lead, indent)
        for detail in finding.details:
            _wrapped(detail, f"{indent}- ", f"{indent}  ")
        if finding.fix and finding.verdict == "no":
            _wrapped(finding.fix, f"{indent}→ ", f"{indent}  ")
    click.echo()
    click.echo("The call would be answered." if told.answered else "The call would be refused.")


def _wrapped(text: str, first: str, later: str) -> None:
    """Print a paragraph; an id or ARN is never broken, so that it can be copied."""
    for line in textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    ):
        click.echo(line)


def _asked(call: Call) -> dict[str, object]:
    return {
        "caller": call.principal.arn,
        "operation": call.operation.name,
        "model": call.labels["modelId"],
        "region": call.region,
    }


def _as_json(told: Explanation) -> dict[str, object]:
    return {
        "answered": told.answered,
        "findings": [
            {
                "step": finding.step,
                "verdict": finding.verdict,
                "text": finding.text,
                "details": list(finding.details),
                "fix": finding.fix,
            }
            for finding in told.findings
        ],
    }
