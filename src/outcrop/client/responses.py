"""A reply beside its result: status, headers, timing. What `with_raw_response` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from outcrop.client.errors import request_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from outcrop.client.call import Outcome
    from outcrop.client.replies import Headers, Request, Response

R = TypeVar("R")


class ReplyBase(Generic[R]):
    """What is known of a reply at once, without reading it."""

    def __init__(self, outcome: Outcome, parse: Callable[[], R]) -> None:
        self._outcome = outcome
        self._make = parse
        self._made: R | None = None

    @property
    def http_response(self) -> Response:
        """The reply itself."""
        return self._outcome.response

    @property
    def http_request(self) -> Request:
        """What was sent."""
        return self._outcome.response.request

    @property
    def headers(self) -> Headers:
        """The reply's headers, by name in any case."""
        return self._outcome.response.headers

    @property
    def status_code(self) -> int:
        """The reply's status."""
        return self._outcome.response.status_code

    @property
    def request_id(self) -> str | None:
        """AWS's id of the request."""
        return request_id(self._outcome.response)

    @property
    def url(self) -> str:
        """Where it was asked for."""
        return self._outcome.response.request.url

    @property
    def method(self) -> str:
        """How."""
        return self._outcome.response.request.method

    @property
    def http_version(self) -> str:
        """The protocol of the built-in transport."""
        return "HTTP/1.1"

    @property
    def retries_taken(self) -> int:
        """How many attempts came before this one."""
        return self._outcome.attempts - 1

    @property
    def content(self) -> bytes:
        """The body; b"" of a stream."""
        return self._outcome.response.content

    @property
    def is_closed(self) -> bool:
        """Whether the body was read; False of a stream, which closes by itself."""
        return self._outcome.open is None

    def _result(self) -> R:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status_code}] {self.method} {self.url}>"


class APIResponse(ReplyBase[R]):
    """A reply. `parse()` gives what the call itself would have given; of a stream, the stream."""

    def text(self) -> str:
        """The body as text; "" of a stream."""
        return self._outcome.response.text

    def read(self) -> bytes:
        """The body; b"" of a stream."""
        return self._outcome.response.content

    def json(self) -> Any:
        """The body, decoded. Raises ValueError when it is not JSON."""
        return self._outcome.response.json()

    def parse(self) -> R:
        """What the call itself would have given. The same object every time."""
        return self._result()

    def close(self) -> None:
        """Gives an open stream up."""
        if self._outcome.open is not None:
            self._outcome.open.close()


class AsyncAPIResponse(ReplyBase[R]):
    """The same of an async client: what `anthropic` makes awaitable is awaitable here."""

    async def text(self) -> str:
        """The body as text; "" of a stream."""
        return self._outcome.response.text

    async def read(self) -> bytes:
        """The body; b"" of a stream."""
        return self._outcome.response.content

    async def json(self) -> Any:
        """The body, decoded. Raises ValueError when it is not JSON."""
        return self._outcome.response.json()

    async def parse(self) -> R:
        """What the call itself would have given. The same object every time."""
        return self._result()

    async def close(self) -> None:
        """Gives an open stream up."""
        if self._outcome.open is not None:
            self._outcome.open.close()
