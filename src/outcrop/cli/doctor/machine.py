"""What the doctor sees on this machine: Python, settings, keys, the endpoint, certificates, ports.

Looks only: makes and changes nothing.
"""

from __future__ import annotations

import http.client
import importlib.util
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from outcrop.cli import running as endpoints
from outcrop.cli.doctor.finding import Finding, Patient, clock
from outcrop.cli.group import EXTRAS
from outcrop.cli.running import Running
from outcrop.errors import OutcropError

_RENEW_DAYS: Final = 30
_TIMEOUT: Final = 10


def python(_: Patient) -> Iterator[Finding]:
    """The interpreter, and the packages that the commands need."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", f"{version} at {sys.executable}")
    missing = [
        name for name, extra in EXTRAS.items() if extra == "server" and not importlib.util.find_spec(name)
    ]
    if missing:
        yield Finding(
            "python", "fail", f"missing: {', '.join(missing)}", 'Run: pip install "outcrop[server]"'
        )


def settings(patient: Patient) -> Iterator[Finding]:
    """outcrop.toml and the variables over it."""
    for problem in patient.problems:
        yield Finding("settings", "fail", problem.what, problem.fix)
    if not patient.problems:
        yield Finding("settings", "ok", "every value is well; `outcrop config show` lists them")


def keys(patient: Patient) -> Iterator[Finding]:
    """The state in the data folder: whether it and its secrets can be read, and what keys there are."""
    from outcrop.cli.keys import lost_state, principals_of, state_path
    from outcrop.service.keys_json import kept_file, old_file
    from outcrop.service.principals import AccessKey

    folder = patient.settings.data.folder
    path = state_path(folder)
    if (lost := lost_state(folder)) is not None:
        yield Finding("keys", "fail", lost.what, lost.fix)
        return
    if not path.exists():
        saw, fix = f"{path} is not there", "`outcrop serve` makes it on its first start."
        if old_file(folder).exists():
            saw, fix = f"{old_file(folder)} is of an older version", "`outcrop serve` takes the keys over."
        yield Finding("keys", "warn", saw, fix)
        return
    try:
        known = principals_of(patient.settings).keys()
    except OutcropError as error:
        yield Finding("keys", "fail", error.what, error.fix)
        return
    usable = [key for key in known if isinstance(key, AccessKey) and key.enabled]
    if usable:
        saw = f"{len(usable)} access key(s) in {path}, for its owner alone, secrets encrypted"
        yield Finding("keys", "ok", saw)
    else:
        yield Finding("keys", "warn", f"no usable access key in {path}", "Run `outcrop keys create`.")
    if kept_file(folder).exists():
        saw = f"{kept_file(folder)} holds the secrets of an older version in clear"
        yield Finding("keys", "warn", saw, "Delete it when all is well.")


def endpoint(patient: Patient) -> Iterator[Finding]:
    """Whether one runs, and answers a signed call."""
    running = patient.running
    record = endpoints.record_path(patient.settings.data.folder)
    if running is None:
        if endpoints.read_record(record) is not None:
            saw = f"none runs, but {record} was left behind by one that was killed"
            yield Finding("endpoint", "warn", saw, "Nothing needs to be done: the next start replaces it.")
        else:
            yield Finding("endpoint", "warn", "none runs", "Start it with `outcrop serve`.")
        return
    try:
        status, headers, body = _caller_identity(patient, running)
    except OSError as error:
        yield Finding(
            "endpoint", "fail", f"{running.url} does not answer: {error}", "Restart `outcrop serve`."
        )
        return
    except OutcropError as error:
        yield Finding("endpoint", "fail", f"no key to ask {running.url} with: {error.what}", error.fix)
        return
    if status != 200:
        saw = f"{running.url} refused a signed call: {status} {body[:300].decode(errors='replace')}"
        yield Finding("endpoint", "fail", saw, "Restart it; if that does not help, see its log.")
        return
    yield Finding("endpoint", "ok", f"{running.url} verified a signature; engine {running.engine}")
    yield from clock("endpoint's", headers.get("date"))


def _caller_identity(patient: Patient, running: Running) -> tuple[int, Mapping[str, str], bytes]:
    """A signed GetCallerIdentity. Raises OSError when the endpoint can't be reached."""
    from outcrop.cli.keys import own_key, principals_of
    from outcrop.wire.http import Head
    from outcrop.wire.sigv4 import Credentials, sign

    pair = own_key(principals_of(patient.settings))
    address = urlsplit(running.url)
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    plain = {"host": address.netloc, "content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    head = Head("POST", "/", "", plain)
    signed = sign(head, body, Credentials(pair.id, pair.secret), running.region, "sts", time.time())
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_TIMEOUT)
    try:
        connection.request("POST", "/", body, {**plain, **signed})
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP reply ({error})") from error
    finally:
        connection.close()


def tls(patient: Patient) -> Iterator[Finding]:
    """The local authority and its certificate; or the operator's own, which the port's check tries."""
    import datetime

    from outcrop import tls as material

    if (own := patient.settings.server.tls_certificate) is not None:
        yield Finding("tls", "ok", f"a certificate of your own: {own}")
        return
    files = material.material(patient.settings.data.folder)
    wanted = patient.settings.server.tls
    if not files.certificate.exists():
        fix = "`outcrop serve --tls` makes it; API keys need it, because boto3 sends them over TLS only."
        yield Finding("tls", "warn" if wanted else "ok", "no certificate yet", fix if wanted else "")
        return
    try:
        certificate = material.examine(files)
        bundle = files.bundle.read_bytes()
    except (OutcropError, OSError) as error:
        yield Finding("tls", "fail", str(error).partition("\n")[0], "Run `outcrop tls`.")
        return
    left = (certificate.expires - datetime.datetime.now(datetime.UTC)).days
    if not certificate.signed_by_ca or files.ca.read_bytes() not in bundle:
        yield Finding(
            "tls", "fail", "certificate, authority and bundle do not fit together", "Run `outcrop tls`."
        )
    elif left < _RENEW_DAYS:
        yield Finding(
            "tls", "warn", f"the certificate ends in {left} days", "Run `outcrop tls`, and restart."
        )
    else:
        yield Finding("tls", "ok", f"certificate for {', '.join(certificate.names)}, good for {left} days")


def port(patient: Patient) -> Iterator[Finding]:
    """Whether the ports that `serve` would take are free, and its own certificate of use."""
    from outcrop.server import Listener, check_listener

    if patient.running is not None:
        return
    server = patient.settings.server
    listeners = [Listener(server.plain_host, server.port)]
    if server.tls:
        listeners.append(Listener(server.host, server.tls_port, server.tls_certificate, server.tls_key))
    for listener in listeners:
        try:
            check_listener(listener)
        except OutcropError as error:
            yield Finding("port", "fail", error.what, error.fix)
        else:
            yield Finding("port", "ok", f"{listener.host}:{listener.port} is free")
