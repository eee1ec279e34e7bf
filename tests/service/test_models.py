"""The listing operations, as botocore asks for them and reads them; with application profiles among them."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode

import botocore.parsers
import botocore.serialize
import botocore.session
import pytest
from botocore.model import ServiceModel
from hypothesis import given
from hypothesis import strategies as st

from guide_table import GUIDE, HAIKU_3, HAIKU_35, HAIKU_45, OPUS_41, OPUS_45, PLACES, SONNET_4, SONNET_45
from outcrop.catalog import Catalog
from outcrop.errors import Fault
from outcrop.service.models import ControlPlane
from outcrop.service.profiles import ApplicationProfile
from service import calls
from service.calls import ACCOUNT, OTHER_ACCOUNT, call
from service.memory import MemoryStore


@pytest.fixture(scope="module")
def guide() -> Catalog:
    return Catalog.load("guide")


@pytest.fixture(scope="module")
def newest() -> Catalog:
    return Catalog.load("2026-11")


@pytest.fixture(scope="module")
def bedrock() -> ServiceModel:
    return botocore.session.get_session().get_service_model("bedrock")


def answer(catalog: Catalog, operation: str, query: str = "", region: str = "us-west-2", **more: Any) -> Any:
    """The reply's JSON."""
    return calls.answer(ControlPlane(catalog).handlers, call(operation, query, region, **more))


def refusal(
    catalog: Catalog, operation: str, query: str = "", region: str = "us-west-2", **more: Any
) -> Fault:
    return calls.refusal(ControlPlane(catalog).handlers, call(operation, query, region, **more))


def listed_models(catalog: Catalog, region: str, query: str = "") -> dict[str, Any]:
    summaries = answer(catalog, "ListFoundationModels", query, region)["modelSummaries"]
    return {summary["modelId"]: summary for summary in summaries}


def listed_profiles(catalog: Catalog, region: str, query: str = "", **more: Any) -> dict[str, Any]:
    summaries = answer(catalog, "ListInferenceProfiles", query, region, **more)["inferenceProfileSummaries"]
    return {summary["inferenceProfileId"]: summary for summary in summaries}


# --- ListFoundationModels, GetFoundationModel ---


def test_the_guides_listing_shows_all_its_models_in_oregon(guide: Catalog) -> None:
    models = listed_models(guide, "us-west-2", "byProvider=anthropic")
    assert GUIDE.keys() <= models.keys()
    assert len(models) == 21


def test_a_model_is_listed_as_aws_does(guide: Catalog) -> None:
    assert listed_models(guide, "us-west-2")[HAIKU_35] == {
        "modelArn": f"arn:aws:bedrock:us-west-2::foundation-model/{HAIKU_35}",
        "modelId": HAIKU_35,
        "modelName": "Claude 3.5 Haiku",
        "providerName": "Anthropic",
        "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": True,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND", "INFERENCE_PROFILE"],
        "modelLifecycle": {
            "status": "LEGACY",
            "startOfLifeTime": "2024-11-04T00:00:00Z",
            "legacyTime": "2025-12-19T00:00:00Z",
        },
    }


def test_listings_differ_by_region(guide: Catalog) -> None:
    assert HAIKU_35 not in listed_models(guide, "eu-central-1")
    assert listed_models(guide, "sa-east-1")[HAIKU_3]["inferenceTypesSupported"] == ["ON_DEMAND"]
    assert listed_models(guide, "us-east-2")[HAIKU_3]["inferenceTypesSupported"] == ["INFERENCE_PROFILE"]
    assert OPUS_45 in listed_models(guide, "af-south-1")
    assert listed_models(guide, "mars-north-1") == {}


def test_a_model_past_its_end_is_not_listed(newest: Catalog) -> None:
    models = listed_models(newest, "us-west-2")
    assert HAIKU_3 not in models
    assert SONNET_4 not in models
    assert not [profile for profile in listed_profiles(newest, "us-west-2") if profile.endswith(SONNET_4)]
    assert models[OPUS_41]["modelLifecycle"] == {
        "status": "LEGACY",
        "startOfLifeTime": "2025-08-05T00:00:00Z",
        "endOfLifeTime": "2027-01-08T00:00:00Z",
        "legacyTime": "2026-07-08T00:00:00Z",
        "publicExtendedAccessTime": "2026-10-08T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("byProvider=ANTHROPIC", 21),
        ("byProvider=Anthropic&byOutputModality=TEXT", 21),
        ("byOutputModality=IMAGE", 0),
        ("byOutputModality=EMBEDDING", 0),
        ("byProvider=Amazon", 0),
        ("byCustomizationType=FINE_TUNING", 0),
        ("byInferenceType=PROVISIONED", 0),
        ("byInferenceType=ON_DEMAND", 2),
        ("byInferenceType=ON_DEMAND&byProvider=amazon", 0),
        ("unheardOf=1", 21),
    ],
)
def test_filters_narrow_the_listing(guide: Catalog, query: str, expected: int) -> None:
    assert len(listed_models(guide, "us-west-2", query)) == expected


