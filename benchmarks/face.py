"""What a face costs against a bare FastMCP server: its start, the round trip of a durable submit, its memory.

Raw JSON-RPC over pipes, so that no client library is in the figures. Ours and bare take turns, so that a busy machine
is busy for both.
"""

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.rows import pair
from omni_mcp.home import Home

ROOT = Path(__file__).parents[1]
STARTS = 11
BLOCKS, CALLS = 6, 50
"""Round trips: so many blocks of each, so many calls a block."""
WARM = 20
"""Calls before anything of a running server is measured."""
ENGINE_LIMIT = 30.0
"""Seconds for the background engine to come up."""
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}
NOBODY_TAKES_IT = """\
executors: {nobody: {command: /a-program-that-is-not-there, tool: run, handles: [bench]}}
routing: {rules: [{type: bench, executor: nobody}], default: nobody}
"""
"""Tasks are recorded, seen by the engine and held: nothing but ours runs while we measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server to start and the tool to call."""

    command: Sequence[str]
    environment: Mapping[str, str]
    tool: str
    arguments: Mapping[str, Any]


class Connection:
    """Speaks JSON-RPC with a server over its pipes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._last = 0

    def ask(self, method: str, params: Mapping[str, Any]) -> Any:
        """Send a request and return its result; what else arrives meanwhile is dropped."""
        self._last += 1
        self._send({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})
        answer = next(message for message in self._messages() if message.get("id") == self._last)
        return answer["result"]

    def tell(self, method: str) -> None:
        """Send a notification."""
        self._send({"jsonrpc": "2.0", "method": method})

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def _messages(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        yield from map(json.loads, self.process.stdout)
        raise RuntimeError(f"the server ended with {self.process.wait()}")


@contextmanager
def running(contender: Contender) -> Generator[Connection]:
    """Start a server; it ends when its stdin does."""
    process = subprocess.Popen(
        contender.command, cwd=ROOT, env=contender.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        yield Connection(process)


@contextmanager
def initialized(contender: Contender) -> Generator[Connection]:
    """Start a server and shake hands."""
    with running(contender) as connection:
        connection.ask("initialize", INITIALIZE)
        connection.tell("notifications/initialized")
        yield connection


def call(connection: Connection, contender: Contender) -> float:
    """Call the tool once; returns the milliseconds that it took."""
    began = time.perf_counter()
    result = connection.ask("tools/call", {"name": contender.tool, "arguments": contender.arguments})
    took = time.perf_counter() - began
    assert not result.get("isError"), result
    return took * 1000


def start(contender: Contender) -> float:
    """Return the milliseconds from nothing to an answered `initialize`."""
    began = time.perf_counter()
    with running(contender) as connection:
        connection.ask("initialize", INITIALIZE)
        return (time.perf_counter() - began) * 1000


def memory(contender: Contender) -> tuple[float, float]:
    """Return resident and unshared MB after the handshake and some calls."""
    with initialized(contender) as connection:
        for _ in range(WARM):
            call(connection, contender)
        found = psutil.Process(connection.process.pid).memory_full_info()
        return found.rss / 1e6, found.uss / 1e6


def starts(ours: Contender, bare: Contender) -> tuple[list[float], list[float]]:
    """Measure starts in turns; the first of each warms the disk and is not counted."""
    pairs = [(start(ours), start(bare)) for _ in range(STARTS + 1)]
    return [pair[0] for pair in pairs[1:]], [pair[1] for pair in pairs[1:]]


def round_trips(ours: Contender, bare: Contender, folder: Path) -> tuple[list[float], list[float], list[float]]:
    """Measure calls in turns of blocks, and between them what one commit costs on this disk at this time."""
    mine: list[float] = []
    others: list[float] = []
    commits: list[float] = []
    with initialized(ours) as one, initialized(bare) as other, plain_table(folder) as db:
        for _ in range(WARM):
            call(one, ours)
            call(other, bare)
        for _ in range(BLOCKS):
            mine += [call(one, ours) for _ in range(CALLS)]
            others += [call(other, bare) for _ in range(CALLS)]
            commits += [commit(db) for _ in range(CALLS)]
    return mine, others, commits


@contextmanager
def plain_table(folder: Path) -> Generator[sqlite3.Connection]:
    """Open a database of one table that is as durable as the ledger."""
    with closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as db:
        db.executescript("pragma journal_mode = wal; pragma synchronous = full; create table plain (text)")
        yield db


def commit(db: sqlite3.Connection) -> float:
    """Write one row; returns the milliseconds until it is on disk."""
    began = time.perf_counter()
    db.execute("insert into plain values ('say hello to whoever reads this')")
    return (time.perf_counter() - began) * 1000


def row(name: str, unit: str, goal: float, ours: Sequence[float], bare: Sequence[float]) -> dict[str, Any]:
    """Return one line of the table: medians, and how they compare."""
    mine, other = statistics.median(ours), statistics.median(bare)
    return {"name": name, "unit": unit, **pair(mine, other), "at_most": goal}


@contextmanager
def a_home() -> Generator[Home]:
    """Make a home of our own; the engine that a submit starts there is stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="omni-bench-") as folder:
        home = Home(Path(folder))
        home.servers.write_text(NOBODY_TAKES_IT, encoding="utf-8")
        try:
            yield home
        finally:
            engine(home, "stop")


def engine(home: Home, verb: str) -> bool:
    """Run `omni-mcp engine …`; returns whether it ended well."""
    command = [sys.executable, "-m", "omni_mcp", "engine", verb, "--home", str(home.root)]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0


def await_engine(home: Home, ours: Contender) -> None:
    """Submit once and wait for the engine which that starts, or it would start up while we measure."""
    with initialized(ours) as connection:
        call(connection, ours)
        limit = time.monotonic() + ENGINE_LIMIT
        while not engine(home, "status"):
            assert time.monotonic() < limit, "no engine came up"


def contenders(home: Home) -> tuple[Contender, Contender]:
    """Return our face and the bare server, in the same small environment."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home.root), "OMNI_HOME": str(home.root)}
    task = {"description": "say hello to whoever reads this", "type": "bench"}
    ours = Contender(
        command=[sys.executable, "-m", "omni_mcp"], environment=environment, tool="submit_task", arguments=task
    )
    bare = Contender(
        command=[sys.executable, "-m", "benchmarks.bare"],
        environment=environment,
        tool="echo",
        arguments={"description": task["description"]},
    )
    return ours, bare


def main() -> list[dict[str, Any]]:
    """Measure everything; returns the lines of the table."""
    with a_home() as home:
        ours, bare = contenders(home)
        started = starts(ours, bare)
        await_engine(home, ours)
        mine, others, commits = round_trips(ours, bare, home.root)
        (rss, uss), (bare_rss, bare_uss) = memory(ours), memory(bare)
    return [
        row("start to initialize", "ms", 1.3, *started),
        row("durable submit_task", "ms", 2.0, mine, others),
        {"name": "  one commit on this disk", "unit": "ms", "ours": statistics.median(commits)},
        row("resident memory", "MB", 1.25, [rss], [bare_rss]),
        row("unshared memory", "MB", 1.25, [uss], [bare_uss]),
    ]


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
