"""Signatures against botocore's, in both forms, and every way of forging one that we could think of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from unittest.mock import patch
from urllib.parse import quote, urlsplit

import msgspec
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from outcrop.errors import (
    AuthFault,
    IncompleteSignatureException,
    InvalidSignatureException,
    UnrecognizedClientException,
)
from outcrop.wire import sigv4
from outcrop.wire.http import Head
from outcrop.wire.sigv4 import Credentials

NOW = 1_795_348_800.0  # 2026-11-22T12:00:00Z
STAMP = "20261122T120000Z"
KEY = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
TEMPORARY = Credentials("ASIAIOSFODNN7EXAMPLE", KEY.secret, "FwoG/with+signs==")
HOST = "127.0.0.1:8080"
INVOKE = "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke"
BODY = b'{"max_tokens":10,"messages":[]}'


def judge(
    head: Head, body: bytes, secret: str = KEY.secret, now: float = NOW, service: str = "bedrock"
) -> None:
    """All that a server does; raises the fault it would answer with."""
    signature = sigv4.parse(head)
    assert signature is not None
    if signature.access_key not in (KEY.access_key, TEMPORARY.access_key):
        raise UnrecognizedClientException
    sigv4.check_time(signature, now)
    sigv4.check_scope(signature, service)
    sigv4.verify(signature, secret, head, body)


def signed(
    head: Head, body: bytes = BODY, credentials: Credentials = KEY, region: str = "us-west-2", **other: str
) -> Head:
    added = sigv4.sign(head, body, credentials, region, other.get("service", "bedrock"), NOW)
    return with_headers(head, added)


def with_headers(head: Head, headers: dict[str, str]) -> Head:
    return msgspec.structs.replace(head, headers={**head.headers, **headers})


def an_invoke(**headers: str) -> Head:
    return Head("POST", INVOKE, "", {"host": HOST, "content-type": "application/json", **headers})


# ── botocore as the oracle ────────────────────────────────────────────────────────────────────────

SEGMENTS = st.one_of(
    st.sampled_from(
        [
            "model",
            "invoke",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "global.anthropic.claude-sonnet-4-6",
            "arn:aws:bedrock:us-west-2:123456789012:inference-profile%2Fus.anthropic.claude-haiku-4-5-v1:0",
            "arn%3Aaws%3Abedrock%3A%3A%3Afoundation-model%2Fx",
            "..",
            ".",
            "",
            "%7e~",
            "a+b c",
        ]
    ),
    st.text("abcXYZ019-_.~:@!$&'()*,;=%", min_size=1, max_size=12),
    st.text(min_size=1, max_size=8, alphabet=st.characters(codec="utf-8", exclude_characters="/?#[]")).map(
        quote
    ),
)
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda segments: "/" + "/".join(segments))
WORDS = st.text(min_size=1, max_size=8, alphabet=st.characters(codec="utf-8"))
QUERIES = st.lists(st.tuples(WORDS, st.one_of(st.just(""), WORDS)), max_size=5)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "accept",
            "content-type",
            "anthropic-beta",
            "x-stainless-lang",
            "x-amz-user-agent",
            "x-odd",
            "a",
            "z",
        ]
    ),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
    max_size=5,
)


def encoded(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)


def botocore_time(*_: object, **__: object) -> datetime:
    return datetime.fromtimestamp(NOW, UTC)


def as_head(request: AWSRequest) -> Head:
    parts = urlsplit(request.url)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Head(request.method, parts.path or "/", parts.query, {"host": parts.netloc, **headers})


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT"]),
    PATHS,
    QUERIES,
    HEADERS,
    st.binary(max_size=40),
    st.sampled_from([KEY, TEMPORARY]),
    st.booleans(),
)
def test_the_header_form_is_botocores_and_verifies(
    method: str,
    path: str,
    pairs: list[tuple[str, str]],
    headers: dict[str, str],
    body: bytes,
    credentials: Credentials,
    states_the_hash: bool,
) -> None:
    if states_the_hash:
        headers = {**headers, "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    query = encoded(pairs)
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    assume(urlsplit(url).path == path)  # a path that begins with // is an authority to urlsplit
    request = AWSRequest(method, url, data=body, headers=headers)
    theirs = BotocoreCredentials(credentials.access_key, credentials.secret, credentials.token or None)
    with patch("botocore.auth.get_current_datetime", botocore_time):
        SigV4Auth(theirs, "bedrock", "us-west-2").add_auth(request)

    ours = sigv4.sign(
        Head(method, path, query, {"host": HOST, **headers}), body, credentials, "us-west-2", "bedrock", NOW
    )

    assert ours["authorization"] == request.headers["Authorization"]
    judge(as_head(request), body)


@settings(max_examples=200, deadline=None)
@given(
    PATHS,
    st.dictionaries(WORDS, WORDS, max_size=4),
    st.dictionaries(st.sampled_from(["accept", "x-amz-user-agent", "a"]), st.sampled_from(["b", " c  d "])),
    st.sampled_from([KEY, TEMPORARY]),
    st.integers(1, 604_800),
)
def test_the_query_form_is_botocores_and_verifies(
    path: str, parameters: dict[str, str], headers: dict[str, str], credentials: Credentials, expires: int
) -> None:
    query = encoded(list(parameters.items()))
    url = f"https://{HOST}{path}" + (f"?{query}" if query else "")
    assume(urlsplit(url).path == path)
    request = AWSRequest("POST", url, headers=headers)
    theirs = BotocoreCredentials(credentials.access_key, credentials.secret, credentials.token or None)
    with patch("botocore.auth.get_current_datetime", botocore_time):
        SigV4QueryAuth(theirs, "bedrock", "us-west-2", expires=expires).add_auth(request)
    head = Head("POST", path, query, {"host": HOST, **headers})

    ours = sigv4.presign(head, credentials, "us-west-2", "bedrock", NOW, expires)

    assert ours == urlsplit(request.url).query
    judge(as_head(request), b"", now=NOW + expires)
    with pytest.raises(InvalidSignatureException):
        judge(as_head(request), b"", now=NOW + expires + 1)


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ("b=2&a=1", "a=1&b=2"),
        ("a=2&a=1", "a=1&a=2"),
        ("flag", "flag="),
        ("a=x%2fy", "a=x/y"),
        ("a=b+c", "a=b%20c"),
    ],
)
def test_queries_that_mean_the_same_have_one_signature(query: str, same: str) -> None:
    head = signed(Head("GET", "/foundation-models", query, {"host": HOST}), b"")

    judge(msgspec.structs.replace(head, query=same), b"")


def test_awss_published_example_comes_out() -> None:
    head = Head("GET", "/", "", {"host": "example.amazonaws.com"})
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")

    added = sigv4.sign(head, b"", credentials, "us-east-1", "service", 1_440_938_160.0)

    assert added == {
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    }


# ── what clients do ───────────────────────────────────────────────────────────────────────────────


def test_over_http2_the_authority_is_signed_in_the_hosts_place() -> None:
    head = signed(Head("POST", INVOKE, "", {"host": HOST, "x-amz-user-agent": "aws-sdk-js/3"}, http2=True))

    assert "SignedHeaders=:authority;x-amz-date;x-amz-user-agent" in head.headers["authorization"]
    judge(head, BODY)
    with pytest.raises(InvalidSignatureException, match="'Host' or ':authority' must be"):
        judge(msgspec.structs.replace(head, http2=False), BODY)
    with pytest.raises(InvalidSignatureException):
        judge(with_headers(head, {"host": "elsewhere"}), BODY)


def test_headers_that_travel_unsigned_do_not_matter() -> None:
    head = with_headers(
        signed(an_invoke()),
        {
            "user-agent": "Boto3/1",
            "amz-sdk-request": "attempt=1",
            "x-amzn-trace-id": "1",
            "connection": "close",
        },
    )

    judge(head, BODY)


def test_a_date_header_stands_in_for_x_amz_date() -> None:
    request = AWSRequest("POST", f"http://{HOST}{INVOKE}", data=BODY, headers={"Date": "set by botocore"})
    with patch("botocore.auth.get_current_datetime", botocore_time):
        SigV4Auth(BotocoreCredentials(KEY.access_key, KEY.secret), "bedrock", "us-west-2").add_auth(request)
    head = as_head(request)
    assert "x-amz-date" not in head.headers

    judge(head, BODY)
    with pytest.raises(InvalidSignatureException):
        judge(with_headers(head, {"date": "Sun, 22 Nov 2026 12:00:01 GMT"}), BODY)


@pytest.mark.parametrize("body", [b"", b"x" * 100_000])
def test_the_order_and_case_of_signed_headers_do_not_matter(body: bytes) -> None:
    head = signed(an_invoke(), body)
    text = head.headers["authorization"].replace(
        "content-type;host;x-amz-date", "X-Amz-Date;Host;Content-Type"
    )

    judge(with_headers(head, {"authorization": text}), body)


def test_bytes_beyond_ascii_are_signed_as_bytes() -> None:
    wire = "é\u00a0à".encode().decode("latin-1")  # as a server hands UTF-8 on
    head = signed(an_invoke(**{"x-odd": wire}))

    judge(head, BODY)
    with pytest.raises(InvalidSignatureException):
        judge(with_headers(head, {"x-odd": wire.replace("\u00a0", " ")}), BODY)


def test_no_secret_shows_in_a_repr() -> None:
    assert KEY.secret not in repr(KEY)
    assert TEMPORARY.token not in repr(TEMPORARY)


# ── forgeries ─────────────────────────────────────────────────────────────────────────────────────


def rewritten(old: str, new: str) -> Callable[[Head], Head]:
    def forge(head: Head) -> Head:
        text = head.headers["authorization"]
        assert old in text
        return with_headers(head, {"authorization": text.replace(old, new)})

    return forge


def changed(**fields: object) -> Callable[[Head], Head]:
    return lambda head: msgspec.structs.replace(head, **fields)


def header(name: str, value: str) -> Callable[[Head], Head]:
    return lambda head: with_headers(head, {name: value})


def without(name: str) -> Callable[[Head], Head]:
    return lambda head: msgspec.structs.replace(
        head, headers={key: value for key, value in head.headers.items() if key != name}
    )


def twice(head: Head) -> Head:
    text = head.headers["authorization"]
    return with_headers(head, {"authorization": f"{text},{text}"})


FORGERIES: dict[str, Callable[[Head], Head]] = {
    "signature bit": lambda head: with_headers(
        head,
        {
            "authorization": head.headers["authorization"][:-1]
            + ("0", "1")[head.headers["authorization"][-1] == "0"]
        },
    ),
    "signature cut": lambda head: with_headers(head, {"authorization": head.headers["authorization"][:-1]}),
    "signature beyond ASCII": lambda head: with_headers(
        head, {"authorization": head.headers["authorization"][:-1] + "é"}
    ),
    "method": changed(method="PUT"),
    "path": changed(raw_path=INVOKE.replace("sonnet", "haiku")),
    "path encoded otherwise": changed(raw_path=INVOKE.replace("%3A", ":")),
    "path in lower-case hex": changed(raw_path=INVOKE.replace("%3A", "%3a")),
    "query added": changed(query="a=1"),
    "host": header("host", "127.0.0.1:8081"),
    "signed header": header("content-type", "text/plain"),
    "signed header taken away": without("content-type"),
    "signed header emptied": header("content-type", ""),
    "date header": header("x-amz-date", "20261122T120001Z"),
    "session token": header("x-amz-security-token", "another"),
    "session token taken away": without("x-amz-security-token"),
    "x-amz header added": header("x-amz-target", "x"),
    "request metadata added": header("x-amzn-bedrock-request-metadata", "{}"),
    "hash of another body": header("x-amz-content-sha256", hashlib.sha256(b"other").hexdigest()),
    "unsigned payload": header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    "algorithm": rewritten("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"),
    "old algorithm": rewritten("AWS4-HMAC-SHA256", "AWS3"),
    "access key": rewritten("Credential=ASIA", "Credential=AKIA/ASIA"),
    "scope date": rewritten("/20261122/", "/20261121/"),
    "scope region": rewritten("/us-west-2/", "/us-east-1/"),
    "scope region malformed": rewritten("/us-west-2/", "/US-WEST-2/"),
    "scope service": rewritten("/bedrock/", "/sts/"),
    "terminator": rewritten("/aws4_request", "/aws5_request"),
    "host not signed": rewritten("host;", ""),
    "header not signed": rewritten("content-type;", ""),
    "date not signed": rewritten(";x-amz-date", ""),
    "token not signed": rewritten(";x-amz-security-token", ""),
    "signed headers empty": rewritten("SignedHeaders=content-type", "SignedHeaders=;content-type"),
    "header signed twice": rewritten("host;", "host;host;"),
    "no signature": rewritten(", Signature=", ", Sig="),
    "duplicate Authorization": twice,
    "duplicate Authorization, another scheme": lambda head: with_headers(
        head, {"authorization": f"{head.headers['authorization']},Bearer x=="}
    ),
    "signed in the query too": changed(query="X-Amz-Algorithm=AWS4-HMAC-SHA256"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_request_is_refused(name: str) -> None:
    head = signed(an_invoke(), credentials=TEMPORARY)
    judge(head, BODY)

    with pytest.raises(AuthFault):
        judge(FORGERIES[name](head), BODY)


def test_a_tampered_body_is_refused() -> None:
    with pytest.raises(InvalidSignatureException, match="The request signature we calculated does not match"):
        judge(signed(an_invoke()), BODY + b" ")


def test_an_unsigned_payload_is_refused_even_when_it_is_signed_so() -> None:
    head = an_invoke(**{"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})

    with pytest.raises(InvalidSignatureException):
        judge(signed(head), BODY)


def test_another_secret_is_refused() -> None:
    with pytest.raises(InvalidSignatureException):
        judge(signed(an_invoke()), BODY, secret=KEY.secret[:-1] + "x")


def presigned(expires: int = 60) -> Head:
    head = Head("POST", INVOKE, "a=1", {"host": HOST})
    return msgspec.structs.replace(
        head, query=sigv4.presign(head, TEMPORARY, "us-west-2", "bedrock", NOW, expires)
    )


QUERY_FORGERIES = [
    ("a=1", "a=2"),
    ("a=1&", ""),
    ("a=1", "a=1&b=1"),
    ("X-Amz-Expires=60", "X-Amz-Expires=61"),
    ("X-Amz-Expires=60", "X-Amz-Expires=0"),
    ("X-Amz-Expires=60", "X-Amz-Expires=604801"),
    ("X-Amz-Expires=60", "X-Amz-Expires=-5"),
    ("X-Amz-Expires=60", "X-Amz-Expires=%D9%A6"),
    ("X-Amz-Expires=60&", ""),
    ("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=60"),
    ("X-Amz-Date=20261122T120000Z", "X-Amz-Date=20261122T120001Z"),
    ("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4-HMAC-SHA1"),
    ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=accept"),
    ("%2Fus-west-2%2F", "%2Fus-east-1%2F"),
    ("%2Fbedrock%2F", "%2Fsts%2F"),
    ("aws4_request", "aws4_reques"),
    ("FwoG", "FwoH"),
    ("X-Amz-Signature=", "X-Amz-Signature=0"),
    ("X-Amz-Signature=", "X-Amz%2DSignature="),
    ("X-Amz-Signature=", "X-Amz-Signature=0&X-Amz-Signature="),
]


@pytest.mark.parametrize(("old", "new"), QUERY_FORGERIES)
def test_a_forged_query_is_refused(old: str, new: str) -> None:
    head = presigned()
    judge(head, b"")
    assert old in head.query

    with pytest.raises(AuthFault):
        judge(msgspec.structs.replace(head, query=head.query.replace(old, new)), b"")


def test_malformed_bytes_in_a_query_are_not_taken_for_each_other() -> None:
    head = signed(Head("GET", "/", "a=%FF", {"host": HOST}), b"")
    judge(head, b"")

    with pytest.raises(InvalidSignatureException):
        judge(msgspec.structs.replace(head, query="a=%FE"), b"")


PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0xFF)
CLAUSES = (
    "method",
    "raw_path",
    "query",
    "body",
    "authorization",
    "host",
    "content-type",
    "x-amz-date",
    "x-odd",
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(CLAUSES), st.integers(0), PRINTABLE, st.sampled_from(["replace", "insert", "delete"]))
def test_no_mutated_request_is_accepted(clause: str, place: int, char: str, how: str) -> None:
    head = signed(msgspec.structs.replace(an_invoke(**{"x-odd": "some value"}), query="a=1&b=x%2Fy"))
    parts = {"method": head.method, "raw_path": head.raw_path, "query": head.query, "body": BODY.decode()}
    old = parts.get(clause) or head.headers[clause]
    place %= len(old)
    new = old[:place] + ("" if how == "delete" else char) + old[place + (how != "insert") :]
    assume(new != old and not same_request(clause, old, new))
    if clause in ("method", "raw_path", "query"):
        head = msgspec.structs.replace(head, **{clause: new})
    elif clause != "body":
        head = with_headers(head, {clause: new})
    body = new.encode() if clause == "body" else BODY

    with pytest.raises(AuthFault):
        judge(head, body)


def same_request(clause: str, old: str, new: str) -> bool:
    """Changes that mean nothing: AWS's rules make both the same request."""
    if clause == "raw_path":
        return "//" in new or "/./" in new
    if clause == "query":
        return new.replace("&&", "&").strip("&") == old or new.lower() == old.lower() or "+" in new
    if clause == "authorization":
        return re.sub(r"\s*,\s*", ", ", new.strip()).lower() == old.lower()
    return " ".join(new.split()) == old


