"""Where the peers come from: nginx from the system or unpacked from Debian's package, LiteLLM from its lock.

Everything goes below `bench/.peers`; nothing on the machine is changed. What can't be had raises Missing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from bench.processes import LINUX

_HERE: Final = Path(__file__).resolve().parent
PEERS: Final = _HERE / ".peers"
_LOCK: Final = _HERE / "litellm.txt"
_INSTALL_SECONDS: Final = 900


class Missing(Exception):  # noqa: N818 - it is no error: the bench goes on without that peer
    """A peer that can't be had here. The text says why, and what to do."""


def nginx() -> Path:
    """The nginx binary. Raises Missing."""
    unpacked = PEERS / "nginx" / "usr" / "sbin" / "nginx"
    # /usr/sbin is not in everybody's PATH
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    binary = Path(found) if found else unpacked
    if not binary.exists():
        if not LINUX or not shutil.which("apt-get"):
            raise Missing("nginx is not installed, nor is there apt-get; on macOS: `brew install nginx`")
        _unpack_nginx(unpacked)
    try:
        subprocess.run([binary, "-v"], check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise Missing(f"{binary} does not run ({error}): run `apt-get install nginx-light`") from error
    return binary


def _unpack_nginx(binary: Path) -> None:
    """Debian's package, unpacked and not installed: needs no root, and starts no server on port 80."""
    folder = PEERS / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    failed = _apt(["download", "nginx"], folder)
    if failed and os.geteuid() == 0:
        failed = _apt(["update"], folder) or _apt(["download", "nginx"], folder)
    if failed:
        raise Missing(f"nginx could not be fetched ({failed}): run `apt-get install nginx-light` as root")
    for package in folder.glob("nginx_*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True, timeout=60)
        package.unlink()
    if not binary.exists():
        raise Missing("the package nginx holds no nginx: run `apt-get install nginx-light` as root")


def _apt(arguments: list[str], folder: Path) -> str:
    """Run apt-get; what it complained about last, or "" when it did as it was told."""
    print(f"  apt-get {' '.join(arguments)}", file=sys.stderr)
    done = subprocess.run(
        ["apt-get", "-q", *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    return "" if done.returncode == 0 else (done.stderr.strip() or "no reason given").splitlines()[-1]


def litellm() -> Path:
    """The `litellm` command of a virtual environment of its own, as pinned. Raises Missing."""
    folder = PEERS / "litellm"
    stamp = folder / "installed"
    # a virtual environment knows its own place and its Python: moved, or under another, it is made anew
    wanted = f"{hashlib.sha256(_LOCK.read_bytes()).hexdigest()} {folder} {sys.base_prefix}"
    if not stamp.exists() or stamp.read_text() != wanted:
        print("  installing LiteLLM into bench/.peers (a minute or so)", file=sys.stderr)
        try:
            venv.create(folder, with_pip=True, clear=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Missing(f"no virtual environment could be made in {folder}: {error}") from error
        _pip_install(folder)
        stamp.write_text(wanted)
    return folder / "bin" / "litellm"


def _pip_install(folder: Path) -> None:
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(_LOCK)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"LiteLLM was not installed within {_INSTALL_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines() or ["pip gave no reason"]
        raise Missing(f"LiteLLM could not be installed: {said[-1]}") from error
