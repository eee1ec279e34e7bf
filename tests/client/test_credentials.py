"""Who signs: the order of the sources, each of them against botocore's own resolution."""

import os
import pickle
import shlex
import subprocess
import sys
import threading
import time
from hashlib import sha1
from json import dumps

import botocore.credentials
import botocore.exceptions
import botocore.session
import botocore.tokens
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client import standins
from outcrop.client import credentials
from outcrop.client.credentials import ApiKey, find_source
from outcrop.client.errors import ConfigFileError, CredentialsError, UsageError
from outcrop.client.profiles import Files
from outcrop.wire.sigv4 import Credentials

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REGION = "us-west-2"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An environment without AWS in it and a home of its own; no instance metadata."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "BOTO")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # botocore asks for the home when it is imported
    cache = str(tmp_path / ".aws" / "sso" / "cache")
    monkeypatch.setattr(botocore.credentials.SSOProvider, "_SSO_TOKEN_CACHE_DIR", cache)
    monkeypatch.setattr(botocore.tokens.SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", cache)
    (tmp_path / ".aws").mkdir()
    return tmp_path


@pytest.fixture
def standin():
    with standins.running() as standin:
        yield standin


def write(home, config="", shared=""):
    for name, text in (("config", config), ("credentials", shared)):
        (home / ".aws" / name).write_text(text)


def find(environ=None, **given):
    """A source; what is not given is None, and the environment is the process's."""
    arguments = dict.fromkeys(("access_key", "secret_key", "session_token", "api_key", "profile"))
    environ = os.environ if environ is None else environ
    return find_source(**(arguments | given), environ=environ, region=REGION)


def botocores(profile=None):
    """botocore's credentials in this process's environment, None when it finds none."""
    session = botocore.session.Session(profile=profile)
    session.set_config_variable("region", REGION)
    return session.get_credentials()


def as_botocore(profile=None):
    """The source, its keys equal to botocore's."""
    source = find(profile=profile)
    assert not source.ready
    ours = source.get()
    theirs = botocores(profile).get_frozen_credentials()
    assert (ours.access_key, ours.secret, ours.token) == (
        theirs.access_key,
        theirs.secret_key,
        theirs.token or "",
    )
    return source


def refusal(**given):
    with pytest.raises(CredentialsError) as caught:
        find(**given).get()
    error = caught.value
    assert error.fix
    assert SECRET not in f"{error!r} {error} {error.fix}"
    return f"{error.what} {error.fix}"


# ── arguments ─────────────────────────────────────────────────────────────────────────────────────


def test_key_arguments_come_first(home):
    environ = ENVIRONMENT | {"AWS_BEARER_TOKEN_BEDROCK": "key", "AWS_PROFILE": "missing"}
    for token in (None, "", "token"):
        source = find(environ, access_key="AKIA", secret_key=SECRET, session_token=token)
        assert source.get() == Credentials("AKIA", SECRET, token or "")
        assert source.origin == "the arguments (aws_access_key)"
        assert source.fixed
        assert source.ready


def test_keys_and_a_profile_go_together_and_the_keys_sign(home):
    assert find({}, access_key="AKIA", secret_key="s", profile="dev").get() == Credentials("AKIA", "s")


def test_an_api_key_argument_goes_before_the_environment(home):
    source = find(ENVIRONMENT | {"AWS_BEARER_TOKEN_BEDROCK": "other"}, api_key="ABSK+/=")
    assert source.get() == ApiKey("ABSK+/=")
    assert source.origin == "the argument api_key"
    assert source.fixed


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"access_key": "AKIA"}, "aws_access_key is given without aws_secret_key"),
        ({"secret_key": SECRET}, "aws_secret_key is given without aws_access_key"),
        ({"session_token": SECRET}, "aws_session_token is given without aws_access_key and aws_secret_key"),
        ({"access_key": "AKIA", "session_token": "t"}, "aws_access_key is given without aws_secret_key"),
        ({"access_key": "AKIA", "secret_key": ""}, "The argument aws_secret_key is empty"),
        ({"api_key": ""}, "The argument api_key is empty"),
        ({"profile": ""}, "The argument aws_profile is empty"),
        ({"api_key": SECRET, "access_key": "A", "secret_key": "s"}, "api_key and aws_access_key contradict"),
        ({"api_key": SECRET, "secret_key": "s"}, "api_key and aws_secret_key contradict"),
        ({"api_key": SECRET, "session_token": "s"}, "api_key and aws_session_token contradict"),
        ({"api_key": SECRET, "profile": "dev"}, "api_key and aws_profile contradict"),
        ({"api_key": SECRET + "\n"}, "The API key in the argument api_key holds a blank, a line break"),
        ({"api_key": " " + SECRET}, "The API key in the argument api_key holds a blank"),
        ({"api_key": SECRET + "\xe9"}, "The API key in the argument api_key holds a blank"),
        (
            {"access_key": "AKIA\n", "secret_key": SECRET},
            "The access key in the arguments holds a line break",
        ),
        ({"access_key": "AKIA", "secret_key": SECRET + "\n"}, "The secret key in the arguments holds a line"),
        (
            {"access_key": "A", "secret_key": "s", "session_token": "t\r"},
            "The session token in the arguments",
        ),
    ],
)
def test_contradictions_and_halves_in_the_arguments_are_refused_at_once(given, part):
    with pytest.raises(CredentialsError) as caught:
        find(ENVIRONMENT | {"AWS_BEARER_TOKEN_BEDROCK": "key"}, **given)
    assert part in caught.value.what
    assert caught.value.fix
    assert SECRET not in f"{caught.value!r} {caught.value}"


