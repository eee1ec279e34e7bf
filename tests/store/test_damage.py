"""Disks that are full, read-only or wrong by a bit: an error in words or the data as it was, never silence.

OUTCROP_PROVE=1 flips every byte.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from outcrop.errors import OutcropError
from outcrop.store import migrations
from outcrop.store.calls import CallLog
from outcrop.store.sqlite import SqliteStore
from store.killing import PROVE
from store.writers import call
from suites.store import Fruit, Stone, delete, names, put

FRUIT = [Fruit(f"fruit{number}", "red" * 20) for number in range(60)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def in_child(work: Callable[[], None]) -> None:
    """Runs it in a fork, for limits that can't be taken back. What it raises fails the test."""

    def run(failed: Any) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the parent raises it
            failed.put(f"{type(error).__name__}: {error}")
        else:
            failed.put("")

    context = multiprocessing.get_context("fork")
    failed = context.SimpleQueue()
    child = context.Process(target=run, args=(failed,))
    child.start()
    child.join()
    assert (failed.empty(), child.exitcode) == (False, 0)
    assert failed.get() == ""


pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


# ── no room ───────────────────────────────────────────────────────────────────────────────────────


def fill(store: SqliteStore) -> tuple[int, OutcropError]:
    """Puts stones until the store refuses; how many it took."""
    for number in range(5000):
        try:
            store.change(put(Stone(number), Fruit(str(number), "x" * 3000)))
        except OutcropError as error:
            return number, error
    raise AssertionError("it never became full")


def check_stones(path: Path, taken: int) -> None:
    with closing(SqliteStore(path)) as store:
        assert len(store.snapshot().all(Stone)) == len(store.snapshot().all(Fruit)) == taken


