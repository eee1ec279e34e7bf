"""A user's own client of `httpx2` or `httpx`, in the shape of ours. Imports neither: who gives one has it.

What the user has set up stays as it is: proxies, certificates, hooks, pools, their own transport. Only
redirects are not followed (a signature holds for one address), and bodies are asked for without a content
coding, because a coding holds a stream back; a body that has one all the same is handed out decoded. The
client is the user's to close. No request is sent twice.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from outcrop.transport import (
    BrokenError,
    CertificateError,
    ClosedError,
    DialError,
    GarbledError,
    Phase,
    ProxyError,
    TimedOutError,
    Timeouts,
    TooLargeError,
)

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

# Which phase a timeout of theirs belongs to. Reading is two phases to us, told apart by what has come.
_PHASES: Final[dict[str, Phase]] = {
    "ConnectTimeout": "connect",
    "WriteTimeout": "write",
    "PoolTimeout": "slot",
}
# What they call the seconds of each phase.
_SETTINGS: Final[dict[Phase, str]] = {
    "slot": "pool",
    "connect": "connect",
    "write": "write",
    "head": "read",
    "idle": "read",
}


class _Adapter:
    """What both adapters do: building requests, reading errors."""

    def __init__(self, client: Any, wanted: str) -> None:
        package = _package(client, wanted)
        self._client = client
        self._closed = False
        self._failures = (package.HTTPError, package.InvalidURL)

    def _request(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        timeouts: Timeouts | None,
    ) -> Any:
        if self._closed or self._client.is_closed:
            raise ClosedError("the client is closed")
        options: dict[str, Any] = {}
        if timeouts is not None:
            options["timeout"] = (timeouts.connect, timeouts.head, timeouts.write, timeouts.slot)
        try:
            return self._client.build_request(
                method, url, headers=[("accept-encoding", "identity"), *headers], content=body, **options
            )
        except self._failures as error:
            raise ValueError(f"not a URL of a server: {url!r}: {error}") from error


class Adapted(_Adapter):
    """A blocking client. Raises TypeError for anything else."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, "Client")

    def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        timeouts: Timeouts | None = None,
    ) -> AdaptedResponse:
        """Sends a request and waits for the head of its response, which the caller must close.

        `timeouts` are those the user's client was given unless given here; of ours, `keep` has no meaning to
        it. Raises DialError, HttpError, ValueError, as our own client.
        """
        request = self._request(method, url, headers, body, timeouts)
        try:
            response = self._client.send(request, stream=True, follow_redirects=False)
        except self._failures as error:
            raise _told(error, request, "head") from error
        _expect_body(request, timeouts)
        return AdaptedResponse(response, request, self._failures)

    def close(self) -> None:
        """Sends nothing more. The user's client stays open."""
        self._closed = True


