"""The engine as a process of its own."""

import logging
import os
import signal

import anyio

from omni_mcp import background
from omni_mcp.app.engine import preload_engine
from omni_mcp.app.serve import serve_engine
from omni_mcp.errors import EngineRunning
from omni_mcp.hidden import hide_environment, hide_memory
from omni_mcp.home import Home
from omni_mcp.ledger.wake import until_free
from omni_mcp.logs import style_of, write_logs
from omni_mcp.settings import load
from omni_mcp.spare import spared
from omni_mcp.telemetry import exporting

logger = logging.getLogger(__name__)


def run_engine(home: Home, *, stay: bool = False) -> None:
    """Serve until idle for long, or SIGTERM or SIGINT; after a kill a spare serves on. Raises EngineRunning.

    With `stay` it is never idle for too long, and while another engine is alive it waits for the end of that.
    """
    hide_environment()
    hide_memory()
    write_logs(style_of(load(home).servers.log_format), level=logging.INFO)
    preload_engine()
    with spared(background.is_up), exporting():
        anyio.run(_serve, home, stay)
    logger.info(
        "engine down, pid %d", os.getpid(), extra={"action": "engine_down"}
    )  # a log without it tells of a crash


async def _serve(home: Home, stay: bool) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_at_signal, tasks.cancel_scope, name="signals")
        await (_stay(home) if stay else serve_engine(home, idle_exit=True))
        tasks.cancel_scope.cancel()


async def _stay(home: Home) -> None:
    """Serve until relieved by a newer release, as which whoever keeps us starts us again."""
    while True:
        try:
            await serve_engine(home)
        except EngineRunning as error:
            logger.warning("%s; waiting for its end", error, extra={"action": "engine_elsewhere"})
            await until_free(home.engine_lock)
        else:
            return


async def _stop_at_signal(scope: anyio.CancelScope) -> None:
    """Cancel the engine at the first signal: it gives back what runs, then the process ends."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _number in signals:
            scope.cancel()
            return
