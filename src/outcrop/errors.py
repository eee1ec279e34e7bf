"""Every exception Outcrop raises on purpose. Knows AWS's names, statuses and retry rules; not HTTP, not JSON.

    Exception
    ├── OutcropError                         for the person at the keyboard: what is wrong, what to do next
    │   ├── ConfigError                      outcrop.toml, an environment variable or a flag over them
    │   └── ArgumentError                    a flag or an argument of one command
    └── Fault                                for the caller on the wire: AWS's name, status and text
        ├── AuthFault                        raised before the service itself is reached
        │   ├── IncompleteSignatureException         400
        │   ├── MissingAuthenticationTokenException  403
        │   ├── UnrecognizedClientException          403
        │   ├── InvalidSignatureException            403
        │   ├── ExpiredTokenException                403
        │   ├── RequestTimeoutException              408   the body stopped arriving
        │   ├── UnknownOperationException            404
        │   └── SerializationException               400   the body is not the JSON the operation takes
        ├── ValidationException                      400
        ├── MalformedPolicyDocumentException         400   only STS
        ├── PackedPolicyTooLargeException            400   only STS
        ├── ConflictException                        400   (Bedrock's control plane answers 400, not 409)
        ├── TooManyTagsException                     400
        ├── ServiceQuotaExceededException            400
        ├── AccessDeniedException                    403
        │   └── InvalidApiKey                        403   its body says `Message`
        ├── ResourceNotFoundException                404
        ├── ModelTimeoutException                    408
        ├── ModelErrorException                      424
        │   └── ModelStreamErrorException            424   only inside a stream
        ├── ThrottlingException                      429
        ├── ModelNotReadyException                   429
        ├── InternalServerException                  500
        └── ServiceUnavailableException              503

Names and statuses: botocore's service models of `bedrock` and `bedrock-runtime`; the authentication
names are those AWS's front door answers with (recorded traffic).
"""

from __future__ import annotations

from typing import ClassVar


class OutcropError(Exception):
    """Something the person running Outcrop can mend. `fix` is the next thing to do, as a sentence."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\n{self.fix}" if self.fix else self.what


class ConfigError(OutcropError):
    """A setting is wrong: the text names the file and line, the variable or the flag."""


class ArgumentError(OutcropError):
    """A flag or an argument of a command is wrong: it names what there is not, or what can't be."""


