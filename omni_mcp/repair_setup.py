"""What the engine tells the scripted ladder: JSON in its environment, because no argument may hold a key."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

VARIABLE = "OMNI_LADDER"
"""The environment variable that holds it."""


class LadderSetup(BaseModel):
    """Which LiteLLM is repaired, and by what."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    base_url: str
    """Without a path behind it: `http://127.0.0.1:4000`."""
    key: str | None = None
    """Its master key, to ask for its models."""
    start: str | None = None
    """The command line that is LiteLLM, or starts it."""
    restart: str | None = None
    """The command line of who keeps it (compose, systemd): it ends the old one itself."""
    config: Path | None = None
    """LiteLLM's own file."""
    cwd: Path | None = None
    """Where the commands run."""
    env: Mapping[str, str] = {}
    """What LiteLLM's environment has beside PATH, HOME and the like."""
    grace: float = 60
    """Seconds from a start to its answer."""
    folder: Path
    """Where the known-good copy, the journal and the log of the newest start are."""

    @property
    def port(self) -> int:
        """The port at which it listens."""
        url = urlsplit(self.base_url)
        return url.port or (443 if url.scheme == "https" else 80)

    @property
    def command(self) -> str | None:
        """What brings it back, if anything does."""
        return self.restart or self.start
