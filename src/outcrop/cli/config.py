"""`outcrop config`: what is set, where each value came from, and whether all is well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from outcrop import config as settings_of
from outcrop.cli.group import EXIT_CONFIG
from outcrop.cli.options import output_option, print_rows
from outcrop.config import Loaded

_file_option = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="The outcrop.toml to read."
)


@click.group(help="Show and check the settings: outcrop.toml, OUTCROP_<SECTION>__<KEY>, defaults.")
def config() -> None:
    """The commands below."""


@config.command(help="Every setting, its value and where that came from. Secrets are masked.")
@_file_option
@output_option
def show(config_file: Path | None, output: str) -> None:
    """Ends with 78 when a setting is wrong, as every command does."""
    loaded = settings_of.load(config_file)
    if output == "table":
        click.echo(f"file: {loaded.file or 'none'}\n")
    print_rows(_rows(loaded), output, ["setting", "value", "origin"])


def _rows(loaded: Loaded) -> list[dict[str, Any]]:
    rows = []
    for where, setting in settings_of.catalogue(loaded.settings.engines).items():
        value: Any = loaded.settings
        for name in where:
            value = value[name] if isinstance(value, dict) else getattr(value, name)
        origin = loaded.origins[where]
        rows.append(
            {
                "setting": setting.name,
                "value": settings_of.shown(setting, value),
                "origin": origin.place or origin.kind,
                "variable": setting.variable,
                "wanted": setting.wanted,
                "purpose": setting.purpose,
            }
        )
    return rows


@config.command(help="Check the settings and list every mistake, each with its place and what to do.")
@_file_option
@click.pass_context
def check(ctx: click.Context, config_file: Path | None) -> None:
    """Ends with 0 when all is well, else with 78."""
    loaded, problems = settings_of.check(config_file)
    if not problems:
        problems = list(settings_of.missing_secrets(loaded.settings))
    for problem in problems:
        click.echo(problem.what)
        click.echo(f"  {problem.fix}")
    if problems:
        ctx.exit(EXIT_CONFIG)
    for warning in settings_of.warnings(loaded.settings):
        click.echo(f"Warning: {warning}")
    click.echo(f"All is well: {loaded.file or 'no outcrop.toml, so environment and defaults only'}.")
