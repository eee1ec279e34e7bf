"""The record of calls: what is added is written, in the end or never, and never at a call's cost."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from outcrop.errors import OutcropError
from outcrop.store import calls
from outcrop.store.calls import CallLog, CallRecord, Contact
from outcrop.store.sqlite import SqliteStore
from suites.store import Fruit, names, put

FULL = CallRecord(
    request_id="00000000-0000-4000-8000-000000000001",
    received=1_795_348_800.123456,
    account="123456789012",
    principal="arn:aws:sts::123456789012:assumed-role/reader/me",
    owner="arn:aws:iam::123456789012:role/reader",
    key="ASIAIOSFODNN7EXAMPLE",
    operation="ConverseStream",
    model_id="eu.anthropic.claude-sonnet-4-5-20250929-v1:0 \"'\0ä",
    region="eu-central-1",
    status="failed",
    profile="eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
    allowed=("eu-central-1", "eu-west-3"),
    contacted=(Contact("frankfurt", "eu-central-1"), Contact("all", "eu-west-3", simulated=True)),
    destination="eu-west-3",
    engine="local",
    simulated=True,
    input_tokens=3,
    output_tokens=0,
    cache_read_tokens=4,
    cache_write_tokens=5,
    error="ModelErrorException",
)


def record(number: int, **others: Any) -> CallRecord:
    return msgspec.structs.replace(FULL, **{"request_id": str(number), "received": float(number), **others})


def ids(found: Any) -> list[int]:
    return [int(each.request_id) for each in found]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "state.db"


def test_what_is_added_is_read_again_to_the_last_member(path: Path) -> None:
    sparse = CallRecord("2", 1_795_348_801.0, "1", "p", "o", "k", "Converse", "m", "us-east-1", "cut")
    with closing(CallLog(path)) as log:
        log.add(FULL)
        log.add(sparse)

        assert list(log.read()) == [FULL, sparse]
    with closing(CallLog(path)) as log:
        assert list(log.read()) == [FULL, sparse]
        assert log.lost == 0


def test_reading_goes_by_time_and_by_who(path: Path) -> None:
    with closing(CallLog(path)) as log:
        for number in (5, 3, 1, 2, 4):
            log.add(record(number, account=str(number % 2), owner=f"user{number % 3}"))

        assert ids(log.read()) == [1, 2, 3, 4, 5]
        assert ids(log.read(since=2)) == [2, 3, 4, 5]
        assert ids(log.read(until=4)) == [1, 2, 3]
        assert ids(log.read(since=2, until=2)) == []
        assert ids(log.read(account="1")) == [1, 3, 5]
        assert ids(log.read(owner="user1")) == [1, 4]
        assert ids(log.read(since=2, account="1", owner="user2")) == [5]


def written(log: CallLog, times: Iterable[float], rows: int) -> None:
    """Records numbered from 0, received at these times, `rows` of them in each row."""
    for number, received in enumerate(times):
        log.add(record(number, received=received))
        if number % rows == rows - 1:
            log.flush()
    log.flush()


def test_many_are_read_page_by_page_with_equal_times(path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(calls, "_PAGE", 3)
    with closing(CallLog(path)) as log:
        written(log, (float(number // 20) for number in range(100)), 5)
        reading = log.read()
        first = next(reading)
        assert log.forget(0.5) == 20  # while somebody reads

        assert [int(first.request_id), *ids(reading)][-80:] == list(range(20, 100))


def test_calls_are_told_by_when_they_came_though_they_are_written_as_they_end(
    path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(calls, "_PAGE", 2)
    chance = random.Random(7)
    times = [chance.choice([chance.uniform(0, 50), float(number)]) for number in range(50)]
    with closing(CallLog(path)) as log:
        written(log, times, 4)
        told = [(each.received, int(each.request_id)) for each in log.read()]
        assert [received for received, _ in told] == sorted(times)
        assert sorted(number for _, number in told) == list(range(50))
        within = [each.received for each in log.read(since=10, until=20.5)]
        assert within == sorted(received for received in times if 10 <= received < 20.5)


def test_forgetting_removes_what_is_older(path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(calls, "_PAGE", 2)
    with closing(CallLog(path)) as log:
        written(log, map(float, range(45)), 5)

        assert (log.forget(30.0), log.forget(30.0)) == (30, 0)
        assert log.forget(32.5) == 0  # some that were written with these are younger
        assert ids(log.read()) == list(range(30, 45))


def test_threads_and_logs_add_at_once_and_nothing_is_lost(path: Path) -> None:
    with closing(CallLog(path)) as first, closing(CallLog(path)) as second:

        def add(begin: int) -> None:
            for number in range(begin, begin + 300):
                (first, second)[number % 2].add(record(number))

        threads = [threading.Thread(target=add, args=(begin,)) for begin in range(0, 1200, 300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        second.flush()

        assert ids(first.read()) == list(range(1200))


def test_the_state_and_the_log_share_a_file_and_not_their_changes(path: Path) -> None:
    with closing(SqliteStore(path)) as store, closing(CallLog(path)) as log:
        store.change(put(Fruit("apple")))
        before = store.snapshot()
        log.add(FULL)
        log.flush()
        assert store.snapshot() is before
        store.change(put(Fruit("pear")))
        assert names(store.snapshot()) == ["apple", "pear"]
        assert list(log.read()) == [FULL]


def test_closing_writes_what_is_left_and_later_ones_are_lost(path: Path) -> None:
    log = CallLog(path)
    for number in range(2500):
        log.add(record(number))
    log.close()
    log.close()
    log.add(record(1))
    log.flush()

    assert log.lost == 1
    with closing(CallLog(path)) as again:
        assert len(list(again.read())) == 2500


def test_adding_never_waits_for_the_disk(path: Path) -> None:
    with closing(CallLog(path)) as log, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.perf_counter()
        for number in range(200):
            log.add(record(number))
        assert time.perf_counter() - began < 1.0  # the lock is held all the while
        other.execute("ROLLBACK")

        assert ids(log.read()) == list(range(200))
        assert log.lost == 0


def test_a_disk_that_fails_is_said_once_and_what_came_meanwhile_is_written_later(
    path: Path, caplog: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(calls, "_RETRY", 0.01)
    with closing(CallLog(path, patience=0.01)) as log:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in range(3):
                log.add(record(number))
                log.flush()
            other.execute("ROLLBACK")
        log.flush()

        assert ids(log.read()) == [0, 1, 2]
        assert log.lost == 0
    assert len(caplog.records) == 1
    assert "locked by another process" in caplog.text


def test_what_does_not_fit_into_memory_is_lost_and_counted(path: Path, caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(calls, "_RETRY", 0.01)
    monkeypatch.setattr(calls, "_LIMIT", 5)
    log = CallLog(path)
    path.rename(path.with_name("away"))
    for number in range(9):
        log.add(record(number))
        log.flush()

    assert log.lost == 4
    log.close()
    assert log.lost == 9
    assert "5 records of calls could not be written" in caplog.text
    assert not path.exists()


def test_a_record_that_can_not_be_written_takes_no_other_along(path: Path, caplog: Any) -> None:
    with closing(CallLog(path)) as log:
        log.add(record(1))
        log.add(record(2, model_id="\ud800"))
        log.add(record(3, received=float("nan")))
        log.add(record(4))

        assert ids(log.read()) == [1, 4]
        assert log.lost == 2
    assert "'2' can't be written" in caplog.text


def test_a_broken_state_is_told_when_it_is_opened(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    path.write_bytes(b"nonsense" * 1000)

    with pytest.raises(OutcropError, match="is not a database"):
        CallLog(path)


@pytest.mark.parametrize(
    "change", ["first = first - 1", "last = last + 1", "value = replace(value, '1', '2')"]
)
def test_a_record_that_was_changed_is_noticed(path: Path, change: str) -> None:
    with closing(CallLog(path)) as log:
        log.add(FULL)
        log.flush()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"UPDATE calls SET {change}")

        with pytest.raises(OutcropError, match="row 1 are not as they were written"):
            list(log.read())


def test_a_fork_writes_its_own_records_and_leaves_its_parent_those_it_had(path: Path) -> None:
    with closing(CallLog(path)) as log:
        for number in range(50):
            log.add(record(number))

        def in_child() -> None:
            log.add(record(100))
            log.close()

        child = multiprocessing.get_context("fork").Process(target=in_child)
        child.start()
        child.join()
        assert child.exitcode == 0
        assert ids(log.read()) == [*range(50), 100]


def test_a_log_that_is_never_added_to_has_no_thread(path: Path) -> None:
    before = threading.active_count()
    with closing(CallLog(path)) as log:
        assert list(log.read()) == []
        assert log.forget(0) == 0
        assert threading.active_count() == before
    assert os.listdir(path.parent) == ["state.db"]
