"""Starts one program after the other and tells what each cost: `python -I -S launch.py`, a line for each.

A line holds the file for the program's output, then the command, separated by tabs. The answer is a line with
exit status, seconds of CPU, seconds on the clock, and the kernel's figure of the most memory it held.

It is a process of its own, and imports next to nothing, because a child's memory begins with that of its
parent: the kernel would count the bench's. Linux and macOS.
"""

import os
import sys
import time


def launch(output: str, command: list[str]) -> str:
    """Run one program to its end."""
    begun = time.perf_counter()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [(os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
    child = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - begun
    cpu = usage.ru_utime + usage.ru_stime
    return f"{os.waitstatus_to_exitcode(status)} {cpu:.6f} {wall:.6f} {usage.ru_maxrss}"


if __name__ == "__main__":
    for line in sys.stdin:
        output, *command = line.rstrip("\n").split("\t")
        print(launch(output, command), flush=True)
