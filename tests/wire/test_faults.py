"""Faults as replies: what AWS's JSON services send, and what is passed on from an upstream."""

import json

from outcrop.errors import InvalidApiKey, ServiceUnavailableException, ThrottlingException
from outcrop.wire import faults


def test_a_fault_tells_its_name_its_text_and_the_request():
    reply = faults.reply(ServiceUnavailableException(), "id-1")
    assert reply.status == 503
    assert json.loads(reply.body) == {"message": "Bedrock is unable to process your request."}
    assert reply.headers == {
        "content-type": "application/json",
        "x-amzn-requestid": "id-1",
        "x-amzn-errortype": "ServiceUnavailableException:http://internal.amazon.com/coral/com.amazon.bedrock/",
    }


def test_how_long_an_upstream_asks_to_wait_is_passed_on_in_whole_seconds():
    assert faults.reply(ThrottlingException("slow", retry_after=1.2), "").headers["retry-after"] == "2"


def test_an_api_key_is_refused_with_a_capital_m():
    assert list(json.loads(faults.reply(InvalidApiKey(), "").body)) == ["Message"]
