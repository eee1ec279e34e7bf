"""The `outcrop` command. One file per group of commands; each is imported when it is used."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Exit codes: 0, 1 a failure, 2 wrong usage, 78 a wrong setting."""
    try:
        import click  # noqa: F401 - asked for here, so that its absence can be explained
    except ImportError:
        print("The command line is not installed; this is the client alone.", file=sys.stderr)
        print('Run: pip install "outcrop[server]"', file=sys.stderr)
        sys.exit(1)
    from outcrop.cli.group import outcrop

    outcrop()
