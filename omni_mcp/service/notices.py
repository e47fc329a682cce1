"""Say who is told of changes, and owe again what was given up."""

from anyio.to_thread import run_sync

from omni_mcp.notify.channels import channels_of, told_by
from omni_mcp.service.part import Part


class NoticeVerbs(Part):
    """Who is told."""

    async def told_by(self) -> dict[str, str]:
        """Say who is told of changes of mode, and how that went last."""
        settings, last = self.settings(), await self.ledger.last_deliveries()
        return await run_sync(told_by, settings.servers.notify, last, str(settings.home.engine_log))

    async def given_up(self) -> dict[str, str]:
        """Say what each channel never took."""
        found = await self.ledger.given_up()
        return {name: f"{n} notices, the last {at:%Y-%m-%d %H:%M} UTC: {why}" for name, (n, at, why) in found.items()}

    async def send_again(self) -> int:
        """Owe the channels that there are what was given up, for one more try; returns how many notices."""
        channels = await run_sync(channels_of, self.settings().servers.notify)
        count = await self.ledger.send_again(channels)
        if count:
            await self.engines.ensure(await self.ledger.engine())
        return count
