"""The life of a request, as a list that can be read aloud. Knows the order of the steps; not their decisions.

    find the operation → take a snapshot → examine the credentials → read the body → verify → steps → answer

What the head alone can refuse (no such operation, unknown key, stale clock) is refused before the body is
read. `steps` wrap the answer like middleware, outermost first: a step may refuse, change the call, or act
once more when the answer ends. Policies, model access and residency are such steps. All of them decide by the
one snapshot: a change that is made meanwhile counts from the next request on. Only a body that takes its time
is examined by a newer one: a caller can make it last for hours, and a key that was revoked must not.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from outcrop.errors import (
    Fault,
    InternalServerException,
    OutcropError,
    ServiceUnavailableException,
    UnknownOperationException,
)
from outcrop.service import fault_log
from outcrop.service.call import Call, Handler, Principal, Step
from outcrop.store import Snapshot
from outcrop.wire import faults, sts
from outcrop.wire.http import Head, Reply
from outcrop.wire.operations import BY_NAME, Found, Operation, find

log = logging.getLogger("outcrop.service")

# Seconds for which the state of the head is good enough for the body.
_FRESH: Final = 1.0

ReadBody: TypeAlias = Callable[[int], Awaitable[bytes]]


class Claim(Protocol):
    """Who the caller says they are, as far as the head tells."""

    @property
    def region(self) -> str:
        """The source region of the call."""

    def verify(self, body: bytes) -> Principal:
        """Prove it with the body. Raises InvalidSignatureException."""


class Identity(Protocol):
    """What the chain needs of authentication."""

    def examine(self, head: Head, operation: Operation, now: float, region: str, state: Snapshot) -> Claim:
        """Raises an AuthFault, or InvalidApiKey, for what the head alone shows to be wrong."""


class States(Protocol):
    """What the chain needs of the store."""

    def snapshot(self) -> Snapshot:
        """The newest state."""


class Clock(msgspec.Struct, frozen=True):
    """Where time and ids come from; tests put their own in. `wall` and `monotonic` are in seconds."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    request_id: Callable[[], str]


class Service:
    """Answers requests: `handlers` by operation name, inside `steps`."""

    def __init__(
        self,
        identity: Identity,
        store: States,
        handlers: Mapping[str, Handler],
        clock: Clock,
        steps: Sequence[Step] = (),
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._identity = identity
        self._store = store
        self._clock = clock
        self._on_stop = on_stop
        self._handlers = {name: within(steps, handler) for name, handler in handlers.items()}

    def stop(self) -> None:
        """From now on a cancelled call ends its stream with an exception frame."""
        self._on_stop()

    async def handle(self, head: Head, read_body: ReadBody) -> Reply:
        """Answer one request. Never raises but for cancellation: what goes wrong is a reply."""
        request_id = self._clock.request_id()
        found = find(head.method, head.raw_path)
        try:
            if found is None:
                raise UnknownOperationException(reason=f"{head.method} {head.raw_path}")
            call = await self._admit(head, found, read_body, request_id)
            reply = await self._handlers[call.operation.name](call)
        except Fault as fault:
            reply = self._refuse(fault, head, found, request_id)
        except OutcropError as error:  # the state can't be read or written: the operator's to mend
            unavailable = ServiceUnavailableException(reason=f"{error.what} {error.fix}")
            reply = self._refuse(unavailable, head, found, request_id)
        except Exception:  # the last line of defence: a bug must not leave a client without an answer
            log.exception("%s %s failed, request %s", head.method, ascii(head.raw_path), request_id)
            reply = self._refuse(InternalServerException(), head, found, request_id)
        return _named(reply, request_id)

    def refuse(self, fault: Fault) -> Reply:
        """The reply for what never became a call, with a request id of its own."""
        request_id = self._clock.request_id()
        return _named(faults.reply(fault, request_id), request_id)

    async def _admit(self, head: Head, found: Found, read_body: ReadBody, request_id: str) -> Call:
        received, began = self._clock.wall(), self._clock.monotonic()
        state = self._store.snapshot()
        claim = self._identity.examine(head, found.operation, received, found.region, state)
        body = await read_body(found.operation.body_limit)
        if self._clock.monotonic() - began > _FRESH:
            state = self._store.snapshot()
            claim = self._identity.examine(head, found.operation, received, found.region, state)
        principal = claim.verify(body)
        operation = found.operation
        if operation.service == "sts":
            operation = BY_NAME[sts.parse(body).action]
        return Call(
            head, operation, found.labels, body, principal, claim.region, request_id, received, began, state
        )

    def _refuse(self, fault: Fault, head: Head, found: Found | None, request_id: str) -> Reply:
        if fault.status >= 500 or fault.reason:
            fault_log.warn(f"{head.method} {head.raw_path}", fault, request_id)
        if found is not None and found.operation.service == "sts":
            return sts.error(fault, request_id)
        return faults.reply(fault, request_id)


def _named(reply: Reply, request_id: str) -> Reply:
    reply.headers["x-amzn-requestid"] = request_id
    reply.headers["request-id"] = request_id  # the name Anthropic's SDKs read
    return reply


def within(steps: Sequence[Step], handler: Handler) -> Handler:
    """`handler` inside of `steps`, the outermost first."""
    for step in reversed(steps):
        handler = _bound(step, handler)
    return handler


def _bound(step: Step, inner: Handler) -> Handler:
    def run(call: Call) -> Awaitable[Reply]:
        return step(call, inner)

    return run
