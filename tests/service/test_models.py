"""Which model a call means, and the four listing operations, as botocore asks for them and reads them."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

import botocore.parsers
import botocore.serialize
import botocore.session
import msgspec
import pytest
from botocore.model import ServiceModel

from outcrop.catalog import Catalog
from outcrop.errors import Fault, ResourceNotFoundException, ValidationException
from outcrop.service.call import Call, Principal
from outcrop.service.models import ControlPlane, resolve, resolve_for_count
from outcrop.wire.http import Head
from outcrop.wire.operations import BY_NAME

TODAY = date(2026, 11, 24)
ACCOUNT = "123456789012"
INVALID = "The provided model identifier is invalid."
END_OF_LIFE = (
    "This model version has reached the end of its life. "
    "Please refer to the AWS documentation for more details."
)
NOT_ON_DEMAND = (
    "Invocation of model ID {} with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t supported. "
    "Retry your request with the ID or ARN of an inference profile that contains this model."
)
SONNET_45 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
SONNET_37 = "anthropic.claude-3-7-sonnet-20250219-v1:0"
OPUS_45 = "anthropic.claude-opus-4-5-20251101-v1:0"
OPUS_41 = "anthropic.claude-opus-4-1-20250805-v1:0"
OPUS_4 = "anthropic.claude-opus-4-20250514-v1:0"
OPUS_3 = "anthropic.claude-3-opus-20240229-v1:0"
HAIKU_45 = "anthropic.claude-haiku-4-5-20251001-v1:0"
HAIKU_35 = "anthropic.claude-3-5-haiku-20241022-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"

# a region of each geography, and the guide's table; `au` by its text
PLACES = {
    "global": "us-east-1",
    "us": "us-west-2",
    "eu": "eu-central-1",
    "jp": "ap-northeast-1",
    "apac": "ap-northeast-1",
    "au": "ap-southeast-2",
}
GUIDE = {
    SONNET_45: "global us eu jp au",
    SONNET_4: "global us eu apac",
    SONNET_37: "us eu apac",
    OPUS_45: "global us eu",
    OPUS_41: "us",
    OPUS_4: "us",
    OPUS_3: "us",
    HAIKU_45: "global us eu au",
    HAIKU_35: "us",
    HAIKU_3: "us eu apac",
}


@pytest.fixture(scope="module")
def guide() -> Catalog:
    return Catalog.load("guide")


@pytest.fixture(scope="module")
def newest() -> Catalog:
    return Catalog.load("2026-11")


@pytest.fixture(scope="module")
def bedrock() -> ServiceModel:
    return botocore.session.get_session().get_service_model("bedrock")


def call(operation: str, query: str = "", region: str = "us-west-2", **labels: str) -> Call:
    principal = Principal(f"arn:aws:iam::{ACCOUNT}:user/dev", "AIDAEXAMPLE", ACCOUNT, "AKIAEXAMPLE")
    received = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
    head = Head("GET", BY_NAME[operation].path, query, {})
    return Call(head, BY_NAME[operation], labels, b"", principal, region, "request-1", received, 0.0)


def answer(
    catalog: Catalog, operation: str, query: str = "", region: str = "us-west-2", **labels: str
) -> Any:
    """The reply's JSON."""
    reply = asyncio.run(ControlPlane(catalog).handlers[operation](call(operation, query, region, **labels)))
    assert reply.status == 200
    assert reply.headers == {"content-type": "application/json"}
    assert isinstance(reply.body, bytes)
    return msgspec.json.decode(reply.body)


def refusal(
    catalog: Catalog, operation: str, query: str = "", region: str = "us-west-2", **labels: str
) -> Fault:
    with pytest.raises(Fault) as fault:
        answer(catalog, operation, query, region, **labels)
    return fault.value


def listed_models(catalog: Catalog, region: str, query: str = "") -> dict[str, Any]:
    summaries = answer(catalog, "ListFoundationModels", query, region)["modelSummaries"]
    return {summary["modelId"]: summary for summary in summaries}


def listed_profiles(catalog: Catalog, region: str, query: str = "") -> dict[str, Any]:
    summaries = answer(catalog, "ListInferenceProfiles", query, region)["inferenceProfileSummaries"]
    return {summary["inferenceProfileId"]: summary for summary in summaries}


# --- which model a call means ---


