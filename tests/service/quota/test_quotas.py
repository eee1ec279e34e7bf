"""Bedrock's arithmetic, its limits, and a call's way through reservation and settlement."""

from __future__ import annotations

import asyncio
import json
import time

import msgspec
import pytest

from guide_table import HAIKU_3, SONNET_4, SONNET_37, SONNET_45
from outcrop.catalog import Catalog, quotas
from outcrop.catalog.prices import Tokens
from outcrop.engine import Question, Stream, Whole
from outcrop.errors import ModelErrorException, OutcropError, ThrottlingException
from outcrop.service.call import Outcome, Target
from outcrop.service.quota import arithmetic, estimate
from outcrop.service.quota.limits import Bucket, LimitTable, QuotaLimit, table
from outcrop.service.quota.step import Quotas
from outcrop.store.counters import Counters, Limits, Used
from outcrop.wire import faults
from outcrop.wire.messages_reply import event
from service.calls import ACCOUNT, OTHER_ACCOUNT, call
from service.memory import MemorySnapshot

CATALOG = Catalog.load()
NOW = 1_800_000_000.0
BODY = {"messages": [{"role": "user", "content": "x" * 9880}], "max_tokens": 1000}
INPUT = estimate.input_tokens(BODY)
LONG_CONTEXT = ("context-1m-2025-08-07",)


@pytest.fixture
def counters(tmp_path):
    made = Counters(tmp_path / "counters")
    yield made
    made.close()


@pytest.fixture
def limited(counters):
    return Quotas(counters, enabled=True, clock=lambda: NOW)


def state(*limits, account=ACCOUNT):
    records = [QuotaLimit(account, "*", "*", "*", quota, value) for quota, value in limits]
    return MemorySnapshot({(limit.KIND, limit.key): limit for limit in records})


def asking(model=SONNET_45, region="us-west-2", betas=(), body=None, stream=False, scope="us", **more):
    """A call on its way, and its question."""
    found = CATALOG.model(model)
    profile = CATALOG.profile(f"{scope}.{model}") if scope else None
    asked = call("InvokeModel", region=region, modelId=f"{scope}.{model}", **more)
    asked = msgspec.structs.replace(asked, target=Target(found, profile))
    return asked, Question(found, body or BODY, stream, betas)


def whole(**usage):
    async def ask(call, question):
        return Outcome(Whole(json.dumps({"usage": usage}).encode()), "us-east-2", "e", True)

    return ask


def reserve(limits, asked, ask):
    return asyncio.run(limits.reserve(*asked, ask))


def key(model=SONNET_45, region="us-west-2", kind="cross-region", account=ACCOUNT):
    return Bucket(account, model, region, kind).key


# --- arithmetic ------------------------------------------------------------------------------------------


def test_awss_worked_example():
    """3,000 in, 4,000 read from the cache, 1,000 written to it, 1,000 out, at most 32,000."""
    assert arithmetic.reserve(3000, 1000, 32_000) == 36_000
    assert arithmetic.charge(Tokens(3000, 1000, 1000, 0, 4000), quotas.burndown(SONNET_37)) == 9000


def test_awss_worked_example_in_the_counters(counters, limited, monkeypatch):
    monkeypatch.setattr(estimate, "input_tokens", lambda body: 4000)  # what it writes to the cache is input
    seen = []

    async def ask(call, question):
        seen.append(counters.used(key(SONNET_37), NOW))
        usage = {
            "input_tokens": 3000,
            "cache_read_input_tokens": 4000,
            "cache_creation_input_tokens": 1000,
            "output_tokens": 1000,
        }
        return await whole(**usage)(call, question)

    reserve(limited, asking(SONNET_37, body={**BODY, "max_tokens": 32_000}), ask)
    assert seen == [Used(1, 36_000, 36_000)]
    assert counters.used(key(SONNET_37), NOW) == Used(1, 9000, 9000)


def test_output_counts_five_times_since_claude_3_7():
    assert {quotas.burndown(model.id) for model in CATALOG.models[:3]} == {1}
    assert {quotas.burndown(model.id) for model in CATALOG.models[3:]} == {5}
    assert arithmetic.charge(Tokens(1, 10, 2, 3, 1000), 1) == 16
    assert quotas.burndown("somebody.else") == 1


# --- the estimate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        # counts by the tokenizer Anthropic published for Claude 2, as far as the estimate promises
        ("The quick brown fox jumps over the lazy dog. " * 20, 180, 300),
        ("人工智能正在改变世界。请用简单的语言解释。" * 20, 380, 480),
        ("Искусственный интеллект меняет мир. " * 20, 300, 500),
    ],
)
def test_text_is_estimated_by_its_characters(text: str, low: int, high: int):
    told = {"messages": [{"role": "user", "content": text}], "max_tokens": 1}
    assert low < estimate.input_tokens(told) < high
    assert estimate.input_tokens(told) == estimate.input_tokens(told)


