"""The engines that the settings choose, made ready to be started. Imports only those that are chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from outcrop.catalog import Catalog, naming
from outcrop.config import Settings
from outcrop.config.settings import ANTHROPIC, Local, Messages, Placed, Scripted
from outcrop.errors import OutcropError
from outcrop.service.routing.places import Place

if TYPE_CHECKING:
    from outcrop.engine import Engine


def configured_fleet(
    settings: Settings,
    env: Mapping[str, str] = os.environ,
    progress: Callable[[float], None] | None = None,
) -> list[Place]:
    """Every engine in its place, not started yet: those of `[engines.<name>]`, or the one of `[engine]`.

    Tables that name the same local model share one engine, so it is loaded once. `progress` is called with
    the seconds that loading a model has taken. Raises OutcropError where the local model is missing, and
    ConfigError for a secret that is not set, an unusable address or a broken answers file.
    """
    catalog = Catalog.load(settings.bedrock.edition)
    shared: dict[Local, Engine] = {}
    places = []
    for name, chosen in settings.placed.items():
        engine = shared.get(chosen.local) if chosen.kind == "local" else None
        if engine is None:
            engine = _made(chosen, settings.data.folder, env, progress)
        if chosen.kind == "local":
            shared[chosen.local] = engine
        places.append(_place(name, chosen, engine, catalog))
    return places


def _made(
    chosen: Placed, folder: Path, env: Mapping[str, str], progress: Callable[[float], None] | None
) -> Engine:
    if chosen.kind == "messages":
        return _messages(chosen.messages, env)
    if chosen.kind == "scripted":
        return _scripted(chosen.scripted)
    return _local(chosen.local, folder, progress)


def _place(name: str, chosen: Placed, engine: Engine, catalog: Catalog) -> Place:
    at = f"engines.{name}"
    return Place(
        name,
        engine,
        regions=naming.regions(catalog, chosen.regions, f"{at}.regions") if chosen.regions else None,
        models=naming.models(catalog, chosen.models, f"{at}.models") if chosen.models else None,
        concurrent=chosen.concurrent,
        requests_per_minute=chosen.requests_per_minute,
        tokens_per_minute=chosen.tokens_per_minute,
    )


def _messages(chosen: Messages, env: Mapping[str, str]) -> Engine:
    from outcrop.engine.messages import MessagesEngine
    from outcrop.transport import Timeouts
    from outcrop.transport.aio import Client
    from outcrop.transport.route import Proxies

    proxies = Proxies.from_environment(env)
    if chosen.proxy:
        proxies = Proxies(chosen.proxy, chosen.proxy, proxies.no)
    client = Client(
        timeouts=Timeouts(
            connect=chosen.connect_timeout, head=chosen.first_timeout, idle=chosen.idle_timeout
        ),
        ca_file=str(chosen.ca_file or ""),
        proxies=proxies,
    )
    return MessagesEngine(
        "messages/" + ("anthropic" if chosen.origin == ANTHROPIC else _host(chosen.base_url)),
        chosen.base_url,
        api_key=chosen.key(env),
        bearer=chosen.auth == "bearer",
        models=chosen.models,
        headers=chosen.sent_headers(env),
        lacks=chosen.lacks,
        client=client,
    )


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _scripted(chosen: Scripted) -> Engine:
    from outcrop.engine.scripted import ScriptedEngine

    return ScriptedEngine() if chosen.answers is None else ScriptedEngine.from_file(chosen.answers)


def _local(chosen: Local, folder: Path, progress: Callable[[float], None] | None) -> Engine:
    from outcrop.engine.local import LocalEngine, models

    model = chosen.model_file or models.located(folder)
    if model is None:
        raise OutcropError(
            f"The model of the local engine, {models.DEFAULT.name}, has not been fetched.",
            "Run `outcrop model pull`, or name a GGUF file with --model-file.",
        )
    return LocalEngine(
        model, context=chosen.context, parallel=chosen.parallel, threads=chosen.threads, progress=progress
    )
