"""Application profiles made, tagged and deleted: each operation, each refusal, and any sequence of them."""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path
from typing import Any

import botocore.parsers
import botocore.serialize
import botocore.session
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from guide_table import HAIKU_3, HAIKU_35, OPUS_41, SONNET_4, SONNET_45
from outcrop.catalog import Catalog
from outcrop.errors import Fault, TooManyTagsException
from outcrop.service.models import ControlPlane
from outcrop.service.profiles import MOST_PROFILES, ApplicationProfile, Profiles
from outcrop.store.sqlite import SqliteStore
from outcrop.wire import faults
from service import calls
from service.calls import ACCOUNT, NOON, OTHER_ACCOUNT, call
from service.memory import MemoryStore

GUIDE = Catalog.load("guide")
US_SONNET = f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.{SONNET_45}"
HAIKU = f"arn:aws:bedrock:us-west-2::foundation-model/{HAIKU_3}"
NOT_A_SOURCE = "copyFrom must be a valid inference profile model source ARN."
NOT_FOUND = ("ResourceNotFoundException", "Inference profile not found.")
NO_RESOURCE = ("ResourceNotFoundException", "The resource to tag was not found.")


class Bench:
    """The operations over one store. A clock that is a second later whenever it is read."""

    def __init__(self, catalog: Catalog = GUIDE, randomness: Any = None, store: Any = None) -> None:
        self.store = store or MemoryStore()
        seconds, numbers = itertools.count(int(NOON.timestamp())), itertools.count(1)
        profiles = Profiles(
            catalog,
            self.store,
            lambda: float(next(seconds)),
            randomness or (lambda size: next(numbers).to_bytes(size, "big")),
        )
        self.handlers = {**ControlPlane(catalog).handlers, **profiles.handlers}

    def answer(self, operation: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        asked = call(operation, body=body, state=self.store.snapshot(), **more)
        return calls.answer(self.handlers, asked, status)

    def refusal(self, operation: str, body: Any = None, **more: Any) -> Fault:
        """The fault of a call; nothing may have changed."""
        before = self.store.snapshot()
        fault = calls.refusal(self.handlers, call(operation, body=body, state=before, **more))
        assert self.store.snapshot() is before
        return fault

    def create(
        self, name: str = "mine", source: str = US_SONNET, *, region: str = "us-west-2", **more: Any
    ) -> str:
        where = {"account": more.pop("account", ACCOUNT), "region": region}
        reply = self.answer("CreateInferenceProfile", creation(name, source, **more), 201, **where)
        assert reply.keys() == {"inferenceProfileArn", "status"}
        assert reply["status"] == "ACTIVE"
        arn: str = reply["inferenceProfileArn"]
        return arn

    def get(self, text: str, **more: Any) -> Any:
        return self.answer("GetInferenceProfile", inferenceProfileIdentifier=text, **more)

    def delete(self, text: str, **more: Any) -> None:
        assert self.answer("DeleteInferenceProfile", inferenceProfileIdentifier=text, **more) == {}

    def tags(self, arn: str, **more: Any) -> dict[str, str]:
        rows = self.answer("ListTagsForResource", {"resourceARN": arn}, **more)["tags"]
        return {row["key"]: row["value"] for row in rows}

    def profiles(self) -> tuple[ApplicationProfile, ...]:
        return self.store.snapshot().all(ApplicationProfile)  # type: ignore[no-any-return]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def creation(name: str = "mine", source: str = US_SONNET, **more: Any) -> dict[str, Any]:
    tags = more.pop("tags", None)
    told = {"inferenceProfileName": name, "modelSource": {"copyFrom": source}, **more}
    return told if tags is None else told | {"tags": rows(tags)}


def rows(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def many(count: int, prefix: str = "key") -> dict[str, str]:
    return {f"{prefix}{number}": "v" for number in range(count)}


def told(fault: Fault) -> tuple[str, str]:
    return fault.name, fault.text


# --- CreateInferenceProfile ---


def test_a_profile_is_made_and_shown(bench: Bench) -> None:
    arn = bench.create("team one", description="Counts: team one.", tags={"team": "one"})
    short = arn.removeprefix(f"arn:aws:bedrock:us-west-2:{ACCOUNT}:application-inference-profile/")
    assert len(short) == 12
    shown = bench.get(arn)
    assert shown == bench.get(short)
    assert shown["inferenceProfileName"] == "team one"
    assert shown["description"] == "Counts: team one."
    assert shown["createdAt"] == shown["updatedAt"] == "2026-11-24T12:00:00.000000000Z"
    assert [model["modelArn"] for model in shown["models"]] == [
        model["modelArn"] for model in bench.get(f"us.{SONNET_45}")["models"]
    ]
    assert bench.tags(arn) == {"team": "one"}


def test_what_is_kept_can_be_read_again_as_json(bench: Bench) -> None:
    bench.create(description="d", tags={"a": "b", "c": ""}, clientRequestToken="token")
    bench.create("other", HAIKU)
    for profile in bench.profiles():
        assert msgspec.json.decode(msgspec.json.encode(profile), type=ApplicationProfile) == profile
    assert {(one.source, one.model, one.profile) for one in bench.profiles()} == {
        (US_SONNET, SONNET_45, f"us.{SONNET_45}"),
        (HAIKU, HAIKU_3, ""),
    }


def test_a_model_is_copied_where_it_runs_on_demand(bench: Bench) -> None:
    shown = bench.get(bench.create(source=HAIKU))
    assert shown["models"] == [{"modelArn": HAIKU}]


def test_in_govcloud_a_profile_is_of_its_own_partition() -> None:
    bench = Bench(Catalog.load("2026-11"))
    source = f"arn:aws-us-gov:bedrock:us-gov-west-1:{ACCOUNT}:inference-profile/us-gov.{SONNET_45}"
    arn = bench.create(source=source, region="us-gov-west-1")
    assert arn.startswith(f"arn:aws-us-gov:bedrock:us-gov-west-1:{ACCOUNT}:application-inference-profile/")
    assert bench.get(arn, region="us-gov-west-1")["inferenceProfileArn"] == arn


def test_ids_are_twelve_characters_of_chance_and_never_given_twice() -> None:
    draws = iter([b"\xff" * 16, b"\xff" * 16, b"\x00" * 16])
    bench = Bench(randomness=lambda size: next(draws)[:size])
    ids = [bench.create(name).rpartition("/")[2] for name in ("one", "two")]
    assert ids[1] == "000000000000"
    assert len(ids[0]) == 12
    assert ids[0].isalnum()


@pytest.mark.parametrize(
    "source",
    [
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.anthropic.claude-9",
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/a1b2c3d4e5f6",
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/{SONNET_45}",
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/eu.{SONNET_45}",
        f"arn:aws:bedrock:us-west-2:{OTHER_ACCOUNT}:inference-profile/us.{SONNET_45}",
        f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.{SONNET_45}",
        f"arn:aws:bedrock:us-west-2::inference-profile/us.{SONNET_45}",
        f"arn:aws-cn:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.{SONNET_45}",
        "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-9",
        f"arn:aws:bedrock:us-west-2::foundation-model/us.{SONNET_45}",
        # quoted by users: the ARN of a model with an account in it
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:foundation-model/{HAIKU_3}",
        f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU_3}",
        f"arn:aws:bedrock:::foundation-model/{HAIKU_3}",
    ],
)
def test_from_nothing_no_profile_is_copied(bench: Bench, source: str) -> None:
    fault = bench.refusal("CreateInferenceProfile", creation(source=source))
    assert told(fault) == ("ValidationException", NOT_A_SOURCE)


def test_a_model_sold_through_profiles_only_is_no_source_and_the_refusal_names_them(bench: Bench) -> None:
    source = f"arn:aws:bedrock:us-west-2::foundation-model/{SONNET_4}"
    prefix = f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile"
    assert told(bench.refusal("CreateInferenceProfile", creation(source=source))) == (
        "ValidationException",
        f"{NOT_A_SOURCE} {SONNET_4} has no on-demand throughput in us-west-2: "
        f"copy {prefix}/global.{SONNET_4} or {prefix}/us.{SONNET_4}.",
    )
    nowhere = f"arn:aws:bedrock:eu-west-1::foundation-model/{OPUS_41}"
    fault = bench.refusal("CreateInferenceProfile", creation(source=nowhere), region="eu-west-1")
    assert fault.text == NOT_A_SOURCE


def test_past_its_end_a_model_is_no_source() -> None:
    fault = Bench(Catalog.load("2026-11")).refusal("CreateInferenceProfile", creation(source=HAIKU))
    assert told(fault) == ("ValidationException", NOT_A_SOURCE)


def test_an_application_profile_is_no_source(bench: Bench) -> None:
    fault = bench.refusal("CreateInferenceProfile", creation("copy of a copy", bench.create()))
    assert fault.name == "ValidationException"
    assert "at 'modelSource.copyFrom' failed to satisfy constraint: Member must satisfy regular" in fault.text


def test_a_name_is_given_once_an_account_and_region(bench: Bench) -> None:
    first = bench.create()
    fault = bench.refusal("CreateInferenceProfile", creation(source=HAIKU))
    assert told(fault) == ("ConflictException", "An inference profile with the name mine exists already.")
    elsewhere = US_SONNET.replace("us-west-2", "us-east-1")
    others = [
        bench.create(source=US_SONNET.replace(ACCOUNT, OTHER_ACCOUNT), account=OTHER_ACCOUNT),
        bench.create(source=elsewhere, region="us-east-1"),
        bench.create("Mine"),
    ]
    assert len({first, *others}) == 4
    bench.delete(first)
    assert bench.create() != first


def test_the_same_request_with_the_same_token_gives_the_same_profile(bench: Bench) -> None:
    asked = {"clientRequestToken": "token-1", "tags": {"a": "1", "b": "2"}, "description": "text"}
    arn = bench.create(**asked)
    before = bench.profiles()
    assert bench.create(**asked) == arn
    assert bench.create(**(asked | {"tags": {"b": "2", "a": "1"}})) == arn
    assert bench.profiles() == before


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"source": HAIKU}, {"description": "other"}, {"tags": {"a": "2"}}, {"tags": {}}],
)
def test_the_same_token_with_another_request_is_a_conflict(bench: Bench, change: dict[str, Any]) -> None:
    asked = {"clientRequestToken": "token-1", "tags": {"a": "1"}, "description": "text"}
    bench.create(**asked)
    fault = bench.refusal("CreateInferenceProfile", creation(**(asked | change)))
    assert fault.name == "ConflictException"
    assert "clientRequestToken" in fault.text


