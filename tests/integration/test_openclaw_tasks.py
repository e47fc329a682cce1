"""Tasks at OpenClaw gateways through our own face: three executors at once, a dead engine, a cancel."""

import json
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from omni_mcp.demo.answers import MARK
from omni_mcp.demo.cloud import running_cloud
from tests.forkserver import command
from tests.integration.fake_openclaw import FakeOpenclaw, fake_openclaw, moltworker_edge
from tests.integration.house import House, call, ended, house
from tests.integration.models import PRICES
from tests.integration.openclaw_runs import called
from tests.integration.real_openclaw import TOKEN

SECRETS = "OPENCLAW_GATEWAY_TOKEN=%s\nCF_ID=svc.access\nCF_SECRET=s3cret\n"
HEADERS = {"CF-Access-Client-Id": "${CF_ID}", "CF-Access-Client-Secret": "${CF_SECRET}"}

pytestmark = pytest.mark.timeout(240)
LIMIT = 100.0
"""Seconds that a task may take here: engine, adapter and gateway are started for it."""


@pytest.fixture
def gateway(tmp_path: Path) -> Generator[FakeOpenclaw]:
    with fake_openclaw(tmp_path / "gateway") as it:
        yield it


def asked(what: str, *steps: dict[str, Any]) -> str:
    return f"{what} {MARK}{json.dumps(steps)}"


def configure(here: House, gateway: FakeOpenclaw, **sections: Any) -> None:
    here.home.dotenv.write_text(SECRETS % gateway.token)
    row = {"preset": "openclaw", "url": gateway.url, "token": "${OPENCLAW_GATEWAY_TOKEN}"}
    executors = {"openclaw": row, **sections.pop("executors", {})}
    here.configure(executors=executors, **sections)


@pytest.mark.litellm
@pytest.mark.filterwarnings("ignore:Item 'summary' on TypedDict")
async def test_three_tasks_at_once_go_to_three_executors_with_progress_and_no_secret_to_be_seen(
    tmp_path: Path, gateway: FakeOpenclaw
) -> None:
    async with running_cloud() as cloud, house(tmp_path) as here:
        with fake_openclaw(tmp_path / "worker", protocol=3) as worker, moltworker_edge(worker, cold=1) as url:
            edge = {"preset": "moltworker", "url": url, "token": "${OPENCLAW_GATEWAY_TOKEN}", "headers": HEADERS}
            gateway.fails(cold=2)
            worker.fails(cold=2)
            rows = {"claude_code": stand_in(tmp_path), "moltworker": edge}
            configure(here, gateway, executors=rows, models=models(cloud.url))
            async with here.client() as client:
                tasks = {name: await call(client, "submit_task", description=text) for name, text in SHOW.items()}
                lines = await watched(here)
                ends = [await ended(client, task["task_id"], limit=LIMIT) for task in tasks.values()]
    assert [(end["state"], end["served_by"]) for end in ends] == [("completed", name) for name in SHOW]
    for name, task in tasks.items():
        told = [line for line in lines if line.startswith(task["task_id"][:8])]
        assert any(SIGNS[name] in line for line in told), (name, told)
    assert (len(gateway.cloud.calls), len(worker.cloud.calls)) == (1, 1)


SHOW = {
    "openclaw": "Wish my team a good weekend",
    "moltworker": "Watch the harbour 24/7",
    "claude_code": asked("写一个 Python 函数", {"tool": "Bash", "input": {"command": "sleep 2"}}, {"text": "写好了"}),
}
SIGNS = {
    "openclaw": "the gateway has taken it",
    "moltworker": "the gateway has taken it",
    "claude_code": "Bash: a command",
}
"""What a line of progress of each has."""


def stand_in(folder: Path) -> dict[str, Any]:
    args = ["-P", "-m", "omni_mcp.demo.stand_in", "--sessions", str(folder / "sessions")]
    return {"command": sys.executable, "args": args, "handles": ["coding"], "recovery": "resume", "login": "relay"}


def models(cloud: str) -> dict[str, Any]:
    params = {"model": "anthropic/coder", "api_base": cloud, "api_key": "x", **PRICES}
    return {"model_list": [{"model_name": "coder", "litellm_params": params}]}


async def watched(here: House) -> list[str]:
    """Return what `omni-mcp watch` prints until all tasks are over; no process shows a secret meanwhile."""
    argv = command("watch")
    said, looked_at = b"", 0
    async with await anyio.open_process(argv, env=here.env) as watching:
        assert watching.stderr is not None
        async for chunk in watching.stderr:
            said += chunk
            looked_at += adapters_without_a_secret()
    assert looked_at
    return said.decode().splitlines()


def adapters_without_a_secret() -> int:
    """Return how many adapters of gateways run; neither they nor any other process of ours shows a secret."""
    adapters = 0
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "omni_mcp" in line and "stubs" not in line:
            assert not any(secret in line for secret in ("s3cret", TOKEN)), line
            adapters += "omni_mcp.adapters.openclaw" in line
    return adapters


async def test_a_killed_engine_is_followed_by_one_that_attaches_with_one_model_call_in_all(
    tmp_path: Path, gateway: FakeOpenclaw
) -> None:
    async with house(tmp_path) as here:
        configure(here, gateway)
        async with here.client() as client:
            text = asked("Wish my team a good weekend.", {"text": "Enjoy it!", "sleep": 4})
            task = await call(client, "submit_task", description=text, type="general")
            await called(gateway, 1)
            os.kill(await here.engine_pid(), signal.SIGKILL)
            done = await ended(client, task["task_id"], limit=LIMIT)
            assert (done["state"], done["served_by"], done["attempt"]) == ("completed", "openclaw", 2)
            result = await call(client, "task_result", task_id=task["task_id"])
    assert "Enjoy it!" in json.dumps(result)
    assert len(gateway.cloud.calls) == 1


async def test_a_cancel_reaches_the_gateway_and_is_confirmed(tmp_path: Path, gateway: FakeOpenclaw) -> None:
    async with house(tmp_path) as here:
        configure(here, gateway)
        async with here.client() as client:
            text = asked("Wish my team a good weekend.", {"text": "too late", "sleep": 50})
            task = await call(client, "submit_task", description=text, type="general")
            await called(gateway, 1)
            answer = await call(client, "cancel_task", task_id=task["task_id"])
            assert (answer["state"], answer.get("text")) == ("cancelled", "stopped on request")
    rows = json.loads((gateway.folder / "state.json").read_text())["rows"]
    assert [row["status"] for row in rows] == ["cancelled"]


async def test_a_gateway_that_is_not_there_leaves_the_task_to_another_and_says_so(
    tmp_path: Path, gateway: FakeOpenclaw
) -> None:
    gateway.kill()
    async with house(tmp_path) as here:
        row = here.workshop("echo", handles=["general"])
        rules = [{"type": "general", "executor": "openclaw", "fallback": ["other"]}]
        configure(here, gateway, executors={"other": row}, routing={"rules": rules, "default": "other"})
        async with here.client() as client:
            task = await call(client, "submit_task", description="Wish my team a good weekend.")
            done = await ended(client, task["task_id"], limit=LIMIT)
            assert (done["state"], done["requested"], done["served_by"]) == ("completed", "openclaw", "other")
            mode = await call(client, "system_mode")
    assert "cannot be reached" in mode["executors"]["openclaw"]
    assert "openclaw gateway run" in mode["executors"]["openclaw"]
