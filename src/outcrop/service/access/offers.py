"""The offer of a model, as ListFoundationModelAgreementOffers shows it: prices, terms, and a token.

The prices are the catalogue's, those that AWS asks; this endpoint itself asks none, and the terms say so.
Which dimensions a rate card has and how they are spelt: replies that users have published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec

from outcrop.catalog import Catalog, Model, facts


class Rate(msgspec.Struct, frozen=True):
    """One price: dollars a million tokens, and its dimension on the bill."""

    dimension: str
    price: str
    description: str
    unit: str = "Units"


class _Pricing(msgspec.Struct, frozen=True, rename="camel"):
    rate_card: tuple[Rate, ...]


class _Legal(msgspec.Struct, frozen=True):
    # AWS's page of the licences of all providers; its own links are signed and end
    url: str = "https://aws.amazon.com/legal/bedrock/third-party-models/"


class _Support(msgspec.Struct, frozen=True, rename="camel"):
    refund_policy_description: str = (
        "This endpoint charges nothing, so there is nothing to refund. "
        "The rates are those of Amazon Bedrock; who runs the model behind this endpoint charges for its use."
    )


class _Validity(msgspec.Struct, frozen=True):
    """Without a duration: an agreement lasts until it is deleted."""


class _Terms(msgspec.Struct, frozen=True, rename="camel"):
    usage_based_pricing_term: _Pricing
    legal_term: _Legal = _Legal()
    support_term: _Support = _Support()
    validity_term: _Validity = _Validity()


class Offer(msgspec.Struct, frozen=True, rename="camel"):
    """An offer with the members of AWS's service model."""

    offer_id: str
    offer_token: str
    term_details: _Terms


# of the price table: how the dimension is called, how the description says it
_KINDS: Final = (
    ("input", "InputTokenCount", "Input Tokens"),
    ("output", "OutputTokenCount", "Output Tokens"),
    ("cache_read", "CacheReadInputTokenCount", "Cache Read Input Tokens"),
    ("cache_write_5m", "CacheWriteInputTokenCount", "Cache Write Input Tokens"),
    ("cache_write_1h", "CacheWrite1hInputTokenCount", "Cache Write 1h Input Tokens"),
)
# what stands before a kind in the price table, after it in the dimension, and before it in the description
_VARIANTS: Final = (
    ("", "", ""),
    ("batch_", "_Batch", "Batch "),
    ("over_200k_", "_LCtx", "Long Context "),
    ("over_100k_", "_LCtx", "Long Context "),
)
# A region's code on AWS's bills is made of its name, but for these (D: from memory; it is a label only).
_CODES: Final[Mapping[str, str]] = {
    "ap-south-1": "APS3",
    "ap-south-2": "APS5",
    "ap-southeast-3": "APS4",
    "ap-southeast-4": "APS6",
    "ca-central-1": "CAN1",
    "ca-west-1": "CAN2",
    "us-gov-east-1": "UGE1",
    "us-gov-west-1": "UGW1",
}
_UNKNOWN_CODES: Final = frozenset({"ap-southeast-5", "ap-southeast-6", "ap-southeast-7"})


def offer(catalog: Catalog, model: Model, region: str, account: str) -> Offer:
    """The one public offer of a model. AWS's rate card has every region; this one has the call's."""
    name = sha256(model.id.encode()).digest()
    letters = "".join("abcdefghijklmnopqrstuvwxyz0123456789"[byte % 36] for byte in name[:13])
    return Offer(
        f"offer-{letters}",
        token(catalog, model, account),
        _Terms(_Pricing(tuple(_rates(catalog, model, region)))),
    )


def token(catalog: Catalog, model: Model, account: str) -> str:
    """The token of a model's offer to an account; it changes when a price does.

    It guards nothing, since whoever may accept an offer may see it: it only proves that these are the terms.
    """
    terms = (account, model.id, catalog.edition, _prices(model))
    return sha256(msgspec.json.encode(terms)).hexdigest()


def _prices(model: Model) -> Mapping[str, Any]:
    row: Mapping[str, Any] = next(row for row in facts()["models"] if row["id"] == model.id)
    return {name: told for name, told in row["price"].items() if isinstance(told, dict)}


def _rates(catalog: Catalog, model: Model, region: str) -> Iterator[Rate]:
    columns = _prices(model)
    code = _code(region)
    regional = columns.get("us_gov" if region.startswith("us-gov-") else "regional")
    anywhere = any(
        profile.scope == "global" and region in profile.routes
        for profile in catalog.profiles
        if profile.model is model
    )
    if regional is not None:
        yield from _column(regional, code, "", "Regional")
    if anywhere and "global" in columns:
        yield from _column(columns["global"], code, "_Global", "Global")


def _column(prices: Mapping[str, float], code: str, suffix: str, scope: str) -> Iterator[Rate]:
    for before, after, said in _VARIANTS:
        for kind, dimension, what in _KINDS:
            price = prices.get(before + kind)
            if price is not None:
                text = f"{price:f}".rstrip("0").rstrip(".")
                yield Rate(f"{code}_{dimension}{after}{suffix}", text, f"Million {said}{what} {scope}")


def _code(region: str) -> str:
    """`USE1` of us-east-1; the region itself where its code is not known."""
    if region in _UNKNOWN_CODES:
        return region
    land, *direction, number = region.split("-")
    return _CODES.get(region) or f"{land}{direction[-1][0]}{number}".upper()
