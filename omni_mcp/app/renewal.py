"""What attempts are begun with, and how it is renewed when the settings change."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio.abc import TaskStatus

from omni_mcp.app.watch import Hearing, Watch
from omni_mcp.ledger.base import Ledger
from omni_mcp.live_settings import LiveSettings
from omni_mcp.presets import resolve
from omni_mcp.settings import Settings
from omni_mcp.task import SystemClock

if TYPE_CHECKING:
    from omni_mcp.llm.relay import Relay
    from omni_mcp.means import Means

logger = logging.getLogger(__name__)


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


async def means_under(
    settings: Settings, ledger: Ledger, owner: str, watch: Watch, *, task_status: TaskStatus["Means"]
) -> None:
    """Hold open what attempts are begun with under these settings, until the last of them is over."""
    from omni_mcp.executors.pool import Pool
    from omni_mcp.means import Means
    from omni_mcp.memory.ledger_store import ledger_store
    from omni_mcp.memory.server import memory_server

    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(_relay(settings, ledger, Hearing(watch, settings)))
        pool = await stack.enter_async_context(Pool(settings, owner=owner))
        server = await stack.enter_async_context(memory_server(settings, owner=owner))
        means = Means(settings=settings, pool=pool, relay=relay, memory=server or ledger_store(settings, ledger))
        task_status.started(means)
        await means.done_with.wait()


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
