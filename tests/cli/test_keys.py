"""`outcrop keys`: what is made, what is shown, and what is not."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest

from outcrop.cli.keys import Duration, principals_of
from outcrop.config import Data, Settings
from outcrop.service.principals import AccessKey, ApiKey, Principals


def made(cli, *arguments: str) -> dict[str, str]:
    return json.loads(cli("keys", *arguments, "--output", "json").stdout)


def principals(data: Path) -> Principals:
    return principals_of(Settings(data=Data(data)))


def test_a_key_pair_is_made_for_a_user(cli, data: Path):
    pair = made(cli, "create", "--user", "alice")
    people = principals(data)
    known = people.store.snapshot().get(AccessKey, pair["access_key_id"])
    assert known is not None
    assert (known.owner, people.secret(known)) == (pair["arn"], pair["secret_access_key"])
    assert pair["arn"].endswith(":user/alice")


def test_a_new_user_may_invoke_and_the_local_one_everything(cli, data: Path):
    made(cli, "create", "--user", "alice")
    made(cli, "create")
    made(cli, "create")
    assert {user.name: tuple(user.policies) for user in principals(data).users()} == {
        "alice": ("invoke",),
        "local": ("everything",),
    }


def test_what_a_new_user_may_do_can_be_said(cli, data: Path):
    Path("mine.json").write_text('{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}')
    made(cli, "create", "--user", "alice", "--allow", "nothing")
    made(cli, "create", "--user", "bob", "--allow", "mine.json")
    made(cli, "api-key", "--user", "carol", "--allow", "everything")
    assert {user.name: tuple(user.policies) for user in principals(data).users()} == {
        "alice": (),
        "bob": ("mine",),
        "carol": ("everything",),
    }


def test_what_a_new_user_may_do_is_not_said_wrongly_or_of_an_old_one(cli, data: Path):
    Path("broken.json").write_text("{")
    made(cli, "create", "--user", "alice")
    for flags, said in (
        (("--user", "bob", "--allow", "all"), "neither everything, invoke, nothing nor a file"),
        (("--user", "bob", "--allow", "broken.json"), "'broken' is malformed"),
        (("--user", "alice", "--allow", "everything"), "outcrop users policy put --user alice"),
        (("--user", "a b"), "can't be the name of a user"),
    ):
        assert said in cli("keys", "create", *flags, code=1).stderr
    assert [user.name for user in principals(data).users()] == ["alice"]
    assert len(principals(data).keys()) == 1


def test_a_key_can_be_of_another_account(cli, data: Path):
    cli("users", "account", "create", "team", "--id", "111122223333")
    by_name = made(cli, "create", "--user", "alice", "--account", "team")
    by_id = made(cli, "create", "--user", "alice", "--account", "111122223333")
    token = made(cli, "api-key", "--account", "team")
    made(cli, "create", "--user", "alice")
    assert by_name["arn"] == by_id["arn"] == "arn:aws:iam::111122223333:user/alice"
    rows = json.loads(cli("keys", "list", "--account", "team", "--output", "json").stdout)
    assert {row["id"] for row in rows} == {by_name["access_key_id"], by_id["access_key_id"], token["name"]}
    assert "111122223333" in cli("keys", "list").stdout
    assert "outcrop users account list" in cli("keys", "create", "--account", "none", code=1).stderr


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
    known = principals(data).store.snapshot().get(ApiKey, token["name"])
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
        ("api-key", "--short-term", "--allow", "invoke"),
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


def test_keys_of_an_older_version_are_taken_over_and_it_is_said(cli, data: Path):
    data.mkdir()
    key = {
        "id": "AKIAOLD",
        "secret": "s" * 40,
        "user": "alice",
        "arn": "arn:aws:iam::123456789012:user/alice",
        "user_id": "AIDAOLD",
        "created": 1,
    }
    old = {"schema": 1, "account": "123456789012", "session_secret": "A" * 43 + "=", "access_keys": [key]}
    (data / "keys.json").write_text(json.dumps(old))
    (data / "keys.json").chmod(0o600)

    first, second = cli("keys", "list"), cli("keys", "list")

    assert f"{data / 'keys.json.imported'} still holds their secrets in clear" in first.stderr
    assert second.stderr == ""
    assert "AKIAOLD" in first.stdout
    assert "AKIAOLD" in cli("env").stdout


def test_a_master_key_from_elsewhere_is_no_file_in_the_folder(cli, data: Path, monkeypatch):
    monkeypatch.setenv("OUTCROP_DATA__SECRET_KEY", "env:MASTER")
    monkeypatch.setenv("MASTER", "ab" * 32)
    made(cli, "create")
    assert not (data / "master.key").exists()
    monkeypatch.setenv("MASTER", "cd" * 32)
    assert "is sealed with master key" in cli("keys", "create", code=1).stderr
    monkeypatch.delenv("MASTER")
    assert "MASTER is not set" in cli("keys", "create", code=78).stderr


def test_a_state_that_is_gone_is_told_and_not_begun_anew_in_silence(cli, data: Path):
    cli("env")
    (data / "state.db").rename(data / "kept")
    for command in (("users", "list"), ("env",), ("serve", "--engine", "scripted"), ("quota", "list")):
        refused = cli(*command, code=1).stderr
        assert f"{data / 'state.db'} is gone" in refused
        anew = re.search(r"begin anew with other accounts and keys, `(.+)`\.", refused)
        assert anew is not None
    assert not (data / "state.db").exists()
    (data / "kept").rename(data / "state.db")
    cli("users", "list")
    (data / "state.db").unlink()
    subprocess.run(anew[1], shell=True, check=True)
    cli("users", "list")


def test_a_state_that_is_gone_under_an_endpoint_is_told(
    serving, cli, data: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MASTER", "00" * 32)
    monkeypatch.setenv("OUTCROP_DATA__SECRET_KEY", "env:MASTER")
    with serving() as (process, running):
        for path in data.glob("state.db*"):
            path.unlink()
        refused = cli("users", "list", code=1).stderr
        assert f"the endpoint {running.url} (process {process.pid}) runs with it" in refused
        assert "Stop that endpoint, and restore it" in refused
    assert not (data / "state.db").exists()


def test_a_folder_that_only_other_things_are_in_is_a_fresh_one(cli, data: Path):
    cli("tls")
    (data / "models").mkdir()
    cli("users", "list")


def test_a_short_term_key_names_a_region_there_is(cli):
    refused = cli("keys", "api-key", "--short-term", "--region", "eu", code=2).stderr
    assert "'eu' is a geography" in refused
    made(cli, "api-key", "--short-term", "--region", "eu-west-1")


def test_the_range_of_a_session_is_told(cli):
    assert "15m to 36h, not 1 s" in cli("keys", "session", "--expires", "1s", code=2).stderr
