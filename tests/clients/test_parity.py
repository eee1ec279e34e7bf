"""The same calls through `anthropic` and through Outcrop's client give the same results.

Both are asked the same thing of the same endpoint, and what they give is compared as dicts; only ids, which
are random, are made alike first. Where ours does more on purpose, the case says so.
"""

import asyncio
import json
import re
from inspect import isawaitable

import anthropic
import pytest

import outcrop
from endpoint import SONNET
from outcrop.engine.scripted import Script, ToolUse

HELLO = {"model": SONNET, "max_tokens": 64, "messages": [{"role": "user", "content": "Hello, world"}]}
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TEXT = Script(text="One two three — vier fünf ☕", input_tokens=10, output_tokens=4)
TOOLS = Script(
    text="Look:",
    tools=(ToolUse("get_weather", {"city": "Ende", "days": [1, 2.5, None], "ok": True}), ToolUse("now")),
)
THINKING = Script(thinking="Counting to five, slowly.", text="Five.", output_tokens=8)
REDACTED = Script(
    content=(
        {"type": "thinking", "thinking": "First", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "text", "text": "Done."},
    )
)
CITED = Script(
    content=(
        {
            "type": "text",
            "text": "The sky is blue.",
            "citations": [
                {
                    "type": "char_location",
                    "cited_text": "blue",
                    "document_index": 0,
                    "document_title": "Sky",
                    "start_char_index": 3,
                    "end_char_index": 7,
                }
            ],
        },
    )
)
NEW = Script(content=({"type": "text", "text": "a"}, {"type": "hologram", "depth": {"metres": 3}}))
STOPPED = Script(text="until", stop_reason="stop_sequence", stop_sequence="END")
ANSWERS = {
    "text": TEXT,
    "tools": TOOLS,
    "thinking": THINKING,
    "redacted": REDACTED,
    "citations": CITED,
    "a block nobody knows": NEW,
    "a stop sequence": STOPPED,
    "nothing": Script(content=()),
}

ERRORS = (anthropic.AnthropicError, outcrop.AnthropicError)
IDS = re.compile(r'"(msg|toolu)_[A-Za-z0-9_]+"')


