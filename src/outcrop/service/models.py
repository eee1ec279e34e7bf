"""The control plane's operations that list and show models and inference profiles.

Knows AWS's filters, pages and reply shapes. The facts of models and system profiles are the catalogue's; what
is allowed to whom is decided elsewhere.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final, TypeAlias

import msgspec

from outcrop.catalog import ON_DEMAND, Catalog, Model, Profile
from outcrop.errors import ResourceNotFoundException, ValidationException
from outcrop.service.call import Call, Handler
from outcrop.service.profiles import (
    ApplicationProfile,
    application_profile,
    application_profiles,
    check_identifier,
    is_short_id,
    not_found,
    system_profile,
)
from outcrop.service.targets import listed
from outcrop.wire.constraints import Constraints
from outcrop.wire.http import Reply, json_reply, query_members

AnyProfile: TypeAlias = Profile | ApplicationProfile


# --- replies, as AWS's service model `bedrock` has them ---


class _Lifecycle(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    status: str
    start_of_life_time: datetime | None = None
    end_of_life_time: datetime | None = None
    legacy_time: datetime | None = None
    public_extended_access_time: datetime | None = None


class _FoundationModel(msgspec.Struct, frozen=True, rename="camel"):
    model_arn: str
    model_id: str
    model_name: str
    provider_name: str
    input_modalities: tuple[str, ...]
    output_modalities: tuple[str, ...]
    response_streaming_supported: bool
    customizations_supported: tuple[str, ...]
    inference_types_supported: tuple[str, ...]
    model_lifecycle: _Lifecycle


class _ProfileModel(msgspec.Struct, frozen=True, rename="camel"):
    model_arn: str


class _InferenceProfile(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    inference_profile_name: str
    description: str = ""
    inference_profile_arn: str
    models: list[_ProfileModel]
    inference_profile_id: str
    status: str
    type: str
    created_at: datetime | str | None = None
    updated_at: datetime | str | None = None


class _ModelList(msgspec.Struct, frozen=True, rename="camel"):
    model_summaries: list[_FoundationModel]


class _ModelDetails(msgspec.Struct, frozen=True, rename="camel"):
    model_details: _FoundationModel


class _ProfileList(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    inference_profile_summaries: list[_InferenceProfile]
    next_token: str = ""


# botocore's service model `bedrock`; AWS's refusals quote these patterns
_PROVIDER = re.compile(r"[A-Za-z0-9- ]{1,63}")
_TOKEN = re.compile(r"\S*")
_MODEL_IDENTIFIER = re.compile(
    r"(arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}::foundation-model/[a-z0-9-]{1,63}[.]{1}([a-z0-9-]{1,63}[.]){0,2}"
    r"[a-z0-9-]{1,63}([:][a-z0-9-]{1,63}){0,2})|([a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}([.]?[a-z0-9-]{1,63})"
    r"([:][a-z0-9-]{1,63}){0,2})"
)
_CUSTOMIZATIONS = ("FINE_TUNING", "CONTINUED_PRE_TRAINING", "DISTILLATION")
_MODALITIES = ("TEXT", "IMAGE", "EMBEDDING")
# INFERENCE_PROFILE is what AWS returns, but not what it lets one ask for
_INFERENCE_TYPES = (ON_DEMAND, "PROVISIONED")
_SYSTEM: Final = "SYSTEM_DEFINED"
_APPLICATION: Final = "APPLICATION"
_PROFILE_TYPES = (_SYSTEM, _APPLICATION)
_MAX_RESULTS = 1000  # also the page where none is asked for: users report that one page holds them all


class ControlPlane:
    """ListFoundationModels, GetFoundationModel, ListInferenceProfiles and GetInferenceProfile.

    What is shown depends on the call's region, on the day it was received, and on the caller's account: a
    profile's ARN bears it, and application profiles belong to it. All handlers raise ValidationException or
    ResourceNotFoundException.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Operation names and who answers them."""
        return {
            "ListFoundationModels": self.list_foundation_models,
            "GetFoundationModel": self.get_foundation_model,
            "ListInferenceProfiles": self.list_inference_profiles,
            "GetInferenceProfile": self.get_inference_profile,
        }

    async def list_foundation_models(self, call: Call) -> Reply:
        """The models available in the call's region that pass all filters; AWS has no pages here."""
        wanted = _model_filters(query_members(call.head))
        return json_reply(
            _ModelList([model for model in self._models(call) if all(want(model) for want in wanted)])
        )

    async def get_foundation_model(self, call: Call) -> Reply:
        """One model, by id or ARN."""
        text = call.labels["modelIdentifier"]
        check_model_identifier(text)
        for model in self._models(call):
            if text in (model.model_id, model.model_arn):
                return json_reply(_ModelDetails(model))
        raise ResourceNotFoundException("Model not found.")

    async def list_inference_profiles(self, call: Call) -> Reply:
        """The profiles of both kinds that can be called from the call's region, in pages of `maxResults`."""
        query = query_members(call.head)
        constraints = Constraints()
        limit = constraints.integer("maxResults", query.get("maxResults"), 1, _MAX_RESULTS) or _MAX_RESULTS
        token = query.get("nextToken")
        constraints.length("nextToken", token, 1, 2048)
        constraints.pattern("nextToken", token, _TOKEN)
        kind = query.get("type")
        constraints.one_of("typeEquals", kind, _PROFILE_TYPES)
        constraints.check()
        profiles = self._profiles(call, kind)
        start = 0 if token is None else _after(token, kind, profiles)
        page = profiles[start : start + limit]
        more = start + limit < len(profiles)
        return json_reply(
            _ProfileList(
                [self._shown(profile, call) for profile in page], _token(page[-1].id, kind) if more else ""
            )
        )

    async def get_inference_profile(self, call: Call) -> Reply:
        """One profile of either kind, by id or ARN."""
        text, region, account = call.labels["inferenceProfileIdentifier"], call.region, call.principal.account
        check_identifier(text)
        system = system_profile(self._catalog, text, account, region)
        if system is not None and self._catalog.ended(system.model, call.today):
            raise not_found()
        profile = system or application_profile(call.state, self._catalog, text, account, region)
        if profile is None:
            raise not_found()
        return json_reply(self._shown(profile, call))

    def _models(self, call: Call) -> Iterator[_FoundationModel]:
        """Where a model is available no source lists as a whole: it is where it can be invoked at all."""
        today = call.today
        for model in self._catalog.models:
            types = self._catalog.inference_types(model, call.region)
            if types and not self._catalog.ended(model, today):
                yield self._foundation_model(model, call.region, today, types)

    def _foundation_model(
        self, model: Model, region: str, today: date, inference_types: tuple[str, ...]
    ) -> _FoundationModel:
        life = model.lifecycle
        return _FoundationModel(
            model_arn=f"arn:{self._catalog.partition(region)}:bedrock:{region}::foundation-model/{model.id}",
            model_id=model.id,
            model_name=model.name,
            provider_name=model.provider,
            input_modalities=model.input_modalities,
            output_modalities=model.output_modalities,
            response_streaming_supported=model.streaming,
            customizations_supported=(),
            inference_types_supported=inference_types,
            model_lifecycle=_Lifecycle(
                self._catalog.status(model, today), life.start, life.end, life.legacy, life.extended
            ),
        )

    def _profiles(self, call: Call, kind: str | None) -> list[AnyProfile]:
        """What is listed: system profiles in the catalogue's order, then the account's own by their ids."""
        profiles: list[AnyProfile] = []
        if kind != _APPLICATION:
            offered, today = self._catalog.profiles_from(call.region), call.today
            profiles += [profile for profile in offered if not self._catalog.ended(profile.model, today)]
        if kind != _SYSTEM:
            profiles += application_profiles(call.state, call.principal.account, call.region)
        return profiles

    def _shown(self, profile: AnyProfile, call: Call) -> _InferenceProfile:
        if isinstance(profile, ApplicationProfile):
            return self._application_profile(profile)
        return self._system_profile(profile, call.region, call.principal.account)

    def _application_profile(self, profile: ApplicationProfile) -> _InferenceProfile:
        return _InferenceProfile(
            inference_profile_name=profile.name,
            description=profile.description,
            inference_profile_arn=profile.arn,
            models=self._reached(self._catalog.profile(profile.profile), profile.model, profile.region),
            inference_profile_id=profile.id,
            status="ACTIVE",
            type=_APPLICATION,
            created_at=_instant(profile.created),
            updated_at=_instant(profile.updated),
        )

    def _system_profile(self, profile: Profile, region: str, account: str) -> _InferenceProfile:
        partition = self._catalog.partition(region)
        start = profile.model.lifecycle.start
        return _InferenceProfile(
            inference_profile_name=profile.name,
            description=_description(profile, region),
            inference_profile_arn=f"arn:{partition}:bedrock:{region}:{account}:inference-profile/{profile.id}",
            models=self._reached(profile, profile.model.id, region),
            inference_profile_id=profile.id,
            status="ACTIVE",
            type=_SYSTEM,
            # AWS shows days around the model's launch; when each profile was made is known of a few only
            created_at=start,
            updated_at=start,
        )

    def _reached(self, profile: Profile | None, model: str, region: str) -> list[_ProfileModel]:
        """The model in each region a profile routes to; without one, in its own region."""
        regions: Sequence[str] = (region,)
        if profile is not None:
            # recorded: a global profile names the model without a region and in the source region
            regions = ("", region) if profile.scope == "global" else profile.destinations(region) or regions
        partition = self._catalog.partition(region)
        return [
            _ProfileModel(f"arn:{partition}:bedrock:{name}::foundation-model/{model}") for name in regions
        ]


