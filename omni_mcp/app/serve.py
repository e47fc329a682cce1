"""The engine lock: taken, handed over, let go of."""

import logging
from functools import partial
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync

from omni_mcp import crashes
from omni_mcp.app.engine import running_engine
from omni_mcp.errors import EngineRunning
from omni_mcp.home import Home
from omni_mcp.ledger.opened import open_ledger
from omni_mcp.ledger.owners import HeldLock, holder, try_hold, wait_until_free
from omni_mcp.ledger.wake import until_free

if TYPE_CHECKING:
    from omni_mcp.engine import End

logger = logging.getLogger(__name__)

HANDOVER_LIMIT = 30.0
"""Seconds that a new engine waits for one that has said goodbye to let go of the lock, and that one for the new."""


async def serve_engine(home: Home, *, idle_exit: bool = False) -> "End | None":
    """Run the one engine of a home until it is idle for long, relieved or cancelled; returns why it ended.

    Raises EngineRunning.
    """
    with await _the_lock(home):
        died = crashes.known(home)
        with crashes.counted(home) as is_well:
            async with open_ledger(home) as ledger:
                async with running_engine(home, ledger, idle_exit=idle_exit, is_well=is_well, died=died) as engine:
                    end = await engine.run()
                logger.info("engine ends: %s", end, extra={"action": "engine_end"})
                return end


async def _the_lock(home: Home) -> HeldLock:
    """Take the engine lock; one that has said goodbye or was dismissed is waited for. Raises EngineRunning."""
    held = try_hold(home.engine_lock)
    if held is None:
        await _wait_for_handover(home)
        held = try_hold(home.engine_lock)
    if held is None:
        raise EngineRunning(holder(home.engine_lock))
    return held


async def _wait_for_handover(home: Home) -> None:
    async with open_ledger(home, engine_lock=home.engine_lock) as ledger:
        mark = await ledger.engine()
    if mark is not None and not mark.there:
        await run_sync(partial(wait_until_free, home.engine_lock, limit=HANDOVER_LIMIT))
    elif mark is not None and mark.dismissed_at is not None:
        await until_free(home.engine_lock)
