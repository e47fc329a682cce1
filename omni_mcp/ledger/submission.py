"""What a submit writes, in one transaction: the task, its payload, its key, and what it runs after."""

from omni_mcp.errors import BadRequest, IdempotencyConflict, TaskNotFound, TaskPurged
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.dependants import failed_one, is_over, needed
from omni_mcp.ledger.rows import moment, new_row
from omni_mcp.ledger.store import Connection, Row, Values
from omni_mcp.task import TaskState, WaitingFor


def submit(db: Connection, values: Values, after: tuple[str, ...]) -> tuple[Row, bool, Row | None]:
    """Insert the task, or find the one of its key; and see in the same transaction which engine is there."""
    known = _known(db, values)
    row = _insert_after(db, values, after) if known is None else the_task(db, known)
    return row, known is not None, db.execute(sql.ENGINE).fetchone()


def _known(db: Connection, values: Values) -> str | None:
    if values["key"] is None:
        return None
    row = db.execute(sql.KNOWN_KEY, values).fetchone()
    if row is None:
        return None
    if row["fingerprint"] != values["fingerprint"]:
        raise IdempotencyConflict(values["key"], row["task_id"])
    if row["purged"] is not None:
        raise TaskPurged(values["key"], row["task_id"], row["purged"])
    return row["task_id"]


def _insert_after(db: Connection, values: Values, after: tuple[str, ...]) -> Row:
    """Insert a task that runs after others; one whose others can never complete is failed at once."""
    _refuse_past(values)
    needs = needed(db, after, values["principal"])
    if all(state is TaskState.COMPLETED for state in needs.values()):
        return _insert(db, {**values, "state": TaskState.IDLE, "waiting_for": None, "text": None})
    text = f"runs after {', '.join(needs)}"
    row = _insert(db, {**values, "state": TaskState.WAITING, "waiting_for": WaitingFor.DEPENDENCY, "text": text})
    db.executemany(sql.NEW_NEED, [{"n": row["n"], "needs": task_id} for task_id in needs])
    if (failed := failed_one(needs)) is None:
        return row
    is_over(db, failed, needs[failed], values["now"])
    return the_task(db, values["id"])


def _refuse_past(values: Values) -> None:
    """Refuse a deadline that has passed, here and not earlier: a repeat with a known key is no new task."""
    if values["deadline"] is not None and values["deadline"] <= values["now"]:
        raise BadRequest(
            f"deadline {moment(values['deadline']).isoformat()} has passed already",
            next_step='call submit_task again with deadline "2h", or another later one',
        )


def _insert(db: Connection, values: Values) -> Row:
    """Insert a task; returns its row as it will be read."""
    n = db.execute(sql.NEW_TASK, values).fetchone()["n"]
    db.execute(sql.NEW_PAYLOAD, {**values, "n": n})
    if values["key"] is not None:
        db.execute(sql.NEW_KEY, values)
    return new_row(values, n)


def the_task(db: Connection, task_id: str) -> Row:
    """Return the row of a task. Raises TaskNotFound."""
    row = db.execute(sql.TASK, {"id": task_id}).fetchone()
    if row is None:
        raise TaskNotFound(task_id)
    return row
