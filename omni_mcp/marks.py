"""Executors that could not work and are left alone for a while: who that is, and what faces are told of it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from omni_mcp.errors import LedgerError
from omni_mcp.ledger.base import ExecutorHealth, Ledger
from omni_mcp.task import Clock

MARK = timedelta(seconds=60)
"""How long an executor that could not work is left alone before it is tried again."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Why an executor is left alone, and until when."""

    trouble: str
    until: datetime


@dataclass(kw_only=True, eq=False)
class Marks:
    """The marks of one engine, by the executor's name."""

    ledger: Ledger
    clock: Clock
    made: dict[str, Mark] = field(default_factory=dict[str, Mark])
    ill: set[str] = field(default_factory=set[str])
    """Executors that we told the faces of as unusable, and that have not completed a task since."""

    @property
    def troubles(self) -> Mapping[str, str]:
        """Say of each that is left alone why."""
        return {name: mark.trouble for name, mark in self.made.items()}

    async def make(self, name: str, trouble: str) -> None:
        """Leave an executor alone for a while, and tell the faces."""
        now = self.clock.now()
        self.ill.add(name)
        with suppress(LedgerError):
            await self.ledger.report_health(ExecutorHealth(name=name, usable=False, detail=trouble, seen_at=now))
            await self.ledger.forget_queues()
        self.made[name] = Mark(trouble=trouble, until=now + MARK)

    async def wipe_out(self, name: str) -> None:
        """It works again: tell the faces, and let go who waits for it."""
        self.ill.discard(name)
        self.made.pop(name, None)
        works = ExecutorHealth(name=name, usable=True, detail="", seen_at=self.clock.now())
        with suppress(LedgerError):
            await self.ledger.report_health(works)
            await self.ledger.forget_queues()
            await self.ledger.wake_for_executor(everyone=False)

    async def refresh(self) -> None:
        """Forget marks that are over, or wiped out by a person; who queues elsewhere because of them is routed anew."""
        if not self.made:
            return
        before = dict(self.made)
        now, told = self.clock.now(), await self.ledger.health()
        # One that was made while we read is not wiped out: it is only just being told.
        kept = {name: mark for name, mark in self.made.items() if name in told or before.get(name) is not mark}
        lasting = {name: mark for name, mark in kept.items() if now < mark.until <= now + MARK}
        if len(kept) < len(self.made):
            await self.ledger.wake_for_executor(everyone=False)
        if len(lasting) < len(self.made):
            await self.ledger.forget_queues()
        self.made = lasting
