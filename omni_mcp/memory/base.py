"""The memory port: who finds what earlier tasks left, and keeps what a task leaves."""

from collections.abc import Sequence
from typing import Protocol

from omni_mcp.decide.remembering import Recalled
from omni_mcp.ledger.base import OwedMemory


class MemoryStore(Protocol):
    """A memory. Of ours there are two: `ledger_store.LedgerStore` and `server.MemoryServer`."""

    name: str
    """What people call it."""
    outside: bool
    """True: it is not in the ledger, so what a task leaves is owed to it until it has it."""

    def admits(self, principal: str) -> bool:
        """Whether tasks of a principal may use it: one that cannot tell principals apart is for `local` alone."""
        ...

    async def recall(self, text: str, *, principal: str, project: str | None, limit: int) -> Sequence[Recalled]:
        """Return what bears on a text, the nearest first. Raises MemoryFailed, LedgerError."""
        ...

    async def add(self, owed: OwedMemory) -> None:
        """Take what is owed. Called for one at a time; twice for the same where an answer was lost.

        Raises MemoryFailed, LedgerError.
        """
        ...