class AsyncAdapted(_Adapter):
    """A client for asyncio. Raises TypeError for anything else."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, "AsyncClient")
        self._closing: set[asyncio.Task[None]] = set()

    async def send(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        timeouts: Timeouts | None = None,
    ) -> AsyncAdaptedResponse:
        """As `Adapted.send`."""
        request = self._request(method, url, headers, body, timeouts)
        try:
            response = await self._client.send(request, stream=True, follow_redirects=False)
        except self._failures as error:
            raise _told(error, request, "head") from error
        _expect_body(request, timeouts)
        return AsyncAdaptedResponse(response, request, self._failures, self._closing)

    async def close(self) -> None:
        """Sends nothing more, and waits until the responses that were given up are closed. The user's client
        stays open."""
        self._closed = True
        while self._closing:
            await next(iter(self._closing))


class _Response:
    """What both responses have."""

    def __init__(self, response: Any, request: Any, failures: tuple[type[Exception], ...]) -> None:
        self.status: int = response.status_code
        self.headers: list[tuple[str, str]] = response.headers.multi_items()
        if "content-encoding" in response.headers:  # the body is handed out without it
            left_out = ("content-encoding", "content-length")
            self.headers = [field for field in self.headers if field[0] not in left_out]
        self._response = response
        self._request = request
        self._failures = failures
        self._error: Exception | None = None

    def header(self, name: str) -> str:
        """The value of a header, by its lower-case name; several joined with ", "; "" when there is none."""
        return ", ".join([value for found, value in self.headers if found == name])

    def _fail(self, error: Exception) -> Exception:
        self._error = _told(error, self._request, "idle")
        return self._error


class AdaptedResponse(_Response):
    """A response as it arrives, as `sync.Response`."""

    def __init__(self, response: Any, request: Any, failures: tuple[type[Exception], ...]) -> None:
        super().__init__(response, request, failures)
        self._parts: Iterator[bytes] = response.iter_bytes()

    def read(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes. Raises HttpError; TooLargeError closes the response."""
        parts: list[bytes] = []
        size = 0
        for part in self:
            size += len(part)
            if size > limit:
                self.close()
                raise TooLargeError(f"the response is longer than {limit} bytes")
            parts.append(part)
        return b"".join(parts)

    def __iter__(self) -> AdaptedResponse:
        return self

    def __next__(self) -> bytes:
        if self._error is not None:
            raise self._error
        try:
            return next(self._parts)
        except self._failures as error:
            raise self._fail(error) from error

    def close(self) -> None:
        """Gives the response up. Idempotent."""
        if not self._response.is_closed:
            self._error = BrokenError("the response was closed here")
            self._response.close()

    def finish_unread(self) -> None:
        """The rest is not wanted. httpx can't be told how long to wait for its end, so nobody waits."""
        self.close()

    def __enter__(self) -> AdaptedResponse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncAdaptedResponse(_Response):
    """A response as it arrives, as `connection.Response`."""

    def __init__(
        self,
        response: Any,
        request: Any,
        failures: tuple[type[Exception], ...],
        closing: set[asyncio.Task[None]],
    ) -> None:
        super().__init__(response, request, failures)
        self._parts: AsyncIterator[bytes] = response.aiter_bytes()
        self._closing = closing
        self._given_up = False

    async def read(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes. Raises HttpError; TooLargeError closes the response."""
        parts: list[bytes] = []
        size = 0
        async for part in self:
            size += len(part)
            if size > limit:
                self.close()
                raise TooLargeError(f"the response is longer than {limit} bytes")
            parts.append(part)
        return b"".join(parts)

    def __aiter__(self) -> AsyncAdaptedResponse:
        return self

    async def __anext__(self) -> bytes:
        if self._error is not None:
            raise self._error
        try:
            return await anext(self._parts)
        except self._failures as error:
            raise self._fail(error) from error

    def close(self) -> None:
        """Gives the response up. Idempotent. Theirs has to be awaited, so it is closed by a task."""
        import asyncio

        if not self._response.is_closed and not self._given_up:
            self._given_up = True
            self._error = BrokenError("the response was closed here")
            task = asyncio.get_running_loop().create_task(self._response.aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def finish_unread(self) -> None:
        """The rest is not wanted, and not waited for."""
        self.close()

    def __enter__(self) -> AsyncAdaptedResponse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _package(client: Any, wanted: str) -> Any:
    """The package that a client is from, told by the class it has or inherits. Raises TypeError."""
    for kind in type(client).__mro__:
        package = sys.modules.get(kind.__module__.partition(".")[0])
        if kind is getattr(package, wanted, None) and hasattr(package, "HTTPError"):
            return package
        if kind is getattr(package, "AsyncClient", None):
            raise TypeError(
                f"http_client is an AsyncClient of {kind.__module__}, which is for asyncio: "
                "give a Client, or use the asynchronous class"
            )
        if kind is getattr(package, "Client", None) and hasattr(package, "AsyncClient"):
            raise TypeError(
                f"http_client is a Client of {kind.__module__}, which blocks: "
                "give an AsyncClient, or use the class that is not asynchronous"
            )
    raise TypeError(f"http_client must be a {wanted} of httpx2 or httpx, not {type(client).__name__}")


def _expect_body(request: Any, timeouts: Timeouts | None) -> None:
    """From here on, what they call `read` is the time between two parts."""
    if timeouts is not None:
        request.extensions["timeout"]["read"] = timeouts.idle


def _told(error: Exception, request: Any, phase: Phase) -> Exception:
    """What an exception of theirs is called here. `phase` is what was waited for, if it was for reading."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = str(error) or type(error).__name__
    if "TimeoutException" in kinds:
        phase = _PHASES.get(type(error).__name__, phase)
        return TimedOutError(phase, request.extensions.get("timeout", {}).get(_SETTINGS[phase]) or 0.0)
    if "ProxyError" in kinds:
        status = text[:3]
        return ProxyError(f"the proxy: {text}", int(status) if status.isdecimal() else 0)
    if "ConnectError" in kinds:
        _, found, reason = text.partition("certificate verify failed: ")
        host = request.url.netloc.decode("ascii")
        if found:
            return CertificateError(
                f"the certificate of {host} is not believed: {reason.partition(' (_ssl')[0].rstrip('.')}"
            )
        return DialError(f"{host}: {text}")
    if kinds & {"InvalidURL", "UnsupportedProtocol", "LocalProtocolError"}:
        return ValueError(f"it can't be sent: {text}")
    if "DecodingError" in kinds:
        return GarbledError(f"the body is not what its content-encoding says: {text}")
    return BrokenError(f"the connection was closed: {text}", unsent="WriteError" in kinds)
