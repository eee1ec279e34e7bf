"""Application inference profiles: names of one's own for a model or a system profile, to tag and to count by.

CreateInferenceProfile, DeleteInferenceProfile and the three tag operations. Everything is of one account and
one region: what belongs to another is answered like what does not exist. How profiles are listed is in
`models`, how one is called in `targets`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from hashlib import sha256
from typing import ClassVar, Final, TypeVar

import msgspec

from outcrop.catalog import Catalog, Model, Profile
from outcrop.errors import (
    ConflictException,
    ResourceNotFoundException,
    ServiceQuotaExceededException,
    TooManyTagsException,
    ValidationException,
)
from outcrop.ids import Arn, ModelId
from outcrop.service import changing
from outcrop.service.call import Call, Handler
from outcrop.store import Reading, Record, Snapshot, Store, Transaction
from outcrop.wire import profiles as requests
from outcrop.wire.constraints import Constraints
from outcrop.wire.http import Reply, json_reply

T = TypeVar("T")

# AWS's default quotas (tags: botocore's service model; profiles: as users report it)
MOST_TAGS: Final = 200
MOST_PROFILES: Final = 1000

# Quoted by users: AWS's answer to the ARN of a model that has an account in it.
_NOT_A_SOURCE = "copyFrom must be a valid inference profile model source ARN."
_SHORT_ID = re.compile(r"[a-z0-9]{12}")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
# botocore's service model `bedrock`; AWS's refusal quotes it
_IDENTIFIER = re.compile(
    r"(arn:aws(|-us-gov|-cn|-iso|-iso-b):bedrock:(|[0-9a-z-]{0,20}):(|[0-9]{12}):"
    r"(inference-profile|application-inference-profile)/)?[a-zA-Z0-9-:.]+"
)


class ApplicationProfile(Record, frozen=True):
    """A profile that an account has made in a region.

    `source` is the ARN it was copied from: of the model `model`, or of the system profile `profile` ("" for a
    copy of a model, which runs in its region only). `created` and `updated` are in nanoseconds since the
    epoch; tagging is an update. `token` is the caller's, by which a request that is sent again is known, and
    `request` the digest of what was asked with it.
    """

    KIND: ClassVar[str] = "application-profile"

    partition: str
    region: str
    account: str
    id: str
    name: str
    source: str
    model: str
    created: int
    updated: int
    tags: dict[str, str]
    profile: str = ""
    description: str = ""
    token: str = ""
    request: str = ""

    @property
    def arn(self) -> str:
        """By which it is called: `arn:aws:bedrock:<region>:<account>:application-inference-profile/<id>`."""
        return f"{_prefix(self.partition, self.region, self.account)}{self.id}"

    @property
    def key(self) -> str:
        """Its ARN."""
        return self.arn


def application_profiles(state: Snapshot, account: str, region: str) -> tuple[ApplicationProfile, ...]:
    """Those of an account in a region, in the order of their ids."""
    return state.derived(_by_place).get((account, region), ())


def application_profile(
    state: Reading, catalog: Catalog, text: str, account: str, region: str
) -> ApplicationProfile | None:
    """The application profile that `text`, its id or its ARN, names in an account and a region."""
    prefix = _prefix(catalog.partition(region), region, account)
    if is_short_id(text):
        return state.get(ApplicationProfile, f"{prefix}{text}")
    return state.get(ApplicationProfile, text) if text.startswith(prefix) else None


def system_profile(catalog: Catalog, text: str, account: str, region: str) -> Profile | None:
    """The system profile, offered from a region, that `text`, its id or its ARN, names there."""
    try:
        asked = ModelId.parse(text)
    except ValueError:
        return None
    profile = catalog.profile(asked.profile)
    if profile is None or region not in profile.routes:
        return None
    return profile if asked.arn is None or is_of(catalog, asked.arn, region, account) else None


def is_short_id(text: str) -> bool:
    """Whether `text` has the form of an application profile's own id."""
    return _SHORT_ID.fullmatch(text) is not None


def is_of(catalog: Catalog, arn: Arn, region: str, account: str) -> bool:
    """Whether an ARN is of this region, its partition, and (where both are given) this account."""
    return (
        arn.region == region
        and arn.partition == catalog.partition(region)
        and (not account or arn.account in ("", account))
    )


