"""The one writer of a process on SQLite: what waits runs in one BEGIN IMMEDIATE … COMMIT.

Nearly always nobody refuses. Where somebody does, all is undone and each runs again in a savepoint of its own; where
that ends the transaction as a whole, as a full disk does, each runs in a transaction of its own.
"""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from omni_mcp.errors import LedgerBusy, LedgerError, LedgerUnusable, OmniError
from omni_mcp.home import make_private
from omni_mcp.ledger.gate import WriteGate
from omni_mcp.ledger.group_commit import PATIENCE, GroupCommit, Round, Unit, tell

logger = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
AnyUnit = Unit[sqlite3.Connection, Any]
Units = Sequence[AnyUnit]

PRAGMAS = """
pragma journal_mode = wal;
pragma synchronous = full;
pragma foreign_keys = on;
pragma busy_timeout = 2000;
"""


class Writer(GroupCommit[sqlite3.Connection]):
    """Owns the only read-write connection of the process; opened at the first unit, and again after it broke."""

    def __init__(
        self, path: Path, migrate: Callable[[sqlite3.Connection], None], *, patience: float = PATIENCE
    ) -> None:
        super().__init__(patience=patience)
        self.inode: int | None = None
        """Which file is open; None when none is."""
        self._path = path
        self._migrate = migrate
        self._db: sqlite3.Connection | None = None
        self._gate: WriteGate | None = None
        self._log = path.with_name(f"{path.name}-wal")
        self._log_inode: int | None = None

    def _withdrawn(self) -> LedgerBusy:
        return LedgerBusy(
            f"another process has held the ledger for {self._patience:.1f} s; nothing was written",
            next_step="call again; if it stays so, omni-mcp engine status shows who may be stuck",
        )

    def _serve(self, batch: Sequence[Round[sqlite3.Connection]]) -> None:
        """Run a batch and answer it; a connection that broke is closed, so that the next batch opens it anew."""
        try:
            with self._open().held():
                units = self._begin_all(batch)
                if not any(self._commit_together(units, run) for run in (_run, self._run_in_savepoint)):
                    self._commit_one_by_one(units)
            broken = any(isinstance(unit.error, LedgerUnusable) for unit in units)
        except Exception as error:  # noqa: BLE001 - the callers get it; the thread has to live on
            broken, units = True, self._begin_all(batch)
            for unit in units:
                unit.error = understood(error, self._path)
        if broken:
            self.inode = None
        tell(batch)
        if broken:
            self._close()

    def _commit_together(self, units: Units, run: Callable[[sqlite3.Connection, AnyUnit], None]) -> bool:
        """Run all in one transaction; False when it ended as a whole, so that nothing of it was written."""
        if not units:
            return True
        db = cast("sqlite3.Connection", self._db)
        db.execute("begin immediate")
        try:
            for unit in units:
                run(db, unit)
                if not db.in_transaction:
                    return False
            db.execute("commit")
        except Exception:  # noqa: BLE001 - whose it is shows when each runs alone
            _roll_back(db)
            return False
        return True

    def _commit_one_by_one(self, units: Units) -> None:
        """Run each in a transaction of its own, so that only the one that breaks it fails."""
        db = cast("sqlite3.Connection", self._db)
        for unit in units:
            try:
                db.execute("begin immediate")
                self._run_in_savepoint(db, unit)
                if db.in_transaction:
                    db.execute("commit")
                elif unit.error is None:
                    unit.error = LedgerError("the unit of work ended its transaction; nothing was written")
            except sqlite3.Error as error:
                _roll_back(db)
                unit.error = understood(error, self._path)

    def _run_in_savepoint(self, db: sqlite3.Connection, unit: AnyUnit) -> None:
        """Run a unit; its error undoes what it wrote, and nothing else."""
        unit.result, unit.error = None, None
        db.execute("savepoint unit")
        try:
            unit.result = unit.work(db)
        except Exception as error:  # noqa: BLE001 - whatever a unit raises is its caller's
            unit.error = understood(error, self._path)
            if db.in_transaction:
                db.execute("rollback to unit")
        if db.in_transaction:
            db.execute("release unit")

    def _open(self) -> WriteGate:
        """Open the file at the first unit, and again when it was deleted or replaced under us; returns its gate."""
        if self._gate is not None and self._db is not None:
            if inode(self._path) == self.inode:
                return self._gate
            self._forsake(self._gate)
            raise LedgerUnusable(
                f"{self._path} was deleted or replaced while it was open",
                next_step="restore it from a backup, or call again to begin a new one",
            )
        make_private(self._path.parent)
        self._gate = WriteGate(self._path.with_suffix(".gate"))
        with self._gate.held():
            self._path.touch(mode=0o600)
            self._db = sqlite3.connect(self._path, isolation_level=None, cached_statements=256)
            self._db.executescript(PRAGMAS)
            self._migrate(self._db)
        self.inode, self._log_inode = inode(self._path), inode(self._log)
        return self._gate

    def _forsake(self, gate: WriteGate) -> None:
        """Remove the log of a file that is gone: SQLite would apply it to the one that took its place."""
        with gate.held():
            if inode(self._log) == self._log_inode:
                self._log.unlink(missing_ok=True)
                self._path.with_name(f"{self._path.name}-shm").unlink(missing_ok=True)

    def _close(self) -> None:
        gate, db = self._gate, self._db
        self._gate = self._db = None
        if gate is None:
            return
        try:
            if db is not None:
                with gate.held():
                    db.close()
        except sqlite3.Error as error:
            logger.warning("not closed well: %s", error, extra={"action": "ledger_close"})
        finally:
            gate.close()


