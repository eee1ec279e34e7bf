"""The asynchronous client: carries the conversations of `operations` with asyncio. Decides nothing.

One client serves any number of event loops, one after the other or side by side: each has connections of
its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from outcrop.client import call as steps
from outcrop.client import operations
from outcrop.client.core import ClientBase
from outcrop.client.errors import APIConnectionError, request_id
from outcrop.client.responses import AsyncAPIResponse
from outcrop.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator
    from types import TracebackType
    from typing import Literal, Self, Unpack, overload

    from outcrop.client.call import Outcome, Step
    from outcrop.client.model_names import ModelName
    from outcrop.client.params import (
        ConverseParams,
        CountParams,
        MessageParams,
    )
    from outcrop.client.replies import Response
    from outcrop.client.streams import StreamReader
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

    @property
    def messages(self) -> AsyncMessages:
        """Messages: create, stream, count_tokens."""
        return AsyncMessages(self)

    @property
    def beta(self) -> AsyncBeta:
        """The same with `betas=[…]`."""
        return AsyncBeta(self)

    @property
    def models(self) -> AsyncModels:
        """The models and inference profiles of this region and account."""
        return AsyncModels(self)

    @property
    def with_raw_response(self) -> AsyncRawClient:
        """The same calls, giving status and headers beside the result."""
        return AsyncRawClient(self)

    async def converse(self, **params: Unpack[ConverseParams]) -> ConverseResponse:
        """AWS's Converse: its members by their names, `model` as everywhere here. Bytes go in as bytes."""
        return await self._run(operations.converse(self._core, dict(params)))

    async def converse_stream(self, **params: Unpack[ConverseParams]) -> AsyncStream[ConverseStreamEvent]:
        """AWS's ConverseStream: events with one member each, as boto3 gives them."""
        conversation = operations.converse_outcome(self._core, dict(params), stream=True)
        return AsyncStream(self, await self._run(conversation))

    async def identity(self) -> Identity:
        """Who the credentials belong to: account, ARN and user id, from STS."""
        return await self._run(operations.identity(self._core))

    async def close(self) -> None:
        """Closes the connections. A client given as `http_client` is its owner's to close."""
        await self._shared.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, conversation: Generator[Step, Any, T]) -> T:
        """Carries a conversation to its end."""
        transport = self._shared.transport(self._core)
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
                return steps.Received(status, response.headers, b"", response)
            return steps.Received(status, response.headers, await response.read(_LARGEST_ANSWER))
        if type(step) is steps.More:
            return await anext(step.open, b"")
        if type(step) is steps.Wait:
            await asyncio.sleep(step.seconds)
            return None
        return await asyncio.to_thread(self._core.source().get)


class _Shared:
    """The transports of a client and of its copies: one for each event loop, made when first needed."""

    def __init__(self) -> None:
        self.closed = False
        self._transports: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    def transport(self, core: Any) -> Any:
        if self.closed:
            raise APIConnectionError(
                message="The client is closed.", fix="Make a new one, or close it later."
            )
        loop = asyncio.get_running_loop()
        found = self._transports.get(loop)
        if found is None:
            self._forget_ended()
            found = self._transports[loop] = self._made(core)
        return found

    def _forget_ended(self) -> None:
        """Connections of loops that are closed can't be used or closed in order any more."""
        for loop in [loop for loop in self._transports if loop.is_closed()]:
            self._transports.pop(loop).abandon()

    @staticmethod
    def _made(core: Any) -> Any:
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
        self._forget_ended()
        loop = asyncio.get_running_loop()
        for owner, transport in list(self._transports.items()):
            if owner is loop:
                await transport.close()
            else:
                owner.call_soon_threadsafe(transport.abandon)


