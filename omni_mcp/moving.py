"""Move a ledger from its file into PostgreSQL: whole or not at all, and nobody goes on with the old one.

What an engine held when it stopped stays as it is, so the next engine does with it what it does after any restart.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from omni_mcp import archive
from omni_mcp.errors import BadRequest, EngineRunning, LedgerError
from omni_mcp.home import Home
from omni_mcp.ledger.gate import WriteGate
from omni_mcp.ledger.migrations import migrate, signpost
from omni_mcp.ledger.opened import expanded
from omni_mcp.ledger.owners import HeldLock, holder, try_hold
from omni_mcp.ledger.postgres import schema
from omni_mcp.ledger.postgres.connection import connected
from omni_mcp.ledger.postgres.place import Place
from omni_mcp.ledger.postgres.statements import (
    ANY_TASK,
    COPY,
    COUNT,
    COUNT_ON,
    GATE,
    LOUD,
    NEW_WORDS,
    PLACED,
    QUIET,
    WITHOUT_LIMIT,
)
from omni_mcp.ledger.postgres.troubles import understood
from omni_mcp.ledger.writer import understood as understood_of_file
from omni_mcp.settings import known_variables
from omni_mcp.this_machine import label
from omni_mcp.views import CopyView

TABLES = (
    *("tasks", "payloads", "results", "checkpoints", "attempts", "events", "idempotency", "usage", "modes"),
    *("mode_changes", "notices", "dependencies", "turns", "deliveries", "questions", "schedules", "memories"),
    "memory_outbox",
)
"""In the order in which they hang on each other. Engines and what they saw of executors are of the engine that was."""
COUNTED = {
    **dict.fromkeys(("tasks", "mode_changes", "notices", "deliveries", "memories", "memory_outbox"), "n"),
    "usage": "id",
}
"""Tables whose rows are numbered, and the number."""
TRUTHS = frozenset({"consented", "for_people"})
"""Columns that are true or false."""


def move(home: Home, to: str) -> CopyView:
    """Copy all of a home's ledger into an empty database, check it, and mark the file. Raises OmniError.

    No engine may run, and no face writes meanwhile: who tries waits, and is then told that the file was replaced.
    """
    place = Place(expanded(home, to))
    if not home.ledger.is_file():
        raise BadRequest(f"there is no ledger at {home.ledger}", next_step="set OMNI_LEDGER: there is nothing to move")
    with ExitStack() as held:
        for path in (home.engine_start, home.engine_lock):
            held.enter_context(_held(path))
        gate = held.enter_context(closing(WriteGate(home.ledger.with_suffix(".gate"))))
        held.enter_context(gate.held())
        try:
            tasks = _moved(home, place)
        except psycopg.Error as error:
            raise understood(error, place) from None  # what libpq said may repeat the password
        except sqlite3.Error as error:
            raise understood_of_file(error, home.ledger) from error
        post = home.ledger.with_name(f"{home.ledger.name}.moved")
        signpost(post, str(place))
        kept = archive.replace(home.ledger, post)
    told = f"the file is kept as {kept} and used no more; put OMNI_LEDGER={to} into {home.dotenv}"
    return CopyView(path=str(place), tasks=tasks, text=told)


def _moved(home: Home, place: Place) -> int:
    with closing(sqlite3.connect(home.ledger, isolation_level=None)) as source:
        migrate(source)
        with connected(place, writes=True) as target:
            return _copied(source, target, label(known_variables(home)))


def _held(path: Path) -> HeldLock:
    held = try_hold(path)
    if held is None:
        raise EngineRunning(holder(path))
    return held


def _copied(source: sqlite3.Connection, target: psycopg.Connection[Any], here: str) -> int:
    """Copy all tables in one transaction; returns how many tasks there are."""
    schema.migrate(target)
    target.execute(WITHOUT_LIMIT)
    with target.transaction():
        target.execute(GATE)
        if target.execute(ANY_TASK).fetchone() is not None:
            raise BadRequest("there are tasks in that database", next_step="name an empty database, or another schema")
        target.execute(QUIET)
        for table in TABLES:
            _copy(source, target, table)
        words = source.execute("select rowid, words from memory_words")
        with target.cursor() as cursor:
            cursor.executemany(NEW_WORDS, words)
        for table, number in COUNTED.items():
            _count_on(target, table, number)
        target.execute(PLACED, {"here": here})
        target.execute(LOUD)
        _compare(source, target)
    target.execute("analyze")
    return _count(source, "tasks")


def _copy(source: sqlite3.Connection, target: psycopg.Connection[Any], table: str) -> None:
    columns = [row["name"] for row in source.execute(f"pragma table_info({table})")]
    rows = source.execute(f"select {', '.join(map(_quoted, columns))} from {table}")
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    into = sql.SQL(COPY).format(sql.Identifier(table), names)
    with target.cursor() as cursor, cursor.copy(into) as copy:
        for row in rows:
            copy.write_row(list(_values(columns, row)))


def _values(columns: Sequence[str], row: Sequence[Any]) -> Iterator[Any]:
    for column, value in zip(columns, row, strict=True):
        if isinstance(value, str):
            yield value.replace("\0", "\N{SYMBOL FOR NULL}")
        else:
            yield bool(value) if column in TRUTHS else value


def _count_on(target: psycopg.Connection[Any], table: str, number: str) -> None:
    """Let the next row be numbered after the last one."""
    target.execute(
        sql.SQL(COUNT_ON).format(sql.Literal(table), sql.Literal(number), sql.Identifier(number), sql.Identifier(table))
    )


def _compare(source: sqlite3.Connection, target: psycopg.Connection[Any]) -> None:
    """Refuse a copy that is not whole; the transaction is undone then."""
    for table in (*TABLES, "memory_words"):
        counting = sql.SQL(COUNT).format(sql.Identifier(table))
        there = (target.execute(counting).fetchone() or {})["n"]
        if (here := _count(source, table)) != there:
            raise LedgerError(f"of {here} rows of {table} {there} arrived; nothing was moved", next_step="call again")


def _count(source: sqlite3.Connection, table: str) -> int:
    return source.execute(f"select count(*) from {table}").fetchone()[0]


def _quoted(column: str) -> str:
    return f'"{column}"'
