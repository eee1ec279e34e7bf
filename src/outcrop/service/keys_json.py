"""The keys of an older version, in one JSON file of the data folder: taken over into the store, once.

Knows that file's format and how its writers locked it; what becomes of the keys is in `principals`. All users
in the file could do everything, and still can. The file is renamed afterwards; it holds secrets in clear.
"""

from __future__ import annotations

import fcntl
import os
import stat
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from outcrop.errors import OutcropError
from outcrop.service.principals import AccessKey, ApiKey, Installation, Sealing, User, install, seal_secret
from outcrop.store import Store, Transaction

SCHEMA: Final = 1


class _OldKey(msgspec.Struct, frozen=True, kw_only=True):
    """What both kinds of keys have. Times are in epoch seconds."""

    user: str
    arn: str
    user_id: str
    created: int
    enabled: bool = True
    description: str = ""


class _OldAccessKey(_OldKey, frozen=True, kw_only=True):
    id: str
    secret: str

    def __repr__(self) -> str:
        return f"_OldAccessKey({self.id!r}, …)"


class _OldApiKey(_OldKey, frozen=True, kw_only=True):
    name: str
    digest: str
    expires: int | None = None


class _Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    account: str
    session_secret: str
    access_keys: tuple[_OldAccessKey, ...] = ()
    api_keys: tuple[_OldApiKey, ...] = ()

    def __repr__(self) -> str:
        return f"_Contents({len(self.access_keys)} access keys, {len(self.api_keys)} API keys)"


def old_file(folder: Path) -> Path:
    """Where an older version kept the keys."""
    return folder / "keys.json"


def kept_file(folder: Path) -> Path:
    """What the file is called once its keys were taken over."""
    return folder / "keys.json.imported"


def take_over(folder: Path, store: Store, sealer: Sealing) -> bool:
    """Bring the keys of `keys.json` into a store that has none, then rename the file; whether it did.

    Whoever is killed in between takes over again, and finds it done. Raises OutcropError when the file is
    broken, readable by others, or of another installation than the store.
    """
    path = old_file(folder)
    if not path.exists():
        return False
    with _locked(path):
        if not path.exists():  # another process was quicker
            return False
        contents = _read(path)
        secret = b64decode(contents.session_secret)
        store.change(lambda state: _write(state, sealer, contents, secret, path))
        _rename(path, kept_file(folder))
    return True


def _write(state: Transaction, sealer: Sealing, contents: _Contents, secret: bytes, path: Path) -> None:
    found = state.get(Installation, "installation")
    if found is not None:
        if found.account != contents.account:
            raise OutcropError(
                f"{path} is of account {contents.account}, and this data folder's state of {found.account}.",
                f"Move it away: `mv {path} {path}.other`. Its keys are not known here.",
            )
        return
    from outcrop.service.iam.presets import PRESETS

    keys = (*contents.access_keys, *contents.api_keys)
    install(state, sealer, contents.account, secret, min((key.created for key in keys), default=0))
    for key in sorted(keys, key=lambda key: -key.created):  # the oldest last: a user is as old as that
        user = User(contents.account, key.user, key.user_id, key.created)
        state.put(msgspec.structs.replace(user, policies={"everything": PRESETS["everything"]}))
    for pair in contents.access_keys:
        sealed = seal_secret(sealer, pair.id, pair.arn, pair.secret)
        state.put(AccessKey(pair.id, sealed, pair.arn, pair.created, pair.enabled, pair.description))
    for key in contents.api_keys:
        state.put(
            ApiKey(key.name, key.digest, key.arn, key.created, key.expires, key.enabled, key.description)
        )


def _read(path: Path) -> _Contents:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read()
    except OSError as error:
        raise OutcropError(f"{path} can't be read: {error.strerror}.", "Make it readable for you.") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise OutcropError(
            f"{path} holds secrets and is open to others (mode {stat.S_IMODE(mode):04o}).",
            f"Run `chmod 600 {path}`; if others may have read it, revoke the keys in it afterwards.",
        )
    try:
        contents = msgspec.json.decode(data, type=_Contents)
        if contents.schema != SCHEMA:
            raise ValueError(f"its format is {contents.schema}, not {SCHEMA}")
        if len(b64decode(contents.session_secret, validate=True)) < 32:
            raise ValueError("`session_secret` is too short")
    except ValueError as error:  # msgspec's errors are ValueErrors, and quote no values
        raise OutcropError(
            f"{path} is not a key file: {error}.",
            f"Restore it from a copy, or start with new keys: `mv {path} {path}.broken`.",
        ) from error
    return contents


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock that writers of the old file hold. The lock's file goes with the old one."""
    name = f"{path}.lock"
    try:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_moved(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
        with suppress(OSError):
            os.unlink(name)
    finally:
        os.close(lock)


def _rename(path: Path, kept: Path) -> None:
    try:
        path.rename(kept)
    except OSError as error:
        raise _not_moved(path, error) from error


def _not_moved(path: Path, error: OSError) -> OutcropError:
    return OutcropError(
        f"The keys in {path} can't be taken over: {error.strerror}.", "Make its folder writable for you."
    )
