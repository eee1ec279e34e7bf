"""The words of the service: a `Call` on its way, and who asks. Knows no step and no operation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime
from typing import TypeAlias

import msgspec

from outcrop.wire.http import Head, Reply
from outcrop.wire.operations import Operation


class Principal(msgspec.Struct, frozen=True):
    """Who asks, once proven. `arn` and `user_id` are what GetCallerIdentity tells; `key` is the access key id
    or the API key's name that proved it."""

    arn: str
    user_id: str
    account: str
    key: str


class Call(msgspec.Struct, frozen=True):
    """One authenticated request on its way.

    `region` is the source region: the one in the signature's scope, or the API key's. `labels` are the
    path's labels, decoded. `received` is in seconds of the wall clock, `began` of the monotonic one.
    """

    head: Head
    operation: Operation
    labels: Mapping[str, str]
    body: bytes
    principal: Principal
    region: str
    request_id: str
    received: float
    began: float

    @property
    def today(self) -> date:
        """The day of the call, UTC: models become legacy and reach their end of life on a date."""
        return datetime.fromtimestamp(self.received, UTC).date()


Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]
