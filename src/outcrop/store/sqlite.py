"""The state in one SQLite file: snapshots in memory, changes on the disk. Knows rows; not what records mean.

Every change has a number, its version; a row carries that of the change that wrote it. So a snapshot is
brought up to date by the rows with a later version, whoever wrote them, and a deleted record stays as a row
without a value until nobody needs it: when rows are gone for good, `meta.pruned` is the newest version among
them, and whoever has not yet seen that version reads everything anew. So no process can miss a deletion,
however long it slept.

A row has a digest, and `meta` their sum. SQLite finds damage in its own structure, but no flipped bit in a
value, and not every row that has dropped out.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from outcrop.errors import OutcropError
from outcrop.store import R, Record, Snapshot, T, Transaction, migrations
from outcrop.store.database import BROKEN, PATIENCE, Database, damaged, translated
from outcrop.store.watermark import Mark, Watermark

log = logging.getLogger("outcrop.store")

STATE: Final = "state.db"  # its name in a data folder

_KEPT_DELETIONS: Final = 1000  # rather more than a process that is awake falls behind
_LOOK_EVERY: Final = 1.0  # seconds between two looks at the file itself: is it still the one, and private
_SUM: Final = 1 << 62  # sums of digests are kept below what SQLite's integers hold


def digest(*parts: object) -> int:
    """56 bits over the parts' texts: what a row is checked by."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=7).digest(), "big")


