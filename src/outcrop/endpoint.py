"""An endpoint put together: settings, keys and an engine in, a running server out. Decides nothing itself."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable

from outcrop.catalog import Catalog
from outcrop.config import Settings
from outcrop.engine import Engine
from outcrop.server import Application, Limits, Listener, serve
from outcrop.service.chain import Clock, Service
from outcrop.service.identity import Identity, Keys
from outcrop.service.models import ControlPlane
from outcrop.service.runtime import Runtime
from outcrop.service.tokens import Tokens
from outcrop.wire import frames


def request_id() -> str:
    """A random UUID (version 4), as AWS's request ids are."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def limits(settings: Settings) -> Limits:
    """How patient the server is, from the settings."""
    server = settings.server
    return Limits(server.header_timeout, server.body_timeout, server.write_timeout, server.drain)


def application(settings: Settings, engine: Engine, keys: Keys) -> Application:
    """The ASGI app of an endpoint; any ASGI server can carry it."""
    bedrock = settings.bedrock
    catalog = Catalog.load(bedrock.edition)
    identity = Identity(keys, bedrock.region, bedrock.clock_skew)
    runtime = Runtime(
        catalog,
        engine,
        bare_model_id=bedrock.bare_model_id,
        monotonic=time.monotonic,
        paddings=(lambda: frames.paddings(os.urandom)) if bedrock.padding else frames.no_paddings,
    )
    handlers = {
        **runtime.handlers,
        **ControlPlane(catalog).handlers,
        **Tokens(identity, os.urandom).handlers,
    }
    clock = Clock(time.time, time.monotonic, request_id)
    service = Service(identity, handlers, clock, on_stop=runtime.stop)
    return Application(service, limits(settings))


async def run(
    settings: Settings,
    engine: Engine,
    keys: Keys,
    listeners: list[Listener],
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Start the engine, serve until SIGTERM or SIGINT, and stop it again. A second signal ends it at once.

    Raises OutcropError when the engine can't be made ready or a port is taken.
    """
    stop = asyncio.Event()
    app = application(settings, engine, keys)

    def on_signal() -> None:
        if stop.is_set():
            app.hurry()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    try:
        if await _started(engine, stop):
            await serve(app, listeners, stop, limits=limits(settings), on_ready=on_ready)
    finally:
        await engine.close()


async def _started(engine: Engine, stop: asyncio.Event) -> bool:
    """Make the engine ready; False when told to stop before it is: a large model takes its time to load."""
    starting, stopped = asyncio.ensure_future(engine.start()), asyncio.ensure_future(stop.wait())
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.wait((starting,))
    return False
