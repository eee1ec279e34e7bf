"""What the runtime operations make of engines that break their promise, and of what nobody here can do."""

import asyncio
import json

import pytest

from outcrop.catalog import Catalog
from outcrop.engine import Event, Stream, Whole
from outcrop.errors import (
    ModelErrorException,
    ModelStreamErrorException,
    ThrottlingException,
    ValidationException,
)
from outcrop.service.call import Call, Counted, Outcome, Principal, Target
from outcrop.service.runtime import Runtime, through
from outcrop.wire import frames
from outcrop.wire.eventstream import FrameBuffer
from outcrop.wire.http import Head
from outcrop.wire.operations import BY_NAME
from service.memory import MemorySnapshot

SONNET = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
PROFILE = Catalog.load().profile(SONNET)
INVOKE = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "Hi"}],
}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
COUNT = {"input": {"converse": CONVERSE}}
BODIES = {
    "CountTokens": COUNT,
    "InvokeModel": INVOKE,
    "InvokeModelWithResponseStream": INVOKE,
} | dict.fromkeys(("Converse", "ConverseStream"), CONVERSE)
STREAMS = ("InvokeModelWithResponseStream", "ConverseStream")
START = Event("message_start", b'{"type":"message_start","message":{"role":"assistant","content":[]}}')
DELTA = Event("content_block_delta", b'{"index":0,"delta":{"type":"text_delta","text":"Hel"}}')


class Engine:
    """Gives what it was made with: a whole body, or events and then perhaps an error."""

    name = "fake"
    cannot = frozenset()

    def __init__(self, *events, whole=b"", error=None):
        self.events, self.whole, self.error = events, whole, error
        self.asked = 0

    async def answer(self, question):
        self.asked += 1
        return Stream(self._run()) if question.stream else Whole(self.whole)

    async def count(self, question):
        return 3

    async def _run(self):
        for event in self.events:
            yield [event]
        if self.error is not None:
            raise self.error


def call(operation, headers, **more):
    return Call(
        head=Head("POST", "/", "", {"host": "h", **headers}),
        operation=BY_NAME[operation],
        labels={"modelId": SONNET},
        body=json.dumps(BODIES[operation] | more).encode(),
        principal=Principal("arn:aws:iam::111122223333:user/u", "AIDA", "111122223333", "AKIA"),
        region="us-west-2",
        request_id="id-1",
        received=1_766_000_000.0,
        began=5.0,
        state=MemorySnapshot(),
        target=Target(PROFILE.model, PROFILE),
    )


def runtime_of(engine, *, region="us-east-2", simulated=False):
    """A runtime whose questions all go to one engine."""

    async def ask(call, question):
        return Outcome(await engine.answer(question), region, engine.name, simulated)

    async def count(call, question):
        return Counted(await engine.count(question), region, engine.name, simulated)

    return Runtime(ask, count, monotonic=lambda: 5.5, paddings=frames.no_paddings)


def told(engine, operation, headers=None, **more):
    """The reply's body: whole, or the frames of its stream."""

    async def run():
        reply = await runtime_of(engine).handlers[operation](call(operation, headers or {}, **more))
        if isinstance(reply.body, bytes):
            return json.loads(reply.body)
        buffer = FrameBuffer()
        async for piece in reply.body:
            buffer.feed(piece)
        return list(buffer)

    return asyncio.run(run())


def exception_at_the_end(stream):
    """The one exception frame, which is the last."""
    kinds = [frame.headers[":message-type"] for frame in stream]
    assert kinds.count("exception") == 1
    assert kinds[-1] == "exception"
    return stream[-1].headers[":exception-type"]


@pytest.mark.parametrize("operation", STREAMS)
def test_a_fault_in_the_stream_is_its_last_frame(operation):
    engine = Engine(START, DELTA, error=ThrottlingException("slow"))
    assert exception_at_the_end(told(engine, operation)) == "throttlingException"


@pytest.mark.parametrize("operation", STREAMS)
def test_a_bug_in_the_stream_is_an_exception_frame_too_and_is_logged(operation, caplog):
    engine = Engine(START, DELTA, error=KeyError("a bug"))
    assert exception_at_the_end(told(engine, operation)) == "internalServerException"
    assert "a bug" in caplog.text


@pytest.mark.parametrize("operation", STREAMS)
def test_an_upstreams_words_stay_on_one_line_of_the_log(operation, caplog):
    error = ModelStreamErrorException("cut", reason="it said:\n2026-01-01 WARNING forged" + "x" * 5000)
    told(Engine(START, DELTA, error=error), operation)
    [line] = [record.getMessage() for record in caplog.records]
    assert "it said:\\n2026" in line
    assert "\n" not in line
    assert len(line) < 1500


@pytest.mark.parametrize(
    ("operation", "event"),
    [
        ("ConverseStream", Event("content_block_delta", b'{"index":0}')),
        ("ConverseStream", Event("message_delta", b"5")),
        ("InvokeModelWithResponseStream", Event("message_delta", b'{"usage":5}')),
    ],
)
def test_an_event_that_is_none_of_its_type_breaks_the_stream_as_the_models_fault(operation, event, caplog):
    stream = told(Engine(START, DELTA, event), operation)
    assert exception_at_the_end(stream) == "modelStreamErrorException"
    assert event.type in caplog.text


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"content":[{"text":"no type"}]}'])
def test_a_whole_reply_that_is_none_is_the_models_fault(body):
    with pytest.raises(ModelErrorException):
        told(Engine(whole=body), "Converse")


@pytest.mark.parametrize(
    ("operation", "headers", "more"),
    [
        ("InvokeModel", {"x-amzn-bedrock-guardrailidentifier": "abc"}, {}),
        ("InvokeModelWithResponseStream", {"x-amzn-bedrock-guardrailidentifier": "abc"}, {}),
        ("Converse", {}, {"guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1"}}),
        ("ConverseStream", {}, {"guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "1"}}),
    ],
)
def test_nobody_is_answered_without_the_guardrail_that_was_asked_for(operation, headers, more):
    engine = Engine(START)
    with pytest.raises(ValidationException, match="does not exist"):
        told(engine, operation, headers, **more)
    assert engine.asked == 0


WHOLE = (
    b'{"id":"m","type":"message","role":"assistant","model":"x","content":[{"type":"text","text":"Hi"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2}}'
)


@pytest.mark.parametrize("operation", list(BODIES))
@pytest.mark.parametrize("simulated", [False, True])
def test_every_reply_says_which_engine_answered_and_in_which_region(operation, simulated):
    async def run():
        runtime = runtime_of(Engine(START, whole=WHOLE), region="eu-west-3", simulated=simulated)
        reply = await runtime.handlers[operation](call(operation, {}))
        if not isinstance(reply.body, bytes):
            await reply.body.aclose()
        return {name: text for name, text in reply.headers.items() if name.startswith("x-outcrop-")}

    said = {"x-outcrop-engine": "fake", "x-outcrop-region": "eu-west-3"}
    assert asyncio.run(run()) == (said | {"x-outcrop-regions": "simulated"} if simulated else said)


def test_asking_steps_wrap_the_question_the_outermost_first():
    order = []

    def step(name):
        async def run(call, question, ask):
            order.append(name)
            outcome = await ask(call, question)
            order.append(f"after {name}")
            return outcome

        return run

    async def ask(call, question):
        order.append("asked")
        return "outcome"

    assert asyncio.run(_awaited(through([step("reserve"), step("record")], ask)(None, None))) == "outcome"
    assert order == ["reserve", "record", "asked", "after record", "after reserve"]


async def _awaited(outcome):
    return await outcome
