"""What follows for other tasks when one is over: in the same transaction, so that nobody ever sees it half done."""

from collections.abc import Mapping

from omni_mcp.errors import BadRequest, TaskAmbiguous, TaskNotFound
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.store import Connection
from omni_mcp.task import ID_PREFIX, TERMINAL, FailureClass, TaskState

MOST = 100
"""Tasks that one may be told to run after."""


def needed(db: Connection, after: tuple[str, ...], principal: str) -> dict[str, TaskState]:
    """Return the tasks that are meant, and where they stand. Raises TaskNotFound, TaskAmbiguous, BadRequest."""
    if len(after) > MOST:
        raise BadRequest(
            f"after names {len(after)} tasks, the limit is {MOST}",
            next_step="call submit_task again with the last ones only",
        )
    return dict(_named(db, said, principal) for said in after)


def _named(db: Connection, said: str, principal: str) -> tuple[str, TaskState]:
    low, high = id_range(said)
    rows = db.execute(sql.FIND, {"low": low, "high": high, "principal": principal}).fetchall()
    task_id = the_one(said, [row["id"] for row in rows])
    return task_id, TaskState(db.execute("select state from tasks where id = :id", {"id": task_id}).fetchone()["state"])


def id_range(said: str) -> tuple[str, str]:
    """Return between which ids those lie that begin as was said. Raises TaskNotFound for what begins none."""
    wanted = said.strip().lower()
    if len(wanted) < ID_PREFIX or not wanted.isascii():
        raise TaskNotFound(said)
    return wanted, wanted + "~"


def the_one(said: str, ids: list[str]) -> str:
    """Return the id that is meant. Raises TaskNotFound and TaskAmbiguous."""
    if not ids:
        raise TaskNotFound(said)
    if len(ids) > 1 and said.strip().lower() not in ids:
        raise TaskAmbiguous(said, ids)
    return ids[0]


def failed_one(needs: Mapping[str, TaskState]) -> str | None:
    """Return a needed task that can never complete."""
    return next((task_id for task_id, state in needs.items() if state in TERMINAL - {TaskState.COMPLETED}), None)


def is_over(db: Connection, task_id: str, state: TaskState, now: int) -> None:
    """Let go who waited for this task; unless it completed, fail them, and who waited for those."""
    if state is TaskState.COMPLETED:
        db.execute(sql.FREE_DEPENDANTS, {"needs": task_id, "now": now})
        return
    over = [(task_id, str(state))]
    while over:
        needs, how = over.pop()
        over += [(failed, "failed") for failed in _fail(db, needs, how, now)]


def _fail(db: Connection, needs: str, how: str, now: int) -> list[str]:
    text = f"dependency_failed: task {needs}, which it was to run after, is {how}"
    failed = db.execute(sql.FAIL_DEPENDANTS, {"needs": needs, "now": now, "text": text}).fetchall()
    end = {"result": text, "structured": None, "notes": None, "error": FailureClass.DEPENDENCY}
    db.executemany(sql.NEW_RESULT, [{**end, "n": row["n"]} for row in failed])
    return [row["id"] for row in failed]
