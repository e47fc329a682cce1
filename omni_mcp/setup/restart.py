"""How the LiteLLM of this machine could be started again: by docker compose, or as its process was started."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import yaml

from omni_mcp.adapters.ladder_look import config_of, says_litellm
from omni_mcp.setup.text import masked

NAME = "litellm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A command that would start it again, and where; a guess that a person has to look at."""

    command: str
    cwd: str
    config: str | None = None
    """LiteLLM's own file, where it is known."""
    kept: bool = False
    """Whether somebody else keeps the process, and restarts it."""

    @property
    def row(self) -> Mapping[str, Any]:
        """As `fault_handler.repair` has it."""
        config = {} if self.config is None else {"config": self.config}
        way = {"restart": self.command} if self.kept else {"start": self.command}
        return {**way, **config, "cwd": self.cwd}


def by_compose(files: Sequence[str]) -> Restart | None:
    """Return how compose restarts it: the first service of these files that has its name or image."""
    for file in map(Path, files):
        for name in _services(file):
            command = f"docker compose -f {shlex.quote(str(file))} restart {shlex.quote(name)}"
            return Restart(command=command, cwd=str(file.parent), kept=True)
    return None


def _services(file: Path) -> Iterator[str]:
    with suppress(OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        tree: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        rows = cast("Mapping[str, Any]", tree["services"]).items()
        yield from (name for name, row in rows if NAME in name or NAME in str(row.get("image", "")))


def by_process(port: int) -> Restart | None:
    """Return how the process that listens on a port was started, if it is LiteLLM's and its words hold no key."""
    return next((found for process in psutil.process_iter() if (found := _restart(process, port))), None)


def _restart(process: psutil.Process, port: int) -> Restart | None:
    try:
        words = process.cmdline()
        if not says_litellm(words) or not _listens(process, port):
            return None
        cwd = process.cwd()
    except (psutil.Error, OSError):
        return None
    if masked({"args": words}) != {"args": words}:
        return None
    file = config_of(words)
    return Restart(command=shlex.join(words), cwd=cwd, config=str(Path(cwd) / file) if file else None)


def _listens(process: psutil.Process, port: int) -> bool:
    return any(link.status == psutil.CONN_LISTEN and link.laddr.port == port for link in process.net_connections("tcp"))
