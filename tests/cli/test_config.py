"""`outcrop config`: the values, where they come from, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outcrop import config


def test_every_setting_is_shown_with_its_origin(cli, monkeypatch: pytest.MonkeyPatch):
    Path("outcrop.toml").write_text("[server]\nport = 1\n")
    monkeypatch.setenv("OUTCROP_SERVER__TLS_PORT", "2")
    rows = {row["setting"]: row for row in json.loads(cli("config", "show", "--output", "json").stdout)}
    assert list(rows) == [setting.name for setting in config.catalogue().values()]
    assert (rows["server.port"]["value"], rows["server.port"]["origin"]) == ("1", "outcrop.toml, line 2")
    assert rows["server.tls_port"]["origin"] == "OUTCROP_SERVER__TLS_PORT"
    assert rows["server.host"]["origin"] == "default"
    assert rows["data.folder"]["origin"] == "OUTCROP_DATA_DIR"


def test_secrets_are_masked(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OUTCROP_ENGINE__KIND", "messages")
    monkeypatch.setenv("OUTCROP_ENGINE__MESSAGES__API_KEY", "sk-very-secret")
    monkeypatch.setenv("OUTCROP_ENGINE__MESSAGES__PROXY", "http://me:sk-very-secret@proxy:1")
    monkeypatch.setenv("OUTCROP_ENGINE__MESSAGES__HEADERS", '{x-key = "sk-very-secret"}')
    output = cli("config", "show").output
    assert "sk-very-secret" not in output
    assert "http://********@proxy:1" in output


def test_check_lists_every_mistake_and_ends_with_78(cli):
    Path("outcrop.toml").write_text("[server]\nport = 0\nprot = 1\n")
    output = cli("config", "check", code=78).output
    assert "line 2" in output
    assert "line 3" in output
    cli("config", "show", code=78)


def test_check_tells_of_a_key_without_which_serve_would_not_start(cli, monkeypatch: pytest.MonkeyPatch):
    Path("outcrop.toml").write_text("[engine]\nkind = 'messages'\n")
    told = cli("config", "check", code=78).output
    assert "engine.messages.api_key: The environment variable ANTHROPIC_API_KEY is not set" in told
    cli("users", "list")  # other commands need no key
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk")
    assert "All is well" in cli("config", "check").output


def test_check_is_content_with_nothing(cli):
    assert "All is well" in cli("config", "check").output


def test_engines_by_name_are_shown_with_their_secrets_masked(cli, monkeypatch: pytest.MonkeyPatch):
    Path("outcrop.toml").write_text("[engines.eu]\nkind = 'messages'\nregions = ['eu-west-1']\n")
    monkeypatch.setenv("OUTCROP_ENGINES__EU__MESSAGES__API_KEY", "sk-very-secret")
    monkeypatch.setenv("OUTCROP_BEDROCK__REGION", "us-east-1")
    output = cli("config", "show", "--output", "json").stdout
    rows = {row["setting"]: row for row in json.loads(output)}
    assert (rows["engines.eu.kind"]["value"], rows["engines.eu.kind"]["origin"]) == (
        '"messages"',
        "outcrop.toml, line 2",
    )
    assert rows["engines.eu.messages.api_key"]["origin"] == "OUTCROP_ENGINES__EU__MESSAGES__API_KEY"
    assert "sk-very-secret" not in output
    assert "Warning: No engine stands in bedrock.region (us-east-1)" in cli("config", "check").output