def test_a_full_database_is_an_error_in_words_and_goes_on_when_there_is_room(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store._writer.connection.execute("PRAGMA max_page_count = 40")
        taken, error = fill(store)
        assert "the disk is full" in error.what
        assert "Make room" in error.fix
        assert len(store.snapshot().all(Stone)) == taken

        check_stones(path, taken)
        store.change(put(Stone(taken), Fruit(str(taken))))
    check_stones(path, taken + 1)


def test_a_limit_of_the_files_size_is_an_error_in_words_and_half_writes_nothing(path: Path) -> None:
    def work() -> None:
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        with closing(SqliteStore(path)) as store:
            for limit in range(60_000, 100_000, 3_333):  # the last write stops at other places of a page
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
                taken, error = fill(store)
                resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
                assert str(path) in error.what
                assert "room" in error.fix
                assert len(store.snapshot().all(Stone)) == taken
                check_stones(path, taken)
                store.change(lambda change: [change.delete(Stone, s.key) for s in change.all(Stone)])
                store.change(lambda change: [change.delete(Fruit, f.key) for f in change.all(Fruit)])

    in_child(work)
    check_stones(path, 0)


def test_a_new_state_that_finds_no_room_is_whole_or_not_there(path: Path) -> None:
    def work() -> None:
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        made = []
        for limit in range(0, 80_000, 1900):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
            try:
                SqliteStore(path).close()
            except OutcropError as error:
                assert str(path) in error.what  # noqa: PT017 - with room enough there is no error
            else:
                made.append(limit)
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
            with closing(SqliteStore(path)) as store:
                assert names(store.snapshot()) == []
            for file in path.parent.iterdir():
                file.unlink()
        assert 0 < len(made) < 40

    in_child(work)


def test_a_new_state_is_whole_in_its_file_before_it_gets_its_name(path: Path, monkeypatch: Any) -> None:
    migrate, kept = migrations.migrate, []

    def watched(connection: sqlite3.Connection, name: str) -> None:
        migrate(connection, name)
        if name.endswith(".new"):  # as long as this is open, nobody moves a log into the file
            kept.append(sqlite3.connect(name))
            kept[0].execute("SELECT version FROM meta").fetchall()

    monkeypatch.setattr(migrations, "migrate", watched)
    with closing(SqliteStore(path)) as store:
        assert names(store.snapshot()) == []
    kept[0].close()


def test_a_call_log_without_room_costs_no_call_and_counts(path: Path) -> None:
    def work() -> None:
        with closing(SqliteStore(path)) as store:
            log = CallLog(path)
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
            for number in range(400):
                log.add(call(number))
                if number % 20 == 0:
                    log.flush()
            log.close()
            kept = len(list(CallLog(path).read()))
            assert (kept + log.lost, 0 < kept < 400) == (400, True)
            assert store.snapshot().version == 0

    in_child(work)


# ── no right ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A folder that a process without root's rights gets to, whoever runs the tests."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    yield folder
    folder.chmod(0o700)
    shutil.rmtree(folder)


def without_rights(work: Callable[[], None]) -> None:
    def run() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        work()

    in_child(run)


def test_a_read_only_folder_is_an_error_in_words(foreign: Path) -> None:
    path = foreign / "state.db"

    def make() -> None:
        with pytest.raises(OutcropError, match="Permission denied") as refused:
            SqliteStore(path)
        assert "writable for you" in refused.value.fix

    def use() -> None:
        with pytest.raises(OutcropError, match=r"state\.db can't be") as refused:
            SqliteStore(path)
        assert "writable for you" in refused.value.fix

    foreign.chmod(0o500)
    without_rights(make)
    foreign.chmod(0o700)
    without_rights(lambda: SqliteStore(path).close())
    foreign.chmod(0o500)
    without_rights(use)


def test_a_read_only_file_is_an_error_in_words(foreign: Path) -> None:
    path = foreign / "state.db"

    def use() -> None:
        with pytest.raises(OutcropError, match=r"state\.db can't be") as refused:
            SqliteStore(path).change(put(Fruit("apple")))
        assert "writable for you" in refused.value.fix

    without_rights(lambda: SqliteStore(path).close())
    path.chmod(0o400)
    without_rights(use)


# ── a flipped byte ────────────────────────────────────────────────────────────────────────────────


def make_state(path: Path) -> None:
    with closing(SqliteStore(path)) as store, closing(CallLog(path)) as log:
        store.change(put(*FRUIT, *map(Stone, range(100))))
        for number in range(90):
            store.change(delete(Stone, str(number)))
        store.change(put(Stone(200)))
        for number in range(20):
            log.add(call(number))


def places(size: int) -> list[int]:
    chosen = random.Random(size).sample(range(100, size), 200)
    return list(range(size)) if PROVE else sorted({*range(0, 100, 3), *chosen})


def look(path: Path) -> str:
    """Opens a damaged state: `refused` in words, or `whole`; anything else fails."""
    try:
        with closing(SqliteStore(path)) as store:
            assert store.snapshot().all(Fruit) == tuple(sorted(FRUIT, key=lambda fruit: fruit.key))
            assert [stone.number for stone in store.snapshot().all(Stone)] == [200, *range(90, 100)]
            return "whole"
    except OutcropError as error:
        return "refused" if str(path) in error.what and error.fix else "refused without words"


def test_a_flipped_byte_of_the_state_is_an_error_in_words_or_the_data(path: Path) -> None:
    make_state(path)
    content = path.read_bytes()
    seen = set()
    for place in places(len(content)):
        damage(path, content, place)
        seen.add(look(path))
        clear_log(path)
    assert seen == {"whole", "refused"}


def test_a_flipped_byte_of_the_log_is_an_error_in_words_or_the_data(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.change(put(*FRUIT, *map(Stone, range(100))))
        store.change(lambda change: [change.delete(Stone, str(number)) for number in range(90)])
        store.change(put(Stone(200)))
        files = {suffix: beside(path, suffix).read_bytes() for suffix in ("", "-wal", "-seen")}
    seen = set()
    for place in places(len(files["-wal"])):
        clear_log(path)
        for suffix, content in files.items():
            beside(path, suffix).write_bytes(content)
            beside(path, suffix).chmod(0o600)
        damage(beside(path, "-wal"), files["-wal"], place)
        seen.add(look(path))
    assert seen <= {"whole", "refused"}
    assert "refused" in seen


def test_a_cut_state_is_an_error_in_words_or_the_data(path: Path) -> None:
    make_state(path)
    content = path.read_bytes()
    for size in (0, 1, 99, 100, 4095, 4096, 4097, len(content) // 2, len(content) - 4096, len(content) - 1):
        path.write_bytes(content[:size])
        look(path)
        clear_log(path)


def test_a_flipped_byte_gives_no_record_of_a_call_that_was_not_written(path: Path) -> None:
    make_state(path)
    content = path.read_bytes()
    written = [call(number) for number in range(20)]
    refused = set()
    for place in places(len(content)):
        damage(path, content, place)
        try:
            with closing(CallLog(path)) as log:
                assert [each for each in log.read() if each not in written] == []
        except OutcropError as error:
            refused.add(str(path) in error.what and error.fix != "")
        clear_log(path)
    assert refused == {True}


def test_a_flipped_byte_is_noticed_by_a_store_that_is_running(path: Path) -> None:
    make_state(path)
    content = path.read_bytes()
    place = content.index(b'"fruit7"') + 3
    with closing(SqliteStore(path)) as store, closing(SqliteStore(path)):
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"X")
        assert "fruit7" in names(store.snapshot())  # it reads what it has in memory
    with pytest.raises(OutcropError, match="not as it was written"):
        SqliteStore(path)


def damage(path: Path, content: bytes, place: int) -> None:
    flipped = content[place] ^ (1 << place % 8)
    path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def clear_log(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        beside(path, suffix).unlink(missing_ok=True)
