"""Read where tasks stand, wait for news, and stop them."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import anyio

from omni_mcp.decide.recovery import bound_to
from omni_mcp.errors import TaskNotFound
from omni_mcp.presets import resolve
from omni_mcp.service.part import Part
from omni_mcp.task import ENDS_BY_ITSELF, Task, TaskState
from omni_mcp.views.attempts import AttemptsView, StoryView, attempts_view
from omni_mcp.views.task import ListView, TaskView, task_view

WAIT_LIMIT = 50
"""Seconds that a call may wait: below the time-outs of the clients (Claude Desktop cuts at about 60 s)."""
CANCEL_LIMIT = 25
"""Seconds that `cancel` waits for the confirmation."""
EVENTS = 100
"""Lines of history in one answer."""
ATTEMPTS = 50
"""Attempts that are shown of one task."""


class TaskVerbs(Part):
    """What there is to know of tasks, and how one is stopped."""

    async def row(self, task_id: str) -> Task:
        """Return a task as the ledger has it. Raises TaskNotFound, for a beginning of an id, too."""
        task = await self._find(task_id)
        if task.id != task_id:
            raise TaskNotFound(task_id)
        return task

    async def status(self, task_id: str, *, wait_seconds: float = 0, since_seq: int | None = None) -> TaskView:
        """Say where a task stands; with `wait_seconds` when it is over, waits, or has news after `since_seq`.

        One that waits already for what ends by itself is waited for, too, or callers would ask without end. Below zero
        `since_seq` means the newest so many lines of its history.
        """
        task = await self._find(task_id)
        task = await self._settled(task, wait_seconds, since_seq=since_seq)
        more = await self._told(task)
        if since_seq is None:
            return task_view(task, engine=None if task.terminal else self.engines.trouble, **more)
        found = await self.ledger.events(task.id, since_seq=since_seq, limit=EVENTS + 1)
        events = found[:EVENTS]
        next_seq = events[-1].seq if len(found) > EVENTS else None
        trouble = None if task.terminal else self.engines.trouble
        return task_view(task, events=events, next_seq=next_seq, engine=trouble, **more)

    async def list(self, *, states: Sequence[TaskState] = (), limit: int = 20, cursor: str | None = None) -> ListView:
        """Return short rows, newest first."""
        page = await self.ledger.page(principal=self._whose, states=states, limit=limit, cursor=cursor)
        rows = [task_view(task, whole=False, **self._silence(task)) for task in page.tasks]
        onward = "call list_tasks again with this cursor" if page.cursor else None
        return ListView(tasks=rows, cursor=page.cursor, next_step=onward)

    async def cancel(self, task_id: str, *, reason: str | None = None, limit: float = CANCEL_LIMIT) -> TaskView:
        """Stop a task; returns when that is confirmed, or after `limit` seconds with what is known then.

        Where its run lives elsewhere an engine tells it to stop first; a second request does not wait for that.
        """
        task = await self._find(task_id)
        recoveries = {name: spec.recovery for name, spec in resolve(self.settings()).items()}
        lives = task.cancel_requested_at is None and bound_to(task, recoveries) is not None
        task = await self.ledger.request_cancel(task.id, reason=reason, lives=lives)
        if not task.terminal:
            await self._wake(task.id)
            task = await self._until(task, lambda seen: seen.terminal, limit)
        if task.terminal:
            return task_view(task)
        left = f"{task.served_by or 'the engine'} has not confirmed within {limit:.0f} s; it goes on stopping"
        return task_view(task, text=left, engine=self.engines.trouble)

    async def story(self, task_id: str, *, wait_seconds: float = 0, since_seq: int | None = None) -> StoryView:
        """Say where a task stands, with its attempts; the arguments are those of `status`."""
        task = await self.status(task_id, wait_seconds=wait_seconds, since_seq=since_seq)
        return StoryView.model_validate({**dict(task), "attempts": (await self.attempts(task.task_id)).attempts})

    async def attempts(self, task_id: str) -> AttemptsView:
        """Say how a task came to where it stands, attempt by attempt."""
        task = await self._find(task_id)
        return attempts_view(task, await self.ledger.attempts(task.id, limit=ATTEMPTS))

    async def _settled(self, task: Task, wait_seconds: float, *, since_seq: int | None = None) -> Task:
        if since_seq is not None and await self.ledger.events(task.id, since_seq=since_seq, limit=1):
            return task
        told = since_seq is not None
        start = task

        def news(seen: Task) -> bool:
            moved = seen.state is not start.state or seen.attempt != start.attempt
            known = seen.waiting_for in ENDS_BY_ITSELF and seen.waiting_for is start.waiting_for
            return seen.terminal or (seen.state is TaskState.WAITING and not known) or (told and moved)

        return await self._until(task, news, min(wait_seconds, WAIT_LIMIT))

    async def _until(self, task: Task, done: Callable[[Task], bool], limit: float) -> Task:
        """Read the task until `done`, or until the time is up: both are normal answers.

        What is written is found by looking; the engine is asked to ring as well, which is sooner.
        """
        with anyio.move_on_after(limit):
            engine = None if done(task) else await self.ledger.engine()
            while not done(task):
                if engine is not None:
                    self.dispatch.ask_back(engine.address, task.id)
                seen = await self.ledger.watermark()
                task = await self._find(task.id)
                if not done(task):
                    await self.ledger.changed(seen, timeout=timedelta(seconds=limit))
        return task
