"""A model of four layers whose first one is dead in every known way: who serves the tasks, and what is on the books.

Each row is a fault of layer 1 and a model of its own, so that no layer rests for what another row did. Tasks go in by a
real face to a real engine; LiteLLM is a real proxy, its Router in the engine, or not there at all (direct). The layers
are stub clouds in this process, which know what they were asked and what they answered: that is the bill.
"""

import argparse
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import yaml

from chaos.face import Face, FaceLost
from chaos.guard import guarded
from chaos.layers_table import HEALTHY, KILLED, REFUSED, Count, Report, Way
from chaos.stage import prepare, say
from omni_mcp import background
from omni_mcp.demo.answers import MARK
from omni_mcp.demo.cloud import OK, Cloud, Seen, running_cloud
from omni_mcp.home import Home
from omni_mcp.llm.price_table import cost_usd, price_table
from omni_mcp.llm.usage import Tokens
from tests.integration.house import free_port
from tests.integration.real_proxy import MASTER_KEY, real_proxy

FAULTS = (
    *(HEALTHY, REFUSED, "drop", "hang", "400", "401", "402", "403", "404", "429", "500", "503", "529"),
    *("empty", "garbage", "error", "context", "policy", "cut", "stall", KILLED),
)
"""What layer 1 does; the words are the stub cloud's (`omni_mcp/demo/cloud.py`)."""
PRICES = ((0.0, 0.0), (1e-6, 5e-6), (2e-6, 7e-6), (3e-6, 11e-6))
"""USD for a token in and out, layer by layer: the first one is free."""
PROVIDERS = (("openai", "gpt-4o-mini"), ("mistral", "mistral-small-latest"), ("deepseek", "deepseek-chat"))
"""Of direct mode: rows of `direct`, each with a model that LiteLLM's list has a price for."""
ROUTE_LIMIT = 8.0
"""Seconds for one layer; with 3 a busy machine let a healthy layer miss them, and the next one served."""
SILENCE = 20.0
"""Seconds until a stream that says nothing is given up: longer than a proxy takes over its first calls."""
ROUTER = {"timeout": ROUTE_LIMIT, "stream_timeout": ROUTE_LIMIT, "allowed_fails": 1, "cooldown_time": 30}
TEXT = "It is done, all of it, step by step. " * 3
"""Of many pieces: a stream that breaks does so after the fifth."""
KILLS = 3
PARALLEL = 8
LIVE_LIMIT = 600.0
"""Seconds that the proxy has to come up, on a machine with other work."""
SETTLE = 240.0
"""Seconds after which the rest of a row is given up."""
COMPLETED = "select count(*) from tasks where state = 'completed'"
LAST = "select coalesce(max(id), 0) from usage"
BOOKS = "select route, input_tokens, output_tokens, cost_usd from usage where id > ?"


