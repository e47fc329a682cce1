"""What follows the end of an attempt. Pure: the table of failure classes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from omni_mcp.excerpt import excerpt
from omni_mcp.task import Completed, Failed, FailureClass, Outcome, Recovery, TaskSpec, TaskState, WaitingFor

SOONEST_LIMIT = timedelta(seconds=30)
"""No usage limit is believed to end sooner: that would make a hot loop."""
LIMIT_RETRY = timedelta(seconds=60)
"""How long it is held at a rate limit that does not say when it ends."""
ENDS = {
    FailureClass.TASK: TaskState.FAILED,
    FailureClass.DEADLINE: TaskState.FAILED,
    FailureClass.DEPENDENCY: TaskState.FAILED,
    FailureClass.CANCELLED: TaskState.CANCELLED,
}
"""What is over at once."""
LONGEST_LIMIT = timedelta(days=31)
"""No usage limit is believed to last longer."""
FIRST_BACKOFF = timedelta(seconds=2)
"""Doubles with each fault."""
LONGEST_BACKOFF = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The task is over."""

    state: TaskState
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """The task waits."""

    waiting_for: WaitingFor
    text: str
    due_at: datetime | None = None
    fault: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reroute:
    """The executor is marked with this trouble, and the task is free for another one."""

    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOn:
    """The task is free for another executor, which is told what this one found."""

    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The task is free to claim again."""

    text: str
    keep_questions: bool = False
    """True: one that waits for an answer goes on waiting for it, without its run."""


SAID = 2000
"""Characters of what an executor said that the text of a waiting task holds."""

Next = Finish | Park | Reroute | HandOn
MAX_ATTEMPTS = "max_attempts"
"""The option of a task that lowers the limit of servers.yaml."""


def attempts_of(spec: TaskSpec, limit: int) -> int:
    """Return how many faults end a task: the limit of servers.yaml, or fewer if the caller wanted that."""
    asked = spec.options.get(MAX_ATTEMPTS)
    return limit if asked is None else min(limit, int(asked))


def after(
    outcome: Outcome,
    *,
    faults: int,
    max_attempts: int,
    recovery: Recovery,
    now: datetime,
    cloud_retry: timedelta,
    pinned: bool = False,
) -> Next:
    """Say what follows an outcome; `faults` is the count before this one, `pinned` that the caller chose the model.

    `cloud_retry` is how long a task is held when a provider failed (`check_interval`): the mode may hold it longer.
    """
    if isinstance(outcome, Completed):
        return Finish(state=TaskState.COMPLETED, outcome=outcome)
    match outcome.kind:
        case FailureClass.TASK | FailureClass.DEADLINE | FailureClass.DEPENDENCY | FailureClass.CANCELLED:
            return Finish(state=ENDS[outcome.kind], outcome=outcome)
        case FailureClass.PROVIDER:
            return Park(waiting_for=WaitingFor.CLOUD, text=_said(outcome), due_at=now + cloud_retry)
        case FailureClass.RATE_LIMIT | FailureClass.BUDGET:
            return _limited(outcome, now)
        case FailureClass.AUTH | FailureClass.CONFIG | FailureClass.HANDED_ON:
            return _for_another(outcome, pinned=pinned)
        case FailureClass.INTERRUPTED | FailureClass.UNKNOWN:
            return _again(outcome, faults=faults + 1, max_attempts=max_attempts, recovery=recovery, now=now)


def _limited(outcome: Failed, now: datetime) -> Park:
    if outcome.kind is FailureClass.BUDGET:
        return Park(waiting_for=WaitingFor.BUDGET, text=_said(outcome), due_at=outcome.retry_at)
    due_at = _within(outcome.retry_at or now + LIMIT_RETRY, now)
    return Park(waiting_for=WaitingFor.RESET, text=_said(outcome), due_at=due_at)


def _for_another(outcome: Failed, *, pinned: bool) -> Next:
    """Free it for another executor; a model that the caller chose would be wrong there too."""
    if outcome.kind is FailureClass.HANDED_ON:
        return HandOn(found="\n".join(filter(None, (_said(outcome), outcome.partial))))
    if outcome.kind is FailureClass.CONFIG and pinned:
        return Finish(state=TaskState.FAILED, outcome=outcome)
    return Reroute(trouble=_said(outcome))


def _within(due_at: datetime, now: datetime) -> datetime:
    """Bound what the other side said: a past time must not make a hot loop, nor a far one wait for ever."""
    said = due_at if due_at.tzinfo is not None else due_at.replace(tzinfo=now.tzinfo)
    soonest, latest = now + SOONEST_LIMIT, now + LONGEST_LIMIT
    if said.year >= latest.year + 1:
        return latest
    return min(max(said, soonest), latest)


def _again(outcome: Failed, *, faults: int, max_attempts: int, recovery: Recovery, now: datetime) -> Next:
    """Run it again only where that is known to be harmless; otherwise a person decides."""
    harmless = recovery is Recovery.RETRY or (
        outcome.kind is FailureClass.INTERRUPTED and recovery in (Recovery.RESUME, Recovery.ATTACH)
    )
    if not harmless:
        text = f"{_said(outcome)}. Its outcome is unknown; resume_pending with this task_id runs it again"
        return Park(waiting_for=WaitingFor.CONSENT, text=text, fault=True)
    if faults >= max_attempts:
        told = Failed(kind=outcome.kind, message=f"gave up after {faults} faults, the last: {_said(outcome)}")
        return Finish(state=TaskState.FAILED, outcome=told)
    backoff = min(FIRST_BACKOFF * 2 ** min(faults - 1, 16), LONGEST_BACKOFF)
    return Park(waiting_for=WaitingFor.RETRY, text=_said(outcome), due_at=now + backoff, fault=True)


def _said(outcome: Failed) -> str:
    message = excerpt(outcome.message, SAID)
    return f"{message}. {outcome.fix}" if outcome.fix else message
