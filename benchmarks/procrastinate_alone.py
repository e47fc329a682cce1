"""procrastinate alone on the PostgreSQL that is named: its own worker runs what is deferred; prints a line of JSON.

Runs in an environment of its own (`make bench` makes it), with nothing of ours. Callers and worker are one process, as
ours are. It is told of new jobs by LISTEN/NOTIFY; what comes while it is busy with the end of another job it may miss,
and looks by itself, here every half second instead of every 5. The tables are analyzed once there are rows in them.
"""

# it is in another environment than ours
# pyright: basic, reportMissingImports=false

import asyncio
import json
import sys
from importlib import import_module
from typing import Any

from benchmarks.closed_loop import CALLERS, TEXT, WARM, Runs, measured, together


async def main(url: str) -> None:
    """Measure."""
    runs = Runs()
    procrastinate: Any = import_module("procrastinate")
    connector = procrastinate.PsycopgConnector(conninfo=url, min_size=4, max_size=CALLERS)
    app = procrastinate.App(connector=connector)

    async def run(key: str, text: str) -> str:
        runs.ran(key)
        return text

    task = app.task(name="task")(run)

    async def put(key: str) -> None:
        await task.defer_async(key=key, text=TEXT)

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        options = {"concurrency": CALLERS, "install_signal_handlers": False, "fetch_job_polling_interval": 0.5}
        worker = asyncio.create_task(app.run_worker_async(**options))
        await together(runs, put, WARM)
        await app.connector.execute_query_async("analyze procrastinate_jobs, procrastinate_events")
        print(json.dumps(await measured(runs, put)))
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
