"""Signs of life of a run: the newest line is written every so often, and the last one at its end."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

HEARTBEAT = 0.25
"""Seconds between two writes of progress: a chatty executor costs the ledger no more than this."""
LINE = 500
"""Characters of a sign of life that are kept."""


@dataclass(kw_only=True, eq=False)
class Heartbeat:
    """Takes the lines of an executor, in order. Satisfies `executor.OnProgress`; who says nothing costs nothing."""

    write: Callable[[str], Awaitable[None]]
    line: str | None = None
    """The newest."""
    _is_news: bool = False
    _beats: TaskGroup | None = None
    _beating: bool = False

    def __call__(self, line: str) -> None:
        """Take a line."""
        self.line = line[:LINE]
        self._is_news = True
        if self._beats is not None and not self._beating:
            self._beating = True
            self._beats.start_soon(self._beat, name="heartbeat")

    @asynccontextmanager
    async def beating(self) -> AsyncGenerator[None]:
        """Write what is said while the body runs."""
        async with anyio.create_task_group() as beats:
            self._beats = beats
            try:
                yield
            finally:
                self._beats = None
                if self._beating:
                    beats.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self._write_news()

    async def _beat(self) -> None:
        while True:
            await anyio.sleep(HEARTBEAT)
            await self._write_news()

    async def _write_news(self) -> None:
        if self._is_news and self.line is not None:
            self._is_news = False
            await self.write(self.line)
