"""What calls ask for, and what the step does with the answers."""

import itertools
import os
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guide_table import HAIKU_3, HAIKU_45, SONNET_45
from outcrop.errors import (
    AccessDeniedException,
    InternalServerException,
    SerializationException,
    ValidationException,
)
from outcrop.service.call import Principal, Target
from outcrop.service.iam import context, requirements
from outcrop.service.iam.context import PASSING, Connection
from outcrop.service.iam.decide import decide
from outcrop.service.iam.patterns import canonical
from outcrop.service.iam.presets import PRESETS
from outcrop.service.iam.step import Authoriser, layers_of
from outcrop.service.principals import Account, Role
from outcrop.service.profiles import ApplicationProfile
from outcrop.wire.http import Reply
from outcrop.wire.operations import OPERATIONS
from service.calls import ACCOUNT, OTHER_ACCOUNT, call
from service.iam.policies import CATALOG, USER, allow, deny, model_call, state_of, text

US, EU, GLOBAL = (f"{scope}.{SONNET_45}" for scope in ("us", "eu", "global"))
OK = Reply(200, {}, b"")


def profile_arn(profile, region="us-east-1"):
    return f"arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/{profile}"


def model_arn(model, region="us-east-1"):
    return f"arn:aws:bedrock:{region}::foundation-model/{model}"


def user(*statements, **members):
    policies = {"own": text(*statements)} if statements else {}
    return msgspec.structs.replace(USER, policies=policies, **members)


def run(asked, authoriser=None):
    """Whether the call goes on; otherwise the refusal's text."""

    async def inner(_call):
        return OK

    try:
        step = (authoriser or Authoriser(CATALOG)).authorise(asked, inner)
        with pytest.raises(StopIteration) as done:
            step.send(None)  # nothing here waits, so no event loop is needed
    except AccessDeniedException as fault:
        return fault.text
    assert done.value.value is OK
    return ""


def asked_for(asked):
    told = context.steady(asked.principal)
    return requirements.of(asked, CATALOG, told, context.token_type(asked))


def rows(asked):
    return [(request.action, request.resource) for request in asked_for(asked)]


def body_call(operation, body, **members):
    asked = call(operation, region="us-east-1", body=body, **members)
    return msgspec.structs.replace(
        asked, principal=Principal(USER.arn, USER.user_id, ACCOUNT, "AKIAEXAMPLE", USER.arn)
    )


# --- what is asked for ---


def test_every_operation_is_in_the_table_or_free():
    names = {operation.name for operation in OPERATIONS}
    assert names == set(requirements.REQUIREMENTS) | requirements.FREE
    assert not set(requirements.REQUIREMENTS) & requirements.FREE


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("InvokeModel", "bedrock:InvokeModel"),
        ("Converse", "bedrock:InvokeModel"),
        ("InvokeModelWithResponseStream", "bedrock:InvokeModelWithResponseStream"),
        ("ConverseStream", "bedrock:InvokeModelWithResponseStream"),
    ],
)
def test_a_geographic_profile_asks_for_itself_and_the_model_in_every_region(operation, action):
    asked = model_call(operation, US)
    assert [(r.action, r.resource, r.context["aws:RequestedRegion"]) for r in asked_for(asked)] == [
        (action, profile_arn(US), "us-east-1"),
        (action, model_arn(SONNET_45), "us-east-1"),
        (action, model_arn(SONNET_45, "us-east-2"), "us-east-2"),
        (action, model_arn(SONNET_45, "us-west-2"), "us-west-2"),
    ]
    profiles = [request.context.get("bedrock:InferenceProfileArn") for request in asked_for(asked)]
    assert profiles == [None] + [profile_arn(US)] * 3


def test_a_source_that_is_no_destination_is_asked_for_too():
    # no call of `eu.` from Zurich or London stays there alone; the model is asked for there all the same
    source = next(
        r for r in CATALOG.profile(EU).sources if r not in CATALOG.profile(EU).destinations("eu-west-1")
    )
    asked = model_call("InvokeModel", EU, source)
    regions = [resource.split(":")[3] for _, resource in rows(asked)]
    assert regions[:2] == [source, source]
    assert set(regions) == {source, *CATALOG.profile(EU).destinations(source)}


