"""Changes of the state from an event loop: in one thread of their own, one after the other. Knows no record.

A change may wait for seconds, when another process holds the state's lock. In the loop's own threads, a dozen
of them would keep out all else that is done there: to look up the name of an engine's server, above all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from outcrop.store import Store, Transaction

T = TypeVar("T")


class _Lane:
    """The thread, begun when it is first wanted. A store makes one change at a time, so one will do."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """After a fork: the thread stayed with the parent."""
        self.executor = ThreadPoolExecutor(1, "outcrop change")


_lane = _Lane()
os.register_at_fork(after_in_child=_lane.begin_anew)


async def change(store: Store, work: Callable[[Transaction], T]) -> T:
    """What `store.change(work)` gives. Raises what it raises.

    Cancelled before its turn has come, it does nothing; afterwards it is done all the same.
    """
    return await asyncio.get_running_loop().run_in_executor(_lane.executor, store.change, work)
