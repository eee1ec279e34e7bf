"""Asks a call's candidates in turn until one answers, and keeps their health.

A stream is handed out once its first events are here: until then another candidate can still be asked, and
afterwards none is. Knows no policy: where a call may run is in `call.regions`, and nothing outside of it, nor
anything at all when it is empty, is contacted.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from outcrop.engine import Answer, Event, Events, Question, Stream
from outcrop.engine.upstream import UNEXPECTED
from outcrop.errors import (
    Fault,
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
from outcrop.service import fault_log
from outcrop.service.call import Call, Counted, Outcome
from outcrop.service.routing.choosing import able, ordered
from outcrop.service.routing.health import DESTINATIONS_OWN, Attempt, Health, Standing
from outcrop.service.routing.places import Destination, Fleet, Place
from outcrop.store.calls import Contact
from outcrop.wire import messages_reply

# When all fail, the caller gets the one that tells most of what to do: come back later, and when; try again;
# then what an operator has to mend. The names that the AWS SDKs retry by themselves come first.
_TELLING: Final[tuple[type[Fault], ...]] = (
    ThrottlingException,
    ModelNotReadyException,
    ServiceUnavailableException,
    ModelTimeoutException,
    ModelErrorException,
    InternalServerException,
    ResourceNotFoundException,
    ValidationException,
)

State: TypeAlias = Literal["well", "full", "out", "due"]


class PlaceState(msgspec.Struct, frozen=True):
    """How a place stands now, for people.

    `regions` and `models` None are all. `seconds` is how long it stays out; `passed_over` are the models that
    it has no room for, or has not, with the seconds until it is asked again; `first_event` is in seconds, 0
    while unknown; what is left this minute is None without a limit; `last` is its last failure.
    """

    name: str
    engine: str
    regions: tuple[str, ...] | None
    models: tuple[str, ...] | None
    state: State
    seconds: float
    passed_over: dict[str, float]
    in_flight: int
    first_event: float
    requests_left: int | None
    tokens_left: int | None
    last: str


class Dispatcher:
    """`monotonic` gives seconds, `randomness` numbers from 0 up to 1."""

    def __init__(
        self, fleet: Fleet, *, monotonic: Callable[[], float], randomness: Callable[[], float]
    ) -> None:
        self._fleet = fleet
        self._monotonic = monotonic
        self._randomness = randomness
        self._health = {place.name: Health(place, randomness, _Told(place.name)) for place in fleet.places}

    async def answer(self, call: Call, question: Question) -> Outcome:
        """The first answer that a candidate gives.

        Raises what the request has earned (ValidationException, …) at once and, when every candidate failed
        by itself, the fault that tells most, with all of them in its `reason`.
        """
        left = self._candidates(call, question)
        failed: list[tuple[Destination, Fault]] = []
        while left:
            chosen, left = self._choice(left, question)
            place = chosen.place
            call.contacted.append(Contact(place.name, chosen.region, place.simulated))
            try:
                answer = await self._asked(chosen, call, question, others=bool(left))
            except DESTINATIONS_OWN as fault:
                failed.append((chosen, fault))
            else:
                return Outcome(answer, chosen.region, place.engine.name, place.simulated)
        raise _most_telling(failed)

    async def count(self, call: Call, question: Question) -> Counted:
        """How many input tokens a question has. Raises as `answer` does.

        An engine without a way to count says so by a ValidationException, so that one is no last word here.
        """
        left = self._candidates(call, question)
        failed: list[tuple[Destination, Fault]] = []
        while left:
            chosen, left = self._choice(left, question)
            place = chosen.place
            call.contacted.append(Contact(place.name, chosen.region, place.simulated))
            try:
                tokens = await place.engine.count(question)
            except (*DESTINATIONS_OWN, ValidationException) as fault:
                failed.append((chosen, fault))
                # that one is full, or can't count, is seen by every count: nothing worth a line
                if left and not isinstance(fault, ThrottlingException | ValidationException):
                    _say_failed(chosen, fault, call)
            else:
                return Counted(tokens, chosen.region, place.engine.name, place.simulated)
        raise _most_telling(failed)

    def states(self) -> tuple[PlaceState, ...]:
        """Every place, in the order of the configuration."""
        now = self._monotonic()
        return tuple(_state(place, self._health[place.name], now) for place in self._fleet.places)

    def _candidates(self, call: Call, question: Question) -> Sequence[Destination]:
        """Raises ServiceUnavailableException where nobody serves the model, with what would."""
        model = question.model.id
        found = self._fleet.candidates(model, call.regions, call.region)
        if not found:
            raise _nobody(model, call.regions)
        return found if len(found) == 1 else able(found, question)

    def _choice(
        self, left: Sequence[Destination], question: Question
    ) -> tuple[Destination, Sequence[Destination]]:
        """The next to be asked and the others, as they stand now."""
        if len(left) == 1:
            return left[0], ()
        chosen, *others = ordered(left, self._health, question, self._monotonic(), self._randomness)
        return chosen, others

    async def _asked(self, chosen: Destination, call: Call, question: Question, *, others: bool) -> Answer:
        """One destination's answer; of a stream, the first events are here.

        `others` is whether another is asked where it fails.
        """
        health = self._health[chosen.place.name]
        attempt = health.begin(
            question.model.id, question.stream, question.body.get("max_tokens", 0), self._monotonic()
        )
        try:
            answer = await chosen.place.engine.answer(question)
            if isinstance(answer, Stream):
                return await self._followed(answer.events, attempt, counts=health.counts_tokens)
            now = self._monotonic()
            attempt.answers(now)
            if health.counts_tokens:
                attempt.spent(_tokens(messages_reply.read_whole(answer.body).usage), now)
            attempt.succeeded()
        except BaseException as error:  # it is over, whatever ended it, and it is raised again
            _end(attempt, error, self._monotonic())
            if others and attempt.news and isinstance(error, DESTINATIONS_OWN):
                _say_failed(chosen, error, call)
            if isinstance(error, ModelStreamErrorException):  # no stream has begun
                raise _as_whole(error) from error
            raise
        return answer

    async def _followed(self, events: Events, attempt: Attempt, *, counts: bool) -> Stream:
        iterator = events.__aiter__()
        try:
            first = await iterator.__anext__()
        except StopAsyncIteration:
            raise ModelErrorException(UNEXPECTED, reason="the stream had no event") from None
        except BaseException:  # what was begun is stopped, whatever ended it, and it is raised again
            await events.aclose()
            raise
        attempt.answers(self._monotonic())
        tally = messages_reply.Tally() if counts else None
        return Stream(_Following(events, iterator, first, attempt, self._monotonic, tally))


class _Told:
    """What a place's health tells: it goes to the log, so that an operator sees who is missing."""

    def __init__(self, name: str) -> None:
        self._name = name

    def out(self, seconds: float, last: str) -> None:
        """It is left out for that long, after that failure."""
        fault_log.say(f"engine {self._name} is left out for {seconds:.0f} s", last)

    def back(self) -> None:
        """It answers again."""
        fault_log.say(f"engine {self._name} is back")


