"""The guide's table, cell by cell: each of its ten models under each prefix, from a region of that geography.

What is listed and what can be called is exactly what the table says. And the guide's two kinds of endpoint,
from every geography, with each of its three clients.
"""

import json

import anthropic
import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

from clients.conftest import NODE_FOLDER
from documents import read
from guide_table import GUIDE, PLACES, SONNET_45
from programs import run

ONCE = Config(retries={"total_max_attempts": 1})
ANSWER = "Hello from the script."
MESSAGES = [{"role": "user", "content": [{"text": "Hello, world"}]}]
BODY = json.dumps(
    {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 16,
        "messages": [{"role": "user", "content": "Hello, world"}],
    }
)
INVALID = "The provided model identifier is invalid."
NOT_ON_DEMAND = "with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t supported."

# which geographies a region is of: a bare id means the profile of one of them
GEOGRAPHIES = {
    "us-west-2": {"us"},
    "eu-central-1": {"eu"},
    "ap-northeast-1": {"jp", "apac"},
    "ap-southeast-2": {"au", "apac"},
}
CELLS = [(base, scope) for base in GUIDE for scope in PLACES]
BARE = [(base, region) for base in GUIDE for region in GEOGRAPHIES]


@pytest.fixture(scope="module")
def clients(running_endpoint):
    """The control plane's and the runtime's client of a region, made once."""
    keys = {
        "aws_access_key_id": running_endpoint.access_key,
        "aws_secret_access_key": running_endpoint.secret_key,
        "endpoint_url": running_endpoint.url,
        "config": ONCE,
    }
    made = {}

    def of(region):
        if region not in made:
            session = boto3.session.Session(region_name=region)
            made[region] = session.client("bedrock", **keys), session.client("bedrock-runtime", **keys)
        return made[region]

    return of


def listed(bedrock):
    return {
        one["inferenceProfileId"]: one
        for one in bedrock.list_inference_profiles()["inferenceProfileSummaries"]
    }


def converse(runtime, model):
    return runtime.converse(modelId=model, messages=MESSAGES)["output"]["message"]["content"][0]["text"]


def invoke(runtime, model):
    return json.loads(runtime.invoke_model(modelId=model, body=BODY)["body"].read())["content"][0]["text"]


