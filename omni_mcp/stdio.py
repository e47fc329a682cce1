"""The face on stdin and stdout, as a client starts it."""

import logging
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from fastmcp.server.mixins import transport
from mcp.server.request_state import RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage

from omni_mcp.app.face import running_face
from omni_mcp.app.inside import EngineHere
from omni_mcp.faces.mcp import create_face
from omni_mcp.faces.state import kept_state
from omni_mcp.hidden import hide_environment
from omni_mcp.home import Home
from omni_mcp.logs import style_of, write_logs
from omni_mcp.telemetry import exporting
from omni_mcp.unreadable import refused

logger = logging.getLogger(__name__)

Message = SessionMessage | Exception


def serve_stdio(home: Home, *, inline: bool) -> None:
    """Serve until stdin ends."""
    hide_environment()
    if style_of("text") == "json":  # not by the settings: a face is up before they are read
        write_logs("json", level=logging.WARNING)
    state = kept_state(home)
    # FastMCP takes no streams, and what the library cannot read it drops without an answer.
    transport.stdio_server = answering_stdio  # pyright: ignore[reportPrivateImportUsage]
    with exporting():
        anyio.run(_inline if inline else _light, home, state)


async def _light(home: Home, state: RequestStateSecurity | None) -> None:
    """Nothing here must be saved at a signal: what was answered is on disk, and the tasks are the engine's."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    face = create_face(partial(running_face, home), state=state)
    await face.run_stdio_async(show_banner=False, log_level=_level())


async def _inline(home: Home, state: RequestStateSecurity | None) -> None:
    engine = EngineHere(home)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run, name="engine")
        tasks.start_soon(_end_at_signal, engine, name="signals")
        face = create_face(partial(running_face, home, engine="here"), state=state)
        await face.run_stdio_async(show_banner=False, log_level=_level())
        await engine.stop()
        tasks.cancel_scope.cancel()


def _level() -> str | None:
    """Return from where on FastMCP logs in its own way; None where it has no handlers any more, since ours have all."""
    return "WARNING" if logging.getLogger("fastmcp").handlers else None


async def _end_at_signal(engine: EngineHere) -> None:
    """End at once: the thread that reads stdin cannot be cancelled, so the process is ended from here."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            await engine.stop()
            os._exit(128 + number)


@asynccontextmanager
async def answering_stdio() -> AsyncGenerator[tuple[MemoryObjectReceiveStream[Message], Any]]:
    """Yield what the client says and the way back to it; a request that cannot be read is refused at once."""
    ours, theirs = anyio.create_memory_object_stream[Message](0)
    async with stdio_server() as (reading, writing):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_sort, reading, ours, writing, name="unreadable lines")
            yield theirs, writing
            tasks.cancel_scope.cancel()


async def _sort(reading: AsyncIterable[Message], to: MemoryObjectSendStream[Message], writing: Any) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async with to:
            async for message in reading:
                await _take(message, to, writing)


async def _take(message: Message, to: MemoryObjectSendStream[Message], writing: Any) -> None:
    if isinstance(message, SessionMessage):
        await to.send(message)
    elif (answer := refused(message)) is not None:
        await writing.send(answer)
    else:
        logger.warning("a line on stdin that is no message", extra={"action": "stdin"})
