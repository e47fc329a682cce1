"""What the command line prints of the memory."""

from rich.console import Console

from omni_mcp.faces.text.words import SEVERITIES, as_it_is
from omni_mcp.lang import say
from omni_mcp.task import SHORT_ID
from omni_mcp.views.memory import ForgottenView, MemoriesView


def print_memories(out: Console, shown: MemoriesView) -> None:
    """Print each memory in three lines."""
    if not shown.memories:
        out.print("no memories")
    for memory in shown.memories:
        place = memory.project or say("no folder")
        line = f"{memory.task_id[:SHORT_ID]}  {memory.at.astimezone():%Y-%m-%d %H:%M}  {memory.executor}  {place}"
        for text in (line, f"  {memory.task}", f"  → {memory.outcome}"):
            out.print(as_it_is(text))
        if memory.not_taken:
            out.print(as_it_is(f"  {say('not in the memory server')}: {memory.not_taken}"), style=SEVERITIES["warning"])
    if shown.note:
        out.print(shown.note, style=SEVERITIES["warning"], markup=False, highlight=False)


def print_forgotten(out: Console, shown: ForgottenView) -> None:
    """Print whose memory is no more."""
    out.print(f"forgotten: {shown.task_id[:SHORT_ID]}", highlight=False)
