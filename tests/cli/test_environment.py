"""The variables for clients, and how shells are told them."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.cli.environment import Variables, guess_shell, render, variables


def evaluated(shell: list[str], lines: str, name: str) -> str:
    """What a real shell has in a variable after it evaluated the lines."""
    script = f'{lines}\nprintf "%s" "${name}"'
    return subprocess.run([*shell, script], capture_output=True, check=True).stdout.decode()


def test_every_service_has_its_address_and_no_other_service_gets_one():
    values = variables("http://127.0.0.1:1", "AKIA", "secret", "us-west-2").values
    assert values["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] == "http://127.0.0.1:1"
    assert values["AWS_ENDPOINT_URL_BEDROCK"] == "http://127.0.0.1:1"
    assert values["AWS_ENDPOINT_URL_STS"] == "http://127.0.0.1:1"
    assert values["ANTHROPIC_BEDROCK_BASE_URL"] == "http://127.0.0.1:1"
    assert values["AWS_REGION"] == values["AWS_DEFAULT_REGION"] == "us-west-2"
    assert "AWS_ENDPOINT_URL" not in values


def test_what_would_contradict_is_unset():
    changed = variables("http://h", "AKIA", "s", "us-west-2").apply(
        {"AWS_SESSION_TOKEN": "t", "AWS_PROFILE": "work", "AWS_BEARER_TOKEN_BEDROCK": "b", "PATH": "/bin"}
    )
    assert changed["PATH"] == "/bin"
    assert not {"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"} & changed.keys()


def test_a_bearer_key_is_set_rather_than_unset():
    made = variables(
        "https://h", "AKIA", "s", "us-west-2", ca="ca", bundle="all", api_key="bedrock-api-key-x"
    )
    assert made.values["AWS_BEARER_TOKEN_BEDROCK"] == "bedrock-api-key-x"
    assert made.values["AWS_CA_BUNDLE"] == made.values["SSL_CERT_FILE"] == "all"
    assert made.values["NODE_EXTRA_CA_CERTS"] == "ca"
    assert "AWS_BEARER_TOKEN_BEDROCK" not in made.unset


@settings(max_examples=25, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
)
def test_sh_gets_exactly_the_value(value: str):
    lines = render(Variables({"THE_VALUE": value}, ()), "sh")
    assert evaluated(["/bin/sh", "-c"], lines, "THE_VALUE") == value


def test_sh_unsets_even_when_the_lines_lose_their_ends():
    """`eval $(outcrop env)` without quotes joins the lines; each ends with a semicolon for that."""
    lines = render(Variables({"A": "1", "B": "2"}, ("C",)), "sh").replace("\n", " ")
    script = f'C=3; {lines} printf "%s" "$A$B${{C-unset}}"'
    assert subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True).stdout == b"12unset"


def test_fish_and_powershell_are_spoken_to_in_their_own_words():
    changes = Variables({"A": r"it's \ $x"}, ("B", "C"))
    assert render(changes, "fish") == "set -gx A 'it\\'s \\\\ $x';\nset -e B C;"
    assert render(changes, "powershell") == (
        "$env:A = 'it''s \\ $x'\nRemove-Item Env:B, Env:C -ErrorAction SilentlyContinue"
    )


@pytest.mark.parametrize(
    ("environment", "shell"),
    [
        ({"SHELL": "/bin/bash"}, "sh"),
        ({"SHELL": "/usr/bin/zsh"}, "sh"),
        ({"SHELL": "/usr/local/bin/fish"}, "fish"),
        ({"SHELL": "/usr/bin/pwsh"}, "powershell"),
        ({"PSModulePath": "C:\\"}, "powershell"),
        ({}, "sh"),
    ],
)
def test_the_shell_is_guessed(environment: dict[str, str], shell: str):
    assert guess_shell(environment) == shell
