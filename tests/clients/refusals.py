"""Requests that the endpoint refuses, each with what it answers: credentials, names, and the server's rules.

A row makes its request's bytes for a running endpoint. What InvokeModel and Converse refuse in a body stands
in `wire/refusals.py` and `wire/converse_refusals.py`; `ALL` puts those on the wire too. Tests send the rows,
and `docs/refusals.md` is drawn from them.

In a text, `…` stands for what differs from one request to the next: a moment, a digest.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from endpoint import REGION, SONNET
from outcrop.config import Bedrock, Settings
from outcrop.service.identity import Identity
from outcrop.wire import sigv4
from outcrop.wire.bearer import make_long_term, make_short_term
from outcrop.wire.http import Head
from outcrop.wire.sigv4 import Credentials
from people import trusting
from wire import converse_refusals, refusals
from wireside import HELLO, INVOKE, request_bytes

# What AWS does and the default here does not: see docs/guide.md.
STRICT = Settings(bedrock=Bedrock(edition="2026-11", bare_model_id="refuse"))

HOURS = 3600
BARE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS_4_1 = "anthropic.claude-opus-4-1-20250805-v1:0"
NOT_IN_USE = "AKIAIOSFODNN7EXAMPLE"  # AWS's documentation uses it as an example
WRONG_SECRET = "wrong" * 8
FORM = "application/x-www-form-urlencoded; charset=utf-8"


class Refusal(NamedTuple):
    """One row. `name` is the error's name in `x-amzn-errortype`, or at STS its Code.

    `strict` rows are for an endpoint with the settings STRICT, the others for the default.
    """

    title: str
    make: Callable[..., bytes]
    status: int
    name: str
    text: str
    strict: bool = False


class Section(NamedTuple):
    """Rows that belong together, under a heading, with a sentence for the page."""

    title: str
    about: str
    rows: list[Refusal]


@dataclass(frozen=True)
class Draft:
    """A request before it becomes bytes, so that something can still be changed after signing."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def having(self, **headers):
        """With other headers; an underscore stands for a hyphen, None takes one away."""
        wanted = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in {**self.headers, **wanted}.items() if value is not None}
        return replace(self, headers=kept)

    def bytes(self):
        return request_bytes(self.method, self.path, self.headers, self.body)


def unsigned(endpoint, path=INVOKE, body=HELLO, method="POST", **headers):
    plain = {"host": urlsplit(endpoint.url).netloc, "content-length": str(len(body))}
    return Draft(method, path, plain, body).having(**headers)


def signed(
    endpoint,
    path=INVOKE,
    body=HELLO,
    method="POST",
    *,
    credentials=None,
    ago=0,
    region=REGION,
    service="bedrock",
    **headers,
):
    """A draft signed with the endpoint's key, or with `credentials`, `ago` seconds ago."""
    draft = unsigned(endpoint, path, body, method, **headers)
    raw_path, _, query = path.partition("?")
    credentials = credentials or Credentials(endpoint.access_key, endpoint.secret_key)
    head = Head(method, raw_path, query, draft.headers)
    added = sigv4.sign(head, body, credentials, region, service, time.time() - ago)
    return replace(draft, headers={**draft.headers, **added})


def reworded(endpoint, old, new):
    """Signed, and then a part of the Authorization header replaced."""
    draft = signed(endpoint)
    authorization = draft.headers["authorization"]
    assert old in authorization
    return draft.having(authorization=authorization.replace(old, new, 1))


def signature_of(draft):
    return draft.headers["authorization"].rpartition("=")[2]


def without_part(endpoint, name):
    authorization = signed(endpoint).headers["authorization"]
    algorithm, _, parts = authorization.partition(" ")
    kept = [part for part in parts.split(", ") if not part.startswith(f"{name}=")]
    return signed(endpoint).having(authorization=f"{algorithm} {', '.join(kept)}")


def presigned(endpoint, ago, seconds):
    """A listing signed in its query, for `seconds`, `ago` seconds ago."""
    host = urlsplit(endpoint.url).netloc
    head = Head("GET", "/foundation-models", "", {"host": host})
    credentials = Credentials(endpoint.access_key, endpoint.secret_key)
    query = sigv4.presign(head, credentials, REGION, "bedrock", time.time() - ago, seconds)
    return Draft("GET", f"/foundation-models?{query}", {"host": host}, b"")


def session(endpoint, *, ago=0, parent=None, salt=b"x"):
    """Temporary credentials for 15 minutes, made `ago` seconds ago."""
    identity = Identity(endpoint.keys, REGION)
    parent = parent or endpoint.access_key
    state = endpoint.store.snapshot()
    return identity.issue_session(parent, 900, time.time() - ago, salt * 12, state).credentials


