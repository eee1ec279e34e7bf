"""The start of a program that uses Outcrop's client, with the CPU clock read between its steps.

`python start_phases.py PORT` prints a line of JSON: milliseconds of CPU by step, as a list of pairs. It
imports nothing before it must, so that each step pays for what it is the first to need.
"""

import builtins
import sys
import time

_begun = (
    time.process_time()
)  # the clock of the process: from its first instruction, exec and interpreter included
_steps = [("interpreter", _begun)]
_importing = [0, 0.0]  # how deep in imports, seconds in the outermost ones
_import = builtins.__import__


def _clocked_import(*arguments, **named):
    _importing[0] += 1
    begun = time.process_time() if _importing[0] == 1 else 0
    try:
        return _import(*arguments, **named)
    finally:
        if _importing[0] == 1:
            _importing[1] += time.process_time() - begun
        _importing[0] -= 1


def _step(name):
    """What was spent since the last step; what of it went into imports is a step of its own."""
    now = time.process_time()
    since, imports = now - _step.last, _importing[1]
    if name.startswith("import"):
        _steps.append((name, since))
    else:
        _steps.append((f"{name}: modules imported only now", imports))
        _steps.append((name, since - imports))
    _importing[1] = 0.0
    _step.last = time.process_time()


_step.last = time.process_time()

import msgspec  # noqa: E402

_step("import msgspec")

from outcrop import AnthropicBedrock  # noqa: E402

_step("import outcrop's client")
builtins.__import__ = _clocked_import

client = AnthropicBedrock(
    aws_access_key="AKIAIOSFODNN7EXAMPLE",
    aws_secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    aws_region="us-west-2",
    base_url=f"http://127.0.0.1:{sys.argv[1]}",
)
_step("make the client")


def _ask():
    return client.messages.create(
        model="anthropic.claude-sonnet-4-5-20250929-v1:0",
        max_tokens=1024,
        messages=[{"role": "user", "content": "Explain to a newcomer how a river shapes the land."}],
    )


_ask()
_step("first call")
_ask()
_step("second call, connection kept")
builtins.__import__ = _import
print(msgspec.json.encode([(name, seconds * 1000) for name, seconds in _steps]).decode())
