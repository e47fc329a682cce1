"""Commands about the whole: its mode, its executors, the HTTP face, the demo."""

from collections.abc import Sequence
from typing import Annotated, Literal

import anyio
import typer

from omni_mcp.cli.base import AsJson, ask, clear_errors, command, out, print_json, show, tell_problems
from omni_mcp.errors import BadRequest
from omni_mcp.faces.text.executors import print_executors
from omni_mcp.faces.text.mode import print_mode, print_outages
from omni_mcp.home import SERVE_PORT, Home
from omni_mcp.service.mode import CHANGES
from omni_mcp.service.service import Service
from omni_mcp.settings import load
from omni_mcp.task import Mode
from omni_mcp.views.executors import ExecutorView
from omni_mcp.views.mode import ModeView


@command()
def mode(
    set: Annotated[  # noqa: A002
        Literal["normal", "degraded", "brainstem", "auto"] | None,
        typer.Option("--set", help="Set a mode by hand; `auto` leaves it to the machine again.", show_default=False),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--for", help="Minutes that it holds; else an hour.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how the whole is: mode, evidence, what is held; or set a mode for a time.

    Example: `omni-mcp mode --set degraded --for 30`
    """
    show(ask(lambda service: _mode(service, set, minutes)), print_mode, as_json=as_json)


async def _mode(service: Service, wished: str | None, minutes: float | None) -> ModeView:
    if wished is None:
        if minutes is not None:
            raise BadRequest("--for comes with --set", next_step="omni-mcp mode --set degraded --for 30")
        return await service.mode()
    return await service.set_mode(None if wished == "auto" else Mode(wished), minutes=minutes)


@command()
def outages(
    limit: Annotated[int, typer.Option(min=1, help="So many changes, the newest first.")] = CHANGES,
    as_json: AsJson = False,
) -> None:
    """Say when the mode changed, for how long, and why."""
    show(ask(lambda service: service.outages(limit=limit)), print_outages, as_json=as_json)


@command()
def executors(
    check: Annotated[bool, typer.Option(help="Open a session to each and list its tools.")] = True,
    as_json: AsJson = False,
) -> None:
    """Show each executor with its health and tools; ends with 1 if none is usable."""
    tell_problems()
    rows = anyio.run(look_at_executors) if check else ask(configured)
    if as_json:
        print_json([row.shown() for row in rows])
    else:
        print_executors(out, rows)
    if not any(row.usable for row in rows):
        raise typer.Exit(1)


async def look_at_executors() -> Sequence[ExecutorView]:
    """Open a session to each executor of the home."""
    from omni_mcp.executors.survey import survey

    return await survey(load(Home.locate()))


async def configured(service: Service) -> Sequence[ExecutorView]:
    """Return the executors as configured."""
    return service.executors()


@command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535)] = SERVE_PORT,
    host: Annotated[str, typer.Option(help="Beyond loopback it wants tokens: docs/http.md.")] = "127.0.0.1",
    engine: Annotated[
        bool, typer.Option("--engine/--no-engine", help="Without: engines elsewhere do the work (docs/cluster.md).")
    ] = True,
) -> None:
    """Serve MCP over Streamable HTTP at /mcp, with the engine in the same process.

    Example: `omni-mcp serve --port 8765`, then `claude mcp add --transport http omni http://127.0.0.1:8765/mcp`
    """
    from omni_mcp.http import serve_http

    with clear_errors():
        serve_http(Home.locate(), host=host, port=port, engine=engine)


@command()
def demo(
    faults: Annotated[
        bool,
        typer.Option("--faults", help="Show outages instead: LiteLLM killed, all clouds dark, and back (two minutes)."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proof as JSON.")] = False,
) -> None:
    """Show the main job from end to end, in a home of its own, without a key or a cloud (about 25 s)."""
    from omni_mcp.demo.faults.run import run_faults
    from omni_mcp.demo.run import run_demo

    raise typer.Exit((run_faults if faults else run_demo)(as_json=as_json))
