"""A client that measures itself: `python -m bench.asking CLIENT PORT`, then a line for each run.

A line is `SCENARIO SECONDS`; the answer is a line of JSON, a `Run`. The clients are the packages as they are
installed, with their own defaults. Outcrop's and anthropic's are asked by the same code, but for the import.
Each answer's text and each stream's number of events are checked.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, Protocol

import msgspec

from bench import samples
from bench.samples import DELTAS, MODEL, OTHER_EVENTS, REGION, Pattern

EVENTS: Final = DELTAS + OTHER_EVENTS
AT_ONCE: Final = 16
_ACCESS_KEY: Final = "AKIAIOSFODNN7EXAMPLE"
_SECRET: Final = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


class Run(msgspec.Struct, frozen=True):
    """What a run did: calls or events, and the seconds of CPU that this process spent on them."""

    units: int
    cpu: float


class WrongAnswer(Exception):  # noqa: N818 - it ends the bench, nobody handles it
    """The client gave something else than the upstream sent."""


def _expected_text() -> str:
    text: str = json.loads(samples.reply())["content"][0]["text"]
    return text


def _expected_stream() -> str:
    return "".join(json.loads(data)["delta"]["text"] for _, data in samples.deltas())


def _prompt(pattern: Pattern) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = json.loads(samples.bedrock_body(pattern))["messages"]
    return messages


def _check(found: object, expected: object) -> None:
    if found != expected:
        raise WrongAnswer(f"{found!r:.300} instead of {expected!r:.300}")


class Asker(Protocol):
    """A client: how each scenario is done once. The answer is the number of units."""

    once: dict[str, Callable[[], int]]

    def run(self, block: Callable[[], Coroutine[Any, Any, int]]) -> int:
        """Do something in the event loop that its asynchronous client lives in."""

    async def call(self) -> int:
        """One call of the asynchronous client."""


class Anthropic:
    """`anthropic`, or whatever has its interface."""

    def __init__(self, module: str, port: int) -> None:
        package = importlib.import_module(module)
        settings = {
            "aws_access_key": _ACCESS_KEY,
            "aws_secret_key": _SECRET,
            "aws_region": REGION,
            "base_url": f"http://127.0.0.1:{port}",
        }
        self._client = package.AnthropicBedrock(**settings)
        self._async_client = package.AsyncAnthropicBedrock(**settings)
        self._runner = asyncio.Runner()
        self._ask = {"model": MODEL, "max_tokens": 1024, "messages": _prompt(Pattern.WHOLE)}
        self._ask_burst = {**self._ask, "messages": _prompt(Pattern.BURST)}
        self._text, self._streamed = _expected_text(), _expected_stream()
        self.once = {"call": self._call, "stream": self._stream, "text": self._text_stream}

    def _call(self) -> int:
        _check(self._client.messages.create(**self._ask).content[0].text, self._text)
        return 1

    def _stream(self) -> int:
        count = 0
        for event in self._client.messages.create(**self._ask_burst, stream=True):
            count += 1
            if event.type == "content_block_delta":
                event.delta.text  # noqa: B018 - who reads a stream looks at its text
        _check(count, EVENTS)
        return count

    def _text_stream(self) -> int:
        with self._client.messages.stream(**self._ask_burst) as stream:
            _check("".join(stream.text_stream), self._streamed)
        return EVENTS

    def run(self, block: Callable[[], Coroutine[Any, Any, int]]) -> int:
        return self._runner.run(block())

    async def call(self) -> int:
        message = await self._async_client.messages.create(**self._ask)
        _check(message.content[0].text, self._text)
        return 1


class Boto3:
    """`boto3`, which has no helper for text and nothing asynchronous."""

    def __init__(self, port: int) -> None:
        boto3 = importlib.import_module("boto3")
        self._client = boto3.client(
            "bedrock-runtime",
            region_name=REGION,
            aws_access_key_id=_ACCESS_KEY,
            aws_secret_access_key=_SECRET,
            endpoint_url=f"http://127.0.0.1:{port}",
        )
        self._fields = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1024}
        self._text = _expected_text()
        self.once = {"call": self._call, "stream": self._stream}

    def _body(self, pattern: Pattern) -> str:
        return json.dumps({**self._fields, "messages": _prompt(pattern)})

    def _call(self) -> int:
        reply = self._client.invoke_model(modelId=MODEL, body=self._body(Pattern.WHOLE))
        _check(json.loads(reply["body"].read())["content"][0]["text"], self._text)
        return 1

    def _stream(self) -> int:
        reply = self._client.invoke_model_with_response_stream(modelId=MODEL, body=self._body(Pattern.BURST))
        count = 0
        for part in reply["body"]:
            event = json.loads(part["chunk"]["bytes"])
            count += 1
            if event["type"] == "content_block_delta":
                event["delta"]["text"]
        _check(count, EVENTS)
        return count

    def run(self, block: Callable[[], Coroutine[Any, Any, int]]) -> int:
        raise NotImplementedError("boto3 has no asynchronous client")

    async def call(self) -> int:
        raise NotImplementedError("boto3 has no asynchronous client")


def _in_a_row(asker: Asker, scenario: str, seconds: float) -> int:
    once, units = asker.once[scenario], 0
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        units += once()
    return units


def _at_once(asker: Asker, seconds: float) -> int:
    deadline = time.perf_counter() + seconds

    async def ask() -> int:
        units = 0
        while time.perf_counter() < deadline:
            units += await asker.call()
        return units

    async def all_of_them() -> int:
        return sum(await asyncio.gather(*(ask() for _ in range(AT_ONCE))))

    return asker.run(all_of_them)


def _run(asker: Asker, scenario: str, seconds: float) -> Run:
    begun = time.process_time()
    in_loop = scenario == "async"
    units = _at_once(asker, seconds) if in_loop else _in_a_row(asker, scenario, seconds)
    return Run(units, time.process_time() - begun)


def _orders() -> Iterator[tuple[str, float]]:
    for line in sys.stdin:
        scenario, seconds = line.split()
        yield scenario, float(seconds)


def main() -> None:
    """Read orders until stdin ends."""
    name, port = sys.argv[1], int(sys.argv[2])
    asker: Asker = Boto3(port) if name == "boto3" else Anthropic(name, port)
    for scenario, seconds in _orders():
        print(msgspec.json.encode(_run(asker, scenario, seconds)).decode(), flush=True)


if __name__ == "__main__":
    main()
