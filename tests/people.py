"""Principals for tests: on a real store, with a sealer that is quick and seals nothing."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path

import msgspec

from outcrop.errors import OutcropError
from outcrop.service.principals import Principals
from outcrop.store.sqlite import SqliteStore

NOW = 1_795_348_800  # 2026-11-22T12:00:00Z


class PlainSealer:
    """Base64 instead of encryption; it minds what a secret is about, as the real one does."""

    def __init__(self) -> None:
        self.opened = 0

    def seal(self, secret: bytes, about: str) -> str:
        return b64encode(msgspec.msgpack.encode((about, secret))).decode()

    def open(self, sealed: str, about: str) -> bytes:
        self.opened += 1
        said, secret = msgspec.msgpack.decode(b64decode(sealed), type=tuple[str, bytes])
        if said != about:
            raise OutcropError(f"The secret is about {said}, not {about}.")
        return secret


def principals(folder: Path, sealer: PlainSealer | None = None) -> Principals:
    """Those of the state in a folder, whose clock stands still."""
    return Principals(SqliteStore(folder / "state.db"), sealer or PlainSealer(), lambda: NOW + 0.5)


def trusting(*arns: str) -> str:
    """A trust policy that lets these assume a role."""
    statement = {"Effect": "Allow", "Principal": {"AWS": arns}, "Action": "sts:AssumeRole"}
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": statement}).decode()


def allowing(*actions: str, effect: str = "Allow", resource: str = "*") -> str:
    """A policy of one statement."""
    statement = {"Effect": effect, "Action": actions, "Resource": resource}
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": statement}).decode()
