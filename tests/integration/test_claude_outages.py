"""Tasks of the real `claude` binary in an outage: degraded and back, brainstem and back, and no step done twice."""

import shlex
from collections import Counter
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest

from tests.integration.house import House, call, until
from tests.integration.test_claude_code import BINARY, a_claude, of_task, script, shell
from tests.integration.test_modes import Stage, stage

pytestmark = [
    pytest.mark.claude,
    pytest.mark.timeout(240),
    pytest.mark.skipif(BINARY is None, reason="no claude: npm install --prefix .cache/npm @anthropic-ai/claude-code"),
]


class Job:
    """A coding task whose steps write a log; each ends on a word of ours, so that an outage finds it in between."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.steps = range(1, steps + 1)

    @property
    def text(self) -> str:
        log = shlex.quote(str(self.folder / "log"))
        commands = [
            f"echo begin-{n} >> {log}; while [ ! -e word-{n} ]; do sleep 0.1; done; echo end-{n} >> {log}"
            for n in self.steps
        ]
        return script(*(shell(command, insists=True) for command in commands), {"text": "all is done"})

    def log(self) -> list[str]:
        file = self.folder / "log"
        return file.read_text().split() if file.exists() else []

    def word(self, step: int) -> None:
        (self.folder / f"word-{step}").touch()

    async def begins(self, step: int) -> None:
        await until(lambda: f"begin-{step}" in self.log())

    @property
    def once(self) -> list[str]:
        """The log of steps that were each done once."""
        return [f"{word}-{n}" for n in self.steps for word in ("begin", "end")]


def attempts(at: House, task_id: str) -> list[tuple[Any, ...]]:
    """Return number, endpoint and session of each attempt."""
    statement = "select number, attempts.endpoint, attempts.run_id from attempts join tasks on n = task where id = ?"
    with closing(connect(f"{at.home.ledger.as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(statement, [task_id]).fetchall()


def models(at: House, task_id: str) -> list[str]:
    """Return who served each model call that was answered."""
    statement = "select usage.model from usage join tasks on n = task where tasks.id = ? and output_tokens is not null"
    with closing(connect(f"{at.home.ledger.as_uri()}?mode=ro", uri=True)) as db:
        return [model for (model,) in db.execute(f"{statement} order by usage.id", [task_id])]


def bill(at: House, task_id: str) -> Counter[tuple[int | None, int | None]]:
    """Return what the model calls of a task have used, in tokens; None is unknown."""
    statement = "select input_tokens, output_tokens from usage join tasks on n = task where tasks.id = ?"
    with closing(connect(f"{at.home.ledger.as_uri()}?mode=ro", uri=True)) as db:
        return Counter(db.execute(statement, [task_id]).fetchall())


def sold(on: Stage) -> Counter[tuple[int | None, int | None]]:
    """Return what both places have answered; None is what was asked of them and never answered."""
    requests = [*on.proxy.cloud.requests, *on.provider.cloud.requests]
    return Counter((s.input_tokens, s.output_tokens) if s.mode == "ok" else (None, None) for s in requests)


async def kill_claude(on: Stage, task_id: str) -> None:
    """Kill the agent of a task; what it has started ends with the next attempt."""
    (await a_claude(on.at, of_task(task_id))).kill()


def written(on: Stage) -> int:
    """Return how many results of tools stand in the sessions on disk."""
    sessions = on.at.home.root.glob(".claude/projects/*/*.jsonl")
    return sum(session.read_text().count('"type":"tool_result"') for session in sessions)


async def submit(on: Stage, job: Job) -> str:
    return await on.submit(job.text, executor="claude_code", cwd=str(job.folder))


ROW = {"preset": "claude-code", "command": BINARY, "handles": ["coding"], "parallel": 2, "login": "relay"}


async def test_claude_crosses_degraded_and_brainstem_without_a_step_done_twice(tmp_path: Path) -> None:
    async with stage(tmp_path, executors={"claude_code": ROW}) as on:
        first, second, third = (Job(tmp_path / name, steps) for name, steps in (("a", 3), ("b", 1), ("c", 2)))
        crossing = await submit(on, first)
        await first.begins(1)
        await on.proxy.shut()
        await on.in_mode("degraded")
        first.word(1)
        await first.begins(2)
        begun_in_it = await submit(on, second)
        await second.begins(1)
        await on.proxy.open()
        await on.in_mode("normal")
        second.word(1)
        first.word(2)
        await first.begins(3)
        held = await submit(on, third)
        await third.begins(1)
        await on.completed(begun_in_it)
        await on.proxy.shut()
        await on.provider.shut()
        await on.in_mode("brainstem")
        third.word(1)
        waiting = await on.waiting(held)
        await on.proxy.open()
        await on.provider.open()
        await on.in_mode("normal")
        first.word(3)
        await third.begins(2)
        third.word(2)
        done = await on.completed(crossing, begun_in_it, held)
    assert waiting["state"] == "waiting"
    assert [job.log() for job in (first, second, third)] == [first.once, second.once, third.once]
    went, began, parked = (attempts(on.at, task["task_id"]) for task in done)
    assert [endpoint for _, endpoint, _ in went] == ["litellm-proxy"]
    assert models(on.at, crossing) == ["auto-chat", "direct-usual", "auto-chat", "auto-chat"]
    assert [endpoint for _, endpoint, _ in began] == ["direct"]
    assert models(on.at, begun_in_it) == ["direct-usual", "auto-chat"]
    assert [(number, endpoint) for number, endpoint, _ in parked] == [(1, "litellm-proxy"), (2, "litellm-proxy")]
    assert len({session for _, _, session in parked}) == 1
    assert len(list(on.at.home.root.glob(".claude/projects/*/*.jsonl"))) == 3


@pytest.mark.slow
async def test_a_session_goes_on_elsewhere_after_kills_in_a_step_and_in_a_call_with_one_bill(tmp_path: Path) -> None:
    async with stage(tmp_path, executors={"claude_code": ROW}) as on:
        job = Job(tmp_path / "a", 3)
        task = await submit(on, job)
        await job.begins(1)
        await on.proxy.shut()
        await on.in_mode("degraded")
        job.word(1)
        await job.begins(2)
        await kill_claude(on, task)
        await until(lambda: job.log().count("begin-2") == 2)
        on.provider.cloud.fail("hang", times=1)
        results = written(on)
        job.word(2)
        await until(lambda: on.provider.cloud.requests[-1].mode == "hang")
        await until(lambda: written(on) == results + 1)  # Claude Code writes its session a moment later
        await kill_claude(on, task)
        await job.begins(3)
        job.word(3)
        (done,) = await on.completed(task)
        result = await call(on.client, "task_result", task_id=task)
    assert job.log() == ["begin-1", "end-1", "begin-2", "begin-2", "end-2", "begin-3", "end-3"]
    assert [(number, endpoint) for number, endpoint, _ in attempts(on.at, task)] == [
        (1, "litellm-proxy"),
        (2, "direct"),
        (3, "direct"),
    ]
    assert len({session for _, _, session in attempts(on.at, task)}) == 1
    assert (done["state"], result["text"]) == ("completed", "all is done")
    assert on.proxy.cloud.requests
    assert bill(on.at, task) == sold(on)
    assert bill(on.at, task)[None, None] == 1