# ── refusals in AWS's words ───────────────────────────────────────────────────────────────────────


def test_a_request_without_a_signature_is_nobodys() -> None:
    assert sigv4.parse(an_invoke()) is None
    assert sigv4.parse(Head("GET", "/", "X-Amz-Signature=1", {"host": HOST})) is None


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        (
            "Basic dXNlcjpwYXNz",
            "Authorization header requires 'Credential' parameter. "
            "Authorization header requires 'Signature' parameter. "
            "Authorization header requires 'SignedHeaders' parameter. "
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
            "(Hashed with SHA-256 and encoded with Base64) "
            "Authorization=" + sigv4._digest("Basic dXNlcjpwYXNz"),
        ),
        ("AWS4-HMAC-SHA1 Credential=a", "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'."),
        (
            "AWS4-HMAC-SHA256 Credential",
            "Invalid key=value pair (missing equal-sign) in Authorization header "
            "(hashed with SHA-256 and encoded with Base64): '" + sigv4._digest("Credential") + "'.",
        ),
    ],
)
def test_a_malformed_authorization_is_told_without_being_repeated(authorization: str, text: str) -> None:
    with pytest.raises(IncompleteSignatureException) as refused:
        sigv4.parse(an_invoke(authorization=authorization))

    assert refused.value.text == text
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            "/20261122/",
            "/",
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            "got 'AKIAIOSFODNN7EXAMPLE/us-west-2/bedrock/aws4_request'",
        ),
        (
            "/20261122/us-west-2/bedrock/aws4_request",
            "/20261121/mars/sqs/aws5",
            "Credential should be scoped to a valid region, not 'mars'. "
            "Credential should be scoped to correct service: 'bedrock'. "
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'. "
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            "'20261121' != '20261122', from '20261122T120000Z'.",
        ),
    ],
)
def test_a_wrong_scope_is_told_in_full(old: str, new: str, text: str) -> None:
    with pytest.raises(AuthFault) as refused:
        judge(rewritten(old, new)(signed(an_invoke())), BODY)

    assert refused.value.text == text


