"""What the command line prints of executors, and of who would get a task."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from omni_mcp.faces.text.words import as_it_is
from omni_mcp.lang import say
from omni_mcp.lang.console import Folding
from omni_mcp.views.executors import ExecutorView, RouteView


def print_route(out: Console, route: RouteView) -> None:
    """Print where a text would go, in one line."""
    model = route.model or "the executor’s own"
    said = f"{route.executor or 'nobody'}  {route.reason}  (type {route.type or say('none')}, model {model})"
    out.print(said, markup=False, highlight=False)


def print_route_steps(out: Console, route: RouteView) -> None:
    """Print where a text would go, and how that was found, step by step."""
    print_route(out, route)
    for step in route.steps:
        out.print(f"  {step}", markup=False, highlight=False)


def print_executors(out: Console, executors: Sequence[ExecutorView]) -> None:
    """Print the executors as a table."""
    table = Folding("executor", "usable", "handles", "parallel", "recovery", "tools", "detail")
    for row in executors:
        table.add_row(
            as_it_is(row.name),
            "[green]yes" if row.usable else "[red]no",
            Text(", ".join(row.handles)),
            str(row.parallel),
            Text(row.recovery),
            as_it_is(", ".join(row.tools or [])),
            as_it_is(" ".join(say(row.detail or "").split())),
        )
    out.print(table)
