"""Bedrock's default quotas of Claude, and how fast output burns them. Facts and sources are in `claude.toml`.

Knows no account, no request and no clock. Where no source told a figure there is none: None, not a guess.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

from outcrop.catalog import Catalog, Model, facts

NAMES: Final = ("rpm", "tpm", "tpd")  # requests a minute, tokens a minute, tokens a day
LONG: Final = "-1m"

# kinds of calls, and what their figures begin with in the table
_FIGURES: Final = {"in-region": "on_demand", "cross-region": "cross_region", "global": "global"}
# in a single region the long context has no quota of its own
KINDS: Final = (*_FIGURES, f"cross-region{LONG}", f"global{LONG}")

_ELSEWHERE: Final = "elsewhere"
# models that have the long window without asking take the header all the same
_LONG_BETA: Final = "context-1m-"
# Only what needs the long window is counted apart, or the header would double everybody's quota. The length
# is that from which AWS charges a long prompt.
_LONG_PROMPT: Final = 200_000


class Defaults(NamedTuple):
    """The quotas AWS gives an account in one source region; None where the catalogue has no figure."""

    rpm: int | None = None
    tpm: int | None = None
    tpd: int | None = None


def kind_of(model: Model, kind: str, betas: tuple[str, ...], prompt: int) -> str:
    """Whose quota a call takes: its kind, with `-1m` behind it when the long context's is another.

    `kind` is `in-region`, `cross-region` or `global`; `betas` are the call's beta headers, `prompt` its
    tokens of input.
    """
    asks = prompt > _LONG_PROMPT and any(beta.startswith(_LONG_BETA) for beta in betas)
    if asks and has_long(model.id, kind):
        return kind + LONG
    return kind


def defaults(model_id: str, kind: str, region: str) -> Defaults:
    """The default quotas of a model's bare id, for one of `KINDS` and a source region."""
    plain, long = kind.removesuffix(LONG), "_1m" if kind.endswith(LONG) else ""
    table, name = _quota(model_id), _FIGURES[plain]
    tpm = _figure(table.get(f"{name}_tpm{long}"), region)
    rpm = _figure(table.get(f"{name}_rpm{long}"), region)
    return Defaults(rpm, tpm, daily(tpm))


def daily(tpm: int | None) -> int | None:
    """The tokens a day that go with tokens a minute."""
    return None if tpm is None else tpm * int(facts()["rules"]["tpd_is_tpm_times"])


@lru_cache(maxsize=256)
def burndown(model_id: str) -> int:
    """How many tokens of quota one output token of this model takes; 1 for a model that is not known."""
    return int(_quota(model_id).get("output_burndown", 1))


def offered(catalog: Catalog, model: Model, region: str) -> tuple[str, ...]:
    """The kinds of calls of a model that are possible from a region, in the order of `KINDS`."""
    kinds = {
        "in-region": region in model.on_demand,
        "cross-region": catalog.regional(model, region) is not None,
        "global": (profile := catalog.profile(f"global.{model.id}")) is not None and region in profile.routes,
    }
    plain = [kind for kind, there in kinds.items() if there]
    return (*plain, *(kind + LONG for kind in plain if has_long(model.id, kind)))


@lru_cache(maxsize=256)
def has_long(model_id: str, kind: str) -> bool:
    """Whether calls of that kind with the long context's beta have a quota of their own."""
    return f"{_FIGURES[kind]}_tpm_1m" in _quota(model_id)


def _quota(model_id: str) -> dict[str, Any]:
    table: dict[str, Any] = next((row["quota"] for row in facts()["models"] if row["id"] == model_id), {})
    return table


def _figure(told: Any, region: str) -> int | None:
    """A figure, or a table of figures by source region."""
    figure: int | None = told.get(region, told[_ELSEWHERE]) if type(told) is dict else told
    return figure