@pytest.mark.parametrize("scope", PLACES)
@pytest.mark.parametrize("base", GUIDE)
def test_the_guides_table_is_what_is_listed_and_what_can_be_called(
    guide: Catalog, base: str, scope: str
) -> None:
    text, region = f"{scope}.{base}", PLACES[scope]
    if scope in GUIDE[base].split():
        target = resolve(guide, text, region, TODAY)
        assert target.model.id == base
        assert target.profile is not None
        assert target.profile.id == text
        assert text in listed_profiles(guide, region)
    else:
        assert text not in listed_profiles(guide, region)
        with pytest.raises(ValidationException) as fault:
            resolve(guide, text, region, TODAY)
        assert fault.value.text == INVALID


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        (f"us.{SONNET_45}", f"us.{SONNET_45}"),
        (SONNET_45, f"us.{SONNET_45}"),
        (f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.{SONNET_45}", f"us.{SONNET_45}"),
        (f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/global.{SONNET_45}", f"global.{SONNET_45}"),
        (f"arn:aws:bedrock:us-west-2::foundation-model/{SONNET_45}", f"us.{SONNET_45}"),
    ],
)
def test_all_four_spellings_name_the_model(guide: Catalog, text: str, profile: str) -> None:
    target = resolve(guide, text, "us-west-2", TODAY, account=ACCOUNT)
    assert target.model.id == SONNET_45
    assert target.profile is not None
    assert target.profile.id == profile


@pytest.mark.parametrize(
    ("base", "region", "profile"),
    [
        (SONNET_45, "us-east-1", "us"),
        (SONNET_45, "ca-central-1", "us"),
        (SONNET_45, "eu-west-2", "eu"),
        (SONNET_45, "ap-northeast-3", "jp"),
        (SONNET_45, "ap-southeast-6", "au"),
        (SONNET_4, "ap-northeast-1", "apac"),
        (SONNET_4, "il-central-1", "eu"),
        (HAIKU_3, "us-east-2", "us"),
    ],
)
def test_a_bare_id_means_the_regional_endpoint_of_the_callers_geography(
    guide: Catalog, base: str, region: str, profile: str
) -> None:
    target = resolve(guide, base, region, TODAY)
    assert target.profile is not None
    assert target.profile.id == f"{profile}.{base}"


@pytest.mark.parametrize("bare", ["regional", "refuse"])
@pytest.mark.parametrize(
    ("base", "region"), [(HAIKU_3, "us-west-2"), (HAIKU_3, "sa-east-1"), (HAIKU_35, "us-west-2")]
)
def test_an_older_model_runs_on_demand_where_it_does(
    guide: Catalog, base: str, region: str, bare: Any
) -> None:
    for text in (base, f"arn:aws:bedrock:{region}::foundation-model/{base}"):
        target = resolve(guide, text, region, TODAY, bare_model_id=bare)
        assert (target.model.id, target.profile) == (base, None)


def test_a_bare_id_can_be_refused_as_aws_does(guide: Catalog) -> None:
    for text in (SONNET_45, f"arn:aws:bedrock:us-west-2::foundation-model/{SONNET_45}"):
        with pytest.raises(ValidationException) as fault:
            resolve(guide, text, "us-west-2", TODAY, bare_model_id="refuse")
        assert fault.value.text == NOT_ON_DEMAND.format(text)


def test_a_bare_id_far_from_its_geography_is_told_where_to_go(guide: Catalog) -> None:
    with pytest.raises(ValidationException) as fault:
        resolve(guide, OPUS_41, "eu-west-1", TODAY)
    assert fault.value.text == NOT_ON_DEMAND.format(OPUS_41) + (
        f" None is offered from eu-west-1: us.{OPUS_41} is offered from us-east-1, us-east-2 and us-west-2."
    )
    with pytest.raises(ValidationException) as fault:
        resolve(guide, OPUS_45, "sa-east-1", TODAY)
    assert fault.value.text == NOT_ON_DEMAND.format(OPUS_45) + f" From sa-east-1 that is global.{OPUS_45}."


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("", "us-west-2"),
        ("..", "us-west-2"),
        ("a" * 2000, "us-west-2"),
        ("%2e%2e", "us-west-2"),
        ("anthropic.claude-9", "us-west-2"),
        (f"{HAIKU_3}:200k", "us-west-2"),
        ("anthropic.claude-haiku-4-5", "us-west-2"),  # Mantle's id
        (f"us.us.{SONNET_45}", "us-west-2"),
        (f"ca.{SONNET_45}", "ca-central-1"),
        (f"eu.{SONNET_45}", "us-west-2"),  # not offered from there
        (f"global.{SONNET_4}", "eu-central-1"),  # five sources only
        (f"us.{SONNET_4}", "ca-central-1"),
        (f"global.{SONNET_45}", "mars-north-1"),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET_45}", "us-west-2"),
        (f"arn:aws:bedrock:::foundation-model/{SONNET_45}", "us-west-2"),
        (f"arn:aws-us-gov:bedrock:us-west-2::foundation-model/{SONNET_45}", "us-west-2"),
        (f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.{SONNET_45}", "us-west-2"),
        (f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/eu.{SONNET_45}", "us-west-2"),
        (f"arn:aws:bedrock:us-west-2:210987654321:inference-profile/us.{SONNET_45}", "us-west-2"),
        (f"arn:aws:bedrock:us-west-2:{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6", "us-west-2"),
        ("a1b2c3d4e5f6", "us-west-2"),
    ],
)
def test_what_names_no_model_here_is_an_invalid_identifier(guide: Catalog, text: str, region: str) -> None:
    with pytest.raises(ValidationException) as fault:
        resolve(guide, text, region, TODAY, account=ACCOUNT)
    assert fault.value.text == INVALID


