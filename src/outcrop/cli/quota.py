"""`outcrop quota`: limits, what is left of them, why a call was refused. Knows no rule: the service does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from outcrop.catalog import Catalog, Model, naming, quotas
from outcrop.cli.keys import account_id, moment, principals_of
from outcrop.cli.options import output_option, print_rows, settings_options
from outcrop.cli.running import warn_of_others
from outcrop.config import Loaded, Settings
from outcrop.errors import OutcropError

if TYPE_CHECKING:
    from outcrop.service.quota.limits import Bucket, QuotaLimit
    from outcrop.service.quota.step import Left
    from outcrop.store.counters import Note

_ANY: Final = "*"
_NONE: Final = "none"
_MOST: Final = 10**14 - 1  # what is counted stays well within a word
_OFF: Final = "Quotas are not enforced and nothing is counted: bedrock.quotas is false."


@click.group(
    help="Show and set the quotas of calls, and what is left of them. "
    "A running endpoint sees each change at once."
)
def quota() -> None:
    """The commands below."""


@quota.command("list", help="List the quotas of an account in a region: how much is left now, of how much.")
@click.option("--account", default="", metavar="ID|NAME", help="Whose. Default: the account of this install.")
@click.option("--region", help="The source region. Default: bedrock.region.")
@click.option("--model", help="Only this model: its id or short name.")
@click.option("--all", "everything", is_flag=True, help="Models without any limit and use, too.")
@output_option
@settings_options()
def list_quotas(
    loaded: Loaded, account: str, region: str | None, model: str | None, everything: bool, output: str
) -> None:
    """A `*` marks what was set; the other limits are the catalogue's defaults."""
    warn_of_others(loaded)
    desk = _Desk(loaded.settings)
    desk.say_if_off()
    owner = desk.account(account)
    source = region or loaded.settings.bedrock.region
    naming.regions(desk.catalog, [source], "--region" if region else "bedrock.region")
    rows = desk.rows(owner, source, desk.models(model), time.time())
    if not everything:
        rows = [
            row for row in rows if any(each["limit"] is not None or each["used"] for each in row["quotas"])
        ]
    if output == "table":
        click.echo(f"Account {owner}, calls from {source}: left now of how many, * where it was set.\n")
        for row in rows:
            row |= {each["quota"]: _cell(each) for each in row["quotas"]}
    print_rows(rows, output, ["model", "kind", *quotas.NAMES])


def _cell(told: dict[str, Any]) -> str:
    mark = "*" if told["origin"] == "set" else ""
    if told["limit"] is None:
        return f"no limit{mark}" + (f", {told['used']:,} used" if told["used"] else "")
    return f"{told['left']:,} of {told['limit']:,}{mark}"


