"""What came back, read: requests and responses as values, errors as exceptions. Sends nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from outcrop import errors as faults
from outcrop.client.errors import (
    SEND_AGAIN,
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    CertificateError,
    ProxyError,
    StreamBrokenError,
    StreamStalledError,
    status_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar, overload

    from outcrop.transport import TransportError

    T = TypeVar("T")

_SECRET_HEADERS: Final = frozenset({"authorization", "x-amz-security-token", "proxy-authorization"})
_HIDDEN_TEXT: Final = re.compile(r"<(style|script)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_TAGS: Final = re.compile(r"<[^<>]*>")
_XML_ERROR: Final = re.compile(r"<Code>([^<]*)</Code>\s*<Message>([^<]*)</Message>")


class Headers(dict[str, str]):
    """Headers by name, whatever its case. A name given twice has its values joined with ", "."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__()
        for name, value in pairs:
            key = name.lower()
            super().__setitem__(key, f"{self[key]}, {value}" if key in self else value)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    if TYPE_CHECKING:

        @overload
        def get(self, name: str, default: None = None) -> str | None: ...
        @overload
        def get(self, name: str, default: str) -> str: ...
        @overload
        def get(self, name: str, default: T) -> str | T: ...

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a header, or `default`."""
        return super().get(name.lower(), default)


class Hidden(str):
    """A secret among others: tools that show local variables do not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class Request:
    """What was sent, without its body: enough for a log line. Secrets are left out of `headers`."""

    __slots__ = ("_pairs", "method", "url")

    def __init__(self, method: str, url: str, headers: list[tuple[str, str]]) -> None:
        self.method = method
        self.url = url
        self._pairs = headers

    @property
    def headers(self) -> Headers:
        """The headers, but for signatures, tokens and keys."""
        return Headers((name, value) for name, value in self._pairs if name.lower() not in _SECRET_HEADERS)

    def __repr__(self) -> str:
        return f"Request({self.method!r}, {self.url!r})"

    def __getstate__(self) -> tuple[str, str, list[tuple[str, str]]]:
        return self.method, self.url, list(self.headers.items())  # a pickle is no place for a signature

    def __setstate__(self, state: tuple[str, str, list[tuple[str, str]]]) -> None:
        self.method, self.url, self._pairs = state


class Response:
    """A response whose body has been read, or b"" where the body is a stream."""

    __slots__ = ("_pairs", "content", "request", "status_code")

    def __init__(
        self, status_code: int, headers: list[tuple[str, str]], content: bytes, request: Request
    ) -> None:
        self.status_code = status_code
        self._pairs = headers
        self.content = content
        self.request = request

    @property
    def headers(self) -> Headers:
        """The headers."""
        return Headers(self._pairs)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body, decoded. Raises ValueError when it is not JSON."""
        return msgspec.json.decode(self.content)

    def __repr__(self) -> str:
        return f"Response({self.status_code})"

    def __getstate__(self) -> tuple[Any, ...]:
        return self.status_code, self._pairs, self.content, self.request

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.status_code, self._pairs, self.content, self.request = state


# AWS's names and the statuses they stand for: inside a stream there is only the name.
_STATUS_OF: Final[dict[str, int]] = {
    name: kind.status
    for name, kind in vars(faults).items()
    if isinstance(kind, type) and issubclass(kind, faults.Fault) and name.endswith("Exception")
} | {
    # the Messages API's own, which servers other than AWS's may send as an event
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}

# What to do next, by AWS's name and a part of its text ("" for any), the first that fits.
_FIXES: Final = (
    (
        "ValidationException",
        "on-demand throughput",
        "This model is called through an inference profile: pass endpoint='global' or endpoint='regional', "
        "or put `global.` before the id.",
    ),
    (
        "ValidationException",
        "model identifier is invalid",
        "`client.models.list()` shows the ids that this region and account can use.",
    ),
    (
        "AccessDeniedException",
        "access to the model",
        "Request access to the model in the Bedrock console under Model access, in this region.",
    ),
    (
        "AccessDeniedException",
        "API Key",
        "The key is malformed, expired or of another region: make a new one.",
    ),
    (
        "UnrecognizedClientException",
        "",
        "The server does not know these credentials: are they for this account, and for this endpoint?",
    ),
    ("InvalidSignatureException", "expired", "This machine's clock is wrong: set it, and try again."),
    ("InvalidSignatureException", "not yet current", "This machine's clock is wrong: set it, and try again."),
    (
        "InvalidSignatureException",
        "",
        "The secret key does not belong to the access key, or something on the way changed the request.",
    ),
    (
        "UnknownOperationException",
        "",
        "No operation of Bedrock's has this address: base_url ends before `/model/…`.",
    ),
    ("ExpiredTokenException", "", "The temporary credentials have ended: get new ones."),
    (
        "ThrottlingException",
        "",
        "Send less at a time, lower max_tokens (it is reserved from the quota), or give "
        "fallback=['regional', 'us-east-1'] to try elsewhere.",
    ),
)


def status_failure(response: Response) -> APIStatusError:
    """The exception that a reply with an error status is."""
    status = response.status_code
    body = _json_or_none(response.content)
    name, text = _name_and_text(response, body)
    if text is None:
        return _foreign_error(response)
    kind = status_error(status)
    label = f"{name} ({status})" if name else f"Error {status}"
    return kind(
        f"{label}: {text}{_id_of(response)}",
        response=response,
        body=body if body is not None else response.text,
        aws_error=name,
        api_message=text,
        fix=_fix(name, text),
    )


def stream_failure(response: Response, name: str, text: str, status: int = 0) -> APIStatusError:
    """The exception that an exception frame is. `status` is 0 where the frame does not tell one."""
    # what an unknown failure tells as its status may be anything
    kind = status_error(_STATUS_OF.get(name, status if status >= 400 else 500))
    return kind(
        f"{name} inside the stream: {text}{_id_of(response)}",
        response=response,
        body={"message": text},
        aws_error=name,
        api_message=text,
        in_stream=True,
        fix=_fix(name, text),
    )


def may_pass(status: int) -> bool:
    """Whether an error of this status may be gone at the next attempt."""
    return status in (408, 409, 429) or status >= 500


def _name_and_text(response: Response, body: Any) -> tuple[str | None, str | None]:
    """AWS's name and text, from wherever this kind of reply has them; no text: not a reply of AWS's."""
    name = response.headers.get("x-amzn-errortype", "").partition(":")[0] or None
    if isinstance(body, dict):
        error = body.get("error")
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            return name or str(error.get("type") or "") or None, error["message"]
        kind = body.get("__type") or body.get("code")
        if name is None and isinstance(kind, str):
            name = kind.rpartition("#")[2].partition(":")[0]
        text = body.get("message", body.get("Message"))
        # the front door's unknown operation says its name in the body and nothing else
        return name, text if isinstance(text, str) else (name and str(body))
    if found := _XML_ERROR.search(response.text):
        return found[1], found[2]
    return name, response.text if name else None


def _foreign_error(response: Response) -> APIStatusError:
    """An error status with a body that is none of AWS's."""
    location = response.headers.get("location")
    if 300 <= response.status_code < 400 and location:
        what = f"Error {response.status_code}: redirected to {location}; no request is sent after a redirect"
        fix = "Point base_url at the address that answers itself."
    else:
        what = f"Error {response.status_code}: {_not_bedrock(response)}"
        fix = _LOGIN if response.status_code == 407 else _WHO_ANSWERED
    return status_error(response.status_code)(what, response=response, body=response.text, fix=fix)


