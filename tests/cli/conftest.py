"""A home of its own for every test of the command line: nothing of the person's is read or written."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from outcrop.cli.group import outcrop
from outcrop.cli.running import free_port, read_record, record_path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, current folder and data folder, and no setting from outside."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "ANTHROPIC_", "OUTCROP_", "XDG_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("OUTCROP_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("SHELL", "/bin/sh")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def data(home: Path) -> Path:
    return home / "data"


@pytest.fixture
def cli():
    """Run a command in this process."""

    def run(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(outcrop, list(arguments))
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def command():
    """Run the command as a person would: in a process of its own."""

    def run(
        *arguments: str, env: dict[str, str] | None = None, **options
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "outcrop", *arguments],
            env=os.environ | (env or {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )

    return run


@pytest.fixture
def serving(data: Path):
    """A running `outcrop serve --engine scripted` and its record; killed at the end if it still runs."""

    @contextmanager
    def run(*arguments: str):
        command = [sys.executable, "-m", "outcrop", "serve", "--engine", "scripted"]
        command += ["--port", str(free_port()), *arguments]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            try:
                deadline = time.monotonic() + 20
                while (running := read_record(record_path(data))) is None or running.pid != process.pid:
                    assert process.poll() is None, process.communicate()
                    assert time.monotonic() < deadline, "it did not start"
                    time.sleep(0.01)
                yield process, running
            finally:
                process.kill()

    return run
