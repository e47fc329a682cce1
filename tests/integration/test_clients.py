"""The clients that people use: the public inspector, the SDK's and FastMCP's runners, HTTP, the command line."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastmcp import Client

from omni_mcp import background
from omni_mcp.faces.mcp import TOOLS
from tests.forkserver import command
from tests.integration.house import LIMIT, House, call, ended, house, until

ROOT = Path(__file__).parents[2]
INSPECTOR = ROOT / ".cache/npm/node_modules/.bin/mcp-inspector"
NODE = shutil.which("node")
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


async def inspect(here: House, *arguments: str, url: str | None = None) -> dict[str, Any]:
    """Ask a face through the public inspector: the one at the url, else one on stdio."""
    face = command()
    reached = ["-e", f"OMNI_HOME={here.home.root}", *face] if url is None else [url, "--transport", "http"]
    argv = [str(NODE), str(INSPECTOR), "--cli", *reached, *arguments]
    with anyio.fail_after(LIMIT * 3):  # it starts Node, and often a face, anew for each question
        done = await anyio.run_process(argv, env=here.env, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.npm
@pytest.mark.skipif(not INSPECTOR.exists() or NODE is None, reason="no inspector: make test installs it")
async def test_the_public_inspector_lists_submits_awaits_and_pages(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        tools = (await inspect(here, "--method", "tools/list"))["tools"]
        assert len(tools) == 8
        use = ("--method", "tools/call", "--tool-name")
        task = await inspect(here, *use, "submit_task", "--tool-arg", "description=by hand", "type=echo")
        told = f"task_id={task['structuredContent']['task_id']}"
        done = await inspect(here, *use, "task_status", "--tool-arg", told, "wait_seconds=20")
        assert done["structuredContent"]["state"] == "completed"
        first = await inspect(here, *use, "task_result", "--tool-arg", told, "limit=4")
        assert first["structuredContent"]["text"] == "echo"
        rest = await inspect(here, *use, "task_result", "--tool-arg", told, "offset=4")
        assert rest["structuredContent"]["text"] == ": by hand"


def called(tool: str, *arguments: str) -> Sequence[str]:
    """Return the words with which the inspector calls a tool."""
    given = ("--tool-arg", *arguments) if arguments else ()
    return "--method", "tools/call", "--tool-name", tool, *given


async def inspected(here: House, url: str | None, rounds: Sequence[Sequence[str]]) -> list[str]:
    """Ask one after the other; returns the answers as they are printed."""
    return [json.dumps(await inspect(here, *words, url=url), ensure_ascii=False) for words in rounds]


def everything(task_id: str) -> Mapping[Sequence[str], str]:
    """Return the words for every tool, resource and prompt, each with what its answer has."""
    task, none = f"task_id={task_id}", '"isError": true'
    get = ("--method", "prompts/get", "--prompt-name")
    return {
        called("task_status", task): '"state": "completed"',
        called("task_result", task): "echo: by hand",
        called("list_tasks", "state=completed"): task_id,
        called("cancel_task", task): '"state": "completed"',
        called("answer_task", task, "question_id=q1", "action=decline"): none,
        called("resume_pending", "dry_run=true"): '"dry_run": true',
        called("system_mode"): '"mode": "normal"',
        ("--method", "resources/list"): "omni://executors",
        ("--method", "resources/templates/list"): "task://{task_id}/events",
        **{
            ("--method", "resources/read", "--uri", uri): said
            for uri, said in {
                f"task://{task_id}": "completed",
                f"task://{task_id}/events": "executing → completed",
                "omni://mode": "normal",
                "omni://executors": "bench",
                "omni://costs": "total",
            }.items()
        },
        ("--method", "prompts/list"): "Hand off a task",
        (*get, "hand_off", "--prompt-args", "task=写诗"): "写诗",
        (*get, "what_is_waiting"): "(none)",
        (*get, "report_task", "--prompt-args", task): "executing → completed",
    }


@pytest.mark.slow
@pytest.mark.npm
@pytest.mark.timeout(900)
@pytest.mark.skipif(not INSPECTOR.exists() or NODE is None, reason="no inspector: make test installs it")
async def test_the_public_inspector_finds_every_tool_resource_and_prompt_over_http(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.served() as server:
            url = server.url
            submit = called("submit_task", "description=by hand", "type=echo", "wait_seconds=40")
            task = (await inspect(here, *submit, url=url))["structuredContent"]
            expected = everything(task["task_id"])
            answers = await inspected(here, url, list(expected))
    missing = [words for (words, said), told in zip(expected.items(), answers, strict=True) if said not in told]
    assert missing == []
    assert {tool for words in expected for tool in words} >= {*map(tool_name, TOOLS)} - {"submit_task"}


def tool_name(row: Sequence[Any]) -> str:
    return row[0].__name__


@pytest.mark.npm
@pytest.mark.skipif(not INSPECTOR.exists() or NODE is None, reason="no inspector: make test installs it")
async def test_the_public_inspector_reads_resources_and_prompts_over_stdio(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        mode, waiting = await inspected(
            here,
            None,
            [
                ("--method", "resources/read", "--uri", "omni://mode"),
                ("--method", "prompts/get", "--prompt-name", "what_is_waiting"),
            ],
        )
        assert "normal" in mode
        assert "(none)" in waiting


@pytest.mark.parametrize(
    "argv", [("mcp", "run", "omni_mcp/server.py"), ("fastmcp", "run", "--no-banner", "omni_mcp/server.py:face")]
)
async def test_the_runners_of_the_sdk_and_of_fastmcp_open_the_server(tmp_path: Path, argv: Sequence[str]) -> None:
    async with house(tmp_path) as here:
        program = str(Path(sys.executable).parent / argv[0])
        async with await anyio.open_process([program, *argv[1:]], env=here.env, cwd=ROOT, stderr=None) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
            await process.stdin.send(json.dumps(hello).encode() + b"\n")
            with anyio.fail_after(LIMIT):
                answer = json.loads(await process.stdout.receive())
            assert answer["result"]["serverInfo"]["name"] == "Omni-Orchestrator"
            await process.stdin.aclose()
            with anyio.fail_after(LIMIT):
                assert await process.wait() == 0


async def test_http_serves_face_and_engine_in_one_process_says_whether_it_is_well_and_refuses_forgeries(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.served(forked=False) as it, httpx.AsyncClient(base_url=it.base) as web:

            async def is_ready() -> bool:
                ready = await web.get("/readyz")
                assert ready.json() == {"ledger": True, "engine": ready.status_code == 200}
                assert ready.status_code in (200, 503)
                return ready.status_code == 200

            await until(is_ready)
            assert (await web.get("/healthz")).json() == {"alive": True}
            assert (await web.get("/readyz", headers={"Host": "evil.example"})).status_code == 421
            assert (await web.post("/mcp", json={}, headers={"Host": "evil.example"})).status_code == 421
            assert (await web.post("/mcp", json={}, headers={"Origin": "http://evil.example"})).status_code == 403
            async with Client(it.url) as client:
                task = await call(client, "submit_task", description="over http", type="echo", wait_seconds=20)
                assert task["state"] == "completed"
            assert background.view(here.home).pid == it.process.pid
        assert it.process.returncode == 0
        assert background.view(here.home).pid is None
        assert [line["text"] for line in here.logged()] == ["over http"]


async def test_http_beyond_loopback_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        code, said = await here.cli("serve", "--host", "0.0.0.0")  # noqa: S104 - it is refused
        assert code == 1
        assert "without tokens" in said
        assert "127.0.0.1" in said


async def test_a_task_by_hand_is_followed_to_its_result(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        code, said = await here.cli("submit", "by hand", "--type", "echo", "--wait")
        assert code == 0
        assert said.splitlines()[0] == "echo: by hand"
        code, said = await here.cli("list", "--json")
        [task] = json.loads(said)["tasks"]
        assert (code, task["state"]) == (0, "completed")
        for command in ("status", "result", "watch", "cancel"):
            code, said = await here.cli(command, task["task_id"][:7])
            assert (command, code) == (command, 0), said
        code, said = await here.cli("status", "nothing-like-it")
        assert code == 1
        assert "omni-mcp list" in said


async def test_the_engine_is_shown_and_stopped_by_hand(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        assert (await here.cli("engine", "status"))[0] == 1
        await here.cli("submit", "x", "--type", "echo", "--wait")
        pid = await here.engine_pid()
        assert str(pid) in (await here.cli("engine", "status", "--home", str(here.home.root)))[1]
        assert "engine up" in (await here.cli("engine", "logs"))[1]
        assert (await here.cli("engine", "stop"))[0] == 0
        assert background.view(here.home).pid is None


async def test_the_executors_are_shown_with_health_and_tools(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        missing = {"command": "no-such-program", "tool": "t", "handles": ["x"]}
        here.configure(executors={"bench": here.workshop(), "missing": missing})
        code, said = await here.cli("executors", "--json")
        rows = {row["name"]: row for row in json.loads(said)}
        assert code == 0
        assert set(rows["bench"]["tools"]) >= {"echo", "until", "refuse"}
        assert not rows["missing"]["usable"]
        assert "no-such-program" in rows["missing"]["detail"]


async def test_the_route_of_a_text_is_explained_without_submitting_it(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"assistant": here.workshop()})
        code, said = await here.cli("route", "查一下天气")
        assert code == 0
        assert "openclaw is not configured → assistant" in said
        assert json.loads((await here.cli("list", "--json"))[1])["tasks"] == []


async def test_the_face_on_a_terminal_explains_itself(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        primary, replica = os.openpty()
        try:
            argv = [sys.executable, "-m", "omni_mcp"]
            with anyio.fail_after(LIMIT):
                done = await anyio.run_process(argv, stdin=replica, env=here.env, check=False)
        finally:
            os.close(primary)
            os.close(replica)
        assert done.returncode == 2
        assert "claude mcp add omni" in done.stderr.decode()
        assert done.stdout == b""


async def test_the_face_without_a_client_says_how_it_is_started_from_outside(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        outside = {"OMNI_LAUNCH": "docker run -i --rm omni-mcp"}
        argv = [sys.executable, "-m", "omni_mcp"]
        with anyio.fail_after(LIMIT):
            empty = await anyio.run_process(argv, env={**here.env, **outside}, check=False)
            closed = await anyio.run_process(["sh", "-c", 'exec "$@" <&-', "sh", *argv], env=here.env, check=False)
        assert empty.returncode == closed.returncode == 2
        assert "stdin is empty, so nobody does" in empty.stderr.decode()
        assert "claude mcp add omni -- docker run -i --rm omni-mcp\n" in empty.stderr.decode()
        assert "stdin is closed" in closed.stderr.decode()
        assert empty.stdout == closed.stdout == b""
        assert list(here.home.root.iterdir()) == []


async def test_tasks_of_a_stopped_home_go_on_with_the_next_client(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        word = tmp_path / "word"
        here.configure(executors={"slow": here.workshop("until", argument="path", recovery="retry")})
        code, said = await here.cli("submit", str(word), "--type", "until", "--json")
        assert code == 0
        await here.engine_pid()
        await here.cli("engine", "stop")
        word.touch()
        async with here.client() as client:
            done = await ended(client, json.loads(said)["task_id"])
        assert done["state"] == "completed"
