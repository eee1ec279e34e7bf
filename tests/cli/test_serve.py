"""`outcrop serve` as a process: what it says, what it writes, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from outcrop.cli.running import find, free_port, record_path


def ended(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def test_it_says_what_it_is_where_it_is_and_what_to_paste(serving, data: Path):
    with serving() as (process, running):
        assert find(data) == running
        code, out, err = ended(process)
    assert (code, err) == (0, "")
    said = " ".join(out.split())
    assert "the Bedrock API for Claude" in said
    assert "a small local model (SmolLM2, not Claude) answers" in said
    assert "the `model` field only repeats what was asked for" in said
    assert "Not affiliated with Anthropic or AWS" in said
    assert running.url in out
    assert "engine   scripted" in out
    assert f"state    {data / 'state.db'}" in out
    assert "access   open: models are granted on first use" in out
    assert "export AWS_ACCESS_KEY_ID='AKIA" in out
    assert not record_path(data).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well_on_either_signal(serving, data: Path, number: signal.Signals):
    with serving() as (process, _):
        assert ended(process, number)[0] == 0


def test_the_lines_to_paste_work(serving, data: Path):
    """The guide's first check, `aws sts get-caller-identity`, with nothing but what was printed."""
    with serving() as (process, running):
        from outcrop.cli.environment import variables
        from outcrop.cli.keys import own_key, principals_of
        from outcrop.config import Data, Settings

        pair = own_key(principals_of(Settings(data=Data(data))))
        environment = variables(running.url, pair.id, pair.secret, running.region).apply(os.environ)
        aws = Path(sys.executable).with_name("aws")
        done = subprocess.run(
            [str(aws), "sts", "get-caller-identity"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        out = ended(process)[1]
    assert f"export AWS_SECRET_ACCESS_KEY='{pair.secret}';" in out
    assert done.returncode == 0, done.stderr
    assert f":user/{pair.user}" in done.stdout


def test_a_taken_port_is_told_and_the_other_endpoint_not_disturbed(data: Path, command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("serve", "--engine", "scripted", "--port", str(port))
    assert done.returncode == 1
    assert f"Can't listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
    assert not record_path(data).exists()


def test_with_tls_it_listens_twice_and_the_authority_is_enough_to_trust_it(serving, data: Path):
    with serving("--tls", "--tls-port", str(free_port())) as (process, running):
        context = ssl.create_default_context(cafile=str(data / "tls" / "ca.pem"))
        for url in (running.url, running.tls_url, running.tls_url.replace("127.0.0.1", "localhost")):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(url, context=context if url.startswith("https") else None)
            with refused.value as reply:
                assert reply.headers["x-amzn-requestid"]
        assert ended(process)[0] == 0


def test_the_secret_is_not_printed_where_others_can_reach_it(serving, data: Path):
    with serving("--host", "0.0.0.0", "--insecure-bind") as (process, _):
        out = ended(process)[1]
    assert "AWS_SECRET_ACCESS_KEY" not in out
    assert 'eval "$(outcrop env)"' in out


def test_an_address_others_can_reach_is_refused_without_a_word_from_the_person(command):
    done = command("serve", "--engine", "scripted", "--host", "0.0.0.0")
    assert done.returncode == 78
    assert "--insecure-bind" in done.stderr


def test_a_missing_answers_file_is_a_setting_to_mend(command):
    done = command("serve", "--engine", "scripted", "--answers", "nothing.json")
    assert done.returncode == 78
    assert "nothing.json" in done.stderr


def test_a_messages_engine_without_its_key_is_a_setting_to_mend(command):
    done = command("serve", "--engine", "messages")
    assert done.returncode == 78
    assert "ANTHROPIC_API_KEY is not set" in done.stderr


def test_the_first_answer_comes_soon_and_little_memory_is_held(serving, data: Path):
    """Loose bounds, for a machine that many share; the bench measures them closely."""
    began = time.monotonic()
    with serving() as (process, running):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(running.url)
        refused.value.close()
        assert time.monotonic() - began < 5
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        match = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        assert match is not None
        assert int(match[1]) < 80 * 1024


def test_how_access_stands_is_said(serving, data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OUTCROP_BEDROCK__ACCESS", "request")
    with serving() as (process, _):
        out = ended(process)[1]
    assert "access   request: each model has to be asked for first" in out


def test_a_data_folder_that_a_flag_named_is_named_to_the_other_commands(serving, data: Path):
    with serving("--data-dir", str(data)) as (process, _):
        out = ended(process)[1]
    assert f'eval "$(outcrop env --data-dir {data})"' in out
    assert f"outcrop exec --data-dir {data} -- python app.py" in out


def test_a_private_endpoint_that_fails_says_why_and_nothing_else(tmp_path: Path):
    """Its watcher of stdin still reads when the interpreter ends."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    command = [sys.executable, "-m", "outcrop", "serve", "--private", "--model-file", str(broken)]
    command += ["--port", str(free_port()), "--record", str(tmp_path / "record.json")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        err = process.stderr.read()
    assert process.returncode == 1
    assert "could not be loaded" in err
    assert "Fatal" not in err


def test_what_was_read_and_what_it_does_is_said(serving, data: Path):
    Path("outcrop.toml").write_text(
        "[bedrock]\nresidency = ['eu']\nquotas = true\n"
        "[engines.a]\nkind = 'scripted'\nregions = ['eu-west-1']\n"
    )
    command = [sys.executable, "-m", "outcrop", "serve", "--port", str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while find(data) is None:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        code, out, err = ended(process)
    assert code == 0
    assert "Warning: No engine stands in bedrock.region (us-west-2)" in err
    assert f"settings {Path('outcrop.toml').absolute()}" in out
    assert "bound    calls are sent to eu only (bedrock.residency)" in out
    assert "quotas   enforced" in out