def test_a_token_is_of_an_account_and_a_region_and_ends_with_its_profile(bench: Bench) -> None:
    first = bench.create(clientRequestToken="token")
    other = bench.create(
        source=US_SONNET.replace("us-west-2", "us-east-1"), region="us-east-1", clientRequestToken="token"
    )
    bench.delete(first)
    again = bench.create(clientRequestToken="token")
    assert len({first, other, again}) == 3


def test_tags_changed_since_do_not_make_it_another_request(bench: Bench) -> None:
    asked = {"clientRequestToken": "token", "tags": {"a": "1"}}
    arn = bench.create(**asked)
    bench.answer("UntagResource", {"resourceARN": arn, "tagKeys": ["a"]})
    assert bench.create(**asked) == arn
    assert bench.tags(arn) == {}


def test_an_account_has_so_many_profiles_in_a_region(bench: Bench) -> None:
    arn = bench.create()
    [made] = bench.profiles()

    def fill(state: Any) -> None:
        for number in range(MOST_PROFILES - 1):
            state.put(msgspec.structs.replace(made, id=f"{number:012}", name=f"n{number}"))

    bench.store.change(fill)
    assert bench.refusal("CreateInferenceProfile", creation("more")).name == "ServiceQuotaExceededException"
    bench.create(source=US_SONNET.replace("us-west-2", "us-east-1"), region="us-east-1")
    bench.delete(arn)
    bench.create("more")


