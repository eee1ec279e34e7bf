"""The STS operations: who am I, and temporary credentials. Speaks XML by way of `wire.sts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from outcrop.service.call import Call, Handler
from outcrop.service.identity import Identity
from outcrop.wire import sts
from outcrop.wire.http import Reply


class Tokens:
    """Answers GetCallerIdentity and GetSessionToken. `randomness` gives that many random bytes."""

    def __init__(self, identity: Identity, randomness: Callable[[int], bytes]) -> None:
        self._identity = identity
        self._randomness = randomness

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Operation names and who answers them."""
        return {"GetCallerIdentity": self.get_caller_identity, "GetSessionToken": self.get_session_token}

    async def get_caller_identity(self, call: Call) -> Reply:
        """The principal's ARN, user id and account."""
        who = call.principal
        return sts.caller_identity(who.arn, who.user_id, who.account, call.request_id)

    async def get_session_token(self, call: Call) -> Reply:
        """Temporary credentials of the calling key. Raises ValidationException for a bad duration."""
        seconds = sts.session_seconds(sts.parse(call.body))
        session = self._identity.issue_session(
            call.principal.key, seconds, call.received, self._randomness(12)
        )
        ends = datetime.fromtimestamp(session.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return sts.session_token(session.credentials, ends, call.request_id)
