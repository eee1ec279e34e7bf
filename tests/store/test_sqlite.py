"""The state in SQLite: the shared suite, and what is its own: modes, other processes, forks, damage."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from outcrop.errors import OutcropError
from outcrop.store import sqlite
from outcrop.store.sqlite import SqliteStore
from suites.store import Fruit, Stone, StoreSuite, delete, names, put

NOW = 1_795_348_800.0


class TestSqlite(StoreSuite):
    @pytest.fixture
    @staticmethod
    def open_at() -> Any:
        return lambda folder: lambda: SqliteStore(folder / "state.db")

    @pytest.fixture
    @staticmethod
    def open_store(open_at: Any, tmp_path: Path) -> Any:
        return open_at(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "state.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


# ── the file ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_every_file_is_for_its_owner_only_whatever_the_umask(path: Path, umask: int) -> None:
    if umask == 0o777 and os.geteuid():
        pytest.skip("only root gets into a folder without any mode")
    old = os.umask(umask)
    try:
        with closing(SqliteStore(path)) as store:
            store.change(put(Fruit("apple")))
            files = {file.name: mode(file) for file in path.parent.iterdir()}
    finally:
        os.umask(old)

    assert files.keys() == {"state.db", "state.db-wal", "state.db-shm", "state.db-seen"}
    assert set(files.values()) == {0o600 & ~umask} if umask == 0o777 else {0o600}


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_is_open_to_others_is_refused(path: Path, bits: int) -> None:
    SqliteStore(path).close()
    path.chmod(bits)

    with pytest.raises(OutcropError, match="open to others") as refused:
        SqliteStore(path)
    assert f"chmod 600 {path}" in refused.value.fix


def test_so_is_its_log(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.change(put(Fruit("apple")))
        beside(path, "-wal").chmod(0o644)
        with pytest.raises(OutcropError, match=r"state\.db-wal holds secrets"):
            SqliteStore(path)


def test_a_running_store_notices_within_a_second(path: Path) -> None:
    now = NOW
    with closing(SqliteStore(path, clock=lambda: now)) as store:
        path.chmod(0o644)
        store.snapshot()
        now += 1.0
        with pytest.raises(OutcropError, match="open to others"):
            store.snapshot()
        with pytest.raises(OutcropError, match="open to others"):
            store.change(put(Fruit("apple")))
        path.chmod(0o600)
        assert names(store.snapshot()) == []


def test_a_clock_that_is_set_back_stops_nothing(path: Path) -> None:
    now = NOW
    with closing(SqliteStore(path, clock=lambda: now)) as store:
        now -= 1e6
        path.chmod(0o644)
        with pytest.raises(OutcropError, match="open to others"):
            store.snapshot()


def test_a_file_that_is_removed_or_replaced_stops_a_running_store(path: Path) -> None:
    now = NOW
    with closing(SqliteStore(path, clock=lambda: now)) as store:
        store.change(put(Fruit("apple")))
        (path.parent / "away").mkdir()
        for suffix in ("", "-wal", "-shm", "-seen"):
            beside(path, suffix).rename(path.parent / "away" / f"state.db{suffix}")
        now += 1
        for attempt in (store.snapshot, lambda: store.change(put(Fruit("pear")))):
            with pytest.raises(OutcropError, match="can't be found"):
                attempt()
        SqliteStore(path).close()
        for attempt in (store.snapshot, lambda: store.change(put(Fruit("pear")))):
            with pytest.raises(OutcropError, match="was replaced") as refused:
                attempt()
            assert "start again" in refused.value.fix
    with closing(SqliteStore(path.parent / "away" / "state.db")) as store:
        assert names(store.snapshot()) == ["apple"]
    with closing(SqliteStore(path)) as store:
        assert names(store.snapshot()) == []


def test_a_file_removed_during_a_change_fails_the_change(path: Path) -> None:
    with closing(SqliteStore(path)) as store, pytest.raises(OutcropError, match="can't be found"):
        store.change(lambda _: path.unlink())


@pytest.mark.parametrize("left", ["-wal", "-seen"])
def test_a_state_that_is_gone_is_not_begun_anew_while_something_of_it_is_left(path: Path, left: str) -> None:
    store = SqliteStore(path)
    store.change(put(Fruit("apple")))
    path.rename(beside(path, ".kept"))
    for suffix in {"-wal", "-seen"} - {left}:
        beside(path, suffix).unlink()

    with pytest.raises(OutcropError, match="is gone") as refused:
        SqliteStore(path)
    assert "Put it back" in refused.value.fix
    assert not path.exists()
    store.close()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"not a database" * 100, "is not a database"),
        (b"SQLite format 3\0" + b"\0" * 4080, r"state\.db is"),
    ],
)
def test_what_is_no_database_is_refused_and_left_alone(path: Path, content: bytes, what: str) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    path.write_bytes(content)

    with pytest.raises(OutcropError, match=what) as refused:
        SqliteStore(path)
    assert str(path) in refused.value.what
    assert refused.value.fix
    assert path.read_bytes() == content


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (a)")
    content = path.read_bytes()

    with pytest.raises(OutcropError, match="is not a state of Outcrop"):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_a_path_of_any_characters_works(tmp_path: Path) -> None:
    path = tmp_path / "a ?mode=ro#%41'ä" / "state.db"
    with closing(SqliteStore(path)) as store:
        store.change(put(Fruit("apple")))
    assert path.exists()
    with closing(SqliteStore(str(path))) as store:
        assert names(store.snapshot()) == ["apple"]


def test_a_folder_that_is_a_file_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").touch()

    with pytest.raises(OutcropError, match=r"state\.db can't be written") as refused:
        SqliteStore(tmp_path / "data" / "state.db")
    assert "folder writable" in refused.value.fix


def test_a_lock_held_for_long_is_an_error_in_words_and_costs_nothing(path: Path) -> None:
    with closing(SqliteStore(path, patience=0.05)) as store, closing(SqliteStore(path)) as other:
        said = []

        def work(_: Any) -> None:
            with pytest.raises(OutcropError, match="locked by another process") as refused:
                store.change(put(Fruit("pear")))
            said.append(refused.value.fix)
            assert names(store.snapshot()) == []  # readers don't wait

        other.change(work)
        assert said == [f"See which one holds it: `fuser {path}`."]
        store.change(put(Fruit("apple")))
        assert names(other.snapshot()) == ["apple"]


# ── deletions, losses, damage ─────────────────────────────────────────────────────────────────────


def test_old_deletions_are_forgotten_but_hidden_from_nobody(path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sqlite, "_KEPT_DELETIONS", 3)
    with closing(SqliteStore(path)) as store, closing(SqliteStore(path)) as asleep:
        store.change(put(Fruit("apple"), *map(Stone, range(10))))
        assert len(asleep.snapshot().all(Stone)) == 10
        for number in range(9):
            store.change(delete(Stone, str(number)))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM records WHERE value IS NULL").fetchone() == (3,)

        assert asleep.snapshot().all(Stone) == (Stone(9),)
        assert names(asleep.snapshot()) == ["apple"]
        with closing(SqliteStore(path)) as new:
            assert new.snapshot().all(Stone) == (Stone(9),)


def test_a_change_among_many_reads_only_what_changed(path: Path) -> None:
    with closing(SqliteStore(path)) as store, closing(SqliteStore(path)) as other:
        store.change(put(*map(Stone, range(500)), *(Fruit(str(number)) for number in range(500))))
        before = other.snapshot()
        stone, fruit = before.get(Stone, "7"), before.all(Fruit)
        store.change(put(Stone(1000)))
        after = other.snapshot()

        assert after.get(Stone, "7") is stone
        assert after.all(Fruit) is fruit
        assert len(after.all(Stone)) == 501


def test_a_state_that_lost_an_acknowledged_change_is_refused(path: Path) -> None:
    with closing(SqliteStore(path, clock=lambda: NOW)) as store:
        store.change(put(Fruit("apple")))
    copy = path.read_bytes()
    with closing(SqliteStore(path, clock=lambda: NOW)) as store:
        store.change(put(Fruit("pear")))
    path.write_bytes(copy)

    with pytest.raises(
        OutcropError, match="number 1, and number 2 was made at 2026-11-22 12:00:00"
    ) as refused:
        SqliteStore(path)
    assert f"rm {path}-seen" in refused.value.fix
    beside(path, "-seen").unlink()
    with closing(SqliteStore(path)) as store:
        assert names(store.snapshot()) == ["apple"]
        store.change(put(Fruit("plum")))
    assert mode(beside(path, "-seen")) == 0o600


def test_a_damaged_note_of_the_last_change_is_an_error_in_words(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.change(put(Fruit("apple")))
    seen = beside(path, "-seen").read_bytes()
    for place in range(len(seen)):
        beside(path, "-seen").write_bytes(seen[:place] + bytes([seen[place] ^ 1]) + seen[place + 1 :])
        with pytest.raises(OutcropError, match=r"state\.db-seen is damaged") as refused:
            SqliteStore(path)
        assert f"rm {path}-seen" in refused.value.fix


def test_a_change_that_could_not_be_noted_is_made_and_said(path: Path, caplog: Any) -> None:
    with closing(SqliteStore(path)) as store:
        beside(path, "-seen").mkdir()
        store.change(put(Fruit("apple")))
        assert names(store.snapshot()) == ["apple"]
    assert "change 1 of" in caplog.text


@pytest.mark.parametrize(
    "harm",
    [
        'UPDATE records SET value = \'{"name":"apple","colour":"blue"}\' WHERE key = \'apple\'',
        "UPDATE records SET kind = 'stone' WHERE key = 'apple'",
        "UPDATE records SET value = NULL WHERE key = 'apple'",
        "UPDATE records SET value = CAST(x'ff22' AS TEXT) WHERE key = 'apple'",
        "DELETE FROM records WHERE key = 'apple'",
        "DELETE FROM meta",
        "UPDATE meta SET version = 0",
        "UPDATE meta SET version = 'one'",
        "UPDATE meta SET version = 9",
        "UPDATE meta SET pruned = 9",
        "UPDATE meta SET digest = digest + 1",
        "DROP TABLE records",
    ],
)
def test_a_row_that_changed_or_vanished_is_noticed(path: Path, harm: str) -> None:
    with closing(SqliteStore(path)) as store:
        store.change(put(Fruit("apple"), Fruit("pear")))
    beside(path, "-seen").unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(harm)

    with pytest.raises(OutcropError, match=str(path)) as refused:
        SqliteStore(path)
    assert refused.value.fix


# ── processes ─────────────────────────────────────────────────────────────────────────────────────

ADD = """
import sys
from outcrop.store.sqlite import SqliteStore
sys.path.insert(0, sys.argv[3])
from suites.store import Stone
store = SqliteStore(sys.argv[1])
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 15):
    store.change(lambda changes: changes.put(Stone(number)))
    assert store.snapshot().get(Stone, str(number))
