"""The stdio face as the product runs it, with fault points around its ledger; it starts the engine of chaos."""

import sys
from collections.abc import Sequence

from chaos.points import FACE_VERBS, Points, faulty_ledger
from omni_mcp import app, background
from omni_mcp.home import Home
from omni_mcp.stdio import serve_stdio


def engine_argv(_home: Home) -> Sequence[str]:
    """Return the command line of the engine with fault points; the home comes by the environment."""
    return [sys.executable, "-P", "-m", "chaos.engine_main"]


def main() -> None:
    """Serve until stdin ends."""
    home = Home.locate()
    app.SqliteLedger = faulty_ledger(Points(home.root), "face", FACE_VERBS)
    background.engine_argv = engine_argv
    serve_stdio(home, inline=False)


if __name__ == "__main__":
    main()