class SqliteStore:
    """The `Store` in the file `path`. Any number of threads and processes may have it open.

    `clock` gives epoch seconds. `patience` is for how many seconds a change waits for others. The file is
    made, or brought to the present format, when it is opened.
    """

    def __init__(
        self, path: str | Path, clock: Callable[[], float] = time.time, *, patience: float = PATIENCE
    ) -> None:
        self._path = str(path)
        self._clock = clock
        # In this order: whoever needs both locks takes the writer's first.
        self._writer = Database(path, durable=True, patience=patience)
        self._reader = Database(path, durable=False, patience=patience)
        self._watermark = Watermark(Path(f"{path}-seen"))
        self._known = _Snapshot(self._path, -1, {})
        self._marked = b""
        # the connection and its data_version when `_known` was read: another one counts otherwise
        self._seen: tuple[sqlite3.Connection | None, int] = None, 0
        self._look_at = 0.0
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def snapshot(self) -> Snapshot:
        """The newest state. The same object while nothing changes."""
        reader = self._reader
        with reader.lock:
            now = self._clock()
            if self._look_at - _LOOK_EVERY <= now < self._look_at:  # the clock may have been set back
                marked = self._watermark.look()
                if marked and marked == self._marked:
                    return self._known
            else:
                # a change that its writer could not acknowledge shows now, at the latest
                reader.check_in_place()
                self._watermark.watch()
                self._look_at, marked = now + _LOOK_EVERY, self._watermark.look()
            try:
                # grows when another connection has written, and costs less than any look at a table
                connection = reader.connection
                seen = connection, connection.execute("PRAGMA data_version").fetchone()[0]
                if seen != self._seen:
                    self._catch_up(connection)
                    self._seen = seen
                self._marked = marked  # from before the state was read
            except BROKEN:
                reader.let_go()
                with translated(self._path):
                    raise
            return self._known

    def change(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` alone, and keep all that it did when it returns, or nothing when it raises."""
        writer = self._writer
        with writer.lock:
            with self._transaction(writer) as connection:
                with translated(self._path):
                    base = self._read(connection)
                changes = _Changes(base)
                result = work(changes)
                writer.check_in_place()
                with translated(self._path):
                    version = self._write(connection, base, changes.made)
            if version != base.version:
                writer.check_in_place()
                self._acknowledge(version)
            return result

    def close(self) -> None:
        """Let go of files. Idempotent."""
        self._writer.close()
        self._reader.close()
        with self._reader.lock:
            self._watermark.close()

    def _open(self) -> None:
        self._writer.connection  # noqa: B018 - what is wrong with the file shows now
        acknowledged = self._watermark.read()  # before the state is read: it only ever runs behind
        known = self.snapshot().version
        if known < acknowledged.version:
            raise self._behind(known, acknowledged)

    @contextmanager
    def _transaction(self, database: Database) -> Iterator[sqlite3.Connection]:
        connection = database.connection
        if connection.in_transaction:
            raise RuntimeError("change() inside a change()")
        database.check_in_place()
        try:
            with translated(self._path):
                connection.execute("BEGIN IMMEDIATE")
            yield connection
            with translated(self._path):
                connection.execute("COMMIT")
        except BaseException as error:
            with suppress(sqlite3.Error):  # SQLite may have done it already
                connection.execute("ROLLBACK")
            if isinstance(error.__cause__, BROKEN):
                database.let_go()  # whatever SQLite thinks of the file now, it looks again
            raise

    # ── reading ───────────────────────────────────────────────────────────────────────────────────

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        try:
            self._read(connection)
        finally:
            if connection.in_transaction:
                connection.execute("COMMIT")

    def _read(self, connection: sqlite3.Connection) -> _Snapshot:
        """The state as the connection's transaction sees it, which becomes the known one."""
        migrations.check(connection, self._path)  # a later Outcrop may have changed the tables since
        with self._reader.lock:
            known = self._known
            version, pruned, total = self._meta(connection)
            if version == known.version:
                return known
            if version < known.version:
                raise self._behind(version, Mark(known.version, self._clock()))
            if known.version >= pruned:
                rows = self._rows(connection, known.version)
                self._known = known.after(version, rows)
            else:
                rows = self._rows(connection, -1)
                if _total((each[4] for each in rows), version, pruned) != total:
                    raise damaged(self._path, "records are missing")
                self._known = _Snapshot(self._path, version, {}).after(version, rows)
            return self._known

    def _meta(self, connection: sqlite3.Connection) -> tuple[int, int, int]:
        """The number of the last change, the newest one whose deletions are forgotten, the digests' sum."""
        row: tuple[int, int, int] | None = connection.execute(
            "SELECT version, pruned, digest FROM meta"
        ).fetchone()
        if row is None or not all(isinstance(each, int) for each in row):
            raise damaged(self._path, "it does not say which change was the last")
        return row

    def _rows(
        self, connection: sqlite3.Connection, since: int
    ) -> list[tuple[str, str, str | None, int, int]]:
        rows = connection.execute(
            "SELECT kind, key, value, version, digest FROM records WHERE version > ?", (since,)
        ).fetchall()
        for kind, key, value, version, found in rows:
            if digest(kind, key, value, version) != found:
                raise damaged(self._path, "a record is not as it was written")
        return rows

    def _behind(self, version: int, acknowledged: Mark) -> OutcropError:
        at = datetime.fromtimestamp(acknowledged.at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return OutcropError(
            f"{self._path} has lost changes: it ends with number {version}, "
            f"and number {acknowledged.version} was made at {at} UTC.",
            f"Restore a later copy; or accept the loss: `rm {self._path}-seen`, and look at users and keys.",
        )

    # ── writing ───────────────────────────────────────────────────────────────────────────────────

    def _write(self, connection: sqlite3.Connection, base: _Snapshot, made: _Made) -> int:
        """Writes what differs from `base`; the state's version after that."""
        rows = [
            (kind, key, None if record is None else msgspec.json.encode(record).decode())
            for (kind, key), record in made.items()
            if base.differs(kind, key, record)
        ]
        if not rows:
            return base.version
        version = base.version + 1
        _, pruned, total = self._meta(connection)
        total -= digest(base.version, pruned)
        for kind, key, value in rows:
            total += _put_row(connection, kind, key, value, version)
        if any(value is None for _, _, value in rows):
            gone, pruned = _prune(connection, pruned)
            total -= gone
        connection.execute(
            "UPDATE meta SET version = ?, pruned = ?, digest = ?",
            (version, pruned, (total + digest(version, pruned)) % _SUM),
        )
        return version

    def _acknowledge(self, version: int) -> None:
        try:
            self._watermark.raise_to(version, self._clock())
        except (OSError, OutcropError) as error:
            # The change itself is safe; to report it as failed would be wrong.
            log.warning(
                "change %d of %s is made, but could not be noted beside it: %s", version, self._path, error
            )


_Made = dict[tuple[str, str], Record | None]


def _total(digests: Iterable[int], version: int, pruned: int) -> int:
    return (sum(digests) + digest(version, pruned)) % _SUM


def _put_row(connection: sqlite3.Connection, kind: str, key: str, value: str | None, version: int) -> int:
    """Writes a row; by how much the digests' sum grows."""
    old = connection.execute("SELECT digest FROM records WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    new = digest(kind, key, value, version)
    connection.execute(
        "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", (kind, key, value, version, new)
    )
    return new - (0 if old is None else cast(int, old[0]))


def _prune(connection: sqlite3.Connection, pruned: int) -> tuple[int, int]:
    """Drops the rows of the oldest deleted records; the sum of their digests, and what `pruned` is now."""
    row = connection.execute(
        "SELECT version FROM records WHERE value IS NULL ORDER BY version DESC LIMIT 1 OFFSET ?",
        (_KEPT_DELETIONS,),
    ).fetchone()
    if row is None:
        return 0, pruned
    gone = connection.execute(
        "SELECT digest FROM records WHERE value IS NULL AND version <= ?", row
    ).fetchall()
    connection.execute("DELETE FROM records WHERE value IS NULL AND version <= ?", row)
    return sum(each[0] for each in gone), max(pruned, row[0])


class _Kind:
    """The records of one kind by key: each as its JSON until somebody asks for it, then as the record."""

    __slots__ = ("_entries", "_ordered", "_path")

    def __init__(self, path: str, entries: dict[str, str | Record]) -> None:
        self._path = path
        self._entries = entries
        self._ordered: tuple[type[Record], tuple[Record, ...]] | None = None

    def get(self, kind: type[R], key: str) -> R | None:
        entry = self._entries.get(key)
        if entry is None or type(entry) is kind:
            return entry
        try:
            record = _decoder(kind).decode(entry if isinstance(entry, str) else msgspec.json.encode(entry))
        except msgspec.DecodeError as error:  # it quotes no values
            raise OutcropError(
                f"The {kind.KIND} {key!r} in {self._path} can't be read: {error}.",
                "Use the version of Outcrop that wrote it, or a newer one.",
            ) from error
        # The same in another form. Other threads may do it at the same time, and other snapshots gain by it.
        self._entries[key] = record
        return cast(R, record)

    def all(self, kind: type[R]) -> tuple[R, ...]:
        ordered = self._ordered
        if ordered is None or ordered[0] is not kind:
            records = tuple(cast(R, self.get(kind, key)) for key in sorted(self._entries))
            self._ordered = kind, records
            return records
        return cast("tuple[R, ...]", ordered[1])

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def copy(self) -> _Kind:
        return _Kind(self._path, self._entries.copy())

    def put(self, key: str, value: str | None) -> None:
        """Only on a copy that nobody has seen yet."""
        if value is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = value


class _Snapshot:
    """The state after change number `version`."""

    __slots__ = ("_derived", "_deriving", "_kinds", "_path", "_version")

    def __init__(self, path: str, version: int, kinds: dict[str, _Kind]) -> None:
        self._path = path
        self._version = version
        self._kinds = kinds
        self._derived: dict[Callable[[Snapshot], Any], Any] = {}
        self._deriving = threading.RLock()

    @property
    def version(self) -> int:
        return self._version

    def get(self, kind: type[R], key: str) -> R | None:
        records = self._kinds.get(kind.KIND)
        return None if records is None else records.get(kind, key)

    def all(self, kind: type[R]) -> tuple[R, ...]:
        records = self._kinds.get(kind.KIND)
        return () if records is None else records.all(kind)

    def derived(self, make: Callable[[Snapshot], T]) -> T:
        try:
            return cast(T, self._derived[make])
        except KeyError:
            pass
        with self._deriving:
            if make not in self._derived:
                self._derived[make] = make(self)
            return cast(T, self._derived[make])

    def has(self, kind: str, key: str) -> bool:
        return kind in self._kinds and key in self._kinds[kind]

    def differs(self, kind: str, key: str, record: Record | None) -> bool:
        """Whether to put that record, or to delete what is there, would change anything."""
        if record is None:
            return self.has(kind, key)
        return not self.has(kind, key) or self.get(type(record), key) != record

    def after(self, version: int, rows: Iterable[tuple[str, str, str | None, int, int]]) -> _Snapshot:
        """This snapshot with rows that changed since. It shares the kinds of which nothing changed."""
        kinds = dict(self._kinds)
        fresh: set[str] = set()
        for kind, key, value, _, _ in rows:
            if kind not in fresh:
                fresh.add(kind)
                kinds[kind] = kinds[kind].copy() if kind in kinds else _Kind(self._path, {})
            kinds[kind].put(key, value)
        return _Snapshot(self._path, version, kinds)


class _Changes:
    """The transaction that `work` is given: what it made, over the state it began with."""

    def __init__(self, base: _Snapshot) -> None:
        self._base = base
        self.made: _Made = {}

    def get(self, kind: type[R], key: str) -> R | None:
        place = kind.KIND, key
        return cast("R | None", self.made[place]) if place in self.made else self._base.get(kind, key)

    def all(self, kind: type[R]) -> tuple[R, ...]:
        made = {key: record for (name, key), record in self.made.items() if name == kind.KIND}
        if not made:
            return self._base.all(kind)
        records = {record.key: record for record in self._base.all(kind)} | made
        return tuple(cast(R, records[key]) for key in sorted(records) if records[key] is not None)

    def put(self, record: Record) -> None:
        self.made[record.KIND, record.key] = record

    def delete(self, kind: type[Record], key: str) -> bool:
        place = kind.KIND, key
        there = self.made[place] is not None if place in self.made else self._base.has(*place)
        self.made[place] = None
        return there


@cache
def _decoder(kind: type[Record]) -> msgspec.json.Decoder[Record]:
    return msgspec.json.Decoder(kind)