@pytest.mark.parametrize(
    ("change", "member", "constraint"),
    [
        ({"inferenceProfileName": None}, "inferenceProfileName", "Member must not be null"),
        ({"modelSource": None}, "modelSource", "Member must not be null"),
        ({"modelSource": {}}, "modelSource.copyFrom", "Member must not be null"),
        ({"inferenceProfileName": ""}, "inferenceProfileName", "greater than or equal to 1"),
        ({"inferenceProfileName": "a" * 65}, "inferenceProfileName", "less than or equal to 64"),
        ({"inferenceProfileName": "no/slash"}, "inferenceProfileName", "([0-9a-zA-Z][ _-]?)+"),
        ({"inferenceProfileName": "two  blanks"}, "inferenceProfileName", "([0-9a-zA-Z][ _-]?)+"),
        ({"description": ""}, "description", "greater than or equal to 1"),
        ({"description": "a" * 201}, "description", "less than or equal to 200"),
        ({"description": "no!"}, "description", "([0-9a-zA-Z:.][ _-]?)+"),
        ({"clientRequestToken": "-"}, "clientRequestToken", "[a-zA-Z0-9]([-a-zA-Z0-9]{0,254}[a-zA-Z0-9])?"),
        ({"clientRequestToken": "a" * 257}, "clientRequestToken", "less than or equal to 256"),
        ({"modelSource": {"copyFrom": f"us.{SONNET_45}"}}, "modelSource.copyFrom", "regular expression"),
        ({"modelSource": {"copyFrom": "a" * 2049}}, "modelSource.copyFrom", "less than or equal to 2048"),
        ({"tags": [{"key": "a"}]}, "tags.1.member.value", "Member must not be null"),
        (
            {"tags": [{"key": "a", "value": ""}, {"value": "b"}]},
            "tags.2.member.key",
            "Member must not be null",
        ),
        ({"tags": [{"key": "", "value": ""}]}, "tags.1.member.key", "greater than or equal to 1"),
        ({"tags": [{"key": "a" * 129, "value": ""}]}, "tags.1.member.key", "less than or equal to 128"),
        ({"tags": [{"key": "a", "value": "b" * 257}]}, "tags.1.member.value", "less than or equal to 256"),
        ({"tags": [{"key": "a!", "value": ""}]}, "tags.1.member.key", r"[a-zA-Z0-9\s._:/=+@-]*"),
        ({"tags": [{"key": "a", "value": "é"}]}, "tags.1.member.value", r"[a-zA-Z0-9\s._:/=+@-]*"),
    ],
)
def test_a_member_outside_its_bounds_is_refused(
    bench: Bench, change: dict[str, Any], member: str, constraint: str
) -> None:
    fault = bench.refusal("CreateInferenceProfile", creation() | change)
    assert fault.name == "ValidationException"
    assert " validation error" in fault.text
    assert f" at '{member}' failed to satisfy constraint: Member must " in fault.text
    assert constraint in fault.text


