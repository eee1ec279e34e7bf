"""What the doctor sees of the clients: their environment as each of them reads it, the AWS CLI, Node."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # documented by use only

from outcrop.cli.doctor.finding import Finding, Patient
from outcrop.cli.env import address
from outcrop.cli.environment import ADDRESSES
from outcrop.cli.keys import principals_of, state_path
from outcrop.cli.node import OLDEST, find_node
from outcrop.errors import OutcropError

GUIDES_CLI: Final = (2, 13, 23)


def environment(patient: Patient) -> Iterator[Finding]:
    """The environment, as each client would read it."""
    env, running = patient.env, patient.running
    pointed = {name: env[name] for name in ADDRESSES if name in env}
    if not pointed:
        yield Finding("clients", "ok", 'this shell points no client here; eval "$(outcrop env)" does')
    if running is not None:
        whose, ours = "the endpoint that runs", {running.url, running.tls_url}
    else:
        whose = "the settings name"
        ours = {address(patient.settings, None, tls=tls) for tls in (False, True)}
    astray = {name for name, url in pointed.items() if url.rstrip("/") not in ours}
    missing = [name for name in ADDRESSES if pointed and name not in pointed]
    if astray:
        saw = f"{', '.join(sorted(astray))} lead to another address than {whose}"
        yield Finding("clients", "warn", saw, 'Run eval "$(outcrop env)" again.')
    if missing:
        yield Finding("clients", "warn", f"not set: {', '.join(missing)}", 'Run eval "$(outcrop env)" again.')
    contradictions = [*_contradictions(env, pointed), *(_strange_keys(patient) if pointed else ())]
    yield from contradictions
    if pointed and not (astray or missing or contradictions):
        yield Finding("clients", "ok", "every address, the keys and the region are set for this endpoint")


def _strange_keys(patient: Patient) -> Iterator[Finding]:
    """Whether the key pair in the environment is one of this endpoint's. Temporary ones are not looked at."""
    given = patient.env.get("AWS_ACCESS_KEY_ID", "")
    if not given or given.startswith("ASIA") or not state_path(patient.settings.data.folder).exists():
        return
    try:
        secret = _secret_of(given, patient)
    except OutcropError:
        return  # said about the state already
    if secret is None:
        saw = f"AWS_ACCESS_KEY_ID is {given}, which this endpoint does not know or has revoked"
    elif secret != patient.env.get("AWS_SECRET_ACCESS_KEY"):
        saw = f"AWS_SECRET_ACCESS_KEY is not the secret of {given}"
    else:
        return
    yield Finding("clients", "fail", f"{saw}: every call will be refused", 'Run eval "$(outcrop env)" again.')


def _secret_of(key_id: str, patient: Patient) -> str | None:
    """The secret of an access key that is in use; None when there is none such."""
    from outcrop.service.principals import AccessKey

    principals = principals_of(patient.settings)
    key = principals.store.snapshot().get(AccessKey, key_id)
    return principals.secret(key) if key is not None and key.enabled else None


