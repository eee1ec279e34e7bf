"""From a head to a claim to a principal: with keys, sessions and API keys, good ones and others."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from outcrop.errors import (
    AccessDeniedException,
    ExpiredTokenException,
    Fault,
    IncompleteSignatureException,
    InvalidApiKey,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from outcrop.service.call import Principal
from outcrop.service.identity import Assumption, Claim, Identity, Origin, Session
from outcrop.service.principals import Installation, Principals, User, install
from outcrop.store import Transaction
from outcrop.wire import bearer, sigv4
from outcrop.wire.http import Head
from outcrop.wire.operations import BY_NAME, Operation
from outcrop.wire.sigv4 import Credentials
from people import PlainSealer, allowing, principals, trusting

NOW = 1_795_348_800.0  # 2026-11-22T12:00:00Z
BODY = b'{"max_tokens":10}'
INVOKE = BY_NAME["InvokeModel"]
STS = BY_NAME["GetCallerIdentity"]
RANDOM = b"0123456789ab"
INVALID = "Authentication failed: Please make sure your API Key is valid."
EXPIRED = "Bearer Token has expired"
READER_POLICY = allowing("bedrock:InvokeModel")


class Desk:
    """An identity before the newest state of principals, as the chain asks it, and who they are."""

    def __init__(self, people: Principals) -> None:
        self.people = people
        self.identity = Identity(people, "us-west-2")
        self.arn = f"arn:aws:iam::{people.account}:user/alice"
        key, secret = people.create_access_key("alice")
        other, _ = people.create_access_key("bob")
        self.alice = Credentials(key.id, secret)
        self.bob = Credentials(other.id, secret)  # with alice's secret
        self.token_key, self.long_term = people.create_api_key("carol")
        self.role = people.create_role("reader", trusting(self.arn), policies={"p": READER_POLICY})

    @property
    def account(self) -> str:
        return self.people.account

    def user_id(self, name: str) -> str:
        [found] = [user.user_id for user in self.people.users() if user.name == name]
        return found

    def examine(self, head: Head, operation: Operation = INVOKE, now: float = NOW, region: str = "") -> Claim:
        return self.identity.examine(head, operation, now, region, self.people.store.snapshot())

    def session(self, seconds: int = 900, salt: bytes = RANDOM, parent: str = "") -> Session:
        state = self.people.store.snapshot()
        return self.identity.issue_session(parent or self.alice.access_key, seconds, NOW, salt, state)

    def assumed(self, seconds: int = 900, policy: str = "", name: str = "job") -> Session:
        state = self.people.store.snapshot()
        origin = Origin(self.alice.access_key)
        return self.identity.assume(origin, Assumption(self.role, name, policy), seconds, NOW, RANDOM, state)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(principals(tmp_path))


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One for tests that change nothing."""
    return Desk(principals(tmp_path_factory.mktemp("still")))


def a_head(**headers: str) -> Head:
    return Head("POST", "/model/x%3A0/invoke", "", {"host": "127.0.0.1:8080", **headers})


def signed(credentials: Credentials, service: str = "bedrock", region: str = "eu-west-1") -> Head:
    head = a_head()
    return a_head(**sigv4.sign(head, BODY, credentials, region, service, NOW))


def with_token(pair: Credentials) -> Credentials:
    """A long-term key pair, and beside it a session token, which it can't have."""
    return Credentials(pair.access_key, pair.secret, "a token")


