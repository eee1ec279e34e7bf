"""Accounts, users, roles and keys: what IAM's rules let one make, and that nothing is made by halves."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from outcrop.errors import OutcropError
from outcrop.service.access.records import Agreement, UseCase
from outcrop.service.iam.presets import PRESETS
from outcrop.service.principals import (
    AccessKey,
    Account,
    ApiKey,
    Installation,
    Principals,
    Role,
    User,
    account_of,
    user_of,
)
from outcrop.service.profiles import ApplicationProfile
from outcrop.service.quota.limits import QuotaLimit
from outcrop.wire import bearer
from outcrop.wire.bearer import LongTermKey
from people import NOW, PlainSealer, allowing, principals, trusting

EVERYTHING = PRESETS["everything"]


@pytest.fixture
def people(tmp_path: Path) -> Principals:
    return principals(tmp_path)


def found(people: Principals, arn: str) -> User | Role | Account:
    return people.owner(arn)


# ── an empty data folder ──────────────────────────────────────────────────────────────────────────


def test_an_empty_store_gets_an_account_and_a_secret_and_nobody(people: Principals) -> None:
    assert re.fullmatch(r"[1-9]\d{11}", people.account)
    assert len(people.session_secret(people.store.snapshot())) == 32
    assert people.keys() == people.users() == people.roles() == ()
    assert [account.id for account in people.accounts()] == [people.account]


def test_the_account_and_the_secret_stay(tmp_path: Path) -> None:
    first, second = principals(tmp_path), principals(tmp_path)

    assert first.account == second.account
    assert first.session_secret(first.store.snapshot()) == second.session_secret(second.store.snapshot())


def test_the_first_key_may_do_everything_and_there_is_one_first_key(people: Principals) -> None:
    people.create_first_key("local")
    people.create_first_key("local")

    [key] = people.keys()
    [user] = people.users()
    assert (key.owner, user.policies) == (user.arn, {"everything": EVERYTHING})


def test_a_revoked_first_key_is_not_replaced(people: Principals) -> None:
    people.create_first_key("local")
    people.revoke(people.keys()[0].key)

    people.create_first_key("local")

    assert len(people.keys()) == 1


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from people import principals\n"
        "people = principals(Path(sys.argv[1])); people.create_first_key('local'); print(people.account)"
    )
    here = str(Path(__file__).parents[1])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=here
        )
        for _ in range(4)
    ]
    said = {process.communicate(timeout=30)[0] for process in started}

    assert len(said) == 1
    assert len(principals(tmp_path).keys()) == 1


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_access_key_looks_like_awss_and_its_secret_is_sealed(people: Principals) -> None:
    key, secret = people.create_access_key("alice", "laptop")

    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key.id)
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", secret)
    assert key.owner == f"arn:aws:iam::{people.account}:user/alice"
    assert (key.created, key.enabled, key.description) == (NOW, True, "laptop")
    assert people.secret(key) == secret
    assert secret not in key.sealed
    assert (account_of(key), user_of(key)) == (people.account, "alice")


def test_a_sealed_secret_opens_for_its_own_key_only(people: Principals) -> None:
    ours, _ = people.create_access_key("alice")
    theirs, _ = people.create_access_key("bob")

    with pytest.raises(OutcropError):
        people.secret(AccessKey(ours.id, theirs.sealed, ours.owner, NOW))


def test_a_secret_is_decrypted_once(tmp_path: Path) -> None:
    sealer = PlainSealer()
    people = principals(tmp_path, sealer)
    key, _ = people.create_access_key("alice")
    before = sealer.opened

    for _ in range(5):
        people.secret(key)
        people.session_secret(people.store.snapshot())

    assert sealer.opened == before + 1


def test_a_new_user_may_invoke_and_an_old_one_keeps_what_it_may(people: Principals) -> None:
    people.create_access_key("alice")
    people.create_user("bob", policies={"nothing": PRESETS["nothing"]})
    people.create_access_key("bob")

    assert {user.name: tuple(user.policies) for user in people.users()} == {
        "alice": ("invoke",),
        "bob": ("nothing",),
    }
    with pytest.raises(OutcropError, match="is there already, with policies of its own"):
        people.create_access_key("bob", policies={"everything": EVERYTHING})
    assert len(people.keys()) == 2


def test_of_an_api_key_only_the_hash_is_kept(people: Principals) -> None:
    key, token = people.create_api_key("alice", expires=NOW + 60)

    parsed = bearer.parse(token)
    assert isinstance(parsed, LongTermKey)
    assert (parsed.name, parsed.account) == (key.name, people.account)
    assert key.digest == hashlib.sha256(parsed.secret.encode()).hexdigest()
    assert key.expires == NOW + 60


def test_a_users_further_api_keys_are_numbered(people: Principals) -> None:
    names = [people.create_api_key("alice")[0].name for _ in range(3)]

    assert re.fullmatch(rf"BedrockAPIKey-[a-z0-9]{{4}}-at-{people.account}", names[0])
    assert names[1:] == [f"{names[0]}+1", f"{names[0]}+2"]
    assert people.create_api_key("bob")[0].name not in names


def test_an_api_key_without_a_user_gets_one_of_its_own(people: Principals) -> None:
    first, second = people.create_api_key()[0], people.create_api_key()[0]

    assert user_of(first) == first.name.partition("-at-")[0]
    assert first.owner != second.owner
    assert {user.arn for user in people.users()} == {first.owner, second.owner}


def test_a_revoked_key_stays_in_the_list(people: Principals) -> None:
    pair, _ = people.create_access_key("alice")
    token, _ = people.create_api_key("alice")
    kept, _ = people.create_access_key("alice")

    assert not people.revoke(pair.id).enabled
    people.revoke(token.name)
    people.revoke(token.name)

    known = people.keys()
    assert {key.key: key.enabled for key in known} == {
        pair.id: False,
        token.name: False,
        kept.id: True,
    }
    assert {type(key) for key in known} == {AccessKey, ApiKey}


def test_revoking_what_is_not_there_is_told(people: Principals) -> None:
    with pytest.raises(OutcropError, match="There is no key 'AKIANONE'") as refused:
        people.revoke("AKIANONE")
    assert "outcrop keys list" in refused.value.fix


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    principals(tmp_path)
    code = (
        "import sys; from pathlib import Path; from people import principals\n"
        "people = principals(Path(sys.argv[1]))\nfor n in range(5): people.create_access_key('alice')"
    )
    here = str(Path(__file__).parents[1])
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=here) for _ in range(3)]

    assert [writer.wait(30) for writer in writers] == [0] * 3
    people = principals(tmp_path)
    known = people.keys()
    assert len({key.key for key in known}) == 15
    assert len(people.users()) == 1


def test_a_change_is_seen_at_once_by_whoever_has_the_state_open(tmp_path: Path) -> None:
    server, cli = principals(tmp_path), principals(tmp_path)

    for _ in range(5):
        key, _ = cli.create_access_key("alice")
        assert server.store.snapshot().get(AccessKey, key.id) == key
        cli.revoke(key.id)
        assert server.store.snapshot().get(AccessKey, key.id).enabled is False


# ── users, roles, accounts ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "a" * 65, "a\n"])
def test_a_user_and_a_role_need_a_name_iam_would_take(people: Principals, name: str) -> None:
    attempts: list[tuple[str, Callable[[], object]]] = [
        ("user", lambda: people.create_user(name)),
        ("role", lambda: people.create_role(name, trusting(people.account))),
        ("user", lambda: people.create_access_key(name) if name else people.create_user(name)),
        ("user", lambda: people.create_api_key(name or "a b")),
    ]
    for noun, attempt in attempts:
        with pytest.raises(OutcropError, match=f"can't be the name of a {noun}"):
            attempt()
    assert people.users() == people.roles() == people.keys() == ()


def test_names_that_differ_by_case_only_are_the_same(people: Principals) -> None:
    people.create_user("Alice")
    people.create_role("Reader", trusting(people.account))

    for attempt in (
        lambda: people.create_user("alice"),
        lambda: people.create_user("Alice"),
        lambda: people.create_access_key("ALICE"),
    ):
        with pytest.raises(OutcropError, match="There is a user 'Alice' already"):
            attempt()
    with pytest.raises(OutcropError, match="There is a role 'Reader' already"):
        people.create_role("reader", trusting(people.account))
    assert len(people.users()) == 1
    assert people.keys() == ()


def test_a_role_and_a_user_have_names_and_ids_of_their_own(people: Principals) -> None:
    user = people.create_user("same")
    role = people.create_role("same", trusting(user.arn), max_seconds=43_200)

    assert re.fullmatch(r"AIDA[A-Z2-7]{17}", user.user_id)
    assert re.fullmatch(r"AROA[A-Z2-7]{17}", role.role_id)
    assert role.arn == f"arn:aws:iam::{people.account}:role/same"


@pytest.mark.parametrize("seconds", [3599, 43_201, 0])
def test_a_roles_longest_session_is_iams(people: Principals, seconds: int) -> None:
    with pytest.raises(OutcropError, match="longest session"):
        people.create_role("r", trusting(people.account), max_seconds=seconds)


def test_accounts_are_apart(people: Principals) -> None:
    other = people.create_account("team", "111122223333")
    ours, theirs = people.create_user("alice"), people.create_user("alice", other.id)
    key, _ = people.create_access_key("alice", account=other.id)
    token, _ = people.create_api_key(account=other.id)

    assert ours.user_id != theirs.user_id
    assert key.owner == theirs.arn == "arn:aws:iam::111122223333:user/alice"
    assert token.name.endswith("-at-111122223333")
    assert [user.name for user in people.users(people.account)] == ["alice"]


def test_an_account_is_made_once_and_must_be_there(people: Principals) -> None:
    people.create_account("team", "111122223333")
    for name, account in (("", "111122223333"), ("team", ""), ("", people.account)):
        with pytest.raises(OutcropError, match="already"):
            people.create_account(name, account)
    for name, account in (("x" * 51, ""), ("é", ""), ("111122223333", ""), ("", "12")):
        with pytest.raises(OutcropError, match=r"can't be the name|no account id"):
            people.create_account(name, account)
    for attempt in (
        lambda: people.create_user("alice", "999999999999"),
        lambda: people.create_role("r", trusting("999999999999"), "999999999999"),
        lambda: people.create_access_key("alice", account="999999999999"),
        lambda: people.create_api_key(account="999999999999"),
        lambda: people.bind("999999999999", ["eu"]),
    ):
        with pytest.raises(OutcropError, match="There is no account 999999999999"):
            attempt()
    assert len(people.accounts()) == 2
    assert people.users() == ()


def test_an_account_is_deleted_when_it_is_empty(people: Principals) -> None:
    other = people.create_account().id
    user = people.create_user("alice", other)

    with pytest.raises(OutcropError, match=r"still has 1 user\(s\) and role\(s\): .*alice"):
        people.delete_account(other)
    people.delete_user(user.arn)
    people.delete_account(other)

    with pytest.raises(OutcropError, match="There is no account"):
        people.delete_account(other)
    with pytest.raises(OutcropError, match="account of this installation"):
        people.delete_account(people.account)


def test_an_account_leaves_nothing_to_the_next_of_its_id(people: Principals) -> None:
    gone, kept = people.create_account().id, people.account
    for account in (gone, kept):
        for record in (
            Agreement(account, "m", "agreement", NOW),
            UseCase(account, "form", NOW),
            QuotaLimit(account, "*", "*", "*", "rpm", 1),
            ApplicationProfile("aws", "us-west-2", account, "abcdefghijkl", "p", "arn", "m", NOW, NOW, {}),
        ):
            people.store.change(lambda state, record=record: state.put(record))
    people.store.change(lambda state: state.put(QuotaLimit("*", "*", "*", "*", "rpm", 2)))

    people.delete_account(gone)

    state = people.store.snapshot()
    for kind in (Agreement, UseCase, ApplicationProfile):
        assert [record.account for record in state.all(kind)] == [kept]
    assert {limit.account for limit in state.all(QuotaLimit)} == {kept, "*"}


@pytest.mark.parametrize("element", ["Principal", "NotPrincipal"])
def test_a_namesake_of_who_was_deleted_is_not_who_is_trusted(people: Principals, element: str) -> None:
    alice, bob = people.create_user("alice"), people.create_user("bob")
    helper = people.create_role("helper", trusting(bob.arn))
    named = {"AWS": [alice.arn, helper.arn, bob.arn]}
    effect = "Allow" if element == "Principal" else "Deny"
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": alice.arn}, "Action": "sts:AssumeRole"},
        {"Effect": effect, element: named, "Action": "sts:AssumeRole"},
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sts:AssumeRole",
            "Condition": {"Bool": {"a:ü": "true"}},
        },
    ]
    trust = msgspec.json.encode({"Version": "2012-10-17", "Statement": statements}).decode()
    role = people.create_role("r", trust.replace("user/", "user\\/"))  # JSON may write it so
    one = people.create_role("one", msgspec.json.encode({"Statement": statements[0]}).decode())

    people.delete_user(alice.arn)
    people.delete_role(helper.arn)

    told = msgspec.json.decode(people.owner(role.arn).trust)["Statement"]
    assert told[0]["Principal"] == {"AWS": [alice.user_id]}
    assert told[1][element] == {"AWS": [alice.user_id, helper.role_id, bob.arn]}
    assert told[2] == statements[2]
    assert alice.user_id in people.owner(one.arn).trust
    assert people.owner(role.arn).role_id == role.role_id


def test_a_deleted_users_keys_are_revoked_for_good(people: Principals) -> None:
    pair, _ = people.create_access_key("alice")
    token, _ = people.create_api_key("alice")
    kept, _ = people.create_access_key("bob")

    people.delete_user(pair.owner)
    again = people.create_user("alice")

    known = people.keys()
    assert {key.key: key.enabled for key in known} == {
        pair.id: False,
        token.name: False,
        kept.id: True,
    }
    assert again.arn == pair.owner
    for arn in ("arn:aws:iam::1:user/x", again.arn.replace("user/", "role/")):
        with pytest.raises(OutcropError, match=r"There is no (user|role)"):
            people.delete_user(arn)


def test_a_role_made_again_is_another(people: Principals) -> None:
    first = people.create_role("r", trusting(people.account))
    people.delete_role(first.arn)

    assert people.create_role("r", trusting(people.account)).role_id != first.role_id
    people.delete_role(first.arn)
    with pytest.raises(OutcropError, match="There is no role"):
        people.delete_role(first.arn)


# ── what they may do ──────────────────────────────────────────────────────────────────────────────


def test_policies_are_given_replaced_and_taken_away(people: Principals) -> None:
    user = people.create_user("alice")
    role = people.create_role("r", trusting(user.arn))
    for who in (user.arn, role.arn, people.account):
        people.set_policy(who, "p", EVERYTHING)
        people.set_policy(who, "q", allowing("bedrock:*"))
        people.set_policy(who, "p", allowing("bedrock:InvokeModel"))
        assert people.owner(who).policies == {
            "p": allowing("bedrock:InvokeModel"),
            "q": allowing("bedrock:*"),
        }
        people.remove_policy(who, "p")
        with pytest.raises(OutcropError, match="has no policy 'p'") as refused:
            people.remove_policy(who, "p")
        assert refused.value.fix == "Its policies: q."


@pytest.mark.parametrize("text", ["", "{", "[]", '{"Statement":[{"Effect":"Perhaps"}]}'])
def test_a_malformed_policy_changes_nothing(people: Principals, text: str) -> None:
    user = people.create_user("alice")
    role = people.create_role("r", trusting(user.arn))
    before = people.store.snapshot().version
    for attempt in (
        lambda: people.set_policy(user.arn, "p", text),
        lambda: people.set_policy(people.account, "p", text),
        lambda: people.set_boundary(user.arn, text or "x"),
        lambda: people.set_trust(role.arn, text),
        lambda: people.create_role("s", text),
        lambda: people.create_user("bob", policies={"p": text}),
        lambda: people.create_access_key("bob", policies={"p": text}),
        lambda: people.create_api_key("bob", policies={"p": text}),
    ):
        with pytest.raises(OutcropError, match="is malformed"):
            attempt()
    assert people.store.snapshot().version == before


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "é"])
def test_a_policy_needs_a_name_iam_would_take(people: Principals, name: str) -> None:
    user = people.create_user("alice")
    with pytest.raises(OutcropError, match="can't be the name of a policy"):
        people.set_policy(user.arn, name, EVERYTHING)


def test_a_policy_has_a_longest_length_that_white_space_does_not_count_for(people: Principals) -> None:
    user = people.create_user("alice")
    people.set_policy(user.arn, "p", EVERYTHING + " " * 10_000)
    long = allowing(*(f"bedrock:Action{number}" for number in range(400)))

    with pytest.raises(OutcropError, match="6144 is the most"):
        people.set_policy(user.arn, "q", long)
    shorter = allowing(*(f"bedrock:Action{number}" for number in range(270)))
    people.set_policy(user.arn, "p", shorter)
    with pytest.raises(OutcropError, match="5120 is the most for an account"):
        people.set_policy(people.account, "q", shorter)
    for number in range(19):
        people.set_policy(user.arn, f"p{number}", EVERYTHING)
    with pytest.raises(OutcropError, match="would have 21 policies"):
        people.set_policy(user.arn, "one-more", EVERYTHING)


def test_a_boundary_is_for_users_and_roles(people: Principals) -> None:
    user = people.create_user("alice")
    people.set_boundary(user.arn, EVERYTHING)
    assert found(people, user.arn) == User(user.account, "alice", user.user_id, NOW, boundary=EVERYTHING)
    people.set_boundary(user.arn, "")
    assert found(people, user.arn) == user
    with pytest.raises(OutcropError, match="boundaries are for users and roles"):
        people.set_boundary(people.account, EVERYTHING)


def test_a_trust_policy_is_replaced(people: Principals) -> None:
    role = people.create_role("r", trusting(people.account))
    assert people.set_trust(role.arn, trusting("111122223333")).trust == trusting("111122223333")
    assert found(people, role.arn) != role


def test_a_binding_names_regions_or_geographies(people: Principals) -> None:
    user = people.create_user("alice")
    for who in (user.arn, people.account):
        people.bind(who, ["eu", "us-west-2", "eu"])
        assert people.owner(who).residency == ("eu", "us-west-2")
        people.bind(who, [])
        assert people.owner(who).residency == ()


def test_an_unknown_region_is_refused_with_what_is_near(people: Principals) -> None:
    with pytest.raises(OutcropError, match="neither a region nor a geography 'us-weast-2'") as refused:
        people.bind(people.account, ["eu", "us-weast-2", "mars-1"])
    assert "Did you mean us-west-2" in refused.value.fix
    assert "eu, " in refused.value.fix
    assert people.owner(people.account).residency == ()


def test_no_secret_shows_in_the_state_file(tmp_path: Path) -> None:
    people = principals(tmp_path)
    _, secret = people.create_access_key("alice")
    _, token = people.create_api_key("alice")
    parsed = bearer.parse(token)
    assert isinstance(parsed, LongTermKey)
    people.store.close()

    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert secret.encode() not in written
    assert parsed.secret.encode() not in written
    assert b"AKIA" in written


def test_a_store_that_lost_its_installation_says_so(people: Principals) -> None:
    people.store.change(lambda state: state.delete(Installation, "installation"))
    with pytest.raises(OutcropError, match="lost its installation"):
        people.session_secret(people.store.snapshot())
