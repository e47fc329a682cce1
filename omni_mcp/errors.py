"""Everything that this package raises.

OmniError                 code, retryable, retry_after, next_step
├── BadRequest            the caller can mend it
│   ├── TaskNotFound
│   ├── TaskAmbiguous
│   ├── IdempotencyConflict
│   ├── UnknownExecutor
│   ├── TaskPurged
│   ├── TooDeep
│   ├── QuestionGone
│   ├── MemoryUnknown
│   ├── ScheduleUnknown
│   ├── ScheduleRunning
│   ├── ForPeople
│   └── Forbidden         the token does not have the scope
├── RateLimited           retryable: this principal asks too often
├── Overloaded            retryable: all together ask too much at once
├── SettingsError         servers.yaml or the environment
├── TransitionRefused     the guarded write found another state, attempt or owner
├── LedgerError
│   ├── LedgerBusy        retryable: somebody holds the write gate for too long
│   ├── LedgerOld         retryable: an engine of an older release is still at work on it
│   ├── LedgerUnusable    read-only, full, corrupt, deleted, on a network file system
│   └── LedgerTooNew      written by a newer release
├── EngineError
│   └── EngineRunning     one engine a home
├── MemoryFailed          a memory server did not answer, or refused
├── NotTold               a channel did not take a notice; says whether another try may help
└── ExecutorError         carries its failure class
    ├── ExecutorUnusable  it cannot be started or reached
    └── ExecutorLost      the session went away: the outcome of the call is unknown
"""

from collections.abc import Collection

from omni_mcp.task import ID_PREFIX, FailureClass


class OmniError(Exception):
    """Base of all errors; its text says what happened and why, `next_step` what to do."""

    code = "error"
    retryable = False
    retry_after: float | None = None
    """Seconds after which another try may help, where that is known."""

    def __init__(self, message: str, *, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step


class BadRequest(OmniError):
    """The caller asked for something that cannot be; it can be mended there."""

    code = "bad_request"


class TaskNotFound(BadRequest):
    """No task of this principal has that id."""

    code = "task_not_found"

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"no task has the id {task_id[:64]!r}",
            next_step=(
                "call again with more characters of the id"
                if len(task_id) < ID_PREFIX
                else "call list_tasks to see the ids"
            ),
        )


class TaskAmbiguous(BadRequest):
    """The beginning of an id fits several tasks."""

    code = "task_ambiguous"

    def __init__(self, prefix: str, ids: list[str]) -> None:
        super().__init__(
            f"{prefix[:64]!r} is the beginning of several task ids: {', '.join(ids[:5])}{', …' if ids[5:] else ''}",
            next_step="call again with more characters of the id",
        )


class IdempotencyConflict(BadRequest):
    """The same key came with other arguments."""

    code = "idempotency_conflict"

    def __init__(self, key: str, task_id: str) -> None:
        super().__init__(
            f"idempotency_key {key[:64]!r} already belongs to task {task_id} with other arguments",
            next_step=f"call task_status with task_id {task_id!r}, or submit_task with a new idempotency_key",
        )
        self.task_id = task_id


class TaskPurged(BadRequest):
    """The key names a task that is over and was removed: its work was done, so it is not done again."""

    code = "task_purged"

    def __init__(self, key: str, task_id: str, state: str) -> None:
        super().__init__(
            f"idempotency_key {key[:64]!r} belongs to task {task_id}, which is {state} and was purged since",
            next_step="call submit_task with a new idempotency_key to have it done again",
        )
        self.task_id = task_id


class TooDeep(BadRequest):
    """A task of a task of a task …: the loop guard."""

    code = "too_deep"

    def __init__(self, task: str | None, depth: int, limit: int, *, gateway: bool = False) -> None:
        """Name the innermost task; None is one of which the caller must not know."""
        said = f"this comes from inside task {task}, {depth} levels deep, and the limit is {limit}"
        if task is None:
            said = f"this comes from inside a task of somebody else, {depth} levels deep, and the limit is {limit}"
        elif gateway:
            said = (
                f"this comes from OpenClaw while it works on task {task}, {depth} levels deep, and the limit is {limit}"
            )
        super().__init__(
            said,
            next_step="do it yourself instead of handing it on; limits.max_depth in servers.yaml sets the limit",
        )


class QuestionGone(BadRequest):
    """The question was answered by somebody else, was taken back, or never asked."""

    code = "question_gone"

    def __init__(self, task_id: str, question_id: str) -> None:
        super().__init__(
            f"task {task_id} has no open question {question_id[:64]!r}: it was answered or taken back",
            next_step=f"call task_status with task_id {task_id!r}; it shows what is asked now",
        )


class ForPeople(BadRequest):
    """A permission question, which no model may answer."""

    code = "for_people"

    def __init__(self, task_id: str, question_id: str) -> None:
        super().__init__(
            f"question {question_id} of task {task_id} asks for a permission, which only a person gives",
            next_step=(
                f"tell the user to run in a terminal: omni-mcp answer {task_id} (or to set approvals: client in the "
                "executor's row of servers.yaml); then task_status with wait_seconds=50"
            ),
        )


