"""Fault points: before and after each durable write and each call of an executor, a process can be made to die.

They are wrappers around the ports, put around them by `engine_main` and `face_main`; the product knows nothing of them.
A point is armed by a file in the home, and fires once, whichever process comes first.
"""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omni_mcp.executors.executor import Executor
from omni_mcp.ledger.sqlite import SqliteLedger

ARMED = "armed"
FIRED = "fired"

ENGINE_VERBS = (
    *("announce", "retire", "begin", "bind", "checkpoint", "finish", "park", "release", "hold", "wake_due", "renew"),
    "report_health",
)
FACE_VERBS = ("submit", "request_cancel", "resume")
EXECUTOR_VERBS = ("run", "cancel")


def names(role: str, verbs: Sequence[str]) -> Sequence[str]:
    """Return the points of a role, in the order in which a task meets them."""
    return [f"{role} {when} {verb}" for verb in verbs for when in ("before", "after")]


ENGINE_POINTS = (*names("engine", ENGINE_VERBS), *names("executor", EXECUTOR_VERBS))
FACE_POINTS = names("face", FACE_VERBS)


class Points:
    """The points of one process."""

    def __init__(self, home: Path) -> None:
        self._armed = home / ARMED
        self._fired = home / FIRED

    def reach(self, name: str) -> None:
        """Die here, if this is the point that was armed and nobody else was quicker."""
        try:
            if self._armed.read_text() != name:
                return
            self._armed.rename(self._fired)
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def faulty_ledger(points: Points, role: str, verbs: Sequence[str]) -> type[SqliteLedger]:
    """Return the ledger with a point before and after each of these verbs."""
    wrapped = {verb: _around(points, f"{{}} {verb}", role, getattr(SqliteLedger, verb)) for verb in verbs}
    return type("FaultyLedger", (SqliteLedger,), wrapped)


def _around(points: Points, name: str, role: str, verb: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **named: Any) -> Any:
        points.reach(f"{role} {name.format('before')}")
        result = await verb(*args, **named)
        points.reach(f"{role} {name.format('after')}")
        return result

    return call


def faulty_executor(points: Points, executor: Executor) -> Executor:
    """Return an executor with a point before and after each call of it."""
    for verb in EXECUTOR_VERBS:
        setattr(executor, verb, _around(points, f"{{}} {verb}", "executor", getattr(executor, verb)))
    return executor
