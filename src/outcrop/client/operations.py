"""What a client can be asked, each operation written once: the request, and what its reply becomes.

Every function is a conversation in the sense of `call`, so the same serves both drivers: it yields steps and
returns a typed result, or, for streams, the Outcome from which a driver makes its own stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from outcrop.client import requests
from outcrop.client.call import exchange
from outcrop.client.core import About
from outcrop.client.errors import APIResponseValidationError, ModelNameError, UsageError
from outcrop.client.replies import decode, not_an_answer
from outcrop.client.requests import resource_path
from outcrop.types import (
    ConverseResponse,
    Identity,
    Message,
    MessageTokensCount,
    ModelSummary,
    ProfileSummary,
    message_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from outcrop.client.call import Outcome, Step
    from outcrop.client.core import Core
    from outcrop.client.snapshot import Snapshot

    Conversation = Generator[Step, Any, Any]

_FINE_GRAINED: Final = "fine-grained-tool-streaming-2025-05-14"
_PAGE: Final = ("maxResults", "1000")  # the most that ListInferenceProfiles gives


def create(core: Core, params: dict[str, Any]) -> Generator[Step, Any, Message]:
    """A message, whole."""
    outcome = yield from message_outcome(core, params)
    return read_message(outcome)


def message_outcome(core: Core, params: dict[str, Any]) -> Generator[Step, Any, Outcome]:
    """A message as it came; with `stream` in the parameters, an open stream."""
    return (yield from exchange(core, requests.message(core.common(params), params)))


def read_message(outcome: Outcome) -> Message:
    """The message of a reply, with what is known about it."""
    raw = decode(outcome.response)
    if "content" not in raw:
        raise not_an_answer(outcome.response)
    message = message_of(raw)
    message.set_about(About(outcome.response, outcome.placement))
    return message


def count_tokens(core: Core, params: dict[str, Any]) -> Generator[Step, Any, MessageTokensCount]:
    """How many input tokens a message would have."""
    outcome = yield from count_outcome(core, params)
    return read_count(outcome)


def count_outcome(core: Core, params: dict[str, Any]) -> Generator[Step, Any, Outcome]:
    """A count as it came."""
    common = core.common(params)
    # AWS counts for a model, not for a profile; where the model runs does not change the count
    counted = tuple(
        dict.fromkeys(
            place._replace(model=place.base) if place.base else place for place in common.placements
        )
    )
    call = requests.count_tokens(replace(common, placements=counted), params)
    return (yield from exchange(core, call))


def read_count(outcome: Outcome) -> MessageTokensCount:
    """The count of a reply, by Anthropic's name."""
    count = decode(outcome.response).get("inputTokens")
    if not isinstance(count, int):
        raise not_an_answer(outcome.response)
    return MessageTokensCount.of({"input_tokens": count})


def converse(core: Core, params: dict[str, Any]) -> Generator[Step, Any, ConverseResponse]:
    """Converse, whole."""
    outcome = yield from converse_outcome(core, params, stream=False)
    raw = decode(outcome.response)
    if "output" not in raw:
        raise not_an_answer(outcome.response)
    reply = ConverseResponse.of(raw)
    reply.set_about(About(outcome.response, outcome.placement))
    return reply


def converse_outcome(core: Core, params: dict[str, Any], *, stream: bool) -> Generator[Step, Any, Outcome]:
    """Converse as it came, or its open stream."""
    if "modelId" in params and "model" not in params:
        raise TypeError("'modelId' is no parameter of this call: it is `model` here")
    call = requests.converse(core.common(params), params, stream=stream)
    return (yield from exchange(core, call))


def list_models(
    core: Core, *, kind: str | None, provider: str | None
) -> Generator[Step, Any, list[ModelSummary | ProfileSummary]]:
    """Foundation models and system and application profiles; `kind` leaves one of the two."""
    if kind not in (None, "foundation-model", "inference-profile"):
        raise UsageError(
            f"kind={kind!r} is no kind of model.", "Give 'foundation-model', 'inference-profile' or nothing."
        )
    found: list[ModelSummary | ProfileSummary] = []
    if kind != "inference-profile":
        query = [("byProvider", provider)] if provider else []
        outcome = yield from exchange(core, requests.control(core.here, "/foundation-models", query))
        found += _summaries(outcome, "modelSummaries", ModelSummary.of)
    if kind != "foundation-model":
        profiles = yield from _profiles(core)
        found += [profile for profile in profiles if _is_by(profile, provider)]
    return found