@pytest.mark.parametrize(
    "stamp", ["", "20261122", "20261322T120000Z", "20261122T120000Z ", "\uff1220261122T120000Z"]
)
def test_a_date_of_another_format_is_incomplete(stamp: str) -> None:
    with pytest.raises(IncompleteSignatureException):
        sigv4.parse(with_headers(signed(an_invoke()), {"x-amz-date": stamp}))


def test_a_date_header_beyond_the_calendar_is_incomplete() -> None:
    head = with_headers(signed(an_invoke()), {"date": "Fri, 31 Dec 9999 23:59:59 -1400"})
    without = {name: value for name, value in head.headers.items() if name != "x-amz-date"}
    with pytest.raises(IncompleteSignatureException):
        sigv4.parse(Head(head.method, head.raw_path, head.query, without))


@pytest.mark.parametrize("now", [NOW - 300, NOW, NOW + 300])
def test_five_minutes_either_way_are_allowed(now: float) -> None:
    judge(signed(an_invoke()), BODY, now=now)


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (
            NOW + 301,
            "Signature expired: 20261122T120000Z is now earlier than 20261122T120001Z "
            "(20261122T120501Z - 5 min.)",
        ),
        (
            NOW - 301,
            "Signature not yet current: 20261122T120000Z is still later than 20261122T115959Z "
            "(20261122T115459Z + 5 min.)",
        ),
        (
            NOW + 86_400,
            "Signature expired: 20261122T120000Z is now earlier than 20261123T115500Z "
            "(20261123T120000Z - 5 min.)",
        ),
    ],
)
def test_a_clock_that_is_off_is_told_how_far(now: float, text: str) -> None:
    with pytest.raises(InvalidSignatureException) as refused:
        judge(signed(an_invoke()), BODY, now=now)

    assert refused.value.text == text


