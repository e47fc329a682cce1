"""What all verbs share: the ledger and who asks, finding a task, ringing its engine, telling how it stands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from omni_mcp.decide.times import in_words
from omni_mcp.dispatch.base import Dispatch
from omni_mcp.excerpt import joined
from omni_mcp.ledger.base import EngineMark, Ledger
from omni_mcp.processes import Origin
from omni_mcp.service.engines import Engines
from omni_mcp.settings import Settings
from omni_mcp.task import LOCAL, Clock, SystemClock, Task, TaskState, WaitingFor
from omni_mcp.views.question import question_view

SUMMARY = 600
"""Characters of the head of a result that status shows; of its tail a quarter of them."""
QUESTIONS_SHOWN = 3
"""Open questions that a status shows; the next ones come when these are answered."""
QUESTION_SHOWN = 2000
"""Characters of one of them."""


def _outside() -> Origin | None:
    """Return that nobody's run asks."""
    return None


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the verbs have in hand."""

    ledger: Ledger
    settings: Callable[[], Settings]
    """What holds now: the file may change while we run."""
    dispatch: Dispatch
    engines: Engines
    principal: str = LOCAL
    """Whose tasks are submitted, and shown."""
    machine: str | None = ""
    """By which name tasks are placed on this machine; None: no engine is here, so nobody can work in its folders."""
    admin: bool = False
    """Whether the tasks of all are shown, and may be acted on; what is submitted stays the principal's own."""
    clock: Clock = field(default_factory=SystemClock)
    origin: Callable[[], Origin | None] = _outside
    """Says whose run this process belongs to; blocks."""

    async def _troubles(self) -> Mapping[str, str]:
        """Return what is wrong with executors as last seen at work, by name."""
        return {name: seen.detail for name, seen in (await self.ledger.health()).items() if not seen.usable}

    async def _told(self, task: Task) -> dict[str, Any]:
        """Return what of a task is not in its row: what it waits for now, and for how long its executor is silent."""
        if task.waiting_for is WaitingFor.DEPENDENCY:
            needs = await self.ledger.needs(task.id)
            left = [f"{name} ({state})" for name, state in needs.items() if state is not TaskState.COMPLETED]
            return {"text": f"runs after {len(needs)} tasks, not yet completed: {', '.join(left)}"}
        if task.waiting_for is WaitingFor.INPUT:
            asked = [each for each in await self.ledger.questions(task.id) if each.open]
            return {"questions": [question_view(each, limit=QUESTION_SHOWN) for each in asked[:QUESTIONS_SHOWN]]}
        return {**self._silence(task), "summary": await self._summary(task)}

    async def _summary(self, task: Task) -> str | None:
        """Return head and tail of the result of a completed task."""
        if task.state is not TaskState.COMPLETED:
            return None
        page = await self.ledger.result_page(task.id, limit=SUMMARY)
        if page is None or page.total_chars <= SUMMARY:
            return page and page.text
        end = await self.ledger.result_page(task.id, offset=page.total_chars - SUMMARY // 4, limit=SUMMARY // 4)
        tail = (end.text if end else "")[-(page.total_chars - SUMMARY) :]  # never what the head shows
        return joined(page.text, tail, page.total_chars, rest="; task_result has them")

    def _silence(self, task: Task) -> dict[str, Any]:
        if task.state is not TaskState.EXECUTING:
            return {}
        silent = max(self.clock.now() - task.last_sign, timedelta())
        limit = self.settings().servers.limits.silent_seconds
        told = {"text": f"silent for {in_words(silent)}"} if silent.total_seconds() >= limit else {}
        return {"silent": int(silent.total_seconds()), **told}

    async def _find(self, task_id: str) -> Task:
        return await self.ledger.find(task_id, principal=self._whose)

    @property
    def _whose(self) -> str | None:
        """Whose tasks are shown; None: everybody's."""
        return None if self.admin else self.principal

    @property
    def _operates(self) -> bool:
        """Whether the whole may be shown: what everybody's tasks cost, where files are, what is wrong with them."""
        return self.admin or self.principal == LOCAL

    async def _wake(self, task_id: str) -> str | None:
        """Ring the engine, or start one; returns what there is to say about it."""
        return await self._ring(task_id, await self.ledger.engine())

    async def _ring(self, task_id: str, engine: EngineMark | None, *, machine: str | None = None) -> str | None:
        there = engine is not None and engine.there
        self.dispatch.nudge(engine.address if engine is not None and there else None, task_id, machine=machine)
        started = await self.engines.ensure(engine)
        return started or self.engines.trouble or self._other_settings(engine)

    def _other_settings(self, engine: EngineMark | None) -> str | None:
        """Say that the engine that is there reads another settings file than this face, and what to do."""
        home = self.settings().home
        if not self._operates or engine is None or not engine.there or engine.settings in ("", str(home.servers)):
            return None
        config = f" --config {home.config}" if home.config else ""
        return (
            f"the engine (pid {engine.pid}) reads {engine.settings}, this face {home.servers}: tasks run by the "
            f"engine's. To have it read this one: omni-mcp engine restart --home {home.root}{config}"
        )
