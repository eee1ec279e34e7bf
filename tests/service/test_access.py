"""Model access: both modes, the six operations in AWS's words, the operator's changes, many calls at once."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import timeit
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import botocore.parsers
import botocore.session
import msgspec
import pytest
from botocore.model import ServiceModel
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.catalog import Catalog, facts
from outcrop.errors import (
    AccessDeniedException,
    Fault,
    OutcropError,
    ResourceNotFoundException,
    SerializationException,
    ValidationException,
)
from outcrop.service.access import Access, Agreement, UseCase
from outcrop.service.access import form as use_case_form
from outcrop.service.call import Call, Principal, Target
from outcrop.wire.http import Head, Reply
from outcrop.wire.operations import BY_NAME
from service.memory import MemoryStore

ACCOUNT = "123456789012"
OTHER = "210987654321"
NOW = int(datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp())
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
OPUS_41 = "anthropic.claude-opus-4-1-20250805-v1:0"  # in the US only
FORM = {
    "companyName": "Example Corp",
    "companyWebsite": "https://example.com",
    "intendedUsers": "0",
    "industryOption": "Education",
    "otherIndustryOption": "",
    "useCases": "Answering students' questions.",
}
FORM_MISSING = (
    "Model use case details have not been submitted for this account. "
    "Fill out the Anthropic use case details form before using the model. "
    "If you have already filled out the form, try again in 15 minutes."
)
NO_ACCESS = "You don't have access to the model with the specified model ID."
INVALID = "The provided model identifier is invalid."
RUNTIME = ("InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream")


@lru_cache
def bedrock() -> ServiceModel:
    return botocore.session.get_session().get_service_model("bedrock")


class CountingStore(MemoryStore):
    """Counts what is written, can wait before it writes, and can fail."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def change(self, work):
        self.gate.wait(10)
        self.changes += 1
        if self.broken:
            raise OutcropError("The disk is full.", "Make room.")
        return super().change(work)


class Place:
    """One endpoint's model access: what a client, a caller and the operator would do with it."""

    def __init__(self, mode: str = "open", edition: str = "guide") -> None:
        self.catalog = Catalog.load(edition)
        self.store = CountingStore()
        self.access = Access(self.catalog, self.store, mode)  # type: ignore[arg-type]

    def model(self, name: str):
        model = self.catalog.model(name)
        assert model is not None
        return model

    def call(
        self, operation: str, body: bytes = b"", query: str = "", account: str = ACCOUNT, **more: Any
    ) -> Call:
        principal = Principal(f"arn:aws:iam::{account}:user/dev", "AIDAEXAMPLE", account, "AKIAEXAMPLE")
        return Call(
            head=Head("GET", BY_NAME[operation].path, query, {}),
            operation=BY_NAME[operation],
            labels=more.get("labels", {}),
            body=body,
            principal=principal,
            region=more.get("region", "us-west-2"),
            request_id="request-1",
            received=more.get("received", float(NOW)),
            began=0.0,
            state=self.store.snapshot(),
            target=more.get("target"),
        )

    def ask(self, operation: str, members: Any = None, **more: Any) -> Any:
        """The reply's JSON; its status must be that of AWS's service model."""
        body = b"" if members is None else json.dumps(members).encode()
        handler = self.access.handlers[operation]
        reply = asyncio.run(handler(self.call(operation, more.pop("body", body), **more)))
        assert reply.status == bedrock().operation_model(operation).http["responseCode"]
        assert reply.headers == {"content-type": "application/json"}
        return msgspec.json.decode(reply.body)

    def refused(self, operation: str, members: Any = None, **more: Any) -> Fault:
        before = self.store.snapshot()
        with pytest.raises(Fault) as fault:
            self.ask(operation, members, **more)
        assert self.store.snapshot() is before, "something was written by a refused request"
        return fault.value

    def offers(self, model: str = SONNET, **more: Any) -> Any:
        return self.ask("ListFoundationModelAgreementOffers", labels={"modelId": model}, **more)

    def token(self, model: str = SONNET, **more: Any) -> str:
        return self.offers(model, **more)["offers"][0]["offerToken"]

    def agree(self, model: str = SONNET, **more: Any) -> Any:
        members = {"modelId": model, "offerToken": self.token(model)}
        return self.ask("CreateFoundationModelAgreement", members, **more)

    def hand_in(self, form: Any = FORM, account: str = ACCOUNT) -> Any:
        data = form if isinstance(form, bytes) else json.dumps(form).encode()
        return self.ask("PutUseCaseForModelAccess", {"formData": b64encode(data).decode()}, account=account)

    def availability(self, model: str = SONNET, **more: Any) -> Any:
        return self.ask("GetFoundationModelAvailability", labels={"modelId": model}, **more)

    def target(self, model: str) -> Target:
        return Target(self.model(model), None)

    async def step(self, model: str = SONNET, operation: str = "InvokeModel", **more: Any) -> Reply:
        async def answer(call: Call) -> Reply:
            return Reply(200, {}, call.request_id.encode())

        return await self.access.check(self.call(operation, target=self.target(model), **more), answer)

    def invoke(self, model: str = SONNET, operation: str = "InvokeModel", **more: Any) -> Fault | None:
        """Call a model; what it was refused with. What the call began to write is there afterwards."""

        async def run() -> Fault | None:
            try:
                reply = await self.step(model, operation, **more)
            except Fault as fault:
                return fault
            assert reply.status == 200
            await self.settle()
            return None

        return asyncio.run(run())

    async def settle(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)

    def agreement(self, model: str = SONNET, account: str = ACCOUNT) -> Agreement | None:
        return self.store.snapshot().get(Agreement, f"{account}/{model}")


