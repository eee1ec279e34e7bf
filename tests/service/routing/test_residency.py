"""Where calls may run: a profile's destinations, narrowed by whose bindings there are; and the refusals."""

import asyncio

import msgspec
import pytest

from outcrop.catalog import Catalog, Profile
from outcrop.errors import AccessDeniedException, ConfigError
from outcrop.service.call import Principal, Target
from outcrop.service.principals import Account, Role, User
from outcrop.service.routing.residency import Residency
from service.routing.stage import ACCOUNT, CATALOG, EU, GLOBAL, MODEL, SONNET, US, USER, call, state

EUROPE = CATALOG.geography("eu")
OTHER = "210987654321"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"


def account(*residency):
    return Account(ACCOUNT, 0, residency=residency)


def user(*residency):
    return User(ACCOUNT, "u", "AIDA", 0, residency=residency)


def role(*residency):
    return Role(ACCOUNT, "r", "AROA", 0, "{}", residency=residency)


def placed(subject, given):
    """The regions that the step fills in."""
    seen = []

    async def inner(call):
        seen.append(call)

    asyncio.run(_awaited(subject.place(given, inner)))
    return seen[0].regions


async def _awaited(reply):
    return await reply


def refusal(subject, given):
    with pytest.raises(AccessDeniedException) as caught:
        placed(subject, given)
    return caught.value.text


@pytest.mark.parametrize(("profile", "source"), [(GLOBAL, "us-west-2"), (EU, "eu-west-2"), (US, "us-east-1")])
def test_without_a_binding_a_call_may_go_wherever_its_profile_routes(profile, source):
    assert placed(Residency(CATALOG), call(profile, source)) == profile.destinations(source)


def test_a_model_on_demand_stays_in_its_region():
    haiku = CATALOG.model("anthropic.claude-3-haiku-20240307-v1:0")
    assert placed(Residency(CATALOG), call(Target(haiku, None), "us-west-2")) == ("us-west-2",)


def test_what_calls_no_model_passes_as_it_is():
    given = call(Target(MODEL, GLOBAL))
    given = type(given)(**{name: getattr(given, name) for name in given.__struct_fields__} | {"target": None})
    assert placed(Residency(CATALOG, ["eu"]), given) == ()


@pytest.mark.parametrize(
    ("endpoint", "records", "owner"),
    [
        (["eu"], (), USER),
        ([], (account("eu"),), USER),
        ([], (account(), user("eu")), USER),
        ([], (account(), role("eu")), ROLE),
        (["eu", "us"], (account("eu", "jp"), user("eu", "us")), USER),
    ],
)
def test_a_binding_of_anybody_narrows_a_global_profile(endpoint, records, owner):
    subject = Residency(CATALOG, endpoint)
    given = call(GLOBAL, "eu-west-1", known=state(*records), owner=owner)
    assert set(placed(subject, given)) == EUROPE
    assert subject.allowed(given.state, given.principal) == EUROPE


def test_bindings_may_name_regions_and_geographies():
    given = call(GLOBAL, "us-east-1", known=state(account("jp", "us-east-1")))
    assert set(placed(Residency(CATALOG), given)) == {"ap-northeast-1", "ap-northeast-3", "us-east-1"}


def test_global_binds_to_everywhere():
    given = call(GLOBAL, "us-east-1", known=state(account("global")))
    assert placed(Residency(CATALOG), given) == GLOBAL.destinations("us-east-1")


def test_another_accounts_and_another_users_binding_does_not_count():
    other = User(ACCOUNT, "other", "AIDB", 0, residency=("jp",))
    given = call(
        GLOBAL, "us-west-2", known=state(account(), other, Account("999999999999", 0, residency=("jp",)))
    )
    assert placed(Residency(CATALOG), given) == GLOBAL.destinations("us-west-2")
    assert Residency(CATALOG).allowed(given.state, given.principal) is None


@pytest.mark.parametrize("profile", [GLOBAL, US])
def test_a_source_outside_is_refused_and_told_what_would_fit(profile):
    given = call(profile, "us-west-2", known=state(account("eu")))
    text = refusal(Residency(CATALOG), given)
    assert text.startswith(f"{USER} is not authorized to perform: bedrock:InvokeModel in us-west-2")
    assert f"the account {ACCOUNT} is bound to eu" in text
    assert "records" in text
    assert f"eu.{SONNET} from eu-central-1, eu-north-1" in text
    assert f"global.{SONNET} from eu-central-1" in text
    assert f"us.{SONNET}" not in text


def test_london_may_route_into_the_european_union_but_is_not_in_it():
    assert "is not authorized" in refusal(Residency(CATALOG, ["eu"]), call(EU, "eu-west-2"))
    both = placed(Residency(CATALOG, ["eu", "eu-west-2"]), call(EU, "eu-west-2"))
    assert set(both) == set(EU.destinations("eu-west-2"))


