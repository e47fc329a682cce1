"""When LiteLLM is to be repaired, what the agent is told, and what came of it. Pure: the clock is told.

One task for each outage, whoever asks how often: its idempotency key is that of the outage, and what it may run is
what servers.yaml names. Whether it helped is for the monitor's probe to say, never for the agent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from omni_mcp.decide.health import Look, Verdict
from omni_mcp.decide.modes.state import A_DAY, Asked, ModeState, Setup, lately
from omni_mcp.decide.repair_text import text_of
from omni_mcp.servers_file.fault_handler import Repair
from omni_mcp.task import SYSTEM_REPAIR, Completed, Failed, FailureClass, Mode, Outcome, Task, TaskSpec

FIRST = 100
"""Its priority: what is broken for everybody comes before what somebody wants."""

ENDS = frozenset({FailureClass.TASK, FailureClass.UNKNOWN, FailureClass.INTERRUPTED})
"""Failures with which the agent has ended, or died: what a command of it does still is not done twice at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPlan:
    """What the settings say of repairs."""

    off: str | None
    """Why there is none, with what turns it on; None: it is on."""
    no_agent: str | None = None
    """Why no agent follows where the ladder knows no help."""
    row: Repair | None = None
    door: str = ""
    """The URL that tells whether LiteLLM lives."""

    @property
    def commands(self) -> Sequence[str]:
        """All that the agent may run."""
        return (self.row.commands or ()) if self.row is not None else ()

    @property
    def scripted(self) -> bool:
        """Whether it needs no model."""
        return self.row is not None and self.row.scripted


LOOK = "look at it yourself: its result is what was found; this outage gets no second repair"
NO_REPAIR = RepairPlan(off="nothing is configured")


def outage_to_repair(state: ModeState, plan: RepairPlan, now: datetime) -> datetime | None:
    """Return the outage for which a repair is to be asked for now, if there is one.

    Only what was measured counts, and LiteLLM itself has to be broken: a restart mends no cloud behind it. While a
    person has set a mode, the person decides; in brainstem only the script could repair, because agents think there.
    """
    by_hand = state.forced is not None and now < state.forced.until
    modes = (Mode.DEGRADED, Mode.BRAINSTEM) if plan.scripted else (Mode.DEGRADED,)
    broken = state.mode in modes and state.fault is Verdict.BROKEN and not by_hand
    if plan.off is not None or not broken or state.incident is None:
        return None
    return None if _of_now(state) or _is_spent(state, plan, now) else state.incident


def _of_now(state: ModeState) -> Asked | None:
    """Return the repair that this outage has had."""
    return next((asked for asked in state.repairs if asked.incident == state.incident), None)


def _is_spent(state: ModeState, plan: RepairPlan, now: datetime) -> bool:
    return plan.row is not None and len(lately(state, now)) >= plan.row.per_day


def spec_of(state: ModeState, plan: RepairPlan, setup: Setup) -> TaskSpec:
    """Return the task that repairs an outage; the same outage always has the same key."""
    folder = plan.row.cwd if plan.row is not None else None
    return TaskSpec(
        description=text_of(
            state, setup, door=plan.door, commands=plan.commands, grace=plan.row.grace if plan.row is not None else 0
        ),
        type=SYSTEM_REPAIR,
        cwd=None if folder is None else str(folder),
        priority=FIRST,
        idempotency_key=f"{SYSTEM_REPAIR} {state.incident:%Y-%m-%dT%H:%M:%S.%fZ}",
    )


def is_over(outcome: Outcome) -> bool:
    """Whether the agent has ended, so that LiteLLM has to say what came of it."""
    return isinstance(outcome, Completed) or outcome.kind in ENDS


def nobody_else(outcome: Failed) -> Failed:
    """Return the end of a repair that was handed on while there is no agent who could go on."""
    return replace(outcome, kind=FailureClass.TASK, fix=outcome.fix or LOOK)


def verdict(outcome: Outcome, look: Look) -> Outcome:
    """Return what a repair came to: whether LiteLLM answers, with what the agent said below it."""
    told, notes = _told(outcome)
    if look.verdict is Verdict.OK:
        return Completed(text=f"LiteLLM is back: it {look.said}.\n\n{told}", notes=notes)
    return Failed(
        kind=FailureClass.TASK,
        message=f"LiteLLM is still broken after its repair: {look.said}",
        fix=LOOK,
        partial=told,
    )


def _told(outcome: Outcome) -> tuple[str, Mapping[str, Any] | None]:
    """Return what the agent said, with what it was denied, and what else is known of its run."""
    if isinstance(outcome, Failed):
        return outcome.partial or outcome.message, None
    denied = (outcome.notes or {}).get("permission_denials")
    return outcome.text + (f"\n\nDenied: {'; '.join(denied)}" if denied else ""), outcome.notes


def standing(state: ModeState, plan: RepairPlan, task: Task | None, now: datetime) -> str:
    """Say whether a repair runs, may run or is off, and why; `task` is the newest one."""
    if task is not None and not task.terminal:
        return f"task {task.id} repairs LiteLLM: {task.state}" + (f"; {task.text}" if task.text else "")
    if plan.off is not None:
        return f"off: {plan.off}"
    if task is not None and _of_now(state) is not None and state.mode is not Mode.NORMAL:
        return (
            f"task {task.id} of this outage is over: {task.state}; there is no second one. "
            "Its result says what was found"
        )
    if _is_spent(state, plan, now):
        until = lately(state, now)[0].incident + A_DAY
        return f"off until {until:%Y-%m-%d %H:%M} UTC: there were as many as there may be in a day"
    return f"on: {_means(plan)}"


def _means(plan: RepairPlan) -> str:
    if not plan.scripted:
        return f"{len(plan.commands)} commands"
    if plan.no_agent is not None:
        return f"the scripted ladder; no agent after it: {plan.no_agent}"
    return f"the scripted ladder, then an agent with {len(plan.commands)} commands"
