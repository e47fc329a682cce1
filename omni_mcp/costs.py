"""What everything cost: the one answer behind `omni-mcp costs`, `omni://costs` and whatever shows money."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime

from omni_mcp.budget import Cost, Sum
from omni_mcp.decide.budgets import day_before, day_named, local_day, spent_up
from omni_mcp.decide.times import point, span
from omni_mcp.errors import BadRequest
from omni_mcp.ledger.base import Ledger
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.views.costs import BudgetView, CellView, CostsView, CostView

DAYS = 30
"""How far it looks back, unless asked otherwise."""
LONGEST = 36_500
"""Days."""
TASKS = 20
"""Tasks that are shown: those that cost most."""
ROWS = 1000
"""Lines of the other groups."""


def begins(now: datetime, *, days: int | None, since: str | None) -> datetime:
    """Return from when on costs are told. Raises BadRequest."""
    if days is not None and since is not None:
        raise BadRequest("days and since say two things", next_step="ask with one of them")
    if since is not None:
        return _since(since, now)
    asked = DAYS if days is None else days
    if not 1 <= asked <= LONGEST:
        raise BadRequest(f"days {asked} is not in 1..{LONGEST}", next_step="omni-mcp costs --days 7")
    return day_before(now, asked - 1)


def _since(text: str, now: datetime) -> datetime:
    """Return what is meant by a day, a time, or a span that ends now. Raises BadRequest."""
    try:
        return day_named(text.strip())
    except ValueError:
        pass
    try:
        return now - span(text)
    except (ValueError, OverflowError):
        pass
    try:
        return point(text, now)
    except (ValueError, OverflowError) as error:
        said = f"since {text[:64]!r} is neither a day such as 2026-11-30, nor a span such as 7d, nor a time with offset"
        raise BadRequest(said, next_step="omni-mcp costs --since 2026-11-30") from error


async def costs_view(
    ledger: Ledger, servers: ServersFile, *, principal: str | None, since: datetime, now: datetime, cells: bool = False
) -> CostsView:
    """Return what the calls that began since then cost, and what of the daily budgets is gone now.

    Of one principal alone: its calls, and no budgets, which tell what the others spend. With `cells` also for each day,
    executor and model together.
    """
    limits = {"total": 1, "day": ROWS, "executor": ROWS, "model": ROWS, "route": ROWS, "task": TASKS}
    by = {
        group: await ledger.costs(group, since=since, principal=principal, limit=limit)
        for group, limit in limits.items()
    }
    total = next(iter(by.pop("total")), Cost(name=None))
    day = local_day(now)
    return CostsView(
        since=since,
        total=_shown(total),
        by={group: [_shown(cost) for cost in costs] for group, costs in by.items()},
        cells=await _cells(ledger, since=since, principal=principal) if cells else None,
        budgets=await _spent_since(day.begins, ledger, servers) if principal is None else None,
        resets_at=day.ends,
    )


def _shown(cost: Cost) -> CostView:
    return CostView.model_validate({**asdict(cost), "usd": round(cost.usd, 9)})


async def _cells(ledger: Ledger, *, since: datetime, principal: str | None) -> list[CellView]:
    found = await ledger.cells(since=since, principal=principal, limit=ROWS)
    return [CellView.model_validate({**asdict(cell), "usd": round(cell.usd, 9)}) for cell in found]


async def _spent_since(since: datetime, ledger: Ledger, servers: ServersFile) -> list[BudgetView] | None:
    """Return the daily budgets, if there are any, with what all have spent of them since the day began."""
    executors, models = [
        await ledger.costs(group, since=since, principal=None, limit=ROWS) for group in ("executor", "asked")
    ]
    return list(_budgets(servers, executors, models)) or None


def _budgets(servers: ServersFile, executors: Sequence[Cost], models: Sequence[Cost]) -> Iterator[BudgetView]:
    """Yield the daily budgets with what was spent today."""
    unknown = servers.limits.unknown_usd
    yield from _budget("limits.daily_usd", servers.limits.daily_usd, executors, unknown)
    for name, row in servers.executors.items():
        mine = [cost for cost in executors if cost.name == name]
        yield from _budget(f"executors.{name}.daily_usd", row.daily_usd, mine, unknown)
    for name, usd in servers.models.daily_usd.items():
        yield from _budget(f"models.daily_usd.{name}", usd, [cost for cost in models if cost.name == name], unknown)


def _budget(key: str, usd: float | None, costs: Sequence[Cost], unknown_usd: float) -> Iterator[BudgetView]:
    if usd is None:
        return
    spent = Sum(usd=sum(cost.usd for cost in costs), unknown_calls=sum(cost.unknown_calls for cost in costs))
    yield BudgetView(
        budget=key,
        usd=usd,
        spent_usd=round(spent.usd, 9),
        unknown_calls=spent.unknown_calls,
        reached=spent_up(spent, usd, unknown_usd=unknown_usd),
    )