def test_a_global_profile_asks_for_the_model_in_no_region():
    asked = asked_for(model_call("Converse", GLOBAL))
    assert [(r.resource, r.context["aws:RequestedRegion"]) for r in asked] == [
        (profile_arn(GLOBAL), "us-east-1"),
        (model_arn(SONNET_45), "us-east-1"),
        (model_arn(SONNET_45, ""), "unspecified"),
    ]
    assert asked[2].context["bedrock:InferenceProfileArn"] == profile_arn(GLOBAL)


def test_a_model_on_demand_asks_for_itself():
    model = next(m for m in CATALOG.models if m.on_demand)
    region = sorted(model.on_demand)[0]
    asked = model_call("InvokeModel", model.id, region)
    assert rows(asked) == [("bedrock:InvokeModel", model_arn(model.id, region))]
    assert "bedrock:InferenceProfileArn" not in asked_for(asked)[0].context


def test_counting_asks_for_the_model():
    model = next(m for m in CATALOG.models if "count_tokens" in m.features)
    asked = model_call("CountTokens", model.id)
    assert rows(asked) == [("bedrock:CountTokens", model_arn(model.id))]


APPLICATION = ApplicationProfile(
    partition="aws",
    region="us-east-1",
    account=ACCOUNT,
    id="abcdef012345",
    name="mine",
    source=profile_arn(US),
    model=SONNET_45,
    created=0,
    updated=0,
    profile=US,
    tags={"Team": "a"},
)


def test_an_application_profile_stands_in_the_system_profiles_place():
    asked = asked_for(model_call("InvokeModel", APPLICATION.arn, records=(USER, APPLICATION)))
    assert [request.resource for request in asked] == [
        APPLICATION.arn,
        model_arn(SONNET_45),
        model_arn(SONNET_45, "us-east-2"),
        model_arn(SONNET_45, "us-west-2"),
    ]
    assert asked[0].context["aws:ResourceTag/team"] == "a"
    assert {request.context.get("bedrock:InferenceProfileArn") for request in asked[1:]} == {APPLICATION.arn}


@pytest.mark.parametrize(("token", "kind"), [("ABSKabc", "LONG_TERM"), ("bedrock-api-key-abc", "SHORT_TERM")])
def test_an_api_keys_use_is_asked_for_first(token, kind):
    asked = asked_for(model_call("InvokeModel", US, token=token))
    assert (asked[0].action, asked[0].resource) == ("bedrock:CallWithBearerToken", "*")
    assert [request.context.get("bedrock:BearerTokenType") for request in asked] == [kind] + [None] * 4