def test_every_part_of_a_request_counts():
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 100}}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "A" * 200_000}
    parts = [
        {"type": "text", "text": "word " * 100},
        picture,
        {"type": "document", "source": pdf},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "word " * 100}},
        {"type": "document", "source": {"type": "content", "content": [picture]}},
        {"type": "document", "source": {"type": "content", "content": "word " * 100}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/" + "a" * 100}},
        {"type": "tool_use", "id": "t", "name": "n", "input": {"query": "word " * 100}},
        {"type": "tool_result", "tool_use_id": "t", "content": "word " * 100},
        {"type": "tool_result", "tool_use_id": "t", "content": [picture]},
        {"type": "thinking", "thinking": "word " * 100, "signature": "s"},
        {"type": "of tomorrow", "text": "word " * 100},
    ]
    base = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    plain = estimate.input_tokens(base)
    for part in parts:
        assert estimate.input_tokens({**base, "messages": [{"role": "user", "content": [part]}]}) > plain + 25
        assert estimate.input_tokens({**base, "system": [part]}) > plain + 25
    assert estimate.input_tokens({**base, "system": "word " * 100}) > plain + 100
    assert estimate.input_tokens({**base, "tools": [{"name": "n", "input_schema": {}}]}) > plain + 350
    assert estimate.input_tokens({**base, "messages": [{"role": "user", "content": [picture]}]}) == 1604


def test_an_estimate_is_at_least_one_and_survives_odd_bodies():
    for content in ("", [], [{"type": "text"}], [{"type": "document"}], [{}], ["text"]):
        odd = {"messages": [{"role": "user", "content": content}], "max_tokens": 1}
        assert estimate.input_tokens(odd) >= 1
    assert estimate.input_tokens({"messages": [], "max_tokens": 1}) == 1


# --- limits ----------------------------------------------------------------------------------------------


def test_defaults_are_the_catalogues_by_source_region():
    assert quotas.defaults(SONNET_45, "cross-region", "us-west-2") == (10_000, 5_000_000, 7_200_000_000)
    assert quotas.defaults(SONNET_45, "cross-region-1m", "us-west-2").tpm == 1_000_000
    assert quotas.defaults(SONNET_45, "in-region", "us-west-2") == (None, None, None)
    tpm = {region: quotas.defaults(SONNET_37, "cross-region", region).tpm for region in CATALOG.regions}
    assert (tpm["us-east-2"], tpm["eu-west-3"], tpm["ap-south-1"]) == (1_000_000, 100_000, 50_000)
    haiku = [quotas.defaults(HAIKU_3, "cross-region", region).rpm for region in ("us-east-1", "eu-west-1")]
    assert haiku == [2000, 800]
    assert quotas.defaults("somebody.else", "global", "us-west-2") == (None, None, None)


def test_what_was_set_counts_by_account_then_model_then_region_then_kind():
    bucket = Bucket(ACCOUNT, SONNET_45, "us-west-2", "cross-region")
    order = [
        (ACCOUNT, SONNET_45, "us-west-2", "cross-region"),
        (ACCOUNT, SONNET_45, "us-west-2", "*"),
        (ACCOUNT, SONNET_45, "*", "cross-region"),
        (ACCOUNT, "*", "us-west-2", "cross-region"),
        (ACCOUNT, "*", "*", "*"),
        ("*", SONNET_45, "us-west-2", "cross-region"),
        ("*", "*", "*", "*"),
    ]
    records = [QuotaLimit(*place, "tpm", value) for value, place in enumerate(order)]
    for first in range(len(records)):
        found = LimitTable(records[first:]).resolve(bucket)
        assert found.limits.tokens_minute == first
        assert found.origins == ("default", "set", "default")
    elsewhere = bucket._replace(account=OTHER_ACCOUNT, region="eu-west-1")
    assert LimitTable(records).resolve(elsewhere).limits.tokens_minute == 6


def test_tokens_a_day_go_with_tokens_a_minute_unless_they_are_set():
    bucket = Bucket(ACCOUNT, SONNET_45, "us-west-2", "cross-region")
    by_minute = QuotaLimit("*", "*", "*", "*", "tpm", 100)
    by_day = QuotaLimit("*", "*", "*", "*", "tpd", 5)
    assert LimitTable([by_minute]).resolve(bucket).limits == Limits(10_000, 100, 144_000)
    assert LimitTable([by_minute, by_day]).resolve(bucket).limits == Limits(10_000, 100, 5)
    free = QuotaLimit("*", "*", "*", "*", "tpm", None)
    assert LimitTable([free]).resolve(bucket).limits == Limits(10_000, None, None)


