"""What real calls and runs say of the mode."""

from dataclasses import replace
from datetime import datetime

from omni_mcp.decide.health import Health, Verdict, after_call
from omni_mcp.decide.modes.allowed import rests, usable
from omni_mcp.decide.modes.entering import entered
from omni_mcp.decide.modes.looks import suspected
from omni_mcp.decide.modes.state import Called, ModeState, Ran, Setup
from omni_mcp.task import Mode


def after_litellm_call(state: ModeState, seen: Called, setup: Setup, now: datetime) -> ModeState:
    """Count a call through LiteLLM; a trial in another mode may lead back to normal."""
    memory = setup.seconds("success_memory")
    noted = replace(state, litellm=after_call(state.litellm, seen.verdict, seen.said, now=now, memory=memory))
    if state.mode is not Mode.NORMAL:
        return _tried(noted, seen, setup, now) if seen.trial else noted
    if seen.verdict is Verdict.OK:
        return replace(noted, suspect=False, ramp_ok=state.ramp_ok + (state.ramp_at is not None))
    if seen.verdict is Verdict.BROKEN:
        noted = replace(noted, probe_at=min(noted.probe_at, now))
    return suspected(noted, setup)


def _tried(state: ModeState, seen: Called, setup: Setup, now: datetime) -> ModeState:
    """A trial that succeeds is worth more than any probe; one that fails waits longer for the next."""
    if seen.verdict in (Verdict.BROKEN, Verdict.UPSTREAM):
        return _shut(state, setup, now)
    if seen.verdict is not Verdict.OK:
        return state
    trials = state.trials + 1
    if state.mode is Mode.BRAINSTEM or trials >= setup.numbers.recover_successes:
        return entered(state, Mode.NORMAL, "a real call through LiteLLM succeeded", setup, now)
    return replace(state, trials=trials)


def _shut(state: ModeState, setup: Setup, now: datetime) -> ModeState:
    if state.mode is Mode.BRAINSTEM:
        return replace(state, trials=0, trial_at=now + setup.seconds("check_interval"))
    relapses = state.relapses + 1
    return replace(state, trials=0, relapses=relapses, trial_at=now + setup.dwell(relapses))


def after_direct_call(state: ModeState, seen: Called, setup: Setup, now: datetime) -> ModeState:
    """When every provider fails real calls, the next round is due at once."""
    memory = setup.seconds("success_memory")
    known = state.providers.get(seen.target, Health())
    health = after_call(known, seen.verdict, seen.said, now=now, memory=memory)
    noted = replace(state, providers={**state.providers, seen.target: health})
    if seen.verdict is Verdict.OK:
        return replace(noted, ramp_ok=state.ramp_ok + (state.ramp_at is not None))
    if state.mode is Mode.DEGRADED and all(rests(noted, name, setup) for name in usable(noted, setup)):
        return replace(noted, round_at=now)
    return noted


def after_run(state: ModeState, seen: Ran, setup: Setup, now: datetime) -> ModeState:
    """Count how a run ended; where no LiteLLM is configured, runs alone say whether a cloud answers."""
    memory = setup.seconds("success_memory")
    known = state.executors.get(seen.executor, Health())
    health = after_call(known, seen.verdict, seen.said, now=now, memory=memory)
    noted = replace(state, executors={**state.executors, seen.executor: health})
    if setup.litellm:
        return noted
    if state.mode is Mode.BRAINSTEM:
        if seen.verdict is Verdict.OK:
            return entered(noted, Mode.NORMAL, f"{seen.executor} works again", setup, now)
        return _shut(noted, setup, now)
    if all(known.upstream >= setup.numbers.consecutive_failures for known in noted.executors.values()):
        return entered(noted, Mode.BRAINSTEM, f"{seen.executor}: {seen.said}", setup, now)
    return replace(noted, ramp_ok=state.ramp_ok + (state.ramp_at is not None and seen.verdict is Verdict.OK))
