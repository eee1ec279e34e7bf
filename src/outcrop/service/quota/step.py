"""The asking step that holds calls to their quotas, and the words in which it refuses them.

Tokens are reserved before the call is asked on, and settled when its answer ends, however it ends. Knows no
HTTP and no file: counters and clock are handed in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import ceil
from typing import Final, NamedTuple

import msgspec

from outcrop.catalog import Model, quotas
from outcrop.catalog.prices import Tokens
from outcrop.engine import Question
from outcrop.errors import Fault, OutcropError, ThrottlingException
from outcrop.service import metering
from outcrop.service.call import Ask, Call, Outcome
from outcrop.service.quota import arithmetic, estimate
from outcrop.service.quota.limits import Bucket, Origin, Resolved, table
from outcrop.store import Snapshot
from outcrop.store.counters import Amounts, Counters, LimitName, Refusal, Reservation

log = logging.getLogger("outcrop.service")

# AWS's texts: A for the first two, recorded by many; C for the last, which a quota of zero gives too.
TEXTS: Final[dict[LimitName, str]] = {
    "requests": "Too many requests, please wait before trying again.",
    "tokens_minute": "Too many tokens, please wait before trying again.",
    "tokens_day": "Too many tokens per day, please wait before trying again.",
}
WORDS: Final[dict[LimitName, str]] = {
    "requests": "requests per minute",
    "tokens_minute": "tokens per minute",
    "tokens_day": "tokens per day",
}


class Left(NamedTuple):
    """One quota of a bucket: `limit` and `left` are None where there is no limit.

    `origin` is where the limit comes from: the catalogue's `default`, `set` by somebody, or `none`.
    """

    quota: str
    limit: int | None
    origin: Origin
    used: int
    left: int | None


class Quotas:
    """Bedrock's quotas. `clock` is the wall clock's, in seconds. Disabled, nothing is counted or refused."""

    def __init__(self, counters: Counters, *, enabled: bool, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._enabled = enabled
        self._clock = clock

    async def reserve(self, call: Call, question: Question, ask: Ask) -> Outcome:
        """Take a request and its tokens from their quotas, ask on, and settle by the real usage at the end.

        Raises ThrottlingException with AWS's text and an explanation. A call that fails before it is answered
        gets its tokens back; the request stays counted. An answer of which nobody tells the input is charged
        the estimate of it.
        """
        if not self._enabled or call.target is None:
            return await ask(call, question)
        model, asked = question.model, estimate.input_tokens(question.body)
        bucket = _bucket(call, question, asked)
        found = table(call.state).resolve(bucket)
        held = self._hold(found, bucket, asked, int(question.body["max_tokens"]))
        try:
            outcome = await ask(call, question)
        except BaseException:  # a cancelled call, too, gives back what it did not use
            self._give_back(held)
            raise

        def settle(tokens: Tokens | None, fault: Fault | None, cut: bool) -> None:
            if tokens is None:
                used = 0 if fault is not None or cut else asked
            else:
                used = arithmetic.charge(tokens, quotas.burndown(model.id))
                # there are servers that tell the output only, or nothing before the end of a stream
                used += 0 if _tells_input(tokens) else asked
            self._counters.settle(held, used, self._clock())

        return msgspec.structs.replace(outcome, answer=metering.watch(outcome.answer, settle))

    def left(
        self, state: Snapshot, account: str, model: Model, region: str, kind: str, now: float
    ) -> tuple[Left, ...]:
        """What a bucket has left at `now`: requests a minute, tokens a minute, tokens a day.

        `kind` is `in-region`, `cross-region` or `global`, or one of these with `-1m` behind it.
        """
        found = table(state).resolve(Bucket(account, model.id, region, kind))
        used = self._counters.used(found.key, now)
        rows = zip(quotas.NAMES, found.limits, found.origins, used, strict=True)
        return tuple(
            Left(quota, limit, origin, taken, None if limit is None else max(limit - taken, 0))
            for quota, limit, origin, taken in rows
        )

    def _give_back(self, held: Reservation) -> None:
        try:
            self._counters.settle(held, 0, self._clock())
        except OutcropError as error:  # why the call failed matters more, above all that it was cancelled
            log.warning("tokens could not be given back: %s", error.what)

    def _hold(self, found: Resolved, bucket: Bucket, asked: int, max_tokens: int) -> Reservation:
        amounts = Amounts(1, arithmetic.reserve(asked, 0, max_tokens))
        now = self._clock()
        held = self._counters.reserve(found.key, found.limits, amounts, now)
        if isinstance(held, Reservation):
            return held
        explanation = explain(held, bucket, asked, max_tokens)
        self._counters.write_note(found.key, explanation, now)
        text = TEXTS["tokens_day" if held.ceiling == 0 else held.limit]
        raise ThrottlingException(text, retry_after=held.fits, explanation=explanation)


def _tells_input(tokens: Tokens) -> bool:
    return bool(tokens.input or tokens.cache_read or tokens.cache_write_5m or tokens.cache_write_1h)


def _bucket(call: Call, question: Question, asked: int) -> Bucket:
    model, target = question.model, call.target
    kind = "in-region" if target is None else target.kind
    kind = quotas.kind_of(model, kind, question.betas, asked)
    return Bucket(call.principal.account, model.id, call.region, kind)


def explain(refusal: Refusal, bucket: Bucket, asked: int, max_tokens: int) -> str:
    """A refusal on one line: which quota, what it has left, what was asked of it, and what would help."""
    what = f"{refusal.asked}"
    if refusal.limit != "requests":
        what += f" ({asked} of input, estimated, + max_tokens {max_tokens})"
    facts = (
        f"{WORDS[refusal.limit]}; account {bucket.account}; model {bucket.model}; region {bucket.region}; "
        f"kind {bucket.kind}; limit {refusal.ceiling}; left {refusal.left}; asked {what}"
    )
    return f"{facts}; {_advice(refusal, asked)}"


def _advice(refusal: Refusal, asked: int) -> str:
    if refusal.fits is None:
        return "never fits: the limit itself is smaller" if refusal.ceiling else "never fits: the limit is 0"
    now = ""
    if refusal.limit != "requests" and refusal.left > asked:
        now = f", now with max_tokens up to {refusal.left - asked}"
    return f"fits in {ceil(refusal.fits)} s{now}"
