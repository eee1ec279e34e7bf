"""Profiles of one's own: driven by boto3, the AWS CLI and the AWS SDK for JavaScript, called by them all."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import anthropic
import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

import outcrop
from clients.conftest import NODE_FOLDER
from endpoint import REGION
from programs import run

ONCE = Config(retries={"total_max_attempts": 1})
ANSWER = "Hello from the script."
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
HELLO = [{"role": "user", "content": "Hello, world"}]
BODY = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 16, "messages": HELLO})
INVALID = "The provided model identifier is invalid."


@pytest.fixture
def bedrock(client_env):
    return boto3.session.Session().client("bedrock", config=ONCE)


@pytest.fixture
def runtime(client_env):
    return boto3.session.Session().client("bedrock-runtime", config=ONCE)


@pytest.fixture
def make(bedrock):
    """Makes profiles under names of their own; those still there are deleted in the end."""
    made = []

    def create(source=f"us.{SONNET}", **more):
        if not source.startswith("arn:"):
            shown = bedrock.get_inference_profile(inferenceProfileIdentifier=source)
            source = shown["inferenceProfileArn"]
        asked = {"inferenceProfileName": f"test {uuid4().hex}", "modelSource": {"copyFrom": source}} | more
        made.append(bedrock.create_inference_profile(**asked)["inferenceProfileArn"])
        return made[-1]

    yield create
    left = bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]
    for arn in {one["inferenceProfileArn"] for one in left} & set(made):
        bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)


def error(call, **arguments):
    """Name, status and text of the error a call is answered with."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    told = caught.value.response
    return told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Message"]


def tags(bedrock, arn):
    return {row["key"]: row["value"] for row in bedrock.list_tags_for_resource(resourceARN=arn)["tags"]}


