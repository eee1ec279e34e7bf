"""Generated policies, decided by moto's evaluator and by ours. OUTCROP_PROVE=1 makes twenty times as many.

moto looks at Effect, Action, NotAction and Resource with `*`; at no operators of conditions but one. Where it
departs from AWS's documents is listed below, case by case, and kept out of what is generated.
"""

import json
import os
import random

import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult

from outcrop.service.iam.decide import Layers, NamedPolicy, Request, decide
from outcrop.service.iam.policy import parse
from service.iam.policies import allow, deny, text

POLICIES = 24_000 if os.environ.get("OUTCROP_PROVE") == "1" else 1200
REQUESTS = 8
REASONS = {
    PermissionResult.PERMITTED: "allowed",
    PermissionResult.DENIED: "explicit deny",
    PermissionResult.NEUTRAL: "implicit deny",
}

ACTIONS = (
    "bedrock:InvokeModel",
    "bedrock:InvokeModelWithResponseStream",
    "bedrock:CountTokens",
    "bedrock:ListFoundationModels",
    "bedrock:GetInferenceProfile",
    "bedrock:CallWithBearerToken",
    "sts:AssumeRole",
    "s3:GetObject",
)
REGIONS = ("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "")
MODELS = ("anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-3-haiku-20240307-v1:0")
RESOURCES = (
    "*",
    *(f"arn:aws:bedrock:{region}::foundation-model/{model}" for region in REGIONS for model in MODELS),
    *(f"arn:aws:bedrock:{region}:1:inference-profile/us.{MODELS[0]}" for region in REGIONS[:3]),
    *(
        f"arn:aws:bedrock:{region}:{account}:application-inference-profile/abc"
        for region in REGIONS[:2]
        for account in "12"
    ),
    "arn:aws:iam::1:role/reader",
    "arn:aws:s3:::bucket/key",
)


def starred(choice, told, *, ends_only=False):
    """The text with a star in place of a part of it; `ends_only` lets the star end the text or a segment."""
    start = choice.randrange(len(told) + 1)
    if ends_only:
        ends = [index for index, char in enumerate(told) if char == ":" and index >= start]
        return told[:start] + "*" + (told[choice.choice(ends) :] if ends and choice.random() < 0.5 else "")
    return told[:start] + "*" + told[choice.randrange(start, len(told) + 1) :]


def action(choice):
    told = choice.choice(ACTIONS)
    service, _, name = told.partition(":")
    return choice.choice((told, told, "*", f"{service}:*", f"{service}:{starred(choice, name)}"))


def resource(choice):
    told = choice.choice(RESOURCES[1:])
    head, tail = told.rsplit(":", told.count(":") - 4)[0], told.split(":", 5)[5]
    kinds = (
        told,
        "*",
        f"{head}:{starred(choice, tail)}",
        "arn:aws:bedrock:" + starred(choice, told.split(":", 3)[3], ends_only=True),
    )
    return choice.choice(kinds)


def some(choice, make):
    made = [make(choice) for _ in range(choice.choice((1, 1, 2, 3)))]
    return made[0] if len(made) == 1 and choice.random() < 0.5 else made


def statement(choice):
    kind = "NotAction" if choice.random() < 0.25 else "Action"
    effect = "Deny" if choice.random() < 0.3 else "Allow"
    return {"Effect": effect, kind: some(choice, action), "Resource": some(choice, resource)}


def ours(told, asked, on):
    return decide(Layers((NamedPolicy("p", parse(told)),)), Request(asked, on)).reason


def motos(told, asked, on):
    return REASONS[IAMPolicy(told).is_action_permitted(asked, on)]


def test_generated_policies_are_decided_as_moto_decides_them():
    choice = random.Random(20261124)
    seen = dict.fromkeys(REASONS.values(), 0)
    for _ in range(POLICIES):
        told = text(*[statement(choice) for _ in range(choice.randint(1, 5))])
        for _ in range(REQUESTS):
            asked, on = choice.choice(ACTIONS), choice.choice(RESOURCES)
            expected = motos(told, asked, on)
            assert ours(told, asked, on) == expected, (told, asked, on)
            seen[expected] += 1
    # all three kinds of answers, each often enough to mean something
    assert min(seen.values()) > POLICIES


def test_a_single_statement_without_a_list_too():
    told = json.dumps({"Version": "2012-10-17", "Statement": allow("bedrock:Invoke*")})
    assert ours(told, "bedrock:InvokeModel", "*") == motos(told, "bedrock:InvokeModel", "*") == "allowed"


MODEL = f"arn:aws:bedrock:us-east-1::foundation-model/{MODELS[0]}"
# Where moto is not AWS: (policy, action, resource, AWS's answer, why, the page of the IAM User Guide).
DEPARTURES = {
    "? is any one character": (
        text(allow("bedrock:InvokeMode?")),
        "bedrock:InvokeModel",
        MODEL,
        "allowed",
        "moto leaves it to the regular expression, where it makes what stands before it optional (Resource)",
    ),
    "a dot is a dot": (
        text(allow("*", MODEL)),
        "bedrock:InvokeModel",
        MODEL.replace("anthropic.claude", "anthropic-claude"),
        "implicit deny",
        "moto leaves it to the regular expression, where it is any character (Resource)",
    ),
    "actions have no case": (
        text(allow("Bedrock:invokemodel")),
        "bedrock:InvokeModel",
        MODEL,
        "allowed",
        "moto compares them with their case (Action)",
    ),
    "NotResource": (
        text(allow(), {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::a"}),
        "bedrock:InvokeModel",
        MODEL,
        "explicit deny",
        "moto takes a statement without Resource for an Allow (NotResource)",
    ),
    "a star within a segment stays in it": (
        text(allow("*", "arn:aws:bedrock:us-*st-1::*")),
        "bedrock:InvokeModel",
        "arn:aws:bedrock:us-:x:st-1::a",
        "implicit deny",
        "moto lets every star go on beyond colons (Resource, wildcards)",
    ),
    "a condition that does not hold": (
        text(allow(), deny(Condition={"StringEquals": {"aws:username": "eve"}})),
        "bedrock:InvokeModel",
        MODEL,
        "allowed",
        "the statement does not apply, Deny or Allow (Condition)",
    ),
    "a condition's key that is missing": (
        text(allow(Condition={"StringEquals": {"aws:username": "eve"}})),
        "bedrock:InvokeModel",
        MODEL,
        "implicit deny",
        "moto takes a missing key for a fulfilled condition (Condition operators)",
    ),
}


@pytest.mark.parametrize("name", DEPARTURES)
def test_where_moto_departs_from_aws_ours_does_not(name):
    told, asked, on, expected, _ = DEPARTURES[name]
    assert ours(told, asked, on) == expected
    assert motos(told, asked, on) != expected
