"""The results as Markdown: each figure, its ratio in the same rounds, the goal beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from statistics import median
from typing import Final, Literal

import msgspec

from bench.asking import AT_ONCE
from bench.clients import BARE, BASE, BOTO3, OURS, SCENARIOS, THEIRS
from bench.measure import Plan, Results, Sample, Start
from bench.micro import Timing

_MiB: Final = "MiB"


class Row(msgspec.Struct, frozen=True):
    """One line of the table of goals. `value` is None where a peer is missing."""

    what: str
    value: float | None
    goal: float
    sense: Literal["at most", "at least"]
    unit: str = ""
    spread: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is no figure."""
        if self.value is None:
            return None
        return self.value <= self.goal if self.sense == "at most" else self.value >= self.goal


def goals(results: Results, timings: Sequence[Timing] = ()) -> list[Row]:
    """Every goal with its figure; a goal without the peer it needs has none."""
    start = results.starts.get("outcrop, scripted")
    return [
        _ratio(
            results, "invoke", ("outcrop", "nginx"), "InvokeModel, 1 KB: CPU, Outcrop / nginx", 12, "at most"
        ),
        _ratio(
            results,
            "invoke",
            ("LiteLLM", "outcrop"),
            "InvokeModel, 1 KB: CPU, LiteLLM / Outcrop",
            40,
            "at least",
        ),
        _ratio(
            results,
            "burst",
            ("outcrop", "nginx"),
            "burst stream: CPU per delta, Outcrop / nginx",
            25,
            "at most",
        ),
        _ratio(
            results,
            "burst",
            ("LiteLLM", "outcrop"),
            "burst stream: CPU per delta, LiteLLM / Outcrop",
            25,
            "at least",
        ),
        _ratio(
            results,
            "paced",
            ("outcrop", "nginx"),
            "100 paced streams: CPU per delta, Outcrop / nginx",
            4,
            "at most",
        ),
        Row(
            "start to first answer, scripted engine",
            median(start) if start else None,
            1,
            "at most",
            "s",
            _spread(start or []),
        ),
        Row("memory, scripted engine", results.idle.get("outcrop, scripted"), 80, "at most", _MiB),
        Row("1,000 open streams add", results.open_streams, 100, "at most", _MiB),
        *(
            Row(timing.name, timing.ours, timing.goal, "at most", "µs")
            for timing in timings
            if timing.goal is not None
        ),
        *_client_goals(results),
    ]


_SCENARIO_NAMES: Final = {
    "call": "`messages.create`",
    "stream": "event of `create(stream=True)`",
    "text": "event of `messages.stream`, `text_stream`",
    "async": f"`messages.create`, {AT_ONCE} at once, async",
}
_CLIENT_GOALS: Final = {"call": 8, "stream": 4, "text": 4, "async": 20}


def _client_goals(results: Results) -> list[Row]:
    """How many times as much the other clients need."""
    starts = results.client_starts
    rows = []
    for other, column, goal in ((THEIRS, "CPU", 15), (BOTO3, "CPU", 3), (THEIRS, "memory", 3)):
        get = _START_COLUMNS[column]
        pairs = [(get(a), get(b)) for a, b in zip(starts.get(other, []), starts.get(OURS, []), strict=False)]
        rows.append(_times(f"client, `python app.py`: {column}, {other} / Outcrop", pairs, goal))
    for scenario in SCENARIOS:
        costs = results.client_costs.get(scenario, {})
        pairs = list(zip(costs.get(THEIRS, []), costs.get(OURS, []), strict=False))
        what = f"client, {_SCENARIO_NAMES[scenario]}: CPU, {THEIRS} / Outcrop"
        rows.append(_times(what, pairs, _CLIENT_GOALS[scenario]))
    return rows


def _times(what: str, pairs: Sequence[tuple[float, float]], goal: float) -> Row:
    """The first of each pair over the second: the median of the rounds' own ratios, at least `goal`."""
    ratios = [above / below for above, below in pairs]
    return Row(what, median(ratios) if ratios else None, goal, "at least", "times", _spread(ratios))


def _ratio(
    results: Results,
    scenario: str,
    pair: tuple[str, str],
    what: str,
    goal: float,
    sense: Literal["at most", "at least"],
) -> Row:
    """The CPU of one peer over that of another: the median of the rounds' own ratios."""
    samples = results.samples.get(scenario, {})
    above, below = (samples.get(name, []) for name in pair)
    ratios = [a.cpu / b.cpu for a, b in zip(above, below, strict=False) if b.cpu]
    return Row(what, median(ratios) if ratios else None, goal, sense, "times", _spread(ratios))


