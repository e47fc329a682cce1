"""What a schedule writes, in one transaction: how far it is decided, and the task of the due time."""

import json

from omni_mcp.errors import IdempotencyConflict, ScheduleRunning, TaskPurged
from omni_mcp.ledger import schedule_statements as sql
from omni_mcp.ledger import statements
from omni_mcp.ledger.base import ScheduleMark
from omni_mcp.ledger.rows import maybe_moment, moment
from omni_mcp.ledger.store import Connection, Row, Values
from omni_mcp.ledger.submission import submit
from omni_mcp.task import TaskState


def a_schedule(row: Row) -> ScheduleMark:
    """Return how far a schedule is decided."""
    return ScheduleMark(
        name=row["name"],
        plan=row["plan"],
        seen_until=moment(row["seen_until"]),
        queued=tuple(map(moment, json.loads(row["queued"]))),
        paused_at=maybe_moment(row["paused_at"]),
        task_id=row["task_id"],
        task_state=None if row["task_state"] is None else TaskState(row["task_state"]),
        running=bool(row["running"]),
        due_at=maybe_moment(row["due_at"]),
        said=row["said"],
        said_at=maybe_moment(row["said_at"]),
    )


def advance(db: Connection, values: Values, task: Values | None) -> Row | None:
    """Move a schedule on from where it was seen, and write the task of a due time with it.

    None: somebody else has moved it, its last run is not over, or the due time has its task already.
    """
    if db.execute(sql.ADVANCE, values).fetchone() is None or task is None:
        return None
    try:
        row, known, _engine = submit(db, task, ())
    except (IdempotencyConflict, TaskPurged):  # the clock or the row of servers.yaml was set back: it had its run
        return None
    db.execute(sql.RUNS, {**values, "id": row["id"]})
    return None if known else row


def run_by_hand(db: Connection, values: Values, task: Values) -> tuple[Row, bool, Row | None]:
    """Write a task of a schedule that is wanted now. Raises ScheduleRunning while its last run is not over."""
    db.execute(sql.PLAN, values)
    if db.execute(sql.RUNS_BY_HAND, values).fetchone() is None:
        raise ScheduleRunning(values["name"], db.execute(sql.SCHEDULE, values).fetchone()["task_id"])
    return submit(db, task, ())


def pause(db: Connection, values: Values, *, paused: bool) -> Row | None:
    """Pause a schedule, or let it go on from now; returns the engine that is there."""
    db.execute(sql.PLAN, values)
    db.execute(sql.PAUSE if paused else sql.UNPAUSE, values)
    return db.execute(statements.ENGINE).fetchone()
