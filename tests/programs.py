"""Running other people's programs in tests, and saying so when one is not here."""

import os
import subprocess

import pytest


def missing(what):
    """In CI a program that is missing is a failure; elsewhere the test is skipped with the reason."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and in CI it must be there")
    pytest.skip(what)


def run(command, env, timeout=120, **more):
    """Run a program to its end. Its output is text; its exit code is the caller's to check."""
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=timeout, check=False, **more
    )