def test_exchanged_keys_are_told_wherever_they_are(home):
    key_id = "AKIAIOSFODNN7EXAMPLE"
    write(home, shared=f"[dev]\naws_access_key_id = {SECRET}\naws_secret_access_key = {key_id}\n")
    in_environment = {"AWS_ACCESS_KEY_ID": SECRET, "AWS_SECRET_ACCESS_KEY": key_id}
    for environ, keys, origin in (
        ({}, {"access_key": SECRET, "secret_key": key_id}, "the arguments"),
        ({}, {"access_key": "short/one", "secret_key": "ASIAIOSFODNN7EXAMPLE"}, "the arguments"),
        (in_environment, {}, "the environment"),
        (os.environ, {"profile": "dev"}, "profile 'dev' in ~/.aws/credentials"),
    ):
        text = refusal(environ=environ, **keys)
        assert f"The access key and the secret key in {origin} look exchanged." in text
        assert ("write aws_access_key=" in text) == (origin == "the arguments")


@pytest.mark.parametrize(
    ("access_key", "secret"),
    [
        ("AKIAIOSFODNN7EXAMPLE", SECRET),
        ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("AKIDEXAMPLE", "secret"),
        ("test", "AKIAIOSFODNN7EXAMPLE"),
        (SECRET, SECRET),
        (SECRET, "AKIA"),
        (SECRET, "AKIAiosfodnn7example"),
    ],
)
def test_keys_of_other_forms_are_taken_as_they_are(access_key, secret):
    found = find({}, access_key=access_key, secret_key=secret).get()
    assert (found.access_key, found.secret) == (access_key, secret)


@pytest.mark.parametrize("name", ["access_key", "secret_key", "session_token", "profile"])
@pytest.mark.parametrize("form", [" {}", "{} ", "  {}  "])
def test_a_blank_around_an_argument_is_refused_and_one_in_the_environment_counts_as_in_botocore(name, form):
    given = {"access_key": "AKIA", "secret_key": SECRET, "session_token": SECRET}
    given[name] = form.format(given.get(name, "dev"))
    text = refusal(environ={}, **given)
    assert f"The argument aws_{name} begins or ends with a blank. Take it away: aws_{name}.strip()" in text
    environ = {"AWS_ACCESS_KEY_ID": "AKIA ", "AWS_SECRET_ACCESS_KEY": " s"}
    assert find(environ).get() == Credentials("AKIA ", " s")


@pytest.mark.parametrize("name", ["access_key", "secret_key", "session_token", "profile", "api_key"])
@pytest.mark.parametrize("value", [5, SECRET.encode(), [SECRET], object()])
def test_an_argument_that_is_no_text_is_named_and_not_quoted(name, value):
    given = {} if name == "api_key" else {"access_key": "AKIA", "secret_key": "s"}
    whole = name if name == "api_key" else f"aws_{name}"
    with pytest.raises(UsageError, match=f"^{whole} is a value of type {type(value).__name__}, ") as caught:
        find({}, **(given | {name: value}))
    assert SECRET not in str(caught.value)


# ── the environment ───────────────────────────────────────────────────────────────────────────────


def test_the_environments_api_key_goes_before_its_keys():
    source = find(ENVIRONMENT | {"AWS_BEARER_TOKEN_BEDROCK": "key", "AWS_PROFILE": "dev"})
    assert source.get() == ApiKey("key")
    assert source.origin == "the environment (AWS_BEARER_TOKEN_BEDROCK)"


def test_an_empty_variable_is_none():
    assert find(ENVIRONMENT | {"AWS_BEARER_TOKEN_BEDROCK": ""}).get() == Credentials("AKIAENV", SECRET)


