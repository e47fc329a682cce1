"""OpenClaw as a client of ours, by a stand-in: what it calls itself is all that it says (seen with 2026.9.6)."""

from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from mcp_types import Implementation

from omni_mcp.lineage import OPENCLAW_CLIENT
from tests.integration.fake_openclaw import fake_openclaw
from tests.integration.house import call, house, refused
from tests.integration.openclaw_runs import called

STARTS = 90.0
"""Seconds until `omni-mcp serve` listens; measured: 2 to 23."""
pytestmark = pytest.mark.timeout(240)

WORK = 'Work. SCRIPT:[{"text": "done", "sleep": 60}]'


def calling_itself(name: str, url: str) -> Client[Any]:
    return Client(url, client_info=Implementation(name=name, version="0.0.0"))


async def test_what_comes_from_openclaw_while_it_works_for_us_is_inside_that_task(tmp_path: Path) -> None:
    with fake_openclaw(tmp_path / "gateway") as gateway:
        async with house(tmp_path) as here:
            claw = {"preset": "openclaw", "url": gateway.url, "token": gateway.token, "handles": ["claw"]}
            here.configure(executors={"claw": claw, "bench": here.workshop()}, limits={"max_depth": 0})
            async with here.served(limit=STARTS) as it, calling_itself(OPENCLAW_CLIENT, it.url) as worker:
                task = await call(worker, "submit_task", description=WORK, type="claw")
                await called(gateway, 1)
                error = await refused(worker, "submit_task", description="again", type="echo")
                assert error["code"] == "too_deep"
                assert f"from OpenClaw while it works on task {task['task_id']}, 1 levels deep" in error["message"]
                assert "do it yourself" in error["next_step"]
                async with calling_itself("cursor", it.url) as person:
                    await call(person, "submit_task", description="mine", type="echo", wait_seconds=20)
                await call(worker, "cancel_task", task_id=task["task_id"])
                await call(worker, "submit_task", description="after it", type="echo")


async def test_the_install_follows_a_serve_that_runs(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        file = here.home.root / ".openclaw/openclaw.json"
        async with here.served(limit=STARTS) as it:
            code, said = await here.cli("install", "openclaw", "--yes")
            assert code == 0
            assert f'"url": "{it.url}"' in file.read_text()
        code, said = await here.cli("doctor", "--json")
        assert "client-unserved" in said
        code, said = await here.cli("install", "openclaw", "--yes", "--force")
        assert code == 0
        assert "without `omni-mcp serve` each session starts a process" in said
        assert '"command"' in file.read_text()
