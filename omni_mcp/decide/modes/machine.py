"""What is to be looked at, and the state after what was seen."""

from dataclasses import replace
from datetime import datetime, timedelta

from omni_mcp.decide.health import Health, Verdict
from omni_mcp.decide.modes.allowed import holds, ramp
from omni_mcp.decide.modes.calls import after_direct_call, after_litellm_call, after_run
from omni_mcp.decide.modes.entering import entered
from omni_mcp.decide.modes.looks import after_probe, after_round
from omni_mcp.decide.modes.state import (
    JITTER,
    LITELLM,
    Asked,
    Called,
    Due,
    Forced,
    ModeState,
    Needless,
    Probed,
    Ran,
    Round,
    Seen,
    Setup,
    Tick,
    begin,
    lately,
)
from omni_mcp.task import Mode

DEEP = 5
"""Every so many probes of LiteLLM one asks for its models, with the key."""


def taken_up(state: ModeState, setup: Setup, now: datetime) -> ModeState:
    """Return a state that another engine left as ours: what is configured no more is forgotten, probes are due.

    Keys may have been mended in between, so no refusal is believed; a mode without a way back under these settings
    is left.
    """
    providers = {name: state.providers.get(name, Health()) for name in setup.providers}
    kept = replace(
        state,
        providers={name: replace(health, refused_at=None) for name, health in providers.items()},
        litellm=replace(state.litellm, refused_at=None),
        probe_at=now,
        round_at=None if state.mode is Mode.NORMAL or not setup.providers else now,
    )
    if _has_a_way_back(kept, setup):
        return kept
    return replace(begin(now), forced=state.forced, incident=state.incident, repairs=state.repairs)


def _has_a_way_back(state: ModeState, setup: Setup) -> bool:
    match state.mode:
        case Mode.NORMAL:
            return True
        case Mode.DEGRADED:
            return setup.litellm and (state.trial_at is not None or setup.probed)
        case Mode.BRAINSTEM:
            return bool(setup.providers) or state.trial_at is not None


def due(state: ModeState, setup: Setup, now: datetime) -> Due:
    """Say what is to be probed now; a suspicion is followed up at once."""
    numbers = setup.numbers
    calm = state.mode is Mode.NORMAL and not state.litellm.failures and not state.suspect
    limit = timedelta(seconds=numbers.lite_llm_timeout if calm else numbers.confirm_timeout)
    if state.suspect:
        return Due(litellm=setup.probed, limit=limit, last=True, providers=True)
    return Due(
        litellm=setup.litellm and setup.probed and state.probe_at <= now,
        limit=limit,
        deep=state.probes % DEEP == DEEP - 1,
        providers=bool(setup.providers) and state.round_at is not None and state.round_at <= now,
    )


def next_probe_at(state: ModeState, setup: Setup) -> datetime | None:
    """Return when something is probed or tried next; None where only real calls tell."""
    times = [state.probe_at] if setup.litellm and setup.probed else []
    times += [at for at in (state.round_at if setup.providers else None, state.trial_at) if at is not None]
    return min(times, default=None)


def after(state: ModeState, seen: Seen, setup: Setup, *, now: datetime, jitter: float = 0.0) -> ModeState:
    """Return the state after an observation at `now`; `jitter` (-1 to 1) moves the next probe."""
    sane = _sane(state, setup, now)
    match seen:
        case Probed(look=look):
            noted = after_probe(sane, look, setup, now, jitter)
        case Round():
            noted = after_round(sane, seen, setup, now, jitter)
        case Called(target=target) if target == LITELLM:
            noted = after_litellm_call(sane, seen, setup, now)
        case Called():
            noted = after_direct_call(sane, seen, setup, now)
        case Ran():
            noted = after_run(sane, seen, setup, now)
        case Forced() | Asked() | Needless():
            noted = _done(sane, seen, now)
        case Tick():
            noted = sane
    return _let_go(state, _matured(noted, setup, now), setup, now)


def _done(state: ModeState, seen: Forced | Asked | Needless, now: datetime) -> ModeState:
    """Take in what was done. A repair that never began is forgotten: what is left of its outage may have another."""
    match seen:
        case Forced(override=override):
            return replace(state, forced=override)
        case Asked():
            return replace(state, repairs=(*lately(state, now), seen))
        case Needless(task_id=task_id):
            kept = tuple(asked for asked in state.repairs if asked.task_id != task_id)
            return replace(state, repairs=kept, incident=None if state.mode is Mode.NORMAL else now)


def _matured(state: ModeState, setup: Setup, now: datetime) -> ModeState:
    """Do what only time was missing for: the way back by probes, and the end of an override."""
    if state.forced is not None and now >= state.forced.until:
        state = replace(state, forced=None)
    by_probe = setup.probed and state.fault is Verdict.BROKEN and state.mode is not Mode.NORMAL
    mended = by_probe and state.litellm.successes >= setup.numbers.recover_successes
    if mended and now >= state.since + setup.dwell(state.relapses):
        return entered(state, Mode.NORMAL, f"LiteLLM: {state.litellm.said}", setup, now)
    return state


def _let_go(before: ModeState, state: ModeState, setup: Setup, now: datetime) -> ModeState:
    """Begin the ramp when what was held may go on."""
    if holds(before, setup, now, lenient=True) and not holds(state, setup, now):
        return replace(state, ramp_at=now, ramp_ok=0)
    return state if ramp(state, setup, now) else replace(state, ramp_at=None)


def _sane(state: ModeState, setup: Setup, now: datetime) -> ModeState:
    """Mend what a clock that jumped back has made of our times: nothing waits longer than it was meant to."""
    spans = (setup.seconds("check_interval") * (1 + JITTER), *map(setup.seconds, ("recover_spacing", "confirm_delay")))
    longest = max(spans)
    return replace(
        state,
        since=min(state.since, now),
        probe_at=_within(state.probe_at, now, longest) or now,
        round_at=_within(state.round_at, now, longest),
        trial_at=_within(state.trial_at, now, max(longest, setup.seconds("max_dwell"))),
        recovered_at=None if state.recovered_at is None else min(state.recovered_at, now),
        ramp_at=None if state.ramp_at is None else min(state.ramp_at, now),
    )


def _within(at: datetime | None, now: datetime, longest: timedelta) -> datetime | None:
    return at if at is None or at - now <= longest else now