class TestBoto3:
    def test_a_life(self, bedrock):
        source = bedrock.get_inference_profile(inferenceProfileIdentifier=f"us.{SONNET}")
        name = f"life {uuid4().hex}"
        made = bedrock.create_inference_profile(
            inferenceProfileName=name,
            description="Counts: team one.",
            modelSource={"copyFrom": source["inferenceProfileArn"]},
            tags=[{"key": "team", "value": "one"}],
        )
        assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
        assert made["status"] == "ACTIVE"
        arn = made["inferenceProfileArn"]
        short = arn.rpartition("/")[2]
        shown = bedrock.get_inference_profile(inferenceProfileIdentifier=arn)
        assert (shown["inferenceProfileName"], shown["type"]) == (name, "APPLICATION")
        assert shown["inferenceProfileId"] == short
        assert shown["description"] == "Counts: team one."
        assert shown["models"] == source["models"]
        assert datetime.now(UTC) - shown["createdAt"] < timedelta(minutes=5)
        bedrock.tag_resource(resourceARN=arn, tags=[{"key": "cost", "value": "a/b"}])
        assert tags(bedrock, arn) == {"team": "one", "cost": "a/b"}
        bedrock.untag_resource(resourceARN=arn, tagKeys=["team"])
        assert tags(bedrock, arn) == {"cost": "a/b"}
        deleted = bedrock.delete_inference_profile(inferenceProfileIdentifier=short)
        assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 200
        for call in (bedrock.get_inference_profile, bedrock.delete_inference_profile):
            assert error(call, inferenceProfileIdentifier=arn)[:2] == ("ResourceNotFoundException", 404)
        assert error(bedrock.list_tags_for_resource, resourceARN=arn)[:2] == (
            "ResourceNotFoundException",
            404,
        )

    def test_the_paginator_finds_both_kinds_once(self, bedrock, make):
        made = {make() for _ in range(3)}
        pages = list(
            bedrock.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 4})
        )
        arns = [one["inferenceProfileArn"] for page in pages for one in page["inferenceProfileSummaries"]]
        assert len(arns) == len(set(arns))
        assert made < set(arns)
        ours = bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]
        assert made <= {one["inferenceProfileArn"] for one in ours}
        assert {one["type"] for one in ours} == {"APPLICATION"}

    def test_a_retried_request_makes_one_profile(self, bedrock, make):
        name, token = f"retried {uuid4().hex}", uuid4().hex
        assert make(inferenceProfileName=name, clientRequestToken=token) == make(
            inferenceProfileName=name, clientRequestToken=token
        )

    def test_the_errors_have_aws_names_and_statuses(self, bedrock, make):
        arn = make(tags=[{"key": f"k{number}", "value": ""} for number in range(200)])
        name = bedrock.get_inference_profile(inferenceProfileIdentifier=arn)["inferenceProfileName"]
        system = bedrock.get_inference_profile(inferenceProfileIdentifier=f"us.{SONNET}")[
            "inferenceProfileArn"
        ]
        create = bedrock.create_inference_profile
        free = f"free {uuid4().hex}"
        assert error(create, inferenceProfileName=name, modelSource={"copyFrom": system})[:2] == (
            "ConflictException",
            400,
        )
        for source in (
            arn,
            system.replace("/us.", "/eu."),
            "arn:aws:bedrock:us-west-2::foundation-model/a.b",
        ):
            told = error(create, inferenceProfileName=free, modelSource={"copyFrom": source})
            assert told[:2] == ("ValidationException", 400)
        assert error(create, inferenceProfileName="no/slash", modelSource={"copyFrom": system}) == (
            "ValidationException",
            400,
            "1 validation error detected: Value 'no/slash' at 'inferenceProfileName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: ([0-9a-zA-Z][ _-]?)+",
        )
        with pytest.raises(bedrock.exceptions.TooManyTagsException) as caught:
            bedrock.tag_resource(resourceARN=arn, tags=[{"key": "one-more", "value": ""}])
        assert caught.value.response["resourceName"] == arn
        told = error(bedrock.tag_resource, resourceARN=arn, tags=[{"key": "aws:x", "value": ""}])
        assert told[:2] == ("ValidationException", 400)
        told = error(bedrock.delete_inference_profile, inferenceProfileIdentifier=system)
        assert told[:2] == ("ValidationException", 400)

    @pytest.mark.parametrize("source", [f"us.{SONNET}", f"global.{SONNET}", HAIKU_3])
    def test_a_model_is_called_through_it(self, endpoint, bedrock, runtime, make, source):
        if not source.startswith(("us.", "global.")):
            details = bedrock.get_foundation_model(modelIdentifier=source)["modelDetails"]
            source = details["modelArn"]
        arn = make(source)
        reply = runtime.converse(modelId=arn, messages=[{"role": "user", "content": [{"text": "Hello"}]}])
        assert reply["output"]["message"]["content"] == [{"text": ANSWER}]
        whole = runtime.invoke_model(modelId=arn, body=BODY)
        assert json.loads(whole["body"].read())["content"][0]["text"] == ANSWER
        stream = runtime.converse_stream(
            modelId=arn, messages=[{"role": "user", "content": [{"text": "Hello"}]}]
        )
        assert "metadata" in list(stream["stream"])[-1]
        chunks = list(runtime.invoke_model_with_response_stream(modelId=arn, body=BODY)["body"])
        assert json.loads(chunks[-1]["chunk"]["bytes"])["type"] == "message_stop"
        assert {question.model.id for question in endpoint.answers.questions} == {
            source[source.index("anthropic.") :]
        }

    def test_deleted_it_is_no_model(self, bedrock, runtime, make):
        arn = make()
        assert runtime.invoke_model(modelId=arn, body=BODY)
        bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
        assert error(runtime.invoke_model, modelId=arn, body=BODY) == ("ValidationException", 400, INVALID)

    def test_in_another_region_it_is_no_model(self, make):
        elsewhere = boto3.session.Session(region_name="us-east-1").client("bedrock-runtime", config=ONCE)
        told = error(elsewhere.invoke_model, modelId=make(), body=BODY)
        assert told == ("ValidationException", 400, INVALID)

    def test_by_its_short_id_it_is_no_model(self, runtime, make):
        told = error(runtime.invoke_model, modelId=make().rpartition("/")[2], body=BODY)
        assert told == ("ValidationException", 400, INVALID)


