"""What came of a task."""

from typing import Any

from omni_mcp.task import TaskState
from omni_mcp.views.view import View


class ResultView(View):
    """A page of a task's result."""

    task_id: str
    state: TaskState
    text: str
    offset: int
    total_chars: int
    next_offset: int | None = None
    left_out: dict[str, int] | None = None
    """Characters of structured and notes, where they are too large to stand here."""
    structured: Any = None
    notes: dict[str, Any] | None = None
    error: str | None = None
    next_step: str | None = None
