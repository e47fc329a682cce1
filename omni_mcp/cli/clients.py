"""Commands that put this server into a client's configuration, and take it out again."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from omni_mcp.cli import complete
from omni_mcp.cli.base import clear_errors, command, err, named, out, print_json
from omni_mcp.clients.step import Step
from omni_mcp.errors import BadRequest
from omni_mcp.home import Home
from omni_mcp.lang import say

AClient = Annotated[
    str,
    typer.Argument(
        help=(
            "claude-code, claude-desktop, cursor, vscode, codex, gemini-cli, windsurf, zed, cline, kiro, lm-studio, "
            "openclaw or json."
        ),
        show_default=False,
        metavar="CLIENT",
        autocompletion=complete.clients,
    ),
]
Agreed = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")]
InProject = Annotated[bool, typer.Option("--project", help="With `json`: the .mcp.json of this folder.")]


@command()
def install(
    context: typer.Context,
    client: AClient,
    yes: Agreed = False,
    dry_run: DryRun = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a server of that name.")] = False,
    project: InProject = False,
    url: Annotated[
        str | None, typer.Option("--url", help="OpenClaw: reach `omni-mcp serve` there; else where one runs now.")
    ] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="OpenClaw: a process a session, also beside a serve.")] = False,
) -> None:
    """Add this server to a client's own configuration: shows the change, asks, and keeps a back-up.

    `json` prints what other clients take by hand. Example: `omni-mcp install claude-code`
    """
    from omni_mcp.clients import install as clients
    from omni_mcp.clients.launch import console_script

    root, config = named("OMNI_HOME", context), named("OMNI_CONFIG", context)
    with clear_errors():
        ours: Any = {"command": console_script(), "home": root, "config": config}
        if client == "json" and not project:
            print_json(clients.snippet(**ours))
        else:
            ours["url"] = None if stdio else url or _served(client)
            step = clients.installing(client, clients.place_of(client, project=project), **ours, force=force)
            carry_out(step, agreed=yes, dry_run=dry_run)
    _say_what_is_not_seen(root, config)


def _say_what_is_not_seen(root: Path | None, config: Path | None) -> None:
    for option, variable, said in (("--home", "OMNI_HOME", root), ("--config", "OMNI_CONFIG", config)):
        if said is None and variable in os.environ:
            err.print(f"note: clients do not see {variable} as it is set here; {option} writes it down for them")


def _served(client: str) -> str | None:
    """Return where a client that had better use HTTP finds `omni-mcp serve`, and say so where none runs."""
    from omni_mcp.clients.catalog import client_named
    from omni_mcp.clients.launch import served

    if client_named(client).http is None:
        return None
    url = served(Home.locate().served_at)
    if url is None:
        err.print(
            "note: without `omni-mcp serve` each session starts a process of its own; "
            "with one running, the same command writes down its url"
        )
    return url


@command()
def uninstall(
    client: AClient,
    yes: Agreed = False,
    dry_run: DryRun = False,
    project: InProject = False,
) -> None:
    """Take this server out of a client again: its configuration is then what it was before.

    Example: `omni-mcp uninstall claude-code --dry-run`
    """
    from omni_mcp.clients import install as clients

    with clear_errors():
        place = clients.place_of(client, project=project)
        carry_out(clients.uninstalling(client, place), agreed=yes, dry_run=dry_run)


def carry_out(step: Step, *, agreed: bool, dry_run: bool) -> None:
    """Show a step, ask, and do it."""
    if step.shown:
        out.print(Text(step.shown))
        if dry_run:
            return
        if not (agreed or confirmed()):
            raise typer.Exit(1)
    step.carry_out()
    out.print(step.done, markup=False, highlight=False)


def confirmed() -> bool:
    """Ask the person at the terminal. Raises BadRequest where nobody is."""
    if not sys.stdin.isatty():
        raise BadRequest("nobody is here to agree", next_step="add --yes, or --dry-run to look only")
    return typer.confirm(say("Do it?"), default=True, err=True)
