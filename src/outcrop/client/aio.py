"""The asynchronous client: carries the conversations of `operations` with asyncio. Decides nothing.

One client serves any number of event loops, one after the other or side by side: each has connections of
its own.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary, ref

from outcrop.client import call as steps
from outcrop.client import operations
from outcrop.client.core import CLOSED, MAKE_ANOTHER, ClientBase
from outcrop.client.errors import APIConnectionError, request_id
from outcrop.client.responses import AsyncAPIResponse
from outcrop.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
    from types import TracebackType
    from typing import Literal, Self, Unpack, overload

    from outcrop.client.call import Outcome, Step
    from outcrop.client.core import Core
    from outcrop.client.model_names import ModelName
    from outcrop.client.params import (
        ConverseParams,
        CountParams,
        MessageParams,
    )
    from outcrop.client.replies import Response
    from outcrop.types import (
        ConverseResponse,
        ConverseStreamEvent,
        Event,
        Identity,
        Message,
        MessageStreamEvent,
        MessageTokensCount,
        ModelSummary,
        ProfileSummary,
    )

T = TypeVar("T")
E = TypeVar("E")

_LARGEST_ANSWER = 64 * 1024 * 1024


class AsyncAnthropicBedrock(ClientBase):
    """Claude on Amazon Bedrock, with asyncio. Arguments, order and rules are those of AnthropicBedrock.

        async with AsyncAnthropicBedrock(aws_region="us-west-2") as client:
            message = await client.messages.create(
                model="claude-sonnet-4-5", max_tokens=256, messages=[{"role": "user", "content": "Hello"}]
            )

    `http_client` is an `httpx2.AsyncClient`. Raises UsageError for arguments that can't be meant.
    """

    def _new_shared(self) -> _Shared:
        return _Shared()

    @cached_property
    def _carrier(self) -> _Carrier:
        return _Carrier(self._core, self._shared)

    @cached_property
    def messages(self) -> AsyncMessages:
        """Messages: create, stream, count_tokens."""
        return AsyncMessages(self._carrier)

    @cached_property
    def beta(self) -> AsyncBeta:
        """The same with `betas=[…]`."""
        return AsyncBeta(self._carrier)

    @cached_property
    def models(self) -> AsyncModels:
        """The models and inference profiles of this region and account."""
        return AsyncModels(self._carrier)

    @cached_property
    def with_raw_response(self) -> AsyncRawClient:
        """The same calls, giving status and headers beside the result."""
        return AsyncRawClient(self._carrier)

    async def converse(self, **params: Unpack[ConverseParams]) -> ConverseResponse:
        """AWS's Converse: its members by their names, `model` as everywhere here. Bytes go in as bytes."""
        return await self._carrier.run(operations.converse(self._core, dict(params)))

    async def converse_stream(self, **params: Unpack[ConverseParams]) -> AsyncStream[ConverseStreamEvent]:
        """AWS's ConverseStream: events with one member each, as boto3 gives them."""
        conversation = operations.converse_outcome(self._core, dict(params), stream=True)
        return AsyncStream(await self._carrier.run(conversation))

    async def identity(self) -> Identity:
        """Who the credentials belong to: account, ARN and user id, from STS."""
        return await self._carrier.run(operations.identity(self._core))

    async def close(self) -> None:
        """Closes the connections. A client given as `http_client` is its owner's to close."""
        await self._shared.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Shared:
    """The transports of a client and of its copies: one for each event loop, made when first needed."""

    def __init__(self) -> None:
        self.closed = False
        self._lock = Lock()  # loops may run in several threads
        self._last: tuple[Callable[[], object], Any] = lambda: None, None
        self._transports: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    def transport(self, core: Core) -> Any:
        if self.closed:
            raise APIConnectionError(message=CLOSED, fix=MAKE_ANOTHER)
        loop = asyncio.get_running_loop()
        last, found = self._last
        if last() is loop:
            return found
        with self._lock:
            found = self._transports.get(loop)
            if found is None:
                self._forget_ended()
                found = self._transports[loop] = self._make(core)
            self._last = ref(loop), found
        return found

    def _forget_ended(self) -> None:
        """Connections of loops that are closed can't be used or closed in order any more."""
        for loop in [loop for loop in self._transports if loop.is_closed()]:
            self._transports.pop(loop).abandon()

    @staticmethod
    def _make(core: Core) -> Any:
        given = core.arguments["http_client"]
        if given is not None:
            from outcrop.transport.httpx import AsyncAdapted

            return AsyncAdapted(given)
        from outcrop.transport.aio import Client
        from outcrop.transport.route import Proxies

        return Client(
            timeouts=core.timeouts,
            trust=core.trust(),
            proxies=Proxies.from_environment(core.environ),
            guarded=False,
        )

    async def close(self) -> None:
        self.closed = True
        loop = asyncio.get_running_loop()
        with self._lock:
            self._forget_ended()
            made = list(self._transports.items())
        for owner, transport in made:
            if owner is loop:
                await transport.close()
            else:
                owner.call_soon_threadsafe(transport.abandon)


