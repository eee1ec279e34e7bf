"""Places and fleets: who may answer what, and where."""

import asyncio

import pytest

from outcrop.service.routing.places import Fleet
from service.routing.stage import SONNET, Fake, place

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
REGIONS = ("eu-central-1", "eu-west-1", "us-east-1")


def found(fleet, regions=REGIONS, source="eu-west-1", model=SONNET):
    return {one.place.name: one.region for one in fleet.candidates(model, regions, source)}


def test_a_place_answers_in_the_source_region_where_it_can_and_else_in_the_first():
    fleet = Fleet([place(Fake("a"), "eu-central-1", "eu-west-1"), place(Fake("b"), "us-east-1", "sa-east-1")])
    assert found(fleet) == {"a": "eu-west-1", "b": "us-east-1"}
    assert found(fleet, source="ca-central-1") == {"a": "eu-central-1", "b": "us-east-1"}


def test_a_place_without_regions_stands_for_all_of_them_and_says_that_it_does():
    anywhere, here = place(Fake("a")), place(Fake("b"), "eu-west-1")
    assert anywhere.simulated
    assert not here.simulated
    assert found(Fleet([anywhere])) == {"a": "eu-west-1"}


def test_only_who_serves_the_model_in_a_region_is_a_candidate():
    fleet = Fleet(
        [
            place(Fake("a"), "us-east-1", models=frozenset([HAIKU])),
            place(Fake("b"), "us-east-1", models=frozenset([SONNET])),
            place(Fake("c"), "sa-east-1"),
        ]
    )
    assert found(fleet) == {"b": "us-east-1"}
    assert found(fleet, regions=("eu-west-1",)) == {}


def test_nobody_is_a_candidate_for_no_region():
    assert found(Fleet([place(Fake("a")), place(Fake("b"), "us-east-1")]), regions=()) == {}


def test_candidates_are_found_once_and_not_remembered_for_ever():
    fleet = Fleet([place(Fake("a"))])
    assert fleet.candidates(SONNET, REGIONS, "x") is fleet.candidates(SONNET, REGIONS, "x")
    for number in range(5000):
        fleet.candidates(SONNET, REGIONS, str(number))
    assert len(fleet._found) <= 4096


def test_an_engine_in_two_places_is_started_and_closed_once():
    shared, other = Fake("shared"), Fake("other")
    fleet = Fleet([place(shared, name="a"), place(other), place(shared, name="b")])
    assert fleet.engines == (shared, other)
    asyncio.run(fleet.start())
    asyncio.run(fleet.close())
    assert shared.lifecycle == other.lifecycle == {"start": 1, "close": 1}


def test_two_places_of_one_name_are_a_mistake():
    with pytest.raises(ValueError, match="one name"):
        Fleet([place(Fake("a")), place(Fake("a"))])
