"""`outcrop env` as a shell and as AWS's own tools see it."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest


def exported(output: str) -> dict[str, str]:
    """What a real shell has in its environment after `eval` of the output."""
    script = f"{output}\nenv -0"
    path = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, env=path)
    return dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if "=" in entry)


def test_it_makes_keys_on_first_use_and_keeps_them(cli, data: Path):
    first, second = (exported(cli("env").stdout) for _ in range(2))
    assert first["AWS_ACCESS_KEY_ID"].startswith("AKIA")
    assert first["AWS_ACCESS_KEY_ID"] == second["AWS_ACCESS_KEY_ID"]
    assert first["AWS_SECRET_ACCESS_KEY"] == second["AWS_SECRET_ACCESS_KEY"]
    assert {file.stat().st_mode & 0o777 for file in data.iterdir() if file.is_file()} == {0o600}


def test_stdout_is_for_the_shell_and_stderr_for_the_person(cli):
    result = cli("env")
    assert "no endpoint runs there yet" in result.stderr
    assert all(line.endswith(";") for line in result.stdout.splitlines())


def test_without_an_endpoint_it_is_the_one_that_the_settings_describe(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OUTCROP_SERVER__PORT", "1234")
    monkeypatch.setenv("OUTCROP_BEDROCK__REGION", "eu-west-1")
    made = exported(cli("env").stdout)
    assert made["AWS_ENDPOINT_URL_BEDROCK"] == "http://127.0.0.1:1234"
    assert made["AWS_REGION"] == "eu-west-1"


def test_over_tls_the_certificates_are_made_and_named(cli, data: Path):
    made = exported(cli("env", "--tls").stdout)
    assert made["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] == "https://127.0.0.1:8443"
    assert Path(made["NODE_EXTRA_CA_CERTS"]) == data / "tls" / "ca.pem"
    assert Path(made["NODE_EXTRA_CA_CERTS"]).read_bytes() in Path(made["AWS_CA_BUNDLE"]).read_bytes()


def test_a_bearer_key_comes_over_tls_only(cli):
    made = exported(cli("env", "--api-key").stdout)
    token = made["AWS_BEARER_TOKEN_BEDROCK"]
    assert made["AWS_ENDPOINT_URL_BEDROCK"].startswith("https://")
    assert made["AWS_ACCESS_KEY_ID"] in base64.b64decode(token.removeprefix("bedrock-api-key-")).decode()


def test_the_shell_can_be_named(cli, monkeypatch: pytest.MonkeyPatch):
    assert cli("env", "--shell", "fish").stdout.startswith("set -gx AWS_ACCESS_KEY_ID '")
    monkeypatch.setenv("SHELL", "/usr/bin/pwsh")
    assert cli("env").stdout.startswith("$env:AWS_ACCESS_KEY_ID = '")


def test_a_profile_is_written_where_aws_looks(cli, home: Path):
    output = cli("env", "--profile", "outcrop").output
    assert "aws --profile outcrop sts get-caller-identity" in output
    config, credentials = home / ".aws" / "config", home / ".aws" / "credentials"
    assert "[profile outcrop]" in config.read_text()
    assert credentials.stat().st_mode & 0o777 == 0o600
    assert cli("env", "--profile", "outcrop").output.count("Nothing to change") == 2


def test_files_moved_by_variables_are_found_links_kept_and_modes_too(
    cli, home: Path, monkeypatch: pytest.MonkeyPatch
):
    real = home / "dotfiles" / "aws-config"
    real.parent.mkdir()
    real.write_text("[default]\nregion = x\n")
    real.chmod(0o640)
    (home / "link").symlink_to(real)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "link"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "elsewhere" / "keys"))
    cli("env", "--profile", "here")
    assert (home / "link").is_symlink()
    assert real.read_text().startswith("[default]\nregion = x\n\n[profile here]\n")
    assert real.stat().st_mode & 0o777 == 0o640
    assert "[here]" in (home / "elsewhere" / "keys").read_text()


def test_somebodys_credentials_are_not_lost(cli, home: Path):
    folder = home / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text("[work]\naws_access_key_id = AKIAREAL\naws_secret_access_key = x\n")
    refused = cli("env", "--profile", "work", code=1)
    assert "another access key (AKIAREAL)" in refused.stderr
    assert not (folder / "config").exists()
    cli("env", "--profile", "work", "--overwrite")
    assert "AKIAREAL" not in (folder / "credentials").read_text()


def test_a_profile_holds_no_bearer_key(cli):
    cli("env", "--profile", "x", "--api-key", code=2)


def test_when_every_key_is_revoked_nobody_makes_one_in_secret(cli):
    key = exported(cli("env").stdout)["AWS_ACCESS_KEY_ID"]
    cli("keys", "revoke", key)
    refused = cli("env", code=1).stderr
    assert re.search(r"Every access key of account \d{12} is revoked\.", refused)


def test_another_users_oldest_usable_key_can_be_handed_out(cli, home: Path):
    cli("env")
    made = [
        json.loads(cli("keys", "create", "--user", "ana", "--output", "json").stdout)["access_key_id"]
        for _ in range(2)
    ]
    assert exported(cli("env", "--user", "ana").stdout)["AWS_ACCESS_KEY_ID"] in made
    cli("keys", "revoke", exported(cli("env", "--user", "ana").stdout)["AWS_ACCESS_KEY_ID"])
    left = exported(cli("env", "--user", "ana").stdout)["AWS_ACCESS_KEY_ID"]
    assert left in made
    assert exported(cli("env").stdout)["AWS_ACCESS_KEY_ID"] not in made
    cli("env", "--user", "ana", "--profile", "ana")
    assert f"aws_access_key_id = {left}" in (home / ".aws" / "credentials").read_text()
    cli("keys", "revoke", left)
    assert "outcrop keys create --user ana`" in cli("env", "--user", "ana", code=1).stderr
    assert "outcrop users list" in cli("env", "--user", "bob", code=1).stderr


def test_a_user_of_another_account_can_be_meant(cli):
    cli("users", "account", "create", "team", "--id", "111122223333")
    cli("users", "create", "ana", "--account", "team")
    refused = cli("env", "--user", "ana", "--account", "team", code=1).stderr
    assert "outcrop keys create --user ana --account 111122223333`" in refused
    pair = json.loads(cli("keys", "create", "--user", "ana", "--account", "team", "--output", "json").stdout)
    told = exported(cli("env", "--user", "ana", "--account", "team").stdout)
    assert told["AWS_ACCESS_KEY_ID"] == pair["access_key_id"]
    cli("env", "--account", "team", code=2)
