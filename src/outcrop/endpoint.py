"""An endpoint put together: settings, principals and engines in, a running server out. Decides nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from outcrop.catalog import Catalog
from outcrop.config import Settings
from outcrop.errors import OutcropError
from outcrop.server import Application, Limits, Listener, serve
from outcrop.service.access import Access
from outcrop.service.call import AskStep, Step
from outcrop.service.chain import Clock, Service
from outcrop.service.iam.context import Connection
from outcrop.service.iam.step import Authoriser
from outcrop.service.identity import Identity
from outcrop.service.models import ControlPlane
from outcrop.service.principals import Principals
from outcrop.service.profiles import Profiles
from outcrop.service.quota.step import Quotas
from outcrop.service.recording import Recorder
from outcrop.service.routing.dispatch import Dispatcher
from outcrop.service.routing.places import Fleet
from outcrop.service.routing.residency import Residency
from outcrop.service.runtime import Runtime, through
from outcrop.service.targets import Targets
from outcrop.service.tokens import Tokens
from outcrop.store.calls import CallLog
from outcrop.store.counters import NAME as COUNTERS
from outcrop.store.counters import Counters
from outcrop.store.sqlite import STATE
from outcrop.wire import frames
from outcrop.wire.http import Head

log = logging.getLogger("outcrop.endpoint")


def request_id() -> str:
    """A random UUID (version 4), as AWS's request ids are."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def limits(settings: Settings) -> Limits:
    """How patient the server is, from the settings."""
    server = settings.server
    return Limits(server.header_timeout, server.body_timeout, server.write_timeout, server.drain)


class Ledgers(msgspec.Struct, frozen=True):
    """What calls leave behind beside their answers: a record of each, and what they took of their quotas."""

    calls: CallLog
    counters: Counters

    @classmethod
    def of(cls, folder: Path) -> Ledgers:
        """Those of a data folder. Raises OutcropError when the state can't be opened."""
        return cls(CallLog(folder / STATE), Counters(folder / COUNTERS))

    def close(self) -> None:
        """Write what is left, and let go of the files."""
        self.calls.close()
        self.counters.close()


def _connection(head: Head) -> Connection:
    return Connection(head.client, head.secure)


def application(settings: Settings, fleet: Fleet, principals: Principals, ledgers: Ledgers) -> Application:
    """The ASGI app of an endpoint; any ASGI server can carry it."""
    bedrock = settings.bedrock
    catalog = Catalog.load(bedrock.edition)
    identity = Identity(principals, bedrock.region, bedrock.clock_skew)
    access = Access(catalog, principals.store, bedrock.access)
    dispatcher = Dispatcher(fleet, monotonic=time.monotonic, randomness=random.random)
    recorder = Recorder(ledgers.calls)
    # an answer's steps, outermost first
    asking: tuple[AskStep, ...] = (
        Quotas(ledgers.counters, enabled=bedrock.quotas, clock=time.time).reserve,
        recorder.record,
    )
    runtime = Runtime(
        through(asking, dispatcher.answer),
        lambda call, question: recorder.count(call, question, dispatcher.count),
        monotonic=time.monotonic,
        paddings=(lambda: frames.paddings(os.urandom)) if bedrock.padding else frames.no_paddings,
    )
    handlers = {
        **runtime.handlers,
        **ControlPlane(catalog).handlers,
        **Profiles(catalog, principals.store, time.time, os.urandom).handlers,
        **access.handlers,
        **Tokens(identity, os.urandom).handlers,
    }
    # a request's steps, outermost first
    steps: tuple[Step, ...] = (
        Targets(catalog, bedrock.bare_model_id).find,
        Authoriser(catalog, _connection).authorise,
        access.check,
        Residency(catalog, bedrock.residency).place,
    )
    clock = Clock(time.time, time.monotonic, request_id)
    service = Service(identity, principals.store, handlers, clock, steps, on_stop=runtime.stop)
    return Application(service, limits(settings))


async def run(
    settings: Settings,
    fleet: Fleet,
    principals: Principals,
    listeners: list[Listener],
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Start the engines, serve until SIGTERM or SIGINT, stop the engines. A second signal ends it at once.

    Raises OutcropError when an engine can't be made ready, the state can't be opened, or a port is taken.
    """
    stop = asyncio.Event()
    ledgers = Ledgers.of(settings.data.folder)
    app = application(settings, fleet, principals, ledgers)

    def on_signal() -> None:
        if stop.is_set():
            app.hurry()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    forgetting = asyncio.create_task(_forget(ledgers.calls, settings.data.calls_kept))
    try:
        if await _started(fleet, stop):
            await serve(app, listeners, stop, limits=limits(settings), on_ready=on_ready)
    finally:
        forgetting.cancel()
        await fleet.close()
        ledgers.close()


async def _forget(calls: CallLog, days: int) -> None:
    """Once an hour, let go of the records of calls that are older than they are kept."""
    while True:
        try:
            await asyncio.to_thread(calls.forget, time.time() - days * 86_400)
        except OutcropError as error:
            log.warning("old records of calls could not be removed: %s", error.what)
        await asyncio.sleep(3600)


async def _started(fleet: Fleet, stop: asyncio.Event) -> bool:
    """Make the engines ready; False when told to stop before it is: a large model takes its time to load."""
    starting, stopped = asyncio.ensure_future(fleet.start()), asyncio.ensure_future(stop.wait())
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.wait((starting,))
    return False
