"""How well the whole is, and was."""

from datetime import datetime

from omni_mcp.task import Mode
from omni_mcp.views.view import View


class OverrideView(View):
    """A mode that a person has set."""

    mode: Mode
    until: datetime


class ModeView(View):
    """How well the whole is."""

    mode: Mode
    since: datetime
    cause: str
    text: str
    next_probe_at: datetime | None = None
    evidence: dict[str, str] | None = None
    override: OverrideView | None = None
    repair: str
    """Whether LiteLLM is repaired when it breaks, and why not; or the task that does it."""
    held: dict[str, int] | None = None
    """How many tasks wait, by what they wait for."""
    held_ids: dict[str, list[str]] | None = None
    """The first of these, as they will run."""
    history: list[str] | None = None
    engine: str
    settings: str
    open_tasks: dict[str, int]
    executors: dict[str, str]
    told_by: dict[str, str] | None = None
    problems: list[str] | None = None


class ModeChangeView(View):
    """One change of mode."""

    at: datetime
    was: Mode
    mode: Mode
    cause: str


class OutagesView(View):
    """When the mode changed, and why."""

    now: datetime
    mode: Mode
    since: datetime
    changes: list[ModeChangeView]
    """The newest first."""
    older: bool = False
    """There are more."""
