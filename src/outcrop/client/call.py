"""One request as a conversation: attempts, waits, fallbacks, and what a reply means. Decided here once.

`exchange` is a generator. It yields what is to be done next and is sent the outcome; the drivers in `sync`
and `aio` do as they are told, so both clients decide alike, and a test sends replies by hand.

    Keys    ask the source for credentials      is sent Credentials or an ApiKey; it may block
    Send    send these bytes                    is sent a Received, or a TransportError
    More    the next bytes of an open reply     is sent bytes (b"" at the end), or a TransportError
    Wait    let these seconds pass              is sent anything

What is retried: 408, 409, 429, 5xx and exchanges without a reply, as Anthropic's and AWS's SDKs do, unless
`x-should-retry` says otherwise; `retry-after-ms` and `retry-after` set the wait. A stream is tried again only
while not one event of it has come, which an exception frame right at its beginning leaves possible. With
fallbacks, a failure goes to the next placement at once, and only when all have failed there is a wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from outcrop.client.errors import UsageError
from outcrop.client.replies import (
    Hidden,
    Request,
    Response,
    may_pass,
    not_an_answer,
    status_failure,
    transport_failure,
)
from outcrop.client.streams import StreamReader, may_be_repeated
from outcrop.transport import (
    CertificateError,
    ClosedError,
    DialError,
    ProxyError,
    ProxySettingError,
    TooLargeError,
    TransportError,
)
from outcrop.wire.http import Head
from outcrop.wire.sigv4 import Credentials, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from outcrop.client.core import Core
    from outcrop.client.credentials import ApiKey
    from outcrop.client.placing import Placement
    from outcrop.client.requests import Call
    from outcrop.transport import Timeouts

_LONGEST_WAIT: Final = 120.0  # seconds; who asks for more is told that the caller has to wait
_FIRST_BACKOFF: Final = 0.5
_LONGEST_BACKOFF: Final = 8.0
# AWS wants every x-amz-* header signed, and Bedrock its own options, which stand in the invocation log.
_SIGNED_PREFIXES: Final = ("x-amz-", "x-amzn-")


class Keys:
    """Ask the source for credentials: it may block."""


class Send(msgspec.Struct, frozen=True):
    """Send a request. `streams`: hand back a reply with status 200 unread."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes
    timeouts: Timeouts
    streams: bool

    def __repr__(self) -> str:
        return f"Send({self.method!r}, {self.url!r})"  # tools that show local variables must not show keys


