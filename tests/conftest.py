"""A test leaves nothing behind, and what it awaits never blocks: both are checked for every test."""

import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from blockbuster import blockbuster_ctx

from tests.small_disk import a_small_disk

__all__ = ["a_small_disk"]

UNIT = Path(__file__).parent / "unit"
GRACE = 10.0
"""Seconds that a child or thread has to be gone after its test: it may be on its way out."""
LASTING = ("asyncio_", "AnyIO worker thread", "ThreadPoolExecutor", "pytest_timeout", "litellm", "Tqdm")
"""Beginnings of the names of threads that libraries keep for the next call."""


@pytest.fixture(autouse=True)
def no_residue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail a test that leaves a process or a thread of ours."""
    folder = str(tmp_path_factory.getbasetemp())
    before, threads = set(psutil.pids()), set(threading.enumerate())
    yield
    left = [*_processes_left(folder, before), *_threads_left(threads)]
    assert not left, f"left behind: {', '.join(left)}"


@pytest.fixture(autouse=True)
def no_blocking(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a unit test whose coroutines make a blocking call on the event loop."""
    if UNIT not in request.path.parents:
        yield
        return
    with blockbuster_ctx("omni_mcp"):
        yield


def _processes_left(folder: str, before: Collection[int]) -> list[str]:
    """End what is ours and new. To look into all that runs would cost more than most tests do."""
    ours = [process for process in _since(before) if _is_ours(folder, process)]
    _, alive = psutil.wait_procs(ours, timeout=GRACE)
    left = [_described(process) for process in alive]
    for process in alive:
        _kill(process)
    return left


def _since(before: Collection[int]) -> Iterator[psutil.Process]:
    for pid in psutil.pids():
        if pid not in before:
            with suppress(psutil.NoSuchProcess):
                yield psutil.Process(pid)


def _is_ours(folder: str, process: psutil.Process) -> bool:
    """Say if it is a child of ours, or has left our process tree (an engine) but lives in a home of this run."""
    try:
        lives_here = any(folder in value for value in process.environ().values())
    except psutil.Error:
        lives_here = False
    return lives_here or _is_below_us(process)


def _is_below_us(process: psutil.Process) -> bool:
    try:
        return psutil.Process() in process.parents()
    except psutil.Error:
        return False


def _described(process: psutil.Process) -> str:
    try:
        return f"process {process.pid} ({' '.join(process.cmdline())})"
    except psutil.NoSuchProcess:
        return f"process {process.pid}"


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()


def _threads_left(before: Collection[threading.Thread]) -> list[str]:
    new = [each for each in threading.enumerate() if each not in before and not each.name.startswith(LASTING)]
    for each in new:
        each.join(GRACE)
    return [f"thread {each.name}" for each in new if each.is_alive()]
