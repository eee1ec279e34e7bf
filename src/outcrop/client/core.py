"""The settings of a client, resolved, and what its calls share. Both clients stand on it; it sends nothing.

Made once from the constructor's arguments and the environment. Credentials are looked for when the first call
is made; the tables drawn from the catalogue are loaded when a name needs them, prices when a cost is read.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from random import getrandbits, random
from typing import TYPE_CHECKING, Any, Final

from outcrop import __version__
from outcrop.client.call import Budget, to_sign
from outcrop.client.credentials import find_source
from outcrop.client.errors import ResidencyError, UsageError, request_id
from outcrop.client.placing import Placement, Placer
from outcrop.client.profiles import Files
from outcrop.client.requests import Common, Omit, checked_headers, omit
from outcrop.client.settings import find_addresses, find_ca_bundle, find_region, overlooked_region, region_of
from outcrop.client.timeouts import Timeout, as_timeouts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self, Unpack

    from outcrop.client.credentials import Source
    from outcrop.client.params import ClientOptions, Endpoint
    from outcrop.client.replies import Response
    from outcrop.client.settings import Addresses, Region
    from outcrop.transport.trust import Trust

DEFAULT_MAX_RETRIES: Final = 2
CLOSED: Final = "The client is closed."
MAKE_ANOTHER: Final = "Make a new one, or close it later."
_JSON: Final = "application/json"
_DEFAULT_TIMEOUT: Final = Timeout()
_CREDENTIALS: Final = ("aws_access_key", "aws_secret_key", "aws_session_token", "aws_profile", "api_key")


class About:
    """What is known of an answer beside its JSON: ids, headers, where it was asked for."""

    __slots__ = ("placement", "response")

    def __init__(self, response: Response, placement: Placement) -> None:
        self.response = response
        self.placement = placement

    @property
    def request_id(self) -> str | None:
        """AWS's id of the request."""
        return request_id(self.response)

    def cost(self, usage: Any) -> Any:
        """The price of a usage, in USD; None when the model or its price is not known."""
        from outcrop.catalog import prices

        return prices.cost_of(self.placement.base, self.placement.scope, usage, region=self.placement.region)


