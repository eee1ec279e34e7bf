"""The whole client, blocking and async, against servers that misbehave: every outcome is the right exception.

And no request is sent again once an event of its stream has been handed out.
"""

import asyncio

import pytest

import outcrop
from client.badserver import (
    CLOSE,
    DELTA,
    END,
    OPEN,
    START,
    STOP,
    STREAM,
    Act,
    BadServer,
    chunk,
    frame,
    whole,
)
from outcrop import Timeout
from outcrop.wire.eventstream import encode, encode_headers

SONNET = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
HELLO = {"model": SONNET, "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
SHORT = Timeout(connect=5, read=0.4, stall=0.4, write=5)
BEGUN = STREAM + chunk(frame(START, OPEN, DELTA))
REST = chunk(frame(DELTA, CLOSE, END, STOP)) + b"0\r\n\r\n"


def options(server, **more):
    keys = {"aws_access_key": "AKIDEXAMPLE", "aws_secret_key": "secret", "aws_region": "us-west-2"}
    return {**keys, "base_url": server.url, "timeout": SHORT, "max_retries": 0, **more}


class Blocking:
    """One call, whole or streamed, with the blocking client."""

    @staticmethod
    def create(server, **more):
        with outcrop.AnthropicBedrock(**options(server, **more)) as client:
            return client.messages.create(**HELLO)

    @staticmethod
    def stream(server, seen, **more):
        with outcrop.AnthropicBedrock(**options(server, **more)) as client:
            for event in client.messages.create(**HELLO, stream=True):
                seen.append(event.type)


class Async:
    """The same with the async one."""

    @staticmethod
    def create(server, **more):
        async def go():
            async with outcrop.AsyncAnthropicBedrock(**options(server, **more)) as client:
                return await client.messages.create(**HELLO)

        return asyncio.run(go())

    @staticmethod
    def stream(server, seen, **more):
        async def go():
            async with outcrop.AsyncAnthropicBedrock(**options(server, **more)) as client:
                async for event in await client.messages.create(**HELLO, stream=True):
                    seen.append(event.type)

        asyncio.run(go())


@pytest.fixture(params=[Blocking, Async], ids=["blocking", "async"])
def client(request):
    return request.param


def flipped(data, bit):
    """The data with one bit turned."""
    turned = bytearray(data)
    turned[bit // 8] ^= 1 << bit % 8
    return bytes(turned)


WHOLE_FAULTS = {
    "a reset instead of an answer": (Act().reset(), outcrop.APIConnectionError),
    "a close instead of an answer": (Act(), outcrop.APIConnectionError),
    "a reset in the head": (Act(b"HTTP/1.1 200 OK\r\ncontent-").reset(), outcrop.APIConnectionError),
    "a reset in the body": (Act(whole()[:-10]).reset(), outcrop.APIConnectionError),
    "a body that is too short": (Act(whole()[:-10]), outcrop.APIConnectionError),
    "silence": (Act().stall(), outcrop.APITimeoutError),
    "silence in the body": (Act(whole()[:-10]).stall(), outcrop.APITimeoutError),
    "headers that trickle in": (
        Act().drip(b"HTTP/1.1 200 OK\r\nx-slow: " + b"a" * 4000),
        outcrop.APITimeoutError,
    ),
    "no HTTP": (Act(b"SSH-2.0-OpenSSH_9.2\r\n"), outcrop.APIConnectionError),
    "429 without retry-after": (Act(whole(429, b'{"message":"slow"}')), outcrop.RateLimitError),
    "429 with retry-after": (
        Act(whole(429, b'{"message":"slow"}', b"retry-after: 1")),
        outcrop.RateLimitError,
    ),
    "a page": (Act(whole(200, b"<html>Sign in</html>")), outcrop.APIResponseValidationError),
    "an error page": (Act(whole(502, b"<html>Bad gateway</html>")), outcrop.InternalServerError),
}


@pytest.mark.parametrize("name", WHOLE_FAULTS)
def test_a_whole_answer_that_fails(client, name):
    act, kind = WHOLE_FAULTS[name]
    with BadServer(act) as server, pytest.raises(kind) as caught:
        client.create(server)
    assert type(caught.value) is kind
    assert len(server.requests) == 1


STREAM_FAULTS = {
    "a reset": (Act(BEGUN).reset(), outcrop.StreamBrokenError),
    "a close without the last chunk": (Act(BEGUN), outcrop.StreamBrokenError),
    "an end without the last event": (Act(BEGUN, b"0\r\n\r\n"), outcrop.StreamBrokenError),
    "half a frame": (Act(BEGUN, chunk(frame(DELTA)[:40]), b"0\r\n\r\n"), outcrop.StreamBrokenError),
    "half a frame and silence": (Act(BEGUN, chunk(frame(DELTA)[:40])).stall(), outcrop.StreamStalledError),
    "silence": (Act(BEGUN).stall(), outcrop.StreamStalledError),
    "a bit flipped in the length": (
        Act(BEGUN, chunk(flipped(frame(DELTA), 3)), REST),
        outcrop.StreamCorruptedError,
    ),
    "a bit flipped in a header": (
        Act(BEGUN, chunk(flipped(frame(DELTA), 200)), REST),
        outcrop.StreamCorruptedError,
    ),
    "a bit flipped in the payload": (
        Act(BEGUN, chunk(flipped(frame(DELTA), 8 * 120)), REST),
        outcrop.StreamCorruptedError,
    ),
    "a chunk that is no hex": (Act(BEGUN, b"zz\r\nrubbish"), outcrop.StreamBrokenError),
    "an exception": (
        Act(
            BEGUN,
            chunk(
                encode(
                    encode_headers({":exception-type": "throttlingException", ":message-type": "exception"}),
                    b'{"message":"enough"}',
                )
            ),
            b"0\r\n\r\n",
        ),
        outcrop.RateLimitError,
    ),
    "an error event": (
        Act(BEGUN, chunk(frame(b'{"type":"error","error":{"type":"overloaded_error","message":"full"}}'))),
        outcrop.OverloadedError,
    ),
}


@pytest.mark.parametrize("name", STREAM_FAULTS)
def test_a_stream_that_fails_after_its_first_events(client, name):
    act, kind = STREAM_FAULTS[name]
    seen = []
    with BadServer(act) as server, pytest.raises(kind) as caught:
        client.stream(server, seen, max_retries=5)
    assert type(caught.value) is kind
    assert seen == ["message_start", "content_block_start", "content_block_delta"]
    assert len(server.requests) == 1, "it was sent again"


@pytest.mark.parametrize(
    "first",
    [
        Act().reset(),
        Act(whole(429, b'{"message":"slow"}', b"retry-after-ms: 1")),
        Act(whole(503, b'{"message":"full"}', b"retry-after-ms: 1")),
        Act(STREAM).reset(),
        Act(STREAM, chunk(frame(START)[:30])).stall(),
        Act(STREAM, chunk(flipped(frame(START), 77))),
    ],
    ids=["reset", "429", "503", "reset after the head", "stall in the first frame", "flipped first frame"],
)
def test_a_stream_that_fails_before_its_first_event_is_tried_again(client, first):
    seen = []
    with BadServer(first, Act(BEGUN, REST)) as server:
        client.stream(server, seen, max_retries=1)
    assert seen[0] == "message_start"
    assert seen[-1] == "message_stop"
    assert len(server.requests) == 2


def test_the_attempts_of_one_call_have_one_invocation_id(client):
    acts = [Act(whole(503, b'{"message":"full"}', b"retry-after-ms: 1")), Act().reset(), Act(whole())]
    with BadServer(*acts) as server:
        assert client.create(server, max_retries=2).id == "msg_1"
    ids = {
        line
        for r in server.requests
        for line in r.split(b"\r\n")
        if line.startswith(b"amz-sdk-invocation-id")
    }
    assert len(server.requests) == 3
    assert len(ids) == 1


def test_nothing_listens(client):
    with BadServer(Act()) as server:
        pass
    with pytest.raises(outcrop.APIConnectionError, match=r"127\.0\.0\.1") as caught:
        client.create(server)
    assert "aws_region, base_url" in caught.value.fix


def test_what_came_before_the_break_is_kept(client):
    """The stream helper's snapshot after the error holds the text so far."""
    with BadServer(Act(BEGUN).reset()) as server:
        if client is Blocking:
            with outcrop.AnthropicBedrock(**options(server)) as made, made.messages.stream(**HELLO) as stream:
                with pytest.raises(outcrop.StreamBrokenError):
                    stream.until_done()
                with pytest.raises(outcrop.StreamBrokenError):
                    stream.get_final_message()
                assert stream.current_message_snapshot.content[0].text == "word "
            return

        async def go():
            made = outcrop.AsyncAnthropicBedrock(**options(server))
            async with made, made.messages.stream(**HELLO) as stream:
                with pytest.raises(outcrop.StreamBrokenError):
                    await stream.until_done()
                with pytest.raises(outcrop.StreamBrokenError):
                    await stream.get_final_message()
                return stream.current_message_snapshot.content[0].text

        assert asyncio.run(go()) == "word "


def test_every_flipped_bit_of_a_frame_is_noticed_or_changes_nothing(client):
    """Each bit of one frame in turn, over the wire: an error, never other text."""
    data = frame(DELTA)
    bits = range(0, len(data) * 8, 37)
    acts = [Act(BEGUN, chunk(flipped(data, bit)), REST) for bit in bits]
    with BadServer(*acts) as server:
        for _ in bits:
            seen = []
            with pytest.raises((outcrop.StreamCorruptedError, outcrop.StreamBrokenError)):
                client.stream(server, seen)
            assert len(seen) == 3
    assert len(server.requests) == len(bits)
