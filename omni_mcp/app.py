"""All wiring: opened top down, closed in reverse. Faces stay light: only `running_engine` imports the engine."""

import logging
import os
import re
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.to_thread import run_sync

from omni_mcp import __version__, background, crashes, processes
from omni_mcp.contract import OWNER_MARK
from omni_mcp.dispatch.base import Doorbell
from omni_mcp.dispatch.local import LocalDispatch
from omni_mcp.errors import EngineError, EngineRunning, LedgerOld, OmniError
from omni_mcp.home import Home
from omni_mcp.ledger.base import EngineMark, Ledger
from omni_mcp.ledger.owners import HeldLock, bury_dead, holder, is_alive, owner_lock, try_hold, wait_until_free
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.ledger.wake import until_free
from omni_mcp.live_settings import LiveSettings
from omni_mcp.presets import mode_setup, resolve
from omni_mcp.service import Service
from omni_mcp.settings import Settings
from omni_mcp.task import Clock, SystemClock, new_id

if TYPE_CHECKING:
    from omni_mcp.engine import End, Engine, Means
    from omni_mcp.llm.relay import Relay
    from omni_mcp.monitor import Monitor
    from omni_mcp.probes import Probes

logger = logging.getLogger(__name__)

FALLBACK_POLL = 2.0
"""Seconds between two looks of a face while no engine is alive; doubled with each one that did not come up."""
LONGEST_POLL = 30.0
"""Seconds until a face tries again to start an engine that never comes up."""
SPARE_TIME = 0.5
"""Seconds that a face leaves the spare of a killed engine to take over."""
HANDOVER_LIMIT = 30.0
"""Seconds that a new engine waits for one that has said goodbye to let go of the lock, and that one for the new."""
HANDOVER_STEP = 0.05
"""Seconds between two looks for the new one."""


@asynccontextmanager
async def running_face(home: Home, *, engine_here: bool = False, watch: bool = True) -> AsyncGenerator[Service]:
    """Open what a face needs. What it is asked for has an engine started, unless that is in this process.

    With `watch` it also sees to it that an engine is alive for as long as there is work for one.
    """
    async with SqliteLedger(home.ledger, engine_lock=home.engine_lock) as ledger:
        async with anyio.create_task_group() as tasks:
            keeper = EngineKeeper(home=home, ledger=ledger, tasks=tasks)
            if watch and not engine_here:
                tasks.start_soon(keeper.watch, name="engine keeper")
            yield Service(
                ledger=ledger,
                settings=LiveSettings(home).now,
                dispatch=LocalDispatch(),
                engines=EngineInside() if engine_here else keeper,
                origin=processes.origin,
            )
            tasks.cancel_scope.cancel()


class EngineInside:
    """Stands where the engine is in this very process: nothing is to be started."""

    trouble: str | None = None

    async def ensure(self, seen: EngineMark | None) -> str | None:
        """Start none."""
        del seen
        return None


@dataclass(kw_only=True)
class EngineKeeper:
    """Starts the background engine when it is needed, once, however many windows ask."""

    home: Home
    ledger: Ledger
    tasks: TaskGroup
    _trouble: str | None = None
    """Why the last engine that we started did not come up."""
    failures: int = 0
    """How many in a row did not."""

    @property
    def trouble(self) -> str | None:
        """Why no engine comes up: what we saw ourselves, or that the last ones died right after their start."""
        crashed = crashes.look(self.home)
        return self._trouble or (str(crashed) if crashed else None)

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
        starting = await run_sync(partial(background.start, self.home, successor=gone))
        if starting is None:
            return None
        self.tasks.start_soon(self._see_up, starting, name="engine start")
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

    async def _see_up(self, starting: background.Starting) -> None:
        """Wait until it is up, also when this face is just closing: until then the right to start one is ours."""
        try:
            with anyio.CancelScope(shield=True):
                await run_sync(starting.wait, self.home.engine_lock)
        except EngineError as error:
            self.failures += 1
            self._trouble = f"{error.message}; {error.next_step}"
            logger.warning("%s", self._trouble, extra={"action": "engine_start"})
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
                if await self.ledger.counts() and (asked_for or not await self._gone()):
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


def preload_engine() -> None:
    """Import what an engine needs, so that a spare forked from now on has it."""
    for name in ("engine", "executors.pool", "llm.relay", "llm.router"):  # litellm itself comes with the first call
        import_module(f"omni_mcp.{name}")


@asynccontextmanager
async def running_engine(
    home: Home, ledger: Ledger, *, idle_exit: bool, is_well: Callable[[], None]
) -> AsyncGenerator["Engine"]:
    """Open an engine on the settings of now and announce it; the caller holds the engine lock."""
    from omni_mcp.engine import Engine
    from omni_mcp.executors.pool import swept

    owner = new_id()
    live = LiveSettings(home)
    async with AsyncExitStack() as stack:
        doorbell = await stack.enter_async_context(LocalDispatch().listen())
        stack.enter_context(owner_lock(home.owners, owner))
        await ledger.announce(_mark(home, owner, doorbell.address, SystemClock()))
        background.is_up()
        await run_sync(_end_the_dead, home)
        monitor = await stack.enter_async_context(_monitor(live.now(), ledger, owner, doorbell))
        await stack.enter_async_context(swept(owner))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)

        async def fresh(settings: Settings) -> "Means":
            return await tasks.start(_means, settings, ledger, owner, monitor)

        async def renewed(before: "Means") -> "Means | None":
            settings = live.now()
            if settings is before.settings and resolve(settings) == before.pool.specs:
                return None
            monitor.refit(mode_setup(settings), _probes(settings))
            return await fresh(settings)

        means = await fresh(live.now())
        logger.info("engine up, pid %d", os.getpid(), extra={"action": "engine_up"})
        yield Engine(
            ledger=ledger,
            means=means,
            clock=SystemClock(),
            owner=owner,
            doorbell=doorbell,
            modes=monitor,
            is_over=partial(_is_over, home),
            renewed=renewed,
            exits=idle_exit,
            is_well=is_well,
        )