def check_identifier(text: str) -> None:
    """Raises ValidationException for what can't be a profile's id or ARN."""
    constraints = Constraints()
    constraints.length("inferenceProfileIdentifier", text, 1, 2048)
    constraints.pattern("inferenceProfileIdentifier", text, _IDENTIFIER)
    constraints.check()


def not_found() -> ResourceNotFoundException:
    """The refusal of a profile that is not here. The name is AWS's; how it words the text is not known."""
    return ResourceNotFoundException("Inference profile not found.")


class Profiles:
    """CreateInferenceProfile, DeleteInferenceProfile, TagResource, UntagResource and ListTagsForResource.

    `clock` gives seconds since the epoch, `randomness` that many random bytes. All handlers raise
    SerializationException, ValidationException or ResourceNotFoundException; what else, each says.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        clock: Callable[[], float],
        randomness: Callable[[int], bytes],
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._clock = clock
        self._randomness = randomness

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Operation names and who answers them."""
        return {
            "CreateInferenceProfile": self.create_inference_profile,
            "DeleteInferenceProfile": self.delete_inference_profile,
            "TagResource": self.tag_resource,
            "UntagResource": self.untag_resource,
            "ListTagsForResource": self.list_tags_for_resource,
        }

    async def create_inference_profile(self, call: Call) -> Reply:
        """Copy a model or a system profile. The same request with the same token gives the same profile.

        Raises ConflictException (a name taken, a token of another request), TooManyTagsException or
        ServiceQuotaExceededException too.
        """
        asked = requests.creation(call.body)
        if len(asked.tags) > MOST_TAGS:
            raise _too_many_tags(asked.name)
        region, account = call.region, call.principal.account
        model, profile = _source(self._catalog, asked.source, region, account, call.today)
        now = self._now()
        wanted = ApplicationProfile(
            partition=self._catalog.partition(region),
            region=region,
            account=account,
            id="",
            name=asked.name,
            source=asked.source,
            model=model.id,
            created=now,
            updated=now,
            profile="" if profile is None else profile.id,
            description=asked.description,
            tags=asked.tags,
            token=asked.token,
            request=_digest(asked) if asked.token else "",
        )
        made = await self._change(lambda state: self._add(wanted, state))
        return json_reply({"inferenceProfileArn": made.arn, "status": "ACTIVE"}, 201)

    async def delete_inference_profile(self, call: Call) -> Reply:
        """Take an application profile away, by id or ARN."""
        text, region, account = call.labels["inferenceProfileIdentifier"], call.region, call.principal.account
        check_identifier(text)
        if system_profile(self._catalog, text, account, region):
            # that they can't be is AWS's; how it words it is not known
            raise ValidationException("A system-defined inference profile can't be deleted.")

        def work(state: Transaction) -> None:
            profile = application_profile(state, self._catalog, text, account, region)
            if profile is None:
                raise not_found()
            state.delete(ApplicationProfile, profile.key)

        await self._change(work)
        return json_reply({})

    async def tag_resource(self, call: Call) -> Reply:
        """Add tags to an application profile, in place of those with the same keys.

        Raises TooManyTagsException too.
        """
        arn, tags = requests.tagging(call.body)

        def work(state: Transaction) -> None:
            profile = self._tagged(state, call, arn)
            merged = {**profile.tags, **tags}
            if len(merged) > MOST_TAGS:
                raise _too_many_tags(arn)
            state.put(msgspec.structs.replace(profile, tags=merged, updated=self._now()))

        await self._change(work)
        return json_reply({})

    async def untag_resource(self, call: Call) -> Reply:
        """Take tags away from an application profile; keys it does not have are passed over."""
        arn, keys = requests.untagging(call.body)

        def work(state: Transaction) -> None:
            profile = self._tagged(state, call, arn)
            left = {key: value for key, value in profile.tags.items() if key not in keys}
            state.put(msgspec.structs.replace(profile, tags=left, updated=self._now()))

        await self._change(work)
        return json_reply({})

    async def list_tags_for_resource(self, call: Call) -> Reply:
        """The tags of an application profile, in the order they were given."""
        tags = self._tagged(call.state, call, requests.listing(call.body)).tags
        return json_reply({"tags": [{"key": key, "value": value} for key, value in tags.items()]})

    def _add(self, wanted: ApplicationProfile, state: Transaction) -> ApplicationProfile:
        place = wanted.account, wanted.region
        there = [one for one in state.all(ApplicationProfile) if (one.account, one.region) == place]
        for one in there:
            if wanted.token and one.token == wanted.token:
                if one.request == wanted.request:
                    return one
                raise ConflictException("The clientRequestToken was used with other parameters before.")
        if any(one.name == wanted.name for one in there):
            raise ConflictException(f"An inference profile with the name {wanted.name} exists already.")
        if len(there) >= MOST_PROFILES:
            raise ServiceQuotaExceededException(
                f"The account has {MOST_PROFILES} application inference profiles in {wanted.region}, "
                "the most there may be."
            )
        taken = {one.id for one in there}
        while (short := _short_id(self._randomness)) in taken:
            pass
        made = msgspec.structs.replace(wanted, id=short)
        state.put(made)
        return made

    def _tagged(self, state: Reading, call: Call, arn: str) -> ApplicationProfile:
        """The profile whose tags are meant. Raises ResourceNotFoundException or ValidationException."""
        region, account = call.region, call.principal.account
        # the id alone has the form of a resource too, but no resource is named by it
        named = arn.startswith("arn:")
        profile = application_profile(state, self._catalog, arn, account, region) if named else None
        if profile is None and named and system_profile(self._catalog, arn, account, region):
            # that they take no tags is reported by users; how AWS words it is not known
            raise ValidationException("A system-defined inference profile can't be tagged.")
        if profile is None:
            raise ResourceNotFoundException("The resource to tag was not found.")
        return profile

    async def _change(self, work: Callable[[Transaction], T]) -> T:
        return await changing.change(self._store, work)

    def _now(self) -> int:
        return int(self._clock() * 1_000_000_000)


