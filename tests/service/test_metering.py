"""What an answer took, told once to everybody who wants to know, however the answer ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.catalog.prices import Tokens
from outcrop.engine import Event, Stream, Whole
from outcrop.errors import Fault, InternalServerException, ModelStreamErrorException
from outcrop.service.metering import watch
from outcrop.wire.messages_reply import event

USAGE = {
    "input_tokens": 10,
    "output_tokens": 1,
    "cache_read_input_tokens": 4,
    "cache_creation_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
}
START = event("message_start", message={"usage": USAGE})
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7})
STOP = event("message_stop")
WHOLE = [START, event("content_block_start", index=0), DELTA, DELTA, DELTA, END, STOP]
ALL = Tokens(10, 7, 2, 3, 4)


class Told(list):
    """What `on_end` was told, each time."""

    def __call__(self, tokens, fault, cut):
        self.append((tokens, fault, cut))


class Source:
    """Batches of events, then perhaps an error; remembers whether it was closed."""

    def __init__(self, batches, error=None):
        self.batches, self.error, self.closed = list(batches), error, 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        if self.batches:
            return self.batches.pop(0)
        if isinstance(self.error, asyncio.Event):
            await self.error.wait()
        elif self.error is not None:
            raise self.error
        raise StopAsyncIteration

    async def aclose(self):
        self.closed += 1


async def read(answer):
    return [batch async for batch in answer.events]


def test_a_whole_answer_is_over_at_once():
    told = Told()
    body = b'{"usage": {"input_tokens": 3, "output_tokens": 4}, "content": []}'
    answer = watch(Whole(body), told)
    assert isinstance(answer, Whole)
    assert answer.body == body
    assert told == [(Tokens(3, 4), None, False)]


def test_a_whole_answer_is_read_once_for_all(monkeypatch):
    reads = []
    from outcrop.wire import messages_reply

    read_whole = messages_reply.read_whole
    monkeypatch.setattr(messages_reply, "read_whole", lambda body: reads.append(body) or read_whole(body))
    first, second = Told(), Told()
    watch(watch(Whole(b'{"usage": {"input_tokens": 3, "output_tokens": 4}}'), first), second)
    assert first == second == [(Tokens(3, 4), None, False)]
    assert len(reads) == 1


@pytest.mark.parametrize("body", [b"no JSON", b"{}", b'{"usage": null}', b"[1]", b'{"usage": {}}'])
def test_an_answer_without_usage_tells_none(body: bytes):
    told = Told()
    assert watch(Whole(body), told).body == body
    assert told == [(None, None, False)]


@settings(max_examples=50, deadline=None)
@given(cuts=st.sets(st.integers(1, len(WHOLE) - 1)))
def test_a_stream_passes_as_it_is_however_it_is_cut_into_batches(cuts):
    told, edges = Told(), [0, *sorted(cuts), len(WHOLE)]
    batches = [WHOLE[begin:end] for begin, end in pairwise(edges)]
    assert asyncio.run(read(watch(Stream(Source(batches)), told))) == batches
    assert told == [(ALL, None, False)]


def test_batches_of_deltas_are_the_same_objects_and_not_looked_at():
    batch = [Event("content_block_delta", b"not even JSON")] * 3
    told = Told()
    passed = asyncio.run(read(watch(Stream(Source([[START], batch, [END, STOP]])), told)))
    assert passed[1] is batch
    assert told == [(ALL, None, False)]


def test_two_watchers_share_one_reading(monkeypatch):
    from outcrop.wire.messages_reply import Tally

    fed = []
    feed = Tally.feed
    monkeypatch.setattr(Tally, "feed", lambda self, kind, data: fed.append(kind) or feed(self, kind, data))
    first, second = Told(), Told()
    answer = watch(Stream(Source([WHOLE])), first)
    assert watch(answer, second) is answer
    asyncio.run(read(answer))
    assert first == second == [(ALL, None, False)]
    assert fed.count("message_delta") == 1


def test_whoever_joins_late_is_told_too():
    first, late = Told(), Told()
    answer = watch(Stream(Source([WHOLE])), first)
    asyncio.run(read(answer))
    watch(answer, late)
    assert late == first


@pytest.mark.parametrize(
    ("error", "name"),
    [(ModelStreamErrorException("it broke"), "ModelStreamErrorException"), (KeyError("a bug"), None)],
)
def test_a_stream_that_breaks_tells_what_it_had_taken(error: Exception, name: str | None):
    told = Told()
    answer = watch(Stream(Source([[START], [DELTA] * 5], error)), told)
    with pytest.raises(type(error)):
        asyncio.run(read(answer))
    ((tokens, fault, cut),) = told
    # five deltas are five tokens of output at least; what was told until then was one
    assert (tokens, cut) == (Tokens(10, 5, 2, 3, 4), True)
    assert isinstance(fault, Fault)
    assert fault.name == (name or InternalServerException.__name__)


def test_a_stream_that_breaks_before_it_began_has_taken_nothing_anybody_knows():
    told = Told()
    with pytest.raises(ModelStreamErrorException):
        asyncio.run(read(watch(Stream(Source([], ModelStreamErrorException("it broke"))), told)))
    assert told[0][0] is None


def test_a_stream_that_is_closed_in_the_middle_is_cut():
    told, source = Told(), Source([[START], [DELTA], [DELTA]])

    async def leave():
        answer = watch(Stream(source), told)
        async with contextlib.aclosing(answer.events) as events:
            async for _ in events:
                if not source.batches:
                    break
        assert told == [(Tokens(10, 2, 2, 3, 4), None, True)]
        await answer.events.aclose()
        return answer

    assert asyncio.run(leave())
    assert len(told) == 1
    assert source.closed


def test_a_stream_closed_after_its_last_event_is_complete():
    told = Told()

    async def leave():
        answer = watch(Stream(Source([WHOLE])), told)
        await anext(aiter(answer.events))
        await answer.events.aclose()
        assert told == [(ALL, None, False)]

    asyncio.run(leave())
    assert len(told) == 1


def test_a_stream_that_nobody_ever_reads_or_closes_is_told_when_it_is_forgotten():
    told = Told()
    watch(Stream(Source([WHOLE])), told)
    gc.collect()
    assert told == [(None, None, True)]


def test_what_is_forgotten_is_told_when_the_loop_comes_round():
    told = Told()

    async def forget():
        watch(Stream(Source([WHOLE])), told)
        gc.collect()
        assert told == []  # whoever is told may hold a lock at this moment
        await asyncio.sleep(0)

    asyncio.run(forget())
    assert told == [(None, None, True)]


def test_a_reader_that_is_cancelled_cuts_the_stream():
    told = Told()

    async def cancel():
        answer = watch(Stream(Source([[START]], asyncio.Event())), told)
        reader = asyncio.ensure_future(read(answer))
        for _ in range(3):
            await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait((reader,))

    asyncio.run(cancel())
    assert told == [(Tokens(10, 1, 2, 3, 4), None, True)]


def test_bookkeeping_that_fails_takes_no_answer_away(caplog):
    def fail(tokens, fault, cut):
        raise RuntimeError("the disk is full")

    told = Told()
    answer = watch(watch(Stream(Source([WHOLE])), fail), told)
    assert asyncio.run(read(answer)) == [WHOLE]
    assert told == [(ALL, None, False)]
    assert "the disk is full" in caplog.text
    assert watch(Whole(b"{}"), fail).body == b"{}"


def test_events_that_can_not_be_read_pass_and_count_nothing():
    told = Told()
    batches = [[Event("message_start", b"{"), DELTA], [Event("message_delta", b"[]"), STOP]]
    assert asyncio.run(read(watch(Stream(Source(batches)), told))) == batches
    assert told == [(None, None, False)]
