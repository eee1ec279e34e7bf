"""Wildcards: what they match, and that no pattern can make matching slow."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.service.iam import patterns
from outcrop.service.iam.patterns import Literal, canonical

PIECES = st.lists(st.sampled_from(["*", "?", ":", "a", "b", ".", "ab"]), max_size=12).map("".join)
TEXTS = st.text(alphabet="ab:.*", max_size=14)


@given(PIECES, TEXTS)
def test_a_glob_is_the_regular_expression_one_would_write(pattern, told):
    """The oracle tries everything; ours never goes back."""
    expected = re.fullmatch("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern), told)
    assert patterns.glob((pattern,))(told) is (expected is not None)


@given(PIECES, TEXTS)
def test_a_resource_keeps_its_wildcards_to_their_segments(pattern, told):
    parts = pattern.split(":", 5)
    written = []
    for part in parts[:5]:
        inner = re.sub(r"[*?]|[^*?]+", lambda m: {"*": "[^:]*", "?": "[^:]"}.get(m[0], re.escape(m[0])), part)
        written.append(re.sub(r"\[\^:\]\*$", ".*", inner) if part.endswith("*") else inner)
    if len(parts) == 6:
        rest = parts[5]
        written.append("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in rest))
    expected = re.fullmatch(":".join(written), told)
    assert patterns.resource((pattern,))(told) is (expected is not None)


@given(st.lists(PIECES.map(lambda text: text.replace(":", "")), min_size=5, max_size=5), TEXTS, st.booleans())
def test_an_arn_is_compared_part_by_part(parts, rest, fits):
    whole = "arn:" + ":".join(parts)
    told = (
        "arn:" + ":".join(part.replace("*", "a").replace("?", "b") for part in parts)
        if fits
        else f"arn:{rest}"
    )
    values = told.split(":", 5)
    expected = len(values) == 6 and all(
        patterns.glob((part,))(one) for part, one in zip(["arn", *parts], values, strict=True)
    )
    assert patterns.arn((whole,))(told) is expected
    assert expected or not fits


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        ("arn:aws:bedrock:*::foundation-model/*", "arn:aws:bedrock:::foundation-model/a.b-v1:0", True),
        ("arn:aws:bedrock:*", "arn:aws:bedrock:us-east-1:1:inference-profile/x", True),
        (
            "arn:aws:bedrock:us-*:*:inference-profile/us.*",
            "arn:aws:bedrock:us-east-1:1:inference-profile/us.a:0",
            True,
        ),
        # at a segment's end a star goes on beyond the colon, within a segment it does not
        ("arn:aws:bedrock:us-*:x/y", "arn:aws:bedrock:us-east-1:1:inference-profile:x/y", True),
        ("arn:aws:bedrock:us-*n:x/y:", "arn:aws:bedrock:us-east-1:n:x/y:", False),
        ("arn:aws:bedrock:us-*1:*", "arn:aws:bedrock:us-east-2::foundation-model/a.b-v1:0", False),
        ("arn:aws:bedrock:us-*1:*", "arn:aws:bedrock:us-east-1::foundation-model/a.b-v1:0", True),
        ("arn:aws:bedrock:*::foundation-model/*-v1:?", "arn:aws:bedrock:a::foundation-model/a.b-v1:0", True),
        (
            "arn:aws:bedrock:*::foundation-model/anthropic*",
            "arn:aws:bedrock:a::foundation-model/Anthropic",
            False,
        ),
        # a path's slash is a character like any other
        ("arn:aws:s3:::bucket/*/test/*", "arn:aws:s3:::bucket/1/2/test/3/object.jpg", True),
        ("arn:aws:s3:::bucket/*/test/*", "arn:aws:s3:::bucket//test/object.jpg", True),
        ("arn:aws:s3:::bucket/*/test/*", "arn:aws:s3:::bucket/1/2/test.jpg", False),
    ],
)
def test_resources_match_as_documented(pattern, resource, expected):
    assert patterns.resource((pattern,))(resource) is expected


def test_literals_are_not_read_for_wildcards():
    assert patterns.glob(("a", Literal("*"), "*"))("a*bc")
    assert not patterns.glob(("a", Literal("*"), "*"))("abc")
    assert patterns.arn(("arn:aws:iam::1:user/", Literal("x?")))("arn:aws:iam::1:user/x?")


def test_keys_have_one_spelling_whatever_their_case():
    assert canonical("AWS:requestedREGION") == "aws:RequestedRegion"
    assert canonical("aws:requesttag/Team") == canonical("AWS:RequestTag/TEAM") == "aws:RequestTag/team"
    assert canonical("S3:Prefix") == "s3:prefix"


@pytest.mark.parametrize("make", [patterns.glob, patterns.resource, patterns.arn])
def test_no_pattern_makes_matching_slow(make):
    """Patterns on which backtracking would take ages, against the longest text that reaches us."""
    hostile = ["*a" * 500 + "b", "a*" * 500, "*?" * 400 + "b", "a" * 30 + "*a*a*a*a*b", "*" * 900]
    began = time.perf_counter()
    for pattern in hostile:
        match = make((f"arn:aws:s{pattern}:x:y:{pattern}",))
        match("arn:aws:s" + "a" * 1000 + ":x:y:" + "a" * 2000)
        match("arn:aws:s" + "a" * 4000)
    assert time.perf_counter() - began < 2
