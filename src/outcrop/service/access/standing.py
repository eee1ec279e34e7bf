"""How an account stands with a model, in both modes, and what is said of it. Knows records, no operation.

open      granted on first use; no form; only what the operator revoked is refused
request   the form once an account, then an agreement for each model; or the operator's grant
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from outcrop.catalog import Model
from outcrop.errors import AccessDeniedException, Fault, ResourceNotFoundException
from outcrop.service.access.records import Agreement, How, Mode, UseCase, agreement_key
from outcrop.store import Reading

State: TypeAlias = Literal["granted", "on first use", "form missing", "no agreement", "revoked"]

# Both quoted in many reports of users.
FORM_MISSING: Final = (
    "Model use case details have not been submitted for this account. "
    "Fill out the Anthropic use case details form before using the model. "
    "If you have already filled out the form, try again in 15 minutes."
)
NO_ACCESS: Final = "You don't have access to the model with the specified model ID."

_REFUSALS: Final[Mapping[State, tuple[type[Fault], str]]] = {
    "form missing": (ResourceNotFoundException, FORM_MISSING),
    "no agreement": (AccessDeniedException, NO_ACCESS),
    "revoked": (AccessDeniedException, NO_ACCESS),
}


class Standing(msgspec.Struct, frozen=True):
    """How an account stands with a model: `how` and `since` (epoch seconds) are its agreement's, where it has
    one; `next` is what to do next, as a sentence, "" where nothing need be done."""

    state: State
    how: How | Literal[""] = ""
    since: int | None = None
    next: str = ""

    @property
    def allowed(self) -> bool:
        """Whether a call of the model passes."""
        return self.state not in _REFUSALS

    def refusal(self) -> Fault | None:
        """What a call of the model is answered with; None where it passes."""
        return refusal(self.state)


def state_of(state: Reading, account: str, agreement: Agreement | None, mode: Mode) -> State:
    """How an account stands with the model of its `agreement`, None where it has none."""
    if agreement is not None and agreement.revoked:
        return "revoked"
    if mode == "open":
        return "on first use" if agreement is None else "granted"
    if agreement is not None and agreement.how == "granted by operator":
        return "granted"
    if state.get(UseCase, account) is None:
        return "form missing"
    return "no agreement" if agreement is None else "granted"


def refusal(state: State) -> Fault | None:
    """AWS's refusal of a call in that state; None where the call passes."""
    if state not in _REFUSALS:
        return None
    kind, text = _REFUSALS[state]
    return kind(text)


def standing(state: Reading, account: str, model: Model, mode: Mode) -> Standing:
    """How an account stands with a model, for people."""
    agreement = state.get(Agreement, agreement_key(account, model.id))
    stands = state_of(state, account, agreement, mode)
    what_next = _next(stands, short_name(model))
    if agreement is None:
        return Standing(stands, next=what_next)
    return Standing(stands, agreement.how, agreement.since, what_next)


def short_name(model: Model) -> str:
    """The shortest of the names that people may call a model by."""
    return min(model.short_names, key=len)


def _next(state: State, name: str) -> str:
    if state == "granted":
        return ""
    if state == "on first use":
        return "Call it: the first call grants it."
    if state == "revoked":
        return f"Give it back: `outcrop access grant --model {name}`."
    return f"Ask for it: `outcrop access request --model {name}`."
