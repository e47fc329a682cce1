"""What a memory server is owed: how it is written and read. `memories.py` has what the ledger keeps itself."""

from omni_mcp.ledger import memory_statements as sql
from omni_mcp.ledger.base import OwedMemory
from omni_mcp.ledger.rows import maybe_moment, moment
from omni_mcp.ledger.store import Connection, Row, Values
from omni_mcp.task import Memory


def add(db: Connection, values: Values) -> None:
    """Write what a task left, for a memory server to take."""
    db.execute(sql.ADD, values)


def put_off(db: Connection, values: Values) -> None:
    """Note that it was not taken; one that is given up is told of in the history of its task, if that is still kept."""
    row = db.execute(sql.PUT_OFF, values).fetchone()
    if row is not None and values["due_at"] is None:
        text = f"what it left is not in the memory server, and not tried again: {values['trouble']}"
        db.execute(sql.NOTE_LOSS, {"id": row["task_id"], "now": values["now"], "text": text})


def an_owed_memory(row: Row) -> OwedMemory:
    """Return what a memory server is owed."""
    return OwedMemory(
        number=row["n"],
        memory=the_memory(row),
        due_at=moment(row["due_at"]),
        tries=row["tries"],
        trouble=row["trouble"],
        given_up_at=maybe_moment(row["given_up_at"]),
    )


def the_memory(row: Row) -> Memory:
    """Return what a task left."""
    return Memory(
        task_id=row["task_id"],
        principal=row["principal"],
        project=row["project"] or None,
        executor=row["executor"],
        at=moment(row["at"]),
        asked=row["asked"],
        outcome=row["outcome"],
    )