@pytest.fixture
def opened() -> Place:
    return Place("open")


@pytest.fixture
def asked() -> Place:
    return Place("request")


# --- calls of a model ---


@pytest.mark.parametrize("operation", RUNTIME)
def test_where_access_is_open_the_first_call_passes_and_is_recorded(opened: Place, operation: str):
    assert opened.invoke(operation=operation) is None
    assert opened.agreement() == Agreement(ACCOUNT, SONNET, "first use", NOW)


def test_a_second_call_writes_nothing(opened: Place):
    opened.invoke()
    opened.invoke(received=NOW + 100.0)
    assert opened.store.changes == 1
    assert opened.agreement() == Agreement(ACCOUNT, SONNET, "first use", NOW)


def test_a_grant_is_of_one_account_and_one_model_and_of_every_region(asked: Place):
    asked.hand_in()
    asked.agree()
    assert asked.invoke(region="eu-central-1") is None
    assert isinstance(asked.invoke(HAIKU), AccessDeniedException)
    refused = asked.invoke(account=OTHER)
    assert refused is not None
    assert refused.text == FORM_MISSING


@pytest.mark.parametrize("operation", RUNTIME)
def test_the_guides_flow(asked: Place, operation: str):
    refused = asked.invoke(operation=operation)
    assert isinstance(refused, ResourceNotFoundException)
    assert (refused.status, refused.text) == (404, FORM_MISSING)
    asked.hand_in()
    refused = asked.invoke(operation=operation)
    assert isinstance(refused, AccessDeniedException)
    assert (refused.status, refused.text) == (403, NO_ACCESS)
    asked.agree()
    assert asked.invoke(operation=operation) is None
    assert asked.agreement() == Agreement(ACCOUNT, SONNET, "agreement", NOW)


def test_without_the_form_an_agreement_from_open_times_does_not_do(opened: Place):
    opened.invoke()
    strict = Access(opened.catalog, opened.store, "request")
    stands = strict.status(opened.store.snapshot(), ACCOUNT, opened.model(SONNET))
    assert (stands.state, stands.allowed) == ("form missing", False)
    opened.hand_in()
    assert strict.status(opened.store.snapshot(), ACCOUNT, opened.model(SONNET)).allowed


@pytest.mark.parametrize("mode", ["open", "request"])
def test_what_the_operator_revoked_is_refused_until_it_is_granted_again(mode: str):
    place = Place(mode)
    place.hand_in()
    place.agree()
    place.access.revoke(ACCOUNT, [place.model(SONNET)], NOW + 1)
    refused = place.invoke()
    assert isinstance(refused, AccessDeniedException)
    assert refused.text == NO_ACCESS
    assert place.invoke(account=OTHER) is None or mode == "request"
    place.access.grant(ACCOUNT, [place.model(SONNET)], NOW + 2)
    assert place.invoke() is None
    assert place.agreement() == Agreement(ACCOUNT, SONNET, "granted by operator", NOW + 2)


