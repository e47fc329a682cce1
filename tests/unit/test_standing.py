"""The mode as faces show it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from omni_mcp.decide.health import Health, Look, Verdict, after_call, after_look
from omni_mcp.decide.modes.state import Setup, begin, dumped
from omni_mcp.ledger.base import ModeChange, ModeMark
from omni_mcp.standing import mode_view, outages_view
from omni_mcp.task import Mode
from omni_mcp.testing import START

HOUR = timedelta(hours=1)


def test_the_end_of_an_override_is_the_beginning_of_the_mode_that_holds_since() -> None:
    changes = [
        ModeChange(at=START + HOUR, was=Mode.NORMAL, mode=Mode.DEGRADED, cause="set by hand"),
        ModeChange(at=START + HOUR * 2, was=Mode.DEGRADED, mode=Mode.NORMAL, cause="nothing has failed"),
    ]
    mark = ModeMark(mode=Mode.NORMAL, state=dumped(begin(START)), prober=None)
    shown: dict[str, Any] = {"repair": "off", "engine": "none", "settings": "none", "open_tasks": {}, "executors": {}}
    view = mode_view(mark, Setup(), changes, START + HOUR * 3, **shown)
    assert (view.mode, view.since) == (Mode.NORMAL, START + HOUR * 2)


def test_outages_are_the_newest_changes_and_say_whether_there_are_older_ones() -> None:
    changes = [
        ModeChange(at=START + HOUR * 2, was=Mode.DEGRADED, mode=Mode.NORMAL, cause="LiteLLM is back"),
        ModeChange(at=START + HOUR, was=Mode.NORMAL, mode=Mode.DEGRADED, cause="LiteLLM does not answer"),
    ]
    mark = ModeMark(mode=Mode.NORMAL, state=dumped(begin(START)), prober=None)
    newest = outages_view(mark, changes, START + HOUR * 3, limit=1)
    assert (newest.mode, newest.since) == (Mode.NORMAL, START + HOUR * 2)
    assert ([each.cause for each in newest.changes], newest.older) == (["LiteLLM is back"], True)
    assert not outages_view(mark, changes, START + HOUR * 3, limit=2).older


def test_of_a_provider_it_is_told_until_when_it_rests_and_why_its_key_is_refused_though_its_door_is_open() -> None:
    memory, health = timedelta(seconds=10), Health()
    for _ in range(2):
        health = after_call(health, Verdict.UPSTREAM, "overloaded", now=START, memory=memory)
    refused = after_call(Health(), Verdict.REFUSED, "invalid x-api-key", now=START, memory=memory)
    open_door = after_look(refused, Look(verdict=Verdict.OK, said="answers"), now=START, memory=memory)
    state = replace(begin(START), mode=Mode.DEGRADED, providers={"rests": health, "refuses": open_door})
    mark = ModeMark(mode=Mode.DEGRADED, state=dumped(state), prober=None)
    shown: dict[str, Any] = {"repair": "off", "engine": "none", "settings": "none", "open_tasks": {}, "executors": {}}
    evidence = mode_view(mark, Setup(providers=("rests", "refuses")), [], START, **shown).evidence or {}
    assert evidence["rests"].endswith("left alone until 12:00:30 UTC, then tried by one call")
    assert evidence["refuses"].startswith("answers, our key is refused: invalid x-api-key")
