"""What the conditions of a policy can look at: who asks, from where, when. Knows no policy.

A context has two halves. The steady one follows from the principal and the kind of its credentials; the
passing one from the moment and the connection. `PASSING` names every key of the second: policies that look at
none of them decide the same for a principal again and again.

Facts on keys: IAM User Guide, "AWS global condition context keys". Not in any context here, so that they
count as missing: `aws:TokenIssueTime`, tags of principals, organisations, networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from outcrop.service.call import Call, Principal
from outcrop.service.iam.patterns import Value
from outcrop.service.naming import TEMPORARY
from outcrop.wire.bearer import SHORT_TERM

PASSING: Final = frozenset(
    {"aws:CurrentTime", "aws:EpochTime", "aws:SourceIp", "aws:SecureTransport", "aws:UserAgent"}
)
# A server takes headers of 60 KB, and what a policy's patterns do takes time and memory with the length. Who
# calls writes this one, so no policy can rely on what is behind.
_LONGEST_AGENT: Final = 1024
_SCHEME: Final = "bearer"


class Connection(msgspec.Struct, frozen=True):
    """Where a call came in: the caller's address, "" where that is not known, and whether it was under TLS.

    What is not known to be under TLS counts as not, so that a Deny of what is not holds.
    """

    source_ip: str = ""
    secure: bool = False


def token_type(call: Call) -> str:
    """Which kind of API key the call came with, as `bedrock:BearerTokenType` has it; "" for a signature."""
    scheme, _, token = call.head.headers.get("authorization", "").partition(" ")
    if scheme.lower() != _SCHEME:
        return ""
    return "SHORT_TERM" if token.strip().startswith(SHORT_TERM) else "LONG_TERM"


@lru_cache(maxsize=1024)
def steady(principal: Principal) -> Mapping[str, Value]:
    """What follows from who asks. Shared: not to be changed."""
    facts: dict[str, Value] = {
        "aws:PrincipalAccount": principal.account,
        # of a role's session: the role
        "aws:PrincipalArn": principal.owner or principal.arn,
        "aws:PrincipalType": _type(principal.arn),
        "aws:PrincipalIsAWSService": "false",
        "aws:ViaAWSService": "false",
        "aws:userid": principal.user_id,
    }
    kind, _, name = principal.arn.split(":", 5)[-1].partition("/")
    if kind == "user":  # roles have none
        facts["aws:username"] = name.rpartition("/")[2]
    if principal.key.startswith(TEMPORARY):  # nobody here has a device
        facts["aws:MultiFactorAuthPresent"] = "false"
    return facts


def _type(arn: str) -> str:
    kind = arn.split(":", 5)[-1].partition("/")[0]
    return {"user": "User", "assumed-role": "AssumedRole", "federated-user": "FederatedUser"}.get(
        kind, "Account"
    )


def passing(call: Call, connection: Connection) -> dict[str, Value]:
    """What follows from the moment and the connection."""
    facts: dict[str, Value] = {
        "aws:CurrentTime": _time(int(call.received)),
        "aws:EpochTime": str(int(call.received)),
        "aws:SecureTransport": "true" if connection.secure else "false",
    }
    agent = call.head.headers.get("user-agent")
    if agent:
        facts["aws:UserAgent"] = agent[:_LONGEST_AGENT]
    if connection.source_ip:
        facts["aws:SourceIp"] = connection.source_ip
    return facts


@lru_cache(maxsize=16)
def _time(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
