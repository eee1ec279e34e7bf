"""The keys, in one JSON file of the data folder. Knows files and locks; not requests, not signatures.

The secrets of access keys stand in the file as they are, because a SigV4 signature can only be checked by
someone who has the secret. Of an API key there is only the SHA-256 of its secret: it is 256 random bits, so
nobody can guess it from that. The file is therefore mode 0600, and one that others may read is refused.

A change is written beside the file, flushed to the disk and renamed over it, under a lock that other
processes respect. Whoever is killed in between leaves the old file whole. A running server sees a change at
its next look-up: each one compares the file's time, size, mode and inode with those it knows, which costs
about a microsecond.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from outcrop.errors import OutcropError
from outcrop.wire import bearer

SCHEMA: Final = 1

_USER: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)  # IAM's rule for a user's name
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LOWER: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_Result = TypeVar("_Result")


class AccessKey(msgspec.Struct, frozen=True):
    """A key pair of a user. `created` is in epoch seconds."""

    id: str
    secret: str
    user: str
    arn: str
    user_id: str
    created: int
    enabled: bool = True
    description: str = ""

    def __repr__(self) -> str:
        return f"AccessKey({self.id!r}, user={self.user!r}, enabled={self.enabled})"


class ApiKey(msgspec.Struct, frozen=True):
    """A long-term Bedrock API key: `digest` is the SHA-256 of its secret in hex.

    `created` and `expires` are in epoch seconds; one that never ends has None.
    """

    name: str
    digest: str
    user: str
    arn: str
    user_id: str
    created: int
    expires: int | None = None
    enabled: bool = True
    description: str = ""

    def __repr__(self) -> str:
        return f"ApiKey({self.name!r}, user={self.user!r}, enabled={self.enabled})"


Key: TypeAlias = AccessKey | ApiKey


class _Schema(msgspec.Struct, frozen=True):
    schema: int


class _Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    account: str
    session_secret: str
    access_keys: tuple[AccessKey, ...] = ()
    api_keys: tuple[ApiKey, ...] = ()

    def __repr__(self) -> str:
        return f"_Contents({len(self.access_keys)} access keys, {len(self.api_keys)} API keys)"


class _Known(NamedTuple):
    """What was read, and the stamp of the file it was read from. Replaced as one, so threads may share it."""

    stamp: tuple[int, ...]
    contents: _Contents
    session_secret: bytes
    access_keys: dict[str, AccessKey]
    api_keys: dict[str, ApiKey]


class KeyFile:
    """The keys of one data folder. Made with an account id and no keys when the file is not there yet.

    Everything raises OutcropError when the file is broken, readable by others or gone.
    """

    def __init__(self, path: str | Path, clock: Callable[[], float] = time.time) -> None:
        self._path = str(path)
        self._clock = clock
        if not os.path.exists(self._path):
            self._create()
        self._known = self._read()

    @property
    def account(self) -> str:
        """The account everything here belongs to: twelve digits, drawn when the file was made."""
        return self._known.contents.account

    @property
    def session_secret(self) -> bytes:
        """The secret from which temporary credentials are derived."""
        return self._fresh().session_secret

    def find(self, access_key_id: str) -> AccessKey | None:
        """The access key of that id; None when there is none, or it is revoked."""
        return self._fresh().access_keys.get(access_key_id)

    def find_api_key(self, name: str) -> ApiKey | None:
        """The API key of that name, expired or not; None when there is none, or it is revoked."""
        return self._fresh().api_keys.get(name)

    def list(self) -> tuple[Key, ...]:
        """Every key, revoked ones too, the oldest first."""
        return tuple(sorted(_all(self._fresh().contents), key=lambda key: key.created))

    def create_access_key(self, user: str, description: str = "") -> AccessKey:
        """A new key pair for a user; a user comes into being with the first key."""
        _check_user(user)

        def add(contents: _Contents) -> tuple[_Contents, AccessKey]:
            key = AccessKey(
                id="AKIA" + _draw(_BASE32, 16),
                secret=_draw(_BASE64, 40),
                user=user,
                arn=f"arn:aws:iam::{contents.account}:user/{user}",
                user_id=_user_id(contents, user),
                created=int(self._clock()),
                description=description,
            )
            return msgspec.structs.replace(contents, access_keys=(*contents.access_keys, key)), key

        return self._change(add)

    def create_api_key(
        self, user: str = "", expires: int | None = None, description: str = ""
    ) -> tuple[ApiKey, str]:
        """A new long-term API key and its token, which can't be had again. `expires` is in epoch seconds.

        Without a user it gets one of its own, named as AWS names them (`BedrockAPIKey-<id>`).
        """
        if user:
            _check_user(user)

        def add(contents: _Contents) -> tuple[_Contents, tuple[ApiKey, str]]:
            name = _api_key_name(contents, user)
            owner = user or name.partition("-at-")[0]
            secret = b64encode(secrets.token_bytes(32)).decode()
            key = ApiKey(
                name=name,
                digest=hashlib.sha256(secret.encode()).hexdigest(),
                user=owner,
                arn=f"arn:aws:iam::{contents.account}:user/{owner}",
                user_id=_user_id(contents, owner),
                created=int(self._clock()),
                expires=expires,
                description=description,
            )
            changed = msgspec.structs.replace(contents, api_keys=(*contents.api_keys, key))
            return changed, (key, bearer.make_long_term(name, secret))

        return self._change(add)

    def revoke(self, key_id: str) -> Key:
        """Takes a key out of use, and with an access key its sessions and short-term API keys.

        `key_id` is an access key id or an API key's name. Raises OutcropError when there is none such. A
        revoked key stays in the list, so that old log entries can still be told apart.
        """

        def disable(contents: _Contents) -> tuple[_Contents, Key]:
            access_keys = tuple(_disabled(key, key.id == key_id) for key in contents.access_keys)
            api_keys = tuple(_disabled(key, key.name == key_id) for key in contents.api_keys)
            changed = msgspec.structs.replace(contents, access_keys=access_keys, api_keys=api_keys)
            for key in _all(changed):
                if key_id == (key.id if isinstance(key, AccessKey) else key.name):
                    return changed, key
            raise OutcropError(f"There is no key {key_id!r}.", "See `outcrop keys list`.")

        return self._change(disable)

    # ── the file ──────────────────────────────────────────────────────────────────────────────────

    def _fresh(self) -> _Known:
        known = self._known
        try:
            now = _stamp(os.stat(self._path))
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if now != known.stamp:
            known = self._known = self._read()
        return known

    def _read(self) -> _Known:
        try:
            with open(self._path, "rb") as file:
                found = os.fstat(file.fileno())
                data = file.read()
        except OSError as error:
            raise _unreadable(self._path, error) from error
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise OutcropError(
                f"{self._path} holds secrets and is open to others (mode {stat.S_IMODE(found.st_mode):04o}).",
                f"Run `chmod 600 {self._path}`; if others may have read it, revoke the keys in it.",
            )
        contents = _decode(self._path, data)
        return _Known(
            _stamp(found),
            contents,
            b64decode(contents.session_secret),
            {key.id: key for key in contents.access_keys if key.enabled},
            {key.name: key for key in contents.api_keys if key.enabled},
        )

    def _create(self) -> None:
        with _writing(self._path):
            Path(self._path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self._path):
                if not os.path.exists(self._path):  # another process may have been quicker
                    account = str(10**11 + secrets.randbelow(9 * 10**11))
                    session_secret = b64encode(secrets.token_bytes(32)).decode()
                    _replace(self._path, _Contents(SCHEMA, account, session_secret))

    def _change(self, change: Callable[[_Contents], tuple[_Contents, _Result]]) -> _Result:
        with _writing(self._path), _locked(self._path):
            contents, result = change(self._read().contents)
            _replace(self._path, contents)
            self._known = self._read()
        return result


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode


def _decode(path: str, data: bytes) -> _Contents:
    fix = f"Restore it from a copy, or start with new keys: `mv {path} {path}.broken`."
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != SCHEMA:
            raise OutcropError(
                f"{path} has format {schema}, and this version of Outcrop knows format {SCHEMA}.",
                "Use the version that wrote it, or a newer one.",
            )
        contents = msgspec.json.decode(data, type=_Contents)
        if len(b64decode(contents.session_secret, validate=True)) < 32:
            raise ValueError("`session_secret` is too short")
    except ValueError as error:  # msgspec's errors are ValueErrors, and quote no values
        raise OutcropError(f"{path} is not a key file: {error}", fix) from error
    return contents


def _unreadable(path: str, error: OSError) -> OutcropError:
    return OutcropError(
        f"{path} can't be read: {error.strerror}.",
        "Give it back, or restart Outcrop to begin with new keys.",
    )


@contextmanager
def _writing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutcropError(
            f"{path} can't be written: {error.strerror}.",
            "Make its folder writable for you, and see that the disk has room.",
        ) from error


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Holds the lock file. The system frees it when the process dies, so no lock is ever left behind."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(path: str, contents: _Contents) -> None:
    """Writes the file anew, whole or not at all. The lock is held, so the new one's name can be fixed."""
    new = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(new)  # of a writer that was killed
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(contents), indent=2) + b"\n")
            file.flush()
            _make_younger(file.fileno(), path)
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        with suppress(OSError):
            os.unlink(new)
        raise
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _make_younger(descriptor: int, path: str) -> None:
    # File times tick every few milliseconds and inodes are used again, so two quick changes could look like
    # the same file to a reader. A later time than the old file's always tells them apart.
    with suppress(FileNotFoundError):
        old = os.stat(path).st_mtime_ns
        found = os.fstat(descriptor)
        if found.st_mtime_ns <= old:
            os.utime(descriptor, ns=(found.st_atime_ns, old + 1))


