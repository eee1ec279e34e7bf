"""Several server processes on one data folder hold an account to its quotas together: never one call over.

Real processes, real HTTP, and a client that is light enough to have two hundred calls under way at once. Each
run is an account of its own, with a limit of its own. OUTCROP_PROVE=1 makes a hundred runs, or as many as fit
into ten minutes.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stderr, redirect_stdout
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from endpoint import REGION
from guide_table import HAIKU_3, SONNET_45
from outcrop.catalog import quotas
from outcrop.cli.group import outcrop
from outcrop.cli.running import free_port, read_record
from outcrop.service.iam.presets import PRESETS
from outcrop.service.principals import Principals
from outcrop.service.quota import estimate
from outcrop.store.counters import NAME, Counters
from outcrop.store.sealing import Sealer, master_key
from outcrop.store.sqlite import STATE, SqliteStore
from outcrop.wire import sigv4
from outcrop.wire.http import Head
from store.killing import PROVE

SERVERS, CALLS = 4, 200
SECONDS = 600  # for the long proof

BODY: dict[str, Any] = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "Hello, world"}],
}
INPUT = estimate.input_tokens(BODY)
RESERVED = INPUT + 1000
OUTPUT = 10
# With 5 tokens for each of output, as of Claude 4, a call costs what it has reserved: nothing comes back
# while others still ask. With 1, as of Claude 3, 40 come back from each.
SCRIPT = [{"text": "Hello.", "input_tokens": RESERVED - 5 * OUTPUT, "output_tokens": OUTPUT}]

TEXTS = {
    "rpm": "Too many requests, please wait before trying again.",
    "tpm": "Too many tokens, please wait before trying again.",
}
WORDS = {"rpm": "requests per minute", "tpm": "tokens per minute"}


class Answered(NamedTuple):
    """One reply."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


class Caller(NamedTuple):
    """Who calls, and the account it is."""

    account: str
    credentials: sigv4.Credentials


@contextmanager
def served(home: Path) -> Iterator[list[int]]:
    """The ports of four processes that start at once on a data folder that is not there yet."""
    (home / "outcrop.toml").write_text("[bedrock]\nquotas = true\n")
    (home / "answers.json").write_text(json.dumps(SCRIPT))
    with ExitStack() as stack:
        started = [stack.enter_context(_process(home, number)) for number in range(SERVERS)]
        deadline = time.monotonic() + 60
        for process, record, _ in started:
            while read_record(record) is None:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline, "it did not start"
                time.sleep(0.01)
        yield [port for _, _, port in started]
        for process, _, _ in started:
            assert process.poll() is None, process.communicate()


