"""Every kind of write of the service, done for ever by a process that is about to be killed: `store.killing`.

Several processes write into one data folder. Each holds a place in it while it lives, and changes only what
is of that place's accounts (their ids begin with it); so whoever looks afterwards can tell whose each record
is. What one tells is `[what, place, arguments…]`, and when it is done what was given out (a secret, an ARN)
and what differs in the state since.
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import itertools
import json
import os
import random
import time
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from outcrop.catalog import Catalog, Model
from outcrop.cli.group import outcrop
from outcrop.cli.keys import own_key, principals_of
from outcrop.config import Settings
from outcrop.config.settings import Data
from outcrop.engine import Question, Whole
from outcrop.errors import ThrottlingException
from outcrop.ids import is_account
from outcrop.service.access import Access, Agreement, UseCase
from outcrop.service.call import Call, Outcome, Target
from outcrop.service.principals import AccessKey, Account, ApiKey, Principals, Role, User
from outcrop.service.profiles import ApplicationProfile, Profiles
from outcrop.service.quota import estimate
from outcrop.service.quota.limits import QuotaLimit
from outcrop.service.quota.step import Quotas
from outcrop.store import Reading, Record, Transaction
from outcrop.store.counters import Counters
from outcrop.store.sealing import Sealer, master_key
from outcrop.store.sqlite import STATE, SqliteStore
from outcrop.wire.http import Reply
from people import allowing, trusting
from service.calls import NOON, call
from store.killing import Tell

# a record's kind and key, and what it holds
State: TypeAlias = dict[str, dict[str, Any]]
Change: TypeAlias = tuple[str, dict[str, Any] | None]
T = TypeVar("T")

KINDS: tuple[type[Record], ...] = (
    Account,
    User,
    Role,
    AccessKey,
    ApiKey,
    Agreement,
    UseCase,
    ApplicationProfile,
    QuotaLimit,
)
SOURCE = "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"


def state_of(reading: Reading) -> State:
    """Every record, as plain values."""
    return {
        f"{kind.KIND} {record.key}": json.loads(msgspec.json.encode(record))
        for kind in KINDS
        for record in reading.all(kind)
    }


def place_of(account: str) -> str:
    """The place that an account is of. No account that an installation draws begins with a zero."""
    return account[:2]


def difference(before: State, after: State) -> list[Change]:
    """What has come or changed, with what it holds now, and what has gone."""
    names = sorted(before.keys() | after.keys())
    return [(name, after.get(name)) for name in names if before.get(name) != after.get(name)]


def _owner_account(value: dict[str, Any]) -> str:
    """The account of a record. An access key's own id does not tell it."""
    if "owner" in value:
        return str(value["owner"]).split(":")[4]
    return str(value["account"] if "account" in value else value["id"])


def of_place(state: State, place: str) -> State:
    """The records of one place."""
    return {name: value for name, value in state.items() if place_of(_owner_account(value)) == place}


class Desk:
    """One writer: its place, its store, and what it knows of its records."""

    def __init__(self, folder: Path, tell: Tell, chance: random.Random) -> None:
        self.chance = chance
        self.place = _place(folder)
        self.store = SqliteStore(folder / STATE)
        self.principals = Principals(self.store, Sealer(master_key(folder, None, {})))
        self.known = self._mine()
        self._tell = tell
        self._numbers = itertools.count()
        self._own = f"{os.getpid():x}{chance.getrandbits(24):06x}"

    def do(self, what: str, *arguments: Any, by: Callable[[], Any]) -> None:
        """Tell that it begins, do it, tell that it is done, and what it gave out: a text, or texts."""
        self._tell.begin([what, self.place, *arguments])
        result = by()
        given = result if isinstance(result, str | list) else None
        after = self._mine()
        self._tell.done([what, self.place, *arguments, given, difference(self.known, after)])
        self.known = after

    def name(self) -> str:
        """One that nobody has used before."""
        return f"n{self._own}{next(self._numbers)}"

    def some(self, kind: type[Record], **like: Any) -> list[dict[str, Any]]:
        """The records of a kind in this place, those with these members."""
        found = [value for name, value in self.known.items() if name.startswith(f"{kind.KIND} ")]
        return [each for each in found if like.items() <= each.items()]

    def account(self) -> str:
        """An account of this place, made when there is none."""
        there = self.some(Account)
        if not there or (len(there) < 3 and self.chance.random() < 0.1):
            account = f"{self.place}{self.chance.randrange(10**10):010d}"
            self.do(
                "create account",
                account,
                by=lambda: self.principals.create_account(self.name(), account),
            )
            return account
        return str(self.chance.choice(there)["id"])

    def _mine(self) -> State:
        return of_place(state_of(self.store.snapshot()), self.place)


