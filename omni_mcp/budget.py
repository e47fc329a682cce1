"""The words for money: what was spent so far, and who says whether one more call may be made."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from omni_mcp.errors import OmniError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What some calls cost: what is known of it in USD, and of how many calls it is not known (yet)."""

    usd: float = 0.0
    unknown_calls: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What the ledger knows of the money at one moment, as far as it bears on one call."""

    task: Sum = field(default_factory=Sum)
    budget_usd: float | None = None
    """The task's own budget."""
    day: Sum = field(default_factory=Sum)
    """Of all calls that began since midnight."""
    executor: Sum = field(default_factory=Sum)
    """Of these, the executor's."""
    model: Sum = field(default_factory=Sum)
    """Of these, the model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What some calls came to."""

    name: str | None
    """The day, executor, model or task; None: it is not known any more."""
    title: str | None = None
    """Of a task how its description begins."""
    calls: int = 0
    free_calls: int = 0
    """Which cost nothing, as their price says."""
    paid_calls: int = 0
    unknown_calls: int = 0
    """Whose cost is not known (yet); it is not in `usd`."""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(Cost):
    """What the calls of one executor with one model came to on one day."""

    executor: str | None
    model: str


class BudgetReached(OmniError):
    """A budget leaves no room for another call."""

    code = "budget_reached"

    def __init__(self, message: str, *, next_step: str, until: datetime | None) -> None:
        super().__init__(message, next_step=next_step)
        self.until = until
        """When it begins anew; None: when somebody raises it."""


class Allowance(Protocol):
    """Who says whether an attempt may spend more."""

    @property
    def since(self) -> datetime | None:
        """When the day began, if anything is limited by the day."""
        ...

    def refusal(self, spending: Spending, *, model: str) -> BudgetReached | None:
        """Say why a call of this model may not be made; None: it may."""
        ...

    def reached(self, why: BudgetReached) -> None:
        """Hear that a call was refused."""
        ...
