"""What a state allows: providers that may be asked, calls that are held, tasks that may go on."""

from datetime import datetime

from omni_mcp.decide.health import Health
from omni_mcp.decide.modes.state import ModeState, Setup, in_force
from omni_mcp.task import Mode

RAMP_STEPS = 5
"""Doublings until held tasks are let go without a limit."""


def usable(state: ModeState, setup: Setup) -> tuple[str, ...]:
    """Return the providers whose key is not refused."""
    return tuple(name for name in setup.providers if state.providers.get(name, Health()).refused_at is None)


def rests(state: ModeState, name: str, setup: Setup) -> bool:
    """Whether a provider is left alone, because real calls fail there one after the other."""
    health = state.providers.get(name, Health())
    return max(health.failures, health.upstream) >= setup.numbers.consecutive_failures


def rests_until(state: ModeState, name: str, setup: Setup) -> datetime | None:
    """Return from when on one call at a time may try a provider that rests."""
    failed_at = state.providers.get(name, Health()).failed_at
    return None if failed_at is None else failed_at + setup.seconds("check_interval")


def ramp(state: ModeState, setup: Setup, now: datetime) -> int | None:
    """Return how many of the tasks that were held may run at a time: first one, then more; None: as many as can.

    Every call that succeeds allows one more, and each interval without news twice as many.
    """
    if state.ramp_at is None or holds(state, setup, now):
        return None
    intervals = int((now - state.ramp_at) / setup.seconds("check_interval"))
    allowed = max(1 + state.ramp_ok, 2 ** min(intervals, RAMP_STEPS))
    return allowed if allowed < 2**RAMP_STEPS else None


def holds(state: ModeState, setup: Setup, now: datetime, *, lenient: bool = False) -> bool:
    """Whether calls through the relay are held; `lenient` asks as of before an override ran out."""
    mode = state.forced.mode if lenient and state.forced is not None else in_force(state, now)
    return mode is Mode.BRAINSTEM or (mode is Mode.DEGRADED and not usable(state, setup))


def half_open(state: ModeState, now: datetime, setup: Setup) -> bool:
    """Whether one real call at a time may be tried on LiteLLM (or, without one, one task on its executor)."""
    if state.trial_at is None or now < state.trial_at or in_force(state, now) is not state.mode:
        return False
    return not (setup.litellm and setup.probed) or state.litellm.answers
