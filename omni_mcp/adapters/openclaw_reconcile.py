"""What to do next about a run of ours at a gateway, from one look at it. Pure.

After a crash of ours the gateway knows what became of the run; after a crash of its own it may go on with it by itself,
under another run id in the same session. So *interrupted* is not *cancelled*, and no replacement begins before the
earlier run is over. Measured with OpenClaw 2026.9.6; see docs/openclaw.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

ACTIVE = frozenset({"queued", "running"})
EXITED = "Task execution process exited before restart"
"""How the gateway writes of a run that its own death cut off, in the error of a row that it calls cancelled."""

RETURN_LIMIT = 90.0
"""Seconds after the gateway's start in which it goes on with what it was interrupted in; measured: 25 to 50."""
KNOWN_LIMIT = 20.0
"""Seconds that we have seen it up, at least, before we believe that it does not."""
RESUME_LIMIT = 600.0
"""Seconds after its start in which it does what it says that it is about to do."""


class Row(BaseModel):
    """A row of the gateway's task ledger."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    task_id: str = Field(validation_alias=AliasChoices("taskId", "id"))
    run_id: str = Field(default="", validation_alias="runId")
    status: str
    error: str | None = None
    created_at: float = Field(default=0, validation_alias="createdAt")
    """Milliseconds since 1970."""

    @property
    def interrupted(self) -> bool:
        """Whether the gateway died during it."""
        return self.status == "cancelled" and (self.error or "").startswith(EXITED)


class Input(BaseModel):
    """A message that waits for its turn."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str = ""


class Inputs(BaseModel):
    """What waits for its turn."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    items: tuple[Input, ...] = ()


class Session(BaseModel):
    """What the gateway knows of a session."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str | None = Field(default=None, validation_alias="sessionId")
    """None: there is none."""
    status: str | None = None
    aborted: bool | None = Field(default=None, validation_alias="abortedLastRun")
    """True: cut off, and to be gone on with."""
    active: bool | None = Field(default=None, validation_alias="hasActiveRun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen of one session in one look."""

    rows: Sequence[Row]
    """Oldest first."""
    session: Session
    inputs: Sequence[Input]
    messages: int
    up_for: float
    """Seconds since the gateway started."""
    known_for: float
    """Seconds since we first saw this start of it."""

    @classmethod
    def read(cls, tasks: Any, history: Any, *, up_for: float, known_for: float) -> Self:
        """Take the answers to `tasks.list` and `chat.history`."""
        rows = [Row.model_validate(row) for row in tasks.get("tasks", ())]
        return cls(
            rows=sorted(rows, key=lambda row: row.created_at),
            session=Session.model_validate(history.get("sessionInfo") or {}),
            inputs=Inputs.model_validate(history.get("pendingInputs") or {}).items,
            messages=int(history.get("totalMessages") or len(history.get("messages") or ())),
            up_for=up_for,
            known_for=known_for,
        )

    @property
    def dropped(self) -> bool:
        """Whether the gateway died before it began with it: then it does not go on by itself."""
        return any(waiting.state == "interrupted" for waiting in self.inputs)

    @property
    def may_return(self) -> bool:
        """Whether the gateway may still go on with what it was interrupted in."""
        if self.dropped:
            return False
        promised = self.session.status == "running" or bool(self.session.aborted) or bool(self.session.active)
        limit = RESUME_LIMIT if promised else RETURN_LIMIT
        return self.up_for < limit or self.known_for < KNOWN_LIMIT


@dataclass(frozen=True, slots=True)
class Begin:
    """It was never accepted: send it."""


@dataclass(frozen=True, slots=True)
class Follow:
    """It runs, under this run id."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """It is over."""

    row: Row


@dataclass(frozen=True, slots=True)
class Hold:
    """The gateway died during it, and may go on with it: look again."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The gateway died during it, and does not go on with it: it may be begun anew, once nothing of it runs."""


Step = Begin | Follow | Ended | Hold | Lost


def decide(look: Look, *, run_id: str, accepted: bool) -> Step:
    """Say what to do next; `accepted`: the gateway took it since its last start."""
    if not look.rows:
        return _without_rows(look, run_id=run_id, accepted=accepted)
    newest = look.rows[-1]
    if newest.status in ACTIVE:
        return Follow(newest.run_id or run_id)
    if not newest.interrupted:
        return Ended(newest)
    return Hold() if look.may_return else Lost()


def _without_rows(look: Look, *, run_id: str, accepted: bool) -> Step:
    """The same where the ledger has no row of it: too early, never there, or set back to an earlier state."""
    if look.dropped:
        return Lost()
    if accepted or look.inputs:
        return Follow(run_id)
    if look.session.id is None or not look.messages:
        return Begin()
    return Hold() if look.may_return else Lost()
