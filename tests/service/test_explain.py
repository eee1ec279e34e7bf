"""What is told of a call that nobody makes: each finding, and that the explanation agrees with reality.

The property runs random policies, access, bindings, quotas, ids, regions and placements through the real
steps, and asks for the explanation of the same call. OUTCROP_PROVE=1 makes ten times as many cases.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest

from guide_table import HAIKU_3, OPUS_3, SONNET_4, SONNET_45
from outcrop.catalog import Catalog
from outcrop.catalog.prices import Tokens, cost
from outcrop.engine import Question
from outcrop.errors import Fault, OutcropError
from outcrop.service.access import Access, Agreement, UseCase
from outcrop.service.call import Call, Principal
from outcrop.service.explain import Explainer, asking, caller_named
from outcrop.service.iam.presets import PRESETS
from outcrop.service.iam.step import Authoriser
from outcrop.service.identity import Assumption, Identity, Origin
from outcrop.service.principals import AccessKey, Account, ApiKey, Role, User
from outcrop.service.profiles import ApplicationProfile
from outcrop.service.quota.limits import Bucket, QuotaLimit
from outcrop.service.quota.step import Quotas
from outcrop.service.routing.dispatch import Dispatcher
from outcrop.service.routing.places import Fleet, Place
from outcrop.service.routing.residency import Residency
from outcrop.service.runtime import through
from outcrop.service.targets import Targets
from outcrop.store.counters import NAME, Amounts, Counters, Limits
from outcrop.wire import bearer, sigv4
from outcrop.wire.http import Head
from outcrop.wire.operations import BY_NAME
from people import NOW as FIXED_NOW
from people import allowing, principals, trusting
from service.memory import MemorySnapshot, MemoryStore
from service.routing.stage import Fake

CASES = 60_000 if os.environ.get("OUTCROP_PROVE") == "1" else 6_000
BATCHES = 3
CATALOGS = [Catalog.load("guide"), Catalog.load("2026-11")]
CATALOG = CATALOGS[0]
ACCOUNT, STRANGER = "111122223333", "444455556666"
USER, ROLE = f"arn:aws:iam::{ACCOUNT}:user/u", f"arn:aws:iam::{ACCOUNT}:role/r"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
LATE = datetime(2028, 1, 1, tzinfo=UTC).timestamp()
ROOM = 4_096  # tokens that a quota has left; every model gives as many
STEPS = ["model id", "policies", "model access", "residency", "quota", "destination"]
EVERYTHING = {"everything": PRESETS["everything"]}


def snapshot(*records):
    return MemorySnapshot({(record.KIND, record.key): record for record in records}, 1)


def user(**more):
    return User(ACCOUNT, "u", "AIDAU", 0, **({"policies": EVERYTHING} | more))


class Scene:
    """A state, the settings, and who asks for what in it: what a test does not say is the simplest."""

    def __init__(self, *records, **more):
        given = {one.KIND: one for one in records}
        self.state = snapshot(*([] if "user" in given else [user()]), *records)
        self.catalog = more.pop("catalog", CATALOG)
        self.now = more.pop("now", NOON)
        self.explainer = Explainer(
            self.catalog,
            bare_model_id=more.pop("bare_model_id", "regional"),
            access=Access(self.catalog, MemoryStore(), more.pop("access", "open")),
            residency=Residency(self.catalog, more.pop("endpoint", ())),
            quotas=more.pop("quotas", None),
            fleet=Fleet(more.pop("places", [Place("one", Fake())])),
        )
        self.who, self.region = more.pop("who", USER), more.pop("region", "us-west-2")
        assert not more

    def told(self, model_id, operation="InvokeModel", max_tokens=None):
        call = asking(
            self.state,
            caller=caller_named(self.state, self.who, ACCOUNT, self.now),
            region=self.region,
            model_id=model_id,
            operation=operation,
            now=self.now,
        )
        return self.explainer.explain(call, max_tokens)

    def finding(self, step, model_id=f"us.{SONNET_45}", **more):
        """The one finding of a step."""
        (found,) = (one for one in self.told(model_id, **more).findings if one.step == step)
        return found


def everything(finding):
    return " ".join([finding.text, *finding.details, finding.fix])


# --- what the id means -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model_id", "region", "says"),
    [
        (f"us.{SONNET_45}", "us-west-2", f"us.{SONNET_45} is a profile (US Anthropic Claude Sonnet 4.5)"),
        (SONNET_45, "eu-west-1", f"{SONNET_45} means eu.{SONNET_45} here"),
        (
            f"arn:aws:bedrock:us-west-2:{ACCOUNT}:inference-profile/us.{SONNET_45}",
            "us-west-2",
            f"means us.{SONNET_45} here",
        ),
        (f"global.{SONNET_45}", "us-west-2", "and 27 more."),
        (HAIKU_3, "us-west-2", "is Claude 3 Haiku, on demand: a call from us-west-2 runs there."),
    ],
)
def test_it_says_what_an_id_means_and_where_it_may_run(model_id, region, says):
    found = Scene(region=region).finding("model id", model_id)
    assert found.verdict == "yes"
    assert says in found.text


def made(model, profile="", region="us-west-2", account=ACCOUNT):
    return ApplicationProfile(
        "aws",
        region,
        account,
        "abcdefghijkl",
        "n",
        "",
        model,
        0,
        0,
        {},
        f"{profile}.{model}" if profile else "",
    )


def test_of_an_application_profile_it_says_what_that_was_copied_from():
    copy, alone = made(SONNET_45, "us"), made(HAIKU_3)
    meant = Scene(copy).finding("model id", copy.arn).text
    assert f"is an application profile, copied from us.{SONNET_45}" in meant
    assert "us-east-1, us-east-2 and us-west-2" in meant
    meant = Scene(alone).finding("model id", alone.arn).text
    assert f"copied from {HAIKU_3}: on demand" in meant


@pytest.mark.parametrize(
    ("model_id", "says"),
    [
        (f"eu.{SONNET_45}", f"From us-west-2 it is called as global.{SONNET_45} or us.{SONNET_45}."),
        ("claude-sonnet-4-5", "If Claude Sonnet 4.5 is meant"),
        ("anthropic.claude-9", "Bedrock has no model anthropic.claude-9."),
        ("abcdefghijkl", "An application profile is called by its ARN"),
        (made(SONNET_45).arn, f"Account {ACCOUNT} has no profile arn:"),
        (
            f"arn:aws:bedrock:us-west-2:{STRANGER}:inference-profile/us.{SONNET_45}",
            f"{ACCOUNT} has no profile",
        ),
        (made(SONNET_45, region="us-east-1").arn, "The ARN is of us-east-1"),
    ],
)
def test_an_id_that_means_nothing_is_explained_and_nothing_else_is(model_id, says):
    told = Scene().told(model_id)
    assert not told.answered
    (found,) = told.findings
    assert (found.step, found.verdict) == ("model id", "no")
    assert says in found.text
    assert found.details == (
        "The caller reads: 400 ValidationException: The provided model identifier is invalid.",
    )
    assert "us-west-2" in found.fix


@pytest.mark.parametrize(
    ("model_id", "meant"),
    [
        ("claude-sonet-4-5", "claude-sonnet-4-5"),
        ("eu.claude-sonet-4-5", "eu.claude-sonnet-4-5"),
        (f"global.{SONNET_45[:-4]}2:0", f"global.{SONNET_45}"),
        (SONNET_45.upper(), SONNET_45),
    ],
)
def test_a_misspelt_id_is_asked_back_with_its_prefix(model_id, meant):
    (found,) = Scene().told(model_id).findings
    assert found.fix.startswith(f"Did you mean {meant}? Use an id")


@pytest.mark.parametrize("model_id", [f"eu.{SONNET_45}", "m", "abcdefghijkl", made(SONNET_45).arn])
def test_nothing_is_guessed_where_the_name_is_right_or_like_none(model_id):
    (found,) = Scene().told(model_id).findings
    assert found.fix.startswith("Use an id")


def test_a_copy_of_a_model_that_has_ended_is_said_to_be_one():
    copy = made(SONNET_45, "us")
    (found,) = Scene(copy, now=LATE, catalog=CATALOGS[1]).told(copy.arn).findings
    assert "copied from us.anthropic" in found.text
    assert "reached the end of its life" in found.text
    assert found.details[0].startswith("The caller reads: 404 ResourceNotFoundException: ")


def test_a_bare_id_is_refused_where_the_setting_says_so():
    (found,) = Scene(bare_model_id="refuse").told(SONNET_45).findings
    assert "does not run on demand in us-west-2" in found.text
    assert "on-demand throughput" in found.details[0]


# --- policies --------------------------------------------------------------------------------------------


def denied(region):
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "Sid": "Stay"}
    deny["Condition"] = {"StringEquals": {"aws:RequestedRegion": region}}
    return json.dumps({"Version": "2012-10-17", "Statement": [deny]})


def test_it_says_which_statements_allow_what():
    found = Scene().finding("policies")
    assert found.verdict == "yes"
    assert found.details == (
        "Policy everything, statement Everything, allows bedrock:InvokeModel on the profile, the model in "
        "us-west-2, the model in us-east-1 and the model in us-east-2.",
    )


def test_a_deny_of_one_destination_is_named_with_its_statement_and_the_command_that_shows_it():
    scene = Scene(user(policies={**EVERYTHING, "fence": denied("us-east-2")}))
    found = scene.finding("policies")
    assert found.verdict == "no"
    arn = f"arn:aws:bedrock:us-east-2::foundation-model/{SONNET_45}"
    assert found.text == (
        f"bedrock:InvokeModel on {arn} is refused with an explicit deny in an identity-based policy "
        "(policy fence, statement Stay)."
    )
    assert found.details == (
        f"The caller reads: 403 AccessDeniedException: User: {USER} is not authorized to perform: "
        f"bedrock:InvokeModel on resource: {arn} with an explicit deny in an identity-based policy",
    )
    assert f"`outcrop users policy show fence --user u --account {ACCOUNT}`" in found.fix


def fix_of(finding):
    """The policy that a fix tells to put."""
    told = finding.fix[finding.fix.index("{") :]
    assert json.loads(told) == finding.policy
    return told


def test_what_it_tells_to_allow_is_enough():
    owner = user(policies={"p": allowing("bedrock:InvokeModel", resource="arn:aws:bedrock:*::*")})
    found = Scene(owner).finding("policies")
    assert f"outcrop users policy put NAME FILE --user u --account {ACCOUNT}" in found.fix
    mended = user(policies={**owner.policies, "mended": fix_of(found)})
    assert Scene(mended).finding("policies").verdict == "yes"
    bounded = user(boundary=PRESETS["nothing"])
    found = Scene(bounded).finding("policies")
    assert "outcrop users boundary FILE --user u" in found.fix
    assert Scene(user(boundary=fix_of(found))).finding("policies").verdict == "yes"
    controlled = Account(ACCOUNT, 0, policies={"p": allowing("s3:*")})
    found = Scene(controlled).finding("policies")
    assert f"outcrop users policy put NAME FILE --account {ACCOUNT}`" in found.fix
    controlled = Account(ACCOUNT, 0, policies={**controlled.policies, "mended": fix_of(found)})
    assert Scene(controlled).finding("policies").verdict == "yes"


def test_what_it_tells_to_allow_covers_streams_and_no_other_action():
    found = Scene(user(policies={})).finding("policies")
    assert [one["Action"] for one in found.policy["Statement"]] == ["bedrock:InvokeModel*"]
    mended = Scene(user(policies={"mended": fix_of(found)}))
    assert mended.finding("policies", operation="InvokeModelWithResponseStream").verdict == "yes"
    key = ApiKey("key-at-1", "", USER, 0)
    found = Scene(user(policies={}), key, who=key.name).finding("policies")
    actions = [one["Action"] for one in found.policy["Statement"]]
    assert actions == ["bedrock:CallWithBearerToken", "bedrock:InvokeModel*"]


def test_how_many_others_are_refused_is_said_in_the_number_it_has():
    def text(*regions):
        scene = Scene(user(policies={**EVERYTHING, "fence": denied(list(regions))}))
        return scene.finding("policies").text

    assert "things it asks for" not in text("us-east-2")
    assert text("us-east-1", "us-east-2").endswith("Of the 4 things it asks for, 1 more is refused.")
    assert text("us-west-2", "us-east-1", "us-east-2").endswith("3 more are refused.")


def test_a_deny_of_a_boundary_is_shown_where_boundaries_are():
    found = Scene(user(boundary=denied("us-west-2"))).finding("policies")
    assert f"outcrop users policy list --user u --account {ACCOUNT}" in found.fix


def test_an_api_key_needs_what_every_use_of_one_needs():
    key = ApiKey("key-at-1", "", USER, 0)
    scene = Scene(user(policies={"p": allowing("bedrock:InvokeModel")}), key, who=key.name)
    found = scene.finding("policies")
    assert "bedrock:CallWithBearerToken on *" in found.text
    assert Scene(key, who=key.name).finding("policies").verdict == "yes"


def test_what_only_a_real_call_has_is_said_to_be_unknown():
    condition = {
        "IpAddress": {"aws:SourceIp": "10.0.0.0/8"},
        "DateGreaterThan": {"aws:CurrentTime": "2020-01-01"},
    }
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    found = Scene(user(policies={"p": policy})).finding("policies")
    assert found.verdict == "no"
    assert found.details[-1].startswith("The policies look at aws:SourceIp, which only a real call has")
    assert "real call" not in everything(Scene().finding("policies"))


def test_a_policy_that_cant_be_read_is_no_traceback():
    scene = Scene(user(policies={"p": "{"}))
    found = scene.finding("policies")
    assert found.verdict == "no"
    assert found.text.startswith(f"a policy of {USER} can't be read")
    assert found.details[0].startswith("The caller reads: 500 InternalServerException: ")


# --- model access, residency, quotas, destination --------------------------------------------------------


def test_access_that_has_to_be_asked_for():
    found = Scene(access="request").finding("model access")
    assert found.verdict == "no"
    assert found.text == f"Account {ACCOUNT} and Claude Sonnet 4.5: form missing."
    assert found.details[0].startswith("The caller reads: 404 ResourceNotFoundException: Model use case")
    assert "outcrop access request --model" in found.fix
    assert Scene().finding("model access").fix == ""


def test_residency_names_every_binding_and_what_they_leave():
    bound = Scene(user(residency=("us-east-1", "us-west-2")), endpoint=("us",)).finding("residency")
    assert bound.verdict == "yes"
    assert bound.text == "Of these regions the bindings leave us-east-1 and us-west-2."
    assert bound.details == (
        "the endpoint is bound to us.",
        f"{USER} is bound to us-east-1, us-west-2.",
    )
    free = Scene().finding("residency")
    assert (free.verdict, free.text) == (
        "yes",
        "Neither endpoint nor account nor caller is bound to regions.",
    )


def test_of_a_role_it_says_that_who_takes_it_on_may_be_bound_as_well():
    role = Role(ACCOUNT, "r", "AROAR", 0, "", policies=EVERYTHING)
    for who in (ROLE, f"arn:aws:sts::{ACCOUNT}:assumed-role/r/job"):
        found = Scene(role, who=who).finding("residency")
        assert found.verdict == "yes"
        assert found.details == (
            "Who takes on the role keeps bindings of their own: these are not known here.",
        )


def test_a_binding_that_leaves_nothing_says_who_is_bound_and_what_fits():
    scene = Scene(Account(ACCOUNT, 0, residency=("eu",)))
    found = scene.finding("residency")
    assert found.verdict == "no"
    told = found.details[-1]
    assert told.startswith("The caller reads: 403 AccessDeniedException: ")
    assert f"the account {ACCOUNT} is bound to eu" in told
    assert f"eu.{SONNET_45} from eu-central-1" in told
    assert "outcrop users bind" in found.fix
    assert "destination" not in [one.step for one in scene.told(f"us.{SONNET_45}").findings]


@pytest.fixture
def counters(tmp_path):
    opened = Counters(tmp_path / NAME)
    yield opened
    opened.close()


def limited(counters, *more, **limits):
    rows = [*more, *(QuotaLimit(ACCOUNT, "*", "*", "*", name, value) for name, value in limits.items())]
    records = {("quota-limit", row.key): row for row in rows}
    scene = Scene(quotas=Quotas(counters, enabled=True, clock=lambda: NOON))
    scene.state = MemorySnapshot({**scene.state._records, **records}, 2)
    return scene


def test_quotas_say_what_is_left_of_each_and_that_a_call_may_ask_for_more(counters):
    key = Bucket(ACCOUNT, SONNET_45, "us-west-2", "cross-region").key
    counters.reserve(key, Limits(), Amounts(1, 900), NOON)
    found = limited(counters, rpm=3, tpm=1000, tpd=None).finding("quota", max_tokens=99)
    assert found.verdict == "yes"
    assert found.text.startswith("Enough is left for a call with max_tokens 99, if its input is no longer")
    assert found.details == (
        f"The cross-region quota of account {ACCOUNT} in us-west-2:",
        "requests per minute: 2 left of 3 (set).",
        "tokens per minute: 100 left of 1,000 (set).",
        "tokens per day: no limit, 900 used.",
    )


def test_a_quota_that_is_used_up_is_a_no_with_the_text_and_the_command(counters):
    key = Bucket(ACCOUNT, SONNET_45, "us-west-2", "cross-region").key
    counters.reserve(key, Limits(), Amounts(3, 900), NOON)
    found = limited(counters, rpm=3).finding("quota")
    assert found.text == "No requests per minute are left."
    assert found.details[-1] == (
        "The caller reads: 429 ThrottlingException: Too many requests, please wait before trying again."
    )
    assert f"outcrop quota set rpm NUMBER --account {ACCOUNT}" in found.fix
    assert "Wait" in found.fix
    never = limited(counters, rpm=None, tpm=0, tpd=None).finding("quota")
    assert "Too many tokens per day" in never.details[-1]
    assert never.fix == f"Raise the limit: `outcrop quota set tpm NUMBER --account {ACCOUNT}`."


def test_more_tokens_than_a_limit_never_fit_and_more_than_are_left_not_now(counters):
    key = Bucket(ACCOUNT, SONNET_45, "us-west-2", "cross-region").key
    counters.reserve(key, Limits(), Amounts(1, 900), NOON)
    scene = limited(counters, rpm=None, tpm=1000, tpd=None)
    never = scene.finding("quota")
    assert never.verdict == "no"  # what a Converse without maxTokens asks for
    assert never.text == "max_tokens 64,000 and any input never fit: the limit is 1,000 tokens per minute."
    assert never.fix.startswith("Ask for max_tokens below 100, by as much as the input has, or raise the")
    assert not scene.told(f"us.{SONNET_45}").answered
    later = scene.finding("quota", max_tokens=100)
    assert later.verdict == "no"
    assert later.text == (
        "max_tokens 100 and any input are more than the 100 tokens per minute that are left."
    )
    assert "429 ThrottlingException: Too many tokens, please wait" in later.details[-1]
    assert ", wait until some come back, or raise the limit: `outcrop quota set tpm" in later.fix
    assert scene.told(f"us.{SONNET_45}", max_tokens=99).answered
    assert "Ask for" not in limited(counters, rpm=None, tpm=901, tpd=None).finding("quota").fix


@pytest.mark.parametrize(
    ("held", "flags"),
    [
        (("*", "*", "*", "*"), "--account '*'"),
        ((ACCOUNT, SONNET_45, "*", "*"), f"--account {ACCOUNT} --model {SONNET_45}"),
        (
            ("*", SONNET_45, "us-west-2", "cross-region"),
            f"--account '*' --model {SONNET_45} --region us-west-2 --kind cross-region",
        ),
    ],
)
def test_the_limit_that_holds_is_the_one_to_raise(counters, held, flags):
    found = limited(counters, QuotaLimit(*held, "tpm", 0), rpm=None, tpd=None).finding("quota")
    assert f"`outcrop quota set tpm NUMBER {flags}`" in found.fix


def test_where_no_limit_was_set_it_is_raised_for_that_model(counters):
    key = Bucket(ACCOUNT, SONNET_45, "us-west-2", "cross-region").key
    counters.reserve(key, Limits(), Amounts(10**6, 0), NOON)
    found = limited(counters).finding("quota")
    assert f"`outcrop quota set rpm NUMBER --account {ACCOUNT} --model {SONNET_45}`" in found.fix


def test_more_than_the_model_gives_is_an_error(counters):
    with pytest.raises(OutcropError) as caught:
        limited(counters).told(SONNET_45, max_tokens=64_001)
    assert "64,001 is more than Claude Sonnet 4.5 gives" in caught.value.what
    assert caught.value.fix == "Ask for 64,000 at most."


def test_that_quotas_are_off_is_no_verdict():
    found = Scene().finding("quota")
    assert (found.verdict, found.text) == ("note", "Quotas are not enforced (bedrock.quotas is false).")


def test_every_engine_is_named_with_the_one_region_it_would_answer_in_and_simulated_where_it_is():
    places = [
        Place("east", Fake(), frozenset({"us-east-1", "us-east-2", "eu-west-1"})),
        Place("europe", Fake(), frozenset({"eu-west-1"})),
        Place("other model", Fake(), None, frozenset({HAIKU_3})),
        Place("anywhere", Fake()),
    ]
    found = Scene(places=places).finding("destination")
    assert found.verdict == "yes"
    assert found.details == (
        "east in us-east-1.",
        "anywhere in us-west-2, which is simulated: this engine stands for every region.",
    )
    assert "this engine:" in Scene().finding("destination").text


def test_where_no_engine_serves_the_setting_that_would_is_named():
    found = Scene(places=[Place("europe", Fake(), frozenset({"eu-west-1"}))]).finding("destination")
    assert found.verdict == "no"
    assert found.details == (
        "The caller reads: 503 ServiceUnavailableException: No engine of this endpoint serves "
        f"{SONNET_45} in us-east-1, us-east-2, us-west-2.",
    )
    assert "`regions` and `models` of `[engines.<name>]`" in found.fix


# --- price and advice ------------------------------------------------------------------------------------


def test_a_price_beside_the_global_one_only_where_global_can_be_called():
    told = Scene().finding("price")
    assert "$0.0495" in told.details[0]
    assert "By the global profile: $0.045" in told.details[1]
    assert len(Scene().finding("price", f"global.{SONNET_45}").details) == 1
    # the price is known and the profile is there, but it is not offered from GovCloud
    gov = Scene(catalog=CATALOGS[1], region="us-gov-west-1")
    assert len(gov.finding("price", f"us-gov.{SONNET_45}").details) == 1


def test_global_is_advised_where_it_reaches_more_and_the_policies_let_it():
    told = Scene().finding("advice").text
    assert told.endswith("could run in 28 more regions; this one costs 10 % more. Stay where data must.")
    told = Scene().finding("advice", f"us.{SONNET_4}").text
    assert told.endswith("and costs the same. Stay where data must.")
    fenced = user(policies={**EVERYTHING, "p": denied("unspecified")})
    assert "this caller's policies refuse it" in Scene(fenced).finding("advice").text
    bound = Scene(user(residency=("us-east-1", "us-east-2", "us-west-2")))
    assert "would reach no other region: the bindings hold for it, too" in bound.finding("advice").text
    half = Scene(user(residency=("us", "eu"))).finding("advice")
    assert "more regions" in half.text
    steps = [one.step for one in Scene().told(f"global.{SONNET_45}").findings]
    assert "advice" not in steps


@pytest.mark.parametrize("tokens", [Tokens(10_000, 1000, 1000, 0, 1000), Tokens(300_000, 1000)])
def test_global_never_costs_more(tokens):
    compared = 0
    for catalog in CATALOGS:
        for profile in catalog.profiles:
            everywhere = catalog.profile(f"global.{profile.model.id}")
            for source in set(everywhere.routes if everywhere else ()) & set(profile.routes):
                here = cost(profile.model.id, profile.scope, tokens, region=source)
                least = cost(profile.model.id, "global", tokens, region=source)
                if least is not None and here is not None:
                    assert least <= here
                    compared += 1
    assert compared > 500


# --- who is meant ----------------------------------------------------------------------------------------


def test_callers_are_who_the_endpoint_takes_them_for(tmp_path):
    known = principals(tmp_path)
    key, secret = known.create_access_key("dev")
    api_key, token = known.create_api_key("dev")
    role = known.create_role("reader", trusting("*"))
    identity, state = Identity(known, "us-west-2"), known.store.snapshot()

    def named(text):
        return caller_named(state, text, known.account, FIXED_NOW)

    def proven(credentials, authorization=""):
        headers = {"host": "h", "authorization": authorization}
        if not authorization:
            head = Head("POST", "/model/m/invoke", "", {"host": "h"})
            signed = sigv4.sign(head, b"", credentials, "us-west-2", "bedrock", FIXED_NOW)
            headers = {"host": "h", **signed}
        head = Head("POST", "/model/m/invoke", "", headers)
        claim = identity.examine(head, BY_NAME["InvokeModel"], FIXED_NOW, "", state)
        return claim.principal

    assert named(key.id) == proven(sigv4.Credentials(key.id, secret))
    assert named(api_key.name) == proven(None, f"Bearer {token}")
    assert msgspec.structs.replace(named("dev"), key=key.id) == named(key.id)
    assert named(key.owner) == named("dev")
    origin = Origin(key.id)
    made_for = identity.assume(origin, Assumption(role, "job"), 900, FIXED_NOW, b"x" * 12, state)
    session = proven(made_for.credentials)
    for text in (role.arn, session.arn):
        assert named(text).owner == session.owner
        assert named(text).key == session.key[:4] == "ASIA"
    assert msgspec.structs.replace(named(session.arn), key=session.key, via=session.via) == session
    assert (
        asking(state, caller=named(api_key.name), region="r", model_id="m", operation="Converse", now=0)
        .head.headers["authorization"]
        .startswith("Bearer")
    )
    assert bearer.LONG_TERM in token
    known.store.close()


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("AKIAGONE", "The key AKIAGONE is revoked"),
        ("late", "The key late has expired"),
        ("nobody", "There is no key, user or role 'nobody'."),
        ("arn:aws:iam::1:user/u", "There is no key, user or role"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/nobody/s", "There is no key, user or role"),
        ("arn:aws:sts::x:assumed-role/r/s", "There is no key, user or role"),
        ("ASIAXYZ", "There is no key, user or role 'ASIAXYZ'."),
    ],
)
def test_who_can_not_call_can_not_be_explained(named, says):
    state = snapshot(
        user(), AccessKey("AKIAGONE", "", USER, 0, enabled=False), ApiKey("late", "", USER, 0, int(NOON))
    )
    with pytest.raises(OutcropError) as caught:
        caller_named(state, named, ACCOUNT, NOON)
    assert says in caught.value.what
    assert caught.value.fix


def test_what_calls_no_model_is_not_explained():
    with pytest.raises(ValueError, match="calls no model"):
        Scene().told("m", operation="ListFoundationModels")


# --- the explanation and reality -------------------------------------------------------------------------


def some(chance, of, most):
    return chance.sample(of, chance.randint(1, min(most, len(of))))


class Case:
    """Random records and settings, one caller, one id; what really happens, and what is told of it."""

    def __init__(self, seed, counters):
        self.chance = chance = random.Random(seed)
        self.account = f"{seed + 10**11:012d}"  # counters of its own
        self.catalog = chance.choice(CATALOGS)
        self.regions = [name for name, partition in self.catalog.regions.items() if partition == "aws"]
        self.now = chance.choice([NOON, NOON, NOON, NOON, LATE])
        self.profile = chance.choice(self.catalog.profiles)
        self.model = self.profile.model
        self.region = chance.choice(list(self.profile.routes))
        if chance.random() < 0.07:
            self.region = chance.choice([*self.regions, "xx-nowhere-1"])
        self.records = []
        self.text = self._id()
        self.within = self._bindings()
        self.who, self.named, self.bearing = self._caller()
        self.mode = chance.choice(["open", "request"])
        self._access()
        self.quotas = self._quotas(counters) if chance.random() < 0.5 else None
        self.bare = chance.choice(["regional", "regional", "refuse"])
        self.operation = chance.choice(["InvokeModel", "ConverseStream"])
        # much less than a quota has left, or just as much: then there is no room for the input
        self.max_tokens = min(chance.choice([10] * 9 + [4_000, ROOM]), self.model.max_output_tokens)
        self.places = self._places()
        self.state = snapshot(*self.records)

    @property
    def near(self):
        return [self.region, *self.profile.destinations(self.region)]

    def _id(self):
        partition = self.catalog.partition(self.region)
        kind = self.chance.choice(["profile"] * 6 + ["bare"] * 3 + ["arn", "copy", "copy", "other", "wrong"])
        prefix = f"arn:{partition}:bedrock:{self.region}"
        if kind == "bare":
            return self.model.id
        if kind == "arn":
            owner = self.chance.choice([self.account, self.account, STRANGER])
            return self.chance.choice(
                [
                    f"{prefix}:{owner}:inference-profile/{self.profile.id}",
                    f"{prefix}::foundation-model/{self.model.id}",
                ]
            )
        if kind == "copy":
            owner = self.chance.choice([self.account] * 4 + [STRANGER])
            copied = self.chance.choice([self.profile.id, self.profile.id, ""])
            made = ApplicationProfile(
                partition, self.region, owner, "abcdefghijkl", "n", "", self.model.id, 0, 0, {}, copied
            )
            if self.chance.random() < 0.9:
                self.records.append(made)
            return made.arn
        if kind == "other":
            return self.chance.choice(self.catalog.profiles).id
        wrong = ["m", "abcdefghijkl", f"mars.{self.model.id}", f"{self.model.id}x", "arn:aws:s3:::b", OPUS_3]
        return self.profile.id if kind == "profile" else self.chance.choice(wrong)

    def _bindings(self):
        """Of the endpoint, the account and the caller."""
        bound = []
        for _ in range(3):
            names = ()
            if self.chance.random() < 0.25:
                known = [*self.near, *self.catalog.geographies, *self.chance.sample(self.regions, 2)]
                names = [name for name in some(self.chance, known, 4) if name != "xx-nowhere-1"]
                if self.chance.random() < 0.7 and self.region in self.catalog.regions:
                    names.append(self.region)
            bound.append(tuple(names))
        return bound

    def _policy(self):
        chance = self.chance
        allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        kind = chance.choice(["everything"] * 8 + ["deny", "only", "invoke", "nothing", "address", "broken"])
        if kind == "broken":
            return "{" if chance.random() < 0.3 else PRESETS["everything"]
        if kind == "invoke":
            arn = f"arn:aws:bedrock:*:*:*/{chance.choice(['*', 'us.*', 'eu.*', 'anthropic.*'])}"
            return allowing("bedrock:InvokeModel*", resource=arn)
        if kind == "nothing":
            return PRESETS["nothing"]
        condition, statements = {}, [allow]
        regions = some(chance, [*self.near, "unspecified", *chance.sample(self.regions, 2)], 6)
        if kind == "deny":
            condition = {"StringEquals": {"aws:RequestedRegion": regions}}
        elif kind == "only":
            condition = {"StringNotEquals": {"aws:RequestedRegion": [*self.near, *regions]}}
        elif kind == "address":
            condition = {"Bool": {"aws:MultiFactorAuthPresent": "false"}}
        if condition:
            statements.append({"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition})
        return json.dumps({"Version": "2012-10-17", "Statement": statements})

    def _policies(self):
        return {
            f"p{number}": self._policy() for number in range(self.chance.choice([0, 1, 1, 1, 1, 1, 1, 2]))
        }

    def _caller(self):
        """The principal, how it is named to be explained, and the header its calls carry."""
        chance, arn = self.chance, f"arn:aws:iam::{self.account}:user/u"
        boundary = self._policy() if chance.random() < 0.2 else ""
        control = {"c": self._policy()} if chance.random() < 0.15 else {}
        self.records.append(Account(self.account, 0, policies=control, residency=self.within[1]))
        more = {"policies": self._policies(), "boundary": boundary, "residency": self.within[2]}
        if chance.random() < 0.25:
            role = Role(self.account, "r", "AROAR", 0, "", **more)
            self.records.append(role)
            session = f"arn:aws:sts::{self.account}:assumed-role/r/job"
            return ("AROAR:job", session, role.arn, "ASIAKEY"), session, ""
        self.records.append(User(self.account, "u", "AIDAU", 0, **more))
        key = AccessKey("AKIAKEY", "", arn, 0)
        if chance.random() < 0.4:
            api_key = ApiKey("key-at-1", "", arn, 0)
            self.records.append(api_key)
            return ("AIDAU", arn, arn, api_key.name), api_key.name, "Bearer ABSK-secret"
        self.records.append(key)
        return ("AIDAU", arn, arn, key.id), key.id, "AWS4-HMAC-SHA256 Credential=AKIAKEY/…"

    def _access(self):
        chance = self.chance
        if chance.random() < 0.9:
            self.records.append(UseCase(self.account, "", 0))
        how = chance.choice(["agreement"] * 8 + ["granted by operator", "revoked by operator", "none"])
        if how != "none":
            self.records.append(Agreement(self.account, self.model.id, how, 0))

    def _quotas(self, counters):
        """Of each quota nothing is left, or about as much as the call asks for, or more."""
        requests, tokens = self.chance.choice([(0, 0), (3, 900)])
        for kind in ("in-region", "cross-region", "global"):
            key = Bucket(self.account, self.model.id, self.region, kind).key
            counters.reserve(key, Limits(), Amounts(requests, tokens), self.now)
        used = {"rpm": requests, "tpm": tokens, "tpd": tokens}
        for name, taken in used.items():
            value = self.chance.choice([taken + ROOM] * 6 + [None] * 6 + [taken, 0])
            self.records.append(QuotaLimit(self.account, "*", "*", "*", name, value))
        return Quotas(counters, enabled=True, clock=lambda: self.now)

    def _places(self):
        places = []
        for number in range(self.chance.randint(0, 4)):
            near = self.near if self.chance.random() < 0.7 else self.regions
            regions = None if self.chance.random() < 0.2 else frozenset(some(self.chance, near, 4))
            models = [model.id for model in self.catalog.models]
            serves = None if self.chance.random() < 0.6 else frozenset(some(self.chance, models, 8))
            places.append(Place(f"p{number}", Fake(f"e{number}"), regions, serves))
        return places

    def real_call(self):
        """As it comes from the chain: made by hand, with nothing of the explainer's."""
        user_id, arn, owner, key = self.who
        headers = {"authorization": self.bearing, "host": "h"} if self.bearing else {"host": "h"}
        return Call(
            head=Head("POST", "/model/m/invoke", "", headers),
            operation=BY_NAME[self.operation],
            labels={"modelId": self.text},
            body=b"{}",
            principal=Principal(arn, user_id, self.account, key, owner),
            region=self.region,
            request_id="id-1",
            received=self.now,
            began=5.0,
            state=self.state,
        )

    async def happens(self):
        """The outcome of the real steps, as the endpoint has them; or the fault."""
        monotonic, chance = (lambda: 1.0), self.chance.random
        dispatcher = Dispatcher(Fleet(self.places), monotonic=monotonic, randomness=chance)
        steps = (
            Targets(self.catalog, self.bare).find,
            Authoriser(self.catalog).authorise,
            Access(self.catalog, MemoryStore(), self.mode).check,
            Residency(self.catalog, self.within[0]).place,
        )
        ask = through([] if self.quotas is None else [self.quotas.reserve], dispatcher.answer)
        outcomes = []

        async def handler(call):
            body = {"max_tokens": self.max_tokens, "messages": [{"role": "user", "content": "hi"}]}
            outcomes.append(await ask(call, Question(call.target.model, body, stream=False)))

        for step in reversed(steps):
            handler = _bound(step, handler)
        try:
            await handler(self.real_call())
        except Fault as fault:
            return None, fault
        return outcomes[0], None

    def told(self):
        explainer = Explainer(
            self.catalog,
            bare_model_id=self.bare,
            access=Access(self.catalog, MemoryStore(), self.mode),
            residency=Residency(self.catalog, self.within[0]),
            quotas=self.quotas,
            fleet=Fleet(self.places),
        )
        caller = caller_named(self.state, self.named, self.account, self.now)
        call = asking(
            self.state,
            caller=caller,
            region=self.region,
            model_id=self.text,
            operation=self.operation,
            now=self.now,
        )
        return explainer.explain(call, self.max_tokens)