def test_where_nothing_of_a_profile_remains_the_text_says_where_it_runs():
    # no profile of the catalogue leaves its source out, but nothing says that none ever will
    profile = Profile(EU.id, "eu", MODEL, EU.name, {"eu-west-3": ("eu-central-1", "eu-north-1")})
    text = refusal(Residency(CATALOG, ["eu-west-3"]), call(profile, "eu-west-3"))
    assert (
        f"on {EU.id} in eu-west-3: that runs in eu-central-1, eu-north-1, but the endpoint is bound" in text
    )
    assert f"Within that: global.{SONNET} from eu-west-3; eu.{SONNET} from eu-west-3." in text


def test_bindings_with_nothing_in_common_are_all_named():
    text = refusal(Residency(CATALOG, ["eu"]), call(GLOBAL, "eu-west-1", known=state(account("jp"))))
    assert "the endpoint is bound to eu and" in text
    assert "is bound to jp. That leaves no region." in text


def test_a_model_that_nothing_within_offers_is_said_to_be():
    opus = CATALOG.model("anthropic.claude-3-opus-20240229-v1:0")
    profile = next(profile for profile in CATALOG.profiles if profile.model is opus)
    text = refusal(Residency(CATALOG, ["sa-east-1"]), call(profile, profile.sources[0]))
    assert text.endswith(f"No region within that offers {opus.id}.")


def test_a_refusal_names_the_session_that_asks_and_not_an_earlier_one_of_its_role():
    subject, known = Residency(CATALOG, ["jp"]), state(role())
    for name in ("one", "two"):
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/r/{name}"
        given = call(GLOBAL, "us-east-1", known=known, owner=ROLE)
        principal = Principal(arn, "AROA:x", ACCOUNT, "ASIA", ROLE)
        given = type(given)(
            **{field: getattr(given, field) for field in given.__struct_fields__} | {"principal": principal}
        )
        assert refusal(subject, given).startswith(arn)


def test_a_change_of_a_binding_counts_from_the_next_state_on():
    subject = Residency(CATALOG)
    before, after = state(account()), state(account("us"))
    assert len(placed(subject, call(GLOBAL, "us-east-1", known=before))) > 20
    assert set(placed(subject, call(GLOBAL, "us-east-1", known=after))) == CATALOG.geography("us")


def test_two_endpoints_over_one_state_do_not_share_what_they_work_out():
    known = state()
    assert len(placed(Residency(CATALOG), call(GLOBAL, "us-east-1", known=known))) > 20
    assert len(placed(Residency(CATALOG, ["us"]), call(GLOBAL, "us-east-1", known=known))) == 4


def test_a_record_with_a_name_nobody_knows_allows_only_what_is_known():
    given = call(GLOBAL, "us-east-1", known=state(account("us-east-1", "atlantis")))
    assert placed(Residency(CATALOG), given) == ("us-east-1",)
    given = call(GLOBAL, "us-east-1", known=state(account("atlantis")))
    assert "That leaves no region." in refusal(Residency(CATALOG), given)


def test_an_endpoint_bound_to_an_unknown_name_does_not_start():
    with pytest.raises(ConfigError) as caught:
        Residency(CATALOG, ["eu-west-11"])
    assert "'eu-west-11'" in caught.value.what
    assert "Did you mean eu-west-1" in caught.value.fix


def test_who_is_bound_stays_so_by_way_of_any_role():
    """A user who is bound, or whose account is, takes on a role of another account that is not."""
    free = Role(OTHER, "free", "AROAFREE", 0, "{}")
    session = Principal("arn:session", "AROAFREE:s", OTHER, "ASIA", free.arn, "", (USER, ROLE))

    def by_way_of(*records, via=(USER, ROLE)):
        given = call(GLOBAL, "us-east-1", known=state(free, *records))
        return msgspec.structs.replace(given, principal=msgspec.structs.replace(session, via=via))

    for records, whose in (
        ((account(), user("eu"), role()), USER),
        ((account(), user(), role("eu")), ROLE),
        ((account("eu"), user(), role()), f"the account {ACCOUNT}"),
    ):
        assert f"{whose} is bound to eu" in refusal(Residency(CATALOG), by_way_of(*records))
    assert len(placed(Residency(CATALOG), by_way_of(account(), user("eu"), role(), via=(ROLE,)))) > 20


@pytest.mark.parametrize("edition", ["guide", "2026-11"])
def test_a_geographys_binding_never_lets_a_call_of_any_profile_out_of_it(edition):
    catalog = Catalog.load(edition)
    for name, regions in catalog.geographies.items():
        subject, known = Residency(catalog, [name]), state()
        for profile in catalog.profiles:
            for source in profile.sources:
                found = subject.regions(call(profile, source, known=known), Target(profile.model, profile))
                assert regions.issuperset(found)
                assert bool(found) == (source in regions and not regions.isdisjoint(profile.routes[source]))
