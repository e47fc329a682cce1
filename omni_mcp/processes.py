"""Find and end whole process trees by a mark in their environment, and start children that do not outlive us.

A mark is inherited by everything that a child starts, whatever session or group it moves to, so it finds what a
killed parent has left behind.
"""

import functools
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio
import psutil

from omni_mcp.contract import OWNER_MARK, TASK_MARK

logger = logging.getLogger(__name__)

T = TypeVar("T")

SESSION_MARK = "OMNI_SESSION"
"""Environment variable that every process of one executor session inherits."""

MARKS = (OWNER_MARK, TASK_MARK, SESSION_MARK)
"""What an engine must not inherit, else it would be ended with the run that it was started from."""

GATEWAY = "openclaw-gateway"
"""How an OpenClaw gateway calls its process."""

GRACE = 2.0
"""Seconds between the polite end of a tree and its hard end."""

INHERITED = frozenset(
    {"PATH", "HOME", "LANG", "TERM", "USER", "LOGNAME", "SHELL", "TMPDIR"}
    | {"APPDATA", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATHEXT", "PROGRAMDATA", "SYSTEMDRIVE"}
    | {"SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE"}
)
"""All that a child sees of our environment, beside `LC_*`; the second and third line are what Windows needs."""

_LOOK_AGAIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep did, in words: `python (pid 4711)`."""

    ended: Sequence[str]
    remaining: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Inside of what a process runs, as far as marks tell."""

    task: str | None = None
    owner: str | None = None
    """The engine that started the run."""
    gateway: bool = False
    """An OpenClaw gateway started it, for one of its sessions; it does not say for which."""


@functools.cache
def origin() -> Origin | None:
    """Return whose run this process belongs to: the nearest mark on the way up to the first process. Blocks.

    Not the own environment alone: MCP clients hand their servers only a part of it.
    """
    return _origin_of(psutil.Process())


def origin_of(pid: int) -> Origin | None:
    """Return whose run another process belongs to; of one that has ended nothing is known. Blocks."""
    try:
        return _origin_of(psutil.Process(pid))
    except psutil.Error:
        return None


def _origin_of(me: psutil.Process) -> Origin | None:
    for process in (me, *me.parents()):
        if owner := _mark_of(process, OWNER_MARK):
            return Origin(task=_mark_of(process, TASK_MARK), owner=owner)
        if _is_gateway(process):
            return Origin(gateway=True)
    return None


def child_environment(extra: Mapping[str, str], *, owner: str) -> dict[str, str]:
    """Return the environment of a child: the allow-list, what its row adds, and the mark of its engine."""
    return {**inherited(), **extra, OWNER_MARK: owner}


def inherited() -> dict[str, str]:
    """Return what any child may see of our environment: the allow-list."""
    return {k: v for k, v in os.environ.items() if k.upper() in INHERITED or k.startswith("LC_")}


def die_with_parent(argv: Sequence[str], *, signal: str = "KILL") -> Sequence[str]:
    """Return a command whose process gets a signal from the kernel when the thread that started it ends.

    Linux with util-linux only; elsewhere (macOS, Windows, BusyBox) the command comes back unchanged. It holds for
    the process itself, not for what that starts: `sweep` is the other half. Not by `preexec_fn`: a fork of a process
    of our size takes 16 ms, in which its event loop stands still; without one Python uses vfork.
    """
    setpriv = _setpriv()
    return [setpriv, "--pdeathsig", signal, "--", *argv] if setpriv else argv


async def whole(start: Awaitable[T]) -> T:
    """Await a start to its end, whatever is cancelled meanwhile: cut off halfway, the child would belong to nobody."""
    started = list[T]()
    with anyio.CancelScope(shield=True):
        started.append(await start)
    return started[0]


def marked(mark: str, value: str) -> Sequence[psutil.Process]:
    """Return the living processes, but for this one, whose environment has `mark` set to `value`."""
    return list(_marked(f"{mark}={value}".encode()) if psutil.LINUX else _marked_elsewhere(mark, value))


def _marked(entry: bytes) -> Iterator[psutil.Process]:
    """Look by hand: four times as fast as psutil, and every run of an agent looks at all processes twice."""
    for pid in psutil.pids():
        with suppress(psutil.Error, OSError):  # it has gone, or is another user's
            if pid != os.getpid() and entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                yield psutil.Process(pid)


def _marked_elsewhere(mark: str, value: str) -> Iterator[psutil.Process]:
    return (p for p in psutil.process_iter() if p.pid != os.getpid() and _mark_of(p, mark) == value)


def sweep(mark: str, value: str, *, grace: float = GRACE) -> Swept:
    """End every process with this mark: politely, after `grace` seconds hard, then hard once more. Blocks."""
    ended: dict[int, str] = {}
    for end in (psutil.Process.terminate, psutil.Process.kill, psutil.Process.kill):
        found = marked(mark, value)
        if not found:
            return Swept(ended=list(ended.values()), remaining=[])
        ended |= {process.pid: named(process) for process in found}
        for process in found:
            with suppress(psutil.Error):
                end(process)
        wait_until_gone(found, limit=grace)
    left = {process.pid: named(process) for process in marked(mark, value)}
    if left:
        logger.warning("still alive after a sweep: %s", ", ".join(left.values()), extra={"action": "sweep"})
    return Swept(ended=[name for pid, name in ended.items() if pid not in left], remaining=list(left.values()))


def is_stopped(pid: int) -> bool:
    """Whether a process is paused, as by SIGSTOP or Ctrl-Z: it is there, and does nothing."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


@functools.cache
def _setpriv() -> str | None:
    found = shutil.which("setpriv") if sys.platform == "linux" else None
    if found is None:
        return None
    # BusyBox has a setpriv too, but one that cannot do this.
    probe = [found, "--pdeathsig", "KILL", "--", found, "--version"]
    knows = subprocess.run(probe, capture_output=True, check=False, stdin=subprocess.DEVNULL).returncode == 0
    return found if knows else None


def _mark_of(process: psutil.Process, mark: str) -> str | None:
    """Return the mark; what is gone, a zombie or another user's has none."""
    try:
        return process.environ().get(mark)
    except (psutil.Error, OSError):
        return None


def _is_gateway(process: psutil.Process) -> bool:
    """Whether a process is an OpenClaw gateway, by the title that it gives itself."""
    try:
        return process.name() == GATEWAY
    except psutil.Error:
        return False


def named(process: psutil.Process) -> str:
    """Return what a process is called: `python3 (pid 4711)`."""
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"


def wait_until_gone(processes: Sequence[psutil.Process], *, limit: float) -> None:
    """Wait until all are gone; not by `psutil.wait_procs`, which would take a child's exit status from its parent."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and not all(gone(process) for process in processes):
        time.sleep(_LOOK_AGAIN)


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
