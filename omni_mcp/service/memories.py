"""Read what completed tasks left, and forget it."""

from omni_mcp.ledger.base import OwedMemory
from omni_mcp.service.part import Part
from omni_mcp.views.memory import ForgottenView, MemoriesView, memory_view

NO_MEMORY = "memory.kind is none in servers.yaml: nothing is remembered or recalled"
SERVER_HAS_IT = "the memory is the MCP server of `memory` in servers.yaml: what that has taken is not shown here"


class MemoryVerbs(Part):
    """What completed tasks left."""

    async def memories(self, text: str | None = None, *, limit: int) -> MemoriesView:
        """Return what completed tasks have left, the newest first; with a text those nearest to it."""
        found = [memory_view(each) for each in await self.ledger.memories(text, principal=self._whose, limit=limit)]
        if text is None:
            owed = await self.ledger.owed_memories(principal=self._whose, limit=limit)
            found = [*(memory_view(each.memory, not_taken=_not_taken(each)) for each in owed), *found][:limit]
        return MemoriesView(memories=found, note=_elsewhere(self.settings().servers.memory.kind))

    async def forget(self, task_id: str) -> ForgottenView:
        """Remove the memory of a task. Raises MemoryUnknown, TaskAmbiguous."""
        return ForgottenView(task_id=await self.ledger.forget(task_id, principal=self._whose))


def _elsewhere(kind: str) -> str | None:
    """Say why memories are not shown here, if they are not."""
    return {"embedded": None, "none": NO_MEMORY}.get(kind, SERVER_HAS_IT)


def _not_taken(owed: OwedMemory) -> str:
    if owed.given_up_at is not None:
        return f"given up: {owed.trouble}"
    return f"on its way; last try: {owed.trouble}" if owed.trouble else "on its way"
