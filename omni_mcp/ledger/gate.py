"""The write gate: one writer at a time over all processes of a home, in the order of asking.

It is held around every whole BEGIN … COMMIT and around open and close of read-write connections. That bounds the tail
(SQLite's own busy handler is unfair) and keeps commits and checkpoints of two processes from ever overlapping, which
is the precondition of SQLite's WAL-reset bug (3.7.0-3.51.2, sqlite.org/wal.html#walresetbug).
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from omni_mcp.errors import LedgerUnusable
from omni_mcp.ledger.file_lock import lock, unlock

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs"})
"""File systems on which neither the gate nor SQLite's WAL can work."""


class WriteGate:
    """A lock file beside the ledger."""

    def __init__(self, path: Path) -> None:
        refuse_network(path.parent)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold the gate; waits for as long as somebody else does."""
        lock(self._fd, block=True)
        try:
            yield
        finally:
            unlock(self._fd)

    def close(self) -> None:
        """Close the lock file."""
        os.close(self._fd)


def refuse_network(folder: Path) -> None:
    """Raise LedgerUnusable when the folder is on a network file system."""
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    here = folder.resolve()
    kind = next((mounts[place] for place in (here, *here.parents) if place in mounts), "")
    if kind.lower() in NETWORK:
        raise LedgerUnusable(
            f"{folder} is on a network file system ({kind}), which cannot hold a ledger",
            next_step="set OMNI_HOME to a folder on a local disk",
        )
