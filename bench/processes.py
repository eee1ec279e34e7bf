"""Processes that are measured: where they run, what they cost, how they end. Linux exactly, macOS roughly."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
LINUX: Final = sys.platform == "linux"
_LIBC: Final = ctypes.CDLL(None)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


class Cores(NamedTuple):
    """The gateway has one core to itself, load and upstream have the others. Empty: nothing is pinned."""

    gateway: frozenset[int]
    others: frozenset[int]


def cores() -> Cores:
    """Which cores there are to share. On one core, or where pinning is unknown, nobody is pinned."""
    usable = sorted(os.sched_getaffinity(0)) if LINUX else []
    if len(usable) < 2:
        return Cores(frozenset(), frozenset())
    return Cores(frozenset(usable[:1]), frozenset(usable[1:]))


def pin(where: frozenset[int]) -> None:
    """Keep this process, and what it starts from now on, on these cores."""
    if where:
        os.sched_setaffinity(0, where)


def allow_many_files() -> None:
    """A thousand streams are two thousand sockets in a gateway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(hard, 8192)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: Path,
    where: frozenset[int],
    env: Mapping[str, str] | None = None,
    *,
    talking: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours for the length of the block, with all its children; what it says goes into `log`.

    With `talking`, its standard input and output are pipes, and only its complaints go into `log`.
    """
    before = os.sched_getaffinity(0) if where else frozenset()
    with log.open("wb") as output:
        pin(where)  # a child inherits it, from its first instruction on
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if talking else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talking else output,
                stderr=output,
                cwd=ROOT,
                env={**environment(), **(env or {})},
                start_new_session=True,
                preexec_fn=_end_with_parent if LINUX else None,  # noqa: PLW1509 - the bench has one thread
            )
        finally:
            pin(frozenset(before))
    try:
        yield process
    finally:
        _end(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _end_with_parent() -> None:
    """Have the kernel end this process when the bench is killed before it can do so itself."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def environment() -> dict[str, str]:
    """Ours, but for what would change how a peer works."""
    unwanted = ("AWS_", "ANTHROPIC_", "OUTCROP_", "LITELLM_", "OPENAI_", "PYTHONDONTWRITEBYTECODE")
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    return {k: v for k, v in os.environ.items() if not k.startswith(unwanted) and k.lower() not in proxies}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group, politely first."""
    for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children, those that have ended included. In steps of 10 ms."""
    if not LINUX:
        return sum(_ps_seconds(row[2]) for row in _ps(pid, "time"))
    total = 0.0
    for member in _tree(pid):
        with contextlib.suppress(OSError):
            fields = _stat(member)
            total += sum(map(int, fields[11:15])) * _TICK
    return total


def memory_mib(pid: int) -> float:
    """Memory of a process and its children in MiB: PSS, which counts shared pages once; RSS on macOS."""
    if not LINUX:
        return sum(int(row[2]) for row in _ps(pid, "rss")) / 1024
    kib = 0
    for member in _tree(pid):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{member}/smaps_rollup").read_text()
            kib += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return kib / 1024


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the second, the name, may hold blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _tree(pid: int) -> list[int]:
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
    return _descendants(pid, parents)


def _descendants(pid: int, parents: Mapping[int, int]) -> list[int]:
    found = [pid]
    for member in found:  # grows as it is walked
        found += [child for child, parent in parents.items() if parent == member]
    return found


def _ps(pid: int, column: str) -> list[list[str]]:
    out = subprocess.run(
        ["/bin/ps", "-axo", f"pid=,ppid=,{column}="], capture_output=True, text=True, check=True
    ).stdout
    rows = {int(row[0]): row for row in map(str.split, out.splitlines())}
    members = _descendants(pid, {member: int(row[1]) for member, row in rows.items()})
    return [rows[member] for member in members if member in rows]


def _ps_seconds(text: str) -> float:
    """`[[dd-]hh:]mm:ss.cc` as seconds."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds + 86400 * int(days or 0)


def machine() -> str:
    """The machine in a line."""
    model = platform.processor() or platform.machine()
    if LINUX:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), model)
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
