"""`outcrop env`: the lines that point clients at the endpoint; `--profile` writes an AWS profile."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

import click

from outcrop.cli import awsprofile
from outcrop.cli.environment import SHELLS, Variables, guess_shell, render, variables
from outcrop.cli.keys import OwnKey, pair_for, pair_options, principals_of, short_term_key
from outcrop.cli.options import settings_options
from outcrop.cli.running import Running, find
from outcrop.config import Loaded, Settings
from outcrop.errors import OutcropError

_HOW: Final = {
    "sh": 'eval "$(outcrop env)"',
    "fish": "outcrop env | source",
    "powershell": "outcrop env --shell powershell | Out-String | Invoke-Expression",
}


@click.command(
    help="""Print the environment that points Bedrock's clients at the endpoint.

\b
  sh, bash, zsh   eval "$(outcrop env)"
  fish            outcrop env | source
  PowerShell      outcrop env --shell powershell | Out-String | Invoke-Expression

API keys need TLS, because boto3 refuses to send them over http: --api-key implies --tls.
"""
)
@click.option("--shell", type=click.Choice(SHELLS), help="Whose language to print. Default: by $SHELL.")
@click.option("--tls", is_flag=True, help="The https address, and the certificates that make it trusted.")
@click.option("--api-key", is_flag=True, help="A bearer key (short-term, 12 h) beside the key pair.")
@click.option(
    "--profile", metavar="NAME", help="Write a profile into the AWS config and credentials files instead."
)
@click.option("--overwrite", is_flag=True, help="With --profile: replace a profile that is not ours.")
@pair_options
@settings_options()
def env(
    loaded: Loaded,
    *,
    shell: str | None,
    tls: bool,
    api_key: bool,
    profile: str | None,
    overwrite: bool,
    user: str | None,
    account: str,
) -> None:
    """What is printed to stdout is for the shell, what is for the person goes to stderr."""
    settings = loaded.settings
    running = find(settings.data.folder)
    if profile is not None:
        if api_key:
            raise click.UsageError("An AWS profile holds a key pair; --api-key goes with the environment.")
        _write_profile(settings, running, profile, (user, account), tls=tls, overwrite=overwrite)
        return
    pair = pair_for(principals_of(settings), user, account)
    told = client_variables(settings, running, pair, tls=tls, api_key=api_key)
    click.echo(render(told, shell or guess_shell()))
    if running is None:
        click.echo("outcrop: no endpoint runs there yet; start it with `outcrop serve`.", err=True)
    if sys.stdout.isatty():
        click.echo(f"\n# To set these: {_HOW[shell or guess_shell()]}", err=True)
        click.echo(
            "# What is unset would lead clients elsewhere: another profile, another session's token,",
            err=True,
        )
        click.echo("# or a bearer key, which boto3 refuses to send over http.", err=True)


def client_variables(
    settings: Settings, running: Running | None, pair: OwnKey, *, tls: bool = False, api_key: bool = False
) -> Variables:
    """The variables for the running endpoint, or else for the one the settings describe."""
    tls = tls or api_key
    region = running.region if running is not None else settings.bedrock.region
    token = short_term_key(pair, region, time.time()) if api_key else ""
    ca, bundle = _certificates(settings) if tls else ("", "")
    url = address(settings, running, tls=tls)
    return variables(url, pair.id, pair.secret, region, ca=ca, bundle=bundle, api_key=token)


def address(settings: Settings, running: Running | None, *, tls: bool) -> str:
    """The URL clients shall use. Raises OutcropError when the running endpoint does not listen with TLS."""
    if running is None:
        server = settings.server
        return f"https://127.0.0.1:{server.tls_port}" if tls else f"http://127.0.0.1:{server.port}"
    if tls and not running.tls_url:
        raise OutcropError(
            "The endpoint that runs does not listen with TLS.", "Restart it as `outcrop serve --tls`."
        )
    return running.tls_url if tls else running.url


def _certificates(settings: Settings) -> tuple[str, str]:
    """The files that make the TLS listener trusted; of no use where it has a certificate from elsewhere."""
    if settings.server.tls_certificate is not None:
        return "", ""
    from outcrop import tls

    files = tls.ensure(settings.data.folder, settings.server.tls_names)
    return str(files.ca), str(files.bundle)


def _write_profile(
    settings: Settings,
    running: Running | None,
    name: str,
    whose: tuple[str | None, str],
    *,
    tls: bool,
    overwrite: bool,
) -> None:
    awsprofile.check_name(name)
    principals = principals_of(settings)
    pair = pair_for(principals, *whose)
    known = principals.keys()
    ours = [key.key for key in known]
    bundle = _certificates(settings)[1] if tls else ""
    region = running.region if running is not None else settings.bedrock.region
    url = address(settings, running, tls=tls)
    config, credentials = aws_files()
    new_config = awsprofile.config_with(_text(config), name, url, region, bundle, overwrite=overwrite)
    new_credentials = awsprofile.credentials_with(
        _text(credentials), name, pair.id, pair.secret, ours, overwrite=overwrite
    )
    for path, text in ((config, new_config), (credentials, new_credentials)):
        changed = _save(path, text)
        click.echo(f"{'Wrote' if changed else 'Nothing to change in'} {path}")
    click.echo(f"\nTry: aws --profile {name} sts get-caller-identity")
    click.echo("The Anthropic SDKs read no address from a profile; for them set this too:")
    click.echo(f"  ANTHROPIC_BEDROCK_BASE_URL={url}")


def aws_files() -> tuple[Path, Path]:
    """The AWS config and credentials files, by the variables that move them."""
    home = Path.home() / ".aws"
    config = os.environ.get("AWS_CONFIG_FILE") or str(home / "config")
    credentials = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or str(home / "credentials")
    return Path(config).expanduser(), Path(credentials).expanduser()


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode() if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise OutcropError(
            f"{path} can't be read: {error}.", "Mend that file first; nothing was changed."
        ) from error


def _save(path: Path, text: str) -> bool:
    """Replace a file in one step, keeping its mode; a new one is for its owner alone. False: it was so."""
    target = path.resolve()  # a link into somebody's dotfiles stays a link
    if target.is_file() and target.read_bytes() == text.encode():
        return False
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = target.with_name(f".{target.name}.outcrop")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(text.encode())
        partial.chmod(mode)
        partial.replace(target)
    except OSError as error:
        raise OutcropError(
            f"{path} can't be written: {error.strerror}.", "Make its folder writable."
        ) from error
    return True
