"""How a mode is entered and left: relapses, the outage that it belongs to, the way back."""

from dataclasses import replace
from datetime import datetime

from omni_mcp.decide.health import Verdict, calmed
from omni_mcp.decide.modes.state import ModeState, Setup
from omni_mcp.task import Mode

SEVERITY = (Mode.NORMAL, Mode.DEGRADED, Mode.BRAINSTEM)


def entered(state: ModeState, mode: Mode, cause: str, setup: Setup, now: datetime) -> ModeState:
    """Return the state in another mode, or in the same for another cause."""
    better = SEVERITY.index(mode) < SEVERITY.index(state.mode)
    inside = replace(
        state, mode=mode, since=now, cause=cause, suspect=False, rounds=0, trials=0,
        relapses=state.relapses if better else _relapses(state, setup, now),
        recovered_at=now if better else state.recovered_at,
        incident=_incident(state, mode, setup, now),
        providers={name: calmed(health) for name, health in state.providers.items()},
    )  # fmt: skip
    if mode is Mode.NORMAL:
        return replace(inside, fault=None, litellm=calmed(state.litellm), round_at=None, trial_at=None)
    return replace(inside, trial_at=_first_trial(inside, setup, now), round_at=_next_round(state, setup, now))


def _relapses(state: ModeState, setup: Setup, now: datetime) -> int:
    """Count up when it gets worse again soon after it got better; a long good time wipes the slate."""
    if _recovered_lately(state, setup, now):
        return state.relapses + 1
    return 0 if state.mode is Mode.NORMAL else state.relapses


def _recovered_lately(state: ModeState, setup: Setup, now: datetime) -> bool:
    return state.recovered_at is not None and now - state.recovered_at < setup.seconds("max_dwell")


def _incident(state: ModeState, mode: Mode, setup: Setup, now: datetime) -> datetime | None:
    """Return when the outage of LiteLLM began; a relapse is the same: a repair that did not last is not repeated."""
    if mode is Mode.NORMAL:
        return state.incident
    over = state.mode is Mode.NORMAL and not _recovered_lately(state, setup, now)
    known = None if over else state.incident
    return known or (now if state.fault is Verdict.BROKEN else None)


def _first_trial(state: ModeState, setup: Setup, now: datetime) -> datetime | None:
    """Return from when on a real call is tried: only where no probe can prove that it is mended."""
    if state.mode is Mode.BRAINSTEM:
        return None if setup.providers else now + setup.seconds("check_interval")
    by_probe = setup.probed and state.fault is Verdict.BROKEN
    return None if by_probe else now + setup.dwell(state.relapses)


def _next_round(state: ModeState, setup: Setup, now: datetime) -> datetime | None:
    return (state.round_at or now + setup.seconds("check_interval")) if setup.providers else None
