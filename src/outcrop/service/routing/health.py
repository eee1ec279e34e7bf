"""How one place fares: sick or well, full or free, how fast. It is told what happens and asks nobody.

Sick: several failures in a row, or half of the last calls. A sick place is put out for a time that doubles
from one time to the next; then it is due for one trial at a time, and a trial that succeeds brings it back.
That is Envoy's outlier detection with a circuit breaker's half-open state in place of its plain return.

Full is not sick: a place that says 429, or when it will have room, is passed over for that model until then.

`now` is in seconds of a monotonic clock; `randomness` gives numbers from 0 up to 1.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

from outcrop.errors import (
    Fault,
    InternalServerException,
    ModelErrorException,
    ModelNotReadyException,
    ModelTimeoutException,
    ResourceNotFoundException,
    ServiceUnavailableException,
    ThrottlingException,
)
from outcrop.service.routing.places import Place

# A destination is to blame for these, and another may do better: no capacity, no answer, no sense in it, or
# a misconfiguration. A model that is not found is one too: the catalogue has it, that engine has not.
# Everything else the request itself earned, and would earn anywhere.
DESTINATIONS_OWN: Final = (
    ThrottlingException,
    ModelNotReadyException,
    ServiceUnavailableException,
    InternalServerException,
    ModelTimeoutException,
    ModelErrorException,
    ResourceNotFoundException,
)

# Envoy waits for 5 in a row and 30 s. Here answers are few and long, so fewer must do; and the first absence
# may be short, since the next one doubles.
_IN_A_ROW: Final = 3
_WINDOW: Final = 20
_ENOUGH: Final = 10
_MASK: Final = (1 << _WINDOW) - 1
_SHORTEST_OUT: Final = 5.0
_LONGEST_OUT: Final = 300.0
_DOUBLINGS: Final = 10
# Well for this long, a place that falls sick begins at the shortest time again.
_CALM: Final = 300.0

_SHORTEST_FULL: Final = 1.0
_LONGEST_FULL: Final = 32.0
_BELIEVED: Final = 3600.0  # a limit of a day is asked again every hour
_ABSENT: Final = 60.0  # until a place is asked again for a model it did not have

# Differences below this are noise beside a model's own; it is also what an unknown place is credited with.
_FASTEST: Final = 0.05
_WEIGHT: Final = 0.3
_FORGET: Final = 30.0  # a slow place is asked again once its slowness has faded


class Standing(IntEnum):
    """How a place stands for a call; the smaller, the sooner it is asked."""

    DUE = 0  # its time out is over, and nobody is trying it
    WELL = 1
    FULL = 2
    OUT = 3


class Listener(Protocol):
    """Who hears how a place's standing changes."""

    def out(self, seconds: float, last: str) -> None:
        """It is left out for that long, after that failure."""

    def back(self) -> None:
        """It is asked again like any other."""


class Minute:
    """What was used in the last 60 seconds, to the second, of limits of requests and of tokens (0: none)."""

    def __init__(self, requests: int, tokens: int) -> None:
        self._limits = (requests, tokens)
        self._used = [0, 0]
        self._seconds: deque[list[int]] = deque()

    def use(self, requests: int, tokens: int, now: float) -> None:
        """Note requests begun or tokens spent."""
        second = int(now)
        self._forget(second)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
        self._seconds[-1][1] += requests
        self._seconds[-1][2] += tokens
        self._used[0] += requests
        self._used[1] += tokens

    def left(self, promised: int, now: float) -> tuple[int | None, int | None]:
        """Requests and tokens left, None without a limit. `promised` tokens running answers may yet take."""
        self._forget(int(now))
        requests, tokens = self._limits
        return (
            requests - self._used[0] if requests else None,
            tokens - self._used[1] - promised if tokens else None,
        )

    def share(self, promised: int, now: float) -> float:
        """The smaller share of the two that is left, from 1 down to 0 and below."""
        shares = zip(self.left(promised, now), self._limits, strict=True)
        return min((left / limit for left, limit in shares if left is not None), default=1.0)

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - 60:
            _, requests, tokens = self._seconds.popleft()
            self._used[0] -= requests
            self._used[1] -= tokens


