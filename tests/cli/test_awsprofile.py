"""Profiles in the AWS files: read back by botocore, and everything else kept byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.cli.awsprofile import check_name, config_with, credentials_with, settings_of
from outcrop.errors import OutcropError

URL = "http://127.0.0.1:8080"

CONFIG = """# mine
[default]
region=eu-central-1
s3 =
    max_concurrent_requests = 20

[profile  work ]
sso_session = corp   ; keep
region = eu-west-1
[services other]
s3 =
  endpoint_url = http://localhost:9000
"""


def made(text: str, name: str = "outcrop", **more) -> str:
    return config_with(text, name, URL, "us-west-2", **more)


def test_a_profile_is_added_and_the_rest_stays_as_it_is():
    assert made(CONFIG) == CONFIG + (
        "\n[profile outcrop]\nregion = us-west-2\nservices = outcrop\n"
        "\n[services outcrop]\nbedrock =\n  endpoint_url = http://127.0.0.1:8080\n"
        "bedrock_runtime =\n  endpoint_url = http://127.0.0.1:8080\nsts =\n  endpoint_url = http://127.0.0.1:8080\n"
    )


def test_doing_it_again_changes_nothing():
    once = made(CONFIG)
    assert made(once) == once
    keys = credentials_with("[a]\nx = 1\n", "outcrop", "AKIA1", "s1", [])
    assert credentials_with(keys, "outcrop", "AKIA1", "s1", []) == keys


def test_a_new_address_replaces_the_old_one_in_place():
    once = made(CONFIG) + "[profile last]\nregion = x\n"
    moved = config_with(once, "outcrop", "http://127.0.0.1:9999", "us-east-1")
    assert moved == once.replace("127.0.0.1:8080", "127.0.0.1:9999").replace("= us-west-2", "= us-east-1")


def test_what_a_person_added_to_our_profile_is_kept():
    edited = made("").replace("services = outcrop\n", "services = outcrop\noutput = table\n# note\n")
    assert made(edited) == edited


def test_the_default_profile_has_no_prefix():
    assert made("", "default").startswith("[default]\nregion = us-west-2\nservices = default\n")


def test_windows_line_ends_stay_windows_line_ends():
    once = made(CONFIG.replace("\n", "\r\n"))
    assert once.replace("\r\n", "").count("\n") == 0
    assert made(once) == once


def test_a_last_line_without_an_end_is_ended_first():
    assert made("[default]\nregion = x").startswith("[default]\nregion = x\n\n[profile outcrop]\n")
    assert credentials_with("[outcrop]", "outcrop", "AKIA1", "s", []) == (
        "[outcrop]\naws_access_key_id = AKIA1\naws_secret_access_key = s\n"
    )


def test_a_door_to_a_real_account_is_not_replaced_silently():
    with pytest.raises(OutcropError, match="sso_session: it leads to something else"):
        made(CONFIG, "work")
    with pytest.raises(OutcropError, match="another access key"):
        credentials_with("[work]\naws_access_key_id = AKIAREAL\n", "work", "AKIA1", "s", ["AKIA2"])
    with pytest.raises(OutcropError, match="services"):
        made("[profile a]\nservices = other\n", "a")


def test_asked_for_it_is_replaced():
    taken = made(CONFIG, "work", overwrite=True)
    assert "sso_session" not in taken
    assert settings_of(taken, "profile work") == {"region": "us-west-2", "services": "work"}
    keys = credentials_with(
        "[work]\naws_access_key_id = A\naws_session_token = t\n", "work", "AKIA1", "s", [], overwrite=True
    )
    assert keys == "[work]\naws_access_key_id = AKIA1\naws_secret_access_key = s\n"


def test_our_own_older_key_is_replaced_without_asking():
    old = credentials_with("", "outcrop", "AKIA1", "s1", [])
    assert "AKIA2" in credentials_with(old, "outcrop", "AKIA2", "s2", ["AKIA1", "AKIA2"])


def test_certificates_come_and_go_with_tls():
    with_tls = made("", ca_bundle="/data/tls/bundle.pem")
    assert settings_of(with_tls, "profile outcrop")["ca_bundle"] == "/data/tls/bundle.pem"
    assert "ca_bundle" not in made(with_tls)
    assert "ca_bundle = /corp.pem" in made(made("").replace("services", "ca_bundle = /corp.pem\nservices", 1))


@pytest.mark.parametrize("name", ["", "a b", "x]", "ä", "a\nb"])
def test_a_name_that_would_break_the_file_is_refused(name: str):
    with pytest.raises(OutcropError, match="no name for a profile"):
        check_name(name)


def test_botocore_reads_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import botocore.session

    (tmp_path / "config").write_text(made(CONFIG))
    (tmp_path / "credentials").write_text(credentials_with("", "outcrop", "AKIA1", "s1", []))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    session = botocore.session.Session(profile="outcrop")
    for service in ("bedrock", "bedrock-runtime", "sts"):
        client = session.create_client(service)
        assert client.meta.endpoint_url == URL
        assert client.meta.region_name == "us-west-2"
    assert session.get_credentials().access_key == "AKIA1"
    assert "amazonaws.com" in session.create_client("s3").meta.endpoint_url


_HEADERS = ["[default]", "[profile a]", "[ profile outcrop ]", "[services outcrop]", "[x"]
_SETTINGS = ["  k = v", "sts =", "region = r", "services=outcrop", "bedrock =", "a = b", "; s", "# c", ""]
_LINES = st.sampled_from(_HEADERS + _SETTINGS)


@settings(max_examples=100, deadline=None)
@given(st.lists(_LINES, max_size=12), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_whatever_the_file_other_sections_survive_and_twice_is_once(lines: list[str], end: str, last: bool):
    text = end.join(lines) + (end if last else "")
    once = made(text)
    assert made(once) == once
    assert settings_of(once, "profile outcrop")["region"] == "us-west-2"
    for section in ("default", "profile a"):
        assert settings_of(once, section) == settings_of(text, section)
