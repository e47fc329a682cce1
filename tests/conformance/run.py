"""Run the official conformance suite against our face, in both eras, and beside fastmcp-tasks: `make conformance`.

python -m tests.conformance.run SUITE PEER_PYTHON [SCENARIO]: the suite's index.js, which needs Node 22, and a Python
that has `fastmcp[tasks]`. A check that fails has to stand in expected-failures.yml, and what stands there has to fail.
"""

import json
import logging
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import yaml

from tests.conformance.killed import LIMIT, Server, killed_after_each_task
from tests.integration.house import connected, free_port

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
EXPECTED = HERE / "expected-failures.yml"
ERAS = ("2025-11-25", "2026-07-28")
CREATING = (
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
)
"""The scenarios of the tasks extension that check something (tasks-status-notifications checks nothing yet)."""
SCENARIO_LIMIT_MS = 180_000
PATIENT = HERE / "patient.mjs"
PATIENCE = 10
"""How many times longer than the suite would it waits: its own limits fail a busy machine."""


@dataclass
class Score:
    """What came of one run of the suite."""

    passed: Counter[str] = field(default_factory=Counter[str])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    """Why, by `scenario:check`."""

    def of(self, scenario: str) -> str:
        """Return passed checks over all."""
        failed = sum(1 for name in self.failed if name.startswith(f"{scenario}:"))
        return f"{self.passed[scenario]}/{self.passed[scenario] + failed}"


@dataclass(frozen=True)
class Suite:
    """The suite, and where it leaves its results."""

    index: str
    results: Path

    async def run(self, url: str, *arguments: str) -> Score:
        """Run some of it; what it prints is of no use beside what it writes down."""
        out = self.results / str(len(list(self.results.iterdir())))
        out.mkdir()
        argv = [
            "node",
            "--import",
            str(PATIENT),
            self.index,
            "server",
            "--url",
            url,
            "-o",
            str(out),
            "--timeout",
            str(SCENARIO_LIMIT_MS),
        ]
        env = {**os.environ, "PATIENCE": str(PATIENCE)}
        done = await anyio.run_process([*argv, *arguments], check=False, env=env)
        score = _score(out)
        logger.info("%s: %d passed, %d failed", " ".join(arguments), score.passed.total(), len(score.failed))
        if not score.passed:
            sys.exit(f"the suite did not run: {(done.stdout + done.stderr).decode()[-2000:]}")
        return score

    async def tasks(self, url: str, scenarios: Sequence[str]) -> Score:
        """Run scenarios of the tasks extension one by one."""
        whole = Score()
        for scenario in scenarios:
            score = await self.run(url, "--scenario", scenario)
            whole.passed += score.passed
            whole.failed |= score.failed
        return whole


def _score(out: Path) -> Score:
    score = Score()
    for file in sorted(out.glob("server-*/checks.json")):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT.*", "", file.parent.name)
        for check in json.loads(file.read_text()):
            if check["status"] == "SUCCESS":
                score.passed[scenario] += 1
            elif check["status"] == "FAILURE":
                score.failed[f"{scenario}:{check['id']}"] = str(check.get("errorMessage"))[:300]
    return score


@asynccontextmanager
async def serving(home: Path, argv: Sequence[str], *more: str) -> AsyncGenerator[Server]:
    """Have a server up on a home of its own."""
    port = free_port()
    server = Server([*argv, str(home), str(port), *more], port, home.with_suffix(".log"))
    try:
        await server.start()
        yield server
    finally:
        server.end()


@asynccontextmanager
async def working() -> AsyncGenerator[str]:
    """Have the executor up; yields its port."""
    port = free_port()
    worker = subprocess.Popen([sys.executable, "-m", "tests.conformance.worker", str(port)])  # noqa: ASYNC220
    try:
        await connected(port, limit=LIMIT)
        yield str(port)
    finally:
        worker.kill()
        worker.wait()


async def _ours(suite: Suite, home: Path, scenarios: Sequence[str], *, eras: Sequence[str]) -> dict[str, Score]:
    argv = [sys.executable, "-m", "tests.conformance.server"]
    async with working() as worker:
        async with serving(home / "ours", argv, worker) as server:
            scores = {era: await suite.run(server.url, "--requirements", era) for era in eras}
            scores["ours"] = await suite.tasks(server.url, scenarios)
        async with serving(home / "ours-killed", argv, worker) as server, killed_after_each_task(server) as url:
            scores["ours, killed"] = await suite.tasks(url, scenarios)
            logger.info("killed %d times", server.kills)
    return scores


async def _theirs(suite: Suite, home: Path, scenarios: Sequence[str], python: str) -> dict[str, Score]:
    argv = [python, str(HERE / "peer.py")]
    async with serving(home / "peer", argv) as server:
        scores = {"fastmcp-tasks": await suite.tasks(server.url, scenarios)}
    async with serving(home / "peer-killed", argv) as server, killed_after_each_task(server) as url:
        return scores | {"fastmcp-tasks, killed": await suite.tasks(url, scenarios)}


async def main(index: str, peer_python: str, *only: str) -> None:
    """Run everything, print what came of it, and fail where that was not expected."""
    scenarios = only or CREATING
    with TemporaryDirectory(prefix="omni-conformance-") as folder:
        (results := Path(folder) / "results").mkdir()
        suite = Suite(index, results)
        scores = await _ours(suite, Path(folder), scenarios, eras=() if only else ERAS)
        scores |= await _theirs(suite, Path(folder), scenarios, peer_python)
    print("\n".join(_table(scores, scenarios)))
    print("killed: the server has a SIGKILL between the creation of each task and the first tasks/get")
    _judge({name: score for name, score in scores.items() if not name.startswith("fastmcp")}, whole=not only)


def _table(scores: Mapping[str, Score], scenarios: Sequence[str]) -> Iterator[str]:
    for era in ERAS:
        if era in scores:
            score = scores[era]
            count = len(set(score.passed) | {name.partition(":")[0] for name in score.failed})
            yield f"{era}: {count} scenarios, {score.passed.total()} checks passed, {len(score.failed)} failed"
    columns = [name for name in scores if name not in ERAS]
    yield " | ".join(["checks passed".ljust(32), *columns])
    for scenario in scenarios:
        yield " | ".join([scenario.ljust(32), *(scores[name].of(scenario).rjust(len(name)) for name in columns)])


def _judge(scores: Mapping[str, Score], *, whole: bool) -> None:
    """Exit with what failed unexpectedly, and with what was expected to fail and did not."""
    expected = set[str](yaml.safe_load(EXPECTED.read_text())["server"])
    failed = {name: why for score in scores.values() for name, why in score.failed.items()}
    wrong = [
        f"{where}: {name}: {why}"
        for where, s in scores.items()
        for name, why in s.failed.items()
        if name not in expected
    ]
    stale = [f"{name} is expected to fail and does not" for name in sorted(expected - set(failed))] if whole else []
    if wrong or stale:
        sys.exit("\n".join([*wrong, *stale]))
    print(f"nothing failed but the {len(expected & set(failed))} checks of {EXPECTED.name}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    anyio.run(partial(main, sys.argv[1], sys.argv[2], *sys.argv[3:]))