@contextmanager
def _process(home: Path, number: int) -> Iterator[tuple[subprocess.Popen[bytes], Path, int]]:
    record, port = home / f"endpoint {number}.json", free_port()
    command = [sys.executable, "-m", "outcrop", "serve", "--engine", "scripted", "--port", str(port)]
    command += [
        "--answers",
        str(home / "answers.json"),
        "--record",
        str(record),
        "--data-dir",
        str(home / "data"),
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OUTCROP_"))}
    env |= {"HOME": str(home)}
    with (
        (home / f"log {number}").open("wb") as log,
        subprocess.Popen(command, cwd=home, env=env, stdout=log, stderr=log) as process,
    ):
        try:
            yield process, record, port
        finally:
            process.kill()


def new_caller(principals: Principals) -> Caller:
    """Of a new account; every process knows it at once."""
    account = principals.create_account().id
    policies = {"everything": PRESETS["everything"]}
    key, secret = principals.create_access_key("caller", account=account, policies=policies)
    return Caller(account, sigv4.Credentials(key.id, secret))


def command(*arguments: str) -> str:
    """What a command says."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(io.StringIO()):
        outcrop.main(list(arguments), standalone_mode=False)
    return said.getvalue()


async def call_all(ports: list[int], caller: Caller, model: str) -> list[Answered]:
    """Two hundred calls on connections of their own: all are open before the first is used."""
    open_ = [await asyncio.open_connection("127.0.0.1", ports[n % len(ports)]) for n in range(CALLS)]
    requests = {port: _request(port, caller, model) for port in ports}
    for number, (_, writer) in enumerate(open_):
        writer.write(requests[ports[number % len(ports)]])
    replies = await asyncio.gather(*(reader.read() for reader, _ in open_))
    for _, writer in open_:
        writer.close()
        await writer.wait_closed()
    return [_read(reply) for reply in replies]


def _request(port: int, caller: Caller, model: str) -> bytes:
    body = msgspec.json.encode(BODY)
    path = f"/model/{model.replace(':', '%3A')}/invoke"
    headers = {"host": f"127.0.0.1:{port}", "content-length": str(len(body)), "connection": "close"}
    signed = sigv4.sign(
        Head("POST", path, "", headers), body, caller.credentials, REGION, "bedrock", time.time()
    )
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in (headers | signed).items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _read(reply: bytes) -> Answered:
    head, _, body = reply.partition(b"\r\n\r\n")
    first, _, rest = head.partition(b"\r\n")
    headers = {name.lower(): value for name, value in BytesHeaderParser().parsebytes(rest).items()}
    return Answered(int(first.split()[1]), headers, msgspec.json.decode(body))


def check_refusal(refused: Answered, caller: Caller, quota: str, limit: int) -> None:
    """AWS's words, when to come back, and why."""
    assert refused.status == 429
    assert refused.headers["x-amzn-errortype"].startswith("ThrottlingException:")
    assert refused.body == {"message": TEXTS[quota]}
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    why = refused.headers["x-outcrop-quota"]
    assert why.startswith(f"{WORDS[quota]}; account {caller.account}; model ")
    assert f"; region {REGION}; " in why
    assert f"; limit {limit}; left " in why
    assert "; fits in " in why


KINDS = (("rpm", SONNET_45), ("tpm", SONNET_45), ("tpm", HAIKU_3))


def run(
    folder: Path, ports: list[int], principals: Principals, chance: random.Random, quota: str, model: str
) -> tuple[int, int]:
    """One run: how many fit, and how many were refused."""
    caller = new_caller(principals)
    limit = chance.randrange(1, 190) if quota == "rpm" else chance.randrange(RESERVED, 190 * RESERVED)
    command("quota", "set", quota, str(limit), "--account", caller.account, "--data-dir", str(folder))
    replies = asyncio.run(call_all(ports, caller, f"us.{model}"))
    answered = [reply for reply in replies if reply.status == 200]
    for reply in replies:
        if reply.status != 200:
            check_refusal(reply, caller, quota, limit)
    cost = RESERVED - (5 - quotas.burndown(model)) * OUTPUT
    if quota == "rpm":
        assert len(answered) == limit
    elif cost == RESERVED:
        assert len(answered) == limit // RESERVED
    else:  # what came back, others may have had
        assert limit // RESERVED <= len(answered) <= (limit - RESERVED) // cost + 1
    with closing(Counters(folder / NAME)) as counters:
        used = counters.used(f"{caller.account}/{model}/{REGION}/cross-region", time.time())
    assert used == (len(answered), len(answered) * cost, len(answered) * cost)
    said = command("quota", "why", "--account", caller.account, "--output", "json", "--data-dir", str(folder))
    (last,) = json.loads(said)
    assert last["why"] in {reply.headers["x-outcrop-quota"] for reply in replies if reply.status != 200}
    return len(answered), CALLS - len(answered)


def test_four_servers_answer_as_many_calls_as_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder, chance, seen = tmp_path / "data", random.Random(4), []
    with served(tmp_path) as ports, closing(SqliteStore(folder / STATE)) as store:
        principals = Principals(store, Sealer(master_key(folder, None, {})))
        end = time.monotonic() + SECONDS
        while len(seen) < (100 if PROVE else 3) and time.monotonic() < end:
            seen.append(run(folder, ports, principals, chance, *KINDS[len(seen) % len(KINDS)]))
    answered, refused = (sum(column) for column in zip(*seen, strict=True))
    print(f"{len(seen)} runs: {answered} answered, {refused} refused")  # for whoever proves it, with -s
    assert answered
    assert refused
