"""Counts the tokens of an answer as it goes by, and tells when it is over, once for all who want to know.

Of a stream only its first and last events are decoded; batches of deltas pass untouched. Who watches what is
watched already joins: nothing is decoded twice. Knows neither quotas nor logs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, TypeAlias

from outcrop.catalog.prices import Tokens
from outcrop.engine import Answer, Event, Events, Stream, Whole
from outcrop.errors import Fault, InternalServerException
from outcrop.wire import messages_reply
from outcrop.wire.messages_reply import Usage

log = logging.getLogger("outcrop.service")

OnEnd: TypeAlias = Callable[[Tokens | None, Fault | None, bool], None]

_DELTA: Final = "content_block_delta"


def watch(answer: Answer, on_end: OnEnd) -> Answer:
    """The same answer, to be used in its place: `on_end` is called once, when it is over.

    It gets the tokens (None where the answer told none), the fault with which it broke off, and whether it
    ended early: broken, closed or cancelled. Of a stream that ends early the tokens are those told until
    then, with one of output for each delta at least. A whole answer is over at once.
    """
    if isinstance(answer, Whole):
        counted = answer if isinstance(answer, _CountedWhole) else _counted(answer)
        _tell(on_end, counted.tokens, None, False)
        return counted
    if isinstance(answer.events, _Watched):
        answer.events.join(on_end)
        return answer
    return Stream(_Watched(answer.events, on_end))


def tokens_of(usage: Usage) -> Tokens:
    """What was told of an answer, by what it costs. Cache writes that are not split are of five minutes."""
    hour = usage.cache_creation.ephemeral_1h_input_tokens
    written = max(usage.cache_creation_input_tokens - hour, 0)
    return Tokens(usage.input_tokens, usage.output_tokens, written, hour, usage.cache_read_input_tokens)


def usage_of(answer: Whole) -> Usage:
    """What a whole answer tells of its usage. Raises ModelErrorException where it can't be read."""
    if isinstance(answer, _CountedWhole) and answer.usage is not None:
        return answer.usage
    return messages_reply.read_whole(answer.body).usage


class _CountedWhole(Whole, frozen=True):
    """A whole answer whose usage has been read; None where it can't be."""

    usage: Usage | None = None
    tokens: Tokens | None = None


def _counted(answer: Whole) -> _CountedWhole:
    try:
        usage = messages_reply.read_whole(answer.body).usage
    except Fault:  # whoever turns it into a reply says so
        return _CountedWhole(answer.body)
    tokens = tokens_of(usage)
    return _CountedWhole(answer.body, usage, tokens if any(tokens) else None)


class _Watched:
    """Events that go by. A class, not a generator: one that is closed before it began runs no `finally`."""

    def __init__(self, events: Events, on_end: OnEnd) -> None:
        self._ending: tuple[Tokens | None, Fault | None, bool] | None = None
        self._on_end = [on_end]
        self._tally = messages_reply.Tally()
        self._deltas = 0
        self._complete = False
        self._events = events
        self._next = aiter(events).__anext__

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        return self

    async def __anext__(self) -> Sequence[Event]:
        try:
            batch = await self._next()
        except StopAsyncIteration:
            self._over(None)
            raise
        except Fault as fault:
            self._over(fault)
            raise
        except Exception as error:  # a bug of the engine's: the chain makes the same of it
            self._over(InternalServerException(reason=repr(error)))
            raise
        except BaseException:
            self._over(None)
            raise
        # what counts is at the very beginning and the very end: a batch within deltas has nothing to look at
        if batch[0][0] == _DELTA and batch[-1][0] == _DELTA:
            self._deltas += len(batch)
        else:
            self._look(batch)
        return batch

    async def aclose(self) -> None:
        """Stop the generation. Idempotent."""
        try:
            await self._events.aclose()
        finally:
            self._over(None)

    def __del__(self) -> None:
        # A client that leaves before its reply begins leaves events that nobody ever closes. The collector
        # may run anywhere, even where whoever is told holds a lock: so they hear when the loop comes round.
        if self._ending is None:
            try:
                asyncio.get_running_loop().call_soon(self._over, None)
            except RuntimeError:
                self._over(None)

    def join(self, on_end: OnEnd) -> None:
        """One more who wants to know."""
        if self._ending is None:
            self._on_end.append(on_end)
        else:
            _tell(on_end, *self._ending)

    def _look(self, batch: Sequence[Event]) -> None:
        others = [event for event in batch if event[0] != _DELTA]
        self._deltas += len(batch) - len(others)
        for kind, data in others:
            if kind == "message_stop":
                self._complete = True
            else:
                try:
                    self._tally.feed(kind, data)
                except Fault:  # an event that can't be read: whoever turns it into a reply says so
                    continue

    def _over(self, fault: Fault | None) -> None:
        if self._ending is not None:
            return
        cut = fault is not None or not self._complete
        self._ending = (self._tokens(cut), fault, cut)
        for on_end in self._on_end:
            _tell(on_end, *self._ending)

    def _tokens(self, cut: bool) -> Tokens | None:
        tokens = tokens_of(self._tally.usage)
        if cut:
            tokens = tokens._replace(output=max(tokens.output, self._deltas))
        return tokens if any(tokens) else None


def _tell(on_end: OnEnd, tokens: Tokens | None, fault: Fault | None, cut: bool) -> None:
    try:
        on_end(tokens, fault, cut)
    except Exception:  # bookkeeping that fails must not take the answer away from the caller
        log.exception("what an answer took could not be booked")
