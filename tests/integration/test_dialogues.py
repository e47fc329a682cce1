"""The scripted dialogues: an agent that follows only what the tools say makes no wrong call and comes to the end."""

from pathlib import Path

import pytest

from benchmarks.agent import Agent
from benchmarks.desk import desk
from benchmarks.dialogues import DIALOGUES, Dialogue, held


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.__name__)
async def test_a_dialogue_comes_to_its_end_without_a_wrong_call(dialogue: Dialogue, tmp_path: Path) -> None:
    agent, trouble = await held(dialogue, tmp_path)
    assert trouble is None
    assert agent.wrong == []
    assert all(call.answer.get("next_step") for call in agent.calls if call.refused)


async def test_an_agent_is_stuck_where_a_text_names_no_call(tmp_path: Path) -> None:
    async def asks_in_vain(agent: Agent, _at: object) -> None:
        await agent.call("list_tasks")
        await agent.follow()

    async def calls_wrongly(agent: Agent, _at: object) -> None:
        await agent.call("task_status", task_id="zzzzzzzz")

    async with desk(tmp_path):
        pass
    assert (await held(asks_in_vain, tmp_path / "1"))[1] == "Stuck: no call of a tool in: "
    assert len((await held(calls_wrongly, tmp_path / "2"))[0].wrong) == 1
