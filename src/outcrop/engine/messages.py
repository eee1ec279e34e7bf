"""An engine that asks any server of the Anthropic Messages API: the Claude API, vLLM, Ollama, llama.cpp.

Requests and replies are passed through as they are, unknown fields and events too; only `model` and `stream`
are added and pings left out (Bedrock sends none). Every event goes on the moment it arrives.
Source of the API's shapes: the Claude API reference, version 2023-06-01.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from outcrop.engine import Answer, Event, Lack, Question, Stream, Whole, upstream
from outcrop.engine.lacks import refuse_lacks
from outcrop.engine.upstream import Problem
from outcrop.errors import ConfigError, Fault, ValidationException
from outcrop.transport import (
    AddressRefusedError,
    CertificateError,
    DialError,
    HttpError,
    ProxySettingError,
)
from outcrop.transport.aio import Client
from outcrop.transport.connection import Response
from outcrop.wire.http import JSON
from outcrop.wire.sse import MIB, EventBuffer, EventTooLongError

API_VERSION: Final = "2023-06-01"
EVENT_STREAM: Final = "text/event-stream"

# The largest whole answer: 128k tokens of output are about half a MiB; images and documents only go in.
_ANSWER_LIMIT: Final = 64 * MIB
_ERROR_LIMIT: Final = 256 * 1024

# What count_tokens refuses as extraneous: it takes what has a length, not how to generate.
_NOT_COUNTED: Final = frozenset(
    {"max_tokens", "metadata", "service_tier", "stop_sequences", "stream", "temperature", "top_k", "top_p"}
)
_NO_COUNT: Final = frozenset({404, 405, 501})
_AFTER_START: Final = frozenset(
    {"content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}
)
# Headers that say how the message is put together: the client's, never the configuration's.
_FRAMING: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
    }
)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110, 5.6.2
_BETA: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


class _Usage(msgspec.Struct):
    input_tokens: int
    output_tokens: int


class _Reply(msgspec.Struct):
    """As much of a message as must be right before it is passed on."""

    content: list[msgspec.Raw]
    usage: _Usage


class _StartUsage(msgspec.Struct):
    input_tokens: int


class _Started(msgspec.Struct):
    usage: _StartUsage


class _MessageStart(msgspec.Struct):
    message: _Started


class _Anything(msgspec.Struct):
    """Decoding into it checks that something is a JSON object, and keeps nothing."""


class _Count(msgspec.Struct):
    input_tokens: int


_encode: Final = msgspec.json.Encoder().encode
_reply: Final = msgspec.json.Decoder(_Reply)
_message_start: Final = msgspec.json.Decoder(_MessageStart)
_anything: Final = msgspec.json.Decoder(_Anything)
_count: Final = msgspec.json.Decoder(_Count)


class MessagesEngine:
    """Asks `base_url`, the address before `/v1/messages`.

    `models` maps Bedrock's base model ids to the upstream's names; Anthropic's own names are used for the
    rest. The key goes out as `x-api-key`, or as a bearer token when `bearer`. `headers` are sent with every
    request. Timeouts, the CA file and proxies are the client's, which this engine then owns and closes.

    Raises ConfigError when the address or a header can't be used.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        api_key: str = "",
        bearer: bool = False,
        models: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        lacks: Iterable[Lack] = (),
        client: Client | None = None,
    ) -> None:
        self.name = name
        self.cannot = frozenset(lacks)
        self._client = client or Client()
        self._base = _base(name, base_url, self._client)
        self._models = dict(models or {})
        self._headers = _headers(name, api_key, bearer, headers or {})

    async def start(self) -> None:
        """Reads the CA file, if TLS is spoken; nothing is asked of the upstream before the first question.

        Raises ConfigError.
        """
        if self._base.startswith("https:"):
            try:
                self._client.tls()
            except CertificateError as error:
                what = f"engine {self.name}: the CA file can't be used: {error}."
                raise ConfigError(what, error.fix) from error

    async def answer(self, question: Question) -> Answer:
        """Asks the upstream. Raises Fault."""
        refuse_lacks(question.body, self.cannot)
        body = {"model": self._model(question), **question.body}
        if question.stream:
            body["stream"] = True
        response = await self._post("/v1/messages", body, question)
        if question.stream and response.status == 200:
            return Stream(self._events(response))
        with response:
            raw = await self._read(response)
        if response.status != 200:
            raise self._refusal(response, raw)
        return Whole(self._checked(raw))

    async def count(self, question: Question) -> int:
        """Asks the upstream's `count_tokens`. Raises Fault, ValidationException where it has none."""
        refuse_lacks(question.body, self.cannot)
        body = {name: value for name, value in question.body.items() if name not in _NOT_COUNTED}
        body["model"] = self._model(question)
        with await self._post("/v1/messages/count_tokens", body, question) as response:
            raw = await self._read(response)
        if response.status in _NO_COUNT:
            reason = self._problem(response, raw).reason
            raise ValidationException("The provided model doesn't support counting tokens.", reason=reason)
        if response.status != 200:
            raise self._refusal(response, raw)
        try:
            return _count.decode(raw).input_tokens
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise upstream.unreadable(f"{self.name}: not a token count: {error}") from error

    async def close(self) -> None:
        """Closes the connections; what was being answered breaks off. Idempotent."""
        await self._client.close()

    def _model(self, question: Question) -> str:
        return self._models.get(question.model.id) or question.model.anthropic_name

    async def _post(self, path: str, body: dict[str, Any], question: Question) -> Response:
        headers = self._headers
        if question.request_id:
            headers = (*headers, ("x-request-id", question.request_id))
        if question.betas:
            headers = (*headers, ("anthropic-beta", _beta_header(question.betas)))
        try:
            return await self._client.send("POST", self._base + path, headers, _encode(body))
        except (HttpError, DialError) as error:
            raise upstream.of_exchange(error, self.name, began=False) from error

    async def _read(self, response: Response) -> bytes:
        """The whole body; of an error's only what fits, for its status says enough."""
        try:
            return await response.read(_ANSWER_LIMIT if response.status == 200 else _ERROR_LIMIT)
        except HttpError as error:
            if response.status != 200:
                return b""
            raise upstream.of_exchange(error, self.name, began=True) from error

    def _events(self, response: Response) -> Events:
        kind = response.header("content-type")
        if not kind.lower().startswith(EVENT_STREAM):
            response.close()
            raise upstream.unreadable(
                f"{self.name} answered {kind or 'something unnamed'} instead of a stream"
            )
        return Events(response, self.name)

    def _problem(self, response: Response, raw: bytes) -> Problem:
        kind, message = upstream.read_error(raw)
        return Problem(self.name, response.status, kind, message, response.header)

    def _refusal(self, response: Response, raw: bytes) -> Fault:
        return upstream.of_status(self._problem(response, raw))

    def _checked(self, raw: bytes) -> bytes:
        try:
            _reply.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise upstream.unreadable(f"{self.name}: not a message: {error}") from error
        return raw