def test_limits_are_compiled_once_for_a_state():
    snapshot = state(("tpm", 5))
    assert table(snapshot) is table(snapshot)


def test_a_buckets_key_reads_back():
    bucket = Bucket(ACCOUNT, SONNET_45, "us-west-2", "cross-region")
    assert Bucket.of_key(bucket.key) == bucket
    assert Bucket.of_key("something else") is None


# --- the step --------------------------------------------------------------------------------------------


def test_the_real_usage_takes_the_reservations_place(counters, limited):
    outcome = reserve(limited, asking(), whole(input_tokens=100, output_tokens=20))
    assert (outcome.region, outcome.engine, outcome.simulated) == ("us-east-2", "e", True)
    assert counters.used(key(), NOW) == Used(1, 200, 200)


def test_kinds_regions_models_and_accounts_are_apart(counters, limited):
    ask = whole(input_tokens=1)
    reserve(limited, asking(), ask)
    reserve(limited, asking(scope="global"), ask)
    reserve(limited, asking(scope=""), ask)
    reserve(limited, asking(region="us-east-1"), ask)
    reserve(limited, asking(account=OTHER_ACCOUNT), ask)
    long = {
        "betas": LONG_CONTEXT,
        "body": {**BODY, "messages": [{"role": "user", "content": "word " * 200_000}]},
    }
    reserve(limited, asking(**long), ask)
    reserve(limited, asking(SONNET_4, scope="global", region="us-east-1", **long), ask)
    reserve(limited, asking(SONNET_37, **long), ask)
    assert set(counters.keys()) == {
        key(),
        key(kind="global"),
        key(kind="in-region"),
        key(region="us-east-1"),
        key(account=OTHER_ACCOUNT),
        key(kind="cross-region-1m"),
        # no source told of a quota of its own for these
        key(SONNET_4, "us-east-1", "global"),
        key(SONNET_37),
    }


@pytest.mark.parametrize(
    ("limit", "text", "asked"),
    [
        (("rpm", 1), "Too many requests, please wait before trying again.", "asked 1;"),
        (
            ("tpm", 4000 + INPUT),
            "Too many tokens, please wait before trying again.",
            f"asked {INPUT + 1000} ({INPUT} of input, estimated, + max_tokens 1000);",
        ),
        (
            ("tpd", 4000 + INPUT),
            "Too many tokens per day, please wait before trying again.",
            f"asked {INPUT + 1000} ({INPUT} of input, estimated, + max_tokens 1000);",
        ),
    ],
)
def test_a_refusal_has_awss_text_and_explains_itself(counters, limited, limit, text, asked):
    snapshot = state(limit)
    reserve(limited, asking(state=snapshot), whole(input_tokens=3500))
    with pytest.raises(ThrottlingException) as refusal:
        reserve(limited, asking(state=snapshot), whole())
    fault = refusal.value
    assert fault.text == text
    assert fault.retry_after == (97 * 900 if limit[0] == "tpd" else 61)
    reply = faults.reply(fault, "request-1")
    assert reply.status == 429
    assert reply.headers["retry-after"] == str(int(fault.retry_after))
    line = reply.headers["x-outcrop-quota"]
    for part in (ACCOUNT, SONNET_45, "us-west-2", "cross-region", f"limit {limit[1]};", asked, "fits in "):
        assert part in line
    if limit[0] != "rpm":
        assert f"left {500 + INPUT};" in line
        assert line.endswith("s, now with max_tokens up to 500")
    assert line.isascii()
    assert line.isprintable()
    (note,) = counters.notes()
    assert note == (key(), NOW, line)
    assert counters.used(key(), NOW).requests == 1


@pytest.mark.parametrize("quota", ["rpm", "tpm", "tpd"])
def test_a_quota_of_zero_gives_the_days_text_and_never_fits(limited, quota):
    with pytest.raises(ThrottlingException, match="per day") as refusal:
        reserve(limited, asking(state=state((quota, 0))), whole())
    assert refusal.value.retry_after is None
    assert "never fits: the limit is 0" in refusal.value.explanation
    assert "retry-after" not in faults.reply(refusal.value, "r").headers


def test_what_is_larger_than_the_limit_is_told_so(limited):
    with pytest.raises(ThrottlingException) as refusal:
        reserve(limited, asking(state=state(("tpm", 500))), whole())
    assert refusal.value.explanation.endswith("never fits: the limit itself is smaller")


def test_a_header_is_one_line_of_plain_ascii_whatever_is_in_it():
    fault = ThrottlingException("no", explanation="a\r\nset-cookie: x\tü")
    assert faults.reply(fault, "r").headers["x-outcrop-quota"] == "a??set-cookie: x??"
    assert "x-outcrop-quota" not in faults.reply(ThrottlingException("no"), "r").headers


