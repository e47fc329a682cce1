"""What the executors themselves say that they did: append-only logs that know nothing of the ledger.

Whoever works on a task holds a lock of the kernel on it: a second one that finds it held writes `overlap`, which is
the proof of two live runs that no timing can blur. What a session or the cloud has finished stands in one line of a
file of its own, which is its memory and our proof at once: a kill cannot part the two.
"""

import fcntl
import json
import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOME = "CHAOS_HOME"
"""Environment variable of every process of a chaos home: where it is, and that it is of it."""
LOG = "work.log"
SESSIONS, CLOUD, RUNS = "sessions", "cloud", "runs"
"""Folders of the memories of sessions and of the cloud, and of the locks."""


def home() -> Path:
    """Return the home of this process."""
    return Path(os.environ[HOME])


def note(kind: str, file: str = LOG, **what: Any) -> None:
    """Write one line, whole or not at all."""
    line = json.dumps({"kind": kind, "at": time.time(), "pid": os.getpid(), **what}) + "\n"
    fd = os.open(home() / file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def read(path: Path) -> Sequence[Mapping[str, Any]]:
    """Return the lines of a journal."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def alone(task: str, **who: Any) -> Generator[None]:
    """Work on a task; tell when it begins and ends, and when somebody else is still at it."""
    fd = os.open(home() / RUNS / task, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("overlap", task=task, **who)
        note("start", task=task, **who)
        yield
        note("end", task=task, **who)
    finally:
        os.close(fd)
