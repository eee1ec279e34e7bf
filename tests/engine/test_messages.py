"""The Messages engine against an upstream that answers well, badly, late, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar

import pytest
import uvloop

from engine.upstream import CHUNKED_STREAM, Exchange, Script, Upstream, in_turn, until
from outcrop.catalog import Model
from outcrop.engine import Engine, Event, Question, Stream, Whole
from outcrop.engine.messages import MessagesEngine
from outcrop.errors import (
    ConfigError,
    Fault,
    InternalServerException,
    ModelErrorException,
    ModelStreamErrorException,
    ModelTimeoutException,
    ResourceNotFoundException,
    ServiceUnavailableException,
    ThrottlingException,
    ValidationException,
)
from outcrop.transport import Limits, Timeouts
from outcrop.transport.aio import Client
from outcrop.transport.route import Proxies
from outcrop.wire.messages_reply import as_events
from outcrop.wire.sse import encode
from suites.engine import ASKS, EngineSuite

Run = Callable[[Coroutine[Any, Any, None]], None]

MODEL = Model(
    id="anthropic.claude-sonnet-4-5-20250929-v1:0",
    name="Claude Sonnet 4.5",
    provider="Anthropic",
    anthropic_name="claude-sonnet-4-5-20250929",
    context_window=200_000,
    max_output_tokens=64_000,
)
BODY: dict[str, Any] = {
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello"}],
    "temperature": 0.5,
}
MESSAGE = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Hi", "unheard_of": [1]}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 8, "output_tokens": 2, "new_tokens": 1},
    "never_seen": {"a": None},
}


def _event(kind: str, **fields: Any) -> Event:
    return Event(kind, json.dumps({"type": kind, **fields}, ensure_ascii=False).encode())


EVENTS = [
    _event("message_start", message={**MESSAGE, "content": [], "stop_reason": None}),
    _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    _event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hé"}),
    _event("content_block_delta", index=0, delta={"type": "delta_of_tomorrow", "x": 1}),
    _event("event_of_tomorrow", note="passed on"),
    _event("content_block_stop", index=0),
    _event(
        "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 2}
    ),
    _event("message_stop"),
]
PING = Event("ping", b'{"type": "ping"}')


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine under each of the two loops; a test that hangs fails."""

    def go(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(test, 20))

    return go


def ask(*, stream: bool = False, **changes: Any) -> Question:
    return Question(MODEL, {**BODY, **changes}, stream, request_id="11111111-2222-3333-4444-555555555555")


def new_engine(
    upstream: Upstream, *, unread: int = 256 * 1024, head: float = 60, idle: float = 60, **more: Any
) -> Any:
    client = Client(timeouts=Timeouts(head=head, idle=idle), limits=Limits(unread=unread), proxies=Proxies())
    return MessagesEngine("test/claude", upstream.url, client=client, **more)


async def stream_of(engine: Engine, question: Question | None = None) -> Any:
    answer = await engine.answer(question or ask(stream=True))
    assert isinstance(answer, Stream)
    return answer.events


async def read(events: Any) -> tuple[list[Event], list[Fault]]:
    """Everything until the end, and the faults met, going on after each as a careless reader would."""
    seen: list[Event] = []
    faults: list[Fault] = []
    for _ in range(1000):
        try:
            batch = await anext(events)
        except StopAsyncIteration:
            return seen, faults
        except Fault as fault:
            faults.append(fault)
        else:
            assert len(batch) > 0
            seen += batch
    raise AssertionError("the stream does not end")


