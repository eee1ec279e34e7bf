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
from outcrop.service.identity import Identity, Session
from outcrop.store.keys import AccessKey, ApiKey, KeyFile
from outcrop.wire import bearer, sigv4
from outcrop.wire.http import Head
from outcrop.wire.operations import BY_NAME
from outcrop.wire.sigv4 import Credentials

NOW = 1_795_348_800.0  # 2026-11-22T12:00:00Z
ACCOUNT = "123456789012"
BODY = b'{"max_tokens":10}'
INVOKE = BY_NAME["InvokeModel"]
STS = BY_NAME["GetCallerIdentity"]
RANDOM = b"0123456789ab"
INVALID = "Authentication failed: Please make sure your API Key is valid."
EXPIRED = "Bearer Token has expired"


class Memory:
    """Keys in a dict; revoked ones are taken out of it, as KeyFile does not find them either."""

    def __init__(self) -> None:
        self.session_secret = b"s" * 32
        self.access_keys: dict[str, AccessKey] = {}
        self.api_keys: dict[str, ApiKey] = {}

    def find(self, access_key_id: str) -> AccessKey | None:
        return self.access_keys.get(access_key_id)

    def find_api_key(self, name: str) -> ApiKey | None:
        return self.api_keys.get(name)


def memory() -> Memory:
    keys = Memory()
    arn = f"arn:aws:iam::{ACCOUNT}:user/"
    keys.access_keys["AKIAALICE"] = AccessKey("AKIAALICE", "secret-a", "alice", arn + "alice", "AIDAALICE", 1)
    keys.access_keys["AKIABOB"] = AccessKey("AKIABOB", "secret-b", "bob", arn + "bob", "AIDABOB", 1)
    name, digest = f"BedrockAPIKey-ab12-at-{ACCOUNT}", hashlib.sha256(b"hidden").hexdigest()
    keys.api_keys[name] = ApiKey(name, digest, "carol", arn + "carol", "AIDACAROL", 1)
    return keys


ALICE = Credentials("AKIAALICE", "secret-a")
LONG_TERM = bearer.make_long_term(f"BedrockAPIKey-ab12-at-{ACCOUNT}", "hidden")


@pytest.fixture
def keys() -> Memory:
    return memory()


@pytest.fixture
def identity(keys: Memory) -> Identity:
    return Identity(keys, "us-west-2")


def a_head(**headers: str) -> Head:
    return Head("POST", "/model/x%3A0/invoke", "", {"host": "127.0.0.1:8080", **headers})


def signed(credentials: Credentials, service: str = "bedrock", region: str = "eu-west-1") -> Head:
    head = a_head()
    return a_head(**sigv4.sign(head, BODY, credentials, region, service, NOW))


def bearing(token: str, scheme: str = "Bearer") -> Head:
    return a_head(authorization=f"{scheme} {token}")


def session_of(identity: Identity, seconds: int = 900) -> Session:
    return identity.issue_session("AKIAALICE", seconds, NOW, RANDOM)


# ── access keys ───────────────────────────────────────────────────────────────────────────────────


def test_a_signed_request_proves_its_user_and_region(identity: Identity) -> None:
    claim = identity.examine(signed(ALICE), INVOKE, NOW)

    assert claim.region == "eu-west-1"
    assert claim.verify(BODY) == Principal(
        f"arn:aws:iam::{ACCOUNT}:user/alice", "AIDAALICE", ACCOUNT, "AKIAALICE"
    )


def test_botocore_proves_its_user(identity: Identity) -> None:
    request = AWSRequest("POST", "http://127.0.0.1:8080/model/x%3A0/invoke", data=BODY)
    SigV4Auth(BotocoreCredentials("AKIAALICE", "secret-a"), "bedrock", "us-east-1").add_auth(request)
    head = a_head(**{name.lower(): value for name, value in request.headers.items()})
    signature = sigv4.parse(head)
    assert signature is not None

    claim = identity.examine(head, INVOKE, signature.time)

    assert claim.verify(BODY).user_id == "AIDAALICE"


def test_a_signature_is_for_one_service(identity: Identity) -> None:
    assert identity.examine(signed(ALICE, service="sts"), STS, NOW).verify(BODY).key == "AKIAALICE"
    with pytest.raises(InvalidSignatureException, match="scoped to correct service: 'bedrock'"):
        identity.examine(signed(ALICE, service="sts"), INVOKE, NOW)
    with pytest.raises(InvalidSignatureException, match="scoped to correct service: 'sts'"):
        identity.examine(signed(ALICE), STS, NOW)


