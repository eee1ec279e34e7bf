"""Outcrop: the Bedrock API for Claude. The public names; each is imported the first time it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from outcrop.client.aio import AsyncAnthropicBedrock as AsyncAnthropicBedrock
    from outcrop.client.aio import AsyncMessageStream as AsyncMessageStream
    from outcrop.client.aio import AsyncStream as AsyncStream
    from outcrop.client.errors import AnthropicError as AnthropicError
    from outcrop.client.errors import APIConnectionError as APIConnectionError
    from outcrop.client.errors import APIError as APIError
    from outcrop.client.errors import APIResponseValidationError as APIResponseValidationError
    from outcrop.client.errors import APIStatusError as APIStatusError
    from outcrop.client.errors import APITimeoutError as APITimeoutError
    from outcrop.client.errors import AuthenticationError as AuthenticationError
    from outcrop.client.errors import BadRequestError as BadRequestError
    from outcrop.client.errors import CertificateError as CertificateError
    from outcrop.client.errors import ClientClosedRequestError as ClientClosedRequestError
    from outcrop.client.errors import ConfigFileError as ConfigFileError
    from outcrop.client.errors import ConflictError as ConflictError
    from outcrop.client.errors import ContentTooLargeError as ContentTooLargeError
    from outcrop.client.errors import CredentialsError as CredentialsError
    from outcrop.client.errors import DeadlineExceededError as DeadlineExceededError
    from outcrop.client.errors import EndpointError as EndpointError
    from outcrop.client.errors import GatewayTimeoutError as GatewayTimeoutError
    from outcrop.client.errors import HTTPNotImplementedError as HTTPNotImplementedError
    from outcrop.client.errors import InternalServerError as InternalServerError
    from outcrop.client.errors import ModelError as ModelError
    from outcrop.client.errors import ModelNameError as ModelNameError
    from outcrop.client.errors import NotFoundError as NotFoundError
    from outcrop.client.errors import OverloadedError as OverloadedError
    from outcrop.client.errors import PaymentRequiredError as PaymentRequiredError
    from outcrop.client.errors import PermissionDeniedError as PermissionDeniedError
    from outcrop.client.errors import PreconditionFailedError as PreconditionFailedError
    from outcrop.client.errors import ProxyError as ProxyError
    from outcrop.client.errors import RateLimitError as RateLimitError
    from outcrop.client.errors import RequestHeaderFieldsTooLargeError as RequestHeaderFieldsTooLargeError
    from outcrop.client.errors import RequestTimeoutError as RequestTimeoutError
    from outcrop.client.errors import RequestTooLargeError as RequestTooLargeError
    from outcrop.client.errors import ResidencyError as ResidencyError
    from outcrop.client.errors import ServiceUnavailableError as ServiceUnavailableError
    from outcrop.client.errors import StreamBrokenError as StreamBrokenError
    from outcrop.client.errors import StreamCorruptedError as StreamCorruptedError
    from outcrop.client.errors import StreamStalledError as StreamStalledError
    from outcrop.client.errors import UnprocessableEntityError as UnprocessableEntityError
    from outcrop.client.errors import UsageError as UsageError
    from outcrop.client.requests import NOT_GIVEN as NOT_GIVEN
    from outcrop.client.requests import NotGiven as NotGiven
    from outcrop.client.requests import Omit as Omit
    from outcrop.client.requests import omit as omit
    from outcrop.client.responses import APIResponse as APIResponse
    from outcrop.client.responses import AsyncAPIResponse as AsyncAPIResponse
    from outcrop.client.sync import AnthropicBedrock as AnthropicBedrock
    from outcrop.client.sync import MessageStream as MessageStream
    from outcrop.client.sync import Stream as Stream
    from outcrop.client.timeouts import Timeout as Timeout

# Where a public name lives. Importing a module costs time and memory that only its users should pay.
_HOMES = {
    "sync": "AnthropicBedrock MessageStream Stream",
    "aio": "AsyncAnthropicBedrock AsyncMessageStream AsyncStream",
    "requests": "NOT_GIVEN NotGiven Omit omit",
    "responses": "APIResponse AsyncAPIResponse",
    "timeouts": "Timeout",
    "errors": "APIConnectionError APIError APIResponseValidationError APIStatusError APITimeoutError "
    "AnthropicError AuthenticationError BadRequestError CertificateError ClientClosedRequestError "
    "ConfigFileError ConflictError ContentTooLargeError CredentialsError DeadlineExceededError EndpointError "
    "GatewayTimeoutError HTTPNotImplementedError InternalServerError ModelError ModelNameError NotFoundError "
    "OverloadedError PaymentRequiredError PermissionDeniedError PreconditionFailedError ProxyError "
    "RateLimitError RequestHeaderFieldsTooLargeError RequestTimeoutError RequestTooLargeError ResidencyError "
    "ServiceUnavailableError StreamBrokenError StreamCorruptedError StreamStalledError "
    "UnprocessableEntityError UsageError",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        from importlib import import_module

        found = getattr(import_module(f"outcrop.client.{_HOME_OF[name]}"), name)
        globals()[name] = found
        return found
    if name == "types":  # `outcrop.types.Message`, as `anthropic.types.Message`
        from importlib import import_module

        return import_module("outcrop.types")
    raise AttributeError(f"module 'outcrop' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOME_OF]
