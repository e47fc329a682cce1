"""The main job, through the MCP face: a task goes in, an executor runs it, the result survives everything."""

import os
import signal
from collections import Counter
from pathlib import Path

import anyio

from omni_mcp import background
from tests.integration.house import call, ended, house, until


async def test_a_task_is_submitted_awaited_and_its_result_paged(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            names = {tool.name for tool in await client.list_tools()}
            assert names == {
                "submit_task",
                "task_status",
                "task_result",
                "list_tasks",
                "cancel_task",
                "answer_task",
                "resume_pending",
                "system_mode",
            }
            task = await call(client, "submit_task", description="hello", type="echo")
            assert task["requested"] == "bench"
            done = await ended(client, task["task_id"])
            assert (done["state"], done["served_by"], done["attempt"]) == ("completed", "bench", 1)
            assert done["progress"] == "echoing hello"
            first = await call(client, "task_result", task_id=task["task_id"], limit=5)
            rest = await call(client, "task_result", task_id=task["task_id"], offset=first["next_offset"])
            assert first["text"] + rest["text"] == "echo: hello"


async def test_the_client_goes_right_after_the_submit_and_a_new_one_reads_the_result(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            task = await call(client, "submit_task", description="survive", type="echo")
        async with here.client() as client:
            assert (await ended(client, task["task_id"]))["state"] == "completed"
            assert (await call(client, "task_result", task_id=task["task_id"][:8]))["text"] == "echo: survive"


async def test_ten_faces_at_once_have_one_engine_and_lose_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop(parallel=8)})
        told: list[str] = []

        async def one(number: int) -> None:
            async with here.client() as client:
                task = await call(client, "submit_task", description=f"task {number}", type="echo")
                told.append(task.get("engine", ""))
                assert (await ended(client, task["task_id"]))["state"] == "completed"

        async with anyio.create_task_group() as windows:
            for number in range(10):
                windows.start_soon(one, number)
        assert Counter(line["text"] for line in here.logged()) == {f"task {number}": 1 for number in range(10)}
        assert len({line["pid"] for line in here.logged()}) == 1
        assert sum(bool(text) for text in told) <= 1  # none, when a face that has just opened was quicker


