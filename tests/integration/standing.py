"""An `omni-mcp serve` for all tests of a module: it outlives their event loops, so it is a process of no loop."""

import subprocess
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

import anyio

from tests.forkserver import command
from tests.integration.house import House, Served, connected, free_port

STARTS = 180.0
"""Seconds until it listens, and until it has gone; measured: 2 to 23, on a machine with a load of 25 above 90."""


@contextmanager
def standing(here: House, warm_up: Callable[[Served], Awaitable[None]]) -> Generator[Served]:
    """Run it; what `warm_up` starts is there before the first test, which would else count it as left behind."""
    port = free_port()
    argv = command("serve", "--port", str(port))
    with (
        (here.home.root / "serve.log").open("w") as log,
        subprocess.Popen(argv, env=here.env, stdout=log, stderr=log) as process,
    ):
        of_no_loop: Any = process
        served = Served(process=of_no_loop, port=port)
        try:
            anyio.run(_ready, served, warm_up)
            yield served
            process.terminate()
            assert process.wait(STARTS) == 0
        finally:
            process.kill()


async def _ready(served: Served, warm_up: Callable[[Served], Awaitable[None]]) -> None:
    await connected(served.port, limit=STARTS)
    await warm_up(served)
