"""Who sees to it that an engine is alive, as the service asks for it."""

from typing import Protocol

from omni_mcp.ledger.base import EngineMark


class Engines(Protocol):
    """Who sees to it that an engine is alive."""

    @property
    def alive(self) -> bool:
        """Whether one has the lock of the home."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why none comes up, or why the one that is there does nothing."""
        ...

    async def ensure(self, seen: EngineMark | None) -> str | None:
        """Start one if none is alive; returns what there is to say about that, None when one was alive.

        One is started also beside an engine that was `seen` to have said goodbye, or to be of an older release.
        """
        ...
