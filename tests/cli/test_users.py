"""`outcrop users`: who is made, what is shown, and what is refused without a trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outcrop.cli.keys import principals_of
from outcrop.config import Data, Settings
from outcrop.service.iam.presets import PRESETS
from outcrop.service.principals import Principals

POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:*","Resource":"*"}]}'


@pytest.fixture
def users(cli):
    """Run `outcrop users …`."""

    def run(*arguments: str, code: int = 0):
        return cli("users", *arguments, code=code)

    return run


def told(users, *arguments: str):
    return json.loads(users(*arguments, "--output", "json").stdout)


def principals(data: Path) -> Principals:
    return principals_of(Settings(data=Data(data)))


# ── users ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_user_is_made_shown_and_deleted(users, cli, data: Path):
    made = told(users, "create", "alice", "--allow", "invoke")
    assert made["arn"] == f"arn:aws:iam::{principals(data).account}:user/alice"
    key = json.loads(cli("keys", "create", "--user", "alice", "--output", "json").stdout)
    users("create", "bob")

    shown = users("show", "alice").stdout
    for text in (made["arn"], made["id"], "invoke", key["access_key_id"], "active"):
        assert text in shown
    assert key["secret_access_key"] not in shown
    assert told(users, "show", made["arn"])["keys"][0]["id"] == key["access_key_id"]
    assert [(row["name"], row["policies"]) for row in told(users, "list")] == [
        ("alice", "invoke"),
        ("bob", ""),
    ]

    users("delete", "alice")
    assert [row["name"] for row in told(users, "list")] == ["bob"]
    assert "revoked" in cli("keys", "list").stdout
    assert "outcrop users list" in users("show", "alice", code=1).stderr


def test_a_name_that_is_taken_or_none_is_refused(users, data: Path):
    users("create", "alice")
    assert "There is a user 'alice' already" in users("create", "Alice", code=1).stderr
    assert "Use 1 to 64 letters" in users("create", "a b", code=1).stderr
    assert (
        "neither everything, invoke, nothing nor a file"
        in users("create", "bob", "--allow", "all", code=1).stderr
    )
    assert len(principals(data).users()) == 1


# ── roles ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_role_is_made_for_whom_it_trusts(users, data: Path):
    account = principals(data).account
    arn = f"arn:aws:iam::{account}:user/alice"
    made = told(
        users,
        *("role", "create", "reader", "--trusted-by", arn, "--trusted-by", account),
        *("--allow", "invoke", "--max-session", "12h"),
    )
    [role] = principals(data).roles()
    assert json.loads(role.trust)["Statement"] == [
        {"Effect": "Allow", "Principal": {"AWS": [arn, account]}, "Action": "sts:AssumeRole"}
    ]
    assert (role.max_seconds, role.policies) == (43_200, {"invoke": PRESETS["invoke"]})
    assert made["arn"] == role.arn
    assert arn in users("role", "show", "reader").stdout
    assert told(users, "role", "list")[0]["max_session"] == "43200 s"


def test_a_roles_trust_is_a_file_and_can_be_said_anew(users, data: Path):
    trust = '{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}'
    Path("trust.json").write_text(trust)
    users("role", "create", "reader", "--trust", "trust.json")
    assert principals(data).roles()[0].trust == trust
    users("role", "trust", "reader", "--trusted-by", "111122223333")
    assert "111122223333" in principals(data).roles()[0].trust
    users("role", "trust", "reader", "--trusted-by", "*")
    assert json.loads(principals(data).roles()[0].trust)["Statement"][0]["Principal"] == "*"
    assert "its sessions are ended" in users("role", "delete", "reader").stdout
    assert "outcrop users role list" in users("role", "delete", "reader", code=1).stderr


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ((), 2),
        (("--trusted-by", "alice"), 2),
        (("--trusted-by", "111122223333", "--trust", "policy.json"), 2),
        (("--trust", "policy.json"), 1),
        (("--trust", "nothing.json"), 1),
        (("--trusted-by", "111122223333", "--max-session", "13h"), 1),
    ],
)
def test_a_role_that_trusts_nobody_or_wrongly_is_not_made(users, data: Path, flags, code: int):
    Path("policy.json").write_text(POLICY)
    users("role", "create", "reader", *flags, code=code)
    assert principals(data).roles() == ()


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────


def test_accounts_are_made_listed_and_deleted(users, data: Path):
    made = told(users, "account", "create", "team")
    users("create", "alice", "--account", "team")
    rows = {row["id"]: row for row in told(users, "account", "list")}
    assert (rows[made["id"]]["name"], rows[made["id"]]["users"]) == ("team", 1)
    assert principals(data).account in rows
    assert [row["name"] for row in told(users, "list", "--account", made["id"])] == ["alice"]
    assert told(users, "list", "--account", principals(data).account) == []
    assert "still has 1 user(s)" in users("account", "delete", "team", code=1).stderr
    users("delete", "alice", "--account", "team")
    users("account", "delete", "team")
    assert "already" in users("account", "create", "more", "--id", principals(data).account, code=1).stderr


# ── policies, boundaries, bindings ────────────────────────────────────────────────────────────────


def test_policies_are_put_listed_shown_and_removed(users, data: Path):
    Path("policy.json").write_text(POLICY)
    users("create", "alice")
    users("role", "create", "reader", "--trusted-by", "*")
    account = principals(data).account
    for target in (("--user", "alice"), ("--role", "reader"), ("--account", account)):
        users("policy", "put", "mine", "policy.json", *target)
        users("policy", "put", "preset", "invoke", *target)
        names = [row["name"] for row in told(users, "policy", "list", *target)]
        assert names[-2:] == ["mine", "preset"]
        assert users("policy", "show", "mine", *target).stdout == f"{POLICY}\n"
        users("policy", "remove", "mine", *target)
        assert "has no policy 'mine'" in users("policy", "remove", "mine", *target, code=1).stderr
        assert "Its policies: " in users("policy", "show", "mine", *target, code=1).stderr
    assert "service control policy" in users("policy", "list", "--account", account).stdout


def test_a_malformed_policy_is_named_by_its_place(users, data: Path):
    users("create", "alice")
    bad = POLICY.replace('"Allow"', '"Perhaps"')
    Path("bad.json").write_text(bad)
    refused = users("policy", "put", "mine", "bad.json", "--user", "alice", code=1).stderr
    assert "The policy 'mine' is malformed: Statement" in refused
    assert principals(data).users()[0].policies == {}


def test_a_boundary_is_set_and_taken_away(users, data: Path):
    users("create", "alice")
    users("boundary", "invoke", "--user", "alice")
    assert principals(data).users()[0].boundary == PRESETS["invoke"]
    assert "boundary" in users("policy", "list", "--user", "alice").stdout
    users("boundary", "--remove", "--user", "alice")
    assert principals(data).users()[0].boundary == ""
    users("boundary", "--user", "alice", code=2)
    users("boundary", "invoke", "--remove", "--user", "alice", code=2)
    assert (
        "service control policy"
        in users("boundary", "invoke", "--account", principals(data).account, code=1).stderr
    )


def test_a_binding_is_set_and_lifted(users, data: Path):
    users("create", "alice")
    said = users("bind", "--regions", "eu, us-west-2,eu", "--user", "alice").stdout
    assert "are sent to eu, us-west-2 only" in said
    assert principals(data).users()[0].residency == ("eu", "us-west-2")
    refused = users("bind", "--regions", "EU", "--user", "alice", code=2).stderr
    assert "--regions: the catalogue has neither a region nor a geography 'EU'" in refused
    assert "Did you mean eu" in refused
    assert max(map(len, refused.splitlines())) < 160
    users("bind", "--anywhere", "--user", "alice")
    assert principals(data).users()[0].residency == ()
    for flags in ((), ("--regions", "eu", "--anywhere"), ("--regions", " , ")):
        users("bind", *flags, "--user", "alice", code=2)


def test_somebody_has_to_be_meant(users):
    users("policy", "list", code=2)
    users("policy", "list", "--user", "alice", "--role", "reader", code=2)
    assert "outcrop users list" in users("policy", "list", "--user", "alice", code=1).stderr


def test_the_user_whose_key_is_handed_out_is_not_deleted_by_the_way(users, cli, data: Path):
    cli("env")
    arn = f"arn:aws:iam::{principals(data).account}:user/local"
    for named in ("local", arn):
        refused = users("delete", named, code=1).stderr
        assert "outcrop env" in refused
        assert "--yes" in refused
    assert [user.name for user in principals(data).users()] == ["local"]
    users("account", "create", "team")
    users("create", "local", "--account", "team")
    users("delete", "local", "--account", "team")
    users("delete", "local", "--yes")
    assert principals(data).users() == ()


def test_an_action_that_no_operation_has_is_told_in_one_line_and_stored(users, cli, data: Path):
    Path("slip.json").write_text(POLICY.replace("bedrock:*", "bedrock:InvokeModle"))
    users("create", "alice")
    line = (
        "Warning: policy {}: no operation here has bedrock:InvokeModle (did you mean bedrock:InvokeModel?).\n"
    )
    assert users("policy", "put", "mine", "slip.json", "--user", "alice").stderr == line.format("mine")
    assert users("boundary", "slip.json", "--user", "alice").stderr == line.format("boundary")
    assert users("create", "bob", "--allow", "slip.json").stderr == line.format("slip")
    assert cli("keys", "create", "--user", "eve", "--allow", "slip.json").stderr == line.format("slip")
    assert list(principals(data).users()[0].policies) == ["mine"]
    assert users("policy", "put", "mine", "invoke", "--user", "alice").stderr == ""


def test_a_user_that_may_do_nothing_has_no_policy_until_one_is_put(users, data: Path):
    users("create", "alice", "--allow", "nothing")
    assert principals(data).users()[0].policies == {}
    users("policy", "put", "none", "nothing", "--user", "alice")
    assert principals(data).users()[0].policies == {"none": PRESETS["nothing"]}


def test_an_account_needs_a_name(users):
    users("account", "create", code=2)
    users("account", "create", "", code=2)
