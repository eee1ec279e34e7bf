"""Which model and which profile a call means, in all the forms an id has, and why one is refused."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guide_table import (
    GUIDE,
    HAIKU_3,
    HAIKU_35,
    OPUS_3,
    OPUS_41,
    OPUS_45,
    PLACES,
    SONNET_4,
    SONNET_37,
    SONNET_45,
)
from outcrop.catalog import Catalog
from outcrop.errors import Fault, ResourceNotFoundException, ValidationException
from outcrop.ids import SCOPES
from outcrop.service.call import Call, Target
from outcrop.service.profiles import ApplicationProfile
from outcrop.service.targets import BareModelId, Targets, resolve, resolve_for_count, why_not
from outcrop.wire.http import Reply
from outcrop.wire.operations import OPERATIONS
from service.calls import ACCOUNT, END_OF_LIFE, INVALID, NOT_ON_DEMAND, OTHER_ACCOUNT, TODAY, call
from service.memory import MemorySnapshot, MemoryStore

GUIDES = Catalog.load("guide")
NEWEST = Catalog.load("2026-11")


@pytest.fixture
def guide() -> Catalog:
    return GUIDES


@pytest.fixture
def newest() -> Catalog:
    return NEWEST


# --- the pure part ---


@pytest.mark.parametrize("scope", PLACES)
@pytest.mark.parametrize("base", GUIDE)
def test_the_guides_table_is_what_can_be_called(guide: Catalog, base: str, scope: str) -> None:
    text, region = f"{scope}.{base}", PLACES[scope]
    if scope in GUIDE[base]:
        target = resolve(guide, text, region, TODAY)
        assert target.model.id == base
        assert target.profile is not None
        assert target.profile.id == text
        assert target.arn == f"arn:aws:bedrock:{region}::inference-profile/{text}"
    else:
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
    assert target.arn == f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/{profile}"


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
        assert (target.model.id, target.profile, target.arn) == (base, None, "")


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
    target = resolve(newest, f"us-gov.{SONNET_45}", "us-gov-west-1", TODAY, account=ACCOUNT)
    assert target == resolve(newest, text, "us-gov-west-1", TODAY, account=ACCOUNT)
    assert (target.model.id, target.arn) == (SONNET_45, text)


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


# --- the step ---

NAMED = sorted(
    row.name for row in OPERATIONS if row.service == "bedrock-runtime" and row.name != "CountTokens"
)


def found(asked: Call, catalog: Catalog = GUIDES, bare_model_id: BareModelId = "regional") -> Call:
    """The call as it goes on after the step."""
    seen: list[Call] = []

    async def inner(further: Call) -> Reply:
        seen.append(further)
        return Reply(200, {}, b"")

    asyncio.run(Targets(catalog, bare_model_id).find(asked, inner))
    return seen[0]


def application(short: str = "a1b2c3d4e5f6", profile: str = "", **more: Any) -> ApplicationProfile:
    members: dict[str, Any] = {
        "partition": "aws",
        "region": "us-west-2",
        "account": ACCOUNT,
        "id": short,
        "name": "copy",
        "source": "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-2",
        "model": profile.partition(".")[2] or HAIKU_3,
        "created": 1,
        "updated": 1,
        "tags": {"team": "one"},
        "profile": profile,
    }
    return ApplicationProfile(**(members | more))


def holding(*profiles: ApplicationProfile) -> MemorySnapshot:
    store = MemoryStore()
    for profile in profiles:
        store.change(lambda state, put=profile: state.put(put))
    return store.snapshot()


@pytest.mark.parametrize("operation", NAMED)
def test_a_call_of_a_model_goes_on_with_its_target_and_nothing_else_changed(operation: str) -> None:
    asked = call(operation, modelId=f"us.{SONNET_45}")
    further = found(asked)
    assert further.target == resolve(GUIDES, f"us.{SONNET_45}", "us-west-2", TODAY, account=ACCOUNT)
    assert msgspec.structs.replace(further, target=None) == asked


@pytest.mark.parametrize("operation", sorted({row.name for row in OPERATIONS} - {*NAMED, "CountTokens"}))
def test_a_call_of_no_model_goes_on_as_it_is(operation: str) -> None:
    asked = call(operation, modelId="nonsense")
    assert found(asked) is asked


def test_tokens_are_counted_where_the_bare_id_would_be_answered() -> None:
    def target(model: str, region: str) -> tuple[str, str]:
        counted = found(call("CountTokens", region=region, modelId=model)).target
        assert counted is not None
        return counted.profile.id if counted.profile else "", counted.arn

    assert target(SONNET_45, "us-west-2") == (f"us.{SONNET_45}", "")
    assert target(SONNET_45, "sa-east-1") == ("", "")
    assert target(SONNET_45, "eu-west-1") == (f"eu.{SONNET_45}", "")
    # of the model alone: a profile's id is refused
    with pytest.raises(ValidationException, match="doesn't support counting"):
        found(call("CountTokens", modelId=f"us.{SONNET_45}"))


def test_the_step_refuses_bare_ids_by_setting() -> None:
    assert found(call("Converse", modelId=SONNET_45)).target
    with pytest.raises(ValidationException, match="on-demand throughput"):
        found(call("Converse", modelId=SONNET_45), bare_model_id="refuse")


def test_a_profiles_arn_of_another_account_is_no_model() -> None:
    text = f"arn:aws:bedrock:us-west-2:{OTHER_ACCOUNT}:inference-profile/us.{SONNET_45}"
    with pytest.raises(ValidationException, match="identifier is invalid"):
        found(call("InvokeModel", modelId=text))


@pytest.mark.parametrize("operation", NAMED)
@pytest.mark.parametrize("scope", ["us", "global"])
def test_a_copy_of_a_profile_means_the_profile_under_its_own_arn(operation: str, scope: str) -> None:
    copy = application(profile=f"{scope}.{SONNET_45}")
    target = found(call(operation, state=holding(copy), modelId=copy.arn)).target
    assert target == Target(
        GUIDES.model(SONNET_45),  # type: ignore[arg-type]
        GUIDES.profile(f"{scope}.{SONNET_45}"),
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6",
    )


def test_a_copy_of_a_model_means_the_model_in_its_region() -> None:
    copy = application()
    target = found(call("Converse", state=holding(copy), modelId=copy.arn)).target
    assert target == Target(GUIDES.model(HAIKU_3), None, copy.arn)  # type: ignore[arg-type]
    assert target.destinations("us-west-2") == ("us-west-2",)


@pytest.mark.parametrize("bare", ["regional", "refuse"])
def test_a_copy_of_a_model_never_becomes_a_profile(bare: Any) -> None:
    copy = application(model=SONNET_45)
    with pytest.raises(ValidationException, match="on-demand throughput"):
        found(call("Converse", state=holding(copy), modelId=copy.arn), bare_model_id=bare)


COPY = application(profile=f"us.{SONNET_45}")


@pytest.mark.parametrize(
    "asked",
    [
        call("Converse", modelId=COPY.arn),
        call("Converse", state=holding(COPY), modelId=COPY.id),
        call("Converse", state=holding(COPY), modelId=COPY.arn, account=OTHER_ACCOUNT),
        call("Converse", state=holding(COPY), modelId=COPY.arn, region="us-east-1"),
        call("Converse", state=holding(COPY), modelId=COPY.arn.replace("us-west-2", "us-east-1")),
        call("Converse", state=holding(COPY), modelId=COPY.arn.replace(ACCOUNT, OTHER_ACCOUNT)),
        call("Converse", state=holding(COPY), modelId=COPY.arn.replace(":aws:", ":aws-cn:")),
        call("Converse", state=holding(COPY), modelId=COPY.arn + "x"),
        call("CountTokens", state=holding(COPY), modelId=COPY.arn),
        call("Converse", state=holding(application(profile="us.anthropic.claude-2")), modelId=COPY.arn),
    ],
    ids=[
        "deleted or never made",
        "short id",
        "another account's",
        "another region's",
        "region in the ARN",
        "account in the ARN",
        "partition in the ARN",
        "longer",
        "counting",
        "source gone from the catalogue",
    ],
)
def test_what_is_no_application_profile_here_is_an_invalid_identifier(asked: Call) -> None:
    with pytest.raises(ValidationException) as fault:
        found(asked)
    assert fault.value.text == INVALID


def test_a_copy_ends_with_its_model() -> None:
    copy = application(profile=f"us.{HAIKU_3}")
    asked = call("Converse", state=holding(copy), modelId=copy.arn)
    assert found(asked).target
    with pytest.raises(ResourceNotFoundException) as fault:
        found(asked, NEWEST)
    assert fault.value.text == END_OF_LIFE


# --- why not ---


def ids(catalog: Catalog) -> list[str]:
    """Every model under every prefix, and bare; and what is none."""
    bases = [*(model.id for model in catalog.models), "anthropic.claude-9"]
    return [f"{scope}{base}" for base in bases for scope in ("", *(f"{one}." for one in SCOPES))]


@given(
    catalog=st.sampled_from([GUIDES, NEWEST]),
    region=st.sampled_from(sorted(NEWEST.regions)),
    form=st.sampled_from(
        [
            "{}",
            "arn:aws:bedrock:{region}::foundation-model/{}",
            "arn:aws:bedrock:{region}:{account}:inference-profile/{}",
        ]
    ),
    bare=st.sampled_from(["regional", "refuse"]),
    data=st.data(),
)
def test_a_reason_is_given_exactly_where_a_call_is_refused(
    catalog: Catalog, region: str, form: str, bare: BareModelId, data: st.DataObject
) -> None:
    text = form.format(data.draw(st.sampled_from(ids(catalog))), region=region, account=ACCOUNT)
    try:
        resolve(catalog, text, region, TODAY, bare)
    except Fault:
        assert why_not(catalog, text, region, TODAY, bare)
    else:
        assert why_not(catalog, text, region, TODAY, bare) == ""


@pytest.mark.parametrize(
    ("text", "region", "reason"),
    [
        (
            f"eu.{SONNET_37}",
            "us-west-2",
            f"eu.{SONNET_37} is offered from eu-central-1, eu-north-1, eu-west-1 and eu-west-3, "
            f"not from us-west-2. From us-west-2 it is called as us.{SONNET_37}.",
        ),
        (
            f"jp.{SONNET_45}",
            "ap-southeast-2",
            f"jp.{SONNET_45} is offered from ap-northeast-1 and ap-northeast-3, not from ap-southeast-2. "
            f"From ap-southeast-2 it is called as global.{SONNET_45} or au.{SONNET_45}.",
        ),
        (
            f"global.{OPUS_41}",
            "eu-west-1",
            f"Claude Opus 4.1 has no profile global.{OPUS_41}. It can't be called from eu-west-1: "
            f"us.{OPUS_41} is offered from us-east-1, us-east-2 and us-west-2.",
        ),
        (
            OPUS_45,
            "sa-east-1",
            "Claude Opus 4.5 does not run on demand in sa-east-1. "
            f"From sa-east-1 it is called as global.{OPUS_45}.",
        ),
        (
            HAIKU_35,
            "eu-west-1",
            "Claude 3.5 Haiku does not run on demand in eu-west-1. It can't be called from eu-west-1: "
            f"{HAIKU_35} runs on demand in us-west-2; "
            f"us.{HAIKU_35} is offered from us-east-1, us-east-2 and us-west-2.",
        ),
        (
            "claude-sonnet-4-5",
            "eu-west-1",
            "'claude-sonnet-4-5' has the form neither of a model's or a profile's id nor of the ARN of one. "
            "If Claude Sonnet 4.5 is meant: "
            f"From eu-west-1 it is called as global.{SONNET_45} or eu.{SONNET_45}.",
        ),
        (
            "us.anthropic.claude-opus-4-1-20250805",
            "us-west-2",
            "Bedrock has no model anthropic.claude-opus-4-1-20250805. If Claude Opus 4.1 is meant: "
            f"From us-west-2 it is called as us.{OPUS_41}.",
        ),
        ("anthropic.gpt", "us-west-2", "Bedrock has no model anthropic.gpt."),
        (
            f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.{SONNET_45}",
            "us-west-2",
            "The ARN is of us-east-1 (aws), and the call is made from us-west-2.",
        ),
        (
            f"arn:aws:bedrock:::foundation-model/{SONNET_45}",
            "us-west-2",
            "The ARN is of no region (aws), and the call is made from us-west-2.",
        ),
        (f"us.{SONNET_45}", "mars-north-1", "mars-north-1 is not a region that Bedrock has."),
        (
            "a1b2c3d4e5f6",
            "us-west-2",
            "An application profile is called by its ARN, not by its id: "
            "arn:aws:bedrock:us-west-2:<account>:application-inference-profile/a1b2c3d4e5f6",
        ),
        (COPY.arn, "us-west-2", ""),
        (COPY.arn, "us-east-1", "The ARN is of us-west-2 (aws), and the call is made from us-east-1."),
        (f"us.{SONNET_45}", "ca-central-1", ""),
    ],
)
def test_the_reason_says_what_fits_instead(text: str, region: str, reason: str) -> None:
    assert why_not(GUIDES, text, region) == reason


def test_a_long_id_is_not_repeated_whole() -> None:
    assert len(why_not(GUIDES, "x" * 5000, "us-west-2")) < 500


def test_the_end_of_a_life_is_a_reason() -> None:
    assert why_not(NEWEST, f"us.{HAIKU_3}", "us-west-2") == "Claude 3 Haiku has reached the end of its life."
