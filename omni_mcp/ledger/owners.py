"""Who is alive: locks of the operating system, dropped by the kernel at a holder's death and kept through a pause."""

import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from omni_mcp.errors import EngineError
from omni_mcp.home import make_private
from omni_mcp.ledger.file_lock import lock, unlock

PROBE_TIME = 0.2
"""Seconds in which a taker tries again: somebody who only looks holds the lock for a moment."""
STEP = 0.02
"""Seconds between two tries of a bounded wait."""
UNNAMED = 0
"""Stands for the pid of a holder that has not yet written its own."""


class HeldLock:
    """A lock that this process holds until `close`, the end of the `with`, or its death."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    def fileno(self) -> int:
        """Return the descriptor; a child that inherits it holds the lock as well."""
        return -1 if self._fd is None else self._fd

    def close(self) -> None:
        """Let go."""
        if self._fd is not None:
            unlock(self._fd)
            os.close(self._fd)
            self._fd = None

    def hand_over(self) -> None:
        """Leave the lock to a child that has inherited it; where none can (Windows), let go."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def try_hold(path: Path) -> HeldLock | None:
    """Take a lock and write our pid into its file; None when somebody else holds it."""
    make_private(path.parent)
    deadline = time.monotonic() + PROBE_TIME
    while (fd := _lock_file(path)) is None:
        if time.monotonic() > deadline:
            return None
        time.sleep(STEP)
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, str(os.getpid()).encode())
    return HeldLock(fd)


def _lock_file(path: Path) -> int | None:
    """Open and lock a file; None when it is somebody else's, or was unlinked before the lock was ours."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if lock(fd, block=False) and _is_file_of(path, fd):
        return fd
    os.close(fd)
    return None


def _is_file_of(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def holder(path: Path) -> int | None:
    """Return the pid of the lock's holder, UNNAMED if it has not yet said, None when nobody holds it."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        if lock(fd, block=False, shared=True):
            unlock(fd)
            return None
        said = os.read(fd, 20)
        return int(said) if said.isdigit() else UNNAMED
    finally:
        os.close(fd)


def wait_until_free(path: Path, *, limit: float | None = None) -> bool:
    """Block until nobody holds the lock; False when `limit` seconds are over first. Without one the kernel wakes us."""
    if limit is not None:
        return _poll_until_free(path, limit)
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        lock(fd, block=True, shared=True)
        unlock(fd)
    finally:
        os.close(fd)
    return True


def _poll_until_free(path: Path, limit: float) -> bool:
    deadline = time.monotonic() + limit
    while holder(path) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(STEP)
    return True


@contextmanager
def owner_lock(owners: Path, owner: str) -> Generator[None]:
    """Be alive as `owner` until the end of the `with`, or our death."""
    path = _path(owners, owner)
    held = try_hold(path)
    if held is None:
        raise EngineError(f"the owner id {owner} is taken", next_step="start again: a new one is drawn")
    with held:
        yield
        path.unlink(missing_ok=True)


def is_alive(owners: Path, owner: str) -> bool:
    """Whether the process that is `owner` lives (also when it is paused)."""
    return bool(owner) and holder(_path(owners, owner)) is not None


def bury_dead(owners: Path) -> Sequence[str]:
    """Remove the lock files of the dead; returns their owner ids."""
    dead = [path for path in owners.glob("*.lock") if holder(path) is None]
    for path in dead:
        path.unlink(missing_ok=True)
    return [path.stem for path in dead]


def _path(owners: Path, owner: str) -> Path:
    return owners / f"{owner}.lock"
