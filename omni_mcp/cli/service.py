"""Commands that have the system keep this program alive: tasks and schedules then need no open window."""

from typing import Annotated

import typer

from omni_mcp import background
from omni_mcp.cli.base import AsJson, app, clear_errors, command, out, show
from omni_mcp.cli.clients import Agreed, DryRun, carry_out
from omni_mcp.faces.text.schedules import print_kept
from omni_mcp.home import SERVE_PORT, Home
from omni_mcp.views.engine import KeptView

service_app = typer.Typer(
    help="A service of the system (systemd, launchd) that keeps the engine alive for schedules and 24/7 tasks.",
    no_args_is_help=True,
)
app.add_typer(service_app, name="service")


@command("install", group=service_app)
def service_install(
    serve: Annotated[
        bool, typer.Option("--serve", help="Keep `serve` alive: MCP over HTTP and webhooks, too.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="With --serve.")] = SERVE_PORT,
    yes: Agreed = False,
    dry_run: DryRun = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name; it comes back.")] = False,
) -> None:
    """Install it for this user and this home: shows the file and the commands, asks, then starts it.

    It sees no variable of your shell but PATH: keys belong into `.env` of the home. Example: `omni-mcp service install`
    """
    from omni_mcp import autostart

    with clear_errors():
        keeper = autostart.keeper_for(Home.locate(), serve=["--port", str(port)] if serve else None)
        carry_out(autostart.installing(keeper, force=force), agreed=yes, dry_run=dry_run)
        if not dry_run and not serve and background.view(Home.locate()).running:
            out.print("an engine may run already that a window started: the service takes over when that ends")


@command("uninstall", group=service_app)
def service_uninstall(yes: Agreed = False, dry_run: DryRun = False) -> None:
    """Stop it and remove its file; everything is then as it was before."""
    from omni_mcp import autostart

    with clear_errors():
        keeper = autostart.keeper_for(Home.locate())
        carry_out(autostart.uninstalling(keeper), agreed=yes, dry_run=dry_run)


@command("status", group=service_app)
def service_status(as_json: AsJson = False) -> None:
    """Say whether it is installed and alive; ends with 1 if not."""
    from omni_mcp import autostart

    home = Home.locate()
    with clear_errors():
        keeper = autostart.keeper_for(home)
        kept = KeptView(
            name=keeper.name,
            file=str(keeper.path),
            installed=autostart.is_installed(keeper),
            alive=autostart.is_active(keeper),
            engine_pid=background.view(home).pid,
        )
    show(kept, print_kept, as_json=as_json)
    if not (kept.installed and kept.alive):
        raise typer.Exit(1)
