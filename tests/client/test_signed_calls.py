"""Whole calls, made up by the thousand: each is signed as botocore would sign it, and verifies as it is sent.

Every call has a number, from which all of it follows: a failure names it, and `Made(number)` makes it again.
OUTCROP_PROVE=1 makes ten times as many.
"""

import asyncio
import os
import random
from datetime import UTC, datetime
from itertools import count

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

import outcrop
from client.badserver import MESSAGE, START
from client.talk import KEYS, Open, Talk, core, header, reply
from outcrop import ModelNameError, UsageError, omit
from outcrop.client import operations
from outcrop.transport.http1 import request_head
from outcrop.transport.route import Proxies, locate
from outcrop.wire import frames, sigv4
from outcrop.wire.http import Head

BATCHES = 8
BATCH = 4000 if os.environ.get("OUTCROP_PROVE") == "1" else 400

REGIONS = (
    "us-east-1",
    "us-west-2",
    "eu-west-3",
    "ap-southeast-2",
    "us-gov-west-1",
    "cn-north-1",
    "mx-central-1",
)
WORD = "abcdefghijklmnopqrstuvwxyz0123456789"
ANY = WORD + "ABCXYZ-_.~!*'();:@&=+$,/?#[]% \"<>\\^`{|}äßé✓日本𝄞"
PRINTABLE = "".join(map(chr, range(32, 127)))
HOSTS = (
    "localhost",
    "127.0.0.1",
    "gateway.example.com",
    "bedrock.{region}.example.com",
    "[::1]",
    "[fd00::a:1]",
)
PREFIXES = (
    "",
    "/",
    "/bedrock",
    "/a/b/",
    "/a//b",
    "/a/../b",
    "/a/./b/..",
    "/with%20blank",
    "/%7Etilde/~",
    "/a;b=c,d",
    "/$&'()*+:!",
    "/%2Fslash",
    "//twice",
)
HEADERS = (
    "x-team",
    "X-Amz-Meta",
    "X-AMZ-Long-Name",
    "x-amzn-bedrock-trace",
    "X-Amzn-Bedrock-GuardrailIdentifier",
    "X-Amzn-Trace-Id",
    "traceparent",
    "Content-Type",
    "Accept",
    "User-Agent",
    "x-amz-date",
    "X-Amz-Security-Token",
    "anthropic-beta",
)
ANSWERS = {
    "create": reply(200, MESSAGE),
    "count_tokens": reply(200, b'{"inputTokens":7}'),
    "converse": reply(200, b'{"output":{"message":{"role":"assistant","content":[]}}}'),
    "list_foundation_models": reply(200, b'{"modelSummaries":[]}'),
    "list_profiles": reply(200, b'{"inferenceProfileSummaries":[]}'),
    "get_model": reply(200, b'{"modelDetails":{"modelId":"m"}}'),
    "identity": reply(200, b"<Account>1</Account><Arn>a</Arn><UserId>u</UserId>"),
}
STREAMED = {
    "stream": frames.chunks([START], frames.no_paddings()),
    "converse_stream": frames.converse_event("messageStart", b'{"role":"assistant"}', b""),
}


