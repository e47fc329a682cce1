"""The real OpenClaw gateway: what our tests take for granted of it, and what passes between it and us."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from fastmcp import Client
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from omni_mcp.adapters.openclaw_wire import Address, Gateway
from omni_mcp.adapters.openclaw_wire import connected as connected_to
from omni_mcp.llm.loopback import serving
from omni_mcp.task import new_id
from tests.integration.house import House, call, ended, house, listed, until
from tests.integration.real_openclaw import REAL_OPENCLAW, WORKER, RealOpenclaw

pytestmark = REAL_OPENCLAW

TURNS = 5
PATIENT = 300.0
"""Seconds that anything may take that a real gateway does; a first turn took 1 to 130, by what else the machine did."""


def gateway_of(openclaw: RealOpenclaw) -> AbstractAsyncContextManager[Gateway]:
    return connected_to(Address(url=openclaw.url, token=SecretStr(openclaw.token), connect_timeout=PATIENT))


async def turn(openclaw: RealOpenclaw, name: str, *steps: dict[str, Any]) -> str:
    """Have an agent of the gateway take a turn in which its model says these steps; returns all that was said in it.

    A gateway that has just read changed settings refuses what began under the old ones: then it is asked again.
    """
    session, ended = f"agent:main:{name}", dict[str, Any]()
    async with gateway_of(openclaw) as gateway:
        for _ in range(TURNS):
            key = new_id()
            asked = {
                "message": f"SCRIPT:{json.dumps(steps)}",
                "sessionKey": session,
                "idempotencyKey": key,
                "deliver": False,
            }
            await gateway.call("agent", {**asked, "cleanupBundleMcpOnRunEnd": True}, timeout=PATIENT)
            ended = await gateway.call("agent.wait", {"runId": key, "timeoutMs": PATIENT * 1000}, timeout=PATIENT)
            if "was superseded" not in str(ended.get("error")):
                break
        assert ended["status"] == "ok", str(ended.get("error"))[:300]
    return await heard(openclaw, session)


async def heard(openclaw: RealOpenclaw, beginning: str) -> str:
    """Return all that was said in the sessions whose key begins so."""
    async with gateway_of(openclaw) as gateway:
        keys = [row["key"] for row in (await gateway.call("sessions.list"))["sessions"]]
        said = [await gateway.call("chat.history", {"sessionKey": key}) for key in keys if key.startswith(beginning)]
    return json.dumps(said).replace("\\", "")


def use(tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the step in which a model calls a tool of ours, in the way that OpenClaw has it called."""
    return {"tool": "tool_call", "input": {"id": f"omni__{tool}", "args": arguments}}


@asynccontextmanager
async def served(here: House, openclaw: RealOpenclaw) -> AsyncGenerator[str]:
    """Run `omni-mcp serve`, installed in the gateway by our own command while it runs."""
    async with here.served(limit=PATIENT) as it:
        try:
            await installed(here, openclaw, "install")
            yield it.url
        finally:
            with anyio.CancelScope(shield=True):
                await installed(here, openclaw, "uninstall")


