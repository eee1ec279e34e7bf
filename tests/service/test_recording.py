"""Every call that was sent on leaves one record, however it ends; and quotas watch the same stream."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import msgspec
import pytest

from guide_table import SONNET_45
from outcrop.catalog import Catalog
from outcrop.engine import Question, Stream, Whole
from outcrop.errors import ModelErrorException
from outcrop.service.call import Outcome, Principal, Target
from outcrop.service.quota.step import Quotas
from outcrop.service.recording import Recorder
from outcrop.store.calls import CallRecord
from outcrop.store.counters import Counters
from outcrop.wire.messages_reply import Tally, event
from service.calls import ACCOUNT, call

CATALOG = Catalog.load()
MODEL = CATALOG.model(SONNET_45)
PROFILE = CATALOG.profile(f"eu.{SONNET_45}")
START = event(
    "message_start",
    message={
        "usage": {
            "input_tokens": 10,
            "output_tokens": 1,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 4,
        }
    },
)
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"})
END = [event("message_delta", usage={"output_tokens": 7}), event("message_stop")]


class Kept(list):
    add = list.append


def asked():
    who = Principal(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/app/s", "AROA:s", ACCOUNT, "ASIAKEY", owner="arn:role"
    )
    made = call("ConverseStream", region="eu-west-1", modelId=f"eu.{SONNET_45}")
    return msgspec.structs.replace(
        made, principal=who, target=Target(MODEL, PROFILE), regions=("eu-north-1", "eu-west-1")
    )


def question():
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    return Question(MODEL, body, True)


def answering(*batches, error=None):
    async def events():
        for batch in batches:
            yield batch
        if error:
            raise error

    async def ask(call, question):
        return Outcome(Stream(events()), "eu-north-1", "messages", False)

    return ask


def recorded(ask, read=9):
    kept = Kept()

    async def run():
        outcome = await Recorder(kept).record(asked(), question(), ask)
        if isinstance(outcome.answer, Stream):
            events = outcome.answer.events
            for _ in range(read):
                if await anext(events, None) is None:
                    break
            await events.aclose()

    with suppress(ModelErrorException, RuntimeError, asyncio.CancelledError):
        asyncio.run(run())
    (record,) = kept
    return record


EXPECTED = CallRecord(
    request_id="request-1",
    received=asked().received,
    account=ACCOUNT,
    principal=f"arn:aws:sts::{ACCOUNT}:assumed-role/app/s",
    owner="arn:role",
    key="ASIAKEY",
    operation="ConverseStream",
    model_id=f"eu.{SONNET_45}",
    region="eu-west-1",
    status="answered",
    profile=f"eu.{SONNET_45}",
    allowed=("eu-north-1", "eu-west-1"),
    destination="eu-north-1",
    engine="messages",
    simulated=False,
    input_tokens=10,
    output_tokens=7,
    cache_read_tokens=3,
    cache_write_tokens=4,
)


def test_an_answer_is_recorded_with_who_what_where_and_how_much():
    assert recorded(answering([START], [DELTA], END)) == EXPECTED


def test_a_whole_answer_is_recorded_at_once():
    async def ask(call, question):
        usage = {"input_tokens": 10, "output_tokens": 7}
        return Outcome(Whole(json.dumps({"usage": usage}).encode()), "eu-west-1", "local", True)

    record = recorded(ask)
    assert (record.status, record.destination, record.simulated) == ("answered", "eu-west-1", True)
    assert (record.input_tokens, record.output_tokens) == (10, 7)


def test_an_answer_that_breaks_off_failed_and_one_that_is_left_was_cut():
    broken = recorded(answering([START], [DELTA], error=ModelErrorException("no")))
    assert (broken.status, broken.error, broken.input_tokens) == ("failed", "ModelErrorException", 10)
    left = recorded(answering([START], [DELTA], END), read=2)
    assert (left.status, left.error, left.destination) == ("cut", "", "eu-north-1")


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (ModelErrorException("no"), "failed", "ModelErrorException"),
        (RuntimeError("a bug"), "failed", "InternalServerException"),
        (asyncio.CancelledError(), "cut", ""),
    ],
)
def test_a_call_that_is_never_answered_is_recorded_without_a_destination(error, status, name):
    async def ask(call, question):
        raise error

    record = recorded(ask)
    assert (record.status, record.error, record.destination) == (status, name, "")
    assert record.input_tokens is None


def test_quotas_and_records_read_a_stream_once(tmp_path, monkeypatch):
    fed = []
    feed = Tally.feed
    monkeypatch.setattr(Tally, "feed", lambda self, kind, data: fed.append(kind) or feed(self, kind, data))
    kept, counters = Kept(), Counters(tmp_path / "counters")
    quotas, recorder = Quotas(counters, enabled=True, clock=lambda: 1e9), Recorder(kept)

    async def run():
        async def inner(call, question):
            return await recorder.record(call, question, answering([START], [DELTA], END))

        outcome = await quotas.reserve(asked(), question(), inner)
        return [batch async for batch in outcome.answer.events]

    assert asyncio.run(run()) == [[START], [DELTA], END]
    assert kept == [EXPECTED]
    (key,) = counters.keys()
    assert counters.used(key, 1e9).tokens_minute == 10 + 4 + 7 * 5
    assert fed == ["message_start", "message_delta"]
    counters.close()
