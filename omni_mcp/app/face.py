"""What a face needs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import anyio

from omni_mcp import processes
from omni_mcp.app.dispatch import dispatch_of
from omni_mcp.home import Home
from omni_mcp.keeper import EngineElsewhere, EngineInside, EngineKeeper
from omni_mcp.ledger.opened import open_ledger
from omni_mcp.live_settings import LiveSettings
from omni_mcp.service.engines import Engines
from omni_mcp.service.service import Service
from omni_mcp.settings import known_variables
from omni_mcp.this_machine import label


@asynccontextmanager
async def running_face(
    home: Home, *, engine: Literal["background", "here", "elsewhere"] = "background", watch: bool = True
) -> AsyncGenerator[Service]:
    """Open what a face needs. What it is asked for has an engine started in the background, where that is its place.

    With `watch` it also sees to it that such an engine is alive for as long as there is work for one.
    """
    async with open_ledger(home, engine_lock=home.engine_lock) as ledger:
        async with anyio.create_task_group() as tasks:
            settings = LiveSettings(home).now
            engines: Engines = EngineInside() if engine == "here" else EngineElsewhere(home, ledger.shared)
            if engine == "background":
                engines = keeper = EngineKeeper(home=home, ledger=ledger, tasks=tasks, settings=settings)
                if watch:
                    tasks.start_soon(keeper.watch, name="engine keeper")
            dispatch = dispatch_of(home)
            async with dispatch.calling(ledger.look):
                yield Service(
                    ledger=ledger,
                    settings=settings,
                    dispatch=dispatch,
                    engines=engines,
                    machine=None if engine == "elsewhere" and ledger.shared else label(known_variables(home)),
                    origin=processes.origin,
                )
            tasks.cancel_scope.cancel()
