"""The sliver of STS that clients need: forms in, XML out. Knows no keys and no principals, only their texts.

Source: botocore's service model `sts` (query protocol, 2011-06-15), and what the service itself was seen to
answer to malformed forms: the first of two equal parameters counts, and an unknown action or version is
refused in another namespace than everything else.
"""

from __future__ import annotations

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
    MissingAuthenticationTokenException,
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

_NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{VERSION}/"
_FAULT_NAMESPACE: Final = "http://webservices.amazon.com/AWSFault/2005-15-09"  # sic
_MOST_PARAMETERS: Final = 100

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
    ThrottlingException: ("Throttling", 400),
    InternalServerException: ("InternalFailure", 500),
    ServiceUnavailableException: ("ServiceUnavailable", 503),
}


class Form(msgspec.Struct, frozen=True):
    """A call of STS: the action, one of ACTIONS, and its other parameters."""

    action: str
    parameters: Mapping[str, str]


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
    if "SerialNumber" in form.parameters or "TokenCode" in form.parameters:
        raise AccessDeniedException(
            "MultiFactorAuthentication failed, unable to validate MFA code. "
            "Please verify your MFA serial number is valid and associated with this user."
        )
    constraints = Constraints()
    given = form.parameters.get("DurationSeconds")
    seconds = constraints.integer("durationSeconds", given, SHORTEST_SESSION, LONGEST_SESSION)
    constraints.check()
    return SESSION_SECONDS if seconds is None else seconds


def caller_identity(arn: str, user_id: str, account: str, request_id: str) -> Reply:
    """The reply of GetCallerIdentity."""
    result = f"<Arn>{escape(arn)}</Arn><UserId>{escape(user_id)}</UserId><Account>{escape(account)}</Account>"
    return _reply("GetCallerIdentity", result, request_id)


def session_token(credentials: Credentials, expiration: str, request_id: str) -> Reply:
    """The reply of GetSessionToken; `expiration` is an ISO 8601 time in UTC (`2026-01-31T23:59:59Z`)."""
    result = (
        f"<Credentials><AccessKeyId>{escape(credentials.access_key)}</AccessKeyId>"
        f"<SecretAccessKey>{escape(credentials.secret)}</SecretAccessKey>"
        f"<SessionToken>{escape(credentials.token)}</SessionToken>"
        f"<Expiration>{escape(expiration)}</Expiration></Credentials>"
    )
    return _reply("GetSessionToken", result, request_id)


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
