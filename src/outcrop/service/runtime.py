"""The runtime operations: InvokeModel and Converse, whole and streaming, and CountTokens.

Turns a call into a question in the one inner language (Messages), has it asked, and turns the answer into
what the operation replies. Knows AWS's headers and frames; not who the caller is, nor which engine is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, cast

from outcrop.catalog import Model
from outcrop.engine import Events, Question, Stream, Whole
from outcrop.errors import (
    Fault,
    InternalServerException,
    ServiceUnavailableException,
    ValidationException,
)
from outcrop.service import fault_log, metering
from outcrop.service.call import Ask, AskStep, Call, Count, Counted, Handler, Outcome, Target
from outcrop.wire import converse, frames, messages, messages_reply
from outcrop.wire.converse import ConverseRequest
from outcrop.wire.converse_rules import MODEL_ERRORS
from outcrop.wire.converse_stream import StreamTranslator
from outcrop.wire.http import EVENT_STREAM, JSON, Reply
from outcrop.wire.messages_rules import check_meaning

log = logging.getLogger("outcrop.service")

_DELTA: Final = "content_block_delta"
# The header with which InvokeModel asks for a guardrail (botocore).
_GUARDRAIL: Final = "x-amzn-bedrock-guardrailidentifier"


def through(steps: Sequence[AskStep], ask: Ask) -> Ask:
    """`ask` inside of `steps`, the outermost first."""
    for step in reversed(steps):
        ask = _bound(step, ask)
    return ask


def _bound(step: AskStep, ask: Ask) -> Ask:
    def run(call: Call, question: Question) -> Awaitable[Outcome]:
        return step(call, question, ask)

    return run


class Runtime:
    """Answers the runtime operations of calls whose `target` is filled in.

    `ask` gets a whole answer or a stream, `count` a number of tokens; both raise Fault. `monotonic` gives
    seconds; `paddings` makes the endless values of `p` for one stream.
    """

    def __init__(
        self,
        ask: Ask,
        count: Count,
        *,
        monotonic: Callable[[], float],
        paddings: Callable[[], frames.Padding],
    ) -> None:
        self._ask = ask
        self._count = count
        self._monotonic = monotonic
        self._paddings = paddings
        self._stopping = False

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Operation names and who answers them."""
        return {
            "InvokeModel": self.invoke_model,
            "InvokeModelWithResponseStream": self.invoke_model_with_response_stream,
            "Converse": self.converse,
            "ConverseStream": self.converse_stream,
            "CountTokens": self.count_tokens,
        }

    def stop(self) -> None:
        """From now on a cancelled stream ends with an exception frame."""
        self._stopping = True

    async def invoke_model(self, call: Call) -> Reply:
        """A whole Messages reply, as the engine gave it; the token counts are in headers too."""
        question = _invoke_question(call, stream=False)
        outcome = await self._ask(call, question)
        answer = _whole(outcome)
        usage = metering.usage_of(answer)
        headers = {"content-type": JSON, **_origin(outcome)}
        headers["x-amzn-bedrock-invocation-latency"] = str(self._latency(call))
        headers["x-amzn-bedrock-input-token-count"] = str(usage.input_tokens)
        headers["x-amzn-bedrock-output-token-count"] = str(usage.output_tokens)
        if "prompt_caching" in question.model.features:
            headers["x-amzn-bedrock-cache-read-input-token-count"] = str(usage.cache_read_input_tokens)
            headers["x-amzn-bedrock-cache-write-input-token-count"] = str(usage.cache_creation_input_tokens)
        return Reply(200, headers, answer.body)

    async def invoke_model_with_response_stream(self, call: Call) -> Reply:
        """Messages events, each in a `chunk` frame; the last carries the invocation's metrics."""
        question = _invoke_question(call, stream=True)
        outcome = await self._ask(call, question)
        pieces = self._chunks(call, question, _events(outcome))
        headers = {
            "content-type": EVENT_STREAM,
            "x-amzn-bedrock-content-type": JSON,
            **_origin(outcome),
        }
        return Reply(200, headers, self._unbroken(call, pieces))

    async def converse(self, call: Call) -> Reply:
        """A Converse reply made from the engine's Messages reply."""
        request, question = _converse_question(call, stream=False)
        outcome = await self._ask(call, question)
        body = converse.from_message(_whole(outcome).body, request, self._latency(call))
        return Reply(200, {"content-type": JSON, **_origin(outcome)}, body)

    async def converse_stream(self, call: Call) -> Reply:
        """Converse events made from the engine's Messages events."""
        request, question = _converse_question(call, stream=True)
        outcome = await self._ask(call, question)
        pieces = self._translated(call, StreamTranslator(request), _events(outcome))
        headers = {"content-type": EVENT_STREAM, **_origin(outcome)}
        return Reply(200, headers, self._unbroken(call, pieces))

    async def count_tokens(self, call: Call) -> Reply:
        """How many tokens the input has: of an InvokeModel body, or of a Converse request."""
        counted = await self._count(call, _count_question(call))
        return Reply(200, {"content-type": JSON, **_origin(counted)}, b'{"inputTokens":%d}' % counted.tokens)

    async def _chunks(self, call: Call, question: Question, events: Events) -> AsyncGenerator[bytes]:
        metrics = _Metrics(call, self._latency, caches="prompt_caching" in question.model.features)
        padding = self._paddings()
        async with contextlib.aclosing(events):
            async for batch in events:
                # a delta is the hot path: there is nothing to look at in it
                seen = [data if kind == _DELTA else metrics.seen(kind, data) for kind, data in batch]
                yield frames.chunks(seen, padding)

    async def _translated(
        self, call: Call, translator: StreamTranslator, events: Events
    ) -> AsyncGenerator[bytes]:
        padding = self._paddings()
        async with contextlib.aclosing(events):
            async for batch in events:
                out = [
                    frames.converse_event(name, payload, next(padding))
                    for event in batch
                    for name, payload in translator.feed(event, self._latency(call))
                ]
                if out:
                    yield b"".join(out)

    async def _unbroken(self, call: Call, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The same pieces; what breaks off ends in exactly one exception frame instead of raising."""
        async with contextlib.aclosing(pieces):
            try:
                async for piece in pieces:
                    yield piece
            except Fault as fault:
                broken: Fault = fault
            except asyncio.CancelledError:
                if not self._stopping:
                    raise
                broken = ServiceUnavailableException(reason="the server stops")
            except Exception:  # as in the chain: a bug must not leave a client with a stream that just ends
                log.exception("%s failed in its stream, request %s", call.operation.name, call.request_id)
                broken = InternalServerException()
            else:
                return
            fault_log.warn(f"{call.operation.name} broke off", broken, call.request_id)
            yield frames.exception(broken, converse=call.operation.name == "ConverseStream")

    def _latency(self, call: Call) -> int:
        """Milliseconds since the request's head was read."""
        return int((self._monotonic() - call.began) * 1000)


class _Metrics:
    """Watches an invoke stream go by, and puts the invocation's metrics into its last event."""

    def __init__(self, call: Call, latency: Callable[[Call], int], *, caches: bool) -> None:
        self._call = call
        self._latency = latency
        self._caches = caches
        self._tally = messages_reply.Tally()
        self._first_byte: int | None = None

    def seen(self, kind: str, data: bytes) -> bytes:
        """The event's JSON as it goes out."""
        if self._first_byte is None:
            self._first_byte = self._latency(self._call)
        self._tally.feed(kind, data)
        if kind != "message_stop":
            return data
        latency = self._latency(self._call)
        return messages_reply.with_metrics(
            data, self._tally.usage, latency, self._first_byte, caches=self._caches
        )


def _whole(outcome: Outcome) -> Whole:
    # the engine's contract: whole unless a stream was asked for
    return cast(Whole, outcome.answer)


def _events(outcome: Outcome) -> Events:
    return cast(Stream, outcome.answer).events


def _origin(given: Outcome | Counted) -> dict[str, str]:
    """Which engine answered, and in which region; a region that stands for itself only is said to."""
    headers = {"x-outcrop-engine": given.engine, "x-outcrop-region": given.region}
    if given.simulated:
        headers["x-outcrop-regions"] = "simulated"
    return headers


def _model(call: Call) -> Model:
    return cast(Target, call.target).model  # a step before has found it


def _invoke_question(call: Call, *, stream: bool) -> Question:
    question = _from_messages(call, call.body, _model(call), stream=stream)
    _refuse_guardrail(call.head.headers.get(_GUARDRAIL))
    return question


def _converse_question(call: Call, *, stream: bool) -> tuple[ConverseRequest, Question]:
    request, question = _from_converse(call, call.body, _model(call), stream=stream)
    _refuse_guardrail((request.guardrail or {}).get("guardrailIdentifier"))
    return request, question


def _count_question(call: Call) -> Question:
    kind, value = converse.read_count_input(call.body)
    if kind == "invokeModel":
        return _from_messages(call, value, _model(call), stream=False)
    return _from_converse(call, value, _model(call), stream=False)[1]


def _from_messages(call: Call, body: bytes, model: Model, *, stream: bool) -> Question:
    request = messages.parse_request(body, model)
    return Question(model, request.body, stream, request.betas, call.request_id)


def _from_converse(
    call: Call, body: bytes | dict[str, Any], model: Model, *, stream: bool
) -> tuple[ConverseRequest, Question]:
    request = converse.to_messages(body, model)
    _check_meaning(request.body, model, request.betas)
    return request, Question(model, request.body, stream, request.betas, call.request_id)


def _check_meaning(body: dict[str, object], model: Model, betas: Sequence[str]) -> None:
    """The model's own validation, whose errors Converse repeats behind a prefix of its own (recorded)."""
    try:
        check_meaning(body, model, betas)
    except ValidationException as fault:
        raise ValidationException(f"{MODEL_ERRORS}{fault.text}") from fault


def _refuse_guardrail(identifier: str | None) -> None:
    """No guardrail exists here, and an answer without the one that was asked for would be unguarded."""
    if identifier:
        raise ValidationException(  # quoted by users, the same for an unknown id and an unknown version
            "The guardrail identifier or version provided in the request does not exist."
        )
