"""What completed tasks left for those after them."""

from collections.abc import Sequence

from omni_mcp.errors import MemoryUnknown
from omni_mcp.ledger import memories
from omni_mcp.ledger.dependants import id_range, the_one
from omni_mcp.ledger.store import Values
from omni_mcp.ledger.verbs.part import Part
from omni_mcp.task import Memory


class MemoryVerbs(Part):
    """What completed tasks left."""

    async def forget(self, id_or_prefix: str, *, principal: str | None) -> str:
        low, high = id_range(id_or_prefix)
        rows = await self._read(memories.FIND, {"low": low, "high": high, "principal": principal})
        if not rows:
            raise MemoryUnknown(id_or_prefix)
        task_id = the_one(id_or_prefix, [row["task_id"] for row in rows])
        await self._write(lambda db: db.execute(memories.FORGET, {"id": task_id}).rowcount)
        return task_id

    async def recall(self, text: str, *, principal: str, project: str | None, limit: int) -> Sequence[Memory]:
        if (words := memories.looked_for(text)) is None:
            return []
        values = {"words": words, "principal": principal, "project": project or "", "limit": limit}
        return [memories.a_memory(row) for row in await self._read(memories.RECALL, values)]

    async def memories(self, text: str | None, *, principal: str | None, limit: int) -> Sequence[Memory]:
        values: Values = {"principal": principal, "limit": limit}
        if text is None:
            return [memories.a_memory(row) for row in await self._read(memories.NEWEST, values)]
        if (words := memories.looked_for(text)) is None:
            return []
        rows = await self._read(memories.SEARCH, {**values, "words": words})
        return [memories.a_memory(row) for row in rows]
