"""Who is measured: Outcrop, nginx, LiteLLM. Each knows how it is started and what to ask it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from binascii import a2b_base64
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Final, Protocol

import msgspec

from bench import install, load, processes, samples
from bench.load import Answer, Counter, FrameCounter, LoadError, SseCounter
from bench.processes import Cores, free_port
from bench.samples import MODEL, REGION, Pattern
from outcrop.service.iam.presets import PRESETS
from outcrop.service.principals import Principals
from outcrop.store.sealing import Sealer, master_key
from outcrop.store.sqlite import SqliteStore
from outcrop.wire import sigv4
from outcrop.wire.eventstream import FrameBuffer
from outcrop.wire.http import JSON, Head
from outcrop.wire.sigv4 import Credentials
from outcrop.wire.sse import EventBuffer

_START_SECONDS: Final = 90  # LiteLLM takes a third of that on a cold disk


class Peer(Protocol):
    """One of those that are compared."""

    name: str

    @property
    def counter(self) -> Callable[[], Counter]:
        """What counts the deltas of its streams."""

    @property
    def version(self) -> str:
        """What it calls its version."""

    def command(self, port: int, upstream: int, folder: Path) -> list[str]:
        """How it is started."""

    @property
    def env(self) -> dict[str, str]:
        """Variables it needs."""

    def request(self, pattern: Pattern, port: int) -> bytes:
        """The bytes of a request, signed now where it must be."""

    def events(self, body: bytes) -> list[bytes]:
        """The events' JSON in a whole stream, decoded for the look before a run."""


