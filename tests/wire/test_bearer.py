"""API keys: made as AWS's own generator makes them, read back, and verified for what they claim."""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from outcrop.errors import InvalidApiKey
from outcrop.wire import bearer
from outcrop.wire.bearer import LongTermKey, ShortTermKey
from outcrop.wire.sigv4 import Credentials

NOW = 1_795_348_800.0  # 2026-11-22T12:00:00Z
KEY = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
TEMPORARY = Credentials("ASIAIOSFODNN7EXAMPLE", KEY.secret, "FwoG/with+signs==")
INVALID = "Authentication failed: Please make sure your API Key is valid."


def as_the_generator_makes_it(credentials: Credentials, region: str, expires: int = 43_200) -> str:
    """What aws-bedrock-token-generator does, step by step, with botocore's presigner."""
    request = AWSRequest(
        "POST",
        "https://bedrock.amazonaws.com/",
        headers={"host": "bedrock.amazonaws.com"},
        params={"Action": "CallWithBearerToken"},
    )
    theirs = BotocoreCredentials(credentials.access_key, credentials.secret, credentials.token or None)
    with patch("botocore.auth.get_current_datetime", lambda *_, **__: datetime.fromtimestamp(NOW, UTC)):
        SigV4QueryAuth(theirs, "bedrock", region, expires=expires).add_auth(request)
    return "bedrock-api-key-" + b64encode(f"{request.url[8:]}&Version=1".encode()).decode()


def judge(token: str, now: float = NOW, secret: str = KEY.secret) -> ShortTermKey:
    key = bearer.parse(token)
    assert isinstance(key, ShortTermKey)
    bearer.check_short_term(key, now)
    bearer.verify_short_term(key, secret)
    return key


def inside(token: str) -> str:
    return b64decode(token.removeprefix("bedrock-api-key-")).decode()


def around(text: str) -> str:
    return "bedrock-api-key-" + b64encode(text.encode()).decode()


@pytest.mark.parametrize("credentials", [KEY, TEMPORARY])
def test_a_short_term_key_is_the_one_awss_generator_makes(credentials: Credentials) -> None:
    ours = bearer.make_short_term(credentials, "eu-west-1", NOW)

    assert ours == as_the_generator_makes_it(credentials, "eu-west-1")
    key = judge(ours)
    assert key.region == "eu-west-1"
    assert key.signature.access_key == credentials.access_key
    assert key.signature.token == credentials.token


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["us-east-1", "ap-southeast-2", "us-gov-west-1"]), st.integers(1, 43_200))
def test_a_key_of_botocores_presigner_is_good_until_it_expires(region: str, expires: int) -> None:
    token = as_the_generator_makes_it(TEMPORARY, region, expires)

    assert judge(token, now=NOW + expires).region == region
    with pytest.raises(InvalidApiKey) as refused:
        judge(token, now=NOW + expires + 1)
    assert refused.value.text == "Bearer Token has expired"


def test_a_key_from_the_future_is_refused() -> None:
    with pytest.raises(InvalidApiKey) as refused:
        judge(bearer.make_short_term(KEY, "us-west-2", NOW), now=NOW - 301)
    assert refused.value.text == INVALID


def test_another_secret_did_not_make_the_key() -> None:
    with pytest.raises(InvalidApiKey) as refused:
        judge(bearer.make_short_term(KEY, "us-west-2", NOW), secret="another")
    assert refused.value.text == INVALID


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bedrock.amazonaws.com/", "bedrock.example.com/"),
        ("bedrock.amazonaws.com/", "bedrock.amazonaws.com/x"),
        ("bedrock.amazonaws.com/", "https://bedrock.amazonaws.com/"),
        ("CallWithBearerToken", "GetCallerIdentity"),
        ("Action=CallWithBearerToken&", ""),
        ("%2Fus-west-2%2F", "%2Fus-east-1%2F"),
        ("%2Fbedrock%2F", "%2Fsts%2F"),
        ("X-Amz-Expires=43200", "X-Amz-Expires=43199"),
        ("X-Amz-Expires=43200", "X-Amz-Expires=604800"),
        ("X-Amz-Date=20261122T120000Z", "X-Amz-Date=20261122T110000Z"),
        ("&Version=1", ""),
        ("&Version=1", "&Version=2"),
        ("&Version=1", "&Version=1&Version=1"),
        ("&Version=1", "&Version=1&a=1"),
        ("Action=", "a=1&Action="),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=accept"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""),
    ],
)
def test_a_changed_key_is_refused(old: str, new: str) -> None:
    text = inside(bearer.make_short_term(KEY, "us-west-2", NOW))
    assert old in text

    with pytest.raises(InvalidApiKey):
        judge(around(text.replace(old, new)))


