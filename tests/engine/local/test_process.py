"""The child's life, and what the parent does not load."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outcrop.engine.local import LocalEngine
from outcrop.engine.local.process import Child, default_threads
from outcrop.errors import ModelNotReadyException, OutcropError
from suites.engine import question, whole


def test_the_parent_imports_neither_llama_cpp_nor_jsonschema():
    heavy = {"xllamacpp", "jsonschema", "referencing"}
    code = f"import sys, outcrop.engine.local; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_default_threads_are_few():
    assert 1 <= default_threads() <= 8


def test_the_key_is_neither_an_argument_nor_in_the_environment(model):
    async def life():
        seconds = []
        child = Child(model, context=256, parallel=1, threads=1, progress=seconds.append)
        try:
            link = await child.ready()
            folder = Path(link.socket).parent
            assert folder.stat().st_mode & 0o777 == 0o700
            assert not shown(child.pid, link.key)
            assert seconds
            assert seconds == sorted(seconds)
        finally:
            await child.close()
        assert not folder.exists()

    asyncio.run(life())


def shown(pid: int, secret: str) -> bool:
    """Whether the process shows a secret to others; where there is no /proc, nobody can look."""
    proc = Path(f"/proc/{pid}")
    return proc.exists() and any(
        secret.encode() in (proc / name).read_bytes() for name in ("cmdline", "environ")
    )


def test_the_child_ends_with_its_parent(model):
    code = """if True:
        import asyncio, sys
        from pathlib import Path
        from outcrop.engine.local import LocalEngine
        async def main():
            engine = LocalEngine(Path(sys.argv[1]), context=256)
            await engine.start()
            print(engine.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """
    command = [sys.executable, "-c", code, str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
        parent.wait()
    assert gone_within(pid, 2)


def gone_within(pid: int, seconds: float) -> bool:
    """Whether the process, which is nobody's child any more, ends in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_closing_while_it_loads_ends_the_child_and_whoever_waits_is_told(model):
    async def life():
        child = Child(model, context=256, parallel=1, threads=1)
        waiting = asyncio.create_task(child.start())
        while child.pid is None:  # noqa: ASYNC110 - the process has no event of its own
            await asyncio.sleep(0.001)
        pid = child.pid
        await child.close()
        with pytest.raises(OutcropError, match="closed while it started"):
            await waiting
        assert gone_within(pid, 1)

    asyncio.run(life())


def test_a_child_that_can_not_come_up_again_is_tried_until_it_can(model, tmp_path, monkeypatch):
    monkeypatch.setattr("outcrop.engine.local.process.BACKOFF", (0.0, 0.05))
    path = tmp_path / "model.gguf"
    path.symlink_to(model)

    async def life():
        child = Child(path, context=256, parallel=1, threads=1)
        try:
            first = await child.ready()
            path.unlink()
            child.give_up(first)
            with pytest.raises(ModelNotReadyException) as caught:
                await child.ready(patience=0.5)
            assert caught.value.reason
            path.symlink_to(model)
            assert await child.ready() != first
        finally:
            await child.close()

    asyncio.run(life())


def test_a_closed_engine_can_be_started_again(model):
    async def life():
        engine = LocalEngine(model, context=256)
        await engine.start()
        await engine.close()
        assert json.dumps((await whole(engine, max_tokens=2))["content"])
        await engine.close()

    asyncio.run(life())


def test_without_xllamacpp_the_install_line_is_told(model, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    async def life():
        engine = LocalEngine(model)
        with pytest.raises(OutcropError, match=r'pip install "outcrop\[local\]"'):
            await engine.answer(question())
        await engine.close()

    asyncio.run(life())
