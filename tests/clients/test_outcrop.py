"""Outcrop's own client and the endpoint: what it has beyond `anthropic`'s, beside boto3."""

import asyncio
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import httpx2
import pytest

import outcrop
from endpoint import SONNET
from outcrop import AnthropicBedrock, AsyncAnthropicBedrock
from outcrop.engine.scripted import Script, ToolUse

HELLO = {"model": SONNET, "max_tokens": 64, "messages": [{"role": "user", "content": "Hello, world"}]}
ASK = {
    "messages": [{"role": "user", "content": [{"text": "Hello, world"}]}],
    "inferenceConfig": {"maxTokens": 64},
}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001"
    "5e35ed0d0000000049454e44ae426082"
)


@pytest.fixture
def client(client_env):
    with AnthropicBedrock() as made:
        yield made


def ours(value):
    """A result as boto3 would give it: a dict."""
    return value.to_dict()


def keep_what_boto3_knows(mine, theirs):
    """boto3 drops members that its service model lacks; ours keeps them."""
    assert set(theirs) <= set(mine)
    for name in set(mine) - set(theirs):
        del mine[name]


class TestConverse:
    def test_whole(self, client, endpoint):
        endpoint.answers.script(
            Script(thinking="Hm.", text="Look:", tools=(ToolUse("look_up", {"q": "Ende"}, "toolu_bdrk_1"),))
        )
        theirs = boto3.session.Session().client("bedrock-runtime").converse(modelId=SONNET, **ASK)
        mine = ours(client.converse(model=SONNET, **ASK))
        keep_what_boto3_knows(mine["usage"], theirs["usage"])
        for told in (theirs, mine):
            told.pop("ResponseMetadata", None)
            told["metrics"]["latencyMs"] = 0
            told["output"]["message"]["content"][2]["toolUse"]["toolUseId"] = "id"
        assert mine == theirs

    def test_every_event_of_a_stream(self, client, endpoint):
        endpoint.answers.script(Script(text="One two three", input_tokens=3, output_tokens=4))
        theirs = boto3.session.Session().client("bedrock-runtime").converse_stream(modelId=SONNET, **ASK)
        expected = list(theirs["stream"])
        got = [ours(event) for event in client.converse_stream(model=SONNET, **ASK)]
        keep_what_boto3_knows(got[-1]["metadata"]["usage"], expected[-1]["metadata"]["usage"])
        for events in (expected, got):
            events[-1]["metadata"]["metrics"]["latencyMs"] = 0
        assert got == expected

    def test_bytes_are_given_as_bytes(self, client, endpoint):
        image = {"image": {"format": "png", "source": {"bytes": PIXEL}}}
        client.converse(model=SONNET, messages=[{"role": "user", "content": [{"text": "What?"}, image]}])
        source = endpoint.answers.questions[-1].body["messages"][0]["content"][1]["source"]
        assert source["media_type"] == "image/png"
        assert len(source["data"]) >= len(PIXEL)

    def test_a_stream_has_its_errors(self, client, endpoint):
        endpoint.answers.script(Script(text="so far", error="ThrottlingException", break_after=4))
        seen = []
        with pytest.raises(outcrop.RateLimitError):
            seen.extend(client.converse_stream(model=SONNET, **ASK))

    def test_what_it_cost(self, client, endpoint):
        endpoint.answers.script(Script(text="x", input_tokens=1_000_000 // 10, output_tokens=0))
        reply = client.converse(model="claude-sonnet-4-5", endpoint="regional", **ASK)
        assert float(reply.cost) == pytest.approx(0.33)


class TestCounting:
    def test_as_boto3_counts(self, client, endpoint):
        told = {"messages": HELLO["messages"], "max_tokens": 1, "anthropic_version": "bedrock-2023-05-31"}
        body = json.dumps(told).encode()
        counted = (
            boto3.session.Session()
            .client("bedrock-runtime")
            .count_tokens(modelId=SONNET.removeprefix("global."), input={"invokeModel": {"body": body}})
        )
        mine = client.messages.count_tokens(model=SONNET, messages=HELLO["messages"])
        assert mine.input_tokens == counted["inputTokens"]

    def test_the_raw_count(self, client):
        raw = client.messages.with_raw_response.count_tokens(model=SONNET, messages=HELLO["messages"])
        assert raw.status_code == 200
        assert raw.parse().input_tokens > 0


class TestModels:
    def test_the_list_has_what_both_of_awss_listings_have(self, client):
        bedrock = boto3.session.Session().client("bedrock")
        models = [
            m["modelId"] for m in bedrock.list_foundation_models(byProvider="anthropic")["modelSummaries"]
        ]
        profiles = [
            p["inferenceProfileId"]
            for page in bedrock.get_paginator("list_inference_profiles").paginate()
            for p in page["inferenceProfileSummaries"]
        ]
        listed = client.models.list()
        assert [m.id for m in listed if m.kind == "foundation-model"] == models
        assert sorted(m.id for m in listed if m.kind == "inference-profile") == sorted(profiles)
        assert [m.id for m in client.models.list(kind="foundation-model")] == models
        assert client.models.list(provider="nobody") == []

    def test_one_by_every_kind_of_name(self, client):
        base = SONNET.removeprefix("global.")
        assert client.models.get(base).id == base
        assert client.models.get("claude-sonnet-4-5").id == SONNET
        profile = client.models.get(f"us.{base}")
        assert set(profile.regions) == {"us-east-1", "us-east-2", "us-west-2"}
        assert client.models.get(profile.arn) == profile

    def test_a_name_that_is_none_says_what_is_near(self, client):
        with pytest.raises(outcrop.ModelNameError, match="claude-sonnet-4-5"):
            client.models.get("claude-sonet-4-5")
        with pytest.raises(outcrop.NotFoundError):
            client.models.get("anthropic.claude-none-v1:0")


class TestIdentity:
    def test_as_sts_says_it(self, client):
        theirs = boto3.session.Session().client("sts").get_caller_identity()
        who = client.identity()
        assert (who.account, who.arn, who.user_id) == (theirs["Account"], theirs["Arn"], theirs["UserId"])

    def test_a_wrong_key_is_awss_refusal(self, endpoint, client_env):
        client = AnthropicBedrock(aws_access_key=endpoint.access_key, aws_secret_key="wrong")
        with client, pytest.raises(outcrop.PermissionDeniedError) as caught:
            client.identity()
        assert caught.value.aws_error == "SignatureDoesNotMatch"

    def test_an_api_key_has_none(self, endpoint, client_env):
        _, token = endpoint.api_key()
        with AnthropicBedrock(api_key=token) as client, pytest.raises(outcrop.UsageError, match="API key"):
            client.identity()


class TestNamesAndEndpoints:
    @pytest.mark.parametrize(
        ("endpoint_name", "region", "scope"),
        [
            (None, "us-west-2", "global"),
            ("global", "eu-central-1", "global"),
            ("regional", "eu-central-1", "eu"),
            ("regional", "ap-northeast-1", "jp"),
            ("us", "us-east-1", "us"),
        ],
    )
    def test_a_short_name_reaches_the_profile(self, client_env, endpoint_name, region, scope):
        with AnthropicBedrock(aws_region=region, endpoint=endpoint_name) as client:
            raw = client.messages.with_raw_response.create(**{**HELLO, "model": "claude-sonnet-4-5"})
        assert raw.url.split("/")[4].startswith(f"{scope}.anthropic.claude-sonnet-4-5")
        assert raw.parse().content[0].text == "Hello from the script."

    def test_the_guard_sends_nothing(self, client_env, endpoint):
        before = len(endpoint.answers.questions)
        with AnthropicBedrock(aws_region="eu-central-1", residency="eu") as client:
            with pytest.raises(outcrop.ResidencyError):
                client.messages.create(**HELLO)
            assert client.messages.create(**{**HELLO, "model": "claude-sonnet-4-5"}).id
        assert len(endpoint.answers.questions) == before + 1

    def test_a_deprecated_model_warns_once_with_its_date(self, client):
        old = {**HELLO, "model": "us.anthropic.claude-3-7-sonnet-20250219-v1:0"}
        with pytest.warns(DeprecationWarning, match="2025-10-28") as seen:
            client.messages.create(**old)
        assert seen[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client.messages.create(**old)
            client.with_options(max_retries=0).messages.create(**old)

    def test_the_fallback_answers_for_the_throttled_endpoint(self, client_env, endpoint):
        endpoint.answers.script(Script(error="ThrottlingException"), "from elsewhere", repeat=False)
        with AnthropicBedrock(aws_region="us-west-2", fallback=["regional"]) as client:
            raw = client.messages.with_raw_response.create(**{**HELLO, "model": "claude-sonnet-4-5"})
        assert raw.parse().content[0].text == "from elsewhere"
        assert raw.url.split("/")[4].startswith("us.")
        assert raw.retries_taken == 1


class TestSettings:
    def test_one_debug_line_says_where_region_and_credentials_came_from(self, client_env, caplog):
        with caplog.at_level(logging.DEBUG, "outcrop"), AnthropicBedrock() as client:
            client.messages.create(**HELLO)
            client.messages.create(**HELLO)
        (line,) = [record.getMessage() for record in caplog.records]
        assert line.startswith("region us-west-2 from AWS_REGION; credentials from the environment")
        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in line

    def test_temporary_credentials_and_an_api_key(self, client_env, endpoint):
        made = boto3.session.Session().client("sts").get_session_token()["Credentials"]
        for keys in (
            {
                "aws_access_key": made["AccessKeyId"],
                "aws_secret_key": made["SecretAccessKey"],
                "aws_session_token": made["SessionToken"],
            },
            {"api_key": endpoint.api_key()[1]},
        ):
            with AnthropicBedrock(**keys) as client:
                assert client.messages.create(**HELLO).content[0].text == "Hello from the script."

    def test_over_tls_with_the_authority_named(self, tls_client_env, monkeypatch):
        with AnthropicBedrock() as client:
            assert client.messages.create(**HELLO).id
            assert [e.type for e in client.messages.create(**HELLO, stream=True)][-1] == "message_stop"

        async def go():
            async with AsyncAnthropicBedrock() as client:
                return await client.messages.create(**HELLO)

        assert asyncio.run(go()).id
        for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        with (
            AnthropicBedrock(max_retries=0) as client,
            pytest.raises(outcrop.CertificateError, match="AWS_CA_BUNDLE"),
        ):
            client.messages.create(**HELLO)

    def test_a_profile_that_outcrop_wrote_is_enough(self, endpoint, tmp_path, monkeypatch, client_env):
        for name in [n for n in os.environ if n.startswith(("AWS_", "ANTHROPIC_"))]:
            monkeypatch.delenv(name)
        (tmp_path / "config").write_text(
            "[profile local]\nregion = eu-central-1\nservices = here\n\n[services here]\n"
            + "".join(
                f"{name} =\n  endpoint_url = {endpoint.url}\n"
                for name in ("bedrock", "bedrock_runtime", "sts")
            )
        )
        (tmp_path / "credentials").write_text(
            f"[local]\naws_access_key_id = {endpoint.access_key}\n"
            f"aws_secret_access_key = {endpoint.secret_key}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        with AnthropicBedrock(aws_profile="local") as client:
            assert (client.aws_region, client.base_url) == ("eu-central-1", endpoint.url)
            assert client.messages.create(**HELLO).id
            assert client.identity().account == endpoint.keys.account

    def test_a_region_prefix_for_api_keys(self, client_env, endpoint):
        _, token = endpoint.api_key()
        address = endpoint.url + "/region/{region}"
        with AnthropicBedrock(api_key=token, base_url=address, aws_region="eu-west-1") as client:
            assert client.base_url.endswith("/region/eu-west-1")
            assert client.messages.create(**HELLO).id


class TestAnHttpClientOfOnesOwn:
    def test_blocking(self, client_env):
        with httpx2.Client() as http, AnthropicBedrock(http_client=http) as client:
            assert client.messages.create(**HELLO).content[0].text == "Hello from the script."
            with client.messages.stream(**HELLO) as stream:
                assert "".join(stream.text_stream) == "Hello from the script."
            client.close()
            assert not http.is_closed

    def test_async(self, client_env):
        async def go():
            async with httpx2.AsyncClient() as http, AsyncAnthropicBedrock(http_client=http) as client:
                whole = await client.messages.create(**HELLO)
                async with client.messages.stream(**HELLO) as stream:
                    return whole.content[0].text, "".join([text async for text in stream.text_stream])

        assert asyncio.run(go()) == ("Hello from the script.",) * 2

    def test_the_wrong_kind_is_refused_with_the_right_one(self, client_env):
        with httpx2.Client() as http, pytest.raises(TypeError, match="AsyncClient"):
            asyncio.run(AsyncAnthropicBedrock(http_client=http).messages.create(**HELLO))


class TestManyAtOnce:
    def test_threads_share_a_client(self, client):
        with ThreadPoolExecutor(16) as pool:
            ids = list(pool.map(lambda _: client.messages.create(**HELLO).id, range(160)))
        assert len(set(ids)) == 160

    def test_both_sides_of_a_fork_go_on(self, endpoint):
        script = (
            "import os, sys\nfrom outcrop import AnthropicBedrock\nclient = AnthropicBedrock()\n"
            f"hello = {HELLO!r}\nclient.messages.create(**hello)\npid = os.fork()\n"
            "for _ in range(5):\n    client.messages.create(**hello)\n"
            "if pid:\n    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n    print('both')\n"
            "else:\n    os._exit(0)\n"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            env=endpoint.env(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("both\n", "")

    def test_sixteen_tasks(self, client_env):
        async def many():
            async with AsyncAnthropicBedrock() as client:
                return await asyncio.gather(*(client.messages.create(**HELLO) for _ in range(16)))

        assert len({message.id for message in asyncio.run(many())}) == 16

    def test_one_async_client_over_several_event_loops(self, client_env):
        client = AsyncAnthropicBedrock()

        async def ask():
            return (await client.messages.create(**HELLO)).id

        ids = {asyncio.run(ask()) for _ in range(3)}
        threads = [threading.Thread(target=lambda: ids.add(asyncio.run(ask()))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids) == 6
        asyncio.run(client.close())


class TestOptions:
    def test_none_and_not_given_leave_things_as_they_were(self, client_env, monkeypatch):
        client = AnthropicBedrock(
            aws_region="eu-central-1", timeout=7, max_retries=outcrop.NOT_GIVEN, http_client=outcrop.NOT_GIVEN
        )
        assert client.max_retries == 2
        monkeypatch.setenv("AWS_REGION", "us-east-2")
        copy = client.with_options(
            aws_region=None, base_url=None, http_client=None, timeout=outcrop.NOT_GIVEN, max_retries=5
        )
        assert (copy.aws_region, copy.base_url, copy.timeout) == ("eu-central-1", client.base_url, 7)
        assert copy._shared is client._shared
        assert client.with_options(timeout=None).timeout is None

    def test_a_subclass_keeps_its_own_attributes(self, client_env):
        class Ours(AnthropicBedrock):
            def __init__(self, team):
                super().__init__()
                self.team = team

        copy = Ours("a").with_options(max_retries=0)
        assert (copy.team, copy.max_retries) == ("a", 0)
        assert copy.messages.create(**HELLO).id

    def test_a_test_can_put_something_in_the_place_of_a_call(self, client_env, endpoint):
        from unittest.mock import patch

        client = AnthropicBedrock()
        before = len(endpoint.answers.questions)
        with patch.object(client.messages, "create", return_value="mocked"):
            assert client.messages.create(**HELLO) == "mocked"
        assert len(endpoint.answers.questions) == before

    def test_a_host_in_capitals_is_signed_as_it_is_sent(self, client_env, endpoint):
        address = endpoint.url.replace("127.0.0.1", "LocalHost")
        with httpx2.Client() as http, AnthropicBedrock(base_url=address, http_client=http) as client:
            assert client.messages.create(**HELLO).id
        with AnthropicBedrock(base_url=address) as client:
            assert client.messages.create(**HELLO).id

    def test_a_client_is_not_pickled(self, client_env):
        with pytest.raises(TypeError, match="each process"):
            pickle.dumps(AnthropicBedrock())


class TestLeaving:
    def test_a_stream_left_by_break_goes_on_where_it_was(self, client_env, endpoint):
        endpoint.answers.script("One two three four five six")
        with AnthropicBedrock() as client, client.messages.stream(**HELLO) as stream:
            for event in stream:
                if event.type == "text":
                    break
            assert stream.get_final_text() == "One two three four five six"
            assert list(stream) == []

    def test_after_its_closing_a_stream_is_not_taken_for_whole(self, client_env, endpoint):
        from gate import Gate

        endpoint.answers.use(Gate(after_events=3))
        with AnthropicBedrock() as client:
            with client.messages.stream(**HELLO) as stream:
                next(stream)
            with pytest.raises(outcrop.StreamBrokenError):
                stream.get_final_message()
            with pytest.raises(outcrop.StreamBrokenError):
                list(stream)

    def test_nor_after_a_wait_that_was_given_up(self, client_env, endpoint):
        from gate import Gate

        endpoint.answers.use(Gate(after_events=3))

        async def go():
            async with AsyncAnthropicBedrock() as client:
                stream = await client.messages.create(**HELLO, stream=True)

                async def read():
                    return [event async for event in stream]

                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(read(), 0.3)
                with pytest.raises(outcrop.StreamBrokenError):
                    await anext(stream)

        asyncio.run(go())

    def test_a_dropped_stream_stops_the_engine(self, client_env, endpoint):
        import gc

        from gate import Gate

        gate = Gate(after_events=3)
        endpoint.answers.use(gate)
        gc.disable()
        try:
            with AnthropicBedrock() as client:
                for _ in client.messages.create(**HELLO, stream=True):
                    break
                assert gate.cancelled.wait(5)
        finally:
            gc.enable()

    def test_a_dropped_async_stream_stops_the_engine(self, client_env, endpoint):
        from gate import Gate

        gate = Gate(after_events=3)
        endpoint.answers.use(gate)

        async def go():
            async with AsyncAnthropicBedrock() as client:
                async for _ in await client.messages.create(**HELLO, stream=True):
                    break
                assert await asyncio.to_thread(gate.cancelled.wait, 5)

        asyncio.run(go())

    def test_a_closed_client_says_so(self, client_env):
        client = AnthropicBedrock()
        client.close()
        assert client.is_closed()
        with pytest.raises(outcrop.APIConnectionError, match="closed"):
            client.messages.create(**HELLO)
        after = AsyncAnthropicBedrock()

        async def go():
            await after.messages.create(**HELLO)
            await after.close()
            await after.messages.create(**HELLO)

        with pytest.raises(outcrop.APIConnectionError, match="closed"):
            asyncio.run(go())

    def test_a_stream_left_early_stops_the_engine(self, client_env, endpoint):
        from gate import Gate

        gate = Gate(after_events=3)
        endpoint.answers.use(gate)
        with AnthropicBedrock() as client, client.messages.create(**HELLO, stream=True) as stream:
            next(iter(stream))
            assert gate.reached.wait(5)
        assert gate.cancelled.wait(5)

    def test_an_async_call_that_is_cancelled_stops_the_engine(self, client_env, endpoint):
        from gate import Gate

        gate = Gate(before_answer=True)
        endpoint.answers.use(gate)

        async def go():
            async with AsyncAnthropicBedrock() as client:
                task = asyncio.create_task(client.messages.create(**HELLO))
                await asyncio.to_thread(gate.reached.wait, 5)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

        asyncio.run(go())
        assert gate.cancelled.wait(5)


def test_a_message_can_be_kept_and_read_again(client):
    message = client.messages.create(**HELLO)
    again = pickle.loads(pickle.dumps(message))
    assert again == message
    assert str(again.cost) == str(message.cost)
    assert again._request_id == message._request_id is not None


def test_the_client_needs_nothing_but_msgspec(endpoint, tmp_path):
    import msgspec

    (tmp_path / "msgspec").symlink_to(Path(msgspec.__file__).parent)
    (tmp_path / "outcrop").symlink_to(Path(outcrop.__file__).parent)
    script = (
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport asyncio\n"
        "from outcrop import AnthropicBedrock, AsyncAnthropicBedrock\n"
        f"hello = {HELLO!r}\nclient = AnthropicBedrock()\n"
        "print(client.messages.create(**hello).content[0].text)\n"
        "with client.messages.stream(**hello) as stream:\n    print(stream.get_final_text())\n"
        "async def go():\n    async with AsyncAnthropicBedrock() as client:\n"
        "        print((await client.messages.create(**hello)).content[0].text)\nasyncio.run(go())\n"
        "foreign = {n.partition('.')[0] for n in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(n for n in foreign if not n.startswith('_')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        env=endpoint.env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["Hello from the script."] * 3 + ["['msgspec', 'outcrop']"]


def test_a_first_call_loads_none_of_what_is_heavy(endpoint):
    script = (
        f"from outcrop import AnthropicBedrock\nAnthropicBedrock().messages.create(**{HELLO!r})\n"
        "import sys\nprint(sorted(set('asyncio ssl http.client email.message logging json ipaddress "
        "configparser tomllib botocore httpx2 pydantic anthropic granian'.split()) & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=endpoint.env(), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
