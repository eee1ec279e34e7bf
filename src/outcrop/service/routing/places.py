"""Engines and where they stand: a `Place` serves models in regions, a `Fleet` finds a call's candidates.

Knows no health, no policy and no request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from outcrop.engine import Engine

# Calls differ in model, source and residency: a few hundred combinations. The bound is for the unforeseen.
_REMEMBERED: Final = 4096


class Place(msgspec.Struct, frozen=True, eq=False):
    """An engine in the regions it stands in, with what it can take.

    `regions` None stands for every region: then regions are simulated, and the one that is told is a label.
    `models` are base model ids, None for all. `concurrent` answers at once, `requests_per_minute` and
    `tokens_per_minute` are what it takes; 0 is unknown. They guide the choice and refuse nothing.
    """

    name: str
    engine: Engine
    regions: frozenset[str] | None = None
    models: frozenset[str] | None = None
    concurrent: int = 0
    requests_per_minute: int = 0
    tokens_per_minute: int = 0

    @property
    def simulated(self) -> bool:
        """Whether it stands for every region, so that a region is a label only."""
        return self.regions is None

    def destination(self, model: str, regions: tuple[str, ...], source: str) -> Destination | None:
        """This place in one of `regions`; in the source region where it can be. None when it serves none."""
        if self.models is not None and model not in self.models:
            return None
        here = regions if self.regions is None else [name for name in regions if name in self.regions]
        if not here:
            return None
        return Destination(self, source if source in here else here[0])


class Destination(msgspec.Struct, frozen=True, eq=False):
    """A place that may answer a call, and the region in which it would."""

    place: Place
    region: str


class Fleet:
    """All places. Names are unique. Immutable, apart from what it remembers."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.places = tuple(places)
        if len({place.name for place in self.places}) != len(self.places):
            raise ValueError("two places have one name")
        self._found: dict[tuple[str, tuple[str, ...], str], tuple[Destination, ...]] = {}

    def candidates(self, model: str, regions: tuple[str, ...], source: str) -> tuple[Destination, ...]:
        """The places that serve a model in any of `regions`, each once, in the order of the configuration."""
        key = (model, regions, source)
        found = self._found.get(key)
        if found is None:
            all_of_them = (place.destination(model, regions, source) for place in self.places)
            found = tuple(one for one in all_of_them if one is not None)
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[key] = found
        return found

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Every engine once: two places may share one."""
        return tuple({id(place.engine): place.engine for place in self.places}.values())

    async def start(self) -> None:
        """Make every engine ready. Raises OutcropError when one can't be."""
        for engine in self.engines:
            await engine.start()

    async def close(self) -> None:
        """Stop every engine. Idempotent."""
        for engine in self.engines:
            await engine.close()
