"""Who watches the mode, and who tells of it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio.to_thread import run_sync

from omni_mcp import crashes
from omni_mcp.app.dead import is_over
from omni_mcp.decide.modes.state import Seen
from omni_mcp.decide.permit import Permit
from omni_mcp.dispatch.base import Doorbell
from omni_mcp.ledger.base import Ledger
from omni_mcp.presets import ladder_setup, mode_setup, repair_plan
from omni_mcp.settings import Settings
from omni_mcp.task import SystemClock

if TYPE_CHECKING:
    from omni_mcp.monitor import Monitor
    from omni_mcp.notify.base import Channel
    from omni_mcp.outbox import Outbox
    from omni_mcp.probes import Probes


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
async def watching(
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
        is_over=partial(is_over, settings.home, ledger),
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
