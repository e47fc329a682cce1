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

from omni_mcp.errors import EngineError
from omni_mcp.home import Home, make_private
from omni_mcp.ledger.owners import UNNAMED, HeldLock, holder, try_hold, wait_until_free
from omni_mcp.processes import MARKS, is_stopped
from omni_mcp.views.engine import EngineView

START_LIMIT = 20.0
"""Seconds that a new engine has to take the engine lock."""
RIGHT = "OMNI_ENGINE_START"
"""Environment variable of a new engine: the descriptor of the right to start one."""
STEP = 0.02
"""Seconds between two looks for it."""
LOG_BYTES = 5 << 20
"""A log larger than this is begun anew when an engine starts; the old one is kept as `.1`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """An engine that this process has just started, and the right to start one until it has its lock."""

    process: "subprocess.Popen[bytes]"
    log: Path
    right: HeldLock

    def __str__(self) -> str:
        return f"started in the background (pid {self.process.pid}, log {self.log})"

    def wait(self, engine_lock: Path) -> None:
        """Block until it holds its lock. Raises EngineError when it ended, or took too long; its log says why."""
        deadline = time.monotonic() + START_LIMIT
        with self.right:
            while holder(engine_lock) != self.process.pid:
                if self.process.poll() is not None and holder(engine_lock) is not None:
                    return  # somebody else's engine was quicker
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise EngineError(
                        f"the engine did not start (pid {self.process.pid}, exit code {self.process.returncode})",
                        next_step=f"read the end of {self.log}: omni-mcp engine logs",
                    )
                time.sleep(STEP)
            self.right.hand_over()


def until_up(home: Home) -> None:
    """Block until an engine that has its lock has announced itself, too: from then on faces know what it reads."""
    wait_until_free(home.engine_start, limit=START_LIMIT)


def engine_argv(home: Home) -> Sequence[str]:
    """Return the command line of the background engine."""
    config = ["--config", str(home.config)] if home.config else []
    return [sys.executable, "-P", "-m", "omni_mcp", "--home", str(home.root), *config, "engine", "run"]


def start(home: Home, *, successor: bool = False) -> Starting | None:
    """Start an engine unless one is alive or being started; a `successor` waits for one that has said goodbye.

    Raises EngineError when the process cannot be started at all.
    """
    try:
        right = try_hold(home.engine_start)
        if right is None:
            return None
        if holder(home.engine_lock) is not None and not successor:
            right.close()
            return None
        log = _fresh_log(home.engine_log)
        return Starting(process=_spawned(home, log, right), log=log, right=right)
    except OSError as error:
        raise EngineError(
            f"the engine cannot be started: {error}", next_step=f"make {home.root} writable, or set OMNI_HOME elsewhere"
        ) from error


def _spawned(home: Home, log: Path, right: HeldLock) -> "subprocess.Popen[bytes]":
    """Start the process; it inherits the right, so that nobody starts a second one if we end before it is up."""
    inherits = os.name == "posix"
    env = {name: value for name, value in os.environ.items() if name not in MARKS}
    with log.open("ab") as out:
        return subprocess.Popen(
            engine_argv(home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=home.root,
            env={**env, RIGHT: str(right.fileno())} if inherits else env,
            pass_fds=[right.fileno()] if inherits else [],
            start_new_session=True,
        )


def _fresh_log(log: Path) -> Path:
    make_private(log.parent)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    log.touch(mode=0o600)
    return log


def view(home: Home) -> EngineView:
    """Say whether an engine holds the home's lock, and which."""
    pid = holder(home.engine_lock)
    return EngineView(
        running=pid is not None,
        pid=pid,
        home=str(home.root),
        log=str(home.engine_log),
        settings=str(home.servers),
    )


def paused(home: Home) -> str | None:
    """Say that the engine is paused, as by SIGSTOP, and how it goes on; None: there is none, or it is not."""
    pid = holder(home.engine_lock)
    if not pid or not is_stopped(pid):
        return None
    return f"the engine (pid {pid}) is paused: it holds its tasks and does nothing. To let it go on: kill -CONT {pid}"


def stop(home: Home, *, limit: float = 30.0) -> int | None:
    """Ask the engine to park its work and go; returns its pid, None without one. Raises EngineError at the limit."""
    pid = _pid(home)
    if pid is None:
        return None
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + limit
    while holder(home.engine_lock) == pid:  # not until it is free: a client may have started the next one
        if time.monotonic() > deadline:
            raise EngineError(
                f"the engine (pid {pid}) is still parking its work after {limit:.0f} s",
                next_step="omni-mcp engine logs, then omni-mcp engine stop again",
            )
        time.sleep(STEP)
    return pid


def _pid(home: Home) -> int | None:
    """Return the engine's pid; one that is just starting is waited for, so that it does not come up after a stop."""
    deadline = time.monotonic() + START_LIMIT
    while (pid := holder(home.engine_lock)) in (None, UNNAMED):
        if pid is None and holder(home.engine_start) is None:
            return None
        if time.monotonic() > deadline:
            raise EngineError("the engine is still starting", next_step="omni-mcp engine stop again in a moment")
        time.sleep(STEP)
    return pid


def is_up() -> None:
    """Give back the right to start an engine, which a new one inherits and keeps until it is up."""
    if (inherited := os.environ.pop(RIGHT, None)) is not None:
        os.close(int(inherited))
