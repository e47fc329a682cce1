"""The demo's proof: what is so passes, and each thing that is not so turns its own check red."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import run_sync

from omni_mcp.demo.books import Books, read_books, read_states
from omni_mcp.demo.proof import TOOLS, Evidence, checks
from omni_mcp.demo.stage import PRICES
from omni_mcp.demo.story import Story
from omni_mcp.faces.mcp import TOOLS as SERVED
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.task import Choice, TaskSpec, TaskState, Usage
from omni_mcp.views.result import ResultView
from omni_mcp.views.task import TaskView

NOW = datetime(2026, 1, 2, tzinfo=UTC)

CALL: Mapping[str, Any] = {"model": "demo-coder", "input_tokens": 100, "output_tokens": 10}
COST = 100 * PRICES["demo-coder"][0] + 10 * PRICES["demo-coder"][1]

WORK_LOG = [
    f"{line} 02:45:16 pid 7"
    for line in (
        *("1-write begin", "1-write end", "2-run begin", "2-run begin", "2-run end"),
        *("3-test begin", "3-test end"),
    )
]


def a_task(**fields: Any) -> TaskView:
    given: dict[str, Any] = {
        "task_id": "t",
        "description": "d",
        "state": TaskState.COMPLETED,
        "since": NOW,
        "last_activity": NOW,
        "attempt": 1,
        "reason": "openclaw is not configured → assistant",
        "next_step": "task_result",
    }
    return TaskView(**{**given, **fields})


def a_result(text: str, notes: dict[str, Any] | None = None) -> ResultView:
    return ResultView(
        task_id="t", state=TaskState.COMPLETED, text=text, offset=0, total_chars=len(text), notes=notes, error=None
    )


STORY = Story(
    tools=TOOLS,
    submitted=[a_task(), a_task(), a_task()],
    ended=[a_task(attempt=2, cost_usd=COST), a_task(), a_task()],
    results=[
        a_result("hello.py", {"session_id": "s", "resumed": True}),
        a_result("今天天气"),
        a_result("Done, step by step"),
    ],
    killed=1,
    successor=2,
    takeover=3.0,
    greeting="Hello, World!",
)

GOOD = Evidence(
    story=STORY,
    books=Books(integrity="ok", runs=[(1, "s"), (2, "s")], costs=[COST]),
    requests=[CALL],
    work_log=WORK_LOG,
    sessions=["s"],
    left=[],
)


def of_story(**fields: Any) -> Evidence:
    return replace(GOOD, story=replace(STORY, **fields))


def red(evidence: Evidence) -> list[str]:
    return [check.what for check in checks(evidence) if not check.ok]


def test_what_is_so_passes():
    assert red(GOOD) == []


@pytest.mark.parametrize(
    ("evidence", "part"),
    [
        (of_story(tools=TOOLS[1:]), "tools"),
        (of_story(ended=[STORY.ended[0], a_task(state=TaskState.FAILED), a_task()]), "completed"),
        (of_story(successor=1), "new engine"),
        (of_story(ended=[a_task(attempt=1, cost_usd=COST), a_task(), a_task()]), "new engine"),
        (replace(GOOD, sessions=["s", "other"]), "one session"),
        (replace(GOOD, books=replace(GOOD.books, runs=[(1, "s"), (2, "other")])), "one session"),
        (of_story(results=[a_result("", {"session_id": "s"}), *STORY.results[1:]]), "one session"),
        (replace(GOOD, work_log=[*WORK_LOG, "1-write end 02:45:20 pid 8"]), "exactly once"),
        (replace(GOOD, work_log=WORK_LOG[1:]), "exactly once"),
        (replace(GOOD, work_log=[*WORK_LOG[:3], *WORK_LOG[4:]]), "exactly once"),
        (of_story(results=[STORY.results[0], a_result("?"), STORY.results[2]]), "answers"),
        (of_story(greeting="Hello"), "greets"),
        (of_story(ended=[STORY.ended[0], a_task(), a_task(reason="because")]), "missing"),
        (replace(GOOD, requests=[CALL, CALL]), "bill"),
        (replace(GOOD, requests=[], books=replace(GOOD.books, costs=[])), "bill"),
        (of_story(ended=[a_task(attempt=2, cost_usd=COST * 2), a_task(), a_task()]), "bill"),
        (replace(GOOD, books=replace(GOOD.books, integrity="row 3 missing")), "sound"),
        (replace(GOOD, left=["python (pid 7)"]), "left behind"),
    ],
)
def test_what_is_not_so_turns_its_own_check_red(evidence: Evidence, part: str):
    [what] = red(evidence)
    assert part in what


def test_a_call_that_the_kill_cut_off_is_unknown_and_not_zero():
    cut_off = replace(GOOD, requests=[CALL, CALL], books=replace(GOOD.books, costs=[COST, None]))
    assert red(cut_off) == []
    assert any("1 cut off by the kill: unknown" in check.seen for check in checks(cut_off))


def test_the_tools_that_are_expected_are_those_that_the_face_has():
    assert sorted(TOOLS) == sorted(function.__name__ for function, *_ in SERVED)


async def test_the_books_are_read_from_the_ledger_file_itself(tmp_path: Path):
    choice = Choice(executor="claude_code", requested="claude_code", model=None, reason="because")
    async with SqliteLedger(tmp_path / "ledger.db") as ledger:
        await ledger.submit(TaskSpec(description="d"), task_id="t", choice=None)
        await ledger.begin("t", owner="o")
        await ledger.bind("t", attempt=1, owner="o", choice=choice, endpoint="none", run_id="s")
        call = Usage(task_id="t", attempt=1, model="m")
        await ledger.close_usage(await ledger.open_usage(call), replace(call, cost_usd=0.5))
        await ledger.open_usage(call)
    books = await run_sync(read_books, tmp_path / "ledger.db", "t")
    assert books == Books(integrity="ok", runs=[(1, "s")], costs=[0.5, None])
    assert await run_sync(read_states, tmp_path / "ledger.db") == {"t": ("executing", None)}