def _source(
    catalog: Catalog, text: str, region: str, account: str, today: date
) -> tuple[Model, Profile | None]:
    """What a profile is copied from. Raises ValidationException for what can't be called from here."""
    try:
        asked = ModelId.parse(text)
    except ValueError:
        raise ValidationException(_NOT_A_SOURCE) from None
    model = catalog.model(asked.base)
    here = asked.arn is not None and is_of(catalog, asked.arn, region, account)
    if model is None or not here or catalog.ended(model, today):
        raise ValidationException(_NOT_A_SOURCE)
    if asked.scope:
        profile = catalog.profile(asked.profile)
        if profile is None or region not in profile.routes:
            raise ValidationException(_NOT_A_SOURCE)
        return model, profile
    if region not in model.on_demand:
        raise ValidationException(_no_model_source(catalog, model, region, account))
    return model, None


def _no_model_source(catalog: Catalog, model: Model, region: str, account: str) -> str:
    """AWS's refusal, and the profiles that a model without on-demand throughput can be copied from here."""
    partition = catalog.partition(region)
    arns = [
        f"arn:{partition}:bedrock:{region}:{account}:inference-profile/{profile.id}"
        for profile in catalog.profiles_from(region)
        if profile.model is model
    ]
    if not arns:
        return _NOT_A_SOURCE
    return f"{_NOT_A_SOURCE} {model.id} has no on-demand throughput in {region}: copy {' or '.join(arns)}."


def _by_place(state: Snapshot) -> dict[tuple[str, str], tuple[ApplicationProfile, ...]]:
    places: dict[tuple[str, str], list[ApplicationProfile]] = {}
    for profile in state.all(ApplicationProfile):
        places.setdefault((profile.account, profile.region), []).append(profile)
    # in one place the order of their keys, the ARNs, is that of their ids
    return {place: tuple(there) for place, there in places.items()}


def _prefix(partition: str, region: str, account: str) -> str:
    return f"arn:{partition}:bedrock:{region}:{account}:application-inference-profile/"


def _short_id(randomness: Callable[[int], bytes]) -> str:
    """Twelve of 36 characters."""
    number, digits = int.from_bytes(randomness(16), "big"), []
    for _ in range(12):
        number, digit = divmod(number, 36)
        digits.append(_DIGITS[digit])
    return "".join(digits)


def _digest(asked: requests.Creation) -> str:
    """The same for the same request; the order of its tags does not matter."""
    told = (asked.name, asked.source, asked.description, sorted(asked.tags.items()))
    return sha256(msgspec.json.encode(told)).hexdigest()


def _too_many_tags(resource: str) -> TooManyTagsException:
    return TooManyTagsException(f"A resource can have at most {MOST_TAGS} tags.", resource=resource)
