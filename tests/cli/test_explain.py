"""`outcrop explain`: the same settings and state as the endpoint's, shown to people and to programs."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from guide_table import SONNET_45
from outcrop.cli.keys import own_key, principals_of
from outcrop.config import Data, Settings
from outcrop.store.counters import NAME, Amounts, Counters, Limits
from people import allowing, trusting

SIMULATED = "which is simulated: this engine stands for every region"
PLACED = """
[engines.europe]
kind = "messages"
regions = ["eu-west-1", "eu-central-1"]
messages.api_key = "env:NOT_SET"

[engines.america]
kind = "local"
regions = ["us-east-1"]
models = ["claude-sonnet-4-5"]
"""


@pytest.fixture
def people(data: Path):
    """The principals of the data folder."""
    known = principals_of(Settings(data=Data(data)))
    yield known
    known.store.close()


def told(cli, *arguments: str, code: int = 0):
    return json.loads(cli("explain", *arguments, "--output", "json", code=code).stdout)


def steps(told) -> dict[str, dict]:
    return {finding["step"]: finding for finding in told["findings"]}


def squeezed(text: str) -> str:
    """Without the breaks of lines."""
    return " ".join(text.split())


def test_a_fresh_install_explains_a_call_of_its_own_key(cli, people):
    found = told(cli, "claude-sonnet-4-5")
    assert found["answered"]
    assert found["caller"] == f"arn:aws:iam::{people.account}:user/local"
    assert (found["model"], found["region"], found["operation"]) == (SONNET_45, "us-west-2", "Converse")
    assert list(steps(found)) == [
        *("model id", "policies", "model access", "residency", "quota", "destination", "price", "advice")
    ]
    assert own_key(people).user == "local"


def test_people_read_every_finding_its_details_and_how_it_ends(cli):
    shown = cli("explain", "us.claude-sonnet-4-5").stdout
    assert shown.startswith("arn:aws:iam::")
    assert f"calls Converse of us.{SONNET_45} from us-west-2." in shown.splitlines()[0]
    flat = squeezed(shown)
    assert "✓ policies All that the call asks for is allowed." in flat
    assert f"- local in us-west-2, {SIMULATED}." in flat
    assert "· price" in shown
    assert "→" not in shown
    assert shown.endswith("The call would be answered.\n")
    assert max(map(len, shown.splitlines()[1:])) <= 100


def test_a_refusal_ends_with_1_and_says_what_to_change(cli):
    shown = cli("explain", "eu.claude-sonnet-4-5", code=1).stdout
    flat = squeezed(shown)
    assert f"✗ model id eu.{SONNET_45} is offered from" in flat
    assert "- The caller reads: 400 ValidationException: The provided model identifier is invalid." in flat
    assert "→ Use an id that is offered from us-west-2" in flat
    assert shown.endswith("The call would be refused.\n")


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("claude-sonnet-4-5", SONNET_45),
        ("claude-sonnet-4-5-20250929", SONNET_45),
        ("global.claude-sonnet-4-5", f"global.{SONNET_45}"),
        (f"us.{SONNET_45}", f"us.{SONNET_45}"),
        ("anthropic.claude-sonnet-4-5", "anthropic.claude-sonnet-4-5"),
    ],
)
def test_a_short_name_stands_for_the_id(cli, named, meant):
    code = 1 if meant == named and SONNET_45 not in named else 0
    assert told(cli, named, code=code)["model"] == meant


def test_who_calls_is_a_key_a_user_or_an_arn(cli, people):
    key, _ = people.create_access_key("dev")
    api_key, _ = people.create_api_key("dev")
    role = people.create_role("reader", trusting("*"), policies={"p": allowing("bedrock:*")})
    account = people.create_account("sales")
    people.create_user("dev", account.id)
    for named in (key.id, api_key.name, "dev", key.owner):
        assert told(cli, "claude-sonnet-4-5", "--as", named)["caller"] == key.owner
    asked = told(cli, "claude-sonnet-4-5", "--as", role.arn)
    assert asked["caller"] == f"arn:aws:sts::{people.account}:assumed-role/reader/explain"
    assert asked["answered"]
    asked = told(cli, "claude-sonnet-4-5", "--as", "dev", "--account", "sales", code=1)
    assert asked["caller"] == f"arn:aws:iam::{account.id}:user/dev"
    assert "--account " + account.id in steps(asked)["policies"]["fix"]


def test_the_command_that_a_refusal_tells_can_be_run(cli, people, tmp_path):
    people.create_user("dev")
    fix = steps(told(cli, "us.claude-sonnet-4-5", "--as", "dev", code=1))["policies"]["fix"]
    policy = tmp_path / "p.json"
    policy.write_text(fix[fix.index("{") :])
    words = fix.partition("`outcrop ")[2].partition("`")[0].split()
    cli(*(str(policy) if word == "FILE" else "invoke-it" if word == "NAME" else word for word in words))
    assert told(cli, "us.claude-sonnet-4-5", "--as", "dev")["answered"]
    deny = allowing("*", effect="Deny")
    people.set_policy(f"arn:aws:iam::{people.account}:user/dev", "fence", deny)
    fix = steps(told(cli, "us.claude-sonnet-4-5", "--as", "dev", code=1))["policies"]["fix"]
    words = fix.partition("`outcrop ")[2].partition("`")[0].split()
    assert cli(*words).stdout.strip() == deny
    people.remove_policy(f"arn:aws:iam::{people.account}:user/dev", "fence")
    people.set_boundary(f"arn:aws:iam::{people.account}:user/dev", deny)
    fix = steps(told(cli, "us.claude-sonnet-4-5", "--as", "dev", code=1))["policies"]["fix"]
    words = fix.partition("`outcrop ")[2].partition("`")[0].split()
    assert "Deny" in cli(*words).stdout


def test_engines_are_shown_where_the_settings_place_them_without_being_made(cli):
    Path("outcrop.toml").write_text(PLACED)  # no key is set and no model is there
    europe = steps(told(cli, "claude-sonnet-4-5", "--region", "eu-west-1"))["destination"]
    assert europe["details"] == ["europe in eu-west-1."]
    anywhere = steps(told(cli, "global.claude-sonnet-4-5"))["destination"]["details"]
    assert anywhere == ["europe in eu-central-1.", "america in us-east-1."]
    nobody = told(cli, "us.claude-opus-4-5", code=1)
    assert "503 ServiceUnavailableException" in steps(nobody)["destination"]["details"][0]


def test_every_setting_of_the_endpoint_counts(cli, data, people):
    Path("outcrop.toml").write_text(
        '[bedrock]\naccess = "request"\nresidency = ["eu"]\nquotas = true\nbare_model_id = "refuse"\n'
        'region = "eu-west-1"\nedition = "2026-11"\n'
    )
    bare = told(cli, "claude-sonnet-4-5", code=1)
    assert list(steps(bare)) == ["model id"]
    found = steps(told(cli, "eu.claude-sonnet-4-5", code=1))
    assert found["model access"]["verdict"] == "no"
    assert found["residency"]["details"] == ["the endpoint is bound to eu."]
    assert found["quota"]["verdict"] == "yes"
    cli("access", "grant", "--model", "claude-sonnet-4-5")
    assert told(cli, "eu.claude-sonnet-4-5")["answered"]
    counters = Counters(data / NAME)
    key = f"{people.account}/{SONNET_45}/eu-west-1/cross-region"
    counters.reserve(key, Limits(), Amounts(1_000_000, 0), time.time())
    counters.close()
    quota = steps(told(cli, "eu.claude-sonnet-4-5", code=1))["quota"]
    assert "429 ThrottlingException" in quota["details"][-1]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("claude-sonnet-4-5", "--region", "us-wets-2"), 78, "us-west-2"),
        (("claude-sonnet-4-5", "--as", "nobody"), 1, "outcrop keys list"),
        (("claude-sonnet-4-5", "--account", "nobody"), 1, "outcrop users account list"),
        (("claude-sonnet-4-5", "--operation", "CountTokens"), 2, "CountTokens"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_do(cli, arguments, code, says):
    assert says in cli("explain", *arguments, code=code).stderr


def test_a_revoked_key_is_not_explained(cli, people):
    key, _ = people.create_access_key("dev")
    people.revoke(key.id)
    assert "is revoked" in cli("explain", "claude-sonnet-4-5", "--as", key.id, code=1).stderr
