"""Which id, region and profile a call goes to: short names, endpoints, the residency guard, fallbacks.

Knows the tables that are drawn from the catalogue, and loads them only where a full id does not say all.
Knows no requests and no clock, and asks nobody: what can't be known here, the guard refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from outcrop.client.errors import EndpointError, ModelNameError, ResidencyError, UsageError
from outcrop.client.model_names import AS_OF, LEGACY
from outcrop.ids import SCOPES, Arn, ModelId, is_account, is_region

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from outcrop.client.model_routes import Offer

_GLOBAL: Final = "global"
_REGIONAL: Final = "regional"
_ENDPOINTS: Final = (_GLOBAL, _REGIONAL, *SCOPES[1:])
# What an account has of its own and may name in place of a model, after botocore's pattern of a model's id.
# What is behind it only AWS knows, as with an application profile.
_OWNED: Final = frozenset(
    {
        "custom-model",
        "custom-model-deployment",
        "default-prompt-router",
        "imported-model",
        "prompt",
        "prompt-router",
        "provisioned-model",
    }
)
_LONGEST_SHOWN: Final = 100
# A program uses few names. One that makes them up does not make us keep them.
_MOST_KEPT: Final = 512
# What places are called by people, where that looks too little like our word for it.
_CALLED: Final = {
    "europe": "eu",
    "european union": "eu",
    "usa": "us",
    "america": "us",
    "united states": "us",
    "japan": "jp",
    "asia": "apac",
    "asia-pacific": "apac",
    "ap": "apac",
    "australia": "au",
    "india": "in",
    "govcloud": "us-gov",
    "world": "global",
    "worldwide": "global",
    "anywhere": "global",
}
_NAMING: Final = "Give a short name ('claude-sonnet-4-5') or an id of Bedrock's."


class Placement(NamedTuple):
    """Where a call goes: `model` is the id or ARN for the path, `region` the host's and the signature's.

    `scope` is the profile's geography ("global", "us", …), "" for a bare id or where it is not known; `base`
    is the model's bare id, "" where it is not known (an application profile, say).
    """

    model: str
    region: str
    scope: str
    base: str


class Skipped(NamedTuple):
    """An entry of `fallback` that does not serve a model, and why."""

    entry: str
    why: str


class Placer:
    """Places the calls of one client. Safe to use from several threads.

    `region` is where calls come from. `endpoint` is the one wanted where a call does not say: "global",
    "regional" (that of the region's geography) or a geography. `residency`, geographies or regions, is the
    guard: what could run outside, by any edition of the catalogue, is refused. `fallback` are endpoints (from
    the same region) and regions (by the same kind of endpoint) to go to when the wanted one can't answer.
    `edition` is the catalogue's. Raises EndpointError or UsageError for a word that is none of these.
    """

    def __init__(
        self,
        region: str,
        *,
        endpoint: str | None = None,
        residency: str | Sequence[str] | None = None,
        fallback: str | Sequence[str] | None = (),
        edition: str = "guide",
    ) -> None:
        if not isinstance(edition, str) or edition not in LEGACY:
            raise UsageError(f"edition={edition!r} is no edition.", f"Choose {_quoted(LEGACY, 'or')}.")
        self._region = region
        self._endpoint = _as_endpoint(endpoint)
        self._guard = _ANYWHERE if residency is None else _as_guard(residency)
        self._fallback = _as_entries(fallback)
        self._edition = edition
        self._placed: dict[tuple[str, str | None], tuple[Placement, ...]] = {}

    def place(self, model: str, *, endpoint: str | None = None) -> tuple[Placement, ...]:
        """The placement that is wanted, and after it the fallbacks in order. The same objects every time.

        A short name without an endpoint goes to the global one where the model has it from this region, else
        to the regional profile, else to the bare id; under a guard, to the first of these that stays inside.
        A full id or ARN stays as it is, and so need not be known here. Raises ModelNameError, EndpointError,
        and ResidencyError where the wanted placement could run outside.
        """
        try:
            return self._placed[model, endpoint]
        except (KeyError, TypeError):  # TypeError: no text at all; said below
            pass
        placements, _ = self._decide(model, endpoint)
        if len(self._placed) >= _MOST_KEPT:
            self._placed.clear()
        self._placed[model, endpoint] = placements
        return placements

    def skipped(self, model: str, *, endpoint: str | None = None) -> tuple[Skipped, ...]:
        """The entries of `fallback` that do not serve this model, and why. Raises what `place` raises."""
        return self._decide(model, endpoint)[1]

    def legacy(self, base: str, today: str) -> str:
        """Since when a model is deprecated, "" if it is not: dates like "2025-10-28", `today` too.

        As the guide says it, or the catalogue's newer edition.
        """
        since = LEGACY[self._edition].get(base, "")
        return since if since <= max(today, AS_OF[self._edition]) else ""

    def _decide(self, model: str, endpoint: str | None) -> tuple[tuple[Placement, ...], tuple[Skipped, ...]]:
        asked = _parse(model)
        wish = self._endpoint if endpoint is None else _as_endpoint(endpoint)
        if wish and (asked.scope or asked.arn):
            _agree(asked, wish)
            wish = ""
        as_given = not _is_short(asked) and not wish
        if as_given and self._guard.inside is None and not self._fallback:
            return (Placement(asked.text, self._region, asked.scope, asked.base),), ()
        choice = _Choice(asked, self._region, self._edition, self._guard)
        wanted = choice.as_given() if as_given else choice.best(wish)
        others, skipped = choice.others(wanted, self._fallback)
        return (wanted, *others), skipped


# --- text becomes values ---


def _parse(model: str) -> ModelId:
    """The model that a text names; `base` of a short name is looked up. Raises ModelNameError."""
    if not isinstance(model, str):
        raise ModelNameError(f"model={model!r} is not text.", _NAMING)
    text = model.strip()
    if not text:
        raise ModelNameError("model= is empty.", _NAMING)
    # "claude-sonnet-4.5" has the form of an id too
    if not text.startswith("arn:") and ("." not in text or text[:6].lower() == "claude"):
        from outcrop.client.model_routes import SHORT_NAMES

        base = SHORT_NAMES.get(text.lower())
        if base is None:
            raise _unknown(text)
        return ModelId(text.lower(), base=base)
    try:
        asked = ModelId.parse(text)
    except ValueError:
        arn = _owned(text)
        if arn is None:
            raise _unknown(text) from None
        return ModelId(text, arn=arn)
    scope, _, name = asked.base.partition(".")
    if scope in SCOPES:
        raise ModelNameError(
            f"model={text!r} is half a short name and half an id.",
            f"Write model={name!r}, endpoint={scope!r}.",
        )
    return asked


def _owned(text: str) -> Arn | None:
    """The ARN of something of an account's own that stands where a model is named."""
    try:
        arn = Arn.parse(text)
    except ValueError:
        return None
    kind, _, name = arn.resource.partition("/")
    owned = arn.service == "bedrock" and arn.region and is_account(arn.account) and kind in _OWNED and name
    return arn if owned else None


def _is_short(asked: ModelId) -> bool:
    return asked.arn is None and "." not in asked.text


def _unknown(text: str) -> ModelNameError:
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    near = _nearest(text[:_LONGEST_SHOWN])
    meant = f"Did you mean {_quoted(near, 'or')}? " if near else ""
    return ModelNameError(
        f"model={shown!r} is neither a short name nor an id of Bedrock's.",
        f"{meant}client.models.list() shows what there is.",
    )


def _nearest(text: str) -> list[str]:
    """The names that look most like a text: short ones, or ids for what begins to be an id."""
    from difflib import get_close_matches

    from outcrop.client.model_routes import EDITIONS, SHORT_NAMES

    if "anthropic." in text.lower():
        word = text.lower()
        names = [
            name
            for base, offer in EDITIONS["guide"].items()
            for name in (base, *(f"{scope}.{base}" for scope in offer.routes))
        ]
    else:
        word = text.lower().translate(str.maketrans(" ._", "---"))
        names = list(SHORT_NAMES)
    if word in names:
        return [word]
    # of equals the newest; they stand last
    return get_close_matches(word, names) or [name for name in reversed(names) if word in name][:3]


def _as_endpoint(given: str | None) -> str:
    if given is None:
        return ""
    name = given.strip().lower() if isinstance(given, str) else ""
    if name not in _ENDPOINTS:
        raise EndpointError(f"endpoint={given!r} is no endpoint.", _other_endpoint(name))
    return name


def _other_endpoint(name: str) -> str:
    if is_region(name):
        return f"That is a region: write aws_region={name!r}, endpoint='regional'."
    return f"{_meant(name, _ENDPOINTS)}There are {_quoted(_ENDPOINTS)}."


def _meant(word: str, names: Iterable[str]) -> str:
    """A question, if a word looks like one of the names, or is what people call it."""
    from difflib import get_close_matches

    known = list(names)
    near = (
        [name for name in known if name == _CALLED.get(word)]
        or get_close_matches(word, known, 1)
        or [name for name in known if word and name.startswith(f"{word}-")]
    )
    return f"Did you mean {near[0]!r}? " if near else ""


def _agree(asked: ModelId, wish: str) -> None:
    """Raises EndpointError where an id or ARN says by itself how to go, and says otherwise."""
    if not asked.base:
        what = f"model={asked.text!r} is the account's own, and so is its routing"
    elif asked.scope == wish or (wish == _REGIONAL and asked.scope != _GLOBAL):
        return
    else:
        named = f"the endpoint {asked.scope!r}" if asked.scope else "a model in its region"
        what = f"model={asked.text!r} names {named}"
    bare = f", or give it with model={asked.base!r}" if asked.base else ""
    raise EndpointError(f"{what}; endpoint={wish!r} contradicts that.", f"Leave out endpoint={bare}.")


def _as_entries(fallback: str | Sequence[str] | None) -> tuple[str, ...]:
    entries = _words(fallback, "fallback")
    for entry, written in entries:
        if entry not in _ENDPOINTS and not is_region(entry):
            raise UsageError(
                f"fallback={fallback!r}: {written!r} is no endpoint and no region.",
                _several(entry)
                or f"{_meant(entry, _ENDPOINTS)}Name endpoints, {_quoted(_ENDPOINTS, 'or')}, "
                "and regions like 'us-east-1'.",
            )
    return tuple(entry for entry, _ in entries)


def _words(given: object, name: str) -> list[tuple[str, str]]:
    """The entries of an argument that takes one word or several, in lower case, and as they were written."""
    if given is None:
        return []
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Iterable):
        raise UsageError(f"{name}={given!r} is no list of words.", f"Write {name}=['eu', 'us-east-1'], say.")
    words = []
    for word in [given] if isinstance(given, str) else given:
        if not isinstance(word, str):
            raise UsageError(
                f"{name}={given!r}: {word!r} is no text.", f"Write {name}=['eu', 'us-east-1'], say."
            )
        words.append((word.strip().lower(), word))
    return words


