"""The state's format: every older one opens, a later one is refused, and nobody is in another's way."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from outcrop.errors import OutcropError
from outcrop.store import migrations
from outcrop.store.calls import CallLog
from outcrop.store.sqlite import SqliteStore
from suites.store import Fruit, names, put

NEWEST = len(migrations.MIGRATIONS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def steps_taken(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def make_old(path: Path, steps: int, monkeypatch: Any) -> None:
    with monkeypatch.context() as older:
        older.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:steps])
        with closing(SqliteStore(path)) as store:
            store.change(put(Fruit("apple", "red")))
    assert steps_taken(path) == steps


@pytest.mark.parametrize("steps", range(1, NEWEST + 1))
def test_a_state_of_every_older_format_opens(path: Path, steps: int, monkeypatch: Any) -> None:
    make_old(path, steps, monkeypatch)

    with closing(SqliteStore(path)) as store, closing(CallLog(path)) as calls:
        assert store.snapshot().all(Fruit) == (Fruit("apple", "red"),)
        assert list(calls.read()) == []
    assert steps_taken(path) == NEWEST


def test_the_call_log_may_be_the_first_to_open_an_older_state(path: Path, monkeypatch: Any) -> None:
    make_old(path, 1, monkeypatch)
    CallLog(path).close()

    assert steps_taken(path) == NEWEST


def test_many_may_bring_it_up_to_date_at_once(path: Path, monkeypatch: Any) -> None:
    make_old(path, 1, monkeypatch)

    def look(_: int) -> list[str]:
        with closing(SqliteStore(path)) as store:
            return names(store.snapshot())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(look, range(8))) == [["apple"]] * 8


def test_a_step_that_fails_leaves_the_state_as_it_was(path: Path, monkeypatch: Any) -> None:
    SqliteStore(path).close()
    before = path.read_bytes()
    broken = (*migrations.MIGRATIONS, ("CREATE TABLE half (a)", "CREATE TABLE half (a)"))
    with monkeypatch.context() as later:
        later.setattr(migrations, "MIGRATIONS", broken)
        with pytest.raises(OutcropError, match="already exists"):
            SqliteStore(path)

    assert path.read_bytes() == before
    with closing(SqliteStore(path)) as store:
        assert names(store.snapshot()) == []


def test_a_later_format_is_refused_and_left_alone(path: Path) -> None:
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {NEWEST + 1}")
    before = path.read_bytes()

    for opening in (SqliteStore, CallLog):
        with pytest.raises(
            OutcropError, match=f"has format {NEWEST + 1}, and .* knows format {NEWEST}"
        ) as refused:
            opening(path)
        assert "newer" in refused.value.fix
    assert path.read_bytes() == before


def test_so_it_is_when_it_comes_to_be_while_an_older_outcrop_runs(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.change(put(Fruit("apple")))
        store.snapshot()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {NEWEST + 1}")

        with pytest.raises(OutcropError, match="has format"):
            store.snapshot()
        with pytest.raises(OutcropError, match="has format"):
            store.change(put(Fruit("pear")))
