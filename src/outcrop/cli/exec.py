"""`outcrop exec -- CMD …`: any program, with its Bedrock clients pointed at the endpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import click

from outcrop.cli.env import client_variables
from outcrop.cli.keys import pair_for, pair_options, principals_of
from outcrop.cli.options import engine_arguments, settings_options
from outcrop.cli.running import find, private
from outcrop.config import Loaded

# shells' numbers for a program that can't be run
_NOT_EXECUTABLE: Final = 126
_NOT_FOUND: Final = 127

_TYPED: Final = (signal.SIGINT, signal.SIGQUIT)
_FORWARDED: Final = (*_TYPED, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@click.command(
    "exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    help="""Run a program with its Bedrock clients pointed at the endpoint: outcrop exec -- python app.py

When no endpoint runs, a private one is started for the program and stopped after it. A flag that names an
engine always starts a private one. The exit code is the program's.
""",
)
@click.option("--tls", is_flag=True, help="Use the https address.")
@click.option("--api-key", is_flag=True, help="Give the program a bearer key too; implies --tls.")
@click.option("--private", "alone", is_flag=True, help="Start a private endpoint even when one runs.")
@pair_options
@settings_options(engine=True)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(
    loaded: Loaded,
    *,
    tls: bool,
    api_key: bool,
    alone: bool,
    user: str | None,
    account: str,
    command: tuple[str, ...],
) -> None:
    """Replaces itself with the program where nothing needs to be stopped afterwards."""
    settings, engine = loaded.settings, engine_arguments(loaded)
    tls = tls or api_key
    running = None if alone or engine else find(settings.data.folder)
    pair = pair_for(principals_of(settings), user, account)
    if running is not None:
        told = client_variables(settings, running, pair, tls=tls, api_key=api_key)
        _become(command, told.apply(os.environ))
    if any(engine.kind == "local" for engine in settings.placed.values()):
        from outcrop.cli.model import pull_if_missing

        pull_if_missing(settings)
    arguments = [*engine, "--data-dir", str(settings.data.folder)]
    if loaded.file is not None:
        arguments += ["--config", str(loaded.file)]
    with private(arguments, tls=tls) as running:
        environment = client_variables(settings, running, pair, tls=tls, api_key=api_key).apply(os.environ)
        code = _run(command, environment)
    sys.exit(code)


def _become(command: Sequence[str], environment: Mapping[str, str]) -> None:
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606 - running what it is given is its task
    except OSError as error:
        sys.exit(_explain(command[0], error))


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run to the end, passing signals on. The exit code as a shell gives it: 128 + n for signal n."""
    try:
        child = subprocess.Popen(list(command), env=dict(environment))
    except OSError as error:
        return _explain(command[0], error)
    for number in _FORWARDED:
        signal.signal(number, lambda received, _: _forward(child, received))
    code = child.wait()
    return code if code >= 0 else 128 - code


def _forward(child: subprocess.Popen[bytes], number: int) -> None:
    # what is typed at a terminal reaches the program by itself: it is in the same foreground group
    if not (number in _TYPED and _in_foreground()) and child.poll() is None:
        child.send_signal(number)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # no terminal
        return False


def _explain(program: str, error: OSError) -> int:
    click.echo(f"outcrop: can't run {program}: {error.strerror}.", err=True)
    return _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
