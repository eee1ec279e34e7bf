"""`outcrop demo`: each step is a real client, run against a real endpoint."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from outcrop.cli import demo, node
from outcrop.errors import OutcropError


def test_the_steps_are_those_of_the_guide():
    commands = [" ".join(step.command) for step in demo.STEPS]
    assert commands[0] == "aws sts get-caller-identity"
    assert demo._shown(demo.STEPS[1]) == (
        "aws bedrock list-foundation-models --region=us-west-2 --by-provider anthropic "
        '--query "modelSummaries[*].modelId"'
    )
    examples = demo.find_examples()
    for step in demo.STEPS:
        for word in step.command:
            if word.endswith((".py", ".mjs")):
                assert (examples / Path(word).name).is_file()


def test_the_lock_names_every_package_by_hash_and_none_by_address():
    lock = json.loads((demo.find_examples() / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert "node_modules/@anthropic-ai/bedrock-sdk" in packages
    for entry in packages.values():
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry


def test_the_demo_runs_and_names_the_engine_and_the_tokens(command, tmp_path: Path):
    """Without Node, so that nothing has to be downloaded; the clients' tests run the TypeScript SDK."""
    without_node = (
        "import sys; from outcrop.cli import demo; demo.find_node = lambda: None\n"
        "from outcrop.cli.group import outcrop; outcrop(['demo', '--engine', 'scripted'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", without_node], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ":user/local" in done.stdout
    assert done.stdout.count("anthropic.claude-sonnet-4-5-20250929-v1:0") == 2
    assert done.stdout.count("This answer comes from a script") == 4
    assert done.stdout.count("engine: scripted, tokens: ") == 4
    assert "Left out: there is no Node" in done.stdout
    assert "outcrop serve" in done.stdout


def test_a_step_that_fails_makes_the_demo_fail(cli, monkeypatch: pytest.MonkeyPatch):
    steps = (demo.Step("works", ("python", "-c", "pass")), demo.Step("fails", ("python", "-c", "exit(3)")))
    monkeypatch.setattr(demo, "STEPS", (*steps, demo.Step("is not there", ("no-such-program",))))
    monkeypatch.setattr(demo, "find_node", lambda: None)
    result = cli("demo", "--engine", "scripted", code=1)
    assert "step 2, exit code 3; step 3, no-such-program is not installed" in result.stderr
    assert "1 of 3 steps done" in result.stdout


def test_the_example_is_found_or_its_absence_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import outcrop

    monkeypatch.setattr(outcrop, "__file__", str(tmp_path / "lib" / "outcrop" / "__init__.py"))
    with pytest.raises(OutcropError, match="not installed"):
        demo.find_examples()


def test_an_old_node_is_no_node(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(node, "_candidates", lambda: [("old", ("npm",)), ("new", ("npm",))])
    monkeypatch.setattr(node, "_version", lambda name: {"old": (16, 20, 0), "new": (18, 0, 0)}[name])
    found = node.find_node()
    assert found is not None
    assert found.node == ("new",)
    monkeypatch.setattr(node, "_version", lambda name: ())
    assert node.find_node() is None


def test_npm_finds_the_node_it_belongs_to():
    found = node.Node(("/opt/node/bin/node",), ("/opt/node/bin/npm",), (20, 0, 0))
    assert found.environment({"PATH": "/bin"})["PATH"] == "/opt/node/bin:/bin"
