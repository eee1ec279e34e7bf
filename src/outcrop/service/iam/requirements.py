"""What an operation asks of a policy: actions on resources, as a table. Knows calls, not policies.

Sources: the Service Authorization Reference of Bedrock (which actions have resources: ListInferenceProfiles,
the agreements and the use-case form have none) and the Bedrock User Guide. A call through a profile asks for

    the profile                        with the source region as aws:RequestedRegion
    the model in the source region     likewise
    the model in every destination     with that region as aws:RequestedRegion
    of a global profile instead:       arn:aws:bedrock:::foundation-model/…, with `unspecified`

all but the first with the profile's ARN as bedrock:InferenceProfileArn. The destinations are the catalogue's:
a residency that is narrower does not change what a policy has to allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from outcrop.catalog import Catalog
from outcrop.service.call import Call, Target
from outcrop.service.iam.decide import Request
from outcrop.service.iam.patterns import Value, canonical
from outcrop.service.models import check_model_identifier
from outcrop.service.profiles import ApplicationProfile, check_identifier
from outcrop.wire import profiles as bodies
from outcrop.wire import sts

Context: TypeAlias = Mapping[str, Value]
_ANY: Final = "*"
_UNSPECIFIED: Final = "unspecified"
_REGION: Final = "aws:RequestedRegion"
_PROFILE: Final = "bedrock:InferenceProfileArn"


class Asked(msgspec.Struct, frozen=True):
    """One thing asked for: a resource and what its context has besides the call's. `action` where it differs
    from the operation's.
    """

    resource: str
    facts: Context = {}
    action: str = ""


class Requirement(msgspec.Struct, frozen=True):
    """The action of an operation, and the resources that a call of it is about."""

    action: str
    resources: Callable[[Call, Catalog], Iterator[Asked]]


def of(call: Call, catalog: Catalog, context: Context, token: str = "") -> tuple[Request, ...]:
    """Everything a call asks for, in the order in which it is asked; nothing for GetCallerIdentity.

    `context` is what is the same for all of it. `token` is the kind of API key, "" for a signature: its use
    is asked for first. Raises what the operation's own reader raises for a body that it can't read.
    """
    if call.operation.name in FREE:
        return ()
    requirement = REQUIREMENTS[call.operation.name]
    base = {**context, _REGION: call.region}
    requests = [
        Request(asked.action or requirement.action, asked.resource, {**base, **asked.facts})
        for asked in requirement.resources(call, catalog)
    ]
    if token:
        facts = {**base, "bedrock:BearerTokenType": token}
        requests.insert(0, Request("bedrock:CallWithBearerToken", _ANY, facts))
    return tuple(requests)


# --- models ---


def _model(call: Call, catalog: Catalog) -> Iterator[Asked]:
    """The model that is called, by way of its profile. Without a target (a mistake of ours) it is asked for
    everything, which only a policy for everything allows.
    """
    target = call.target
    if target is None:
        yield Asked(_ANY)
        return
    base = _prefix(call, catalog)
    name = f":foundation-model/{target.model.id}"
    facts: dict[str, Value] = {}
    if target.arn:
        yield Asked(target.arn, _profile_facts(call, target.arn))
        facts = {_PROFILE: target.arn}
    yield Asked(f"{base}:{call.region}:{name}", facts)
    for region in _destinations(target, call.region):
        told = {**facts, _REGION: region or _UNSPECIFIED}
        yield Asked(f"{base}:{region}:{name}", told)


def _destinations(target: Target, source: str) -> tuple[str, ...]:
    """Where else a call may run, "" for anywhere. The source region has been asked for by itself."""
    if target.kind == "global":
        return ("",)
    return tuple(region for region in target.destinations(source) if region != source)


def _foundation_model(call: Call, catalog: Catalog) -> Iterator[Asked]:
    text = call.labels["modelIdentifier"]
    check_model_identifier(text)  # here too: a pattern's time grows with the length of what it looks at
    is_arn = text.startswith("arn:")
    yield Asked(text if is_arn else f"{_prefix(call, catalog)}:{call.region}::foundation-model/{text}")


# --- profiles ---


def _profile(call: Call, catalog: Catalog) -> Iterator[Asked]:
    text = call.labels["inferenceProfileIdentifier"]
    check_identifier(text)
    if not text.startswith("arn:"):
        # the id of a system profile has dots
        kind = "inference-profile" if "." in text else "application-inference-profile"
        text = f"{_owned(call, catalog)}:{kind}/{text}"
    yield Asked(text, _profile_facts(call, text))


def _new_profile(call: Call, catalog: Catalog) -> Iterator[Asked]:
    asked = bodies.creation(call.body)
    facts = {**_tag_facts("aws:RequestTag/", asked.tags), **_tag_keys(asked.tags)}
    new = f"{_owned(call, catalog)}:application-inference-profile/*"
    yield Asked(asked.source, facts)
    yield Asked(new, facts)
    if asked.tags:
        yield Asked(new, facts, "bedrock:TagResource")


def _tagged(call: Call, _catalog: Catalog) -> Iterator[Asked]:
    arn, tags = bodies.tagging(call.body)
    facts = {**_tag_facts("aws:RequestTag/", tags), **_tag_keys(tags)}
    yield Asked(arn, {**_profile_facts(call, arn), **facts})


def _untagged(call: Call, _catalog: Catalog) -> Iterator[Asked]:
    arn, keys = bodies.untagging(call.body)
    yield Asked(arn, {**_profile_facts(call, arn), **_tag_keys(keys)})


def _tags_listed(call: Call, _catalog: Catalog) -> Iterator[Asked]:
    arn = bodies.listing(call.body)
    yield Asked(arn, _profile_facts(call, arn))


def _profile_facts(call: Call, arn: str) -> dict[str, Value]:
    """Whose a profile is, and an application profile's tags."""
    facts: dict[str, Value] = {}
    parts = arn.split(":", 5)  # what is wrong with it the operation will say
    if len(parts) == 6 and parts[4]:
        facts["aws:ResourceAccount"] = parts[4]
    known = call.state.get(ApplicationProfile, arn)
    return {**facts, **_tag_facts("aws:ResourceTag/", known.tags)} if known else facts


