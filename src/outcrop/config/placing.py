"""Whether the regions and models that the settings name are the catalogue's, and whether they fit together.

Knows the catalogue and the settings; not from where they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from outcrop.catalog import Catalog, naming
from outcrop.config.lines import Where
from outcrop.config.settings import Settings
from outcrop.errors import ConfigError

_Check: TypeAlias = Callable[[Catalog, tuple[str, ...], str], frozenset[str]]


def misplaced(settings: Settings, place: Callable[[Where], str]) -> Iterator[ConfigError]:
    """What the settings name and the catalogue does not have. `place` tells where a setting was set."""
    for where, check, names in _named(settings):
        try:
            check(Catalog.load(settings.bedrock.edition), names, f"{place(where)}: {'.'.join(where)}")
        except ConfigError as error:
            yield error


def warnings(settings: Settings) -> Iterator[str]:
    """What works, and is hardly meant. The settings have no mistakes."""
    engines, region = settings.engines, settings.bedrock.region
    if not engines:
        return
    if not any(not engine.regions or region in engine.regions for engine in engines.values()):
        yield (
            f"No engine stands in bedrock.region ({region}): from there only profiles that route elsewhere "
            "can be called. Place an engine in it, or set bedrock.region to a region where one stands."
        )
    if settings.bedrock.residency:
        catalog = Catalog.load(settings.bedrock.edition)
        bound = naming.bound_regions(catalog, settings.bedrock.residency, "bedrock.residency")
        for name, engine in engines.items():
            if engine.regions and bound.isdisjoint(engine.regions):
                yield (
                    f"[engines.{name}] is never asked: it stands in {', '.join(engine.regions)}, and "
                    f"bedrock.residency is {', '.join(settings.bedrock.residency)}."
                )


def _named(settings: Settings) -> Iterator[tuple[Where, _Check, tuple[str, ...]]]:
    """The settings that name regions or models, with what checks them."""
    if settings.bedrock.residency:
        yield ("bedrock", "residency"), naming.bound_regions, settings.bedrock.residency
    for name, engine in settings.engines.items():
        if engine.regions:
            yield ("engines", name, "regions"), naming.regions, engine.regions
        if engine.models:
            yield ("engines", name, "models"), naming.models, engine.models