"""


def test_processes_that_open_a_new_state_at_once_share_it(path: Path) -> None:
    tests = str(Path(__file__).parent.parent)
    children = [
        subprocess.Popen([sys.executable, "-c", ADD, str(path), str(first), tests])
        for first in (0, 100, 200, 300)
    ]

    assert [child.wait() for child in children] == [0, 0, 0, 0]
    with closing(SqliteStore(path)) as store:
        assert len(store.snapshot().all(Stone)) == 60


def test_threads_that_open_a_new_state_at_once_share_it(path: Path) -> None:
    barrier = threading.Barrier(6)
    failed = []

    def add(number: int) -> None:
        try:
            barrier.wait()
            with closing(SqliteStore(path)) as store:
                store.change(put(Stone(number)))
        except BaseException as error:  # noqa: BLE001 - told below, in the thread that can fail the test
            failed.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with closing(SqliteStore(path)) as store:
        assert len(store.snapshot().all(Stone)) == 6


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_store_goes_on_in_a_fork_and_in_its_parent(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.change(put(Fruit("apple")))
        before = store.snapshot()

        def in_child() -> None:
            assert before.all(Fruit) == (Fruit("apple"),)
            store.change(put(Fruit("pear")))
            assert {"apple", "pear"} <= set(names(store.snapshot()))

        child = multiprocessing.get_context("fork").Process(target=in_child)
        child.start()
        store.change(put(Fruit("plum")))
        child.join()
        assert child.exitcode == 0
        assert names(store.snapshot()) == ["apple", "pear", "plum"]
    with closing(SqliteStore(path)) as store:
        assert names(store.snapshot()) == ["apple", "pear", "plum"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_waits_for_the_changes_of_other_threads(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        done = threading.Event()

        def write() -> None:
            for number in range(50):
                store.change(put(Stone(number)))
            done.set()

        thread = threading.Thread(target=write)
        thread.start()
        forks = 0
        while not done.is_set():
            child = os.fork()
            if child == 0:
                os._exit(len(store.snapshot().all(Stone)) > 50)
            assert os.waitpid(child, 0)[1] == 0
            forks += 1
        thread.join()
        assert forks > 0
        assert len(store.snapshot().all(Stone)) == 50


def test_what_another_acknowledged_shows_at_once_and_what_it_could_not_within_a_second(path: Path) -> None:
    now = [1000.0]
    with closing(SqliteStore(path, clock=lambda: now[0])) as store, closing(SqliteStore(path)) as other:
        other.change(put(Fruit("apple")))
        assert names(store.snapshot()) == ["apple"]
        for number in range(3):
            other.change(put(Fruit(f"fruit {number}")))
            assert f"fruit {number}" in names(store.snapshot())
        # as if it had been killed between the change and its acknowledgement
        other._watermark.raise_to = lambda *_: None  # type: ignore[method-assign]
        other.change(put(Fruit("pear")))
        now[0] += 1.1
        assert "pear" in names(store.snapshot())


def test_a_mark_that_was_replaced_is_looked_at_within_a_second(path: Path) -> None:
    now = [1000.0]
    with closing(SqliteStore(path, clock=lambda: now[0])) as store, closing(SqliteStore(path)) as other:
        other.change(put(Fruit("apple")))
        store.snapshot()
        Path(f"{path}-seen").unlink()  # as one does who has restored a copy
        other.change(put(Fruit("pear")))
        now[0] += 1.1
        assert names(store.snapshot()) == ["apple", "pear"]
        other.change(put(Fruit("plum")))
        assert names(store.snapshot()) == ["apple", "pear", "plum"]
