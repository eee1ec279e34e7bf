"""How the state's tables came to be: numbered steps in plain SQL. Knows tables; not what their values mean.

`PRAGMA user_version` counts the steps a file has taken. A step that has been released is never edited: what
should be different is a new step at the end. Each is applied in a transaction of its own, whole or not at
all.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from outcrop.errors import OutcropError

# "Outc", as PRAGMA application_id: no other program's database is taken for a state.
APPLICATION: Final = 0x4F757463

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # `value` is JSON, NULL of a record that was deleted: so others see that it went. `digest` is what
        # `sqlite.digest` makes of the row, and `meta.digest` their sum: a row that changed or vanished shows.
        """CREATE TABLE records (
               kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT, version INTEGER NOT NULL,
               digest INTEGER NOT NULL, PRIMARY KEY (kind, key)
           ) WITHOUT ROWID""",
        "CREATE INDEX records_by_version ON records (version)",
        "CREATE INDEX records_deleted ON records (version) WHERE value IS NULL",
        # one row. `pruned` is the newest version whose deleted records may be gone for good; the first digest
        # is that of the two zeros.
        """CREATE TABLE meta (
               only INTEGER PRIMARY KEY CHECK (only = 1), version INTEGER NOT NULL, pruned INTEGER NOT NULL,
               digest INTEGER NOT NULL
           )""",
        "INSERT INTO meta VALUES (1, 0, 0, 18113583817123853)",
    ),
    (
        # A row holds the records that were written together, as a JSON array: a row for each of them costs
        # four times as much. `first` and `last` are when they were received, in microseconds since the epoch.
        """CREATE TABLE calls (
               seq INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
               records INTEGER NOT NULL, value BLOB NOT NULL, digest INTEGER NOT NULL
           )""",
        "CREATE INDEX calls_by_time ON calls (first)",
    ),
)


def check(connection: sqlite3.Connection, path: str) -> bool:
    """Whether a state lacks no step. Raises OutcropError when it is no state, or one of a later Outcrop."""
    if _pragma(connection, "application_id") != APPLICATION:
        raise OutcropError(f"{path} is not a state of Outcrop.", f"Move it away: `mv {path} {path}.other`.")
    version = _pragma(connection, "user_version")
    if not 0 <= version <= len(MIGRATIONS):
        raise OutcropError(
            f"{path} has format {version}, and this version of Outcrop knows format {len(MIGRATIONS)}.",
            "Use the version that wrote it, or a newer one.",
        )
    return version == len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Takes the steps a state lacks. Any number of processes may do this at once.

    Raises what `check` raises, and sqlite3.Error. The connection is in autocommit mode.
    """
    while not check(connection, path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not check(connection, path):  # nobody was quicker
                step = _pragma(connection, "user_version")
                for statement in MIGRATIONS[step]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {step + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
