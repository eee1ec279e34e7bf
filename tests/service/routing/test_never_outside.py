"""Over random placements, policies, profiles, residency and failures: what is not allowed is not contacted,
and what is allowed is answered while any engine that may answer is well.

The steps are the real ones: what the id means, policies, residency, dispatch. What they should do is worked
out here once more, from the catalogue's routes and by hand. OUTCROP_PROVE=1 makes ten times as many.
"""

import asyncio
import json
import os
import random

import msgspec
import pytest

from outcrop.catalog import Catalog
from outcrop.errors import (
    AccessDeniedException,
    Fault,
    InternalServerException,
    ModelErrorException,
    ModelNotReadyException,
    ModelStreamErrorException,
    ModelTimeoutException,
    ResourceNotFoundException,
    ServiceUnavailableException,
    ThrottlingException,
    ValidationException,
)
from outcrop.service.call import Target
from outcrop.service.iam.step import Authoriser
from outcrop.service.principals import Account, User
from outcrop.service.profiles import ApplicationProfile
from outcrop.service.routing.dispatch import Dispatcher
from outcrop.service.routing.places import Fleet, Place
from outcrop.service.routing.residency import Residency
from outcrop.service.targets import Targets
from service.routing.stage import ACCOUNT, WELL, Clock, Fake, Fate, call, question, state

CASES = 100_000 if os.environ.get("OUTCROP_PROVE") == "1" else 10_000
BATCHES = 4
CALLS = 3  # of one fleet, so that what was learned of its places is at work
CATALOG = Catalog.load("guide")
REGIONS = sorted(region for region, partition in CATALOG.regions.items() if partition == "aws")
PROFILES = [profile for profile in CATALOG.profiles if profile.scope != "us-gov"]
BINDINGS = [name for name in CATALOG.geographies if name != "us-gov"]
OWN = (
    ThrottlingException("slow"),
    ThrottlingException("slow", retry_after=20),
    ServiceUnavailableException(),
    ServiceUnavailableException(retry_after=3),
    InternalServerException(),
    ModelNotReadyException("loading"),
    ModelTimeoutException("late"),
    ModelErrorException("odd"),
    ModelStreamErrorException("cut"),
    ResourceNotFoundException("Model not found."),
)


def some(chance, of, most):
    return chance.sample(of, chance.randint(1, min(most, len(of))))


class Asked:
    """A random caller and what is called: a profile, an application profile's copy of it, or a bare id."""

    def __init__(self, chance):
        self.profile = chance.choice(PROFILES)
        self.model = self.profile.model
        self.source = chance.choice(list(self.profile.routes))
        self.form = chance.choice(["profile", "profile", "copy", "bare"])
        self.records = []
        self.text = self.profile.id
        if self.form == "copy":
            made = ApplicationProfile(
                "aws", self.source, ACCOUNT, "abcdefghijkl", "n", "", self.model.id, 0, 0, {}, self.profile.id
            )
            self.text, self.records = made.arn, [made]
        elif self.form == "bare":
            self.text = self.model.id

    @property
    def route(self):
        """The profile that is really called, None in a region; worked out from the table's own words."""
        if self.form != "bare":
            return self.profile
        if self.source in self.model.on_demand:
            return None
        return next((one for one in PROFILES if self._is_regional(one)), None)

    def _is_regional(self, profile):
        return profile.scope != "global" and profile.model is self.model and self.source in profile.routes

    @property
    def means_nothing(self):
        """Whether it is a bare id that is neither sold here on demand nor has a regional profile."""
        return self.route is None and self.source not in self.model.on_demand

    @property
    def destinations(self):
        return {self.source} if self.route is None else set(self.route.routes[self.source])

    @property
    def requested(self):
        """What aws:RequestedRegion is in the requests that a policy sees."""
        if self.route is not None and self.route.scope == "global":
            return {self.source, "unspecified"}
        return {self.source, *self.destinations}


def policy(chance, asked):
    """A policy, and whether it allows what is asked."""
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    near = sorted(asked.requested) + chance.sample(REGIONS, 3)
    kind = chance.choice(["everything", "everything", "denied", "only", "scope", "unconditional", "none"])
    if kind == "everything":
        return [allow], True
    if kind == "denied":
        regions = some(chance, near, 2)
        deny = {"Effect": "Deny", "Action": "bedrock:Invoke*", "Resource": "*"}
        deny["Condition"] = {"StringEquals": {"aws:RequestedRegion": regions}}
        return [allow, deny], asked.requested.isdisjoint(regions)
    if kind == "only":
        regions = some(chance, near, len(near))
        deny = {"Effect": "Deny", "NotAction": "iam:*", "Resource": "*"}
        deny["Condition"] = {"StringNotEquals": {"aws:RequestedRegion": regions}}
        return [allow, deny], asked.requested.issubset(regions)
    if kind == "scope":
        scope = chance.choice(["global", "us", "eu", asked.profile.scope])
        arn = f"arn:aws:bedrock:*:*:inference-profile/{scope}.*"
        through = {"StringLike": {"bedrock:InferenceProfileArn": arn}}
        models = {
            "Effect": "Allow",
            "Action": "bedrock:*",
            "Resource": "arn:aws:bedrock:*::foundation-model/*",
        }
        profiles = {"Effect": "Allow", "Action": "bedrock:*", "Resource": arn}
        route = asked.route
        allowed = asked.form != "copy" and route is not None and route.scope == scope
        return [profiles, {**models, "Condition": through}], allowed
    if kind == "unconditional":
        return [allow, {"Effect": "Deny", "Action": "bedrock:InvokeModel", "Resource": "*"}], False
    return [], False