def test_an_endpoint_of_one_region_refuses_another(identity: Identity) -> None:
    assert identity.examine(signed(ALICE), INVOKE, NOW, region="eu-west-1").region == "eu-west-1"
    with pytest.raises(InvalidSignatureException, match="valid region, not 'eu-west-1'"):
        identity.examine(signed(ALICE), INVOKE, NOW, region="us-west-2")


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (a_head, MissingAuthenticationTokenException),
        (lambda: a_head(**{"x-api-key": LONG_TERM}), MissingAuthenticationTokenException),
        (lambda: a_head(authorization="Basic eDp5"), IncompleteSignatureException),
        (lambda: a_head(authorization=LONG_TERM), IncompleteSignatureException),
        (lambda: signed(Credentials("AKIANOBODY", "secret-a")), UnrecognizedClientException),
        (lambda: signed(Credentials("ASIANOBODY", "secret-a")), UnrecognizedClientException),
        (lambda: signed(Credentials("AKIAALICE", "secret-a", "a token")), UnrecognizedClientException),
        (lambda: bearing("sk-ant-x"), InvalidApiKey),
        (lambda: bearing(""), InvalidApiKey),
        (lambda: a_head(authorization="Bearer"), InvalidApiKey),
    ],
)
def test_what_the_head_gives_away_is_refused_before_the_body(
    identity: Identity, head: Callable[[], Head], fault: type[Fault]
) -> None:
    with pytest.raises(Fault) as refused:
        identity.examine(head(), INVOKE, NOW)

    assert type(refused.value) is fault


def test_a_stale_clock_is_refused_before_the_body(identity: Identity) -> None:
    with pytest.raises(InvalidSignatureException, match="Signature expired"):
        identity.examine(signed(ALICE), INVOKE, NOW + 301)
    with pytest.raises(InvalidSignatureException, match="Signature not yet current"):
        identity.examine(signed(ALICE), INVOKE, NOW - 301)
    Identity(memory(), "us-west-2", window=900).examine(signed(ALICE), INVOKE, NOW + 900)


@pytest.mark.parametrize(
    "credentials", [Credentials("AKIAALICE", "wrong"), Credentials("AKIABOB", "secret-a")]
)
def test_a_wrong_secret_is_refused_with_the_body(identity: Identity, credentials: Credentials) -> None:
    claim = identity.examine(signed(credentials), INVOKE, NOW)

    with pytest.raises(InvalidSignatureException):
        claim.verify(BODY)


def test_another_body_is_refused(identity: Identity) -> None:
    with pytest.raises(InvalidSignatureException):
        identity.examine(signed(ALICE), INVOKE, NOW).verify(b"")


