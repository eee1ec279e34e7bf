"""A local certificate authority and one certificate for this machine: what `--tls` listens with.

Knows X.509 and files; not the server. Boto3 sends API keys over TLS only, so a local endpoint needs a
certificate that clients can be told to trust. The authority is bound by name constraints to the names it was
made for: whoever trusts it, trusts it for this machine and nothing else. Its key (mode 0600) never leaves the
data folder.

    <data>/tls/ca.pem           the authority, for NODE_EXTRA_CA_CERTS
    <data>/tls/ca-key.pem
    <data>/tls/certificate.pem  the certificate, followed by the authority
    <data>/tls/key.pem          its key; PKCS#8, because granian reads nothing else
    <data>/tls/bundle.pem       the system's roots and the authority, for AWS_CA_BUNDLE and SSL_CERT_FILE
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from outcrop.errors import OutcropError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

# what every certificate covers; more names come from `server.tls_names`
ALWAYS: Final = ("localhost", "127.0.0.1", "::1")

_DAY: Final = datetime.timedelta(days=1)
_AUTHORITY_DAYS: Final = 3650
_LEAF_DAYS: Final = 825  # Apple's clients accept no more from a private authority
_RENEW_DAYS: Final = 30


class Material(msgspec.Struct, frozen=True):
    """The files (PEM) of one authority and its certificate."""

    ca: Path
    certificate: Path
    key: Path
    bundle: Path


class Certificate(msgspec.Struct, frozen=True):
    """What a certificate says: its names, until when it holds, and whether `ca` signed it."""

    names: tuple[str, ...]
    expires: datetime.datetime
    signed_by_ca: bool


def material(folder: Path) -> Material:
    """Where the files of a data folder are, whether they exist or not."""
    inside = folder / "tls"
    return Material(inside / "ca.pem", inside / "certificate.pem", inside / "key.pem", inside / "bundle.pem")


def ensure(folder: Path, names: Iterable[str] = (), now: datetime.datetime | None = None) -> Material:
    """The files of a data folder; made when missing, renewed 30 days before their end or when `names` grow.

    `names` are host names or addresses beside localhost. Raises OutcropError when one is not, when the folder
    can't be written, or when the package `cryptography` is missing.
    """
    _require_cryptography()
    now = now or datetime.datetime.now(datetime.UTC)
    files = material(folder)
    wanted = (*ALWAYS, *(name for name in names if name not in ALWAYS))
    try:
        if not _authority_fits(files, wanted, now):
            _make_authority(files, wanted, now)
        if not _leaf_fits(files, wanted, now):
            _make_leaf(files, wanted, now)
        _write(files.bundle, _roots(files.bundle) + files.ca.read_bytes(), 0o644)
    except OSError as error:
        raise OutcropError(
            f"The certificates can't be kept in {files.ca.parent}: {error.strerror}.",
            "Make that folder writable, or name another with OUTCROP_DATA_DIR.",
        ) from error
    return files


def examine(files: Material) -> Certificate:
    """Read the certificate and check it against the authority. Raises OutcropError when it can't be read."""
    _require_cryptography()
    try:
        leaf, authority = _load(files.certificate), _load(files.ca)
    except (OSError, ValueError) as error:
        raise OutcropError(f"{files.certificate} can't be read: {error}.", "Run `outcrop tls`.") from error
    return Certificate(_names(leaf), leaf.not_valid_after_utc, _signed(leaf, authority))


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401 - asked for before any work is done
    except ImportError as error:
        raise OutcropError(
            "TLS needs the package `cryptography`, which is not installed.",
            'Run: pip install "outcrop[server]"',
        ) from error


def _authority_fits(files: Material, names: Iterable[str], now: datetime.datetime) -> bool:
    from cryptography import x509

    try:
        authority = _load(files.ca)
        signer = _load_key(_authority_key(files))
        permitted = authority.extensions.get_extension_for_class(
            x509.NameConstraints
        ).value.permitted_subtrees
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    covered = set(permitted or ())
    constraints = [_constraint(name) for name in names]
    return (
        all(name in covered for name in constraints)
        and authority.public_key() == signer.public_key()
        # an authority must outlive the certificate it is about to sign
        and authority.not_valid_after_utc - now > _LEAF_DAYS * _DAY
    )


def _leaf_fits(files: Material, names: Iterable[str], now: datetime.datetime) -> bool:
    try:
        leaf, authority = _load(files.certificate), _load(files.ca)
        key = _load_key(files.key)
    except (OSError, ValueError):
        return False
    return (
        set(names) <= set(_names(leaf))
        and leaf.not_valid_after_utc - now > _RENEW_DAYS * _DAY
        and leaf.public_key() == key.public_key()
        and _signed(leaf, authority)
    )


def _make_authority(files: Material, names: Iterable[str], now: datetime.datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"Outcrop local authority {now:%Y-%m-%d}")
    certificate = (
        _builder(subject, subject, key, now, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints([_constraint(name) for name in names], None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(_authority_key(files), _pkcs8(key), 0o600)
    _write(files.ca, _pem(certificate), 0o644)


def _make_leaf(files: Material, names: Iterable[str], now: datetime.datetime) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority, signer = _load(files.ca), _load_key(_authority_key(files))
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_subject("Outcrop on this machine"), authority.subject, key, now, _LEAF_DAYS)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    _write(files.key, _pkcs8(key), 0o600)
    _write(files.certificate, _pem(certificate) + _pem(authority), 0o644)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # for clients whose clocks are behind
        .not_valid_after(now + days * _DAY - datetime.timedelta(hours=2))
    )


def _subject(name: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise OutcropError(
            f"{name!r} is no name for a certificate: {error}.", "Correct server.tls_names."
        ) from error


def _constraint(name: str) -> x509.GeneralName:
    """A permitted subtree: the name and what is below it, or exactly one address."""
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_network(name))
    except ValueError:
        return _general_name(name.removeprefix("*."))


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(name.value) for name in alternative)


def _signed(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _load(path: Path) -> x509.Certificate:
    from cryptography import x509

    return x509.load_pem_x509_certificate(path.read_bytes())


def _load_key(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError(f"{path} holds another kind of key")
    return key


def _authority_key(files: Material) -> Path:
    return files.ca.with_name("ca-key.pem")


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _pkcs8(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file in one step, so that a reader never sees half of it; leave it when it is the same."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists() and path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
    partial.replace(path)


def _roots(bundle: Path) -> bytes:
    """The certificates this machine trusts already, as PEM; those of our own bundle are not taken twice."""
    paths = ssl.get_default_verify_paths()
    # `cafile` follows SSL_CERT_FILE, which is our bundle where `outcrop env --tls` has been in force
    for candidate in (paths.cafile, paths.openssl_cafile, _certifi()):
        if candidate and Path(candidate).is_file() and Path(candidate).resolve() != bundle.resolve():
            content = Path(candidate).read_bytes()
            return content if content.endswith(b"\n") else content + b"\n"
    return b""


def _certifi() -> str | None:
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()
