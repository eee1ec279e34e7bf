"""AWS's files, read as botocore reads them, and what is said of those that can't be read."""

import os
from pathlib import Path

import botocore.configloader
import botocore.exceptions
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outcrop.client import profiles
from outcrop.client.errors import ConfigFileError
from outcrop.client.profiles import Files, named

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".aws").mkdir()
    return tmp_path


def write(home: Path, config: str | bytes = "", shared: str | bytes = "") -> Files:
    for name, text in (("config", config), ("credentials", shared)):
        if text:
            (home / ".aws" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return Files({"HOME": str(home)})


# ── which profile ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("argument", "environ", "name"),
    [
        (None, {}, ""),
        ("dev", {"AWS_PROFILE": "other"}, "dev"),
        (None, {"AWS_PROFILE": "other"}, "other"),
        (None, {"AWS_DEFAULT_PROFILE": "old"}, "old"),
        # botocore's order
        (None, {"AWS_PROFILE": "other", "AWS_DEFAULT_PROFILE": "old"}, "old"),
        (None, {"AWS_PROFILE": "other", "AWS_DEFAULT_PROFILE": ""}, "other"),
        (None, {"AWS_PROFILE": ""}, ""),
    ],
)
def test_who_names_the_profile(argument, environ, name):
    assert named(argument, environ) == name


def test_a_profile_has_what_both_files_say_and_the_credentials_file_wins(home):
    files = write(home, "[profile dev]\nregion=eu-west-1\noutput=json\n", "[dev]\nregion = us-west-2\n")
    dev = files.wanted("dev")
    assert (dev.get("region"), dev.get("output"), dev.get("absent")) == ("us-west-2", "json", "")
    assert dev.origin("region") == "profile 'dev' in ~/.aws/credentials"
    assert dev.origin("output") == "profile 'dev' in ~/.aws/config"
    assert "output" in dev
    assert "absent" not in dev


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("[default]", "default"),
        ("[profile default]", "default"),
        ("[profile dev]", "dev"),
        ('[profile "my dev"]', "my dev"),
        ("[profile   spaced  ]", "spaced"),
    ],
)
def test_a_profile_goes_by_the_second_word_of_its_header(home, header, name):
    assert write(home, f"{header}\nregion = eu-west-3\n").wanted(name).get("region") == "eu-west-3"


@pytest.mark.parametrize("header", ["[dev]", "[profile]", "[profile a dev]", '[profile "dev]'])
def test_other_headers_are_no_profiles_of_the_config_file(home, header):
    assert write(home, f"{header}\nregion = eu-west-3\n").profile("dev") is None


def test_the_files_may_be_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("WHERE", str(tmp_path))
    (tmp_path / "c").write_text("[profile a]\nregion=eu-west-1\n")
    (tmp_path / "s").write_text("[b]\nregion=eu-west-2\n")
    files = Files(
        {"HOME": str(tmp_path), "AWS_CONFIG_FILE": "$WHERE/c", "AWS_SHARED_CREDENTIALS_FILE": "~/s"}
    )
    assert files.wanted("a").origin() == "profile 'a' in $WHERE/c"
    assert files.wanted("b").origin() == "profile 'b' in ~/s"


def test_a_file_that_is_not_there_has_no_profiles(tmp_path):
    environ = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    files = Files(environ)
    assert files.profile("default") is None
    assert not files.there(files.config_name)
    assert not files.there(files.shared_name)


def test_a_home_that_may_not_be_entered_is_an_empty_one(home, monkeypatch):
    files = write(home, "[profile dev]\nregion=eu-west-1\n")

    def refused(path, **more):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(profiles.os, "stat", refused)
    assert files.profile("dev") is None


# ── services ──────────────────────────────────────────────────────────────────────────────────────

SERVICES = "[profile dev]\nservices = local\n[services local]\nbedrock =\n  endpoint_url = http://h:1\n"


def test_the_services_section_of_a_profile(home):
    files = write(home, SERVICES)
    dev = files.wanted("dev")
    assert files.service(dev, "bedrock") == ("http://h:1", "services 'local' in ~/.aws/config")
    assert files.service(dev, "sts")[0] == ""


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("[profile dev]\nservices = nowhere\n", "names the services section 'nowhere', which is not in"),
        ("[profile dev]\nservices = local\n[services local]\n", "is not in ~/.aws/config, or is empty"),
        (
            "[profile dev]\nservices = local\n[services local]\nbedrock = http://h\n",
            "not a block of settings",
        ),
        ("[profile dev]\nservices =\n  a = b\n", "holds other settings"),
    ],
)
def test_a_services_section_that_cannot_be_meant(home, config, part):
    files = write(home, config)
    with pytest.raises(ConfigFileError, match=part) as caught:
        files.service(files.wanted("dev"), "bedrock")
    assert caught.value.fix


# ── broken files ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        (f"aws_secret_access_key = {SECRET}\n", 1, "a setting before the first section"),
        (f"[default]\nregion=a\n{SECRET}\n", 3, "neither a [section] nor"),
        ("[default]\n[dev]\n[default]\n", 3, "there is a section [default] already"),
        (f"[dev]\n{SECRET}=1\n{SECRET}=2\n", 3, "a setting that [dev] has already"),
        (f"[dev]\n\n# caf\xe9 {SECRET}\n".encode("latin-1"), 3, "not text in the encoding"),
        (
            f"[a]\nx =\n a = {SECRET}\n[dev]\ns3 =\n  b = 1\n  {SECRET}\n",
            7,
            "indented, but no `name = value`",
        ),
    ],
)
@pytest.mark.parametrize("file", ["config", "credentials"])
def test_a_broken_file_is_named_with_its_line_and_its_text_is_not_quoted(home, file, text, line, part):
    files = write(home, *((text, b"") if file == "config" else (b"", text)))
    with pytest.raises(ConfigFileError) as caught:
        files.profile("default")
    error = caught.value
    assert error.what.startswith(f"~/.aws/{file}, line {line}: ")
    assert part in error.what
    assert error.fix
    assert SECRET not in f"{error!r} {error} {error.fix} {error.__cause__!r}"
    assert error.__suppress_context__ or error.__context__ is None