class Fault(Exception):  # noqa: N818 - AWS's names below have their own endings
    """A refusal or failure as AWS names it. `text` is the message the caller reads.

    `reason` is for our own log only (an upstream's error, a file that is missing): it never goes on the wire.
    """

    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    # which of AWS's layers speaks: it shows in the x-amzn-errortype header's suffix
    origin: ClassVar[str] = "com.amazon.bedrock"

    def __init__(self, text: str, *, reason: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason

    @property
    def name(self) -> str:
        """AWS's name of this fault, as in `x-amzn-errortype`."""
        return type(self).__name__


class AuthFault(Fault):
    """Refused by the front door, before Bedrock itself is asked."""

    status = 403
    origin = "com.amazon.coral.service"


class IncompleteSignatureException(AuthFault):
    """The Authorization header or the signed query lacks a part, or a part is malformed."""

    status = 400


class MissingAuthenticationTokenException(AuthFault):
    """No credentials at all."""

    def __init__(self, text: str = "Missing Authentication Token", *, reason: str = "") -> None:
        super().__init__(text, reason=reason)


class UnrecognizedClientException(AuthFault):
    """The access key id or the session token is not known here."""

    def __init__(
        self, text: str = "The security token included in the request is invalid.", *, reason: str = ""
    ) -> None:
        super().__init__(text, reason=reason)


class InvalidSignatureException(AuthFault):
    """The signature does not fit the request, or its time lies outside the window."""

    def __init__(
        self,
        text: str = "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. "
        "Consult the service documentation for details.",
        *,
        reason: str = "",
    ) -> None:
        super().__init__(text, reason=reason)


class ExpiredTokenException(AuthFault):
    """Temporary credentials past their time."""

    # recorded without a full stop
    def __init__(
        self, text: str = "The security token included in the request is expired", *, reason: str = ""
    ) -> None:
        super().__init__(text, reason=reason)


class RequestTimeoutException(AuthFault):
    """The client began a request and stopped sending it."""

    status = 408


class UnknownOperationException(AuthFault):
    """No operation of the service has this method and path. Its body is the front door's own shape."""

    status = 404

    def __init__(self, text: str = "", *, reason: str = "") -> None:
        super().__init__(text, reason=reason)


class SerializationException(AuthFault):
    """The body can't be parsed as the operation's members: broken JSON, a wrong JSON type, broken base64."""

    status = 400


class ValidationException(Fault):
    """The request is malformed or asks for what the model does not do."""

    status = 400


class MalformedPolicyDocumentException(Fault):
    """A policy that a caller of STS gave for a session is none."""

    status = 400


class PackedPolicyTooLargeException(Fault):
    """A policy that a caller of STS gave for a session is too long."""

    status = 400


class ConflictException(Fault):
    """A resource of that name is there already, or is in use."""

    status = 400


class TooManyTagsException(Fault):
    """More tags than a resource may have. `resource` is its ARN."""

    status = 400

    def __init__(self, text: str, *, resource: str = "", reason: str = "") -> None:
        super().__init__(text, reason=reason)
        self.resource = resource


class ServiceQuotaExceededException(Fault):
    """More of a resource than the account may have."""

    status = 400


class AccessDeniedException(Fault):
    """The caller is known and may not do this."""

    status = 403


class InvalidApiKey(AccessDeniedException):
    """A Bedrock API key that is malformed, unknown, expired or of another region."""

    def __init__(
        self,
        text: str = "Authentication failed: Please make sure your API Key is valid.",
        *,
        reason: str = "",
    ) -> None:
        super().__init__(text, reason=reason)

    @property
    def name(self) -> str:
        """AWS answers API keys with plain AccessDeniedException."""
        return "AccessDeniedException"


class ResourceNotFoundException(Fault):
    """The named thing is not there, or not for this account."""

    status = 404


class ModelTimeoutException(Fault):
    """The model took too long."""

    status = 408


class ModelErrorException(Fault):
    """The model failed. `original_status` is the status the model's server gave."""

    status = 424

    def __init__(self, text: str, *, original_status: int = 500, reason: str = "") -> None:
        super().__init__(text, reason=reason)
        self.original_status = original_status


class ModelStreamErrorException(ModelErrorException):
    """The model failed after the stream had begun."""


class ThrottlingException(Fault):
    """Too many requests or tokens. `retry_after` is in seconds, where it is known.

    `explanation` tells the caller on one line which quota it was and what would help; AWS says nothing of it.
    """

    status = 429
    retryable = True

    def __init__(
        self, text: str, *, retry_after: float | None = None, reason: str = "", explanation: str = ""
    ) -> None:
        super().__init__(text, reason=reason)
        self.retry_after = retry_after
        self.explanation = explanation


class ModelNotReadyException(Fault):
    """The model is still being loaded; the AWS SDKs retry this by themselves."""

    status = 429
    retryable = True


class InternalServerException(Fault):
    """A failure of ours, or a misconfiguration the caller can't mend."""

    status = 500
    retryable = True

    def __init__(
        self,
        text: str = "The server encountered an internal error while processing the request.",
        *,
        reason: str = "",
    ) -> None:
        super().__init__(text, reason=reason)


class ServiceUnavailableException(Fault):
    """No capacity now; not a matter of quota. `retry_after` is in seconds, where it is known."""

    status = 503
    retryable = True

    def __init__(
        self,
        text: str = "Bedrock is unable to process your request.",
        *,
        retry_after: float | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(text, reason=reason)
        self.retry_after = retry_after
