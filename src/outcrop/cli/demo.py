"""`outcrop demo`: real clients get real answers from a private endpoint; all can be repeated by hand.

Knows which clients to run and how to find them; the clients are the small scripts in `examples/`, which know
nothing of Outcrop. A running endpoint is not touched: the demo starts its own, on free ports.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from textwrap import indent
from typing import Final

import click
import msgspec

from outcrop.cli.env import client_variables
from outcrop.cli.group import ABOUT, activation
from outcrop.cli.keys import own_key, principals_of
from outcrop.cli.node import Node, find_node
from outcrop.cli.options import engine_arguments, settings_options
from outcrop.cli.running import Running, private
from outcrop.config import Loaded
from outcrop.errors import OutcropError

_STEP_SECONDS: Final = 180
_INSTALL_SECONDS: Final = 600


class Step(msgspec.Struct, frozen=True):
    """One client: what it shows, and its command. The first word may be `python`, `aws` or `node`."""

    title: str
    command: tuple[str, ...]


STEPS: Final = (
    Step("Who am I? The AWS CLI asks STS.", ("aws", "sts", "get-caller-identity")),
    Step(
        "Which Claude models are there? The AWS CLI asks Bedrock.",
        (
            *("aws", "bedrock", "list-foundation-models", "--region=us-west-2"),
            *("--by-provider", "anthropic", "--query", "modelSummaries[*].modelId"),
        ),
    ),
    Step("The same list, by boto3.", ("python", "examples/list_models.py")),
    Step('"Hello, world" by anthropic[bedrock].', ("python", "examples/hello.py")),
    Step('"Hello, world" by Outcrop\'s own client, and its price.', ("python", "examples/client.py")),
    Step('"Hello, world" by boto3, InvokeModel.', ("python", "examples/invoke.py")),
    Step(
        '"Hello, world" and a story by boto3, ConverseStream: as it is made.',
        ("python", "examples/stream.py"),
    ),
    Step('"Hello, world" by the TypeScript SDK.', ("node", "hello.mjs")),
)

GO_ON: Final = """\
outcrop serve                     run the endpoint; then, in another terminal:
eval "$(outcrop env)"             point the clients of that terminal at it
outcrop exec -- python app.py     or point just one program at it
outcrop doctor                    what is well, what is not, and what to do
ANTHROPIC_API_KEY=… outcrop serve --engine messages     let Claude answer instead
"""


@click.command(help="Start a private endpoint and show real clients getting answers from it.")
@settings_options(engine=True)
def demo(loaded: Loaded) -> None:
    """Fails when any client fails."""
    examples = find_examples()
    click.echo("\n".join(click.wrap_text(ABOUT, 100).splitlines()) + "\n")
    if any(engine.kind == "local" for engine in loaded.settings.placed.values()):
        from outcrop.cli.model import pull_if_missing

        pull_if_missing(loaded.settings)
    node = find_node()
    folder = _node_folder(examples, node) if node is not None else None
    arguments = [*engine_arguments(loaded), "--data-dir", str(loaded.settings.data.folder)]
    if loaded.file is not None:
        arguments += ["--config", str(loaded.file)]
    click.echo("Starting an endpoint for the demo …", nl=False)
    began = time.monotonic()
    with private(arguments) as running:
        click.echo(f" {running.url}, engine {running.engine}, ready after {time.monotonic() - began:.1f} s.")
        failed = _run_steps(loaded, running, examples, node, folder)
    click.echo(
        f"\n{len(STEPS) - len(failed)} of {len(STEPS)} steps done in {time.monotonic() - began:.0f} s."
    )
    if failed:
        raise OutcropError(
            "The demo did not work: " + "; ".join(failed), "See above, and run `outcrop doctor`."
        )
    click.echo("\nHow to go on:\n" + indent(activation() + GO_ON, "  "))


def find_examples() -> Path:
    """The folder with the scripts. Raises OutcropError where they were not installed."""
    import outcrop

    package = Path(outcrop.__file__).parent
    for folder in (package / "examples", package.parents[1] / "examples"):
        if (folder / "hello.py").is_file():
            return folder
    raise OutcropError("The demo's scripts are not installed.", "Get the source and run `make demo` in it.")


def _run_steps(
    loaded: Loaded, running: Running, examples: Path, node: Node | None, folder: Path | None
) -> list[str]:
    pair = own_key(principals_of(loaded.settings))
    environment = client_variables(loaded.settings, running, pair).apply(os.environ) | {
        # a pager, or what a person's own configuration says, is not for here
        "AWS_PAGER": "",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PYTHONUNBUFFERED": "1",
    }
    failed = []
    for number, step in enumerate(STEPS, 1):
        click.secho(f"\n{number}. {step.title}", bold=True)
        if step.command[0] == "node" and (node is None or folder is None):
            click.echo("   Left out: there is no Node 18 or newer with npm here.")
            continue
        click.secho(f"   $ {_shown(step)}", fg="cyan")
        where = folder if step.command[0] == "node" and folder is not None else examples.parent
        problem = _run(_resolved(step.command, node), environment, where)
        if problem:
            click.secho(f"   {problem}", fg="red", err=True)
            failed.append(f"step {number}, {problem}")
    return failed


def _shown(step: Step) -> str:
    """The command as a person would type it in the source's folder after `eval "$(outcrop env)"`."""
    if step.command[0] == "node":
        return "(cd examples && npm ci && node hello.mjs)"
    return " ".join(f'"{word}"' if "*" in word else word for word in step.command)


def _resolved(command: Sequence[str], node: Node | None) -> list[str]:
    program, *rest = command
    if program == "python":
        return [sys.executable, *rest]
    if program == "node" and node is not None:
        return [*node.node, *rest]
    if program == "aws" and importlib.util.find_spec("awscli") is not None:
        # not by its script: pip writes a first line into it that can't hold a path with spaces
        return [sys.executable, "-m", "awscli", *rest]
    beside = Path(sys.executable).with_name(program)
    return [str(beside) if beside.is_file() else shutil.which(program) or program, *rest]


def _run(command: Sequence[str], environment: Mapping[str, str], where: Path) -> str:
    """Run one client, its output going to the terminal. Returns what is wrong, or "" for nothing."""
    sys.stdout.flush()
    try:
        done = subprocess.run(command, env=environment, cwd=where, timeout=_STEP_SECONDS, check=False)
    except FileNotFoundError:
        return f"{Path(command[0]).name} is not installed"
    except subprocess.TimeoutExpired:
        return f"no end after {_STEP_SECONDS} s"
    return f"exit code {done.returncode}" if done.returncode else ""


def _node_folder(examples: Path, node: Node) -> Path:
    """A folder with the TypeScript SDK and the script, kept for next time. Raises OutcropError."""
    import platformdirs

    lock = (examples / "package-lock.json").read_bytes()
    cache = platformdirs.user_cache_path("outcrop", appauthor=False)
    folder = cache / f"node-{sha256(lock).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "hello.mjs"):
        shutil.copyfile(examples / name, folder / name)
    complete = folder / ".complete"
    if not complete.exists():
        click.echo("Installing the TypeScript SDK for the demo (once) …")
        _npm_ci(node, folder)
        complete.touch()
    return folder


def _npm_ci(node: Node, folder: Path) -> None:
    command = [*node.npm, "ci", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, env=node.environment(os.environ), timeout=_INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OutcropError(
            f"npm had not finished after {_INSTALL_SECONDS} s.", "Check the network."
        ) from error
    if done.returncode:
        raise OutcropError(
            "npm could not install the TypeScript SDK.", "Read what it said above, and try again."
        )
