"""The loop guard: inside of which tasks a call comes from, as far as that can be known, and how deep is too deep."""

from collections.abc import Mapping
from dataclasses import dataclass

from omni_mcp.errors import TaskNotFound, TooDeep
from omni_mcp.ledger.base import Ledger
from omni_mcp.processes import Origin
from omni_mcp.servers_file.executors import GATEWAYS, ExecutorRow
from omni_mcp.task import Task, TaskState

OPENCLAW_CLIENT = "openclaw-bundle-mcp"
"""What an OpenClaw gateway calls itself when it opens an MCP session; seen with 2026.9.6."""

Line = tuple[str, ...]
"""Tasks, each submitted from inside the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Traces a call to the tasks that it comes from inside of."""

    ledger: Ledger
    principal: str
    executors: Mapping[str, ExecutorRow]
    limit: int

    async def ancestors(self, origin: Origin | None, client: str | None) -> Line:
        """Return the line of a call; `client` is how an MCP client calls itself. Raises TooDeep.

        A client that is none is believed, too: what it can win by that is to be refused.
        """
        gateway = origin.gateway if origin is not None else client == OPENCLAW_CLIENT
        line = await self._at_gateways() if gateway else () if origin is None else await self._of(origin)
        if len(line) > self.limit:
            raise TooDeep(await self._known(line), len(line), self.limit, gateway=gateway)
        return line

    async def _known(self, line: Line) -> str | None:
        """Return its innermost task, if the caller may know of it: whoever calls itself a gateway need not be one."""
        try:
            return (await self.ledger.find(line[-1], principal=self.principal)).id
        except TaskNotFound:
            return None

    async def _at_gateways(self) -> Line:
        """Return the deepest line that runs at a gateway now: it does not say which of its sessions calls."""
        return max(
            (_line(task) for task in await self._executing() if self._runs_at_gateway(task)), key=len, default=()
        )

    def _runs_at_gateway(self, task: Task) -> bool:
        row = self.executors.get(task.served_by or "")
        return row is not None and row.preset in GATEWAYS

    async def _of(self, origin: Origin) -> Line:
        """Return the line that marks tell of; a server that works for several tasks counts as inside the deepest."""
        if origin.task is None:
            lines = [_line(task) for task in await self._executing() if task.owner == origin.owner]
            return max(lines, key=len, default=())
        try:
            return _line(await self.ledger.find(origin.task, principal=self.principal))
        except TaskNotFound:  # of another home or principal
            return (origin.task,)

    async def _executing(self) -> list[Task]:
        return [task for task in await self.ledger.held() if task.state is not TaskState.DISPATCHING]


def _line(task: Task) -> Line:
    return (*task.spec.ancestors, task.id)
