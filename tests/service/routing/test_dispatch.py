"""Who is asked, in which order, when another is asked instead, and what is remembered of it."""

import asyncio
import gc

import pytest

from outcrop.engine import Stream
from outcrop.errors import (
    AccessDeniedException,
    InternalServerException,
    ModelErrorException,
    ModelNotReadyException,
    ModelStreamErrorException,
    ModelTimeoutException,
    ResourceNotFoundException,
    ServiceUnavailableException,
    ThrottlingException,
    ValidationException,
)
from outcrop.store.calls import Contact
from service.routing.stage import EVENTS, SONNET, WELL, Clock, Fake, Fate, Stage, call, place, question

DOWN = Fate(ServiceUnavailableException(reason="refused"))
OWN = [
    ThrottlingException("slow"),
    ServiceUnavailableException(),
    InternalServerException(),
    ModelNotReadyException("loading"),
    ModelTimeoutException("late"),
    ModelErrorException("odd"),
    ResourceNotFoundException("Model not found."),
]


def pair(first=WELL, second=WELL, **more):
    """Two places of which the first is asked first: it is the less busy one."""
    a, b = Fake("a", first), Fake("b", second)
    stage = Stage(place(a, "us-east-1"), place(b, "eu-central-1"), **more)
    busy = stage.dispatcher._health["b"].begin(SONNET, True, 0, 0.0)
    return stage, a, b, busy


@pytest.mark.parametrize("fault", OWN, ids=lambda fault: fault.name)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_the_destinations_own_fault_is_answered_by_another(fault, stream):
    stage, a, b, _ = pair(Fate(fault))
    outcome = stage.whole(stream=stream)
    assert (outcome.engine, outcome.region, outcome.simulated) == ("b", "eu-central-1", False)
    assert (len(a.asked), len(b.asked)) == (1, 1)
    assert stage.in_flight["a"] == 0


@pytest.mark.parametrize("fault", [ValidationException("no"), AccessDeniedException("no")])
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_request_earned_is_told_at_once(fault, stream):
    stage, a, b, _ = pair(Fate(fault))
    with pytest.raises(type(fault)) as caught:
        stage.whole(stream=stream)
    assert caught.value is fault
    assert (len(a.asked), len(b.asked)) == (1, 0)
    assert stage.in_flight["a"] == 0
    assert stage.state("a").last == ""


@pytest.mark.parametrize("fault", [ModelStreamErrorException("cut"), ThrottlingException("slow")])
def test_a_stream_that_fails_before_its_first_event_is_answered_by_another(fault):
    stage, a, b, _ = pair(Fate(fault, after=0))
    outcome, events = asyncio.run(stage.read())
    assert outcome.engine == "b"
    assert tuple(events) == EVENTS
    assert a.running == b.running == 0


def test_a_stream_that_fails_after_its_first_event_is_asked_of_nobody_else():
    stage, _, b, _ = pair(Fate(ThrottlingException("slow"), after=1))
    seen = []

    async def read():
        outcome = await stage.ask(stream=True)
        async for batch in outcome.answer.events:
            seen.extend(batch)

    with pytest.raises(ThrottlingException):
        asyncio.run(read())
    assert tuple(seen) == EVENTS[:1]
    assert b.asked == []
    assert stage.in_flight["a"] == 0
    assert stage.state("a").passed_over == {SONNET: pytest.approx(1.1)}


def test_an_empty_stream_is_a_failure_before_the_first_event():
    class Empty(Fake):
        async def _events(self, fate):
            for nothing in ():
                yield nothing

    b = Fake("b")
    stage = Stage(place(Empty("a"), "us-east-1"), place(b, "us-east-1"))
    stage.dispatcher._health["b"].begin(SONNET, True, 0, 0.0)
    outcome, events = asyncio.run(stage.read())
    assert outcome.engine == "b"
    assert tuple(events) == EVENTS


def test_alone_a_stream_that_fails_at_once_has_the_name_it_has_outside_of_streams():
    stage = Stage(place(Fake("a", Fate(ModelStreamErrorException("cut", original_status=529), after=0))))
    with pytest.raises(ModelErrorException) as caught:
        stage.whole(stream=True)
    assert type(caught.value) is ModelErrorException
    assert (caught.value.text, caught.value.original_status) == ("cut", 529)


