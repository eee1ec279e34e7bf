"""The life of the child process, seen from its parent: started, watched, started again when it dies, stopped.

Knows processes and the child's orders; not prompts or answers. The parent never imports llama.cpp.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from outcrop.engine.local.link import Link, LinkLostError, RefusedError
from outcrop.engine.local.orders import Orders
from outcrop.errors import ModelNotReadyException, OutcropError

# Seconds before each new try when the child dies again and again; one that lived for _SOUND seconds is
# started anew at once.
BACKOFF: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SOUND: Final = 10.0
_POLL: Final = 0.05
_STOP: Final = 2.0  # seconds for the child to stop by itself


def default_threads() -> int:
    """One thread on a machine of one or two cores: llama.cpp's threads wait for each other by spinning, and
    a second one beside any other load is several times slower (measured). Else half of the cores, at most
    eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if cores <= 2 else min(8, cores // 2)


class Child:
    """One child process at a time. `progress` is called with the seconds that loading has taken so far."""

    def __init__(
        self,
        model: Path,
        *,
        context: int,
        parallel: int,
        threads: int,
        progress: Callable[[float], None] | None = None,
        started: Callable[[], None] | None = None,
    ) -> None:
        self._orders = Orders(str(model.absolute()), "", "", context, parallel, threads or default_threads())
        self._progress = progress or (lambda _seconds: None)
        self._started = started or (lambda: None)
        self._process: asyncio.subprocess.Process | None = None
        self._link = Link("", "")
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self._last_words: deque[str] = deque(maxlen=10)

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Starts the child and sees that it goes on running. Idempotent. Raises OutcropError."""
        if self._keeper is None:
            _check_library()
            self._first = asyncio.get_running_loop().create_future()
            self._keeper = asyncio.create_task(self._keep(self._first), name="local engine")
        assert self._first is not None  # noqa: S101 - set together with the keeper
        await asyncio.shield(self._first)

    async def ready(self, patience: float = 30) -> Link:
        """The link to a child that answers. Raises ModelNotReadyException after `patience` seconds,
        OutcropError when the child could not be started at first."""
        await self.start()
        try:
            async with asyncio.timeout(patience):
                await self._up.wait()
        except TimeoutError:
            raise ModelNotReadyException(
                "The model is not ready to serve inference requests.", reason=self._why()
            ) from None
        return self._link

    def give_up(self, link: Link) -> None:
        """Ends the child behind `link` at once, for it hangs or drops connections; another is started.

        A broken connection is seen before the death of the process is: until then `ready` must not hand the
        link out again.
        """
        if link == self._link and self._process is not None:
            self._up.clear()
            with suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """Stops the child. Idempotent; afterwards `start` starts another."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper

    async def _keep(self, first: asyncio.Future[None]) -> None:
        deaths = -1
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._run(first)
                except OSError as error:  # no process or no folder to be had: as bad as one that dies
                    self._last_words.append(str(error))
                if not first.done():
                    self._keeper = None
                    _fail(first, self._unusable())
                    return
                lived = time.monotonic() - began
                deaths = 0 if lived > _SOUND else min(deaths + 1, len(BACKOFF) - 1)
                await asyncio.sleep(BACKOFF[deaths])
        finally:
            _fail(first, OutcropError("The local engine was closed while it started."))

    async def _run(self, first: asyncio.Future[None]) -> None:
        """One child from its start to its end."""
        folder = tempfile.mkdtemp(prefix="outcrop-")  # mode 0700
        orders = msgspec.structs.replace(
            self._orders, socket=os.path.join(folder, "llama.sock"), key=secrets.token_hex(16)
        )
        self._link = Link(orders.socket, orders.key)
        try:
            process = await self._spawn(orders)
            await self._attend(process, first)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _attend(self, process: asyncio.subprocess.Process, first: asyncio.Future[None]) -> None:
        listener = asyncio.create_task(self._listen(process))
        try:
            if await self._loaded(process):
                self._started()
                self._up.set()
                if not first.done():
                    first.set_result(None)
                await process.wait()
            await listener
        finally:
            self._up.clear()
            await _stop(process)
            listener.cancel()

    async def _spawn(self, orders: Orders) -> asyncio.subprocess.Process:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "outcrop.engine.local.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl+C is the parent's to handle
        )
        assert process.stdin is not None  # noqa: S101 - asked for above
        process.stdin.write(msgspec.json.encode(orders) + b"\n")
        return process

    async def _loaded(self, process: asyncio.subprocess.Process) -> bool:
        """Whether the child came up; it answers 503 while it loads the model."""
        began = time.monotonic()
        while process.returncode is None:
            self._progress(time.monotonic() - began)
            try:
                async with asyncio.timeout(_STOP):
                    await self._link.call("/health")
            except (LinkLostError, RefusedError, TimeoutError):
                await asyncio.sleep(_POLL)
            else:
                return True
        return False

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101 - asked for in _spawn
        self._last_words.clear()
        while chunk := await process.stderr.read(4096):
            self._last_words.extend(chunk.decode(errors="replace").splitlines())

    def _why(self) -> str:
        return "\n".join(self._last_words) or "The engine's process ended without a word."

    def _unusable(self) -> OutcropError:
        code = self._process.returncode if self._process else None
        if "cannot open shared object file" in self._why():
            return OutcropError(
                f"llama.cpp can't be loaded:\n{self._why()}",
                "Install that library; libgomp.so.1 is in Debian's package libgomp1.",
            )
        return OutcropError(
            f"The local model {self._orders.model} could not be loaded (exit status {code}):\n{self._why()}",
            "Run `outcrop model pull` for the default model, or name another GGUF file with --model-file.",
        )


def _environment() -> dict[str, str] | None:
    """The child's environment; None is the parent's.

    xllamacpp's Linux wheels link to libgomp.so.1 and do not bring it, and small systems (Debian's minimal
    one, slim containers) have none. cmeel-libomp has LLVM's, which speaks GNU's interface, under the same
    name. The loader looks at LD_LIBRARY_PATH only when a process starts, so it is set for the child.
    """
    if sys.platform != "linux":
        return None
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        pass
    else:
        return None
    try:
        folder = importlib.metadata.distribution("cmeel-libomp").locate_file("cmeel.prefix/lib")
    except importlib.metadata.PackageNotFoundError:
        return None  # the child will say what is missing
    paths = [str(folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return dict(os.environ) | {"LD_LIBRARY_PATH": os.pathsep.join(paths)}


def _check_library() -> None:
    for package in ("xllamacpp", "jsonschema"):  # both are imported later: in the child, and for a schema
        if importlib.util.find_spec(package) is None:
            raise OutcropError(
                f"The local engine needs the package {package}.", 'Run: pip install "outcrop[local]"'
            )


def _fail(future: asyncio.Future[None], error: OutcropError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # looked at: it is no mistake when nobody waits any more


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Ends the child: kindly by ending its input, then by killing it."""
    assert process.stdin is not None  # noqa: S101 - asked for in _spawn
    process.stdin.close()
    try:
        async with asyncio.timeout(_STOP):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