def _tag_facts(prefix: str, tags: Mapping[str, str]) -> dict[str, Value]:
    return {canonical(prefix + key): value for key, value in tags.items()}


def _tag_keys(keys: Mapping[str, str] | list[str]) -> dict[str, Value]:
    return {"aws:TagKeys": tuple(keys)} if keys else {}


# --- others ---


def _no_resource(_call: Call, _catalog: Catalog) -> Iterator[Asked]:
    yield Asked(_ANY)


def _role(call: Call, _catalog: Catalog) -> Iterator[Asked]:
    wanted = sts.role_request(sts.parse(call.body))
    facts: dict[str, Value] = {"sts:RoleSessionName": wanted.session}
    if wanted.external_id:
        facts["sts:ExternalId"] = wanted.external_id
    yield Asked(wanted.role_arn, facts)


def _prefix(call: Call, catalog: Catalog) -> str:
    return f"arn:{catalog.partition(call.region)}:bedrock"


def _owned(call: Call, catalog: Catalog) -> str:
    return f"{_prefix(call, catalog)}:{call.region}:{call.principal.account}"


# GetCallerIdentity and GetSessionToken are not in it: nobody needs a permission for them, and a Deny does not
# count (IAM User Guide; API reference of STS).
REQUIREMENTS: Final[Mapping[str, Requirement]] = {
    "InvokeModel": Requirement("bedrock:InvokeModel", _model),
    "InvokeModelWithResponseStream": Requirement("bedrock:InvokeModelWithResponseStream", _model),
    "Converse": Requirement("bedrock:InvokeModel", _model),
    "ConverseStream": Requirement("bedrock:InvokeModelWithResponseStream", _model),
    "CountTokens": Requirement("bedrock:CountTokens", _model),
    "ListFoundationModels": Requirement("bedrock:ListFoundationModels", _no_resource),
    "GetFoundationModel": Requirement("bedrock:GetFoundationModel", _foundation_model),
    "ListInferenceProfiles": Requirement("bedrock:ListInferenceProfiles", _no_resource),
    "GetInferenceProfile": Requirement("bedrock:GetInferenceProfile", _profile),
    "CreateInferenceProfile": Requirement("bedrock:CreateInferenceProfile", _new_profile),
    "DeleteInferenceProfile": Requirement("bedrock:DeleteInferenceProfile", _profile),
    "TagResource": Requirement("bedrock:TagResource", _tagged),
    "UntagResource": Requirement("bedrock:UntagResource", _untagged),
    "ListTagsForResource": Requirement("bedrock:ListTagsForResource", _tags_listed),
    "ListFoundationModelAgreementOffers": Requirement(
        "bedrock:ListFoundationModelAgreementOffers", _no_resource
    ),
    "CreateFoundationModelAgreement": Requirement("bedrock:CreateFoundationModelAgreement", _no_resource),
    "DeleteFoundationModelAgreement": Requirement("bedrock:DeleteFoundationModelAgreement", _no_resource),
    "GetFoundationModelAvailability": Requirement("bedrock:GetFoundationModelAvailability", _no_resource),
    "PutUseCaseForModelAccess": Requirement("bedrock:PutUseCaseForModelAccess", _no_resource),
    "GetUseCaseForModelAccess": Requirement("bedrock:GetUseCaseForModelAccess", _no_resource),
    "AssumeRole": Requirement("sts:AssumeRole", _role),
}
FREE: Final = frozenset({"GetCallerIdentity", "GetSessionToken"})