# ── names and secrets ─────────────────────────────────────────────────────────────────────────────


def _draw(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _check_user(user: str) -> None:
    if _USER.fullmatch(user) is None:
        raise OutcropError(
            f"{user!r} can't be the name of a user.",
            "Use 1 to 64 letters, digits and any of _ + = , . @ -",
        )


def _all(contents: _Contents) -> tuple[Key, ...]:
    return (*contents.access_keys, *contents.api_keys)


def _user_id(contents: _Contents, user: str) -> str:
    for key in _all(contents):
        if key.user == user:
            return key.user_id
    return "AIDA" + _draw(_BASE32, 17)


def _api_key_name(contents: _Contents, user: str) -> str:
    """`BedrockAPIKey-<id>-at-<account>`; a user's further keys take the same name and `+1`, `+2`, …"""
    own = [key.name for key in contents.api_keys if user and key.user == user]
    if own:
        return f"{own[0].partition('+')[0]}+{len(own)}"
    taken = {key.name for key in contents.api_keys}
    while True:
        name = f"BedrockAPIKey-{_draw(_LOWER, 4)}-at-{contents.account}"
        if name not in taken:
            return name


_AnyKey = TypeVar("_AnyKey", AccessKey, ApiKey)


def _disabled(key: _AnyKey, chosen: bool) -> _AnyKey:
    return msgspec.structs.replace(key, enabled=False) if chosen else key
