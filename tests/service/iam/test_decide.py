"""Layers against each other: what decides, and what is said of it. Trust policies. AWS's texts."""

import pytest

from outcrop.service.call import Principal
from outcrop.service.iam import texts
from outcrop.service.iam.decide import (
    Decision,
    Layers,
    NamedPolicy,
    Request,
    decide,
    decide_assume,
    may_assume,
)
from outcrop.service.iam.policy import parse
from outcrop.service.iam.presets import PRESETS
from outcrop.service.principals import Role
from service.iam.policies import allow, ask, deny, named, text

MODEL = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-1-20250805-v1:0"
INVOKE = Request("bedrock:InvokeModel", MODEL)
ALL = named(allow())
NONE = named(allow("s3:*"))
NEVER = named(allow("s3:*"), deny("bedrock:*", Sid="Stop"), name="stop")


def test_an_allow_is_needed_and_found():
    assert ask([allow("bedrock:*")]) == Decision(True, "allowed", "identity", "p", "", 0)
    assert ask([allow("s3:*"), allow(Sid="All")]) == Decision(True, "allowed", "identity", "p", "All", 1)
    assert ask([allow("s3:*")]) == Decision(False, "implicit deny", "identity")
    assert not decide(Layers(()), INVOKE).allowed


@pytest.mark.parametrize("statements", [[allow(), deny()], [deny(), allow()]])
def test_a_deny_wins_wherever_it_stands(statements):
    assert ask(statements).reason == "explicit deny"


# the layers that are attached: what is decided, and by which
CASES = [
    ({"identity": ALL}, True, "identity"),
    ({"identity": ALL, "boundary": ALL, "account": ALL, "session": ALL}, True, "identity"),
    ({"identity": (), "boundary": ALL, "account": ALL, "session": ALL}, False, "identity"),
    ({"identity": ALL, "boundary": NONE}, False, "boundary"),
    ({"identity": ALL, "boundary": ()}, False, "boundary"),
    ({"identity": ALL, "account": NONE}, False, "account"),
    ({"identity": ALL, "session": NONE}, False, "session"),
    ({"identity": ALL, "boundary": NONE, "account": NONE, "session": NONE}, False, "account"),
    ({"identity": NONE, "account": NONE}, False, "account"),
    ({"identity": NONE, "boundary": NONE, "session": NONE}, False, "identity"),
    ({"identity": ALL, "boundary": NONE, "session": NONE}, False, "boundary"),
]


@pytest.mark.parametrize(("attached", "allowed", "layer"), CASES)
def test_every_attached_layer_must_allow(attached, allowed, layer):
    decision = decide(Layers(**attached), INVOKE)
    assert (decision.allowed, decision.layer) == (allowed, layer)
    assert allowed or (decision.reason, decision.policy, decision.statement) == ("implicit deny", "", None)


@pytest.mark.parametrize("layer", ["identity", "boundary", "account", "session"])
def test_a_deny_in_any_layer_decides_and_is_named(layer):
    every = {"identity": ALL, "boundary": ALL, "account": ALL, "session": ALL, layer: (*ALL, *NEVER)}
    expected = Decision(False, "explicit deny", layer, "stop", "Stop", 1)
    assert decide(Layers(**every), INVOKE) == expected
    # also where another layer would not allow anyway
    others = {name: NONE for name in every if name != layer}
    assert decide(Layers(**{**others, layer: NEVER}), INVOKE) == expected


def test_actions_have_no_case_and_resources_have():
    assert ask([allow("Bedrock:invokemodel")], "bedrock:InvokeModel").allowed
    assert ask([allow("bedrock:Invoke*Stream")], "bedrock:InvokeModelWithResponseStream").allowed
    assert not ask(
        [allow("*", MODEL.upper().replace("ARN:AWS:BEDROCK", "arn:aws:bedrock"))], resource=MODEL
    ).allowed


def test_what_is_not_named_is_what_a_not_statement_is_about():
    assert ask([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]).allowed
    assert not ask([{"Effect": "Allow", "NotAction": ["iam:*", "bedrock:*"], "Resource": "*"}]).allowed
    only = {
        "Effect": "Deny",
        "Action": "*",
        "NotResource": [MODEL, "arn:aws:bedrock:*:*:inference-profile/*"],
    }
    assert ask([allow(), only], resource=MODEL).allowed
    assert ask([allow(), only], resource=MODEL + "x").reason == "explicit deny"


