"""The engine on this machine: a small model, by llama.cpp in a child process. Its files:

    child.py       the child: llama.cpp's server on a private unix socket
    process.py     its life, seen from here: started, watched, started again, stopped
    link.py        HTTP to it
    room.py        who may generate now
    prompt.py      a Messages request → what the model reads
    tools.py       text or a tool's input, and which tool's
    grammar.py     JSON Schema → GBNF; patterns.py does its regular expressions, check.py checks the result
    generation.py  one answer being made; reply.py gives it the Messages shapes
    models.py      which models there are, where they lie, and how the default one is fetched

What a request says and this engine does: system, turns, prefill, `max_tokens`, `stop_sequences`,
`temperature`, `top_p`, `top_k`, tools, `output_config.format`. What it can't do (images, documents other
than plain text, reasoning) is refused as AWS does. `cache_control` changes nothing: usage reports no cached
tokens, and the prompt is always counted whole.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import msgspec

from outcrop.engine import Answer, Event, Lack, Question, Stream, Whole
from outcrop.engine.lacks import refuse_lacks
from outcrop.engine.local import models
from outcrop.engine.local.check import Shape, shape
from outcrop.engine.local.generation import FAILED, STALL, TIMED_OUT, Called, Generation, Means, Pace, Plan
from outcrop.engine.local.link import Link, LinkLostError, RefusedError
from outcrop.engine.local.process import Child
from outcrop.engine.local.prompt import (
    Conversation,
    Piece,
    chatml,
    conversation,
    filled_template,
    template_messages,
)
from outcrop.engine.local.reply import Reply
from outcrop.engine.local.room import Room
from outcrop.engine.local.tools import choose, offered
from outcrop.errors import ModelErrorException, ModelTimeoutException, ValidationException
from outcrop.wire.messages_reply import message_id, tool_use_id

# What the model's authors sample with; a request's own values take precedence, one by one.
_SAMPLING: Final = {"temperature": 0.2, "top_p": 0.9, "top_k": 0, "min_p": 0.0}
# Keeps the default model from saying one sentence over and over: in text, a token that would make a repeated
# run longer than four costs more with each (llama.cpp's DRY sampler). Over 33 answers the share of repeated
# runs of four words fell from 13 % to 3 %. A plain `repeat_penalty` did as much, but it also holds back the
# token that ends an answer, for that stands in every prompt: "Hello, world" got 190 tokens instead of 5.
_STEADY: Final = {
    "dry_multiplier": 0.8,
    "dry_base": 1.75,
    "dry_allowed_length": 4,
    "dry_penalty_last_n": 512,
}
# A tool call begins with tokens that the request has not: cells for them, and for picking a name.
_CALL_CELLS: Final = 128


class _Generated(msgspec.Struct):
    n_ctx: int


class _Caps(msgspec.Struct):
    supports_system_role: bool = True


class _Props(msgspec.Struct):
    default_generation_settings: _Generated
    chat_template_caps: _Caps = msgspec.field(default_factory=_Caps)


class _Tokens(msgspec.Struct):
    tokens: list[int]


class _Written(msgspec.Struct):
    prompt: str


class LocalEngine:
    """Answers with the model in a GGUF file.

    `context` is the window in tokens that any answer may use, prompt included. `parallel` answers are made
    at a time and share that one window: memory grows with `context` alone (22 KiB a token for the default
    model), and an answer begins when its prompt and its `max_tokens` fit beside those under way. At most
    `queue` more wait; beyond that requests are throttled. `threads` 0 chooses. `progress` is called with
    the seconds that loading the model has taken so far, some twenty times a second.
    """

    def __init__(
        self,
        model: Path,
        *,
        context: int = 8192,
        parallel: int = 2,
        threads: int = 0,
        queue: int = 64,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._model = model
        self._chatml = models.is_default(model)
        self._room = Room(parallel, context, queue)
        self._window = context  # llama.cpp may give less
        self._child = Child(
            model,
            context=context,
            parallel=parallel,
            threads=threads,
            progress=progress,
            started=self._room.forget,
        )
        self._pace = Pace()
        self._props: _Props | None = None
        self._control: dict[str, list[int]] = {}
        self._random = random.SystemRandom()

    @property
    def name(self) -> str:
        """`local/` and the model's name."""
        return f"local/{models.DEFAULT.name if self._chatml else self._model.stem}"

    @property
    def cannot(self) -> frozenset[Lack]:
        """Documents are refused unless they are plain text, which the model reads like any other text."""
        return frozenset(("images", "documents", "thinking"))

    @property
    def pid(self) -> int | None:
        """The child process that runs now."""
        return self._child.pid

    async def start(self) -> None:
        """Loads the model. Raises OutcropError: no such file, not a model, no llama.cpp."""
        models.check_gguf(self._model)
        await self._child.start()

    async def close(self) -> None:
        """Stops the child."""
        await self._child.close()

    async def count(self, question: Question) -> int:
        """Exactly what an answer's usage says as `input_tokens`."""
        refuse_lacks(question.body, self.cannot - {"documents"})
        return len(await self._prompt(conversation(question.body, _described(question.body))))

    async def answer(self, question: Question) -> Answer:
        """Waits for a place and for the first piece of the answer, so that what fails before is a status."""
        body = question.body
        refuse_lacks(body, self.cannot - {"documents"})
        talk = conversation(body, _described(body))
        tools, output = _shapes(body)
        prompt = await self._prompt(talk)
        if len(prompt) >= self._window:
            raise ValidationException(
                f"prompt is too long: {len(prompt)} tokens > {self._window - 1} maximum"
            )
        stop = body.get("stop_sequences") or ()
        sampling = _sampling(body, steady=self._chatml and not tools and output is None)
        plan = Plan(prompt, body["max_tokens"], self._window, stop, sampling, tools, output, question.stream)
        reply = Reply(message_id(os.urandom(16)), question.model.anthropic_name, len(prompt))
        events = await _started(self._events(plan, reply))
        if question.stream:
            return Stream(events)
        async for _ in events:
            pass
        return Whole(reply.whole())

    async def _events(self, plan: Plan, reply: Reply) -> AsyncGenerator[Sequence[Event], None]:
        cells = len(plan.prompt) + plan.max_tokens + (_CALL_CELLS if plan.tools else 0)
        place = await self._room.take(min(cells, plan.window), plan.prompt)
        generation = Generation(plan, place, reply)
        try:
            # asked for again: the child may have died and been started anew while this answer waited
            means = self._means(await self._child.ready())
            async with aclosing(generation.batches(means)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            self._room.leave(place, generation.held)

    def _means(self, link: Link) -> Means:
        async def tokens(pieces: Sequence[Piece]) -> list[int]:
            return await self._tokens(link, pieces, first=False)

        return Means(
            link,
            tokens,
            self._pace,
            seed=lambda: self._random.getrandbits(31),
            tool_id=lambda: tool_use_id(os.urandom(16)),
            give_up=self._child.give_up,
        )

    # the prompt, in tokens

    async def _prompt(self, talk: Conversation) -> list[int]:
        """The prompt's tokens. A child that turns out to be dead is replaced and the next one asked."""
        link = await self._child.ready()
        try:
            return await self._prompt_by(link, talk)
        except LinkLostError:
            self._child.give_up(link)
        try:
            return await self._prompt_by(await self._child.ready(), talk)
        except LinkLostError as error:
            raise ModelErrorException(FAILED, reason=f"the local engine's process died: {error}") from error

    async def _prompt_by(self, link: Link, talk: Conversation) -> list[int]:
        try:
            async with asyncio.timeout(STALL):
                return await self._prompt_of(link, talk)
        except RefusedError as error:
            raise ModelErrorException(FAILED, reason=str(error)) from error
        except TimeoutError as error:
            self._child.give_up(link)
            raise ModelTimeoutException(TIMED_OUT, reason="the local engine's process hangs") from error

    async def _prompt_of(self, link: Link, talk: Conversation) -> list[int]:
        props = await self._facts(link)
        if self._chatml:
            return await self._tokens(link, chatml(talk), first=True)
        asked = {
            "messages": template_messages(talk, system_role=props.chat_template_caps.supports_system_role),
            # reasoning models: the answer is wanted, and thinking is among the lacks
            "chat_template_kwargs": {"enable_thinking": False},
        }
        written = msgspec.json.decode(await link.call("/apply-template", asked), type=_Written)
        return await self._tokens(link, filled_template(written.prompt, talk), first=True)

    async def _tokens(self, link: Link, pieces: Sequence[Piece], *, first: bool) -> list[int]:
        """The tokens of `pieces`: control tokens are read in control pieces only. `first` adds the model's
        beginning-of-text token where it has one."""
        mixed: list[int | str] = []
        for number, piece in enumerate(pieces):
            if piece.control:
                mixed += await self._control_tokens(link, piece.text, first=first and number == 0)
            else:
                mixed.append(piece.text)
        asked = {"content": mixed, "add_special": False, "parse_special": False}
        return msgspec.json.decode(await link.call("/tokenize", asked), type=_Tokens).tokens

    async def _control_tokens(self, link: Link, text: str, *, first: bool) -> list[int]:
        """The same few texts come again and again, so their tokens are kept."""
        key = f"{first}{text}"
        if key not in self._control:
            asked = {"content": text, "add_special": first, "parse_special": True}
            reply = msgspec.json.decode(await link.call("/tokenize", asked), type=_Tokens)
            if len(self._control) >= 256:  # a template that writes something new each time
                self._control.clear()
            self._control[key] = reply.tokens
        return self._control[key]

    async def _facts(self, link: Link) -> _Props:
        if self._props is None:
            self._props = msgspec.json.decode(await link.call("/props"), type=_Props)
            self._window = min(self._window, self._props.default_generation_settings.n_ctx)
        return self._props


def _described(body: Mapping[str, Any]) -> Sequence[Any]:
    """The tools that the prompt speaks of: those offered, unless the request forbids their use."""
    forbidden = (body.get("tool_choice") or {}).get("type") == "none"
    return () if forbidden else offered(body)


def _shapes(body: Mapping[str, Any]) -> tuple[tuple[Called, ...], Shape | None]:
    """The tools of which one is to be called (none: text), and the shape that text must have (None: any).

    Every offered tool's schema is made ready, called or not: a bad one is refused each time or never.
    """
    tools = offered(body)
    ready = {tool.name: Called(tool.name, shape(tool.schema, tool.place)) for tool in tools}
    called = tuple(ready[tool.name] for tool in choose(body, tools).tools)
    wanted = (body.get("output_config") or {}).get("format")
    return called, shape(wanted["schema"], "output_config.format.schema") if wanted else None


def _sampling(body: Mapping[str, Any], *, steady: bool) -> dict[str, Any]:
    given = {key: body[key] for key in ("temperature", "top_p", "top_k") if body.get(key) is not None}
    return {**_SAMPLING, **(_STEADY if steady else {}), **given}


class _Started(AsyncIterator[Sequence[Event]]):
    """The rest of an async generator whose first value is there already. Closing it closes the generator."""

    def __init__(self, first: Sequence[Event], rest: AsyncGenerator[Sequence[Event], None]) -> None:
        self._first: Sequence[Event] | None = first
        self._rest = rest

    async def __anext__(self) -> Sequence[Event]:
        first, self._first = self._first, None
        return first if first is not None else await anext(self._rest)

    async def aclose(self) -> None:
        await self._rest.aclose()


async def _started(batches: AsyncGenerator[Sequence[Event], None]) -> _Started:
    """Runs a generator up to its first value. Started, it cleans up behind itself even when it is only
    dropped."""
    try:
        return _Started(await anext(batches), batches)
    except asyncio.CancelledError:
        await batches.aclose()
        raise
