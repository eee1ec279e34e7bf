"""Policies that can be given by name. Knows no principal and no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

_VERSION: Final = "2012-10-17"


def _policy(sid: str, **elements: object) -> str:
    statement = {"Sid": sid, **elements, "Resource": "*"}
    text = msgspec.json.encode({"Version": _VERSION, "Statement": [statement]})
    return msgspec.json.format(text, indent=2).decode()


# CallWithBearerToken is what every use of an API key asks for, besides the operation itself.
_INVOKE: Final = (
    "bedrock:InvokeModel*",
    "bedrock:CountTokens",
    "bedrock:ListFoundationModels",
    "bedrock:GetFoundationModel",
    "bedrock:GetFoundationModelAvailability",
    "bedrock:ListInferenceProfiles",
    "bedrock:GetInferenceProfile",
    "bedrock:CallWithBearerToken",
)

# `nothing` allows nothing rather than denying everything, so that another policy beside it can allow.
PRESETS: Final[Mapping[str, str]] = {
    "everything": _policy("Everything", Effect="Allow", Action="*"),
    "invoke": _policy("Invoke", Effect="Allow", Action=_INVOKE),
    "nothing": _policy("Nothing", Effect="Allow", NotAction="*"),
}

DESCRIPTIONS: Final[Mapping[str, str]] = {
    "everything": "every operation, on everything",
    "invoke": "call models, count tokens, list and look at models and profiles",
    "nothing": "no operation, until another policy allows one",
}