SYSTEM = profile_arn(US)
COPY = {"inferenceProfileName": "n", "modelSource": {"copyFrom": SYSTEM}}
NEW = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/*"
TAGS = [{"key": "Team", "value": "a"}]


@pytest.mark.parametrize(
    ("operation", "labels", "body", "expected"),
    [
        ("ListFoundationModels", {}, None, ["*"]),
        ("ListInferenceProfiles", {}, None, ["*"]),
        ("GetFoundationModel", {"modelIdentifier": HAIKU_3}, None, [model_arn(HAIKU_3)]),
        ("GetFoundationModel", {"modelIdentifier": model_arn(HAIKU_3)}, None, [model_arn(HAIKU_3)]),
        ("GetInferenceProfile", {"inferenceProfileIdentifier": US}, None, [SYSTEM]),
        ("GetInferenceProfile", {"inferenceProfileIdentifier": SYSTEM}, None, [SYSTEM]),
        ("GetInferenceProfile", {"inferenceProfileIdentifier": APPLICATION.id}, None, [APPLICATION.arn]),
        ("DeleteInferenceProfile", {"inferenceProfileIdentifier": APPLICATION.id}, None, [APPLICATION.arn]),
        ("CreateInferenceProfile", {}, COPY, [SYSTEM, NEW]),
        ("CreateInferenceProfile", {}, {**COPY, "tags": TAGS}, [SYSTEM, NEW, NEW]),
        ("TagResource", {}, {"resourceARN": APPLICATION.arn, "tags": TAGS}, [APPLICATION.arn]),
        ("UntagResource", {}, {"resourceARN": APPLICATION.arn, "tagKeys": ["Team"]}, [APPLICATION.arn]),
        ("ListTagsForResource", {}, {"resourceARN": APPLICATION.arn}, [APPLICATION.arn]),
        ("ListFoundationModelAgreementOffers", {"modelId": HAIKU_3}, None, ["*"]),
        ("CreateFoundationModelAgreement", {}, None, ["*"]),
        ("DeleteFoundationModelAgreement", {}, None, ["*"]),
        ("GetFoundationModelAvailability", {"modelId": HAIKU_3}, None, ["*"]),
        ("PutUseCaseForModelAccess", {}, None, ["*"]),
        ("GetUseCaseForModelAccess", {}, None, ["*"]),
        ("GetCallerIdentity", {}, None, []),
        ("GetSessionToken", {}, None, []),
    ],
)
def test_the_control_plane_asks_for_its_resources(operation, labels, body, expected):
    asked = body_call(operation, body, state=state_of(APPLICATION), **labels)
    assert [resource for _, resource in rows(asked)] == expected
    assert {action for action, _ in rows(asked)} <= {f"bedrock:{operation}", "bedrock:TagResource"}


def test_tags_of_the_request_and_of_the_resource_are_in_the_context():
    asked = body_call(
        "TagResource", {"resourceARN": APPLICATION.arn, "tags": TAGS}, state=state_of(APPLICATION)
    )
    facts = asked_for(asked)[0].context
    assert facts["aws:RequestTag/team"] == "a"
    assert facts["aws:ResourceTag/team"] == "a"
    assert facts["aws:TagKeys"] == ("Team",)
    assert facts["aws:ResourceAccount"] == ACCOUNT
    untagging = body_call("UntagResource", {"resourceARN": APPLICATION.arn, "tagKeys": ["x", "y"]})
    assert asked_for(untagging)[0].context["aws:TagKeys"] == ("x", "y")


@pytest.mark.parametrize(("body", "fault"), [(b"{", SerializationException), (b"{}", ValidationException)])
def test_a_body_that_can_not_be_read_is_refused_as_its_operation_would(body, fault):
    with pytest.raises(fault):
        run(body_call("CreateInferenceProfile", body, state=state_of(user(allow()))))


def test_a_model_that_nobody_looked_up_is_for_those_who_may_do_everything():
    lost = msgspec.structs.replace(model_call("InvokeModel", US), target=None)
    assert rows(lost) == [("bedrock:InvokeModel", "*")]


def test_contexts_tell_who_asks():
    bob = Principal(
        f"arn:aws:iam::{ACCOUNT}:user/team/bob",
        "AIDABOB",
        ACCOUNT,
        "AKIA",
        f"arn:aws:iam::{ACCOUNT}:user/team/bob",
    )
    facts = context.steady(bob)
    assert (facts["aws:username"], facts["aws:userid"], facts["aws:PrincipalType"]) == (
        "bob",
        "AIDABOB",
        "User",
    )
    role = f"arn:aws:iam::{ACCOUNT}:role/r"
    session = Principal(f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s", "AROAR:s", ACCOUNT, "ASIA", role)
    facts = context.steady(session)
    assert "aws:username" not in facts
    assert (facts["aws:PrincipalArn"], facts["aws:PrincipalType"]) == (role, "AssumedRole")
    assert facts["aws:MultiFactorAuthPresent"] == "false"


def test_contexts_tell_when_and_from_where():
    asked = model_call("InvokeModel", US, agent="Boto3/1.44")
    told = context.passing(asked, Connection("203.0.113.1", secure=True))
    assert told == {
        "aws:CurrentTime": "2026-11-24T12:00:00Z",
        "aws:EpochTime": "1795521600",
        "aws:SourceIp": "203.0.113.1",
        "aws:SecureTransport": "true",
        "aws:UserAgent": "Boto3/1.44",
    }
    assert set(told) == PASSING
    unknown = context.passing(asked, Connection())
    assert unknown["aws:SecureTransport"] == "false"
    assert "aws:SourceIp" not in unknown


def test_keys_of_contexts_are_spelt_as_conditions_spell_them():
    calls = [
        model_call("InvokeModel", US, token="ABSKx"),
        body_call("CreateInferenceProfile", {**COPY, "tags": TAGS}),
    ]
    for asked in calls:
        for request in asked_for(asked):
            assert [key for key in request.context if canonical(key) != key] == []
    assert {key for key in PASSING if canonical(key) != key} == set()


# --- what the step does ---


def test_whoever_may_goes_on():
    assert run(model_call("InvokeModel", US, records=(user(allow("bedrock:InvokeModel")),))) == ""


def test_whoever_may_not_reads_why():
    assert run(model_call("InvokeModel", US, records=(user(),))) == (
        f"User: {USER.arn} is not authorized to perform: bedrock:InvokeModel on resource: {SYSTEM} "
        "because no identity-based policy allows the bedrock:InvokeModel action"
    )


def test_whoever_is_not_there_any_more_may_nothing():
    assert "no identity-based policy" in run(model_call("InvokeModel", US, records=(Account(ACCOUNT, 0),)))
    assert run(body_call("GetCallerIdentity", None)) == ""


# Bedrock User Guide, "Geographic cross-Region inference": the profile, and through it its models
PUBLISHED_US = (
    allow("bedrock:InvokeModel", [SYSTEM], Sid="Profile"),
    allow(
        "bedrock:InvokeModel",
        [model_arn(SONNET_45, region) for region in ("us-east-1", "us-east-2", "us-west-2")],
        Condition={"StringEquals": {"bedrock:InferenceProfileArn": SYSTEM}},
        Sid="Models",
    ),
)
# "Global cross-Region inference": three parts
PUBLISHED_GLOBAL = (
    allow(
        "bedrock:InvokeModel",
        [profile_arn(GLOBAL)],
        Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}},
    ),
    allow(
        "bedrock:InvokeModel",
        [model_arn(SONNET_45)],
        Condition={
            "StringEquals": {
                "aws:RequestedRegion": "us-east-1",
                "bedrock:InferenceProfileArn": profile_arn(GLOBAL),
            }
        },
    ),
    allow(
        "bedrock:InvokeModel",
        [model_arn(SONNET_45, "")],
        Condition={
            "StringEquals": {
                "aws:RequestedRegion": "unspecified",
                "bedrock:InferenceProfileArn": profile_arn(GLOBAL),
            }
        },
    ),
)
ANY_PROFILE = (
    allow(
        "bedrock:InvokeModel*",
        [
            "arn:aws:bedrock:*::foundation-model/*",
            "arn:aws:bedrock:*:*:inference-profile/*",
            "arn:aws:bedrock:*:*:application-inference-profile/*",
        ],
    ),
)


@pytest.mark.parametrize(
    ("statements", "model"),
    [(PUBLISHED_US, US), (PUBLISHED_GLOBAL, GLOBAL), (ANY_PROFILE, US), (ANY_PROFILE, GLOBAL)],
)
def test_the_policies_that_aws_publishes_for_profiles_are_enough(statements, model):
    assert run(model_call("InvokeModel", model, records=(user(*statements),))) == ""


@pytest.mark.parametrize("missing", range(3))
def test_each_of_the_three_parts_for_global_is_needed(missing):
    rest = [part for index, part in enumerate(PUBLISHED_GLOBAL) if index != missing]
    resource = (profile_arn(GLOBAL), model_arn(SONNET_45), model_arn(SONNET_45, ""))[missing]
    told = run(model_call("InvokeModel", GLOBAL, records=(user(*rest),)))
    assert f"on resource: {resource} because no identity-based policy" in told


@pytest.mark.parametrize("missing", ["us-east-1", "us-east-2", "us-west-2"])
def test_each_destination_is_needed(missing):
    models = {
        **PUBLISHED_US[1],
        "Resource": [arn for arn in PUBLISHED_US[1]["Resource"] if missing not in arn],
    }
    told = run(model_call("InvokeModel", US, records=(user(PUBLISHED_US[0], models),)))
    assert f"on resource: {model_arn(SONNET_45, missing)} because no identity-based policy" in told


def test_a_model_can_be_allowed_through_a_profile_only():
    """The same model by its bare id, which runs by another profile here, is not what was allowed."""
    records = (user(PUBLISHED_US[1], PUBLISHED_GLOBAL[0], PUBLISHED_GLOBAL[2]),)
    told = run(model_call("InvokeModel", GLOBAL, records=records))
    assert f"on resource: {model_arn(SONNET_45)} because" in told


NO_GLOBAL = deny(Condition={"StringEquals": {"aws:RequestedRegion": "unspecified"}}, Sid="NoGlobal")


def test_denying_unspecified_blocks_global_and_nothing_else():
    records = (user(allow(), NO_GLOBAL),)
    assert run(model_call("ConverseStream", US, records=records)) == ""
    assert run(model_call("ConverseStream", GLOBAL, records=records)) == (
        f"User: {USER.arn} is not authorized to perform: bedrock:InvokeModelWithResponseStream "
        f"on resource: {model_arn(SONNET_45, '')} with an explicit deny in an identity-based policy"
    )


def test_denying_one_destination_refuses_the_whole_call():
    regions = {"StringNotEquals": {"aws:RequestedRegion": ["us-east-1", "us-west-2"]}}
    account = Account(ACCOUNT, 0, policies={"regions": text(deny(Condition=regions))})
    told = run(model_call("InvokeModel", US, records=(user(allow()), account)))
    assert told == (
        f"User: {USER.arn} is not authorized to perform: bedrock:InvokeModel on resource: "
        f"{model_arn(SONNET_45, 'us-east-2')} with an explicit deny in a service control policy"
    )
    assert run(body_call("ListFoundationModels", None, state=state_of(user(allow()), account))) == ""


def test_an_accounts_denies_leave_the_rest_and_its_allows_are_a_list():
    only_denies = Account(ACCOUNT, 0, policies={"a": text(deny("s3:*"))})
    a_list = Account(ACCOUNT, 0, policies={"a": text(deny("s3:*")), "b": text(allow("bedrock:List*"))})
    assert run(model_call("InvokeModel", US, records=(user(allow()), only_denies))) == ""
    assert "no service control policy allows" in run(
        model_call("InvokeModel", US, records=(user(allow()), a_list))
    )
    # they allow nothing by themselves
    assert "no identity-based policy" in run(model_call("InvokeModel", US, records=(user(), only_denies)))


def test_boundaries_and_session_policies_narrow():
    bounded = user(allow(), boundary=text(allow("bedrock:Get*")))
    assert "no permissions boundary allows" in run(model_call("InvokeModel", US, records=(bounded,)))
    role = Role(ACCOUNT, "r", "AROAR", 0, "", policies={"own": text(allow())})
    session = Principal(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s", "AROAR:s", ACCOUNT, "ASIA", role.arn, text(allow("s3:*"))
    )
    told = run(model_call("InvokeModel", US, records=(role,), principal=session))
    assert told.startswith(f"User: {session.arn} is not")
    assert "no session policy allows" in told
    free = msgspec.structs.replace(session, session_policy="")
    assert run(model_call("InvokeModel", US, records=(role,), principal=free)) == ""


def test_an_api_key_needs_leave_to_be_used():
    records = (user(allow("bedrock:InvokeModel")),)
    told = run(model_call("InvokeModel", US, records=records, token="ABSKx"))
    assert "perform: bedrock:CallWithBearerToken on resource: * because no identity" in told
    long_term = {"StringEquals": {"bedrock:bearerTokenType": "LONG_TERM"}}
    short_only = (user(allow(), deny("bedrock:CallWithBearerToken", Condition=long_term)),)
    assert "explicit deny" in run(model_call("InvokeModel", US, records=short_only, token="ABSKx"))
    assert run(model_call("InvokeModel", US, records=short_only, token="bedrock-api-key-x")) == ""


def test_presets_are_enough_for_what_they_say():
    for name, token in itertools.product(("everything", "invoke"), ("", "ABSKx")):
        records = (msgspec.structs.replace(USER, policies={name: PRESETS[name]}),)
        for operation in ("InvokeModel", "ConverseStream"):
            assert run(model_call(operation, GLOBAL, records=records, token=token)) == ""
    nothing = (msgspec.structs.replace(USER, policies={"nothing": PRESETS["nothing"]}),)
    assert "no identity-based policy" in run(model_call("InvokeModel", US, records=nothing))


def test_a_policy_that_can_not_be_read_opens_nothing():
    broken = msgspec.structs.replace(USER, policies={"own": text(allow()), "other": "{"})
    with pytest.raises(InternalServerException):
        run(model_call("InvokeModel", US, records=(broken,)))


def test_explain_tells_every_request_and_its_statement():
    records = (user(allow(Sid="All"), deny("*", model_arn("*", "us-east-2"), Sid="NotOhio")),)
    told = Authoriser(CATALOG).explain(model_call("InvokeModel", US, records=records))
    assert [
        (request.resource.split(":")[3], decision.allowed, decision.sid) for request, decision in told
    ] == [
        ("us-east-1", True, "All"),
        ("us-east-1", True, "All"),
        ("us-east-2", False, "NotOhio"),
        ("us-west-2", True, "All"),
    ]


# --- assuming roles ---


def assume(role, records, **form):
    body = urlencode(
        {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": role, "RoleSessionName": "night", **form}
    ).encode()
    return run(body_call("AssumeRole", body, state=state_of(*records)))


def trust(principal, **elements):
    return text({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", **elements})


def test_a_role_is_assumed_by_whom_both_sides_let():
    role = Role(ACCOUNT, "r", "AROAR", 0, trust({"AWS": USER.arn}))
    assert assume(role.arn, (user(), role)) == ""
    delegating = Role(ACCOUNT, "r", "AROAR", 0, trust({"AWS": ACCOUNT}))
    assert assume(role.arn, (user(allow("sts:AssumeRole", role.arn)), delegating)) == ""
    assert assume(role.arn, (user(), delegating)) == (
        f"User: {USER.arn} is not authorized to perform: sts:AssumeRole on resource: {role.arn} "
        "because no identity-based policy allows the sts:AssumeRole action"
    )


def test_a_role_that_does_not_trust_and_one_that_is_not_there_look_the_same():
    role = Role(OTHER_ACCOUNT, "r", "AROAR", 0, trust({"AWS": OTHER_ACCOUNT}))
    distrusted = assume(role.arn, (user(allow()), role))
    assert distrusted == assume(role.arn, (user(allow()),))
    assert distrusted.endswith("because no role trust policy allows the sts:AssumeRole action")


def test_an_external_id_is_looked_at():
    outside = trust({"AWS": USER.arn}, Condition={"StringEquals": {"sts:ExternalId": "secret-1"}})
    role = Role(OTHER_ACCOUNT, "r", "AROAR", 0, outside)
    assert assume(role.arn, (user(allow()), role), ExternalId="secret-1") == ""
    assert "no role trust policy" in assume(role.arn, (user(allow()), role), ExternalId="secret-2")
    assert "no role trust policy" in assume(role.arn, (user(allow()), role))


# --- what is remembered ---

KEYS = (
    "aws:RequestedRegion",
    "aws:username",
    "bedrock:InferenceProfileArn",
    "aws:SourceIp",
    "aws:UserAgent",
    "aws:EpochTime",
    "aws:ResourceTag/team",
    "bedrock:BearerTokenType",
    "aws:SecureTransport",
)
VALUES = (
    "us-east-1",
    "us-east-2",
    "unspecified",
    "dev",
    "a",
    "b",
    "1795521600",
    SYSTEM,
    "true",
    "${aws:UserAgent}",
    "LONG_TERM",
)


def entries():
    operator = st.sampled_from(
        ["StringEquals", "StringNotEquals", "StringLikeIfExists", "ForAllValues:StringEquals"]
    )
    values = st.lists(st.sampled_from(VALUES), min_size=1, max_size=3)
    return st.dictionaries(
        operator, st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=2), max_size=2
    )


def statements():
    return st.builds(
        lambda make, action, condition: make(action, Condition=condition),
        st.sampled_from([allow, allow, deny]),
        st.sampled_from(["*", "bedrock:*", "bedrock:InvokeModel", "bedrock:CallWithBearerToken"]),
        entries(),
    )


class Watched(dict):
    """A context that writes down what is looked at."""

    def __init__(self, facts):
        super().__init__(facts)
        self.seen = set()

    def get(self, key, default=None):
        self.seen.add(key)
        return super().get(key, default)


@settings(max_examples=600 if os.environ.get("OUTCROP_PROVE") == "1" else 40, deadline=None)
@given(st.lists(statements(), min_size=1, max_size=4))
def test_what_is_remembered_is_what_would_be_decided_again(told):
    """Calls that differ in all that passes: one authoriser in one snapshot, against a fresh one for each.

    And the premise: layers look at no key that they do not name.
    """
    records = (user(allow("bedrock:*"), *told), APPLICATION)
    state = state_of(*records)
    place = {"ip": ""}
    kept = Authoriser(CATALOG, lambda head: Connection(place["ip"], secure=place["ip"] == "a"))
    for model, token, agent, ip, later in itertools.product(
        (US, APPLICATION.arn, GLOBAL), ("", "ABSKx"), ("a", "b"), ("a", "b"), (0, 1)
    ):
        asked = model_call("InvokeModel", model, records=records, token=token, agent=agent)
        asked = msgspec.structs.replace(asked, state=state, received=asked.received + later)
        place["ip"] = ip
        fresh = Authoriser(CATALOG, lambda head, ip=ip: Connection(ip, secure=ip == "a"))
        assert run(asked, kept) == run(asked, fresh)
    layers = layers_of(state, asked.principal)
    for request in asked_for(asked):
        watched = Watched({**request.context, **context.passing(asked, Connection("a"))})
        decide(layers, msgspec.structs.replace(request, context=watched))
        assert watched.seen <= layers.reads


def same(operation="InvokeModel", model=US, region="us-east-1", token="", **principal):
    """A call of the session `s` of a role, or one that differs from it in what is given."""
    role = Role(ACCOUNT, "r", "AROAR", 0, "", policies={"own": text(allow())})
    told = Principal(f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s", "AROAR:s", ACCOUNT, "AKIA", role.arn)
    asked = model_call(operation, model, region, records=(role, APPLICATION), token=token)
    return msgspec.structs.replace(asked, principal=msgspec.structs.replace(told, **principal))


def equal(key, value):
    return deny(Condition={"StringEquals": {key: value}})


@pytest.mark.parametrize(
    ("other", "statement"),
    [
        ({"user_id": "AROAR:t"}, equal("aws:userid", "AROAR:t")),
        ({"arn": USER.arn}, equal("aws:PrincipalType", "User")),
        ({"key": "ASIA1"}, equal("aws:MultiFactorAuthPresent", "false")),
        ({"session_policy": text(allow("s3:*"))}, None),
        ({"owner": f"arn:aws:iam::{ACCOUNT}:role/gone"}, None),
        ({"account": OTHER_ACCOUNT}, equal("aws:PrincipalAccount", OTHER_ACCOUNT)),
        ({"token": "ABSKx"}, deny("bedrock:CallWithBearerToken")),
        ({"operation": "ConverseStream"}, deny("bedrock:*Stream")),
        ({"model": f"us.{HAIKU_45}"}, deny("*", "arn:aws:bedrock:*::foundation-model/*haiku*")),
        ({"model": GLOBAL}, equal("aws:RequestedRegion", "unspecified")),
        ({"model": APPLICATION.arn}, deny("*", "arn:aws:bedrock:*:application-inference-profile/*")),
        ({"region": "us-west-2"}, deny("*", profile_arn("*", "us-west-2"))),
    ],
)
def test_a_call_that_differs_is_decided_by_itself(other, statement):
    """All that a decision can depend on tells calls apart, in whichever order they come."""
    role = Role(
        ACCOUNT, "r", "AROAR", 0, "", policies={"own": text(allow(), *([statement] if statement else []))}
    )
    for order in (({}, other), (other, {})):
        authoriser, state = Authoriser(CATALOG), state_of(role, APPLICATION)
        for told in order:
            asked = msgspec.structs.replace(same(**told), state=state)
            assert (run(asked, authoriser) != "") is bool(told)


def test_targets_that_differ_are_decided_by_themselves():
    """Also where no profile's ARN tells them apart: models on demand, and a profile that nobody named."""
    (model, other), region, elsewhere = CATALOG.models[:2], "us-east-1", "us-west-2"
    plain, profile, everywhere = Target(model, None), *(CATALOG.profile(name) for name in (US, GLOBAL))
    denied = [
        (plain, region, Target(other, None), region, deny("*", model_arn(other.id, region))),
        (plain, region, plain, elsewhere, deny("*", model_arn(model.id, elsewhere))),
        (
            Target(profile.model, profile),
            "us-east-1",
            Target(profile.model, everywhere),
            "us-east-1",
            NO_GLOBAL,
        ),
    ]
    for fine, here, refused, there, statement in denied:
        authoriser, state = Authoriser(CATALOG), state_of(user(allow(), statement))
        asked = msgspec.structs.replace(model_call("InvokeModel", US), state=state)
        assert run(msgspec.structs.replace(asked, target=fine, region=here), authoriser) == ""
        assert run(msgspec.structs.replace(asked, target=refused, region=there), authoriser) != ""


def test_a_decision_is_made_once_a_snapshot(monkeypatch):
    counted = []
    real = requirements.of
    monkeypatch.setattr(requirements, "of", lambda *told: counted.append(1) or real(*told))
    authoriser = Authoriser(CATALOG)
    asked = model_call("InvokeModel", US, records=(user(allow()),))
    assert [run(asked, authoriser) for _ in range(5)] == [""] * 5
    assert len(counted) == 1
    changed = msgspec.structs.replace(asked, state=state_of(user()))
    assert "not authorized" in run(changed, authoriser)
    assert "not authorized" in run(changed, authoriser)
    assert len(counted) == 2


def test_what_depends_on_the_moment_is_decided_each_time():
    until = {"DateLessThan": {"aws:CurrentTime": "2026-11-24T12:00:01Z"}}
    authoriser = Authoriser(CATALOG)
    asked = model_call("InvokeModel", US, records=(user(allow(Condition=until)),))
    assert run(asked, authoriser) == ""
    assert "not authorized" in run(msgspec.structs.replace(asked, received=asked.received + 1), authoriser)
    assert run(asked, authoriser) == ""


def test_names_that_callers_choose_do_not_fill_the_memory():
    role = Role(ACCOUNT, "r", "AROAR", 0, "", policies={"own": text(allow())})
    authoriser = Authoriser(CATALOG)
    asked = model_call("InvokeModel", US, records=(role,))
    memo = asked.state.derived(authoriser._memo)
    for index in range(5000):
        session = Principal(
            f"arn:aws:sts::{ACCOUNT}:assumed-role/r/{index}", f"AROAR:{index}", ACCOUNT, "ASIA", role.arn
        )
        assert authoriser._refusal(msgspec.structs.replace(asked, principal=session)) == ""
    assert len(memo.refusals) <= 4096


def test_a_name_longer_than_any_is_refused_before_a_pattern_looks_at_it():
    for operation, label in (
        ("GetFoundationModel", "modelIdentifier"),
        ("GetInferenceProfile", "inferenceProfileIdentifier"),
        ("DeleteInferenceProfile", "inferenceProfileIdentifier"),
    ):
        asked = call(operation, **{label: "arn:aws:bedrock:" + "u" * 60_000})
        with pytest.raises(ValidationException, match="less than or equal to 2048"):
            asked_for(asked)


def test_of_an_agents_name_patterns_see_no_more_than_a_part():
    asked = call("ListFoundationModels")
    head = msgspec.structs.replace(asked.head, headers={"user-agent": "a" * 60_000})
    told = context.passing(msgspec.structs.replace(asked, head=head), Connection())
    assert told["aws:UserAgent"] == "a" * 1024
