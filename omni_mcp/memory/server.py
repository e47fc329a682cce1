"""The memory of an MCP server, over a supervised session. What it says is never trusted, and no task waits for it."""

import json
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self, cast

import anyio
from anyio import AsyncContextManagerMixin
from anyio.abc import TaskGroup
from anyio.to_thread import run_sync
from mcp.types import CallToolResult

from omni_mcp.decide.remembering import Recalled, kept_as, read_back, scope_of
from omni_mcp.errors import ExecutorError, MemoryFailed
from omni_mcp.executors.answers import text_of
from omni_mcp.executors.session import Session
from omni_mcp.executors.template import filled
from omni_mcp.ledger.base import OwedMemory
from omni_mcp.ledger.memories import words_of
from omni_mcp.memory.kinds import Tools, spec_of, tools_of
from omni_mcp.pointer import NotThere, at
from omni_mcp.presets import ExecutorSpec
from omni_mcp.servers_file.memory import MemoryTool
from omni_mcp.settings import Settings
from omni_mcp.task import LOCAL, Failed

logger = logging.getLogger(__name__)

CALL_LIMIT = 10.0
"""Seconds that one call may take; recalling has a limit of its own, much shorter."""
CLOSE_LIMIT = 8.0
"""Seconds that its session has to close."""
WORDS = 6
"""Words of a text that a server is asked for which is asked word by word: the longest ones."""
LOOKED_AT = 200
"""Memories of one answer that are looked at: a server that knows no limit sends all it has."""


@dataclass(slots=True)
class _Opening:
    """A try to reach the server; it goes on when whoever waits for it gives up."""

    over: anyio.Event = field(default_factory=anyio.Event)
    trouble: MemoryFailed | None = None


