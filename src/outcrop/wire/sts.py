"""The sliver of STS that clients need: forms in, XML out. Knows no keys and no principals, only their texts.

Source: botocore's service model `sts` (query protocol, 2011-06-15), and what the service itself was seen to
answer to malformed forms: the first of two equal parameters counts, and an unknown action or version is
refused in another namespace than everything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import msgspec

from outcrop.errors import (
    AccessDeniedException,
    ExpiredTokenException,
    Fault,
    IncompleteSignatureException,
    InternalServerException,
    InvalidSignatureException,
    MalformedPolicyDocumentException,
    MissingAuthenticationTokenException,
    PackedPolicyTooLargeException,
    ServiceUnavailableException,
    ThrottlingException,
    UnknownOperationException,
    UnrecognizedClientException,
    ValidationException,
)
from outcrop.wire.constraints import Constraints
from outcrop.wire.http import Reply
from outcrop.wire.operations import OPERATIONS
from outcrop.wire.sigv4 import Credentials

VERSION: Final = "2011-06-15"
ACTIONS: Final = frozenset(operation.name for operation in OPERATIONS if operation.service == "sts")
SESSION_SECONDS: Final = 43_200  # GetSessionToken's default: twelve hours
SHORTEST_SESSION: Final = 900
LONGEST_SESSION: Final = 129_600
ROLE_SECONDS: Final = 3600  # AssumeRole's default, and the most where a role's session assumes another role
LONGEST_ROLE_SESSION: Final = 43_200
LONGEST_SESSION_POLICY: Final = 2048  # characters of plain text

_NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{VERSION}/"
_FAULT_NAMESPACE: Final = "http://webservices.amazon.com/AWSFault/2005-15-09"  # sic
_MOST_PARAMETERS: Final = 100
_SESSION_NAME: Final = re.compile(r"[\w+=,.@-]*", re.ASCII)
_EXTERNAL_ID: Final = re.compile(r"[\w+=,.@:\/-]*", re.ASCII)
_POLICY: Final = re.compile(r"[\u0009\u000A\u000D\u0020-\u00FF]+")
# A role's ARN; a path before its name is of no account here, where roles have none.
_ROLE_ARN: Final = re.compile(r"arn:aws:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII)
# What a session could carry further at AWS. To pass over it in silence would change what policies decide.
_NOT_CARRIED: Final = {
    "Tags": "session tags",
    "TransitiveTagKeys": "session tags",
    "PolicyArns": "managed session policies",
    "ProvidedContexts": "provided contexts",
    "SourceIdentity": "a source identity",
}

# Bedrock's name of a fault, STS's code and status for it.
_CODES: Final[Mapping[type[Fault], tuple[str, int]]] = {
    MissingAuthenticationTokenException: ("MissingAuthenticationToken", 403),
    UnrecognizedClientException: ("InvalidClientTokenId", 403),
    InvalidSignatureException: ("SignatureDoesNotMatch", 403),
    ExpiredTokenException: ("ExpiredToken", 403),
    IncompleteSignatureException: ("IncompleteSignature", 400),
    UnknownOperationException: ("InvalidAction", 400),
    ValidationException: ("ValidationError", 400),
    AccessDeniedException: ("AccessDenied", 403),
    MalformedPolicyDocumentException: ("MalformedPolicyDocument", 400),
    PackedPolicyTooLargeException: ("PackedPolicyTooLarge", 400),
    ThrottlingException: ("Throttling", 400),
    InternalServerException: ("InternalFailure", 500),
    ServiceUnavailableException: ("ServiceUnavailable", 503),
}


class Form(msgspec.Struct, frozen=True):
    """A call of STS: the action, one of ACTIONS, and its other parameters."""

    action: str
    parameters: Mapping[str, str]


class RoleRequest(msgspec.Struct, frozen=True):
    """What AssumeRole asks for. What is not said is None or ""."""

    role_arn: str
    session: str
    seconds: int | None = None
    policy: str = ""
    external_id: str = ""

    @property
    def packed(self) -> int | None:
        """How much of the room for a session policy is taken, in percent; None without one."""
        return -(-100 * len(self.policy) // LONGEST_SESSION_POLICY) if self.policy else None


def parse(body: bytes) -> Form:
    """Reads `Action=…&Version=2011-06-15&…`.

    Raises UnknownOperationException for an action or version that is not here (AWS sends a form without an
    action to a web page instead), ValidationException when the body is no form at all.
    """
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError as error:
        raise ValidationException("The request body is not a form.") from error
    parameters: dict[str, str] = {}
    for name, value in pairs:
        parameters.setdefault(name, value)
    action = parameters.pop("Action", "")
    version = parameters.pop("Version", "NO_VERSION_SPECIFIED")
    if action not in ACTIONS or version != VERSION:
        raise UnknownOperationException(f"Could not find operation {action} for version {version}")
    return Form(action, parameters)


def session_seconds(form: Form) -> int:
    """How long GetSessionToken's credentials shall live. Raises ValidationException outside 900 to 129,600.

    An MFA code is refused with AccessDeniedException: no user here has a device.
    """
    _refuse_mfa(form)
    constraints = Constraints()
    given = form.parameters.get("DurationSeconds")
    seconds = constraints.integer("durationSeconds", given, SHORTEST_SESSION, LONGEST_SESSION)
    constraints.check()
    return SESSION_SECONDS if seconds is None else seconds


def role_request(form: Form) -> RoleRequest:
    """What AssumeRole asks for, as far as the form alone tells whether it can be.

    Raises ValidationException for what breaks the service model's constraints, and for what sessions can't
    carry here (tags, managed policies, a source identity); PackedPolicyTooLargeException for a session policy
    that is too long; AccessDeniedException for an MFA code.
    """
    given = form.parameters
    constraints = Constraints()
    for member, name in (("roleArn", "RoleArn"), ("roleSessionName", "RoleSessionName")):
        if name not in given:
            constraints.violate(member, "Member must not be null", "null")
    constraints.length("roleArn", given.get("RoleArn"), 20, 2048)
    constraints.pattern("roleSessionName", given.get("RoleSessionName"), _SESSION_NAME)
    constraints.length("roleSessionName", given.get("RoleSessionName"), 2, 64)
    constraints.pattern("externalId", given.get("ExternalId"), _EXTERNAL_ID)
    constraints.length("externalId", given.get("ExternalId"), 2, 1224)
    constraints.pattern("policy", given.get("Policy"), _POLICY)
    seconds = constraints.integer(
        "durationSeconds", given.get("DurationSeconds"), SHORTEST_SESSION, LONGEST_ROLE_SESSION
    )
    constraints.check()
    _refuse_mfa(form)
    for name in given:
        if what := _NOT_CARRIED.get(name.partition(".")[0]):
            raise ValidationException(f"{name.partition('.')[0]}: {what} can't be given to a session here.")
    if _ROLE_ARN.fullmatch(given["RoleArn"]) is None:
        raise ValidationException(f"{given['RoleArn']} is invalid")
    wanted = RoleRequest(
        given["RoleArn"],
        given["RoleSessionName"],
        seconds,
        given.get("Policy", ""),
        given.get("ExternalId", ""),
    )
    if wanted.packed is not None and wanted.packed > 100:
        raise PackedPolicyTooLargeException(
            f"Packed policy consumes {wanted.packed}% of allotted space, please use smaller policy."
        )
    return wanted


def _refuse_mfa(form: Form) -> None:
    if "SerialNumber" in form.parameters or "TokenCode" in form.parameters:
        raise AccessDeniedException(
            "MultiFactorAuthentication failed, unable to validate MFA code. "
            "Please verify your MFA serial number is valid and associated with this user."
        )


def caller_identity(arn: str, user_id: str, account: str, request_id: str) -> Reply:
    """The reply of GetCallerIdentity."""
    result = f"<Arn>{escape(arn)}</Arn><UserId>{escape(user_id)}</UserId><Account>{escape(account)}</Account>"
    return _reply("GetCallerIdentity", result, request_id)


def session_token(credentials: Credentials, expiration: str, request_id: str) -> Reply:
    """The reply of GetSessionToken; `expiration` is an ISO 8601 time in UTC (`2026-01-31T23:59:59Z`)."""
    return _reply("GetSessionToken", _credentials(credentials, expiration), request_id)


def assumed_role(
    credentials: Credentials, expiration: str, arn: str, user_id: str, packed: int | None, request_id: str
) -> Reply:
    """The reply of AssumeRole: `arn` and `user_id` are the session's, `packed` is RoleRequest's."""
    user = (
        f"<AssumedRoleUser><AssumedRoleId>{escape(user_id)}</AssumedRoleId><Arn>{escape(arn)}</Arn>"
        "</AssumedRoleUser>"
    )
    size = "" if packed is None else f"<PackedPolicySize>{packed}</PackedPolicySize>"
    return _reply("AssumeRole", _credentials(credentials, expiration) + user + size, request_id)


def _credentials(credentials: Credentials, expiration: str) -> str:
    return (
        f"<Credentials><AccessKeyId>{escape(credentials.access_key)}</AccessKeyId>"
        f"<SecretAccessKey>{escape(credentials.secret)}</SecretAccessKey>"
        f"<SessionToken>{escape(credentials.token)}</SessionToken>"
        f"<Expiration>{escape(expiration)}</Expiration></Credentials>"
    )


def code_of(fault: Fault) -> tuple[str, int]:
    """STS's code and HTTP status for a fault; one STS has no word for keeps its own name and status."""
    for kind in type(fault).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    return fault.name, fault.status


