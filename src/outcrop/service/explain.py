"""What would happen to a call, step by step and in words, decided by the steps that decide it.

    model id → policies → model access → residency → quota → destination       (then price and advice)

The findings have the order of the steps, so the first "no" is what the caller reads. Knows every step of a
call that runs a model (CountTokens runs none); makes none, contacts nobody, takes nothing from a quota. What
only the running endpoint knows (which engine is sick at this moment) and only the call itself has (its
address, how long its input is) is not in it.
"""

from __future__ import annotations

import difflib
import random
import shlex
import time
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

import msgspec

from outcrop.catalog import Catalog, Model, quotas
from outcrop.catalog.prices import Tokens, cost
from outcrop.engine import Question
from outcrop.errors import AccessDeniedException, Fault, OutcropError, ThrottlingException
from outcrop.ids import Arn
from outcrop.service import naming
from outcrop.service.access import Access
from outcrop.service.call import Call, Principal, Target
from outcrop.service.iam import texts
from outcrop.service.iam.context import PASSING
from outcrop.service.iam.decide import Decision, Request
from outcrop.service.iam.step import Authoriser, Decided, layers_of
from outcrop.service.identity import assumed_arn
from outcrop.service.naming import TEMPORARY
from outcrop.service.principals import AccessKey, ApiKey, Role, User
from outcrop.service.profiles import ApplicationProfile
from outcrop.service.quota.limits import ANY, Bucket, QuotaLimit, table
from outcrop.service.quota.step import TEXTS, WORDS, Left, Quotas
from outcrop.service.routing.dispatch import Dispatcher
from outcrop.service.routing.places import Fleet
from outcrop.service.routing.residency import Residency
from outcrop.service.targets import BareModelId, Targets, listed, resolve, why_not
from outcrop.store import Snapshot
from outcrop.wire.http import Head
from outcrop.wire.operations import BY_NAME

Verdict: TypeAlias = Literal["yes", "no", "note"]

_SESSION: Final = "explain"  # the session's name where a role is asked about
_EXAMPLE: Final = Tokens(input=10_000, output=1_000)
_INVOKE: Final = "bedrock:InvokeModel"  # Converse asks for it, too
_SHOWN: Final = 4  # resources that are named before "and N more"
_LIMITS: Final = dict(zip(quotas.NAMES, TEXTS, strict=True))
# What a policy can look at and only a real call has; its time is now.
_UNKNOWN: Final = PASSING - {"aws:CurrentTime", "aws:EpochTime"}


class Finding(msgspec.Struct, frozen=True):
    """What one step says: whether the call passes it ("note" decides nothing), why, and what to do if not.

    `policy` is the document that `fix` tells to put, where that is what is to be done.
    """

    step: str
    verdict: Verdict
    text: str
    details: tuple[str, ...] = ()
    fix: str = ""
    policy: dict[str, Any] | None = None


class Explanation(msgspec.Struct, frozen=True):
    """All findings, in the order of the steps. `answered` is whether the call would be sent to an engine."""

    answered: bool
    findings: tuple[Finding, ...]


