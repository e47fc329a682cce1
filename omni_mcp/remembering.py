"""The memory of one attempt: what it is told of earlier tasks, and what it leaves. No task waits long for it."""

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import anyio

from omni_mcp.decide.options import remembers
from omni_mcp.decide.remembering import ASKED, OUTCOME, remembered, told
from omni_mcp.errors import LedgerError
from omni_mcp.ledger.base import Ledger, Remembered
from omni_mcp.presets import ExecutorSpec
from omni_mcp.servers_file import MemorySettings
from omni_mcp.task import SHORT_ID, SYSTEM_REPAIR, Completed, Memory, Outcome, Task

logger = logging.getLogger(__name__)

PLACE = "{memory}"
"""Where the arguments of a tool take what is remembered: other tools get none, their arguments may be anything."""
SHOWN = 100
"""Characters of each memory that the history shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembering:
    """What is remembered for a task, and of it."""

    ledger: Ledger
    settings: MemorySettings
    secrets: Collection[str]
    """Values that never enter the memory."""

    async def recall(self, task: Task, spec: ExecutorSpec) -> str:
        """Return what its executor is told of earlier tasks, '' if nothing; the history says what that was.

        A memory that is slow or broken costs no more than its time-out, and no task.
        """
        if not (self._concerns(task) and _listens(spec)):
            return ""
        try:
            with anyio.fail_after(self.settings.timeout):
                found = await self.ledger.recall(
                    task.spec.description,
                    principal=task.spec.principal,
                    project=task.spec.cwd,
                    limit=self.settings.most,
                )
        except TimeoutError:
            await self._note(task, f"nothing is recalled: the memory took longer than {self.settings.timeout:g} s")
            return ""
        except LedgerError as error:
            await self._note(task, f"nothing is recalled: {error}")
            return ""
        if found:
            await self._note(task, _in_short(found))
        return told(found)

    def leaves(self, task: Task, outcome: Outcome) -> Remembered | None:
        """Return what is remembered of a task that ends so."""
        if not (self._concerns(task) and isinstance(outcome, Completed)):
            return None
        return Remembered(
            asked=remembered(task.spec.description, ASKED, secrets=self.secrets),
            outcome=remembered(outcome.text, OUTCOME, secrets=self.secrets),
        )

    def _concerns(self, task: Task) -> bool:
        """Whether it has to do with the memory at all; a repair is kept to what it is configured to do."""
        wanted = self.settings.kind == "embedded" and remembers(task.spec.options)
        return wanted and task.spec.type != SYSTEM_REPAIR

    async def _note(self, task: Task, text: str) -> None:
        try:
            await self.ledger.note(task.id, attempt=task.attempt, kind="memory", text=text)
        except LedgerError as error:
            logger.warning("not noted: %s", error, extra={"action": "memory", "task_id": task.id})


def _listens(spec: ExecutorSpec) -> bool:
    return spec.adapter or PLACE in json.dumps(dict(spec.row.arguments), default=str)


def _in_short(found: Sequence[Memory]) -> str:
    each = (f"{memory.task_id[:SHORT_ID]} ({memory.executor}) {memory.asked[:SHOWN]}" for memory in found)
    return f"recalled from earlier tasks: {'; '.join(each)}"
