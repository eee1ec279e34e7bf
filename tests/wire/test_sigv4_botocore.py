"""Ten thousand generated requests have the signature that botocore gives them.

The requests are what a client of Bedrock may send, and odder. The seed is fixed: they are the same each time.
`test_sigv4.py` lets hypothesis look for others.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from unittest.mock import patch
from urllib.parse import quote

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from outcrop.wire import sigv4
from outcrop.wire.http import Head
from outcrop.wire.sigv4 import Credentials

REQUESTS = 10_000

MODELS = [
    "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "eu.anthropic.claude-haiku-4-5-20251001-v1:0:200k",
    "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-opus-4-1-20250805-v1:0",
    "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1b2c3d4e5f6",
    "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
    "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:provisioned-model/abcdef012345",
]
OPERATIONS = ["invoke", "invoke-with-response-stream", "converse", "converse-stream", "count-tokens"]
ODD_SEGMENTS = [
    "..",
    ".",
    "",
    "...",
    "~",
    "%7e",
    "%7E",
    "a+b",
    "a b",
    "%20",
    "%",
    "%zz",
    "a;b=c",
    "@!$&'()*,",
    "*",
]
SCRIPTS = "äöüßéñçøłžабвгдежזחטابتثग़कখগ日本語한국어🙂🦀"
SIGNED_NAMES = [
    "accept",
    "accept-encoding",
    "anthropic-beta",
    "content-type",
    "x-amzn-bedrock-accept",
    "x-amzn-bedrock-guardrailidentifier",
    "x-amz-user-agent",
    "x-stainless-retry-count",
    "amz-sdk-invocation-id",
    "a",
    "z9",
    "_under.dotted-dashed",
]
UNSIGNED_NAMES = ["user-agent", "x-amzn-trace-id", "connection", "te", "expect", "traceparent", "baggage"]
BLANKS = [" ", "  ", "\t", " \t ", "   \t\t"]
REGIONS = ["us-west-2", "us-east-1", "eu-central-1", "ap-northeast-1", "ap-southeast-4", "us-gov-west-1"]
HOSTS = [
    "https://bedrock-runtime.{region}.amazonaws.com",
    "https://bedrock.{region}.amazonaws.com",
    "http://127.0.0.1:8080",
    "https://gateway.example:443",
    "http://[::1]:8443",
]


class Request(msgspec.Struct):
    """A request and who signs it, in the words both sides need. `features` names what is odd about it."""

    method: str
    origin: str
    host: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    credentials: Credentials
    region: str
    service: str
    now: float
    features: set[str]


class Generator:
    """Makes requests out of a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def request(self) -> Request:
        pick = self._random
        features: set[str] = set()
        region = pick.choice(REGIONS)
        origin = pick.choice(HOSTS).format(region=region)
        body = self._body(features)
        request = Request(
            pick.choice(["POST", "POST", "POST", "GET", "PUT", "DELETE"]),
            origin,
            origin.split("//")[1].removesuffix(":443"),
            self._path(features),
            self._query(features),
            self._headers(features),
            body,
            self._credentials(features),
            region,
            pick.choice(["bedrock", "bedrock", "sts"]),
            pick.uniform(1_700_000_000, 1_900_000_000),
            features,
        )
        features.add(request.service)
        if pick.random() < 0.1:
            request.headers["X-Amz-Content-SHA256"] = sha256(body).hexdigest()
        return request

    def _path(self, features: set[str]) -> str:
        pick = self._random
        if pick.random() < 0.05:
            features.add("root")
            return "/"
        if pick.random() < 0.6:
            style = pick.choice(["raw colons", "%3A", "%2F"])
            model = pick.choice(MODELS)
            features.add(style)
            features.add("ARN" if model.startswith("arn:") else "model id")
            label = {"raw colons": model, "%3A": quote(model), "%2F": quote(model, safe="")}[style]
            return f"/model/{label}/{pick.choice(OPERATIONS)}"
        segments = [self._segment(features) for _ in range(pick.randint(1, 6))]
        return "/" + "/".join(segments) + pick.choice(["", "", "/", "//"])

    def _segment(self, features: set[str]) -> str:
        pick = self._random
        kind = pick.choice(["odd", "unicode", "raw unicode", "plain"])
        if kind == "odd":
            odd = pick.choice([*ODD_SEGMENTS, "", ".."])
            features.add(
                "dot segments" if odd in ("..", ".") else "empty segments" if not odd else "odd segments"
            )
            return odd
        features.add(f"{kind} path")
        text = self._text(1, 8, SCRIPTS if "unicode" in kind else "abcXYZ019-_.~:=,")
        return quote(text) if kind == "unicode" else text

    def _query(self, features: set[str]) -> str:
        """As clients write it: each name and value encoded once."""
        pick = self._random
        if pick.random() < 0.5:
            return ""
        pairs = []
        for _ in range(pick.randint(1, 6)):
            name = pick.choice(
                ["", "a", "A", "aa", "byProvider", "maxResults", self._text(1, 5, SCRIPTS + " /&=+%")]
            )
            value = pick.choice(["", "1", "10", "2", self._text(1, 8, SCRIPTS + "abc /&=+%~*")])
            pairs.append((name, value))
        if len({name for name, _ in pairs}) < len(pairs):
            features.add("repeated names in the query")
        if any(not name for name, _ in pairs):
            features.add("empty names in the query")
        return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)

    def _headers(self, features: set[str]) -> dict[str, str]:
        pick = self._random
        names = pick.sample(SIGNED_NAMES, pick.randint(0, 7)) + pick.sample(
            UNSIGNED_NAMES, pick.randint(0, 3)
        )
        headers = {}
        for name in names:
            spell = pick.choice([str.lower, str.lower, str.upper, str.title])
            features.add("unsigned headers" if name in UNSIGNED_NAMES else "signed headers")
            features.add("lower case names" if spell is str.lower else "upper case names")
            headers[spell(name)] = self._value(features)
        return headers

    def _value(self, features: set[str]) -> str:
        pick = self._random
        kind = pick.choice(
            ["empty values", "blank values", "inner blanks", "unicode values", "plain", "plain"]
        )
        features.add(kind)
        if kind == "empty values":
            return ""
        if kind == "blank values":
            return pick.choice(BLANKS)
        if kind == "unicode values":
            return f"{pick.choice(BLANKS)}{self._text(1, 6, SCRIPTS)}{pick.choice(BLANKS)}x"
        if kind == "plain":
            return self._text(1, 30, "abcXYZ019-_.~:=,;/+\"'(){}[]?&%#@!$*^|<>\\`")
        words = [self._text(1, 6, "abcXYZ019,;=") for _ in range(pick.randint(1, 4))]
        return pick.choice(["", *BLANKS]) + pick.choice(BLANKS).join(words) + pick.choice(["", *BLANKS])

    def _body(self, features: set[str]) -> bytes:
        pick = self._random
        kind = pick.choice(["empty bodies", "binary bodies", "JSON"])
        features.add(kind)
        if kind == "empty bodies":
            return b""
        if kind == "binary bodies":
            return pick.randbytes(pick.randint(1, 300))
        prompt = self._text(0, 60, SCRIPTS + "abc ")
        return msgspec.json.encode({"max_tokens": 10, "messages": [{"role": "user", "content": prompt}]})

    def _credentials(self, features: set[str]) -> Credentials:
        key = self._text(16, 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
        secret = self._text(40, 40, "abcdefABCDEF0123456789/+")
        if self._random.random() < 0.5:
            return Credentials(f"AKIA{key}", secret)
        features.add("session tokens")
        return Credentials(f"ASIA{key}", secret, self._text(20, 400, "abcXYZ019/+="))

    def _text(self, shortest: int, longest: int, alphabet: str) -> str:
        return "".join(self._random.choices(alphabet, k=self._random.randint(shortest, longest)))


def theirs(request: Request) -> str:
    """botocore's Authorization header."""
    url = f"{request.origin}{request.path}" + (f"?{request.query}" if request.query else "")
    made = AWSRequest(request.method, url, data=request.body, headers=request.headers)
    who = request.credentials
    credentials = BotocoreCredentials(who.access_key, who.secret, who.token or None)
    now = datetime.fromtimestamp(request.now // 1, UTC)
    with patch("botocore.auth.get_current_datetime", return_value=now):
        SigV4Auth(credentials, request.service, request.region).add_auth(made)
    return str(made.headers["Authorization"])


def ours(request: Request) -> str:
    """Our Authorization header. A head has lower-case names, and the bytes of its values as latin-1."""
    headers = {name.lower(): value.encode().decode("latin-1") for name, value in request.headers.items()}
    head = Head(request.method, request.path, request.query, {"host": request.host, **headers})
    added = sigv4.sign(head, request.body, request.credentials, request.region, request.service, request.now)
    return added["authorization"]


def test_ten_thousand_requests_are_signed_as_botocore_signs_them() -> None:
    generator, features = Generator(seed=20261124), Counter[str]()
    for number in range(REQUESTS):
        request = generator.request()
        assert ours(request) == theirs(request), (number, request)
        features.update(request.features)
    assert len(features) == 29
    assert min(features.values()) >= 200, features.most_common()[-5:]  # each was tried, and often
