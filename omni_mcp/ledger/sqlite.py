"""The ledger on SQLite: writes through the one writer, reads on a connection of their own that never blocks it."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite
import anyio
from anyio.to_thread import run_sync

from omni_mcp.ledger.base import Watermark
from omni_mcp.ledger.migrations import migrate, newest_version
from omni_mcp.ledger.sql_ledger import SqlLedger
from omni_mcp.ledger.store import Store, Values, Work
from omni_mcp.ledger.writer import PATIENCE, Writer, inode, understood
from omni_mcp.task import Clock, SystemClock

T = TypeVar("T")

POLL = 0.05
"""Seconds between two looks for what other processes wrote, while somebody waits for it."""
LOOK = timedelta(seconds=1)
"""How often a reader looks whether its file was deleted or replaced."""


class SqliteLedger(SqlLedger):
    """`Ledger` on one SQLite file. Opened at the first call, so that a bad file is an answer and not a crash."""

    def __init__(
        self, path: Path, *, clock: Clock | None = None, patience: float = PATIENCE, engine_lock: Path | None = None
    ) -> None:
        """With an `engine_lock` an older file is upgraded only while no engine holds that lock."""
        clock = clock or SystemClock()
        super().__init__(SqliteStore(path, clock=clock, patience=patience, engine_lock=engine_lock), clock=clock)


class SqliteStore(Store):
    """A file, its writer and its reading connection."""

    shared = False

    def __init__(self, path: Path, *, clock: Clock, patience: float, engine_lock: Path | None) -> None:
        self._path = path
        self._clock = clock
        self._writer = Writer(path, partial(migrate, engine_lock=engine_lock), patience=patience)
        self._reader: aiosqlite.Connection | None = None
        self._reads: int | None = None
        """The inode that the reader reads."""
        self._writes: int | None = None
        """The inode that the writer had open when we last looked: one that it forsook is to be read no more."""
        self._looked: datetime | None = None
        self._opening: anyio.Event | None = None
        self._written = 0
        self._wrote: anyio.Event | None = None
        """What those wait for who want to hear of a write; None: nobody does."""

    async def write(self, work: Work[T]) -> T:
        result = await self._writer.do(work)
        self._tell()
        return result

    async def read(self, statement: str, values: Values) -> Sequence[sqlite3.Row]:
        try:
            db = await self._current_reader()
            return list(await db.execute_fetchall(statement, values))
        except ValueError:  # closed meanwhile by another reader, who found the file replaced
            return await self.read(statement, values)
        except sqlite3.Error as error:
            await self._close_reader()
            raise understood(error, self._path) from error

    async def read_aside(self, statement: str, values: Values) -> Sequence[sqlite3.Row]:
        await self._current_reader()  # the file is there, and as it has to be
        try:
            return await run_sync(self._read_aside, statement, values)
        except sqlite3.Error as error:
            raise understood(error, self._path) from error

    def _read_aside(self, statement: str, values: Values) -> Sequence[sqlite3.Row]:
        """Read on a connection of its own; blocks."""
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            return db.execute(statement, values).fetchall()

    async def watermark(self) -> Watermark:
        return self._written, (await self.read("pragma data_version", {}))[0][0]

    async def changed(self, since: Watermark, *, timeout: timedelta) -> bool:
        with anyio.move_on_after(timeout.total_seconds()):
            while True:
                wrote = self._wrote = self._wrote or anyio.Event()
                if await self.watermark() != since:
                    return True
                with anyio.move_on_after(POLL):
                    await wrote.wait()
        return False

    def look(self) -> None:
        if self._wrote is not None:
            self._wrote.set()
            self._wrote = None

    async def close(self) -> None:
        await self._close_reader()
        await run_sync(self._writer.close)

    def _tell(self) -> None:
        """Wake those who wait for a change."""
        self._written += 1
        self.look()

    async def _current_reader(self) -> aiosqlite.Connection:
        """Return a connection to the file that is there now; opening it is the writer's to refuse."""
        if self._reader is not None and await self._is_replaced():
            await self._close_reader()
        return self._reader or await self._open_reader()

    async def _is_replaced(self) -> bool:
        now = self._clock.now()
        wrote, self._writes = self._writes, self._writer.inode
        if wrote is not None and wrote != self._writes:
            return True
        if self._looked is not None and abs(now - self._looked) < LOOK:
            return False
        self._looked = now
        return self._reads != await run_sync(inode, self._path)

    async def _open_reader(self) -> aiosqlite.Connection:
        """Open the reading connection; where the file is not yet as it has to be, the writer makes and migrates it.

        Else nothing waits for the gate: a frozen holder stops those who write, not those who read.
        """
        while self._reader is None:
            if self._opening is not None:
                await self._opening.wait()  # all at once: a lock would let them go one by one, a round of the loop each
                continue
            self._opening = anyio.Event()
            try:
                self._reader = await self._ready_reader() or await self._made_reader()
            finally:
                self._opening.set()
                self._opening = None
        return self._reader

    async def _made_reader(self) -> aiosqlite.Connection:
        """Have the writer make the file, or migrate it, and return a connection to it."""
        await self._writer.do(lambda db: db.execute("select 1").fetchone())
        return await self._connected()

    async def _ready_reader(self) -> aiosqlite.Connection | None:
        """Return a connection to a file of our version; None when there is none."""
        there = await run_sync(inode, self._path)
        if there is None or self._writer.inode not in (None, there):
            return None
        ours = await run_sync(newest_version)
        with anyio.CancelScope(shield=True):
            reader = await self._connected()
            with suppress(sqlite3.Error):
                if next(iter(await reader.execute_fetchall("pragma user_version")))[0] == ours:
                    return reader
            await reader.close()
        return None

    async def _connected(self) -> aiosqlite.Connection:
        self._reads = await run_sync(inode, self._path)
        reader = await aiosqlite.connect(f"{self._path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        reader.row_factory = sqlite3.Row
        return reader

    async def _close_reader(self) -> None:
        """Close it; watermarks that were taken from it count no more."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
            self._tell()
