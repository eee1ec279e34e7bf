"""The blocking client: carries the conversations of `operations` with blocking sockets. Decides nothing.

Safe across threads, and after a fork: a child process opens connections of its own.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from outcrop.client import call as steps
from outcrop.client import operations
from outcrop.client.core import ClientBase
from outcrop.client.errors import APIConnectionError, request_id
from outcrop.client.responses import APIResponse
from outcrop.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
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


class AnthropicBedrock(ClientBase):
    """Claude on Amazon Bedrock, or on any endpoint that speaks its API.

        client = AnthropicBedrock(aws_region="us-west-2")
        message = client.messages.create(
            model="claude-sonnet-4-5", max_tokens=256, messages=[{"role": "user", "content": "Hello"}]
        )

    Credentials, in this order: the arguments; AWS_BEARER_TOKEN_BEDROCK; AWS_ACCESS_KEY_ID and its kin; AWS's
    files; then whatever botocore finds (SSO, roles, containers, instance metadata), if it is installed.
    Region: `aws_region`, AWS_REGION, AWS_DEFAULT_REGION, the named profile's, us-east-1.

    `timeout` is in seconds, or a `Timeout` with seconds for each phase. `http_client` is an `httpx2.Client`
    to use in place of the built-in transport. `endpoint` is where models given by short name or bare id run:
    "global", "regional", "us", "eu", "jp", "apac", "au"; by default global where the model has it.
    `residency` names geographies or regions outside which nothing may run: what could is refused before it is
    sent. `fallback` lists endpoints and regions to try when the first is throttled or unavailable. `edition`
    is the state of the model table: "guide", or "2026-11".

    Raises UsageError for arguments that can't be meant.
    """

    def _new_shared(self) -> _Shared:
        return _Shared()

    @property
    def messages(self) -> Messages:
        """Messages: create, stream, count_tokens."""
        return Messages(self)

    @property
    def beta(self) -> Beta:
        """The same with `betas=[…]`."""
        return Beta(self)

    @property
    def models(self) -> Models:
        """The models and inference profiles of this region and account."""
        return Models(self)

    @property
    def with_raw_response(self) -> RawClient:
        """The same calls, giving status and headers beside the result."""
        return RawClient(self)

    def converse(self, **params: Unpack[ConverseParams]) -> ConverseResponse:
        """AWS's Converse: its members by their names, `model` as everywhere here. Bytes go in as bytes."""
        result: ConverseResponse = self._run(operations.converse(self._core, dict(params)))
        return result

    def converse_stream(self, **params: Unpack[ConverseParams]) -> Stream[ConverseStreamEvent]:
        """AWS's ConverseStream: events with one member each, as boto3 gives them."""
        steps = operations.converse_outcome(self._core, dict(params), stream=True)
        return Stream(self, self._run(steps))

    def identity(self) -> Identity:
        """Who the credentials belong to: account, ARN and user id, from STS."""
        result: Identity = self._run(operations.identity(self._core))
        return result

    def close(self) -> None:
        """Closes the connections. A client given as `http_client` is its owner's to close."""
        self._shared.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, conversation: Generator[Step, Any, T]) -> T:
        """Carries a conversation to its end."""
        transport = self._shared.transport(self._core)
        answer: Any = None
        try:
            while True:
                step = conversation.send(answer)
                try:
                    answer = self._do(step, transport)
                except TransportError as error:
                    answer = error
        except StopIteration as end:
            result: T = end.value
            return result

    def _do(self, step: Step, transport: Any) -> Any:
        if type(step) is steps.Send:
            response = transport.send(step.method, step.url, step.headers, step.body, timeouts=step.timeouts)
            status = response.status
            if step.streams and status == 200:
                return steps.Received(status, response.headers, b"", response)
            return steps.Received(status, response.headers, response.read(_LARGEST_ANSWER))
        if type(step) is steps.More:
            return next(step.open, b"")
        if type(step) is steps.Wait:
            time.sleep(step.seconds)
            return None
        return self._core.source().get()


