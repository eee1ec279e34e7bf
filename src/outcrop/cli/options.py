"""Flags that several commands share, and how they become settings. Knows click; decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click
import msgspec

from outcrop import config
from outcrop.config import Loaded

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

# flag, the setting it sets, type, help. What no flag says, the environment, the file or the default does.
_ENGINE = (
    ("--engine", "engine.kind", click.Choice(["local", "messages", "scripted"]), "Who answers."),
    (
        "--model-file",
        "engine.local.model_file",
        click.Path(path_type=Path),
        "A GGUF file for the local engine.",
    ),
    ("--base-url", "engine.messages.base_url", str, "The server that the messages engine asks."),
    ("--answers", "engine.scripted.answers", click.Path(path_type=Path), "The scripted engine's answers."),
)
_SERVER = (
    ("--host", "server.host", str, "Address to listen on."),
    ("--port", "server.port", click.IntRange(1, 65535), "Port to listen on."),
    ("--tls-port", "server.tls_port", click.IntRange(1, 65535), "Port of the TLS listener."),
)
_SWITCHES = (
    ("--tls/--no-tls", "server.tls", "Listen with TLS too."),
    ("--insecure-bind", "server.insecure_bind", "Allow an address others can reach without TLS."),
)


def settings_options(*, server: bool = False, engine: bool = False) -> Decorator:
    """Add the flags; the command gets them as one argument, `loaded`: the settings with their origins."""
    table = [*(_SERVER if server else ()), *(_ENGINE if engine else ())]
    switches = _SWITCHES if server else ()

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def load_first(**arguments: Any) -> Any:
            path = arguments.pop("config_file")
            flags = _flags(
                arguments, [("--data-dir", "data.folder"), *((row[0], row[1]) for row in (*table, *switches))]
            )
            return command(loaded=config.load(path, flags=flags), **arguments)

        load_first.__name__, load_first.__doc__ = command.__name__, command.__doc__
        load_first.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
        for flag, setting, text in reversed(switches):
            load_first = click.option(flag, _argument(setting), default=None, is_flag=True, help=text)(
                load_first
            )
        for flag, setting, kind, text in reversed(table):
            load_first = click.option(flag, _argument(setting), type=kind, default=None, help=text)(
                load_first
            )
        load_first = click.option(
            "--data-dir",
            _argument("data.folder"),
            type=click.Path(path_type=Path),
            help="Folder for keys and models.",
        )(load_first)
        return click.option(
            "--config", "config_file", type=click.Path(path_type=Path), help="The outcrop.toml to read."
        )(load_first)

    return decorate


def _argument(setting: str) -> str:
    return setting.replace(".", "_")


def _flags(arguments: dict[str, Any], rows: Iterable[tuple[str, str]]) -> dict[str, tuple[str, Any]]:
    """Take the settings' flags out of a command's arguments: those that were given, by the setting's name."""
    flags = {}
    for flag, setting in rows:
        value = arguments.pop(_argument(setting))
        if value is not None:
            flags[setting] = (flag.partition("/")[0], str(value) if isinstance(value, Path) else value)
    return flags


def engine_arguments(loaded: Loaded) -> list[str]:
    """The flags that give another `outcrop serve` the same engine, where flags of ours chose it."""
    arguments = []
    for flag, setting, _, _ in _ENGINE:
        where = tuple(setting.split("."))
        if loaded.origins[where].kind == "flag":
            value: Any = loaded.settings
            for name in where:
                value = getattr(value, name)
            arguments += [flag, str(value)]
    return arguments


output_option = click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="How to print it.",
    show_default=True,
)


def print_rows(rows: Sequence[Mapping[str, Any]], output: str, columns: Sequence[str]) -> None:
    """A list, as a table for people or as JSON for programs (which has every field, not only `columns`)."""
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    cells = [[name.upper().replace("_", " ") for name in columns]]
    cells += [["" if row.get(name) is None else str(row[name]) for name in columns] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_record(record: Mapping[str, Any], output: str) -> None:
    """One thing: a line for each field that it has, or a JSON object."""
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(record)).decode())
        return
    shown = {name.replace("_", " "): value for name, value in record.items() if value not in (None, "")}
    width = max(map(len, shown))
    for name, value in shown.items():
        click.echo(f"{name:<{width}}  {value}")
