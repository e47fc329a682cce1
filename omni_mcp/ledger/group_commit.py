"""Group commit on a thread of its own: what waits is written together, and answered after it is durable.

Callers hand over a unit of work and wait. Those of one moment (a round of their event loop) go to the thread as one,
and all that waits there runs in one transaction and is answered after its commit. A cancelled caller loses its answer,
never the write.
"""

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from omni_mcp.errors import LedgerBusy

T = TypeVar("T")
C = TypeVar("C")

PATIENCE = 5.0
"""Seconds that a caller waits for its unit to begin; then the unit is withdrawn and was never run."""
BATCH = 256
"""Units after which a transaction takes no more rounds, and a round no more units."""


@dataclass(eq=False, slots=True)
class Unit(Generic[C, T]):
    """A piece of work and who waits for it."""

    work: Callable[[C], T]
    answer: "asyncio.Future[T]"
    result: T | None = None
    error: Exception | None = None


@dataclass(eq=False, slots=True)
class Round(Generic[C]):
    """The units that came in one round of an event loop: they wait, begin, are withdrawn and are answered together."""

    loop: asyncio.AbstractEventLoop
    units: list[Unit[C, Any]] = field(default_factory=list[Unit[C, Any]])
    state: str = "waiting"
    """`waiting` → `running`, or → `withdrawn`; moved under the writer's lock."""
    timer: asyncio.TimerHandle | None = None

    def answer(self) -> None:
        """Answer the callers; on their event loop."""
        if self.timer is not None:
            self.timer.cancel()
        for unit in self.units:
            if unit.answer.done():
                continue
            if unit.error is not None:
                unit.answer.set_exception(unit.error)
            else:
                unit.answer.set_result(unit.result)


class GroupCommit(ABC, Generic[C]):
    """Takes units of work and has them served in batches; the thread begins with the first unit."""

    def __init__(self, *, patience: float) -> None:
        self._patience = patience
        self._round: Round[C] | None = None
        """Where the callers of this moment gather."""
        self._rounds: queue.SimpleQueue[Round[C] | None] = queue.SimpleQueue()
        self._moving = threading.Lock()
        self._thread: threading.Thread | None = None

    async def do(self, work: Callable[[C], T]) -> T:
        """Run a unit of work in a transaction; returns its result after the commit. Raises LedgerError."""
        loop = asyncio.get_running_loop()
        unit = Unit(work, loop.create_future())
        self._gathering(loop).units.append(unit)
        return await unit.answer

    def close(self) -> None:
        """Finish the units that wait, then close the connection. Blocks, but no longer than our patience."""
        if self._thread is not None:
            self._rounds.put(None)
            self._thread.join(self._patience)
            self._thread = None

    def _gathering(self, loop: asyncio.AbstractEventLoop) -> Round[C]:
        """Return the round that is open; it is handed over when all who are awake had their turn."""
        here = self._round
        if here is None or here.loop is not loop or len(here.units) >= BATCH:
            self._round = here = Round[C](loop)
            loop.call_soon(self._hand_over, here)
        return here

    def _hand_over(self, here: Round[C]) -> None:
        if self._round is here:
            self._round = None
        here.timer = here.loop.call_later(self._patience, self._withdraw, here)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ledger writer", daemon=True)
            self._thread.start()
        self._rounds.put(here)

    def _withdraw(self, here: Round[C]) -> None:
        """Take back a round that has not begun; it can never run afterwards."""
        with self._moving:
            if here.state != "waiting":
                return
            here.state = "withdrawn"
        for unit in here.units:
            unit.error = self._withdrawn()
        here.answer()

    @abstractmethod
    def _withdrawn(self) -> LedgerBusy:
        """Return what the caller of a unit is told that has not begun in time."""

    # below: on the writer's thread

    @abstractmethod
    def _serve(self, batch: Sequence[Round[C]]) -> None:
        """Run a batch and tell its callers; raises nothing, since the thread has to live on."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of the database."""

    def _run(self) -> None:
        for batch in self._batches():
            self._serve(batch)
        self._close()

    def _batches(self) -> Iterator[Sequence[Round[C]]]:
        """Give what waits, again and again, until the end is among it."""
        while (here := self._rounds.get()) is not None:
            batch, size = [here], len(here.units)
            while size < BATCH and not self._rounds.empty():
                if (more := self._rounds.get()) is None:
                    yield batch
                    return
                batch.append(more)
                size += len(more.units)
            yield batch

    def _begin_all(self, batch: Sequence[Round[C]]) -> list[Unit[C, Any]]:
        """Return the units of the rounds that were not withdrawn: from here on they run."""
        with self._moving:
            rounds = [here for here in batch if here.state != "withdrawn"]
            for here in rounds:
                here.state = "running"
        return [unit for here in rounds for unit in here.units]


def tell(batch: Sequence[Round[Any]]) -> None:
    """Answer all callers that still wait."""
    for here in batch:
        if here.state == "withdrawn":
            continue
        try:
            here.loop.call_soon_threadsafe(here.answer)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue
