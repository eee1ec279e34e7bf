"""Where calls were sent: counted from records as the dispatcher's calls leave them, and checked anew.

What the dispatcher would never write is forged here, since finding that is what the report is for.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
import pytest

from outcrop.catalog import Catalog
from outcrop.errors import Fault, ServiceUnavailableException, ThrottlingException, ValidationException
from outcrop.service.call import Target
from outcrop.service.recording import Recorder
from outcrop.service.routing.report import Route, Sent, report
from outcrop.store.calls import Contact
from service.routing.stage import (
    ACCOUNT,
    CATALOG,
    EU,
    GLOBAL,
    MODEL,
    SONNET,
    USER,
    Fake,
    Fate,
    Stage,
    call,
    place,
    question,
)

BUSY, DOWN = ThrottlingException("slow"), ServiceUnavailableException()
EUROPE = EU.destinations("eu-west-1")
EU_CALL = (ACCOUNT, USER, f"eu.{SONNET}", f"eu.{SONNET}", "eu-west-1")


class Kept(list):
    add = list.append


def asked(profile=EU, source="eu-west-1", regions=None):
    target = Target(MODEL, profile)
    made = call(target, source, regions=target.destinations(source) if regions is None else regions)
    return msgspec.structs.replace(made, labels={"modelId": profile.id if profile else SONNET})


def sent(*places, given=None, stream=False, read=99, left=False):
    """The record that one call leaves; of several places that are well the first is asked first.

    `read` is how many batches of a stream are read before it is closed; with `left` the caller
    leaves while nobody has answered yet.
    """
    kept = Kept()
    ask = Stage(*places).dispatcher.answer

    async def run():
        task = asyncio.create_task(Recorder(kept).record(given or asked(), question(stream=stream), ask))
        if left:
            await asyncio.wait([task], timeout=0)
            task.cancel()
        with suppress(Fault, asyncio.CancelledError, StopAsyncIteration):
            events = (await task).answer.events if stream else None
            for _ in range(read if stream else 0):
                await anext(events)
            if stream:
                await events.aclose()

    asyncio.run(run())
    (record,) = kept
    return record


def told(*records, bound=None, catalog=CATALOG):
    return report(catalog, records, bound)


def allowed(*records):
    """The routes of records that broke nothing."""
    found = told(*records)
    assert (found.violated, found.violations) == (0, ())
    return found.routes


def why(record, **more):
    """Why one sending was not allowed."""
    found = told(record, **more)
    assert found.violated == 1
    (violation,) = found.violations
    assert violation.record is record
    return violation.region, violation.why


# --- as they are written ---------------------------------------------------------------------------------


def test_calls_that_were_answered_are_counted_by_where_they_went():
    one, two = (sent(place(Fake(name), region)) for name, region in (("a", "eu-west-1"), ("b", "eu-west-3")))
    streamed = sent(place(Fake("a"), "eu-west-1"), stream=True)
    assert streamed.status == "answered"
    assert allowed(one, two, streamed) == {
        Route(*EU_CALL, "eu-west-1", "a", False): Sent(2, 0),
        Route(*EU_CALL, "eu-west-3", "b", False): Sent(1, 0),
    }


def test_a_call_that_fell_over_was_sent_to_both():
    record = sent(place(Fake("a", Fate(BUSY)), "eu-north-1"), place(Fake("b"), "eu-west-3"))
    assert record.contacted == (Contact("a", "eu-north-1"), Contact("b", "eu-west-3"))
    assert allowed(record) == {
        Route(*EU_CALL, "eu-north-1", "a", False): Sent(1, 1),
        Route(*EU_CALL, "eu-west-3", "b", False): Sent(1, 0),
    }
    assert (told(record).calls, told(record).sent) == (1, Sent(2, 1))


def test_an_engine_has_the_name_it_was_given_not_its_own():
    record = sent(place(Fake("messages/x"), "eu-west-1", name="paris"))
    assert (record.engine, record.contacted) == ("messages/x", (Contact("paris", "eu-west-1"),))
    assert allowed(record) == {Route(*EU_CALL, "eu-west-1", "paris", False): Sent(1, 0)}


def test_of_two_engines_in_one_region_only_one_has_answered():
    record = sent(place(Fake("a", Fate(DOWN)), "eu-west-1"), place(Fake("b"), "eu-west-1"))
    assert allowed(record) == {
        Route(*EU_CALL, "eu-west-1", "a", False): Sent(1, 1),
        Route(*EU_CALL, "eu-west-1", "b", False): Sent(1, 0),
    }


def test_a_call_that_failed_everywhere_was_sent_everywhere():
    record = sent(place(Fake("a", Fate(BUSY)), "eu-north-1"), place(Fake("b", Fate(DOWN)), "eu-west-3"))
    assert (record.status, record.destination) == ("failed", "")
    assert allowed(record) == {
        Route(*EU_CALL, "eu-north-1", "a", False): Sent(1, 1),
        Route(*EU_CALL, "eu-west-3", "b", False): Sent(1, 1),
    }


def test_a_stream_that_broke_off_was_answered_by_the_one_that_began_it():
    record = sent(
        place(Fake("a", Fate(DOWN, after=1)), "eu-west-1"), place(Fake("b"), "eu-west-3"), stream=True
    )
    assert (record.status, record.contacted) == ("failed", (Contact("a", "eu-west-1"),))
    assert allowed(record) == {Route(*EU_CALL, "eu-west-1", "a", False): Sent(1, 1)}


def test_a_stream_that_the_caller_left_and_a_call_it_left_before_an_answer():
    begun = sent(place(Fake("a"), "eu-west-1"), stream=True, read=1)
    waiting = sent(place(Fake("a", Fate(wait=asyncio.Event())), "eu-west-1"), left=True)
    assert (begun.status, waiting.status) == ("cut", "cut")
    assert allowed(begun, waiting) == {Route(*EU_CALL, "eu-west-1", "a", False): Sent(2, 0)}


def test_what_the_engine_refused_was_sent_and_what_nobody_serves_was_not():
    refused = sent(
        place(Fake("a", Fate(ValidationException("no"))), "eu-west-1"), place(Fake("b"), "eu-west-3")
    )
    nobody = sent(place(Fake("a"), "us-east-1"))
    found = told(refused, nobody)
    assert found.routes == {Route(*EU_CALL, "eu-west-1", "a", False): Sent(1, 1)}
    assert (found.calls, found.unsent, found.violated) == (2, 1, 0)


def test_one_engine_for_every_region_is_shown_as_simulated():
    record = sent(place(Fake("all")), given=asked(GLOBAL, "us-west-2"))
    (route,) = allowed(record)
    named = f"global.{SONNET}"
    assert route == Route(ACCOUNT, USER, named, named, "us-west-2", "us-west-2", "all", True)


def test_of_a_sending_that_failed_it_is_shown_too():
    record = sent(place(Fake("all", Fate(DOWN))))
    assert allowed(record) == {Route(*EU_CALL, "eu-west-1", "all", True): Sent(1, 1)}


def test_the_region_of_a_real_engine_is_not_called_simulated_because_another_is():
    record = sent(place(Fake("real", Fate(DOWN)), "eu-north-1"), place(Fake("all")))
    assert record.simulated
    assert allowed(record) == {
        Route(*EU_CALL, "eu-north-1", "real", False): Sent(1, 1),
        Route(*EU_CALL, "eu-west-1", "all", True): Sent(1, 0),
    }


def test_a_model_without_a_profile_runs_where_it_is_called_from():
    record = sent(place(Fake("a"), "us-west-2"), given=asked(None, "us-west-2"))
    assert allowed(record) == {
        Route(ACCOUNT, USER, SONNET, "", "us-west-2", "us-west-2", "a", False): Sent(1, 0)
    }


def test_those_who_call_one_profile_by_profiles_of_their_own_are_told_apart():
    record = sent(place(Fake("a"), "eu-west-1"))
    teams = [f"arn:aws:bedrock:eu-west-1:{ACCOUNT}:application-inference-profile/{one}" for one in "ab"]
    routes = allowed(record, *(forged(record, model_id=team) for team in teams))
    assert [(route.called, route.profile) for route in sorted(routes)] == [
        *((team, f"eu.{SONNET}") for team in teams),
        (f"eu.{SONNET}", f"eu.{SONNET}"),
    ]


# --- forged ----------------------------------------------------------------------------------------------


def forged(record=None, **more):
    return msgspec.structs.replace(record or sent(place(Fake("a"), "eu-west-1")), **more)


def test_a_call_outside_of_its_allowed_set_is_found():
    record = forged(allowed=("eu-west-3",))
    assert why(record) == ("eu-west-1", "the call was allowed eu-west-3")
    assert why(forged(allowed=())) == ("eu-west-1", "the call was allowed no region")


def test_an_attempt_that_failed_outside_is_found_though_the_answer_came_from_inside():
    record = forged(contacted=(Contact("a", "us-east-1"), Contact("a", "eu-west-1")))
    region, text = why(record)
    assert region == "us-east-1"
    assert text.endswith(f"called from eu-west-1 runs in {', '.join(EUROPE)}")


def test_a_call_outside_of_its_profiles_routes_is_found_whatever_it_was_allowed():
    everywhere = tuple(sorted(GLOBAL.destinations("eu-west-1")))
    record = forged(allowed=everywhere, contacted=(Contact("a", "us-east-1"),), destination="us-east-1")
    region, text = why(record)
    assert region == "us-east-1"
    assert text == f"eu.{SONNET} called from eu-west-1 runs in {', '.join(EUROPE)}"
    on_demand = forged(
        profile="",
        model_id=SONNET,
        allowed=everywhere,
        contacted=(Contact("a", "eu-west-3"),),
        destination="",
    )
    assert why(on_demand) == ("eu-west-3", f"{SONNET} called from eu-west-1 runs in eu-west-1")
    elsewhere = forged(region="us-west-2")
    assert why(elsewhere) == ("eu-west-1", f"eu.{SONNET} called from us-west-2 runs in no region")


def test_an_answer_from_where_it_was_not_sent_is_found():
    assert why(forged(destination="us-east-1"))[0] == "us-east-1"
    assert why(forged(contacted=(), destination="us-east-1"))[0] == "us-east-1"


def test_a_profile_that_the_edition_does_not_have_is_no_proof():
    gone = forged(profile=f"in.{SONNET}")
    region, text = why(gone)
    assert region == "eu-west-1"
    assert f"edition guide has no profile in.{SONNET}" in text
    assert "set bedrock.edition" in text
    newer = Catalog.load("2026-11")
    known = next(one for one in newer.profiles if CATALOG.profile(one.id) is None)
    source = known.sources[0]
    record = forged(
        profile=known.id,
        region=source,
        allowed=(source,),
        contacted=(Contact("a", source),),
        destination=source,
    )
    assert why(record)[0] == source
    assert told(record, catalog=newer).violated == 0


def test_within_is_asked_of_every_sending():
    fell_over = sent(place(Fake("a", Fate(BUSY)), "eu-north-1"), place(Fake("b"), "eu-west-3"))
    assert told(fell_over, bound=frozenset(EUROPE)).violated == 0
    assert why(fell_over, bound=frozenset({"eu-west-3"})) == (
        "eu-north-1",
        "the regions asked about do not contain it",
    )


def test_all_are_counted_and_the_first_hundred_listed():
    record = forged(allowed=())
    found = told(*[record] * 150)
    assert (found.violated, len(found.violations), found.calls) == (150, 100, 150)


@pytest.mark.parametrize("bound", [None, frozenset()])
def test_no_records_are_no_violation(bound):
    found = told(bound=bound)
    assert (found.routes, found.violations, found.violated, found.calls, found.unsent) == ({}, (), 0, 0, 0)