class Core:
    """What the constructor's arguments come to. `arguments` are kept so that with_options can change some."""

    def __init__(
        self, arguments: dict[str, Any], environ: Mapping[str, str], region: Region | None = None
    ) -> None:
        chosen = {name: value for name, value in arguments.items() if not isinstance(value, Omit)}
        self.arguments = given = {**_DEFAULTS, **chosen}
        self.environ = environ
        if environ.get("OUTCROP_LOG"):
            _start_log(environ["OUTCROP_LOG"])
        profile = given["aws_profile"]
        self._files = files = Files(environ)
        self.region = region or find_region(given["aws_region"], profile, environ, files)
        self._reach(find_addresses(given["base_url"], profile, environ, files, region=self.region.name))
        # what is wrong in the arguments is said here, at once
        self._source = find_source(
            access_key=given["aws_access_key"],
            secret_key=given["aws_secret_key"],
            session_token=given["aws_session_token"],
            api_key=given["api_key"],
            profile=profile,
            environ=environ,
            region=self.region.name,
            files=files,
        )
        given.setdefault("timeout", _timeout_of(given["http_client"]))
        self.timeouts = as_timeouts(given["timeout"])
        self.max_retries = _retries(given["max_retries"])
        self.default_headers = {
            "user-agent": f"Outcrop/Python {__version__}",
            **checked_headers(given["default_headers"] or {}, "default_headers"),
        }
        # what every request begins with, and what of that is signed
        first = {"accept": _JSON, "content-type": _JSON, **self.default_headers}
        self.first_headers = {name: value for name, value in first.items() if value}
        self.first_signed = to_sign(self.first_headers)
        self.default_query = given["default_query"] or {}
        self.placer = Placer(
            self.region.name,
            endpoint=given["endpoint"],
            residency=given["residency"],
            fallback=given["fallback"],
            edition=given["edition"],
        )
        self.here = Placement("", self.region.name, "", "")
        self.budget = Budget()
        self._addresses: dict[tuple[str, str], tuple[str, str, str]] = {}
        self._warned: set[str] = set()
        self._told = False

    def _reach(self, addresses: Addresses) -> None:
        self.addresses = addresses
        # an address of AWS's that is in one region, whatever the call's
        self._bound = "" if "{region}" in addresses.runtime else region_of(addresses.runtime)

    # What is not a value comes from here, so that tests can put their own in its place.

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def random(self) -> float:
        """A number from 0 to 1."""
        return random()  # noqa: S311 - spreads retries, hides nothing

    def new_id(self) -> str:
        """An id for one invocation, the same over its attempts: a random UUID, which is no secret.

        `random` seeds itself anew in a child process.
        """
        text = f"{getrandbits(128):032x}"
        # the 4 and the a say that it is a random one (RFC 9562, 5.4)
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

    def debug(self, text: str, *values: object) -> None:
        """A line in the program's log, if it has one: importing `logging` costs more than a call."""
        logging = sys.modules.get("logging")
        if logging is not None:
            logging.getLogger("outcrop").debug(text, *values)

    def source(self) -> Source:
        """Where credentials come from."""
        return self._source

    def tell(self) -> None:
        """Logs once where region and credentials came from. A source knows after its first key."""
        if not self._told:
            self._told = True
            self.debug(
                "region %s from %s; credentials from %s; runtime at %s",
                self.region.name,
                self.region.origin,
                self._source.origin,
                self.addresses.runtime,
            )
            profile = self.arguments["aws_profile"]
            other = overlooked_region(self.region, profile, self.environ, self._files)
            if other:
                self.debug("the profile 'default' names %s: set AWS_REGION or AWS_PROFILE to go there", other)

    def trust(self) -> Trust:
        """Which certificate authorities are believed."""
        from outcrop.transport.trust import Trust

        path, origin = find_ca_bundle(self.arguments["aws_profile"], self.environ, self._files)
        return Trust(path, named=origin, environ=self.environ)

    def address(self, service: str, region: str) -> tuple[str, str, str]:
        """Scheme and authority, the authority as it is signed, and the path prefix of a service."""
        found = self._addresses.get((service, region))
        if found is None:
            found = self._addresses[service, region] = _split(self._url(service).replace("{region}", region))
        return found

    def _url(self, service: str) -> str:
        if service == "bedrock-runtime":
            return self.addresses.runtime
        return self.addresses.control if service == "bedrock" else self.addresses.sts

    def common(self, params: Mapping[str, Any]) -> Common:
        """What a call with these parameters has, whatever it asks."""
        timeout = params.get("timeout", omit)
        timeouts = None if isinstance(timeout, Omit) else as_timeouts(timeout)
        return Common(self._place(params), timeouts, self.default_headers, self.default_query)

    def _place(self, params: Mapping[str, Any]) -> tuple[Placement, ...]:
        """Where a call may go, the wanted place first."""
        model = params.get("model")
        if not isinstance(model, str):
            raise TypeError(
                "missing the parameter 'model'" if model is None else f"model={model!r} is no text"
            )
        endpoint = params.get("endpoint") or None
        placements = self.placer.place(model, endpoint=endpoint)
        if self._bound:
            placements = self._reached(placements)
        if placements[0].base not in self._warned:
            self._warn(placements[0])
            for skipped in self.placer.skipped(model, endpoint=endpoint):
                self.debug("fallback %r does not serve %s: %s", skipped.entry, model, skipped.why)
        return placements

    def _reached(self, placements: tuple[Placement, ...]) -> tuple[Placement, ...]:
        """Those in the region of a fixed address of AWS's, which would refuse or misplace the others."""
        wanted = placements[0]
        if wanted.region != self._bound and self.arguments["residency"] is not None:
            raise ResidencyError(
                f"The call is for {wanted.region}, but {self.addresses.runtime} is in {self._bound}.",
                f"Pass aws_region={self._bound!r}, or an address with {{region}} in it.",
            )
        return (wanted, *(place for place in placements[1:] if place.region == self._bound))

    def _warn(self, placement: Placement) -> None:
        """Says once that a model is deprecated, and since when."""
        self._warned.add(placement.base)
        since = self.placer.legacy(placement.base, time.strftime("%Y-%m-%d", time.gmtime(self.now())))
        if since:
            warnings.warn(
                f"The model {placement.base} is deprecated since {since}. Move to a newer one: "
                "client.models.list() shows what there is.",
                DeprecationWarning,
                stacklevel=_first_outside(),
            )

    def changed(self, changes: Mapping[str, Any]) -> Core:
        """A core with some arguments replaced. Retry budget and credentials are shared where they can be."""
        added = dict(changes)
        arguments = dict(self.arguments)
        for name in ("headers", "query"):
            more, whole = added.pop(f"default_{name}", None), added.pop(f"set_default_{name}", None)
            if more is not None and whole is not None:
                raise UsageError(
                    f"default_{name} and set_default_{name} are both given.", "One adds, the other replaces."
                )
            if more is not None:
                added[f"default_{name}"] = {**(arguments[f"default_{name}"] or {}), **more}
            elif whole is not None:
                added[f"default_{name}"] = dict(whole)
        unknown = added.keys() - _ARGUMENTS
        if unknown:
            raise TypeError(f"with_options() got an unexpected keyword argument {min(unknown)!r}")
        # the environment may have changed meanwhile: what nobody asked to change stays as it was found
        elsewhere = bool({"aws_region", "aws_profile"} & changes.keys())
        core = type(self)({**arguments, **added}, self.environ, None if elsewhere else self.region)
        core.budget = self.budget
        core._warned = self._warned
        if not elsewhere and "base_url" not in changes:
            core._reach(self.addresses)
        if not elsewhere and not set(_CREDENTIALS) & changes.keys():
            core._source = self._source
        return core


