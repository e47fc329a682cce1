"""An engine that is killed goes on in its spare; one that ends by itself leaves none."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from omni_mcp import background, spare
from tests.integration.executors import lives
from tests.integration.house import call, ended, house, until

BODY = """
import os, sys, time
from omni_mcp import spare
spare.TOO_SOON = float(sys.argv[1])
with spare.spared(lambda: None):
    print(os.getpid(), flush=True)
    sys.stdin.readline()
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a spare is a fork without an exec: Linux only")


@contextmanager
def spared(too_soon: float) -> Generator[subprocess.Popen[str]]:
    """Run a body with a spare; each that runs it prints its pid and waits for a line."""
    argv = [sys.executable, "-c", BODY, str(too_soon)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line of a body; empty when all who could run it are gone."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@LINUX
def test_each_kill_is_followed_by_a_spare_until_one_ends_by_itself() -> None:
    with spared(0) as process:
        pids = [said(process)]
        for _ in range(3):
            os.kill(int(pids[-1]), signal.SIGKILL)
            pids.append(said(process))
        assert len(set(pids)) == 4
        assert process.stdin is not None
        process.stdin.write("end\n")
        process.stdin.flush()
        assert said(process) == ""


@LINUX
def test_who_dies_at_its_start_is_not_replaced_for_ever() -> None:
    with spared(60) as process:
        os.kill(int(said(process)), signal.SIGKILL)
        assert said(process) == ""


@LINUX
async def test_a_killed_engine_goes_on_without_any_face(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        word = tmp_path / "word"
        here.configure(executors={"slow": here.workshop("until", argument="path", recovery="retry")})
        async with here.client() as client:
            task = await call(client, "submit_task", description=str(word), type="until")
            await until(here.logged)
        old = await here.engine_pid()
        seen = time.monotonic()
        await until(lambda: time.monotonic() - seen > spare.TOO_SOON)  # who dies at once is not replaced
        os.kill(old, signal.SIGKILL)
        await until(lambda: len(here.logged()) == 2)
        assert background.view(here.home).pid not in (old, None)
        word.touch()
        async with here.client() as client:
            done = await ended(client, task["task_id"])
            assert (done["state"], done["attempt"]) == ("completed", 2)


async def test_an_engine_that_is_stopped_leaves_no_spare(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            task = await call(client, "submit_task", description="x", type="echo")
            await ended(client, task["task_id"])
            engine = psutil.Process(await here.engine_pid())
            family = [engine.pid, *(child.pid for child in engine.children(recursive=True))]
            await here.cli("engine", "stop")
            await until(lambda: not any(lives(pid) for pid in family))
