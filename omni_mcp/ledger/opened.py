"""Which ledger a home has: its SQLite file, or the PostgreSQL database that OMNI_LEDGER names."""

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from omni_mcp.errors import BadRequest, LedgerUnusable, OmniError
from omni_mcp.home import Home, make_private
from omni_mcp.ledger.base import Watermark
from omni_mcp.ledger.sql_ledger import SqlLedger
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.ledger.store import Row, Store, T, Values, Work
from omni_mcp.settings import known_variables
from omni_mcp.task import new_id
from omni_mcp.this_machine import label
from omni_mcp.yaml_file import expand

VARIABLE = "OMNI_LEDGER"
SCHEMES = ("postgresql://", "postgres://")
EXAMPLE = "postgresql://user@host:5432/database"


def address(home: Home) -> str | None:
    """Return where the ledger of a home is, if that is not its file. Raises LedgerUnusable for what is no address."""
    said = known_variables(home).get(VARIABLE)
    return expanded(home, said) if said else None


def expanded(home: Home, said: str) -> str:
    """Return an address with its variables filled in. Raises LedgerUnusable for what is none."""
    url, flaws = expand(said, known_variables(home))
    if flaws:
        raise LedgerUnusable(f"{VARIABLE}: {flaws[0].what}", next_step=flaws[0].fix)
    if not url.startswith(SCHEMES):
        raise LedgerUnusable(f"{VARIABLE} names no PostgreSQL database", next_step=f"write it as {EXAMPLE}")
    return url


def open_ledger(home: Home, *, engine_lock: Path | None = None) -> SqlLedger:
    """Return the ledger of a home; one that cannot be had says so at each call, so that a face always starts.

    With an `engine_lock` an older file is upgraded only while no engine holds that lock.
    """
    try:
        url = address(home)
        if url is not None:
            return _on_postgres(url, home)
    except OmniError as error:
        return SqlLedger(NoStore(error))
    return SqliteLedger(home.ledger, engine_lock=engine_lock)


def _on_postgres(url: str, home: Home) -> SqlLedger:
    try:
        from omni_mcp.ledger.postgres.store import PostgresLedger
    except ImportError as error:
        raise LedgerUnusable(
            f"{VARIABLE} names a PostgreSQL database, and psycopg is not installed ({error})",
            next_step="pip install 'omni-mcp[cluster]'",
        ) from error
    return PostgresLedger(url, home=home.root, identity=identity(home), machine=label(known_variables(home)))


def identity(home: Home) -> str:
    """Return what tells this home from all others, also from one at the same place on a machine of the same name."""
    try:
        make_private(home.root)
        if not home.identity.exists():
            part = home.identity.with_name(f"{home.identity.name}.{new_id()}")
            part.write_text(new_id(), encoding="ascii")
            with suppress(FileExistsError):  # another process was quicker: its word holds
                os.link(part, home.identity)
            part.unlink()
        return home.identity.read_text(encoding="ascii")
    except OSError as error:
        raise LedgerUnusable(
            f"{home.identity} cannot be written or read ({error.strerror})",
            next_step="make the home writable, or name another one: OMNI_HOME",
        ) from error


def the_file(home: Home) -> Path:
    """Return the SQLite file of a home, for what is done with files. Raises BadRequest: the ledger is elsewhere."""
    if address(home) is not None:
        raise BadRequest(
            f"this is for the ledger in a file, and {VARIABLE} names a PostgreSQL database",
            next_step="use PostgreSQL's own: pg_dump and pg_restore copy it, pg_amcheck checks it",
        )
    return home.ledger


class NoStore(Store):
    """Stands where there can be no ledger: each call says why."""

    shared = False

    def __init__(self, error: OmniError) -> None:
        self._error = error

    async def write(self, work: Work[T]) -> T:
        raise self._error

    async def read(self, statement: str, values: Values) -> Sequence[Row]:
        raise self._error

    async def watermark(self) -> Watermark:
        raise self._error

    async def changed(self, since: Watermark, *, timeout: timedelta) -> bool:
        raise self._error

    def look(self) -> None:
        """There is nothing to look at."""

    async def close(self) -> None:
        """There is nothing to close."""
