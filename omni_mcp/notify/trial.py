"""A test notice: sent through every channel at once from this process, past the outbox, to see what each says."""

from collections.abc import Mapping

import anyio

from omni_mcp.errors import NotTold
from omni_mcp.ledger.base import Delivery, Notice
from omni_mcp.notify.base import Channel
from omni_mcp.task import Clock, new_id
from omni_mcp.views.notify import ToldView

TEXT = "This is a test: what is told of changes of mode arrives here"


async def tried(channels: Mapping[str, Channel], clock: Clock) -> list[ToldView]:
    """Return what became of a test notice in each channel, in their order."""
    told: dict[str, ToldView] = {}

    async def one(channel: Channel) -> None:
        told[channel.name] = await _tried(channel, _test(channel, clock))

    async with anyio.create_task_group() as tasks:
        for channel in channels.values():
            tasks.start_soon(one, channel)
    return [told[name] for name in channels]


async def _tried(channel: Channel, delivery: Delivery) -> ToldView:
    try:
        await channel.tell(delivery)
    except NotTold as error:
        return ToldView(channel=channel.name, told=False, text=error.message)
    return ToldView(channel=channel.name, told=True, text="took a test notice")


def _test(channel: Channel, clock: Clock) -> Delivery:
    notice = Notice(number=0, at=clock.now(), kind="test", text=TEXT)
    return Delivery(number=0, notice=notice, channel=channel.name, id=f"msg_{new_id()}", tries=0, due_at=notice.at)
