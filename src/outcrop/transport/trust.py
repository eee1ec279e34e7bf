"""Which certificate authorities are believed. Knows files and environment variables; opens no connection.

The first of these that is given counts, and nothing beside it:

    the argument              a file of certificates (PEM), or a folder as `openssl rehash` makes it
    AWS_CA_BUNDLE             the same; what AWS's own tools read
    SSL_CERT_FILE and/or SSL_CERT_DIR
    REQUESTS_CA_BUNDLE        the same as AWS_CA_BUNDLE
    the system's              where OpenSSL was told to look, else where systems keep them
    certifi                   if it is installed: python.org's builds for macOS come without any

`ssl` is imported when TLS is first spoken: together with the certificates it costs 20 ms or more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from outcrop.transport import CertificateError, DialError

if TYPE_CHECKING:
    import ssl

    from outcrop.transport.route import Route

# Where systems keep all authorities in one file, for a Python whose OpenSSL was built to look elsewhere.
_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Gentoo
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, Red Hat, Amazon Linux
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS, the BSDs
)

# OpenSSL's X509_V_ERR_*: HOSTNAME_, EMAIL_, IP_ADDRESS_MISMATCH; CERT_NOT_YET_VALID, CERT_HAS_EXPIRED.
_NAMES: Final = frozenset({62, 63, 64})
_DATES: Final = frozenset({9, 10})
# What OpenSSL makes of an answer that is not TLS: it depends on the bytes, and on its release.
_NOT_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"}
)


class Trust:
    """The TLS settings of one client. `ca_file` replaces every other list of authorities.

    `named` says in error texts where `ca_file` comes from; `environ` is the process's unless given.
    """

    def __init__(
        self, ca_file: str = "", *, named: str = "ca_file", environ: Mapping[str, str] | None = None
    ) -> None:
        self._ca_file = ca_file
        self._named = named
        self._environ = os.environ if environ is None else environ
        self._context: ssl.SSLContext | None = None
        # where the authorities that are believed came from, and the first place named by somebody
        self._believed = "this system's"
        self._given_by = ("", "")

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, names and dates checked, ALPN `http/1.1`. Made once, when first asked for.

        Raises CertificateError, which names the variable or argument, when its certificates can't be read.
        """
        if self._context is None:
            # two threads may both get here: each makes one, the last is kept, either will do
            self._context = self._make()
        return self._context

    def _make(self) -> ssl.SSLContext:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks names and certificates by itself
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # an intermediate authority that is named is believed too, as by default from Python 3.13 on
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.set_alpn_protocols(["http/1.1"])
        given = [(origin, path) for origin, path in self._given() if path]
        for origin, path in given:
            _load(context, origin, path)
        if not given:
            self._believed = _load_system(context)
        else:
            self._given_by = given[0]
            self._believed = " and ".join(f"{origin} = {path}" for origin, path in given)
        return context

    def refused(self, route: Route, error: ssl.SSLCertVerificationError) -> CertificateError:
        """What a failed verification is, with OpenSSL's reason, and what can be done."""
        reason = error.verify_message.rstrip(".") or str(error)
        what = f"the certificate of {_place(route)} is not believed: {reason}"
        if error.verify_code in _NAMES:
            return CertificateError(what, fix="Call the server by a name that its certificate holds.")
        if error.verify_code in _DATES:
            return CertificateError(
                what, fix="Set this machine's clock, if it is wrong; else the server needs a new certificate."
            )
        origin, path = self._given_by
        fix = f"Add the server's authority to {path}, or {_correct(origin)}." if origin else ""
        return CertificateError(f"{what} (authorities: {self._believed})", fix=fix)

    def _given(self) -> tuple[tuple[str, str], ...]:
        """The first place that names certificates, with its name."""
        read = self._environ.get
        if self._ca_file:
            return ((self._named, self._ca_file),)
        if bundle := read("AWS_CA_BUNDLE"):
            return (("AWS_CA_BUNDLE", bundle),)
        if read("SSL_CERT_FILE") or read("SSL_CERT_DIR"):
            folders = read("SSL_CERT_DIR", "").split(os.pathsep)
            return (
                ("SSL_CERT_FILE", read("SSL_CERT_FILE", "")),
                *(("SSL_CERT_DIR", folder) for folder in folders),
            )
        return (("REQUESTS_CA_BUNDLE", read("REQUESTS_CA_BUNDLE", "")),)


def no_tls(route: Route, error: Exception) -> DialError:
    """What another failure of TLS is."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    fix = ""
    if reason in _NOT_TLS:
        reason = "what answers there does not speak it"
        fix = "If the server is one without TLS, write http:// in place of https:// in its address."
    elif not reason or reason == "UNEXPECTED_EOF_WHILE_READING":
        reason = "the connection was closed in the middle of the handshake"
    return DialError(f"{_place(route)}: TLS failed: {reason}", fix=fix)


def _place(route: Route) -> str:
    by = f" (by {route.proxy})" if route.proxy else ""
    return f"{route.host}:{route.port}{by}"


def _correct(origin: str) -> str:
    """What to do with a place that names certificates."""
    return f"correct or unset {origin}" if origin.isupper() else f"correct {origin}"


def _load(context: ssl.SSLContext, origin: str, path: str) -> None:
    """Adds what a person has named. Raises CertificateError."""
    import ssl

    try:
        if not os.path.isdir(path):
            context.load_verify_locations(cafile=path)
            return
        if _hashed(path):
            context.load_verify_locations(capath=path)
            return
        why = "a folder without certificates under hashed names (run `openssl rehash` there)"
    except ssl.SSLError:
        why = "which holds no certificates in PEM form"
    except FileNotFoundError:
        why = "which does not exist"
    except OSError as error:
        why = f"which can't be read: {error.strerror}"
    correct = _correct(origin)
    raise CertificateError(f"{origin} names {path}, {why}", fix=f"{correct[0].upper()}{correct[1:]}.")


def _load_system(context: ssl.SSLContext) -> str:
    """Adds the system's authorities. Returns whose they are. Raises CertificateError when there are none."""
    import ssl

    built = ssl.get_default_verify_paths()
    folder = built.openssl_capath
    hashed = _hashed(folder)
    if hashed:
        context.load_verify_locations(capath=folder)
    for file in (built.openssl_cafile, *_FILES):
        # Loading the file means parsing some 150 certificates, 20 ms; from the folder OpenSSL takes the one
        # it needs. Debian keeps the same in both; a file that holds more has been added to by hand.
        held = _certificates(file)
        if held > hashed:
            _load(context, "this system", file)
        if held:
            return "this system's"
    if hashed:
        return "this system's"
    if _load_certifi(context):
        return "certifi's"
    raise CertificateError(
        "this system has no certificate authorities",
        fix="Install its package `ca-certificates`, or certifi, or name a bundle in AWS_CA_BUNDLE.",
    )


def _load_certifi(context: ssl.SSLContext) -> bool:
    try:
        import certifi
    except ImportError:
        return False
    context.load_verify_locations(cafile=certifi.where())
    return True


def _hashed(folder: str) -> int:
    """How many certificates a folder has under the names by which OpenSSL finds them: `5ed36f99.0`."""
    try:
        return sum(len(name) == 10 and name[8] == "." and name[9].isdecimal() for name in os.listdir(folder))
    except OSError:
        return 0


def _certificates(file: str) -> int:
    """How many certificates a file holds; 0 when it can't be read."""
    try:
        with open(file, "rb") as opened:
            return opened.read().count(b"-----BEGIN ")
    except OSError:
        return 0
