"""The client side: what a program pays until its first answer, for a call, and for an event of a stream.

Outcrop's client, `anthropic`'s and boto3 ask the same upstream, which answers at once. The client that is
measured has a core to itself. Judges nothing.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from string import Template
from typing import IO, Final

import msgspec

from bench import peers, processes
from bench.asking import Run
from bench.load import LoadError
from bench.measure import Plan, Results, Start, say
from bench.processes import LINUX, Cores
from bench.samples import MODEL, REGION

OURS: Final = "outcrop"
THEIRS: Final = "anthropic"
BOTO3: Final = "boto3"
CLIENTS: Final = (OURS, THEIRS, BOTO3)
BARE: Final = "python -c pass"
BASE: Final = "outcrop, base install"
# the asynchronous scenario has 16 calls on their way at once
SCENARIOS: Final = ("call", "stream", "text", "async")
_UNSAID: Final = {BOTO3: ("text", "async")}  # what a client has not
_WARM_SECONDS: Final = 0.3
_HERE: Final = Path(__file__).resolve().parent

_APP: Final = Template("""\
from $module import AnthropicBedrock

client = AnthropicBedrock(
    aws_access_key="AKIAIOSFODNN7EXAMPLE",
    aws_secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    aws_region="$region",
    base_url="http://127.0.0.1:$port",
)
message = client.messages.create(
    model="$model",
    max_tokens=1024,
    messages=[{"role": "user", "content": "Explain to a newcomer how a river shapes the land."}],
)
print(message.content[0].text)
""")
_BOTO3_APP: Final = Template("""\
import json

import boto3

client = boto3.client(
    "bedrock-runtime",
    region_name="$region",
    aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
    aws_secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    endpoint_url="http://127.0.0.1:$port",
)
body = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Explain to a newcomer how a river shapes the land."}],
}
reply = client.invoke_model(modelId="$model", body=json.dumps(body))
print(json.loads(reply["body"].read())["content"][0]["text"])
""")
_ANSWER: Final = "A river carries what it loosens."


def measure(plan: Plan, folder: Path, where: Cores, results: Results) -> None:
    """All of it, into `results`. Raises LoadError when a client does not answer as it should."""
    results.versions |= {f"client {name}": version(name) for name in CLIENTS}
    with peers.upstream(folder, where) as port, _launcher(folder, where) as launcher:
        bare = _base_install(folder / "base")
        _starts(launcher, _programs(folder, port, bare), plan, results)
        _phases(launcher, port, bare, plan, results)
        _calls(port, plan, folder, where, results)


# ── conversations with processes ──────────────────────────────────────────────────────────────────


class _Pipe:
    """A process that answers a line with a line."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self._name = name
        self._log = log
        assert process.stdin is not None  # it was asked for
        assert process.stdout is not None
        self._to: IO[bytes] = process.stdin
        self._from: IO[bytes] = process.stdout

    def ask(self, line: str) -> str:
        """Raises LoadError when the process has ended."""
        with contextlib.suppress(BrokenPipeError):
            self._to.write(f"{line}\n".encode())
            self._to.flush()
        answer = self._from.readline().decode()
        if not answer:
            said = self._log.read_text(errors="replace").strip().splitlines()[-12:]
            raise LoadError(f"{self._name} ended. It said:\n" + "\n".join(said))
        return answer


@contextlib.contextmanager
def _conversation(name: str, command: Sequence[str], folder: Path, where: Cores) -> Iterator[_Pipe]:
    log = folder / f"{name}.log"
    home = {"HOME": str(folder)}  # nobody's configuration files
    with processes.running(command, log, where.gateway, home, talking=True) as process:
        yield _Pipe(name, process, log)


@contextlib.contextmanager
def _launcher(folder: Path, where: Cores) -> Iterator[_Launcher]:
    command = [sys.executable, "-I", "-S", str(_HERE / "launch.py")]
    with _conversation("launcher", command, folder, where) as pipe:
        yield _Launcher(pipe, folder / "output")


class _Launcher:
    def __init__(self, pipe: _Pipe, output: Path) -> None:
        self._pipe = pipe
        self._output = output

    def start(self, command: Sequence[str]) -> tuple[Start, str]:
        """Run a program to its end: what it cost, and what it printed. Raises LoadError when it failed."""
        status, cpu, wall, memory = self._pipe.ask("\t".join([str(self._output), *command])).split()
        printed = self._output.read_text(errors="replace")
        if int(status):
            raise LoadError(f"{' '.join(command)} ended with {status}. It said:\n{printed[-1500:]}")
        unit = 1024 if LINUX else 1024 * 1024  # of ru_maxrss: KiB on Linux, bytes on macOS
        return Start(float(cpu) * 1000, float(wall) * 1000, int(memory) / unit), printed


