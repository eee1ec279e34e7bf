"""The catalogue's facts: the guide's table, consistent routes, prices and lifecycles, in both editions."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from guide_table import GUIDE, PLACES
from outcrop import catalog as module
from outcrop.catalog import INFERENCE_PROFILE, ON_DEMAND, Catalog, Model, facts
from outcrop.errors import ConfigError
from outcrop.ids import SCOPES, ModelId, is_region

TODAY = date(2026, 11, 24)
EDITIONS = ("guide", "2026-11")

DEPRECATED = {
    "anthropic.claude-3-7-sonnet-20250219-v1:0": date(2025, 10, 28),
    "anthropic.claude-3-opus-20240229-v1:0": date(2025, 6, 30),
    "anthropic.claude-3-5-haiku-20241022-v1:0": date(2025, 12, 19),
}


@pytest.fixture(params=EDITIONS)
def catalog(request: pytest.FixtureRequest) -> Catalog:
    return Catalog.load(request.param)


def model_of(catalog: Catalog, base: str) -> Model:
    model = catalog.model(base)
    assert model is not None
    return model


@pytest.mark.parametrize("scope", PLACES)
@pytest.mark.parametrize("base", GUIDE)
def test_the_guides_table_of_prefixes_holds_cell_by_cell(base: str, scope: str) -> None:
    assert (Catalog.load().profile(f"{scope}.{base}") is not None) == (scope in GUIDE[base])


@pytest.mark.parametrize("base", GUIDE)
def test_a_model_of_the_guide_has_no_prefix_beside_the_tables(base: str) -> None:
    catalog = Catalog.load("guide")
    assert {profile.scope for profile in catalog.profiles if profile.model.id == base} == GUIDE[base]


@pytest.mark.parametrize("base", GUIDE)
def test_the_guides_three_deprecated_models_are_legacy_and_still_there(base: str) -> None:
    catalog = Catalog.load("guide")
    model = model_of(catalog, base)
    assert catalog.status(model, TODAY) == ("LEGACY" if base in DEPRECATED else "ACTIVE")
    assert (model.lifecycle.legacy and model.lifecycle.legacy.date()) == DEPRECATED.get(base)
    assert not catalog.ended(model, date(2099, 1, 1))


def test_an_edition_does_not_look_back_behind_its_own_day() -> None:
    catalog = Catalog.load("guide")
    model = model_of(catalog, "anthropic.claude-3-5-haiku-20241022-v1:0")
    assert catalog.status(model, date(1970, 1, 1)) == "LEGACY"
    newest = Catalog.load("2026-11")
    assert newest.ended(model_of(newest, model.id), date(1970, 1, 1))


def test_the_end_of_a_models_life_comes_with_its_day() -> None:
    catalog = Catalog.load("2026-11")
    model = model_of(catalog, "anthropic.claude-opus-4-1-20250805-v1:0")
    assert catalog.status(model, TODAY) == "LEGACY"
    assert not catalog.ended(model, date(2027, 1, 7))
    assert catalog.ended(model, date(2027, 1, 8))


@pytest.mark.parametrize(
    "base",
    [
        "anthropic.claude-3-haiku-20240307-v1:0",
        "anthropic.claude-3-opus-20240229-v1:0",
        "anthropic.claude-3-5-haiku-20241022-v1:0",
        "anthropic.claude-3-7-sonnet-20250219-v1:0",
        "anthropic.claude-opus-4-20250514-v1:0",
        "anthropic.claude-sonnet-4-20250514-v1:0",
    ],
)
def test_in_autumn_2026_six_models_of_the_guide_have_ended(base: str) -> None:
    catalog = Catalog.load("2026-11")
    assert catalog.ended(model_of(catalog, base), TODAY)


def test_the_newest_edition_has_the_prefixes_that_came_later() -> None:
    catalog = Catalog.load("2026-11")
    for profile in (
        "jp.anthropic.claude-haiku-4-5-20251001-v1:0",
        "in.anthropic.claude-haiku-4-5-20251001-v1:0",
        "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ):
        assert catalog.profile(profile) is not None
        assert Catalog.load("guide").profile(profile) is None


def test_newer_models_are_in_both_editions() -> None:
    older, newest = (Catalog.load(edition) for edition in EDITIONS)
    assert [model.id for model in older.models] == [model.id for model in newest.models]
    assert len(newest.models) == 21
    assert older.profile("global.anthropic.claude-opus-5-5") is not None


def test_an_unknown_edition_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match="no edition '2031'") as mistake:
        Catalog.load("2031")
    assert mistake.value.fix == 'Choose "guide" or "2026-11".'


def test_every_route_lies_inside_the_regions_and_one_partition(catalog: Catalog) -> None:
    for profile in catalog.profiles:
        assert profile.routes
        for source, destinations in profile.routes.items():
            assert list(destinations) == sorted(set(destinations))
            assert {catalog.regions[name] for name in (source, *destinations)} == {catalog.partition(source)}


def test_every_source_is_a_destination_of_its_own_calls(catalog: Catalog) -> None:
    for profile in catalog.profiles:
        assert all(source in destinations for source, destinations in profile.routes.items()), profile.id


def test_from_canada_a_us_call_may_run_in_canada_or_the_us() -> None:
    profile = Catalog.load().profile("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert profile is not None
    assert profile.destinations("ca-central-1") == ("ca-central-1", "us-east-1", "us-east-2", "us-west-2")
    assert profile.destinations("us-west-2") == ("us-east-1", "us-east-2", "us-west-2")
    assert profile.destinations("eu-west-1") == ()


def test_a_region_has_at_most_one_regional_profile_of_a_model(catalog: Catalog) -> None:
    for model in catalog.models:
        for region in catalog.regions:
            regional = [
                profile
                for profile in catalog.profiles_from(region)
                if profile.model is model and profile.scope != "global"
            ]
            assert len(regional) <= 1
            assert catalog.regional(model, region) is (regional[0] if regional else None)


def test_every_id_parses_back_into_its_scope_and_model(catalog: Catalog) -> None:
    assert len({model.id for model in catalog.models}) == len(catalog.models)
    for profile in catalog.profiles:
        asked = ModelId.parse(profile.id)
        assert (asked.scope, asked.base) == (profile.scope, profile.model.id)
        assert profile.scope in SCOPES
    for model in catalog.models:
        assert ModelId.parse(model.id).base == model.id
        assert model.on_demand <= catalog.regions.keys()
    assert all(map(is_region, catalog.regions))


def test_a_profile_is_named_after_its_geography_and_its_model(catalog: Catalog) -> None:
    for profile in catalog.profiles:
        label = facts()["scopes"][profile.scope]["label"]
        model = profile.name.removeprefix(f"{label} ")
        assert model.removeprefix("Anthropic ") == profile.model.name


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku-20240307"),
        ("anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("anthropic.claude-opus-4-8", "claude-opus-4-8"),
    ],
)
def test_anthropic_calls_a_model_without_provider_and_version(base: str, name: str) -> None:
    assert model_of(Catalog.load(), base).anthropic_name == name


def test_a_model_has_the_short_names_that_people_write() -> None:
    catalog = Catalog.load()
    named = {model.id: model.short_names for model in catalog.models}
    assert named["anthropic.claude-sonnet-4-20250514-v1:0"] == (
        "claude-sonnet-4-20250514",
        "claude-sonnet-4",
        "claude-sonnet-4-0",
    )
    assert named["anthropic.claude-opus-4-6-v1"] == ("claude-opus-4-6",)
    every = [name for names in named.values() for name in names]
    assert len(every) == len(set(every))
    assert {"claude-opus-4-0", "claude-3-7-sonnet-latest", "claude-3-5-haiku-latest"} <= set(every)


def test_a_geography_is_a_land_and_not_a_list_of_routes(catalog: Catalog) -> None:
    assert catalog.geography("us") == {"us-east-1", "us-east-2", "us-west-1", "us-west-2"}
    assert not catalog.geography("eu") & {"eu-west-2", "eu-central-2", "il-central-1"}
    assert catalog.geography("global") == set(catalog.regions)
    assert catalog.geography("ca") == frozenset()
    for scope in facts()["scopes"]:
        assert catalog.geography(scope)
        assert catalog.geography(scope) <= catalog.regions.keys()
    for scope, wider in (("jp", "apac"), ("au", "apac"), ("in", "apac")):
        assert catalog.geography(scope) < catalog.geography(wider)
    lands = [catalog.geography(scope) for scope in ("us", "eu", "apac", "us-gov")]
    assert len(frozenset().union(*lands)) == sum(map(len, lands))


def test_the_long_window_is_a_beta_of_sonnet_4_and_4_5() -> None:
    catalog = Catalog.load()
    with_beta = {model.id: model for model in catalog.models if model.context_window_beta}
    assert {model.name for model in with_beta.values()} == {"Claude Sonnet 4", "Claude Sonnet 4.5"}
    for model in with_beta.values():
        assert (model.context_window, model.context_window_beta) == (200_000, 1_000_000)
        assert model.context_beta_header == "context-1m-2025-08-07"
        assert model.context_beta_header in model.betas
    assert model_of(catalog, "anthropic.claude-3-haiku-20240307-v1:0").betas == frozenset()


def test_windows_modalities_and_features_go_together(catalog: Catalog) -> None:
    for model in catalog.models:
        assert 0 < model.max_output_tokens < model.context_window
        assert ("vision" in model.features) == ("IMAGE" in model.input_modalities)
        assert "thinking" in model.features or not model.features & {
            "adaptive_thinking",
            "thinking_always_on",
            "thinking_budget",
        }
        assert (ON_DEMAND in model.inference_types) == bool(model.on_demand)
        assert INFERENCE_PROFILE in model.inference_types
        assert len(model.name) <= 20  # botocore: BrandedName


def test_every_feature_is_one_that_the_file_explains(catalog: Catalog) -> None:
    text = Path(module.__file__).with_name("claude.toml").read_text(encoding="utf-8")
    _, _, explained = text.partition("# Features of a model")
    words = set(re.findall(r"[a-z_]+", explained.partition("[[models]]")[0]))
    for model in catalog.models:
        assert model.features <= words


def test_how_a_model_can_be_invoked_depends_on_the_region() -> None:
    catalog = Catalog.load()
    haiku = model_of(catalog, "anthropic.claude-3-haiku-20240307-v1:0")
    assert catalog.inference_types(haiku, "us-west-2") == (ON_DEMAND, INFERENCE_PROFILE)
    assert catalog.inference_types(haiku, "us-east-2") == (INFERENCE_PROFILE,)
    assert catalog.inference_types(haiku, "sa-east-1") == (ON_DEMAND,)
    assert catalog.inference_types(haiku, "me-central-1") == ()


def test_lifecycles_are_in_order(catalog: Catalog) -> None:
    for model in catalog.models:
        life = model.lifecycle
        dates = [when for when in (life.start, life.legacy, life.extended, life.end) if when is not None]
        assert dates == sorted(dates)
        assert all(isinstance(when, datetime) and when.tzinfo is UTC for when in dates)
        assert life.start is not None


def price_rows() -> list[Any]:
    return [pytest.param(row["id"], row["price"], id=row["id"]) for row in facts()["models"]]


@pytest.mark.parametrize(("base", "price"), price_rows())
def test_a_regional_price_is_the_global_one_plus_ten_percent_since_sonnet_4_5(
    base: str, price: dict[str, Any]
) -> None:
    ids = [row["id"] for row in facts()["models"]]
    rules = facts()["rules"]
    premium = ids.index(base) >= ids.index(rules["regional_premium_since"])
    factor = 1 + Decimal(str(rules["regional_premium"])) if premium else Decimal(1)
    assert price["regional"]
    if premium:
        assert price["global"]
    for kind, amount in price.get("global", {}).items():
        assert Decimal(str(price["regional"][kind])) == Decimal(str(amount)) * factor
        if "us_gov" in price and kind in price["us_gov"]:
            assert Decimal(str(price["us_gov"][kind])) == Decimal(str(amount)) * Decimal("1.2")


@pytest.mark.parametrize(("base", "price"), price_rows())
def test_prices_of_the_cache_and_of_batches_are_multiples_of_the_plain_ones(
    base: str, price: dict[str, Any]
) -> None:
    factors = {"cache_write_5m": ("input", "1.25"), "cache_write_1h": ("input", "2")}
    factors |= {"batch_input": ("input", "0.5"), "batch_output": ("output", "0.5")}
    for scope in ("global", "regional", "us_gov"):
        told = {kind: Decimal(str(amount)) for kind, amount in price.get(scope, {}).items()}
        for kind, amount in told.items():
            prefix = kind[: kind.index("k_") + 2] if kind.startswith("over_") else ""
            plain, factor = factors.get(kind.removeprefix(prefix), (None, None))
            if plain is not None and factor is not None:
                assert amount == told[prefix + plain] * Decimal(factor), (scope, kind)
            elif kind.endswith("cache_read"):
                assert amount <= told[f"{prefix}input"] / 10
        assert not told or told["input"] < told["output"]


def test_every_price_and_every_model_tells_its_source() -> None:
    told = facts()
    letters = tuple(f"{letter} " for letter in "ABCD")
    for row in told["models"]:
        assert any(letter in f"{row['source']} " for letter in letters)
        assert row["price"]["source"].startswith(letters)
    for table in ("editions", "scopes"):
        assert all(row["source"].startswith(tuple("ABCD")) for row in told[table].values())
    assert all(row["source"].startswith(tuple("ABCD")) for row in told["betas"])


def test_no_table_of_the_facts_goes_unread() -> None:
    """A misspelt key would otherwise be a fact that nobody sees."""
    known = {"id", "name", "source", "context_window", "max_output_tokens", "context_window_beta"}
    known |= {"context_beta_header", "input_modalities", "features", "cache", "lifecycle", "on_demand"}
    known |= {"editions", "quota", "price", "profiles", "aliases"}
    told = facts()
    ids = {row["id"] for row in told["models"]}
    for row in told["models"]:
        assert row.keys() <= known
        assert row["profiles"].keys() <= told["scopes"].keys()
        assert all(profile.keys() <= {"name", "sources", "routes"} for profile in row["profiles"].values())
        assert row.get("editions", {}).keys() <= told["editions"].keys()
        for edition in row.get("editions", {}).values():
            assert edition.keys() <= known | {"scopes"}
            assert set(edition.get("scopes", ())) <= row["profiles"].keys()
    for scope in told["scopes"].values():
        assert scope.keys() == {"label", "premium", "geography", "source", "routes"}
    for beta in told["betas"]:
        named = [beta["since"]] if "since" in beta else beta["models"]
        assert set(named) <= ids
        assert beta.keys() <= {"header", "since", "models", "source"}


def test_the_facts_are_read_once_for_all_editions(monkeypatch: pytest.MonkeyPatch) -> None:
    module.facts.cache_clear()
    module._load.cache_clear()
    read = []
    parse = tomllib.loads
    monkeypatch.setattr("tomllib.loads", lambda text: read.append(text) or parse(text))
    catalogs = [Catalog.load(edition) for edition in EDITIONS for _ in range(3)]
    assert len(read) == 1
    # what one load costs grows with the text: a pure Python parser reads about 4 MB a second
    assert len(read[0]) < 60_000
    assert catalogs[0] is catalogs[1]
    assert catalogs[0] is not catalogs[3]


def test_who_only_names_the_types_pays_for_no_parser() -> None:
    code = "import sys, outcrop.engine; sys.exit('tomllib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
