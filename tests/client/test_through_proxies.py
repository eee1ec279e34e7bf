"""The whole client through a proxy: one that works, and every way in which one does not.

The proxy is a real one, for whom every host is this machine. So the endpoint is asked for by a name that
nobody else knows, because an address of loopback is never asked of a proxy.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import traceback
from base64 import b64encode

import pytest

import outcrop
from client.badserver import (
    CLOSE,
    DELTA,
    END,
    OPEN,
    START,
    STOP,
    STREAM,
    Act,
    BadServer,
    chunk,
    frame,
    whole,
)
from endpoint import start
from outcrop import Timeout, tls

HOST = "bedrock.test"
LOGIN = "ann:s3cret%2F"
AUTHORIZATION = f"Basic {b64encode(b'ann:s3cret/').decode()}"
SECRETS = ("s3cret", AUTHORIZATION.split()[1])
CALL = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "Hello"}],
}


class Asked:
    """What a proxy was asked: the request line and the headers."""

    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)
        }


class Proxy:
    """An HTTP proxy: tunnels and whole URLs; every host is 127.0.0.1. With `login` it wants that login.

    `instead` gets each connection once a request has come, in place of all that, and an event that is set
    when the test is over.
    """

    def __init__(self, *, login="", instead=None):
        self._login = login
        self._instead = instead
        self._stopping = threading.Event()
        self._threads = []
        self._open = set()
        self.asked = []

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._start(self._accept)
        return self

    def __exit__(self, *error):
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def drop(self):
        """Ends every connection that is open, as a proxy does that is started anew."""
        for one in tuple(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            head, _, rest = data.partition(b"\r\n\r\n")
            asked = Asked(head)
            self.asked.append(asked)
            if self._instead is not None:
                self._instead(connection, self._stopping)
            elif self._login and asked.headers.get("proxy-authorization") != self._login:
                connection.sendall(page(b"407 Proxy Authentication Required", b"Who are you?"))
            else:
                self._pass_on(connection, asked, rest)

    def _pass_on(self, connection, asked, rest):
        method, url, _ = asked.line.split(" ")
        authority = url if method == "CONNECT" else url.split("/")[2]
        with socket.create_connection(
            ("127.0.0.1", int(authority.rpartition(":")[2])), timeout=10
        ) as upstream:
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = "/" + url.split("/", 3)[3]
                names = {**asked.headers, "connection": "close"}
                names.pop("proxy-authorization", None)
                lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in names.items())]
                rest = "\r\n".join([*lines, "", ""]).encode("latin-1") + rest
            upstream.sendall(rest)
            self._start(self._pump, connection, upstream)
            self._pump(upstream, connection)

    @staticmethod
    def _pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for side in (source, target):  # when one side ends, all ends
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


def page(status, text=b"Please sign in"):
    body = b"<html><style>h1 { color: red }</style><h1>%b</h1></html>" % text
    return b"HTTP/1.1 %b\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


class Blocking:
    """A call, whole or as a stream, with the blocking client."""

    @staticmethod
    def create(**options):
        with outcrop.AnthropicBedrock(**options) as client:
            return client.messages.create(**CALL)

    @staticmethod
    def stream(seen, **options):
        with outcrop.AnthropicBedrock(**options) as client:
            for event in client.messages.create(**CALL, stream=True):
                seen.append(event.type)

    @staticmethod
    def several(**options):
        with outcrop.AnthropicBedrock(**options) as client:
            with client.messages.stream(**CALL) as stream:
                texts = [stream.get_final_text()]
            texts += [client.messages.create(**CALL).content[0].text for _ in range(3)]
            client.messages.count_tokens(model=CALL["model"], messages=CALL["messages"])
            return texts


class Async:
    """The same with the async one."""

    @staticmethod
    def create(**options):
        async def go():
            async with outcrop.AsyncAnthropicBedrock(**options) as client:
                return await client.messages.create(**CALL)

        return asyncio.run(go())

    @staticmethod
    def stream(seen, **options):
        async def go():
            async with outcrop.AsyncAnthropicBedrock(**options) as client:
                async for event in await client.messages.create(**CALL, stream=True):
                    seen.append(event.type)

        asyncio.run(go())

    @staticmethod
    def several(**options):
        async def go():
            async with outcrop.AsyncAnthropicBedrock(**options) as client:
                async with client.messages.stream(**CALL) as stream:
                    texts = [await stream.get_final_text()]
                texts += [(await client.messages.create(**CALL)).content[0].text for _ in range(3)]
                await client.messages.count_tokens(model=CALL["model"], messages=CALL["messages"])
                return texts

        return asyncio.run(go())


@pytest.fixture(params=[Blocking, Async], ids=["blocking", "async"])
def client(request):
    return request.param


@pytest.fixture(scope="module")
def reached(tmp_path_factory):
    """An endpoint whose certificate is for the name that only proxies know."""
    folder = tmp_path_factory.mktemp("proxied")
    tls.ensure(folder, [HOST])
    endpoint = start(folder)
    endpoint.answers.script("Hello through the proxy.")
    yield endpoint
    endpoint.stop()


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No proxy of the machine's, and no credentials."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")


@pytest.fixture(params=["http", "https"])
def scheme(request):
    return request.param


def options(url, **more):
    keys = {"aws_access_key": "AKIDEXAMPLE", "aws_secret_key": "secret", "aws_region": "us-west-2"}
    return {**keys, "base_url": url, "max_retries": 0, "timeout": Timeout(connect=5, read=5, stall=5), **more}


def of_endpoint(endpoint, scheme, monkeypatch):
    """The options for the endpoint by the name that only proxies know."""
    monkeypatch.setenv("AWS_CA_BUNDLE", str(endpoint.ca))
    port = (endpoint.tls_url if scheme == "https" else endpoint.url).rpartition(":")[2]
    return options(
        f"{scheme}://{HOST}:{port}", aws_access_key=endpoint.access_key, aws_secret_key=endpoint.secret_key
    )


def use(monkeypatch, proxy, login=LOGIN):
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://{login}@{proxy.address}" if login else f"http://{proxy.address}")


# -- proxies that work


def test_calls_and_streams_go_through_a_proxy_that_wants_a_login(client, scheme, reached, monkeypatch):
    with Proxy(login=AUTHORIZATION) as proxy:
        use(monkeypatch, proxy)
        asked = of_endpoint(reached, scheme, monkeypatch)
        assert client.several(**asked) == ["Hello through the proxy."] * 4
    authority = asked["base_url"].partition("//")[2]
    if scheme == "https":
        (tunnel,) = proxy.asked  # one for all calls
        assert tunnel.line == f"CONNECT {authority} HTTP/1.1"
        assert tunnel.headers == {"host": authority, "proxy-authorization": AUTHORIZATION}
    else:
        assert len(proxy.asked) == 5
        for one in proxy.asked:
            assert one.line.startswith(f"POST http://{authority}/model/")
            assert one.headers["host"] == authority
            assert one.headers["proxy-authorization"] == AUTHORIZATION


def test_a_proxy_without_a_login_is_told_none(client, scheme, reached, monkeypatch):
    with Proxy() as proxy:
        use(monkeypatch, proxy, login="")
        client.create(**of_endpoint(reached, scheme, monkeypatch))
    assert ["proxy-authorization" in one.headers for one in proxy.asked] == [False]


def test_the_login_stays_with_the_proxy(client, monkeypatch):
    """What the server gets does not hold it."""
    with BadServer(Act(whole())) as server, Proxy(login=AUTHORIZATION) as proxy:
        use(monkeypatch, proxy)
        message = client.create(**options(f"http://{HOST}:{server.url.rpartition(':')[2]}"))
    assert message.id == "msg_1"
    assert not any(secret.encode() in server.requests[0] for secret in SECRETS)


@pytest.mark.parametrize("entry", [HOST, ".test", "*", "elsewhere.test, {}", "{}:{}"])
def test_no_proxy_is_asked_for_hosts_of_no_proxy(client, scheme, entry, reached, monkeypatch):
    resolve = socket.getaddrinfo

    def as_this_machine(host, *more, **named):
        known = host in (HOST, HOST.encode())
        return resolve("127.0.0.1" if known else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", as_this_machine)
    with Proxy() as proxy:
        use(monkeypatch, proxy)
        asked = of_endpoint(reached, scheme, monkeypatch)
        monkeypatch.setenv("NO_PROXY", entry.format(HOST, asked["base_url"].rpartition(":")[2]))
        assert client.create(**asked).content[0].text == "Hello through the proxy."
    assert proxy.asked == []


@pytest.mark.parametrize("entry", ["elsewhere.test", "edrock.test", "{}:1", "127.0.0.1"])
def test_other_entries_of_no_proxy_do_not_count(client, scheme, entry, reached, monkeypatch):
    monkeypatch.setenv("NO_PROXY", entry.format(HOST))
    with Proxy() as proxy:
        use(monkeypatch, proxy)
        client.create(**of_endpoint(reached, scheme, monkeypatch))
    assert len(proxy.asked) == 1


def test_the_certificate_is_the_servers_whoever_is_between(client, reached, tmp_path, monkeypatch):
    with Proxy() as proxy:
        use(monkeypatch, proxy)
        asked = of_endpoint(reached, "https", monkeypatch)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tls.ensure(tmp_path).ca))  # another authority
        with pytest.raises(outcrop.CertificateError, match=HOST) as caught:
            client.create(**asked)
    assert "AWS_CA_BUNDLE" in caught.value.fix


# -- proxies that do not


def says(*pieces, then="close"):
    """What a proxy does in place of its work: sends pieces, some time apart, then closes, resets or waits."""

    def act(connection, stopping):
        for number, piece in enumerate(pieces):
            if number:
                stopping.wait(0.03)
            connection.sendall(piece)
        if then == "stall":
            stopping.wait(10)
        elif then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif then == "read":
            while connection.recv(65536):
                pass

    return act


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
PAGE = page(b"200 OK")
PROXY, CONNECTION, TIMEOUT = outcrop.ProxyError, outcrop.APIConnectionError, outcrop.APITimeoutError

# What a proxy does that is asked for a tunnel; what is raised; a part of its text.
TUNNELS = {
    "407": (says(page(b"407 Proxy Authentication Required")), PROXY, "407"),
    "407 and nothing else": (says(b"HTTP/1.1 407 X\r\n\r\n"), PROXY, "407"),
    "403": (says(page(b"403 Forbidden")), PROXY, "403"),
    "502": (says(page(b"502 Bad Gateway")), PROXY, "502"),
    "503 without a body": (says(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"), PROXY, "503"),
    "a redirect to a form": (says(page(b"302 Found")), PROXY, "302"),
    "a page in place of a tunnel": (says(PAGE, then="read"), PROXY, "more than that it has connected"),
    "a page after its answer": (
        says(ESTABLISHED, b"<html>Please sign in</html>", then="read"),
        CONNECTION,
        "",
    ),
    "a close after its answer": (says(ESTABLISHED), CONNECTION, ""),
    "a reset after its answer": (says(ESTABLISHED, then="reset"), CONNECTION, ""),
    "silence after its answer": (says(ESTABLISHED, then="stall"), TIMEOUT, "within 0.4 s"),
    "a close": (says(), PROXY, ""),
    "a reset": (says(then="reset"), PROXY, ""),
    "half an answer": (says(b"HTTP/1.1 200 Conn"), PROXY, "closed"),
    "half an answer and silence": (says(b"HTTP/1.1 200 Conn", then="stall"), TIMEOUT, "within 0.4 s"),
    "silence": (says(then="stall"), TIMEOUT, "within 0.4 s"),
    "another protocol": (says(b"SSH-2.0-OpenSSH_9.2\r\n", then="stall"), PROXY, "not an HTTP response"),
    "no text at all": (says(b"\x15\x03\x01\x00\x02\x02\x0a", then="stall"), PROXY, "not an HTTP response"),
    "a head without end": (
        says(b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 200_000, then="read"),
        PROXY,
        "longer than allowed",
    ),
}
QUICK = Timeout(connect=0.4, read=0.4, stall=0.4, write=5)


def no_secret_in(error):
    """Nor in what hangs on it: the whole traceback, with the errors behind."""
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    assert not any(secret in shown for secret in SECRETS), shown


@pytest.mark.parametrize("name", TUNNELS)
def test_a_tunnel_that_fails(client, name, monkeypatch):
    act, expected, text = TUNNELS[name]
    with Proxy(instead=act) as proxy:
        use(monkeypatch, proxy)
        with pytest.raises(outcrop.AnthropicError) as caught:
            client.create(**options(f"https://{HOST}:8443", timeout=QUICK))
    error = caught.value
    assert type(error) is expected
    assert text in error.what
    assert f"the proxy {proxy.address}" in error.what
    assert not error.what.startswith(f"{HOST}:8443: {HOST}:8443")
    assert error.fix
    no_secret_in(error)
    assert [one.line for one in proxy.asked] == [f"CONNECT {HOST}:8443 HTTP/1.1"]


def test_who_has_to_give_a_login_is_told_how(client, scheme, monkeypatch):
    with Proxy(login=AUTHORIZATION) as proxy:
        use(monkeypatch, proxy, login="ann:wr0ng")
        with pytest.raises(outcrop.APIError) as caught:
            client.create(**options(f"{scheme}://{HOST}:8443", max_retries=2))
    assert "407" in caught.value.what
    assert "http://user:password@host:port" in caught.value.fix
    assert "wr0ng" not in "".join(traceback.format_exception(caught.value))
    assert len(proxy.asked) == 1, "the same login was tried again"


def test_what_may_pass_is_tried_again(client, reached, monkeypatch):
    """A proxy that is overloaded for a moment."""
    with Proxy() as proxy:
        busy = iter([says(page(b"503 Busy"))])

        def first_busy(connection, stopping):
            act = next(busy, None)
            if act is not None:
                act(connection, stopping)
            else:
                proxy._instead = None
                proxy._pass_on(connection, proxy.asked[-1], b"")

        proxy._instead = first_busy
        use(monkeypatch, proxy)
        message = client.create(**{**of_endpoint(reached, "https", monkeypatch), "max_retries": 1})
    assert message.content[0].text == "Hello through the proxy."
    assert len(proxy.asked) == 2


def test_a_proxy_that_is_not_there_is_named(client, scheme, monkeypatch):
    with Proxy() as proxy:
        use(monkeypatch, proxy)
    with pytest.raises(outcrop.ProxyError, match=rf"the proxy {proxy.address} can't be reached") as caught:
        client.create(**options(f"{scheme}://{HOST}:8443"))
    assert "_PROXY" in caught.value.fix
    no_secret_in(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:s3cret@proxy.test:3128",
        "socks5://ann:s3cret@proxy.test:1080",
        "http://ann:s3cret@:99",
        "http://ann:s3cret@proxy.test:abc",
        "http://ann:s3cret@proxy.test:99999",
        "http://ann:s3cret@[::1",
        # a password that is not encoded: parts of it look like a port or a path
        "http://ann:s3cret/@proxy.test:3128",
        "http://ann:s3cret#x@proxy.test:3128",
        "http://ann:12?s3cret@proxy.test:3128",
        "http://ann:12/s3cret@proxy.test:3128",
    ],
)
def test_an_address_that_is_no_proxys_is_said_at_once_and_not_quoted(client, scheme, url, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", url)
    monkeypatch.setenv("HTTPS_PROXY", url)
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it was tried again"))
    monkeypatch.setattr("asyncio.sleep", lambda _: pytest.fail("it was tried again"))
    with pytest.raises(outcrop.ProxyError, match="http://host:port") as caught:
        client.create(**options(f"{scheme}://{HOST}:8443", max_retries=2))
    assert f"{scheme.upper()}_PROXY" in caught.value.what + caught.value.fix
    no_secret_in(caught.value)


# What comes in place of Bedrock's answer to a plain request; what is raised; a part of its text.
ANSWERS = {
    "a form to sign in": (says(PAGE), outcrop.APIResponseValidationError, "'Please sign in'"),
    "a page without a length": (
        says(b"HTTP/1.0 200 OK\r\ncontent-type: text/html\r\n\r\n<h1>Please sign in</h1>"),
        outcrop.APIResponseValidationError,
        "'Please sign in'",
    ),
    "403": (says(page(b"403 Forbidden", b"Not for you")), outcrop.PermissionDeniedError, "'Not for you'"),
    "502": (says(page(b"502 Bad Gateway", b"No route")), outcrop.InternalServerError, "'No route'"),
    "504": (says(page(b"504 Gateway Timeout")), outcrop.GatewayTimeoutError, "504"),
    "a redirect to a form": (
        says(b"HTTP/1.1 302 X\r\nlocation: http://login.test/form\r\ncontent-length: 0\r\n\r\n"),
        outcrop.APIStatusError,
        "http://login.test/form",
    ),
    "silence": (says(then="stall"), TIMEOUT, "within 0.4 s"),
    "another protocol": (says(b"SSH-2.0-OpenSSH_9.2\r\n", then="stall"), CONNECTION, "not an HTTP response"),
    "a close": (says(), CONNECTION, "closed"),
    "a reset": (says(then="reset"), CONNECTION, "closed"),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
def test_a_plain_request_that_the_proxy_answers_itself(client, name, streams, monkeypatch):
    act, expected, text = ANSWERS[name]
    asked = options(f"http://{HOST}:8080", timeout=QUICK)
    with Proxy(instead=act) as proxy:
        use(monkeypatch, proxy)
        with pytest.raises(outcrop.AnthropicError) as caught:
            client.stream([], **asked) if streams else client.create(**asked)
    assert type(caught.value) is expected
    assert text in caught.value.what
    if isinstance(caught.value, (outcrop.APIStatusError, outcrop.APIResponseValidationError, TIMEOUT)):
        assert caught.value.fix
    no_secret_in(caught.value)
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("cut", ["close", "reset", "stall"])
def test_a_proxy_that_breaks_off_in_the_middle_of_a_stream(client, cut, monkeypatch):
    begun = STREAM + chunk(frame(START, OPEN, DELTA))
    seen = []
    with Proxy(instead=says(begun, chunk(frame(DELTA)[:30]), then=cut)) as proxy:
        use(monkeypatch, proxy)
        with pytest.raises(outcrop.APIConnectionError) as caught:
            client.stream(seen, **options(f"http://{HOST}:8080", timeout=QUICK, max_retries=2))
    assert type(caught.value) is (outcrop.StreamStalledError if cut == "stall" else outcrop.StreamBrokenError)
    assert seen == ["message_start", "content_block_start", "content_block_delta"]
    assert len(proxy.asked) == 1


def test_a_proxy_may_pass_a_stream_on_in_any_pieces(client, monkeypatch):
    data = (
        STREAM
        + b"".join(chunk(frame(event)) for event in (START, OPEN, DELTA, CLOSE, END, STOP))
        + b"0\r\n\r\n"
    )
    seen = []
    with Proxy(instead=says(*[data[at : at + 400] for at in range(0, len(data), 400)])) as proxy:
        use(monkeypatch, proxy)
        client.stream(seen, **options(f"http://{HOST}:8080"))
    assert (seen[0], seen[-1], len(seen)) == ("message_start", "message_stop", 6)


def test_a_tunnel_that_went_away_between_two_calls_is_opened_anew(reached, monkeypatch):
    """Because the proxy was started anew, say. No call fails for that, though none may be tried again."""

    async def go():
        async with outcrop.AsyncAnthropicBedrock(**asked) as made:
            for _ in range(3):
                await made.messages.create(**CALL)
                proxy.drop()

    with Proxy() as proxy:
        use(monkeypatch, proxy)
        asked = of_endpoint(reached, "https", monkeypatch)
        with outcrop.AnthropicBedrock(**asked) as made:
            for _ in range(3):
                made.messages.create(**CALL)
                proxy.drop()
        asyncio.run(go())
        assert len(proxy.asked) == 6


def test_what_a_program_prints_of_a_client_holds_no_login(reached, monkeypatch):
    with Proxy() as proxy:
        use(monkeypatch, proxy)
        with outcrop.AnthropicBedrock(**of_endpoint(reached, "https", monkeypatch)) as made:
            reply = made.with_raw_response.messages.create(**CALL)
            shown = [made, reply, reply.http_request, dict(reply.http_request.headers), reply.parse()]
            assert not any(secret in repr(one) for one in shown for secret in SECRETS)