def _several(word: str) -> str:
    """What to write for a list in one text; "" for a text that is none."""
    parts = word.replace(",", " ").replace(";", " ").split()
    if len(parts) > 1 and all(part in _ENDPOINTS or is_region(part) for part in parts):
        return f"Give a list: {parts!r}"
    return ""


def _as_guard(residency: str | Sequence[str]) -> _Guard:
    from outcrop.client.model_routes import GEOGRAPHIES

    words = _words(residency, "residency")
    names = [name for name, _ in words]
    everywhere = GEOGRAPHIES[_GLOBAL]
    for name, written in words:
        if name not in GEOGRAPHIES and name not in everywhere:
            places = [*GEOGRAPHIES, *sorted(everywhere)]
            raise UsageError(
                f"residency={residency!r}: {written!r} is no geography and no region.",
                _several(name)
                or f"{_meant(name, places)}Name geographies, {_quoted(GEOGRAPHIES, 'or')}, "
                "and regions like 'eu-west-1'.",
            )
    if not names:
        raise UsageError(
            f"residency={residency!r} allows no region.", "Name a geography or regions, or leave it out."
        )
    if _GLOBAL in names:
        return _ANYWHERE
    inside = frozenset[str]().union(*(GEOGRAPHIES.get(name, (name,)) for name in names))
    return _Guard(f"residency={residency!r}", inside)


