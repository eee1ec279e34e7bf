"""What a failing upstream becomes: statuses, Messages error objects and broken exchanges into AWS's faults.

Knows no request and no socket. The caller reads AWS's words; what the upstream said goes into `reason`, for
our own log, except where the request itself is at fault: then its message is passed on. Texts: AWS's, as
users have reported them (ModelErrorException, ModelTimeoutException, throttling, capacity).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from outcrop.errors import (
    Fault,
    InternalServerException,
    ModelErrorException,
    ModelStreamErrorException,
    ModelTimeoutException,
    ResourceNotFoundException,
    ServiceUnavailableException,
    ThrottlingException,
    ValidationException,
)
from outcrop.transport import (
    AddressRefusedError,
    BrokenError,
    DialError,
    GarbledError,
    HttpError,
    TimedOutError,
    TooLargeError,
)

UNEXPECTED: Final = "The system encountered an unexpected error during processing. Try your request again."
_TIMED_OUT: Final = "Model has timed out in processing the request. Try your request again."
_TOO_LONG: Final = "Input is too long for requested model."
_TOO_MANY: Final = "Too many {what}, please wait before trying again."

# The Messages API's error types as the status each has outside of a stream (Claude API reference, "Errors").
_STATUS_OF_TYPE: Final = {
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


class Problem(msgspec.Struct, frozen=True):
    """An upstream's failure, read. `type` and `message` are "" where it gave none that could be read.

    `header` looks a response header up; in a stream there is none. `streaming`: events have been sent on.
    """

    upstream: str
    status: int
    type: str = ""
    message: str = ""
    header: Callable[[str], str] = lambda _: ""
    streaming: bool = False

    @property
    def reason(self) -> str:
        """For our log: who said what, and under which id they know it."""
        request_id = self.header("request-id") or self.header("x-request-id")
        parts = (f"{self.upstream} answered {self.status}", self.type, self.message)
        return ": ".join(part for part in parts if part) + (
            f" (request-id {request_id})" if request_id else ""
        )


def read_error(body: bytes) -> tuple[str, str]:
    """Type and message in an error body: Anthropic's shape, and those of servers that imitate it."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", ""  # a proxy's page
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        kind, message = error.get("type"), error.get("message")
        return kind if isinstance(kind, str) else "", message if isinstance(message, str) else ""
    return "", error if isinstance(error, str) else ""


def of_status(problem: Problem) -> Fault:
    """The fault for a status that is not 200."""
    special = _BY_STATUS.get(problem.status)
    if special is not None:
        return special(problem)
    if problem.status >= 500 or problem.status < 300:
        return _model_error(problem)
    # redirects, which are not followed, and refusals of what only the operator can have set wrong
    return InternalServerException(UNEXPECTED, reason=problem.reason)


def of_error_event(data: bytes, upstream: str) -> Fault:
    """The fault for an `error` event in a stream."""
    kind, message = read_error(data)
    return of_status(Problem(upstream, _STATUS_OF_TYPE.get(kind, 500), kind, message, streaming=True))


def of_exchange(
    error: HttpError | DialError, upstream: str, *, began: bool, streaming: bool = False
) -> Fault:
    """The fault for an exchange that failed. `began`: the response's head had arrived."""
    reason = f"{upstream}: {error}"
    if isinstance(error, AddressRefusedError):
        return InternalServerException(UNEXPECTED, reason=reason)
    if isinstance(error, TimedOutError) and error.phase in ("head", "idle"):
        return ModelTimeoutException(_TIMED_OUT, reason=reason)
    if isinstance(error, (GarbledError, TooLargeError)) or (began and isinstance(error, BrokenError)):
        return unreadable(reason, streaming=streaming)
    # refused, reset before an answer, no name, no TLS, no free connection: another try may well work
    return ServiceUnavailableException(reason=reason)


def unreadable(reason: str, *, status: int = 500, streaming: bool = False) -> ModelErrorException:
    """The fault for an answer that is none: not JSON, not Messages, cut off."""
    kind = ModelStreamErrorException if streaming else ModelErrorException
    return kind(UNEXPECTED, original_status=status, reason=reason)


def _model_error(problem: Problem) -> Fault:
    return unreadable(problem.reason, status=problem.status, streaming=problem.streaming)


def _bad_request(problem: Problem) -> Fault:
    if not problem.message:
        return _model_error(problem)  # not the Messages API speaking: the caller can't mend it
    if "credit balance" in problem.message or "usage limits" in problem.message:
        # the operator's account with the upstream is not the caller's business (Claude API, spend limits)
        return InternalServerException(UNEXPECTED, reason=problem.reason)
    return ValidationException(problem.message, reason=problem.reason)


def _not_found(problem: Problem) -> Fault:
    if not problem.message:  # no such path: the base URL leads to something else
        return InternalServerException(UNEXPECTED, reason=f"{problem.reason}: no Messages API there?")
    return ResourceNotFoundException("Model not found.", reason=problem.reason)


def _too_large(problem: Problem) -> Fault:
    return ValidationException(_TOO_LONG, reason=problem.reason)


def _timeout(problem: Problem) -> Fault:
    return ModelTimeoutException(_TIMED_OUT, reason=problem.reason)


def _overloaded(problem: Problem) -> Fault:
    return ServiceUnavailableException(retry_after=_retry_after(problem), reason=problem.reason)


# The Claude API names what is left of each limit; at zero it is the one that was hit.
_TOKEN_LIMITS: Final = tuple(
    f"anthropic-ratelimit-{kind}tokens-remaining" for kind in ("", "input-", "output-")
)


def _throttled(problem: Problem) -> Fault:
    message = problem.message.lower()
    what = "requests"
    if "token" in message or any(problem.header(name) == "0" for name in _TOKEN_LIMITS):
        what = "tokens per day" if "per day" in message or "daily" in message else "tokens"
    text = _TOO_MANY.format(what=what)
    return ThrottlingException(text, retry_after=_retry_after(problem), reason=problem.reason)


def _retry_after(problem: Problem) -> float | None:
    """Seconds; None also for a date, which none of these servers sends."""
    try:
        seconds = float(problem.header("retry-after"))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 * 366 else None


_BY_STATUS: Final[dict[int, Callable[[Problem], Fault]]] = {
    400: _bad_request,
    404: _not_found,
    408: _timeout,
    413: _too_large,
    422: _bad_request,
    429: _throttled,
    503: _overloaded,
    504: _timeout,
    529: _overloaded,
}
