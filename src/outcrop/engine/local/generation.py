"""One answer being made: the prompt fed step by step, then text, or JSON led by a grammar, as Messages
events.

Speaks llama.cpp's `/completion`. It is always streamed, for closing the connection stops a stream within a
fraction of a second and goes unnoticed otherwise (measured). During the prompt's evaluation it goes
unnoticed even in a stream, so long prompts are fed in steps of about `_STEP_SECONDS`, each a request of its
own that generates nothing; the slot remembers what it has read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple

import msgspec

from outcrop.engine import Event
from outcrop.engine.local.check import Shape
from outcrop.engine.local.grammar import one_of
from outcrop.engine.local.link import Exchange, Link, LinkLostError, RefusedError
from outcrop.engine.local.prompt import Piece, call_opening, naming_opening
from outcrop.engine.local.reply import Ending, Reply
from outcrop.engine.local.room import Place, Tokens
from outcrop.errors import (
    ModelErrorException,
    ModelStreamErrorException,
    ModelTimeoutException,
    ValidationException,
)

_STEP_SECONDS: Final = 0.7
_STEPS: Final = (16, 512)  # the least and the most tokens of a step
STALL: Final = 60.0  # seconds without a sign of life after which the child is given up
_TRIES: Final = 3  # for JSON whose grammar does not say all of its schema
_NAME: Final = 256  # tokens for a tool's name; its grammar ends sooner

# botocore's descriptions of the exceptions
FAILED: Final = "The request failed due to an error while processing the model."
_BROKE_OFF: Final = "An error occurred while streaming the response. Retry your request."
TIMED_OUT: Final = "The request took too long to process. Processing time exceeded the model timeout length."


class Pace:
    """How fast this child reads prompts, from the steps seen so far; it decides the size of the next."""

    def __init__(self) -> None:
        self._rate = 100.0  # tokens a second; a guess until the first step

    def step(self) -> int:
        """How many tokens to feed at once."""
        return max(_STEPS[0], min(_STEPS[1], int(self._rate * _STEP_SECONDS)))

    def saw(self, tokens: int, seconds: float) -> None:
        """A step of `tokens` took `seconds`."""
        self._rate += (tokens / max(seconds, 0.001) - self._rate) / 2


class Called(NamedTuple):
    """A tool whose input the answer is to be."""

    name: str
    shape: Shape


class Plan(msgspec.Struct, frozen=True):
    """What is decided before the model is asked. With `tools` the answer is the input of one of them; with
    `output` it is text in that shape; else it is text."""

    prompt: Tokens
    max_tokens: int
    window: int
    stop: Sequence[str]
    sampling: Mapping[str, Any]
    tools: Sequence[Called]
    output: Shape | None
    stream: bool


class Means(NamedTuple):
    """What a generation needs of its engine: where the child is, how text becomes tokens, ids and seeds."""

    link: Link
    tokens: Callable[[Sequence[Piece]], Awaitable[list[int]]]
    pace: Pace
    seed: Callable[[], int]
    tool_id: Callable[[], str]
    give_up: Callable[[Link], None]


class _Chunk(msgspec.Struct):
    """One event of `/completion`, as far as it is looked at."""

    content: str = ""
    tokens: list[int] = []
    stop: bool = False
    stop_type: str = ""
    stopping_word: str = ""
    tokens_predicted: int = 0


_chunk = msgspec.json.Decoder(_Chunk).decode


class Generation:
    """Makes one answer in `place`. `batches` may be run once; afterwards `held` is what the slot holds."""

    def __init__(self, plan: Plan, place: Place, reply: Reply) -> None:
        self.held: Tokens = plan.prompt[: place.known]
        self._plan = plan
        self._place = place
        self._reply = reply
        self._means: Means
        self._last = _Chunk()

    async def batches(self, means: Means) -> AsyncGenerator[Sequence[Event], None]:
        """The events of the answer. Closing it stops the generation.

        Raises ModelErrorException, or in a stream that has begun ModelStreamErrorException, when the child
        fails, ModelTimeoutException when it hangs, ValidationException for a grammar that it does not
        take.
        """
        self._means = means
        begun = False
        try:
            async with aclosing(self._batches()) as batches:
                async for batch in batches:
                    begun = True
                    yield batch
        except LinkLostError as error:
            means.give_up(means.link)
            raise self._failure(begun, f"the local engine's process died: {error}") from error
        except RefusedError as error:
            if "grammar" in error.text:
                raise ValidationException(
                    "The schema is too large for this model.", reason=str(error)
                ) from error
            raise self._failure(begun, str(error)) from error
        except TimeoutError as error:
            means.give_up(means.link)
            raise ModelTimeoutException(TIMED_OUT, reason="the local engine's process hangs") from error

    def _failure(self, begun: bool, reason: str) -> ModelErrorException:
        if begun and self._plan.stream:
            return ModelStreamErrorException(_BROKE_OFF, reason=reason)
        return ModelErrorException(FAILED, reason=reason)

    async def _batches(self) -> AsyncGenerator[Sequence[Event], None]:
        plan = self._plan
        events = [self._reply.start()]
        opening: list[int] = []
        shape = plan.output
        if plan.tools:
            tool = plan.tools[0] if len(plan.tools) == 1 else await self._picked()
            shape = tool.shape
            opening = await self._means.tokens(call_opening(tool.name))
            events += self._reply.call(self._means.tool_id(), tool.name)
        prompt = [*plan.prompt, *opening]
        if len(prompt) >= plan.window:
            yield [*events, *self._reply.end(Ending("model_context_window_exceeded", None, 0))]
            return
        text = ""
        async with aclosing(self._answer(prompt, shape)) as pieces:
            async for piece in pieces:
                text += piece
                events += self._reply.piece(piece)
                if events:
                    yield events
                events = []
        yield [*events, *self._reply.end(self._ending(text, shape))]

    def _answer(self, prompt: Tokens, shape: Shape | None) -> AsyncGenerator[str, None]:
        if shape is None:
            return self._complete(prompt)
        if shape.grammar.exact:
            return self._complete(prompt, shape.grammar.gbnf)
        return self._tried(prompt, shape)

    async def _tried(self, prompt: Tokens, shape: Shape) -> AsyncGenerator[str, None]:
        """The pieces of the first try that fits. They come at once: what may yet be discarded can't be
        sent."""
        warmer = {**self._plan.sampling, "temperature": max(self._plan.sampling["temperature"], 0.7)}
        for number in range(_TRIES):
            sampling = {**warmer, "seed": self._means.seed()} if number else None
            pieces = [piece async for piece in self._complete(prompt, shape.grammar.gbnf, sampling)]
            if self._last.stop_type != "eos" or shape.fits("".join(pieces)):
                for piece in pieces:
                    yield piece
                return
        raise ModelErrorException(FAILED, reason=f"no value fitted the schema in {_TRIES} tries")

    async def _picked(self) -> Called:
        """The tool whose name the model writes, out of the names there are."""
        names = [msgspec.json.encode(tool.name).decode() for tool in self._plan.tools]
        prompt = [*self._plan.prompt, *await self._means.tokens(naming_opening())]
        if len(prompt) >= self._plan.window:
            return self._plan.tools[0]  # there is no room for its input either, and that is what will be said
        written = "".join([piece async for piece in self._complete(prompt, one_of(names), limit=_NAME)])
        if written not in names:
            raise ModelErrorException(FAILED, reason=f"the model picked {written!r}, which is no tool")
        return self._plan.tools[names.index(written)]

    def _ending(self, text: str, shape: Shape | None) -> Ending:
        """Why the answer ended. A value that is finished when its tokens are used up has ended by itself."""
        last, plan = self._last, self._plan
        if last.stop_type == "word":
            return Ending("stop_sequence", last.stopping_word, last.tokens_predicted)
        whole = last.stop_type == "eos" or (shape is not None and shape.fits(text))
        if whole and shape is not None and not shape.fits(text):
            raise self._failure(True, "the value does not fit its schema")
        if whole:
            return Ending("tool_use" if plan.tools else "end_turn", None, last.tokens_predicted)
        full = last.tokens_predicted < plan.max_tokens
        reason = "model_context_window_exceeded" if full else "max_tokens"
        return Ending(reason, None, last.tokens_predicted)

    # /completion

    async def _complete(
        self,
        prompt: Tokens,
        grammar: str = "",
        sampling: Mapping[str, Any] | None = None,
        *,
        limit: int = 0,
    ) -> AsyncGenerator[str, None]:
        """Runs the model on `prompt` and yields what it writes; `_last` is then how it ended."""
        plan = self._plan
        await self._feed(prompt)
        request = {
            **(sampling or plan.sampling),
            **self._common(prompt),
            "n_predict": min(limit or plan.max_tokens, plan.window - len(prompt)),
            "stop": [] if plan.tools else plan.stop,
            "grammar": grammar,
        }
        held = list(prompt)
        self.held = held
        exchange = await self._open(request)
        try:
            async with aclosing(exchange.events()) as events:
                async for event in _alive(events):
                    self._last = chunk = _chunk(event)
                    held += chunk.tokens
                    if chunk.content:
                        yield chunk.content
                    if chunk.stop:
                        return
            raise LinkLostError("the stream ended early")
        finally:
            exchange.close()

    async def _feed(self, prompt: Tokens) -> None:
        """Has the slot read the prompt up to its last step, so that the task can be cancelled in between."""
        pace = self._means.pace
        fed = self._place.known
        while len(prompt) - fed > (step := pace.step()):
            fed += step
            began = time.monotonic()
            exchange = await self._open({**self._common(prompt[:fed]), "n_predict": 0})
            try:
                async with aclosing(exchange.events()) as events:
                    async for _ in _alive(events):
                        pass
            finally:
                exchange.close()
            pace.saw(step, time.monotonic() - began)
            self._place.known = fed
            self.held = prompt[:fed]

    def _common(self, prompt: Tokens) -> dict[str, Any]:
        return {"prompt": prompt, "id_slot": self._place.slot, "cache_prompt": True, "stream": True}

    async def _open(self, request: Mapping[str, Any]) -> Exchange:
        # The head of the reply comes with the first token.
        async with asyncio.timeout(STALL):
            return await self._means.link.open("/completion", request)


async def _alive(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same events. Raises TimeoutError when the next one does not come."""
    while True:
        try:
            async with asyncio.timeout(STALL):
                event = await anext(events)
        except StopAsyncIteration:
            return
        yield event
