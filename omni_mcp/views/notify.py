"""Who is told of changes."""

from omni_mcp.views.view import View


class ToldView(View):
    """What became of a test notice in one channel."""

    channel: str
    told: bool
    text: str


class NotifyView(View):
    """Who is told of changes of mode, and what became of a test notice."""

    tested: list[ToldView] | None = None
    told_by: dict[str, str]
    given_up: dict[str, str] | None = None
    """Of each channel what it never took."""
    sent_again: int | None = None
    """Notices that are owed once more."""
