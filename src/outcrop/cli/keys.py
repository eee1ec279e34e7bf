"""`outcrop keys`: access keys, API keys, temporary credentials. Knows no rule: principals and service do."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from outcrop.catalog import Catalog, naming
from outcrop.cli.options import output_option, print_record, print_rows, settings_options
from outcrop.cli.running import find
from outcrop.config import Loaded, Settings
from outcrop.errors import OutcropError

if TYPE_CHECKING:
    from outcrop.service.principals import AccessKey, Key, Principals

LOCAL_USER: Final = "local"

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class OwnKey(msgspec.Struct, frozen=True):
    """The key pair that the commands themselves use, and its user's name."""

    id: str
    secret: str
    user: str

    def __repr__(self) -> str:
        return f"OwnKey({self.id!r}, …, {self.user!r})"


def state_path(folder: Path) -> Path:
    """Where the state of a data folder is."""
    from outcrop.store.sqlite import STATE

    return folder / STATE


def principals_of(settings: Settings) -> Principals:
    """The principals of the data folder; state, account and master key are made when they are missing.

    Keys of an older version are taken over. Closed with the command, where a command runs. Raises
    OutcropError when the state can't be read, or when it or its master key is gone.
    """
    from outcrop.service.keys_json import kept_file, take_over
    from outcrop.service.principals import Installation, Principals
    from outcrop.store.sealing import Sealer, master_key
    from outcrop.store.sqlite import SqliteStore

    folder = settings.data.folder
    if (lost := lost_state(folder)) is not None:
        raise lost
    store = SqliteStore(state_path(folder))
    if (context := click.get_current_context(silent=True)) is not None:
        context.call_on_close(store.close)
    if store.snapshot().all(Installation) and not _has_master_key(settings):
        raise OutcropError(
            f"{folder / 'master.key'} is gone: the secrets in {state_path(folder)} can't be read without it.",
            "Restore it from a copy, or set data.secret_key; or move the state file away to begin anew.",
        )
    sealer = Sealer(master_key(folder, settings.data.secret_key, os.environ))
    if take_over(folder, store, sealer):
        kept = kept_file(folder)
        click.echo(f"outcrop: the keys of an older version are in {state_path(folder)} now.", err=True)
        click.echo(f"  {kept} still holds their secrets in clear: delete it when all is well.", err=True)
    return Principals(store, sealer)


def lost_state(folder: Path) -> OutcropError | None:
    """The error of a data folder whose state is gone: another made in silence would have other accounts and
    keys, and an endpoint that runs would know none of them. None where it is there, or never was.
    """
    if state_path(folder).exists():
        return None
    key, running = folder / "master.key", find(folder)
    if running is not None:
        sign, away = (
            f"the endpoint {running.url} (process {running.pid}) runs with it",
            "Stop that endpoint, and r",
        )
    elif key.exists():
        sign, away = f"{key}, which its secrets are sealed with, is still there", "R"
    else:
        return None
    if state_path(folder).exists():  # another process makes a new one now: the state first, then its key
        return None
    state = state_path(folder)
    left = [str(path) for path in (*sorted(folder.glob(f"{state.name}*")), key) if path.exists()]
    anew = f"`mkdir broken && mv {shlex.join(left)} broken/`" if left else "do the same again"
    return OutcropError(
        f"{state} is gone, with its accounts, users and keys: {sign}.",
        f"{away}estore it from a copy; or, to begin anew with other accounts and keys, {anew}.",
    )


def _has_master_key(settings: Settings) -> bool:
    return settings.data.secret_key is not None or (settings.data.folder / "master.key").exists()


def own_key(principals: Principals) -> OwnKey:
    """The key pair that `serve`, `env` and `exec` use: the local user's, else the oldest; made when missing.

    The first one may do everything. Raises OutcropError when every access key of the install's account is
    revoked: somebody meant it.
    """
    from outcrop.service.principals import user_of

    pairs = _pairs(principals, principals.account)
    if not pairs:
        principals.create_first_key(LOCAL_USER, "made on first start")
        pairs = _pairs(principals, principals.account)
    usable = [key for key in pairs if key.enabled]
    if not usable:
        raise OutcropError(
            f"Every access key of account {principals.account} is revoked.",
            "Make one with `outcrop keys create`.",
        )
    return _own(principals, next((key for key in usable if user_of(key) == LOCAL_USER), usable[0]))


def key_of(principals: Principals, user: str, account: str = "") -> OwnKey:
    """The oldest usable key pair of a user, by name; `account` is an id. Makes none.

    Raises OutcropError when there is no such user, or it has no usable key.
    """
    from outcrop.service.principals import user_of

    account = account or principals.account
    principals.owner(f"arn:aws:iam::{account}:user/{user}")
    for key in _pairs(principals, account):
        if key.enabled and user_of(key) == user:
            return _own(principals, key)
    elsewhere = "" if account == principals.account else f" --account {account}"
    raise OutcropError(
        f"The user {user!r} has no access key that could be used.",
        f"Make one with `outcrop keys create --user {user}{elsewhere}`.",
    )


