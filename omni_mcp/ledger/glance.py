"""A look at the tasks for a shell that completes a line: read-only, at once or not at all."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 0.2
"""Seconds that a look may wait for others."""
TASKS = "select id, state, title from tasks where open = 1 or not :only_open order by open desc, n desc limit :limit"


@dataclass(frozen=True, slots=True)
class Glimpse:
    """A task in a line."""

    task_id: str
    state: str
    title: str


def glance(ledger: Path, *, only_open: bool, limit: int) -> Sequence[Glimpse]:
    """Return the open tasks, newest first, then unless `only_open` those that are over. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)) as db:
        return [Glimpse(*row) for row in db.execute(TASKS, {"only_open": only_open, "limit": limit})]
