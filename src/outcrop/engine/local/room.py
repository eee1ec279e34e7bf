"""Who may generate now. The child's slots share one context of so many cells (one per token): an answer
takes a slot and the cells it can come to need, so that answers under way never run out of room together.

First come, first served; a large answer at the head of the queue is not overtaken. The queue is bounded.
Knows no child and no prompt but its tokens, by which it chooses the slot that remembers the longest part of
them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from outcrop.errors import ThrottlingException

Tokens = Sequence[int]


class Place:
    """A slot of the child, for one answer. `known` is how many leading tokens of the prompt it remembers."""

    def __init__(self, slot: int, cells: int, known: int) -> None:
        self.slot = slot
        self.cells = cells
        self.known = known


class Room:
    """`slots` answers at a time in a context of `cells` tokens, and at most `queue` waiting."""

    def __init__(self, slots: int, cells: int, queue: int) -> None:
        self._free = list(range(slots))
        self._cells = cells
        self._queue = queue
        self._waiting: deque[tuple[int, Tokens, asyncio.Future[Place]]] = deque()
        self._remembered: dict[int, Tokens] = {}

    async def take(self, cells: int, tokens: Tokens) -> Place:
        """A place for an answer of at most `cells` tokens, prompt included. Raises ThrottlingException."""
        if not self._waiting and self._fits(cells):
            return self._place(cells, tokens)
        if len(self._waiting) >= self._queue:
            raise ThrottlingException("Too many requests, please wait before trying again.")
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        entry = (cells, tokens, future)
        self._waiting.append(entry)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.leave(future.result(), ())
            else:
                self._waiting.remove(entry)
                self._admit()
            raise

    def leave(self, place: Place, tokens: Tokens) -> None:
        """The answer is over; `tokens` is what its slot then holds, as far as known."""
        self._free.append(place.slot)
        self._cells += place.cells
        self._remembered[place.slot] = tokens
        self._admit()

    def forget(self) -> None:
        """The child was started anew: its slots remember nothing."""
        self._remembered.clear()

    def _fits(self, cells: int) -> bool:
        return bool(self._free) and cells <= self._cells

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            cells, tokens, future = self._waiting.popleft()
            if not future.done():
                future.set_result(self._place(cells, tokens))

    def _place(self, cells: int, tokens: Tokens) -> Place:
        known = {slot: shared_prefix(self._remembered.get(slot, ()), tokens) for slot in self._free}
        # among equals the one that was left longest ago
        slot = max(self._free, key=known.__getitem__)
        self._free.remove(slot)
        self._remembered.pop(slot, None)
        self._cells -= cells
        if sum(map(len, self._remembered.values())) > self._cells:
            # The child now clears idle slots when it needs their cells, and does not say which.
            self._remembered.clear()
        return Place(slot, cells, known[slot])


def shared_prefix(one: Tokens, two: Tokens) -> int:
    """How many leading tokens are the same. By halving: comparing slices is what Python does fast."""
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