def pair_for(principals: Principals, user: str | None, account: str) -> OwnKey:
    """The key pair to hand out: that of the user that flags name, `account` by id or name; else `own_key`."""
    if user:
        return key_of(principals, user, account_id(principals, account))
    if account:
        raise click.UsageError("--account says in which account --user is; name the user too.")
    return own_key(principals)


def _own(principals: Principals, key: AccessKey) -> OwnKey:
    from outcrop.service.principals import user_of

    return OwnKey(key.id, principals.secret(key), user_of(key))


def _pairs(principals: Principals, account: str) -> list[AccessKey]:
    from outcrop.service.principals import AccessKey, account_of

    known = principals.keys()
    return [key for key in known if isinstance(key, AccessKey) and account_of(key) == account]


def account_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The flag that names an account, by id or name."""
    return click.option("--account", default="", metavar="ID|NAME", help=text)


def pair_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags that say whose key pair is handed out."""
    command = account_option("The account of --user. Default: the first one.")(command)
    text = f"Whose key: the oldest of this user that can be used. Default: {LOCAL_USER}'s."
    return click.option("--user", metavar="NAME", help=text)(command)


def account_id(principals: Principals, named: str) -> str:
    """The id of the account that a flag names by id or name; "" for "". Raises OutcropError for another."""
    if not named:
        return ""
    for account in principals.accounts():
        if named in (account.id, account.name):
            return account.id
    raise OutcropError(f"There is no account {named!r}.", "See `outcrop users account list`.")


def policy_text(given: str) -> tuple[str, str]:
    """A policy's name and JSON, from the name of a preset or the path of a file.

    Raises OutcropError when it is neither.
    """
    from outcrop.service.iam.presets import PRESETS

    if given in PRESETS:
        return given, PRESETS[given]
    path = Path(given)
    try:
        return path.stem, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutcropError(
            f"{given!r} is no policy: it is neither {', '.join(PRESETS)} nor a file that can be read.",
            "Name one of these, or a file with a policy in AWS's JSON.",
        ) from error


def allowed(given: str | None) -> dict[str, str] | None:
    """The policies of a new user by what `--allow` says; None where it is not given.

    `nothing` is no policy at all: whoever looks at the user sees none, and AWS has none of that name.
    """
    if given is None or given == "nothing":
        return None if given is None else {}
    name, text = policy_text(given)
    return {name: checked_actions(name, text)}


def checked_actions(name: str, text: str) -> str:
    """The policy as it is, after a line on stderr about actions in it that no operation here has.

    They are stored all the same: a policy may be one that is used at AWS too.
    """
    from outcrop.service.iam.actions import unknown
    from outcrop.service.iam.policy import MalformedPolicy, parse

    try:
        parse(text)
    except MalformedPolicy:  # that is told by whoever stores it
        return text
    if told := [f"{each}{near and f' (did you mean {near}?)'}" for each, near in unknown(text).items()]:
        click.echo(f"Warning: policy {name}: no operation here has {', '.join(told)}.", err=True)
    return text


allow_option = click.option(
    "--allow",
    metavar="everything|invoke|nothing|FILE",
    help="What a new user may do; FILE is a policy in AWS's JSON. Default: invoke; user local: everything.",
)


class Duration(click.ParamType[int]):
    """A time span as people write it: 90m, 12h, 30d, or seconds. The value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Raises BadParameter for anything else."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9]\d{0,9})([smhd]?)", value)
        if match is None:
            self.fail(f"{value!r} is no time span: write 90m, 12h or 30d.", param, ctx)
        return int(match[1]) * _UNITS.get(match[2], 1)


@click.group(
    help="Make, list and revoke the keys of the endpoint. A running endpoint sees each change at once."
)
def keys() -> None:
    """The commands below."""


@keys.command(help="Make an access key (a key pair for signatures) for a user.")
@click.option(
    "--user", default=LOCAL_USER, show_default=True, help="Whose it is; a new user is made with the key."
)
@account_option("The account of the user. Default: the first one.")
@allow_option
@click.option("--description", default="", help="What it is for.")
@output_option
@settings_options()
def create(loaded: Loaded, user: str, account: str, allow: str | None, description: str, output: str) -> None:
    """Shows the secret once, as AWS does."""
    principals = principals_of(loaded.settings)
    policies = allowed(allow)
    if policies is None and user == LOCAL_USER and not account and not principals.has_user(LOCAL_USER):
        policies = allowed("everything")
    key, secret = principals.create_access_key(user, description, account_id(principals, account), policies)
    row = {"access_key_id": key.id, "secret_access_key": secret, "user": user, "arn": key.owner}
    print_record(row, output)


@keys.command("list", help="List all keys, revoked ones too. No secrets.")
@account_option("Only those of one account.")
@output_option
@settings_options()
def list_keys(loaded: Loaded, account: str, output: str) -> None:
    """The oldest first."""
    principals = principals_of(loaded.settings)
    wanted = account_id(principals, account)
    now = time.time()
    known = principals.keys()
    rows = [key_row(key, now) for key in known]
    shown = [row for row in rows if wanted in ("", row["account"])]
    columns = ["kind", "id", "user", "account", "created", "expires", "status", "description"]
    print_rows(shown, output, columns)


def key_row(key: Key, now: float) -> dict[str, Any]:
    """A key as it is listed; `now` is in epoch seconds."""
    from outcrop.service.principals import AccessKey, account_of, user_of

    pair = isinstance(key, AccessKey)
    expires = None if isinstance(key, AccessKey) else key.expires
    ended = expires is not None and expires <= now
    return {
        "kind": "access key" if pair else "API key",
        "id": key.key,
        "user": user_of(key),
        "account": account_of(key),
        "arn": key.owner,
        "created": moment(key.created),
        "expires": moment(expires) if expires is not None else None,
        "status": "revoked" if not key.enabled else "expired" if ended else "active",
        "description": key.description,
    }


def moment(seconds: float) -> str:
    """A time as it is shown: UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@keys.command(help="Take a key out of use, with the sessions and short-term API keys made from it.")