def _contradictions(env: Mapping[str, str], pointed: Mapping[str, str]) -> Iterator[Finding]:
    if "AWS_ENDPOINT_URL" in env:
        saw = "AWS_ENDPOINT_URL is set: it sends S3 and every other service there too"
        yield Finding(
            "clients", "warn", saw, "Unset it; the variables of `outcrop env` are for Bedrock and STS."
        )
    if env.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true" and pointed:
        saw = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true: AWS's clients ignore these addresses"
        yield Finding("clients", "fail", saw, "Unset it.")
    plain = [url for url in pointed.values() if url.startswith("http:")]
    if "AWS_BEARER_TOKEN_BEDROCK" in env and plain:
        saw = "AWS_BEARER_TOKEN_BEDROCK is set and the address is http: boto3 refuses to send it, others do"
        yield Finding("clients", "fail", saw, 'Unset it, or run eval "$(outcrop env --api-key)".')
    if not pointed:
        return
    if "AWS_PROFILE" in env:
        saw = f"AWS_PROFILE is {env['AWS_PROFILE']}: some SDKs take its keys before those in the environment"
        yield Finding("clients", "warn", saw, "Unset it.")
    if "AWS_ACCESS_KEY_ID" not in env and "AWS_PROFILE" not in env:
        yield Finding("clients", "warn", "no keys in the environment", 'Run eval "$(outcrop env)".')
    elif "AWS_SESSION_TOKEN" in env and env.get("AWS_ACCESS_KEY_ID", "").startswith("AKIA"):
        saw = "AWS_SESSION_TOKEN is set beside a long-term key: every call will be refused"
        yield Finding("clients", "fail", saw, "Unset AWS_SESSION_TOKEN.")
    missing = [name for name in ("AWS_REGION", "AWS_DEFAULT_REGION") if name not in env]
    if missing:
        saw = f"{' and '.join(missing)} not set: boto3 and the AWS CLI read the second, others the first"
        yield Finding("clients", "warn", saw, 'Run eval "$(outcrop env)" again.')
    yield from _trust(env, pointed)
    yield from _proxies(env, pointed)


def _trust(env: Mapping[str, str], pointed: Mapping[str, str]) -> Iterator[Finding]:
    if not any(url.startswith("https:") for url in pointed.values()):
        return
    for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
        if not Path(env.get(name, "")).is_file():
            saw = f"{name} is not set, or names no file: its clients won't trust the local certificate"
            yield Finding("clients", "warn", saw, 'Run eval "$(outcrop env --tls)".')


def _proxies(env: Mapping[str, str], pointed: Mapping[str, str]) -> Iterator[Finding]:
    def read(name: str) -> str:
        return env.get(name) or env.get(name.upper()) or ""

    for url in sorted(set(pointed.values())):
        parts = urlsplit(url)
        if read(f"{parts.scheme}_proxy") and not proxy_bypass_environment(
            parts.netloc, {"no": read("no_proxy")}
        ):
            saw = f"{parts.scheme.upper()}_PROXY is set, and clients will ask it for {parts.netloc}"
            yield Finding("clients", "warn", saw, f"Add {parts.hostname} to NO_PROXY.")


def aws_cli(_: Patient) -> Iterator[Finding]:
    """Which AWS CLI is on the path, and how old it is."""
    program = shutil.which("aws")
    if program is None:
        yield Finding(
            "aws cli", "warn", "not found", "Only needed for `aws` commands: pip install awscli, or v2."
        )
        return
    said = _said([program, "--version"])
    match = re.search(r"aws-cli/(\d+)\.(\d+)\.(\d+)", said)
    if match is None:
        yield Finding("aws cli", "warn", f"{program} does not tell its version", "Run `aws --version`.")
        return
    version = tuple(map(int, match.groups()))
    text = ".".join(match.groups())
    guides = ".".join(map(str, GUIDES_CLI))
    if version[0] == 1:
        saw = f"{text}: version 1, from the package index, has other numbers than the guide's {guides} (v2)"
        knows = _knows_bedrock(program)
        yield Finding("aws cli", "ok" if knows else "warn", saw, "" if knows else "pip install -U awscli")
    elif version < GUIDES_CLI:
        saw = f"{text} is older than the guide's {guides}, and may not know Bedrock"
        yield Finding("aws cli", "warn", saw, "Install a newer one.")
    else:
        yield Finding("aws cli", "ok", f"{text} (the guide asks for {guides} or newer)")


def _knows_bedrock(program: str) -> bool:
    # prints what the command would take, without asking anybody
    return "byProvider" in _said([program, "bedrock", "list-foundation-models", "--generate-cli-skeleton"])


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr  # early versions of v1 told theirs on stderr


def node(_: Patient) -> Iterator[Finding]:
    """Node, for the TypeScript SDK."""
    found = find_node()
    if found is None:
        fix = "Only needed for the TypeScript SDK."
        yield Finding("node", "warn", f"no Node {OLDEST} or newer with npm", fix)
    else:
        yield Finding("node", "ok", f"{'.'.join(map(str, found.version))} at {found.node[0]}")
