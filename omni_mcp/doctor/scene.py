"""What the checks look at: a home, its settings, its executors, and this process's environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omni_mcp.errors import SettingsError
from omni_mcp.home import Home
from omni_mcp.presets import ExecutorSpec, resolve
from omni_mcp.settings import Settings, load
from omni_mcp.settings_file import read
from omni_mcp.translate.kind import Kind, translate
from omni_mcp.yaml_file import Document, KeyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Read once, for all checks."""

    settings: Settings
    specs: Mapping[str, ExecutorSpec]
    document: Document | None
    """The settings file in our words, variables and all; None where there is none, or it cannot be read."""
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)
    deep: bool = False
    """Whether to look longer: the whole ledger, a session to each executor."""

    @property
    def home(self) -> Home:
        """The home that is looked at."""
        return self.settings.home

    @property
    def nearest(self) -> Path:
        """The home, or of what it would be made in the nearest that is there."""
        return next(path for path in (self.home.root, *self.home.root.parents) if path.exists())

    @property
    def is_open(self) -> bool:
        """Whether there is a home to look into, or can be one; if not, that is the one thing to tell."""
        return self.nearest.is_dir() and os.access(self.nearest, os.X_OK)

    def line(self, *path: str) -> int | None:
        """Return the line of a key in the settings file, or of what it is in."""
        return self.document.line(path) if self.document else None

    @property
    def may_be_edited(self) -> bool:
        """Whether a command may edit lines of the settings file: YAML, in our own words."""
        return self.settings.kind is Kind.OURS and self.home.servers.suffix in (".yaml", ".yml")

    def written(self, path: KeyPath) -> Any:
        """Return what stands under a path of keys in the settings file, before variables are filled in."""
        value: Any = self.document.tree if self.document else None
        for key in path:
            value = _below(value, key)
        return value


def _below(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).get(key)
    entries = cast("list[Any]", value) if isinstance(value, list) else []
    return entries[int(key)] if key.isdigit() and int(key) < len(entries) else None


def scene_of(home: Home, *, deep: bool = False) -> Scene:
    """Read what there is to read. Never raises."""
    settings = load(home)
    return Scene(settings=settings, specs=resolve(settings), document=_document(home), deep=deep)


def _document(home: Home) -> Document | None:
    try:
        return translate(read(home.servers)).document
    except (OSError, SettingsError):
        return None
