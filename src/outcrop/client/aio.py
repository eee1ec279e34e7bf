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
    from builtins import list as List  # noqa: N812 - in `models`, `list` is a method
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
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
    from outcrop.client.requests import Omit
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
        """AWS's Converse.

            reply = await client.converse(
                model="claude-sonnet-4-5",
                messages=[{"role": "user", "content": [{"text": "Hello"}]}],
                inferenceConfig={"maxTokens": 1024},
            )
            print(reply.output.message.content[0].text)

        Required:
            model           as everywhere here: a short name, an id, an inference profile's id, or an ARN
            messages        the conversation: [{"role": "user", "content": [{"text": …}]}]; bytes as bytes

        What is asked, by AWS's names:
            system          what the model is told before the conversation: [{"text": …}]
            inferenceConfig maxTokens, temperature, topP, stopSequences
            toolConfig      tools and toolChoice
            additionalModelRequestFields
                            what the model has beside Converse: thinking, top_k, anthropic_beta
            additionalModelResponseFieldPaths, guardrailConfig, outputConfig, performanceConfig,
            promptVariables, requestMetadata, serviceTier
                            as in AWS's API

        How it is called:
            endpoint        "global", "regional", "us", "eu", "jp", "apac", "au", …: where it may run
            timeout         seconds, or a Timeout with seconds for each phase; None waits for ever
            extra_headers, extra_query, extra_body
                            what else to send; extra_body is for members that have no keyword here

        Raises APIStatusError and its kin for AWS's errors, APIConnectionError when no answer came,
        UsageError for what can't be sent, TypeError for a parameter that does not exist.
        """
        return await self._carrier.run(operations.converse(self._core, dict(params)))

    async def converse_stream(self, **params: Unpack[ConverseParams]) -> AsyncStream[ConverseStreamEvent]:
        """AWS's Converse as a stream: events with one member each, as boto3 gives them.

            async with await client.converse_stream(
                model="claude-sonnet-4-5", messages=[{"role": "user", "content": [{"text": "Hello"}]}]
            ) as stream:
                async for event in stream:
                    if event.contentBlockDelta:
                        print(event.contentBlockDelta.delta.text or "", end="")

        Required:
            model           as everywhere here: a short name, an id, an inference profile's id, or an ARN
            messages        the conversation: [{"role": "user", "content": [{"text": …}]}]; bytes as bytes

        What is asked, by AWS's names:
            system          what the model is told before the conversation: [{"text": …}]
            inferenceConfig maxTokens, temperature, topP, stopSequences
            toolConfig      tools and toolChoice
            additionalModelRequestFields
                            what the model has beside Converse: thinking, top_k, anthropic_beta
            additionalModelResponseFieldPaths, guardrailConfig, outputConfig, performanceConfig,
            promptVariables, requestMetadata, serviceTier
                            as in AWS's API

        How it is called:
            endpoint        "global", "regional", "us", "eu", "jp", "apac", "au", …: where it may run
            timeout         seconds, or a Timeout with seconds for each phase; None waits for ever
            extra_headers, extra_query, extra_body
                            what else to send; extra_body is for members that have no keyword here

        Raises APIStatusError and its kin for AWS's errors, APIConnectionError when no answer came,
        UsageError for what can't be sent, TypeError for a parameter that does not exist.
        """
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
                    if type(step) is not steps.Send:
                        answer = await self._do(step)
                        continue
                    response = await transport.send(
                        step.method, step.url, step.headers, step.body, timeouts=step.timeouts
                    )
                    status, headers = response.status, response.headers
                    if step.streams and status == 200:
                        answer = steps.Received(status, headers, b"", _Open(response, transport))
                    else:
                        answer = steps.Received(status, headers, await response.read(_LARGEST_ANSWER))
                except TransportError as error:
                    answer = error
        except StopIteration as end:
            result: T = end.value
            return result

    async def _do(self, step: Step) -> Any:
        if type(step) is steps.More:
            return await anext(step.open, b"")
        if type(step) is steps.Wait:
            await asyncio.sleep(step.seconds)
            return None
        return await asyncio.to_thread(self.core.source().get)


