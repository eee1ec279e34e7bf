"""Which model a caller means, and the control plane's operations that list models and inference profiles.

Knows AWS's spellings, refusals and reply shapes. The facts are the catalogue's; what is allowed to whom is
decided elsewhere.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qs

import msgspec

from outcrop.catalog import ON_DEMAND, Catalog, Model, Profile
from outcrop.errors import ResourceNotFoundException, ValidationException
from outcrop.ids import Arn, ModelId
from outcrop.service.call import Call, Handler
from outcrop.wire.constraints import Constraints
from outcrop.wire.http import JSON, Reply

BareModelId: TypeAlias = Literal["regional", "refuse"]

# Recorded. It answers all that is not a model here: malformed, unknown, a prefix the model does not have, a
# profile not offered from the caller's region, an ARN of another region (the last two: reports of users).
_INVALID = "The provided model identifier is invalid."
# Recorded.
_NO_COUNTING = "The provided model doesn't support counting tokens."
# Quoted in many reports.
_END_OF_LIFE = (
    "This model version has reached the end of its life. "
    "Please refer to the AWS documentation for more details."
)


class Target(msgspec.Struct, frozen=True):
    """What a call means by its model id; `profile` is None when the model runs on demand, in its region."""

    model: Model
    profile: Profile | None


# A caller uses few ids, and uses them over and over. Refusals are not kept.
@lru_cache(maxsize=4096)
def resolve(
    catalog: Catalog,
    text: str,
    region: str,
    today: date,
    bare_model_id: BareModelId = "regional",
    account: str = "",
) -> Target:
    """What `text` names for a call from `region`: a bare id, a profile's id, or the ARN of either.

    A bare id runs on demand where the model does; elsewhere it means the profile of the region's geography
    or, with `bare_model_id="refuse"`, is refused as AWS does. With `account`, a profile's ARN must be of it.
    Raises ValidationException or ResourceNotFoundException, with AWS's texts.
    """
    asked = _parse(catalog, text, region, account)
    model = catalog.model(asked.base)
    profile = catalog.profile(asked.profile)
    if model is None or (asked.scope and (profile is None or region not in profile.routes)):
        raise ValidationException(_INVALID)
    if catalog.ended(model, today):
        raise ResourceNotFoundException(_END_OF_LIFE)
    if profile is None and region not in model.on_demand:
        profile = catalog.regional(model, region) if bare_model_id == "regional" else None
        if profile is None:
            raise ValidationException(_not_on_demand(catalog, model, text, region, bare_model_id))
    return Target(model, profile)


@lru_cache(maxsize=4096)
def resolve_for_count(catalog: Catalog, text: str, region: str, today: date) -> Model:
    """The model whose tokens are to be counted: CountTokens takes a bare id or its ARN, never a profile.

    Raises ValidationException or ResourceNotFoundException, with AWS's texts.
    """
    asked = _parse(catalog, text, region)
    if asked.scope:
        raise ValidationException(_NO_COUNTING)
    model = catalog.model(asked.base)
    if model is None or not catalog.inference_types(model, region):
        raise ValidationException(_INVALID)
    if catalog.ended(model, today):
        raise ResourceNotFoundException(_END_OF_LIFE)
    if "count_tokens" not in model.features:
        raise ValidationException(_NO_COUNTING)
    return model


def _parse(catalog: Catalog, text: str, region: str, account: str = "") -> ModelId:
    try:
        asked = ModelId.parse(text)
    except ValueError:
        raise ValidationException(_INVALID) from None
    # an application profile can be named by its ARN only, and none has been made yet
    if asked.application or (asked.arn is not None and not _is_ours(catalog, asked.arn, region, account)):
        raise ValidationException(_INVALID)
    return asked


def _is_ours(catalog: Catalog, arn: Arn, region: str, account: str) -> bool:
    """Whether an ARN is of this region, its partition, and (where both are given) this account."""
    return (
        arn.region == region
        and arn.partition == catalog.partition(region)
        and (not account or arn.account in ("", account))
    )


def _not_on_demand(catalog: Catalog, model: Model, text: str, region: str, bare_model_id: BareModelId) -> str:
    """AWS's refusal of a bare id; where we would have taken one, with what the caller can use instead."""
    refusal = (
        f"Invocation of model ID {text} with on-demand throughput isn’t supported. "  # noqa: RUF001 - AWS's own
        "Retry your request with the ID or ARN of an inference profile that contains this model."
    )
    if bare_model_id == "refuse":
        return refusal
    profiles = [profile for profile in catalog.profiles if profile.model is model]
    here = [profile.id for profile in profiles if region in profile.routes]
    if here:
        return f"{refusal} From {region} that is {_listed(here)}."
    elsewhere = "; ".join(f"{profile.id} is offered from {_listed(profile.sources)}" for profile in profiles)
    return f"{refusal} None is offered from {region}: {elsewhere}."


def _listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


# --- the control plane's replies, as AWS's service model `bedrock` has them ---


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


