"""Notices through an OpenClaw gateway, which knows the chat that a person reads; its `send` asks no model.

So it works while no cloud answers. The gateway knows a delivery by its id, and tells it once however often it is sent.
"""

import anyio
from anyio.to_thread import run_sync

from omni_mcp.errors import NotTold
from omni_mcp.ledger.base import Delivery
from omni_mcp.notify.base import LIMIT, body, named, title
from omni_mcp.servers_file.notify import OpenClawRow

BAD = "INVALID_REQUEST"
"""The gateway's word for what will not be true at another try: no such channel, no such person there."""


class OpenClaw:
    """One person at one channel of one gateway."""

    def __init__(self, row: OpenClawRow) -> None:
        self._row = row
        self.name = named("openclaw", row.channel, f"{row.url} {row.channel} {row.to}")

    async def tell(self, delivery: Delivery) -> None:
        """Have the gateway send it."""
        # the WebSocket library is not needed by faces, which only name the channels
        from omni_mcp.adapters.openclaw_refusal import GatewayError, GatewayRefused

        text = await run_sync(_text, delivery)
        try:
            with anyio.fail_after(LIMIT):
                await self._sent(text, delivery.id)
        except GatewayRefused as error:
            raise NotTold(error.message, final=error.refusal.code == BAD) from error
        except GatewayError as error:
            raise NotTold(error.message) from error
        except TimeoutError as error:
            raise NotTold(f"no answer in {LIMIT:g} s") from error

    async def _sent(self, text: str, key: str) -> None:
        from omni_mcp.adapters.openclaw_wire import Address, connected

        row = self._row
        async with connected(Address(url=row.url, token=row.token)) as gateway:
            said = {"channel": row.channel, "to": row.to, "message": text, "idempotencyKey": key}
            await gateway.call("send", said)


def _text(delivery: Delivery) -> str:
    """Return headline and text. Blocks."""
    return f"{title(delivery)}\n{body(delivery)}"
