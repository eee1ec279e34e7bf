"""The scripted engine: the shared suite, the order of its scripts, its failures, and the files it reads."""

import asyncio
import json

import pytest

from outcrop.engine.scripted import Script, ScriptedEngine, ToolUse, read_scripts
from outcrop.errors import (
    ConfigError,
    InternalServerException,
    ModelStreamErrorException,
    ThrottlingException,
)
from outcrop.wire.messages_reply import assemble
from suites.engine import ASKS, EngineSuite, question, streamed, whole


class TestScripted(EngineSuite):
    generates = False

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls):
        return ScriptedEngine


class TestScriptedThatLacks(EngineSuite):
    generates = False

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls):
        return lambda: ScriptedEngine(cannot=list(ASKS))


def test_scripts_are_played_in_order_and_then_it_fails():
    engine = ScriptedEngine([Script(text="one"), Script(text="two")], repeat=False)

    async def three():
        texts = [(await whole(engine))["content"][0]["text"] for _ in range(2)]
        with pytest.raises(InternalServerException, match="no answer left"):
            await whole(engine)
        return texts

    assert asyncio.run(three()) == ["one", "two"]


def test_whole_and_streamed_are_the_same_answer():
    script = Script(
        thinking="hm", text="Ünïcode ☃ text", tools=(ToolUse("f", {"a": [1, None]}),), input_tokens=3
    )
    engine = ScriptedEngine([script])
    message = asyncio.run(whole(engine))
    assert assemble(asyncio.run(streamed(engine)))["content"] == message["content"]
    assert message["stop_reason"] == "tool_use"
    assert message["usage"]["input_tokens"] == 3


def test_an_error_is_raised_before_the_first_event():
    engine = ScriptedEngine([Script(error="ThrottlingException", message="slow")])
    with pytest.raises(ThrottlingException, match="slow"):
        asyncio.run(engine.answer(question(stream=True)))


def test_a_break_comes_after_the_events_before_it():
    engine = ScriptedEngine([Script(text="some text here", break_after=3)])

    async def read():
        seen = []
        try:
            async for batch in (await engine.answer(question(stream=True))).events:
                seen += batch
        except ModelStreamErrorException:
            return [event.type for event in seen]
        return "it did not break"

    assert asyncio.run(read()) == ["message_start", "content_block_start", "content_block_delta"]


@pytest.mark.parametrize("name", ["answers.json", "answers.toml"])
def test_scripts_come_from_a_file(tmp_path, name):
    path = tmp_path / name
    if name.endswith("json"):
        path.write_text(json.dumps([{"text": "Hi", "output_tokens": 2}, {"error": "ThrottlingException"}]))
    else:
        path.write_text(
            '[[answers]]\ntext = "Hi"\noutput_tokens = 2\n[[answers]]\nerror = "ThrottlingException"\n'
        )
    assert read_scripts(path) == (Script(text="Hi", output_tokens=2), Script(error="ThrottlingException"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "truncated"),
        ("[1]", "Expected `object`"),
        ('[{"txt": "a typo"}]', "txt"),
        ('[{"error": "NoSuchException"}]', "NoSuchException"),
        ('[{"error": "Any"}]', "no fault named Any"),
        ("{}", "answers"),
        ('[{"text": "x", "piece": 0}]', "piece"),
        ('[{"text": "x", "delay": -1}]', "delay"),
        ("[]", "no answer"),
    ],
)
def test_a_broken_file_is_told_with_its_name(tmp_path, text, says):
    path = tmp_path / "answers.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        read_scripts(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.json"):
        read_scripts(tmp_path / "gone.json")