def _instant(nanoseconds: int) -> str:
    """In the form that was recorded: `2026-07-13T14:00:42.680622107Z`."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def _description(profile: Profile, region: str) -> str:
    """As GetInferenceProfile words it. The model bears the profile's own name, less the geography."""
    _, _, model = profile.name.partition(" ")
    if profile.scope == "global":
        return f"Routes requests to {model} globally across all supported AWS Regions."
    return f"Routes requests to {model} in {listed(profile.destinations(region))}."


def check_model_identifier(text: str) -> None:
    """Raises ValidationException for what can't be a model's id or ARN."""
    constraints = Constraints()
    constraints.length("modelIdentifier", text, 1, 2048)
    constraints.pattern("modelIdentifier", text, _MODEL_IDENTIFIER)
    constraints.check()


def _model_filters(query: Mapping[str, str]) -> list[Callable[[_FoundationModel], bool]]:
    """What the query of ListFoundationModels asks of a model."""
    provider, customization = query.get("byProvider"), query.get("byCustomizationType")
    modality, inference = query.get("byOutputModality"), query.get("byInferenceType")
    constraints = Constraints()
    constraints.pattern("byProvider", provider, _PROVIDER)
    constraints.one_of("byCustomizationType", customization, _CUSTOMIZATIONS)
    constraints.one_of("byOutputModality", modality, _MODALITIES)
    constraints.one_of("byInferenceType", inference, _INFERENCE_TYPES)
    constraints.check()
    wanted: list[Callable[[_FoundationModel], bool]] = []
    if provider is not None:
        # the guide asks for `anthropic`; the name is stored as `Anthropic`
        wanted.append(lambda model: model.provider_name.lower() == provider.lower())
    if customization is not None:
        wanted.append(lambda model: customization in model.customizations_supported)
    if modality is not None:
        wanted.append(lambda model: modality in model.output_modalities)
    if inference is not None:
        wanted.append(lambda model: inference in model.inference_types_supported)
    return wanted


def _after(token: str, kind: str | None, profiles: Sequence[AnyProfile]) -> int:
    """Where the page after a token begins. Raises ValidationException for a token not of this listing.

    An application profile that has been deleted since still tells where to go on.
    """
    last = _last(token, kind)
    ids = [profile.id for profile in profiles]
    if last in ids:
        return ids.index(last) + 1
    if is_short_id(last):
        first = sum(isinstance(profile, Profile) for profile in profiles)
        return bisect_right(ids, last, first)
    raise _bad_token()


def _last(token: str, kind: str | None) -> str:
    try:
        last = urlsafe_b64decode(token).decode().partition("/")[2]
    except ValueError:
        raise _bad_token() from None
    if _token(last, kind) != token:
        raise _bad_token()
    return last


def _bad_token() -> ValidationException:
    # the name is AWS's; how it words the text is not known
    return ValidationException("The provided nextToken is invalid.")


def _token(last: str, kind: str | None) -> str:
    """A page's end: the last profile on it, and the filter under which it was listed."""
    return urlsafe_b64encode(f"{kind or ''}/{last}".encode()).decode()
