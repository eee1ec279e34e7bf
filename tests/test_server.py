"""The server under clients that are slow, gone, greedy or malformed; all over real sockets."""

import asyncio
import json
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit

import pytest

from endpoint import REGION, start, wait_until
from gate import Gate
from outcrop import endpoint as product
from outcrop import tls
from outcrop.config import Settings
from outcrop.config.settings import Server
from outcrop.engine.scripted import Script, ScriptedEngine
from outcrop.errors import OutcropError
from outcrop.server import Application, Limits, Listener, check_listener, serve
from outcrop.wire import sigv4
from outcrop.wire.eventstream import FrameBuffer
from outcrop.wire.http import Head
from wireside import CONVERSE, HELLO, INVOKE, INVOKE_STREAM, Wire, ask, request_bytes, signed


def frames_of(data):
    buffer = FrameBuffer()
    buffer.feed(data)
    found = list(buffer)
    assert buffer.pending == 0
    return found


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    """An endpoint with short limits."""
    settings = Settings(server=Server(header_timeout=1, body_timeout=0.5, write_timeout=1, drain=1))
    endpoint = start(tmp_path_factory.mktemp("hasty"), settings)
    yield endpoint
    endpoint.stop()


class Silent:
    """A service that never answers."""

    async def handle(self, head, read_body):
        await asyncio.Event().wait()

    def stop(self):
        """It has no streams."""


SCOPE = {
    "type": "http",
    "method": "GET",
    "raw_path": b"/",
    "query_string": b"",
    "headers": [(b"host", b"localhost")],
    "http_version": "1.1",
}


async def never():
    await asyncio.Event().wait()


async def ignore(message):
    """Takes what the application sends."""


class TestPassingOn:
    def test_the_first_event_arrives_while_the_engine_is_still_at_work(self, endpoint):
        gate = Gate(after_events=1)
        endpoint.answers.use(gate)
        with Wire(endpoint) as wire:
            status, _ = wire.send(signed(endpoint, INVOKE_STREAM)).head()
            assert status == 200
            pieces = wire.chunks()
            [first] = frames_of(next(pieces))
            assert gate.reached.wait(5)
            assert not gate.go_on.is_set()
            gate.go_on.set()
            rest = frames_of(b"".join(pieces))
        assert first.headers[":event-type"] == "chunk"
        assert len(rest) > 5

    def test_a_reply_carries_its_request_id_in_success_and_in_refusal(self, endpoint):
        ids = {ask(endpoint, signed(endpoint))[1]["x-amzn-requestid"] for _ in range(3)}
        _, headers, _ = ask(endpoint, request_bytes("POST", INVOKE, {"host": "x", "content-length": "0"}))
        assert len(ids | {headers["x-amzn-requestid"]}) == 4


class TestClientsThatLeave:
    @pytest.mark.parametrize("path", [INVOKE, INVOKE_STREAM, CONVERSE])
    def test_before_the_first_token_the_engine_is_stopped(self, endpoint, path):
        gate = Gate(before_answer=True)
        endpoint.answers.use(gate)
        body = b'{"messages":[{"role":"user","content":[{"text":"x"}]}]}' if path == CONVERSE else HELLO
        with Wire(endpoint) as wire:
            wire.send(signed(endpoint, path, body))
            assert gate.reached.wait(5)
        assert gate.cancelled.wait(5)
        wait_until(lambda: endpoint.active() == 0)

    def test_in_mid_stream_the_engine_is_stopped(self, endpoint):
        gate = Gate(after_events=3)
        endpoint.answers.use(gate)
        with Wire(endpoint) as wire:
            wire.send(signed(endpoint, INVOKE_STREAM))
            assert gate.reached.wait(5)
        assert gate.cancelled.wait(5)
        wait_until(lambda: endpoint.active() == 0)

    def test_in_the_middle_of_sending_the_body(self, endpoint):
        with Wire(endpoint) as wire:
            wire.send(signed(endpoint)[:-10])
        wait_until(lambda: endpoint.active() == 0)
        assert ask(endpoint, signed(endpoint))[0] == 200