@pytest.mark.parametrize(
    ("query", "member", "constraint"),
    [
        (
            "byInferenceType=X",
            "byInferenceType",
            "Member must satisfy enum value set: [ON_DEMAND, PROVISIONED]",
        ),
        (
            "byOutputModality=text",
            "byOutputModality",
            "Member must satisfy enum value set: [TEXT, IMAGE, EMBEDDING]",
        ),
        (
            "byCustomizationType=",
            "byCustomizationType",
            "Member must satisfy enum value set: [FINE_TUNING, CONTINUED_PRE_TRAINING, DISTILLATION]",
        ),
        (
            "byProvider=a.b",
            "byProvider",
            "Member must satisfy regular expression pattern: [A-Za-z0-9- ]{1,63}",
        ),
    ],
)
def test_a_filter_with_an_unknown_value_is_refused(
    guide: Catalog, query: str, member: str, constraint: str
) -> None:
    fault = refusal(guide, "ListFoundationModels", query)
    value = query.partition("=")[2]
    assert fault.name == "ValidationException"
    assert fault.text == (
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: "
        f"{constraint}"
    )


@pytest.mark.parametrize("text", [SONNET_45, f"arn:aws:bedrock:us-west-2::foundation-model/{SONNET_45}"])
def test_one_model_is_got_by_id_or_arn(guide: Catalog, text: str) -> None:
    details = answer(guide, "GetFoundationModel", modelIdentifier=text)["modelDetails"]
    assert details == listed_models(guide, "us-west-2")[SONNET_45]


@pytest.mark.parametrize(
    "text",
    [
        "anthropic.claude-9",
        f"us.{SONNET_45}",
        f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET_45}",
    ],
)
def test_a_model_that_is_not_there_is_not_found(guide: Catalog, text: str) -> None:
    fault = refusal(guide, "GetFoundationModel", modelIdentifier=text)
    assert (fault.name, fault.text) == ("ResourceNotFoundException", "Model not found.")


def test_a_malformed_identifier_is_refused_with_the_services_pattern(
    guide: Catalog, bedrock: ServiceModel
) -> None:
    for operation, member in (
        ("GetFoundationModel", "modelIdentifier"),
        ("GetInferenceProfile", "inferenceProfileIdentifier"),
    ):
        pattern = bedrock.operation_model(operation).input_shape.members[member].metadata["pattern"]
        fault = refusal(guide, operation, **{member: "no such/name"})
        assert fault.name == "ValidationException"
        assert fault.text == (
            f"1 validation error detected: Value 'no such/name' at '{member}' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {pattern}"
        )
        assert "length less than or equal to 2048" in refusal(guide, operation, **{member: "a" * 2049}).text


# --- ListInferenceProfiles, GetInferenceProfile ---


@pytest.mark.parametrize("scope", PLACES)
@pytest.mark.parametrize("base", GUIDE)
def test_the_guides_table_is_what_is_listed(guide: Catalog, base: str, scope: str) -> None:
    listed = listed_profiles(guide, PLACES[scope])
    assert (f"{scope}.{base}" in listed) == (scope in GUIDE[base])


def test_a_regional_profile_is_shown_as_aws_does(guide: Catalog) -> None:
    profile = answer(guide, "GetInferenceProfile", inferenceProfileIdentifier=f"us.{HAIKU_45}")
    assert profile == {
        "inferenceProfileName": "US Anthropic Claude Haiku 4.5",
        "description": "Routes requests to Anthropic Claude Haiku 4.5 in us-east-1, us-east-2 and us-west-2.",
        "inferenceProfileArn": f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.{HAIKU_45}",
        "models": [
            {"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{HAIKU_45}"}
            for region in ("us-east-1", "us-east-2", "us-west-2")
        ],
        "inferenceProfileId": f"us.{HAIKU_45}",
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
        "createdAt": "2025-10-15T17:00:00Z",
        "updatedAt": "2025-10-15T17:00:00Z",
    }
    assert profile == listed_profiles(guide, "us-west-2")[f"us.{HAIKU_45}"]