def test_when_all_fail_the_caller_hears_when_to_come_back_and_the_log_hears_everything():
    engines = [
        Fake("a", Fate(InternalServerException(reason="401 from there"))),
        Fake("b", Fate(ThrottlingException("Too many tokens", retry_after=30, reason="429"))),
        Fake("c", Fate(ThrottlingException("Too many requests", retry_after=4))),
        Fake("d", Fate(ModelTimeoutException("late"))),
    ]
    stage = Stage(*(place(engine, "us-east-1") for engine in engines))
    with pytest.raises(ThrottlingException) as caught:
        stage.whole()
    assert caught.value.text == "Too many requests"
    assert caught.value.retry_after == 4
    for part in (
        "a in us-east-1: InternalServerException: 401 from there",
        "b in us-east-1: ThrottlingException: 429",
        "c in us-east-1: ThrottlingException: Too many requests",
        "d in us-east-1: ModelTimeoutException: late",
    ):
        assert part in caught.value.reason
    assert set(stage.in_flight.values()) == {0}
    assert engines[2].fates[0].error.reason == ""  # the engine's own fault is left as it was


def test_a_single_place_fails_with_its_own_words():
    fault = InternalServerException(reason="why")
    stage = Stage(place(Fake("a", Fate(fault))))
    with pytest.raises(InternalServerException) as caught:
        stage.whole()
    assert caught.value is fault


def test_those_that_are_out_are_still_asked_when_nobody_else_is_left():
    stage, a, b, _ = pair(DOWN, DOWN)
    for _ in range(3):
        with pytest.raises(ServiceUnavailableException):
            stage.whole()
    assert {stage.state(name).state for name in "ab"} == {"out"}
    with pytest.raises(ServiceUnavailableException):
        stage.whole()
    assert (len(a.asked), len(b.asked)) == (4, 4)
    b.fates = [WELL]
    assert stage.whole().engine == "b"
    assert stage.state("b").state == "well"


def test_one_that_is_out_comes_after_one_that_is_well_and_after_its_time_is_tried_once():
    stage, a, b, busy = pair(DOWN)
    for _ in range(3):
        assert stage.whole().engine == "b"
    assert stage.state("a").state == "out"
    stage.whole()
    assert len(a.asked) == 3
    busy.abandoned(0.0)
    stage.clock.on(6)
    assert stage.state("a").state == "due"
    assert stage.whole().engine == "b"
    assert len(a.asked) == 4
    stage.whole()
    assert len(a.asked) == 4
    a.fates = [WELL]
    stage.clock.on(12)
    assert stage.whole().engine == "a"
    assert stage.state("a").state == "well"
    assert len(b.asked) == 6


def test_only_one_call_at_a_time_tries_one_that_is_due():
    async def run():
        wait = asyncio.Event()
        stage, a, *_ = pair(DOWN)
        for _ in range(3):
            await stage.ask()
        stage.clock.on(6)
        a.fates = [Fate(wait=wait)]
        trial = asyncio.ensure_future(stage.ask())
        await asyncio.sleep(0)
        others = [await stage.ask() for _ in range(5)]
        assert {outcome.engine for outcome in others} == {"b"}
        wait.set()
        assert (await trial).engine == "a"
        assert len(a.asked) == 4

    asyncio.run(run())


def test_429_with_a_time_sends_calls_elsewhere_until_then():
    stage, a, b, _ = pair(Fate(ThrottlingException("slow", retry_after=20)))
    assert stage.whole().engine == "b"
    a.fates = [WELL]
    stage.clock.on(19)
    assert stage.whole().engine == "b"
    assert stage.state("a").state == "well"
    assert stage.state("a").passed_over == {SONNET: 1}
    stage.clock.on(2)
    assert stage.whole().engine == "a"
    assert (len(a.asked), len(b.asked)) == (2, 2)


def test_a_flapping_place_is_left_alone_for_longer_and_longer():
    stage, a, _, _ = pair(DOWN)
    asked = []
    for _ in range(5):
        before = len(a.asked)
        for _ in range(100):
            a.fates = [WELL if stage.state("a").state == "due" else DOWN]
            assert stage.whole().engine in ("a", "b")
            stage.clock.on(1)
        asked.append(len(a.asked) - before)
    assert asked[0] > asked[1] > asked[-1]
    assert asked[-1] <= 4


def test_a_slow_place_gets_fewer_calls_and_some_again_when_that_has_faded():
    clock = Clock()
    slow, quick = Fake("slow", Fate(seconds=5), clock=clock), Fake("quick", Fate(seconds=0.5), clock=clock)
    stage = Stage(place(slow, "us-east-1"), place(quick, "us-east-1"), clock=clock)
    engines = [stage.whole().engine for _ in range(40)]
    assert engines.count("slow") == 1
    clock.on(200)
    assert "slow" in [stage.whole().engine for _ in range(4)]