def test_a_call_that_fails_gets_its_tokens_back_and_stays_a_request(counters, limited):
    async def fail(call, question):
        raise ModelErrorException("no")

    with pytest.raises(ModelErrorException):
        reserve(limited, asking(), fail)
    assert counters.used(key(), NOW) == Used(1, 0, 0)


def test_a_call_that_is_cancelled_is_settled(counters, limited):
    async def cancel():
        running = asyncio.ensure_future(limited.reserve(*asking(), lambda *_: asyncio.sleep(60)))
        await asyncio.sleep(0)
        assert counters.used(key(), NOW) == Used(1, INPUT + 1000, INPUT + 1000)
        running.cancel()
        await asyncio.wait((running,))

    asyncio.run(cancel())
    assert counters.used(key(), NOW) == Used(1, 0, 0)


def test_an_answer_that_tells_no_usage_is_charged_the_estimate(counters, limited):
    reserve(limited, asking(), whole())
    assert counters.used(key(), NOW) == Used(1, INPUT, INPUT)


START = event("message_start", message={"usage": {"input_tokens": 100, "output_tokens": 1}})
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hi"})
END = [event("message_delta", usage={"output_tokens": 30}), event("message_stop")]


def streaming(*batches, error=None):
    async def events():
        for batch in batches:
            yield batch
        if error is not None:
            raise error

    async def ask(call, question):
        return Outcome(Stream(events()), "us-east-2", "e", True)

    return ask


@pytest.mark.parametrize(
    ("read", "error", "charged"),
    [
        (9, None, 100 + 30 * 5),
        (3, None, 100 + 4 * 5),  # closed after four deltas
        (0, None, 0),
        (9, ModelErrorException("no"), 100 + 4 * 5),
    ],
)
def test_a_stream_is_settled_however_it_ends(counters, limited, read, error, charged):
    batches = [[START], [DELTA] * 2, [DELTA] * 2]

    async def consume():
        ask = streaming(*batches, *([] if error else [END]), error=error)
        outcome = await limited.reserve(*asking(stream=True), ask)
        assert counters.used(key(), NOW) == Used(1, INPUT + 1000, INPUT + 1000)
        events = outcome.answer.events
        for _ in range(min(read, 5)):
            if await anext(events, None) is None:
                break
        await events.aclose()

    if error:
        with pytest.raises(ModelErrorException):
            asyncio.run(consume())
    else:
        asyncio.run(consume())
    assert counters.used(key(), NOW) == Used(1, charged, charged)


def test_switched_off_nothing_is_counted_or_opened(tmp_path):
    off = Quotas(Counters(tmp_path / "counters"), enabled=False, clock=time.time)
    snapshot = state(("rpm", 0))
    outcome = reserve(off, asking(state=snapshot), whole())
    assert type(outcome.answer) is Whole
    assert not (tmp_path / "counters").exists()


def test_what_is_left_is_told_for_a_bucket(limited):
    snapshot = state(("tpm", 1000), ("tpd", None))
    model = CATALOG.model(SONNET_45)
    reserve(
        limited,
        asking(state=snapshot, body={**BODY, "max_tokens": 1, "messages": []}),
        whole(input_tokens=300),
    )
    assert limited.left(snapshot, ACCOUNT, model, "us-west-2", "cross-region", NOW) == (
        ("rpm", 10_000, "default", 1, 9999),
        ("tpm", 1000, "set", 300, 700),
        ("tpd", None, "set", 300, None),
    )
    assert limited.left(snapshot, ACCOUNT, model, "us-west-2", "in-region", NOW)[0] == (
        "rpm", None, "none", 0, None,
    )  # fmt: skip


def test_a_stream_of_which_nobody_tells_a_token_is_charged_when_it_is_left(counters, limited):
    """Some servers tell the usage at the end only: who leaves just before would pay nothing."""

    async def leave():
        outcome = await limited.reserve(
            *asking(stream=True), streaming([event("message_start")], [DELTA] * 4, END)
        )
        await anext(outcome.answer.events)
        await anext(outcome.answer.events)
        await outcome.answer.events.aclose()

    asyncio.run(leave())
    assert counters.used(key(), NOW) == Used(1, INPUT + 4 * 5, INPUT + 4 * 5)


def test_an_answer_that_tells_its_output_only_is_charged_the_estimate_of_its_input(counters, limited):
    reserve(limited, asking(), whole(output_tokens=30))
    assert counters.used(key(), NOW) == Used(1, INPUT + 30 * 5, INPUT + 30 * 5)


def test_counters_that_fail_do_not_hide_that_a_call_was_cancelled(counters, limited, monkeypatch, caplog):
    def fail(*_):
        raise OutcropError("the disk is gone")

    async def cancelled(call, question):
        monkeypatch.setattr(counters, "settle", fail)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        reserve(limited, asking(), cancelled)
    assert "the disk is gone" in caplog.text