class Forbidden(BadRequest):
    """The token of the caller does not have the scope that this needs."""

    code = "forbidden"

    def __init__(self, what: str, needs: str, has: Collection[str]) -> None:
        super().__init__(
            f"{what} needs the scope {needs}; your token has {', '.join(sorted(has)) or 'none'}",
            next_step="call what tools/list shows, or ask whoever runs omni-mcp serve for a token with that scope",
        )


class UnknownExecutor(BadRequest):
    """The pinned executor is not in servers.yaml."""

    code = "unknown_executor"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(
            f"no executor is called {name[:64]!r}; there are: {', '.join(known) or 'none'}",
            next_step="call submit_task again with one of these names, or without executor to let routing choose",
        )


class RateLimited(OmniError):
    """A principal asks more often than `http.rate` allows."""

    code = "rate_limited"
    retryable = True

    def __init__(self, per_second: float, retry_after: float) -> None:
        super().__init__(
            f"more than {per_second:g} requests a second; nothing was done",
            next_step=f"make the same call again in {retry_after:g} s",
        )
        self.retry_after = retry_after


class Overloaded(OmniError):
    """More requests are under way than `http.connections` allows."""

    code = "overloaded"
    retryable = True

    def __init__(self, most: int, retry_after: float) -> None:
        super().__init__(
            f"{most} requests are under way, and the server takes no more at a time; nothing was done",
            next_step=f"make the same call again in {retry_after:g} s",
        )
        self.retry_after = retry_after


class MemoryUnknown(BadRequest):
    """No memory has that id."""

    code = "memory_unknown"

    def __init__(self, said: str) -> None:
        super().__init__(f"no memory is of task {said[:64]!r}", next_step="omni-mcp memory list")


class MemoryFailed(OmniError):
    """A memory server did not do what it was asked for; `refused`: it said no, so that another try is of little use."""

    code = "memory_failed"

    def __init__(self, message: str, *, refused: bool = False, next_step: str | None = None) -> None:
        super().__init__(message, next_step=next_step)
        self.refused = refused


class ScheduleUnknown(BadRequest):
    """No usable row of servers.yaml has that name."""

    code = "schedule_unknown"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(
            f"no schedule is called {name[:64]!r}; there are: {', '.join(known) or 'none'}",
            next_step="omni-mcp schedule list; omni-mcp mode says which rows cannot be used",
        )


class ScheduleRunning(BadRequest):
    """A schedule has one run at a time."""

    code = "schedule_running"

    def __init__(self, name: str, task_id: str) -> None:
        super().__init__(
            f"schedule {name!r} is still at its last run, task {task_id}",
            next_step=f"omni-mcp status {task_id}, or omni-mcp cancel {task_id}",
        )


class SettingsError(OmniError):
    """servers.yaml or the environment cannot be used; names file, line and key."""

    code = "settings"


class TransitionRefused(OmniError):
    """The row was not where the writer thought: another state, attempt or owner."""

    code = "transition_refused"

    def __init__(self, task_id: str, verb: str) -> None:
        super().__init__(f"task {task_id}: {verb} refused, it has moved on")


class LedgerError(OmniError):
    """The ledger could not do it; nothing was half-written."""

    code = "ledger"


class LedgerBusy(LedgerError):
    """Another process holds the write gate for too long."""

    code = "ledger_busy"
    retryable = True


class LedgerOld(LedgerBusy):
    """An engine of an older release works on it; only who holds the engine lock may bring the file to a new version."""

    code = "ledger_upgrade"

    def __init__(self, pid: int | None) -> None:
        super().__init__(
            f"the ledger has to be upgraded, but the engine of an older release (pid {pid or '?'}) is at work",
            next_step="call again in a moment; or omni-mcp engine stop",
        )


class LedgerUnusable(LedgerError):
    """Read-only, full, corrupt, gone, or on a file system that cannot hold it."""

    code = "ledger_unusable"


class LedgerTooNew(LedgerError):
    """The file was written by a newer release."""

    code = "ledger_too_new"


class EngineError(OmniError):
    """The engine could not do it."""

    code = "engine"


class EngineRunning(EngineError):
    """A second engine was asked for in one home."""

    code = "engine_running"

    def __init__(self, pid: int | None) -> None:
        super().__init__(
            f"an engine already runs in this home (pid {pid or 'unknown'})",
            next_step="omni-mcp engine status, or omni-mcp engine stop",
        )


class NotTold(OmniError):
    """A channel did not take a notice; `final`: nor would it at another try."""

    code = "not_told"

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final
        self.retryable = not final


class ExecutorError(OmniError):
    """An executor did not do what it was asked; `kind` says what follows."""

    code = "executor"
    kind = FailureClass.UNKNOWN


class ExecutorUnusable(ExecutorError):
    """It cannot be started or reached; nothing was sent."""

    code = "executor_unusable"
    kind = FailureClass.CONFIG


class ExecutorLost(ExecutorError):
    """The session went away in mid call: the outcome is unknown."""

    code = "executor_lost"
    kind = FailureClass.INTERRUPTED