def bindings(chance, asked):
    """Of the endpoint, the account and the user: each bound to a few names, or free; and what they leave."""
    left, named = set(REGIONS), []
    for _ in range(3):
        names = ()
        if chance.random() < 0.3:
            near = [asked.source, *asked.destinations, *BINDINGS, *chance.sample(REGIONS, 2)]
            names = tuple(some(chance, near, 4))
            if chance.random() < 0.7:
                names = (*names, asked.source)
            left &= {region for name in names for region in CATALOG.geographies.get(name, {name})}
        named.append(names)
    return named, left


def fleet(chance, asked, clock):
    """Places near and far, with and without regions and models of their own."""
    destinations = sorted(asked.destinations)
    models = [model.id for model in CATALOG.models]
    places = []
    for number in range(chance.randint(1, 5)):
        near = destinations if chance.random() < 0.7 else REGIONS
        regions = None if chance.random() < 0.15 else frozenset(some(chance, near, 4))
        serves = (
            None
            if chance.random() < 0.6
            else frozenset([*some(chance, models, 5), asked.model.id][chance.randint(0, 1) :])
        )
        limits = {"concurrent": chance.choice([0, 1, 5]), "requests_per_minute": chance.choice([0, 2, 50])}
        limits["tokens_per_minute"] = chance.choice([0, 0, 200])
        places.append(Place(f"p{number}", Fake(f"e{number}", clock=clock), regions, serves, **limits))
    return places


def fate(chance):
    """Well, failing before the first event (before any answer, or in the stream), or after it."""
    if chance.random() < 0.4:
        return WELL
    after = chance.choice([None, None, 0, 1])
    return Fate(chance.choice(OWN), after=after, seconds=chance.choice([0, 0.1, 8]))


class Case:
    """One fleet, one caller and what it asks; several calls with changing fates."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.asked = Asked(self.chance)
        self.places = fleet(self.chance, self.asked, self.clock)
        self.statements, self.permitted = policy(self.chance, self.asked)
        named, self.within = bindings(self.chance, self.asked)
        text = json.dumps({"Version": "2012-10-17", "Statement": self.statements})
        user = User(ACCOUNT, "u", "AIDA", 0, {"p": text} if self.statements else {}, residency=named[2])
        account = Account(ACCOUNT, 0, residency=named[1])
        self.state = state(user, account, *self.asked.records)
        self.dispatcher = Dispatcher(Fleet(self.places), monotonic=self.clock, randomness=self.chance.random)
        self.steps = (
            Targets(CATALOG).find,
            Authoriser(CATALOG).authorise,
            Residency(CATALOG, named[0]).place,
        )

    @property
    def allowed(self):
        """Where the call may run, as worked out here."""
        nothing = self.asked.means_nothing or not self.permitted
        if nothing or self.asked.source not in self.within:
            return set()
        return self.asked.destinations & self.within

    def eligible(self):
        return [
            place
            for place in self.places
            if (place.regions is None or place.regions & self.allowed)
            and (place.models is None or self.asked.model.id in place.models)
            and self.allowed
        ]

    async def run(self):
        for _ in range(CALLS):
            for place in self.places:
                place.engine.fates = [fate(self.chance)]
            await self.once(stream=self.chance.random() < 0.5)
            self.clock.on(self.chance.choice([0, 0, 1, 7, 100]))
        assert {one.in_flight for one in self.dispatcher.states()} == {0}
        assert {place.engine.running for place in self.places} == {0}

    async def once(self, *, stream):
        asked_before = {place.name: len(place.engine.asked) for place in self.places}
        outcome, error = await self.outcome(stream)
        contacted = {
            place.name for place in self.places if len(place.engine.asked) > asked_before[place.name]
        }
        eligible = self.eligible()
        assert contacted <= {place.name for place in eligible}
        if not self.allowed:
            refusal = ValidationException if self.asked.means_nothing else AccessDeniedException
            assert isinstance(error, refusal)
            return
        if outcome is not None:
            assert outcome.region in self.allowed
            place = next(place for place in self.places if place.engine.name == outcome.engine)
            assert place.regions is None or outcome.region in place.regions
            assert outcome.simulated == (place.regions is None)
        if any(place.engine.fates[0] is WELL for place in eligible):
            assert outcome is not None, error
        if error is not None:
            assert contacted == {place.name for place in eligible}  # all that might have answered were asked

    async def outcome(self, stream):
        """The answer of the steps and what is in it, or the fault that was raised instead of one."""
        given = call(Target(self.asked.model, None), self.asked.source, known=self.state)
        given = msgspec.structs.replace(given, target=None, labels={"modelId": self.asked.text})
        found = []

        async def handler(placed):
            answer = await self.dispatcher.answer(placed, question(stream=stream, model=placed.target.model))
            found.append(answer)

        steps = handler
        for step in reversed(self.steps):
            steps = _bound(step, steps)
        try:
            await steps(given)
        except Fault as fault:
            return None, fault
        await self.read(found[0], stream)
        return found[0], None

    async def read(self, outcome, stream):
        """Read a stream to its end, or close it somewhere; one that breaks off has begun."""
        if not stream:
            return
        events, left = outcome.answer.events, self.chance.choice([0, 1, 99, 99])
        try:
            while left:
                await anext(events)
                left -= 1
        except (StopAsyncIteration, Fault):
            pass
        await events.aclose()


def _bound(step, inner):
    return lambda call: step(call, inner)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_call_leaves_its_allowed_destinations_and_none_is_refused_that_could_be_answered(batch):
    async def run():
        tally = {"allowed": 0, "refused": 0}
        share = CASES // BATCHES
        for number in range(share):
            seed = batch * share + number
            case = Case(seed)
            try:
                await case.run()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error
            tally["allowed" if case.allowed else "refused"] += 1
        assert min(tally.values()) > share / 5, tally  # both sides are really tried

    asyncio.run(run())