def test_calls_are_spread_over_equals_by_what_runs():
    async def run():
        wait = asyncio.Event()
        engines = [Fake(name, Fate(wait=wait)) for name in "abc"]
        stage = Stage(*(place(engine, "us-east-1") for engine in engines))
        tasks = [asyncio.ensure_future(stage.ask()) for _ in range(12)]
        await asyncio.sleep(0)
        assert set(stage.in_flight.values()) == {4}
        wait.set()
        await asyncio.gather(*tasks)
        assert set(stage.in_flight.values()) == {0}

    asyncio.run(run())


def test_one_that_takes_no_more_at_once_comes_last_but_is_asked():
    async def run():
        wait = asyncio.Event()
        small, large = Fake("small", Fate(wait=wait)), Fake("large", Fate(wait=wait))
        stage = Stage(place(small, "us-east-1", concurrent=1), place(large, "us-east-1", concurrent=3))
        tasks = [asyncio.ensure_future(stage.ask()) for _ in range(6)]
        await asyncio.sleep(0)
        assert sum(stage.in_flight.values()) == 6
        assert len(large.asked) >= 3
        wait.set()
        await asyncio.gather(*tasks)

    asyncio.run(run())


def test_a_places_own_requests_and_tokens_a_minute_send_calls_elsewhere():
    few, many = Fake("few"), Fake("many")
    stage = Stage(place(few, "us-east-1", requests_per_minute=2), place(many, "us-east-1"))
    for _ in range(10):
        stage.whole()
    assert 1 <= len(few.asked) <= 2
    stage.clock.on(61)
    assert stage.state("few").requests_left == 2
    little = Fake("little")
    stage = Stage(place(little, "us-east-1", tokens_per_minute=1000))
    stage.whole()
    assert stage.state("little").tokens_left == 880
    asyncio.run(stage.read())
    assert stage.state("little").tokens_left == 760


def test_tokens_of_a_stream_that_is_closed_are_counted_as_far_as_it_came():
    async def run():
        stage = Stage(place(Fake("a"), tokens_per_minute=1000))
        outcome = await stage.ask(stream=True)
        assert stage.state("a").tokens_left == 950
        await anext(outcome.answer.events)
        await outcome.answer.events.aclose()
        assert stage.state("a").tokens_left == 880

    asyncio.run(run())


@pytest.mark.parametrize("batches", [0, 1, 2, 4])
def test_closing_a_stream_ends_it_once_and_is_no_failure(batches):
    async def run():
        engine = Fake("a")
        stage = Stage(place(engine))
        outcome = await stage.ask(stream=True)
        for _ in range(batches):
            await anext(outcome.answer.events)
        assert stage.in_flight == {"a": 1}
        await outcome.answer.events.aclose()
        await outcome.answer.events.aclose()
        assert stage.in_flight == {"a": 0}
        assert engine.running == 0
        assert stage.state("a").last == ""

    asyncio.run(run())


def test_a_stream_that_is_forgotten_leaves_nothing_in_flight():
    async def run():
        stage = Stage(place(Fake("a")))
        outcome = await stage.ask(stream=True)
        assert stage.in_flight == {"a": 1}
        del outcome
        gc.collect()
        assert stage.in_flight == {"a": 0}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("stream", "wait_after"), [(False, 0), (True, 0), (True, 1)], ids=["whole", "first event", "later event"]
)
def test_a_caller_who_leaves_is_no_failure_and_nothing_stays_in_flight(stream, wait_after):
    async def run():
        wait = asyncio.Event()
        stage, a, b, _ = pair(Fate(wait=wait, wait_after=wait_after))

        async def use():
            outcome = await stage.ask(stream=stream)
            async for _ in outcome.answer.events:
                pass

        for _ in range(5):
            task = asyncio.ensure_future(use())
            for _ in range(5):
                await asyncio.sleep(0)
            assert stage.in_flight["a"] == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert stage.in_flight["a"] == 0
        assert a.running == 0
        assert b.asked == []
        assert (stage.state("a").state, stage.state("a").last) == ("well", "")

    asyncio.run(run())


