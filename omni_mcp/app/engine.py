"""The one engine of a home: announced, alive, and what the dead have left is ended."""

import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from anyio.to_thread import run_sync

from omni_mcp import __version__, background, crashes
from omni_mcp.app.dead import end_the_dead, is_over
from omni_mcp.app.dispatch import dispatch_of
from omni_mcp.app.renewal import Renewal, means_under
from omni_mcp.app.watch import Watch, watching
from omni_mcp.dispatch.base import Doorbell
from omni_mcp.home import Home
from omni_mcp.ledger.base import EngineMark, Ledger
from omni_mcp.ledger.owners import owner_lock
from omni_mcp.live_settings import LiveSettings
from omni_mcp.settings import Settings
from omni_mcp.settle import until_written
from omni_mcp.task import Clock, SystemClock, new_id

if TYPE_CHECKING:
    from omni_mcp.engine import Engine
    from omni_mcp.means import Means
    from omni_mcp.memory.base import MemoryStore

logger = logging.getLogger(__name__)


def preload_engine() -> None:
    """Import what an engine needs, so that a spare forked from now on has it."""
    for name in ("engine", "executors.pool", "llm.relay", "llm.router"):  # litellm itself comes with the first call
        import_module(f"omni_mcp.{name}")


@asynccontextmanager
async def running_engine(
    home: Home,
    ledger: Ledger,
    *,
    idle_exit: bool,
    is_well: Callable[[], None],
    died: crashes.Crashes | None = None,
) -> AsyncGenerator["Engine"]:
    """Open an engine on the settings of now and announce it; the caller holds the engine lock.

    `died` are those before it that did not come up.
    """
    from omni_mcp.engine import Engine

    owner = new_id()
    live = LiveSettings(home)
    async with (
        _living(home, ledger, owner) as doorbell,
        watching(live.now(), ledger, owner, doorbell, died) as watch,
        _until_left() as tasks,
    ):

        async def opened(settings: Settings) -> "Means":
            return await tasks.start(means_under, settings, ledger, owner, watch)

        tasks.start_soon(_schedules, ledger, live, doorbell, name="schedules")
        engine = Engine(
            ledger=ledger,
            means=await opened(live.now()),
            clock=SystemClock(),
            owner=owner,
            doorbell=doorbell,
            modes=watch.monitor,
            is_over=partial(is_over, home, ledger),
            renewed=Renewal(live=live, watch=watch, opened=opened).renewed,
            exits=idle_exit,
            is_well=is_well,
            channels=lambda: list(watch.outbox.channels),
        )
        tasks.start_soon(_memories, ledger, watch, lambda: engine.means.memory, name="memory outbox")
        if ledger.shared:
            tasks.start_soon(engine.keep_in_time, name="leases")
        logger.info("engine up, pid %d", os.getpid(), extra={"action": "engine_up"})
        yield engine


@asynccontextmanager
async def _living(home: Home, ledger: Ledger, owner: str) -> AsyncGenerator[Doorbell]:
    """Be alive as `owner` and say so; what engines that died have left is ended, and in the end what we leave."""
    from omni_mcp.executors.pool import swept

    async with dispatch_of(home).listen() as doorbell:
        with owner_lock(home.owners, owner):
            await _announce(ledger, _mark(home, owner, doorbell.address, SystemClock()))
            background.is_up()
            await run_sync(end_the_dead, home)
            async with swept(owner):
                yield doorbell


@asynccontextmanager
async def _until_left() -> AsyncGenerator[TaskGroup]:
    """Open a task group that is cancelled when the body ends."""
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        finally:
            tasks.cancel_scope.cancel()


async def _announce(ledger: Ledger, mark: EngineMark) -> None:
    """Say that this engine is there; a server may come up after us."""
    announce = partial(ledger.announce, mark)
    await (until_written(announce) if ledger.shared else announce())


async def _schedules(ledger: Ledger, live: LiveSettings, doorbell: Doorbell) -> None:
    """Have what is due become tasks, until cancelled."""
    from omni_mcp.scheduler import Scheduler

    await Scheduler(ledger=ledger, settings=live.now, clock=SystemClock(), on_run=doorbell.ring).run()


async def _memories(ledger: Ledger, watch: Watch, store: Callable[[], "MemoryStore | None"]) -> None:
    """Bring what tasks left to the memory server of now, until cancelled."""
    from omni_mcp.memory.outbox import MemoryOutbox

    await MemoryOutbox(ledger=ledger, clock=SystemClock(), store=store, leads=lambda: watch.monitor.leads).run()


def _mark(home: Home, owner: str, address: str, clock: Clock) -> EngineMark:
    return EngineMark(
        owner=owner,
        pid=os.getpid(),
        version=__version__,
        log=str(home.engine_log),
        address=address,
        started_at=clock.now(),
        settings=str(home.servers),
    )