class _Carrier:
    """Carries conversations to their end, with the settings and connections of one client."""

    __slots__ = ("_shared", "core")

    def __init__(self, core: Core, shared: _Shared) -> None:
        self.core = core
        self._shared = shared

    async def run(self, conversation: Generator[Step, Any, T]) -> T:
        transport = self._shared.transport(self.core)
        answer: Any = None
        try:
            while True:
                step = conversation.send(answer)
                try:
                    answer = await self._do(step, transport)
                except TransportError as error:
                    answer = error
        except StopIteration as end:
            result: T = end.value
            return result

    async def _do(self, step: Step, transport: Any) -> Any:
        if type(step) is steps.Send:
            response = await transport.send(
                step.method, step.url, step.headers, step.body, timeouts=step.timeouts
            )
            status = response.status
            if step.streams and status == 200:
                return steps.Received(status, response.headers, b"", _Open(response))
            return steps.Received(status, response.headers, await response.read(_LARGEST_ANSWER))
        if type(step) is steps.More:
            return await anext(step.open, b"")
        if type(step) is steps.Wait:
            await asyncio.sleep(step.seconds)
            return None
        return await asyncio.to_thread(self.core.source().get)


class _Open:
    """A reply that is still arriving. Dropped unread, it gives its connection up: nobody else would."""

    __slots__ = ("_loop", "_response", "close", "finish_unread")

    def __init__(self, response: Any) -> None:
        self._response = response
        self._loop = asyncio.get_running_loop()
        self.close = response.close
        self.finish_unread = response.finish_unread

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        part: bytes = await anext(self._response)
        return part

    def __del__(self) -> None:
        # from whatever thread collects it; closing a response that has ended does nothing
        if not self._loop.is_closed():
            with suppress(RuntimeError):  # it was closed meanwhile
                self._loop.call_soon_threadsafe(self.close)


