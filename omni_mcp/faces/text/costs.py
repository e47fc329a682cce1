"""What the command line prints of money: tables for people, rows for a spreadsheet."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from omni_mcp.faces.text.words import SEVERITIES, as_it_is, money
from omni_mcp.lang import say
from omni_mcp.lang.console import Folding
from omni_mcp.task import SHORT_ID
from omni_mcp.views.costs import BudgetView, CellView, CostsView, CostView

HEAD = ("by", "name", "usd", "calls", "free_calls", "paid_calls", "unknown_calls", "input_tokens", "output_tokens")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes a cell for a formula by; https://owasp.org/www-community/attacks/CSV_Injection"""


def print_costs(out: Console, costs: CostsView) -> None:
    """Print what everything cost."""
    total = costs.total
    out.print(
        f"{money(total.usd)} since {costs.since.astimezone():%Y-%m-%d %H:%M}: {total.calls} calls, "
        f"{total.paid_calls} paid, {total.free_calls} free, {total.unknown_calls} of unknown cost",
        markup=False,
        highlight=False,
    )
    for budget in costs.budgets or []:
        _print_budget(out, budget, costs)
    for group, rows in costs.by.items():
        if rows:
            _print_table(out, group, rows)
    if costs.cells:
        _print_cells(out, costs.cells)


def _print_budget(out: Console, budget: BudgetView, costs: CostsView) -> None:
    resets = f"{costs.resets_at.astimezone():%Y-%m-%d %H:%M}"
    said = f"{budget.budget}: {money(budget.spent_usd)} of {money(budget.usd)} spent today, anew at {resets}"
    out.print(said, style=SEVERITIES["error" if budget.reached else "ok"], markup=False, highlight=False)


def _print_table(out: Console, group: str, rows: Sequence[CostView]) -> None:
    table = Folding(group, "cost", "calls", "free", "unknown", "tokens in", "tokens out")
    for row in rows:
        counts = (row.calls, row.free_calls, row.unknown_calls, row.input_tokens, row.output_tokens)
        table.add_row(as_it_is(_name(group, row)), money(row.usd), *map(str, counts))
    out.print(table)


def _print_cells(out: Console, cells: Sequence[CellView]) -> None:
    table = Folding("day", "executor", "model", "cost", "calls", "free", "unknown")
    for cell in cells:
        names = (cell.name or "", cell.executor or say("unknown"), cell.model)
        counts = (cell.calls, cell.free_calls, cell.unknown_calls)
        table.add_row(*(as_it_is(name) for name in names), money(cell.usd), *map(str, counts))
    out.print(table)


def _name(group: str, row: CostView) -> str:
    """Return what a line is about; of a task its id and how it begins."""
    if row.name is None:
        return say("purged") if group == "task" else say("unknown")
    return row.name if group != "task" else f"{row.name[:SHORT_ID]} {' '.join((row.title or '').split())[:40]}"


def csv_rows(costs: CostsView) -> Iterator[Sequence[object]]:
    """Yield the head and a row for each line of each group."""
    yield HEAD
    for group, rows in costs.by.items():
        for row in rows:
            yield (group, _cell(row.name or ""), *_numbers(row))
    for cell in costs.cells or []:
        yield ("cell", _cell(f"{cell.name} {cell.executor or ''} {cell.model}"), *_numbers(cell))


def _numbers(row: CostView) -> Sequence[object]:
    return (f"{row.usd:.9f}", *(getattr(row, name) for name in HEAD[3:]))


def _cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
