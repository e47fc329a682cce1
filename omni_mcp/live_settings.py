"""The settings as they are now: read again when a file of the home has changed."""

from pathlib import Path

from omni_mcp.home import Home
from omni_mcp.settings import Settings, load

Sight = tuple[int, int, int]
"""What tells one version of a file from another: inode, time and size."""


class LiveSettings:
    """Reads the settings of a home, and again only when servers.yaml or `.env` is another file than before."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._files = (home.servers, home.dotenv)  # made once: every request looks at them
        self._seen = self._look()
        self._settings = load(home)

    def now(self) -> Settings:
        """Return the settings; the same object for as long as nothing has changed."""
        seen = self._look()
        if seen != self._seen:
            self._seen, self._settings = seen, load(self._home)
        return self._settings

    def _look(self) -> list[Sight | None]:
        return [_sight(path) for path in self._files]


def _sight(path: Path) -> Sight | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