async def installed(here: House, openclaw: RealOpenclaw, command: str) -> None:
    """Put us into the gateway, or take us out."""
    env = {**here.env, "OPENCLAW_CONFIG_PATH": str(openclaw.settings)}
    done = await anyio.run_process(
        [sys.executable, "-m", "omni_mcp", command, "openclaw", "--yes"], env=env, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_a_turn_of_the_gateway_is_one_call_of_the_stub_cloud(openclaw: RealOpenclaw) -> None:
    before = len(openclaw.cloud.calls)
    assert "forty-two" in await turn(openclaw, "plain", {"text": "forty-two"})
    assert [seen["text"] for seen in openclaw.cloud.calls[before:]] == ["forty-two"]


async def test_openclaw_submits_a_task_and_gets_its_result(tmp_path: Path, openclaw: RealOpenclaw) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with served(here, openclaw) as url, Client(url) as person:
            wanted = {"description": "from openclaw", "type": "echo", "wait_seconds": 40}
            await turn(openclaw, "asks", use("submit_task", **wanted), {"text": "asked"})
            [task] = (await call(person, "list_tasks"))["tasks"]
            assert task["state"] == "completed"
            said = await turn(openclaw, "reads", use("task_result", task_id=task["task_id"]), {"text": "read"})
            assert "echo: from openclaw" in said
            code, probed = await openclaw.cli("mcp", "probe", "omni")
            assert code == 0
            assert "omni: 8 tools" in probed
            assert "annotation" not in probed


async def test_a_worker_of_openclaw_that_submits_to_us_again_is_stopped_and_told_why(
    tmp_path: Path, openclaw: RealOpenclaw
) -> None:
    async with house(tmp_path) as here:
        claw = {"preset": "openclaw", "url": openclaw.url, "token": openclaw.token, "handles": ["claw"]}
        here.configure(executors={"claw": claw, "bench": here.workshop()}, limits={"max_depth": 0})
        async with served(here, openclaw) as url, Client(url) as person:
            steps = [use("submit_task", description="again", type="echo"), {"text": "could not hand it on"}]
            task = await call(person, "submit_task", description=f"Work. SCRIPT:{json.dumps(steps)}", type="claw")
            done = await ended(person, task["task_id"], limit=PATIENT)
            assert done["state"] == "completed", done
            assert [row["task_id"] for row in (await call(person, "list_tasks"))["tasks"]] == [task["task_id"]]
            said = await heard(openclaw, "agent:main:omni-")
            assert f"from OpenClaw while it works on task {task['task_id']}, 1 levels deep, and the limit is 0" in said
        assert here.logged() == []


async def test_an_agent_without_our_tools_cannot_hand_its_work_back(tmp_path: Path, openclaw: RealOpenclaw) -> None:
    async with house(tmp_path) as here:
        claw = {
            "preset": "openclaw",
            "url": openclaw.url,
            "token": openclaw.token,
            "agent": WORKER,
            "handles": ["claw"],
        }
        here.configure(executors={"claw": claw, "bench": here.workshop()})
        async with served(here, openclaw) as url, Client(url) as person:
            steps = [use("submit_task", description="again", type="echo"), {"text": "could not hand it on"}]
            task = await call(person, "submit_task", description=f"Work. SCRIPT:{json.dumps(steps)}", type="claw")
            assert (await ended(person, task["task_id"], limit=PATIENT))["state"] == "completed"
            assert len((await call(person, "list_tasks"))["tasks"]) == 1
            assert "Unknown tool id: omni__submit_task" in await heard(openclaw, f"agent:{WORKER}:omni-")


async def test_what_a_cron_job_of_openclaw_found_becomes_a_task(tmp_path: Path, openclaw: RealOpenclaw) -> None:
    async with house(tmp_path) as here:
        task = {"description": "{job} says: {summary}", "type": "echo", "permissions": "full"}
        row = {"kind": "openclaw", "token": openclaw.token, "task": task}
        here.configure(executors={"bench": here.workshop()}, webhooks={"claw": row})
        async with served(here, openclaw) as url, Client(url) as person:
            job = ["1s", 'SCRIPT:[{"text": "the site is down"}]', "--name", "watch"]
            code, said = await openclaw.cli(
                "automations", "create", *job, "--webhook", url.replace("/mcp", "/hooks/claw")
            )
            assert code == 0, said
            tasks = await until(lambda: listed(person), limit=PATIENT)
            assert (await ended(person, tasks[0]["task_id"]))["state"] == "completed"
        assert [line["text"] for line in here.logged()] == ["watch says: the site is down"]


async def test_a_notice_goes_out_through_a_channel_of_openclaw_without_a_model(
    tmp_path: Path, openclaw: RealOpenclaw
) -> None:
    before = len(openclaw.cloud.calls)
    heard: list[str] = []

    async def person(request: Request) -> JSONResponse:
        asked = await request.json()
        heard.append(asked["params"]["message"]["parts"][0]["text"])
        answer = {"messageId": "thanks", "role": "ROLE_AGENT", "parts": [{"text": "thanks"}]}
        return JSONResponse({"jsonrpc": "2.0", "id": asked["id"], "result": {"message": answer}})

    app = Starlette(routes=[Route("/", person, methods=["POST"])])
    async with serving(app, port=openclaw.person), house(tmp_path) as here:
        rows = [
            {"url": openclaw.url, "token": openclaw.token, "channel": channel, "to": to}
            for channel, to in (("a2a", "a2a:person"), ("pigeon", "person"))
        ]
        here.configure(notify={"desktop": False, "openclaw": rows})
        code, said = await here.cli("notify", "--test", "--json")
    sent, refused = json.loads(said)["tested"]
    assert (code, refused["told"]) == (1, False)
    assert "unsupported channel: pigeon" in refused["text"]
    assert sent["told"], sent
    assert ["This is a test" in text for text in heard] == [True]
    assert len(openclaw.cloud.calls) == before
