"""Carry out what was decided about a task that this engine holds: one decision, one guarded write."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import anyio

from omni_mcp.decide.retry import Finish, Park, Release
from omni_mcp.errors import LedgerBusy, LedgerUnusable
from omni_mcp.ledger.base import Ledger, Remembered
from omni_mcp.task import Recovery, Task

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

LONGEST_PAUSE = 5.0
"""Seconds between two tries at a write that the disk refuses."""


async def until_written(write: Callable[[], Awaitable[_T]]) -> _T:
    """Repeat a write until the ledger takes it: a full disk or a busy gate must not have its cause done again."""
    pause = 0.1
    while True:
        try:
            return await write()
        except (LedgerBusy, LedgerUnusable) as error:
            logger.warning("not written yet: %s", error, extra={"action": "write_again"})
        await anyio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def settle(
    ledger: Ledger,
    task: Task,
    following: Finish | Park | Release,
    *,
    recovery: Recovery,
    over: bool = False,
    memory: Remembered | None = None,
) -> None:
    """Write the decision; a task that is let go although somebody wants it cancelled is cancelled.

    `over`: a run that lived elsewhere is known to have ended, so nobody asks for it again; else it is told to stop.
    `memory`: what it leaves for the tasks after it, if it is finished.
    Raises TransitionRefused when the task's attempt and owner hold it no more.
    """
    if await _written(ledger, task, following, over, memory) is None:
        return
    lives = recovery is Recovery.ATTACH and not over
    await ledger.request_cancel(task.id, reason="asked for while it ran", lives=lives)


async def _written(
    ledger: Ledger, task: Task, following: Finish | Park | Release, over: bool, memory: Remembered | None
) -> datetime | None:
    """Write it; returns when the cancel of a task was asked for that is not over by it."""
    owner = task.owner or ""
    match following:
        case Finish(state=state, outcome=outcome):
            await ledger.finish(task.id, attempt=task.attempt, owner=owner, state=state, outcome=outcome, memory=memory)
            return None
        case Park():
            return await ledger.park(
                task.id,
                attempt=task.attempt,
                owner=owner,
                waiting_for=following.waiting_for,
                text=following.text,
                due_at=following.due_at,
                fault=following.fault,
                over=over,
            )
        case Release(text=text, keep_questions=keep):
            return await ledger.release(
                task.id, attempt=task.attempt, owner=owner, text=text, over=over, keep_questions=keep
            )
