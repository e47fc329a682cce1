"""Claude Code's own commands for its servers: it rewrites its file while it runs, so it is asked to do it itself."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from omni_mcp.clients.catalog import SERVER
from omni_mcp.errors import SettingsError

LIMIT = 60
"""Seconds that a command of its may take; measured: 0.3 to 2."""


def program() -> str | None:
    """Return the path of `claude`, None where there is none."""
    return shutil.which("claude")


def adding(claude: str, entry: Mapping[str, Any]) -> Sequence[str]:
    """Return the command that adds an entry for all folders of the user."""
    variables = [word for pair in entry.get("env", {}).items() for word in ("-e", "=".join(pair))]
    return [claude, "mcp", "add", "--scope", "user", SERVER, *variables, "--", entry["command"]]


def removing(claude: str) -> Sequence[str]:
    """Return the command that takes our entry out."""
    return [claude, "mcp", "remove", "--scope", "user", SERVER]


def run(argv: Sequence[str]) -> None:
    """Run a command of Claude Code. Raises SettingsError with what it said if it did not do it."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(f"{argv[0]} did not answer: {error}", next_step="claude doctor") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise SettingsError(f"claude mcp {argv[2]} refused: {said}", next_step="claude mcp list")
