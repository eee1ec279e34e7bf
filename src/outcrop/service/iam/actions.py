"""Actions that a policy names and no operation has: most are slips of the pen, and do nothing.

Looks at `bedrock:` and `sts:` only; of other services this one knows no actions. Whether a policy is well
formed `policy` has said before.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any, Final

from outcrop.service.iam import patterns
from outcrop.service.iam.requirements import FREE, REQUIREMENTS

_SERVICES: Final = ("bedrock:", "sts:")

# Beside the operations' own: what the use of an API key asks for, and those that STS answers everybody.
KNOWN: Final = frozenset(
    {requirement.action for requirement in REQUIREMENTS.values()}
    | {"bedrock:CallWithBearerToken"}
    | {f"sts:{name}" for name in FREE}
)
_BY_LOWER: Final = {action.lower(): action for action in KNOWN}
# an operation may ask for an action of another name: Converse for bedrock:InvokeModel
_OF_OPERATION: Final = {name.lower(): each.action for name, each in REQUIREMENTS.items()}


def unknown(text: str) -> dict[str, str]:
    """The actions in a well-formed policy that cover none of an operation's; each with the nearest, or ""."""
    return {name: _near(name.lower()) for name in _named(json.loads(text)) if not _covers(name.lower())}


def _named(policy: dict[str, Any]) -> Iterator[str]:
    statements = policy["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        given = statement.get("Action", statement.get("NotAction", ()))
        yield from [given] if isinstance(given, str) else given


def _covers(name: str) -> bool:
    if not name.startswith(_SERVICES) or name in _BY_LOWER:
        return True
    return any(map(patterns.glob((name,)), _BY_LOWER))


def _near(name: str) -> str:
    _, _, operation = name.partition(":")
    if operation in _OF_OPERATION:
        return _OF_OPERATION[operation]
    close = difflib.get_close_matches(name, _BY_LOWER, n=1, cutoff=0.75)
    return _BY_LOWER[close[0]] if close else ""