def test_a_global_profile_names_the_model_without_region_first(guide: Catalog) -> None:
    profile = listed_profiles(guide, "eu-north-1")[f"global.{SONNET_45}"]
    assert profile["inferenceProfileName"] == "Global Claude Sonnet 4.5"
    assert profile["description"] == (
        "Routes requests to Claude Sonnet 4.5 globally across all supported AWS Regions."
    )
    assert [model["modelArn"] for model in profile["models"]] == [
        f"arn:aws:bedrock:::foundation-model/{SONNET_45}",
        f"arn:aws:bedrock:eu-north-1::foundation-model/{SONNET_45}",
    ]


def test_a_profile_routes_from_where_it_is_asked(guide: Catalog) -> None:
    for region, destinations in (
        ("us-west-2", ["us-east-1", "us-west-2"]),
        ("us-east-2", ["us-east-1", "us-east-2", "us-west-2"]),
    ):
        profile = listed_profiles(guide, region)[f"us.{HAIKU_3}"]
        assert [model["modelArn"].split(":")[3] for model in profile["models"]] == destinations


def test_one_profile_is_got_by_id_or_arn_of_this_region_and_account(guide: Catalog) -> None:
    arn = f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.{SONNET_45}"
    by_arn = answer(guide, "GetInferenceProfile", inferenceProfileIdentifier=arn)
    assert by_arn["inferenceProfileId"] == f"us.{SONNET_45}"
    for elsewhere in (
        arn.replace("us-west-2", "us-east-1"),
        arn.replace(ACCOUNT, "210987654321"),
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6",
        f"eu.{SONNET_45}",
        SONNET_45,
    ):
        fault = refusal(guide, "GetInferenceProfile", inferenceProfileIdentifier=elsewhere)
        assert fault.name == "ResourceNotFoundException"


def test_pages_follow_each_other_without_gap_or_overlap(guide: Catalog) -> None:
    whole = list(listed_profiles(guide, "us-west-2"))
    seen: list[str] = []
    query = {"maxResults": "7", "type": "SYSTEM_DEFINED"}
    while True:
        page = answer(guide, "ListInferenceProfiles", urlencode(query))
        seen += [profile["inferenceProfileId"] for profile in page["inferenceProfileSummaries"]]
        if "nextToken" not in page:
            break
        assert len(page["inferenceProfileSummaries"]) == 7
        query["nextToken"] = page["nextToken"]
    assert seen == whole
    assert len(whole) > 14


def test_a_page_that_just_fits_has_no_token(guide: Catalog) -> None:
    count = len(listed_profiles(guide, "us-west-2"))
    assert "nextToken" in answer(guide, "ListInferenceProfiles", f"maxResults={count - 1}")
    assert "nextToken" not in answer(guide, "ListInferenceProfiles", f"maxResults={count}")


# --- application profiles among them ---


def application(short: str, profile: str = "", **more: Any) -> ApplicationProfile:
    """One as it is kept; made on the day and at the nanosecond of the recorded reply."""
    made = 1_783_951_242_680_622_107
    members: dict[str, Any] = {
        "partition": "aws",
        "region": "us-east-1",
        "account": ACCOUNT,
        "id": short,
        "name": f"profile {short}",
        "source": f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/{profile}",
        "model": profile.partition(".")[2] or HAIKU_3,
        "created": made,
        "updated": made,
        "tags": {},
        "profile": profile,
    }
    return ApplicationProfile(**(members | more))


def holding(*profiles: ApplicationProfile) -> MemoryStore:
    store = MemoryStore()
    for profile in profiles:
        store.change(lambda state, put=profile: state.put(put))
    return store


def test_a_copy_of_a_global_profile_is_shown_as_it_was_recorded(guide: Catalog) -> None:
    copy = application("a1b2c3d4e5f6", f"global.{SONNET_45}", name="my copy", description="Counts: team 1.")
    assert copy.arn == f"arn:aws:bedrock:us-east-1:{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6"
    state = holding(copy).snapshot()
    shown = answer(
        guide, "GetInferenceProfile", region="us-east-1", state=state, inferenceProfileIdentifier=copy.arn
    )
    assert shown == {
        "inferenceProfileName": "my copy",
        "description": "Counts: team 1.",
        "inferenceProfileArn": copy.arn,
        "models": [
            {"modelArn": f"arn:aws:bedrock:::foundation-model/{SONNET_45}"},
            {"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET_45}"},
        ],
        "inferenceProfileId": "a1b2c3d4e5f6",
        "status": "ACTIVE",
        "type": "APPLICATION",
        "createdAt": "2026-07-13T14:00:42.680622107Z",
        "updatedAt": "2026-07-13T14:00:42.680622107Z",
    }
    by_id = answer(
        guide, "GetInferenceProfile", region="us-east-1", state=state, inferenceProfileIdentifier=copy.id
    )
    assert by_id == shown == listed_profiles(guide, "us-east-1", state=state)[copy.id]


