"""What the command line prints of many tasks: a table."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from omni_mcp.faces.text.task import news, standing
from omni_mcp.faces.text.words import age, as_it_is, money
from omni_mcp.task import SHORT_ID, TaskState
from omni_mcp.views.task import ListView, TaskView

COLOURS = {
    TaskState.COMPLETED: "green",
    TaskState.FAILED: "red",
    TaskState.CANCELLED: "magenta",
    TaskState.WAITING: "yellow",
}
WIDE = 100
"""Columns of a terminal that has room for every column of the tasks."""
COLUMNS = {
    "task": (True, True),
    "state": (True, True),
    "age": (True, True),
    "att.": (False, True),
    "requested": (False, False),
    "served by": (True, False),
    "progress": (True, False),
    "cost": (False, True),
    "description": (True, False),
}
"""The columns of the tasks: whether each is there in a narrow terminal, and whether it is never cut."""
CELL = 40
"""Columns of a longer text in a table."""


def cost_cell(task: TaskView) -> str:
    """Return the same in a few columns: `$0.02+?/$0.50`."""
    spent = "" if task.cost_usd is None else money(task.cost_usd)
    unknown = "+?" if task.cost_unknown_calls and spent else "?" if task.cost_unknown_calls else ""
    return f"{spent}{unknown}" + (f"/{money(task.budget_usd)}" if task.budget_usd is not None else "")


def task_table(tasks: Sequence[TaskView], width: int) -> Table:
    """Return a line for each task; `width` in columns, of which a narrow terminal spends none on the lesser facts."""
    lesser = width >= WIDE
    table = Table(box=box.HEAVY_HEAD if lesser else box.SIMPLE, pad_edge=lesser)
    for name, (always, firm) in COLUMNS.items():
        if always or lesser:
            table.add_column(name, no_wrap=firm, overflow="ellipsis")
    for task in tasks:
        cells = zip(COLUMNS.values(), _cells(task), strict=True)
        table.add_row(*(cell for (always, _), cell in cells if always or lesser))
    return table


def _cells(task: TaskView) -> Sequence[str | Text]:
    return (
        task.task_id[:SHORT_ID],
        f"[{COLOURS.get(task.state, 'cyan')}]{standing(task)}",
        age(task.since),
        str(task.attempt),
        _cell(task.requested or ""),
        _cell(task.served_by or ""),
        _cell(news(task)),
        cost_cell(task),
        _cell(task.description),
    )


def _cell(text: str) -> Text:
    """Return one line as it is, with an ellipsis if it is longer than the columns of a cell."""
    line = as_it_is(" ".join(text.split()))
    line.truncate(CELL, overflow="ellipsis")
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def print_list(out: Console, page: ListView) -> None:
    """Print a page of tasks."""
    if not page.tasks:
        out.print('no tasks; omni-mcp submit "…" makes one')
        return
    out.print(task_table(page.tasks, out.width))
    if page.cursor:
        out.print(f"more: --cursor {page.cursor}", markup=False)
