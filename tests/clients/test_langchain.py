"""`langchain-aws`, unmodified: both chat classes, tools, streams, token counts."""

import pytest
from langchain_aws import ChatBedrock, ChatBedrockConverse
from langchain_core.messages import HumanMessage

from endpoint import SONNET
from outcrop.engine.scripted import Script, ToolUse

pytestmark = [
    pytest.mark.usefixtures("client_env"),
    pytest.mark.filterwarnings("default"),  # langchain's own deprecations are not ours to mend
]
HELLO = [HumanMessage("Hello, world")]


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def test_converse_and_its_usage(endpoint):
    endpoint.answers.script(Script(text="Hi!", input_tokens=12, output_tokens=3))
    reply = ChatBedrockConverse(model=SONNET).invoke(HELLO)
    assert reply.text == "Hi!"
    assert (reply.usage_metadata["input_tokens"], reply.usage_metadata["output_tokens"]) == (12, 3)


def test_converse_streams(endpoint):
    endpoint.answers.script("One two three four")
    pieces = [piece.text for piece in ChatBedrockConverse(model=SONNET).stream(HELLO)]
    assert "".join(pieces) == "One two three four"
    assert len([piece for piece in pieces if piece]) > 1


def test_converse_calls_a_tool(endpoint):
    endpoint.answers.script(Script(tools=(ToolUse("get_weather", {"city": "Ende"}),)))
    reply = ChatBedrockConverse(model=SONNET).bind_tools([get_weather]).invoke(HELLO)
    assert [(call["name"], call["args"]) for call in reply.tool_calls] == [("get_weather", {"city": "Ende"})]


def test_invoke_reads_its_usage_from_the_headers(endpoint):
    endpoint.answers.script(Script(text="Hi!", input_tokens=12, output_tokens=3))
    reply = ChatBedrock(model=SONNET).invoke(HELLO)
    assert reply.text == "Hi!"
    assert reply.usage_metadata["input_tokens"] == 12
