"""Condition operators: AWS's documented examples, operator by operator, and what a missing key means."""

import pytest

from outcrop.service.iam.conditions import OPERATORS
from service.iam.policies import holds

JOB = "aws:PrincipalTag/job-category"

# Condition, context, whether it holds. Facts of the IAM User Guide's tables ("Condition operators",
# "Single-valued vs. multivalued context keys", "Variables and tags"); the values are ours.
CASES = [
    ({"StringEquals": {JOB: "admin"}}, {JOB: "admin"}, True),
    ({"StringEquals": {JOB: "admin"}}, {JOB: "Admin"}, False),
    ({"StringEquals": {JOB: "admin"}}, {JOB: "dev-ops"}, False),
    ({"StringEquals": {JOB: "admin"}}, {}, False),
    ({"StringEquals": {JOB: ["admin", "dev-ops"]}}, {JOB: "dev-ops"}, True),
    ({"StringEquals": {JOB: "ad*"}}, {JOB: "admin"}, False),
    ({"StringEquals": {JOB: "ad*"}}, {JOB: "ad*"}, True),
    ({"StringNotEquals": {JOB: "admin"}}, {JOB: "dev-ops"}, True),
    ({"StringNotEquals": {JOB: "admin"}}, {JOB: "admin"}, False),
    ({"StringNotEquals": {JOB: "admin"}}, {}, True),
    # several values of a negated operator are a NOR
    ({"StringNotEquals": {JOB: ["admin", "dev-ops"]}}, {JOB: "dev-ops"}, False),
    ({"StringNotEquals": {JOB: ["admin", "dev-ops"]}}, {JOB: "sales"}, True),
    ({"StringEqualsIgnoreCase": {JOB: "PreProd"}}, {JOB: "preprod"}, True),
    ({"StringEqualsIgnoreCase": {JOB: "preprod"}}, {}, False),
    ({"StringNotEqualsIgnoreCase": {JOB: "PreProd"}}, {JOB: "preprod"}, False),
    ({"StringNotEqualsIgnoreCase": {JOB: "PreProd"}}, {}, True),
    ({"StringLike": {JOB: "iam*-?dmin"}}, {JOB: "iamuser-admin"}, True),
    ({"StringLike": {JOB: "iam*-?dmin"}}, {JOB: "iam-dmin"}, False),
    ({"StringLike": {JOB: ""}}, {JOB: ""}, True),
    ({"StringLike": {JOB: "*"}}, {}, False),
    ({"StringNotLike": {JOB: "iam*"}}, {JOB: "iamuser"}, False),
    ({"StringNotLike": {JOB: "iam*"}}, {}, True),
    ({"NumericEquals": {"a:n": "10"}}, {"a:n": "10.0"}, True),
    ({"NumericEquals": {"a:n": 10}}, {"a:n": "10"}, True),
    ({"NumericEquals": {"a:n": "10"}}, {"a:n": "ten"}, False),
    ({"NumericNotEquals": {"a:n": "10"}}, {"a:n": "11"}, True),
    ({"NumericNotEquals": {"a:n": "10"}}, {}, True),
    ({"NumericLessThan": {"a:n": "10"}}, {"a:n": "9.99"}, True),
    ({"NumericLessThan": {"a:n": "10"}}, {"a:n": "10"}, False),
    ({"NumericLessThanEquals": {"a:n": "10"}}, {"a:n": "10"}, True),
    ({"NumericLessThanEquals": {"a:n": "10"}}, {}, False),
    ({"NumericGreaterThan": {"a:n": "-1"}}, {"a:n": "0"}, True),
    ({"NumericGreaterThanEquals": {"a:n": "10"}}, {"a:n": "9"}, False),
    ({"DateEquals": {"aws:CurrentTime": "2026-01-31"}}, {"aws:CurrentTime": "2026-01-31T00:00:00Z"}, True),
    ({"DateEquals": {"aws:CurrentTime": "2026"}}, {"aws:CurrentTime": "2026-01-01T01:00:00+01:00"}, True),
    ({"DateNotEquals": {"aws:CurrentTime": "2026-01"}}, {"aws:CurrentTime": "2026-02-01T00:00Z"}, True),
    ({"DateLessThan": {"aws:CurrentTime": "2026-01-31T10:00:00Z"}}, {"aws:CurrentTime": "1769853599"}, True),
    ({"DateLessThan": {"aws:EpochTime": "1769853600"}}, {"aws:EpochTime": "1769853600"}, False),
    ({"DateLessThanEquals": {"aws:EpochTime": 1769853600}}, {"aws:EpochTime": "1769853600"}, True),
    ({"DateGreaterThan": {"aws:TokenIssueTime": "2020-01-01T00:00:01Z"}}, {}, False),
    (
        {"DateGreaterThanEquals": {"aws:CurrentTime": "2026-01-31t10:00:00.5z"}},
        {"aws:CurrentTime": "2027"},
        True,
    ),
    ({"DateLessThan": {"aws:CurrentTime": "2026"}}, {"aws:CurrentTime": "soon"}, False),
    ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": "false"}, True),
    ({"Bool": {"aws:SecureTransport": False}}, {"aws:SecureTransport": "true"}, False),
    ({"Bool": {"aws:SecureTransport": "false"}}, {}, False),
    ({"BinaryEquals": {"a:b": "QmluYXJ5"}}, {"a:b": "QmluYXJ5"}, True),
    ({"BinaryEquals": {"a:b": "QmluYXJ5"}}, {"a:b": "ASIAIOSFODNN7EXAMPLE"}, False),
    ({"BinaryEquals": {"a:b": "QmluYXJ5"}}, {}, False),
    ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {"aws:SourceIp": "203.0.113.1"}, True),
    ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {"aws:SourceIp": "198.51.100.1"}, False),
    ({"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {"aws:SourceIp": "::ffff:203.0.113.1"}, True),
    ({"IpAddress": {"aws:SourceIp": "203.0.113.7"}}, {"aws:SourceIp": "203.0.113.8"}, False),
    ({"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:DB8:1234:5678::/64"]}}, {}, False),
    (
        {"IpAddress": {"aws:SourceIp": "2001:DB8:1234:5678::/64"}},
        {"aws:SourceIp": "2001:db8:1234:5678::1"},
        True,
    ),
    ({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}, {"aws:SourceIp": "vpce-1"}, False),
    ({"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {"aws:SourceIp": "198.51.100.1"}, True),
    ({"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}, {}, True),
    (
        {"ArnEquals": {"aws:SourceArn": "arn:aws:sns:us-west-2:123456789012:T"}},
        {"aws:SourceArn": "arn:aws:sns:us-west-2:123456789012:T"},
        True,
    ),
    ({"ArnEquals": {"aws:SourceArn": "arn:aws:sns:*:*:T?"}}, {"aws:SourceArn": "arn:aws:sns:eu:1:T1"}, True),
    # each of the six parts by itself: a string operator would match here
    (
        {"ArnLike": {"aws:SourceArn": "arn:aws:someservice:*:111122223333:finance/*"}},
        {"aws:SourceArn": "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/d.txt"},
        False,
    ),
    (
        {"StringLike": {"aws:SourceArn": "arn:aws:someservice:*:111122223333:finance/*"}},
        {"aws:SourceArn": "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/d.txt"},
        True,
    ),
    ({"ArnLike": {"aws:SourceArn": "arn:aws:a:b:c:d:*"}}, {"aws:SourceArn": "arn:aws:a:b:c:d:e:f"}, True),
    ({"ArnLike": {"aws:SourceArn": "*"}}, {"aws:SourceArn": "arn:aws:a:b:c:d"}, True),
    ({"ArnLike": {"aws:SourceArn": "arn:*:*:*:*:*"}}, {"aws:SourceArn": "no arn"}, False),
    ({"ArnNotEquals": {"aws:SourceArn": "arn:aws:a:b:c:d"}}, {"aws:SourceArn": "arn:aws:a:b:c:e"}, True),
    ({"ArnNotLike": {"aws:SourceArn": "arn:aws:a:b:c:*"}}, {"aws:SourceArn": "arn:aws:a:b:c:e"}, False),
    ({"ArnNotLike": {"aws:SourceArn": "arn:aws:a:b:c:*"}}, {}, True),
    ({"Null": {"aws:TokenIssueTime": "true"}}, {}, True),
    ({"Null": {"aws:TokenIssueTime": "true"}}, {"aws:TokenIssueTime": "2026"}, False),
    ({"Null": {"aws:TokenIssueTime": False}}, {"aws:TokenIssueTime": "2026"}, True),
    ({"Null": {"aws:TagKeys": "false"}}, {"aws:TagKeys": ()}, False),
    # IfExists: a missing key is no obstacle, a present one is looked at
    ({"StringLikeIfExists": {"ec2:InstanceType": ["t1.*", "t2.*"]}}, {}, True),
    ({"StringLikeIfExists": {"ec2:InstanceType": ["t1.*", "t2.*"]}}, {"ec2:InstanceType": "t2.nano"}, True),
    ({"StringLikeIfExists": {"ec2:InstanceType": ["t1.*", "t2.*"]}}, {"ec2:InstanceType": "m3.big"}, False),
    ({"StringNotEqualsIfExists": {JOB: "admin"}}, {}, True),
    ({"StringNotEqualsIfExists": {JOB: "admin"}}, {JOB: "admin"}, False),
    ({"NumericLessThanIfExists": {"a:n": "1"}}, {}, True),
    ({"ForAnyValue:StringEqualsIfExists": {"aws:TagKeys": "a"}}, {}, True),
    # quantifiers
    ({"ForAllValues:StringEquals": {"aws:TagKeys": ["env", "cost"]}}, {"aws:TagKeys": ("env",)}, True),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": ["env", "cost"]}}, {"aws:TagKeys": ("env", "cost")}, True),
    (
        {"ForAllValues:StringEquals": {"aws:TagKeys": ["env", "cost"]}},
        {"aws:TagKeys": ("env", "dept")},
        False,
    ),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": ["env", "cost"]}}, {}, True),
    ({"ForAllValues:StringEquals": {"aws:TagKeys": ["env", "cost"]}}, {"aws:TagKeys": ""}, True),
    (
        {"ForAllValues:StringEquals": {"aws:TagKeys": ["env"]}, "Null": {"aws:TagKeys": "false"}},
        {},
        False,
    ),
    ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["env", "cost"]}}, {"aws:TagKeys": ("env", "dept")}, True),
    ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["env", "cost"]}}, {"aws:TagKeys": ("dept",)}, False),
    ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["env", "cost"]}}, {}, False),
    ({"ForAnyValue:StringEquals": {"aws:TagKeys": "Env"}}, {"aws:TagKeys": ("env",)}, False),
    ({"ForAllValues:StringNotEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ("c", "d")}, True),
    ({"ForAllValues:StringNotEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ("c", "a")}, False),
    ({"ForAllValues:StringNotEquals": {"aws:TagKeys": ["a", "b"]}}, {}, True),
    ({"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ("c", "a")}, True),
    ({"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a", "b"]}}, {"aws:TagKeys": ("b", "a")}, False),
    ({"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["a", "b"]}}, {}, False),
    (
        {"ForAllValues:StringLike": {"aws:TagKeys": "Created*"}},
        {"aws:TagKeys": ("CreatedBy", "CreatedAt")},
        True,
    ),
    (
        {"ForAllValues:ArnLike": {"a:l": "arn:aws:c::1:d/*"}},
        {"a:l": ("arn:aws:c::1:d/x", "arn:aws:c::2:d/x")},
        False,
    ),
    ({"ForAnyValue:Bool": {"a:b": "true"}}, {"a:b": ("false", "true")}, True),
    # keys have no case, and all operators and keys have to hold
    ({"StringEquals": {"AWS:UserName": "bob"}}, {"aws:username": "bob"}, True),
    ({"StringEquals": {"aws:username": "bob", JOB: "x"}}, {"aws:username": "bob"}, False),
    ({"StringEquals": {"aws:username": "bob"}, "Bool": {"a:b": "true"}}, {"aws:username": "bob"}, False),
    # variables
    (
        {"StringLike": {"s3:prefix": "home/${aws:username}/*"}},
        {"s3:prefix": "home/bob/x", "aws:username": "bob"},
        True,
    ),
    (
        {"StringLike": {"s3:prefix": "home/${aws:username}/*"}},
        {"s3:prefix": "home/eve/x", "aws:username": "bob"},
        False,
    ),
    ({"StringLike": {"s3:prefix": ["home/", "home/${aws:username}/"]}}, {"s3:prefix": "home/"}, False),
    # a value is never read for wildcards
    ({"StringLike": {"s3:prefix": "${aws:username}"}}, {"s3:prefix": "eve", "aws:username": "*"}, False),
    ({"StringLike": {"a:b": "a${*}b"}}, {"a:b": "a*b"}, True),
    ({"StringLike": {"a:b": "a${*}b"}}, {"a:b": "axb"}, False),
    ({"StringEquals": {"a:b": "${$}{?}"}}, {"a:b": "${?}"}, True),
    ({"StringEquals": {"a:b": "${aws:username, 'nobody'}"}}, {"a:b": "nobody"}, True),
    ({"StringEquals": {"a:b": "${aws:username, 'nobody'}"}}, {"a:b": "nobody", "aws:username": "bob"}, False),
    # without a value the statement does not apply, also where nothing may match
    ({"StringNotEquals": {"a:b": "${aws:username}"}}, {"a:b": "x"}, False),
    ({"StringEqualsIfExists": {"a:b": "${aws:username}"}}, {}, True),
    # a key with several values is no variable
    ({"StringEquals": {"a:b": "${aws:TagKeys}"}}, {"a:b": "x", "aws:TagKeys": ("x",)}, False),
    (
        {"ArnLike": {"a:b": "arn:aws:iam::*:user/${aws:username}"}},
        {"a:b": "arn:aws:iam::1:user/b", "aws:username": "b"},
        True,
    ),
    (
        {"ArnLike": {"a:b": "${aws:PrincipalArn}"}},
        {"a:b": "arn:aws:a:b:c:d", "aws:PrincipalArn": "not one"},
        False,
    ),
    ({"Bool": {"a:b": "${aws:SecureTransport}"}}, {"a:b": "true", "aws:SecureTransport": "true"}, True),
]


@pytest.mark.parametrize(
    ("condition", "context", "expected"), CASES, ids=[str(index) for index in range(len(CASES))]
)
def test_a_condition_holds_as_documented(condition, context, expected):
    assert holds(condition, context) is expected


def test_every_operator_is_among_the_cases():
    written = {
        name.rpartition(":")[2].removesuffix("IfExists") for condition, _, _ in CASES for name in condition
    }
    assert written == set(OPERATORS)


def test_the_old_version_has_no_variables():
    bob = {"a:b": "bob", "aws:username": "bob"}
    assert holds({"StringEquals": {"a:b": "${aws:username}"}}, bob)
    assert not holds({"StringEquals": {"a:b": "${aws:username}"}}, bob, version="2008-10-17")
    assert holds(
        {"StringEquals": {"a:b": "${aws:username}"}}, {"a:b": "${aws:username}"}, version="2008-10-17"
    )


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "Null"])
def test_a_missing_key_is_as_with_every_operator(name):
    """False, true for a negated one; true with IfExists and ForAllValues; false with ForAnyValue."""
    value = {"Num": "1", "Dat": "2026", "Boo": "true", "Bin": "QQ==", "IpA": "::1", "Not": "::1"}.get(
        name[:3], "arn:aws:a:b:c:d"
    )
    negated = "Not" in name
    assert holds({name: {"a:b": value}}, {}) is negated
    assert holds({f"{name}IfExists": {"a:b": value}}, {})
    assert holds({f"ForAllValues:{name}": {"a:b": value}}, {})
    assert not holds({f"ForAnyValue:{name}": {"a:b": value}}, {})
