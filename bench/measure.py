"""The measurements: who does what for how long, and what it costs. Knows peers and loads; judges nothing.

What is compared is the CPU time of a peer's whole process tree per request or per delta. Rounds go A B C,
B C A, … so that a busy neighbour hits everybody.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import msgspec

from bench import load, peers, processes, samples
from bench.load import LoadError, Tally
from bench.peers import Outcrop, Peer, Running
from bench.processes import Cores
from bench.samples import DELTAS, Pattern

_WARM_SECONDS: Final = 0.5
_OPEN_STREAMS: Final = 1000


class Plan(msgspec.Struct, frozen=True):
    """How long to measure. `slow` are the seconds of a run for LiteLLM, which does little in a short one."""

    rounds: int = 3
    fast: float = 3
    slow: float = 5


QUICK: Final = Plan(rounds=1, fast=2, slow=4)


class Sample(msgspec.Struct, frozen=True):
    """One run: CPU in µs per unit, units per second, the core's busy share, ms to the first byte."""

    cpu: float
    rate: float
    busy: float
    first_50: float = 0
    first_99: float = 0


class Scenario(msgspec.Struct, frozen=True):
    """One kind of traffic. `connections` for the fast and for LiteLLM; not timed: one stream on each."""

    name: str
    pattern: Pattern
    unit: str
    connections: tuple[int, int]
    timed: bool = True
    with_litellm: bool = True

    @property
    def per_answer(self) -> int:
        """Units in one answer."""
        return DELTAS if self.unit == "delta" else 1


# above 8 connections LiteLLM only gets slower (and a request of it dearer)
INVOKE: Final = Scenario("invoke", Pattern.WHOLE, "request", (16, 8))
BURST: Final = Scenario("burst", Pattern.BURST, "delta", (8, 8))
PACED: Final = Scenario("paced", Pattern.PACED, "delta", (100, 100), timed=False, with_litellm=False)
SCENARIOS: Final = (INVOKE, BURST, PACED)

Samples = dict[str, list[Sample]]


class Start(msgspec.Struct, frozen=True):
    """A program from its start to its end: ms of CPU, ms on the clock, and the most memory it held in MiB."""

    cpu: float
    wall: float
    memory: float


class Results(msgspec.Struct):
    """Everything that was measured: by scenario and peer; starts in s; memory in MiB; what is missing.

    Of the client: programs by name; µs by scenario and client; ms of our start by install and step, and by
    module.
    """

    versions: dict[str, str] = {}
    samples: dict[str, Samples] = {}
    starts: dict[str, list[float]] = {}
    idle: dict[str, float] = {}
    open_streams: float | None = None
    missing: dict[str, str] = {}
    client_starts: dict[str, list[Start]] = {}
    client_costs: dict[str, dict[str, list[float]]] = {}
    client_phases: dict[str, dict[str, float]] = {}
    client_modules: dict[str, float] = {}


def traffic(
    chosen: Sequence[Peer], scenarios: Sequence[Scenario], plan: Plan, folder: Path, where: Cores
) -> Results:
    """Start the peers beside each other and measure them in turns. Raises LoadError when Outcrop fails."""
    results = Results(versions={peer.name: peer.version for peer in chosen})
    with ExitStack() as stack:
        upstream = stack.enter_context(peers.upstream(folder, where))
        running = []
        for peer in chosen:
            say(f"starting {peer.name} {peer.version}")
            one = _started(stack, peer, upstream, folder, where, results)
            if one is not None:
                running.append(one)
                results.starts[peer.name] = [one.start_seconds]
                results.idle[peer.name] = processes.memory_mib(one.pid)
        for scenario in scenarios:
            results.samples[scenario.name] = _rounds(running, scenario, plan)
        results.open_streams = _open_streams(running)
    return results


def _started(
    stack: ExitStack, peer: Peer, upstream: int, folder: Path, where: Cores, results: Results
) -> Running | None:
    """The peer, looked at; None where a peer of ours is broken here, which is then noted."""
    try:
        running = stack.enter_context(peers.started(peer, upstream, folder, where))
        _look(running)
    except LoadError as error:
        if isinstance(peer, Outcrop):
            raise
        results.missing[peer.name] = str(error)
        return None
    return running


