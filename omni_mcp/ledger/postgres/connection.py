"""Connections to PostgreSQL: opened with limits on both ends, so that neither waits for a dead one for long."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, LiteralString

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper
from tzlocal import get_localzone_name

from omni_mcp.errors import LedgerUnusable
from omni_mcp.ledger.postgres.dialect import translated
from omni_mcp.ledger.postgres.place import Place
from omni_mcp.ledger.postgres.statements import CUT, SESSION, STANDING
from omni_mcp.ledger.store import Values

OLDEST = 14
"""Releases before are out of support, or lack what is used here."""
LIMITS: Mapping[str, Any] = {
    "connect_timeout": CUT,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": CUT * 1000,
    "application_name": "omni-mcp",
}
"""Of our end; what the URL says wins."""


Db = psycopg.Connection[dict[str, Any]]


class _Text(StrDumper):
    """Text without NUL, which PostgreSQL has no place for."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(str(obj).replace("\0", "\N{SYMBOL FOR NULL}"))


class _Word(_Text):
    """A word of the house: what it stands for, not its name."""

    def dump(self, obj: Enum) -> Buffer | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().dump(obj.value)


class _Number(Loader):
    """A sum of integers, or what became of one in a division."""

    def load(self, data: Buffer) -> int | float:
        text = bytes(data)
        return int(text) if text.lstrip(b"-").isdigit() else float(text)


def connected(place: Place, *, writes: bool) -> Db:
    """Open a connection. Raises psycopg.Error; LedgerUnusable for a server that cannot hold a ledger."""
    said: dict[str, Any] = {**LIMITS, **conninfo_to_dict(place.url)}
    db: Db = psycopg.Connection[dict[str, Any]].connect("", autocommit=True, row_factory=dict_row, **said)
    try:
        _refuse_unfit(db, place, writes=writes)
        db.execute(SESSION.encode())
        db.execute("select set_config('timezone', %s, false)", (get_localzone_name(),))
    except BaseException:
        db.close()
        raise
    db.prepared_max = None
    db.adapters.register_dumper(int, Int8Dumper)
    db.adapters.register_dumper(str, _Text)
    db.adapters.register_dumper(Enum, _Word)
    db.adapters.register_loader("numeric", _Number)
    return db


def _refuse_unfit(db: Db, place: Place, *, writes: bool) -> None:
    found = one(db, STANDING)
    if found["release"] < OLDEST:
        raise LedgerUnusable(
            f"{place} is PostgreSQL {found['release']}, which is too old for a ledger",
            next_step=f"take PostgreSQL {OLDEST} or newer",
        )
    if found["schema"] is None:
        raise LedgerUnusable(f"{place} has no schema to write in", next_step="create the schema that search_path names")
    if writes and found["read_only"]:
        raise LedgerUnusable(
            f"{place} is read-only (a standby, or default_transaction_read_only); nothing was written",
            next_step="name the primary in OMNI_LEDGER, or add target_session_attrs=read-write",
        )


def one(db: Db, statement: LiteralString, *values: Any) -> dict[str, Any]:
    """Return the one row that a statement of our own gives."""
    row = db.execute(statement, values).fetchone()
    return {} if row is None else row


class Given:
    """What a statement gave; in a pipeline it is waited for when it is asked for, and not before."""

    def __init__(self, cursor: psycopg.Cursor[dict[str, Any]], pipeline: psycopg.Pipeline | None) -> None:
        self._cursor = cursor
        self._pipeline = pipeline

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        if self._pipeline is not None and self._cursor.pgresult is None:
            self._pipeline.sync()
        return self._cursor.rowcount

    def fetchone(self) -> dict[str, Any] | None:
        """Return the next row."""
        return self._cursor.fetchone()

    def fetchall(self) -> list[dict[str, Any]]:
        """Return the rows that are left."""
        return self._cursor.fetchall()


@dataclass(frozen=True, slots=True)
class Here:
    """Who speaks, beside what a statement says."""

    home: str
    """The machine and the folder: each has an engine of its own."""
    machine: str
    """Its label: a task that has to run here is claimed by the engines of this label alone."""


class Hand:
    """A connection as the units of work know it."""

    def __init__(self, db: Db, here: Here, pipeline: psycopg.Pipeline | None = None) -> None:
        self._db = db
        self._here = {"home": here.home, "machine": here.machine}
        self._pipeline = pipeline

    def execute(self, statement: str, values: Values | None = None, /) -> Given:
        """Run a statement of the verbs."""
        cursor = self._db.execute(translated(statement), {**self._here, **(values or {})})  # pyright: ignore[reportArgumentType]
        return Given(cursor, self._pipeline)

    def executemany(self, statement: str, values: Iterable[Values], /) -> None:
        """Run it once for each of the values."""
        for each in values:
            self.execute(statement, each)
