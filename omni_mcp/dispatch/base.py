"""The dispatch port: a nudge carries a task id and nothing else, at most once, maybe never."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio


class Doorbell(Protocol):
    """Where a process hears that there is something to look at."""

    address: str
    """What an engine announces, so that others can ring."""

    @property
    def rung(self) -> anyio.Event:
        """The event of the next ring; take it before looking, or a ring is lost."""
        ...

    def ring(self) -> None:
        """Ring from within the own process."""
        ...

    def ring_back(self, task_id: str) -> None:
        """Ring at those who asked to hear of this task, once. Never fails, never blocks."""
        ...


class Dispatch(Protocol):
    """How nudges travel."""

    def listen(self, heard: Callable[[], None] | None = None) -> AbstractAsyncContextManager[Doorbell]:
        """Open the own end; `heard` is called at every ring from outside."""
        ...

    def nudge(self, address: str, task_id: str) -> None:
        """Tell the engine at `address` to look at a task. Never fails, never blocks."""
        ...

    def ask_back(self, address: str, task_id: str) -> None:
        """Ask the engine at `address` to ring at our own end once an attempt at this task is over. As `nudge`."""
        ...
