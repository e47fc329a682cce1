"""The mode machine: from what probes and real calls saw to normal, degraded or brainstem. Pure: the clock is told.

Suspicion comes cheap and judgement is careful. `consecutive_failures` against LiteLLM make it suspect; then one round
looks at everything at once, LiteLLM once more included, and only that round changes the mode: to degraded when a cloud
answers directly, to brainstem when none does. The numbers are those of `fault_handler` in servers.yaml.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from omni_mcp.decide.health import Health, Look, Verdict, after_call, after_look, calmed, worked_lately
from omni_mcp.decide.mode_state import (
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
    in_force,
)
from omni_mcp.task import Mode

ROUNDS_TO_BRAINSTEM = 2
"""Rounds in which no provider answers, when degraded already."""
DEEP = 5
"""Every so many probes of LiteLLM one asks for its models, with the key."""
RAMP_STEPS = 5
"""Doublings until held tasks are let go without a limit."""
A_DAY = timedelta(days=1)
SEVERITY = (Mode.NORMAL, Mode.DEGRADED, Mode.BRAINSTEM)


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
            noted = _probed(sane, look, setup, now, jitter)
        case Round():
            noted = _rounded(sane, seen, setup, now, jitter)
        case Called(target=target) if target == LITELLM:
            noted = _called(sane, seen, setup, now)
        case Called():
            noted = _called_directly(sane, seen, setup, now)
        case Ran():
            noted = _ran(sane, seen, setup, now)
        case Forced() | Asked() | Needless():
            noted = _done(sane, seen, now)
        case Tick():
            noted = sane
    return _let_go(state, _matured(noted, setup, now), setup, now)


# what is noted


def _probed(state: ModeState, look: Look, setup: Setup, now: datetime, jitter: float) -> ModeState:
    """A failure in normal is followed up soon; `consecutive_failures` of them make LiteLLM suspect."""
    litellm = after_look(state.litellm, look, now=now, memory=setup.seconds("success_memory"))
    wait = setup.wait(jitter)
    if state.mode is Mode.NORMAL and not litellm.answers:
        wait = min(wait, _follow_up(litellm, setup, now))
    noted = replace(state, litellm=litellm, probes=state.probes + 1, probe_at=now + wait)
    return _suspected(noted, setup)


def _follow_up(litellm: Health, setup: Setup, now: datetime) -> timedelta:
    """Return how soon a failed probe is followed by the next: once no call that worked speaks for LiteLLM any more."""
    soon, memory = setup.seconds("confirm_delay"), setup.seconds("success_memory")
    if litellm.worked_at is None or not worked_lately(litellm, now=now, memory=memory):
        return soon
    return max(soon, litellm.worked_at + memory - now)


def _suspected(state: ModeState, setup: Setup) -> ModeState:
    """Ask for a round when enough counts against LiteLLM."""
    enough = max(state.litellm.failures, state.litellm.upstream) >= setup.numbers.consecutive_failures
    return replace(state, suspect=state.mode is Mode.NORMAL and enough)


def _called(state: ModeState, seen: Called, setup: Setup, now: datetime) -> ModeState:
    memory = setup.seconds("success_memory")
    noted = replace(state, litellm=after_call(state.litellm, seen.verdict, seen.said, now=now, memory=memory))
    if state.mode is not Mode.NORMAL:
        return _tried(noted, seen, setup, now) if seen.trial else noted
    if seen.verdict is Verdict.OK:
        return replace(noted, suspect=False, ramp_ok=state.ramp_ok + (state.ramp_at is not None))
    if seen.verdict is Verdict.BROKEN:
        noted = replace(noted, probe_at=min(noted.probe_at, now))
    return _suspected(noted, setup)


def _tried(state: ModeState, seen: Called, setup: Setup, now: datetime) -> ModeState:
    """A trial that succeeds is worth more than any probe; one that fails waits longer for the next."""
    if seen.verdict in (Verdict.BROKEN, Verdict.UPSTREAM):
        return _shut(state, setup, now)
    if seen.verdict is not Verdict.OK:
        return state
    trials = state.trials + 1
    if state.mode is Mode.BRAINSTEM or trials >= setup.numbers.recover_successes:
        return _entered(state, Mode.NORMAL, "a real call through LiteLLM succeeded", setup, now)
    return replace(state, trials=trials)


def _shut(state: ModeState, setup: Setup, now: datetime) -> ModeState:
    if state.mode is Mode.BRAINSTEM:
        return replace(state, trials=0, trial_at=now + setup.seconds("check_interval"))
    relapses = state.relapses + 1
    return replace(state, trials=0, relapses=relapses, trial_at=now + setup.dwell(relapses))


def _called_directly(state: ModeState, seen: Called, setup: Setup, now: datetime) -> ModeState:
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


def _ran(state: ModeState, seen: Ran, setup: Setup, now: datetime) -> ModeState:
    memory = setup.seconds("success_memory")
    known = state.executors.get(seen.executor, Health())
    health = after_call(known, seen.verdict, seen.said, now=now, memory=memory)
    noted = replace(state, executors={**state.executors, seen.executor: health})
    if setup.litellm:
        return noted
    if state.mode is Mode.BRAINSTEM:
        if seen.verdict is Verdict.OK:
            return _entered(noted, Mode.NORMAL, f"{seen.executor} works again", setup, now)
        return _shut(noted, setup, now)
    if all(known.upstream >= setup.numbers.consecutive_failures for known in noted.executors.values()):
        return _entered(noted, Mode.BRAINSTEM, f"{seen.executor}: {seen.said}", setup, now)
    return replace(noted, ramp_ok=state.ramp_ok + (state.ramp_at is not None and seen.verdict is Verdict.OK))


def _rounded(state: ModeState, seen: Round, setup: Setup, now: datetime, jitter: float) -> ModeState:
    memory = setup.seconds("success_memory")
    providers = {
        name: after_look(_trusted(state.providers.get(name, Health()), setup, now), look, now=now, memory=memory)
        for name, look in seen.providers.items()
    }
    noted = replace(state, providers={**state.providers, **providers}, round_at=now + setup.wait(jitter))
    if state.suspect:
        return _judged(noted, seen, setup, now)
    if seen.litellm is not None:
        noted = _probed(noted, seen.litellm, setup, now, jitter)
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
    return _entered(judged, _verdict(judged, setup), f"LiteLLM: {litellm.trouble}", setup, now)


def _verdict(state: ModeState, setup: Setup) -> Mode:
    """Degraded while any cloud is left: where none can be asked, it depends on who failed, LiteLLM or its clouds."""
    if asked := usable(state, setup):
        return Mode.DEGRADED if any(state.providers[name].answers for name in asked) else Mode.BRAINSTEM
    if setup.providers or state.fault is Verdict.BROKEN:
        return Mode.DEGRADED
    return Mode.BRAINSTEM


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


def _degraded_round(state: ModeState, setup: Setup, now: datetime) -> ModeState:
    asked = usable(state, setup)
    if not asked or any(state.providers[n].answers and not rests(state, n, setup) for n in asked):
        return replace(state, rounds=0)
    if state.rounds + 1 >= ROUNDS_TO_BRAINSTEM:
        return _entered(state, Mode.BRAINSTEM, _troubles(state, asked), setup, now)
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
        return _entered(again, Mode.NORMAL, cause, setup, now)
    said = f"LiteLLM: {state.litellm.trouble or state.litellm.said}; {cause}"
    return _entered(replace(again, fault=Verdict.BROKEN), Mode.DEGRADED, said, setup, now)


def _earliest(state: ModeState, setup: Setup) -> datetime:
    """Return when brainstem may end: a first time at once, after relapses not before its dwell is over."""
    return state.since + setup.dwell(state.relapses - 1) if state.relapses else state.since


# how a mode is entered and left


def _entered(state: ModeState, mode: Mode, cause: str, setup: Setup, now: datetime) -> ModeState:
    better = SEVERITY.index(mode) < SEVERITY.index(state.mode)
    entered = replace(
        state, mode=mode, since=now, cause=cause, suspect=False, rounds=0, trials=0,
        relapses=state.relapses if better else _relapses(state, setup, now),
        recovered_at=now if better else state.recovered_at,
        incident=_incident(state, mode, setup, now),
        providers={name: calmed(health) for name, health in state.providers.items()},
    )  # fmt: skip
    if mode is Mode.NORMAL:
        return replace(entered, fault=None, litellm=calmed(state.litellm), round_at=None, trial_at=None)
    return replace(entered, trial_at=_first_trial(entered, setup, now), round_at=_next_round(state, setup, now))


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


def lately(state: ModeState, now: datetime) -> tuple[Asked, ...]:
    """Return the repairs of the last day."""
    return tuple(asked for asked in state.repairs if abs(now - asked.incident) < A_DAY)


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


def _first_trial(state: ModeState, setup: Setup, now: datetime) -> datetime | None:
    """Return from when on a real call is tried: only where no probe can prove that it is mended."""
    if state.mode is Mode.BRAINSTEM:
        return None if setup.providers else now + setup.seconds("check_interval")
    by_probe = setup.probed and state.fault is Verdict.BROKEN
    return None if by_probe else now + setup.dwell(state.relapses)


def _next_round(state: ModeState, setup: Setup, now: datetime) -> datetime | None:
    return (state.round_at or now + setup.seconds("check_interval")) if setup.providers else None


def _matured(state: ModeState, setup: Setup, now: datetime) -> ModeState:
    """Do what only time was missing for: the way back by probes, and the end of an override."""
    if state.forced is not None and now >= state.forced.until:
        state = replace(state, forced=None)
    by_probe = setup.probed and state.fault is Verdict.BROKEN and state.mode is not Mode.NORMAL
    mended = by_probe and state.litellm.successes >= setup.numbers.recover_successes
    if mended and now >= state.since + setup.dwell(state.relapses):
        return _entered(state, Mode.NORMAL, f"LiteLLM: {state.litellm.said}", setup, now)
    return state


def _let_go(before: ModeState, state: ModeState, setup: Setup, now: datetime) -> ModeState:
    """Begin the ramp when what was held may go on."""
    if holds(before, setup, now, lenient=True) and not holds(state, setup, now):
        return replace(state, ramp_at=now, ramp_ok=0)
    return state if ramp(state, setup, now) else replace(state, ramp_at=None)


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
