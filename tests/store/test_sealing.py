"""Secrets at rest: they open with their key and for their owner only, and the key is made once."""

from __future__ import annotations

import base64
import os
import stat
import threading
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from outcrop.config.settings import Secret
from outcrop.errors import ConfigError, OutcropError
from outcrop.store.sealing import Sealer, master_key

KEY = bytes(range(32))
SECRET = b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ABOUT = "access key AKIAIOSFODNN7EXAMPLE"


@given(st.binary(max_size=200), st.text(max_size=50))
def test_what_is_sealed_opens(secret: bytes, about: str) -> None:
    try:
        about.encode()
    except UnicodeEncodeError:
        return
    assert Sealer(KEY).open(Sealer(KEY).seal(secret, about), about) == secret


def test_nothing_shows_of_what_is_sealed() -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(SECRET, ABOUT)
    raw = base64.b64decode(sealed.split(".")[2])

    assert SECRET not in raw
    assert ABOUT.encode() not in raw
    assert sealed != sealer.seal(SECRET, ABOUT)
    assert KEY.hex() not in repr(sealer) + sealed
    assert sealed.isascii()


def test_the_form_stays() -> None:
    sealed = Sealer(KEY, lambda size: b"\x07" * size).seal(b"secret", "it")

    assert sealed == "v1.57a1554a.BwcHBwcHBwcHBwcHfA/FLgp7Aq6+IqzOJRveOTUjrl7ySw=="
    assert Sealer(KEY).open(sealed, "it") == b"secret"


def test_another_owner_does_not_open_it() -> None:
    sealed = Sealer(KEY).seal(SECRET, ABOUT)

    with pytest.raises(OutcropError, match="belongs to something else"):
        Sealer(KEY).open(sealed, "access key AKIAOTHER")


def test_another_master_key_does_not_open_it_and_the_text_says_so() -> None:
    sealed = Sealer(KEY).seal(SECRET, ABOUT)

    with pytest.raises(OutcropError, match=r"sealed with master key \w{8}, and this one is \w{8}") as refused:
        Sealer(bytes(32)).open(sealed, ABOUT)
    assert "data.secret_key" in refused.value.fix


def test_no_flipped_bit_opens_it() -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal(SECRET, ABOUT).rstrip("=")[:-1]  # the last digit has bits without a meaning
    for place in range(len(sealed)):
        for bit in range(7):
            other = sealed[:place] + chr(ord(sealed[place]) ^ (1 << bit)) + sealed[place + 1 :] + "A=="
            with pytest.raises(OutcropError) as refused:
                sealer.open(other, ABOUT)
            assert SECRET.decode() not in str(refused.value)


@pytest.mark.parametrize("text", ["", "v1", "v1.", "v2.x.y", "plain", "v1.57a1554a.", "v1.57a1554a.AAAA"])
def test_what_never_was_sealed_is_an_error_in_words(text: str) -> None:
    with pytest.raises(OutcropError, match=ABOUT):
        Sealer(KEY).open(text, ABOUT)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_no_key(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(bytes(size))


# ── the master key ────────────────────────────────────────────────────────────────────────────────


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    old = os.umask(0)
    try:
        key = master_key(folder, None, {})
    finally:
        os.umask(old)

    assert len(key) == 32
    assert master_key(folder, None, {}) == key
    assert stat.S_IMODE((folder / "master.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [file.name for file in folder.iterdir()] == ["master.key"]


def test_threads_that_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    barrier, keys = threading.Barrier(8), []

    def make() -> None:
        barrier.wait()
        keys.append(master_key(tmp_path / "data", None, {}))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("bits", [0o640, 0o604])
def test_a_key_that_is_open_to_others_is_refused(tmp_path: Path, bits: int) -> None:
    master_key(tmp_path, None, {})
    (tmp_path / "master.key").chmod(bits)

    with pytest.raises(OutcropError, match="open to others") as refused:
        master_key(tmp_path, None, {})
    assert "chmod 600" in refused.value.fix


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 32, base64.b64encode(bytes(31))])
def test_a_file_that_holds_no_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    master_key(tmp_path, None, {})
    (tmp_path / "master.key").write_bytes(content)

    with pytest.raises(OutcropError, match=r"master\.key is not a master key"):
        master_key(tmp_path, None, {})
    assert (tmp_path / "master.key").read_bytes() == content


@pytest.mark.parametrize("text", [KEY.hex(), KEY.hex().upper() + "\n", base64.b64encode(KEY).decode()])
def test_it_may_come_from_the_environment_or_a_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "elsewhere").write_text(text)

    assert master_key(tmp_path / "data", Secret("env:NAME"), {"NAME": text}) == KEY
    assert master_key(tmp_path / "data", Secret(f"file:{tmp_path / 'elsewhere'}"), {}) == KEY
    assert not (tmp_path / "data").exists()


def test_one_from_elsewhere_that_is_none_is_named_but_not_shown(tmp_path: Path) -> None:
    with pytest.raises(OutcropError, match="env:NAME is not a master key") as refused:
        master_key(tmp_path, Secret("env:NAME"), {"NAME": "hunter2"})
    assert "hunter2" not in str(refused.value)
    assert "openssl rand" in refused.value.fix
    with pytest.raises(ConfigError, match="NAME"):
        master_key(tmp_path, Secret("env:NAME"), {})


def test_a_folder_that_can_not_be_written_is_an_error_in_words(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OutcropError, match=r"master\.key can't be written"):
        master_key(tmp_path / "file", None, {})
