"""What the client raises, by the names that users of `anthropic` catch. Knows statuses and AWS's names.

    OutcropError
    └── AnthropicError                       everything below; `what` happened, and in `fix` what to do next
        ├── UsageError (a ValueError too)    nothing was sent: the call or the settings can't be meant
        │   ├── CredentialsError             half a key pair, none found, a source that failed
        │   ├── ConfigFileError              an AWS file that can't be read
        │   ├── ModelNameError               no such short name or id
        │   ├── EndpointError                the model has no such endpoint from this region
        │   └── ResidencyError               the guard refused: it could run outside
        └── APIError
            ├── APIConnectionError           no complete answer
            │   ├── APITimeoutError
            │   │   └── StreamStalledError   a stream from which nothing more came
            │   ├── ProxyError               the proxy, not Bedrock
            │   ├── CertificateError         the server's certificate is not believed
            │   ├── StreamBrokenError        a stream that ended before its end
            │   └── StreamCorruptedError     a stream whose bytes are wrong
            ├── APIResponseValidationError   an answer that is not Bedrock's (a proxy's HTML page, say)
            └── APIStatusError               an error of Bedrock's, in a reply or inside a stream
                ├── BadRequestError 400 · AuthenticationError 401 · PaymentRequiredError 402
                ├── PermissionDeniedError 403 · NotFoundError 404 · RequestTimeoutError 408
                ├── ConflictError 409 · PreconditionFailedError 412 · ContentTooLargeError 413
                ├── UnprocessableEntityError 422
                ├── ModelError 424 · RateLimitError 429 · RequestHeaderFieldsTooLargeError 431
                ├── ClientClosedRequestError 499
                └── InternalServerError 5xx
                    ├── HTTPNotImplementedError 501 · ServiceUnavailableError 503
                    └── GatewayTimeoutError 504 · OverloadedError 529

Names and statuses: the exceptions of `anthropic` 2.12, and botocore's service models for AWS's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from outcrop.errors import OutcropError

if TYPE_CHECKING:
    from outcrop.client.replies import Request, Response


# what to do next about every stream that did not come whole
SEND_AGAIN: Final = "What came before is yours to keep. Send the request again to have all of it."


class AnthropicError(OutcropError):
    """Everything the client raises on purpose. `what` happened, and in `fix` what to do next."""

    def __reduce__(self) -> tuple[Any, ...]:
        # the subclasses' arguments differ; what they made of them is in the attributes
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[AnthropicError], args: tuple[Any, ...]) -> AnthropicError:
    return kind.__new__(kind, *args)


class UsageError(AnthropicError, ValueError):
    """The call or the settings can't be meant. Nothing was sent."""


class CredentialsError(UsageError):
    """Half a key pair, no credentials at all, or a source of them that failed."""


class ConfigFileError(UsageError):
    """One of AWS's files (`~/.aws/config`, `~/.aws/credentials`) can't be read or lacks the profile."""


class ModelNameError(UsageError):
    """No model has that short name, and it has the form of no id."""


class EndpointError(UsageError):
    """The model has no such endpoint, or not from this region."""


class ResidencyError(UsageError):
    """The guard refused a call that could run outside the allowed regions."""


class APIError(AnthropicError):
    """Something was sent, or was about to be. `message` is the whole text; `body` what came, decoded."""

    def __init__(
        self, message: str, request: Request | None = None, *, body: object | None = None, fix: str = ""
    ) -> None:
        super().__init__(message, fix)
        self.message = message
        self.request = request
        self.body = body


class APIConnectionError(APIError):
    """No complete answer came."""

    def __init__(
        self, *, message: str = "Connection error.", request: Request | None = None, fix: str = ""
    ) -> None:
        super().__init__(message, request, fix=fix)


class APITimeoutError(APIConnectionError):
    """A phase took longer than `timeout` allows; the text names the phase."""

    def __init__(
        self, request: Request | None = None, *, message: str = "Request timed out.", fix: str = ""
    ) -> None:
        super().__init__(message=message, request=request, fix=fix)


class StreamStalledError(APITimeoutError):
    """A stream said nothing for longer than allowed. What came before has been handed out."""


class ProxyError(APIConnectionError):
    """The proxy was not reached, or would not connect us to Bedrock."""


class CertificateError(APIConnectionError):
    """The server's certificate is not believed: its authority, its name or its date."""


class StreamBrokenError(APIConnectionError):
    """A stream ended before its end. What came before has been handed out; it is not sent again."""


class StreamCorruptedError(APIConnectionError):
    """The bytes of a stream are not what was sent: a checksum, a length or an event is wrong."""