class _Open:
    """A reply that is still arriving. Dropped unread, it gives its connection up: nobody else would.

    It keeps its transport, which closes what is open when the loop ends.
    """

    __slots__ = ("_loop", "_response", "_transport", "close", "finish_unread")

    def __init__(self, response: Any, transport: Any) -> None:
        self._response = response
        self._transport = transport
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

    def _create(self, params: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        if params.get("stream"):
            return self._open(params)
        return self._carrier.run(operations.create(self._carrier.core, params))

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
            self, *, stream: Literal[False] | Omit = ..., **params: Unpack[MessageParams]
        ) -> Message: ...
        @overload
        async def create(
            self, *, stream: Literal[True], **params: Unpack[MessageParams]
        ) -> AsyncStream[Event]: ...
        @overload
        async def create(
            self, *, stream: bool | Omit, **params: Unpack[MessageParams]
        ) -> Message | AsyncStream[Event]: ...

    async def create(self, **params: Any) -> Message | AsyncStream[Event]:
        """One message; with `stream=True` its events, as they come.

            message = await client.messages.create(
                model="claude-sonnet-4-5",
                max_tokens=1024,
                messages=[{"role": "user", "content": "Hello, Claude"}],
            )
            print(message.content[0].text)

        Required:
            model           a short name ("claude-sonnet-4-5"), an id, an inference profile's id, or an ARN
            max_tokens      how many tokens the answer may have; all are reserved from the account's quota
            messages        the conversation, newest turn last: [{"role": "user", "content": text or blocks}]

        What is asked:
            system          what the model is told before the conversation: text, or text blocks
            temperature     from 0, which is sober, to 1
            top_p, top_k    only the likeliest tokens: of this probability together, or so many
            stop_sequences  texts that end the answer
            tools           what the model may ask to be run: dicts of name, description and input_schema
            tool_choice     {"type": "auto"}, "any", "none", or {"type": "tool", "name": …}
            thinking        {"type": "enabled", "budget_tokens": 1024 or more}, "adaptive" or "disabled"
            output_config   {"effort": …} and {"format": a JSON Schema to answer in}
            cache_control   {"type": "ephemeral"} keeps all up to the last block that can be kept
            metadata        {"user_id": an opaque id}
            betas           beta features by name; Bedrock gets them in the body
            container, context_management, diagnostics, inference_geo, mcp_servers, output_format,
            service_tier, speed, user_profile_id, workspace_id
                            as in Anthropic's API; not every model on Bedrock takes them
            stream          True gives the events

        How it is called:
            endpoint        "global", "regional", "us", "eu", "jp", "apac", "au", …: where it may run
            timeout         seconds, or a Timeout with seconds for each phase; None waits for ever
            extra_headers, extra_query, extra_body
                            what else to send; extra_body is for members that have no keyword here

        Raises APIStatusError and its kin for AWS's errors, APIConnectionError when no answer came,
        UsageError for what can't be sent, TypeError for a parameter that does not exist.
        """
        result: Message | AsyncStream[Event] = await self._create(params)
        return result

    def stream(self, **params: Unpack[MessageParams]) -> AsyncMessageStreamManager:
        """A message while it is written, in an `async with` block, at whose beginning the request is sent.

            async with client.messages.stream(
                model="claude-sonnet-4-5",
                max_tokens=1024,
                messages=[{"role": "user", "content": "Hello, Claude"}],
            ) as stream:
                async for text in stream.text_stream:
                    print(text, end="", flush=True)
            message = await stream.get_final_message()

        Required:
            model           a short name ("claude-sonnet-4-5"), an id, an inference profile's id, or an ARN
            max_tokens      how many tokens the answer may have; all are reserved from the account's quota
            messages        the conversation, newest turn last: [{"role": "user", "content": text or blocks}]

        What is asked:
            system          what the model is told before the conversation: text, or text blocks
            temperature     from 0, which is sober, to 1
            top_p, top_k    only the likeliest tokens: of this probability together, or so many
            stop_sequences  texts that end the answer
            tools           what the model may ask to be run: dicts of name, description and input_schema
            tool_choice     {"type": "auto"}, "any", "none", or {"type": "tool", "name": …}
            thinking        {"type": "enabled", "budget_tokens": 1024 or more}, "adaptive" or "disabled"
            output_config   {"effort": …} and {"format": a JSON Schema to answer in}
            cache_control   {"type": "ephemeral"} keeps all up to the last block that can be kept
            metadata        {"user_id": an opaque id}
            betas           beta features by name; Bedrock gets them in the body
            container, context_management, diagnostics, inference_geo, mcp_servers, output_format,
            service_tier, speed, user_profile_id, workspace_id
                            as in Anthropic's API; not every model on Bedrock takes them

        How it is called:
            endpoint        "global", "regional", "us", "eu", "jp", "apac", "au", …: where it may run
            timeout         seconds, or a Timeout with seconds for each phase; None waits for ever
            extra_headers, extra_query, extra_body
                            what else to send; extra_body is for members that have no keyword here

        Raises APIStatusError and its kin for AWS's errors, APIConnectionError when no answer came,
        UsageError for what can't be sent, TypeError for a parameter that does not exist.
        """
        return self._stream(dict(params))

    async def count_tokens(self, **params: Unpack[CountParams]) -> MessageTokensCount:
        """How many input tokens a message would have. Costs nothing; not every model can be asked.

            count = await client.messages.count_tokens(
                model="claude-sonnet-4-5", messages=[{"role": "user", "content": "Hello, Claude"}]
            )
            print(count.input_tokens)

        Required:
            model           a short name ("claude-sonnet-4-5"), an id, an inference profile's id, or an ARN
            messages        the conversation, newest turn last: [{"role": "user", "content": text or blocks}]

        What is asked, all of it as in `create`:
            system          what the model is told before the conversation: text, or text blocks
            tools           what the model may ask to be run: dicts of name, description and input_schema
            tool_choice     {"type": "auto"}, "any", "none", or {"type": "tool", "name": …}
            thinking        {"type": "enabled", "budget_tokens": 1024 or more}, "adaptive" or "disabled"
            output_config   {"effort": …} and {"format": a JSON Schema to answer in}
            cache_control   {"type": "ephemeral"} keeps all up to the last block that can be kept
            betas           beta features by name; Bedrock gets them in the body
            context_management, mcp_servers, output_format, speed, user_profile_id, workspace_id
                            as in Anthropic's API; not every model on Bedrock takes them

        How it is called:
            endpoint        "global", "regional", "us", "eu", "jp", "apac", "au", …: where it may run
            timeout         seconds, or a Timeout with seconds for each phase; None waits for ever
            extra_headers, extra_query, extra_body
                            what else to send; extra_body is for members that have no keyword here

        Raises APIStatusError and its kin for AWS's errors, APIConnectionError when no answer came,
        UsageError for what can't be sent, TypeError for a parameter that does not exist.
        """
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

    if TYPE_CHECKING:

        @overload
        async def list(
            self, *, kind: None = None, provider: str | None = ...
        ) -> List[ModelSummary | ProfileSummary]: ...
        @overload
        async def list(
            self, *, kind: Literal["foundation-model"], provider: str | None = ...
        ) -> List[ModelSummary]: ...
        @overload
        async def list(
            self, *, kind: Literal["inference-profile"], provider: str | None = ...
        ) -> List[ProfileSummary]: ...

    async def list(
        self,
        *,
        kind: Literal["foundation-model", "inference-profile"] | None = None,
        provider: str | None = "anthropic",
    ) -> List[Any]:
        """Models that this region has, and the inference profiles that this account can use.

            for model in await client.models.list(kind="foundation-model"):
                print(model.id, model.status)

            kind            "foundation-model" or "inference-profile" gives only these
            provider        whose models; None gives those of every provider

        `.id` is what a call names one by, `.regions` where it runs.
        """
        return await self._carrier.run(
            operations.list_models(self._carrier.core, kind=kind, provider=provider)
        )

    async def get(self, model: ModelName) -> ModelSummary | ProfileSummary:
        """One model or inference profile, by id, ARN or short name: what a call of that name would use.

            profile = await client.models.get("claude-sonnet-4-5")
            print(profile.id, profile.regions)

        Raises NotFoundError when this region has none by that name.
        """
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

    if TYPE_CHECKING:

        @overload
        async def create(
            self, *, stream: Literal[False] | Omit = ..., **params: Unpack[MessageParams]
        ) -> AsyncAPIResponse[Message]: ...
        @overload
        async def create(
            self, *, stream: Literal[True], **params: Unpack[MessageParams]
        ) -> AsyncAPIResponse[AsyncStream[Event]]: ...
        @overload
        async def create(
            self, *, stream: bool | Omit, **params: Unpack[MessageParams]
        ) -> AsyncAPIResponse[Message] | AsyncAPIResponse[AsyncStream[Event]]: ...

    async def create(self, **params: Any) -> AsyncAPIResponse[Any]:
        """`messages.create`, with the reply around it: `.parse()` gives the message, or the stream."""
        outcome = await self._carrier.run(operations.message_outcome(self._carrier.core, params))
        if params.get("stream"):
            return AsyncAPIResponse(outcome, lambda: AsyncStream(outcome))
        return AsyncAPIResponse(outcome, lambda: operations.read_message(outcome))

    async def count_tokens(self, **params: Unpack[CountParams]) -> AsyncAPIResponse[MessageTokensCount]:
        """`messages.count_tokens`, with the reply around it: `.parse()` gives the count."""
        outcome = await self._carrier.run(operations.count_outcome(self._carrier.core, dict(params)))
        return AsyncAPIResponse(outcome, lambda: operations.read_count(outcome))
