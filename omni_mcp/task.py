"""The words of the house: what a task is, the states it can be in, and what may follow what."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

LADDER = "repair_ladder"
"""The executor of ours that takes a `system_repair` first: a script, which needs no model."""

LOCAL = "local"
"""The principal of stdio and the command line; HTTP and webhooks bring their own."""

SOURCE = "hook:"
"""How the principals of webhooks begin; what they submitted is shown to whoever is `local`, whose settings let them."""

SCHEDULE = "schedule:"
"""How the principals of schedules begin; their tasks are shown as those of webhooks are."""

SYSTEM_REPAIR = "system_repair"
"""The type of the task that repairs LiteLLM: the engine's own, no caller may submit it."""

PARTIAL = "partial"
"""Of a checkpoint: what was produced before the task had to wait."""

ID_PREFIX = 6
"""The shortest unique beginning of a task id that is accepted back (models mangle long ids)."""
SHORT_ID = 8
"""Characters of a task id that people are shown."""


class Clock(Protocol):
    """Where the time comes from; tests tell it."""

    def now(self) -> datetime:
        """Return the time as an aware UTC datetime."""
        ...


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        """Return the time as an aware UTC datetime."""
        return datetime.now(UTC)


class TaskState(StrEnum):
    """Where a task is in its life (the plan's six states and `cancelled`)."""

    IDLE = "idle"
    """Accepted and free to claim."""
    DISPATCHING = "dispatching"
    """Claimed by an engine; nothing has left the house, so it is always safe to redo."""
    EXECUTING = "executing"
    """Bound to an executor: written before the executor is told."""
    WAITING = "waiting"
    """Held; `waiting_for` says for what and, where known, `due_at` until when."""
    COMPLETED = "completed"
    """Done; its result is in the ledger."""
    FAILED = "failed"
    """Over without a result; its error says why."""
    CANCELLED = "cancelled"
    """Stopped because somebody asked."""


class WaitingFor(StrEnum):
    """What a waiting task waits for."""

    CLOUD = "cloud"
    """No model provider answers; goes on by itself."""
    RETRY = "retry"
    """Back-off after a fault; goes on by itself at `due_at`."""
    INPUT = "input"
    """The executor asked a question."""
    CONSENT = "consent"
    """The outcome of an earlier attempt is unknown; a person decides whether to run it again."""
    BUDGET = "budget"
    """A cost limit was reached."""
    RESET = "reset"
    """A usage limit that ends at `due_at`."""
    EXECUTOR = "executor"
    """No executor that may take it is usable; the text says how to mend that."""
    DEPENDENCY = "dependency"
    """Another task has to complete first."""


ENDS_BY_ITSELF = frozenset({WaitingFor.CLOUD, WaitingFor.RETRY, WaitingFor.RESET, WaitingFor.DEPENDENCY})
"""Waits about which nobody has to do anything."""


TERMINAL = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})

