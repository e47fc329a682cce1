"""Face and engine in one process."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from omni_mcp.app.face import running_face
from omni_mcp.app.serve import HANDOVER_LIMIT, serve_engine
from omni_mcp.errors import EngineRunning
from omni_mcp.home import Home
from omni_mcp.ledger.owners import holder
from omni_mcp.ledger.wake import until_free
from omni_mcp.service.service import Service

logger = logging.getLogger(__name__)

HANDOVER_STEP = 0.05
"""Seconds between two looks for the new one."""


@asynccontextmanager
async def running_all(home: Home) -> AsyncGenerator[Service]:
    """Open face and engine in this process; where another process has the engine, the face uses that one."""
    engine = EngineHere(home)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run, name="engine")
        async with running_face(home, engine="here") as service:
            yield service
        await engine.stop()


class EngineHere:
    """An engine in this process."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()

    async def run(self) -> None:
        """Serve until stopped; while another process has the engine, wait for its end."""
        try:
            with self._scope:
                while True:
                    await self._serve()
        finally:
            self._ended.set()

    async def _serve(self) -> None:
        try:
            end = await serve_engine(self._home)
        except EngineRunning as error:
            logger.warning("%s; using that one", error, extra={"action": "engine_elsewhere"})
        else:
            if end == "upgrade":
                await self._make_way()
        await until_free(self._home.engine_lock)

    async def _make_way(self) -> None:
        """Leave the lock to the engine of the newer release, which is waiting for it."""
        with anyio.move_on_after(HANDOVER_LIMIT):
            while holder(self._home.engine_lock) is None:  # noqa: ASYNC110 - another process takes it
                await anyio.sleep(HANDOVER_STEP)

    async def stop(self) -> None:
        """Give back what runs and let go of the lock."""
        self._scope.cancel()
        await self._ended.wait()
