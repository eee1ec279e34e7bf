"""Kills processes at random moments while they write, and tells what they had promised. Knows no store.

A writer is a function of a module that a child process imports: it gets a folder, a `Tell` and a source of
chance, and goes on for ever. Before it begins something it says so, and again when it is done: what is done
has been acknowledged and must be there afterwards; what was only begun may be there, but whole.

    told = killed("store.writers:changes", folder, seed=1)
    for each in told:
        check(folder, each.done, each.begun)

Several children of one folder (`children=3`) start at the same moment and are killed at the same moment.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).parent.parent
PROVE = os.environ.get("OUTCROP_PROVE") == "1"


class Told(NamedTuple):
    """What one child said before it died, in order. `begun` is what it was at, None between two things."""

    done: list[Any]
    begun: Any


class Tell:
    """The child's way to its parent. What is told is JSON."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def begin(self, what: Any) -> None:
        self._write(json.dumps(["begun", what]).encode() + b"\n")

    def done(self, what: Any) -> None:
        """Only for what was begun last."""
        self._write(json.dumps(["done", what]).encode() + b"\n")


def rounds(usual: int, proof: int) -> range:
    """How often to kill: the usual number, or what was promised under OUTCROP_PROVE=1."""
    return range(proof if PROVE else usual)


def killed(writer: str, folder: Path, *, seed: int, children: int = 1, longest: float = 0.15) -> list[Told]:
    """Runs a writer (`module:function`) in child processes and kills them within `longest` seconds."""
    started = [_start(writer, folder, f"{seed}.{number}") for number in range(children)]
    try:
        for child in started:
            assert child.stdout is not None
            assert child.stdout.readline() == b'["ready"]\n', child.communicate()[1].decode()
        for child in started:
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()
        time.sleep(random.Random(seed).uniform(0, longest))
    finally:
        for child in started:
            child.kill()
    return [_told(child) for child in started]


def _start(writer: str, folder: Path, seed: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "store.killing", writer, str(folder), seed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pipesize=1 << 20,  # nobody reads before it is dead
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


def _told(child: subprocess.Popen[bytes]) -> Told:
    output, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors.decode()
    done, begun = [], None
    for line in output.splitlines(keepends=True):
        if line.endswith(b"\n"):  # else it was killed while it wrote that
            event, what = json.loads(line)
            if event == "done":
                done.append(what)
            begun = what if event == "begun" else None
    return Told(done, begun)


def _main(writer: str, folder: str, seed: str) -> None:
    module, _, name = writer.partition(":")
    work = getattr(importlib.import_module(module), name)
    os.write(1, b'["ready"]\n')
    os.read(0, 1)
    work(Path(folder), Tell(lambda line: os.write(1, line)), random.Random(seed))


if __name__ == "__main__":
    _main(*sys.argv[1:])
