"""resume_pending and what system_mode says of what is held and of the engine, through the MCP face; told time."""

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client

from omni_mcp.decide.modes.state import begin, dumped
from omni_mcp.faces.mcp import create_face
from omni_mcp.ledger.base import LEAD, EngineMark
from omni_mcp.service.resume import RESUMED_SHOWN
from omni_mcp.task import LOCAL, Mode, TaskState, WaitingFor
from omni_mcp.testing import START
from tests.integration.house import call, ended, house, until
from tests.unit.test_service import Place, place

HOUR = timedelta(hours=1)
UNKNOWN = "went away"


@dataclass(kw_only=True)
class Desk:
    """A client of a face, and the place behind it."""

    here: Place
    client: Client[Any]

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        answer = await self.client.call_tool_mcp(tool, arguments)
        assert answer.structured_content is not None
        return answer.structured_content

    async def resume(self, **arguments: Any) -> list[tuple[str, str]]:
        """Return what was done with each task, and its text."""
        return [(task["action"], task["text"]) for task in (await self.call("resume_pending", **arguments))["tasks"]]

    async def waits(self, waiting_for: WaitingFor, *, due: timedelta | None = None, **changes: Any) -> str:
        """Have a task wait after its first attempt."""
        task_id = await self.here.executing(await self.here.submitted(**changes))
        due_at = None if due is None else self.here.clock.now() + due
        await self.here.ledger.park(
            task_id, attempt=1, owner="me", waiting_for=waiting_for, text=UNKNOWN, due_at=due_at
        )
        return task_id

    async def state(self, task_id: str) -> TaskState:
        return (await self.here.ledger.find(task_id, principal=LOCAL)).state

    async def dark(self) -> None:
        """Have no cloud answer."""
        ledger, now = self.here.ledger, self.here.clock.now()
        state = replace(begin(now), mode=Mode.BRAINSTEM, cause="all is dark")
        await ledger.lead("engine", over=None, until=now + LEAD)
        await ledger.save_mode("engine", state=dumped(state), mode=Mode.BRAINSTEM, cause="all is dark", notice="dark")


@asynccontextmanager
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with place(tmp_path) as here:

        @asynccontextmanager
        async def service() -> AsyncGenerator[Any]:
            yield here.service

        async with Client(create_face(service)) as client:
            yield Desk(here=here, client=client)


async def test_consent_is_for_one_attempt_of_a_named_task_and_each_answer_says_what_follows(tmp_path: Path) -> None:
    nobodies: list[dict[str, Any]] = [{}, {"task_ids": None}, {"task_ids": []}]
    async with desk(tmp_path) as at:
        task_id = await at.waits(WaitingFor.CONSENT)
        follows = "attempt 2 on fake; your consent is for this attempt alone"
        for nobody in nobodies:
            assert await at.resume(**nobody) == [
                ("left alone", "its outcome is unknown: name it in task_ids to run it again")
            ]
        assert await at.resume(task_ids=[task_id], dry_run=True) == [("would resume", follows)]
        assert await at.state(task_id) is TaskState.WAITING
        assert await at.resume(task_ids=[task_id[:8], task_id]) == [("resumed", follows)]
        assert await at.resume(task_ids=[task_id]) == [("left alone", "it is idle, not waiting")]
        begun = await at.here.ledger.begin(task_id, owner="me")
        assert begun is not None
        assert (begun.attempt, begun.consented) == (2, False)


