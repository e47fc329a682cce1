"""The mode as the ledger has it, for the engine that goes on from it and for faces that show it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from omni_mcp.decide.health import Health
from omni_mcp.decide.modes.allowed import rests, rests_until
from omni_mcp.decide.modes.machine import next_probe_at
from omni_mcp.decide.modes.state import LITELLM, ModeState, Override, Setup, begin, in_force, loaded
from omni_mcp.decide.permit import cause_of, meaning
from omni_mcp.ledger.base import ModeChange, ModeMark
from omni_mcp.task import Mode
from omni_mcp.views.mode import ModeChangeView, ModeView, OutagesView, OverrideView

MORE = "system_mode says more"

FROM_THE_FUTURE = timedelta(minutes=5)
"""How much later than now a mode may have been set: if by more, the clock was set back, and its end means nothing."""


def override_of(mark: ModeMark, now: datetime) -> Override | None:
    """Return what a person has set."""
    if mark.forced is None or mark.forced_at is None or mark.forced_until is None:
        return None
    if mark.forced_at - now > FROM_THE_FUTURE:
        return None
    return Override(mode=mark.forced, at=mark.forced_at, until=mark.forced_until)


def state_of(mark: ModeMark, now: datetime) -> ModeState:
    """Return what the machine knows, with what a person has set; normal where no engine has looked yet."""
    known = loaded(mark.state) if mark.state is not None else None
    return replace(known or begin(now), forced=override_of(mark, now))


def note(mark: ModeMark, setup: Setup, now: datetime) -> str | None:
    """Return what every answer says while the mode is not normal."""
    state = state_of(mark, now)
    mode = in_force(state, now)
    if mode is Mode.NORMAL:
        return None
    return (
        f"{mode} since {_since(state, (), now):%H:%M} UTC: {cause_of(state, now)}. {meaning(state, setup, now)}. {MORE}"
    )


def mode_view(mark: ModeMark, setup: Setup, changes: list[ModeChange], now: datetime, **more: object) -> ModeView:
    """Show the mode with its evidence and its history."""
    state = state_of(mark, now)
    mode, forced = in_force(state, now), state.forced
    asked = forced is not None and now < forced.until
    shown = {
        "mode": mode,
        "since": _since(state, changes, now),
        "cause": cause_of(state, now),
        "text": meaning(state, setup, now),
        "next_probe_at": next_probe_at(state, setup),
        "evidence": dict(_evidence(state, setup)) or None,
        "override": OverrideView(mode=forced.mode, until=forced.until) if forced is not None and asked else None,
        "history": [f"{c.at:%Y-%m-%d %H:%M:%S} UTC {c.was} → {c.mode}: {c.cause}" for c in changes] or None,
    }
    return ModeView.model_validate({**shown, **more})


def outages_view(mark: ModeMark, changes: Sequence[ModeChange], now: datetime, *, limit: int) -> OutagesView:
    """Show the mode, and its newest `limit` changes; one more among `changes` says that there are older ones."""
    state = state_of(mark, now)
    return OutagesView(
        now=now,
        mode=in_force(state, now),
        since=_since(state, changes, now),
        changes=[ModeChangeView(at=c.at, was=c.was, mode=c.mode, cause=c.cause) for c in changes[:limit]],
        older=len(changes) > limit,
    )


def _since(state: ModeState, changes: Sequence[ModeChange], now: datetime) -> datetime:
    """Return since when the mode in force holds; the end of an override is a change too."""
    forced, mode = state.forced, in_force(state, now)
    if forced is not None and now < forced.until:
        return forced.at
    return min(now, max([state.since, *(change.at for change in changes if change.mode is mode)]))


def _evidence(state: ModeState, setup: Setup) -> Iterator[tuple[str, str]]:
    """Yield what is known of each part, by name."""
    if setup.litellm:
        yield LITELLM, _told(state.litellm)
    for name in setup.providers:
        yield name, _told(state.providers.get(name, Health())) + _rest(state, name, setup)
    for name, health in state.executors.items():
        yield name, _told(health)


def _rest(state: ModeState, name: str, setup: Setup) -> str:
    """Say that no call goes to a provider for a while."""
    until = rests_until(state, name, setup)
    if until is None or not rests(state, name, setup):
        return ""
    return f", left alone until {until:%H:%M:%S} UTC, then tried by one call"


def _told(health: Health) -> str:
    counted = max(health.failures, health.upstream)
    parts: Mapping[str, bool] = {
        health.said: True,
        f"{counted} failures in a row, the last: {health.trouble}": counted > 0,
        f"our key is refused: {health.refusal}": health.refused_at is not None and health.refusal != health.said,
        f"seen {health.at:%H:%M:%S} UTC" if health.at else "": health.at is not None,
    }
    return ", ".join(part for part, holds in parts.items() if holds)
