"""What the commands make of several engines by name: the doctor sees each, a model is fetched if needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outcrop.cli import model
from outcrop.config import Local, Placed, Settings

TWO = """
[engines.eu]
kind = "scripted"
regions = ["eu-west-1"]

[engines.us]
kind = "scripted"
regions = ["us-east-1"]
scripted.answers = "nothing.json"
"""


def test_the_doctor_looks_at_every_engine_and_says_which(cli):
    Path("outcrop.toml").write_text(TWO)
    rows = json.loads(cli("doctor", "--output", "json", code=1).stdout)
    found = {row["subject"]: row for row in rows}
    assert found["engines.eu"]["status"] == "ok"
    assert found["engines.us"]["status"] == "fail"
    assert found["engines"]["status"] == "warn"
    assert "No engine stands in bedrock.region" in found["engines"]["saw"]
    assert "engine" not in found


@pytest.mark.parametrize(
    ("engines", "fetched"),
    [
        ({"a": Placed("scripted"), "b": Placed("local")}, True),
        ({"a": Placed("scripted"), "b": Placed("local", local=Local(model_file=Path("m.gguf")))}, False),
        ({"a": Placed("scripted")}, False),
        ({}, True),
    ],
)
def test_the_default_model_is_fetched_when_any_engine_needs_it(engines, fetched, monkeypatch):
    asked = []
    monkeypatch.setattr(model.models, "located", lambda _: None)
    monkeypatch.setattr(model, "fetch", asked.append)
    model.pull_if_missing(Settings(engines=engines))
    assert bool(asked) == fetched
