"""Records of running endpoints, and private endpoints from start to end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from outcrop.cli import running
from outcrop.cli.running import Running
from outcrop.errors import OutcropError


def described(port: int, pid: int) -> Running:
    return Running(f"http://127.0.0.1:{port}", pid, "scripted", "us-west-2", "0")


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_record_lives_as_long_as_its_endpoint(data: Path, listening: int):
    path = running.record_path(data)
    with running.recorded(path, described(listening, os.getpid())):
        assert running.find(data) == described(listening, os.getpid())
    assert running.find(data) is None
    assert not path.exists()


def test_one_that_was_killed_is_recognised_by_its_process_or_its_port(data: Path, listening: int):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with running.recorded(running.record_path(data), described(listening, gone.pid)):
        assert running.find(data) is None
    with running.recorded(running.record_path(data), described(running.free_port(), os.getpid())):
        assert running.find(data) is None


def test_a_newer_endpoints_record_is_left_alone(data: Path, listening: int):
    path = running.record_path(data)
    newer = described(listening, os.getpid())
    with running.recorded(path, described(listening, os.getppid())):
        path.write_bytes(msgspec.json.encode(newer))
    assert running.read_record(path) == newer


def test_the_record_of_an_older_endpoint_comes_back_if_that_still_runs(data: Path, listening: int):
    path = running.record_path(data)
    older, newer = described(listening, os.getppid()), described(listening, os.getpid())
    with running.recorded(path, older):
        with running.recorded(path, newer):
            assert running.read_record(path) == newer
        assert running.read_record(path) == older
    assert not path.exists()


def test_a_record_that_can_not_be_written_is_told(data: Path):
    data.write_text("a file where the folder should be")
    with (
        pytest.raises(OutcropError, match=r"endpoint\.json can't be written"),
        running.recorded(running.record_path(data), described(1, os.getpid())),
    ):
        pass


def test_a_broken_record_is_no_record(data: Path):
    data.mkdir()
    running.record_path(data).write_text('{"url": 1}')
    assert running.find(data) is None


def test_a_private_endpoint_answers_and_is_gone_afterwards():
    with running.private(["--engine", "scripted"]) as endpoint:
        assert running.answers(endpoint)
        assert endpoint.engine == "scripted"
    assert not running.answers(endpoint)


def test_a_private_endpoint_ends_when_its_caller_is_killed_and_leaves_nothing(tmp_path: Path):
    code = (
        "from outcrop.cli.running import private\n"
        "import time\n"
        "with private(['--engine', 'scripted']) as endpoint:\n"
        "    print(endpoint.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = os.environ | {"TMPDIR": str(scratch)}
    caller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env)
    assert caller.stdout is not None
    pid = int(caller.stdout.readline())
    assert list(scratch.iterdir())
    caller.kill()
    caller.wait()
    caller.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the endpoint outlived its caller"
        time.sleep(0.02)
    assert not list(scratch.iterdir())


def test_what_keeps_it_from_starting_is_told():
    with (
        pytest.raises(OutcropError, match=r"did not start: .*nothing\.json") as caught,
        running.private(["--engine", "scripted", "--answers", "nothing.json"]),
    ):
        pass
    assert caught.value.fix
