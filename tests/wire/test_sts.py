"""The forms and the XML of STS, read by botocore's own parser."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import botocore.parsers
import botocore.session
import pytest

from outcrop.errors import (
    AccessDeniedException,
    ExpiredTokenException,
    Fault,
    IncompleteSignatureException,
    InternalServerException,
    InvalidApiKey,
    InvalidSignatureException,
    MalformedPolicyDocumentException,
    MissingAuthenticationTokenException,
    ModelErrorException,
    PackedPolicyTooLargeException,
    UnknownOperationException,
    UnrecognizedClientException,
    ValidationException,
)
from outcrop.wire import sts
from outcrop.wire.http import Reply
from outcrop.wire.sigv4 import Credentials

ODD = "a<b>&\"'é 日本"


def as_botocore_reads_it(reply: Reply, operation: str) -> dict[str, Any]:
    model = botocore.session.get_session().get_service_model("sts").operation_model(operation)
    assert isinstance(reply.body, bytes)
    response = {"status_code": reply.status, "headers": reply.headers, "body": reply.body}
    parsed: dict[str, Any] = botocore.parsers.create_parser("query").parse(response, model.output_shape)
    return parsed


def test_botocore_reads_who_is_calling() -> None:
    reply = sts.caller_identity(f"arn:aws:iam::123456789012:user/{ODD}", "AIDAX", "123456789012", "id-1")

    parsed = as_botocore_reads_it(reply, "GetCallerIdentity")

    assert reply.headers["content-type"] == "text/xml"
    assert parsed["Arn"] == f"arn:aws:iam::123456789012:user/{ODD}"
    assert (parsed["UserId"], parsed["Account"]) == ("AIDAX", "123456789012")
    assert parsed["ResponseMetadata"]["RequestId"] == "id-1"


def test_botocore_reads_temporary_credentials() -> None:
    reply = sts.session_token(Credentials("ASIAX", "se/cr+et=", "to<k>en"), "2026-11-22T12:00:00Z", "id-1")

    assert as_botocore_reads_it(reply, "GetSessionToken")["Credentials"] == {
        "AccessKeyId": "ASIAX",
        "SecretAccessKey": "se/cr+et=",
        "SessionToken": "to<k>en",
        "Expiration": datetime(2026, 11, 22, 12, tzinfo=UTC),
    }


@pytest.mark.parametrize("packed", [None, 7])
def test_botocore_reads_an_assumed_role(packed: int | None) -> None:
    arn = "arn:aws:sts::123456789012:assumed-role/r/s"
    reply = sts.assumed_role(
        Credentials("ASIAX", "se", "to<k>en"), "2026-11-22T12:00:00Z", arn, "AROAX:s", packed, "id-1"
    )

    parsed = as_botocore_reads_it(reply, "AssumeRole")

    assert parsed["AssumedRoleUser"] == {"AssumedRoleId": "AROAX:s", "Arn": arn}
    assert parsed["Credentials"]["SessionToken"] == "to<k>en"
    assert parsed.get("PackedPolicySize") == packed


@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        (MissingAuthenticationTokenException(), "MissingAuthenticationToken", 403),
        (UnrecognizedClientException(), "InvalidClientTokenId", 403),
        (InvalidSignatureException(), "SignatureDoesNotMatch", 403),
        (ExpiredTokenException(), "ExpiredToken", 403),
        (IncompleteSignatureException(ODD), "IncompleteSignature", 400),
        (UnknownOperationException(f"Could not find operation {ODD}"), "InvalidAction", 400),
        (ValidationException("no"), "ValidationError", 400),
        (AccessDeniedException("no"), "AccessDenied", 403),
        (InvalidApiKey(), "AccessDenied", 403),
        (MalformedPolicyDocumentException("no"), "MalformedPolicyDocument", 400),
        (PackedPolicyTooLargeException("no"), "PackedPolicyTooLarge", 400),
        (InternalServerException("oh"), "InternalFailure", 500),
        (ModelErrorException("STS has no word for it"), "ModelErrorException", 424),
    ],
)
def test_botocore_reads_a_fault_under_stss_name(fault: Fault, code: str, status: int) -> None:
    reply = sts.error(fault, "id-1")

    parsed = as_botocore_reads_it(reply, "GetCallerIdentity")

    kind = "Receiver" if status >= 500 else "Sender"
    assert parsed["Error"] == {"Type": kind, "Code": code, "Message": fault.text}
    assert parsed["ResponseMetadata"] == {
        "RequestId": "id-1",
        "HTTPStatusCode": status,
        "HTTPHeaders": reply.headers,
    }
    assert sts.code_of(fault) == (code, status)


def test_what_xml_cannot_hold_does_not_break_the_reply() -> None:
    reply = sts.error(ValidationException("\x00\x1b[31m\ud800\uffff"), "id-1")

    assert as_botocore_reads_it(reply, "GetCallerIdentity")["Error"]["Message"] == "��[31m��"


def test_a_form_is_read() -> None:
    form = sts.parse(b"Action=GetSessionToken&Version=2011-06-15&DurationSeconds=900&Odd=a%26b+c")

    assert form == sts.Form("GetSessionToken", {"DurationSeconds": "900", "Odd": "a&b c"})
    assert sts.session_seconds(form) == 900


def test_the_first_of_two_parameters_counts() -> None:
    assert (
        sts.parse(b"Action=GetCallerIdentity&Action=X&Version=2011-06-15&Version=1").action
        == "GetCallerIdentity"
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            b"Action=GetFederationToken&Version=2011-06-15",
            "Could not find operation GetFederationToken for version 2011-06-15",
        ),
        (
            b"Action=InvokeModel&Version=2011-06-15",
            "Could not find operation InvokeModel for version 2011-06-15",
        ),
        (
            b"Action=GetCallerIdentity&Version=2000-01-01",
            "Could not find operation GetCallerIdentity for version 2000-01-01",
        ),
        (
            b"Action=GetCallerIdentity",
            "Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED",
        ),
        (b"", "Could not find operation  for version NO_VERSION_SPECIFIED"),
        (b'{"Action":"GetCallerIdentity"}', "Could not find operation  for version NO_VERSION_SPECIFIED"),
    ],
)
def test_an_unknown_action_is_refused_in_awss_words(body: bytes, text: str) -> None:
    with pytest.raises(UnknownOperationException) as refused:
        sts.parse(body)

    assert refused.value.text == text


@pytest.mark.parametrize("body", [b"\xff\xfe", b"Action=%FF", b"&".join([b"a=1"] * 101)])
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(ValidationException):
        sts.parse(body)


@pytest.mark.parametrize(
    ("parameters", "seconds"),
    [({}, 43_200), ({"DurationSeconds": "900"}, 900), ({"DurationSeconds": "129600"}, 129_600)],
)
def test_a_session_lasts_as_long_as_asked(parameters: dict[str, str], seconds: int) -> None:
    assert sts.session_seconds(sts.Form("GetSessionToken", parameters)) == seconds


@pytest.mark.parametrize(
    ("value", "constraint"),
    [
        ("899", "Member must have value greater than or equal to 900"),
        ("0", "Member must have value greater than or equal to 900"),
        ("129601", "Member must have value less than or equal to 129600"),
        ("-1", "Member must have value greater than or equal to 900"),
        ("1e3", "Member must be an integer"),
        ("٩٠٠", "Member must be an integer"),
        ("9" * 5000, "Member must be an integer"),
    ],
)
def test_a_session_of_another_length_is_refused(value: str, constraint: str) -> None:
    with pytest.raises(ValidationException) as refused:
        sts.session_seconds(sts.Form("GetSessionToken", {"DurationSeconds": value}))

    assert refused.value.text == (
        f"1 validation error detected: Value '{value}' at 'durationSeconds' "
        f"failed to satisfy constraint: {constraint}"
    )


def test_an_mfa_code_is_not_passed_over_in_silence() -> None:
    with pytest.raises(AccessDeniedException, match="MultiFactorAuthentication failed"):
        sts.session_seconds(sts.Form("GetSessionToken", {"SerialNumber": "x", "TokenCode": "123456"}))


ROLE = "arn:aws:iam::123456789012:role/reader"


def wanted(**parameters: str) -> sts.RoleRequest:
    given = {"RoleArn": ROLE, "RoleSessionName": "job", **parameters}
    return sts.role_request(
        sts.Form("AssumeRole", {name: value for name, value in given.items() if value != "-"})
    )


def test_a_role_is_asked_for() -> None:
    assert wanted() == sts.RoleRequest(ROLE, "job")
    policy = "p" * 1024
    asked = wanted(DurationSeconds="900", Policy=policy, ExternalId="a:/b")
    assert asked == sts.RoleRequest(ROLE, "job", 900, policy, "a:/b")
    assert (wanted().packed, asked.packed) == (None, 50)


@pytest.mark.parametrize(
    ("parameters", "constraint"),
    [
        ({"RoleArn": "-"}, "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"),
        (
            {"RoleSessionName": "-"},
            "Value null at 'roleSessionName' failed to satisfy constraint: Member must not be null",
        ),
        ({"RoleArn": "arn:x"}, "Member must have length greater than or equal to 20"),
        ({"RoleSessionName": "a b"}, r"regular expression pattern: [\w+=,.@-]*"),
        ({"RoleSessionName": "é1"}, r"regular expression pattern: [\w+=,.@-]*"),
        ({"RoleSessionName": "a"}, "length greater than or equal to 2"),
        ({"RoleSessionName": "a" * 65}, "length less than or equal to 64"),
        ({"ExternalId": "a b"}, r"regular expression pattern: [\w+=,.@:\/-]*"),
        ({"DurationSeconds": "899"}, "value greater than or equal to 900"),
        ({"DurationSeconds": "43201"}, "value less than or equal to 43200"),
        ({"Policy": "☃"}, "at 'policy' failed to satisfy constraint"),
        ({"RoleArn": "arn:aws:iam::123456789012:user/x"}, "arn:aws:iam::123456789012:user/x is invalid"),
        ({"Tags.member.1.Key": "a"}, "Tags: session tags can't be given"),
        ({"TransitiveTagKeys.member.1": "a"}, "TransitiveTagKeys: session tags"),
        ({"PolicyArns.member.1.arn": "a"}, "PolicyArns: managed session policies"),
        ({"SourceIdentity": "alice"}, "SourceIdentity: a source identity"),
    ],
)
def test_a_role_that_is_asked_for_wrongly_is_refused(parameters: dict[str, str], constraint: str) -> None:
    with pytest.raises(ValidationException) as refused:
        wanted(**parameters)

    assert constraint in refused.value.text


def test_a_session_policy_has_its_room() -> None:
    assert wanted(Policy="p" * 2048).packed == 100
    with pytest.raises(PackedPolicyTooLargeException) as refused:
        wanted(Policy="p" * 2049)
    assert refused.value.text == "Packed policy consumes 101% of allotted space, please use smaller policy."


def test_a_role_is_not_assumed_with_an_mfa_code() -> None:
    with pytest.raises(AccessDeniedException, match="MultiFactorAuthentication failed"):
        wanted(SerialNumber="arn:aws:iam::1:mfa/x", TokenCode="123456")
