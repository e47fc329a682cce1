"""What the command line prints of what came of tasks."""

from rich.console import Console

from omni_mcp.faces.text.words import as_it_is
from omni_mcp.lang import say
from omni_mcp.views.result import ResultView


def print_result(out: Console, result: ResultView) -> None:
    """Print a result: into a file or a pipe as it is, at a terminal without what could move it."""
    said = say(result.text) if result.error else result.text
    if out.is_terminal:
        out.print(as_it_is(said))
    else:
        out.file.write(f"{said}\n")
    if result.next_offset is not None:
        out.print(f"… {result.total_chars - result.next_offset} more characters: --offset {result.next_offset}")