def _bound(step, inner):
    return lambda call: step(call, inner)


def check(case, told, outcome, fault):
    """Whether what is told is what happened; at which step a call was refused."""
    assert told.answered == (fault is None), fault
    steps = [finding.step for finding in told.findings if finding.step in STEPS]
    assert steps == [step for step in STEPS if step in steps]
    first = next((finding for finding in told.findings if finding.verdict == "no"), None)
    if fault is not None:
        reads = f"The caller reads: {fault.status} {fault.name}: {fault.text}"
        assert reads in first.details
        assert first.fix
        return first.step
    assert steps == STEPS
    destination = next(finding for finding in told.findings if finding.step == "destination")
    place = next(one for one in case.places if one.engine.name == outcome.engine)
    simulated = ", which is simulated: this engine stands for every region" if outcome.simulated else ""
    assert f"{place.name} in {outcome.region}{simulated}." in destination.details
    return "answered"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_what_is_told_is_what_happens(batch, tmp_path):
    ends = Counter()

    async def run():
        share = CASES // BATCHES
        counters = None
        for number in range(share):
            if number % 500 == 0:
                if counters is not None:
                    counters.close()
                counters = Counters(tmp_path / str(number))
            seed = batch * share + number
            case = Case(seed, counters)
            try:
                told = case.told()  # before: it takes nothing from a quota
                ends[check(case, told, *await case.happens())] += 1
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}") from error
        counters.close()

    asyncio.run(run())
    assert set(ends) == {*STEPS, "answered"}, ends
    assert min(ends.values()) > CASES / BATCHES / 100, ends  # each step's refusal is really tried
