"""What is a policy, and what is refused, with its place."""

import json
import time

import pytest

from outcrop.service.iam.policy import LONGEST, LONGEST_TRUST, MalformedPolicy, parse
from outcrop.service.iam.presets import DESCRIPTIONS, PRESETS
from service.iam.policies import allow, deny, text

FULL = allow("bedrock:InvokeModel", "arn:aws:bedrock:*::foundation-model/*")


def whole(**elements):
    return json.dumps({"Version": "2012-10-17", "Statement": [FULL], **elements})


def statement(**elements):
    """A policy whose second statement has these elements instead of its own; None takes one away."""
    told = {**FULL, **elements}
    return text(FULL, {name: value for name, value in told.items() if value is not None})


def conditions(told):
    return statement(Condition=told)


# name: (text, place, part of the problem)
MALFORMED = {
    "empty": ("", "", "Syntax errors in policy"),
    "no JSON": ("{", "", "Syntax errors in policy"),
    "a list": ("[]", "", "not a JSON object"),
    "a string": ('"Allow"', "", "not a JSON object"),
    "two values": (whole() + "{}", "", "Extra data at line 1"),
    "comments": (whole() + " // mine", "", "Extra data"),
    "NaN": ('{"Version": NaN}', "", "NaN is not JSON"),
    "a character beyond Latin": (whole(Id="日"), "Id", "日"),
    "a raw character beyond Latin": ('{"Id": "日"}', "", "日"),
    "a byte order mark": ("\ufeff" + whole(), "", "\\ufeff"),
    "half a character": (whole(Id="\ud800"), "Id", "\\ud800"),
    "a key twice": (
        '{"Version":"2012-10-17","Version":"2012-10-17"}',
        "",
        "'Version' is in one object twice",
    ),
    "an element twice": (
        '{"Statement":[{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}]}',
        "",
        "'Effect' is in one object twice",
    ),
    "an unknown element": (whole(Statements=[]), "Statements", "no such element"),
    "an element in lower case": ('{"statement":[]}', "statement", "no such element"),
    "a version to come": (whole(Version="2022-10-17"), "Version", "2012-10-17"),
    "a version that is a number": (whole(Version=2012), "Version", "string, not the number"),
    "an Id that is a list": (whole(Id=["a"]), "Id", "string, not a list"),
    "no statement": ('{"Version":"2012-10-17"}', "Statement", "missing"),
    "no statements": (whole(Statement=[]), "Statement", "empty"),
    "a statement that is a string": (whole(Statement=["Allow"]), "Statement[0]", "not a string"),
    "a statement that is null": (whole(Statement=None), "Statement", "not null"),
    "a statement that is a number": (whole(Statement=1), "Statement", "not the number"),
    "an unknown statement element": (statement(Actions="*"), "Statement[1].Actions", "no such element"),
    "no effect": (statement(Effect=None), "Statement[1].Effect", "missing"),
    "an effect in lower case": (statement(Effect="allow"), "Statement[1].Effect", "Allow or Deny"),
    "an effect that is a boolean": (statement(Effect=True), "Statement[1].Effect", "not a boolean"),
    "a Sid with a space": (statement(Sid="my own"), "Statement[1].Sid", "other characters"),
    "a Sid that is a number": (statement(Sid=1), "Statement[1].Sid", "not the number"),
    "a Sid twice": (
        text({**FULL, "Sid": "A"}, {**FULL, "Sid": "A"}),
        "Statement[1].Sid",
        "(SID) in a single policy must be unique",
    ),
    "no action": (statement(Action=None), "Statement[1]", "must contain actions"),
    "no actions": (statement(Action=[]), "Statement[1].Action", "empty"),
    "both kinds of action": (statement(NotAction="*"), "Statement[1]", "both Action and NotAction"),
    "an action without a service": (
        statement(Action=["bedrock:InvokeModel", "InvokeModel"]),
        "Statement[1].Action[1]",
        "must be prefaced by a vendor",
    ),
    "an action with two colons": (statement(Action="bedrock:Invoke:X"), "Statement[1].Action", "one colon"),
    "a service with a wildcard": (statement(Action="bed*:Invoke"), "Statement[1].Action", "Vendor 'bed*'"),
    "an action with a space": (
        statement(Action="bedrock:Invoke Model"),
        "Statement[1].Action",
        "not the name",
    ),
    "an action without a name": (statement(Action="bedrock:"), "Statement[1].Action", "not the name"),
    "a variable in an action": (
        statement(Action="bedrock:${aws:username}"),
        "Statement[1].Action",
        "one colon",
    ),
    "an action that is null": (statement(Action=[None]), "Statement[1].Action[0]", "not null"),
    "an action that is a list": (statement(Action=[["*"]]), "Statement[1].Action[0]", "not a list"),
    "no resource": (statement(Resource=None), "Statement[1]", "must contain resources"),
    "no resources": (statement(Resource=[]), "Statement[1].Resource", "empty"),
    "both kinds of resource": (statement(NotResource="*"), "Statement[1]", "both Resource and NotResource"),
    "a resource that is a name": (statement(Resource="my-model"), "Statement[1].Resource", "ARN format"),
    "a resource that is empty": (statement(Resource=""), "Statement[1].Resource", "ARN format"),
    "a partition that is none": (statement(Resource="arn:asw:s3:::a"), "Statement[1].Resource", "Partition"),
    "a service that is a wildcard": (statement(Resource="arn:aws:*"), "Statement[1].Resource", "regexes"),
    "too few parts": (statement(Resource="arn:aws:bedrock:us-east-1"), "Statement[1].Resource", "six parts"),
    "a variable before the fifth colon": (
        statement(Resource="arn:aws:bedrock:*:${aws:PrincipalAccount}:inference-profile/*"),
        "Statement[1].Resource",
        "before the fifth colon",
    ),
    "a variable that is none": (
        statement(Resource="arn:aws:iam::1:user/${username}"),
        "Statement[1].Resource",
        "${username} is not a variable",
    ),
    "a variable without an end": (
        statement(Resource="arn:aws:iam::1:user/${aws:username"),
        "Statement[1].Resource",
        "no end",
    ),
    "a default without quotation marks": (
        statement(Resource="arn:aws:iam::1:user/${aws:username, nobody}"),
        "Statement[1].Resource",
        "not a variable",
    ),
    "a principal": (statement(Principal="*"), "Statement[1]", "should not specify a principal"),
    "nobody but": (statement(NotPrincipal="*"), "Statement[1]", "should not specify a principal"),
    "conditions that are a list": (conditions([]), "Statement[1].Condition", "not a list"),
    "an unknown operator": (
        conditions({"StringEqualz": {"aws:username": "a"}}),
        "Statement[1].Condition.StringEqualz",
        "no such condition operator",
    ),
    "an unknown quantifier": (
        conditions({"ForSomeValues:StringEquals": {"aws:TagKeys": "a"}}),
        "Statement[1].Condition.ForSomeValues:StringEquals",
        "no such condition operator",
    ),
    "Null that also asks whether it exists": (
        conditions({"NullIfExists": {"aws:username": "true"}}),
        "Statement[1].Condition.NullIfExists",
        "no such condition operator",
    ),
    "an operator without keys": (conditions({"Bool": {}}), "Statement[1].Condition.Bool", "no keys"),
    "an operator with a value": (conditions({"Bool": "true"}), "Statement[1].Condition.Bool", "not a string"),
    "a key without a service": (
        conditions({"StringEquals": {"username": "a"}}),
        "Statement[1].Condition.StringEquals.username",
        "prefaced by a vendor",
    ),
    "a key without values": (
        conditions({"StringEquals": {"aws:username": []}}),
        "Statement[1].Condition.StringEquals.aws:username",
        "empty",
    ),
    "a value that is null": (
        conditions({"StringEquals": {"aws:username": ["a", None]}}),
        "Statement[1].Condition.StringEquals.aws:username[1]",
        "not null",
    ),
    "a value that is an object": (
        conditions({"StringEquals": {"aws:username": {}}}),
        "Statement[1].Condition.StringEquals.aws:username",
        "not an object",
    ),
    "no number": (
        conditions({"NumericLessThan": {"aws:EpochTime": "ten"}}),
        "Statement[1].Condition.NumericLessThan.aws:EpochTime",
        "not a number",
    ),
    "an endless number": (
        conditions({"NumericLessThan": {"aws:EpochTime": "9" * 1000}}),
        "Statement[1].Condition.NumericLessThan.aws:EpochTime",
        "not a number",
    ),
    "no date": (
        conditions({"DateLessThan": {"aws:CurrentTime": "tomorrow"}}),
        "Statement[1].Condition.DateLessThan.aws:CurrentTime",
        "not a date",
    ),
    "a date that does not come": (
        conditions({"DateLessThan": {"aws:CurrentTime": "2026-02-30"}}),
        "Statement[1].Condition.DateLessThan.aws:CurrentTime",
        "not a date",
    ),
    "neither true nor false": (
        conditions({"Bool": {"aws:SecureTransport": "yes"}}),
        "Statement[1].Condition.Bool.aws:SecureTransport",
        "neither true nor false",
    ),
    "no address": (
        conditions({"IpAddress": {"aws:SourceIp": "203.0.113.256"}}),
        "Statement[1].Condition.IpAddress.aws:SourceIp",
        "not an address",
    ),
    "a range that is too long": (
        conditions({"NotIpAddress": {"aws:SourceIp": "203.0.113.0/33"}}),
        "Statement[1].Condition.NotIpAddress.aws:SourceIp",
        "not an address",
    ),
    "no base64": (
        conditions({"BinaryEquals": {"a:b": "§"}}),
        "Statement[1].Condition.BinaryEquals.a:b",
        "not base64",
    ),
    "no ARN": (
        conditions({"ArnLike": {"aws:PrincipalArn": "dev"}}),
        "Statement[1].Condition.ArnLike.aws:PrincipalArn",
        "six parts",
    ),
    "a variable that is none, in a condition": (
        conditions({"StringEquals": {"aws:username": "${}"}}),
        "Statement[1].Condition.StringEquals.aws:username",
        "${} is not a variable",
    ),
    "a variable where there are none": (
        conditions({"NumericEquals": {"aws:EpochTime": "${aws:EpochTime}"}}),
        "Statement[1].Condition.NumericEquals.aws:EpochTime",
        "not a number",
    ),
    "nested without end": ("[" * 100_000, "", "nested too deeply"),
    "nested in a statement": ('{"Statement":' + '{"Condition":' * 10_000, "", "characters"),
    "too long": (text(*[{**FULL, "Sid": f"S{i}"} for i in range(90)]), "", f"{LONGEST} is the most"),
    "mostly white space, and too long to read": (whole() + " " * 200_000, "", "longer than"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_policy_is_refused_with_its_place(name):
    told, place, problem = MALFORMED[name]
    if "nested without end" in name:
        told = told[:LONGEST]  # short enough to be read, deep enough not to be
    with pytest.raises(MalformedPolicy) as refused:
        parse(told)
    assert refused.value.place == place
    assert problem in str(refused.value)
    assert str(refused.value).startswith("MalformedPolicyDocument: ")
    assert not refused.value.problem.endswith(".")


def trust(**elements):
    told = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole", **elements}
    return text({name: value for name, value in told.items() if value is not None})


MALFORMED_TRUST = {
    "a resource": (trust(Resource="*"), "Statement[0]", "Has prohibited field Resource"),
    "nobody": (trust(Principal=None), "Statement[0]", "must name a principal"),
    "an empty map": (trust(Principal={}), "Statement[0].Principal", "nobody"),
    "an empty list": (trust(Principal={"AWS": []}), "Statement[0].Principal.AWS", "empty"),
    "a string": (trust(Principal="123456789012"), "Statement[0].Principal", "object, not a string"),
    "an unknown kind": (trust(Principal={"Azure": "a"}), "Statement[0].Principal.Azure", "no such principal"),
    "a part of a name": (
        trust(Principal={"AWS": "arn:aws:iam::123456789012:user/*"}),
        "Statement[0].Principal.AWS",
        "Invalid principal",
    ),
    "an account that is too short": (
        trust(Principal={"AWS": "12345"}),
        "Statement[0].Principal.AWS",
        "Invalid principal",
    ),
    "everybody but, allowed": (
        trust(Principal=None, NotPrincipal={"AWS": "123456789012"}),
        "Statement[0].NotPrincipal",
        "NotPrincipal with Allow",
    ),
    "another action": (trust(Action="s3:*"), "Statement[0].Action", "Trust Policy statement actions"),
    "all actions": (trust(Action="*"), "Statement[0].Action", "Trust Policy statement actions"),
    "all actions but": (
        trust(Action=None, NotAction="sts:AssumeRole"),
        "Statement[0].NotAction",
        "no such element",
    ),
    "every service": (
        trust(Principal={"Service": "*"}),
        "Statement[0].Principal.Service",
        "Invalid principal",
    ),
    "too long": (trust(Sid="A" * 5000), "", f"{LONGEST_TRUST} is the most"),
}


@pytest.mark.parametrize("name", MALFORMED_TRUST)
def test_a_malformed_trust_policy_is_refused_with_its_place(name):
    told, place, problem = MALFORMED_TRUST[name]
    with pytest.raises(MalformedPolicy) as refused:
        parse(told, trust=True)
    assert refused.value.place == place
    assert problem in refused.value.problem


WELL_FORMED = {
    "one statement": '{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}',
    "the old version": text(FULL, version="2008-10-17"),
    "an Id, and empty Sids twice": whole(Id="my id", Statement=[{**FULL, "Sid": ""}, {**FULL, "Sid": ""}]),
    "no condition in a Condition": conditions({}),
    "numbers and booleans without quotation marks": conditions(
        {"Bool": {"aws:SecureTransport": True}, "NumericLessThan": {"aws:EpochTime": [1, 2.5, -3]}}
    ),
    "wildcards everywhere": statement(
        Action=["*:*", "bedrock:*", "bedrock:Invoke?odel*"],
        Resource=["arn:*:bedrock:*:*:*", "arn:aws:bedrock:*", "arn:aws-cn:s3:::b?cket/*"],
    ),
    "a literal variable in the old version": text(
        allow("*", "arn:aws:iam::1:user/${not a variable}"), version="2008-10-17"
    ),
    "special characters": conditions({"StringLike": {"aws:username": "${*}${?}${$}"}}),
    "6,144 characters and much white space": json.dumps(
        json.loads(whole(Id="x" * (LONGEST - len("".join(whole(Id="").split()))))), indent=4
    ),
    "Latin letters": whole(Id="für Émile"),
}


@pytest.mark.parametrize("name", WELL_FORMED)
def test_a_well_formed_policy_is_read(name):
    policy = parse(WELL_FORMED[name])
    assert [statement.index for statement in policy.statements] == list(range(len(policy.statements)))


def test_hostile_policies_are_refused_fast():
    """The worst that fit: each is dealt with in well under what a request may take."""
    deep = '{"Statement":' + "[" * 6000
    stars = text(allow("*", "arn:aws:s3:::" + "*a" * 2900))
    wide = text(*[{"Effect": "Allow", "Action": "*", "Resource": "*"}] * 100)
    began = time.perf_counter()
    for told in (deep, "[" * 131_072, "{" * 131_072, " " * 10_000_000, '"' * 6000, "9" * 6000):
        with pytest.raises(MalformedPolicy):
            parse(told)
    parse(stars)
    parse(wide)
    assert time.perf_counter() - began < 2


def test_a_policy_tells_which_context_keys_it_looks_at():
    told = text(
        allow(
            "*",
            "arn:aws:iam::1:user/${AWS:Username}",
            Condition={"StringEqualsIfExists": {"aws:requestedregion": "${aws:RequestTag/Home, 'eu'}"}},
        ),
        deny(Condition={"Null": {"bedrock:inferenceprofilearn": "true"}}),
    )
    assert parse(told).reads == {
        "aws:username",
        "aws:RequestedRegion",
        "aws:RequestTag/home",
        "bedrock:InferenceProfileArn",
    }


def test_presets_are_policies_with_descriptions():
    assert set(PRESETS) == set(DESCRIPTIONS) == {"everything", "invoke", "nothing"}
    for preset in PRESETS.values():
        assert parse(preset).version == "2012-10-17"


@pytest.mark.parametrize("name", ["\\ud800", "\\u001b[2J"])
@pytest.mark.parametrize(
    "document",
    [
        '{"NAME": 1, "Statement": []}',
        '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*",'
        ' "Condition": {"Bool": {"aws:NAME": "true"}}}}',
    ],
)
def test_a_name_that_can_not_be_shown_is_told_in_ascii(document, name):
    with pytest.raises(MalformedPolicy) as malformed:
        parse(document.replace("NAME", name))
    assert str(malformed.value).isprintable()
