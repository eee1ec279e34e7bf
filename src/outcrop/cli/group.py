"""The table of commands, and how what goes wrong is shown. Imports no command before it is asked for."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import click

from outcrop import __version__
from outcrop.errors import ArgumentError, ConfigError, OutcropError

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2  # click's
EXIT_CONFIG: Final = 78  # EX_CONFIG of sysexits.h
_CODES: Final = {ConfigError: EXIT_CONFIG, ArgumentError: EXIT_USAGE}

# command: (where it is, what the list of commands says)
COMMANDS: Final = {
    "serve": ("outcrop.cli.serve:serve", "Run the endpoint."),
    "env": (
        "outcrop.cli.env:env",
        "Print the environment that points clients here; or write an AWS profile.",
    ),
    "exec": ("outcrop.cli.exec:execute", "Run a program against the endpoint."),
    "keys": ("outcrop.cli.keys:keys", "Make, list and revoke access keys and API keys."),
    "users": ("outcrop.cli.users:users", "Make users, roles and accounts, and say what they may do."),
    "access": ("outcrop.cli.access:access", "Ask for, grant and revoke access to models."),
    "quota": ("outcrop.cli.quota:quota", "Show and set quotas, and what is left of them."),
    "explain": ("outcrop.cli.explain:explain", "Say step by step what would happen to a call."),
    "residency": (
        "outcrop.cli.residency:residency",
        "Show where calls were sent, and fail if one left its set.",
    ),
    "model": ("outcrop.cli.model:model", "Fetch and list models for the engine on this machine."),
    "tls": ("outcrop.cli.tls:tls", "Make the local certificate authority and its certificate."),
    "config": ("outcrop.cli.config:config", "Show and check the settings."),
    "doctor": ("outcrop.cli.doctor:doctor", "Check everything, and say what to do about it."),
    "demo": ("outcrop.cli.demo:demo", "Show real clients getting real answers, in a minute."),
}

# package: the extra that brings it. click itself is asked for before this file is read.
EXTRAS: Final = {
    "granian": "server",
    "cryptography": "server",
    "platformdirs": "server",
    "xllamacpp": "local",
    "jsonschema": "local",
}

ABOUT: Final = (
    "Outcrop is the Bedrock API for Claude. Until an engine that has Claude is connected, "
    "a small local model (SmolLM2, not Claude) answers, "
    "and the `model` field only repeats what was asked for. "
    "Not affiliated with Anthropic or AWS."
)


def activation() -> str:
    """The line that lets a shell find `outcrop`, and a line end; "" where it finds it already."""
    script = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("outcrop") or not script.is_file():
        return ""
    with contextlib.suppress(ValueError):  # it lies elsewhere
        script = script.relative_to(Path.cwd())
    return f"source {shlex.quote(str(script))}\n"


class Commands(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a guess for a name that is not there."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            guess = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"No such command {args[0]!r}.{guess}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list in `--help`, out of the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run; an error a person can mend is two lines, never a traceback."""
        try:
            return super().invoke(ctx)
        except OutcropError as error:
            _show(error)
            ctx.exit(next((code for kind, code in _CODES.items() if isinstance(error, kind)), EXIT_FAILURE))
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS:
                raise
            install = f'Run: pip install "outcrop[{EXTRAS[package]}]"'
            _show(OutcropError(f"The package {package} is not installed.", install))
            ctx.exit(EXIT_FAILURE)


def _show(error: OutcropError) -> None:
    click.secho(f"outcrop: {error.what}", err=True, fg="red")
    if error.fix:
        click.echo(f"  {error.fix}", err=True)


@click.group(cls=Commands, help=ABOUT, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="outcrop")
def outcrop() -> None:
    """Everything is in the commands."""
