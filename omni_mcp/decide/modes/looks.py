"""What probes say of the mode: one of LiteLLM, or a round of everything."""

from dataclasses import replace
from datetime import datetime, timedelta

from omni_mcp.decide.health import Health, Look, Verdict, after_look, worked_lately
from omni_mcp.decide.modes.allowed import rests, usable
from omni_mcp.decide.modes.entering import entered
from omni_mcp.decide.modes.state import ModeState, Round, Setup
from omni_mcp.task import Mode

ROUNDS_TO_BRAINSTEM = 2
"""Rounds in which no provider answers, when degraded already."""


def after_probe(state: ModeState, look: Look, setup: Setup, now: datetime, jitter: float) -> ModeState:
    """A failure in normal is followed up soon; `consecutive_failures` of them make LiteLLM suspect."""
    litellm = after_look(state.litellm, look, now=now, memory=setup.seconds("success_memory"))
    wait = setup.wait(jitter)
    if state.mode is Mode.NORMAL and not litellm.answers:
        wait = min(wait, _follow_up(litellm, setup, now))
    noted = replace(state, litellm=litellm, probes=state.probes + 1, probe_at=now + wait)
    return suspected(noted, setup)


def _follow_up(litellm: Health, setup: Setup, now: datetime) -> timedelta:
    """Return how soon a failed probe is followed by the next: once no call that worked speaks for LiteLLM any more."""
    soon, memory = setup.seconds("confirm_delay"), setup.seconds("success_memory")
    if litellm.worked_at is None or not worked_lately(litellm, now=now, memory=memory):
        return soon
    return max(soon, litellm.worked_at + memory - now)


def suspected(state: ModeState, setup: Setup) -> ModeState:
    """Ask for a round when enough counts against LiteLLM."""
    enough = max(state.litellm.failures, state.litellm.upstream) >= setup.numbers.consecutive_failures
    return replace(state, suspect=state.mode is Mode.NORMAL and enough)


def after_round(state: ModeState, seen: Round, setup: Setup, now: datetime, jitter: float) -> ModeState:
    """Take in a round; only one that follows a suspicion, or a mode that is not normal, changes the mode."""
    memory = setup.seconds("success_memory")
    providers = {
        name: after_look(_trusted(state.providers.get(name, Health()), setup, now), look, now=now, memory=memory)
        for name, look in seen.providers.items()
    }
    noted = replace(state, providers={**state.providers, **providers}, round_at=now + setup.wait(jitter))
    if state.suspect:
        return _judged(noted, seen, setup, now)
    if seen.litellm is not None:
        noted = after_probe(noted, seen.litellm, setup, now, jitter)
    if state.mode is Mode.DEGRADED:
        return _degraded_round(noted, setup, now)
    if state.mode is Mode.BRAINSTEM:
        return _brainstem_round(noted, setup, now)
    return noted


def _trusted(health: Health, setup: Setup, now: datetime) -> Health:
    """A refusal is forgotten after a while: credit may have been bought, and a probe cannot see that."""
    at = health.refused_at
    old = at is not None and not timedelta(0) <= now - at <= setup.seconds("max_dwell")  # the clock may be set back
    return replace(health, refused_at=None) if old else health


def _judged(state: ModeState, seen: Round, setup: Setup, now: datetime) -> ModeState:
    """Decide on a suspicion, with a last look at LiteLLM."""
    enough = setup.numbers.consecutive_failures
    litellm = state.litellm
    if seen.litellm is not None:
        litellm = after_look(litellm, seen.litellm, now=now, memory=setup.seconds("success_memory"))
    calm = replace(state, litellm=litellm, suspect=False, probe_at=state.round_at or now)
    if litellm.failures < enough and litellm.upstream < enough:
        return replace(calm, round_at=None)
    gone = seen.litellm is not None and seen.litellm.verdict is Verdict.BROKEN
    fault = Verdict.BROKEN if gone or litellm.failures >= enough else Verdict.UPSTREAM
    judged = replace(calm, fault=fault)
    return entered(judged, _verdict(judged, setup), f"LiteLLM: {litellm.trouble}", setup, now)


def _verdict(state: ModeState, setup: Setup) -> Mode:
    """Degraded while any cloud is left: where none can be asked, it depends on who failed, LiteLLM or its clouds."""
    if asked := usable(state, setup):
        return Mode.DEGRADED if any(state.providers[name].answers for name in asked) else Mode.BRAINSTEM
    if setup.providers or state.fault is Verdict.BROKEN:
        return Mode.DEGRADED
    return Mode.BRAINSTEM


def _degraded_round(state: ModeState, setup: Setup, now: datetime) -> ModeState:
    asked = usable(state, setup)
    if not asked or any(state.providers[n].answers and not rests(state, n, setup) for n in asked):
        return replace(state, rounds=0)
    if state.rounds + 1 >= ROUNDS_TO_BRAINSTEM:
        return entered(state, Mode.BRAINSTEM, _troubles(state, asked), setup, now)
    return replace(state, rounds=state.rounds + 1, round_at=now + setup.seconds("confirm_delay"))


def _troubles(state: ModeState, names: tuple[str, ...]) -> str:
    """Return what is wrong with each: the door of one whose calls fail may be open."""
    healths = {name: state.providers[name] for name in names}
    return "; ".join(f"{name}: {it.trouble or it.said}" for name, it in healths.items())


def _of_providers(state: ModeState, names: tuple[str, ...]) -> str:
    healths = {name: state.providers[name] for name in names}
    return "; ".join(f"{name}: {(not it.answers and it.trouble) or it.said}" for name, it in healths.items())


def _brainstem_round(state: ModeState, setup: Setup, now: datetime) -> ModeState:
    asked = usable(state, setup) or setup.providers
    if not any(state.providers[name].answers for name in asked):
        return replace(state, rounds=0)
    rounds = state.rounds + 1
    again = replace(state, rounds=rounds, round_at=now + setup.seconds("recover_spacing"))
    if rounds < setup.numbers.recover_rounds or now < _earliest(state, setup):
        return again
    cause = f"a cloud answers again: {_of_providers(state, asked)}"
    mended = state.litellm.answers if setup.probed else state.fault is not Verdict.BROKEN
    if mended:
        return entered(again, Mode.NORMAL, cause, setup, now)
    said = f"LiteLLM: {state.litellm.trouble or state.litellm.said}; {cause}"
    return entered(replace(again, fault=Verdict.BROKEN), Mode.DEGRADED, said, setup, now)


def _earliest(state: ModeState, setup: Setup) -> datetime:
    """Return when brainstem may end: a first time at once, after relapses not before its dwell is over."""
    return state.since + setup.dwell(state.relapses - 1) if state.relapses else state.since