class MemoryServer(AsyncContextManagerMixin):
    """`MemoryStore` over an MCP server; opened when it is first used, closed with the context."""

    outside = True

    def __init__(self, spec: ExecutorSpec, tools: Tools, session: Session) -> None:
        self.name = spec.name
        self._spec = spec
        self._tools = tools
        self._session = session
        self._prepared: set[str] = set()
        self._opening: _Opening | None = None
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        try:
            async with anyio.create_task_group() as self._tasks:
                yield self
                self._tasks.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(CLOSE_LIMIT, shield=True):
                await self._session.close()

    def admits(self, principal: str) -> bool:
        """Whether it keeps this principal's memories from others."""
        return principal == LOCAL or self._tools.tells_apart

    async def recall(self, text: str, *, principal: str, project: str | None, limit: int) -> Sequence[Recalled]:
        """Return what it finds, that with most of the words first. Raises MemoryFailed."""
        scope = scope_of(principal, project)
        by_word = "{word}" in str(self._tools.recall.arguments)
        asked = sorted(words_of(text), key=len, reverse=True)[:WORDS] if by_word else [text]
        foreign = principal == LOCAL or self._tools.only_ours
        found: Counter[Recalled] = Counter()
        await self._reached()
        with self._doubted():
            await self._prepare(scope)
            for word in asked:
                answer = await self._called(self._tools.recall, {"scope": scope, "text": text, "word": word})
                found.update(self._read(answer, scope=scope, foreign=foreign))
        nearest = sorted(found, key=lambda each: (found[each], each.on), reverse=True) if by_word else list(found)
        return nearest[:limit]

    async def add(self, owed: OwedMemory) -> None:
        """Have it take a memory. Raises MemoryFailed."""
        memory = owed.memory
        scope = scope_of(memory.principal, memory.project)
        values = {"scope": scope, "task_id": memory.task_id, "memory": kept_as(memory), "text": kept_as(memory)}
        await self._reached()
        with self._doubted():
            await self._prepare(scope)
            await self._called(self._tools.add, values)

    @contextmanager
    def _doubted(self) -> Generator[None]:
        """Have the server reached, and prepared, anew once something within fails or is given up."""
        try:
            yield
        except BaseException:
            self._opening = None
            self._prepared.clear()
            raise

    async def _reached(self) -> None:
        """Wait until it was reached; that goes on when whoever waits gives up. Raises MemoryFailed."""
        if self._opening is None:
            assert self._tasks is not None  # noqa: S101
            self._opening = _Opening()
            self._tasks.start_soon(self._open, self._opening, name=f"open {self.name}")
        opening = self._opening
        await opening.over.wait()
        if opening.trouble is not None:
            raise opening.trouble

    async def _open(self, opening: _Opening) -> None:
        try:
            await self._look()
        except ExecutorError as error:
            opening.trouble = MemoryFailed(error.message, next_step=error.next_step)
        except MemoryFailed as error:
            opening.trouble = error
        except Exception as error:
            logger.exception("%s broke", self.name, extra={"action": "memory"})
            opening.trouble = MemoryFailed(f"{self.name} broke: {type(error).__name__}")
        finally:
            if opening.trouble is not None:
                self._opening = None  # the next one tries again
            opening.over.set()

    async def _look(self) -> None:
        """Open the session and look for its tools. Raises MemoryFailed, ExecutorUnusable."""
        if self._spec.unusable is not None:
            raise MemoryFailed(f"{self.name} cannot be used: {self._spec.unusable}")
        names = {tool.name for tool in await self._session.tools()}
        wanted = (*self._tools.prepare, self._tools.recall, self._tools.add)
        missing = sorted({each.tool for each in wanted} - names)
        if missing:
            there = ", ".join(sorted(names)) or "none"
            raise MemoryFailed(f"{self.name} has no tool {missing[0]!r}; there are: {there}")

    async def _prepare(self, scope: str) -> None:
        if scope in self._prepared:
            return
        for tool in self._tools.prepare:
            try:
                await self._called(tool, {"scope": scope})
            except MemoryFailed as error:
                if not error.refused:
                    raise
                logger.info("%s: %s", self.name, error, extra={"action": "memory_prepare"})  # as a rule: it is there
        self._prepared.add(scope)

    async def _called(self, tool: MemoryTool, values: Mapping[str, str]) -> CallToolResult:
        """Call a tool. Raises MemoryFailed."""
        try:
            answer = await self._session.call(tool.tool, filled(tool.arguments, values), timeout=CALL_LIMIT)
        except ExecutorError as error:
            raise MemoryFailed(error.message, next_step=error.next_step) from error
        return self._judged(tool, answer)

    def _judged(self, tool: MemoryTool, answer: CallToolResult | Failed) -> CallToolResult:
        if isinstance(answer, Failed):
            raise MemoryFailed(answer.message, next_step=answer.fix)
        said = text_of(answer)
        if answer.is_error or (tool.refusal is not None and said.startswith(tool.refusal)):
            raise MemoryFailed(f"{self.name}.{tool.tool} refused: {' '.join(said.split())[:300]}", refused=True)
        return answer

    def _read(self, answer: CallToolResult, *, scope: str, foreign: bool) -> Sequence[Recalled]:
        """Return what an answer holds for a scope. Raises MemoryFailed for one of another shape."""
        tool = self._tools.recall
        try:
            found = at(tool.result, _document(answer))
        except NotThere:
            found = None
        if not isinstance(found, list):
            raise MemoryFailed(f"{self.name}.{tool.tool} gave no list at {tool.result!r}: {text_of(answer)[:200]}")
        items = cast("list[Any]", found)[:LOOKED_AT]
        read = (read_back(item, _text(item, tool), scope=scope, server=self.name, foreign=foreign) for item in items)
        return list(dict.fromkeys(each for each in read if each is not None))


def _document(answer: CallToolResult) -> Any:
    """Return an answer as data: its structured part, else its text as JSON."""
    if answer.structured_content is not None:
        return answer.structured_content
    try:
        return json.loads(text_of(answer))
    except ValueError:
        return None


def _text(item: Any, tool: MemoryTool) -> Any:
    try:
        return at(tool.text, item)
    except NotThere:
        return None


@asynccontextmanager
async def memory_server(settings: Settings, *, owner: str) -> AsyncGenerator[MemoryServer | None]:
    """Open the memory server of the settings; None: they name none."""
    tools = tools_of(settings.servers.memory)
    if tools is None:
        yield None
        return
    spec = await run_sync(spec_of, settings)
    async with MemoryServer(spec, tools, Session(spec, owner=owner, home=settings.home)) as server:
        yield server
