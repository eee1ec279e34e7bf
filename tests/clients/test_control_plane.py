"""Model access as boto3 and the AWS CLI drive it, on endpoints in both modes, while the operator acts."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path

import anthropic
import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from click.testing import CliRunner

from endpoint import REGION, SONNET, start, wait_until
from outcrop.cli.group import outcrop
from outcrop.config import Bedrock, Settings
from programs import run

BASE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
OPUS = "anthropic.claude-opus-4-5-20251101-v1:0"
OPUS_41 = "anthropic.claude-opus-4-1-20250805-v1:0"  # in the US only
FORM = {
    "companyName": "Example Corp",
    "companyWebsite": "https://example.com",
    "intendedUsers": "0",
    "industryOption": "Education",
    "otherIndustryOption": "",
    "useCases": "Answering students' questions.",
}
FORM_MISSING = (
    "Model use case details have not been submitted for this account. "
    "Fill out the Anthropic use case details form before using the model. "
    "If you have already filled out the form, try again in 15 minutes."
)
NO_ACCESS = "You don't have access to the model with the specified model ID."
# with which the endpoint of the tests seals its secrets
STATE_KEY = {"OUTCROP_DATA__SECRET_KEY": "env:STATE_KEY", "STATE_KEY": "00" * 32}
HELLO = [{"role": "user", "content": [{"text": "Hello, world"}]}]


@dataclass
class Site:
    """An endpoint of its own, with what its callers and its operator use."""

    endpoint: object
    folder: Path

    def client(self, service="bedrock", region=REGION):
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint.url,
            aws_access_key_id=self.endpoint.access_key,
            aws_secret_access_key=self.endpoint.secret_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def converse(self, model=SONNET):
        return self.client("bedrock-runtime").converse(modelId=model, messages=HELLO)

    def aws(self, aws, *arguments, code=0):
        """What the AWS CLI prints: its JSON, or the error it ends with."""
        done = run([aws, *arguments], self.endpoint.env())
        assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
        if code:
            return done.stderr.strip()
        return json.loads(done.stdout) if done.stdout.strip() else None

    def operator(self, *arguments):
        """`outcrop access …`, which knows only the data folder; its JSON."""
        command = ["access", *arguments, "--data-dir", str(self.folder), "--output", "json"]
        done = CliRunner(env=STATE_KEY).invoke(outcrop, command)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


def site(tmp_path_factory, mode):
    folder = tmp_path_factory.mktemp(mode)
    endpoint = start(folder, Settings(bedrock=Bedrock(access=mode)))
    endpoint.answers.script("Hello from the script.")
    return Site(endpoint, folder)


@pytest.fixture
def asked(tmp_path_factory):
    """Access has to be asked for; nobody has yet."""
    made = site(tmp_path_factory, "request")
    yield made
    made.endpoint.stop()


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Access is open."""
    made = site(tmp_path_factory, "open")
    yield made
    made.endpoint.stop()


def refused(call, **arguments):
    """The code, the status and the text of the error that a boto3 call ends with."""
    with pytest.raises(ClientError) as error:
        call(**arguments)
    told = error.value.response
    return told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Message"]


def error_of(name, operation):
    """How the AWS CLI begins to tell of an error."""
    return f"An error occurred ({name}) when calling the {operation} operation"


def standing(told):
    return (
        told["agreementAvailability"]["status"],
        told["authorizationStatus"],
        told["entitlementAvailability"],
        told["regionAvailability"],
    )


