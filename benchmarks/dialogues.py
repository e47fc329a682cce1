"""Dialogues of several steps through the real tools: what an agent calls that follows only what they say.

`python -m benchmarks.dialogues` prints calls, tokens and refusals of each; a test fails when one has a wrong call.
"""

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio

from benchmarks.agent import Agent, Stuck
from benchmarks.desk import LONG, Desk, desk
from omni_mcp.task import Mode

LIMIT = 30.0
"""Seconds that a dialogue may take."""
ENDED = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How a dialogue went."""

    name: str
    calls: int
    tokens: int
    refused: int
    """Refusals, those among them that the dialogue is about."""
    wrong: int
    """Refusals that it is not about."""
    trouble: str | None
    """Why it did not come to its end."""


async def submit_wait_result(agent: Agent, _at: Desk) -> None:
    """Hand off, wait, read."""
    await agent.call("submit_task", description="write a haiku about rain")
    await agent.until(*ENDED)
    await agent.follow()
    assert agent.last["text"] == "done: write a haiku about rain"


async def in_chinese(agent: Agent, _at: Desk) -> None:
    """The same in Chinese."""
    await agent.call("submit_task", description="用 Python 写一个 Hello World")
    await agent.until(*ENDED)
    await agent.follow()
    assert "Hello World" in agent.last["text"]


async def result_in_pages(agent: Agent, _at: Desk) -> None:
    """A long result, page by page, until nothing more is named."""
    await agent.call("submit_task", description="long report")
    await agent.until(*ENDED)
    text = (await agent.follow())["text"]
    while agent.last.get("next_step"):
        text += (await agent.follow())["text"]
    assert text == LONG


async def unknown_id(agent: Agent, _at: Desk) -> None:
    """An id that nobody has: the list shows the right one."""
    real = (await agent.call("submit_task", description="hold the line"))["task_id"]
    await agent.call("task_status", task_id="zzzzzzzzzz", refused=True)
    await agent.follow()
    assert [task["task_id"] for task in agent.last["tasks"]] == [real]
    await agent.call("task_status", task_id=agent.last["tasks"][0]["task_id"])


async def ambiguous_prefix(agent: Agent, at: Desk) -> None:
    """The beginning of two ids: the refusal names both."""
    for task_id in ("abcdef2222222222222222", "abcdef3333333333333333"):
        await at.add(task_id, "hold both")
    await agent.call("cancel_task", task_id="abcdef", refused=True)
    await agent.follow(task_id="abcdef2222222222222222")
    assert agent.last["state"] == "cancelled"


async def consent_after_a_crash(agent: Agent, _at: Desk) -> None:
    """The executor died: its outcome is unknown, and naming the task is the consent."""
    await agent.call("submit_task", description="crash once", type="echo")
    await agent.until(*ENDED, "waiting")
    assert agent.last["waiting_for"] == "consent"
    await agent.follow("resume_pending")
    await agent.follow()
    await agent.until(*ENDED)
    assert (agent.last["state"], agent.last["attempt"]) == ("completed", 2)


async def budget_reached_then_more(agent: Agent, _at: Desk) -> None:
    """The budget is spent: read what there is, then add to it."""
    await agent.call("submit_task", description="spend it all", budget_usd=0.5)
    await agent.until(*ENDED, "waiting")
    assert agent.last["waiting_for"] == "budget"
    await agent.follow("resume_pending", add_budget_usd=0.5)
    await agent.follow()
    await agent.until(*ENDED)
    assert (agent.last["state"], agent.last["budget_usd"]) == ("completed", 1.0)


async def question_to_answer(agent: Agent, _at: Desk) -> None:
    """The executor asks what the user knows."""
    await agent.call("submit_task", description="ask about the branch")
    await agent.until(*ENDED, "waiting")
    await agent.follow(action="accept", content={"branch": "main"})
    await agent.until(*ENDED)
    await agent.follow()
    assert agent.last["text"] == "accept: {'branch': 'main'}"


async def question_for_people(agent: Agent, at: Desk) -> None:
    """The executor asks for a permission: the agent tells the user, and waits."""
    await agent.call("submit_task", description="permit me")
    await agent.until(*ENDED, "waiting")
    asked = agent.last["questions"][0]["question_id"]
    if not agent.last["next_step"].startswith("tell the user"):
        await agent.follow(action="accept")
    assert f"omni-mcp answer {agent.task_id}" in agent.last["next_step"]
    await at.person_allows(agent.task_id, asked)
    await agent.until(*ENDED)
    assert agent.last["state"] == "completed"


async def cancel(agent: Agent, at: Desk) -> None:
    """Stop what runs."""
    await agent.call("submit_task", description="hold until cancelled")
    await at.begun()
    await agent.call("cancel_task", task_id=agent.task_id, reason="not needed any more")
    assert agent.last["state"] == "cancelled"


async def cancel_what_is_over(agent: Agent, _at: Desk) -> None:
    """Too late: the answer says how it ended, and where the result is."""
    await agent.call("submit_task", description="be quick")
    await agent.until(*ENDED)
    await agent.call("cancel_task", task_id=agent.task_id)
    assert agent.last["state"] == "completed"
    await agent.follow()
    assert agent.last["text"] == "done: be quick"


async def held_in_brainstem(agent: Agent, at: Desk) -> None:
    """No cloud answers: the task waits, and goes on by itself."""
    await at.mode(Mode.BRAINSTEM, "every provider is unreachable")
    await agent.call("submit_task", description="think when you can", wait_seconds=5)
    assert agent.last["mode"].startswith("brainstem since")
    await at.mode(Mode.NORMAL, "LiteLLM answers again")
    await agent.until(*ENDED)
    assert (agent.last["state"], agent.last["attempt"]) == ("completed", 1)


async def degraded(agent: Agent, at: Desk) -> None:
    """LiteLLM is broken: the answers say so, and the task runs."""
    await at.mode(Mode.DEGRADED, "LiteLLM is down")
    await agent.call("submit_task", description="go on without it")
    assert agent.last["mode"].startswith("degraded since")
    await agent.until(*ENDED)
    assert agent.last["state"] == "completed"
    await agent.call("system_mode")
    assert agent.last["cause"] == "LiteLLM is down"


async def wrong_cwd(agent: Agent, at: Desk) -> None:
    """A folder that is not there, mended."""
    await agent.call("submit_task", description="look around", cwd="/nowhere/at/all", refused=True)
    await agent.follow(cwd=str(at.folder))
    await agent.until(*ENDED)
    assert agent.last["state"] == "completed"


async def unknown_executor(agent: Agent, _at: Desk) -> None:
    """An executor that nobody configured, left to routing."""
    await agent.call("submit_task", description="go somewhere", executor="codex", refused=True)
    await agent.follow()
    await agent.until(*ENDED)
    assert agent.last["served_by"] == "worker"


async def bad_option(agent: Agent, _at: Desk) -> None:
    """An option that there is not, mended."""
    await agent.call("submit_task", description="be careful", options={"sandbox": True}, refused=True)
    await agent.follow(options={"max_attempts": 1})
    await agent.until(*ENDED)
    assert agent.last["state"] == "completed"


async def repeat_and_conflict(agent: Agent, _at: Desk) -> None:
    """The same key again is the same task; with other words it is refused, and the first one is named."""
    first = (await agent.call("submit_task", description="once", idempotency_key="k1"))["task_id"]
    again = await agent.call("submit_task", description="once", idempotency_key="k1")
    assert (again["task_id"], again["deduplicated"]) == (first, True)
    await agent.call("submit_task", description="twice", idempotency_key="k1", refused=True)
    await agent.follow()
    assert agent.last["task_id"] == first


async def dependency(agent: Agent, at: Desk) -> None:
    """A task after another one: it says what it waits for, and goes on when that has completed."""
    first = (await agent.call("submit_task", description="hold the first"))["task_id"]
    await agent.call("submit_task", description="then the second", after=[first])
    assert agent.last["waiting_for"] == "dependency"
    at.worker.let_go()
    await agent.until(*ENDED)
    assert agent.last["state"] == "completed"


async def deadline(agent: Agent, at: Desk) -> None:
    """A deadline that cannot be, mended; then it passes, and the result says so."""
    await agent.call("submit_task", description="hold for ever", deadline="tomorrow", refused=True)
    await agent.follow()
    await at.begun()
    at.clock.advance(timedelta(hours=3))
    at.engine.doorbell.ring()
    await agent.until(*ENDED)
    assert agent.last["state"] == "failed"
    await agent.follow()
    assert "deadline" in agent.last["error"]


async def list_by_state_in_pages(agent: Agent, _at: Desk) -> None:
    """What is over, two at a time, until nothing more is named."""
    for number in range(5):
        await agent.call("submit_task", description=f"note {number}", wait_seconds=50)
    found = list((await agent.call("list_tasks", state="completed", limit=2))["tasks"])
    while agent.last.get("next_step"):
        found += (await agent.follow())["tasks"]
    assert [task["description"] for task in found] == [f"note {number}" for number in (4, 3, 2, 1, 0)]


async def two_at_once(agent: Agent, at: Desk) -> None:
    """Two tasks, whichever ends first."""
    slow = (await agent.call("submit_task", description="hold this one"))["task_id"]
    await agent.call("submit_task", description="and be done with this")
    await agent.until(*ENDED)
    await agent.follow()
    assert agent.last["text"] == "done: and be done with this"
    at.worker.let_go()
    await agent.call("task_status", task_id=slow)
    await agent.until(*ENDED)
    await agent.follow()
    assert agent.last["text"] == "done: hold this one"


Dialogue = Callable[[Agent, Desk], Awaitable[None]]
DIALOGUES: tuple[Dialogue, ...] = (
    submit_wait_result, result_in_pages, unknown_id, ambiguous_prefix, consent_after_a_crash, budget_reached_then_more,
    question_to_answer, question_for_people, cancel, cancel_what_is_over, held_in_brainstem, wrong_cwd,
    unknown_executor, bad_option, repeat_and_conflict, dependency, deadline, list_by_state_in_pages, degraded,
    two_at_once, in_chinese,
)  # fmt: skip


async def held(dialogue: Dialogue, folder: Path) -> tuple[Agent, str | None]:
    """Hold one dialogue at a desk of its own; returns the agent, and why it did not come to its end."""
    async with desk(folder) as at:
        agent, trouble = await Agent.of(at.client), None
        try:
            with anyio.fail_after(LIMIT):
                await dialogue(agent, at)
        except (Stuck, AssertionError, KeyError, TimeoutError) as error:
            trouble = f"{type(error).__name__}: {error}"
        at.worker.let_go()
    return agent, trouble


def told(dialogue: Dialogue, agent: Agent, trouble: str | None) -> Told:
    """Sum a dialogue up."""
    refused = sum(call.refused for call in agent.calls)
    used = sum(call.tokens for call in agent.calls)
    name = dialogue.__name__.replace("_", " ")
    return Told(
        name=name, calls=len(agent.calls), tokens=used, refused=refused, wrong=len(agent.wrong), trouble=trouble
    )


async def main() -> None:
    """Hold them all and print the table."""
    print("| dialogue | calls | tokens | refused | wrong | stuck |\n|---|---|---|---|---|---|")
    rows: list[Told] = []
    for dialogue in DIALOGUES:
        with tempfile.TemporaryDirectory(prefix="omni-dialogue-") as folder:
            rows.append(told(dialogue, *await held(dialogue, Path(folder))))
        one = rows[-1]
        print(f"| {one.name} | {one.calls} | {one.tokens} | {one.refused} | {one.wrong} | {one.trouble or ''} |")
    well = sum(row.wrong == 0 and row.trouble is None for row in rows)
    total, calls = sum(row.tokens for row in rows), sum(row.calls for row in rows)
    print(f"\n{well} of {len(rows)} without a wrong call; {calls} calls, {total} tokens (cl100k_base)")


if __name__ == "__main__":
    anyio.run(main)
