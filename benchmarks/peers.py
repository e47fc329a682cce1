"""The MCP server of a peer, AWS CLI Agent Orchestrator, beside ours: its start, its memory, its list of tools.

Not like for like: it does other things, with more tools, and what it does it does in terminals with logged-in agents,
which are not here; so no task of it ends here, and none is timed. Every window of a client starts such a server, and
every conversation carries its list of tools: that is what is compared.
"""

import json
import os
import statistics
from collections.abc import Sequence
from typing import Any

import psutil

from benchmarks.empty import ROOT
from benchmarks.face import Contender, a_home, contenders, initialized, start
from benchmarks.rows import pair

CAO = ROOT / ".cache/peers/bin/cao-mcp-server"
STARTS = 5


def held(contender: Contender) -> tuple[float, int, int]:
    """Return MB resident after the handshake and a list of tools, how many there are, and the bytes of the list."""
    with initialized(contender) as connection:
        tools: Sequence[Any] = connection.ask("tools/list", {})["tools"]
        resident = psutil.Process(connection.process.pid).memory_info().rss / 1e6
    return resident, len(tools), len(json.dumps(tools, ensure_ascii=False, separators=(",", ":")).encode())


def main() -> list[dict[str, Any]]:
    """Return the lines of the table; none without the peer."""
    if not CAO.exists():
        return []
    with a_home() as home:
        ours, _ = contenders(home)
        path = f"{CAO.parent}{os.pathsep}{os.environ['PATH']}"
        environment = {"PATH": path, "HOME": str(home.root), "CAO_TERMINAL_ID": ""}
        peer = Contender(command=[str(CAO)], environment=environment, tool="", arguments={})
        pairs = [(start(ours), start(peer)) for _ in range(STARTS + 1)][1:]
        starts = [statistics.median(pair[side] for pair in pairs) for side in (0, 1)]
        mine, others = held(ours), held(peer)
    figures = [("start to initialize", "ms"), ("resident memory", "MB"), ("tools", ""), ("list of tools", "bytes")]
    values = zip(figures, (starts[0], *mine), (starts[1], *others), strict=True)
    return [
        {"name": f"{name}, against CAO 2.5.4", "unit": unit, **pair(one, other)} for (name, unit), one, other in values
    ]


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
