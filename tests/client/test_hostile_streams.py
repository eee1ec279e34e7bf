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
import struct
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple
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
    b'{"type":"content_block_delta","index":1,'
    b'"delta":{"type":"input_json_delta","partial_json":"{\\"a\\": 1}"}}'
)
INVOKED = [
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
CONVERSED = [
    ("messageStart", b'{"role":"assistant"}'),
    *[("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"word %d "}}' % n) for n in range(7)],
    ("contentBlockStop", b'{"contentBlockIndex":0}'),
    ("messageStop", b'{"stopReason":"end_turn"}'),
    ("metadata", b'{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}'),
]


# each connection carries one exchange
HEAD = STREAM.replace(b"transfer-encoding", b"connection: close\r\ntransfer-encoding")


class Kind(NamedTuple):
    """A kind of stream: its frames, their events as dicts, and the call that asks for it."""

    frames: list
    events: list
    call: dict
    converse: bool


MESSAGES = Kind(
    [frame(data) for data in INVOKED],
    [json.loads(data) for data in INVOKED],
    {"max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]},
    False,
)
CONVERSE = Kind(
    [frames.converse_event(name, members, b"pad") for name, members in CONVERSED],
    [{name: json.loads(members)} for name, members in CONVERSED],
    {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
    True,
)


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
    """Plays each act to a call of its own, all at once. Returns what the calls saw, and the server."""

    def one(number):
        seen = Seen()
        try:
            asked = parameters(kind, number)
            stream = (
                client.converse_stream(**asked)
                if kind.converse
                else client.messages.create(**asked, stream=True)
            )
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
            opening = (
                client.converse_stream(**asked)
                if kind.converse
                else client.messages.create(**asked, stream=True)
            )
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


@pytest.fixture(params=[MESSAGES, CONVERSE], ids=["messages", "converse"])
def kind(request):
    return request.param


# -- the faults


def begun(before):
    """A reply with these frames, one chunk each, or, for an even number, all in one."""
    if len(before) % 2 or not before:
        return Act(HEAD, *map(chunk, before))
    return Act(HEAD + chunk(b"".join(before)))


def with_length(before, after):
    """The same with a content-length, which counts the rest too."""
    head = HEAD.replace(
        b"transfer-encoding: chunked", b"content-length: %d" % len(b"".join([*before, after]))
    )
    return Act(head + b"".join(before))


def until_the_end(before):
    """The same with neither: the end of the connection is the end of the body."""
    return Act(HEAD.replace(b"transfer-encoding: chunked\r\n", b"") + b"".join(before))


def flipped(data, bit):
    turned = bytearray(data)
    turned[bit // 8] ^= 1 << bit % 8
    return bytes(turned)


def claiming(data, total=None, headers=None):
    """A frame with other lengths, and a prelude whose checksum is right for them."""
    length, of_headers = struct.unpack_from(">II", data)
    prelude = struct.pack(
        ">II", length if total is None else total, of_headers if headers is None else headers
    )
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
BROKEN, STALLED, CORRUPTED = (
    outcrop.StreamBrokenError,
    outcrop.StreamStalledError,
    outcrop.StreamCorruptedError,
)

# How a stream goes on after some of its frames (`before`) when the next should be `whole`; what is raised.
ENDS = {
    "a reset": (lambda before, _: begun(before).reset(), BROKEN),
    "a close": (lambda before, _: begun(before), BROKEN),
    "an end in order": (lambda before, _: begun(before).then(LAST), BROKEN),
    "an end with trailers": (lambda before, _: begun(before).then(b"0\r\nx-a: b\r\n\r\n"), BROKEN),
    "a close before the length that was said": (with_length, BROKEN),
    "exactly the length that was said": (lambda before, _: with_length(before, b""), BROKEN),
    "a close that is the body's end": (lambda before, _: until_the_end(before), BROKEN),
    "half a frame and a close": (
        lambda before, whole: begun(before).then(chunk(whole[: len(whole) // 2])),
        BROKEN,
    ),
    "half a frame and an end": (lambda before, whole: begun(before).then(chunk(whole[:-1]) + LAST), BROKEN),
    "half a prelude and an end": (lambda before, whole: begun(before).then(chunk(whole[:7]) + LAST), BROKEN),
    "half a chunk and a reset": (lambda before, whole: begun(before).then(chunk(whole)[:30]).reset(), BROKEN),
    "a chunk that is none": (lambda before, whole: begun(before).then(b"zz\r\n" + whole), BROKEN),
    "a chunk longer than it said": (lambda before, whole: begun(before).then(b"5\r\n" + whole), BROKEN),
    "a page without a chunk": (lambda before, _: begun(before).then(PAGE), BROKEN),
}
STALLS = {
    "silence": (lambda before, _: begun(before).stall(), STALLED),
    "half a frame and silence": (
        lambda before, whole: begun(before).then(chunk(whole[:30])).stall(),
        STALLED,
    ),
    "half a chunk and silence": (
        lambda before, whole: begun(before).then(chunk(whole)[:30]).stall(),
        STALLED,
    ),
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
    """Every call saw exactly the events before its fault, then one exception, and was not sent again."""
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
        MESSAGES, lambda before, whole: begun(before).then(chunk(OF_MESSAGES[name](whole))).stall()
    )
    check(play(MESSAGES, acts, timeout=PATIENT), MESSAGES, CORRUPTED)


# AWS's layers before Bedrock tell theirs as error frames
FORMS = [*((name, exception) for name in TOLD), ("throttlingException", error_frame)]


@pytest.mark.parametrize(("name", "form"), FORMS)
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
        MESSAGES,
        lambda before, _: begun(before).then(chunk(exception("throttlingException", payload))).stall(),
    )
    check(play(MESSAGES, acts, timeout=PATIENT), MESSAGES, outcrop.RateLimitError)


@pytest.mark.parametrize(
    "error",
    [b'{"type":"overloaded_error","message":"full"}', b'{"type":"api_error"}', b"null", b"[]", b'"x"'],
)
def test_an_error_event_as_other_servers_send_it(play, error):
    told = frame(b'{"type":"error","error":%b}' % error)
    acts = at_every_event(MESSAGES, lambda before, _: begun(before).then(chunk(told)).stall())
    expected = outcrop.OverloadedError if b"overloaded" in error else outcrop.InternalServerError
    check(play(MESSAGES, acts, timeout=PATIENT), MESSAGES, expected)


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
    "more headers": (
        event(b'{"bytes":"%b"}' % base64.b64encode(DELTA), **{":x": "y" * 300}),
        json.loads(DELTA),
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_new_is_kept_or_passed_over_and_the_stream_goes_on(play, name):
    data, more = HARMLESS[name]
    acts = at_every_event(
        MESSAGES,
        lambda before, _: begun(before).then(
            chunk(data), chunk(b"".join(MESSAGES.frames[len(before) :])), LAST
        ),
    )
    outcomes, server = play(MESSAGES, acts)
    assert len(server.requests) == len(acts)
    for number, seen in enumerate(outcomes):
        wanted = list(MESSAGES.events)
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


# -- however the bytes are cut


def reader(kind):
    request = Request("POST", "http://bedrock.test/", [])
    headers = [("content-type", "application/vnd.amazon.eventstream")]
    return StreamReader(Response(200, headers, b"", request), converse=kind.converse)


def read(kind, pieces):
    """The events of a body that comes in these pieces, and its reader."""
    reading = reader(kind)
    events = [found.to_dict() for piece in pieces for found in reading.feed(piece)]
    return events, reading


def cut(data, positions):
    """The data in pieces that end at these positions."""
    edges = [0, *sorted(set(positions)), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges) if start < stop]


def cuttings(data, seed):
    """In two at every position, in equal pieces of every small size, and by lot."""
    chance = random.Random(seed)
    yield from ([data[:at], data[at:]] for at in range(1, len(data)))
    yield from (cut(data, range(0, len(data), size)) for size in range(1, 80))
    yield from (cut(data, chance.choices(range(len(data)), k=chance.randrange(1, 60))) for _ in range(300))


def test_a_body_gives_the_same_events_however_it_is_cut(kind):
    for pieces in cuttings(b"".join(kind.frames), 1):
        events, reading = read(kind, pieces)
        assert events == kind.events, pieces
        assert reading.done
        assert reading.error is None


def body(kind, chance):
    """A chunked body; some chunks end inside of frames."""
    data = b"".join(kind.frames)
    pieces = cut(data, chance.choices(range(len(data)), k=20))
    return b"".join(map(chunk, pieces)) + LAST


def test_a_reply_gives_the_same_events_however_it_is_cut(kind):
    for pieces in cuttings(HEAD + body(kind, random.Random(2)), 2):
        http = ResponseReader(Limits(), "POST")
        events, _ = read(kind, [part for piece in pieces for part in http.feed(piece)])
        assert events == kind.events, pieces
        assert http.done


def test_a_stream_over_sockets_gives_the_same_events_however_it_is_cut(play, kind):
    chance = random.Random(3)
    replies = [HEAD + body(kind, chance) for _ in range(12)]
    acts = [
        Act(*cut(data, chance.choices(range(len(data)), k=chance.randrange(1, 200)))) for data in replies[1:]
    ]
    acts.append(Act(*[replies[0][at : at + 1] for at in range(len(replies[0]))]))
    outcomes, _ = play(kind, acts)
    for seen in outcomes:
        assert seen.error is None
        assert seen.events == kind.events


def damaged(data, chance):
    """Bytes with bits turned, some left out (fewer than a frame has), or some put in."""
    how = chance.randrange(3)
    at = chance.randrange(len(data))
    wrong = data
    if how == 0:
        for bit in chance.sample(range(len(data) * 8), chance.randrange(1, 9)):
            wrong = flipped(wrong, bit)
    elif how == 1:
        wrong = data[:at] + data[at + chance.randrange(1, 40) :]
    else:
        wrong = data[:at] + chance.randbytes(chance.randrange(1, 40)) + data[at:]
    # what was put in may be what stood there
    return damaged(data, chance) if wrong.startswith(data) else wrong


@pytest.mark.parametrize("seed", range(200 if PROVE else 2))
def test_a_damaged_frame_gives_nothing_and_is_noticed(kind, seed):
    chance = random.Random(seed)
    for _ in range(1000):
        number = chance.randrange(len(kind.frames))
        wrong = damaged(kind.frames[number], chance)
        data = b"".join([*kind.frames[:number], wrong, *kind.frames[number + 1 :]])
        events, reading = read(kind, cut(data, chance.choices(range(len(data)), k=3)))
        assert events == kind.events[:number], wrong
        if reading.error is None:
            reading.feed(b"")  # the end
        assert isinstance(reading.error, (CORRUPTED, BROKEN)), wrong


@pytest.mark.parametrize("seed", range(200 if PROVE else 2))
def test_a_damaged_reply_never_gives_other_events_and_never_just_ends(kind, seed):
    """Here the damage may hit chunks' sizes too: only an event that is whole is handed out, in its order."""
    chance = random.Random(seed)
    for _ in range(500):
        whole = body(kind, chance)
        wrong = damaged(whole, chance)
        http, reading = ResponseReader(Limits(), "POST"), reader(kind)
        http.feed(HEAD)
        events, failed = [], False
        try:
            for piece in cut(wrong, chance.choices(range(len(wrong)), k=3)):
                events += [found.to_dict() for part in http.feed(piece) for found in reading.feed(part)]
        except GarbledError:
            failed = True
            events += [found.to_dict() for part in http.salvage for found in reading.feed(part)]
        assert events == kind.events[: len(events)]
        if not failed and not reading.done and reading.error is None:
            reading.feed(b"")
            assert reading.error is not None
        assert reading.done == (len(events) == len(kind.events))


# -- memory


class Flood(BadServer):
    """After a beginning sends the same piece again and again, until the client goes. `sent`: its bytes."""

    def __init__(self, beginning, piece):
        super().__init__(Act())
        self._beginning = beginning
        # one object for all of it, so that what grows is the client's
        self._piece = memoryview(piece * max(1, 65536 // len(piece)))
        self.sent = 0

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            request = self._receive(connection)
            if not request:
                return
            self.requests.append(request)
            connection.sendall(self._beginning)
            while not self._stopping.is_set() and self.sent < 160 * MIB:
                self.sent += connection.send(self._piece)

    def __exit__(self, *error):
        self._stopping.set()
        super().__exit__(*error)


@contextlib.contextmanager
def no_more_than(extra):
    """The block may hold so many bytes at a time more than there were before it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        yield
        assert tracemalloc.get_traced_memory()[1] - before < extra
    finally:
        tracemalloc.stop()


FOREVER = {
    "a frame of 4 GiB": (
        HEAD + chunk(claiming(MESSAGES.frames[0], total=2**32 - 1)),
        chunk(bytes(4096)),
        CORRUPTED,
    ),
    "a header": (b"HTTP/1.1 200 OK\r\nx-a: ", b"a", outcrop.APIConnectionError),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n", outcrop.APIConnectionError),
    "a status line": (b"HTTP/1.1 200 ", b"a", outcrop.APIConnectionError),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n", outcrop.APIConnectionError),
    "no HTTP": (b"", b"\n", outcrop.APIConnectionError),
    "a chunk's size": (HEAD, b"0", BROKEN),
    "a chunk's extension": (HEAD + b"5;a=", b"a", BROKEN),
    "trailers": (HEAD + chunk(frame(b'{"type":"ping"}')) + b"0\r\n", b"x-a: b\r\n", BROKEN),
}


@pytest.mark.parametrize("name", FOREVER)
def test_what_never_ends_does_not_fill_the_memory(name):
    beginning, piece, expected = FOREVER[name]

    async def asynchronous(server):
        async with outcrop.AsyncAnthropicBedrock(**options(server)) as client:
            await client.messages.create(model=SONNET, **MESSAGES.call, stream=True)

    def blocking(server):
        with outcrop.AnthropicBedrock(**options(server)) as client:
            client.messages.create(model=SONNET, **MESSAGES.call, stream=True)

    for ask in (blocking, lambda server: asyncio.run(asynchronous(server))):
        with Flood(beginning, piece) as server:
            with pytest.raises(outcrop.APIConnectionError):
                ask(server)  # what is imported and kept for good is so now
            with no_more_than(MIB), pytest.raises(outcrop.APIConnectionError) as caught:
                ask(server)
            assert type(caught.value) is expected
            assert len(server.requests) == 2


def test_an_answer_without_end_is_given_up_once():
    """64 MiB is more than any answer has; another attempt would be as long."""
    with (
        Flood(HEAD.replace(b"vnd.amazon.eventstream", b"json"), chunk(b" " * 60_000)) as server,
        outcrop.AnthropicBedrock(**options(server, max_retries=2)) as client,
    ):
        with pytest.raises(outcrop.APIConnectionError, match="longer than 67108864 bytes"):
            client.messages.create(model=SONNET, **MESSAGES.call)
        assert len(server.requests) == 1


LONG = chunk(frame(DELTA.replace(b"word ", b"x" * 4000)))


def settled(server):
    """Whether the server has got rid of nothing more for a while. To be asked every few milliseconds."""
    if server.sent != getattr(server, "seen", None):
        server.seen, server.since = server.sent, time.monotonic()
    return server.sent > 0 and time.monotonic() - server.since > 0.2


def test_a_reader_that_stops_holds_the_server_back():
    """What is sent meanwhile stays in the kernel's buffers, not in ours."""

    async def asynchronous(server):
        async with outcrop.AsyncAnthropicBedrock(**options(server)) as client:
            stream = await client.messages.create(model=SONNET, **MESSAGES.call, stream=True)
            assert (await anext(stream)).type == "content_block_delta"
            while not settled(server):  # noqa: ASYNC110 - it is another thread that settles
                await asyncio.sleep(0.005)
            await stream.close()

    def blocking(server):
        with outcrop.AnthropicBedrock(**options(server)) as client:
            stream = client.messages.create(model=SONNET, **MESSAGES.call, stream=True)
            assert next(stream).type == "content_block_delta"
            while not settled(server):
                time.sleep(0.005)
            stream.close()

    for ask in (blocking, lambda server: asyncio.run(asynchronous(server))):
        with Flood(HEAD, LONG) as server, no_more_than(2 * MIB):
            ask(server)


def test_a_long_stream_is_not_kept():
    """As much as goes by, no more than a little of it is in memory at a time."""
    wanted = 16 * MIB // len(LONG)

    async def asynchronous(server):
        async with outcrop.AsyncAnthropicBedrock(**options(server)) as client:
            stream = await client.messages.create(model=SONNET, **MESSAGES.call, stream=True)
            for _ in range(wanted):
                assert len((await anext(stream)).delta.text) == 4000
            await stream.close()

    def blocking(server):
        with outcrop.AnthropicBedrock(**options(server)) as client:
            stream = client.messages.create(model=SONNET, **MESSAGES.call, stream=True)
            for _ in range(wanted):
                assert len(next(stream).delta.text) == 4000
            stream.close()

    for ask in (blocking, lambda server: asyncio.run(asynchronous(server))):
        with Flood(HEAD, LONG) as server, no_more_than(2 * MIB):
            ask(server)
            assert server.sent > 15 * MIB


def test_the_largest_frame_is_read_in_the_time_that_its_length_takes():
    """However small its pieces are: each byte is copied a few times, not again with each piece."""
    text = b"x" * (17 * MIB)
    data = frame(b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"}}' % text)
    assert 22 * MIB < len(data) < 24 * MIB
    began = time.process_time()
    reading = reader(MESSAGES)
    (found,) = [one for at in range(0, len(data), 1400) for one in reading.feed(data[at : at + 1400])]
    assert len(found.delta.text) == len(text)
    assert time.process_time() - began < 3