def inode(path: Path) -> int | None:
    """Return which file is at the path now; None when there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _run(db: sqlite3.Connection, unit: AnyUnit) -> None:
    unit.result = unit.work(db)


def _roll_back(db: sqlite3.Connection) -> None:
    """Leave the transaction; a connection that cannot is closed after the batch."""
    if db.in_transaction:
        with suppress(sqlite3.Error):
            db.execute("rollback")


def understood(error: Exception, path: Path) -> Exception:
    """Return what an error of SQLite or the disk means for the caller."""
    if isinstance(error, OmniError) or not isinstance(error, sqlite3.Error | OSError):
        return error
    if isinstance(error, sqlite3.IntegrityError):
        return LedgerError(f"the ledger refused it: {error}")
    said = (isinstance(error, OSError) and error.strerror) or str(error)
    for sign, meaning, step in SIGNS:
        if sign in said:
            kind = LedgerBusy if sign in BUSY else LedgerUnusable
            return kind(f"{path}: {meaning} ({said})", next_step=step)
    return LedgerUnusable(f"{path}: {said}", next_step="omni-mcp engine logs; sqlite3 FILE 'pragma integrity_check'")


BUSY = ("locked", "busy")
NO_PLACE = "name another place: --home FOLDER, or OMNI_HOME"
SIGNS = (
    ("locked", "another program has locked it", "close that program, then call again"),
    ("busy", "another program keeps it busy", "close that program, then call again"),
    ("full", "the disk is full; nothing was written", "free some space, then call again"),
    ("No space", "the disk is full; nothing was written", "free some space, then call again"),
    ("readonly", "it cannot be written", "make the file and its folder writable, or set OMNI_HOME elsewhere"),
    ("Read-only", "its folder cannot be written", "make it writable, or set OMNI_HOME elsewhere"),
    ("Permission", "its folder cannot be written", "make it writable, or set OMNI_HOME elsewhere"),
    ("No such file", "its folder cannot be made", NO_PLACE),
    ("File exists", "its folder is a file", NO_PLACE),
    ("Not a directory", "its folder is below a file", NO_PLACE),
    ("unable to open", "it cannot be opened", "make the file and its folder writable, or set OMNI_HOME elsewhere"),
    ("not a database", "it is not a ledger", "move it away (a new one is begun), or restore a backup"),
    ("malformed", "it is damaged", "restore a backup; until then move it away to begin a new one"),
)