class Explainer:
    """Explains calls that run models. `quotas` is None where they are not enforced.

    Of the fleet's engines only names and places count: none is asked.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        bare_model_id: BareModelId,
        access: Access,
        residency: Residency,
        quotas: Quotas | None,
        fleet: Fleet,
    ) -> None:
        self._catalog = catalog
        self._bare_model_id = bare_model_id
        self._targets = Targets(catalog, bare_model_id)
        self._authoriser = Authoriser(catalog)
        self._access = access
        self._residency = residency
        self._quotas = quotas
        self._fleet = fleet

    def explain(self, call: Call, max_tokens: int | None = None) -> Explanation:
        """What would happen to `call`, which `asking` makes.

        `max_tokens` is what it asks for, None the most that the model gives: what Converse takes for a call
        that does not say. Raises OutcropError where it is more than that.
        """
        try:
            target = self._targets.target(call)
        except Fault as fault:
            return Explanation(False, (self._no_target(call, fault),))
        if target is None:
            raise ValueError(f"{call.operation.name} calls no model")
        asked = _tokens_asked(target.model, max_tokens)
        regions = self._residency.regions(call, target)
        call = msgspec.structs.replace(call, target=target, regions=regions)
        findings = (
            self._meaning(call, target),
            self._permission(call),
            self._model_access(call, target.model),
            self._bindings(call, target),
            self._quota(call, target, asked),
            *self._destination(call, target),
            *self._price(call, target),
            *self._advice(call, target),
        )
        return Explanation(all(finding.verdict != "no" for finding in findings), findings)

    def _no_target(self, call: Call, fault: Fault) -> Finding:
        text, account = call.labels["modelId"], call.principal.account
        made = call.state.get(ApplicationProfile, text)
        if made is not None and (made.account, made.region) == (account, call.region):
            copied = made.profile or made.model
            why = why_not(self._catalog, copied, call.region, call.today, "refuse")
            why = f"{text} is an application profile, copied from {copied}. {why}"
        else:
            why = why_not(self._catalog, text, call.region, call.today, self._bare_model_id)
            # "" for a form that is right
            why = why or f"Account {account} has no profile {text} in {call.region}."
        fix = (
            f"{self._meant(text)}Use an id that is offered from {call.region}: ListInferenceProfiles and "
            "ListFoundationModels name them all."
        )
        return Finding("model id", "no", why, (_answered(fault),), fix)

    def _meant(self, text: str) -> str:
        """A question for who has misspelt a model's id or short name; the prefix stays as it is."""
        geography, dot, name = text.partition(".")
        if geography not in {profile.scope for profile in self._catalog.profiles}:
            geography, dot, name = "", "", text
        models = self._catalog.models
        known = [each for model in models for each in (*model.short_names, model.id)]
        close = difflib.get_close_matches(name.lower(), known, n=1)
        return f"Did you mean {geography}{dot}{close[0]}? " if close and close[0] != name else ""

    def _meaning(self, call: Call, target: Target) -> Finding:
        asked, model, profile = call.labels["modelId"], target.model, target.profile
        copied = ":application-inference-profile/" in target.arn
        if profile is None:
            meant = f"an application profile, copied from {model.id}:" if copied else ""
            text = f"{asked} is {meant or model.name + ','} on demand: a call from {call.region} runs there."
            return Finding("model id", "yes", text)
        if copied:
            meant = f"is an application profile, copied from {profile.id}"
        else:
            meant = "is a profile" if asked == profile.id else f"means {profile.id} here"
        where = _some(target.destinations(call.region))
        text = f"{asked} {meant} ({profile.name}): a call from {call.region} may run in {where}."
        return Finding("model id", "yes", text)

    def _permission(self, call: Call) -> Finding:
        try:
            decided = self._authoriser.explain(call)
        except Fault as unreadable:  # a policy that is none
            fix = "Put that policy anew: `outcrop users policy put`."
            return Finding("policies", "no", f"{unreadable.reason}.", (_answered(unreadable),), fix)
        unknown = _not_known(call)
        refused = [(request, decision) for request, decision in decided if not decision.allowed]
        if not refused:
            text = "All that the call asks for is allowed."
            return Finding("policies", "yes", text, (*_granted(decided), *unknown))
        request, decision = refused[0]
        fault = AccessDeniedException(texts.refusal(call.principal.arn, request, decision))
        more = len(refused) - 1
        also = ""
        if more:
            also = f" Of the {len(decided)} things it asks for, {more} more {_are(more)} refused."
        text = f"{_why_refused(request, decision)}{also}"
        fix, policy = _mended(call.principal, refused)
        return Finding("policies", "no", text, (_answered(fault), *unknown), fix, policy)

    def _model_access(self, call: Call, model: Model) -> Finding:
        standing = self._access.status(call.state, call.principal.account, model)
        text = f"Account {call.principal.account} and {model.name}: {standing.state}."
        fault = standing.refusal()
        if fault is None:
            return Finding("model access", "yes", text)
        return Finding("model access", "no", text, (_answered(fault),), standing.next)

    def _bindings(self, call: Call, target: Target) -> Finding:
        bindings = self._residency.bindings(call.state, call.principal)
        bound = tuple(f"{binding}." for binding in bindings)
        if call.principal.key == TEMPORARY:
            bound += ("Who takes on the role keeps bindings of their own: these are not known here.",)
        if not bindings:
            text = "Neither endpoint nor account nor caller is bound to regions."
            return Finding("residency", "yes", text, bound)
        if call.regions:
            text = f"Of these regions the bindings leave {_some(call.regions)}."
            return Finding("residency", "yes", text, bound)
        fault = AccessDeniedException(self._residency.refusal(call, target))
        fix = (
            "Call from a region and by an id that fit, or change what binds: `outcrop users bind` for callers"
            " and accounts, the setting bedrock.residency for the endpoint."
        )
        return Finding("residency", "no", "It may run nowhere.", (*bound, _answered(fault)), fix)

    def _quota(self, call: Call, target: Target, asked: int) -> Finding:
        """`asked` is the call's max_tokens; its input, which is taken too, is 1 token at least."""
        account, model = call.principal.account, target.model
        if self._quotas is None:
            return Finding("quota", "note", "Quotas are not enforced (bedrock.quotas is false).")
        left = self._quotas.left(call.state, account, model, call.region, target.kind, call.received)
        told = (f"The {target.kind} quota of account {account} in {call.region}:", *map(_left, left))
        short = next(
            (each for each in left if each.left is not None and each.left <= _least(each, asked)), None
        )
        if short is None:
            text = (
                f"Enough is left for a call with max_tokens {asked:,}, if its input is no longer than the "
                "rest: both are taken before it is sent."
            )
            return Finding("quota", "yes", text, told)
        fault = ThrottlingException(TEXTS["tokens_day" if short.limit == 0 else _LIMITS[short.quota]])
        bucket = Bucket(account, model.id, call.region, target.kind)
        fix = _more_quota(short, asked, table(call.state).holder(bucket, short.quota), bucket)
        return Finding("quota", "no", _too_little(short, asked), (*told, _answered(fault)), fix)

    def _destination(self, call: Call, target: Target) -> Iterator[Finding]:
        """Who may be asked, in which region; nothing where the call may run nowhere."""
        if not call.regions:
            return
        found = self._fleet.candidates(target.model.id, call.regions, call.region)
        if not found:
            fault = _nobody(call, target.model)
            text = f"No engine serves {target.model.id} in {_some(call.regions)}."
            fix = "Give an engine that region and model: `regions` and `models` of `[engines.<name>]`."
            yield Finding("destination", "no", text, (_answered(fault),), fix)
            return
        told = tuple(
            f"{one.place.name} in {one.region}"
            + (", which is simulated: this engine stands for every region" if one.place.simulated else "")
            + "."
            for one in found
        )
        text = f"It may be sent to {'one of these engines' if len(found) > 1 else 'this engine'}:"
        yield Finding("destination", "yes", text, told)

    def _price(self, call: Call, target: Target) -> Iterator[Finding]:
        model = target.model
        scope = "" if target.profile is None else target.profile.scope
        here = cost(model.id, scope, _EXAMPLE, region=call.region)
        if here is None:
            yield Finding("price", "note", f"The catalogue has no price of {model.name} for this.")
            return
        details = [f"For example, as Bedrock charges it: {here}."]
        everywhere = cost(model.id, "global", _EXAMPLE, region=call.region)
        if everywhere is not None and self._global(call, target) is not None:
            details.append(f"By the global profile: {everywhere}.")
        yield Finding("price", "note", "This endpoint itself charges nothing.", tuple(details))

    def _global(self, call: Call, target: Target) -> Target | None:
        """The global profile, where it is another choice for this call."""
        profile = self._catalog.profile(f"global.{target.model.id}")
        if target.kind == "global" or profile is None or call.region not in profile.routes:
            return None
        return resolve(
            self._catalog, profile.id, call.region, call.today, self._bare_model_id, call.principal.account
        )

    def _advice(self, call: Call, target: Target) -> Iterator[Finding]:
        """When the global profile would be the better choice."""
        other = self._global(call, target)
        if other is None:
            return
        name = f"global.{target.model.id}"
        more = set(self._residency.regions(call, other)).difference(call.regions)
        if not more:
            text = f"{name} would reach no other region: the bindings hold for it, too."
        elif not self._allows(msgspec.structs.replace(call, target=other)):
            text = f"{name} could run in {_more(more)}, but this caller's policies refuse it."
        else:
            text = f"{name} could run in {_more(more)}{self._dearer(call, target)}. Stay where data must."
        yield Finding("advice", "note", text)

    def _dearer(self, call: Call, target: Target) -> str:
        """How the call's price stands to that of the global profile."""
        scope = "" if target.profile is None else target.profile.scope
        here = cost(target.model.id, scope, _EXAMPLE, region=call.region)
        everywhere = cost(target.model.id, "global", _EXAMPLE, region=call.region)
        if here is None or everywhere is None:
            return ""
        percent = round(100 * (here.usd - everywhere.usd) / everywhere.usd)
        return f"; this one costs {percent} % more" if percent else ", and costs the same"

    def _allows(self, call: Call) -> bool:
        try:
            return all(decision.allowed for _, decision in self._authoriser.explain(call))
        except Fault:  # a policy that can't be read
            return False


