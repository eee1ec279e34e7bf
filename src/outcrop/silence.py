"""Shuts connections on which nothing is said. Knows sockets of this process; not HTTP and not the server.

granian has a timeout for a request's head, but waits without end for the bytes that tell HTTP/1.1 from HTTP/2
(measured, 2.8.7), so a stranger could hold all our files open by connecting and saying nothing. Linux only:
elsewhere `watch` does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Collection
from typing import Final

# HTTP/2's preface has 24 bytes; every request of HTTP/1.1 that names a host has more.
_UNDECIDED: Final = 24
# struct tcp_info of linux/tcp.h: tcpi_last_data_recv (milliseconds), tcpi_bytes_received
_INFO: Final = struct.Struct("=52xI72xQ")


async def watch(ports: Collection[int], seconds: float) -> None:
    """Until cancelled, shut each connection to `ports` that has been silent for `seconds` since it began."""
    if not sys.platform.startswith("linux"):
        return
    while True:
        await asyncio.sleep(seconds / 4)
        await asyncio.to_thread(_sweep, ports, seconds)


def _sweep(ports: Collection[int], seconds: float) -> None:
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # not a socket, not connected, or closed meanwhile
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                _shut_if_silent(os.dup(int(name)), ports, seconds)


def _shut_if_silent(descriptor: int, ports: Collection[int], seconds: float) -> None:
    try:
        one = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return
    with one:
        if one.family not in (socket.AF_INET, socket.AF_INET6) or one.getsockname()[1] not in ports:
            return
        info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        waited, received = _INFO.unpack(info)  # a listening socket has neither; it has no peer
        if received < _UNDECIDED and waited >= seconds * 1000 and one.getpeername():
            one.shutdown(socket.SHUT_RDWR)
