"""`omni-mcp` without a command: the MCP server on stdio; on a terminal it says what to do instead."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from omni_mcp import __version__
from omni_mcp.cli.base import AConfig, AHome, app, err, out
from omni_mcp.home import Home

ON_A_TERMINAL = """\
omni-mcp is an MCP server: a client starts it and talks to it over stdin and stdout.
This is a terminal, so nobody does.

Add it to a client:
  claude mcp add omni -- {command}
Use it by hand:
  omni-mcp submit "write a haiku about queues" --wait
  omni-mcp list
See it work without a key or a cloud:
  omni-mcp demo
All commands:
  omni-mcp --help
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
    if sys.stdin.isatty():
        err.print(ON_A_TERMINAL.format(command=Path(sys.argv[0]).absolute()), markup=False, highlight=False)
        raise typer.Exit(2)
    from omni_mcp.stdio import serve_stdio

    serve_stdio(home, inline=inline)
