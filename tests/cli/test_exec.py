"""`outcrop exec`: the program's own exit code, signals and streams, with an endpoint under it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"
SCRIPTED = ("exec", "--engine", "scripted")

# waits for a signal, says which came, and ends with 3
WAIT = """
import os, signal, sys, time
def tell(number, _):
    os.write(1, signal.Signals(number).name.encode() + b"\\n")  # print may be under way
    sys.exit(3)
signal.signal(signal.SIGTERM, tell)
signal.signal(signal.SIGUSR1, tell)
print("ready", flush=True)
time.sleep(60)
"""


def test_the_program_uses_the_endpoint_that_runs(serving, command):
    with serving() as (_, running):
        done = command("exec", "--", sys.executable, "-c", SHOW, env={"AWS_PROFILE": "work"})
    seen = json.loads(done.stdout)
    assert seen["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] == running.url
    assert seen["ANTHROPIC_BEDROCK_BASE_URL"] == running.url
    assert seen["AWS_ACCESS_KEY_ID"].startswith("AKIA")
    assert "AWS_PROFILE" not in seen


def test_without_one_a_private_endpoint_answers_and_stays_private(command, data: Path):
    code = (
        "import boto3, pathlib\n"
        f"assert not pathlib.Path({str(data)!r}, 'endpoint.json').exists()\n"
        "print(boto3.client('sts').get_caller_identity()['Arn'])"
    )
    done = command(*SCRIPTED, "--", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(":user/local")


def test_a_named_engine_is_a_private_endpoints(serving, command):
    with serving() as (_, running):
        done = command(*SCRIPTED, "--", sys.executable, "-c", SHOW)
    assert json.loads(done.stdout)["AWS_ENDPOINT_URL_STS"] != running.url


def test_a_bearer_key_works_over_the_private_endpoints_tls(command):
    code = (
        "import boto3, os\n"
        "assert os.environ['AWS_BEARER_TOKEN_BEDROCK']\n"
        "summaries = boto3.client('bedrock').list_foundation_models()['modelSummaries']\n"
        "print(len(summaries))"
    )
    done = command(*SCRIPTED, "--api-key", "--", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10


@pytest.mark.parametrize(
    ("program", "code"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -9 $$"), 128 + 9),
        (("no-such-program",), 127),
        ((str(Path(__file__)),), 126),
    ],
)
def test_the_exit_code_is_the_programs(command, program: tuple[str, ...], code: int):
    done = command(*SCRIPTED, "--", *program)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_the_exit_code_is_the_programs_under_a_running_endpoint_too(serving, command):
    with serving():
        assert command("exec", "--", "sh", "-c", "exit 7").returncode == 7
        assert command("exec", "--", "no-such-program").returncode == 127


def test_flags_after_the_program_are_the_programs(command):
    done = command(*SCRIPTED, "echo", "--help", "--tls")
    assert done.stdout == "--help --tls\n"


def test_standard_input_reaches_the_program(command):
    assert command(*SCRIPTED, "--", "cat", input="to the program").stdout == "to the program"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_the_program(number: signal.Signals):
    process = subprocess.Popen(
        [sys.executable, "-m", "outcrop", *SCRIPTED, "--", sys.executable, "-c", WAIT],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == f"{number.name}\n"
    assert process.returncode == 3


def test_over_tls_a_running_endpoint_must_have_it(serving, command):
    with serving():
        done = command("exec", "--tls", "--", "true")
    assert done.returncode == 1
    assert "outcrop serve --tls" in done.stderr


def test_the_program_can_have_another_users_key(command):
    pair = json.loads(command("keys", "create", "--user", "ana", "--output", "json").stdout)
    show = [sys.executable, "-c", "import os; print(os.environ['AWS_ACCESS_KEY_ID'])"]
    done = command("exec", "--user", "ana", "--engine", "scripted", "--", *show)
    assert (done.returncode, done.stdout.strip()) == (0, pair["access_key_id"]), done.stderr
    refused = command("exec", "--user", "bob", "--", "true")
    assert (refused.returncode, "outcrop users list" in refused.stderr) == (1, True)
