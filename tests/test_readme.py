"""Every block of the README, and of the pages that tell what to type, does what the page says.

Shell blocks run in bash after `eval "$(outcrop env)"`, against an endpoint that runs with TLS; the scripted
engine answers, so what a model says is not compared. Ports are free ones: 8080 and 8443 are replaced by them.
What a comment `<!-- run: … -->` before a block says:

    make     the lines name targets of the Makefile, which is checked; running them is too much here
    serve    each line is started, must come up, and is stopped
    parse    each line fetches something or names a file of yours: it is checked that the command exists
    answers  a file for the scripted engine
A Python program is run as a script. Where a `text` block follows it, that is what it prints, `…` standing for
anything; else the scripted answer must be in it.

    pip, npm, and the clients' own snippets: tests/clients/test_guide.py
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from documents import ROOT, blocks, commands
from outcrop import config
from outcrop.cli.running import free_port, read_record, record_path
from outcrop.engine.scripted import read_scripts
from programs import run

# of guide.md, only how to begin: the snippets of the guide itself are run with the other clients
OURS = [
    *blocks("README.md"),
    *blocks("docs/engines.md"),
    *blocks("docs/clients.md"),
    *blocks("docs/client.md"),
    *(block for block in blocks("docs/guide.md") if "outcrop" in block.text),
]


def of_kind(*kinds):
    return pytest.mark.parametrize("block", [block for block in OURS if block.run in kinds], ids=str)


class Workspace:
    """A folder that looks like the checkout, an empty home, and an environment with neither AWS nor us."""

    def __init__(self, folder):
        self.folder = folder / "checkout"
        self.folder.mkdir()
        (self.folder / "examples").symlink_to(ROOT / "examples")
        (self.folder / ".venv").symlink_to(sys.prefix)
        self.data = folder / "data"
        self.ports = {"8080": str(free_port()), "8443": str(free_port())}
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "ANTHROPIC_", "OUTCROP_", "XDG_"))
        }
        self.env = inherited | {
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OUTCROP_DATA_DIR": str(self.data),
            "OUTCROP_ENGINE__KIND": "scripted",
            "OUTCROP_SERVER__PORT": self.ports["8080"],
            "OUTCROP_SERVER__TLS_PORT": self.ports["8443"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            "SHELL": "/bin/bash",
        }

    def here(self, text):
        """The text with this workspace's ports."""
        return re.sub(r"(?<=127\.0\.0\.1:)(8080|8443)", lambda found: self.ports[found[1]], text)

    def bash(self, text):
        script = f"set -euo pipefail\n{self.here(text)}"
        return run(["bash", "-c", script], self.env, cwd=self.folder)

    def start(self, command):
        """Start a command that goes on, and wait until its endpoint is there; gives process and record."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec env {command}"],
            env=self.env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 30
        while (found := read_record(record_path(self.data))) is None or found.pid != process.pid:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "it did not start"
            time.sleep(0.01)
        return process, found


def stopped(process):
    """End it as Ctrl-C does; what it printed."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A workspace in which an endpoint runs, with TLS."""
    workspace = Workspace(tmp_path_factory.mktemp("served"))
    process, _ = workspace.start("outcrop serve --tls")
    yield workspace
    stopped(process)


@of_kind("make")
def test_make_knows_the_targets(block):
    makefile = (ROOT / "Makefile").read_text()
    for line in block.text.splitlines():
        program, target = line.partition("#")[0].split()
        assert program == "make"
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE)


@of_kind("serve")
def test_the_endpoint_starts_as_the_page_says(block, workspace):
    for line in block.text.splitlines():
        process, running = workspace.start(workspace.here(line))
        printed = stopped(process)
        assert "Not affiliated with Anthropic or AWS" in " ".join(printed.split())
        address = re.search(r"--base-url (\S+)", line)
        wanted = f"messages/{urlsplit(address[1]).netloc}" if address else "messages/anthropic"
        assert running.engine == (wanted if "--engine messages" in line else "scripted")
        assert bool(running.tls_url) == ("--tls" in line)


@of_kind("parse")
def test_the_command_exists_with_these_flags(block, workspace):
    for line in block.text.splitlines():
        done = workspace.bash(f"{line} --help")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Usage: outcrop")


@of_kind("sh")
def test_the_lines_can_be_typed(block, served):
    done = served.bash(f'eval "$(outcrop env)"\n{block.text}')
    assert done.returncode == 0, done.stderr


@of_kind("python")
def test_the_program_runs(block, served):
    (served.folder / "app.py").write_text(served.here(block.text), encoding="utf-8")
    done = served.bash('eval "$(outcrop env)"\npython app.py')
    assert done.returncode == 0, done.stderr
    shown = OURS[OURS.index(block) + 1 : OURS.index(block) + 2]
    if shown and shown[0].page == block.page and shown[0].language == "text":
        pattern = re.escape(shown[0].text.strip()).replace("…", ".*")
        assert re.fullmatch(pattern, (done.stdout + done.stderr).strip(), re.DOTALL), (
            done.stdout + done.stderr
        )
    else:
        assert "This answer comes from a script" in done.stdout


@of_kind("toml")
def test_the_configuration_is_right(block, workspace):
    path = workspace.folder / "outcrop.toml"
    path.write_text(block.text, encoding="utf-8")
    loaded, problems = config.check(path, env={})
    assert problems == []
    assert "file" in {origin.kind for origin in loaded.origins.values()}


@of_kind("answers")
def test_the_answers_can_be_read(block, tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(block.text, encoding="utf-8")
    assert len(read_scripts(path)) == len(json.loads(block.text))


def shape(output):
    """What a command printed without what differs from machine to machine, and from model to model."""
    output = re.sub(r"AIDA[A-Z2-7]{17}", "<user id>", output)
    output = re.sub(r"\b\d{12}\b", "<account>", output)
    output = re.sub(r"text='.*?'", "text=<text>", output)
    return re.sub(r"engine: .*", "engine: <engine and tokens>", output).strip()


@of_kind("console")
def test_the_session_goes_as_the_page_shows(block, served):
    steps = commands(block)
    mark = "---- next ----"
    done = served.bash("\n".join(f"{command}\necho {shlex.quote(mark)}" for command, _ in steps))
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(f"{mark}\n")
    assert [shape(text) for text in printed[:-1]] == [shape(output) for _, output in steps]


def test_every_block_is_run_by_some_test():
    # `ini`: tests/clients/test_sessions.py assumes a role by it
    known = {"make", "serve", "parse", "sh", "python", "toml", "answers", "console", "text", "ini"}
    assert {block.run for block in OURS} <= known


def test_the_indonesian_sister_has_the_same_blocks():
    def told(page):
        return [(block.run, block.language, block.text) for block in blocks(page)]

    assert told("README.id.md") == told("README.md")