@click.argument("key_id")
@settings_options()
def revoke(loaded: Loaded, key_id: str) -> None:
    """Works on running endpoints too."""
    principals_of(loaded.settings).revoke(key_id)
    click.echo(f"Revoked {key_id}.")


@keys.command(
    "api-key", help="Make a Bedrock API key (AWS_BEARER_TOKEN_BEDROCK). Boto3 sends it over TLS only."
)
@click.option("--user", default="", help="Whose it is; without, it gets a user of its own, as at AWS.")
@account_option("The account of the user. Default: the first one.")
@allow_option
@click.option(
    "--short-term", is_flag=True, help="Sign one with the local access key: nothing is stored, 12 h at most."
)
@click.option(
    "--expires", type=Duration(), help="When it ends: 90m, 12h, 30d. Default: never; short-term 12h."
)
@click.option("--region", help="Region of a short-term key. Default: bedrock.region.")
@click.option("--description", default="", help="What it is for.")
@output_option
@settings_options()
def api_key(  # noqa: PLR0913 - one argument for each flag
    loaded: Loaded,
    *,
    user: str,
    account: str,
    allow: str | None,
    short_term: bool,
    expires: int | None,
    region: str | None,
    description: str,
    output: str,
) -> None:
    """A long-term key's token is shown once and can't be had again."""
    now = time.time()
    principals = principals_of(loaded.settings)
    if short_term:
        if user or account or allow or description:
            raise click.UsageError("A short-term key is not stored: it has no user and no --description.")
        if region:
            naming.regions(Catalog.load(loaded.settings.bedrock.edition), [region], "--region")
        token = short_term_key(own_key(principals), region or loaded.settings.bedrock.region, now, expires)
        row = {"api_key": token, "expires": moment(now + (expires or _half_a_day()))}
        print_record(row, output)
        return
    if region:
        raise click.UsageError("A long-term key belongs to no region; --region goes with --short-term.")
    ends = None if expires is None else int(now) + expires
    key, token = principals.create_api_key(
        user, ends, description, account_id(principals, account), allowed(allow)
    )
    row = key_row(key, now)
    print_record({"api_key": token, "name": key.name, "user": row["user"], "expires": row["expires"]}, output)


def _half_a_day() -> int:
    from outcrop.wire.bearer import LONGEST_EXPIRY

    return LONGEST_EXPIRY


def short_term_key(pair: OwnKey, region: str, now: float, seconds: int | None = None) -> str:
    """The token of a short-term API key; as long as AWS allows when no time is given."""
    from outcrop.wire.bearer import make_short_term
    from outcrop.wire.sigv4 import Credentials

    try:
        return make_short_term(Credentials(pair.id, pair.secret), region, now, seconds or _half_a_day())
    except ValueError as error:
        raise OutcropError(
            f"{str(error)[:1].upper()}{str(error)[1:]}.", "Choose a shorter --expires."
        ) from error


@keys.command(
    help="Make temporary credentials: the three values of the guide's client. STS GetSessionToken does too."
)
@click.option("--expires", type=Duration(), default="12h", show_default=True, help="15m to 36h.")
@output_option
@settings_options()
def session(loaded: Loaded, expires: int, output: str) -> None:
    """They come from the local access key and end with it."""
    from outcrop.service.identity import Identity

    if not 900 <= expires <= 129_600:  # the range of STS GetSessionToken
        raise click.UsageError(f"--expires: temporary credentials live 15m to 36h, not {expires} s.")
    principals = principals_of(loaded.settings)
    pair = own_key(principals)
    identity = Identity(principals, loaded.settings.bedrock.region)
    state = principals.store.snapshot()
    made = identity.issue_session(pair.id, expires, time.time(), os.urandom(12), state)
    row = {
        "access_key_id": made.credentials.access_key,
        "secret_access_key": made.credentials.secret,
        "session_token": made.credentials.token,
        "expires": moment(made.expires),
    }
    print_record(row, output)
