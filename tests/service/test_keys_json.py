"""The keys of an older version: taken over once, by whoever comes first, and never by halves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from outcrop.errors import OutcropError
from outcrop.service.iam.presets import PRESETS
from outcrop.service.keys_json import kept_file, old_file, take_over
from outcrop.service.principals import AccessKey, ApiKey, Principals
from outcrop.store.sqlite import SqliteStore
from people import PlainSealer, principals

ACCOUNT = "123456789012"
ARN = f"arn:aws:iam::{ACCOUNT}:user"
NAME = f"BedrockAPIKey-ab12-at-{ACCOUNT}"
OLD = {
    "schema": 1,
    "account": ACCOUNT,
    "session_secret": "A" * 43 + "=",
    "access_keys": [
        {
            "id": "AKIALOCAL",
            "secret": "secret-l",
            "user": "local",
            "arn": f"{ARN}/local",
            "user_id": "AIDALOCAL",
            "created": 20,
            "description": "made on first start",
        },
        {
            "id": "AKIALEFT",
            "secret": "secret-x",
            "user": "local",
            "arn": f"{ARN}/local",
            "user_id": "AIDALOCAL",
            "created": 10,
            "enabled": False,
        },
    ],
    "api_keys": [
        {
            "name": NAME,
            "digest": "d" * 64,
            "user": "carol",
            "arn": f"{ARN}/carol",
            "user_id": "AIDACAROL",
            "created": 30,
            "expires": 99,
        }
    ],
}


def write(folder: Path, content: object = OLD, mode: int = 0o600) -> Path:
    path = old_file(folder)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def taken(folder: Path) -> bool:
    store = SqliteStore(folder / "state.db")
    try:
        return take_over(folder, store, PlainSealer())
    finally:
        store.close()


def opened(folder: Path) -> Principals:
    return principals(folder)


def test_every_key_is_there_and_every_user_may_do_everything(tmp_path: Path) -> None:
    write(tmp_path)

    assert taken(tmp_path)

    people = opened(tmp_path)
    assert people.account == ACCOUNT
    assert people.session_secret(people.store.snapshot()) == bytes(32)
    left, local, carol = people.keys()
    assert isinstance(local, AccessKey)
    assert (people.secret(local), local.enabled, local.description) == (
        "secret-l",
        True,
        "made on first start",
    )
    assert not left.enabled
    assert carol == ApiKey(NAME, "d" * 64, f"{ARN}/carol", 30, 99)
    told = {user.name: (user.user_id, user.created, user.policies) for user in people.users()}
    everything = {"everything": PRESETS["everything"]}
    assert told == {"local": ("AIDALOCAL", 10, everything), "carol": ("AIDACAROL", 30, everything)}
    assert sorted(file.name for file in tmp_path.glob("keys*")) == ["keys.json.imported"]


def test_it_happens_once(tmp_path: Path) -> None:
    assert not taken(tmp_path)
    write(tmp_path)
    assert taken(tmp_path)
    assert not taken(tmp_path)


def test_whoever_was_killed_before_the_renaming_goes_on_there(tmp_path: Path) -> None:
    write(tmp_path)
    taken(tmp_path)
    kept_file(tmp_path).rename(old_file(tmp_path))
    opened(tmp_path).revoke("AKIALOCAL")

    assert taken(tmp_path)

    known = opened(tmp_path).keys()
    assert [key.enabled for key in known] == [False, False, True]
    assert not old_file(tmp_path).exists()


def test_processes_that_start_together_take_over_once(tmp_path: Path) -> None:
    write(tmp_path)
    code = (
        "import sys; from pathlib import Path; from people import PlainSealer, principals\n"
        "from outcrop.service.keys_json import take_over; from outcrop.store.sqlite import SqliteStore\n"
        "folder = Path(sys.argv[1]); store = SqliteStore(folder / 'state.db')\n"
        "print(take_over(folder, store, PlainSealer())); principals(folder)"
    )
    here = str(Path(__file__).parents[1])
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=here
        )
        for _ in range(4)
    ]
    said = [process.communicate(timeout=30)[0].strip() for process in started]

    assert sorted(said) == ["False", "False", "False", "True"]
    assert opened(tmp_path).account == ACCOUNT
    assert len(opened(tmp_path).keys()) == 3


def test_a_file_of_another_installation_is_left_alone(tmp_path: Path) -> None:
    people = opened(tmp_path)
    path = write(tmp_path)

    with pytest.raises(OutcropError, match=f"is of account {ACCOUNT}, and this data folder's state of"):
        taken(tmp_path)

    assert path.exists()
    assert people.keys() == ()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, mode=mode)

    with pytest.raises(OutcropError, match=f"open to others \\(mode {mode:04o}\\)") as refused:
        taken(tmp_path)
    assert f"chmod 600 {path}" in refused.value.fix


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        {"schema": 1},
        OLD | {"schema": 2},
        OLD | {"more": 1},
        OLD | {"session_secret": "AAAA"},
        OLD | {"access_keys": [{"id": "x"}]},
    ],
)
def test_a_broken_file_is_told_with_the_way_out(tmp_path: Path, content: object) -> None:
    path = write(tmp_path, content)

    with pytest.raises(OutcropError, match="is not a key file") as refused:
        taken(tmp_path)

    assert f"mv {path} {path}.broken" in refused.value.fix
    assert opened(tmp_path).keys() == ()


def test_no_secret_shows_in_an_error(tmp_path: Path) -> None:
    write(tmp_path, json.dumps(OLD).replace('"created": 20', '"created": "secret-l"'))
    with pytest.raises(OutcropError) as refused:
        taken(tmp_path)
    assert "secret-l" not in str(refused.value)
