"""The engine: whether it runs, whether it is ours in age, and why it does not come up. None running is normal."""

import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni_mcp import __version__
from omni_mcp.background import START_LIMIT
from omni_mcp.crashes import last_lines
from omni_mcp.doctor.finding import Finding, Severity, note, ok
from omni_mcp.doctor.ledger import reading
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.shell import ours
from omni_mcp.keeper import is_older
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.owners import holder
from omni_mcp.processes import is_stopped

A_DECISION = "a decision"
"""What a command needs that asks before it does something."""
LAST_LINES = 5
"""Lines of the engine's log that are shown where it ended badly."""

_LOGGED = re.compile(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\{"time": "')
"""The beginning of a line that the engine wrote while it was well; a last line without it is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What the newest engine said of itself in the ledger; read by column, as the ledger may be of another release."""

    pid: int = 0
    version: str = __version__
    settings: str = ""
    there: bool = False
    """Whether it has not said goodbye."""
    tasks: bool = False
    """Whether tasks are open."""


def engine(scene: Scene) -> Iterator[Finding]:
    """Say whether an engine runs, and how."""
    pid = holder(scene.home.engine_lock) if scene.home.engine_lock.exists() else None
    said = _announced(scene.home.ledger)
    restart = ours(scene.home, "engine", "restart")
    if pid is None:
        yield _none_runs(scene, said, restart)
    elif is_stopped(pid):
        text = f"the engine (pid {pid}) is paused: it holds its tasks and does nothing"
        yield Finding(code="engine-paused", severity=Severity.ERROR, text=text, fix=f"kill -CONT {pid}", safe=True)
    elif said.there and is_older(said.version, __version__):
        text = f"the engine (pid {pid}) is version {said.version}, this program is {__version__}"
        yield Finding(code="engine-old", severity=Severity.WARNING, text=text, fix=restart, safe=True)
    elif said.there and said.settings not in ("", str(scene.home.servers)):
        text = f"the engine (pid {pid}) reads {said.settings}, not {scene.home.servers}: it has other executors"
        yield Finding(code="engine-settings", severity=Severity.WARNING, text=text, fix=restart)
    else:
        yield ok("engine", f"runs, pid {pid}; its log is {scene.home.engine_log}")


def _none_runs(scene: Scene, said: Announced, restart: str) -> Finding:
    """Say what that means: nothing, unless something waits for one."""
    last = last_lines(scene.home.engine_log)[-LAST_LINES:]
    if last and not _LOGGED.match(last[-1]):
        text = f"the last engine ended with an error: {' | '.join(last)}"
        return Finding(code="engine-crashed", severity=Severity.ERROR, text=text, fix=restart, safe=True)
    if said.tasks:
        text = "no engine runs, and tasks are open; they go on when one starts: with this, or with the next client"
        return Finding(code="engine-gone", severity=Severity.WARNING, text=text, fix=restart, safe=True)
    if scheduled := scene.settings.servers.scheduled:
        text = f"no engine runs, so schedules do not: {', '.join(scheduled)}"
        fix = ours(scene.home, "service", "install")
        return Finding(code="schedules-stand", severity=Severity.WARNING, text=text, fix=fix, needs=A_DECISION)
    if said.there:
        text = f"the last engine (pid {said.pid}) was killed, or the machine went down; no task waits"
        return note("engine-killed", text)
    return ok("engine", "none runs; the next task starts one")


def start(scene: Scene) -> Iterator[Finding]:
    """Say whether somebody holds the right to start an engine for longer than that takes."""
    lock = scene.home.engine_start
    pid = holder(lock) if lock.exists() else None
    if pid and time.time() - lock.stat().st_mtime > 2 * START_LIMIT:
        text = f"process {pid} has been starting an engine for too long, and nobody else may meanwhile"
        yield Finding(
            code="engine-start-stuck", severity=Severity.ERROR, text=text, fix=f"kill {pid}", needs=A_DECISION
        )


def _announced(ledger: Path) -> Announced:
    """Read what an engine announced; a ledger that cannot be read is told of elsewhere."""
    if not ledger.is_file():
        return Announced()
    try:
        with reading(ledger) as db:
            row: sqlite3.Row | None = db.execute(sql.ENGINE).fetchone()
            tasks = bool(db.execute(*sql.of_whom(sql.COUNTS, None)).fetchall())
    except sqlite3.Error:
        return Announced()
    said: dict[str, Any] = {} if row is None else {name: row[name] for name in row.keys()}  # noqa: SIM118 - no mapping
    known = {name: said[name] for name in ("pid", "version", "settings") if name in said}
    return Announced(**known, there=row is not None and said["gone_at"] is None, tasks=tasks)