class Received(msgspec.Struct, frozen=True):
    """A reply: its body read whole, or `open`, the transport's response, still to be read."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    open: Any = None


class More(msgspec.Struct, frozen=True):
    """Read on."""

    open: Any


class Wait(msgspec.Struct, frozen=True):
    """Let time pass before the next attempt."""

    seconds: float


Step: TypeAlias = Keys | Send | More | Wait
KEYS: Final = Keys()


class Outcome(msgspec.Struct, frozen=True):
    """How a call ended well. `stream` reads the rest of the open reply; `events` are its first."""

    response: Response
    placement: Placement
    attempts: int
    open: Any = None
    stream: Any = None  # a StreamReader, where `open` is a response
    events: list[Any] = []


class _Failed(msgspec.Struct, frozen=True):
    """An attempt that ended badly: what to raise, whether another may be made, and how long to wait."""

    error: Exception
    retry: bool
    wait: float | None = None
    cost: float = 5.0


class Budget:
    """Tokens that retries cost, so that a client whose every call fails does not make all of them thrice.

    A retry costs 5, after a time-out or a lost connection 10; a call that ends well gives back what its
    last retry cost, one without a retry gives 1. Sizes: the AWS SDKs' standard mode. Going to a fallback for
    the first time is free: else a client that can't reach its first choice could soon not fall back either.
    """

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = 500.0

    def take(self, cost: float) -> bool:
        """Pays for a retry; False when there is not enough left."""
        if self.left < cost:
            return False
        self.left -= cost
        return True

    def give(self, back: float) -> None:
        """A call ended well."""
        if self.left < 500.0:
            self.left = min(500.0, self.left + back)


def exchange(core: Core, call: Call) -> Generator[Step, Any, Outcome]:
    """Carries a call to its end. Returns an Outcome; raises what client/errors.py draws.

    What is raised is the error of the wanted placement, with a note for each fallback that failed too. A
    fallback that refuses is passed over: that it may not be used there says nothing of the call.
    """
    places = list(call.placements)
    wanted = places[0]
    rounds = core.max_retries + 1
    most = rounds * len(places)
    invocation = core.new_id()
    attempt = 0
    failures: dict[Placement, Exception] = {}
    paid = 0.0
    for round_number in range(rounds):
        waits: list[float] = []
        for placement in tuple(places):
            if round_number and not core.budget.take(paid):
                raise _explained(failures, wanted)
            attempt += 1
            counted = {
                "amz-sdk-invocation-id": invocation,
                "amz-sdk-request": f"attempt={attempt}; max={most}",
            }
            result = yield from _attempt(core, call, placement, attempt, counted)
            if isinstance(result, Outcome):
                core.budget.give(paid or 1.0)
                return result
            failures[placement] = result.error
            core.debug(
                "attempt %d failed, %s in %s: %s", attempt, placement.model, placement.region, result.error
            )
            if not result.retry:
                if placement is wanted:
                    raise _explained(failures, wanted)
                places.remove(placement)
            elif result.wait is not None:
                waits.append(result.wait)
            paid = result.cost
        wait = min(waits) if waits else _backoff(round_number, core.random())
        if round_number + 1 == rounds or wait > _LONGEST_WAIT:
            break
        yield Wait(wait)
    raise _explained(failures, wanted)


def _explained(failures: dict[Placement, Exception], wanted: Placement) -> Exception:
    """The error to raise: that of the wanted placement; what happened elsewhere is in its notes."""
    error = failures[wanted]
    for placement, other in failures.items():
        if placement is not wanted:
            error.add_note(f"Also tried: {placement.model} in {placement.region}: {other}")
    return error


def _backoff(round_number: int, chance: float) -> float:
    """0.5 s, 1 s, 2 s, … up to 8 s, less up to a quarter, so that clients do not return all at once."""
    longest: float = min(_FIRST_BACKOFF * 2.0**round_number, _LONGEST_BACKOFF)
    return longest * (1 - 0.25 * chance)


def _attempt(
    core: Core, call: Call, placement: Placement, attempt: int, counted: dict[str, str]
) -> Generator[Step, Any, Outcome | _Failed]:
    """One try at one placement."""
    source = core.source()
    key = source.get() if source.ready else (yield KEYS)
    core.tell()
    if call.service == "sts" and not isinstance(key, Credentials):
        raise UsageError(
            "A Bedrock API key has no identity that STS would tell.",
            "Ask with an access key, or an AWS profile.",
        )
    send = _prepare(core, call, placement, key, counted)
    received = yield send
    request = Request(send.method, send.url, send.headers)
    if isinstance(received, TransportError):
        error = transport_failure(received, request)
        error.__cause__ = received
        # without a connection nothing was sent, which costs less
        cost = 5.0 if isinstance(received, DialError) else 10.0
        return _Failed(error, _may_pass(received), cost=cost)
    response = Response(received.status, received.headers, received.body, request)
    if not 200 <= received.status < 300:
        return _failed_reply(core, response)
    if received.open is None:
        if call.streams:  # a success that is no stream
            return _Failed(not_an_answer(response), retry=False)
        return Outcome(response, placement, attempt)
    return (yield from _first_event(received.open, call, response, placement, attempt))


def _may_pass(error: TransportError) -> bool:
    """Whether an exchange without a reply may go well the next time."""
    if isinstance(error, ProxySettingError):
        return False
    if isinstance(error, ProxyError):
        return not 400 <= error.status < 500
    # an answer that is too large would be paid for again
    return not isinstance(error, (CertificateError, ClosedError, TooLargeError))


def _failed_reply(core: Core, response: Response) -> _Failed:
    error = status_failure(response)
    if response.status_code in (401, 403):
        error.add_note(f"The credentials came from {core.source().origin}.")
    status = response.status_code
    retry = may_pass(status) or error.aws_error == "ThrottlingException"
    headers = response.headers
    told = headers.get("x-should-retry")
    if told in ("true", "false"):
        retry = told == "true"
    return _Failed(error, retry, _retry_after(headers, core.now))


def _retry_after(headers: Any, now: Callable[[], float]) -> float | None:
    """The seconds a server asks for: `retry-after-ms`, or `retry-after` in seconds or as a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            seconds = _until(text, now())
        if seconds >= 0:  # a NaN is not
            return seconds
    return None


def _until(text: str, now: float) -> float:
    """Seconds from now to an HTTP date; -1 for other text."""
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return -1.0


def _first_event(
    opened: Any, call: Call, response: Response, placement: Placement, attempt: int
) -> Generator[Step, Any, Outcome | _Failed]:
    """Reads until there is an event to hand out. Until then another attempt loses nothing."""
    reader = StreamReader(response, converse=call.converse)
    while True:
        events = reader.feed((yield More(opened)))
        if events:
            return Outcome(response, placement, attempt, opened, reader, events)
        if reader.error is not None:
            opened.close()
            return _Failed(reader.error, may_be_repeated(reader.error), cost=10.0)


def _prepare(
    core: Core, call: Call, placement: Placement, key: Credentials | ApiKey, counted: dict[str, str]
) -> Send:
    """The request of one attempt, signed."""
    base, authority, prefix = core.address(call.service, placement.region)
    path = prefix + call.path(placement.model)
    query = call.query
    if call.headers:
        headers = {**core.first_headers, **call.headers, **counted}
        if "" in headers.values():
            headers = {name: value for name, value in headers.items() if value}
        signed = {**to_sign(headers), "host": authority}
    else:
        headers = {**core.first_headers, **counted}
        signed = {**core.first_signed, "host": authority}
    if isinstance(key, Credentials):
        head = Head(call.method, path, query, signed)
        service = "sts" if call.service == "sts" else "bedrock"
        headers |= sign(head, call.body, key, placement.region, service, core.now())
        if key.token:
            headers["x-amz-security-token"] = Hidden(key.token)
        headers["authorization"] = Hidden(headers["authorization"])
    else:
        headers["authorization"] = Hidden(f"Bearer {key.token}")
    url = f"{base}{path}?{query}" if query else base + path
    timeouts = call.timeouts or core.timeouts
    return Send(call.method, url, list(headers.items()), call.body, timeouts, call.streams)


def to_sign(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that a signature covers, beside the host: what AWS demands, and what nobody changes."""
    return {
        name: value
        for name, value in headers.items()
        if name == "content-type" or name.startswith(_SIGNED_PREFIXES)
    }