def test_the_guides_flow_through_boto3(asked):
    bedrock = asked.client()
    assert refused(asked.converse) == ("ResourceNotFoundException", 404, FORM_MISSING)
    assert refused(bedrock.get_use_case_for_model_access) == (
        "ResourceNotFoundException",
        404,
        "You have not filled out the request form.",
    )
    offers = bedrock.list_foundation_model_agreement_offers(modelId=BASE, offerType="ALL")
    assert offers["modelId"] == BASE
    (offer,) = offers["offers"]
    assert offer["termDetails"]["usageBasedPricingTerm"]["rateCard"][0]["dimension"] == "USW2_InputTokenCount"
    agreement = {"modelId": BASE, "offerToken": offer["offerToken"]}
    assert refused(bedrock.create_foundation_model_agreement, **agreement)[:2] == (
        "ResourceNotFoundException",
        404,
    )

    form = json.dumps(FORM).encode()
    answered = bedrock.put_use_case_for_model_access(formData=form)
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert bedrock.get_use_case_for_model_access()["formData"] == form
    assert refused(asked.converse) == ("AccessDeniedException", 403, NO_ACCESS)
    assert standing(bedrock.get_foundation_model_availability(modelId=BASE)) == (
        "NOT_AVAILABLE",
        "AUTHORIZED",
        "NOT_AVAILABLE",
        "AVAILABLE",
    )

    answered = bedrock.create_foundation_model_agreement(**agreement)
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answered["modelId"] == BASE
    assert standing(bedrock.get_foundation_model_availability(modelId=BASE)) == (
        "AVAILABLE",
        "AUTHORIZED",
        "AVAILABLE",
        "AVAILABLE",
    )
    assert asked.converse()["output"]["message"]["content"] == [{"text": "Hello from the script."}]
    assert refused(asked.converse, model=f"global.{HAIKU}") == ("AccessDeniedException", 403, NO_ACCESS)

    assert refused(bedrock.create_foundation_model_agreement, **agreement) == (
        "ValidationException",
        400,
        "Could not create agreement - Agreement already exists",
    )
    answered = bedrock.delete_foundation_model_agreement(modelId=BASE)
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert refused(asked.converse)[:2] == ("AccessDeniedException", 403)
    assert refused(bedrock.delete_foundation_model_agreement, modelId=BASE) == (
        "ValidationException",
        400,
        "No agreement exists to cancel",
    )


def test_the_guides_flow_through_the_aws_cli(asked, aws, tmp_path):
    converse = ("bedrock-runtime", "converse", "--model-id", SONNET, "--messages", json.dumps(HELLO))
    told = asked.aws(aws, *converse, code=254)
    assert told == f"{error_of('ResourceNotFoundException', 'Converse')}: {FORM_MISSING}"
    told = asked.aws(aws, "bedrock", "get-use-case-for-model-access", code=254)
    assert "(ResourceNotFoundException)" in told

    file = tmp_path / "form.json"
    file.write_text(json.dumps(FORM))
    asked.aws(aws, "bedrock", "put-use-case-for-model-access", "--form-data", f"fileb://{file}")
    got = asked.aws(aws, "bedrock", "get-use-case-for-model-access")
    assert json.loads(b64decode(got["formData"])) == FORM

    offers = asked.aws(aws, "bedrock", "list-foundation-model-agreement-offers", "--model-id", BASE)
    token = offers["offers"][0]["offerToken"]
    model = ("--model-id", BASE)
    created = asked.aws(aws, "bedrock", "create-foundation-model-agreement", *model, "--offer-token", token)
    assert created == {"modelId": BASE}
    told = asked.aws(aws, "bedrock", "get-foundation-model-availability", *model)
    assert told["modelId"] == BASE
    assert set(standing(told)) == {"AVAILABLE", "AUTHORIZED"}
    assert asked.aws(aws, *converse)["output"]["message"]["content"] == [{"text": "Hello from the script."}]

    asked.aws(aws, "bedrock", "delete-foundation-model-agreement", *model)
    told = asked.aws(aws, *converse, code=254)
    assert (
        told == f"An error occurred (AccessDeniedException) when calling the Converse operation: {NO_ACCESS}"
    )


def test_the_form_as_awss_page_tells_users_of_the_cli_to_give_it(asked, aws):
    """In base64; version 1 of the CLI encodes that once more, version 2 does not."""
    text = b64encode(json.dumps(FORM).encode()).decode()
    asked.aws(aws, "bedrock", "put-use-case-for-model-access", "--form-data", text)
    offers = asked.client().list_foundation_model_agreement_offers(modelId=BASE)["offers"]
    asked.client().create_foundation_model_agreement(modelId=BASE, offerToken=offers[0]["offerToken"])
    assert asked.converse()


def test_the_console_page_in_one_command(asked):
    asked.operator(
        *("request", "--model", "claude-sonnet-4-5", "--company", "Example Corp"),
        *("--website", "https://example.com", "--users", "internal"),
        *("--industry", "Education", "--use-case", "Answering questions."),
    )
    assert asked.converse()
    assert json.loads(asked.client().get_use_case_for_model_access()["formData"])["intendedUsers"] == "0"
    assert refused(asked.converse, model=f"global.{HAIKU}")[0] == "AccessDeniedException"