_LOGIN: Final = "The proxy wants a login: write http://user:password@host:port in HTTPS_PROXY or HTTP_PROXY."
_PROXY: Final = "Look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
_ADDRESS: Final = (
    "Is the address right (aws_region, base_url), and does this machine reach it without a proxy?"
)
_WHO_ANSWERED: Final = (
    "Something between here and Bedrock answered: look at HTTPS_PROXY, NO_PROXY and base_url, "
    "or sign in to the network."
)


def not_an_answer(response: Response, body: bytes | None = None) -> APIResponseValidationError:
    """A reply with status 200 that is no answer of Bedrock's. `body`: what came of an open one."""
    if body is not None:
        response = Response(response.status_code, list(response.headers.items()), body, response.request)
    return APIResponseValidationError(
        response, response.text, message=_not_bedrock(response), fix=_WHO_ANSWERED
    )


def _not_bedrock(response: Response) -> str:
    kind = response.headers.get("content-type", "").partition(";")[0] or "no content type"
    shown = " ".join(_TAGS.sub(" ", _HIDDEN_TEXT.sub(" ", response.text[:4000])).split())[:200]
    return f"{response.request.url} answered with {kind}, not with Bedrock's JSON: {shown!r}"


def decode(response: Response) -> dict[str, Any]:
    """The JSON object of a reply with status 200. Raises APIResponseValidationError."""
    body = _json_or_none(response.content)
    if not isinstance(body, dict):
        raise not_an_answer(response)
    return body


def _json_or_none(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _id_of(response: Response) -> str:
    found = response.headers.get("x-amzn-requestid") or response.headers.get("request-id")
    return f" (request id {found})" if found else ""


def _fix(name: str | None, text: str) -> str:
    for fault, part, fix in _FIXES:
        if fault == name and part in text:
            return fix
    return ""


def transport_failure(
    error: TransportError, request: Request, *, in_stream: bool = False
) -> APIConnectionError:
    """The exception that a failed exchange is. `in_stream`: the reply had begun."""
    from outcrop import transport

    host = request.url.partition("//")[2].partition("/")[0]
    if isinstance(error, transport.TimedOutError):
        if in_stream:
            return StreamStalledError(
                message=f"{host}: the stream stalled: {error}", request=request, fix=_STALLED
            )
        return APITimeoutError(
            message=f"{host}: {error}",
            request=request,
            fix=error.fix or "Give `timeout` more seconds for this phase.",
        )
    if in_stream:
        return StreamBrokenError(
            message=f"{host}: the stream broke off: {error}", request=request, fix=SEND_AGAIN
        )
    if isinstance(error, transport.ProxyError):
        return ProxyError(message=str(error), request=request, fix=error.fix or _PROXY)
    if isinstance(error, transport.CertificateError):
        return CertificateError(message=str(error), request=request, fix=error.fix or _CERTIFICATE)
    if isinstance(error, transport.DialError):  # its text begins with where it was going
        return APIConnectionError(message=str(error), request=request, fix=error.fix or _ADDRESS)
    return APIConnectionError(message=f"{host}: {error}", request=request, fix=error.fix)


_STALLED: Final = (
    "What came before is yours to keep. Send it again, or give timeout=Timeout(stall=…) more seconds."
)
_CERTIFICATE: Final = (
    "If the server is yours or behind a company's proxy, name its authority in AWS_CA_BUNDLE. "
    "If there is no authority on this machine at all, install certificates (Debian: ca-certificates)."
)
