"""What is counted of the whole ledger, for those who draw it over time: numbers and names, no text of a task.

What is told of tasks and attempts is of those that are kept (`ledger purge` lowers it); what is told of closed calls
only rises, since the books outlive their tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from omni_mcp.task import TaskState, WaitingFor

UPTO = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
"""Seconds: how long calls took is told as how many took no longer than each of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Open tasks of one state (and wait) that one executor has or is to have; '' while none was chosen."""

    state: TaskState
    waiting_for: WaitingFor | None
    executor: str
    count: int
    oldest: datetime | None
    """Since when the oldest of them is in that state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Closed model calls (or runs, where no relay sees their calls) of one executor with one model."""

    executor: str
    model: str
    calls: int
    unknown: int
    """Whose cost is not known."""
    usd: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """How long the calls that are over took."""

    count: int
    seconds: float
    upto: Mapping[float, int]
    """How many took at most so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """All of it."""

    open: Sequence[Waiting]
    over: Mapping[TaskState, int]
    attempts: Mapping[tuple[str, str], int]
    """By executor and end; `running` has none yet."""
    calls: Sequence[Calls]
    calls_open: int
    """That run, or were cut off."""
    took: Took