def test_the_window_can_be_set() -> None:
    signature = sigv4.parse(signed(an_invoke()))
    assert signature is not None

    sigv4.check_time(signature, NOW + 900, window=900)
    with pytest.raises(InvalidSignatureException, match=r"- 90 sec\."):
        sigv4.check_time(signature, NOW + 91, window=90)


def test_a_signed_query_is_not_good_before_its_date() -> None:
    judge(presigned(), b"", now=NOW - 300)
    with pytest.raises(InvalidSignatureException, match="not yet current"):
        judge(presigned(), b"", now=NOW - 301)


@pytest.mark.parametrize("expires", [0, 604_801])
def test_a_query_is_not_signed_for_longer_than_a_week(expires: int) -> None:
    with pytest.raises(ValueError, match="1 to 604800 seconds"):
        presigned(expires)


def test_what_a_signature_says_can_be_read() -> None:
    signature = sigv4.parse(signed(an_invoke(), credentials=TEMPORARY))

    assert signature is not None
    assert signature.access_key == TEMPORARY.access_key
    assert signature.token == TEMPORARY.token
    assert str(signature.scope) == "20261122/us-west-2/bedrock/aws4_request"
    assert signature.signed_headers == ("content-type", "host", "x-amz-date", "x-amz-security-token")
    assert (signature.timestamp, signature.time) == (STAMP, NOW)
