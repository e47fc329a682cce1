"""The ledger as a file: checked, copied, purged."""

from datetime import datetime

from omni_mcp.views.view import View


class PurgeView(View):
    """What purge removed, or would remove."""

    dry_run: bool
    tasks: int
    before: datetime
    kept: str
    """What stays, in words."""


class CheckView(View):
    """How sound a ledger is."""

    path: str
    version: int
    tasks: int
    problems: list[str]


class CopyView(View):
    """A ledger that was copied: by backup out of the home, by restore into it."""

    path: str
    tasks: int
    text: str
