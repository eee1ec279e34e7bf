"""`outcrop keys`: access keys, API keys, temporary credentials. Knows no rule: key file and service do."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any, Final

import click

from outcrop.cli.options import output_option, print_record, print_rows, settings_options
from outcrop.config import Loaded
from outcrop.errors import OutcropError
from outcrop.store.keys import AccessKey, Key, KeyFile

LOCAL_USER: Final = "local"

_UNITS: Final = {"m": 60, "h": 3600, "d": 86400}


def key_file(folder: Path) -> KeyFile:
    """The keys of a data folder; made when missing."""
    return KeyFile(folder / "keys.json")


def own_key(keys: KeyFile) -> AccessKey:
    """The key pair that `serve`, `env` and `exec` use: the local user's, else the oldest; made when missing.

    Raises OutcropError when every access key is revoked: somebody meant that.
    """
    pairs = [key for key in keys.list() if isinstance(key, AccessKey)]
    usable = [key for key in pairs if key.enabled]
    if not pairs:
        return keys.create_access_key(LOCAL_USER, "made on first start")
    if not usable:
        raise OutcropError("Every access key is revoked.", "Make one with `outcrop keys create`.")
    return next((key for key in usable if key.user == LOCAL_USER), usable[0])


class Duration(click.ParamType[int]):
    """A time span as people write it: 90m, 12h, 30d, or seconds. The value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Raises BadParameter for anything else."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9]\d{0,9})([mhd]?)", value)
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
@click.option("--description", default="", help="What it is for.")
@output_option
@settings_options()
def create(loaded: Loaded, user: str, description: str, output: str) -> None:
    """Shows the secret, as AWS does once; here it can be looked up in the key file."""
    key = key_file(loaded.settings.data.folder).create_access_key(user, description)
    row = {"access_key_id": key.id, "secret_access_key": key.secret, "user": key.user, "arn": key.arn}
    print_record(row, output)


@keys.command("list", help="List all keys, revoked ones too. No secrets.")
@output_option
@settings_options()
def list_keys(loaded: Loaded, output: str) -> None:
    """The oldest first."""
    now = time.time()
    rows = [_row(key, now) for key in key_file(loaded.settings.data.folder).list()]
    print_rows(rows, output, ["kind", "id", "user", "created", "expires", "status", "description"])


def _row(key: Key, now: float) -> dict[str, Any]:
    pair = isinstance(key, AccessKey)
    expires = None if isinstance(key, AccessKey) else key.expires
    ended = expires is not None and expires <= now
    return {
        "kind": "access key" if pair else "API key",
        "id": key.id if isinstance(key, AccessKey) else key.name,
        "user": key.user,
        "arn": key.arn,
        "created": _moment(key.created),
        "expires": _moment(expires) if expires is not None else None,
        "status": "revoked" if not key.enabled else "expired" if ended else "active",
        "description": key.description,
    }


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@keys.command(help="Take a key out of use, with the sessions and short-term API keys made from it.")
@click.argument("key_id")
@settings_options()
def revoke(loaded: Loaded, key_id: str) -> None:
    """Works on running endpoints too."""
    key_file(loaded.settings.data.folder).revoke(key_id)
    click.echo(f"Revoked {key_id}.")


@keys.command(
    "api-key", help="Make a Bedrock API key (AWS_BEARER_TOKEN_BEDROCK). Boto3 sends it over TLS only."
)
@click.option("--user", default="", help="Whose it is; without, it gets a user of its own, as at AWS.")
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
def api_key(
    loaded: Loaded,
    user: str,
    short_term: bool,
    expires: int | None,
    region: str | None,
    description: str,
    output: str,
) -> None:
    """A long-term key's token is shown once and can't be had again."""
    now = time.time()
    keys = key_file(loaded.settings.data.folder)
    if short_term:
        if user or description:
            raise click.UsageError("A short-term key is not stored: it has no --user and no --description.")
        token = short_term_key(own_key(keys), region or loaded.settings.bedrock.region, now, expires)
        row = {"api_key": token, "expires": _moment(now + (expires or _half_a_day()))}
        print_record(row, output)
        return
    if region:
        raise click.UsageError("A long-term key belongs to no region; --region goes with --short-term.")
    key, token = keys.create_api_key(user, None if expires is None else int(now) + expires, description)
    expiry = None if key.expires is None else _moment(key.expires)
    print_record({"api_key": token, "name": key.name, "user": key.user, "expires": expiry}, output)


def _half_a_day() -> int:
    from outcrop.wire.bearer import LONGEST_EXPIRY

    return LONGEST_EXPIRY


def short_term_key(pair: AccessKey, region: str, now: float, seconds: int | None = None) -> str:
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
        raise click.UsageError("Temporary credentials live 15m to 36h.")
    keys = key_file(loaded.settings.data.folder)
    identity = Identity(keys, loaded.settings.bedrock.region)
    made = identity.issue_session(own_key(keys).id, expires, time.time(), os.urandom(12))
    row = {
        "access_key_id": made.credentials.access_key,
        "secret_access_key": made.credentials.secret,
        "session_token": made.credentials.token,
        "expires": _moment(made.expires),
    }
    print_record(row, output)