def noise(length: int) -> bytes:
    """Bytes that look random and are always the same."""
    blocks = (hashlib.sha256(str(number).encode()).digest() for number in range(length // 32 + 1))
    return b"".join(blocks)[:length]


def bearing(token: str, scheme: str = "Bearer") -> Head:
    return a_head(authorization=f"{scheme} {token}")


# ── access keys ───────────────────────────────────────────────────────────────────────────────────


def test_a_signed_request_proves_its_user_and_region(still: Desk) -> None:
    claim = still.examine(signed(still.alice), INVOKE, NOW)

    assert claim.region == "eu-west-1"
    user_id = still.user_id("alice")
    assert claim.verify(BODY) == Principal(
        still.arn, user_id, still.account, still.alice.access_key, owner=still.arn
    )


def test_botocore_proves_its_user(still: Desk) -> None:
    request = AWSRequest("POST", "http://127.0.0.1:8080/model/x%3A0/invoke", data=BODY)
    SigV4Auth(
        BotocoreCredentials(still.alice.access_key, still.alice.secret), "bedrock", "us-east-1"
    ).add_auth(request)
    head = a_head(**{name.lower(): value for name, value in request.headers.items()})
    signature = sigv4.parse(head)
    assert signature is not None

    claim = still.examine(head, INVOKE, signature.time)

    assert claim.verify(BODY).user_id == still.user_id("alice")


def test_a_signature_is_for_one_service(still: Desk) -> None:
    assert (
        still.examine(signed(still.alice, service="sts"), STS, NOW).verify(BODY).key == still.alice.access_key
    )
    with pytest.raises(InvalidSignatureException, match="scoped to correct service: 'bedrock'"):
        still.examine(signed(still.alice, service="sts"), INVOKE, NOW)
    with pytest.raises(InvalidSignatureException, match="scoped to correct service: 'sts'"):
        still.examine(signed(still.alice), STS, NOW)


def test_an_endpoint_of_one_region_refuses_another(still: Desk) -> None:
    assert still.examine(signed(still.alice), INVOKE, NOW, region="eu-west-1").region == "eu-west-1"
    with pytest.raises(InvalidSignatureException, match="valid region, not 'eu-west-1'"):
        still.examine(signed(still.alice), INVOKE, NOW, region="us-west-2")


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (lambda _: a_head(), MissingAuthenticationTokenException),
        (lambda desk: a_head(**{"x-api-key": desk.long_term}), MissingAuthenticationTokenException),
        (lambda _: a_head(authorization="Basic eDp5"), IncompleteSignatureException),
        (lambda desk: a_head(authorization=desk.long_term), IncompleteSignatureException),
        (lambda _: signed(Credentials("AKIANOBODY", "secret")), UnrecognizedClientException),
        (lambda _: signed(Credentials("ASIANOBODY", "secret")), UnrecognizedClientException),
        (lambda desk: signed(with_token(desk.alice)), UnrecognizedClientException),
        (lambda _: bearing("sk-ant-x"), InvalidApiKey),
        (lambda _: bearing(""), InvalidApiKey),
        (lambda _: a_head(authorization="Bearer"), InvalidApiKey),
    ],
)
def test_what_the_head_gives_away_is_refused_before_the_body(
    still: Desk, head: Callable[[Desk], Head], fault: type[Fault]
) -> None:
    with pytest.raises(Fault) as refused:
        still.examine(head(still), INVOKE, NOW)

    assert type(refused.value) is fault


def test_a_stale_clock_is_refused_before_the_body(still: Desk) -> None:
    with pytest.raises(InvalidSignatureException, match="Signature expired"):
        still.examine(signed(still.alice), INVOKE, NOW + 301)
    with pytest.raises(InvalidSignatureException, match="Signature not yet current"):
        still.examine(signed(still.alice), INVOKE, NOW - 301)
    patient = Identity(still.people, "us-west-2", window=900)
    patient.examine(signed(still.alice), INVOKE, NOW + 900, "", still.people.store.snapshot())


def test_a_wrong_secret_is_refused_with_the_body(still: Desk) -> None:
    for credentials in (Credentials(still.alice.access_key, "wrong"), still.bob):
        claim = still.examine(signed(credentials), INVOKE, NOW)

        with pytest.raises(InvalidSignatureException):
            claim.verify(BODY)


def test_another_body_is_refused(still: Desk) -> None:
    with pytest.raises(InvalidSignatureException):
        still.examine(signed(still.alice), INVOKE, NOW).verify(b"")


