"""The engine as the product runs it, with fault points around its ledger and its executors."""

import sys
from typing import Any

from chaos.points import ENGINE_VERBS, Points, faulty_executor, faulty_ledger
from omni_mcp.engine_process import run_engine
from omni_mcp.errors import EngineRunning
from omni_mcp.executors import pool
from omni_mcp.executors.executor import Executor
from omni_mcp.home import Home
from omni_mcp.ledger import opened


def main() -> None:
    """Serve until idle or stopped."""
    home = Home.locate()
    points = Points(home.root)
    plain = pool.executor_for

    def executor_for(*args: Any) -> Executor:
        return faulty_executor(points, plain(*args))

    opened.SqliteLedger = faulty_ledger(points, "engine", ENGINE_VERBS)
    pool.executor_for = executor_for
    try:
        run_engine(home)
    except* EngineRunning as error:  # a spare was quicker than the face that started us
        sys.exit(str(error.exceptions[0]))


if __name__ == "__main__":
    main()
