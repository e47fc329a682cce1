"""The outbox: tells each channel what the ledger owes it, in order, at least once, whoever dies.

A notice is owed from the transaction that wrote it until its channel took it or its time is over. A channel that hangs
delays nobody else: each has a loop of its own.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import anyio

from omni_mcp.crashes import Crashes
from omni_mcp.decide.tries import is_due, next_try
from omni_mcp.errors import LedgerError, NotTold
from omni_mcp.ledger.base import Delivery, Ledger
from omni_mcp.notify.base import Channel
from omni_mcp.task import Clock

logger = logging.getLogger(__name__)

POLL = 1.0
"""Seconds between two looks while nobody rings."""
A_LOOP = 3
"""Engines that died right after their start, one after the other, before people are told."""
AGAIN = timedelta(hours=1)
"""Between two notices of a crash loop."""


@dataclass(kw_only=True)
class Outbox:
    """Sends what is owed while this engine leads."""

    ledger: Ledger
    channels: Mapping[str, Channel]
    clock: Clock
    leads: Callable[[], bool]
    """Whether this engine is the one that tells."""
    _news: anyio.Event = field(default_factory=anyio.Event)

    def ring(self) -> None:
        """Have it look at once."""
        self._news.set()
        self._news = anyio.Event()

    async def open(self, died: Crashes | None) -> None:
        """Give up what is owed to channels of former settings, and tell of the engines that died before this one."""
        if await self.ledger.any_owed() and (count := await self.ledger.disown(list(self.channels))):
            logger.warning("%d deliveries given up: their channel is configured no more", count)
        if died is not None and died.count >= A_LOOP:
            text = f"the engine died {died.count} times in a row right after its start: {died.reason}. It starts again"
            since = self.clock.now() - AGAIN
            await self.ledger.give_notice(
                kind="engine.crashes", text=text, channels=list(self.channels), unless_since=since
            )

    async def run(self) -> None:
        """Tell all channels, each by itself, until cancelled."""
        async with anyio.create_task_group() as tasks:
            for name, channel in self.channels.items():
                tasks.start_soon(self._serve, channel, name=name)

    async def _serve(self, channel: Channel) -> None:
        """Tell a channel what it is owed; a ledger that is busy costs a look, not the notice."""
        while True:
            news, tried = self._news, False
            try:
                tried = await self.step(channel)
            except LedgerError as error:
                logger.warning("%s is not told yet: %s", channel.name, error, extra={"action": "not_told"})
            if not tried:
                with anyio.move_on_after(POLL):
                    await news.wait()

    async def step(self, channel: Channel) -> bool:
        """Try the oldest delivery that a channel is owed, if it is due. Returns whether one was tried."""
        owed = await self.ledger.owed(channel.name) if self.leads() else None
        if owed is None or not is_due(owed.due_at, self.clock.now()):
            return False
        trouble = await _trouble(channel, owed)
        if trouble is None:
            await self.ledger.delivered(owed.number)
        else:
            await self._put_off(owed, trouble)
        return True

    async def _put_off(self, owed: Delivery, trouble: NotTold) -> None:
        tries = owed.tries + 1
        again = None if trouble.final else next_try(tries, arose=owed.notice.at, now=self.clock.now())
        await self.ledger.put_off(owed.number, trouble=trouble.message, due_at=again)
        logger.warning(
            "%s did not take notice %d, try %d: %s; next try: %s",
            *(owed.channel, owed.notice.number, tries, trouble, again or "none, it is given up"),
            extra={"action": "not_told"},
        )


async def _trouble(channel: Channel, owed: Delivery) -> NotTold | None:
    """Tell a channel; whatever happens there costs the engine nothing."""
    try:
        await channel.tell(owed)
    except NotTold as error:
        return error
    except Exception as error:  # noqa: BLE001 - its text may hold what is secret
        return NotTold(f"it broke: {type(error).__name__}")
    return None