class Health:
    """One place's. Every call of it is an `Attempt`, which tells it what came of it."""

    def __init__(
        self, place: Place, randomness: Callable[[], float], listener: Listener | None = None
    ) -> None:
        self.in_flight = 0
        self.promised = 0
        self.last = ""
        self.counts_tokens = place.tokens_per_minute > 0
        self._randomness = randomness
        self._listener = listener
        self._concurrent = place.concurrent
        limited = place.requests_per_minute or place.tokens_per_minute
        self._minute = Minute(place.requests_per_minute, place.tokens_per_minute) if limited else None
        # of whole answers and of streams: when the one ends says nothing of when the other begins
        self._latency = [0.0, 0.0]
        self._felt_at = [0.0, 0.0]
        self._barred: dict[str, tuple[float, Standing]] = {}
        self._throttles = 0
        self._in_a_row = 0
        self._recent = 0  # a bit for each of the last outcomes, 1 for a failure
        self._seen = 0
        self._out = False
        self._out_since = self._out_until = 0.0
        self._times_out = 0
        self._back_since = 0.0
        self._on_trial = False

    # --- what a choice asks ---

    def standing(self, model: str, now: float) -> Standing:
        """How it stands for a call of a model."""
        if self._out:
            return Standing.OUT if self._on_trial or now < self._out_until else Standing.DUE
        if self._barred:
            until, standing = self._barred.get(model, (0.0, Standing.WELL))
            if now < until:
                return standing
        return Standing.WELL if self.room(now) > 0 else Standing.FULL

    def room(self, now: float) -> float:
        """The share that is left of what it can take, from 1 down to 0 and below; 1 when that is unknown."""
        share = 1.0 if self._minute is None else self._minute.share(self.promised, now)
        return min(share, 1 - self.in_flight / self._concurrent) if self._concurrent else share

    def latency(self, stream: bool, now: float) -> float:
        """Seconds to the first event of a stream, or to a whole answer; 0 while unknown. Fades with time."""
        return self._latency[stream] * math.exp((self._felt_at[stream] - now) / _FORGET)

    def cost(self, stream: bool, now: float) -> float:
        """What one more call would cost: latency times running calls, by the room left.

        Peak EWMA's measure (Finagle, tower, Envoy), with the room as our addition.
        """
        return max(_FASTEST, self.latency(stream, now)) * (self.in_flight + 1) / max(self.room(now), 0.01)

    def left(self, now: float) -> tuple[int | None, int | None]:
        """Requests and tokens left this minute; None where there is no limit."""
        return (None, None) if self._minute is None else self._minute.left(self.promised, now)

    def out_for(self, now: float) -> float:
        """Seconds until it is due; 0 when it is not out."""
        return max(0.0, self._out_until - now) if self._out else 0.0

    def barred(self, now: float) -> dict[str, float]:
        """The models it is passed over for, full or without them, with the seconds left."""
        return {model: until - now for model, (until, _) in self._barred.items() if until > now}

    # --- what happens ---

    def begin(self, model: str, stream: bool, promised: int, now: float) -> Attempt:
        """A call is put to it. `promised` is its max_tokens."""
        self.in_flight += 1
        trial = False
        if self._out and not self._on_trial and now >= self._out_until:
            trial = self._on_trial = True
        if self._minute is not None:
            self.promised += promised
            self._minute.use(1, 0, now)
        return Attempt(self, model, stream, promised, trial, now)

    def ended(self, attempt: Attempt) -> None:
        """A call is over, however it went."""
        self.in_flight -= 1
        if self._minute is not None:
            self.promised -= attempt.promised
        if attempt.trial:
            self._on_trial = False

    def felt(self, stream: bool, seconds: float, now: float) -> None:
        """How long the first event, or a whole answer, took."""
        known = self._latency[stream]
        self._latency[stream] = known + _WEIGHT * (seconds - known) if known else seconds
        self._felt_at[stream] = now

    def spent(self, tokens: int, now: float) -> None:
        """How many tokens an answer took."""
        if self._minute is not None:
            self._minute.use(0, tokens, now)

    def answered(self, attempt: Attempt, now: float) -> None:
        """It answers, and has room."""
        if self._out:
            self._lives(attempt, now)
        if self._barred:
            self._barred.pop(attempt.model, None)
        self._throttles = 0

    def _lives(self, attempt: Attempt, now: float) -> None:
        """Whoever was out is back, unless the call that tells it began before that."""
        if self._out and attempt.began >= self._out_since:
            self._out = False
            self._back_since = now
            self._in_a_row = self._recent = self._seen = 0
            if self._listener is not None:
                self._listener.back()

    def succeeded(self) -> None:
        """An answer came to its end."""
        self._in_a_row = 0
        self._note(0)

    def refused(self, attempt: Attempt, fault: Fault, now: float) -> None:
        """It failed with something of `DESTINATIONS_OWN`, or with a bug."""
        self.last = f"{fault.name}: {fault.reason or fault.text}"
        if isinstance(fault, ResourceNotFoundException):
            attempt.news = attempt.model not in self._barred
            self._barred[attempt.model] = (now + _ABSENT, Standing.OUT)
        elif (wait := self._wait(fault)) is not None:
            self._lives(attempt, now)  # or it could not say so
            attempt.news = attempt.model not in self._barred  # what it has answered since is in it no more
            self._barred[attempt.model] = (now + min(wait, _BELIEVED), Standing.FULL)
        else:
            self._failed(attempt, now)

    def _wait(self, fault: Fault) -> float | None:
        """How long to leave it alone when the fault says that it is full; None when it does not."""
        told = None
        if isinstance(fault, ThrottlingException | ServiceUnavailableException):
            told = fault.retry_after
        if told is not None or isinstance(fault, ServiceUnavailableException):
            return told
        if not isinstance(fault, ThrottlingException | ModelNotReadyException):
            return None
        wait = min(_LONGEST_FULL, _SHORTEST_FULL * 2.0 ** min(self._throttles, _DOUBLINGS))
        self._throttles += 1
        return self._jittered(wait)

    def _failed(self, attempt: Attempt, now: float) -> None:
        self._in_a_row += 1
        self._note(1)
        if self._out:
            # only a trial prolongs it; whatever else was running tells nothing new
            if attempt.trial:
                self._put_out(now)
        elif self._in_a_row >= _IN_A_ROW or (
            self._seen >= _ENOUGH and self._recent.bit_count() * 2 >= self._seen
        ):
            if now - self._back_since > _CALM:
                self._times_out = 0
            self._put_out(now)

    def _note(self, failed: int) -> None:
        self._recent = (self._recent << 1 | failed) & _MASK
        if self._seen < _WINDOW:
            self._seen += 1

    def _put_out(self, now: float) -> None:
        seconds = min(_LONGEST_OUT, _SHORTEST_OUT * 2.0 ** min(self._times_out, _DOUBLINGS))
        self._times_out += 1
        self._out = True
        self._out_since, self._out_until = now, now + self._jittered(seconds)
        if self._listener is not None:
            self._listener.out(self._out_until - now, self.last)

    def _jittered(self, seconds: float) -> float:
        """Up to a fifth longer, so that many endpoints do not come back to one place at once."""
        return seconds * (1 + self._randomness() / 5)


