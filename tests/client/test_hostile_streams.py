"""Streams that go wrong in every way at every event, for both clients: what came before, then one exception.

Never a quiet end, never a second request, never memory that somebody else decides about. OUTCROP_PROVE=1
takes more of what is drawn by lot.
"""

import asyncio
import base64
import contextlib
import json
import os
import random
import socket
import struct
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from zlib import crc32

import pytest

import outcrop
from client.badserver import CLOSE, DELTA, END, OPEN, START, STOP, STREAM, Act, BadServer, chunk, frame
from outcrop import Timeout
from outcrop.client.replies import Request, Response
from outcrop.client.streams import StreamReader
from outcrop.transport import KIB, GarbledError, Limits
from outcrop.transport.http1 import ResponseReader
from outcrop.wire import frames
from outcrop.wire.eventstream import encode, encode_headers

PROVE = os.environ.get("OUTCROP_PROVE") == "1"
MIB = 1024 * KIB
SONNET = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
STALL = 0.2
PATIENT = Timeout(connect=5, read=10, stall=10, write=10)
TOOL = (
    b'{"type":"content_block_start","index":1,'
    b'"content_block":{"type":"tool_use","id":"toolu_1","name":"n","input":{}}}'
)
INPUT = (
    b'{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\\"a\\": 1}"}}'
)
MESSAGES = [
    START,
    OPEN,
    DELTA,
    DELTA.replace(b"word", "Grüße 日本 𝄞".encode()),
    DELTA,
    CLOSE,
    TOOL,
    INPUT,
    CLOSE.replace(b"0", b"1"),
    END,
    STOP,
]
CONVERSE = [
    ("messageStart", b'{"role":"assistant"}'),
    *[("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"word %d "}}' % n) for n in range(7)],
    ("contentBlockStop", b'{"contentBlockIndex":0}'),
    ("messageStop", b'{"stopReason":"end_turn"}'),
    ("metadata", b'{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}'),
]


class Messages:
    """The frames of a stream of InvokeModel's, and what their events are as dicts."""

    frames = [frame(event) for event in MESSAGES]
    events = [json.loads(event) for event in MESSAGES]
    call = {"max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
    converse = False


class Converse:
    """The same of ConverseStream's."""

    frames = [frames.converse_event(name, members, b"pad") for name, members in CONVERSE]
    events = [{name: json.loads(members)} for name, members in CONVERSE]
    call = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    converse = True


class Stage(BadServer):
    """A request names in its header x-act the act that answers it, so that many can be under way at once."""

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            if request := self._receive(connection):
                with self._lock:
                    self.requests.append(request)
                self._acts[int(request.partition(b"x-act: ")[2].partition(b"\r\n")[0])].play(
                    connection, self._stopping
                )


class Seen:
    """What a call came to: the events it gave, and what it raised in the end, if anything."""

    def __init__(self):
        self.events = []
        self.error = None


def options(server, **more):
    keys = {"aws_access_key": "AKIDEXAMPLE", "aws_secret_key": "secret", "aws_region": "us-west-2"}
    patience = Timeout(connect=10, read=10, stall=STALL, write=10)
    return {**keys, "base_url": server.url, "timeout": patience, "max_retries": 0, **more}


def parameters(kind, act):
    return {"model": SONNET, "extra_headers": {"x-act": str(act)}, **kind.call}


def blocking(kind, acts, **more):
    """Plays each act to a call of its own, all at once, with one client. What the calls saw, and the server."""

    def one(number):
        seen = Seen()
        try:
            asked = parameters(kind, number)
            stream = client.converse_stream(**asked) if kind.converse else client.messages.create(**asked, stream=True)
            for event in stream:
                seen.events.append(event.to_dict())
        except outcrop.AnthropicError as error:
            seen.error = error
        else:
            assert next(stream, None) is None
        return seen

    with (
        Stage(*acts) as server,
        outcrop.AnthropicBedrock(**options(server, **more)) as client,
        ThreadPoolExecutor(len(acts)) as threads,
    ):
        return list(threads.map(one, range(len(acts)))), server


def asynchronous(kind, acts, **more):
    """The same with tasks."""

    async def one(client, number):
        seen = Seen()
        try:
            asked = parameters(kind, number)
            opening = client.converse_stream(**asked) if kind.converse else client.messages.create(**asked, stream=True)
            async for event in await opening:
                seen.events.append(event.to_dict())
        except outcrop.AnthropicError as error:
            seen.error = error
        return seen

    async def all_of_them(server):
        async with outcrop.AsyncAnthropicBedrock(**options(server, **more)) as client:
            return await asyncio.gather(*[one(client, number) for number in range(len(acts))])

    with Stage(*acts) as server:
        return asyncio.run(all_of_them(server)), server


@pytest.fixture(params=[blocking, asynchronous], ids=["blocking", "async"])
def play(request):
    return request.param


@pytest.fixture(params=[Messages, Converse])
def kind(request):
    return request.param


# -- the faults


def begun(before):
    """A reply with these frames, one chunk each, or, for an even number, all in one."""
    if len(before) % 2 or not before:
        return Act(STREAM, *map(chunk, before))
    return Act(STREAM + chunk(b"".join(before)))


def with_length(before, after):
    """The same with a content-length, which counts the rest too."""
    head = STREAM.replace(b"transfer-encoding: chunked", b"content-length: %d" % len(b"".join([*before, after])))
    return Act(head + b"".join(before))


def until_the_end(before):
    """The same with neither: the end of the connection is the end of the body."""
    return Act(STREAM.replace(b"transfer-encoding: chunked", b"connection: close") + b"".join(before))


def flipped(data, bit):
    turned = bytearray(data)
    turned[bit // 8] ^= 1 << bit % 8
    return bytes(turned)


def claiming(data, total=None, headers=None):
    """A frame with other lengths, and a prelude whose checksum is right for them."""
    length, of_headers = struct.unpack_from(">II", data)
    prelude = struct.pack(">II", length if total is None else total, of_headers if headers is None else headers)
    return prelude + struct.pack(">I", crc32(prelude)) + data[12:]


def event(payload, **headers):
    """A frame whose checksums are right, whatever is in it."""
    names = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return encode(encode_headers({**names, **headers}), payload)


def exception(name, payload=b'{"message":"told"}'):
    return encode(encode_headers({":message-type": "exception", ":exception-type": name}), payload)


def error_frame(code):
    headers = {":message-type": "error", ":error-code": code, ":error-message": "told"}
    return encode(encode_headers(headers), b"")


def with_bytes(data):
    """A chunk with these bytes where base64 is expected."""
    return event(b'{"bytes":"%b"}' % data)


DOUBLED = encode_headers({":message-type": "event"}) * 2 + encode_headers({":event-type": "chunk"})
PAGE = b"<html><body><h1>504 Gateway Time-out</h1></body></html>"
LAST = b"0\r\n\r\n"
BROKEN, STALLED, CORRUPTED = outcrop.StreamBrokenError, outcrop.StreamStalledError, outcrop.StreamCorruptedError

# How a stream goes on after some of its frames (`before`) when the next should be `whole`; what is raised.
ENDS = {
    "a reset": (lambda before, _: begun(before).reset(), BROKEN),
    "a close": (lambda before, _: begun(before), BROKEN),
    "an end in order": (lambda before, _: begun(before).then(LAST), BROKEN),
    "an end with trailers": (lambda before, _: begun(before).then(b"0\r\nx-a: b\r\n\r\n"), BROKEN),
    "a close before the length that was said": (lambda before, whole: with_length(before, whole), BROKEN),
    "exactly the length that was said": (lambda before, _: with_length(before, b""), BROKEN),
    "a close that is the body's end": (lambda before, _: until_the_end(before), BROKEN),
    "half a frame and a close": (lambda before, whole: begun(before).then(chunk(whole[: len(whole) // 2])), BROKEN),
    "half a frame and an end": (lambda before, whole: begun(before).then(chunk(whole[:-1]) + LAST), BROKEN),
    "half a prelude and an end": (lambda before, whole: begun(before).then(chunk(whole[:7]) + LAST), BROKEN),
    "half a chunk and a reset": (lambda before, whole: begun(before).then(chunk(whole)[:30]).reset(), BROKEN),
    "a chunk that is none": (lambda before, whole: begun(before).then(b"zz\r\n" + whole), BROKEN),
    "a chunk longer than it said": (lambda before, whole: begun(before).then(b"5\r\n" + whole), BROKEN),
    "a page without a chunk": (lambda before, _: begun(before).then(PAGE), BROKEN),
}
STALLS = {
    "silence": (lambda before, _: begun(before).stall(), STALLED),
    "half a frame and silence": (lambda before, whole: begun(before).then(chunk(whole[:30])).stall(), STALLED),
    "half a chunk and silence": (lambda before, whole: begun(before).then(chunk(whole)[:30]).stall(), STALLED),
}
# What stands in place of the next frame. After it the server is silent: it must be noticed by itself.
WRONG = {
    "a bit flipped in the length": lambda whole: flipped(whole, 31),
    "a bit flipped in the prelude's checksum": lambda whole: flipped(whole, 8 * 9),
    "a bit flipped in a header": lambda whole: flipped(whole, 8 * 20),
    "a bit flipped in the payload": lambda whole: flipped(whole, 8 * (len(whole) - 9)),
    "a bit flipped in the checksum": lambda whole: flipped(whole, 8 * len(whole) - 1),
    "a length that is too short": lambda whole: claiming(whole, total=len(whole) - 3),
    "a length that is too long": lambda whole: claiming(whole, total=len(whole) + 3) + whole,
    "a length below the least": lambda whole: claiming(whole, total=15, headers=0),
    "no length at all": lambda whole: claiming(whole, total=0, headers=0),
    "headers longer than the frame": lambda whole: claiming(whole, headers=len(whole)),
    "headers of more than 128 KiB": lambda whole: claiming(whole, total=MIB, headers=128 * KIB + 1),
    "headers that end too soon": lambda whole: claiming(whole, headers=10),
    "a frame of more than 24 MiB": lambda whole: claiming(whole, total=24 * MIB + 1),
    "a frame of 4 GiB": lambda whole: claiming(whole, total=2**32 - 1),
    "nothing but zeros": lambda _: bytes(64),
    "a page": lambda _: PAGE,
    "a doubled header": lambda _: encode(DOUBLED, b"{}"),
    "no headers": lambda _: encode(b"", b"{}"),
    "no message type": lambda _: encode(encode_headers({":event-type": "chunk"}), b"{}"),
    "an unknown message type": lambda _: event(b"{}", **{":message-type": "request"}),
    "an exception without a name": lambda _: encode(encode_headers({":message-type": "exception"}), b"{}"),
    "an exception that says nothing that can be read": lambda _: exception("throttlingException", PAGE),
    "an empty payload": lambda _: event(b""),
    "a payload that is not JSON": lambda _: event(PAGE),
    "a payload that is no object": lambda _: event(b"[]"),
    "a payload that is no text": lambda _: event(b'{"bytes":"\xff\xfe"}'),
    "a payload without end": lambda _: event(b'{"a":' + b"[" * 50_000),
}
OF_MESSAGES = {
    "no bytes": lambda _: event(b'{"p":"abc"}'),
    "bytes that are null": lambda _: event(b'{"bytes":null}'),
    "bytes that are not base64": lambda _: with_bytes(b"***"),
    "bytes that are base64 of half a group": lambda _: with_bytes(b"eyJ0e"),
    "an event that is empty": lambda _: frame(b""),
    "an event that is not JSON": lambda _: frame(PAGE),
    "an event that is no object": lambda _: frame(b"[1]"),
}
TOLD = {
    "throttlingException": outcrop.RateLimitError,
    "validationException": outcrop.BadRequestError,
    "internalServerException": outcrop.InternalServerError,
    "serviceUnavailableException": outcrop.ServiceUnavailableError,
    "modelStreamErrorException": outcrop.ModelError,
    "modelTimeoutException": outcrop.RequestTimeoutError,
    "accessDeniedException": outcrop.PermissionDeniedError,
    "somethingNewException": outcrop.InternalServerError,
}


def check(played, kind, expected):
    """Every call saw exactly the events before its fault, then one exception of this class; none was repeated."""
    outcomes, server = played
    assert len(server.requests) == len(outcomes), "a request was sent again"
    for number, seen in enumerate(outcomes):
        assert seen.events == kind.events[:number], f"after {number} events"
        assert type(seen.error) is expected, f"after {number} events: {seen.error!r}"
        assert seen.error.request.url.startswith(server.url)
    return [seen.error for seen in outcomes]


def at_every_event(kind, fault):
    """An act for each number of events that come before the fault."""
    return [fault(kind.frames[:number], whole) for number, whole in enumerate(kind.frames)]


@pytest.mark.parametrize("name", ENDS)
def test_a_stream_that_ends_too_soon(play, kind, name):
    fault, expected = ENDS[name]
    for error in check(play(kind, at_every_event(kind, fault)), kind, expected):
        assert "Send the request again" in error.fix


@pytest.mark.parametrize("name", STALLS)
def test_a_stream_that_stalls(play, kind, name):
    fault, expected = STALLS[name]
    for error in check(play(kind, at_every_event(kind, fault)), kind, expected):
        assert f"within {STALL:g} s" in error.what
        assert "stall=" in error.fix


@pytest.mark.parametrize("name", WRONG)
def test_a_frame_that_is_wrong(play, kind, name):
    acts = at_every_event(kind, lambda before, whole: begun(before).then(chunk(WRONG[name](whole))).stall())
    for error in check(play(kind, acts, timeout=PATIENT), kind, CORRUPTED):
        assert "the stream is corrupted" in error.what


@pytest.mark.parametrize("name", OF_MESSAGES)
def test_a_chunk_that_is_wrong(play, name):
    acts = at_every_event(
        Messages, lambda before, whole: begun(before).then(chunk(OF_MESSAGES[name](whole))).stall()
    )
    check(play(Messages, acts, timeout=PATIENT), Messages, CORRUPTED)


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("form", [exception, error_frame])
def test_an_error_that_is_told_in_the_stream(play, kind, name, form):
    code = name if form is exception else name[0].upper() + name[1:]
    acts = at_every_event(kind, lambda before, _: begun(before).then(chunk(form(code))).stall())
    for error in check(play(kind, acts, timeout=PATIENT), kind, TOLD[name]):
        assert (error.aws_error, error.api_message) == (name[0].upper() + name[1:], "told")
        assert error.in_stream
        assert error.request_id == "req-1"
        assert error.status_code == TOLD[name].status


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"Message":"M"}', b'{"message":""}'])
def test_an_exception_with_little_to_say_is_still_that_exception(play, payload):
    acts = at_every_event(
        Messages, lambda before, _: begun(before).then(chunk(exception("throttlingException", payload))).stall()
    )
    check(play(Messages, acts, timeout=PATIENT), Messages, outcrop.RateLimitError)


@pytest.mark.parametrize(
    "error", [b'{"type":"overloaded_error","message":"full"}', b'{"type":"api_error"}', b"null", b"[]", b'"x"']
)
def test_an_error_event_as_other_servers_send_it(play, error):
    told = frame(b'{"type":"error","error":%b}' % error)
    acts = at_every_event(Messages, lambda before, _: begun(before).then(chunk(told)).stall())
    expected = outcrop.OverloadedError if b"overloaded" in error else outcrop.InternalServerError
    check(play(Messages, acts, timeout=PATIENT), Messages, expected)


# -- what is no fault


HARMLESS = {
    "a ping": (frame(b'{"type":"ping"}'), None),
    "a frame of another type": (event(b'{"a":1}', **{":event-type": "novelty"}), None),
    "an empty frame of another type": (event(b"", **{":event-type": "novelty"}), None),
    "an event of another type": (frame(b'{"type":"novelty","a":[1]}'), {"type": "novelty", "a": [1]}),
    "a delta of another type": (
        frame(b'{"type":"content_block_delta","index":0,"delta":{"type":"novel_delta","b":2}}'),
        {"type": "content_block_delta", "index": 0, "delta": {"type": "novel_delta", "b": 2}},
    ),
    "more headers": (event(b'{"bytes":"%b"}' % base64.b64encode(DELTA), **{":x": "y" * 300}), json.loads(DELTA)),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_new_is_kept_or_passed_over_and_the_stream_goes_on(play, name):
    data, more = HARMLESS[name]
    acts = at_every_event(
        Messages,
        lambda before, _: begun(before).then(
            chunk(data), chunk(b"".join(Messages.frames[len(before) :])), LAST
        ),
    )
    outcomes, server = play(Messages, acts)
    assert len(server.requests) == len(acts)
    for number, seen in enumerate(outcomes):
        wanted = list(Messages.events)
        if more is not None:
            wanted.insert(number, more)
        assert seen.error is None
        assert seen.events == wanted


def test_what_comes_after_the_last_event_does_not_matter(play, kind):
    """It has all come: a reset, rubbish or silence behind it is nobody's loss."""
    faults = [fault for fault, _ in ENDS.values()] + [
        lambda before, whole, wrong=wrong: begun(before).then(chunk(wrong(whole))) for wrong in WRONG.values()
    ]
    acts = [fault(kind.frames, kind.frames[0]) for fault in faults]
    began = time.monotonic()
    acts.append(begun(kind.frames).stall())
    outcomes, server = play(kind, acts, timeout=PATIENT)
    assert [seen.error for seen in outcomes] == [None] * len(acts)
    assert all(seen.events == kind.events for seen in outcomes)
    assert len(server.requests) == len(acts)
    assert time.monotonic() - began < 8, "the silence was waited out"
