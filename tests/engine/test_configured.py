"""The engine that the settings choose."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outcrop.config import Data, Engine, Local, Messages, Scripted, Secret, Settings
from outcrop.engine.configured import configured
from outcrop.errors import ConfigError, OutcropError


def test_a_messages_engine_is_named_after_where_it_asks():
    anthropic = Engine(kind="messages")
    engine = configured(Settings(engine=anthropic), {"ANTHROPIC_API_KEY": "sk"})
    assert engine.name == "messages/anthropic"
    asyncio.run(engine.close())
    local = Engine(kind="messages", messages=Messages(base_url="http://127.0.0.1:1/v", lacks=("images",)))
    engine = configured(Settings(engine=local), {})
    assert engine.name == "messages/127.0.0.1:1"
    assert engine.cannot == {"images"}
    asyncio.run(engine.close())


def test_a_key_that_is_not_set_is_told_before_anything_starts():
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY is not set"):
        configured(Settings(engine=Engine(kind="messages")), {})
    with pytest.raises(ConfigError, match="NAME is not set"):
        configured(
            Settings(engine=Engine(kind="messages", messages=Messages(api_key=Secret("env:NAME")))), {}
        )


def test_scripted_answers_come_from_their_file(tmp_path: Path):
    assert configured(Settings(engine=Engine(kind="scripted"))).name == "scripted"
    answers = tmp_path / "answers.json"
    answers.write_text('[{"text": "Hello"}]')
    configured(Settings(engine=Engine(kind="scripted", scripted=Scripted(answers))))
    answers.write_text('[{"txt": "Hello"}]')
    with pytest.raises(ConfigError, match=r"answers\.json"):
        configured(Settings(engine=Engine(kind="scripted", scripted=Scripted(answers))))


def test_a_local_model_that_was_not_fetched_says_how_to_get_it(tmp_path: Path):
    with pytest.raises(OutcropError) as caught:
        configured(Settings(data=Data(tmp_path)))
    assert "outcrop model pull" in caught.value.fix


def test_a_local_model_file_of_ones_own_gives_the_engine_its_name(tmp_path: Path):
    engine = configured(Settings(engine=Engine(local=Local(model_file=tmp_path / "mine.gguf"))))
    assert engine.name == "local/mine"
