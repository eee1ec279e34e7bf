"""Temporary credentials end to end: by boto3, the AWS CLI and anthropic, all unmodified."""

from __future__ import annotations

import json
import os
import subprocess
import uuid

import anthropic
import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

from documents import blocks
from endpoint import REGION, SONNET
from outcrop.cli import awsprofile
from outcrop.service.identity import Identity
from people import allowing, trusting

ONCE = Config(retries={"total_max_attempts": 1})
HELLO = [{"role": "user", "content": [{"text": "Hello, world"}]}]
INVOKE = allowing("bedrock:InvokeModel*")


@pytest.fixture
def role(endpoint):
    """A role that trusts `tester` and may invoke models, with a name of its own."""
    trust = trusting(f"arn:aws:iam::{endpoint.keys.account}:user/tester")
    name = f"reader-{uuid.uuid4().hex[:8]}"
    return endpoint.keys.create_role(name, trust, policies={"p": INVOKE})


def client(service, session=None, **more):
    if session is not None:
        more |= {
            "aws_access_key_id": session["AccessKeyId"],
            "aws_secret_access_key": session["SecretAccessKey"],
            "aws_session_token": session["SessionToken"],
        }
    return boto3.client(service, config=ONCE, **more)


def assume(role, **more):
    return client("sts").assume_role(RoleArn=role.arn, RoleSessionName="job", **more)


def refused(call, *args, **kwargs):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*args, **kwargs)
    return caught.value.response["Error"]


@pytest.mark.usefixtures("client_env")
class TestSessions:
    def test_the_guides_session_token(self, endpoint):
        endpoint.answers.script("Hi!")
        session = client("sts").get_session_token()["Credentials"]
        guide = anthropic.AnthropicBedrock(
            aws_access_key=session["AccessKeyId"],
            aws_secret_key=session["SecretAccessKey"],
            aws_session_token=session["SessionToken"],
            aws_region=REGION,
            max_retries=0,
        )
        message = guide.messages.create(
            model=SONNET, max_tokens=256, messages=[{"role": "user", "content": "Hello, world"}]
        )
        assert message.content[0].text == "Hi!"
        reply = client("bedrock-runtime", session).converse(modelId=SONNET, messages=HELLO)
        assert reply["output"]["message"]["content"] == [{"text": "Hi!"}]
        error = refused(client("sts", session).get_session_token)
        assert error["Code"] == "AccessDenied"

    def test_a_role_is_assumed_and_is_who_it_says(self, endpoint, role):
        endpoint.answers.script("Hi!")
        told = assume(role)
        arn = f"arn:aws:sts::{endpoint.keys.account}:assumed-role/{role.name}/job"
        assert told["AssumedRoleUser"] == {"Arn": arn, "AssumedRoleId": f"{role.role_id}:job"}
        session = told["Credentials"]
        assert client("sts", session).get_caller_identity()["Arn"] == arn
        reply = client("bedrock-runtime", session).converse(modelId=SONNET, messages=HELLO)
        assert reply["output"]["message"]["content"] == [{"text": "Hi!"}]
        assert refused(client("bedrock", session).list_foundation_models)["Code"] == "AccessDeniedException"

    def test_a_session_policy_narrows_the_role(self, role):
        narrow = assume(role, Policy=allowing("bedrock:List*"))["Credentials"]
        error = refused(client("bedrock-runtime", narrow).converse, modelId=SONNET, messages=HELLO)
        assert "no session policy allows the bedrock:InvokeModel action" in error["Message"]

    def test_a_deleted_role_ends_its_sessions_at_once(self, endpoint, role):
        session = assume(role)["Credentials"]
        endpoint.keys.delete_role(role.arn)
        error = refused(client("bedrock-runtime", session).converse, modelId=SONNET, messages=HELLO)
        assert error["Code"] == "UnrecognizedClientException"
        assert refused(client("sts", session).get_caller_identity)["Code"] == "InvalidClientTokenId"
        assert refused(assume, role)["Code"] == "AccessDenied"

    def test_an_expired_session_is_told_so_by_both_services(self, endpoint):
        state = endpoint.store.snapshot()
        identity = Identity(endpoint.keys, REGION)
        made = identity.issue_session(endpoint.access_key, 900, 1_000_000_000, b"x" * 12, state).credentials
        session = {
            "AccessKeyId": made.access_key,
            "SecretAccessKey": made.secret,
            "SessionToken": made.token,
        }
        runtime, sts = client("bedrock-runtime", session), client("sts", session)
        assert refused(runtime.converse, modelId=SONNET, messages=HELLO)["Code"] == "ExpiredTokenException"
        assert refused(sts.get_caller_identity)["Code"] == "ExpiredToken"

    def test_what_is_wrong_with_a_form_has_awss_name(self, role):
        assert refused(assume, role, DurationSeconds=7200)["Code"] == "ValidationError"
        assert refused(assume, role, Policy="{")["Code"] == "MalformedPolicyDocument"
        assert refused(assume, role, Policy=" " * 3000)["Code"] == "PackedPolicyTooLarge"

    def test_the_aws_cli_assumes_a_role_from_a_profile(self, endpoint, role, aws, tmp_path):
        config = tmp_path / "config"
        config.write_text(
            f"[profile reader]\nrole_arn = {role.arn}\nsource_profile = base\nregion = {REGION}\n"
        )
        credentials = tmp_path / "credentials"
        credentials.write_text(
            f"[base]\naws_access_key_id = {endpoint.access_key}\n"
            f"aws_secret_access_key = {endpoint.secret_key}\n"
        )
        inherited = {
            name: value
            for name, value in endpoint.env().items()
            if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        }
        env = inherited | {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
        done = subprocess.run(
            [aws, "--profile", "reader", "sts", "get-caller-identity"],
            env=env | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f":assumed-role/{role.name}/" in json.loads(done.stdout)["Arn"]

    def test_a_profile_as_the_page_has_it_assumes_a_role(self, endpoint, role, aws, tmp_path, monkeypatch):
        """Addresses come from the profiles alone, as where nobody ran `eval "$(outcrop env)"`."""
        endpoint.answers.script("Hi!")
        (page,) = (block.text for block in blocks("docs/clients.md") if "role_arn" in block.text)
        page = page.replace("arn:aws:iam::123456789012:role/reader", role.arn)
        config, credentials = tmp_path / "config", tmp_path / "credentials"
        config.write_text(awsprofile.config_with(page, "outcrop", endpoint.url, REGION))
        pair = (endpoint.access_key, endpoint.secret_key)
        credentials.write_text(awsprofile.credentials_with("", "outcrop", *pair, ()))
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
        who = subprocess.run(
            [aws, "--profile", "reader", "sts", "get-caller-identity"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert who.returncode == 0, who.stderr
        assert f":assumed-role/{role.name}/" in json.loads(who.stdout)["Arn"]
        runtime = boto3.Session(profile_name="reader").client("bedrock-runtime", config=ONCE)
        reply = runtime.converse(modelId=SONNET, messages=HELLO)
        assert reply["output"]["message"]["content"] == [{"text": "Hi!"}]
