"""kill -9 in the middle of every kind of write: the state opens clean and holds every acknowledged change.

OUTCROP_PROVE=1 kills two hundred times for each kind.
"""

from __future__ import annotations

import sqlite3
import stat
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from outcrop.store.calls import CallLog
from outcrop.store.sealing import master_key
from outcrop.store.sqlite import SqliteStore
from store.killing import Told, killed, rounds
from store.writers import PARTS, Part, call


def check_whole(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def groups(told: list[Told]) -> set[str]:
    """The groups of parts that were acknowledged to be there."""
    there: set[str] = set()
    for each in told:
        for come, gone in each.done:
            there = there - {gone} | {come}
    return there


@pytest.mark.parametrize("children", [1, 3])
def test_changes_are_whole_and_what_was_acknowledged_is_there(tmp_path: Path, children: int) -> None:
    promised = 0
    acknowledged: set[str] = set()
    for seed in rounds(2, 200):
        told = killed("store.writers:changes", tmp_path, seed=seed, children=children)
        acknowledged |= groups(told)
        with closing(SqliteStore(tmp_path / "state.db")) as store:
            found = Counter(part.group for part in store.snapshot().all(Part))
            assert set(found.values()) <= {PARTS}
            for come, gone in (each.begun for each in told if each.begun):
                if come in found:  # it was made, though nobody was told any more
                    acknowledged = acknowledged - {gone} | {come}
            assert found.keys() == acknowledged
            store.change(lambda change: change.put(Part("after", 0)))
            store.change(lambda change: change.delete(Part, "after/0"))
        check_whole(tmp_path / "state.db")
        promised += sum(len(each.done) for each in told)
    assert promised > 0


@pytest.mark.parametrize("children", [1, 2])
def test_a_state_that_was_being_made_or_migrated_opens(tmp_path: Path, children: int) -> None:
    opened = 0
    for seed in rounds(2, 200):
        folder = tmp_path / str(seed)
        folder.mkdir()
        told = killed("store.writers:openings", folder, seed=seed, children=children)
        done = {path for each in told for path in each.done}
        for path in (place / "state.db" for place in folder.iterdir()):
            with closing(SqliteStore(path)) as store:
                found = len(store.snapshot().all(Part))
                assert found in ({PARTS} if str(path) in done else {0, PARTS})
                store.change(lambda change: change.put(Part("after", 0)))
            check_whole(path)
        opened += len(done)
    assert opened > 0


def test_records_of_calls_are_there_once_they_were_flushed(tmp_path: Path) -> None:
    flushed = 0
    for seed in rounds(2, 200):
        folder = tmp_path / str(seed)
        folder.mkdir()
        (told,) = killed("store.writers:calls", folder, seed=seed, longest=0.4)
        begun, forgetting = told.begun or ([], -1)
        surely_forgotten = max([forget for _, forget in told.done], default=-1)
        forgotten = max(surely_forgotten, forgetting)
        written = [number for numbers, _ in told.done for number in numbers]
        with closing(CallLog(folder / "state.db")) as log, closing(SqliteStore(folder / "state.db")) as store:
            found = list(log.read())
            assert found == [call(int(each.request_id)) for each in found]
            numbers = [int(each.request_id) for each in found]
            assert numbers == sorted(set(numbers))
            assert {number for number in written if number >= forgotten} <= set(numbers)
            # records go with those they were written with, which are fewer than 40
            kept = {number for number in (*written, *begun) if number > surely_forgotten - 40}
            assert set(numbers) <= kept
            part = store.snapshot().get(Part, "calls/0")
            changes = int(part.filling) + 1 if part else 0
            assert changes in {len(told.done), len(told.done) + bool(told.begun)}
        check_whole(folder / "state.db")
        flushed += len(written)
    assert flushed > 0


@pytest.mark.parametrize("children", [1, 3])
def test_a_master_key_that_was_given_out_stays(tmp_path: Path, children: int) -> None:
    given = 0
    for seed in rounds(2, 200):
        folder = tmp_path / str(seed)
        folder.mkdir()
        told = killed("store.writers:master_keys", folder, seed=seed, children=children, longest=0.05)
        for name, key in (pair for each in told for pair in each.done):
            assert master_key(folder / name, None, {}).hex() == key
            given += 1
        for place in folder.iterdir():
            assert len(master_key(place, None, {})) == 32
            assert stat.S_IMODE((place / "master.key").stat().st_mode) == 0o600
            assert [file.name for file in place.iterdir()] == ["master.key"]
    assert given > 0
