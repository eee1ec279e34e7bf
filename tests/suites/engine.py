"""What every engine must pass. An engine's test module subclasses `EngineSuite` and says how to make one.

    class TestScripted(EngineSuite):
        generates = False

        @pytest.fixture(scope="class")
        @classmethod
        def make(cls):
            return ScriptedEngine

What an engine declares in `cannot` is not skipped: the suite asks for it and checks the refusal.
`generates` is false for an engine whose answers do not follow from the question (a script, a recording):
then the suite checks the shape of the answers only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import pytest

from outcrop.catalog import Model
from outcrop.engine import Engine, Event, Question, Stream, Whole
from outcrop.errors import ValidationException
from outcrop.wire.messages_reply import assemble

MODEL = Model(
    id="anthropic.claude-sonnet-4-5-20250929-v1:0",
    name="Claude Sonnet 4.5",
    provider="Anthropic",
    anthropic_name="claude-sonnet-4-5-20250929",
    context_window=200_000,
    max_output_tokens=64_000,
)
HELLO = [{"role": "user", "content": "Hello, world"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER = {
    "name": "get_weather",
    "description": "Get the current weather in a given location",
    "input_schema": {
        "type": "object",
        "properties": {
            "location": {"type": "string", "maxLength": 12},
            "unit": {"enum": ["celsius", "kelvin"]},
        },
        "required": ["location", "unit"],
        "additionalProperties": False,
    },
}
USAGE = {"input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"}
REASONS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"}


def content(block: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block, {"type": "text", "text": "What is this?"}]}]}


# A request that needs what an engine may lack, and the words its refusal holds.
ASKS: dict[str, tuple[dict[str, Any], str]] = {
    "images": (
        content({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}),
        "image content block",
    ),
    "documents": (
        content(
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
            }
        ),
        "document content block",
    ),
    "tools": ({"tools": [WEATHER]}, "tool"),
    "thinking": ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2048}, "thinking"),
    "structured_output": (
        {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        "structured output",
    ),
}


def question(stream: bool = False, **fields: Any) -> Question:
    """A question that asks for little, with `fields` of the request in place of the usual ones."""
    return Question(MODEL, {"max_tokens": 12, "messages": HELLO, **fields}, stream, request_id="r" * 36)


async def whole(engine: Engine, **fields: Any) -> dict[str, Any]:
    """The message that answers."""
    answer = await engine.answer(question(**fields))
    assert isinstance(answer, Whole)
    return checked_message(msgspec.json.decode(answer.body))


async def streamed(engine: Engine, **fields: Any) -> list[Event]:
    """The events that answer, seen to be in order."""
    answer = await engine.answer(question(stream=True, **fields))
    assert isinstance(answer, Stream)
    events: list[Event] = []
    async for batch in answer.events:
        assert batch, "an empty batch"
        events += batch
    check_order(events)
    return events


def checked_message(message: dict[str, Any]) -> dict[str, Any]:
    assert message["type"] == "message"
    assert message["role"] == "assistant"
    assert message["model"] == MODEL.anthropic_name
    assert message["id"].startswith("msg_")
    assert message["stop_reason"] in REASONS
    assert (message["stop_sequence"] is not None) == (message["stop_reason"] == "stop_sequence")
    assert set(message["usage"]) >= USAGE
    assert message["usage"]["input_tokens"] > 0
    return message


def check_order(events: list[Event]) -> None:
    """The grammar of a stream: start, (block start, deltas, block stop)*, message_delta, stop."""
    decoded = [msgspec.json.decode(event.data) for event in events]
    assert [fields["type"] for fields in decoded] == [event.type for event in events]
    assert events[0].type == "message_start"
    assert [event.type for event in events[-2:]] == ["message_delta", "message_stop"]
    index, block = -1, ""
    for fields in decoded[1:-2]:
        if fields["type"] == "ping":
            continue
        if fields["type"] == "content_block_start":
            assert not block, "a block opens inside another"
            index, block = index + 1, fields["content_block"]["type"]
        elif fields["type"] == "content_block_delta":
            assert fields["delta"]["type"] in DELTAS[block]
        else:
            assert fields["type"] == "content_block_stop"
            assert block, "a block closes that was not open"
            block = ""
        assert fields["index"] == index
    assert not block, "a block is never closed"
    start = decoded[0]["message"]
    assert start["content"] == []
    assert start["stop_reason"] is None
    assert set(start["usage"]) >= USAGE


DELTAS = {
    "text": {"text_delta", "citations_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
}


class EngineSuite:
    generates: ClassVar[bool] = True

    @pytest.fixture(scope="class")
    @classmethod
    def make(cls) -> Callable[[], Engine]:
        raise NotImplementedError("the subclass says how its engine is made")

    @pytest.fixture(scope="class")
    @classmethod
    def run(cls):
        """Runs a coroutine in the loop that the engine lives in."""
        with asyncio.Runner() as runner:
            yield runner.run

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, make, run):
        engine = make()
        run(engine.start())
        yield engine
        run(engine.close())

    async def settled(self, engine: Engine) -> None:
        """Returns once the engine makes no answer any more; an engine that can tell overrides this."""

    def test_its_name_fits_a_header(self, engine):
        assert engine.name
        assert engine.name.isascii()
        assert engine.name.isprintable()

    def test_starting_again_changes_nothing(self, engine, run):
        run(engine.start())
        assert run(whole(engine))

    def test_a_plain_question_gets_text_and_usage(self, engine, run):
        message = run(whole(engine))
        assert [block["type"] for block in message["content"]] == ["text"]
        assert message["content"][0]["text"]
        assert message["usage"]["output_tokens"] > 0

    def test_a_stream_assembles_to_a_message(self, engine, run):
        message = checked_message(dict(assemble(run(streamed(engine)))))
        assert message["content"][0]["text"]
        assert message["usage"]["output_tokens"] > 0

    def test_two_answers_have_two_ids(self, engine, run):
        assert run(whole(engine))["id"] != run(whole(engine))["id"] or not self.generates

    def test_content_given_as_blocks_is_the_same_as_text(self, engine, run):
        blocks = [{"role": "user", "content": [{"type": "text", "text": "Hello, world"}]}]
        assert run(engine.count(question(messages=blocks))) > 0
        if self.generates:
            assert run(engine.count(question(messages=blocks))) == run(engine.count(question()))

    def test_a_long_conversation_is_answered(self, engine, run):
        turns = [
            {"role": role, "content": text}
            for role, text in (
                ("user", "My name is Ann."),
                ("assistant", "Hello, Ann."),
                ("user", "What is it?"),
            )
        ]
        message = run(whole(engine, messages=turns, system="Be brief.", temperature=0))
        assert message["content"]

    def test_one_token_is_one_token(self, engine, run):
        message = run(whole(engine, max_tokens=1))
        if self.generates:
            assert message["usage"]["output_tokens"] == 1
            assert message["stop_reason"] == "max_tokens"

    def test_a_stop_sequence_ends_the_answer_and_is_not_in_it(self, engine, run):
        fields = {"stop_sequences": ["e", "a", "o", "i", "u"], "max_tokens": 16}
        message = run(whole(engine, **fields))
        if self.generates:
            assert message["stop_reason"] == "stop_sequence"
            assert message["stop_sequence"] in fields["stop_sequences"]
            text = "".join(block["text"] for block in message["content"])
            assert not set(text) & set("eaoiu")

    def test_system_reaches_the_model(self, engine, run):
        plain = run(engine.count(question()))
        for system in ("You answer in verse.", [{"type": "text", "text": "You answer in verse."}]):
            counted = run(engine.count(question(system=system)))
            assert counted > plain or not self.generates

    def test_the_count_is_what_the_answer_says(self, engine, run):
        counted = run(engine.count(question()))
        assert counted > 0
        if self.generates:
            assert run(whole(engine))["usage"]["input_tokens"] == counted

    def test_a_forced_tool_is_called_with_valid_input(self, engine, run):
        if "tools" in engine.cannot:
            return  # the refusal has a test of its own
        fields = {
            "tools": [WEATHER],
            "tool_choice": {"type": "tool", "name": "get_weather"},
            "max_tokens": 64,
        }
        for message in (run(whole(engine, **fields)), dict(assemble(run(streamed(engine, **fields))))):
            checked_message(message)
            if self.generates:
                check_weather(message)

    def test_a_tool_result_is_answered_in_text(self, engine, run):
        if "tools" in engine.cannot:
            return
        call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"location": "Oslo"}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain, 7 degrees"}
        turns = [
            {"role": "user", "content": "Weather in Oslo?"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]
        message = run(whole(engine, messages=turns, tools=[WEATHER]))
        assert message["content"][0]["type"] == "text" or not self.generates

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    @pytest.mark.parametrize("lack", ASKS)
    def test_what_it_declares_it_cannot_do_is_refused_before_anything_is_made(
        self, engine, run, lack, stream
    ):
        if lack not in engine.cannot:
            return  # it says it can, and the tests of that show it
        fields, words = ASKS[lack]
        with pytest.raises(ValidationException, match=words):
            run(engine.answer(question(stream=stream, **fields)))

    def test_a_stream_closed_early_stops_the_generation(self, engine, run):
        async def first_batch_only() -> None:
            answer = await engine.answer(question(stream=True, max_tokens=400))
            assert isinstance(answer, Stream)
            assert await anext(answer.events)
            await answer.events.aclose()  # type: ignore[attr-defined]
            await self.settled(engine)

        run(first_batch_only())
        assert run(whole(engine))

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    def test_a_cancelled_task_stops_the_generation(self, engine, run, stream):
        async def cancelled() -> None:
            task = asyncio.create_task(read(engine, question(stream=stream, max_tokens=400)))
            await asyncio.sleep(0.2)  # somewhere in it, or over already: both must be fine
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.settled(engine)

        run(cancelled())
        assert run(whole(engine))

    def test_several_questions_at_once_are_all_answered(self, engine, run):
        async def several() -> None:
            answers = await asyncio.gather(*(whole(engine, max_tokens=4) for _ in range(5)))
            assert all(answer["content"] for answer in answers)

        run(several())

    def test_closing_is_idempotent_and_needs_no_start(self, make, run):
        async def life() -> None:
            engine = make()
            await engine.close()
            await engine.start()
            await engine.close()
            await engine.close()

        run(life())


async def read(engine: Engine, asked: Question) -> None:
    """The whole answer, for nothing."""
    answer = await engine.answer(asked)
    if isinstance(answer, Stream):
        async for _ in answer.events:
            pass


def check_weather(message: dict[str, Any]) -> None:
    (block,) = message["content"]
    assert block["type"] == "tool_use"
    assert block["name"] == "get_weather"
    assert block["id"].startswith("toolu_")
    assert set(block["input"]) == {"location", "unit"}
    assert isinstance(block["input"]["location"], str)
    assert block["input"]["unit"] in ("celsius", "kelvin")
    assert message["stop_reason"] == "tool_use"