def session_of_a_revoked_key(endpoint):
    key, _ = endpoint.keys.create_access_key("leaver")
    credentials = session(endpoint, parent=key.id)
    endpoint.keys.revoke(key.id)
    return credentials


def revoked_key(endpoint):
    key, secret = endpoint.keys.create_access_key("leaver")
    endpoint.keys.revoke(key.id)
    return Credentials(key.id, secret)


def damaged(token):
    """The token with one character in its middle changed."""
    middle = len(token) // 2
    return token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]


def bearing(endpoint, token):
    return unsigned(endpoint, authorization=f"Bearer {token}")


def long_term(endpoint, *, expires=None, revoked=False):
    key, token = endpoint.keys.create_api_key("tester", expires)
    if revoked:
        endpoint.keys.revoke(key.name)
    return token


def long_term_with_another_secret(endpoint):
    key, _ = endpoint.keys.create_api_key("tester")
    return make_long_term(key.name, "c29tZSBvdGhlciBzZWNyZXQ=")


def short_term(endpoint, *, access_key="", secret="", ago=0):
    pair = Credentials(access_key or endpoint.access_key, secret or endpoint.secret_key)
    return make_short_term(pair, REGION, time.time() - ago)


def to_sts(endpoint, action, *, version="2011-06-15", **more):
    """A call of STS; keyword arguments with a small first letter go to `signed`."""
    parameters = {name: more.pop(name) for name in list(more) if name[0].isupper()}
    body = more.pop("body", None)
    if body is None:
        body = urlencode({"Action": action, "Version": version, **parameters}).encode()
    return signed(endpoint, "/", body, service="sts", content_type=FORM, **more)


def role_of(endpoint):
    """A role that trusts `tester` for an hour."""
    arn = f"arn:aws:iam::{endpoint.keys.account}:role/refuser"
    if arn not in [role.arn for role in endpoint.keys.roles()]:
        endpoint.keys.create_role("refuser", trusting(f"arn:aws:iam::{endpoint.keys.account}:user/tester"))
    return arn


def assuming(**more):
    """A call of AssumeRole."""
    return lambda endpoint: to_sts(
        endpoint, "AssumeRole", **{"RoleArn": role_of(endpoint), "RoleSessionName": "job", **more}
    ).bytes()


def invoking(model, body=HELLO, region=REGION):
    path = f"/model/{quote(model, safe='')}/invoke"
    return lambda endpoint: signed(endpoint, path, body, region=region).bytes()


def getting(path):
    return lambda endpoint: signed(endpoint, path, b"", "GET").bytes()


def counting(model):
    body = b'{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}}}'
    return lambda endpoint: signed(endpoint, f"/model/{quote(model, safe='')}/count-tokens", body).bytes()


def drafted(make, **arguments):
    """A row's request from a function that makes a Draft."""
    return lambda endpoint: make(endpoint, **arguments).bytes()


NO_SUCH_KEY = "The security token included in the request is invalid."
EXPIRED = "The security token included in the request is expired"
NOT_MATCHING = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)
NO_MODEL = "The provided model identifier is invalid."
BAD_API_KEY = "Authentication failed: Please make sure your API Key is valid."
NO_COUNTING = "The provided model doesn't support counting tokens."
NOT_ON_DEMAND = (
    f"Invocation of model ID {BARE} with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t supported. "
    "Retry your request with the ID or ARN of an inference profile that contains this model."
)


def detected(value, member, constraint):
    told = f"Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
    return f"1 validation error detected: {told}"


