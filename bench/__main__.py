"""`python -m bench`: measure everything, print the table, keep it in bench/results."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import clients, install, measure, micro, peers, processes, report
from bench.install import Missing
from bench.load import LoadError
from bench.measure import QUICK, SCENARIOS, Plan, Results
from bench.peers import Outcrop, Peer

_PARTS: Final = ("invoke", "burst", "paced", "start", "micro", "client")
_RESULTS: Final = install.PEERS.parent / "results"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Outcrop beside nginx and LiteLLM.")
    parser.add_argument("--quick", action="store_true", help="one short round: for a look, not for a claim")
    parser.add_argument("--rounds", type=int, help="how many rounds (3)")
    parser.add_argument("--only", choices=_PARTS, nargs="+", default=list(_PARTS), help="these parts")
    parser.add_argument(
        "--without", choices=["nginx", "litellm"], nargs="+", default=[], help="leave a peer out"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal that was measured is missed")
    return parser.parse_args()


def _plan(arguments: argparse.Namespace) -> Plan:
    plan = QUICK if arguments.quick else Plan()
    return Plan(max(1, arguments.rounds), plan.fast, plan.slow) if arguments.rounds else plan


def _others(without: Sequence[str], missing: dict[str, str]) -> list[Peer]:
    """nginx and LiteLLM, as far as they can be had."""
    makers: dict[str, Callable[[], Peer]] = {"nginx": peers.Nginx, "LiteLLM": peers.LiteLLM}
    found = []
    for name, make in makers.items():
        if name.lower() in without:
            missing[name] = "left out"
            continue
        try:
            found.append(make())
        except Missing as reason:
            measure.say(f"without {name}: {reason}")
            missing[name] = str(reason)
    return found


def _measure(arguments: argparse.Namespace, plan: Plan, folder: Path) -> tuple[Results, list[micro.Timing]]:
    where = processes.cores()
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in arguments.only]
    results = Results()
    if scenarios:
        missing: dict[str, str] = {}
        others = _others(arguments.without, missing)
        processes.pin(where.others)
        data = folder / "data"
        data.mkdir()
        results = measure.traffic([*others, Outcrop(data)], scenarios, plan, folder, where)
        results.missing |= missing
    processes.pin(where.others)
    if "start" in arguments.only:
        measure.starts(plan, folder, where, results)
    if "client" in arguments.only:
        clients.measure(plan, folder, where, results)
    timings = micro.timings(plan.rounds) if "micro" in arguments.only else []
    return results, timings


def main() -> int:
    """Exit codes: 0; 1 when Outcrop could not be measured or, with --check, a goal is missed."""
    arguments = _arguments()
    plan = _plan(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):  # so that the blocks are left, and the children end
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    processes.allow_many_files()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        try:
            results, timings = _measure(arguments, plan, Path(scratch))
        except LoadError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    now = datetime.now(UTC)
    load = (
        f"load of the machine: {before:.1f} before, {os.getloadavg()[0]:.1f} after (the bench itself makes 2)"
    )
    text = report.render(results, timings, plan, processes.machine(), now, load)
    _RESULTS.mkdir(exist_ok=True)
    (_RESULTS / f"{now:%Y-%m-%d-%H%M%S}.md").write_text(text, encoding="utf-8")
    print(text)
    missed = [row.what for row in report.goals(results, timings) if row.met is False]
    return 1 if arguments.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
