"""One folder, one world: where the settings, the ledger, the locks and the logs of a home are."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import platformdirs

SERVE_PORT = 8765
"""Where `omni-mcp serve` listens, unless it is told another port."""


@dataclass(frozen=True, slots=True)
class Home:
    """One folder, one world: settings, ledger, locks, logs, working folders."""

    root: Path
    config: Path | None = None
    """A settings file elsewhere, used instead of the one in the home."""

    @classmethod
    def locate(cls, given: Path | None = None) -> Self:
        """Return the home: the one given, else `OMNI_HOME`, else the platform's user data folder.

        `OMNI_CONFIG` names a settings file elsewhere.
        """
        root = given or _named("OMNI_HOME") or Path(platformdirs.user_data_dir("omni-mcp", appauthor=False))
        config = _named("OMNI_CONFIG")
        return cls(root.expanduser().absolute(), config and config.expanduser().absolute())

    @property
    def servers(self) -> Path:
        """The settings file in force."""
        return self.config or self.root / "servers.yaml"

    @property
    def dotenv(self) -> Path:
        """Variables for the settings file, one `NAME=value` a line."""
        return self.root / ".env"

    @property
    def ledger(self) -> Path:
        """The SQLite file."""
        return self.root / "ledger.db"

    @property
    def identity(self) -> Path:
        """What tells this home from all others on a ledger that they share; a copy of a home has to be without it."""
        return self.root / "home.id"

    @property
    def owners(self) -> Path:
        """Lock files of the living."""
        return self.root / "owners"

    @property
    def engine_lock(self) -> Path:
        """Held by the one engine."""
        return self.root / "engine.lock"

    @property
    def engine_start(self) -> Path:
        """Held by who starts one, until it is up."""
        return self.root / "engine.start.lock"

    @property
    def engine_crashes(self) -> Path:
        """How often engines died right after their start; not there while all is well."""
        return self.root / "engine.crashes"

    @property
    def served_at(self) -> Path:
        """The URL at which `omni-mcp serve` answers; not there while none does, unless it was killed."""
        return self.root / "serve.url"

    @property
    def page_lock(self) -> Path:
        """Held by the process whose web page `omni-mcp dashboard` leads to."""
        return self.root / "page.lock"

    @property
    def page_at(self) -> Path:
        """The address of that page; it means nothing while nobody holds the lock."""
        return self.root / "page.url"

    @property
    def page_keys(self) -> Path:
        """Who may come in: a file for each link that was made and each browser that came in, by a hash of its key."""
        return self.root / "page-keys"

    @property
    def page_link(self) -> Path:
        """Leads a browser to the page, so that no list of processes shows the link; for its owner only."""
        return self.root / "page-link.html"

    @property
    def device_key(self) -> Path:
        """By what OpenClaw gateways elsewhere know this home again."""
        return self.root / "openclaw-device.key"

    @property
    def state_key(self) -> Path:
        """By what faces know again the state that an MCP client gives back with an answer."""
        return self.root / "request-state.key"

    @property
    def engine_log(self) -> Path:
        """What the background engine prints."""
        return self.root / "logs" / "engine.log"

    @property
    def repair(self) -> Path:
        """What repairs of LiteLLM keep: its known-good file, their journal, the log of the newest start."""
        return self.root / "repair"

    @property
    def work(self) -> Path:
        """Parent of the folders of tasks that name no `cwd`."""
        return self.root / "work"

    @property
    def worktrees(self) -> Path:
        """Parent of the git worktrees of tasks."""
        return self.root / "worktrees"


def make_private(folder: Path) -> None:
    """Make a folder, and what it is in, for their owner only; what is there already stays as it is. Raises OSError."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _named(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None
