"""Which settings there are: types, ranges, defaults, purposes. One Struct per section of `outcrop.toml`.

Knows no file, no environment but for secrets, and not what the settings do. `title` says what is wanted, in
the words an error uses; `description` says what the setting is for: the reference is drawn from both.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta

from outcrop.engine import Lack
from outcrop.errors import ConfigError


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Secret:
    """A secret by reference. It prints as its reference, never as itself."""

    def __init__(self, reference: str) -> None:
        """`reference` is `env:NAME`, `file:/path`, or (never from the file) the secret itself."""
        self._reference = reference

    def reveal(self, env: Mapping[str, str] = os.environ) -> str:
        """The secret. Raises ConfigError when the variable or the file it names is not there or empty."""
        kind, _, name = self._reference.partition(":")
        if kind == "env":
            value = env.get(name, "")
            if not value:
                raise ConfigError(
                    f"The environment variable {name} is not set; the configuration takes a secret from it.",
                    f"Set {name} in the environment of `outcrop serve`.",
                )
            return value
        if kind == "file":
            return _secret_file(Path(name).expanduser())
        return self._reference

    def __repr__(self) -> str:
        return self._reference if self._reference.startswith(("env:", "file:")) else "********"


def _secret_file(path: Path) -> str:
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The secret in {path} can't be read: {error}.", "Check the path and who may read it."
        ) from error
    if not value:
        raise ConfigError(f"The secret in {path} is empty.", "Write the secret into the file.")
    return value


# `title` says what is wanted, in the words an error uses; `description` says what the setting is for.
Flag = Annotated[bool, Meta(title="true or false")]
Port = Annotated[int, Meta(ge=1, le=65535, title="a port from 1 to 65535")]
Seconds = Annotated[float, Meta(gt=0, le=3600, title="seconds, above 0 and up to 3600")]
File = Annotated[Path | None, Meta(title="the path of a file")]
Host = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._:%-]+$", title="an address or a host's name, without a port")
]


class Server(msgspec.Struct, frozen=True):
    """Where the endpoint listens, and how patient it is."""

    host: Annotated[Host, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Port for HTTP/1.1 and cleartext HTTP/2.")] = 8080
    tls: Annotated[Flag, Meta(description="Listen with TLS too, on tls_port.")] = False
    tls_port: Annotated[Port, Meta(description="Port of the TLS listener.")] = 8443
    tls_names: Annotated[
        tuple[Host, ...],
        Meta(
            title="a list of names",
            description="Names of this machine that its certificate covers, beside localhost.",
        ),
    ] = ()
    tls_certificate: Annotated[
        File, Meta(description="A certificate (PEM) of your own, instead of the local CA's.")
    ] = None
    tls_key: Annotated[File, Meta(description="The key of that certificate (PEM, PKCS#8).")] = None
    insecure_bind: Annotated[
        Flag, Meta(description="Allow the port without TLS on an address that other machines can reach.")
    ] = False
    header_timeout: Annotated[Seconds, Meta(description="How long a request's headers may take.")] = 10
    body_timeout: Annotated[Seconds, Meta(description="How long a body may make no progress.")] = 30
    write_timeout: Annotated[Seconds, Meta(description="How long a client may read nothing.")] = 60
    drain: Annotated[Seconds, Meta(description="How long running answers may go on after SIGTERM.")] = 30
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(title='"debug", "info", "warning" or "error"', description="What is written to stderr."),
    ] = "warning"

    @property
    def plain_host(self) -> str:
        """Where the port without TLS binds: on this machine only, unless `insecure_bind` says otherwise."""
        return self.host if self.insecure_bind or is_loopback(self.host) else "127.0.0.1"


class Bedrock(msgspec.Struct, frozen=True):
    """How the service behaves where Bedrock leaves a choice."""

    region: Annotated[
        str,
        Meta(
            pattern=r"^[a-z]{2}(-[a-z]+)+-\d{1,2}$",
            title="a region's name, such as us-west-2",
            description="Region of API keys that name none, and the one `outcrop env` sets.",
        ),
    ] = "us-west-2"
    edition: Annotated[
        Literal["guide", "2026-11"],
        Meta(title='"guide" or "2026-11"', description="Which state of the model catalogue is served."),
    ] = "guide"
    bare_model_id: Annotated[
        Literal["regional", "refuse"],
        Meta(
            title='"regional" or "refuse"',
            description="A model id without a prefix: the region's own endpoint, or AWS's refusal.",
        ),
    ] = "regional"
    access: Annotated[
        Literal["open", "request"],
        Meta(
            title='"open" or "request"',
            description="Model access: granted on first use, or asked for as the guide describes.",
        ),
    ] = "open"
    residency: Annotated[
        tuple[str, ...],
        Meta(
            title='a list of regions or of "eu", "us", "jp", "au", …',
            description="The only regions to which the whole endpoint may send calls; empty: any.",
        ),
    ] = ()
    quotas: Annotated[
        Flag,
        Meta(description="Enforce requests and tokens a minute and tokens a day, as Bedrock counts them."),
    ] = False
    clock_skew: Annotated[
        int,
        Meta(
            ge=1,
            le=86400,
            title="seconds from 1 to 86400",
            description="How far a signature's time may be off.",
        ),
    ] = 300
    padding: Annotated[Flag, Meta(description="Pad stream events to random lengths, as Bedrock does.")] = True


class Local(msgspec.Struct, frozen=True):
    """The engine on this machine: llama.cpp in a child process."""

    model_file: Annotated[
        File, Meta(description="A GGUF file instead of the model that `outcrop model pull` brings.")
    ] = None
    threads: Annotated[
        int,
        Meta(
            ge=0, le=256, title="a number of threads, or 0", description="Threads to compute with; 0 chooses."
        ),
    ] = 0
    context: Annotated[
        int,
        Meta(
            ge=256,
            le=1_048_576,
            title="tokens, from 256 to 1048576",
            description="Context of each answer, in tokens.",
        ),
    ] = 8192
    parallel: Annotated[
        int,
        Meta(ge=1, le=64, title="from 1 to 64", description="How many answers are made at once; more wait."),
    ] = 2


ANTHROPIC: Final = "https://api.anthropic.com"


class Messages(msgspec.Struct, frozen=True):
    """A server that speaks the Anthropic Messages API: the Claude API, vLLM, Ollama, llama.cpp."""

    base_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?|http\+unix)://[^\s/?#@]+[^\s?#]*$",
            title="an http:// or https:// address without a login",
            description="Where it is; /v1/messages is added.",
        ),
    ] = ANTHROPIC
    api_key: Annotated[
        Secret | None,
        Meta(
            title='"env:NAME" or "file:/path"',
            description="Its key; by default ANTHROPIC_API_KEY for the Claude API, none for others.",
        ),
    ] = None
    auth: Annotated[
        Literal["x-api-key", "bearer"],
        Meta(title='"x-api-key" or "bearer"', description="Which header carries the key."),
    ] = "x-api-key"
    models: Annotated[
        dict[str, str],
        Meta(
            title='a table of names: "anthropic.claude-…" = "name there"',
            description="What a model is called there; without an entry, Anthropic's own name for it.",
        ),
    ] = {}
    connect_timeout: Annotated[Seconds, Meta(description="How long connecting may take.")] = 5
    first_timeout: Annotated[Seconds, Meta(description="How long the first byte of an answer may take.")] = (
        600
    )
    idle_timeout: Annotated[Seconds, Meta(description="How long a stream may be silent.")] = 60
    lacks: Annotated[
        tuple[Lack, ...],
        Meta(
            title=f"a list of {', '.join(get_args(Lack))}",
            description="What it can't do; asked for it, Outcrop refuses as Bedrock does.",
        ),
    ] = ()
    ca_file: Annotated[
        File, Meta(description="Certificates (PEM) to trust for it, in place of the system's.")
    ] = None
    proxy: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s]+)?$",
            title="an http:// address",
            description="Proxy to reach it through.",
        ),
    ] = ""
    headers: Annotated[
        dict[str, str],
        Meta(
            title="a table of headers",
            description="Sent with every request; values may be env:NAME or file:/path.",
        ),
    ] = {}

    @property
    def origin(self) -> str:
        """`base_url` without the `/v1` that many put there: what paths of the API are added to."""
        return self.base_url.rstrip("/").removesuffix("/v1").rstrip("/")

    def key(self, env: Mapping[str, str] = os.environ) -> str:
        """The key to send, or "" for none. Raises ConfigError when the one that is needed is not set."""
        if self.api_key is not None:
            return self.api_key.reveal(env)
        # a key of Anthropic's is not sent to somebody else's server just because it is in the environment
        return Secret("env:ANTHROPIC_API_KEY").reveal(env) if self.origin == ANTHROPIC else ""

    def sent_headers(self, env: Mapping[str, str] = os.environ) -> dict[str, str]:
        """`headers`, with references replaced by what they name."""
        return {name: Secret(value).reveal(env) for name, value in self.headers.items()}


class Scripted(msgspec.Struct, frozen=True):
    """Answers from a list, for tests."""

    answers: Annotated[
        File, Meta(description="A JSON or TOML file with the answers; without it, one fixed sentence.")
    ] = None


Kind = Annotated[
    Literal["local", "messages", "scripted"],
    Meta(title='"local", "messages" or "scripted"', description="Which of the engines below answers."),
]
Amount = Annotated[int, Meta(ge=0, le=1_000_000_000, title="a number, or 0 for unknown")]


class Engine(msgspec.Struct, frozen=True):
    """Who answers: one engine for every region. Regions are simulated then, and replies say so."""

    kind: Kind = "local"
    local: Local = Local()
    messages: Messages = Messages()
    scripted: Scripted = Scripted()


class Placed(msgspec.Struct, frozen=True):
    """One of several engines, in the regions it really stands in; takes the place of `[engine]`.

    A call goes to one that stands in a region it may use, and to another when that one fails. The name is
    yours: lowercase letters, digits, - and _. What `[engine.local]`, `[engine.messages]` and
    `[engine.scripted]` are to the single engine, `[engines.<name>.local]` and so on are to each.
    """

    kind: Kind = "local"
    regions: Annotated[
        tuple[str, ...],
        Meta(title="a list of regions", description="Where it stands; empty: everywhere, simulated."),
    ] = ()
    models: Annotated[
        tuple[str, ...],
        Meta(title="a list of models' ids or names", description="Which models it serves; empty: all."),
    ] = ()
    concurrent: Annotated[
        Amount, Meta(description="How many answers at once it takes before others are preferred.")
    ] = 0
    requests_per_minute: Annotated[
        Amount, Meta(description="Its own limit of requests; others are preferred as it is used up.")
    ] = 0
    tokens_per_minute: Annotated[
        Amount, Meta(description="Its own limit of tokens; others are preferred as it is used up.")
    ] = 0
    local: Local = Local()
    messages: Messages = Messages()
    scripted: Scripted = Scripted()


class Data(msgspec.Struct, frozen=True):
    """What is kept on disk."""

    folder: Annotated[
        Path,
        Meta(title="the path of a folder", description="State, certificates, models. Also OUTCROP_DATA_DIR."),
    ] = Path()
    calls_kept: Annotated[
        int,
        Meta(
            ge=1,
            le=3650,
            title="days from 1 to 3650",
            description="How long the records of where calls were sent are kept.",
        ),
    ] = 90
    secret_key: Annotated[
        Secret | None,
        Meta(
            title='"env:NAME" or "file:/path"',
            description="What secrets at rest are encrypted with; by default a file made in the folder.",
        ),
    ] = None


class Settings(msgspec.Struct, frozen=True):
    """All settings, checked. The sections are those of the file."""

    server: Server = Server()
    bedrock: Bedrock = Bedrock()
    engine: Engine = Engine()
    engines: dict[str, Placed] = {}
    data: Data = Data()

    @property
    def placed(self) -> dict[str, Placed]:
        """Every engine by its name; the one of `[engine]` by its kind."""
        if self.engines:
            return self.engines
        one = self.engine
        return {one.kind: Placed(one.kind, local=one.local, messages=one.messages, scripted=one.scripted)}
