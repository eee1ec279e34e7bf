"""Which model a caller means by an id, and through which profile: the step that fills in a call's target.

Knows AWS's spellings of a model and AWS's refusals, and for people why an id is refused. What is allowed to
whom, and in which of the profile's destinations a call runs, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import date
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec

from outcrop.catalog import Catalog, Model, Profile
from outcrop.errors import ResourceNotFoundException, ValidationException
from outcrop.ids import Arn, ModelId
from outcrop.service.call import Call, Handler, Target
from outcrop.service.profiles import ApplicationProfile, is_of, is_short_id
from outcrop.wire.http import Reply

BareModelId: TypeAlias = Literal["regional", "refuse"]

_APPLICATION: Final = ":application-inference-profile/"
# Recorded. It answers all that is not a model here: malformed, unknown, a prefix the model does not have, a
# profile not offered from the caller's region, an ARN of another region, an application profile's short id
# (the last three: reports of users).
INVALID = "The provided model identifier is invalid."
# Recorded.
_NO_COUNTING = "The provided model doesn't support counting tokens."
# Quoted in many reports.
END_OF_LIFE = (
    "This model version has reached the end of its life. "
    "Please refer to the AWS documentation for more details."
)


class Targets:
    """Finds out what calls mean. With `bare_model_id` see `resolve`."""

    def __init__(self, catalog: Catalog, bare_model_id: BareModelId = "regional") -> None:
        self._catalog = catalog
        self._bare_model_id = bare_model_id

    def find(self, call: Call, inner: Handler) -> Awaitable[Reply]:
        """The step: the call goes on with its target; of an operation that calls no model, as it is.

        Raises ValidationException or ResourceNotFoundException, with AWS's texts.
        """
        target = self.target(call)
        return inner(call if target is None else msgspec.structs.replace(call, target=target))

    def target(self, call: Call) -> Target | None:
        """What the call means; None for an operation that calls no model. Raises as `find` does."""
        if call.operation.runs_a_model:
            text, region, account = call.labels["modelId"], call.region, call.principal.account
            if _APPLICATION in text:
                return self._application(call, text)
            return resolve(self._catalog, text, region, call.today, self._bare_model_id, account)
        if call.operation.name == "CountTokens":
            model = resolve_for_count(self._catalog, call.labels["modelId"], call.region, call.today)
            # counted where the bare id would be answered, so by an engine that might be asked for the answer
            here = call.region in model.on_demand
            return Target(model, None if here else self._catalog.regional(model, call.region))
        return None

    def _application(self, call: Call, arn: str) -> Target:
        """What an application profile was copied from, as it stands today.

        One that was deleted, or never was, or is of another account or region is no model identifier.
        """
        made = call.state.get(ApplicationProfile, arn)
        if made is None or made.region != call.region or made.account != call.principal.account:
            raise ValidationException(INVALID)
        copied = made.profile or made.model
        target = resolve(self._catalog, copied, made.region, call.today, "refuse", made.account)
        return Target(target.model, target.profile, arn)


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
    """What `text` names for a call from `region`: a bare id, a system profile's id, or the ARN of either.

    A bare id runs on demand where the model does; elsewhere it means the profile of the region's geography
    or, with `bare_model_id="refuse"`, is refused as AWS does. With `account`, a profile's ARN must be of it.
    Raises ValidationException or ResourceNotFoundException, with AWS's texts.
    """
    asked = _parse(catalog, text, region, account)
    model = catalog.model(asked.base)
    profile = catalog.profile(asked.profile)
    if model is None or (asked.scope and (profile is None or region not in profile.routes)):
        raise ValidationException(INVALID)
    if catalog.ended(model, today):
        raise ResourceNotFoundException(END_OF_LIFE)
    if profile is None and region not in model.on_demand:
        profile = catalog.regional(model, region) if bare_model_id == "regional" else None
        if profile is None:
            raise ValidationException(_not_on_demand(catalog, model, text, region, bare_model_id))
    if profile is None:
        return Target(model, None)
    arn = Arn(catalog.partition(region), "bedrock", region, account, f"inference-profile/{profile.id}")
    return Target(model, profile, str(arn))


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
        raise ValidationException(INVALID)
    if catalog.ended(model, today):
        raise ResourceNotFoundException(END_OF_LIFE)
    if "count_tokens" not in model.features:
        raise ValidationException(_NO_COUNTING)
    return model


def why_not(
    catalog: Catalog,
    text: str,
    region: str,
    today: date = date.min,
    bare_model_id: BareModelId = "regional",
) -> str:
    """For people: why a call from `region` can't name a model by `text`, and what to name instead.

    "" where it can. Of an application profile's ARN only the region is judged: which ones exist is not known
    here. `today` and `bare_model_id` are as for `resolve`.
    """
    if region not in catalog.regions:
        return f"{region} is not a region that Bedrock has."
    try:
        asked = ModelId.parse(text)
    except ValueError:
        return _unreadable(catalog, text, region)
    if asked.arn is not None and not is_of(catalog, asked.arn, region, ""):
        place = asked.arn.region or "no region"
        return f"The ARN is of {place} ({asked.arn.partition}), and the call is made from {region}."
    model = catalog.model(asked.base)
    if asked.application:
        return ""
    if model is None:
        return f"Bedrock has no model {asked.base}.{_near(catalog, asked.base, region)}"
    if catalog.ended(model, today):
        return f"{model.name} has reached the end of its life."
    return _not_offered(catalog, asked, model, region, bare_model_id)


def _not_offered(
    catalog: Catalog, asked: ModelId, model: Model, region: str, bare_model_id: BareModelId
) -> str:
    """Why a model that exists can't be called like this from here; "" where it can."""
    profile = catalog.profile(asked.profile)
    if asked.scope and profile is None:
        return f"{model.name} has no profile {asked.profile}. {_instead(catalog, model, region)}"
    if profile is not None and region not in profile.routes:
        sources = listed(profile.sources)
        return (
            f"{profile.id} is offered from {sources}, not from {region}. {_instead(catalog, model, region)}"
        )
    if profile is not None or region in model.on_demand:
        return ""
    if bare_model_id == "regional" and catalog.regional(model, region):
        return ""
    return f"{model.name} does not run on demand in {region}. {_instead(catalog, model, region)}"


