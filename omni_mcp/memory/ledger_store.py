"""The memory in the ledger: what a task leaves is written with its end, so there is nothing on its way."""

from collections.abc import Sequence
from dataclasses import dataclass

from omni_mcp.decide.remembering import Recalled
from omni_mcp.ledger.base import Ledger, OwedMemory
from omni_mcp.settings import Settings


@dataclass(frozen=True)
class LedgerStore:
    """`MemoryStore` over the ledger's full-text index."""

    ledger: Ledger
    name = "embedded"
    outside = False

    def admits(self, principal: str) -> bool:  # pylint: disable=unused-argument
        """Return True: the ledger knows whose is what."""
        return True

    async def recall(self, text: str, *, principal: str, project: str | None, limit: int) -> Sequence[Recalled]:
        """Return what shares words with a text. Raises LedgerError."""
        found = await self.ledger.recall(text, principal=principal, project=project, limit=limit)
        return [Recalled.of(memory) for memory in found]

    async def add(self, owed: OwedMemory) -> None:
        """Take over what a memory server was owed that is configured no more. Raises LedgerError."""
        await self.ledger.keep_memory(owed.number)


def ledger_store(settings: Settings, ledger: Ledger) -> LedgerStore | None:
    """Return the memory in the ledger, where the settings have that."""
    return LedgerStore(ledger) if settings.servers.memory.kind == "embedded" else None
