"""What a task may ask for, through the tools and the command line: deadlines, order, tries, history, loops."""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tests.integration.house import STUBS, House, call, ended, house, refused, until


async def test_tasks_run_one_after_the_other_and_fail_with_the_one_before(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        gate = tmp_path / "gate"
        slow = here.workshop("until", argument="path")
        here.configure(executors={"slow": slow, "bench": here.workshop(), "bad": here.workshop("refuse")})
        async with here.client() as client:
            first = await call(client, "submit_task", description=str(gate), type="until")
            second = await call(client, "submit_task", description="then", type="echo", after=[first["task_id"][:8]])
            third = await call(client, "submit_task", description="no", type="refuse", after=[second["task_id"]])
            fourth = await call(client, "submit_task", description="never", type="echo", after=[third["task_id"]])
            await until(here.logged)
            waits = await call(client, "task_status", task_id=second["task_id"])
            assert (waits["state"], waits["waiting_for"]) == ("waiting", "dependency")
            assert waits["text"] == f"runs after 1 tasks, not yet completed: {first['task_id']} (executing)"
            gate.touch()
            await over(here, fourth["task_id"])
            states = {task["task_id"]: task["state"] for task in (await call(client, "list_tasks"))["tasks"]}
            ids = [task["task_id"] for task in (first, second, third, fourth)]
            assert [states[task_id] for task_id in ids] == ["completed", "completed", "failed", "failed"]
            result = await call(client, "task_result", task_id=fourth["task_id"])
            assert result["error"] == "dependency_failed"
            assert third["task_id"] in result["text"]
            assert [line["text"] for line in here.logged() if line["tool"] != "until"] == [str(gate), "then", "no"]


async def over(here: House, task_id: str) -> None:
    """Wait until a task is over, whatever it waits for."""

    async def is_over() -> bool:
        return json.loads((await here.cli("status", task_id, "--json"))[1])["state"] in ("completed", "failed")

    await until(is_over)


async def test_what_a_task_may_not_ask_for_is_refused_with_the_way_out(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            for arguments, code, words in (
                ({"deadline": "soon"}, "bad_request", "neither a time"),
                ({"deadline": "2020-01-01T00:00Z"}, "bad_request", "has passed already"),
                ({"deadline": "2030-01-01T00:00"}, "bad_request", "no offset"),
                ({"after": ["nosuchtask"]}, "task_not_found", "nosuchtask"),
                ({"after": ["x"]}, "task_not_found", "'x'"),
                ({"options": {"max_attempts": 99}}, "bad_request", "1..3"),
            ):
                error = await refused(client, "submit_task", description="x", type="echo", **arguments)
                assert (error["code"], words in error["message"]) == (code, True), error
                assert error["next_step"]
            assert (await call(client, "list_tasks"))["tasks"] == []
        code, said = await here.cli("submit", "x", "--deadline", "soon")
        assert (code, "neither a time" in said) == (1, True)


async def test_what_runs_at_its_deadline_is_stopped_and_failed_and_tried_again_by_hand(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        gate = tmp_path / "gate"
        here.configure(executors={"slow": here.workshop("until", argument="path")})
        async with here.client() as client:
            await call(client, "submit_task", description="/", type="until", wait_seconds=30)  # all is started then
            task = await call(client, "submit_task", description=str(gate), type="until", deadline="4s")
            late = await ended(client, task["task_id"])
            assert late["state"] == "failed"
            assert "came during attempt 1 on slow, which was stopped" in late["text"]
            assert "it last said: waiting for a word" in late["text"]
            assert (await call(client, "task_result", task_id=task["task_id"]))["error"] == "deadline"
            gate.touch()
            code, said = await here.cli("retry", task["task_id"][:8], "--json")
            again = json.loads(said)
            assert (code, again["retry_of"]) == (0, task["task_id"])
            assert (await ended(client, again["task_id"]))["state"] == "completed"
            code, said = await here.cli("retry", again["task_id"])
            assert (code, "only one that failed" in said) == (1, True)


async def test_a_deadline_reaches_the_run_elsewhere_of_a_task_that_waits(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        far = {"command": sys.executable, "args": [str(STUBS / "adapter_server.py")], "handles": ["x"]}
        here.configure(executors={"far": {**far, "recovery": "attach"}})
        async with here.client() as client:
            first = await call(client, "submit_task", description="tell me", executor="far", wait_seconds=30)
            assert first["state"] == "failed"  # all is started then
            task = await call(client, "submit_task", description="lose sight", executor="far", deadline="8s")

            async def waits() -> bool:
                return (await call(client, "task_status", task_id=task["task_id"]))["state"] == "waiting"

            await until(waits)
            late = await call(client, "task_status", task_id=task["task_id"], wait_seconds=30)
            assert late["state"] == "failed", late
            assert late["text"].endswith(
                "came before attempt 2, which was only to stop its run"
            )  # and none of it is left


async def test_a_silent_executor_is_told_of_in_status_and_history(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        gate = tmp_path / "gate"
        here.configure(executors={"slow": here.workshop("until", argument="path")}, limits={"silent_seconds": 1})
        async with here.client() as client:
            task = await call(client, "submit_task", description=str(gate), type="until")

            async def silent() -> dict[str, Any] | None:
                """Its start may take longer than the limit: then it was told of before its first sign of life, too."""
                seen = await call(client, "task_status", task_id=task["task_id"], since_seq=0)
                return seen if "watchdog" in str(seen["events"]) and seen["silent"] else None

            status = await until(silent)
            assert status["text"].startswith("silent for ")
            assert status["state"] == "executing"
            gate.touch()
            done = await ended(client, task["task_id"])
            assert (done["state"], done["attempt"]) == ("completed", 1)


async def test_an_executor_that_hands_its_work_on_is_stopped_at_the_limit(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        place = {"OMNI_HOME": str(here.home.root)}
        here.configure(executors={"loop": here.workshop("hand_on", recovery="retry", env=place)})
        async with here.client() as client:
            await call(client, "submit_task", description="do it", type="hand_on")
            await until(lambda: len(here.logged()) == 3)
            await until(partial(all_over, here))
            tasks = (await call(client, "list_tasks"))["tasks"]
            assert [task["state"] for task in tasks] == ["completed"] * 3
            last = await call(client, "task_result", task_id=tasks[0]["task_id"])
            assert f"this comes from inside task {tasks[0]['task_id']}, 3 levels deep" in last["text"]


async def all_over(here: House) -> bool:
    """Say whether no task is open."""
    tasks = json.loads((await here.cli("list", "--json"))[1])["tasks"]
    return all(task["state"] in ("completed", "failed", "cancelled") for task in tasks)


async def test_a_task_cancelled_while_its_engine_is_dead_is_cancelled_by_the_next_one(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"slow": here.workshop("until", argument="path")})
        async with here.client() as client:
            task = await call(client, "submit_task", description=str(tmp_path / "never"), type="until")
            last = await call(client, "submit_task", description="x", type="until", after=[task["task_id"]])
            await until(here.logged)
            os.kill(await here.engine_pid(), signal.SIGKILL)
            assert (await call(client, "cancel_task", task_id=task["task_id"]))["state"] == "cancelled"
            assert (await call(client, "task_status", task_id=last["task_id"]))["state"] == "failed"
            assert (await call(client, "cancel_task", task_id=last["task_id"]))["state"] == "failed"


async def test_a_long_history_is_read_with_a_cursor(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop()})
        async with here.client() as client:
            task = await call(client, "submit_task", description="x", type="echo", wait_seconds=20)
        code, said = await here.cli("status", task["task_id"], "--since", "2", "--json")
        seqs = [event["seq"] for event in json.loads(said)["events"]]
        assert (code, seqs) == (0, list(range(3, 3 + len(seqs))))
