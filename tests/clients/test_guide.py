"""Every snippet of the guide, word for word as `docs/guide.md` quotes it, with real clients.

The endpoint is told by the environment alone. Only the three placeholders of keys are filled in, with
temporary credentials from STS.
"""

import json
import os
import re
import sys
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from anthropic import AnthropicBedrock

import outcrop
from clients.conftest import NODE_FOLDER
from clients.refusals import NO_MODEL, signed
from documents import blocks, read
from endpoint import SONNET
from programs import missing, run
from wireside import ask

PAGE = "docs/guide.md"
BLOCKS = blocks(PAGE)
BARE = SONNET.removeprefix("global.")
# the guide's table: a region from which each of its columns can be called
REGIONS = {
    "global": "us-west-2",
    "us": "us-west-2",
    "eu": "eu-central-1",
    "jp": "ap-northeast-1",
    "apac": "ap-northeast-1",
}
ANSWER = "Hello from the script."


def block(beginning, language):
    """The one block of a language that has this text in it."""
    found = [b for b in BLOCKS if b.language == language and beginning in b.text]
    assert len(found) == 1, [str(b) for b in found]
    return found[0].text


def both(language):
    """The two snippets that only ask, and print nothing: with a global id, with a bare one."""
    found = [
        b.text
        for b in BLOCKS
        if b.language == language and "print(" not in b.text and "console.log" not in b.text
    ]
    assert len(found) == 2
    return found


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def shell(endpoint, folder):
    """Runs lines in bash, the programs of this environment first on the path."""

    def execute(text, **more):
        env = endpoint.env(**more)
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
        done = run(["bash", "-euo", "pipefail", "-c", text], env, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return execute


@pytest.fixture
def python(endpoint, folder):
    """Runs a snippet as a script."""

    def execute(text):
        script = folder / "snippet.py"
        script.write_text(text, encoding="utf-8")
        done = run([sys.executable, str(script)], endpoint.env(), cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return execute


@pytest.fixture
def typescript(node, endpoint):
    """Runs a snippet with Node, which strips the types itself; beside the packages it imports."""
    version = run([node, "--version"], endpoint.env()).stdout
    if int(re.match(r"v(\d+)", version)[1]) < 24:
        missing(f"Node {version.strip()} does not run TypeScript as it is")

    def execute(text):
        script = NODE_FOLDER / f"guide-{uuid4().hex}.mts"
        script.write_text(text, encoding="utf-8")
        try:
            done = run([node, script.name], endpoint.env(), cwd=NODE_FOLDER)
        finally:
            script.unlink()
        assert done.returncode == 0, done.stderr
        return done.stdout

    return execute


@pytest.fixture
def with_keys(endpoint, client_env):
    """Puts temporary credentials in the place of the guide's placeholders."""
    made = boto3.session.Session().client("sts").get_session_token()["Credentials"]

    def fill(text):
        for placeholder, value in (
            ("<access key>", made["AccessKeyId"]),
            ("<secret key>", made["SecretAccessKey"]),
            ("<session_token>", made["SessionToken"]),
        ):
            assert text.count(placeholder) == 1
            text = text.replace(placeholder, value)
        return text

    return fill


def ours(snippet):
    """A snippet with Outcrop's client in place of Anthropic's."""
    assert snippet.count("from anthropic import AnthropicBedrock\n") == 1
    return snippet.replace("from anthropic import", "from outcrop import")


def asked(endpoint):
    return endpoint.answers.questions[-1]


class TestTheCommandLine:
    def test_who_am_i(self, shell, aws, endpoint):
        said = json.loads(shell(block("aws sts get-caller-identity", "sh")))
        assert said["Account"] == endpoint.keys.account

    def test_the_list_with_its_query(self, shell, aws):
        ids = json.loads(shell(block("aws bedrock list-foundation-models", "sh")))
        assert set(base_ids()) <= set(ids)

    @pytest.mark.parametrize("line", [b.text for b in BLOCKS if b.run == "pip"])
    def test_pip_finds_the_packages_installed_already(self, line, shell, folder):
        said = shell(line, PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
        redirected = folder / "=1.28.59"  # what the shell makes of the guide's last line
        assert redirected.exists() == (">=" in line)
        assert "Requirement already satisfied" in (redirected.read_text() if redirected.exists() else said)

    def test_what_npm_would_install_is_installed_at_the_version_of_the_lock(self):
        (line,) = [b.text for b in BLOCKS if b.run == "npm"]
        package = line.removeprefix("npm install ").strip()
        installed = NODE_FOLDER / "node_modules" / package / "package.json"
        if not installed.exists():
            missing("the Node clients are not installed: run `make clients`")
        lock = json.loads((NODE_FOLDER / "package-lock.json").read_text())
        locked = lock["packages"][f"node_modules/{package}"]["version"]
        assert json.loads(installed.read_text())["version"] == locked


class TestPython:
    def test_the_list_by_boto3(self, python):
        assert set(base_ids()) <= set(python(block("list_foundation_models", "python")).split())

    def test_hello_world_with_temporary_credentials(self, python, with_keys, endpoint):
        said = python(with_keys(block("aws_session_token=", "python")))
        assert f"text='{ANSWER}'" in said
        assert asked(endpoint).model.id == BARE

    def test_hello_world_by_boto3(self, python, endpoint):
        assert python(block("invoke_model", "python")) == f"[{{'type': 'text', 'text': '{ANSWER}'}}]\n"
        assert asked(endpoint).body["max_tokens"] == 256

    @pytest.mark.parametrize("which", [0, 1], ids=["global", "regional"])
    def test_the_two_kinds_of_endpoint(self, which, python, endpoint):
        assert python(both("python")[which]) == ""
        assert asked(endpoint).model.id == BARE

    def test_hello_world_with_only_the_import_changed(self, python, with_keys, endpoint):
        said = python(ours(with_keys(block("aws_session_token=", "python"))))
        assert f"text='{ANSWER}'" in said
        assert asked(endpoint).model.id == BARE

    @pytest.mark.parametrize("which", [0, 1], ids=["global", "regional"])
    def test_the_two_kinds_of_endpoint_with_only_the_import_changed(self, which, python, endpoint):
        assert python(ours(both("python")[which])) == ""
        assert asked(endpoint).model.id == BARE

    def test_without_a_region_ours_takes_the_guides_default(self, client_env, monkeypatch):
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name)
        assert outcrop.AnthropicBedrock().aws_region == "us-east-1"

    def test_without_a_region_the_sdk_of_today_refuses_to_guess(self, client_env, monkeypatch):
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name)
        with pytest.raises(ValueError, match="No AWS region was provided"):
            AnthropicBedrock()


class TestTypeScript:
    def test_hello_world_with_temporary_credentials(self, typescript, with_keys, endpoint):
        said = typescript(with_keys(block("awsSessionToken:", "ts")))
        assert ANSWER in said
        assert "stop_reason: 'end_turn'" in said
        assert asked(endpoint).model.id == BARE

    @pytest.mark.parametrize("which", [0, 1], ids=["global", "regional"])
    def test_the_two_kinds_of_endpoint(self, which, typescript, endpoint):
        assert typescript(both("ts")[which]) == ""
        assert asked(endpoint).model.id == BARE


def table():
    """The guide's table: base id, scope, whether the model has it."""
    lines = [line.split(" | ") for line in read(PAGE).splitlines() if line.startswith("| ")]
    scopes = [cell.strip(" |") for cell in lines[0][2:]]
    return [
        (line[1], scope, cell.strip(" |"))
        for line in lines[2:]
        for scope, cell in zip(scopes, line[2:], strict=True)
    ]


def base_ids():
    return sorted({base for base, _, _ in table()})


def test_the_table_has_the_guides_ten_models():
    assert len(base_ids()) == 10
    assert {cell for _, _, cell in table()} == {"yes", "no"}


@pytest.mark.parametrize(("base", "scope", "cell"), table())
def test_every_prefix_of_the_guides_table_is_as_it_says(base, scope, cell, endpoint):
    path = f"/model/{scope}.{base}/invoke"
    status, _, body = ask(endpoint, signed(endpoint, path, region=REGIONS[scope]).bytes())
    if cell == "yes":
        assert status == 200, body
    else:
        assert (status, json.loads(body)) == (400, {"message": NO_MODEL})


def test_the_marked_models_are_legacy_and_still_answer(endpoint, client_env):
    marked = [line.split(" | ")[1] for line in read(PAGE).splitlines() if "⚠ |" in line]
    listed = boto3.session.Session().client("bedrock").list_foundation_models()["modelSummaries"]
    of_the_guide = {model["modelId"]: model["modelLifecycle"] for model in listed}
    legacy = [base for base in base_ids() if of_the_guide[base]["status"] == "LEGACY"]
    assert sorted(marked) == legacy
    for base in marked:
        assert ask(endpoint, signed(endpoint, f"/model/us.{base}/invoke").bytes())[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/model-invocation-job"),
        ("PUT", "/logging/modelinvocations"),
        ("GET", "/logging/modelinvocations"),
    ],
)
def test_what_is_not_there_yet_is_an_unknown_operation(method, path, endpoint):
    status, headers, _ = ask(endpoint, signed(endpoint, path, b"", method).bytes())
    assert (status, headers["x-amzn-errortype"].partition(":")[0]) == (404, "UnknownOperationException")