class AsyncStream(Generic[E]):
    """The events of a stream, as they come. Raises, between events, what went wrong; it never just ends.

    An async context manager: leaving it closes the connection if the stream had not ended.
    """

    def __init__(self, client: AsyncAnthropicBedrock, outcome: Outcome) -> None:
        self._core = client._core
        self._outcome = outcome
        self._reader: StreamReader = outcome.stream
        self._events: list[E] = outcome.events
        self._at = 0
        self._ended = False

    @property
    def response(self) -> Response:
        """Status and headers of the reply."""
        return self._outcome.response

    @property
    def request_id(self) -> str | None:
        """AWS's id of the request."""
        return request_id(self._outcome.response)

    def __aiter__(self) -> AsyncIterator[E]:
        return self

    async def __anext__(self) -> E:
        while self._at >= len(self._events):
            if self._ended:
                raise StopAsyncIteration
            try:
                await self._read_on()
            except BaseException:
                self._end()
                raise
        event = self._events[self._at]
        self._at += 1
        return event

    async def _read_on(self) -> None:
        """Waits for the next events. At the end of the stream there are none."""
        reader, opened = self._reader, self._outcome.open
        self._events, self._at = [], 0
        if reader.done:
            opened.finish_unread()
            self._ended = True
            return
        if reader.error is not None:
            raise reader.error
        try:
            data = await anext(opened, b"")
        except TransportError as error:
            data = error
        self._events = reader.feed(data)

    def _end(self) -> None:
        self._ended = True
        self._events = []
        self._outcome.open.close()

    async def close(self) -> None:
        """Gives the stream up: the server stops. Idempotent."""
        self._end()

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
        self._snapshot = operations.snapshot_of(stream._outcome)
        self._pending: list[MessageStreamEvent] = []
        self.text_stream: AsyncIterator[str] = self._texts()

    @property
    def response(self) -> Response:
        """Status and headers of the reply."""
        return self._stream.response

    @property
    def request_id(self) -> str | None:
        """AWS's id of the request."""
        return self._stream.request_id

    @property
    def current_message_snapshot(self) -> Message:
        """The message as far as it has come."""
        return self._snapshot.message()

    async def get_final_message(self) -> Message:
        """Reads to the end and gives the whole message. Raises what broke the stream, asked again too."""
        await self.until_done()
        self._stream._outcome.stream.require_whole()
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
        if not self._pending:
            # the next is taken from the end
            self._pending = [*reversed(self._snapshot.add(await anext(self._stream)))]
        return self._pending.pop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _texts(self) -> AsyncIterator[str]:
        async for event in self:
            if event.type == "text":
                yield event.text


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
    def __init__(self, client: AsyncAnthropicBedrock) -> None:
        self._client = client
        self._core = client._core

    async def _create(self, params: dict[str, Any]) -> Any:
        if params.get("stream"):
            return await self._open(params)
        return await self._client._run(operations.create(self._core, params))

    async def _open(self, params: dict[str, Any]) -> AsyncStream[Event]:
        outcome = await self._client._run(operations.message_outcome(self._core, params))
        return AsyncStream(self._client, outcome)

    def _stream(self, params: dict[str, Any]) -> AsyncMessageStreamManager:
        params["stream"] = True
        return AsyncMessageStreamManager(lambda: self._open(params))

    async def _count(self, params: dict[str, Any]) -> MessageTokensCount:
        return await self._client._run(operations.count_tokens(self._core, params))


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
        return AsyncRawMessages(self._client)


class AsyncBeta:
    """What Anthropic's API calls beta."""

    def __init__(self, client: AsyncAnthropicBedrock) -> None:
        self.messages = AsyncMessages(client)


class AsyncModels:
    """Foundation models and inference profiles, from Bedrock's control plane."""

    def __init__(self, client: AsyncAnthropicBedrock) -> None:
        self._client = client

    async def list(
        self,
        *,
        kind: Literal["foundation-model", "inference-profile"] | None = None,
        provider: str | None = "anthropic",
    ) -> list[ModelSummary | ProfileSummary]:
        """All of them, or one `kind`; `provider=None` lists those of every provider."""
        return await self._client._run(
            operations.list_models(self._client._core, kind=kind, provider=provider)
        )

    async def get(self, model: ModelName) -> ModelSummary | ProfileSummary:
        """One, by id, ARN or short name."""
        return await self._client._run(operations.get_model(self._client._core, model))


class AsyncRawClient:
    """A client whose calls give status and headers beside the result."""

    def __init__(self, client: AsyncAnthropicBedrock) -> None:
        self.messages = AsyncRawMessages(client)
        self.beta = self


class AsyncRawMessages:
    """The calls of `messages`, giving an AsyncAPIResponse: `.headers`, `.status_code`, and `.parse()`."""

    def __init__(self, client: AsyncAnthropicBedrock) -> None:
        self._client = client

    async def create(self, **params: Any) -> AsyncAPIResponse[Any]:
        """As `messages.create`."""
        return await raw_create(self._client, params)

    async def count_tokens(self, **params: Any) -> AsyncAPIResponse[MessageTokensCount]:
        """As `messages.count_tokens`."""
        core = self._client._core
        outcome = await self._client._run(operations.count_outcome(core, params))
        return AsyncAPIResponse(outcome, lambda: operations.read_count(outcome))


async def raw_create(client: AsyncAnthropicBedrock, params: dict[str, Any]) -> AsyncAPIResponse[Any]:
    """`messages.create` as an AsyncAPIResponse."""
    outcome = await client._run(operations.message_outcome(client._core, params))
    if params.get("stream"):
        return AsyncAPIResponse(outcome, lambda: AsyncStream(client, outcome))
    return AsyncAPIResponse(outcome, lambda: operations.read_message(outcome))
