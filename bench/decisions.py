"""What policies, routing and quotas cost a call: all that is decided between a proven caller and the engine.

The steps are the endpoint's own, over a store and counters on the disk; the engine answers at once. Together
they are find_target, authorise, check_access, place, reserve, the choice of a destination and its health, and
the settlement by the answer's usage. Reading the request, taking the snapshot and recording the call are not
in it; the last two have rows of their own.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from bench import samples
from bench.peers import signed_head
from bench.samples import REGION, Pattern
from outcrop.catalog import Catalog
from outcrop.engine import Answer, Lack, Question, Whole
from outcrop.service.access import Access, Agreement
from outcrop.service.call import Ask, Call, Outcome, Principal, Step
from outcrop.service.chain import within
from outcrop.service.iam.context import Connection
from outcrop.service.iam.presets import PRESETS
from outcrop.service.iam.step import Authoriser
from outcrop.service.principals import User
from outcrop.service.quota.limits import QuotaLimit
from outcrop.service.quota.step import Quotas
from outcrop.service.recording import Recorder
from outcrop.service.routing.dispatch import Dispatcher
from outcrop.service.routing.places import Fleet, Place
from outcrop.service.routing.residency import Residency
from outcrop.service.runtime import through
from outcrop.service.targets import Targets
from outcrop.store import Transaction
from outcrop.store.calls import CallRecord, Contact
from outcrop.store.counters import NAME as COUNTERS
from outcrop.store.counters import Counters
from outcrop.store.sqlite import STATE, SqliteStore
from outcrop.wire import messages
from outcrop.wire.http import Head, Reply
from outcrop.wire.operations import BY_NAME
from outcrop.wire.sigv4 import Credentials

T = TypeVar("T")
Policies = Mapping[str, str]

GOAL: Final = 60.0  # µs for all decisions on a call
_ACCOUNT: Final = "123456789012"
_ARN: Final = f"arn:aws:iam::{_ACCOUNT}:user/bench"
_KEY: Final = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
_PLENTY: Final = 10**12


def _policy(*statements: Mapping[str, Any]) -> str:
    return msgspec.json.encode({"Version": "2012-10-17", "Statement": statements}).decode()


# As teams write them: some models through their profiles, no region but these, keys only with the SDK's TLS.
_MODELS: Final = _policy(
    {
        "Sid": "Profiles",
        "Effect": "Allow",
        "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
        "Resource": f"arn:aws:bedrock:*:{_ACCOUNT}:inference-profile/global.anthropic.claude-*",
    },
    {
        "Sid": "ModelsThroughProfiles",
        "Effect": "Allow",
        "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
        "Resource": "arn:aws:bedrock:*::foundation-model/anthropic.claude-*",
        "Condition": {"ArnLike": {"bedrock:InferenceProfileArn": "arn:aws:bedrock:*:*:inference-profile/*"}},
    },
)
_REGIONS: Final = _policy(
    {
        "Sid": "OtherRegions",
        "Effect": "Deny",
        "Action": "bedrock:*",
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": [REGION, "us-west-2", "unspecified"]}},
    },
)
_LISTS: Final = _policy(
    {
        "Sid": "Look",
        "Effect": "Allow",
        "Action": ["bedrock:List*", "bedrock:Get*", "bedrock:CountTokens"],
        "Resource": "*",
        "Condition": {"StringLike": {"aws:username": ["bench*", "ci-*"]}},
    },
)
_NETWORK: Final = _policy(
    {
        "Sid": "OtherNetworks",
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.0/24"]}},
    },
    {
        "Sid": "Contract",
        "Effect": "Deny",
        "Action": "bedrock:*",
        "Resource": "*",
        "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2099-12-31T23:59:59Z"}},
    },
)

_ONE: Final[Policies] = {"everything": PRESETS["everything"]}
_THREE: Final[Policies] = {"models": _MODELS, "regions": _REGIONS, "lists": _LISTS}
# of these nothing can be remembered: they look at the address and the time of each call
_PASSING: Final[Policies] = {"models": _MODELS, "regions": _REGIONS, "network": _NETWORK}
_CASES: Final[tuple[tuple[str, Policies, int], ...]] = (
    ("the policy `everything`, 1 place", _ONE, 1),
    ("3 policies with conditions, 1 place", _THREE, 1),
    ("3 policies with conditions, 5 places", _THREE, 5),
    ("3 policies that look at address and time, 5 places", _PASSING, 5),
)


class _Engine:
    """Answers at once."""

    name = "bench"
    cannot = frozenset[Lack]()
    _whole = Whole(samples.reply())

    async def start(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def answer(self, question: Question) -> Answer:  # noqa: ARG002 - the protocol's
        """The same for everybody."""
        return self._whole

    async def count(self, question: Question) -> int:  # noqa: ARG002 - the protocol's
        """A number."""
        return 1


class _NoLog:
    """Drops records of calls: to write them is the work of another thread."""

    def add(self, record: CallRecord) -> None:
        """Drop it."""


class Row(NamedTuple):
    """Something to time, and the most µs it may take; None where there is no goal."""

    name: str
    step: Callable[[], object]
    goal: float | None = None


class _Endpoint:
    """The endpoint's steps over a data folder, and one call on its way through them."""

    def __init__(self, folder: Path, policies: Policies, places: int) -> None:
        catalog = Catalog.load("guide")
        model = catalog.model(samples.MODEL)
        assert model is not None  # the guide has it
        self.store = SqliteStore(folder / STATE)
        self.store.change(partial(_fill, policies=policies))
        self._counters = Counters(folder / COUNTERS)
        self.call = _call(self.store)
        self.question = Question(model, messages.parse_request(self.call.body, model).body, stream=False)
        # what is decided before a call reaches its handler, in the endpoint's order
        self.steps: dict[str, Step] = {
            "find_target": Targets(catalog).find,
            "authorise": Authoriser(catalog, _connection).authorise,
            "check_access": Access(catalog, self.store, "open").check,
            "place": Residency(catalog).place,
        }
        self.reserve = Quotas(self._counters, enabled=True, clock=time.time).reserve
        # placed in the regions that a global profile has, so that the choice is among all of them
        regions = frozenset(catalog.regions)
        fleet = Fleet(Place(f"place-{n}", _Engine(), regions, concurrent=100) for n in range(places))
        self.ask: Ask = Dispatcher(fleet, monotonic=time.monotonic, randomness=random.random).answer

    def close(self) -> None:
        """Let go of the files."""
        self.store.close()
        self._counters.close()

    def decide(self) -> Callable[[], object]:
        """All of it, for one call."""
        ask, question = through((self.reserve,), self.ask), self.question

        async def handler(call: Call) -> Reply:
            await ask(call, question)
            return _REPLY

        decided = within(tuple(self.steps.values()), handler)
        return lambda: _result(decided(self.call))