class TestMalformedRequests:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 400),  # no host
            ({"host": "a", "Host": "b"}, 400),
            ({"host": "a", "content-length": "3", "Content-Length": "4"}, 400),
            ({"host": "a", "authorization": "x", "Authorization": "y", "content-length": "0"}, 400),
        ],
    )
    def test_what_is_ambiguous_is_refused(self, endpoint, headers, status):
        assert ask(endpoint, request_bytes("POST", INVOKE, headers, b"0\r\n\r\n"))[0] == status

    def test_a_path_that_no_operation_has(self, endpoint):
        for method, path in (
            ("GET", "/guardrails"),
            ("POST", "/model/x/y/invoke"),
            ("GET", INVOKE),
            ("PUT", "/"),
        ):
            status, headers, body = ask(endpoint, signed(endpoint, path, b"", method))
            assert status == 404
            assert headers["x-amzn-errortype"].startswith("UnknownOperationException:")
            assert (
                json.loads(body)["Output"]["__type"] == "com.amazon.coral.service#UnknownOperationException"
            )

    def test_the_four_spellings_of_a_path_are_one_model(self, endpoint):
        for path in (INVOKE, INVOKE.replace("%3A", ":"), INVOKE.replace("%3A", "%3a")):
            assert ask(endpoint, signed(endpoint, path))[0] == 200

    def test_a_body_over_the_limit_is_refused_with_the_service_text(self, endpoint):
        body = HELLO[:-1] + b" " * 25_000_001 + b"}"
        status, headers, reply = ask(endpoint, signed(endpoint, body=body))
        assert (status, headers["x-amzn-errortype"].split(":")[0]) == (400, "ValidationException")
        assert "less than or equal to 25000000" in json.loads(reply)["message"]

    def test_a_body_of_exactly_the_limit_passes(self, endpoint):
        body = HELLO[:-1] + b" " * (25_000_000 - len(HELLO)) + b"}"
        assert len(body) == 25_000_000
        assert ask(endpoint, signed(endpoint, body=body))[0] == 200

    def test_a_chunked_body_is_read_too(self, endpoint):
        assert ask(endpoint, signed(endpoint, chunked=True))[0] == 200


class TestPatience:
    def test_a_head_that_never_ends_is_cut_off(self, hasty):
        with Wire(hasty) as wire:
            wire.send(b"POST / HTTP/1.1\r\nhost: x\r\nx-slow: ")
            assert wire.head()[0] in (0, 408)

    def test_a_body_that_stops_arriving_gets_a_timeout(self, hasty):
        with Wire(hasty) as wire:
            status, headers, _ = wire.send(signed(hasty)[:-10]).reply()
        assert status == 408
        assert headers["x-amzn-errortype"].startswith("RequestTimeoutException")
        wait_until(lambda: hasty.active() == 0)

    def test_a_reader_that_takes_nothing_is_let_go(self, hasty):
        hasty.answers.script(Script(text="x" * 6_000_000, piece=2_000))
        with Wire(hasty) as wire:
            wire.send(signed(hasty, INVOKE_STREAM))
            wait_until(lambda: hasty.active() == 1)
            wait_until(lambda: hasty.active() == 0)


class TestStopping:
    def test_running_streams_end_whole_inside_the_drain_window(self, tmp_path):
        gate = Gate(after_events=2)
        endpoint = start(tmp_path, engine=gate)
        with Wire(endpoint) as wire:
            assert wire.send(signed(endpoint, INVOKE_STREAM)).head()[0] == 200
            assert gate.reached.wait(5)
            stopping = threading.Thread(target=endpoint.stop)
            stopping.start()
            gate.go_on.set()
            frames = frames_of(b"".join(wire.chunks()))
            stopping.join()
        assert {frame.headers[":message-type"] for frame in frames} == {"event"}

    def test_after_the_window_each_stream_gets_exactly_one_exception_frame(self, tmp_path):
        settings = Settings(server=Server(drain=0.2))
        gate = Gate(after_events=2)
        endpoint = start(tmp_path, settings, gate)
        wires = [Wire(endpoint) for _ in range(5)]
        for wire in wires:
            assert wire.send(signed(endpoint, INVOKE_STREAM)).head()[0] == 200
        wait_until(lambda: gate.waiting == 5)
        endpoint.stop()
        for wire in wires:
            frames = frames_of(b"".join(wire.chunks()))
            assert [frame.headers[":message-type"] for frame in frames] == ["event", "event", "exception"]
            assert frames[-1].headers[":exception-type"] == "serviceUnavailableException"
            wire.close()

    def test_a_whole_answer_that_is_cut_by_the_stop_is_a_503(self, tmp_path):
        gate = Gate(before_answer=True)
        endpoint = start(tmp_path, Settings(server=Server(drain=0.2)), gate)
        with Wire(endpoint) as wire:
            wire.send(signed(endpoint))
            assert gate.reached.wait(5)
            endpoint.stop()
            status, headers, _ = wire.reply()
        assert status == 503
        assert headers["x-amzn-errortype"].startswith("ServiceUnavailableException")

    def test_in_a_hurry_nothing_is_waited_for(self):
        async def life():
            application = Application(Silent(), Limits(drain=60))
            running = asyncio.create_task(application(dict(SCOPE), never, ignore))
            await asyncio.sleep(0)
            draining = asyncio.create_task(application.drain())
            await asyncio.sleep(0)
            assert not running.done()
            application.hurry()
            await asyncio.wait_for(draining, 5)
            assert running.done()

        asyncio.run(life())


