"""Which authorities are believed, and what is said of a list that can't be read."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from outcrop import tls
from outcrop.transport import CertificateError
from outcrop.transport import trust as trust_module
from outcrop.transport.trust import Trust
from transport.threaded import Server, hello


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tls.ensure(tmp_path_factory.mktemp("one")).ca)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tls.ensure(tmp_path_factory.mktemp("two")).ca)


@pytest.fixture
def folder(ca: str, tmp_path: Path) -> str:
    """A folder as OpenSSL wants it. The hash in the name is of the subject; nothing here looks it up."""
    (tmp_path / "0123abcd.0").write_bytes(Path(ca).read_bytes())
    return str(tmp_path)


def authorities(trust: Trust) -> set[int]:
    return {int(str(known["serialNumber"]), 16) for known in trust.context().get_ca_certs()}


def serial(file: str) -> int:
    from cryptography import x509

    return x509.load_pem_x509_certificate(Path(file).read_bytes()).serial_number


EVERYTHING = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def test_the_argument_replaces_every_other_list(ca: str, other: str) -> None:
    assert authorities(Trust(ca, environ=dict.fromkeys(EVERYTHING, other))) == {serial(ca)}


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_first_variable_that_is_set_counts(name: str, ca: str, other: str) -> None:
    place = EVERYTHING.index(name)
    environ = (
        {name: ca} | dict.fromkeys(EVERYTHING[:place], "") | dict.fromkeys(EVERYTHING[place + 1 :], other)
    )
    assert authorities(Trust(environ=environ)) == {serial(ca)}


def test_a_folder_of_hashed_names_will_do(folder: str) -> None:
    for trust in (
        Trust(folder, environ={}),
        Trust(environ={"AWS_CA_BUNDLE": folder}),
        Trust(environ={"SSL_CERT_DIR": folder}),
    ):
        assert trust.context().get_ca_certs() == []  # looked up when needed


def test_file_and_folder_of_openssl_are_believed_together(ca: str, folder: str) -> None:
    assert authorities(Trust(environ={"SSL_CERT_FILE": ca, "SSL_CERT_DIR": f"{folder}:{folder}"})) == {
        serial(ca)
    }


def test_the_settings_are_those_of_a_careful_client(ca: str) -> None:
    trust = Trust(ca, environ={})
    context = trust.context()
    assert context is trust.context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("variable", [*EVERYTHING, "SSL_CERT_DIR", ""])
@pytest.mark.parametrize(
    ("made", "text"),
    [
        ("missing", "does not exist"),
        ("text", "no certificates in PEM form"),
        ("broken", "no certificates in PEM form"),
    ],
)
def test_a_bundle_that_is_none_is_named_with_where_it_comes_from(
    variable: str, made: str, text: str, tmp_path: Path
) -> None:
    file = tmp_path / "bundle.pem"
    if made == "text":
        file.write_text("not a certificate")
    elif made == "broken":
        file.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    trust = Trust(environ={variable: str(file)}) if variable else Trust(str(file), named="verify", environ={})
    with pytest.raises(CertificateError, match=f"^{variable or 'verify'} names {file}, which .*{text}$"):
        trust.context()


def test_an_empty_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"^AWS_CA_BUNDLE names .* hashed names"):
        Trust(environ={"AWS_CA_BUNDLE": str(tmp_path)}).context()


def test_a_file_that_may_not_be_read_is_named(ca: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", refuse)
    with pytest.raises(CertificateError, match=r"can't be read: Permission denied$"):
        Trust(ca, environ={}).context()


class System:
    """A system whose OpenSSL looks for authorities where a test says."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, file: str, folder: str, files: tuple[str, ...] = ()
    ) -> None:
        paths = ssl.DefaultVerifyPaths(None, None, "", file, "", folder)
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
        monkeypatch.setattr(trust_module, "_FILES", files)


def test_the_systems_folder_is_enough_when_it_holds_what_the_file_does(
    ca: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    System(monkeypatch, ca, folder)
    assert authorities(Trust(environ={})) == set()  # nothing parsed


def test_a_system_file_with_more_than_the_folder_is_read(
    ca: str, other: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(Path(ca).read_bytes() + Path(other).read_bytes())
    System(monkeypatch, str(both), folder)
    assert authorities(Trust(environ={})) == {serial(ca), serial(other)}


def test_the_usual_places_are_looked_at_when_openssls_own_are_empty(
    ca: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    System(monkeypatch, str(tmp_path / "cert.pem"), str(tmp_path), (str(tmp_path / "none"), ca))
    assert authorities(Trust(environ={})) == {serial(ca)}


def test_certifi_stands_in_for_a_system_without_authorities(
    ca: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    System(monkeypatch, str(tmp_path / "cert.pem"), str(tmp_path))
    monkeypatch.setattr(certifi, "where", lambda: ca)
    assert authorities(Trust(environ={})) == {serial(ca)}
    monkeypatch.setitem(sys.modules, "certifi", None)
    with pytest.raises(CertificateError, match="no certificate authorities") as caught:
        Trust(environ={}).context()
    assert "AWS_CA_BUNDLE" in caught.value.fix


def test_a_request_without_tls_imports_no_tls() -> None:
    text = """
import sys
from outcrop.transport.sync import Client
print(Client().send("GET", sys.argv[1]).read(100))
costly = {"ssl", "asyncio", "logging", "email", "http.client", "dataclasses", "tempfile", "subprocess"}
print(sorted((costly | {"ipaddress", "encodings.idna", "json", "queue"}) & set(sys.modules)))
"""
    with Server(hello) as server:
        command = [sys.executable, "-c", text, server.url.replace("127.0.0.1", "localhost")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "b'hello'\n[]\n"
