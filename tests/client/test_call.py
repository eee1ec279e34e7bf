"""What a call does about throttling, failures and broken streams: each reply is sent by hand."""

import uuid

import pytest
from msgspec.structs import replace

from client.talk import HELLO, SONNET, Open, Talk, core, header, reply
from outcrop import (
    APIConnectionError,
    APIResponseValidationError,
    APITimeoutError,
    BadRequestError,
    InternalServerError,
    ModelError,
    PermissionDeniedError,
    RateLimitError,
    ResidencyError,
    ServiceUnavailableError,
    StreamBrokenError,
    StreamCorruptedError,
    StreamStalledError,
)
from outcrop.client import operations
from outcrop.client.call import Budget
from outcrop.client.core import Core
from outcrop.transport import (
    BrokenError,
    CertificateError,
    ClosedError,
    DialError,
    ProxyError,
    TimedOutError,
    TooLargeError,
)
from outcrop.wire import frames
from outcrop.wire.eventstream import encode, encode_headers

MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"claude","stop_reason":"end_turn",'
    b'"content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":12,"output_tokens":5}}'
)
THROTTLED = reply(
    429, b'{"message":"Too many requests"}', [("x-amzn-errortype", "ThrottlingException:http://x/")]
)
UNAVAILABLE = reply(503, b'{"message":"No capacity"}', [("x-amzn-errortype", "ServiceUnavailableException")])
START = (
    b'{"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}'
)
STOP = b'{"type":"message_stop"}'


def create(talk, settings=None, **more):
    return talk.run(operations.create(settings or core(), {**HELLO, **more}))


def opened(talk, settings=None, **more):
    return talk.run(operations.message_outcome(settings or core(), {**HELLO, "stream": True, **more}))


def chunk(*events):
    return frames.chunks(events, frames.no_paddings())


def exception(name, message):
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return encode(encode_headers(headers), b'{"message":"%b"}' % message.encode())