@dataclass(kw_only=True)
class Stage:
    """Layers, a home and its face."""

    home: Home
    clouds: Sequence[Cloud]
    face: Face
    way: Way
    dead: int = field(default_factory=free_port)
    """A port that nobody listens on."""

    def configure(self, faults: Sequence[str], proxy: str | None) -> None:
        """Write servers.yaml."""
        models: dict[str, Any] = {
            "gateway": {"base_url": proxy or f"http://127.0.0.1:{self.dead}", "for": {"default": "x"}}
        }
        direct: dict[str, Any] = {}
        if self.way is Way.PROXY:
            models["gateway"]["api_key"] = MASTER_KEY
        elif self.way is Way.ROUTER:
            models = {"model_list": self.model_list(faults), "router_settings": ROUTER}
        else:
            direct = {name: self._provider(number, faults[0]) for number, (name, _) in enumerate(PROVIDERS)}
        sections: dict[str, Any] = {
            "executors": {"assistant": {"preset": "assistant", "handles": ["general"], "parallel": PARALLEL}},
            "models": models,
            "limits": {"silent_seconds": SILENCE, "max_attempts": 100},
            "fault_handler": {"check_interval": 5},
            "notify": {"desktop": False},
            **({"direct": direct} if direct else {}),
        }
        self.home.servers.write_text(yaml.safe_dump(sections, sort_keys=False))

    def model_list(self, faults: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return the rows: a model for each fault, of four layers each."""
        return [self._row(fault, layer) for fault in faults for layer in range(len(self.clouds))]

    def _row(self, fault: str, layer: int) -> Mapping[str, Any]:
        paid, got = PRICES[layer]
        return {
            "model_name": fault,
            "litellm_params": {
                "model": f"openai/layer-{layer + 1}",
                "api_base": self._base(layer, fault),
                "api_key": "none",
                "order": layer + 1,
                "input_cost_per_token": paid,
                "output_cost_per_token": got,
            },
        }

    def _provider(self, layer: int, fault: str) -> Mapping[str, Any]:
        model = PROVIDERS[layer][1]
        return {
            "base_url": self._base(layer, fault),
            "key": "sk-none",
            "dialect": "openai",
            "models": {"default": model},
        }

    def _base(self, layer: int, fault: str) -> str:
        refused = layer == 0 and fault == REFUSED
        return f"http://127.0.0.1:{self.dead if refused else self.clouds[layer].port}/v1"

    def price(self, layer: int, seen: Seen) -> float:
        """Return what a layer charges for an answer."""
        if self.way is not Way.DIRECT:
            paid, got = PRICES[layer]
            return seen.input_tokens * paid + seen.output_tokens * got
        vendor, model = PROVIDERS[layer]
        cost = cost_usd(price_table(), model, [vendor], Tokens(input=seen.input_tokens, output=seen.output_tokens))
        assert cost is not None, f"LiteLLM's list has no price for {model}"
        return cost

    def layer_of(self, route: str | None) -> int:
        """Return which layer a row of the books names, from 1; 0: none."""
        ports = [f":{cloud.port}" for cloud in self.clouds]
        return next((number for number, port in enumerate(ports, 1) if route and route.endswith(port)), 0)


@asynccontextmanager
async def staged(root: Path, way: Way) -> AsyncGenerator[Stage]:
    """Have layers, a home and a face; nothing of it is left at the end."""
    home = Home(root)
    home.root.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        many = len(PROVIDERS) if way is Way.DIRECT else len(PRICES)
        clouds = [await stack.enter_async_context(running_cloud()) for _ in range(many)]
        face = Face(home.root, (sys.executable, "-m", "omni_mcp"))
        try:
            yield Stage(home=home, clouds=clouds, face=face, way=way)
        finally:
            with anyio.CancelScope(shield=True):
                await face.close()
                while await anyio.to_thread.run_sync(background.stop, home):
                    pass


async def row(stage: Stage, fault: str, tasks: int) -> Count:
    """Have layer 1 fail, hand off the tasks, wait for their end, and compare the books with the bill."""
    began, done = time.monotonic(), _completed(stage.home)
    mode = "500" if fault == KILLED else OK if fault in (HEALTHY, REFUSED) else fault
    for cloud in stage.clouds:
        cloud.requests.clear()
    stage.clouds[0].fail(mode)
    last = _number(stage.home, LAST)
    step = json.dumps([{"text": TEXT, "sleep": 0.5 if fault == KILLED else 0}])
    model = {} if stage.way is Way.DIRECT else {"model": fault}
    for number in range(tasks):
        await _submit(stage.face, description=f"{number} {MARK}{step}", type="general", **model)
    with anyio.move_on_after(SETTLE):
        async with anyio.create_task_group() as group:
            if fault == KILLED:
                group.start_soon(_kill, stage, tasks)
            await _settled(stage, done + tasks)
            group.cancel_scope.cancel()
    stage.clouds[0].fail(OK)
    return _count(stage, fault, tasks, completed=_completed(stage.home) - done, last=last, since=began)


async def _submit(face: Face, **arguments: Any) -> None:
    with anyio.fail_after(SETTLE):
        while True:
            try:
                await face.call("submit_task", **arguments)
            except FaceLost:
                continue
            return


async def _settled(stage: Stage, many: int) -> None:
    while _completed(stage.home) < many:
        await anyio.sleep(0.1)


async def _kill(stage: Stage, tasks: int) -> None:
    """Kill the engine while calls are open, a few times over the row."""
    for number in range(1, KILLS + 1):
        while len(stage.clouds[1].requests) < tasks * number // (KILLS + 1):
            await anyio.sleep(0.02)
        if pid := background.view(stage.home).pid:
            os.kill(pid, signal.SIGKILL)


def _completed(home: Home) -> int:
    return _number(home, COMPLETED)


def _number(home: Home, statement: str) -> int:
    """Ask a ledger for a number; there is none before the first task."""
    if not home.ledger.exists():
        return 0
    with closing(sqlite3.connect(f"{home.ledger.as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(statement).fetchone()[0]


def _count(stage: Stage, fault: str, tasks: int, *, completed: int, last: int, since: float) -> Count:
    with closing(sqlite3.connect(f"{stage.home.ledger.as_uri()}?mode=ro", uri=True)) as db:
        books = db.execute(BOOKS, (last,)).fetchall()
    answered = [
        (number, seen) for number, cloud in enumerate(stage.clouds) for seen in cloud.requests if seen.mode == OK
    ]
    known = [line for line in books if line[3] is not None]
    billed = Counter((number + 1, seen.input_tokens, seen.output_tokens) for number, seen in answered)
    written = Counter((stage.layer_of(line[0]), line[1], line[2]) for line in known)
    return Count(
        fault=fault,
        way=stage.way,
        tasks=tasks,
        completed=completed,
        asked=[len(cloud.requests) for cloud in stage.clouds],
        served=Counter(stage.layer_of(line[0]) for line in known),
        bill=sum(stage.price(number, seen) for number, seen in answered),
        known=sum(line[3] for line in known),
        lost=(billed - written).total(),
        unknown=len(books) - len(known),
        seconds=time.monotonic() - since,
    )


async def play(way: Way, faults: Sequence[str], tasks: int, root: Path) -> AsyncGenerator[Count]:
    """Play the rows in this way, one after the other."""
    if way is Way.DIRECT:  # a provider that rests does so for all models: a home for each row
        for number, fault in enumerate(faults):
            async with staged(root / f"direct-{number}", way) as stage:
                stage.configure([fault], None)
                await stage.face.call("system_mode", set="degraded", for_minutes=60)
                yield await row(stage, fault, tasks)
        return
    async with staged(root / way, way) as stage, AsyncExitStack() as stack:
        url = None
        if way is Way.PROXY:
            rows = stage.model_list(faults)
            settings = {**ROUTER, "num_retries": 0}
            url = (
                await stack.enter_async_context(real_proxy(root, rows, limit=LIVE_LIMIT, router_settings=settings))
            ).url
        stage.configure(faults, url)
        for fault in faults:
            yield await row(stage, fault, tasks)


async def run(
    ways: Sequence[Way], faults: Sequence[str], tasks: int, root: Path, *, report: Report, seconds: float
) -> int:
    """Play the rows that the report lacks, as long as there is time; returns how many did not come out as claimed."""
    counts: list[Count] = []
    ends_at = time.monotonic() + seconds
    report.begin()
    for way in ways:
        left = [fault for fault in faults if report.lacks(way, fault)]
        if not left or time.monotonic() > ends_at:
            continue
        async with aclosing(play(way, left, tasks, root)) as rows:
            async for count in rows:
                counts.append(count)
                report.add(count)
                if time.monotonic() > ends_at:
                    break
    good = [count for count in counts if count.trouble is None]
    say(f"\n{sum(count.completed for count in counts)} of {sum(count.tasks for count in counts)} tasks completed")
    say(f"{len(good)} of {len(counts)} rows as claimed")
    return len(counts) - len(good)


def main() -> None:
    """Play all rows; ends with 1 if one does not come out as claimed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=200, help="of each row")
    parser.add_argument("--way", type=Way, action="append", help="proxy, router or direct; all three without it")
    parser.add_argument("--rows", choices=FAULTS, action="append", help="what layer 1 does; all of it without this")
    parser.add_argument("--report", type=Path, help="a file that gets the rows; those that it has are not played again")
    parser.add_argument("--minutes", type=float, default=inf, help="after which no further row is begun")
    given = parser.parse_args()
    prepare()
    root = Path(tempfile.mkdtemp(prefix="omni-layers-"))
    faults: Sequence[str] = given.rows or FAULTS
    with guarded([root, *(root / way for way in Way), *(root / f"direct-{n}" for n in range(len(faults)))]):
        report, seconds = Report(file=given.report), given.minutes * 60
        play_all = partial(run, report=report, seconds=seconds)
        bad = anyio.run(play_all, given.way or list(Way), faults, given.tasks, root)
    if bad:
        say(f"broken; see {root}")
    else:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
