"""The local authority and its certificate, judged by OpenSSL as a client would."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from outcrop import tls
from outcrop.errors import OutcropError

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)


def handshake(files: tls.Material, name: str, trusted: Path) -> None:
    """A TLS handshake in memory, with the certificate checked for `name`."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.certificate, files.key)
    client_context = ssl.create_default_context(cafile=str(trusted))
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up, server_hostname=name)
    server = server_context.wrap_bio(up, down, server_side=True)
    waiting = [client, server, client, server]
    while waiting:
        try:
            waiting[0].do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(waiting[0])
        waiting.pop(0)
        assert len(waiting) < 10


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_a_client_that_trusts_the_authority_accepts_this_machine(tmp_path: Path, name: str):
    files = tls.ensure(tmp_path)
    handshake(files, name, files.ca)
    handshake(files, name, files.bundle)


def test_further_names_are_covered_when_asked_for(tmp_path: Path):
    first = tls.ensure(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(first, "build.example", first.ca)
    files = tls.ensure(tmp_path, ["build.example", "10.1.2.3"])
    for name in ("build.example", "10.1.2.3", "localhost"):
        handshake(files, name, files.ca)


def test_the_authority_can_vouch_for_no_other_site(tmp_path: Path):
    """Somebody who steals the authority's key still can't pretend to be a bank."""
    files = tls.ensure(tmp_path)
    tls._make_leaf(files, ["bank.example"], datetime.datetime.now(datetime.UTC))
    with pytest.raises(ssl.SSLCertVerificationError, match="subtree"):
        handshake(files, "bank.example", files.ca)


def test_what_is_there_and_good_is_kept(tmp_path: Path):
    files = tls.ensure(tmp_path, now=NOW)
    before = {path: path.read_bytes() for path in files.ca.parent.iterdir()}
    tls.ensure(tmp_path, now=NOW + datetime.timedelta(days=700))
    assert {path: path.read_bytes() for path in files.ca.parent.iterdir()} == before


def test_a_certificate_near_its_end_is_renewed_by_the_same_authority(tmp_path: Path):
    files = tls.ensure(tmp_path, now=NOW)
    authority, old = files.ca.read_bytes(), tls.examine(files)
    tls.ensure(tmp_path, now=NOW + datetime.timedelta(days=800))
    new = tls.examine(files)
    assert files.ca.read_bytes() == authority
    assert new.signed_by_ca
    assert new.expires - old.expires == datetime.timedelta(days=800)


def test_an_authority_that_would_end_first_is_replaced_with_its_certificate(tmp_path: Path):
    files = tls.ensure(tmp_path, now=NOW)
    authority = files.ca.read_bytes()
    tls.ensure(tmp_path, now=NOW + datetime.timedelta(days=3000))
    assert files.ca.read_bytes() != authority
    assert tls.examine(files).signed_by_ca


def test_files_that_do_not_belong_together_are_made_anew(tmp_path: Path):
    files, others = tls.ensure(tmp_path / "a"), tls.ensure(tmp_path / "b")
    files.key.write_bytes(others.key.read_bytes())
    tls.ensure(tmp_path / "a")
    handshake(files, "localhost", files.ca)
    files.ca.write_bytes(others.ca.read_bytes())
    assert not tls.examine(files).signed_by_ca
    tls.ensure(tmp_path / "a")
    handshake(files, "localhost", files.ca)
    files.ca.write_bytes(b"nonsense")
    tls.ensure(tmp_path / "a")
    handshake(files, "localhost", files.ca)


def test_keys_are_for_the_owner_alone_and_in_the_form_granian_reads(tmp_path: Path):
    files = tls.ensure(tmp_path)
    for path in (files.key, files.ca.with_name("ca-key.pem")):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
        serialization.load_pem_private_key(path.read_bytes(), None)


def test_the_certificate_lives_no_longer_than_clients_accept(tmp_path: Path):
    certificate = x509.load_pem_x509_certificate(tls.ensure(tmp_path, now=NOW).certificate.read_bytes())
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= datetime.timedelta(days=825)


def test_the_bundle_keeps_the_roots_this_machine_trusts_and_does_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    roots = tmp_path / "roots.pem"
    roots.write_bytes(tls.ensure(tmp_path / "somebody").ca.read_bytes().rstrip())
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    files = tls.ensure(tmp_path)
    assert files.bundle.read_bytes() == roots.read_bytes() + b"\n" + files.ca.read_bytes()
    monkeypatch.setenv("SSL_CERT_FILE", str(files.bundle))  # as `outcrop env --tls` sets it
    tls.ensure(tmp_path)
    assert files.bundle.read_bytes().count(files.ca.read_bytes()) == 1


def test_a_name_that_can_be_in_no_certificate_is_refused(tmp_path: Path):
    with pytest.raises(OutcropError, match="no name for a certificate"):
        tls.ensure(tmp_path, ["bücher.example"])


def test_examining_what_is_not_there_says_what_to_do(tmp_path: Path):
    with pytest.raises(OutcropError) as caught:
        tls.examine(tls.material(tmp_path))
    assert caught.value.fix == "Run `outcrop tls`."
