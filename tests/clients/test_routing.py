"""Where real clients' calls run: engines in regions, asked through boto3, anthropic and the Node clients.

Each engine answers with its own name. After each test, the report over its records has to find no violation.
"""

from __future__ import annotations

import json

import anthropic
import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

from clients.conftest import NODE_FOLDER
from endpoint import Answers, start, wait_until
from guide_table import HAIKU_3, SONNET_45
from outcrop.catalog import Catalog
from outcrop.engine.scripted import Script
from outcrop.service.routing.places import Place
from outcrop.service.routing.report import report
from outcrop.store.calls import CallLog, Contact
from outcrop.store.sqlite import STATE
from people import allowing, trusting
from programs import run

CATALOG = Catalog.load()
ONCE = Config(retries={"total_max_attempts": 1})
HELLO = [{"role": "user", "content": [{"text": "Hello, world"}]}]
PLAIN = [{"role": "user", "content": "Hello, world"}]
WHERE = {
    "oregon": "us-west-2",
    "ohio": "us-east-2",
    "frankfurt": "eu-central-1",
    "paris": "eu-west-3",
    "tokyo": "ap-northeast-1",
}
NAMED = {region: name for name, region in WHERE.items()}
EUROPE = {"frankfurt", "paris"}
DOWN = Script(error="ServiceUnavailableException", message="down")
BUSY = Script(error="ThrottlingException", message="busy")
BREAKS = Script(text="One two three four", error="ModelStreamErrorException", message="cut", break_after=3)


class Named(Answers):
    """An engine under a name of its own, with which it answers."""

    name = ""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.script(name)


@pytest.fixture
def engines():
    return {name: Named(name) for name in WHERE}


@pytest.fixture
def endpoint(tmp_path, engines):
    """An endpoint of this test's own."""
    places = [Place(name, engine, frozenset({WHERE[name]})) for name, engine in engines.items()]
    running = start(tmp_path, places=places)
    yield running
    running.stop()
    log = CallLog(tmp_path / STATE)
    told = report(CATALOG, log.read())
    log.close()
    assert told.violations == ()


@pytest.fixture
def record(tmp_path, client_env):
    """The record of the call with a request id, once it is written."""
    log = CallLog(tmp_path / STATE)

    def find(request_id):
        found = []

        def there():
            found[:] = [one for one in log.read() if one.request_id == request_id]
            return found

        wait_until(there)
        return found[0]

    find.log = log
    yield find
    log.close()


def client(region, service="bedrock-runtime", session=None):
    more = {}
    if session is not None:
        more["aws_access_key_id"] = session["AccessKeyId"]
        more["aws_secret_access_key"] = session["SecretAccessKey"]
        more["aws_session_token"] = session["SessionToken"]
    # a session of its own: boto3 keeps the credentials of the default one, and each test has others
    return boto3.session.Session().client(service, region_name=region, config=ONCE, **more)


def messages(endpoint, region):
    """Anthropic's client, with its keys given: it would keep those of the environment for good."""
    keys = {"aws_access_key": endpoint.access_key, "aws_secret_key": endpoint.secret_key}
    return anthropic.AnthropicBedrock(aws_region=region, max_retries=0, **keys).messages


def converse(runtime, model_id):
    """Who answered, the reply's headers, and its request id."""
    reply = runtime.converse(modelId=model_id, messages=HELLO)
    told = reply["ResponseMetadata"]
    return reply["output"]["message"]["content"][0]["text"], told["HTTPHeaders"], told["RequestId"]


def refused(call, *args, **kwargs):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*args, **kwargs)
    return caught.value.response["Error"]


def asked(engines):
    """How many questions each engine got; those that got none are left out."""
    return {name: len(engine.questions) for name, engine in engines.items() if engine.questions}


def where(kept):
    """The regions that a recorded call was sent to."""
    return tuple(contact.region for contact in kept.contacted)


def fails(engines, script, *names):
    for name in names:
        engines[name].script(script)


# --- which regions ---------------------------------------------------------------------------------------