class _InferenceProfile(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    inference_profile_name: str
    description: str
    inference_profile_arn: str
    models: list[_ProfileModel]
    inference_profile_id: str
    status: str
    type: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


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
_PROFILE_IDENTIFIER = re.compile(
    r"(arn:aws(|-us-gov|-cn|-iso|-iso-b):bedrock:(|[0-9a-z-]{0,20}):(|[0-9]{12}):"
    r"(inference-profile|application-inference-profile)/)?[a-zA-Z0-9-:.]+"
)
_CUSTOMIZATIONS = ("FINE_TUNING", "CONTINUED_PRE_TRAINING", "DISTILLATION")
_MODALITIES = ("TEXT", "IMAGE", "EMBEDDING")
# INFERENCE_PROFILE is what AWS returns, but not what it lets one ask for
_INFERENCE_TYPES = (ON_DEMAND, "PROVISIONED")
_SYSTEM: Final = "SYSTEM_DEFINED"
_PROFILE_TYPES = (_SYSTEM, "APPLICATION")
_MAX_RESULTS = 1000  # also the page where none is asked for: users report that one page holds them all


class ControlPlane:
    """ListFoundationModels, GetFoundationModel, ListInferenceProfiles and GetInferenceProfile.

    What is shown depends on the call's region, on the day it was received, and on the caller's account (a
    profile's ARN bears it). All handlers raise ValidationException or ResourceNotFoundException.
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
        wanted = _model_filters(_query(call))
        return _reply(
            _ModelList([model for model in self._models(call) if all(want(model) for want in wanted)])
        )

    async def get_foundation_model(self, call: Call) -> Reply:
        """One model, by id or ARN."""
        text = call.labels["modelIdentifier"]
        _check_identifier("modelIdentifier", text, _MODEL_IDENTIFIER)
        for model in self._models(call):
            if text in (model.model_id, model.model_arn):
                return _reply(_ModelDetails(model))
        raise ResourceNotFoundException("Model not found.")

    async def list_inference_profiles(self, call: Call) -> Reply:
        """The profiles offered from the call's region, in pages of `maxResults`."""
        query = _query(call)
        constraints = Constraints()
        limit = constraints.integer("maxResults", query.get("maxResults"), 1, _MAX_RESULTS) or _MAX_RESULTS
        token = query.get("nextToken")
        constraints.length("nextToken", token, 1, 2048)
        constraints.pattern("nextToken", token, _TOKEN)
        kind = query.get("type")
        constraints.one_of("typeEquals", kind, _PROFILE_TYPES)
        constraints.check()
        # application profiles: none can have been made yet
        profiles = list(self._profiles(call)) if kind in (None, _SYSTEM) else []
        start = (
            0
            if token is None
            else _after(token, kind, [profile.inference_profile_id for profile in profiles])
        )
        page = profiles[start : start + limit]
        more = start + limit < len(profiles)
        return _reply(_ProfileList(page, _token(page[-1].inference_profile_id, kind) if more else ""))

    async def get_inference_profile(self, call: Call) -> Reply:
        """One profile, by id or ARN."""
        text = call.labels["inferenceProfileIdentifier"]
        _check_identifier("inferenceProfileIdentifier", text, _PROFILE_IDENTIFIER)
        for profile in self._profiles(call):
            if text in (profile.inference_profile_id, profile.inference_profile_arn):
                return _reply(profile)
        # the name is AWS's; how it words the text is not known
        raise ResourceNotFoundException("Inference profile not found.")

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
            model_arn=self._model_arn(model, region),
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

    def _profiles(self, call: Call) -> Iterator[_InferenceProfile]:
        today = call.today
        for profile in self._catalog.profiles_from(call.region):
            if not self._catalog.ended(profile.model, today):
                yield self._inference_profile(profile, call.region, call.principal.account)

    def _inference_profile(self, profile: Profile, region: str, account: str) -> _InferenceProfile:
        # recorded: a global profile names the model without a region and in the source region
        regions = ("", region) if profile.scope == "global" else profile.destinations(region)
        partition = self._catalog.partition(region)
        start = profile.model.lifecycle.start
        return _InferenceProfile(
            inference_profile_name=profile.name,
            description=_description(profile, region),
            inference_profile_arn=f"arn:{partition}:bedrock:{region}:{account}:inference-profile/{profile.id}",
            models=[_ProfileModel(self._model_arn(profile.model, name, partition)) for name in regions],
            inference_profile_id=profile.id,
            status="ACTIVE",
            type=_SYSTEM,
            # AWS shows days around the model's launch; when each profile was made is known of a few only
            created_at=start,
            updated_at=start,
        )

    def _model_arn(self, model: Model, region: str, partition: str = "") -> str:
        partition = partition or self._catalog.partition(region)
        return f"arn:{partition}:bedrock:{region}::foundation-model/{model.id}"


def _description(profile: Profile, region: str) -> str:
    """As GetInferenceProfile words it. The model bears the profile's own name, less the geography."""
    _, _, model = profile.name.partition(" ")
    if profile.scope == "global":
        return f"Routes requests to {model} globally across all supported AWS Regions."
    return f"Routes requests to {model} in {_listed(profile.destinations(region))}."


def _check_identifier(member: str, text: str, pattern: re.Pattern[str]) -> None:
    constraints = Constraints()
    constraints.length(member, text, 1, 2048)
    constraints.pattern(member, text, pattern)
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


def _after(token: str, kind: str | None, ids: Sequence[str]) -> int:
    """Where the page after a token begins. Raises ValidationException for a token not of this listing."""
    tokens = [_token(last, kind) for last in ids]
    if token not in tokens:
        # the name is AWS's; how it words the text is not known
        raise ValidationException("The provided nextToken is invalid.")
    return tokens.index(token) + 1


def _token(last: str, kind: str | None) -> str:
    """A page's end: the last profile on it, and the filter under which it was listed."""
    return urlsafe_b64encode(f"{kind or ''}/{last}".encode()).decode()


def _query(call: Call) -> dict[str, str]:
    """The query's members; of one given twice, the first."""
    return {name: values[0] for name, values in parse_qs(call.head.query, keep_blank_values=True).items()}


def _reply(value: msgspec.Struct) -> Reply:
    return Reply(200, {"content-type": JSON}, msgspec.json.encode(value))
