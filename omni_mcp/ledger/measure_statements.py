"""The statements behind `measures.py`, and their rows."""

from omni_mcp.ledger.measures import UPTO, Calls, Took, Waiting
from omni_mcp.ledger.rows import maybe_moment
from omni_mcp.ledger.store import Row
from omni_mcp.task import TaskState, WaitingFor

PAIRS = 200
"""Pairs of executor and model that have a line of their own: those that came first, so that no line ever changes what
it means; the calls of all later ones are told together."""
OTHER = "other"
LONGEST = 100
"""Characters of a model's name."""

OPEN = """
    select state, waiting_for, coalesce(served_by, requested, executor, '') as executor,
        count(*) as n, min(since) as oldest
    from tasks where open = 1 group by 1, 2, 3
"""
OVER = """
    select state, count(*) as n from tasks
    where state in ('completed', 'failed', 'cancelled') and open = 0 group by 1
"""
ATTEMPTS = """
    select coalesce(executor, '') as executor, coalesce("end", 'running') as "end", count(*) as n from attempts
    group by 1, 2
"""
_TOOK = ", ".join(
    f"count(*) filter (where closed_at - opened_at <= {int(upto * 1_000_000)}) as upto_{at}"
    for at, upto in enumerate(UPTO)
)
CALLS = f"""
    with pairs as (
        select executor, substr(model, 1, {LONGEST}) as model, min(closed_at) as first, min(id) as id,
            count(*) as calls, count(*) - count(cost_usd) as unknown, coalesce(sum(cost_usd), 0.0) as usd,
            coalesce(sum(input_tokens), 0) as input, coalesce(sum(output_tokens), 0) as output
        from usage where closed_at is not null group by 1, 2
    ),
    ranked as (select *, row_number() over (order by first, id) <= {PAIRS} as named from pairs)
    select case when named then coalesce(executor, '') else '{OTHER}' end as executor,
        case when named then model else '{OTHER}' end as model,
        sum(calls) as calls, sum(unknown) as unknown, sum(usd) as usd, sum(input) as input, sum(output) as output
    from ranked group by 1, 2
"""
"""Of closed rows alone: an open one says the model that was asked for, and may end as one of another."""
CALLS_OPEN = "select count(*) as n from usage where closed_at is null"
TOOK = f"""
    select count(*) as n, coalesce(sum(closed_at - opened_at), 0) / 1000000.0 as seconds, {_TOOK}
    from usage where closed_at >= opened_at
"""


def some_open(row: Row) -> Waiting:
    """Return one line of the open tasks."""
    return Waiting(
        state=TaskState(row["state"]),
        waiting_for=None if row["waiting_for"] is None else WaitingFor(row["waiting_for"]),
        executor=row["executor"],
        count=row["n"],
        oldest=maybe_moment(row["oldest"]),
    )


def some_calls(row: Row) -> Calls:
    """Return one line of the calls."""
    return Calls(
        executor=row["executor"],
        model=row["model"],
        calls=row["calls"],
        unknown=row["unknown"],
        usd=row["usd"],
        input_tokens=row["input"],
        output_tokens=row["output"],
    )


def took(row: Row) -> Took:
    """Return how long calls took."""
    return Took(count=row["n"], seconds=row["seconds"], upto={upto: row[f"upto_{at}"] for at, upto in enumerate(UPTO)})
