"""The life of a request: the order of its steps, and what never escapes it."""

import asyncio
import itertools
import json

import pytest

from outcrop.errors import (
    InvalidSignatureException,
    OutcropError,
    ThrottlingException,
    UnrecognizedClientException,
)
from outcrop.service.call import Principal
from outcrop.service.chain import Clock, Service
from outcrop.wire.http import Head, Reply

HEAD = Head("POST", "/model/x/invoke", "", {"host": "h"})
PRINCIPAL = Principal("arn:aws:iam::111122223333:user/u", "AIDA", "111122223333", "AKIA")


class Claim:
    region = "us-west-2"

    def __init__(self, journal, fault):
        self.journal, self.fault = journal, fault

    def verify(self, body):
        self.journal.append(f"verify {len(body)}")
        if self.fault:
            raise self.fault
        return PRINCIPAL


class Story:
    """A service whose every part writes down that it was asked."""

    def __init__(self, *, snapshot=None, examine=None, verify=None, answer=None, steps=(), slow=0.0):
        self.journal, self.slow, self.now = [], slow, 5.0
        self.faults = {"snapshot": snapshot, "examine": examine, "verify": verify, "answer": answer}
        ids = itertools.count(1)
        clock = Clock(lambda: 1_000.0, lambda: self.now, lambda: f"id-{next(ids)}")
        handlers = {"InvokeModel": self.answer}
        self.snapshots = itertools.count(1)
        self.service = Service(self, self, handlers, clock, [self.step(name) for name in steps])

    def snapshot(self):
        if self.faults["snapshot"]:
            raise self.faults["snapshot"]
        return f"state {next(self.snapshots)}"

    def examine(self, head, operation, now, region, state):
        self.journal.append(f"examine {operation.name} at {now:.0f} by {state}")
        if self.faults["examine"]:
            raise self.faults["examine"]
        return Claim(self.journal, self.faults["verify"])

    async def read_body(self, limit):
        self.journal.append(f"read up to {limit}")
        self.now += self.slow
        return b"body"

    async def answer(self, call):
        self.journal.append(
            f"answer {call.labels['modelId']} for {call.principal.key} in {call.region} by {call.state}"
        )
        if self.faults["answer"]:
            raise self.faults["answer"]
        return Reply(200, {}, b"{}")

    def step(self, name):
        async def step(call, rest):
            self.journal.append(f"into {name}")
            reply = await rest(call)
            self.journal.append(f"out of {name}")
            return reply

        return step

    def tell(self, head=HEAD):
        return asyncio.run(self.service.handle(head, self.read_body))


def test_the_steps_wrap_the_answer_outermost_first():
    story = Story(steps=("quota", "log"))
    assert story.tell().status == 200
    assert story.journal == [
        "examine InvokeModel at 1000 by state 1",
        "read up to 25000000",
        "verify 4",
        "into quota",
        "into log",
        "answer x for AKIA in us-west-2 by state 1",
        "out of log",
        "out of quota",
    ]


def test_a_stranger_is_refused_before_the_body_is_read():
    story = Story(examine=UnrecognizedClientException())
    assert story.tell().status == 403
    assert story.journal == ["examine InvokeModel at 1000 by state 1"]


def test_a_wrong_signature_is_refused_before_any_step():
    story = Story(verify=InvalidSignatureException(), steps=("quota",))
    assert story.tell().status == 403
    assert story.journal[-1] == "verify 4"


def test_a_path_nobody_serves_asks_nobody():
    story = Story()
    assert story.tell(Head("GET", "/guardrails", "", {"host": "h"})).status == 404
    assert story.journal == []


def test_a_fault_is_a_reply_with_the_request_id():
    reply = Story(answer=ThrottlingException("slow down")).tell()
    assert (reply.status, json.loads(reply.body)) == (429, {"message": "slow down"})
    assert reply.headers["x-amzn-requestid"] == reply.headers["request-id"] == "id-1"


def test_a_bug_is_a_500_that_tells_the_caller_nothing_and_the_log_everything(caplog):
    reply = Story(answer=RuntimeError("secret detail")).tell()
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert "secret detail" in caplog.text


def test_the_reason_of_a_fault_is_for_the_log_only(caplog):
    reply = Story(answer=ThrottlingException("slow", reason="upstream said: key sk-1")).tell()
    assert b"sk-1" not in reply.body
    assert "upstream said" in caplog.text


def test_every_request_is_decided_by_one_snapshot():
    story = Story(steps=("quota",))
    story.tell()
    story.tell()
    assert [line.rpartition(" by ")[2] for line in story.journal if " by " in line] == [
        "state 1",
        "state 1",
        "state 2",
        "state 2",
    ]


@pytest.mark.parametrize("where", ["snapshot", "examine", "answer"])
def test_a_state_that_cannot_be_read_is_no_bug_and_its_reason_is_for_the_log(where, caplog):
    lost = OutcropError("state.db is damaged.", "Restore it from a copy.")
    reply = Story(**{where: lost}).tell()
    assert reply.status == 503
    assert reply.headers["x-amzn-errortype"].startswith("ServiceUnavailableException")
    assert b"state.db" not in reply.body
    assert "state.db is damaged. Restore it from a copy." in caplog.text
    assert "Traceback" not in caplog.text


def test_leaving_clients_cancel_and_cancellation_passes():
    with pytest.raises(asyncio.CancelledError):
        Story(answer=asyncio.CancelledError()).tell()


def test_whoever_is_revoked_while_a_slow_body_comes_is_refused():
    """Else a stolen key's requests, begun and held back, would be answered hours after its end."""
    story = Story(slow=1.5, steps=("quota",))

    def examine(head, operation, now, region, state):
        if state == "state 2":
            raise UnrecognizedClientException
        return Claim(story.journal, None)

    story.examine = examine
    assert story.tell().status == 403
    assert story.journal == ["read up to 25000000"]


def test_a_slow_body_is_decided_by_the_state_of_its_end():
    story = Story(slow=1.5)
    assert story.tell().status == 200
    assert story.journal[-1].endswith("by state 2")