@pytest.mark.parametrize("text", [SONNET_37, f"us.{SONNET_37}", OPUS_3, HAIKU_35])
def test_the_guides_legacy_models_can_be_called(guide: Catalog, text: str) -> None:
    assert text.endswith(resolve(guide, text, "us-west-2", TODAY).model.id)


@pytest.mark.parametrize("text", [HAIKU_3, f"us.{HAIKU_3}", f"global.{SONNET_4}", SONNET_37])
def test_past_the_end_of_its_life_a_model_is_not_found(newest: Catalog, text: str) -> None:
    with pytest.raises(ResourceNotFoundException) as fault:
        resolve(newest, text, "us-west-2", TODAY)
    assert fault.value.text == END_OF_LIFE


def test_the_last_day_of_a_model_is_the_day_before_its_end(newest: Catalog) -> None:
    assert resolve(newest, f"us.{OPUS_41}", "us-west-2", date(2027, 1, 7)).model.id == OPUS_41
    with pytest.raises(ResourceNotFoundException):
        resolve(newest, f"us.{OPUS_41}", "us-west-2", date(2027, 1, 8))


def test_in_govcloud_arns_are_of_its_own_partition(newest: Catalog) -> None:
    text = f"arn:aws-us-gov:bedrock:us-gov-west-1:{ACCOUNT}:inference-profile/us-gov.{SONNET_45}"
    assert resolve(newest, text, "us-gov-west-1", TODAY).model.id == SONNET_45
    profile = listed_profiles(newest, "us-gov-west-1")[f"us-gov.{SONNET_45}"]
    assert profile["inferenceProfileArn"] == text
    assert profile["models"][0]["modelArn"].startswith(
        "arn:aws-us-gov:bedrock:us-gov-east-1::foundation-model/"
    )


# --- counting tokens ---


@pytest.mark.parametrize("text", [SONNET_45, f"arn:aws:bedrock:us-west-2::foundation-model/{SONNET_45}"])
def test_tokens_are_counted_for_a_bare_id(guide: Catalog, text: str) -> None:
    assert resolve_for_count(guide, text, "us-west-2", TODAY).id == SONNET_45


@pytest.mark.parametrize(
    "text",
    [
        f"us.{SONNET_45}",
        f"global.{SONNET_45}",
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.{SONNET_45}",
        OPUS_3,  # a model that does not count
    ],
)
def test_a_profile_counts_no_tokens(guide: Catalog, text: str) -> None:
    with pytest.raises(ValidationException) as fault:
        resolve_for_count(guide, text, "us-west-2", TODAY)
    assert fault.value.text == "The provided model doesn't support counting tokens."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "anthropic.claude-9",
        f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET_45}",
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6",
    ],
)
def test_no_tokens_are_counted_for_what_names_no_model_here(guide: Catalog, text: str) -> None:
    with pytest.raises(ValidationException) as fault:
        resolve_for_count(guide, text, "us-west-2", TODAY)
    assert fault.value.text == INVALID


def test_tokens_are_counted_only_where_the_model_is_and_while_it_lives(
    guide: Catalog, newest: Catalog
) -> None:
    with pytest.raises(ValidationException) as fault:
        resolve_for_count(guide, OPUS_41, "eu-west-1", TODAY)
    assert fault.value.text == INVALID
    with pytest.raises(ResourceNotFoundException) as ended:
        resolve_for_count(newest, HAIKU_3, "us-west-2", TODAY)
    assert ended.value.text == END_OF_LIFE


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


def test_no_application_profile_exists_yet(guide: Catalog) -> None:
    assert answer(guide, "ListInferenceProfiles", "type=APPLICATION") == {"inferenceProfileSummaries": []}


def test_a_token_of_another_listing_is_refused(guide: Catalog) -> None:
    token = answer(guide, "ListInferenceProfiles", "maxResults=1")["nextToken"]
    for query in (
        {"nextToken": "bm9uc2Vuc2U="},
        {"nextToken": token[:-4]},
        {"nextToken": token, "type": "SYSTEM_DEFINED"},
        {"nextToken": token, "type": "APPLICATION"},
        {"nextToken": "é"},
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
