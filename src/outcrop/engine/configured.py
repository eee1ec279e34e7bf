"""The engine that the settings choose, made ready to be started. Imports only the one that is chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from outcrop.config import Settings
from outcrop.config.settings import ANTHROPIC, Messages
from outcrop.errors import OutcropError

if TYPE_CHECKING:
    from outcrop.engine import Engine


def configured(
    settings: Settings,
    env: Mapping[str, str] = os.environ,
    progress: Callable[[float], None] | None = None,
) -> Engine:
    """The engine, not started yet. `progress` is called with the seconds that loading a model has taken.

    Raises OutcropError where the local model is missing, and ConfigError for a secret that is not set, an
    unusable address or a broken answers file.
    """
    if settings.engine.kind == "messages":
        return _messages(settings.engine.messages, env)
    if settings.engine.kind == "scripted":
        return _scripted(settings)
    return _local(settings, progress)


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


def _scripted(settings: Settings) -> Engine:
    from outcrop.engine.scripted import ScriptedEngine

    answers = settings.engine.scripted.answers
    return ScriptedEngine() if answers is None else ScriptedEngine.from_file(answers)


def _local(settings: Settings, progress: Callable[[float], None] | None) -> Engine:
    from outcrop.engine.local import LocalEngine, models

    chosen = settings.engine.local
    model = chosen.model_file or models.located(settings.data.folder)
    if model is None:
        raise OutcropError(
            f"The model of the local engine, {models.DEFAULT.name}, has not been fetched.",
            "Run `outcrop model pull`, or name a GGUF file with --model-file.",
        )
    return LocalEngine(
        model, context=chosen.context, parallel=chosen.parallel, threads=chosen.threads, progress=progress
    )
