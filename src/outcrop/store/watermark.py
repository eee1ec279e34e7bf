"""The number of the last change that was acknowledged, kept outside the database. Knows one small file.

SQLite takes a damaged log for one that was not written to the end, and goes on without what followed: a
revoked key would be back and nobody the wiser. So the number of each change is also written here once it is
durable, and a database that does not know that change is refused.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from outcrop.errors import OutcropError
from outcrop.store.files import flush

_SIZE: Final = 51  # within one sector of any disk: written whole or not at all


class Mark(NamedTuple):
    """A change's number, and when it was acknowledged in epoch seconds."""

    version: int
    at: float


class Watermark:
    """The file `path`. Several processes may raise it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watched = -1

    def look(self) -> bytes:
        """What the file says now, "" while it is not watched. One system call: a quarter of asking SQLite.

        Whoever waits for a change to be acknowledged finds that it differs from what it was before.
        """
        return os.pread(self._watched, _SIZE, 0) if self._watched >= 0 else b""

    def watch(self) -> None:
        """Begin to watch the file, or the one that has taken its place. To be called now and then."""
        try:
            there = os.stat(self._path)
        except OSError:
            self.close()
            return
        if self._watched < 0 or not os.path.samestat(os.fstat(self._watched), there):
            self.close()
            with suppress(OSError):
                self._watched = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Watch no more. Idempotent."""
        watched, self._watched = self._watched, -1
        if watched >= 0:
            os.close(watched)

    def read(self) -> Mark:
        """The last change acknowledged; number 0 when the file is not there. Raises OutcropError."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return Mark(0, 0.0)
        except OSError as error:
            raise OutcropError(
                f"{self._path} can't be read: {error.strerror}.", "Make it readable for you."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return self._parse(os.read(descriptor, _SIZE + 1))
        finally:
            os.close(descriptor)

    def raise_to(self, version: int, at: float) -> None:
        """Notes a change, unless a later one is there. Raises OSError; OutcropError for a damaged file."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            known = self._parse(os.read(descriptor, _SIZE + 1))
            if known.version < version:
                os.pwrite(descriptor, _line(version, at), 0)
                os.fsync(descriptor)
            if known.version == 0:
                flush(self._path.parent)
        finally:
            os.close(descriptor)

    def _parse(self, data: bytes) -> Mark:
        if not data:  # made by one that was killed before it wrote
            return Mark(0, 0.0)
        try:
            version, millis = (int(part) for part in data.split()[:2])
            mark = Mark(version, millis / 1000)
        except ValueError:
            mark = Mark(-1, 0.0)
        if data != _line(*mark):
            raise OutcropError(
                f"{self._path} is damaged: it does not say which change was the last.",
                f"When the state is as it should be, remove the file: `rm {self._path}`.",
            )
        return mark


def _line(version: int, at: float) -> bytes:
    numbers = b"%020d %020d" % (version, round(at * 1000))
    return b"%b %08x\n" % (numbers, zlib.crc32(numbers))
