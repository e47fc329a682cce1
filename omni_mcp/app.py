"""All wiring: opened top down, closed in reverse. Faces stay light: only `running_engine` imports the engine."""

import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Literal

import anyio
from anyio.abc import TaskGroup, TaskStatus
from anyio.to_thread import run_sync

from omni_mcp import __version__, background, crashes, processes
from omni_mcp.contract import OWNER_MARK
from omni_mcp.decide.mode_state import Seen
from omni_mcp.decide.permit import Permit
from omni_mcp.dispatch.base import Dispatch, Doorbell
from omni_mcp.dispatch.choose import open_dispatch
from omni_mcp.errors import EngineRunning
from omni_mcp.home import Home
from omni_mcp.keeper import EngineElsewhere, EngineInside, EngineKeeper
from omni_mcp.ledger.base import EngineMark, Ledger
from omni_mcp.ledger.opened import open_ledger
from omni_mcp.ledger.owners import HeldLock, bury_dead, holder, is_alive, owner_lock, try_hold, wait_until_free
from omni_mcp.ledger.wake import until_free
from omni_mcp.live_settings import LiveSettings
from omni_mcp.presets import ladder_setup, mode_setup, repair_plan, resolve
from omni_mcp.service.engines import Engines
from omni_mcp.service.service import Service
from omni_mcp.settings import Settings, known_variables
from omni_mcp.settle import until_written
from omni_mcp.task import Clock, SystemClock, new_id
from omni_mcp.this_machine import label

if TYPE_CHECKING:
    from omni_mcp.engine import End, Engine, Means
    from omni_mcp.llm.relay import Relay
    from omni_mcp.memory.base import MemoryStore
    from omni_mcp.monitor import Monitor
    from omni_mcp.notify.base import Channel
    from omni_mcp.outbox import Outbox
    from omni_mcp.probes import Probes

logger = logging.getLogger(__name__)

HANDOVER_LIMIT = 30.0
"""Seconds that a new engine waits for one that has said goodbye to let go of the lock, and that one for the new."""
HANDOVER_STEP = 0.05
"""Seconds between two looks for the new one."""


@asynccontextmanager
async def running_face(
    home: Home, *, engine: Literal["background", "here", "elsewhere"] = "background", watch: bool = True
) -> AsyncGenerator[Service]:
    """Open what a face needs. What it is asked for has an engine started in the background, where that is its place.

    With `watch` it also sees to it that such an engine is alive for as long as there is work for one.
    """
    async with open_ledger(home, engine_lock=home.engine_lock) as ledger:
        async with anyio.create_task_group() as tasks:
            settings = LiveSettings(home).now
            engines: Engines = EngineInside() if engine == "here" else EngineElsewhere(home, ledger.shared)
            if engine == "background":
                engines = keeper = EngineKeeper(home=home, ledger=ledger, tasks=tasks, settings=settings)
                if watch:
                    tasks.start_soon(keeper.watch, name="engine keeper")
            dispatch = _dispatch(home)
            async with dispatch.calling(ledger.look):
                yield Service(
                    ledger=ledger,
                    settings=settings,
                    dispatch=dispatch,
                    engines=engines,
                    machine=None if engine == "elsewhere" and ledger.shared else label(known_variables(home)),
                    origin=processes.origin,
                )
            tasks.cancel_scope.cancel()


def _dispatch(home: Home) -> Dispatch:
    """Return how faces and engines of a home ring at each other. Raises SettingsError."""
    known = known_variables(home)
    return open_dispatch(known.get("OMNI_DISPATCH"), machine=label(known))


def preload_engine() -> None:
    """Import what an engine needs, so that a spare forked from now on has it."""
    for name in ("engine", "executors.pool", "llm.relay", "llm.router"):  # litellm itself comes with the first call
        import_module(f"omni_mcp.{name}")


@asynccontextmanager
async def running_engine(
    home: Home,
    ledger: Ledger,
    *,
    idle_exit: bool,
    is_well: Callable[[], None],
    died: crashes.Crashes | None = None,
) -> AsyncGenerator["Engine"]:
    """Open an engine on the settings of now and announce it; the caller holds the engine lock.

    `died` are those before it that did not come up.
    """
    from omni_mcp.engine import Engine

    owner = new_id()
    live = LiveSettings(home)
    async with (
        _living(home, ledger, owner) as doorbell,
        _watch(live.now(), ledger, owner, doorbell, died) as watch,
        _until_left() as tasks,
    ):

        async def opened(settings: Settings) -> "Means":
            return await tasks.start(_means, settings, ledger, owner, watch)

        tasks.start_soon(_schedules, ledger, live, doorbell, name="schedules")
        engine = Engine(
            ledger=ledger,
            means=await opened(live.now()),
            clock=SystemClock(),
            owner=owner,
            doorbell=doorbell,
            modes=watch.monitor,
            is_over=partial(_is_over, home, ledger),
            renewed=Renewal(live=live, watch=watch, opened=opened).renewed,
            exits=idle_exit,
            is_well=is_well,
            channels=lambda: list(watch.outbox.channels),
        )
        tasks.start_soon(_memories, ledger, watch, lambda: engine.means.memory, name="memory outbox")
        if ledger.shared:
            tasks.start_soon(engine.keep_in_time, name="leases")
        logger.info("engine up, pid %d", os.getpid(), extra={"action": "engine_up"})
        yield engine


