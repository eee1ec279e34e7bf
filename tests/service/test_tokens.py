"""STS as its callers meet it: who may assume which role, for how long, and what the session may do then."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import botocore.parsers
import botocore.session
import pytest

from outcrop.catalog import Catalog
from outcrop.service.call import Call
from outcrop.service.chain import Clock, Service
from outcrop.service.iam.presets import PRESETS
from outcrop.service.iam.step import Authoriser
from outcrop.service.identity import Identity
from outcrop.service.tokens import Tokens
from outcrop.wire import sigv4
from outcrop.wire.http import Head, Reply
from outcrop.wire.sigv4 import Credentials
from people import allowing, principals, trusting

NOW = 1_795_348_800.0  # 2026-11-22T12:00:00Z
ASSUME = allowing("sts:AssumeRole")


class Sts:
    """An endpoint's STS with a clock that tests set, and one operation of Bedrock to use sessions on."""

    def __init__(self, folder: Path) -> None:
        self.people = principals(folder)
        self.now = NOW
        self.model = botocore.session.get_session().get_service_model("sts")
        numbers = itertools.count()
        identity = Identity(self.people, "us-west-2")
        handlers = {
            **Tokens(identity, lambda size: next(numbers).to_bytes(size, "big")).handlers,
            "ListFoundationModels": self.listed,
        }
        clock = Clock(lambda: self.now, lambda: 0.0, lambda: "id-1")
        authorise = Authoriser(Catalog.load()).authorise
        self.service = Service(identity, self.people.store, handlers, clock, [authorise])

    async def listed(self, call: Call) -> Reply:
        return Reply(200, {}, call.principal.arn.encode())

    def user(self, name: str, *policies: str, account: str = "") -> Credentials:
        named = {f"p{number}": text for number, text in enumerate(policies)}
        key, secret = self.people.create_access_key(name, account=account, policies=named)
        return Credentials(key.id, secret)

    def arn(self, kind: str, name: str) -> str:
        return f"arn:aws:iam::{self.people.account}:{kind}/{name}"

    def role(self, name: str, *trusted: str, trust: str = "", policy: str = "", seconds: int = 3600) -> str:
        policies = {"p": policy} if policy else {}
        text = trust or trusting(*trusted)
        return self.people.create_role(name, text, policies=policies, max_seconds=seconds).arn

    def ask(self, who: Credentials, action: str, **parameters: object) -> dict[str, Any]:
        form = {"Action": action, "Version": "2011-06-15", **parameters}
        body = urlencode({name: str(value) for name, value in form.items()}).encode()
        reply = self.send(who, "POST", "/", body, "sts")
        parsed: dict[str, Any] = botocore.parsers.create_parser("query").parse(
            {"status_code": reply.status, "headers": reply.headers, "body": reply.body},
            self.model.operation_model(action).output_shape,
        )
        return parsed

    def send(self, who: Credentials, method: str, path: str, body: bytes, service: str) -> Reply:
        plain = {"host": "127.0.0.1"}
        head = Head(method, path, "", plain)
        signed = sigv4.sign(head, body, who, "us-west-2", service, self.now)

        async def read(limit: int) -> bytes:
            return body[:limit]

        return asyncio.run(self.service.handle(Head(method, path, "", {**plain, **signed}), read))

    def assume(self, who: Credentials, role: str, session: str = "job", **more: object) -> dict[str, Any]:
        return self.ask(who, "AssumeRole", RoleArn=role, RoleSessionName=session, **more)

    def assumed(self, who: Credentials, role: str, session: str = "job", **more: object) -> Credentials:
        told = self.assume(who, role, session, **more)
        assert "Error" not in told, told["Error"]
        return credentials(told)

    def list(self, who: Credentials) -> Reply:
        return self.send(who, "GET", "/foundation-models", b"", "bedrock")

    def tick(self, seconds: float) -> None:
        self.now += seconds


def credentials(told: dict[str, Any]) -> Credentials:
    given = told["Credentials"]
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def denied(told: dict[str, Any]) -> str:
    assert told["Error"]["Code"] == "AccessDenied"
    message: str = told["Error"]["Message"]
    return message


@pytest.fixture
def sts(tmp_path: Path) -> Sts:
    return Sts(tmp_path)


# ── who may assume a role ─────────────────────────────────────────────────────────────────────────


