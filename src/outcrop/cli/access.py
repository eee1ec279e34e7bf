"""`outcrop access`: model access of an account, for its operator. Knows no rule: `service/access` does."""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from outcrop.catalog import Catalog, Model
from outcrop.cli.keys import account_id, account_option, moment, principals_of
from outcrop.cli.options import output_option, print_rows, settings_options
from outcrop.cli.running import warn_of_others
from outcrop.config import Loaded, Settings
from outcrop.errors import ArgumentError, OutcropError, ValidationException

if TYPE_CHECKING:
    from outcrop.service.access import Access, Mode
    from outcrop.store import Store

_ALL: Final = "all"
_MODES: Final = {
    "open": 'Access is "open": the first call of a model grants it.',
    "request": 'Access is "request": the use-case form once, then an agreement for each model.',
}
# an option of `request`, the form's member, and what is asked where a person sits there
_FORM: Final = (
    ("company", "companyName", "Company name"),
    ("website", "companyWebsite", "Company website"),
    ("users", "intendedUsers", "Intended users (internal, external, both)"),
    ("industry", "industryOption", "Industry"),
    ("use_case", "useCases", "Use cases, without personal data"),
)

_whose = account_option("Whose access. Default: the account of this install.")
model_option = click.option(
    "--model",
    "names",
    multiple=True,
    required=True,
    help="A model's id or short name, or `all`; may be repeated.",
)


@click.group(
    help="List models and the access to them; ask for it, grant it, revoke it. "
    "A running endpoint sees each change at once."
)
def access() -> None:
    """The commands below."""


@access.command("list", help="List each model, how access to it stands, and what to do next.")
@_whose
@output_option
@settings_options()
def list_access(loaded: Loaded, account: str, output: str) -> None:
    """The models that have not reached the end of their life."""
    warn_of_others(loaded)
    desk = _Desk(loaded.settings, account)
    if output == "table":
        click.echo(f"{_MODES[loaded.settings.bedrock.access]} Account {desk.account}.\n")
    _show(desk, desk.models([_ALL]), output)


@access.command(
    help="Ask for access as in the guide's console page: hand in the use-case form, accept the offers. "
    "The form is needed once an account; where access is open it is not."
)
@model_option
@click.option("--company", help="The form: company name.")
@click.option("--website", help="The form: company website.")
@click.option(
    "--users", type=click.Choice(["internal", "external", "both"]), help="The form: intended users."
)
@click.option("--industry", help="The form: industry.")
@click.option("--other-industry", help="The form: which, where the industry is Other.")
@click.option("--use-case", help="The form: what the models are for.")
@_whose
@output_option
@settings_options()
def request(loaded: Loaded, names: tuple[str, ...], account: str, output: str, **fields: str | None) -> None:
    """What is missing of the form is asked for in a terminal, and an error elsewhere."""
    desk = _Desk(loaded.settings, account)
    models = desk.models(names)
    given = {name: value for name, value in fields.items() if value is not None}
    form = _form(given) if given or desk.needs_form else None
    desk.access.request(desk.account, models, form, int(time.time()))
    _show(desk, models, output)


@access.command(help="Give access without a form or an agreement, also to what was revoked.")
@model_option
@_whose
@output_option
@settings_options()
def grant(loaded: Loaded, names: tuple[str, ...], account: str, output: str) -> None:
    """The operator's shortcut."""
    _decide(_Desk(loaded.settings, account), names, output, lambda desk: desk.access.grant)


@access.command(help="Block models for an account, until they are granted again.")
@model_option
@_whose
@output_option
@settings_options()
def revoke(loaded: Loaded, names: tuple[str, ...], account: str, output: str) -> None:
    """Works on running endpoints too, and where access is open."""
    _decide(_Desk(loaded.settings, account), names, output, lambda desk: desk.access.revoke)


class _Desk:
    """What every command needs: the store, one account of it, and the catalogue."""

    def __init__(self, settings: Settings, account: str) -> None:
        from outcrop.service.access import Access, UseCase

        principals = principals_of(settings)
        self._store: Store = principals.store
        self._mode: Mode = settings.bedrock.access
        self.account = account_id(principals, account) or principals.account
        self.catalog = Catalog.load(settings.bedrock.edition)
        self.access: Access = Access(self.catalog, self._store, self._mode)
        state = self._store.snapshot()
        self.needs_form = self._mode == "request" and state.get(UseCase, self.account) is None

    def models(self, names: Sequence[str]) -> list[Model]:
        """The models of ids, short names and profiles' ids. Raises ArgumentError for any other name."""
        today = datetime.now(UTC).date()
        there = [model for model in self.catalog.models if not self.catalog.ended(model, today)]
        if _ALL in names:
            return there
        named = {name: model for model in there for name in (model.id, *model.short_names)}
        named |= {profile.id: profile.model for profile in self.catalog.profiles if profile.model in there}
        for name in names:
            if name not in named:
                raise ArgumentError(f"There is no model {name!r}.", _guess(name, named))
        return list({named[name].id: named[name] for name in names}.values())

    def rows(self, models: Sequence[Model]) -> list[dict[str, Any]]:
        """How the account stands with each model."""
        state = self._store.snapshot()
        standings = [(model, self.access.status(state, self.account, model)) for model in models]
        return [
            {
                "model": model.id,
                "name": model.name,
                "account": self.account,
                "allowed": stands.allowed,
                "state": stands.state,
                "how": stands.how,
                "since": None if stands.since is None else moment(stands.since),
                "next": stands.next,
            }
            for model, stands in standings
        ]


def _decide(
    desk: _Desk, names: Sequence[str], output: str, choose: Callable[[_Desk], Callable[..., None]]
) -> None:
    models = desk.models(names)
    choose(desk)(desk.account, models, int(time.time()))
    _show(desk, models, output)


def _show(desk: _Desk, models: Sequence[Model], output: str) -> None:
    print_rows(desk.rows(models), output, ["model", "state", "how", "since", "next"])


def _form(given: dict[str, str]) -> bytes:
    """The form's bytes, of the options given and of what a person answers."""
    from outcrop.service.access import form

    missing = [option for option, _, _ in _FORM if option not in given]
    if missing and not _at_a_terminal():
        flags = ", ".join(f"--{option.replace('_', '-')}" for option in missing)
        raise OutcropError(f"The use-case form lacks {flags}.", "Give what is missing, and run it again.")
    members = {}
    for option, member, question in _FORM:
        value = given[option] if option in given else click.prompt(question)
        members[member] = form.INTENDED_USERS.get(value, value) if option == "users" else value
    members["otherIndustryOption"] = given.get("other_industry", "")
    try:
        return form.make(members)
    except ValidationException as fault:
        raise OutcropError(fault.text, "Mend the form, and run it again.") from fault


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _guess(name: str, names: Sequence[str] | dict[str, Model]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}`outcrop access list` shows them all."
