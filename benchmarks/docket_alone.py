"""docket alone on the Redis that is named: its own worker runs what its callers add; prints a line of JSON.

Callers and worker are one process, as ours are. It has a slot for each caller, and checks as often as it is told (in
milliseconds): while all of its slots are taken it sleeps that long.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

from docket import Docket, Worker

from benchmarks.closed_loop import CALLERS, TEXT, Put, Runs, measured

QUEUE = 1000
"""Tasks of the queue that is full before a worker begins."""


@asynccontextmanager
async def at_work(docket: Docket, check: timedelta) -> AsyncGenerator[None]:
    """Have a worker run."""
    async with Worker(docket, concurrency=CALLERS, minimum_check_interval=check) as worker:
        running = asyncio.create_task(worker.run_forever())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def filled(runs: Runs, put: Put) -> list[asyncio.Future[float]]:
    """Fill the queue, so many at a time as there are callers; returns what is heard of each task when it runs."""
    awaited: list[asyncio.Future[float]] = []
    for _ in range(QUEUE // CALLERS):
        keys = [uuid4().hex for _ in range(CALLERS)]
        awaited += [runs.awaited(key) for key in keys]
        await asyncio.gather(*map(put, keys))
    return awaited


async def main(url: str, check: timedelta) -> None:
    """Measure both ways: as tasks come, and a queue that is full already."""
    runs = Runs()

    async def task(key: str, text: str) -> str:
        runs.ran(key)
        return text

    async with Docket(name=uuid4().hex, url=url) as docket:
        docket.register(task)

        async def put(key: str) -> None:
            await docket.add(task, key=key)(key, TEXT)

        async with at_work(docket, check):
            found = await measured(runs, put)
        queue = await filled(runs, put)
        began = time.perf_counter()
        async with at_work(docket, check):
            await asyncio.gather(*queue)
            took = time.perf_counter() - began
    print(json.dumps({**found, "drained": QUEUE / took}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], timedelta(milliseconds=int(sys.argv[2]))))