class Made(random.Random):
    """One call, all of which follows from its number: settings, operation, parameters, moment."""

    def __init__(self, number):
        super().__init__(number)
        self.environ = {}
        self.access_key = self.text(WORD.upper(), 16, 21)
        self.secret = self.text(WORD + "/+=ABC", 1, 41)
        self.token = self.choice(
            ["", "", self.text(WORD + "/+=", 1, 60), self.text(WORD + "/+=", 1500, 1501)]
        )
        self.region = self.choice(REGIONS)
        self.clock = self.uniform(0, 4e9)
        self.retries = self.choice([0, 0, 0, 1, 2])
        self.settings = core(
            self.environ,
            aws_access_key=self.access_key,
            aws_secret_key=self.secret,
            aws_session_token=self.token or None,
            aws_region=self.region,
            base_url=self.base_url(),
            default_headers=self.headers(),
            default_query=self.query(),
            max_retries=2,
        )
        self.settings.clock = self.clock
        self.kind = self.choice([*ANSWERS, *STREAMED, "create", "stream"])
        self.talk = self.answers()

    def text(self, alphabet, fewest, most):
        return "".join(self.choices(alphabet, k=self.randrange(fewest, most)))

    def base_url(self):
        if self.random() < 0.3:
            return None
        scheme = self.choice(["http", "https"])
        port = self.choice(["", ":80", ":443", ":8080", ":65535"])
        return f"{scheme}://{self.choice(HOSTS)}{port}{self.choice(PREFIXES)}"

    def headers(self):
        return {
            self.choice([str.lower, str.upper, str])(name): self.header_value()
            for name in self.sample(HEADERS, self.choice([0, 0, 1, 2, 5]))
        } or None

    def header_value(self):
        return self.choice(
            [
                "value",
                "  two   blanks,  and  more ",
                "a,b;c=d",
                "",
                None,
                omit,
                7,
                self.text(PRINTABLE, 0, 30),
            ]
        )

    def query(self):
        count = self.choice([0, 0, 1, 3, 6])
        # few names, so that the defaults have them too
        names = [
            self.choice(["a", "A", "a b", "é", "", "a-", "ab", self.text(ANY, 1, 6)]) for _ in range(count)
        ]
        return {name: self.choice(["", "1", "=&", 5, self.text(ANY, 0, 12)]) for name in names} or None

    def model(self):
        # x: no provider is called like a geography
        name = f"x{self.text(WORD, 1, 9)}.{self.text(WORD + '-', 1, 30)}"
        name += self.choice(["", ":0", "-v1:0", ":0:200k"])
        own = f"arn:aws:bedrock:{self.region}:123456789012:"
        return self.choice(
            [
                name,
                f"{self.choice(['global', 'us', 'eu', 'apac'])}.{name}",
                f"arn:aws:bedrock:{self.region}::foundation-model/{name}",
                f"{own}inference-profile/us.{name}",
                f"{own}application-inference-profile/{self.text(WORD, 12, 13)}",
                f"{own}prompt/{self.text(WORD.upper(), 10, 11)}:{self.randrange(9)}",
                # an account's own things are named as it likes
                f"{own}custom-model/{self.text(ANY, 1, 30)}x",
            ]
        )

    def params(self):
        params = {"messages": [{"role": "user", "content": self.text(ANY, 1, 40)}]}
        if self.random() < 0.6:
            params["extra_headers"] = self.headers()
        if self.random() < 0.6:
            params["extra_query"] = self.query()
        return {**params, "model": self.model()}

    def answers(self):
        throttled = [reply(503, b'{"message":"later"}')] * self.retries
        if self.kind in STREAMED:
            return Talk(*throttled, reply(200, b"", opened=Open()), STREAMED[self.kind])
        answer = ANSWERS[self.kind]
        return Talk(*throttled, *[answer] * (2 if self.kind == "list_profiles" else 1))

    def conversation(self):
        settings, kind = self.settings, self.kind
        if kind in ("create", "stream"):
            return operations.message_outcome(
                settings, {**self.params(), "max_tokens": 9, "stream": kind == "stream"}
            )
        if kind == "count_tokens":
            return operations.count_tokens(settings, self.params())
        if kind in ("converse", "converse_stream"):
            return operations.converse_outcome(settings, self.params(), stream=kind == "converse_stream")
        if kind == "list_foundation_models":
            provider = self.choice([None, "anthropic", self.text(ANY, 1, 12)])
            return operations.list_models(settings, kind="foundation-model", provider=provider)
        if kind == "list_profiles":
            return operations.list_models(settings, kind="inference-profile", provider="anthropic")
        if kind == "get_model":
            return operations.get_model(settings, self.model())
        return operations.identity(settings)

    def sent(self):
        """The call is made; everything that was sent for it."""
        self.talk.run(self.conversation())
        assert not self.talk.answers
        return self.talk.sent