@settings(max_examples=200, deadline=None)
@given(st.integers(0), st.characters(min_codepoint=0x21, max_codepoint=0x7E))
def test_no_mutated_key_is_accepted(place: int, char: str) -> None:
    text = inside(bearer.make_short_term(KEY, "us-west-2", NOW))
    place %= len(text)
    changed = text[:place] + char + text[place + 1 :]
    assume(changed.lower() != text.lower())

    try:
        key = judge(around(changed))
    except InvalidApiKey:
        return
    # the key id itself is not signed: another one is looked up, and has another secret
    assert key.signature.access_key != KEY.access_key


@pytest.mark.parametrize("expires", [0, 43_201])
def test_a_key_is_not_made_for_longer_than_twelve_hours(expires: int) -> None:
    with pytest.raises(ValueError, match="1 to 43200 seconds"):
        bearer.make_short_term(KEY, "us-west-2", NOW, expires)


@pytest.mark.parametrize(
    "name", ["BedrockAPIKey-ab12-at-123456789012", "BedrockAPIKey-ab12-at-123456789012+1"]
)
def test_a_long_term_key_goes_there_and_back(name: str) -> None:
    token = bearer.make_long_term(name, "s:ecret=")

    assert token.startswith("ABSK")
    assert bearer.parse(token) == LongTermKey(name, "123456789012", "s:ecret=")


@pytest.mark.parametrize(("name", "secret"), [("alice", "s"), ("BedrockAPIKey-ab12-at-123456789012", "")])
def test_a_long_term_key_needs_a_name_and_a_secret(name: str, secret: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        bearer.make_long_term(name, secret)


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("", "Invalid API Key format: Must start with pre-defined prefix"),
        ("sk-ant-api03-x", "Invalid API Key format: Must start with pre-defined prefix"),
        (
            "absk" + encoded("BedrockAPIKey-a-at-123456789012:s"),
            "Invalid API Key format: Must start with pre-defined prefix",
        ),
        ("ABSK", INVALID),
        ("ABSK!!!!", INVALID),
        ("ABSKé", INVALID),
        ("ABSK" + b64encode(b"\xff\xfe").decode(), INVALID),
        ("ABSK" + encoded("BedrockAPIKey-a-at-123456789012"), INVALID),
        ("ABSK" + encoded("BedrockAPIKey-a-at-123456789012:"), INVALID),
        ("ABSK" + encoded("BedrockAPIKey-a-at-12345678901:secret"), INVALID),
        ("ABSK" + encoded("alice:secret"), INVALID),
        ("ABSK" + "A" * 20_000, INVALID),
        ("bedrock-api-key-", INVALID),
        (
            "bedrock-api-key-" + encoded("bedrock.amazonaws.com/?Action=CallWithBearerToken&Version=1"),
            INVALID,
        ),
    ],
)
def test_a_malformed_key_is_refused_in_awss_words(token: str, text: str) -> None:
    with pytest.raises(InvalidApiKey) as refused:
        bearer.parse(token)

    assert (refused.value.text, refused.value.status, refused.value.name) == (
        text,
        403,
        "AccessDeniedException",
    )


def test_no_secret_shows_in_a_repr() -> None:
    long_term = bearer.parse(bearer.make_long_term("BedrockAPIKey-a-at-123456789012", "hidden"))
    short_term = bearer.parse(bearer.make_short_term(TEMPORARY, "us-west-2", NOW))

    assert "hidden" not in repr(long_term)
    assert "Signature" not in repr(short_term)
    assert "FwoG" not in repr(short_term)