def test_every_broken_member_is_told_at_once_and_a_description_is_not_repeated(bench: Bench) -> None:
    fault = bench.refusal("CreateInferenceProfile", {"inferenceProfileName": "!", "description": "secret!"})
    assert fault.text.startswith("3 validation errors detected: ")
    assert "secret!" not in fault.text


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b"[]", b"1", b'{"inferenceProfileName": 1}', b'{"modelSource": "x"}', b'{"tags": {}}'],
)
def test_what_is_no_such_json_is_a_serialization_exception(bench: Bench, body: bytes) -> None:
    assert bench.refusal("CreateInferenceProfile", body).name == "SerializationException"


@pytest.mark.parametrize(
    "operation", ["CreateInferenceProfile", "TagResource", "UntagResource", "ListTagsForResource"]
)
def test_a_body_that_is_not_there_lacks_its_members(bench: Bench, operation: str) -> None:
    assert "Member must not be null" in bench.refusal(operation, b"").text


@pytest.mark.parametrize("key", ["aws:cost", "AWS:cost", "Aws:"])
def test_keys_that_belong_to_aws_are_refused(bench: Bench, key: str) -> None:
    text = "aws: prefixed tag key names are not allowed for external use."
    arn = bench.create()
    for operation, body in (
        ("CreateInferenceProfile", creation("other", tags={key: ""})),
        ("TagResource", {"resourceARN": arn, "tags": rows({key: ""})}),
    ):
        assert told(bench.refusal(operation, body)) == ("ValidationException", text)
    bench.create("allowed", tags={"awsome": "", "my:aws:key": "aws:value"})


