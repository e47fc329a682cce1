"""The dispatch port: a nudge carries a task id and nothing else, at most once, maybe never."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio


class Doorbell(Protocol):
    """The engine's end."""

    address: str
    """What the engine announces, so that others can ring."""

    @property
    def rung(self) -> anyio.Event:
        """The event of the next ring; take it before looking, or a ring is lost."""
        ...

    def ring(self) -> None:
        """Ring from within the engine's own process."""
        ...


class Dispatch(Protocol):
    """How nudges travel."""

    def listen(self) -> AbstractAsyncContextManager[Doorbell]:
        """Open the engine's end."""
        ...

    def nudge(self, address: str, task_id: str) -> None:
        """Tell the engine at `address` to look at a task. Never fails, never blocks."""
        ...
