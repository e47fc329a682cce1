"""Which channels a home has, and how it stands with each."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from omni_mcp.ledger.base import Delivery
from omni_mcp.notify.apprise import Apprise
from omni_mcp.notify.base import Channel
from omni_mcp.notify.desktop import NAME, Desktop, desktop
from omni_mcp.notify.openclaw import OpenClaw
from omni_mcp.notify.webhook import Webhook
from omni_mcp.servers_file.notify import Notify

LOG = "log"


def channels_of(notify: Notify) -> Mapping[str, Channel]:
    """Return the channels that are there, by name. Blocks."""
    return {name: channel for name, channel in _all(notify).items() if not isinstance(channel, str)}


def _all(notify: Notify) -> Mapping[str, Channel | str]:
    """Return each channel, or why it is not there."""
    sent: Sequence[Channel] = [
        *map(Webhook, notify.webhooks),
        *map(Apprise, notify.apprise),
        *map(OpenClaw, notify.openclaw),
    ]
    return {NAME: _desktop(notify), **{channel.name: channel for channel in sent}}


def _desktop(notify: Notify) -> Desktop | str:
    return desktop() if notify.desktop else "off: notify.desktop is false"


def told_by(notify: Notify, last: Sequence[Delivery], log: str) -> dict[str, str]:
    """Return who is told of changes, and how that went last. Blocks."""
    known = {delivery.channel: _stands(delivery) for delivery in last}
    ways = (
        (name, way if isinstance(way, str) else known.get(name, "nothing told yet"))
        for name, way in _all(notify).items()
    )
    return {LOG: log, **dict(ways)}


def _stands(delivery: Delivery) -> str:
    if delivery.told_at is not None:
        return f"told {_at(delivery.told_at)}"
    if delivery.given_up_at is not None:
        return f"given up {_at(delivery.given_up_at)} after {delivery.tries} tries: {delivery.trouble}"
    if delivery.trouble is None:
        return "on its way"
    return f"{delivery.tries} tries failed: {delivery.trouble}; next try {_at(delivery.due_at)}"


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