def test_a_revoked_key_is_nobodys(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    identity = Identity(KeyFile(tmp_path / "keys.json"), "us-west-2")  # as a server in another process
    key = keys.create_access_key("alice")
    head = signed(Credentials(key.id, key.secret))
    assert identity.examine(head, INVOKE, NOW).verify(BODY).account == keys.account

    keys.revoke(key.id)

    with pytest.raises(UnrecognizedClientException):
        identity.examine(head, INVOKE, NOW)


# ── temporary credentials ─────────────────────────────────────────────────────────────────────────


def test_a_session_stands_for_its_parent_until_it_ends(identity: Identity) -> None:
    session = session_of(identity)

    claim = identity.examine(signed(session.credentials), INVOKE, NOW)

    assert session.expires == NOW + 900
    assert session.credentials.access_key.startswith("ASIA")
    assert (len(session.credentials.access_key), len(session.credentials.secret)) == (20, 40)
    assert claim.verify(BODY) == Principal(
        f"arn:aws:iam::{ACCOUNT}:user/alice", "AIDAALICE", ACCOUNT, session.credentials.access_key
    )


def test_sessions_need_no_memory(identity: Identity, keys: Memory) -> None:
    head = signed(session_of(identity).credentials)

    assert Identity(keys, "us-west-2").examine(head, INVOKE, NOW).verify(BODY).user_id == "AIDAALICE"


def test_a_session_that_has_ended_is_expired(identity: Identity) -> None:
    head = signed(session_of(identity, seconds=10).credentials)

    identity.examine(head, INVOKE, NOW + 9.9)
    with pytest.raises(ExpiredTokenException) as refused:
        identity.examine(head, INVOKE, NOW + 10)
    assert refused.value.text == "The security token included in the request is expired"


def test_revoking_the_parent_ends_its_sessions(identity: Identity, keys: Memory) -> None:
    head = signed(session_of(identity).credentials)
    identity.examine(head, INVOKE, NOW)

    del keys.access_keys["AKIAALICE"]

    with pytest.raises(UnrecognizedClientException):
        identity.examine(head, INVOKE, NOW)


def test_another_session_secret_knows_none_of_the_sessions(identity: Identity, keys: Memory) -> None:
    head = signed(session_of(identity).credentials)
    identity.examine(head, INVOKE, NOW)

    keys.session_secret = b"t" * 32

    with pytest.raises(UnrecognizedClientException):
        identity.examine(head, INVOKE, NOW)


def test_two_sessions_share_nothing(identity: Identity) -> None:
    one = session_of(identity).credentials
    other = identity.issue_session("AKIAALICE", 900, NOW, b"another rand").credentials

    assert one.access_key != other.access_key
    assert one.secret != other.secret
    for mixed in (
        Credentials(one.access_key, one.secret, other.token),
        Credentials(other.access_key, one.secret, one.token),
        Credentials(one.access_key, one.secret),
    ):
        with pytest.raises(UnrecognizedClientException):
            identity.examine(signed(mixed), INVOKE, NOW)
    with pytest.raises(InvalidSignatureException):
        identity.examine(signed(Credentials(one.access_key, other.secret, one.token)), INVOKE, NOW).verify(
            BODY
        )


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0), st.characters(codec="utf-8"), st.sampled_from(["replace", "insert", "delete", "append"])
)
def test_no_mutated_session_token_is_accepted(place: int, char: str, how: str) -> None:
    identity = Identity(memory(), "us-west-2")
    session = session_of(identity).credentials
    token = session.token
    place = len(token) if how == "append" else place % len(token)
    changed = (
        token[:place] + ("" if how == "delete" else char) + token[place + (how in ("replace", "delete")) :]
    )
    assume(changed != token)

    with pytest.raises(UnrecognizedClientException):
        identity.examine(signed(msgspec.structs.replace(session, token=changed)), INVOKE, NOW)


@pytest.mark.parametrize("token", ["", "é", "A", "AAAA", "A" * 4000, b64encode(b"x" * 31).decode()])
def test_a_token_that_is_none_is_unrecognized(identity: Identity, token: str) -> None:
    with pytest.raises(UnrecognizedClientException):
        identity.examine(signed(Credentials("ASIAX", "secret", token)), INVOKE, NOW)


def test_a_session_has_no_sessions(identity: Identity) -> None:
    with pytest.raises(AccessDeniedException) as refused:
        identity.issue_session(session_of(identity).credentials.access_key, 900, NOW, RANDOM)
    assert refused.value.text == "Cannot call GetSessionToken with session credentials"


def test_an_unknown_key_has_no_sessions(identity: Identity) -> None:
    with pytest.raises(UnrecognizedClientException):
        identity.issue_session("AKIANOBODY", 900, NOW, RANDOM)
    with pytest.raises(ValueError, match="12 random bytes"):
        identity.issue_session("AKIAALICE", 900, NOW, b"few")


def test_a_session_works_at_sts_too(identity: Identity) -> None:
    head = signed(session_of(identity).credentials, service="sts")

    assert identity.examine(head, STS, NOW).verify(BODY).user_id == "AIDAALICE"


# ── API keys ──────────────────────────────────────────────────────────────────────────────────────


def refused_text(identity: Identity, head: Head, now: float = NOW, **options: Any) -> str:
    with pytest.raises(InvalidApiKey) as refused:
        identity.examine(head, INVOKE, now, **options)
    return refused.value.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_long_term_key_is_enough_and_the_body_does_not_matter(identity: Identity, scheme: str) -> None:
    claim = identity.examine(bearing(LONG_TERM, scheme), INVOKE, NOW)

    assert claim.region == "us-west-2"
    assert claim.verify(b"anything") == Principal(
        f"arn:aws:iam::{ACCOUNT}:user/carol", "AIDACAROL", ACCOUNT, f"BedrockAPIKey-ab12-at-{ACCOUNT}"
    )


def test_a_long_term_key_takes_the_region_of_the_address(identity: Identity) -> None:
    assert identity.examine(bearing(LONG_TERM), INVOKE, NOW, region="eu-west-1").region == "eu-west-1"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        (f"BedrockAPIKey-ab12-at-{ACCOUNT}", "hiddem"),
        (f"BedrockAPIKey-ab12-at-{ACCOUNT}+1", "hidden"),
        ("BedrockAPIKey-ab12-at-210987654321", "hidden"),
        (f"BedrockAPIKey-none-at-{ACCOUNT}", "hidden"),
    ],
)
def test_a_wrong_secret_and_an_unknown_key_are_told_alike(identity: Identity, name: str, secret: str) -> None:
    assert refused_text(identity, bearing(bearer.make_long_term(name, secret))) == INVALID


