"""`anthropic[bedrock]`, unmodified: sync, async, streams, tools, errors."""

import asyncio

import anthropic
import pytest
from anthropic import AnthropicBedrock, AsyncAnthropicBedrock

from endpoint import SONNET
from outcrop.engine.scripted import Script, ToolUse

HELLO = {"model": SONNET, "max_tokens": 64, "messages": [{"role": "user", "content": "Hello, world"}]}
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.mark.usefixtures("client_env")
class TestSync:
    def test_the_guides_hello_world(self, endpoint):
        endpoint.answers.script(Script(text="Hi!", input_tokens=10, output_tokens=4))
        message = AnthropicBedrock().messages.create(**HELLO)
        assert message.content[0].text == "Hi!"
        assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 4)
        assert message.stop_reason == "end_turn"

    def test_the_keys_may_be_given_to_the_constructor(self, endpoint, monkeypatch):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        client = AnthropicBedrock(
            aws_access_key=endpoint.access_key, aws_secret_key=endpoint.secret_key, aws_region="us-west-2"
        )
        assert client.messages.create(**HELLO).content[0].text == "Hello from the script."

    def test_a_stream_event_by_event(self, endpoint):
        endpoint.answers.script("One two three four five")
        events = list(AnthropicBedrock().messages.create(**HELLO, stream=True))
        assert [event.type for event in events][:2] == ["message_start", "content_block_start"]
        assert events[-1].type == "message_stop"

    def test_the_stream_helper(self, endpoint):
        endpoint.answers.script(Script(thinking="Counting.", text="One two three four five", output_tokens=8))
        with AnthropicBedrock().messages.stream(**HELLO) as stream:
            assert "".join(stream.text_stream) == "One two three four five"
            final = stream.get_final_message()
        assert [block.type for block in final.content] == ["thinking", "text"]
        assert final.usage.output_tokens == 8

    @pytest.mark.parametrize("streaming", [False, True])
    def test_a_tool_is_called(self, endpoint, streaming):
        endpoint.answers.script(
            Script(text="Look:", tools=(ToolUse("get_weather", {"city": "Ende", "days": [1, 2]}),))
        )
        messages = AnthropicBedrock().messages
        if streaming:
            with messages.stream(**HELLO, tools=[WEATHER]) as stream:
                message = stream.get_final_message()
        else:
            message = messages.create(**HELLO, tools=[WEATHER])
        assert message.stop_reason == "tool_use"
        assert message.content[1].input == {"city": "Ende", "days": [1, 2]}

    def test_a_beta_reaches_the_engine(self, endpoint):
        AnthropicBedrock().beta.messages.create(**HELLO, betas=["context-1m-2025-08-07"])
        assert endpoint.answers.questions[-1].betas == ("context-1m-2025-08-07",)

    def test_an_api_key_needs_no_tls_here(self, endpoint, monkeypatch):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        client = AnthropicBedrock(api_key=endpoint.api_key()[1])
        assert client.messages.create(**HELLO).content[0].text == "Hello from the script."

    def test_an_address_can_name_the_region_of_an_api_key(self, endpoint):
        token, haiku = endpoint.api_key()[1], "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
        with AnthropicBedrock(api_key=token, base_url=f"{endpoint.url}/region/eu-west-1") as client:
            assert client.messages.create(**{**HELLO, "model": haiku}).content[0].text
        client = AnthropicBedrock(api_key=token, base_url=endpoint.url, max_retries=0)
        with client, pytest.raises(anthropic.BadRequestError, match="model identifier is invalid"):
            client.messages.create(**{**HELLO, "model": haiku})

    def test_a_signature_of_another_region_than_the_address_is_refused(self, endpoint):
        address = f"{endpoint.url}/region/eu-west-1"
        keys = {"aws_access_key": endpoint.access_key, "aws_secret_key": endpoint.secret_key}
        with AnthropicBedrock(**keys, aws_region="eu-west-1", base_url=address) as client:
            assert client.messages.create(**HELLO).content[0].text
        client = AnthropicBedrock(**keys, aws_region="us-west-2", base_url=address, max_retries=0)
        with client, pytest.raises(anthropic.PermissionDeniedError, match="scoped to a valid region"):
            client.messages.create(**HELLO)

    @pytest.mark.parametrize(
        ("fault", "kind"),
        [
            ("ThrottlingException", anthropic.RateLimitError),
            ("ValidationException", anthropic.BadRequestError),
            ("AccessDeniedException", anthropic.PermissionDeniedError),
            ("ResourceNotFoundException", anthropic.NotFoundError),
            ("ModelTimeoutException", anthropic.APIStatusError),
            ("ModelErrorException", anthropic.APIStatusError),
            ("ServiceUnavailableException", anthropic.InternalServerError),
            ("InternalServerException", anthropic.InternalServerError),
        ],
    )
    def test_faults_become_the_exceptions_users_catch(self, endpoint, fault, kind):
        endpoint.answers.script(Script(error=fault, message="the text"))
        with pytest.raises(anthropic.APIStatusError) as caught:
            AnthropicBedrock(max_retries=0).messages.create(**HELLO)
        assert isinstance(caught.value, kind) or caught.value.status_code in (408, 424, 503)
        assert caught.value.body["message"] == "the text"
        assert caught.value.request_id

    def test_a_broken_stream_raises(self, endpoint):
        endpoint.answers.script(
            Script(text="so far so good", error="ModelStreamErrorException", break_after=4)
        )
        with pytest.raises(anthropic.APIStatusError) as caught:
            list(AnthropicBedrock(max_retries=0).messages.create(**HELLO, stream=True))
        assert caught.value.type == "modelStreamErrorException"

    def test_the_sdks_own_retries_get_an_answer_after_a_throttle(self, endpoint):
        endpoint.answers.script(Script(error="ThrottlingException"), "second try", repeat=False)
        assert AnthropicBedrock().messages.create(**HELLO).content[0].text == "second try"


@pytest.mark.usefixtures("client_env")
class TestAsync:
    def test_create_and_stream(self, endpoint):
        endpoint.answers.script("One two three")

        async def both():
            async with AsyncAnthropicBedrock() as client:
                message = await client.messages.create(**HELLO)
                async with client.messages.stream(**HELLO) as stream:
                    return message.content[0].text, [text async for text in stream.text_stream]

        whole, pieces = asyncio.run(both())
        assert whole == "".join(pieces) == "One two three"

    def test_sixteen_at_once(self):
        async def many():
            async with AsyncAnthropicBedrock() as client:
                return await asyncio.gather(*(client.messages.create(**HELLO) for _ in range(16)))

        assert len({message.id for message in asyncio.run(many())}) == 16