def test_a_key_is_given_once(bench: Bench) -> None:
    twice = [*rows({"a": "1"}), *rows({"a": "2"})]
    arn = bench.create()
    for operation, body in (
        ("CreateInferenceProfile", creation("other") | {"tags": twice}),
        ("TagResource", {"resourceARN": arn, "tags": twice}),
    ):
        fault = bench.refusal(operation, body)
        assert fault.name == "ValidationException"
        assert "Duplicate tag keys" in fault.text


# --- DeleteInferenceProfile ---


@pytest.mark.parametrize("by", ["id", "ARN"])
def test_a_deleted_profile_is_gone(bench: Bench, by: str) -> None:
    arn, kept = bench.create(), bench.create("kept")
    text = arn if by == "ARN" else arn.rpartition("/")[2]
    bench.delete(text)
    assert [profile.arn for profile in bench.profiles()] == [kept]
    for operation in ("DeleteInferenceProfile", "GetInferenceProfile"):
        for again in (text, arn):
            assert told(bench.refusal(operation, inferenceProfileIdentifier=again)) == NOT_FOUND
    assert told(bench.refusal("ListTagsForResource", {"resourceARN": arn})) == NO_RESOURCE


@pytest.mark.parametrize("text", [f"us.{SONNET_45}", US_SONNET])
def test_a_system_profile_is_not_deleted(bench: Bench, text: str) -> None:
    fault = bench.refusal("DeleteInferenceProfile", inferenceProfileIdentifier=text)
    assert told(fault) == ("ValidationException", "A system-defined inference profile can't be deleted.")


@pytest.mark.parametrize(
    "text",
    [
        f"eu.{SONNET_45}",
        SONNET_45,
        "zzzzzzzzzzzz",
        "mine",
        "arn:aws:bedrock:::inference-profile/x",
        US_SONNET.replace(ACCOUNT, OTHER_ACCOUNT),
    ],
)
def test_what_is_no_profile_here_is_not_found(bench: Bench, text: str) -> None:
    bench.create()
    fault = bench.refusal("DeleteInferenceProfile", inferenceProfileIdentifier=text)
    assert told(fault) == NOT_FOUND


@pytest.mark.parametrize(
    "text", ["no such/name", "a" * 2049, "arn:aws:bedrock:us-west-2::foundation-model/x.y"]
)
def test_what_can_be_no_profile_is_malformed(bench: Bench, text: str) -> None:
    fault = bench.refusal("DeleteInferenceProfile", inferenceProfileIdentifier=text)
    assert fault.name == "ValidationException"
    assert "at 'inferenceProfileIdentifier' failed to satisfy constraint" in fault.text


# --- whose it is ---


@pytest.mark.parametrize(
    "where",
    [{"account": OTHER_ACCOUNT}, {"region": "us-east-1"}, {"account": OTHER_ACCOUNT, "region": "us-east-1"}],
)
def test_to_others_a_profile_is_like_one_that_never_was(bench: Bench, where: dict[str, str]) -> None:
    arn = bench.create(tags={"a": "b"})
    never = arn[:-12] + "zzzzzzzzzzzz"
    for operation, body in (
        ("TagResource", {"tags": rows({"c": "d"})}),
        ("UntagResource", {"tagKeys": ["a"]}),
        ("ListTagsForResource", {}),
    ):
        seen = [told(bench.refusal(operation, {"resourceARN": one, **body}, **where)) for one in (arn, never)]
        assert seen == [NO_RESOURCE] * 2
    for operation in ("DeleteInferenceProfile", "GetInferenceProfile"):
        for text in (arn, never, arn[-12:], never[-12:]):
            fault = bench.refusal(operation, inferenceProfileIdentifier=text, **where)
            assert told(fault) == NOT_FOUND
    assert bench.tags(arn) == {"a": "b"}


