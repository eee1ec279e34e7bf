"""Real clients and a real model: the endpoint with the local engine, end to end."""

import os
import signal
import threading

import boto3
import pytest
from anthropic import AnthropicBedrock
from botocore.config import Config
from botocore.exceptions import EventStreamError

from endpoint import REGION, SONNET, start
from outcrop.engine.local import LocalEngine

HELLO = {"model": SONNET, "max_tokens": 12, "messages": [{"role": "user", "content": "Hello, world"}]}
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "unit": {"enum": ["celsius", "kelvin"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def local(tmp_path_factory, model):
    """An endpoint that the small model answers."""
    endpoint = start(tmp_path_factory.mktemp("local"), engine=LocalEngine(model, parallel=20))
    yield endpoint
    endpoint.stop()


# Keys are given to each client: boto3 and anthropic keep the first that a process takes from its environment.
@pytest.fixture
def runtime(local):
    return boto3.Session(local.access_key, local.secret_key, region_name=REGION).client(
        "bedrock-runtime",
        endpoint_url=local.url,
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=32),
    )


@pytest.fixture
def anthropic(local):
    with AnthropicBedrock(
        aws_access_key=local.access_key,
        aws_secret_key=local.secret_key,
        aws_region=REGION,
        base_url=local.url,
    ) as client:
        yield client


def ask(text, **more):
    return {"modelId": SONNET, "messages": [{"role": "user", "content": [{"text": text}]}], **more}


def test_hello_world_by_three_ways_is_generated_text_with_its_tokens(anthropic, runtime):
    message = anthropic.messages.create(**HELLO)
    assert message.content[0].text.strip()
    assert message.usage.output_tokens <= 12
    reply = runtime.converse(**ask("Hello, world", inferenceConfig={"maxTokens": 12}))
    assert reply["output"]["message"]["content"][0]["text"].strip()
    assert reply["usage"]["inputTokens"] == message.usage.input_tokens
    assert reply["ResponseMetadata"]["HTTPHeaders"]["x-outcrop-engine"].startswith("local/")
    count = runtime.count_tokens(
        modelId=SONNET.removeprefix("global."),
        input={"converse": {"messages": [{"role": "user", "content": [{"text": "Hello, world"}]}]}},
    )
    assert count["inputTokens"] == message.usage.input_tokens


def test_a_forced_tool_gets_input_that_fits_its_schema(anthropic):
    message = anthropic.messages.create(
        **{**HELLO, "max_tokens": 60}, tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}
    )
    assert message.stop_reason == "tool_use"
    assert set(message.content[0].input) == {"city", "unit"}
    assert message.content[0].input["unit"] in ("celsius", "kelvin")


def test_an_image_is_refused_as_aws_does(runtime):
    image = {"image": {"format": "png", "source": {"bytes": b"\x89PNG\r\n\x1a\n" + bytes(64)}}}
    with pytest.raises(
        runtime.exceptions.ValidationException, match="doesn't support the image content block"
    ):
        runtime.converse(
            modelId=SONNET, messages=[{"role": "user", "content": [image, {"text": "What is it?"}]}]
        )


def test_a_child_killed_under_twenty_streams_breaks_each_once_and_the_next_is_answered(local, runtime):
    began, outcomes = threading.Semaphore(0), []

    def read():
        stream = runtime.converse_stream(**ask("Count from 1 to 1000.", inferenceConfig={"maxTokens": 300}))
        seen = []
        try:
            for event in stream["stream"]:
                seen += event
                if len(seen) == 2:
                    began.release()
            outcomes.append("ended quietly")
        except EventStreamError as error:
            outcomes.append(error.response["Error"]["Code"])

    readers = [threading.Thread(target=read) for _ in range(20)]
    for reader in readers:
        reader.start()
    assert all(began.acquire(timeout=60) for _ in readers)
    os.kill(local.answers.inner.pid, signal.SIGKILL)
    for reader in readers:
        reader.join(60)
    assert outcomes == ["modelStreamErrorException"] * 20
    reply = runtime.converse(**ask("Hello", inferenceConfig={"maxTokens": 5}))
    assert reply["output"]["message"]["content"]
