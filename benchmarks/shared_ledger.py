"""What a ledger on PostgreSQL carries: whole lives of tasks with 1, 2 and 3 processes, beside the one in a file.

`python -m benchmarks.shared_ledger` starts a server of its own (Debian's package, `fsync` on) and prints the figures.
A life is four units: submit, begin, bind, finish. Each process has 50 callers, as `benchmarks/ledger.py` has.
"""

import asyncio
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path

from benchmarks.ledger import life_on, per_second
from omni_mcp.ledger.postgres.store import PostgresLedger
from omni_mcp.ledger.sql_ledger import SqlLedger
from omni_mcp.ledger.sqlite import SqliteLedger
from tests.postgres import a_server

CONFIG = "listen_addresses = '127.0.0.1'\nfsync = on\n"
ROUNDS = 3
PROCESSES = (1, 2, 3)


def opened(place: str) -> SqlLedger:
    """Return the ledger at an address, or in a file."""
    return PostgresLedger(place) if place.startswith("postgresql:") else SqliteLedger(Path(place))


async def lives(place: str, seconds: int) -> float:
    """Return how many lives a second this process gets through."""
    async with AsyncExitStack() as stack:
        life = partial(life_on, await stack.enter_async_context(opened(place)))
        await life()
        rounds = [await per_second(life) for _ in range(seconds)]
    return sum(rounds) / len(rounds)


def together(place: str, processes: int) -> float:
    """Return what so many processes get through together."""
    argv = [sys.executable, "-m", "benchmarks.shared_ledger", place]
    with ExitStack() as stack:
        running = [stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE)) for _ in range(processes)]
        return sum(float(process.communicate()[0]) for process in running)


def main() -> None:
    """Measure all."""
    with a_server(config=CONFIG) as server, tempfile.TemporaryDirectory() as folder:
        for kind, place in (("SQLite", f"{folder}/ledger.db"), ("PostgreSQL", server.url())):
            for processes in PROCESSES:
                per = together(place, processes)
                told = f"{per:.0f} lives/s, {4 * per:.0f} units/s"
                print(f"{kind}, {processes} processes x 50 callers: {told}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(asyncio.run(lives(sys.argv[1], ROUNDS)))
    else:
        main()