def _spread(values: Sequence[float]) -> str:
    return f"{_number(min(values))} to {_number(max(values))}" if len(values) > 1 else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def render(
    results: Results, timings: Sequence[Timing], plan: Plan, machine: str, when: datetime, load: str
) -> str:
    """The whole report."""
    parts = [
        f"# Bench, {when:%Y-%m-%d %H:%M} UTC",
        _versions(results, plan, machine, load),
        "## Goals",
        _goal_table(goals(results, timings)),
    ]
    if results.samples:
        parts += ["## Traffic", _traffic_table(results)]
    if results.starts:
        parts += ["## Start and memory", _start_table(results)]
    if results.client_starts:
        parts += ["## The client, from start to first answer", _client_start_table(results)]
        parts += ["### What each millisecond of it is", _phase_table(results), _module_table(results)]
    if results.client_costs:
        parts += ["## The client, a call and an event", _client_cost_table(results)]
    if timings:
        parts += ["## Single steps", _timing_table(timings)]
    return "\n\n".join(parts) + "\n"


def _versions(results: Results, plan: Plan, machine: str, load: str) -> str:
    lines = [f"- machine: {machine}", f"- {load}", f"- rounds: {plan.rounds}"]
    lines += [f"- {name} {version}" for name, version in results.versions.items()]
    lines += [f"- {name} is missing: {why}" for name, why in results.missing.items()]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _goal_table(rows: Sequence[Row]) -> str:
    words = {True: "met", False: "**missed**", None: "not measured"}
    return _table(
        ["what", "measured", "min to max", "goal", ""],
        [
            [
                row.what,
                "" if row.value is None else f"{_number(row.value)} {row.unit}",
                row.spread,
                f"{row.sense} {row.goal:g} {row.unit}",
                words[row.met],
            ]
            for row in rows
        ],
    )


def _traffic_table(results: Results) -> str:
    columns: list[tuple[str, Callable[[Sample], float]]] = [
        ("CPU µs", lambda sample: sample.cpu),
        ("per second", lambda sample: sample.rate),
        ("core busy", lambda sample: sample.busy),
        ("first byte p50 ms", lambda sample: sample.first_50),
        ("p99 ms", lambda sample: sample.first_99),
    ]
    rows = []
    for scenario, by_peer in results.samples.items():
        for name, samples in by_peer.items():
            cells = [_three([get(sample) for sample in samples]) for _, get in columns]
            rows.append([scenario, name, *cells])
    return _table(["traffic", "peer", *(name for name, _ in columns)], rows)


def _three(values: Sequence[float]) -> str:
    """Minimum, median and maximum; nothing where nothing was measured."""
    if not any(values):
        return ""
    if len(values) == 1:
        return _number(values[0])
    return " / ".join(_number(value) for value in (min(values), median(values), max(values)))


def _start_table(results: Results) -> str:
    rows = [[name, _three(results.starts.get(name, [])), _number(mib)] for name, mib in results.idle.items()]
    return _table(["peer", "start to first answer, s", f"memory after it, {_MiB}"], rows)


_START_COLUMNS: Final[dict[str, Callable[[Start], float]]] = {
    "CPU": lambda start: start.cpu,
    "wall": lambda start: start.wall,
    "memory": lambda start: start.memory,
}
_MODULE_ROWS: Final = 14  # lines of the table of modules


def _client_start_table(results: Results) -> str:
    rows = []
    for name, starts in results.client_starts.items():
        cells = [_three([get(start) for start in starts]) for get in _START_COLUMNS.values()]
        rows.append([name if name == BARE else f"{name}: `app.py`", *cells])
    return _table(["program", "CPU, ms", "wall, ms", f"most memory, {_MiB}"], rows)


def _phase_table(results: Results) -> str:
    """Our start, step by step: in the checkout, and where only Outcrop and msgspec are installed."""
    here, base = results.client_phases[OURS], results.client_phases[BASE]
    rows = [[step, _number(here[step]), _number(base[step])] for step in here if here[step] >= 0.05]
    rows.append(["all of it", _number(sum(here.values())), _number(sum(base.values()))])
    return _table(["step", "CPU, ms", "base install, ms"], rows)


def _module_table(results: Results) -> str:
    """The dearest modules of a base install's start, and what the others come to."""
    dearest = sorted(results.client_modules.items(), key=lambda item: -item[1])
    rows = [[name, f"{milliseconds:.2f}"] for name, milliseconds in dearest[:_MODULE_ROWS]]
    rest = dearest[_MODULE_ROWS:]
    rows.append([f"{len(rest)} others", f"{sum(cost for _, cost in rest):.2f}"])
    return _table(["module, base install", "ms on the clock, while the interpreter counts"], rows)


def _client_cost_table(results: Results) -> str:
    rows = []
    for scenario, costs in results.client_costs.items():
        ours = median(costs[OURS])
        for name, found in costs.items():
            ratio = "" if name == OURS else _number(median(found) / ours)
            rows.append([_SCENARIO_NAMES[scenario], name, _three(found), ratio])
    return _table(["what", "client", "CPU, µs", "of ours"], rows)


def _timing_table(timings: Sequence[Timing]) -> str:
    return _table(
        ["step", "µs", "beside it", "µs", "ratio"],
        [
            [
                timing.name,
                f"{timing.ours:.2f}",
                timing.peer_name,
                "" if timing.peer is None else f"{timing.peer:.2f}",
                "" if timing.peer is None else _number(timing.peer / timing.ours),
            ]
            for timing in timings
        ],
    )