def test_a_copy_reaches_what_its_source_reaches(guide: Catalog) -> None:
    regional = application("a1b2c3d4e5f6", f"us.{SONNET_45}")
    alone = application("b1b2c3d4e5f6")
    gone = application("c1b2c3d4e5f6", "us.anthropic.claude-2")
    listed = listed_profiles(guide, "us-east-1", state=holding(regional, alone, gone).snapshot())
    regions = {
        name: [model["modelArn"].split(":")[3] for model in listed[name]["models"]]
        for name in (regional.id, alone.id, gone.id)
    }
    assert regions == {
        regional.id: ["us-east-1", "us-east-2", "us-west-2"],
        alone.id: ["us-east-1"],
        gone.id: ["us-east-1"],
    }
    assert "description" not in listed[alone.id]


@pytest.mark.parametrize(
    ("account", "region"),
    [(OTHER_ACCOUNT, "us-east-1"), (ACCOUNT, "us-west-2"), (OTHER_ACCOUNT, "us-west-2")],
)
def test_to_another_account_or_region_a_copy_is_not_there(guide: Catalog, account: str, region: str) -> None:
    copy = application("a1b2c3d4e5f6", f"us.{SONNET_45}")
    state = holding(copy).snapshot()
    assert copy.id not in listed_profiles(guide, region, state=state, account=account)
    nothing = refusal(guide, "GetInferenceProfile", inferenceProfileIdentifier="zzzzzzzzzzzz")
    for text in (copy.id, copy.arn):
        fault = refusal(
            guide,
            "GetInferenceProfile",
            region=region,
            state=state,
            account=account,
            inferenceProfileIdentifier=text,
        )
        assert (fault.name, fault.text) == (nothing.name, nothing.text)


def test_the_type_tells_the_two_kinds_apart(guide: Catalog) -> None:
    state = holding(application("b1b2c3d4e5f6"), application("a1b2c3d4e5f6")).snapshot()
    system = listed_profiles(guide, "us-east-1", "type=SYSTEM_DEFINED", state=state)
    ours = listed_profiles(guide, "us-east-1", "type=APPLICATION", state=state)
    assert list(ours) == ["a1b2c3d4e5f6", "b1b2c3d4e5f6"]
    assert list(listed_profiles(guide, "us-east-1", state=state)) == [*system, *ours]
    assert {profile["type"] for profile in system.values()} == {"SYSTEM_DEFINED"}
    assert {profile["type"] for profile in ours.values()} == {"APPLICATION"}
    empty = answer(guide, "ListInferenceProfiles", "type=APPLICATION")
    assert empty == {"inferenceProfileSummaries": []}


SHORT_IDS = st.text("ab9", min_size=12, max_size=12)


@given(
    kept=st.sets(SHORT_IDS, max_size=8),
    passing=st.sets(SHORT_IDS, max_size=8),
    size=st.integers(1, 40),
    kind=st.sampled_from(["", "SYSTEM_DEFINED", "APPLICATION"]),
    data=st.data(),
)
def test_pages_show_each_profile_once_while_others_come_and_go(
    guide: Catalog, kept: set[str], passing: set[str], size: int, kind: str, data: st.DataObject
) -> None:
    passing -= kept
    store = holding(*map(application, kept))
    query = {"maxResults": str(size)} | ({"type": kind} if kind else {})
    expected = listed_profiles(
        guide, "us-east-1", urlencode(query | {"maxResults": "1000"}), state=store.snapshot()
    )
    seen: list[str] = []
    while True:
        for short in data.draw(st.sets(st.sampled_from(sorted(passing))) if passing else st.just(set())):
            one = application(short)
            store.change(lambda state, one=one: state.delete(ApplicationProfile, one.key) or state.put(one))
        page = answer(guide, "ListInferenceProfiles", urlencode(query), "us-east-1", state=store.snapshot())
        seen += [profile["inferenceProfileId"] for profile in page["inferenceProfileSummaries"]]
        if "nextToken" not in page:
            break
        query["nextToken"] = page["nextToken"]
    assert len(seen) == len(set(seen))
    assert [short for short in seen if short not in passing] == list(expected)


