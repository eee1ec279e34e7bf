"""`outcrop explain`: what would happen to a call, step by step. Knows no rule: the service's steps do."""

from __future__ import annotations

import re
import textwrap
import time
from typing import TYPE_CHECKING, Final

import click
import msgspec

from outcrop.catalog import Catalog, naming
from outcrop.cli.group import EXIT_FAILURE
from outcrop.cli.keys import account_id, account_option, own_key, principals_of
from outcrop.cli.options import output_option, print_record, settings_options
from outcrop.cli.running import warn_of_others
from outcrop.config import Loaded, Settings

if TYPE_CHECKING:
    from outcrop.service.call import Call
    from outcrop.service.explain import Explainer, Explanation
    from outcrop.service.principals import Principals
    from outcrop.service.routing.places import Fleet

_MARKS: Final = {"yes": "✓", "no": "✗", "note": "·"}
_WIDTH: Final = 100
_COMMAND: Final = re.compile("`[^`]+`")
_UNBROKEN: Final = "\N{NO-BREAK SPACE}"
_OPERATIONS: Final = ("InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream")


@click.command(
    help="Say step by step what would happen to a call of MODEL: what the id means, which policy decides, "
    "whether there is access, where it may be sent, what quota is left, what it would cost, and what to "
    "change when it would be refused. MODEL is an id or ARN as in a call, or a short name: here that is the "
    "bare id, while in the Python client it means the global profile. Nothing is sent. The settings found "
    "here decide, not those of a running endpoint. Ends with 1 when the call would be refused."
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
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    help="How many tokens of output the call asks for, which quotas hold back. Default: the model's maximum, "
    "as for a Converse that does not say.",
)
@click.option("--operation", type=click.Choice(_OPERATIONS), default="Converse", show_default=True)
@output_option
@settings_options(engine=True)
def explain(
    loaded: Loaded,
    model: str,
    who: str | None,
    account: str,
    region: str | None,
    max_tokens: int | None,
    operation: str,
    output: str,
) -> None:
    """Decided by the steps that decide it in the endpoint, from the same state."""
    from outcrop.service.explain import asking, caller_named

    warn_of_others(loaded, engines=True)
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
    told = _explainer(settings, catalog, principals).explain(call, max_tokens)
    told = _with_note(told, _note(settings, model, call))
    if output == "json":
        print_record({**_asked(call), **_as_json(told)}, output)
    else:
        click.echo(f"{call.principal.arn} calls {operation} of {call.labels['modelId']} from {source}.\n")
        _print(told)
    if not told.answered:
        click.get_current_context().exit(EXIT_FAILURE)


def _full(catalog: Catalog, named: str) -> str:
    """The id that a short name stands for, behind the same prefix; anything else as it is."""
    scope, dot, name = named.rpartition(".")
    full = {short: model.id for model in catalog.models for short in model.short_names}.get(name)
    return named if full is None or scope.endswith("anthropic") else f"{scope}{dot}{full}"


def _note(settings: Settings, named: str, call: Call) -> str:
    """What a short name means to the Python client; "" for what is none."""
    meant = call.labels["modelId"]
    if "." in named or meant == named:
        return ""
    from outcrop.client.placing import Placer

    theirs = Placer(call.region, edition=settings.bedrock.edition).place(named)[0].model
    return f"A bare id; the Python client's short name means {'the same' if theirs == meant else theirs}."


def _with_note(told: Explanation, note: str) -> Explanation:
    """The same, with something more to say of the id."""
    if not note:
        return told
    first, *others = told.findings
    first = msgspec.structs.replace(first, details=(*first.details, note))
    return msgspec.structs.replace(told, findings=(first, *others))


def _explainer(settings: Settings, catalog: Catalog, principals: Principals) -> Explainer:
    from outcrop.service.access import Access
    from outcrop.service.explain import Explainer
    from outcrop.service.quota.step import Quotas
    from outcrop.service.routing.residency import Residency
    from outcrop.store.counters import NAME, Counters

    bedrock = settings.bedrock
    quotas = None
    if bedrock.quotas:
        counters = Counters(settings.data.folder / NAME)
        click.get_current_context().call_on_close(counters.close)
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
    """Print a paragraph; an id, an ARN or a command is never broken, so that it can be copied."""
    whole = _COMMAND.sub(lambda found: found[0].replace(" ", _UNBROKEN), text)
    for line in textwrap.wrap(
        whole,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    ):
        click.echo(line.replace(_UNBROKEN, " "))


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
                "policy": finding.policy,
            }
            for finding in told.findings
        ],
    }
