"""Copy all of a ledger in a file into an empty one on PostgreSQL: in one transaction, and only if all of it arrives."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql

from omni_mcp.errors import BadRequest, LedgerError
from omni_mcp.ledger.postgres import schema
from omni_mcp.ledger.postgres.connection import Db
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


def copied(source: sqlite3.Connection, target: Db, here: str) -> int:
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


def _copy(source: sqlite3.Connection, target: Db, table: str) -> None:
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


def _count_on(target: Db, table: str, number: str) -> None:
    """Let the next row be numbered after the last one."""
    target.execute(
        sql.SQL(COUNT_ON).format(sql.Literal(table), sql.Literal(number), sql.Identifier(number), sql.Identifier(table))
    )


def _compare(source: sqlite3.Connection, target: Db) -> None:
    """Refuse a copy that is not whole; the transaction is undone then."""
    for table in (*TABLES, "memory_words"):
        counting = sql.SQL(COUNT).format(sql.Identifier(table))
        (there,) = (row["n"] for row in target.execute(counting))
        if (here := _count(source, table)) != there:
            raise LedgerError(f"of {here} rows of {table} {there} arrived; nothing was moved", next_step="call again")


def _count(source: sqlite3.Connection, table: str) -> int:
    return source.execute(f"select count(*) from {table}").fetchone()[0]


def _quoted(column: str) -> str:
    return f'"{column}"'
