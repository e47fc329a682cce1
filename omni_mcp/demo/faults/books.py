"""What the ledger file says of an outage, read with nothing but SQLite: a witness of its own."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MICROSECONDS = 1e6

TASKS = """
    select id, description, state, waiting_for, faults, attempt,
        (select sum(cost_usd) from usage where usage.task = tasks.n) cost,
        (select count(*) from usage where usage.task = tasks.n) calls
    from tasks join payloads on payloads.task = tasks.n order by tasks.n
"""
ATTEMPTS = """
    select id, number, attempts.endpoint, attempts.run_id, attempts.began_at, attempts.ended_at
    from attempts join tasks on tasks.n = attempts.task order by attempts.began_at
"""
STATES = """
    select id, events.at, events.attempt, events.text from events join tasks on tasks.n = events.task
    where kind = 'state'
        and (events.text like '%→ completed%' or events.text like '%→ failed%' or events.text like '%(cloud)%')
    order by events.at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of mode."""

    at: float
    was: str
    mode: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the file says. Times are seconds since 1970."""

    integrity: str
    tasks: Mapping[str, Mapping[str, Any]]
    attempts: Sequence[Mapping[str, Any]]
    states: Sequence[Mapping[str, Any]]
    """The moves that tell of a task: completed, failed, waits for a cloud."""
    changes: Sequence[Change]
    notices: Sequence[str]
    """The modes that were told of, in order."""
    costs: Sequence[float | None]
    """USD of each model call; None: it failed."""

    def endpoint(self, task_id: str, attempt: int) -> str | None:
        """Return where the calls of an attempt were bound to go."""
        found = (row for row in self.attempts if (row["id"], row["number"]) == (task_id, attempt))
        return next((row["endpoint"] for row in found), None)

    def mode_at(self, at: float) -> str:
        """Return the mode that held then."""
        return next((change.mode for change in reversed(self.changes) if change.at <= at), "normal")

    def spans(self, mode: str) -> Iterator[tuple[float, float]]:
        """Yield from when to when a mode held, as far as it has ended."""
        for begin, end in zip(self.changes, self.changes[1:], strict=False):
            if begin.mode == mode:
                yield begin.at, end.at


def read_books(ledger: Path) -> Books:
    """Read it all."""
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        [(integrity,)] = db.execute("pragma integrity_check").fetchall()
        notices = db.execute("select text from notices where kind = 'mode' order by n").fetchall()
        return Books(
            integrity=integrity,
            tasks={row["id"]: dict(row) for row in db.execute(TASKS)},
            attempts=[_timed(row) for row in db.execute(ATTEMPTS)],
            states=[_timed(row) for row in db.execute(STATES)],
            changes=[Change(**_timed(row)) for row in db.execute("select at, was, mode, cause from mode_changes")],
            notices=[text.split()[1].rstrip(":") for (text,) in notices],
            costs=[cost for (cost,) in db.execute("select cost_usd from usage order by id")],
        )


def _timed(row: sqlite3.Row) -> dict[str, Any]:
    return {key: row[key] / MICROSECONDS if key.endswith("at") and row[key] else row[key] for key in row.keys()}  # noqa: SIM118
