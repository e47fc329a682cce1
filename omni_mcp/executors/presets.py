"""From a row of servers.yaml to what the engine needs to know of an executor, or why it cannot be used."""

from collections.abc import Mapping
from dataclasses import dataclass

from omni_mcp.settings import ExecutorRow, Settings
from omni_mcp.task import Recovery


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSpec:
    """An executor as the engine and routing see it."""

    name: str
    row: ExecutorRow
    handles: frozenset[str]
    parallel: int
    recovery: Recovery
    adapter: bool
    """True: it speaks the adapter contract; False: one foreign tool with an argument template."""
    relayed: bool
    """True: its model calls go through the engine's relay."""
    command: tuple[str, ...] = ()
    """argv for stdio; empty for HTTP."""
    unusable: str | None = None
    """Why it cannot be used, with the fix; None: as far as the settings tell, it can."""


def resolve(settings: Settings) -> Mapping[str, ExecutorSpec]:
    """Return every executor that the settings name, those with a problem included (`unusable` says why)."""
    raise NotImplementedError
