"""What an attempt may spend, and the books of a run whose model calls no relay sees."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from anyio.to_thread import run_sync

from omni_mcp.budget import BudgetReached, Spending
from omni_mcp.decide.budgets import Limits, local_day, refusal
from omni_mcp.ledger.base import Ledger
from omni_mcp.llm.price_table import cost_usd, price_table
from omni_mcp.llm.usage import Tokens
from omni_mcp.settle import until_written
from omni_mcp.task import Clock, Outcome, Task, Usage, Used

UNSAID = "unknown"
"""The model of a run, until the executor names it."""

OWN_LOGIN = "the executor's own login"
"""The endpoint of such a run."""


@dataclass(kw_only=True, eq=False)
class Purse:
    """The limits of one attempt, and whether a call of it was refused for them. Satisfies `budget.Allowance`."""

    limits: Limits
    clock: Clock
    refused: BudgetReached | None = None
    """The first refusal."""
    on_refusal: Callable[[], None] = lambda: None
    """Called at each refusal."""

    @property
    def since(self) -> datetime | None:
        """When the day began, if anything is limited by the day."""
        return local_day(self.clock.now()).begins if self.limits.of_the_day else None

    def refusal(self, spending: Spending, *, model: str) -> BudgetReached | None:
        """Say why a call of this model may not be made; None: it may."""
        return refusal(self.limits, spending, model=model, now=self.clock.now())

    def reached(self, why: BudgetReached) -> None:
        """Hear that a call was refused."""
        self.refused = self.refused or why
        self.on_refusal()

    async def empty(self, ledger: Ledger, task: Task, *, model: str | None) -> BudgetReached | None:
        """Look before the attempt whether its first call would be refused."""
        if self.since is None and task.spec.budget_usd is None:
            return None
        asked = model or UNSAID
        spent = await ledger.spending(task.id, executor=self.limits.executor, model=asked, since=self.since)
        return self.refusal(spent, model=asked)


@dataclass(kw_only=True)
class RunBook:
    """The usage row of one run of an executor with a login of its own."""

    ledger: Ledger
    purse: Purse
    usage: Usage
    _row: int = field(default=0, init=False)

    async def open(self) -> None:
        """Write down that it begins, before anybody is asked. Raises BudgetReached."""
        self._row = await until_written(partial(self.ledger.open_usage, self.usage, self.purse))

    async def close(self, outcome: Outcome) -> None:
        """Write down what it used, if the executor says that; else its cost stays unknown."""
        if outcome.used is not None:
            usage = await priced(self.usage, outcome.used)
            await until_written(lambda: self.ledger.close_usage(self._row, usage))


async def priced(usage: Usage, used: Used) -> Usage:
    """Return what a run cost: as the executor says, else by LiteLLM's list, else unknown."""
    cost, source = used.cost_usd, "executor"
    if cost is None and used.model and used.provider:
        table = await run_sync(price_table)
        cost, source = cost_usd(table, used.model, [used.provider], _tokens(used)), "litellm"
    return replace(
        usage,
        model=used.model or usage.model,
        provider=used.provider,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=cost,
        price_source=None if cost is None else source,
    )


def _tokens(used: Used) -> Tokens:
    return Tokens(
        input=used.input_tokens,
        output=used.output_tokens,
        cache_read=used.cache_read_tokens,
        cache_stored=used.cache_stored_tokens,
    )