# --- tags ---


def test_tags_are_added_replaced_and_taken_away(bench: Bench) -> None:
    arn = bench.create(tags={"team": "one", "env": "dev"})
    made = bench.get(arn)
    assert bench.answer("TagResource", {"resourceARN": arn, "tags": rows({"team": "two", "cost": ""})}) == {}
    assert list(bench.tags(arn).items()) == [("team", "two"), ("env", "dev"), ("cost", "")]
    assert bench.answer("UntagResource", {"resourceARN": arn, "tagKeys": ["env", "absent"]}) == {}
    assert bench.tags(arn) == {"team": "two", "cost": ""}
    now = bench.get(arn)
    assert now.pop("updatedAt") > made.pop("updatedAt")
    assert now == made


def test_without_tags_there_are_none(bench: Bench) -> None:
    assert bench.answer("ListTagsForResource", {"resourceARN": bench.create()}) == {"tags": []}


def test_a_resource_has_at_most_200_tags(bench: Bench) -> None:
    fault = bench.refusal("CreateInferenceProfile", creation("many", tags=many(201)))
    assert isinstance(fault, TooManyTagsException)
    assert fault.resource == "many"
    arn = bench.create(tags=many(199))
    fault = bench.refusal("TagResource", {"resourceARN": arn, "tags": rows(many(2, "more"))})
    assert fault.name == "TooManyTagsException"
    body = faults.reply(fault, "request-1").body
    assert isinstance(body, bytes)
    assert msgspec.json.decode(body) == {"message": fault.text, "resourceName": arn}
    assert len(bench.tags(arn)) == 199
    bench.answer("TagResource", {"resourceARN": arn, "tags": rows(many(1, "more") | many(199))})
    assert len(bench.tags(arn)) == 200


def test_system_profiles_take_no_tags(bench: Bench) -> None:
    for operation, body in (
        ("TagResource", {"tags": []}),
        ("UntagResource", {"tagKeys": []}),
        ("ListTagsForResource", {}),
    ):
        fault = bench.refusal(operation, {"resourceARN": US_SONNET, **body})
        assert told(fault) == ("ValidationException", "A system-defined inference profile can't be tagged.")


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:guardrail/abcdef",
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/eu.{SONNET_45}",
        f"arn:aws:bedrock:us-west-2:{ACCOUNT}:application-inference-profile/zzzzzzzzzzzz",
        "some-name-of-twenty-letters",
    ],
)
def test_other_resources_are_not_found(bench: Bench, arn: str) -> None:
    assert told(bench.refusal("ListTagsForResource", {"resourceARN": arn})) == NO_RESOURCE


@pytest.mark.parametrize(
    "arn", ["short", "a" * 1012, f"arn:aws:bedrock:us-west-2::foundation-model/{HAIKU_3}"]
)
def test_what_can_be_no_resource_is_malformed(bench: Bench, arn: str) -> None:
    fault = bench.refusal("ListTagsForResource", {"resourceARN": arn})
    assert fault.name == "ValidationException"
    assert "at 'resourceARN' failed to satisfy constraint" in fault.text


def test_too_many_keys_at_once_are_refused(bench: Bench) -> None:
    body = {"resourceARN": bench.create(), "tagKeys": list(many(201))}
    assert "length less than or equal to 200" in bench.refusal("UntagResource", body).text


# --- as botocore has it ---