def test_a_user_named_by_the_role_needs_no_policy_of_its_own(sts: Sts) -> None:
    alice = sts.user("alice")
    role = sts.role("reader", sts.arn("user", "alice"), policy=allowing("bedrock:ListFoundationModels"))

    told = sts.assume(alice, role)
    session = credentials(told)

    arn = f"arn:aws:sts::{sts.people.account}:assumed-role/reader/job"
    [record] = sts.people.roles()
    assert told["AssumedRoleUser"] == {"Arn": arn, "AssumedRoleId": f"{record.role_id}:job"}
    assert told["Credentials"]["Expiration"].timestamp() == NOW + 3600
    who = sts.ask(session, "GetCallerIdentity")
    assert (who["Arn"], who["UserId"], who["Account"]) == (
        arn,
        f"{record.role_id}:job",
        sts.people.account,
    )
    assert sts.list(session).body == arn.encode()
    assert sts.list(alice).status == 403


def test_a_role_that_names_an_account_leaves_it_to_the_users_policies(sts: Sts) -> None:
    with_policy, without = sts.user("alice", ASSUME), sts.user("bob", allowing("bedrock:*"))
    role = sts.role("reader", sts.people.account)

    sts.assumed(with_policy, role)
    assert f"User: {sts.arn('user', 'bob')} is not authorized to perform: sts:AssumeRole" in denied(
        sts.assume(without, role)
    )


def test_who_is_not_trusted_is_told_as_if_the_role_were_not_there(sts: Sts) -> None:
    stranger = sts.user("mallory", PRESETS["everything"])
    role = sts.role("reader", sts.arn("user", "alice"))

    real, none = sts.assume(stranger, role), sts.assume(stranger, f"{role}s")

    assert denied(real) == denied(none).replace("readers", "reader")
    assert denied(real).startswith(
        f"User: {sts.arn('user', 'mallory')} is not authorized to perform: sts:AssumeRole on resource: {role}"
    )


def test_a_deny_of_the_users_own_counts_whoever_trusts_it(sts: Sts) -> None:
    alice = sts.user("alice", allowing("sts:*", effect="Deny"))
    assert "explicit deny" in denied(sts.assume(alice, sts.role("reader", sts.arn("user", "alice"))))


def test_another_account_has_to_allow_it_too(sts: Sts) -> None:
    other = sts.people.create_account().id
    allowed, not_allowed = sts.user("alice", ASSUME, account=other), sts.user("bob", account=other)
    role = sts.role("reader", *(f"arn:aws:iam::{other}:user/{name}" for name in ("alice", "bob")))

    session = sts.assumed(allowed, role)
    assert sts.ask(session, "GetCallerIdentity")["Account"] == sts.people.account
    denied(sts.assume(not_allowed, role))


