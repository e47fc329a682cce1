"""The face on stdin and stdout, as a client starts it."""

import os
import signal
from functools import partial

import anyio

from omni_mcp.app import EngineHere, running_face
from omni_mcp.faces.mcp import create_face
from omni_mcp.home import Home


def serve_stdio(home: Home, *, inline: bool) -> None:
    """Serve until stdin ends."""
    anyio.run(_inline if inline else _light, home)


async def _light(home: Home) -> None:
    """Nothing here must be saved at a signal: what was answered is on disk, and the tasks are the engine's."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    await create_face(partial(running_face, home)).run_stdio_async(show_banner=False, log_level="WARNING")


async def _inline(home: Home) -> None:
    engine = EngineHere(home)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run, name="engine")
        tasks.start_soon(_end_at_signal, engine, name="signals")
        face = create_face(partial(running_face, home, engine_here=True))
        await face.run_stdio_async(show_banner=False, log_level="WARNING")
        await engine.stop()
        tasks.cancel_scope.cancel()


async def _end_at_signal(engine: EngineHere) -> None:
    """End at once: the thread that reads stdin cannot be cancelled, so the process is ended from here."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            await engine.stop()
            os._exit(128 + number)
