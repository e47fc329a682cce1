"""The background engine, and what keeps it."""

from omni_mcp.views.view import View


class KeptView(View):
    """The service of the system that keeps this program alive."""

    name: str
    file: str
    installed: bool
    alive: bool
    engine_pid: int | None = None


class EngineView(View):
    """The background engine of a home."""

    running: bool
    pid: int | None = None
    home: str
    log: str
    settings: str
    """The settings file that it reads, or would read."""
    note: str | None = None
