"""Keep what a process was started with, keys among it, out of what other processes of the account may look at. Linux.

`/proc/PID/environ` shows the memory that a process got its environment in, for as long as it lives, to every other
process of the account: to the shell of an agent, too. The values are moved from there to the heap, so that this process
and libraries still have them. `/proc/PID/mem` then shows them to nobody but root, and to root always.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from omni_mcp.processes import INHERITED, MARKS

SHOWN = frozenset({*INHERITED, *MARKS, "OMNI_HOME"})
"""What may be seen: it says whose a process is, and no secrets."""

_PR_SET_DUMPABLE = 4
_ENV_START, _ENV_END = 47, 48
"""Of `/proc/PID/stat` (proc_pid_stat(5): fields 50 and 51), counted from the state."""


def hide_environment() -> None:
    """Blank the values that our environment began with, in what the kernel shows of it."""
    if sys.platform != "linux":
        return
    for name, value in os.environ.items():
        os.environ[name] = value  # setenv(3) makes a copy: the C library no longer points to the old place
    start, end = _place()
    for at, size in _values(ctypes.string_at(start, end - start)):
        ctypes.memset(start + at, 0, size)


def hide_memory() -> None:
    """Let nobody but root look into our memory and descriptors, and write no core dump."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _place() -> tuple[int, int]:
    """Return where the environment began and ended when this process was started."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return int(fields[_ENV_START]), int(fields[_ENV_END])


def _values(block: bytes) -> Iterator[tuple[int, int]]:
    """Yield place and length of each value that is not to be shown."""
    at = 0
    for entry in block.split(b"\0"):
        name, _, value = entry.partition(b"=")
        if os.fsdecode(name) not in SHOWN:
            yield at + len(name) + 1, len(value)
        at += len(entry) + 1