# The constructor's defaults; `timeout` has none here, because a user's own http_client may have one.
_DEFAULTS: Final[dict[str, Any]] = {
    **dict.fromkeys(_CREDENTIALS),
    "aws_region": None,
    "base_url": None,
    "max_retries": DEFAULT_MAX_RETRIES,
    "default_headers": None,
    "default_query": None,
    "http_client": None,
    "endpoint": None,
    "residency": None,
    "fallback": (),
    "edition": "guide",
}
_ARGUMENTS: Final = frozenset({*_DEFAULTS, "timeout"})
_KEPT_BY_NONE: Final = frozenset({*_CREDENTIALS, "aws_region", "base_url", "http_client", "max_retries"})


def _timeout_of(http_client: Any) -> Any:
    """The timeout when none is given: a user's own client's, unless that is httpx's default of 5 s each."""
    own = getattr(http_client, "timeout", None)
    if own is None or (own.connect, own.read, own.write, own.pool) == (5.0, 5.0, 5.0, 5.0):
        return _DEFAULT_TIMEOUT
    return own


def _start_log(level: str) -> None:
    """OUTCROP_LOG: a log of the client on stderr, for programs that set none up themselves."""
    import logging

    if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise UsageError(
            f"OUTCROP_LOG={level!r} is no level of a log.", "Set it to debug, info, warning or error."
        )
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("outcrop").setLevel(level.upper())


def _retries(given: Any) -> int:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    raise UsageError(f"max_retries={given!r} is no number of retries.", "Give 0 or more.")


def _split(url: str) -> tuple[str, str, str]:
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    default = ":443" if scheme == "https" else ":80"
    # in lower case, as HTTP libraries send it: it is signed
    authority = authority.removesuffix(default).lower()
    return f"{scheme}://{authority}", authority, (slash + path).rstrip("/")


def _first_outside() -> int:
    """How many frames up the program's own code begins: that is whom a warning is for."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("outcrop."):
        frame = frame.f_back
        level += 1
    return level


def _meant(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that are some. None leaves things as they are, as in `anthropic`, where it is no value."""
    return {
        name: value
        for name, value in changes.items()
        if not isinstance(value, Omit) and not (value is None and name in _KEPT_BY_NONE)
    }