def asking(
    state: Snapshot,
    *,
    caller: Principal,
    region: str,
    model_id: str,
    operation: str,
    now: float,
) -> Call:
    """A call as `caller` would make it, to be explained."""
    # policies ask for more where an API key is used
    headers = {"authorization": "Bearer"} if state.get(ApiKey, caller.key) else {}
    return Call(
        head=Head("POST", f"/model/{model_id}/{operation}", "", headers),
        operation=BY_NAME[operation],
        labels={"modelId": model_id},
        body=b"",
        principal=caller,
        region=region,
        request_id="",
        received=now,
        began=0,
        state=state,
    )


def caller_named(state: Snapshot, named: str, account: str, now: float) -> Principal:
    """Who is meant by an access key id, an API key's or a user's name, or a user's, role's or session's ARN.

    `account` is where a bare user's name is looked for. Raises OutcropError when nobody is, and for a key
    that is revoked or, at `now` (epoch seconds), has expired: nothing of a call with it would be looked at.
    """
    key = state.get(AccessKey, named) or state.get(ApiKey, named)
    if key is not None:
        _check_usable(key, now)
    owner = named if key is None else key.owner
    session = _SESSION
    if ":assumed-role/" in owner:
        account, role_name, session = _session(owner)
        owner = naming.role_arn(account, role_name)
    elif not owner.startswith("arn:"):
        owner = naming.user_arn(account, owner)
    user, role = state.get(User, owner), state.get(Role, owner)
    if user is not None:
        return Principal(user.arn, user.user_id, user.account, "" if key is None else key.key, user.arn)
    if role is not None:
        arn = assumed_arn(role, session)
        return Principal(arn, f"{role.role_id}:{session}", role.account, TEMPORARY, role.arn)
    raise OutcropError(
        f"There is no key, user or role {named!r}.",
        "See `outcrop keys list` and `outcrop users list`. A role is named by its ARN, temporary credentials "
        "by whose they are.",
    )


