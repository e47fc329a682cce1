"""The outbox: tells each channel what the ledger owes it, in order, at least once, whoever dies.

A notice is owed from the transaction that wrote it until its channel took it or its time is over. A channel that hangs
delays nobody else: each has a loop of its own.
"""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import anyio

from omni_mcp.crashes import Crashes
from omni_mcp.decide.tries import is_due, next_try
from omni_mcp.errors import LedgerError, NotTold
from omni_mcp.ledger.base import Delivery, Ledger
from omni_mcp.notify.base import Channel
from omni_mcp.settle import until_written
from omni_mcp.task import Clock

logger = logging.getLogger(__name__)

POLL = 1.0
"""Seconds between two looks while nobody rings."""
SWEEP = 60.0
"""Seconds between two looks for what is owed to nobody."""
A_LOOP = 3
"""Engines that died right after their start, one after the other, before people are told."""
AGAIN = timedelta(hours=1)
"""Between two notices of a crash loop."""
MISSED = timedelta(minutes=5)
"""How long a channel is missed before it is owed nothing more: an editor's half-saved file is whole again sooner."""


@dataclass(kw_only=True)
class Outbox:
    """Sends what is owed while this engine leads."""

    ledger: Ledger
    channels: Mapping[str, Channel]
    clock: Clock
    leads: Callable[[], bool]
    """Whether this engine is the one that tells."""
    _missing: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    """Who is owed something and not configured, and since when that is seen."""
    _news: anyio.Event = field(default_factory=anyio.Event)
    _refitted: anyio.Event = field(default_factory=anyio.Event)

    def ring(self) -> None:
        """Have it look at once."""
        self._news.set()
        self._news = anyio.Event()

    def refit(self, channels: Mapping[str, Channel]) -> None:
        """Go on under settings that have changed."""
        self.channels = channels
        self._refitted.set()
        self._refitted = anyio.Event()

    async def tell_of(self, died: Crashes) -> None:
        """Give notice of engines that died, if they did so often, and no more than once in a while."""
        if died.count >= A_LOOP:
            text = f"the engine died {died.count} times in a row right after its start: {died.reason}. It starts again"
            since = self.clock.now() - AGAIN
            await self.ledger.give_notice(
                kind="engine.crashes", text=text, channels=list(self.channels), unless_since=since
            )

    async def run(self) -> None:
        """Tell all channels, each by itself, until cancelled."""
        while True:
            async with anyio.create_task_group() as tasks:
                refitted = self._refitted
                tasks.start_soon(self._sweep, name="outbox sweep")
                for name, channel in self.channels.items():
                    tasks.start_soon(self._serve, channel, name=name)
                await refitted.wait()
                tasks.cancel_scope.cancel()

    async def _sweep(self) -> None:
        while True:
            with _patient():
                await self.disown()
            await anyio.sleep(SWEEP)

    async def disown(self) -> None:
        """Give up what is owed to channels that have not been configured for a while: nobody else would."""
        now = self.clock.now()
        owed = {d.channel for d in await self.ledger.last_deliveries() if d.told_at is None and d.given_up_at is None}
        self._missing = {name: self._missing.get(name, now) for name in owed.difference(self.channels)}
        waited_for = [name for name, since in self._missing.items() if now - since < MISSED]
        if len(waited_for) < len(self._missing):
            count = await self.ledger.disown([*self.channels, *waited_for])
            logger.warning("%d deliveries given up: their channel is configured no more", count)

    async def _serve(self, channel: Channel) -> None:
        while True:
            news, tried = self._news, False
            with _patient():
                tried = await self.step(channel)
            if not tried:
                with anyio.move_on_after(POLL):
                    await news.wait()

    async def step(self, channel: Channel) -> bool:
        """Try the oldest delivery that a channel is owed, if it is due. Returns whether one was tried.

        What became of it is written sooner or later: it is not told again for a ledger that cannot be written.
        """
        owed = await self.ledger.owed(channel.name) if self.leads() else None
        if owed is None or not is_due(owed.due_at, self.clock.now()):
            return False
        trouble = await _trouble(channel, owed)
        if trouble is None:
            await until_written(partial(self.ledger.delivered, owed.number))
        else:
            await self._put_off(owed, trouble)
        return True

    async def _put_off(self, owed: Delivery, trouble: NotTold) -> None:
        tries = owed.tries + 1
        again = None if trouble.final else next_try(tries, arose=owed.notice.at, now=self.clock.now())
        await until_written(partial(self.ledger.put_off, owed.number, trouble=trouble.message, due_at=again))
        logger.warning(
            "%s did not take notice %d, try %d: %s; next try: %s",
            *(owed.channel, owed.notice.number, tries, trouble, again or "none, it is given up"),
            extra={"action": "not_told"},
        )


@contextmanager
def _patient() -> Generator[None]:
    """Let a ledger that is busy cost a look, not the notice."""
    try:
        yield
    except LedgerError as error:
        logger.warning("not told yet: %s", error, extra={"action": "not_told"})


async def _trouble(channel: Channel, owed: Delivery) -> NotTold | None:
    """Tell a channel; whatever happens there costs the engine nothing."""
    try:
        await channel.tell(owed)
    except NotTold as error:
        return error
    except Exception as error:  # noqa: BLE001 - its text may hold what is secret
        return NotTold(f"it broke: {type(error).__name__}")
    return None
