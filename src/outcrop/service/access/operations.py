"""The six operations of model access: offers, agreements, availability, and the use-case form.

Knows AWS's members, statuses and texts. Names and constraints: botocore's service model `bedrock`; texts:
reports of users, where nothing else is said.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import partial
from hmac import compare_digest
from typing import Any, Final

import msgspec

from outcrop.catalog import Catalog, Model
from outcrop.errors import (
    AccessDeniedException,
    ResourceNotFoundException,
    SerializationException,
    ValidationException,
)
from outcrop.ids import ModelId
from outcrop.service import changing
from outcrop.service.access import form
from outcrop.service.access.offers import Offer, offer, token
from outcrop.service.access.records import Agreement, Mode, UseCase, agreement_key
from outcrop.service.access.standing import FORM_MISSING, standing
from outcrop.service.call import Call, Handler
from outcrop.service.targets import END_OF_LIFE, INVALID
from outcrop.store import Store, Transaction
from outcrop.wire import json_body
from outcrop.wire.constraints import Constraints
from outcrop.wire.converse_shapes import Structure, Text, check
from outcrop.wire.http import Reply, json_reply, query_members
from outcrop.wire.json_body import NotJsonError

# A ConflictException, one would think; reports have a ValidationException. Both are a 400.
_THERE_ALREADY: Final = "Could not create agreement - Agreement already exists"
_NOTHING_TO_CANCEL: Final = "No agreement exists to cancel"
_NO_FORM: Final = "You have not filled out the request form."
# Our own words: AWS has nothing like the first, and how it words the second is not known.
_REVOKED: Final = "Access to this model has been revoked for this account by the operator of this endpoint."
_WRONG_TOKEN: Final = "The provided offer token is invalid."  # noqa: S105 - it is a sentence

_MODEL_ID: Final = (
    r"[a-z0-9-]{1,63}[.]{1}[a-z0-9-]{1,63}([a-z0-9-]{1,63}[.]){0,2}[a-z0-9-]{1,63}([:][a-z0-9-]{1,63}){0,2}"
    r"(/[a-z0-9]{12}|)"
)
_MODEL_ID_PATTERN: Final = re.compile(_MODEL_ID)
_LONGEST_ID: Final = 140
_OFFER_TYPES: Final = ("ALL", "PUBLIC")

_MODEL: Final = Text(most=_LONGEST_ID, pattern=_MODEL_ID)
_CREATE: Final = Structure({"offerToken": Text(), "modelId": _MODEL}, ("offerToken", "modelId"))
_DELETE: Final = Structure({"modelId": _MODEL}, ("modelId",))
_PUT: Final = Structure({"formData": Text()}, ("formData",))


class _Offers(msgspec.Struct, frozen=True, rename="camel"):
    model_id: str
    offers: tuple[Offer, ...]


class _AgreementAvailability(msgspec.Struct, frozen=True):
    status: str


class _Availability(msgspec.Struct, frozen=True, rename="camel"):
    model_id: str
    agreement_availability: _AgreementAvailability
    authorization_status: str
    entitlement_availability: str
    region_availability: str


class Operations:
    """Answers the operations of model access. Handlers raise Faults, and write all or nothing."""

    def __init__(self, catalog: Catalog, store: Store, mode: Mode) -> None:
        self._catalog = catalog
        self._store = store
        self._mode: Mode = mode

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Operation names and who answers them."""
        return {
            "ListFoundationModelAgreementOffers": self.list_offers,
            "CreateFoundationModelAgreement": self.create_agreement,
            "DeleteFoundationModelAgreement": self.delete_agreement,
            "GetFoundationModelAvailability": self.get_availability,
            "PutUseCaseForModelAccess": self.put_use_case,
            "GetUseCaseForModelAccess": self.get_use_case,
        }

    async def list_offers(self, call: Call) -> Reply:
        """The one offer of a model: everybody's, so `offerType` changes nothing."""
        text = call.labels["modelId"]
        kind = query_members(call.head).get("offerType")
        constraints = Constraints()
        _constrain(constraints, text)
        constraints.one_of("offerType", kind, _OFFER_TYPES)
        constraints.check()
        model = self._offered(call, text)
        return json_reply(_Offers(text, (offer(self._catalog, model, call.region, call.principal.account),)))

    async def create_agreement(self, call: Call) -> Reply:
        """Accept a model's offer; access is there at once (with AWS it is PENDING for a minute)."""
        told = _body(call, _CREATE)
        text, account = told["modelId"], call.principal.account
        model = self._offered(call, text)
        expected = token(self._catalog, model, account)
        if not compare_digest(told["offerToken"].encode("utf-8", "surrogatepass"), expected.encode()):
            raise ValidationException(_WRONG_TOKEN)
        agreement = Agreement(account, model.id, "agreement", int(call.received))
        await changing.change(self._store, partial(self._accept, agreement))
        return json_reply({"modelId": text}, 202)

    def _accept(self, agreement: Agreement, change: Transaction) -> None:
        known = change.get(Agreement, agreement.key)
        if known is not None and known.revoked:
            raise AccessDeniedException(_REVOKED)
        if self._mode == "request" and change.get(UseCase, agreement.account) is None:
            raise ResourceNotFoundException(FORM_MISSING)
        if known is not None:
            raise ValidationException(_THERE_ALREADY)
        change.put(agreement)

    async def delete_agreement(self, call: Call) -> Reply:
        """End an agreement. Where access is open, the next call makes it anew, as with AWS."""
        model = self._model(_body(call, _DELETE)["modelId"])
        key = agreement_key(call.principal.account, model.id)
        await changing.change(self._store, partial(_cancel, key))
        return json_reply({}, 202)

    async def get_availability(self, call: Call) -> Reply:
        """Whether there is an agreement, whether it is needed, and whether the region has the model.

        AWS has called every model entitled since access is open. Before, it was so once access was granted.
        """
        text = call.labels["modelId"]
        constraints = Constraints()
        _constrain(constraints, text)
        constraints.check()
        model = self._model(text)
        stands = standing(call.state, call.principal.account, model, self._mode)
        agreed = stands.how != "" and stands.state != "revoked"
        return json_reply(
            _Availability(
                text,
                _AgreementAvailability(_available(agreed)),
                "NOT_AUTHORIZED" if stands.state == "revoked" else "AUTHORIZED",
                _available(stands.allowed),
                _available(self._has(call, model)),
            )
        )

    async def put_use_case(self, call: Call) -> Reply:
        """Hand in the form, in place of the one before."""
        data = form.decode(_body(call, _PUT)["formData"])
        form.check(data)
        record = UseCase(call.principal.account, b64encode(data).decode(), int(call.received))
        await changing.change(self._store, lambda change: change.put(record))
        return json_reply({}, 201)

    async def get_use_case(self, call: Call) -> Reply:
        """The form as it was handed in."""
        record = call.state.get(UseCase, call.principal.account)
        if record is None:
            raise ResourceNotFoundException(_NO_FORM)
        return json_reply({"formData": record.form})

    def _model(self, text: str) -> Model:
        """The model of an id, bare or (as Terraform's users give it) with a profile's prefix."""
        try:
            asked = ModelId.parse(text)
        except ValueError:
            raise ValidationException(INVALID) from None
        model = self._catalog.model(asked.base)
        if model is None or (asked.scope and self._catalog.profile(asked.profile) is None):
            raise ValidationException(INVALID)
        return model

    def _offered(self, call: Call, text: str) -> Model:
        """The model, where the call's region has it."""
        model = self._model(text)
        if self._catalog.ended(model, call.today):
            raise ResourceNotFoundException(END_OF_LIFE)
        if not self._has(call, model):
            raise ValidationException(INVALID)
        return model

    def _has(self, call: Call, model: Model) -> bool:
        """Whether the model can be called from the call's region, and has not ended."""
        here = self._catalog.inference_types(model, call.region)
        return bool(here) and not self._catalog.ended(model, call.today)


def _cancel(key: str, change: Transaction) -> None:
    known = change.get(Agreement, key)
    if known is None or known.revoked:
        raise ValidationException(_NOTHING_TO_CANCEL)
    change.delete(Agreement, key)


def _constrain(constraints: Constraints, text: str) -> None:
    constraints.length("modelId", text, 0, _LONGEST_ID)
    constraints.pattern("modelId", text, _MODEL_ID_PATTERN)


def _body(call: Call, shape: Structure) -> dict[str, Any]:
    """The body's members. Raises SerializationException or ValidationException where they don't fit."""
    try:
        told = json_body.read(call.body)
    except NotJsonError as error:
        raise SerializationException("The request body is not valid JSON.", reason=str(error)) from None
    check(told, shape)
    members: dict[str, Any] = told
    return members


def _available(available: bool) -> str:
    return "AVAILABLE" if available else "NOT_AVAILABLE"