def test_an_action_without_resources_is_covered_by_the_star_only():
    assert ask([allow("bedrock:List*")], "bedrock:ListFoundationModels", "*").allowed
    assert not ask([allow("bedrock:List*", "arn:aws:bedrock:*")], "bedrock:ListFoundationModels", "*").allowed


def test_a_resource_can_have_the_callers_name_in_it():
    mine = allow("*", "arn:aws:iam::1:user/${aws:username}/*")
    assert ask([mine], resource="arn:aws:iam::1:user/bob/x", context={"aws:username": "bob"}).allowed
    assert not ask([mine], resource="arn:aws:iam::1:user/bob/x", context={"aws:username": "b*"}).allowed
    assert not ask([mine], resource="arn:aws:iam::1:user//x").allowed
    # a statement with a variable that has no value is about nothing, also a Deny
    not_mine = {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:iam::1:user/${aws:username}"}
    assert ask([allow(), not_mine]).allowed


@pytest.mark.parametrize(
    ("name", "action", "allowed"),
    [
        ("everything", "sts:AssumeRole", True),
        ("invoke", "bedrock:InvokeModelWithResponseStream", True),
        ("invoke", "bedrock:CallWithBearerToken", True),
        ("invoke", "bedrock:CreateInferenceProfile", False),
        ("invoke", "bedrock:PutUseCaseForModelAccess", False),
        ("nothing", "bedrock:InvokeModel", False),
    ],
)
def test_presets_allow_what_they_say(name, action, allowed):
    layers = Layers((NamedPolicy(name, parse(PRESETS[name])),))
    decision = decide(layers, Request(action, "*"))
    assert decision.allowed is allowed
    assert decision.reason != "explicit deny"  # so that another policy can add to it


# --- trust policies ---

ACCOUNT, OTHER = "111122223333", "444455556666"
ROLE = Role(ACCOUNT, "reader", "AROAREADER", 0, "")
BOB = Principal(
    f"arn:aws:iam::{ACCOUNT}:user/bob",
    "AIDABOBBOBBOBBOB",
    ACCOUNT,
    "AKIA",
    f"arn:aws:iam::{ACCOUNT}:user/bob",
)
EVE = Principal(f"arn:aws:iam::{OTHER}:user/eve", "AIDAEVE", OTHER, "AKIA", f"arn:aws:iam::{OTHER}:user/eve")
SESSION = Principal(
    f"arn:aws:sts::{ACCOUNT}:assumed-role/builder/night",
    "AROABUILDERBUILDER:night",
    ACCOUNT,
    "ASIA",
    f"arn:aws:iam::{ACCOUNT}:role/builder",
)


def trusting(principal, effect="Allow", **elements):
    return text({"Effect": effect, "Principal": principal, "Action": "sts:AssumeRole", **elements})


@pytest.mark.parametrize(
    ("principal", "caller", "grant"),
    [
        ({"AWS": BOB.arn}, BOB, "principal"),
        ({"AWS": BOB.user_id}, BOB, "principal"),
        ({"AWS": ACCOUNT}, BOB, "account"),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, BOB, "account"),
        ({"AWS": f"arn:aws:iam::{OTHER}:root"}, BOB, ""),
        ({"AWS": [OTHER, ACCOUNT, BOB.arn]}, BOB, "principal"),
        ("*", BOB, "principal"),
        ({"AWS": "*"}, SESSION, "principal"),
        ({"AWS": SESSION.arn}, SESSION, "principal"),
        ({"AWS": SESSION.owner}, SESSION, "role"),
        ({"AWS": "AROABUILDERBUILDER"}, SESSION, "role"),
        ({"AWS": f"{SESSION.arn}x"}, SESSION, ""),
        ({"AWS": EVE.arn}, EVE, "account"),
        ("*", EVE, "account"),
        ({"AWS": OTHER}, EVE, "account"),
        ({"AWS": BOB.arn}, EVE, ""),
        ({"Service": "ec2.amazonaws.com"}, BOB, ""),
        ({"Federated": "accounts.google.com"}, BOB, ""),
    ],
)
def test_a_trust_policy_names_whom_it_lets_in(principal, caller, grant):
    decision = may_assume(trusting(principal), caller, ROLE, {})
    assert (decision.allowed, decision.grant, decision.layer) == (bool(grant), grant, "trust")


