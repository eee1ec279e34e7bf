"""A connection to the state's file: opened, checked, its errors in people's words. Knows SQLite; not records.

Three rules of SQLite shape this. Closing any descriptor of a database drops the locks of every connection the
process has to it, so the file is only ever looked at by its name. A connection must not cross a fork, and one
that is open while the process forks spoils those the child opens; so all are closed before a fork, and opened
again at the next use. A database whose file was removed or replaced goes on, into nothing; so its inode is
compared with the one that was opened.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote
from weakref import WeakSet

from outcrop.errors import OutcropError
from outcrop.store import migrations
from outcrop.store.files import make_once, refuse_shared

PATIENCE: Final = 10.0  # seconds to wait for another process's lock

# What a statement may raise. Damage in a name or a text shows as text that is not UTF-8, and has no code.
BROKEN: Final = (sqlite3.Error, UnicodeDecodeError)

# What comes and goes beside the file. They hold the same secrets; SQLite gives them the file's own mode.
_COMPANIONS: Final = ("-wal", "-shm")
_DAMAGED: Final = (
    "Restore it from a copy, or begin anew: `mkdir broken && mv {path}* broken/`, master.key too."
)
_NOT_WRITABLE: Final = "Make the file and its folder writable for you."

# What SQLite's result codes mean to a person. https://www.sqlite.org/rescode.html
_MEANINGS: Final[dict[int, tuple[str, str]]] = {
    sqlite3.SQLITE_NOTADB: ("is not a database", _DAMAGED),
    sqlite3.SQLITE_CORRUPT: ("is damaged", _DAMAGED),
    sqlite3.SQLITE_FULL: ("can't grow: the disk is full", "Make room on the disk, and do it again."),
    sqlite3.SQLITE_BUSY: ("is locked by another process", "See which one holds it: `fuser {path}`."),
    sqlite3.SQLITE_LOCKED: ("is locked by another process", "See which one holds it: `fuser {path}`."),
    sqlite3.SQLITE_PROTOCOL: ("is locked by another process", "See which one holds it: `fuser {path}`."),
    sqlite3.SQLITE_READONLY: ("can't be written", _NOT_WRITABLE),
    sqlite3.SQLITE_CANTOPEN: ("can't be opened", _NOT_WRITABLE),
    sqlite3.SQLITE_PERM: ("can't be opened", _NOT_WRITABLE),
    sqlite3.SQLITE_IOERR: ("can't be read or written", "See that its disk works and has room."),
}


def damaged(path: str, how: str) -> OutcropError:
    """The error of a state that does not hold together."""
    return OutcropError(f"{path} is damaged: {how}.", _DAMAGED.format(path=path))


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turns SQLite's errors into OutcropError."""
    try:
        yield
    except BROKEN as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        what, fix = _MEANINGS.get(
            code & 0xFF, ("can't be used", "See that the file is whole and its disk works.")
        )
        raise OutcropError(f"{path} {what} ({error}).", fix.format(path=path)) from error


class Database:
    """A connection to the state in `path`, which is made when it is not there.

    With `durable`, what is committed outlives a power cut; otherwise the process's end only. Whoever uses
    `connection` holds `lock`. Everything raises OutcropError, but the connection's own methods: see
    `translated`.
    """

    def __init__(self, path: str | Path, *, durable: bool, patience: float = PATIENCE) -> None:
        self.path = str(path)
        self.lock = threading.RLock()
        self._synchronous: Literal["FULL", "NORMAL"] = "FULL" if durable else "NORMAL"
        self._patience = patience
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._closed = False
        self.serial = next(_serials)
        with _registry:
            _databases.add(self)

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection, in autocommit mode; opened anew after a fork or a failure."""
        if self._connection is None:
            if self._closed:
                raise RuntimeError(f"{self.path}: used after close()")
            self._connection = self._open()
        return self._connection

    def check_in_place(self) -> None:
        """Raises OutcropError when the file is gone, is another than was opened, or is open to others."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise OutcropError(
                f"{self.path} can't be found: {error.strerror}.",
                "Stop every Outcrop process, put the file back, and start again.",
            ) from error
        inode = found.st_dev, found.st_ino
        if self._inode not in {None, inode}:
            raise OutcropError(
                f"{self.path} was replaced while it was in use.",
                "Stop every Outcrop process, and start again.",
            )
        refuse_shared(self.path, found.st_mode)
        if found.st_size == 0:  # SQLite would take it for a new database
            raise damaged(self.path, "it is empty")
        self._inode = inode

    def let_go(self) -> None:
        """Closes the connection; the next use opens another. What was not committed is forgotten."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def close(self) -> None:
        """Closes for good. Idempotent."""
        with self.lock:
            self._closed = True
            self.let_go()

    def _open(self) -> sqlite3.Connection:
        if self._inode is None and not os.path.exists(self.path):
            make_once(Path(self.path), self._make)
        self.check_in_place()
        for companion in _COMPANIONS:
            with suppress(FileNotFoundError):
                refuse_shared(self.path + companion, os.stat(self.path + companion).st_mode)
        with translated(self.path):
            connection = _connect(self.path, self._patience, self._synchronous)
            try:
                migrations.migrate(connection, self.path)
            except BaseException:
                connection.close()
                raise
        return connection

    def _make(self, new: Path) -> None:
        for companion in ("-wal", "-seen"):
            if os.path.exists(self.path + companion):
                raise OutcropError(
                    f"{self.path} is gone, though {self.path}{companion} is there.",
                    f"Put it back, or begin anew: `mkdir broken && mv {self.path}* broken/`, master.key too.",
                )
        with translated(self.path):
            connection = _connect(str(new), self._patience, "FULL")
            try:
                connection.execute(f"PRAGMA application_id = {migrations.APPLICATION}")
                migrations.migrate(connection, str(new))
                # Last, so that nothing is left in a log: closing moves it into the file, but hides a failure.
                if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                    raise sqlite3.OperationalError("no log can be kept beside it")
            finally:
                connection.close()


def _connect(path: str, patience: float, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=rw",  # only `make_once` makes files
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,  # whoever uses it holds the lock
    )
    try:
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA fullfsync = 1")  # macOS: fsync alone does not reach the disk there
        connection.execute("PRAGMA journal_size_limit = 16777216")  # bytes of log kept after a busy time
        connection.execute("PRAGMA trusted_schema = 0")
        connection.execute("PRAGMA cell_size_check = 1")  # looks closer for damage
    except BaseException:
        connection.close()
        raise
    return connection


# ── forks ─────────────────────────────────────────────────────────────────────────────────────────

_serials = count()
_registry = threading.Lock()
_databases: WeakSet[Database] = WeakSet()
_held: list[Database] = []


def _before_fork() -> None:
    _registry.acquire()
    for database in sorted(_databases, key=lambda each: each.serial):  # always the same order: no deadlock
        database.lock.acquire()
        database.let_go()
        _held.append(database)


def _after_fork() -> None:
    while _held:
        _held.pop().lock.release()
    _registry.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
