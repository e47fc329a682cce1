"""What the command line prints of what waited."""

from rich.console import Console

from omni_mcp.faces.text.words import as_it_is, counted
from omni_mcp.lang import say
from omni_mcp.task import SHORT_ID
from omni_mcp.views.resume import ResumeView


def print_resumed(out: Console, done: ResumeView) -> None:
    """Print what became of each waiting task."""
    for task in done.tasks:
        task_id = task.task_id[:SHORT_ID]
        out.print(as_it_is(f"{task_id}  {say(task.action)}  {say(task.text, task=task_id)}"))
    if not done.tasks:
        out.print("nothing waits")
        return
    if len(done.tasks) < sum(done.counts.values()):
        out.print(f"in all: {counted(done.counts)}", markup=False, highlight=False)
    if done.engine:
        out.print(f"engine: {done.engine}", markup=False, highlight=False)
    out.print(f"next: {done.next_step}", markup=False, highlight=False)
