"""Takes the known-good copy of LiteLLM's file: for the ladder after a repair, and for the engine while all is well."""

from anyio.to_thread import run_sync

from omni_mcp.adapters.known_good import Keeper, read
from omni_mcp.adapters.ladder_look import START_MARK, listen, serves_since
from omni_mcp.adapters.ladder_steps import Door
from omni_mcp.processes import marked
from omni_mcp.repair_setup import LadderSetup


def keep(setup: LadderSetup, keeper: Keeper) -> None:
    """Keep LiteLLM's file if it is proven to serve: it was last changed before the LiteLLM of now was started. Blocks.

    The caller has just heard that it serves. Raises OSError.
    """
    if setup.config is None:
        return
    file = read(setup.config)
    if file.data is None or file.flaw is not None or keeper.is_kept(file):
        return
    if file.path.stat().st_mtime < max(serves_since(setup) or 0.0, _started_at(setup, keeper)):
        keeper.keep(file)


def _started_at(setup: LadderSetup, keeper: Keeper) -> float:
    """Return when we last started what serves: containers cannot be seen from here, and the kernel rounds times."""
    ours = setup.restart is not None or marked(START_MARK, setup.base_url)
    return max((at.timestamp() for at in keeper.journal().starts), default=0.0) if ours else 0.0


async def keep_if_well(setup: LadderSetup) -> None:
    """Keep LiteLLM's file if LiteLLM serves with it; for who watches it. Raises OSError."""
    keeper = Keeper(setup.folder)
    if (config := setup.config) is None or await run_sync(lambda: keeper.is_kept(read(config))):
        return
    if (await listen(setup)).door is Door.WELL:
        await run_sync(keep, setup, keeper)