def test_an_operators_grant_needs_no_form(asked: Place):
    asked.access.grant(ACCOUNT, [asked.model(SONNET)], NOW)
    assert asked.invoke() is None
    assert isinstance(asked.invoke(HAIKU), ResourceNotFoundException)


def test_deleting_an_agreement_does_not_block_where_access_is_open(opened: Place):
    opened.invoke()
    opened.ask("DeleteFoundationModelAgreement", {"modelId": SONNET})
    assert opened.agreement() is None
    assert opened.invoke() is None
    assert opened.agreement() is not None


def test_deleting_an_agreement_blocks_where_it_must_be_asked_for(asked: Place):
    asked.hand_in()
    asked.agree()
    asked.ask("DeleteFoundationModelAgreement", {"modelId": SONNET})
    assert isinstance(asked.invoke(), AccessDeniedException)


def test_counting_tokens_and_the_control_plane_need_no_access(asked: Place):
    assert asked.invoke(operation="CountTokens") is None
    assert asked.invoke(operation="ListFoundationModels") is None


def test_concurrent_first_calls_pass_at_once_and_write_once(opened: Place):
    """They all pass while the write is held up."""

    async def run() -> list[Reply]:
        opened.store.gate.clear()
        replies = await asyncio.gather(*(opened.step() for _ in range(50)))
        opened.store.gate.set()
        await opened.settle()
        return replies

    assert [reply.status for reply in asyncio.run(run())] == [200] * 50
    assert opened.store.changes == 1
    assert opened.agreement() is not None


def test_a_revocation_between_the_call_and_its_grant_stands(opened: Place):
    async def run() -> None:
        opened.store.gate.clear()
        await opened.step()
        with_gate, opened.store.gate = opened.store.gate, threading.Event()
        opened.store.gate.set()
        opened.access.revoke(ACCOUNT, [opened.model(SONNET)], NOW)
        with_gate.set()
        await opened.settle()

    asyncio.run(run())
    agreement = opened.agreement()
    assert agreement is not None
    assert agreement.revoked


def test_a_call_with_an_old_state_does_not_write_over_a_newer_decision(opened: Place):
    early = opened.call("InvokeModel", target=opened.target(SONNET))
    opened.access.grant(ACCOUNT, [opened.model(SONNET)], NOW + 5)

    async def run() -> None:
        async def answer(call: Call) -> Reply:
            return Reply(200, {}, b"")

        await opened.access.check(early, answer)
        await opened.settle()

    asyncio.run(run())
    assert opened.agreement() == Agreement(ACCOUNT, SONNET, "granted by operator", NOW + 5)


def test_a_store_that_fails_does_not_fail_the_call_and_is_left_alone_for_a_minute(
    opened: Place, caplog: pytest.LogCaptureFixture
):
    opened.store.broken = True
    with caplog.at_level(logging.WARNING, "outcrop.service"):
        assert opened.invoke() is None
        assert opened.invoke(received=NOW + 59.0) is None
    assert opened.store.changes == 1
    assert len(caplog.records) == 1
    assert "The disk is full." in caplog.text
    opened.store.broken = False
    assert opened.invoke(received=NOW + 61.0) is None
    assert opened.agreement() is not None


def test_the_step_takes_microseconds(asked: Place):
    """A bound that a slow machine keeps too; what it takes is 1 to 2 µs."""
    asked.hand_in()
    asked.agree()
    call = asked.call("InvokeModel", target=asked.target(SONNET))

    async def answer(call: Call) -> Reply:
        return Reply(200, {}, b"")

    def once() -> None:
        try:
            asked.access.check(call, answer).send(None)
        except StopIteration:
            return

    assert min(timeit.repeat(once, number=1000, repeat=5)) / 1000 < 20e-6


# --- agreements ---


