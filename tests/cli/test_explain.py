"""`outcrop explain`: the same settings and state as the endpoint's, shown to people and to programs."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import time
from pathlib import Path

import pytest

from guide_table import SONNET_45
from outcrop.catalog import Catalog
from outcrop.cli.keys import own_key, principals_of
from outcrop.cli.running import Running, judging, record_path, recorded
from outcrop.client.placing import Placer
from outcrop.config import Data, Settings, load
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


@pytest.mark.parametrize(
    ("named", "region", "says"),
    [
        (
            "claude-sonnet-4-5",
            "eu-west-1",
            f"A bare id; the Python client's short name means global.{SONNET_45}.",
        ),
        ("claude-3-haiku-20240307", "us-west-2", "means us."),
    ],
)
def test_what_a_short_name_means_elsewhere_is_said(cli, named, region, says):
    (first, *_) = told(cli, named, "--region", region)["findings"]
    assert says in first["details"][-1]
    assert says in squeezed(cli("explain", named, "--region", region).stdout)


def test_of_full_ids_and_prefixed_names_nothing_is_said_of_the_client(cli):
    for named in (SONNET_45, "global.claude-sonnet-4-5", f"us.{SONNET_45}"):
        assert "Python client" not in cli("explain", named).stdout


@pytest.mark.parametrize("edition", ["guide", "2026-11"])
def test_every_short_name_has_a_meaning_to_the_client(edition):
    for model in Catalog.load(edition).models:
        for name in model.short_names:
            assert Placer("us-west-2", edition=edition).place(name)


def test_a_command_stands_on_one_line_to_be_copied(cli, people):
    people.create_user("dev")
    lines = cli("explain", "us.claude-sonnet-4-5", "--as", "dev", code=1).stdout.splitlines()
    command = f"`outcrop users policy put NAME FILE --user dev --account {people.account}`"
    assert sum(command in line for line in lines) == 1


def test_a_misspelt_name_is_asked_back(cli):
    shown = squeezed(cli("explain", "eu.claude-sonet-4-5", code=1).stdout)
    assert "→ Did you mean eu.claude-sonnet-4-5? " in shown


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
    refused = steps(told(cli, "us.claude-sonnet-4-5", "--as", "dev", code=1))["policies"]
    fix = refused["fix"]
    policy = tmp_path / "p.json"
    policy.write_text(json.dumps(refused["policy"]))
    words = shlex.split(fix.partition("`outcrop ")[2].partition("`")[0])
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


def test_a_call_that_asks_for_more_than_is_left_is_refused_and_what_it_says_helps(cli):
    Path("outcrop.toml").write_text("[bedrock]\nquotas = true\n")
    for limit in (("--model", "claude-sonnet-4-5", "--kind", "cross-region"), ("--account", "*")):
        cli("quota", "set", "tpm", "5000", *limit)
        found = steps(told(cli, "us.claude-sonnet-4-5", code=1))["quota"]  # the model's maximum
        assert "never fit: the limit is 5,000" in found["text"]
        assert "Ask for max_tokens below 5,000" in found["fix"]
        assert told(cli, "us.claude-sonnet-4-5", "--max-tokens", "4999")["answered"]
        told(cli, "us.claude-sonnet-4-5", "--max-tokens", "5000", code=1)
        words = shlex.split(found["fix"].partition("`outcrop ")[2].partition("`")[0])
        cli(*("70000" if word == "NUMBER" else word for word in words))
        assert told(cli, "us.claude-sonnet-4-5")["answered"]
        cli("quota", "unset", "tpm", *limit)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("claude-sonnet-4-5", "--region", "us-wets-2"), 2, "us-west-2"),
        (("claude-sonnet-4-5", "--as", "nobody"), 1, "outcrop keys list"),
        (("claude-sonnet-4-5", "--account", "nobody"), 1, "outcrop users account list"),
        (("claude-sonnet-4-5", "--operation", "CountTokens"), 2, "CountTokens"),
        (("claude-sonnet-4-5", "--max-tokens", "0"), 2, "--max-tokens"),
        (("claude-sonnet-4-5", "--max-tokens", "64001"), 1, "Ask for 64,000 at most"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_do(cli, arguments, code, says):
    assert says in cli("explain", *arguments, code=code).stderr


def test_a_revoked_key_is_not_explained(cli, people):
    key, _ = people.create_access_key("dev")
    people.revoke(key.id)
    assert "is revoked" in cli("explain", "claude-sonnet-4-5", "--as", key.id, code=1).stderr


@pytest.fixture
def endpoint(data, people):  # and these are its people
    """Say that an endpoint runs on this data folder, with these settings."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as stack:

        def runs(text: str, place: Path, **env: str) -> None:
            place.write_text(text)
            here = Running(f"http://127.0.0.1:{server.getsockname()[1]}", os.getpid(), "e", "us-west-2", "1")
            loaded = load(place, env={"OUTCROP_DATA_DIR": str(data), **env})
            stack.enter_context(recorded(record_path(data), judging(here, loaded)))

        yield runs


COMMANDS = [("explain", "claude-sonnet-4-5"), ("access", "list"), ("quota", "list")]


@pytest.mark.parametrize("command", COMMANDS)
def test_that_the_running_endpoint_has_other_settings_is_said(cli, endpoint, tmp_path, command):
    theirs = tmp_path / "theirs.toml"
    endpoint('[bedrock]\naccess = "request"\n', theirs)
    said = f"Warning: the running endpoint has other settings (file: {theirs}); this is judged by no file.\n"
    assert said in cli(*command).stderr
    ours = Path("outcrop.toml")
    ours.write_text('[bedrock]\nresidency = ["us"]\n')
    assert f"; this is judged by {ours.resolve()}.\n" in cli(*command).stderr
    ours.write_text('[bedrock]\naccess = "request"\n[server]\nport = 9999\n')  # another file, the same judge
    assert "Warning" not in cli(*command, code=int(command[0] == "explain")).stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_was_changed_since_is_not_called_another(cli, endpoint, command):
    ours = Path("outcrop.toml").resolve()
    endpoint("[bedrock]\nquotas = true\n", ours)
    assert "Warning" not in cli(*command).stderr
    ours.write_text("")
    assert f"judged by {ours} as it is now, with this command's flags" in cli(*command).stderr


def test_where_engines_stand_matters_to_explain_alone(cli, endpoint, tmp_path):
    endpoint('[engines.paris]\nregions = ["eu-west-3"]\n', tmp_path / "theirs.toml")
    said = ["Warning" in cli(*command).stderr for command in COMMANDS]
    assert said == [True, False, False]


def test_no_endpoint_is_no_warning_and_one_of_before_says_nothing_of_its_settings(cli, data):
    assert "Warning" not in cli("explain", "claude-sonnet-4-5").stderr
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = Running(f"http://127.0.0.1:{server.getsockname()[1]}", os.getpid(), "e", "us-west-2", "1")
        with recorded(record_path(data), here):
            assert "Warning" not in cli("explain", "claude-sonnet-4-5").stderr
