"""What completed tasks left."""

from datetime import datetime

from omni_mcp.task import Memory
from omni_mcp.views.view import View


class MemoryView(View):
    """What a completed task left for the tasks after it."""

    task_id: str
    at: datetime
    executor: str
    project: str | None = None
    """The folder whose tasks are told of it; None: those without one."""
    principal: str
    task: str
    outcome: str
    not_taken: str | None = None
    """Of one that the memory server does not have: why, and whether it is tried again."""


class MemoriesView(View):
    """Memories, and what keeps them from being used."""

    memories: list[MemoryView]
    note: str | None = None


class ForgottenView(View):
    """Whose memory is no more."""

    task_id: str


def memory_view(memory: Memory, *, not_taken: str | None = None) -> MemoryView:
    """Show what a task left."""
    return MemoryView(
        not_taken=not_taken,
        task_id=memory.task_id,
        at=memory.at,
        executor=memory.executor,
        project=memory.project,
        principal=memory.principal,
        task=memory.asked,
        outcome=memory.outcome,
    )
