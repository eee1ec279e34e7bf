"""What the doctor sees of the engines that the settings choose: whether they could answer."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from outcrop.cli.doctor.finding import Finding, Patient, clock
from outcrop.config import Local, Messages, Placed, Scripted, warnings
from outcrop.errors import OutcropError

_TIMEOUT: Final = 10
_REFUSED: Final = (401, 403)


def engine(patient: Patient) -> Iterator[Finding]:
    """The engines in the settings; a running endpoint may have been told another by a flag."""
    settings, running = patient.settings, patient.running
    kinds = {chosen.kind for chosen in settings.placed.values()}
    if running is not None and not settings.engines and running.engine.partition("/")[0] not in kinds:
        saw = (
            f"the endpoint runs with {running.engine}; the settings say {', '.join(kinds)}, "
            "which was not checked"
        )
        yield Finding("engine", "ok", saw)
        return
    for name, chosen in settings.placed.items():
        section = f"engines.{name}" if settings.engines else "engine"
        for finding in _engine(chosen, section, settings.data.folder):
            named = settings.engines and finding.subject == "engine"
            yield finding._replace(subject=f"engines.{name}") if named else finding
    for warning in () if patient.problems else warnings(settings):
        yield Finding("engines", "warn", warning, "Correct it in outcrop.toml, or leave it if it is meant.")


def _engine(chosen: Placed, section: str, folder: Path) -> Iterator[Finding]:
    if chosen.kind == "local":
        yield from _local(chosen.local, folder)
    elif chosen.kind == "messages":
        yield from _messages(chosen.messages, f"{section}.messages")
    else:
        yield from _scripted(chosen.scripted)


def _local(local: Local, folder: Path) -> Iterator[Finding]:
    from outcrop.engine.local import models

    if importlib.util.find_spec("xllamacpp") is None:
        fix = 'Run: pip install "outcrop[local]"'
        yield Finding("engine", "fail", "local: the package xllamacpp is not installed", fix)
    path = local.model_file
    chosen = path or models.located(folder)
    if chosen is None:
        fix = "Run `outcrop model pull`; `outcrop serve` does it by itself."
        yield Finding("engine", "warn", f"local: {models.DEFAULT.name} has not been fetched", fix)
        return
    try:
        models.check_gguf(chosen)
    except OutcropError as error:
        yield Finding("engine", "fail", error.what, error.fix)
        return
    if path is None:
        with chosen.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != models.DEFAULT.sha256:
                yield Finding("engine", "fail", f"{chosen} is damaged", "Run `outcrop model pull`.")
                return
    yield Finding("engine", "ok", f"local: {chosen} (a small model, not Claude)")


def _scripted(scripted: Scripted) -> Iterator[Finding]:
    from outcrop.engine.scripted import read_scripts

    path = scripted.answers
    try:
        saw = "one fixed sentence" if path is None else f"{len(read_scripts(path))} answer(s) from {path}"
    except OutcropError as error:
        yield Finding("engine", "fail", error.what, error.fix)
    else:
        yield Finding("engine", "ok", f"scripted: {saw}")


def _messages(chosen: Messages, section: str) -> Iterator[Finding]:
    """Asks for the list of models, which costs nothing and needs the key. `section` has its settings."""
    if chosen.base_url.startswith("http+unix:"):
        yield Finding("engine", "ok", f"messages: {chosen.base_url} (a socket; not asked)")
        return
    try:
        status, date = _list_models(chosen)
    except OutcropError as error:
        yield Finding("engine", "fail", error.what, error.fix)
        return
    except (OSError, http.client.HTTPException) as error:
        saw = f"messages: {chosen.base_url} can't be reached: {getattr(error, 'reason', error)}"
        fix = f"Check {section}.base_url, proxy and ca_file, and the network."
        yield Finding("engine", "fail", saw, fix)
        return
    if status in _REFUSED:
        saw = f"messages: {chosen.base_url} refuses the key ({status})"
        fix = f"Check {section}.api_key and auth; callers see InternalServerException meanwhile."
        yield Finding("engine", "fail", saw, fix)
    elif status >= 500:
        saw = f"messages: {chosen.base_url} answers {status}"
        yield Finding("engine", "warn", saw, "Look at that server, or at the proxy before it.")
    else:
        yield Finding("engine", "ok", f"messages: {chosen.base_url} answers")
    yield from clock("upstream's", date)


def _list_models(chosen: Messages) -> tuple[int, str | None]:
    headers = {"anthropic-version": "2023-06-01", **chosen.sent_headers()}
    if key := chosen.key():
        name, value = ("authorization", f"Bearer {key}") if chosen.auth == "bearer" else ("x-api-key", key)
        headers[name] = value
    handlers: list[urllib.request.BaseHandler] = []
    if chosen.proxy:
        handlers.append(urllib.request.ProxyHandler({"http": chosen.proxy, "https": chosen.proxy}))
    if chosen.ca_file is not None:
        context = ssl.create_default_context(cafile=str(chosen.ca_file))
        handlers.append(urllib.request.HTTPSHandler(context=context))
    # the settings allow http and https addresses only
    request = urllib.request.Request(f"{chosen.origin}/v1/models", headers=headers)  # noqa: S310
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT) as reply:
            return reply.status, reply.headers.get("date")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("date")
