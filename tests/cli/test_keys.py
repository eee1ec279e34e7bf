"""`outcrop keys`: what is made, what is shown, and what is not."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from outcrop.cli.keys import Duration
from outcrop.store.keys import KeyFile


def made(cli, *arguments: str) -> dict[str, str]:
    return json.loads(cli("keys", *arguments, "--output", "json").stdout)


def test_a_key_pair_is_made_for_a_user(cli, data: Path):
    pair = made(cli, "create", "--user", "alice")
    known = KeyFile(data / "keys.json").find(pair["access_key_id"])
    assert known is not None
    assert (known.user, known.secret) == ("alice", pair["secret_access_key"])
    assert pair["arn"].endswith(":user/alice")


def test_the_list_has_every_key_and_no_secret(cli):
    pair = made(cli, "create", "--description", "for CI")
    token = made(cli, "api-key", "--expires", "30d")
    cli("keys", "revoke", pair["access_key_id"])
    shown = cli("keys", "list").stdout
    assert "for CI" in shown
    assert "revoked" in shown
    assert pair["secret_access_key"] not in shown
    rows = {row["id"]: row for row in json.loads(cli("keys", "list", "--output", "json").stdout)}
    assert rows[token["name"]]["kind"] == "API key"
    assert rows[token["name"]]["status"] == "active"
    assert rows[pair["access_key_id"]]["status"] == "revoked"


def test_a_long_term_key_has_a_user_and_an_end(cli, data: Path):
    token = made(cli, "api-key", "--expires", "1h")
    assert token["api_key"].startswith("ABSK")
    known = KeyFile(data / "keys.json").find_api_key(token["name"])
    assert known is not None
    assert known.expires is not None
    assert 3590 < known.expires - time.time() <= 3600


def test_a_short_term_key_is_not_stored(cli):
    token = made(cli, "api-key", "--short-term", "--expires", "90m")
    assert token["api_key"].startswith("bedrock-api-key-")
    rows = json.loads(cli("keys", "list", "--output", "json").stdout)
    assert [row["kind"] for row in rows] == ["access key"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("api-key", "--short-term", "--user", "alice"),
        ("api-key", "--region", "us-east-1"),
        ("api-key", "--expires", "soon"),
        ("api-key", "--expires", "0d"),
        ("session", "--expires", "1m"),
        ("session", "--expires", "37h"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(cli, arguments: tuple[str, ...]):
    cli("keys", *arguments, code=2)


def test_a_short_term_key_lives_twelve_hours_at_most(cli):
    refused = cli("keys", "api-key", "--short-term", "--expires", "13h", code=1)
    assert "Choose a shorter --expires." in refused.stderr


def test_a_session_has_the_three_values_of_the_guides_client(cli):
    session = made(cli, "session", "--expires", "15m")
    assert session["access_key_id"].startswith("ASIA")
    assert session["secret_access_key"]
    assert session["session_token"]


def test_revoking_what_is_not_there_says_where_to_look(cli):
    assert "outcrop keys list" in cli("keys", "revoke", "AKIANOBODY", code=1).stderr


@pytest.mark.parametrize(("text", "seconds"), [("45", 45), ("90m", 5400), ("12h", 43200), ("30d", 2592000)])
def test_time_spans_are_read_as_people_write_them(text: str, seconds: int):
    assert Duration().convert(text, None, None) == seconds