def test_global_runs_wherever_one_can(engines, record):
    fails(engines, DOWN, *WHERE.keys() - {"tokyo"})
    who, headers, request_id = converse(client("us-west-2"), f"global.{SONNET_45}")
    assert who == "tokyo"
    assert (headers["x-outcrop-region"], headers["x-outcrop-engine"]) == ("ap-northeast-1", "tokyo")
    assert "x-outcrop-regions" not in headers  # only simulated ones are spoken of
    kept = record(request_id)
    assert (kept.destination, kept.engine, kept.simulated) == ("ap-northeast-1", "tokyo", False)
    assert kept.contacted[-1] == Contact("tokyo", "ap-northeast-1")
    assert kept.allowed is None  # nothing bound it
    assert set(where(kept)) <= set(WHERE.values())


def test_eu_stays_in_the_eu(engines, record):
    runtime = client("eu-central-1")
    for _ in range(12):
        who, headers, request_id = converse(runtime, f"eu.{SONNET_45}")
        assert headers["x-outcrop-region"] == WHERE[who]
    assert record(request_id).destination == WHERE[who]
    assert sum(asked(engines).values()) == 12
    assert asked(engines).keys() == EUROPE


def test_eu_stays_in_the_eu_though_only_others_are_well(engines, record):
    fails(engines, DOWN, *EUROPE)
    error = refused(client("eu-central-1").converse, modelId=f"eu.{SONNET_45}", messages=HELLO)
    assert error["Code"] == "ServiceUnavailableException"
    assert asked(engines) == {"frankfurt": 1, "paris": 1}
    wait_until(lambda: list(record.log.read()))
    (kept,) = record.log.read()
    assert (kept.status, kept.destination) == ("failed", "")
    assert set(where(kept)) == {"eu-central-1", "eu-west-3"}


@pytest.mark.parametrize(
    ("region", "profile", "may"),
    [("eu-west-1", f"eu.{SONNET_45}", EUROPE), ("us-west-2", f"us.{SONNET_45}", {"oregon", "ohio"})],
)
def test_a_bare_id_means_the_regional_endpoint(engines, record, region, profile, may):
    who, headers, request_id = converse(client(region), SONNET_45)
    assert who in may
    assert NAMED[headers["x-outcrop-region"]] == who
    kept = record(request_id)
    assert (kept.model_id, kept.profile, kept.region) == (SONNET_45, profile, region)
    assert set(where(kept)) <= set(CATALOG.profile(profile).destinations(region))


def test_an_older_model_runs_where_it_is_called_from(engines, record):
    who, _, request_id = converse(client("us-west-2"), HAIKU_3)
    assert who == "oregon"
    kept = record(request_id)
    assert (kept.profile, where(kept)) == ("", ("us-west-2",))


def test_where_no_engine_stands_it_says_so_and_nobody_is_asked(engines, record):
    error = refused(client("ap-southeast-2").converse, modelId=f"au.{SONNET_45}", messages=HELLO)
    assert error["Code"] == "ServiceUnavailableException"
    assert error["Message"].startswith(f"No engine of this endpoint serves {SONNET_45} in ap-southeast-2")
    assert asked(engines) == {}


@pytest.mark.usefixtures("client_env")
def test_anthropic_is_told_the_region_too(endpoint, engines):
    create = messages(endpoint, "eu-central-1").with_raw_response.create
    raw = create(model=f"eu.{SONNET_45}", max_tokens=16, messages=PLAIN)
    who = raw.parse().content[0].text
    assert who in EUROPE
    assert raw.headers["x-outcrop-region"] == WHERE[who]
    assert asked(engines) == {who: 1}


@pytest.mark.parametrize("step", ["messages", "converse"])
def test_the_node_clients_stay_in_the_eu(node, endpoint, engines, step):
    fails(engines, DOWN, "frankfurt")
    env = endpoint.env(AWS_REGION="eu-central-1", AWS_DEFAULT_REGION="eu-central-1")
    done = run([node, "profiles.mjs", step, f"eu.{SONNET_45}"], env, cwd=NODE_FOLDER)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"text": "paris"}
    assert asked(engines).keys() <= EUROPE


# --- failing ---------------------------------------------------------------------------------------------


