"""Names of AWS's things: regions, accounts, ARNs, model ids. Text is parsed once and is a value from then on.

Knows the grammar of the names; not which models or regions exist (that is the catalogue's).
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

# The geographies that appear as the first label of an inference profile's id.
SCOPES: Final = ("global", "us", "eu", "jp", "apac", "au", "in", "ca", "us-gov")

# botocore's service models: no model id and no ARN of a model is longer
_LONGEST = 2048

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_PARTITION = re.compile(r"aws(?:-[a-z]+)*")
_SERVICE = re.compile(r"[a-z0-9-]{1,63}")
# After botocore's pattern of a foundation model's id, without the branches that let anything through: labels
# joined by dots (provider and model, before them a profile's scope), then version and variant (`:0:200k`).
_MODEL_NAME = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,3}(?::[a-z0-9-]{1,63}){0,2}")
# The short id of an application profile (recorded).
_APPLICATION = re.compile(r"[a-z0-9]{12}")


def is_region(text: str) -> bool:
    """Whether `text` has the form of a region's name (`us-west-2`); not whether AWS has it."""
    return _REGION.fullmatch(text) is not None


def is_account(text: str) -> bool:
    """Whether `text` is an account id: twelve digits."""
    return _ACCOUNT.fullmatch(text) is not None


class Arn(msgspec.Struct, frozen=True):
    """An Amazon resource name, taken apart. `resource` is everything after the account.

    `region` is "" for what has none (IAM, a model in any region); `account` is "" for what belongs to nobody
    and "aws" for what belongs to AWS.
    """

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Raises ValueError when `text` is not an ARN."""
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn":
            raise ValueError(f"not an ARN: {text!r}")
        arn = cls(*parts[1:])
        if not (
            _PARTITION.fullmatch(arn.partition)
            and _SERVICE.fullmatch(arn.service)
            and (not arn.region or is_region(arn.region))
            and (arn.account in ("", "aws") or is_account(arn.account))
            and arn.resource
            and arn.resource.isprintable()
        ):
            raise ValueError(f"not an ARN: {text!r}")
        return arn

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"


class ModelId(msgspec.Struct, frozen=True):
    """What a caller put where a model is named: an id, a profile's id, or the ARN of either.

    `text` is exactly what was given (decoded); `scope` is the geography of a system profile ("" for a bare
    id); `base` is the model's own id; `application` is the short id of an application profile ("" else).
    """

    text: str
    scope: str = ""
    base: str = ""
    application: str = ""
    arn: Arn | None = None

    @classmethod
    def parse(cls, text: str) -> ModelId:
        """Raises ValueError when `text` can't name a model in any of AWS's forms."""
        if len(text) > _LONGEST:
            raise ValueError(f"not a model id: {len(text)} characters")
        if not text.startswith("arn:"):
            scope, base = _split_scope(text)
            return cls(text, scope, base)
        arn = Arn.parse(text)
        scope, base, application = _named_by(arn)
        return cls(text, scope, base, application, arn)

    @property
    def profile(self) -> str:
        """The system profile's id (`us.anthropic.…`); "" when this names a bare model."""
        return f"{self.scope}.{self.base}" if self.scope else ""


def _named_by(arn: Arn) -> tuple[str, str, str]:
    """Scope, base and application of the model or profile that an ARN names.

    botocore's patterns: the ARN of a model has no account, that of a profile has a region and an account.
    """
    kind, _, name = arn.resource.partition("/")
    owned = bool(arn.region) and is_account(arn.account)
    if arn.service == "bedrock":
        if kind == "application-inference-profile" and owned and _APPLICATION.fullmatch(name):
            return "", "", name
        scope, base = _split_scope(name)
        if kind == "inference-profile" and owned and scope:
            return scope, base, ""
        if kind == "foundation-model" and not arn.account and not scope:
            return "", base, ""
    raise ValueError(f"not the ARN of a model: {arn}")


def _split_scope(text: str) -> tuple[str, str]:
    """The geography in front of a model's id, and the model's own id; "" where there is no geography."""
    if _MODEL_NAME.fullmatch(text) is None:
        raise ValueError(f"not a model id: {text!r}")
    head, _, rest = text.partition(".")
    return (head, rest) if head in SCOPES and "." in rest else ("", text)