class TestRetries:
    def test_a_throttled_call_is_sent_again_after_a_pause_that_grows(self):
        talk = Talk(THROTTLED, UNAVAILABLE, reply(200, MESSAGE))
        assert create(talk).content[0].text == "Hi"
        assert talk.waited == [0.5, 1.0]

    def test_chance_takes_up_to_a_quarter_off_the_pause(self):
        settings = core()
        settings.chance = 1.0
        talk = Talk(THROTTLED, reply(200, MESSAGE))
        create(talk, settings)
        assert talk.waited == [0.375]

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ([("retry-after-ms", "250")], 0.25),
            ([("retry-after", "3")], 3.0),
            ([("retry-after", "1.5")], 1.5),
            ([("retry-after-ms", "40"), ("retry-after", "9")], 0.04),
            ([("retry-after", "Mon, 21 Sep 2026 14:13:27 GMT")], 7.0),
            ([("retry-after", "soon")], 0.5),
            ([("retry-after", "-1")], 0.5),
            ([("retry-after", "nan")], 0.5),
        ],
    )
    def test_the_server_says_how_long(self, headers, seconds):
        talk = Talk(reply(429, b'{"message":"wait"}', headers), reply(200, MESSAGE))
        create(talk)
        assert talk.waited == [seconds]

    def test_who_asks_for_more_than_two_minutes_is_not_waited_for(self):
        talk = Talk(reply(429, b'{"message":"wait"}', [("retry-after", "3600")]))
        with pytest.raises(RateLimitError):
            create(talk)
        assert talk.waited == []

    def test_the_invocation_id_stays_and_the_attempt_is_counted(self):
        talk = Talk(THROTTLED, THROTTLED, reply(200, MESSAGE))
        create(talk)
        assert {header(s, "amz-sdk-invocation-id") for s in talk.sent} == {core().new_id()}
        assert [header(s, "amz-sdk-request") for s in talk.sent] == [f"attempt={n}; max=3" for n in (1, 2, 3)]

    def test_invocation_ids_are_random_uuids_in_their_usual_form(self):
        made = [Core.new_id(core()) for _ in range(100)]
        assert len(set(made)) == 100
        for text in made:
            read = uuid.UUID(text)
            assert (str(read), read.version, read.variant) == (text, 4, uuid.RFC_4122)

    def test_after_the_last_attempt_the_error_is_raised(self):
        with pytest.raises(RateLimitError) as caught:
            create(Talk(THROTTLED, THROTTLED, THROTTLED))
        assert caught.value.aws_error == "ThrottlingException"
        assert caught.value.api_message == "Too many requests"

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 424])
    def test_what_would_fail_again_is_not_sent_again(self, status):
        talk = Talk(reply(status, b'{"message":"no"}'))
        with pytest.raises(Exception, match="no"):
            create(talk)
        assert len(talk.sent) == 1

    @pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
    def test_what_may_pass_is(self, status):
        talk = Talk(reply(status, b'{"message":"later"}'), reply(200, MESSAGE))
        create(talk)
        assert len(talk.sent) == 2

    def test_a_server_may_forbid_and_ask_for_another_attempt(self):
        never = Talk(reply(503, b'{"message":"no"}', [("x-should-retry", "false")]))
        with pytest.raises(ServiceUnavailableError):
            create(never)
        again = Talk(reply(400, b'{"message":"no"}', [("x-should-retry", "true")]), reply(200, MESSAGE))
        create(again)
        assert len(again.sent) == 2

    def test_throttling_is_known_by_its_name_at_any_status(self):
        talk = Talk(
            reply(400, b'{"message":"slow"}', [("x-amzn-errortype", "ThrottlingException")]),
            reply(200, MESSAGE),
        )
        create(talk)
        assert len(talk.sent) == 2

    @pytest.mark.parametrize("error", [DialError("refused"), BrokenError("cut"), TimedOutError("head", 1)])
    def test_without_an_answer_it_is_sent_again(self, error):
        talk = Talk(error, reply(200, MESSAGE))
        assert create(talk).id == "msg_1"

    @pytest.mark.parametrize(
        "error",
        [
            CertificateError("unknown authority"),
            ProxyError("no", 407),
            ClosedError("closed"),
            TooLargeError("more than 64 MiB"),
        ],
    )
    def test_what_stays_wrong_is_not(self, error):
        talk = Talk(error)
        with pytest.raises(APIConnectionError):
            create(talk)
        assert len(talk.sent) == 1

    def test_max_retries_0_sends_once(self):
        talk = Talk(THROTTLED)
        with pytest.raises(RateLimitError):
            create(talk, core(max_retries=0))
        assert len(talk.sent) == 1

    def test_the_error_of_an_exchange_says_what_failed(self):
        with pytest.raises(APIConnectionError, match="refused") as caught:
            create(Talk(*[DialError("refused")] * 3))
        assert isinstance(caught.value.__cause__, DialError)
        with pytest.raises(APITimeoutError, match="the response did not come within 1 s"):
            create(Talk(*[TimedOutError("head", 1)] * 3))

    def test_a_client_whose_every_call_fails_soon_stops_trying_again(self):
        settings = core()
        sent = 0
        for _ in range(300):
            talk = Talk(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
            with pytest.raises(ServiceUnavailableError):
                create(talk, settings)
            sent += len(talk.sent)
        assert sent == 300 + 500 // 5

    def test_the_budget_fills_again_while_calls_end_well(self):
        budget = Budget()
        while budget.take(5):
            pass
        budget.give(1)
        assert not budget.take(5)
        for _ in range(5):
            budget.give(1)
        assert budget.take(5)
        for _ in range(10_000):
            budget.give(5)
        assert budget.left == 500


class TestFallback:
    def test_the_next_region_is_tried_at_once(self):
        talk = Talk(THROTTLED, reply(200, MESSAGE))
        message = create(talk, core(fallback=["us-east-1"]))
        assert talk.waited == []
        assert [s.url.split("/")[2] for s in talk.sent] == [
            "bedrock-runtime.us-west-2.amazonaws.com",
            "bedrock-runtime.us-east-1.amazonaws.com",
        ]
        assert message.content[0].text == "Hi"

    def test_from_global_to_regional(self):
        talk = Talk(UNAVAILABLE, reply(200, MESSAGE))
        create(talk, core(fallback=["regional"]), model="claude-sonnet-4-5")
        assert [s.url.split("/")[4].split(".")[0] for s in talk.sent] == ["global", "us"]

    def test_each_region_signs_for_itself(self):
        talk = Talk(THROTTLED, reply(200, MESSAGE))
        create(talk, core(fallback=["us-east-1"]))
        assert [header(s, "authorization").split("/")[2] for s in talk.sent] == ["us-west-2", "us-east-1"]

    def test_when_all_have_failed_there_is_a_pause_and_all_are_tried_again(self):
        talk = Talk(THROTTLED, UNAVAILABLE, THROTTLED, reply(200, MESSAGE))
        create(talk, core(fallback=["us-east-1"]))
        assert talk.waited == [0.5]
        assert len(talk.sent) == 4

    def test_the_pause_is_the_shortest_that_any_asked_for(self):
        talk = Talk(
            reply(429, b'{"message":"a"}', [("retry-after", "9")]),
            reply(429, b'{"message":"b"}', [("retry-after", "2")]),
            reply(200, MESSAGE),
        )
        create(talk, core(fallback=["us-east-1"]))
        assert talk.waited == [2.0]

    def test_a_refusal_is_not_carried_elsewhere(self):
        talk = Talk(reply(400, b'{"message":"bad"}'))
        with pytest.raises(BadRequestError):
            create(talk, core(fallback=["us-east-1"]))
        assert len(talk.sent) == 1

    def test_a_fallback_that_refuses_is_passed_over_and_noted(self):
        denied = reply(
            403, b'{"message":"not in this region"}', [("x-amzn-errortype", "AccessDeniedException")]
        )
        settings = core(fallback=["us-east-1", "us-east-2"])
        talk = Talk(THROTTLED, denied, reply(200, MESSAGE))
        create(talk, settings)
        assert [s.url.split(".")[1] for s in talk.sent] == ["us-west-2", "us-east-1", "us-east-2"]
        talk = Talk(THROTTLED, denied, UNAVAILABLE, THROTTLED, UNAVAILABLE, THROTTLED, UNAVAILABLE)
        with pytest.raises(RateLimitError) as caught:
            create(talk, settings)
        assert [s.url.split(".")[1] for s in talk.sent].count("us-east-1") == 1
        assert any("us-east-1: AccessDeniedException" in note for note in caught.value.__notes__)

    def test_an_address_of_aws_in_one_region_serves_no_other(self):
        fixed = "https://vpce-1-abc.bedrock-runtime.us-east-1.vpce.amazonaws.com"
        settings = core(base_url=fixed, aws_region="us-east-1", fallback=["us-west-2", "regional"])
        talk = Talk(THROTTLED, reply(200, MESSAGE))
        create(talk, settings, model="claude-sonnet-4-5")
        assert [header(s, "authorization").split("/")[2] for s in talk.sent] == ["us-east-1"] * 2
        guarded = core(base_url=fixed, aws_region="eu-central-1", residency="eu")
        with pytest.raises(ResidencyError, match="is in us-east-1"):
            create(Talk(), guarded, model="claude-sonnet-4-5")

    def test_the_first_way_to_a_fallback_costs_nothing_of_the_budget(self):
        settings = core(fallback=["us-east-1"])
        for _ in range(200):
            with pytest.raises(RateLimitError):
                create(Talk(*[THROTTLED] * 6), settings)
        create(Talk(THROTTLED, reply(200, MESSAGE)), settings)

    def test_the_price_is_that_of_where_it_was_answered(self):
        wanted = create(Talk(reply(200, MESSAGE)), core(), model="claude-sonnet-4-5")
        elsewhere = create(
            Talk(THROTTLED, reply(200, MESSAGE)), core(fallback=["regional"]), model="claude-sonnet-4-5"
        )
        assert float(wanted.cost) == pytest.approx((12 * 3 + 5 * 15) / 1e6)
        assert float(elsewhere.cost) == pytest.approx(1.1 * (12 * 3 + 5 * 15) / 1e6)


class TestStreams:
    def test_the_first_event_comes_with_the_stream(self):
        outcome = opened(Talk(reply(200, b"", opened=Open()), chunk(START)[:20], chunk(START)[20:]))
        assert [event.type for event in outcome.events] == ["message_start"]

    def test_an_exception_before_the_first_event_is_tried_again(self):
        first = Open()
        talk = Talk(
            reply(200, b"", opened=first),
            exception("throttlingException", "slow down"),
            reply(200, b"", opened=Open()),
            chunk(START),
        )
        assert len(opened(talk).events) == 1
        assert first.closed

    def test_and_goes_to_the_next_region(self):
        talk = Talk(
            reply(200, b"", opened=Open()),
            exception("serviceUnavailableException", "full"),
            reply(200, b"", opened=Open()),
            chunk(START),
        )
        outcome = opened(talk, core(fallback=["us-east-1"]))
        assert outcome.placement.region == "us-east-1"
        assert talk.waited == []

    def test_an_exception_that_would_come_again_is_raised(self):
        talk = Talk(reply(200, b"", opened=Open()), exception("validationException", "no such tool"))
        with pytest.raises(BadRequestError, match="no such tool") as caught:
            opened(talk)
        assert caught.value.status_code == 400
        assert caught.value.in_stream

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("throttlingException", RateLimitError),
            ("internalServerException", InternalServerError),
            ("modelStreamErrorException", ModelError),
            ("serviceUnavailableException", ServiceUnavailableError),
        ],
    )
    def test_after_the_first_event_nothing_is_sent_again(self, name, kind):
        talk = Talk(reply(200, b"", opened=Open()), chunk(START))
        reader = opened(talk).stream
        assert reader.feed(exception(name, "mid-way")) == []
        assert isinstance(reader.error, kind)
        assert len(talk.sent) == 1

    def test_a_cut_before_the_first_event_is_tried_again_and_then_raised(self):
        def cut():
            return reply(200, b"", opened=Open()), BrokenError("end of file")

        with pytest.raises(StreamBrokenError):
            opened(Talk(*cut(), *cut(), *cut()))
        with pytest.raises(StreamBrokenError):
            opened(Talk(*[reply(200, b"", opened=Open()), b""] * 3))

    def test_a_stall_before_the_first_event_has_its_own_name(self):
        with pytest.raises(StreamStalledError):
            opened(Talk(*[reply(200, b"", opened=Open()), TimedOutError("idle", 120)] * 3))

    def test_flipped_bits_are_noticed(self):
        data = bytearray(chunk(START))
        data[30] ^= 1
        with pytest.raises(StreamCorruptedError):
            opened(Talk(*[self._frames(), bytes(data)] * 3))

    @staticmethod
    def _frames():
        received = reply(200, b"", opened=Open())
        return replace(received, headers=[("content-type", "application/vnd.amazon.eventstream")])

    def test_a_success_that_is_no_stream(self):
        with pytest.raises(APIResponseValidationError):
            opened(Talk(reply(202, b"{}")))

    def test_a_page_in_place_of_a_stream_is_no_corrupted_stream(self):
        page = replace(reply(200, b"", opened=Open()), headers=[("content-type", "text/html")])
        with pytest.raises(APIResponseValidationError, match="text/html"):
            opened(Talk(page, b"<html><h1>Please sign in</h1></html>"))

    def test_the_end_is_only_the_last_event(self):
        reader = opened(Talk(reply(200, b"", opened=Open()), chunk(START))).stream
        assert not reader.done
        reader.feed(b"")
        assert isinstance(reader.error, StreamBrokenError)
        whole = opened(Talk(reply(200, b"", opened=Open()), chunk(START))).stream
        whole.feed(chunk(STOP))
        assert whole.done
        assert whole.error is None


