"""Changes that wait hold up each other, and nothing else."""

import asyncio
import os
import threading

import pytest

from outcrop.errors import OutcropError
from outcrop.service.changing import change


class HeldStore:
    """A store whose changes wait for a lock, as those of a state that another process holds."""

    def __init__(self):
        self.lock, self.done = threading.Event(), []
        self.began = threading.Event()

    def change(self, work):
        self.began.set()
        assert self.lock.wait(10)
        self.done.append(work(None))
        return self.done[-1]


def test_changes_that_wait_leave_the_loops_own_threads_alone():
    async def story():
        store = HeldStore()
        waiting = [asyncio.ensure_future(change(store, lambda _, n=n: n)) for n in range(100)]
        looked_up = asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
        assert await asyncio.wait_for(looked_up, 5)
        assert store.done == []
        store.lock.set()
        assert await asyncio.gather(*waiting) == list(range(100)) == store.done

    asyncio.run(story())


def test_whoever_leaves_before_the_turn_comes_changes_nothing():
    async def story():
        store = HeldStore()
        first, second = (asyncio.ensure_future(change(store, lambda _, n=n: n)) for n in (1, 2))
        await asyncio.to_thread(store.began.wait, 5)
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)  # a cancellation takes a turn of the loop
        store.lock.set()
        assert await change(store, lambda _: 3) == 3
        assert store.done == [1, 3]  # what had begun is done, whoever waits for it

    asyncio.run(story())


def test_what_a_change_raises_is_raised():
    def refuse(_):
        raise OutcropError("no")

    store = HeldStore()
    store.lock.set()
    with pytest.raises(OutcropError, match="no"):
        asyncio.run(change(store, refuse))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of Python 3.12, about any thread
def test_a_child_has_a_thread_of_its_own():
    store = HeldStore()
    store.lock.set()
    assert asyncio.run(change(store, lambda _: 1)) == 1
    child = os.fork()
    if not child:
        try:
            answered = asyncio.run(asyncio.wait_for(change(store, lambda _: 2), 5))
        except BaseException:  # noqa: BLE001 - a child of a test must not become another pytest
            answered = 0
        os._exit(answered)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
