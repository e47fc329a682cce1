"""Live progress on a terminal; line by line where there is none."""

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from omni_mcp.faces.text.mode import mode_facts, mode_line
from omni_mcp.faces.text.task import news, standing
from omni_mcp.faces.text.tasks import task_table
from omni_mcp.faces.text.words import as_it_is
from omni_mcp.lang import say
from omni_mcp.service.service import Service
from omni_mcp.task import SHORT_ID, TERMINAL, Mode, TaskState, WaitingFor
from omni_mcp.views.mode import ModeView
from omni_mcp.views.task import TaskView

FOR_A_PERSON = (WaitingFor.EXECUTOR, WaitingFor.CONSENT, WaitingFor.BUDGET, WaitingFor.INPUT)
"""What does not end by itself."""
OPEN = [state for state in TaskState if state not in TERMINAL]


async def watch_tasks(service: Service, out: Console, task_id: str | None) -> None:
    """Show one task, or all open ones, until they are over."""
    with Live(console=out, auto_refresh=False, transient=False) as live:
        told: dict[str, str] = {}
        told_mode = Mode.NORMAL
        asked: set[tuple[str, str | None]] = set()
        while True:
            seen = await service.ledger.watermark()
            mode = await service.mode()
            tasks = await _look(service, task_id, told)
            if out.is_terminal:
                head = [Text(line) for line in (mode_line(mode), *mode_facts(mode))]
                live.update(Group(*head, task_table(tasks, out.width)), refresh=True)
            else:
                told_mode = _tell_mode(out, mode, told_mode)
                _tell(out, tasks, told)
            _tell_what_to_do(out, tasks, asked)
            if all(task.state in TERMINAL for task in tasks):
                return
            await service.ledger.changed(seen, timeout=timedelta(seconds=1))


async def _look(service: Service, task_id: str | None, told: dict[str, str]) -> Sequence[TaskView]:
    """Return the tasks to show: the one, or all open ones and those seen open before."""
    if task_id is not None:
        return [await service.status(task_id)]
    tasks = (await service.list(states=OPEN, limit=100)).tasks
    over = [await service.status(known) for known in told if known not in {task.task_id for task in tasks}]
    told.update({task.task_id: told.get(task.task_id, "") for task in tasks})
    return [*tasks, *over]


def _tell(out: Console, tasks: Sequence[TaskView], told: dict[str, str]) -> None:
    """Print a line for each task that has news."""
    for task in tasks:
        task_id = task.task_id[:SHORT_ID]
        line = f"{task_id}  {say(standing(task))}  {news(task)}"
        if told.get(task.task_id) != line:
            told[task.task_id] = line
            out.print(as_it_is(line))


def _tell_what_to_do(out: Console, tasks: Sequence[TaskView], asked: set[tuple[str, str | None]]) -> None:
    """Print once what a person has to do for a task that does not go on by itself."""
    for task in tasks:
        if task.waiting_for in FOR_A_PERSON and (task.task_id, task.text) not in asked:
            asked.add((task.task_id, task.text))
            task_id = task.task_id[:SHORT_ID]
            out.print(as_it_is(f"{task_id}  {say(task.text or '', task=task_id)}"))
            out.print(Text(say(f"next: {task.next_step}", task=task_id)))
            out.print("do that, or press Ctrl-C: the task stays", highlight=False)


def _tell_mode(out: Console, mode: ModeView, told: Mode) -> Mode:
    """Print a line when the mode is another than before; returns what is told now."""
    if mode.mode is not told:
        for line in (mode_line(mode), *mode_facts(mode)):
            out.print(Text(line))
    return mode.mode
