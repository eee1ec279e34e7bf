"""What the parent tells its child at the start. Both import it; it imports nothing of theirs."""

from __future__ import annotations

import msgspec


class Orders(msgspec.Struct, frozen=True):
    """What the child is to do.

    `socket` lies in a folder of its own, which the child removes at its end; its name ends in `.sock`, by
    which llama.cpp tells a socket from a host.
    """

    model: str
    socket: str
    key: str
    context: int
    parallel: int
    threads: int
