"""What must be remembered, behind one small interface: records of any kind, changes that are all or nothing.

A record is a frozen value with a kind and a key. Readers take a `Snapshot`, which never changes under them;
writers hand in a function of a `Transaction`. Callers know nothing of the database: `sqlite` is one `Store`,
and `tests/suites/store.py` is what every other must pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol, TypeVar

import msgspec


class Record(msgspec.Struct, frozen=True):
    """Something that is kept. A subclass names its `KIND` and gives its `key`; the rest of it is JSON.

    New members of a subclass need defaults: what an older version wrote has to be readable.
    """

    KIND: ClassVar[str]

    @property
    def key(self) -> str:
        """What tells it from others of its kind."""
        raise NotImplementedError


R = TypeVar("R", bound=Record)
T = TypeVar("T")


class Reading(Protocol):
    """What can be asked of a state."""

    def get(self, kind: type[R], key: str) -> R | None:
        """The record of that kind and key."""

    def all(self, kind: type[R]) -> tuple[R, ...]:
        """Every record of a kind, in the order of their keys."""


class Snapshot(Reading, Protocol):
    """The state at one moment, in memory: it never changes and may be read from any thread."""

    @property
    def version(self) -> int:
        """Grows with every change."""

    def derived(self, make: Callable[[Snapshot], T]) -> T:
        """What `make` computes from this snapshot, computed once: compiled policies, indexes.

        `make` is a function that is always the same object (a module's function, not a lambda made anew).
        """


class Transaction(Reading, Protocol):
    """A change being made. It sees what it has put and deleted, and nobody else does until it is done."""

    def put(self, record: Record) -> None:
        """Write a record, in place of the one with its kind and key."""

    def delete(self, kind: type[Record], key: str) -> bool:
        """Take a record away; whether there was one."""


class Store(Protocol):
    """Where the state lives. Safe across threads and processes. Everything raises OutcropError."""

    def snapshot(self) -> Snapshot:
        """The newest state, changes of other processes included. The same object while nothing changes."""

    def change(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` alone, and keep all that it did when it returns, or nothing when it raises.

        When this returns, the change outlives the process and a power cut. It may take milliseconds: an event
        loop calls it in a thread. `work` must not have effects elsewhere.
        """

    def close(self) -> None:
        """Let go of files. Idempotent."""
