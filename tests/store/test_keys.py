"""The key file: what is in it, who may read it, and that nothing breaks it."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from outcrop.errors import OutcropError
from outcrop.store.keys import AccessKey, ApiKey, KeyFile
from outcrop.wire import bearer
from outcrop.wire.bearer import LongTermKey

NOW = 1_795_348_800


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys.json"


def open_keys(path: Path) -> KeyFile:
    return KeyFile(path, clock=lambda: NOW + 0.5)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def run(code: str, path: Path) -> subprocess.Popen[bytes]:
    script = f"from outcrop.store.keys import KeyFile; import os, signal\n{code}"
    return subprocess.Popen([sys.executable, "-c", script, str(path)], stderr=subprocess.PIPE)


def test_the_file_is_made_with_an_account_and_only_for_its_owner(path: Path) -> None:
    keys = open_keys(path)

    assert re.fullmatch(r"[1-9]\d{11}", keys.account)
    assert len(keys.session_secret) == 32
    assert keys.list() == ()
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert {mode(file) for file in path.parent.iterdir()} == {0o600}


def test_the_account_and_the_secret_stay(path: Path) -> None:
    first, second = open_keys(path), open_keys(path)

    assert first.account == second.account
    assert first.session_secret == second.session_secret


def test_an_access_key_looks_like_awss_and_is_found(path: Path) -> None:
    keys = open_keys(path)

    key = keys.create_access_key("alice", "laptop")

    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key.id)
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", key.secret)
    assert re.fullmatch(r"AIDA[A-Z2-7]{17}", key.user_id)
    assert key.arn == f"arn:aws:iam::{keys.account}:user/alice"
    assert (key.created, key.enabled, key.description) == (NOW, True, "laptop")
    assert keys.find(key.id) == key == open_keys(path).find(key.id)
    assert keys.find("AKIAUNKNOWN") is None
    assert keys.find_api_key(key.id) is None


def test_a_users_keys_have_one_user_id(path: Path) -> None:
    keys = open_keys(path)
    first, second, other = (keys.create_access_key(user) for user in ("alice", "alice", "bob"))
    api_key, _ = keys.create_api_key("alice")

    assert first.user_id == second.user_id == api_key.user_id != other.user_id


def test_of_an_api_key_only_the_hash_is_kept(path: Path) -> None:
    keys = open_keys(path)

    key, token = keys.create_api_key("alice", expires=NOW + 60)

    parsed = bearer.parse(token)
    assert isinstance(parsed, LongTermKey)
    assert (parsed.name, parsed.account) == (key.name, keys.account)
    assert key.digest == hashlib.sha256(parsed.secret.encode()).hexdigest()
    assert keys.find_api_key(key.name) == key
    assert key.expires == NOW + 60
    assert parsed.secret not in path.read_text()


def test_a_users_further_api_keys_are_numbered(path: Path) -> None:
    keys = open_keys(path)
    names = [keys.create_api_key("alice")[0].name for _ in range(3)]

    assert re.fullmatch(rf"BedrockAPIKey-[a-z0-9]{{4}}-at-{keys.account}", names[0])
    assert names[1:] == [f"{names[0]}+1", f"{names[0]}+2"]
    assert keys.create_api_key("bob")[0].name not in names


def test_an_api_key_without_a_user_gets_one_of_its_own(path: Path) -> None:
    keys = open_keys(path)
    first, second = keys.create_api_key()[0], keys.create_api_key()[0]

    assert first.user == first.name.partition("-at-")[0]
    assert first.user != second.user
    assert first.arn.endswith(f":user/{first.user}")


def test_a_revoked_key_is_listed_but_not_found(path: Path) -> None:
    keys = open_keys(path)
    access_key = keys.create_access_key("alice")
    api_key, _ = keys.create_api_key("alice")
    kept = keys.create_access_key("alice")

    revoked = keys.revoke(access_key.id)
    keys.revoke(api_key.name)
    keys.revoke(api_key.name)

    assert isinstance(revoked, AccessKey)
    assert not revoked.enabled
    assert keys.find(access_key.id) is None
    assert keys.find_api_key(api_key.name) is None
    assert keys.find(kept.id) == kept
    assert [key.enabled for key in keys.list()] == [False, True, False]
    assert [type(key) for key in keys.list()] == [AccessKey, AccessKey, ApiKey]


def test_revoking_what_is_not_there_is_told(path: Path) -> None:
    with pytest.raises(OutcropError, match="There is no key 'AKIANONE'") as refused:
        open_keys(path).revoke("AKIANONE")
    assert "outcrop keys list" in refused.value.fix


@pytest.mark.parametrize("user", ["", "a b", "a/b", "é", "a" * 65, "a\n"])
def test_a_user_needs_a_name_iam_would_take(path: Path, user: str) -> None:
    with pytest.raises(OutcropError, match="can't be the name of a user"):
        open_keys(path).create_access_key(user)


def test_a_change_is_seen_at_once_by_whoever_has_the_file_open(path: Path) -> None:
    server, cli = open_keys(path), open_keys(path)

    for _ in range(20):
        key = cli.create_access_key("alice")
        assert server.find(key.id) == key
        cli.revoke(key.id)
        assert server.find(key.id) is None


def test_a_change_is_seen_though_the_clock_stands_still(path: Path) -> None:
    server, cli = open_keys(path), open_keys(path)
    future = path.stat().st_mtime_ns + 10**13
    os.utime(path, ns=(future, future))
    assert server.list() == ()

    cli.create_access_key("alice")

    assert path.stat().st_mtime_ns > future
    assert len(server.list()) == 1


def test_nothing_is_read_again_while_nothing_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = open_keys(path)
    key = keys.create_access_key("alice")
    monkeypatch.setattr(KeyFile, "_read", lambda self: pytest.fail("read again"))

    assert keys.find(key.id) == key


def test_concurrent_writers_lose_nothing(path: Path) -> None:
    code = "import sys; keys = KeyFile(sys.argv[1])\nfor n in range(5): keys.create_access_key('alice')"
    writers = [run(code, path) for _ in range(4)]

    assert [writer.wait(30) for writer in writers] == [0] * 4

    keys = open_keys(path).list()
    assert len({key.id for key in keys if isinstance(key, AccessKey)}) == 20
    assert len({key.user_id for key in keys}) == 1
    for writer in writers:
        assert writer.stderr is not None
        writer.stderr.close()


@pytest.mark.parametrize("step", ["os.fsync", "os.replace"])
def test_a_writer_killed_half_way_leaves_the_old_keys(path: Path, step: str) -> None:
    key = open_keys(path).create_access_key("alice")
    before = path.read_bytes()
    code = (
        "import sys; keys = KeyFile(sys.argv[1])\n"
        f"{step} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "keys.create_access_key('bob')"
    )
    writer = run(code, path)
    assert writer.wait(30) == -signal.SIGKILL
    assert writer.stderr is not None
    writer.stderr.close()
    assert path.read_bytes() == before
    assert path.with_name("keys.json.new").exists()

    keys = open_keys(path)

    assert keys.list() == (key,)
    keys.create_access_key("carol")
    assert len(open_keys(path).list()) == 2
    assert not path.with_name("keys.json.new").exists()


def test_a_full_disk_leaves_the_old_keys(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = open_keys(path)
    key = keys.create_access_key("alice")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutcropError, match="can't be written: No space left on device"):
        keys.create_access_key("bob")

    assert keys.list() == (key,)
    assert sorted(file.name for file in path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


@pytest.mark.parametrize("bits", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(path: Path, bits: int) -> None:
    keys = open_keys(path)
    path.chmod(bits)

    for attempt in (lambda: open_keys(path), lambda: keys.find("AKIA")):
        with pytest.raises(OutcropError, match=f"open to others \\(mode {bits:04o}\\)") as refused:
            attempt()
        assert f"chmod 600 {path}" in refused.value.fix


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b'{"schema":1}',
        b'{"schema":"1"}',
        b'{"schema":1,"account":"123456789012","session_secret":"AAAA"}',
        b'{"schema":1,"account":"123456789012","session_secret":"' + b"A" * 44 + b'","more":1}',
        b'{"schema":1,"account":"123456789012","session_secret":"'
        + b"A" * 44
        + b'","access_keys":[{"id":"x"}]}',
    ],
)
def test_a_broken_file_is_told_with_the_way_out(path: Path, content: bytes) -> None:
    open_keys(path)
    path.write_bytes(content)

    with pytest.raises(OutcropError, match="is not a key file") as refused:
        open_keys(path)
    assert f"mv {path} {path}.broken" in refused.value.fix


def test_a_file_of_another_format_is_not_touched(path: Path) -> None:
    open_keys(path)
    path.write_bytes(msgspec.json.encode({"schema": 2, "something": "else"}))

    with pytest.raises(OutcropError, match="has format 2, and this version of Outcrop knows format 1"):
        open_keys(path)


def test_a_file_that_vanishes_is_told(path: Path) -> None:
    keys = open_keys(path)
    path.unlink()

    with pytest.raises(OutcropError, match="can't be read: No such file or directory"):
        keys.find("AKIA")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutcropError, match="can't be written"):
        open_keys(tmp_path / "file" / "keys.json")


def test_no_secret_shows_in_a_repr_or_an_error(path: Path) -> None:
    keys = open_keys(path)
    key = keys.create_access_key("alice")
    api_key, _ = keys.create_api_key("alice")

    assert key.secret not in repr(keys.list())
    assert api_key.digest not in repr(keys.list())
    path.write_text(path.read_text().replace('"enabled": true', '"enabled": "perhaps"', 1))
    with pytest.raises(OutcropError) as refused:
        keys.list()
    assert key.secret not in str(refused.value)