def _is_by(profile: ProfileSummary, provider: str | None) -> bool:
    """Whether a profile is of that provider's model. An account's own profiles do not tell."""
    return not provider or profile.type == "APPLICATION" or f".{provider.lower()}." in profile.id


def _profiles(core: Core) -> Generator[Step, Any, list[ProfileSummary]]:
    """All pages of ListInferenceProfiles: system profiles, then the account's own."""
    found: list[ProfileSummary] = []
    for kind in ("SYSTEM_DEFINED", "APPLICATION"):
        token = ""
        while True:
            query = [_PAGE, ("type", kind)] + [("nextToken", token)] * bool(token)
            outcome = yield from exchange(core, requests.control(core.here, "/inference-profiles", query))
            found += _summaries(outcome, "inferenceProfileSummaries", ProfileSummary.of)
            last, token = token, decode(outcome.response).get("nextToken") or ""
            if not token:
                break
            if token == last:  # it would go on for ever
                raise not_an_answer(outcome.response)
    return found


def _summaries(outcome: Outcome, member: str, of: Callable[[dict[str, Any]], Any]) -> list[Any]:
    rows = decode(outcome.response).get(member)
    if not isinstance(rows, list):
        raise not_an_answer(outcome.response)
    return [of(row) for row in rows]


def get_model(core: Core, model: str) -> Generator[Step, Any, ModelSummary | ProfileSummary]:
    """One model or inference profile, by id, ARN or short name (which gives what a call would use)."""
    if not model:
        raise ModelNameError("The model's name is empty.", "Give an id, an ARN or a short name.")
    placement = core.placer.place(model)[0]
    if placement.scope or "inference-profile" in placement.model:
        path = resource_path("inference-profiles", placement.model)
        outcome = yield from exchange(core, requests.control(core.here, path))
        return ProfileSummary.of(decode(outcome.response))
    path = resource_path("foundation-models", placement.model)
    outcome = yield from exchange(core, requests.control(core.here, path))
    details = decode(outcome.response).get("modelDetails")
    if not isinstance(details, dict):
        raise not_an_answer(outcome.response)
    return ModelSummary.of(details)


def identity(core: Core) -> Generator[Step, Any, Identity]:
    """Who the credentials belong to, as `aws sts get-caller-identity` says it."""
    outcome = yield from exchange(core, requests.identity(core.here))
    members = {name: _element(outcome, tag) for name, tag in _IDENTITY}
    return Identity.of(members)


_IDENTITY: Final = (("account", "Account"), ("arn", "Arn"), ("user_id", "UserId"))


def _element(outcome: Outcome, tag: str) -> str:
    """The text of an element of STS's XML, which has no attributes and nothing nested in these."""
    from html import unescape

    text = outcome.response.text
    opening = f"<{tag}>"
    start = text.find(opening)
    end = text.find("<", start + 1)
    if start < 0 or end < 0:
        raise APIResponseValidationError(
            outcome.response, text, message=f"STS's answer has no {tag}: {text[:200]!r}"
        )
    return unescape(text[start + len(opening) : end])


def snapshot_of(outcome: Outcome) -> Snapshot:
    """What will add up the events of an open stream."""
    from outcrop.client.snapshot import Snapshot

    betas = outcome.response.request.headers.get("anthropic-beta", "")
    # under this beta a tool's input comes unchecked, and `anthropic` shows a string that is not complete too
    return Snapshot(About(outcome.response, outcome.placement), cut_strings=_FINE_GRAINED in betas)


def text_of(message: Message) -> str:
    """All text of a message. Raises RuntimeError when it has none, as `anthropic` does."""
    texts = [block.text for block in message.content if block.type == "text"]
    if not texts:
        kinds = ", ".join(block.type for block in message.content) or "nothing"
        raise RuntimeError(f"the answer has no text, but {kinds}: read get_final_message().content")
    return "".join(texts)
