"""Whether what is set for the engines is of the kinds that were chosen, and whether their secrets are there.

Knows the settings and where each came from; not the file's text.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import Final, Protocol

from outcrop.config.lines import Where
from outcrop.config.settings import Settings
from outcrop.errors import ConfigError

# from the weakest source to the strongest
_STRENGTH: Final = ("default", "file", "environment", "flag")
_KINDS: Final = ("local", "messages", "scripted")


class _Origin(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def place(self) -> str: ...


def idle(
    settings: Settings, origins: Mapping[Where, _Origin], refused: Collection[Where]
) -> Iterator[ConfigError]:
    """Settings of an engine of another kind than was chosen: they have no effect, so one of the two is wrong.

    Not where the kind was chosen by something stronger: whoever says `--engine scripted` for once leaves what
    the file says of [engine.messages] as it is. `refused` are the settings whose value was a mistake.
    """
    chosen: dict[Where, str] = {("engines", name): engine.kind for name, engine in settings.engines.items()}
    if not settings.engines:
        chosen["engine",] = settings.engine.kind
    for engine, kind in chosen.items():
        if (*engine, "kind") in refused:
            continue
        origin = origins.get((*engine, "kind"))
        least = _STRENGTH.index(origin.kind) if origin else 0
        for other in _KINDS:
            section = (*engine, other)
            told = [
                found
                for where, found in origins.items()
                if other != kind and where[:-1] == section and _STRENGTH.index(found.kind) >= least
            ]
            if told:
                yield _without_effect(engine, kind, other, told[0].place, origin)


def _without_effect(engine: Where, kind: str, other: str, place: str, origin: _Origin | None) -> ConfigError:
    name = ".".join(engine)
    by = f"by {origin.place}" if origin else "the default"
    how = f" (or say `--engine {other}`)" if engine == ("engine",) else ""
    return ConfigError(
        f'{place}: {name}.kind is "{kind}" ({by}), so [{name}.{other}] has no effect.',
        f'Set kind = "{other}" under [{name}]{how}, or take out what is set for [{name}.{other}].',
    )


def missing_secrets(settings: Settings, env: Mapping[str, str] = os.environ) -> Iterator[ConfigError]:
    """The secrets that engines need and that are not where the settings say: `serve` would not start."""
    for name, engine in settings.placed.items():
        if engine.kind != "messages":
            continue
        section = f"engines.{name}.messages" if settings.engines else "engine.messages"
        for setting, reveal in (("api_key", engine.messages.key), ("headers", engine.messages.sent_headers)):
            try:
                reveal(env)
            except ConfigError as error:
                yield ConfigError(f"{section}.{setting}: {error.what}", error.fix)
