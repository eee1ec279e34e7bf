"""The words of the service: a `Call` on its way, who asks, what it means, where it may run. Knows no step.

Call ── target ──▶ what the model id means          (a model, perhaps through a profile)
     ── regions ─▶ where the call may run           (the target's destinations, narrowed by residency)
     ── Question ▶ Outcome                          (an answer, and the destination that gave it)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import TypeAlias

import msgspec

from outcrop.catalog import Model, Profile
from outcrop.engine import Answer, Question
from outcrop.store import Snapshot
from outcrop.store.calls import Contact
from outcrop.wire.http import Head, Reply
from outcrop.wire.operations import Operation


class Principal(msgspec.Struct, frozen=True):
    """Who asks, once proven. `arn` and `user_id` are what GetCallerIdentity tells; `key` is the access key id
    or the API key's name that proved it.

    `owner` is the ARN of the user or role whose policies count: of an assumed role it is the role, while
    `arn` names the session. `session_policy` is the JSON that narrows a session, "" for none. `via` are the
    ARNs of the user and the roles from which a role's session came: whoever is bound stays so as a role.
    """

    arn: str
    user_id: str
    account: str
    key: str
    owner: str = ""
    session_policy: str = ""
    via: tuple[str, ...] = ()


class Target(msgspec.Struct, frozen=True):
    """What a call means by its model id.

    `profile` is the system profile whose routes it takes, None when the model runs on demand in the source
    region. `arn` is the ARN of the profile that is called, "" for none: a system profile's, or an application
    profile's, which may stand for a model in one region too.
    """

    model: Model
    profile: Profile | None
    arn: str = ""

    def destinations(self, source: str) -> tuple[str, ...]:
        """The regions in which a call from `source` may run, before residency narrows them."""
        return (source,) if self.profile is None else self.profile.destinations(source)

    @property
    def kind(self) -> str:
        """Whose quota and price it is: `in-region`, `cross-region` or `global`."""
        if self.profile is None:
            return "in-region"
        return "global" if self.profile.scope == "global" else "cross-region"


class Call(msgspec.Struct, frozen=True):
    """One authenticated request on its way.

    `region` is the source region: the one in the signature's scope, or the API key's. `labels` are the
    path's labels, decoded. `received` is in seconds of the wall clock, `began` of the monotonic one. `state`
    is what was known when the call came: every step decides by the same. Of a call of a model, `target` and
    then `regions` are filled in by the steps before its handler. `contacted` is the one thing of a call that
    grows: whom it was sent to, in that order, each as it is about to be asked.
    """

    head: Head
    operation: Operation
    labels: Mapping[str, str]
    body: bytes
    principal: Principal
    region: str
    request_id: str
    received: float
    began: float
    state: Snapshot
    target: Target | None = None
    regions: tuple[str, ...] = ()
    contacted: list[Contact] = msgspec.field(default_factory=list)

    @property
    def today(self) -> date:
        """The day of the call, UTC: models become legacy and reach their end of life on a date."""
        return _day(int(self.received // 86_400))


@lru_cache(maxsize=16)
def _day(number: int) -> date:
    """The day with that number, counted from 1970-01-01."""
    return date(1970, 1, 1) + timedelta(number)


class Outcome(msgspec.Struct, frozen=True):
    """An answer and where it comes from: the destination region and the engine's name.

    `simulated` is whether one engine stands for every region, so that the region is a label only.
    """

    answer: Answer
    region: str
    engine: str
    simulated: bool


class Counted(msgspec.Struct, frozen=True):
    """How many input tokens a question has, and who counted them, as in an `Outcome`."""

    tokens: int
    region: str
    engine: str
    simulated: bool


Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]
Step: TypeAlias = Callable[[Call, Handler], Awaitable[Reply]]
Ask: TypeAlias = Callable[[Call, Question], Awaitable[Outcome]]
Count: TypeAlias = Callable[[Call, Question], Awaitable[Counted]]
AskStep: TypeAlias = Callable[[Call, Question, Ask], Awaitable[Outcome]]
