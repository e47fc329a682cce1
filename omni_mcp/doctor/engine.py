"""The engine: whether it runs, whether it is ours in age, and why it does not come up. None running is normal."""

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from omni_mcp import __version__
from omni_mcp.background import START_LIMIT
from omni_mcp.doctor.finding import Finding, Severity, note, ok
from omni_mcp.doctor.ledger import reading
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.shell import ours
from omni_mcp.ledger import statements as sql
from omni_mcp.ledger.base import EngineMark
from omni_mcp.ledger.owners import holder
from omni_mcp.ledger.rows import an_engine

LAST_LINES = 5
"""Lines of the engine's log that are shown where it ended badly."""
TAIL_BYTES = 8192
"""Of the log, where they are looked for."""

_LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
"""The beginning of a line that the engine wrote while it was well; a last line without it is an error."""
_NUMBERS = re.compile(r"\d+")


def engine(scene: Scene) -> Iterator[Finding]:
    """Say whether an engine runs, and how."""
    pid = holder(scene.home.engine_lock) if scene.home.engine_lock.exists() else None
    mark, waited_for = _announced(scene.home.ledger)
    if pid is None:
        yield _none_runs(scene, mark, waited_for=waited_for)
    elif _is_stopped(pid):
        text = f"the engine (pid {pid}) is paused: it holds its tasks and does nothing"
        yield Finding(code="engine-paused", severity=Severity.ERROR, text=text, fix=f"kill -CONT {pid}", safe=True)
    elif mark is not None and mark.there and _age(mark.version) < _age(__version__):
        text = f"the engine (pid {pid}) is version {mark.version}, this program is {__version__}"
        fix = ours(scene.home, "engine", "restart")
        yield Finding(code="engine-old", severity=Severity.WARNING, text=text, fix=fix, safe=True)
    else:
        yield ok("engine", f"runs, pid {pid}; its log is {scene.home.engine_log}")


def _none_runs(scene: Scene, mark: EngineMark | None, *, waited_for: bool) -> Finding:
    last = _last_lines(scene.home.engine_log)
    fix = ours(scene.home, "engine", "restart")
    if last and not _LOGGED.match(last[-1]):
        text = "the last engine ended with an error: " + " | ".join(last)
        return Finding(code="engine-crashed", severity=Severity.ERROR, text=text, fix=fix, safe=True)
    if waited_for:
        text = "no engine runs, and tasks are open; they go on when one starts: with this, or with the next client"
        return Finding(code="engine-gone", severity=Severity.WARNING, text=text, fix=fix, safe=True)
    if mark is not None and mark.there:
        return note(
            "engine-killed", f"the last engine (pid {mark.pid}) was killed, or the machine went down; no task waits"
        )
    return ok("engine", "none runs; the next task starts one")


def start(scene: Scene) -> Iterator[Finding]:
    """Say whether somebody holds the right to start an engine for longer than that takes."""
    lock = scene.home.engine_start
    pid = holder(lock) if lock.exists() else None
    if pid and time.time() - lock.stat().st_mtime > 2 * START_LIMIT:
        text = f"process {pid} has been starting an engine for too long, and nobody else may meanwhile"
        yield Finding(
            code="engine-start-stuck", severity=Severity.ERROR, text=text, fix=f"kill {pid}", needs="a decision"
        )


def _announced(ledger: Path) -> tuple[EngineMark | None, bool]:
    """Return what the newest engine announced, and whether tasks are open; a bad ledger is told of elsewhere."""
    if not ledger.is_file():
        return None, False
    try:
        with reading(ledger) as db:
            row = db.execute(sql.ENGINE).fetchone()
            return None if row is None else an_engine(row), bool(db.execute(sql.COUNTS).fetchall())
    except sqlite3.Error:
        return None, False


def _is_stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def _age(version: str) -> list[int]:
    return [int(number) for number in _NUMBERS.findall(version)]


def _last_lines(log: Path) -> Sequence[str]:
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()][-LAST_LINES:]
