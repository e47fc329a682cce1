"""Group commit on a thread of its own: what waits is written together, and answered after it is durable.

Callers hand over a unit of work and wait. All units that wait run in one transaction and are answered after its commit.
A cancelled caller loses its answer, never the write.
"""

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from omni_mcp.errors import LedgerBusy

T = TypeVar("T")
C = TypeVar("C")

PATIENCE = 5.0
"""Seconds that a caller waits for its unit to begin; then the unit is withdrawn and was never run."""
BATCH = 256
"""Units in one transaction at most."""


@dataclass(eq=False, slots=True)
class Unit(Generic[C, T]):
    """A piece of work and who waits for it."""

    work: Callable[[C], T]
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[T]"
    state: str = "waiting"
    """`waiting` → `running`, or → `withdrawn`; moved under the writer's lock."""
    result: T | None = None
    error: Exception | None = None


class GroupCommit(ABC, Generic[C]):
    """Takes units of work and has them served in batches; the thread begins with the first unit."""

    def __init__(self, *, patience: float) -> None:
        self._patience = patience
        self._units: queue.SimpleQueue[Unit[C, Any] | None] = queue.SimpleQueue()
        self._moving = threading.Lock()
        self._thread: threading.Thread | None = None

    async def do(self, work: Callable[[C], T]) -> T:
        """Run a unit of work in a transaction; returns its result after the commit. Raises LedgerError."""
        loop = asyncio.get_running_loop()
        unit = Unit(work, loop, loop.create_future())
        timer = loop.call_later(self._patience, self._withdraw, unit)
        self._start()
        self._units.put(unit)
        try:
            return await unit.answer
        finally:
            timer.cancel()

    def close(self) -> None:
        """Finish the units that wait, then close the connection. Blocks, but no longer than our patience."""
        if self._thread is not None:
            self._units.put(None)
            self._thread.join(self._patience)
            self._thread = None

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ledger writer", daemon=True)
            self._thread.start()

    def _withdraw(self, unit: Unit[C, Any]) -> None:
        """Take back a unit that has not begun; it can never run afterwards."""
        with self._moving:
            if unit.state != "waiting":
                return
            unit.state = "withdrawn"
        if not unit.answer.done():
            unit.answer.set_exception(self._withdrawn())

    @abstractmethod
    def _withdrawn(self) -> LedgerBusy:
        """Return what the caller of a unit is told that has not begun in time."""

    # below: on the writer's thread

    @abstractmethod
    def _serve(self, batch: list[Unit[C, Any]]) -> None:
        """Run a batch and tell its callers; raises nothing, since the thread has to live on."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of the database."""

    def _run(self) -> None:
        while (unit := self._units.get()) is not None:
            batch = [unit]
            last = self._drain(batch)
            self._serve(batch)
            if last:
                break
        self._close()

    def _drain(self, batch: list[Unit[C, Any]]) -> bool:
        """Take what waits besides; True when that included the end."""
        while len(batch) < BATCH:
            try:
                unit = self._units.get_nowait()
            except queue.Empty:
                return False
            if unit is None:
                return True
            batch.append(unit)
        return False

    def _begin_all(self, batch: Sequence[Unit[C, Any]]) -> list[Unit[C, Any]]:
        """Return the units that were not withdrawn: from here on they run."""
        with self._moving:
            units = [unit for unit in batch if unit.state != "withdrawn"]
            for unit in units:
                unit.state = "running"
        return units


def tell(units: Sequence[Unit[Any, Any]]) -> None:
    """Answer all callers, with one hop for each event loop."""
    for loop in {unit.loop for unit in units}:
        mine = [unit for unit in units if unit.loop is loop]
        try:
            loop.call_soon_threadsafe(_answer, mine)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _answer(units: Sequence[Unit[Any, Any]]) -> None:
    for unit in units:
        if unit.answer.done():
            continue
        if unit.error is not None:
            unit.answer.set_exception(unit.error)
        else:
            unit.answer.set_result(unit.result)
