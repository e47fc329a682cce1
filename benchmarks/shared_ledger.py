"""What a ledger on PostgreSQL carries: durable submits and whole lives with 1, 2 and 3 processes, beside one in a file.

`python -m benchmarks.shared_ledger` starts a server of its own (Debian's package, `fsync` on) and prints the figures.
A life is four units: submit, begin, bind, finish. Each process has 50 callers, as `benchmarks/ledger.py` has.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path

from benchmarks.ledger import CHOICE, SPEC, life_on, per_second
from omni_mcp.ledger.postgres.store import PostgresLedger
from omni_mcp.ledger.sql_ledger import SqlLedger
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.task import new_id
from tests.postgres import a_server

CONFIG = "listen_addresses = '127.0.0.1'\nfsync = on\n"
ROUNDS = 3
PROCESSES = (1, 2, 3)


def opened(place: str) -> SqlLedger:
    """Return the ledger at an address, or in a file."""
    return PostgresLedger(place) if place.startswith("postgresql:") else SqliteLedger(Path(place))


async def submit(ledger: SqlLedger) -> None:
    """Hand over one task; on disk when it returns."""
    await ledger.submit(SPEC, task_id=new_id(), choice=CHOICE)


DEEDS: Mapping[str, Callable[[SqlLedger], Awaitable[None]]] = {"submits": submit, "lives": life_on}
"""What the callers do."""


async def rate(place: str, deed: str) -> float:
    """Return how many of them a second this process gets through."""
    async with AsyncExitStack() as stack:
        do = partial(DEEDS[deed], await stack.enter_async_context(opened(place)))
        await do()
        rounds = [await per_second(do) for _ in range(ROUNDS)]
    return sum(rounds) / len(rounds)


def together(place: str, deed: str, processes: int) -> float:
    """Return what so many processes get through together."""
    argv = [sys.executable, "-m", "benchmarks.shared_ledger", place, deed]
    with ExitStack() as stack:
        running = [stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE)) for _ in range(processes)]
        return sum(float(process.communicate()[0]) for process in running)


def main() -> None:
    """Measure all."""
    with a_server(config=CONFIG) as server, tempfile.TemporaryDirectory() as folder:
        for kind, place in (("SQLite", f"{folder}/ledger.db"), ("PostgreSQL", server.url())):
            for processes in PROCESSES:
                told = [f"{together(place, deed, processes):.0f} {deed}/s" for deed in DEEDS]
                print(f"{kind}, {processes} processes x 50 callers: {', '.join(told)}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(asyncio.run(rate(*sys.argv[1:])))
    else:
        main()