# ── from the start of a program to its first answer ───────────────────────────────────────────────


def _base_install(folder: Path) -> Path:
    """A virtual environment that holds what `pip install outcrop` would bring, and no more. Its Python."""
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    for name in ("outcrop", "msgspec"):
        found = find_spec(name)
        assert found is not None  # the bench itself uses both
        assert found.origin is not None
        (packages / name).symlink_to(Path(found.origin).parent)
    return folder / "bin" / "python"


def _programs(folder: Path, port: int, base_python: Path) -> dict[str, list[str]]:
    """The command of each program that is started."""
    fill = {"region": REGION, "model": MODEL, "port": port}
    commands = {BARE: [sys.executable, "-c", "pass"]}
    for name in CLIENTS:
        home = folder / f"app-{name}"
        home.mkdir()
        text = _BOTO3_APP.substitute(fill) if name == BOTO3 else _APP.substitute(fill, module=name)
        (home / "app.py").write_text(text)
        commands[name] = [sys.executable, str(home / "app.py")]
    commands[BASE] = [str(base_python), commands[OURS][1]]
    return commands


def _starts(launcher: _Launcher, commands: dict[str, list[str]], plan: Plan, results: Results) -> None:
    order = list(commands)
    results.client_starts = {name: [] for name in order}
    for number in range(2 * plan.rounds + 2):
        shift = number % len(order)
        for name in order[shift:] + order[:shift]:
            start, printed = launcher.start(commands[name])
            if name != BARE and not printed.startswith(_ANSWER):
                raise LoadError(f"{name} gave another answer: {printed[:300]}")
            if number:  # the first one compiles the modules
                results.client_starts[name].append(start)
    for name, found in results.client_starts.items():
        say(f"start: {name:22} {median(one.cpu for one in found):7.1f} ms of CPU")


def _phases(launcher: _Launcher, port: int, base_python: Path, plan: Plan, results: Results) -> None:
    """What each step of our own start costs, here and in a base install; the end is what is left over."""
    script = str(_HERE / "start_phases.py")
    for name, python in ((OURS, sys.executable), (BASE, str(base_python))):
        found: dict[str, list[float]] = {}
        for _ in range(2 * plan.rounds + 1):
            start, printed = launcher.start([python, script, str(port)])
            steps = msgspec.json.decode(printed, type=list[tuple[str, float]])
            end = start.cpu - sum(cost for _, cost in steps)
            for step, milliseconds in [*steps, ("the interpreter's end", end)]:
                found.setdefault(step, []).append(milliseconds)
        results.client_phases[name] = {step: median(costs) for step, costs in found.items()}
    results.client_modules = _modules(str(base_python), port)


def _modules(python: str, port: int) -> dict[str, float]:
    """ms on the clock of the modules a start loads in a base install, each without those it loads itself.

    The interpreter tells with -X importtime, which makes them dearer by a fifth or so. It is the least of
    some runs, because a clock also counts what others did meanwhile.
    """
    command = [python, "-X", "importtime", str(_HERE / "start_phases.py"), str(port)]
    least: dict[str, float] = {}
    for _ in range(9):
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=processes.environment()
        )
        for line in done.stderr.splitlines():
            own, _, name = line.removeprefix("import time:").split("|")
            if own.strip().isdigit():  # the first line is the table's head
                module, cost = name.strip(), int(own) / 1000
                least[module] = min(cost, least.get(module, cost))
    return least


# ── one call, one event ───────────────────────────────────────────────────────────────────────────


def _calls(port: int, plan: Plan, folder: Path, where: Cores, results: Results) -> None:
    with contextlib.ExitStack() as stack:
        pipes = {}
        for name in CLIENTS:
            command = [sys.executable, "-m", "bench.asking", name, str(port)]
            pipes[name] = stack.enter_context(_conversation(name, command, folder, where))
        for scenario in SCENARIOS:
            able = [name for name in CLIENTS if scenario not in _UNSAID.get(name, ())]
            for name in able:
                _one_run(pipes[name], scenario, _WARM_SECONDS)
            for number in range(plan.rounds):
                shift = number % len(able)
                for name in able[shift:] + able[:shift]:
                    cost = _one_run(pipes[name], scenario, plan.fast / 2)
                    say(f"round {number + 1}: client {scenario:6} {name:9} {cost:9.2f} µs")
                    results.client_costs.setdefault(scenario, {}).setdefault(name, []).append(cost)


def _one_run(pipe: _Pipe, scenario: str, seconds: float) -> float:
    """µs of CPU for a call or an event."""
    run = msgspec.json.decode(pipe.ask(f"{scenario} {seconds}"), type=Run)
    return run.cpu / run.units * 1e6