def _constraints(shape: Any) -> dict[str, Any]:
    return {name: shape.metadata[name] for name in ("min", "max", "pattern") if name in shape.metadata}


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("CreateInferenceProfile", ["inferenceProfileName"]),
        ("CreateInferenceProfile", ["description"]),
        ("CreateInferenceProfile", ["clientRequestToken"]),
        ("CreateInferenceProfile", ["modelSource", "copyFrom"]),
        ("CreateInferenceProfile", ["tags", "", "key"]),
        ("CreateInferenceProfile", ["tags", "", "value"]),
        ("TagResource", ["resourceARN"]),
    ],
)
def test_the_constraints_are_those_of_the_service_model(
    bench: Bench, operation: str, path: list[str]
) -> None:
    shape = botocore.session.get_session().get_service_model("bedrock").operation_model(operation).input_shape
    body: dict[str, Any] = creation() | {"tags": rows({"a": "b"}), "resourceARN": bench.create("first")}
    at: Any = body
    for step in path[:-1]:
        shape = shape.members[step] if step else shape.member
        at = at[step] if step else at[0]
    known = _constraints(shape.members[path[-1]])
    at[path[-1]] = "\0" * (known["max"] + 1)
    text = bench.refusal(operation, body).text
    assert f"length less than or equal to {known['max']}" in text
    assert f"regular expression pattern: {known['pattern']}" in text
    at[path[-1]] = ""
    least = f"length greater than or equal to {known['min']}"
    if known["min"]:
        assert least in bench.refusal(operation, body).text


@pytest.mark.parametrize(
    "operation",
    [
        "CreateInferenceProfile",
        "TagResource",
        "ListTagsForResource",
        "UntagResource",
        "DeleteInferenceProfile",
    ],
)
def test_botocores_request_is_understood_and_it_reads_the_reply(bench: Bench, operation: str) -> None:
    arn = bench.create("first", tags={"a": "b"})
    arguments: dict[str, Any] = {
        "CreateInferenceProfile": creation(tags={"a": "b"}, description="text", clientRequestToken="t"),
        "TagResource": {"resourceARN": arn, "tags": rows({"c": "d"})},
        "ListTagsForResource": {"resourceARN": arn},
        "UntagResource": {"resourceARN": arn, "tagKeys": ["a"]},
        "DeleteInferenceProfile": {"inferenceProfileIdentifier": arn},
    }[operation]
    model = botocore.session.get_session().get_service_model("bedrock").operation_model(operation)
    request = botocore.serialize.create_serializer("rest-json").serialize_to_request(arguments, model)
    status = model.http.get("responseCode", 200)
    labels = {name: value for name, value in arguments.items() if name == "inferenceProfileIdentifier"}
    parsed = bench.answer(operation, request["body"] or b"", status, **labels)
    reply = {"status_code": status, "headers": {}, "body": msgspec.json.encode(parsed)}
    read = botocore.parsers.create_parser("rest-json").parse(reply, model.output_shape)
    read.pop("ResponseMetadata")
    assert read == parsed


# --- any sequence ---

SOURCES = [US_SONNET, HAIKU, US_SONNET.replace("/us.", "/global."), US_SONNET.replace("/us.", "/eu.")]
NEVER = f"arn:aws:bedrock:us-west-2:{ACCOUNT}:application-inference-profile/zzzzzzzzzzzz"
NAME = st.sampled_from(["a", "b", "c"])
TAG_KEY = st.sampled_from("xyz")


class Kept(msgspec.Struct):
    """What should be known of one profile."""

    arn: str
    source: str
    token: str
    tags: dict[str, str] = {}


