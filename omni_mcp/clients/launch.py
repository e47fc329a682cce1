"""The command that a client starts: the console script by its absolute path, so that a start needs no network."""

import shutil
import socket
import sys
import sysconfig
from pathlib import Path
from urllib.parse import urlsplit

from omni_mcp.errors import SettingsError

SCRIPT = "omni-mcp"


def console_script() -> str:
    """Return the absolute path of our console script: the one in use, else the one beside this interpreter.

    Links are not followed: one that `pipx` or `uv tool` made outlives an upgrade, what it points to does not.
    """
    used = Path(sys.argv[0])
    found = shutil.which(str(used.absolute())) if used.stem == SCRIPT else None
    found = found or shutil.which(SCRIPT, path=sysconfig.get_path("scripts"))
    if found is None:
        raise SettingsError(
            f"there is no console script {SCRIPT} beside {sys.executable}", next_step="install the package with pip"
        )
    return found


def answers(url: str) -> bool:
    """Whether somebody listens at a url. Blocks, for a second at most."""
    place = urlsplit(url)
    try:
        with socket.create_connection((place.hostname or "", place.port or 80), timeout=1):
            return True
    except (OSError, ValueError):  # no such port, too
        return False


def served(note: Path) -> str | None:
    """Return the url that `omni-mcp serve` wrote into a file, if it still answers there."""
    try:
        url = note.read_text(encoding="utf-8")
    except (OSError, ValueError):  # not UTF-8, too
        return None
    return url if answers(url) else None
