"""`outcrop residency report`: what was recorded, for people and programs, and whether it stayed within.

And the banner of `outcrop serve`, which is the first to say whether regions are simulated.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest

from guide_table import SONNET_45
from outcrop.cli.keys import OwnKey, moment, principals_of, state_path
from outcrop.cli.running import Running
from outcrop.cli.serve import banner
from outcrop.config import Data, Settings, load
from outcrop.store.calls import CallLog, CallRecord, Contact

EU = f"eu.{SONNET_45}"
OHIO = Contact("ohio", "us-east-2")
PARIS, STOCKHOLM = Contact("paris", "eu-west-1"), Contact("stockholm", "eu-north-1")
EUROPE = ("eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3")


@pytest.fixture
def account(data: Path) -> str:
    principals = principals_of(Settings(data=Data(data)))
    made = principals.account
    principals.store.close()
    return made


@pytest.fixture
def recorded(data: Path, account: str):
    """Write records: of calls of `eu.` from eu-west-1, answered there, but for what is said."""

    def write(*differences: dict) -> None:
        user = f"arn:aws:iam::{account}:user/dev"
        usual = CallRecord(
            request_id="r-1",
            received=time.time() - 60,
            account=account,
            principal=user,
            owner=user,
            key="AKIA",
            operation="Converse",
            model_id=EU,
            region="eu-west-1",
            status="answered",
            profile=EU,
            allowed=EUROPE,
            contacted=(PARIS,),
            destination="eu-west-1",
            engine="messages/x",
        )
        log = CallLog(state_path(data))
        for difference in differences:
            log.add(msgspec.structs.replace(usual, **difference))
        log.close()

    return write


def told(cli, *arguments: str, code: int = 0):
    return json.loads(cli("residency", "report", "--output", "json", *arguments, code=code).stdout)


def test_nothing_was_sent_from_a_fresh_install(cli):
    shown = cli("residency", "report").stdout
    assert shown.startswith("0 calls since ")
    assert shown.endswith("None left the regions it was allowed.\n")
    found = told(cli)
    assert (found["calls"], found["routes"], found["violations"]) == (0, [], [])


def test_calls_are_listed_by_caller_id_source_and_destination(cli, recorded, account):
    moved = {"contacted": (STOCKHOLM, PARIS)}
    recorded({}, {}, moved, {"contacted": (), "destination": "", "engine": "", "status": "failed"})
    found = told(cli)
    row = {
        "account": account,
        "caller": f"arn:aws:iam::{account}:user/dev",
        "called": EU,
        "profile": EU,
        "from": "eu-west-1",
        "simulated": False,
    }
    assert found["routes"] == [
        {**row, "sent_to": "eu-north-1", "engine": "stockholm", "sent": 1, "failed": 1},
        {**row, "sent_to": "eu-west-1", "engine": "paris", "sent": 3, "failed": 0},
    ]
    assert (found["calls"], found["unsent"], found["violated"]) == (4, 1, 0)
    assert (found["sent"], found["failed"]) == (4, 1)
    shown = cli("residency", "report").stdout
    assert shown.split("\n")[0].split() == [
        "ACCOUNT",
        "CALLER",
        "CALLED",
        "FROM",
        "SENT",
        "TO",
        "ENGINE",
        "SENT",
        "FAILED",
    ]
    assert "eu-north-1  stockholm  1     1" in shown
    assert "eu-west-1   paris      3     0" in shown
    assert "4 calls (1 of them sent nowhere), 4 sendings (1 of them failed) since " in shown
    assert "(simulated)" not in shown


def test_teams_with_profiles_of_their_own_are_told_apart(cli, recorded, account):
    arn = f"arn:aws:bedrock:eu-west-1:{account}:application-inference-profile/abcdefghijkl"
    recorded({}, {"model_id": arn})
    assert {(row["called"], row["profile"]) for row in told(cli)["routes"]} == {(EU, EU), (arn, EU)}
    assert arn in cli("residency", "report").stdout
    assert told(cli, "--within", "eu-north-1", code=1)["violations"][1]["called"] == arn


def test_a_simulated_region_is_said_to_be_one(cli, recorded):
    anywhere = Contact("local", "eu-west-1", simulated=True)
    recorded({"simulated": True, "engine": "local/small", "contacted": (anywhere,)})
    shown = cli("residency", "report").stdout
    assert "eu-west-1 (simulated)" in shown
    assert "(simulated): one engine stands for every region, and the region is a label only." in shown
    assert "1 call, 1 sending since " in shown
    (row,) = told(cli)["routes"]
    assert (row["sent_to"], row["simulated"]) == ("eu-west-1", True)  # a program gets the name alone


def test_so_is_one_of_which_no_answer_came(cli, recorded):
    anywhere = Contact("local", "eu-west-1", simulated=True)
    recorded({"contacted": (anywhere,), "destination": "", "engine": "", "status": "failed"})
    assert "eu-west-1 (simulated)  local   1     1" in cli("residency", "report").stdout


def test_one_that_left_its_set_fails_the_report_and_is_named(cli, recorded, account):
    when = time.time() - 120
    outside = {"request_id": "r-2", "received": when, "contacted": (OHIO,), "destination": "us-east-2"}
    recorded({}, outside)
    found = told(cli, code=1)
    assert found["violated"] == 1
    assert found["violations"] == [
        {
            "when": moment(when),
            "request_id": "r-2",
            "caller": f"arn:aws:iam::{account}:user/dev",
            "called": EU,
            "from": "eu-west-1",
            "sent_to": "us-east-2",
            "why": f"the call was allowed {', '.join(EUROPE)}",
        }
    ]
    shown = cli("residency", "report", code=1).stdout
    assert "1 sending was outside of what was allowed:" in shown
    assert "r-2" in shown
    assert "outcrop users bind" in shown
    assert "None left" not in shown


def test_of_many_the_first_hundred_are_listed_and_it_says_so(cli, recorded):
    recorded(*[{"allowed": ()}] * 120)
    shown = cli("residency", "report", code=1).stdout
    assert "120 sendings were outside of what was allowed; the first 100:" in shown
    assert shown.count("r-1") == 100


def test_within_holds_them_to_regions_or_a_geography(cli, recorded):
    recorded({}, {"contacted": (STOCKHOLM,), "destination": "eu-north-1"})
    assert told(cli, "--within", "eu")["violated"] == 0
    assert told(cli, "--within", "eu-west-1", "--within", "eu-north-1")["violated"] == 0
    found = told(cli, "--within", "eu-west-1", code=1)
    assert [one["sent_to"] for one in found["violations"]] == ["eu-north-1"]


def test_since_and_account_narrow_it(cli, recorded, account):
    cli("users", "account", "create", "sales")
    other = next(row["id"] for row in _accounts(cli) if row["name"] == "sales")
    recorded({}, {"received": time.time() - 7200}, {"account": other})
    assert told(cli)["calls"] == 3
    assert told(cli, "--since", "1h")["calls"] == 2
    assert told(cli, "--account", "sales")["calls"] == 1
    assert told(cli, "--account", account, "--since", "90m")["calls"] == 1


def test_what_is_longer_ago_than_time_itself_is_1970(cli, recorded):
    recorded({})
    found = told(cli, "--since", "1000000d")
    assert (found["since"], found["calls"]) == ("1970-01-01T00:00:00Z", 1)
    assert (
        "1 call, 1 sending since 1970-01-01T00:00:00Z."
        in cli("residency", "report", "--since", "9999999999d").stdout
    )


def _accounts(cli) -> list[dict]:
    return json.loads(cli("users", "account", "list", "--output", "json").stdout)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--within", "europa"), 2, "Geographies are"),
        (("--within", "eu-wets-1"), 2, "eu-west-1"),
        (("--since", "soon"), 2, "90m, 12h or 30d"),
        (("--account", "nobody"), 1, "outcrop users account list"),
    ],
)
def test_what_is_not_there_is_refused_with_what_to_do(cli, arguments, code, says):
    assert says in cli("residency", "report", *arguments, code=code).stderr


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("", "simulated: one engine stands for all of them"),
        (
            '[engines.a]\nregions = ["us-east-1"]\n[engines.b]\nregions = ["eu-west-1"]',
            "eu-west-1, us-east-1",
        ),
        (
            '[engines.a]\nregions = ["us-east-1"]\n[engines.b]',
            "us-east-1; engines without regions may answer for any region",
        ),
    ],
)
def test_the_banner_says_which_regions_are_real(settings, says):
    Path("outcrop.toml").write_text(settings)
    running = Running("http://127.0.0.1:8080", 1, "e", "us-west-2", "1")
    shown = banner(load(), running, OwnKey("AKIA", "secret", "local"))
    (line,) = (line for line in shown.splitlines() if line.startswith("  regions "))
    assert line.split(maxsplit=1)[1] == says