def _connection(head: Head) -> Connection:
    return Connection(head.client, head.secure)


def _fill(change: Transaction, policies: Policies) -> None:
    change.put(User(_ACCOUNT, "bench", "AIDABENCH", 0, dict(policies)))
    change.put(Agreement(_ACCOUNT, samples.MODEL, "first use", 0))
    for quota in ("rpm", "tpm", "tpd"):  # so high that a long measurement is never refused
        change.put(QuotaLimit(_ACCOUNT, "*", "*", "*", quota, _PLENTY))


def _call(store: SqliteStore) -> Call:
    body = samples.bedrock_body(Pattern.WHOLE)
    head = signed_head(f"/model/global.{samples.MODEL.replace(':', '%3A')}/invoke", 8080, body, _KEY)
    return Call(
        msgspec.structs.replace(head, client="192.0.2.7"),
        BY_NAME["InvokeModel"],
        {"modelId": f"global.{samples.MODEL}"},
        body,
        Principal(_ARN, "AIDABENCH", _ACCOUNT, _KEY.access_key, _ARN),
        REGION,
        "5ac4a2a5-9d2f-4f0c-9a1c-2f8a9f1f7b0e",
        time.time(),
        time.monotonic(),
        store.snapshot(),
    )


_REPLY: Final = Reply(200, {}, b"")
_OUTCOME: Final = Outcome(Whole(samples.reply()), REGION, "bench", simulated=False)


async def _handler(call: Call) -> Reply:  # noqa: ARG001 - a handler's
    return _REPLY


async def _asked(call: Call, question: Question) -> Outcome:  # noqa: ARG001 - an Ask's
    return _OUTCOME


def _result(awaitable: Awaitable[T]) -> T:
    """What an awaitable gives that never has to wait."""
    try:
        next(awaitable.__await__())
    except StopIteration as ended:
        result: T = ended.value
        return result
    raise RuntimeError("it waits")


@contextmanager
def rows() -> Iterator[Sequence[Row]]:
    """What to time: all decisions on a call in several cases, then the steps of one case by themselves."""
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch, ExitStack() as stack:
        found = []
        for number, (name, policies, places) in enumerate(_CASES):
            folder = Path(scratch, str(number))
            folder.mkdir(mode=0o700)
            endpoint = _Endpoint(folder, policies, places)
            stack.callback(endpoint.close)
            found.append(Row(f"decisions on a call: {name}", endpoint.decide(), GOAL))
        yield [*found, *_one_by_one(endpoint)]


def _one_by_one(endpoint: _Endpoint) -> Iterator[Row]:
    """Each step around a handler that does nothing, of a call that has been through those before it."""
    call, question = endpoint.call, endpoint.question
    passed: list[Call] = []

    async def keep(call: Call) -> Reply:
        passed.append(call)
        return _REPLY

    for name, step in endpoint.steps.items():
        yield Row(f"of the last: {name}", partial(_step, step, call))
        _result(step(call, keep))
        call = passed[-1]
    record = Recorder(_NoLog()).record
    recorded = msgspec.structs.replace(call, contacted=[Contact("bench", REGION)])
    yield Row("of the last: reserve and settle", lambda: _result(endpoint.reserve(call, question, _asked)))
    yield Row(
        "of the last: choose a destination, ask it, note its health",
        lambda: _result(endpoint.ask(call, question)),
    )
    yield Row("snapshot of the state", endpoint.store.snapshot)
    yield Row("record of a call, not yet written", lambda: _result(record(recorded, question, _asked)))


def _step(step: Step, call: Call) -> Reply:
    return _result(step(call, _handler))