def _unreadable(catalog: Catalog, text: str, region: str) -> str:
    if is_short_id(text):
        partition = catalog.partition(region)
        return (
            "An application profile is called by its ARN, not by its id: "
            f"arn:{partition}:bedrock:{region}:<account>{_APPLICATION}{text}"
        )
    shown = text if len(text) <= 200 else f"{text[:200]}…"
    return (
        f"{shown!r} has the form neither of a model's or a profile's id nor of the ARN of one."
        f"{_near(catalog, text, region)}"
    )


def _near(catalog: Catalog, text: str, region: str) -> str:
    """The model that may have been meant: by its name in Anthropic's own API, or by nearly this id."""
    from difflib import get_close_matches

    called = {name: model for model in catalog.models for name in model.short_names}
    ids = {model.id: model for model in catalog.models}
    model = called.get(text) or called.get(text.removeprefix("anthropic."))
    if model is None:
        found = get_close_matches(text, ids, 1, 0.8)
        model = ids[found[0]] if found else None
    return "" if model is None else f" If {model.name} is meant: {_instead(catalog, model, region)}"


def _instead(catalog: Catalog, model: Model, region: str) -> str:
    """By which ids a model can be called from a region, or else from where it can be."""
    here = [model.id] if region in model.on_demand else []
    profiles = [profile for profile in catalog.profiles if profile.model is model]
    here += [profile.id for profile in profiles if region in profile.routes]
    if here:
        return f"From {region} it is called as {listed(here, 'or')}."
    return f"It can't be called from {region}: {_elsewhere(model, profiles)}."


def _elsewhere(model: Model, profiles: Sequence[Profile]) -> str:
    offers = [f"{profile.id} is offered from {listed(profile.sources)}" for profile in profiles]
    if model.on_demand:
        offers.insert(0, f"{model.id} runs on demand in {listed(sorted(model.on_demand))}")
    return "; ".join(offers) or "it has no profile"


def _parse(catalog: Catalog, text: str, region: str, account: str = "") -> ModelId:
    try:
        asked = ModelId.parse(text)
    except ValueError:
        raise ValidationException(INVALID) from None
    if asked.application or (asked.arn is not None and not is_of(catalog, asked.arn, region, account)):
        raise ValidationException(INVALID)
    return asked


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
        return f"{refusal} From {region} that is {listed(here)}."
    elsewhere = "; ".join(f"{profile.id} is offered from {listed(profile.sources)}" for profile in profiles)
    return f"{refusal} None is offered from {region}: {elsewhere}."


def listed(words: Sequence[str], last: str = "and") -> str:
    """Words as a sentence has them: `a`, `a and b`, `a, b and c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
