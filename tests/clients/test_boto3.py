"""boto3, unmodified: every operation, with signatures and with API keys over TLS."""

import json

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

from endpoint import REGION, SONNET
from outcrop.engine.scripted import Script, ToolUse

ONCE = Config(retries={"total_max_attempts": 1})
BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hello, world"}],
}
TOOLS = {
    "tools": [
        {
            "toolSpec": {
                "name": "get_weather",
                "description": "The weather of a city",
                "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}}},
            }
        }
    ]
}


def client(service, **more):
    return boto3.client(service, config=ONCE, **more)


def converse(runtime, text="Hello, world", **more):
    return runtime.converse(modelId=SONNET, messages=[{"role": "user", "content": [{"text": text}]}], **more)


@pytest.mark.usefixtures("client_env")
class TestControlPlane:
    def test_who_am_i(self, endpoint):
        identity = client("sts").get_caller_identity()
        assert identity["Account"] == endpoint.keys.account
        assert identity["Arn"] == f"arn:aws:iam::{endpoint.keys.account}:user/tester"

    def test_the_guides_listing(self):
        listed = client("bedrock").list_foundation_models(byProvider="anthropic")["modelSummaries"]
        assert "anthropic.claude-sonnet-4-5-20250929-v1:0" in [summary["modelId"] for summary in listed]
        assert {summary["providerName"] for summary in listed} == {"Anthropic"}

    def test_one_model_by_id_and_by_arn(self):
        bedrock = client("bedrock")
        model_id = "anthropic.claude-haiku-4-5-20251001-v1:0"
        by_id = bedrock.get_foundation_model(modelIdentifier=model_id)["modelDetails"]
        assert by_id == bedrock.get_foundation_model(modelIdentifier=by_id["modelArn"])["modelDetails"]

    def test_profiles_are_paged_to_the_end(self):
        bedrock = client("bedrock")
        pages = list(
            bedrock.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 5})
        )
        assert len(pages) > 2
        listed = [profile for page in pages for profile in page["inferenceProfileSummaries"]]
        assert SONNET in [profile["inferenceProfileId"] for profile in listed]
        assert len(listed) == len({profile["inferenceProfileId"] for profile in listed})

    def test_a_profile_names_the_models_it_reaches(self):
        profile = client("bedrock").get_inference_profile(inferenceProfileIdentifier=SONNET)
        assert profile["status"] == "ACTIVE"
        assert all("claude-sonnet-4-5" in model["modelArn"] for model in profile["models"])

    def test_an_operation_nobody_serves_gets_aws_error(self):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            client("bedrock").list_guardrails()
        assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.usefixtures("client_env")
