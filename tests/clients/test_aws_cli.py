"""The AWS CLI, unmodified, told of the endpoint by its environment only."""

import json

from endpoint import SONNET
from programs import run


def test_get_caller_identity(aws, endpoint):
    done = run([aws, "sts", "get-caller-identity"], endpoint.env())
    assert done.returncode == 0, done.stderr
    identity = json.loads(done.stdout)
    assert identity["Arn"] == f"arn:aws:iam::{endpoint.keys.account}:user/tester"
    assert identity["Account"] == endpoint.keys.account


def test_the_guides_listing(aws, endpoint):
    listing = "bedrock list-foundation-models --region=us-west-2 --by-provider anthropic"
    done = run([aws, *listing.split(), "--query", "modelSummaries[*].modelId"], endpoint.env())
    assert done.returncode == 0, done.stderr
    assert "anthropic.claude-opus-4-5-20251101-v1:0" in json.loads(done.stdout)


def test_invoke_model_and_converse(aws, endpoint, tmp_path):
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 20,
        "messages": [{"role": "user", "content": "Hello, world"}],
    }
    out = tmp_path / "reply.json"
    invoke = ["bedrock-runtime", "invoke-model", "--model-id", SONNET, "--body", json.dumps(body), str(out)]
    done = run([aws, *invoke], endpoint.env())
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["content"][0]["text"] == "Hello from the script."
    messages = json.dumps([{"role": "user", "content": [{"text": "Hello, world"}]}])
    done = run(
        [aws, "bedrock-runtime", "converse", "--model-id", SONNET, "--messages", messages], endpoint.env()
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"]["message"]["content"] == [{"text": "Hello from the script."}]


def test_a_wrong_secret_is_told_in_the_words_of_each_service(aws, endpoint):
    env = endpoint.env(AWS_SECRET_ACCESS_KEY="wrong" * 8, AWS_MAX_ATTEMPTS="1")
    done = run([aws, "sts", "get-caller-identity"], env)
    assert done.returncode != 0
    assert "(SignatureDoesNotMatch) when calling the GetCallerIdentity operation" in done.stderr
    done = run([aws, "bedrock", "list-inference-profiles"], env)
    assert "(InvalidSignatureException) when calling the ListInferenceProfiles operation" in done.stderr


def test_an_unknown_key_is_told_in_the_words_of_each_service(aws, endpoint):
    env = endpoint.env(AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE", AWS_MAX_ATTEMPTS="1")
    done = run([aws, "sts", "get-caller-identity"], env)
    assert "(InvalidClientTokenId)" in done.stderr
    done = run([aws, "bedrock", "list-inference-profiles"], env)
    assert "(UnrecognizedClientException)" in done.stderr