class TestListening:
    def test_what_to_do_depends_on_why_it_fails(self):
        with pytest.raises(OutcropError) as caught:
            check_listener(Listener("192.0.2.1", 8080))  # an address for documentation (RFC 5737)
        assert "--host" in caught.value.fix
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OutcropError) as caught:
            check_listener(Listener("127.0.0.1", taken.getsockname()[1]))
        assert "--port" in caught.value.fix

    def test_a_certificate_that_is_of_no_use_is_told_before_anything_starts(self, tmp_path):
        files, others = tls.ensure(tmp_path / "one"), tls.ensure(tmp_path / "other")
        check_listener(Listener("127.0.0.1", 0, files.certificate, files.key))
        for certificate, key in (
            (tmp_path / "none.pem", files.key),
            (files.key, files.key),
            (files.certificate, others.key),
        ):
            with pytest.raises(OutcropError, match="can't be used for TLS"):
                check_listener(Listener("127.0.0.1", 0, certificate, key))

    def test_a_server_that_ends_by_itself_is_an_error(self, monkeypatch):
        class Brief:
            async def serve(self):
                await asyncio.sleep(0.1)

            def stop(self):
                """Nothing runs any more."""

        async def life():
            with socket.create_server(("127.0.0.1", 0)) as listening:
                monkeypatch.setattr("outcrop.server._granian", lambda *_: Brief())
                listener = Listener("127.0.0.1", listening.getsockname()[1])
                await serve(Application(Silent()), [listener], asyncio.Event())

        with pytest.raises(OutcropError, match="ended by itself"):
            asyncio.run(life())

    def test_told_to_stop_while_the_engine_starts_it_starts_no_longer(self):
        class Loading(ScriptedEngine):
            cancelled = False

            async def start(self):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled = True
                    raise

        async def life():
            engine, stop = Loading(), asyncio.Event()
            asyncio.get_running_loop().call_soon(stop.set)
            assert not await product._started(engine, stop)
            assert engine.cancelled
            assert await product._started(ScriptedEngine(), asyncio.Event())

        asyncio.run(life())


class TestTls:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_both_versions_are_spoken_and_http2_is_offered(self, endpoint, version):
        context = ssl.create_default_context(cafile=endpoint.ca)
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2", "http/1.1"])
        parts = urlsplit(endpoint.tls_url)
        with (
            socket.create_connection((parts.hostname, parts.port)) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
        ):
            assert secure.selected_alpn_protocol() == "h2"
            assert secure.version() == version.name.replace("v1_", "v1.")

    def test_a_stranger_to_the_local_authority_does_not_connect(self, endpoint):
        parts = urlsplit(endpoint.tls_url)
        with (
            socket.create_connection((parts.hostname, parts.port)) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)


class TestPresigned:
    def test_a_request_signed_in_its_query_is_answered_until_it_expires(self, endpoint):
        host = urlsplit(endpoint.url).netloc
        credentials = sigv4.Credentials(endpoint.access_key, endpoint.secret_key)

        def status(signed_at):
            head = Head("GET", "/foundation-models", "byProvider=anthropic", {"host": host})
            query = sigv4.presign(head, credentials, REGION, "bedrock", signed_at, 60)
            return ask(endpoint, request_bytes("GET", f"/foundation-models?{query}", {"host": host}))[0]

        assert status(time.time()) == 200
        assert status(time.time() - 120) == 403


class TestHttp2:
    def test_cleartext_http2_is_answered_on_the_same_port(self, endpoint):
        with Wire(endpoint) as wire:
            wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
            assert wire.socket.recv(9)[3] == 4  # a SETTINGS frame