def test_an_offer_has_the_catalogues_prices_and_every_member_of_the_service_model(opened: Place):
    told = opened.offers(region="us-east-1")
    assert told["modelId"] == SONNET
    (offer,) = told["offers"]
    assert offer["offerId"].startswith("offer-")
    assert len(offer["offerId"]) == len("offer-") + 13
    terms = offer["termDetails"]
    assert set(terms) == {"usageBasedPricingTerm", "legalTerm", "supportTerm", "validityTerm"}
    assert terms["legalTerm"]["url"].startswith("https://")
    assert "charges nothing" in terms["supportTerm"]["refundPolicyDescription"]
    rates = {rate["dimension"]: rate for rate in terms["usageBasedPricingTerm"]["rateCard"]}
    assert rates["USE1_InputTokenCount"] == {
        "dimension": "USE1_InputTokenCount",
        "price": "3.3",
        "description": "Million Input Tokens Regional",
        "unit": "Units",
    }
    assert rates["USE1_OutputTokenCount_Global"]["price"] == "15"
    assert rates["USE1_CacheWrite1hInputTokenCount_Global"]["price"] == "6"
    assert rates["USE1_InputTokenCount_LCtx"]["price"] == "6.6"
    assert rates["USE1_OutputTokenCount_Batch_Global"]["price"] == "7.5"


def test_every_model_has_an_offer_wherever_it_can_be_called_and_every_rate_is_a_price():
    place = Place("open", "2026-11")
    parser = botocore.parsers.create_parser("rest-json")
    shape = bedrock().operation_model("ListFoundationModelAgreementOffers").output_shape
    seen = 0
    for model in place.catalog.models:
        prices = next(row["price"] for row in facts()["models"] if row["id"] == model.id)
        known = {f"{price:f}".rstrip("0").rstrip(".") for row in prices.values() if isinstance(row, dict)
                 for price in row.values()}  # fmt: skip
        for region in place.catalog.regions:
            call = place.call(
                "ListFoundationModelAgreementOffers", labels={"modelId": model.id}, region=region
            )
            if not place.catalog.inference_types(model, region) or place.catalog.ended(model, call.today):
                continue
            told = place.offers(model.id, region=region)
            card = told["offers"][0]["termDetails"]["usageBasedPricingTerm"]["rateCard"]
            assert card, (model.id, region)
            dimensions = [rate["dimension"] for rate in card]
            assert len(set(dimensions)) == len(dimensions)
            assert {rate["price"] for rate in card} <= known
            read = parser.parse({"body": json.dumps(told).encode(), "headers": {}, "status_code": 200}, shape)
            assert read["offers"][0]["offerToken"]
            seen += 1
    assert seen > 100


def test_a_region_without_the_global_endpoint_has_no_global_rates(opened: Place):
    card = opened.offers(OPUS_41)["offers"][0]["termDetails"]["usageBasedPricingTerm"]["rateCard"]
    assert not [rate for rate in card if rate["dimension"].endswith("_Global")]


@pytest.mark.parametrize("query", ["", "offerType=ALL", "offerType=PUBLIC"])
def test_offers_of_either_type_are_the_same(opened: Place, query: str):
    assert opened.offers(query=query) == opened.offers()


def test_the_token_is_the_same_in_every_region_and_another_for_another_model_or_account(opened: Place):
    assert opened.token(region="eu-central-1") == opened.token(region="us-east-1")
    assert len({opened.token(), opened.token(HAIKU), opened.token(account=OTHER)}) == 3


def test_a_wrong_type_of_offer_and_a_malformed_id_are_told_together(opened: Place):
    refused = opened.refused(
        "ListFoundationModelAgreementOffers", labels={"modelId": "Claude!"}, query="offerType=SECRET"
    )
    assert isinstance(refused, ValidationException)
    assert refused.text.startswith("2 validation errors detected: Value 'Claude!' at 'modelId'")
    assert "Value 'SECRET' at 'offerType'" in refused.text
    assert "enum value set: [ALL, PUBLIC]" in refused.text


@pytest.mark.parametrize(
    "operation", ["ListFoundationModelAgreementOffers", "GetFoundationModelAvailability"]
)
@pytest.mark.parametrize(
    "name",
    ["anthropic.claude-9", "amazon.titan-text", f"jp.{OPUS_41}", f"{SONNET}/abcdefghijkl", f"xx.{SONNET}"],
)
def test_a_model_that_is_not_here_is_refused(opened: Place, operation: str, name: str):
    refused = opened.refused(operation, labels={"modelId": name})
    assert isinstance(refused, ValidationException)
    assert refused.text == INVALID


