"""What a person sees of the demo: short lines, in the order in which things happen."""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from omni_mcp.demo.check import Check
from omni_mcp.faces.text.task import standing
from omni_mcp.faces.text.words import money
from omni_mcp.lang import say
from omni_mcp.task import SHORT_ID
from omni_mcp.views.result import ResultView
from omni_mcp.views.task import TaskView

PROGRESS = 16
"""So wide is the progress in the table, which fits into 80 columns."""
QUOTE = 160
"""So many characters of a result are shown."""


class Screen:
    """Prints to a console."""

    def __init__(self, console: Console) -> None:
        self.steps_told = 0
        """How many lines of the work log have been told."""
        self._out = console

    def banner(self, real: Sequence[str], stand_ins: Sequence[str]) -> None:
        """Say what is real here and what is not."""
        self._out.rule("Omni-Orchestrator: the demo")
        for style, name, things in (("green", "real", real), ("yellow", "stand-in", stand_ins)):
            for thing in things:
                self._out.print(f"[{style}]{say(name)}[/]  {escape(say(thing))}", highlight=False)

    def tools(self, names: Sequence[str]) -> None:
        """Show what the MCP server offers."""
        self._act("A client connects over stdio")
        self._line(f"{len(names)} tools: {', '.join(names)}")

    def submitted(self, task: TaskView) -> None:
        """Show what submit_task answered."""
        self._line(f"submit_task {task.description!r}")
        self._line(f"  {task.task_id[:SHORT_ID]}  {say(task.state)}  {say(task.reason or '')}")
        if task.engine:
            self._line(f"  engine: {task.engine}")

    def client_closed(self) -> None:
        """Tell that nobody watches any more."""
        self._act("The client closes; the tasks go on")

    @contextmanager
    def working(self, what: str) -> Generator[None]:
        """Show that something takes its time."""
        if not self._out.is_terminal:
            self._line(what)
        with self._out.status(say(what)):
            yield

    def steps(self, log: Sequence[str]) -> None:
        """Show the lines of the work log that are new."""
        for line in log[self.steps_told :]:
            self._line(f"  work log: {line}")
        self.steps_told = len(log)

    def killed(self, pid: int, step: str) -> None:
        """Tell of the kill."""
        self._act(f"kill -9 {pid}: the engine dies in the middle of {step}")

    def taken_over(self, pid: int | None, seconds: float) -> None:
        """Tell who goes on."""
        self._line(f"a new client starts a new engine: pid {pid}; the task runs again {seconds:.1f} s after the kill")

    def ended(self, tasks: Sequence[TaskView], results: Sequence[ResultView], greeting: str) -> None:
        """Show what became of the tasks."""
        self._act("What became of the tasks")
        table = Table(box=None, padding=(0, 1, 0, 0))
        for name in ("task", "state", "attempt", "requested", "served by", "progress", "demo cost"):
            table.add_column(name, no_wrap=True, max_width=PROGRESS if name == "progress" else None)
        for task in tasks:
            what = say(" ".join((task.progress or "").split()))
            who = task.requested or "", task.served_by or ""
            cells = (
                task.task_id[:SHORT_ID],
                say(standing(task)),
                str(task.attempt),
                *who,
                what,
                say(money(task.cost_usd)),
            )
            table.add_row(*map(Text, cells))
        self._out.print(table)
        for result in results:
            self._out.print(Text(f"{result.task_id[:SHORT_ID]}  {' '.join(result.text.split())[:QUOTE]}"))
        self._line(f"python3 hello.py → {greeting}")

    def checked(self, checks: Sequence[Check], *, seconds: float) -> None:
        """Show the checks."""
        self._act(f"Checked, after {seconds:.0f} s")
        for check in checks:
            mark = "[green]✓[/]" if check.ok else "[red]✗[/]"
            self._out.print(f"{mark} {escape(say(check.what))}: {escape(say(check.seen))}", highlight=False)

    def kept(self, root: Path) -> None:
        """Say where to look for what went wrong."""
        self._line(f"kept for a look: {root} (what the engine did: home/logs)")

    def broken(self, error: str, root: Path) -> None:
        """Tell that the demo did not come to its end."""
        self._act(f"The demo broke off: {error}")
        self.kept(root)

    def how_to_use(self, program: str) -> None:
        """Say how to add the server to a client."""
        self._act("Use it")
        self._line(f"Claude Code:     claude mcp add omni -- {program}")
        self._line(f"Claude Desktop:  {json.dumps({'mcpServers': {'omni': {'command': program, 'args': []}}})}")

    def _act(self, title: str) -> None:
        self._out.print(f"\n[bold]{escape(say(title))}[/]", highlight=False)

    def _line(self, text: str) -> None:
        self._out.print(text, markup=False, highlight=False)
