"""The one writer of a process on PostgreSQL: group commit behind a gate that is one for the whole fleet.

All units that wait run in one transaction, which first takes an advisory lock: so writes are serial over all machines
as they are on SQLite, and every guard means the same. A batch pays the lock and the flush once.

Who holds the gate and freezes, or is cut off, loses it on the server within seconds (`connection.SESSION`); its
transaction is rolled back there. Where the connection dies while the commit is on its way the server is asked what
became of it (`pg_xact_status`), and nobody is told that nothing was written who cannot know.
"""

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg

from omni_mcp.errors import LedgerBusy, LedgerUnusable
from omni_mcp.ledger.group_commit import GroupCommit, Round, Unit, tell
from omni_mcp.ledger.postgres.connection import Db, Hand, Here, connected, one
from omni_mcp.ledger.postgres.place import Place
from omni_mcp.ledger.postgres.schema import migrate
from omni_mcp.ledger.postgres.statements import CUT, GATE, RING, STATUS, WROTE
from omni_mcp.ledger.postgres.troubles import AGAIN, understood
from omni_mcp.ledger.store import Connection

logger = logging.getLogger(__name__)

STEP = 0.2
"""Seconds between two questions of what became of a commit."""
LIMIT = 4.0 * CUT
"""Seconds in which the server has to be back to answer it."""

Units = Sequence[Unit[Connection, Any]]


class PostgresWriter(GroupCommit[Connection]):
    """Owns the only writing connection of the process; opened at the first unit, and again after it broke."""

    def __init__(self, place: Place, here: Here, *, patience: float, ring: str) -> None:
        """With `ring` all who listen are told who wrote."""
        super().__init__(patience=patience)
        self._place = place
        self._here = here
        self._ring = ring
        self._db: Db | None = None

    def _serve(self, batch: Sequence[Round[Connection]]) -> None:
        try:
            db = self._begun()
        except Exception as error:  # noqa: BLE001 - the callers get it; the thread has to live on
            units = self._begin_all(batch)
            self._refuse(units, error)
        else:
            units = self._begin_all(batch)
            if not self._commit_together(db, units):
                self._commit_apart(units)
        tell(batch)
        if self._db is not None and self._db.closed:
            self._close()

    def _open(self) -> Db:
        if self._db is None:
            db = connected(self._place, writes=True)
            try:
                migrate(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _begun(self) -> Db:
        """Begin; where the connection was lost since the last batch, as when the server restarted, on a new one."""
        is_new = self._db is None
        db = self._open()
        try:
            self._begin(db)
        except psycopg.Error:
            if is_new or not db.closed:
                raise
            self._close()
            db = self._open()
            self._begin(db)
        return db

    def _begin(self, db: Db) -> None:
        """Begin a transaction that nobody else in the fleet writes beside."""
        try:
            db.execute(f"begin; {GATE}")
        except psycopg.Error:
            _roll_back(db)
            raise

    def _commit_together(self, db: Db, units: Units) -> bool:
        """Run all in the transaction that has begun; False when one refused, so that nothing of it was written."""
        try:
            with db.pipeline() as pipeline:  # what nobody asks the result of costs no way there and back
                hand = Hand(db, self._here, pipeline)
                for unit in units:
                    unit.result = unit.work(hand)
        except Exception:  # noqa: BLE001 - whose it is shows when each runs in its savepoint
            _roll_back(db)
            return False
        self._commit(db, units)
        return True

    def _commit_apart(self, units: Units) -> None:
        """Run each in its savepoint, so that only what the refused ones wrote is undone.

        Where the connection was lost in the middle they all run again on a new one: nothing of them was written.
        """
        try:
            db = self._begun()
        except Exception as error:  # noqa: BLE001 - the callers get it
            self._refuse(units, error)
            return
        try:
            for unit in units:
                unit.result, unit.error = None, None
                self._run_in_savepoint(db, unit)
        except Exception as error:  # noqa: BLE001 - the callers get it
            _roll_back(db)
            self._refuse(units, error)
        else:
            self._commit(db, units)

    def _run_in_savepoint(self, db: Db, unit: Unit[Connection, Any]) -> None:
        db.execute("savepoint unit")
        try:
            unit.result = unit.work(Hand(db, self._here))
        except Exception as error:  # noqa: BLE001 - whatever a unit raises is its caller's
            unit.error = understood(error, self._place)
            db.execute("rollback to unit")
        db.execute("release unit")

    def _commit(self, db: Db, units: Units) -> None:
        """Commit, and ring for all who listen if anything was written."""
        try:
            wrote: str | None = one(db, WROTE)["id"]
            if wrote is not None:
                db.execute(RING, (self._ring,))
        except psycopg.Error as error:
            _roll_back(db)
            self._refuse(units, error)
            return
        try:
            db.execute("commit")
        except psycopg.Error as error:
            _roll_back(db)
            if wrote is None or not db.closed:
                self._refuse(units, error)
            elif (fate := self._fate(wrote)) != "committed":
                self._refuse(units, _unknown(self._place, fate))

    def _fate(self, wrote: str) -> str | None:
        """Ask what became of a commit whose answer was lost; None when nobody can say."""
        self._close()
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            try:
                status: str | None = one(self._open(), STATUS, wrote)["status"]
            except (psycopg.Error, LedgerUnusable) as error:
                logger.warning("%s: asking again", understood(error, self._place), extra={"action": "ledger_fate"})
                self._close()
            else:
                if status != "in progress":
                    return status
            time.sleep(STEP)
        return None

    def _refuse(self, units: Units, error: Exception) -> None:
        """Let all units fail that have not failed on their own."""
        for unit in units:
            unit.result, unit.error = None, unit.error or understood(error, self._place)

    def _withdrawn(self) -> LedgerBusy:
        return LedgerBusy(
            f"{self._place} has not let us write for {self._patience:.1f} s; nothing was written",
            next_step="call again; if it stays so, look at the server, and at pg_stat_activity for who holds it",
        )

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(psycopg.Error):
                db.close()


def _roll_back(db: Db) -> None:
    """Leave the transaction; a connection that cannot is closed, and opened anew by the next batch."""
    try:
        db.execute("rollback")
    except psycopg.Error:
        db.close()


def _unknown(place: Place, fate: str | None) -> LedgerUnusable:
    """Return what a caller is told whose commit was cut off and did not come back as done."""
    if fate == "aborted":
        return LedgerUnusable(f"{place}: the connection is lost; nothing was written", next_step=AGAIN)
    return LedgerUnusable(
        f"{place}: the connection was lost while it was written: whether it was is not known (outcome unknown)",
        next_step="look whether it is there before you call again; an idempotency_key makes that safe",
    )