_MADE_WHEN_READ: Final = frozenset({"_carrier", "messages", "beta", "models", "with_raw_response"})


class ClientBase:
    """What both clients show of their settings, whatever carries their calls."""

    _core: Core
    _shared: Any

    def __init__(  # noqa: PLR0913, PLR0917 - these are the names and the order that users of `anthropic` know
        self,
        aws_secret_key: str | None = None,
        aws_access_key: str | None = None,
        aws_region: str | None = None,
        aws_profile: str | None = None,
        aws_session_token: str | None = None,
        api_key: str | None = None,
        base_url: str | Any | None = None,
        timeout: float | Timeout | Omit | None = omit,
        max_retries: int = DEFAULT_MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, object] | None = None,
        http_client: Any = None,
        *,
        endpoint: Endpoint | None = None,
        residency: str | Sequence[str] | None = None,
        fallback: Sequence[str] | None = (),
        edition: str = "guide",
    ) -> None:
        arguments = dict(locals())
        del arguments["self"]
        self._core = Core(arguments, os.environ)
        self._shared = self._new_shared()

    def _new_shared(self) -> Any:
        """The connections, which copies share."""
        raise NotImplementedError

    def is_closed(self) -> bool:
        """Whether `close` was called, on this client or on one it shares connections with."""
        return bool(self._shared.closed)

    def copy(self, **changes: Unpack[ClientOptions]) -> Self:
        """A client with some options replaced: `client.with_options(timeout=5).messages.create(…)`.

        Takes what the constructor takes. `default_headers` and `default_query` are added to those there are;
        `set_default_headers` and `set_default_query` replace them. None and NOT_GIVEN leave credentials,
        region, `base_url`, `http_client` and `max_retries` as they are. The copy shares connections,
        credentials and retry budget, unless `http_client` or `aws_profile` changes.
        """
        client = type(self).__new__(type(self))
        # a subclass's own attributes come along; what hangs on the settings is made anew
        client.__dict__.update({n: v for n, v in self.__dict__.items() if n not in _MADE_WHEN_READ})
        meant = _meant(changes)
        client._core = self._core.changed(meant)
        # another transport, or another profile's certificates, need connections of their own
        apart = {"http_client", "aws_profile"} & meant.keys()
        client._shared = self._new_shared() if apart else self._shared
        return client

    with_options = copy

    @property
    def aws_region(self) -> str:
        """The region that is asked."""
        return self._core.region.name

    @property
    def aws_access_key(self) -> str | None:
        """The access key that was given as an argument."""
        return self._argument("aws_access_key")

    @property
    def aws_secret_key(self) -> str | None:
        """The secret key that was given as an argument."""
        return self._argument("aws_secret_key")

    @property
    def aws_session_token(self) -> str | None:
        """The session token that was given as an argument."""
        return self._argument("aws_session_token")

    @property
    def aws_profile(self) -> str | None:
        """The profile that was given as an argument."""
        return self._argument("aws_profile")

    @property
    def api_key(self) -> str | None:
        """The API key that was given as an argument."""
        return self._argument("api_key")

    @property
    def base_url(self) -> str:
        """The address of the runtime in the client's region."""
        base, _, prefix = self._core.address("bedrock-runtime", self._core.region.name)
        return base + prefix

    @property
    def max_retries(self) -> int:
        """How often a call is tried again."""
        return self._core.max_retries

    @property
    def timeout(self) -> Any:
        """The timeout as it was given, or the default."""
        return self._core.arguments["timeout"]

    @property
    def default_headers(self) -> dict[str, str]:
        """The headers of every call."""
        return dict(self._core.default_headers)

    def _argument(self, name: str) -> str | None:
        found: str | None = self._core.arguments[name]
        return found

    def __reduce__(self) -> str:
        raise TypeError(
            "A client has connections and secrets: it can't be pickled: make one in each process."
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(aws_region={self.aws_region!r}, base_url={self.base_url!r})"