class AsyncStream(Generic[E]):
    """The events of a stream, as they come. Raises, between events, what went wrong; it never just ends.

    Iterating again goes on where it was left, or raises again what broke it. An async context manager:
    leaving it gives the stream up if it had not ended, as dropping it does.
    """

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._pending: Iterator[E] = iter(outcome.events)
        self._ended = False

    @property
    def response(self) -> Response:
        """Status and headers of the reply."""
        return self.outcome.response

    @property
    def request_id(self) -> str | None:
        """AWS's id of the request."""
        return request_id(self.outcome.response)

    def __aiter__(self) -> AsyncIterator[E]:
        return self

    async def __anext__(self) -> E:
        while True:
            for event in self._pending:
                return event
            if not await self._read_on():
                raise StopAsyncIteration

    async def _read_on(self) -> bool:
        """Waits for the next events; False after the last. Raises what broke the stream."""
        reader, opened = self.outcome.stream, self.outcome.open
        if reader.done:
            if not self._ended:
                self._ended = True
                opened.finish_unread()
            return False
        if reader.error is None:
            try:
                data = await anext(opened, b"")
            except TransportError as error:
                data = error
            self._pending = iter(reader.feed(data))
            return True
        opened.close()
        raise reader.error

    async def close(self) -> None:
        """Gives the stream up: the server stops. Idempotent."""
        self.outcome.open.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncMessageStream:
    """A message while it is written: its events, its text, and what there is of it so far.

    Iterate over it for events (the API's own, and `text`, `input_json`, `thinking`, … made from them), or
    over `text_stream` for text alone.
    """

    def __init__(self, stream: AsyncStream[Event]) -> None:
        self._stream = stream
        self._snapshot = operations.snapshot_of(stream.outcome)
        self._pending: Iterator[MessageStreamEvent] = iter(())

    @property
    def response(self) -> Response:
        """Status and headers of the reply."""
        return self._stream.response

    @property
    def request_id(self) -> str | None:
        """AWS's id of the request."""
        return self._stream.request_id

    @property
    async def text_stream(self) -> AsyncIterator[str]:
        """Only the text, as it comes."""
        async for event in self:
            if event.type == "text":
                yield event.text

    @property
    def current_message_snapshot(self) -> Message:
        """The message as far as it has come."""
        return self._snapshot.message()

    async def get_final_message(self) -> Message:
        """Reads to the end and gives the whole message. Raises what broke the stream, or its closing."""
        await self.until_done()
        return self.current_message_snapshot

    async def get_final_text(self) -> str:
        """Reads to the end and gives all its text. Raises RuntimeError when there is none."""
        return operations.text_of(await self.get_final_message())

    async def until_done(self) -> None:
        """Reads to the end."""
        async for _ in self:
            pass

    async def close(self) -> None:
        """Gives the stream up: the server stops. Idempotent."""
        await self._stream.close()

    def __aiter__(self) -> AsyncIterator[MessageStreamEvent]:
        return self

    async def __anext__(self) -> MessageStreamEvent:
        while True:
            for event in self._pending:
                return event
            self._pending = iter(self._snapshot.add(await anext(self._stream)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncMessageStreamManager:
    """What `messages.stream()` gives: the request is sent on entering the `async with` block."""

    def __init__(self, open_stream: Callable[[], Awaitable[AsyncStream[Event]]]) -> None:
        self._open = open_stream
        self._stream: AsyncMessageStream | None = None

    async def __aenter__(self) -> AsyncMessageStream:
        self._stream = AsyncMessageStream(await self._open())
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.close()


class _Resource:
    def __init__(self, carrier: _Carrier) -> None:
        self._carrier = carrier

    async def _create(self, params: dict[str, Any]) -> Any:
        if params.get("stream"):
            return await self._open(params)
        return await self._carrier.run(operations.create(self._carrier.core, params))

    async def _open(self, params: dict[str, Any]) -> AsyncStream[Event]:
        return AsyncStream(await self._carrier.run(operations.message_outcome(self._carrier.core, params)))

    def _stream(self, params: dict[str, Any]) -> AsyncMessageStreamManager:
        params["stream"] = True
        return AsyncMessageStreamManager(lambda: self._open(params))

    async def _count(self, params: dict[str, Any]) -> MessageTokensCount:
        return await self._carrier.run(operations.count_tokens(self._carrier.core, params))


class AsyncMessages(_Resource):
    """The Messages API over InvokeModel."""

    if TYPE_CHECKING:

        @overload
        async def create(
            self, *, stream: Literal[False] = ..., **params: Unpack[MessageParams]
        ) -> Message: ...
        @overload
        async def create(
            self, *, stream: Literal[True], **params: Unpack[MessageParams]
        ) -> AsyncStream[Event]: ...
        @overload
        async def create(
            self, *, stream: bool, **params: Unpack[MessageParams]
        ) -> Message | AsyncStream[Event]: ...

    async def create(self, **params: Any) -> Message | AsyncStream[Event]:
        """One message; with `stream=True` its events, as they come.

        Raises APIStatusError and its kin for AWS's errors, APIConnectionError when no answer came,
        UsageError for what can't be sent, TypeError for a parameter that does not exist.
        """
        result: Message | AsyncStream[Event] = await self._create(params)
        return result

    def stream(self, **params: Unpack[MessageParams]) -> AsyncMessageStreamManager:
        """A message while it is written, in an `async with` block."""
        return self._stream(dict(params))

    async def count_tokens(self, **params: Unpack[CountParams]) -> MessageTokensCount:
        """How many input tokens a message would have. Costs nothing; not every model can be asked."""
        return await self._count(dict(params))

    @property
    def with_raw_response(self) -> AsyncRawMessages:
        """The same calls, giving status and headers beside the result."""
        return AsyncRawMessages(self._carrier)


class AsyncBeta:
    """What Anthropic's API calls beta."""

    def __init__(self, carrier: _Carrier) -> None:
        self.messages = AsyncMessages(carrier)


class AsyncModels:
    """Foundation models and inference profiles, from Bedrock's control plane."""

    def __init__(self, carrier: _Carrier) -> None:
        self._carrier = carrier

    async def list(
        self,
        *,
        kind: Literal["foundation-model", "inference-profile"] | None = None,
        provider: str | None = "anthropic",
    ) -> list[ModelSummary | ProfileSummary]:
        """All of them, or one `kind`; `provider=None` lists those of every provider."""
        return await self._carrier.run(
            operations.list_models(self._carrier.core, kind=kind, provider=provider)
        )

    async def get(self, model: ModelName) -> ModelSummary | ProfileSummary:
        """One, by id, ARN or short name."""
        return await self._carrier.run(operations.get_model(self._carrier.core, model))


class AsyncRawClient:
    """A client whose calls give status and headers beside the result."""

    def __init__(self, carrier: _Carrier) -> None:
        self.messages = AsyncRawMessages(carrier)
        self.beta = self


class AsyncRawMessages:
    """The calls of `messages`, giving an AsyncAPIResponse: `.headers`, `.status_code`, and `.parse()`."""

    def __init__(self, carrier: _Carrier) -> None:
        self._carrier = carrier

    async def create(self, **params: Any) -> AsyncAPIResponse[Any]:
        """As `messages.create`."""
        outcome = await self._carrier.run(operations.message_outcome(self._carrier.core, params))
        if params.get("stream"):
            return AsyncAPIResponse(outcome, lambda: AsyncStream(outcome))
        return AsyncAPIResponse(outcome, lambda: operations.read_message(outcome))

    async def count_tokens(self, **params: Any) -> AsyncAPIResponse[MessageTokensCount]:
        """As `messages.count_tokens`."""
        outcome = await self._carrier.run(operations.count_outcome(self._carrier.core, params))
        return AsyncAPIResponse(outcome, lambda: operations.read_count(outcome))
