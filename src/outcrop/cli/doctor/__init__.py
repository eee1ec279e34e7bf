"""`outcrop doctor`: what is well, what is not, and what to do about it. The checks are beside this."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from outcrop import config
from outcrop.cli.doctor import clients, engines, machine
from outcrop.cli.doctor.finding import Finding, Patient
from outcrop.cli.group import ABOUT, EXIT_FAILURE
from outcrop.cli.options import output_option, print_rows
from outcrop.cli.running import find

CHECKS: Final[tuple[Callable[[Patient], Iterator[Finding]], ...]] = (
    machine.python,
    machine.settings,
    machine.keys,
    machine.endpoint,
    machine.tls,
    machine.port,
    engines.engine,
    clients.environment,
    clients.aws_cli,
    clients.node,
)

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(help="Check everything that has to be well, and say what to do where it is not.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="The outcrop.toml to read.")
@output_option
@click.pass_context
def doctor(ctx: click.Context, config_file: Path | None, output: str) -> None:
    """Ends with 1 when something fails; warnings are for information."""
    loaded, problems = config.check(config_file)
    patient = Patient(loaded.settings, tuple(problems), find(loaded.settings.data.folder), os.environ)
    found = [finding for check in CHECKS for finding in check(patient)]
    if output == "json":
        print_rows([finding._asdict() for finding in found], output, [])
    else:
        _print(found)
    if any(finding.status == "fail" for finding in found):
        ctx.exit(EXIT_FAILURE)


def _print(found: list[Finding]) -> None:
    click.echo("\n".join(click.wrap_text(ABOUT, 100).splitlines()) + "\n")
    width = max(len(finding.subject) for finding in found)
    for finding in found:
        click.secho(f"{finding.status:<5}", fg=_COLOURS[finding.status], nl=False)
        click.echo(f"{finding.subject:<{width}}  {finding.saw}")
        if finding.fix:
            click.echo(f"{'':<{width + 7}}{finding.fix}")
    failed = sum(finding.status == "fail" for finding in found)
    warned = sum(finding.status == "warn" for finding in found)
    click.echo(f"\n{len(found)} checks: {failed} failed, {warned} with a warning.")
