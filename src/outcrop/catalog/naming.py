"""What people write for regions and models, as the catalogue's own: or an error that says what is near.

Knows no file and no setting: `where` is what an error calls the place in which the names stand. A flag
(`--region`) is an argument that is wrong, anything else a setting.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from outcrop.catalog import Catalog
from outcrop.errors import ArgumentError, ConfigError, OutcropError


def regions(catalog: Catalog, names: Iterable[str], where: str) -> frozenset[str]:
    """The regions with these names. Raises ConfigError or ArgumentError for an unknown one."""
    wanted = frozenset(names)
    for name in sorted(wanted - catalog.regions.keys()):
        rule = _REGION
        if there := catalog.geography(name.lower()):
            rule = f"{name!r} is a geography; regions are wanted here ({_some(there)}). {_REGION}"
        raise _unknown(where, f"no region {name!r}", name, catalog.regions, rule)
    return wanted


def bound_regions(catalog: Catalog, names: Iterable[str], where: str) -> frozenset[str]:
    """The regions that a residency binding leaves: its names are regions, or geographies such as `eu`.

    Raises ConfigError or ArgumentError for an unknown one.
    """
    bound: set[str] = set()
    for name in names:
        here = catalog.geography(name) or ({name} if name in catalog.regions else None)
        if here is None:
            known = [*catalog.geographies, *catalog.regions]
            rule = f"{_REGION} Geographies are {', '.join(catalog.geographies)}."
            raise _unknown(where, f"neither a region nor a geography {name!r}", name, known, rule)
        bound |= here
    return frozenset(bound)


def models(catalog: Catalog, names: Iterable[str], where: str) -> frozenset[str]:
    """The base ids of models named by id, by Anthropic's name, or by that without its date.

    Raises ConfigError or ArgumentError for an unknown one.
    """
    ids: set[str] = set()
    for name in names:
        found = {model.id for model in catalog.models if name == model.id or name in model.short_names}
        if not found:
            known = [known for model in catalog.models for known in (model.id, *model.short_names)]
            rule = f"Names are like {catalog.models[-1].short_names[-1]} or {catalog.models[-1].id}."
            raise _unknown(where, f"no model {name!r}", name, known, rule)
        ids |= found
    return frozenset(ids)


_REGION = "A region is named like us-west-2."


def _some(names: Iterable[str]) -> str:
    first, *others = sorted(names)
    return f"{first}, {others[0]}, …" if others else first


def _unknown(where: str, what: str, name: str, known: Iterable[str], rule: str) -> OutcropError:
    spelled = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), list(spelled), n=3)
    near = f"Did you mean {' or '.join(spelled[each] for each in close)}? " if close else ""
    kind = ArgumentError if where.startswith("--") else ConfigError
    return kind(f"{where}: the catalogue has {what}.", near + rule)
