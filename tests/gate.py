"""An engine that waits where a test tells it to, so that what happens meanwhile can be looked at."""

import asyncio
import threading

from outcrop.engine import Stream
from outcrop.engine.scripted import Script, ScriptedEngine


class Gate:
    """A scripted engine that stops at chosen points until told to go on, and tells whether it was stopped."""

    name = "gate"
    cannot = frozenset()

    def __init__(self, *, before_answer=False, after_events=None):
        self._scripted = ScriptedEngine([Script(text="One two three four five six")])
        self._before, self._after = before_answer, after_events
        self.reached, self.cancelled, self.go_on = threading.Event(), threading.Event(), threading.Event()
        self.waiting = 0

    async def start(self):
        pass

    async def close(self):
        pass

    async def count(self, question):
        return 1

    async def _wait(self):
        self.waiting += 1
        self.reached.set()
        try:
            while not self.go_on.is_set():  # noqa: ASYNC110 - it is set by another thread
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def answer(self, question):
        if self._before:
            await self._wait()
        answer = await self._scripted.answer(question)
        return Stream(self._events(answer.events)) if question.stream else answer

    async def _events(self, events):
        seen = 0
        async for batch in events:
            if seen == self._after:
                await self._wait()
            yield batch
            seen += len(batch)