class AnySequence(RuleBasedStateMachine):
    """The operations in any order, beside a dictionary of what they should leave."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.kept: dict[str, Kept] = {}
        self.arns: dict[str, str] = {}  # the last of each name, deleted or not

    @rule(name=NAME, source=st.sampled_from(SOURCES), token=st.sampled_from(["", "t", "u"]))
    def create(self, name: str, source: str, token: str) -> None:
        asked: dict[str, Any] = {"clientRequestToken": token} if token else {}
        earlier = [(other, one) for other, one in self.kept.items() if token and one.token == token]
        if "/eu." not in source and earlier and (earlier[0][0], earlier[0][1].source) == (name, source):
            assert self.bench.create(name, source, **asked) == self.kept[name].arn
        elif "/eu." in source or earlier or name in self.kept:
            fault = self.bench.refusal("CreateInferenceProfile", creation(name, source, **asked))
            assert fault.name == ("ValidationException" if "/eu." in source else "ConflictException")
        else:
            arn = self.bench.create(name, source, **asked)
            assert arn not in self.arns.values()
            self.arns[name] = arn
            self.kept[name] = Kept(arn, source, token)

    @rule(name=NAME, by_id=st.booleans())
    def delete(self, name: str, by_id: bool) -> None:
        arn = self.arns.get(name, NEVER)
        text = arn.rpartition("/")[2] if by_id else arn
        if self.kept.pop(name, None):
            self.bench.delete(text)
        else:
            fault = self.bench.refusal("DeleteInferenceProfile", inferenceProfileIdentifier=text)
            assert told(fault) == NOT_FOUND

    @rule(name=NAME, tags=st.dictionaries(TAG_KEY, st.sampled_from("12")))
    def tag(self, name: str, tags: dict[str, str]) -> None:
        if self._changes("TagResource", name, {"tags": rows(tags)}):
            self.kept[name].tags |= tags

    @rule(name=NAME, keys=st.sets(TAG_KEY))
    def untag(self, name: str, keys: set[str]) -> None:
        if self._changes("UntagResource", name, {"tagKeys": sorted(keys)}):
            left = self.kept[name].tags.items()
            self.kept[name].tags = {key: value for key, value in left if key not in keys}

    def _changes(self, operation: str, name: str, change: dict[str, Any]) -> bool:
        body = {"resourceARN": self.arns.get(name, NEVER), **change}
        if name in self.kept:
            assert self.bench.answer(operation, body) == {}
            return True
        assert told(self.bench.refusal(operation, body)) == NO_RESOURCE
        return False

    @invariant()
    def what_is_listed_and_shown_is_what_is_kept(self) -> None:
        reply = self.bench.answer("ListInferenceProfiles", query="type=APPLICATION")
        listed = {one["inferenceProfileName"]: one for one in reply["inferenceProfileSummaries"]}
        assert listed.keys() == self.kept.keys()
        for name, kept in self.kept.items():
            assert self.bench.get(kept.arn) == listed[name]
            assert listed[name]["inferenceProfileArn"] == kept.arn
            assert self.bench.tags(kept.arn) == kept.tags


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(
    max_examples=1000 if os.environ.get("OUTCROP_PROVE") == "1" else 30, stateful_step_count=15, deadline=None
)


def test_in_the_real_store_they_outlive_it(tmp_path: Path) -> None:
    bench = Bench(store=SqliteStore(tmp_path / "state.db"))
    arn = bench.create(description="text", tags={"a": "b"}, clientRequestToken="token")
    gone = bench.create("gone", HAIKU)
    bench.answer("TagResource", {"resourceARN": arn, "tags": rows({"c": ""})})
    bench.refusal("CreateInferenceProfile", creation())
    bench.delete(gone)
    shown, before = bench.get(arn), bench.profiles()
    bench.store.close()
    again = Bench(store=SqliteStore(tmp_path / "state.db"))
    assert again.profiles() == before
    assert again.get(arn) == shown
    assert again.tags(arn) == {"a": "b", "c": ""}
    assert again.create(description="text", tags={"a": "b"}, clientRequestToken="token") == arn
    again.store.close()


def test_two_at_once_with_one_name_make_one_profile() -> None:
    bench = Bench()
    asked = call("CreateInferenceProfile", body=creation(), state=bench.store.snapshot())

    async def both() -> list[Any]:
        creating = bench.handlers["CreateInferenceProfile"]
        return await asyncio.gather(*(creating(asked) for _ in range(8)), return_exceptions=True)

    outcomes = asyncio.run(both())
    assert len(bench.profiles()) == 1
    assert sum(isinstance(outcome, Fault) for outcome in outcomes) == 7


def test_the_older_model_that_runs_on_demand_in_one_region_only_is_copied_there(bench: Bench) -> None:
    bench.create(source=f"arn:aws:bedrock:us-west-2::foundation-model/{HAIKU_35}")
    fault = bench.refusal(
        "CreateInferenceProfile",
        creation(source=f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU_35}"),
        region="us-east-1",
    )
    assert fault.text.startswith(NOT_A_SOURCE)