def test_a_long_term_key_ends_when_it_says(identity: Identity, keys: Memory) -> None:
    name = f"BedrockAPIKey-ab12-at-{ACCOUNT}"
    keys.api_keys[name] = msgspec.structs.replace(keys.api_keys[name], expires=int(NOW))

    identity.examine(bearing(LONG_TERM), INVOKE, NOW - 1)
    assert refused_text(identity, bearing(LONG_TERM)) == EXPIRED
    assert refused_text(identity, bearing(bearer.make_long_term(name, "wrong"))) == INVALID


def test_an_api_key_of_the_key_file_works_until_it_is_revoked(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    identity = Identity(KeyFile(tmp_path / "keys.json"), "us-west-2")
    key, token = keys.create_api_key("alice")
    assert identity.examine(bearing(token), INVOKE, NOW).verify(b"").arn == key.arn

    keys.revoke(key.name)

    assert refused_text(identity, bearing(token)) == INVALID


def test_a_short_term_key_stands_for_whoever_made_it(identity: Identity) -> None:
    token = bearer.make_short_term(ALICE, "ap-southeast-2", NOW, 60)

    claim = identity.examine(bearing(token), INVOKE, NOW + 60)

    assert claim.region == "ap-southeast-2"
    assert claim.verify(b"anything").user_id == "AIDAALICE"
    assert refused_text(identity, bearing(token), now=NOW + 61) == EXPIRED
    assert refused_text(identity, bearing(token), region="us-west-2") == INVALID


def test_a_short_term_key_of_a_session_ends_with_the_session(identity: Identity) -> None:
    session = session_of(identity, seconds=900)
    token = bearer.make_short_term(session.credentials, "us-west-2", NOW)

    assert (
        identity.examine(bearing(token), INVOKE, NOW + 899).verify(b"").key == session.credentials.access_key
    )
    assert refused_text(identity, bearing(token), now=NOW + 900) == EXPIRED


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("AKIAALICE", "wrong"),
        Credentials("AKIANOBODY", "secret-a"),
        Credentials("AKIAALICE", "secret-a", "a token"),
        Credentials("ASIAX", "secret-a", "a token"),
        Credentials("ASIAX", "secret-a"),
    ],
)
def test_a_short_term_key_of_nobody_is_refused(identity: Identity, credentials: Credentials) -> None:
    assert refused_text(identity, bearing(bearer.make_short_term(credentials, "us-west-2", NOW))) == INVALID


def test_a_short_term_key_dies_with_the_key_that_made_it(identity: Identity, keys: Memory) -> None:
    token = bearer.make_short_term(ALICE, "us-west-2", NOW)
    identity.examine(bearing(token), INVOKE, NOW)

    del keys.access_keys["AKIAALICE"]

    assert refused_text(identity, bearing(token)) == INVALID


def test_what_is_inside_a_short_term_key_is_no_signature_for_anything_else(identity: Identity) -> None:
    inside = b64decode(
        bearer.make_short_term(ALICE, "us-west-2", NOW).removeprefix("bedrock-api-key-")
    ).decode()
    query = inside.partition("?")[2].removesuffix("&Version=1")
    head = Head("POST", "/model/x%3A0/invoke", query, {"host": "bedrock.amazonaws.com"})

    with pytest.raises(InvalidSignatureException):
        identity.examine(head, INVOKE, NOW).verify(b"")


def test_sts_takes_no_api_keys(identity: Identity) -> None:
    for token in (LONG_TERM, bearer.make_short_term(ALICE, "us-west-2", NOW)):
        with pytest.raises(MissingAuthenticationTokenException):
            identity.examine(bearing(token), STS, NOW)


def test_two_authorizations_are_none(identity: Identity) -> None:
    for text in (
        f"Bearer {LONG_TERM},Bearer {LONG_TERM}",
        f"Bearer {LONG_TERM},{signed(ALICE).headers['authorization']}",
    ):
        assert refused_text(identity, a_head(authorization=text)) == INVALID


def test_no_secret_shows_in_a_repr(identity: Identity) -> None:
    shown = repr(identity.examine(signed(ALICE), INVOKE, NOW)) + repr(session_of(identity))

    assert "secret-a" not in shown
    assert session_of(identity).credentials.token not in shown
