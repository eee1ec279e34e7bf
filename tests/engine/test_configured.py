"""The engines that the settings choose, and the places they get."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import MappingProxyType

import pytest

from outcrop.config import Data, Engine, Local, Messages, Placed, Scripted, Secret, Settings
from outcrop.engine.configured import configured_fleet
from outcrop.errors import ConfigError, OutcropError


def configured(settings, env=MappingProxyType({})):
    """The one engine of `[engine]`."""
    (place,) = configured_fleet(settings, env)
    return place.engine


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


def test_one_engine_stands_for_all_regions_and_models():
    (place,) = configured_fleet(Settings(engine=Engine(kind="scripted")))
    assert (place.name, place.engine.name, place.regions, place.models) == (
        "scripted",
        "scripted",
        None,
        None,
    )
    assert place.simulated


def test_engines_by_name_get_their_regions_models_and_limits():
    settings = Settings(
        engines={
            "eu": Placed(
                "scripted",
                regions=("eu-west-1", "eu-west-3"),
                models=("claude-sonnet-4-5",),
                concurrent=2,
                requests_per_minute=3,
                tokens_per_minute=4,
            ),
            "there": Placed("messages", messages=Messages(base_url="http://127.0.0.1:1")),
        }
    )
    eu, there = configured_fleet(settings, {})
    assert (eu.name, eu.engine.name, eu.simulated) == ("eu", "scripted", False)
    assert eu.regions == {"eu-west-1", "eu-west-3"}
    assert eu.models == {"anthropic.claude-sonnet-4-5-20250929-v1:0"}
    assert (eu.concurrent, eu.requests_per_minute, eu.tokens_per_minute) == (2, 3, 4)
    assert (there.name, there.engine.name, there.regions) == ("there", "messages/127.0.0.1:1", None)
    asyncio.run(there.engine.close())


def test_a_local_model_that_several_places_name_is_one_engine(tmp_path: Path):
    mine, other = Local(model_file=tmp_path / "mine.gguf"), Local(model_file=tmp_path / "other.gguf")
    settings = Settings(
        engines={
            "a": Placed("local", regions=("us-east-1",), local=mine),
            "b": Placed("local", regions=("eu-west-1",), local=mine),
            "c": Placed("local", regions=("eu-west-1",), local=other),
        }
    )
    a, b, c = configured_fleet(settings)
    assert a.engine is b.engine
    assert c.engine is not a.engine


def test_an_engine_that_cannot_be_made_names_its_reason_whichever_it_is():
    engines = {"a": Placed("scripted"), "b": Placed("messages", messages=Messages(api_key=Secret("env:NO")))}
    with pytest.raises(ConfigError, match="NO is not set"):
        configured_fleet(Settings(engines=engines), {})
