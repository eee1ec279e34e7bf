"""The Node clients, unmodified: `@anthropic-ai/bedrock-sdk`, and the AWS SDK v3 over cleartext HTTP/2."""

import json

import pytest

from clients.conftest import NODE_FOLDER
from gate import Gate
from outcrop.engine.scripted import Script
from programs import run


@pytest.fixture
def script(node, endpoint):
    """Runs one step of a script; gives what it printed, as JSON."""

    def step(file, name, **env):
        done = run([node, file, name], endpoint.env(**env), cwd=NODE_FOLDER)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return step


class TestAnthropicSdk:
    def test_create(self, script, endpoint):
        endpoint.answers.script(Script(text="Hi!", input_tokens=7, output_tokens=2))
        seen = script("anthropic.mjs", "create")
        assert (seen["text"], seen["stop"]) == ("Hi!", "end_turn")
        assert seen["usage"]["input_tokens"] == 7

    def test_stream(self, script, endpoint):
        endpoint.answers.script("One two three")
        seen = script("anthropic.mjs", "stream")
        assert seen["text"] == "One two three"
        assert (seen["types"][0], seen["types"][-1]) == ("message_start", "message_stop")

    def test_an_api_key(self, script, endpoint):
        token = endpoint.api_key()[1]
        seen = script(
            "anthropic.mjs",
            "create",
            AWS_BEARER_TOKEN_BEDROCK=token,
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
        )
        assert seen["text"] == "Hello from the script."

    def test_a_fault(self, script, endpoint):
        endpoint.answers.script(Script(error="ThrottlingException", message="slow down"))
        seen = script("anthropic.mjs", "error")
        assert (seen["error"], seen["status"]) == ("RateLimitError", 429)
        assert "slow down" in seen["message"]

    def test_a_broken_stream_is_an_error(self, script, endpoint):
        endpoint.answers.script(
            Script(text="so far", error="ModelStreamErrorException", message="cut", break_after=3)
        )
        seen = script("anthropic.mjs", "broken")
        assert seen["error"] is not None
        assert len(seen["types"]) == 3


class TestAwsSdk:
    def test_identity_and_models(self, script, endpoint):
        assert script("aws.mjs", "identity")["Arn"].endswith(f"{endpoint.keys.account}:user/tester")
        assert "anthropic.claude-haiku-4-5-20251001-v1:0" in script("aws.mjs", "models")

    def test_whole_answers(self, script):
        assert script("aws.mjs", "invoke") == {
            "text": "Hello from the script.",
            "contentType": "application/json",
        }
        assert script("aws.mjs", "converse")["content"] == [{"text": "Hello from the script."}]
        assert script("aws.mjs", "count")["inputTokens"] > 0

    def test_streams(self, script):
        assert script("aws.mjs", "invokeStream")[-1] == "message_stop"
        names = script("aws.mjs", "converseStream")
        assert (names[0], names[-2:]) == ("messageStart", ["messageStop", "metadata"])

    def test_sixteen_calls_share_one_connection(self, script):
        assert script("aws.mjs", "concurrent") == ["Hello from the script."] * 16

    def test_a_reset_stream_stops_the_engine_and_spares_the_connection(self, node, endpoint):
        gate = Gate(after_events=3)
        endpoint.answers.use(gate)
        done = run([node, "aws.mjs", "abort"], endpoint.env(), cwd=NODE_FOLDER)
        assert json.loads(done.stdout) == "One two three four five six"
        assert gate.cancelled.wait(5)

    @pytest.mark.parametrize("fault", ["ThrottlingException", "ModelTimeoutException", "ValidationException"])
    def test_faults_are_raised_by_name(self, script, endpoint, fault):
        endpoint.answers.script(Script(error=fault, message="the text"))
        seen = script("aws.mjs", "error")
        assert (seen["error"], seen["message"]) == (fault, "the text")

    def test_a_broken_stream_is_raised_by_name(self, script, endpoint):
        endpoint.answers.script(
            Script(text="so far", error="ThrottlingException", message="cut", break_after=3)
        )
        assert script("aws.mjs", "broken")["error"] == "ThrottlingException"

    def test_an_api_key(self, script, endpoint):
        token = endpoint.api_key()[1]
        assert script("aws.mjs", "converse", AWS_BEARER_TOKEN_BEDROCK=token)["stop"] == "end_turn"
