"""Notices on the desktop of this machine, by the program that the platform has for them: nothing is installed."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from anyio.to_thread import run_sync

from omni_mcp.errors import NotTold
from omni_mcp.ledger.base import Delivery
from omni_mcp.notify.base import PROGRAM, body, title
from omni_mcp.notify.child import run

NAME = "desktop"
BUS = "DBUS_SESSION_BUS_ADDRESS"
URGENCY: Mapping[str | None, str] = dict.fromkeys((None, "normal"), "normal")
"""How urgent a notice of a mode is; of the other modes it stays until it is seen."""
SCRIPT = (
    *("-e", "on run argv"),
    *("-e", "display notification (item 2 of argv) with title (item 1 of argv)"),
    *("-e", "end run"),
)
"""AppleScript that shows its arguments; as arguments they are never taken for script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desktop:
    """The desktop of whoever runs this process."""

    argv: Callable[[Delivery], Sequence[str]]
    """The command that shows a notice. Blocks: the words are in a file."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    name: str = NAME

    async def tell(self, delivery: Delivery) -> None:
        """Show it. A desktop that does not take it now is not asked again: tomorrow nobody wants to see it."""
        ended = await run(await run_sync(self.argv, delivery), variables=self.variables)
        if ended.code:
            raise NotTold(f"the desktop takes no notices: {ended.said or f'exit code {ended.code}'}", final=True)


def desktop() -> Desktop | str:
    """Return the desktop of this machine, or why it has none. Blocks."""
    if sys.platform not in ("darwin", "linux"):
        return "absent: on this platform only with apprise (windows://)"
    if not _is_at_home():
        return "absent: HOME is not that of the user"
    return _mac() if sys.platform == "darwin" else _linux()


def _is_at_home() -> bool:
    """Whether we run for the person who sits there; a test or a demo has a HOME of its own."""
    import pwd  # not on Windows

    try:
        return Path.home() == Path(pwd.getpwuid(os.getuid()).pw_dir)
    except (KeyError, RuntimeError):
        return False


def _mac() -> Desktop | str:
    program = shutil.which("osascript")
    if program is None:
        return "absent: osascript is not on PATH"
    return Desktop(argv=lambda delivery: [program, *SCRIPT, title(delivery), body(delivery)])


def _linux() -> Desktop | str:
    program, bus = shutil.which("notify-send"), _bus()
    if bus is None:
        return "absent: no desktop session here"
    if program is None:
        return "absent: notify-send is not installed (libnotify-bin)"
    return Desktop(argv=lambda delivery: _notify_send(program, delivery), variables={BUS: bus})


def _notify_send(program: str, delivery: Delivery) -> Sequence[str]:
    """Return the command; the body is escaped, because desktops read markup in it.

    https://specifications.freedesktop.org/notification-spec/latest/markup.html
    """
    urgency = URGENCY.get(delivery.notice.data.get("mode"), "critical")
    return [program, f"--app-name={PROGRAM}", f"--urgency={urgency}", "--", title(delivery), escape(body(delivery))]


def _bus() -> str | None:
    """Return the address of the user's session bus; clients often start us without the variable that names it."""
    if address := os.environ.get(BUS):
        return address
    socket = Path(f"/run/user/{os.getuid()}/bus")
    return f"unix:path={socket}" if socket.is_socket() else None
