"""Commands about the background engine of a home."""

from functools import partial
from typing import Annotated

import typer
from rich.text import Text

from omni_mcp import background
from omni_mcp.cli.base import AsJson, app, ask, clear_errors, command, err, out, show
from omni_mcp.faces.text.engine import print_engine
from omni_mcp.home import Home
from omni_mcp.service.service import Service
from omni_mcp.views.engine import EngineView

engine_app = typer.Typer(
    help="The background engine of a home: the one process that runs its tasks.", no_args_is_help=True
)
app.add_typer(engine_app, name="engine")


@command("run", group=engine_app)
def engine_run(
    stay: Annotated[
        bool, typer.Option("--stay", help="Never end for want of tasks, and wait while another engine runs.")
    ] = False,
) -> None:
    """Run the engine here until it is idle for long; faces start it in the background by themselves."""
    from omni_mcp.engine_process import run_engine

    with clear_errors():
        run_engine(Home.locate(), stay=stay)


@command("status", group=engine_app)
def engine_status(as_json: AsJson = False) -> None:
    """Say whether an engine runs; ends with 1 if not."""
    found = background.view(Home.locate())
    if found.running:
        found = ask(partial(described, found))
    show(found, print_engine, as_json=as_json)
    if not found.running:
        raise typer.Exit(1)


async def described(found: EngineView, service: Service) -> EngineView:
    """Add what the engine said of itself."""
    return await service.engine(found)


@command("stop", group=engine_app)
def engine_stop() -> None:
    """Ask the engine to give back its work and go; the tasks go on with the next engine."""
    with clear_errors():
        pid = background.stop(Home.locate())
    out.print(f"engine {pid} has gone" if pid else "no engine runs", highlight=False)


@command("restart", group=engine_app)
def engine_restart() -> None:
    """Stop the engine and start a new one."""
    with clear_errors():
        background.stop(Home.locate())
        started = background.start(Home.locate())
        if started is not None:
            started.wait(Home.locate().engine_lock)
            background.until_up(Home.locate())
    out.print(f"engine: {started or 'already started by a client'}", highlight=False)


@command("logs", group=engine_app)
def engine_logs(lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="From the end.")] = 50) -> None:
    """Print the end of the engine's log."""
    log = Home.locate().engine_log
    if not log.exists():
        err.print(f"no log yet: {log}", highlight=False)
        raise typer.Exit(1)
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]:
        out.print(Text(line))
