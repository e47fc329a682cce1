"""What attempts are begun with: one reading of the settings, its executors, its relay, its memory."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Protocol

import anyio

from omni_mcp.budget import Allowance
from omni_mcp.contract import Endpoint
from omni_mcp.executors.pool import Pool
from omni_mcp.memory.base import MemoryStore
from omni_mcp.settings import Settings


class Endpoints(Protocol):
    """Who gives an attempt the address of its model calls (the relay)."""

    @property
    def name(self) -> str:
        """Who serves model calls now."""
        ...

    def endpoint(
        self,
        task_id: str,
        *,
        attempt: int,
        model: str | None,
        task_type: str | None = None,
        allowance: Allowance | None = None,
    ) -> Endpoint:
        """Open the relay for an attempt."""
        ...

    def revoke(self, task_id: str, *, attempt: int) -> datetime | None:
        """Close it; returns when the limit ends that its last model call ran into, if that was said."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Means:
    """What attempts are begun with. Open until `done_with`."""

    settings: Settings
    pool: Pool
    relay: Endpoints | None
    memory: MemoryStore | None = None
    """What tasks are told from, and leave something in."""
    done_with: anyio.Event = field(default_factory=anyio.Event)
    """Set when the settings have changed and the last attempt that was begun with it is over."""

    @cached_property
    def secrets(self) -> frozenset[str]:
        """What is known of these settings to be secret: it never enters the memory."""
        return self.settings.known_secrets