async def test_an_engine_killed_in_mid_task_is_followed_by_one_that_takes_over(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        word = tmp_path / "word"
        here.configure(executors={"slow": here.workshop("until", argument="path", recovery="retry")})
        async with here.client() as client:
            task = await call(client, "submit_task", description=str(word), type="until")
            await until(here.logged)
            old = await here.engine_pid()
            os.kill(old, signal.SIGKILL)
            await until(lambda: len(here.logged()) == 2)
            assert await here.engine_pid() != old
            word.touch()
            done = await ended(client, task["task_id"])
            assert (done["state"], done["attempt"]) == ("completed", 2)
            first, second, *_ = here.logged()
            assert first["pid"] != second["pid"]


async def test_an_engine_that_is_stopped_gives_its_task_to_the_next_one(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        word = tmp_path / "word"
        here.configure(executors={"slow": here.workshop("until", argument="path", recovery="retry")})
        async with here.client() as client:
            task = await call(client, "submit_task", description=str(word), type="until")
            await until(here.logged)
            code, said = await here.cli("engine", "stop")
            assert (code, "has gone" in said) == (0, True)
            given_back = await call(client, "task_status", task_id=task["task_id"], since_seq=0)
            assert given_back["state"] == "idle"
            assert "the engine was stopped" in given_back["text"]
            assert "not running" in (await call(client, "system_mode"))["engine"]
            word.touch()
            await call(client, "submit_task", description="wake up", type="until", idempotency_key="w")
            done = await ended(client, task["task_id"])
            assert (done["state"], done["attempt"]) == ("completed", 2)


async def test_submits_while_the_engine_goes_are_run_by_the_next_one(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        word = tmp_path / "word"
        slow = here.workshop("until", argument="path", recovery="retry")
        here.configure(executors={"slow": slow, "bench": here.workshop(recovery="retry")})
        async with here.client() as client:
            ids = [(await call(client, "submit_task", description=str(word), type="until"))["task_id"]]
            await until(here.logged)
            async with anyio.create_task_group() as going:
                going.start_soon(here.cli, "engine", "stop")
                while (await call(client, "system_mode"))["engine"].startswith("pid"):
                    if len(ids) < 10:
                        between = await call(client, "submit_task", description="in between", type="echo")
                        ids.append(between["task_id"])
                ids.append((await call(client, "submit_task", description="at last", type="echo"))["task_id"])
            word.touch()
            assert {(await ended(client, task_id))["state"] for task_id in ids} == {"completed"}


async def test_a_submit_after_the_idle_exit_of_the_engine_is_run_by_a_new_one(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()}, limits={"engine_idle_seconds": 0.3})
        async with here.client() as client:
            for round_number in range(3):
                told = await call(client, "submit_task", description=f"round {round_number}", type="echo")
                assert "started in the background" in told["engine"]
                assert (await ended(client, told["task_id"]))["state"] == "completed"
                await until(lambda: background.view(here.home).pid is None)
        assert len({line["pid"] for line in here.logged()}) == 3


async def test_what_may_have_happened_waits_for_consent_after_a_kill(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        word = tmp_path / "word"
        here.configure(executors={"slow": here.workshop("until", argument="path")})
        async with here.client() as client:
            task = await call(client, "submit_task", description=str(word), type="until")
            await until(here.logged)
            os.kill(await here.engine_pid(), signal.SIGKILL)
            waiting = await ended(client, task["task_id"])
            assert (waiting["state"], waiting["waiting_for"]) == ("waiting", "consent")
            everything = await call(client, "resume_pending")
            assert everything["tasks"][0]["action"] == "left alone"
            dry = await call(client, "resume_pending", task_ids=[task["task_id"]], dry_run=True)
            assert dry["tasks"][0]["action"] == "would resume"
            word.touch()
            named = await call(client, "resume_pending", task_ids=[task["task_id"]])
            assert named["tasks"][0]["action"] == "resumed"
            done = await ended(client, task["task_id"])
            assert (done["state"], done["attempt"]) == ("completed", 2)


async def test_a_running_task_is_cancelled_and_its_executor_told(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"slow": here.workshop("until", argument="path")})
        async with here.client() as client:
            task = await call(client, "submit_task", description=str(tmp_path / "never"), type="until")
            await until(here.logged)
            assert (await call(client, "cancel_task", task_id=task["task_id"]))["state"] == "cancelled"
            again = await call(client, "cancel_task", task_id=task["task_id"])
            assert again["state"] == "cancelled"


async def test_a_repeated_key_is_the_same_task(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            first = await call(client, "submit_task", description="once", type="echo", idempotency_key="k")
            again = await call(client, "submit_task", description="once", type="echo", idempotency_key="k")
            assert again["task_id"] == first["task_id"]
            assert again["deduplicated"]
            await ended(client, first["task_id"])
            assert len(here.logged()) == 1


async def test_higher_priority_runs_first(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        gate = tmp_path / "gate"
        here.configure(executors={"slow": here.workshop("until", argument="path", parallel=1)})
        async with here.client() as client:
            await call(client, "submit_task", description=str(gate), type="until")
            await until(here.logged)
            low = await call(client, "submit_task", description=f"{gate} ", type="until", priority=-1)
            high = await call(client, "submit_task", description=f"{gate}", type="until", priority=5)
            gate.touch()
            tmp_path.joinpath("gate ").touch()
            for task in (high, low):
                assert (await ended(client, task["task_id"]))["state"] == "completed"
            order = [line["text"] for line in here.logged() if line["tool"] == "until"]
            assert order == [str(gate), str(gate), f"{gate} "]


async def test_face_and_engine_in_one_process_do_the_same(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client("--inline") as client:
            task = await call(client, "submit_task", description="inline", type="echo", wait_seconds=20)
            assert task["state"] == "completed"
