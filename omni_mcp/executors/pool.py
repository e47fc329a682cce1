"""All executors of the house: their sessions are opened when they are first used and closed together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Self

import anyio
from anyio import AsyncContextManagerMixin
from anyio.to_thread import run_sync

from omni_mcp.contract import OWNER_MARK
from omni_mcp.errors import ExecutorUnusable, UnknownExecutor
from omni_mcp.executors.adapter import AdapterExecutor
from omni_mcp.executors.executor import Executor
from omni_mcp.executors.session import Session
from omni_mcp.executors.tool import ToolExecutor
from omni_mcp.presets import ExecutorSpec, resolve
from omni_mcp.processes import sweep
from omni_mcp.settings import Settings

CLOSE_LIMIT = 8.0
"""Seconds that all sessions have to close; what then still runs is left to `swept`."""


class Pool(AsyncContextManagerMixin):
    """The executors of one reading of the settings. `specs` names all of them, the unusable ones included."""

    def __init__(self, settings: Settings, *, owner: str) -> None:
        self.specs = resolve(settings)
        self._home = settings.home
        self._owner = owner
        self._sessions: dict[str, Session] = {}
        self._executors: dict[str, Executor] = {}

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        try:
            yield self
        finally:
            await self._close()

    def get(self, name: str) -> Executor:
        """Return an executor; nothing is opened yet. Raises UnknownExecutor, and ExecutorUnusable with the fix."""
        if name not in self._executors:
            self._executors[name] = self._made(name)
        return self._executors[name]

    def _made(self, name: str) -> Executor:
        spec = self.specs.get(name)
        if spec is None:
            raise UnknownExecutor(name, list(self.specs))
        if spec.unusable is not None:
            raise ExecutorUnusable(f"{name} cannot be used: {spec.unusable}")
        session = self._sessions[name] = Session(spec, owner=self._owner, home=self._home)
        return executor_for(spec, session)

    async def _close(self) -> None:
        """Close all at once, whatever happens around us."""
        with anyio.move_on_after(CLOSE_LIMIT, shield=True):
            async with anyio.create_task_group() as tasks:
                for session in self._sessions.values():
                    tasks.start_soon(session.close)


@asynccontextmanager
async def swept(owner: str) -> AsyncGenerator[None]:
    """At the end, end whatever of an owner still runs: a server that was just starting included."""
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(sweep, OWNER_MARK, owner)


def executor_for(spec: ExecutorSpec, session: Session) -> Executor:
    """Return the executor over a session: one foreign tool, or the adapter contract."""
    return AdapterExecutor(spec, session) if spec.adapter else ToolExecutor(spec, session)