def test_an_id_of_141_characters_is_too_long(opened: Place):
    refused = opened.refused(
        "GetFoundationModelAvailability", labels={"modelId": f"anthropic.{'a' * 63}-{'b' * 67}"}
    )
    assert "Member must have length less than or equal to 140" in refused.text


def test_a_profiles_id_stands_for_its_model(asked: Place):
    asked.hand_in()
    assert asked.agree(f"us.{SONNET}") == {"modelId": f"us.{SONNET}"}
    assert asked.agreement(SONNET) is not None


def test_a_model_of_another_region_has_no_offer_here(opened: Place):
    refused = opened.refused(
        "ListFoundationModelAgreementOffers", labels={"modelId": OPUS_41}, region="eu-central-1"
    )
    assert refused.text == INVALID
    members = {"modelId": OPUS_41, "offerToken": opened.token(OPUS_41)}
    refused = opened.refused("CreateFoundationModelAgreement", members, region="eu-central-1")
    assert refused.text == INVALID


def test_a_model_past_its_end_has_no_offer():
    place = Place("open", "2026-11")
    refused = place.refused("ListFoundationModelAgreementOffers", labels={"modelId": SONNET_4})
    assert isinstance(refused, ResourceNotFoundException)
    assert "reached the end of its life" in refused.text
    assert place.availability(SONNET_4)["regionAvailability"] == "NOT_AVAILABLE"


def test_an_agreement_needs_the_form_where_access_is_asked_for(asked: Place, opened: Place):
    members = {"modelId": SONNET, "offerToken": asked.token()}
    refused = asked.refused("CreateFoundationModelAgreement", members)
    assert isinstance(refused, ResourceNotFoundException)
    assert refused.text == FORM_MISSING
    assert opened.agree() == {"modelId": SONNET}


@pytest.mark.parametrize("wrong", ["", "token", "\ud83d\ude00", "0" * 64, "ä" * 64])
def test_a_wrong_token_makes_no_agreement(opened: Place, wrong: str):
    refused = opened.refused("CreateFoundationModelAgreement", {"modelId": SONNET, "offerToken": wrong})
    assert isinstance(refused, ValidationException)
    assert refused.text == "The provided offer token is invalid."


def test_another_models_or_accounts_token_makes_no_agreement(opened: Place):
    for token in (opened.token(HAIKU), opened.token(account=OTHER)):
        refused = opened.refused("CreateFoundationModelAgreement", {"modelId": SONNET, "offerToken": token})
        assert isinstance(refused, ValidationException)


@pytest.mark.parametrize("how", ["agreement", "first use", "granted by operator"])
def test_a_second_agreement_is_refused_as_aws_does(opened: Place, how: str):
    opened.store.change(lambda change: change.put(Agreement(ACCOUNT, SONNET, how, NOW)))
    refused = opened.refused(
        "CreateFoundationModelAgreement", {"modelId": SONNET, "offerToken": opened.token()}
    )
    assert isinstance(refused, ValidationException)
    assert refused.text == "Could not create agreement - Agreement already exists"


def test_of_two_agreements_at_once_one_is_made(opened: Place):
    body = json.dumps({"modelId": SONNET, "offerToken": opened.token()}).encode()
    create = opened.access.handlers["CreateFoundationModelAgreement"]

    async def run() -> list[Any]:
        calls = [opened.call("CreateFoundationModelAgreement", body) for _ in range(8)]
        return await asyncio.gather(*map(create, calls), return_exceptions=True)

    made = asyncio.run(run())
    assert sum(isinstance(reply, Reply) for reply in made) == 1
    assert sum(isinstance(fault, ValidationException) for fault in made) == 7


