"""Who answers. An engine is asked a `Question` in the Messages language and gives an `Answer`.

Whatever is added around an engine is an engine too. This module holds the words, other files the engines.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from outcrop.catalog import Model
from outcrop.wire.sse import Event as Event  # re-exported: an engine's word, spelled where its bytes are read

Lack: TypeAlias = Literal["images", "documents", "tools", "thinking", "structured_output"]


class Question(msgspec.Struct, frozen=True):
    """What an engine is asked.

    `body` is a validated Messages request (`max_tokens`, `messages`, `system`, `tools`, …) without `model`,
    `stream`, `anthropic_version` and `anthropic_beta`; fields we have never heard of are still in it. It is
    shared with the caller's record of the request, so an engine reads it and never changes it.
    """

    model: Model
    body: dict[str, Any]
    stream: bool
    betas: tuple[str, ...] = ()
    request_id: str = ""


class Whole(msgspec.Struct, frozen=True):
    """A complete answer: the JSON of a Messages reply, as the engine gave it."""

    body: bytes


class Events(Protocol):
    """Batches of events, in the order in which they arrived; never an empty batch."""

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        """Itself."""

    async def aclose(self) -> None:
        """Stop the generation. Idempotent."""


class Stream(msgspec.Struct, frozen=True):
    """An answer as it is made: Messages events, in the batches in which they arrived (never an empty batch).

    The iterator raises a `Fault` where the answer breaks off. Ending without `message_stop` is a break too:
    the engine raises ModelStreamErrorException, it never just ends. Closing the iterator, or cancelling the
    task that reads it, stops the generation.
    """

    events: Events


Answer: TypeAlias = Whole | Stream


class Engine(Protocol):
    """Answers questions. Everything may raise a `Fault`; before the first event it becomes an HTTP status."""

    @property
    def name(self) -> str:
        """What the `x-outcrop-engine` header says, e.g. `local/SmolLM2-135M-Instruct`."""

    @property
    def cannot(self) -> frozenset[Lack]:
        """What this engine declares it can't do; asked for it, it refuses with AWS's error."""

    async def start(self) -> None:
        """Make ready (load a model, open nothing else). Idempotent. Raises OutcropError when it can't be."""

    async def answer(self, question: Question) -> Answer:
        """A `Stream` when `question.stream`, else a `Whole`. Cancelling the task stops the generation."""

    async def count(self, question: Question) -> int:
        """How many input tokens the question has."""

    async def close(self) -> None:
        """Stop what runs and free what is held. Idempotent."""
