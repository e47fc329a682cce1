"""The books: a row for each model call or run, what was spent so far, and what it came to by day, executor and so on.

A row is opened in one transaction with the look at the budgets, so callers in several processes cannot all see the same
last cent: what goes beyond a budget is the cost of calls that were open when it was reached, and no more.
"""

from collections.abc import Mapping
from datetime import datetime

from omni_mcp.budget import Allowance, Cell, Cost, Spending, Sum
from omni_mcp.errors import LedgerError
from omni_mcp.ledger.rows import stamp
from omni_mcp.ledger.store import Connection, Row, Values

NEVER = 1 << 62
"""A moment in which no day begins: nothing was spent since."""

SPENDING = """
    select t.budget_usd, d.*,
        (select coalesce(sum(u.cost_usd), 0.0) from usage u where u.task = t.n) as task_usd,
        (select count(*) - count(u.cost_usd) from usage u where u.task = t.n) as task_unknown
    from (
        select coalesce(sum(cost_usd), 0.0) as day_usd, count(*) - count(cost_usd) as day_unknown,
            coalesce(sum(cost_usd) filter (where executor = :executor), 0.0) as executor_usd,
            count(*) filter (where executor = :executor and cost_usd is null) as executor_unknown,
            coalesce(sum(cost_usd) filter (where asked = :model), 0.0) as model_usd,
            count(*) filter (where asked = :model and cost_usd is null) as model_unknown
        from usage where opened_at >= :since
    ) d, tasks t where t.id = :id
"""
"""Without an end of the day: a clock that was set back must not give money away."""

RUN = """
    select u.id from usage u join tasks t on t.n = u.task
    where t.id = :id and u.run_id = :run_id and u.closed_at is null
"""

EXECUTOR = """
    select a.executor from attempts a join tasks t on t.n = a.task where t.id = :id and a.number = :attempt
"""

OPEN = """
    insert into usage (task, attempt, principal, executor, endpoint, run_id, asked, model, provider, opened_at)
    select n, :attempt, principal, :executor, :endpoint, :run_id, :model, :model, :provider, :now
    from tasks where id = :id
    returning id
"""

CLOSE = """
    update usage set model = :model, provider = :provider, route = :route, endpoint = coalesce(:endpoint, endpoint),
        closed_at = :now, input_tokens = :input_tokens, output_tokens = :output_tokens, cost_usd = :cost_usd,
        price_source = :price_source
    where id = :row and closed_at is null
"""

GROUPS: Mapping[str, str] = {
    "total": "null",
    "day": "date(u.opened_at / 1000000, 'unixepoch', 'localtime')",
    "executor": "u.executor",
    "model": "u.model",
    "route": "u.route",
    "asked": "u.asked",
    "task": "t.id",
}
"""What costs are told by, and what of a row says it. A day is that of the machine's clock."""

_SUMS = """
    count(*) as calls, count(*) - count(u.cost_usd) as unknown_calls,
    count(*) filter (where u.cost_usd = 0) as free_calls, count(*) filter (where u.cost_usd > 0) as paid_calls,
    coalesce(sum(u.input_tokens), 0) as input_tokens, coalesce(sum(u.output_tokens), 0) as output_tokens,
    coalesce(sum(u.cost_usd), 0.0) as usd
"""
_SINCE = "u.opened_at >= :since and (:principal is null or u.principal = :principal)"
COSTS = f"""
    select {{group}} as name, {{title}} as title, {_SUMS} from usage u {{tasks}}
    where {_SINCE} group by 1 order by {{order}} limit :limit
"""
CELLS = f"""
    select {GROUPS["day"]} as name, null as title, u.executor, u.model, {_SUMS} from usage u
    where {_SINCE} group by 1, u.executor, u.model order by 1 desc, usd desc, calls desc limit :limit
"""

ORDERS: Mapping[str, str] = {"day": "1 desc"}
"""The newest day first; else what cost most."""


def open_row(db: Connection, values: Values, allowance: Allowance | None) -> int:
    """Write that a call begins, if it may; returns its row. Raises BudgetReached, LedgerError for no such task.

    A run that lives on elsewhere has begun already: its row is found again.
    """
    if (known := db.execute(RUN, values).fetchone()) is not None:
        return int(known["id"])
    found = db.execute(EXECUTOR, values).fetchone()
    values = {**values, "executor": None if found is None else found["executor"]}
    if allowance is not None:
        spent = spending_of(db.execute(SPENDING, {**values, "since": since_of(allowance.since)}).fetchone())
        if (refusal := allowance.refusal(spent, model=values["model"])) is not None:
            raise refusal
    row = db.execute(OPEN, values).fetchone()
    if row is None:
        raise LedgerError(f"there is no task {values['id']!r} to write a cost down for")
    return int(row["id"])


def since_of(day: datetime | None) -> int:
    """Return the stamp from which on money counts as spent on this day; None: nothing does."""
    return NEVER if day is None else stamp(day)


def spending_of(row: Row | None) -> Spending:
    """Return what was spent; nothing, for a task that is not there."""
    if row is None:
        return Spending()
    sums = {
        name: Sum(usd=row[f"{name}_usd"], unknown_calls=row[f"{name}_unknown"])
        for name in ("task", "day", "executor", "model")
    }
    return Spending(budget_usd=row["budget_usd"], **sums)


def costs_by(group: str) -> str:
    """Return the statement that tells costs by a group; only what tells of tasks looks them up."""
    told = group == "task"
    return COSTS.format(
        group=GROUPS[group],
        title="max(t.title)" if told else "null",
        tasks="left join tasks t on t.n = u.task" if told else "",
        order=ORDERS.get(group, "usd desc, calls desc, 1"),
    )


def a_cell(row: Row) -> Cell:
    """Return what one executor with one model came to on one day."""
    return Cell(**{name: row[name] for name in row.keys()})  # noqa: SIM118


def a_cost(row: Row) -> Cost:
    """Return one line of the costs."""
    return Cost(**{name: row[name] for name in row.keys()})  # noqa: SIM118 - a Row iterates over its values