def _say_failed(failed: Destination, fault: Fault, call: Call) -> None:
    where = f"engine {failed.place.name} in {failed.region}"
    fault_log.warn(f"{where} has failed, and another is asked", fault, call.request_id)


def _end(attempt: Attempt, error: BaseException, now: float) -> None:
    """Tell the place's health that this ended an attempt."""
    if isinstance(error, DESTINATIONS_OWN):
        attempt.failed(error, now)
    elif isinstance(error, Exception) and not isinstance(error, Fault):
        attempt.failed(InternalServerException(reason=repr(error)), now)  # a bug of that engine's
    else:
        attempt.abandoned(now)


class _Following:
    """A stream's events as they come, from the first one on; tells the place's health how it ends.

    With a tally it counts the tokens that go by. A class and not a generator, because a generator that was
    never started can't clean up when it is closed.
    """

    __slots__ = ("_attempt", "_events", "_first", "_iterator", "_monotonic", "_tally")

    def __init__(
        self,
        events: Events,
        iterator: AsyncIterator[Sequence[Event]],
        first: Sequence[Event],
        attempt: Attempt,
        monotonic: Callable[[], float],
        tally: messages_reply.Tally | None,
    ) -> None:
        self._events = events
        self._iterator = iterator
        self._first: Sequence[Event] | None = first
        self._attempt = attempt
        self._monotonic = monotonic
        self._tally = tally

    def __aiter__(self) -> _Following:
        return self

    async def __anext__(self) -> Sequence[Event]:
        """The next batch. Raises Fault where the answer breaks off."""
        first = self._first
        try:
            if first is None:
                batch = await self._iterator.__anext__()
            else:
                batch, self._first = first, None
            if self._tally is not None:
                for kind, data in batch:
                    self._tally.feed(kind, data)
        except StopAsyncIteration:
            self._spend()
            self._attempt.succeeded()
            raise
        except BaseException as error:  # it is over, whatever ended it, and it is raised again
            self._spend()
            _end(self._attempt, error, self._monotonic())
            raise
        return batch

    async def aclose(self) -> None:
        """Stop the generation, if it is still running. Idempotent."""
        self._let_go()
        await self._events.aclose()

    def __del__(self) -> None:
        # a reader that was cancelled before it began, and forgot us
        self._let_go()

    def _let_go(self) -> None:
        self._spend()
        self._attempt.abandoned(self._monotonic())

    def _spend(self) -> None:
        """What was generated is spent, whoever read it; once."""
        tally, self._tally = self._tally, None
        if tally is not None:
            self._attempt.spent(_tokens(tally.usage), self._monotonic())


