"""A real endpoint for tests: the whole server on loopback, in a thread, with its own keys and scripts."""

import asyncio
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from outcrop import endpoint as product
from outcrop.config import Settings
from outcrop.engine.scripted import Script, ScriptedEngine
from outcrop.server import Listener, serve
from outcrop.service.iam.presets import PRESETS
from outcrop.service.principals import Principals
from outcrop.service.routing.places import Fleet, Place
from outcrop.store import Store
from outcrop.store.sealing import Sealer
from outcrop.store.sqlite import SqliteStore

REGION = "us-west-2"
SONNET = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Answers:
    """An engine whose scripts a test puts in; it stands for whichever engine would answer."""

    cannot = frozenset()

    def __init__(self):
        self.inner = ScriptedEngine()

    @property
    def name(self):
        return self.inner.name

    def script(self, *scripts, repeat=True, cannot=()):
        self.inner = ScriptedEngine(
            [Script(text=s) if isinstance(s, str) else s for s in scripts], repeat=repeat, cannot=cannot
        )

    def use(self, engine):
        self.inner = engine

    @property
    def questions(self):
        return self.inner.questions

    async def start(self):
        await self.inner.start()

    async def answer(self, question):
        return await self.inner.answer(question)

    async def count(self, question):
        return await self.inner.count(question)

    async def close(self):
        await self.inner.close()


@dataclass
class Endpoint:
    """A running endpoint: its addresses, its principals, its state, and the scripts of its engine.

    `access_key` is of the user `tester`, who may do everything.
    """

    url: str
    tls_url: str
    ca: Path
    keys: Principals
    store: Store
    access_key: str
    secret_key: str
    answers: Answers
    stop: object = field(repr=False)
    active: object = field(repr=False)

    def api_key(self):
        """A new long-term API key: its name and its token."""
        key, token = self.keys.create_api_key("tester")
        return key.name, token

    def env(self, *, tls=False, **more):
        """The environment for a client: PATH and the rest of the machine's, no AWS setting but ours."""
        url = self.tls_url if tls else self.url
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ANTHROPIC_", "OUTCROP_"))
        }
        ours = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_BEDROCK": url,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url,
            "AWS_ENDPOINT_URL_STS": url,
            "ANTHROPIC_BEDROCK_BASE_URL": url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        if tls:
            ours |= dict.fromkeys(("AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"), str(self.ca))
        return inherited | ours | more


def start(folder, settings=None, engine=None, places=None):
    """A running Endpoint; its data lie in `folder`. Raises what the server raised.

    `places` are the engines in their regions, where a test is about that; else one stands for every region.
    """
    from outcrop import tls

    settings = settings or Settings()
    answers = Answers()
    if engine is not None:
        answers.use(engine)
    keys = Principals(SqliteStore(folder / "state.db"), Sealer(bytes(32)))
    key, secret = keys.create_access_key("tester", policies={"everything": PRESETS["everything"]})
    material = tls.ensure(folder)
    port, tls_port = free_port(), free_port()
    listeners = [
        Listener("127.0.0.1", port),
        Listener("127.0.0.1", tls_port, material.certificate, material.key),
    ]
    ready, failed = threading.Event(), []
    control = {}

    async def main():
        control["loop"], control["stop"] = asyncio.get_running_loop(), asyncio.Event()
        await answers.start()
        fleet = Fleet([Place(settings.engine.kind, answers)] if places is None else places)
        ledgers = product.Ledgers.of(folder)
        app = product.application(settings, fleet, keys, ledgers)
        control["app"] = app
        try:
            await serve(app, listeners, control["stop"], limits=product.limits(settings), on_ready=ready.set)
        finally:
            await answers.close()
            ledgers.close()

    def run():
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(15)
    if failed:
        raise failed[0]

    def stop(timeout=20):
        control["loop"].call_soon_threadsafe(control["stop"].set)
        thread.join(timeout)
        assert not thread.is_alive(), "the server did not stop"
        keys.store.close()

    return Endpoint(
        f"http://127.0.0.1:{port}",
        f"https://localhost:{tls_port}",
        material.ca,
        keys,
        keys.store,
        key.id,
        secret,
        answers,
        stop,
        lambda: control["app"].active,
    )


def wait_until(condition, seconds=10):
    """Poll for something that happens in another thread; fails when it does not happen in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