def _which(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags that say for what a limit is."""
    flags = (
        ("--account", "Whose calls. Default: the account of this install; `*` is any.", ""),
        ("--model", "Of which model: its id or short name.", _ANY),
        ("--region", "From which source region.", _ANY),
    )
    kind = click.option(
        "--kind",
        type=click.Choice([_ANY, *quotas.KINDS]),
        default=_ANY,
        show_default=True,
        help="Of which kind; `-1m` is with the beta of the long context.",
    )
    command = kind(command)
    for flag, text, default in reversed(flags):
        command = click.option(flag, default=default, show_default=bool(default), help=text)(command)
    return click.argument("name", metavar="|".join(quotas.NAMES), type=click.Choice(quotas.NAMES))(command)


@quota.command(
    "set",
    help="Set a limit of requests a minute (rpm), tokens a minute (tpm) or tokens a day (tpd). VALUE is a "
    "number, 0 to refuse everything, or `none` for no limit. Tokens a day are 1,440 times those a minute "
    "unless they are set.",
)
@_which
@click.argument("value")
@settings_options()
def set_limit(
    loaded: Loaded, name: str, value: str, account: str, model: str, region: str, kind: str
) -> None:
    """The most specific one counts."""
    if value != _NONE and not (value.isascii() and value.isdecimal()):
        raise click.UsageError(f"{value!r} is no limit: give a number from 0 on, or `none`.")
    if value != _NONE and len(value.lstrip("0")) > len(str(_MOST)):
        raise click.UsageError(f"{value} is too much: a limit is {_MOST:,} at most, or `none`.")
    desk = _Desk(loaded.settings)
    limit = desk.limit(name, account, model, region, kind, None if value == _NONE else int(value))
    desk.store.change(lambda change: change.put(limit))
    click.echo(f"Set {_said(limit)}.")
    desk.say_if_off()


@quota.command(help="Take a limit that was set away, as it was set; what was behind it counts again.")
@_which
@settings_options()
def unset(loaded: Loaded, name: str, account: str, model: str, region: str, kind: str) -> None:
    """Works on running endpoints too."""
    from outcrop.service.quota.limits import QuotaLimit

    desk = _Desk(loaded.settings)
    limit = desk.limit(name, account, model, region, kind, None)
    if not desk.store.change(lambda change: change.delete(QuotaLimit, limit.key)):
        others = "; ".join(_said(each) for each in desk.store.snapshot().all(QuotaLimit))
        raise OutcropError(
            f"No limit was set for {_for(limit)}.", f"Set are: {others}." if others else "None is set at all."
        )
    click.echo(f"Unset {name} for {_for(limit)}.")


def _said(limit: QuotaLimit) -> str:
    value = "no limit" if limit.value is None else f"{limit.value:,}"
    return f"{limit.quota} {value} for {_for(limit)}"


def _for(limit: QuotaLimit) -> str:
    named = zip(("account", "model", "region", "kind"), limit.key.split("/"), strict=False)
    return ", ".join(f"any {what}" if name == _ANY else f"{what} {name}" for what, name in named)


@quota.command(
    help="Say why calls were refused last: of each account, model, region and kind, the newest first."
)
@click.option("--account", default="", metavar="ID|NAME", help="Only this account's.")
@click.option("--model", help="Only this model's: its id or short name.")
@output_option
@settings_options()
def why(loaded: Loaded, account: str, model: str | None, output: str) -> None:
    """What was asked, what was left, and what would have helped."""
    from outcrop.service.quota.limits import Bucket

    desk = _Desk(loaded.settings)
    owner, models = account and desk.account(account), {each.id for each in desk.models(model)}
    notes = [(note, Bucket.of_key(note.key)) for note in desk.notes()]
    rows = [
        {"when": moment(note.written), **bucket._asdict(), "why": note.text}
        for note, bucket in notes
        if bucket is not None and owner in ("", bucket.account) and bucket.model in models
    ]
    if not rows and output == "table":
        click.echo("No call was refused by a quota.")
        desk.say_if_off()
        return
    print_rows(rows, output, ["when", "why"])


class _Desk:
    """What every command needs: the state, the counters and the catalogue."""

    def __init__(self, settings: Settings) -> None:
        from outcrop.service.quota.step import Quotas
        from outcrop.store.counters import NAME, Counters

        self._principals = principals_of(settings)
        self._counters = Counters(settings.data.folder / NAME)
        click.get_current_context().call_on_close(self._counters.close)
        self._enforced = settings.bedrock.quotas
        self._quotas = Quotas(self._counters, enabled=self._enforced, clock=time.time)
        self.store = self._principals.store
        self.catalog = Catalog.load(settings.bedrock.edition)

    def say_if_off(self) -> None:
        """Whoever looks at quotas should know that nobody counts."""
        if not self._enforced:
            click.echo(_OFF, err=True)

    def account(self, named: str) -> str:
        """The account that a flag names, else that of this install."""
        return account_id(self._principals, named) or self._principals.account

    def models(self, named: str | None) -> list[Model]:
        """The model that a flag names, else all."""
        if named is None:
            return list(self.catalog.models)
        ids = naming.models(self.catalog, [named], "--model")
        return [model for model in self.catalog.models if model.id in ids]

    def rows(self, account: str, region: str, models: Sequence[Model], now: float) -> list[dict[str, Any]]:
        """The buckets of an account and region: each with its quotas, and why it last refused a call."""
        state = self.store.snapshot()
        last = {note.key: note for note in self.notes()}
        rows = []
        for model in models:
            for kind in quotas.offered(self.catalog, model, region):
                told = self._quotas.left(state, account, model, region, kind, now)
                rows.append(_row(_bucket(account, model, region, kind), told, last))
        return rows

    def notes(self) -> tuple[Note, ...]:
        """The last refusal of each bucket."""
        return self._counters.notes()

    def limit(
        self, name: str, account: str, model: str, region: str, kind: str, value: int | None
    ) -> QuotaLimit:
        """A limit for what the flags say. Raises OutcropError for what there is not."""
        from outcrop.service.quota.limits import QuotaLimit

        owner = _ANY if account == _ANY else self.account(account)
        base = _ANY if model == _ANY else self.models(model)[0].id
        if region != _ANY:
            naming.regions(self.catalog, [region], "--region")
        return QuotaLimit(owner, base, region, kind, name, value)


def _bucket(account: str, model: Model, region: str, kind: str) -> Bucket:
    from outcrop.service.quota.limits import Bucket

    return Bucket(account, model.id, region, kind)


def _row(bucket: Bucket, told: Sequence[Left], last: dict[str, Note]) -> dict[str, Any]:
    note = last.get(bucket.key)
    return {
        **bucket._asdict(),
        "quotas": [each._asdict() for each in told],
        "refused": None if note is None else {"when": moment(note.written), "why": note.text},
    }
