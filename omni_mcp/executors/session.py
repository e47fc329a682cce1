"""One supervised MCP client session: opened when it is first used, checked before use, opened anew after it broke.

What comes back from a call is either what the server said (`CallToolResult`), or what it did wrong on a session that
still lives (`Failed`). What it did not say is raised: `ExecutorUnusable`, nothing was sent; `ExecutorLost`, the
outcome is unknown, and no process of the session is left. No call is ever sent twice.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from fastmcp.client.progress import ProgressHandler
from mcp.types import CallToolResult

from omni_mcp.errors import ExecutorLost, ExecutorUnusable
from omni_mcp.executors.elicitation import Caller, Switchboard
from omni_mcp.executors.executor import OnProgress, ToolInfo
from omni_mcp.executors.link import Link, opened
from omni_mcp.executors.transport import StderrLog
from omni_mcp.executors.troubles import TROUBLES, failure_of, is_clear, words_of
from omni_mcp.home import Home
from omni_mcp.pause import Pause
from omni_mcp.presets import ExecutorSpec
from omni_mcp.task import Failed

logger = logging.getLogger(__name__)

LIST_LIMIT = 10.0
"""Seconds in which a server lists its tools when that is what we want to know."""
BACKOFF = (0.1, 0.5, 2.0, 10.0, 30.0)
"""Seconds between tries to open a session that could not be opened."""


@dataclass(slots=True, kw_only=True)
class _Failure:
    """The last try to open the session."""

    text: str
    count: int
    not_before: float


class Session:
    """The session to one executor. Several calls may run at once; it is closed by `close`, and only by that."""

    def __init__(self, spec: ExecutorSpec, *, owner: str, home: Home) -> None:
        self.spec = spec
        self._owner = owner
        self._home = home
        self._log = StderrLog(home.root / "logs" / "executors" / f"{spec.name}.log")
        self._switchboard = Switchboard(spec.name)
        self._opening = anyio.Lock()
        self._link: Link | None = None
        self._failure: _Failure | None = None

    @property
    def version(self) -> str | None:
        """What the server calls itself, while the session is open."""
        about = self._link.client.server_info if self._link else None
        return f"{about.name} {about.version}" if about else None

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        timeout: float,
        on_progress: OnProgress | None = None,
        caller: Caller | None = None,
    ) -> CallToolResult | Failed:
        """Call a tool and wait at most `timeout` seconds, not counting those in which somebody is asked.

        Cancelling this tells the server to stop.

        What the server asks meanwhile is put to the `caller`; without one it is told that nobody answers.

        Raises ExecutorUnusable (nothing was sent) and ExecutorLost (the outcome is unknown).
        """
        async with self._using() as link:
            try:
                with anyio.fail_after(timeout) as limit, self._switchboard.listening(caller, Pause(limit)):
                    return await link.client.call_tool_mcp(
                        tool, dict(arguments), progress_handler=_teller(on_progress) if on_progress else None
                    )
            except TROUBLES as error:
                return await self._judged(link, tool, error, timeout)

    async def tools(self) -> Sequence[ToolInfo]:
        """List the server's tools. Raises ExecutorUnusable."""
        async with self._using() as link:
            try:
                with anyio.fail_after(LIST_LIMIT):
                    found = await link.client.list_tools()
            except TROUBLES as error:
                raise ExecutorUnusable(f"{self.spec.name} does not list its tools: {words_of(error)}") from error
        return [ToolInfo(name=tool.name, description=tool.description or "") for tool in found]

    async def close(self) -> None:
        """End the session and every process of it, in bounded time. The next use would open it again."""
        async with self._opening:
            if self._link is not None:
                await self._bury(self._link)

    @asynccontextmanager
    async def _using(self) -> AsyncGenerator[Link]:
        link = await self._ready()
        link.calls += 1
        try:
            yield link
        finally:
            link.calls -= 1

    async def _ready(self) -> Link:
        """Return the open link. One that nobody uses is asked first, so that no call is lost on a dead one."""
        async with self._opening:
            if (link := self._link) is not None:
                if link.calls or await link.answers():
                    return link
                await self._bury(link)
            self._link = await self._opened()
            return self._link

    async def _opened(self) -> Link:
        self._respect_backoff()
        try:
            link = await opened(
                self.spec, owner=self._owner, home=self._home, log=self._log, on_elicitation=self._switchboard
            )
        except TROUBLES as error:
            raise ExecutorUnusable(self._note_failure(error), next_step=self._next_step) from error
        self._failure = None
        logger.info("session to %s is open", self.spec.name, extra={"action": "session_open"})
        return link

    def _respect_backoff(self) -> None:
        failure = self._failure
        if failure is not None and (wait := failure.not_before - anyio.current_time()) > 0:
            raise ExecutorUnusable(f"{failure.text} (next try in {wait:.1f} s)", next_step=self._next_step)

    @property
    def _next_step(self) -> str:
        if self.spec.command:
            return f"what it wrote to stderr is in {self._log.path}"
        return "see that its server is up, and that url, token and headers of its row in servers.yaml are right"

    def _note_failure(self, error: Exception) -> str:
        """Remember a failed try and return what to say of it."""
        count = self._failure.count + 1 if self._failure else 0
        wait = BACKOFF[min(count, len(BACKOFF) - 1)]
        words = self._log.last_words() if self.spec.command else ""
        said = f"; it said: {words}" if words else ""
        text = f"{self.spec.name} cannot be reached: {words_of(error)}{said}"
        self._failure = _Failure(text=text, count=count, not_before=anyio.current_time() + wait)
        logger.warning("%s", text, extra={"action": "session_refused"})
        return text

    async def _judged(self, link: Link, tool: str, error: Exception, timeout: float) -> Failed:
        """Tell a server that misbehaved from one that is gone."""
        if not is_clear(error) and not await link.answers():
            await self._bury(link)
            message = f"{self.spec.name} went away during {tool} ({words_of(error)}), so its outcome is unknown"
            raise ExecutorLost(message) from error
        return failure_of(error, tool=f"{self.spec.name}.{tool}", timeout=timeout)

    async def _bury(self, link: Link) -> None:
        if self._link is link:
            self._link = None
        await link.bury()


def _teller(on_progress: OnProgress) -> ProgressHandler:
    """Pass progress on without awaiting anything: the client runs these at once, and would lose their order."""

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        on_progress(message or (f"{progress:g} of {total:g}" if total else f"{progress:g}"))

    return tell
