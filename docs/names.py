"""Draws the client's tables of models from the catalogue, so that a client need not read the catalogue.

    python docs/names.py         writes model_names.py and model_routes.py into src/outcrop/client

A test fails when a table is not what this draws, so whoever changes the catalogue runs this and commits both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import wrap

from outcrop.catalog import Catalog, Model, editions, facts

CLIENT = Path(__file__).parent.parent / "src/outcrop/client"
WIDTH = 110
Routes = Mapping[str, tuple[str, ...]]


def files() -> dict[str, str]:
    """Each table's text by the name of its file."""
    catalogs = [Catalog.load(edition) for edition in editions()]
    drawn = {"model_names.py": _names(catalogs), "model_routes.py": _routes(catalogs)}
    return {name: "\n".join(lines) + "\n" for name, lines in drawn.items()}


# --- names ---


def _names(catalogs: list[Catalog]) -> Iterator[str]:
    yield '''\
"""What a model can be called, for editors and type checkers, and since when a model is deprecated.

Drawn by docs/names.py from the catalogue. Change that, and run it. Importing this costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

# fmt: off
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    ModelName: TypeAlias = (
        Literal['''
    for group in _named(catalogs):
        yield from _filled([f'"{name}",' for name in group], 12)
    yield """\
        ]
        | str
    )
else:
    ModelName = str

# By edition and bare id. An edition's own day counts as past, whatever the clock says.
AS_OF: Final = {"""
    yield from (f'    "{catalog.edition}": "{catalog.as_of}",' for catalog in catalogs)
    yield "}\nLEGACY: Final = {"
    for catalog in catalogs:
        yield f'    "{catalog.edition}": {{'
        yield from _legacy(catalog.models)
        yield "    },"
    yield "}"


def _named(catalogs: list[Catalog]) -> Iterator[list[str]]:
    """The names to propose, the newest model's first: short names and ids of models that have not ended.

    Profiles' ids are left out: `endpoint` chooses among them, and a type checker prints all names there are
    in each of its errors about a call.
    """
    newest = catalogs[-1]
    living = [model for model in reversed(newest.models) if not newest.ended(model, newest.as_of)]
    yield [name for model in living for name in model.short_names]
    yield [model.id for model in living]


def _legacy(models: Iterable[Model]) -> Iterator[str]:
    for model in models:
        if model.lifecycle.legacy is not None:
            yield f'        "{model.id}": "{model.lifecycle.legacy.date()}",'


# --- routes ---


def _routes(catalogs: list[Catalog]) -> Iterator[str]:
    yield '''\
"""Where each model can be called from and where it may then run, in each edition; where the regions lie.

Drawn by docs/names.py from the catalogue. Change that, and run it. Reading the catalogue itself would cost
the first call of a short name some ten milliseconds.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# fmt: off


class Offer(NamedTuple):
    """A model as an edition has it: its name, where its bare id runs on demand, and its profiles' routes.

    Routes, by scope: from each source region, the regions in which a call may run.
    """

    name: str
    on_demand: frozenset[str]
    routes: dict[str, dict[str, tuple[str, ...]]]


def _regions(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _lines(*groups: tuple[str, str]) -> dict[str, tuple[str, ...]]:
    routes = {}
    for sources, destinations in groups:
        routes.update(dict.fromkeys(sources.split(), tuple(destinations.split())))
    return routes

'''
    table = _Table()
    offers = {catalog.edition: list(table.offers(catalog.models, catalog)) for catalog in catalogs}
    newer = table.newer(catalogs[-1])
    yield from table.lines()
    yield "\nEDITIONS: Final[dict[str, dict[str, Offer]]] = {"
    for edition, lines in offers.items():
        yield f'    "{edition}": {{'
        yield from lines
        yield "    },"
    yield "}"
    yield "# Where a model newer than the catalogue will route: as all since Sonnet 4.5 do."
    yield "NEWER: Final[dict[str, dict[str, tuple[str, ...]]]] = {"
    yield from newer
    yield "}"
    yield "SHORT_NAMES: Final = {"
    for model in catalogs[0].models:
        yield from (f'    "{name}": "{model.id}",' for name in model.short_names)
    yield "}"
    yield "GEOGRAPHIES: Final = {"
    for scope, regions in catalogs[-1].geographies.items():
        yield from _call(f'"{scope}": _regions', sorted(regions), "    ")
    yield "}"


class _Table:
    """The distinct routes, each under a name of its own."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], str] = {}

    def offers(self, models: Iterable[Model], catalog: Catalog) -> Iterator[str]:
        """The entries of an edition."""
        for model in models:
            routes = {found.scope: found.routes for found in catalog.profiles if found.model is model}
            scopes = ", ".join(f'"{scope}": {self._name(scope, told)}' for scope, told in routes.items())
            yield f'        "{model.id}": Offer('
            yield f'            "{model.name}",'
            yield from _call("_regions", sorted(model.on_demand), "            ")
            yield f"            {{{scopes}}},"
            yield "        ),"

    def newer(self, catalog: Catalog) -> Iterator[str]:
        """Per scope the routes that a model since the first with a regional premium has."""
        ids = [model.id for model in catalog.models]
        since = ids[ids.index(facts()["rules"]["regional_premium_since"]) :]
        for scope in catalog.geographies:
            routes: dict[str, tuple[str, ...]] = {}
            for profile in catalog.profiles:
                if profile.scope == scope and profile.model.id in since:
                    routes.update(profile.routes)
            if routes:
                yield f'    "{scope}": {self._name(scope, routes)},'

    def lines(self) -> Iterator[str]:
        """The definitions of the routes."""
        for (_, routes), name in self._names.items():
            groups: dict[tuple[str, ...], list[str]] = {}
            for source, destinations in routes:
                groups.setdefault(destinations, []).append(source)
            yield f"{name}: Final = _lines("
            for destinations, sources in groups.items():
                yield "    ("
                yield from _quoted(sources, "        ", ",")
                yield from _quoted(destinations, "        ", ",")
                yield "    ),"
            yield ")"

    def _name(self, scope: str, routes: Routes) -> str:
        same = sum(known == scope for known, _ in self._names)
        key = (scope, tuple(sorted(routes.items())))
        return self._names.setdefault(key, f"_{scope.replace('-', '_').upper()}_{same + 1}")


def _filled(words: Iterable[str], indent: int) -> list[str]:
    margin = " " * indent
    return wrap(
        " ".join(words), WIDTH, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
    )


def _call(function: str, words: list[str], margin: str) -> Iterator[str]:
    """A function called with one text of words."""
    line = f'{margin}{function}("{" ".join(words)}"),'
    if len(line) <= WIDTH:
        yield line
        return
    yield f"{margin}{function}("
    yield from _quoted(words, f"{margin}    ")
    yield f"{margin}),"


def _quoted(words: Iterable[str], margin: str, end: str = "") -> Iterator[str]:
    """One text of words, over as many lines as it takes."""
    *lines, last = wrap(" ".join(words), WIDTH - len(margin) - 4, break_on_hyphens=False)
    yield from (f'{margin}"{line} "' for line in lines)
    yield f'{margin}"{last}"{end}'


def main() -> None:
    """Write the tables."""
    for name, text in files().items():
        (CLIENT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