@asynccontextmanager
async def _living(home: Home, ledger: Ledger, owner: str) -> AsyncGenerator[Doorbell]:
    """Be alive as `owner` and say so; what engines that died have left is ended, and in the end what we leave."""
    from omni_mcp.executors.pool import swept

    async with _dispatch(home).listen() as doorbell:
        with owner_lock(home.owners, owner):
            await _announce(ledger, _mark(home, owner, doorbell.address, SystemClock()))
            background.is_up()
            await run_sync(_end_the_dead, home)
            async with swept(owner):
                yield doorbell


@asynccontextmanager
async def _until_left() -> AsyncGenerator[TaskGroup]:
    """Open a task group that is cancelled when the body ends."""
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        finally:
            tasks.cancel_scope.cancel()


async def _announce(ledger: Ledger, mark: EngineMark) -> None:
    """Say that this engine is there; a server may come up after us."""
    announce = partial(ledger.announce, mark)
    await (until_written(announce) if ledger.shared else announce())


async def _schedules(ledger: Ledger, live: LiveSettings, doorbell: Doorbell) -> None:
    """Have what is due become tasks, until cancelled."""
    from omni_mcp.scheduler import Scheduler

    await Scheduler(ledger=ledger, settings=live.now, clock=SystemClock(), on_run=doorbell.ring).run()


async def _memories(ledger: Ledger, watch: "Watch", store: Callable[[], "MemoryStore | None"]) -> None:
    """Bring what tasks left to the memory server of now, until cancelled."""
    from omni_mcp.memory.outbox import MemoryOutbox

    await MemoryOutbox(ledger=ledger, clock=SystemClock(), store=store, leads=lambda: watch.monitor.leads).run()


@dataclass(slots=True)
class Watch:
    """Who watches the mode, and who tells of it."""

    settings: Settings
    monitor: "Monitor"
    outbox: "Outbox"

    async def refit(self, settings: Settings) -> None:
        """Go on under settings that have changed; what cannot be read says nothing of the clouds and of who is told."""
        if settings.unreadable:
            return
        channels = await run_sync(_channels, settings)
        self.monitor.refit(mode_setup(settings), _probes(settings), list(channels), repair_plan(settings))
        self.monitor.on_well = _keeper(settings)
        self.outbox.refit(channels)
        self.settings = settings


@dataclass(kw_only=True, slots=True)
class Renewal:
    """Takes up the settings when they have changed; where that goes wrong, those before stay in force."""

    live: LiveSettings
    watch: Watch
    opened: Callable[[Settings], Awaitable["Means"]]
    _refused: Settings | None = None

    async def renewed(self, before: "Means") -> "Means | None":
        """Return new means, if the settings or the programs that they name have changed since."""
        settings = self.live.now()
        if settings is self._refused or (settings is before.settings and resolve(settings) == before.pool.specs):
            return None
        try:
            fresh = await self.opened(settings)
            await self.watch.refit(settings)
        except Exception:
            self._refused = settings
            logger.exception("%s: not taken up, what was before holds", settings, extra={"action": "settings_refused"})
            return None
        return fresh


@dataclass(frozen=True, slots=True)
class Hearing:
    """The mode, as the relay of one reading of the settings asks for it and tells of its calls.

    Once other models are configured its calls say nothing of who serves now.
    """

    watch: Watch
    settings: Settings

    def permit(self) -> Permit:
        """Say what the mode allows now."""
        return self.watch.monitor.permit()

    def saw(self, seen: Seen) -> None:
        """Take in how a call ended."""
        if _clouds(self.settings) == _clouds(self.watch.settings):
            self.watch.monitor.saw(seen)


def _clouds(settings: Settings) -> object:
    return settings.servers.models, settings.servers.direct, settings.backup_keys


@asynccontextmanager
async def _watch(
    settings: Settings, ledger: Ledger, owner: str, doorbell: Doorbell, died: crashes.Crashes | None
) -> AsyncGenerator[Watch]:
    """Watch the mode and tell of it, until the body ends."""
    channels = await run_sync(_channels, settings)
    async with _monitor(settings, ledger, owner, doorbell, channels) as monitor:
        async with _outbox(ledger, channels, monitor, died) as outbox:
            yield Watch(settings, monitor, outbox)


