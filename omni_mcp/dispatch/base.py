"""The dispatch port: a nudge carries a task id and nothing else, at most once, maybe never."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio


class Doorbell(Protocol):
    """Where an engine hears that there is something to look at."""

    address: str
    """What it announces, so that others can ring."""

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
    """How nudges travel. An engine listens, a face calls; what is lost on the way is found by looking."""

    def listen(self) -> AbstractAsyncContextManager[Doorbell]:
        """Open the end of an engine."""
        ...

    def calling(self, heard: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Open the end of a face: nothing is said before; `heard` is called when an engine rings back."""
        ...

    def nudge(self, address: str | None, task_id: str, *, machine: str | None = None) -> None:
        """Tell an engine to look at a task: the one of the own home at `address`, or one of those that share the work.

        With a `machine` only engines there. Never fails, never blocks.
        """
        ...

    def ask_back(self, address: str, task_id: str) -> None:
        """Ask the engine at `address` to ring at our own end once an attempt at this task is over. As `nudge`."""
        ...