TRANSITIONS: Mapping[TaskState, frozenset[TaskState]] = {
    TaskState.IDLE: frozenset({TaskState.DISPATCHING, TaskState.WAITING, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.DISPATCHING: frozenset(
        {TaskState.EXECUTING, TaskState.IDLE, TaskState.WAITING, TaskState.FAILED, TaskState.CANCELLED}
    ),
    TaskState.EXECUTING: frozenset(
        {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.WAITING, TaskState.IDLE}
    ),
    TaskState.WAITING: frozenset({TaskState.IDLE, TaskState.EXECUTING, TaskState.WAITING, *TERMINAL}),
    TaskState.COMPLETED: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.CANCELLED: frozenset(),
}
"""Legal moves; what is absent is a bug. `executing -> idle` happens only with proof that the old run is over.

`waiting -> executing | waiting | completed` is for what waits for input while its run lives: it is answered, or ends
without.
"""


class FailureClass(StrEnum):
    """Why an attempt did not complete; `decide/retry.py` says what follows from each."""

    PROVIDER = "provider"
    """The cloud or the gateway failed: hold, nobody's fault."""
    RATE_LIMIT = "rate_limit"
    """A limit with a known or guessed end: wait until then."""
    AUTH = "auth"
    """The executor's key or login is refused."""
    CONFIG = "config"
    """The executor cannot work as it is configured (binary missing, unknown model)."""
    TASK = "task"
    """The task itself cannot be done as asked."""
    INTERRUPTED = "interrupted"
    """The run was cut off (process killed, session lost): its outcome is unknown to us."""
    CANCELLED = "cancelled"
    """Stopped on request."""
    BUDGET = "budget"
    """A cost limit was reached: it waits, nobody's fault."""
    DEADLINE = "deadline"
    """It was not over when the caller's deadline came."""
    DEPENDENCY = "dependency_failed"
    """A task that it was to run after did not complete."""
    HANDED_ON = "handed_on"
    """It did what it knows; another executor goes on with what it found."""
    UNKNOWN = "unknown"
    """None of the above; fails closed."""


class Recovery(StrEnum):
    """What may be done with a run whose outcome is unknown."""

    ATTACH = "attach"
    """The run lives on elsewhere: ask for it by run id."""
    RESUME = "resume"
    """The run died with us, its session is on disk: go on in the same session."""
    RETRY = "retry"
    """Running it again is harmless."""
    ASK = "ask"
    """Only a person can say (default for an unknown MCP tool)."""


class Mode(StrEnum):
    """How well the model layer is."""

    NORMAL = "normal"
    DEGRADED = "degraded"
    BRAINSTEM = "brainstem"


def of_source(name: str) -> str:
    """Return the principal of a webhook."""
    return SOURCE + name


def of_schedule(name: str) -> str:
    """Return the principal of a schedule."""
    return SCHEDULE + name


def new_id() -> str:
    """Return a new random id: 120 bits, base32, lower case, 24 characters."""
    return base64.b32encode(secrets.token_bytes(15)).decode().lower()


def _no_options() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What somebody asked for, as it is written into the ledger and never changed."""

    description: str
    type: str | None = None
    executor: str | None = None
    """The executor that the caller pinned."""
    model: str | None = None
    cwd: str | None = None
    priority: int = 0
    """Higher runs first."""
    idempotency_key: str | None = None
    deadline: datetime | None = None
    """When it is failed unless it is over."""
    deadline_said: str | None = None
    """The deadline as the caller wrote it, which may be a span: a repeat with the same key says the same."""
    after: tuple[str, ...] = ()
    """Ids, or beginnings of ids, of the tasks that have to complete first."""
    ancestors: tuple[str, ...] = ()
    """The task whose executor submitted this one, and so on up; the oldest first."""
    retry_of: str | None = None
    """The task that this one tries again."""
    budget_usd: float | None = None
    """What all its attempts together may cost; `resume_pending` can raise it."""
    options: Mapping[str, Any] = field(default_factory=_no_options)
    trace: str | None = None
    """The span that it was submitted in, as W3C `traceparent`; a repeat with the same key may have another."""
    principal: str = LOCAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which executor and model serve a task, and why."""

    executor: str
    requested: str
    """The executor that the caller or the rule wanted first; another one served it if that could not."""
    model: str | None
    reason: str
    type: str | None = None
    """The task type, as given or as routing read it: the direct endpoint has a model for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One row of the ledger, as read: the spec, where it stands, and who has it."""

    id: str
    spec: TaskSpec
    state: TaskState
    since: datetime
    """When it came into this state."""
    created_at: datetime
    updated_at: datetime
    waiting_for: WaitingFor | None = None
    due_at: datetime | None = None
    text: str | None = None
    """One sentence for people: why it waits, failed, or was chosen so."""
    attempt: int = 0
    """The fence: +1 at every `begin`."""
    faults: int = 0
    """Faults of the task's or the executor's own; what counts against `max_attempts`."""
    owner: str | None = None
    lease_until: datetime | None = None
    requested: str | None = None
    """The executor that the caller or the rule wanted first."""
    served_by: str | None = None
    """The executor of the newest attempt."""
    model: str | None = None
    """The model of the newest attempt."""
    endpoint: str | None = None
    run_id: str | None = None
    """The run or session id that we chose for the newest attempt; kept over a resume."""
    reason: str | None = None
    """Why this executor was chosen."""
    progress: str | None = None
    """The newest sign of life of the executor, in words."""
    progress_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    consented: bool = False
    """A person allowed one more attempt although the outcome of the last one is unknown."""
    snapshot: Mapping[str, Any] | None = None
    """The checkpoint: what a later attempt needs to go on."""
    cost_usd: float | None = None
    """Known cost of all attempts so far; None when nothing is known."""
    cost_unknown_calls: int = 0
    """Calls whose cost is not known (yet); it is not in `cost_usd`."""

    @property
    def last_sign(self) -> datetime:
        """The last sign of life of the executor while it is executing; else when it came into its state."""
        return max(self.since, self.progress_at or self.since)

    @property
    def terminal(self) -> bool:
        """Whether it is over, for ever."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a task by one executor."""

    number: int
    executor: str | None
    """None: it was over before one was told."""
    model: str | None
    endpoint: str | None
    run_id: str | None
    began_at: datetime
    bound_at: datetime | None
    """When it was written that the executor is told."""
    ended_at: datetime | None
    end: str | None
    """The state that it ended in, or `released`."""
    route: str | None = None
    """Which layer of the model served its newest call."""
    cost_usd: float | None = None
    """What its calls came to, as far as known; None: it made none, or of none is it known."""
    cost_unknown_calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a task's history; `seq` counts from 1 for each task, without gaps."""

    seq: int
    at: datetime
    attempt: int
    kind: str
    """`state` (written by a trigger), `progress`, `note`, `memory`, `watchdog`, `late_result`."""
    text: str
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a completed task left for the tasks after it."""

    task_id: str
    """Whose it is, and its own name: a task leaves one."""
    principal: str
    project: str | None
    """The task's `cwd`; None: it had none."""
    executor: str
    at: datetime
    asked: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a run used, as the executor says it."""

    model: str | None = None
    provider: str | None = None
    route: str | None = None
    """Which layer of the model served: its model and where that is."""
    input_tokens: int | None = None
    """What a cache read or stored is part of it."""
    output_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_stored_tokens: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The good end of a run."""

    text: str
    structured: Any = None
    notes: Mapping[str, Any] | None = None
    """What else the executor reported (session id, denied permissions, turns)."""
    used: Used | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Any other end of a run."""

    kind: FailureClass
    message: str
    fix: str | None = None
    """The next command or step, in words."""
    retry_at: datetime | None = None
    """When a limit ends, if the other side said so."""
    partial: str | None = None
    """What was produced before it failed."""
    lives: bool = False
    """The run may go on elsewhere although nobody could tell us of its end (`Recovery.ATTACH` only)."""
    used: Used | None = None


Outcome = Completed | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One model call, or one run of an executor with a login of its own.

    Opened before it and closed after it; one lost to a kill stays unknown.
    """

    task_id: str
    attempt: int
    model: str
    """The model that served; until that is known, the one that was asked for."""
    endpoint: str | None = None
    """Who served: `litellm-proxy`, `litellm-router`, `direct`, or the executor's own login."""
    run_id: str | None = None
    """Of a run that lives on elsewhere: an attempt that attaches to it goes on with its row."""
    provider: str | None = None
    route: str | None = None
    """Which layer of the model served: its model and where that is."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    price_source: str | None = None
    """Who said what it costs: `config`, `litellm` (its list), `gateway` (its proxy), `provider`, `executor`."""