def test_an_account_can_neither_make_nor_delete_what_the_operator_revoked(opened: Place):
    opened.access.revoke(ACCOUNT, [opened.model(SONNET)], NOW)
    refused = opened.refused(
        "CreateFoundationModelAgreement", {"modelId": SONNET, "offerToken": opened.token()}
    )
    assert isinstance(refused, AccessDeniedException)
    assert "revoked" in refused.text
    refused = opened.refused("DeleteFoundationModelAgreement", {"modelId": SONNET})
    assert refused.text == "No agreement exists to cancel"


def test_deleting_what_is_not_there_is_refused(opened: Place):
    refused = opened.refused("DeleteFoundationModelAgreement", {"modelId": SONNET})
    assert isinstance(refused, ValidationException)
    assert refused.text == "No agreement exists to cancel"
    refused = opened.refused("DeleteFoundationModelAgreement", {"modelId": "anthropic.claude-9"})
    assert refused.text == INVALID


@pytest.mark.parametrize(
    ("operation", "body", "kind", "words"),
    [
        ("CreateFoundationModelAgreement", b"", SerializationException, "not valid JSON"),
        ("CreateFoundationModelAgreement", b"[]", SerializationException, "Start of list"),
        ("CreateFoundationModelAgreement", b"{}", ValidationException, "2 validation errors"),
        (
            "CreateFoundationModelAgreement",
            b'{"modelId":1,"offerToken":"x"}',
            SerializationException,
            "NUMBER",
        ),
        (
            "CreateFoundationModelAgreement",
            b'{"modelId":"x","offerToken":"x"}',
            ValidationException,
            "modelId",
        ),
        ("DeleteFoundationModelAgreement", b'{"modelId":null}', ValidationException, "must not be null"),
        ("DeleteFoundationModelAgreement", b"\xff", SerializationException, "not valid JSON"),
        ("PutUseCaseForModelAccess", b"{}", ValidationException, "'formData' failed"),
        ("PutUseCaseForModelAccess", b'{"formData":{}}', SerializationException, "Start of structure"),
        ("PutUseCaseForModelAccess", b'{"formData":"%%%"}', SerializationException, "Invalid base64"),
    ],
)
def test_bodies_that_do_not_fit(opened: Place, operation: str, body: bytes, kind: type[Fault], words: str):
    refused = opened.refused(operation, body=body)
    assert type(refused) is kind
    assert words in refused.text


# --- availability ---


def summary(told: dict[str, Any]) -> str:
    values = (
        told["agreementAvailability"]["status"],
        told["authorizationStatus"],
        told["entitlementAvailability"],
        told["regionAvailability"],
    )
    return " ".join("yes" if value in ("AVAILABLE", "AUTHORIZED") else "no" for value in values)


def test_availability_where_access_is_open(opened: Place):
    """Entitled before there is an agreement, as AWS has it since access is open."""
    told = opened.availability()
    assert told["modelId"] == SONNET
    assert told["agreementAvailability"] == {"status": "NOT_AVAILABLE"}
    assert summary(told) == "no yes yes yes"
    opened.invoke()
    assert summary(opened.availability()) == "yes yes yes yes"
    opened.access.revoke(ACCOUNT, [opened.model(SONNET)], NOW)
    assert summary(opened.availability()) == "no no no yes"


def test_availability_where_access_is_asked_for(asked: Place):
    assert summary(asked.availability()) == "no yes no yes"
    asked.hand_in()
    assert summary(asked.availability()) == "no yes no yes"
    asked.agree()
    assert summary(asked.availability()) == "yes yes yes yes"
    assert summary(asked.availability(account=OTHER)) == "no yes no yes"


def test_availability_tells_which_region_has_the_model(opened: Place):
    assert opened.availability(OPUS_41, region="us-east-1")["regionAvailability"] == "AVAILABLE"
    assert opened.availability(OPUS_41, region="eu-central-1")["regionAvailability"] == "NOT_AVAILABLE"


# --- the form ---


def test_the_form_comes_back_byte_for_byte(asked: Place):
    data = json.dumps(FORM, indent=2).encode()
    assert asked.hand_in(data) == {}
    assert b64decode(asked.ask("GetUseCaseForModelAccess")["formData"]) == data
    assert asked.store.snapshot().get(UseCase, ACCOUNT) == UseCase(ACCOUNT, b64encode(data).decode(), NOW)