def until_asked(engine, once):
    """The last result of calls that go on until an engine was asked: equals are tried in a random order."""
    for _ in range(40):
        told = once()
        if engine.questions:
            return told
    pytest.fail("it was never asked")


@pytest.mark.parametrize("fault", [DOWN, BUSY], ids=["503", "429"])
def test_one_that_fails_before_the_first_event_is_replaced_and_the_record_names_both(engines, record, fault):
    fails(engines, fault, "frankfurt")
    runtime = client("eu-central-1")
    who, headers, request_id = until_asked(engines["frankfurt"], lambda: converse(runtime, f"eu.{SONNET_45}"))
    assert (who, headers["x-outcrop-region"]) == ("paris", "eu-west-3")
    kept = record(request_id)
    assert (where(kept), kept.destination) == (("eu-central-1", "eu-west-3"), "eu-west-3")
    assert (kept.status, kept.error) == ("answered", "")


@pytest.mark.parametrize("fault", [DOWN, BUSY, Script(error="ModelErrorException", break_after=0)])
def test_so_is_one_that_fails_before_the_first_event_of_a_stream(engines, record, fault):
    fails(engines, fault, "ohio")
    runtime = client("us-west-2")

    def once():
        reply = runtime.converse_stream(modelId=f"us.{SONNET_45}", messages=HELLO)
        deltas = [event["contentBlockDelta"] for event in reply["stream"] if "contentBlockDelta" in event]
        return "".join(delta["delta"]["text"] for delta in deltas), reply["ResponseMetadata"]

    text, told = until_asked(engines["ohio"], once)
    assert text == "oregon"
    assert told["HTTPHeaders"]["x-outcrop-region"] == "us-west-2"
    assert where(record(told["RequestId"])) == ("us-east-2", "us-west-2")


def test_a_stream_that_breaks_off_ends_in_an_exception_frame_and_nobody_else_is_asked(engines, record):
    fails(engines, BREAKS, *WHERE)
    reply = client("us-west-2").converse_stream(modelId=f"global.{SONNET_45}", messages=HELLO)
    seen = []
    with pytest.raises(botocore.exceptions.EventStreamError) as caught:
        seen.extend(reply["stream"])
    assert "modelStreamErrorException" in str(caught.value)
    assert "contentBlockDelta" in seen[-1]
    assert sum(asked(engines).values()) == 1
    (name,) = asked(engines)
    kept = record(reply["ResponseMetadata"]["RequestId"])
    assert (where(kept), kept.destination) == ((WHERE[name],), WHERE[name])
    assert (kept.status, kept.error) == ("failed", "ModelStreamErrorException")


# --- bindings and policies -------------------------------------------------------------------------------


def test_an_account_bound_to_the_eu_is_refused_elsewhere_and_nobody_is_asked(endpoint, engines, record):
    endpoint.keys.bind(endpoint.keys.account, ["eu"])
    error = refused(client("us-west-2").converse, modelId=f"us.{SONNET_45}", messages=HELLO)
    assert error["Code"] == "AccessDeniedException"
    assert f"the account {endpoint.keys.account} is bound to eu" in error["Message"]
    assert f"eu.{SONNET_45} from eu-central-1" in error["Message"]
    assert refused(client("us-west-2").converse, modelId=f"global.{SONNET_45}", messages=HELLO)
    with pytest.raises(anthropic.PermissionDeniedError, match="is bound to eu"):
        messages(endpoint, "us-west-2").create(model=f"us.{SONNET_45}", max_tokens=16, messages=PLAIN)
    assert asked(engines) == {}
    # what was refused was sent nowhere, and leaves no record; a call that is sent shows that they are written
    who, _, request_id = converse(client("eu-central-1"), f"global.{SONNET_45}")
    assert who in EUROPE
    assert set(record(request_id).allowed) == CATALOG.geography("eu") & set(
        CATALOG.profile(f"global.{SONNET_45}").destinations("eu-central-1")
    )
    assert len(list(record.log.read())) == 1
    assert asked(engines).keys() <= EUROPE