async def test_a_name_that_is_nobodys_lets_no_other_go(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        task_id = await at.waits(WaitingFor.RETRY, due=HOUR)
        refused = await at.call("resume_pending", task_ids=[task_id, "nosuchtask"])
        assert (refused["code"], await at.state(task_id)) == ("task_not_found", TaskState.WAITING)
        assert "needs task_ids" in (await at.call("resume_pending", add_budget_usd=1))["message"]


async def test_what_is_due_later_runs_now_and_a_limit_may_hold_it_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.waits(WaitingFor.RETRY, due=HOUR)
        await at.waits(WaitingFor.RESET, due=HOUR)
        later = "attempt 2 on fake; instead of at 2026-01-01 13:00:00 UTC"
        assert await at.resume() == [
            ("resumed", later),
            ("resumed", f"{later}; the limit may still hold: then it waits again, and no fault is counted"),
        ]


async def test_they_go_by_priority_then_by_age_and_a_long_answer_is_counted_and_cut(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        ids = [await at.waits(WaitingFor.RETRY, due=HOUR) for _ in range(RESUMED_SHOWN + 2)]
        urgent = await at.waits(WaitingFor.RETRY, due=HOUR, priority=5)
        dry = await at.call("resume_pending", dry_run=True)
        assert [task["task_id"] for task in dry["tasks"]] == [urgent, *ids][:RESUMED_SHOWN]
        assert dry["counts"] == {"would resume": len(ids) + 1}
        assert dry["next_step"] == "the same resume_pending without dry_run does it"
        done = await at.call("resume_pending")
        assert done["counts"] == {"resumed": len(ids) + 1}
        assert done["next_step"] == "task_status with wait_seconds=50"
        assert (await at.call("resume_pending"))["tasks"] == []


async def test_what_the_mode_holds_stays_held_with_the_reason_and_a_consent_is_kept(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        held, asks = await at.waits(WaitingFor.CLOUD, due=HOUR), await at.waits(WaitingFor.CONSENT)
        await at.dark()
        (left, why), (given, follows) = await at.resume(task_ids=[held, asks])
        assert (left, why) == ("left alone", "no cloud answers (all is dark); it goes on by itself")
        assert given == "resumed"
        assert follows.endswith("once the mode lets it: no cloud answers (all is dark); it goes on by itself")
        assert (await at.here.ledger.find(asks, principal=LOCAL)).consented
        assert await at.state(held) is TaskState.WAITING


async def test_who_waits_for_an_executor_is_looked_at_again_and_told_what_is_still_missing(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        task_id = await at.waits(WaitingFor.EXECUTOR, executor="fake")
        assert await at.resume(task_ids=[task_id]) == [("resumed", "attempt 2 on fake")]
        settings = at.here.service.settings()
        rows = {"fake": settings.servers.executors["fake"].model_copy(update={"result": "nowhere"})}
        broken = replace(settings, servers=settings.servers.model_copy(update={"executors": rows}))
        at.here.service = replace(at.here.service, settings=lambda: broken)
        waits = await at.waits(WaitingFor.EXECUTOR)
        ((action, text),) = [(t.action, t.text) for t in (await at.here.service.resume([waits])).tasks]
        assert action == "resumed"
        assert text.startswith("looked at again; unless that is mended it waits on: ")
        assert "result 'nowhere' is not text" in text


async def test_what_is_held_is_told_in_numbers_and_by_the_ids_of_the_first(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        cloud = [await at.waits(WaitingFor.CLOUD) for _ in range(12)]
        asks = await at.waits(WaitingFor.CONSENT)
        urgent = await at.waits(WaitingFor.CLOUD, priority=9)
        await at.dark()
        mode = await at.call("system_mode")
        assert mode["held"] == {"cloud": 13, "consent": 1}
        assert mode["held_ids"] == {"cloud": [urgent, *cloud[:9]], "consent": [asks]}
        assert (mode["mode"], mode["cause"]) == ("brainstem", "all is dark")


async def test_an_engine_that_gives_no_sign_of_life_is_not_shown_as_running(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        mark = EngineMark(owner="engine", pid=4711, version="1", log="l", address="", started_at=START)
        await at.here.ledger.announce(mark)
        await at.dark()
        assert (await at.call("system_mode"))["engine"] == "pid 4711, version 1, log l"
        at.here.clock.advance(LEAD + timedelta(seconds=1))
        said = (await at.call("system_mode"))["engine"]
        assert "it has given no sign of life since 12:00:00 UTC" in said
        assert "omni-mcp doctor" in said
        object.__setattr__(at.here.service.engines, "alive", False)
        assert (await at.call("system_mode"))["engine"].startswith("not running")


@pytest.mark.parametrize("back", [timedelta(days=1), timedelta(minutes=6)])
async def test_a_mode_that_was_set_before_the_clock_was_set_back_has_ended(back: timedelta, tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        assert (await at.call("system_mode", set="brainstem", for_minutes=5))["override"]["mode"] == "brainstem"
        at.here.clock.advance(-back)
        mode = await at.call("system_mode")
        assert (mode["mode"], "override" in mode) == ("normal", False)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_a_paused_engine_is_told_and_a_terminal_is_told_the_same_as_a_client(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"slow": here.workshop("until", argument="path")})
        async with here.client() as client:
            task_id = (await call(client, "submit_task", description=str(tmp_path / "never"), type="until"))["task_id"]
            await until(here.logged)
            os.kill(pid := await here.engine_pid(), signal.SIGSTOP)
            try:
                seen = [
                    (await call(client, "system_mode"))["engine"],
                    (await call(client, "task_status", task_id=task_id))["engine"],
                    (await here.cli("engine", "status"))[1].replace("\n", " "),
                ]
                assert [text for text in seen if f"kill -CONT {pid}" not in text] == []
            finally:
                os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGKILL)
            assert (await ended(client, task_id))["waiting_for"] == "consent"
            told = await call(client, "resume_pending", task_ids=[task_id], dry_run=True)
            assert told["tasks"][0]["text"] == "attempt 2 on slow; your consent is for this attempt alone"
            code, text = await here.cli("resume", task_id[:8], "--dry-run", "--json")
            assert (code, json.loads(text)) == (0, told)
            code, text = await here.cli("mode")
            assert (code, f"consent: {task_id[:8]}" in text, "executor slow: usable" in text) == (0, True, True)
