"""Private files of the data folder, made once and whole. Knows modes, locks and flushing; not contents."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from outcrop.errors import OutcropError


def refuse_shared(path: str | Path, mode: int) -> None:
    """Raises OutcropError when `mode`, a file's, lets anybody but its owner in."""
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise OutcropError(
            f"{path} holds secrets and is open to others (mode {stat.S_IMODE(mode):04o}).",
            f"Run `chmod 600 {path}`; if others may have read it, revoke the keys in it.",
        )


def make_once(path: Path, write: Callable[[Path], None]) -> None:
    """Makes a file, mode 0600, and its folder, unless it is there. Whoever comes first makes it.

    `write` fills an empty file of another name, which gets its own name only when it is on the disk: whoever
    is killed before leaves nothing under that name. Raises OutcropError when the folder can't be written.
    """
    with writing(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path.parent) as folder:
            if path.exists():
                return
            new = path.with_name(f"{path.name}.new")
            with suppress(FileNotFoundError):
                new.unlink()  # of one that was killed
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            try:
                write(new)
                flush(new)
                new.rename(path)
            except BaseException:
                with suppress(OSError):
                    new.unlink()
                raise
            os.fsync(folder)


def flush(path: Path) -> None:
    """Sees to it that a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Says in people's words why a file could not be written."""
    try:
        yield
    except OSError as error:
        raise OutcropError(
            f"{path} can't be written: {error.strerror or error}.",
            "Make its folder writable for you, and see that the disk has room.",
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """Holds a folder alone. The system frees it when the process dies, so no lock is ever left behind."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