def error(fault: Fault, request_id: str) -> Reply:
    """The reply for a fault: AWS's ErrorResponse."""
    code, status = code_of(fault)
    namespace = _FAULT_NAMESPACE if code == "InvalidAction" else _NAMESPACE
    kind = "Sender" if status < 500 else "Receiver"
    return _xml(
        status,
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{kind}</Type><Code>{escape(code)}</Code>'
        f"<Message>{_text(fault.text)}</Message></Error>"
        f"<RequestId>{escape(request_id)}</RequestId></ErrorResponse>",
        request_id,
    )


def _text(text: str) -> str:
    """Escaped, and without what XML 1.0 can't hold: an error may quote a caller's form or header."""
    return escape("".join(char if char in "\t\n" or _is_xml(ord(char)) else "�" for char in text))


def _is_xml(code: int) -> bool:
    return 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code > 0xFFFF


def _reply(action: str, result: str, request_id: str) -> Reply:
    return _xml(
        200,
        f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result>{result}</{action}Result>'
        f"<ResponseMetadata><RequestId>{escape(request_id)}</RequestId></ResponseMetadata></{action}Response>",
        request_id,
    )


def _xml(status: int, text: str, request_id: str) -> Reply:
    return Reply(status, {"content-type": "text/xml", "x-amzn-requestid": request_id}, text.encode())
