"""Whether the money allows another call, and what a person can do where it does not. Pure: the time is told."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from omni_mcp.budget import BudgetReached, Spending, Sum
from omni_mcp.errors import BadRequest
from omni_mcp.servers_file.values import MOST_USD
from omni_mcp.servers_file.whole import ServersFile

CENT_DUST = 1e-9
"""USD: sums of many small costs are not exact, and a budget is not open for a billionth of a dollar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of this machine's clock: 23 or 25 hours long where the clocks change."""

    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a day may cost, as servers.yaml has it for one executor; None: as much as it wants."""

    executor: str
    daily_usd: float | None = None
    executor_usd: float | None = None
    model_usd: Mapping[str, float] = field(default_factory=dict[str, float])
    unknown_usd: float = 0.0
    """What a call counts whose cost is not known (yet)."""

    @property
    def of_the_day(self) -> bool:
        """Whether anything is limited by the day."""
        return bool(self.model_usd) or self.daily_usd is not None or self.executor_usd is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """One limit and what counts against it."""

    key: str | None
    """Its key in servers.yaml; None: the task's own budget."""
    usd: float
    spent: Sum
    until: datetime | None
    """When it begins anew by itself."""


def limits_of(servers: ServersFile, executor: str) -> Limits:
    """Return what the settings allow an executor."""
    row = servers.executors.get(executor)
    return Limits(
        executor=executor,
        daily_usd=servers.limits.daily_usd,
        executor_usd=None if row is None else row.daily_usd,
        model_usd=servers.models.daily_usd,
        unknown_usd=servers.limits.unknown_usd,
    )


def local_day(now: datetime) -> Day:
    """Return the day of this machine's clock that a moment is in."""
    today = now.astimezone().date()
    return Day(begins=_midnight(today), ends=_midnight(today + timedelta(days=1)))


def refusal(limits: Limits, spending: Spending, *, model: str, now: datetime) -> BudgetReached | None:
    """Say which budget leaves no room for another call: it is open as long as less than all of it is spent.

    The one that lasts longest is told of first: who raises one does not want to hear of the next one then.
    """
    for bound in _bounds(limits, spending, model, local_day(now).ends):
        if spent_up(bound.spent, bound.usd, unknown_usd=limits.unknown_usd):
            return BudgetReached(_said(bound, limits), next_step=_fix(bound), until=bound.until)
    return None


def spent_up(spent: Sum, usd: float, *, unknown_usd: float) -> bool:
    """Whether nothing is left of a budget."""
    return spent.usd + spent.unknown_calls * unknown_usd >= usd - CENT_DUST


def _bounds(limits: Limits, spending: Spending, model: str, midnight: datetime) -> Iterator[_Bound]:
    if spending.budget_usd is not None:
        yield _Bound(key=None, usd=spending.budget_usd, spent=spending.task, until=None)
    daily = {
        "limits.daily_usd": (limits.daily_usd, spending.day),
        f"executors.{limits.executor}.daily_usd": (limits.executor_usd, spending.executor),
        f"models.daily_usd.{model}": (limits.model_usd.get(model), spending.model),
    }
    for key, (usd, spent) in daily.items():
        if usd is not None:
            yield _Bound(key=key, usd=usd, spent=spent, until=midnight)


def _said(bound: _Bound, limits: Limits) -> str:
    spent, whole = usd_text(bound.spent.usd), usd_text(bound.usd)
    if bound.key is None:
        said = f"the budget of this task is reached, {spent} of {whole} spent"
    else:
        said = f"{bound.key} is reached, {spent} of {whole} spent since midnight"
    if not (count := bound.spent.unknown_calls):
        return said
    return "; ".join([said, f"{count} calls of unknown cost count {usd_text(limits.unknown_usd)} each"])


def _fix(bound: _Bound) -> str:
    if bound.until is None:
        return "resume_pending with this task_id and add_budget_usd raises it"
    return f"it goes on by itself at {bound.until.astimezone():%Y-%m-%d %H:%M %z}, sooner if you raise {bound.key}"


def usd_text(usd: float) -> str:
    """Return an amount of USD, without zeros at its end."""
    return f"${usd:.6f}".rstrip("0").rstrip(".")


def check_amount(name: str, usd: float | None) -> None:
    """Refuse what is no amount of money. Raises BadRequest."""
    if usd is None or (math.isfinite(usd) and CENT_DUST < usd <= MOST_USD):
        return
    raise BadRequest(
        f"{name} {usd!r} is no amount in USD above 0 and up to {MOST_USD:,.0f}",
        next_step=f"call again with {name} such as 0.5, or without it",
    )


def day_before(now: datetime, days: int) -> datetime:
    """Return when the day began that is so many days before this one."""
    return _midnight(now.astimezone().date() - timedelta(days=days))


def day_named(text: str) -> datetime:
    """Return when a day began that is written as 2026-11-30. Raises ValueError."""
    return _midnight(date.fromisoformat(text))


def _midnight(day: date) -> datetime:
    """Return when a day begins on this machine's clock: at its first midnight, or later where that is left out."""
    times = sorted(datetime.combine(day, time(fold=fold)).astimezone(UTC) for fold in (0, 1))
    return next((at for at in times if at.astimezone().date() == day), times[-1])
