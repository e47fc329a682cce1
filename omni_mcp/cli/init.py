"""`omni-mcp init`: a servers.yaml for this machine, or from a file that is there."""

from pathlib import Path
from typing import Annotated

import typer

from omni_mcp.cli.base import AsJson, clear_errors, command, show
from omni_mcp.faces.text.init import print_init
from omni_mcp.home import Home


@command()
def init(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="The plan's config.yaml, a LiteLLM configuration, or a JSON with mcpServers.",
            show_default=False,
        ),
    ] = None,
    gateway: Annotated[
        str | None, typer.Option(help="URL of the LiteLLM proxy to use (else one at port 4000 is looked for).")
    ] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Only show what would be written.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace servers.yaml and keep a back-up.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a servers.yaml for what is on this machine: agents, a LiteLLM proxy, keys by their names.

    Example: `omni-mcp init --from config.yaml --print`
    """
    from omni_mcp.setup.init import plan, write

    with clear_errors():
        planned = plan(Home.locate(), source=source and source.expanduser().absolute(), gateway=gateway)
        backup = None if only_print else write(planned, force=force)
    show(planned.view(written=not only_print, backup=backup), print_init, as_json=as_json)
