"""A reply beside its result: status, headers, timing. What `with_raw_response` gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from outcrop.client.errors import request_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from outcrop.client.call import Outcome
    from outcrop.client.replies import Headers, Request, Response

R = TypeVar("R")


class APIResponse(Generic[R]):
    """A reply. `parse()` gives what the call itself would have given; of a stream, the stream."""

    def __init__(self, outcome: Outcome, parse: Callable[[], R]) -> None:
        self._outcome = outcome
        self._parse = parse
        self._parsed: R | None = None

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

    def text(self) -> str:
        """The body as text."""
        return self._outcome.response.text

    def read(self) -> bytes:
        """The body; b"" of a stream."""
        return self._outcome.response.content

    def json(self) -> Any:
        """The body, decoded."""
        return self._outcome.response.json()

    def parse(self) -> R:
        """What the call itself would have given. The same object every time."""
        if self._parsed is None:
            self._parsed = self._parse()
        return self._parsed

    def close(self) -> None:
        """Gives an open stream up."""
        if self._outcome.open is not None:
            self._outcome.open.close()

    def __repr__(self) -> str:
        return f"<APIResponse [{self.status_code}] {self.method} {self.url}>"
