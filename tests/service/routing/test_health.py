"""How a place fares: when it is put out and comes back, when it is full, and what a call of it would cost."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.errors import (
    ModelErrorException,
    ModelNotReadyException,
    ResourceNotFoundException,
    ServiceUnavailableException,
    ThrottlingException,
)
from outcrop.service.routing.health import Health, Minute, Standing
from service.routing.stage import SONNET, Clock, Fake, place

OTHER = "another model"
DOWN = ServiceUnavailableException()


class Subject:
    """One place's health under a clock."""

    def __init__(self, chance=0.0, **limits):
        self.clock = Clock()
        self.health = Health(place(Fake(), **limits), lambda: chance)

    def begin(self, promised=0, stream=True):
        return self.health.begin(SONNET, stream, promised, self.clock.now)

    def fail(self, fault=DOWN, times=1):
        for _ in range(times):
            self.begin().failed(fault, self.clock.now)

    def succeed(self, times=1, seconds=0.0):
        for _ in range(times):
            attempt = self.begin()
            self.clock.on(seconds)
            attempt.answers(self.clock.now)
            attempt.succeeded()

    def standing(self, model=SONNET):
        return self.health.standing(model, self.clock.now)

    def out_for(self):
        return self.health.out_for(self.clock.now)


def test_three_failures_in_a_row_put_it_out_and_a_success_between_them_does_not():
    subject = Subject()
    subject.fail(times=2)
    subject.succeed()
    subject.fail(times=2)
    assert subject.standing() is Standing.WELL
    subject.fail()
    assert subject.standing() is Standing.OUT
    assert subject.out_for() == 5


def test_one_that_fails_every_other_time_is_put_out_too():
    subject = Subject()
    for _ in range(4):
        subject.succeed()
        subject.fail()
    assert subject.standing() is Standing.WELL
    subject.succeed()
    subject.fail()
    assert subject.standing() is Standing.OUT


def test_one_that_fails_one_time_in_four_is_not():
    subject = Subject()
    for _ in range(50):
        subject.succeed(3)
        subject.fail()
    assert subject.standing() is Standing.WELL


def test_after_its_time_one_call_at_a_time_tries_it_and_a_success_brings_it_back():
    subject = Subject()
    subject.fail(times=3)
    subject.clock.on(4.9)
    assert subject.standing() is Standing.OUT
    subject.clock.on(0.2)
    assert subject.standing() is Standing.DUE
    trial = subject.begin()
    assert trial.trial
    assert subject.standing() is Standing.OUT
    assert not subject.begin().trial
    trial.answers(subject.clock.now)
    assert subject.standing() is Standing.WELL
    trial.succeeded()
    subject.fail(times=2)
    assert subject.standing() is Standing.WELL


def test_an_abandoned_trial_leaves_it_due():
    subject = Subject()
    subject.fail(times=3)
    subject.clock.on(6)
    subject.begin().abandoned(subject.clock.now)
    assert subject.standing() is Standing.DUE


def test_each_failed_trial_doubles_the_time_up_to_a_bound():
    subject = Subject()
    subject.fail(times=3)
    seconds = []
    for _ in range(20):
        seconds.append(subject.out_for())
        subject.clock.on(subject.out_for())
        subject.fail()
    assert seconds[:4] == [5, 10, 20, 40]
    assert seconds[-1] == 300


def test_one_that_falls_sick_again_soon_stays_out_longer_and_after_a_calm_it_does_not():
    subject = Subject()
    subject.fail(times=3)
    subject.clock.on(5)
    subject.succeed()
    subject.fail(times=3)
    assert subject.out_for() == 10
    subject.clock.on(10)
    subject.succeed()
    subject.clock.on(301)
    subject.fail(times=3)
    assert subject.out_for() == 5


def test_times_are_jittered_upwards_so_that_what_was_promised_is_kept():
    subject = Subject(chance=0.999)
    subject.fail(times=3)
    assert 5.9 < subject.out_for() < 6


