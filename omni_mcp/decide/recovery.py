"""What becomes of a task whose engine is gone. Pure; the engine has the proof that the old run is over."""

from collections.abc import Mapping

from omni_mcp.decide.retry import Park, Release
from omni_mcp.task import Completed, Failed, FailureClass, Outcome, Recovery, Task, TaskState, WaitingFor

UNHEARD = frozenset({FailureClass.INTERRUPTED, FailureClass.UNKNOWN})
"""Failures that do not say how a run ended."""
HARMLESS = frozenset({Recovery.ATTACH, Recovery.RESUME, Recovery.RETRY})


def after_death(task: Task, *, recovery: Recovery, cause: str) -> Release | Park:
    """Say what follows: what never left the house or may go on is free again, the rest waits for consent.

    What waits for an answer goes on waiting where a next run may have it; with the rest its question is over, too.
    """
    if task.state is TaskState.DISPATCHING:
        return Release(text=f"{cause} before it was sent to an executor")
    if recovery in HARMLESS:
        text = f"{cause}; attempt {task.attempt} on {task.served_by} goes on by {recovery}"
        return Release(text=text, keep_questions=True)
    text = (
        f"{cause} while {task.served_by} worked on it, so its outcome is unknown; "
        "resume_pending with this task_id runs it again"
    )
    return Park(waiting_for=WaitingFor.CONSENT, text=text)


def continues(task: Task, *, executor: str, recovery: Recovery) -> bool:
    """Say whether the next attempt goes on in the session of the last one."""
    same = task.run_id is not None and task.served_by == executor
    return same and recovery in (Recovery.ATTACH, Recovery.RESUME)


def is_heard(outcome: Outcome, *, recovery: Recovery) -> bool:
    """Say whether a run that lives elsewhere is known to be over, so that what follows is a new run."""
    if recovery is not Recovery.ATTACH:
        return False
    return isinstance(outcome, Completed) or not may_live(outcome)


def may_live(outcome: Failed) -> bool:
    """Say whether a run that lives elsewhere may go on after this end of its attempt."""
    return outcome.lives or outcome.kind in UNHEARD


def bound_to(task: Task, recoveries: Mapping[str, Recovery]) -> str | None:
    """Name the executor with which a run of the task may live: nobody else may begin one. `recoveries` by name."""
    if task.run_id is None or task.served_by is None:
        return None
    return task.served_by if recoveries.get(task.served_by) is Recovery.ATTACH else None