def test_a_policy_against_one_destination_refuses_the_whole_profile(endpoint, engines, record):
    fence = {
        "Effect": "Deny",
        "Action": "bedrock:*",
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:RequestedRegion": "us-east-1"}},
    }
    tester = f"arn:aws:iam::{endpoint.keys.account}:user/tester"
    endpoint.keys.set_policy(tester, "fence", json.dumps({"Version": "2012-10-17", "Statement": [fence]}))
    text = (
        f"User: {tester} is not authorized to perform: bedrock:InvokeModel on resource: "
        f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET_45} "
        "with an explicit deny in an identity-based policy"
    )
    error = refused(client("us-west-2").converse, modelId=f"us.{SONNET_45}", messages=HELLO)
    assert (error["Code"], error["Message"]) == ("AccessDeniedException", text)
    with pytest.raises(anthropic.PermissionDeniedError) as caught:
        messages(endpoint, "us-west-2").create(model=f"us.{SONNET_45}", max_tokens=16, messages=PLAIN)
    assert text in str(caught.value)
    assert asked(engines) == {}
    assert converse(client("eu-central-1"), f"eu.{SONNET_45}")[0] in EUROPE
    assert converse(client("us-west-2"), f"global.{SONNET_45}")  # it asks for `unspecified`


def test_a_roles_session_calls_as_the_role_may_and_within_its_binding(endpoint, engines, record):
    keys = endpoint.keys
    trust = trusting(f"arn:aws:iam::{keys.account}:user/tester")
    only = {
        "eu": allowing("bedrock:InvokeModel*", resource="arn:aws:bedrock:eu-*:*:*"),
        "global": allowing(
            "bedrock:InvokeModel*", resource=f"arn:aws:bedrock:::foundation-model/{SONNET_45}"
        ),
    }
    role = keys.create_role("reader", trust, policies=only)
    keys.bind(role.arn, ["eu-central-1", "eu-west-3"])
    fails(engines, DOWN, "frankfurt")
    sts = client("eu-central-1", "sts")
    session = sts.assume_role(RoleArn=role.arn, RoleSessionName="job")["Credentials"]
    runtime = client("eu-central-1", session=session)
    for model_id in (f"eu.{SONNET_45}", f"global.{SONNET_45}"):
        who, headers, request_id = converse(runtime, model_id)
        assert (who, headers["x-outcrop-region"]) == ("paris", "eu-west-3")
        kept = record(request_id)
        arn = f"arn:aws:sts::{keys.account}:assumed-role/reader/job"
        assert (kept.principal, kept.owner, kept.key) == (arn, role.arn, session["AccessKeyId"])
        assert kept.allowed == ("eu-central-1", "eu-west-3")
    elsewhere = client("us-west-2", session=session)
    error = refused(elsewhere.converse, modelId=f"us.{SONNET_45}", messages=HELLO)
    assert error["Message"].startswith(f"User: {arn} is not authorized to perform: bedrock:InvokeModel on")
    assert asked(engines).keys() <= EUROPE


# --- simulated -------------------------------------------------------------------------------------------


class TestSimulated:
    @pytest.fixture
    def endpoint(self, tmp_path):
        running = start(tmp_path)
        yield running
        running.stop()

    @pytest.mark.parametrize("model_id", [f"global.{SONNET_45}", SONNET_45])
    def test_every_reply_and_the_record_say_so(self, endpoint, record, model_id):
        endpoint.answers.script("hi")
        runtime = client("us-west-2")
        _, headers, request_id = converse(runtime, model_id)
        body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 16, "messages": PLAIN})
        replies = [
            runtime.invoke_model(modelId=model_id, body=body),
            runtime.count_tokens(modelId=SONNET_45, input={"invokeModel": {"body": body}}),
        ]
        for reply in (
            runtime.converse_stream(modelId=model_id, messages=HELLO),
            runtime.invoke_model_with_response_stream(modelId=model_id, body=body),
        ):
            replies.append(reply)
            list(reply.get("stream") or reply["body"])
        every = [headers, *(reply["ResponseMetadata"]["HTTPHeaders"] for reply in replies)]
        assert {one["x-outcrop-region"] for one in every} == {"us-west-2"}
        assert {one["x-outcrop-regions"] for one in every} == {"simulated"}
        kept = record(request_id)
        assert (kept.destination, kept.simulated) == ("us-west-2", True)