def plain(value):
    """What a result holds, as JSON would, ids made alike."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    told = json.loads(IDS.sub(r'"\1_id"', json.dumps(value.to_dict(mode="json"))))
    metrics = told.get("amazon-bedrock-invocationMetrics")
    if metrics:
        metrics["invocationLatency"] = metrics["firstByteLatency"] = 0
    return told


def both(endpoint, ask, *, answer=TEXT, **options):
    """What `ask` gives through each client, sync and async: (theirs, ours) each time."""
    pairs = []
    for theirs, ours in (
        (anthropic.AnthropicBedrock, outcrop.AnthropicBedrock),
        (anthropic.AsyncAnthropicBedrock, outcrop.AsyncAnthropicBedrock),
    ):
        results = []
        for kind in (theirs, ours):
            endpoint.answers.script(answer)
            results.append(asyncio.run(_through(kind, ask, options)))
        pairs.append(results)
    return pairs


async def _through(kind, ask, options):
    client = kind(**options)
    try:
        return await ask(client)
    finally:
        closing = client.close()
        if isawaitable(closing):
            await closing


async def settled(value):
    return await value if isawaitable(value) else value


async def listed(stream):
    """All items of a sync or async iterable."""
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)


class Entered:
    """`with` and `async with` alike."""

    def __init__(self, manager):
        self._manager = manager

    async def __aenter__(self):
        manager = self._manager
        return await manager.__aenter__() if hasattr(manager, "__aenter__") else manager.__enter__()

    async def __aexit__(self, *error):
        manager = self._manager
        if hasattr(manager, "__aexit__"):
            await manager.__aexit__(*error)
        else:
            manager.__exit__(*error)


pytestmark = [
    pytest.mark.usefixtures("client_env"),
    # theirs prints what it could not describe either
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
]


@pytest.mark.parametrize("name", ANSWERS)
class TestAnswers:
    def test_whole(self, endpoint, name):
        async def ask(client):
            return plain(await settled(client.messages.create(**HELLO, tools=[WEATHER])))

        for theirs, ours in both(endpoint, ask, answer=ANSWERS[name]):
            assert ours == theirs

    def test_every_event_of_a_stream(self, endpoint, name):
        async def ask(client):
            return plain(await listed(await settled(client.messages.create(**HELLO, stream=True))))

        for theirs, ours in both(endpoint, ask, answer=ANSWERS[name]):
            assert ours == theirs

    def test_every_event_of_the_stream_helper_with_its_snapshot(self, endpoint, name):
        """Ours keeps what else stood in the last event, theirs makes a new one without it."""

        async def ask(client):
            async with Entered(client.messages.stream(**HELLO)) as stream:
                events = plain(await listed(stream))
            events[-1].pop("amazon-bedrock-invocationMetrics", None)
            return events

        for theirs, ours in both(endpoint, ask, answer=ANSWERS[name]):
            assert ours == theirs

    def test_the_final_message_of_a_stream(self, endpoint, name):
        async def ask(client):
            async with Entered(client.messages.stream(**HELLO)) as stream:
                return plain(await settled(stream.get_final_message()))

        for theirs, ours in both(endpoint, ask, answer=ANSWERS[name]):
            assert ours == theirs


def test_model_dump_has_the_same_members(endpoint):
    async def ask(client):
        told = (await settled(client.messages.create(**HELLO))).model_dump(mode="json")
        return json.loads(IDS.sub(r'"\1_id"', json.dumps(told)))

    for theirs, ours in both(endpoint, ask, answer=THINKING):
        assert ours == theirs


def test_the_text_stream_and_the_final_text(endpoint):
    async def ask(client):
        async with Entered(client.messages.stream(**HELLO)) as stream:
            pieces = await listed(stream.text_stream)
            return pieces, await settled(stream.get_final_text())

    for theirs, ours in both(endpoint, ask):
        assert ours == theirs


def test_a_conversation_goes_on_with_the_blocks_of_the_answer(endpoint):
    async def ask(client):
        first = await settled(client.messages.create(**HELLO, tools=[WEATHER]))
        (use, _) = [block for block in first.content if block.type == "tool_use"]
        turns = [
            *HELLO["messages"],
            {"role": "assistant", "content": first.content},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": b.id, "content": "30 °C"}
                    for b in first.content
                    if b.type == "tool_use"
                ],
            },
        ]
        await settled(client.messages.create(**{**HELLO, "messages": turns}, tools=[WEATHER]))
        asked = json.dumps(endpoint.answers.questions[-1].body["messages"], sort_keys=True)
        return use.input, json.loads(IDS.sub(r'"\1_id"', asked))

    for theirs, ours in both(endpoint, ask, answer=TOOLS):
        assert ours == theirs


REQUESTS = {
    "system and sampling": {
        "system": "Be brief.",
        "stop_sequences": ["END"],
        "extra_body": {"temperature": 0.5},
    },
    "system blocks": {
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    },
    "tools and choice": {"tools": [WEATHER], "tool_choice": {"type": "any"}},
    "thinking": {"max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 1024}},
    "metadata": {"metadata": {"user_id": "u-1"}},
    "a header of the caller's": {"extra_headers": {"x-team": "a"}},
    "a beta as a header": {"extra_headers": {"anthropic-beta": "context-1m-2025-08-07"}},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_endpoint_is_asked_the_same(endpoint, name):
    async def ask(client):
        await settled(client.messages.create(**{**HELLO, **REQUESTS[name]}))
        question = endpoint.answers.questions[-1]
        return question.body, sorted(question.betas), question.model.id

    for theirs, ours in both(endpoint, ask):
        assert ours == theirs


@pytest.mark.parametrize(
    "betas", [["context-1m-2025-08-07"], ["interleaved-thinking-2025-05-14", "context-1m-2025-08-07"]]
)
def test_betas_reach_the_engine(endpoint, betas):
    async def ask(client):
        message = await settled(client.beta.messages.create(**HELLO, betas=betas))
        return sorted(endpoint.answers.questions[-1].betas), message.content[0].text

    for theirs, ours in both(endpoint, ask):
        assert ours == theirs
        assert ours[0] == sorted(betas)


FAULTS = [
    "ThrottlingException",
    "ValidationException",
    "AccessDeniedException",
    "ResourceNotFoundException",
    "ModelTimeoutException",
    "ServiceUnavailableException",
    "InternalServerException",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_same_exception_with_the_same_members(endpoint, fault):
    async def ask(client):
        try:
            await settled(client.messages.create(**HELLO))
        except ERRORS as error:
            return type(error).__name__, error.status_code, error.body, bool(error.request_id), error.type
        raise AssertionError("no error")

    for theirs, ours in both(endpoint, ask, answer=Script(error=fault, message="the text"), max_retries=0):
        assert ours == theirs


def test_a_failed_model_has_a_name_of_its_own_beside_theirs(endpoint):
    """424 is APIStatusError in `anthropic`, which has no class for it; ours is one of those too."""

    async def ask(client):
        try:
            await settled(client.messages.create(**HELLO))
        except ERRORS as error:
            return [kind.__name__ for kind in type(error).__mro__], error.status_code
        raise AssertionError("no error")

    answer = Script(error="ModelErrorException", message="the text")
    for theirs, ours in both(endpoint, ask, answer=answer, max_retries=0):
        assert ours[1] == theirs[1] == 424
        assert "APIStatusError" in ours[0]


@pytest.mark.parametrize("after", [3, 5])
def test_a_stream_that_breaks_raises_after_the_same_events(endpoint, after):
    """Ours has the status that AWS's name stands for, and its class; theirs 200 and no class of its own."""

    async def ask(client):
        seen, error = [], None
        stream = await settled(client.messages.create(**HELLO, stream=True))
        try:
            if hasattr(stream, "__aiter__"):
                async for event in stream:
                    seen.append(plain(event))
            else:
                for event in stream:
                    seen.append(plain(event))
        except ERRORS as caught:
            error = caught
        return seen, [kind.__name__ for kind in type(error).__mro__]

    answer = Script(text="so far so good", error="ThrottlingException", break_after=after)
    for theirs, ours in both(endpoint, ask, answer=answer, max_retries=0):
        assert ours[0] == theirs[0]
        assert len(ours[0]) == after
        assert set(theirs[1]) <= set(ours[1])
        assert ours[1][0] == "RateLimitError"


