"""What Outcrop knows of Claude on Bedrock: models, inference profiles, regions, in one of two editions.

The facts and their sources are in `claude.toml`. This module knows how to read them; it knows no request, no
account and no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from os.path import dirname, join
from typing import Any, Final, Literal

import msgspec

from outcrop.errors import ConfigError

ON_DEMAND: Final = "ON_DEMAND"
INFERENCE_PROFILE: Final = "INFERENCE_PROFILE"

_GLOBAL = "global"
# Anthropic's own name is Bedrock's without provider and version (recorded: claude-haiku-4-5-20251001,
# claude-opus-4-8). No model of the catalogue departs from that.
_NOT_ANTHROPIC_NAME = re.compile(r"^anthropic\.|-v[0-9]+(?::[0-9]+)?$")
_DATE = re.compile(r"-[0-9]{8}$")


class Lifecycle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a model began, became legacy, enters public extended access, and ends. UTC; None: not known."""

    start: datetime | None = None
    legacy: datetime | None = None
    extended: datetime | None = None
    end: datetime | None = None


class Model(msgspec.Struct, frozen=True):
    """A foundation model as Bedrock lists it.

    `anthropic_name` is what Anthropic's API calls it, and what Bedrock's replies say; `aliases` are further
    names there. Windows are in tokens: `context_window_beta` is the window under the beta
    `context_beta_header`. `features` are the names in the catalogue (`tools`, `vision`, `prompt_caching`,
    `count_tokens`, …), `betas` the beta headers it takes. `on_demand` are the regions in which its bare id
    can be invoked, without a profile.
    """

    id: str
    name: str
    provider: str
    anthropic_name: str
    context_window: int
    max_output_tokens: int
    features: frozenset[str] = frozenset()
    betas: frozenset[str] = frozenset()
    context_window_beta: int | None = None
    context_beta_header: str = ""
    input_modalities: tuple[str, ...] = ("TEXT", "IMAGE")
    output_modalities: tuple[str, ...] = ("TEXT",)
    inference_types: tuple[str, ...] = (INFERENCE_PROFILE,)
    on_demand: frozenset[str] = frozenset()
    streaming: bool = True
    lifecycle: Lifecycle = Lifecycle()
    aliases: tuple[str, ...] = ()

    @property
    def short_names(self) -> tuple[str, ...]:
        """What people call it: Anthropic's name, the same without its date, and the aliases."""
        return tuple(dict.fromkeys((self.anthropic_name, _DATE.sub("", self.anthropic_name), *self.aliases)))


class Profile(msgspec.Struct, frozen=True):
    """A system-defined inference profile: one model, offered from source regions, each with destinations."""

    id: str
    scope: str
    model: Model
    name: str
    routes: Mapping[str, tuple[str, ...]]

    @property
    def sources(self) -> tuple[str, ...]:
        """The regions from which the profile can be called."""
        return tuple(self.routes)

    def destinations(self, source: str) -> tuple[str, ...]:
        """The regions in which a call from `source` may run, sorted; none when not offered from there."""
        return self.routes.get(source, ())


class Catalog:
    """One edition of the facts. Immutable once loaded."""

    def __init__(
        self,
        edition: str,
        as_of: date,
        regions: Mapping[str, str],
        models: Iterable[Model],
        profiles: Iterable[Profile],
        geographies: Mapping[str, frozenset[str]],
    ) -> None:
        self.edition = edition
        self.as_of = as_of
        self.regions = regions
        self.geographies = geographies
        self.models = tuple(models)
        self.profiles = tuple(profiles)
        self._models = {model.id: model for model in self.models}
        self._profiles = {profile.id: profile for profile in self.profiles}
        self._offered = {(profile.model.id, source) for profile in self.profiles for source in profile.routes}
        self._regional = {
            (profile.model.id, source): profile
            for profile in self.profiles
            if profile.scope != _GLOBAL
            for source in profile.routes
        }

    @classmethod
    def load(cls, edition: str = "guide") -> Catalog:
        """The catalogue in an edition. Read once per process. Raises ConfigError for an unknown edition."""
        return _load(edition)

    def model(self, base: str) -> Model | None:
        """The model with this bare id."""
        return self._models.get(base)

    def profile(self, profile_id: str) -> Profile | None:
        """The profile with this id (`us.anthropic.…`)."""
        return self._profiles.get(profile_id)

    def regional(self, model: Model, region: str) -> Profile | None:
        """The profile that keeps a call from `region` in that region's geography. There is at most one."""
        return self._regional.get((model.id, region))

    def profiles_from(self, region: str) -> tuple[Profile, ...]:
        """The profiles offered from a source region, in the catalogue's order."""
        return tuple(profile for profile in self.profiles if region in profile.routes)

    def geography(self, scope: str) -> frozenset[str]:
        """The regions that lie in the land a scope is named after; none for an unknown scope.

        Narrower than where its profiles route: a call of an `eu` profile from London may run in London.
        """
        return self.geographies.get(scope, frozenset())

    def inference_types(self, model: Model, region: str) -> tuple[str, ...]:
        """How a model can be invoked from a region; empty where it is not available."""
        offered = (model.id, region) in self._offered
        return _inference_types(on_demand=region in model.on_demand, profile=offered)

    def partition(self, region: str) -> str:
        """The partition in a region's ARNs; `aws` for a region the catalogue does not have."""
        return self.regions.get(region, "aws")

    def status(self, model: Model, today: date) -> Literal["ACTIVE", "LEGACY"]:
        """Where a model stands in its life. A legacy model can still be called."""
        legacy = model.lifecycle.legacy
        return "LEGACY" if legacy is not None and legacy.date() <= max(today, self.as_of) else "ACTIVE"

    def ended(self, model: Model, today: date) -> bool:
        """Whether a model is past the end of its life: no longer listed, and every call of it fails."""
        end = model.lifecycle.end
        return end is not None and end.date() <= max(today, self.as_of)


