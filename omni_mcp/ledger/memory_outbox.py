"""What a memory server is owed: the statements, and their rows. `memories.py` has what the ledger keeps itself."""

from omni_mcp.ledger.base import OwedMemory
from omni_mcp.ledger.rows import maybe_moment, moment
from omni_mcp.ledger.statements import SEEN
from omni_mcp.ledger.store import Connection, Row, Values
from omni_mcp.task import Memory

_ADD = """
    insert into memory_outbox (task_id, principal, project, executor, at, asked, outcome, due_at)
    select t.id, t.principal, coalesce(p.cwd, ''), coalesce(t.served_by, ''), :now, :asked, :outcome, :now
    from tasks t join payloads p on p.task = t.n where t.id = :id
"""
TAKE = "delete from memory_outbox where n = :n returning *"
PUT_OFF = """
    update memory_outbox set tries = tries + 1, trouble = :trouble, due_at = coalesce(:due_at, due_at),
        given_up_at = case when :due_at is null then :now end
    where n = :n returning task_id
"""
NOTE_LOSS = """
    insert into events (task, seq, at, attempt, kind, text, data)
    select e.task, max(e.seq) + 1, :now, max(e.attempt), 'memory', :text, null
    from events e join tasks t on t.n = e.task where t.id = :id group by e.task
"""
DUE = "select * from memory_outbox where given_up_at is null order by due_at, n limit 1"
ALL = f"select m.* from memory_outbox m where {SEEN.format('m.')} order by m.n desc limit :limit"
OF = """
    select * from memory_outbox where given_up_at is null and principal = :principal and project = :project
    order by n desc limit :limit
"""


def add(db: Connection, values: Values) -> None:
    """Write what a task left, for a memory server to take."""
    db.execute(_ADD, values)


def put_off(db: Connection, values: Values) -> None:
    """Note that it was not taken; one that is given up is told of in the history of its task, if that is still kept."""
    row = db.execute(PUT_OFF, values).fetchone()
    if row is not None and values["due_at"] is None:
        text = f"what it left is not in the memory server, and not tried again: {values['trouble']}"
        db.execute(NOTE_LOSS, {"id": row["task_id"], "now": values["now"], "text": text})


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
