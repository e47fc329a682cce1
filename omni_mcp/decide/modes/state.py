"""What the mode machine is told, knows and asks for; and how that is kept in the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from omni_mcp.decide.health import Health, Look, Verdict
from omni_mcp.servers_file.fault_handler import FaultHandler
from omni_mcp.task import Mode

LITELLM = "litellm"
"""What LiteLLM is called among the things that can break."""
JITTER = 0.1
"""An interval is this share longer or shorter, so that we never beat in step with a crash loop."""
A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is configured, as far as modes go."""

    numbers: FaultHandler = field(default_factory=FaultHandler)
    litellm: bool = True
    """Whether LiteLLM serves model calls at all."""
    probed: bool = True
    """Whether it is a proxy with a door to knock at; a Router in process has none."""
    providers: tuple[str, ...] = ()
    """Those with a backup key."""

    def seconds(self, name: str) -> timedelta:
        """Return one of the numbers as a span."""
        return timedelta(seconds=getattr(self.numbers, name))

    def wait(self, jitter: float) -> timedelta:
        """Return the time to the next probe; `jitter` is between -1 and 1."""
        return self.seconds("check_interval") * (1 + JITTER * jitter)

    def dwell(self, relapses: int) -> timedelta:
        """Return the shortest stay: it doubles with each relapse, up to its cap."""
        return min(self.seconds("min_dwell") * 2 ** min(relapses, 30), self.seconds("max_dwell"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A mode that a person has set, for a time."""

    mode: Mode
    at: datetime
    until: datetime


def _no_health() -> dict[str, Health]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A repair of LiteLLM was asked for: observed, and then remembered."""

    incident: datetime
    """When that outage began."""
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeState:
    """All that the machine knows; it is kept in the ledger, so that the next engine goes on from here."""

    mode: Mode = Mode.NORMAL
    """What was measured; see `in_force`."""
    since: datetime
    cause: str = "nothing has failed"
    litellm: Health = field(default_factory=Health)
    providers: Mapping[str, Health] = field(default_factory=_no_health)
    executors: Mapping[str, Health] = field(default_factory=_no_health)
    """Those with a login of their own."""
    fault: Verdict | None = None
    """What is wrong with LiteLLM: BROKEN or UPSTREAM."""
    suspect: bool = False
    """A round is wanted that decides."""
    rounds: int = 0
    """In a row: without an answer when degraded, with one in brainstem."""
    probes: int = 0
    """Of LiteLLM, in all."""
    probe_at: datetime
    """When LiteLLM is probed next."""
    round_at: datetime | None = None
    """When all providers are probed next."""
    trial_at: datetime | None = None
    """From when on one real call at a time may find out what no probe can."""
    trials: int = 0
    """Of these that succeeded in a row."""
    relapses: int = 0
    recovered_at: datetime | None = None
    """When it last came to a better mode."""
    ramp_at: datetime | None = None
    """Since when held tasks are let go step by step."""
    ramp_ok: int = 0
    """Calls that succeeded since."""
    forced: Override | None = None
    incident: datetime | None = None
    """When LiteLLM broke; one that breaks again soon after it came back is still in the same outage."""
    repairs: tuple[Asked, ...] = ()
    """Of the last day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """LiteLLM was probed."""

    look: Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """All providers were looked at at once; `litellm` too when it is suspect or due, and has a door."""

    providers: Mapping[str, Look]
    litellm: Look | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A real call ended at LiteLLM (`LITELLM`) or at a provider."""

    target: str
    verdict: Verdict
    said: str
    trial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """An attempt ended on an executor whose model calls we do not see."""

    executor: str
    verdict: Verdict
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forced:
    """A person has set a mode, or (None) let go of it."""

    override: Override | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Needless:
    """A repair was called off before it began."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Seen = Probed | Round | Called | Ran | Forced | Asked | Needless | Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be probed now."""

    litellm: bool = False
    limit: timedelta = timedelta(0)
    """For the probe of LiteLLM."""
    deep: bool = False
    """Whether it is also asked for its models."""
    last: bool = False
    """Whether a change of mode hangs on this look at it."""
    providers: bool = False

    @property
    def anything(self) -> bool:
        """Whether there is anything to do."""
        return self.litellm or self.providers


def begin(now: datetime) -> ModeState:
    """Return the state of a home in which nothing has been seen yet: normal, with a probe at once."""
    return ModeState(since=now, probe_at=now)


def in_force(state: ModeState, now: datetime) -> Mode:
    """Return the mode that holds: the one that a person has set, else the measured one."""
    return state.forced.mode if state.forced is not None and now < state.forced.until else state.mode


def lately(state: ModeState, now: datetime) -> tuple[Asked, ...]:
    """Return the repairs of the last day."""
    return tuple(asked for asked in state.repairs if abs(now - asked.incident) < A_DAY)


def essence(state: ModeState) -> ModeState:
    """Return what is worth a write: all but the words and times of calls that change nothing."""
    return replace(
        state,
        litellm=_counted(state.litellm),
        providers={name: _counted(health) for name, health in state.providers.items()},
        executors={name: _counted(health) for name, health in state.executors.items()},
    )


def _counted(health: Health) -> Health:
    return replace(health, said="", trouble="", refusal="", at=None, worked_at=None)


_STATE = TypeAdapter(ModeState)


def dumped(state: ModeState) -> str:
    """Write a state as JSON."""
    return _STATE.dump_json(state).decode()


def loaded(text: str) -> ModeState | None:
    """Read a state; None when another release wrote it in another shape."""
    try:
        return _STATE.validate_json(text)
    except ValidationError:
        return None