class TestForeignAnswers:
    def test_a_proxys_page_with_status_200(self):
        page = reply(200, b"<html><style>b{}</style><h1>Sign in</h1> to the network</html>")
        with pytest.raises(APIResponseValidationError, match="'Sign in to the network'") as caught:
            create(Talk(page))
        assert "HTTPS_PROXY" in caught.value.fix

    def test_a_proxys_error_page(self):
        page = reply(502, b"<html>Bad gateway</html>")
        with pytest.raises(InternalServerError, match="not with Bedrock's JSON"):
            create(Talk(page, page, page))

    def test_a_redirect_is_not_followed_and_says_where_it_leads(self):
        moved = reply(307, b"", [("location", "https://elsewhere.example/")])
        with pytest.raises(Exception, match=r"redirected to https://elsewhere\.example/"):
            create(Talk(moved))

    @pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"ok":true}', b"\xff"])
    def test_a_reply_that_is_no_message(self, body):
        with pytest.raises(APIResponseValidationError):
            create(Talk(reply(200, body)))


class TestErrors:
    def test_an_expired_token_names_its_source_and_the_next_step(self):
        refused = reply(
            403,
            b'{"message":"The security token included in the request is expired"}',
            [("x-amzn-errortype", "ExpiredTokenException"), ("x-amzn-requestid", "abc-1")],
        )
        with pytest.raises(PermissionDeniedError) as caught:
            create(Talk(refused))
        error = caught.value
        assert (error.status_code, error.aws_error, error.request_id) == (
            403,
            "ExpiredTokenException",
            "abc-1",
        )
        assert "get new ones" in str(error)
        assert "AWS_ACCESS_KEY_ID" in error.__notes__[0]

    def test_the_on_demand_refusal_says_which_endpoint_to_ask(self):
        text = "Invocation of model ID anthropic.claude with on-demand throughput isn't supported."
        refused = reply(
            400, b'{"message":"%b"}' % text.encode(), [("x-amzn-errortype", "ValidationException")]
        )
        with pytest.raises(BadRequestError) as caught:
            create(Talk(refused))
        assert "endpoint='global'" in caught.value.fix

    def test_secrets_stay_out_of_errors(self):
        with pytest.raises(BadRequestError) as caught:
            create(Talk(reply(400, b'{"message":"no"}')))
        assert "authorization" not in caught.value.request.headers
        assert "Signature" not in repr(vars(caught.value))

    def test_an_error_can_be_pickled(self):
        import pickle

        with pytest.raises(RateLimitError) as caught:
            create(Talk(THROTTLED, THROTTLED, THROTTLED))
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again), again.status_code) == (RateLimitError, str(caught.value), 429)