def refusal(ask, runtime, model):
    """The text with which a call is refused; it must be a ValidationException."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        ask(runtime, model)
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    return error["Message"]


def test_this_is_the_guides_table():
    lines = [line.split(" | ") for line in read("docs/guide.md").splitlines() if line.startswith("| ")]
    columns = [cell.strip(" |") for cell in lines[0][2:]]
    guide = {
        line[1]: {scope for scope, cell in zip(columns, line[2:], strict=True) if cell.strip(" |") == "yes"}
        for line in lines[2:]
    }
    assert {base: scopes - {"au"} for base, scopes in GUIDE.items()} == guide
    assert (*columns, "au") == tuple(PLACES)


@pytest.mark.parametrize(("base", "scope"), CELLS)
def test_a_prefix_is_listed_and_callable_exactly_where_the_table_says_so(base, scope, endpoint, clients):
    model = f"{scope}.{base}"
    bedrock, runtime = clients(PLACES[scope])
    if scope in GUIDE[base]:
        arn = listed(bedrock)[model]["inferenceProfileArn"]
        for name in (model, arn):
            assert converse(runtime, name) == invoke(runtime, name) == ANSWER
            assert (
                bedrock.get_inference_profile(inferenceProfileIdentifier=name)["inferenceProfileId"] == model
            )
        assert {question.model.id for question in endpoint.answers.questions} == {base}
    else:
        assert model not in listed(bedrock)
        assert refusal(converse, runtime, model) == refusal(invoke, runtime, model) == INVALID
        assert endpoint.answers.questions == []


@pytest.mark.parametrize(("base", "region"), BARE)
def test_a_bare_id_is_callable_where_its_geography_has_the_model(base, region, endpoint, clients):
    bedrock, runtime = clients(region)
    models = {one["modelId"]: one for one in bedrock.list_foundation_models()["modelSummaries"]}
    offered = [name for name in listed(bedrock) if name.endswith(f".{base}")]
    if GUIDE[base] & GEOGRAPHIES[region]:
        for name in (base, models[base]["modelArn"]):
            assert converse(runtime, name) == invoke(runtime, name) == ANSWER
        assert {question.model.id for question in endpoint.answers.questions} == {base}
        return
    holders = offered or [f"{scope}.{base}" for scope in GUIDE[base]]
    for ask in (converse, invoke):
        text = refusal(ask, runtime, base)
        assert f"Invocation of model ID {base} {NOT_ON_DEMAND}" in text
        assert all(profile in text for profile in holders)
    assert (base in models) == bool(offered) == ("global" in GUIDE[base])
    assert endpoint.answers.questions == []


@pytest.mark.parametrize(
    ("scope", "region"), [("eu", "us-west-2"), ("us", "eu-central-1"), ("jp", "ap-southeast-2")]
)
def test_a_geography_without_the_callers_region_is_an_invalid_identifier(scope, region, clients):
    bedrock, runtime = clients(region)
    model = f"{scope}.{SONNET_45}"
    assert model not in listed(bedrock)
    assert refusal(converse, runtime, model) == refusal(invoke, runtime, model) == INVALID


# --- the guide's two kinds of endpoint, from every geography that has them ---


def region_of(model_arn):
    return model_arn.split(":")[3]


KINDS = [
    pytest.param(f"{prefix}{SONNET_45}", region, id=f"{prefix or 'regional'}-{region}")
    for prefix in ("global.", "")
    for region in GEOGRAPHIES
]


@pytest.mark.parametrize(("model", "region"), KINDS)
def test_boto3(model, region, client_env, clients):
    bedrock, runtime = clients(region)
    assert converse(runtime, model) == invoke(runtime, model) == ANSWER
    if (
        model == SONNET_45
    ):  # the bare id is the profile of the geography: it is answered in one of its regions
        profiles = {scope: listed(bedrock).get(f"{scope}.{model}") for scope in GEOGRAPHIES[region]}
        [profile] = filter(None, profiles.values())
        reply = runtime.converse(modelId=model, messages=MESSAGES)
        answered = reply["ResponseMetadata"]["HTTPHeaders"]["x-outcrop-region"]
        assert answered in {region_of(one["modelArn"]) for one in profile["models"]}


@pytest.mark.parametrize(("model", "region"), KINDS)
def test_anthropic(model, region, client_env):
    client = anthropic.AnthropicBedrock(aws_region=region)
    message = client.messages.create(
        model=model, max_tokens=256, messages=[{"role": "user", "content": "Hello, world"}]
    )
    assert message.content[0].text == ANSWER
    assert client_env.answers.questions[-1].model.id == SONNET_45


@pytest.mark.parametrize(("model", "region"), KINDS)
def test_typescript(model, region, node, endpoint):
    done = run([node, "profiles.mjs", "messages", model], endpoint.env(AWS_REGION=region), cwd=NODE_FOLDER)
    assert json.loads(done.stdout) == {"text": ANSWER}, done.stderr
    assert endpoint.answers.questions[-1].model.id == SONNET_45


def test_what_the_table_has_not_is_told_in_each_clients_way(node, client_env):
    model = "jp.anthropic.claude-opus-4-5-20251101-v1:0"
    with pytest.raises(anthropic.BadRequestError, match="model identifier is invalid"):
        anthropic.AnthropicBedrock(aws_region="ap-northeast-1", max_retries=0).messages.create(
            model=model, max_tokens=16, messages=[{"role": "user", "content": "Hello"}]
        )
    env = client_env.env(AWS_REGION="ap-northeast-1")
    seen = json.loads(run([node, "profiles.mjs", "messages", model], env, cwd=NODE_FOLDER).stdout)
    assert (seen["error"], seen["status"]) == ("BadRequestError", 400)
    assert INVALID in seen["message"]
