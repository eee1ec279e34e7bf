"""A call's parameters become a request: path, body, headers. Knows Bedrock's operations; signs nothing."""

from __future__ import annotations

from binascii import b2a_base64
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from outcrop.client.errors import UsageError
from outcrop.client.value import encode
from outcrop.wire.sigv4 import uri_encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from outcrop.client.placing import Placement
    from outcrop.transport import Timeouts

ANTHROPIC_VERSION: Final = "bedrock-2023-05-31"

# Keywords that say how to call, not what to ask.
_OPTIONS: Final = frozenset({"model", "endpoint", "extra_headers", "extra_query", "extra_body", "timeout"})
_MESSAGE_OPTIONS: Final = _OPTIONS | {"stream", "betas"}
# Members of a Messages request that a caller can name. What is newer goes into extra_body.
_COUNTED: Final = frozenset(
    {
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "cache_control",
        "output_config",
        "output_format",
    }
) | {"context_management", "mcp_servers", "speed", "user_profile_id", "workspace_id"}
_MESSAGE: Final = _COUNTED | {
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "container",
    "diagnostics",
    "inference_geo",
    "service_tier",
}
_CONVERSE: Final = frozenset(
    {
        "messages",
        "system",
        "inferenceConfig",
        "toolConfig",
        "guardrailConfig",
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "promptVariables",
        "requestMetadata",
        "performanceConfig",
        "serviceTier",
        "outputConfig",
    }
)


class Omit:
    """A parameter that is not sent, as if it had not been given. There is one of it."""

    def __new__(cls) -> Omit:  # noqa: D102 - the class says it
        return omit

    def __reduce__(self) -> str:
        return "omit"

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


omit: Final[Omit] = object.__new__(Omit)
NotGiven = Omit  # the older name in `anthropic`
NOT_GIVEN: Final = omit


class Call(msgspec.Struct, frozen=True):
    """One operation, ready to be sent to any of its placements.

    `service` is `bedrock-runtime`, `bedrock` or `sts`; `path` gives the raw path for a model's id; `streams`
    tells that the reply is one of AWS's event streams, `converse` which kind.
    """

    service: str
    method: str
    path: Callable[[str], str]
    placements: tuple[Placement, ...]
    body: bytes = b""
    query: str = ""
    headers: Mapping[str, str] = {}
    streams: bool = False
    converse: bool = False
    timeouts: Timeouts | None = None


# The model's id as one segment. `:` stays as it is, as in Anthropic's SDKs; the slashes of an ARN do not.
@lru_cache(maxsize=1024)
def _segment(model: str) -> str:
    return uri_encoded(model.encode()).replace("%3A", ":")


def _invoke_path(model: str) -> str:
    return f"/model/{_segment(model)}/invoke"


def _invoke_stream_path(model: str) -> str:
    return f"/model/{_segment(model)}/invoke-with-response-stream"


def _converse_path(model: str) -> str:
    return f"/model/{_segment(model)}/converse"


def _converse_stream_path(model: str) -> str:
    return f"/model/{_segment(model)}/converse-stream"


def _count_path(model: str) -> str:
    return f"/model/{_segment(model)}/count-tokens"


class Common(msgspec.Struct, frozen=True):
    """What a call has whatever it asks: where it may go, its timeouts, and the client's headers and query."""

    placements: tuple[Placement, ...]
    timeouts: Timeouts | None
    headers: Mapping[str, str]
    query: Mapping[str, Any]


def message(common: Common, params: dict[str, Any]) -> Call:
    """InvokeModel, whole or as a stream. Raises TypeError for a parameter nobody knows, UsageError."""
    body = _body(params, _MESSAGE, _MESSAGE_OPTIONS)
    if "max_tokens" not in body or "messages" not in body:
        _require(body, params, ("max_tokens", "messages"))
    stream = bool(params.get("stream"))
    headers = _headers(params)
    _add_version(body, params, headers, common.headers)
    return Call(
        "bedrock-runtime",
        "POST",
        _invoke_stream_path if stream else _invoke_path,
        common.placements,
        body=encode(body),
        query=_query(common, params),
        headers=headers,
        streams=stream,
        timeouts=common.timeouts,
    )


def count_tokens(common: Common, params: dict[str, Any]) -> Call:
    """CountTokens of a Messages request."""
    body = _body(params, _COUNTED, _MESSAGE_OPTIONS)
    _require(body, params, ("messages",))
    headers = _headers(params)
    _add_version(body, params, headers, common.headers)
    body.setdefault("max_tokens", 1)  # InvokeModel's body must have it; it does not change the count
    inner = b2a_base64(encode(body), newline=False)
    return Call(
        "bedrock-runtime",
        "POST",
        _count_path,
        common.placements,
        body=b'{"input":{"invokeModel":{"body":"%b"}}}' % inner,
        query=_query(common, params),
        headers=headers,
        timeouts=common.timeouts,
    )


def converse(common: Common, params: dict[str, Any], *, stream: bool) -> Call:
    """Converse, whole or as a stream."""
    body = _body(params, _CONVERSE, _OPTIONS)
    body.update(params.get("extra_body") or {})
    return Call(
        "bedrock-runtime",
        "POST",
        _converse_stream_path if stream else _converse_path,
        common.placements,
        body=encode(body),
        query=_query(common, params),
        headers=_headers(params),
        streams=stream,
        converse=True,
        timeouts=common.timeouts,
    )


def control(here: Placement, path: str, query: Iterable[tuple[str, str]] = ()) -> Call:
    """A GET of the control plane."""
    # without a body there is no type of it
    return Call(
        "bedrock", "GET", lambda _: path, (here,), query=query_of(query), headers={"content-type": ""}
    )