KEYS = [
    Refusal(
        "no credentials",
        drafted(unsigned),
        403,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    ),
    Refusal(
        "an access key id that is not known",
        lambda endpoint: signed(endpoint, credentials=Credentials(NOT_IN_USE, WRONG_SECRET)).bytes(),
        403,
        "UnrecognizedClientException",
        NO_SUCH_KEY,
    ),
    Refusal(
        "a key that was revoked",
        lambda endpoint: signed(endpoint, credentials=revoked_key(endpoint)).bytes(),
        403,
        "UnrecognizedClientException",
        NO_SUCH_KEY,
    ),
    Refusal(
        "a wrong secret",
        lambda endpoint: signed(endpoint, credentials=Credentials(endpoint.access_key, WRONG_SECRET)).bytes(),
        403,
        "InvalidSignatureException",
        NOT_MATCHING,
    ),
    Refusal(
        "a body changed after signing",
        lambda endpoint: replace(signed(endpoint), body=HELLO.replace(b"world", b"World")).bytes(),
        403,
        "InvalidSignatureException",
        NOT_MATCHING,
    ),
    Refusal(
        "a path changed after signing",
        lambda endpoint: replace(signed(endpoint), path=INVOKE.replace("global", "us")).bytes(),
        403,
        "InvalidSignatureException",
        NOT_MATCHING,
    ),
    Refusal(
        "a query changed after signing",
        lambda endpoint: replace(
            signed(endpoint, "/foundation-models?byProvider=anthropic", b"", "GET"),
            path="/foundation-models?byProvider=amazon",
        ).bytes(),
        403,
        "InvalidSignatureException",
        NOT_MATCHING,
    ),
    Refusal(
        "a signed header changed",
        lambda endpoint: signed(endpoint, accept="application/json").having(accept="*/*").bytes(),
        403,
        "InvalidSignatureException",
        NOT_MATCHING,
    ),
    Refusal(
        "a header of AWS's added after signing",
        lambda endpoint: signed(endpoint).having(x_amzn_bedrock_request_metadata="{}").bytes(),
        403,
        "InvalidSignatureException",
        "There were headers present in the request which were not signed: 'x-amzn-bedrock-request-metadata'",
    ),
    Refusal(
        "the signature of another request",
        lambda endpoint: reworded(
            endpoint, signature_of(signed(endpoint)), signature_of(signed(endpoint, body=b"{}"))
        ).bytes(),
        403,
        "InvalidSignatureException",
        NOT_MATCHING,
    ),
    Refusal(
        "a hash that is not the body's",
        lambda endpoint: signed(endpoint, x_amz_content_sha256=sha256(b"").hexdigest()).bytes(),
        403,
        "InvalidSignatureException",
        NOT_MATCHING,
    ),
    Refusal(
        "a payload that is not signed",
        lambda endpoint: signed(endpoint, x_amz_content_sha256="UNSIGNED-PAYLOAD").bytes(),
        403,
        "InvalidSignatureException",
        NOT_MATCHING,
    ),
    Refusal(
        "a clock that is 6 minutes slow",
        lambda endpoint: signed(endpoint, ago=360).bytes(),
        403,
        "InvalidSignatureException",
        "Signature expired: … is now earlier than … (… - 5 min.)",
    ),
    Refusal(
        "a clock that is 6 minutes fast",
        lambda endpoint: signed(endpoint, ago=-360).bytes(),
        403,
        "InvalidSignatureException",
        "Signature not yet current: … is still later than … (… + 5 min.)",
    ),
    Refusal(
        "a signed address past its time",
        lambda endpoint: presigned(endpoint, ago=120, seconds=60).bytes(),
        403,
        "InvalidSignatureException",
        "Signature expired: … is now earlier than … (… - 1 min.)",
    ),
    Refusal(
        "a signature for another service",
        lambda endpoint: signed(endpoint, service="s3").bytes(),
        403,
        "InvalidSignatureException",
        "Credential should be scoped to correct service: 'bedrock'.",
    ),
    Refusal(
        "a signature for no region",
        lambda endpoint: signed(endpoint, region="somewhere").bytes(),
        403,
        "InvalidSignatureException",
        "Credential should be scoped to a valid region, not 'somewhere'.",
    ),
    Refusal(
        "a signature that does not cover the host",
        lambda endpoint: reworded(endpoint, "host;", "").bytes(),
        403,
        "InvalidSignatureException",
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    ),
    Refusal(
        "an Authorization header without its signature",
        lambda endpoint: without_part(endpoint, "Signature").bytes(),
        400,
        "IncompleteSignatureException",
        "Authorization header requires 'Signature' parameter. "
        "(Hashed with SHA-256 and encoded with Base64) Authorization=…",
    ),
    Refusal(
        "an Authorization header of another scheme",
        lambda endpoint: unsigned(endpoint, authorization="Basic YTpi").bytes(),
        400,
        "IncompleteSignatureException",
        "Authorization header requires 'Credential' parameter. "
        "Authorization header requires 'Signature' parameter. "
        "Authorization header requires 'SignedHeaders' parameter. "
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        "(Hashed with SHA-256 and encoded with Base64) Authorization=…",
    ),
    Refusal(
        "an algorithm that is not spoken",
        lambda endpoint: reworded(endpoint, "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256").bytes(),
        400,
        "IncompleteSignatureException",
        "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'.",
    ),
    Refusal(
        "a credential without its scope",
        lambda endpoint: reworded(endpoint, f"/{REGION}/bedrock/aws4_request", "").bytes(),
        400,
        "IncompleteSignatureException",
        "Credential must have exactly 5 slash-delimited elements, "
        "e.g. keyid/date/region/service/term, got '…'",
    ),
    Refusal(
        "no date",
        lambda endpoint: signed(endpoint).having(x_amz_date=None).bytes(),
        400,
        "IncompleteSignatureException",
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        "(Hashed with SHA-256 and encoded with Base64) Authorization=…",
    ),
    Refusal(
        "a date of another form",
        lambda endpoint: signed(endpoint).having(x_amz_date="2026-01-31 12:00").bytes(),
        400,
        "IncompleteSignatureException",
        "Date must be in ISO-8601 'basic format'. Got '2026-01-31 12:00'. "
        "See http://en.wikipedia.org/wiki/ISO_8601",
    ),
]