@pytest.mark.parametrize("file", ["config", "credentials"])
def test_a_folder_in_a_files_place_is_an_error(home, file):
    (home / ".aws" / file).mkdir()
    with pytest.raises(ConfigFileError, match=f"~/.aws/{file} is a folder"):
        write(home).profile("default")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_an_error(home):
    files = write(home, "[default]\n")
    (home / ".aws" / "config").chmod(0)
    with pytest.raises(ConfigFileError, match="can't be read: Permission denied"):
        files.profile("default")


def test_a_file_that_fails_while_it_is_opened_is_an_error(home, monkeypatch):
    files = write(home, "[default]\n")

    def refused(path, *more, **named):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(ConfigFileError, match=r"~/\.aws/config can't be read: Permission denied"):
        files.profile("default")


# ── profiles that are missing ─────────────────────────────────────────────────────────────────────


def test_a_missing_profile_is_answered_with_those_there_are(home):
    files = write(home, "[default]\n[profile dev]\n[services x]\n", "[ci]\n[dev]\n")
    with pytest.raises(ConfigFileError) as caught:
        files.wanted("prod")
    assert caught.value.what == "There is no profile 'prod' in ~/.aws/config or ~/.aws/credentials."
    assert caught.value.fix == "The profiles there are: default, dev, ci."


def test_many_profiles_are_not_all_listed(home):
    files = write(home, "".join(f"[profile p{number}]\n" for number in range(30)))
    with pytest.raises(ConfigFileError) as caught:
        files.wanted("prod")
    assert caught.value.fix.endswith("p18, p19 and 10 more.")


def test_the_word_that_was_forgotten_in_the_header_is_told(home):
    with pytest.raises(ConfigFileError) as caught:
        write(home, "[dev]\nregion = eu-west-1\n").wanted("dev")
    assert "must be called [profile dev]" in caught.value.fix


def test_without_any_profile_the_fix_is_to_make_one(home):
    with pytest.raises(ConfigFileError) as caught:
        write(home).wanted("dev")
    assert "aws configure --profile dev" in caught.value.fix


def test_secrets_are_in_no_repr(home):
    files = write(home, "", f"[dev]\naws_secret_access_key = {SECRET}\n")
    assert SECRET not in repr(files.wanted("dev")) + repr(files)


# ── botocore as the oracle ────────────────────────────────────────────────────────────────────────

WORD = st.sampled_from(
    ["a", "b", "default", "DEFAULT", "profile a", 'profile "b c"', "services a", "profile"]
)
NAME = st.sampled_from(["region", "Region", "aws_access_key_id", "s3", "x y", "services", "endpoint_url"])
VALUE = st.sampled_from(
    ["", "v", "a = b", "a: b", "%(x)s", "# no", "; no", "v ; w", "'q'", "v\n  w", "\n  c = d"]
)
LINE = st.one_of(
    st.builds(lambda word: f"[{word}]", WORD),
    st.builds(
        lambda name, equals, value: f"{name}{equals}{value}", NAME, st.sampled_from([" = ", "=", ":"]), VALUE
    ),
    st.sampled_from(
        ["", "# a comment", "; another", "  indented", "  c = d", "\t", "nonsense", "[open", "[a] rest"]
    ),
)
TEXT = st.lists(LINE, max_size=8).map("\n".join)
BOUNDED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@BOUNDED
@given(text=TEXT, newline=st.sampled_from(["\n", "\r\n"]))
def test_any_text_reads_as_in_botocore(tmp_path, text, newline):
    path = tmp_path / "file"
    path.write_bytes(text.replace("\n", newline).encode())
    try:
        theirs = botocore.configloader.raw_config_parse(str(path))
    except botocore.exceptions.ConfigParseError:
        with pytest.raises(ConfigFileError):
            profiles.read(str(path), "the file")
    else:
        assert profiles.read(str(path), "the file") == theirs


@BOUNDED
@given(config=TEXT, shared=TEXT)
def test_any_two_files_make_botocores_profiles(tmp_path, config, shared):
    import botocore.session

    (tmp_path / "config").write_text(config)
    (tmp_path / "shared").write_text(shared)
    environ = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "shared"),
    }
    session = botocore.session.Session()
    session.set_config_variable("config_file", environ["AWS_CONFIG_FILE"])
    session.set_config_variable("credentials_file", environ["AWS_SHARED_CREDENTIALS_FILE"])
    files = Files(environ)
    try:
        theirs = session.full_config
    except botocore.exceptions.ConfigParseError:
        with pytest.raises(ConfigFileError):
            files.profile("a")
        return
    for name, settings_of_it in theirs["profiles"].items():
        profile = files.wanted(name)
        assert {**profile.config, **profile.shared} == settings_of_it
    for name in {"a", "b", "b c", "default", "profile a"} - theirs["profiles"].keys():
        assert files.profile(name) is None
