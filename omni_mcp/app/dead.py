"""What is left of engines that died: ended, and proof that it is over."""

from anyio.to_thread import run_sync

from omni_mcp import processes
from omni_mcp.contract import OWNER_MARK
from omni_mcp.home import Home
from omni_mcp.ledger.base import Ledger
from omni_mcp.ledger.owners import bury_dead, is_alive


def end_the_dead(home: Home) -> None:
    """End what the engines that died have left running."""
    for owner in bury_dead(home.owners):
        processes.sweep(OWNER_MARK, owner)


async def is_over(home: Home, ledger: Ledger, owner: str) -> bool:
    """Proof that an owner is dead and nothing of its process tree is left; of another machine: it let its lease go."""
    if is_alive(home.owners, owner) or not await ledger.bury(owner):
        return False
    swept = await run_sync(processes.sweep, OWNER_MARK, owner)
    return not swept.remaining