TEMPORARY = [
    Refusal(
        "a session that has ended",
        lambda endpoint: signed(endpoint, credentials=session(endpoint, ago=HOURS)).bytes(),
        403,
        "ExpiredTokenException",
        EXPIRED,
    ),
    Refusal(
        "the token of another session",
        lambda endpoint: signed(
            endpoint,
            credentials=Credentials(
                session(endpoint).access_key, session(endpoint).secret, session(endpoint, salt=b"y").token
            ),
        ).bytes(),
        403,
        "UnrecognizedClientException",
        NO_SUCH_KEY,
    ),
    Refusal(
        "a damaged token",
        lambda endpoint: signed(
            endpoint,
            credentials=Credentials(
                session(endpoint).access_key, session(endpoint).secret, damaged(session(endpoint).token)
            ),
        ).bytes(),
        403,
        "UnrecognizedClientException",
        NO_SUCH_KEY,
    ),
    Refusal(
        "temporary keys without their token",
        lambda endpoint: signed(
            endpoint, credentials=Credentials(session(endpoint).access_key, session(endpoint).secret)
        ).bytes(),
        403,
        "UnrecognizedClientException",
        NO_SUCH_KEY,
    ),
    Refusal(
        "a token beside a long-term key",
        lambda endpoint: signed(
            endpoint,
            credentials=Credentials(endpoint.access_key, endpoint.secret_key, session(endpoint).token),
        ).bytes(),
        403,
        "UnrecognizedClientException",
        NO_SUCH_KEY,
    ),
    Refusal(
        "a session of a key that was revoked",
        lambda endpoint: signed(endpoint, credentials=session_of_a_revoked_key(endpoint)).bytes(),
        403,
        "UnrecognizedClientException",
        NO_SUCH_KEY,
    ),
    Refusal(
        "a session's secret that is wrong",
        lambda endpoint: signed(
            endpoint,
            credentials=Credentials(session(endpoint).access_key, WRONG_SECRET, session(endpoint).token),
        ).bytes(),
        403,
        "InvalidSignatureException",
        NOT_MATCHING,
    ),
]

API_KEYS = [
    Refusal(
        "a key that is not Bedrock's",
        lambda endpoint: bearing(endpoint, "sk-ant-api03-abc").bytes(),
        403,
        "AccessDeniedException",
        "Invalid API Key format: Must start with pre-defined prefix",
    ),
    Refusal(
        "a long-term key that is no base64",
        lambda endpoint: bearing(endpoint, "ABSK***").bytes(),
        403,
        "AccessDeniedException",
        BAD_API_KEY,
    ),
    Refusal(
        "a long-term key that nobody has",
        lambda endpoint: bearing(
            endpoint, make_long_term("BedrockAPIKey-none-at-123456789012", "c2VjcmV0")
        ).bytes(),
        403,
        "AccessDeniedException",
        BAD_API_KEY,
    ),
    Refusal(
        "a long-term key with another secret",
        lambda endpoint: bearing(endpoint, long_term_with_another_secret(endpoint)).bytes(),
        403,
        "AccessDeniedException",
        BAD_API_KEY,
    ),
    Refusal(
        "a long-term key that was revoked",
        lambda endpoint: bearing(endpoint, long_term(endpoint, revoked=True)).bytes(),
        403,
        "AccessDeniedException",
        BAD_API_KEY,
    ),
    Refusal(
        "a long-term key that has expired",
        lambda endpoint: bearing(endpoint, long_term(endpoint, expires=int(time.time()) - 1)).bytes(),
        403,
        "AccessDeniedException",
        "Bearer Token has expired",
    ),
    Refusal(
        "a short-term key that has expired",
        lambda endpoint: bearing(endpoint, short_term(endpoint, ago=13 * HOURS)).bytes(),
        403,
        "AccessDeniedException",
        "Bearer Token has expired",
    ),
    Refusal(
        "a short-term key made with a wrong secret",
        lambda endpoint: bearing(endpoint, short_term(endpoint, secret=WRONG_SECRET)).bytes(),
        403,
        "AccessDeniedException",
        BAD_API_KEY,
    ),
    Refusal(
        "a short-term key of nobody's",
        lambda endpoint: bearing(endpoint, short_term(endpoint, access_key=NOT_IN_USE)).bytes(),
        403,
        "AccessDeniedException",
        BAD_API_KEY,
    ),
    Refusal(
        "a short-term key that calls something else",
        lambda endpoint: bearing(
            endpoint,
            "bedrock-api-key-" + b64encode(b"bedrock.amazonaws.com/?Action=Other&Version=1").decode(),
        ).bytes(),
        403,
        "AccessDeniedException",
        BAD_API_KEY,
    ),
]

