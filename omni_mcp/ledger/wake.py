"""Waiting for the end of a lock's holder without polling: the kernel wakes a thread that ends with the process."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

from omni_mcp.ledger.owners import wait_until_free


async def until_free(path: Path) -> None:
    """Return when nobody holds the lock.

    The thread is a daemon of our own: one of a pool would keep the process alive for as long as the lock is held.
    """
    loop = asyncio.get_running_loop()
    freed = asyncio.Event()

    def wait() -> None:
        wait_until_free(path)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(freed.set)

    threading.Thread(target=wait, name="lock watch", daemon=True).start()
    await freed.wait()