def test_the_environments_keys_go_before_a_profile_it_names(home, monkeypatch):
    write(home, shared="[dev]\naws_access_key_id=AKIADEV\naws_secret_access_key=s\n")
    for name, value in (ENVIRONMENT | {"AWS_PROFILE": "dev"}).items():
        monkeypatch.setenv(name, value)
    assert find().get().access_key == botocores().access_key == "AKIAENV"
    assert find().fixed


def test_a_profile_argument_leaves_the_environments_keys_and_api_key_aside(home, monkeypatch):
    write(home, shared="[dev]\naws_access_key_id=AKIADEV\naws_secret_access_key=s\n")
    for name, value in (ENVIRONMENT | {"AWS_BEARER_TOKEN_BEDROCK": "key"}).items():
        monkeypatch.setenv(name, value)
    assert as_botocore("dev").get() == Credentials("AKIADEV", "s")


@pytest.mark.parametrize(
    ("tokens", "token"),
    [
        ({"AWS_SESSION_TOKEN": "new"}, "new"),
        ({"AWS_SECURITY_TOKEN": "old"}, "old"),
        ({"AWS_SESSION_TOKEN": "new", "AWS_SECURITY_TOKEN": "old"}, "old"),
        ({"AWS_SESSION_TOKEN": "new", "AWS_SECURITY_TOKEN": ""}, "new"),
    ],
)
def test_both_names_of_the_session_token_count(home, monkeypatch, tokens, token):
    for name, value in (ENVIRONMENT | tokens).items():
        monkeypatch.setenv(name, value)
    assert find().get().token == botocores().token == token


def test_blanks_around_pasted_keys_stay_as_with_botocore(home, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", " AKIA ")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f" {SECRET} ")
    theirs = botocores()
    assert (
        find().get()
        == Credentials(theirs.access_key, theirs.secret_key)
        == Credentials(" AKIA ", f" {SECRET} ")
    )


@pytest.mark.parametrize(
    ("environ", "part"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, "has AWS_ACCESS_KEY_ID but no AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": SECRET}, "has AWS_SECRET_ACCESS_KEY but no AWS_ACCESS_KEY_ID"),
        ({"AWS_SESSION_TOKEN": SECRET}, "has AWS_SESSION_TOKEN but no AWS_ACCESS_KEY_ID and no AWS_SECRET"),
        ({"AWS_SECURITY_TOKEN": SECRET}, "has AWS_SECURITY_TOKEN but no"),
        (
            {"AWS_ACCESS_KEY_ID": "AKIA\n", "AWS_SECRET_ACCESS_KEY": SECRET},
            "access key in the environment holds",
        ),
        (
            {"AWS_BEARER_TOKEN_BEDROCK": SECRET + "\n"},
            "The API key in AWS_BEARER_TOKEN_BEDROCK holds a blank",
        ),
    ],
)
def test_halves_and_broken_keys_in_the_environment_are_refused_at_once(environ, part):
    with pytest.raises(CredentialsError) as caught:
        find(environ)
    assert part in caught.value.what
    assert SECRET not in f"{caught.value!r} {caught.value}"


def utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def test_dated_keys_in_the_environment_are_read_anew_and_refused_after_their_end():
    environ = ENVIRONMENT | {"AWS_CREDENTIAL_EXPIRATION": utc(60)}
    source = find(environ)
    assert source.get() == Credentials("AKIAENV", SECRET)
    assert not source.fixed
    assert source.ready
    environ |= {"AWS_ACCESS_KEY_ID": "AKIANEW", "AWS_CREDENTIAL_EXPIRATION": utc(120)}
    assert source.get().access_key == "AKIANEW"
    environ["AWS_CREDENTIAL_EXPIRATION"] = "2026-01-01T00:00:00"
    with pytest.raises(CredentialsError, match="ended at 2026-01-01T00:00:00"):
        source.get()
    environ["AWS_CREDENTIAL_EXPIRATION"] = "soon"
    with pytest.raises(CredentialsError, match="AWS_CREDENTIAL_EXPIRATION is no time: 'soon'"):
        source.get()
    del environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"]
    with pytest.raises(CredentialsError, match="no longer in the environment"):
        source.get()


# ── static keys in the files ──────────────────────────────────────────────────────────────────────


def test_files_are_read_at_the_first_get_and_then_no_more(home):
    source = find()
    write(home, shared=f"[default]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\n")
    assert not source.fixed
    assert source.origin == "profile 'default', then botocore (not looked up yet)"
    assert source.get() == Credentials("AKIA", SECRET)
    assert source.origin == "profile 'default' in ~/.aws/credentials"
    assert source.fixed
    assert source.ready
    write(home)
    assert source.get() == Credentials("AKIA", SECRET)


