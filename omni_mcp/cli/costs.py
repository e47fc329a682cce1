"""The command about money: what everything cost, by day, executor, model, route and task."""

import csv
import sys
from enum import StrEnum
from typing import Annotated

import typer

from omni_mcp.cli.base import AsJson, ask, command, show
from omni_mcp.faces.text.costs import csv_rows, print_costs


class Group(StrEnum):
    """What costs are told by."""

    DAY = "day"
    EXECUTOR = "executor"
    MODEL = "model"
    ROUTE = "route"
    TASK = "task"
    CELL = "cell"


@command()
def costs(
    by: Annotated[
        list[Group] | None, typer.Option(help="Only by these (repeat it); cell: by the first three at once.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, help="So many days, today included; else 30.", show_default=False)
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Since a day (2026-11-30), or for a span (7d).", show_default=False)
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, a line for each row of each group.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what everything cost, by day, executor, model, route and task, and what is left of the daily budgets.

    Example: `omni-mcp costs --days 7 --by model`
    """
    view = ask(lambda service: service.costs(days=days, since=since, cells=Group.CELL in (by or ())))
    if by:
        view = view.model_copy(update={"by": {group: view.by[group] for group in by if group is not Group.CELL}})
    if as_csv and not as_json:
        csv.writer(sys.stdout, lineterminator="\n").writerows(csv_rows(view))
    else:
        show(view, print_costs, as_json=as_json)
