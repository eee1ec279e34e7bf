"""What a person can do here is listed, and what is listed is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_help_lists_what_a_newcomer_needs():
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(r"^  make (\w+) ", said, re.MULTILINE))
    assert {"help", "setup", "demo", "serve", "test", "check", "bench"} <= listed
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert listed == set(phony[1].split())


def test_continuous_integration_runs_what_a_developer_runs():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make check\nmake test" in script.read_text()


def test_the_lock_has_versions_and_hashes_and_no_addresses():
    lock = (ROOT / "requirements.lock").read_text()
    for line in lock.splitlines():
        assert "://" not in line
        if line and not line.startswith((" ", "#")):
            assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==", line), line
    assert lock.count("--hash=sha256:") > lock.count("==")
