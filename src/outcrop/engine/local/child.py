"""The child process, `python -m outcrop.engine.local.child`: llama.cpp's server on a private unix socket.

The first line on standard input is its `Orders` as JSON; the key comes that way because arguments and
environments can be read by others. It stops when standard input ends, that is, at the latest when its
parent dies.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import msgspec

from outcrop.engine.local.orders import Orders


def main() -> None:
    """Serves until standard input ends. Exits with 1, and the reason on standard error, if it can't."""
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    status = 0
    try:
        _server = serve(orders)
        sys.stdin.buffer.read()
    except (RuntimeError, ImportError) as error:
        print(error, file=sys.stderr)  # noqa: T201  (the parent reads it)
        status = 1
    shutil.rmtree(Path(orders.socket).parent, ignore_errors=True)
    sys.stderr.flush()
    # Not by returning: the server's destructor would wait for the generations under way.
    os._exit(status)


def serve(orders: Orders) -> object:
    """A running server. Raises RuntimeError when the model can't be loaded."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = orders.model
    params.hostnames = [orders.socket]
    params.api_keys = [orders.key]
    params.n_ctx = orders.context
    params.n_parallel = orders.parallel
    # One context for all slots: each may use all of it, the parent sees to it that together they do not.
    params.kv_unified = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = orders.threads
    # The parent feeds prompts in small steps, and a smaller batch needs smaller buffers.
    params.n_batch = params.n_ubatch = 512
    # The slots are the prompt cache; a second one in memory would grow unseen.
    params.cache_ram_mib = 0
    params.use_jinja = True
    params.warmup = True
    params.ui = False
    params.endpoint_slots = True
    params.offline = True
    params.verbosity = -1
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
