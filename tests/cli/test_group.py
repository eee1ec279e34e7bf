"""The command itself: its help, its guesses, its exit codes, and how errors look."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from outcrop.cli.group import COMMANDS, EXTRAS, activation, outcrop
from outcrop.errors import OutcropError


def test_help_says_what_this_is_and_lists_every_command(cli):
    output = cli("--help").output
    assert "SmolLM2, not Claude" in output.replace("\n  ", " ")
    assert "Not affiliated with Anthropic or AWS." in " ".join(output.split())
    for name in COMMANDS:
        assert f"\n  {name} " in output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(cli, name: str):
    assert f"Usage: outcrop {name}" in cli(name, "--help").output


def test_help_imports_no_command(command):
    code = (
        "import sys, outcrop.cli.group as g\n"
        "try: g.outcrop(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('granian', 'msgspec', 'cryptography')))"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_wrong_command_gets_a_guess_and_exit_code_2(cli):
    assert "Did you mean 'serve'?" in cli("sevre", code=2).output


def test_a_wrong_flag_ends_with_2(cli):
    cli("serve", "--port", "http", code=2)


def test_a_wrong_setting_ends_with_78_and_two_lines(cli):
    Path("outcrop.toml").write_text("[server]\nprot = 1\n")
    result = cli("env", code=78)
    what, fix = result.stderr.splitlines()
    assert what == "outcrop: outcrop.toml, line 2: [server] has no setting 'prot'."
    assert fix.startswith("  Did you mean 'port'?")


def test_what_a_person_can_mend_is_no_traceback(cli, monkeypatch: pytest.MonkeyPatch):
    def broken(folder):
        raise OutcropError("It is broken.", "Mend it.")

    monkeypatch.setattr("outcrop.cli.env.find", broken)
    assert cli("env", code=1).stderr.splitlines() == ["outcrop: It is broken.", "  Mend it."]


def test_a_bug_shows_as_a_bug(monkeypatch: pytest.MonkeyPatch):
    def broken(folder):
        raise ZeroDivisionError

    monkeypatch.setattr("outcrop.cli.env.find", broken)
    with pytest.raises(ZeroDivisionError):
        outcrop(["env"], standalone_mode=False)


def test_the_client_alone_explains_that_it_has_no_command_line(command):
    code = "import sys; sys.modules['click'] = None\nfrom outcrop.cli import main\nmain()"
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "outcrop[server]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_that_is_not_installed_is_named_with_its_extra(cli, monkeypatch: pytest.MonkeyPatch):
    def missing(folder):
        raise ModuleNotFoundError("No module named 'granian.server'", name="granian.server")

    monkeypatch.setattr("outcrop.cli.env.find", missing)
    what, fix = cli("env", code=1).stderr.splitlines()
    assert what == "outcrop: The package granian is not installed."
    assert fix == '  Run: pip install "outcrop[server]"'


def test_the_extras_bring_what_is_said_of_them():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert any(re.match(rf"{package}\b", requirement) for requirement in extras[extra])


def test_a_shell_that_does_not_find_the_command_is_told_how(tmp_path, monkeypatch):
    folder = tmp_path / "a folder" / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "activate").touch()
    monkeypatch.setattr("sys.prefix", str(folder))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(folder.parent)
    assert activation() == "source .venv/bin/activate\n"
    monkeypatch.chdir(tmp_path)
    assert activation() == "source 'a folder/.venv/bin/activate'\n"
    command = tmp_path / "outcrop"
    command.touch(mode=0o755)
    assert activation() == ""