def test_a_trust_policy_can_deny_all_but_some():
    told = text(
        {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"},
        {"Effect": "Deny", "NotPrincipal": {"AWS": BOB.arn}, "Action": "sts:AssumeRole", "Sid": "OnlyBob"},
    )
    assert may_assume(told, BOB, ROLE, {}).allowed
    assert may_assume(told, EVE, ROLE, {}) == Decision(False, "explicit deny", "trust", "", "OnlyBob", 1)


def test_a_trust_policys_conditions_count():
    told = trusting({"AWS": OTHER}, Condition={"StringEquals": {"sts:ExternalId": "12345"}})
    assert may_assume(told, EVE, ROLE, {"STS:externalid": "12345"}).allowed
    assert not may_assume(told, EVE, ROLE, {}).allowed
    assert not may_assume(trusting("*", Action="sts:TagSession"), BOB, ROLE, {}).allowed


@pytest.mark.parametrize(
    ("principal", "caller", "layers", "allowed"),
    [
        # named itself: needs no policy of its own, and no boundary stops it; the account's policies do
        ({"AWS": BOB.arn}, BOB, {"identity": ()}, True),
        ({"AWS": BOB.arn}, BOB, {"identity": (), "boundary": NONE}, True),
        ({"AWS": BOB.arn}, BOB, {"identity": ALL, "account": NONE}, False),
        ({"AWS": BOB.arn}, BOB, {"identity": named(deny("sts:*"))}, False),
        # its role named: what narrows the role narrows this
        ({"AWS": SESSION.owner}, SESSION, {"identity": ()}, True),
        ({"AWS": SESSION.owner}, SESSION, {"identity": (), "boundary": NONE}, False),
        ({"AWS": SESSION.owner}, SESSION, {"identity": (), "session": NONE}, False),
        # the account named: it is up to the identity policies
        ({"AWS": ACCOUNT}, BOB, {"identity": ()}, False),
        ({"AWS": ACCOUNT}, BOB, {"identity": named(allow("sts:AssumeRole", ROLE.arn))}, True),
        ({"AWS": ACCOUNT}, BOB, {"identity": named(allow("sts:AssumeRole", ROLE.arn + "x"))}, False),
        # across accounts both sides have to allow
        ({"AWS": EVE.arn}, EVE, {"identity": ()}, False),
        ({"AWS": EVE.arn}, EVE, {"identity": ALL}, True),
        # not named at all
        ({"AWS": EVE.arn}, BOB, {"identity": ALL}, False),
    ],
)
def test_whom_the_role_names_decides_what_else_must_allow(principal, caller, layers, allowed):
    request = Request("sts:AssumeRole", ROLE.arn)
    trust = may_assume(trusting(principal), caller, ROLE, {})
    assert decide_assume(Layers(**layers), trust, request).allowed is allowed


# --- texts ---

WHO = "arn:aws:sts::111122223333:assumed-role/dev/me"


@pytest.mark.parametrize(
    ("layer", "reason", "end"),
    [
        (
            "identity",
            "implicit deny",
            "because no identity-based policy allows the bedrock:InvokeModel action",
        ),
        ("identity", "explicit deny", "with an explicit deny in an identity-based policy"),
        (
            "boundary",
            "implicit deny",
            "because no permissions boundary allows the bedrock:InvokeModel action",
        ),
        ("boundary", "explicit deny", "with an explicit deny in a permissions boundary"),
        (
            "account",
            "implicit deny",
            "because no service control policy allows the bedrock:InvokeModel action",
        ),
        ("account", "explicit deny", "with an explicit deny in a service control policy"),
        ("session", "implicit deny", "because no session policy allows the bedrock:InvokeModel action"),
        ("session", "explicit deny", "with an explicit deny in a session policy"),
        ("trust", "implicit deny", "because no role trust policy allows the bedrock:InvokeModel action"),
        ("trust", "explicit deny", "with an explicit deny in the role trust policy"),
    ],
)
def test_a_refusal_is_worded_as_aws_words_it(layer, reason, end):
    told = texts.refusal(WHO, INVOKE, Decision(False, reason, layer))
    assert told == f"User: {WHO} is not authorized to perform: bedrock:InvokeModel on resource: {MODEL} {end}"


def test_an_action_without_resources_names_none():
    refused = Decision(False, "implicit deny", "identity")
    listing = texts.refusal(WHO, Request("bedrock:ListFoundationModels", "*"), refused)
    assert "perform: bedrock:ListFoundationModels because no identity-based policy" in listing
    bearer = texts.refusal(WHO, Request("bedrock:CallWithBearerToken", "*"), refused)
    assert "perform: bedrock:CallWithBearerToken on resource: * because" in bearer