def test_what_began_before_it_was_put_out_says_nothing_about_now():
    subject = Subject()
    early, failing = subject.begin(), subject.begin()
    subject.clock.on(1)
    subject.fail(times=3)
    until = subject.out_for()
    early.answers(subject.clock.now)
    early.succeeded()
    failing.failed(DOWN, subject.clock.now)
    assert subject.standing() is Standing.OUT
    assert subject.out_for() == until


def test_a_success_while_it_is_out_brings_it_back():
    subject = Subject()
    subject.fail(times=3)
    subject.clock.on(1)
    subject.succeed()
    assert subject.standing() is Standing.WELL


def test_429_is_full_until_then_for_that_model_and_never_sick():
    subject = Subject()
    subject.fail(ThrottlingException("slow", retry_after=20), times=10)
    assert subject.standing() is Standing.FULL
    assert subject.standing(OTHER) is Standing.WELL
    subject.clock.on(19.9)
    assert subject.standing() is Standing.FULL
    subject.clock.on(0.2)
    assert subject.standing() is Standing.WELL


def test_503_that_says_when_is_full_and_503_that_does_not_is_a_failure():
    subject = Subject()
    subject.fail(ServiceUnavailableException(retry_after=9), times=3)
    assert subject.standing() is Standing.FULL
    other = Subject()
    other.fail(ServiceUnavailableException(), times=3)
    assert other.standing() is Standing.OUT


@pytest.mark.parametrize("fault", [ThrottlingException("slow"), ModelNotReadyException("loading")])
def test_429_that_does_not_say_when_is_full_for_longer_each_time(fault):
    subject = Subject()
    seconds = []
    for _ in range(8):
        subject.fail(fault)
        seconds.append(subject.health.barred(subject.clock.now)[SONNET])
    assert seconds == [1, 2, 4, 8, 16, 32, 32, 32]
    subject.succeed()
    assert subject.standing() is Standing.WELL
    subject.fail(fault)
    assert subject.health.barred(subject.clock.now) == {SONNET: 1}


def test_a_limit_of_a_day_is_tried_again_every_hour():
    subject = Subject()
    subject.fail(ThrottlingException("tokens per day", retry_after=86_000))
    assert subject.health.barred(subject.clock.now) == {SONNET: 3600}


def test_429_to_a_trial_says_that_it_lives():
    subject = Subject()
    subject.fail(times=3)
    subject.clock.on(6)
    subject.fail(ThrottlingException("slow", retry_after=3))
    assert subject.standing() is Standing.FULL
    assert subject.standing(OTHER) is Standing.WELL


def test_a_model_it_does_not_have_is_asked_of_others_for_a_minute():
    subject = Subject()
    subject.fail(ResourceNotFoundException("Model not found."), times=5)
    assert subject.standing() is Standing.OUT
    assert subject.standing(OTHER) is Standing.WELL
    subject.clock.on(61)
    assert subject.standing() is Standing.WELL


def test_it_is_full_when_as_much_runs_as_it_takes():
    subject = Subject(concurrent=2)
    first, second = subject.begin(), subject.begin()
    assert subject.standing() is Standing.FULL
    first.abandoned(0)
    second.failed(DOWN, subject.clock.now)
    assert subject.health.in_flight == 0
    assert subject.standing() is Standing.WELL


def test_requests_of_the_last_minute_are_what_is_used():
    subject = Subject(requests_per_minute=3)
    for _ in range(3):
        assert subject.standing() is Standing.WELL
        subject.succeed()
        subject.clock.on(10)
    assert subject.standing() is Standing.FULL
    assert subject.health.left(subject.clock.now) == (0, None)
    subject.clock.on(31)
    assert subject.health.left(subject.clock.now) == (1, None)
    subject.clock.on(60)
    assert subject.health.left(subject.clock.now) == (3, None)


def test_tokens_are_promised_while_an_answer_runs_and_spent_when_it_is_known():
    subject = Subject(tokens_per_minute=1000)
    attempt = subject.begin(promised=900)
    assert subject.health.left(subject.clock.now) == (None, 100)
    attempt.spent(150, subject.clock.now)
    attempt.succeeded()
    assert subject.health.left(subject.clock.now) == (None, 850)
    subject.clock.on(61)
    assert subject.health.left(subject.clock.now) == (None, 1000)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100)), max_size=60))
