"""The stdio face as the product runs it, with fault points around its ledger; it starts the engine of chaos."""

import faulthandler
import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from chaos.points import FACE_VERBS, Points, faulty_ledger
from omni_mcp import background
from omni_mcp.home import Home
from omni_mcp.ledger import opened, writer
from omni_mcp.ledger.gate import WriteGate
from omni_mcp.stdio import serve_stdio


def engine_argv(_home: Home) -> Sequence[str]:
    """Return the command line of the engine with fault points; the home comes by the environment."""
    return [sys.executable, "-P", "-m", "chaos.engine_main"]


class TimedGate(WriteGate):
    """Writes down the longest time that this process held the gate, in milliseconds."""

    longest = 0.0

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold the gate."""
        with super().held():
            began = time.perf_counter()
            yield
            took = (time.perf_counter() - began) * 1000
        if took > TimedGate.longest:
            TimedGate.longest = took
            (Home.locate().root / f"longest.{os.getpid()}").write_text(str(took))


def main() -> None:
    """Serve until stdin ends."""
    faulthandler.enable()
    home = Home.locate()
    writer.WriteGate = TimedGate
    opened.SqliteLedger = faulty_ledger(Points(home.root), "face", FACE_VERBS)
    background.engine_argv = engine_argv
    serve_stdio(home, inline=False)


if __name__ == "__main__":
    main()
