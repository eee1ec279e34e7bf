"""IAM's rules for the names of users, roles, policies and accounts; and new ids and secrets as AWS's look.

Knows no record and no store. Sources: the IAM user guide's page of names and quotas, botocore's service model
of `iam`.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import Container
from typing import Final

from outcrop.errors import OutcropError
from outcrop.ids import is_account

TEMPORARY: Final = "ASIA"  # what the access key ids of sessions begin with; others have AKIA
SHORTEST_MAX_SESSION: Final = 3600
LONGEST_MAX_SESSION: Final = 43_200

_ALPHABET: Final = "letters, digits and any of _ + = , . @ -"
_NAME: Final = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)
_POLICY_NAME: Final = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_ACCOUNT_NAME: Final = re.compile(r"[\x20-\x7e]{0,50}")
_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LOWER: Final = "abcdefghijklmnopqrstuvwxyz0123456789"


def check_name(name: str, noun: str) -> None:
    """Raises OutcropError for what can't be the name of a user or a role; `noun` says which it is."""
    if _NAME.fullmatch(name) is None:
        raise OutcropError(f"{name!r} can't be the name of a {noun}.", f"Use 1 to 64 {_ALPHABET}")


def check_policy_name(name: str) -> None:
    """Raises OutcropError for what can't be the name of a policy."""
    if _POLICY_NAME.fullmatch(name) is None:
        raise OutcropError(f"{name!r} can't be the name of a policy.", f"Use 1 to 128 {_ALPHABET}")


def check_account_id(account: str) -> None:
    """Raises OutcropError for what is no account id."""
    if not is_account(account):
        raise OutcropError(f"{account!r} is no account id.", "An account id has twelve digits.")


def check_account_name(name: str) -> None:
    """Raises OutcropError for what can't be the name of an account."""
    if _ACCOUNT_NAME.fullmatch(name) is None or is_account(name):
        raise OutcropError(
            f"{name!r} can't be the name of an account.",
            "Use at most 50 printable ASCII characters, and not the form of an account id.",
        )


def check_max_session(seconds: int) -> None:
    """Raises OutcropError for a role's longest session that IAM would not take."""
    if not SHORTEST_MAX_SESSION <= seconds <= LONGEST_MAX_SESSION:
        raise OutcropError(
            f"A role's longest session can't be {seconds} seconds.",
            f"Choose {SHORTEST_MAX_SESSION} to {LONGEST_MAX_SESSION} seconds: 1h to 12h.",
        )


def user_arn(account: str, name: str) -> str:
    """The ARN of a user."""
    return f"arn:aws:iam::{account}:user/{name}"


def role_arn(account: str, name: str) -> str:
    """The ARN of a role."""
    return f"arn:aws:iam::{account}:role/{name}"


def new_account_id(taken: Container[str]) -> str:
    """An account id that is not taken. It does not begin with a zero, which spreadsheets lose."""
    while (account := str(10**11 + secrets.randbelow(9 * 10**11))) in taken:
        pass
    return account


def new_user_id() -> str:
    """The unique id of a user: it differs from that of an earlier user of the same name."""
    return "AIDA" + _draw(_BASE32, 17)


def new_role_id() -> str:
    """The unique id of a role."""
    return "AROA" + _draw(_BASE32, 17)


def new_access_key() -> tuple[str, str]:
    """An access key id and its secret."""
    return "AKIA" + _draw(_BASE32, 16), _draw(_BASE64, 40)


def new_api_key_name(account: str, taken: Container[str]) -> str:
    """`BedrockAPIKey-<id>-at-<account>`, not taken yet."""
    while (name := f"BedrockAPIKey-{_draw(_LOWER, 4)}-at-{account}") in taken:
        pass
    return name


def new_secret() -> str:
    """32 random bytes in base64."""
    return b64encode(secrets.token_bytes(32)).decode()


def _draw(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
