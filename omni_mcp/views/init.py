"""What `init` found and wrote."""

from typing import Any

from omni_mcp.views.view import View


class RewriteView(View):
    """Something of a file in other words that is not as it was there."""

    where: str
    what: str
    why: str


class InitView(View):
    """A servers.yaml that was written, or would be."""

    file: str
    written: bool
    backup: str | None = None
    found: dict[str, Any]
    text: str
    """The file; keys that stand in it in plain are not shown."""
    rewrites: list[RewriteView] | None = None
    problems: list[str] | None = None
    next_steps: list[str]
