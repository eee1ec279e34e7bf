"""Every refusal, sent over the wire; and a choice of them through the real clients, as each shows it."""

import json
import os
import re
import xml.etree.ElementTree as ET

import anthropic
import boto3
import pytest
from botocore.exceptions import ClientError

from clients.conftest import NODE_FOLDER
from clients.refusals import ALL, STRICT, THROUGH_CLIENTS
from endpoint import start
from outcrop.wire.sigv4 import Credentials
from programs import run
from wireside import ask


@pytest.fixture(scope="session")
def strict_endpoint(tmp_path_factory):
    """A running endpoint with the settings that make it refuse what AWS refuses today."""
    endpoint = start(tmp_path_factory.mktemp("strict"), STRICT)
    yield endpoint
    endpoint.stop()


def pattern(text):
    return ".+".join(re.escape(part) for part in text.split("…"))


def seen_in(headers, body):
    """An error's name and text, in whichever of AWS's three shapes it came."""
    if headers["content-type"] == "text/xml":
        root = ET.fromstring(body)
        error = root.find("{*}Error")
        return error.findtext("{*}Code"), error.findtext("{*}Message")
    name = headers["x-amzn-errortype"].partition(":")[0]
    told = json.loads(body)
    return name, told.get("message", told.get("Message", ""))


@pytest.mark.parametrize("row", [row for _, row in ALL], ids=[f"{title}: {row.title}" for title, row in ALL])
def test_a_bad_request_is_refused_in_awss_words(row, endpoint, request):
    there = request.getfixturevalue("strict_endpoint") if row.strict else endpoint
    status, headers, body = ask(there, row.make(there))
    name, text = seen_in(headers, body)
    assert (status, name) == (row.status, row.name), text
    assert re.fullmatch(pattern(row.text), text, re.DOTALL), text
    assert headers["x-amzn-requestid"] or row.title.startswith(("no host", "two"))


# What an SDK of Anthropic's raises, by the reply's status.
KINDS = {400: "BadRequestError", 403: "PermissionDeniedError"}
cases = pytest.mark.parametrize("case", THROUGH_CLIENTS, ids=[case.title for case in THROUGH_CLIENTS])


def keys_of(case, endpoint):
    return case.keys(endpoint) if case.keys else Credentials(endpoint.access_key, endpoint.secret_key)


@pytest.fixture
def as_caller(endpoint, monkeypatch):
    """The environment of whoever calls in a case: keys, or an API key, which boto3 sends over TLS only."""

    def environment(case):
        keys = keys_of(case, endpoint)
        env = endpoint.env(
            tls=case.api_key is not None,
            AWS_ACCESS_KEY_ID=keys.access_key,
            AWS_SECRET_ACCESS_KEY=keys.secret,
            AWS_MAX_ATTEMPTS="1",
        )
        if keys.token:
            env["AWS_SESSION_TOKEN"] = keys.token
        if case.api_key is not None:
            env["AWS_BEARER_TOKEN_BEDROCK"] = case.api_key(endpoint)
        return env

    return environment


class TestThroughTheClients:
    @cases
    def test_boto3_shows_name_status_and_text(self, case, as_caller, monkeypatch):
        use(monkeypatch, as_caller(case))
        runtime = boto3.session.Session().client("bedrock-runtime")
        with pytest.raises(ClientError) as caught:
            runtime.invoke_model(modelId=case.model, body=json.dumps(case.body))
        shown = caught.value.response
        assert shown["ResponseMetadata"]["HTTPStatusCode"] == case.status
        assert (shown["Error"]["Code"], shown["Error"]["Message"]) == (case.name, case.text)

    @cases
    def test_the_aws_cli_shows_name_and_text(self, case, as_caller, aws, tmp_path):
        command = [aws, "bedrock-runtime", "invoke-model", "--model-id", case.model]
        done = run([*command, "--body", json.dumps(case.body), str(tmp_path / "reply")], as_caller(case))
        told = f"({case.name}) when calling the InvokeModel operation: {case.text}"
        assert done.returncode != 0
        assert told in done.stderr

    @cases
    def test_anthropics_python_sdk_shows_status_and_text(self, case, client_env):
        more = {k: v for k, v in case.body.items() if k not in ("max_tokens", "messages")}
        # to the constructor, because this SDK reads the environment's keys once in a process and keeps them
        if case.api_key:
            caller = {"api_key": case.api_key(client_env)}
        else:
            keys = keys_of(case, client_env)
            caller = {"aws_access_key": keys.access_key, "aws_secret_key": keys.secret}
            caller["aws_session_token"] = keys.token or None
        with pytest.raises(anthropic.APIStatusError) as caught:
            anthropic.AnthropicBedrock(**caller, max_retries=0).messages.create(
                model=case.model,
                max_tokens=case.body["max_tokens"],
                messages=case.body["messages"],
                extra_body=more,
            )
        error = caught.value
        assert (type(error).__name__, error.status_code) == (KINDS[case.status], case.status)
        assert error.body.get("message", error.body.get("Message")) == case.text
        assert error.response.headers["x-amzn-errortype"].partition(":")[0] == case.name

    def test_anthropics_typescript_sdk_shows_status_and_text(self, node, endpoint):
        asked = [
            {
                "title": case.title,
                "keys": [keys.access_key, keys.secret, keys.token],
                "apiKey": case.api_key(endpoint) if case.api_key else None,
                "model": case.model,
                "body": case.body,
            }
            for case in THROUGH_CLIENTS
            for keys in [keys_of(case, endpoint)]
        ]
        done = run([node, "refusals.mjs"], endpoint.env(), cwd=NODE_FOLDER, input=json.dumps(asked))
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        assert {title: (s["kind"], s["status"], s["name"]) for title, s in seen.items()} == {
            case.title: (KINDS[case.status], case.status, case.name) for case in THROUGH_CLIENTS
        }
        # its message is the status, and the body's `message` or, in API keys' refusals, the body
        assert {title: s["message"] for title, s in seen.items()} == {
            case.title: f"{case.status} "
            + (json.dumps({"Message": case.text}, separators=(",", ":")) if case.api_key else case.text)
            for case in THROUGH_CLIENTS
        }


def use(monkeypatch, env):
    for name in set(os.environ) - set(env):
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
