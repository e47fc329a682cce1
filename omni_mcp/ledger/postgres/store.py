"""The ledger on PostgreSQL: writes through the one writer, reads and rings on connections of their own."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import anyio
import psycopg
from anyio.to_thread import run_sync

from omni_mcp.ledger.base import Watermark
from omni_mcp.ledger.group_commit import PATIENCE
from omni_mcp.ledger.postgres.connection import Db, Hand, Here, connected
from omni_mcp.ledger.postgres.listener import Listener
from omni_mcp.ledger.postgres.place import Place
from omni_mcp.ledger.postgres.schema import migrate
from omni_mcp.ledger.postgres.troubles import understood
from omni_mcp.ledger.postgres.writer import PostgresWriter
from omni_mcp.ledger.sql_ledger import SqlLedger
from omni_mcp.ledger.store import Row, Store, Values, Work
from omni_mcp.task import Clock, new_id

T = TypeVar("T")


class PostgresLedger(SqlLedger):
    """`Ledger` in a PostgreSQL database. Opened at the first call, so that a bad address is an answer and no crash."""

    def __init__(
        self,
        url: str,
        *,
        home: Path = Path(),
        identity: str = "",
        machine: str = "",
        clock: Clock | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Each `home` has an engine of its own, by its `identity`; tasks are placed by the label of the machine."""
        here = Here(home=f"{socket.gethostname()}:{home}:{identity}", machine=machine)
        super().__init__(PostgresStore(Place(url), here, patience=patience), clock=clock)


class PostgresStore(Store):
    """A database (or a schema of one: `options=-csearch_path%3DNAME` in the URL)."""

    shared = True

    def __init__(self, place: Place, here: Here, *, patience: float) -> None:
        self._place = place
        self._here = here
        ring = new_id()
        self._writer = PostgresWriter(place, here, patience=patience, ring=ring)
        self._reader: Db | None = None
        self._reading = anyio.CapacityLimiter(1)
        self._listener = Listener(place, self._heard, ours=ring)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changes = 0
        self._wrote: anyio.Event | None = None
        """What those wait for who want to hear of a write; None: nobody does."""

    async def write(self, work: Work[T]) -> T:
        result = await self._writer.do(work)
        self._changed()
        return result

    async def read(self, statement: str, values: Values) -> Sequence[Row]:
        return await run_sync(self._read, statement, values, abandon_on_cancel=True, limiter=self._reading)

    def _read(self, statement: str, values: Values) -> Sequence[Row]:
        """Read; a connection that was lost since the last time is opened anew, once."""
        for again in (self._reader is not None, False):
            try:
                return Hand(self._ready(), self._here).execute(statement, values).fetchall()
            except psycopg.Error as error:
                if self._reader is not None and self._reader.closed:
                    self._reader = None
                    if again:
                        continue
                raise understood(error, self._place) from None  # what libpq said may repeat the password
        raise AssertionError

    def _ready(self) -> Db:
        if self._reader is None:
            db = connected(self._place, writes=False)
            try:
                migrate(db)
            except BaseException:
                db.close()
                raise
            self._reader = db
        return self._reader

    async def watermark(self) -> Watermark:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            await run_sync(self._listener.start, abandon_on_cancel=True)
        return self._changes, 0

    async def changed(self, since: Watermark, *, timeout: timedelta) -> bool:
        with anyio.move_on_after(timeout.total_seconds()):
            while await self.watermark() == since:
                self._wrote = self._wrote or anyio.Event()
                await self._wrote.wait()
            return True
        return False

    def look(self) -> None:
        """Rings are heard as they come: there is nothing to look at sooner."""

    async def close(self) -> None:
        await run_sync(self._close)

    def _close(self) -> None:
        self._listener.close()
        self._writer.close()
        if self._reader is not None:
            with suppress(psycopg.Error):
                self._reader.close()

    def _heard(self) -> None:
        """Take in a ring, on the listener's thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._changed)

    def _changed(self) -> None:
        self._changes += 1
        if self._wrote is not None:
            self._wrote.set()
            self._wrote = None