def _place(folder: Path) -> str:
    """A place that nobody has who lives: the lock on it ends with the process."""
    for number in range(100):
        lock = os.open(folder / f"place {number}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
        else:
            return f"{number:02d}"
    raise AssertionError("every place is taken")


def _for_ever(desk: Desk, writes: tuple[Callable[[Desk], None], ...]) -> None:
    while True:
        desk.chance.choice(writes)(desk)


# ── principals and their keys ─────────────────────────────────────────────────────────────────────────────


def people(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Accounts, users and roles, what they may do, and all of them deleted again."""
    _for_ever(Desk(folder, tell, chance), _PEOPLE)


def keys(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Keys for users there are and for new ones, revoked by themselves and with their users."""
    _for_ever(Desk(folder, tell, chance), _KEYS)


def _arn(value: dict[str, Any]) -> str:
    kind = "user" if "user_id" in value else "role"
    return f"arn:aws:iam::{value['account']}:{kind}/{value['name']}"


def _somebody(desk: Desk) -> str | None:
    """A user's or a role's ARN."""
    there = desk.some(User) + desk.some(Role)
    return _arn(desk.chance.choice(there)) if there else None


def _anybody(desk: Desk) -> str:
    """Somebody's ARN, or an account's id."""
    return _somebody(desk) or desk.account()


def _trust(desk: Desk) -> str:
    """A trust policy that names one or two of this place, and one that no other names."""
    named = [arn for arn in (_somebody(desk), _somebody(desk)) if arn is not None]
    return trusting(*dict.fromkeys(named), f"arn:aws:iam::{desk.account()}:user/{desk.name()}")


def _policy(desk: Desk) -> str:
    return allowing("bedrock:InvokeModel", resource=f"arn:aws:bedrock:*::foundation-model/{desk.name()}")


def _create_user(desk: Desk) -> None:
    account, name, policies = desk.account(), desk.name(), {"first": _policy(desk)}
    if len(desk.some(User)) < 6:
        desk.do(
            "create user",
            f"arn:aws:iam::{account}:user/{name}",
            by=lambda: desk.principals.create_user(name, account, policies),
        )


def _create_role(desk: Desk) -> None:
    account, name, trust = desk.account(), desk.name(), _trust(desk)
    if len(desk.some(Role)) < 4:
        desk.do(
            "create role",
            f"arn:aws:iam::{account}:role/{name}",
            by=lambda: desk.principals.create_role(name, trust, account),
        )


def _set_trust(desk: Desk) -> None:
    trust, roles = _trust(desk), desk.some(Role)
    if roles:
        arn = _arn(desk.chance.choice(roles))
        desk.do("set trust", arn, by=lambda: desk.principals.set_trust(arn, trust))


def _set_policy(desk: Desk) -> None:
    who, name, text = _anybody(desk), f"p{desk.chance.randrange(4)}", _policy(desk)
    desk.do("set policy", who, by=lambda: desk.principals.set_policy(who, name, text))


def _remove_policy(desk: Desk) -> None:
    there = [each for each in desk.some(User) + desk.some(Role) if each["policies"]]
    if there:
        value = desk.chance.choice(there)
        who, name = _arn(value), desk.chance.choice(list(value["policies"]))
        desk.do("remove policy", who, by=lambda: desk.principals.remove_policy(who, name))


def _set_boundary(desk: Desk) -> None:
    who, text = _somebody(desk), _policy(desk)
    if who is not None:
        desk.do("set boundary", who, by=lambda: desk.principals.set_boundary(who, text))


def _bind(desk: Desk) -> None:
    who = _anybody(desk)
    value = desk.known[f"{_kind_of(who)} {who}"]
    others = [each for each in (["eu"], ["us-west-2", "us-east-1"], []) if each != value["residency"]]
    regions = desk.chance.choice(others)
    desk.do("bind", who, by=lambda: desk.principals.bind(who, regions))


def _kind_of(who: str) -> str:
    return "account" if is_account(who) else "user" if ":user/" in who else "role"


def _delete_somebody(desk: Desk) -> None:
    arn = _somebody(desk)
    if arn is not None:
        user = ":user/" in arn
        delete = desk.principals.delete_user if user else desk.principals.delete_role
        desk.do("delete user" if user else "delete role", arn, by=lambda: delete(arn))


def _furnish(desk: Desk) -> None:
    """What an account owns besides, all at once: so that there is something to go with it."""
    account = desk.account()
    if not desk.some(UseCase, account=account):
        own = (
            UseCase(account, b64encode(_form(desk)).decode(), 1),
            Agreement(account, "m", "agreement", 1),
            QuotaLimit(account, "*", "*", "*", "rpm", 1),
        )
        desk.do(
            "furnish",
            account,
            by=lambda: desk.store.change(partial(put, own)),
        )


def put(records: tuple[Record, ...], change: Transaction) -> None:
    for record in records:
        change.put(record)


def _delete_account(desk: Desk) -> None:
    """One account, with everybody in it first."""
    account = desk.account()
    for user in desk.some(User, account=account):
        arn = _arn(user)
        desk.do("delete user", arn, by=lambda arn=arn: desk.principals.delete_user(arn))  # type: ignore[misc]
    for role in desk.some(Role, account=account):
        arn = _arn(role)
        desk.do("delete role", arn, by=lambda arn=arn: desk.principals.delete_role(arn))  # type: ignore[misc]
    desk.do("delete account", account, by=lambda: desk.principals.delete_account(account))


def _user_for_key(desk: Desk) -> tuple[str, str]:
    """An account, and the name of a user in it who is there or not."""
    users = desk.some(User)
    if users and (len(users) > 6 or desk.chance.random() < 0.5):
        user = desk.chance.choice(users)
        return user["account"], user["name"]
    return desk.account(), desk.name()


def _create_access_key(desk: Desk) -> None:
    account, name = _user_for_key(desk)

    def create() -> list[str]:
        key, secret = desk.principals.create_access_key(name, account=account)
        return [key.id, secret]

    desk.do("create access key", f"arn:aws:iam::{account}:user/{name}", by=create)


def _create_api_key(desk: Desk) -> None:
    account, name = _user_for_key(desk)
    desk.do(
        "create API key",
        f"arn:aws:iam::{account}:user/{name}",
        by=lambda: desk.principals.create_api_key(name, account=account)[1],
    )


def _create_api_key_of_its_own(desk: Desk) -> None:
    account = desk.account()
    desk.do(
        "create API key with a user",
        account,
        by=lambda: desk.principals.create_api_key(account=account)[1],
    )


def _revoke(desk: Desk) -> None:
    there = desk.some(AccessKey, enabled=True) + desk.some(ApiKey, enabled=True)
    if there:
        key = desk.chance.choice(there)
        name = key["id"] if "id" in key else key["name"]
        desk.do("revoke", name, by=lambda: desk.principals.revoke(name))


_PEOPLE = (
    _create_user,
    _create_user,
    _create_role,
    _set_trust,
    _set_policy,
    _remove_policy,
    _set_boundary,
    _bind,
    _delete_somebody,
    _furnish,
    _delete_account,
)
_KEYS = (
    _create_access_key,
    _create_access_key,
    _create_api_key,
    _create_api_key_of_its_own,
    _revoke,
    _delete_somebody,
)


# ── model access, application profiles, limits ────────────────────────────────────────────────────────────


class Service(Desk):
    """A writer that does what clients of the endpoint do, by its handlers and steps."""

    def __init__(self, folder: Path, tell: Tell, chance: random.Random) -> None:
        super().__init__(folder, tell, chance)
        self.catalog = Catalog.load("guide")
        self.open = Access(self.catalog, self.store, "open")
        self.strict = Access(self.catalog, self.store, "request")
        self.profiles = Profiles(self.catalog, self.store, time.time, os.urandom)
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def ask(self, operation: str, account: str, body: Any = None, **labels: str) -> dict[str, Any]:
        """The reply of a handler."""
        asked = call(operation, body=body, account=account, state=self.store.snapshot(), **labels)
        handlers = {**self.strict.handlers, **self.profiles.handlers}
        reply = self.run(_answered(handlers[operation](asked)))
        assert isinstance(reply.body, bytes)
        told: dict[str, Any] = msgspec.json.decode(reply.body)
        return told

    def models(self, *, how_many: int) -> list[Model]:
        """Some that have not ended."""
        living = [each for each in self.catalog.models if not self.catalog.ended(each, NOON.date())]
        return self.chance.sample(living, how_many)

    def agreements(self, account: str) -> dict[str, str]:
        """How the account came to have models."""
        return {each["model"]: each["how"] for each in self.some(Agreement, account=account)}


async def _answered(handler: Any) -> Reply:
    reply: Reply = await handler
    return reply


def access(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Forms, agreements, grants and revocations, by the operator, by clients and on first use."""
    _for_ever(Service(folder, tell, chance), _ACCESS)  # type: ignore[arg-type]


def _form(desk: Desk) -> bytes:
    members = dict.fromkeys(("companyName", "companyWebsite", "industryOption"), "x")
    return msgspec.json.encode({**members, "intendedUsers": "0", "useCases": desk.name()})


def _request(desk: Service) -> None:
    account, models, form = desk.account(), desk.models(how_many=4), _form(desk)
    there = desk.agreements(account)
    models = [model for model in models if there.get(model.id) != "revoked by operator"]
    desk.do(
        "request",
        account,
        [model.id for model in models],
        by=lambda: desk.strict.request(account, models, form, 1),
    )


def _decide(desk: Service) -> None:
    account, models, grant = desk.account(), desk.models(how_many=3), desk.chance.random() < 0.5
    decide = desk.open.grant if grant else desk.open.revoke
    desk.do(
        "grant" if grant else "revoke models",
        account,
        [model.id for model in models],
        by=lambda: decide(account, models, 2),
    )


def _first_use(desk: Service) -> None:
    account, (model,) = desk.account(), desk.models(how_many=1)
    if model.id not in desk.agreements(account):
        asked = call("InvokeModel", account=account, state=desk.store.snapshot())
        asked = msgspec.structs.replace(asked, target=Target(model, None))

        async def use() -> None:
            await desk.open.check(asked, _passes)
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

        desk.do("first use", account, [model.id], by=lambda: desk.run(use()))


async def _passes(_: Call) -> Reply:
    return Reply(200, {}, b"")


def _put_form(desk: Service) -> None:
    account, data = desk.account(), {"formData": b64encode(_form(desk)).decode()}
    desk.do("put form", account, by=lambda: desk.ask("PutUseCaseForModelAccess", account, data))


def _create_agreement(desk: Service) -> None:
    account, (model,) = desk.account(), desk.models(how_many=1)
    if desk.some(UseCase, account=account) and model.id not in desk.agreements(account):
        if not desk.catalog.inference_types(model, "us-west-2"):
            return
        offers = desk.ask("ListFoundationModelAgreementOffers", account, modelId=model.id)
        body = {"modelId": model.id, "offerToken": offers["offers"][0]["offerToken"]}
        desk.do(
            "create agreement",
            account,
            [model.id],
            by=lambda: desk.ask("CreateFoundationModelAgreement", account, body),
        )


def _delete_agreement(desk: Service) -> None:
    account = desk.account()
    there = [model for model, how in desk.agreements(account).items() if how != "revoked by operator"]
    if there:
        model = desk.chance.choice(there)
        desk.do(
            "delete agreement",
            account,
            [model],
            by=lambda: desk.ask("DeleteFoundationModelAgreement", account, {"modelId": model}),
        )


def _delete_all_of_an_account(desk: Service) -> None:
    if len(desk.some(Account)) > 2:
        _delete_account(desk)


_ACCESS = (
    _request,
    _decide,
    _decide,
    _first_use,
    _put_form,
    _create_agreement,
    _delete_agreement,
    _delete_agreement,
    _delete_all_of_an_account,
)


def profiles(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Application profiles made, asked for again with the same token, tagged and deleted."""
    _for_ever(Service(folder, tell, chance), _PROFILES)  # type: ignore[arg-type]


def creation(name: str) -> dict[str, Any]:
    """The request for a profile; its name is its token too."""
    tags = [{"key": "team", "value": name}, {"key": "cost", "value": "1"}]
    return {
        "inferenceProfileName": name,
        "modelSource": {"copyFrom": SOURCE},
        "clientRequestToken": name,
        "tags": tags,
    }


def _create_profile(desk: Service) -> None:
    account, name = desk.account(), desk.name()
    if len(desk.some(ApplicationProfile)) < 8:
        asked = creation(name)
        desk.do(
            "create profile",
            account,
            name,
            by=lambda: desk.ask("CreateInferenceProfile", account, asked)["inferenceProfileArn"],
        )


def _profile(desk: Service) -> tuple[str, str, str] | None:
    """A profile's account, name and ARN."""
    there = [name for name in desk.known if name.startswith("application-profile ")]
    if not there:
        return None
    name = desk.chance.choice(there)
    return desk.known[name]["account"], desk.known[name]["name"], name.partition(" ")[2]


def _create_profile_again(desk: Service) -> None:
    if (found := _profile(desk)) is not None:
        account, name, _ = found
        asked = creation(name)
        desk.do(
            "create profile again",
            account,
            name,
            by=lambda: desk.ask("CreateInferenceProfile", account, asked)["inferenceProfileArn"],
        )


def _delete_profile(desk: Service) -> None:
    if (found := _profile(desk)) is not None:
        account, _, arn = found
        desk.do(
            "delete profile",
            arn,
            by=lambda: desk.ask("DeleteInferenceProfile", account, inferenceProfileIdentifier=arn),
        )


def _tag(desk: Service) -> None:
    if (found := _profile(desk)) is not None:
        account, _, arn = found
        body = {"resourceARN": arn, "tags": [{"key": f"k{desk.chance.randrange(9)}", "value": desk.name()}]}
        desk.do("tag profile", arn, by=lambda: desk.ask("TagResource", account, body))


def _untag(desk: Service) -> None:
    if (found := _profile(desk)) is not None:
        account, _, arn = found
        body = {"resourceARN": arn, "tagKeys": ["team", f"k{desk.chance.randrange(9)}"]}
        desk.do("untag profile", arn, by=lambda: desk.ask("UntagResource", account, body))


_PROFILES = (_create_profile, _create_profile, _create_profile_again, _delete_profile, _tag, _untag)


def limits(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Limits of quotas, set and unset by the command."""
    os.environ |= {"HOME": str(folder), "OUTCROP_DATA_DIR": str(folder)}
    os.chdir(folder)
    _for_ever(Desk(folder, tell, chance), (_set_limit, _set_limit, _unset_limit))


def command(*arguments: str) -> None:
    """Run a command in this process. What it says would get between what is told."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        outcrop.main(list(arguments), standalone_mode=False)


def _set_limit(desk: Desk) -> None:
    account, region = desk.account(), desk.chance.choice(["us-west-2", "eu-west-1", "*"])
    quota, value = desk.chance.choice(["rpm", "tpm", "tpd"]), str(desk.chance.randrange(10**9))
    key = f"{account}/*/{region}/*/{quota}"
    flags = ("--account", account, "--region", region)
    desk.do("set limit", key, by=lambda: command("quota", "set", quota, value, *flags))


def _unset_limit(desk: Desk) -> None:
    there = desk.some(QuotaLimit)
    if there:
        limit = desk.chance.choice(there)
        flags = ("--account", limit["account"], "--region", limit["region"])
        key = f"{limit['account']}/*/{limit['region']}/*/{limit['quota']}"
        desk.do("unset limit", key, by=lambda: command("quota", "unset", limit["quota"], *flags))


# ── the beginning ─────────────────────────────────────────────────────────────────────────────────────────


def installs(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Data folders at their first start: master key, state, account, first key. Of all children."""
    for count in itertools.count():
        _start(folder / str(count), tell)


def take_overs(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Data folders of an older version, which are there already, at the first start of this one."""
    for place in prepared(folder):
        _start(place, tell)
    raise AssertionError("there are no more")


def prepared(folder: Path) -> Iterator[Path]:
    """The data folders of an older version, in the order in which they are started."""
    return (folder / str(count) for count in range(len(list(folder.iterdir()))))


def _start(place: Path, tell: Tell) -> None:
    """What every command does first, and what `outcrop serve` does before it listens."""
    tell.begin(place.name)
    with redirect_stderr(io.StringIO()):
        told = first_key(place)
    tell.done([place.name, told])


def first_key(place: Path) -> list[str]:
    """Start on a data folder; its account, and the id and secret of the key the commands use."""
    principals = principals_of(Settings(data=Data(folder=place)))
    try:
        pair = own_key(principals)
        return [principals.account, pair.id, pair.secret]
    finally:
        principals.store.close()


# ── reservations ──────────────────────────────────────────────────────────────────────────────────────────

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1000}
RESERVED = estimate.input_tokens(BODY) + 1000
CALLER = "123456789012"
COUNTERS = "counters"


class Slowly:
    """The words of the counters' file, with time between two writes to be killed in."""

    def __init__(self, words: Any) -> None:
        self._words, self.release = words, words.release

    def __getitem__(self, at: Any) -> Any:
        return self._words[at]

    def __setitem__(self, at: int, value: int) -> None:
        self._words[at] = value
        time.sleep(1e-5)


def _slow_down(counters: Counters) -> None:
    file = counters._file  # made anew when the file has grown
    if file is not None and not isinstance(file.words, Slowly):
        file.words = Slowly(file.words)  # type: ignore[assignment]


def reservations(folder: Path, tell: Tell, chance: random.Random) -> None:
    """Calls that are held to quotas. Their clock stands still: nothing leaves its window.

    Each tells that it is held (asked the engine) and what it was charged, or that it was refused.
    """
    store, catalog = SqliteStore(folder / STATE), Catalog.load("guide")
    counters = Counters(folder / COUNTERS)
    quotas = Quotas(counters, enabled=True, clock=NOON.timestamp)
    models = [each for each in catalog.models if not catalog.ended(each, NOON.date())]

    async def one() -> None:
        model = chance.choice(models)
        asked = call("InvokeModel", account=CALLER, state=store.snapshot())
        target = Target(model, catalog.regional(model, "us-west-2"))
        asked = msgspec.structs.replace(asked, target=target)
        usage = {"input_tokens": chance.randrange(1, 900), "output_tokens": chance.randrange(20)}
        bucket = [
            CALLER,
            model.id,
            "us-west-2",
            "in-region" if asked.target.profile is None else "cross-region",
        ]

        async def engine(_: Call, __: Question) -> Outcome:
            tell.begin([bucket, "held", usage])
            return Outcome(Whole(msgspec.json.encode({"usage": usage})), "us-west-2", "e", True)

        _slow_down(counters)
        tell.begin([bucket, "asked", usage])
        try:
            await quotas.reserve(asked, Question(model, BODY, False), engine)
        except ThrottlingException:
            tell.done([bucket, "refused", usage])
        else:
            tell.done([bucket, "charged", usage])

    async def calls() -> None:
        while True:
            await one()

    asyncio.run(calls())
