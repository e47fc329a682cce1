"""How an executor is reached: a child process over its pipes, or Streamable HTTP."""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TextIO, Unpack

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from fastmcp.client.transports import ClientTransport, StreamableHttpTransport
from fastmcp.client.transports.base import SessionKwargs, TransportOptions
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.shared.message import SessionMessage

from omni_mcp.executors import lines
from omni_mcp.executors.surroundings import surroundings
from omni_mcp.home import Home, make_private
from omni_mcp.presets import ExecutorSpec
from omni_mcp.processes import die_with_parent
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.unreadable import mended

Message = SessionMessage | Exception

LOG_BYTES = 5 << 20
"""A log of a child's stderr larger than this is begun anew when a session opens."""
LAST_WORDS = 300
"""Characters of a child's stderr that an error quotes."""


class StderrLog:
    """Where a child's stderr goes, and its last words when it did not start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin = 0

    def open(self) -> TextIO:
        """Open it for a new child; the folder is made, and an overgrown file is begun anew."""
        make_private(self.path.parent)
        self.path.touch(mode=0o600)
        overgrown = self.path.exists() and self.path.stat().st_size > LOG_BYTES
        file = self.path.open("w" if overgrown else "a", encoding="utf-8")
        self._begin = file.tell()
        return file

    def last_words(self) -> str:
        """Return the end of what the newest child wrote."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(max(self._begin, self.path.stat().st_size - LAST_WORDS))
            return file.read().decode(errors="replace").strip()


class Pipe(ClientTransport):
    """A child process; a byte on its stdout that is not UTF-8 costs a line, not the session (python-sdk#2454)."""

    def __init__(self, parameters: StdioServerParameters, log: StderrLog) -> None:
        self._parameters = parameters
        self._log = log

    @asynccontextmanager
    async def connect_session(
        self, *, transport_options: TransportOptions | None = None, **session_kwargs: Unpack[SessionKwargs]
    ) -> AsyncGenerator[ClientSession]:
        """Start the child and yield a session to it; the child and its process group end with the session."""
        session_class = (transport_options or TransportOptions()).session_class
        with self._log.open() as errlog:
            async with stdio_client(self._parameters, errlog=errlog) as (reading, writing):
                async with mending(reading) as heard, session_class(heard, writing, **session_kwargs) as session:
                    yield session


@asynccontextmanager
async def mending(reading: AsyncIterable[Message]) -> AsyncGenerator[MemoryObjectReceiveStream[Message]]:
    """Yield what is read, with what can be made of lines that the client could not read."""
    ours, theirs = anyio.create_memory_object_stream[Message](0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_mend, reading, ours, name="mend messages")
        yield theirs
        tasks.cancel_scope.cancel()


async def _mend(reading: AsyncIterable[Message], to: MemoryObjectSendStream[Message]) -> None:
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async with to:
            async for message in reading:
                await to.send(mended(message) if isinstance(message, Exception) else message)


def transport_for(spec: ExecutorSpec, *, owner: str, mark: str, home: Home, log: StderrLog) -> ClientTransport:
    """Return the way to an executor; `mark` marks all processes of this session. Blocks a little."""
    if spec.row.url and not spec.command:
        return StreamableHttpTransport(spec.row.url, headers=dict(_headers(spec.row)))
    program, *args = die_with_parent(spec.command)
    parameters = StdioServerParameters(
        command=program,
        args=args,
        env=dict(surroundings(spec, owner=owner, mark=mark)),
        # Not the engine's: a repository must not be able to put its own modules in the way.
        cwd=spec.row.cwd or home.root,
        encoding=lines.NAME,
        encoding_error_handler="replace",
    )
    return Pipe(parameters, log)


def _headers(row: ExecutorRow) -> Mapping[str, str]:
    bearer = {"Authorization": f"Bearer {row.token.get_secret_value()}"} if row.token else {}
    return {**bearer, **{name: value.get_secret_value() for name, value in row.headers.items()}}