def by_botocore(made, send, names, service):
    """What botocore makes of the same request and the same headers to sign."""
    signers = ("host", "x-amz-date", "x-amz-security-token") if made.token else ("host", "x-amz-date")
    headers = {name: value for name, value in send.headers if name in names and name not in signers}
    request = AWSRequest(send.method, send.url, data=send.body, headers=headers)
    credentials = BotocoreCredentials(made.access_key, made.secret, made.token or None)
    moment = datetime.fromtimestamp(made.clock // 1, UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda **_: moment)
        SigV4Auth(credentials, service, made.region).add_auth(request)
    return request.headers["Authorization"]


def on_the_wire(send):
    """The head as the transport writes it, read as a server reads it."""
    target = locate(send.url, Proxies(), guarded=False)
    lines = request_head(send.method, target, send.headers, len(send.body)).decode("latin-1").split("\r\n")
    method, url, _ = lines[0].split(" ")
    path, _, query = url.partition("?")
    pairs = [line.split(": ", 1) for line in lines[1:-2]]
    assert len(dict(pairs)) == len(pairs), "a header is sent twice"
    return Head(method, path, query, dict(pairs))


def to_be_signed(send):
    """Of the headers that are sent, those that a signature has to cover."""
    return {
        name
        for name, _ in send.headers
        if name == "content-type" or (name.startswith(("x-amz-", "x-amzn-")) and name != "x-amzn-trace-id")
    } | {"host"}


def check(made, send):
    service = "sts" if made.kind == "identity" else "bedrock"
    authorization = header(send, "authorization")
    names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert set(names) == to_be_signed(send)
    assert authorization == by_botocore(made, send, names, service)
    head = on_the_wire(send)
    signature = sigv4.parse(head)
    sigv4.check_time(signature, made.clock)
    sigv4.check_scope(signature, service)
    sigv4.verify(signature, made.secret, head, send.body)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_call_is_signed_as_botocore_would_and_verifies_as_it_is_sent(batch):
    for number in range(batch * BATCH, (batch + 1) * BATCH):
        try:
            made = Made(number)
            sent = made.sent()
            assert len(sent) == made.retries + 1 + (made.kind == "list_profiles")
            for send in sent:
                check(made, send)
        except BaseException as error:
            error.add_note(f"Made({number})")
            raise


def test_the_calls_are_as_various_as_they_are_meant_to_be():
    """Else the thousands above could all be the same call."""
    made = [Made(number) for number in range(BATCH)]
    urls = [one.sent()[0].url for one in made]
    assert {one.kind for one in made} == {*ANSWERS, *STREAMED}
    for part in (
        "[::1]",
        "?",
        "&a=",
        "%2F",
        "%25",
        "%E2%9C%93",
        "//twice",
        "/..",
        "amazonaws.com.cn",
        "//sts.",
    ):
        assert any(part in url for url in urls), part
    assert len(set(urls)) > BATCH * 0.9
    assert len({one.token for one in made}) > BATCH / 3


def test_each_attempt_is_signed_anew():
    """Its time is the attempt's, not the call's: after a long wait the first one's would be refused."""
    settings = core(max_retries=1)
    settings.now = count(int(settings.clock), 400).__next__
    talk = Talk(reply(503, b"{}", [("retry-after-ms", "1"), ("x-amzn-errortype", "X")]), reply(200, MESSAGE))
    talk.run(operations.create(settings, {"model": "x.y", "max_tokens": 1, "messages": []}))
    signatures = [sigv4.parse(on_the_wire(send)) for send in talk.sent]
    assert signatures[1].time == signatures[0].time + 400
    for send, signature in zip(talk.sent, signatures, strict=True):
        sigv4.verify(signature, KEYS["AWS_SECRET_ACCESS_KEY"], on_the_wire(send), send.body)


def asked(**params):
    """The one request of a call with these parameters."""
    talk = Talk(reply(200, MESSAGE))
    talk.run(operations.create(core(), {"model": "x.y", "max_tokens": 1, "messages": [], **params}))
    return talk.sent[0]


def test_letters_beyond_ascii_are_signed_as_the_bytes_that_are_sent():
    send = asked(extra_headers={"x-amz-name": "  Z\xfcrich   B\xe4r "})
    head = on_the_wire(send)
    assert head.headers["x-amz-name"] == "Z\xfcrich   B\xe4r"
    sigv4.verify(sigv4.parse(head), KEYS["AWS_SECRET_ACCESS_KEY"], head, send.body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-name", "日本"),
        ("x-name", "an en dash \u2013"),
        ("x-name", "half a letter \ud800"),
        ("x-name", "a\r\nb"),
        ("x-name", "a\0b"),
        ("x-name", "a\x1bb"),
        ("x-name", "a\x7fb"),
        ("x-\x01", "a"),
        ("x-né", "a"),
        ("x name", "a"),
        ("x:name", "a"),
        ("", "a"),
        ("Host", "elsewhere.example.com"),
        ("Content-Length", "3"),
        ("transfer-encoding", "chunked"),
        ("Accept-Encoding", "gzip"),
    ],
)
def test_a_header_that_can_not_be_sent_is_refused_with_its_name(name, value):
    """Before anything is signed, and with what to do about it."""
    with pytest.raises(UsageError) as caught:
        asked(extra_headers={name: value})
    assert repr(name)[1:-1] in caught.value.what
    assert "extra_headers" in caught.value.what
    assert caught.value.fix


