"""Whether a ledger is sound: the file, its references, and what the guarded writes promise. Reads only; blocks."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from omni_mcp.errors import LedgerError
from omni_mcp.ledger.migrations import newest_version
from omni_mcp.ledger.writer import understood

SHOWN = 5
"""Ids that one finding names."""

INVARIANTS = {
    "history with a gap": """
        select t.id from tasks t left join events e on e.task = t.n
        group by t.n having min(e.seq) is not 1 or count(*) <> max(e.seq)
    """,
    "history that ends in another state": """
        select t.id from tasks t where not exists (
            select 1 from events e where e.task = t.n and e.text like '%→ ' || t.state || '%'
                and e.seq = (select max(seq) from events where task = t.n and kind = 'state')
        )
    """,
    "over, but without a result": "select id from tasks where open = 0 and n not in (select task from results)",
    "with a result, but not over": "select id from tasks where open = 1 and n in (select task from results)",
    "waiting without a reason": "select id from tasks where state = 'waiting' and text is null",
    "waiting for tasks that are all over": """
        select id from tasks where waiting_for = 'dependency' and not exists (
            select 1 from dependencies d join tasks x on x.id = d.needs where d.task = tasks.n and x.open = 1
        )
    """,
    "at work, but nobody's": "select id from tasks where state in ('dispatching', 'executing') and owner is null",
    "nobody's work, but with an owner": """
        select t.id from tasks t
        where t.state not in ('dispatching', 'executing') and t.waiting_for is not 'input' and t.owner is not null
    """,
    "with attempts that are not counted": """
        select id from tasks where attempt <> (select count(*) from attempts where task = n)
    """,
    "with an attempt that nobody ends": """
        select distinct t.id from tasks t join attempts a on a.task = t.n
        where a.ended_at is null and (t.owner is null or a.number <> t.attempt)
    """,
    "waiting for an answer without a question, or with one and not waiting": """
        select id from tasks where (waiting_for is 'input') <> exists (
            select 1 from questions where task = n and answered_at is null and gone_at is null
        )
    """,
}
"""What must never be found, each with the statement that looks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Soundness:
    """What a check found."""

    version: int
    tasks: int
    problems: Sequence[str]


def check(path: Path) -> Soundness:
    """Check a ledger, also while it is in use. Raises LedgerError for what is no ledger at all."""
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}", next_step="submit a task, or name another --home")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return _checked(db)
    except sqlite3.Error as error:
        raise understood(error, path) from error


def _checked(db: sqlite3.Connection) -> Soundness:
    version: int = db.execute("pragma user_version").fetchone()[0]
    damage = [line for (line,) in db.execute("pragma integrity_check(10)") if line != "ok"]
    if damage:
        return Soundness(version=version, tasks=0, problems=[f"damaged: {line}" for line in damage])
    if not version:
        raise LedgerError("it is no ledger", next_step="name a file that omni-mcp backup wrote")
    lost = [f"{table}: row {row} belongs to nothing in {to}" for table, row, to, _ in _lost(db)]
    broken = list(_broken(db)) if version == newest_version() else []
    count: int = db.execute("select count(*) from tasks").fetchone()[0]
    return Soundness(version=version, tasks=count, problems=[*lost, *broken])


def _lost(db: sqlite3.Connection) -> list[tuple[str, int, str, int]]:
    return db.execute("pragma foreign_key_check").fetchmany(SHOWN)


def _broken(db: sqlite3.Connection) -> Iterator[str]:
    for name, statement in INVARIANTS.items():
        ids = [row[0] for row in db.execute(statement).fetchmany(SHOWN + 1)]
        if ids:
            more = ", …" if len(ids) > SHOWN else ""
            yield f"tasks {name}: {', '.join(ids[:SHOWN])}{more}"
