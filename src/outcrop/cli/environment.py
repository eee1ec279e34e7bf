"""The environment variables that point Bedrock's clients at an endpoint, in the words of each shell.

Knows which variable which client reads; not where the values come from. Per-service addresses only: the
global AWS_ENDPOINT_URL would send S3 and everything else here too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Final

import msgspec

SHELLS: Final = ("sh", "fish", "powershell")

# Settings that would lead a client elsewhere. A session token belongs to other keys; a profile, in some SDKs,
# goes before keys in the environment; boto3 refuses to send a bearer token over http.
CONTRADICTING: Final = (
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)
ADDRESSES: Final = (
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    "AWS_ENDPOINT_URL_BEDROCK",
    "AWS_ENDPOINT_URL_STS",
    "ANTHROPIC_BEDROCK_BASE_URL",
)


class Variables(msgspec.Struct, frozen=True):
    """What to set, in order, and what to unset."""

    values: Mapping[str, str]
    unset: tuple[str, ...]

    def apply(self, environment: Mapping[str, str]) -> dict[str, str]:
        """An environment with these changes."""
        return {name: text for name, text in environment.items() if name not in self.unset} | dict(
            self.values
        )


def variables(
    url: str,
    access_key: str,
    secret_key: str,
    region: str,
    *,
    ca: str = "",
    bundle: str = "",
    api_key: str = "",
) -> Variables:
    """The variables for an endpoint. `ca` and `bundle` are files that make its TLS trusted; `api_key` is a
    bearer key, which goes beside the key pair because STS takes no bearer key."""
    values = {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,  # boto3 and the AWS CLI read this one, the others the one above
    }
    values |= dict.fromkeys(ADDRESSES, url)
    if ca:
        values |= {"AWS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle, "NODE_EXTRA_CA_CERTS": ca}
    if api_key:
        values["AWS_BEARER_TOKEN_BEDROCK"] = api_key
    return Variables(values, tuple(name for name in CONTRADICTING if name not in values))


def guess_shell(environment: Mapping[str, str] = os.environ) -> str:
    """The shell a person uses, by `SHELL`; PowerShell where only its own variable is there."""
    name = PurePath(environment.get("SHELL", "")).name
    if name in ("fish", "pwsh"):
        return "powershell" if name == "pwsh" else "fish"
    return "powershell" if not name and "PSModulePath" in environment else "sh"


def render(settings: Variables, shell: str) -> str:
    """Lines that a shell of that kind evaluates. Values are quoted so that nothing in them is expanded."""
    lines = [_set(shell, name, value) for name, value in settings.values.items()]
    return "\n".join([*lines, *_unset(shell, settings.unset)])


def _set(shell: str, name: str, value: str) -> str:
    if shell == "fish":
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"set -gx {name} '{escaped}';"
    if shell == "powershell":
        return "$env:{} = '{}'".format(name, value.replace("'", "''"))
    return "export {}='{}';".format(name, value.replace("'", "'\\''"))


def _unset(shell: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    if shell == "powershell":
        return [f"Remove-Item {', '.join(f'Env:{name}' for name in names)} -ErrorAction SilentlyContinue"]
    return [f"{'set -e' if shell == 'fish' else 'unset'} {' '.join(names)};"]