class Events:
    """The events of one response, in the batches in which they arrive, and then the end or one Fault.

    A class and not a generator, because a generator that was never started can't clean up when it is closed.
    """

    def __init__(self, response: Response, upstream_name: str) -> None:
        self._response = response
        self._upstream = upstream_name
        self._buffer = EventBuffer()
        self._fault: Fault | None = None
        self._began = False
        self._ended = False

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Sequence[Event]:
        """The next batch, never an empty one. Raises Fault, once, after everything that came before it."""
        while self._fault is None and not self._ended:
            part = await self._part()
            ready = self._sift(part) if part else []
            if ready:
                return ready
        fault, self._fault = self._fault, None
        await self.aclose()
        if fault is not None:
            raise fault
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stops the generation, if it is still running: the connection is closed. Idempotent."""
        if not self._ended:
            self._ended = True
            self._response.close()

    def __del__(self) -> None:
        # a reader that was cancelled between two batches and forgot us
        if not self._ended:
            with contextlib.suppress(
                RuntimeError
            ):  # the loop may be closed already, and with it the connection
                self._response.close()

    async def _part(self) -> bytes:
        """What has arrived; b"" at the end or when it broke, which is then noted."""
        try:
            return await anext(self._response)
        except StopAsyncIteration:
            self._break_off("the stream ended without message_stop")
        except HttpError as error:
            self._fault = upstream.of_exchange(error, self._upstream, began=True, streaming=True)
            self._fault.__cause__ = error
        return b""

    def _sift(self, part: bytes) -> list[Event]:
        """The events in `part` that go on. Notes a fault or the end, and reads nothing behind it."""
        try:
            events = self._buffer.feed(part)
        except EventTooLongError as error:
            events = error.events
            self._break_off(str(error))
        ready: list[Event] = []
        for event in events:
            kind, data = event
            try:
                _anything.decode(data)
                if not data.isascii():
                    data.decode()  # the JSON reader skips over strings without reading them
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._break_off(f"{kind} could not be read: {error}")
                break
            if kind == "content_block_delta" and self._began:
                ready.append(event)
            elif kind != "ping" and not self._pass(event, ready):
                break
        return ready

    def _pass(self, event: Event, ready: list[Event]) -> bool:
        """Passes one of the rarer events on. False when nothing behind it counts: a fault or the end."""
        kind, data = event
        if kind == "error":
            self._fault = upstream.of_error_event(data, self._upstream)
            return False
        if kind == "message_start":
            try:
                _message_start.decode(data)
            except msgspec.DecodeError as error:
                self._break_off(f"message_start: {error}")
                return False
            self._began = True
        elif not self._began and kind in _AFTER_START:
            self._break_off(f"{kind} came before message_start")
            return False
        ready.append(event)
        if kind != "message_stop":
            return True
        self._ended = True
        self._fault = None  # whatever is wrong behind it no longer matters
        self._response.finish_unread()
        return False

    def _break_off(self, what: str) -> None:
        self._fault = upstream.unreadable(f"{self._upstream}: {what}", streaming=True)


def _beta_header(betas: Sequence[str]) -> str:
    if not all(_BETA.fullmatch(beta) for beta in betas):
        raise ValidationException("invalid beta flag")
    return ",".join(betas)


def _base(name: str, url: str, client: Client) -> str:
    """The address without a trailing slash and without the `/v1` that many put there. Raises ConfigError."""
    fix = "Give the address before /v1/messages, like https://api.anthropic.com or http://localhost:11434."
    try:
        client.locate(url)
    except AddressRefusedError as error:
        raise ConfigError(f"engine {name}: {error}.", "Name the server by another address.") from error
    except ProxySettingError as error:
        raise ConfigError(f"engine {name}: {error}.", error.fix) from error
    except ValueError as error:
        raise ConfigError(f"engine {name}: {error}.", fix) from error
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ConfigError(f"engine {name}: the address has a query or a fragment: {url}.", fix)
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _headers(name: str, key: str, bearer: bool, more: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    headers = {"content-type": JSON, "anthropic-version": API_VERSION, "user-agent": "outcrop"}
    if key:
        headers |= {"authorization": f"Bearer {key}"} if bearer else {"x-api-key": key}
    headers |= {header.lower(): value for header, value in more.items()}
    for header, value in headers.items():
        if header in _FRAMING or not _TOKEN.fullmatch(header):
            raise ConfigError(f"engine {name}: {header!r} can't be set as a header.")
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(f"engine {name}: the value of the header {header!r} can't be sent.")
    return tuple(headers.items())
