"""Which clients there are, where each keeps its configuration, and how it writes an MCP server there."""

import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from omni_mcp.clients import json_edit, toml_edit
from omni_mcp.errors import BadRequest

SERVER = "omni"
"""The name that we have in every client."""


class Editor(Protocol):
    """Edits one kind of file; the modules `json_edit` and `toml_edit` are such editors."""

    def find(self, text: str, keys: Sequence[str]) -> Any:
        """Return the value under a path of keys, or None."""
        ...

    def insert(self, text: str, keys: Sequence[str], value: Any) -> str:
        """Return the text with a value under a path of keys."""
        ...

    def remove(self, text: str, keys: Sequence[str]) -> str:
        """Return the text without what is under a path of keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A machine and its user: all that the place of a configuration depends on."""

    platform: str = sys.platform
    user: Path = field(default_factory=Path.home)
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)
    folder: Path = field(default_factory=Path.cwd)

    def named(self, variable: str, default: Path) -> Path:
        """Return the folder that a variable names, else the default."""
        return Path(self.variables.get(variable) or default)

    @property
    def app_data(self) -> Path:
        """Where desktop applications keep their settings."""
        if self.platform == "darwin":
            return self.user / "Library/Application Support"
        if self.platform == "win32":
            return self.named("APPDATA", self.user / "AppData/Roaming")
        return self.named("XDG_CONFIG_HOME", self.user / ".config")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKind:
    """An MCP client: how it is called, where its configuration is, and where in it the servers stand."""

    title: str
    path: Callable[[Place], Path]
    keys: Sequence[str] = ("mcpServers", SERVER)
    names_transport: bool = False
    editor: Editor = json_edit
    http: Mapping[str, Any] | None = None
    """What stands beside the url of a server that it reaches over HTTP; None: over stdio is as good."""
    stdio: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What stands beside the command of a server that it starts."""

    def entry(
        self, command: str, home: Path | None, config: Path | None = None, *, url: str | None = None
    ) -> dict[str, Any]:
        """Return our server as this client writes it; without a home it is the user's own, with its servers.yaml.

        With a `url` it is the one that serves there.
        """
        if url is not None:
            return {"url": url, **(self.http or {})}
        kind = {"type": "stdio"} if self.names_transport else {}
        named = {name: str(path) for name, path in (("OMNI_HOME", home), ("OMNI_CONFIG", config)) if path}
        return {**kind, "command": command, "args": [], **({"env": named} if named else {}), **self.stdio}


OPENCLAW_LIMITS: Mapping[str, Any] = {"connectionTimeoutMs": 30_000, "requestTimeoutMs": 90_000}
"""Its own are 5 s until a session is open, too short for a busy machine; a call of ours waits up to 50 s."""


def _openclaw(place: Place) -> Path:
    state = place.named("OPENCLAW_STATE_DIR", place.user / ".openclaw")
    return place.named("OPENCLAW_CONFIG_PATH", state / "openclaw.json")


def _zed(place: Place) -> Path:
    """https://zed.dev/docs/configuring-zed; on macOS it is not in the folder of applications."""
    if place.platform == "win32":
        return place.app_data / "Zed/settings.json"
    return place.named("XDG_CONFIG_HOME", place.user / ".config") / "zed/settings.json"


CLIENTS: Mapping[str, ClientKind] = {
    "claude-code": ClientKind(
        title="Claude Code",
        path=lambda place: place.named("CLAUDE_CONFIG_DIR", place.user) / ".claude.json",
        names_transport=True,
    ),
    "claude-desktop": ClientKind(
        title="Claude Desktop", path=lambda place: place.app_data / "Claude/claude_desktop_config.json"
    ),
    "cursor": ClientKind(title="Cursor", path=lambda place: place.user / ".cursor/mcp.json"),
    "vscode": ClientKind(
        title="VS Code",
        path=lambda place: place.app_data / "Code/User/mcp.json",
        keys=("servers", SERVER),
        names_transport=True,
    ),
    "codex": ClientKind(
        title="Codex",
        path=lambda place: place.named("CODEX_HOME", place.user / ".codex") / "config.toml",
        keys=("mcp_servers", SERVER),
        editor=toml_edit,
    ),
    "gemini-cli": ClientKind(title="Gemini CLI", path=lambda place: place.user / ".gemini/settings.json"),
    "windsurf": ClientKind(title="Windsurf", path=lambda place: place.user / ".codeium/windsurf/mcp_config.json"),
    "zed": ClientKind(title="Zed", path=_zed, keys=("context_servers", SERVER)),
    "cline": ClientKind(title="Cline", path=lambda place: place.user / ".cline/data/settings/cline_mcp_settings.json"),
    "kiro": ClientKind(title="Kiro", path=lambda place: place.user / ".kiro/settings/mcp.json"),
    "lm-studio": ClientKind(title="LM Studio", path=lambda place: place.user / ".lmstudio/mcp.json"),
    "openclaw": ClientKind(
        title="OpenClaw",
        path=_openclaw,
        keys=("mcp", "servers", SERVER),
        http={"transport": "streamable-http", **OPENCLAW_LIMITS},
        stdio=OPENCLAW_LIMITS,
    ),
    "json": ClientKind(title="This folder", path=lambda place: place.folder / ".mcp.json"),
}


def client_named(name: str) -> ClientKind:
    """Return a client. Raises BadRequest that names the nearest one."""
    if name in CLIENTS:
        return CLIENTS[name]
    near = difflib.get_close_matches(name.lower(), CLIENTS, n=1)
    raise BadRequest(
        f"no client is called {name[:64]!r}; there are: {', '.join(CLIENTS)}",
        next_step=f"omni-mcp install {near[0] if near else 'json'}",
    )