def _session(arn: str) -> tuple[str, str, str]:
    """Account, role and name of a role's session; empty words for what is none."""
    try:
        parsed = Arn.parse(arn)
    except ValueError:
        return "", "", ""
    _, _, rest = parsed.resource.partition("/")
    role, _, session = rest.partition("/")
    return parsed.account, role, session


def _check_usable(key: AccessKey | ApiKey, now: float) -> None:
    expires = key.expires if isinstance(key, ApiKey) else None
    state = "is revoked" if not key.enabled else "has expired" if expires and expires <= now else ""
    if state:
        raise OutcropError(f"The key {key.key} {state}: every call with it is refused.", "Use another key.")


def _answered(fault: Fault) -> str:
    return f"The caller reads: {fault.status} {fault.name}: {fault.text}"


def _nobody(call: Call, model: Model) -> Fault:
    """What a dispatcher without engines answers: it has nobody to ask, so there is nothing to wait for."""
    nowhere = Dispatcher(Fleet(()), monotonic=time.monotonic, randomness=random.random)
    answering = nowhere.answer(call, Question(model, {}, stream=False))
    try:
        answering.send(None)
    except Fault as fault:
        return fault
    raise AssertionError("an empty fleet has answered")


def _not_known(call: Call) -> tuple[str, ...]:
    """What the caller's policies look at and only a real call has."""
    read = sorted(layers_of(call.state, call.principal).reads & _UNKNOWN)
    if not read:
        return ()
    return (f"The policies look at {listed(read)}, which only a real call has: here nothing is known of it.",)


def _granted(decided: Decided) -> tuple[str, ...]:
    """What each statement allows, one line for each."""
    by: dict[tuple[str, str], list[str]] = {}
    for request, decision in decided:
        statement = f"Policy {decision.policy}, statement {decision.sid or decision.statement}"
        by.setdefault((statement, request.action), []).append(_named(request.resource))
    return tuple(f"{statement}, allows {action} on {_some(on)}." for (statement, action), on in by.items())


def _named(resource: str) -> str:
    """An ARN as a person says it."""
    _, _, tail = resource.partition(":bedrock:")
    region, _, rest = tail.partition(":")
    if rest.startswith(":foundation-model/"):
        return f"the model in {region or 'any region'}"
    return "the profile" if "inference-profile/" in rest else resource


def _why_refused(request: Request, decision: Decision) -> str:
    by = ""
    if decision.policy:
        by = f" (policy {decision.policy}, statement {decision.sid or decision.statement})"
    return f"{request.action} on {request.resource} is refused {texts.because(request, decision)}{by}."


