"""The asking step that keeps a compact record of every call that was sent on: answered, failed or cut.

What was refused before is not in it. Knows no file: the log is handed in.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from outcrop.catalog.prices import Tokens
from outcrop.engine import Question
from outcrop.errors import Fault, InternalServerException
from outcrop.service import metering
from outcrop.service.call import Ask, Call, Count, Counted, Outcome
from outcrop.store.calls import CallRecord


class Log(Protocol):
    """Where records go."""

    def add(self, record: CallRecord) -> None:
        """Take a record. Never waits, never raises."""


class Recorder:
    """Writes one record for each call, when its answer ends."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def record(self, call: Call, question: Question, ask: Ask) -> Outcome:
        """Ask on, and record how it went: at once when it fails, else when the answer ends."""
        try:
            outcome = await ask(call, question)
        except BaseException as error:  # whatever it is, it is raised again
            self._failed(call, error)
            raise

        def add(tokens: Tokens | None, fault: Fault | None, cut: bool) -> None:
            self._log.add(_record(call, outcome, tokens, fault, cut=cut))

        return msgspec.structs.replace(outcome, answer=metering.watch(outcome.answer, add))

    async def count(self, call: Call, question: Question, count: Count) -> Counted:
        """Have tokens counted, and record where: a prompt is sent for that as well."""
        try:
            counted = await count(call, question)
        except BaseException as error:  # whatever it is, it is raised again
            self._failed(call, error)
            raise
        self._log.add(_record(call, counted, Tokens(input=counted.tokens), None, cut=False))
        return counted

    def _failed(self, call: Call, error: BaseException) -> None:
        if isinstance(error, Fault):
            self._log.add(_record(call, None, None, error, cut=False))
        elif isinstance(error, asyncio.CancelledError):
            self._log.add(_record(call, None, None, None, cut=True))
        elif isinstance(error, Exception):  # a bug: the caller gets this fault for it, and so does the record
            self._log.add(_record(call, None, None, InternalServerException(), cut=False))


def _narrowed(call: Call) -> tuple[str, ...] | None:
    """The regions left to a call, None where a binding took none: the thirty of a global one say nothing."""
    whole = call.target is not None and call.regions == call.target.destinations(call.region)
    return None if whole else call.regions


def _record(
    call: Call, outcome: Outcome | Counted | None, tokens: Tokens | None, fault: Fault | None, *, cut: bool
) -> CallRecord:
    who, target = call.principal, call.target
    return CallRecord(
        request_id=call.request_id,
        received=call.received,
        account=who.account,
        principal=who.arn,
        owner=who.owner,
        key=who.key,
        operation=call.operation.name,
        model_id=call.labels.get("modelId", ""),
        region=call.region,
        status="failed" if fault is not None else "cut" if cut else "answered",
        profile="" if target is None or target.profile is None else target.profile.id,
        allowed=_narrowed(call),
        contacted=tuple(call.contacted),
        destination="" if outcome is None else outcome.region,
        engine="" if outcome is None else outcome.engine,
        simulated=outcome is not None and outcome.simulated,
        input_tokens=None if tokens is None else tokens.input,
        output_tokens=None if tokens is None else tokens.output,
        cache_read_tokens=None if tokens is None else tokens.cache_read,
        cache_write_tokens=None if tokens is None else tokens.cache_write_5m + tokens.cache_write_1h,
        error="" if fault is None else fault.name,
    )