def resource_path(kind: str, name: str) -> str:
    """`/foundation-models/{name}` and the like, the name as one segment."""
    return f"/{kind}/{_segment(name)}"


def identity(here: Placement) -> Call:
    """STS GetCallerIdentity."""
    return Call(
        "sts",
        "POST",
        lambda _: "/",
        (here,),
        body=b"Action=GetCallerIdentity&Version=2011-06-15",
        headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8", "accept": "*/*"},
    )


def _add_version(
    body: dict[str, Any], params: Mapping[str, Any], headers: dict[str, str], defaults: Mapping[str, str]
) -> None:
    """`anthropic_version`, the betas (Bedrock reads them in the body), and what the caller adds."""
    body["anthropic_version"] = ANTHROPIC_VERSION
    named = headers.get("anthropic-beta") or (
        "" if "anthropic-beta" in headers else defaults.get("anthropic-beta", "")
    )
    betas = [name.strip() for name in named.split(",") if name.strip()] if named else []
    given = params.get("betas") or ()
    if isinstance(given, str):
        raise UsageError(f"betas={given!r} is text.", f"Give a list: betas=[{given!r}].")
    betas += map(str, given)
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
        body["anthropic_beta"] = betas
    extra = params.get("extra_body")
    if extra:
        body.update(extra)


def _body(params: dict[str, Any], members: frozenset[str], options: frozenset[str]) -> dict[str, Any]:
    """The members of a body among a call's parameters. Raises TypeError for one that is neither."""
    body = {}
    for name, value in params.items():
        if name in members:
            if value is not omit:
                body[name] = value
        elif name not in options:
            _refuse_unknown(name, members | options)
    return body


def _headers(params: Mapping[str, Any]) -> dict[str, str]:
    extra = params.get("extra_headers")
    return checked_headers(extra, "extra_headers") if extra else {}


# What frames a request is the transport's to say.
_FRAMING: Final = frozenset({"host", "content-length", "transfer-encoding", "accept-encoding", "connection"})
_CONTROLS: Final = frozenset(map(chr, [*range(9), *range(10, 32), 127]))  # a tab may stand in a value
_NOT_IN_NAMES: Final = frozenset(' "(),/:;<=>?@[\\]{}')


def checked_headers(given: Mapping[str, Any], origin: str) -> dict[str, str]:
    """Headers by lower-case names; those that are to be left out are "". Raises UsageError."""
    if not hasattr(given, "items"):
        raise UsageError(f"{origin}={given!r} is no mapping.", "Give a dict of names and values.")
    headers = {}
    for name, value in given.items():
        text = "" if isinstance(value, Omit) or value is None else str(value)
        if not _is_token(name):
            raise UsageError(f"{origin}: {name!r} can't be the name of a header.", "Give another name.")
        if name.lower() in _FRAMING:
            raise UsageError(f"{origin}: {name} is set by the client.", "Leave it out.")
        if any(character > "\xff" or character in _CONTROLS for character in text):
            raise UsageError(
                f"{origin}: the value of {name} has a line break, a control character or a letter beyond "
                "Latin-1 in it.",
                "Take it out, or encode it.",
            )
        headers[name.lower()] = text.strip()
    return headers


def _is_token(name: object) -> bool:
    return (
        isinstance(name, str)
        and bool(name)
        and name.isascii()
        and name.isprintable()
        and _NOT_IN_NAMES.isdisjoint(name)
    )


def _query(common: Common, params: Mapping[str, Any]) -> str:
    """The client's query and the call's, which wins."""
    extra = params.get("extra_query")
    if not extra and not common.query:
        return ""
    return query_of(_flat({**common.query, **(extra or {})}))


def _flat(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """As `anthropic` writes them: `true` and `false`, a list as one pair for each item, None left out."""
    for name, value in query.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if one is not None and not isinstance(one, Omit):
                yield str(name), str(one).lower() if isinstance(one, bool) else str(one)


def query_of(pairs: Iterable[tuple[str, str]]) -> str:
    """Pairs as a raw query string."""
    return "&".join(f"{uri_encoded(name.encode())}={uri_encoded(value.encode())}" for name, value in pairs)


# Words of other clients, and what they are here.
_KNOWN_ELSEWHERE: Final = {
    "modelId": "it is `model` here",
    "max_tokens_to_sample": "it is `max_tokens` here",
    "stop": "it is `stop_sequences` here",
    "max_retries": "it belongs to the client: client.with_options(max_retries=…)",
    "default_headers": "it belongs to the client; a call has extra_headers",
    "residency": "it belongs to the client: client.with_options(residency=…)",
    "fallback": "it belongs to the client: client.with_options(fallback=[…])",
    "aws_region": "it belongs to the client: client.with_options(aws_region=…)",
}


def _refuse_unknown(name: str, allowed: frozenset[str]) -> NoReturn:
    from difflib import get_close_matches

    near = get_close_matches(name, allowed, 1, 0.75)
    hint = _KNOWN_ELSEWHERE.get(name) or (f"did you mean {near[0]!r}?" if near else "")
    raise TypeError(
        f"{name!r} is no parameter of this call"
        + (f": {hint}" if hint else ". A newer member of the API goes into extra_body.")
    )


def _require(body: Mapping[str, Any], params: Mapping[str, Any], names: tuple[str, ...]) -> None:
    extra = params.get("extra_body") or {}
    missing = [name for name in names if name not in body and name not in extra]
    if missing:
        raise TypeError(f"missing the parameter{'s' * (len(missing) > 1)} {' and '.join(map(repr, missing))}")
