"""What became of what waited."""

from omni_mcp.task import WaitingFor
from omni_mcp.views.view import View


class ResumedView(View):
    """What resume_pending did, or would do, with one task."""

    task_id: str
    waiting_for: WaitingFor | None = None
    action: str
    """`resumed`, `would resume` or `left alone`."""
    text: str
    """What will happen, or why nothing does."""


class ResumeView(View):
    """What resume_pending did, or would do."""

    dry_run: bool
    counts: dict[str, int]
    """How many tasks each action was taken with."""
    tasks: list[ResumedView]
    """Those that were named, else the first of them, as they will run: by priority, then the oldest."""
    engine: str | None = None
    next_step: str
