"""kill -9 in the middle of every kind of write of the service: what was acknowledged is there, no half is.

What a writer says it did is told as the records that it changed; the state must hold exactly those. Of what a
writer was at, the state must hold nothing, or all that belongs to it: see `WHOLE`, to which every write that
was acknowledged is held, too. OUTCROP_PROVE=1 kills two hundred times for each family of writes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import pytest

from outcrop.catalog import Catalog, quotas
from outcrop.catalog.prices import Tokens
from outcrop.service.iam.presets import PRESETS
from outcrop.service.keys_json import kept_file, old_file
from outcrop.service.principals import AccessKey, Account, ApiKey, Installation, Principals, User
from outcrop.service.profiles import Profiles
from outcrop.service.quota import arithmetic
from outcrop.service.quota.limits import QuotaLimit
from outcrop.store.counters import Counters
from outcrop.store.sealing import Sealer, master_key
from outcrop.store.sqlite import STATE, SqliteStore
from outcrop.wire import bearer
from service.calls import NOON, call
from service.test_keys_json import OLD
from service.writers import (
    CALLER,
    COUNTERS,
    RESERVED,
    State,
    creation,
    difference,
    first_key,
    of_place,
    prepared,
    put,
    state_of,
)
from store.killing import PROVE, Told, killed, rounds

# How a record changes: its kind, its key ("?" for one that is drawn), and whether it comes, changes or goes.
Shape: TypeAlias = "Counter[tuple[str, str, str]]"

_DRAWN = ("access-key", "api-key", "application-profile")


def shape(before: State, changes: list[tuple[str, Any]]) -> Shape:
    """How records differ from those before."""
    found: Shape = Counter()
    for name, value in changes:
        kind, _, key = name.partition(" ")
        how = "comes" if name not in before else "goes" if value is None else "changes"
        drawn = how == "comes" and (kind in _DRAWN or "/BedrockAPIKey-" in key)
        found[kind, "?" if drawn else key, how] += 1
    return found


# ── what a write consists of ──────────────────────────────────────────────────────────────────────────────


def _one(kind: str, how: str) -> Callable[..., Shape]:
    """A write of one record, which is named by the first argument."""
    return lambda _, key, *__: Counter({(kind, key, how): 1})


def _owner(_: State, who: str) -> Shape:
    kind = "user" if ":user/" in who else "role" if ":role/" in who else "account"
    return Counter({(kind, who, "changes"): 1})


def _key(kind: str) -> Callable[[State, str], Shape]:
    """A key comes, and its user with it, unless it is there."""

    def whole(before: State, arn: str) -> Shape:
        user = Counter({("user", arn, "comes"): 1} if f"user {arn}" not in before else {})
        return user + Counter({(kind, "?", "comes"): 1})

    return whole


def _key_and_user(_: State, __: str) -> Shape:
    return Counter({("user", "?", "comes"): 1, ("api-key", "?", "comes"): 1})


def _revoked(before: State, key: str) -> Shape:
    kind = "access-key" if f"access-key {key}" in before else "api-key"
    return Counter({(kind, key, "changes"): 1})


def _principal_goes(before: State, arn: str) -> Shape:
    """Its keys are revoked, and no role trusts it any more."""
    found = Counter({("user" if ":user/" in arn else "role", arn, "goes"): 1})
    for name, value in before.items():
        kind, _, key = name.partition(" ")
        trusting = kind == "role" and key != arn and arn in _trusted(value)
        if trusting or (value.get("owner") == arn and value["enabled"]):
            found[kind, key, "changes"] += 1
    return found


def _trusted(role: dict[str, Any]) -> list[str]:
    named: list[str] = json.loads(role["trust"])["Statement"]["Principal"]["AWS"]
    return named


def _account_goes(before: State, account: str) -> Shape:
    """And all that is only its own."""
    found = Counter({("account", account, "goes"): 1})
    for name, value in before.items():
        if value.get("account") == account:
            kind, _, key = name.partition(" ")
            found[kind, key, "goes"] += 1
    return found


def _furnished(_: State, account: str) -> Shape:
    names = [("use-case", account), ("agreement", f"{account}/m"), ("quota-limit", f"{account}/*/*/*/rpm")]
    return Counter([(kind, key, "comes") for kind, key in names])


def _form(before: State, account: str) -> Shape:
    return Counter({("use-case", account, "changes" if f"use-case {account}" in before else "comes"): 1})


def _requested(before: State, account: str, models: list[str]) -> Shape:
    """The form with the agreements that are not there yet."""
    new = [f"{account}/{model}" for model in models if f"agreement {account}/{model}" not in before]
    return _form(before, account) + Counter([("agreement", key, "comes") for key in new])


def _decided(how: str) -> Callable[[State, str, list[str]], Shape]:
    def whole(before: State, account: str, models: list[str]) -> Shape:
        found: Shape = Counter()
        for key in (f"{account}/{model}" for model in models):
            known = before.get(f"agreement {key}")
            if known is None or known["how"] != how:
                found["agreement", key, "comes" if known is None else "changes"] += 1
        return found

    return whole


def _agreement(how: str) -> Callable[[State, str, list[str]], Shape]:
    return lambda _, account, models: Counter([("agreement", f"{account}/{model}", how) for model in models])


def _limit_set(before: State, key: str) -> Shape:
    return Counter({("quota-limit", key, "changes" if f"quota-limit {key}" in before else "comes"): 1})


# what is done, and how a state then differs from the one before
WHOLE: dict[str, Callable[..., Shape]] = {
    "create account": _one("account", "comes"),
    "delete account": _account_goes,
    "furnish": _furnished,
    "create user": _one("user", "comes"),
    "delete user": _principal_goes,
    "create role": _one("role", "comes"),
    "delete role": _principal_goes,
    "set trust": _one("role", "changes"),
    "set policy": _owner,
    "remove policy": _owner,
    "set boundary": _owner,
    "bind": _owner,
    "create access key": _key("access-key"),
    "create API key": _key("api-key"),
    "create API key with a user": _key_and_user,
    "revoke": _revoked,
    "request": _requested,
    "grant": _decided("granted by operator"),
    "revoke models": _decided("revoked by operator"),
    "first use": _agreement("comes"),
    "put form": _form,
    "create agreement": _agreement("comes"),
    "delete agreement": _agreement("goes"),
    "create profile": lambda *_: Counter({("application-profile", "?", "comes"): 1}),
    "create profile again": lambda *_: Counter(),
    "delete profile": _one("application-profile", "goes"),
    "tag profile": _one("application-profile", "changes"),
    "untag profile": _one("application-profile", "changes"),
    "set limit": _limit_set,
    "unset limit": _one("quota-limit", "goes"),
}


# ── what was told, and what is there ──────────────────────────────────────────────────────────────────────


class Witness:
    """What was acknowledged, round after round, and the secrets that were given out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with self._opened() as (store, principals):
            self._account = principals.account
            self._known = _all_places(store)
        self._secrets: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self.done: Counter[str] = Counter()
        self.absent: Counter[str] = Counter()
        self.whole: Counter[str] = Counter()

    def look(self, told: list[Told]) -> None:
        """Open the state after a kill, and compare."""
        for each in told:
            for what, _, *arguments, given, changes in each.done:
                assert shape(self._known, changes) == WHOLE[what](self._known, *arguments), what
                self._apply(changes)
                self._keep(what, given)
                self.done[what] += 1
        with self._opened() as (store, principals):
            found = _all_places(store)
            for each in told:
                if each.begun is not None:
                    self._judge(found, *each.begun)
            assert found == self._known
            self._check_secrets(store, principals)
            self._check_owners(found)
            self._ask_again(store, told)
        _check_files(self._folder)

    def _judge(self, found: State, what: str, place: str, *arguments: Any) -> None:
        """What was begun is wholly there or not at all."""
        changes = difference(of_place(self._known, place), of_place(found, place))
        if not changes:
            self.absent[what] += 1
            return
        assert shape(self._known, changes) == WHOLE[what](self._known, *arguments), what
        self._apply(changes)
        self.whole[what] += 1

    def _apply(self, changes: list[tuple[str, Any]]) -> None:
        for name, value in changes:
            if value is None:
                del self._known[name]
            else:
                self._known[name] = value

    def _keep(self, what: str, given: Any) -> None:
        if what == "create access key":
            self._secrets[given[0]] = given[1]
        elif what.startswith("create API key"):
            key = bearer.parse(given)
            assert isinstance(key, bearer.LongTermKey)
            self._tokens[key.name] = hashlib.sha256(key.secret.encode()).hexdigest()

    def _check_secrets(self, store: SqliteStore, principals: Principals) -> None:
        """Every secret can be unsealed, and those that were given out are what they were."""
        state = store.snapshot()
        found = {key.id: principals.secret(key) for key in state.all(AccessKey)}
        assert self._secrets.items() <= found.items()
        assert self._tokens.items() <= {key.name: key.digest for key in state.all(ApiKey)}.items()
        assert principals.account == self._account
        assert len(principals.session_secret(state)) == 32

    def _check_owners(self, found: State) -> None:
        """Nobody without an account, no key that works without its user."""
        for name, value in found.items():
            if value.get("enabled"):
                assert f"user {value['owner']}" in found, name
            if "account" in value:
                assert f"account {value['account']}" in found, name

    def _ask_again(self, store: SqliteStore, told: list[Told]) -> None:
        """A client that got no answer to its request for a profile sends it again: then there is one."""
        for each in told:
            if each.begun is not None and each.begun[0] == "create profile":
                _, _, account, name = each.begun
                made = Profiles(Catalog.load("guide"), store, time.time, _randomness)
                asked = call("CreateInferenceProfile", account=account, body=creation(name))
                reply = asyncio.run(_handled(made.handlers["CreateInferenceProfile"](asked)))
                arn = msgspec.json.decode(reply.body)["inferenceProfileArn"]
                found = _all_places(store)
                there = [key for key, value in found.items() if value.get("name") == name]
                assert there == [f"application-profile {arn}"]
                assert difference(self._known, found) in ([], [(there[0], found[there[0]])])
                self._known = found

    @contextmanager
    def _opened(self) -> Iterator[tuple[SqliteStore, Principals]]:
        with closing(SqliteStore(self._folder / STATE)) as store:
            yield store, Principals(store, Sealer(master_key(self._folder, None, {})))