def _mended(
    principal: Principal, refused: list[tuple[Request, Decision]]
) -> tuple[str, dict[str, Any] | None]:
    """What to change so that the requests are allowed that are refused as the first one is; and the policy
    to put, if that is it."""
    _, decision = refused[0]
    whose = _flags(principal.owner or principal.arn, decision.layer)
    if decision.layer == "session":
        return "Ask for the session with a wider policy of its own, or with none.", None
    if decision.reason == "explicit deny":
        shown = f"outcrop users policy show {decision.policy} {whose}"
        if decision.layer == "boundary":
            shown = f"outcrop users policy list {whose} --output json"
        text = (
            f"A deny always wins: change that statement (`{shown}` prints it), or use an id whose "
            "destinations leave out what it denies."
        )
        return text, None
    policy = _policy(refused)
    least = f"what has to be allowed: {msgspec.json.encode(policy).decode()}"
    if decision.layer == "boundary":
        return f"Widen the boundary (`outcrop users boundary FILE {whose}`); {least}", policy
    return f"Put a policy (`outcrop users policy put NAME FILE {whose}`); {least}", policy


def _flags(owner: str, layer: str) -> str:
    """How the commands name whose policies a layer is."""
    arn = Arn.parse(owner)
    kind, _, name = arn.resource.partition("/")
    account = f"--account {arn.account}"
    return account if layer == "account" else f"--{kind} {name} {account}"


def _policy(refused: list[tuple[Request, Decision]]) -> dict[str, Any]:
    """The least that a policy of the first one's layer has to say for all of these requests.

    Who may have an answer whole may have it as a stream: applications want both, sooner or later.
    """
    layer = refused[0][1].layer
    resources: dict[str, list[str]] = {}
    for request, decision in refused:
        if decision.layer == layer and decision.reason == "implicit deny":
            action = f"{_INVOKE}*" if request.action.startswith(_INVOKE) else request.action
            resources.setdefault(action, []).append(request.resource)
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": list(dict.fromkeys(named))}
        for action, named in resources.items()
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _left(each: Left) -> str:
    what = WORDS[_LIMITS[each.quota]]
    if each.limit is None:
        return f"{what}: no limit, {each.used:,} used."
    return f"{what}: {each.left:,} left of {each.limit:,} ({each.origin})."


def _tokens_asked(model: Model, max_tokens: int | None) -> int:
    most = model.max_output_tokens
    if max_tokens is not None and max_tokens > most:
        raise OutcropError(
            f"max_tokens {max_tokens:,} is more than {model.name} gives: every such call is refused.",
            f"Ask for {most:,} at most.",
        )
    return most if max_tokens is None else max_tokens


def _least(each: Left, asked: int) -> int:
    """What a quota has to have more left than: of requests none, of tokens max_tokens; input counts too."""
    return 0 if _LIMITS[each.quota] == "requests" else asked


def _too_little(short: Left, asked: int) -> str:
    words = WORDS[_LIMITS[short.quota]]
    if not short.left:
        return f"No {words} are left."
    if short.limit is not None and short.limit <= asked:
        return f"max_tokens {asked:,} and any input never fit: the limit is {short.limit:,} {words}."
    return f"max_tokens {asked:,} and any input are more than the {short.left:,} {words} that are left."


def _more_quota(short: Left, asked: int, held: QuotaLimit | None, bucket: Bucket) -> str:
    """What to do where too little is left: ask for less, wait, or raise the limit that holds."""
    holds = QuotaLimit(bucket.account, bucket.model, ANY, ANY, short.quota) if held is None else held
    flags = [f"--account {shlex.quote(holds.account)}"]
    named = (("model", holds.model), ("region", holds.region), ("kind", holds.kind))
    flags += [f"--{flag} {value}" for flag, value in named if value != ANY]
    ways = []
    if _LIMITS[short.quota] != "requests" and short.left and short.left > 1:
        ways.append(f"ask for max_tokens below {short.left:,}, by as much as the input has")
    if short.limit and (_LIMITS[short.quota] == "requests" or short.limit > asked):
        ways.append("wait until some come back")
    ways.append(f"raise the limit: `outcrop quota set {short.quota} NUMBER {' '.join(flags)}`")
    text = ways[0] if len(ways) == 1 else f"{', '.join(ways[:-1])}, or {ways[-1]}"
    return f"{text[0].upper()}{text[1:]}."


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _more(regions: set[str]) -> str:
    return f"{len(regions)} more region{'s' if len(regions) != 1 else ''}"


def _some(words: tuple[str, ...] | list[str]) -> str:
    """All of a short list; of a long one the first, and how many more there are."""
    if len(words) <= 2 * _SHOWN:
        return listed(words)
    return f"{', '.join(words[:_SHOWN])} and {len(words) - _SHOWN} more"
