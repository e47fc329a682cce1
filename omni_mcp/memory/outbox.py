"""Brings what tasks left to the memory server, one at a time: `server-memory` loses what comes at once.

A memory is owed from the transaction that completed its task until the server has it, or it is given up. It arrives at
least once: after a lost answer, or a kill in between, it is sent again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import anyio

from omni_mcp.decide.tries import is_due, next_try
from omni_mcp.errors import LedgerError, MemoryFailed
from omni_mcp.ledger.base import Ledger, OwedMemory
from omni_mcp.memory.base import MemoryStore
from omni_mcp.settle import until_written
from omni_mcp.task import SHORT_ID, Clock

logger = logging.getLogger(__name__)

POLL = 1.0
"""Seconds between two looks; recalling sees what is owed, too, so nothing waits for this."""
REFUSALS = 5
"""Tries after which a memory that the server refuses is given up."""


@dataclass(kw_only=True)
class MemoryOutbox:
    """Sends what is owed while this engine leads: of several engines on one ledger one sends."""

    ledger: Ledger
    clock: Clock
    store: Callable[[], MemoryStore | None]
    """The memory of now."""
    leads: Callable[[], bool]

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                tried = await self.step()
            except LedgerError as error:
                logger.warning("not sent yet: %s", error, extra={"action": "memory"})
                tried = False
            if not tried:
                await anyio.sleep(POLL)

    async def step(self) -> bool:
        """Try what is due first, if it is due. Returns whether one was tried."""
        owed = await self.ledger.owed_memory() if self.leads() else None
        if owed is None or not is_due(owed.due_at, self.clock.now()):
            return False
        try:
            await self._send(owed)
        except MemoryFailed as error:
            await self._put_off(owed, error)
        except LedgerError:
            raise
        except Exception as error:
            logger.exception("sending broke", extra={"action": "memory", "task_id": owed.memory.task_id})
            await self._put_off(owed, MemoryFailed(f"it broke: {type(error).__name__}"))
        return True

    async def _send(self, owed: OwedMemory) -> None:
        """Give it to the memory of now. Raises MemoryFailed."""
        store = self.store()
        if store is None:
            raise MemoryFailed("no memory is configured any more")
        await store.add(owed)
        if store.outside:
            await until_written(partial(self.ledger.memory_taken, owed.number))

    async def _put_off(self, owed: OwedMemory, error: MemoryFailed) -> None:
        tries = owed.tries + 1
        again = next_try(tries, arose=owed.memory.at, now=self.clock.now())
        again = None if error.refused and tries >= REFUSALS else again
        await until_written(partial(self.ledger.put_off_memory, owed.number, trouble=error.message, due_at=again))
        logger.warning(
            "what task %s left was not taken, try %d: %s; next try: %s",
            *(owed.memory.task_id[:SHORT_ID], tries, error, again or "none, it is given up"),
            extra={"action": "memory", "task_id": owed.memory.task_id},
        )
