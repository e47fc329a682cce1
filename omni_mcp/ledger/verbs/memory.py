"""What completed tasks left for those after them."""

from collections.abc import Sequence
from datetime import datetime

from omni_mcp.errors import MemoryUnknown
from omni_mcp.ledger import memories, memory_outbox, memory_statements
from omni_mcp.ledger.base import OwedMemory
from omni_mcp.ledger.dependants import id_range, the_one
from omni_mcp.ledger.rows import maybe_stamp
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
        await self._write(lambda db: memories.forget(db, task_id))
        return task_id

    async def memory_taken(self, number: int) -> None:
        await self._write(lambda db: db.execute(memory_statements.TAKE, {"n": number}).fetchone())

    async def keep_memory(self, number: int) -> None:
        await self._write(lambda db: memories.take_in(db, number))

    async def put_off_memory(self, number: int, *, trouble: str, due_at: datetime | None) -> None:
        values = self._values(n=number, trouble=trouble, due_at=maybe_stamp(due_at))
        await self._write(lambda db: memory_outbox.put_off(db, values))

    async def recall(self, text: str, *, principal: str, project: str | None, limit: int) -> Sequence[Memory]:
        if (words := memories.looked_for(text)) is None:
            return []
        values = {"words": words, "principal": principal, "project": project or "", "limit": limit}
        return [memory_outbox.the_memory(row) for row in await self._read(memories.RECALL, values)]

    async def memories(self, text: str | None, *, principal: str | None, limit: int) -> Sequence[Memory]:
        values: Values = {"principal": principal, "limit": limit}
        if text is None:
            return [memory_outbox.the_memory(row) for row in await self._read(memories.NEWEST, values)]
        if (words := memories.looked_for(text)) is None:
            return []
        rows = await self._read(memories.SEARCH, {**values, "words": words})
        return [memory_outbox.the_memory(row) for row in rows]

    async def owed_memory(self) -> OwedMemory | None:
        rows = await self._read(memory_statements.DUE, {})
        return memory_outbox.an_owed_memory(rows[0]) if rows else None

    async def owed_memories(self, *, principal: str | None, limit: int) -> Sequence[OwedMemory]:
        rows = await self._read(memory_statements.ALL, {"principal": principal, "limit": limit})
        return [memory_outbox.an_owed_memory(row) for row in rows]

    async def owed_to(self, *, principal: str, project: str | None, limit: int) -> Sequence[Memory]:
        values = {"principal": principal, "project": project or "", "limit": limit}
        return [memory_outbox.the_memory(row) for row in await self._read(memory_statements.OF, values)]