@asynccontextmanager
async def _monitor(settings: Settings, ledger: Ledger, owner: str, doorbell: Doorbell) -> AsyncGenerator["Monitor"]:
    """Watch LiteLLM and the providers, from where the engine before us left off."""
    from omni_mcp.monitor import Monitor

    monitor = Monitor(
        ledger=ledger,
        setup=mode_setup(settings),
        probes=_probes(settings),
        clock=SystemClock(),
        owner=owner,
        is_over=partial(_is_over, settings.home),
        on_change=doorbell.ring,
    )
    await monitor.load()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run, name="monitor")
        yield monitor
        tasks.cancel_scope.cancel()


def _probes(settings: Settings) -> "Probes":
    from omni_mcp.probes import HttpProbes

    return HttpProbes(settings.servers.models.gateway, settings.servers.direct, settings.backup_keys)


async def _means(
    settings: Settings, ledger: Ledger, owner: str, monitor: "Monitor", *, task_status: TaskStatus["Means"]
) -> None:
    """Hold open what attempts are begun with under these settings, until the last of them is over."""
    from omni_mcp.engine import Means
    from omni_mcp.executors.pool import Pool

    async with _relay(settings, ledger, monitor) as relay, Pool(settings, owner=owner) as pool:
        means = Means(settings=settings, pool=pool, relay=relay)
        task_status.started(means)
        await means.done_with.wait()


async def serve_engine(home: Home, *, idle_exit: bool = False) -> "End | None":
    """Run the one engine of a home until it is idle for long, relieved or cancelled; returns why it ended.

    Raises EngineRunning.
    """
    with await _the_lock(home), crashes.counted(home) as is_well:
        async with SqliteLedger(home.ledger) as ledger:
            async with running_engine(home, ledger, idle_exit=idle_exit, is_well=is_well) as engine:
                end = await engine.run()
            logger.info("engine ends: %s", end, extra={"action": "engine_end"})
            return end


@asynccontextmanager
async def running_all(home: Home) -> AsyncGenerator[Service]:
    """Open face and engine in this process; where another process has the engine, the face uses that one."""
    engine = EngineHere(home)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run, name="engine")
        async with running_face(home, engine_here=True) as service:
            yield service
        await engine.stop()


class EngineHere:
    """An engine in this process."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()

    async def run(self) -> None:
        """Serve until stopped; while another process has the engine, wait for its end."""
        try:
            with self._scope:
                while True:
                    await self._serve()
        finally:
            self._ended.set()

    async def _serve(self) -> None:
        try:
            end = await serve_engine(self._home)
        except EngineRunning as error:
            logger.warning("%s; using that one", error, extra={"action": "engine_elsewhere"})
        else:
            if end == "upgrade":
                await self._make_way()
        await until_free(self._home.engine_lock)

    async def _make_way(self) -> None:
        """Leave the lock to the engine of the newer release, which is waiting for it."""
        with anyio.move_on_after(HANDOVER_LIMIT):
            while holder(self._home.engine_lock) is None:  # noqa: ASYNC110 - another process takes it
                await anyio.sleep(HANDOVER_STEP)

    async def stop(self) -> None:
        """Give back what runs and let go of the lock."""
        self._scope.cancel()
        await self._ended.wait()


async def _the_lock(home: Home) -> HeldLock:
    """Take the engine lock; one that has said goodbye or was dismissed is waited for. Raises EngineRunning."""
    held = try_hold(home.engine_lock)
    if held is None:
        await _wait_for_handover(home)
        held = try_hold(home.engine_lock)
    if held is None:
        raise EngineRunning(holder(home.engine_lock))
    return held


async def _wait_for_handover(home: Home) -> None:
    async with SqliteLedger(home.ledger, engine_lock=home.engine_lock) as ledger:
        mark = await ledger.engine()
    if mark is not None and not mark.there:
        await run_sync(partial(wait_until_free, home.engine_lock, limit=HANDOVER_LIMIT))
    elif mark is not None and mark.dismissed_at is not None:
        await until_free(home.engine_lock)


@asynccontextmanager
async def _relay(settings: Settings, ledger: Ledger, monitor: "Monitor") -> AsyncGenerator["Relay | None"]:
    """Open the relay over what serves model calls in each mode, where models are configured."""
    from omni_mcp.llm import backends
    from omni_mcp.llm.relay import Relay
    from omni_mcp.switch import Switch

    litellm = backends.primary(settings)
    if litellm is None:
        yield None
        return
    switch = Switch(litellm, backends.direct(settings), mode_setup(settings).providers, monitor, SystemClock())
    async with Relay(switch, ledger) as relay:
        yield relay


def _end_the_dead(home: Home) -> None:
    """End what the engines that died have left running."""
    for owner in bury_dead(home.owners):
        processes.sweep(OWNER_MARK, owner)


async def _is_over(home: Home, owner: str) -> bool:
    """Proof that an owner is dead and nothing of its process tree is left."""
    if is_alive(home.owners, owner):
        return False
    swept = await run_sync(processes.sweep, OWNER_MARK, owner)
    return not swept.remaining


def _mark(home: Home, owner: str, address: str, clock: Clock) -> EngineMark:
    return EngineMark(
        owner=owner,
        pid=os.getpid(),
        version=__version__,
        log=str(home.engine_log),
        address=address,
        started_at=clock.now(),
        settings=str(home.servers),
    )
