"""Anthropic's use-case form, as PutUseCaseForModelAccess takes it: JSON with six members. Knows no account.

Members, lengths and values: AWS's user guide, "Manage model access using SDK and CLI"; the size of the whole:
botocore's service model `bedrock`. How AWS words a refusal of what is inside the form is not known.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from outcrop.errors import SerializationException
from outcrop.wire import json_body
from outcrop.wire.constraints import Constraints, enum_set, least_length, most_length
from outcrop.wire.json_body import NotJsonError

SMALLEST: Final = 10
LARGEST: Final = 16_384
# Whom the applications are for, as the form's numbers have it.
INTENDED_USERS: Final[Mapping[str, str]] = {"internal": "0", "external": "1", "both": "2"}

_OTHER: Final = "otherIndustryOption"  # only where the industry is "Other"
_LONGEST: Final[Mapping[str, int]] = {
    "companyName": 128,
    "companyWebsite": 128,
    "industryOption": 128,
    _OTHER: 128,
    "useCases": 8192,
}


def check(data: bytes) -> None:
    """Raises ValidationException for a form that is too short, too long, or lacks what it must tell."""
    found = Constraints()
    if len(data) < SMALLEST:
        found.violate("formData", least_length(SMALLEST), None)
    if len(data) > LARGEST:
        found.violate("formData", most_length(LARGEST), None)
    found.check()
    told = _read(data)
    if not isinstance(told, dict):
        found.violate("formData", "Member must be the form as a JSON object", None)
        found.check()
    for name, longest in _LONGEST.items():
        _check_text(found, name, told.get(name), longest)
    users = told.get("intendedUsers")
    if users is None:
        found.violate("formData.intendedUsers", "Member must not be null", "null")
    elif isinstance(users, bool) or str(users) not in INTENDED_USERS.values():
        found.violate("formData.intendedUsers", enum_set(list(INTENDED_USERS.values())), None)
    found.check()


def make(members: Mapping[str, str]) -> bytes:
    """The form's bytes, of its members. Raises ValidationException as `check` does."""
    data = msgspec.json.encode(dict(members))
    check(data)
    return data


def decode(text: str) -> bytes:
    """The bytes of a blob on the wire. Raises SerializationException for broken base64."""
    try:
        return binascii.a2b_base64(text.encode(), strict_mode=True)
    except ValueError as error:  # binascii.Error, and text outside UTF-8
        raise SerializationException("Invalid base64 in a blob.", reason=f"formData: {error}") from error


def _read(data: bytes) -> Any:
    """The form's JSON. AWS's page tells users of the AWS CLI to encode it in base64, and version 1 of the CLI
    does that once more."""
    try:
        return json_body.read(data)
    except NotJsonError:
        pass
    try:
        return json_body.read(binascii.a2b_base64(data))
    except ValueError:  # NotJsonError is one, and binascii.Error
        return None


def _check_text(found: Constraints, name: str, value: object, longest: int) -> None:
    member = f"formData.{name}"
    if value is None:
        if name != _OTHER:
            found.violate(member, "Member must not be null", "null")
    elif not isinstance(value, str):
        found.violate(member, "Member must be a string", None)
    elif not value and name != _OTHER:
        found.violate(member, least_length(1), "''")
    elif len(value) > longest:
        # the value may be most of 16 KB, and of no use in the answer
        found.violate(member, most_length(longest), None)
