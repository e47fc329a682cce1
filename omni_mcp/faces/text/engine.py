"""What the command line prints of the background engine."""

from rich.console import Console

from omni_mcp.views.engine import EngineView


def print_engine(out: Console, engine: EngineView) -> None:
    """Print whether an engine runs."""
    told = f"engine runs, pid {engine.pid}" if engine.running else "no engine runs; the next submit starts one"
    facts = f"{told}\nhome {engine.home}\nsettings {engine.settings}\nlog {engine.log}"
    out.print(facts, markup=False, highlight=False)
    if engine.note:
        out.print(f"note: {engine.note}", style="yellow", markup=False, highlight=False)