class TestAnthropic:
    def test_whole_and_streaming(self, make):
        arn = make()
        messages = anthropic.AnthropicBedrock(aws_region=REGION).messages
        assert messages.create(model=arn, max_tokens=16, messages=HELLO).content[0].text == ANSWER
        with messages.stream(model=arn, max_tokens=16, messages=HELLO) as stream:
            assert stream.get_final_text() == ANSWER

    def test_our_own_client(self, make):
        messages = outcrop.AnthropicBedrock(aws_region=REGION).messages
        assert messages.create(model=make(), max_tokens=16, messages=HELLO).content[0].text == ANSWER


class TestNode:
    @pytest.fixture
    def step(self, node, endpoint):
        def execute(name, argument):
            done = run([node, "profiles.mjs", name, argument], endpoint.env(), cwd=NODE_FOLDER)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        return execute

    @pytest.mark.parametrize("client", ["messages", "converse"])
    def test_a_model_is_called_through_it(self, step, make, client):
        assert step(client, make()) == {"text": ANSWER}

    def test_a_life(self, step, bedrock):
        source = bedrock.get_inference_profile(inferenceProfileIdentifier=f"us.{SONNET}")[
            "inferenceProfileArn"
        ]
        seen = step("life", source)
        assert datetime.fromisoformat(seen.pop("created")).tzinfo
        assert seen == {
            "status": "ACTIVE",
            "tags": [{"key": "team", "value": "two"}],
            "name": "made by node",
            "after": "ResourceNotFoundException",
        }


class TestAwsCli:
    @pytest.fixture
    def cli(self, aws, endpoint):
        """Runs a command of `aws bedrock`; gives what it printed, as JSON."""

        def execute(*words, fails=""):
            done = run([aws, "bedrock", *words], endpoint.env(AWS_MAX_ATTEMPTS="1"))
            if fails:
                assert done.returncode != 0
                assert fails in done.stderr
                return None
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout) if done.stdout.strip() else None

        return execute

    def test_a_life(self, cli):
        system = cli("get-inference-profile", "--inference-profile-identifier", f"us.{SONNET}")
        name = f"cli {uuid4().hex}"
        made = cli(
            "create-inference-profile",
            *("--inference-profile-name", name),
            *("--model-source", f"copyFrom={system['inferenceProfileArn']}"),
            *("--description", "By hand"),
            *("--tags", "key=team,value=one"),
        )
        arn = made["inferenceProfileArn"]
        which = ("--inference-profile-identifier", arn)
        assert cli("get-inference-profile", *which)["inferenceProfileName"] == name
        ours = cli("list-inference-profiles", "--type-equals", "APPLICATION")["inferenceProfileSummaries"]
        assert name in [one["inferenceProfileName"] for one in ours]
        cli("tag-resource", "--resource-arn", arn, "--tags", "key=cost,value=1")
        cli("untag-resource", "--resource-arn", arn, "--tag-keys", "team")
        assert cli("list-tags-for-resource", "--resource-arn", arn) == {
            "tags": [{"key": "cost", "value": "1"}]
        }
        again = (
            "--inference-profile-name",
            name,
            "--model-source",
            f"copyFrom={system['inferenceProfileArn']}",
        )
        cli("create-inference-profile", *again, fails="(ConflictException)")
        cli("delete-inference-profile", *which)
        cli("get-inference-profile", *which, fails="(ResourceNotFoundException)")
        cli(
            "delete-inference-profile",
            *("--inference-profile-identifier", system["inferenceProfileArn"]),
            fails="(ValidationException)",
        )
