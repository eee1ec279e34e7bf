"""A call's parameters become a request: path, body, headers. Knows Bedrock's operations; signs nothing."""

from __future__ import annotations

from binascii import b2a_base64
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from outcrop.client.errors import UsageError
from outcrop.client.value import encode
from outcrop.wire.sigv4 import uri_encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from outcrop.client.placing import Placement
    from outcrop.transport import Timeouts

ANTHROPIC_VERSION: Final = "bedrock-2023-05-31"
_JSON: Final = "application/json"

# Keywords that say how to call, not what to ask.
_OPTIONS: Final = frozenset(
    {"model", "endpoint", "stream", "betas", "extra_headers", "extra_query", "extra_body", "timeout"}
)
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
    """A parameter that is not sent, as if it had not been given."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NOT_GIVEN"


omit: Final = Omit()
NotGiven = Omit  # the older name in `anthropic`
NOT_GIVEN: Final = omit


class Call(NamedTuple):
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


def message(
    placements: tuple[Placement, ...],
    params: dict[str, Any],
    timeouts: Timeouts | None,
    defaults: Mapping[str, str],
) -> Call:
    """InvokeModel, whole or as a stream. Raises TypeError for a parameter nobody knows, UsageError."""
    if params.keys() - _OPTIONS - _MESSAGE:
        _refuse_unknown(params, _OPTIONS | _MESSAGE)
    body = {name: value for name, value in params.items() if name in _MESSAGE and not isinstance(value, Omit)}
    if "max_tokens" not in body or "messages" not in body:
        _require(body, params, ("max_tokens", "messages"))
    stream = bool(params.get("stream"))
    headers = _headers(params)
    _add_version(body, params, headers, defaults)
    return Call(
        "bedrock-runtime",
        "POST",
        _invoke_stream_path if stream else _invoke_path,
        placements,
        body=encode(body),
        query=_query(params),
        headers=headers,
        streams=stream,
        timeouts=timeouts,
    )


def count_tokens(
    placements: tuple[Placement, ...],
    params: dict[str, Any],
    timeouts: Timeouts | None,
    defaults: Mapping[str, str],
) -> Call:
    """CountTokens of a Messages request."""
    allowed = _OPTIONS | _COUNTED
    if params.keys() - allowed:
        _refuse_unknown(params, allowed)
    body = {name: value for name, value in params.items() if name in _COUNTED and not isinstance(value, Omit)}
    _require(body, params, ("messages",))
    headers = _headers(params)
    _add_version(body, params, headers, defaults)
    body.setdefault("max_tokens", 1)  # InvokeModel's body must have it; it does not change the count
    inner = b2a_base64(encode(body), newline=False)
    return Call(
        "bedrock-runtime",
        "POST",
        _count_path,
        placements,
        body=b'{"input":{"invokeModel":{"body":"%b"}}}' % inner,
        query=_query(params),
        headers=headers,
        timeouts=timeouts,
    )


def converse(
    placements: tuple[Placement, ...], params: dict[str, Any], timeouts: Timeouts | None, *, stream: bool
) -> Call:
    """Converse, whole or as a stream."""
    allowed = _OPTIONS | _CONVERSE
    if params.keys() - allowed:
        _refuse_unknown(params, allowed)
    body = {
        name: value for name, value in params.items() if name in _CONVERSE and not isinstance(value, Omit)
    }
    body.update(params.get("extra_body") or {})
    return Call(
        "bedrock-runtime",
        "POST",
        _converse_stream_path if stream else _converse_path,
        placements,
        body=encode(body),
        query=_query(params),
        headers=_headers(params),
        streams=stream,
        converse=True,
        timeouts=timeouts,
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
    betas += map(str, params.get("betas") or ())
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
        body["anthropic_beta"] = betas
    extra = params.get("extra_body")
    if extra:
        body.update(extra)


def _headers(params: Mapping[str, Any]) -> dict[str, str]:
    extra = params.get("extra_headers")
    return checked_headers(extra, "extra_headers") if extra else {}


def checked_headers(given: Mapping[str, Any], origin: str) -> dict[str, str]:
    """Headers by lower-case names; those that are to be left out are "". Raises UsageError."""
    headers = {}
    for name, value in given.items():
        text = "" if isinstance(value, Omit) or value is None else str(value)
        if not name or not name.isascii() or any(c in name for c in ' \t\r\n:"(),/;<=>?@[\\]{}'):
            raise UsageError(f"{origin}: {name!r} can't be the name of a header.", "Give another name.")
        if "\r" in text or "\n" in text or "\0" in text:
            raise UsageError(f"{origin}: the value of {name} has a line break in it.", "Take it out.")
        headers[name.lower()] = text.strip()
    return headers


def _query(params: Mapping[str, Any]) -> str:
    extra = params.get("extra_query")
    return query_of((name, str(value)) for name, value in extra.items()) if extra else ""


def query_of(pairs: Iterable[tuple[str, str]]) -> str:
    """Pairs as a raw query string."""
    return "&".join(f"{uri_encoded(name.encode())}={uri_encoded(value.encode())}" for name, value in pairs)


def _refuse_unknown(params: Mapping[str, Any], allowed: frozenset[str]) -> None:
    for name in params:
        if name not in allowed:
            raise TypeError(
                f"{name!r} is no parameter of this call. A newer member of the API goes into extra_body."
            )


def _require(body: Mapping[str, Any], params: Mapping[str, Any], names: tuple[str, ...]) -> None:
    extra = params.get("extra_body") or {}
    missing = [name for name in names if name not in body and name not in extra]
    if missing:
        raise TypeError(f"missing the parameter{'s' * (len(missing) > 1)} {' and '.join(map(repr, missing))}")