class TestRuntime:
    def test_invoke_model(self, endpoint):
        endpoint.answers.script(Script(text="Hi!", input_tokens=11, output_tokens=3))
        reply = client("bedrock-runtime").invoke_model(body=json.dumps(BODY), modelId=SONNET)
        message = json.loads(reply["body"].read())
        assert message["content"] == [{"type": "text", "text": "Hi!"}]
        headers = reply["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-amzn-bedrock-input-token-count"] == "11"
        assert headers["x-amzn-bedrock-output-token-count"] == "3"
        assert headers["x-outcrop-engine"] == "scripted"
        assert reply["contentType"] == "application/json"
        assert reply["ResponseMetadata"]["RequestId"]

    def test_invoke_model_with_response_stream(self, endpoint):
        endpoint.answers.script(Script(text="One two three four five", input_tokens=9, output_tokens=5))
        reply = client("bedrock-runtime").invoke_model_with_response_stream(
            body=json.dumps(BODY), modelId=SONNET
        )
        assert reply["contentType"] == "application/json"
        events = [json.loads(event["chunk"]["bytes"]) for event in reply["body"]]
        text = "".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta")
        assert text == "One two three four five"
        metrics = events[-1]["amazon-bedrock-invocationMetrics"]
        assert (metrics["inputTokenCount"], metrics["outputTokenCount"]) == (9, 5)

    def test_converse(self, endpoint):
        endpoint.answers.script(Script(text="Hi!", input_tokens=11, output_tokens=3))
        reply = converse(client("bedrock-runtime"), inferenceConfig={"maxTokens": 20, "stopSequences": ["x"]})
        assert reply["output"]["message"] == {"role": "assistant", "content": [{"text": "Hi!"}]}
        assert reply["stopReason"] == "end_turn"
        assert reply["usage"]["totalTokens"] == 14
        assert reply["metrics"]["latencyMs"] >= 0
        [question] = endpoint.answers.questions
        assert question.body["max_tokens"] == 20
        assert question.body["stop_sequences"] == ["x"]

    def test_converse_stream(self, endpoint):
        endpoint.answers.script("One two three four five")
        reply = client("bedrock-runtime").converse_stream(
            modelId=SONNET, messages=[{"role": "user", "content": [{"text": "count"}]}]
        )
        events = list(reply["stream"])
        names = [next(iter(event)) for event in events]
        assert names[0] == "messageStart"
        assert names[-2:] == ["messageStop", "metadata"]
        text = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)
        assert text == "One two three four five"

    def test_a_tool_call_and_its_result(self, endpoint):
        runtime = client("bedrock-runtime")
        endpoint.answers.script(
            Script(text="Let me look.", tools=(ToolUse("get_weather", {"city": "Ende"}),)), "It rains."
        )
        first = converse(runtime, "How is the weather in Ende?", toolConfig=TOOLS)
        assert first["stopReason"] == "tool_use"
        message = first["output"]["message"]
        tool = message["content"][1]["toolUse"]
        assert (tool["name"], tool["input"]) == ("get_weather", {"city": "Ende"})
        result = {"toolResult": {"toolUseId": tool["toolUseId"], "content": [{"json": {"rain": True}}]}}
        second = runtime.converse(
            modelId=SONNET,
            messages=[
                {"role": "user", "content": [{"text": "How is the weather in Ende?"}]},
                message,
                {"role": "user", "content": [result]},
            ],
            toolConfig=TOOLS,
        )
        assert second["output"]["message"]["content"] == [{"text": "It rains."}]
        block = endpoint.answers.questions[-1].body["messages"][-1]["content"][0]
        assert (block["type"], block["tool_use_id"]) == ("tool_result", tool["toolUseId"])

    def test_count_tokens_in_both_forms(self, endpoint):
        runtime = client("bedrock-runtime")
        endpoint.answers.script(Script(text="x", input_tokens=42))
        model = SONNET.removeprefix("global.")
        as_invoke = runtime.count_tokens(
            modelId=model, input={"invokeModel": {"body": json.dumps(BODY).encode()}}
        )
        message = {"role": "user", "content": [{"text": "Hello, world"}]}
        as_converse = runtime.count_tokens(modelId=model, input={"converse": {"messages": [message]}})
        assert as_invoke["inputTokens"] == as_converse["inputTokens"] == 42

    @pytest.mark.parametrize(
        "model_id",
        [
            SONNET,
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            f"arn:aws:bedrock:{REGION}:{{account}}:inference-profile/{SONNET}",
            f"arn:aws:bedrock:{REGION}::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0",
        ],
    )
    def test_a_model_is_known_in_every_spelling(self, endpoint, model_id):
        model_id = model_id.format(account=endpoint.keys.account)
        reply = client("bedrock-runtime").invoke_model(body=json.dumps(BODY), modelId=model_id)
        assert json.loads(reply["body"].read())["content"][0]["text"] == "Hello from the script."

    @pytest.mark.parametrize(
        ("fault", "status"),
        [
            ("ThrottlingException", 429),
            ("ModelTimeoutException", 408),
            ("ModelErrorException", 424),
            ("ServiceUnavailableException", 503),
            ("InternalServerException", 500),
            ("ResourceNotFoundException", 404),
        ],
    )
    def test_an_engines_fault_is_raised_as_the_modelled_exception(self, endpoint, fault, status):
        runtime = client("bedrock-runtime")
        endpoint.answers.script(Script(error=fault, message="the text"))
        with pytest.raises(getattr(runtime.exceptions, fault)) as caught:
            converse(runtime)
        assert caught.value.response["Error"]["Message"] == "the text"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status

    @pytest.mark.parametrize("operation", ["converse_stream", "invoke_model_with_response_stream"])
    def test_a_stream_that_breaks_raises_and_never_ends_quietly(self, endpoint, operation):
        endpoint.answers.script(Script(text="so far so good", error="ThrottlingException", break_after=3))
        runtime = client("bedrock-runtime")
        if operation == "converse_stream":
            message = {"role": "user", "content": [{"text": "x"}]}
            stream = runtime.converse_stream(modelId=SONNET, messages=[message])["stream"]
        else:
            stream = runtime.invoke_model_with_response_stream(modelId=SONNET, body=json.dumps(BODY))["body"]
        with pytest.raises(botocore.exceptions.EventStreamError, match="throttlingException"):
            list(stream)


class TestApiKeys:
    def test_a_long_term_key_over_tls(self, tls_client_env, monkeypatch):
        endpoint = tls_client_env
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", endpoint.api_key()[1])
        assert converse(client("bedrock-runtime"))["stopReason"] == "end_turn"
        assert client("bedrock").list_foundation_models()["modelSummaries"]

    def test_boto3_refuses_api_keys_over_plain_http_which_is_why_there_is_tls(self, client_env, monkeypatch):
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", client_env.api_key()[1])
        with pytest.raises(botocore.exceptions.InvalidEndpointConfigurationError, match="HTTPS"):
            converse(client("bedrock-runtime"))

    def test_a_revoked_key_stops_working_at_once(self, tls_client_env, monkeypatch):
        name, token = tls_client_env.api_key()
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", token)
        runtime = client("bedrock-runtime")
        converse(runtime)
        tls_client_env.keys.revoke(name)
        with pytest.raises(botocore.exceptions.ClientError, match="make sure your API Key is valid"):
            converse(runtime)


@pytest.mark.usefixtures("client_env")
class TestTemporaryCredentials:
    def test_sts_gives_credentials_that_work_and_tell_when_they_end(self):
        session = client("sts").get_session_token(DurationSeconds=900)["Credentials"]
        temporary = {
            "aws_access_key_id": session["AccessKeyId"],
            "aws_secret_access_key": session["SecretAccessKey"],
            "aws_session_token": session["SessionToken"],
        }
        assert converse(client("bedrock-runtime", **temporary))["stopReason"] == "end_turn"
        assert client("sts", **temporary).get_caller_identity()["Arn"].endswith(":user/tester")

    def test_a_token_of_another_session_is_refused(self):
        one, other = (client("sts").get_session_token()["Credentials"] for _ in range(2))
        mixed = client(
            "bedrock-runtime",
            aws_access_key_id=one["AccessKeyId"],
            aws_secret_access_key=one["SecretAccessKey"],
            aws_session_token=other["SessionToken"],
        )
        with pytest.raises(botocore.exceptions.ClientError, match="UnrecognizedClientException"):
            converse(mixed)
