"""Bedrock API keys: what is inside a bearer token, and how to make one. Knows no keys and no clock.

    long-term    ABSK + base64 of  BedrockAPIKey-<id>-at-<account>[+N]:<secret>
    short-term   bedrock-api-key- + base64 of a signed URL without its scheme:
                 bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-…&X-Amz-Signature=…&Version=1

`+N` marks a user's further keys. In a short-term key `&Version=1` stands outside the signature: it is added
after signing. Sources: the public package aws-bedrock-token-generator (the oracle of the tests) and published
detectors of leaked keys.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import Final, TypeAlias

import msgspec

from outcrop.errors import AuthFault, InvalidApiKey
from outcrop.wire import sigv4
from outcrop.wire.http import Head
from outcrop.wire.sigv4 import Credentials, Signature

LONG_TERM: Final = "ABSK"
SHORT_TERM: Final = "bedrock-api-key-"
LONGEST_EXPIRY: Final = 43_200  # seconds: twelve hours, the generator's only lifetime
SERVICE: Final = "bedrock"
# A session token inside makes the longest; more than this is no key of ours or AWS's.
_LONGEST_TOKEN: Final = 16_384

_HOST: Final = "bedrock.amazonaws.com"
_ACTION: Final = "Action=CallWithBearerToken"
_VERSION: Final = "&Version=1"
_NAME: Final = re.compile(r"BedrockAPIKey-[A-Za-z0-9]{1,64}-at-([0-9]{12})(?:\+[0-9]{1,4})?")


class LongTermKey(msgspec.Struct, frozen=True):
    """A key that stands for itself: its name (`BedrockAPIKey-…-at-…`), its account and its secret."""

    name: str
    account: str
    secret: str

    def __repr__(self) -> str:
        return f"LongTermKey({self.name!r}, …)"


class ShortTermKey(msgspec.Struct, frozen=True):
    """A key that wraps a signed request: whoever owns `signature.access_key` signed `head`."""

    head: Head
    signature: Signature

    def __repr__(self) -> str:
        return f"ShortTermKey({self.signature.access_key!r}, …)"

    @property
    def region(self) -> str:
        """The region the key was made for."""
        return self.signature.scope.region


Key: TypeAlias = LongTermKey | ShortTermKey


def parse(token: str) -> Key:
    """What a bearer token holds; nothing of it is verified yet. Raises InvalidApiKey when it is malformed."""
    if token.startswith(LONG_TERM):
        return _long_term(_decoded(token.removeprefix(LONG_TERM)))
    if token.startswith(SHORT_TERM):
        return _short_term(_decoded(token.removeprefix(SHORT_TERM)))
    raise InvalidApiKey("Invalid API Key format: Must start with pre-defined prefix")


def check_short_term(key: ShortTermKey, now: float) -> None:
    """What can be judged without the secret: a short-term key's time, service and form of region.

    `now` is in epoch seconds. Raises InvalidApiKey, with AWS's own text for a key that has expired.
    """
    signature = key.signature
    if signature.expires is None or signature.time + signature.expires < now:
        raise InvalidApiKey("Bearer Token has expired")
    try:
        sigv4.check_time(signature, now)
        sigv4.check_scope(signature, SERVICE)
    except AuthFault as error:
        raise InvalidApiKey(reason=error.text) from error


def verify_short_term(key: ShortTermKey, secret: str) -> None:
    """Whether the owner of `secret` made this key. Raises InvalidApiKey."""
    try:
        sigv4.verify(key.signature, secret, key.head, b"")
    except AuthFault as error:
        raise InvalidApiKey(reason=error.reason or "the signature inside the key is wrong") from error


def make_long_term(name: str, secret: str) -> str:
    """The token of a long-term key. Raises ValueError for a name that is not a key's."""
    if _NAME.fullmatch(name) is None or not secret:
        raise ValueError(f"not the name of a Bedrock API key: {name!r}")
    return LONG_TERM + b64encode(f"{name}:{secret}".encode()).decode()


def make_short_term(credentials: Credentials, region: str, now: float, expires: int = LONGEST_EXPIRY) -> str:
    """A token that lets its bearer call Bedrock in `region` for `expires` seconds (1 to 43,200) from `now`.

    It ends earlier when `credentials` are temporary and end earlier. Raises ValueError for another lifetime.
    """
    if not 1 <= expires <= LONGEST_EXPIRY:
        raise ValueError(f"a short-term API key lives 1 to {LONGEST_EXPIRY} seconds, not {expires}")
    query = sigv4.presign(_request(_ACTION), credentials, region, SERVICE, now, expires)
    return SHORT_TERM + b64encode(f"{_HOST}/?{query}{_VERSION}".encode()).decode()


def _request(query: str) -> Head:
    return Head("POST", "/", query, {"host": _HOST})


def _decoded(encoded: str) -> str:
    if len(encoded) > _LONGEST_TOKEN:
        raise InvalidApiKey(reason="the API key is too long")
    try:
        return b64decode(encoded, validate=True).decode()
    except ValueError as error:  # binascii.Error and UnicodeDecodeError are both
        raise InvalidApiKey(reason="the API key is not base64 of text") from error


def _long_term(text: str) -> LongTermKey:
    name, _, secret = text.partition(":")
    found = _NAME.fullmatch(name)
    if found is None or not secret:
        raise InvalidApiKey(reason="the API key does not hold a name and a secret")
    return LongTermKey(name, found[1], secret)


def _short_term(text: str) -> ShortTermKey:
    address, _, query = text.partition("?")
    signed = query.removesuffix(_VERSION)
    # the action comes first where the generator makes it; anywhere in the signed query is as good
    if address != f"{_HOST}/" or signed == query or _ACTION not in signed.split("&"):
        raise InvalidApiKey(reason="the API key does not hold a call of CallWithBearerToken")
    head = _request(signed)
    try:
        signature = sigv4.parse(head)
    except AuthFault as error:
        raise InvalidApiKey(reason=error.text) from error
    if signature is None or signature.expires is None or signature.expires > LONGEST_EXPIRY:
        raise InvalidApiKey(reason="the API key is not signed, or for longer than twelve hours")
    return ShortTermKey(head, signature)
