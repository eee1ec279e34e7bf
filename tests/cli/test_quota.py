"""`outcrop quota`: what is left, what was set, and why a call was refused."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from outcrop.store.counters import NAME, Amounts, Counters, Limits

SONNET_45 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
ON = "[bedrock]\nquotas = true\n"
OFF = "bedrock.quotas is false"


@pytest.fixture(autouse=True)
def enforced(home: Path) -> None:
    (home / "outcrop.toml").write_text(ON)


def listed(cli, *arguments: str) -> dict[str, dict]:
    rows = json.loads(cli("quota", "list", "--output", "json", *arguments).stdout)
    return {f"{row['model']}/{row['kind']}": row for row in rows}


def limits(row: dict) -> dict[str, tuple]:
    return {each["quota"]: (each["limit"], each["origin"]) for each in row["quotas"]}


def test_the_list_has_the_catalogues_defaults_of_the_region(cli):
    rows = listed(cli)
    assert limits(rows[f"{SONNET_45}/cross-region"]) == {
        "rpm": (10_000, "default"),
        "tpm": (5_000_000, "default"),
        "tpd": (7_200_000_000, "default"),
    }
    assert {row["region"] for row in rows.values()} == {"us-west-2"}
    assert f"{SONNET_45}/global-1m" in rows
    everywhere = listed(cli, "--all", "--region", "eu-west-1")
    assert limits(everywhere["anthropic.claude-opus-5/global"])["rpm"] == (None, "none")
    assert len(everywhere) > len(listed(cli, "--region", "eu-west-1"))


def test_what_was_set_shows_and_can_be_unset(cli):
    cli("quota", "set", "tpm", "1000", "--model", "claude-sonnet-4-5")
    cli("quota", "set", "rpm", "none", "--model", SONNET_45, "--kind", "global", "--region", "us-west-2")
    cli("quota", "set", "tpd", "0", "--account", "*")
    rows = listed(cli, "--model", "claude-sonnet-4-5")
    assert limits(rows[f"{SONNET_45}/global"]) == {
        "rpm": (None, "set"),
        "tpm": (1000, "set"),
        "tpd": (0, "set"),
    }
    shown = cli("quota", "list").stdout
    assert "1,000 of 1,000*" in shown
    assert "no limit*" in shown
    cli("quota", "unset", "tpm", "--model", "claude-sonnet-4-5")
    cli("quota", "unset", "tpd", "--account", "*")
    assert limits(listed(cli)[f"{SONNET_45}/global"])["tpm"] == (5_000_000, "default")


def test_unsetting_what_was_not_set_says_what_is(cli):
    assert "None is set at all." in cli("quota", "unset", "rpm", code=1).stderr
    cli("quota", "set", "tpm", "1000", "--region", "us-east-1")
    refused = cli("quota", "unset", "tpm", code=1).stderr
    assert "tpm 1,000 for account" in refused
    assert "region us-east-1" in refused


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("set", "tpm", "many"), 2, "number from 0 on"),
        (("set", "tpm", "٣"), 2, "number from 0 on"),  # digits, but not these
        (("set", "--", "tpm", "-1"), 2, "number from 0 on"),
        (("set", "xpm", "1"), 2, "xpm"),
        (("set", "tpm", "1", "--kind", "galactic"), 2, "galactic"),
        (("set", "tpm", "1", "--model", "claude-9"), 2, "claude-9"),
        (("set", "tpm", "1", "--region", "us-wets-2"), 2, "us-west-2"),
        (("set", "tpm", "1", "--account", "nobody"), 1, "nobody"),
        (("list", "--region", "atlantis"), 2, "atlantis"),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_is_set(cli, arguments, code, says):
    assert says in cli("quota", *arguments, code=code).stderr
    assert "None is set at all." in cli("quota", "unset", "rpm", code=1).stderr


def _count(data: Path, account: str, now: float) -> str:
    key = f"{account}/{SONNET_45}/us-west-2/cross-region"
    counters = Counters(data / NAME)
    counters.reserve(key, Limits(), Amounts(3, 1200), now)
    counters.write_note(key, "tokens per minute; limit 1; fits in 5 s", now)
    counters.close()
    return key


def test_use_and_the_last_refusal_show(cli, data: Path):
    account = listed(cli)[f"{SONNET_45}/global"]["account"]
    _count(data, account, time.time())
    row = listed(cli)[f"{SONNET_45}/cross-region"]
    assert [(each["used"], each["left"]) for each in row["quotas"]] == [
        (3, 9997),
        (1200, 4_998_800),
        (1200, 7_199_998_800),
    ]
    assert row["refused"]["why"].startswith("tokens per minute")
    assert "9,997 of 10,000" in cli("quota", "list").stdout
    (why,) = json.loads(cli("quota", "why", "--output", "json").stdout)
    assert (why["account"], why["model"], why["kind"]) == (account, SONNET_45, "cross-region")
    assert "fits in 5 s" in cli("quota", "why").stdout
    assert "fits in 5 s" in cli("quota", "why", "--model", SONNET_45, "--account", account).stdout
    assert json.loads(cli("quota", "why", "--model", "claude-opus-4-5", "--output", "json").stdout) == []


def test_that_nobody_counts_is_said_where_one_looks(cli, home: Path):
    assert "No call was refused" in cli("quota", "why").stdout
    assert OFF not in cli("quota", "list").stderr
    (home / "outcrop.toml").write_text("")
    for arguments in (("list",), ("set", "tpm", "1"), ("why",)):
        assert OFF in cli("quota", *arguments).stderr


def test_the_most_that_a_limit_can_be_is_told_and_taken(cli):
    most = 10**14 - 1
    assert f"{most:,} at most" in cli("quota", "set", "tpm", str(most + 1), code=2).stderr
    assert f"tpm {most:,} for" in cli("quota", "set", "tpm", f"0{most}").stdout
