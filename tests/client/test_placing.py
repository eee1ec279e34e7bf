"""Placing calls: the guide's table cell by cell, editions, fallbacks, and the guard against the raw facts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from random import Random
from threading import Thread

import pytest
from docs import names
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.catalog import Catalog, editions, facts
from outcrop.client import model_names, model_routes, placing
from outcrop.client.errors import EndpointError, ModelNameError, ResidencyError, UsageError
from outcrop.client.placing import Placement, Placer
from outcrop.ids import SCOPES, ModelId

SONNET_4_5 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
SONNET_3_7 = "anthropic.claude-3-7-sonnet-20250219-v1:0"
OPUS_4_1 = "anthropic.claude-opus-4-1-20250805-v1:0"
HAIKU_4_5 = "anthropic.claude-haiku-4-5-20251001-v1:0"
HAIKU_3_5 = "anthropic.claude-3-5-haiku-20241022-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
OF_APPLICATION = "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abcdefghijkl"
PROVISIONED = "arn:aws:bedrock:us-west-2:123456789012:provisioned-model/abcdefghijkl"

# The guide's table; `au` where its text adds Australia.
GUIDE = {
    "claude-sonnet-4-5": (SONNET_4_5, {"global", "us", "eu", "jp", "au"}),
    "claude-sonnet-4": (SONNET_4, {"global", "us", "eu", "apac"}),
    "claude-3-7-sonnet": (SONNET_3_7, {"us", "eu", "apac"}),
    "claude-opus-4-5": ("anthropic.claude-opus-4-5-20251101-v1:0", {"global", "us", "eu"}),
    "claude-opus-4-1": (OPUS_4_1, {"us"}),
    "claude-opus-4": ("anthropic.claude-opus-4-20250514-v1:0", {"us"}),
    "claude-3-opus": ("anthropic.claude-3-opus-20240229-v1:0", {"us"}),
    "claude-haiku-4-5": (HAIKU_4_5, {"global", "us", "eu", "au"}),
    "claude-3-5-haiku": (HAIKU_3_5, {"us"}),
    "claude-3-haiku": (HAIKU_3, {"us", "eu", "apac"}),
}
# A region from which each endpoint can be called, and one from which it can't.
FROM = {
    "global": ("us-west-2", "us-gov-west-1"),
    "us": ("us-east-1", "eu-west-1"),
    "eu": ("eu-central-1", "us-east-1"),
    "jp": ("ap-northeast-1", "us-east-1"),
    "apac": ("ap-southeast-1", "us-east-1"),
    "au": ("ap-southeast-2", "us-east-1"),
}


def only(placements: tuple[Placement, ...]) -> Placement:
    (placement,) = placements
    return placement


def scopes(placements: tuple[Placement, ...]) -> list[tuple[str, str]]:
    return [(placement.scope, placement.region) for placement in placements]


# --- the guide's table ---


@pytest.mark.parametrize("endpoint", FROM)
@pytest.mark.parametrize("name", GUIDE)
def test_the_guides_table_holds_for_short_names_and_for_ids(name: str, endpoint: str) -> None:
    base, offered = GUIDE[name]
    placer = Placer(FROM[endpoint][0])
    for model in (name, base):
        if endpoint in offered:
            placement = only(placer.place(model, endpoint=endpoint))
            assert placement == (f"{endpoint}.{base}", FROM[endpoint][0], endpoint, base)
        else:
            with pytest.raises(EndpointError, match=f"has no endpoint '{endpoint}'") as refused:
                placer.place(model, endpoint=endpoint)
            told = refused.value.fix.partition(". ")[0]
            assert all((f"'{scope}'" in told) == (scope in offered) for scope in FROM), told
            assert told.startswith("By the guide's table it has")


@pytest.mark.parametrize("endpoint", FROM)
@pytest.mark.parametrize("name", GUIDE)
def test_from_a_wrong_region_the_right_ones_are_told(name: str, endpoint: str) -> None:
    base, offered = GUIDE[name]
    if endpoint not in offered:
        return
    right, wrong = FROM[endpoint]
    with pytest.raises(EndpointError, match=f"'{endpoint}' of .* can't be called from {wrong}") as refused:
        Placer(wrong).place(name, endpoint=endpoint)
    assert "aws_region=" in refused.value.fix
    profile = Catalog.load().profile(f"{endpoint}.{base}")
    assert profile is not None
    assert any(source in refused.value.fix for source in profile.sources)
    assert endpoint == "global" or right in refused.value.fix


@pytest.mark.parametrize("name", GUIDE)
def test_a_short_name_goes_global_where_the_model_does_and_else_stays_near(name: str) -> None:
    base, offered = GUIDE[name]
    placement = only(Placer("us-east-1").place(name))
    scope = "global" if "global" in offered else "us"
    assert placement == (f"{scope}.{base}", "us-east-1", scope, base)


def test_where_there_is_neither_global_nor_regional_a_short_name_is_the_bare_id() -> None:
    assert only(Placer("sa-east-1").place("claude-3-haiku")) == (HAIKU_3, "sa-east-1", "", HAIKU_3)
    # Sonnet 4's global endpoint has five source regions only
    assert only(Placer("eu-central-1").place("claude-sonnet-4")).scope == "eu"


def test_regional_is_the_geography_of_the_region() -> None:
    for region, scope in (
        ("us-west-2", "us"),
        ("ca-central-1", "us"),
        ("eu-west-2", "eu"),
        ("ap-northeast-3", "jp"),
        ("ap-southeast-6", "au"),
    ):
        placement = only(Placer(region, endpoint="regional").place("claude-sonnet-4-5"))
        assert placement.model == f"{scope}.{SONNET_4_5}"
    assert only(Placer("sa-east-1").place(HAIKU_3, endpoint="regional")).model == HAIKU_3
    with pytest.raises(EndpointError, match="no regional endpoint that can be called from sa-east-1"):
        Placer("sa-east-1").place("claude-sonnet-4-5", endpoint="regional")


def test_every_short_name_means_its_model_however_it_is_written() -> None:
    placer = Placer("us-east-1")
    for model in Catalog.load().models:
        for name in model.short_names:
            for written in (name, name.upper(), f"  {name}\n"):
                assert only(placer.place(written)).base == model.id
    for alias, base in (
        ("claude-opus-4-0", "anthropic.claude-opus-4-20250514-v1:0"),
        ("claude-sonnet-4-0", SONNET_4),
        ("claude-3-7-sonnet-latest", SONNET_3_7),
        ("claude-3-5-haiku-latest", HAIKU_3_5),
    ):
        assert only(placer.place(alias)).base == base


def test_an_endpoint_that_came_later_is_told_with_its_edition() -> None:
    with pytest.raises(EndpointError) as refused:
        Placer("ap-northeast-1").place("claude-haiku-4-5", endpoint="jp")
    assert "Today's AWS has 'jp' and 'in' too: pass edition='2026-11'" in refused.value.fix
    with pytest.raises(EndpointError, match="'us-gov' too: pass edition='2026-11'"):
        Placer("us-gov-west-1").place("claude-sonnet-4-5")
    newest = Placer("ap-northeast-1", edition="2026-11")
    assert only(newest.place("claude-haiku-4-5", endpoint="jp")).model == f"jp.{HAIKU_4_5}"
    with pytest.raises(EndpointError) as refused:
        newest.place("claude-opus-4-1", endpoint="jp")
    assert refused.value.fix == "It has 'us'."


# --- ids and ARNs ---


@pytest.mark.parametrize(
    ("model", "scope", "base"),
    [
        (f"global.{SONNET_4_5}", "global", SONNET_4_5),
        (f" eu.{SONNET_4_5} ", "eu", SONNET_4_5),
        (SONNET_4_5, "", SONNET_4_5),
        ("us.anthropic.claude-of-next-year", "us", "anthropic.claude-of-next-year"),
        (f"{HAIKU_3}:200k", "", f"{HAIKU_3}:200k"),
        (f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.{OPUS_4_1}", "us", OPUS_4_1),
        (f"arn:aws:bedrock:us-west-2::foundation-model/{HAIKU_3}", "", HAIKU_3),
        (OF_APPLICATION, "", ""),
        (PROVISIONED, "", ""),
        ("arn:aws:bedrock:us-west-2:123456789012:prompt/ABCDEFGHIJ:1", "", ""),
    ],
)
def test_a_full_id_stays_as_it_is(model: str, scope: str, base: str) -> None:
    assert only(Placer("us-west-2").place(model)) == (model.strip(), "us-west-2", scope, base)


def test_a_full_id_costs_no_table_and_no_catalogue() -> None:
    code = (
        "import sys; from outcrop.client.placing import Placer;"
        f"Placer('us-west-2').place('global.{SONNET_4_5}');"
        "heavy = {'outcrop.client.model_routes', 'outcrop.catalog', 'tomllib', 'difflib'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_id_that_names_its_endpoint_may_be_repeated_but_not_contradicted() -> None:
    placer = Placer("us-west-2")
    arn = f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.{OPUS_4_1}"
    assert only(placer.place(f"us.{OPUS_4_1}", endpoint="us")).model == f"us.{OPUS_4_1}"
    assert only(placer.place(f"us.{OPUS_4_1}", endpoint="regional")).model == f"us.{OPUS_4_1}"
    assert only(placer.place(arn, endpoint="us")).model == arn
    for model, endpoint in ((f"us.{OPUS_4_1}", "eu"), (arn, "global"), (f"global.{SONNET_4_5}", "regional")):
        with pytest.raises(EndpointError, match="contradicts that") as refused:
            placer.place(model, endpoint=endpoint)
        assert "Leave out endpoint=, or give it with model='anthropic." in refused.value.fix
    with pytest.raises(EndpointError, match="is the account's own, and so is its routing"):
        placer.place(OF_APPLICATION, endpoint="us")
    with pytest.raises(EndpointError, match="a model in its region"):
        placer.place(f"arn:aws:bedrock:us-west-2::foundation-model/{HAIKU_3}", endpoint="us")


def test_the_clients_endpoint_holds_where_a_call_names_none() -> None:
    placer = Placer("eu-west-1", endpoint="EU")
    assert only(placer.place("claude-sonnet-4-5")).scope == "eu"
    assert only(placer.place(SONNET_4_5)).model == f"eu.{SONNET_4_5}"
    assert only(placer.place("claude-sonnet-4-5", endpoint=" Global ")).scope == "global"


def test_a_model_newer_than_the_catalogue_is_not_in_the_way_of_its_endpoint() -> None:
    new = "anthropic.claude-of-next-year"
    assert only(Placer("us-west-2").place(new, endpoint="jp")).model == f"jp.{new}"
    assert only(Placer("eu-west-3").place(new, endpoint="regional")).model == f"eu.{new}"
    assert only(Placer("me-central-1").place(new, endpoint="regional")).model == new


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("claude-sonnet-4.5", "Did you mean 'claude-sonnet-4-5'?"),
        ("Claude Sonnet 4.5", "Did you mean 'claude-sonnet-4-5'?"),
        ("claude-sonet-4-5", "'claude-sonnet-4-5'"),
        ("haiku", "'claude-haiku-5-5'"),
        ("anthropic/claude-opus-4-1", "'claude-opus-4-1'"),
        (f"EU.{SONNET_4_5}", f"Did you mean 'eu.{SONNET_4_5}'?"),
        ("anthropic.claude-sonnet-4-5!", "'anthropic.claude-sonnet-4-"),
        ("us.claude-sonnet-4-5", "Write model='claude-sonnet-4-5', endpoint='us'."),
        ("arn:aws:bedrock:nowhere", "client.models.list()"),
        ("arn:aws:bedrock:us-west-2:123456789012:guardrail/abcdefghijkl", "client.models.list()"),
        ("arn:aws:s3:::bucket/provisioned-model/x", "client.models.list()"),
        (f"arn:aws:bedrock:us-west-2:12:inference-profile/us.{OPUS_4_1}", "client.models.list()"),
        pytest.param("x" * 1_000_000, "client.models.list()", id="endless"),
        ("qwertyuiop", "client.models.list()"),
        ("   ", "Give a short name"),
        (None, "Give a short name"),
        (["claude-sonnet-4-5"], "Give a short name"),
    ],
)
def test_a_name_that_is_none_is_told_what_was_meant(text: str, meant: str) -> None:
    with pytest.raises(ModelNameError) as refused:
        Placer("us-east-1").place(text)
    assert meant in refused.value.fix
    assert len(refused.value.what) < 300


# --- the guard ---

# Written by hand, beside the catalogue's.
LANDS = {
    "us": "us-east-1 us-east-2 us-west-1 us-west-2",
    "eu": "eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3",
    "jp": "ap-northeast-1 ap-northeast-3",
    "apac": "ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 "
    "ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7",
    "au": "ap-southeast-2 ap-southeast-4",
    "in": "ap-south-1 ap-south-2",
    "us-gov": "us-gov-east-1 us-gov-west-1",
}
REGIONS = [region for partition in facts()["regions"].values() for region in partition]


def where_it_may_run(placement: Placement) -> set[str]:
    """From the raw facts and the placement's own words; everywhere for what can't be told."""
    asked = ModelId.parse(placement.model)
    sources = {placement.region, asked.arn.region or placement.region} if asked.arn else {placement.region}
    row = next((row for row in facts()["models"] if row["id"] == asked.base), None)
    if row is None:
        return {"everywhere"}
    found = set(sources)
    for source in sources:
        known = not asked.scope and source in row.get("on_demand", ())
        for scope in row["profiles"]:
            if scope == asked.scope or (not asked.scope and scope != "global"):
                destinations = routed(row, scope, source)
                known = known or bool(destinations)
                found |= destinations
        if not known:
            return {"everywhere"}
    return found


def routed(row: dict, scope: str, source: str) -> set[str]:
    told = row["profiles"][scope]
    if "sources" in told and source not in told["sources"]:
        return set()
    found = set()
    for group in told.get("routes", facts()["scopes"][scope]["routes"]):
        members = facts()["regions"][group["from"]] if isinstance(group["from"], str) else group["from"]
        if source in members:
            found = set(group.get("to", members))
    return found


def every_name() -> list[str]:
    found = list(model_routes.SHORT_NAMES)
    for edition in editions():
        catalog = Catalog.load(edition)
        found += [model.id for model in catalog.models]
        found += [profile.id for profile in catalog.profiles]
    return list(dict.fromkeys(found))


ARNS = [
    OF_APPLICATION,
    PROVISIONED,
    f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.{SONNET_4_5}",
    f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.{SONNET_4_5}",
    f"arn:aws:bedrock:sa-east-1::foundation-model/{HAIKU_3}",
    f"arn:aws:bedrock:::foundation-model/{HAIKU_3}",
]
PLACES = st.sampled_from([*LANDS, *REGIONS])


def inside(residency: list[str]) -> set[str]:
    return {name for place in residency for name in LANDS.get(place, place).split()}


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_is_placed_under_a_guard_can_run_outside_it(seed: int) -> None:
    random = Random(seed)
    names, wishes = every_name(), [None, None, None, "regional", "regional", *SCOPES]
    places = [*LANDS, *LANDS, *["us", "eu", "apac"] * 8, *REGIONS]
    unknown = [*ARNS, "anthropic.claude-of-next-year", "ca.anthropic.claude-new", "us.amazon.nova-pro-v1:0"]
    placed = fallen = 0
    for _ in range(6000):
        residency = random.sample(places, random.randint(1, 3))
        allowed = inside(residency)
        region = random.choice([*sorted(allowed), random.choice([*REGIONS, "me-central-1"])])
        entries = [*sorted(allowed), "regional", *SCOPES, *random.sample(REGIONS, 5)]
        common = {
            "fallback": random.sample(entries, random.randint(0, 6)),
            "edition": random.choice(editions()),
        }
        by_name = [random.choice([*model_routes.SHORT_NAMES]) for _ in range(6)]
        model = random.choice([*by_name, *random.sample(names, 8), random.choice(unknown)])
        endpoint = random.choice(wishes)
        case = (region, residency, common, model, endpoint)
        placements = tried(Placer(region, residency=residency, **common), model, endpoint)
        for placement in placements:
            assert where_it_may_run(placement) <= allowed, (case, placement)
        assert len(set(placements)) == len(placements), case
        if placements:
            placed += 1
            fallen += len(placements) > 1
            # a guard only narrows: without it the same could be had
            free = Placer(region, **common)
            had = [tried(free, model, wish)[:1] for wish in ([endpoint] if endpoint else [None, "regional"])]
            assert placements[:1] in had or placements[0].model == placements[0].base, case
    # most are refused, but enough are not
    assert placed > 500
    assert fallen > 200


def tried(placer: Placer, model: str, endpoint: str | None) -> tuple[Placement, ...]:
    try:
        return placer.place(model, endpoint=endpoint)
    except (EndpointError, ResidencyError):
        return ()


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(list(model_routes.SHORT_NAMES)),
    region=st.sampled_from(REGIONS),
    residency=st.lists(PLACES, min_size=1, max_size=3),
)
def test_a_short_name_takes_the_best_that_is_allowed(name: str, region: str, residency: list[str]) -> None:
    allowed = inside(residency)
    base = model_routes.SHORT_NAMES[name]
    model = Catalog.load().model(base)
    assert model is not None
    offered = [
        Placement(profile.id, region, profile.scope, base)
        for profile in Catalog.load().profiles_from(region)
        if profile.model is model
    ]
    offered.sort(key=lambda placement: placement.scope != "global")
    offered += [Placement(base, region, "", base)] if region in model.on_demand else []
    best = next((placement for placement in offered if where_it_may_run(placement) <= allowed), None)
    placer = Placer(region, residency=residency)
    if best is not None:
        assert placer.place(name) == (best,)
    else:
        with pytest.raises(ResidencyError if offered else EndpointError):
            placer.place(name)


def test_a_guard_refuses_with_where_and_what_instead() -> None:
    with pytest.raises(ResidencyError) as refused:
        Placer("eu-west-1", residency="eu").place("claude-sonnet-4-5", endpoint="global")
    assert refused.value.what.startswith(
        "Claude Sonnet 4.5, called through its endpoint 'global' from eu-west-1, could run outside "
        "residency='eu': in af-south-1, "
    )
    assert refused.value.fix == "Use endpoint='eu': that stays inside."
    with pytest.raises(ResidencyError, match=r"outside residency='eu': in eu-west-2\.") as refused:
        Placer("eu-west-2", residency="eu").place("claude-sonnet-4-5")
    assert refused.value.fix == "Use endpoint='eu' and aws_region='eu-central-1': that stays inside."
    with pytest.raises(ResidencyError) as refused:
        Placer("us-east-1", residency="us").place(f"global.{SONNET_4_5}")
    assert refused.value.fix == f"Use model='us.{SONNET_4_5}': that stays inside."
    with pytest.raises(ResidencyError) as refused:
        Placer("ap-northeast-1", residency="jp").place("claude-haiku-4-5")
    assert refused.value.fix == "Use endpoint='jp' and edition='2026-11': that stays inside."
    with pytest.raises(ResidencyError, match=r"No endpoint of Claude Opus 4\.1 stays inside"):
        Placer("us-east-1", residency="eu").place("claude-opus-4-1")


def test_what_a_guard_says_to_do_can_be_done() -> None:
    """Every advice, followed to the letter, places the call."""
    followed = 0
    for residency in LANDS:
        for name in GUIDE:
            for region in ("us-east-1", "eu-west-2", "ap-northeast-1", "ap-southeast-2", "sa-east-1"):
                try:
                    Placer(region, residency=residency).place(name, endpoint=None)
                except ResidencyError as refused:
                    _, use, advice = refused.fix.partition("Use ")
                    if not use:
                        continue
                    words = advice.partition(": that")[0].replace(" and ", ", ").split(", ")
                    told = {key: value.strip("'") for key, value in (word.split("=") for word in words)}
                    placer = Placer(
                        told.get("aws_region", region),
                        residency=residency,
                        edition=told.get("edition", "guide"),
                    )
                    placer.place(told.get("model", name), endpoint=told.get("endpoint"))
                    followed += 1
                except EndpointError:
                    pass
    assert followed > 20


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (OF_APPLICATION, "only AWS knows the routes of what is the account's own"),
        ("us.anthropic.claude-of-next-year", "the catalogue does not have this model"),
        (f"eu.{SONNET_4_5}", "no route of it from us-west-2 is known"),
    ],
)
def test_what_nobody_here_can_tell_a_guard_refuses(model: str, why: str) -> None:
    with pytest.raises(ResidencyError, match=why):
        Placer("us-west-2", residency=["us", "eu"]).place(model)
    assert only(Placer("us-west-2", residency="global").place(model)).model == model


def test_a_bare_id_counts_as_the_regional_endpoint_under_a_guard() -> None:
    # on demand in London, but a bare id may also mean the eu profile
    with pytest.raises(ResidencyError, match="by its bare id from eu-west-2"):
        Placer("eu-west-2", residency="eu-west-2").place("anthropic.claude-sonnet-4-6")
    assert only(Placer("sa-east-1", residency="sa-east-1").place(HAIKU_3)).model == HAIKU_3


def test_london_can_be_allowed_beside_the_union() -> None:
    placer = Placer("eu-west-2", residency=["EU", "eu-west-2"])
    assert only(placer.place("claude-sonnet-4-5")).model == f"eu.{SONNET_4_5}"


@pytest.mark.parametrize(
    ("residency", "meant"),
    [
        ("ca", "'ca-central-1'"),
        ("europe", "'eu'"),
        (" Europe ", "'eu'"),
        ("USA", "'us'"),
        ("japan", "'jp'"),
        ("gloabl", "'global'"),
        ("us-east1", "'us-east-1'"),
        ("us-east-1a", "'us-east-1'"),
        (["eu", "us-east-9"], "'us-east-"),
        ("", ""),
        ("atlantis", ""),
    ],
)
def test_an_unknown_residency_is_told_what_may_be_meant(residency: object, meant: str) -> None:
    with pytest.raises(UsageError, match="is no geography and no region") as refused:
        Placer("eu-west-1", residency=residency)
    question = f"Did you mean {meant}" if meant else "Name geographies"
    assert refused.value.fix.startswith(question)
    assert all(repr(place) in refused.value.fix for place in LANDS)
    assert len(refused.value.fix) < 200


@pytest.mark.parametrize("name", ["residency", "fallback"])
def test_a_list_in_one_text_and_things_that_are_no_words(name: str) -> None:
    for text in ("eu,us", "eu, us", "eu us", "EU;US"):
        with pytest.raises(UsageError, match=f"{name}={text!r}") as refused:
            Placer("eu-west-1", **{name: text})
        assert refused.value.fix == "Give a list: ['eu', 'us']"
    for wrong in (5, b"eu", True, 1.5):
        with pytest.raises(UsageError, match=f"{name}={wrong!r} is no list of words"):
            Placer("eu-west-1", **{name: wrong})
    for words in ([None], ["eu", 5], [b"eu"], {"eu": 1, 2: 3}):
        with pytest.raises(UsageError, match="is no text") as refused:
            Placer("eu-west-1", **{name: words})
        assert refused.value.fix


def test_a_guard_that_allows_nothing_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="allows no region"):
        Placer("eu-west-1", residency=[])


# --- fallbacks ---


def test_a_fallback_is_another_endpoint_here_or_the_same_kind_elsewhere() -> None:
    placer = Placer("us-west-2", fallback=["regional", "us-east-1", "eu-west-1", "us"])
    assert scopes(placer.place("claude-sonnet-4-5")) == [
        ("global", "us-west-2"),
        ("us", "us-west-2"),
        ("global", "us-east-1"),
        ("global", "eu-west-1"),
    ]
    assert scopes(placer.place("claude-sonnet-4-5", endpoint="regional")) == [
        ("us", "us-west-2"),
        ("us", "us-east-1"),
        ("eu", "eu-west-1"),
    ]
    assert scopes(placer.place(f"global.{SONNET_4_5}")) == scopes(placer.place("claude-sonnet-4-5"))
    assert placer.skipped("claude-sonnet-4-5") == ()


def test_a_bare_id_falls_back_on_demand_where_it_can() -> None:
    placer = Placer("us-west-2", fallback=["eu-central-1", "us-east-2"])
    assert scopes(placer.place(HAIKU_3)) == [("", "us-west-2"), ("", "eu-central-1"), ("us", "us-east-2")]


def test_what_does_not_exist_for_a_model_is_left_out_and_can_be_asked_for() -> None:
    placer = Placer("us-west-2", fallback=["global", "eu", "eu-west-1", "us-east-1"])
    assert scopes(placer.place("claude-opus-4-1")) == [("us", "us-west-2"), ("us", "us-east-1")]
    assert placer.skipped("claude-opus-4-1") == (
        ("global", "Claude Opus 4.1 has no endpoint 'global'"),
        ("eu", "Claude Opus 4.1 has no endpoint 'eu'"),
        ("eu-west-1", "Claude Opus 4.1 is not offered so from eu-west-1"),
    )
    only(placer.place(OF_APPLICATION))
    assert all("of one region" in skipped.why for skipped in placer.skipped(OF_APPLICATION))


def test_a_fallback_never_leaves_the_guard() -> None:
    placer = Placer(
        "eu-west-1", residency="eu", fallback=["global", "us-east-1", "eu-central-1", "eu-west-2"]
    )
    assert scopes(placer.place("claude-sonnet-4-5")) == [("eu", "eu-west-1"), ("eu", "eu-central-1")]
    assert [skipped.entry for skipped in placer.skipped("claude-sonnet-4-5")] == [
        "global",
        "us-east-1",
        "eu-west-2",
    ]
    assert "could run outside residency='eu'" in placer.skipped("claude-sonnet-4-5")[0].why
    with pytest.raises(ResidencyError):
        placer.place("claude-sonnet-4-5", endpoint="global")


def test_a_single_fallback_need_not_be_a_list() -> None:
    assert scopes(Placer("us-west-2", fallback="regional").place("claude-sonnet-4-5"))[1:] == [
        ("us", "us-west-2")
    ]


@pytest.mark.parametrize("wrong", [["mars"], ["us-west"], "everywhere", ["regional", "gloabl"]])
def test_a_fallback_that_is_no_word_of_ours_is_told_at_once(wrong: object) -> None:
    with pytest.raises(UsageError, match="is no endpoint and no region") as refused:
        Placer("us-west-2", fallback=wrong)
    assert ("Did you mean 'global'?" in refused.value.fix) == ("gloabl" in wrong)
    assert "'regional'" in refused.value.fix


def test_no_fallback_may_be_written_as_none() -> None:
    assert len(Placer("us-west-2", fallback=None).place("claude-sonnet-4-5")) == 1


@pytest.mark.parametrize(
    ("wrong", "fix"),
    [
        ("gloabl", "Did you mean 'global'? There are "),
        ("europe", "Did you mean 'eu'? There are "),
        ("regionl", "Did you mean 'regional'? There are "),
        ("us-east-1", "That is a region: write aws_region='us-east-1', endpoint='regional'."),
        ("", "There are 'global', 'regional'"),
        (5, "There are "),
        (b"eu", "There are "),
    ],
)
def test_an_endpoint_that_is_none_is_told_at_once(wrong: object, fix: str) -> None:
    for ask in (
        lambda: Placer("us-west-2", endpoint=wrong),
        lambda: Placer("us-west-2").place("claude-sonnet-4-5", endpoint=wrong),
    ):
        with pytest.raises(EndpointError) as refused:
            ask()
        assert refused.value.what == f"endpoint={wrong!r} is no endpoint."
        assert refused.value.fix.startswith(fix)


@pytest.mark.parametrize("wrong", ["2031", "latest", None, 5, []])
def test_an_edition_that_is_none_is_told_which_there_are(wrong: object) -> None:
    with pytest.raises(UsageError) as refused:
        Placer("us-west-2", edition=wrong)
    assert refused.value.what == f"edition={wrong!r} is no edition."
    assert refused.value.fix == "Choose 'guide' or '2026-11'."


# --- what is kept ---


def test_a_placement_is_decided_once() -> None:
    placer = Placer("us-west-2")
    assert placer.place("claude-sonnet-4-5") is placer.place("claude-sonnet-4-5")
    assert placer.place("claude-sonnet-4-5", endpoint="us") is placer.place(
        "claude-sonnet-4-5", endpoint="us"
    )


def test_names_without_end_are_not_kept_without_end() -> None:
    placer = Placer("us-west-2")
    for number in range(3 * placing._MOST_KEPT):
        placer.place(f"anthropic.claude-{number}")
    assert len(placer._placed) <= placing._MOST_KEPT


def test_threads_may_place_at_once() -> None:
    placer = Placer("us-west-2", fallback=["regional"])
    wrong: list[object] = []

    def work() -> None:
        for number in range(2000):
            found = placer.place(f"us.anthropic.claude-{number % 700}")
            if found[0].model != f"us.anthropic.claude-{number % 700}":
                wrong.append(found)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- deprecations ---


def test_the_guides_three_deprecated_models_are_told_with_their_date() -> None:
    placer = Placer("us-west-2")
    told = {base: placer.legacy(base, "2026-11-24") for base, _ in GUIDE.values()}
    assert {base: since for base, since in told.items() if since} == {
        SONNET_3_7: "2025-10-28",
        "anthropic.claude-3-opus-20240229-v1:0": "2025-06-30",
        HAIKU_3_5: "2025-12-19",
    }
    assert placer.legacy("", "2026-11-24") == ""


def test_deprecations_are_the_catalogues_on_any_day() -> None:
    from datetime import date

    for edition in editions():
        catalog = Catalog.load(edition)
        placer = Placer("us-west-2", edition=edition)
        for model in catalog.models:
            for day in (date(1970, 1, 1), date(2026, 3, 10), date(2026, 10, 7), date(2027, 1, 1)):
                legacy = catalog.status(model, day) == "LEGACY"
                assert bool(placer.legacy(model.id, str(day))) == legacy


# --- the drawn tables ---


@pytest.mark.parametrize(("name", "text"), names.files().items(), ids=list(names.files()))
def test_a_drawn_table_is_current(name: str, text: str) -> None:
    path = Path(placing.__file__).with_name(name)
    assert path.read_text(encoding="utf-8") == text, "run: python docs/names.py"


@pytest.mark.parametrize("edition", editions())
def test_the_drawn_routes_are_the_catalogues(edition: str) -> None:
    catalog = Catalog.load(edition)
    offers = model_routes.EDITIONS[edition]
    assert list(offers) == [model.id for model in catalog.models]
    for model in catalog.models:
        profiles = [profile for profile in catalog.profiles if profile.model is model]
        assert offers[model.id].routes == {profile.scope: profile.routes for profile in profiles}
        assert offers[model.id][:2] == (model.name, model.on_demand)
    assert catalog.geographies == model_routes.GEOGRAPHIES
    assert model_names.AS_OF[edition] == str(catalog.as_of)


def test_editors_propose_short_names_and_ids_of_models_that_have_not_ended() -> None:
    newest = Catalog.load(editions()[-1])
    living = [model for model in newest.models if not newest.ended(model, newest.as_of)]
    text = Path(model_names.__file__).read_text(encoding="utf-8").partition("AS_OF")[0]
    proposed = set(re.findall(r'"([a-z][a-z0-9.:-]+)",', text))
    assert proposed == {name for model in living for name in (model.id, *model.short_names)}
    assert {SONNET_4_5, "claude-sonnet-4-5"} <= proposed
    assert HAIKU_3 not in proposed
    assert model_names.ModelName is str