def _tokens(usage: messages_reply.Usage) -> int:
    """What the Claude API counts against its limits a minute: what the cache reads is free."""
    return usage.input_tokens + usage.cache_creation_input_tokens + usage.output_tokens


def _as_whole(fault: ModelStreamErrorException) -> ModelErrorException:
    """The name that the same failure has where no stream has begun."""
    return ModelErrorException(fault.text, original_status=fault.original_status, reason=fault.reason)


def _most_telling(failed: Sequence[tuple[Destination, Fault]]) -> Fault:
    """One fault for all: the first of `_TELLING`, and of several such the one that comes back soonest.

    A single candidate's is given as it is.
    """
    if len(failed) == 1:
        return failed[0][1]
    told = min((fault for _, fault in failed), key=_how_telling)
    # a copy: it is given another reason, and the engine's own may be raised again
    chosen = copy.copy(told)
    chosen.reason = "; ".join(
        f"{one.place.name} in {one.region}: {fault.name}: {fault.reason or fault.text}"
        for one, fault in failed
    )
    chosen.__cause__ = told
    return chosen


def _how_telling(fault: Fault) -> tuple[int, float]:
    rank = next(place for place, kind in enumerate(_TELLING) if isinstance(fault, kind))
    wait = fault.retry_after if isinstance(fault, ThrottlingException | ServiceUnavailableException) else None
    return rank, float("inf") if wait is None else wait


def _nobody(model: str, regions: tuple[str, ...]) -> Fault:
    where = ", ".join(regions) or "no region at all"
    return ServiceUnavailableException(
        f"No engine of this endpoint serves {model} in {where}.",
        reason=f"no engine serves {model} in {where}: give one of [engines] that region and model",
    )


_NAMES: Final[dict[Standing, State]] = {
    Standing.WELL: "well",
    Standing.FULL: "full",
    Standing.OUT: "out",
    Standing.DUE: "due",
}


def _state(place: Place, health: Health, now: float) -> PlaceState:
    requests, tokens = health.left(now)
    return PlaceState(
        name=place.name,
        engine=place.engine.name,
        regions=None if place.regions is None else tuple(sorted(place.regions)),
        models=None if place.models is None else tuple(sorted(place.models)),
        state=_NAMES[health.standing("", now)],
        seconds=health.out_for(now),
        passed_over=health.barred(now),
        in_flight=health.in_flight,
        first_event=health.latency(True, now),
        requests_left=requests,
        tokens_left=tokens,
        last=health.last,
    )
