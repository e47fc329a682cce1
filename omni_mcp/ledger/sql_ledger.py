"""The ledger in SQL: all verbs and readers of the port, over a store that holds the rows."""

from typing import Self

import anyio
from anyio.lowlevel import checkpoint

from omni_mcp.ledger.verbs.asking import Asking
from omni_mcp.ledger.verbs.books import Books
from omni_mcp.ledger.verbs.house import House
from omni_mcp.ledger.verbs.memory import MemoryVerbs
from omni_mcp.ledger.verbs.scheduling import Scheduling
from omni_mcp.ledger.verbs.task_readers import TaskReaders
from omni_mcp.ledger.verbs.tasks import Tasks
from omni_mcp.ledger.verbs.telling import Telling


class SqlLedger(Tasks, TaskReaders, Asking, Scheduling, House, Telling, Books, MemoryVerbs):
    """`Ledger` over a store; closed with it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        with anyio.CancelScope(shield=True):
            await checkpoint()  # the writes of this moment are handed over before
            await self._store.close()