def streams(events: list[Event], after: Callable[[Exchange], Awaitable[None]] | None = None) -> Script:
    """Sends events one by one, then whatever comes `after` (by default the proper end)."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED_STREAM)
        for event in events:
            await exchange.event(event)
        await (after or Exchange.end)(exchange)

    return script


def check(
    script: Script, test: Callable[[Any, Upstream], Awaitable[None]], **settings: Any
) -> Coroutine[Any, Any, None]:
    """Runs a test with an engine in front of an upstream, and sees that nothing is left over."""

    async def whole() -> None:
        async with Upstream(script) as upstream:
            engine = new_engine(upstream, **settings)
            await engine.start()
            try:
                await test(engine, upstream)
            finally:
                await engine.close()
                await engine.close()
            assert engine._client.open_connections() == 0

    return whole()


# -- what goes out and comes back


def test_the_request_carries_everything_and_adds_only_model_and_stream(run: Run) -> None:
    async def test(engine: Any, upstream: Upstream) -> None:
        question = Question(
            MODEL, {**BODY, "field_of_tomorrow": [1]}, False, ("beta-a", "beta-b"), "the-request-id"
        )
        await engine.answer(question)
        (request,) = upstream.requests
        assert (request.method, request.path) == ("POST", "/v1/messages")
        assert request.json == {"model": "claude-sonnet-4-5-20250929", **BODY, "field_of_tomorrow": [1]}
        sent = request.headers
        assert sent["x-api-key"] == "sk-secret"
        assert sent["anthropic-version"] == "2023-06-01"
        assert sent["anthropic-beta"] == "beta-a,beta-b"
        assert sent["content-type"] == "application/json"
        assert sent["x-request-id"] == "the-request-id"
        assert sent["x-team"] == "blue"
        assert "authorization" not in sent
        assert question.body == {**BODY, "field_of_tomorrow": [1]}

    async def script(exchange: Exchange) -> None:
        await exchange.reply_json(200, MESSAGE)

    run(check(script, test, api_key="sk-secret", headers={"X-Team": "blue"}))


def test_bearer_keys_and_the_table_of_models_are_honoured(run: Run) -> None:
    async def test(engine: Any, upstream: Upstream) -> None:
        await read(await stream_of(engine))
        (request,) = upstream.requests
        assert request.headers["authorization"] == "Bearer sk-secret"
        assert "x-api-key" not in request.headers
        assert request.json == {"model": "qwen3:8b", "stream": True, **BODY}

    run(check(streams(EVENTS), test, api_key="sk-secret", bearer=True, models={MODEL.id: "qwen3:8b"}))


def test_a_whole_answer_comes_back_byte_for_byte(run: Run) -> None:
    raw = json.dumps(MESSAGE, indent=2).encode()

    async def script(exchange: Exchange) -> None:
        await exchange.reply(200, raw, [("content-type", "application/json")])

    async def test(engine: Any, _: Upstream) -> None:
        assert await engine.answer(ask()) == Whole(raw)

    run(check(script, test))


def test_events_come_back_byte_for_byte_and_without_pings(run: Run) -> None:
    async def test(engine: Any, upstream: Upstream) -> None:
        for _ in range(3):
            assert await read(await stream_of(engine)) == (EVENTS, [])
        assert upstream.connections == 1

    run(check(streams([PING, EVENTS[0], PING, *EVENTS[1:5], PING, PING, *EVENTS[5:]]), test))


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_how_the_stream_is_cut_into_reads_does_not_matter(run: Run, size: int) -> None:
    wire = b": hi\n\n" + b"".join(encode(event).replace(b"\n", b"\r\n") for event in EVENTS)

    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED_STREAM)
        for begin in range(0, len(wire), size):
            await exchange.chunk(wire[begin : begin + size])
            await asyncio.sleep(0)
        await exchange.end()

    async def test(engine: Any, _: Upstream) -> None:
        assert await read(await stream_of(engine)) == (EVENTS, [])

    run(check(script, test))


def test_each_event_goes_on_while_the_upstream_is_paused(run: Run) -> None:
    async def main() -> None:
        gates = [asyncio.Event() for _ in EVENTS]

        async def script(exchange: Exchange) -> None:
            await exchange.send(CHUNKED_STREAM)
            for gate, event in zip(gates, EVENTS, strict=True):
                await gate.wait()
                await exchange.event(event)
            await exchange.end()

        async def test(engine: Any, _: Upstream) -> None:
            events = await stream_of(engine)  # the head alone is enough to begin
            for gate, event in zip(gates, EVENTS, strict=True):
                gate.set()  # the next one is not sent before this one has come out
                assert await anext(events) == [event]
            assert await read(events) == ([], [])

        await check(script, test)

    run(main())


def test_the_end_of_the_message_does_not_wait_for_the_end_of_the_response(run: Run) -> None:
    async def test(engine: Any, upstream: Upstream) -> None:
        assert await asyncio.wait_for(read(await stream_of(engine)), 0.5) == (EVENTS, [])
        assert upstream.open == 1

    run(check(streams(EVENTS, after=Exchange.closed_by_client), test))


def test_the_connection_is_kept_though_the_response_ends_after_the_message(run: Run) -> None:
    async def main() -> None:
        read_on = asyncio.Event()

        async def after(exchange: Exchange) -> None:
            await read_on.wait()
            await exchange.end()

        async def test(engine: Any, upstream: Upstream) -> None:
            assert await read(await stream_of(engine)) == (EVENTS, [])
            read_on.set()
            (pool,) = engine._client._pools.values()
            await until(lambda: pool._idle)
            assert await read(await stream_of(engine)) == (EVENTS, [])
            assert upstream.connections == 1

        await check(streams(EVENTS, after), test)

    run(main())


def test_what_follows_the_end_of_the_message_is_left_out(run: Run) -> None:
    async def after(exchange: Exchange) -> None:
        await exchange.chunk(b"event: error\ndata: {}\n\ndata: [DONE]\n\n")
        await exchange.end()

    async def test(engine: Any, _: Upstream) -> None:
        assert await read(await stream_of(engine)) == (EVENTS, [])

    run(check(streams(EVENTS, after), test))


# -- statuses


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


UNEXPECTED = "The system encountered an unexpected error during processing. Try your request again."
TIMED_OUT = "Model has timed out in processing the request. Try your request again."
NO_CAPACITY = "Bedrock is unable to process your request."
HTML = "<html><body>502 Bad Gateway: the key is sk-secret</body></html>"

REFUSALS = [
    (
        400,
        _error("invalid_request_error", "messages: Field required"),
        ValidationException,
        "messages: Field required",
    ),
    (400, {"error": "model is too small"}, ValidationException, "model is too small"),
    (
        400,
        _error("invalid_request_error", "Your credit balance is too low"),
        InternalServerException,
        UNEXPECTED,
    ),
    (400, HTML, ModelErrorException, UNEXPECTED),
    (401, _error("authentication_error", "invalid x-api-key"), InternalServerException, UNEXPECTED),
    (402, _error("billing_error", "pay first"), InternalServerException, UNEXPECTED),
    (403, _error("permission_error", "not for this key"), InternalServerException, UNEXPECTED),
    (404, _error("not_found_error", "model: claude-x"), ResourceNotFoundException, "Model not found."),
    (404, {"detail": "Not Found"}, InternalServerException, UNEXPECTED),
    (404, HTML, InternalServerException, UNEXPECTED),
    (405, "", InternalServerException, UNEXPECTED),
    (301, "", InternalServerException, UNEXPECTED),
    (204, "", ModelErrorException, UNEXPECTED),
    (408, "", ModelTimeoutException, TIMED_OUT),
    (413, HTML, ValidationException, "Input is too long for requested model."),
    (422, _error("invalid_request_error", "no such tool"), ValidationException, "no such tool"),
    (
        429,
        _error("rate_limit_error", "Number of requests has exceeded your rate limit"),
        ThrottlingException,
        "Too many requests, please wait before trying again.",
    ),
    (
        429,
        _error("rate_limit_error", "would exceed the limit of 40,000 input tokens per minute"),
        ThrottlingException,
        "Too many tokens, please wait before trying again.",
    ),
    (
        429,
        _error("rate_limit_error", "would exceed your limit of tokens per day"),
        ThrottlingException,
        "Too many tokens per day, please wait before trying again.",
    ),
    (500, _error("api_error", "Internal server error"), ModelErrorException, UNEXPECTED),
    (502, HTML, ModelErrorException, UNEXPECTED),
    (503, HTML, ServiceUnavailableException, NO_CAPACITY),
    (504, HTML, ModelTimeoutException, TIMED_OUT),
    (529, _error("overloaded_error", "Overloaded"), ServiceUnavailableException, NO_CAPACITY),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("status", "body", "kind", "text"), REFUSALS, ids=[f"{row[0]} {row[2].__name__}" for row in REFUSALS]
)
def test_each_status_becomes_awss_fault(
    status: int, body: Any, kind: type[Fault], text: str, stream: bool
) -> None:
    async def script(exchange: Exchange) -> None:
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        await exchange.reply(status, b"" if status == 204 else raw, [("request-id", "req_9")])

    async def test(engine: Any, upstream: Upstream) -> None:
        for _ in range(2):
            with pytest.raises(Fault) as caught:
                await engine.answer(ask(stream=stream))
            fault = caught.value
            assert (type(fault), fault.text) == (kind, text)
            assert f"test/claude answered {status}" in fault.reason
            assert "req_9" in fault.reason
            if isinstance(fault, ModelErrorException):
                assert fault.original_status == status
        assert upstream.connections == 1  # an error is no reason to part

    asyncio.run(check(script, test))


def test_a_token_limit_is_also_known_by_its_header_and_the_pause_is_kept() -> None:
    headers = [("anthropic-ratelimit-input-tokens-remaining", "0"), ("retry-after", "17")]

    async def script(exchange: Exchange) -> None:
        await exchange.reply_json(429, _error("rate_limit_error", "slow down"), headers)

    async def test(engine: Any, _: Upstream) -> None:
        with pytest.raises(ThrottlingException, match="Too many tokens, please") as caught:
            await engine.answer(ask())
        assert caught.value.retry_after == 17.0

    asyncio.run(check(script, test))


@pytest.mark.parametrize("value", ["", "soon", "nan", "-1", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_pause_that_is_no_number_of_seconds_is_left_out(value: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.reply_json(529, _error("overloaded_error", "Overloaded"), [("retry-after", value)])

    async def test(engine: Any, _: Upstream) -> None:
        with pytest.raises(ServiceUnavailableException) as caught:
            await engine.answer(ask())
        assert caught.value.retry_after is None

    asyncio.run(check(script, test))


NOT_ANSWERS = [
    HTML,
    "",
    "[]",
    "null",
    '{"content": []}',
    '{"content": "text", "usage": {"input_tokens": 1, "output_tokens": 1}}',
    '{"content": [], "usage": {"input_tokens": "1", "output_tokens": 1}}',
    '{"content": [], "usage": {"input_tokens": 1}}',
    '{"content": [], "usage": null}',
    json.dumps(MESSAGE)[:-1],
    '{"id": "chatcmpl-1", "choices": [{"message": {"content": "OpenAI"}}], "usage": {"prompt_tokens": 1}}',
]


@pytest.mark.parametrize("body", NOT_ANSWERS)
def test_a_whole_answer_that_is_none_is_an_error_of_the_model(body: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.reply(200, body.encode())

    async def test(engine: Any, _: Upstream) -> None:
        with pytest.raises(ModelErrorException) as caught:
            await engine.answer(ask())
        assert caught.value.text == UNEXPECTED
        assert caught.value.reason

    asyncio.run(check(script, test))


def test_an_answer_without_end_is_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outcrop.engine.messages._ANSWER_LIMIT", 100_000)

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n{")
        while True:
            await exchange.send(b" " * 10_000)

    async def test(engine: Any, upstream: Upstream) -> None:
        with pytest.raises(ModelErrorException, match="unexpected error"):
            await engine.answer(ask())
        await until(lambda: not upstream.open)

    asyncio.run(check(script, test))


@pytest.mark.parametrize("content_type", ["text/html", "application/json", ""])
def test_a_stream_must_be_one(content_type: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.reply(200, json.dumps(MESSAGE).encode(), [("content-type", content_type)])

    async def test(engine: Any, _: Upstream) -> None:
        with pytest.raises(ModelErrorException, match="unexpected error"):
            await engine.answer(ask(stream=True))

    asyncio.run(check(script, test))


# -- exchanges that fail before an answer


def _reset(exchange: Exchange) -> Awaitable[None]:
    async def script() -> None:
        exchange.reset()

    return script()


def _hangs(data: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.send(data)
        await exchange.closed_by_client()

    return script


def _breaks(data: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.send(data)
        exchange.close()

    return script


HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"
FAILURES = [
    pytest.param(_reset, ServiceUnavailableException, NO_CAPACITY, id="reset"),
    pytest.param(_breaks(b""), ServiceUnavailableException, NO_CAPACITY, id="closed"),
    pytest.param(_breaks(b"HTTP/1.1 200"), ServiceUnavailableException, NO_CAPACITY, id="half a head"),
    pytest.param(_breaks(HALF), ModelErrorException, UNEXPECTED, id="half a body"),
    pytest.param(_hangs(b"SSH-2.0-x\r\n"), ModelErrorException, UNEXPECTED, id="not HTTP"),
    pytest.param(_hangs(b""), ModelTimeoutException, TIMED_OUT, id="silence"),
    pytest.param(_hangs(HALF), ModelTimeoutException, TIMED_OUT, id="silence in the body"),
]


@pytest.mark.parametrize(("script", "kind", "text"), FAILURES)
def test_an_exchange_that_fails_is_a_fault_with_a_reason(
    run: Run, script: Script, kind: type[Fault], text: str
) -> None:
    async def test(engine: Any, _: Upstream) -> None:
        with pytest.raises(Fault) as caught:
            await engine.answer(ask())
        assert (type(caught.value), caught.value.text) == (kind, text)
        assert caught.value.reason.startswith("test/claude: ")
        assert caught.value.__cause__ is not None

    run(check(script, test, head=0.05, idle=0.05))


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:9", ServiceUnavailableException),
        ("http://no-such-host.invalid", ServiceUnavailableException),
        ("http://2852039166", InternalServerException),  # 169.254.169.254 in disguise
    ],
)
def test_an_upstream_that_is_not_there_is_a_fault(url: str, kind: type[Fault]) -> None:
    async def test() -> None:
        engine = MessagesEngine("gone", url, client=Client(proxies=Proxies()))
        with pytest.raises(kind) as caught:
            await engine.answer(ask())
        assert caught.value.reason.startswith("gone: ")
        await engine.close()

    asyncio.run(test())


def test_an_upstream_without_tls_is_a_fault() -> None:
    async def speak_plainly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def test() -> None:
        server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        engine = MessagesEngine("plain", f"https://127.0.0.1:{port}", client=Client(proxies=Proxies()))
        with pytest.raises(ServiceUnavailableException) as caught:
            await engine.answer(ask())
        assert "TLS failed: what answers there does not speak it" in caught.value.reason
        await engine.close()
        server.close()

    asyncio.run(test())


# -- streams that fail


async def _then_reset(exchange: Exchange) -> None:
    await asyncio.sleep(0.01)  # a reset overtakes what is still in the receiver's buffer
    exchange.reset()


async def _then_close(exchange: Exchange) -> None:
    exchange.close()


async def _then_half_an_event(exchange: Exchange) -> None:
    await exchange.chunk(b'event: content_block_delta\ndata: {"type":"content_bl')
    exchange.close()


async def _then_half_a_chunk(exchange: Exchange) -> None:
    await exchange.send(b"ff\r\nevent: content_block_delta\n")
    exchange.close()


async def _then_bad_chunk(exchange: Exchange) -> None:
    await exchange.send(b"zz\r\n")
    await exchange.closed_by_client()


async def _then_bad_json(exchange: Exchange) -> None:
    await exchange.chunk(b"event: content_block_delta\ndata: {not json}\n\n" + encode(PING))
    await exchange.closed_by_client()


async def _then_bad_utf8(exchange: Exchange) -> None:
    await exchange.chunk(b'event: content_block_delta\ndata: {"type":"x","text":"\xff"}\n\n')
    await exchange.closed_by_client()


async def _then_html(exchange: Exchange) -> None:
    await exchange.chunk(HTML.encode() + b"\n\n")
    await exchange.end()


async def _then_endless_event(exchange: Exchange) -> None:
    await exchange.chunk(b"data: " + b"x" * 5000)
    await exchange.closed_by_client()


async def _then_overloaded(exchange: Exchange) -> None:
    await exchange.chunk(
        b"event: error\ndata: " + json.dumps(_error("overloaded_error", "Overloaded")).encode() + b"\n\n"
    )
    await exchange.event(EVENTS[-1])
    await exchange.end()


BREAKS: list[tuple[Callable[[Exchange], Awaitable[None]], type[Fault]]] = [
    (Exchange.end, ModelStreamErrorException),
    (_then_close, ModelStreamErrorException),
    (_then_reset, ModelStreamErrorException),
    (Exchange.closed_by_client, ModelTimeoutException),
    (_then_half_an_event, ModelStreamErrorException),
    (_then_half_a_chunk, ModelStreamErrorException),
    (_then_bad_chunk, ModelStreamErrorException),
    (_then_bad_json, ModelStreamErrorException),
    (_then_bad_utf8, ModelStreamErrorException),
    (_then_html, ModelStreamErrorException),
    (_then_endless_event, ModelStreamErrorException),
    (_then_overloaded, ServiceUnavailableException),
]


@pytest.mark.parametrize("point", range(len(EVENTS)))
@pytest.mark.parametrize(("after", "kind"), BREAKS, ids=[row[0].__name__.strip("_") for row in BREAKS])
def test_a_stream_that_breaks_anywhere_ends_in_exactly_one_fault(
    monkeypatch: pytest.MonkeyPatch, run: Run, after: Any, kind: type[Fault], point: int
) -> None:
    from outcrop.wire.sse import EventBuffer

    monkeypatch.setattr("outcrop.engine.messages.EventBuffer", lambda: EventBuffer(limit=4000))

    async def test(engine: Any, upstream: Upstream) -> None:
        seen, faults = await read(await stream_of(engine))
        assert seen == EVENTS[:point]
        assert [type(fault) for fault in faults] == [kind]
        assert faults[0].text
        assert faults[0].reason.startswith("test/claude")
        await until(lambda: not upstream.open or after in (Exchange.end, _then_html, _then_overloaded))

    # only the silent upstream has to be waited for; elsewhere a short limit would win on a busy machine
    idle = 0.04 if kind is ModelTimeoutException else 10
    run(check(streams(EVENTS[:point], after), test, idle=idle))


def test_events_and_the_fault_that_arrive_together_come_out_in_order() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED_STREAM)
        await exchange.chunk(b"".join(map(encode, EVENTS[:4])) + b"data: nonsense\n\n" + encode(EVENTS[4]))
        exchange.close()

    async def test(engine: Any, _: Upstream) -> None:
        events = await stream_of(engine)
        assert await anext(events) == EVENTS[:4]
        assert [type(fault) for fault in (await read(events))[1]] == [ModelStreamErrorException]

    asyncio.run(check(script, test))


ERROR_EVENTS = [
    ("overloaded_error", ServiceUnavailableException, NO_CAPACITY),
    ("rate_limit_error", ThrottlingException, "Too many requests, please wait before trying again."),
    ("api_error", ModelStreamErrorException, UNEXPECTED),
    ("invalid_request_error", ValidationException, "as the upstream put it"),
    ("timeout_error", ModelTimeoutException, TIMED_OUT),
    ("authentication_error", InternalServerException, UNEXPECTED),
    ("error_of_tomorrow", ModelStreamErrorException, UNEXPECTED),
]


@pytest.mark.parametrize(("kind", "fault", "text"), ERROR_EVENTS)
@pytest.mark.parametrize("named", [True, False], ids=["with an event line", "without"])
def test_an_error_event_becomes_awss_fault(kind: str, fault: type[Fault], text: str, named: bool) -> None:
    data = json.dumps(_error(kind, "as the upstream put it")).encode()

    async def after(exchange: Exchange) -> None:
        await exchange.chunk((b"event: error\n" if named else b"") + b"data: " + data + b"\n\n")
        await exchange.end()

    async def test(engine: Any, _: Upstream) -> None:
        seen, faults = await read(await stream_of(engine))
        assert seen == EVENTS[:3]
        assert [(type(f), f.text) for f in faults] == [(fault, text)]

    asyncio.run(check(streams(EVENTS[:3], after), test))


@pytest.mark.parametrize(
    "first",
    [
        EVENTS[1],
        EVENTS[-1],
        _event("message_start"),
        _event("message_start", message={"usage": {}}),
        Event("x", b"[]"),
    ],
)
def test_a_stream_must_begin_with_a_message_that_has_usage(first: Event) -> None:
    async def test(engine: Any, _: Upstream) -> None:
        seen, faults = await read(await stream_of(engine))
        assert seen == []
        assert [type(fault) for fault in faults] == [ModelStreamErrorException]

    asyncio.run(check(streams([first]), test))


# -- giving up


def test_cancelling_while_the_model_thinks_closes_the_connection(run: Run) -> None:
    for stream in (False, True):

        async def test(engine: Any, upstream: Upstream, stream: bool = stream) -> None:
            task = asyncio.create_task(engine.answer(ask(stream=stream)))
            await until(lambda: upstream.requests)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await until(lambda: not upstream.open)
            assert engine._client.open_connections() == 0

        run(check(_hangs(b""), test))


def test_cancelling_the_reader_closes_the_connection(run: Run) -> None:
    async def test(engine: Any, upstream: Upstream) -> None:
        events = await stream_of(engine)
        got = asyncio.Event()

        async def reader() -> None:
            async for _ in events:
                got.set()

        task = asyncio.create_task(reader())
        await got.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await until(lambda: not upstream.open)

    run(check(streams(EVENTS[:3], after=Exchange.closed_by_client), test))


@pytest.mark.parametrize("read_first", [0, 1])
def test_closing_the_events_closes_the_connection_even_if_none_was_read(run: Run, read_first: int) -> None:
    async def test(engine: Any, upstream: Upstream) -> None:
        events = await stream_of(engine)
        for _ in range(read_first):
            await anext(events)
        await events.aclose()
        await events.aclose()
        await until(lambda: not upstream.open)
        assert await read(events) == ([], [])

    run(check(streams(EVENTS[:3], after=Exchange.closed_by_client), test))


def test_forgotten_events_close_the_connection_too(run: Run) -> None:
    async def test(engine: Any, upstream: Upstream) -> None:
        events = await stream_of(engine)
        await anext(events)
        del events
        await until(lambda: not upstream.open)

    run(check(streams(EVENTS[:3], after=Exchange.closed_by_client), test))


def test_a_reader_that_stops_stops_the_upstream(run: Run) -> None:
    delta = encode(_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 10_000}))

    async def main() -> None:
        sent = 0

        async def flood(exchange: Exchange) -> None:
            nonlocal sent
            await exchange.send(CHUNKED_STREAM)
            await exchange.event(EVENTS[0])
            while True:
                await exchange.chunk(delta)
                sent += 1

        async def test(engine: Any, _: Upstream) -> None:
            events = await stream_of(engine)
            await anext(events)
            before = -1
            while before != sent:  # until nothing moves any more
                before = sent
                await asyncio.sleep(0.15)
            assert sent < 2000  # what the kernel's buffers hold; without a stop it would be endless
            assert events._response._size < 64 * 1024 + 300 * 1024
            for _ in range(2000):  # the sender is told of room once there is enough of it
                await anext(events)
                await asyncio.sleep(0.001)
                if sent > before:
                    break
            assert sent > before
            await events.aclose()

        await check(flood, test, unread=64 * 1024)

    run(main())


# -- counting


def test_counting_asks_the_upstream_without_what_only_generation_needs(run: Run) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.reply_json(200, {"input_tokens": 42, "more": 1})

    async def test(engine: Any, upstream: Upstream) -> None:
        tools = [{"name": "t", "input_schema": {"type": "object"}}]
        assert await engine.count(ask(tools=tools, stop_sequences=["x"], top_k=1, thing_of_tomorrow=1)) == 42
        (request,) = upstream.requests
        assert request.path == "/v1/messages/count_tokens"
        assert request.json == {
            "model": "claude-sonnet-4-5-20250929",
            "messages": BODY["messages"],
            "tools": tools,
            "thing_of_tomorrow": 1,
        }

    run(check(script, test))


@pytest.mark.parametrize("status", [404, 405, 501])
def test_an_upstream_that_cannot_count_is_answered_as_aws_does(status: int) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.reply_json(status, {"detail": "Not Found"})

    async def test(engine: Any, _: Upstream) -> None:
        with pytest.raises(
            ValidationException, match=r"^The provided model doesn't support counting tokens\.$"
        ):
            await engine.count(ask())

    asyncio.run(check(script, test))


@pytest.mark.parametrize("body", ["", "{}", '{"input_tokens": "4"}', HTML])
def test_a_count_that_is_none_is_an_error_of_the_model(body: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.reply(200, body.encode())

    async def test(engine: Any, _: Upstream) -> None:
        with pytest.raises(ModelErrorException):
            await engine.count(ask())

    asyncio.run(check(script, test))


def test_a_refused_count_is_a_fault_like_any_other() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.reply_json(429, _error("rate_limit_error", "slow down"))

    async def test(engine: Any, _: Upstream) -> None:
        with pytest.raises(ThrottlingException):
            await engine.count(ask())

    asyncio.run(check(script, test))


# -- settings


def test_what_the_engine_lacks_is_refused_before_anything_is_sent() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}

    async def script(exchange: Exchange) -> None:
        await exchange.reply_json(200, MESSAGE)

    async def test(engine: Any, upstream: Upstream) -> None:
        assert engine.cannot == {"images"}
        for ask_it in (engine.answer, engine.count):
            with pytest.raises(ValidationException, match="image content block"):
                await ask_it(ask(messages=[{"role": "user", "content": [image]}]))
        assert upstream.connections == 0

    asyncio.run(check(script, test, lacks=["images"]))


@pytest.mark.parametrize("beta", ["", "a b", "a\r\nx-evil: 1", "é", "a,b", "x" * 200])
def test_a_beta_that_is_none_never_becomes_a_header(beta: str) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.reply_json(200, MESSAGE)

    async def test(engine: Any, upstream: Upstream) -> None:
        with pytest.raises(ValidationException, match="invalid beta flag"):
            await engine.answer(Question(MODEL, BODY, False, ("fine", beta)))
        assert upstream.connections == 0

    asyncio.run(check(script, test))


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/"])
@pytest.mark.parametrize("prefix", ["", "/anthropic"])
def test_the_address_may_be_given_in_every_usual_way(prefix: str, ending: str) -> None:
    async def test() -> None:
        async with Upstream(in_turn(streams(EVENTS))) as upstream:
            engine = MessagesEngine("x", upstream.url + prefix + ending, client=Client(proxies=Proxies()))
            await read(await stream_of(engine))
            assert upstream.requests[0].path == f"{prefix}/v1/messages"
            await engine.close()

    asyncio.run(test())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:11434",
        "ftp://localhost",
        "http://",
        "http://localhost/?x=1",
        "http://localhost/#x",
        "http://localhost:port/",
        "http://user:secret@localhost/",
        "http://169.254.169.254/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
    ],
)
def test_an_address_that_cannot_be_used_is_an_error_of_the_configuration(url: str) -> None:
    with pytest.raises(ConfigError, match="engine main"):
        MessagesEngine("main", url)


@pytest.mark.parametrize(
    "setting",
    [
        {"api_key": "a\nb"},
        {"api_key": "é"},
        {"headers": {"x": "a\r\nb"}},
        {"headers": {"é": "1"}},
        {"headers": {"a b": "1"}},
        {"headers": {"": "1"}},
        {"headers": {"Content-Length": "1"}},
        {"headers": {"host": "elsewhere"}},
    ],
)
def test_a_header_that_cannot_be_sent_is_an_error_of_the_configuration(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"engine main: .* can't be"):
        MessagesEngine("main", "http://localhost", **setting)


def test_a_proxy_that_cannot_be_used_is_an_error_of_the_configuration() -> None:
    with pytest.raises(
        ConfigError, match=r"engine main: .* socks5://p:1080 is a SOCKS proxy(?s:.*)http://host:port"
    ):
        MessagesEngine("main", "https://far.example", client=Client(proxies=Proxies(https="socks5://p:1080")))


@pytest.mark.parametrize("text", [None, "not a certificate"])
def test_a_ca_file_that_cannot_be_used_is_told_at_the_start(tmp_path: Path, text: str | None) -> None:
    ca_file = tmp_path / "ca.pem"
    if text is not None:
        ca_file.write_text(text)
    engine = MessagesEngine(
        "main", "https://far.example", client=Client(ca_file=str(ca_file), proxies=Proxies())
    )
    with pytest.raises(ConfigError, match="engine main: the CA file"):
        asyncio.run(engine.start())


def test_the_key_is_in_no_text_about_the_engine() -> None:
    engine = MessagesEngine("main", "http://localhost", api_key="sk-secret")
    assert "sk-secret" not in f"{engine} {engine!r}"
    with pytest.raises(ConfigError) as caught:
        MessagesEngine("main", "http://localhost", api_key="sk-secret\n")
    assert "sk-secret" not in str(caught.value)


# -- what every engine must pass


def _blocks(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class LittleClaude:
    """An upstream that does what it is asked: one word is one token, and long answers take their time."""

    def __init__(self) -> None:
        self.answers = 0
        self.generating = 0

    async def __call__(self, exchange: Exchange) -> None:
        asked = exchange.json
        texts = [_blocks(turn["content"]) for turn in asked["messages"]]
        size = len(json.dumps([texts, _blocks(asked.get("system", [])), asked.get("tools")]))
        if exchange.path.endswith("/count_tokens"):
            await exchange.reply_json(200, {"input_tokens": size})
            return
        self.answers += 1
        message = {**MESSAGE, "id": f"msg_{self.answers}", **self._answer(asked)}
        message["usage"] = {
            "input_tokens": size,
            "output_tokens": message.pop("tokens"),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        }
        self.generating += 1
        try:
            await self._send(exchange, message, slow=asked["max_tokens"] > 100)
        finally:
            self.generating -= 1

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked.get("tool_choice"):
            call = {"location": "Oslo", "unit": "celsius"}
            block = {"type": "tool_use", "id": "toolu_1", "name": asked["tools"][0]["name"], "input": call}
            return {"content": [block], "stop_reason": "tool_use", "tokens": 9}
        words = ["Why, ", "hello ", "to ", "you ", "too."][: asked["max_tokens"]]
        text, reason, stopped = "".join(words), "end_turn" if len(words) == 5 else "max_tokens", None
        for stop in asked.get("stop_sequences", ()):
            if stop in text:
                text, reason, stopped = text.partition(stop)[0], "stop_sequence", stop
        block = {"type": "text", "text": text}
        return {"content": [block], "stop_reason": reason, "stop_sequence": stopped, "tokens": len(words)}

    async def _send(self, exchange: Exchange, message: dict[str, Any], *, slow: bool) -> None:
        if not exchange.json.get("stream"):
            if slow:
                await exchange.closed_by_client()
            await exchange.reply_json(200, message)
            return
        await exchange.send(CHUNKED_STREAM)
        for event in as_events(message):
            await exchange.event(event)
            if slow and event.type == "content_block_delta":
                await exchange.closed_by_client()
        await exchange.end()


class TestMessagesEngine(EngineSuite):
    little: ClassVar[LittleClaude]

    @pytest.fixture(scope="class")
    @classmethod
    def upstream(cls, run: Any) -> Any:
        upstream = Upstream(LittleClaude())
        run(upstream.__aenter__())
        yield upstream
        run(upstream.__aexit__(None, None, None))

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, upstream: Upstream) -> Any:
        cls.little = upstream.script
        return lambda: new_engine(upstream)

    async def settled(self, engine: Engine) -> None:
        await until(lambda: not self.little.generating)


class TestMessagesEngineThatLacks(TestMessagesEngine):
    @pytest.fixture(scope="class")
    @classmethod
    def make(cls, upstream: Upstream) -> Any:
        cls.little = upstream.script
        return lambda: new_engine(upstream, lacks=list(ASKS))
