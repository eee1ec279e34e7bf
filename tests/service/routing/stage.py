"""What routing is tested on: a clock and chance in the test's hand, and engines with a fate."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from outcrop.catalog import Catalog
from outcrop.engine import Event, Question, Stream, Whole
from outcrop.service.call import Call, Principal, Target
from outcrop.service.routing.dispatch import Dispatcher
from outcrop.service.routing.places import Fleet, Place
from outcrop.wire.http import Head
from outcrop.wire.operations import BY_NAME
from service.memory import MemorySnapshot

CATALOG = Catalog.load()
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
GLOBAL = CATALOG.profile(f"global.{SONNET}")
EU = CATALOG.profile(f"eu.{SONNET}")
US = CATALOG.profile(f"us.{SONNET}")
MODEL = CATALOG.model(SONNET)
ACCOUNT = "111122223333"
USER = f"arn:aws:iam::{ACCOUNT}:user/u"
USAGE = {"input_tokens": 100, "output_tokens": 20}


class Clock:
    """Seconds, as they are set."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now

    def on(self, seconds):
        self.now += seconds


def state(*records):
    """A snapshot of these records."""
    return MemorySnapshot({(record.KIND, record.key): record for record in records}, 1)


class Fate:
    """What becomes of a question: an error before the answer or after some batches, a wait, time."""

    def __init__(self, error=None, *, after=None, wait=None, wait_after=0, seconds=0.0):
        self.error, self.after, self.wait, self.wait_after, self.seconds = (
            error,
            after,
            wait,
            wait_after,
            seconds,
        )


WELL = Fate()


class Fake:
    """Answers as its fates say, the last one for ever; counts who was asked and what is still running."""

    def __init__(self, name="fake", *fates, clock=None, cannot=()):
        self.name, self.cannot, self.clock = name, frozenset(cannot), clock
        self.fates = list(fates) or [WELL]
        self.asked, self.counted, self.running = [], [], 0
        self.lifecycle = Counter()

    async def start(self):
        self.lifecycle["start"] += 1

    async def close(self):
        self.lifecycle["close"] += 1

    def _fate(self):
        return self.fates.pop(0) if len(self.fates) > 1 else self.fates[0]

    async def answer(self, question):
        self.asked.append(question)
        fate = self._fate()
        if self.clock is not None:
            self.clock.on(fate.seconds)
        if fate.wait is not None and fate.wait_after == 0:
            await fate.wait.wait()
        if fate.error is not None and (fate.after is None or not question.stream):
            raise fate.error
        if question.stream:
            return Stream(self._events(fate))
        return Whole(json.dumps({"content": [], "usage": USAGE}).encode())

    async def _events(self, fate):
        self.running += 1
        try:
            for number, event in enumerate(EVENTS):
                if fate.error is not None and number == fate.after:
                    raise fate.error
                if fate.wait is not None and number == fate.wait_after:
                    await fate.wait.wait()
                yield (event,)
        finally:
            self.running -= 1

    async def count(self, question):
        self.counted.append(question)
        fate = self._fate()
        if fate.error is not None:
            raise fate.error
        return 7


EVENTS = (
    Event(
        "message_start",
        json.dumps({"type": "message_start", "message": {"content": [], "usage": USAGE}}).encode(),
    ),
    Event("content_block_delta", b'{"index":0,"delta":{"type":"text_delta","text":"Hel"}}'),
    Event("message_delta", b'{"type":"message_delta","delta":{},"usage":{"output_tokens":20}}'),
    Event("message_stop", b'{"type":"message_stop"}'),
)


def call(profile=GLOBAL, source="us-west-2", *, regions=(), known=None, owner=USER, operation="InvokeModel"):
    target = profile if isinstance(profile, Target) else Target(profile.model, profile)
    return Call(
        head=Head("POST", "/", "", {"host": "h"}),
        operation=BY_NAME[operation],
        labels={},
        body=b"",
        principal=Principal(USER, "AIDA", ACCOUNT, "AKIA", owner),
        region=source,
        request_id="id-1",
        received=1_766_000_000.0,
        began=5.0,
        state=state() if known is None else known,
        target=target,
        regions=tuple(regions),
    )


def question(*, stream=False, model=MODEL, body=None):
    return Question(model, {"max_tokens": 50, "messages": []} if body is None else body, stream)


def place(engine, *regions, **more):
    return Place(more.pop("name", engine.name), engine, frozenset(regions) or None, **more)


class Stage:
    """A dispatcher over places, with its clock, and a chance that always says the same."""

    def __init__(self, *places, chance=0.5, clock=None):
        self.clock = clock or Clock()
        self.dispatcher = Dispatcher(Fleet(places), monotonic=self.clock, randomness=lambda: chance)
        self.regions = ("us-east-1", "us-west-2", "eu-central-1")

    def state(self, name):
        return {state.name: state for state in self.dispatcher.states()}[name]

    @property
    def in_flight(self):
        return {state.name: state.in_flight for state in self.dispatcher.states()}

    async def ask(self, *, stream=False, regions=None, **more):
        regions = self.regions if regions is None else regions
        return await self.dispatcher.answer(call(regions=regions), question(stream=stream, **more))

    async def read(self, **more):
        """A stream to its end: the outcome and its events."""
        outcome = await self.ask(stream=True, **more)
        return outcome, [event async for batch in outcome.answer.events for event in batch]

    def whole(self, **more):
        return asyncio.run(self.ask(**more))
