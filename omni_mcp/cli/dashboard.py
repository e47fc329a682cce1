"""`omni-mcp dashboard`: the way to the web page."""

import os
import sys
import webbrowser
from typing import Annotated

import typer

from omni_mcp.cli.base import clear_errors, command, out
from omni_mcp.faces.web.keys import LINK, LIVES
from omni_mcp.faces.web.where import link_file, new_link
from omni_mcp.home import Home


@command()
def dashboard(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Where it listens, if none is up; else 8766.", show_default=False),
    ] = None,
    open_it: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open a browser; else where there is one.", show_default=False),
    ] = None,
) -> None:
    """Show the web page: what runs, tasks, costs, outages; where no `omni-mcp serve` runs, serve it until Ctrl-C.

    It prints a link that lets one browser in, once.
    """
    from omni_mcp.dashboard import show_page

    home = Home.locate()
    wanted = _has_browser() if open_it is None else open_it

    def lead(at: str) -> None:
        link = new_link(home, at)
        out.print(link, markup=False, highlight=False)
        out.print(f"lets one browser in, once, within {LIVES[LINK] / 60:.0f} minutes", highlight=False)
        if wanted:
            webbrowser.open(link_file(home, link).as_uri())

    with clear_errors():
        show_page(home, port=port, on_up=lead)


def _has_browser() -> bool:
    """Whether a person with a screen sits here."""
    screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.stdout.isatty() and bool(screen)