def test_static_keys_do_not_import_botocore(home):
    write(home, "[profile dev]\naws_access_key_id = AKIA\naws_secret_access_key = s\naws_session_token = t\n")
    program = """
import os, sys
from outcrop.client.credentials import find_source
keys = dict.fromkeys(("access_key", "secret_key", "session_token", "api_key", "profile"))
source = find_source(**keys, environ=os.environ, region="us-east-1")
assert source.get().token == "t"
assert source.origin == "profile 'dev' in ~/.aws/config", source.origin
assert "botocore" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], env=os.environ | {"AWS_PROFILE": "dev"}, check=True)


@pytest.mark.parametrize(
    ("config", "shared", "part"),
    [
        ("", "[default]\naws_access_key_id = AKIA\n", "~/.aws/credentials has aws_access_key_id but no"),
        ("[default]\naws_access_key_id = AKIA\n", "", "~/.aws/config has aws_access_key_id but no"),
        (
            "",
            f"[default]\naws_access_key_id =\naws_secret_access_key = {SECRET}\n",
            "The access key in profile",
        ),
        (
            "",
            "[default]\naws_access_key_id = A\naws_secret_access_key =\n",
            "The secret key in profile 'default'",
        ),
        (
            "",
            f"[default]\naws_access_key_id = A\naws_secret_access_key = {SECRET}\n  more\n",
            "holds a line break",
        ),
        (
            "",
            f"[default]\naws_access_key_id = A\naws_secret_access_key =\n  {SECRET}=\n",
            "holds a line break",
        ),
    ],
)
def test_half_a_pair_in_a_file_names_profile_and_file(home, config, shared, part):
    write(home, config, shared)
    assert part in refusal()


@pytest.mark.parametrize("argument", [True, False])
def test_a_profile_that_is_nowhere_is_an_error_with_those_there_are(home, monkeypatch, argument):
    write(home, "[profile dev]\nregion = eu-west-1\n")
    if not argument:
        monkeypatch.setenv("AWS_PROFILE", "prod")
    with pytest.raises(ConfigFileError, match="There is no profile 'prod'") as caught:
        find(profile="prod" if argument else None).get()
    assert caught.value.fix == "The profiles there are: dev."
    with pytest.raises(botocore.exceptions.ProfileNotFound):
        botocores("prod" if argument else None)


def test_a_broken_file_is_named_with_its_line(home):
    write(home, shared="[default]\nnonsense\n")
    with pytest.raises(ConfigFileError, match=r"^~/\.aws/credentials, line 2"):
        find().get()


def test_nothing_anywhere_says_where_it_looked(home):
    write(home, "[default]\nregion = eu-west-1\n")
    (home / ".aws" / "credentials").unlink()
    text = refusal()
    assert botocores() is None
    for part in (
        "1. the arguments",
        "2. the environment (AWS_BEARER_TOKEN_BEDROCK, AWS_ACCESS_KEY_ID",
        "3. profile 'default' in ~/.aws/credentials (not there)",
        "4. profile 'default' in ~/.aws/config\n",
        "5. botocore: containers, instance metadata",
        "`aws configure`",
        'eval "$(outcrop env)"',
    ):
        assert part in text


def test_after_a_failure_the_next_get_looks_again(home):
    source = find()
    with pytest.raises(CredentialsError):
        source.get()
    write(home, shared="[default]\naws_access_key_id = AKIA\naws_secret_access_key = s\n")
    assert source.get().access_key == "AKIA"


def test_files_that_were_read_for_other_settings_are_not_read_again(home):
    write(home, shared="[dev]\naws_access_key_id = AKIA\naws_secret_access_key = s\n")
    files = Files(os.environ)
    files.wanted("dev")
    write(home)
    nothing = dict.fromkeys(("access_key", "secret_key", "session_token", "api_key"))
    source = find_source(**nothing, profile="dev", environ=os.environ, region=REGION, files=files)
    assert source.get().access_key == "AKIA"


# ── without botocore ──────────────────────────────────────────────────────────────────────────────


def test_what_needs_botocore_says_how_to_install_it(home, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "botocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    write(home, "[profile dev]\nsso_account_id = 123456789012\n")
    text = refusal(profile="dev")
    assert "sso_account_id in profile 'dev' in ~/.aws/config needs botocore, which is not installed" in text
    assert 'pip install "outcrop[aws]"' in text
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")
    assert "AWS_WEB_IDENTITY_TOKEN_FILE in the environment needs botocore" in refusal()
    monkeypatch.delenv("AWS_WEB_IDENTITY_TOKEN_FILE")
    text = refusal()
    assert "No AWS credentials were found" in text
    assert "botocore is not installed" in text
    assert "`aws configure`" in text


# ── the choice between our own reading and botocore, against botocore's chain ─────────────────────


class Asked(Exception):  # noqa: N818 - no error: the test's way out
    """Our code would ask botocore now, for this setting."""


KEY = st.sampled_from(["AKIA1", "AKIA2", ""])
PAIRS = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token"]
SETTINGS = {
    **dict.fromkeys(PAIRS, KEY),
    "role_arn": st.just("arn:aws:iam::123456789012:role/r"),
    "source_profile": st.sampled_from(["dev", "default", "other"]),
    "web_identity_token_file": st.sampled_from(["/token", ""]),
    "sso_role_name": st.just("r"),
    "sso_account_id": st.just("123456789012"),
    "sso_start_url": st.just("https://start"),
    "sso_region": st.just("us-east-1"),
    "login_session": st.just("arn:session"),
    "credential_process": st.just("PROCESS"),
    "region": st.just("eu-west-1"),
}
SETTING = st.sampled_from([*PAIRS, *SETTINGS]).flatmap(lambda name: st.tuples(st.just(name), SETTINGS[name]))
# often a whole pair, so that the static cases are met as often as the others
PAIR = {"aws_access_key_id": "AKIA0", "aws_secret_access_key": "s0"}
WEB = PAIR | {"web_identity_token_file": "/t", "role_arn": "r"}
PROFILE = st.builds(
    lambda pair, more: pair | dict(more), st.sampled_from([{}, PAIR]), st.lists(SETTING, max_size=4)
)
SECTION = st.dictionaries(st.sampled_from(["default", "dev", "dev", "other"]), PROFILE, max_size=3)
PAIR_IN_ENV = st.sampled_from(
    [{}, {}, {}, {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "env"}, {"AWS_ACCESS_KEY_ID": ""}]
)
NAME = st.sampled_from([None, None, "dev", "default", "missing"])
OTHERS_IN_ENV = st.fixed_dictionaries(
    {},
    optional={
        "AWS_PROFILE": st.sampled_from(["dev", "default", "missing"]),
        "AWS_DEFAULT_PROFILE": st.sampled_from(["dev", "default"]),
        "AWS_WEB_IDENTITY_TOKEN_FILE": st.sampled_from(["/token", ""]),
        "AWS_ROLE_ARN": st.just("arn:aws:iam::123456789012:role/r"),
    },
)
METHODS = {
    "assume-role": {"role_arn"},
    "assume-role-with-web-identity": {"web_identity_token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"},
    "sso": {"sso_role_name", "sso_account_id"},
    "custom-process": {"credential_process"},
}


def ini(sections, prefix=""):
    lines = []
    for name, settings_of_it in sections.items():
        lines.append(f"[{name}]" if name == "default" else f"[{prefix}{name}]")
        lines += [f"{key} = {value}" for key, value in settings_of_it.items()]
    return "\n".join(lines) + "\n"


def theirs_or_error(profile):
    try:
        return botocores(profile)
    except botocore.exceptions.BotoCoreError as error:
        return error


def ours_or_error(profile):
    """Keys, what botocore would be asked for, or the error."""

    def asked(found, *about, **more):
        raise Asked(found.setting)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credentials, "_borrow", asked)
        try:
            return find(profile=profile).get()
        except (Asked, UsageError) as error:
            return error


def agree(ours, theirs):
    """Whether the two come to the same."""
    if theirs is None:
        return isinstance(ours, Asked) and str(ours) == ""
    if isinstance(theirs, botocore.exceptions.ProfileNotFound):
        return isinstance(ours, ConfigFileError)
    if isinstance(theirs, botocore.exceptions.BotoCoreError) and str(ours) == "role_arn":
        return True  # whatever is wrong with the profile that the role starts from
    if isinstance(theirs, botocore.exceptions.MissingDependencyException):
        return isinstance(ours, Asked) and str(ours) == "login_session"
    if isinstance(theirs, botocore.exceptions.PartialCredentialsError):
        return isinstance(ours, CredentialsError) and theirs.kwargs["provider"] != "assume-role"
    if isinstance(theirs, botocore.exceptions.BotoCoreError):
        return isinstance(ours, Asked) and str(ours) != ""
    if theirs.method in METHODS:
        return isinstance(ours, Asked) and str(ours) in METHODS[theirs.method]
    if not theirs.access_key or not theirs.secret_key:
        return isinstance(ours, CredentialsError)  # empty keys, which botocore would sign with
    return ours == Credentials(theirs.access_key, theirs.secret_key, theirs.token or "")


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=SECTION, shared=SECTION, profile=NAME, pair=PAIR_IN_ENV, others=OTHERS_IN_ENV)
def test_any_files_and_environment_come_to_what_botocore_comes_to(
    home, config, shared, profile, pair, others
):
    process = home / "keys.json"
    process.write_text(dumps({"Version": 1, "AccessKeyId": "AKIAPROC", "SecretAccessKey": "p"}))
    command = f"cat {shlex.quote(str(process))}"
    write(home, ini(config, "profile ").replace("PROCESS", command), ini(shared).replace("PROCESS", command))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (pair | others).items():
            patch.setenv(name, value)
        theirs = theirs_or_error(profile)
        ours = ours_or_error(profile)
        if isinstance(theirs, botocore.exceptions.ProfileNotFound) and profile is None and len(pair) == 2:
            # botocore insists on the profile even where it is not used
            assert ours == Credentials("AKIAENV", "env")
        else:
            assert agree(ours, theirs), (ours, theirs)


@pytest.mark.parametrize(
    ("config", "shared", "environ", "setting"),
    [
        # keys in the credentials file go before a login and a program, those in the config file after them
        ({}, PAIR | {"login_session": "l", "credential_process": "cat"}, {}, None),
        (PAIR | {"login_session": "l"}, {}, {}, "login_session"),
        (PAIR | {"credential_process": "sh -c 'exit 1'"}, {}, {}, "credential_process"),
        ({"sso_role_name": "r", "sso_account_id": "1", "sso_start_url": "u"}, PAIR, {}, "sso_role_name"),
        ({"role_arn": "r", "source_profile": "default"}, PAIR, {}, "role_arn"),
        # a role without a way to assume it is botocore's to refuse
        ({"role_arn": "r"}, PAIR, {}, "role_arn"),
        (WEB, {}, {}, "web_identity_token_file"),
        (WEB, {}, {"AWS_WEB_IDENTITY_TOKEN_FILE": ""}, None),
        (PAIR | {"web_identity_token_file": "", "role_arn": "r"}, {}, {}, None),
        ({}, PAIR | {"aws_session_token": "new", "aws_security_token": "old"}, {}, None),
        (PAIR | {"aws_session_token": "new"}, {"region": "eu-west-1"}, {}, None),
    ],
)  # fmt: skip
def test_the_order_within_a_profile(home, config, shared, environ, setting):
    write(home, ini({"default": config}), ini({"default": shared}))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        ours, theirs = ours_or_error(None), theirs_or_error(None)
    assert agree(ours, theirs), (ours, theirs)
    assert (str(ours) if isinstance(ours, Asked) else None) == setting


# ── what only botocore does, against stand-ins ────────────────────────────────────────────────────


ROLE = "arn:aws:iam::123456789012:role/r"


def role(standin, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", standin.url)
    return (
        f"[profile dev]\nrole_arn = {ROLE}\nsource_profile = source\n"
        "external_id = outside\nrole_session_name = me\n"
        "[profile source]\naws_access_key_id = AKIASOURCE\naws_secret_access_key = s\n"
    )


def web_identity(standin, monkeypatch, home):
    (home / "token").write_text("identity-token")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", standin.url)
    return f"[profile dev]\nrole_arn = {ROLE}\nweb_identity_token_file = {home}/token\n"


def sso(standin, monkeypatch, home, session, expires="2099-01-01T00:00:00Z"):
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", standin.url)
    start = "https://example.awsapps.com/start"
    cache = home / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = {
        "startUrl": start,
        "region": "eu-west-1",
        "accessToken": standins.SSO_TOKEN,
        "expiresAt": expires,
    }
    name = sha1((session or start).encode()).hexdigest()
    (cache / f"{name}.json").write_text(dumps(token))
    account = "sso_account_id = 123456789012\nsso_role_name = reader\n"
    where = f"sso_start_url = {start}\nsso_region = eu-west-1\n"
    if session:
        return f"[profile dev]\nsso_session = {session}\n{account}[sso-session {session}]\n{where}"
    return f"[profile dev]\n{where}{account}"


def test_a_role_is_assumed_with_the_source_profiles_keys(home, standin, monkeypatch):
    write(home, role(standin, monkeypatch))
    source = as_botocore("dev")
    assert source.get() == Credentials(*standin.keys)
    assert source.origin == "botocore: assume-role"
    assert not source.fixed
    assert source.ready
    (kind, request) = standin.asked[0]
    assert kind == "sts"
    assert request["query"]["Action"] == ["AssumeRole"]
    assert request["query"]["ExternalId"] == ["outside"]
    assert "AKIASOURCE" in request["headers"]["Authorization"]
    # nobody configured a region: STS is asked in the client's
    assert f"/{REGION}/sts/" in request["headers"]["Authorization"]


def test_a_web_identity_from_a_profile(home, standin, monkeypatch):
    write(home, web_identity(standin, monkeypatch, home))
    source = as_botocore("dev")
    assert source.origin == "botocore: assume-role-with-web-identity"
    assert standin.asked[0][1]["query"]["WebIdentityToken"] == ["identity-token"]


def test_a_web_identity_from_the_environment(home, standin, monkeypatch):
    write(home, web_identity(standin, monkeypatch, home))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(home / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
    assert as_botocore().origin == "botocore: assume-role-with-web-identity"
    assert standin.asked[0][1]["query"]["RoleArn"] == ["arn:aws:iam::123456789012:role/pod"]


@pytest.mark.parametrize("session", ["", "company"])
def test_sso_with_a_token_from_the_cache(home, standin, monkeypatch, session):
    write(home, sso(standin, monkeypatch, home, session))
    source = as_botocore("dev")
    assert source.origin == "botocore: sso"
    (kind, request) = standin.asked[0]
    assert kind == "sso"
    assert request["query"] == {"role_name": ["reader"], "account_id": ["123456789012"]}


@pytest.mark.parametrize("session", ["", "company"])
def test_an_sso_login_that_has_ended_says_how_to_log_in(home, standin, monkeypatch, session):
    write(home, sso(standin, monkeypatch, home, session, expires="2020-01-01T00:00:00Z"))
    assert "aws sso login --profile dev" in refusal(profile="dev")


@pytest.mark.parametrize("dated", [True, False])
def test_a_program_that_prints_keys(home, dated):
    keys = {"Version": 1, "AccessKeyId": "AKIAPROC", "SecretAccessKey": SECRET, "SessionToken": "t"}
    (home / "keys.json").write_text(dumps(keys | ({"Expiration": utc(3600)} if dated else {})))
    write(home, f'[profile dev]\ncredential_process = cat "{home}/keys.json"\n')
    source = as_botocore("dev")
    assert source.origin == "botocore: custom-process"
    assert source.get() == Credentials("AKIAPROC", SECRET, "t")
    assert source.fixed is not dated


@pytest.mark.parametrize(
    ("program", "part"),
    [
        ("/no/such/program", "FileNotFoundError"),
        ("sh -c 'echo not json'", "JSONDecodeError"),
        ("echo []", "AttributeError"),
        ("echo '{}'", "Unsupported version"),
        ("sh -c 'echo the vault is sealed >&2; exit 3'", "the vault is sealed"),
        (f'echo \'{{"Version": 1, "SecretAccessKey": "{SECRET}"}}\'', "Missing required key"),
        ("echo 'unclosed", "ValueError: No closing quotation"),
    ],
)
def test_a_program_that_fails_is_a_credentials_error(home, program, part):
    write(home, f"[profile dev]\ncredential_process = {program}\n")
    text = refusal(profile="dev")
    assert part in text
    assert "credential_process in profile 'dev' in ~/.aws/config" in text
    assert "Run it by hand" in text


def test_a_containers_agent(home, standin, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{standin.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", standins.CONTAINER_TOKEN)
    assert as_botocore().origin == "botocore: container-role"
    assert set(standin.names) == {"container"}


def test_a_containers_agent_that_refuses(home, standin, monkeypatch):
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{standin.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong")
    text = refusal()
    assert "401" in text
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI" in text


def test_instance_metadata_with_a_session_token(home, standin, monkeypatch):
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", standin.url)
    assert as_botocore().origin == "botocore: iam-role"
    assert standin.names[:3] == ["imds_token", "imds_role", "imds_keys"]


def test_instance_metadata_that_is_disabled_is_not_asked(home, standin, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", standin.url)
    assert "No AWS credentials were found" in refusal()
    assert standin.asked == []


def test_an_empty_profile_variable_does_not_stop_botocore(home, standin, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{standin.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", standins.CONTAINER_TOKEN)
    assert find().get() == Credentials(*standin.keys)


def test_sts_that_refuses_is_quoted(home, standin, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    standin.broken = True
    write(home, role(standin, monkeypatch))
    text = refusal(profile="dev")
    assert (
        "botocore: assume-role found no credentials by role_arn in profile 'dev' in ~/.aws/config: "
        "An error occurred (AccessDenied) when" in text
    )
    assert "not you" in text
    assert "Check role_arn" in text


# ── keeping fresh, threads, forks ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("source", ["role", "container"])
def test_keys_near_their_end_are_fetched_anew(home, standin, monkeypatch, source):
    """Within ten minutes of the end botocore must refresh, so keys that live five are new each time."""
    if source == "role":
        write(home, role(standin, monkeypatch))
        found = find(profile="dev")
    else:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{standin.url}/container")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", standins.CONTAINER_TOKEN)
        found = find()
    standin.lifetime = 300
    for standin.generation in (1, 2, 3):
        assert found.get() == Credentials(*standin.keys)
        assert not found.ready
    standin.lifetime = 3600
    standin.generation = 4
    last = found.get()
    assert last == Credentials(*standin.keys)
    asked = len(standin.asked)
    standin.generation = 5
    assert found.get() is last
    assert found.ready
    assert len(standin.asked) == asked


def test_a_refresh_that_fails_is_a_credentials_error_and_the_next_may_succeed(home, standin, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    write(home, role(standin, monkeypatch))
    standin.lifetime = 300
    source = find(profile="dev")
    source.get()
    standin.broken = True
    with pytest.raises(CredentialsError, match="botocore: assume-role found no credentials"):
        source.get()
    standin.broken, standin.generation = False, 2
    assert source.get() == Credentials(*standin.keys)


def test_many_threads_look_up_once(home, standin, monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{standin.url}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", standins.CONTAINER_TOKEN)
    source = find()
    assert together(source.get, standin) == [Credentials(*standin.keys)] * 8
    assert standin.names == ["container"]


def test_threads_that_waited_for_a_failure_share_it(home, standin, monkeypatch):
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.RETRY_ATTEMPTS", 1)
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{standin.url}/container")
    source = find()

    def attempt():
        with pytest.raises(CredentialsError, match="401") as caught:
            source.get()
        return str(caught.value)

    assert len(set(together(attempt, standin))) == 1
    assert standin.names == ["container"]


def together(act, standin):
    """What eight threads get, of which the first is being answered while the others come."""
    standin.go_on.clear()
    results = []
    threads = [threading.Thread(target=lambda: results.append(act())) for _ in range(8)]
    threads[0].start()
    until(lambda: standin.asked)
    for thread in threads[1:]:
        thread.start()
    standin.go_on.set()
    for thread in threads:
        thread.join(20)
    return results


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


FORKS = """
import os, sys, threading, time
from outcrop.client.credentials import find_source
keys = dict.fromkeys(("access_key", "secret_key", "session_token", "api_key"))
source = find_source(**keys, profile="dev", environ=os.environ, region="us-east-1")

