"""`outcrop access`: what the list shows, the guide's request, and the operator's grants and revocations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outcrop.config import Settings
from outcrop.config.settings import Data
from outcrop.service.access import Agreement, UseCase

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
FORM = (
    "--company", "Example Corp", "--website", "https://example.com", "--users", "internal",
    "--industry", "Education", "--use-case", "Answering questions.",
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Access has to be asked for."""
    monkeypatch.setenv("OUTCROP_BEDROCK__ACCESS", "request")


@pytest.fixture
def state(data: Path):
    """A function that gives what is stored now."""
    from outcrop.cli.keys import principals_of

    def snapshot():
        return principals_of(Settings(data=Data(folder=data))).store.snapshot()

    return snapshot


def rows(cli, *arguments: str) -> dict[str, dict[str, object]]:
    return {row["model"]: row for row in json.loads(cli("access", *arguments, "--output", "json").stdout)}


def test_the_list_says_of_every_model_what_to_do_next(cli):
    shown = cli("access", "list").stdout
    assert 'Access is "open"' in shown
    listed = rows(cli, "list")
    assert len(listed) > 10
    assert {row["state"] for row in listed.values()} == {"on first use"}
    assert all(row["allowed"] and row["next"] for row in listed.values())


@pytest.mark.usefixtures("asked")
def test_the_list_where_access_has_to_be_asked_for(cli):
    assert 'Access is "request"' in cli("access", "list").stdout
    row = rows(cli, "list")[SONNET]
    assert (row["state"], row["allowed"], row["how"], row["since"]) == ("form missing", False, "", None)
    assert "outcrop access request --model claude-sonnet-4-5" in str(row["next"])


@pytest.mark.usefixtures("asked")
def test_a_request_hands_in_the_form_and_makes_the_agreements(cli, state):
    shown = rows(cli, "request", "--model", "claude-sonnet-4-5", "--model", f"us.{HAIKU}", *FORM)
    assert {row["state"] for row in shown.values()} == {"granted"}
    assert {row["how"] for row in shown.values()} == {"agreement"}
    assert set(shown) == {SONNET, HAIKU}
    account = shown[SONNET]["account"]
    assert state().get(UseCase, account) is not None
    # the form is on file now
    assert set(rows(cli, "request", "--model", "claude-opus-4-5")) == {
        "anthropic.claude-opus-4-5-20251101-v1:0"
    }


@pytest.mark.usefixtures("asked")
def test_a_request_without_a_form_says_which_options_it_lacks(cli, state):
    refused = cli("access", "request", "--model", "all", "--company", "Example Corp", code=1)
    assert "lacks --website, --users, --industry, --use-case" in refused.stderr
    refused = cli("access", "request", "--model", "all", code=1)
    assert "lacks --company, --website" in refused.stderr
    assert state().all(Agreement) == ()


@pytest.mark.usefixtures("asked")
def test_in_a_terminal_the_form_is_asked_for(cli, state, monkeypatch: pytest.MonkeyPatch):
    answers = iter(["Example Corp", "https://example.com", "both", "Education", "Answering."])
    monkeypatch.setattr("outcrop.cli.access._at_a_terminal", lambda: True)
    monkeypatch.setattr("click.prompt", lambda question, **_: next(answers))
    cli("access", "request", "--model", "claude-sonnet-4-5")
    (form,) = state().all(UseCase)
    from base64 import b64decode

    told = json.loads(b64decode(form.form))
    assert (told["companyName"], told["intendedUsers"], told["useCases"]) == (
        "Example Corp",
        "2",
        "Answering.",
    )


def test_a_form_that_is_too_long_is_refused_and_nothing_is_written(cli, state):
    wrong = [*FORM[:-1], "u" * 8193]
    refused = cli("access", "request", "--model", "claude-sonnet-4-5", *wrong, code=1)
    assert "'formData.useCases'" in refused.stderr
    assert "8192" in refused.stderr
    assert state().all(Agreement) == ()


def test_where_access_is_open_a_request_needs_no_form(cli, state):
    shown = rows(cli, "request", "--model", "claude-sonnet-4-5")
    assert shown[SONNET]["how"] == "agreement"
    assert state().all(UseCase) == ()


@pytest.mark.usefixtures("asked")
def test_what_is_revoked_can_only_be_granted(cli):
    cli("access", "revoke", "--model", "claude-sonnet-4-5")
    refused = cli("access", "request", "--model", "all", *FORM, code=1)
    assert "Claude Sonnet 4.5 was revoked" in refused.stderr
    assert "outcrop access grant --model claude-sonnet-4-5" in refused.stderr
    listed = rows(cli, "list")
    assert listed[SONNET]["state"] == "revoked"
    assert listed[HAIKU]["state"] == "form missing"
    assert rows(cli, "grant", "--model", "claude-sonnet-4-5")[SONNET]["state"] == "granted"


def test_all_models_at_once(cli):
    assert {row["state"] for row in rows(cli, "revoke", "--model", "all").values()} == {"revoked"}
    assert {row["how"] for row in rows(cli, "grant", "--model", "all").values()} == {"granted by operator"}


def test_another_account_has_an_access_of_its_own(cli, data: Path):
    from outcrop.cli.keys import principals_of

    other = principals_of(Settings(data=Data(folder=data))).create_account("shop").id
    cli("access", "revoke", "--model", "claude-sonnet-4-5", "--account", other)
    assert rows(cli, "list", "--account", other)[SONNET]["state"] == "revoked"
    assert rows(cli, "list")[SONNET]["state"] == "on first use"


@pytest.mark.parametrize("command", ["request", "grant", "revoke"])
def test_a_model_or_an_account_that_is_not_here(cli, command: str, state):
    refused = cli("access", command, "--model", "claude-sonet-4-5", code=2)
    assert "There is no model 'claude-sonet-4-5'." in refused.stderr
    assert "Did you mean 'claude-sonnet-4-5'?" in refused.stderr
    refused = cli("access", command, "--model", "all", "--account", "111111111111", code=1)
    assert "There is no account '111111111111'" in refused.stderr
    cli("access", command, code=2)
    assert state().all(Agreement) == ()


def test_a_model_past_its_end_is_not_listed(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OUTCROP_BEDROCK__EDITION", "2026-11")
    listed = rows(cli, "list")
    assert "anthropic.claude-3-haiku-20240307-v1:0" not in listed
    assert SONNET in listed
