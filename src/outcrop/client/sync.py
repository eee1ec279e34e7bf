"""The blocking client: carries the conversations of `operations` with blocking sockets. Decides nothing.

Safe across threads, and after a fork: a child process opens connections of its own.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from outcrop.client import call as steps
from outcrop.client import operations
from outcrop.client.core import CLOSED, MAKE_ANOTHER, ClientBase
from outcrop.client.errors import APIConnectionError, request_id
from outcrop.client.responses import APIResponse
from outcrop.transport import TransportError

if TYPE_CHECKING:
    from builtins import list as List  # noqa: N812 - in `models`, `list` is a method
    from collections.abc import Callable, Generator, Iterator
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

    @cached_property
    def _carrier(self) -> _Carrier:
        return _Carrier(self._core, self._shared)

    @cached_property
    def messages(self) -> Messages:
        """Messages: create, stream, count_tokens."""
        return Messages(self._carrier)

    @cached_property
    def beta(self) -> Beta:
        """The same with `betas=[…]`."""
        return Beta(self._carrier)

    @cached_property
    def models(self) -> Models:
        """The models and inference profiles of this region and account."""
        return Models(self._carrier)

    @cached_property
    def with_raw_response(self) -> RawClient:
        """The same calls, giving status and headers beside the result."""
        return RawClient(self._carrier)

    def converse(self, **params: Unpack[ConverseParams]) -> ConverseResponse:
        """AWS's Converse.

            reply = client.converse(
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
        return self._carrier.run(operations.converse(self._core, dict(params)))

    def converse_stream(self, **params: Unpack[ConverseParams]) -> Stream[ConverseStreamEvent]:
        """AWS's Converse as a stream: events with one member each, as boto3 gives them.

            with client.converse_stream(
                model="claude-sonnet-4-5", messages=[{"role": "user", "content": [{"text": "Hello"}]}]
            ) as stream:
                for event in stream:
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
        return Stream(self._carrier.run(conversation))

    def identity(self) -> Identity:
        """Who the credentials belong to: account, ARN and user id, from STS."""
        return self._carrier.run(operations.identity(self._core))

    def close(self) -> None:
        """Closes the connections. A client given as `http_client` is its owner's to close."""
        self._shared.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Shared:
    """The transport of a client and of its copies, made when first needed."""

    def __init__(self) -> None:
        self.closed = False

    def transport(self, core: Core) -> Any:
        if self.closed:
            raise APIConnectionError(message=CLOSED, fix=MAKE_ANOTHER)
        found = self.__dict__.get("made")
        if found is None:
            # of two threads that come here at once, one makes a transport that nobody uses; a lock might be
            # held for ever in a child process
            found = self.__dict__.setdefault("made", self._make(core))
        return found

    @staticmethod
    def _make(core: Core) -> Any:
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
        made = self.__dict__.get("made")
        if made is not None:
            made.close()


class _Carrier:
    """Carries conversations to their end, with the settings and connections of one client."""

    __slots__ = ("_shared", "core")

    def __init__(self, core: Core, shared: _Shared) -> None:
        self.core = core
        self._shared = shared

    def run(self, conversation: Generator[Step, Any, T]) -> T:
        transport = self._shared.transport(self.core)
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
        return self.core.source().get()


class Stream(Generic[E]):
    """The events of a stream, as they come. Raises, between events, what went wrong; it never just ends.

    Iterating again goes on where it was left, or raises again what broke it. A context manager: leaving it
    gives the stream up if it had not ended, as dropping it does.
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

    def __iter__(self) -> Iterator[E]:
        yield from self._pending
        while self._read_on():
            yield from self._pending

    def __next__(self) -> E:
        while True:
            for event in self._pending:
                return event
            if not self._read_on():
                raise StopIteration

    def _read_on(self) -> bool:
        """Waits for the next events; False after the last. Raises what broke the stream."""
        reader, opened = self.outcome.stream, self.outcome.open
        if reader.done:
            if not self._ended:
                self._ended = True
                opened.finish_unread()
            return False
        if reader.error is None:
            try:
                data = next(opened, b"")
            except TransportError as error:
                data = error
            self._pending = iter(reader.feed(data))
            return True
        opened.close()
        raise reader.error

    def close(self) -> None:
        """Gives the stream up: the server stops. Idempotent, and safe from another thread."""
        self.outcome.open.close()

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
    def text_stream(self) -> Iterator[str]:
        """Only the text, as it comes."""
        for event in self:
            if event.type == "text":
                yield event.text

    @property
    def current_message_snapshot(self) -> Message:
        """The message as far as it has come."""
        return self._snapshot.message()

    def get_final_message(self) -> Message:
        """Reads to the end and gives the whole message. Raises what broke the stream, or its closing."""
        self.until_done()
        return self.current_message_snapshot

    def get_final_text(self) -> str:
        """Reads to the end and gives all its text. Raises RuntimeError when there is none."""
        return operations.text_of(self.get_final_message())

    def until_done(self) -> None:
        """Reads to the end."""
        for _ in self:
            pass

    def close(self) -> None:
        """Gives the stream up: the server stops. Idempotent."""
        self._stream.close()

    def __iter__(self) -> Iterator[MessageStreamEvent]:
        add = self._snapshot.add
        yield from self._pending
        for event in self._stream:
            self._pending = iter(add(event))
            yield from self._pending

    def __next__(self) -> MessageStreamEvent:
        for event in self:
            return event
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
    def __init__(self, carrier: _Carrier) -> None:
        self._carrier = carrier

    def _create(self, params: dict[str, Any]) -> Any:
        if params.get("stream"):
            return self._open(params)
        return self._carrier.run(operations.create(self._carrier.core, params))

    def _open(self, params: dict[str, Any]) -> Stream[Event]:
        return Stream(self._carrier.run(operations.message_outcome(self._carrier.core, params)))

    def _stream(self, params: dict[str, Any]) -> MessageStreamManager:
        params["stream"] = True
        return MessageStreamManager(lambda: self._open(params))

    def _count(self, params: dict[str, Any]) -> MessageTokensCount:
        return self._carrier.run(operations.count_tokens(self._carrier.core, params))


class Messages(_Resource):
    """The Messages API over InvokeModel."""

    if TYPE_CHECKING:

        @overload
        def create(
            self, *, stream: Literal[False] | Omit = ..., **params: Unpack[MessageParams]
        ) -> Message: ...
        @overload
        def create(self, *, stream: Literal[True], **params: Unpack[MessageParams]) -> Stream[Event]: ...
        @overload
        def create(
            self, *, stream: bool | Omit, **params: Unpack[MessageParams]
        ) -> Message | Stream[Event]: ...

    def create(self, **params: Any) -> Message | Stream[Event]:
        """One message; with `stream=True` its events, as they come.

            message = client.messages.create(
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
        result: Message | Stream[Event] = self._create(params)
        return result

    def stream(self, **params: Unpack[MessageParams]) -> MessageStreamManager:
        """A message while it is written, in a `with` block, at whose beginning the request is sent.

            with client.messages.stream(
                model="claude-sonnet-4-5",
                max_tokens=1024,
                messages=[{"role": "user", "content": "Hello, Claude"}],
            ) as stream:
                for text in stream.text_stream:
                    print(text, end="", flush=True)
            message = stream.get_final_message()

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

    def count_tokens(self, **params: Unpack[CountParams]) -> MessageTokensCount:
        """How many input tokens a message would have. Costs nothing; not every model can be asked.

            count = client.messages.count_tokens(
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
        return self._count(dict(params))

    @property
    def with_raw_response(self) -> RawMessages:
        """The same calls, giving status and headers beside the result."""
        return RawMessages(self._carrier)


class Beta:
    """What Anthropic's API calls beta."""

    def __init__(self, carrier: _Carrier) -> None:
        self.messages = Messages(carrier)


class Models:
    """Foundation models and inference profiles, from Bedrock's control plane."""

    def __init__(self, carrier: _Carrier) -> None:
        self._carrier = carrier

    if TYPE_CHECKING:

        @overload
        def list(
            self, *, kind: None = None, provider: str | None = ...
        ) -> List[ModelSummary | ProfileSummary]: ...
        @overload
        def list(
            self, *, kind: Literal["foundation-model"], provider: str | None = ...
        ) -> List[ModelSummary]: ...
        @overload
        def list(
            self, *, kind: Literal["inference-profile"], provider: str | None = ...
        ) -> List[ProfileSummary]: ...

    def list(
        self,
        *,
        kind: Literal["foundation-model", "inference-profile"] | None = None,
        provider: str | None = "anthropic",
    ) -> List[Any]:
        """Models that this region has, and the inference profiles that this account can use.

            for model in client.models.list(kind="foundation-model"):
                print(model.id, model.status)

            kind            "foundation-model" or "inference-profile" gives only these
            provider        whose models; None gives those of every provider

        `.id` is what a call names one by, `.regions` where it runs.
        """
        return self._carrier.run(operations.list_models(self._carrier.core, kind=kind, provider=provider))

    def get(self, model: ModelName) -> ModelSummary | ProfileSummary:
        """One model or inference profile, by id, ARN or short name: what a call of that name would use.

            profile = client.models.get("claude-sonnet-4-5")
            print(profile.id, profile.regions)

        Raises NotFoundError when this region has none by that name.
        """
        return self._carrier.run(operations.get_model(self._carrier.core, model))


class RawClient:
    """A client whose calls give status and headers beside the result."""

    def __init__(self, carrier: _Carrier) -> None:
        self.messages = RawMessages(carrier)
        self.beta = self


class RawMessages:
    """The calls of `messages`, giving an APIResponse: `.headers`, `.status_code`, and `.parse()`."""

    def __init__(self, carrier: _Carrier) -> None:
        self._carrier = carrier

    if TYPE_CHECKING:

        @overload
        def create(
            self, *, stream: Literal[False] | Omit = ..., **params: Unpack[MessageParams]
        ) -> APIResponse[Message]: ...
        @overload
        def create(
            self, *, stream: Literal[True], **params: Unpack[MessageParams]
        ) -> APIResponse[Stream[Event]]: ...
        @overload
        def create(
            self, *, stream: bool | Omit, **params: Unpack[MessageParams]
        ) -> APIResponse[Message] | APIResponse[Stream[Event]]: ...

    def create(self, **params: Any) -> APIResponse[Any]:
        """`messages.create`, with the reply around it: `.parse()` gives the message, or the stream."""
        outcome = self._carrier.run(operations.message_outcome(self._carrier.core, params))
        if params.get("stream"):
            return APIResponse(outcome, lambda: Stream(outcome))
        return APIResponse(outcome, lambda: operations.read_message(outcome))

    def count_tokens(self, **params: Unpack[CountParams]) -> APIResponse[MessageTokensCount]:
        """`messages.count_tokens`, with the reply around it: `.parse()` gives the count."""
        outcome = self._carrier.run(operations.count_outcome(self._carrier.core, dict(params)))
        return APIResponse(outcome, lambda: operations.read_count(outcome))