def test_without_a_form_there_is_nothing_to_get(asked: Place):
    asked.hand_in(account=OTHER)
    refused = asked.refused("GetUseCaseForModelAccess")
    assert isinstance(refused, ResourceNotFoundException)
    assert refused.text == "You have not filled out the request form."


def test_a_form_is_put_in_place_of_the_one_before(asked: Place):
    asked.hand_in()
    newer = FORM | {"useCases": "Something else."}
    asked.hand_in(newer)
    assert json.loads(b64decode(asked.ask("GetUseCaseForModelAccess")["formData"])) == newer


@pytest.mark.parametrize(
    "form",
    [
        FORM | {"intendedUsers": 2},
        FORM | {"industryOption": "Other", "otherIndustryOption": "Cheese", "something": "new"},
        {name: value for name, value in FORM.items() if name != "otherIndustryOption"},
        FORM | {"useCases": "u" * 8192, "companyName": "c" * 128},
        b64encode(json.dumps(FORM).encode()),  # what AWS's page makes of it for the AWS CLI
        b64encode(json.dumps(FORM).encode()) + b"\n",
    ],
)
def test_forms_that_are_taken(asked: Place, form: Any):
    asked.hand_in(form)
    asked.agree()
    assert asked.invoke() is None


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (b"{}", "length greater than or equal to 10"),
        (b'{"a": "b"', "length greater than or equal to 10"),
        (b'{"a": "' + b"b" * 16_377 + b'"}', "length less than or equal to 16384"),
        (b"a company of ours", "must be the form as a JSON object"),
        (b"[1, 2, 3, 4, 5]", "must be the form as a JSON object"),
        (b64encode(b"not JSON at all"), "must be the form as a JSON object"),
        ({"companyName": "only"}, "4 validation errors detected: Value null at 'formData.companyWebsite'"),
        (FORM | {"companyName": "c" * 129}, "at 'formData.companyName' failed to satisfy constraint: "
         "Member must have length less than or equal to 128"),
        (FORM | {"useCases": "u" * 8193}, "length less than or equal to 8192"),
        (FORM | {"otherIndustryOption": "o" * 129}, "formData.otherIndustryOption"),
        (FORM | {"companyWebsite": ""}, "length greater than or equal to 1"),
        (FORM | {"industryOption": 7}, "must be a string"),
        (FORM | {"intendedUsers": "3"}, "enum value set: [0, 1, 2]"),
        (FORM | {"intendedUsers": True}, "enum value set: [0, 1, 2]"),
        (FORM | {"intendedUsers": None}, "'formData.intendedUsers' failed"),
        (b'{"useCases":' + b"[" * 300 + b"]" * 300 + b"}", "deeper"),
    ],
)  # fmt: skip
def test_forms_that_are_refused(asked: Place, form: Any, words: str):
    data = form if isinstance(form, bytes) else json.dumps(form).encode()
    refused = asked.refused("PutUseCaseForModelAccess", {"formData": b64encode(data).decode()})
    assert isinstance(refused, ValidationException)
    assert words in refused.text
    assert len(refused.text) < 1000
    assert isinstance(asked.refused("GetUseCaseForModelAccess"), ResourceNotFoundException)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | st.builds(
    lambda members: json.dumps(members).encode(),
    st.dictionaries(st.sampled_from(list(FORM)), st.text(max_size=200) | st.integers() | st.none()),
))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_whatever_is_handed_in_is_taken_or_refused_in_aws_words(data: bytes):
    refused = None
    try:
        use_case_form.check(data)
    except ValidationException as fault:
        refused = fault.text
    assert refused is None or "validation error" in refused or "Malformed" in refused


# --- the operator ---


def test_a_request_hands_in_the_form_and_accepts_the_offers_at_once(asked: Place):
    form = use_case_form.make(FORM)
    asked.access.request(ACCOUNT, [asked.model(SONNET), asked.model(HAIKU)], form, NOW)
    assert asked.store.changes == 1
    assert asked.invoke(SONNET) is None
    assert asked.invoke(HAIKU) is None
    assert json.loads(b64decode(asked.ask("GetUseCaseForModelAccess")["formData"])) == FORM