def test_what_anthropics_client_is_told(asked):
    client = anthropic.AnthropicBedrock(
        base_url=asked.endpoint.url,
        aws_region=REGION,
        aws_access_key=asked.endpoint.access_key,
        aws_secret_key=asked.endpoint.secret_key,
        max_retries=0,
    )
    question = {"model": SONNET, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    with pytest.raises(anthropic.NotFoundError, match="use case details have not been submitted"):
        client.messages.create(**question)
    asked.client().put_use_case_for_model_access(formData=json.dumps(FORM).encode())
    with pytest.raises(anthropic.PermissionDeniedError, match="You don't have access to the model"):
        client.messages.create(**question, stream=True)
    asked.operator("grant", "--model", "claude-sonnet-4-5")
    assert client.messages.create(**question).content[0].text == "Hello from the script."


def test_where_access_is_open_the_first_call_grants_it(opened):
    bedrock = opened.client()

    def agreed():
        told = bedrock.get_foundation_model_availability(modelId=HAIKU)
        assert told["entitlementAvailability"] == "AVAILABLE"
        return told["agreementAvailability"]["status"] == "AVAILABLE"

    assert not agreed()
    assert opened.converse(f"global.{HAIKU}")
    wait_until(agreed)
    bedrock.delete_foundation_model_agreement(modelId=HAIKU)
    assert not agreed()
    assert opened.converse(f"global.{HAIKU}")
    wait_until(agreed)
    (row,) = [row for row in opened.operator("list") if row["model"] == HAIKU]
    assert (row["state"], row["how"]) == ("granted", "first use")


def test_a_running_endpoint_obeys_the_operator_at_once(opened):
    bedrock = opened.client()
    assert opened.converse()
    opened.operator("revoke", "--model", "claude-sonnet-4-5")
    assert refused(opened.converse) == ("AccessDeniedException", 403, NO_ACCESS)
    assert standing(bedrock.get_foundation_model_availability(modelId=BASE)) == (
        "NOT_AVAILABLE",
        "NOT_AUTHORIZED",
        "NOT_AVAILABLE",
        "AVAILABLE",
    )
    offer = bedrock.list_foundation_model_agreement_offers(modelId=BASE)["offers"][0]
    code, status, text = refused(
        bedrock.create_foundation_model_agreement, modelId=BASE, offerToken=offer["offerToken"]
    )
    assert (code, status) == ("AccessDeniedException", 403)
    assert "revoked" in text
    opened.operator("grant", "--model", "claude-sonnet-4-5")
    assert opened.converse()


@pytest.mark.parametrize(
    ("operation", "arguments", "code", "words"),
    [
        ("list_foundation_model_agreement_offers", {"modelId": "anthropic.claude-9"}, "ValidationException",
         "model identifier is invalid"),
        ("list_foundation_model_agreement_offers", {"modelId": BASE, "offerType": "PRIVATE"},
         "ValidationException", "enum value set: [ALL, PUBLIC]"),
        ("get_foundation_model_availability", {"modelId": "Claude Sonnet"}, "ValidationException",
         "regular expression pattern"),
        ("create_foundation_model_agreement", {"modelId": OPUS, "offerToken": "forged"},
         "ValidationException", "offer token is invalid"),
        ("create_foundation_model_agreement", {"modelId": "anthropic.claude-9", "offerToken": "x"},
         "ValidationException", "model identifier is invalid"),
        ("delete_foundation_model_agreement", {"modelId": OPUS}, "ValidationException",
         "No agreement exists to cancel"),
        ("put_use_case_for_model_access", {"formData": b"x" * 16_385}, "ValidationException",
         "at 'formData' failed to satisfy constraint: Member must have length less than or equal to 16384"),
        ("put_use_case_for_model_access", {"formData": b'{"companyName":"Example"}'}, "ValidationException",
         "4 validation errors detected"),
    ],
)  # fmt: skip
def test_refusals_through_boto3(opened, operation, arguments, code, words):
    told = refused(getattr(opened.client(), operation), **arguments)
    assert told[:2] == (code, 400)
    assert words in told[2]


def test_a_model_that_the_region_has_not(opened):
    here, there = opened.client(region="us-east-1"), opened.client(region="eu-central-1")
    assert here.get_foundation_model_availability(modelId=OPUS_41)["regionAvailability"] == "AVAILABLE"
    assert there.get_foundation_model_availability(modelId=OPUS_41)["regionAvailability"] == "NOT_AVAILABLE"
    assert refused(there.list_foundation_model_agreement_offers, modelId=OPUS_41)[0] == "ValidationException"
