"""Who runs tasks, and who would get one."""

from omni_mcp.views.view import View


class ExecutorView(View):
    """An executor, as configured and as last seen."""

    name: str
    usable: bool
    handles: list[str]
    parallel: int
    recovery: str
    detail: str | None = None
    tools: list[str] | None = None


class RouteView(View):
    """Where a text would go, and why."""

    requested: str
    executor: str | None
    type: str | None
    model: str | None
    reason: str
    steps: list[str]
    """The reason at length: each rule that was tried, each executor that was passed over."""