def test_cancelled_while_the_first_events_are_awaited_the_generation_stops():
    async def run():
        class Silent(Fake):
            async def _events(self, fate):
                self.running += 1
                try:
                    await asyncio.Event().wait()
                    yield ()
                finally:
                    self.running -= 1

        engine = Silent("a")
        stage = Stage(place(engine))
        task = asyncio.ensure_future(stage.ask(stream=True))
        for _ in range(3):
            await asyncio.sleep(0)
        assert engine.running == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.running == 0
        assert stage.in_flight == {"a": 0}

    asyncio.run(run())


def test_a_bug_in_an_engine_stays_a_bug_and_counts_against_its_place():
    stage, *_ = pair(Fate(KeyError("a bug")))
    for _ in range(3):
        with pytest.raises(KeyError):
            stage.whole()
    assert stage.state("a").state == "out"
    assert "KeyError" in stage.state("a").last
    assert stage.whole().engine == "b"


def test_nothing_outside_of_the_calls_regions_is_asked_even_when_all_inside_fail():
    inside, outside = Fake("inside", DOWN), Fake("outside")
    stage = Stage(place(inside, "eu-central-1"), place(outside, "us-east-1"))
    with pytest.raises(ServiceUnavailableException):
        stage.whole(regions=("eu-central-1", "eu-west-1"))
    assert outside.asked == []
    with pytest.raises(ServiceUnavailableException, match="No engine of this endpoint serves"):
        stage.whole(regions=("sa-east-1",))
    with pytest.raises(ServiceUnavailableException, match="no region at all"):
        Stage(place(inside)).whole(regions=())
    assert len(inside.asked) == 1


def test_who_declares_a_lack_is_not_asked_for_it_while_another_can():
    image = {"messages": [{"role": "user", "content": [{"type": "image"}]}]}
    blind, sighted = Fake("blind", cannot=["images"]), Fake("sighted", DOWN)
    stage = Stage(place(blind, "us-east-1"), place(sighted, "us-east-1"))
    with pytest.raises(ServiceUnavailableException):
        stage.whole(body=image)
    assert blind.asked == []
    assert stage.whole().engine == "blind"
    alone = Stage(place(blind, "us-east-1"), place(Fake("c", cannot=["images"]), "us-east-1"))
    assert alone.whole(body=image).engine in ("blind", "c")  # a real one would refuse


def test_one_engine_for_all_regions_says_that_they_are_simulated():
    outcome = Stage(place(Fake("a"))).whole(regions=("eu-central-1", "us-west-2"))
    assert (outcome.region, outcome.simulated) == ("us-west-2", True)


def test_tokens_are_counted_by_whoever_can():
    cannot = ValidationException("The provided model doesn't support counting tokens.")
    stage, a, b, _ = pair(Fate(cannot))
    counted = asyncio.run(stage.dispatcher.count(call(regions=stage.regions), question()))
    assert (counted.tokens, counted.engine, counted.region) == (7, "b", "eu-central-1")
    b.fates = [Fate(cannot)]
    with pytest.raises(ValidationException, match="counting"):
        asyncio.run(stage.dispatcher.count(call(regions=stage.regions), question()))
    b.fates = [DOWN]
    with pytest.raises(ServiceUnavailableException):
        asyncio.run(stage.dispatcher.count(call(regions=stage.regions), question()))
    assert a.asked == b.asked == []
    with pytest.raises(ServiceUnavailableException, match="No engine"):
        asyncio.run(stage.dispatcher.count(call(regions=()), question()))


def test_states_tell_people_how_places_stand():
    stage = Stage(
        place(
            Fake("messages/there", DOWN), "eu-west-1", "eu-central-1", name="a", models=frozenset([SONNET])
        ),
        place(Fake("scripted"), name="b", requests_per_minute=9, concurrent=1),
    )
    for _ in range(3):
        stage.whole(regions=("eu-central-1",))
    first, second = stage.dispatcher.states()
    assert (first.name, first.engine, first.state) == ("a", "messages/there", "out")
    assert first.regions == ("eu-central-1", "eu-west-1")
    assert first.models == (SONNET,)
    assert first.seconds == pytest.approx(5.5)
    assert first.last == "ServiceUnavailableException: refused"
    assert (second.regions, second.models, second.requests_left, second.tokens_left) == (None, None, 6, None)


def test_an_engine_may_give_any_iterator_of_events():
    class Plain:
        def __init__(self):
            self.left, self.closed = list(EVENTS), 0

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            return (self.left.pop(0),)

        async def aclose(self):
            self.closed += 1

    class Own(Fake):
        async def answer(self, question):
            return Stream(plain)

    plain = Plain()
    stage = Stage(place(Own("a")))
    _, events = asyncio.run(stage.read())
    assert tuple(events) == EVENTS
    assert stage.in_flight == {"a": 0}


