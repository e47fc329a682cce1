"""The memory of one attempt: what it is told of earlier tasks, and what it leaves. No task waits long for it."""

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import anyio

from omni_mcp.decide.options import remembers
from omni_mcp.decide.remembering import ASKED, OUTCOME, Recalled, remembered, told
from omni_mcp.errors import LedgerError, MemoryFailed
from omni_mcp.ledger.base import Ledger, Remembered
from omni_mcp.ledger.memories import words_of
from omni_mcp.memory.base import MemoryStore
from omni_mcp.presets import ExecutorSpec
from omni_mcp.servers_file.memory import MemorySettings
from omni_mcp.task import SYSTEM_REPAIR, Completed, Memory, Outcome, Task

logger = logging.getLogger(__name__)

PLACE = "{memory}"
"""Where the arguments of a tool take what is remembered: other tools get none, their arguments may be anything."""
ON_THE_WAY = 50
"""Memories that are not in the memory server yet and are looked at when a task recalls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembering:
    """What is remembered for a task, and of it."""

    ledger: Ledger
    settings: MemorySettings
    store: MemoryStore | None
    """None: nothing is remembered or recalled."""
    secrets: Collection[str]
    """Values that never enter the memory."""

    async def recall(self, task: Task, spec: ExecutorSpec) -> str:
        """Return what its executor is told of earlier tasks, '' if nothing; the history says what that was.

        A memory that is slow or broken costs no more than its time-out, and no task.
        """
        store = self._store(task)
        if store is None or not _listens(spec):
            return ""
        found: list[Recalled] = []
        try:
            with anyio.fail_after(self.settings.timeout):
                await self._find(store, task, found)
        except TimeoutError:
            await self._lack(task, found, f"the memory took longer than {self.settings.timeout:g} s")
        except (LedgerError, MemoryFailed) as error:
            await self._lack(task, found, str(error))
        except Exception as error:
            logger.exception("recalling broke", extra={"action": "memory", "task_id": task.id})
            await self._lack(task, found, type(error).__name__)
        memories = list(dict.fromkeys(found))[: self.settings.most]
        if memories:
            said = "; ".join(memory.in_short for memory in memories)
            where = f"recalled from earlier tasks ({store.name}): {said}"
            await self._note(task, where if store.outside else f"recalled from earlier tasks: {said}")
        return told(memories)

    async def _find(self, store: MemoryStore, task: Task, found: list[Recalled]) -> None:
        """Add what bears on a task: of what is still on its way to the memory, then of what is there.

        So what a memory server that is away has not taken is told none the less. Raises MemoryFailed, LedgerError.
        """
        text, principal, project = task.spec.description, task.spec.principal, task.spec.cwd
        if store.outside:
            owed = await self.ledger.owed_to(principal=principal, project=project, limit=ON_THE_WAY)
            found += map(Recalled.of, _alike(owed, text))
        found += await store.recall(text, principal=principal, project=project, limit=self.settings.most)

    async def _lack(self, task: Task, found: Sequence[Recalled], why: str) -> None:
        await self._note(task, f"no more is recalled: {why}" if found else f"nothing is recalled: {why}")

    def leaves(self, task: Task, outcome: Outcome) -> Remembered | None:
        """Return what is remembered of a task that ends so."""
        store = self._store(task)
        if store is None or not isinstance(outcome, Completed):
            return None
        return Remembered(
            asked=remembered(task.spec.description, ASKED, secrets=self.secrets),
            outcome=remembered(outcome.text, OUTCOME, secrets=self.secrets),
            owed=store.outside,
        )

    def _store(self, task: Task) -> MemoryStore | None:
        """Return the memory that a task has to do with, if any; a repair is kept to what it is configured to do."""
        wanted = remembers(task.spec.options) and task.spec.type != SYSTEM_REPAIR
        admitted = self.store is not None and self.store.admits(task.spec.principal)
        return self.store if wanted and admitted else None

    async def _note(self, task: Task, text: str) -> None:
        try:
            await self.ledger.note(task.id, attempt=task.attempt, kind="memory", text=text)
        except LedgerError as error:
            logger.warning("not noted: %s", error, extra={"action": "memory", "task_id": task.id})


def _listens(spec: ExecutorSpec) -> bool:
    return spec.adapter or PLACE in json.dumps(dict(spec.row.arguments), default=str)


def _alike(memories: Sequence[Memory], text: str) -> list[Memory]:
    """Return those that share words with a text, most of them first."""
    asked = set(words_of(text))
    shared = {
        memory.task_id: len(asked.intersection(words_of(f"{memory.asked}\n{memory.outcome}"))) for memory in memories
    }
    return sorted((m for m in memories if shared[m.task_id]), key=lambda memory: -shared[memory.task_id])