def _look(running: Running) -> None:
    """Whether the answers are right to the last byte that matters. Raises LoadError."""
    whole = running.ask(Pattern.WHOLE)
    if whole.status != 200 or whole.body != samples.reply():
        raise LoadError(f"{running.peer.name} gave another reply: {whole.body[:300]!r}")
    stream = running.ask(Pattern.BURST)
    sent = [data for _, data in [*samples.opening(), *samples.deltas(), *samples.closing()]]
    # the last event gets Bedrock's metrics added
    if stream.status != 200 or running.peer.events(stream.body)[:-1] != sent[:-1]:
        raise LoadError(f"{running.peer.name} gave other events: {stream.body[:300]!r}")


def _rounds(running: Sequence[Running], scenario: Scenario, plan: Plan) -> Samples:
    found: Samples = {}
    taking_part = [one for one in running if scenario.with_litellm or one.peer.name != "LiteLLM"]
    for one in taking_part:
        _load(one, scenario, _WARM_SECONDS if scenario.timed else 0)
    for number in range(plan.rounds):
        shift = number % len(taking_part)
        for one in taking_part[shift:] + taking_part[:shift]:
            seconds = plan.slow if one.peer.name == "LiteLLM" else plan.fast
            sample = _sample(one, scenario, seconds if scenario.timed else 0)
            say(
                f"round {number + 1}: {scenario.name:7} {one.peer.name:8} "
                f"{sample.cpu:9.2f} µs per {scenario.unit}"
            )
            found.setdefault(one.peer.name, []).append(sample)
    return found


def _load(one: Running, scenario: Scenario, seconds: float) -> Tally:
    request = one.request(scenario.pattern)
    connections = scenario.connections[one.peer.name == "LiteLLM"]
    if scenario.pattern is Pattern.WHOLE:
        return load.run(load.whole(one.port, request, len(samples.reply()), connections, seconds))
    return load.run(load.streams(one.port, request, one.peer.counter, connections, seconds))


def _sample(one: Running, scenario: Scenario, seconds: float) -> Sample:
    cpu, begun = processes.cpu_seconds(one.pid), time.perf_counter()
    tally = _load(one, scenario, seconds)
    cpu, wall = processes.cpu_seconds(one.pid) - cpu, time.perf_counter() - begun
    units = tally.answered * scenario.per_answer
    first_50, first_99 = _percentiles(tally.first_bytes)
    return Sample(cpu / units * 1e6, units / wall, cpu / wall, first_50, first_99)


def _percentiles(seconds: list[float]) -> tuple[float, float]:
    if len(seconds) < 2:
        return 0, 0
    return median(seconds) * 1000, quantiles(seconds, n=100)[98] * 1000


def _open_streams(running: Sequence[Running]) -> float | None:
    """MiB that a thousand open streams add to Outcrop: each has two connections."""
    ours = next((one for one in running if isinstance(one.peer, Outcrop)), None)
    if ours is None:
        return None
    say(f"opening {_OPEN_STREAMS} streams")
    before = processes.memory_mib(ours.pid)
    request = ours.request(Pattern.OPEN)
    during = load.run(
        load.held_open(ours.port, request, _OPEN_STREAMS, lambda: processes.memory_mib(ours.pid))
    )
    return during - before


def starts(plan: Plan, folder: Path, where: Cores, results: Results) -> None:
    """Start Outcrop with the scripted engine, again and again: seconds to the first answer, and memory."""
    found = []
    for number in range(plan.rounds + 1):
        data = folder / f"scripted-{number}"
        data.mkdir()
        peer = Outcrop(data, engine="scripted")
        with peers.started(peer, 0, folder, where) as running:
            found.append(running.start_seconds)
            results.idle["outcrop, scripted"] = processes.memory_mib(running.pid)
        say(f"start {number}: {found[-1]:.2f} s")
    results.starts["outcrop, scripted"] = found[1:]  # the first one compiles the modules


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"  {text}", file=sys.stderr, flush=True)