MISTAKEN = random.Random(3)


@pytest.mark.parametrize(
    "model",
    [
        "",
        " ",
        "é.claude",
        "anthropic.claude-日本",
        "anthropic.claude/../../x",
        "anthropic.claude?x=1",
        "anthropic.claude#x",
        "anthropic.claude%2F",
        "anthropic.claude\r\nx: y",
        "arn:aws:bedrock:us-west-2:123456789012:custom-model/a\nb",
        "arn:aws:bedrock:us-west-2:123456789012:custom-model/\ud800",
        "arn:aws:bedrock:us-west-2:12345:custom-model/a",
        "arn:aws:s3:::bucket",
        *["".join(MISTAKEN.choices(ANY, k=12)) for _ in range(40)],
    ],
)
def test_what_names_no_model_is_refused_and_nothing_is_sent(model):
    talk = Talk(reply(200, MESSAGE))
    with pytest.raises(ModelNameError):
        talk.run(operations.create(core(), {"model": model, "max_tokens": 1, "messages": []}))
    assert talk.sent == []


ODD = {
    "extra_headers": {
        "X-Amz-Meta": "  two   blanks  , ü ",
        "x-TEAM": "a, b",
        "content-type": "application/json",
    },
    "extra_query": {"a b": "=&+ %", "é": "", "": "x", "a": "1"},
}


def test_an_endpoint_takes_what_both_clients_sign(endpoint):
    """The whole way: odd headers and queries, and defaults of both, over sockets."""
    options = {
        "aws_access_key": endpoint.access_key,
        "aws_secret_key": endpoint.secret_key,
        "aws_region": "us-west-2",
        "base_url": f"{endpoint.url}/",
        "default_query": {"b": "2", "a": "0"},
        "default_headers": {"x-amz-default": "d", "x-none": None},
        "max_retries": 0,
    }
    arn = "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"
    call = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], **ODD}
    models = ["claude-sonnet-4-5", arn]

    async def go():
        async with outcrop.AsyncAnthropicBedrock(**options) as client:
            return [await client.messages.create(model=model, **call) for model in models]

    with outcrop.AnthropicBedrock(**options) as client:
        messages = [client.messages.create(model=model, **call) for model in models]
        assert client.messages.count_tokens(model=models[0], messages=call["messages"]).input_tokens > 0
    messages += asyncio.run(go())
    assert {message.content[0].text for message in messages} == {"Hello from the script."}