@lru_cache(maxsize=1)
def facts() -> Mapping[str, Any]:
    """`claude.toml` as it stands, prices, quotas and limits included. Shared: not to be changed."""
    import tomllib

    # no pathlib: a client that reads prices would pay 3 ms for its import
    with open(join(dirname(__file__), "claude.toml"), encoding="utf-8") as file:
        return tomllib.loads(file.read())


def editions() -> tuple[str, ...]:
    """The editions there are, the default first."""
    return tuple(facts()["editions"])


@lru_cache(maxsize=8)
def _load(edition: str) -> Catalog:
    told = facts()
    if edition not in told["editions"]:
        names = " or ".join(f'"{name}"' for name in told["editions"])
        raise ConfigError(f"The catalogue has no edition {edition!r}.", f"Choose {names}.")
    regions = {region: partition for partition, names in told["regions"].items() for region in names}
    reader = _Reader(told)
    models, profiles = [], []
    for row in told["models"]:
        in_edition = {**row, **row.get("editions", {}).get(edition, {})}
        model = reader.model(in_edition)
        models.append(model)
        profiles += reader.profiles(model, in_edition)
    as_of = told["editions"][edition]["as_of"]
    return Catalog(edition, as_of, regions, models, profiles, _geographies(told["scopes"], regions))


def _geographies(scopes: Mapping[str, Any], regions: Iterable[str]) -> dict[str, frozenset[str]]:
    named = {name: scope["geography"] for name, scope in scopes.items()}
    return {name: frozenset(regions if told == "every region" else told) for name, told in named.items()}


def _inference_types(*, on_demand: bool, profile: bool) -> tuple[str, ...]:
    return (ON_DEMAND,) * on_demand + (INFERENCE_PROFILE,) * profile


class _Reader:
    """Turns rows of the TOML into models and profiles."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._partitions = told["regions"]
        self._scopes = {name: self._routes(scope["routes"]) for name, scope in told["scopes"].items()}
        self._betas = _betas(told["betas"], [row["id"] for row in told["models"]])

    def model(self, row: dict[str, Any]) -> Model:
        on_demand = frozenset(row.get("on_demand", ()))
        return Model(
            id=row["id"],
            name=row["name"],
            provider="Anthropic",
            anthropic_name=_NOT_ANTHROPIC_NAME.sub("", row["id"]),
            context_window=row["context_window"],
            max_output_tokens=row["max_output_tokens"],
            aliases=tuple(row.get("aliases", ())),
            features=frozenset(row["features"]),
            betas=self._betas[row["id"]],
            context_window_beta=row.get("context_window_beta"),
            context_beta_header=row.get("context_beta_header", ""),
            input_modalities=tuple(row.get("input_modalities", ("TEXT", "IMAGE"))),
            inference_types=_inference_types(on_demand=bool(on_demand), profile=bool(row["profiles"])),
            on_demand=on_demand,
            lifecycle=msgspec.convert(row["lifecycle"], Lifecycle),
        )

    def profiles(self, model: Model, row: dict[str, Any]) -> list[Profile]:
        offered = row.get("scopes", row["profiles"])
        return [
            Profile(f"{scope}.{model.id}", scope, model, told["name"], self._profile_routes(scope, told))
            for scope, told in row["profiles"].items()
            if scope in offered
        ]

    def _profile_routes(self, scope: str, told: dict[str, Any]) -> dict[str, tuple[str, ...]]:
        if "routes" in told:
            return self._routes(told["routes"])
        routes = self._scopes[scope]
        return {source: routes[source] for source in told["sources"]} if "sources" in told else routes

    def _routes(self, groups: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
        routes = {}
        for group in groups:
            sources = self._partitions[group["from"]] if isinstance(group["from"], str) else group["from"]
            destinations = tuple(sorted(group.get("to", sources)))
            routes.update(dict.fromkeys(sources, destinations))
        return routes


def _betas(rows: Sequence[Mapping[str, Any]], ids: list[str]) -> dict[str, frozenset[str]]:
    """The beta headers of each model."""
    taken: dict[str, set[str]] = {model: set() for model in ids}
    for row in rows:
        for model in row["models"] if "models" in row else ids[ids.index(row["since"]) :]:
            taken[model].add(row["header"])
    return {model: frozenset(headers) for model, headers in taken.items()}
