"""Fail what nobody holds and whose deadline has come, with its whole story."""

from collections.abc import Sequence

from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.dependants import is_over
from omni_mcp.ledger.rows import moment
from omni_mcp.ledger.store import Connection, Row, Values
from omni_mcp.task import FailureClass, TaskState


def fail_overdue(db: Connection, values: Values) -> int:
    """Fail all idle and waiting tasks that are overdue, and those that wait for them.

    One whose run may live elsewhere is freed instead. Returns how many there were of both. `values`: `now`, `living`.
    """
    now = values["now"]
    rows = db.execute(sql.OVERDUE, values).fetchall()
    for row in rows:
        if row["lives"]:
            db.execute(sql.FREE_OVERDUE, {"n": row["n"], "now": now})
        elif _fail(db, row, now):
            is_over(db, row["id"], TaskState.FAILED, now)
    return len(rows)


def _fail(db: Connection, row: Row, now: int) -> bool:
    text = _story(db, row)
    if db.execute(sql.EXPIRE, {"n": row["n"], "now": now, "text": text}).fetchone() is None:
        return False  # it waited for another overdue one, and failed with that
    end = {"result": text, "structured": None, "notes": None, "error": FailureClass.DEADLINE}
    db.execute(sql.NEW_RESULT, {**end, "n": row["n"]})
    return True


def _story(db: Connection, row: Row) -> str:
    """Return what became of it until its deadline."""
    state = f"{row['state']} ({row['waiting_for']})" if row["waiting_for"] else row["state"]
    why = [row["text"]] if row["text"] else []
    tried = [f"attempt {a['number']} on {a['executor'] or 'nobody yet'}: {a['end']}" for a in _attempts(db, row)]
    when = moment(row["deadline"]).isoformat(timespec="seconds")
    told = f"its deadline {when} came while it was {state}"
    return "; ".join([told, *why, *(tried or ["never begun"])])


def _attempts(db: Connection, row: Row) -> Sequence[Row]:
    return db.execute(sql.ATTEMPTS, {"n": row["n"]}).fetchall()