# --- the guard ---


class _Guard:
    """The regions that are allowed (None: all, known or not), and how the person wrote them."""

    __slots__ = ("given", "inside")

    def __init__(self, given: str, inside: frozenset[str] | None) -> None:
        self.given = given
        self.inside = inside

    def allows(self, base: str, scope: str, region: str) -> bool:
        if self.inside is None:
            return True
        reach = _reach(base, scope, region)
        return reach is not None and reach <= self.inside


_ANYWHERE: Final = _Guard("", None)


def _reach(base: str, scope: str, region: str) -> frozenset[str] | None:
    """Every region where such a call may run, and the one it comes from; None where that is not known.

    By all editions together: which of them is in force is decided by who answers. For the same reason a bare
    id counts as the regional profile too: endpoints differ in what it means.
    """
    from outcrop.client.model_routes import EDITIONS

    known = False
    found = {region}
    for offers in EDITIONS.values():
        if base in offers:
            offer = offers[base]
            known = known or (not scope and region in offer.on_demand)
            for name, routes in offer.routes.items():
                if region in routes and (name == scope if scope else name != _GLOBAL):
                    known = True
                    found.update(routes[region])
    return frozenset(found) if known else None


# --- one model, from one region ---


class _Choice:
    """What there is of one model from one region, what of it is allowed, and what to say where it is not."""

    def __init__(self, asked: ModelId, region: str, edition: str, guard: _Guard) -> None:
        from outcrop.client.model_routes import EDITIONS, NEWER, Offer

        self.asked = asked
        self.region = region
        self.edition = edition
        self.guard = guard
        offer = EDITIONS[edition].get(asked.base)
        # A model newer than these tables is taken to be offered as the newest are. What that gets wrong, AWS
        # refuses; the guard does not rely on it.
        self.known = offer is not None
        self.offer: Offer = offer or Offer(asked.base or asked.text, frozenset(), NEWER)

    def as_given(self) -> Placement:
        """An id or ARN as it stands, if the guard lets it."""
        asked = self.asked
        regions = {self.region, asked.arn.region or self.region} if asked.arn else {self.region}
        for region in sorted(regions):
            if not self.guard.allows(asked.base, asked.scope, region):
                raise self._outside(asked.scope, region)
        return Placement(asked.text, self.region, asked.scope, asked.base)

    def best(self, wish: str) -> Placement:
        """The first that exists and is allowed, for a short name or a bare id with an endpoint."""
        scopes = self._scopes(wish, self.region)
        if not scopes:
            raise self._no_endpoint(wish)
        for scope in scopes:
            if self.guard.allows(self.asked.base, scope, self.region):
                return self._placement(scope, self.region)
        # what is said is said of the one that strays least
        strays = {scope: len(_reach(self.asked.base, scope, self.region) or ()) for scope in scopes}
        raise self._outside(min(scopes, key=strays.__getitem__), self.region)

    def others(
        self, wanted: Placement, entries: Iterable[str]
    ) -> tuple[tuple[Placement, ...], tuple[Skipped, ...]]:
        """The fallbacks in order, each once, and the entries that are none."""
        found: list[Placement] = []
        skipped: list[Skipped] = []
        seen = {wanted[1:]}
        for entry in entries:
            region = entry if is_region(entry) else self.region
            scopes = self._scopes_of(entry, wanted)
            allowed = [scope for scope in scopes if self.guard.allows(wanted.base, scope, region)]
            if not allowed:
                skipped.append(Skipped(entry, self._why_not(entry, region, scopes)))
                continue
            placement = self._placement(allowed[0], region)
            if placement[1:] not in seen:
                seen.add(placement[1:])
                found.append(placement)
        return tuple(found), tuple(skipped)

    def _placement(self, scope: str, region: str) -> Placement:
        base = self.asked.base
        return Placement(f"{scope}.{base}" if scope else base, region, scope, base)

    def _scopes(self, wish: str, region: str) -> list[str]:
        """The scopes that a wish may mean from a region, the best first; "" stands for the bare id."""
        routes = self.offer.routes
        if wish and wish != _REGIONAL:
            return [wish] if not self.known or region in routes.get(wish, ()) else []
        regional = [scope for scope in routes if scope != _GLOBAL and region in routes[scope]]
        bare = [""] if not self.known or region in self.offer.on_demand else []
        everywhere = [_GLOBAL] if not wish and region in routes.get(_GLOBAL, ()) else []
        return everywhere + regional + bare

    def _scopes_of(self, entry: str, wanted: Placement) -> list[str]:
        """The scopes that a fallback may mean, the best first."""
        if not wanted.base:
            return []
        if not is_region(entry):
            return self._scopes(entry, self.region)
        if wanted.scope == _GLOBAL:
            return [_GLOBAL] if entry in self.offer.routes.get(_GLOBAL, ()) else []
        regional = self._scopes(_REGIONAL, entry)
        # what ran in its one region on demand does so in the other, where it can
        return regional if wanted.scope else sorted(regional, key=bool)

    def _why_not(self, entry: str, region: str, scopes: list[str]) -> str:
        name, routes = self.offer.name, self.offer.routes
        if not self.asked.base:
            return "what is the account's own is of one region, and its routing is its own"
        if scopes:
            return f"{name} could run outside {self.guard.given} from {region}"
        if entry in SCOPES and entry not in routes:
            return f"{name} has no endpoint {entry!r}"
        return f"{name} is not offered so from {region}"

    # --- what to say ---

    def _outside(self, scope: str, region: str) -> ResidencyError:
        asked, guard = self.asked, self.guard
        reach = _reach(asked.base, scope, region)
        if reach is None:
            return self._unsure(region)
        how = f"through its endpoint {scope!r}" if scope else "by its bare id"
        return ResidencyError(
            f"{self.offer.name}, called {how} from {region}, could run outside {guard.given}: "
            f"in {_listed(sorted(reach - (guard.inside or reach)), most=6)}.",
            self._inside(),
        )

    def _unsure(self, region: str) -> ResidencyError:
        if not self.asked.base:
            why = "only AWS knows the routes of what is the account's own"
        elif self.known:
            why = f"no route of it from {region} is known"
        else:
            why = "the catalogue does not have this model"
        return ResidencyError(
            f"Where {self.asked.text} may run can't be told here: {why}. So {self.guard.given} refuses it.",
            self._inside()
            if self.known
            else "Name a model of the catalogue, or call this one with a client without residency=.",
        )

    def _inside(self) -> str:
        """What to do instead of what the guard refused: the nearest way that stays inside."""
        base = self.asked.base
        ways = [way for way in self._ways() if self.guard.allows(base, *way[1:])]
        if not ways:
            return (
                f"No endpoint of {self.offer.name} stays inside. "
                "Choose another model, or allow more with residency=."
            )
        edition, scope, source = min(
            ways, key=lambda way: (way[0] != self.edition, way[2] != self.region, not way[1])
        )
        # an id or ARN that names its endpoint can't be given another beside it
        by_id = not scope or self.asked.scope or self.asked.arn
        full = f"{scope}.{base}" if scope else base
        words = [f"model={full!r}" if by_id else f"endpoint={scope!r}"]
        words += [f"aws_region={source!r}"] if source != self.region else []
        words += [f"edition={edition!r}"] if edition != self.edition and not by_id else []
        return f"Use {_listed(words)}: that stays inside."

    def _ways(self) -> Iterator[tuple[str, str, str]]:
        """All there is of the model, in any edition: the edition, the scope ("": a bare id), from where."""
        from outcrop.client.model_routes import EDITIONS

        for edition, offers in EDITIONS.items():
            offer = offers[self.asked.base]
            for scope, routes in offer.routes.items():
                yield from ((edition, scope, source) for source in routes)
            yield from ((edition, "", source) for source in sorted(offer.on_demand))

    def _no_endpoint(self, wish: str) -> EndpointError:
        name, routes, region = self.offer.name, self.offer.routes, self.region
        if wish in routes:
            sources = _listed(routes[wish], "or", most=12)
            return EndpointError(
                f"The endpoint {wish!r} of {name} can't be called from {region}.",
                f"It is called from {sources}: choose one with aws_region=.{self._from_here()}",
            )
        if wish and wish != _REGIONAL:
            whose = "By the guide's table it" if self.edition == "guide" else "It"
            return EndpointError(
                f"{name} has no endpoint {wish!r}.", f"{whose} has {_quoted(routes)}.{self._newer('')}"
            )
        kind = "regional endpoint" if wish else "endpoint"
        others = [scope for scope in routes if not wish or scope != _GLOBAL]
        called = [f"{scope!r} from {_listed(routes[scope], 'or', most=6)}" for scope in others]
        if self.offer.on_demand:
            called.append(f"the bare id from {_listed(sorted(self.offer.on_demand), 'or', most=6)}")
        return EndpointError(
            f"{name} has no {kind} that can be called from {region}.",
            f"There is {'; '.join(called)}: choose the region with aws_region=."
            f"{self._from_here()}{self._newer(region)}",
        )

    def _from_here(self) -> str:
        here = [scope for scope, routes in self.offer.routes.items() if self.region in routes]
        return f" From {self.region} there is {_quoted(here)}." if here else ""

    def _newer(self, region: str) -> str:
        """What another edition has beyond this one (and from this region, if one is given)."""
        from outcrop.client.model_routes import EDITIONS

        for edition, offers in EDITIONS.items():
            routes = offers[self.asked.base].routes
            more = [scope for scope in routes if scope not in self.offer.routes]
            more = [scope for scope in more if not region or region in routes[scope]]
            if more:
                return f" Today's AWS has {_quoted(more)} too: pass edition={edition!r} for that."
        return ""


def _quoted(words: Iterable[str], last: str = "and") -> str:
    return _listed(map(repr, words), last)


def _listed(words: Iterable[str], last: str = "and", most: int = 0) -> str:
    """`a`, `a and b`, `a, b and c`; with `most`, only so many of them are named."""
    names = list(words)
    if most and len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
        last = "and"
    return f" {last} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
