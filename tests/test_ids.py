"""The grammar of AWS's names, against botocore's patterns and against what callers try."""

from __future__ import annotations

import re

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.ids import SCOPES, Arn, ModelId, is_account, is_region

HAIKU = "anthropic.claude-3-haiku-20240307-v1:0"
APPLICATION = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"

SPELLINGS = [
    # text, scope, base
    (HAIKU, "", HAIKU),
    (f"{HAIKU}:200k", "", f"{HAIKU}:200k"),
    ("anthropic.claude-opus-4-6-v1", "", "anthropic.claude-opus-4-6-v1"),
    ("anthropic.claude-sonnet-5", "", "anthropic.claude-sonnet-5"),
    ("anthropic.claude-v2:1", "", "anthropic.claude-v2:1"),
    (f"us.{HAIKU}", "us", HAIKU),
    (f"global.{HAIKU}", "global", HAIKU),
    (f"us-gov.{HAIKU}", "us-gov", HAIKU),
    ("us.anthropic", "", "us.anthropic"),  # a provider named like a geography
    (f"eu.us.{HAIKU}", "eu", f"us.{HAIKU}"),
    (f"mars.{HAIKU}", "", f"mars.{HAIKU}"),
    (f"arn:aws:bedrock:us-west-2::foundation-model/{HAIKU}", "", HAIKU),
    (f"arn:aws:bedrock:::foundation-model/{HAIKU}", "", HAIKU),
    (f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.{HAIKU}", "us", HAIKU),
    (f"arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.{HAIKU}", "us-gov", HAIKU),
]

NOT_MODELS = [
    "",
    " ",
    "anthropic",
    ".",
    "..",
    "../../etc/passwd",
    "anthropic..claude",
    ".anthropic.claude",
    "anthropic.claude.",
    "anthropic.%2e%2e",
    "%2e%2e",
    "anthropic.claude/../x",
    f"{HAIKU}\n",
    f" {HAIKU}",
    f"{HAIKU}\x00",
    f"{HAIKU}:",
    f"{HAIKU}:200k:more",
    "anthropic.claude-٣-haiku",  # a digit to Unicode, not to AWS
    "Anthropic.Claude",
    "anthropic.claude_3",
    "a" * 2000,
    "anthropic." + "a" * 2000,
    "a." * 1000 + "a",
    "arn:",
    "arn:aws:bedrock",
    f"arn:aws:bedrock:us-west-2:foundation-model/{HAIKU}",
    f"arn:aws:bedrock:us-west-2:123456789012:foundation-model/{HAIKU}",
    f"arn:aws:bedrock:us-west-2::foundation-model/us.{HAIKU}",
    "arn:aws:bedrock:us-west-2::foundation-model/../x",
    f"arn:aws:bedrock:us-west-2::inference-profile/us.{HAIKU}",
    f"arn:aws:bedrock::123456789012:inference-profile/us.{HAIKU}",
    f"arn:aws:bedrock:us-west-2:aws:inference-profile/us.{HAIKU}",
    f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/{HAIKU}",
    f"arn:aws:s3:us-west-2::foundation-model/{HAIKU}",
    f"arn:aws:bedrock:us-west-2:12345678901:inference-profile/us.{HAIKU}",
    f"arn:aws:bedrock:us-west-2:١٢٣٤٥٦٧٨٩٠١٢:inference-profile/us.{HAIKU}",
    f"arn:aws:bedrock:US-WEST-2::foundation-model/{HAIKU}",
    f"arn:gcp:bedrock:us-west-2::foundation-model/{HAIKU}",
    APPLICATION + "7",
    APPLICATION.upper(),
    APPLICATION.replace("123456789012", ""),
]


@pytest.mark.parametrize(("text", "scope", "base"), SPELLINGS)
def test_a_model_can_be_spelt_in_four_ways(text: str, scope: str, base: str) -> None:
    asked = ModelId.parse(text)
    assert (asked.text, asked.scope, asked.base, asked.application) == (text, scope, base, "")
    assert asked.profile == (f"{scope}.{base}" if scope else "")
    assert (asked.arn is not None) == text.startswith("arn:")


def test_an_application_profile_is_named_by_its_short_id() -> None:
    asked = ModelId.parse(APPLICATION)
    assert (asked.application, asked.base, asked.scope, asked.profile) == ("a1b2c3d4e5f6", "", "", "")
    assert asked.arn is not None
    assert asked.arn.account == "123456789012"


@pytest.mark.parametrize("text", NOT_MODELS)
def test_what_is_not_a_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        ModelId.parse(text)


def test_a_refusal_does_not_repeat_an_endless_id() -> None:
    with pytest.raises(ValueError, match="2049 characters") as refusal:
        ModelId.parse("x" * 2049)
    assert len(str(refusal.value)) < 100


@given(st.text(st.sampled_from("aZ0.:/-_%\n arnwsbedockufmilptg"), max_size=60) | st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_parsing_any_text_gives_an_id_or_a_value_error(text: str) -> None:
    try:
        asked = ModelId.parse(text)
    except ValueError:
        return
    assert asked.text == text
    assert asked.base


def _pattern(service: str, shape: str) -> re.Pattern[str]:
    model = botocore.session.get_session().get_service_model(service)
    return re.compile(model.shape_for(shape).metadata["pattern"])


@pytest.mark.parametrize("text", [text for text, _, _ in SPELLINGS if ":bedrock:::" not in text])
def test_what_we_accept_botocores_patterns_accept(text: str) -> None:
    found = _pattern("bedrock-runtime", "ConversationalModelId").match(text)
    assert found is not None
    assert _pattern("bedrock-runtime", "FoundationModelVersionIdentifier").fullmatch(text)


@pytest.mark.parametrize(
    "arn", [APPLICATION, "arn:aws:iam::123456789012:user/dev team/ann", "arn:aws:iam::aws:policy/X"]
)
def test_an_arn_is_taken_apart_and_put_together_again(arn: str) -> None:
    assert str(Arn.parse(arn)) == arn


@pytest.mark.parametrize(
    "text",
    [
        "",
        "arn",
        "arn:aws:iam::123456789012:",
        "arn::iam::1:x",
        "arn:aws:iam:moon:123456789012:user/x",
        "arn:aws:iam::123456789012:user/\n",
    ],
)
def test_what_is_not_an_arn_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an ARN"):
        Arn.parse(text)


@pytest.mark.parametrize(
    "region", ["us-east-1", "ap-southeast-7", "us-gov-west-1", "il-central-1", "eusc-de-east-1"]
)
def test_regions_are_recognised_by_their_form(region: str) -> None:
    assert is_region(region)


@pytest.mark.parametrize(
    "text", ["", "us-east", "us-east-٣", "useast1", "us-east-1\n", "US-EAST-1", "u-east-1"]
)
def test_what_has_not_the_form_of_a_region_is_none(text: str) -> None:
    assert not is_region(text)


def test_an_account_is_twelve_ascii_digits() -> None:
    assert is_account("123456789012")
    assert not any(map(is_account, ["12345678901", "1234567890123", "١٢٣٤٥٦٧٨٩٠١٢", "123456789012\n", "aws"]))


def test_every_scope_is_told_from_a_provider() -> None:
    for scope in SCOPES:
        assert ModelId.parse(f"{scope}.anthropic.claude-x").scope == scope
