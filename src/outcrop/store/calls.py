"""A compact record of every call: who asked for what, where it was sent, how it ended. Knows no step.

The records are written by a thread of their own, many at once, into the database of the state. An answer
never waits for them, and a disk that fails costs records, never calls: what is lost is counted, and said. A
record is on its way to the disk for a tenth of a second; whoever is killed then loses it, and a power cut may
take the last seconds.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final
from weakref import WeakSet

import msgspec

from outcrop.errors import OutcropError
from outcrop.store.database import PATIENCE, Database, damaged, translated

log = logging.getLogger("outcrop.store")

_GATHER: Final = 0.1  # seconds in which records come together, for one write
_RETRY: Final = 1.0  # seconds between two attempts at a disk that failed
_BATCH: Final = 1000  # records a write, so that no other writer waits for long
_PAGE: Final = 50  # rows a read or a removal
_FOREVER: Final = 1e12  # seconds: no call is received that late
_LIMIT: Final = 20_000  # records held in memory while the disk fails: some 20 MB
_LONGEST_CLOSE: Final = 15.0  # seconds


_INSERT: Final = "INSERT INTO calls (first, last, records, value, digest) VALUES (?, ?, ?, ?, ?)"


class Contact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One sending of a call: to the engine that is configured as `place`, in `region`.

    When `simulated`, that engine stands for every region, and the region is a label only.
    """

    place: str
    region: str
    simulated: bool = False


class CallRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call of a model.

    `received` is in epoch seconds. `principal` is the caller's ARN, `owner` that of the user or role whose
    policies counted, `key` the access key id or API key's name. `model_id` is the id as it was asked for, and
    `profile` the id of the inference profile it meant, "" for none. `region` is the source region, `allowed`
    the regions that bindings left of those of its id, None where they left all. `contacted` are its
    sendings, one after the other; the last one's region is the `destination` where it was answered, "" where
    it was not; `simulated` is of that one. `engine` is the answering engine's own name. Tokens are None when
    nobody told. `status` is `answered`, `failed` or `cut` (the client left), and `error` AWS's name of it.
    """

    request_id: str
    received: float
    account: str
    principal: str
    owner: str
    key: str
    operation: str
    model_id: str
    region: str
    status: str
    profile: str = ""
    allowed: tuple[str, ...] | None = None
    contacted: tuple[Contact, ...] = ()
    destination: str = ""
    engine: str = ""
    simulated: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    error: str = ""


class CallLog:
    """The records of calls in the state's file `path`. Opening raises OutcropError; `add` never raises.

    `lost` counts the records that could not be kept. `patience` is for how many seconds a write waits for
    others.
    """

    def __init__(self, path: str | Path, *, patience: float = PATIENCE) -> None:
        self.lost = 0
        self._path = str(path)
        self._writer = Database(path, durable=False, patience=patience)
        self._reader = Database(path, durable=False, patience=patience)
        self._limit = _LIMIT
        self._failing = False
        self._thread: threading.Thread | None = None
        self._begin_anew()
        try:
            self._writer.connection  # noqa: B018 - what is wrong with the file shows now
        except BaseException:
            self.close()
            raise
        _logs.add(self)

    def add(self, record: CallRecord) -> None:
        """Hand over a record. Any thread may, and none waits."""
        if self._queue.qsize() + len(self._unwritten) >= self._limit:
            self._lose(1)
            return
        self._queue.put(record)
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Wait until what was added is written, or has failed to be."""
        thread = self._thread
        if thread is not None:
            done = threading.Event()
            self._queue.put(done)
            self._hurry.set()
            while not done.wait(_RETRY) and thread.is_alive():
                pass

    def close(self) -> None:
        """Write what there is, and let go of the file. Idempotent. What is added later is lost."""
        with self._state:
            self._limit = 0
            thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            self._hurry.set()
            thread.join(_LONGEST_CLOSE)
            left = self._queue.qsize() + len(self._unwritten)
            if left:
                self._lose(left)
                log.warning("%d records of calls could not be written to %s and are lost", left, self._path)
        self._reader.close()
        if thread is None or not thread.is_alive():  # else it holds the lock, and hangs in the disk
            self._writer.close()

    def read(
        self,
        since: float | None = None,
        until: float | None = None,
        account: str | None = None,
        owner: str | None = None,
    ) -> Iterator[CallRecord]:
        """The records received from `since` on and before `until`, in that order, those just added too.

        They are read a few rows at a time, so a reader holds nobody up. Raises OutcropError for a damaged
        file.
        """
        begin, end = -math.inf if since is None else since, math.inf if until is None else until
        for record in self._in_order(begin, end):
            if (
                begin <= record.received < end
                and account in (None, record.account)
                and owner in (None, record.owner)
            ):
                yield record

    def forget(self, before: float) -> int:
        """Remove the records received before that time; how many they were. Raises OutcropError.

        Records go with those that they were written with, once all of them are older. It goes in small steps,
        and others write in between.
        """
        removed: int = 0
        while True:
            with self._writer.lock, translated(self._path):
                gone = self._writer.connection.execute(
                    "DELETE FROM calls WHERE seq IN (SELECT seq FROM calls WHERE first < ?1 AND last < ?1"
                    " LIMIT ?2) RETURNING records",
                    (_micros(before), _PAGE),
                ).fetchall()
            removed += sum(number for (number,) in gone)
            if len(gone) < _PAGE:
                return removed
            time.sleep(0)  # a thread that waits for the lock gets it

    def _in_order(self, begin: float, end: float) -> Iterator[CallRecord]:
        """All records of the rows that reach into that time, by when they were received.

        Rows overlap: an answer may take minutes, and its call is recorded when it ends. A row's records wait
        until no later row can hold an earlier one.
        """
        waiting: list[tuple[float, int, CallRecord]] = []
        count = itertools.count()
        for first, records in self._rows(begin, end):
            while waiting and _micros(waiting[0][0]) < first:
                yield heapq.heappop(waiting)[2]
            for record in records:
                heapq.heappush(waiting, (record.received, next(count), record))
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _rows(self, begin: float, end: float) -> Iterator[tuple[int, list[CallRecord]]]:
        """The rows by their first record, each with that one's time and all its records."""
        self.flush()
        bounds = (_micros(max(begin, 0)), _micros(min(end, _FOREVER)))
        first, seq = -1, -1
        while True:
            with self._reader.lock, translated(self._path):
                rows = self._reader.connection.execute(
                    "SELECT first, seq, last, records, value, digest FROM calls"
                    " WHERE (first, seq) > (?, ?) AND last >= ? AND first < ? ORDER BY first, seq LIMIT ?",
                    (first, seq, *bounds, _PAGE),
                ).fetchall()
            for first, seq, last, number, value, found in rows:
                if not isinstance(value, bytes) or _digest(first, last, number, value) != found:
                    raise damaged(
                        self._path, f"the records of calls in row {seq} are not as they were written"
                    )
                yield first, msgspec.json.decode(value, type=list[CallRecord])
            if len(rows) < _PAGE:
                return

    # ── the thread that writes ────────────────────────────────────────────────────────────────────

    def _begin_anew(self) -> None:
        self._state = threading.Lock()
        self._queue: SimpleQueue[CallRecord | threading.Event | None] = SimpleQueue()
        self._unwritten: list[CallRecord] = []
        self._hurry = threading.Event()
        self._thread = None

    def _start(self) -> None:
        with self._state:
            if self._thread is None and self._limit:
                self._thread = threading.Thread(target=self._run, name="outcrop call log", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        going_on = True
        while going_on:
            going_on, waiting = self._gather()
            self._write()
            for done in waiting:
                done.set()

    def _gather(self) -> tuple[bool, list[threading.Event]]:
        """Takes over what was added within a while; whether to go on, and who waits for it to be written."""
        waiting: list[threading.Event] = []
        going_on = True
        with suppress(Empty):
            item = self._queue.get(timeout=_RETRY if self._unwritten else None)
            if isinstance(item, CallRecord):
                self._hurry.wait(_RETRY if self._unwritten else _GATHER)
            self._hurry.clear()
            while True:
                if isinstance(item, CallRecord):
                    self._unwritten.append(item)
                elif item is None:
                    going_on = False
                else:
                    waiting.append(item)
                item = self._queue.get_nowait()
        return going_on, waiting

    def _write(self) -> None:
        try:
            while self._unwritten:
                batch = self._unwritten[:_BATCH]
                with self._writer.lock:
                    self._writer.check_in_place()
                    with translated(self._path):
                        self._writer.connection.execute(_INSERT, self._row(batch))
                del self._unwritten[: len(batch)]
        except OutcropError as error:
            self._writer.let_go()
            if not self._failing:
                log.warning(
                    "records of calls can't be written; they are kept in memory for a while: %s", error.what
                )
            self._failing = True
        else:
            self._failing = False

    def _row(self, batch: list[CallRecord]) -> tuple[int, int, int, bytes, int]:
        """What `_INSERT` takes."""
        try:
            return _row(batch)
        except (
            ValueError
        ):  # text that is not Unicode, or a time that is none: one of them takes no other along
            return _row([record for record in batch if self._is_sound(record)])

    def _is_sound(self, record: CallRecord) -> bool:
        try:
            _row([record])
        except ValueError as error:
            self._lose(1)
            log.warning("the record of call %r can't be written and is lost: %s", record.request_id, error)
            return False
        return True

    def _lose(self, number: int) -> None:
        with self._state:
            self.lost += number


def _row(batch: list[CallRecord]) -> tuple[int, int, int, bytes, int]:
    """Some records as one row. Of none it is a row of the epoch."""
    times = [record.received for record in batch] or [0.0]
    first, last, value = _micros(min(times)), _micros(max(times)), msgspec.json.encode(batch)
    return first, last, len(batch), value, _digest(first, last, len(batch), value)


def _digest(first: int, last: int, number: int, value: bytes) -> int:
    """56 bits over a row: what it is checked by."""
    found = hashlib.blake2b(f"{first} {last} {number} ".encode(), digest_size=7)
    found.update(value)
    return int.from_bytes(found.digest(), "big")


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


# ── forks ─────────────────────────────────────────────────────────────────────────────────────────

_logs: WeakSet[CallLog] = WeakSet()


def _in_child() -> None:
    # the thread stayed with the parent, and so does the writing of what it had not written yet
    for each in _logs:
        each._begin_anew()


os.register_at_fork(after_in_child=_in_child)
