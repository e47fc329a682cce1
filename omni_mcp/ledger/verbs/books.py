"""What was spent, and what is counted of the whole."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from omni_mcp.budget import Allowance, Cell, Cost, Spending
from omni_mcp.ledger import measure_statements
from omni_mcp.ledger import usage as books
from omni_mcp.ledger.measures import Measures
from omni_mcp.ledger.rows import stamp
from omni_mcp.ledger.store import Row
from omni_mcp.ledger.verbs.part import Part
from omni_mcp.task import TaskState, Usage


class Books(Part):
    """What was spent."""

    async def open_usage(self, usage: Usage, allowance: Allowance | None = None) -> int:
        values = self._values(**{**asdict(usage), "id": usage.task_id})
        return await self._write(lambda db: books.open_row(db, values, allowance))

    async def close_usage(self, usage_id: int, usage: Usage) -> None:
        values = self._values(**asdict(usage), row=usage_id)
        await self._write(lambda db: db.execute(books.CLOSE, values).rowcount)

    async def spending(self, task_id: str, *, executor: str, model: str, since: datetime | None) -> Spending:
        values = {"id": task_id, "executor": executor, "model": model, "since": books.since_of(since)}
        rows = await self._read(books.SPENDING, values)
        return books.spending_of(rows[0] if rows else None)

    async def costs(self, by: str, *, since: datetime, principal: str | None, limit: int) -> Sequence[Cost]:
        values = {"since": stamp(since), "principal": principal, "limit": limit}
        return [books.a_cost(row) for row in await self._read(books.costs_by(by), values)]

    async def cells(self, *, since: datetime, principal: str | None, limit: int) -> Sequence[Cell]:
        values = {"since": stamp(since), "principal": principal, "limit": limit}
        return [books.a_cell(row) for row in await self._read(books.CELLS, values)]

    async def measures(self) -> Measures:
        attempts = await self._counted(measure_statements.ATTEMPTS)
        return Measures(
            open=[measure_statements.some_open(row) for row in await self._counted(measure_statements.OPEN)],
            over={TaskState(row["state"]): row["n"] for row in await self._counted(measure_statements.OVER)},
            attempts={(row["executor"], row["end"]): row["n"] for row in attempts},
            calls=[measure_statements.some_calls(row) for row in await self._counted(measure_statements.CALLS)],
            calls_open=(await self._counted(measure_statements.CALLS_OPEN))[0]["n"],
            took=measure_statements.took((await self._counted(measure_statements.TOOK))[0]),
        )

    async def _counted(self, statement: str) -> Sequence[Row]:
        """Count over all rows, which takes long in a large ledger: nobody is to wait behind it."""
        return await self._store.read_aside(statement, {})