def test_a_token_of_another_listing_is_refused(guide: Catalog) -> None:
    token = answer(guide, "ListInferenceProfiles", "maxResults=1")["nextToken"]
    for query in (
        {"nextToken": "bm9uc2Vuc2U="},
        {"nextToken": token[:-4]},
        {"nextToken": token, "type": "SYSTEM_DEFINED"},
        {"nextToken": token, "type": "APPLICATION"},
        {"nextToken": "é"},
        {"nextToken": "a"},
        {"nextToken": "_w=="},
        {"nextToken": urlsafe_b64encode(b"/us.anthropic.claude-2").decode()},
        {"nextToken": urlsafe_b64encode(b"/").decode()},
        {"nextToken": urlsafe_b64encode(b"APPLICATION/a1b2c3d4e5f6").decode()},
    ):
        fault = refusal(guide, "ListInferenceProfiles", urlencode(query))
        assert (fault.name, fault.text) == ("ValidationException", "The provided nextToken is invalid.")
    assert answer(guide, "ListInferenceProfiles", urlencode({"nextToken": token}))


@pytest.mark.parametrize(
    ("query", "constraint"),
    [
        (
            "maxResults=0",
            "'0' at 'maxResults' failed to satisfy constraint: Member must have value greater than",
        ),
        ("maxResults=1001", "Member must have value less than or equal to 1000"),
        ("maxResults=ten", "at 'maxResults' failed to satisfy constraint"),
        ("type=MINE", "Member must satisfy enum value set: [SYSTEM_DEFINED, APPLICATION]"),
        ("nextToken=", "Member must have length greater than or equal to 1"),
        ("nextToken=a+b", "Member must satisfy regular expression pattern: \\S*"),
    ],
)
def test_a_query_outside_its_bounds_is_refused(guide: Catalog, query: str, constraint: str) -> None:
    fault = refusal(guide, "ListInferenceProfiles", query)
    assert fault.name == "ValidationException"
    assert fault.text.startswith("1 validation error detected: Value ")
    assert constraint in fault.text


# --- as botocore asks, and as it reads ---


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (
            "ListFoundationModels",
            {"byProvider": "anthropic", "byOutputModality": "TEXT", "byInferenceType": "ON_DEMAND"},
        ),
        ("ListFoundationModels", {"byCustomizationType": "FINE_TUNING"}),
        ("ListInferenceProfiles", {"maxResults": 2, "typeEquals": "SYSTEM_DEFINED"}),
        ("GetFoundationModel", {"modelIdentifier": HAIKU_3}),
        ("GetInferenceProfile", {"inferenceProfileIdentifier": f"us.{HAIKU_3}"}),
    ],
)
def test_botocores_request_is_understood_and_it_reads_the_reply(
    guide: Catalog, bedrock: ServiceModel, operation: str, arguments: dict[str, Any]
) -> None:
    model = bedrock.operation_model(operation)
    request = botocore.serialize.create_serializer("rest-json").serialize_to_request(arguments, model)
    labels = arguments if request["query_string"] == {} else {}
    asked = call(operation, urlencode(request["query_string"]), **labels)
    reply = asyncio.run(ControlPlane(guide).handlers[operation](asked))
    response = {"status_code": reply.status, "headers": reply.headers, "body": reply.body}
    parsed = botocore.parsers.create_parser("rest-json").parse(response, model.output_shape)
    parsed.pop("ResponseMetadata")
    _has_all_members(parsed, model.output_shape, operation)


def _has_all_members(value: Any, shape: Any, operation: str) -> None:
    """What botocore read has no member it does not know, and every member it requires."""
    raw_only = {"nextToken", "endOfLifeTime", "legacyTime", "publicExtendedAccessTime"}
    if shape.type_name == "structure":
        assert set(shape.required_members) <= value.keys()
        assert set(shape.members) - value.keys() <= raw_only, operation
        for name, member in value.items():
            _has_all_members(member, shape.members[name], operation)
    elif shape.type_name == "list":
        for item in value:
            _has_all_members(item, shape.member, operation)
    elif shape.type_name == "timestamp":
        assert value.tzinfo is not None


def test_the_filters_queried_are_the_members_botocore_knows(guide: Catalog, bedrock: ServiceModel) -> None:
    """Every query name of botocore's reaches a filter: a value no filter takes is refused under each."""
    for operation in ("ListFoundationModels", "ListInferenceProfiles"):
        shape = bedrock.operation_model(operation).input_shape
        for member in shape.members.values():
            name = member.serialization["name"]
            assert refusal(guide, operation, urlencode({name: "a b.c"})).name == "ValidationException"
