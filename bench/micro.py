"""Single steps of the hot path, where possible beside a library that does the same. CPU time, one thread."""

from __future__ import annotations

import gc
import json
import time
from base64 import b64decode
from collections.abc import Callable
from itertools import repeat
from statistics import median
from typing import Any, Final

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from botocore.eventstream import EventStreamBuffer

from bench import decisions, samples
from bench.peers import signed_head
from bench.samples import DELTAS, REGION, Pattern
from outcrop.catalog import Catalog
from outcrop.wire import converse, frames, messages, sigv4
from outcrop.wire.chunks import messages_events
from outcrop.wire.converse_stream import StreamTranslator
from outcrop.wire.eventstream import FrameBuffer
from outcrop.wire.http import Head
from outcrop.wire.sigv4 import Credentials
from outcrop.wire.sse import EventBuffer

_KEY: Final = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
_PADDING: Final = b"abcdefghijklmnopqrstuvwxyzABCD"


class Timing(msgspec.Struct, frozen=True):
    """µs of one step: ours, the library's where there is one to compare with, and ours at most."""

    name: str
    ours: float
    peer_name: str = ""
    peer: float | None = None
    goal: float | None = None


def timings(rounds: int) -> list[Timing]:
    """All of them."""
    path = f"/model/global.{samples.MODEL.replace(':', '%3A')}/invoke"
    body = samples.bedrock_body(Pattern.WHOLE)
    head = signed_head(path, 8080, body, _KEY)
    deltas = samples.deltas()
    sse = samples.as_sse(deltas)
    wire = frames.chunks((data for _, data in deltas), repeat(_PADDING))
    model = Catalog.load("guide").model(samples.MODEL)
    assert model is not None  # the guide has it

    def timed(step: Callable[[], Any], each: int = 1) -> float:
        return median(_per_call(step) for _ in range(rounds)) / each

    with decisions.rows() as rows:
        decided = [Timing(row.name, timed(row.step), goal=row.goal) for row in rows]
    return [
        *decided,
        Timing(
            "SigV4: verify 1 KB",
            timed(lambda: _verify(head, body)),
            "botocore signs again",
            timed(lambda: _resign(head, body)),
        ),
        Timing("read and check an InvokeModel body", timed(lambda: messages.parse_request(body, model))),
        Timing("SSE: read one delta, all in one piece", timed(lambda: EventBuffer().feed(sse), DELTAS)),
        Timing(
            "event stream: write one delta",
            timed(lambda: frames.chunks((data for _, data in deltas), repeat(_PADDING)), DELTAS),
        ),
        Timing(
            "SigV4: sign 1 KB",
            timed(lambda: sigv4.sign(head, body, _KEY, REGION, "bedrock", time.time())),
            "botocore signs",
            timed(lambda: _resign(head, body)),
        ),
        Timing(
            "event stream: bytes to event, one delta",
            timed(lambda: _read_events(wire), DELTAS),
            "botocore and json",
            timed(lambda: _botocore_events(wire), DELTAS),
        ),
        Timing(
            "event stream: read one delta",
            timed(lambda: _read_frames(wire), DELTAS),
            "botocore reads it",
            timed(lambda: _botocore_frames(wire), DELTAS),
        ),
        Timing("Converse: translate one delta", timed(_translation(model), DELTAS)),
    ]


def _per_call(step: Callable[[], Any], seconds: float = 0.15) -> float:
    """µs of CPU for one call."""
    step()
    calls, gc_was_on = 0, gc.isenabled()
    gc.disable()
    begun = time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        for _ in range(10):
            step()
        calls += 10
    if gc_was_on:
        gc.enable()
    return spent / calls * 1e6


def _verify(head: Head, body: bytes) -> None:
    signature = sigv4.parse(head)
    assert signature is not None
    sigv4.verify(signature, _KEY.secret, head, body)


def _resign(head: Head, body: bytes) -> None:
    """What a verifier built on botocore does: sign the same request again, and compare."""
    url = f"http://{head.headers['host']}{head.raw_path}"
    request = AWSRequest(head.method, url, headers={"content-type": head.headers["content-type"]}, data=body)
    SigV4Auth(BotoCredentials(_KEY.access_key, _KEY.secret), "bedrock", REGION).add_auth(request)


def _read_frames(wire: bytes) -> list[bytes]:
    buffer = FrameBuffer()
    buffer.feed(wire)
    return [frame.payload for frame in buffer]


def _botocore_frames(wire: bytes) -> list[bytes]:
    buffer = EventStreamBuffer()
    buffer.add_data(wire)
    return [event.payload for event in buffer]


def _read_events(wire: bytes) -> list[Any]:
    buffer = FrameBuffer()
    buffer.feed(wire)
    return list(messages_events(buffer))


def _botocore_events(wire: bytes) -> list[Any]:
    return [json.loads(b64decode(json.loads(payload)["bytes"])) for payload in _botocore_frames(wire)]


def _translation(model: Any) -> Callable[[], None]:
    request = converse.to_messages(b'{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}', model)
    opening, deltas = samples.opening(), samples.deltas()

    def translate() -> None:
        translator = StreamTranslator(request)
        for event in opening:
            translator.feed(event, 0)
        for event in deltas:
            for name, payload in translator.feed(event, 0):
                frames.converse_event(name, payload, _PADDING)

    return translate