def test_a_retry_of_the_client_gets_the_answer(endpoint):
    async def ask(client):
        endpoint.answers.script(Script(error="ThrottlingException"), "second try", repeat=False)
        return (await settled(client.messages.create(**HELLO))).content[0].text

    for theirs, ours in both(endpoint, ask):
        assert ours == theirs == "second try"


def test_the_raw_response(endpoint):
    async def ask(client):
        raw = await settled(client.messages.with_raw_response.create(**HELLO))
        parsed = await settled(raw.parse())
        return (
            raw.status_code,
            raw.headers["X-Amzn-Bedrock-Input-Token-Count"],
            raw.headers.get("x-outcrop-engine"),
            raw.retries_taken,
            raw.method,
            str(raw.url),
            plain(parsed),
        )

    for theirs, ours in both(endpoint, ask):
        assert ours == theirs


def test_the_raw_response_of_a_stream(endpoint):
    async def ask(client):
        raw = await settled(client.messages.with_raw_response.create(**HELLO, stream=True))
        events = await listed(await settled(raw.parse()))
        return raw.status_code, [event.type for event in events]

    for theirs, ours in both(endpoint, ask):
        assert ours == theirs


def test_with_options_changes_a_copy(endpoint):
    async def ask(client):
        changed = client.with_options(max_retries=7, timeout=3, default_headers={"x-a": "1"})
        text = (await settled(changed.messages.create(**HELLO))).content[0].text
        return changed.max_retries, client.max_retries, changed.timeout, text, changed.default_headers["x-a"]

    for theirs, ours in both(endpoint, ask):
        assert ours == theirs


def test_contradictory_credentials_are_a_value_error_in_both():
    for kind in (anthropic.AnthropicBedrock, outcrop.AnthropicBedrock):
        with pytest.raises(ValueError, match="api_key"):
            kind(api_key="bedrock-api-key-x", aws_access_key="a", aws_secret_key="b")


# of the Claude API, not of Bedrock: webhooks, its own logins and middleware; and the base of what is caught
NOT_BEDROCKS = {"IdentityTokenFileError", "RetryableError"}


def test_every_exception_that_users_catch_is_here():
    theirs = [getattr(anthropic._exceptions, name) for name in anthropic._exceptions.__all__]
    missing = {kind.__name__ for kind in theirs if not hasattr(outcrop, kind.__name__)}
    assert missing == NOT_BEDROCKS
    for kind in theirs:
        ours = getattr(outcrop, kind.__name__, None)
        if ours is not None:
            parents = {parent.__name__ for parent in kind.__mro__ if parent.__name__.endswith("Error")}
            assert parents <= {parent.__name__ for parent in ours.__mro__}, kind


def test_the_other_names_are_here_too():
    for name in ("NOT_GIVEN", "NotGiven", "Omit", "omit", "Timeout", "Stream", "AsyncStream", "types"):
        assert hasattr(anthropic, name)
        assert hasattr(outcrop, name)
