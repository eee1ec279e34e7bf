"""Endpoints that run: the record each keeps while it does, how to find one, and how to start a private one.

Knows processes, ports and one small file, in which settings leave no more than a digest. The record is
`<data>/endpoint.json`; it goes away with its endpoint, and one that was left behind (kill -9, power cut) is
recognised: its process or its port is gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click
import msgspec

from outcrop.config import Loaded
from outcrop.errors import OutcropError

_START_SECONDS: Final = 120  # a large GGUF file takes its time to load
_TRIES: Final = 3
_STOP_SECONDS: Final = 40  # the drain limit and a little more
_LOG: Final = "log"  # in the folder of a private endpoint: what it says


class Running(msgspec.Struct, frozen=True):
    """What a running endpoint says of itself. `tls_url` is "" where it does not listen with TLS.

    `file` is its configuration's, "" for none. `bedrock` and `placed` are short digests of the settings by
    which calls are judged: those of [bedrock], and which engine stands where; "" is not known.
    """

    url: str
    pid: int
    engine: str
    region: str
    version: str
    tls_url: str = ""
    file: str = ""
    bedrock: str = ""
    placed: str = ""


def judging(running: Running, loaded: Loaded) -> Running:
    """The same endpoint, with what it says of its settings."""
    settings = loaded.settings
    places = {name: (one.kind, one.regions, one.models) for name, one in settings.placed.items()}
    return msgspec.structs.replace(
        running,
        file="" if loaded.file is None else str(loaded.file.resolve()),
        bedrock=_digest(settings.bedrock),
        placed=_digest(places),
    )


def _digest(values: object) -> str:
    return hashlib.sha256(msgspec.json.encode(values)).hexdigest()[:16]


def warn_of_others(loaded: Loaded, *, engines: bool = False) -> None:
    """Say so, on stderr, when an endpoint runs on this data folder and judges by other settings than these.

    With `engines` it matters, too, which engine stands where.
    """
    running = find(loaded.settings.data.folder)
    if running is None or not running.bedrock:
        return
    ours = judging(running, loaded)
    if running.bedrock == ours.bedrock and (not engines or running.placed == ours.placed):
        return
    theirs, here = running.file or "no file", ours.file or "no file"
    if theirs == here:
        here += " as it is now, with this command's flags and variables"
    click.echo(
        f"Warning: the running endpoint has other settings (file: {theirs}); this is judged by {here}.",
        err=True,
    )


def record_path(folder: Path) -> Path:
    """Where the endpoint of a data folder keeps its record."""
    return folder / "endpoint.json"


@contextlib.contextmanager
def recorded(path: Path, running: Running) -> Iterator[None]:
    """Keep the record while the block runs; then remove it, or put back that of an endpoint still running.

    Raises OutcropError when it can't be written.
    """
    before = read_record(path)
    _write(path, running)
    try:
        yield
    finally:
        if (now := read_record(path)) is not None and now.pid == running.pid:
            if before is not None and _lives(before.pid):
                _write(path, before)
            else:
                path.unlink(missing_ok=True)


def _write(path: Path, running: Running) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(running)) + b"\n")
        partial.replace(path)
    except OSError as error:
        raise OutcropError(
            f"{path} can't be written: {error.strerror}.",
            "Make its folder writable for you, and see that the disk has room.",
        ) from error


def read_record(path: Path) -> Running | None:
    """The record, whether its endpoint still runs or not; None when there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None


def find(folder: Path) -> Running | None:
    """The endpoint that runs on this data folder, or None."""
    running = read_record(record_path(folder))
    return running if running is not None and answers(running) else None


def answers(running: Running) -> bool:
    """Whether its process lives and its port takes a connection."""
    return _lives(running.pid) and connects(running.url)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and belongs to somebody else
        return True
    return True


def connects(url: str, seconds: float = 1) -> bool:
    """Whether something takes a connection at the address of a URL."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "localhost", port), seconds).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port nobody listens on now. Somebody may take it before we do, so the taker tries again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def private(arguments: Sequence[str], *, tls: bool = False) -> Iterator[Running]:
    """A running endpoint of our own on free ports, ended with the block; and by itself should we die first.

    `arguments` are flags for `outcrop serve`. Raises OutcropError with what the endpoint said when it does
    not come up.
    """
    with tempfile.TemporaryDirectory(prefix="outcrop-") as scratch:
        process, running = _start(arguments, Path(scratch), tls)
        try:
            yield running
        finally:
            _stop(process)


def clear_scratch(folder: Path) -> None:
    """Remove the folder that `private` made, from inside its endpoint: a caller that was killed does not."""
    with contextlib.suppress(OSError):
        (folder / _LOG).unlink(missing_ok=True)
        folder.rmdir()


def _start(arguments: Sequence[str], scratch: Path, tls: bool) -> tuple[subprocess.Popen[bytes], Running]:
    record, log = record_path(scratch), scratch / _LOG
    for attempt in range(_TRIES):
        command = [sys.executable, "-m", "outcrop", "serve", *arguments, "--record", str(record), "--private"]
        command += ["--host", "127.0.0.1", "--port", str(free_port())]
        command += ["--tls", "--tls-port", str(free_port())] if tls else ["--no-tls"]
        with log.open("wb") as output:
            # a session of its own: Ctrl-C in the terminal is for the program, which may need us to the end
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        running = _wait(process, record)
        if running is not None:
            return process, running
        _stop(process)
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        if "Can't listen on" not in said or attempt == _TRIES - 1:
            break
    what, _, fix = said.removeprefix("outcrop: ").partition("\n")
    raise OutcropError(f"The private endpoint did not start: {what or 'it said nothing.'}", fix.strip())


def _wait(process: subprocess.Popen[bytes], record: Path) -> Running | None:
    """Its record once it is there; None when the process ended instead."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None:
        if (running := read_record(record)) is not None:
            return running
        if time.monotonic() > deadline:
            _stop(process)
            raise OutcropError(
                f"The private endpoint was not ready after {_START_SECONDS} s.", "Try `outcrop serve`."
            )
        time.sleep(0.01)
    return None


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