def test_a_revoked_key_is_nobodys(tmp_path: Path) -> None:
    desk, elsewhere = Desk(principals(tmp_path)), principals(tmp_path)  # as a command in another process
    head = signed(desk.alice)
    assert desk.examine(head, INVOKE, NOW).verify(BODY).account == elsewhere.account

    elsewhere.revoke(desk.alice.access_key)

    with pytest.raises(UnrecognizedClientException):
        desk.examine(head, INVOKE, NOW)


def test_a_deleted_users_keys_are_nobodys_even_when_the_user_is_made_again(desk: Desk) -> None:
    session = desk.session().credentials
    short = bearer.make_short_term(desk.alice, "us-west-2", NOW)
    _, long = desk.people.create_api_key("alice")
    for head in (signed(desk.alice), signed(session), bearing(short), bearing(long)):
        desk.examine(head, INVOKE, NOW)

    desk.people.delete_user(desk.arn)
    for _ in range(2):
        for head in (signed(desk.alice), signed(session)):
            with pytest.raises(UnrecognizedClientException):
                desk.examine(head, INVOKE, NOW)
        assert refused_text(desk, bearing(short)) == refused_text(desk, bearing(long)) == INVALID
        if not desk.people.has_user("alice"):
            desk.people.create_user("alice")


def test_a_key_whose_user_is_gone_from_the_state_is_nobodys(desk: Desk) -> None:
    desk.people.store.change(lambda state: state.delete(User, desk.arn))

    with pytest.raises(UnrecognizedClientException):
        desk.examine(signed(desk.alice), INVOKE, NOW)


def test_keys_of_several_accounts_are_told_apart(desk: Desk) -> None:
    other = desk.people.create_account().id
    key, secret = desk.people.create_access_key("alice", account=other)
    _, token = desk.people.create_api_key("alice", account=other)

    for head in (signed(Credentials(key.id, secret)), bearing(token)):
        proven = desk.examine(head, INVOKE, NOW).verify(BODY)
        assert (proven.account, proven.arn) == (other, f"arn:aws:iam::{other}:user/alice")


def test_the_secret_is_decrypted_for_the_first_call_only(tmp_path: Path) -> None:
    sealer = PlainSealer()
    desk = Desk(principals(tmp_path, sealer))
    desk.examine(signed(desk.alice), INVOKE, NOW)
    before = sealer.opened

    for _ in range(3):
        desk.examine(signed(desk.alice), INVOKE, NOW).verify(BODY)

    assert sealer.opened == before


# ── temporary credentials ─────────────────────────────────────────────────────────────────────────


def test_a_session_stands_for_its_parent_until_it_ends(still: Desk) -> None:
    session = still.session()

    claim = still.examine(signed(session.credentials), INVOKE, NOW)

    assert session.expires == NOW + 900
    assert session.credentials.access_key.startswith("ASIA")
    assert (len(session.credentials.access_key), len(session.credentials.secret)) == (20, 40)
    user_id = still.user_id("alice")
    assert claim.verify(BODY) == Principal(
        still.arn, user_id, still.account, session.credentials.access_key, owner=still.arn
    )


def test_sessions_need_no_memory(tmp_path: Path) -> None:
    desk = Desk(principals(tmp_path))
    head = signed(desk.session().credentials)
    people = principals(tmp_path)
    elsewhere = Identity(people, "us-west-2")

    proven = elsewhere.examine(head, INVOKE, NOW, "", people.store.snapshot()).verify(BODY)

    assert proven.user_id == desk.user_id("alice")


def test_a_session_token_of_an_older_version_is_read(still: Desk) -> None:
    import hmac
    from base64 import urlsafe_b64encode

    from outcrop.service import identity

    secret = still.people.session_secret(still.people.store.snapshot())
    payload = msgspec.msgpack.encode((still.alice.access_key, int(NOW), int(NOW) + 900, RANDOM))
    mac = hmac.digest(secret, b"token\0" + payload, "sha256")
    credentials = identity._derive(secret, payload, urlsafe_b64encode(payload + mac).decode())

    assert still.examine(signed(credentials), INVOKE, NOW).verify(BODY).arn == still.arn


