"""How AWS words a refusal by policy. Knows decisions; not requests' origin, not HTTP.

Sources: the IAM User Guide, "Troubleshoot access denied error messages", and reports of users, with whose
messages these agree: `User: arn:aws:sts::…:assumed-role/… is not authorized to perform:
bedrock:InvokeModelWithResponseStream on resource: arn:aws:bedrock:::foundation-model/… with an explicit deny
in a service control policy`. An action without resources names none (reports of users, ListFoundationModels);
the use of an API key names `*` (reports of users, CallWithBearerToken).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outcrop.service.iam.decide import Decision, Layer, Request

_KINDS: Final[Mapping[Layer, str]] = {
    "identity": "identity-based policy",
    "boundary": "permissions boundary",
    "account": "service control policy",
    "session": "session policy",
    "trust": "role trust policy",
}
_ARTICLES: Final[Mapping[Layer, str]] = {"identity": "an", "trust": "the"}
_BEARER: Final = "bedrock:CallWithBearerToken"


def refusal(who: str, request: Request, decision: Decision) -> str:
    """What the caller with the ARN `who` is told."""
    on = f" on resource: {request.resource}"
    if request.resource == "*" and request.action != _BEARER:
        on = ""
    return f"User: {who} is not authorized to perform: {request.action}{on} {because(request, decision)}"


def because(request: Request, decision: Decision) -> str:
    """The reason alone: which kind of policy denies, or does not allow."""
    kind = _KINDS[decision.layer]
    if decision.reason == "explicit deny":
        return f"with an explicit deny in {_ARTICLES.get(decision.layer, 'a')} {kind}"
    return f"because no {kind} allows the {request.action} action"
