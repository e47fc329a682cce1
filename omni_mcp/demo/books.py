"""Read the ledger file with nothing but SQLite: a witness that does not depend on our own code."""

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

RUNS = """
    select number, attempts.run_id from attempts join tasks on tasks.n = attempts.task
    where tasks.id = ? order by number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the ledger file says, read without our own code."""

    integrity: str
    runs: Sequence[tuple[int, str]]
    """Number and run id of each attempt at the coding task."""
    costs: Sequence[float | None]
    """USD of each model call; None: unknown, it was cut off by the kill."""


@contextmanager
def _opened(ledger: Path) -> Generator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as db:
        yield db


def read_books(ledger: Path, task_id: str) -> Books:
    """Read what the file says of a task and of all costs."""
    with _opened(ledger) as db:
        [(integrity,)] = db.execute("pragma integrity_check").fetchall()
        runs = db.execute(RUNS, [task_id])
        costs = db.execute("select cost_usd from usage order by id")
        return Books(integrity=integrity, runs=runs.fetchall(), costs=[cost for (cost,) in costs])


def read_states(ledger: Path) -> Mapping[str, tuple[str, str | None]]:
    """Return the state of each task, and what there is to say about it, by id."""
    with _opened(ledger) as db:
        rows = db.execute("select id, state, text from tasks").fetchall()
        return {task_id: (state, text) for task_id, state, text in rows}