def test_a_session_that_has_ended_is_expired(still: Desk) -> None:
    head = signed(still.session(seconds=10).credentials)

    still.examine(head, INVOKE, NOW + 9.9)
    with pytest.raises(ExpiredTokenException) as refused:
        still.examine(head, INVOKE, NOW + 10)
    assert refused.value.text == "The security token included in the request is expired"


def test_revoking_the_parent_ends_its_sessions(desk: Desk) -> None:
    head = signed(desk.session().credentials)
    desk.examine(head, INVOKE, NOW)

    desk.people.revoke(desk.alice.access_key)

    with pytest.raises(UnrecognizedClientException):
        desk.examine(head, INVOKE, NOW)


def test_another_session_secret_knows_none_of_the_sessions(desk: Desk) -> None:
    head = signed(desk.session().credentials)
    desk.examine(head, INVOKE, NOW)

    def other(state: Transaction) -> Installation:
        return install(state, PlainSealer(), desk.account, b"t" * 32, 0)

    desk.people.store.change(other)

    with pytest.raises(UnrecognizedClientException):
        desk.examine(head, INVOKE, NOW)


def test_two_sessions_share_nothing(still: Desk) -> None:
    one = still.session().credentials
    other = still.session(salt=b"another rand").credentials

    assert one.access_key != other.access_key
    assert one.secret != other.secret
    for mixed in (
        Credentials(one.access_key, one.secret, other.token),
        Credentials(other.access_key, one.secret, one.token),
        Credentials(one.access_key, one.secret),
    ):
        with pytest.raises(UnrecognizedClientException):
            still.examine(signed(mixed), INVOKE, NOW)
    with pytest.raises(InvalidSignatureException):
        still.examine(signed(Credentials(one.access_key, other.secret, one.token)), INVOKE, NOW).verify(BODY)


@settings(max_examples=200, deadline=None)
@given(
    place=st.integers(0),
    char=st.characters(codec="utf-8"),
    how=st.sampled_from(["replace", "insert", "delete", "append"]),
)
def test_no_mutated_session_token_is_accepted(still: Desk, place: int, char: str, how: str) -> None:
    session = still.assumed(policy=READER_POLICY).credentials
    token = session.token
    place = len(token) if how == "append" else place % len(token)
    changed = (
        token[:place] + ("" if how == "delete" else char) + token[place + (how in ("replace", "delete")) :]
    )
    assume(changed != token)

    with pytest.raises(UnrecognizedClientException):
        still.examine(signed(msgspec.structs.replace(session, token=changed)), INVOKE, NOW)


@pytest.mark.parametrize(
    "token", ["", "é", "A", "AAAA", "A" * 4000, "A" * 8000, b64encode(b"x" * 31).decode()]
)
def test_a_token_that_is_none_is_unrecognized(still: Desk, token: str) -> None:
    with pytest.raises(UnrecognizedClientException):
        still.examine(signed(Credentials("ASIAX", "secret", token)), INVOKE, NOW)


def test_a_session_has_no_sessions(still: Desk) -> None:
    with pytest.raises(AccessDeniedException) as refused:
        still.session(parent=still.session().credentials.access_key)
    assert refused.value.text == "Cannot call GetSessionToken with session credentials"


def test_an_unknown_key_has_no_sessions(still: Desk) -> None:
    with pytest.raises(UnrecognizedClientException):
        still.session(parent="AKIANOBODY")
    with pytest.raises(ValueError, match="12 random bytes"):
        still.session(salt=b"few")


def test_a_session_works_at_sts_too(still: Desk) -> None:
    head = signed(still.session().credentials, service="sts")

    assert still.examine(head, STS, NOW).verify(BODY).user_id == still.user_id("alice")


# ── assumed roles ─────────────────────────────────────────────────────────────────────────────────