def test_a_request_without_a_form_is_refused_unless_it_is_on_file_or_not_needed(asked: Place, opened: Place):
    with pytest.raises(OutcropError, match="has not been submitted"):
        asked.access.request(ACCOUNT, [asked.model(SONNET)], None, NOW)
    assert asked.agreement() is None
    asked.hand_in()
    asked.access.request(ACCOUNT, [asked.model(SONNET)], None, NOW)
    assert asked.agreement() is not None
    opened.access.request(ACCOUNT, [opened.model(SONNET)], None, NOW)
    assert opened.agreement() is not None


def test_a_request_of_something_revoked_changes_nothing(asked: Place):
    asked.access.revoke(ACCOUNT, [asked.model(HAIKU)], NOW)
    with pytest.raises(OutcropError, match=r"Claude Haiku 4\.5 was revoked") as error:
        asked.access.request(
            ACCOUNT, [asked.model(SONNET), asked.model(HAIKU)], use_case_form.make(FORM), NOW
        )
    assert "outcrop access grant --model claude-haiku-4-5" in error.value.fix
    assert asked.agreement(SONNET) is None
    assert asked.store.snapshot().get(UseCase, ACCOUNT) is None


def test_a_decision_made_twice_keeps_its_first_date(opened: Place):
    model = opened.model(SONNET)
    for decide, how in (
        (opened.access.revoke, "revoked by operator"),
        (opened.access.grant, "granted by operator"),
    ):
        decide(ACCOUNT, [model], NOW)
        decide(ACCOUNT, [model], NOW + 9)
        assert opened.agreement() == Agreement(ACCOUNT, SONNET, how, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "prepare", "state", "allowed", "next_words"),
    [
        ("open", lambda place: None, "on first use", True, "first call"),
        ("open", lambda place: place.invoke(), "granted", True, ""),
        ("request", lambda place: None, "form missing", False,
         "outcrop access request --model claude-sonnet-4-5"),
        ("request", lambda place: place.hand_in(), "no agreement", False, "outcrop access request"),
        ("request", lambda place: place.access.revoke(ACCOUNT, [place.model(SONNET)], NOW), "revoked", False,
         "outcrop access grant --model claude-sonnet-4-5"),
    ],
)  # fmt: skip
def test_how_an_account_stands_and_what_to_do_next(mode, prepare, state, allowed, next_words):
    place = Place(mode)
    prepare(place)
    stands = place.access.status(place.store.snapshot(), ACCOUNT, place.model(SONNET))
    assert (stands.state, stands.allowed) == (state, allowed)
    assert next_words in stands.next
    assert bool(stands.next) == (state != "granted")
    refused = place.invoke()
    assert (refused is None) == allowed
    told = stands.refusal()
    assert (type(told), getattr(told, "text", None)) == (type(refused), getattr(refused, "text", None))


_STEPS = st.lists(
    st.sampled_from(["form", "agree", "delete", "call", "grant", "revoke", "request"]), max_size=12
)


@given(st.sampled_from(["open", "request"]), _STEPS)
@settings(max_examples=60, deadline=None)
def test_any_course_of_events_leaves_call_status_and_availability_agreeing(mode: str, steps: list[str]):
    """Three ways of asking, one answer; and only the operator can undo what the operator revoked."""
    place = Place(mode)
    model = place.model(SONNET)
    revoked = False
    doing = {
        "form": place.hand_in,
        "agree": place.agree,
        "delete": lambda: place.ask("DeleteFoundationModelAgreement", {"modelId": SONNET}),
        "call": place.invoke,
        "grant": lambda: place.access.grant(ACCOUNT, [model], NOW),
        "revoke": lambda: place.access.revoke(ACCOUNT, [model], NOW),
        "request": lambda: place.access.request(ACCOUNT, [model], None, NOW),
    }
    for step in steps:
        try:
            doing[step]()
        except (Fault, OutcropError):
            assert step not in ("form", "grant", "revoke", "call")
        revoked = (revoked or step == "revoke") and step != "grant"
        stands = place.access.status(place.store.snapshot(), ACCOUNT, model)
        entitled = place.availability()["entitlementAvailability"] == "AVAILABLE"
        assert stands.allowed == entitled
        assert (stands.state == "revoked") == revoked
        if step == "call":
            assert stands.allowed == (stands.state == "granted")