class APIResponseValidationError(APIError):
    """An answer came that is not Bedrock's: a proxy's page, a sign-in form, broken JSON."""

    def __init__(
        self, response: Response, body: object | None, *, message: str | None = None, fix: str = ""
    ) -> None:
        super().__init__(
            message or "The answer is not one of Bedrock's.", response.request, body=body, fix=fix
        )
        self.response = response
        self.status_code = response.status_code


class APIStatusError(APIError):
    """An error of Bedrock's.

    `status_code` is the status; of an error inside a stream, the one its name stands for. `aws_error` is
    AWS's name (`ThrottlingException`), `api_message` AWS's text, `request_id` what AWS's support asks for.
    `type` is the Messages API's name where the body has one (`rate_limit_error`), else None; so are
    `error_code`, `details` and `workspace_id`. `in_stream` tells that the reply had begun with status 200.
    """

    status: ClassVar[int] = 0

    def __init__(
        self,
        message: str,
        *,
        response: Response,
        body: object | None,
        aws_error: str | None = None,
        api_message: str | None = None,
        in_stream: bool = False,
        fix: str = "",
    ) -> None:
        super().__init__(message, response.request, body=body, fix=fix)
        self.response = response
        self.status_code = (in_stream and type(self).status) or response.status_code
        self.request_id = request_id(response)
        self.aws_error = aws_error
        self.api_message = api_message
        self.in_stream = in_stream
        error = body.get("error") if isinstance(body, dict) else None
        told = error if isinstance(error, dict) else {}
        self.type: str | None = told.get("type")
        self.details: Any = told.get("details")
        self.error_code: str | None = (
            self.details.get("error_code") if isinstance(self.details, dict) else None
        )
        self.workspace_id: str | None = response.headers.get("anthropic-workspace-id")


def request_id(response: Response) -> str | None:
    """AWS's id of a request: Bedrock's own header, or the one Anthropic's API sends."""
    headers = response.headers
    found: str | None = headers.get("x-amzn-requestid") or headers.get("request-id")
    return found


class BadRequestError(APIStatusError):
    """400: the request is malformed, or asks for what the model does not do."""

    status = 400


class AuthenticationError(APIStatusError):
    """401."""

    status = 401


class PaymentRequiredError(APIStatusError):
    """402."""

    status = 402


class PermissionDeniedError(APIStatusError):
    """403: the caller is unknown, the signature is wrong, or this is not allowed."""

    status = 403


class NotFoundError(APIStatusError):
    """404."""

    status = 404


class RequestTimeoutError(APIStatusError):
    """408: the model took too long."""

    status = 408


class ConflictError(APIStatusError):
    """409."""

    status = 409


class PreconditionFailedError(APIStatusError):
    """412."""

    status = 412


class ContentTooLargeError(APIStatusError):
    """413."""

    status = 413


RequestTooLargeError = ContentTooLargeError  # the older name in `anthropic`


class UnprocessableEntityError(APIStatusError):
    """422."""

    status = 422


class ModelError(APIStatusError):
    """424: the model failed. AWS's own status; `anthropic` has no name for it."""

    status = 424


class RateLimitError(APIStatusError):
    """429: too many requests or tokens, or the model is still being loaded."""

    status = 429


class RequestHeaderFieldsTooLargeError(APIStatusError):
    """431."""

    status = 431


class ClientClosedRequestError(APIStatusError):
    """499."""

    status = 499


class InternalServerError(APIStatusError):
    """5xx."""

    status = 500


class HTTPNotImplementedError(InternalServerError):
    """501."""

    status = 501


class ServiceUnavailableError(InternalServerError):
    """503: no capacity now."""

    status = 503


class GatewayTimeoutError(InternalServerError):
    """504."""

    status = 504


DeadlineExceededError = GatewayTimeoutError  # the older name in `anthropic`


class OverloadedError(InternalServerError):
    """529."""

    status = 529


_BY_STATUS: Final[dict[int, type[APIStatusError]]] = {
    kind.status: kind
    for kind in (
        BadRequestError,
        AuthenticationError,
        PaymentRequiredError,
        PermissionDeniedError,
        NotFoundError,
        RequestTimeoutError,
        ConflictError,
        PreconditionFailedError,
        ContentTooLargeError,
        UnprocessableEntityError,
        ModelError,
        RateLimitError,
        RequestHeaderFieldsTooLargeError,
        ClientClosedRequestError,
        HTTPNotImplementedError,
        ServiceUnavailableError,
        GatewayTimeoutError,
        OverloadedError,
    )
}


def status_error(status: int) -> type[APIStatusError]:
    """The exception of a status."""
    return _BY_STATUS.get(status) or (InternalServerError if status >= 500 else APIStatusError)