@settings(max_examples=100)
def test_a_minute_is_what_lies_within_sixty_seconds(uses):
    minute, now, log = Minute(10_000, 10_000), 0, []
    for seconds, tokens in uses:
        now += seconds
        minute.use(1, tokens, now)
        log.append((now, tokens))
        recent = [spent for at, spent in log if at > now - 60]
        assert minute.left(0, now) == (10_000 - len(recent), 10_000 - sum(recent))


def test_cost_grows_with_latency_with_load_and_as_room_shrinks():
    quick, slow, busy = Subject(concurrent=10), Subject(concurrent=10), Subject(concurrent=10)
    quick.succeed(seconds=0.2)
    slow.succeed(seconds=2)
    busy.succeed(seconds=0.2)
    for _ in range(3):
        busy.begin()
    costs = [subject.health.cost(True, subject.clock.now) for subject in (quick, slow, busy)]
    assert costs[0] == pytest.approx(0.2)
    assert costs[1] == pytest.approx(2)
    assert costs[2] == pytest.approx(0.2 * 4 / 0.7)


def test_latency_is_a_moving_average_that_fades_and_starts_unknown():
    subject = Subject()
    assert subject.health.latency(True, subject.clock.now) == 0
    subject.succeed(seconds=1)
    subject.succeed(seconds=2)
    assert subject.health.latency(True, subject.clock.now) == pytest.approx(1.3)
    subject.clock.on(60)
    assert subject.health.latency(True, subject.clock.now) < 0.2
    assert subject.health.latency(False, subject.clock.now) == 0


def test_who_left_before_the_first_event_has_felt_at_least_that_long():
    subject = Subject()
    subject.succeed(seconds=1)
    attempt = subject.begin()
    subject.clock.on(10)
    attempt.abandoned(subject.clock.now)
    assert subject.health.latency(True, subject.clock.now) == pytest.approx(1 + 0.3 * 9)
    assert subject.standing() is Standing.WELL
    patient = subject.begin()
    patient.answers(subject.clock.now)
    felt = subject.health.latency(True, subject.clock.now)
    subject.clock.on(100)
    patient.abandoned(subject.clock.now)  # a long stream that was closed: no latency
    assert subject.health.latency(True, subject.clock.now) < felt


def test_only_the_first_ending_of_a_call_counts():
    subject = Subject()
    attempt = subject.begin()
    attempt.succeeded()
    attempt.failed(ModelErrorException("x"), subject.clock.now)
    attempt.abandoned(subject.clock.now)
    assert subject.health.in_flight == 0
    assert subject.health.last == ""


@given(st.integers(0, 2**32), st.integers(10, 300))
@settings(max_examples=100)
def test_whatever_happens_nothing_stays_in_flight_and_it_always_comes_back(seed, steps):
    chance = random.Random(seed)
    subject = Subject(concurrent=3, tokens_per_minute=10_000)
    open_attempts = []
    faults = [DOWN, ThrottlingException("x", retry_after=3), ResourceNotFoundException("x")]
    for _ in range(steps):
        subject.clock.on(chance.choice([0, 0, 1, 20]))
        if chance.random() < 0.5 or not open_attempts:
            open_attempts.append(subject.begin(promised=chance.randrange(100)))
            continue
        attempt = open_attempts.pop(chance.randrange(len(open_attempts)))
        ending = chance.randrange(4)
        if ending == 0:
            attempt.answers(subject.clock.now)
            attempt.succeeded()
        elif ending == 1:
            attempt.abandoned(subject.clock.now)
        else:
            attempt.failed(chance.choice(faults), subject.clock.now)
    for attempt in open_attempts:
        attempt.abandoned(subject.clock.now)
    assert subject.health.in_flight == subject.health.promised == 0
    subject.clock.on(400)
    assert subject.standing() in (Standing.WELL, Standing.DUE)
    subject.succeed()
    assert subject.standing() is Standing.WELL