async def _handled(handler: Any) -> Any:
    return await handler


def _randomness(size: int) -> bytes:
    return hashlib.shake_128(str(time.time_ns()).encode()).digest(size)


def _all_places(store: SqliteStore) -> State:
    """The records of every writer; the installation's own account is nobody's."""
    found = state_of(store.snapshot())
    return {name: value for number in range(10) for name, value in of_place(found, f"{number:02d}").items()}


def _check_files(folder: Path) -> None:
    with closing(sqlite3.connect(folder / STATE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.parametrize("writer", ["people", "keys", "access", "profiles", "limits"])
def test_writes_are_whole_and_what_was_acknowledged_is_there(tmp_path: Path, writer: str) -> None:
    """Every second time three write at once."""
    witness = Witness(tmp_path)
    for seed in rounds(2, 200):
        witness.look(
            killed(f"service.writers:{writer}", tmp_path, seed=seed, children=1 + seed % 2 * 2, longest=0.25)
        )
    assert witness.done
    # for whoever proves it, with -s
    print(writer, "acknowledged:", dict(witness.done))
    print("  killed, and absent:", dict(witness.absent), "whole:", dict(witness.whole))
    if PROVE:
        assert witness.absent
        assert witness.whole


# ── the beginning ─────────────────────────────────────────────────────────────────────────────────────────

_HOME = {"state.db", "state.db-wal", "state.db-shm", "state.db-seen", "master.key"}


def _check_begun(place: Path) -> None:
    """No installation without its account, no user without a key, and the other way about."""
    if not (place / STATE).exists():
        return
    with closing(SqliteStore(place / STATE)) as store:
        state = store.snapshot()
        counts = [len(state.all(kind)) for kind in (Installation, Account, User, AccessKey)]
        assert counts in ([0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1])
        if counts[0]:
            assert (place / "master.key").exists()


@pytest.mark.parametrize("children", [1, 3])
def test_a_first_start_is_gone_on_with(tmp_path: Path, children: int) -> None:
    started = 0
    for seed in rounds(1, 100):
        folder = tmp_path / str(seed)
        folder.mkdir()
        told = killed("service.writers:installs", folder, seed=seed, children=children, longest=0.3)
        given = {name: first for each in told for name, first in each.done}
        for each in told:
            assert all(given[name] == first for name, first in each.done)  # all were told the same
        for place in folder.iterdir():
            _check_begun(place)
            first = first_key(place)
            assert given.get(place.name, first) == first
            with closing(SqliteStore(place / STATE)) as store:
                state = store.snapshot()
                (user,) = state.all(User)
                assert user.policies == {"everything": PRESETS["everything"]}
                assert [key.id for key in state.all(AccessKey)] == [first[1]]
            assert {file.name for file in place.iterdir()} <= _HOME
            _check_files(place)
        started += len(given)
    assert started > 0


def _prepare(folder: Path, count: int) -> None:
    for number in range(count):
        place = folder / str(number)
        place.mkdir(parents=True, mode=0o700)
        old_file(place).write_text(json.dumps(OLD))
        old_file(place).chmod(0o600)


@pytest.mark.parametrize("children", [1, 3])
def test_the_keys_of_an_older_version_are_taken_over_whole(tmp_path: Path, children: int) -> None:
    taken = 0
    for seed in rounds(1, 100):
        folder = tmp_path / str(seed)
        _prepare(folder, 60)
        told = killed("service.writers:take_overs", folder, seed=seed, children=children, longest=0.3)
        done = {name for each in told for name, _ in each.done}
        begun = done | {each.begun for each in told if each.begun}
        for place in prepared(folder):
            if place.name in begun:
                _check_taken_over(place, acknowledged=place.name in done)
        taken += len(done)
    assert taken > 0


def _check_taken_over(place: Path, *, acknowledged: bool) -> None:
    if (place / STATE).exists():
        with closing(SqliteStore(place / STATE)) as store:
            state = store.snapshot()
            counts = [len(state.all(kind)) for kind in (Installation, Account, User, AccessKey, ApiKey)]
        assert counts in (([1, 1, 2, 2, 1],) if acknowledged else ([0] * 5, [1, 1, 2, 2, 1]))
        assert counts[0] or old_file(place).exists()
    assert old_file(place).exists() != kept_file(place).exists()
    assert not (acknowledged and old_file(place).exists())
    assert first_key(place) == [OLD["account"], "AKIALOCAL", "secret-l"]
    assert json.loads(kept_file(place).read_text()) == OLD
    with closing(SqliteStore(place / STATE)) as store:
        principals = Principals(store, Sealer(master_key(place, None, {})))
        pairs = store.snapshot().all(AccessKey)
        secrets = {key.id: principals.secret(key) for key in pairs}
        assert secrets == {key["id"]: key["secret"] for key in OLD["access_keys"]}
        assert [key.id for key in pairs if not key.enabled] == ["AKIALEFT"]
        assert all(user.policies == {"everything": PRESETS["everything"]} for user in principals.users())
    # killed between two names, it leaves an empty lock
    assert {file.name for file in place.iterdir()} <= _HOME | {"keys.json.imported", "keys.json.lock"}
    _check_files(place)


# ── reservations ──────────────────────────────────────────────────────────────────────────────────────────

_LIMIT = 12_000
_SMALL = 3_000


class Taken(NamedTuple):
    """What a bucket holds, or what is added to it."""

    requests: int = 0
    minute: int = 0
    day: int = 0

    def plus(self, *others: Taken) -> Taken:
        return Taken(*map(sum, zip(self, *others, strict=True)))


def _charged(bucket: list[str], usage: dict[str, int]) -> int:
    tokens = Tokens(usage["input_tokens"], usage["output_tokens"])
    return arithmetic.charge(tokens, quotas.burndown(bucket[1]))


def _possible(bucket: list[str], stage: str, usage: dict[str, int]) -> list[Taken]:
    """What one that was killed may have taken.

    While it is counted in, each of the three may be there without the others; while it is settled, the
    minute may have what it came to and the day what was reserved.
    """
    if stage == "held":
        either = RESERVED, _charged(bucket, usage)
        return [Taken(1, minute, day) for minute in either for day in either]
    return [Taken(*each) for each in product((0, 1), (0, RESERVED), (0, RESERVED))]


class Ledger:
    """What was acknowledged of the counters of a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / COUNTERS
        self._taken: dict[str, Taken] = {}
        self.stages: Counter[str] = Counter()

    def look(self, told: list[Told]) -> None:
        killed: dict[str, list[list[Taken]]] = {}
        for each in told:
            for bucket, stage, usage in each.done:
                self.stages[stage] += 1
                if stage == "charged":
                    tokens = _charged(bucket, usage)
                    self._add("/".join(bucket), Taken(1, tokens, tokens))
            if each.begun is not None:
                self.stages[f"killed while {each.begun[1]}"] += 1
                killed.setdefault("/".join(each.begun[0]), []).append(_possible(*each.begun))
        with closing(Counters(self._path)) as counters:
            for key in {*counters.keys(), *self._taken}:
                used = Taken(*counters.used(key, NOON.timestamp()))
                known = self._taken.get(key, Taken())
                assert used in {known.plus(*more) for more in product(*killed.get(key, []))}
                assert used.minute <= (_SMALL if "haiku" in key else _LIMIT)
                self._taken[key] = used
        assert not self._path.with_name(f"{COUNTERS}.broken").exists()

    def _add(self, key: str, more: Taken) -> None:
        self._taken[key] = self._taken.get(key, Taken()).plus(more)


def test_reservations_are_counted_whoever_dies(tmp_path: Path) -> None:
    """One or four at once; several runs go on from the one before."""
    stages: Counter[str] = Counter()
    for first in rounds(1, 50):
        folder = tmp_path / str(first)
        folder.mkdir()
        _set_limits(folder)
        ledger = Ledger(folder)
        for seed in range(first * 4, first * 4 + 4):
            ledger.look(
                killed(
                    "service.writers:reservations", folder, seed=seed, children=1 + seed % 2 * 3, longest=0.15
                )
            )
        stages += ledger.stages
    print("reservations:", dict(stages))
    assert stages["charged"]
    assert stages["refused"] or not PROVE
    assert stages["killed while held"] or not PROVE


def _set_limits(folder: Path) -> None:
    haiku = [model.id for model in Catalog.load("guide").models if "haiku" in model.id]
    with closing(SqliteStore(folder / STATE)) as store:
        limits = (
            QuotaLimit("*", "*", "*", "*", "rpm"),
            QuotaLimit("*", "*", "*", "*", "tpm", _LIMIT),
            *(QuotaLimit(CALLER, model, "*", "*", "tpm", _SMALL) for model in haiku),
        )
        store.change(partial(put, limits))
    with closing(Counters(folder / COUNTERS)) as counters:
        assert counters.keys() == ()  # the file is made: what nobody has begun, a kill may leave broken