def test_an_external_id_is_asked_for(sts: Sts) -> None:
    alice = sts.user("alice")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": sts.arn("user", "alice")},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "shared"}},
    }
    role = sts.role("reader", trust=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    sts.assumed(alice, role, ExternalId="shared")
    denied(sts.assume(alice, role, ExternalId="guessed"))
    denied(sts.assume(alice, role))


def test_a_session_of_get_session_token_assumes_roles_and_is_refused_the_rest_of_sts(sts: Sts) -> None:
    alice = sts.user("alice")
    session = credentials(sts.ask(alice, "GetSessionToken"))
    role = sts.role("reader", sts.arn("user", "alice"))

    sts.assumed(session, role, DurationSeconds=3600)
    assert sts.ask(session, "GetCallerIdentity")["Arn"] == sts.arn("user", "alice")
    assert (
        denied(sts.ask(session, "GetSessionToken")) == "Cannot call GetSessionToken with session credentials"
    )


def test_a_roles_session_is_refused_a_session_token(sts: Sts) -> None:
    session = sts.assumed(sts.user("alice"), sts.role("reader", sts.arn("user", "alice")))
    assert (
        denied(sts.ask(session, "GetSessionToken")) == "Cannot call GetSessionToken with session credentials"
    )


# ── how long, and how much ────────────────────────────────────────────────────────────────────────


def test_a_session_lasts_as_long_as_asked_and_then_is_expired(sts: Sts) -> None:
    role = sts.role("reader", sts.arn("user", "alice"), policy=allowing("bedrock:*"), seconds=7200)
    session = sts.assumed(sts.user("alice"), role, DurationSeconds=7200)

    sts.tick(7199)
    assert sts.list(session).status == 200
    sts.tick(1)
    refused = sts.list(session)
    assert refused.status == 403
    assert refused.headers["x-amzn-errortype"].startswith("ExpiredTokenException")
    assert sts.ask(session, "GetCallerIdentity")["Error"]["Code"] == "ExpiredToken"


def test_a_session_lasts_no_longer_than_its_role_allows(sts: Sts) -> None:
    alice, role = sts.user("alice"), sts.role("reader", sts.arn("user", "alice"), seconds=7200)
    assert sts.assume(alice, role, DurationSeconds=7201)["Error"] == {
        "Type": "Sender",
        "Code": "ValidationError",
        "Message": "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    }


def test_a_role_that_assumes_a_role_has_an_hour(sts: Sts) -> None:
    alice = sts.user("alice")
    first = sts.role("first", sts.arn("user", "alice"))
    second = sts.role("second", sts.arn("role", "first"), seconds=43_200)
    session = sts.assumed(alice, first)

    chained = sts.assumed(session, second, DurationSeconds=3600)
    assert sts.ask(chained, "GetCallerIdentity")["Arn"].endswith("assumed-role/second/job")
    refused = sts.assume(session, second, DurationSeconds=3601)["Error"]
    assert (refused["Code"], "role chaining" in refused["Message"]) == ("ValidationError", True)

    # the whole chain hangs on the one key
    sts.people.revoke(alice.access_key)
    assert sts.ask(chained, "GetCallerIdentity")["Error"]["Code"] == "InvalidClientTokenId"


def test_a_session_policy_narrows(sts: Sts) -> None:
    alice = sts.user("alice")
    role = sts.role("reader", sts.arn("user", "alice"), policy=allowing("bedrock:*"))

    wide = sts.assume(alice, role, Policy=allowing("bedrock:List*"))
    assert sts.list(credentials(wide)).status == 200
    assert wide["PackedPolicySize"] == -(-100 * len(allowing("bedrock:List*")) // 2048)
    narrow = sts.assumed(alice, role, Policy=allowing("bedrock:InvokeModel"))
    refused = sts.list(narrow)
    assert refused.status == 403
    assert b"because no session policy allows the bedrock:ListFoundationModels action" in refused.body
    # it can't give what the role does not
    other = sts.role("invoker", sts.arn("user", "alice"), policy=allowing("bedrock:InvokeModel"))
    assert sts.list(sts.assumed(alice, other, Policy=PRESETS["everything"])).status == 403


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ("{", "MalformedPolicyDocument"),
        ('{"Statement":[]}', "MalformedPolicyDocument"),
        (" " * 2049, "PackedPolicyTooLarge"),
    ],
)
def test_a_session_policy_that_is_none_is_refused(sts: Sts, policy: str, code: str) -> None:
    role = sts.role("reader", sts.arn("user", "alice"))
    assert sts.assume(sts.user("alice"), role, Policy=policy)["Error"]["Code"] == code


# ── how sessions end ──────────────────────────────────────────────────────────────────────────────


def test_a_session_ends_with_its_key_and_with_its_role(sts: Sts) -> None:
    alice, bob = sts.user("alice"), sts.user("bob")
    role = sts.role("reader", sts.arn("user", "alice"), sts.arn("user", "bob"))
    of_alice, of_bob = sts.assumed(alice, role), sts.assumed(bob, role)

    sts.people.delete_user(sts.arn("user", "alice"))
    assert sts.ask(of_alice, "GetCallerIdentity")["Error"]["Code"] == "InvalidClientTokenId"
    assert "Arn" in sts.ask(of_bob, "GetCallerIdentity")
    sts.people.delete_role(role)
    assert sts.ask(of_bob, "GetCallerIdentity")["Error"] == {
        "Type": "Sender",
        "Code": "InvalidClientTokenId",
        "Message": "The security token included in the request is invalid.",
    }


def test_a_forged_token_is_invalid(sts: Sts) -> None:
    session = sts.assumed(sts.user("alice"), sts.role("reader", sts.arn("user", "alice")))
    token = session.token
    forged = Credentials(session.access_key, session.secret, token[:40] + "AAAA" + token[44:])
    assert sts.ask(forged, "GetCallerIdentity")["Error"]["Code"] == "InvalidClientTokenId"
    reply = sts.list(forged)
    assert reply.headers["x-amzn-errortype"].startswith("UnrecognizedClientException")


def test_a_change_of_a_roles_policies_counts_in_its_sessions_at_once(sts: Sts) -> None:
    role = sts.role("reader", sts.arn("user", "alice"), policy=allowing("bedrock:*"))
    session = sts.assumed(sts.user("alice"), role)
    assert sts.list(session).status == 200

    sts.people.remove_policy(role, "p")

    assert sts.list(session).status == 403
