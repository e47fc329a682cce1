"""What the command line prints of who is told."""

from collections.abc import Mapping

from rich.console import Console

from omni_mcp.faces.text.words import SEVERITIES
from omni_mcp.views.notify import NotifyView


def print_told_by(out: Console, told_by: Mapping[str, str]) -> None:
    """Print who is told of changes, and how that went last."""
    for channel, text in told_by.items():
        out.print(f"told by {channel}: {text}", markup=False, highlight=False)


def print_notify(out: Console, notify: NotifyView) -> None:
    """Print what became of a test notice in each channel, and who is told."""
    for channel in notify.tested or []:
        style = SEVERITIES["ok" if channel.told else "error"]
        out.print(f"{channel.channel}: {channel.text}", style=style, markup=False, highlight=False)
    if notify.tested == []:
        out.print("nothing was tested: there is no desktop here, no webhook and no URL of apprise")
    print_told_by(out, notify.told_by)
    for channel, said in (notify.given_up or {}).items():
        out.print(f"{channel}, given up: {said}", style=SEVERITIES["warning"], markup=False, highlight=False)
    if notify.given_up:
        out.print("once more: omni-mcp notify --again")
    if notify.sent_again is not None:
        out.print(f"{notify.sent_again} notices are sent once more", highlight=False)