AT_STS = [
    Refusal(
        "no credentials",
        lambda endpoint: unsigned(
            endpoint, "/", b"Action=GetCallerIdentity&Version=2011-06-15", content_type=FORM
        ).bytes(),
        403,
        "MissingAuthenticationToken",
        "Missing Authentication Token",
    ),
    Refusal(
        "an API key, which STS does not take",
        lambda endpoint: unsigned(
            endpoint,
            "/",
            b"Action=GetCallerIdentity&Version=2011-06-15",
            authorization=f"Bearer {long_term(endpoint)}",
        ).bytes(),
        403,
        "MissingAuthenticationToken",
        "Missing Authentication Token",
    ),
    Refusal(
        "an access key id that is not known",
        lambda endpoint: to_sts(
            endpoint, "GetCallerIdentity", credentials=Credentials(NOT_IN_USE, WRONG_SECRET)
        ).bytes(),
        403,
        "InvalidClientTokenId",
        NO_SUCH_KEY,
    ),
    Refusal(
        "a wrong secret",
        lambda endpoint: to_sts(
            endpoint, "GetCallerIdentity", credentials=Credentials(endpoint.access_key, WRONG_SECRET)
        ).bytes(),
        403,
        "SignatureDoesNotMatch",
        NOT_MATCHING,
    ),
    Refusal(
        "a session that has ended",
        lambda endpoint: to_sts(
            endpoint, "GetCallerIdentity", credentials=session(endpoint, ago=HOURS)
        ).bytes(),
        403,
        "ExpiredToken",
        EXPIRED,
    ),
    Refusal(
        "an action that is not here",
        lambda endpoint: to_sts(endpoint, "GetFederationToken").bytes(),
        400,
        "InvalidAction",
        "Could not find operation GetFederationToken for version 2011-06-15",
    ),
    Refusal(
        "another version",
        lambda endpoint: to_sts(endpoint, "GetCallerIdentity", version="2010-01-01").bytes(),
        400,
        "InvalidAction",
        "Could not find operation GetCallerIdentity for version 2010-01-01",
    ),
    Refusal(
        "a body that is no form",
        lambda endpoint: to_sts(endpoint, "", body=b"Action=%ff\xff").bytes(),
        400,
        "ValidationError",
        "The request body is not a form.",
    ),
    Refusal(
        "a session of a minute",
        lambda endpoint: to_sts(endpoint, "GetSessionToken", DurationSeconds="60").bytes(),
        400,
        "ValidationError",
        detected("60", "durationSeconds", "Member must have value greater than or equal to 900"),
    ),
    Refusal(
        "a session of two days",
        lambda endpoint: to_sts(endpoint, "GetSessionToken", DurationSeconds="172800").bytes(),
        400,
        "ValidationError",
        detected("172800", "durationSeconds", "Member must have value less than or equal to 129600"),
    ),
    Refusal(
        "a session out of a session",
        lambda endpoint: to_sts(endpoint, "GetSessionToken", credentials=session(endpoint)).bytes(),
        403,
        "AccessDenied",
        "Cannot call GetSessionToken with session credentials",
    ),
    Refusal(
        "an MFA code",
        lambda endpoint: to_sts(endpoint, "GetSessionToken", TokenCode="123456").bytes(),
        403,
        "AccessDenied",
        "MultiFactorAuthentication failed, unable to validate MFA code. "
        "Please verify your MFA serial number is valid and associated with this user.",
    ),
    Refusal(
        "a role that is not there, or does not trust the caller",
        assuming(RoleArn="arn:aws:iam::123456789012:role/none"),
        403,
        "AccessDenied",
        "User: arn:aws:iam::…:user/tester is not authorized to perform: sts:AssumeRole "
        "on resource: arn:aws:iam::123456789012:role/none…",
    ),
    Refusal(
        "a role's session with a blank in its name",
        assuming(RoleSessionName="a b"),
        400,
        "ValidationError",
        detected("a b", "roleSessionName", r"Member must satisfy regular expression pattern: [\w+=,.@-]*"),
    ),
    Refusal(
        "a role's session that is longer than the role allows",
        assuming(DurationSeconds="7200"),
        400,
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    ),
    Refusal(
        "a session policy that is none",
        assuming(Policy="{"),
        400,
        "MalformedPolicyDocument",
        "Syntax errors in policy: …",
    ),
    Refusal(
        "a session policy that is too long",
        assuming(Policy=" " * 2500),
        400,
        "PackedPolicyTooLarge",
        "Packed policy consumes 123% of allotted space, please use smaller policy.",
    ),
    Refusal(
        "session tags",
        assuming(**{"Tags.member.1.Key": "team", "Tags.member.1.Value": "x"}),
        400,
        "ValidationError",
        "Tags: session tags can't be given to a session here.",
    ),
]

