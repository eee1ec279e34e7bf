"""What is kept of model access: an account's agreements for models, and its use-case form. Knows no rule."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from outcrop.store import Record

# How access stands with AWS since late 2025, and as the guide describes it.
Mode: TypeAlias = Literal["open", "request"]
How: TypeAlias = Literal["agreement", "first use", "granted by operator", "revoked by operator"]


class Agreement(Record, frozen=True):
    """How an account came to have a model, or that it may not. In all regions, as AWS Marketplace has it.

    `model` is the bare id; `since` is in epoch seconds.
    """

    KIND: ClassVar[str] = "agreement"

    account: str
    model: str
    how: How
    since: int

    @property
    def key(self) -> str:
        """See `agreement_key`."""
        return agreement_key(self.account, self.model)

    @property
    def revoked(self) -> bool:
        """Whether it says that the account may not."""
        return self.how == "revoked by operator"


class UseCase(Record, frozen=True):
    """The use-case form of an account: its bytes as they came, in base64. `submitted` is in epoch seconds."""

    KIND: ClassVar[str] = "use-case"

    account: str
    form: str
    submitted: int

    @property
    def key(self) -> str:
        """The account's id."""
        return self.account


def agreement_key(account: str, model: str) -> str:
    """The key of the one record of an account and a model."""
    return f"{account}/{model}"