def test_a_roles_session_has_its_own_arn_and_the_roles_policies(still: Desk) -> None:
    session = still.assumed(policy=READER_POLICY, name="job@7")

    proven = still.examine(signed(session.credentials), INVOKE, NOW).verify(BODY)

    assert proven == Principal(
        f"arn:aws:sts::{still.account}:assumed-role/reader/job@7",
        f"{still.role.role_id}:job@7",
        still.account,
        session.credentials.access_key,
        owner=still.role.arn,
        via=(still.arn,),
        session_policy=READER_POLICY,
    )


def test_a_roles_session_ends_on_time(still: Desk) -> None:
    head = signed(still.assumed(10).credentials)

    still.examine(head, INVOKE, NOW + 9.9)
    with pytest.raises(ExpiredTokenException):
        still.examine(head, INVOKE, NOW + 10)


def test_a_roles_session_ends_with_the_key_it_comes_from(desk: Desk) -> None:
    head = signed(desk.assumed().credentials)
    desk.examine(head, INVOKE, NOW)

    desk.people.revoke(desk.alice.access_key)

    with pytest.raises(UnrecognizedClientException) as refused:
        desk.examine(head, INVOKE, NOW)
    assert refused.value.reason.endswith("is revoked")


def test_a_roles_session_ends_with_the_role_even_when_it_is_made_again(desk: Desk) -> None:
    head = signed(desk.assumed().credentials)
    desk.examine(head, INVOKE, NOW)

    desk.people.delete_role(desk.role.arn)
    for _ in range(2):
        with pytest.raises(UnrecognizedClientException) as refused:
            desk.examine(head, INVOKE, NOW)
        assert refused.value.reason.endswith("is deleted")
        if not desk.people.roles():
            desk.people.create_role("reader", trusting(desk.arn))


def test_a_session_of_a_longest_policy_that_nothing_can_deflate_is_still_read(still: Desk) -> None:
    policy = "".join(chr(32 + hash_byte % 224) for hash_byte in noise(2048))
    session = still.assumed(policy=policy)

    assert still.examine(signed(session.credentials), INVOKE, NOW).verify(BODY).session_policy == policy
    short = bearer.make_short_term(session.credentials, "us-west-2", NOW)
    assert still.examine(bearing(short), INVOKE, NOW).verify(b"").session_policy == policy


def test_where_credentials_come_from(still: Desk) -> None:
    state = still.people.store.snapshot()
    parent = still.alice.access_key
    for credentials, roles in (
        (still.alice, ()),
        (still.session().credentials, ()),
        (still.assumed().credentials, (still.role.arn,)),
    ):
        found = still.identity.origin(signed(credentials, service="sts"), state)
        assert found == Origin(parent, roles)


# ── API keys ──────────────────────────────────────────────────────────────────────────────────────


def refused_text(still: Desk, head: Head, now: float = NOW, **options: Any) -> str:
    with pytest.raises(InvalidApiKey) as refused:
        still.examine(head, INVOKE, now, **options)
    return refused.value.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_long_term_key_is_enough_and_the_body_does_not_matter(still: Desk, scheme: str) -> None:
    claim = still.examine(bearing(still.long_term, scheme), INVOKE, NOW)

    assert claim.region == "us-west-2"
    assert claim.verify(b"anything") == Principal(
        still.token_key.owner,
        still.user_id("carol"),
        still.account,
        still.token_key.name,
        still.token_key.owner,
    )


def test_a_long_term_key_takes_the_region_of_the_address(still: Desk) -> None:
    assert still.examine(bearing(still.long_term), INVOKE, NOW, region="eu-west-1").region == "eu-west-1"


def test_a_wrong_secret_and_an_unknown_key_are_told_alike(still: Desk) -> None:
    name = still.token_key.name
    for wrong, secret in (
        (name, "hidden"),
        (f"{name}+1", "hidden"),
        (name.replace(still.account, "010987654321"), "hidden"),
        (f"BedrockAPIKey-none-at-{still.account}", "hidden"),
    ):
        assert refused_text(still, bearing(bearer.make_long_term(wrong, secret))) == INVALID


