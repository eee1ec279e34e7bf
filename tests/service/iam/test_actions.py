"""What a policy names that no operation has: found, with what was meant, and never in what is right."""

from __future__ import annotations

import json

import pytest

from outcrop.service.iam.actions import KNOWN, unknown
from outcrop.service.iam.presets import PRESETS


def told(*actions: str, element: str = "Action") -> dict[str, str]:
    return unknown(json.dumps({"Statement": {"Effect": "Deny", element: list(actions), "Resource": "*"}}))


@pytest.mark.parametrize(
    ("action", "near"),
    [
        ("bedrock:InvokeModle", "bedrock:InvokeModel"),
        ("BEDROCK:invokemodle", "bedrock:InvokeModel"),
        ("bedrock:Converse", "bedrock:InvokeModel"),
        ("bedrock:ConverseStream", "bedrock:InvokeModelWithResponseStream"),
        ("bedrock:AssumeRole", "sts:AssumeRole"),
        ("bedrock:CreateGuardrailVersion", ""),
        ("bedrock:Invoice*", ""),
        ("sts:DecodeAuthorizationMessage", ""),
    ],
)
def test_an_action_that_no_operation_has_is_told_with_what_is_near(action: str, near: str):
    assert told(action) == told(action, element="NotAction") == {action: near}


def test_what_is_known_covered_or_of_another_service_is_not_told():
    fine = ("*", "bedrock:*", "bedrock:Invoke*", "BEDROCK:invokemodel", "sts:Get?essionToken", "b*:List*")
    assert told(*fine, "s3:GetObjekt", "bedrock-agent:Anything", "aws-marketplace:*") == {}
    assert told(*KNOWN) == {}
    assert [unknown(policy) for policy in PRESETS.values()] == [{}, {}, {}]
    assert unknown('{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRol","Resource":"*"}]}') == {
        "sts:AssumeRol": "sts:AssumeRole"
    }