@asynccontextmanager
async def _monitor(
    settings: Settings, ledger: Ledger, owner: str, doorbell: Doorbell, channels: Mapping[str, "Channel"]
) -> AsyncGenerator["Monitor"]:
    """Watch LiteLLM and the providers, from where the engine before us left off."""
    from omni_mcp.monitor import Monitor

    monitor = Monitor(
        ledger=ledger,
        setup=mode_setup(settings),
        probes=_probes(settings),
        clock=SystemClock(),
        owner=owner,
        is_over=partial(_is_over, settings.home, ledger),
        on_change=doorbell.ring,
        channels=list(channels),
        repair=repair_plan(settings),
        on_well=_keeper(settings),
    )
    await monitor.load()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(monitor.run, name="monitor")
        yield monitor
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _outbox(
    ledger: Ledger, channels: Mapping[str, "Channel"], monitor: "Monitor", died: crashes.Crashes | None
) -> AsyncGenerator["Outbox"]:
    """Tell people what changes, and of the engines that died before this one."""
    from omni_mcp.outbox import Outbox

    outbox = Outbox(ledger=ledger, channels=channels, clock=SystemClock(), leads=lambda: monitor.leads)
    monitor.on_notice = outbox.ring
    if died is not None:
        await outbox.tell_of(died)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.run, name="outbox")
        yield outbox
        tasks.cancel_scope.cancel()


def _keeper(settings: Settings) -> Callable[[], Awaitable[None]]:
    """Return what keeps a copy of LiteLLM's file while it serves with it, where that file is named."""
    from omni_mcp.adapters.ladder_keep import keep_if_well

    async def keep() -> None:
        if setup is not None:
            await keep_if_well(setup)

    setup = ladder_setup(settings)
    return keep


def _channels(settings: Settings) -> Mapping[str, "Channel"]:
    from omni_mcp.notify.channels import channels_of

    return channels_of(settings.servers.notify)


def _probes(settings: Settings) -> "Probes":
    from omni_mcp.probes import HttpProbes

    return HttpProbes(settings.servers.models.gateway, settings.servers.direct, settings.backup_keys)


async def _means(
    settings: Settings, ledger: Ledger, owner: str, watch: Watch, *, task_status: TaskStatus["Means"]
) -> None:
    """Hold open what attempts are begun with under these settings, until the last of them is over."""
    from omni_mcp.engine import Means
    from omni_mcp.executors.pool import Pool
    from omni_mcp.memory.ledger_store import ledger_store
    from omni_mcp.memory.server import memory_server

    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(_relay(settings, ledger, Hearing(watch, settings)))
        pool = await stack.enter_async_context(Pool(settings, owner=owner))
        server = await stack.enter_async_context(memory_server(settings, owner=owner))
        means = Means(settings=settings, pool=pool, relay=relay, memory=server or ledger_store(settings, ledger))
        task_status.started(means)
        await means.done_with.wait()


async def serve_engine(home: Home, *, idle_exit: bool = False) -> "End | None":
    """Run the one engine of a home until it is idle for long, relieved or cancelled; returns why it ended.

    Raises EngineRunning.
    """
    with await _the_lock(home):
        died = crashes.known(home)
        with crashes.counted(home) as is_well:
            async with open_ledger(home) as ledger:
                async with running_engine(home, ledger, idle_exit=idle_exit, is_well=is_well, died=died) as engine:
                    end = await engine.run()
                logger.info("engine ends: %s", end, extra={"action": "engine_end"})
                return end


@asynccontextmanager
async def running_all(home: Home) -> AsyncGenerator[Service]:
    """Open face and engine in this process; where another process has the engine, the face uses that one."""
    engine = EngineHere(home)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.run, name="engine")
        async with running_face(home, engine="here") as service:
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
    async with open_ledger(home, engine_lock=home.engine_lock) as ledger:
        mark = await ledger.engine()
    if mark is not None and not mark.there:
        await run_sync(partial(wait_until_free, home.engine_lock, limit=HANDOVER_LIMIT))
    elif mark is not None and mark.dismissed_at is not None:
        await until_free(home.engine_lock)


@asynccontextmanager
async def _relay(settings: Settings, ledger: Ledger, modes: Hearing) -> AsyncGenerator["Relay | None"]:
    """Open the relay over what serves model calls in each mode, where models are configured."""
    from omni_mcp.llm import backends
    from omni_mcp.llm.relay import Relay
    from omni_mcp.switch import ProviderDoors, Switch

    litellm = backends.primary(settings)
    if litellm is None:
        yield None
        return
    switch = Switch(litellm, backends.direct(settings, ProviderDoors(modes)), modes, SystemClock())
    async with Relay(switch, ledger) as relay:
        yield relay


def _end_the_dead(home: Home) -> None:
    """End what the engines that died have left running."""
    for owner in bury_dead(home.owners):
        processes.sweep(OWNER_MARK, owner)


async def _is_over(home: Home, ledger: Ledger, owner: str) -> bool:
    """Proof that an owner is dead and nothing of its process tree is left; of another machine: it let its lease go."""
    if is_alive(home.owners, owner) or not await ledger.bury(owner):
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