class Attempt:
    """One call of one place. Exactly one of `succeeded`, `failed`, `abandoned` counts: the first.

    `news` is whether its failure was not to be expected: not of one that is full, and was before.
    """

    __slots__ = ("_felt", "_health", "_open", "began", "model", "news", "promised", "stream", "trial")

    def __init__(
        self, health: Health, model: str, stream: bool, promised: int, trial: bool, began: float
    ) -> None:
        self._health = health
        self.model = model
        self.stream = stream
        self.promised = promised
        self.trial = trial
        self.began = began
        self.news = True
        self._open = True
        self._felt = False

    def answers(self, now: float) -> None:
        """The first event, or the whole answer, is here."""
        self._felt = True
        self._health.felt(self.stream, now - self.began, now)
        self._health.answered(self, now)

    def spent(self, tokens: int, now: float) -> None:
        """How many tokens were spent, once it is known."""
        self._health.spent(tokens, now)

    def succeeded(self) -> None:
        """It ended as it should."""
        if self._end():
            self._health.succeeded()

    def failed(self, fault: Fault, now: float) -> None:
        """It failed, by the destination's fault."""
        if self._end():
            self._health.refused(self, fault, now)

    def abandoned(self, now: float) -> None:
        """Nobody waits for it any more, or the request was at fault: that is no failure of the place.

        A caller who left before the first event has felt that it takes at least as long.
        """
        if self._end() and not self._felt and now - self.began > self._health.latency(self.stream, now):
            self._health.felt(self.stream, now - self.began, now)

    def _end(self) -> bool:
        was, self._open = self._open, False
        if was:
            self._health.ended(self)
        return was