class _Shared:
    """The transport of a client and of its copies, made when first needed."""

    def __init__(self) -> None:
        self.closed = False
        self._lock = Lock()
        self._transport: Any = None

    def transport(self, core: Any) -> Any:
        if self.closed:
            raise APIConnectionError(
                message="The client is closed.", fix="Make a new one, or close it later."
            )
        if self._transport is None:
            with self._lock:
                if self._transport is None:
                    self._transport = self._made(core)
        return self._transport

    @staticmethod
    def _made(core: Any) -> Any:
        given = core.arguments["http_client"]
        if given is not None:
            from outcrop.transport.httpx import Adapted

            return Adapted(given)
        from outcrop.transport.route import Proxies
        from outcrop.transport.sync import Client

        return Client(
            timeouts=core.timeouts,
            trust=core.trust(),
            proxies=Proxies.from_environment(core.environ),
        )

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()


class Stream(Generic[E]):
    """The events of a stream, as they come. Raises, between events, what went wrong; it never just ends.

    A context manager: leaving it closes the connection if the stream had not ended.
    """

    def __init__(self, client: AnthropicBedrock, outcome: Outcome) -> None:
        self._core = client._core
        self._outcome = outcome
        self._iterator = self._events()

    @property
    def response(self) -> Response:
        """Status and headers of the reply."""
        return self._outcome.response

    @property
    def request_id(self) -> str | None:
        """AWS's id of the request."""
        return request_id(self._outcome.response)

    def __iter__(self) -> Iterator[E]:
        return self._iterator

    def __next__(self) -> E:
        return next(self._iterator)

    def _events(self) -> Generator[E, None, None]:
        outcome = self._outcome
        opened, reader, events = outcome.open, outcome.stream, outcome.events
        try:
            while True:
                yield from events
                if reader.done:
                    opened.finish_unread()
                    return
                if reader.error is not None:
                    raise reader.error
                try:
                    data = next(opened, b"")
                except TransportError as error:
                    data = error
                events = reader.feed(data)
        finally:
            opened.close()

    def close(self) -> None:
        """Gives the stream up: the server stops. Idempotent."""
        self._outcome.open.close()
        self._iterator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MessageStream:
    """A message while it is written: its events, its text, and what there is of it so far.

    Iterate over it for events (the API's own, and `text`, `input_json`, `thinking`, … made from them), or
    over `text_stream` for text alone.
    """

    def __init__(self, stream: Stream[Event]) -> None:
        self._stream = stream
        self._snapshot = operations.snapshot_of(stream._outcome)
        self._iterator = self._events()
        self.text_stream: Iterator[str] = self._texts()

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

    def get_final_message(self) -> Message:
        """Reads to the end and gives the whole message. Raises what broke the stream, asked again too."""
        self.until_done()
        self._stream._outcome.stream.require_whole()
        return self.current_message_snapshot

    def get_final_text(self) -> str:
        """Reads to the end and gives all its text. Raises RuntimeError when there is none."""
        return operations.text_of(self.get_final_message())

    def until_done(self) -> None:
        """Reads to the end."""
        for _ in self._iterator:
            pass

    def close(self) -> None:
        """Gives the stream up: the server stops. Idempotent."""
        self._stream.close()

    def __iter__(self) -> Iterator[MessageStreamEvent]:
        return self._iterator

    def __next__(self) -> MessageStreamEvent:
        return next(self._iterator)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _events(self) -> Iterator[MessageStreamEvent]:
        add = self._snapshot.add
        for event in self._stream:
            yield from add(event)

    def _texts(self) -> Iterator[str]:
        for event in self._iterator:
            if event.type == "text":
                yield event.text


class MessageStreamManager:
    """What `messages.stream()` gives: the request is sent on entering the `with` block."""

    def __init__(self, open_stream: Callable[[], Stream[Event]]) -> None:
        self._open = open_stream
        self._stream: MessageStream | None = None

    def __enter__(self) -> MessageStream:
        self._stream = MessageStream(self._open())
        return self._stream

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()


