"""The STS operations: who am I, and temporary credentials. Speaks XML by way of `wire.sts`.

Whether the caller may assume a role has been decided before, by the step that asks the policies for every
operation. Credentials of GetSessionToken may assume roles and ask who they are, and nothing else of STS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from outcrop.errors import AccessDeniedException, MalformedPolicyDocumentException, ValidationException
from outcrop.service.call import Call, Handler
from outcrop.service.iam.policy import MalformedPolicy, parse
from outcrop.service.identity import Assumption, Identity, Session, assumed_arn
from outcrop.service.principals import Role
from outcrop.wire import sts
from outcrop.wire.http import Reply
from outcrop.wire.sts import RoleRequest


class Tokens:
    """Answers GetCallerIdentity, GetSessionToken, AssumeRole. `randomness` gives that many random bytes."""

    def __init__(self, identity: Identity, randomness: Callable[[int], bytes]) -> None:
        self._identity = identity
        self._randomness = randomness

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Operation names and who answers them."""
        return {
            "GetCallerIdentity": self.get_caller_identity,
            "GetSessionToken": self.get_session_token,
            "AssumeRole": self.assume_role,
        }

    async def get_caller_identity(self, call: Call) -> Reply:
        """The principal's ARN, user id and account."""
        who = call.principal
        return sts.caller_identity(who.arn, who.user_id, who.account, call.request_id)

    async def get_session_token(self, call: Call) -> Reply:
        """Temporary credentials of the calling key. Raises ValidationException for a bad duration."""
        seconds = sts.session_seconds(sts.parse(call.body))
        session = self._identity.issue_session(
            call.principal.key, seconds, call.received, self._randomness(12), call.state
        )
        return sts.session_token(session.credentials, _ends(session), call.request_id)

    async def assume_role(self, call: Call) -> Reply:
        """Temporary credentials of a role.

        Raises ValidationException, MalformedPolicyDocumentException or PackedPolicyTooLargeException for a
        bad form, AccessDeniedException for a role that is not there.
        """
        wanted = sts.role_request(sts.parse(call.body))
        _check_policy(wanted.policy)
        role = _role_for(call, wanted)
        origin = self._identity.origin(call.head, call.state)
        seconds = _seconds(wanted, role, chained=bool(origin.roles))
        taken = Assumption(role, wanted.session, wanted.policy)
        session = self._identity.assume(
            origin, taken, seconds, call.received, self._randomness(12), call.state
        )
        return sts.assumed_role(
            session.credentials,
            _ends(session),
            assumed_arn(role, wanted.session),
            f"{role.role_id}:{wanted.session}",
            wanted.packed,
            call.request_id,
        )


def _role_for(call: Call, wanted: RoleRequest) -> Role:
    role = call.state.get(Role, wanted.role_arn)
    if role is None:
        raise AccessDeniedException(
            f"User: {call.principal.arn} is not authorized to perform: sts:AssumeRole "
            f"on resource: {wanted.role_arn}"
        )
    return role


def _check_policy(text: str) -> None:
    if not text:
        return
    try:
        parse(text)
    except MalformedPolicy as error:
        raise MalformedPolicyDocumentException(
            str(error).removeprefix("MalformedPolicyDocument: ")
        ) from error


def _seconds(wanted: RoleRequest, role: Role, *, chained: bool) -> int:
    if wanted.seconds is None:
        return sts.ROLE_SECONDS
    if chained and wanted.seconds > sts.ROLE_SECONDS:
        raise ValidationException(
            "The requested DurationSeconds exceeds the 1 hour session limit "
            "for roles assumed by role chaining"
        )
    if wanted.seconds > role.max_seconds:
        raise ValidationException(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return wanted.seconds


def _ends(session: Session) -> str:
    return datetime.fromtimestamp(session.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
