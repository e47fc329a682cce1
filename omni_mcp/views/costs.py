"""What everything cost."""

from datetime import datetime

from omni_mcp.views.view import View


class CostView(View):
    """What some model calls came to."""

    name: str | None = None
    """The day, executor, model or task; absent: it is not known any more."""
    title: str | None = None
    calls: int
    free_calls: int
    """Priced at nothing."""
    paid_calls: int
    unknown_calls: int
    """Whose cost is not known (yet): it is not in `usd`."""
    input_tokens: int
    output_tokens: int
    usd: float


class BudgetView(View):
    """A daily budget, and what of it is gone."""

    budget: str
    """Its key in servers.yaml."""
    usd: float
    spent_usd: float
    unknown_calls: int
    reached: bool


class CellView(CostView):
    """What the calls of one executor with one model came to on one day, its `name`."""

    executor: str | None = None
    model: str


class CostsView(View):
    """What everything cost."""

    since: datetime
    total: CostView
    by: dict[str, list[CostView]]
    """`day`, `executor`, `model`, `route` (which layer served), `task`: the newest day first, else what cost most."""
    cells: list[CellView] | None = None
    """For each day, executor and model together, where that was asked for."""
    budgets: list[BudgetView] | None = None
    """The daily ones."""
    resets_at: datetime
    """When the day ends, and the daily budgets begin anew."""
