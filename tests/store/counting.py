"""Programs for the tests of the counters, each run in a process of its own: `python counting.py NAME …`."""

import asyncio
import json
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from guide_table import SONNET_45
from outcrop.catalog import Catalog
from outcrop.engine import Question, Whole
from outcrop.errors import ThrottlingException
from outcrop.service.call import Outcome, Target
from outcrop.service.quota import estimate
from outcrop.service.quota.limits import QuotaLimit
from outcrop.service.quota.step import Quotas
from outcrop.store.counters import Amounts, Counters, Limits
from service.calls import ACCOUNT, call
from service.memory import MemorySnapshot

NOW = 1_800_000_000.0
BODY = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1000}


def told(**line):
    os.write(1, json.dumps(line).encode() + b"\n")


def calls():
    """For each order on stdin (a path, a seed, limits): 200 calls at once, and what became of them."""
    for line in sys.stdin:
        path, seed, rpm, tpm = json.loads(line)
        counters = Counters(path)
        asyncio.run(_calls(counters, random.Random(seed), rpm, tpm))
        counters.close()


async def _calls(counters, chance, rpm, tpm):
    limits = [QuotaLimit(ACCOUNT, "*", "*", "*", "rpm", rpm), QuotaLimit(ACCOUNT, "*", "*", "*", "tpm", tpm)]
    state = MemorySnapshot({(limit.KIND, limit.key): limit for limit in limits})
    quotas = Quotas(counters, enabled=True, clock=lambda: NOW)
    catalog = Catalog.load()
    model = catalog.model(SONNET_45)
    asked = call("InvokeModel", state=state, modelId=SONNET_45)
    asked = _with(asked, Target(model, catalog.regional(model, "us-west-2")))
    all_in = asyncio.Event()
    begun, done = [], {"taken": 0, "charged": 0, "peak": 0}
    reserved = estimate.input_tokens(BODY) + BODY["max_tokens"]

    async def engine(_call, _question):
        begun.append(1)
        await all_in.wait()
        await asyncio.sleep(0)
        usage = {"input_tokens": chance.randrange(1, 200), "output_tokens": chance.randrange(500)}
        done["charged"] += usage["input_tokens"] + 5 * usage["output_tokens"]
        return Outcome(Whole(json.dumps({"usage": usage}).encode()), "us-west-2", "e", True)

    async def one(number):
        body = {**BODY, "max_tokens": BODY["max_tokens"]}
        try:
            await quotas.reserve(asked, Question(model, body, False, (), str(number)), engine)
        except ThrottlingException:
            return 0
        return 1

    running = [asyncio.ensure_future(one(number)) for number in range(200)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    told(held=len(begun), reserved=reserved * len(begun))
    sys.stdin.readline()  # everybody holds what it got: now they are answered
    all_in.set()
    done["taken"] = sum(await asyncio.gather(*running))
    told(**done)


def _with(asked, target):
    import msgspec

    return msgspec.structs.replace(asked, target=target)


def until_killed():
    """Reserve and settle for ever; every line is something that was acknowledged."""
    path, seed, moving = sys.argv[2], int(sys.argv[3]), sys.argv[4] == "moving"
    chance = random.Random(seed)
    counters, now, held = Counters(path), NOW, []
    while True:
        now += chance.random() * 3 if moving else 0
        if held and chance.random() < 0.4:
            reservation, tokens = held.pop(chance.randrange(len(held)))
            told(now=now, before=tokens)
            after = chance.randrange(3000)
            counters.settle(reservation, after, now)
            told(now=now, settled=[reservation.key, tokens, after])
        else:
            tokens = chance.randrange(2000)
            key = f"bucket {chance.randrange(40)}"
            told(now=now)
            reservation = counters.reserve(key, Limits(), Amounts(1, tokens), now)
            held.append((reservation, tokens))
            told(now=now, reserved=[key, tokens])


def forks():
    """A parent and three children count on what the parent had opened; the sum is told."""
    counters = Counters(sys.argv[2])
    counters.reserve("k", Limits(), Amounts(1, 1), NOW)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            _count(counters)
            os._exit(0)
        children.append(child)
    _count(counters)
    for child in children:
        os.waitpid(child, 0)
    told(used=list(counters.used("k", NOW)))


def _count(counters):
    for _ in range(2000):
        counters.reserve("k", Limits(), Amounts(1, 3), NOW)


if __name__ == "__main__":
    {"calls": calls, "until_killed": until_killed, "forks": forks}[sys.argv[1]]()
