"""What a person sees of the demo of faults: each moment as it comes, and at the end all of them in one table."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from omni_mcp.demo.faults.timeline import Moment, grouped
from omni_mcp.demo.screen import Screen
from omni_mcp.faces.text.words import money
from omni_mcp.lang import say

COLOURS = {"normal": "green", "degraded": "yellow", "brainstem": "red"}
CAUSE = 100
"""Characters of what happened that are shown."""


class FaultScreen(Screen):
    """Prints to a console."""

    def profile(self, shortened: str) -> None:
        """Say which times are not those of every day."""
        self._line(f"fast profile, the times of every day in brackets: {shortened}")

    def act(self, title: str) -> None:
        """Tell what is done now."""
        self._act(title)

    def happened(self, news: Sequence[Moment], *, began: float) -> None:
        """Show what is new, a line each."""
        for each in news:
            second, mode, what, *_ = _cells(each, began)
            self._out.print(Text("  ").join([second, mode, what]), soft_wrap=True)

    def timeline(self, all_of_it: Sequence[Moment], *, began: float) -> None:
        """Show everything in its order; tasks of which the same is told in one line."""
        self._act("The timeline")
        table = Table(box=None, padding=(0, 1, 0, 0))
        for name in (say("second"), say("mode"), "what happened", "attempt", "demo cost"):
            table.add_column(name, no_wrap=name != "what happened")
        for each in grouped(all_of_it):
            table.add_row(*_cells(each, began))
        self._out.print(table)


def _cells(each: Moment, began: float) -> Sequence[Text]:
    return (
        Text(f"{each.at - began:6.1f}"),
        Text(say(each.mode), style=COLOURS[each.mode]),
        Text(_what(each)),
        Text("" if each.attempt is None else str(each.attempt)),
        Text("" if each.cost is None else say(money(each.cost))),
    )


def _what(each: Moment) -> str:
    """Return what happened, to whom, and who served it."""
    what = _shorten(say(each.what))
    if not each.tasks:
        return what
    by = f" ({each.endpoint})" if each.endpoint else ""
    return f"{what}{by}: {', '.join(map(_name, each.tasks))}"


def _name(task: str) -> str:
    """Return how a task is called: what stands before the colon."""
    return task.replace("：", ":").partition(":")[0]


def _shorten(text: str) -> str:
    return text if len(text) <= CAUSE else f"{text[: CAUSE - 1]}…"