class TestRequests:
    def test_the_path_keeps_colons_and_encodes_an_arns_slashes(self):
        talk = Talk(reply(200, MESSAGE), reply(200, MESSAGE))
        create(talk)
        arn = f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/{SONNET}"
        create(talk, model=arn)
        assert talk.sent[0].url.endswith(f"/model/{SONNET}/invoke")
        assert talk.sent[1].url.endswith(f"/model/{arn.replace('/', '%2F')}/invoke")

    def test_betas_go_into_the_body_wherever_they_are_given(self):
        import json

        talk = Talk(*[reply(200, MESSAGE)] * 3)
        settings = core(default_headers={"Anthropic-Beta": "a-1"})
        create(talk, settings, betas=["b-1"])
        create(talk, settings, extra_headers={"anthropic-beta": "c-1, d-1"})
        create(talk)
        bodies = [json.loads(s.body) for s in talk.sent]
        assert [body.get("anthropic_beta") for body in bodies] == [["a-1", "b-1"], ["c-1", "d-1"], None]
        assert header(talk.sent[1], "anthropic-beta") == "c-1,d-1"
        assert "model" not in bodies[0]
        assert "stream" not in bodies[0]

    def test_a_call_s_headers_win_and_can_leave_one_out(self):
        from outcrop import omit

        talk = Talk(reply(200, MESSAGE))
        settings = core(default_headers={"x-team": "a", "x-trace": "1"})
        create(talk, settings, extra_headers={"X-Team": "b", "x-trace": omit})
        assert header(talk.sent[0], "x-team") == "b"
        assert header(talk.sent[0], "x-trace") is None

    def test_a_parameter_nobody_knows_is_a_type_error_that_says_where_it_can_go(self):
        with pytest.raises(TypeError, match=r"'hologram' .* extra_body"):
            create(Talk(), hologram=1)

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("temprature", "did you mean 'temperature'"),
            ("max_retries", "with_options"),
            ("modelId", "`model` here"),
            ("stop", "`stop_sequences` here"),
        ],
    )
    def test_a_parameter_of_another_client_is_translated(self, name, hint):
        with pytest.raises(TypeError, match=hint):
            create(Talk(), **{name: 1})

    def test_betas_given_as_text_are_refused(self):
        with pytest.raises(ValueError, match=r"betas=\['b-1'\]"):
            create(Talk(), betas="b-1")

    def test_the_query_is_the_clients_and_the_calls_which_wins(self):
        talk = Talk(reply(200, MESSAGE))
        settings = core(default_query={"a": 1, "b": "x y"})
        create(talk, settings, extra_query={"a": [True, 2], "c": None, "d": "é"})
        assert talk.sent[0].url.partition("?")[2] == "a=true&a=2&b=x%20y&d=%C3%A9"

    @pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "a b", "é", ""])
    def test_a_header_that_frames_the_request_or_is_none_is_refused(self, name):
        with pytest.raises(ValueError, match=r"header|set by the client"):
            create(Talk(), extra_headers={name: "1"})

    def test_a_default_header_that_is_empty_is_left_out_and_not_signed(self):
        talk = Talk(reply(200, MESSAGE))
        create(talk, core(default_headers={"Content-Type": None, "x-amz-none": ""}))
        assert header(talk.sent[0], "content-type") is None
        assert "SignedHeaders=host;x-amz-date," in header(talk.sent[0], "authorization")

    def test_a_request_does_not_show_its_secrets_to_whoever_prints_it(self):
        talk = Talk(reply(200, MESSAGE))
        create(talk, core({}, api_key="bedrock-api-key-abc"))
        assert "abc" not in repr(talk.sent[0])
        assert "abc" not in repr(talk.sent[0].headers)

    def test_what_is_not_given_is_not_sent(self):
        import json

        from outcrop import NOT_GIVEN

        talk = Talk(reply(200, MESSAGE))
        create(talk, temperature=NOT_GIVEN, top_k=5)
        body = json.loads(talk.sent[0].body)
        assert "temperature" not in body
        assert body["top_k"] == 5

    @pytest.mark.parametrize("missing", ["max_tokens", "messages", "model"])
    def test_a_missing_parameter_is_named(self, missing):
        params = {name: value for name, value in HELLO.items() if name != missing}
        with pytest.raises(TypeError, match=missing):
            Talk().run(operations.create(core(), params))

    def test_a_line_break_in_a_header_is_refused(self):
        with pytest.raises(ValueError, match="line break"):
            create(Talk(), extra_headers={"x-a": "1\r\nx-b: 2"})

    def test_an_api_key_is_sent_as_it_is_and_nothing_is_signed(self):
        talk = Talk(reply(200, MESSAGE))
        create(talk, core({}, api_key="bedrock-api-key-abc"))
        assert header(talk.sent[0], "authorization") == "Bearer bedrock-api-key-abc"
        assert header(talk.sent[0], "x-amz-date") is None

    def test_counting_asks_for_the_model_and_not_for_a_profile(self):
        talk = Talk(reply(200, b'{"inputTokens":7}'))
        params = {name: value for name, value in HELLO.items() if name != "max_tokens"}
        count = talk.run(operations.count_tokens(core(), params))
        assert count.input_tokens == 7
        assert talk.sent[0].url.endswith("/model/anthropic.claude-sonnet-4-5-20250929-v1:0/count-tokens")
