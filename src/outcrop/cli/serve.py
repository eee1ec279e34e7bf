"""`outcrop serve`: the endpoint, from the settings to the lines to paste."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from outcrop import __version__
from outcrop.cli.group import ABOUT, activation
from outcrop.cli.keys import OwnKey, own_key, principals_of, state_path
from outcrop.cli.options import settings_options
from outcrop.cli.running import Running, clear_scratch, judging, record_path, recorded
from outcrop.config import Loaded, Settings, is_loopback, warnings

if TYPE_CHECKING:
    from outcrop.server import Listener
    from outcrop.service.principals import Principals
    from outcrop.service.routing.places import Place

# what the banner says of each way a fresh install can stand
_ACCESS: Final = {
    "open": "open: models are granted on first use (bedrock.access)",
    "request": "request: each model has to be asked for first, see `outcrop access --help`",
}


@click.command(
    help=f"""Run the endpoint, until Ctrl-C or SIGTERM. Nothing needs to be configured.

{ABOUT}
"""
)
@settings_options(server=True, engine=True)
@click.option("--record", type=click.Path(path_type=Path), hidden=True, help="Where to say that it runs.")
@click.option(
    "--private", is_flag=True, hidden=True, help="Say nothing, and end with the caller (stdin closes)."
)
def serve(loaded: Loaded, record: Path | None, private: bool) -> None:
    """State, keys and, with --tls, certificates are made on the first start and kept in the data folder."""
    settings = loaded.settings
    logging.basicConfig(
        level=settings.server.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s"
    )
    for warning in () if private else warnings(settings):
        click.echo(f"Warning: {warning}", err=True)
    principals = principals_of(settings)
    pair = own_key(principals)
    listeners = _listeners(settings)
    places = _places(settings)
    running = judging(_running(settings, places), loaded)
    if private:
        _end_with_stdin()
    with contextlib.ExitStack() as stack:
        stack.callback(_wipe)

        def ready() -> None:
            if private and record is not None:
                stack.callback(clear_scratch, record.parent)
            stack.enter_context(recorded(record or record_path(settings.data.folder), running))
            if not private:
                _wipe()
                click.echo(banner(loaded, running, pair))

        _run(_endpoint(settings, places, principals, listeners, ready))


def _places(settings: Settings) -> list[Place]:
    from outcrop.engine.configured import configured_fleet

    if all(chosen.kind != "local" for chosen in settings.placed.values()):
        return configured_fleet(settings)
    from outcrop.cli.model import pull_if_missing

    pull_if_missing(settings)
    return configured_fleet(settings, progress=_loading if sys.stderr.isatty() else None)


def _loading(seconds: float) -> None:
    # the cursor goes back to the line's start, where _wipe begins
    click.echo(f"Loading the model … {seconds:.1f} s \r", nl=False, err=True)


def _wipe() -> None:
    """Take what _loading wrote off the screen."""
    if sys.stderr.isatty():
        click.echo("\033[K", nl=False, err=True)


async def _endpoint(
    settings: Settings, places: list[Place], principals: Principals, listeners: list[Listener], ready: Any
) -> None:
    from outcrop import endpoint
    from outcrop.service.routing.places import Fleet

    await endpoint.run(settings, Fleet(places), principals, listeners, ready)


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)


def _listeners(settings: Settings) -> list[Listener]:
    from outcrop.server import Listener, check_listener

    server = settings.server
    listeners = [Listener(server.plain_host, server.port)]
    if server.tls_certificate is not None and server.tls_key is not None and server.tls:
        listeners.append(Listener(server.host, server.tls_port, server.tls_certificate, server.tls_key))
    elif server.tls:
        from outcrop import tls

        names = [] if server.host in ("0.0.0.0", "::") else [server.host]  # noqa: S104 - compared, not bound
        files = tls.ensure(settings.data.folder, (*server.tls_names, *names))
        listeners.append(Listener(server.host, server.tls_port, files.certificate, files.key))
    for listener in listeners:  # `endpoint.run` looks again; fetching and loading a model comes before that
        check_listener(listener)
    return listeners


def _running(settings: Settings, places: list[Place]) -> Running:
    server = settings.server
    return Running(
        url=f"http://{_client_host(server.plain_host)}:{server.port}",
        tls_url=f"https://{_client_host(server.host)}:{server.tls_port}" if server.tls else "",
        pid=os.getpid(),
        engine=", ".join(dict.fromkeys(place.engine.name for place in places)),
        region=settings.bedrock.region,
        version=__version__,
    )


def _client_host(host: str) -> str:
    """What a client on this machine puts into a URL for an address that is listened on."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def banner(loaded: Loaded, running: Running, pair: OwnKey) -> str:
    """What a person reads first: what this is, where it is, who answers, and how to point a client at it."""
    from outcrop.cli.environment import render, variables

    settings = loaded.settings
    where = ""  # a data folder that a flag named, the other commands have to be told too
    if loaded.origins["data", "folder"].kind == "flag":
        where = f" --data-dir {shlex.quote(str(settings.data.folder))}"
    lines = [f"Outcrop {__version__}", *click.wrap_text(ABOUT, 100).splitlines(), ""]
    lines.append(f"  {running.url}   HTTP/1.1 and HTTP/2: bedrock, bedrock-runtime and sts")
    if running.tls_url:
        lines.append(f"  {running.tls_url}   the same with TLS, which API keys need")
    lines += [f"  engine   {running.engine}", f"  state    {state_path(settings.data.folder)}"]
    lines += [f"  settings {loaded.file.absolute()}"] if loaded.file else []
    lines += [f"  access   {_ACCESS[settings.bedrock.access]}", f"  regions  {_regions(settings)}"]
    if settings.bedrock.residency:
        lines.append(
            f"  bound    calls are sent to {', '.join(settings.bedrock.residency)} only (bedrock.residency)"
        )
    if settings.bedrock.quotas:
        lines.append("  quotas   enforced, see `outcrop quota list` (bedrock.quotas)")
    lines += [
        "",
        "In another terminal (fish, PowerShell: see `outcrop env --help`):",
        *(f"  {line}" for line in activation().splitlines()),
        f'  eval "$(outcrop env{where})"',
    ]
    if is_loopback(settings.server.host):  # a secret is not for the log of a service that others can reach
        ours = variables(running.url, pair.id, pair.secret, running.region)
        lines += ["or paste:", *(f"  {line}" for line in render(ours, "sh").splitlines())]
    lines += ["or run one program:", f"  outcrop exec{where} -- python app.py", "", "Ctrl-C stops it."]
    return "\n".join(lines)


def _regions(settings: Settings) -> str:
    """Where answers really come from, as far as the settings say."""
    placed = settings.placed.values()
    real = sorted({region for engine in placed for region in engine.regions})
    everywhere = any(not engine.regions for engine in placed)
    if not real:
        return "simulated: one engine stands for all of them"
    unplaced = "; engines without regions may answer for any region"
    return ", ".join(real) + (unplaced if everywhere else "")


def _end_with_stdin() -> None:
    """Whoever started a private endpoint holds its stdin; when that closes, even by kill -9, it ends too."""

    def wait() -> None:
        # not sys.stdin: its lock, held here, is a fatal error when the interpreter ends first
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
