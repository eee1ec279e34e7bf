"""Who is calling: from a request's head to a `Claim`, and with the body to a proven `Principal`.

Reads the state it is given; knows no store, no sockets and no clock.

    head ──▶ examine ──▶ Claim            refused here, before a byte of the body is read: no credentials,
                           │              malformed ones, unknown or revoked keys, wrong time, service or
    body ──────────▶ claim.verify         region, ended sessions, every API key that is not good
                           ▼
                       Principal          refused here: a signature that does not fit head and body

Temporary credentials are stateless. The session token says which access key it comes from, when it ends and
which role it assumes, if any, and is authenticated with the session secret; the key pair is derived from the
token and the same secret. Who the session is, is read from the state at each use: revoking the access key or
deleting the role ends the session at once, and nothing in a token can disagree with the state. A role that is
made again under the same name has another unique id, and knows none of the first one's sessions.

An unknown access key and a wrong signature have different names at AWS, so there is nothing to hide between
them. An unknown API key and a wrong secret have the same, and take the same path here.
"""

from __future__ import annotations

import hmac
from base64 import b32encode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from hashlib import sha256
from typing import Final, Protocol
from zlib import compress, decompress

import msgspec

from outcrop.errors import (
    AccessDeniedException,
    AuthFault,
    ExpiredTokenException,
    InvalidApiKey,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from outcrop.service.call import Principal
from outcrop.service.naming import TEMPORARY
from outcrop.service.principals import AccessKey, ApiKey, Role, User
from outcrop.store import Reading, Snapshot
from outcrop.wire import bearer, sigv4
from outcrop.wire.bearer import LongTermKey, ShortTermKey
from outcrop.wire.http import Head
from outcrop.wire.operations import Operation
from outcrop.wire.sigv4 import Credentials, Signature

_LONGEST_TOKEN: Final = 4096  # a session policy of 2,048 characters that can't be compressed, and the rest
_MAC: Final = 32  # bytes of HMAC-SHA-256 at the end of a session token
_NONCE: Final = 12
_NO_KEY: Final = sha256(b"").hexdigest()  # compared with when there is no such API key


class Secrets(Protocol):
    """What opens sealed secrets: `principals.Principals` does, and remembers them."""

    def session_secret(self, state: Reading) -> bytes:
        """At least 32 random bytes that never change while sessions shall live."""

    def secret(self, key: AccessKey) -> str:
        """The secret of an access key."""


class Session(msgspec.Struct, frozen=True):
    """Temporary credentials and the moment they end, in epoch seconds."""

    credentials: Credentials
    expires: int


class Assumption(msgspec.Struct, frozen=True):
    """A role that is assumed under a session's name; `policy` (JSON) narrows the session, "" does not."""

    role: Role
    name: str
    policy: str = ""


class Origin(msgspec.Struct, frozen=True):
    """Where credentials come from: a long-term access key, and the ARNs of the roles taken on since."""

    parent: str
    roles: tuple[str, ...] = ()


class _Ticket(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a session token says: its parent's access key id, its times (epoch seconds), and a random part.

    Of an assumed role also the role's ARN and unique id, the session's name, its policy, deflated, and the
    roles by way of which it was assumed.
    """

    parent: str
    issued: int
    expires: int
    nonce: bytes
    role: str = ""
    role_id: str = ""
    name: str = ""
    policy: bytes = b""
    via: tuple[str, ...] = ()


class _Proof(msgspec.Struct, frozen=True):
    """What is still to be checked once the body is there."""

    signature: Signature
    secret: str
    head: Head

    def __repr__(self) -> str:
        return f"_Proof({self.signature.access_key!r}, …)"


class Claim(msgspec.Struct, frozen=True):
    """Who the head says is calling, and the region the call is for. Believed only after `verify`."""

    principal: Principal
    region: str
    proof: _Proof | None = None

    def verify(self, body: bytes) -> Principal:
        """The principal, proven. Raises InvalidSignatureException when the signature does not fit.

        An API key has proven itself in the head already; then the body does not matter.
        """
        if self.proof is not None:
            sigv4.verify(self.proof.signature, self.proof.secret, self.proof.head, body)
        return self.principal


class Identity:
    """Tells callers apart. `default_region` is the region of calls whose API key names none."""

    def __init__(self, secrets: Secrets, default_region: str, window: int = sigv4.WINDOW) -> None:
        self._secrets = secrets
        self._default_region = default_region
        self._window = window

    def examine(self, head: Head, operation: Operation, now: float, region: str, state: Snapshot) -> Claim:
        """Everything that can be judged without the body; `now` is in epoch seconds.

        `region` is the one the endpoint's address names, "" if it names none; credentials of another region
        are then refused. Raises the AuthFaults, and InvalidApiKey for bearer tokens.
        """
        scheme, _, token = head.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._examine_bearer(token.strip(), operation, now, region, state)
        signature = sigv4.parse(head)
        if signature is None:
            raise MissingAuthenticationTokenException
        sigv4.check_time(signature, now, self._window)
        sigv4.check_scope(signature, operation.signing_name)
        if region and signature.scope.region != region:
            raise InvalidSignatureException(
                f"Credential should be scoped to a valid region, not '{signature.scope.region}'."
            )
        principal, secret = self._signer(signature, now, state)
        return Claim(principal, signature.scope.region, _Proof(signature, secret, head))

    def issue_session(
        self, parent: str, seconds: int, now: float, randomness: bytes, state: Reading
    ) -> Session:
        """Temporary credentials of the access key `parent`, for `seconds` from `now` (epoch seconds).

        `randomness` is 12 random bytes, which make two sessions of the same second differ. Raises
        AccessDeniedException when `parent` is temporary itself, UnrecognizedClientException when it is
        unknown.
        """
        if parent.startswith(TEMPORARY):
            raise AccessDeniedException("Cannot call GetSessionToken with session credentials")
        _known_key(state, parent)
        ticket = _Ticket(parent, int(now), int(now) + seconds, _checked(randomness))
        return self._issued(ticket, state)

    def assume(
        self, origin: Origin, taken: Assumption, seconds: int, now: float, randomness: bytes, state: Reading
    ) -> Session:
        """Temporary credentials of a role, for `seconds` from `now`. They end with the origin's key."""
        ticket = _Ticket(
            origin.parent,
            int(now),
            int(now) + seconds,
            _checked(randomness),
            taken.role.arn,
            taken.role.role_id,
            taken.name,
            compress(taken.policy.encode(), 9) if taken.policy else b"",
            origin.roles,
        )
        return self._issued(ticket, state)

    def origin(self, head: Head, state: Reading) -> Origin:
        """Where the credentials come from that signed a request, which has been verified already."""
        signature = sigv4.parse(head)
        if signature is None:
            raise MissingAuthenticationTokenException
        if not signature.access_key.startswith(TEMPORARY):
            return Origin(signature.access_key)
        _, ticket = _open(self._secrets.session_secret(state), signature.token)
        taken = (*ticket.via, ticket.role) if ticket.role else ()
        return Origin(ticket.parent, tuple(dict.fromkeys(taken)))

    def _issued(self, ticket: _Ticket, state: Reading) -> Session:
        return Session(_issue(self._secrets.session_secret(state), ticket), ticket.expires)

    def _examine_bearer(
        self, token: str, operation: Operation, now: float, region: str, state: Snapshot
    ) -> Claim:
        if operation.service == "sts":
            # STS knows signatures only, so to it this request bears nothing
            raise MissingAuthenticationTokenException(reason="STS takes no API keys")
        key = bearer.parse(token)
        if isinstance(key, LongTermKey):
            return Claim(_long_term_owner(key, now, state), region or self._default_region)
        if region and key.region != region:
            raise InvalidApiKey(reason=f"the API key is for {key.region}, the endpoint is {region}")
        return Claim(self._short_term_owner(key, now, state), key.region)

    def _short_term_owner(self, key: ShortTermKey, now: float, state: Snapshot) -> Principal:
        bearer.check_short_term(key, now)
        try:
            principal, secret = self._signer(key.signature, now, state)
        except ExpiredTokenException as error:
            raise InvalidApiKey("Bearer Token has expired") from error
        except AuthFault as error:
            raise InvalidApiKey(reason=error.reason or error.text) from error
        bearer.verify_short_term(key, secret)
        return principal

    def _signer(self, signature: Signature, now: float, state: Snapshot) -> tuple[Principal, str]:
        """Whose signature it would be, and the secret it would be made with."""
        if not signature.access_key.startswith(TEMPORARY):
            if signature.token:
                raise UnrecognizedClientException
            key, user = _known_key(state, signature.access_key)
            return Principal(key.owner, user.user_id, user.account, key.id, key.owner), self._secrets.secret(
                key
            )
        credentials, ticket = _open(self._secrets.session_secret(state), signature.token)
        if not hmac.compare_digest(credentials.access_key.encode(), signature.access_key.encode()):
            raise UnrecognizedClientException(reason="the session token belongs to another access key id")
        if ticket.expires <= now:
            raise ExpiredTokenException
        return _session_principal(state, credentials.access_key, ticket), credentials.secret


def _known_key(state: Reading, key_id: str) -> tuple[AccessKey, User]:
    """The access key, in use, and its user. Raises UnrecognizedClientException."""
    key = state.get(AccessKey, key_id)
    user = state.get(User, key.owner) if key is not None and key.enabled else None
    if key is None or user is None:
        raise UnrecognizedClientException
    return key, user


def _session_principal(state: Reading, key_id: str, ticket: _Ticket) -> Principal:
    try:
        parent, user = _known_key(state, ticket.parent)
    except UnrecognizedClientException as error:
        error.reason = f"{ticket.parent}, the session's key, is revoked"
        raise
    if not ticket.role:
        return Principal(parent.owner, user.user_id, user.account, key_id, parent.owner)
    role = state.get(Role, ticket.role)
    if role is None or role.role_id != ticket.role_id:
        raise UnrecognizedClientException(reason=f"{ticket.role}, the session's role, is deleted")
    return Principal(
        assumed_arn(role, ticket.name),
        f"{role.role_id}:{ticket.name}",
        role.account,
        key_id,
        ticket.role,
        decompress(ticket.policy).decode() if ticket.policy else "",
        (parent.owner, *ticket.via),
    )


def assumed_arn(role: Role, session: str) -> str:
    """The ARN of a role's session."""
    return f"arn:aws:sts::{role.account}:assumed-role/{role.name}/{session}"


def _long_term_owner(key: LongTermKey, now: float, state: Reading) -> Principal:
    known = state.get(ApiKey, key.name)
    user = state.get(User, known.owner) if known is not None and known.enabled else None
    digest = sha256(key.secret.encode()).hexdigest()
    same = hmac.compare_digest(digest, _NO_KEY if known is None or user is None else known.digest)
    if known is None or user is None or not same:
        raise InvalidApiKey(reason=f"{key.name} is unknown, revoked or has another secret")
    if known.expires is not None and known.expires <= now:
        raise InvalidApiKey("Bearer Token has expired")
    return Principal(known.owner, user.user_id, user.account, known.name, known.owner)


def _checked(randomness: bytes) -> bytes:
    if len(randomness) < _NONCE:
        raise ValueError(f"a session needs {_NONCE} random bytes, not {len(randomness)}")
    return randomness


def _issue(session_secret: bytes, ticket: _Ticket) -> Credentials:
    payload = msgspec.msgpack.encode(ticket)
    token = urlsafe_b64encode(payload + _mac(session_secret, b"token", payload)).decode()
    return _derive(session_secret, payload, token)


def _derive(session_secret: bytes, payload: bytes, token: str) -> Credentials:
    """The key pair that goes with a token: 16 characters of base32 and 40 of base64, as AWS's look."""
    access_key = TEMPORARY + b32encode(_mac(session_secret, b"id", payload)).decode()[:16]
    secret = b64encode(_mac(session_secret, b"secret", payload)).decode()[:40]
    return Credentials(access_key, secret, token)


# Only tokens that were issued here come to be remembered: the others raise, and a raise is not cached.
@lru_cache(maxsize=1024)
def _open(session_secret: bytes, token: str) -> tuple[Credentials, _Ticket]:
    """What a session token stands for. Raises UnrecognizedClientException for one not issued here."""
    try:
        if len(token) > _LONGEST_TOKEN:
            raise ValueError("longer than any session token")
        data = urlsafe_b64decode(token)
        if urlsafe_b64encode(data).decode() != token:
            raise ValueError("not the way a session token is written")  # the decoder skips what it can't read
    except ValueError as error:
        raise UnrecognizedClientException(reason="the session token is malformed") from error
    payload, mac = data[:-_MAC], data[-_MAC:]
    if not hmac.compare_digest(mac, _mac(session_secret, b"token", payload)):
        raise UnrecognizedClientException(reason="the session token was not issued here")
    # its MAC is ours, so the payload is too
    return _derive(session_secret, payload, token), msgspec.msgpack.decode(payload, type=_Ticket)


def _mac(session_secret: bytes, purpose: bytes, payload: bytes) -> bytes:
    return hmac.digest(session_secret, purpose + b"\0" + payload, "sha256")
