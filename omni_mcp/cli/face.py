"""`omni-mcp` without a command: the MCP server on stdio; where no client can be it says what to do instead."""

import os
import stat
import sys
from pathlib import Path
from typing import Annotated

import typer

from omni_mcp import __version__
from omni_mcp.cli.base import AConfig, AHome, app, err, out
from omni_mcp.home import Home

LAUNCH = "OMNI_LAUNCH"
"""Variable of an image: how its program is started from outside."""
NO_CLIENT = """\
omni-mcp is an MCP server: a client starts it and talks to it over stdin and stdout.
{why}

Add it to a client:
  claude mcp add omni -- {launch}
Use it by hand:
  {launch} submit "write a haiku about queues" --wait
  {launch} list
See it work without a key or a cloud:
  {launch} demo
All commands:
  {launch} --help
"""


@app.callback(invoke_without_command=True)
def face(
    context: typer.Context,
    home: AHome = None,
    config: AConfig = None,
    inline: Annotated[bool, typer.Option("--inline", help="Face and engine in one process.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Hand off work to agents over MCP: recorded durably, routed, resumed after faults.

    Without a command this is the MCP server on stdio, as a client starts it.
    """
    if version:
        out.print(__version__, highlight=False)
    elif context.invoked_subcommand is None:
        _serve_stdio(Home.locate(), inline=inline)


def _serve_stdio(home: Home, *, inline: bool) -> None:
    if (why := _no_client()) is not None:
        launch = os.environ.get(LAUNCH) or Path(sys.argv[0]).absolute()
        for line in NO_CLIENT.format(why=why, launch=launch).splitlines():
            err.print(line, markup=False, highlight=False)
        raise typer.Exit(2)
    from omni_mcp.stdio import serve_stdio

    serve_stdio(home, inline=inline)


def _no_client() -> str | None:
    """Return why no client can be there, None if one can; `docker run` without -i gives an empty stdin."""
    if sys.stdin is None:
        return "Here stdin is closed, so nobody does."
    if sys.stdin.isatty():
        return "This is a terminal, so nobody does."
    return "Here stdin is empty, so nobody does." if _is_null_device(os.fstat(0)) else None


def _is_null_device(status: os.stat_result) -> bool:
    """Compare by device number: what a container is given is not the file of its own `/dev`."""
    return os.name == "posix" and stat.S_ISCHR(status.st_mode) and status.st_rdev == Path(os.devnull).stat().st_rdev
