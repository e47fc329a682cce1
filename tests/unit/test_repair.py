"""One repair for each outage of LiteLLM: who asks for it and when, what it is told, what it comes to."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from anyio.to_thread import run_sync

from omni_mcp.adapters.claude_gate import answer
from omni_mcp.decide.handing_on import handed_on_by
from omni_mcp.decide.health import Look, Verdict
from omni_mcp.decide.modes.state import LITELLM, Asked, ModeState, Setup
from omni_mcp.decide.repair import RepairPlan, is_over, outage_to_repair, spec_of, standing, verdict
from omni_mcp.decide.routing import Candidate, route
from omni_mcp.engine import Engine
from omni_mcp.home import Home
from omni_mcp.ledger.base import Ledger
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.monitor import Monitor
from omni_mcp.presets import ladder_setup, repair_plan, resolve
from omni_mcp.repair_setup import VARIABLE, LadderSetup
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.fault_handler import FaultHandler, Repair
from omni_mcp.servers_file.routing import Routing, Rule
from omni_mcp.settings import Settings, load
from omni_mcp.task import (
    LADDER,
    LOCAL,
    SYSTEM_REPAIR,
    Completed,
    Failed,
    FailureClass,
    Mode,
    Recovery,
    Task,
    TaskSpec,
    TaskState,
    WaitingFor,
    new_id,
)
from omni_mcp.testing import (
    START,
    FakeExecutor,
    FakeModes,
    ToldClock,
    a_spec,
    engine_for,
    ledger_for_tests,
    result_of,
)
from tests.integration.house import until
from tests.unit.test_monitor import Crash, FakeProbes, Killing, alive, dead, watched

OK = Look(verdict=Verdict.OK, said="answers")
GONE = Look(verdict=Verdict.BROKEN, said="no connection")
DARK = {LITELLM: GONE, "anthropic": GONE}
BROKEN = {LITELLM: GONE, "anthropic": OK}
WELL = {LITELLM: OK, "anthropic": OK}
SETUP = Setup(providers=("anthropic",))
ROW = Repair(commands=("docker compose restart litellm",), grace=0.05)
PLAN = RepairPlan(off=None, row=ROW, door="http://127.0.0.1:4000/health/liveliness")
SCRIPT = replace(PLAN, row=Repair(start="litellm"))
MINUTE, LIMIT = timedelta(minutes=1), 20.0
REPAIRER = ExecutorRow(preset="claude-code", command=sys.executable, parallel=1, login="own")


def a_monitor(ledger: Ledger, clock: ToldClock, probes: FakeProbes, **changes: Any) -> Monitor:
    fields: dict[str, Any] = {
        "ledger": ledger, "setup": SETUP, "probes": probes, "clock": clock, "owner": "one", "is_over": alive,
        "on_change": lambda: None, "jitter": lambda: 0.0, "repair": PLAN,
    }  # fmt: skip
    return Monitor(**{**fields, **changes})


async def repairs(ledger: SqliteLedger) -> Sequence[Task]:
    page = await ledger.page(principal=LOCAL, limit=50)
    return [task for task in page.tasks if task.spec.type == SYSTEM_REPAIR]


# who asks, and when


async def test_an_outage_gets_one_repair_which_knows_cause_commands_and_door(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        monitor = a_monitor(ledger, clock, FakeProbes(dict(BROKEN)))
        await watched(monitor, clock, 600)
        (task,) = await repairs(ledger)
        spec = (await ledger.find(task.id, principal=LOCAL)).spec
    assert (task.state, spec.priority) == (TaskState.IDLE, 100)
    for part in ("LiteLLM: no connection", "  docker compose restart litellm\n", PLAN.door, "anthropic: answers"):
        assert part in spec.description


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("verb", ["lead", "save_mode", "submit", "told"])
@pytest.mark.parametrize("kill_at", [1, 4])
async def test_an_engine_that_is_killed_at_any_moment_neither_doubles_nor_loses_the_repair(
    verb: str, after: bool, kill_at: int, tmp_path: Path
):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        probes = FakeProbes(dict(BROKEN))
        first = a_monitor(ledger, clock, probes)
        await watched(first, clock, kill_at - 1)
        first.ledger = cast("Ledger", Killing(ledger, verb, after=after))
        with suppress(Crash, BaseExceptionGroup):
            await watched(first, clock, 10)
        probes.sees["anthropic"] = Look(verdict=Verdict.OK, said="says it in other words")
        second = a_monitor(ledger, clock, probes, owner="two", is_over=dead)
        await second.load()
        await watched(second, clock, 30)
        (task,) = await repairs(ledger)
        assert [asked.task_id for asked in second.state.repairs] == [task.id]


async def test_nobody_repairs_what_a_person_has_set_or_where_no_cloud_answers(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        probes = FakeProbes(dict(WELL))
        monitor = a_monitor(ledger, clock, probes)
        await ledger.force_mode(Mode.DEGRADED, until=clock.now() + 5 * MINUTE)
        await watched(monitor, clock, 60)
        probes.sees = dict(DARK)
        await watched(monitor, clock, 300)
        assert monitor.permit().mode is Mode.BRAINSTEM
        assert not await repairs(ledger)
        probes.sees = dict(BROKEN)
        await watched(monitor, clock, 120)
        assert monitor.permit().mode is Mode.DEGRADED
        assert len(await repairs(ledger)) == 1


async def test_a_relapse_is_the_same_outage_and_a_later_one_has_its_own_repair_up_to_the_days_cap(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        probes = FakeProbes(dict(BROKEN))
        monitor = a_monitor(ledger, clock, probes)

        async def outage(good_time: timedelta) -> int:
            probes.sees = dict(BROKEN)
            await watched(monitor, clock, 120)
            assert monitor.permit().mode is Mode.DEGRADED
            probes.sees = dict(WELL)
            for _ in range(int(good_time / MINUTE * 6)):
                await monitor.step()
                clock.advance(MINUTE / 6)
            assert monitor.permit().mode is Mode.NORMAL
            return len(await repairs(ledger))

        assert await outage(5 * MINUTE) == 1
        assert await outage(60 * MINUTE) == 1
        assert [await outage(60 * MINUTE) for _ in range(3)] == [2, 3, 3]
        assert standing(monitor.state, PLAN, None, clock.now()).startswith("off until 2026-01-02 1")
        clock.advance(timedelta(days=1))
        assert await outage(60 * MINUTE) == 4


def test_in_brainstem_only_the_script_is_asked_for():
    dark = replace(BROKEN_STATE, mode=Mode.BRAINSTEM)
    assert outage_to_repair(dark, PLAN, START) is None
    assert outage_to_repair(dark, SCRIPT, START) == START
    assert outage_to_repair(replace(dark, fault=Verdict.UPSTREAM), SCRIPT, START) is None


@pytest.mark.parametrize(
    "state",
    [
        ModeState(since=START, probe_at=START),
        ModeState(since=START, probe_at=START, mode=Mode.DEGRADED, fault=Verdict.UPSTREAM, incident=START),
        ModeState(since=START, probe_at=START, mode=Mode.BRAINSTEM, fault=Verdict.BROKEN, incident=START),
    ],
    ids=["normal", "its clouds", "brainstem"],
)
def test_only_a_litellm_that_is_broken_itself_is_repaired(state: ModeState):
    assert outage_to_repair(state, PLAN, START) is None
    broken = replace(state, mode=Mode.DEGRADED, fault=Verdict.BROKEN, incident=START)
    assert outage_to_repair(broken, PLAN, START) == START
    assert outage_to_repair(broken, replace(PLAN, off="no commands"), START) is None


# who does it, and what it comes to


def test_a_repair_goes_to_nobody_who_does_not_handle_it():
    spec = TaskSpec(description="mend it", type=SYSTEM_REPAIR)
    routing = Routing(rules=(Rule(type=SYSTEM_REPAIR, executor="other", fallback=("coder",)),), default="other")
    other = Candidate(name="other", handles=frozenset({"general"}))
    coder = Candidate(name="coder", handles=frozenset({SYSTEM_REPAIR}))
    assert route(spec, routing, {"other": other, "coder": coder}).executor == "coder"
    found = route(spec, Routing(rules=(), default="other"), {"other": other})
    assert (found.executor, "other does not handle system_repair" in found.reason) == (None, True)


BROKEN_STATE = ModeState(
    mode=Mode.DEGRADED, since=START, probe_at=START, fault=Verdict.BROKEN, incident=START, cause="LiteLLM: gone"
)


async def an_engine(ledger: SqliteLedger, *fakes: FakeExecutor, **fields: Any) -> Engine:
    return await run_sync(partial(engine_for, ledger, *fakes, **fields))  # it looks for the program


async def asked(ledger: SqliteLedger, modes: FakeModes) -> str:
    spec = spec_of(BROKEN_STATE, PLAN, SETUP)
    task_id = (await ledger.submit(spec, task_id=new_id(), choice=None)).task.id
    modes.state = replace(BROKEN_STATE, repairs=(Asked(incident=START, task_id=task_id),))
    return task_id


async def test_a_full_executor_begins_the_repair_with_the_configured_commands_and_litellm_says_what_it_came_to(
    tmp_path: Path,
):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        modes = FakeModes(clock, SETUP)
        coder = FakeExecutor(name="coder", row=REPAIRER, held=True, outcome=Completed(text="I restarted it"))
        engine = await an_engine(ledger, coder, home=tmp_path, clock=clock, modes=modes)
        handler = FaultHandler(repair=ROW)
        servers = engine.settings.servers.model_copy(update={"fault_handler": handler})
        engine.means = replace(engine.means, settings=replace(engine.settings, servers=servers))
        await ledger.submit(a_spec(type="coding"), task_id=new_id(), choice=None)
        modes.litellm = GONE
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await asked(ledger, modes)
            await engine.step(attempts)
            with anyio.move_on_after(LIMIT):
                await coder.begun(2)
            coder.let_go()
        task_id = modes.state.repairs[-1].task_id
        task, result = await ledger.find(task_id, principal=LOCAL), await result_of(ledger, task_id)
    first, second = coder.requests
    assert (first.commands, second.commands) == (None, ROW.commands)
    assert (task.state, task.progress) == (TaskState.FAILED, "LiteLLM is still broken")
    assert task.text is not None
    assert task.text.startswith("LiteLLM is still broken after its repair: no connection")
    assert result is not None
    assert result.text == "I restarted it"


SCRIPTED = REPAIRER.model_copy(update={"handles": (SYSTEM_REPAIR,), "needs_cloud": False, "recovery": Recovery.RETRY})
UNKNOWN = Failed(kind=FailureClass.HANDED_ON, message="it ended with 7", fix="look", partial="start: nobody listens")


async def handed_on(
    ledger: SqliteLedger, folder: Path, *, commands: tuple[str, ...] | None
) -> tuple[Task, FakeExecutor]:
    """Have a ladder that knows no help, and an agent; returns the repair and the agent."""
    clock = ToldClock()
    modes = FakeModes(clock, SETUP)
    script = FakeExecutor(name=LADDER, row=SCRIPTED, outcome=UNKNOWN, says=["start: nobody listens"])
    coder = FakeExecutor(name="coder", row=REPAIRER, outcome=Completed(text="I mended it"))
    engine = await an_engine(ledger, coder, script, home=folder, clock=clock, modes=modes)
    handler = FaultHandler(repair=Repair(start="x", commands=commands))
    servers = engine.settings.servers.model_copy(update={"fault_handler": handler})
    engine.means = replace(engine.means, settings=replace(engine.settings, servers=servers))
    task_id = await asked(ledger, modes)
    async with anyio.create_task_group() as attempts:
        for _ in range(4):
            await engine.step(attempts)
            await until(lambda: not engine.running)
    assert len(script.requests) == 1
    return await ledger.find(task_id, principal=LOCAL), coder


async def test_what_the_ladder_does_not_know_goes_to_the_agent_with_what_it_found(tmp_path: Path):
    async with ledger_for_tests(tmp_path) as ledger:
        task, coder = await handed_on(ledger, tmp_path, commands=("docker ps",))
    (request,) = coder.requests
    assert request.commands == ("docker ps",)
    assert f"What {LADDER} found before you:\nit ended with 7. look\nstart: nobody listens" in request.description
    assert (task.state, task.served_by, task.faults) == (TaskState.COMPLETED, "coder", 0)
    assert handed_on_by(task).keys() == {LADDER}


async def test_what_the_ladder_does_not_know_fails_with_its_findings_where_no_agent_may_do_anything(tmp_path: Path):
    async with ledger_for_tests(tmp_path) as ledger:
        task, coder = await handed_on(ledger, tmp_path, commands=None)
        result = await result_of(ledger, task.id)
    assert (task.state, task.served_by, coder.requests) == (TaskState.FAILED, LADDER, [])
    assert result is not None
    assert (task.text, result.text) == ("it ended with 7. look", "start: nobody listens")


def test_the_ladder_comes_before_every_agent_and_does_nothing_else():
    script = Candidate(name=LADDER, handles=frozenset({SYSTEM_REPAIR}))
    coder = Candidate(name="coder", handles=frozenset({SYSTEM_REPAIR, "coding"}))
    both = {"coder": coder, LADDER: script}
    for rules in ((), (Rule(type=SYSTEM_REPAIR, executor="coder"),)):
        routing = Routing(rules=rules, default="coder")
        assert route(TaskSpec(description="mend it", type=SYSTEM_REPAIR), routing, both).executor == LADDER
        assert route(TaskSpec(description="write it", type="coding"), routing, both).executor == "coder"
    found = route(TaskSpec(description="write it", executor=LADDER), Routing(rules=(), default="coder"), both)
    assert (found.executor, "repairs LiteLLM and nothing else" in found.reason) == (None, True)


async def test_two_repairs_never_run_at_a_time(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        modes = FakeModes(clock, SETUP)
        script = FakeExecutor(name=LADDER, row=SCRIPTED, held=True)
        engine = await an_engine(ledger, script, home=tmp_path, clock=clock, modes=modes)
        await asked(ledger, modes)
        later = spec_of(replace(BROKEN_STATE, incident=START + MINUTE), PLAN, SETUP)
        await ledger.submit(later, task_id=new_id(), choice=None)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
            await engine.step(attempts)
            with anyio.fail_after(LIMIT):
                await script.begun()
            assert len(engine.running) == 1
            script.let_go()
    assert len(script.requests) == 1


class Unsure(FakeModes):
    """Modes that ask LiteLLM for ever."""

    asked: anyio.Event

    async def verified(self) -> Look:
        self.asked.set()
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_repair_that_is_stopped_before_litellm_was_asked_is_not_believed_to_have_helped(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        modes = Unsure(clock, SETUP)
        modes.asked = anyio.Event()
        coder = FakeExecutor(name="coder", row=REPAIRER, outcome=Completed(text="I restarted it"))
        engine = await an_engine(ledger, coder, home=tmp_path, clock=clock, modes=modes)
        task_id = await asked(ledger, modes)
        with anyio.fail_after(LIMIT):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(engine.run)
                await modes.asked.wait()
                tasks.cancel_scope.cancel()
        task = await ledger.find(task_id, principal=LOCAL)
    assert task.state is not TaskState.COMPLETED


async def test_a_repair_that_came_too_late_is_called_off_and_the_next_outage_may_have_its_own(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        modes = FakeModes(clock, SETUP)
        coder = FakeExecutor(name="coder", row=REPAIRER)
        engine = await an_engine(ledger, coder, home=tmp_path, clock=clock, modes=modes)
        task_id = await asked(ledger, modes)
        modes.state = replace(modes.state, mode=Mode.NORMAL, fault=None)
        async with anyio.create_task_group() as attempts:
            await engine.step(attempts)
        task = await ledger.find(task_id, principal=LOCAL)
    assert (task.state, coder.requests) == (TaskState.CANCELLED, [])
    assert task.text == "cancelled: the mode is normal again, so nothing is left to repair"
    assert (modes.state.repairs, modes.state.incident) == ((), None)


async def test_the_monitor_asks_litellm_until_it_answers_or_its_time_is_up(tmp_path: Path):
    async with ledger_for_tests(tmp_path, clock := ToldClock()) as ledger:
        looks = iter([GONE, GONE, OK])

        class Reviving(FakeProbes):
            """LiteLLM takes its time."""

            async def litellm(self, *, limit: float, deep: bool) -> Look:
                return next(looks, GONE)

        setup = replace(SETUP, numbers=FaultHandler(confirm_delay=0.001))
        long = replace(PLAN, row=ROW.model_copy(update={"grace": LIMIT}))
        monitor = a_monitor(ledger, clock, Reviving(), setup=setup, repair=long)
        assert await monitor.verified() == OK
        monitor.repair = PLAN
        assert await monitor.verified() == GONE


def test_the_word_of_the_agent_counts_for_nothing():
    gave_up = Failed(kind=FailureClass.UNKNOWN, message="Claude Code gave up", partial="I could not")
    done = Completed(text="it is mended", notes={"permission_denials": ["Bash rm -rf /"]})
    assert isinstance(verdict(gave_up, OK), Completed)
    back, broken = verdict(done, OK), verdict(done, GONE)
    assert isinstance(back, Completed)
    assert back.text == "LiteLLM is back: it answers.\n\nit is mended\n\nDenied: Bash rm -rf /"
    assert isinstance(broken, Failed)
    assert (broken.kind, broken.partial) == (FailureClass.TASK, "it is mended\n\nDenied: Bash rm -rf /")
    assert not is_over(Failed(kind=FailureClass.PROVIDER, message="overloaded"))


# what a person is told


def settings_of(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, *, key: str = "") -> Settings:
    monkeypatch.setenv("GITHUB_LITELLM_KEY", key)
    (folder / "servers.yaml").write_text(text)
    return load(Home(folder))


GATEWAY = "models: {gateway: {base_url: 'http://127.0.0.1:4000'}}\n"
COMMANDS = "fault_handler: {repair: {commands: ['docker compose restart ${NAME} \"$X\"']}}\n"
CODER = "executors: {coder: {preset: claude-code, command: python3}}\n"


@pytest.mark.parametrize(
    ("text", "key", "off"),
    [
        (COMMANDS, "k", "LiteLLM is no proxy here"),
        (GATEWAY, "k", "no way to start it is named. An example for servers.yaml: fault_handler: {repair:"),
        (GATEWAY + COMMANDS.replace("]}", "], cwd: /nowhere/at/all}"), "k", "/nowhere/at/all is no folder"),
        (
            GATEWAY + COMMANDS + CODER.replace("command", "handles: [coding], command"),
            "k",
            "no executor handles system",
        ),
        (GATEWAY + COMMANDS + CODER.replace("python3", "no-such-claude"), "k", "coder cannot be used: the program"),
        (GATEWAY + COMMANDS + CODER, "", "no backup key"),
        (GATEWAY + COMMANDS + CODER, "k", None),
        (GATEWAY + COMMANDS + CODER.replace("command", "login: own, command"), "", None),
    ],
)
def test_why_repairs_are_off_is_said_with_what_turns_them_on(
    text: str, key: str, off: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = settings_of(tmp_path, text, monkeypatch, key=key)
    assert not settings.problems
    plan = repair_plan(settings)
    assert (off is None) is (plan.off is None)
    assert off is None or off in (plan.off or "")
    said = standing(ModeState(since=START, probe_at=START), plan, None, START)
    assert said == (f"off: {plan.off}" if off else "on: 1 commands")


def test_with_a_way_to_start_it_no_agent_is_needed_and_the_ladder_is_an_executor_without_a_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    text = GATEWAY.replace("4000'", "4000', api_key: sk-master")
    text += "fault_handler: {repair: {start: 'litellm --x ${NOT_OURS}', config: /srv/c.yaml, env: {KEY: '${GIVEN}'}}}\n"
    monkeypatch.setenv("GIVEN", "cloud key")
    settings = settings_of(tmp_path, text, monkeypatch)
    plan, setup, spec = repair_plan(settings), ladder_setup(settings), resolve(settings)[LADDER]
    assert (plan.off, (plan.no_agent or "").split(".")[0]) == (None, "no commands")
    assert setup is not None
    assert (setup.start, setup.key, setup.env, setup.port) == (
        "litellm --x ${NOT_OURS}", "sk-master", {"KEY": "cloud key"}, 4000
    )  # fmt: skip
    assert (spec.row.needs_cloud, spec.relayed, spec.recovery, spec.handles) == (
        False, False, Recovery.RETRY, {SYSTEM_REPAIR}
    )  # fmt: skip
    assert LadderSetup.model_validate_json(spec.row.env[VARIABLE]) == setup
    assert not any("sk-master" in word for word in spec.command)
    said = standing(ModeState(since=START, probe_at=START), plan, None, START)
    assert said.startswith("on: the scripted ladder; no agent after it: no commands. An example")
    told = settings_of(tmp_path, text + "executors: {repair_ladder: {preset: assistant}}\n", monkeypatch).problems
    assert any("is the name of the executor that repairs LiteLLM" in str(problem) for problem in told)


def test_a_variable_in_a_command_is_left_to_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plan = repair_plan(settings_of(tmp_path, COMMANDS, monkeypatch))
    assert list(plan.commands) == ['docker compose restart ${NAME} "$X"']


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        (
            "fault_handler: {repair: {}}",
            "needs start or restart (for the scripted ladder), or commands",
            "change the row",
        ),
        ("fault_handler: {repair: {start: a, restart: b}}", "has both start and restart", "change the row"),
        ("fault_handler: {repair: {start: a, config: here.yaml}}", "is not absolute", "change the row"),
        (
            "fault_handler: {repair: {start: a, env: {KEY: '${NOT_SET_HERE}'}}}",
            "NOT_SET_HERE is not set",
            "set NOT_SET_HERE",
        ),
        ("fault_handler: {repair: {commands: []}}", "at least 1 item", "change the value"),
        ("fault_handler: {repair: {commands: ['  ']}}", "is no command", "change the row"),
        ("fault_handler: {repair: {commands: docker restart x}}", "valid tuple", "write a list"),
        ("fault_handler: {repair: {command: [x]}}", "'command' is no key here", "did you mean 'commands'?"),
        ("fault_handler: {repair: {commands: [x], cwd: here}}", "is not absolute", "change the row"),
        ("fault_handler: {repair: {commands: [x], per_day: 0}}", "greater than or equal to 1", "change the value"),
        (
            "executors: {a: {preset: assistant, handles: [system_repair]}}",
            "handles system_repair, which only preset claude-code keeps to the configured commands",
            "change the row",
        ),
    ],
)
def test_each_misuse_has_its_line_and_its_fix_and_turns_no_repair_on(
    text: str, what: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = settings_of(tmp_path, text, monkeypatch)
    told = [str(problem) for problem in settings.problems]
    assert any("line 1" in line and what in line and fix in line for line in told), told
    assert settings.servers.fault_handler.repair is None


async def test_the_task_that_repairs_is_named_until_it_is_over(tmp_path: Path):
    async with ledger_for_tests(tmp_path) as ledger:
        task_id = (await ledger.submit(spec_of(BROKEN_STATE, PLAN, SETUP), task_id=new_id(), choice=None)).task.id
        state = replace(BROKEN_STATE, repairs=(Asked(incident=START, task_id=task_id),))
        await ledger.hold(task_id, waiting_for=WaitingFor.EXECUTOR, text="nobody can")
        held = await ledger.find(task_id, principal=LOCAL)
        assert standing(state, PLAN, held, START) == f"task {task_id} repairs LiteLLM: waiting; nobody can"
        await ledger.request_cancel(task_id, reason="I do it myself")
        over = await ledger.find(task_id, principal=LOCAL)
        said = (
            f"task {task_id} of this outage is over: cancelled; there is no second one. Its result says what was found"
        )
        assert standing(state, PLAN, over, START) == said


# the gate


def decision(command: str, commands: Sequence[str], **more: object) -> str:
    call = {"tool_input": {"command": command}, "cwd": "/srv/litellm", **more}
    said: Mapping[str, Any] = json.loads(answer(json.dumps(call), commands))
    return said["hookSpecificOutput"]["permissionDecision"]


@pytest.mark.parametrize(
    ("command", "good"),
    [
        ("systemctl restart lite*", True),
        (" systemctl restart lite*\n", True),
        ("systemctl restart litexyz", False),
        ("systemctl restart lite*; id", False),
        ("timeout 5 systemctl restart lite*", False),
        ("docker compose up -d", True),
        ("cd /srv/litellm && docker compose up -d", True),
        ("cd /elsewhere && docker compose up -d", False),
        ("ls", False),
        ("", False),
    ],
)
def test_a_command_is_let_through_only_whole(command: str, good: bool):
    commands = ["systemctl restart lite*", "cd /srv/litellm && docker compose up -d"]
    assert decision(command, commands) == ("allow" if good else "deny")
    assert decision(command, []) == "deny"


def test_what_is_let_through_runs_as_it_is_written_but_without_the_way_to_the_agents_model():
    line = "a=1; echo $a-$ANTHROPIC_BASE_URL- | cat && echo 'b;c'"
    asked = {"command": line, "timeout": 5000}
    said: Mapping[str, Any] = json.loads(answer(json.dumps({"tool_input": asked}), [line]))
    changed = said["hookSpecificOutput"]["updatedInput"]
    assert changed["timeout"] == 5000
    env = {"PATH": os.environ["PATH"], "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}
    ran = subprocess.run(["/bin/sh", "-c", changed["command"]], env=env, capture_output=True, text=True, check=True)
    assert ran.stdout == "1--\nb;c\n"