# --- what an operator reads --------------------------------------------------------------------------------


def told(caplog):
    """The log's warnings since the last look."""
    lines = [record.getMessage() for record in caplog.records if record.name == "outcrop.service"]
    assert all(record.levelname == "WARNING" for record in caplog.records)
    caplog.clear()
    return lines


@pytest.mark.parametrize("stream", [False, True])
def test_that_another_is_asked_is_said_with_the_place_the_region_and_the_reason(caplog, stream):
    stage, *_ = pair(Fate(ServiceUnavailableException(reason="refused\nby 10.0.0.1")))
    stage.whole(stream=stream)
    assert told(caplog) == [
        "engine a in us-east-1 has failed, and another is asked: ServiceUnavailableException "
        f"{ServiceUnavailableException().text} (refused\\nby 10.0.0.1), request id-1"
    ]


def test_a_stream_that_never_began_is_said_to_have_failed(caplog):
    stage, *_ = pair(Fate(ModelStreamErrorException("cut"), after=0))
    asyncio.run(stage.read())
    assert "engine a in us-east-1 has failed" in told(caplog)[0]


def test_nothing_is_said_where_nobody_else_is_asked(caplog):
    alone = Stage(place(Fake("a", DOWN), "us-east-1"))
    with pytest.raises(ServiceUnavailableException):
        alone.whole()
    refused, *_ = pair(Fate(ValidationException("no")))
    with pytest.raises(ValidationException):
        refused.whole()
    assert told(caplog) == []


def test_it_is_said_when_a_place_is_left_out_and_when_it_is_back(caplog):
    stage, a, *_ = pair(DOWN)
    for _ in range(3):
        stage.whole()
    lines = told(caplog)
    assert [line.startswith("engine a in us-east-1 has failed") for line in lines] == [
        True,
        True,
        False,
        True,
    ]
    assert lines[2] == "engine a is left out for 6 s: ServiceUnavailableException: refused"
    a.fates = [WELL]
    stage.whole()
    assert told(caplog) == []  # b was asked
    stage.clock.on(6)
    stage.whole()
    assert told(caplog) == ["engine a is back"]


def test_each_further_absence_is_said(caplog):
    stage, *_ = pair(DOWN)
    for _ in range(3):
        stage.whole()
    told(caplog)
    stage.clock.on(6)
    stage.whole()  # the trial
    assert told(caplog)[0] == "engine a is left out for 11 s: ServiceUnavailableException: refused"


@pytest.mark.parametrize(
    "fault", [ThrottlingException("slow", retry_after=5), ResourceNotFoundException("no such model")]
)
def test_one_that_is_full_is_named_once_until_it_has_answered_again(caplog, fault):
    stage, a, b, _ = pair(Fate(fault))
    for _ in range(4):
        stage.whole()
        stage.clock.on(70)
    assert len(a.asked) == 4
    assert len(told(caplog)) == 1
    a.fates = [WELL, Fate(fault)]
    for _ in range(3):
        stage.whole()
        stage.clock.on(70)
    assert len(told(caplog)) == 1
    assert len(b.asked) == 6


def test_of_many_calls_at_once_to_one_that_is_full_one_is_said(caplog):
    stage, *_ = pair(Fate(ThrottlingException("slow")))

    async def run():
        await asyncio.gather(*(stage.ask() for _ in range(20)))

    asyncio.run(run())
    assert len(told(caplog)) == 1


def test_of_counting_too_it_is_said_but_not_of_one_that_can_not_count(caplog):
    for fault, lines in ((DOWN.error, 1), (ValidationException("no"), 0), (ThrottlingException("slow"), 0)):
        stage, *_ = pair(Fate(fault))
        counting = call(regions=stage.regions, operation="CountTokens")
        assert asyncio.run(stage.dispatcher.count(counting, question())).engine == "b"
        assert [(each.place, each.region) for each in counting.contacted] == [
            ("a", "us-east-1"),
            ("b", "eu-central-1"),
        ]
        assert len(told(caplog)) == lines


def test_whom_a_call_was_sent_to_is_in_it_before_an_answer_is():
    asked = call(regions=("us-east-1",))

    class Looks(Fake):
        async def answer(self, question):
            assert asked.contacted == [Contact("a", "us-east-1", simulated=False)]
            return await super().answer(question)

    stage = Stage(place(Looks("a"), "us-east-1"))
    assert asyncio.run(stage.dispatcher.answer(asked, question())).engine == "a"