def in_child(check):
    child = os.fork()
    if child == 0:
        try:
            check()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def asks():
    assert source.get().access_key == "AKIAPROC"

def runs():
    return os.path.getsize("runs")

if sys.argv[1] == "during":
    # the first run of the program waits until it may go on, with our lock held by its thread
    thread = threading.Thread(target=asks)
    thread.start()
    deadline = time.monotonic() + 20
    while not os.path.exists("runs"):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    in_child(asks)
    assert runs() == 2
    open("go", "w").close()
    thread.join()
else:
    open("go", "w").close()
    asks()
    before = runs()
    in_child(asks)
    print(runs() - before)
"""


@pytest.mark.parametrize(
    ("when", "lifetime", "more_runs"),
    [
        ("during", 3600, ""),
        # keys that last are shared with the child; near their end it looks up by itself: botocore runs the
        # program once to find out, and once to refresh
        ("after", 3600, "0"),
        ("after", 300, "2"),
    ],
)
def test_a_child_process_waits_for_no_lock_of_its_parent(home, when, lifetime, more_runs):
    keys = {"Version": 1, "AccessKeyId": "AKIAPROC", "SecretAccessKey": "s", "Expiration": utc(lifetime)}
    (home / "keys.json").write_text(dumps(keys))
    program = home / "program"
    program.write_text(
        "#!/bin/sh\nprintf x >> runs\n[ $(wc -c < runs) -gt 1 ] || while [ ! -e go ]; do sleep 0.01; done\n"
        "cat keys.json\n"
    )
    program.chmod(0o755)
    write(home, f"[profile dev]\ncredential_process = {program}\n")
    done = subprocess.run(
        [sys.executable, "-c", FORKS, when],
        cwd=home,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == more_runs


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────


def test_no_secret_is_in_a_repr(home):
    write(home, shared=f"[default]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\n")
    in_file = find()
    in_file.get()
    sources = [
        in_file,
        find(ENVIRONMENT),
        find(ENVIRONMENT | {"AWS_CREDENTIAL_EXPIRATION": utc(60)}),
        find(access_key="A", secret_key=SECRET),
        find(api_key=SECRET),
    ]
    for source in sources:
        assert SECRET not in repr(source) + source.origin + repr(source.get())
    assert list(ApiKey(SECRET).__rich_repr__()) == []


def test_errors_survive_pickling(home):
    with pytest.raises(CredentialsError) as caught:
        find({"AWS_ACCESS_KEY_ID": "AKIA"})
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