def test_a_long_term_key_ends_when_it_says(desk: Desk) -> None:
    key, token = desk.people.create_api_key("carol", expires=int(NOW))

    desk.examine(bearing(token), INVOKE, NOW - 1)
    assert refused_text(desk, bearing(token)) == EXPIRED
    assert refused_text(desk, bearing(bearer.make_long_term(key.name, "wrong"))) == INVALID


def test_an_api_key_works_until_it_is_revoked(desk: Desk) -> None:
    assert desk.examine(bearing(desk.long_term), INVOKE, NOW).verify(b"").arn == desk.token_key.owner

    desk.people.revoke(desk.token_key.name)

    assert refused_text(desk, bearing(desk.long_term)) == INVALID


def test_a_short_term_key_stands_for_whoever_made_it(still: Desk) -> None:
    token = bearer.make_short_term(still.alice, "ap-southeast-2", NOW, 60)

    claim = still.examine(bearing(token), INVOKE, NOW + 60)

    assert claim.region == "ap-southeast-2"
    assert claim.verify(b"anything").user_id == still.user_id("alice")
    assert refused_text(still, bearing(token), now=NOW + 61) == EXPIRED
    assert refused_text(still, bearing(token), region="us-west-2") == INVALID


def test_a_short_term_key_of_a_session_ends_with_the_session(still: Desk) -> None:
    session = still.session(seconds=900)
    token = bearer.make_short_term(session.credentials, "us-west-2", NOW)

    assert still.examine(bearing(token), INVOKE, NOW + 899).verify(b"").key == session.credentials.access_key
    assert refused_text(still, bearing(token), now=NOW + 900) == EXPIRED


def test_a_short_term_key_of_nobody_is_refused(still: Desk) -> None:
    for credentials in (
        Credentials(still.alice.access_key, "wrong"),
        Credentials("AKIANOBODY", "secret"),
        with_token(still.alice),
        Credentials("ASIAX", "secret", "a token"),
        Credentials("ASIAX", "secret"),
    ):
        token = bearer.make_short_term(credentials, "us-west-2", NOW)
        assert refused_text(still, bearing(token)) == INVALID


def test_a_short_term_key_dies_with_the_key_that_made_it(desk: Desk) -> None:
    token = bearer.make_short_term(desk.alice, "us-west-2", NOW)
    desk.examine(bearing(token), INVOKE, NOW)

    desk.people.revoke(desk.alice.access_key)

    assert refused_text(desk, bearing(token)) == INVALID


def test_what_is_inside_a_short_term_key_is_no_signature_for_anything_else(still: Desk) -> None:
    inside = b64decode(
        bearer.make_short_term(still.alice, "us-west-2", NOW).removeprefix("bedrock-api-key-")
    ).decode()
    query = inside.partition("?")[2].removesuffix("&Version=1")
    head = Head("POST", "/model/x%3A0/invoke", query, {"host": "bedrock.amazonaws.com"})

    with pytest.raises(InvalidSignatureException):
        still.examine(head, INVOKE, NOW).verify(b"")


def test_sts_takes_no_api_keys(still: Desk) -> None:
    for token in (still.long_term, bearer.make_short_term(still.alice, "us-west-2", NOW)):
        with pytest.raises(MissingAuthenticationTokenException):
            still.examine(bearing(token), STS, NOW)


def test_two_authorizations_are_none(still: Desk) -> None:
    for text in (
        f"Bearer {still.long_term},Bearer {still.long_term}",
        f"Bearer {still.long_term},{signed(still.alice).headers['authorization']}",
    ):
        assert refused_text(still, a_head(authorization=text)) == INVALID


def test_no_secret_shows_in_a_repr(still: Desk) -> None:
    shown = repr(still.examine(signed(still.alice), INVOKE, NOW)) + repr(still.session())

    assert still.alice.secret not in shown
    assert still.session().credentials.token not in shown