def _http(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


def signed_head(path: str, port: int, body: bytes, key: Credentials) -> Head:
    """The head of a request as boto3 makes it: the same headers, the same ones signed, now."""
    headers = {
        "host": f"{load.HOST}:{port}",
        "content-type": JSON,
        "accept": JSON,
        "user-agent": "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux lang/python#3.11 md/pyimpl#CPython",
        "amz-sdk-invocation-id": "5ac4a2a5-9d2f-4f0c-9a1c-2f8a9f1f7b0e",
        "amz-sdk-request": "attempt=1",
    }
    head = Head("POST", path, "", headers)
    return Head("POST", path, "", headers | sigv4.sign(head, body, key, REGION, "bedrock", time.time()))


def _signed(path: str, port: int, body: bytes, key: Credentials) -> bytes:
    return _http(path, dict(signed_head(path, port, body, key).headers), body)


def _operation(pattern: Pattern) -> str:
    return "invoke" if pattern is Pattern.WHOLE else "invoke-with-response-stream"


def _frame_events(body: bytes) -> list[bytes]:
    buffer = FrameBuffer()
    buffer.feed(body)
    return [a2b_base64(msgspec.json.decode(frame.payload)["bytes"]) for frame in buffer]


class Outcrop:
    """Ours, as `outcrop serve` runs it."""

    name = "outcrop"
    counter: type[FrameCounter] = FrameCounter

    def __init__(self, keys: Path, *, engine: str = "messages") -> None:
        """`keys` is a data folder to make a key in."""
        self._folder = keys
        self._engine = engine
        principals = Principals(SqliteStore(keys / "state.db"), Sealer(master_key(keys, None, {})))
        key, secret = principals.create_access_key("bench", policies={"everything": PRESETS["everything"]})
        principals.store.close()
        self.key = Credentials(key.id, secret)

    @property
    def version(self) -> str:
        return version("outcrop")

    def command(self, port: int, upstream: int, folder: Path) -> list[str]:  # noqa: ARG002 - the protocol's
        engine = ["--engine", self._engine]
        if self._engine == "messages":
            engine += ["--base-url", f"http://{load.HOST}:{upstream}"]
        data = ["--data-dir", str(self._folder), "--host", load.HOST, "--port", str(port)]
        return [sys.executable, "-m", "outcrop", "serve", *data, *engine]

    @property
    def env(self) -> dict[str, str]:
        return {}

    def request(self, pattern: Pattern, port: int) -> bytes:
        path = f"/model/global.{MODEL.replace(':', '%3A')}/{_operation(pattern)}"
        return _signed(path, port, samples.bedrock_body(pattern), self.key)

    def events(self, body: bytes) -> list[bytes]:
        return _frame_events(body)


_NGINX_CONF: Final = Template("""\
daemon off;
worker_processes 1;
pid $folder/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path $folder/body;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi;
  scgi_temp_path $folder/scgi;
  keepalive_requests 1000000;
  upstream stub {
    server 127.0.0.1:$upstream;
    keepalive 512;
    keepalive_requests 1000000;
  }
  server {
    listen 127.0.0.1:$port backlog=2048;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    location /v1/messages { proxy_pass http://stub; }
    location /stream/ { proxy_pass http://stub/; proxy_buffering off; }
  }
}
""")


class Nginx:
    """The floor: forwards the bytes and looks at nothing. The Messages API in, the Messages API out."""

    name = "nginx"
    counter: type[SseCounter] = SseCounter

    def __init__(self) -> None:
        """Raises Missing."""
        self._binary = install.nginx()

    @property
    def version(self) -> str:
        said = subprocess.run([self._binary, "-v"], capture_output=True, text=True, check=True).stderr
        return said.strip().rpartition("/")[2]

    def command(self, port: int, upstream: int, folder: Path) -> list[str]:
        conf = folder / "nginx.conf"
        conf.write_text(_NGINX_CONF.substitute(folder=folder, port=port, upstream=upstream))
        return [str(self._binary), "-p", str(folder), "-c", str(conf), "-e", "stderr"]

    @property
    def env(self) -> dict[str, str]:
        return {}

    def request(self, pattern: Pattern, port: int) -> bytes:
        path = "/v1/messages" if pattern is Pattern.WHOLE else "/stream/v1/messages"
        # as many headers as the others get
        return _signed(path, port, samples.messages_body(pattern), Credentials("AKIAUNUSED", "unused"))

    def events(self, body: bytes) -> list[bytes]:
        return [data for _, data in EventBuffer().feed(body)]


_LITELLM_CONF: Final = Template("""\
model_list:
  - model_name: claude
    litellm_params:
      model: bedrock/$model
      custom_llm_provider: bedrock
      aws_region_name: $region
      aws_access_key_id: AKIAIOSFODNN7EXAMPLE
      aws_secret_access_key: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
      aws_bedrock_runtime_endpoint: http://127.0.0.1:$upstream
general_settings:
  master_key: $master
""")
_MASTER: Final = "sk-9fQ2mX7vLr4TzWb8KdHn5Ye3CpUs6AJg"


class LiteLLM:
    """LiteLLM's proxy on its `/bedrock` route: Bedrock in and out, a master key, no database, one worker."""

    name = "LiteLLM"
    counter: type[FrameCounter] = FrameCounter

    def __init__(self) -> None:
        """Raises Missing."""
        self._binary = install.litellm()

    @property
    def version(self) -> str:
        code = "import importlib.metadata as m; print(m.version('litellm'))"
        python = self._binary.with_name("python")
        return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    def command(self, port: int, upstream: int, folder: Path) -> list[str]:
        conf = folder / "litellm.yaml"
        fill = {"model": MODEL, "region": REGION, "upstream": upstream, "master": _MASTER}
        conf.write_text(_LITELLM_CONF.substitute(fill))
        arguments = ["--host", load.HOST, "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
        return [str(self._binary), "--config", str(conf), *arguments]

    @property
    def env(self) -> dict[str, str]:
        # the price table it brings, not the one it would fetch; and no colours, banners or feedback boxes
        return {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_COLOR": "1"}

    def request(self, pattern: Pattern, port: int) -> bytes:
        headers = {"host": f"{load.HOST}:{port}", "content-type": JSON, "accept": JSON, "user-agent": "bench"}
        headers["authorization"] = f"Bearer {_MASTER}"
        body = samples.bedrock_body(pattern)
        return _http(f"/bedrock/model/claude/{_operation(pattern)}", headers, body)

    def events(self, body: bytes) -> list[bytes]:
        return _frame_events(body)


class Running:
    """A peer that runs and has answered once."""

    def __init__(
        self, peer: Peer, port: int, process: subprocess.Popen[bytes], log: Path, started: float
    ) -> None:
        self.peer = peer
        self.port = port
        self.pid = process.pid
        self._process = process
        self._log = log
        self.start_seconds = self._first_answer(started)

    def request(self, pattern: Pattern) -> bytes:
        """A request in that pattern, signed now."""
        return self.peer.request(pattern, self.port)

    def ask(self, pattern: Pattern) -> Answer:
        """One request, one whole answer."""
        return load.run(load.once(self.port, self.request(pattern)))

    def said(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._log.read_text(errors="replace").strip().splitlines()[-12:])

    def _first_answer(self, started: float) -> float:
        """Seconds from its start to its first answer."""
        while time.perf_counter() - started < _START_SECONDS:
            with contextlib.suppress(LoadError):
                if self.ask(Pattern.WHOLE).status == 200:
                    return time.perf_counter() - started
            if self._process.poll() is not None:
                break
            time.sleep(0.003)
        raise LoadError(f"{self.peer.name} did not come up. It said:\n{self.said()}")


@contextlib.contextmanager
def started(peer: Peer, upstream: int, folder: Path, where: Cores) -> Iterator[Running]:
    """A peer for the length of the block, on its core. Raises LoadError when it does not answer."""
    home = folder / peer.name
    home.mkdir(exist_ok=True)
    port = free_port()
    command = peer.command(port, upstream, home)
    begun = time.perf_counter()
    with processes.running(command, home / "log", where.gateway, peer.env) as process:
        yield Running(peer, port, process, home / "log", begun)


@contextlib.contextmanager
def upstream(folder: Path, where: Cores) -> Iterator[int]:
    """The stub behind all of them; gives its port."""
    port = free_port()
    command = [sys.executable, "-m", "bench.upstream", str(port)]
    with processes.running(command, folder / "upstream.log", where.others) as process:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(LoadError):
                load.run(load.once(port, _http("/", {"host": load.HOST}, b"")))
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise LoadError(f"the upstream did not come up:\n{(folder / 'upstream.log').read_text()}")
            time.sleep(0.02)
        yield port
