"""`omni-mcp notify`: who is told of changes of mode, and a test of that."""

from functools import partial
from typing import Annotated

import anyio
import typer

from omni_mcp.cli.base import AsJson, ask, command, show, tell_problems
from omni_mcp.faces.text.notify import print_notify
from omni_mcp.home import Home
from omni_mcp.service.service import Service
from omni_mcp.settings import load
from omni_mcp.task import SystemClock
from omni_mcp.views.notify import NotifyView, ToldView


@command()
def notify(
    test: Annotated[bool, typer.Option("--test", help="Send each channel a test notice now, from here.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Send once more what was given up.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say who is told of changes of mode, and how that went last; ends with 1 if a test notice did not arrive.

    Example: `omni-mcp notify --test`
    """
    tell_problems()
    tested = _tested() if test else None
    show(ask(partial(_notify, tested, again)), print_notify, as_json=as_json)
    if not all(channel.told for channel in tested or ()):
        raise typer.Exit(1)


async def _notify(tested: list[ToldView] | None, again: bool, service: Service) -> NotifyView:
    sent = await service.send_again() if again else None
    given_up = await service.given_up() or None
    return NotifyView(tested=tested, told_by=await service.told_by(), given_up=given_up, sent_again=sent)


def _tested() -> list[ToldView]:
    from omni_mcp.notify.channels import channels_of
    from omni_mcp.notify.trial import tried

    channels = channels_of(load(Home.locate()).servers.notify)
    return anyio.run(partial(tried, channels, SystemClock()))
