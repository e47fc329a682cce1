"""Sees to it that an engine is alive while there is work for one: started once, however many faces ask."""

import logging
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import anyio
from anyio.abc import TaskGroup
from anyio.to_thread import run_sync

from omni_mcp import __version__, background, crashes
from omni_mcp.errors import EngineError, LedgerOld, OmniError
from omni_mcp.home import Home
from omni_mcp.ledger.base import EngineMark, Ledger
from omni_mcp.ledger.owners import holder
from omni_mcp.ledger.wake import until_free
from omni_mcp.scheduled import has_work
from omni_mcp.settings import Settings

logger = logging.getLogger(__name__)

FALLBACK_POLL = 2.0
"""Seconds between two looks of a face while no engine is alive; doubled with each one that did not come up."""
LONGEST_POLL = 30.0
"""Seconds until a face tries again to start an engine that never comes up."""
SPARE_TIME = 0.5
"""Seconds that a face leaves the spare of a killed engine to take over."""


class EngineInside:
    """Stands where the engine is in this very process: nothing is to be started."""

    alive = True
    trouble: str | None = None

    async def ensure(self, seen: EngineMark | None) -> str | None:
        """Start none."""
        del seen
        return None


@dataclass(frozen=True)
class EngineElsewhere:
    """Stands where others run the engines: on a shared ledger those of other homes, else one that somebody started."""

    home: Home
    shared: bool

    @property
    def alive(self) -> bool:
        """Whether an engine can be seen; those of other homes are taken to be there."""
        return self.shared or holder(self.home.engine_lock) is not None

    @property
    def trouble(self) -> str | None:
        """What is missing."""
        return None if self.alive else "no engine runs, and none is started from here: omni-mcp engine run --stay"

    async def ensure(self, seen: EngineMark | None) -> str | None:
        """Start none; say so where there is none to be seen."""
        del seen
        return self.trouble


@dataclass(kw_only=True)
class EngineKeeper:
    """Starts the background engine when it is needed, once, however many windows ask."""

    home: Home
    ledger: Ledger
    tasks: TaskGroup
    settings: Callable[[], Settings]
    """What holds now: a schedule is work for an engine, too."""
    _trouble: str | None = None
    """Why the last engine that we started did not come up."""
    failures: int = 0
    """How many in a row did not."""

    @property
    def alive(self) -> bool:
        """Whether an engine has the lock."""
        return holder(self.home.engine_lock) is not None

    @property
    def trouble(self) -> str | None:
        """Why no engine comes up, as we saw it or as the last ones died at their start; or why it does nothing."""
        crashed = crashes.look(self.home)
        return self._trouble or (str(crashed) if crashed else background.paused(self.home))

    async def ensure(self, seen: EngineMark | None) -> str | None:
        """Start an engine if none is alive, or the one that is has said goodbye or is of an older release.

        Returns what to tell, at once. After early deaths it waits before it starts the next.
        """
        alive = holder(self.home.engine_lock) is not None
        gone = seen is not None and not seen.there
        if alive and not gone:
            return await self._relieve(seen)
        if crashes.is_paused(self.home):
            return None
        earlier = crashes.known(self.home)
        starting = await run_sync(partial(background.start, self.home, successor=gone))
        if starting is None:
            return None
        self.tasks.start_soon(self._see_up, starting, earlier, name="engine start")
        return str(starting)

    async def _relieve(self, seen: EngineMark | None) -> str | None:
        """Ask an engine of an older release to go, and start ours, which waits for its end: once, whoever asks."""
        if seen is None or not is_older(seen.version, __version__):
            return None
        if seen.dismissed_at is None:
            await self.ledger.dismiss(seen.owner)
            starting = await run_sync(partial(background.start, self.home, successor=True))
            if starting is not None:
                starting.right.hand_over()
        return (
            f"version {seen.version} (pid {seen.pid}) finishes what only it can, then version {__version__} takes over"
        )

    async def _see_up(self, starting: background.Starting, earlier: crashes.Crashes | None) -> None:
        """Wait until it is up, also when this face is just closing: until then the right to start one is ours.

        One that counted its own death is told of, and waited for, from there: we may even not have seen its lock.
        """
        try:
            with anyio.CancelScope(shield=True):
                await run_sync(starting.wait, self.home.engine_lock)
        except EngineError as error:
            logger.warning("%s; %s", error.message, error.next_step, extra={"action": "engine_start"})
            died = crashes.known(self.home)
            if died is not None and (earlier is None or died.at != earlier.at):
                self._all_is_well()
            else:
                self.failures += 1
                self._trouble = f"{error.message}; {error.next_step}"
        else:
            self._all_is_well()

    def _all_is_well(self) -> None:
        self._trouble, self.failures = None, 0

    async def watch(self) -> None:
        """Start an engine for the tasks that are open now, and later whenever one died over its tasks."""
        asked_for = True
        with self._logged():
            await self._take_over()
        while True:
            if holder(self.home.engine_lock) is not None:
                self._all_is_well()
            await until_free(self.home.engine_lock)
            if not asked_for:
                await anyio.sleep(SPARE_TIME)
            with self._logged():
                wanted = await has_work(self.ledger, self.settings().servers.scheduled)
                if wanted and (asked_for or not await self._gone()):
                    await self.ensure(None)
            asked_for = False
            if holder(self.home.engine_lock) is None:
                await anyio.sleep(min(FALLBACK_POLL * 2**self.failures, LONGEST_POLL))

    @contextmanager
    def _logged(self) -> Generator[None]:
        try:
            yield
        except OmniError as error:
            logger.warning("no engine: %s", error, extra={"action": "engine_keeper"})

    async def _take_over(self) -> None:
        """Relieve an engine of an older release; one whose ledger is older too is stopped, or we could not even ask."""
        try:
            seen = await self.ledger.engine()
        except LedgerOld:
            await run_sync(background.stop, self.home)
            return
        if holder(self.home.engine_lock) is not None and seen is not None and seen.there:
            await self._relieve(seen)

    async def _gone(self) -> bool:
        """Whether the last engine said goodbye by itself: then only a submit or a new face starts one."""
        mark = await self.ledger.engine()
        return mark is not None and not mark.there and mark.dismissed_at is None


def is_older(version: str, than: str) -> bool:
    """Whether a release came before another."""
    return _numbers(version) < _numbers(than)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
