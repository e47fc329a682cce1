"""The background engine as a process: start one if none is alive, see how it is, stop it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from omni_mcp.contract import OWNER_MARK, TASK_MARK
from omni_mcp.errors import EngineError
from omni_mcp.ledger.owners import holder, try_hold, wait_until_free
from omni_mcp.settings import Home
from omni_mcp.views import EngineView

START_LIMIT = 20.0
"""Seconds that a new engine has to take the engine lock."""
LOG_BYTES = 5 << 20
"""A log larger than this is begun anew when an engine starts; the old one is kept as `.1`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """An engine that this process has just started."""

    pid: int
    log: Path

    def __str__(self) -> str:
        return f"started in the background (pid {self.pid}, log {self.log})"


def engine_argv(home: Home) -> Sequence[str]:
    """Return the command line of the background engine."""
    return [sys.executable, "-m", "omni_mcp", "--home", str(home.root), "engine", "run"]


def ensure(home: Home) -> Started | None:
    """Start an engine unless one is alive or being started. Blocks until it holds its lock; call it in a thread.

    Raises EngineError when the new process ends or does not take the lock in time; its log says why.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    starting = try_hold(home.root / "engine.starting.lock")
    if starting is None:
        return None
    with starting:
        if holder(home.engine_lock) is not None:
            return None
        return _start(home)


def _start(home: Home) -> Started:
    log = _fresh_log(home.engine_log)
    with log.open("ab") as out:
        process = subprocess.Popen(
            engine_argv(home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=home.root,
            env={k: v for k, v in os.environ.items() if k not in (OWNER_MARK, TASK_MARK)},
            start_new_session=True,
        )
    deadline = time.monotonic() + START_LIMIT
    while holder(home.engine_lock) != process.pid:
        if process.poll() is not None or time.monotonic() > deadline:
            raise EngineError(
                f"the engine did not start (pid {process.pid}, exit code {process.returncode})",
                next_step=f"read the end of {log}: omni-mcp engine logs",
            )
        time.sleep(0.02)
    return Started(pid=process.pid, log=log)


def _fresh_log(log: Path) -> Path:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    return log


def view(home: Home) -> EngineView:
    """Say whether an engine holds the home's lock, and which."""
    pid = holder(home.engine_lock)
    return EngineView(running=pid is not None, pid=pid, home=str(home.root), log=str(home.engine_log))


def stop(home: Home, *, limit: float = 30.0) -> int | None:
    """Ask the engine to park its work and go; returns its pid, None without one. Raises EngineError at the limit."""
    pid = holder(home.engine_lock)
    if pid is None:
        return None
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not wait_until_free(home.engine_lock, limit=limit):
        raise EngineError(
            f"the engine (pid {pid}) is still parking its work after {limit:.0f} s",
            next_step="omni-mcp engine logs, then omni-mcp engine stop again",
        )
    return pid
