"""What a mode allows: who serves a model call, which tasks may begin, and why the others are held. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from omni_mcp.decide.health import Health, Look
from omni_mcp.decide.modes.allowed import half_open, holds, ramp, rests, rests_until, usable
from omni_mcp.decide.modes.machine import next_probe_at
from omni_mcp.decide.modes.state import ModeState, Seen, Setup, in_force
from omni_mcp.settings import GITHUB_KEY
from omni_mcp.task import Mode


class Serves(StrEnum):
    """Who serves model calls."""

    LITELLM = "litellm"
    DIRECT = "direct"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What may be done now."""

    mode: Mode
    serves: Serves
    trial: bool = False
    """Whether one call at a time may be tried on LiteLLM all the same."""
    providers: tuple[str, ...] = ()
    """Who serves directly, in their order; empty while LiteLLM does."""
    half_open: tuple[str, ...] = ()
    """Who rests after failures, and may be tried by one call at a time."""
    held: str | None = None
    """Why tasks wait that need the relay (in brainstem: all that need a cloud)."""
    next_at: datetime | None = None
    """When it is looked at again."""
    limit: int | None = None
    """How many tasks that need a cloud may run at a time, of those begun after `since`."""
    since: datetime

    def admits(self, *, needs_cloud: bool, relayed: bool) -> int | None:
        """Return how many such tasks may run at a time, 0: it waits; None: no limit."""
        if not needs_cloud:
            return None
        concerned = relayed or self.mode is Mode.BRAINSTEM
        if self.held is not None and concerned:
            return 1 if self.trial else 0
        return self.limit


class Modes(Protocol):
    """Who knows the mode (the monitor)."""

    def permit(self) -> Permit:
        """Say what the mode in force allows now."""
        ...

    def saw(self, seen: Seen) -> None:
        """Take in how a call or an attempt ended."""
        ...


class Monitoring(Modes, Protocol):
    """Who knows the mode and can look for itself."""

    async def verified(self) -> Look:
        """Ask LiteLLM until it answers, or the time that it has after a repair is up."""
        ...


def permit(state: ModeState, setup: Setup, now: datetime) -> Permit:
    """Say what the mode in force allows."""
    mode = in_force(state, now)
    trial = half_open(state, now, setup)
    held = why_held(state, setup, now) if holds(state, setup, now) else None
    serves = _server(mode, held=held is not None)
    asked = usable(state, setup) if serves is Serves.DIRECT else ()
    return Permit(
        mode=mode,
        serves=serves,
        providers=tuple(name for name in asked if not rests(state, name, setup)),
        half_open=tuple(name for name in asked if _may_be_tried(state, name, setup, now)),
        trial=trial,
        held=held,
        next_at=next_probe_at(state, setup),
        limit=ramp(state, setup, now),
        since=_counted_from(state, trial=trial),
    )


def _server(mode: Mode, *, held: bool) -> Serves:
    if held:
        return Serves.NOBODY
    return Serves.LITELLM if mode is Mode.NORMAL else Serves.DIRECT


def _may_be_tried(state: ModeState, name: str, setup: Setup, now: datetime) -> bool:
    """Whether a provider that rests has rested for long enough; a time too far ahead is that of a clock set back."""
    until = rests_until(state, name, setup)
    rested = until is None or not now < until <= now + setup.seconds("check_interval")
    return rests(state, name, setup) and rested


def _counted_from(state: ModeState, *, trial: bool) -> datetime:
    return (state.trial_at if trial else state.ramp_at) or state.since


def why_held(state: ModeState, setup: Setup, now: datetime) -> str:
    """Say why tasks wait for a cloud, with what a person can do."""
    cause = cause_of(state, now)
    if in_force(state, now) is Mode.BRAINSTEM:
        return f"no cloud answers ({cause}); it goes on by itself"
    refused = [f"{name}: {state.providers.get(name, Health()).refusal}" for name in setup.providers]
    if refused:
        return f"LiteLLM is broken ({cause}) and every backup key is refused ({'; '.join(refused)}). Replace the key"
    return (
        f"LiteLLM is broken ({cause}) and there is no backup key. Set {GITHUB_KEY} in .env of the home, or a key "
        "below direct: in servers.yaml, or mend LiteLLM; it goes on by itself"
    )


def cause_of(state: ModeState, now: datetime) -> str:
    """Return why the mode in force is what it is."""
    if state.forced is not None and now < state.forced.until:
        return f"set by hand until {state.forced.until:%Y-%m-%d %H:%M} UTC"
    return state.cause


def meaning(state: ModeState, setup: Setup, now: datetime) -> str:
    """Say what the mode in force means for tasks, and what to do."""
    match in_force(state, now):
        case Mode.NORMAL:
            return "Tasks run as usual"
        case Mode.DEGRADED if holds(state, setup, now):
            return f"Tasks wait: {why_held(state, setup, now)}"
        case Mode.DEGRADED:
            return "Tasks go on: their model calls go to the providers directly, with the backup keys"
        case Mode.BRAINSTEM:
            return "Tasks that need a cloud wait and go on by themselves; nothing fails, nothing is to be done"
