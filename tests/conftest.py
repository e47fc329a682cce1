"""A test leaves nothing behind, and what it awaits never blocks: both are checked for every test."""

import os
import threading
import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from blockbuster import blockbuster_ctx

UNIT = Path(__file__).parent / "unit"
GRACE = 2.0
"""Seconds that a child or thread has to be gone after its test: it may be on its way out."""
MARK, RUN = "OMNI_TEST_RUN", uuid.uuid4().hex
"""In the environment of everything that this run starts, also of what has left its process tree (an engine)."""
LASTING = ("asyncio_", "AnyIO worker thread", "ThreadPoolExecutor", "pytest_timeout", "litellm", "Tqdm")
"""Beginnings of the names of threads that libraries keep for the next call."""


os.environ[MARK] = RUN


@pytest.fixture(autouse=True)
def no_residue() -> Iterator[None]:
    """Fail a test that leaves a process or a thread of ours."""
    processes, threads = _processes(), set(threading.enumerate())
    yield
    left = [*_processes_left(processes), *_threads_left(threads)]
    assert not left, f"left behind: {', '.join(left)}"


@pytest.fixture(autouse=True)
def no_blocking(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a unit test whose coroutines make a blocking call on the event loop."""
    if UNIT not in request.path.parents:
        yield
        return
    with blockbuster_ctx("omni_mcp"):
        yield


def _processes() -> set[psutil.Process]:
    me = psutil.Process()
    return {*me.children(recursive=True), *(each for each in psutil.process_iter() if each != me and _is_marked(each))}


def _is_marked(process: psutil.Process) -> bool:
    try:
        return process.environ().get(MARK) == RUN
    except psutil.Error:
        return False


def _processes_left(before: Collection[psutil.Process]) -> list[str]:
    _, alive = psutil.wait_procs(_processes() - set(before), timeout=GRACE)
    left = [_described(process) for process in alive]
    for process in alive:
        _kill(process)
    return left


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
