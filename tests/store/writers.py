"""Every kind of write, done for ever by a process that is about to be killed. See `killing`."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path
from typing import ClassVar

from outcrop.store import Record, Transaction, migrations
from outcrop.store.calls import CallLog, CallRecord
from outcrop.store.sealing import master_key
from outcrop.store.sqlite import SqliteStore
from store.killing import Tell

PARTS = 3


class Part(Record, frozen=True):
    """One of the records that are only ever written and deleted together with the others of their group."""

    KIND: ClassVar[str] = "part"

    group: str
    number: int
    filling: str = ""

    @property
    def key(self) -> str:
        return f"{self.group}/{self.number}"


def changes(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Groups come, and some go again in the same change in which another comes."""
    store = SqliteStore(folder / "state.db")
    there: list[str] = []
    for count in itertools.count():
        come = f"{os.getpid()}.{count}"
        gone = there.pop(chance.randrange(len(there))) if len(there) > 5 else ""
        tell.begin([come, gone])
        store.change(lambda change, come=come, gone=gone: _swap(change, come, gone))  # type: ignore[misc]
        there.append(come)
        tell.done([come, gone])


def _swap(change: Transaction, come: str, gone: str) -> None:
    for number in range(PARTS):
        change.put(Part(come, number, "x" * 1500))
        if gone:
            assert change.delete(Part, f"{gone}/{number}")


def openings(folder: Path, tell: Tell, chance: random.Random) -> None:
    """New states, and states of the first format that are brought to the newest, each with a change."""
    for count in itertools.count():
        path = folder / str(count) / "state.db"  # of all children
        if count % 2:
            path = folder / f"{count}.{os.getpid()}" / "state.db"
            newest, migrations.MIGRATIONS = migrations.MIGRATIONS, migrations.MIGRATIONS[:1]  # type: ignore[misc]
            SqliteStore(path).close()
            migrations.MIGRATIONS = newest  # type: ignore[misc]
        tell.begin(str(path))
        store = SqliteStore(path)
        store.change(lambda change: _swap(change, "first", ""))
        tell.done(str(path))
        store.close()


def calls(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Records of calls, some at a time, while the state changes too; old ones are forgotten now and then."""
    log, store = CallLog(folder / "state.db"), SqliteStore(folder / "state.db")
    written = itertools.count()
    for count in itertools.count():
        numbers = [next(written) for _ in range(chance.randrange(1, 40))]
        forget = numbers[0] - 50 if count % 5 == 4 else -1
        tell.begin([numbers, forget])
        for number in numbers:
            log.add(call(number))
        log.flush()
        if forget > 0:
            log.forget(forget)
        store.change(lambda change, count=count: change.put(Part("calls", 0, str(count))))  # type: ignore[misc]
        tell.done([numbers, forget])


def call(number: int) -> CallRecord:
    who = "arn:aws:iam::1:user/a"
    return CallRecord(
        str(number), float(number), "1", who, who, "AKIA", "Converse", "m" * 99, "us-east-1", "answered"
    )


def master_keys(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Master keys at their first use."""
    for count in itertools.count():
        place = folder / str(count)  # of all children
        tell.begin([place.name, ""])
        tell.done([place.name, master_key(place, None, {}).hex()])
