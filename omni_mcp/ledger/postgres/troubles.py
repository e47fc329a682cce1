"""What an error of PostgreSQL, or of the way to it, means for the caller."""

import psycopg
from psycopg import errors as pg

from omni_mcp.errors import LedgerBusy, LedgerError, LedgerUnusable, OmniError
from omni_mcp.ledger.postgres.place import Place

AGAIN = "call again"
SERVER = "start the server, or mend OMNI_LEDGER; then call again"
PASSING = (AGAIN, SERVER)
"""What is to be done about a server that is away: it may come back by itself."""
WRITABLE = "name the primary in OMNI_LEDGER (target_session_attrs=read-write finds it among several hosts)"

KINDS: tuple[tuple[tuple[type[psycopg.Error], ...], str, str], ...] = (
    ((pg.ReadOnlySqlTransaction,), "it is read-only, a standby or set so", WRITABLE),
    ((pg.DiskFull,), "its disk is full; nothing was written", "free some space there, then call again"),
    ((pg.InsufficientPrivilege,), "the user may not do it", "grant the user all on the ledger's schema"),
    ((pg.InvalidSchemaName,), "its schema is not there", "create the schema that search_path names"),
    ((pg.UndefinedTable, pg.UndefinedColumn), "its tables are not those of a ledger", "name another database"),
)
"""Errors of statements."""

SIGNS = (
    ("password authentication failed", "the password is wrong", "mend OMNI_LEDGER, PGPASSWORD or ~/.pgpass"),
    ("no password supplied", "it wants a password", "give one in OMNI_LEDGER, PGPASSWORD or ~/.pgpass"),
    ("does not exist", "there is no such database or user", "create it (createdb, createuser), or mend OMNI_LEDGER"),
    ("no pg_hba.conf entry", "it does not let this machine in", "add a line to its pg_hba.conf"),
    ("translate host name", "its host is not known", SERVER),
    ("Connection refused", "nobody listens there", SERVER),
    ("No such file", "nobody listens there", SERVER),
    ("timeout", "it does not answer", SERVER),
    ("too many", "it has no connection left", "raise its max_connections, or stop some processes"),
    ("remaining connection slots", "it has no connection left", "raise its max_connections, or stop some processes"),
    ("starting up", "it is starting", AGAIN),
    ("not yet accepting", "it is starting", AGAIN),
    ("shutting down", "it is shutting down", AGAIN),
    ("read-write", "it is read-only, a standby or set so", WRITABLE),
    ("invalid", "OMNI_LEDGER cannot be read", "write it as postgresql://user@host:5432/database"),
)
"""What libpq says when there is no connection: it gives no code then."""


def understood(error: Exception, place: Place) -> Exception:
    """Return what an error means; what is none of PostgreSQL's is returned as it is."""
    if isinstance(error, OmniError) or not isinstance(error, psycopg.Error):
        return error
    said = place.without_secret(" ".join(str(error).split()))
    if isinstance(error, psycopg.IntegrityError):
        return LedgerError(f"the ledger refused it: {said}")
    if isinstance(error, pg.LockNotAvailable):
        return LedgerBusy(f"{place}: others have held the ledger for too long; nothing was written", next_step=AGAIN)
    if isinstance(error, pg.IdleInTransactionSessionTimeout):
        return LedgerBusy(f"{place}: this process stood still for too long; nothing was written", next_step=AGAIN)
    if isinstance(error, pg.QueryCanceled):
        return LedgerBusy(f"{place}: it is too slow ({said}); nothing was written", next_step=AGAIN)
    meaning, step = _meaning(error, said)
    trouble = LedgerUnusable(f"{place}: {meaning} ({said})", next_step=step)
    trouble.retryable = step in PASSING
    return trouble


def _meaning(error: psycopg.Error, said: str) -> tuple[str, str]:
    for kinds, meaning, step in KINDS:
        if isinstance(error, kinds):
            return meaning, step
    for sign, meaning, step in SIGNS:
        if sign in said and error.sqlstate is None:
            return meaning, step
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return "the connection is lost; nothing was written", AGAIN
    return "it refused a statement", "omni-mcp engine logs; the server's own log has more"
