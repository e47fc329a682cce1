"""Say what everything cost, and clear away what is long over."""

from datetime import datetime

from omni_mcp.costs import begins, costs_view
from omni_mcp.decide.times import span
from omni_mcp.errors import BadRequest
from omni_mcp.service.part import Part
from omni_mcp.views.costs import CostsView
from omni_mcp.views.ledger import PurgeView


class BookVerbs(Part):
    """The costs, and what is kept."""

    async def purge(self, older_than: str, *, dry_run: bool = False) -> PurgeView:
        """Remove tasks that were over before that span of time, with all that belongs to them. Raises BadRequest."""
        try:
            before = self.clock.now() - span(older_than)
        except (ValueError, OverflowError) as error:
            raise BadRequest(str(error), next_step="omni-mcp purge --older-than 30d") from error
        count = await self.ledger.purgeable(before)
        gone = count if dry_run else await self._purged(before)
        kept = f"idempotency keys, costs, memories, and the working folders in {self.settings().home.work}"
        return PurgeView(dry_run=dry_run, tasks=gone, before=before, kept=kept)

    async def costs(self, *, days: int | None = None, since: str | None = None, cells: bool = False) -> CostsView:
        """Say what everything cost, since a day or for so many days, today included. Raises BadRequest.

        With `cells` also for each day, executor and model together.
        """
        return await costs_view(
            self.ledger,
            self.settings().servers,
            principal=None if self._operates else self.principal,
            since=begins(self.clock.now(), days=days, since=since),
            now=self.clock.now(),
            cells=cells,
        )

    async def _purged(self, before: datetime) -> int:
        gone = 0
        while count := await self.ledger.purge(before):
            gone += count
        return gone