class _Resource:
    def __init__(self, client: AnthropicBedrock) -> None:
        self._client = client
        self._core = client._core

    def _create(self, params: dict[str, Any]) -> Any:
        if params.get("stream"):
            return self._open(params)
        return self._client._run(operations.create(self._core, params))

    def _open(self, params: dict[str, Any]) -> Stream[Event]:
        return Stream(self._client, self._client._run(operations.message_outcome(self._core, params)))

    def _stream(self, params: dict[str, Any]) -> MessageStreamManager:
        params["stream"] = True
        return MessageStreamManager(lambda: self._open(params))

    def _count(self, params: dict[str, Any]) -> MessageTokensCount:
        return self._client._run(operations.count_tokens(self._core, params))


class Messages(_Resource):
    """The Messages API over InvokeModel."""

    if TYPE_CHECKING:

        @overload
        def create(self, *, stream: Literal[False] = ..., **params: Unpack[MessageParams]) -> Message: ...
        @overload
        def create(self, *, stream: Literal[True], **params: Unpack[MessageParams]) -> Stream[Event]: ...
        @overload
        def create(self, *, stream: bool, **params: Unpack[MessageParams]) -> Message | Stream[Event]: ...

    def create(self, **params: Any) -> Message | Stream[Event]:
        """One message; with `stream=True` its events, as they come.

        Raises APIStatusError and its kin for AWS's errors, APIConnectionError when no answer came,
        UsageError for what can't be sent, TypeError for a parameter that does not exist.
        """
        result: Message | Stream[Event] = self._create(params)
        return result

    def stream(self, **params: Unpack[MessageParams]) -> MessageStreamManager:
        """A message while it is written, in a `with` block."""
        return self._stream(dict(params))

    def count_tokens(self, **params: Unpack[CountParams]) -> MessageTokensCount:
        """How many input tokens a message would have. Costs nothing; not every model can be asked."""
        return self._count(dict(params))

    @property
    def with_raw_response(self) -> RawMessages:
        """The same calls, giving status and headers beside the result."""
        return RawMessages(self._client)


class Beta:
    """What Anthropic's API calls beta."""

    def __init__(self, client: AnthropicBedrock) -> None:
        self.messages = Messages(client)


class Models:
    """Foundation models and inference profiles, from Bedrock's control plane."""

    def __init__(self, client: AnthropicBedrock) -> None:
        self._client = client

    def list(
        self,
        *,
        kind: Literal["foundation-model", "inference-profile"] | None = None,
        provider: str | None = "anthropic",
    ) -> list[ModelSummary | ProfileSummary]:
        """All of them, or one `kind`; `provider=None` lists those of every provider."""
        return self._client._run(operations.list_models(self._client._core, kind=kind, provider=provider))

    def get(self, model: ModelName) -> ModelSummary | ProfileSummary:
        """One, by id, ARN or short name."""
        return self._client._run(operations.get_model(self._client._core, model))


class RawClient:
    """A client whose calls give status and headers beside the result."""

    def __init__(self, client: AnthropicBedrock) -> None:
        self.messages = RawMessages(client)
        self.beta = self


class RawMessages:
    """The calls of `messages`, giving an APIResponse: `.headers`, `.status_code`, and `.parse()`."""

    def __init__(self, client: AnthropicBedrock) -> None:
        self._client = client

    def create(self, **params: Any) -> APIResponse[Any]:
        """As `messages.create`."""
        return raw_create(self._client, params)

    def count_tokens(self, **params: Any) -> APIResponse[MessageTokensCount]:
        """As `messages.count_tokens`."""
        core = self._client._core
        outcome = self._client._run(operations.count_outcome(core, params))
        return APIResponse(outcome, lambda: operations.read_count(outcome))


def raw_create(client: AnthropicBedrock, params: dict[str, Any]) -> APIResponse[Any]:
    """`messages.create` as an APIResponse."""
    outcome = client._run(operations.message_outcome(client._core, params))
    if params.get("stream"):
        return APIResponse(outcome, lambda: Stream(client, outcome))
    return APIResponse(outcome, lambda: operations.read_message(outcome))
