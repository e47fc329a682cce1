"""The command that a client starts: the console script by its absolute path, so that a start needs no network."""

import shutil
import sys
import sysconfig
from pathlib import Path

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