MODELS = [
    Refusal(
        "a model that does not exist",
        invoking("anthropic.claude-sonnet-9-20990101-v1:0"),
        400,
        "ValidationException",
        NO_MODEL,
    ),
    Refusal(
        "Anthropic's own name of a model", invoking("claude-sonnet-4-5"), 400, "ValidationException", NO_MODEL
    ),
    Refusal(
        "a model id with a blank",
        invoking("anthropic.claude sonnet"),
        400,
        "ValidationException",
        NO_MODEL,
    ),
    Refusal(
        "an ARN that breaks off",
        invoking("arn:aws:bedrock:us-west-2::foundation-model"),
        400,
        "ValidationException",
        NO_MODEL,
    ),
    Refusal(
        "an ARN of another region",
        invoking(f"arn:aws:bedrock:eu-west-1::foundation-model/{BARE}"),
        400,
        "ValidationException",
        NO_MODEL,
    ),
    Refusal(
        "a profile's ARN of another account",
        invoking(f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/{SONNET}"),
        400,
        "ValidationException",
        NO_MODEL,
    ),
    Refusal(
        "an application profile: none can be made yet",
        invoking("arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abcdef123456"),
        400,
        "ValidationException",
        NO_MODEL,
    ),
    Refusal(
        "a prefix that the guide denies the model",
        invoking(f"global.{OPUS_4_1}"),
        400,
        "ValidationException",
        NO_MODEL,
    ),
    Refusal("a prefix that does not exist", invoking(f"mars.{BARE}"), 400, "ValidationException", NO_MODEL),
    Refusal(
        "Europe's profile, asked from Oregon", invoking(f"eu.{BARE}"), 400, "ValidationException", NO_MODEL
    ),
    Refusal(
        "a bare id where no profile is offered",
        invoking(OPUS_4_1, region="eu-central-1"),
        400,
        "ValidationException",
        NOT_ON_DEMAND.replace(BARE, OPUS_4_1) + f" None is offered from eu-central-1: us.{OPUS_4_1} "
        "is offered from us-east-1, us-east-2 and us-west-2.",
    ),
    Refusal(
        'a bare id, with `bare_model_id = "refuse"`',
        invoking(BARE),
        400,
        "ValidationException",
        NOT_ON_DEMAND,
        strict=True,
    ),
    Refusal(
        'a model after its end of life, with `edition = "2026-11"`',
        invoking("us.anthropic.claude-3-7-sonnet-20250219-v1:0"),
        404,
        "ResourceNotFoundException",
        "This model version has reached the end of its life. "
        "Please refer to the AWS documentation for more details.",
        strict=True,
    ),
    Refusal("tokens counted with a profile's id", counting(SONNET), 400, "ValidationException", NO_COUNTING),
    Refusal(
        "tokens counted for a model that can't",
        counting("anthropic.claude-3-opus-20240229-v1:0"),
        400,
        "ValidationException",
        NO_COUNTING,
    ),
]

LISTINGS = [
    Refusal(
        "GetFoundationModel: a model that is not there",
        getting("/foundation-models/anthropic.claude-9"),
        404,
        "ResourceNotFoundException",
        "Model not found.",
    ),
    Refusal(
        "GetInferenceProfile: a profile that is not there",
        getting("/inference-profiles/global.anthropic.claude-9"),
        404,
        "ResourceNotFoundException",
        "Inference profile not found.",
    ),
    Refusal(
        "ListFoundationModels: a provider with a slash",
        getting("/foundation-models?byProvider=a%2Fb"),
        400,
        "ValidationException",
        detected("a/b", "byProvider", "Member must satisfy regular expression pattern: [A-Za-z0-9- ]{1,63}"),
    ),
    Refusal(
        "ListFoundationModels: an unknown modality",
        getting("/foundation-models?byOutputModality=SOUND"),
        400,
        "ValidationException",
        detected("SOUND", "byOutputModality", "Member must satisfy enum value set: [TEXT, IMAGE, EMBEDDING]"),
    ),
    Refusal(
        "ListFoundationModels: a type that one can't ask for",
        getting("/foundation-models?byInferenceType=INFERENCE_PROFILE"),
        400,
        "ValidationException",
        detected(
            "INFERENCE_PROFILE",
            "byInferenceType",
            "Member must satisfy enum value set: [ON_DEMAND, PROVISIONED]",
        ),
    ),
    Refusal(
        "ListInferenceProfiles: pages of nothing",
        getting("/inference-profiles?maxResults=0"),
        400,
        "ValidationException",
        detected("0", "maxResults", "Member must have value greater than or equal to 1"),
    ),
    Refusal(
        "ListInferenceProfiles: an unknown type",
        getting("/inference-profiles?type=CUSTOM"),
        400,
        "ValidationException",
        detected("CUSTOM", "typeEquals", "Member must satisfy enum value set: [SYSTEM_DEFINED, APPLICATION]"),
    ),
    Refusal(
        "ListInferenceProfiles: a made-up token",
        getting("/inference-profiles?nextToken=abc"),
        400,
        "ValidationException",
        "The provided nextToken is invalid.",
    ),
]

SERVER = [
    Refusal("a path that no operation has", getting("/no/such/path"), 404, "UnknownOperationException", ""),
    Refusal("another method", getting(INVOKE), 404, "UnknownOperationException", ""),
    Refusal(
        "an operation of Bedrock's that is not here: ListGuardrails",
        getting("/guardrails"),
        404,
        "UnknownOperationException",
        "",
    ),
    Refusal(
        "no host",
        lambda endpoint: signed(endpoint).having(host=None).bytes(),
        400,
        "ValidationException",
        "The request must name a host.",
    ),
    Refusal(
        "two hosts",
        lambda endpoint: signed(endpoint).having(Host="other.example").bytes(),
        400,
        "ValidationException",
        "The request has more than one host header.",
    ),
    Refusal(
        "two Authorization headers",
        lambda endpoint: signed(endpoint).having(Authorization="Bearer x").bytes(),
        400,
        "ValidationException",
        "The request has more than one authorization header.",
    ),
    Refusal(
        "a body of 25,000,001 bytes for InvokeModel",
        lambda endpoint: signed(endpoint, body=b"{" + b" " * 25_000_000).bytes(),
        400,
        "ValidationException",
        "1 validation error detected: Value at 'body' failed to satisfy constraint: "
        "Member must have length less than or equal to 25000000",
    ),
    Refusal(
        "a form of more than 64 KiB for STS",
        lambda endpoint: to_sts(endpoint, "GetCallerIdentity", Padding="x" * 65_536).bytes(),
        400,
        "ValidationError",
        "1 validation error detected: Value at 'body' failed to satisfy constraint: "
        "Member must have length less than or equal to 65536",
    ),
]


def encoded(body):
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


def of_invoke_model(row):
    """A row of `wire/refusals.py` as a request."""
    return Refusal(row.title, invoking(row.model, encoded(row.body)), 400, row.fault, row.text)


def of_converse(row):
    """A row of `wire/converse_refusals.py` as a request, to a catalogued model with the row's features."""
    path = f"/model/{quote(_model_of(row), safe='')}/converse"
    body = encoded(row.body)
    status = 403 if row.name == "AccessDeniedException" else 400
    return Refusal(
        row.title, lambda endpoint: signed(endpoint, path, body).bytes(), status, row.name, row.text
    )


def _model_of(row):
    lacking = converse_refusals.FEATURES - row.features
    if {"pdf", "prompt_caching"} & lacking:
        return refusals.HAIKU_3
    if "vision" in lacking or str(converse_refusals.MAX_OUTPUT_TOKENS) in row.text:
        return refusals.HAIKU_3_5
    return refusals.SONNET_4_5


def _invoke(title, about, rows):
    return Section(f"InvokeModel: {title}", about, [of_invoke_model(row) for row in rows])


SECTIONS = [
    Section("Signatures", "The request is InvokeModel's, where nothing else is said.", KEYS),
    Section("Temporary credentials", "From STS GetSessionToken or `outcrop keys session`.", TEMPORARY),
    Section(
        "API keys",
        "`Authorization: Bearer …`; the body says `Message`, with a capital letter, as AWS's does.",
        API_KEYS,
    ),
    Section("STS", "XML, with STS's own names in `Code`; there is no `x-amzn-errortype` header.", AT_STS),
    Section("Models and profiles", "From us-west-2, where nothing else is said.", MODELS),
    Section("Listings", "The control plane.", LISTINGS),
    Section(
        "The server",
        "An unknown operation has no text, but a body of AWS's front door: "
        '`{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}`.',
        SERVER,
    ),
    _invoke("the JSON itself", "InvokeModelWithResponseStream refuses the same.", refusals.JSON_ITSELF),
    _invoke("keys and types", "Several mistakes are told at once, run together.", refusals.KEYS_AND_TYPES),
    _invoke("parameters", "Claude Sonnet 4.5, or the model that the text names.", refusals.PARAMETERS),
    _invoke("thinking", "Which kind a model has, the catalogue says.", refusals.THINKING),
    _invoke("tools", "", refusals.TOOLS),
    _invoke("the conversation", "", refusals.CONVERSATION),
    _invoke("blocks", "", refusals.BLOCKS),
    _invoke("cache marks", "", refusals.CACHE_MARKS),
    Section(
        "Converse",
        "ConverseStream refuses the same. boto3 and the CLI check the types of members themselves, "
        "so some of these reach the endpoint from other clients only.",
        [of_converse(row) for row in converse_refusals.REFUSALS],
    ),
]

ALL = [(section.title, row) for section in SECTIONS for row in section.rows]


class Case(NamedTuple):
    """A refusal that any client can provoke: what to call with which keys, and what is answered.

    `keys` gives access key id, secret and session token; `api_key` is sent instead where there is one.
    """

    title: str
    status: int
    name: str
    text: str
    model: str = SONNET
    body: Mapping[str, object] = refusals.HELLO
    keys: Callable[..., Credentials] | None = None
    api_key: Callable[..., str] | None = None


def _bodies(*titles):
    rows = {row.title: row for row in refusals.REFUSALS}
    for title in titles:
        row = rows[title]
        yield Case(title, 400, row.fault, row.text, row.model, row.body)


# The keys of the body are such as every client passes on: none that an SDK sets itself.
THROUGH_CLIENTS = [
    Case(
        "an access key id that is not known",
        403,
        "UnrecognizedClientException",
        NO_SUCH_KEY,
        keys=lambda endpoint: Credentials(NOT_IN_USE, WRONG_SECRET),
    ),
    Case(
        "a wrong secret",
        403,
        "InvalidSignatureException",
        NOT_MATCHING,
        keys=lambda endpoint: Credentials(endpoint.access_key, WRONG_SECRET),
    ),
    Case(
        "a session that has ended",
        403,
        "ExpiredTokenException",
        EXPIRED,
        keys=lambda endpoint: session(endpoint, ago=HOURS),
    ),
    Case(
        "a long-term API key that was revoked",
        403,
        "AccessDeniedException",
        BAD_API_KEY,
        api_key=lambda endpoint: long_term(endpoint, revoked=True),
    ),
    Case(
        "a short-term API key that has expired",
        403,
        "AccessDeniedException",
        "Bearer Token has expired",
        api_key=lambda endpoint: short_term(endpoint, ago=13 * HOURS),
    ),
    Case(
        "a model that does not exist",
        400,
        "ValidationException",
        NO_MODEL,
        model="anthropic.claude-sonnet-9-20990101-v1:0",
    ),
    Case(
        "a prefix that the guide denies the model", 400, "ValidationException", NO_MODEL, f"global.{OPUS_4_1}"
    ),
    Case(
        "an ARN of another region",
        400,
        "ValidationException",
        NO_MODEL,
        f"arn:aws:bedrock:eu-west-1::foundation-model/{BARE}",
    ),
    *_bodies(
        "an unknown key",
        "temperature too high",
        "an unknown role",
        "the assistant speaks first",
        "broken base64",
        "a budget too small",
        "a tool without a name",
        "a call at the end",
        "five marks",
    ),
]
